"""The index trie against a naive one, whatever is set in whatever order."""

import contextlib
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrlog import trie
from pcrlog.errors import MalformedError, VerificationError

Items = dict[bytes, bytes]


def near(bits: frozenset[int]) -> bytes:
    """A key with just these bits: such keys share long paths."""
    return sum(1 << (255 - bit) for bit in bits).to_bytes(32)


BITS = st.sampled_from([0, 1, 2, 7, 8, 9, 126, 127, 128, 129, 200, 254, 255])
KEYS = st.binary(min_size=32, max_size=32) | st.frozensets(BITS, max_size=4).map(near)
HASHES = st.binary(min_size=32, max_size=32)
ITEMS = st.dictionaries(KEYS, HASHES, max_size=12)


# --- the oracle: FORMATS.md section 6, with keys as strings of bits ------------------


def naive(items: Items) -> tuple[bytes, Items]:
    """The root of these items, and every node by its hash."""
    if not items:
        return sha256(b"").digest(), {}
    if len(items) == 1:
        [(key, value)] = items.items()
        node = b"\x00" + uvarint(32) + key + uvarint(32) + value
        return sha256(node).digest(), {sha256(node).digest(): node}
    bits = {key: f"{int.from_bytes(key):0256b}" for key in items}
    bit = next(n for n in range(256) if len({text[n] for text in bits.values()}) == 2)
    sides = [
        naive({key: value for key, value in items.items() if bits[key][bit] == side})
        for side in "01"
    ]
    node = b"\x01" + uvarint(bit) + sides[0][0] + sides[1][0]
    name = sha256(node).digest()
    return name, {name: node, **sides[0][1], **sides[1][1]}


def uvarint(number: int) -> bytes:
    """As protocol buffers write it."""
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def built(items: Items) -> trie.MemoryTrie:
    made = trie.MemoryTrie()
    made.update(items)
    return made


# --- updates -------------------------------------------------------------------------


@given(st.lists(ITEMS, max_size=6))
def test_updates_one_after_another_leave_what_one_update_would(
    updates: list[Items],
) -> None:
    """And a store that keeps the born and drops the dead holds just what is in use."""
    store: Items = {}
    items: Items = {}
    root = trie.EMPTY_ROOT
    for values in updates:
        change = trie.update(store.__getitem__, root, values)
        assert not change.died & change.born.keys()
        assert change.died <= store.keys()
        root = change.root
        store |= change.born
        for name in change.died:
            del store[name]
        items |= values
        assert (root, store) == naive(items)


@given(ITEMS, st.data())
def test_the_order_of_keys_does_not_matter(items: Items, data: st.DataObject) -> None:
    made = trie.MemoryTrie()
    for key in data.draw(st.permutations(list(items))):
        made.update({key: items[key]})
    assert made.root == built(items).root == naive(items)[0]


@given(ITEMS, ITEMS)
def test_older_roots_are_proven_from_nodes_that_have_not_died_yet(
    old: Items, new: Items
) -> None:
    """A log keeps the dead for a while: readers of the last root still need them."""
    nodes: Items = {}
    first = trie.update(nodes.__getitem__, trie.EMPTY_ROOT, old)
    nodes |= first.born
    nodes |= trie.update(nodes.__getitem__, first.root, new).born
    for key in {*old, *new}:
        proof = trie.prove(nodes.__getitem__, first.root, key)
        if key in old:
            trie.check_presence(first.root, key, old[key], proof)
        else:
            trie.check_absence(first.root, key, proof)


# --- proofs --------------------------------------------------------------------------


@given(ITEMS, st.lists(KEYS, max_size=6))
def test_every_key_is_proven_present_or_absent_and_never_both(
    items: Items, others: list[bytes]
) -> None:
    made = built(items)
    for key in {*items, *others}:
        proof = made.prove(key)
        if key in items:
            trie.check_presence(made.root, key, items[key], proof)
            with pytest.raises((MalformedError, VerificationError)):
                trie.check_absence(made.root, key, proof)
        else:
            trie.check_absence(made.root, key, proof)


