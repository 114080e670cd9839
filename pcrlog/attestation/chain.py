"""The X.509 chain of a Nitro document: a root, up to three CAs, a leaf.

    cabundle[0]     root    equal to a trusted root, byte for byte
    cabundle[1..]   CAs     in the order of issue; AWS's have pathLen 2, 1, 0
    certificate     leaf    its key signs the document; AWS's live for three hours

`load` reads the DER. `verify` then demands, at the time it is given (ATTEST.md 1.2,
1.3, 2):

1.  The root is one of ours. From here on ours is used; the document's is forgotten.
2.  There are at most three CAs.
3.  Every certificate, the root too, has a P-384 key and is signed with
    ecdsa-with-SHA384.
4.  Signatures and names link up, every certificate is valid at the time (the bounds
    are included, and so is the root), pathLen holds. basicConstraints and keyUsage are
    known; no other extension is critical.
5.  A CA says that it is one: basicConstraints CA and keyUsage keyCertSign, both
    critical.
6.  The leaf is none: basicConstraints not CA, keyUsage digitalSignature and not
    keyCertSign.
7.  The path is the document's: all of its certificates, in the order given. It is the
    only one: root and CAs all have different names.

4 to 6 are done by cryptography.x509.verification, with policies of our own: its default
demands an authorityKeyIdentifier, which AWS's leaf does not have. It looks for a path
among certificates in any order, does not mind other algorithms, and knows more critical
extensions than any of these certificates needs, hence 3, the last of 4, and 7.

Not checked: revocation. AWS tells verifiers to leave CRLs alone (ATTEST.md 1.2).
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
)
from cryptography.x509.verification import VerificationError as InvalidPathError
from msgspec import Struct

from pcrlog.attestation import cose
from pcrlog.encoding import format_time, sha256
from pcrlog.errors import MalformedError, UsageError, VerificationError

CAS = 3
"""CAs between root and leaf, at most."""

_KNOWN = (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE)
_P384 = bytes.fromhex("301006072a8648ce3d020106052b81040022")
"""The AlgorithmIdentifier of keys on P-384: a SEQUENCE of id-ecPublicKey, secp384r1."""
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for certificates that it cannot read."""


class Chain(Struct, frozen=True):
    """A chain as found in a document: readable, and nothing more."""

    root: bytes
    """DER. Only ever compared, so it is not parsed."""
    cas: tuple[x509.Certificate, ...]
    leaf: x509.Certificate


class VerifiedLeaf(Struct, frozen=True):
    """What a chain proves about the holder of the leaf's key."""

    common_name: str
    """Of the subject; empty if there is none that can be read."""
    not_before: int
    """Unix seconds, as is `not_after`; the leaf is valid at both."""
    not_after: int
    root_sha256: str
    """Of the DER of the trusted root that the chain ends in."""


def load(cabundle: Sequence[bytes], certificate: bytes) -> Chain:
    """Read the certificates of a document; `cabundle` has at least the root.

    Raises:
        MalformedError: one is not a certificate in DER, or has bytes after it.
    """
    root, *cas = cabundle
    return Chain(root, tuple(map(_read, cas)), _read(certificate))


def verify(chain: Chain, roots: Collection[bytes], time: int) -> VerifiedLeaf:
    """What `chain` proves, if it holds under one of `roots` at `time` (unix seconds).

    Raises:
        VerificationError: one of the module's checks 1 to 7 fails.
        UsageError: the trusted root itself is not a readable certificate.
    """
    if chain.root not in roots:  # 1
        trusted = ", ".join(sha256(root).hex() for root in roots) or "none"
        message = (
            f"the chain ends in the root with SHA-256 {sha256(chain.root).hex()},"
            f" trusted: {trusted}"
        )
        raise VerificationError(message)
    root, store = _anchor(chain.root)
    if len(chain.cas) > CAS:  # 2
        message = f"expected at most {CAS} CAs below the root, found {len(chain.cas)}"
        raise VerificationError(message)
    for certificate in (root, *chain.cas, chain.leaf):
        _require_algorithms(certificate)  # 3
        _require_known(certificate)  # 4
    verifier = (
        PolicyBuilder()
        .store(store)
        .time(datetime.fromtimestamp(time, UTC))
        .max_chain_depth(CAS)
        .extension_policies(ca_policy=_CA, ee_policy=_LEAF)
        .build_client_verifier()
    )
    try:
        path = verifier.verify(chain.leaf, list(chain.cas)).chain  # 4, 5, 6
        names = {one.subject.public_bytes() for one in (root, *chain.cas)}
    except (InvalidPathError, ValueError, TypeError) as error:
        # The last two: a name that cannot be read, where it goes into the first.
        message = f"the chain does not hold at {format_time(time)}: {error}"
        raise VerificationError(message) from error
    if path != [chain.leaf, *reversed(chain.cas), root]:  # 7
        message = "the CAs of the document are not in the order of issue, root first"
        raise VerificationError(message)
    if len(names) <= len(chain.cas):
        message = "two CAs have one name: the path is not the only one"
        raise VerificationError(message)
    return VerifiedLeaf(
        common_name=_common_name(chain.leaf),
        not_before=int(chain.leaf.not_valid_before_utc.timestamp()),
        not_after=int(chain.leaf.not_valid_after_utc.timestamp()),
        root_sha256=sha256(chain.root).hex(),
    )


