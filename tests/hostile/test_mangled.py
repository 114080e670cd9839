"""Small changes of something valid, for the parsers that have no mangling elsewhere.

tests/property/test_mangled.py changes what the log writes, tests/unit/attestation what
an enclave does. Here are the rest: files of keys and registers, cosignature lines,
proofs of the tree, spellings of single values, and documents as text. A change is
refused with the parser's own errors, or means what it spells.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

import pytest

from pcrlog import merkle
from pcrlog.attestation import decode_input, roots
from pcrlog.checkpoint import cosign, cosignatures
from pcrlog.encoding import (
    decode_base64,
    decode_hex,
    encode_base64,
    format_time,
    parse_decimal,
    parse_time,
)
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.keys import ECDSA_P256, PublicKey, SigningKey
from pcrlog.measurement import parse_measurement, registers_in
from pcrlog.note import NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.policy import parse_duration
from pcrlog.semver import semver
from tests.hostile.parsers import of_document, of_registers, text
from tests.support.memory_log import MemoryLog, key, registers, witness
from tests.support.scene import document, pem


def changes(data: bytes) -> Iterator[bytes]:
    """Each byte another, gone, or there twice; each beginning and each end."""
    for at, byte in enumerate(data):
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, 0, 10, 43, 48} - {byte}:
            yield data[:at] + bytes([other]) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[: at + 1] + data[at:]
        yield data[:at]
        yield data[at + 1 :]
    yield data + data


def parts(data: bytes) -> Iterator[bytes]:
    """Each substring that is not the whole."""
    for start in range(len(data)):
        for end in range(start, len(data) + 1):
            if end - start < len(data):
                yield data[start:end]


# --- values with one spelling --------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A spelling, and a function that reads it and spells it again."""

    spelling: bytes
    recode: Callable[[bytes], bytes]
    refusal: type[PcrlogError] = MalformedError


def spelled(recode: Callable[[str], str]) -> Callable[[bytes], bytes]:
    read = text(recode)
    return lambda data: str(read(data)).encode("utf-8", "surrogateescape")


