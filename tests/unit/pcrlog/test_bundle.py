"""Bundles: hashes in one table, envelopes rebuilt byte for byte, bounds."""

import base64
import json
import string
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from pcrlog import limits, trie
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import open_checkpoint
from pcrlog.encoding import encode_base64
from pcrlog.envelope import Envelope, assemble
from pcrlog.errors import MalformedError
from pcrlog.index_keys import key_hash
from pcrlog.merkle import check_inclusion, leaf_hash
from pcrlog.note import UnverifiedNote
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, registers, witness

Json: TypeAlias = dict[str, Any]

PRODUCT = "acme.example/wallet"
ABSENT = "v1/identity/nobody.example"


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    made = MemoryLog(witnesses=[witness("w1.example/a")])
    made.enroll("acme.example", "provider")
    made.enroll("lab.example", "auditor")
    for build in ("good", "other", "third"):
        made.release(PRODUCT, f"1.{len(build)}.0", registers(build))
    made.audit("lab.example", "source-review", {"commit": "gitCommit:" + "c" * 40})
    made.seal()
    return made


@pytest.fixture(scope="module")
def bundle(log: MemoryLog) -> Bundle:
    return log.bundle(PRODUCT, registers("good"), "lab.example")


@pytest.fixture
def table(bundle: Bundle) -> Json:
    """The bundle's JSON, to be changed."""
    decoded: Json = json.loads(bundle.encode())
    return decoded


def data_of(table: Json) -> bytes:
    return json.dumps(
        table, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def refused(table: Json, match: str | None = None) -> None:
    with pytest.raises(MalformedError, match=match):
        Bundle.parse(data_of(table))


# --- what it holds -------------------------------------------------------------------


def test_a_bundle_is_read_as_it_was_written(bundle: Bundle) -> None:
    data = bundle.encode()
    assert Bundle.parse(data) == bundle
    assert Bundle.parse(data).encode() == data


def test_a_bundle_proves_its_entries_its_seal_and_its_answers(
    log: MemoryLog, bundle: Bundle
) -> None:
    """Everything that verification needs comes through the JSON unharmed."""
    parsed = Bundle.parse(bundle.encode())
    note = UnverifiedNote.parse(parsed.note)
    checkpoint = open_checkpoint(note, log.signer.public)
    size, root = checkpoint.size, checkpoint.root
    check_inclusion(leaf_hash(parsed.seal), size - 1, size, parsed.seal_proof, root)
    seal = Seal.parse(parsed.seal)
    assert seal.count == size - 1
    assert parsed.entries
    for index, entry in parsed.entries.items():
        assert entry.envelope.raw == log.leaves[index]
        check_inclusion(leaf_hash(log.leaves[index]), index, size, entry.proof, root)
    there = {name for name, answer in parsed.answers.items() if answer.indices}
    assert there
    assert there < set(parsed.answers)
    for name, answer in parsed.answers.items():
        if answer.indices:
            value = trie.value_of(answer.indices)
            trie.check_presence(seal.root, key_hash(name), value, answer.proof)
        else:
            trie.check_absence(seal.root, key_hash(name), answer.proof)


def test_a_hash_stands_once_in_the_table(table: Json) -> None:
    assert len(set(table["hashes"])) == len(table["hashes"])
    named = [ref for entry in table["entries"] for ref in entry["proof"]]
    assert len(named) > len(set(named)), "paths share their upper ends"


def test_statements_stand_as_json(table: Json) -> None:
    types = {entry["statement"]["predicateType"] for entry in table["entries"]}
    assert "urn:pcrlog:release:v1" in types


def test_the_smallest_bundle_is_empty() -> None:
    empty = Bundle(b"", b"", (), {}, {})
    assert empty.encode() == (
        b'{"answers":[],"checkpoint":"","entries":[],"format":"pcrlog-bundle/v1",'
        b'"hashes":[],"seal":{"leaf":"","proof":[]}}'
    )
    assert Bundle.parse(empty.encode()) == empty


def test_an_answer_about_the_empty_trie_has_no_proof() -> None:
    answers = {ABSENT: Answer((), b"")}
    bundle = Bundle(b"n", b"s", (), answers, {})
    assert Bundle.parse(bundle.encode()).answers == answers


def test_an_absent_key_names_the_leaf_in_its_place(log: MemoryLog) -> None:
    bundle = log.assemble({ABSENT: log.answer(ABSENT)})
    [answer] = json.loads(bundle.encode())["answers"]
    assert answer["indices"] == []
    assert len(answer["other"]) == 2
    assert Bundle.parse(bundle.encode()).answers == bundle.answers


def test_two_signatures_are_kept_in_order() -> None:
    raw = assemble(b'{"a":1}', [("0" * 64, b"x"), ("f" * 64, b"y")])
    entries = {7: Included(Envelope.parse(raw), (b"h" * 32,))}
    bundle = Bundle(b"n", b"s", (), {}, entries)
    assert Bundle.parse(bundle.encode()).entries[7].envelope.raw == raw


# --- what it refuses -----------------------------------------------------------------


@pytest.mark.parametrize(
    "member", ["answers", "checkpoint", "entries", "format", "hashes", "seal"]
)
def test_each_member_is_required_and_of_its_type(table: Json, member: str) -> None:
    for value in (None, 1, True, {"x": 1}, [1]):
        refused({**table, member: value})
    del table[member]
    refused(table, "missing required field")


def test_an_unknown_member_is_refused_at_every_level(table: Json) -> None:
    for part in (
        table,
        table["seal"],
        table["answers"][0],
        table["entries"][0],
        table["entries"][0]["signatures"][0],
    ):
        part["extra"] = 1
        refused(table, "unknown field")
        del part["extra"]
    Bundle.parse(data_of(table))


@pytest.mark.parametrize("value", ["pcrlog-bundle/v2", "pcrlog-bundle", ""])
def test_another_format_is_refused(table: Json, value: str) -> None:
    refused({**table, "format": value})


def test_json_in_another_spelling_is_refused(table: Json) -> None:
    for data in (
        json.dumps(table, sort_keys=True).encode(),
        data_of(table) + b"\n",
        json.dumps(dict(sorted(table.items(), reverse=True))).encode(),
        json.dumps(table, sort_keys=True, separators=(",", ":")).encode(),
    ):
        assert json.loads(data) == table
        with pytest.raises(MalformedError):
            Bundle.parse(data)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"[" * 100_000, b'{"answers":' * 90_000, b"\xff"]
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Bundle.parse(data)


