"""`pcrlog export`: only what verifies now, and until when."""

import base64
import json
from typing import Any

import cbor2
import pytest

from pcrlog.bundle import Bundle, Included
from tests.support.machines import (
    ENCLAVE,
    INSTANCE,
    NUMBERS,
    SGX,
    SGX_RULES,
    TPM,
    TPM_RULES,
)
from tests.support.memory_log import MemoryLog, registers
from tests.support.scene import DAY, HOUR, PRODUCT, changed
from tests.unit.cli.world import GOOD, OLD, ROGUE, URL, World

EXPORT = f"export {PRODUCT} --policy policy.toml"


@pytest.fixture
def running(world: World) -> World:
    """Two builds that are accepted, blue and green, and one that is revoked."""
    world.scene.release("1.4.1", image=OLD)
    revoked = world.scene.release("1.3.0", image=ROGUE)
    world.scene.release("1.4.2", image=GOOD)
    world.log.revoke("acme.example", "vulnerable", revoked)
    world.log.seal()
    return world


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_accepted_now_is_exported_newest_first(running: World) -> None:
    ran = running.run(EXPORT, "--jsonl")
    assert ran.status == 0, ran.err
    found = lines(ran.out)
    assert [(one["version"], one["registers"]) for one in found] == [
        ("1.4.2", GOOD),
        ("1.4.1", OLD),
    ]
    assert all(one["links"]["2"] == "proven" for one in found)
    assert "left out: 1.3.0: release.valid" in " ".join(ran.err.split())
    assert "revoked by acme.example as vulnerable" in " ".join(ran.err.split())


def test_a_feed_is_written_to_a_file_and_told(running: World) -> None:
    ran = running.run(EXPORT, "--jsonl -o feed.jsonl")
    assert ran.status == 0, ran.err
    assert ran.out.startswith(f"exported: feed.jsonl, {PRODUCT} 1.4.2, 1.4.1")
    assert "left out: 1.3.0 (entry " in ran.out
    again = running.run(EXPORT, "--jsonl -o feed.jsonl")
    assert again.status == 2
    found = json.loads(running.run(EXPORT, "--jsonl -o feed.jsonl --force --json").out)
    assert found["versions"] == ["1.4.2", "1.4.1"]
    assert [one["version"] for one in found["left_out"]] == ["1.3.0"]
    assert found["format"] == "jsonl"
    written = lines((running.folder / "feed.jsonl").read_text())
    assert written[0]["until"] == found["until"]
    assert written[0]["index"] != written[1]["index"]


def test_the_other_forms_hold_the_same(running: World) -> None:
    assert running.run(EXPORT, "--rvps -o rvps.json").status == 0
    message = json.loads((running.folder / "rvps.json").read_bytes())
    values = json.loads(base64.b64decode(message["payload"]))
    pcr0 = [one["PCR0"].partition(":")[2] for one in (GOOD, OLD)]
    assert values[f"{PRODUCT}/PCR0"] == pcr0
    assert running.run(EXPORT, "--corim -o feed.corim").status == 0
    outer = cbor2.loads((running.folder / "feed.corim").read_bytes())
    assert outer.tag == 501
    told = [cbor2.loads(tag.value)[4][0][0][1] for tag in outer.value[1]]
    assert [claims[0][1][2][0][1].hex() for claims in told] == pcr0


def test_nothing_is_written_if_nothing_is_accepted(running: World) -> None:
    running.write_policy(product={"links": [1, 2, 3, 4]})
    ran = running.run(EXPORT, "--jsonl -o feed.jsonl")
    assert ran.status == 4
    assert "take what was exported before out of use" in " ".join(ran.err.split())
    assert not (running.folder / "feed.jsonl").exists()


def test_nothing_is_written_of_a_stale_log(running: World) -> None:
    running.log.now += 2 * DAY
    ran = running.run(EXPORT, "--jsonl -o feed.jsonl")
    assert ran.status == 3
    assert not (running.folder / "feed.jsonl").exists()


