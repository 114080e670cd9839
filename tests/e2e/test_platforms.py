"""Hardware beside AWS's enclaves, end to end: SGX enclaves, and instances with a TPM.

A real log, real commands, and a simulated machine that answers over TLS: a provider
releases what its tools printed, an auditor confirms it, a user verifies it live; then
all that speaks against it, and the revocation.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.enclave import SEED
from demo.stage import Stage, free_ports
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulator import Simulator
from pcrlog.enclave import fetch_attestation
from pcrlog.measurement import PLATFORMS
from tests.e2e.served import Served
from tests.support.pccs_server import Pccs, answers
from tests.support.scene import toml
from tests.support.sigstructs import signer
from tests.unit.log_server.parties import COMMIT, PRODUCT, Log, Party

pytestmark = pytest.mark.e2e

SGX, TPM = "intel-sgx", "aws-nitrotpm"
SOURCE = (
    f"--source https://git.example/wallet --commit {COMMIT}"
    " --recipe recipe.txt --recipe-uri https://git.example/recipe.txt"
)
POLICY = "policy.toml"
HOUR = 3600


def gramine(mrenclave: str, svn: int = 2) -> str:
    """What gramine-sgx-sigstruct-view says, as JSON."""
    return json.dumps(
        {
            "mr_signer": "a5" * 32,
            "mr_enclave": mrenclave,
            "isv_prod_id": 1,
            "isv_svn": svn,
            "debug_enclave": False,
        }
    )


def computed(pcr4: str, **more: str) -> str:
    """What nitro-tpm-pcr-compute says of an image."""
    measured = {"HashAlgorithm": "SHA384 { ... }", "PCR4": pcr4, "PCR7": "7c" * 48}
    return json.dumps({"Measurements": {**measured, "PCR12": "00" * 48, **more}})


class Field:
    """A folder with keys and a policy, a log, and one machine that answers."""

    def __init__(self, stage: Stage, log: Log, start: Callable[..., Served]) -> None:
        self.stage = stage
        self.folder = stage.folder
        [self.port] = free_ports(1)
        self.machine: Any = None
        stage.write("recipe.txt", "nix build\n")
        self._keep(log.enrol("acme.example", "provider"))
        self._keep(log.enrol("lab.example", "auditor"))
        url, folder = f"http://127.0.0.1:{start().port}", log.config.directory
        self.run(f"pcrlog-server policy {folder} --url {url} -o base.toml")

    def _keep(self, party: Party) -> None:
        path = self.folder / f"{party.name.partition('.')[0]}.key"
        path.touch(0o600)
        path.write_bytes(party.key.to_pem())

    def run(self, command: str, expect: int = 0) -> str:
        return self.stage.run(command, expect=expect)

    def demand(self, platform: str, *words: str, **rules: object) -> None:
        """Write the policy anew, on one platform, with these rules for it."""
        root = (self.folder / "root.pem").read_text()
        table = {"roots": [root], **rules}
        rows = (f"{name} = {toml(value)}\n" for name, value in table.items())
        text = (self.folder / "base.toml").read_text()
        text += f"\n[platforms.{platform}]\n{''.join(rows)}"
        (self.folder / POLICY).write_text(text)
        demands = " ".join(words)
        self.run(
            f"pcrlog policy add {POLICY} {PRODUCT} --platform {platform}"
            f" --auditor lab.example:reproduction --links 1,2,3 {demands}"
        )

    def boot(self, build: str, *words: str) -> None:
        """Let the machine run a build, and perhaps lie."""
        if self.machine is not None:
            self.stage.stop(self.machine)
        command = f"python -m demo.enclave --port {self.port} --measurements {build}"
        self.machine = self.stage.start(" ".join((command, *words)), self.port)

    def release(self, version: str, build: str, field: str, *words: str) -> int:
        found = self.run(
            f"pcrlog release --policy {POLICY} --key acme.key --product {PRODUCT}"
            f" --version {version} --measurements {build} {SOURCE} --json"
            f" --binding {field}:tls-spki-sha256 {' '.join(words)}"
        )
        return int(said(found)["index"])

    def confirm(self, index: int, *words: str, expect: int = 0) -> None:
        self.run(
            f"pcrlog cosign --policy {POLICY} --key lab.key --scope reproduction"
            f" --result pass {index} {' '.join(words)}",
            expect,
        )

    def revoke(self, index: int) -> None:
        words = f"--policy {POLICY} --key acme.key --reason vulnerable"
        self.run(f"pcrlog revoke {words} {index}")

    @property
    def place(self) -> str:
        return f"https://127.0.0.1:{self.port}/attestation"

    def verify(self, expect: int, *words: str) -> dict[str, Any]:
        """The report of a user who asks the machine."""
        command = f"pcrlog verify --policy {POLICY} --product {PRODUCT}"
        more = " ".join((f"--url {self.place} --json", *words))
        return said(self.run(f"{command} {more}", expect))

    def keep(self, name: str) -> bytes:
        """Ask the machine, keep its document as a file, and give the nonce."""
        nonce = secrets.token_bytes(32)
        answer = fetch_attestation(self.place, nonce)
        (self.folder / name).write_bytes(answer.document)
        return nonce


def said(output: str) -> dict[str, Any]:
    """The result, of what a command wrote."""
    [line] = [line for line in output.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(line)
    return found


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["status"] for one in report["checks"]}


def against(report: dict[str, Any]) -> dict[str, str]:
    """The required checks that did not pass; but for the links, which follow."""
    return {
        one["id"]: one["status"]
        for one in report["checks"]
        if one["required"] and one["status"] != "pass" and one["id"] != "policy.links"
    }


def failed(report: dict[str, Any]) -> list[str]:
    return [name for name, status in against(report).items() if status == "fail"]


@pytest.fixture
def field(tmp_path: Path, log: Log, start: Callable[..., Served]) -> Iterator[Field]:
    stage = Stage(tmp_path / "field")
    stage.folder.mkdir()
    yield Field(stage, log, start)
    stage.close()


LIES = (
    ("debug", 4, {"document.debug": "fail"}),
    ("stale", 4, {"document.nonce": "fail"}),
    ("relay", 3, {"channel": "unchecked"}),
)
DEMANDS = "--ground separate --channel required"
AZURE = {"operator": "azure"}
GIVEN = "--collateral collateral.json"


def an_sgx_enclave(field: Field, build: str = "good.json") -> int:
    """One that is released and confirmed; the release's index."""
    field.stage.write("good.json", gramine("0a" * 32))
    field.boot(build, "--root root.pem", GIVEN)
    field.demand(SGX, DEMANDS, **AZURE)
    index = field.release("1.0.0", build, "public_key")
    assert against(field.verify(4, GIVEN)) == {"audits.quorum": "fail"}
    field.confirm(index, "--measurements good.json")
    return index


