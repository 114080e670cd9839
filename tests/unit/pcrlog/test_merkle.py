"""RFC 6962 trees against a naive oracle, another library, and known answers."""

import base64
import json
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from pcrlog import merkle
from pcrlog.errors import MalformedError, VerificationError
from tests.support import vectors as known_answers

SIZES = 130
LEAVES = [merkle.leaf_hash(bytes([i])) for i in range(SIZES)]


# --- the oracle: RFC 6962 section 2.1, word for word ---------------------------------


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    n = end - start
    if n == 0:
        return sha256().digest()
    if n == 1:
        return sha256(b"\x00" + bytes([start])).digest()
    k = largest_power_of_two_below(n)
    left, right = mth(start, start + k), mth(start + k, end)
    return sha256(b"\x01" + left + right).digest()


def largest_power_of_two_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end])."""
    n = end - start
    if n == 1:
        return []
    k = largest_power_of_two_below(n)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, *, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], known)."""
    n = end - start
    if m == n:
        return [] if known else [mth(start, end)]
    k = largest_power_of_two_below(n)
    if m <= k:
        return [*subproof(m, start, start + k, known=known), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, known=False), mth(start, start + k)]


def node(level: int, index: int) -> bytes:
    """The complete subtrees of the same leaves."""
    return mth(index << level, (index + 1) << level)


def refuses(check: Callable[..., None], *arguments: object) -> None:
    with pytest.raises(VerificationError):
        check(*arguments)


def mangled(proof: merkle.Proof) -> Iterator[merkle.Proof]:
    """The proof with a hash changed, cut, grown, dropped, doubled, added or swapped."""
    for at, value in enumerate(proof):
        head, tail = proof[:at], proof[at + 1 :]
        yield (*head, bytes([value[0] ^ 1]) + value[1:], *tail)
        yield (*head, value[:-1] + bytes([value[-1] ^ 0x80]), *tail)
        yield (*head, value[:-1], *tail)
        yield (*head, value + b"\x00", *tail)
        yield (*head, b"", *tail)
        yield (*head, *tail)
        yield (*head, value, value, *tail)
        if tail:
            yield (*head, tail[0], value, *tail[1:])
    yield (bytes(32), *proof)
    yield (*proof, bytes(32))


# --- small sizes, exhaustively -------------------------------------------------------


def test_the_root_of_every_size_is_that_of_the_definition() -> None:
    for size in range(SIZES + 1):
        assert merkle.root(LEAVES[:size]) == mth(0, size)


def test_a_range_yields_each_subtree_when_it_is_complete() -> None:
    tree = merkle.Range()
    for size in range(SIZES):
        found = list(tree.append(LEAVES[size]))
        assert found == [
            (level, size >> level, node(level, size >> level))
            for level in range(8)
            if (size + 1) % (1 << level) == 0
        ]
        assert tree.size == size + 1
        assert tree.root() == mth(0, size + 1)


def test_a_range_goes_on_from_its_subtrees() -> None:
    for size in range(SIZES):
        tree = merkle.Range()
        for leaf in LEAVES[:size]:
            list(tree.append(leaf))
        resumed = merkle.Range(size, tuple(tree.subtrees))
        list(resumed.append(LEAVES[size]))
        assert resumed.root() == mth(0, size + 1)
        assert tree.root() == mth(0, size), "the first range is its own"


@pytest.mark.parametrize(
    ("size", "subtrees"), [(0, 1), (1, 0), (3, 1), (3, 3), (4, 2), (255, 7)]
)
def test_a_range_has_as_many_subtrees_as_its_size_has_ones(
    size: int, subtrees: int
) -> None:
    with pytest.raises(MalformedError, match=f"found {subtrees}"):
        merkle.Range(size, [bytes(32)] * subtrees)


