"""What may become of any bytes: for each parser, one function that takes them.

A target returns, or raises what nobody may ever see: an assertion, if what was read is
not what was written, or an error that the parser does not name. `python -m fuzz` hands
it bytes by the million, and so does a test, those of the corpus.

>>> TARGETS["cbor"](bytes.fromhex("a1 00 41 00"))
>>> TARGETS["cbor"](b"whatever this is")
"""

import contextlib
import hashlib
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from fuzz import machines
from pcrlog import evidence, statement, tiles, trie
from pcrlog.attestation import cbor, chain, cose, decode_input, platform
from pcrlog.attestation.simulator import Simulator
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.entry import parse_leaf
from pcrlog.envelope import Envelope, assemble
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.index_keys import index_keys, keys_of_payload
from pcrlog.keys import PublicKey, SigningKey
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.policy import EXAMPLE, Policy
from pcrlog.policy_update import follow, parse_updates
from pcrlog.proof import Proof
from pcrlog.request import Request
from pcrlog.seal import Seal
from workbench import eif, eif_certificate, ramdisk, ramdisk_bytes
from workbench.eif_registers import extend
from workbench.kms_policy import parse_key_policy
from workbench.kms_policy_check import Released, check_key_policy
from workbench.kms_policy_words import mend, who, why

Target: TypeAlias = Callable[[bytes], None]

TIME = 1_795_417_200_000
"""When the simulated documents are made, in unix milliseconds."""
SIMULATOR = Simulator(b"fuzz")
LOG = VerifierKey.parse(
    "log.example/pcr+f79acc09+AZsfhHkc/HZjBFhU04netcqVRJ2HXydqg4QLBgqznPxx"
)
"""The key of the log in the corpus."""

_NITRO = platform("aws-nitro")
_RELEASED = Released.of(
    [{f"PCR{n}": f"sha384:{f'{n + 1}a' * 48}" for n in range(3)}], pcr0_alone=False
)
_HEADER = 548
"""Bytes of an image before its first section; the last four are the CRC."""
_ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
_INDEFINITE = (b"\x9f", b"\xbf")
"""Heads of arrays and maps that have a second spelling; all else has one."""
_LONG_FORM = 0x80
"""Lengths in DER from here on are led by the number of their bytes."""
_LONGEST_KEY = 4096
"""Characters of an index key: an issuer, a platform, and 32 registers at most."""


def _same(again: bytes, data: bytes) -> None:
    if again != data:
        message = f"read {data!r}, written {again!r}"
        raise AssertionError(message)


# --- attestation ----------------------------------------------------------------------


def fuzz_cbor(data: bytes) -> None:
    """One item of CBOR; its shortest form reads as the same."""
    try:
        value = cbor.decode(data)
    except MalformedError:
        return
    again = cbor.encode(value)
    # Two values that are equal may differ in type: 1 and True.
    _same(repr(cbor.decode(again)).encode(), repr(value).encode())
    if not any(head in data for head in _INDEFINITE):
        _same(again, data)


def fuzz_cose(data: bytes) -> None:
    """A COSE_Sign1; its parts, put together again, are parts of the same."""
    try:
        parts = cose.parse(data)
    except MalformedError:
        return
    head, payload, signature = map(
        cbor.encode, (parts.protected, parts.payload, parts.signature)
    )
    if cose.parse(b"\x84" + head + b"\xa0" + payload + signature) != parts:
        message = f"{data.hex()} is taken apart in two ways"
        raise AssertionError(message)


def fuzz_document(data: bytes) -> None:
    """A document as anybody hands it over: in CBOR, base64 or hex."""
    try:
        signed = _NITRO.parse(decode_input(data)).verify_signature()
        signed.verify_chain([SIMULATOR.root_der])
    except (MalformedError, VerificationError):
        pass


def fuzz_payload(data: bytes) -> None:
    """Any payload, rightly signed by an enclave of the simulator."""
    fuzz_document(SIMULATOR.sign(data))


