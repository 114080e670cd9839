"""Attestation documents: each clause of section 8, broken by an honest signer.

All are made by the simulator, under roots that the question names: no document of a
real machine is in here. Whatever is refused for its form is signed rightly, so that the
form alone is to blame. Chains are as short as their clause lets them be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from pcrlog.attestation import cbor
from pcrlog.attestation.simulator import (
    _ROOT_BEGINS,
    PROFILES,
    Extensions,
    Profile,
    Simulator,
    ca_extensions,
    key_usage,
)
from pcrlog.encoding import encode_base64
from tests.conformance.family import Family
from tests.support.memory_log import START
from tests.support.scene import NONCE, SIMULATOR, document
from tests.unit.attestation import forgery

Map = dict[int | str, cbor.Value]
Case = tuple[str, str, bytes, str | Mapping[str, Any]]
"""Id, why, a document, and what it comes to."""

MALFORMED, REFUSED = "malformed", "refused"
SEED = b"tests/conformance/documents"
TIME = 1000 * START
"""On the hour, where the simulator's certificates begin."""
LEAF_ENDS = TIME + 1000 * (3 * 3600 + 3)
ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
"""Of P-384."""
ROOT, CA, _, _, LEAF = PROFILES
SHORT = Simulator(SEED, (ROOT, LEAF))
MIDDLE = Simulator(SEED, (ROOT, CA, LEAF))
OTHER = Simulator(b"another seed", (ROOT, CA, LEAF))
GONE: Any = object()
"""In place of a member: it is left out."""
PCRS: Map = {number: bytes([number + 1]) * 48 for number in range(3)}
GOOD: dict[str, Any] = {
    "time": TIME,
    "registers": {f"PCR{n}": "sha384:" + f"{n + 1:02x}" * 48 for n in range(3)},
    "debug": False,
    "nonce": None,
    "user_data": None,
    "public_key": None,
}


def claims(simulator: Simulator = SHORT, /, **changes: Any) -> Map:
    """An honest payload with some members changed."""
    *cas, leaf = simulator.chain(TIME)
    payload: Map = {
        "module_id": simulator.module_id,
        "digest": "SHA384",
        "timestamp": TIME,
        "pcrs": dict(PCRS),
        "certificate": leaf,
        "cabundle": tuple(cas),
    }
    payload.update(changes.items())
    return {name: value for name, value in payload.items() if value is not GONE}


def signed(simulator: Simulator = SHORT, /, **changes: Any) -> bytes:
    """A document, rightly signed."""
    return simulator.sign(cbor.encode(claims(simulator, **changes)))


def _with(raw: str) -> bytes:
    """A document with a member that nobody knows, of any bytes for a value."""
    map_ = cbor.encode(claims())
    return SHORT.sign(
        b"\xbf" + map_[1:] + cbor.encode("x") + bytes.fromhex(raw) + b"\xff"
    )


# --- 8.1 --------------------------------------------------------------------------


def _signature(message: bytes, digest: SHA256 | SHA384 | None = None) -> bytes:
    algorithm = ec.ECDSA(digest or SHA384(), deterministic_signing=True)
    r, s = decode_dss_signature(SHORT._keys[-1].sign(message, algorithm))
    return r.to_bytes(48) + s.to_bytes(48)


def _envelope() -> Iterator[Case]:
    array = "COSE_Sign1, an array of four, untagged or with tag 18 in one byte"
    good = signed()
    yield "plain", array, good, GOOD
    yield "tagged", array, b"\xd2" + good, GOOD
    yield "of-indefinite-length", array, b"\x9f" + good[1:] + b"\xff", GOOD
    for name, data in {
        "tagged-in-two-bytes": b"\xd8\x12" + good,
        "tagged-twice": b"\xd2\xd2" + good,
        "tagged-as-another": b"\xd1" + good,
        "of-three": b"\x83" + good[1:-98],
        "of-five": b"\x85" + good[1:] + b"\xf6",
        "with-long-head": b"\x98\x04" + good[1:],
        "cut": good[:-1],
        "and-a-byte": good + b"\0",
        "empty": b"",
    }.items():
        yield name, array, data, MALFORMED
    yield from _headers()
    yield from _signatures(good)


