"""Every parser of outside bytes: what it takes, what it raises, how much it is handed.

The one list that the tests of bombs, of largest inputs and of small changes share.
A new parser belongs here; `test_every_parser_is_listed` knows where they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pcrlog import evidence, limits, sigstruct, statement, tiles, transport, trie
from pcrlog.attestation import (
    cbor,
    chain,
    cose,
    decode_input,
    intel_sgx,
    platform,
    roots,
)
from pcrlog.attestation.sgx import collateral, extension, pem
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import decode_base64, decode_hex, parse_decimal, parse_time
from pcrlog.entry import parse_leaf
from pcrlog.envelope import Envelope
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.index_keys import index_keys
from pcrlog.keys import PublicKey, SigningKey
from pcrlog.measurement import parse_measurement
from pcrlog.note import NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.policy import Policy, parse_duration
from pcrlog.policy_update import parse_updates
from pcrlog.proof import Proof
from pcrlog.published import collect, parse_builds, parse_pairs
from pcrlog.request import Request
from pcrlog.seal import Seal
from pcrlog.semver import semver
from pcrlog.tlog_policy import TlogPolicy
from pcrlog.witness import REQUEST, AddCheckpoint, parse_lines, parse_size
from tests.support.images import with_crc
from workbench import eif, eif_certificate, eif_metadata, kms_policy, ramdisk

LEAF = tiles.MAX_ENTRY
KEY = bytes(32)
"""Of a log that has signed nothing that is handed in here."""
LINE = 65_536
"""What a line of text or a parameter may come to, before anybody looks at it."""


@dataclass(frozen=True)
class Parser:
    """`read` raises `refusals` alone; `most` is what its callers hand it at most."""

    read: Callable[[bytes], object]
    refusals: tuple[type[PcrlogError], ...]
    most: int


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text, over bytes; what is no UTF-8 becomes what argv makes of it."""
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def of_registers(data: bytes) -> object:
    """The registers in a file that a build has published."""
    return collect(parse_pairs(data)).registers


def of_evidence(data: bytes) -> object:
    """A file that anybody may hand over, about a log whose key is known."""
    return evidence.verify_evidence(data, NoteSigner("log.example/pcr", KEY).public)


def of_document(data: bytes) -> object:
    """An attestation document as a person or a server hands it over."""
    return platform("aws-nitro").parse(decode_input(data)).verify_signature()


def of_collateral(data: bytes) -> object:
    """What a maker publishes of its machines, from a file or a service."""
    return collateral.parse(data).unverified_statements()


def of_image(data: bytes) -> object:
    """An enclave image, under the CRC that it has."""
    return eif.measure(BytesIO(with_crc(data)))


def of_ramdisk(data: bytes) -> object:
    """A ramdisk of one; what is no ramdisk is said to be unread."""
    return list(ramdisk.read(BytesIO(data), len(data)))


def of_refusal(data: bytes) -> object:
    """A log's answer that is no success; it is returned, not raised."""
    return transport._refusal("https://log.example", "checkpoint", 400, data)


def of_placing(data: bytes) -> object:
    """A log's answer to a submission, and to who asks after one."""
    kinds: list[Any] = [transport.Placed, transport.Promised, transport._Submission]
    for kind in kinds[:-1]:
        try:
            return transport._decode(data, kind)
        except TransportError:
            continue
    return transport._decode(data, kinds[-1])


_MALFORMED = (MalformedError,)
_NOT_KNOWN = (MalformedError, UncheckedError)
_KNOWN = (MalformedError, UncheckedError)
_REFUTED = (MalformedError, VerificationError, UncheckedError)
_USAGE = (UsageError,)

