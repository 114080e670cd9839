"""Releases on SGX and NitroTPM: from what builds print to what is said of them."""

import json

import pytest

from pcrlog.predicates import Audit, Release
from pcrlog.sigstruct import DEBUG
from tests.support.scene import LAB, PRODUCT
from tests.support.sigstructs import Signer, sgx_sign_dump, signer
from tests.unit.cli.world import World

HASH, OTHER = bytes(range(32)), bytes(range(1, 33))
SGX = {
    "MRENCLAVE": f"sha256:{HASH.hex()}",
    "MRSIGNER": f"sha256:{signer().mrsigner}",
}
PCRS = {"PCR4": "4" * 96, "PCR7": "7" * 96, "PCR12": "0" * 96}
TPM = {name: f"sha384:{digits}" for name, digits in PCRS.items()}
SOURCE = f"--source https://git.example/w --commit {'3f' * 20}"
WORDS = f"release --policy policy.toml --key acme.key --product {PRODUCT} --version 2"


@pytest.fixture
def sgx(world: World) -> World:
    world.write("enclave.sig", signer().sign(HASH, isvprodid=3, isvsvn=4))
    return world


def released(world: World) -> Release:
    predicate = world.last().predicate
    assert isinstance(predicate, Release)
    return predicate


def test_a_sigstruct_is_released_with_its_numbers(sgx: World) -> None:
    ran = sgx.run(WORDS, "--measurements enclave.sig")
    assert ran.status == 0, ran.err
    said = released(sgx)
    assert (said.platform, said.identity) == ("intel-sgx", (("MRENCLAVE",),))
    assert said.numbers == {"ISVPRODID": 3, "ISVSVN": 4}
    assert sgx.last().registers == SGX
    again = sgx.run(WORDS, "--measurements enclave.sig --json")
    assert json.loads(again.out)["known"] is True


def test_what_a_release_leaves_open_is_said(sgx: World) -> None:
    whole = sgx.run(WORDS, "--measurements enclave.sig --json")
    assert "note:" not in whole.err
    bare = f"{WORDS} --conflict --register MRENCLAVE={OTHER.hex()} --binding "
    ran = sgx.run(bare + "user_data:tls-spki-sha256")
    told = " ".join(ran.err.split())
    for words in ("MRSIGNER is not named", "no ISVSVN and", "nobody can ask whether"):
        assert words in told
    ran = sgx.run(bare + "public_key:tls-spki-sha256", "--number ISVSVN=1")
    told = " ".join(ran.err.split())
    assert "MRSIGNER is not named" in told
    assert "ISVSVN and" not in told
    assert "nobody can ask" not in told


def test_registers_and_numbers_are_given_by_name(world: World) -> None:
    words = f"{WORDS} --register MRENCLAVE={HASH.hex()}"
    assert world.run(words).status == 0
    assert released(world).numbers is None
    assert world.last().registers == {"MRENCLAVE": SGX["MRENCLAVE"]}
    ran = world.run(words, "--number ISVSVN=7")
    assert ran.status == 0, ran.err
    assert released(world).numbers == {"ISVSVN": 7}


def test_a_nitrotpm_is_released_as_its_tool_prints_it(world: World) -> None:
    told = {"Measurements": {"HashAlgorithm": "SHA384", **PCRS}}
    world.write("pcr.json", json.dumps(told).encode())
    ran = world.run(WORDS, "--measurements pcr.json")
    assert ran.status == 0, ran.err
    said = released(world)
    assert (said.platform, said.identity) == ("aws-nitrotpm", (("PCR4", "PCR12"),))
    assert (said.numbers, world.last().registers) == (None, TPM)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (f"--register MRSIGNER={'5a' * 32}", "who signed, and not what"),
        ("--measurements debug.sig", "a debug build"),
        ("--measurements enclave.sig --number ISVSVN=5", "ISVSVN stands twice"),
        ("--measurements enclave.sig --number SVN=5", "--number: expected ISVSVN=2"),
        (f"--pcr 4={PCRS['PCR4']} --pcr 7={PCRS['PCR7']}", "from 1.1.0 on"),
        (
            f"--pcr 4={PCRS['PCR4']} --pcr 12={PCRS['PCR12']} --pcr 9={'9' * 96}",
            "PCR9",
        ),
        ("--measurements good.json --number ISVSVN=5", "aws-nitro has none"),
    ],
)
def test_what_says_less_than_it_seems_to_is_refused(
    sgx: World, words: str, told: str
) -> None:
    sgx.write("debug.sig", signer().sign(HASH, flags=0x4 | DEBUG))
    size = len(sgx.log.leaves)
    ran = sgx.run(WORDS, words)
    assert ran.status == 2
    assert told in ran.err
    assert len(sgx.log.leaves) == size


