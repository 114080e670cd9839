"""Keys: which points and curves are taken, and interoperation with securesystemslib."""

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError as TheirVerificationError
from securesystemslib.signer._crypto_signer import CryptoSigner
from securesystemslib.signer._key import Key, SSlibKey

from pcrlog import limits
from pcrlog.envelope import Envelope, assemble, sign_envelope
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.keys import ECDSA_P256, ED25519, PublicKey, SigningKey, keyid_of

FIELD = 2**255 - 19
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PrivateKeys: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | x25519.X25519PrivateKey
    | x448.X448PrivateKey
)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def spki(key: PrivateKeys) -> bytes:
    return key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def pem(key: PrivateKeys) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def ed25519_spki(point: bytes) -> bytes:
    return bytes.fromhex("302a300506032b6570032100") + point


def p256_spki(key: ec.EllipticCurvePrivateKey, form: PublicFormat) -> bytes:
    """A P-256 key's SPKI around the point in any form."""
    point = key.public_key().public_bytes(Encoding.X962, form)
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    bits = b"\x03" + bytes([len(point) + 1]) + b"\x00" + point
    return b"\x30" + bytes([len(algorithm) + len(bits)]) + algorithm + bits


ED = SigningKey.from_seed(bytes(32))
P256 = SigningKey(ec.derive_private_key(7, ec.SECP256R1()))
BOTH = pytest.mark.parametrize("key", [ED, P256], ids=[ED25519, ECDSA_P256])


# --- points --------------------------------------------------------------------------


def edwards_points_of_small_order() -> list[bytes]:
    """All eight, found by multiplying: RFC 8032's addition on a point of order 8."""
    d = -121665 * pow(121666, -1, FIELD) % FIELD

    def add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
        cross = d * p[0] * q[0] * p[1] * q[1]
        x = (p[0] * q[1] + q[0] * p[1]) * pow(1 + cross, -1, FIELD)
        y = (p[1] * q[1] + p[0] * q[0]) * pow(1 - cross, -1, FIELD)
        return x % FIELD, y % FIELD

    y = int.from_bytes(
        bytes.fromhex(
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
        ),
        "little",
    )
    square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if x * x % FIELD != square:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert x * x % FIELD == square, "the point is on the curve"
    points = [(0, 1)]
    while len(points) < 8:
        points.append(add(points[-1], (x, y)))
    assert add(points[-1], (x, y)) == (0, 1), "and of order 8"
    return [(y | (x & 1) << 255).to_bytes(32, "little") for x, y in points]


SMALL_ORDER = edwards_points_of_small_order()


def test_there_are_eight_points_of_small_order() -> None:
    assert len(set(SMALL_ORDER)) == 8


@pytest.mark.parametrize("times", range(8))
def test_a_point_of_small_order_is_refused(times: int) -> None:
    """It would verify signatures that nobody made."""
    with pytest.raises(MalformedError, match="small order"):
        PublicKey.from_spki(ed25519_spki(SMALL_ORDER[times]))


@pytest.mark.parametrize("sign", [0, 1 << 255], ids=["even", "odd"])
@pytest.mark.parametrize("y", range(FIELD, 2**255), ids=lambda y: f"p+{y - FIELD}")
def test_a_point_whose_y_is_not_reduced_is_refused(y: int, sign: int) -> None:
    """It would be a second keyid of one key."""
    point = (y | sign).to_bytes(32, "little")
    with pytest.raises(MalformedError, match="not canonical"):
        PublicKey.from_spki(ed25519_spki(point))


@pytest.mark.parametrize("y", [0, 1, FIELD - 1])
def test_zero_with_a_sign_is_refused(y: int) -> None:
    """x = 0 has one sign; the other spells the same point again."""
    point = (y | 1 << 255).to_bytes(32, "little")
    with pytest.raises(MalformedError):
        PublicKey.from_spki(ed25519_spki(point))


@pytest.mark.parametrize("seed", range(8))
def test_points_of_real_keys_are_taken(seed: int) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    public = PublicKey.from_spki(spki(key))
    assert public.algorithm == ED25519
    assert public.spki == spki(key)
    assert public.keyid == keyid_of(spki(key)) == sha256(spki(key)).hexdigest()


def test_a_p256_point_is_taken_uncompressed_only() -> None:
    key = ec.derive_private_key(7, ec.SECP256R1())
    plain = p256_spki(key, PublicFormat.UncompressedPoint)
    assert plain == spki(key)
    assert PublicKey.from_spki(plain).algorithm == ECDSA_P256
    with pytest.raises(MalformedError, match="one DER form"):
        PublicKey.from_spki(p256_spki(key, PublicFormat.CompressedPoint))


