"""`pcrlog cosign`: what it says, and what it refuses to say."""

import json

import pytest

from pcrlog.encoding import format_time
from pcrlog.predicates import Audit, Basis, Control, Release
from pcrlog.verification.audits import digest_of
from tests.support.memory_log import registers
from tests.support.scene import COMMIT, LAB, LENS, RECIPE
from tests.unit.cli.world import GOOD, World

DAY = 86_400
REBUILT = "--scope reproduction --result pass --measurements good.json"


def cosign(key: str, *words: str) -> str:
    return f"cosign --policy policy.toml --key {key}.key " + " ".join(words)


def said(world: World) -> Audit:
    predicate = world.last().predicate
    assert isinstance(predicate, Audit)
    return predicate


@pytest.fixture
def index(world: World) -> int:
    """A release with source, recipe, components and controls."""
    controls = (Control("kms-policy", "ab" * 32),)
    found = world.scene.release(components=(), controls=controls)
    world.log.seal()
    return found


def test_a_reproduction_names_what_was_rebuilt(world: World, index: int) -> None:
    ran = world.run(cosign("lab", REBUILT, "--components-complete", str(index)))
    assert ran.status == 0, ran.err
    audit = said(world)
    assert (audit.issuer, audit.scope, audit.result) == (LAB, "reproduction", "pass")
    assert audit.source is not None
    assert audit.source.commit == COMMIT
    assert audit.recipe == RECIPE.sha256
    assert audit.components == digest_of(())
    assert world.last().registers == GOOD


def test_a_pass_is_refused_where_registers_differ(world: World, index: int) -> None:
    size = len(world.log.leaves)
    words = REBUILT.replace("good", "rogue")
    ran = world.run(cosign("lab", words, str(index), "--json"))
    assert ran.status == 4
    shown = json.loads(ran.out)
    assert shown["release"] == GOOD
    assert shown["ours"] == registers("rogue")
    assert len(world.log.leaves) == size


def test_a_pass_needs_all_registers_that_tell_a_build(world: World, index: int) -> None:
    ran = world.run(cosign("lab", "--scope reproduction --result pass", str(index)))
    assert ran.status == 2
    assert "--measurements" in ran.err


def test_a_register_that_a_rebuild_cannot_tell_is_left_out(world: World) -> None:
    role = registers("role")["PCR0"]
    index = world.scene.release("1.4.2", {**GOOD, "PCR3": role})
    world.log.seal()
    assert world.run(cosign("lab", REBUILT, str(index))).status == 0
    assert world.last().registers == GOOD


def test_a_fail_says_what_came_out(world: World, index: int) -> None:
    words = "--scope reproduction --result fail --measurements rogue.json"
    assert world.run(cosign("lab", words, str(index))).status == 0
    audit = said(world)
    found = {one.name: f"sha384:{one.digest['sha384']}" for one in audit.found or ()}
    assert found == registers("rogue")
    assert world.last().registers == GOOD


def test_a_fail_may_say_that_nothing_came_out(world: World, index: int) -> None:
    ran = world.run(cosign("lab", "--scope reproduction --result fail", str(index)))
    assert ran.status == 0
    assert said(world).found == ()


def test_a_fail_with_the_same_registers_is_none(world: World, index: int) -> None:
    words = REBUILT.replace("pass", "fail")
    assert world.run(cosign("lab", words, str(index))).status == 2


def test_a_pass_of_a_revoked_release_is_refused(world: World, index: int) -> None:
    world.log.revoke("acme.example", "vulnerable", index)
    world.log.seal()
    ran = world.run(cosign("lab", REBUILT, str(index)))
    assert ran.status == 4
    assert "is revoked" in ran.out


def test_a_fail_of_a_revoked_release_is_heard(world: World, index: int) -> None:
    world.log.revoke("acme.example", "vulnerable", index)
    world.log.seal()
    words = "--scope reproduction --result fail"
    assert world.run(cosign("lab", words, str(index))).status == 0


def test_a_source_review_is_of_the_commit_of_the_release(
    world: World, index: int
) -> None:
    open_findings = "--open critical=0,high=0,medium=2,low=5"
    words = f"--scope source-review --result qualified {open_findings}"
    report = f"--report https://lens.example/r.pdf:{'cd' * 32} --expires 90d"
    ran = world.run(cosign("lens", words, report, str(index)))
    assert ran.status == 0, ran.err
    audit = said(world)
    assert (audit.issuer, audit.platform) == (LENS, "source")
    assert audit.open is not None
    assert audit.open.low == 5
    assert audit.expires == format_time(world.log.now + 90 * DAY)
    assert world.last().registers == {"commit": f"gitCommit:{COMMIT}"}


def test_a_commit_can_be_reviewed_before_it_is_released(world: World) -> None:
    words = f"--scope source-review --result pass --commit {COMMIT}"
    assert world.run(cosign("lens", words)).status == 0
    assert said(world).issuer == LENS


def test_a_review_builds_on_an_earlier_one_of_ones_own(world: World) -> None:
    first = world.scene.review(of="aa" * 20)
    other = world.scene.review(LAB, of="aa" * 20)
    world.log.seal()
    words = f"--scope source-review --result pass --commit {COMMIT} --basis"
    assert world.run(cosign("lens", words, str(other))).status == 2
    assert world.run(cosign("lens", words, str(first))).status == 0
    assert said(world).basis == Basis("aa" * 20, world.log.entries[first].sha256)