def test_every_inclusion_proof_is_the_path_of_the_definition_and_holds() -> None:
    for size in range(1, SIZES + 1):
        root = mth(0, size)
        for index in range(size):
            proof = merkle.prove_inclusion(index, size, node)
            assert proof == tuple(path(index, 0, size))
            merkle.check_inclusion(LEAVES[index], index, size, proof, root)


def test_every_consistency_proof_is_that_of_the_definition_and_holds() -> None:
    for new in range(1, SIZES + 1):
        for old in range(1, new + 1):
            proof = merkle.prove_consistency(old, new, node)
            assert proof == tuple(subproof(old, 0, new, known=True))
            merkle.check_consistency(old, new, proof, mth(0, old), mth(0, new))


def test_the_root_of_every_aligned_range_is_that_of_the_definition() -> None:
    for level in range(8):
        for start in range(0, SIZES, 1 << level):
            for end in range(start + 1, min(start + (1 << level), SIZES) + 1):
                assert merkle.range_root(start, end, node) == mth(start, end)


def test_no_mangled_inclusion_proof_holds() -> None:
    for size in range(1, 35):
        root = mth(0, size)
        for index in range(size):
            proof = merkle.prove_inclusion(index, size, node)
            for other in mangled(proof):
                refuses(merkle.check_inclusion, LEAVES[index], index, size, other, root)


def test_no_inclusion_proof_holds_for_another_leaf_index_or_root() -> None:
    for size in range(1, 35):
        root = mth(0, size)
        for index in range(size):
            proof = merkle.prove_inclusion(index, size, node)
            for other in {*range(-1, size + 2)} - {index}:
                refuses(merkle.check_inclusion, LEAVES[index], other, size, proof, root)
            another = LEAVES[index + 1]
            refuses(merkle.check_inclusion, another, index, size, proof, root)
            wrong = mth(0, size + 1)
            refuses(merkle.check_inclusion, LEAVES[index], index, size, proof, wrong)


def test_a_leaf_that_is_no_hash_is_not_included() -> None:
    """A proof of a node below must not pass as one of a leaf."""
    for leaf in (b"", bytes(31), bytes(33), bytes(64)):
        root = merkle.node_hash(leaf, bytes(32))
        refuses(merkle.check_inclusion, leaf, 0, 2, (bytes(32),), root)


def test_no_mangled_consistency_proof_holds() -> None:
    for new in range(1, 35):
        for old in range(1, new + 1):
            proof = merkle.prove_consistency(old, new, node)
            for other in mangled(proof):
                roots = (mth(0, old), mth(0, new))
                refuses(merkle.check_consistency, old, new, other, *roots)


def test_no_consistency_proof_holds_between_other_roots() -> None:
    for new in range(1, 35):
        for old in range(1, new + 1):
            proof = merkle.prove_consistency(old, new, node)
            was, now = mth(0, old), mth(0, new)
            for pair in ((mth(0, old + 1), now), (was, mth(0, new + 1))):
                refuses(merkle.check_consistency, old, new, proof, *pair)
            if old != new:
                refuses(merkle.check_consistency, old, new, proof, now, was)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 1), (-1, 1), (3, 2), (1, 0)])
def test_consistency_from_nothing_or_backwards_can_neither_be_made_nor_hold(
    old: int, new: int
) -> None:
    with pytest.raises(ValueError, match="no consistency proof"):
        merkle.prove_consistency(old, new, node)
    roots = (mth(0, max(old, 0)), mth(0, max(new, 0)))
    with pytest.raises(VerificationError, match="cannot be proven"):
        merkle.check_consistency(old, new, (), *roots)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (5, 3)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"no leaf {index}"):
        merkle.prove_inclusion(index, size, node)
    with pytest.raises(VerificationError, match=f"no leaf {index}"):
        merkle.check_inclusion(LEAVES[0], index, size, (), mth(0, max(size, 0)))


