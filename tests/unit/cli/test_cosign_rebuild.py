"""`pcrlog cosign --rebuild`: what it shows, what it does, and what it says of it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from cli.main import main
from pcrlog.predicates import Audit, Build, Document, Image, Source
from tests.support import images
from tests.support.memory_log import registers
from tests.support.scene import LAB, PRODUCT
from tests.support.sources import (
    RECIPE,
    commit,
    digest,
    git,
    image,
    registers_of,
)
from tests.unit.cli.world import World

URI = "https://git.example/acme/wallet"
GOOD_IMAGE, OTHER_IMAGE = image(100), image(200)
GOOD = registers_of(GOOD_IMAGE)
BUILD = ("--rebuild", "sh recipe.sh", "--produces", "app.eif", "--fetch-from", "src")


class Lab:
    """An auditor beside a world: a clone of the source, and a release of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source = world.folder / "src"
        self.commit = commit(
            self.source, {"recipe.sh": RECIPE, "parts.bin": GOOD_IMAGE}
        )

    def release(self, version: str = "1.4.2", **members: object) -> int:
        recipe = Document(URI, digest(RECIPE))
        members.setdefault("source", Source(URI, self.commit))
        members.setdefault("build", Build(recipe))
        members.setdefault("image", GOOD)
        found = self.world.scene.release(version, **members)  # type: ignore[arg-type] # a release's members
        self.world.log.seal()
        return found

    def run(self, *words: str, key: str = "lab.key") -> tuple[int, str, str]:
        self.world.capture.readouterr()
        args = ["cosign", "--policy", "policy.toml", "--key", key, *words]
        status = main(args, clock=lambda: float(self.world.log.now))
        captured = self.world.capture.readouterr()
        return status, captured.out, captured.err

    @property
    def said(self) -> Audit:
        predicate = self.world.last().predicate
        assert isinstance(predicate, Audit)
        return predicate


