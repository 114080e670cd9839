"""`pcrlog verify` and `identify` beside AWS's enclaves: collateral, above all.

It comes from a file, or from the service that the policy names; and what was verified
of it is kept in the state directory.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.attested import trust_of
from cli.options import load_policy
from cli.state import State
from pcrlog import limits
from pcrlog.attestation import roots
from pcrlog.attestation.sgx.simulator import Enclave
from pcrlog.errors import UsageError
from pcrlog.predicates import Binding
from tests.support import machines
from tests.support.machines import (
    ENCLAVE,
    INSTANCE,
    NUMBERS,
    OTHER_ENCLAVE,
    SGX,
    SGX_RULES,
    TPM,
    TPM_RULES,
)
from tests.support.memory_log import START
from tests.support.pccs_server import Answer, Pccs
from tests.support.scene import DAY, EVERY_SCOPE, NONCE, PRODUCT, Members, document
from tests.unit.cli.world import World

BOTH = {"platforms": [SGX, TPM], "auditors": EVERY_SCOPE}
VERIFY = f"verify --policy policy.toml --product {PRODUCT}"
QUOTE = f"{VERIFY} --attestation quote --nonce {NONCE.hex().ljust(64, '0')}"
FILE = "--collateral collateral.json"
OWN = ("document.collateral", "document.revocation", "document.qe-identity")
TCB = "document.tcb"


class Machines:
    """A world in which an SGX enclave and an instance run what was released."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.release = world.scene.release(
            image=ENCLAVE,
            platform=SGX,
            numbers=NUMBERS,
            binding=Binding("public_key", "tls-spki-sha256"),
        )
        world.scene.release("2.0.0", image=INSTANCE, platform=TPM)
        world.log.seal()
        world.write("quote", machines.quote())
        world.write("instance", machines.attested())
        self.renew()
        self.demand()

    def renew(self, **word: Any) -> None:
        """What the maker publishes, as a file."""
        data = machines.collateral(self.world.log.now, **word)
        self.world.write("collateral.json", data)

    def demand(self, product: Members | None = None, **rules: object) -> None:
        """A policy that trusts both, with these rules for SGX."""
        text = self.world.scene.policy_text(
            log={
                "url": "https://log.example/pcr",
                "witnesses": "none",
                "index_monitors": "none",
            },
            platforms={SGX: {**SGX_RULES, **rules}, TPM: TPM_RULES},
            product={**BOTH, **(product or {})},
        )
        self.world.write("policy.toml", text.encode())

    def report(self, *words: str) -> dict[str, Any]:
        ran = self.world.run(*words, "--json")
        found: dict[str, Any] = json.loads(ran.out)
        return {**found, "exit": ran.status, "remarks": ran.err}

    def kept(self) -> list[Path]:
        return sorted((self.world.folder / "state" / "collateral").glob("*"))


@pytest.fixture
def here(world: World) -> Machines:
    return Machines(world)


@pytest.fixture
def service(here: Machines) -> Iterator[Pccs]:
    """A PCCS, which the policy names."""
    with Pccs(machines.collateral()) as made:
        here.demand(pccs=made.url)
        yield made


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["status"] for one in found["checks"]}


def found(report: dict[str, Any], check: str) -> str:
    [words] = [one["found"] for one in report["checks"] if one["id"] == check]
    return str(words)


# --- collateral from a file ----------------------------------------------------------


def test_an_enclave_verifies_with_its_makers_word(here: Machines) -> None:
    report = here.report(QUOTE, FILE)
    assert (report["exit"], report["platform"]) == (0, SGX)
    assert report["ground"] == "separate"
    assert {statuses(report)[check] for check in (*OWN, TCB)} == {"pass"}


def test_without_it_it_could_not_be_checked(here: Machines) -> None:
    report = here.report(QUOTE)
    assert report["exit"] == 3
    assert {statuses(report)[check] for check in (*OWN, TCB)} == {"unchecked"}
    # Nobody is asked where the policy says not whom.
    assert report["remarks"] == ""
    assert here.kept() == []


def test_the_policy_may_go_without(here: Machines) -> None:
    here.demand(collateral="optional")
    report = here.report(QUOTE)
    assert report["exit"] == 0
    assert statuses(report)[TCB] == "unchecked"
    # What is given still counts.
    here.renew(status="OutOfDate")
    assert here.report(QUOTE, FILE)["exit"] == 4


def test_the_policy_says_which_machines_will_do(here: Machines) -> None:
    here.renew(status="SWHardeningNeeded", advisories=("INTEL-SA-00615",))
    refused = here.report(QUOTE, FILE)
    assert refused["exit"] == 4
    assert "SWHardeningNeeded" in found(refused, TCB)
    assert "INTEL-SA-00615" in found(refused, TCB)
    here.demand(tcb=["UpToDate", "SWHardeningNeeded"])
    assert "INTEL-SA-00615" in found(here.report(QUOTE, FILE), TCB)
    here.demand(tcb=["SWHardeningNeeded"], advisories=["INTEL-SA-00615"])
    assert here.report(QUOTE, FILE)["exit"] == 0