def test_a_tree_as_large_as_can_be_has_proofs_of_63_hashes() -> None:
    size = 2**63 - 1
    twin = [merkle.leaf_hash(b"")]
    for level in range(64):
        twin.append(merkle.node_hash(twin[level], twin[level]))

    def alike(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size
        return twin[level]

    root = merkle.range_root(0, size, alike)
    for index in (0, 1, 2**62, size - 2, size - 1):
        proof = merkle.prove_inclusion(index, size, alike)
        assert len(proof) <= 63
        merkle.check_inclusion(twin[0], index, size, proof, root)
    for old in (1, 2**62, 2**62 + 1, size - 1):
        proof = merkle.prove_consistency(old, size, alike)
        assert len(proof) <= 64
        was = merkle.range_root(0, old, alike)
        merkle.check_consistency(old, size, proof, was, root)


# --- merkletools, which nobody here wrote --------------------------------------------


class MerkleTools(Protocol):
    """What merkletools has, for the type checker."""

    hash_function: Callable[[bytes], object]

    def add_leaf(self, values: list[str]) -> None: ...
    def make_tree(self) -> None: ...
    def get_merkle_root(self) -> str: ...
    def get_proof(self, index: int) -> list[dict[str, str]]: ...


def merkletools(leaves: list[bytes]) -> MerkleTools:
    """Its tree over leaf hashes, with RFC 6962's prefix for nodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the absence of sha3
        module = pytest.importorskip("merkletools", reason="the oracle's lock is apart")
    tree = cast("MerkleTools", module.MerkleTools())
    tree.hash_function = lambda data: sha256(b"\x01" + data)
    tree.add_leaf([leaf.hex() for leaf in leaves])
    tree.make_tree()
    return tree


def test_another_library_gives_the_same_roots_and_proofs() -> None:
    for size in range(1, 101):
        tree = merkletools(LEAVES[:size])
        assert tree.get_merkle_root() == merkle.root(LEAVES[:size]).hex()
        for index in range(size):
            theirs = [
                value for step in tree.get_proof(index) for value in step.values()
            ]
            ours = merkle.prove_inclusion(index, size, node)
            assert theirs == [value.hex() for value in ours]


# --- known answers -------------------------------------------------------------------


def kat(directory: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((directory / "kat.json").read_bytes()))


class Classic:
    """The eight leaves on which implementations have agreed since RFC 6962."""

    def __init__(self, directory: Path) -> None:
        self.answers = kat(directory)["rfc6962_classic8"]
        data = [bytes.fromhex(leaf) for leaf in self.answers["leaves_hex"]]
        self.leaves = [merkle.leaf_hash(leaf) for leaf in data]

    def node(self, level: int, index: int) -> bytes:
        return merkle.root(self.leaves[index << level : (index + 1) << level])

    def root(self, size: int) -> bytes:
        return merkle.root(self.leaves[:size])


@pytest.fixture(scope="module")
def classic(vectors: Path) -> Classic:
    return Classic(vectors)


def test_leaves_and_roots_are_the_classic_ones(classic: Classic) -> None:
    assert [leaf.hex() for leaf in classic.leaves] == classic.answers["leaf_hashes"]
    assert [classic.root(n).hex() for n in range(9)] == classic.answers["roots"]


def test_inclusion_proofs_are_the_classic_ones(classic: Classic) -> None:
    for case in classic.answers["inclusion"]:
        index, size = case["index"], case["size"]
        proof = merkle.prove_inclusion(index, size, classic.node)
        assert [value.hex() for value in proof] == case["proof"]
        leaf, root = classic.leaves[index], classic.root(size)
        merkle.check_inclusion(leaf, index, size, proof, root)


def test_consistency_proofs_are_the_classic_ones(classic: Classic) -> None:
    for case in classic.answers["consistency"]:
        old, new = case["old"], case["new"]
        proof = merkle.prove_consistency(old, new, classic.node)
        assert [value.hex() for value in proof] == case["proof"]
        roots = (classic.root(old), classic.root(new))
        merkle.check_consistency(old, new, proof, *roots)


def test_the_leaf_of_certificate_transparency_is_as_published() -> None:
    assert merkle.leaf_hash(b"L123456").hex() == (
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )


def line(*numbers: int, hashes: merkle.Proof) -> bytes:
    """One line of the accumulators: numbers, then hashes in hex."""
    words = [str(number) for number in numbers] + [value.hex() for value in hashes]
    return " ".join(words).encode() + b"\n"


def test_the_proofs_of_130_leaves_add_up_to_the_published_digests(
    vectors: Path,
) -> None:
    """FORMATS.md 7.1: one SHA-256 over all roots, all inclusions, all consistencies."""
    tree = merkle.Range()
    nodes: dict[tuple[int, int], bytes] = {}
    for leaf in LEAVES:
        nodes |= {(level, index): value for level, index, value in tree.append(leaf)}

    def get(level: int, index: int) -> bytes:
        return nodes[level, index]

    sizes = range(1, SIZES + 1)
    roots, inclusion, consistency = sha256(), sha256(), sha256()
    for n in range(SIZES + 1):
        roots.update(line(n, hashes=(merkle.root(LEAVES[:n]),)))
    for n in sizes:
        for i in range(n):
            inclusion.update(line(i, n, hashes=merkle.prove_inclusion(i, n, get)))
        for m in range(1, n + 1):
            consistency.update(line(m, n, hashes=merkle.prove_consistency(m, n, get)))
    assert {
        "roots": roots.hexdigest(),
        "inclusion": inclusion.hexdigest(),
        "consistency": consistency.hexdigest(),
    } == kat(vectors)["accumulators_130"]


# --- both roots of a consistency proof, leaves in a row -----------------------------

FEW = 40


def test_a_consistency_proof_leads_to_both_roots_whatever_was_signed() -> None:
    for new in range(2, FEW):
        for old in range(1, new):
            hashes = merkle.prove_prefix(old, new, node)
            proof = subproof(old, 0, new, known=True)
            whole = old & (old - 1) == 0
            assert hashes == ((mth(0, old), *proof) if whole else tuple(proof))
            roots = merkle.consistency_roots(old, new, hashes)
            assert roots == (mth(0, old), mth(0, new))


def test_no_other_hashes_lead_to_the_larger_root_and_another_smaller_one() -> None:
    """What a fork is proven by: only the log could make them."""
    for new in (2, 3, 7, 8, 9, 20):
        for old in range(1, new):
            for forged in mangled(merkle.prove_prefix(old, new, node)):
                try:
                    _, now = merkle.consistency_roots(old, new, forged)
                except VerificationError:
                    continue
                assert now != mth(0, new)


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 1), (2, 1), (-1, 3), (0, 0)])
def test_nothing_leads_to_both_roots_from_no_leaves_or_backwards(
    old: int, new: int
) -> None:
    with pytest.raises(VerificationError, match="nothing leads"):
        merkle.consistency_roots(old, new, ())


def test_a_prefix_is_a_part() -> None:
    for old, new in ((0, 3), (4, 3), (-1, 3)):
        with pytest.raises(ValueError, match="no consistency proof"):
            merkle.prove_prefix(old, new, node)
    assert merkle.prove_prefix(3, 3, node) == ()


def test_every_row_of_leaves_is_proven() -> None:
    for size in range(1, FEW):
        for start in range(size):
            for end in range(start + 1, size + 1):
                proof = merkle.prove_range(start, end, size, node)
                assert len(proof) <= 2 * (size - 1).bit_length()
                row = LEAVES[start:end]
                merkle.check_range(row, start, size, proof, mth(0, size))
                if end == start + 1:
                    assert proof == tuple(path(start, 0, size))


def test_a_row_holds_at_its_place_alone() -> None:
    for size in range(1, 17):
        root = mth(0, size)
        for start in range(size):
            for end in range(start + 1, size + 1):
                proof = merkle.prove_range(start, end, size, node)
                row = LEAVES[start:end]
                for place in {start - 1, start + 1, end} - {start}:
                    refuses(merkle.check_range, row, place, size, proof, root)
                for other in (row[1:], row[:-1], [*row, row[-1]], row[::-1]):
                    if other != row:
                        refuses(merkle.check_range, other, start, size, proof, root)
                refuses(merkle.check_range, row, start, size, proof, bytes(32))
                wrong = [bytes([row[0][0] ^ 1]) + row[0][1:], *row[1:]]
                refuses(merkle.check_range, wrong, start, size, proof, root)
                short = [row[0][1:], *row[1:]]
                refuses(merkle.check_range, short, start, size, proof, root)


def test_a_row_of_another_size_needs_another_proof() -> None:
    for size in range(1, 17):
        proof = merkle.prove_range(0, 1, size, node)
        for other in (size - 1, size + 1, 2 * size, 0, -1):
            if len(proof) != (other - 1).bit_length() or other < 1:
                root = mth(0, size)
                refuses(merkle.check_range, LEAVES[:1], 0, other, proof, root)


def test_no_mangled_proof_of_a_row_holds() -> None:
    for size in (2, 3, 7, 8, 9, 13):
        for start in range(size):
            for end in range(start + 1, size + 1):
                for proof in mangled(merkle.prove_range(start, end, size, node)):
                    row, root = LEAVES[start:end], mth(0, size)
                    refuses(merkle.check_range, row, start, size, proof, root)


@pytest.mark.parametrize(
    ("start", "end", "size"), [(0, 0, 3), (2, 1, 3), (0, 4, 3), (-1, 1, 3), (0, 1, 0)]
)
def test_a_row_that_is_not_there_has_no_proof(start: int, end: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"no leaves {start} to {end}"):
        merkle.prove_range(start, end, size, node)
    if end >= start:
        row = LEAVES[: end - start]
        refuses(merkle.check_range, row, start, size, (), bytes(32))


def load(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    table = json.loads((directory / "merkle" / "vectors.json").read_bytes())
    yield from table["vectors"].items()


def b64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_all_vectors_of_transparency_dev_are_there(vectors: Path) -> None:
    assert len(list(load(vectors))) == 196


def test_the_known_request_to_a_witness_holds_the_proof_that_we_would_make(
    vectors: Path,
) -> None:
    """FORMATS.md 7.4: from 3 to 8 leaves of Tessera's log."""
    answers = kat(vectors)
    head, _, note = answers["add_checkpoint_3_to_8"].partition("\n\n")
    old, *proof = head.split("\n")
    assert old == "old 3"
    data = answers["tessera_testlog"]["leaves"]
    leaves = [merkle.leaf_hash(leaf.encode()) for leaf in data]

    def get(level: int, index: int) -> bytes:
        return merkle.root(leaves[index << level : (index + 1) << level])

    hashes = merkle.prove_consistency(3, 8, get)
    assert [base64.b64encode(value).decode() for value in hashes] == proof
    roots = (merkle.root(leaves[:3]), b64(note.split("\n")[2]))
    merkle.check_consistency(3, 8, hashes, *roots)


@pytest.mark.parametrize(
    "case", known_answers.cases(load, name=lambda case: case[0].removesuffix(".json"))
)
def test_verdicts_are_those_of_transparency_dev(
    case: tuple[str, dict[str, Any]],
) -> None:
    fields = case[1]
    proof = tuple(b64(value) for value in fields["proof"] or ())

    def check() -> None:
        if "leafIdx" in fields:
            place = (fields["leafIdx"], fields["treeSize"])
            leaf, root = b64(fields["leafHash"]), b64(fields["root"])
            merkle.check_inclusion(leaf, *place, proof, root)
        else:
            sizes = (fields["size1"], fields["size2"])
            roots = (b64(fields["root1"]), b64(fields["root2"]))
            merkle.check_consistency(*sizes, proof, *roots)

    if fields["wantErr"]:
        with pytest.raises(VerificationError):
            check()
    else:
        check()
