r"""witness.toml, and the lists of the logs that a witness cosigns for.

A witness is a folder:

    DIR/witness.toml     this file; unknown members are errors
    DIR/witness.skey     the key, type 0x04, used for nothing else (mode 0600)
    DIR/witness.db       what was cosigned: never deleted, never put back from a copy
    DIR/logs             a list; `lists` may name others

    format = "pcrlog-witness/v1"
    name = "w1.example/a"                  # that of the key
    listen = "127.0.0.1:8091"
    prefix = ""                            # "/w1": below which path it is asked
    lists = ["logs"]                       # relative to this file
    qpd = 86400                            # requests a day of a log that has no other

A list is in one of two forms; blank lines and lines that begin with `#` are ignored.
Ours has a vkey (type 0x01) a line, and maybe its requests a day:

    log.example/pcr+f79acc09+AZsfhHkc/HZjBFhU04netcqVRJ2HXydqg4QLBgqznPxx 1440

That of the witness network begins with `logs/v0`; then a `vkey` begins each log, and
`origin` (`none`: the key's name), `qpd`, `contact`, `bastion` follow, each at most
once. Lines with other words are ignored. Logs with a key of another type, or an origin
that is not their key's name, are skipped: `Logs.skipped` says which.

>>> logs = parse_list(b"logs/v0\n\nvkey log.example/pcr+f79acc09+AZsfhHkc/HZjBFhU04netc"
...     b"qVRJ2HXydqg4QLBgqznPxx\nqpd 24\ncontact us\n", 1440)
>>> logs.table["log.example/pcr"].qpd
24
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from pcrlog.encoding import decode_base64, parse_decimal, shown
from pcrlog.errors import MalformedError, UsageError
from pcrlog.note import COSIGNATURE, ED25519, NoteSigner, VerifierKey

SETTINGS = "witness.toml"
KEY = "witness.skey"
LOGS = "logs"
NETWORK = "logs/v0"

_MOST_BYTES = 32 << 20
_MOST_LOGS = 100_000
_MOST_QPD = 10**9
_SMALL = 65_536
_VKEY_PARTS = 3
_Path = Annotated[str, Meta(min_length=1, max_length=1024)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What witness.toml says."""

    format: Literal["pcrlog-witness/v1"]
    name: str
    listen: str = "127.0.0.1:8091"
    prefix: Annotated[str, Meta(pattern=r"^((/[A-Za-z0-9._~-]+)+)?\Z")] = ""
    lists: Annotated[tuple[_Path, ...], Meta(max_length=64)] = (LOGS,)
    qpd: Annotated[int, Meta(ge=1, le=_MOST_QPD)] = 86_400

    @classmethod
    def load(cls, folder: Path) -> "Settings":
        """Read the witness.toml of a folder.

        Raises:
            UsageError: it cannot be read, is not TOML, has an unknown member.
        """
        path = folder / SETTINGS
        try:
            return msgspec.convert(tomllib.loads(read(path, _SMALL).decode()), cls)
        except (ValueError, RecursionError) as error:
            message = f"{path}: {error}"
            raise UsageError(message) from error


class Listed(Struct, frozen=True):
    """A log on a list: its `key`, its requests a day, whom to call."""

    key: VerifierKey
    qpd: int
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Logs:
    """Whom a witness cosigns for: `table` by origin; what a list had besides."""

    table: dict[str, Listed] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    def key(self, origin: str) -> VerifierKey | None:
        """The key of a log; None: not one of ours."""
        found = self.table.get(origin)
        return None if found is None else found.key

    @classmethod
    def load(cls, folder: Path, settings: Settings) -> "Logs":
        """Read all lists. Of a log that stands on two, the first counts.

        Raises:
            UsageError: one cannot be read or is none, or an origin has two keys.
        """
        whole = cls()
        for name in settings.lists:
            path = folder / name
            try:
                found = parse_list(read(path, _MOST_BYTES), settings.qpd)
                whole = whole.beside(found)
            except MalformedError as error:
                message = f"{path}: {error}"
                raise UsageError(message) from error
        return whole

    def beside(self, others: "Logs") -> "Logs":
        """Both lists; where both have a log, it is ours.

        Raises:
            MalformedError: an origin with two keys, or too many logs.
        """
        for origin, one in others.table.items():
            if origin in self.table and self.table[origin].key != one.key:
                message = f"two keys of the log {shown(origin)}"
                raise MalformedError(message)
        table = {**others.table, **self.table}
        if len(table) > _MOST_LOGS:
            message = f"{len(table)} logs, at most {_MOST_LOGS}"
            raise MalformedError(message)
        return Logs(table, self.skipped + others.skipped)