def test_an_sgx_enclave_from_its_release_to_its_revocation(field: Field) -> None:
    index = an_sgx_enclave(field)
    field.stage.write("older.json", gramine("0a" * 32, svn=1))
    field.stage.write("rogue.json", gramine("0b" * 32))
    field.confirm(index, "--measurements rogue.json", expect=4)
    report = field.verify(0, GIVEN)
    assert (report["version"], report["platform"]) == ("1.0.0", SGX)
    assert (report["trust_ends_at"], report["ground"]) == (3, "separate")
    assert statuses(report)["document.tcb"] == "pass"
    words = f"--policy {POLICY} --product {PRODUCT} {GIVEN}"
    told = field.run(f"pcrlog verify {words} --url {field.place}")
    assert "rests on Intel" in told
    assert "azure runs the machines" in told

    nonce = field.keep("quote.bin").hex()
    kept = f"pcrlog verify {words} --attestation quote.bin --nonce {nonce} --json"
    assert against(said(field.run(kept, 3))) == {"channel": "unchecked"}
    shown = field.run(f"pcrlog show-attestation quote.bin --policy {POLICY} {GIVEN}")
    assert "GENUINE" in shown
    assert "0a" * 32 in shown
    assert "wallet 1.0.0" in field.run(f"pcrlog identify quote.bin --policy {POLICY}")

    for lie, expect, checks in LIES:
        field.boot("good.json", f"--lie {lie}")
        assert against(field.verify(expect, GIVEN)).items() >= checks.items(), lie
    for build in ("older.json", "rogue.json"):
        field.boot(build)
        assert against(field.verify(4, GIVEN))["release.match"] == "fail", build

    field.boot("good.json")
    field.verify(0, GIVEN)
    field.revoke(index)
    assert against(field.verify(4, GIVEN))["release.valid"] == "fail"


