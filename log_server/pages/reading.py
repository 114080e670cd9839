"""What one page reads of the log: one snapshot, and no more than a bound.

Anybody may ask for a page, and a name may have said any number of things. So whatever
is read here is counted, and a page that would need more is refused with a word, not
made slowly. A page that a person reads needs a few dozen entries.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from log_server.problems import AnswerTooLargeError, NoEntryError
from log_server.store import CheckpointRow, Snapshot
from pcrlog.authority import Authority
from pcrlog.entry import Entry, parse_entry
from pcrlog.index_keys import by, key_hash, of_identity
from pcrlog.predicates import REGISTRAR, Identity, Revocation

ENTRIES = 1000
"""Read for one page at most: a tenth of a second, and a page that people read needs a
twentieth of it."""
_WINDOW = 32_768
"""Leaves looked at for the newest statements: an idle log adds a seal an hour."""


class Reading:
    """Reads entries of a snapshot, each once; for one request.

    Args:
        snapshot: the published log.
        origin: its name.
        most: entries read at most.
    """

    def __init__(self, snapshot: Snapshot, origin: str, most: int = ENTRIES) -> None:
        self.snapshot = snapshot
        self._origin = origin
        self._left = most
        self._entries: dict[int, Entry] = {}
        self._keys: dict[str, tuple[int, ...]] = {}
        self._sealed: dict[int, CheckpointRow | None] = {}

    @property
    def size(self) -> int:
        """Leaves published."""
        return self.snapshot.size

    def leaf(self, index: int) -> bytes:
        """The bytes of a leaf.

        Raises:
            NoEntryError: there is none.
            AnswerTooLargeError: too much was read.
        """
        self._spend(1)
        leaf = self.snapshot.leaf(index)
        if leaf is None:
            message = f"no entry {index}: {self.size} entries are published"
            raise NoEntryError(message)
        return leaf

    def entry(self, index: int) -> Entry:
        """A statement.

        Raises:
            NoEntryError, AnswerTooLargeError: as `leaf`.
            MalformedError, UncheckedError: it is none, or of a later version.
        """
        found = self._entries.get(index)
        if found is None:
            found = self._entries[index] = parse_entry(index, self.leaf(index))
        return found

    def under(self, key: str) -> Sequence[Entry]:
        """All entries under a key, ascending (a `gather.Ask`)."""
        indices = self._keys.get(key)
        if indices is None:
            indices = self.snapshot.indices(key_hash(key), ENTRIES)
            if len(indices) == ENTRIES:
                self._spend(ENTRIES)
            self._keys[key] = indices
        return [self.entry(index) for index in indices]

    @contextmanager
    def at_most(self, entries: int) -> Iterator[None]:
        """A part of a page, which may use up so much and not the whole of it.

        Raises:
            AnswerTooLargeError: it needs more.
        """
        kept = max(0, self._left - entries)
        self._left -= kept
        try:
            yield
        finally:
            self._left = kept + max(0, self._left)

    def newest(
        self, key: str, most: int, before: int | None = None
    ) -> tuple[list[Entry], int | None]:
        """The newest entries under a key, and `before` of the next page of them."""
        end = self.size if before is None else min(before, self.size)
        found: list[Entry] = []
        for index in self.snapshot.up_to(end).newest(key):
            if len(found) == most:
                return found, found[-1].index if found else None
            found.append(self.entry(index))
        return found, None

    def first(self, key: str) -> Entry | None:
        """The oldest entry under a key."""
        indices = self.snapshot.indices(key_hash(key), 1)
        return self.entry(indices[0]) if indices else None

    def statements(
        self, most: int, before: int | None = None
    ) -> tuple[list[Entry], int | None]:
        """The newest statements of all, and `before` of the next page of them."""
        end = self.size if before is None else min(before, self.size)
        low = max(0, end - _WINDOW)
        rows = self.snapshot.statements(low, end, most + 1)
        self._spend(len(rows))
        for index, leaf in rows:
            if index not in self._entries:
                self._entries[index] = parse_entry(index, leaf)
        found = [self._entries[index] for index, _ in rows[:most]]
        # Beyond the window there may be more; whoever asks on will see.
        more = found[-1].index if len(rows) > most else low or None
        return found, more

    def words(self, word: str, most: int, seen: int) -> tuple[list[Entry], bool]:
        """Entries with a word that begins so, newest first; and whether that is all.

        Nothing vouches for it: the words are the server's own.
        """
        found, complete = self.snapshot.search(word.lower(), most, seen)
        return [self.entry(index) for index in found], complete

    def places(self, word: str, seen: int) -> tuple[list[int], bool]:
        """Where `words` would find entries, without reading one."""
        return self.snapshot.search(word.lower(), seen, seen)

    def has_word(self, word: str) -> bool:
        """Whether plain search finds anything under a word that begins so."""
        return bool(self.snapshot.search(word.lower(), 1, 1)[0])

    def authority(self, names: Iterable[str]) -> Authority:
        """Who may say what, as far as these names and the registrar go.

        Every identity was judged when it was admitted; it is judged again only since
        what comes of it is not stored.
        """
        found = {
            entry.index: entry
            for name in dict.fromkeys((REGISTRAR, *names))
            for entry in self.under(of_identity(name))
        }
        authority = Authority(self._origin)
        for index in sorted(found):
            authority.accept(found[index])
        return authority

    def sealed(self, index: int) -> CheckpointRow | None:
        """The checkpoint that was the first to cover an entry."""
        if index not in self._sealed:
            self._sealed[index] = self.snapshot.checkpoint_over(index)
        return self._sealed[index]

    def revocations_of(self, entry: Entry) -> Iterator[tuple[int, Revocation]]:
        """What its own issuer said to take back a statement, and where."""
        said = entry.predicate
        if isinstance(said, Identity):
            return
        for measurement in entry.statement.measurements:
            for one in self.under(by(said.issuer, said.platform, measurement)):
                found = one.predicate
                if isinstance(found, Revocation) and found.statement == entry.sha256:
                    yield one.index, found

    def index_of(self, sha256: str) -> int | None:
        """Where the statement with this hash stands."""
        return self.snapshot.index_of(bytes.fromhex(sha256))

    def growth(self, points: int) -> Iterator[CheckpointRow]:
        """So many checkpoints from the first to the published one, ascending."""
        published = self.snapshot.published()
        if published is None:
            return
        last = published[0].batch
        numbers = sorted({1 + (last - 1) * i // (points - 1) for i in range(points)})
        for number in numbers:
            row = published[0] if number == last else self.snapshot.checkpoint(number)
            if row is not None:
                yield row

    def _spend(self, entries: int) -> None:
        self._left -= entries
        if self._left < 0:
            message = "more entries belong to this page than it may read"
            raise AnswerTooLargeError(message)
