import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from pcrlog.attestation import cbor, cose
from pcrlog.errors import MalformedError, VerificationError

KEY = ec.derive_private_key(0x5EC4E7, ec.SECP384R1())
ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
HEADER = bytes.fromhex("a1013822")
PAYLOAD = b"the payload"
SIGNATURE = bytes(range(96))


def message(
    protected: bytes = HEADER,
    unprotected: cbor.Value = {},  # noqa: B006 - never changed
    payload: cbor.Value = PAYLOAD,
    signature: cbor.Value = SIGNATURE,
) -> bytes:
    return cbor.encode((protected, unprotected, payload, signature))


def signature(
    payload: bytes = PAYLOAD, digest: SHA256 | SHA384 | None = None
) -> tuple[int, int]:
    signed = cose.sig_structure(HEADER, payload)
    return decode_dss_signature(KEY.sign(signed, ec.ECDSA(digest or SHA384())))


def sign1(r: int, s: int, payload: bytes = PAYLOAD) -> cose.Sign1:
    return cose.Sign1(HEADER, payload, r.to_bytes(48) + s.to_bytes(48))


def test_the_four_parts_are_taken_apart() -> None:
    assert cose.parse(message()) == cose.Sign1(HEADER, PAYLOAD, SIGNATURE)


def test_tag_18_is_allowed() -> None:
    assert cose.parse(b"\xd2" + message()) == cose.parse(message())


@pytest.mark.parametrize("tag", ["d1", "d212", "d2d2", "d812", "d9d9f7", "d83d"])
def test_no_other_tag_is_allowed(tag: str) -> None:
    with pytest.raises(MalformedError):
        cose.parse(bytes.fromhex(tag) + message())


def test_the_unprotected_header_is_ignored() -> None:
    # Some assume that it is empty, at a fixed offset (ATTEST.md 1.6: Cantina 3.2.4).
    assert cose.parse(message(unprotected={1: -7, 4: b"kid"})) == cose.parse(message())


@pytest.mark.parametrize("protected", ["bf013822ff", "a1013822"])
def test_the_protected_bytes_are_kept_as_they_are(protected: str) -> None:
    raw = bytes.fromhex(protected)
    assert cose.parse(message(protected=raw)).protected == raw


@pytest.mark.parametrize(
    "protected",
    [
        "",
        "a0",
        "a10126",
        "a1013823",
        "a10138220440",
        "a20138220440",
        "a161313822",
        "a101382200",
        "f6",
        "3822",
        "a1013822a1013822",
        "a1f53822",
    ],
)
def test_the_protected_header_is_alg_es384_alone(protected: str) -> None:
    with pytest.raises(MalformedError):
        cose.parse(message(protected=bytes.fromhex(protected)))


@pytest.mark.parametrize(
    "data",
    [
        message(unprotected=()),
        message(unprotected=b""),
        message(payload=None),  # detached
        message(payload="text"),
        message(signature=SIGNATURE[1:]),
        message(signature=SIGNATURE + b"\0"),
        message(signature=None),
        message() + b"\0",
        message()[:-1],
        b"\x83" + message()[1:-98],
        b"\x85" + message()[1:] + b"\xf6",
        cbor.encode({1: 2}),
        b"",
        b"\xd2",
    ],
)
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        cose.parse(data)


def test_a_signature_as_der_is_malformed() -> None:
    der = KEY.sign(cose.sig_structure(HEADER, PAYLOAD), ec.ECDSA(SHA384()))
    with pytest.raises(MalformedError, match="expected 96 bytes"):
        cose.parse(message(signature=der))


def test_what_is_signed_is_the_sig_structure_of_rfc_9052() -> None:
    expected = bytes.fromhex("846a5369676e61747572653144a1013822404101")
    assert cose.sig_structure(HEADER, b"\x01") == expected


def test_a_good_signature_gives_the_payload() -> None:
    assert cose.verify(sign1(*signature()), KEY.public_key()) == PAYLOAD


def test_both_values_of_s_are_good() -> None:
    # 19 of 40 genuine documents have the high one (ATTEST.md 1.1).
    r, s = signature()
    assert cose.verify(sign1(r, ORDER - s), KEY.public_key()) == PAYLOAD


@pytest.mark.parametrize("s", [0, ORDER, 2**384 - 1])
@pytest.mark.parametrize("r", [0, ORDER, 2**384 - 1, 1])
def test_numbers_that_are_no_signature_are_refused(r: int, s: int) -> None:
    with pytest.raises(VerificationError):
        cose.verify(sign1(r, s), KEY.public_key())


def test_another_payload_is_refused() -> None:
    r, s = signature()
    with pytest.raises(VerificationError, match="not by the key"):
        cose.verify(sign1(r, s, b"another"), KEY.public_key())


def test_another_key_is_refused() -> None:
    other = ec.derive_private_key(2, ec.SECP384R1()).public_key()
    with pytest.raises(VerificationError, match="not by the key"):
        cose.verify(sign1(*signature()), other)


def test_another_hash_is_refused() -> None:
    with pytest.raises(VerificationError, match="not by the key"):
        cose.verify(sign1(*signature(digest=SHA256())), KEY.public_key())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP521R1(), ec.SECP256K1()])
def test_a_key_on_another_curve_is_refused(curve: ec.EllipticCurve) -> None:
    key = ec.derive_private_key(3, curve).public_key()
    with pytest.raises(VerificationError, match=f"P-384 key, found {curve.name}"):
        cose.verify(sign1(1, 1), key)


def test_a_key_of_another_kind_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(VerificationError, match="found Ed25519PublicKey"):
        cose.verify(sign1(1, 1), key)