def _headers() -> Iterator[Case]:
    payload = cbor.encode(claims())
    why = "protected is bytes that decode to exactly {1: -35}"
    data = SHORT.sign(payload, protected=bytes.fromhex("bf013822ff"))
    yield "protected-of-indefinite-length", why, data, GOOD
    for name, raw in {
        "empty": "",
        "without-alg": "a0",
        "of-es256": "a10126",
        "of-es512": "a1013823",
        "with-kid": "a20138220440",
        "with-alg-as-text": "a161313822",
        "with-long-head": "a101390022",
        "and-a-byte": "a101382200",
        "with-alg-twice": "a20138220138 22".replace(" ", ""),
    }.items():
        data = SHORT.sign(payload, protected=bytes.fromhex(raw))
        yield f"protected-{name}", why, data, MALFORMED
    good = SHORT.sign(payload)
    as_map = b"\x84" + good[2:6] + good[6:]
    yield "protected-as-map", why, as_map, MALFORMED
    why = "unprotected is a map; it is not signed, and ignored"
    for name, raw, outcome in (
        ("with-another-alg", "a10126", GOOD),
        ("with-junk", "a26378356341000441ff", GOOD),
        ("of-indefinite-length", "bfff", GOOD),
        ("of-eight-levels", "a101" + "81" * 5 + "80", GOOD),
        ("of-nine-levels", "a101" + "81" * 6 + "80", MALFORMED),
        ("as-array", "80", MALFORMED),
        ("as-null", "f6", MALFORMED),
        ("with-member-twice", "a201000100", MALFORMED),
    ):
        data = SHORT.sign(payload, unprotected=bytes.fromhex(raw))
        yield f"unprotected-{name}", why, data, outcome
    why = "the payload is bytes"
    head, signature = good[:7], good[-98:]
    yield "payload-detached", why, head + b"\xf6" + signature, MALFORMED
    yield "payload-as-map", why, head + payload + signature, MALFORMED


def _signatures(good: bytes) -> Iterator[Case]:
    why = "the signature is 96 bytes, r and s of 48, big-endian"
    body, whole = good[:-98], good[-96:]
    for name, raw in {
        "of-95-bytes": whole[1:],
        "of-97-bytes": whole + b"\0",
        "of-no-bytes": b"",
    }.items():
        data = body + cbor.encode(raw)
        yield f"signature-{name}", why, data, MALFORMED
    yield "signature-as-null", why, body + b"\xf6", MALFORMED
    r, s = int.from_bytes(whole[:48]), int.from_bytes(whole[48:])
    both = "both a low and a high s are valid"
    for name, one in {"low": min(s, ORDER - s), "high": max(s, ORDER - s)}.items():
        data = good[:-96] + r.to_bytes(48) + one.to_bytes(48)
        yield f"signature-with-{name}-s", both, data, GOOD
    payload = cbor.encode(claims())
    header = bytes.fromhex("a1013822")

    def structure(context: str, protected: bytes = header, aad: bytes = b"") -> bytes:
        return cbor.encode((context, protected, aad, payload))

    right = structure("Signature1")
    assert _signature(right) == whole
    how = 'it is ECDSA with SHA-384 over ["Signature1", protected, empty, payload]'
    for name, raw in {
        "with-sha256": _signature(right, SHA256()),
        "of-another-context": _signature(structure("Signature")),
        "of-external-data": _signature(structure("Signature1", aad=b"x")),
        "of-another-header": _signature(
            structure("Signature1", bytes.fromhex("a10126"))
        ),
        "of-the-payload-alone": _signature(payload),
        "little-endian": whole[47::-1] + whole[:47:-1],
        "in-the-other-order": whole[48:] + whole[:48],
        "with-r-0": bytes(48) + whole[48:],
        "with-s-0": whole[:48] + bytes(48),
        "with-r-of-the-order": ORDER.to_bytes(48) + whole[48:],
        "with-s-of-the-order": whole[:48] + ORDER.to_bytes(48),
        "of-zeros": bytes(96),
    }.items():
        yield f"signature-{name}", how, good[:-96] + raw, REFUSED
    by = "it is by the key of `certificate`"
    for name, other in {
        "nonce": signed(nonce=b"other"),
        "timestamp": signed(timestamp=TIME + 1),
        "registers": signed(pcrs=PCRS | {0: bytes(48)}),
    }.items():
        data = other[:-96] + whole
        yield f"changed-{name}", by, data, REFUSED
    *cas, leaf = OTHER.chain(TIME)
    data = signed(certificate=leaf, cabundle=tuple(cas))
    yield "signed-by-another-key", by, data, REFUSED


# --- 8.2 --------------------------------------------------------------------------

