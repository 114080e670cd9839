"""Edge cases of the three signature algorithms, in the manner of Wycheproof.

Each table says what is accepted and what is not, so that another implementation can be
held against it. Where docs/protocol.md says nothing, the test's docstring does: there,
what is written here is what OpenSSL does.
"""

from dataclasses import dataclass
from hashlib import sha256, sha384, sha512

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog.attestation import cbor, cose
from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.keys import PublicKey, SigningKey
from pcrlog.note import VerifierKey

MESSAGE = b"message"
SECRET = 0x5EC4E7

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)

# --- ES384: r and s in 48 bytes each (protocol 8.1) -----------------------------------

HEADER = cbor.encode(cose.HEADER)
PAYLOAD = b"the payload"
SIGNED = cose.sig_structure(HEADER, PAYLOAD)
P384 = ec.derive_private_key(SECRET, ec.SECP384R1())
R, S = decode_dss_signature(P384.sign(SIGNED, ec.ECDSA(SHA384())))
TOP = 2**384 - 1


def es384(r: int, s: int) -> cose.Sign1:
    return cose.Sign1(HEADER, PAYLOAD, r.to_bytes(48) + s.to_bytes(48))


@pytest.mark.parametrize(
    "s", [pytest.param(S, id="s"), pytest.param(P384_ORDER - S, id="n-s")]
)
def test_es384_takes_the_signature_and_its_twin(s: int) -> None:
    assert cose.verify(es384(R, s), P384.public_key()) == PAYLOAD


NUMBERS = {
    "0": 0,
    "1": 1,
    "n-1": P384_ORDER - 1,
    "n": P384_ORDER,
    "n+1": P384_ORDER + 1,
    "2n-1 mod 2^384": (2 * P384_ORDER - 1) % 2**384,
    "p": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "2^384-1": TOP,
}
EDGES_384 = {
    **{f"r = {name}": (number, S) for name, number in NUMBERS.items()},
    **{f"s = {name}": (R, number) for name, number in NUMBERS.items()},
    **{f"r = s = {name}": (number, number) for name, number in NUMBERS.items()},
    "n-r": (P384_ORDER - R, S),
    "swapped": (S, R),
    "r+n": ((R + P384_ORDER) % 2**384, S),
    "s+n": (R, (S + P384_ORDER) % 2**384),
}


@pytest.mark.parametrize("name", EDGES_384)
def test_es384_refuses_numbers_at_the_edges(name: str) -> None:
    with pytest.raises(VerificationError):
        cose.verify(es384(*EDGES_384[name]), P384.public_key())


def test_es384_refuses_the_point_at_infinity() -> None:
    """r is chosen so that u1·G + u2·Q is no point: only who has the key can do so."""
    z = int.from_bytes(sha384(SIGNED).digest())
    r = -z * pow(SECRET, -1, P384_ORDER) % P384_ORDER
    for s in (1, 2, S):
        with pytest.raises(VerificationError):
            cose.verify(es384(r, s), P384.public_key())


FORMS_384 = {
    "none": b"",
    "a byte less": bytes(95),
    "a byte more": bytes(97),
    "s in 47 bytes": R.to_bytes(48) + (S >> 8).to_bytes(47),
    "r and s in 49 bytes": R.to_bytes(49) + S.to_bytes(49),
    "both, twice": 2 * (R.to_bytes(48) + S.to_bytes(48)),
    "in 32 bytes each": bytes(64),
    "in 66 bytes each": bytes(132),
    "DER": P384.sign(SIGNED, ec.ECDSA(SHA384())),
}


@pytest.mark.parametrize("name", FORMS_384)
def test_es384_has_one_length(name: str) -> None:
    data = cbor.encode((HEADER, {}, PAYLOAD, FORMS_384[name]))
    with pytest.raises(MalformedError, match="96 bytes"):
        cose.parse(data)


@pytest.mark.parametrize(
    "curve",
    [ec.SECP256R1(), ec.SECP521R1(), ec.SECP256K1(), ec.BrainpoolP384R1()],
    ids=lambda curve: curve.name,
)
def test_es384_is_on_p384(curve: ec.EllipticCurve) -> None:
    """brainpoolP384r1 has numbers of the same length."""
    key = ec.derive_private_key(SECRET, curve)
    with pytest.raises(VerificationError, match="P-384"):
        cose.verify(es384(R, S), key.public_key())


