"""The index trie: shape by definition, known answers, and proofs that cannot lie."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from pcrlog import trie
from pcrlog.errors import MalformedError, VerificationError

VALUE = b"v" * 32


def key(*bits: int) -> bytes:
    """The 32-byte key with just these bits set; bit 0 is the first."""
    number = sum(1 << (255 - bit) for bit in bits)
    return number.to_bytes(32)


def leaf(name: bytes, value: bytes = VALUE) -> bytes:
    return sha256(b"\x00\x20" + name + b"\x20" + value).digest()


def inner(bit: bytes, left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + bit + left + right).digest()


def of(*keys: bytes) -> trie.MemoryTrie:
    made = trie.MemoryTrie()
    made.update(dict.fromkeys(keys, VALUE))
    return made


# --- bytes by definition (FORMATS.md section 6) --------------------------------------


def test_the_empty_trie_has_the_hash_of_nothing_as_its_root() -> None:
    assert of().root == trie.EMPTY_ROOT == sha256(b"").digest()
    assert of().prove(key()) == b""
    trie.check_absence(trie.EMPTY_ROOT, key(), b"")


def test_the_trie_of_one_key_is_its_leaf() -> None:
    one = of(key(3))
    assert one.root == leaf(key(3))
    assert one.prove(key(3)) == b""
    trie.check_presence(one.root, key(3), VALUE, b"")
    assert one.prove(key(4)) == b"\x20" + key(3) + b"\x20" + VALUE
    trie.check_absence(one.root, key(4), one.prove(key(4)))


@pytest.mark.parametrize(
    ("bit", "spelled"),
    [
        (0, b"\x00"),
        (1, b"\x01"),
        (8, b"\x08"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (129, b"\x81\x01"),
        (255, b"\xff\x01"),
    ],
)
def test_two_keys_branch_at_the_first_bit_that_differs(
    bit: int, spelled: bytes
) -> None:
    two = of(key(), key(bit))
    assert two.root == inner(spelled, leaf(key()), leaf(key(bit)))
    assert two.prove(key()) == spelled + leaf(key(bit))
    assert two.prove(key(bit)) == spelled + leaf(key())
    for name in (key(), key(bit)):
        trie.check_presence(two.root, name, VALUE, two.prove(name))


def test_a_path_is_compressed() -> None:
    """Bits that no two keys tell apart make no node."""
    three = of(key(), key(200), key(9))
    below = inner(b"\xc8\x01", leaf(key()), leaf(key(200)))
    assert three.root == inner(b"\x09", below, leaf(key(9)))
    assert three.prove(key(200)) == b"\xc8\x01" + leaf(key()) + b"\x09" + leaf(key(9))


def test_a_trie_as_deep_as_can_be_works() -> None:
    """Each key leaves the common path one bit later: 256 branches above one leaf."""
    keys = [key(), *(key(bit) for bit in range(256))]
    deep = of(*keys)
    assert len(deep.prove(key())) == 128 * 33 + 128 * 34
    for name in keys:
        trie.check_presence(deep.root, name, VALUE, deep.prove(name))
    for bit in (0, 1, 100, 254):
        absent = key(bit, 255)
        trie.check_absence(deep.root, absent, deep.prove(absent))
    one_by_one = trie.MemoryTrie()
    for name in reversed(keys):
        one_by_one.update({name: VALUE})
    assert one_by_one.root == deep.root


def test_a_value_is_the_hash_of_its_indices_as_u64() -> None:
    data = bytes(7) + b"\x04" + bytes(6) + b"\x01\x00"
    assert trie.value_of([4, 256]) == sha256(data).digest()
    assert trie.value_of([2**64 - 1]) == sha256(b"\xff" * 8).digest()


def test_an_old_root_goes_on_being_proven_while_its_nodes_are_kept() -> None:
    nodes: dict[bytes, bytes] = {}
    first = trie.update(nodes.__getitem__, trie.EMPTY_ROOT, {key(1): VALUE})
    nodes |= first.born
    second = trie.update(nodes.__getitem__, first.root, {key(2): VALUE})
    nodes |= second.born
    proof = trie.prove(nodes.__getitem__, first.root, key(2))
    trie.check_absence(first.root, key(2), proof)
    assert second.died == {first.root} - second.born.keys()


def test_an_update_of_nothing_changes_nothing() -> None:
    one = of(key(1))
    change = trie.update(one._nodes.__getitem__, one.root, {})
    assert change == trie.Update(one.root, {}, frozenset())


def test_setting_a_key_to_what_it_has_lets_nothing_die() -> None:
    three = of(key(), key(200), key(9))
    root = three.root
    change = trie.update(three._nodes.__getitem__, root, {key(200): VALUE})
    assert change.root == root
    assert not change.died


# --- looking up, and parts of a trie -------------------------------------------------


def test_a_key_is_found_with_its_value_and_no_other_is() -> None:
    keys = [key(), key(200), key(9), key(9, 255)]
    for size in range(len(keys) + 1):
        made = trie.MemoryTrie()
        made.update({one: bytes([at]) * 32 for at, one in enumerate(keys[:size])})
        get = made._nodes.__getitem__
        for at, one in enumerate(keys):
            found = trie.find(get, made.root, one)
            assert found == (bytes([at]) * 32 if at < size else None)
        for absent in (key(0), key(9, 200), key(199), key(255)):
            assert trie.find(get, made.root, absent) is None


def test_looking_up_reads_no_more_than_setting_does() -> None:
    made = of(*(sha256(bytes([i])).digest() for i in range(100)))
    for i in range(0, 200, 3):
        name = sha256(bytes([i])).digest()
        seen: set[bytes] = set()

        def get(node: bytes, seen: set[bytes] = seen) -> bytes:
            seen.add(node)
            return made._nodes[node]

        trie.update(get, made.root, {name: VALUE})
        allowed = set(seen)
        seen.clear()
        trie.find(get, made.root, name)
        assert seen <= allowed


def test_a_trie_is_rewound_to_any_of_its_parts() -> None:
    keys = [sha256(bytes([i])).digest() for i in range(24)]
    whole = of(*keys)
    for size in range(len(keys) + 1):
        before = dict.fromkeys(keys[size:])
        rewound = trie.rewind(whole._nodes.__getitem__, whole.root, before)
        assert rewound.root == of(*keys[:size]).root
        assert rewound.born.keys() <= of(*keys[:size])._nodes.keys()
        assert not set(rewound.beside) & set(keys)
    values = {keys[3]: b"w" * 32, keys[4]: None}
    rewound = trie.rewind(whole._nodes.__getitem__, whole.root, values)
    other = of(*keys[:4], *keys[5:])
    other.update({keys[3]: b"w" * 32})
    assert rewound.root == other.root


def test_a_step_leads_to_the_side_that_a_key_has() -> None:
    keys = [sha256(bytes([i])).digest() for i in range(24)]
    whole = of(*keys)
    get = whole._nodes.__getitem__
    for wanted in (*keys, key(), key(0), key(0, 3)):
        name = whole.root
        while get(name)[0]:
            towards, name = trie.step(get, name, wanted)
            seen = trie.update(get, whole.root, {towards: VALUE})
            assert name in seen.died | seen.born.keys() | siblings(seen.born)
        assert (get(name)[2:34] == wanted) == (wanted in keys)


def siblings(nodes: Mapping[bytes, bytes]) -> set[bytes]:
    """The hashes that inner nodes name."""
    return {
        node[at : at + 32]
        for node in nodes.values()
        if node[0]
        for at in (len(node) - 64, len(node) - 32)
    }


def node_of(*keys: bytes) -> bytes:
    """The root node over two keys or more."""
    made = of(*keys)
    return made._nodes[made.root]


def test_any_part_of_a_trie_is_read() -> None:
    made = of(*(key(bit) for bit in (0, 1, 127, 128, 200, 255)), key())
    nodes = list(made._nodes.values())
    assert trie.read_nodes(nodes) == made._nodes
    for at in range(len(nodes)):
        some = nodes[:at] + nodes[at + 1 :]
        assert trie.read_nodes(some) == {sha256(one).digest(): one for one in some}
    assert trie.read_nodes([]) == {}


def test_a_node_of_another_form_is_none() -> None:
    low, high, end = node_of(key(), key(9)), node_of(key(), key(200)), of(key())
    [one] = end._nodes.values()
    for good in (low, high, one):
        assert len(trie.read_nodes([good])) == 1
        for bad in (
            b"",
            b"\x02" + good[1:],
            good[:-1],
            good + b"\0",
            good[1:],
            good[:1],
            b"\0" + good,
        ):
            with pytest.raises(MalformedError, match="expected nodes of a trie"):
                trie.read_nodes([bad])
    for bad in (
        b"\x01\x89\x00" + low[2:],  # bit 9 in two bytes
        b"\x01\xc8\x02" + high[3:],  # not a bit
        b"\x01\xc8" + high[3:],  # bit 200 in one byte
        b"\x00\x21" + one[2:],
        one[:34] + b"\x21" + one[35:],
    ):
        with pytest.raises(MalformedError, match="expected nodes of a trie"):
            trie.read_nodes([bad])


@pytest.mark.parametrize(("above", "below"), [(9, 9), (9, 8), (200, 127), (255, 0)])
def test_below_a_node_bits_rise(above: int, below: int) -> None:
    inside = node_of(key(), key(below))
    head = b"\x01" + (bytes([above]) if above < 128 else bytes([above, 1]))
    name = sha256(inside).digest()
    for outside in (head + name + bytes(32), head + bytes(32) + name):
        assert trie.read_nodes([outside])
        with pytest.raises(MalformedError, match=f"under a node of bit {above}"):
            trie.read_nodes([outside, inside])


# --- proofs that claim too much ------------------------------------------------------


@pytest.fixture
def three() -> trie.MemoryTrie:
    return of(key(), key(200), key(9))


def test_a_presence_proof_holds_for_its_key_value_and_root_alone(
    three: trie.MemoryTrie,
) -> None:
    proof = three.prove(key(200))
    trie.check_presence(three.root, key(200), VALUE, proof)
    for claim in (
        (three.root, key(), VALUE),
        (three.root, key(9), VALUE),
        (three.root, key(200, 255), VALUE),
        (three.root, key(200), b"w" * 32),
        (three.root, key(200), b""),
        (trie.EMPTY_ROOT, key(200), VALUE),
    ):
        with pytest.raises(VerificationError):
            trie.check_presence(*claim, proof)


def test_absence_of_a_present_key_cannot_be_shown(three: trie.MemoryTrie) -> None:
    """Neither by its own leaf, nor by a neighbour's, nor by nothing."""
    lead = {
        name: b"\x20" + name + b"\x20" + VALUE for name in (key(), key(200), key(9))
    }
    for present in lead:
        for name, other in lead.items():
            with pytest.raises(VerificationError, match="absence"):
                trie.check_absence(three.root, present, other + three.prove(name))
        with pytest.raises(VerificationError, match="empty trie alone"):
            trie.check_absence(three.root, present, b"")


