"""Leaves: two kinds, told apart by their first byte."""

import pytest

from pcrlog import statement
from pcrlog.encoding import encode_json
from pcrlog.entry import Entry, parse_entry, parse_leaf
from pcrlog.envelope import Envelope, assemble, sign_envelope
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.predicates import Release
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, key, registers


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    made = MemoryLog()
    made.enroll("acme.example", "provider")
    made.release("acme.example/wallet", "1.0.0", registers("one"))
    made.seal()
    return made


def test_a_statement_leaf_is_an_entry(log: MemoryLog) -> None:
    entry = parse_leaf(2, log.leaves[2])
    assert isinstance(entry, Entry)
    assert entry.index == 2
    assert isinstance(entry.predicate, Release)
    assert entry.keyid == key("acme.example").public.keyid
    assert entry.sha256 == statement.parse(entry.envelope.payload).sha256
    assert entry.envelope == Envelope.parse(log.leaves[2])


def test_a_seal_leaf_is_a_seal_and_no_statement(log: MemoryLog) -> None:
    seal = parse_leaf(3, log.leaves[3])
    assert isinstance(seal, Seal)
    assert seal.count == 3
    with pytest.raises(MalformedError, match="entry 3 is a seal, want a statement"):
        parse_entry(3, log.leaves[3])


@pytest.mark.parametrize("leaf", [b"", b"[]", b" {}", b"x", b"\x00", b"\xff", b"P"])
def test_a_leaf_of_another_kind_could_not_be_checked(leaf: bytes) -> None:
    for parse in (parse_entry, parse_leaf):
        with pytest.raises(UncheckedError, match="entry 9 is of an unknown kind"):
            parse(9, leaf)


def test_a_seal_of_a_later_version_could_not_be_checked() -> None:
    with pytest.raises(UncheckedError):
        parse_leaf(9, b"pcrlog/seal/v2\n")


@pytest.mark.parametrize("leaf", [b"{", b"{}", b"p", b"pcrlog/seal/v1\n"])
def test_a_leaf_that_is_almost_one_is_refused(leaf: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_leaf(9, leaf)


@pytest.mark.parametrize(
    "name",
    [
        "urn:pcrlog:release:v2",
        "urn:pcrlog:info:x",
        "https://slsa.dev/provenance/v1",
        "",
    ],
)
def test_a_predicate_of_another_type_could_not_be_checked(name: str) -> None:
    payload = encode_json({"predicateType": name})
    leaf = sign_envelope(payload, [key("acme.example")])
    with pytest.raises(UncheckedError, match="unknown predicateType"):
        parse_leaf(9, leaf)


def test_all_but_identities_have_one_signature(log: MemoryLog) -> None:
    payload = log.entries[2].envelope.payload
    leaf = sign_envelope(payload, [key("acme.example"), key("other")])
    with pytest.raises(MalformedError, match="expected one signature, found 2"):
        parse_entry(2, leaf)


def test_an_identity_has_the_signatures_of_its_signers(log: MemoryLog) -> None:
    envelope = log.entries[1].envelope
    [(keyid, signature)] = envelope.signatures.items()
    assert parse_entry(1, envelope.raw).predicate == log.entries[1].predicate
    for rows in (
        [("0" * 64, signature)],
        [("0" * 64, signature), (keyid, signature)],
        [(keyid, signature), ("f" * 64, signature)],
    ):
        leaf = assemble(envelope.payload, rows)
        with pytest.raises(MalformedError, match="are not those of its signers"):
            parse_entry(1, leaf)
