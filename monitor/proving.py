"""Makes the files of evidence about an entry, from a signed tree and our own index.

Nothing here is believed: leaves and hashes come from the log unverified, and a file
that does not convict is thrown away by whoever asked for it (evidence_files.py). What
is missing, or not as it should be, raises.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from msgspec import Raw

from monitor.evidence_case import Case
from monitor.past import Past
from pcrlog import limits
from pcrlog.bundle import Bundle, Included
from pcrlog.encoding import sha256
from pcrlog.entry import parse_entry
from pcrlog.envelope import Envelope
from pcrlog.errors import UncheckedError
from pcrlog.evidence import (
    BadLeaf,
    File,
    Listed,
    TwoLeaves,
    Unauthorised,
    WrongIndex,
    keys_to_judge,
)
from pcrlog.index_keys import index_keys, of_identity, payload_of
from pcrlog.seal import Seal

_OWNER = re.compile(r"belongs to ([a-z0-9.-]+), for ever")
"""In the judgement of authority.py; no index key leads from a keyid to a name."""


# --- leaves --------------------------------------------------------------------------


def bad_leaf(case: Case, index: int) -> BadLeaf:
    """A leaf that no log may take."""
    return BadLeaf(checkpoint=case.note, entry=case.single(index))


def said_twice(case: Case, index: int) -> TwoLeaves:
    """A statement that was in the log already."""
    payload = payload_of(case.leaf(index))
    first = None if payload is None else case.index.statement(sha256(payload))
    if first is None:
        message = f"leaf {index} is no statement that was made before"
        raise UncheckedError(message)
    return TwoLeaves(
        checkpoint=case.note, entries=(case.single(first), case.single(index))
    )


def gone_back(case: Case, before: int, index: int) -> TwoLeaves:
    """Two seals, of which the later has the earlier time."""
    entries = (case.single(before), case.single(index))
    return TwoLeaves(checkpoint=case.note, entries=entries)


def against_seals(case: Case, index: int) -> Iterator[Callable[[], File]]:
    """A time that goes back from the seal before; a seal after which nothing comes."""
    for number, (at, seal) in enumerate(case.seals_before(index)):
        if number == 0:
            yield partial(gone_back, case, at, index)
        if seal.frozen:
            yield partial(bad_leaf, case, at)


# --- authority -----------------------------------------------------------------------


def unauthorised(case: Case, index: int, words: str) -> Unauthorised:
    """An entry that nobody may make, by the identities that the log's index gives.

    Args:
        case: its index is over the entry.
        index: which entry.
        words: what the forward pass says of it.
    """
    place, sealed = _seal_after(case, index)
    past = Past(case, place)
    if past.root != sealed.root:
        message = f"seal {place} has not the root of our index"
        raise UncheckedError(message)
    accused = case.leaf(index)
    keys = {*keys_to_judge(parse_entry(index, accused))}
    keys |= {of_identity(name) for name in _OWNER.findall(words)}
    answers = {key: past.answer(key) for key in keys}
    asked = {at for one in answers.values() for at in one.indices if at < index}
    if len(asked) > limits.BUNDLE_ENTRIES:
        message = f"{len(asked)} entries are too many for a bundle"
        raise UncheckedError(message)
    entries = {}
    for at in sorted(asked):
        one = case.single(at)
        entries[at] = Included(Envelope.parse(one.leaves[0]), one.proof)
    seal = case.single(place)
    note, leaf = case.note.encode(), seal.leaves[0]
    bundle = Bundle(note, leaf, seal.proof, answers, entries)
    return Unauthorised(
        bundle=Raw(bundle.encode()), entry=case.proven(index, [accused])
    )


def _seal_after(case: Case, index: int) -> tuple[int, Seal]:
    """The newest seal that our index has come to, if it answers for an entry."""
    end = min(case.index.size + 1, case.checkpoint.size)
    for at, seal in case.seals_before(end):
        if at <= index:
            break
        if seal.count == at:
            return at, seal
    message = f"our index has come to no seal after entry {index}"
    raise UncheckedError(message)


# --- the index -----------------------------------------------------------------------


def wrong_index(case: Case, index: int) -> WrongIndex:
    """A seal with another root than the one before it and the leaves since make."""
    first = _seal_before(case, index)
    row = case.row(first, index + 1)
    past = Past(case, first)
    keys = sorted({key for leaf in row for key in index_keys(leaf)})
    lists = [Listed(key, past.indices(key)) for key in keys]
    return WrongIndex(
        checkpoint=case.note,
        entries=case.proven(first, row),
        lists=tuple(one for one in lists if one.indices),
        nodes=past.nodes(keys),
    )


def _seal_before(case: Case, index: int) -> int:
    """Where the last seal before this one stands that counts rightly."""
    for at, seal in case.seals_before(index):
        if seal.count == at:
            return at
    message = f"no seal is near before leaf {index}"
    raise UncheckedError(message)


def wrong_from_the_start(case: Case, index: int) -> WrongIndex:
    """A seal with another root than all the leaves before it make."""
    entries = case.proven(0, case.row(0, index + 1))
    return WrongIndex(checkpoint=case.note, entries=entries, lists=(), nodes=())
