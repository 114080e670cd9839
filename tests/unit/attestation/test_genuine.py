"""AWS's own documents, and other people's bad ones (shared/vectors/nitro/INDEX.md)."""

from pathlib import Path

import pytest

from pcrlog.attestation import decode_input, platform, roots
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError, VerificationError
from tests.unit.attestation.genuine import Case, cases, load

NITRO = platform("aws-nitro")
ROOTS = roots.builtin("aws-nitro")


@pytest.mark.parametrize("case", cases("ACCEPT", "ACCEPT_CRYPTO_REJECT_DEBUG"))
def test_a_genuine_document_says_what_is_expected(case: Case) -> None:
    document = NITRO.parse(case.data).verify_signature().verify_chain(ROOTS)
    expected = case.expected
    assert document.registers == {
        f"PCR{number}": f"sha384:{digest}"
        for number, digest in expected["registers"].items()
    }
    assert bool(document.debug) is expected["debug"]
    assert bool(document.debug) is (expected["expect"] == "ACCEPT_CRYPTO_REJECT_DEBUG")
    assert document.time == expected["timestamp_ms"]
    assert document.module_id == expected["module_id"]
    for field, length in expected["optional_lengths"].items():
        value = getattr(document, field)
        assert (value if value is None else len(value)) == length
        if f"{field}_hex" in expected:
            assert value.hex() == expected[f"{field}_hex"]
    for field in ("leaf_not_before", "leaf_not_after"):
        time = format_time(getattr(document, field))
        assert time == expected[field].replace("+00:00", "Z")
    assert document.root_sha256.startswith("641a0321a3e244ef")
    # These cross-checks held in 40 of 40 (ATTEST.md 1.2), so they may well be noted.
    assert document.notes == ()


@pytest.mark.parametrize("case", cases("ACCEPT", "ACCEPT_CRYPTO_REJECT_DEBUG"))
def test_a_genuine_document_may_come_as_text(case: Case) -> None:
    in_hex = case.data.hex().encode()
    assert decode_input(in_hex + b"\n") == case.data
    assert decode_input(case.data) == case.data


def bad(vectors: Path, name: str) -> bytes:
    (found,) = [case for case in load(vectors) if case.name == f"{name}.cbor"]
    return found.data


def test_a_corrupted_certificate_is_a_matter_of_form(vectors: Path) -> None:
    data = bad(vectors, "neg_fortanix_tampered_certificate")
    with pytest.raises(MalformedError, match="not a readable certificate"):
        NITRO.parse(data)


def test_a_bad_signature_is_a_matter_of_the_signature(vectors: Path) -> None:
    unverified = NITRO.parse(bad(vectors, "neg_veracruz_bad_sig"))
    with pytest.raises(VerificationError, match="COSE signature"):
        unverified.verify_signature()


def test_a_root_of_ones_own_is_a_matter_of_the_chain(vectors: Path) -> None:
    data = bad(vectors, "neg_oyster_custom_untrusted_root")
    signed = NITRO.parse(data).verify_signature()
    with pytest.raises(VerificationError, match="the root with SHA-256 024a7c97"):
        signed.verify_chain(ROOTS)


def test_a_nitrotpm_document_is_a_matter_of_form(vectors: Path) -> None:
    data = bad(vectors, "nitrotpm_vaportpm_2026-02")
    with pytest.raises(MalformedError, match="expected pcrs, of aws-nitro"):
        NITRO.parse(data)


def test_every_file_of_the_index_is_in_one_of_these_tests(vectors: Path) -> None:
    verdicts = sorted(case.expected["expect"] for case in load(vectors))
    assert verdicts.count("REJECT") == 3
    assert verdicts.count("ACCEPT_CRYPTO_REJECT_DEBUG") == 4
    assert verdicts.count("ACCEPT") == len(verdicts) - 7
    assert len(verdicts) == len(list((vectors / "nitro").glob("*.cbor")))