READ = {
    "unsigned-of-one-byte": "17",
    "unsigned-of-two-bytes": "1818",
    "unsigned-of-nine-bytes": "1bffffffffffffffff",
    "negative": "3bffffffffffffffff",
    "text-of-utf-8": "62c3bc",
    "array": "8201f5",
    "array-of-indefinite-length": "9f01f4ff",
    "map-with-integer-and-text": "a20102617820",
    "map-of-indefinite-length": "bf20f6ff",
    "eight-levels": "81" * 6 + "80",
}
UNREAD = {
    "unsigned-with-long-head": "1817",
    "unsigned-of-three-bytes-with-long-head": "1900ff",
    "unsigned-of-five-bytes-with-long-head": "1a0000ffff",
    "unsigned-of-nine-bytes-with-long-head": "1b00000000ffffffff",
    "negative-with-long-head": "3817",
    "string-with-long-head": "580101",
    "array-with-long-head": "980101",
    "map-with-long-head": "b8010101",
    "byte-string-of-indefinite-length": "5f4101ff",
    "text-of-indefinite-length": "7f6161ff",
    "tag": "c11a514b67b0",
    "bignum": "c24101",
    "half-float": "f93c00",
    "float": "fa3f800000",
    "double": "fb3ff0000000000000",
    "undefined": "f7",
    "simple-value": "e0",
    "false-in-two-bytes": "f814",
    "reserved-head": "1c",
    "break-in-a-definite-array": "81ff",
    "break-for-a-value": "bf01ff",
    "text-not-utf-8": "61ff",
    "text-of-a-surrogate": "63eda080",
    "key-twice": "a201000100",
    "key-twice-in-a-map-of-indefinite-length": "bf616100616100ff",
    "key-of-bytes": "a1410000",
    "key-of-true": "a1f500",
    "key-of-null": "a1f600",
    "key-of-an-array": "a18000",
    "nine-levels": "81" * 7 + "80",
    "nine-levels-of-indefinite-length": "9f" * 8 + "ff" * 8,
    "array-beyond-the-end": "9b7fffffffffffffff",
    "string-beyond-the-end": "5bffffffffffffffff",
}


def _cbor() -> Iterator[Case]:
    why = "these are read: integers, strings, arrays, maps, true, false, null"
    for name, raw in READ.items():
        yield f"cbor-{name}", why, _with(raw), GOOD
    why = "what CBOR leaves to its writer beyond that is refused"
    for name, raw in UNREAD.items():
        yield f"cbor-{name}", why, _with(raw), MALFORMED
    once = "repeated keys are refused"
    map_ = cbor.encode(claims(nonce=b"one"))
    again = b"\xbf" + map_[1:] + cbor.encode("nonce") + cbor.encode(b"two") + b"\xff"
    yield "nonce-twice", once, SHORT.sign(again), MALFORMED
    pcrs = cbor.encode(PCRS)
    twice = b"\xa4" + pcrs[1:] + cbor.encode(0) + cbor.encode(PCRS[1])
    register = cbor.encode(claims()).replace(pcrs, twice)
    yield "register-twice", once, SHORT.sign(register), MALFORMED
    one = "the payload is one item"
    plain = cbor.encode(claims())
    yield "payload-and-a-byte", one, SHORT.sign(plain + b"\0"), MALFORMED
    yield "payload-cut", one, SHORT.sign(plain[:-1]), MALFORMED
    yield "payload-empty", one, SHORT.sign(b""), MALFORMED
    indefinite = b"\xbf" + plain[1:] + b"\xff"
    yield "payload-of-indefinite-length", one, SHORT.sign(indefinite), GOOD


# --- 8.3 --------------------------------------------------------------------------


def _sized(profile: Profile, size: int) -> Profile:
    """A profile whose certificate has so many bytes, by an extension to be ignored."""
    # Signatures differ in length, so that one filler alone may miss the size.
    for filler in range(10_000):
        content = filler.to_bytes(500 + filler % 50)
        extension = (x509.UnrecognizedExtension(_OID, content), False)
        wider = replace(profile, extensions=(*profile.extensions, extension))
        chain = (ROOT, wider, LEAF) if profile is CA else (ROOT, wider)
        if len(Simulator(SEED, chain).chain(TIME)[1]) == size:
            return wider
    message = f"no extension makes {size} bytes"
    raise AssertionError(message)


_OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612: for examples


