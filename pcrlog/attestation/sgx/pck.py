"""The PCK certificate: which machine vouches for a quote, and what Intel says it is.

    Intel SGX Root CA                       trusted, by its key
      Intel SGX PCK Platform CA             or Processor CA
        Intel SGX PCK Certificate           its key signs the quoting enclave's report
      Intel SGX TCB Signing                 signs collateral; the same rules, no CA

Three certificates, P-256 and ecdsa-with-SHA256, in any order: one genuine quote has the
root in the middle. The root among them is only a copy. Two certificates carry Intel's
key, and quotes still have the older one, so the copy has to be of a trusted root's name
and key, and signed by it; from there on the trusted one is used (ATTEST.md 6.1).

What Intel says of the machine is in the leaf's extension (module `extension`).
"""

from collections.abc import Collection, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from pcrlog.attestation import certificates as x509_paths
from pcrlog.attestation.certificates import P256, VerifiedLeaf
from pcrlog.attestation.sgx import extension
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, VerificationError

_ISSUERS = ("Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA")


class Path(Struct, frozen=True):
    """Certificates that hold: under a trusted root, each for what it is used for."""

    leaf: x509.Certificate
    cas: tuple[x509.Certificate, ...]
    root: x509.Certificate
    """The trusted one, not the copy that came along."""
    proved: VerifiedLeaf


class Pck(Struct, frozen=True):
    """A machine, by the certificate that Intel made for its provisioning key."""

    fmspc: str
    """12 digits of upper-case hex, as Intel writes it in collateral."""
    pce_id: str
    """4 digits, likewise."""
    components: tuple[int, ...]
    """The 16 security version numbers of its firmware."""
    pce_svn: int
    serial: int
    leaf: x509.Certificate
    issuer: x509.Certificate
    root: x509.Certificate
    """The trusted one."""
    root_sha256: str
    """Of its DER."""
    not_before: int
    """Unix seconds, as is `not_after`."""
    not_after: int


def verify(certificates: Sequence[bytes], roots: Collection[bytes], now: int) -> Pck:
    """The machine that `certificates` are about (DER; PCK, its CA, the root's copy).

    Args:
        certificates: in any order.
        roots: trusted, DER.
        now: unix seconds; all are valid then.

    Raises:
        VerificationError: they are not such a chain under one of `roots`.
        UsageError: the trusted root is not a usable certificate.
    """
    path = verify_path(certificates, roots, now, cas=1)
    (issuer,) = path.cas
    name = x509_paths.common_name(issuer)
    if name not in _ISSUERS:
        message = f"expected a PCK certificate by {' or '.join(_ISSUERS)}, not {name!a}"
        raise VerificationError(message)
    try:
        machine = extension.read(_extension(path.leaf))
    except MalformedError as error:
        message = f"the PCK certificate's extension for SGX: {error}"
        raise VerificationError(message) from error
    return Pck(
        fmspc=machine.fmspc,
        pce_id=machine.pce_id,
        components=machine.components,
        pce_svn=machine.pce_svn,
        serial=path.leaf.serial_number,
        leaf=path.leaf,
        issuer=issuer,
        root=path.root,
        root_sha256=path.proved.root_sha256,
        not_before=path.proved.not_before,
        not_after=path.proved.not_after,
    )


def verify_path(
    certificates: Sequence[bytes], roots: Collection[bytes], now: int, *, cas: int
) -> Path:
    """Leaf, `cas` CAs (none or one) and a copy of the root, in any order, as a path.

    Raises:
        VerificationError: unreadable, too many or too few, of another root, or the path
            does not hold at `now` (module `certificates`, its checks 1 to 5).
        UsageError: the trusted root is not a usable certificate.
    """
    if len(certificates) != cas + 2:
        message = f"expected {cas + 2} certificates, found {len(certificates)}"
        raise VerificationError(message)
    try:
        found = [x509_paths.read(der, P256) for der in certificates]
    except MalformedError as error:
        raise VerificationError(str(error)) from error
    for certificate in found:
        x509_paths.key_of(certificate, P256)
    root_der, copy = _root(found, roots)
    root, _ = x509_paths.anchor(root_der, P256)
    _require_copy(copy, root)
    others = [one for one in found if one is not copy]
    # The leaf last; that it is one, and the CA a CA, is part of what follows.
    *above, leaf = sorted(others, key=_is_ca, reverse=True)
    proved = x509_paths.verify_path(root_der, above, leaf, now, P256)
    return Path(leaf, tuple(above), root, proved)


def _root(
    found: Sequence[x509.Certificate], roots: Collection[bytes]
) -> tuple[bytes, x509.Certificate]:
    """The trusted root (DER) whose key one of `found` has, and that one."""
    keys = {x509_paths.spki(one): one for one in found}
    if len(keys) != len(found):
        message = "two certificates of the chain have one key"
        raise VerificationError(message)
    for root in roots:
        certificate, _ = x509_paths.anchor(root, P256)
        try:
            x509_paths.key_of(certificate, P256)
        except VerificationError:
            # Nothing can be below it here; another one of the policy's may do.
            continue
        copy = keys.get(x509_paths.spki(certificate))
        if copy is not None:
            return root, copy
    trusted = ", ".join(sha256(root).hex() for root in roots) or "none"
    message = (
        "none of the certificates has the key of a trusted root; trusted roots, by"
        f" SHA-256: {trusted}"
    )
    raise VerificationError(message)


def _require_copy(copy: x509.Certificate, root: x509.Certificate) -> None:
    """Not needed for the path; but then no byte of it could be anything."""
    try:
        x509_paths.require_algorithms(copy, P256)
        copy.verify_directly_issued_by(root)
        is_copy = copy.subject.public_bytes() == root.subject.public_bytes()
    except (InvalidSignature, ValueError, TypeError) as error:
        message = "the root among the certificates is not signed by the trusted root"
        raise VerificationError(message) from error
    if not is_copy:
        message = "the root among the certificates has another name than the trusted"
        raise VerificationError(message)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        )
    except x509.ExtensionNotFound:
        return False
    return constraints.value.ca


def _extension(leaf: x509.Certificate) -> bytes:
    for one in leaf.extensions:
        value = one.value
        if one.oid == extension.OID and isinstance(value, x509.UnrecognizedExtension):
            return value.value
    message = "expected one, found none: it is not a PCK certificate"
    raise MalformedError(message)