@lru_cache(maxsize=16)
def _anchor(root: bytes) -> tuple[x509.Certificate, Store]:
    # Called for trusted roots only: no document can fill the cache.
    try:
        certificate = _read(root)
    except MalformedError as error:
        message = f"a trusted root is of no use: {error}"
        raise UsageError(message) from error
    return certificate, Store([certificate])


def key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a certificate, if it is one for ES384.

    Raises:
        VerificationError: another curve or algorithm, be it known or not.
    """
    try:
        return cose.p384(certificate.public_key())
    except _UNREADABLE as error:
        message = f"expected a P-384 key, found one that cannot be read: {error}"
        raise VerificationError(message) from error


def _read(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        # cryptography reads these when they are first asked for. Asked for here, a bad
        # one is a malformed document, not an exception amid a verification. A key of
        # another algorithm is read no further: what is known of it differs by library.
        parts = [one.value for one in certificate.extensions]
        spelled = [
            one.public_bytes() for one in parts if isinstance(one, x509.KeyUsage)
        ]
        if _P384 in certificate.tbs_certificate_bytes:
            spelled.append(_spki(certificate))
    except _UNREADABLE as error:
        message = f"not a readable certificate: {error}"
        raise MalformedError(message) from error
    # Each has one form. cryptography also reads a compressed point, a key usage with
    # zero bits at its end, and below a signature with unused bits if they are zero: a
    # certificate would then have two spellings, and other readers refuse the second.
    if any(one not in der for one in spelled):
        message = "not a readable certificate: a compressed point, or a long key usage"
        raise MalformedError(message)
    if not der.endswith(b"\0" + certificate.signature):
        message = "not a readable certificate: a signature of broken bytes"
        raise MalformedError(message)
    return certificate


def _spki(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _common_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError):
        # A path is sound even if the names on it cannot be read.
        return ""
    return ", ".join(str(name.value) for name in names)


def _require_algorithms(certificate: x509.Certificate) -> None:
    key_of(certificate)
    algorithm = certificate.signature_algorithm_oid
    if algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        message = (
            "expected a certificate signed with ecdsa-with-SHA384, found one with"
            f" {algorithm.dotted_string}"
        )
        raise VerificationError(message)


def _require_known(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            message = (
                "a certificate has a critical extension that is not known:"
                f" {extension.oid.dotted_string}"
            )
            raise VerificationError(message)


# cryptography turns a ValueError of these three into its VerificationError.
def _require_cert_sign(_: Policy, __: object, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        message = "a CA without keyCertSign in its keyUsage"
        raise ValueError(message)


def _require_no_ca(_: Policy, __: object, constraints: x509.BasicConstraints) -> None:
    if constraints.ca:
        message = "a leaf whose basicConstraints say that it is a CA"
        raise ValueError(message)


def _require_signing_only(_: Policy, __: object, usage: x509.KeyUsage) -> None:
    if usage.key_cert_sign or not usage.digital_signature:
        message = "a leaf with keyCertSign or without digitalSignature in its keyUsage"
        raise ValueError(message)


_CA = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, _require_cert_sign)
)
# The keyUsage of AWS's leaves is not critical (ATTEST.md 1.3).
_LEAF = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_no_ca)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing_only)
)