def _members() -> Iterator[Case]:
    why = "the payload is a map that has all but the last three of its members"
    for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"):
        brief = name.replace("_", "-")
        yield f"without-{brief}", why, signed(**{name: GONE}), MALFORMED
        yield f"with-null-{brief}", why, signed(**{name: None}), MALFORMED
    for word, value in (("null", None), ("array", ()), ("bytes", b""), ("integer", 1)):
        data = SHORT.sign(cbor.encode(value))
        yield f"payload-of-{word}", why, data, MALFORMED
    tables: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
        "module_id": (
            "module_id is text, not empty",
            {"of-one-character": "i"},
            {"empty": "", "as-bytes": b"i-0", "as-integer": 1},
        ),
        "digest": (
            "digest is the text SHA384",
            {},
            {"sha256": "SHA256", "in-lower-case": "sha384", "as-bytes": b"SHA384"},
        ),
        "timestamp": (
            "timestamp is an integer, above 0 and before the year 10000",
            {},
            {
                "0": 0,
                "negative": -TIME,
                "of-the-year-10000": 253_402_300_800_000,
                "largest": 2**64 - 1,
                "as-text": str(TIME),
                "as-true": True,
            },
        ),
        "certificate": (
            "certificate is 1 to 1,024 bytes",
            {},
            {"empty": b"", "as-text": "text", "of-zeros": bytes(1024)},
        ),
        "cabundle": (
            "cabundle is an array, at least one, each 1 to 1,024 bytes",
            {},
            {
                "empty": (),
                "as-bytes": SHORT.root_der,
                "as-map": {},
                "with-empty": (SHORT.root_der, b""),
                "with-text": (SHORT.root_der, "text"),
                "with-null": (SHORT.root_der, None),
                "with-1025-bytes": (SHORT.root_der, bytes(1025)),
            },
        ),
    }
    for member, (rule, legal, illegal) in tables.items():
        prefix = member.replace("_", "-")
        for name, value in {**legal, **illegal}.items():
            outcome = GOOD if name in legal else MALFORMED
            yield f"{prefix}-{name}", rule, signed(**{member: value}), outcome
    late = "the last millisecond of 9999 is read, and no certificate is valid then"
    for name, time in (("first", 1), ("last", 253_402_300_799_999)):
        yield f"timestamp-{name}", late, signed(timestamp=time), REFUSED


def _free_fields() -> Iterator[Case]:
    why = "free fields are 0 to 1,024 bytes, null or absent; empty is not absent"
    for field in ("public_key", "user_data", "nonce"):
        brief = field.replace("_", "-")
        for name, value, answer in (
            ("null", None, None),
            ("empty", b"", b""),
            ("of-1024-bytes", b"x" * 1024, b"x" * 1024),
        ):
            data = signed(**{field: value})
            yield f"{brief}-{name}", why, data, GOOD | {field: answer}
        for name, wrong in (
            ("of-1025-bytes", bytes(1025)),
            ("as-text", "text"),
            ("as-array", (1, 2)),
            ("as-false", False),
        ):
            yield f"{brief}-{name}", why, signed(**{field: wrong}), MALFORMED
    why = "other members are ignored, but nitrotpm_pcrs is refused"
    yield "unknown-members", why, signed(enclave={"a": ()}), GOOD
    payload = cbor.encode(claims() | {7: 1})
    yield "unknown-member-named-by-an-integer", why, SHORT.sign(payload), GOOD
    pcrs = dict(PCRS)
    yield "nitrotpm-pcrs-beside", why, signed(nitrotpm_pcrs=pcrs), MALFORMED
    data = signed(nitrotpm_pcrs=pcrs, pcrs=GONE)
    yield "nitrotpm-pcrs-instead", why, data, MALFORMED


def _registers() -> Iterator[Case]:
    why = "pcrs: 1 to 32, integers 0 to 31 to 32, 48 or 64 bytes, all of one length"
    for size, algorithm in ((32, "sha256"), (48, "sha384"), (64, "sha512")):
        pcrs = {n: bytes([n + 1]) * size for n in range(3)}
        names = {f"PCR{n}": f"{algorithm}:" + f"{n + 1:02x}" * size for n in range(3)}
        answer = GOOD | {"registers": names}
        yield f"registers-of-{size}-bytes", why, signed(pcrs=pcrs), answer
    all_ = dict.fromkeys(range(32), b"\1" * 32)
    names = {f"PCR{n}": "sha256:" + "01" * 32 for n in range(32)}
    yield "registers-32", why, signed(pcrs=all_), GOOD | {"registers": names}
    gaps = {31: b"\1" * 32} | dict.fromkeys((2, 0, 1), b"\1" * 32)
    names = dict.fromkeys(("PCR0", "PCR1", "PCR2", "PCR31"), "sha256:" + "01" * 32)
    answer = GOOD | {"registers": names}
    yield "registers-in-any-order", why, signed(pcrs=gaps), answer
    text = {str(number): digest for number, digest in PCRS.items()}
    for name, value in {
        "none": {},
        "33": dict.fromkeys(range(33), b"\1" * 32),
        "as-array": tuple(PCRS.values()),
        "named-by-text": text,
        "with-32": PCRS | {32: bytes(48)},
        "with-minus-1": PCRS | {-1: bytes(48)},
        "with-47-bytes": PCRS | {3: bytes(47)},
        "with-no-bytes": PCRS | {3: b""},
        "with-another-length": PCRS | {3: bytes(32)},
        "with-text": PCRS | {3: "0" * 48},
        "with-null": PCRS | {3: None},
    }.items():
        yield f"registers-{name}", why, signed(pcrs=value), MALFORMED
    why = "0, 1 and 2 are among the registers"
    for number in range(3):
        value = {n: digest for n, digest in PCRS.items() if n != number} | {
            3: bytes(48)
        }
        yield f"registers-without-{number}", why, signed(pcrs=value), MALFORMED
    why = "debug mode is PCR0, PCR1 and PCR2 all zero, whatever the others are"
    for name, zeros, debug in (
        ("all-three-zero", (0, 1, 2), True),
        ("pcr0-not-zero", (1, 2), False),
        ("pcr1-not-zero", (0, 2), False),
        ("pcr2-not-zero", (0, 1), False),
    ):
        zeroed = PCRS | dict.fromkeys(zeros, bytes(48)) | {4: b"\4" * 48}
        data = signed(pcrs=zeroed)
        yield f"debug-{name}", why, data, {"debug": debug, "time": TIME}


