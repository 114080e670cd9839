"""Every parser of outside bytes, over every small change of something valid.

A change is refused with the parser's own errors, or it gives a value whose one spelling
is exactly the changed bytes: there is no second way to write anything.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import pytest

from pcrlog import evidence, policy, request, statement, tiles, trie
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.entry import Entry, parse_leaf
from pcrlog.envelope import Envelope, assemble
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.evidence.file import EXAMPLE
from pcrlog.keys import ECDSA_P256, PublicKey, SigningKey
from pcrlog.measurement import parse_measurement
from pcrlog.note import NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.predicates import Document
from pcrlog.proof import Proof
from pcrlog.request import Request
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, key, registers, witness

PRODUCT = "acme.example/wallet"
LIBRARY = Document("https://lab.example/report", "ab" * 32)

REFUSALS = (MalformedError, UncheckedError)


@cache
def log() -> MemoryLog:
    """A small log with one statement of each type, sealed and cosigned."""
    made = MemoryLog(witnesses=[witness("w1.example/a")])
    made.enroll("acme.example", "provider")
    made.enroll("lab.example", "auditor")
    made.release(PRODUCT, "1.4.2", registers("good"))
    made.audit("lab.example", "source-review", {"commit": "gitCommit:" + "c" * 40})
    made.revoke("acme.example", "withdrawn", 3, reference=LIBRARY)
    made.seal()
    return made


def payload(index: int) -> bytes:
    """The statement of an entry."""
    return log().entries[index].envelope.payload


@cache
def small_bundle() -> bytes:
    """A bundle with an answer of each kind, an entry, and little else."""
    full, where = log(), registers("good")["PCR0"]
    present = f"v1/by/acme.example/aws-nitro/PCR0={where}"
    absent = "v1/identity/nobody.example"
    answers = {name: full.answer(name) for name in (present, absent)}
    parsed = full.assemble(answers)
    return Bundle(
        parsed.note, parsed.seal, parsed.seal_proof, answers, {3: full.included(3)}
    ).encode()


@cache
def small_request() -> bytes:
    """A request with a rotation: its bytes hold a base64 statement."""
    parts = request.Rotation(b'{"a":1}', {"0" * 64: b"1", "1" * 64: b"2"})
    return request.encode("log.example/pcr", "acme.example", [key("acme")], parts)


def recoded_request(data: bytes) -> bytes:
    """What the request says, spelled anew; its signatures cannot be made here."""
    parsed = Request.parse(data)
    given = json.loads(data)
    rows = [
        {"key": encode_base64(spki), "sig": encode_base64(decode_base64(row["sig"]))}
        for spki, row in zip(parsed.spki, given["keys"], strict=True)
    ]
    table: dict[str, object] = {
        "format": "pcrlog-request/v1",
        "keys": rows,
        "log": parsed.log,
        "name": parsed.name,
    }
    if parsed.rotation is not None:
        table["rotation"] = {
            "payload": encode_base64(parsed.rotation.payload),
            "signatures": [
                {"keyid": keyid, "sig": encode_base64(signature)}
                for keyid, signature in sorted(parsed.rotation.signatures.items())
            ],
        }
    newlines = data[len(data.rstrip(b"\n")) :]  # the one freedom that a file has
    return json.dumps(table, separators=(",", ":")).encode() + newlines


def recoded_statement(data: bytes) -> bytes:
    parsed = statement.parse(data)
    return statement.encode(parsed.predicate, parsed.registers)


def recoded_envelope(data: bytes) -> bytes:
    parsed = Envelope.parse(data)
    return assemble(parsed.payload, parsed.signatures.items())


def recoded_leaf(data: bytes) -> bytes:
    parsed = parse_leaf(3, data)
    if not isinstance(parsed, Entry):
        return parsed.encode()
    body = statement.encode(parsed.predicate, parsed.statement.registers)
    return assemble(body, parsed.envelope.signatures.items())


def recoded_trie_proof(data: bytes, *, present: bool) -> bytes:
    other, steps = trie.split_proof(data, present=present)
    return trie.encode_proof(steps, other)


def text(recode: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """A parser of text, over bytes; what is no UTF-8 becomes what argv makes of it."""
    return lambda data: recode(data.decode("utf-8", "surrogateescape")).encode(
        "utf-8", "surrogateescape"
    )


@dataclass(frozen=True)
class Format:
    """A valid input, and a function that parses it and spells it again."""

    make: Callable[[], bytes]
    recode: Callable[[bytes], bytes]
    refusals: tuple[type[PcrlogError], ...] = REFUSALS


FORMATS = {
    "note": Format(lambda: log().note, lambda d: bytes(UnverifiedNote.parse(d))),
    "checkpoint": Format(
        lambda: Checkpoint("log.example/pcr", 130, b"r" * 32).text().encode(),
        text(lambda t: Checkpoint.parse(t).text()),
    ),
    "vkey": Format(
        lambda: str(log().signer.public).encode(),
        text(lambda t: str(VerifierKey.parse(t))),
    ),
    "skey": Format(
        lambda: log().signer.skey().encode(),
        text(lambda t: NoteSigner.parse(t).skey()),
        (UsageError,),
    ),
    "seal": Format(
        lambda: Seal(17, 1_795_417_200, b"r" * 32).encode(),
        lambda d: Seal.parse(d).encode(),
    ),
    "frozen seal": Format(
        lambda: Seal(17, 1_795_417_200, b"r" * 32, frozen=True).encode(),
        lambda d: Seal.parse(d).encode(),
    ),
    "envelope": Format(lambda: log().leaves[3], recoded_envelope),
    "entry": Format(lambda: log().leaves[3], recoded_leaf),
    "seal entry": Format(lambda: log().leaves[-1], recoded_leaf),
    "identity": Format(lambda: payload(0), recoded_statement),
    "release": Format(lambda: payload(3), recoded_statement),
    "audit": Format(lambda: payload(4), recoded_statement),
    "revocation": Format(lambda: payload(5), recoded_statement),
    "proof": Format(
        lambda: Proof(4, log().included(4).proof, log().note).encode(),
        lambda d: Proof.parse(d).encode(),
    ),
    "bundle": Format(small_bundle, lambda d: Bundle.parse(d).encode()),
    "evidence": Format(EXAMPLE.encode, lambda d: evidence.encode(evidence.parse(d))),
    "request": Format(small_request, recoded_request, (*REFUSALS, VerificationError)),
    "tile path": Format(
        lambda: b"tile/1/x001/234.p/56",
        text(lambda t: tiles.parse_path(t).path()),
    ),
    "entry bundle path": Format(
        lambda: b"tile/entries/x001/x234/067",
        text(lambda t: tiles.parse_path(t).path()),
    ),
    "entry bundle": Format(
        lambda: tiles.encode_bundle([b"one", b"", b"x" * 300]),
        lambda d: tiles.encode_bundle(tiles.parse_bundle(d, 3)),
    ),
    "presence": Format(
        lambda: log().answer("v1/identity/registrar").proof,
        lambda d: recoded_trie_proof(d, present=True),
    ),
    "absence": Format(
        lambda: log().answer("v1/identity/nobody.example").proof,
        lambda d: recoded_trie_proof(d, present=False),
    ),
    "measurement": Format(
        lambda: b"aws-nitrotpm/PCR4=sha384:00ff,PCR12=sha384:ff00",
        text(lambda t: "/".join(parse_measurement(t))),
    ),
    "Ed25519 key": Format(
        lambda: key("acme").public.spki, lambda d: PublicKey.from_spki(d).spki
    ),
    "P-256 key": Format(
        lambda: SigningKey.generate(ECDSA_P256).public.spki,
        lambda d: PublicKey.from_spki(d).spki,
    ),
}


def changed(data: bytes) -> Iterator[bytes]:
    """One byte another, to several values each."""
    for at, byte in enumerate(data):
        others = {byte ^ 0x01, byte ^ 0x20, byte ^ 0x80, *b'\n "0}+', 0x00}
        for other in sorted(others - {byte}):
            yield data[:at] + bytes([other]) + data[at + 1 :]


def dropped_or_doubled(data: bytes) -> Iterator[bytes]:
    """One byte gone, or there twice, or swapped with the next."""
    for at in range(len(data)):
        yield data[:at] + data[at + 1 :]
        yield data[: at + 1] + data[at:]
        if data[at : at + 1] != data[at + 1 : at + 2]:
            yield data[:at] + data[at : at + 2][::-1] + data[at + 2 :]


def parts(data: bytes) -> Iterator[bytes]:
    """Each prefix, each suffix, and the whole twice."""
    for at in range(len(data)):
        yield data[:at]
        yield data[at + 1 :]
    yield data + data


CHANGES: Sequence[Callable[[bytes], Iterator[bytes]]] = (
    changed,
    dropped_or_doubled,
    parts,
)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_valid_has_one_spelling(name: str) -> None:
    form = FORMATS[name]
    data = form.make()
    assert form.recode(data) == data


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_mangled_is_refused_or_means_what_it_spells(name: str) -> None:
    form = FORMATS[name]
    data = form.make()
    refused = 0
    for mangled in chain.from_iterable(change(data) for change in CHANGES):
        try:
            again = form.recode(mangled)
        except form.refusals:
            refused += 1
            continue
        assert again == mangled
    assert refused > len(data)


def test_a_mangled_policy_is_a_usage_error_or_a_policy() -> None:
    data = policy.EXAMPLE.encode()
    refused = 0
    for at in range(len(data)):
        for mangled in (
            data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :],
            data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[: at + 1] + data[at:],
            data[:at],
            data[at + 1 :],
        ):
            try:
                policy.Policy.parse(mangled)
            except UsageError:
                refused += 1
    assert refused > len(data)
