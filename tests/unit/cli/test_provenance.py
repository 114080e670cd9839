"""Provenance in `release` and `verify`: who built it, and what that does not prove."""

import json

import pytest

from pcrlog.predicates import Reference, Release
from tests.support.scene import NONCE, PRODUCT, document
from tests.support.sigstore_world import SIGNER, Sigstore, statement
from tests.support.sources import digest, image, registers_of
from tests.unit.cli.world import World

IMAGE = image(100)
REGISTERS = registers_of(IMAGE)
COMMIT = "3f" * 20
URI = "https://acme.example/provenance/1.4.2.sigstore.json"
SOURCE = f"--source https://git.example/wallet --commit {COMMIT}"
GIVEN = f"--provenance p.json --provenance-uri {URI} --trusted-root root.json"
RELEASE = (
    f"release --policy policy.toml --key acme.key --product {PRODUCT} --version 1.4.2"
    f" --measurements app.eif {SOURCE}"
)
VERIFY = (
    f"verify --policy policy.toml --product {PRODUCT} --attestation doc --nonce"
    f" {NONCE.hex()}"
)
CHECKED = "--provenance p.json --trusted-root root.json"


@pytest.fixture
def built(world: World) -> World:
    """An image, what a build service says of it, and an enclave that runs it."""
    sigstore = Sigstore()
    world.write("app.eif", IMAGE)
    world.write("recipe.txt", b"nix build\n")
    world.write("root.json", sigstore.trusted_root())
    world.write("p.json", sigstore.bundle(statement(digest(IMAGE), COMMIT)))
    world.write("doc", document(REGISTERS, time=world.log.now))
    return world


def released(world: World, *more: str) -> None:
    ran = world.run(RELEASE, "--recipe recipe.txt --image app.eif", GIVEN, *more)
    assert ran.status == 0, ran.err


def test_a_release_names_provenance_by_its_digest(built: World) -> None:
    released(built, f"--built-by {SIGNER}")
    said = built.last().predicate
    assert isinstance(said, Release)
    sha256 = digest((built.folder / "p.json").read_bytes())
    assert said.references == (Reference("slsa-provenance", URI, sha256),)


def test_who_built_it_is_told_and_what_it_does_not_prove(built: World) -> None:
    ran = built.run(RELEASE, GIVEN)
    text = " ".join(ran.err.split())
    assert f"built by {SIGNER}" in text
    assert "link 3 stays claimed" in text


def test_link_3_reads_claimed_built_by(built: World) -> None:
    released(built)
    ran = built.run(VERIFY, CHECKED)
    assert ran.status == 0, ran.err
    [row] = [line for line in ran.out.splitlines() if "3 source" in line]
    assert "claimed" in row
    assert "acme.example, built by" in row
    shown = json.loads(built.run(VERIFY, CHECKED, "--json").out)
    assert shown["links"][2]["by"] == ["acme.example"]
    assert any(f"built by {SIGNER}" in one for one in shown["remarks"])


def test_other_provenance_than_the_release_names_is_refused(built: World) -> None:
    released(built)
    other = Sigstore().bundle(statement(digest(IMAGE), COMMIT, note="x"))
    built.write("p.json", other)
    ran = built.run(VERIFY, CHECKED)
    assert ran.status == 4
    assert "is not the provenance that entry 5 names" in " ".join(ran.err.split())


def test_provenance_of_a_release_that_names_none_is_refused(built: World) -> None:
    assert built.run(RELEASE).status == 0
    ran = built.run(VERIFY, CHECKED)
    assert ran.status == 4
    assert "names: none" in ran.err


def test_what_is_refuted_needs_no_builder(built: World) -> None:
    built.write("doc", document(time=built.log.now))
    ran = built.run(VERIFY, CHECKED)
    assert ran.status == 4
    assert "REFUTED" in ran.out