def test_a_controls_review_names_the_list_and_ends_in_90_days(
    world: World, index: int
) -> None:
    words = "--scope controls-review --result pass"
    assert world.run(cosign("lens", words, str(index))).status == 0
    audit = said(world)
    release = world.log.entries[index].predicate
    assert isinstance(release, Release)
    assert audit.controls == digest_of(release.controls or ())
    assert audit.expires == format_time(world.log.now + 90 * DAY)


def test_cosigning_again_changes_nothing(world: World, index: int) -> None:
    world.run(cosign("lab", REBUILT, str(index)))
    size = len(world.log.leaves)
    world.log.now += 60
    ran = world.run(cosign("lab", REBUILT, str(index), "--json"))
    assert json.loads(ran.out)["known"] is True
    assert len(world.log.leaves) == size


def test_a_rival_release_is_told_of(world: World, index: int) -> None:
    rival = world.log.release("acme.example/wallet", "1.4.2", registers("rogue"))
    world.log.seal()
    ran = world.run(cosign("lab", REBUILT, str(index)))
    assert ran.status == 0
    assert f"entry {rival}" in ran.err


def test_an_artifact_is_rebuilt_too(world: World) -> None:
    digest = {"digest": "sha256:" + "ab" * 32}
    product = "acme.example/sidecar"
    index = world.scene.release("1.0.0", digest, product=product, platform="artifact")
    world.log.seal()
    words = "--scope reproduction --result pass --artifact sha256:" + "ab" * 32
    assert world.run(cosign("lab", words, str(index))).status == 0
    assert world.last().registers == digest


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--scope reproduction --result pass", "what it is about"),
        ("--scope source-review --result pass --commit aa 5", "what it is about"),
        (f"--scope reproduction --result pass --commit {COMMIT}", "INDEX"),
        ("--scope source-review --result qualified 5", "--open"),
        ("--scope source-review --result pass --open critical=0 5", "--open"),
        ("--scope source-review --result qualified --open high=1,high=2 5", "--open"),
        ("--scope source-review --result pass --components-complete 5", "reproduction"),
        ("--scope reproduction --result pass --basis 3 5", "--basis"),
        ("--scope source-review --result pass --pcr 0=00 5", "no registers"),
        ("--scope reproduction --result pass 1", "is no release"),
    ],
    ids=range(10),
)
def test_what_makes_no_sense_is_a_usage_error(
    world: World, index: int, words: str, says: str
) -> None:
    ran = world.run(cosign("lens", words))
    assert ran.status == 2, ran
    assert says in ran.err


def test_nothing_is_cosigned_without_a_policy(world: World, index: int) -> None:
    words = cosign("lab", REBUILT, str(index)).replace("--policy policy.toml", "")
    ran = world.run(words, "--log https://log.example/pcr")
    assert ran.status == 2
    assert "--policy" in ran.err


def test_a_key_of_no_auditor_is_refused(world: World, index: int) -> None:
    ran = world.run(cosign("acme", REBUILT, str(index)))
    assert ran.status == 2
    assert "--as NAME" in ran.err


def test_a_log_that_lies_about_the_release_is_caught(world: World, index: int) -> None:
    other = world.log.entries[index].envelope.raw.replace(b"a", b"b", 1)
    place = f"tile/entries/000.p/{len(world.log.leaves)}"
    leaves = [*world.log.leaves]
    leaves[index] = other
    world.lies[place] = lambda: (
        200,
        b"".join(len(leaf).to_bytes(2) + leaf for leaf in leaves),
    )
    ran = world.run(cosign("lab", REBUILT, str(index)))
    assert ran.status == 4
    assert "inclusion" in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("lab --scope reproduction --result pass --measurements old.json", "no source"),
        ("lens --scope controls-review --result pass", "no controls"),
        ("lens --scope source-review --result pass", "no commit"),
    ],
    ids=["source", "controls", "commit"],
)
def test_what_a_release_does_not_say_cannot_be_audited(
    world: World, words: str, says: str
) -> None:
    index = world.log.release("acme.example/wallet", "1.0.0", registers("old"))
    world.log.seal()
    key, *rest = words.split()
    ran = world.run(cosign(key, *rest, str(index)))
    assert ran.status == 2
    assert says in ran.err


def test_a_list_that_is_not_there_is_not_complete(world: World) -> None:
    index = world.scene.release()
    world.log.seal()
    ran = world.run(cosign("lab", REBUILT, "--components-complete", str(index)))
    assert ran.status == 2
    assert "no components" in ran.err


def test_an_audit_can_be_made_on_another_machine(world: World, index: int) -> None:
    words = f"--scope reproduction --result fail {index} --output a.json"
    assert world.run(cosign("lab", words)).status == 2
    assert world.run(cosign("lab", words, f"--as {LAB}")).status == 0
    assert world.run("sign a.json --policy policy.toml --key lab.key").status == 0
    assert said(world).issuer == LAB


def test_only_own_reviews_are_a_basis(world: World, index: int) -> None:
    words = f"--scope source-review --result pass --commit {COMMIT} --basis {index}"
    ran = world.run(cosign("lens", words))
    assert ran.status == 2
    assert "no source-review by" in ran.err


def test_a_policy_of_too_many_auditors_does_not_tell_who_speaks(world: World) -> None:
    names = [f"a{n}.example" for n in range(9)]
    rules = {
        f"{name}/x": {
            "platforms": ["aws-nitro"],
            "auditors": [{"name": name, "scopes": ["source-review"]}],
        }
        for name in names
    }
    world.write_policy(products=rules)
    words = f"--scope source-review --result pass --commit {COMMIT}"
    assert world.run(cosign("lens", words)).status == 2
    assert world.run(cosign("lens", words, f"--as {LENS}")).status == 0
