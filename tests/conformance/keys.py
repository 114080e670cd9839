"""Keys, their signatures, and the requests in which they prove that they are held.

Implementations of Ed25519 and ECDSA differ in what they let pass at the edges. A log
cannot live with that: what one reader takes and another refuses splits them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog.encoding import encode_base64
from pcrlog.keys import SigningKey, keyid_of
from tests.conformance.family import Family
from tests.conformance.statements import compact
from tests.support.memory_log import ORIGIN, key

MALFORMED, REFUSED, UNCHECKED = "malformed", "refused", "unchecked"
FIELD = 2**255 - 19
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SMALL_ORDER_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
"""Of the points of order 8, and negated; section 2.1 names it."""
MESSAGE = b"the message"
ED, OTHER = SigningKey.from_seed(bytes(32)), key("other")
_P256 = ec.derive_private_key(7, ec.SECP256R1())
_DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_ED_HEAD = bytes.fromhex("302a300506032b6570032100")

Public = (
    ec.EllipticCurvePublicKey
    | ed448.Ed448PublicKey
    | rsa.RSAPublicKey
    | x25519.X25519PublicKey
    | x448.X448PublicKey
)


def spki_of(public: Public) -> bytes:
    """Its SubjectPublicKeyInfo."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ed25519_spki(y: int, sign: int = 0) -> bytes:
    """The SPKI of a point in any encoding."""
    return _ED_HEAD + (y | sign << 255).to_bytes(32, "little")


