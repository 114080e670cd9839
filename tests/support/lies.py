"""The lies of a log: what it can do to those who trust it, each with a name.

A `Lie` says what to make a `LogSimulator` do that was honest until then, and who has to
notice: `verdict` is how `pcrlog verify` ends (3 could not check, 4 refuted; its user
has asked this log before), `alert` the kind that a monitor tells of, None where it is
not the monitor that is lied to, `evidence` the kind of file that it leaves, None where
nothing that the log signed shows it.

Whoever checks demands two witnesses and an index monitor, and these collude where that
leaves something to catch: they cosign another tree of the same size or a larger one,
which shows by comparing, the witnesses also what only an index monitor would have
found. A smaller tree that a quorum vouches for, while the tiles of the larger one are
gone, `verify` cannot tell from an older one (docs/protocol.md section 4.5): there they
are honest, and do not cosign.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pcrlog.encoding import encode_json
from pcrlog.envelope import sign_envelope
from pcrlog.note import NoteSigner
from pcrlog.statement import encode
from pcrlog.tiles import encode_bundle, parse_bundle, parse_path
from tests.support.log_simulator import LogSimulator, Reply, Twist, refused
from tests.support.memory_log import MemoryLog, key, registers
from tests.support.scene import (
    BUILD,
    GOOD,
    LAB,
    LENS,
    M1,
    PRODUCT,
    PROVIDER,
    SOURCE,
    W1,
    W2,
)

OLD, ROGUE = registers("old"), registers("rogue")
OLD_AGE = 30 * 3600
"""Seconds before now at which the honest log began: more than a policy's max_age."""


def honest(now: int) -> MemoryLog:
    """A log with two releases: of long ago, when it was sealed once, and of now."""
    log = MemoryLog(now=now - OLD_AGE, witnesses=[W1, W2, M1])
    log.enroll(PROVIDER, "provider")
    log.enroll(LAB, "auditor")
    log.enroll(LENS, "auditor")
    log.release(PRODUCT, "1.4.2", GOOD, source=SOURCE, build=BUILD)
    log.seal()
    log.now = now
    log.release(PRODUCT, "1.4.1", OLD, source=SOURCE, build=BUILD)
    log.seal()
    return log


def size_of_old(log: MemoryLog) -> int:
    """Leaves of its first checkpoint."""
    return next(i + 1 for i, leaf in enumerate(log.leaves) if leaf.startswith(b"p"))


@dataclass(frozen=True)
class Lie:
    """See the module's docstring. `does` is in words, for the table in the docs."""

    name: str
    does: str
    tell: Callable[[LogSimulator], None]
    verdict: int
    alert: str | None
    evidence: str | None = None
    patience: bool = False
    """Readers have to be made less patient, or a test would wait for a minute."""
    elsewhere: bool = False
    """It is told to whoever asks at `elsewhere`."""
    frozen: bool = False
    """It is told of a log that was frozen, honestly, and was seen to be."""

    def __str__(self) -> str:
        """Its name, for test ids."""
        return self.name


LIES: list[Lie] = []


def _lie(
    does: str,
    verdict: int,
    alert: str | None = None,
    evidence: str | None = None,
    **how: bool,
) -> Callable[[Callable[[LogSimulator], None]], Callable[[LogSimulator], None]]:
    """The lie that a function tells; its name is the function's."""

    def keep(tell: Callable[[LogSimulator], None]) -> Callable[[LogSimulator], None]:
        name = tell.__name__.strip("_").replace("_", "-")
        LIES.append(Lie(name, does, tell, verdict, alert, evidence, **how))
        return tell

    return keep


def named(name: str) -> Lie:
    """The lie of that name."""
    [found] = [lie for lie in LIES if lie.name == name]
    return found


# --- another history ------------------------------------------------------------------


def _other_history(simulator: LogSimulator, size: int) -> MemoryLog:
    """The log as it would be had it not said what follows its first checkpoint."""
    log = simulator.log
    other = log.until(size_of_old(log))
    while len(other.leaves) < size - 1:
        version = f"2.{len(other.leaves)}.0"
        other.release(PRODUCT, version, GOOD, source=SOURCE, build=BUILD)
    other.seal()
    return other