def test_a_p256_point_that_is_not_on_the_curve_is_refused() -> None:
    data = bytearray(P256.public.spki)
    data[-1] ^= 1
    with pytest.raises(MalformedError):
        PublicKey.from_spki(bytes(data))
    infinity = bytes.fromhex("301806072a8648ce3d020106082a8648ce3d030107030100")
    with pytest.raises(MalformedError):
        PublicKey.from_spki(infinity)


OTHER_ALGORITHMS: list[pytest.ParameterSet] = [
    pytest.param(lambda: ec.derive_private_key(7, ec.SECP384R1()), id="P-384"),
    pytest.param(lambda: ec.derive_private_key(7, ec.SECP521R1()), id="P-521"),
    pytest.param(lambda: ec.derive_private_key(7, ec.SECP256K1()), id="secp256k1"),
    pytest.param(rsa_key, id="RSA"),
    pytest.param(ed448.Ed448PrivateKey.generate, id="Ed448"),
    pytest.param(x25519.X25519PrivateKey.generate, id="X25519"),
    pytest.param(x448.X448PrivateKey.generate, id="X448"),
]


@pytest.mark.parametrize("make", OTHER_ALGORITHMS)
def test_a_key_of_another_algorithm_could_not_be_checked(
    make: Callable[[], PrivateKeys],
) -> None:
    with pytest.raises(UncheckedError, match="expected Ed25519 or ECDSA P-256"):
        PublicKey.from_spki(spki(make()))


def test_an_algorithm_that_does_not_exist_yet_could_not_be_checked() -> None:
    with pytest.raises(UncheckedError):
        PublicKey.from_spki(bytes.fromhex("300d300806062a0304050607030100"))


def rsa_spki(size: int) -> bytes:
    """An RSA key of that many bytes; nobody knows its factors."""
    modulus = (1 << 8 * (size - 38)) - 1
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_has_at_most_512_bytes() -> None:
    """Whatever its algorithm will be."""
    largest, larger = rsa_spki(limits.SPKI), rsa_spki(limits.SPKI + 1)
    assert (len(largest), len(larger)) == (512, 513)
    with pytest.raises(UncheckedError):
        PublicKey.from_spki(largest)
    with pytest.raises(MalformedError, match="513 bytes, at most 512"):
        PublicKey.from_spki(larger)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x30\x00", id="empty-sequence"),
        pytest.param(ed25519_spki(b""), id="no-point"),
        pytest.param(ED.public.spki[:-1], id="cut"),
        pytest.param(ED.public.spki + b"\x00", id="a-byte-more"),
        pytest.param(ED.public.spki * 2, id="twice"),
        pytest.param(P256.public.spki + b"\x00", id="P-256-and-a-byte-more"),
        pytest.param(ED.to_pem(), id="pem"),
        pytest.param(ED.public.spki[-32:], id="raw"),
        pytest.param(
            b"\x30\x81\x2a" + ED.public.spki[2:], id="length-in-the-long-form"
        ),
        pytest.param(
            bytes.fromhex("302c300706032b65700500032100") + ED.public.spki[-32:],
            id="null-parameters",
        ),
        pytest.param(b"\x30" * (limits.SPKI + 1), id="too-long"),
    ],
)
def test_what_is_no_spki_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        PublicKey.from_spki(data)


# --- signatures ----------------------------------------------------------------------


def test_ed25519_is_that_of_rfc_8032() -> None:
    """Section 7.1, TEST 2."""
    seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    key = SigningKey.from_seed(bytes.fromhex(seed))
    assert key.public.spki[-32:].hex() == (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    )
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_ecdsa_is_over_sha256_in_der() -> None:
    signature = P256.sign(b"message")
    public = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    public.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    assert encode_dss_signature(*decode_dss_signature(signature)) == signature


@BOTH
def test_a_signature_verifies_for_its_message_and_key_alone(key: SigningKey) -> None:
    signature = key.sign(b"message")
    key.public.verify(signature, b"message")
    with pytest.raises(VerificationError, match=key.public.keyid):
        key.public.verify(signature, b"massage")
    other = SigningKey.generate(key.public.algorithm)
    with pytest.raises(VerificationError):
        other.public.verify(signature, b"message")


@BOTH
def test_no_mangled_signature_verifies(key: SigningKey) -> None:
    signature = key.sign(b"message")
    for at in range(len(signature)):
        for data in (
            signature[:at] + bytes([signature[at] ^ 0x01]) + signature[at + 1 :],
            signature[:at] + bytes([signature[at] ^ 0x80]) + signature[at + 1 :],
            signature[:at] + signature[at + 1 :],
            signature[:at],
            signature[at + 1 :],
        ):
            with pytest.raises(VerificationError):
                key.public.verify(data, b"message")
    for data in (signature + b"\x00", b"", bytes(64), bytes(72)):
        with pytest.raises(VerificationError):
            key.public.verify(data, b"message")


