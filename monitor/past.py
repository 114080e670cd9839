"""Our index as it was at an earlier seal, as far as evidence needs it.

The index has gone on since. What the leaves after the seal have brought about is known
from these leaves, and so it can be taken back, key by key (`trie.rewind`).
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from monitor.evidence_case import Case
from pcrlog import trie
from pcrlog.bundle import Answer
from pcrlog.errors import UncheckedError
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.trie import KEY_SIZE, value_of

_T = TypeVar("_T")


class Past:
    """The index over the leaves before a seal.

    Args:
        case: its index is over these leaves, and perhaps more of the same tree.
        place: where the seal stands.

    Raises:
        UncheckedError: too many leaves came since, or the index is not that of the
            leaves that the log serves now.
        MalformedError, TransportError: the log does not serve them.
    """

    def __init__(self, case: Case, place: int) -> None:
        size = case.index.size
        if not place <= size <= case.checkpoint.size:
            message = f"our index is over {size} leaves"
            raise UncheckedError(message)
        self._index = case.index
        self._place = place
        since = {key for leaf in case.row(place, size) for key in index_keys(leaf)}
        hashed = {
            key_hash(key): value_of(at) if (at := self.indices(key)) else None
            for key in since
        }
        self._nodes = dict(self._index.nodes_for(hashed))
        now = self._index.root()
        rewound = _looked_up(lambda: trie.rewind(self._nodes.__getitem__, now, hashed))
        self._nodes |= self._index.nodes_for(rewound.beside)
        self._nodes |= rewound.born
        self.root = rewound.root

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under a key, then."""
        return tuple(at for at in self._index.indices(key) if at < self._place)

    def nodes(self, keys: Iterable[str]) -> tuple[bytes, ...]:
        """The nodes that setting these keys visited then, ascending by hash.

        All of them have been set since.
        """
        seen: dict[bytes, bytes] = {}

        def get(name: bytes) -> bytes:
            seen[name] = self._nodes[name]
            return seen[name]

        values = dict.fromkeys(map(key_hash, keys), bytes(KEY_SIZE))
        _looked_up(lambda: trie.update(get, self.root, values))
        return tuple(seen[name] for name in sorted(seen))

    def answer(self, key: str) -> Answer:
        """What the index answered to a key, then."""
        return Answer(self.indices(key), self._prove(key_hash(key)))

    def _prove(self, key: bytes) -> bytes:
        for _ in range(8 * KEY_SIZE):
            try:
                return trie.prove(self._nodes.__getitem__, self.root, key)
            except KeyError:
                missing = _looked_up(lambda: self._towards_missing(key))
                self._nodes |= self._index.nodes_for([missing])
        message = "our index does not prove what it answers"
        raise UncheckedError(message)

    def _towards_missing(self, key: bytes) -> bytes:
        """A key whose setting reads the first node on the way that is not known yet."""
        name, towards = self.root, key
        while name in self._nodes:
            towards, name = trie.step(self._nodes.__getitem__, name, key)
        return towards


def _looked_up(look: Callable[[], _T]) -> _T:
    try:
        return look()
    except KeyError as error:
        message = "our index is not that of the leaves that the log serves now"
        raise UncheckedError(message) from error