def test_es384_is_with_sha384() -> None:
    r, s = decode_dss_signature(P384.sign(SIGNED, ec.ECDSA(SHA256())))
    with pytest.raises(VerificationError):
        cose.verify(es384(r, s), P384.public_key())


# --- ECDSA on P-256, DER (protocol 2.1) -----------------------------------------------

P256 = SigningKey(ec.derive_private_key(SECRET, ec.SECP256R1()))


def integer(number: int) -> bytes:
    content = number.to_bytes(number.bit_length() // 8 + 1, signed=True)
    return b"\x02" + bytes([len(content)]) + content


def sequence(content: bytes) -> bytes:
    return b"\x30" + bytes([len(content)]) + content


def p256(message: bytes = MESSAGE) -> tuple[int, int]:
    return decode_dss_signature(P256.sign(message))


R2, S2 = p256()


@pytest.mark.parametrize(
    "s", [pytest.param(S2, id="s"), pytest.param(P256_ORDER - S2, id="n-s")]
)
def test_ecdsa_takes_the_signature_and_its_twin(s: int) -> None:
    """The protocol says neither that a high s is right nor that it is wrong (2.1)."""
    P256.public.verify(sequence(integer(R2) + integer(s)), MESSAGE)


def padded(number: int) -> bytes:
    """An integer with a byte of zeros that it does not need."""
    content = b"\0" + integer(number)[2:]
    return b"\x02" + bytes([len(content)]) + content


def long(tlv: bytes) -> bytes:
    """The same with its length in the long form."""
    return tlv[:1] + b"\x81" + tlv[1:]


BOTH = integer(R2) + integer(S2)
NUMBERS_256 = {
    "0": 0,
    "1": 1,
    "n-1": P256_ORDER - 1,
    "n": P256_ORDER,
    "n+1": P256_ORDER + 1,
    "2^256": 2**256,
    "2^800": 2**800,
    "-1": -1,
}
DER = {
    **{
        f"r = {name}": sequence(integer(number) + integer(S2))
        for name, number in NUMBERS_256.items()
    },
    **{
        f"s = {name}": sequence(integer(R2) + integer(number))
        for name, number in NUMBERS_256.items()
    },
    "r+n": sequence(integer(R2 + P256_ORDER) + integer(S2)),
    "s+n": sequence(integer(R2) + integer(S2 + P256_ORDER)),
    "-r": sequence(integer(-R2) + integer(S2)),
    "-s": sequence(integer(R2) + integer(-S2)),
    "r-n": sequence(integer(R2 - P256_ORDER) + integer(S2)),
    "s-n": sequence(integer(R2) + integer(S2 - P256_ORDER)),
    "r with a zero too many": sequence(padded(R2) + integer(S2)),
    "s with a zero too many": sequence(integer(R2) + padded(S2)),
    "the length in the long form": long(sequence(BOTH)),
    "r's length in the long form": sequence(long(integer(R2)) + integer(S2)),
    "s's length in the long form": sequence(integer(R2) + long(integer(S2))),
    "of indefinite length": b"\x30\x80" + BOTH + b"\0\0",
    "a byte after it": sequence(BOTH) + b"\0",
    "a byte within, after s": sequence(BOTH + b"\0"),
    "null within, after s": sequence(BOTH + b"\x05\0"),
    "a third integer": sequence(BOTH + integer(1)),
    "r alone": sequence(integer(R2)),
    "nothing in it": sequence(b""),
    "integers without content": sequence(b"\x02\0\x02\0"),
    "a set": b"\x31" + sequence(BOTH)[1:],
    "octets for integers": sequence(BOTH.replace(b"\x02", b"\x04", 1)),
    "enumerated for integers": sequence(b"\x0a" + BOTH[1:]),
    "in an octet string": b"\x04" + bytes([len(sequence(BOTH))]) + sequence(BOTH),
    "twice": 2 * sequence(BOTH),
    "raw": R2.to_bytes(32) + S2.to_bytes(32),
    "cut": sequence(BOTH)[:-1],
    "a length beyond its end": b"\x30" + bytes([len(BOTH) + 1]) + BOTH,
    "none": b"",
    "a tag alone": b"\x30",
    "a length of 2^32": b"\x30\x84\xff\xff\xff\xff" + BOTH,
}


@pytest.mark.parametrize("name", DER)
def test_ecdsa_has_one_spelling_in_der(name: str) -> None:
    with pytest.raises(VerificationError):
        P256.public.verify(DER[name], MESSAGE)


def test_ecdsa_refuses_the_point_at_infinity() -> None:
    z = int.from_bytes(sha256(MESSAGE).digest())
    r = -z * pow(SECRET, -1, P256_ORDER) % P256_ORDER
    with pytest.raises(VerificationError):
        P256.public.verify(sequence(integer(r) + integer(S2)), MESSAGE)


# --- Ed25519 (protocol 2.1, 7.1) ------------------------------------------------------

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, FIELD) % FIELD
Point = tuple[int, int]


