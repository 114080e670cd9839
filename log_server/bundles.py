"""Answers with proofs: bundles, lookups and proof files, from one snapshot of log.db.

Everything is proven against the published checkpoint: answers against the root in its
seal, entries and the seal against its size. What is walked is the verifier's own walk
(`pcrlog.gather`), so that a bundle holds every answer that a verifier will ask for;
more does no harm, and less than that would leave it unable to check.
"""

from collections.abc import Sequence

from log_server.index_pages import prove
from log_server.problems import AnswerTooLargeError, NoEntryError, UnavailableError
from log_server.store import Snapshot
from pcrlog import limits
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.entry import Entry, parse_entry
from pcrlog.gather import Subject, gather
from pcrlog.index_keys import key_hash
from pcrlog.merkle import prove_inclusion
from pcrlog.proof import Proof

LOOKUP_ENTRIES = 256
"""A lookup answers with all indices, and with so many entries: the newest."""
LOOKUP_BYTES = limits.BUNDLE // 4
"""And with entries of about so many bytes: their proofs have to fit in as well."""
_INDICES = limits.BUNDLE // 8
"""More indices than could stand in a bundle are not even read."""


class Answers:
    """Gathers answers and entries, each once, and makes a bundle of them.

    Args:
        snapshot: the published log.

    Raises:
        UnavailableError: nothing is published yet.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        published = snapshot.published()
        if published is None:
            message = "nothing is published yet"
            raise UnavailableError(message)
        self._snapshot = snapshot
        self._checkpoint, self._note = published
        self._index = snapshot.index_at(self._checkpoint)
        self._answers: dict[str, Answer] = {}
        self._entries: dict[int, Entry] = {}

    def answer(self, key: str) -> tuple[int, ...]:
        """All indices under a key, now part of the bundle.

        Raises:
            AnswerTooLargeError: that is more than a bundle may hold.
        """
        if key not in self._answers:
            hashed = key_hash(key)
            indices = self._snapshot.indices(hashed, _INDICES + 1)
            self._answers[key] = Answer(indices, prove(self._index, hashed))
            if len(indices) > _INDICES or len(self._answers) > limits.BUNDLE_ANSWERS:
                message = f"over {limits.BUNDLE_ANSWERS} answers, or {key} is too long"
                raise AnswerTooLargeError(message)
        return self._answers[key].indices

    def ask(self, key: str) -> Sequence[Entry]:
        """All entries under a key, now part of the bundle (a `gather.Ask`)."""
        indices = self.answer(key)
        if len(indices) > limits.BUNDLE_ENTRIES:
            message = f"{key} has {len(indices)} entries"
            raise AnswerTooLargeError(message)
        return [self.entry(index) for index in indices]

    def entry(self, index: int) -> Entry:
        """An entry, now part of the bundle."""
        if index not in self._entries:
            self._entries[index] = parse_entry(index, leaf_at(self._snapshot, index))
            if len(self._entries) > limits.BUNDLE_ENTRIES:
                message = f"over {limits.BUNDLE_ENTRIES} entries"
                raise AnswerTooLargeError(message)
        return self._entries[index]

    def encode(self) -> bytes:
        """The bundle.

        Raises:
            AnswerTooLargeError: it would be larger than a verifier accepts.
        """
        entries = {
            index: Included(entry.envelope, self._path(index))
            for index, entry in self._entries.items()
        }
        last = self._checkpoint.size - 1
        seal = leaf_at(self._snapshot, last)
        bundle = Bundle(self._note, seal, self._path(last), self._answers, entries)
        data = bundle.encode()
        if len(data) > limits.BUNDLE:
            message = f"bundle would have {len(data)} bytes, at most {limits.BUNDLE}"
            raise AnswerTooLargeError(message)
        return data

    def _path(self, index: int) -> tuple[bytes, ...]:
        return prove_inclusion(index, self._checkpoint.size, self._snapshot.node)


def bundle_about(
    snapshot: Snapshot,
    product: str,
    platform: str,
    measurements: Sequence[str],
    auditors: Sequence[str],
) -> bytes:
    """All that verification of a product asks about what was measured.

    A component is walked with all of `auditors`: the policy that chooses among them is
    the verifier's.

    Raises:
        AnswerTooLargeError: more than a bundle may hold.
    """
    answers = Answers(snapshot)
    subject = Subject(product, platform, tuple(measurements), tuple(auditors))
    gather(subject, answers.ask, answers.ask, lambda _product, above: above)
    return answers.encode()


def lookup(snapshot: Snapshot, key: str) -> bytes:
    """A bundle of one answer: all indices under a key, and the newest entries."""
    answers = Answers(snapshot)
    left = LOOKUP_BYTES
    for index in reversed(answers.answer(key)[-LOOKUP_ENTRIES:]):
        left -= len(answers.entry(index).envelope.raw)
        if left <= 0:
            break
    return answers.encode()


def proof_of(snapshot: Snapshot, index: int) -> tuple[Proof, int]:
    """An entry's `.tlog-proof` against the published checkpoint, and that one's size.

    Raises:
        NoEntryError: it is not published.
    """
    published = snapshot.published()
    if published is None or index >= published[0].size:
        message = f"entry {index} is not published"
        raise NoEntryError(message)
    checkpoint, note = published
    path = prove_inclusion(index, checkpoint.size, snapshot.node)
    return Proof(index, path, note), checkpoint.size


def leaf_at(snapshot: Snapshot, index: int) -> bytes:
    """A published leaf.

    Raises:
        NoEntryError: there is none at this index.
    """
    leaf = snapshot.leaf(index)
    if leaf is None:
        message = f"no entry {index}: {snapshot.size} entries are published"
        raise NoEntryError(message)
    return leaf