def test_a_product_without_releases_has_no_feed(world: World) -> None:
    world.log.seal()
    ran = world.run(EXPORT, "--jsonl")
    assert ran.status == 4
    assert ran.out == ""
    assert "no release of acme.example/wallet is accepted now (there is none" in ran.err


def test_a_feed_ends_with_whatever_ends_first(world: World) -> None:
    def until(**policy: Any) -> str:
        world.write_policy(**policy)
        found: str = lines(world.run(EXPORT, "--jsonl").out)[0]["until"]
        return found

    # The log's last seal is of 2026-11-23T07:00:00Z.
    world.scene.release(expires="2026-11-25T00:00:00Z")
    world.scene.reproduce(expires="2026-11-24T12:00:00Z")
    world.log.seal()
    assert until() == "2026-11-24T07:00:00Z"
    waived = {"witnesses": "none", "index_monitors": "none"}
    week = {"log": {**waived, "max_age": "7d"}}
    assert until(**week) == "2026-11-24T12:00:00Z"
    assert until(head={"valid_until": "2026-11-23T08:00:00Z"}) == "2026-11-23T08:00:00Z"


def test_only_an_expiry_of_what_counts_ends_it(world: World) -> None:
    world.scene.release(expires="2026-11-25T00:00:00Z")
    world.log.seal()
    waived = {"witnesses": "none", "index_monitors": "none"}
    world.write_policy(log={**waived, "max_age": "7d"})
    [line] = lines(world.run(EXPORT, "--jsonl").out)
    assert line["until"] == "2026-11-25T00:00:00Z"


EXTRA = {"PCR8": f"sha384:{'66' * 48}"}


def test_a_register_that_only_a_withdrawn_release_names_is_not_exported(
    world: World,
) -> None:
    """Its other registers are those of a release that stands."""
    good = world.scene.release("1.4.2", image=GOOD)
    more = world.scene.release("1.4.2", image={**GOOD, **EXTRA})
    world.log.revoke("acme.example", "withdrawn", more)
    world.log.seal()
    ran = world.run(EXPORT, "--jsonl")
    assert [one["registers"] for one in lines(ran.out)] == [GOOD]
    told = f"what stands is entry {good}, which does not name PCR8"
    assert told in " ".join(ran.err.split())
    rendered = world.run(
        f"controls render --product {PRODUCT} --policy policy.toml --json"
    )
    assert "66" * 48 not in rendered.out


def test_a_feed_ends_when_a_revocation_takes_effect(world: World) -> None:
    release = world.scene.release()
    at = "2026-11-23T09:00:00Z"
    world.log.revoke("acme.example", "withdrawn", release, effective=at)
    world.log.seal()
    [line] = lines(world.run(EXPORT, "--jsonl").out)
    assert line["until"] == at


def test_a_feed_of_a_frozen_log_ends_when_the_policy_says_so(world: World) -> None:
    world.scene.release()
    world.log.seal(frozen=True)
    waived = {"witnesses": "none", "index_monitors": "none"}
    until = "2026-12-24T07:00:00Z"
    world.write_policy(log={**waived, "frozen_until": until})
    world.log.now += 3 * DAY
    [line] = lines(world.run(EXPORT, "--jsonl").out)
    assert line["until"] == until


def test_more_builds_than_are_asked_about_are_exported_by_bundles(world: World) -> None:
    for n in range(33):
        world.scene.release(f"1.4.{n}", image=registers(f"build {n}"))
    world.log.seal()
    ran = world.run(EXPORT, "--jsonl")
    assert (ran.status, ran.out) == (2, "")
    assert "to export: --bundle FILE" in " ".join(ran.err.split())


def test_standard_output_holds_the_feed_alone(running: World) -> None:
    ran = running.run(EXPORT, "--rvps -o -")
    assert json.loads(ran.out)["type"] == "sample"
    assert running.run(EXPORT, "--corim -o -").status == 2