def test_absence_is_not_shown_by_a_leaf_elsewhere(three: trie.MemoryTrie) -> None:
    """The absent key must share the path, bit by bit, with the leaf that is shown."""
    absent = key(9, 200)
    trie.check_absence(three.root, absent, three.prove(absent))
    with pytest.raises(VerificationError, match="where the keys differ"):
        trie.check_absence(three.root, absent, three.prove(key(201)))


def test_a_presence_proof_shows_no_absence_and_the_other_way_round(
    three: trie.MemoryTrie,
) -> None:
    with pytest.raises(MalformedError, match="expected a leaf"):
        trie.check_absence(three.root, key(201), three.prove(key(200)))
    with pytest.raises((MalformedError, VerificationError)):
        trie.check_presence(three.root, key(201), VALUE, three.prove(key(201)))


def test_presence_in_the_empty_trie_cannot_be_shown() -> None:
    for proof in (b"", b"\x00" + bytes(32)):
        with pytest.raises(VerificationError):
            trie.check_presence(trie.EMPTY_ROOT, key(), VALUE, proof)


def test_a_leaf_under_the_root_of_nothing_shows_no_absence() -> None:
    with pytest.raises(VerificationError, match="leads to root"):
        trie.check_absence(trie.EMPTY_ROOT, key(1), b"\x20" + key() + b"\x20" + VALUE)


