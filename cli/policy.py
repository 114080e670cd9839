"""`pcrlog policy`: change, explain and check a policy file.

`add` changes the text of one product's table and nothing else, so that comments stay
where they are. What it would write is parsed before it is written.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeAlias

import click
from msgspec import Struct

from cli import files
from cli.options import Session, json_option, takes
from cli.output import GOOD, Row, fact, say
from pcrlog import limits
from pcrlog.errors import UsageError
from pcrlog.policy import Policy
from pcrlog.predicates import NAME
from pcrlog.statement import SCOPES

_VERSION = re.compile(rb"(?m)^version[ \t]*=[ \t]*([0-9]+)")
_ATTESTING = ("aws-nitro",)
_KEYID = re.compile(r"[0-9a-f]{64}")


Table: TypeAlias = dict[str, Any]
"""A product's table as TOML has it."""


class _Add(Struct, frozen=True):
    file: str
    product: str
    auditors: tuple[str, ...]
    counts: tuple[str, ...]
    links: str | None
    lowest_version: str | None
    pins: tuple[str, ...]
    channel: str | None
    open_findings: str | None
    components: str | None
    platforms: tuple[str, ...]


class Changed(Struct, frozen=True):
    """A policy after a change."""

    file: str
    product: str
    version: int
    sha256: str


@click.group("policy")
def policy_command() -> None:
    """Change, explain and check a policy file."""


@policy_command.command("add")
@click.argument("file")
@click.argument("product")
@click.option(
    "--auditor",
    "auditors",
    metavar="NAME:SCOPE,…",
    multiple=True,
    help="An auditor that counts, and for what.",
)
@click.option(
    "--count",
    "counts",
    metavar="SCOPE=N",
    multiple=True,
    help="How many distinct auditors must pass.",
)
@click.option("--links", metavar="1,2,3", help="Links that must be proven.")
@click.option("--lowest-version", metavar="V", help="Refuse what is older.")
@click.option(
    "--pin",
    "pins",
    metavar="NAME=KEYID",
    multiple=True,
    help="Trust this key of a name, and what it adds.",
)
@click.option(
    "--channel",
    type=click.Choice(["required", "optional"]),
    help="Whether the enclave must be who we are connected to.",
)
@click.option(
    "--open",
    "open_findings",
    metavar="SEVERITY=N,…",
    help="Most open findings of a qualified review.",
)
@click.option(
    "--components",
    type=click.Choice(["refuse", "report"]),
    help="What a component that failed does.",
)
@click.option(
    "--platform",
    "platforms",
    metavar="NAME",
    multiple=True,
    help="Platforms it runs on; those of the policy that attest if left out.",
)
@json_option
@takes(_Add)
def add(session: Session, options: _Add) -> None:
    """Add PRODUCT to the policy in FILE, or change what is demanded of it.

    What is given replaces that one demand; auditors and pins are added by name.
    """
    file, product = options.file, options.product
    data = files.read(file, limits.POLICY)
    before = Policy.parse(data)
    table = _tables(data).get(product, {})
    if not table:
        table["platforms"] = list(_platforms(before))
    _apply(table, options)
    text = _with_product(data, product, _table(product, table))
    if text != data:
        text = _VERSION.sub(b"version = %d" % (before.version + 1), text, count=1)
    after = Policy.parse(text)
    mode = Path(file).stat().st_mode & 0o777
    files.write_new(file, text, mode=mode, force=True)
    shown = Changed(file, product, after.version, after.sha256)
    rules = after.product(product)
    auditors = ", ".join(
        f"{one.name} ({', '.join(one.scopes)})" for one in rules.auditors
    )
    session.output.result(
        shown,
        [
            Row(
                (("demands ", GOOD),),
                f"of {product}, in {file} (version {after.version}):",
            ),
            fact("links", f"{', '.join(map(str, rules.links))} proven"),
            fact("auditors", auditors or "none: nobody but the provider is heard"),
            fact("channel", rules.channel),
            say(f"Next: pcrlog verify --policy {file} --product {product} --url URL"),
        ],
    )


def _tables(data: bytes) -> dict[str, Table]:
    products = tomllib.loads(data.decode()).get("products", {})
    return {name: dict(table) for name, table in products.items()}


def _platforms(policy: Policy) -> list[str]:
    attesting = [name for name in policy.platforms if name in _ATTESTING]
    if attesting or policy.platforms:
        return attesting or list(policy.platforms)
    message = "the policy has no [platforms.aws-nitro] table; add one first"
    raise UsageError(message)


def _apply(table: Table, options: _Add) -> None:
    """Put what the options say into a product's table."""
    words = {
        "lowest_version": options.lowest_version,
        "channel": options.channel,
        "components": options.components,
    }
    table |= {name: word for name, word in words.items() if word is not None}
    if options.platforms:
        table["platforms"] = list(options.platforms)
    if options.links:
        table["links"] = sorted({_number(n, "--links") for n in _split(options.links)})
    if options.open_findings:
        pairs = (_pair(text, "--open") for text in _split(options.open_findings))
        table["open_findings"] = dict(pairs)
    if options.counts:
        counts = dict(_pair(text, "--count") for text in options.counts)
        table["counts"] = table.get("counts", {}) | counts
    for text in options.auditors:
        _add_auditor(table, text)
    for text in options.pins:
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
