"""`pcrlog show-attestation`: any document, for people; unverified until it is."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from pcrlog.attestation import ATTESTING
from pcrlog.encoding import format_time
from pcrlog.pccs import until
from tests.support import machines
from tests.support.machines import SGX, SGX_RULES, TPM, TPM_RULES
from tests.support.memory_log import START
from tests.support.scene import DAY, SIMULATOR, document, pem
from tests.unit.attestation.genuine import load
from tests.unit.cli.world import Ran, World

NITRO = "aws-nitro"
THEN = f"--at {format_time(START)}"
DOCUMENTS = {
    NITRO: document(),
    TPM: machines.attested(),
    SGX: machines.quote(),
}
ROOTS = {
    NITRO: {"roots": [pem(SIMULATOR.root_der)]},
    TPM: TPM_RULES,
    SGX: SGX_RULES,
}
GIVEN = {NITRO: "", TPM: "", SGX: "--collateral collateral.json"}


@pytest.fixture
def shown(world: World) -> World:
    """A document of each platform, and a policy that trusts all of them."""
    for name, data in DOCUMENTS.items():
        world.write(name, data)
    world.write("collateral.json", machines.collateral())
    text = world.scene.policy_text(platforms={SGX: SGX_RULES, TPM: TPM_RULES})
    world.write("policy.toml", text.encode())
    return world


def as_json(world: World, *words: str) -> tuple[int, dict[str, object]]:
    ran = world.run("show-attestation", *words, "--json")
    found: dict[str, object] = json.loads(ran.out)
    return ran.status, found


def steps(found: dict[str, object]) -> dict[str, str]:
    rows = found["steps"]
    assert isinstance(rows, list)
    return {row["check"]: row["status"] for row in rows}


def show(world: World, *words: str) -> Ran:
    return world.run("show-attestation --policy policy.toml", *words)


def test_every_platform_is_here() -> None:
    assert {*DOCUMENTS} == {*ATTESTING}


@pytest.mark.parametrize("name", ATTESTING)
def test_a_document_is_genuine_when_all_its_steps_are_taken(
    shown: World, name: str
) -> None:
    ran = show(shown, name, GIVEN[name])
    assert ran.status == 0
    assert ran.out.startswith(f"GENUINE: a machine of {name} signed this")
    assert "? " not in ran.out
    assert "pcrlog verify" in ran.out
    status, found = as_json(shown, f"{name} --policy policy.toml", GIVEN[name])
    assert (status, found["genuine"], found["platform"]) == (0, True, name)
    assert {*steps(found).values()} == {"pass"}


@pytest.mark.parametrize("name", ATTESTING)
@pytest.mark.parametrize("form", ["hex", "base64"])
def test_a_document_may_be_text(shown: World, name: str, form: str) -> None:
    data = DOCUMENTS[name]
    text = data.hex().encode() if form == "hex" else b64encode(data)
    shown.write("text", text + b"\n")
    lines = show(shown, name).out
    assert show(shown, "text").out == lines


@pytest.mark.parametrize("name", ATTESTING)
def test_under_a_root_that_nobody_named_it_is_unverified(
    shown: World, name: str
) -> None:
    """The vendor's own roots are trusted where no policy is given."""
    ran = shown.run(f"show-attestation {name}")
    assert ran.status == 4
    assert ran.out.startswith(f"UNVERIFIED: what a document of {name} claims")
    assert "FAIL document.chain" in ran.out
    assert "document.signature" in ran.out
    assert "document.collateral" not in ran.out


def test_what_a_document_claims_is_shown(shown: World) -> None:
    enclave = show(shown, SGX).out
    assert f"MRENCLAVE    sha256:{'e1' * 32}" in enclave
    assert "ISVPRODID    1" in enclave
    assert "ISVSVN       2" in enclave
    assert f"{b'the nonce that we sent'.hex()}{'00' * 10}" in enclave
    instance = show(shown, TPM).out
    blank = " ".join(instance.split())
    assert f"PCR4 sha384:{'b4' * 24}" in blank
    # What says nothing takes one line.
    zero = ", ".join(f"PCR{n}" for n in range(17) if n not in {4, 7})
    assert f"all zero {zero}, PCR23" in blank
    assert "all ones PCR17, PCR18, PCR19, PCR20, PCR21, PCR22" in blank


def test_a_quote_without_collateral_is_not_called_genuine(shown: World) -> None:
    ran = show(shown, SGX)
    assert ran.status == 0
    assert ran.out.startswith("UNVERIFIED")
    assert "?    document.collateral" in ran.out
    assert "--collateral FILE" in " ".join(ran.out.split())
    _, found = as_json(shown, f"{SGX} --policy policy.toml")
    assert found["genuine"] is False
    assert list(steps(found).values()) == ["pass"] * 3 + ["unchecked"] * 4


def test_collateral_is_judged_at_the_time_that_is_given(shown: World) -> None:
    given = GIVEN[SGX]
    shown.log.now += 40 * DAY
    late = show(shown, SGX, given)
    assert late.status == 0
    assert "?    document.collateral" in late.out
    assert show(shown, SGX, given, THEN).out.startswith("GENUINE")


def test_what_the_policy_accepts_of_a_machine_counts(shown: World) -> None:
    old = machines.collateral(status="OutOfDate", advisories=("INTEL-SA-00615",))
    shown.write("collateral.json", old)
    ran = show(shown, SGX, GIVEN[SGX])
    assert ran.status == 4
    assert "FAIL document.tcb" in ran.out
    assert ran.out.startswith("UNVERIFIED")
    more = {"tcb": ["OutOfDate"], "advisories": ["INTEL-SA-00615"]}
    text = shown.scene.policy_text(platforms={SGX: {**SGX_RULES, **more}})
    shown.write("policy.toml", text.encode())
    assert show(shown, SGX, GIVEN[SGX]).status == 0


