"""What happens in an honest log that is somebody's business, each with a name.

A `Happening` is a statement (or what an enclave does) that concerns whoever watches
PRODUCT and its provider: `alert` is the kind that a monitor tells of. They happen in
this order in one log; each returns the index that the alert has to name, None where it
names none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pcrlog.encoding import format_time
from pcrlog.predicates import REGISTRAR, Component, IdentityKey
from tests.support.lies import OLD, ROGUE
from tests.support.memory_log import MemoryLog, active, key, registers
from tests.support.scene import (
    BUILD,
    DAY,
    GOOD,
    LAB,
    PRODUCT,
    PROVIDER,
    SOURCE,
    Scene,
    artifact,
)

NEW = registers("new")
PARTS, SIDECAR = "parts.example", "5a" * 32
OTHERS = "other.example"
SPARE = key("acme's spare key")


@dataclass
class World:
    """The log, a folder with the list of our builds, and the enclave in use.

    `running` is what it runs now, `answers` whether it says so.
    """

    log: MemoryLog
    expected: Path
    running: Mapping[str, str] = field(default_factory=lambda: GOOD)
    answers: bool = True


@dataclass(frozen=True)
class Happening:
    """See the module's docstring. `does` is in words, for the table in the docs."""

    alert: str
    does: str
    tell: Callable[[World], int | None]

    def __str__(self) -> str:
        """The kind, for test ids."""
        return self.alert


HAPPENINGS: list[Happening] = []
_Tell = Callable[[World], int | None]


def _happening(alert: str, does: str) -> Callable[[_Tell], _Tell]:
    def keep(tell: _Tell) -> _Tell:
        HAPPENINGS.append(Happening(alert, does, tell))
        return tell

    return keep


def prepare(log: MemoryLog) -> None:
    """Enrol the others, and release something with a component, all expected."""
    log.enroll(PARTS, "provider")
    log.enroll(OTHERS, "provider")
    log.release(f"{PARTS}/sidecar", "1.0.0", artifact(SIDECAR), platform="artifact")
    part = Component(f"{PARTS}/sidecar", SIDECAR)
    log.release(PRODUCT, "1.4.3", NEW, source=SOURCE, build=BUILD, components=(part,))
    log.seal()


def _version(log: MemoryLog, version: str) -> int:
    return log.index[f"v1/version/{PRODUCT}/{version}"][0]


def _keys(log: MemoryLog) -> list[IdentityKey]:
    newest = log.authority.newest_identity(PROVIDER)
    assert newest is not None
    return list(newest.keys)


# --- releases -------------------------------------------------------------------------


@_happening("unexpected-release", "a release with registers of no build of ours")
def _unexpected(world: World) -> int:
    return world.log.release(PRODUCT, "6.6.6", ROGUE)


@_happening("conflicting-release", "a second build under a version that was released")
def _conflicting(world: World) -> int:
    return world.log.release(PRODUCT, "1.4.1", NEW)


@_happening("relabelled", "an old build under a new version")
def _relabelled(world: World) -> int:
    return world.log.release(PRODUCT, "2.0.0", OLD)


@_happening("measurement-reuse", "our build, released by another provider")
def _reused(world: World) -> int:
    return world.log.release(f"{OTHERS}/copy", "1.0.0", GOOD)


@_happening("expiring", "a release that runs out tomorrow, told 7 days before")
def _expiring(world: World) -> int:
    tomorrow = format_time(world.log.now + DAY)
    return world.log.release(PRODUCT, "1.4.4", registers("new"), expires=tomorrow)


@_happening("unaudited", "a release that nobody has audited for a second")
def _unaudited(world: World) -> int:
    return world.log.release(PRODUCT, "1.4.5", registers("new"))


# --- what others say ------------------------------------------------------------------


@_happening("audit-dissent", "an auditor could not reproduce our build")
def _dissent(world: World) -> int:
    return Scene(world.log).reproduce(LAB, GOOD, result="fail")


@_happening("revoked", "the provider revokes a measurement as compromised")
def _revoked(world: World) -> int:
    return world.log.revoke(PROVIDER, "compromised", _version(world.log, "1.4.1"))


@_happening("component-revoked", "a sidecar of ours is revoked by who makes it")
def _part_revoked(world: World) -> int:
    [index, *_] = world.log.index[f"v1/product/{PARTS}/sidecar"]
    return world.log.revoke(PARTS, "vulnerable", index)


@_happening("unexpected-statement", "a revocation in our name that we know nothing of")
def _unexpected_statement(world: World) -> int:
    return world.log.revoke(PROVIDER, "superseded", _version(world.log, "1.4.2"))


# --- keys -----------------------------------------------------------------------------


@_happening("key-change", "a key is added to our identity, by us and the registrar")
def _key_change(world: World) -> int:
    log = world.log
    rows, signers = [*_keys(log), *active(SPARE)], [log.enrol, key(PROVIDER)]
    return log.identify(PROVIDER, rows, signers, issuer=REGISTRAR, roles=["provider"])


@_happening("registrar-acted", "the registrar alone takes a key of ours away")
def _registrar_acted(world: World) -> int:
    log = world.log
    rows = [one for one in _keys(log) if one.keyid != SPARE.public.keyid]
    return log.identify(PROVIDER, rows, [log.enrol], roles=["provider"])


@_happening(
    "signed-after-compromise", "our key is declared compromised since its first entry"
)
def _compromised(world: World) -> int:
    log, lost = world.log, key(PROVIDER)
    keyid, spki = lost.public.keyid, lost.public.spki
    row = IdentityKey(keyid=keyid, key=spki, status="compromised", since=0)
    others = [one for one in _keys(log) if one.keyid != keyid]
    return log.identify(PROVIDER, [*others, row], [log.enrol], roles=["provider"])


# --- enclaves -------------------------------------------------------------------------


@_happening("live-mismatch", "an enclave in use that runs what nobody released")
def _deployed(world: World) -> None:
    world.running = registers("a hot deploy")


@_happening("live-unchecked", "an enclave in use that does not answer")
def _silent(world: World) -> None:
    world.answers = False


# --- our own list ---------------------------------------------------------------------


@_happening("unreadable-list", "a list of our builds with nonsense in it, for a second")
def _nonsense(world: World) -> None:
    (world.expected / "nonsense.json").write_text("nonsense")
