"""torchwood's mpt builds our index tries to the same root, and checks our proofs.

The bytes of the trie are said to be its bytes (PROTOCOL.md section 3). Its test vectors
come with it and are put to our verifier too.
"""

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from log_server.bundles import bundle_about
from log_server.index_pages import prove
from pcrlog import index_keys, trie
from pcrlog.bundle import Bundle
from pcrlog.errors import PcrlogError
from pcrlog.seal import Seal
from tests.interop import golang
from tests.interop.published import Published
from tests.unit.log_server.parties import NITRO, PRODUCT, measurement

Values = dict[bytes, bytes]
"""Trie key to value."""

ABSENT = [sha256(b"absent %d" % n).digest() for n in range(200)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return golang.build_mpt(tmp_path_factory.mktemp("go"))


@dataclass(frozen=True)
class Claim:
    """That a root has a key with this value (None: has it not), and the proof."""

    root: bytes
    key: bytes
    value: bytes | None
    proof: bytes

    def is_taken(self) -> bool:
        """Whether we believe it."""
        try:
            if self.value is None:
                trie.check_absence(self.root, self.key, self.proof)
            else:
                trie.check_presence(self.root, self.key, self.value, self.proof)
        except PcrlogError:
            return False
        return True


class Mpt:
    """Asks torchwood's mpt."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def ask(self, command: str, question: object) -> Any:
        text = msgspec.json.encode(question).decode()
        done = golang.run([self.program, command], stdin=text)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def build(
        self, steps: Iterable[tuple[Values, Iterable[bytes]]]
    ) -> list[list[Claim]]:
        """What it proves after each step: (values set, keys asked for)."""
        asked = [(values, list(keys)) for values, keys in steps]
        question = [
            {
                "set": [{"key": key, "value": value} for key, value in values.items()],
                "ask": keys,
            }
            for values, keys in asked
        ]
        found = self.ask("build", question)
        return [
            [
                Claim(
                    base64.b64decode(state["root"]),
                    key,
                    base64.b64decode(one["value"]) if one["present"] else None,
                    base64.b64decode(one["proof"]),
                )
                for key, one in zip(keys, state["proofs"], strict=True)
            ]
            for (_, keys), state in zip(asked, found, strict=True)
        ]

    def check(self, claims: Iterable[Claim]) -> list[bool]:
        """Which of the claims it believes."""
        question = [
            {
                "root": one.root,
                "key": one.key,
                "value": one.value or b"",
                "present": one.value is not None,
                "proof": one.proof,
            }
            for one in claims
        ]
        return [not wrong for wrong in self.ask("check", question)]


@pytest.fixture(scope="module")
def mpt(built: tuple[Path, Path]) -> Mpt:
    return Mpt(built[0] / "mpt")


def claims(
    root: bytes, values: Mapping[bytes, bytes], prove: Callable[[bytes], bytes]
) -> list[Claim]:
    """Ours, of all keys and of some that are not there."""
    keys = [*values, *(key for key in ABSENT if key not in values)]
    return [Claim(root, key, values.get(key), prove(key)) for key in keys]


# --- the index of a real log ---------------------------------------------------------


@dataclass(frozen=True)
class Index:
    """The index under a log's newest seal: its root, its values, our proofs."""

    root: bytes
    values: Values
    claims: list[Claim]


@pytest.fixture(scope="module")
def index(published: Published) -> Index:
    root = Seal.parse(published.leaves[-1]).root
    with published.log.snapshot() as snapshot:
        rows = itertools.groupby(snapshot.index_rows(), key=lambda row: row[0])
        values = {key: trie.value_of(number for _, number, _ in r) for key, r in rows}
        newest = snapshot.index_at(snapshot.checkpoint())
        ours = claims(root, values, lambda key: prove(newest, key))
    return Index(root, values, ours)


def test_it_builds_the_root_and_every_proof_of_a_log(mpt: Mpt, index: Index) -> None:
    """From the values alone: same root as in the seal, same bytes of each proof."""
    assert len(index.values) > 1000
    keys = [one.key for one in index.claims]
    [theirs] = mpt.build([(index.values, keys)])
    assert theirs == index.claims


def test_it_builds_every_root_that_a_log_ever_sealed(
    mpt: Mpt, published: Published
) -> None:
    """Its trie grows with the log, batch by batch; so do the keys' lists."""
    indices: dict[bytes, list[int]] = {}
    steps: list[tuple[Values, list[bytes]]] = [({}, ABSENT[:1])]
    roots = [trie.EMPTY_ROOT]
    changed: set[bytes] = set()
    for number, leaf in enumerate(published.leaves):
        if leaf.startswith(b"p"):
            values = {key: trie.value_of(indices[key]) for key in changed}
            steps.append((values, ABSENT[:1]))
            roots.append(Seal.parse(leaf).root)
            changed = set()
        for name in index_keys.index_keys(leaf):
            key = index_keys.key_hash(name)
            indices.setdefault(key, []).append(number)
            changed.add(key)
    assert len(roots) == len(published.checkpoints) + 1
    assert [one.root for [one] in mpt.build(steps)] == roots


def test_it_believes_every_answer_of_a_log(mpt: Mpt, index: Index) -> None:
    present = sum(one.value is not None for one in index.claims)
    assert present == len(index.values)
    assert len(index.claims) == present + len(ABSENT)
    assert all(mpt.check(index.claims))


def test_it_believes_none_of_them_once_spoiled(mpt: Mpt, index: Index) -> None:
    wrong = [bad for one in index.claims for bad in spoiled(one)]
    assert len(wrong) > 5000
    assert not any(mpt.check(wrong))
    assert not any(one.is_taken() for one in wrong)


def spoiled(claim: Claim) -> Iterator[Claim]:
    """Claims that are not proven."""
    proof = bytearray(claim.proof)
    proof[len(proof) // 2] ^= 1
    yield _with(claim, proof=bytes(proof))
    yield _with(claim, proof=claim.proof[:-33])
    yield _with(claim, proof=claim.proof + claim.proof[-33:])
    yield _with(claim, key=bytes([claim.key[0] ^ 0x80]) + claim.key[1:])
    yield _with(claim, root=sha256(claim.root).digest())
    # To hide an entry, or to make one up, is what all this is against.
    other = sha256(b"another value").digest()
    yield _with(claim, value=other)
    if claim.value is not None:
        yield _with(claim, value=None)


def _with(claim: Claim, **members: Any) -> Claim:
    return Claim(**{**vars(claim), **members})


def test_it_believes_the_answers_in_a_bundle(mpt: Mpt, published: Published) -> None:
    """A bundle takes a proof apart; what is put together again is mpt's."""
    with published.log.snapshot() as snapshot:
        data = bundle_about(
            snapshot,
            PRODUCT,
            NITRO,
            [measurement(4)],
            ["lab.example", "nobody.example"],
        )
    bundle = Bundle.parse(data)
    root = Seal.parse(bundle.seal).root
    found = [
        Claim(
            root,
            index_keys.key_hash(name),
            trie.value_of(answer.indices) if answer.indices else None,
            answer.proof,
        )
        for name, answer in bundle.answers.items()
    ]
    assert {one.value is None for one in found} == {True, False}
    assert all(mpt.check(found))
    assert not any(mpt.check(bad for one in found for bad in spoiled(one)))


# --- small tries, known answers ------------------------------------------------------


def key(number: int) -> bytes:
    return sha256(f"v1/product/acme.example/p{number}".encode()).digest()


def value(number: int) -> bytes:
    return trie.value_of([number, number + 1, 10 * number + 7])


def test_it_gives_the_known_answers(mpt: Mpt, vectors: Path) -> None:
    """kat-trie.json was made for this trie: here others make the same."""
    known = json.loads((vectors / "kat-trie.json").read_bytes())
    sizes = sorted(map(int, known["roots"]))
    asked = [*known["presence"], *known["absence"]]
    steps = []
    for before, size in itertools.pairwise([0, *sizes]):
        keys = [key(case["key"]) for case in asked if case["size"] == size]
        new = {key(n): value(n) for n in range(before, size)}
        steps.append((new, [*keys, ABSENT[0]]))
    found = dict(zip(sizes, mpt.build(steps), strict=True))
    roots = {str(size): state[-1].root.hex() for size, state in found.items()}
    assert roots == known["roots"]
    theirs = [one.proof.hex() for size in sizes for one in found[size][:-1]]
    cases = sorted(asked, key=lambda case: int(case["size"]))
    assert theirs == [case["proof"] for case in cases]
    assert len(theirs) > 10


def test_both_make_the_same_proofs_at_each_size(mpt: Mpt) -> None:
    ours = trie.MemoryTrie()
    values: Values = {}
    steps, expected = [], []
    for size in range(40):
        new = {key(size): value(size)} if size else {}
        values.update(new)
        ours.update(new)
        expected.append(claims(ours.root, values, ours.prove))
        steps.append((new, [one.key for one in expected[-1]]))
    assert mpt.build(steps) == expected
    assert all(one.is_taken() for state in expected for one in state)


def test_keys_that_differ_late_have_two_byte_bits_in_both(mpt: Mpt) -> None:
    """From bit 128 on, an uvarint has two bytes; random keys never get there."""
    base = bytes(32)
    keys = [base] + [
        (int.from_bytes(base) ^ 1 << 255 - bit).to_bytes(32)
        for bit in (0, 1, 7, 127, 128, 129, 200, 254, 255)
    ]
    values = {one: sha256(one).digest() for one in keys}
    ours = trie.MemoryTrie()
    ours.update(values)
    expected = claims(ours.root, values, ours.prove)
    assert mpt.build([(values, [one.key for one in expected])]) == [expected]
    assert all(mpt.check(expected))


def test_we_refuse_a_second_spelling_of_a_bit_that_they_take(mpt: Mpt) -> None:
    ours = trie.MemoryTrie()
    ours.update({key(n): value(n) for n in range(2)})
    honest = Claim(ours.root, key(0), value(0), ours.prove(key(0)))
    assert honest.proof[0] == 0
    longer = _with(honest, proof=b"\x80\x00" + honest.proof[1:])
    assert mpt.check([honest, longer]) == [True, True]
    assert (honest.is_taken(), longer.is_taken()) == (True, False)


# --- its own vectors, for us ---------------------------------------------------------


def vectors_of(text: str) -> Iterator[tuple[Claim, bool]]:
    """The lookups of its verify.txt, whose head says how to read it."""
    state: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "verify":
            claim = Claim(
                bytes.fromhex(state["snap"]),
                _hex(state["key"]),
                None if state["val"] == "-" else _hex(state["val"]),
                _hex(state["proof"]),
            )
            yield claim, rest == "true"
        elif word and word != "#":
            state[word] = rest


def _hex(text: str) -> bytes:
    return b"" if text == "''" else bytes.fromhex(text)


def is_of_our_sizes(claim: Claim) -> bool:
    """Whether key, value and, if absence is claimed, the other leaf are of 32 bytes."""
    leaf = claim.proof[:66]
    other = not leaf or (leaf[0], leaf[33:34]) == (32, b"\x20")
    return len(claim.key) == 32 and (
        other if claim.value is None else len(claim.value) == 32
    )


def test_we_judge_their_vectors_as_they_do(built: tuple[Path, Path], mpt: Mpt) -> None:
    text = (built[1] / "testdata" / "verify.txt").read_text("utf-8")
    cases = list(vectors_of(text))
    assert mpt.check(one for one, _ in cases) == [holds for _, holds in cases]
    ours = [case for case in cases if is_of_our_sizes(case[0])]
    assert len(ours) >= 15
    assert {holds for _, holds in ours} == {True, False}
    for claim, holds in ours:
        assert claim.is_taken() is holds, claim
    # Of other sizes there is nothing in our tries: absence by such a leaf is refused.
    for claim, _ in cases:
        if len(claim.key) == 32 and claim.value is None and claim not in dict(ours):
            assert not claim.is_taken()