# --- 8.4 --------------------------------------------------------------------------


def _chained(*profiles: Profile, time: int = TIME) -> tuple[bytes, Simulator]:
    """A document whose certificates are made in this way, and who trusts it."""
    simulator = Simulator(SEED, profiles)
    return signed(simulator, timestamp=time), simulator


NOT_CA = x509.BasicConstraints(ca=False, path_length=None)
IS_CA = x509.BasicConstraints(ca=True, path_length=None)
SIGN, CERT_SIGN = key_usage("digital_signature"), key_usage("key_cert_sign")
UNKNOWN = x509.UnrecognizedExtension(_OID, b"\x05\x00")
CA_RULE = (
    "a CA has basicConstraints with CA true, keyUsage with keyCertSign, both critical"
)
LEAF_RULE = (
    "the leaf has CA false; keyUsage with digitalSignature and without keyCertSign"
)
CAS: Mapping[str, tuple[Extensions, bool]] = {
    "of-these-alone": (((IS_CA, True), (CERT_SIGN, True)), True),
    "without-constraints": (((CERT_SIGN, True),), False),
    "with-constraints-not-critical": (((IS_CA, False), (CERT_SIGN, True)), False),
    "with-ca-false": (((NOT_CA, True), (CERT_SIGN, True)), False),
    "without-usage": (((IS_CA, True),), False),
    "with-usage-not-critical": (((IS_CA, True), (CERT_SIGN, False)), False),
    "without-cert-sign": (((IS_CA, True), (SIGN, True)), False),
    "without-extensions": ((), False),
}
LEAVES: Mapping[str, tuple[Extensions, bool]] = {
    "of-these-alone": (((NOT_CA, True), (SIGN, True)), True),
    "with-none-critical": (((NOT_CA, False), (SIGN, False)), True),
    "without-constraints": (((SIGN, False),), False),
    "with-ca-true": (((IS_CA, True), (SIGN, False)), False),
    "without-usage": (((NOT_CA, True),), False),
    "without-digital-signature": (
        ((NOT_CA, True), (key_usage("content_commitment"), False)),
        False,
    ),
    "with-cert-sign": (
        ((NOT_CA, True), (key_usage("digital_signature", "key_cert_sign"), False)),
        False,
    ),
    "without-extensions": ((), False),
}

Chained = tuple[str, str, tuple[bytes, Simulator], bool]
"""Id, why, a document and who trusts it, and whether the chain holds."""


def _extensions() -> Iterator[Chained]:
    for name, (extensions, good) in CAS.items():
        chain = _chained(ROOT, replace(CA, extensions=extensions), LEAF)
        yield f"ca-{name}", CA_RULE, chain, good
        chain = _chained(replace(ROOT, extensions=extensions), LEAF)
        yield f"root-{name}", CA_RULE, chain, good
    for name, (extensions, good) in LEAVES.items():
        chain = _chained(ROOT, replace(LEAF, extensions=extensions))
        yield f"leaf-{name}", LEAF_RULE, chain, good
    why = "no critical extension is unknown; one that is not critical does no harm"
    for critical in (True, False):
        word = "critical" if critical else "other"
        more = (UNKNOWN, critical)

        def also(profile: Profile, more: Any = more) -> Profile:
            return replace(profile, extensions=(*profile.extensions, more))

        for name, profiles in {
            "root": (also(ROOT), LEAF),
            "ca": (ROOT, also(CA), LEAF),
            "leaf": (ROOT, also(LEAF)),
        }.items():
            unknown = f"{name}-with-unknown-{word}-extension"
            yield unknown, why, _chained(*profiles), not critical


