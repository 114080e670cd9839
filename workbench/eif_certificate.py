r"""The signature section of an image: whose certificate, and what it signed.

    CBOR: [{"signing_certificate": [45, 45, …], "signature": [132, 68, …]}]

Both are arrays of numbers, one a byte: the certificate in PEM, and a COSE_Sign1 whose
payload is CBOR again, {"register_index": 0, "register_value": [48 numbers]}: PCR0. The
section is not measured itself. PCR8 is made of the certificate's DER, whether or not
the signature holds: hence checks `signature`, `certificate` and `signed`.

On the strict side: exactly one entry (nitro-cli writes one, and looks at the first);
the CBOR is the shortest, in this order; nothing in the unprotected header; exactly one
certificate in the PEM, whatever words stand around it. Tag 18 may stand before the
COSE_Sign1, as in attestation documents.

Left to the caller: whether the certificate is valid now. nitro-cli refuses to start an
image whose certificate has expired; the registers of one that runs stay what they are.
"""

import re
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID
from msgspec import Struct

from pcrlog.attestation import cbor, cose
from pcrlog.encoding import decode_base64, printable
from pcrlog.errors import MalformedError, VerificationError
from workbench.eif_layout import refusal, refuse

_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)"
    rb"-----END CERTIFICATE-----"
)
_BEGIN = b"-----BEGIN "
_CURVES: dict[str, tuple[int, int, HashAlgorithm]] = {
    "secp256r1": (-7, 32, SHA256()),
    "secp384r1": (-35, 48, SHA384()),
    "secp521r1": (-36, 66, SHA512()),
}
"""Curve to the algorithm that COSE demands for it (RFC 9053 2.1), bytes of r, hash."""
_NAMES = {
    NameOID.COMMON_NAME: "commonName",
    NameOID.COUNTRY_NAME: "countryName",
    NameOID.DOMAIN_COMPONENT: "domainComponent",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.LOCALITY_NAME: "localityName",
    NameOID.ORGANIZATION_NAME: "organizationName",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "organizationalUnitName",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.STATE_OR_PROVINCE_NAME: "stateOrProvinceName",
}
"""As OpenSSL spells them, and so nitro-cli; others by their numbers."""
_ALGORITHMS = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: "ecdsa-with-SHA256",
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: "ecdsa-with-SHA384",
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: "ecdsa-with-SHA512",
    SignatureAlgorithmOID.RSA_WITH_SHA256: "sha256WithRSAEncryption",
    SignatureAlgorithmOID.RSA_WITH_SHA384: "sha384WithRSAEncryption",
    SignatureAlgorithmOID.RSA_WITH_SHA512: "sha512WithRSAEncryption",
    SignatureAlgorithmOID.ED25519: "ED25519",
}


class Signer(Struct, frozen=True):
    """The certificate of an image, in nitro-cli's words, and its DER."""

    der: bytes
    issuer: dict[str, str]
    algorithm: str
    not_before: str
    not_after: str
    signature: bytes
    """Of the certificate, by its issuer; not checked."""

    def described(self) -> dict[str, object]:
        """`SigningCertificate` of nitro-cli's describe-eif."""
        return {
            "IssuerName": self.issuer,
            "Algorithm": self.algorithm,
            "NotBefore": self.not_before,
            "NotAfter": self.not_after,
            "Signature": self.signature.hex(":").upper(),
        }


class Signature(Struct, frozen=True):
    """What a signature section holds; nothing about it is verified."""

    pem: bytes
    cose: bytes


def read(data: bytes) -> Signature:
    """Read the section; check `signature`.

    Raises:
        MalformedError: another form than the module's.
    """
    try:
        value = cbor.decode(data)
    except MalformedError as error:
        _refuse_because("signature", error)
    match value:
        case ({"signing_certificate": tuple(pem), "signature": tuple(sign1)},):
            found = Signature(_octets(pem), _octets(sign1))
        case _:
            expected = "[{signing_certificate, signature}] of one entry, two arrays"
            refuse("signature", expected, "another value")
    again: cbor.Value = {"signing_certificate": pem, "signature": sign1}
    if cbor.encode((again,)) != data:
        refuse("signature", "the spelling that nitro-cli writes", "another one")
    return found


