"""Changes to the text of a policy: one product's table, and nothing else.

Comments and everything else stay where they are. Python reads TOML and does not write
it; a product's table is simple enough to be written here.
"""

import re
import tomllib
from typing import Any, TypeAlias

from msgspec import Struct

from pcrlog.errors import UsageError
from pcrlog.policy import Policy
from pcrlog.predicates import NAME
from pcrlog.statement import SCOPES

_ATTESTING = ("aws-nitro",)
_KEYID = re.compile(r"[0-9a-f]{64}")
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
    return _VERSION.sub(b"version = %d" % (before.version + 1), text, count=1)


def _tables(data: bytes) -> dict[str, Table]:
    products = tomllib.loads(data.decode()).get("products", {})
    return {name: dict(table) for name, table in products.items()}


def _platforms(policy: Policy) -> list[str]:
    attesting = [name for name in policy.platforms if name in _ATTESTING]
    return attesting or list(policy.platforms)


def _apply(table: Table, demands: Demands) -> None:
    """Put what the options say into a product's table."""
    words = {
        "lowest_version": demands.lowest_version,
        "channel": demands.channel,
        "components": demands.components,
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
