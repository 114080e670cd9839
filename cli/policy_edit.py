"""Changes to the text of a policy: one product's table, or one log's witnesses.

Comments and everything else stay where they are. Python reads TOML and does not write
it; what is changed is simple enough to be written here.
"""

import re
import tomllib
from collections.abc import Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pcrlog.attestation import ATTESTING
from pcrlog.encoding import encode_base64
from pcrlog.errors import UsageError
from pcrlog.policy import Policy, Quorum
from pcrlog.predicates import NAME
from pcrlog.statement import SCOPES

_KEYID = re.compile(r"[0-9a-f]{64}")
_LOG = re.compile(rb"(?m)^[ \t]*\[\[[ \t]*log[ \t]*\]\]")
_SUCCESSOR = re.compile(
    rb"(?m)^\[successor\][ \t]*(?:#.*)?\n(?:(?!\[).*\n?)*?"
    rb"(?=(?:[ \t]*(?:#.*)?\n)*(?:\[|\Z))"
)
"""The table, without the comments after it: they are of the next one."""
_VERSION_LINE = re.compile(rb"(?m)^version[ \t]*=[ \t]*[0-9]+[ \t]*(?:#.*)?\n")
_PREVIOUS = re.compile(rb"(?m)^previous[ \t]*=.*\n")
_VERSION = re.compile(rb"(?m)^version[ \t]*=[ \t]*([0-9]+)")

Table: TypeAlias = dict[str, Any]
"""A product's table as TOML has it."""


class Demands(Struct, frozen=True, kw_only=True):
    """What the options of `pcrlog policy add` say of a product."""

    auditors: tuple[str, ...]
    counts: tuple[str, ...]
    links: str | None
    lowest_version: str | None
    pins: tuple[str, ...]
    channel: str | None
    open_findings: str | None
    components: str | None
    platforms: tuple[str, ...]
    ground: str | None = None


def with_demands(data: bytes, product: str, demands: Demands) -> bytes:
    """The policy with these demands of a product, one version later if they are new.

    Raises:
        UsageError: the policy, or an option, is not of its form.
    """
    before = Policy.parse(data)
    table = _tables(data).get(product, {})
    if not table:
        table["platforms"] = list(_platforms(before))
    _apply(table, demands)
    text = _with_product(data, product, _table(product, table))
    if text == data:
        return data
    return _next_version(text, before)


def as_successor(data: bytes, before: Policy) -> bytes:
    """A policy's text with the version and the predecessor that come after `before`.

    Raises:
        UsageError: it is no policy, or its version does not stand on a line of its own.
    """
    given = Policy.parse(data)
    text = _PREVIOUS.sub(b"", data)
    lines = b'version = %d\nprevious = "%s"\n' % (
        before.version + 1,
        before.sha256.encode(),
    )
    text = _VERSION_LINE.sub(lines, text, count=1)
    after = Policy.parse(text)
    if (after.version, after.previous) != (before.version + 1, before.sha256):
        message = "expected `version = N` on a line of its own; write it so"
        raise UsageError(message)
    _require_rest(given, after, "version", "previous")
    return text


def with_successor(
    data: bytes, least: int, spkis: Sequence[bytes], url: str | None
) -> bytes:
    """The policy with these keys for its successor, one version later if they are new.

    Raises:
        UsageError: the policy is not of its form, or would not be of its form with
            these; or it has them in no table of their own.
    """
    before = Policy.parse(data)
    if before.successor is not None and not _SUCCESSOR.search(data):
        message = "its successor is in no table [successor] of its own; edit it there"
        raise UsageError(message)
    keys = "".join(f"    {_value(encode_base64(spki))},\n" for spki in spkis)
    table = f"[successor]\nquorum = {least}\nkeys = [\n{keys}]\n"
    table += f"url = {_value(url)}\n" if url else ""
    rest = _SUCCESSOR.sub(b"", data).rstrip()
    text = rest + b"\n\n" + table.encode()
    after = Policy.parse(text)
    if after.successor == before.successor:
        return data
    _require_rest(before, after, "successor")
    return _next_version(text, before)


def yours_now(file: str) -> str:
    """A remark for whoever changes a policy that others may have."""
    return (
        f"{file} is yours now, and follows nobody's updates; to hand it out to those"
        f" who have the old one: pcrlog policy sign {file} --after OLD"
    )


def _require_rest(before: Policy, after: Policy, *names: str) -> None:
    """Raise unless a change of the text changed these members and nothing else."""
    own = {name: getattr(before, name) for name in ("sha256", *names)}
    if replace(after, **own) != before:
        message = f"{', '.join(names)}: another member would change; edit the file"
        raise UsageError(message)


def with_witnesses(data: bytes, vkey: str, quorum: Quorum | None) -> bytes:
    """The policy with this quorum of witnesses for the log of a key, or none demanded.

    One version later, if it is new.

    Raises:
        UsageError: the policy is not of its form, has no such log, or would not be of
            its form with this quorum; or its witnesses do not stand on lines of their
            own, `witnesses = …` below `[[log]]`.
    """
    before = Policy.parse(data)
    logs = [one["vkey"] for one in tomllib.loads(data.decode())["log"]]
    starts = [match.start() for match in _LOG.finditer(data)]
    if len(starts) != len(logs) or vkey not in logs:
        message = f"{vkey} has no table [[log]] of its own; edit it there"
        raise UsageError(message)
    start = starts[logs.index(vkey)]
    span = _member(data, start, b"witnesses")
    if span is None:
        message = f"{vkey}: its witnesses are in another table; edit them there"
        raise UsageError(message)
    text = data[: span[0]] + _witnesses(quorum) + data[span[1] :]
    after = Policy.parse(text)
    if after.logs == before.logs:
        return data
    return _next_version(text, before)