VALUES = {
    "base64": Value(b"AQIDBAU=", spelled(lambda t: encode_base64(decode_base64(t)))),
    "hex": Value(b"00ff7a", spelled(lambda t: decode_hex(t).hex())),
    "hex of a size": Value(b"00ff7a", spelled(lambda t: decode_hex(t, 3).hex())),
    "decimal": Value(b"9223372036854775807", spelled(lambda t: str(parse_decimal(t)))),
    "time": Value(
        b"2026-11-23T07:00:00Z", spelled(lambda t: format_time(parse_time(t)))
    ),
    "duration": Value(b"300s", spelled(lambda t: f"{parse_duration(t)}s")),
    "version": Value(
        b"1.0.0-rc.10",
        # A version is read to be compared; it is spelled by what it sorts beside.
        spelled(lambda t: t if semver(t) == semver(t) else ""),
    ),
    "measurement": Value(
        b"aws-nitro/PCR0=sha384:00ff",
        spelled(lambda t: "/".join(parse_measurement(t))),
    ),
    "vkey": Value(
        str(VerifierKey("a", 4, bytes(range(32)))).encode(),
        spelled(lambda t: str(VerifierKey.parse(t))),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_has_one_spelling(name: str) -> None:
    value = VALUES[name]
    assert value.recode(value.spelling) == value.spelling
    refused = 0
    for change in (changes, parts):
        for mangled in change(value.spelling):
            try:
                again = value.recode(mangled)
            except value.refusal:
                refused += 1
            else:
                assert name == "duration" or again == mangled
    assert refused > len(value.spelling)


def test_an_m_is_read_as_the_registers_that_it_names() -> None:
    for mangled in changes(b"aws-nitro/PCR0=sha384:00ff,PCR12=sha384:ff00"):
        try:
            _, m = parse_measurement(mangled.decode("utf-8", "surrogateescape"))
        except MalformedError:
            continue
        rows = [f"{name}={digest}" for name, digest in registers_in(m).items()]
        # A register that stands twice is read once: no statement spells such an M.
        assert set(rows) == set(m.split(",")) or len(rows) < m.count(",") + 1


# --- files of keys -------------------------------------------------------------------


@cache
def private_keys() -> dict[str, SigningKey]:
    return {"Ed25519": key("acme"), "P-256": SigningKey.generate(ECDSA_P256)}


@pytest.mark.parametrize("name", ["Ed25519", "P-256"])
def test_a_mangled_private_key_is_a_usage_error_or_a_key(name: str) -> None:
    """Of PEM, the library minds neither what stands around it nor its line ends."""
    made = private_keys()[name]
    data, refused = made.to_pem(), 0
    for mangled in changes(data):
        try:
            found = SigningKey.from_pem(mangled)
        except UsageError:
            refused += 1
            continue
        found.public.verify(found.sign(b"message"), b"message")
    assert refused > len(data)


def test_a_mangled_root_is_a_usage_error_or_bytes() -> None:
    made = roots.builtin("aws-nitro")[0]
    text = pem(made)
    assert roots.from_pem(text) == made
    refused = 0
    for mangled in changes(text.encode()):
        try:
            found = roots.from_pem(mangled.decode("utf-8", "surrogateescape"))
        except UsageError:
            refused += 1
            continue
        assert isinstance(found, bytes)
    assert refused > len(text)


def test_a_mangled_public_key_verifies_no_signature_of_the_key() -> None:
    made = key("acme")
    signature = made.sign(b"message")
    for mangled in changes(made.public.spki):
        with pytest.raises((MalformedError, UncheckedError, VerificationError)):
            PublicKey.from_spki(mangled).verify(signature, b"message")


# --- registers in a file -------------------------------------------------------------

IMAGE = {name: value.partition(":")[2] for name, value in registers("good").items()}
REGISTERS = {
    "nitro-cli": (
        '{"Measurements":{"HashAlgorithm":"Sha384 { ... }",'
        + ",".join(f'"{name}":"{value}"' for name, value in IMAGE.items())
        + "}}"
    ),
    "flat": "{" + ",".join(f'"{n}":"{v}"' for n, v in IMAGE.items()) + "}",
    "lines": "".join(f"{value} {name}\n" for name, value in IMAGE.items()),
}


@pytest.mark.parametrize("name", REGISTERS)
def test_mangled_registers_are_malformed_or_registers(name: str) -> None:
    data = REGISTERS[name].encode()
    assert of_registers(data) == registers("good")
    refused = 0
    for mangled in islice(changes(data), 0, None, 7):
        try:
            found = of_registers(mangled)
        except MalformedError:
            refused += 1
            continue
        assert isinstance(found, dict)
        for register, value in found.items():
            assert register.startswith("PCR")
            assert len(decode_hex(value.removeprefix("sha384:"))) == 48
    assert refused > len(data) / 2


# --- cosignature lines ---------------------------------------------------------------


def test_a_mangled_cosignature_is_none_and_the_note_stands() -> None:
    """Each byte of the line's base64: it is no line, another's, or does not verify."""
    made, one = MemoryLog(), witness("w1.example/a")
    made.seal()
    note = UnverifiedNote.parse(made.note)
    line = cosign(note.text, one, 1_795_417_200)
    signed = str(line).encode()
    whole = UnverifiedNote(note.text, (*note.lines, line))
    assert cosignatures(whole, [one.public]) == {one.public: 1_795_417_200}
    head = bytes(whole).removesuffix(signed + b"\n")
    for mangled in changes(signed):
        try:
            found = UnverifiedNote.parse(head + mangled + b"\n")
        except MalformedError:
            continue
        count = mangled.count(signed)
        assert len(cosignatures(found, [one.public])) == min(count, 1)
        if count == 0 and found.text == note.text:
            assert found.verify(made.signer.public) == note.text


@pytest.mark.parametrize("size", [0, 1, 7, 8, 71, 73, 144])
def test_a_cosignature_of_another_size_is_none(size: int) -> None:
    made, one = MemoryLog(), witness("w1.example/a")
    made.seal()
    note = UnverifiedNote.parse(made.note)
    whole = UnverifiedNote(note.text, (*note.lines, one.line(bytes(size))))
    assert cosignatures(whole, [one.public]) == {}


# --- proofs of the tree --------------------------------------------------------------


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(size)]


def node_of(hashes: list[bytes]) -> merkle.Node:
    return lambda level, index: merkle.root(
        hashes[index << level : (index + 1) << level]
    )


def mangled_proofs(proof: merkle.Proof) -> Iterator[merkle.Proof]:
    """Hashes changed, gone, twice, swapped, cut, longer; and none at all."""
    for at, one in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        for other in (
            bytes([one[0] ^ 1]) + one[1:],
            one[:-1] + bytes([one[-1] ^ 0x80]),
            one[:-1],
            one + b"\0",
            b"",
            bytes(32),
        ):
            yield (*before, other, *after)
        yield before + after
        yield (*before, one, one, *after)
        if after and after[0] != one:
            yield (*before, after[0], one, *after[1:])
    yield (*proof, bytes(32))
    yield (bytes(32), *proof)
    if proof:
        yield ()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31])