def test_a_release_names_the_file_that_its_provenance_is_about(built: World) -> None:
    assert built.run(RELEASE, GIVEN).status == 0
    said = built.last().predicate
    assert isinstance(said, Release)
    assert said.image is not None
    assert said.image.sha256 == digest(IMAGE)


def test_the_file_is_the_one_that_is_released(built: World) -> None:
    built.write("other.eif", image(200))
    base = RELEASE.replace("app.eif", "other.eif")
    ran = built.run(base, "--image app.eif", GIVEN)
    assert ran.status == 2
    assert "its PCR0, PCR2 is another" in " ".join(ran.err.split())
    ran = built.run(base, "--image policy.toml", GIVEN)
    assert ran.status == 2
    assert "policy.toml: " in ran.err


def test_provenance_that_could_be_of_anything_is_told_of_nothing(built: World) -> None:
    """Somebody's famous builder, named by a release of something else."""
    bundle = Sigstore().bundle(statement("ab" * 32, None))
    built.write("p.json", bundle)
    famous = f"--reference slsa-provenance:{URI}:{digest(bundle)}"
    assert built.run(RELEASE, famous).status == 0
    ran = built.run(VERIFY, CHECKED, f"--built-by {SIGNER}")
    assert ran.status == 3
    assert "built by" not in ran.out
    assert "names no image that this provenance" in " ".join(ran.err.split())


def test_what_was_seen_is_remembered_whatever_provenance_comes_to(
    built: World,
) -> None:
    """A fork of the log is kept as evidence, also if the provenance is wrong."""
    released(built)
    state = built.folder / "state"
    assert not state.exists()
    assert built.run(VERIFY, CHECKED, "--built-by https://nobody.example").status == 4
    assert list(state.rglob("*"))


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ("--provenance p.json --trusted-root root.json", 2, "--provenance-uri"),
        (f"--provenance p.json --provenance-uri {URI}", 2, "--trusted-root"),
        ("--trusted-root root.json", 2, "with --provenance"),
        (f"{GIVEN} --built-by https://github.com/mallory", 4, "and not by"),
        (GIVEN.replace("p.json", "app.eif"), 2, "no Sigstore bundle"),
        (GIVEN.replace("p.json", "absent"), 2, "absent"),
    ],
    ids=range(6),
)
def test_a_release_refuses_provenance_that_it_cannot_stand_behind(
    built: World, words: str, status: int, says: str
) -> None:
    size = len(built.log.leaves)
    ran = built.run(RELEASE, words)
    assert ran.status == status, ran
    assert says in " ".join(ran.err.split())
    assert len(built.log.leaves) == size


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (statement("ab" * 32, COMMIT), "about other files"),
        (statement(digest(IMAGE), "ab" * 20), "release says from commit 3f3f"),
    ],
    ids=["file", "commit"],
)
def test_provenance_of_something_else_is_refused(
    built: World, said: dict[str, object], says: str
) -> None:
    built.write("p.json", Sigstore().bundle(said))
    ran = built.run(RELEASE, GIVEN)
    assert ran.status == 4
    assert says in " ".join(ran.err.split())


def test_provenance_is_about_a_file(built: World) -> None:
    words = RELEASE.replace("app.eif", "good.json")
    ran = built.run(words, GIVEN)
    assert ran.status == 2
    assert "--image app.eif" in ran.err
    built.write("p.json", Sigstore().bundle(statement(digest(IMAGE), COMMIT)))
    base = RELEASE.replace("--measurements app.eif", "")
    assert built.run(base, GIVEN, "--artifact app.eif").status == 0
    again = base.replace("1.4.2", "1.4.3")
    given = f"--artifact sha256:{digest(IMAGE)}"
    assert built.run(again, GIVEN, given).status == 0


def test_who_is_believed_goes_with_provenance(built: World) -> None:
    released(built)
    ran = built.run(VERIFY, "--trusted-root root.json")
    assert ran.status == 2
    assert "--provenance FILE" in ran.err