def _paths() -> Iterator[Chained]:
    curve = "every certificate has a P-384 key, and is signed with ecdsa-with-SHA384"

    def on_p256(profile: Profile) -> Profile:
        return replace(profile, curve=ec.SECP256R1)

    def by_sha256(profile: Profile) -> Profile:
        return replace(profile, digest=SHA256)

    yield "root-on-p256", curve, _chained(on_p256(ROOT), CA, LEAF), False
    yield "ca-on-p256", curve, _chained(ROOT, on_p256(CA), LEAF), False
    yield "root-with-sha256", curve, _chained(by_sha256(ROOT), LEAF), False
    yield "ca-with-sha256", curve, _chained(ROOT, by_sha256(CA), LEAF), False
    yield "leaf-with-sha256", curve, _chained(ROOT, by_sha256(LEAF)), False
    most = "there are at most three CAs"
    cas = [
        replace(CA, common_name=f"{n}.sim", extensions=ca_extensions(None))
        for n in range(4)
    ]
    yield "cas-none", most, _chained(ROOT, LEAF), True
    yield "cas-three", most, _chained(ROOT, *cas[:3], LEAF), True
    yield "cas-four", most, _chained(ROOT, *cas, LEAF), False
    lengths = "path lengths hold"

    def long(profile: Profile, length: int) -> Profile:
        return replace(profile, extensions=ca_extensions(length))

    yield "root-of-length-0", lengths, _chained(long(ROOT, 0), LEAF), True
    yield (
        "root-of-length-0-above-a-ca",
        lengths,
        _chained(long(ROOT, 0), CA, LEAF),
        False,
    )
    yield (
        "root-of-length-1-above-a-ca",
        lengths,
        _chained(long(ROOT, 1), CA, LEAF),
        True,
    )
    two = (ROOT, long(cas[0], 0), cas[1], LEAF)
    yield "ca-of-length-0-above-a-ca", lengths, _chained(*two), False
    two = (ROOT, long(cas[0], 1), long(cas[1], 0), LEAF)
    yield "cas-of-lengths-1-and-0", lengths, _chained(*two), True
    yield from _times()


def _times() -> Iterator[Chained]:
    why = "every certificate is valid at the signed time, in seconds, bounds included"
    for name, time, good in (
        ("at-the-start-of-the-leaf", TIME, True),
        ("before-the-leaf", TIME - 1, False),
        ("at-the-end-of-the-leaf", LEAF_ENDS + 999, True),
        ("after-the-leaf", LEAF_ENDS + 1000, False),
    ):
        if time != TIME:
            yield name, why, _chained(ROOT, LEAF, time=time), good
    brief = replace(CA, lifetime=60)
    for name, after, good in (("at-the-end", 60_999, True), ("after", 61_000, False)):
        chain = _chained(ROOT, brief, LEAF, time=TIME + after)
        yield f"{name}-of-the-ca".replace("after-of", "after"), why, chain, good
    for name, spare, good in (("at-the-end-of", 0, True), ("after", -1, False)):
        root = replace(ROOT, lifetime=START - _ROOT_BEGINS + spare)
        yield f"{name}-the-root", why, _chained(root, LEAF), good