def test_a_file_that_is_not_there_is_a_usage_error(here: Machines) -> None:
    assert here.world.run(QUOTE, "--collateral missing").status == 2
    here.world.write("collateral.json", bytes(limits.COLLATERAL + 1))
    assert here.world.run(QUOTE, FILE).status == 2


def test_an_enclave_of_other_numbers_is_not_what_was_released(here: Machines) -> None:
    here.world.write("quote", machines.quote(numbers={**NUMBERS, "ISVSVN": 1}))
    assert here.report(QUOTE, FILE)["exit"] == 4
    here.world.write("quote", machines.quote(OTHER_ENCLAVE))
    assert here.report(QUOTE, FILE)["exit"] == 4


# --- from a service ------------------------------------------------------------------


def test_it_is_had_from_the_service_of_the_policy_and_kept(
    here: Machines, service: Pccs
) -> None:
    assert here.report(QUOTE)["exit"] == 0
    asked = len(service.asked)
    assert asked == 4
    [kept] = here.kept()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert here.report(QUOTE)["exit"] == 0
    assert len(service.asked) == asked


def test_a_file_is_taken_before_the_service(here: Machines, service: Pccs) -> None:
    here.renew(status="OutOfDate")
    assert here.report(QUOTE, FILE)["exit"] == 4
    assert service.asked == []


def test_a_service_that_does_not_answer_is_told_of(
    here: Machines, service: Pccs
) -> None:
    service.answers.clear()
    report = here.report(QUOTE)
    assert report["exit"] == 3
    assert "no collateral" in " ".join(report["remarks"].split())
    assert here.kept() == []


def test_what_was_kept_will_do_while_it_holds(here: Machines, service: Pccs) -> None:
    assert here.report(QUOTE)["exit"] == 0
    service.answers.clear()
    here.world.log.now += 2 * DAY
    here.world.log.seal()
    assert here.report(QUOTE)["exit"] == 0
    assert len(service.asked) > 4
    here.world.log.now += 30 * DAY
    here.world.log.seal()
    assert here.report(QUOTE)["exit"] == 3


def test_what_does_not_hold_is_not_kept(here: Machines, service: Pccs) -> None:
    old = machines.collateral(START - 40 * DAY)
    with Pccs(old) as other:
        here.demand(pccs=other.url)
        assert here.report(QUOTE)["exit"] == 3
    assert here.kept() == []


def test_with_a_bundle_nobody_is_asked(here: Machines, service: Pccs) -> None:
    here.world.write("build", json.dumps(machines.hexes(ENCLAVE)).encode())
    words = f"--policy policy.toml --product {PRODUCT} --measurements build -o bundle"
    assert here.world.run(f"bundle {words}").status == 0
    assert here.report(QUOTE, "--bundle bundle")["exit"] == 3
    assert service.asked == []
    assert here.report(QUOTE, "--bundle bundle", FILE)["exit"] == 0


def test_nobody_is_asked_about_what_is_no_genuine_quote(
    here: Machines, service: Pccs
) -> None:
    data = bytearray(machines.quote())
    data[100] ^= 1
    here.world.write("quote", bytes(data))
    assert here.report(QUOTE)["exit"] == 4
    here.world.write("quote", b"hello")
    assert here.report(QUOTE)["exit"] == 4
    assert service.asked == []


def test_an_answer_of_nonsense_is_told_of(here: Machines, service: Pccs) -> None:
    for path in service.answers:
        service.answers[path] = Answer(b"hello")
    report = here.report(QUOTE)
    assert report["exit"] == 3
    assert "no collateral" in report["remarks"]


# --- platforms -----------------------------------------------------------------------


def test_which_platform_it_is_is_told_from_the_bytes(here: Machines) -> None:
    words = f"{VERIFY} --attestation instance --nonce {NONCE.hex()}"
    report = here.report(words)
    assert (report["exit"], report["platform"]) == (0, TPM)
    assert report["version"] == "2.0.0"


def test_the_platform_may_be_said(here: Machines) -> None:
    assert here.report(QUOTE, FILE, f"--platform {SGX}")["exit"] == 0
    report = here.report(QUOTE, FILE, f"--platform {TPM}")
    assert (report["exit"], statuses(report)["document.form"]) == (4, "fail")


@pytest.mark.parametrize("name", ["aws-nitro", "artifact", "sgx"])
def test_a_platform_on_which_the_product_is_not_is_a_usage_error(
    here: Machines, name: str
) -> None:
    ran = here.world.run(QUOTE, FILE, f"--platform {name}")
    assert ran.status == 2
    assert "expected" in ran.err


# --- identify ------------------------------------------------------------------------