# --- rebuilds of it -------------------------------------------------------------------


def rebuilt(world: World, made: bytes, *words: str) -> tuple[int, str]:
    """An auditor's co-signature of the newest release, by their own build of it."""
    index = max(world.log.entries)
    world.write("ours.dump", sgx_sign_dump(made).encode())
    ran = world.run(
        "cosign --policy policy.toml --key lab.key --scope reproduction",
        f"--measurements ours.dump {index}",
        *words,
    )
    return ran.status, ran.out + ran.err


@pytest.fixture
def index(sgx: World) -> int:
    ran = sgx.run(WORDS, SOURCE, "--measurements enclave.sig")
    assert ran.status == 0, ran.err
    return max(sgx.log.entries)


def test_an_auditor_signs_a_rebuild_with_another_key(sgx: World, index: int) -> None:
    status, told = rebuilt(sgx, Signer().sign(HASH), "--result pass")
    assert status == 0, told
    audit = sgx.last().predicate
    assert isinstance(audit, Audit)
    assert (audit.issuer, audit.platform) == (LAB, "intel-sgx")
    # Of the provider's signer a rebuild can say nothing.
    assert sgx.last().registers == {"MRENCLAVE": SGX["MRENCLAVE"]}


def test_a_pass_is_refused_where_another_enclave_came_out(
    sgx: World, index: int
) -> None:
    size = len(sgx.log.leaves)
    status, told = rebuilt(sgx, signer().sign(OTHER), "--result pass")
    assert status == 4, told
    assert "MRENCLAVE" in told
    assert len(sgx.log.leaves) == size


def test_a_fail_names_what_came_out_and_no_signer(sgx: World, index: int) -> None:
    status, told = rebuilt(sgx, signer().sign(OTHER), "--result fail")
    assert status == 0, told
    audit = sgx.last().predicate
    assert isinstance(audit, Audit)
    assert audit.found is not None
    assert [one.name for one in audit.found] == ["MRENCLAVE"]


# --- comparing ------------------------------------------------------------------------


def test_two_builds_of_an_enclave_are_compared(sgx: World) -> None:
    sgx.write("ours.dump", sgx_sign_dump(Signer().sign(HASH)).encode())
    ran = sgx.run("diff enclave.sig ours.dump")
    assert ran.status == 0
    assert "whose key it is signed with" in ran.out
    sgx.write("ours.dump", sgx_sign_dump(signer().sign(OTHER)).encode())
    ran = sgx.run("diff enclave.sig ours.dump")
    assert ran.status == 4
    assert ran.out.startswith("DIFFERENT: MRENCLAVE differs\n")


def test_two_boots_are_compared_by_what_boots(world: World) -> None:
    world.write("a.json", json.dumps(PCRS).encode())
    world.write("b.json", json.dumps(PCRS | {"PCR4": "5" * 96}).encode())
    assert world.run("diff a.json a.json").status == 0
    ran = world.run("diff a.json b.json")
    assert ran.status == 4
    assert ran.out.startswith("DIFFERENT: PCR4 differs\n")


def test_what_is_of_two_platforms_is_not_compared(sgx: World) -> None:
    ran = sgx.run("diff enclave.sig good.json")
    assert ran.status == 2
    assert "both have to name PCR0, or MRENCLAVE, or PCR4 and PCR12" in ran.err


# --- before it runs -------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["aws-nitrotpm", "intel-sgx"])
def test_a_policy_says_beforehand_whether_it_would_do(
    sgx: World, platform: str
) -> None:
    policy = (sgx.folder / "policy.toml").read_text()
    assert "aws-nitro" in policy
    sgx.write("policy.toml", policy.replace("aws-nitro", platform).encode())
    named = "--measurements enclave.sig"
    if platform == "aws-nitrotpm":
        named = " ".join(f"--register {n}={digits}" for n, digits in PCRS.items())
    ready = f"ready --policy policy.toml --product {PRODUCT} --json {named}"
    ran = sgx.run(ready)
    assert ran.status == 4, ran.err
    assert json.loads(ran.out)["ready"] is False
    assert sgx.run(WORDS, SOURCE, named).status == 0
    found = json.loads(sgx.run(ready).out)
    assert found["version"] == "2"
    bundle = f"bundle --policy policy.toml --product {PRODUCT} -o b.bundle {named}"
    assert sgx.run(bundle).status == 0