@_lie("another tree of the same size, signed and cosigned", 4, "fork", "checkpoints")
def _fork(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        simulator.log = _other_history(simulator, len(log.leaves))


@_lie("a larger tree that does not extend the old one", 4, "fork", "checkpoints")
def _fork_and_grow(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        simulator.log = _other_history(simulator, len(log.leaves) + 3)


@_lie("a smaller tree that the old one does not extend", 3, "rollback")
def _fork_and_shrink(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        simulator.log = _other_history(simulator, len(log.leaves) - 1)
        simulator.log.witnesses = []
        simulator.log.sign()


@_lie("an older checkpoint of the same history", 3, "rollback")
def _rollback(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        old = log.until(size_of_old(log))
        # Its witnesses cosign it once more; its seal cannot be made anew.
        old.now = log.now
        old.sign()
        simulator.log = old


@_lie(
    "another tree for whoever asks elsewhere",
    4,
    "equivocation",
    "checkpoints",
    elsewhere=True,
)
def _equivocation(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        simulator.other = _other_history(simulator, len(log.leaves))


@_lie("a checkpoint that another key signed", 4, "bad-signature")
def _bad_signature(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.signer = NoteSigner(log.origin, b"another key".ljust(32))
        log.sign()


# --- revocations that are hidden ------------------------------------------------------


def _revoke(log: MemoryLog) -> int:
    """The provider revokes what everybody runs."""
    [index, *_] = log.index[f"v1/version/{PRODUCT}/1.4.2"]
    return log.revoke(PROVIDER, "compromised", index)


@_lie("answers that leave a revocation out, under a right index root", 4)
def _hide_from_answers(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        index = _revoke(log)
        right = log.index_root()
        log.hide(index)
        log.index_root()
        log.seal(root=right)


@_lie(
    "an index, signed in a seal, that leaves a revocation out", 3, "bad-index", "index"
)
def _hide_from_index(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.witnesses = [W1, W2]
        log.hide(_revoke(log))
        log.seal()


@_lie("an index root in a seal that is of no index", 4, "bad-index", "index")
def _wrong_root(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.seal(root=b"\x01" * 32)


# --- entries that may not be there ----------------------------------------------------


@_lie(
    "a release signed by a key that is not the provider's",
    4,
    "unauthorised-entry",
    "authority",
)
def _unauthorised(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.release(PRODUCT, "1.4.3", GOOD, by=key("a stranger"), force=True)
        log.seal()


@_lie(
    "a provider enrolled by somebody who is not the registrar",
    3,
    "unauthorised-entry",
    "authority",
)
def _enrolled_by_a_stranger(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.witnesses = [W1, W2]
        rows = log.authority.newest_identity(PROVIDER)
        assert rows is not None
        stranger = key("a stranger")
        log.identify("mallory.example", rows.keys, [stranger], force=True)
        log.seal()


@_lie("the same statement twice", 3, "bad-entry", "leaves")
def _twice(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.witnesses = [W1, W2]
        [index, *_] = log.index[f"v1/version/{PRODUCT}/1.4.2"]
        payload = log.entries[index].envelope.payload
        log.append(sign_envelope(payload, [key(PROVIDER)]), force=True)
        log.seal()


@_lie("a statement whose JSON is not canonical", 3, "bad-entry", "leaf")
def _not_canonical(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.witnesses = [W1, W2]
        index = max(log.entries)
        payload = log.entries[index].envelope.payload
        spaced = payload.replace(b'":', b'": ').replace(b"1.4.1", b"1.4.9")
        log.append(sign_envelope(spaced, [key(PROVIDER)]), force=True)
        log.seal()


# --- seals ----------------------------------------------------------------------------


@_lie("a checkpoint whose last leaf is a release and no seal", 4, "bad-seal", "leaf")
def _no_seal(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.release(PRODUCT, "1.4.3", GOOD, source=SOURCE, build=BUILD)
        log.index_root()
        log.sign()


@_lie("a seal that counts one leaf too few", 4, "bad-seal", "leaf")
def _miscount(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        lines = log.leaves[-1].split(b"\n")
        lines[1] = str(len(log.leaves) - 1).encode()
        log.seal(leaf=b"\n".join(lines))


@_lie("a seal of an hour before the last one", 3, "bad-seal", "leaves")
def _back_in_time(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.witnesses = [W1, W2]
        log.now -= 3600
        log.seal()


@_lie("a seal that says `frozen`", 3, "frozen")
def _frozen(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.release(PRODUCT, "1.4.3", GOOD, source=SOURCE, build=BUILD)
        log.seal(frozen=True)


@_lie("leaves after a seal that said `frozen`", 4, "bad-entry", "leaf", frozen=True)
def _frozen_and_grows(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.release(PRODUCT, "1.4.3", GOOD, source=SOURCE, build=BUILD)
        log.seal()


# --- what stands still ----------------------------------------------------------------


@_lie("it publishes nothing any more", 3, "stale")
def _stale(simulator: LogSimulator) -> None:
    """Nothing: the clock goes on."""


@_lie("an answer of long ago to whoever verifies", 3)
def _replayed_bundle(simulator: LogSimulator) -> None:
    old = simulator.log.until(size_of_old(simulator.log))
    old.now = simulator.log.now
    old.sign()
    data = old.bundle(PRODUCT, GOOD, LAB, LENS).encode()

    def replayed(path: str, reply: Reply) -> Reply:
        return replace(reply, body=data) if path == "api/v1/bundle" else reply

    simulator.twist = replayed


@_lie("an answer about another product", 3)
def _bundle_of_another(simulator: LogSimulator) -> None:
    data = simulator.log.bundle("acme.example/other", OLD).encode()

    def another(path: str, reply: Reply) -> Reply:
        return replace(reply, body=data) if path == "api/v1/bundle" else reply

    simulator.twist = another


@_lie("a checkpoint without cosignatures", 3, "quorum-lost")
def _alone(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        log.witnesses = []
        log.seal()


@_lie("an entry of a type that no version knows yet", 3, "unknown-entry")
def _unknown(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        index = max(log.entries)
        entry = log.entries[index]
        said = encode(entry.predicate, dict(entry.statement.registers))
        said = said.replace(b"release:v1", b"release:v9").replace(b"1.4.1", b"1.4.2")
        log.append(sign_envelope(said, [key(PROVIDER)]), force=True)
        log.witnesses = [W1, W2]
        log.seal()


# --- files that are not what was signed -----------------------------------------------


def _published(simulator: LogSimulator, twist: Twist) -> None:
    """Publish something honest, which nobody will get to see as it is."""
    with simulator.change() as log:
        log.release(PRODUCT, "1.4.3", GOOD, source=SOURCE, build=BUILD)
        log.seal()
        simulator.twist = twist


@_lie("entries that have changed their places", 4, "bad-tiles")
def _swapped(simulator: LogSimulator) -> None:
    def swap(path: str, reply: Reply) -> Reply:
        if path == "api/v1/bundle":
            return replace(reply, body=_swap_entries(simulator.log))
        if not path.startswith("tile/entries/") or reply.status != 200:
            return reply
        leaves = list(parse_bundle(reply.body, parse_path(path).width))
        leaves[-2:] = leaves[:-3:-1]
        return replace(reply, body=encode_bundle(leaves))

    _published(simulator, swap)


def _swap_entries(log: MemoryLog) -> bytes:
    """The bundle, with the two releases in each other's place."""
    bundle = log.bundle(PRODUCT, GOOD, LAB, LENS)
    entries = dict(bundle.entries)
    one, two = log.index[f"v1/by/{PROVIDER}/aws-nitro/PCR0={GOOD['PCR0']}"][:2]
    first, second = entries[one], entries[two]
    entries[one] = type(first)(second.envelope, first.proof)
    entries[two] = type(first)(first.envelope, second.proof)
    return type(bundle)(
        bundle.note, bundle.seal, bundle.seal_proof, bundle.answers, entries
    ).encode()


@_lie("files that are cut off", 4, "bad-tiles")
def _truncated(simulator: LogSimulator) -> None:
    def cut(path: str, reply: Reply) -> Reply:
        if path == "checkpoint":
            return reply
        return replace(reply, body=reply.body[: len(reply.body) // 2])

    _published(simulator, cut)


# --- answers that do not come ---------------------------------------------------------


def _everything(simulator: LogSimulator, change: Callable[[Reply], Reply]) -> None:
    simulator.twist = lambda _path, reply: change(reply)


@_lie("no answer at all: it hangs", 3, "unreachable", patience=True)
def _hangs(simulator: LogSimulator) -> None:
    _everything(simulator, lambda reply: replace(reply, manner="hangs"))


@_lie("a byte now and then", 3, "unreachable", patience=True)
def _drips(simulator: LogSimulator) -> None:
    _everything(simulator, lambda reply: replace(reply, manner="drips"))


@_lie("answers without an end", 3, "unreachable")
def _endless(simulator: LogSimulator) -> None:
    _everything(simulator, lambda reply: replace(reply, manner="endless"))


@_lie("answers that are not gzip and say so", 3, "unreachable")
def _not_gzip(simulator: LogSimulator) -> None:
    _everything(simulator, lambda reply: replace(reply, encoding="gzip"))


@_lie("it is sent in circles", 3, "unreachable")
def _circles(simulator: LogSimulator) -> None:
    circle = Reply(302, b"", "text/plain", location=f"{simulator.url}/checkpoint")
    _everything(simulator, lambda _reply: circle)


@_lie("503 to everything", 3, "unreachable")
def _down(simulator: LogSimulator) -> None:
    down = refused(503, "unavailable", "nothing is published yet")
    _everything(simulator, lambda _reply: down)


@_lie("another JSON to everything", 4, "bad-signature")
def _something_else(simulator: LogSimulator) -> None:
    body = encode_json({"hello": "world"})
    _everything(simulator, lambda reply: replace(reply, body=body))
