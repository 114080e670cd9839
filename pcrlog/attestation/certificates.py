"""X.509 certificates, and the one path of them from a trusted root to a leaf, strictly.

The makers of hardware keep to narrow profiles: one curve, one hash, few extensions. A
`Suite` says which. `read` takes a certificate only in the one spelling that DER has for
it. `verify_path` then demands, at the time it is given (ATTEST.md 1.2, 1.3, 2):

1.  Every certificate, the root too, has a key of the suite's curve and is signed with
    the suite's algorithm.
2.  Signatures and names link up, every certificate is valid at the time (the bounds
    are included, and so is the root), pathLen holds. basicConstraints and keyUsage are
    known; no other extension is critical.
3.  A CA says that it is one: basicConstraints CA and keyUsage keyCertSign, both
    critical.
4.  The leaf is none: basicConstraints not CA, keyUsage digitalSignature and not
    keyCertSign.
5.  The path is all of the certificates, in the order given. It is the only one: root
    and CAs all have different names.

2 to 4 are done by cryptography.x509.verification, with policies of our own: its default
demands an authorityKeyIdentifier, which AWS's leaf does not have. It looks for a path
among certificates in any order, does not mind other algorithms, and knows more critical
extensions than any of these certificates needs, hence 1, the last of 2, and 5.
"""

from collections.abc import Sequence
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

from pcrlog.encoding import format_time, sha256
from pcrlog.errors import MalformedError, UsageError, VerificationError

CAS = 3
"""CAs between root and leaf, at most."""

_KNOWN = (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE)
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for certificates that it cannot read."""


class Suite(Struct, frozen=True):
    """What all certificates of a maker are made with."""

    curve: type[ec.EllipticCurve]
    curve_name: str
    keys: bytes
    """The AlgorithmIdentifier of its keys: a SEQUENCE of id-ecPublicKey, the curve."""
    algorithm: x509.ObjectIdentifier
    algorithm_name: str


P384 = Suite(
    curve=ec.SECP384R1,
    curve_name="P-384",
    keys=bytes.fromhex("301006072a8648ce3d020106052b81040022"),
    algorithm=SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    algorithm_name="ecdsa-with-SHA384",
)
"""AWS's."""
P256 = Suite(
    curve=ec.SECP256R1,
    curve_name="P-256",
    keys=bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
    algorithm=SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    algorithm_name="ecdsa-with-SHA256",
)
"""Intel's, for SGX."""


class VerifiedLeaf(Struct, frozen=True):
    """What a path proves about the holder of the leaf's key."""

    common_name: str
    """Of the subject; empty if there is none that can be read."""
    not_before: int
    """Unix seconds, as is `not_after`; the leaf is valid at both."""
    not_after: int
    root_sha256: str
    """Of the DER of the trusted root that the path begins with."""


def read(der: bytes, suite: Suite) -> x509.Certificate:
    """The certificate that `der` is, if no other bytes say the same.

    Raises:
        MalformedError: not a certificate in DER, or bytes after it.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        # cryptography reads these when they are first asked for. Asked for here, a bad
        # one is a malformed document, not an exception amid a verification. A key of
        # another algorithm is read no further: what is known of it differs by library.
        parts = [one.value for one in certificate.extensions]
        spelled = [
            one.public_bytes() for one in parts if isinstance(one, x509.KeyUsage)
        ]
        if suite.keys in certificate.tbs_certificate_bytes:
            spelled.append(spki(certificate))
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


def spki(certificate: x509.Certificate) -> bytes:
    """The DER of the SubjectPublicKeyInfo of a certificate that was `read`."""
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_of(certificate: x509.Certificate, suite: Suite) -> ec.EllipticCurvePublicKey:
    """The key of a certificate, if it is one of the suite.

    Raises:
        VerificationError: another curve or algorithm, be it known or not.
    """
    try:
        key = certificate.public_key()
    except _UNREADABLE as error:
        message = (
            f"expected a {suite.curve_name} key, found one that cannot be read: {error}"
        )
        raise VerificationError(message) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        found = type(key).__name__
    elif isinstance(key.curve, suite.curve):
        return key
    else:
        found = key.curve.name
    message = f"expected a {suite.curve_name} key, found {found}"
    raise VerificationError(message)


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common names, with commas; empty if they cannot be read."""
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError):
        # A path is sound even if the names on it cannot be read.
        return ""
    return ", ".join(str(name.value) for name in names)


@lru_cache(maxsize=16)
def anchor(root: bytes, suite: Suite) -> tuple[x509.Certificate, Store]:
    """A trusted root (DER), ready for `verify_path`; for trusted ones only.

    Raises:
        UsageError: it is not a readable certificate.
    """
    # No document can fill the cache.
    try:
        certificate = read(root, suite)
    except MalformedError as error:
        message = f"a trusted root is of no use: {error}"
        raise UsageError(message) from error
    return certificate, Store([certificate])


def verify_path(
    root: bytes,
    cas: Sequence[x509.Certificate],
    leaf: x509.Certificate,
    time: int,
    suite: Suite,
) -> VerifiedLeaf:
    """What the path `root` (DER, trusted), `cas`, `leaf` proves at `time` (seconds).

    `cas` are at most `CAS`, in the order of issue.

    Raises:
        VerificationError: one of the module's checks 1 to 5 fails.
        UsageError: the trusted root itself is not a readable certificate.
    """
    top, store = anchor(root, suite)
    for certificate in (top, *cas, leaf):
        require_algorithms(certificate, suite)  # 1
        _require_known(certificate)  # 2
    verifier = (
        PolicyBuilder()
        .store(store)
        .time(datetime.fromtimestamp(time, UTC))
        .max_chain_depth(CAS)
        .extension_policies(ca_policy=_CA, ee_policy=_LEAF)
        .build_client_verifier()
    )
    try:
        path = verifier.verify(leaf, list(cas)).chain  # 2, 3, 4
        names = {one.subject.public_bytes() for one in (top, *cas)}
    except (InvalidPathError, ValueError, TypeError) as error:
        # The last two: a name that cannot be read, where it goes into the first.
        message = f"the chain does not hold at {format_time(time)}: {error}"
        raise VerificationError(message) from error
    if path != [leaf, *reversed(cas), top]:  # 5
        message = "the certificates are not in the order of issue, one by another"
        raise VerificationError(message)
    if len(names) <= len(cas):
        message = "two CAs have one name: the path is not the only one"
        raise VerificationError(message)
    return VerifiedLeaf(
        common_name=common_name(leaf),
        not_before=int(leaf.not_valid_before_utc.timestamp()),
        not_after=int(leaf.not_valid_after_utc.timestamp()),
        root_sha256=sha256(root).hex(),
    )


def require_algorithms(certificate: x509.Certificate, suite: Suite) -> None:
    """Refuse a certificate that is not made with the suite.

    Raises:
        VerificationError: its key is another's, or its issuer's signature.
    """
    key_of(certificate, suite)
    algorithm = certificate.signature_algorithm_oid
    if algorithm != suite.algorithm:
        message = (
            f"expected a certificate signed with {suite.algorithm_name}, found one with"
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
