"""A genuine file of each kind, made from logs that did what it says."""

from collections.abc import Callable, Iterable
from functools import cache

from msgspec import Raw

from pcrlog import trie
from pcrlog.bundle import Bundle
from pcrlog.envelope import sign_envelope
from pcrlog.evidence import (
    BadLeaf,
    BeyondFrozen,
    File,
    Leaves,
    Listed,
    TwoCheckpoints,
    TwoLeaves,
    Unauthorised,
    WrongAnswer,
    WrongIndex,
    encode,
    keys_to_judge,
)
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.merkle import prove_prefix, prove_range
from pcrlog.note import VerifierKey
from tests.support.memory_log import MemoryLog, key, registers

PRODUCT = "acme.example/wallet"
GOOD = registers("good")
KEY: VerifierKey = MemoryLog().signer.public


def small(*more: str) -> MemoryLog:
    """A provider with a release of each of the versions 1.0.0 and `more`, sealed."""
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    for version in ("1.0.0", *more):
        log.release(PRODUCT, version, GOOD)
    log.seal()
    return log


def leaves(log: MemoryLog, start: int, end: int | None = None) -> Leaves:
    """Leaves of the newest checkpoint's tree."""
    end = start + 1 if end is None else end
    proof = prove_range(start, end, len(log.leaves), log.node)
    return Leaves(start, tuple(log.leaves[start:end]), proof)


def note(log: MemoryLog) -> str:
    """The newest checkpoint."""
    return log.note.decode()


def answered(log: MemoryLog, keys: Iterable[str]) -> Bundle:
    """A bundle that answers these keys."""
    return log.assemble({one: log.answer(one) for one in keys})


# --- checkpoints ---------------------------------------------------------------------


def two_checkpoints() -> TwoCheckpoints:
    """Of one size."""
    return TwoCheckpoints(checkpoints=(note(small_again()), note(small())))


def small_again() -> MemoryLog:
    """Another log with that key, as large as `small`."""
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.release(PRODUCT, "6.6.6", GOOD)
    log.seal()
    return log


def other_history() -> TwoCheckpoints:
    """Of two sizes."""
    old, new = small_again(), small("1.1.0", "1.2.0")
    proof = prove_prefix(len(old.leaves), len(new.leaves), new.node)
    return TwoCheckpoints(checkpoints=(note(old), note(new)), proof=proof)


def beyond_frozen() -> BeyondFrozen:
    """One more leaf, and its seal."""
    log = MemoryLog()
    old = log.seal(frozen=True).decode()
    entry = leaves(log, 1)
    log.enroll("acme.example", "provider")
    log.seal()
    return BeyondFrozen(checkpoints=(old, note(log)), entry=entry)


# --- leaves --------------------------------------------------------------------------


def bad_leaf(leaf: bytes = b'{"payload":""}') -> BadLeaf:
    """A leaf before the last seal."""
    log = small()
    index = log.append(leaf, force=True)
    log.seal()
    return BadLeaf(checkpoint=note(log), entry=leaves(log, index))


def said_twice() -> TwoLeaves:
    """One statement, signed by two keys, with another entry between."""
    log = MemoryLog()
    log.enroll("acme.example", "provider", keys=[key("acme.example"), key("other")])
    first = log.release(PRODUCT, "1.0.0", GOOD)
    log.seal()
    entry = log.entries[first]
    again = sign_envelope(entry.envelope.payload, [key("other")])
    second = log.append(again, force=True)
    log.seal()
    entries = (leaves(log, first), leaves(log, second))
    return TwoLeaves(checkpoint=note(log), entries=entries)


def gone_back() -> TwoLeaves:
    """Two seals, the second of an earlier time."""
    log = MemoryLog()
    log.seal()
    log.now -= 60
    log.seal()
    return TwoLeaves(checkpoint=note(log), entries=(leaves(log, 1), leaves(log, 2)))


# --- answers -------------------------------------------------------------------------


def judged(log: MemoryLog, index: int, *more: str) -> Unauthorised:
    """The file about entry `index`, from the log's answers."""
    keys = {*keys_to_judge(log.entries[index]), *more}
    bundle = answered(log, keys).encode()
    return Unauthorised(bundle=raw(bundle), entry=leaves(log, index))


def unauthorised() -> Unauthorised:
    """A release by a key that nobody gave to the provider."""
    log = small()
    index = log.release(PRODUCT, "1.1.0", GOOD, by=key("thief"), force=True)
    log.seal()
    return judged(log, index)


def hidden_entry() -> WrongAnswer:
    """An index without the revocation that there is."""
    log = small()
    index = log.revoke("acme.example", "compromised", 2)
    [by] = [one for one in log.index if one.startswith("v1/by/")]
    log.index[by].remove(index)
    log.seal()
    return WrongAnswer(
        bundle=raw(answered(log, [by]).encode()), entry=leaves(log, index)
    )


def invented_answer() -> WrongAnswer:
    """An index that lists an entry for a key that it has not."""
    log = small()
    log.index["v1/issuer/lab.example"] = [2]
    log.seal()
    keys = ["v1/issuer/acme.example", "v1/issuer/lab.example"]
    return WrongAnswer(bundle=raw(answered(log, keys).encode()), entry=leaves(log, 2))


# --- the index -----------------------------------------------------------------------


def wrong_from_the_start() -> WrongIndex:
    """The first seal of a log, with another root."""
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.release(PRODUCT, "1.0.0", GOOD)
    log.seal(root=b"r" * 32)
    return WrongIndex(
        checkpoint=note(log), entries=leaves(log, 0, 4), lists=(), nodes=()
    )


def wrong_index(root: bytes | None = b"r" * 32) -> WrongIndex:
    """A seal with another root (None: the right one), after one with the right one."""
    log = small("1.1.0", "1.2.0", "2.0.0")
    first, before, known = len(log.leaves) - 1, log.trie.root, dict(log.trie._nodes)
    lists = {name: tuple(indices) for name, indices in log.index.items()}
    log.enroll("lab.example", "auditor")
    log.release(PRODUCT, "2.1.0", registers("better"))
    log.revoke("acme.example", "compromised", 2)
    last = len(log.leaves)
    log.seal(root=root)
    log.enroll("late.example", "auditor")
    log.seal()
    touched = {name for leaf in log.leaves[first:last] for name in index_keys(leaf)}
    seen: dict[bytes, bytes] = {}

    def get(name: bytes) -> bytes:
        return seen.setdefault(name, known[name])

    trie.update(get, before, dict.fromkeys(map(key_hash, touched), bytes(32)))
    return WrongIndex(
        checkpoint=note(log),
        entries=leaves(log, first, last + 1),
        lists=tuple(Listed(n, lists[n]) for n in sorted(touched & lists.keys())),
        nodes=tuple(seen[name] for name in sorted(seen)),
    )


def raw(data: bytes) -> Raw:
    """JSON as it stands in a file."""
    return Raw(data)


KINDS: dict[str, Callable[[], File]] = {
    "one size": two_checkpoints,
    "two sizes": other_history,
    "frozen": beyond_frozen,
    "bad leaf": bad_leaf,
    "said twice": said_twice,
    "times go back": gone_back,
    "unauthorised": unauthorised,
    "hidden entry": hidden_entry,
    "invented answer": invented_answer,
    "first index": wrong_from_the_start,
    "index": wrong_index,
}
"""Each kind, in each of its forms."""


@cache
def data(name: str) -> bytes:
    """The file's bytes."""
    return encode(KINDS[name]())
