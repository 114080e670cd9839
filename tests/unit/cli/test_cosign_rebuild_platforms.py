"""`pcrlog cosign --rebuild` where another tool says the registers: SGX, NitroTPM."""

import json

import pytest

from cli.main import main
from pcrlog.predicates import Audit, Build, Document, Image, Source
from pcrlog.published import MOST
from pcrlog.sigstruct import DEBUG
from tests.support.scene import LAB, PRODUCT
from tests.support.sigstructs import Signer, sgx_sign_dump, signer
from tests.support.sources import RECIPE, commit, digest
from tests.unit.cli.world import World

URI = "https://git.example/acme/wallet"
HASH, OTHER = bytes(range(32)), bytes(range(1, 33))
SGX = {
    "MRENCLAVE": f"sha256:{HASH.hex()}",
    "MRSIGNER": f"sha256:{signer().mrsigner}",
}
PCRS = {"PCR4": "4" * 96, "PCR7": "7" * 96, "PCR12": "0" * 96}
TPM = {name: f"sha384:{digits}" for name, digits in PCRS.items()}
OURS = sgx_sign_dump(Signer().sign(HASH)).encode()
"""What an auditor's own build says: of the same enclave, signed by the auditor."""


@pytest.fixture
def lab(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TMPDIR", str(world.folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return world


def release(lab: World, platform: str, registers: dict[str, str], made: bytes) -> int:
    """A release whose commit builds to `made`."""
    where = Source(URI, commit(lab.folder / "src", {"r.sh": RECIPE, "parts.bin": made}))
    index = lab.log.release(
        PRODUCT,
        "2",
        registers,
        platform=platform,
        source=where,
        build=Build(Document(URI, digest(RECIPE))),
        image=Image("ab" * 32, 1),
    )
    lab.log.seal()
    return index


def run(lab: World, index: int, *words: str) -> tuple[int, str, str]:
    """The rebuild, by its recipe."""
    lab.capture.readouterr()
    args = ["cosign", "--policy", "policy.toml", "--key", "lab.key"]
    args += ["--rebuild", "sh r.sh", "--produces", "app.eif", "--fetch-from", "src"]
    status = main([*args, *words, str(index)], clock=lambda: float(lab.log.now))
    captured = lab.capture.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("platform", ["intel-sgx", "aws-nitrotpm"])
def test_what_a_tool_prints_of_a_rebuild_is_compared(lab: World, platform: str) -> None:
    registers, made = (
        (SGX, OURS) if platform == "intel-sgx" else (TPM, json.dumps(PCRS).encode())
    )
    index = release(lab, platform, registers, made)
    status, _, err = run(lab, index, "--run")
    assert status == 0, err
    assert "builds to what was released" in err
    # The image that a release names is not what the tool prints.
    assert "is not the one that the release names" not in err
    audit = lab.last().predicate
    assert isinstance(audit, Audit)
    assert (audit.issuer, audit.platform, audit.result) == (LAB, platform, "pass")
    wanted = {name: d for name, d in registers.items() if name != "MRSIGNER"}
    assert lab.last().registers == wanted


def test_it_is_shown_which_registers_are_to_come_out(lab: World) -> None:
    index = release(lab, "intel-sgx", SGX, OURS)
    status, out, _ = run(lab, index, "--json")
    assert status == 0
    [plan] = json.loads(out)["rebuilds"]
    assert plan["expected"] == {"MRENCLAVE": SGX["MRENCLAVE"]}


def test_another_enclave_is_shown_with_what_differs(lab: World) -> None:
    made = sgx_sign_dump(signer().sign(OTHER)).encode()
    index, size = release(lab, "intel-sgx", SGX, made), len(lab.log.leaves)
    status, out, _ = run(lab, index, "--run")
    assert status == 4
    assert "MRENCLAVE" in out
    assert "--against" not in out
    assert len(lab.log.leaves) == size
    status, _, err = run(lab, index, "--run", "--fail-on-mismatch")
    assert status == 0, err
    audit = lab.last().predicate
    assert isinstance(audit, Audit)
    assert audit.found is not None
    assert [one.name for one in audit.found] == ["MRENCLAVE"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (sgx_sign_dump(signer().sign(HASH, flags=DEBUG)).encode(), "a debug build"),
        (b"\x7fELF", "says no registers"),
        (json.dumps(PCRS).encode(), "is of aws-nitrotpm, want intel-sgx"),
        (b" " * MOST + b"{}", "more than 1048576 bytes"),
    ],
)
def test_what_says_no_registers_of_the_platform_is_no_audit(
    lab: World, made: bytes, words: str
) -> None:
    index, size = release(lab, "intel-sgx", SGX, made), len(lab.log.leaves)
    status, _, err = run(lab, index, "--run", "--fail-on-mismatch")
    assert status == 3
    assert words in " ".join(err.split())
    assert len(lab.log.leaves) == size


def test_there_is_no_image_to_hold_it_against(lab: World) -> None:
    index = release(lab, "intel-sgx", SGX, OURS)
    status, _, err = run(lab, index, "--run", "--against", "app.eif")
    assert status == 2
    assert "--against is an image (.eif): on intel-sgx there is none" in err