@pytest.fixture
def lab(world: World, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("TMPDIR", str(world.folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Lab(world)


def left(lab: Lab) -> list[Path]:
    return list(lab.world.folder.glob("pcrlog-rebuild-*"))


# --- dry -----------------------------------------------------------------------------


def test_without_run_it_is_shown_and_not_done(lab: Lab) -> None:
    index, size = lab.release(), len(lab.world.log.leaves)
    marker = lab.world.folder / "ran"
    words = ("--rebuild", f"touch {marker}", "--produces", "app.eif")
    status, out, _ = lab.run(*words, str(index))
    assert status == 0
    assert out.startswith("DRY RUN")
    assert lab.commit in out
    assert f"touch {marker}" in out
    assert digest(RECIPE) in out
    assert not marker.exists()
    assert len(lab.world.log.leaves) == size
    assert not left(lab)


def test_the_plan_is_whole_for_programs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIX_PATH", "nixpkgs")
    index = lab.release(variant="x86_64")
    more = ("--env", "NIX_PATH", "--env", "A=b c", "--timeout", "2h", "--json")
    status, out, _ = lab.run(*BUILD, *more, str(index))
    assert status == 0
    shown = json.loads(out)
    assert shown["dry_run"] is True
    [plan] = shown["rebuilds"]
    assert plan["command"] == ["sh", "recipe.sh"]
    assert plan["expected"] == GOOD
    assert plan["seconds"] == 7200
    given = plan["environment"]
    assert given["NIX_PATH"] == "nixpkgs"
    assert given["A"] == "b c"
    assert given["PCRLOG_VARIANT"] == "x86_64"
    assert "PCRLOG_STATE" not in given
    assert json.loads(plan["statement"])["predicate"]["result"] == "pass"


# --- done ----------------------------------------------------------------------------


def test_what_comes_out_as_released_is_published(lab: Lab) -> None:
    index = lab.release()
    status, out, err = lab.run(*BUILD, "--run", str(index))
    assert status == 0, err
    assert "published: reproduction pass" in out
    assert "builds to what was released" in err
    audit = lab.said
    assert (audit.issuer, audit.result) == (LAB, "pass")
    assert audit.source == Source(URI, lab.commit)
    assert audit.recipe == digest(RECIPE)
    assert lab.world.last().registers == GOOD
    assert not left(lab)


def test_another_image_is_shown_and_nothing_is_said(lab: Lab) -> None:
    lab.commit = commit(lab.source, {"parts.bin": OTHER_IMAGE})
    index, size = lab.release(), len(lab.world.log.leaves)
    status, out, _ = lab.run(*BUILD, "--run", str(index))
    assert status == 4
    assert "another image came out" in out
    assert "--against" in out
    assert len(lab.world.log.leaves) == size
    [folder] = left(lab)
    made = folder / "source" / "app.eif"
    assert f"--result fail --measurements {made} {index}" in out
    ran = lab.world.run(
        f"cosign --policy policy.toml --key lab.key --scope reproduction --result fail"
        f" --measurements {made} {index}"
    )
    assert ran.status == 0, ran.err


def test_the_released_image_tells_which_file_differs(lab: Lab) -> None:
    lab.commit = commit(lab.source, {"parts.bin": OTHER_IMAGE})
    index = lab.release()
    lab.world.write("released.eif", GOOD_IMAGE)
    status, out, _ = lab.run(*BUILD, "--run", "--against", "released.eif", str(index))
    assert status == 4
    assert "app/wallet" in out
    assert "SOURCE_DATE_EPOCH" in out
    lab.world.write("wrong.eif", OTHER_IMAGE)
    status, _, err = lab.run(*BUILD, "--run", "--against", "wrong.eif", str(index))
    assert status == 2
    assert "is not the image that entry" in err


def test_a_mismatch_is_a_fail_on_request(lab: Lab) -> None:
    lab.commit = commit(lab.source, {"parts.bin": OTHER_IMAGE})
    index = lab.release()
    status, out, err = lab.run(*BUILD, "--run", "--fail-on-mismatch", str(index))
    assert status == 0, err
    assert "reproduction fail" in out
    assert "another image came out" in err
    audit = lab.said
    assert audit.result == "fail"
    found = {one.name: f"sha384:{one.digest['sha384']}" for one in audit.found or ()}
    assert found == registers_of(OTHER_IMAGE)
    assert lab.world.last().registers == GOOD
    assert left(lab)


def test_a_mismatch_is_data_for_programs(lab: Lab) -> None:
    lab.commit = commit(lab.source, {"parts.bin": OTHER_IMAGE})
    index = lab.release()
    status, out, _ = lab.run(*BUILD, "--run", "--json", str(index))
    assert status == 4
    shown = json.loads(out)
    assert shown["release"] == GOOD
    assert shown["ours"]["registers"] == registers_of(OTHER_IMAGE)
    assert shown["differences"]["same"] is False


def test_a_file_that_differs_where_nothing_is_measured_is_told_of(lab: Lab) -> None:
    named = lab.world.log.release(
        PRODUCT,
        "1.4.3",
        GOOD,
        source=Source(URI, lab.commit),
        image=Image("ab" * 32, 7),
    )
    lab.world.log.seal()
    status, _, err = lab.run(*BUILD, "--run", str(named))
    assert status == 0
    assert "not the one that the release names" in err


def test_an_auditors_own_signature_says_nothing_of_the_build(lab: Lab) -> None:
    init = images.ramdisk([images.file("init", b"init")])
    app = images.ramdisk([images.file("app/wallet", b"x", mtime=100)])
    signed = images.image(init, app, cmdline=b"reboot=k panic=30", algorithm="ES384")
    lab.commit = commit(lab.source, {"parts.bin": signed})
    index = lab.release(image={**GOOD, "PCR8": registers("cert")["PCR0"]})
    status, _, err = lab.run(*BUILD, "--run", str(index))
    assert status == 0, err
    assert lab.world.last().registers == GOOD


def test_an_artifact_is_rebuilt_too(lab: Lab) -> None:
    subject = {"digest": f"sha256:{digest(GOOD_IMAGE)}"}
    product = "acme.example/sidecar"
    index = lab.release(image=subject, product=product, platform="artifact")
    status, _, err = lab.run(*BUILD, "--run", str(index))
    assert status == 0, err
    assert lab.world.last().registers == subject
    wrong = lab.release(
        version="2",
        image={"digest": f"sha256:{'ab' * 32}"},
        product=product,
        platform="artifact",
    )
    status, out, _ = lab.run(*BUILD, "--run", str(wrong))
    assert status == 4
    assert "another file came out" in out
    assert "--artifact" in out


def test_a_statement_can_be_signed_elsewhere(lab: Lab) -> None:
    index = lab.release()
    words = (*BUILD, "--run", "--output", "a.json", "--as", LAB, str(index))
    status, _, err = lab.run(*words)
    assert status == 0, err
    said = json.loads((lab.world.folder / "a.json").read_bytes())
    assert said["predicate"]["result"] == "pass"


def test_a_folder_that_is_named_is_kept(lab: Lab) -> None:
    index = lab.release()
    status, _, err = lab.run(*BUILD, "--run", "--folder", "here", str(index))
    assert status == 0, err
    assert (lab.world.folder / "here/build.log").exists()
    status, _, err = lab.run(*BUILD, "--run", "--folder", "here", str(index))
    assert status == 2
    assert "is not empty" in " ".join(err.split())


def test_a_release_that_was_revoked_meanwhile_is_refused(lab: Lab) -> None:
    """The log is asked again after the build."""
    index = lab.release()
    log, real = lab.world.log, lab.world.answer
    asked = len([one for one in lab.world.asked if "bundle" in one])

    def answer(method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        bundles = [one for one in lab.world.asked if one == "GET api/v1/bundle"]
        if len(bundles) - asked == 1 and "bundle" in path:
            log.revoke("acme.example", "vulnerable", index)
            log.seal()
        return real(method, path, body)

    lab.world.answer = answer  # type: ignore[method-assign] # the log changes while it is asked
    status, out, _ = lab.run(*BUILD, "--run", str(index))
    assert status == 4
    assert "is revoked" in out


def test_all_variants_are_rebuilt_by_one_command(lab: Lab) -> None:
    recipe = b'cp "$PCRLOG_VARIANT.bin" app.eif\n'
    files = {"recipe.sh": recipe, "x86.bin": GOOD_IMAGE, "arm.bin": OTHER_IMAGE}
    lab.commit = commit(lab.source, files)
    build = Build(Document(URI, digest(recipe)))
    index = lab.release(variant="x86", build=build)
    lab.release(variant="arm", image=registers_of(OTHER_IMAGE), build=build)
    status, out, err = lab.run(*BUILD, "--run", "--all-variants", str(index))
    assert status == 0, err
    assert out.count("published: reproduction pass") == 2
    said = [one.statement.registers for one in lab.world.log.entries.values()]
    assert said[-2:] == [GOOD, registers_of(OTHER_IMAGE)]


# --- what cannot be done -------------------------------------------------------------


def test_a_build_that_fails_is_no_audit(lab: Lab) -> None:
    index, size = lab.release(), len(lab.world.log.leaves)
    words = ("--rebuild", "sh -c 'echo no compiler; exit 7'", "--produces", "app.eif")
    more = ("--fetch-from", "src", "--run", "--fail-on-mismatch", str(index))
    status, _, err = lab.run(*words, *more)
    assert status == 3
    assert "exit status 7" in err
    assert "no compiler" in err
    assert f"--result fail {index}" in err
    assert len(lab.world.log.leaves) == size


def test_what_is_no_image_could_not_be_checked(lab: Lab) -> None:
    index = lab.release()
    words = ("--rebuild", "cp recipe.sh app.eif", "--produces", "app.eif")
    status, _, err = lab.run(*words, "--fetch-from", "src", "--run", str(index))
    assert status == 3
    assert "no image" in err


def test_a_commit_that_is_not_there_could_not_be_checked(lab: Lab) -> None:
    index = lab.release(source=Source(URI, "12" * 20))
    status, _, err = lab.run(*BUILD, "--run", str(index))
    assert status == 3
    assert "12" * 20 in err
    assert not left(lab)


def test_a_recipe_is_found_by_its_digest_or_named(lab: Lab) -> None:
    other = b"make\n"
    index = lab.release(build=Build(Document(URI, digest(other))))
    status, _, err = lab.run(*BUILD, "--run", str(index))
    assert status == 3
    assert "--recipe FILE" in err
    lab.world.write("wrong.txt", b"no\n")
    status, _, err = lab.run(*BUILD, "--run", "--recipe", "wrong.txt", str(index))
    assert status == 3
    lab.world.write("recipe.txt", other)
    words = ("--rebuild", "sh -c 'cat $PCRLOG_RECIPE >&2; cp parts.bin app.eif'")
    more = ("--produces", "app.eif", "--fetch-from", "src", "--recipe", "recipe.txt")
    status, _, err = lab.run(*words, *more, "--run", str(index))
    assert status == 0, err
    assert lab.said.recipe == digest(other)


def test_a_recipe_that_is_published_elsewhere_is_fetched(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = b"make\n"
    place = "https://acme.example/recipes/1.txt"
    index = lab.release(build=Build(Document(place, digest(other))))

    def fetch(_self: object, path: str, most: int) -> bytes:
        assert (path, most) == ("1.txt", 1 << 20)
        return other

    class Elsewhere:
        def __init__(self, base: str) -> None:
            assert base == "https://acme.example/recipes"

        __call__ = fetch

    monkeypatch.setattr("cli.cosign_rebuild.Client", Elsewhere)
    status, _, err = lab.run(*BUILD, "--run", str(index))
    assert status == 0, err


def test_submodules_are_told_of(lab: Lab) -> None:
    row = f"160000,{'34' * 20},sub"
    git(lab.source, "update-index", "--add", "--cacheinfo", row)
    git(lab.source, "commit", "--quiet", "-m", "sub")
    lab.commit = git(lab.source, "rev-parse", "HEAD")
    status, _, err = lab.run(*BUILD, "--run", str(lab.release()))
    assert status == 0, err
    assert "1 submodules" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--result", "pass"), "finds out by itself what --result"),
        (("--measurements", "good.json"), "--measurements"),
        (("--scope", "source-review"), "no source-review"),
        (("--timeout", "8d"), "at most 7d"),
        (("--produces", "../app.eif"), "expected a path in the commit"),
        (("--produces", "/app.eif"), "expected a path in the commit"),
        (("--rebuild", "sh 'open"), "No closing quotation"),
        (("--rebuild", " "), "expected a command"),
        (("--rebuild", "make && make install"), "no shell reads this"),
        (("--rebuild", "make $HOME"), "no shell reads this"),
        (("--env", "NOBODY_SET_IT"), "no such variable"),
        (("--env", "1=2"), "NAME=VALUE"),
        (("--run", "--fetch-from", "ssh://git.example/x"), "cannot fetch from"),
        (("--against", "a.eif", "--all-variants"), "--against"),
        (("--fail-on-mismatch", "--all-variants"), "a fail is about one release"),
        (("--output", "policy.toml", "--as", LAB), "policy.toml exists"),
        (("--run", "--rebuild", "no-such-program-here"), "cannot be run"),
        (("--run", "--produces", "parts.bin"), "is in the commit itself"),
    ],
    ids=range(18),
)
def test_what_makes_no_sense_is_a_usage_error(
    lab: Lab, words: tuple[str, ...], says: str
) -> None:
    status, _, err = lab.run(*BUILD, *words, str(lab.release()))
    assert status == 2, err
    assert says in err


def test_a_rebuild_is_of_a_release_that_names_its_source(lab: Lab) -> None:
    index = lab.release(source=None, build=None)
    status, _, err = lab.run(*BUILD, str(index))
    assert status == 2
    assert "names no source" in err
    status, _, err = lab.run(*BUILD)
    assert status == 2
    assert "INDEX" in err
    status, _, err = lab.run("--rebuild", "make", str(index))
    assert status == 2
    assert "--produces" in err
    status, _, err = lab.run(
        "--run", "--scope", "reproduction", "--result", "pass", "5"
    )
    assert status == 2
    assert "--rebuild COMMAND" in err


def test_a_revoked_release_is_not_rebuilt(lab: Lab) -> None:
    index = lab.release()
    lab.world.log.revoke("acme.example", "withdrawn", index)
    lab.world.log.seal()
    status, _, err = lab.run(*BUILD, str(index))
    assert status == 4
    assert "is revoked" in err


def test_a_release_without_a_recipe_is_rebuilt_as_well(lab: Lab) -> None:
    index = lab.release(build=None)
    assert "the release names none" in lab.run(*BUILD, str(index))[1]
    assert (
        "signs reproduction fail"
        in lab.run(*BUILD, "--fail-on-mismatch", str(index))[1]
    )
    status, _, err = lab.run(*BUILD, "--run", str(index))
    assert status == 0, err
    assert lab.said.recipe is None


def test_what_cannot_be_removed_is_told_of(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    status, _, err = lab.run(*BUILD, "--run", str(lab.release()))
    assert status == 0
    assert "could not be removed whole" in " ".join(err.split())


def test_what_could_not_be_said_afterwards_is_refused_before(lab: Lab) -> None:
    lab.world.scene.release("1.4.2", GOOD, variant="a", source=Source(URI, lab.commit))
    index = lab.release(image=registers("b"), variant="b")
    marker = lab.world.folder / "ran"
    words = ("--rebuild", f"touch {marker}", "--produces", "app.eif", "--run")
    where = ("--fetch-from", "src", str(index))
    for wrong in (
        ("--report", "no-report"),
        ("--performed", "yesterday"),
        ("--all-variants", "--output", "a.json", "--as", LAB),
    ):
        status, _, err = lab.run(*words, *wrong, *where)
        assert status == 2, err
        assert not marker.exists()


def test_a_fail_does_not_expire_and_confirms_no_list(lab: Lab) -> None:
    lab.commit = commit(lab.source, {"parts.bin": OTHER_IMAGE})
    index = lab.release(components=())
    more = ("--expires", "90d", "--components-complete", "--fail-on-mismatch")
    status, _, err = lab.run(*BUILD, "--run", *more, str(index))
    assert status == 0, err
    assert (lab.said.result, lab.said.expires, lab.said.components) == (
        "fail",
        None,
        None,
    )


# --- what is no fail -----------------------------------------------------------------


def test_another_variants_image_is_no_fail(lab: Lab) -> None:
    """A command that builds one variant, whichever is asked for, is the mistake."""
    lab.release(variant="x86")
    index = lab.release(variant="arm", image=registers_of(OTHER_IMAGE))
    size = len(lab.world.log.leaves)
    status, out, err = lab.run(*BUILD, "--run", "--fail-on-mismatch", str(index))
    assert status == 4
    assert "another image came out: nothing is said" in out
    assert "releases, variant x86: this is variant arm" in " ".join(err.split())
    assert len(lab.world.log.leaves) == size


def test_an_image_of_pointers_is_no_fail(lab: Lab) -> None:
    """What LFS, or a submodule, was to bring is missing: nothing was found out."""
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    files = {".gitattributes": b"*.dat filter=lfs\n", "model.dat": pointer}
    lab.commit = commit(lab.source, {**files, "parts.bin": OTHER_IMAGE})
    index, size = lab.release(), len(lab.world.log.leaves)
    status, out, err = lab.run(*BUILD, "--run", "--fail-on-mismatch", str(index))
    assert status == 4, err
    assert "'model.dat' was not there" in " ".join(err.split())
    assert "git lfs pull" in " ".join(err.split())
    assert "--result fail --measurements" in out
    assert len(lab.world.log.leaves) == size


# --- its end -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_ends_the_command_ends_the_build_and_clears_up(
    lab: Lab, number: int
) -> None:
    index = lab.release()
    marker = lab.world.folder / "late"
    script = f"kill -{number} {os.getpid()}; sleep 1; touch {marker}"
    words = ("--rebuild", f'sh -c "{script}"', "--produces", "app.eif")
    # Under nohup, the tests would be deaf to one of these, and so the command.
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    try:
        status, _, _ = lab.run(*words, "--fetch-from", "src", "--run", str(index))
    finally:
        signal.signal(number, before)
    assert status == 130
    assert not left(lab)
    time.sleep(1.2)
    assert not marker.exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