def parse_list(data: bytes, qpd: int) -> Logs:
    """Read a list, of either form; `qpd` is for logs that have none.

    Raises:
        MalformedError: it is of neither form.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = "a list of logs is UTF-8"
        raise MalformedError(message) from error
    rows = [
        (number, row.strip(" \t\r"))
        for number, row in enumerate(text.split("\n"), start=1)
    ]
    rows = [(number, row) for number, row in rows if row and not row.startswith("#")]
    if rows and rows[0][1] == NETWORK:
        found = _network(rows[1:], qpd)
    else:
        found = _ours(rows, qpd)
    whole = Logs()
    table: dict[str, Listed] = {}
    skipped = []
    for number, one in found:
        if isinstance(one, str):
            skipped.append(one)
        elif table.setdefault(one.key.name, one).key != one.key:
            message = f"line {number}: a second key of the log {shown(one.key.name)}"
            raise MalformedError(message)
    return whole.beside(Logs(table, tuple(skipped)))


def read(path: Path, most: int) -> bytes:
    """A file of at most `most` bytes.

    Raises:
        UsageError: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error
    if len(data) > most:
        message = f"{path} has more than {most} bytes"
        raise UsageError(message)
    return data


def read_signer(folder: Path, settings: Settings) -> NoteSigner:
    """The key of a witness.

    Raises:
        UsageError: it is missing, of another type, or of another name.
    """
    path = folder / KEY
    text = read(path, _SMALL).decode("ascii", "replace")
    signer = NoteSigner.parse(text.strip())
    if (signer.public.name, signer.public.kind) != (settings.name, COSIGNATURE):
        message = (
            f"{path}: expected a key of type 0x04 with the name {settings.name}, found"
            f" one of type {signer.public.kind:#04x} with {signer.public.name}"
        )
        raise UsageError(message)
    return signer


# --- the two forms --------------------------------------------------------------------


def _ours(rows: list[tuple[int, str]], qpd: int) -> Iterator[tuple[int, Listed]]:
    for number, row in rows:
        vkey, _, budget = row.partition(" ")
        key = _key(number, vkey)
        if key is None:
            message = f"line {number}: expected a key of type 0x01"
            raise MalformedError(message)
        yield number, Listed(key, _qpd(number, budget.strip(), qpd))


def _network(
    rows: list[tuple[int, str]], qpd: int
) -> Iterator[tuple[int, Listed | str]]:
    logs: list[tuple[int, dict[str, str]]] = []
    for number, row in rows:
        word, _, value = row.partition(" ")
        if word == "vkey":
            logs.append((number, {}))
        elif not logs:
            message = f"line {number}: expected `vkey <vkey>`, found {shown(row)}"
            raise MalformedError(message)
        if word in logs[-1][1]:
            message = f"line {number}: a second {shown(word)} of one log"
            raise MalformedError(message)
        logs[-1][1][word] = value.strip()
    for number, log in logs:
        key = _key(number, log["vkey"])
        budget = _qpd(number, log.get("qpd", ""), qpd)
        if key is None:
            yield number, f"{log['vkey'].partition('+')[0]}: a key of another type"
        elif log.get("origin", "none") not in ("none", key.name):
            yield number, f"{key.name}: its origin is {shown(log['origin'])}"
        else:
            yield number, Listed(key, budget, log.get("contact", ""))


def _key(number: int, vkey: str) -> VerifierKey | None:
    """The key; None if it is of a type that is not a log's, here."""
    parts = vkey.split("+", 2)
    try:
        if len(parts) == _VKEY_PARTS and decode_base64(parts[2])[:1] != b"\x01":
            return None
        key = VerifierKey.parse(vkey)
    except MalformedError as error:
        message = f"line {number}: {error}"
        raise MalformedError(message) from error
    return key if key.kind == ED25519 else None


def _qpd(number: int, text: str, default: int) -> int:
    if not text:
        return default
    try:
        found = parse_decimal(text, _MOST_QPD)
    except MalformedError as error:
        message = f"line {number}: requests a day: {error}"
        raise MalformedError(message) from error
    if not found:
        message = f"line {number}: requests a day: at least 1"
        raise MalformedError(message)
    return found
