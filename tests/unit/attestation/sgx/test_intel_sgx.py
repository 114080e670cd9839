"""The platform: what each step asks, and what the documents of other people come to."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pcrlog.attestation import Document, Outcome, Trust, intel_sgx, platform, roots
from pcrlog.attestation.sgx import pem, quote
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulator import Enclave, Simulator
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.measurement import PLATFORMS
from tests.unit.attestation.sgx import genuine_quotes
from tests.unit.attestation.sgx.genuine_quotes import JULY_2025, Case

SGX = platform("intel-sgx")
INTEL = roots.builtin("intel-sgx")
NOW = 1_795_417_200
"""2026-11-23T07:00:00Z."""
SIMULATOR = Simulator(b"tests/unit/attestation/sgx")
ENCLAVE = Enclave(b"E" * 32, b"S" * 32, isv_prod_id=1, isv_svn=2, report_data=b"d" * 64)
QUOTE = SIMULATOR.quote(ENCLAVE)
STEPS = ("signature", "chain", "qe-report")
ALL = (*STEPS, "collateral", "revocation", "qe-identity", "tcb")
PHALA = ("ConfigurationAndSWHardeningNeeded",), ("INTEL-SA-00289", "INTEL-SA-00615")


def trust(word: Word | None = None, **change: Any) -> Trust:
    found = None if word is None else SIMULATOR.collateral(word)
    return replace(Trust((SIMULATOR.root_der,), NOW, collateral=found), **change)


def walk(data: bytes, trusted: Trust) -> tuple[dict[str, Outcome], Document | None]:
    """What each check came to, without its "document.", and the document."""
    outcomes, document = {}, None
    for one in SGX.walk(SGX.parse(data), trusted):
        if isinstance(one, Document):
            document = one
        else:
            outcomes[one.check.removeprefix("document.")] = one
    return outcomes, document


def statuses(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: one.status for name, one in outcomes.items()}


def opened(data: bytes, trusted: Trust | None = None) -> Document:
    _, document = walk(data, trusted or trust())
    assert document is not None
    return document


# A quote, and collateral that is good.


def test_with_collateral_all_steps_pass() -> None:
    outcomes, document = walk(QUOTE, trust(Word(NOW)))
    assert statuses(outcomes) == dict.fromkeys(ALL, "pass")
    assert isinstance(document, intel_sgx.SgxDocument)
    assert document.pck.fmspc == "00A067110000"
    assert document.qe_report.isv_svn == 10
    assert document.collateral is not None
    assert document.qe_level is not None


def test_the_steps_are_the_checks_of_the_platform() -> None:
    names = tuple(step.check for step in SGX.steps)
    assert names == ("document.signature", "document.chain", *_checks())


def _checks() -> tuple[str, ...]:
    return PLATFORMS["intel-sgx"].checks


def test_a_document_says_what_is_in_the_quote() -> None:
    document = opened(QUOTE)
    assert document.platform == "intel-sgx"
    assert document.registers == {
        "MRENCLAVE": f"sha256:{(b'E' * 32).hex()}",
        "MRSIGNER": f"sha256:{(b'S' * 32).hex()}",
    }
    assert document.numbers == {"ISVPRODID": 1, "ISVSVN": 2}
    assert document.numbers.keys() == set(PLATFORMS["intel-sgx"].numbers)
    assert document.time is None
    assert document.module_id == SIMULATOR.qe_id.hex()
    assert document.debug == ""
    assert document.leaf_not_before < NOW < document.leaf_not_after
    assert document.root_sha256 == sha256(SIMULATOR.root_der).hexdigest()
    assert document.notes == ()


@pytest.mark.parametrize(
    ("report_data", "user_data"),
    [
        (b"a" * 32 + b"b" * 32, b"a" * 32 + b"b" * 32),
        (b"a" * 32, b"a" * 32),
        (bytes(63) + b"b", bytes(63) + b"b"),
        (b"", bytes(32)),
    ],
)
def test_report_data_is_nonce_key_and_user_data(
    report_data: bytes, user_data: bytes
) -> None:
    document = opened(SIMULATOR.quote(replace(ENCLAVE, report_data=report_data)))
    whole = report_data.ljust(64, b"\0")
    assert (document.nonce, document.public_key) == (whole[:32], whole[32:])
    assert document.user_data == user_data


def test_debug_is_said() -> None:
    debug = replace(ENCLAVE, flags=quote.INIT | quote.MODE64 | quote.DEBUG)
    assert "DEBUG: its host can read its memory" in opened(SIMULATOR.quote(debug)).debug


def test_an_enclave_of_32_bits_runs_other_code_than_was_measured() -> None:
    """Attributes are not in MRENCLAVE: whoever signs an enclave anew sets them."""
    narrow = replace(ENCLAVE, flags=quote.INIT)
    assert "do not have MODE64BIT" in opened(SIMULATOR.quote(narrow)).debug


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        (quote.MODE64 | quote.PROVISION, "PROVISION_KEY"),
        (quote.MODE64 | quote.EINITTOKEN, "EINITTOKEN_KEY"),
        (quote.MODE64 | 1 << 11, "flags unknown to pcrlog: 0x800"),
    ],
)
def test_unusual_attributes_are_noted(flags: int, note: str) -> None:
    unusual = replace(ENCLAVE, flags=quote.INIT | flags)
    (found,) = opened(SIMULATOR.quote(unusual)).notes
    assert note in found


def test_key_separation_alone_is_not_unusual() -> None:
    common = replace(ENCLAVE, flags=quote.INIT | quote.MODE64 | quote.KSS)
    assert opened(SIMULATOR.quote(common)).notes == ()


def test_what_nothing_signs_is_noted() -> None:
    header = bytes.fromhex("0100000002000000") + len(QUOTE).to_bytes(8, "little")
    document = opened(header + QUOTE)
    (note,) = document.notes
    assert note == (
        "before the quote stands Open Enclave's report header, which nothing signs"
    )
    (note,) = opened(QUOTE + b"more").notes
    digest = sha256(b"more").hexdigest()
    assert note == f"4 bytes after the quote, which nothing signs: {digest}"
    assert replace(document, notes=()) == opened(QUOTE)


def test_bytes_after_a_quote_that_names_their_hash_are_noted_as_such() -> None:
    bound = replace(ENCLAVE, report_data=sha256(b"more").digest())
    (note,) = opened(SIMULATOR.quote(bound) + b"more").notes
    assert note == "4 bytes after the quote, whose SHA-256 is in its report data"


def test_a_header_with_another_version_of_the_qe_is_noted() -> None:
    signed = QUOTE[:8] + b"\x0b\0" + QUOTE[10:432]
    chain = SIMULATOR.pem("pck", "ca", "root").encode()
    (note,) = opened(SIMULATOR.sign(signed, SIMULATOR.qe, 5, chain)).notes
    assert note == "its header says QE 11, the QE's report 10"


def test_a_quote_can_be_told_unverified() -> None:
    debug = replace(ENCLAVE, flags=quote.INIT | quote.MODE64 | quote.DEBUG)
    told = list(SGX.claims(SGX.parse(SIMULATOR.quote(debug) + b"more")))
    assert ("MRENCLAVE", f"sha256:{(b'E' * 32).hex()}") in told
    assert ("ISVSVN", "2") in told
    assert ("report data", (b"d" * 64).hex()) in told
    assert [name for name, _ in told][-2:] == ["debug", "unusual"]
    plain = list(SGX.claims(SGX.parse(QUOTE)))
    assert "debug" not in dict(plain)


# What is false.


def fails(data: bytes, trusted: Trust, check: str, message: str) -> None:
    outcomes, document = walk(data, trusted)
    *before, last = outcomes
    assert document is None
    assert (last, outcomes[last].status) == (check, "fail")
    assert "fail" not in {outcomes[name].status for name in before}
    assert message in outcomes[last].found


def test_what_the_attestation_key_did_not_sign_fails_at_the_signature() -> None:
    for at in (8, 48, 431, 436, 499):
        data = bytearray(QUOTE)
        data[at] ^= 1
        fails(bytes(data), trust(), "signature", "did not sign it")


def test_another_root_fails_at_the_chain() -> None:
    fails(QUOTE, trust(roots=INTEL), "chain", "the key of a trusted root")
    fails(QUOTE, trust(roots=()), "chain", "by SHA-256: none")


def test_a_certificate_that_is_not_valid_now_fails_at_the_chain() -> None:
    for now in (1_600_000_000, 2_000_000_000):
        fails(QUOTE, trust(now=now), "chain", "does not hold at")


def test_a_certificate_that_cannot_be_read_fails_at_the_chain() -> None:
    certificates = SIMULATOR.certificates
    chain = (pem.write(certificates[name] + b"\0") for name in ("pck", "ca", "root"))
    data = SIMULATOR.sign(QUOTE[:432], SIMULATOR.qe, 5, "".join(chain).encode())
    fails(data, trust(), "chain", "not a readable certificate")


def test_a_report_that_the_pck_did_not_sign_fails_at_the_report() -> None:
    for at in (564, 564 + 128, 947, 948, 1011):
        data = bytearray(QUOTE)
        data[at] ^= 1
        fails(bytes(data), trust(), "qe-report", "did not sign the QE's report")


def test_a_key_that_the_qe_did_not_make_fails_at_the_report() -> None:
    good = sha256(SIMULATOR.attestation_key + bytes(range(32))).digest()
    for report_data in (b"", bytes(32) + good, good + b"\1", good[:31]):
        qe = replace(SIMULATOR.qe, report_data=report_data)
        data = SIMULATOR.quote(ENCLAVE, qe=qe)
        fails(data, trust(), "qe-report", "not about this attestation key")
    # Authentication data is part of what is bound.
    data = QUOTE[:1014] + b"\1" + QUOTE[1015:]
    fails(data, trust(), "qe-report", "not about this attestation key")


# What is missing.


def test_without_collateral_the_rest_is_unchecked() -> None:
    outcomes, document = walk(QUOTE, trust())
    assert statuses(outcomes) == {
        name: "pass" if name in STEPS else "unchecked" for name in ALL
    }
    assert document is not None
    assert "--collateral FILE" in outcomes["collateral"].found
    for name in ("revocation", "qe-identity", "tcb"):
        assert "rests on document.collateral" in outcomes[name].found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mrsigner": b"\1" * 32}, "is not Intel's"),
        ({"isv_prod_id": 2}, "is not Intel's"),
        ({"flags": quote.INIT | quote.MODE64 | quote.DEBUG}, "cannot keep a key"),
    ],
)
def test_another_quoting_enclave_is_refused_even_without_collateral(
    change: dict[str, Any], message: str
) -> None:
    data = SIMULATOR.quote(ENCLAVE, qe=replace(SIMULATOR.qe, **change))
    fails(data, trust(), "qe-identity", message)
    outcomes, document = walk(data, trust(Word(NOW)))
    assert (outcomes["qe-identity"].status, document) == ("fail", None)


def test_collateral_that_is_malformed_is_false() -> None:
    fails(QUOTE, trust(collateral=b"{}"), "collateral", "collateral: ")
    bare = SIMULATOR.quote(ENCLAVE, certification=3)
    fails(bare, trust(collateral=b"{}"), "chain", "collateral: ")


def test_collateral_that_is_old_leaves_the_rest_unchecked() -> None:
    outcomes, document = walk(QUOTE, trust(Word(NOW - 40 * 86_400)))
    assert statuses(outcomes) == {
        name: "pass" if name in STEPS else "unchecked" for name in ALL
    }
    assert document is not None


def test_what_intel_took_back_is_false() -> None:
    word = Word(NOW, revoked=(SIMULATOR.serial("pck"),))
    fails(QUOTE, trust(word), "revocation", "revoked")


def test_a_quoting_enclave_that_is_revoked_is_false() -> None:
    fails(QUOTE, trust(Word(NOW, qe_status="Revoked")), "qe-identity", "evoked")


def test_a_status_that_the_policy_does_not_accept_is_false() -> None:
    word = Word(NOW, status="OutOfDate", advisories=("INTEL-SA-1",))
    fails(QUOTE, trust(word), "tcb", "OutOfDate")
    accepting = trust(word, tcb=("OutOfDate",), advisories=("INTEL-SA-1",))
    outcomes, _ = walk(QUOTE, accepting)
    assert outcomes["tcb"].status == "pass"


def test_a_quote_without_a_chain_is_unchecked_and_no_document() -> None:
    bare = SIMULATOR.quote(ENCLAVE, certification=3)
    for given in (trust(), trust(Word(NOW))):
        outcomes, document = walk(bare, given)
        assert statuses(outcomes) == {"signature": "pass", "chain": "unchecked"}
        assert "certification data of type 3" in outcomes["chain"].found
        assert document is None


def test_collateral_may_hold_the_chain() -> None:
    bare = SIMULATOR.quote(ENCLAVE, certification=3)
    outcomes, document = walk(bare, trust(Word(NOW, pck_chain=True)))
    assert statuses(outcomes) == dict.fromkeys(ALL, "pass")
    assert document is not None
    assert document.notes == ("its certification data is of type 3, and not signed",)


def test_the_chain_in_collateral_is_of_the_machine_that_signed() -> None:
    other = Simulator(b"other")
    bare = SIMULATOR.quote(ENCLAVE, certification=3)
    given = trust(collateral=other.collateral(Word(NOW, pck_chain=True)))
    fails(bare, given, "chain", "the key of a trusted root")
    both = replace(given, roots=(other.root_der,))
    fails(bare, both, "qe-report", "did not sign the QE's report")


def test_a_chain_in_collateral_that_is_no_pem_is_false() -> None:
    bare = SIMULATOR.quote(ENCLAVE, certification=3)
    good = SIMULATOR.collateral(Word(NOW, pck_chain=True))
    begin = b'"pck_certificate_chain":"'
    bad = good.replace(begin, begin + b" ")
    assert bad != good
    fails(bare, trust(collateral=bad), "chain", "pck_certificate_chain: ")


def test_a_quote_with_a_chain_uses_its_own() -> None:
    # What is in the file may be of any machine.
    good = SIMULATOR.collateral(Word(NOW, pck_chain=True))
    begin = b'"pck_certificate_chain":"'
    bad = good.replace(begin, begin + b" ")
    outcomes, _ = walk(QUOTE, trust(collateral=bad))
    assert statuses(outcomes) == dict.fromkeys(ALL, "pass")


# Other people's.


def test_intels_root_is_built_in() -> None:
    (root,) = INTEL
    assert sha256(root).hexdigest() == (
        "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    )


@pytest.mark.parametrize("case", genuine_quotes.cases("corrupted", "eppid"))
def test_a_genuine_quote_is_valid_to_intels_root(case: Case) -> None:
    outcomes, document = walk(case.data, Trust(INTEL, JULY_2025))
    assert statuses(outcomes) == {
        name: "pass" if name in STEPS else "unchecked" for name in ALL
    }
    assert isinstance(document, intel_sgx.SgxDocument)
    assert document.registers["MRENCLAVE"][7:23] == case.mrenclave
    assert document.registers["MRSIGNER"][7:23] == case.mrsigner
    assert bool(document.debug) is case.debug
    assert document.pck.fmspc == case.fmspc
    notes = ("67 bytes after the quote, whose SHA-256 is in its report data",)
    assert document.notes == (notes if "signal" in case.name else ())


@pytest.mark.parametrize("case", genuine_quotes.cases("corrupted", "eppid"))
def test_a_genuine_quote_is_not_valid_for_ever(case: Case) -> None:
    outcomes, document = walk(case.data, Trust(INTEL, 2_000_000_000))
    assert statuses(outcomes) == {"signature": "pass", "chain": "fail"}
    assert document is None


def test_a_genuine_quote_without_a_chain_is_unchecked(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "oasis_quote_v3_eppid")
    outcomes, document = walk(data, Trust(INTEL, JULY_2025))
    assert statuses(outcomes) == {"signature": "pass", "chain": "unchecked"}
    assert document is None


def test_a_corrupted_quote_is_refused(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "fortanix_quote")
    fails(data, Trust(INTEL, JULY_2025), "signature", "did not sign it")


def phala(vectors: Path, **change: Any) -> Trust:
    tcb, advisories = PHALA
    collateral = (vectors / "sgx" / "phala_sgx_quote_collateral.json").read_bytes()
    given = Trust(INTEL, JULY_2025, 0, collateral, tcb, advisories)
    return replace(given, **change)


def test_phalas_quote_passes_with_its_collateral(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "phala_sgx_quote.bin")
    outcomes, document = walk(data, phala(vectors))
    assert statuses(outcomes) == dict.fromkeys(ALL, "pass")
    assert document is not None
    assert document.nonce == b"Hello, world!".ljust(32, b"\0")
    strict = phala(vectors, tcb=("UpToDate",), advisories=())
    fails(data, strict, "tcb", "ConfigurationAndSWHardeningNeeded")


@pytest.mark.parametrize("case", genuine_quotes.cases("corrupted", "eppid", "phala"))
def test_phalas_collateral_says_nothing_of_other_machines(
    case: Case, vectors: Path
) -> None:
    outcomes, document = walk(case.data, phala(vectors))
    assert outcomes["collateral"].status == "unchecked"
    assert document is not None


# Every byte.

# cryptography warns of what it still reads, such as a serial number below 1.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
LENGTH = 4_600
slow = pytest.mark.slow


def refusal(data: bytes, trusted: Trust) -> str:
    """Where the way to a document ends; empty if there is one."""
    try:
        outcomes, document = walk(data, trusted)
    except MalformedError:
        return "form"
    return "" if document else [*outcomes][-1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda at: 1 + at % 255, id="some"),
        *(
            pytest.param(lambda _, bit=bit: 1 << bit, id=f"{bit}", marks=slow)
            for bit in range(8)
        ),
    ],
)
def test_no_byte_of_a_genuine_quote_can_change(
    vectors: Path, change: Callable[[int], int]
) -> None:
    data = genuine_quotes.read(vectors, "phala_sgx_quote.bin")
    trusted = Trust(INTEL, JULY_2025)
    assert len(data) == LENGTH
    assert refusal(data, trusted) == ""
    where = []
    for at in range(LENGTH):
        changed = data[:at] + bytes([data[at] ^ change(at)]) + data[at + 1 :]
        where.append(refusal(changed, trusted))
    assert set(where) == {"form", *STEPS}
    # The first 432 bytes are those that the attestation key signs.
    assert set(where[:432]) == {"form", "signature"}


def test_no_byte_of_a_wrapped_quote_can_change_but_those_that_are_noted(
    vectors: Path,
) -> None:
    data = genuine_quotes.read(vectors, "signal_dcap_v3.evidence")
    trusted = Trust(INTEL, JULY_2025)
    original = opened(data, trusted)
    end = len(data) - 67
    for at in range(end - 3_682, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if at < end:
            assert refusal(changed, trusted)
            continue
        found = opened(changed, trusted)
        (note,) = found.notes
        assert "67 bytes after the quote, which nothing signs" in note
        assert replace(found, notes=original.notes) == original


def test_no_part_of_a_genuine_quote_passes(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "phala_sgx_quote.bin")
    for at in range(1, len(data), 7):
        for part in (data[:at], data[at:]):
            with pytest.raises(MalformedError):
                SGX.parse(part)


def test_a_step_raises_what_a_caller_expects() -> None:
    (signature, chain, *_) = SGX.steps
    first = SGX.parse(QUOTE)
    signed, _ = signature.take(first, trust())
    with pytest.raises(VerificationError):
        chain.take(signed, trust(roots=()))
