"""A rebuild has a folder of its own, and what it makes was not there before."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from pcrlog.errors import UncheckedError, UsageError
from tests.support.sources import TIME, commit, digest
from workbench.rebuild import (
    FILE,
    Built,
    Job,
    Rebuild,
    inside,
    opened,
    variables,
    words_of,
)

NAMES = {"PATH": os.environ["PATH"], "SECRET": "x"}


@pytest.fixture
def source(tmp_path: Path) -> tuple[str, str]:
    folder = tmp_path / "source"
    return str(folder), commit(folder, {"a.txt": b"one"})


def job(source: tuple[str, str], script: str, produces: str = "out/a") -> Job:
    where, of = source
    return Job(where, of, ("sh", "-c", script), produces, 20, {"MINE": "1"})


def built(
    source: tuple[str, str], tmp_path: Path, script: str
) -> tuple[Rebuild, Built]:
    doing = Rebuild(job(source, script), tmp_path / "work", NAMES)
    return doing, doing.build(doing.fetch(), None)


def test_the_command_gets_a_clean_environment(
    source: tuple[str, str], tmp_path: Path
) -> None:
    doing, found = built(source, tmp_path, "mkdir out; env > out/a; echo built")
    assert found.problem == ""
    assert found.file is not None
    text = found.file.read_text()
    given = dict(line.partition("=")[::2] for line in text.splitlines())
    assert given["MINE"] == "1"
    assert given["PCRLOG_COMMIT"] == source[1]
    assert given["SOURCE_DATE_EPOCH"] == str(TIME)
    assert given["HOME"] == str(doing.folder / "home")
    assert given["TZ"] == "UTC"
    assert "SECRET" not in given
    assert found.log.read_bytes() == b"built\n"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "exit status 3"),
        ("true", "made no out/a"),
        ("mkdir -p out/a", "is no file"),
        ("mkdir out; mkfifo out/a", "is no file"),
        ("mkdir out; ln -s /nonexistent out/a", "made no out/a"),
    ],
)
def test_what_makes_nothing_says_why(
    source: tuple[str, str], tmp_path: Path, script: str, says: str
) -> None:
    _, found = built(source, tmp_path, script)
    assert found.file is None
    assert says in found.problem


def test_a_link_to_a_store_is_followed(source: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    place = tmp_path / "store/app"
    _, found = built(
        source, tmp_path, f"echo x > {place}; mkdir out; ln -s {place} out/a"
    )
    assert found.file is not None
    with opened(found.file) as file:
        assert file.read() == b"x\n"


def test_what_the_commit_holds_was_not_built(
    source: tuple[str, str], tmp_path: Path
) -> None:
    doing = Rebuild(job(source, "true", "a.txt"), tmp_path / "work", NAMES)
    with pytest.raises(UsageError, match="is in the commit itself"):
        doing.fetch()


def test_a_rebuild_has_a_folder_of_its_own(
    source: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "work/source").mkdir(parents=True)
    with pytest.raises(UsageError, match="is not empty"):
        Rebuild(job(source, "true"), tmp_path / "work", NAMES).fetch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/build.log").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="is not empty"):
        Rebuild(job(source, "true"), tmp_path / "other", NAMES).fetch()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="file"):
        Rebuild(job(source, "true"), tmp_path / "file/work", NAMES).fetch()


def test_what_is_gone_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UncheckedError, match="No such file"):
        opened(tmp_path / "gone")


def test_what_is_measured_is_a_file_of_some_size(tmp_path: Path) -> None:
    """Whoever runs on may have put something else there, or a file without an end."""
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(FILE + 1)
    for name in ("empty", "pipe", "huge"):
        with pytest.raises(UncheckedError, match="expected a file of 1 to"):
            opened(tmp_path / name)


def test_a_recipe_is_what_its_digest_says(tmp_path: Path) -> None:
    """Attributes in the commit may write another file to the disk than it holds."""
    recipe = b"make $Id$\n"
    files = {"a.txt": b"x", "recipe": recipe, ".gitattributes": b"recipe ident\n"}
    where = tmp_path / "source"
    of = commit(where, files)
    for data in (recipe, b"x"):
        doing = Rebuild(
            replace(job((str(where), of), "true"), recipe_sha256=digest(data)),
            tmp_path / data.hex(),
            NAMES,
        )
        doing.fetch()
        found = doing.find_recipe()
        assert found is not None
        assert Path(found).read_bytes() == data
        assert found.endswith("/recipe" if data == recipe else "/source/a.txt")


def test_no_program_of_the_commit_runs_in_the_place_of_another(
    tmp_path: Path,
) -> None:
    trap = tmp_path / "trap"
    script = f"#!/bin/sh\ntouch {trap}\n".encode()
    where = tmp_path / "source"
    of = commit(where, {"touch": script})
    todo = Job(str(where), of, ("touch", "out"), "out", 20, {})
    doing = Rebuild(todo, tmp_path / "work", {"PATH": f".:{os.environ['PATH']}"})
    assert doing.build(doing.fetch(), None).file is not None
    assert not trap.exists()


def test_a_command_is_words_that_nobody_expands() -> None:
    assert words_of("nix build '.#e i f'") == ("nix", "build", ".#e i f")
    assert words_of("sh -c 'a && b $C'") == ("sh", "-c", "a && b $C")
    assert words_of("nix build 'x?a=1&b=2' # c") == (
        *("nix", "build", "x?a=1&b=2", "#", "c"),
    )
    assert words_of("make A=1") == ("make", "A=1")
    for text in (
        *("make && x", "make | tee log", "make $X", "make > log", "cp ~/a b"),
        *("make&&x", "make; x", "make --out=$HOME/x", "A=1 make", "echo `x`", "(make)"),
    ):
        with pytest.raises(UsageError, match="no shell reads this"):
            words_of(text)


def test_variables_are_given_or_passed_on() -> None:
    assert variables(("A=b=c", "SECRET"), NAMES) == {"A": "b=c", "SECRET": "x"}
    for text in ("NOBODY", "1=2", "a b=c", "=x", "ä=1"):
        with pytest.raises(UsageError, match="--env"):
            variables((text,), NAMES)


@pytest.mark.parametrize("path", ["/a", "../a", "a/../../b", "", "."])
def test_what_is_made_is_in_the_commits_folder(path: str) -> None:
    with pytest.raises(UsageError, match="--produces"):
        inside(path)