def test_a_policy_that_says_nothing_of_a_platform_leaves_the_makers_roots(
    shown: World,
) -> None:
    shown.write("policy.toml", shown.scene.policy_text().encode())
    assert show(shown, NITRO).status == 0
    assert show(shown, TPM).status == 4


def test_a_debug_enclave_is_told_of(shown: World) -> None:
    shown.write("debug", machines.quote(debug=True))
    assert "DEBUG" in show(shown, "debug").out
    shown.write("debug", document(debug=True))
    ran = show(shown, "debug")
    assert "all zero" in ran.out


def test_a_changed_document_is_no_longer_genuine(shown: World) -> None:
    for name, data in DOCUMENTS.items():
        place = data.index(bytes.fromhex("e1" * 8)) if name == SGX else len(data) - 9
        changed = bytearray(data)
        changed[place] ^= 1
        shown.write("changed", bytes(changed))
        ran = show(shown, "changed")
        assert ran.status == 4, name
        assert "FAIL document.signature" in ran.out


@pytest.mark.parametrize("name", ATTESTING)
def test_the_platform_may_be_said(shown: World, name: str) -> None:
    for said in ATTESTING:
        ran = show(shown, name, f"--platform {said}")
        assert ran.status == (0 if said == name else 2)
        assert (f"error: {name}: " in ran.err) is (said != name)


@pytest.mark.parametrize(
    "words",
    [
        "garbage",
        "empty",
        "beginning",
        "large",
        "missing",
        f"{SGX} --platform artifact",
        f"{SGX} --platform sgx",
        f"{SGX} --at yesterday",
        f"{SGX} --collateral missing",
        f"{SGX} --policy garbage",
    ],
)
def test_what_is_none_is_a_usage_error(shown: World, words: str) -> None:
    shown.write("garbage", b"hello")
    shown.write("empty", b"")
    shown.write("beginning", DOCUMENTS[SGX][:64])
    shown.write("large", DOCUMENTS[SGX] + bytes(100_000))
    ran = shown.run(f"show-attestation {words}")
    assert (ran.status, ran.out) == (2, "")
    assert "Traceback" not in ran.err


def test_collateral_that_is_none_is_refused(shown: World) -> None:
    shown.write("collateral.json", b"{}")
    ran = show(shown, SGX, GIVEN[SGX])
    assert ran.status == 4
    assert "FAIL document.collateral" in ran.out


# --- what others made -----------------------------------------------------------------


def genuine_quotes(vectors: Path) -> list[Path]:
    """Those that INDEX.md calls valid to Intel's root."""
    rows = (vectors / "sgx" / "INDEX.md").read_text().splitlines()
    cells = [row.split(" | ") for row in rows if "| VALID to Intel root" in row]
    return [vectors / "sgx" / row[0].strip("| ") for row in cells]


def test_genuine_quotes_are_shown(world: World, vectors: Path) -> None:
    paths = genuine_quotes(vectors)
    assert len(paths) == 5
    for path in paths:
        ran = world.run(f"show-attestation {path} --at 2024-06-01T00:00:00Z --json")
        found = json.loads(ran.out)
        assert found["platform"] == SGX, path
        assert [*steps(found).values()][:3] == ["pass"] * 3, path
        assert found["genuine"] is False


def test_a_genuine_quote_with_its_collateral_says_what_is_wrong_with_the_machine(
    world: World, vectors: Path
) -> None:
    quote = vectors / "sgx" / "phala_sgx_quote.bin"
    file = vectors / "sgx" / "phala_sgx_quote_collateral.json"
    then = format_time(until(file.read_bytes()) - 1)
    ran = world.run(f"show-attestation {quote} --collateral {file} --at {then}")
    assert ran.status == 4
    told = " ".join(ran.out.split())
    assert "ok document.collateral" in told
    assert "FAIL document.tcb" in told
    assert "ConfigurationAndSWHardeningNeeded" in told


def test_genuine_documents_of_aws_are_shown(world: World, vectors: Path) -> None:
    seen = set()
    for case in load(vectors):
        if case.expected["expect"] == "REJECT":
            continue
        path = world.write("doc", case.data)
        status, found = as_json(world, str(path))
        assert (status, found["genuine"]) == (0, True), case.name
        seen.add(found["platform"])
    assert {*seen} >= {NITRO}


def test_a_genuine_document_of_an_instance_is_shown(
    world: World, vectors: Path
) -> None:
    path = vectors / "nitro" / "nitrotpm_vaportpm_2026-02.cbor"
    ran = world.run(f"show-attestation {path}")
    assert ran.status == 0
    assert ran.out.startswith(f"GENUINE: a machine of {TPM} signed this")


def test_bad_documents_are_not_genuine(world: World, vectors: Path) -> None:
    for name, status in (
        ("nitro/neg_fortanix_tampered_certificate.cbor", 2),
        ("nitro/neg_veracruz_bad_sig.cbor", 4),
        ("nitro/neg_oyster_custom_untrusted_root.cbor", 4),
        ("sgx/fortanix_quote_pck_cert_chain_corrupted.bin", 4),
    ):
        ran = world.run(f"show-attestation {vectors / name}")
        assert ran.status == status, (name, ran.err)
        assert "GENUINE" not in ran.out