def add(p: Point, q: Point) -> Point:
    cross = D * p[0] * q[0] * p[1] * q[1]
    x = (p[0] * q[1] + q[0] * p[1]) * pow(1 + cross, -1, FIELD)
    y = (p[1] * q[1] + p[0] * q[0]) * pow(1 - cross, -1, FIELD)
    return x % FIELD, y % FIELD


def times(number: int, point: Point) -> Point:
    found = (0, 1)
    while number:
        if number & 1:
            found = add(found, point)
        number, point = number >> 1, add(point, point)
    return found


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def lifted(y: int) -> Point:
    """The point of that y whose x is even."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if x * x % FIELD != square:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert x * x % FIELD == square
    return (FIELD - x if x & 1 else x), y


BASE = lifted(4 * pow(5, -1, FIELD) % FIELD)
TORSION = lifted(0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826)
"""A point of order 8."""
SCALAR = 2**254 + 8 * 1234567
HONEST = times(SCALAR, BASE)


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(r + a + message).digest(), "little") % ORDER


def spki(point: bytes) -> bytes:
    return bytes.fromhex("302a300506032b6570032100") + point


@dataclass(frozen=True)
class Made:
    """A signature (R, S) with any nonce, on any multiple of the torsion."""

    nonce: int = 99
    r_torsion: int = 0
    a_torsion: int = 0

    def make(self, message: bytes = MESSAGE) -> tuple[bytes, bytes, int]:
        """The key, R and S."""
        key = encoded(add(HONEST, times(self.a_torsion, TORSION)))
        r = encoded(add(times(self.nonce, BASE), times(self.r_torsion, TORSION)))
        return key, r, (self.nonce + challenge(r, key, message) * SCALAR) % ORDER

    def verify(self, message: bytes = MESSAGE) -> None:
        key, r, s = self.make(message)
        PublicKey.from_spki(spki(key)).verify(r + s.to_bytes(32, "little"), message)


def test_the_arithmetic_is_right() -> None:
    assert times(ORDER, BASE) == (0, 1) == times(8, TORSION)
    assert times(4, TORSION) != (0, 1)
    seed = bytes(32)
    scalar = bytearray(sha512(seed).digest()[:32])
    scalar[0] &= 0xF8
    scalar[31] = scalar[31] & 0x7F | 0x40
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    point = encoded(times(int.from_bytes(scalar, "little"), BASE))
    assert point == public.public_bytes_raw()
    Made().verify()


@pytest.mark.parametrize("multiple", [1, 2, 15])
def test_ed25519_refuses_an_s_that_is_not_reduced(multiple: int) -> None:
    """S + L is the same number: RFC 8032 section 5.1.7 has S below L."""
    key, r, s = Made().make()
    public = PublicKey.from_spki(spki(key))
    public.verify(r + s.to_bytes(32, "little"), MESSAGE)
    larger = (s + multiple * ORDER).to_bytes(32, "little")
    with pytest.raises(VerificationError):
        public.verify(r + larger, MESSAGE)


@pytest.mark.parametrize(
    "s",
    [
        pytest.param(0, id="0"),
        pytest.param(ORDER, id="L"),
        pytest.param(ORDER - 1, id="L-1"),
        pytest.param(2**252, id="2^252"),
        pytest.param(2**253, id="2^253"),
        pytest.param(2**256 - 1, id="2^256-1"),
    ],
)
def test_ed25519_refuses_an_s_at_the_edges(s: int) -> None:
    key, r, _ = Made().make()
    with pytest.raises(VerificationError):
        PublicKey.from_spki(spki(key)).verify(r + s.to_bytes(32, "little"), MESSAGE)


@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 96, 128])
def test_ed25519_has_64_bytes(size: int) -> None:
    key, r, s = Made().make()
    whole = (r + s.to_bytes(32, "little") + bytes(64))[:size]
    with pytest.raises(VerificationError):
        PublicKey.from_spki(spki(key)).verify(whole, MESSAGE)


@pytest.mark.parametrize("torsion", range(1, 8))
def test_ed25519_is_verified_without_the_cofactor(torsion: int) -> None:
    """R with a part of small order: right with the cofactor, wrong without.

    The protocol names no equation. OpenSSL has the one of RFC 8032 section 5.1.7
    without the cofactor, as do Go and most others.
    """
    with pytest.raises(VerificationError):
        Made(r_torsion=torsion).verify()


@pytest.mark.parametrize("torsion", range(1, 8))
def test_ed25519_with_a_key_of_mixed_order_verifies_by_chance(torsion: int) -> None:
    """A key with a part of small order is taken: only small order is refused (2.1).

    Without the cofactor its signatures verify where the challenge makes that part go
    away, for one message in eight or so; with it, always.
    """
    taken = set()
    for number in range(64):
        made, message = Made(a_torsion=torsion), b"%d" % number
        key, r, _ = made.make(message)
        vanishes = times(challenge(r, key, message) % 8 * torsion, TORSION) == (0, 1)
        try:
            made.verify(message)
        except VerificationError:
            assert not vanishes
        else:
            assert vanishes
        taken.add(vanishes)
    assert taken == {True, False}


def test_ed25519_takes_an_r_of_small_order_that_fits() -> None:
    """The nonce 0 makes R the identity. It is right by the equation.

    The protocol says nothing; libraries that call themselves strict refuse it. Who
    signs so gives the private key away.
    """
    Made(nonce=0).verify()


@pytest.mark.parametrize(
    "r",
    [
        pytest.param((1 + FIELD).to_bytes(32, "little"), id="y = p+1"),
        pytest.param((1 | 1 << 255).to_bytes(32, "little"), id="y = 1, x = -0"),
    ],
)
def test_ed25519_refuses_an_r_in_a_second_spelling(r: bytes) -> None:
    """Both spell the identity, which the nonce 0 would give."""
    key = encoded(HONEST)
    s = challenge(r, key, MESSAGE) * SCALAR % ORDER
    with pytest.raises(VerificationError):
        PublicKey.from_spki(spki(key)).verify(r + s.to_bytes(32, "little"), MESSAGE)


def test_ed25519_on_a_y_without_a_point_verifies_nothing() -> None:
    """The protocol does not refuse such a key: nobody could use it."""
    off = next(y for y in range(2, 99) if not _on_curve(y)).to_bytes(32, "little")
    key = PublicKey.from_spki(spki(off))
    for signature in (bytes(64), b"\1" + bytes(63), off + bytes(32)):
        with pytest.raises(VerificationError):
            key.verify(signature, MESSAGE)


def _on_curve(y: int) -> bool:
    square = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
    return pow(square, (FIELD - 1) // 2, FIELD) in {0, 1}


SMALL = [encoded(times(n, TORSION)) for n in range(8)]


def vkey(point: bytes, kind: int = 4) -> str:
    return str(VerifierKey("w.example/a", kind, point))


@pytest.mark.parametrize("number", range(8))
def test_ed25519_refuses_a_key_of_small_order(number: int) -> None:
    with pytest.raises(MalformedError):
        PublicKey.from_spki(spki(SMALL[number]))


def test_a_vkey_under_which_everybody_has_signed_is_refused() -> None:
    """R = A = the identity, S = 0: a signature over whatever there is."""
    try:
        key = VerifierKey.parse(vkey(SMALL[0]))
    except MalformedError:
        return
    with pytest.raises(VerificationError):
        key.check(SMALL[0] + bytes(32), b"cosignature/v1\ntime 0\nwhatever it says\n")


# --- SubjectPublicKeyInfo (protocol 2.1) ----------------------------------------------


def tlv(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([tag, len(content)]) + content


ED_OID, X_OID = bytes.fromhex("06032b6570"), bytes.fromhex("06032b656e")
ED448_OID = bytes.fromhex("06032b6571")
EC_OID = bytes.fromhex("06072a8648ce3d0201")
P256_OID = bytes.fromhex("06082a8648ce3d030107")
ED_POINT = encoded(HONEST)
EC_POINT = P256.public.spki[-65:]


def info(algorithm: bytes, point: bytes, unused: int = 0) -> bytes:
    return tlv(0x30, tlv(0x30, algorithm) + tlv(0x03, bytes([unused]) + point))


COMPRESSED = (
    ec.derive_private_key(SECRET, ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
)
HYBRID = bytes([6 | EC_POINT[-1] & 1]) + EC_POINT[1:]

SPKI = {
    "Ed25519: null parameters": info(ED_OID + b"\x05\0", ED_POINT),
    "Ed25519: a byte more": info(ED_OID, ED_POINT + b"\0"),
    "Ed25519: a byte less": info(ED_OID, ED_POINT[:-1]),
    "Ed25519: unused bits": info(ED_OID, ED_POINT[:-1] + b"\0", 1),
    "Ed25519: in an octet string": tlv(
        0x30, tlv(0x30, ED_OID) + tlv(0x04, b"\0" + ED_POINT)
    ),
    "Ed25519: a third member": tlv(0x30, info(ED_OID, ED_POINT)[2:] + b"\x05\0"),
    "Ed25519: the length in the long form": b"\x30\x81" + info(ED_OID, ED_POINT)[1:],
    "Ed25519: of indefinite length": b"\x30\x80" + info(ED_OID, ED_POINT)[2:] + b"\0\0",
    "Ed25519: a set": b"\x31" + info(ED_OID, ED_POINT)[1:],
    "Ed25519: the point alone": ED_POINT,
    "P-256: compressed": info(EC_OID + P256_OID, COMPRESSED),
    "P-256: hybrid": info(EC_OID + P256_OID, HYBRID),
    "P-256: at infinity": info(EC_OID + P256_OID, b"\0"),
    "P-256: not on the curve": info(EC_OID + P256_OID, EC_POINT[:-1] + b"\0"),
    "P-256: zero": info(EC_OID + P256_OID, b"\x04" + bytes(64)),
    "P-256: coordinates that are not reduced": info(
        EC_OID + P256_OID, b"\x04" + b"\xff" * 64
    ),
    "P-256: no curve": info(EC_OID, EC_POINT),
    "P-256: null for the curve": info(EC_OID + b"\x05\0", EC_POINT),
    "P-256: two curves": info(EC_OID + P256_OID * 2, EC_POINT),
    "P-256: a byte more": info(EC_OID + P256_OID, EC_POINT + b"\0"),
    "P-256: unused bits": info(EC_OID + P256_OID, EC_POINT, 1),
    "P-256: raw": EC_POINT,
}


@pytest.mark.parametrize("name", SPKI)
def test_a_key_has_one_spelling_in_der(name: str) -> None:
    with pytest.raises((MalformedError, UncheckedError)):
        PublicKey.from_spki(SPKI[name])


def test_the_parts_of_these_keys_are_right() -> None:
    """Else they could be refused for another reason than the one named."""
    assert PublicKey.from_spki(info(ED_OID, ED_POINT)).algorithm == "ed25519"
    assert info(EC_OID + P256_OID, EC_POINT) == P256.public.spki


@pytest.mark.parametrize(
    ("oid", "size"),
    [
        pytest.param(X_OID, 32, id="X25519"),
        pytest.param(ED448_OID, 57, id="Ed448"),
    ],
)
def test_a_key_of_another_algorithm_could_not_be_used(oid: bytes, size: int) -> None:
    with pytest.raises(UncheckedError):
        PublicKey.from_spki(info(oid, b"\x09" * size))