def on_curve(y: int) -> bool:
    """Whether a point of edwards25519 has this y (RFC 8032, section 5.1.3)."""
    d = -121665 * pow(121666, -1, FIELD) % FIELD
    square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
    return pow(square, (FIELD - 1) // 2, FIELD) == 1


P256 = spki_of(_P256.public_key())


def _sequence(*parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    head = bytes([size]) if size < 128 else b"\x81" + bytes([size])
    return b"\x30" + head + body


_P256_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")


def _p256(point: bytes, unused: int = 0) -> bytes:
    """A P-256 SPKI around any bytes for a point."""
    bits = b"\x03" + bytes([len(point) + 1, unused]) + point
    return _sequence(_P256_ALGORITHM, bits)


def _rsa(size: int) -> bytes:
    """An RSA key whose SPKI has so many bytes; nobody knows its factors."""
    modulus = (1 << 8 * (size - 38)) - 1
    return spki_of(rsa.RSAPublicNumbers(65537, modulus).public_key())


def _spellings() -> Iterator[tuple[str, str, bytes, str]]:
    """Id, why, an SPKI, and the algorithm or error that it comes to."""
    two = "two algorithms are known: Ed25519, and ECDSA on P-256"
    yield "ed25519", two, ED.public.spki, "ed25519"
    yield "p256", two, P256, "ecdsa-p256"
    der = "a key is a DER SubjectPublicKeyInfo in its one form"
    point = P256[-65:]
    form = PublicFormat.CompressedPoint
    short = _P256.public_key().public_bytes(Encoding.X962, form)
    ed = ED.public.spki
    for name, spki in {
        "empty": b"",
        "empty-sequence": b"\x30\x00",
        "raw-point": ed[-32:],
        "pem": encode_base64(ed).encode(),
        "ed25519-cut": ed[:-1],
        "ed25519-without-point": _ED_HEAD,
        "ed25519-and-a-byte": ed + b"\0",
        "ed25519-of-33-bytes": bytes.fromhex("302b300506032b6570032200")
        + ed[-32:]
        + b"\0",
        "ed25519-with-long-length": b"\x30\x81\x2a" + ed[2:],
        "ed25519-with-null-parameters": bytes.fromhex("302c300706032b65700500032100")
        + ed[-32:],
        "ed25519-with-unused-bits": ed[:11] + b"\1" + ed[12:],
        "p256-and-a-byte": P256 + b"\0",
        "p256-with-null-after-the-curve": b"\x30\x5b\x30\x15"
        + P256[4:23]
        + b"\x05\x00"
        + P256[23:],
        "p256-compressed": _p256(short),
        "p256-hybrid": _p256(bytes([6 | point[-1] & 1]) + point[1:]),
        "p256-infinity": _p256(b"\0"),
        "p256-not-on-the-curve": P256[:-1] + bytes([P256[-1] ^ 1]),
        "p256-with-unused-bits": _p256(point, 1),
        "p256-with-long-length": b"\x30\x81\x59" + P256[2:],
    }.items():
        yield name, der, spki, MALFORMED
    later = "a key of an algorithm that is not known is unusable (section 2.5)"
    others: dict[str, Public] = {
        "p384": ec.derive_private_key(7, ec.SECP384R1()).public_key(),
        "p521": ec.derive_private_key(7, ec.SECP521R1()).public_key(),
        "secp256k1": ec.derive_private_key(7, ec.SECP256K1()).public_key(),
        "ed448": ed448.Ed448PrivateKey.from_private_bytes(bytes(57)).public_key(),
        "x25519": x25519.X25519PrivateKey.from_private_bytes(bytes(32)).public_key(),
        "x448": x448.X448PrivateKey.from_private_bytes(bytes(56)).public_key(),
    }
    for name, public in others.items():
        yield name, later, spki_of(public), UNCHECKED
    unknown = bytes.fromhex("300d300806062a0304050607030100")
    yield "algorithm-that-does-not-exist", later, unknown, UNCHECKED
    size = "a key has at most 512 bytes, whatever its algorithm"
    yield "key-of-512-bytes", size, _rsa(512), UNCHECKED
    yield "key-of-513-bytes", size, _rsa(513), MALFORMED


def _points() -> Iterator[tuple[str, str, bytes, str]]:
    """Ed25519 points, as `_spellings`."""
    small = "a point whose order divides 8 is refused, whatever the sign of x"
    reduced = "a y at or above 2^255-19 is refused: it would be a second keyid"
    for name, y in {
        "0": 0,
        "1": 1,
        "minus-1": FIELD - 1,
        "order-8": SMALL_ORDER_Y,
        "minus-order-8": FIELD - SMALL_ORDER_Y,
    }.items():
        for sign, word in enumerate(("", "-with-sign")):
            yield f"y-{name}{word}", small, ed25519_spki(y, sign), MALFORMED
    for y in range(FIELD, 2**255):
        yield f"y-field-plus-{y - FIELD}", reduced, ed25519_spki(y), MALFORMED
    for y in (FIELD, FIELD + 2, 2**255 - 1):
        name = f"y-field-plus-{y - FIELD}-with-sign"
        yield name, reduced, ed25519_spki(y, 1), MALFORMED
    least = next(y for y in range(2, 100) if on_curve(y))
    for name, y in {"smallest": least, "largest": FIELD - least}.items():
        for sign, word in enumerate(("", "-with-sign")):
            yield f"y-{name}{word}", reduced, ed25519_spki(y, sign), "ed25519"


def _ed25519() -> Iterator[tuple[str, str, bytes, bytes, bytes, bool]]:
    """Id, why, SPKI, message, signature, and whether that verifies."""
    why = "an Ed25519 signature is that of RFC 8032"
    good, spki = ED.sign(MESSAGE), ED.public.spki
    yield "ed25519-good", why, spki, MESSAGE, good, True
    yield "ed25519-over-nothing", why, spki, b"", ED.sign(b""), True
    seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    two = SigningKey.from_seed(bytes.fromhex(seed)).public.spki
    signed = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    yield "ed25519-rfc-8032-test-2", why, two, b"\x72", signed, True
    s = int.from_bytes(good[32:], "little")
    for name, signature in {
        "by-another-key": OTHER.sign(MESSAGE),
        "with-changed-r": bytes([good[0] ^ 1]) + good[1:],
        "with-changed-s": good[:32] + bytes([good[32] ^ 1]) + good[33:],
        "with-s-and-the-order": good[:32] + (s + ED25519_ORDER).to_bytes(32, "little"),
        "with-s-negated": good[:32] + (ED25519_ORDER - s).to_bytes(32, "little"),
        "with-bit-255-of-s": good[:63] + bytes([good[63] | 0x80]),
        "of-63-bytes": good[:-1],
        "of-65-bytes": good + b"\0",
        "of-no-bytes": b"",
        "of-zeros": bytes(64),
        "over-the-hash": ED.sign(hashlib.sha512(MESSAGE).digest()),
    }.items():
        yield f"ed25519-{name}", why, spki, MESSAGE, signature, False
    yield "ed25519-over-another-message", why, spki, b"another", good, False


def _ecdsa() -> Iterator[tuple[str, str, bytes, bytes, bytes, bool]]:
    """As `_ed25519`."""
    why = (
        "an ECDSA signature is over SHA-256, in DER; a low and a high s are both valid"
    )
    good = _P256.sign(MESSAGE, _DETERMINISTIC)
    r, s = decode_dss_signature(good)
    low, high = sorted((s, P256_ORDER - s))
    yield "p256-with-low-s", why, P256, MESSAGE, encode_dss_signature(r, low), True
    yield "p256-with-high-s", why, P256, MESSAGE, encode_dss_signature(r, high), True
    other = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
    stranger = ec.derive_private_key(8, ec.SECP256R1())
    integer = good[2 : 4 + good[3]]
    for name, signature in {
        "by-another-key": stranger.sign(MESSAGE, _DETERMINISTIC),
        "over-sha384": _P256.sign(MESSAGE, other),
        "in-two-halves": r.to_bytes(32) + s.to_bytes(32),
        "and-a-byte": good + b"\0",
        "with-a-byte-inside": b"\x30" + bytes([good[1] + 1]) + good[2:] + b"\0",
        "with-long-length": b"\x30\x81" + good[1:],
        "with-padded-r": b"\x30"
        + bytes([good[1] + 1])
        + b"\x02"
        + bytes([integer[1] + 1])
        + b"\0"
        + integer[2:]
        + good[2 + len(integer) :],
        "with-negative-r": encode_dss_signature(r, s).replace(
            integer, b"\x02\x20" + (2**256 - r).to_bytes(32), 1
        ),
        "with-r-and-the-order": encode_dss_signature(r + P256_ORDER, s),
        "with-s-and-the-order": encode_dss_signature(r, s + P256_ORDER),
        "with-r-0": encode_dss_signature(0, s),
        "with-s-0": encode_dss_signature(r, 0),
        "cut": good[:-1],
        "of-no-bytes": b"",
    }.items():
        yield f"p256-{name}", why, P256, MESSAGE, signature, False
    yield "p256-over-another-message", why, P256, b"another", good, False


def keys() -> Family:
    """Which keys there are, and which signatures of theirs verify."""
    family = Family("keys", "Keys and signatures (section 2.1, Keys).")
    for name, why, spki, word in (*_spellings(), *_points()):
        known = {"keyid": hashlib.sha256(spki).hexdigest(), "algorithm": word}
        bad = word in (MALFORMED, UNCHECKED)
        family.case(name, why, "key", word if bad else known, spki=spki)
    for name, why, spki, message, signature, good in (*_ed25519(), *_ecdsa()):
        given = {"spki": spki, "message": message, "signature": signature}
        outcome = {"keyid": keyid_of(spki)} if good else REFUSED
        family.case(f"signature-{name}", why, "key", outcome, **given)
    return family


# --- requests ---------------------------------------------------------------------

Json = dict[str, Any]
NAME = "acme.example"
_ROTATION = {
    "payload": encode_base64(b'{"a":1}'),
    "signatures": [{"keyid": "0" * 64, "sig": "AAAA"}],
}


def _request(
    *holders: SigningKey, payload: bytes = b"", name: str = NAME, **more: Any
) -> Json:
    """A request in which each key proves that it is held, for these very members."""
    message = b"pcrlog/request/v1\n%s\n%s\n%s\n" % (
        ORIGIN.encode(),
        name.encode(),
        payload,
    )
    rows = [
        {"key": encode_base64(one.public.spki), "sig": encode_base64(one.sign(message))}
        for one in holders
    ]
    whole = {"format": "pcrlog-request/v1", "log": ORIGIN, "name": name, "keys": rows}
    return {**whole, **more}


def _rotating(payload: bytes, *holders: SigningKey, name: str = NAME) -> Json:
    rotation = {**_ROTATION, "payload": encode_base64(payload)}
    return _request(*holders, payload=payload, name=name, rotation=rotation)


def _sized(most: int) -> bytes:
    """A request of so many bytes."""
    for extra in range(4):
        name = NAME + "x" * extra
        room = most - len(compact(_rotating(b"", ED, name=name)))
        if room % 4 == 0:
            return compact(_rotating(b"x" * (room // 4 * 3), ED, name=name))
    message = "no length fits"
    raise AssertionError(message)


def _with_key(spki: bytes, sig: str = "AAAA") -> Json:
    return _request(keys=[{"key": encode_base64(spki), "sig": sig}])


def _requests() -> Iterator[tuple[str, str, bytes | Json, str | Mapping[str, Any]]]:
    """Id, why, a request, and what it comes to."""
    form = "a request is canonical JSON of exactly these members"
    good = _request(ED, OTHER)
    first = "a first enrolment has no rotation and at least one key"
    yield "enrolment", first, good, {"log": ORIGIN, "name": NAME, "keys": 2}
    yield "enrolment-without-key", first, _request(), MALFORMED
    rotation = "a rotation has the keys that it adds, and maybe none"
    yield "rotation-with-a-key", rotation, _rotating(b'{"a":1}', ED), {"keys": 1}
    yield "rotation-without-key", rotation, _rotating(b'{"a":1}'), {"keys": 0}
    ends = "LFs at its end are ignored"
    data = compact(good)
    yield "newline-at-its-end", ends, data + b"\n", {"keys": 2}
    yield "newlines-at-its-end", ends, data + b"\n\n\n", {"keys": 2}
    yield "crlf-at-its-end", ends, data + b"\r\n", MALFORMED
    yield "space-at-its-end", ends, data + b" ", MALFORMED
    yield "newline-before", ends, b"\n" + data, MALFORMED
    yield "space-inside", form, data.replace(b",", b", ", 1), MALFORMED
    yield "object-after", form, data + b"{}", MALFORMED
    yield "empty", form, b"", MALFORMED
    yield "list", form, b"[]", MALFORMED
    for name in good:
        less = {other: value for other, value in good.items() if other != name}
        yield f"without-{name}", form, less, MALFORMED
        yield f"with-null-{name}", form, good | {name: None}, MALFORMED
    yield "with-null-rotation", form, good | {"rotation": None}, MALFORMED
    yield "with-unknown-member", form, good | {"extra": 1}, MALFORMED
    yield "of-another-version", form, good | {"format": "pcrlog-request/v2"}, MALFORMED
    yield "of-no-origin", form, good | {"log": "log example"}, MALFORMED
    yield "of-no-name", form, good | {"name": "Acme.example"}, MALFORMED
    row = good["keys"][0]
    for name, one in {
        "key-with-unknown-member": {**row, "extra": 1},
        "key-without-sig": {"key": row["key"]},
        "key-without-key": {"sig": row["sig"]},
        "sig-unpadded": {**row, "sig": row["sig"].rstrip("=")},
    }.items():
        yield name, form, good | {"keys": [one]}, MALFORMED
    for name, signatures in {
        "none": [],
        "unknown-member": [{"keyid": "0" * 64, "sig": "AAAA", "extra": 1}],
        "keyid-of-63": [{"keyid": "0" * 63, "sig": "AAAA"}],
    }.items():
        changed = {**_ROTATION, "signatures": signatures}
        whole = _request(ED, payload=b'{"a":1}', rotation=changed)
        yield f"rotation-signatures-{name}", form, whole, MALFORMED
    yield from _proofs()
    size = "a request has at most 65,536 bytes"
    yield "of-65536-bytes", size, _sized(65_536), {"keys": 1}
    yield "of-65537-bytes", size, _sized(65_537), MALFORMED


def _proofs() -> Iterator[tuple[str, str, Json, str]]:
    why = (
        "each sig is made with its key over format, log, name and payload, a line each"
    )
    good = _request(ED, OTHER)
    one, two = good["keys"]
    payload = b'{"a":1}'
    yield "for-another-log", why, good | {"log": "other.example"}, REFUSED
    yield "for-another-name", why, good | {"name": "lab.example"}, REFUSED
    yield "for-another-rotation", why, good | {"rotation": _ROTATION}, REFUSED
    bare = _request(ED, payload=payload)
    yield "for-a-rotation-that-is-not-there", why, bare, REFUSED
    swapped = {"key": one["key"], "sig": two["sig"]}
    yield "by-another-key", why, good | {"keys": [swapped]}, REFUSED
    yield "of-one-key-among-two", why, good | {"keys": [one, swapped]}, REFUSED
    yield "sig-empty", why, good | {"keys": [{**one, "sig": ""}]}, REFUSED
    message = b"pcrlog/request/v1\n%s\n%s\n" % (ORIGIN.encode(), NAME.encode())
    short = {**one, "sig": encode_base64(ED.sign(message))}
    yield "without-the-line-of-the-payload", why, good | {"keys": [short]}, REFUSED
    known = "a key is as section 2.1 says"
    yield "key-of-small-order", known, _with_key(ed25519_spki(1)), MALFORMED
    p384 = spki_of(ec.derive_private_key(7, ec.SECP384R1()).public_key())
    yield "key-of-unknown-algorithm", known, _with_key(p384), UNCHECKED


def requests() -> Family:
    """What the registrar is handed."""
    family = Family("requests", "Requests to the registrar (section 2.2).")
    for name, why, given, outcome in _requests():
        data = given if isinstance(given, bytes) else compact(given)
        family.case(name, why, "request", outcome, request=data)
    return family


MAKERS = (keys, requests)
