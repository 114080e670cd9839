"""`pcrlog component`: releases of parts, and how far the chain of each one goes."""

import json
from hashlib import sha256
from typing import Any

import pytest

from pcrlog.predicates import Component, Release
from pcrlog.verification.audits import digest_of
from tests.support.memory_log import key
from tests.support.scene import NONCE, PRODUCT, artifact, document
from tests.unit.cli.world import OLD, World, release_words, withhold

PARTS = "parts.example"
SIDECAR = f"{PARTS}/sidecar"
TAR = b"a sidecar, as it is shipped"
SHA = sha256(TAR).hexdigest()
SIDE = Component(SIDECAR, SHA)
OTHER = "0e" * 20
ADD = (
    "component add sidecar.tar --policy policy.toml --key parts.key"
    f" --product {SIDECAR}"
)
MADE = f"--source https://git.example/parts/sidecar --commit {OTHER} --recipe recipe"
LIST = "component list --policy policy.toml"


@pytest.fixture
def parts(world: World) -> World:
    """A provider of parts, enrolled, with a file."""
    world.log.enroll(PARTS, "provider")
    world.log.seal()
    world.write_key("parts.key", key(PARTS))
    world.write("sidecar.tar", TAR)
    world.write("recipe", b"make\n")
    return world


def listed(world: World, *words: str, status: int = 0) -> Any:
    ran = world.run(LIST, *words, "--json")
    assert ran.status == status, ran
    return json.loads(ran.out)


def rely(world: World, *components: Component, confirmed: bool = True) -> int:
    index = world.scene.release(components=components)
    digest = digest_of(components) if confirmed else None
    world.scene.reproduce(components=digest)
    world.log.seal()
    return index


# --- add ------------------------------------------------------------------------------


def test_a_part_is_released_as_an_artifact_with_its_source(parts: World) -> None:
    ran = parts.run(ADD, "--version 1.0.0", MADE, "--no-components")
    assert ran.status == 0, ran.err
    said = parts.last().predicate
    assert isinstance(said, Release)
    assert (said.product, said.version, said.platform) == (SIDECAR, "1.0.0", "artifact")
    assert parts.last().registers == artifact(SHA)
    assert said.source is not None
    assert said.source.commit == OTHER
    assert said.build is not None
    assert said.components == ()
    assert said.image is None
    assert f"--component {SIDECAR}:{SHA}" in " ".join(ran.err.split())


def test_a_part_may_be_named_by_its_digest_and_twice_is_once(parts: World) -> None:
    words = ADD.replace("sidecar.tar", f"sha256:{SHA}")
    assert parts.run(words, "--version 1.0.0").status == 0
    size = len(parts.log.leaves)
    ran = parts.run(ADD, "--version 1.0.0 --json")
    assert (ran.status, json.loads(ran.out)["known"]) == (0, True)
    assert len(parts.log.leaves) == size


def test_a_part_is_written_down_and_signed_elsewhere(parts: World) -> None:
    ran = parts.run(ADD, "--version 1.0.0 --output part.json")
    assert ran.status == 0, ran.err
    statement = json.loads((parts.folder / "part.json").read_bytes())
    assert statement["subject"] == [{"digest": {"sha256": SHA}, "name": "digest"}]


@pytest.mark.parametrize(
    "words",
    ["--pcr 0=12", "--measurements good.json", "--binding user_data:raw-key"],
)
def test_a_part_has_no_registers_and_no_key(parts: World, words: str) -> None:
    ran = parts.run(ADD, "--version 1.0.0", words)
    assert ran.status == 2
    assert "No such option" in ran.err


def test_a_part_that_is_not_there_is_refused(parts: World) -> None:
    ran = parts.run(ADD.replace("sidecar.tar", "none.tar"), "--version 1")
    assert (ran.status, "none.tar: No such file" in ran.err) == (2, True)
    assert "names it so" not in ran.err


def test_what_was_revoked_is_not_released_again(parts: World) -> None:
    assert parts.run(ADD, "--version 1.0.0").status == 0
    index = max(parts.log.entries)
    revoke = "revoke --policy policy.toml --key parts.key --reason vulnerable"
    assert parts.run(revoke, str(index)).status == 0
    ran = parts.run(ADD, "--version 1.0.1")
    assert ran.status == 4
    assert "names it so" not in ran.err