# --- several platforms ----------------------------------------------------------------


@pytest.fixture
def mixed(world: World) -> World:
    """Releases on three platforms, all of which the policy names, and a file."""
    policy_for(world, "aws-nitro", SGX, TPM)
    world.scene.release("1.0.0", image=GOOD)
    world.scene.release("1.0.1", image=ENCLAVE, platform=SGX, numbers=NUMBERS)
    world.scene.release("1.0.2", image=INSTANCE, platform=TPM)
    artifact = {"digest": f"sha256:{'ab' * 32}"}
    world.scene.release("1.0.3", image=artifact, platform="artifact")
    world.log.seal()
    return world


def policy_for(world: World, *platforms: str) -> None:
    waived = {"witnesses": "none", "index_monitors": "none"}
    text = world.scene.policy_text(
        log={"url": URL, **waived},
        platforms={SGX: SGX_RULES, TPM: TPM_RULES},
        product={"platforms": [*platforms, "artifact"]},
    )
    world.write("policy.toml", text.encode())


def test_all_platforms_of_a_product_that_attest_are_exported(mixed: World) -> None:
    ran = mixed.run(EXPORT, "--jsonl")
    assert ran.status == 0, ran.err
    tpm, sgx, nitro = lines(ran.out)
    assert [one["platform"] for one in (tpm, sgx, nitro)] == [TPM, SGX, "aws-nitro"]
    assert (tpm["registers"], sgx["registers"]) == (INSTANCE, ENCLAVE)
    assert sgx["numbers"] == NUMBERS
    [measurement] = tpm["measurements"]
    told = f"{TPM}/PCR4={INSTANCE['PCR4']},PCR12={INSTANCE['PCR12']}"
    assert measurement == told
    assert "numbers" not in nitro


def test_platforms_that_the_policy_does_not_name_are_not(mixed: World) -> None:
    policy_for(mixed, SGX)
    assert [one["platform"] for one in lines(mixed.run(EXPORT, "--jsonl").out)] == [SGX]
    policy_for(mixed)
    ran = mixed.run(EXPORT, "--jsonl")
    assert ran.status == 4
    assert "there is none on any machine" in " ".join(ran.err.split())


def test_what_a_form_has_no_place_for_is_told(mixed: World) -> None:
    ran = mixed.run(EXPORT, "--rvps -o feed --json")
    found = json.loads(ran.out)
    assert found["versions"] == ["1.0.2", "1.0.0"]
    [left_out] = found["left_out"]
    assert left_out["version"] == "1.0.1"
    assert "its ISVPRODID and ISVSVN has no place" in left_out["why"]
    message = json.loads((mixed.folder / "feed").read_bytes())
    values = json.loads(base64.b64decode(message["payload"]))
    assert f"{PRODUCT}/{TPM}/PCR12" in values
    assert not any("MRENCLAVE" in name for name in values)


def test_nothing_is_written_if_a_form_has_no_place_for_anything(mixed: World) -> None:
    policy_for(mixed, SGX)
    ran = mixed.run(EXPORT, "--corim -o feed.corim")
    assert ran.status == 4
    assert "has no place in this form" in " ".join(ran.err.split())
    assert not (mixed.folder / "feed.corim").exists()


def test_registers_with_other_numbers_are_another_release(world: World) -> None:
    policy_for(world, SGX)
    *_, old = (
        world.scene.release(image=ENCLAVE, platform=SGX, numbers={"ISVSVN": number})
        for number in (3, 2, 1)
    )
    world.log.revoke("acme.example", "withdrawn", old)
    world.log.seal()
    ran = world.run(EXPORT, "--jsonl")
    assert [one["numbers"]["ISVSVN"] for one in lines(ran.out)] == [2, 3]
    assert f"(entry {old}) is revoked" in " ".join(ran.err.split())