def fuzz_certificate(data: bytes) -> None:
    """Any certificate, as leaf and as CA; and any that a CA has rightly signed."""
    *cas, leaf = SIMULATOR.chain(TIME)
    for cabundle, certificate in (
        ([cas[0], data], leaf),
        (cas, data),
        (cas, _signed(data)),
    ):
        try:
            found = chain.load(cabundle, certificate)
            chain.key_of(found.leaf)
            chain.verify(found, cas[:1], TIME // 1000)
        except (MalformedError, VerificationError):
            continue


def _signed(tbs: bytes) -> bytes:
    """A certificate over any bytes, by the CA above the simulator's leaf."""
    ca = SIMULATOR._keys[-2]  # noqa: SLF001 - it signs what no CA would
    signature = ca.sign(tbs, ec.ECDSA(SHA384(), deterministic_signing=True))
    return _der(0x30, tbs + _ECDSA_WITH_SHA384 + _der(0x03, b"\0" + signature))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG_FORM:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, _LONG_FORM | len(length)]) + length + content


# --- the log --------------------------------------------------------------------------


def fuzz_note(data: bytes) -> None:
    """A note, and its text as a checkpoint."""
    try:
        note = UnverifiedNote.parse(data)
        _same(bytes(note), data)
        _same(Checkpoint.parse(note.text).text().encode(), note.text.encode())
    except MalformedError:
        pass


def fuzz_seal(data: bytes) -> None:
    """A seal."""
    with contextlib.suppress(MalformedError, UncheckedError):
        _same(Seal.parse(data).encode(), data)


def fuzz_envelope(data: bytes) -> None:
    """An envelope; and the leaf that it is."""
    try:
        envelope = Envelope.parse(data)
        _same(assemble(envelope.payload, envelope.signatures.items()), data)
        parse_leaf(0, data)
    except (MalformedError, UncheckedError):
        pass


def fuzz_statement(data: bytes) -> None:
    """A statement of any of the four types."""
    try:
        found = statement.parse(data)
        statement.require_known(found)
    except (MalformedError, UncheckedError):
        return
    _same(statement.encode(found.predicate, found.registers), data)


def fuzz_index_keys(data: bytes) -> None:
    """The key function: it never fails, whatever a leaf holds."""
    found = index_keys(data) + keys_of_payload(data)
    wrapped = b'{"payload":"' + encode_base64(data).encode() + b'"}'
    if index_keys(wrapped) != keys_of_payload(data):
        message = "an envelope and its payload have two sets of keys"
        raise AssertionError(message)
    for key in found:
        # Printable ASCII: that is what a lookup and a trie can name.
        if not (key.isascii() and key.isprintable() and len(key) <= _LONGEST_KEY):
            message = f"the key {key!a}"
            raise AssertionError(message)


def fuzz_entry_bundle(data: bytes) -> None:
    """An entry bundle; the first byte is its width less one."""
    try:
        entries = tiles.parse_bundle(data[1:], 1 + int.from_bytes(data[:1]))
    except MalformedError:
        return
    _same(tiles.encode_bundle(entries), data[1:])


def fuzz_trie_proof(data: bytes) -> None:
    """A proof of presence, and of absence."""
    for present in (True, False):
        try:
            other, steps = trie.split_proof(data, present=present)
        except MalformedError:
            continue
        _same(trie.encode_proof(steps, other), data)


def fuzz_bundle(data: bytes) -> None:
    """A bundle."""
    with contextlib.suppress(MalformedError):
        _same(Bundle.parse(data).encode(), data)


def fuzz_evidence(data: bytes) -> None:
    """A file that proves a log wrong; and whether it does."""
    try:
        _same(evidence.encode(evidence.parse(data)), data)
        evidence.verify_evidence(data, LOG)
    except (MalformedError, VerificationError, UncheckedError):
        pass


def fuzz_proof(data: bytes) -> None:
    """A proof file; its `extra` line, if it has one, is never written again."""
    try:
        found = Proof.parse(data)
    except MalformedError:
        return
    if b"\nextra " not in data:
        _same(found.encode(), data)
    if Proof.parse(found.encode()) != found:
        message = f"{data!r} is read as two proofs"
        raise AssertionError(message)


def fuzz_request(data: bytes) -> None:
    """A request to the registrar."""
    with contextlib.suppress(MalformedError, UncheckedError, VerificationError):
        Request.parse(data)


# --- images -------------------------------------------------------------------------