def _next_version(text: bytes, before: Policy) -> bytes:
    return _VERSION.sub(b"version = %d" % (before.version + 1), text, count=1)


def _witnesses(quorum: Quorum | None) -> bytes:
    if quorum is None:
        return b'witnesses = "none"\n'
    keys = "".join(f"    {_value(str(key))},\n" for key in quorum.keys)
    least = quorum.least
    return f"witnesses = {{ quorum = {least}, keys = [\n{keys}] }}\n".encode()


def _member(data: bytes, start: int, name: bytes) -> tuple[int, int] | None:
    """Where a member of the table at `start` stands, with all lines of its value."""
    lines = data[start:].splitlines(keepends=True)
    at = start + len(lines[0])
    for number, line in enumerate(lines[1:], 1):
        if line.startswith(b"["):
            return None
        if re.match(rb"[ \t]*" + name + rb"[ \t]*=", line):
            return at, at + _length(lines[number:])
        at += len(line)
    return None


def _length(lines: list[bytes]) -> int:
    """Bytes of the first member in `lines`: of so many that it can be read."""
    for count in range(1, len(lines) + 1):
        text = b"".join(lines[:count])
        try:
            tomllib.loads(text.decode())
        except ValueError:
            continue
        return len(text)
    message = "a value does not come to an end"
    raise UsageError(message)


def _tables(data: bytes) -> dict[str, Table]:
    products = tomllib.loads(data.decode()).get("products", {})
    return {name: dict(table) for name, table in products.items()}


def _platforms(policy: Policy) -> list[str]:
    attesting = [name for name in policy.platforms if name in ATTESTING]
    return attesting or list(policy.platforms)


def _apply(table: Table, demands: Demands) -> None:
    """Put what the options say into a product's table."""
    words = {
        "lowest_version": demands.lowest_version,
        "channel": demands.channel,
        "components": demands.components,
        "ground": demands.ground,
    }
    table |= {name: word for name, word in words.items() if word is not None}
    if demands.platforms:
        table["platforms"] = list(demands.platforms)
    if demands.links:
        table["links"] = sorted({_number(n, "--links") for n in _split(demands.links)})
    if demands.open_findings:
        pairs = (_pair(text, "--open") for text in _split(demands.open_findings))
        table["open_findings"] = dict(pairs)
    if demands.counts:
        counts = dict(_pair(text, "--count") for text in demands.counts)
        table["counts"] = table.get("counts", {}) | counts
    for text in demands.auditors:
        _add_auditor(table, text)
    for text in demands.pins:
        _add_pin(table, text)


def _add_auditor(table: Table, text: str) -> None:
    name, _, scopes = text.partition(":")
    found = scopes.split(",")
    if not re.fullmatch(NAME, name) or set(found) - set(SCOPES):
        message = f"--auditor: expected NAME:{','.join(SCOPES)}, got {text!r}"
        raise UsageError(message)
    others = [one for one in table.get("auditors", []) if one["name"] != name]
    table["auditors"] = [*others, {"name": name, "scopes": found}]


def _add_pin(table: Table, text: str) -> None:
    name, _, keyid = text.partition("=")
    if not _KEYID.fullmatch(keyid):
        message = f"--pin: expected NAME=KEYID (64 hex digits), got {text!r}"
        raise UsageError(message)
    pins = table.setdefault("pins", {})
    pins[name] = sorted({*pins.get(name, ()), keyid})


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _number(text: str, option: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    message = f"{option}: expected a number, got {text!r}"
    raise UsageError(message)


def _pair(text: str, option: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, _number(number, option)


# --- TOML ----------------------------------------------------------------------------


def _table(product: str, table: Table) -> str:
    rows = [f'[products."{product}"]']
    rows += [f"{name} = {_value(value)}" for name, value in table.items()]
    return "\n".join(rows) + "\n"


def _value(value: object) -> str:
    """A value in TOML: strings, numbers, lists, and tables on one line."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_name(name)} = {_value(v)}" for name, v in value.items())
        return "{ " + inner + " }"
    return str(value)


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _with_product(data: bytes, product: str, table: str) -> bytes:
    """The policy with this table, in the place of the product's old one."""
    header = re.escape(f'[products."{product}"]'.encode())
    old = re.compile(rb"(?m)^" + header + rb"[ \t]*(?:#.*)?\n(?:(?!\[).*\n?)*")
    if old.search(data):
        return old.sub(lambda _: table.encode() + b"\n", data, count=1).rstrip() + b"\n"
    if product in _tables(data):
        message = f"{product} is not in a table [products.…] of its own; edit it there"
        raise UsageError(message)
    return data.rstrip() + b"\n\n" + table.encode()