def test_numbers_that_only_a_withdrawn_release_says_are_not_exported(
    world: World,
) -> None:
    """Its registers are those of a release that stands, whatever the numbers."""
    policy_for(world, SGX)
    good = world.scene.release(image=ENCLAVE, platform=SGX)
    old = world.scene.release(image=ENCLAVE, platform=SGX, numbers={"ISVSVN": 2})
    world.log.revoke("acme.example", "withdrawn", old)
    world.log.seal()
    ran = world.run(EXPORT, "--jsonl")
    assert [one.get("numbers") for one in lines(ran.out)] == [None]
    told = f"what stands is entry {good}, which says otherwise of ISVSVN"
    assert told in " ".join(ran.err.split())


# --- by a bundle ----------------------------------------------------------------------


@pytest.fixture
def bundled(running: World) -> World:
    """What the log says of one of the builds."""
    ran = running.run(
        f"bundle --policy policy.toml --product {PRODUCT} --measurements good.json -o b"
    )
    assert ran.status == 0, ran.err
    running.asked.clear()
    return running


def test_a_bundle_is_enough_and_asks_nobody(bundled: World) -> None:
    ran = bundled.run(EXPORT, "--jsonl --bundle b")
    assert ran.status == 0, ran.err
    assert [one["version"] for one in lines(ran.out)] == ["1.4.2"]
    assert bundled.asked == []


def test_an_old_bundle_is_not_exported(bundled: World) -> None:
    bundled.log.now += DAY + HOUR
    ran = bundled.run(EXPORT, "--jsonl --bundle b")
    assert ran.status == 3
    assert "could not be checked: log.freshness" in " ".join(ran.err.split())


def test_a_bundle_that_was_changed_is_not_exported(bundled: World) -> None:
    data = (bundled.folder / "b").read_bytes()
    bundled.write("b", data.replace(b'"version":"1.4.2"', b'"version":"9.4.2"'))
    ran = bundled.run(EXPORT, "--jsonl --bundle b")
    assert ran.status == 4
    assert ran.out == ""
    bundled.write("b", data[:-1])
    assert bundled.run(EXPORT, "--jsonl --bundle b").status == 4


def test_a_statement_that_is_in_no_log_is_not_exported(bundled: World) -> None:
    """Whoever hands over the bundle wrote a release into it, which nobody signed."""
    more = MemoryLog()
    more.enroll("acme.example", "provider")
    forged = more.release(PRODUCT, "1.4.2", {**GOOD, **EXTRA})
    bundle = Bundle.parse((bundled.folder / "b").read_bytes())
    entries = {**bundle.entries, 999: Included(more.entries[forged].envelope, ())}
    bundled.write("b", changed(bundle, entries=entries).encode())
    ran = bundled.run(EXPORT, "--jsonl --bundle b")
    assert ran.status == 0, ran.err
    assert [one["registers"] for one in lines(ran.out)] == [GOOD]


def test_a_bundle_about_something_else_has_no_feed(bundled: World) -> None:
    bundled.write_policy(products={"other.example/x": {"platforms": ["aws-nitro"]}})
    ran = bundled.run("export other.example/x --policy policy.toml --jsonl --bundle b")
    assert ran.status == 4
    assert "no release of other.example/x is accepted now (there is none" in ran.err


# --- usage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (EXPORT, "in which form?"),
        (f"{EXPORT} --corim", "where to? -o FILE"),
        (f"{EXPORT} --jsonl --json", "where to? -o FILE"),
        (f"export {PRODUCT} --jsonl", "no policy"),
        ("export other.example/x --policy policy.toml --jsonl", "does not name"),
        (f"{EXPORT} --jsonl --bundle b --log https://log.example/pcr", "one of them"),
        (f"{EXPORT} --jsonl --bundle nothing", "No such file"),
    ],
)
def test_what_is_lacking_is_said(world: World, words: str, told: str) -> None:
    ran = world.run(words)
    assert ran.status == 2
    assert told in " ".join((ran.err + ran.out).split())
