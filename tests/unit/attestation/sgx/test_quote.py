"""The layout of a quote: every size, every zero, every wrapping."""

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from pcrlog import limits
from pcrlog.attestation.sgx import pem, quote
from pcrlog.attestation.sgx.simulator import Enclave, Simulator
from pcrlog.errors import MalformedError, VerificationError
from tests.unit.attestation.sgx import genuine_quotes
from tests.unit.attestation.sgx.genuine_quotes import Case

SIMULATOR = Simulator(b"tests/unit/attestation/sgx")
ENCLAVE = Enclave(
    mrenclave=b"E" * 32,
    mrsigner=b"S" * 32,
    isv_prod_id=0x0102,
    isv_svn=0x0304,
    report_data=b"d" * 64,
)
QUOTE = SIMULATOR.quote(ENCLAVE)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256."""

UUID = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")


def patched(at: int, new: bytes, data: bytes = QUOTE) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        quote.parse(data)


def test_a_quote_is_taken_apart() -> None:
    found = quote.parse(QUOTE)
    assert found.signed == QUOTE[:432]
    assert found.report.mrenclave == b"E" * 32
    assert found.report.mrsigner == b"S" * 32
    assert (found.report.isv_prod_id, found.report.isv_svn) == (0x0102, 0x0304)
    assert found.report.report_data == b"d" * 64
    assert found.report.flags == 5
    assert found.report.raw == ENCLAVE.report
    assert found.report.cpusvn == ENCLAVE.cpusvn
    assert found.report.miscselect == bytes(4)
    assert found.report.attributes == QUOTE[96:112]
    assert found.qe_report.raw == SIMULATOR.qe.report
    assert found.qe_svn == found.qe_report.isv_svn == 10
    assert found.qe_id == SIMULATOR.qe_id
    assert found.attestation_key == SIMULATOR.attestation_key
    assert found.authentication == bytes(range(32))
    assert found.certification == quote.PCK_CHAIN
    names = ("pck", "ca", "root")
    assert found.certificates == tuple(SIMULATOR.certificates[one] for one in names)
    assert (found.wrapping, found.trailing) == ("", b"")


@pytest.mark.parametrize("case", genuine_quotes.cases())
def test_all_quotes_of_other_people_have_this_layout(case: Case) -> None:
    found = quote.parse(case.data)
    assert found.report.mrenclave.hex()[:16] == case.mrenclave
    assert found.report.mrsigner.hex()[:16] == case.mrsigner
    assert bool(found.report.flags & quote.DEBUG) is case.debug
    assert (found.qe_report.mrsigner, found.qe_report.isv_prod_id) == (
        quote.QE_SIGNER,
        quote.QE_PROD_ID,
    )
    has_chain = "eppid" not in case.name
    assert (found.certification, len(found.certificates)) == (
        (5, 3) if has_chain else (3, 0)
    )
    assert len(found.trailing) == (67 if "signal" in case.name else 0)
    assert found.wrapping == ""


# The header.


@pytest.mark.parametrize(
    ("at", "new", "message"),
    [
        (0, b"\4\0", "header: expected version 3"),  # TDX
        (0, b"\2\0", "header: expected version 3"),  # EPID
        (2, b"\3\0", "header: expected version 3, ECDSA on P-256"),  # on P-384
        (4, b"\x81\0\0\0", r"SGX \(0300020000000000\), found 0300020081000000"),
        (12, b"\0", "vendor of QE: expected 939a72"),
        (44, b"\1", "end of header: expected zero, found 01000000"),
        (47, b"\1", "end of header: expected zero, found 00000001"),
    ],
)
def test_another_header_is_refused(at: int, new: bytes, message: str) -> None:
    refused(patched(at, new), message)


# The reports.


@pytest.mark.parametrize("report", [48, 564])
@pytest.mark.parametrize("at", [20, 47, 96, 127, 160, 255, 260, 319])
def test_a_report_that_fills_what_is_reserved_is_refused(report: int, at: int) -> None:
    refused(patched(report + at, b"\1"), r"expected zero .*KSS is not supported")


@pytest.mark.parametrize("report", [48, 564])
def test_a_report_of_an_enclave_that_was_not_started_is_refused(report: int) -> None:
    refused(patched(report + 48, b"\4"), "expected the flag INIT")


def test_a_report_has_one_length() -> None:
    with pytest.raises(MalformedError, match="expected 384 bytes, found 383"):
        quote.parse_report(ENCLAVE.report[:-1], "report")


# The sizes.


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize(("at", "form"), [(432, "<I"), (1012, "<H"), (1048, "<I")])
def test_every_size_fits(at: int, form: str, by: int) -> None:
    (size,) = struct.unpack_from(form, QUOTE, at)
    refused(patched(at, struct.pack(form, size + by)), "SGX quote, .*: expected")


@pytest.mark.parametrize(("at", "form"), [(432, "<I"), (1012, "<H"), (1048, "<I")])
def test_the_largest_size_is_no_harm(at: int, form: str) -> None:
    largest = b"\xff" * struct.calcsize(form)
    refused(patched(at, largest), "SGX quote, .*: expected")


def test_no_beginning_of_a_quote_is_one() -> None:
    for size in range(len(QUOTE)):
        refused(QUOTE[:size], "SGX quote, ")


def test_bytes_that_belong_to_nothing_are_refused() -> None:
    (size,) = struct.unpack_from("<I", QUOTE, 432)
    refused(
        patched(432, struct.pack("<I", size + 1), QUOTE + b"\0"),
        "signature data: expected its end, found 1 bytes more",
    )


def test_what_comes_after_the_quote_is_kept_apart() -> None:
    assert quote.parse(QUOTE + b"more").trailing == b"more"
    longest = bytes(quote.TRAILING)
    assert quote.parse(QUOTE + longest).trailing == longest
    refused(QUOTE + longest + b"\0", "after the quote: expected at most 4096 bytes")


def test_a_quote_is_not_longer_than_a_document_may_be() -> None:
    refused(QUOTE.ljust(limits.ATTESTATION + 1, b"\0"), "expected at most 20480 bytes")


def test_a_quote_without_a_chain_has_no_certificates() -> None:
    found = quote.parse(SIMULATOR.quote(ENCLAVE, certification=3))
    assert (found.certification, found.certificates) == (3, ())


# The key, and signatures.


@pytest.mark.parametrize(
    "key",
    [
        bytes(64),
        b"\xff" * 64,
        # A point on the curve, x larger by the field's prime.
        SIMULATOR.attestation_key[32:] + SIMULATOR.attestation_key[:32],
    ],
)
def test_the_attestation_key_is_on_the_curve(key: bytes) -> None:
    refused(patched(500, key), "attestation key: expected a point on P-256")


KEY = quote.public_key(SIMULATOR.attestation_key)
SIGNATURE = QUOTE[436:500]
R, S = SIGNATURE[:32], SIGNATURE[32:]


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64),
        R + bytes(32),
        bytes(32) + S,
        S + R,
        R + ORDER.to_bytes(32),
        ORDER.to_bytes(32) + S,
        b"\xff" * 64,
    ],
)
def test_another_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(VerificationError, match=r"^so it goes$"):
        quote.verify_signature(KEY, signature, QUOTE[:432], "so it goes")


def test_a_signature_may_have_a_high_s_or_a_low_one() -> None:
    other = (ORDER - int.from_bytes(S)).to_bytes(32)
    for s in (S, other):
        quote.verify_signature(KEY, R + s, QUOTE[:432], "no")


def test_a_signature_is_of_all_the_bytes() -> None:
    with pytest.raises(VerificationError):
        quote.verify_signature(KEY, SIGNATURE, QUOTE[:431], "no")


def test_a_key_is_one_on_p_256() -> None:
    assert isinstance(KEY.curve, ec.SECP256R1)


# The certificates.

NAMES = ("pck", "ca", "root")
BLOCKS = [pem.write(SIMULATOR.certificates[one]) for one in NAMES]
TEXT = "".join(BLOCKS)


def with_text(text: bytes) -> bytes:
    return SIMULATOR.sign(QUOTE[:432], SIMULATOR.qe, 5, text)


@pytest.mark.parametrize("end", ["", "\n", "\0", "\n\0"])
@pytest.mark.parametrize("width", [64, 76])
def test_certificates_are_in_lines_of_64_or_76(width: int, end: str) -> None:
    blocks = [pem.write(SIMULATOR.certificates[one], width) for one in NAMES]
    text = "".join(blocks).removesuffix("\n") + end
    found = quote.parse(with_text(text.encode()))
    assert found.certificates == tuple(SIMULATOR.certificates[one] for one in NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        TEXT + "\0\0",
        TEXT + "\n",
        "\n" + TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", " \n"),
        "Subject: me\n" + TEXT,
        TEXT + "and so on",
        "\n".join(BLOCKS),
        TEXT.replace("\n-----END", "\n\n-----END"),
        TEXT.replace("CERTIFICATE", "X509 CERTIFICATE"),
        TEXT.replace("-----END CERTIFICATE-----\n", ""),
        pem.write(SIMULATOR.certificates["pck"], 63),
        pem.write(SIMULATOR.certificates["pck"], 4096),
        BLOCKS[0] * 5,
        TEXT.replace("=\n-----END", "\n-----END"),
        "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nREV=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nRER=\n-----END CERTIFICATE-----\n",
    ],
)
def test_another_spelling_of_certificates_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        quote.parse(with_text(text.encode()))


def test_certificates_are_ascii() -> None:
    refused(with_text(TEXT.encode() + b"\xff"), "certification data: expected")


def test_pem_is_read_as_it_is_written() -> None:
    for size in range(1, 200):
        der = bytes(size)
        for width in (64, 76):
            assert pem.read(pem.write(der, width)) == (der,)


# What Open Enclave writes before it.


def report_header(size: int, version: int = 1, kind: int = 2) -> bytes:
    return struct.pack("<IIQ", version, kind, size)


def evidence_header(
    size: int, version: int = 3, form: bytes = UUID, padding: bytes = bytes(4)
) -> bytes:
    return struct.pack("<I16s4sQ", version, form, padding, size)


def test_a_report_header_may_stand_before() -> None:
    found = quote.parse(report_header(len(QUOTE)) + QUOTE)
    bare = quote.parse(QUOTE)
    assert found == replace(bare, wrapping="Open Enclave's report header")


def test_an_evidence_header_may_stand_before() -> None:
    claims = b"claims"
    rest = QUOTE + claims
    found = quote.parse(evidence_header(len(rest), padding=b"junk") + rest)
    assert found.wrapping == "Open Enclave's evidence header, version 3"
    assert found.trailing == claims


def test_both_may_stand_before() -> None:
    claims = b"claims"
    rest = report_header(len(QUOTE)) + QUOTE + claims
    found = quote.parse(evidence_header(len(rest), version=2) + rest)
    assert found.wrapping == (
        "Open Enclave's evidence header, version 2 and Open Enclave's report header"
    )
    assert found.trailing == claims
    assert found.signed == QUOTE[:432]


@pytest.mark.parametrize(
    "data",
    [
        report_header(len(QUOTE), kind=1) + QUOTE,  # local
        report_header(len(QUOTE), version=2) + QUOTE,
        report_header(len(QUOTE) + 1) + QUOTE,
        report_header(2**64 - 1) + QUOTE,
        report_header(len(QUOTE) - 1) + QUOTE,
        report_header(0) + QUOTE,
        report_header(16 + len(QUOTE)) + report_header(len(QUOTE)) + QUOTE,
        evidence_header(len(QUOTE) + 1) + QUOTE,
        evidence_header(len(QUOTE) - 1) + QUOTE,
        evidence_header(len(QUOTE), version=1) + QUOTE,
        evidence_header(len(QUOTE), version=4) + QUOTE,
        evidence_header(len(QUOTE), form=bytes(16)) + QUOTE,
        report_header(32 + len(QUOTE)) + evidence_header(len(QUOTE)) + QUOTE,
        evidence_header(0),
        report_header(0),
    ],
)
def test_another_wrapping_is_refused(data: bytes) -> None:
    refused(data, "SGX quote, ")


def test_a_wrapped_quote_of_other_people(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "openenclave_sgx_quote")
    found = quote.parse(report_header(len(data)) + data)
    assert found.signed == quote.parse(data).signed


def test_parts_lie_where_the_table_says() -> None:
    found = quote.parse(QUOTE)
    places = [0, 48, 432, 436, 500, 564, 948, 1012]
    parts = [QUOTE[begin:end] for begin, end in pairwise(places)]
    assert parts[3] == found.signature
    assert parts[4] == found.attestation_key
    assert parts[5] == found.qe_report.raw
    assert parts[6] == found.qe_signature