def test_a_mangled_proof_of_inclusion_does_not_hold(size: int) -> None:
    hashes = leaves(size)
    root = merkle.root(hashes)
    for index in range(size):
        proof = merkle.prove_inclusion(index, size, node_of(hashes))
        merkle.check_inclusion(hashes[index], index, size, proof, root)
        for mangled in mangled_proofs(proof):
            with pytest.raises(VerificationError):
                merkle.check_inclusion(hashes[index], index, size, mangled, root)
        for number in {-1, index - 1, index + 1, size, 2**63, 2**70} - {index}:
            with pytest.raises(VerificationError):
                merkle.check_inclusion(hashes[index], number, size, proof, root)
        for leaf in (hashes[index][:-1], b"", hashes[index] + b"\0", bytes(32)):
            with pytest.raises(VerificationError):
                merkle.check_inclusion(leaf, index, size, proof, root)


@pytest.mark.parametrize("new", [2, 3, 7, 8, 9, 17])
def test_a_mangled_proof_of_consistency_does_not_hold(new: int) -> None:
    hashes = leaves(new)
    now = merkle.root(hashes)
    for old in range(1, new + 1):
        was = merkle.root(hashes[:old])
        proof = merkle.prove_consistency(old, new, node_of(hashes))
        merkle.check_consistency(old, new, proof, was, now)
        for mangled in mangled_proofs(proof):
            with pytest.raises(VerificationError):
                merkle.check_consistency(old, new, mangled, was, now)
        for sizes in ((0, new), (-1, new), (new + 1, new), (old, old - 1)):
            with pytest.raises(VerificationError):
                merkle.check_consistency(*sizes, proof, was, now)
        for roots_ in ((was[:-1], now), (was, now[:-1]), (now[::-1], now)):
            with pytest.raises(VerificationError):
                merkle.check_consistency(old, new, proof, *roots_)


# --- documents as text ---------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["base64", "hex"])
def test_a_mangled_document_in_text_is_refused_or_is_the_document(
    spelling: str,
) -> None:
    """Line ends are nothing; any other change is another document, or none."""
    data = document()
    written = encode_base64(data) if spelling == "base64" else data.hex()
    assert decode_input(written.encode()) == data
    places = [*range(12), *range(100, len(written), 997), len(written) - 1]
    for at in places:
        for byte in b"\n\r =+/A0g\0\xff":
            mangled = written[:at].encode() + bytes([byte]) + written[at:].encode()
            if byte in b"\r\n":
                assert decode_input(mangled) == data
                continue
            with pytest.raises((MalformedError, VerificationError)):
                of_document(mangled)
        cut = written[:at] + written[at + 1 :]
        with pytest.raises((MalformedError, VerificationError)):
            of_document(cut.encode())


def test_a_signer_that_is_mangled_signs_nothing_under_the_old_name() -> None:
    skey = witness("w1.example/a").skey()
    for mangled in changes(skey.encode()):
        with pytest.raises(UsageError):
            NoteSigner.parse(mangled.decode("utf-8", "surrogateescape"))
