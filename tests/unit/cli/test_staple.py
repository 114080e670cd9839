"""`pcrlog staple`: what it writes, what it never writes, and what it says of itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.staple_folder import Folder
from cli.well_known import WellKnown
from pcrlog.bundle import Bundle
from pcrlog.encoding import format_time
from pcrlog.evidence import verify_evidence
from tests.support import machines
from tests.support.memory_log import MemoryLog, witness
from tests.support.scene import DAY, HOUR, PRODUCT, document, quorum
from tests.unit.cli.world import GOOD, OLD, ROGUE, World, problem

ONCE = f"staple --policy policy.toml --follow {PRODUCT} --out web --once"
THESE = "--measurements good.json"
VERIFY = f"verify --policy policy.toml --product {PRODUCT} --attestation doc"
W1 = witness("w1.example/a")


@pytest.fixture
def released(world: World) -> World:
    world.scene.release()
    world.log.seal()
    return world


def once(world: World, *words: str, status: int = 0) -> dict[str, Any]:
    """One round; its health, which lies in the folder too."""
    world.asked.clear()
    ran = world.run(ONCE, "--json", *words)
    assert ran.status == status, (ran.out, ran.err)
    found: dict[str, Any] = json.loads(ran.out)
    assert found == json.loads((world.folder / "web" / "health.json").read_bytes())
    return found


def bundle(world: World) -> bytes:
    return (world.folder / "web" / "wallet.pcrbundle").read_bytes()


def wrote(world: World) -> list[str]:
    """The files of the folder, without the lock."""
    paths = (world.folder / "web").rglob("*")
    names = (path.name for path in paths if path.is_file())
    return sorted(name for name in names if name != ".pcrlog-staple")


# --- what is written -----------------------------------------------------------------


def test_a_stapled_bundle_verifies_offline(released: World) -> None:
    health = once(released)
    assert (health["condition"], health["releases"][0]["version"]) == ("fresh", "1.4.2")
    assert health["fresh_until"] == format_time(released.log.now + DAY)
    released.write("doc", document(time=released.log.now, nonce=b"n" * 16))
    released.lies["api/v1/bundle"] = lambda: (503, b"")
    words = f"{VERIFY} --nonce {b'n'.hex() * 16} --bundle web/wallet.pcrbundle"
    assert released.run(words).status == 0


def test_an_equal_checkpoint_is_all_that_is_fetched(released: World) -> None:
    first = once(released)
    assert "GET api/v1/bundle" in released.asked
    written = bundle(released)
    released.log.now += 60
    second = once(released)
    assert released.asked == ["GET checkpoint"]
    assert bundle(released) == written
    assert second["renewed"] == first["renewed"]
    assert second["checked"] > first["checked"]


def test_a_newer_checkpoint_is_a_newer_bundle(released: World) -> None:
    first = once(released)
    released.log.now += HOUR
    released.log.seal()
    second = once(released)
    assert second["size"] > first["size"]
    assert second["renewed"] > first["renewed"]
    assert bundle(released) != b""


def test_another_policy_asks_for_other_answers(released: World) -> None:
    released.write_policy(product={"auditors": []})
    once(released)
    released.write_policy()
    once(released)
    assert "GET api/v1/bundle" in released.asked


def test_blue_and_green_are_in_one_bundle(released: World) -> None:
    released.scene.release("1.5.0", ROGUE)
    released.scene.release("1.0.0", OLD)
    released.log.seal()
    health = once(released, "--newest 2")
    assert [one["version"] for one in health["releases"]] == ["1.0.0", "1.5.0"]
    for measured in (OLD, ROGUE):
        time = released.log.now
        released.write("doc", document(measured, time=time, nonce=b"n" * 16))
        words = f"{VERIFY} --nonce {b'n'.hex() * 16} --bundle web/wallet.pcrbundle"
        assert released.run(words).status == 0


def test_what_runs_there_can_be_said(released: World) -> None:
    released.scene.release("1.5.0", ROGUE)
    released.log.seal()
    health = once(released, THESE)
    assert [one["registers"] for one in health["releases"]] == [GOOD]
    assert "GET api/v1/lookup" not in released.asked


def test_a_revocation_is_stapled_and_told(released: World) -> None:
    once(released)
    [index] = [i for i, e in released.log.entries.items() if "wallet" in str(e)]
    released.log.revoke("acme.example", "vulnerable", index)
    released.log.seal()
    health = once(released, status=4)
    assert health["condition"] == "fresh"
    assert health["releases"][0]["accepted"] is False
    assert "accepts nothing" in health["problems"][0]
    assert index + 2 in Bundle.parse(bundle(released)).entries
    out = " ".join(released.run(ONCE).out.split())
    assert "the policy does not accept PCR0=sha384:" in out
    assert "is revoked by acme.example as vulnerable" in out


def test_quorums_count_for_how_long_it_is_fresh(released: World) -> None:
    log = released.log
    log.note = log.cosign(W1)
    released.write_policy(
        log={"witnesses": quorum(1, W1), "index_monitors": "none", "max_age": "2h"}
    )
    assert once(released)["fresh_until"] == format_time(log.now + 2 * HOUR)


def test_a_frozen_log_is_good_for_as_long_as_the_policy_says(released: World) -> None:
    until = "2027-01-01T00:00:00Z"
    waived = {"witnesses": "none", "index_monitors": "none"}
    released.write_policy(log={**waived, "frozen_until": until})
    released.log.seal(frozen=True)
    released.log.now += 3 * DAY
    assert once(released)["fresh_until"] == until


# --- what is never written -----------------------------------------------------------


def test_the_last_good_bundle_stays_when_the_log_is_silent(released: World) -> None:
    once(released)
    kept = bundle(released)
    for path in ("checkpoint", "api/v1/bundle"):
        released.lies[path] = lambda: problem(503, "down", "Down for a while", "")
    health = once(released, status=3)
    assert (health["condition"], health["failures"]) == ("failing", 1)
    assert "Down for a while" in health["problems"][0]
    released.log.now += 2 * DAY
    health = once(released, status=3)
    assert (health["condition"], health["failures"]) == ("stale", 2)
    assert bundle(released) == kept
    released.lies.clear()
    released.log.seal()
    health = once(released)
    assert (health["condition"], health.get("failures", 0)) == ("fresh", 0)


def test_a_stale_answer_is_not_written(released: World) -> None:
    released.log.now += 2 * DAY
    health = once(released, status=3)
    assert health["condition"] == "stale"
    assert "log.freshness" in health["problems"][0]
    assert wrote(released) == ["health.json"]
    assert "there is no bundle" in released.run(ONCE).out


def test_an_answer_that_leaves_something_out_is_not_written(released: World) -> None:
    once(released, THESE)
    kept = bundle(released)
    released.log.now += 60
    released.log.seal()
    empty = released.log.assemble({}).encode()
    released.lies["api/v1/bundle"] = lambda: (200, empty)
    health = once(released, THESE, status=3)
    assert "answers.present" in health["problems"][0]
    released.lies["api/v1/bundle"] = lambda: (200, b"<html>")
    assert "log.signature" in once(released, THESE, status=4)["problems"][0]
    assert bundle(released) == kept


def test_an_older_state_does_not_replace_a_newer_one(released: World) -> None:
    old = released.log.until(len(released.log.leaves))
    released.log.now += 60
    released.scene.release("1.4.3")
    released.log.seal()
    once(released, THESE)
    kept = bundle(released)
    newer, released.log = released.log, old
    health = once(released, THESE, status=3)
    assert "an older state" in health["problems"][0]
    assert bundle(released) == kept
    released.log = newer
    once(released, THESE)


def test_two_histories_leave_evidence_and_the_bundle(released: World) -> None:
    once(released, THESE)
    kept = bundle(released)
    other = released.log.until(len(released.log.leaves) - 1)
    other.now += 1
    other.seal()
    assert len(other.leaves) == len(released.log.leaves)
    key, released.log = released.log.signer.public, other
    health = once(released, THESE, status=4)
    assert "two histories" in health["problems"][0]
    [file] = (released.folder / "state" / "evidence").glob("*.pcrevidence")
    assert verify_evidence(file.read_bytes(), key).kind == "checkpoints"
    assert bundle(released) == kept


def test_what_lay_there_and_is_of_nobody_is_replaced(released: World) -> None:
    (released.folder / "web").mkdir()
    for junk in (b"junk", MemoryLog(origin="o.example").assemble({}).encode()):
        (released.folder / "web" / "wallet.pcrbundle").write_bytes(junk)
        once(released)
        assert Bundle.parse(bundle(released)).note == released.log.note


def test_what_nobody_released_is_waited_for(world: World) -> None:
    health = once(world, status=3)
    assert "has no release of acme.example/wallet yet" in health["problems"][0]
    assert once(world, THESE, status=4)["condition"] == "fresh"


def test_a_bundle_is_of_the_platform_that_the_policy_names(world: World) -> None:
    """A newer release on another platform does not take its place."""
    world.scene.release("1.4.2", image=GOOD)
    world.scene.release("1.4.3", image=machines.ENCLAVE, platform=machines.SGX)
    world.log.seal()
    health = once(world)
    assert [one["version"] for one in health["releases"]] == ["1.4.2"]


def test_releases_on_other_platforms_are_waited_beside(world: World) -> None:
    world.scene.release(image=machines.ENCLAVE, platform=machines.SGX)
    world.log.seal()
    health = once(world, status=3)
    told = "has no release of acme.example/wallet on aws-nitro yet"
    assert told in " ".join(health["problems"][0].split())


def test_a_folder_that_cannot_be_written_is_told(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cli.files.replace", full)
    ran = released.run(ONCE, "--json")
    assert ran.status == 2
    assert "No space left" in json.loads(ran.out)["problems"][0]


# --- the folder ----------------------------------------------------------------------


def test_what_a_killed_run_left_is_removed(released: World) -> None:
    web = released.folder / "web"
    web.mkdir()
    (web / ".wallet.pcrbundle.x1y2z3").write_bytes(b"half")
    (web / ".htaccess").write_bytes(b"mine")
    once(released)
    assert wrote(released) == [".htaccess", "health.json", "wallet.pcrbundle"]


def test_one_run_keeps_a_folder(released: World) -> None:
    with Folder(released.folder / "web", PRODUCT).kept():
        ran = released.run(ONCE)
    assert ran.status == 2
    assert "another run keeps web" in ran.err


def test_a_folder_that_is_none_is_refused(released: World) -> None:
    released.write("web", b"")
    assert released.run(ONCE).status == 2


@pytest.mark.parametrize("junk", [b"", b"{}", b"[1]", b"\xff"])
def test_a_health_file_that_is_none_is_written_anew(
    released: World, junk: bytes
) -> None:
    once(released)
    (released.folder / "web" / "health.json").write_bytes(junk)
    assert once(released)["condition"] == "fresh"
    (released.folder / "web" / "health.json").write_bytes(junk)
    released.lies["checkpoint"] = lambda: (503, b"")
    assert once(released, status=3)["condition"] == "stale"


def test_the_health_of_another_product_is_not_ones_own(released: World) -> None:
    once(released)
    folder = Folder(released.folder / "web", "acme.example/other")
    assert folder.health() is None
    assert Folder(Path("nowhere"), PRODUCT).bundle() is None


# --- the well-known file -------------------------------------------------------------


def test_it_says_where_all_that_is(released: World) -> None:
    once(released, "--attestation https://wallet.acme.example:8443/attestation")
    path = released.folder / "web" / ".well-known" / "pcrlog"
    found = WellKnown.parse(path.read_bytes(), "wallet.acme.example")
    assert found.product == PRODUCT
    assert found.logs == (released.log.origin,)
    assert found.bundle == "https://wallet.acme.example:8443/wallet.pcrbundle"
    once(
        released,
        "--attestation https://wallet.acme.example/attestation",
        "--bundle-url https://wallet.acme.example:444/b",
    )
    found = WellKnown.parse(path.read_bytes(), "wallet.acme.example")
    assert found.bundle == "https://wallet.acme.example:444/b"


def test_nothing_is_promised_before_there_is_a_bundle(world: World) -> None:
    once(world, "--attestation https://wallet.acme.example/attestation", status=3)
    assert wrote(world) == ["health.json"]


@pytest.mark.parametrize(
    "words",
    [
        "--attestation http://wallet.acme.example/attestation",
        "--attestation https://wallet.acme.example/attestation?x=1",
        "--attestation https://a.example/a --bundle-url https://cdn.example/b",
        "--bundle-url https://wallet.acme.example/b",
        "--attestation wallet.acme.example",
        "--every 0s",
        "--every soon",
        "--newest 0",
        "--pcr 0=12",
        "--log https://elsewhere.example",
    ],
)
def test_what_makes_no_sense_is_said(released: World, words: str) -> None:
    assert released.run(ONCE, words).status == 2


def test_only_what_a_policy_names_is_followed(released: World) -> None:
    assert released.run(ONCE.replace("wallet", "other")).status == 2
    assert released.run(ONCE.replace("--policy policy.toml", "")).status == 2
