"""`pcrlog controls`: from a key policy, and from what the log says, to link 7."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from pcrlog.encoding import encode_json, sha256
from pcrlog.predicates import Control, Release
from tests.support.documents import WRITE
from tests.support.machines import (
    ENCLAVE,
    INSTANCE,
    OTHER_INSTANCE,
    SGX,
    SGX_RULES,
    TPM,
    TPM_RULES,
)
from tests.support.scene import PRODUCT
from tests.support.vectors import ROOT
from tests.unit.cli.world import GOOD, OLD, URL, World, hexes, problem
from tests.unit.workbench.kms_policies import (
    ADMIN,
    APP,
    WHOLE_ACCOUNT,
    allow,
    pin,
)

LOG = f"--policy policy.toml --product {PRODUCT}"
PAGE = ROOT / "docs" / "controls.md"
GUIDE = PAGE.read_text(encoding="utf-8")
PINNED = allow(pin(**hexes(GOOD)))


def write(world: World, *statements: object) -> bytes:
    data = json.dumps({"Statement": list(statements)}).encode()
    world.write("kms.json", data)
    return data


def check(world: World, *words: str) -> tuple[int, dict[str, Any]]:
    ran = world.run("controls check kms.json", *words, "--json")
    assert ran.out, ran.err
    return ran.status, json.loads(ran.out)


# --- check ----------------------------------------------------------------------------


def test_a_closed_policy_ends_with_0_and_names_the_control(world: World) -> None:
    data = write(world, PINNED)
    status, said = check(world, "--measurements good.json")
    assert (status, said["closed"], said["paths"]) == (0, True, [])
    assert said["control"] == f"kms-policy:{sha256(data).hex()}"
    assert [way["actions"] for way in said["admitted"]] == [["Decrypt"]]


def test_an_open_policy_ends_with_4_and_names_each_path(world: World) -> None:
    write(world, PINNED, WHOLE_ACCOUNT)
    status, said = check(world, "--measurements good.json")
    assert (status, said["closed"]) == (4, False)
    assert {way["kind"] for way in said["paths"]} == {
        "no-attestation",
        "rules",
        "unknown-action",
    }
    assert {way["statement"] for way in said["paths"]} == {2}
    assert all(way["who"] and way["why"] and way["mend"] for way in said["paths"])


def test_the_control_is_what_a_release_takes(world: World) -> None:
    write(world, PINNED)
    _, said = check(world, "--measurements good.json")
    words = "release --policy policy.toml --key acme.key --version 2 --measurements"
    ran = world.run(
        f"{words} good.json --product {PRODUCT} --control {said['control']}"
    )
    assert ran.status == 0, ran.err
    released = world.last().predicate
    assert isinstance(released, Release)
    assert released.controls == (Control(*said["control"].split(":")),)


def test_measurements_are_given_in_either_form(world: World) -> None:
    write(world, PINNED)
    spelled = ",".join(f"{name}={digest}" for name, digest in sorted(GOOD.items()))
    status, said = check(world, f"--measurement aws-nitro/{spelled}")
    assert status == 0
    assert said["released"] == [dict(GOOD)]
    assert check(world, "--measurements old.json")[0] == 4
    assert check(world, "--measurements old.json --measurements good.json")[0] == 0


def test_pcr0_alone_is_enough_for_whoever_says_so(world: World) -> None:
    write(world, allow(pin(PCR0=hexes(GOOD)["PCR0"])))
    words = f"--measurement aws-nitro/PCR0={GOOD['PCR0']}"
    assert check(world, words, "--pcr0-alone")[0] == 0
    assert check(world, "--measurements good.json")[0] == 4
    assert world.run(f"controls check kms.json {words}").status == 2


def test_an_administrator_is_named(world: World) -> None:
    rules = allow(action="kms:PutKeyPolicy", Principal={"AWS": ADMIN})
    write(world, PINNED, rules)
    assert check(world, "--measurements good.json")[0] == 4
    words = f"--measurements good.json --administrator {ADMIN}"
    status, said = check(world, words)
    assert (status, [way["who"] for way in said["accepted"]]) == (0, [[ADMIN]])
    ran = world.run("controls check kms.json", words)
    assert "until an administrator" in " ".join(ran.out.split())


def test_what_is_no_key_policy_is_refused(world: World) -> None:
    world.write("kms.json", b"{}")
    ran = world.run("controls check kms.json --measurements good.json")
    assert ran.status == 4
    assert "not a key policy" in ran.err


def test_debug_mode_is_called_out(world: World) -> None:
    zeros = {name: [value, "0" * 96] for name, value in hexes(GOOD).items()}
    write(world, allow(pin(**zeros)))
    ran = world.run("controls check kms.json --measurements good.json")
    assert ran.status == 4
    assert "debug mode" in ran.out


def test_the_words_of_a_policy_cannot_colour_the_report(world: World) -> None:
    write(world, allow(Sid="\x1b[32mCLOSED", Principal={"AWS": f"{APP}\x1b[0m"}))
    ran = world.run("controls check kms.json --measurements good.json")
    assert ran.status == 4
    assert "\x1b" not in ran.out


def test_a_deny_that_does_not_count_is_told(world: World) -> None:
    deny = allow({"Bool": {"aws:SecureTransport": "false"}}, Effect="Deny")
    write(world, PINNED, deny, allow(action="kms:Encrypt", Principal={"AWS": ADMIN}))
    ran = world.run("controls check kms.json --measurements good.json")
    assert ran.status == 0
    assert "statement 2, a Deny, is not counted" in ran.out
    assert f"{ADMIN}: Encrypt" in ran.out


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--measurements absent.json",
        "--measurements policy.toml",
        "--measurement PCR0=00",
        f"--measurement artifact/digest=sha256:{'a' * 64}",
        "--measurements part.json",
        "--product acme.example/wallet",
        "--measurements good.json --administrator *",
    ],
    ids=range(8),
)
def test_something_has_to_be_released(world: World, words: str) -> None:
    write(world, PINNED)
    world.write("part.json", encode_json({"digest": f"sha256:{'a' * 64}"}))
    ran = world.run("controls check kms.json", words)
    assert ran.status == 2, ran.out


# --- what the log says ----------------------------------------------------------------


def release(world: World, version: str, build: dict[str, str]) -> int:
    index = world.scene.release(version, build)
    world.log.seal()
    return index


def test_what_is_released_the_log_is_asked(world: World) -> None:
    write(world, PINNED)
    release(world, "1.4.2", dict(GOOD))
    status, said = check(world, LOG)
    assert (status, said["released"]) == (0, [dict(GOOD)])


def test_a_measurement_that_was_revoked_is_no_longer_released(world: World) -> None:
    write(world, PINNED)
    release(world, "1.4.2", dict(GOOD))
    world.log.revoke("acme.example", "superseded", release(world, "1.4.1", dict(OLD)))
    world.log.seal()
    assert check(world, LOG)[0] == 0
    write(world, allow(pin(**hexes(OLD))))
    status, said = check(world, LOG)
    assert (status, said["paths"][0]["kind"]) == (4, "other-measurement")


def test_where_nothing_is_accepted_nothing_is_checked(world: World) -> None:
    write(world, PINNED)
    ran = world.run("controls check kms.json", LOG)
    assert ran.status == 4
    assert f"no release of {PRODUCT} is accepted" in ran.err
    world.log.revoke("acme.example", "superseded", release(world, "1", dict(GOOD)))
    world.log.seal()
    ran = world.run("controls check kms.json", LOG)
    assert ran.status == 4
    assert "release.valid" in ran.err


def test_a_log_that_does_not_answer_leaves_it_unchecked(world: World) -> None:
    write(world, PINNED)
    release(world, "1.4.2", dict(GOOD))
    world.lies["api/v1/bundle"] = lambda: problem(503, "unavailable", "Down", "")
    assert world.run("controls check kms.json", LOG).status == 3


def test_a_stale_log_leaves_it_unchecked(world: World) -> None:
    write(world, PINNED)
    release(world, "1.4.2", dict(GOOD))
    world.log.now += 3 * 86_400
    assert world.run("controls check kms.json", LOG).status == 3


# --- render ---------------------------------------------------------------------------


def test_all_releases_that_are_accepted_stand_side_by_side(world: World) -> None:
    release(world, "1.4.1", dict(OLD))
    release(world, "1.4.2", dict(GOOD))
    ran = world.run("controls render", LOG, "--json")
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)
    [keys] = said["condition"].values()
    assert keys["kms:RecipientAttestation:PCR0"] == sorted(
        [hexes(OLD)["PCR0"], hexes(GOOD)["PCR0"]]
    )
    assert said["versions"] == ["1.4.2", "1.4.1"]
    assert said["left_out"] == {}


def test_what_is_printed_is_checked_as_closed(world: World) -> None:
    release(world, "1.4.1", dict(OLD))
    release(world, "1.4.2", dict(GOOD))
    block = json.loads(world.run("controls render", LOG).out)["Condition"]
    write(world, allow(block))
    assert check(world, LOG)[0] == 0
    denials = json.loads(world.run("controls render --format deny", LOG).out)
    write(world, allow(), *denials)
    assert check(world, LOG)[0] == 0


def test_what_is_not_accepted_is_left_out_and_said(world: World) -> None:
    release(world, "1.4.2", dict(GOOD))
    world.log.revoke("acme.example", "vulnerable", release(world, "1.4.1", dict(OLD)))
    world.log.seal()
    ran = world.run("controls render", LOG)
    assert hexes(OLD)["PCR0"] not in ran.out
    assert "left out: 1.4.1" in ran.err


def test_a_block_can_be_made_without_a_log(world: World) -> None:
    ran = world.run("controls render --format terraform --measurements good.json")
    assert ran.status == 0
    assert ran.out.count("condition {") == 3
    assert hexes(GOOD)["PCR2"] in ran.out


def test_without_a_policy_nothing_is_accepted(world: World) -> None:
    release(world, "1.4.2", dict(GOOD))
    words = f"--log https://log.example/pcr --product {PRODUCT}"
    assert world.run("controls render", words).status == 2


# --- instances, and other machines ----------------------------------------------------


@pytest.fixture
def mixed(world: World) -> World:
    """Releases on three platforms, all of which the policy names."""
    waived = {"witnesses": "none", "index_monitors": "none"}
    text = world.scene.policy_text(
        log={"url": URL, **waived},
        platforms={SGX: SGX_RULES, TPM: TPM_RULES},
        product={"platforms": ["aws-nitro", SGX, TPM]},
    )
    world.write("policy.toml", text.encode())
    world.scene.release("1.0.0", image=GOOD)
    world.scene.release("1.0.1", image=ENCLAVE, platform=SGX)
    world.scene.release("1.0.2", image=INSTANCE, platform=TPM)
    world.log.seal()
    return world


def pinned(image: Mapping[str, str], *names: str) -> dict[str, Any]:
    values = {f"NitroTPM{n}": image[n].partition(":")[2] for n in names or image}
    return allow(pin(**values))


def test_instances_are_checked_against_their_own_releases(mixed: World) -> None:
    write(mixed, PINNED, pinned(INSTANCE))
    status, said = check(mixed, LOG)
    assert (status, len(said["admitted"])) == (0, 2)
    assert said["released"] == [dict(GOOD), dict(INSTANCE)]
    write(mixed, pinned(INSTANCE, "PCR4", "PCR12"))
    status, said = check(mixed, LOG)
    assert (status, [way["kind"] for way in said["paths"]]) == (4, ["boot"])
    write(mixed, pinned(OTHER_INSTANCE))
    assert check(mixed, LOG)[0] == 4
    assert f"1.0.1: AWS KMS takes no attestation of {SGX}" in " ".join(
        mixed.run("controls check kms.json", LOG).err.split()
    )


def test_a_condition_is_for_one_kind_of_machine(mixed: World) -> None:
    ran = mixed.run("controls render", LOG)
    assert ran.status == 2
    assert "not of both: --platform" in " ".join(ran.err.split())
    for platform, mine in ((TPM, "1.0.2"), ("aws-nitro", "1.0.0")):
        words = f"controls render {LOG} --platform {platform}"
        said = json.loads(mixed.run(words, "--json").out)
        assert said["versions"] == [mine]
        assert len(said["left_out"]) == 2
        write(mixed, allow(said["condition"]))
        assert check(mixed, LOG)[0] == 0
        told = " ".join(mixed.run(words).err.split())
        assert f"AWS KMS takes no attestation of {SGX}" in told
        assert "a condition of its own" in told


def test_a_product_that_kms_takes_no_attestation_of_is_not_checked(
    mixed: World,
) -> None:
    write(mixed, PINNED)
    for index, entry in list(mixed.log.entries.items()):
        if getattr(entry.predicate, "platform", SGX) in {"aws-nitro", TPM}:
            mixed.log.revoke("acme.example", "withdrawn", index)
    mixed.log.seal()
    ran = mixed.run("controls check kms.json", LOG)
    assert ran.status == 4
    told = " ".join(ran.err.split())
    assert "of those that KMS takes an attestation of" in told
    assert f"AWS KMS takes no attestation of {SGX}" in told


def test_registers_of_instances_are_given_in_either_form(world: World) -> None:
    write(world, pinned(INSTANCE))
    spelled = ",".join(f"{name}={digest}" for name, digest in INSTANCE.items())
    assert check(world, f"--measurement {TPM}/{spelled}")[0] == 0
    assert check(world, f"--measurement {TPM}/{spelled} --pcr0-alone")[0] == 0
    digests = {name: d.partition(":")[2] for name, d in INSTANCE.items()}
    world.write("tpm.json", encode_json({"Measurements": digests}))
    assert check(world, "--measurements tpm.json")[0] == 0
    assert check(world, "--measurements good.json")[0] == 4
    ran = world.run(f"controls check kms.json --measurement {TPM}/PCR4={'0' * 96}")
    assert ran.status == 2
    ran = world.run(f"controls render --measurements good.json --platform {TPM}")
    assert (ran.status, "there are some on aws-nitro" in ran.err) == (2, True)
    sgx = f"{SGX}/MRENCLAVE={ENCLAVE['MRENCLAVE']}"
    ran = world.run(f"controls check kms.json --measurement {sgx}")
    assert (ran.status, f"got {SGX}" in ran.err) == (2, True)


# --- the guide ------------------------------------------------------------------------


CONSOLE = re.compile(r"(?ms)^```console\n\$ pcrlog (.*?)\n(.*?)^```$")


def test_the_examples_of_the_guide_are_what_is_printed(world: World) -> None:
    """Files are named in the line before their block; commands stand with output.

    PCRLOG_WRITE_DOCS=1 writes the output.
    """
    files = re.findall(r"`(\w+\.json)`:\n\n```json\n(.*?)```", GUIDE, re.DOTALL)
    assert [name for name, _ in files] == ["default.json", "closed.json"]
    for name, body in files:
        world.write(name, body.encode())

    def shown(block: re.Match[str]) -> str:
        ran = world.run(block[1])
        ended = f"(exit {ran.status})\n" if ran.status else ""
        return f"```console\n$ pcrlog {block[1]}\n{ran.out}{ran.err}{ended}```"

    assert len(CONSOLE.findall(GUIDE)) == 3
    written = CONSOLE.sub(shown, GUIDE)
    if WRITE:
        PAGE.write_text(written, encoding="utf-8")
    assert written == PAGE.read_text(encoding="utf-8")