def test_a_hash_that_is_not_in_the_table_is_refused(table: Json) -> None:
    for path in (table["seal"]["proof"], table["entries"][0]["proof"]):
        for ref in (len(table["hashes"]), -1, 2**53, 1.0, "0"):
            kept, path[0] = path[0], ref
            refused(table)
            path[0] = kept
    step = next(answer for answer in table["answers"] if answer["path"])["path"][0]
    step[1] = len(table["hashes"])
    refused(table)


def test_the_leaf_of_an_absence_is_in_the_table(table: Json) -> None:
    answer = next(answer for answer in table["answers"] if "other" in answer)
    answer["other"][1] = len(table["hashes"])
    refused(table)
    for other in ([0], [0, 0, 0], [], 0, None):
        answer["other"] = other
        refused(table)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_hash_has_32_bytes(table: Json, size: int) -> None:
    table["hashes"][0] = encode_base64(bytes(size))
    refused(table, "32 - at `.*hashes")


def test_a_hash_is_canonical_base64(table: Json) -> None:
    good = table["hashes"][0]
    for text in (good[:-1], good + "=", good.replace("=", ""), "é" * 44):
        table["hashes"][0] = text
        refused(table, "hashes")
    # 32 bytes leave two bits of the last digit idle.
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    idle = good[:42] + alphabet[alphabet.index(good[42]) + 1] + "="
    assert base64.b64decode(idle) == base64.b64decode(good)
    table["hashes"][0] = idle
    refused(table, "canonical")


def test_a_bit_of_a_path_is_below_256(table: Json) -> None:
    step = next(answer for answer in table["answers"] if answer["path"])["path"][0]
    for bit in (256, -1, 1.0, "1", None):
        step[0] = bit
        refused(table)


def test_a_key_or_an_index_stands_once(table: Json) -> None:
    for name in ("answers", "entries"):
        rows = table[name]
        refused({**table, name: [rows[0], *rows]}, "each once")


def reversed_answers(table: Json) -> None:
    table["answers"].reverse()


def reversed_entries(table: Json) -> None:
    table["entries"].reverse()


def unused_hash(table: Json) -> None:
    table["hashes"].append(encode_base64(b"u" * 32))


def hash_twice(table: Json) -> None:
    path = table["seal"]["proof"]
    table["hashes"].append(table["hashes"][path[0]])
    path[0] = len(table["hashes"]) - 1


def other_leaf_though_present(table: Json) -> None:
    present = next(answer for answer in table["answers"] if answer["indices"])
    present["other"] = [0, 1]


def bits_that_rise(table: Json) -> None:
    next(a for a in table["answers"] if len(a["path"]) > 1)["path"].reverse()


@pytest.mark.parametrize(
    "change",
    [
        reversed_answers,
        reversed_entries,
        unused_hash,
        hash_twice,
        other_leaf_though_present,
        bits_that_rise,
    ],
)
def test_what_encode_would_not_have_written_is_refused(
    table: Json, change: Callable[[Json], None]
) -> None:
    """One bundle, one spelling: here canonical JSON alone does not make it so."""
    change(table)
    refused(table)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="none"),
        pytest.param([{"keyid": "0" * 64, "sig": "AA=="}] * 2, id="twice"),
        pytest.param(
            [{"keyid": digit * 64, "sig": "AA=="} for digit in "10"], id="not-ascending"
        ),
        pytest.param(
            [{"keyid": digit * 64, "sig": "AA=="} for digit in "012"], id="three"
        ),
        pytest.param([{"keyid": "0" * 63, "sig": "AA=="}], id="short-keyid"),
        pytest.param(
            [{"keyid": "0" * 64 + "\n", "sig": "AA=="}], id="keyid-and-newline"
        ),
        pytest.param([{"keyid": "0" * 64, "sig": "AA"}], id="sig-unpadded"),
        pytest.param([{"keyid": "0" * 64}], id="no-sig"),
    ],
)
def test_signatures_are_those_of_an_envelope(table: Json, rows: list[Json]) -> None:
    table["entries"][0]["signatures"] = rows
    refused(table)