def test_what_intel_says_of_a_machine_counts_as_the_policy_says(field: Field) -> None:
    an_sgx_enclave(field)
    now = int(time.time())
    old = Word(issued=now - HOUR, status="OutOfDate", advisories=("INTEL-SA-00615",))
    (field.folder / "old.json").write_bytes(Simulator(SEED).collateral(old))
    stale = "--collateral old.json"
    own = PLATFORMS[SGX].checks[1:]
    assert against(field.verify(3)) == dict.fromkeys(own, "unchecked")
    assert failed(field.verify(4, stale)) == ["document.tcb"]
    accepted = {"tcb": ["UpToDate", "OutOfDate"], "advisories": ["INTEL-SA-00615"]}
    field.demand(SGX, DEMANDS, **AZURE, **accepted)
    field.verify(0, stale)
    field.demand(SGX, DEMANDS, **AZURE, collateral="optional")
    assert field.verify(0)["trust_ends_at"] == 3
    assert failed(field.verify(4, stale)) == ["document.tcb"]
    for operator in ({}, {"operator": "intel"}):
        field.demand(SGX, DEMANDS, **operator)
        assert "policy.ground" in against(field.verify(3 + bool(operator), GIVEN))


def test_collateral_comes_from_the_service_that_the_policy_names(
    field: Field,
) -> None:
    """Its release is made from its SIGSTRUCT, and confirmed by another's signing."""
    made = signer().sign(bytes.fromhex("0a" * 32))
    (field.folder / "good.sig").write_bytes(made)
    an_sgx_enclave(field, "good.sig")
    collateral = (field.folder / "collateral.json").read_bytes()
    with Pccs(collateral) as service:
        field.demand(SGX, DEMANDS, **AZURE, pccs=service.url)
        field.verify(0)
        asked = list(service.asked)
        assert asked == [*answers(collateral)]
        field.verify(0)
        assert service.asked == asked
        words = f"--policy {POLICY} --product {PRODUCT} --measurements good.sig"
        field.run(f"pcrlog bundle {words} -o bundle")
        field.verify(3, "--bundle bundle")
        assert service.asked == asked
    [kept] = (field.folder / "state" / "collateral").iterdir()
    assert json.loads(kept.read_bytes()) == json.loads(collateral)
    field.verify(0)
    kept.unlink()
    assert against(field.verify(3)).keys() == {*PLATFORMS[SGX].checks[1:]}


def test_an_instance_with_a_tpm_from_its_release_to_its_revocation(
    field: Field,
) -> None:
    pcr4 = "4d" * 48
    field.stage.write("good.json", computed(pcr4))
    field.stage.write("rogue.json", computed("4e" * 48))
    field.stage.write("edited.json", computed(pcr4, PCR12="12" * 48))
    field.stage.write("insecure.json", computed(pcr4, PCR7="7d" * 48))
    field.stage.write("none.json", json.dumps({"PCR4": pcr4}))
    field.boot("good.json", "--root root.pem")
    field.demand(TPM, "--channel required")

    words = f"--policy {POLICY} --key acme.key --product {PRODUCT} --version 0.9.0"
    refused = field.run(f"pcrlog release {words} --measurements none.json", 2)
    assert "PCR12 is missing" in refused
    refused = field.run(
        f"pcrlog release {words} --measurements good.json --register 11={'11' * 48}", 2
    )
    assert "PCR11" in refused
    index = field.release("1.0.0", "good.json", "user_data")
    field.verify(4)
    field.confirm(index, "--measurements good.json")
    report = field.verify(0)
    assert report["trust_ends_at"] == 3
    assert report["ground"] == "same"
    assert report["platform"] == TPM
    assert report["registers"]["matched"].keys() == {"PCR4", "PCR7", "PCR12"}
    field.keep("document.cbor")
    shown = field.run(f"pcrlog show-attestation document.cbor --policy {POLICY}")
    assert "GENUINE" in shown
    assert "wallet 1.0.0" in field.run(
        f"pcrlog identify document.cbor --policy {POLICY}"
    )
    for lie, expect, checks in LIES:
        field.boot("good.json", f"--lie {lie}")
        assert against(field.verify(expect)).items() >= checks.items(), lie
    for build in ("rogue.json", "edited.json", "insecure.json"):
        field.boot(build)
        assert against(field.verify(4))["release.match"] == "fail", build
    field.boot("good.json")
    field.demand(TPM, "--channel required --ground separate", operator="azure")
    assert against(field.verify(4)) == {"policy.ground": "fail"}
    field.demand(TPM, "--channel required")
    field.verify(0)
    field.revoke(index)
    assert against(field.verify(4))["release.valid"] == "fail"