def _chains() -> Iterator[tuple[str, str, bytes, Sequence[bytes], bool]]:
    """Id, why, document, roots, and whether the chain holds."""
    trusted = "the root equals a trusted root byte for byte"
    root, ca, leaf = MIDDLE.chain(TIME)
    good, ours = signed(MIDDLE), [MIDDLE.root_der]
    yield "trusted", trusted, good, ours, True
    yield "trusted-among-others", trusted, good, [OTHER.root_der, *ours], True
    yield "not-trusted", trusted, good, [OTHER.root_der], False
    yield "nothing-trusted", trusted, good, [], False
    longer = Simulator(SEED, (replace(ROOT, lifetime=ROOT.lifetime + 1), CA, LEAF))
    same = "a root of the same name and key is another root"
    yield "root-of-the-same-key", same, signed(longer), ours, False

    def bundled(*cabundle: bytes, certificate: bytes = leaf) -> bytes:
        return signed(MIDDLE, cabundle=cabundle, certificate=certificate)

    yield "root-and-a-byte", trusted, bundled(root + b"\0", ca), ours, False
    order = "the path uses all certificates of the document, in the order given"
    yield "ca-before-the-root", order, bundled(ca, root), ours, False
    yield "ca-missing", order, bundled(root), ours, False
    yield "ca-twice", order, bundled(root, ca, ca), ours, False
    yield "root-twice", order, bundled(root, root, ca), ours, False
    yield (
        "ca-of-another-chain-beside",
        order,
        bundled(root, ca, OTHER.chain(TIME)[1]),
        ours,
        False,
    )
    yield "leaf-among-the-cas", order, bundled(root, ca, leaf), ours, False
    cas = [
        replace(CA, common_name=f"{n}.sim", extensions=ca_extensions(None))
        for n in (1, 2)
    ]
    two = Simulator(SEED, (ROOT, *cas, LEAF))
    _, one, other, last = two.chain(TIME)
    swapped = signed(two, cabundle=(root, other, one), certificate=last)
    yield "cas-in-another-order", order, swapped, ours, False
    only = "root and CAs all have different names: no other path could be taken"
    free = replace(CA, extensions=ca_extensions(None))
    root_again = replace(free, common_name=ROOT.common_name)
    for name, between in {
        "ca-of-the-roots-name": (root_again,),
        "ca-of-the-roots-name-below-another": (free, root_again),
        "cas-of-one-name": (free, free),
    }.items():
        named = Simulator(SEED, (ROOT, *between, LEAF))
        yield name, only, signed(named), ours, False
    links = "signatures and names link up"
    yield "ca-of-another-chain", links, bundled(root, OTHER.chain(TIME)[1]), ours, False
    forged = ca[:-1] + bytes([ca[-1] ^ 1])
    yield "ca-with-wrong-signature", links, bundled(root, forged), ours, False
    forged = leaf[:-1] + bytes([leaf[-1] ^ 1])
    data = bundled(root, ca, certificate=forged)
    yield "leaf-with-wrong-signature", links, data, ours, False
    renamed = Simulator(SEED, (ROOT, replace(CA, common_name="other"), LEAF))
    data = bundled(root, renamed.chain(TIME)[1])
    yield "ca-of-another-name", links, data, ours, False
    alone = Simulator(SEED, (ROOT,))
    data = signed(alone, cabundle=(root,), certificate=root)
    yield "root-for-a-leaf", LEAF_RULE, data, ours, False
    on_p256 = Simulator(SEED, (ROOT, replace(LEAF, curve=ec.SECP256R1)))
    data = SHORT.sign(cbor.encode(claims(on_p256)))
    yield (
        "leaf-on-p256",
        "the curve is P-384, never chosen by the certificate",
        data,
        ours,
        False,
    )


def _certificates() -> Iterator[tuple[str, str, bytes, Sequence[bytes], bool]]:
    """As `_chains`, but what does not hold is malformed."""
    root, ca, leaf = MIDDLE.chain(TIME)
    ours = [root]
    why = "each is one certificate in DER, with nothing after it"
    spellings: Mapping[str, Callable[[bytes], bytes]] = {
        "and-a-byte": lambda der: der + b"\0",
        "cut": lambda der: der[:-1],
        "with-long-length": lambda der: b"\x30\x83\0" + der[2:],
        "of-an-empty-sequence": lambda _: b"\x30\x00",
        "in-pem": lambda der: (
            f"-----BEGIN CERTIFICATE-----\n{encode_base64(der)}"
            "\n-----END CERTIFICATE-----\n".encode()
        ),
    }
    for name, change in spellings.items():
        data = signed(MIDDLE, certificate=change(leaf))
        yield f"leaf-{name}", why, data, ours, False
        data = signed(MIDDLE, cabundle=(root, change(ca)))
        yield f"ca-{name}", why, data, ours, False
    bits = "its signature is without unused bits"
    hours = (TIME + n * 3_600_000 for n in range(100))
    time = next(t for t in hours if SHORT.chain(t)[-1][-1] % 2 == 0)
    even = SHORT.chain(time)[-1]
    signature = x509.load_der_x509_certificate(even).signature
    cut = even.removesuffix(b"\0" + signature) + b"\1" + signature
    data = signed(certificate=cut, timestamp=time)
    yield "leaf-with-unused-bits", bits, data, ours, False
    point = "a point of P-384 is uncompressed"
    yield "leaf-with-hybrid-point", point, _hybrid(), ours, False
    usage = "a key usage ends in a bit that is set"
    long = x509.UnrecognizedExtension(x509.KeyUsage.oid, bytes.fromhex("03020080"))
    extended = replace(LEAF, extensions=((NOT_CA, True), (long, False)))
    yield (
        "leaf-with-zero-bits-in-its-usage",
        usage,
        *_chained(ROOT, extended)[:1],
        ours,
        False,
    )
    size = "a certificate has 1 to 1,024 bytes"
    for most, good in ((1024, True), (1025, False)):
        large = Simulator(SEED, (ROOT, _sized(LEAF, most)))
        yield f"leaf-of-{most}-bytes", size, signed(large), ours, good
        large = Simulator(SEED, (ROOT, _sized(CA, most), LEAF))
        yield f"ca-of-{most}-bytes", size, signed(large), ours, good