def test_a_quote_is_called_what_was_released(here: Machines) -> None:
    ran = here.world.run("identify quote --policy policy.toml")
    assert ran.status == 0
    assert ran.err.count("not checked: document.") == 4
    assert f"release {PRODUCT} 1.4.2" in ran.out
    assert "VERIFIED" not in ran.out
    ran = here.world.run("identify instance --policy policy.toml")
    assert f"release {PRODUCT} 2.0.0" in ran.out


def test_a_debug_quote_is_called_one(here: Machines) -> None:
    here.world.write("quote", machines.quote(debug=True))
    ran = here.world.run("identify quote --policy policy.toml")
    assert ran.status == 0
    assert "its host can read its memory" in " ".join(ran.err.split())


def test_a_quote_of_another_root_is_refuted(here: Machines) -> None:
    ran = here.world.run("identify quote --log https://log.example/pcr")
    assert ran.status == 4
    here.world.write("quote", b"hello")
    assert here.world.run("identify quote --policy policy.toml").status == 4


def test_a_quote_without_certificates_could_not_be_checked(here: Machines) -> None:
    enclave = Enclave(b"M" * 32)
    data = machines.SGX_SIMULATOR.quote(enclave, certification=3)
    here.world.write("quote", data)
    ran = here.world.run("identify quote --policy policy.toml")
    assert ran.status == 3
    assert "document.chain" in ran.err


# --- what it rests on, and where it is kept ------------------------------------------


def test_trust_is_the_policys_or_else_the_vendors(here: Machines) -> None:
    assert trust_of(SGX, None, START, None).roots == tuple(roots.builtin(SGX))
    here.demand(tcb=["OutOfDate"], advisories=["INTEL-SA-00615"])
    policy = load_policy("policy.toml")
    found = trust_of(SGX, policy, START, "collateral.json")
    assert found.roots == (machines.SGX_SIMULATOR.root_der,)
    assert found.collateral == (here.world.folder / "collateral.json").read_bytes()
    assert (found.tcb, found.advisories) == (("OutOfDate",), ("INTEL-SA-00615",))
    assert (found.now, found.skew) == (START, policy.clock_skew)
    here.world.write_policy()
    unnamed = trust_of(SGX, load_policy("policy.toml"), START, None)
    assert unnamed.roots == tuple(roots.builtin(SGX))
    with pytest.raises(UsageError):
        trust_of(SGX, None, START, "missing")


def test_collateral_is_kept_by_name(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    assert state.recall_collateral("a.json") is None
    state.remember_collateral("a.json", b"one")
    state.remember_collateral("a.json", b"two")
    assert state.recall_collateral("a.json") == b"two"
    kept = tmp_path / "state" / "collateral" / "a.json"
    kept.write_bytes(bytes(limits.COLLATERAL + 1))
    assert state.recall_collateral("a.json") is None


def test_a_state_that_cannot_be_written_says_so(
    here: Machines, service: Pccs, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UsageError, match="cannot remember"):
        State(str(tmp_path / "state")).remember_collateral("a.json", b"one")


def test_what_cannot_be_kept_is_used_nevertheless(
    here: Machines, service: Pccs
) -> None:
    (here.world.folder / "state").write_text("a file")
    report = here.report(QUOTE)
    assert report["exit"] == 0
    assert "cannot remember" in report["remarks"]


def test_an_enclave_of_aws_is_not_asked_about(here: Machines, service: Pccs) -> None:
    """Where a product is on several platforms, the document says which it is."""
    here.demand({"platforms": [SGX, "aws-nitro"]}, pccs=service.url)
    here.world.write("quote", document())
    assert here.report(f"{VERIFY} --attestation quote --nonce {NONCE.hex()}")
    assert service.asked == []


def test_a_quote_without_certificates_has_them_in_its_collateral(
    here: Machines,
) -> None:
    it = machines.SGX_SIMULATOR
    enclave = Enclave(
        bytes.fromhex("e1" * 32),
        isv_prod_id=NUMBERS["ISVPRODID"],
        isv_svn=NUMBERS["ISVSVN"],
        report_data=NONCE,
    )
    here.world.write("quote", it.quote(enclave, certification=3))
    assert here.report(QUOTE, FILE)["exit"] == 3
    here.renew(pck_chain=True)
    report = here.report(QUOTE, FILE)
    assert (report["exit"], report["headline"][:8]) == (0, "VERIFIED")


@pytest.mark.parametrize(
    "measurement",
    [
        f"aws-nitrotpm/PCR12=sha384:{'0' * 96},PCR4=sha384:{'b4' * 48}",
        f"aws-nitrotpm/PCR4=sha384:{'b4' * 48}",
        f"aws-nitro/PCR1=sha384:{'b4' * 48}",
    ],
)
def test_a_measurement_that_nothing_has_is_not_looked_up(
    world: World, measurement: str
) -> None:
    ran = world.run(f"lookup --policy policy.toml --measurement {measurement}")
    assert ran.status == 2
    assert "expected aws-nitro" in ran.err
