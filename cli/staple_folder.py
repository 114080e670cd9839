"""What lies in the folder of `pcrlog staple`.

    DIR/wallet.pcrbundle           the bundle, named after the product
    DIR/health.json                what the last round came to (`Health`)
    DIR/.well-known/pcrlog         where all that is (well_known.py), if asked for
    DIR/.pcrlog-staple             held while a run keeps this folder

Each is replaced whole: whoever reads sees the old bytes or the new ones, whenever this
process is killed. The health file is also what the next run goes on from: whoever can
write it can make a round ask for other registers, and nothing be believed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from cli import files
from pcrlog import limits
from pcrlog.encoding import (
    decode_json,
    encode_json,
    format_time,
    parse_time,
    prepare,
    printable,
    sha256,
)
from pcrlog.errors import MalformedError, PcrlogError, UsageError

WELL_KNOWN = ".well-known/pcrlog"
_HEALTH_FILE, _LOCK = "health.json", ".pcrlog-staple"
_HEALTH = 65_536
"""Bytes of a health file."""
_WORDS = 1_000
"""Characters of a problem."""
Condition = Literal["fresh", "failing", "stale"]


class Stapled(Struct, frozen=True, omit_defaults=True):
    """One set of registers that the bundle answers for, as the policy judges it now.

    `accepted`: `verify` would take an enclave with these, if its document is good;
    `missing` says what is not so.
    """

    registers: dict[str, str]
    accepted: bool
    version: str | None = None
    missing: tuple[str, ...] = ()


class Health(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`health.json`: canonical JSON; times as statements have them.

    `condition`: "fresh", the last round succeeded; "failing", it did not, and the kept
    bundle is still fresh; "stale", there is none that is. `renewed` is when the kept
    bundle was written, `size`, `root` and `sealed` are its checkpoint's, and
    `fresh_until` is when the policy no longer takes it. `failures` counts rounds.
    """

    format: Literal["pcrlog-staple-health/v1"] = "pcrlog-staple-health/v1"
    condition: Condition
    product: str
    checked: str
    log: str | None = None
    renewed: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    size: int | None = None
    root: str | None = None
    sealed: str | None = None
    fresh_until: str | None = None
    releases: tuple[Stapled, ...] = ()
    problems: tuple[str, ...] = ()
    failures: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the policy accepts anything that the bundle is about."""
        return any(one.accepted for one in self.releases)


prepare(Health)


class Folder:
    """The folder of one product."""

    def __init__(self, directory: Path, product: str) -> None:
        self.directory = directory
        self.product = product
        self.name = f"{product.partition('/')[2]}.pcrbundle"

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep other runs out, and remove what a killed one left half written.

        Raises:
            UsageError: another one keeps it, or nothing can be written here.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with (self.directory / _LOCK).open("wb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    message = f"another run keeps {self.directory}"
                    raise UsageError(message) from error
                for name in (self.name, _HEALTH_FILE, WELL_KNOWN):
                    path = self.directory / name
                    for left in path.parent.glob(f".{path.name}.*"):
                        left.unlink()
                yield
        except OSError as error:
            message = f"{error.filename or self.directory}: {error.strerror}"
            raise UsageError(message) from error

    def health(self) -> Health | None:
        """What the last round wrote; None if it is not to be had."""
        try:
            data = files.read(str(self.directory / _HEALTH_FILE), _HEALTH)
            found = decode_json(data, Health)
        except PcrlogError:
            return None
        return found if found.product == self.product else None

    def bundle(self) -> bytes | None:
        """The bundle that lies there, unverified."""
        try:
            return files.read(str(self.directory / self.name), limits.BUNDLE)
        except UsageError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, unless these bytes lie there already.

        Raises:
            UsageError: it cannot be written; what lay there lies there.
        """
        path = self.directory / name
        with suppress(OSError):
            if path.read_bytes() == data:
                return
        try:
            path.parent.mkdir(exist_ok=True)
            files.replace(path, data)
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise UsageError(message) from error

    def tell(self, health: Health) -> Health:
        """Write the health file."""
        self.write(_HEALTH_FILE, encode_json(health))
        return health

    def tell_failure(self, error: PcrlogError, now: int) -> Health:
        """Write down that a round failed, if that can be; the bundle is as it was."""
        last, kept = self.health(), self.bundle()
        told = format_time(now)
        if last is None or kept is None or last.sha256 != sha256(kept).hex():
            failures = last.failures if last else 0
            last = Health(condition="stale", product=self.product, checked=told)
            last = replace(last, failures=failures)
        fresh = False
        with suppress(MalformedError):
            fresh = now < parse_time(last.fresh_until or "")
        health = replace(
            last,
            condition="failing" if fresh else "stale",
            checked=told,
            problems=(printable(str(error), _WORDS),),
            failures=last.failures + 1,
        )
        # A full disk is told on standard output, and again in a while.
        with suppress(UsageError):
            self.tell(health)
        return health