@pytest.mark.parametrize("value", [-1, 2**53, 1.0, "1", None])
def test_an_index_is_an_integer(table: Json, value: object) -> None:
    kept, table["entries"][0]["index"] = table["entries"][0]["index"], value
    refused(table)
    table["entries"][0]["index"] = kept
    present = next(answer for answer in table["answers"] if answer["indices"])
    present["indices"][0] = value
    refused(table)


@pytest.mark.parametrize(
    ("hashes", "proof", "taken"),
    [
        ("ab", [0, 1], True),
        ("ab", [0, 1, 0, 1, 1], True),
        ("ab", [1, 0], False),
        ("ab", [0], False),
        ("ab", [1], False),
        ("ab", [0, 0], False),
        ("ab", [], False),
        ("aa", [0, 1], False),
        ("aba", [0, 1], False),
        ("aba", [0, 1, 2], False),
        ("ab", [0, 1, 2], False),
        ("ab", [0, 2, 1], False),
        ("ab", [0, 1, 3], False),
        ("", [0], False),
        ("", [], True),
    ],
)
def test_hashes_stand_in_the_order_of_their_first_use(
    hashes: str,
    proof: list[int],
    taken: bool,  # noqa: FBT001 - a parameter
) -> None:
    table = json.loads(Bundle(b"n", b"s", (), {}, {}).encode())
    table["hashes"] = [encode_base64(letter.encode() * 32) for letter in hashes]
    table["seal"]["proof"] = proof
    if taken:
        found = Bundle.parse(data_of(table)).seal_proof
        assert found == tuple(hashes[place].encode() * 32 for place in proof)
    else:
        refused(table)


# --- bounds --------------------------------------------------------------------------


def small(answers: int = 0, entries: int = 0) -> Bundle:
    envelope = Envelope.parse(assemble(b"{}", [("0" * 64, b"s")]))
    return Bundle(
        b"n",
        b"s",
        (),
        {f"key-{n:04}": Answer((), b"") for n in range(answers)},
        {n: Included(envelope, ()) for n in range(entries)},
    )


def test_a_bundle_has_at_most_512_answers() -> None:
    full = small(answers=limits.BUNDLE_ANSWERS)
    assert Bundle.parse(full.encode()) == full
    with pytest.raises(MalformedError):
        Bundle.parse(small(answers=limits.BUNDLE_ANSWERS + 1).encode())


def test_a_bundle_has_at_most_1024_entries() -> None:
    full = small(entries=limits.BUNDLE_ENTRIES)
    assert Bundle.parse(full.encode()) == full
    with pytest.raises(MalformedError):
        Bundle.parse(small(entries=limits.BUNDLE_ENTRIES + 1).encode())


def test_a_bundle_has_at_most_1_mib(table: Json) -> None:
    data = data_of(table)
    with pytest.raises(MalformedError, match="at most 1048576"):
        Bundle.parse(data + b" " * (limits.BUNDLE + 1 - len(data)))


def test_a_path_has_at_most_63_hashes() -> None:
    for size, taken in ((63, True), (64, False)):
        bundle = Bundle(b"n", b"s", (bytes(32),) * size, {}, {})
        if taken:
            assert Bundle.parse(bundle.encode()) == bundle
        else:
            with pytest.raises(MalformedError):
                Bundle.parse(bundle.encode())


def test_a_trie_proof_may_branch_at_every_bit() -> None:
    steps = [(bit, bit.to_bytes(32)) for bit in range(255, -1, -1)]
    for other in (None, (b"k" * 32, b"v" * 32)):
        indices = (1,) if other is None else ()
        answers = {"key": Answer(indices, trie.encode_proof(steps, other))}
        bundle = Bundle(b"n", b"s", (), answers, {})
        assert Bundle.parse(bundle.encode()) == bundle


def test_a_key_has_at_most_512_characters_and_a_seal_256() -> None:
    for length, taken in ((512, True), (513, False)):
        data = Bundle(b"n", b"s", (), {"k" * length: Answer((), b"")}, {}).encode()
        assert is_taken(data) == taken
    for length, taken in ((256, True), (257, False)):
        assert is_taken(Bundle(b"n", b"s" * length, (), {}, {}).encode()) == taken


def is_taken(data: bytes) -> bool:
    try:
        Bundle.parse(data)
    except MalformedError:
        return False
    return True


def test_an_envelope_in_a_bundle_has_at_most_32_kib() -> None:
    """A leaf cannot be longer: such a bundle was not made by a log."""
    statement = b'{"a":"' + b"x" * limits.ENVELOPE + b'"}'
    raw = json.loads(small(entries=1).encode())
    raw["entries"][0]["statement"] = json.loads(statement)
    refused(raw, "at most 32768")