PARSERS = {
    "base64": Parser(text(decode_base64), _MALFORMED, limits.BUNDLE),
    "hex": Parser(text(decode_hex), _MALFORMED, LINE),
    "decimal": Parser(text(parse_decimal), _MALFORMED, LINE),
    "time": Parser(text(parse_time), _MALFORMED, LINE),
    "note": Parser(UnverifiedNote.parse, _MALFORMED, limits.NOTE),
    "checkpoint": Parser(text(Checkpoint.parse), _MALFORMED, limits.NOTE),
    "vkey": Parser(text(VerifierKey.parse), _MALFORMED, LINE),
    "skey": Parser(text(NoteSigner.parse), _USAGE, LINE),
    "public key": Parser(PublicKey.from_spki, _KNOWN, limits.SPKI),
    "private key": Parser(SigningKey.from_pem, _USAGE, limits.KEY_FILE),
    "seal": Parser(Seal.parse, _KNOWN, LEAF),
    "envelope": Parser(Envelope.parse, _MALFORMED, limits.ENVELOPE),
    "statement": Parser(statement.parse, _KNOWN, limits.ENVELOPE),
    "leaf": Parser(lambda data: parse_leaf(0, data), _KNOWN, LEAF),
    "index keys": Parser(index_keys, (), LEAF),
    "add-checkpoint": Parser(AddCheckpoint.parse, _MALFORMED, REQUEST),
    "a witness's size": Parser(parse_size, _MALFORMED, LINE),
    "signature lines": Parser(parse_lines, _MALFORMED, limits.NOTE),
    "request": Parser(Request.parse, (*_KNOWN, VerificationError), 65_536),
    "tile path": Parser(text(tiles.parse_path), _MALFORMED, LINE),
    "entry bundle": Parser(lambda d: tiles.parse_bundle(d, 256), _MALFORMED, 1 << 20),
    "presence": Parser(lambda d: trie.split_proof(d, present=True), _MALFORMED, LINE),
    "absence": Parser(lambda d: trie.split_proof(d, present=False), _MALFORMED, LINE),
    "proof": Parser(Proof.parse, _MALFORMED, 203_000),
    "bundle": Parser(Bundle.parse, _MALFORMED, limits.BUNDLE),
    "evidence": Parser(evidence.parse, _MALFORMED, 1 << 20),  # of 16 << 20: time
    "what evidence proves": Parser(of_evidence, _REFUTED, 1 << 20),  # the same
    "nodes of a trie": Parser(lambda d: trie.read_nodes([d]), _MALFORMED, LINE),
    "policy": Parser(Policy.parse, _USAGE, limits.POLICY),
    "policy updates": Parser(parse_updates, _MALFORMED, limits.UPDATES),
    "tlog-policy": Parser(TlogPolicy.parse, _MALFORMED, limits.POLICY),
    "duration": Parser(text(parse_duration), _MALFORMED, LINE),
    "version": Parser(text(semver), _MALFORMED, limits.NAME),
    "measurement": Parser(text(parse_measurement), _MALFORMED, LINE),
    "registers": Parser(of_registers, _MALFORMED, 1 << 18),  # of 1 << 20: time
    "builds": Parser(parse_builds, _MALFORMED, 1 << 18),  # the same
    "SIGSTRUCT": Parser(
        sigstruct.verify, (MalformedError, VerificationError), sigstruct.SIZE
    ),
    "document": Parser(
        of_document, (MalformedError, VerificationError), 2 * limits.ATTESTATION
    ),
    "CBOR": Parser(cbor.decode, _MALFORMED, limits.ATTESTATION),
    "COSE": Parser(cose.parse, _MALFORMED, limits.ATTESTATION),
    "certificate": Parser(lambda d: chain.load([d, d], d), _MALFORMED, 1024),
    "quote": Parser(intel_sgx.parse, _MALFORMED, limits.ATTESTATION),
    "extension for SGX": Parser(extension.read, _MALFORMED, limits.ATTESTATION),
    "certificates": Parser(text(pem.read), _MALFORMED, limits.COLLATERAL),
    "collateral": Parser(of_collateral, _NOT_KNOWN, limits.COLLATERAL),
    "root": Parser(text(roots.from_pem), _USAGE, limits.POLICY),
    "image": Parser(of_image, (MalformedError, VerificationError), 1 << 18),  # streamed
    "image's signature": Parser(eif_certificate.read, _MALFORMED, 32_768),
    "image's certificate": Parser(eif_certificate.read_certificate, _MALFORMED, 32_768),
    "image's metadata": Parser(eif_metadata.read, _MALFORMED, 1 << 18),  # of 1 << 20
    "key policy": Parser(kms_policy.parse_key_policy, _MALFORMED, kms_policy.MOST),
    "ramdisk": Parser(of_ramdisk, (), 1 << 18),  # streamed
    "refusal": Parser(of_refusal, (), transport.ANSWER),
    "placing": Parser(of_placing, (TransportError,), transport.ANSWER),
}
