"""The index trie in pages: the same roots and proofs as of any other trie."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from log_server import index_pages
from log_server.index_pages import LONG, MOST_KEYS, ROOT, Known, Update
from pcrlog import trie
from pcrlog.subtries import leaf_hash

Lists = dict[bytes, list[int]]


@dataclass
class Kept:
    """What a database keeps, in memory; and a plain trie beside it."""

    stored: dict[int, bytes] = field(default_factory=dict)
    lists: Lists = field(default_factory=dict)
    plain: trie.MemoryTrie = field(default_factory=trie.MemoryTrie)
    most_read: int = 0
    extended: list[bytes] = field(default_factory=list)

    def pages(self, numbers: Iterable[int]) -> dict[int, bytes]:
        return {n: self.stored[n] for n in numbers if n in self.stored}

    def leaves(self, low: bytes, high: bytes) -> dict[bytes, Known]:
        found = {
            key: value_or_list(self.lists[key])
            for key in sorted(self.lists)
            if low <= key < high
        }
        self.most_read = max(self.most_read, len(found))
        return found

    def extend(self, key: bytes, more: Sequence[int]) -> bytes:
        self.extended.append(key)
        return trie.value_of([*self.lists[key], *more])

    def grow(self, lists: Lists) -> Update:
        update = index_pages.grow(self, lists, self.extend)
        for number, page in update.before.items():
            assert self.stored.get(number) == page
        self.stored.update(update.pages)
        for key, more in lists.items():
            self.lists.setdefault(key, []).extend(more)
        self.plain.update({key: trie.value_of(self.lists[key]) for key in lists})
        return update


def value_or_list(indices: list[int]) -> Known:
    return indices if len(indices) <= LONG else trie.value_of(indices)


def made_anew(lists: Lists) -> dict[int, bytes]:
    pages: dict[int, bytes] = {}
    leaves = ((key, leaf_hash(key, trie.value_of(lists[key]))) for key in sorted(lists))
    index_pages.plant(ROOT, leaves, pages.__setitem__)
    return pages


def batches(keys: Sequence[bytes], size: int) -> Iterable[Lists]:
    """The keys, one index each, so many at once."""
    for start in range(0, len(keys), size):
        numbered = enumerate(keys[start : start + size], start)
        yield {key: [index] for index, key in numbered}


# Far apart, in the first bits alone, and in the last bits that a page can tell.
KEYS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 255).map(lambda number: number.to_bytes(1) + bytes(31)),
    st.integers(0, 255).map(lambda number: bytes(7) + number.to_bytes(1) + bytes(24)),
    st.integers(0, 40).map(lambda number: b"\xff" * 31 + number.to_bytes(1)),
)
BATCHES = st.lists(
    st.dictionaries(KEYS, st.integers(1, 3), min_size=1, max_size=40), max_size=5
)


@given(BATCHES, st.sets(KEYS, max_size=10))
def test_roots_and_proofs_are_those_of_any_trie(
    sizes: list[dict[bytes, int]], others: set[bytes]
) -> None:
    kept, index = Kept(), 0
    for counts in sizes:
        lists: Lists = {}
        for key, count in counts.items():
            lists[key] = list(range(index, index + count))
            index += count
        assert kept.grow(lists).root == kept.plain.root
    for key in others | kept.lists.keys():
        assert index_pages.prove(kept, key) == kept.plain.prove(key)
    assert kept.stored == made_anew(kept.lists)


def test_the_empty_trie_proves_that_it_has_nothing() -> None:
    assert index_pages.prove(Kept(), bytes(32)) == b""
    assert made_anew({}) == {}


def test_what_is_read_for_a_key_does_not_grow() -> None:
    kept, keys = Kept(), [trie.value_of([number]) for number in range(3000)]
    for lists in batches(keys, 100):
        kept.grow(lists)
    assert kept.most_read <= MOST_KEYS
    assert kept.stored == made_anew(kept.lists)


def test_keys_that_were_ground_to_be_neighbours_cost_no_more() -> None:
    kept = Kept()
    keys = [b"neigh" + trie.value_of([number])[:27] for number in range(400)]
    for lists in batches(keys, 7):
        assert kept.grow(lists).root == kept.plain.root
    assert kept.most_read <= MOST_KEYS


def test_below_the_last_page_there_may_be_any_number_of_keys() -> None:
    kept = Kept()
    keys = [b"neighbour" + number.to_bytes(23) for number in range(100)]
    for lists in batches(keys, 9):
        assert kept.grow(lists).root == kept.plain.root
    for key in [*keys, bytes(32), b"neighbour" + bytes([1] * 23)]:
        assert index_pages.prove(kept, key) == kept.plain.prove(key)


def test_long_lists_have_their_value_and_no_others() -> None:
    kept, key = Kept(), bytes(32)
    assert kept.grow({key: list(range(LONG))}).values == {}
    kept.grow({bytes([1] * 32): [LONG]})
    update = kept.grow({key: [LONG + 1]})
    assert update.values == {key: trie.value_of(kept.lists[key])}
    assert not kept.extended, "it was there as a whole"
    update = kept.grow({key: [LONG + 2], bytes([2] * 32): [LONG + 2]})
    assert update.values == {key: trie.value_of(kept.lists[key])}
    assert kept.extended == [key]
    assert update.root == kept.plain.root
    assert index_pages.prove(kept, key) == kept.plain.prove(key)


@given(KEYS, st.integers(0, 20))
def test_the_bounds_of_a_place_hold_its_keys(key: bytes, steps: int) -> None:
    depth = 3 * steps
    number = 1 << depth | int.from_bytes(key) >> 256 - depth
    assert index_pages.depth_of(number) == depth
    low, high = index_pages.bounds(number)
    assert low <= key < high
    assert int.from_bytes(low) >> 256 - depth == number - (1 << depth)
    assert not steps or low > bytes(32) or high < b"\xff" * 32
