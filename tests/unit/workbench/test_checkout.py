"""A commit is fetched from anywhere, and is the one that was named."""

import os
from pathlib import Path

import pytest

from pcrlog.errors import UncheckedError, UsageError
from tests.support.sources import TIME, commit, digest, git
from workbench import checkout
from workbench.checkout import Repository, address, environment
from workbench.pointers import absent

NAMES = {"PATH": os.environ["PATH"]}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    commit(folder, {"a.txt": b"one", "deep/recipe": b"first\n"})
    return folder


def test_a_commit_is_what_it_was(source: Path, made: Path) -> None:
    old = git(source, "rev-parse", "HEAD")
    new = commit(source, {"a.txt": b"two", "b.txt": b"more"})
    found = Repository(made, NAMES).fetch(str(source), old)
    assert (found.commit, found.time, found.submodules) == (old, TIME, ())
    assert (made / "a.txt").read_bytes() == b"one"
    assert not (made / "b.txt").exists()
    assert git(made, "rev-parse", "HEAD") == old != new


def test_a_commit_of_sha256_is_one_too(tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "sha256"
    folder.mkdir()
    git(folder, "init", "--quiet", "--object-format=sha256", ".")
    of = commit(folder, {"a": b"b"})
    assert len(of) == 64
    assert Repository(made, NAMES).fetch(str(folder), of).commit == of


def test_what_the_source_does_not_have_could_not_be_checked(
    source: Path, made: Path
) -> None:
    with pytest.raises(UncheckedError, match="12121212"):
        Repository(made, NAMES).fetch(str(source), "12" * 20)


def test_a_tag_is_no_commit(source: Path, made: Path) -> None:
    git(source, "tag", "-a", "-m", "t", "v1")
    tag = git(source, "rev-parse", "v1")
    with pytest.raises(UncheckedError, match="has no commit"):
        Repository(made, NAMES).fetch(str(source), tag)


@pytest.mark.parametrize("name", ["main", "HEAD", "12", "--upload-pack=x", "A" * 40])
def test_a_name_is_no_commit(source: Path, made: Path, name: str) -> None:
    with pytest.raises(UsageError, match="40 or 64"):
        Repository(made, NAMES).fetch(str(source), name)


def test_a_server_that_hands_out_branches_only_is_asked_for_them(
    source: Path, made: Path, tmp_path: Path
) -> None:
    old = git(source, "rev-parse", "HEAD")
    commit(source, {"a.txt": b"two"})
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    real = "PATH=${PATH#*:} exec git"
    script = f'#!/bin/sh\ncase "$*" in *--depth=1*) exit 1;; esac\n{real} "$@"\n'
    wrapper.write_text(script)
    wrapper.chmod(0o700)
    names = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    assert Repository(made, names).fetch(str(source), old).commit == old


def test_no_hook_and_no_filter_of_anybody_runs(
    source: Path, made: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    of = commit(source, {".gitattributes": b"* filter=trap\n"})
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[filter "trap"]\nsmudge = touch {trap}; cat\n')
    names = {**NAMES, "HOME": str(home), "GIT_DIR": "/nonexistent"}
    Repository(made, names).fetch(str(source), of)
    assert not trap.exists()


def test_submodules_are_named_and_not_fetched(source: Path, made: Path) -> None:
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{'34' * 20},sub")
    git(source, "commit", "--quiet", "-m", "sub")
    of = git(source, "rev-parse", "HEAD")
    assert Repository(made, NAMES).fetch(str(source), of).submodules == ("sub",)


def test_a_recipe_is_found_by_its_digest(
    source: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(source, {"big": bytes(checkout.RECIPE + 1), "empty": b""})
    of = commit(source, {f"many/{n}": bytes([n]) * 700 for n in range(40)})
    repository = Repository(made, NAMES)
    repository.fetch(str(source), of)
    assert repository.find_recipe(of, digest(b"first\n")) == (
        "deep/recipe",
        b"first\n",
    )
    assert repository.find_recipe(of, digest(b"")) == ("empty", b"")
    assert repository.find_recipe(of, digest(b"nowhere")) is None
    assert repository.find_recipe(of, digest(bytes(checkout.RECIPE + 1))) is None
    monkeypatch.setattr(checkout, "_PART", 1_000)  # a few at a time
    for number in (0, 20, 39):
        wanted = digest(bytes([number]) * 700)
        found = repository.find_recipe(of, wanted)
        assert found == (f"many/{number}", bytes([number]) * 700)


def test_where_to_fetch_from_is_https_or_a_folder(tmp_path: Path) -> None:
    assert address("https://git.example/x") == ("https://git.example/x", "https")
    assert address("git+https://git.example/x")[0] == "https://git.example/x"
    assert address(str(tmp_path)) == (str(tmp_path.resolve()), "file")
    for uri in ("http://x.example/a", "ssh://x/y", "ext::sh -c x", "file:///x", "-x"):
        with pytest.raises(UsageError, match="cannot fetch from"):
            address(uri)


def test_a_fetch_is_given_what_https_needs_and_no_more() -> None:
    names = {"PATH": "/bin", "HTTPS_PROXY": "http://p", "SSH_AUTH_SOCK": "s", "A": "b"}
    found = environment(names, "https")
    assert found["HTTPS_PROXY"] == "http://p"
    assert found["GIT_ALLOW_PROTOCOL"] == "https"
    assert not {"A", "SSH_AUTH_SOCK"} & found.keys()
    assert "HTTPS_PROXY" not in environment(names, "file")


def test_a_fetch_has_an_end(source: Path, made: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/sh\nsleep 60\n")
    wrapper.chmod(0o700)
    names = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    with pytest.raises(UncheckedError, match="took more than"):
        Repository(made, names, seconds=0.3).fetch(str(source), "12" * 20)


def test_a_folder_that_is_no_repository_could_not_be_checked(
    made: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UncheckedError, match="git fetch ended with exit status"):
        Repository(made, NAMES).fetch(str(empty), "12" * 20)


def test_what_git_no_longer_answers_could_not_be_checked(
    source: Path, made: Path
) -> None:
    of = git(source, "rev-parse", "HEAD")
    repository = Repository(made, NAMES)
    repository.fetch(str(source), of)
    (made / ".git/HEAD").unlink()
    with pytest.raises(UncheckedError, match="git ls-tree"):
        repository.find_recipe(of, digest(b"first\n"))


def test_no_program_of_the_commit_runs_in_the_place_of_git(
    source: Path, made: Path, tmp_path: Path
) -> None:
    """A PATH may hold the folder that one is in, by its name or by no name."""
    trap = tmp_path / "trap"
    of = commit(source, {"git": f"#!/bin/sh\ntouch {trap}\n".encode()})
    names = {"PATH": f":.:{os.environ['PATH']}"}
    repository = Repository(made, names)
    repository.fetch(str(source), of)
    assert repository.find_recipe(of, digest(b"first\n")) is not None
    assert not trap.exists()


def test_attributes_of_the_machine_are_left_alone() -> None:
    assert environment(NAMES, "file")["GIT_ATTR_NOSYSTEM"] == "1"


def test_what_is_too_large_is_not_written(
    source: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "_COMMIT_SIZE", 100)
    of = commit(source, {f"copy{n}": bytes(60) for n in range(2)})
    with pytest.raises(UncheckedError, match="is not checked out"):
        Repository(made, NAMES).fetch(str(source), of)
    assert not (made / "copy0").exists()


def test_what_the_commit_only_points_at_is_named_until_it_is_there(
    source: Path, made: Path
) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n"
    files = {".gitattributes": b"*.bin filter=lfs\nb.bin -filter\n"}
    commit(source, {**files, "a.bin": pointer, "b.bin": b"b", "big.bin": b"there"})
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{'34' * 20},sub")
    git(source, "commit", "--quiet", "-m", "sub")
    of = git(source, "rev-parse", "HEAD")
    found = Repository(made, NAMES).fetch(str(source), of)
    assert found.filtered == ("a.bin", "big.bin")
    given = (made, found.submodules, found.filtered)
    assert absent(*given) == ("sub", "a.bin")
    (made / "sub").mkdir(exist_ok=True)
    (made / "sub/x").write_bytes(b"x")
    (made / "a.bin").unlink()
    assert absent(*given) == ()
    (made / "big.bin").unlink()
    (made / "big.bin").mkdir()
    assert absent(*given) == ()
