"""`pcrlog release`: what it says, and when it does not."""

import json

import pytest

from pcrlog.encoding import sha256
from pcrlog.predicates import Binding, Control, Release, Source
from tests.support.scene import PRODUCT
from tests.unit.cli.world import GOOD, World, release_words

COMMIT = "3f" * 20
DIGEST = "ab" * 32


def released(world: World) -> Release:
    predicate = world.last().predicate
    assert isinstance(predicate, Release)
    return predicate


def test_a_release_says_what_its_options_say(world: World) -> None:
    world.write("recipe.txt", b"nix build\n")
    ran = world.run(
        release_words(),
        f"--variant x86_64 --source https://git.example/w --commit {COMMIT}",
        "--recipe recipe.txt --recipe-uri https://git.example/recipe.txt",
        f"--component base.example/b:{DIGEST} --component base.example/a:{DIGEST}",
        f"--control kms-policy:{DIGEST}:https://acme.example/kms.json",
        "--image recipe.txt --binding public_key:tls-spki-sha256 --expires 90d",
        f"--reference sbom:https://acme.example/sbom.json:{DIGEST}",
    )
    assert ran.status == 0, ran.err
    said = released(world)
    assert (said.product, said.version, said.variant) == (PRODUCT, "1.4.2", "x86_64")
    assert said.source == Source("https://git.example/w", COMMIT)
    assert said.build is not None
    assert said.build.recipe.uri == "https://git.example/recipe.txt"
    components = said.components or ()
    assert [c.product for c in components] == ["base.example/a", "base.example/b"]
    assert said.controls is not None
    assert said.controls[0].uri == "https://acme.example/kms.json"
    assert said.image is not None
    assert said.image.size == len(b"nix build\n")
    assert said.binding == Binding("public_key", "tls-spki-sha256")
    assert said.expires == "2027-02-21T07:00:00Z"
    assert said.references is not None
    assert world.last().registers == GOOD


def test_a_recipe_without_a_uri_is_a_file_of_the_source(world: World) -> None:
    world.write("recipe.txt", b"nix build\n")
    source = f"--source https://git.example/w --commit {COMMIT} --recipe recipe.txt"
    assert world.run(release_words(), source).status == 0
    build = released(world).build
    assert build is not None
    assert build.recipe.uri == "https://git.example/w"


def test_a_recipe_may_be_a_uri_with_its_digest(world: World) -> None:
    recipe = f"--recipe https://git.example/r#sha256:{DIGEST}"
    assert world.run(release_words(), recipe).status == 0
    build = released(world).build
    assert build is not None
    assert build.recipe.sha256 == DIGEST


def test_a_release_names_a_control_by_its_file_or_digest(world: World) -> None:
    world.write("kms.json", b"{}\n")
    digest, uri = sha256(b"{}\n").hex(), "https://acme.example/kms.json"
    for version, named in (("1.4.2", "kms.json"), ("1.4.3", digest)):
        ran = world.run(release_words(version), f"--control kms-policy:{named}:{uri}")
        assert ran.status == 0, ran.err
        assert released(world).controls == (Control("kms-policy", digest, uri),)
    ran = world.run(release_words("1.4.4"), "--control kms-policy:kms.json")
    assert ran.status == 0, ran.err
    assert released(world).controls == (Control("kms-policy", digest),)


def test_no_components_is_a_claim_and_silence_is_none(world: World) -> None:
    assert world.run(release_words(), "--no-components --no-controls").status == 0
    assert released(world).components == ()
    assert released(world).controls == ()
    assert world.run(release_words("1.4.3")).status == 0
    assert released(world).components is None


def test_releasing_again_changes_nothing(world: World) -> None:
    first = world.run(release_words(), "--json")
    size = len(world.log.leaves)
    world.log.now += 60
    again = world.run(release_words(), "--json")
    assert (first.status, again.status) == (0, 0)
    assert json.loads(again.out)["index"] == json.loads(first.out)["index"]
    assert json.loads(again.out)["known"] is True
    assert len(world.log.leaves) == size


def test_a_release_that_says_more_is_a_new_one(world: World) -> None:
    world.run(release_words())
    size = len(world.log.leaves)
    assert world.run(release_words(), "--no-components").status == 0
    assert len(world.log.leaves) > size


def test_an_expired_release_is_made_anew(world: World) -> None:
    world.run(release_words(), "--expires 2026-11-23T08:00:00Z")
    world.log.now += 7200
    world.log.seal()
    ran = world.run(release_words(), "--expires 2026-11-23T12:00:00Z --json")
    assert json.loads(ran.out)["known"] is False


def test_registers_that_are_revoked_are_refused(world: World) -> None:
    index = world.log.release(PRODUCT, "1.4.2", GOOD)
    world.log.revoke("acme.example", "vulnerable", index)
    world.log.seal()
    ran = world.run(release_words("1.4.3"))
    assert ran.status == 4
    assert "vulnerable" in ran.out


def test_a_conflict_is_refused_unless_it_is_meant(world: World) -> None:
    world.run(release_words())
    ran = world.run(release_words(build="rogue"))
    assert ran.status == 4
    assert "other registers" in ran.err
    assert "--conflict" in ran.err
    assert world.run(release_words(build="rogue"), "--conflict").status == 0


def test_a_key_of_nobody_is_refused_before_anything_is_sent(world: World) -> None:
    ran = world.run(release_words().replace("acme.key", "lab.key"))
    assert ran.status == 4
    assert "not an active key of acme.example" in ran.err
    assert "POST api/v1/entries" not in world.asked


def test_without_a_policy_it_is_submitted_and_nothing_is_believed(world: World) -> None:
    words = release_words().replace(
        "--policy policy.toml", "--log https://log.example/pcr"
    )
    ran = world.run(words, "--json")
    assert ran.status == 0
    assert json.loads(ran.out)["proven"] is False
    assert "nothing" in ran.err


def test_an_artifact_is_released_by_its_digest(world: World) -> None:
    words = release_words().replace("--measurements good.json", "--artifact good.json")
    assert world.run(words).status == 0
    assert released(world).platform == "artifact"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--no-components --component a.example/x:" + DIGEST, "exclude"),
        ("--no-controls --control kms:" + DIGEST, "exclude"),
        ("--source https://git.example/w", "belong together"),
        ("--component base.example/b", "64 lower-case hex"),
        ("--control kms-policy:none.json:https://a.example/x", "'none.json'"),
        ("--control kms-policy", "KIND:SHA256[:URI], or a FILE for SHA256"),
        ("--binding pk:tls", "binding"),
        ("--expires tomorrow", "--expires"),
        ("--recipe good.json", "--recipe-uri"),
        ("--recipe http://git.example/r", "#sha256:HEX"),
        ("--source http://git.example/w --commit " + COMMIT, "source.uri"),
        ("--artifact good.json", "stands alone"),
    ],
    ids=lambda text: text.replace(" ", "_")[:40],
)
def test_what_makes_no_sense_is_a_usage_error(
    world: World, more: str, says: str
) -> None:
    ran = world.run(release_words(), more)
    assert ran.status == 2
    assert says in ran.err


def test_a_product_under_another_name_cannot_be_released(world: World) -> None:
    ran = world.run(release_words(), "--as lab.example")
    assert ran.status == 2
    assert "not under the name" in ran.err