HASH = bytes(32)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(b"\x89\x00" + HASH, id="two-bytes-for-a-small-bit"),
        pytest.param(b"\x80\x00" + HASH, id="two-bytes-for-zero"),
        pytest.param(b"\xc8\x81\x00" + HASH, id="three-bytes"),
        pytest.param(b"\x80" + HASH, id="one-byte-for-bit-128"),
        pytest.param(b"\xc8" + HASH, id="one-byte-for-bit-200"),
        pytest.param(b"\x80\x02" + HASH, id="bit-256"),
        pytest.param(b"\xff\x7f" + HASH, id="bit-far-beyond"),
        pytest.param(b"\xc8", id="half-a-bit"),
        pytest.param(b"\x09" + HASH[1:], id="short-hash"),
        pytest.param(b"\x09", id="no-hash"),
        pytest.param(b"\x09" + HASH + b"\x09", id="a-byte-left-over"),
        pytest.param(b"\x09" + HASH + b"\x09" + HASH, id="bit-twice"),
        pytest.param(b"\x09" + HASH + b"\x0a" + HASH, id="bits-rise"),
        pytest.param(b"\x7f" + HASH + b"\x80\x01" + HASH, id="bits-rise-in-length"),
    ],
)
def test_a_path_in_another_spelling_is_refused(steps: bytes) -> None:
    with pytest.raises(MalformedError, match="trie proof"):
        trie.check_presence(HASH, key(), VALUE, steps)
    other = b"\x20" + key(1) + b"\x20" + VALUE
    with pytest.raises(MalformedError, match="trie proof"):
        trie.check_absence(HASH, key(), other + steps)