def test_a_release_names_a_part_by_its_file_or_digest(parts: World) -> None:
    for named in ("sidecar.tar", SHA):
        ran = parts.run(
            release_words(f"1.{len(named)}"), f"--component {SIDECAR}:{named}"
        )
        assert ran.status == 0, ran.err
        said = parts.last().predicate
        assert isinstance(said, Release)
        assert said.components == (SIDE,)
    ran = parts.run(release_words("2.0"), f"--component {SIDECAR}:none.tar")
    assert ran.status == 2
    assert "PRODUCT:SHA256, or a FILE" in ran.err


# --- list -----------------------------------------------------------------------------


def test_what_nobody_released_is_said_with_who_is_next(parts: World) -> None:
    index = rely(parts, SIDE)
    ran = parts.run(LIST, f"--product {PRODUCT}")
    assert ran.status == 0, ran.err
    assert f"{PRODUCT} 1.4.2 names 1 component (entry {index})" in ran.out
    assert f"sha256 {SHA}" in ran.out
    assert "5 source  missing    parts.example has released no such artifact" in ran.out
    assert "next: parts.example: release it" in ran.out
    assert f"the list: confirmed by lab.example (entry {index + 1})" in ran.out
    assert ran.out == parts.run(LIST, str(index)).out


def test_each_step_of_a_part_shows(parts: World) -> None:
    index = rely(parts, SIDE)
    assert parts.run(ADD, "--version 1.0.0", MADE).status == 0
    found = listed(parts, str(index))
    assert found["index"] == index
    [one] = found["components"]
    assert [link["status"] for link in one["links"]] == ["claimed", "missing"]
    release = max(parts.log.entries)
    parts.scene.review(of=OTHER)
    parts.log.seal()
    [one] = listed(parts, str(index))["components"]
    assert [link["status"] for link in one["links"]] == ["claimed", "proven"]
    assert "nobody has rebuilt it" in one["links"][0]["found"]
    cosign = "cosign --policy policy.toml --key lab.key --scope reproduction"
    ran = parts.run(f"{cosign} --result pass --artifact sidecar.tar {release}")
    assert ran.status == 0, ran
    found = listed(parts, str(index))
    [one] = found["components"]
    assert [link["status"] for link in one["links"]] == ["proven", "proven"]
    assert [link["status"] for link in found["links"]] == ["proven", "proven"]
    assert one["version"] == "1.0.0"


def test_an_unconfirmed_list_says_what_to_type(parts: World) -> None:
    index = rely(parts, SIDE, confirmed=False)
    ran = parts.run(LIST, str(index))
    assert "the list: nobody has confirmed that it is complete" in ran.out
    words = f"--components-complete {index}"
    assert ran.out.splitlines()[-2:] == [
        f"Next: pcrlog cosign --rebuild COMMAND --produces FILE {words}",
        f"Next: pcrlog cosign --scope reproduction {words}",
    ]


def test_where_nothing_can_be_rebuilt_nobody_is_told_to(parts: World) -> None:
    index = parts.scene.release(components=(SIDE,), source=None)
    parts.log.seal()
    ran = parts.run(LIST, str(index))
    assert "the list: nobody has confirmed that it is complete" in ran.out
    assert "Next:" not in ran.out


def test_a_revoked_part_ends_in_refuted(parts: World) -> None:
    index = rely(parts, SIDE)
    part = parts.scene.part(SIDECAR, SHA)
    assert part == SIDE
    [release] = parts.log.index[f"v1/product/{SIDECAR}"]
    parts.log.revoke(PARTS, "compromised", release)
    parts.log.seal()
    found = listed(parts, str(index), status=4)
    assert found["components"][0]["links"][0]["status"] == "failed"
    assert found["against"] == ""
    assert "✗ 5 source  failed" in parts.run(LIST, str(index)).out


def test_a_revoked_release_is_said_before_its_parts(parts: World) -> None:
    index = rely(parts, SIDE)
    parts.log.revoke("acme.example", "vulnerable", index)
    parts.log.seal()
    found = listed(parts, str(index), status=4)
    assert found["against"].startswith("release.valid: ")
    assert (found["named"], found["components"]) == (1, [])
    told = parts.run(LIST, str(index)).out
    assert "names 1 component (entry" in told
    assert "against it: release.valid" in told
    assert "its components are not judged" in told


def test_a_fail_of_the_release_itself_is_against_it(parts: World) -> None:
    index = rely(parts)
    parts.scene.reproduce("lens.example", result="fail")
    parts.log.seal()
    found = listed(parts, str(index), status=4)
    assert found["against"].startswith("audits.fails: lens.example failed it")


