"""Lists of revoked certificates (RFC 5280 section 5), of Intel's root and its two CAs.

A list is the issuer's word on all of its certificates, or it is refused: a list of
changes, of a part, or of others' certificates has extensions that say so. A certificate
that is in the list is revoked, whatever reason and date are given.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID
from msgspec import Struct

from pcrlog.attestation.certificates import P256, common_name, key_of
from pcrlog.encoding import decode_hex, shown
from pcrlog.errors import MalformedError, VerificationError

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_KNOWN = (ExtensionOID.CRL_NUMBER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
"""A critical one of these changes nothing."""
_PARTIAL = (
    ExtensionOID.DELTA_CRL_INDICATOR,
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    CRLEntryExtensionOID.CERTIFICATE_ISSUER,
)
"""These, critical or not, say that the list is not of all, or not of one issuer."""


class Crl(Struct, frozen=True):
    """A list that can be read. It is not verified."""

    what: str
    """A name, for messages: "PCK CRL"."""
    unverified: x509.CertificateRevocationList
    begins: int
    """Unix seconds, as is `ends`: thisUpdate and nextUpdate."""
    ends: int
    unverified_serials: frozenset[int]

    def verify(self, issuer: x509.Certificate) -> frozenset[int]:
        """The serial numbers that `issuer` revoked.

        Args:
            issuer: the certificate of the CA, known to hold.

        Raises:
            VerificationError: it is not the list of this issuer.
        """
        crl = self.unverified
        name = shown(common_name(issuer))
        if crl.issuer != issuer.subject:
            message = f"{self.what}: expected the list of {name}, found another's"
            raise VerificationError(message)
        if not _signs_lists(issuer):
            message = f"{self.what}: the certificate of {name} is not for CRLs"
            raise VerificationError(message)
        if crl.signature_algorithm_oid != P256.algorithm:
            found = crl.signature_algorithm_oid.dotted_string
            message = f"{self.what}: expected {P256.algorithm_name}, found {found}"
            raise VerificationError(message)
        if not crl.is_signature_valid(key_of(issuer, P256)):
            message = f"{self.what}: it is not signed by the key of {name}"
            raise VerificationError(message)
        return self.unverified_serials


def parse(text: str, what: str) -> Crl:
    """A list, in hex of its DER; `what` is its name, for messages.

    Raises:
        MalformedError: it is not one of all of an issuer's certificates.
    """
    try:
        der = decode_hex(text)
        crl = x509.load_der_x509_crl(der)
        _require_whole(crl.extensions)
        serials = frozenset(map(_serial, crl))
        crl.issuer.public_bytes()
        begins, ends = crl.last_update_utc, crl.next_update_utc
    except (MalformedError, *_UNREADABLE) as error:
        message = f"{what}: not a readable CRL: {error}"
        raise MalformedError(message) from error
    if ends is None or begins > ends:
        message = f"{what}: expected a nextUpdate after {begins}, found {ends}"
        raise MalformedError(message)
    # One spelling, as of certificates.
    if not der.endswith(b"\0" + crl.signature):
        message = f"{what}: not a readable CRL: a signature of broken bytes"
        raise MalformedError(message)
    return Crl(what, crl, int(begins.timestamp()), int(ends.timestamp()), serials)


def _serial(entry: x509.RevokedCertificate) -> int:
    _require_whole(entry.extensions)
    return entry.serial_number


def _require_whole(extensions: x509.Extensions) -> None:
    for one in extensions:
        if one.oid in _PARTIAL or (one.critical and one.oid not in _KNOWN):
            message = f"a list of all, without extension {one.oid.dotted_string},"
            raise ValueError(message + " was expected")


def _signs_lists(issuer: x509.Certificate) -> bool:
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        return False
    return usage.value.crl_sign