def _hybrid() -> bytes:
    """A document whose leaf says again, in its key, whether y is odd."""
    leaf = x509.load_der_x509_certificate(SHORT.chain(TIME)[-1])
    point = leaf.public_key().public_bytes(
        Encoding.X962, PublicFormat.UncompressedPoint
    )
    hybrid = bytes([6 | point[-1] & 1]) + point[1:]
    tbs = leaf.tbs_certificate_bytes.replace(point, hybrid)
    return signed(certificate=forgery.leaf(SHORT, tbs))


# --- as people hand it over --------------------------------------------------------


def _lines(text: str, width: int, end: str = "\n") -> bytes:
    parts = (text[at : at + width] for at in range(0, len(text), width))
    return "".join(f"{part}{end}" for part in parts).encode()


def _padded(size: int, *, exactly: bool) -> bytes:
    """A document of `size` bytes, or of that many more than a multiple of three."""
    for filler in range(size if exactly else 3):
        start = size - len(signed()) - 20 if exactly else 0
        data = signed(filler=bytes(start + filler))
        if len(data) == size if exactly else len(data) % 3 == size:
            return data
    message = f"no document has {size} bytes"
    raise AssertionError(message)


def _texts() -> Iterator[Case]:
    good = _padded(1, exactly=False)
    text, digits = encode_base64(good), good.hex()
    why = "it may be in base64 or in hex, with line ends"
    for name, data in {
        "base64": text.encode(),
        "base64-with-line-ends": _lines(text, 76),
        "base64-with-crlf": _lines(text, 64, "\r\n"),
        "hex": digits.encode(),
        "hex-with-line-ends": _lines(digits, 60),
        "hex-of-a-tagged-one": (b"\xd2" + good).hex().encode(),
        "base64-of-a-tagged-one": encode_base64(b"\xd2" + good).encode(),
    }.items():
        yield name, why, data, GOOD
    strict = "base64 is padded and canonical, hex is lower case"
    loose = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    for name, wrong in {
        "base64-unpadded": text.rstrip("="),
        "base64-with-bits-at-its-end": loose,
        "base64-with-space": text[:40] + " " + text[40:],
        "base64-and-a-character": text + "A",
        "hex-in-upper-case": digits.upper(),
        "hex-with-space": digits[:40] + " " + digits[40:],
        "hex-of-odd-length": digits[:-1],
        "hex-with-prefix": "0x" + digits,
    }.items():
        yield name, strict, wrong.encode(), MALFORMED
    url = text.replace("+", "-").replace("/", "_")
    assert url != text
    yield "base64-of-the-url-alphabet", strict, url.encode(), MALFORMED
    size = "a document has at most 20,480 bytes"
    yield "of-20480-bytes", size, _padded(20_480, exactly=True), GOOD
    yield "of-20481-bytes", size, _padded(20_481, exactly=True), MALFORMED


def _add(
    family: Family, case: Case, roots: Sequence[bytes] = (SHORT.root_der,)
) -> None:
    name, why, data, outcome = case
    given = {"document": data, "roots": list(roots)}
    family.case(name, why, "attestation", outcome, **given)


def documents() -> Family:
    """What is read of a document, and all that is refused."""
    family = Family("documents", "Attestation documents of aws-nitro (section 8).")
    answer = {"nonce": NONCE, "debug": False, "time": TIME}
    why = "a document as the machine writes it: a chain of five, sixteen registers"
    _add(family, ("whole", why, document(), answer), [SIMULATOR.root_der])
    for part in (_envelope, _cbor, _members, _free_fields, _registers, _texts):
        for case in part():
            _add(family, case)
    return family


def chains() -> Family:
    """Which certificates make a chain to a trusted root."""
    family = Family("chains", "The chain of a document (section 8.4).")
    for name, why, (data, simulator), good in (*_extensions(), *_paths()):
        _add(family, (name, why, data, _held(good=good)), [simulator.root_der])
    for name, why, data, roots, good in _chains():
        _add(family, (name, why, data, _held(good=good)), roots)
    for name, why, data, roots, good in _certificates():
        outcome = _held(good=True) if good else MALFORMED
        _add(family, (name, why, data, outcome), roots)
    return family


def _held(*, good: bool) -> dict[str, Any] | str:
    return {"debug": False, "registers": GOOD["registers"]} if good else REFUSED


MAKERS = (documents, chains)