def fuzz_image(data: bytes) -> None:
    """An enclave image, under the CRC that it has: what it measures is its sections."""
    crc = zlib.crc32(data[_HEADER:], zlib.crc32(data[: _HEADER - 4]))
    data = data[: _HEADER - 4] + crc.to_bytes(4) + data[_HEADER:]
    try:
        found = eif.measure(BytesIO(data))
    except (MalformedError, VerificationError):
        return
    for name in ("PCR0", "PCR1", "PCR2"):
        digest = hashlib.sha384()
        for part in found.parts:
            if name in part.registers:
                section = part.section
                digest.update(data[section.offset : section.offset + section.size])
        _same(extend(digest.digest()).encode(), found.registers[name].encode())


def fuzz_image_signature(data: bytes) -> None:
    """The signature section of an image, and the certificate in it."""
    with contextlib.suppress(MalformedError, VerificationError):
        found = eif_certificate.read(data)
        signer = eif_certificate.read_certificate(found.pem)
        eif_certificate.verify(found, signer, extend(b""))


def fuzz_ramdisk(data: bytes) -> None:
    """A ramdisk: whatever it is, it is read, or said to be unread."""
    budget = ramdisk_bytes.Budget(bytes=1 << 24, entries=10_000)
    for item in ramdisk.read(BytesIO(data), len(data), budget):
        if isinstance(item, ramdisk.Unread) or item.packed:
            continue
        if item.size > len(data):  # it stands there plainly
            message = f"{data!r} holds {item.size} bytes"
            raise AssertionError(message)


# --- what hands over secrets ----------------------------------------------------------


def fuzz_key_policy(data: bytes) -> None:
    """A key policy, and all that is said of it: printable, whatever stands in it."""
    try:
        policy = parse_key_policy(data)
    except MalformedError:
        return
    found = check_key_policy(policy, _RELEASED)
    for path in (*found.paths, *found.admitted, *found.writers):
        said = [why(path), mend(path), path.statement.name]
        said += [who(one, path.statement) for one in path.principals]
        if not all(map(str.isprintable, said)):
            message = f"it says {said!a}"
            raise AssertionError(message)


# --- what a person keeps --------------------------------------------------------------


_SUCCESSOR = """
[successor]
quorum = 1
keys = ["MCowBQYDK2VwAyEAdbsduCCa7aPO/OZCIDqZx3N8UGLPSr7nwwHYf4AsHno="]
"""
_FIRST_POLICY = (EXAMPLE + _SUCCESSOR).encode()


def fuzz_policy(data: bytes) -> None:
    """A policy."""
    with contextlib.suppress(UsageError):
        Policy.parse(data)


def fuzz_policy_updates(data: bytes) -> None:
    """A file of successors; none of them was signed."""
    try:
        updates = parse_updates(data)
    except MalformedError:
        return
    _same(b"".join(one.encode() + b"\n" for one in updates), data)
    with contextlib.suppress(VerificationError, UncheckedError):
        follow(_FIRST_POLICY, data, 0)
        message = f"{data!r} is followed"
        raise AssertionError(message)


def fuzz_public_key(data: bytes) -> None:
    """A public key, which then refuses a signature that nobody made."""
    try:
        key = PublicKey.from_spki(data)
        _same(key.spki, data)
        key.verify(bytes(64), b"message")
    except (MalformedError, UncheckedError, VerificationError):
        pass
    else:
        message = f"{data.hex()} verifies a signature of zeros"
        raise AssertionError(message)


def fuzz_private_key(data: bytes) -> None:
    """The file of a private key."""
    with contextlib.suppress(UsageError):
        SigningKey.from_pem(data)


def fuzz_base64(data: bytes) -> None:
    """Text in base64."""
    text = data.decode("latin-1")
    try:
        decoded = decode_base64(text)
    except MalformedError:
        return
    _same(encode_base64(decoded).encode("latin-1"), data)


TARGETS: dict[str, Target] = {
    name.removeprefix("fuzz_").replace("_", "-"): function
    for name, function in sorted({**globals(), **vars(machines)}.items())
    if name.startswith("fuzz_")
}

# cryptography warns of what it still reads, such as a serial number of zero.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pcrlog\..*")
