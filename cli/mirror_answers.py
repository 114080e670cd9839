"""A mirror, asked like a log: `--mirror DIR` needs no server and no network.

Files are handed out as they lie there. Bundles and lookups are made as a log makes them
(log_server/bundles.py has the same bounds and the same walk, `pcrlog.gather`): from the
mirrored entries, and from the index over them (mirror_index.py). Whoever asks verifies
all of it just as if a log had answered.

The index lies in a file, as the last run of `pcrlog mirror` left it. If it is not the
one in the seal, or a proof from it does not hold, it is made anew from the entries, and
written if it can be.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cli.mirror_files import INDEX, PROGRESS
from cli.mirror_index import Index, open_index
from cli.mirror_tiles import Folder, Tiles
from pcrlog import limits, trie
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import Checkpoint
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import (
    MalformedError,
    TransportError,
    UncheckedError,
    VerificationError,
)
from pcrlog.gather import Subject, gather
from pcrlog.index_keys import key_hash
from pcrlog.measurement import parse_measurement
from pcrlog.merkle import prove_inclusion
from pcrlog.note import UnverifiedNote
from pcrlog.seal import Seal
from pcrlog.tiles import FULL

_LOOKUP_ENTRIES = 256
"""A lookup answers with all indices, and with so many entries: the newest."""
_LOOKUP_BYTES = limits.BUNDLE // 4
_API = "api/v1/"
_BUNDLES = 64
"""Entry bundles that are remembered."""


class Mirror:
    """A mirror's folder as a `reader.Fetch`; `url` names it in words.

    Raises:
        UncheckedError: there is no mirror.
    """

    def __init__(self, directory: str) -> None:
        self.url = directory
        self._files = Folder(Path(directory))
        try:
            self.note = self._files("checkpoint", limits.NOTE)
        except TransportError as error:
            message = f"no mirror of a log: {error}. Make one: pcrlog mirror URL DIR"
            raise UncheckedError(message) from error
        self._tree: _Tree | None = None

    def __call__(self, path: str, most: int, /) -> bytes:
        """What a log would answer.

        Raises:
            AbsentError: it is not there.
            TransportError: the mirror is damaged, or the answer would be too large.
        """
        if path == "checkpoint":
            return self.note
        if not path.startswith(_API):
            return self._files(path, most)
        with self._said_if_damaged():
            data = self._answer(path.removeprefix(_API))
        if len(data) > most:
            message = f"the answer would have {len(data)} bytes, at most {most}"
            raise TransportError(message)
        return data

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under an index key: one answer, without a bundle around it.

        It is proven by the seal that lies here, or made from all entries, which its
        checkpoint proves. Whose that is, a bundle from here says once, to whoever has
        the log's key.

        Raises:
            TransportError: the mirror is damaged.
        """
        with self._said_if_damaged():
            return _Answers(self._there).indices(key)

    @property
    def _there(self) -> "_Tree":
        if self._tree is None:
            self._tree = _Tree(Path(self.url), self._files, self.note)
        return self._tree

    @contextmanager
    def _said_if_damaged(self) -> Iterator[None]:
        try:
            yield
        except (MalformedError, VerificationError) as error:
            message = (
                f"the mirror in {self.url} is damaged: {error}. Remove"
                f" {self.url}/{PROGRESS} and run pcrlog mirror again"
            )
            raise TransportError(message) from error

    def _answer(self, path: str) -> bytes:
        tree = self._there
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        answers = _Answers(tree)
        if parts.path == "bundle":
            measured = [parse_measurement(text) for text in query["measurement"]]
            names = tuple(measurement for _, measurement in measured)
            [product], auditors = query["product"], tuple(query.get("auditor", ()))
            subject = Subject(product, measured[0][0], names, auditors)
            gather(subject, answers.ask, answers.ask, lambda _product, above: above)
        elif parts.path == "lookup":
            [(kind, [value])] = query.items()
            answers.look_up(f"v1/{kind}/{value}")
        else:
            return tree.leaf(int(parts.path.removeprefix("entries/")))
        return answers.encode()