@given(ITEMS, KEYS, HASHES, st.data())
@settings(max_examples=300)
def test_no_proof_made_of_parts_shows_what_is_not_so(
    items: Items, key: bytes, value: bytes, data: st.DataObject
) -> None:
    """Steps of real proofs, in any choice and order, with any leaf in the lead."""
    made = built(items)
    parts: list[trie.Step] = []
    for name in items:
        parts += trie.split_proof(made.prove(name), present=True)[1]
    steps = data.draw(st.lists(st.sampled_from(parts), max_size=8)) if parts else []
    steps = sorted(
        {bit: (bit, sibling) for bit, sibling in steps}.values(), reverse=True
    )
    claimed = data.draw(st.sampled_from([*items, key]))
    if items.get(claimed) != value:
        with pytest.raises((MalformedError, VerificationError)):
            trie.check_presence(made.root, claimed, value, trie.encode_proof(steps))
    if claimed in items:
        lead = data.draw(st.sampled_from([*items.items(), (key, value)]))
        proof = trie.encode_proof(steps, lead)
        with pytest.raises((MalformedError, VerificationError)):
            trie.check_absence(made.root, claimed, proof)


@given(ITEMS, ITEMS, st.lists(KEYS, max_size=6))
def test_the_nodes_that_an_update_reads_are_enough_to_repeat_it(
    items: Items, values: Items, others: list[bytes]
) -> None:
    made = built(items)
    seen: Items = {}

    def get(name: bytes) -> bytes:
        return seen.setdefault(name, made._nodes[name])

    after = trie.update(get, made.root, values)
    part = trie.read_nodes(seen.values())
    assert part == seen
    for key in values:
        assert trie.find(part.__getitem__, made.root, key) == items.get(key)
    assert trie.update(part.__getitem__, made.root, values).root == after.root
    for key in (*items, *others):
        found = trie.find(made._nodes.__getitem__, made.root, key)
        assert found == items.get(key)


@given(ITEMS, ITEMS, ITEMS)
def test_a_trie_is_rewound_from_what_updates_of_it_read(
    items: Items, values: Items, later: Items
) -> None:
    """And what is read with `beside` is enough to go forward again, one step or all."""
    steps = [items, items | values, items | values | later]
    now = built(steps[2])
    touched = dict.fromkeys((*values, *later), bytes(32))
    seen: Items = {}

    def get(name: bytes) -> bytes:
        return seen.setdefault(name, now._nodes[name])

    trie.update(get, now.root, touched)
    before = {key: items.get(key) for key in touched}
    rewound = trie.rewind(dict(seen).__getitem__, now.root, before)
    assert rewound.root == built(items).root
    trie.update(get, now.root, dict.fromkeys(rewound.beside, bytes(32)))
    part = trie.read_nodes([*seen.values(), *rewound.born.values()])
    for key in touched:
        assert trie.find(part.__getitem__, rewound.root, key) == items.get(key)
    for wanted in steps:
        changed = {key: wanted[key] for key in touched if key in wanted}
        there = trie.update(part.__getitem__, rewound.root, changed)
        assert there.root == built(wanted).root


@given(st.lists(st.binary(min_size=64, max_size=70), max_size=3), KEYS)
def test_nodes_from_outside_are_refused_or_can_be_walked(
    nodes: list[bytes], key: bytes
) -> None:
    try:
        part = trie.read_nodes(nodes)
    except MalformedError:
        return
    for name in part:
        with contextlib.suppress(KeyError):
            trie.find(part.__getitem__, name, key)
        with contextlib.suppress(KeyError):
            trie.update(part.__getitem__, name, {key: bytes(32)})


EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 400), st.binary(max_size=3)),
    min_size=1,
    max_size=3,
)


@given(ITEMS, KEYS, EDITS)
@settings(max_examples=300)
def test_no_edited_proof_shows_another_thing(
    items: Items, other: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    made = built(items)
    for key in [*[*items][:3], other]:
        proof = made.prove(key)
        for start, length, data in edits:
            proof = proof[:start] + data + proof[start + length % 40 :]
        for claimed in [*[*items][:3], other]:
            try:
                trie.check_absence(made.root, claimed, proof)
            except (MalformedError, VerificationError):
                continue
            assert claimed not in items
        for claimed in [*[*items][:3], other]:
            for value in {*items.values()}:
                try:
                    trie.check_presence(made.root, claimed, value, proof)
                except (MalformedError, VerificationError):
                    continue
                assert items.get(claimed) == value


@given(st.binary(max_size=200), st.booleans())
def test_a_proof_that_is_taken_is_what_would_be_written(
    proof: bytes,
    present: bool,  # noqa: FBT001 - an example, not an option
) -> None:
    try:
        other, steps = trie.split_proof(proof, present=present)
    except MalformedError:
        return
    assert trie.encode_proof(steps, other) == proof