def test_an_ecdsa_signature_in_two_raw_halves_does_not_verify() -> None:
    r, s = decode_dss_signature(P256.sign(b"message"))
    with pytest.raises(VerificationError):
        P256.public.verify(r.to_bytes(32) + s.to_bytes(32), b"message")


def test_the_other_ecdsa_signature_verifies_too() -> None:
    """(r, n - s): so a payload is in a log once, however signed (PROTOCOL.md 2.1)."""
    r, s = decode_dss_signature(P256.sign(b"message"))
    P256.public.verify(encode_dss_signature(r, P256_ORDER - s), b"message")


def test_a_p384_signature_under_a_p256_key_does_not_verify() -> None:
    other = ec.derive_private_key(7, ec.SECP384R1())
    with pytest.raises(VerificationError):
        P256.public.verify(other.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m")


# --- files ---------------------------------------------------------------------------


@BOTH
def test_a_private_key_goes_through_its_file(key: SigningKey) -> None:
    data = key.to_pem()
    assert data.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    again = SigningKey.from_pem(data)
    assert again.public == key.public
    assert again.to_pem() == data
    key.public.verify(again.sign(b"m"), b"m")


@pytest.mark.parametrize("algorithm", [ED25519, ECDSA_P256])
def test_a_new_key_is_of_the_algorithm_and_unlike_any_other(algorithm: str) -> None:
    one, other = SigningKey.generate(algorithm), SigningKey.generate(algorithm)
    assert one.public.algorithm == other.public.algorithm == algorithm
    assert one.public.keyid != other.public.keyid


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"key", id="junk"),
        pytest.param(b"\xff" * 100, id="bytes"),
        pytest.param(b"x" * (limits.KEY_FILE + 1), id="too-long"),
        pytest.param(ED.to_pem()[:-30], id="cut"),
        pytest.param(ED.public.spki, id="public-der"),
        pytest.param(
            ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            id="public-pem",
        ),
        pytest.param(
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            ),
            id="encrypted",
        ),
    ],
)
def test_a_file_that_holds_no_private_key_is_a_usage_error(data: bytes) -> None:
    with pytest.raises(UsageError, match="key"):
        SigningKey.from_pem(data)


@pytest.mark.parametrize("make", OTHER_ALGORITHMS)
def test_a_file_with_a_key_of_another_algorithm_is_a_usage_error(
    make: Callable[[], PrivateKeys],
) -> None:
    with pytest.raises(UsageError, match="key"):
        SigningKey.from_pem(pem(make()))


# --- securesystemslib, another implementation of DSSE --------------------------------

PAYLOAD = b'{"a":"\\""}'


def their_key(key: SigningKey) -> SSlibKey:
    """Their form of a key, under our keyid."""
    return SSlibKey.from_crypto(key._key.public_key(), keyid=key.public.keyid)


@BOTH
def test_our_envelopes_verify_with_securesystemslib(key: SigningKey) -> None:
    raw = sign_envelope(PAYLOAD, [key])
    theirs = TheirEnvelope.from_dict(json.loads(raw))
    assert theirs.payload == PAYLOAD
    accepted = theirs.verify([their_key(key)], 1)
    assert set(accepted) == {key.public.keyid}
    theirs.payload = b"{}"
    with pytest.raises(TheirVerificationError):
        theirs.verify([their_key(key)], 1)


@BOTH
def test_envelopes_of_securesystemslib_verify_with_ours(key: SigningKey) -> None:
    theirs = TheirEnvelope(PAYLOAD, "application/vnd.in-toto+json", {})
    theirs.sign(CryptoSigner(key._key, their_key(key)))
    [signature] = theirs.signatures.values()
    raw = assemble(
        theirs.payload, [(key.public.keyid, bytes.fromhex(signature.signature))]
    )
    ours = Envelope.parse(raw)
    assert ours.signed == theirs.pae()
    key.public.verify(ours.signatures[key.public.keyid], ours.signed)


def test_both_signatures_of_an_identity_verify_with_securesystemslib() -> None:
    theirs = TheirEnvelope.from_dict(json.loads(sign_envelope(PAYLOAD, [ED, P256])))
    keys: list[Key] = [their_key(ED), their_key(P256)]
    assert set(theirs.verify(keys, 2)) == {ED.public.keyid, P256.public.keyid}