class _Tree:
    """The mirrored tree, its last seal, and the index that this is the seal of."""

    def __init__(self, directory: Path, files: Folder, note: bytes) -> None:
        self.note = note
        checkpoint = Checkpoint.parse(UnverifiedNote.parse(note).text)
        self._tiles = Tiles(checkpoint, files)
        self._leaves = lru_cache(_BUNDLES)(lambda number: self._tiles.leaves(number)[0])
        self._path = directory / INDEX
        self.last = checkpoint.size - 1
        self.seal = Seal.parse(self.leaf(self.last))
        self.index = open_index(self._path, checkpoint.size, checkpoint.size)
        if not self.index.began or not self._fits():
            self.make_index()

    def leaf(self, index: int) -> bytes:
        if not 0 <= index <= self.last:
            message = f"the mirror has {self.last + 1} entries, so none with {index}"
            raise UncheckedError(message)
        leaf: bytes = self._leaves(index // FULL)[index % FULL]
        return leaf

    def path(self, index: int) -> tuple[bytes, ...]:
        return prove_inclusion(index, self.last + 1, self._tiles.node)

    def make_index(self) -> None:
        """Make the index from the entries, all of them."""
        self.index = Index()
        self._grow()
        with suppress(OSError):
            self.index.save(self._path)

    def _fits(self) -> bool:
        """Whether the index that lay there leads to the seal's."""
        try:
            self._grow()
        except MalformedError:
            return False
        return self.index.root == self.seal.root

    def _grow(self) -> None:
        index = self.index
        for number in range(index.size // FULL, self.last // FULL + 1):
            index.extend(self._leaves(number)[max(0, index.size - number * FULL) :])
        index.settle()


class _Answers:
    """Gathers answers and entries, each once, and makes a bundle of them."""

    def __init__(self, tree: _Tree) -> None:
        self._tree = tree
        self._answers: dict[str, Answer] = {}
        self._entries: dict[int, Entry] = {}

    def ask(self, key: str) -> Sequence[Entry]:
        """All entries under a key (a `gather.Ask`)."""
        indices = self.indices(key)
        _check(len(indices), limits.BUNDLE_ENTRIES, f"entries under {key}")
        return [self._entry(index) for index in indices]

    def look_up(self, key: str) -> None:
        """All indices under a key, and the newest entries."""
        left = _LOOKUP_BYTES
        for index in reversed(self.indices(key)[-_LOOKUP_ENTRIES:]):
            left -= len(self._entry(index).envelope.raw)
            if left <= 0:
                break

    def indices(self, key: str) -> tuple[int, ...]:
        """All indices under a key."""
        if key not in self._answers:
            self._answers[key] = self._answer(key)
            _check(len(self._answers), limits.BUNDLE_ANSWERS, "answers")
        return self._answers[key].indices

    def _answer(self, key: str) -> Answer:
        if self._tree.index.began:
            # What lay in the file may be anything.
            with suppress(MalformedError, VerificationError):
                return _checked(key, self._tree.index, self._tree.seal.root)
            self._tree.make_index()
        index = self._tree.index
        return Answer(index.indices(key), index.prove(key))

    def _entry(self, index: int) -> Entry:
        if index not in self._entries:
            self._entries[index] = parse_entry(index, self._tree.leaf(index))
            _check(len(self._entries), limits.BUNDLE_ENTRIES, "entries")
        return self._entries[index]

    def encode(self) -> bytes:
        """The bundle."""
        tree = self._tree
        entries = {
            index: Included(entry.envelope, tree.path(index))
            for index, entry in self._entries.items()
        }
        seal, proof = tree.leaf(tree.last), tree.path(tree.last)
        return Bundle(tree.note, seal, proof, self._answers, entries).encode()


def _checked(key: str, index: Index, root: bytes) -> Answer:
    """An answer whose proof holds."""
    answer, hashed = Answer(index.indices(key), index.prove(key)), key_hash(key)
    if answer.indices:
        trie.check_presence(root, hashed, trie.value_of(answer.indices), answer.proof)
    else:
        trie.check_absence(root, hashed, answer.proof)
    return answer


def _check(found: int, most: int, what: str) -> None:
    if found > most:
        message = f"{found} {what}: a bundle holds at most {most}"
        raise UncheckedError(message)