def read_certificate(pem: bytes) -> Signer:
    """The one certificate in a PEM; check `certificate`.

    Raises:
        MalformedError: none, several, or one that cannot be read.
    """
    found = _PEM.findall(pem)
    if len(found) != 1 or pem.count(_BEGIN) != 1:
        refuse("certificate", "one certificate in PEM", f"{pem.count(_BEGIN)} blocks")
    try:
        text = found[0].decode("ascii").replace("\r", "").replace("\n", "")
        return _signer(decode_base64(text))
    except MalformedError as error:
        _refuse_because("certificate", error)


def _signer(der: bytes) -> Signer:
    """What is said of a certificate.

    Raises:
        MalformedError: not one in DER.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.public_bytes(Encoding.DER) != der:
            message = "bytes that are not the certificate's"
            raise MalformedError(message)
        algorithm = certificate.signature_algorithm_oid
        _key(certificate)
        return Signer(
            der,
            {
                _NAMES.get(one.oid, one.oid.dotted_string): printable(str(one.value))
                for one in certificate.issuer
            },
            _ALGORITHMS.get(algorithm, algorithm.dotted_string),
            _time(certificate.not_valid_before_utc.timetuple()[:6]),
            _time(certificate.not_valid_after_utc.timetuple()[:6]),
            certificate.signature,
        )
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        message = f"not a readable certificate: {printable(str(error))}"
        raise MalformedError(message) from error


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def _time(parts: tuple[int, ...]) -> str:
    """As OpenSSL prints a time, in any locale."""
    year, month, day, hour, minute, second = parts
    when = f"{hour:02}:{minute:02}:{second:02}"
    return f"{_MONTHS[3 * month - 3 : 3 * month]} {day:2} {when} {year} GMT"


def _key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    found = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    message = f"a key for none of ES256, ES384 and ES512: {found}"
    raise MalformedError(message)


def verify(signature: Signature, signer: Signer, pcr0: str) -> None:
    """Check `signed`: the certificate's key has signed this PCR0 (`sha384:<hex>`).

    Raises:
        MalformedError: not a COSE_Sign1 for this key, or with more in it.
        VerificationError: over another PCR0, or by another key.
    """
    key = _key(x509.load_der_x509_certificate(signer.der))
    algorithm, half, digest = _CURVES[key.curve.name]
    try:
        at = len(cose.TAG) if signature.cose.startswith(cose.TAG) else 0
        value = cbor.decode(signature.cose, start=at)
    except MalformedError as error:
        _refuse_because("signed", error)
    match value:
        case (bytes(protected), {**unprotected}, bytes(payload), bytes(proof)):
            pass
        case _:
            refuse("signed", "a COSE_Sign1: bytes, map, bytes, bytes", "another value")
    if unprotected or cbor.encode(value) != signature.cose[at:]:
        refuse("signed", "an empty unprotected header, in the shortest form", "more")
    wanted = cbor.encode({1: algorithm})
    if protected != wanted or len(proof) != 2 * half:
        expected = f"header {wanted.hex()} and {2 * half} bytes for {key.curve.name}"
        refuse("signed", expected, f"{protected.hex()[:40]} and {len(proof)} bytes")
    register: cbor.Value = {
        "register_index": 0,
        "register_value": tuple(bytes.fromhex(pcr0.removeprefix("sha384:"))),
    }
    if payload != cbor.encode(register):
        message = refusal("signed", f"PCR0 = {pcr0}", "another payload")
        raise VerificationError(message)
    try:
        r, s = int.from_bytes(proof[:half]), int.from_bytes(proof[half:])
        signed = cose.sig_structure(protected, payload)
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
    except InvalidSignature as error:
        message = refusal("signed", "a signature by the certificate's key", "another")
        raise VerificationError(message) from error


def _octets(values: tuple[cbor.Value, ...]) -> bytes:
    # type, not isinstance: True is an int, and 1 is not spelt so.
    if any(type(one) is not int or not 0 <= one <= 255 for one in values):  # noqa: PLR2004 - a byte
        refuse("signature", "arrays of bytes as numbers", "other items")
    return bytes(values)  # type: ignore[arg-type] # the lines above


def _refuse_because(check: str, error: MalformedError) -> NoReturn:
    raise MalformedError(refusal(check, "what can be read", str(error))) from error
