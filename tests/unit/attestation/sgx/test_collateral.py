"""Collateral: each rule broken, by an Intel that is otherwise honest."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from msgspec.structs import replace

from pcrlog import limits
from pcrlog.attestation import Trust
from pcrlog.attestation.sgx import collateral, pck, pem, quote, signed
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.simulator import CERTIFICATES, Simulator
from pcrlog.attestation.simulator import Extensions, key_usage
from pcrlog.encoding import parse_time
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    VerificationError,
)
from tests.unit.attestation.sgx.intel import (
    DAY,
    NOW,
    OTHER,
    SIMULATOR,
    Members,
    machine_of,
    members,
    signed_by,
    verify,
    without,
    written,
)


@pytest.fixture(scope="module")
def machine() -> Pck:
    return machine_of(SIMULATOR)


# --- the file ------------------------------------------------------------------------


def test_what_intel_states_is_told_in_words(machine: Pck) -> None:
    found = verify(members(), machine)
    assert found.words == (
        "for FMSPC 00A067110000: TCB info of 2026-11-23T07:00:00Z, QE identity of"
        " 2026-11-23T07:00:00Z, TCB evaluation data number 17; holds until"
        " 2026-12-23T07:00:00Z"
    )
    assert found.ends == NOW + 30 * DAY
    assert found.check_revocation(machine) == (
        "none of the certificates, where Intel SGX PCK Processor CA has revoked 0 and"
        " Intel SGX Root CA 0"
    )


def test_two_numbers_of_evaluation_are_both_told(machine: Pck) -> None:
    file = members(qe_identity={"tcbEvaluationDataNumber": 16})
    assert "data number 16 and 17;" in verify(file, machine).words


@pytest.mark.parametrize("name", [*members(), "pck_certificate_chain"])
def test_no_member_may_be_another_kind_of_value(name: str) -> None:
    others: tuple[object, ...] = (1, ["a"], {}, True)
    for value in others:
        with pytest.raises(MalformedError, match="the file: not the JSON expected"):
            collateral.parse(written(members() | {name: value}))


@pytest.mark.parametrize("name", members())
def test_every_member_but_the_pck_chain_has_to_be_there(name: str) -> None:
    for file in (without(members(), name), members() | {name: None}):
        with pytest.raises(MalformedError, match="the file: not the JSON expected"):
            collateral.parse(written(file))


def test_the_chain_of_the_pck_is_handed_on_as_it_is() -> None:
    assert collateral.parse(written(members())).pck_certificate_chain == ""
    null = written(members() | {"pck_certificate_chain": None})
    assert collateral.parse(null).pck_certificate_chain == ""
    given = collateral.parse(written(members(pck_chain=True))).pck_certificate_chain
    assert given == SIMULATOR.pem("pck", "ca", "root")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'\xef\xbb\xbf{"a":1}',
        '{"pck_crl":1}'.encode("utf-16"),
        written(members() | {"unknown": "member"}),
        written(members())[:-1],
        written(members()) + b"}",
        written(members())[:-1] + b', "pck_crl": ""}',
        b"[" * 200_000,
        b'{"a":' * 20_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
    ids=range(14),
)
def test_what_is_no_such_file_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        collateral.parse(data)


def test_a_file_that_is_too_long_is_not_read() -> None:
    data = written(members())
    padded = data + b" " * (limits.COLLATERAL - len(data))
    assert collateral.parse(padded) == collateral.parse(data)
    with pytest.raises(MalformedError, match=r"at most 262144 bytes, found 262145"):
        collateral.parse(padded + b" ")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tcb_info", "{\u00e4}", "TCB info: expected JSON in ASCII"),
        ("tcb_info", "\ud800", "the file: not the JSON expected: half a character"),
        ("tcb_info_signature", "00" * 63, "the signature of TCB info: expected 128"),
        ("qe_identity_signature", "0G" * 64, "the signature of QE identity: expected"),
        ("qe_identity_signature", "AA" * 64, "the signature of QE identity: expected"),
        ("pck_crl", "", "PCK CRL: not a readable CRL"),
        ("pck_crl", "0", "PCK CRL: not a readable CRL"),
        ("root_ca_crl", "3000", "root CRL: not a readable CRL"),
        ("tcb_info_issuer_chain", "", "the issuer chain of TCB info: expected"),
        ("tcb_info_issuer_chain", SIMULATOR.pem("tcb"), "2 certificates, found 1"),
        (
            "qe_identity_issuer_chain",
            SIMULATOR.pem("tcb", "ca", "root"),
            "the issuer chain of QE identity: expected 2 certificates, found 3",
        ),
        (
            "pck_crl_issuer_chain",
            pem.write(b"no certificate") * 2,
            "the PCK CRL's issuer chain: not a readable certificate",
        ),
    ],
)
def test_a_member_that_cannot_be_read_is_named(
    name: str, value: str, words: str
) -> None:
    with pytest.raises(MalformedError, match=words):
        collateral.parse(written(members() | {name: value}))


# --- chains and signatures -----------------------------------------------------------


def test_chains_may_stand_in_any_order(machine: Pck) -> None:
    file = members()
    file["tcb_info_issuer_chain"] = SIMULATOR.pem("root", "tcb")
    file["pck_crl_issuer_chain"] = SIMULATOR.pem("root", "ca")
    assert verify(file, machine) == verify(members(), machine)


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_a_text_of_another_intel_is_refused(machine: Pck, name: str) -> None:
    names = (name, f"{name}_signature", f"{name}_issuer_chain")
    theirs = members(OTHER)
    file = members() | {one: theirs[one] for one in names}
    with pytest.raises(VerificationError, match=r"issuer chain of .* trusted root"):
        verify(file, machine)
    # Their key, under our root's certificate; and their text, under our chain.
    file[names[2]] = OTHER.pem("tcb") + SIMULATOR.pem("root")
    with pytest.raises(VerificationError, match=r"issuer chain of .* does not hold"):
        verify(file, machine)
    file[names[2]] = SIMULATOR.pem("tcb", "root")
    with pytest.raises(VerificationError, match="its signature is not by the key of"):
        verify(file, machine)


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_both_signatures_are_of_their_own_texts(machine: Pck, name: str) -> None:
    file = members()
    other = {"tcb_info": "qe_identity", "qe_identity": "tcb_info"}[name]
    file[f"{name}_signature"] = file[f"{other}_signature"]
    with pytest.raises(VerificationError, match="its signature is not by the key of"):
        verify(file, machine)
    for bad in ("00" * 64, "ff" * 64, "00" * 32 + file[f"{other}_signature"][64:]):
        with pytest.raises(VerificationError, match="its signature is not by the key"):
            verify(file | {f"{name}_signature": bad}, machine)


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_another_certificate_of_intels_signs_no_statements(name: str) -> None:
    profile = replace(CERTIFICATES["tcb"], common_name="Intel SGX Something Else")
    simulator = Simulator(
        b"tests of collateral", certificates={**CERTIFICATES, "else": profile}
    )
    file = members(simulator)
    file[f"{name}_signature"] = signed_by(simulator, file[name], "else")
    file[f"{name}_issuer_chain"] = simulator.pem("else", "root")
    words = r"expected Intel SGX TCB Signing to sign it, found 'Intel SGX Something"
    with pytest.raises(VerificationError, match=words):
        verify(file, machine_of(simulator))


@pytest.mark.parametrize("name", ["ca", "pck"])
def test_neither_a_ca_nor_a_machine_signs_statements(machine: Pck, name: str) -> None:
    # A machine's key signs what its host likes.
    file = members()
    file["tcb_info_signature"] = signed_by(SIMULATOR, file["tcb_info"], name)
    file["tcb_info_issuer_chain"] = SIMULATOR.pem(name, "root")
    with pytest.raises(VerificationError, match="issuer chain of TCB info: "):
        verify(file, machine)


SIGN = key_usage("digital_signature")
END = x509.BasicConstraints(ca=False, path_length=None)


@pytest.mark.parametrize(
    "extensions",
    [
        ((SIGN, True),),
        ((END, True),),
        ((key_usage("key_agreement"), True), (END, True)),
        ((SIGN, True), (x509.BasicConstraints(ca=True, path_length=0), True)),
        ((SIGN, True), (END, True), (x509.OCSPNoCheck(), True)),
    ],
)
def test_the_signing_certificate_has_to_be_one(extensions: Extensions) -> None:
    tcb = replace(CERTIFICATES["tcb"], extensions=extensions)
    simulator = Simulator(b"s", certificates={**CERTIFICATES, "tcb": tcb})
    with pytest.raises(VerificationError, match="issuer chain of TCB info: "):
        verify(members(simulator), machine_of(simulator))


def test_the_list_of_another_ca_says_nothing_of_this_machine() -> None:
    ca = replace(CERTIFICATES["ca"], common_name="Intel SGX PCK Platform CA")
    simulator = Simulator(
        b"tests of collateral", certificates={**CERTIFICATES, "ca": ca}
    )
    words = (
        r"PCK CRL is of another CA: expected Intel SGX PCK Platform CA, found"
        r" 'Intel SGX PCK Processor CA, Intel SGX Root CA': get collateral for this"
    )
    with pytest.raises(UncheckedError, match=words):
        verify(members(), machine_of(simulator))


def test_a_ca_of_the_right_name_has_to_be_the_right_one(machine: Pck) -> None:
    file = members()
    for chain in (
        OTHER.pem("ca", "root"),
        OTHER.pem("ca") + SIMULATOR.pem("root"),
        SIMULATOR.pem("ca") + OTHER.pem("root"),
    ):
        with pytest.raises(VerificationError, match="the PCK CRL's issuer chain: "):
            verify(file | {"pck_crl_issuer_chain": chain}, machine)


# --- dates ---------------------------------------------------------------------------


def test_it_holds_within_its_dates_and_not_beyond(machine: Pck) -> None:
    ends = NOW + 30 * DAY
    for now in (NOW, ends):
        verify(members(), machine, now)
    for now in (NOW - 1, ends + 1):
        with pytest.raises(
            UncheckedError, match=r"^TCB info is of 2026-11-23T07:00:00"
        ):
            verify(members(), machine, now)


def test_clocks_may_differ_by_the_skew(machine: Pck) -> None:
    ends = NOW + 30 * DAY
    for now in (NOW - 60, ends + 60):
        verify(members(), machine, now, skew=60)
    for now in (NOW - 61, ends + 61):
        with pytest.raises(UncheckedError):
            verify(members(), machine, now, skew=60)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("tcb_info", "TCB info"),
        ("qe_identity", "QE identity"),
        ("pck_crl", "PCK CRL"),
        ("root_ca_crl", "root CRL"),
    ],
)
def test_no_part_may_be_out_of_date(machine: Pck, part: str, what: str) -> None:
    for days in (-31, 1):
        other = members(issued=NOW + days * DAY)
        names = [name for name in other if name.startswith(part)]
        file = members() | {name: other[name] for name in names}
        with pytest.raises(
            UncheckedError, match=f"^{what} is of .* get the collateral"
        ):
            verify(file, machine)
    shorter = members(days=3)
    names = [name for name in shorter if name.startswith(part)]
    file = members() | {name: shorter[name] for name in names}
    assert verify(file, machine).ends == NOW + 3 * DAY


@pytest.mark.parametrize(
    ("chain", "one"),
    [
        ("tcb_info_issuer_chain", "tcb"),
        ("qe_identity_issuer_chain", "tcb"),
        ("pck_crl_issuer_chain", "ca"),
    ],
)
def test_no_certificate_may_be_out_of_date(machine: Pck, chain: str, one: str) -> None:
    # One seed: other certificates of the same keys.
    for begins, ends in ((NOW - DAY, NOW - 1), (NOW + 1, NOW + DAY)):
        profile = replace(CERTIFICATES[one], begins=begins, ends=ends)
        others = Simulator(
            b"tests of collateral", certificates={**CERTIFICATES, one: profile}
        )
        file = members() | {chain: others.pem(one, "root")}
        words = f"^the certificate of '{profile.common_name}' is of "
        with pytest.raises(UncheckedError, match=words):
            verify(file, machine, skew=600)
        verify(file, machine, NOW - 1 if begins < NOW else NOW + 1, skew=600)


def test_up_to_when_it_holds_is_known_before_it_is_verified() -> None:
    period = collateral.parse(written(members(days=3))).period()
    assert (period.begins, period.ends) == (NOW, NOW + 3 * DAY)
    tcb = replace(CERTIFICATES["tcb"], begins=NOW + 1, ends=NOW + DAY)
    simulator = Simulator(b"s", certificates={**CERTIFICATES, "tcb": tcb})
    period = collateral.parse(written(members(simulator))).period()
    assert (period.begins, period.ends) == (NOW + 1, NOW + DAY)


# --- genuine collateral --------------------------------------------------------------

THEN = parse_time("2025-06-20T12:00:00Z")


@pytest.fixture(scope="module")
def genuine(vectors: Path) -> tuple[Members, Pck]:
    folder = vectors / "sgx"
    root = (folder / "fortanix_root_SGX_CA.der").read_bytes()
    found = quote.parse((folder / "phala_sgx_quote.bin").read_bytes())
    file = json.loads((folder / "phala_sgx_quote_collateral.json").read_bytes())
    return file, pck.verify(found.certificates, (root,), THEN)


def test_genuine_collateral_holds(genuine: tuple[Members, Pck]) -> None:
    file, machine = genuine
    found = verify(file, machine, THEN)
    assert (found.tcb_info.fmspc, found.tcb_info.pce_id) == ("00A067110000", "0000")
    assert found.ends == parse_time("2025-07-19T10:01:18Z")
    assert found.check_revocation(machine) == (
        "none of the certificates, where Intel SGX PCK Processor CA has revoked 0 and"
        " Intel SGX Root CA 0"
    )


@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_no_byte_of_a_genuine_text_may_change(
    genuine: tuple[Members, Pck], name: str
) -> None:
    file, machine = genuine
    text = file[name]
    for at in range(0, len(text), 11):
        changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        with pytest.raises(VerificationError, match="its signature is not by the key"):
            verify(file | {name: changed}, machine, THEN)


def test_no_byte_of_a_genuine_file_may_change(genuine: tuple[Members, Pck]) -> None:
    file, machine = genuine
    data = json.dumps(file, separators=(",", ":")).encode()
    trust = Trust((), THEN)
    for at in range(3, len(data), 23):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(PcrlogError):  # noqa: PT012 - whichever of them refuses it
            found = collateral.parse(changed).verify(machine, trust)
            found.check_revocation(machine)


@pytest.mark.parametrize(
    ("name", "member", "file"),
    [
        ("TCB info", "tcbInfo", "oasis_tcb_info_v3_00606A000000.json"),
        ("QE identity", "enclaveIdentity", "oasis_qe_identity_v2.json"),
    ],
)
def test_what_intels_service_answers_is_signed(
    vectors: Path, name: str, member: str, file: str
) -> None:
    folder = vectors / "sgx"
    raw = (folder / file).read_text().strip()
    text = raw.removeprefix(f'{{"{member}":').partition(',"signature":"')[0]
    signature = json.loads(raw)["signature"]
    chain, bad = (
        (folder / f"oasis_tcb_signing_certs{which}.pem").read_text()
        for which in ("", "_bad")
    )
    root = x509.load_der_x509_certificate(
        (folder / "fortanix_root_SGX_CA.der").read_bytes()
    )
    then = parse_time("2023-01-01T00:00:00Z")
    assert signed.parse(name, text, signature, chain).verify(root, then).subject
    with pytest.raises(VerificationError, match="its signature is not by the key of"):
        signed.parse(name, text + " ", signature, chain).verify(root, then)
    with pytest.raises(VerificationError, match=f"issuer chain of {name}: "):
        signed.parse(name, text, signature, bad).verify(root, then)


@pytest.mark.parametrize(
    "member", ["tcb_info_issuer_chain", "qe_identity_issuer_chain"]
)
def test_a_year_that_python_does_not_have_is_no_date(member: str) -> None:
    late = replace(CERTIFICATES["tcb"], ends=parse_time("2051-01-01T00:00:00Z"))
    made = Simulator(b"year 0", certificates={**CERTIFICATES, "tcb": late})
    der = made.certificates["tcb"].replace(b"20510101000000Z", b"00000101000000Z")
    file = {**members(), member: pem.write(der) + SIMULATOR.pem("root")}
    with pytest.raises(MalformedError, match="year 0 is out of range"):
        collateral.parse(written(file))