def test_under_a_policy_that_has_run_out_nothing_is_checked(parts: World) -> None:
    index = rely(parts)
    parts.write_policy(head={"valid_until": "2026-01-01T00:00:00Z"})
    assert listed(parts, str(index), status=3)["unsure"].startswith("policy.valid: ")
    told = parts.run(LIST, str(index)).out
    assert "could not check: policy.valid" in told


def test_what_the_log_does_not_answer_is_not_called_unconfirmed(
    parts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = rely(parts, SIDE)
    withhold(parts, monkeypatch, index + 1, path="bundle")
    ran = parts.run(LIST, str(index))
    assert ran.status == 3
    assert "whether it is complete could not be checked" in " ".join(ran.out.split())
    assert "could not check: answers.present" in ran.out


def test_too_few_confirmations_are_said_to_be(parts: World) -> None:
    index = rely(parts, SIDE)
    parts.write_policy(product={"counts": {"reproduction": 2}})
    told = parts.run(LIST, str(index)).out
    assert "the list: fewer than 2 auditors have confirmed that it is" in told
    assert "confirmed by" not in told


def test_a_release_that_does_not_stand_gives_way_to_one_that_does(
    parts: World,
) -> None:
    index = rely(parts, SIDE)
    renewed = parts.scene.release("1.4.3", components=())
    parts.log.revoke("acme.example", "withdrawn", renewed)
    parts.log.seal()
    assert listed(parts, str(renewed))["index"] == index
    ran = parts.run(LIST, str(renewed))
    assert f"names 1 component (entry {index})" in ran.out
    assert f"entry {renewed} is not the newest release of its" in ran.err


def test_a_log_cannot_hide_the_newest_release(
    parts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rely(parts, SIDE)
    newest = parts.scene.release("1.5.0", OLD, components=())
    parts.log.seal()
    withhold(parts, monkeypatch, newest)
    assert listed(parts, f"--product {PRODUCT}")["index"] == newest


def test_none_and_nothing_are_told_apart(parts: World) -> None:
    index = rely(parts)
    assert "names no components" in parts.run(LIST, str(index)).out
    silent = parts.scene.release("1.5.0", OLD)
    parts.log.seal()
    ran = parts.run(LIST, str(silent))
    assert "names nothing of components, not even none" in ran.out
    assert "the list" not in ran.out


def test_the_newest_release_is_taken(parts: World) -> None:
    rely(parts)
    newest = parts.scene.release("1.5.0", artifact("ee" * 32), platform="artifact")
    parts.log.seal()
    rules = {"platforms": ["aws-nitro", "artifact"]}
    assert listed(parts, f"--product {PRODUCT}")["version"] == "1.4.2"
    parts.write_policy(product=rules)
    assert listed(parts, f"--product {PRODUCT}")["index"] == newest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (LIST, "of which release?"),
        (f"{LIST} 5 --product {PRODUCT}", "of which release?"),
        ("component list 5", "whose audits count?"),
        (f"{LIST} 0", "entry 0 is no release"),
        (f"{LIST} --product acme.example/other", "acme.example/other"),
        (f"{LIST} --product {PRODUCT}", "has no release of"),
    ],
)
def test_what_cannot_be_listed_is_told(parts: World, words: str, told: str) -> None:
    ran = parts.run(words)
    assert ran.status == 2
    assert told in ran.err


# --- as verify tells it ---------------------------------------------------------------


def test_verify_names_components_in_text_json_and_the_filed_report(
    parts: World,
) -> None:
    rely(parts, SIDE)
    parts.scene.review()
    parts.log.seal()
    assert parts.run(ADD, "--version 1.0.0").status == 0
    parts.write("doc", document(time=parts.log.now))
    verify = f"verify --policy policy.toml --product {PRODUCT} --attestation doc"
    verify += f" --nonce {NONCE.hex()}"
    ran = parts.run(verify, "--report out.html")
    assert ran.status == 0, ran
    why = "its release names no source"
    assert f"· {SIDECAR} 1.0.0  missing  {why}" in ran.out
    assert f"trust ends at {SIDECAR} 1.0.0: {why}" in " ".join(ran.out.split())
    report = json.loads(parts.run(verify, "--json").out)
    assert report["components"][0]["product"] == SIDECAR
    page = (parts.folder / "out.html").read_text()
    assert page.count(f"<b>{SIDECAR} 1.0.0</b><span>missing</span>") == 2
    assert f"<dd>{why}</dd>" in page
    assert "The list was found complete by lab.example." in page
    parts.log.now += 8 * 365 * 86_400
    ran = parts.run("report verify out.html --policy-sha256", report["policy_sha256"])
    assert ran.status == 0, ran
    assert "same words" in ran.out