@pytest.mark.parametrize(
    "lead",
    [
        pytest.param(b"\x20" + key(1) + b"\x20" + VALUE[1:], id="short-value"),
        pytest.param(b"\x1f" + key(1)[1:] + b"\x20" + VALUE, id="short-key"),
        pytest.param(b"\x1f" + key(1)[1:] + b"\x21" + VALUE + b"v", id="31-and-33"),
        pytest.param(b"\x21" + key(1) + b"k\x1f" + VALUE[1:], id="33-and-31"),
        pytest.param(b"\xa0\x00" + key(1) + b"\x20" + VALUE, id="length-not-minimal"),
        pytest.param(b"\x20" + key(1), id="no-value"),
        pytest.param(b"\x20", id="length-alone"),
    ],
)
def test_another_leaf_that_is_not_of_32_bytes_each_is_refused(lead: bytes) -> None:
    with pytest.raises(MalformedError, match="absence"):
        trie.check_absence(HASH, key(), lead)


def mangled(proof: bytes) -> Iterator[bytes]:
    for at in range(len(proof)):
        for bits in (0x01, 0x10, 0x80, 0xFF):
            yield proof[:at] + bytes([proof[at] ^ bits]) + proof[at + 1 :]
        yield proof[:at] + proof[at + 1 :]
        yield proof[: at + 1] + proof[at:]
        yield proof[:at]
        yield proof[at + 1 :]


def test_no_mangled_proof_of_presence_holds() -> None:
    trie_of_many = of(*(sha256(bytes([i])).digest() for i in range(40)))
    for i in range(0, 40, 5):
        name = sha256(bytes([i])).digest()
        for proof in mangled(trie_of_many.prove(name)):
            with pytest.raises((MalformedError, VerificationError)):
                trie.check_presence(trie_of_many.root, name, VALUE, proof)


def test_no_mangled_proof_of_absence_shows_a_present_key_to_be_absent() -> None:
    """Nor, but for the one proof there is, an absent one."""
    names = [sha256(bytes([i])).digest() for i in range(40)]
    trie_of_many = of(*names)
    for absent in (key(), key(0), key(7)):
        for proof in mangled(trie_of_many.prove(absent)):
            with pytest.raises((MalformedError, VerificationError)):
                trie.check_absence(trie_of_many.root, absent, proof)
            with pytest.raises((MalformedError, VerificationError)):
                trie.check_absence(trie_of_many.root, names[0], proof)


# --- known answers -------------------------------------------------------------------


class Known:
    """kat-trie.json: keys and values follow from their numbers."""

    def __init__(self, directory: Path) -> None:
        data = (directory / "kat-trie.json").read_bytes()
        self.answers = cast("dict[str, Any]", json.loads(data))

    @staticmethod
    def key(number: int) -> bytes:
        return sha256(f"v1/product/acme.example/p{number}".encode()).digest()

    @staticmethod
    def value(number: int) -> bytes:
        return trie.value_of([number, number + 1, 10 * number + 7])

    def first(self, size: int) -> trie.MemoryTrie:
        made = trie.MemoryTrie()
        made.update({self.key(i): self.value(i) for i in range(size)})
        return made


@pytest.fixture
def known(vectors: Path) -> Known:
    return Known(vectors)


def test_keys_and_values_are_the_known_ones(known: Known) -> None:
    assert known.key(0).hex() == known.answers["key_0"]
    assert known.value(0).hex() == known.answers["value_0"]


def test_roots_are_the_known_ones(known: Known) -> None:
    found = {size: known.first(int(size)).root.hex() for size in known.answers["roots"]}
    assert found == known.answers["roots"]


def test_presence_proofs_are_the_known_ones_and_hold(known: Known) -> None:
    for case in known.answers["presence"]:
        made, name = known.first(case["size"]), known.key(case["key"])
        proof = made.prove(name)
        assert proof.hex() == case["proof"]
        trie.check_presence(made.root, name, known.value(case["key"]), proof)


def test_absence_proofs_are_the_known_ones_and_hold(known: Known) -> None:
    for case in known.answers["absence"]:
        made, name = known.first(case["size"]), known.key(case["key"])
        proof = made.prove(name)
        assert proof.hex() == case["proof"]
        trie.check_absence(made.root, name, proof)


def test_the_proofs_of_64_sizes_add_up_to_the_known_digest(known: Known) -> None:
    total = sha256()
    made = trie.MemoryTrie()
    for size in range(65):
        if size:
            made.update({known.key(size - 1): known.value(size - 1)})
        for number in range(size):
            total.update(made.prove(known.key(number)))
        total.update(made.root)
    assert total.hexdigest() == known.answers["accumulator"]["sha256"]
