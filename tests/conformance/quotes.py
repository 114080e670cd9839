"""SGX quotes: each clause of section 8.6, broken by an honest signer.

All are of a simulated machine, under a root that the question names: no quote of a real
one is in here. What is refused for its form is signed rightly wherever it can be, so
that the form alone is to blame. The bytes are put together here, part by part.
"""

import struct
from collections.abc import Iterator, Mapping
from hashlib import sha256, sha384
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from msgspec import Struct
from msgspec.structs import replace

from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulator import Enclave, Simulator
from pcrlog.encoding import encode_base64
from tests.conformance import documents
from tests.conformance.family import Family
from tests.support.memory_log import START

Case = tuple[str, str, bytes, str | Mapping[str, Any]]
"""Id, why, a quote, and what it comes to."""

MALFORMED, REFUSED, UNCHECKED = "malformed", "refused", "unchecked"
MACHINE = Simulator(b"tests/conformance/quotes")
WORD = Word(issued=START)
COLLATERAL = MACHINE.collateral(WORD)
FIRST, LAST = bytes(range(32)), bytes(range(100, 132))
ENCLAVE = Enclave(
    mrenclave=b"E" * 32,
    mrsigner=b"S" * 32,
    isv_prod_id=1,
    isv_svn=515,
    report_data=FIRST + LAST,
)
GOOD: dict[str, Any] = {
    "time": None,
    "registers": {
        "MRENCLAVE": "sha256:" + "45" * 32,
        "MRSIGNER": "sha256:" + "53" * 32,
    },
    "numbers": {"ISVPRODID": 1, "ISVSVN": 515},
    "debug": False,
    "nonce": FIRST,
    "public_key": LAST,
    "user_data": FIRST + LAST,
}
OF_COLLATERAL = [
    "document.collateral",
    "document.revocation",
    "document.qe-identity",
    "document.tcb",
]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256."""
VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")


class Parts(Struct, frozen=True):
    """What a quote is put together from; None: as an honest machine would have it."""

    version: int = 3
    key_type: int = 2
    tee: bytes = bytes(4)
    qe_svn: int = 10
    vendor: bytes = VENDOR
    end: bytes = bytes(4)
    report: bytes = ENCLAVE.report
    size: int | None = None
    signature: bytes | None = None
    key: bytes = MACHINE.attestation_key
    qe_report: bytes | None = None
    qe_signature: bytes | None = None
    authentication: bytes = bytes(range(32))
    authentication_size: int | None = None
    kind: int = 5
    certification: bytes = MACHINE.pem("pck", "ca", "root").encode() + b"\0"
    certification_size: int | None = None
    after: bytes = b""
    """In the signature data, after all else."""

    @property
    def signed(self) -> bytes:
        """Header and report."""
        head = struct.pack("<HH", self.version, self.key_type) + self.tee
        head += struct.pack("<HH", self.qe_svn, 15)
        return head + self.vendor + MACHINE.qe_id + self.end + self.report

    @property
    def qe(self) -> bytes:
        """The report of the quoting enclave."""
        if self.qe_report is not None:
            return self.qe_report
        bound = sha256(self.key + self.authentication).digest()
        return replace(MACHINE.qe, report_data=bound).report

    @property
    def quote(self) -> bytes:
        """All of it."""
        qe, rest = self.qe, self.certification
        data = b"".join(
            (
                self.signature or sign(self.signed),
                self.key + qe,
                self.qe_signature or sign(qe, "pck"),
                _sized("<H", self.authentication, self.authentication_size),
                self.kind.to_bytes(2, "little"),
                _sized("<I", rest, self.certification_size),
                self.after,
            )
        )
        return self.signed + _sized("<I", data, self.size)


def _sized(form: str, data: bytes, size: int | None) -> bytes:
    return struct.pack(form, len(data) if size is None else size) + data


def sign(data: bytes, by: str = "", digest: SHA256 | SHA384 | None = None) -> bytes:
    """By the attestation key, or that of one of the certificates: r, s."""
    key = MACHINE._keys[by] if by else MACHINE._attestation_key
    algorithm = ec.ECDSA(digest or SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(data, algorithm))
    return r.to_bytes(32) + s.to_bytes(32)


def quote(**changes: Any) -> bytes:
    """A quote, rightly signed, with some of its parts changed."""
    return Parts(**changes).quote


def _set(report: bytes, at: int, value: bytes = b"\1") -> bytes:
    return report[:at] + value + report[at + len(value) :]


# --- header and reports ---------------------------------------------------------------

NOTHING = ((20, 48), (96, 128), (160, 256), (260, 320))
"""Where a report holds nothing."""


def _headers() -> Iterator[Case]:
    why = "version 3, key of kind 2, four bytes of zero, Intel's QE, four more zeros"
    yield "plain", why, quote(), GOOD
    changed: Mapping[str, Mapping[str, Any]] = {
        "of-version-2": {"version": 2},
        "of-version-4": {"version": 4},
        "of-version-768": {"version": 0x300},
        "of-key-kind-1": {"key_type": 1},
        "of-key-kind-3": {"key_type": 3},
        "of-tdx": {"tee": b"\x81\0\0\0"},
        "of-a-tee-in-its-last-byte": {"tee": b"\0\0\0\1"},
        "of-another-vendor": {"vendor": bytes(16)},
        "with-user-data-in-its-last-byte": {"end": b"\0\0\0\1"},
    }
    for name, changes in changed.items():
        yield name, why, quote(**changes), MALFORMED
    why = "what the header says of versions is no claim"
    yield "with-another-qe-version", why, quote(qe_svn=1), GOOD


def _reports() -> Iterator[Case]:
    why = "where a report holds nothing there is zero"
    for begin, end in NOTHING:
        for at in (begin, end - 1):
            data = quote(report=_set(ENCLAVE.report, at))
            yield f"report-with-byte-{at}", why, data, MALFORMED
    qe = Parts().qe
    for at in (47, 192):
        data = quote(qe_report=_set(qe, at))
        yield f"qe-report-with-byte-{at}", why, data, MALFORMED
    for name, at in {"cpusvn": 0, "miscselect": 16, "xfrm": 57}.items():
        data = quote(report=_set(ENCLAVE.report, at, b"\x7f"))
        yield f"report-with-another-{name}", "these say nothing that counts", data, GOOD
    flags = (
        "the flag INIT is set; DEBUG, or no MODE64BIT, is debug mode; others are no"
        " claim"
    )
    for name, value, answer in (
        ("of-32-bits", 0x01, GOOD | {"debug": True}),
        ("with-provision-key", 0x15, GOOD),
        ("with-einittoken-key", 0x25, GOOD),
        ("with-kss-and-no-use-of-it", 0x85, GOOD),
        ("with-unknown-flag", 0x8000_0000_0000_0005, GOOD),
        ("in-debug-mode", 0x07, GOOD | {"debug": True}),
        ("without-init", 0x04, MALFORMED),
        ("in-debug-mode-without-init", 0x06, MALFORMED),
    ):
        yield f"enclave-{name}", flags, quote(report=_flagged(value)), answer
    data = quote(qe_report=replace(MACHINE.qe, flags=0x14).report)
    yield "qe-without-init", flags, data, MALFORMED
    largest = {"isv_prod_id": 0xFFFF, "isv_svn": 0xFFFF}
    answer = GOOD | {"numbers": {"ISVPRODID": 65_535, "ISVSVN": 65_535}}
    data = quote(report=replace(ENCLAVE, **largest).report)
    yield "largest-numbers", "numbers are of two bytes, little-endian", data, answer


def _flagged(flags: int) -> bytes:
    return replace(ENCLAVE, flags=flags).report


def _report_data() -> Iterator[Case]:
    why = (
        "nonce and public key are the halves of report data; user data is all of it, or"
        " the first half if the second is zero"
    )
    for name, first, last in (
        ("first-half-alone", FIRST, bytes(32)),
        ("last-half-alone", bytes(32), LAST),
        ("one-bit-in-the-last-half", FIRST, bytes(31) + b"\1"),
        ("no-report-data", bytes(32), bytes(32)),
    ):
        data = quote(report=replace(ENCLAVE, report_data=first + last).report)
        user_data = first + last if any(last) else first
        found = {"nonce": first, "public_key": last, "user_data": user_data}
        yield name, why, data, GOOD | found


# --- sizes ----------------------------------------------------------------------------


def _sizes() -> Iterator[Case]:
    why = "every size fits: nothing is missing, and nothing left, but after the quote"
    good = quote()
    data = len(good) - 436
    changed: Mapping[str, Mapping[str, Any]] = {
        "size-one-too-large": {"size": data + 1},
        "size-one-too-small": {"size": data - 1},
        "size-largest": {"size": 0xFFFF_FFFF},
        "size-of-nothing": {"size": 0},
        "authentication-size-too-large": {"authentication_size": 33},
        "authentication-size-too-small": {"authentication_size": 31},
        "authentication-size-largest": {"authentication_size": 0xFFFF},
        "certification-size-too-large": {"certification_size": 0xFFFF_FFFF},
        "certification-size-too-small": {"certification_size": 100},
        "signature-data-and-a-byte": {"after": b"\0"},
    }
    for name, changes in changed.items():
        yield name, why, quote(**changes), MALFORMED
    for size in (0, 8, 47, 48, 431, 432, 435, 436, 1011, len(good) - 1):
        yield f"cut-to-{size}", why, good[:size], MALFORMED
    none = quote(authentication=b"")
    yield "without-authentication-data", why, none, GOOD
    after = "at most 4,096 bytes stand after a quote; nobody signs them"
    for size, outcome in ((1, GOOD), (4096, GOOD), (4097, MALFORMED)):
        yield f"and-{size}-bytes", after, good + b"x" * size, outcome
    again = "what stands after a quote is no quote"
    other = quote(report=replace(ENCLAVE, mrenclave=b"X" * 32).report)
    yield "and-another-quote", again, good + other[:4096], GOOD
    most = "a document has at most 20,480 bytes"
    for size, outcome in ((20_480, UNCHECKED), (20_481, MALFORMED)):
        data_ = quote(kind=3, certification=b"x" * (size - 1052))
        assert len(data_) == size
        yield f"of-{size}-bytes", most, data_, outcome


def _wrappings() -> Iterator[Case]:
    why = "Open Enclave's report header may stand before it: 1, 2, the size of the rest"
    good = quote()

    def wrapped(size: int, version: int = 1, kind: int = 2) -> bytes:
        return struct.pack("<IIQ", version, kind, size) + good

    yield "in-a-report-header", why, wrapped(len(good)), GOOD
    for name, data in {
        "with-size-too-large": wrapped(len(good) + 1),
        "with-size-largest": wrapped(2**64 - 1),
        "of-version-2": wrapped(len(good), version=2),
        "of-kind-1": wrapped(len(good), kind=1),
        "twice": struct.pack("<IIQ", 1, 2, len(good) + 16) + wrapped(len(good)),
        "cut": wrapped(len(good))[1:],
    }.items():
        yield f"in-a-report-header-{name}", why, data, MALFORMED
    shorter = "what the header leaves out stands after the quote"
    data = wrapped(len(good)) + b"claims"
    yield "in-a-report-header-and-6-bytes", shorter, data, GOOD
    yield from _evidence(good)
    texts = "it may be in base64 or in hex, with line ends"
    yield "base64", texts, encode_base64(good).encode(), GOOD
    yield "hex", texts, good.hex().encode() + b"\n", GOOD
    yield "hex-in-a-report-header", texts, wrapped(len(good)).hex().encode(), GOOD
    yield "hex-in-upper-case", texts, good.hex().upper().encode(), MALFORMED


def _evidence(good: bytes) -> Iterator[Case]:
    why = (
        "so may its evidence header: 2 or 3, its format, padding, the size of the rest"
    )
    form = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")

    def wrapped(
        rest: bytes, version: int = 3, form: bytes = form, more: int = 0
    ) -> bytes:
        head = struct.pack("<I16s4sQ", version, form, bytes(4), len(rest) + more)
        return head + rest

    reported = struct.pack("<IIQ", 1, 2, len(good)) + good
    yield "in-evidence-of-version-2", why, wrapped(good, 2), GOOD
    yield "in-evidence-of-version-3", why, wrapped(good), GOOD
    yield "in-both-headers", why, wrapped(reported), GOOD
    padded = wrapped(good)[:20] + b"\xff" * 4 + wrapped(good)[24:]
    yield "in-evidence-with-padding-of-ones", why, padded, GOOD
    yield "hex-in-evidence", why, wrapped(good).hex().encode(), GOOD
    yield "base64-in-evidence", why, encode_base64(wrapped(good)).encode(), GOOD
    for name, data in {
        "of-version-1": wrapped(good, 1),
        "of-version-4": wrapped(good, 4),
        "of-another-format": wrapped(good, form=form[:-1] + b"\0"),
        "with-size-too-large": wrapped(good, more=1),
        "with-size-too-small": wrapped(good, more=-1),
        "twice": wrapped(wrapped(good)),
        "in-a-report-header": struct.pack("<IIQ", 1, 2, len(good)) + wrapped(good),
    }.items():
        yield f"in-evidence-{name}", why, data, MALFORMED


# --- signatures -----------------------------------------------------------------------


def _signatures() -> Iterator[Case]:
    signed = Parts().signed
    right = sign(signed)
    r, s = int.from_bytes(right[:32]), int.from_bytes(right[32:])
    both = "both a low and a high s are valid"
    for name, one in {"low": min(s, ORDER - s), "high": max(s, ORDER - s)}.items():
        data = quote(signature=right[:32] + one.to_bytes(32))
        yield f"signature-with-{name}-s", both, data, GOOD
    how = "it is ECDSA with SHA-256 over header and report, r and s big-endian"
    for name, raw in {
        "with-sha384": sign(signed, digest=SHA384()),
        "of-the-report-alone": sign(ENCLAVE.report),
        "of-a-byte-more": sign(signed + b"\0"),
        "little-endian": right[31::-1] + right[:31:-1],
        "in-the-other-order": right[32:] + right[:32],
        "with-r-0": bytes(32) + right[32:],
        "with-s-0": right[:32] + bytes(32),
        "with-r-of-the-order": ORDER.to_bytes(32) + right[32:],
        "with-s-beyond-the-order": right[:32] + (2**256 - 1).to_bytes(32),
        "of-zeros": bytes(64),
    }.items():
        yield f"signature-{name}", how, quote(signature=raw), REFUSED
    assert r < ORDER
    by = "it is by the attestation key"
    data = quote(signature=sign(signed, "pck"))
    yield "signed-by-the-pck", by, data, REFUSED
    for name, at in {"mrenclave": 64, "report-data": 383, "svn": 258}.items():
        other = _set(ENCLAVE.report, at, b"\x99")
        yield f"changed-{name}", by, quote(report=other, signature=right), REFUSED
    data = quote(qe_svn=11, signature=right)
    yield "changed-header", by, data, REFUSED
    point = "the attestation key is a point of P-256"
    key = MACHINE.attestation_key
    for name, wrong in {
        "of-zeros": bytes(64),
        "off-the-curve": key[:-1] + bytes([key[-1] ^ 1]),
        "with-x-beyond-the-field": b"\xff" * 32 + key[32:],
        "little-endian": key[31::-1] + key[:31:-1],
    }.items():
        yield f"key-{name}", point, quote(key=wrong), MALFORMED


def _qe_reports() -> Iterator[Case]:
    why = (
        "report data of the QE is SHA-256 of attestation key and authentication data,"
        " then 32 zeros"
    )
    key, qe = MACHINE.attestation_key, MACHINE.qe
    said = bytes(range(32))
    bound = sha256(key + said).digest()
    for name, data in {
        "of-the-key-alone": sha256(key).digest(),
        "of-the-other-order": sha256(said + key).digest(),
        "of-sha384": sha384(key + said).digest(),
        "and-a-bit": bound + bytes(31) + b"\1",
        "in-its-last-half": bytes(32) + bound,
        "of-nothing": b"",
    }.items():
        report = replace(qe, report_data=data).report
        yield f"qe-report-data-{name}", why, quote(qe_report=report), REFUSED
    data = quote(authentication=said[:-1], qe_report=Parts().qe)
    yield "other-authentication-data", why, data, REFUSED
    by = "the key of the PCK certificate signs the QE's report"
    report = Parts().qe
    right = sign(report, "pck")
    for name, raw in {
        "by-the-attestation-key": sign(report),
        "by-the-ca": sign(report, "ca"),
        "with-sha384": sign(report, "pck", SHA384()),
        "of-zeros": bytes(64),
        "of-another-report": sign(ENCLAVE.report, "pck"),
    }.items():
        yield f"qe-signature-{name}", by, quote(qe_signature=raw), REFUSED
    s = ORDER - int.from_bytes(right[32:])
    data = quote(qe_signature=right[:32] + s.to_bytes(32))
    yield "qe-signature-with-the-other-s", "both are valid", data, GOOD


# --- certification data ---------------------------------------------------------------


def _certifications() -> Iterator[Case]:
    chain = MACHINE.pem("pck", "ca", "root").encode()
    why = (
        "of kind 5: certificates in PEM, one after the other, in lines of 64 or of 76"
        " characters; the last line may lack its end; a NUL may follow"
    )
    for name, text in {
        "without-nul": chain,
        "without-its-last-line-end": chain[:-1],
        "without-its-last-line-end-and-with-nul": chain[:-1] + b"\0",
        "in-lines-of-76": _lines(76),
    }.items():
        yield f"chain-{name}", why, quote(certification=text), GOOD
    for name, text in {
        "empty": b"",
        "of-a-nul": b"\0",
        "with-two-nuls": chain + b"\0\0",
        "with-text-before": b"PCK\n" + chain,
        "with-text-between": chain.replace(b"\n-----BEGIN", b"\n\n-----BEGIN", 2),
        "with-text-after": chain + b"\n",
        "with-crlf": chain.replace(b"\n", b"\r\n"),
        "in-lines-of-60": _lines(60),
        "in-one-line": _lines(10_000),
        "in-der": b"".join(MACHINE.certificates.values()),
        "unpadded": chain.replace(b"=", b""),
        "with-a-character": chain.replace(b"MII", b"M!I", 1),
        "not-ascii": chain.replace(b"MII", "MÄ".encode(), 1),
        "of-another-label": chain.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
        "cut": chain[:-20],
        "of-5": chain + MACHINE.pem("tcb", "tcb").encode(),
    }.items():
        yield f"chain-{name}", why, quote(certification=text), MALFORMED
    kinds = "of another kind the PCK certificate is not there, and has to be given"
    for kind in (0, 1, 2, 3, 4, 6, 7, 0xFFFF):
        data = quote(kind=kind, certification=bytes(404))
        yield f"certification-of-kind-{kind}", kinds, data, UNCHECKED
    data = quote(kind=3, certification=b"")
    yield "certification-of-kind-3-empty", kinds, data, UNCHECKED
    signed = "and what cannot be true is refused before that"
    data = quote(kind=3, certification=bytes(404), signature=bytes(64))
    yield "certification-of-kind-3-not-signed", signed, data, REFUSED


def _lines(width: int) -> bytes:
    text = ""
    for name in ("pck", "ca", "root"):
        body = encode_base64(MACHINE.certificates[name])
        rows = [body[at : at + width] for at in range(0, len(body), width)]
        rows = ["-----BEGIN CERTIFICATE-----", *rows, "-----END CERTIFICATE-----", ""]
        text += "\n".join(rows)
    return text.encode()


# --- the family -----------------------------------------------------------------------


def asked(data: bytes, **changes: Any) -> dict[str, Any]:
    """A question about a quote, with all that it can be judged by."""
    given = {
        "platform": "intel-sgx",
        "document": data,
        "roots": [MACHINE.root_der],
        "now": START,
        "collateral": COLLATERAL,
    }
    return {n: value for n, value in (given | changes).items() if value is not None}


def quotes() -> Family:
    """What is read of a quote, and all that is refused."""
    family = Family("quotes", "SGX quotes: form and signatures (section 8.6).")
    parts = (_headers, _reports, _report_data, _sizes, _wrappings, _signatures)
    for part in (*parts, _qe_reports, _certifications):
        for name, why, data, outcome in part():
            family.case(name, why, "attestation", outcome, **asked(data))
    why = "without collateral the last four steps could not be made"
    answer = GOOD | {"unchecked": OF_COLLATERAL}
    given = asked(quote(), collateral=None)
    family.case("without-collateral", why, "attestation", answer, **given)
    _given_chains(family)
    why = "a quote is no document of AWS, and theirs are no quotes"
    for platform in ("aws-nitro", "aws-nitrotpm"):
        given = asked(quote(), platform=platform)
        family.case(f"for-{platform}", why, "attestation", MALFORMED, **given)
    given = asked(documents.signed())
    family.case("of-aws-nitro", why, "attestation", MALFORMED, **given)
    return family


def _given_chains(family: Family) -> None:
    """The PCK certificate as part of collateral."""
    why = "the PCK certificate can be given as `pck_certificate_chain` of collateral"
    data = quote(kind=3, certification=bytes(404))
    word = replace(WORD, pck_chain=True)
    given = asked(data, collateral=MACHINE.collateral(word))
    family.case("chain-given", why, "attestation", GOOD, **given)
    other = Simulator(b"another machine")
    given = asked(data, collateral=other.collateral(word))
    family.case("chain-given-of-another", why, "attestation", REFUSED, **given)
    spoiled = MACHINE.collateral(word).replace(b'"pck_certificate_chain":"', b"\\0 ", 1)
    given = asked(data, collateral=spoiled)
    family.case("chain-given-in-no-json", why, "attestation", REFUSED, **given)
    text = MACHINE.collateral(word).replace(b'chain":"-----BEGIN', b'chain":"BEGIN')
    given = asked(data, collateral=text)
    family.case("chain-given-in-no-pem", why, "attestation", REFUSED, **given)
    kept = "the chain in the quote is used where there is one"
    given = asked(quote(), collateral=MACHINE.collateral(word))
    family.case("chain-given-twice", kept, "attestation", GOOD, **given)


MAKERS = (quotes,)
