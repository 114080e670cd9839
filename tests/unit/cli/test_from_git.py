"""`release --from-git`: what a working tree may say, on real repositories."""

import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from cli import git as git_program
from cli.from_git import from_git, public_uri
from pcrlog.errors import UsageError
from pcrlog.predicates import Release
from tests.unit.cli.world import World, release_words

ORIGIN = "https://git.example/acme/wallet.git"


class Tree:
    """A repository with one commit, and a remote that has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("recipe.sh", "make\n")
        self.commit()
        self.git("remote", "add", "origin", ORIGIN)
        self.pushed()

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@acme.example")
        clean = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"}
        return subprocess.run(
            ["git", "-C", str(self.folder), *who, *words],
            check=True,
            capture_output=True,
            text=True,
            env=clean,
        ).stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def pushed(self) -> None:
        self.git("update-ref", "refs/remotes/origin/main", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "wallet")


def read(tree: Tree, remote: str | None = None, recipe: str | None = None) -> object:
    return from_git(str(tree.folder), remote, recipe)


def released(world: World) -> Release:
    """The newest release in the log."""
    said = [entry.predicate for entry in world.log.entries.values()]
    return [one for one in said if isinstance(one, Release)][-1]


def refused(tree: Tree, words: str, recipe: str | None = None) -> None:
    with pytest.raises(UsageError, match=words):
        read(tree, recipe=recipe)


# --- a whole release -----------------------------------------------------------------


def test_a_release_takes_source_commit_and_recipe_from_the_tree(
    world: World, tree: Tree
) -> None:
    words = "--from-git wallet --recipe wallet/recipe.sh"
    ran = world.run(release_words(), words)
    assert ran.status == 0, ran.err
    said = released(world)
    assert said.source is not None
    assert said.build is not None
    assert (said.source.uri, said.source.commit) == (
        ORIGIN,
        tree.git("rev-parse", "HEAD"),
    )
    assert said.build.recipe.uri == ORIGIN
    assert said.build.recipe.sha256 == sha256(b"make\n").hexdigest()


def test_the_directory_is_where_one_stands_if_none_is_named(
    world: World, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tree.write("src/main.c", "")
    tree.commit()
    tree.pushed()
    words = release_words()
    for name in ("policy.toml", "acme.key", "good.json"):
        words = words.replace(name, f"../../{name}")
    monkeypatch.chdir(inside.parent)
    ran = world.run(words, "--from-git --recipe ../recipe.sh")
    assert ran.status == 0, ran.err


def test_what_was_changed_in_the_address_is_said(world: World, tree: Tree) -> None:
    tree.git("remote", "set-url", "origin", "git@git.example:acme/wallet.git")
    ran = world.run(release_words(), "--from-git wallet")
    assert ran.status == 0
    assert "the remote is asked by ssh" in ran.err
    source = released(world).source
    assert source is not None
    assert source.uri == ORIGIN


def test_a_recipe_elsewhere_stays_where_it_is(world: World, tree: Tree) -> None:
    recipe = f"https://acme.example/recipe#sha256:{'ab' * 32}"
    assert (
        world.run(release_words(), f"--from-git wallet --recipe {recipe}").status == 0
    )
    said = released(world)
    assert said.build is not None
    assert said.build.recipe.uri == "https://acme.example/recipe"


@pytest.mark.parametrize(
    "words",
    [
        "--from-git wallet --source https://git.example/wallet",
        f"--from-git wallet --commit {'ab' * 20}",
        "--remote origin",
        "--from-git nowhere",
        "--from-git .",
    ],
)
def test_who_built_what_is_said_once_and_by_a_tree(
    world: World, tree: Tree, words: str
) -> None:
    assert world.run(release_words(), words).status == 2


# --- a tree that is its commit -------------------------------------------------------


def test_a_changed_file_is_refused(tree: Tree) -> None:
    tree.write("recipe.sh", "make all\n")
    refused(tree, r"not what its commit says: 'recipe\.sh'")


def test_a_staged_file_is_refused(tree: Tree) -> None:
    tree.write("new.c", "")
    tree.git("add", "new.c")
    refused(tree, "not what its commit says")


def test_a_file_that_git_does_not_know_is_refused(tree: Tree) -> None:
    for name in ("a", "b", "c", "d\x1b[2J"):
        tree.write(name, "")
    refused(tree, "'a', 'b', 'c' and 1 more")


def test_a_file_that_is_ignored_is_not_of_the_tree(tree: Tree) -> None:
    tree.write(".gitignore", "out/\n")
    tree.commit()
    tree.pushed()
    tree.write("out/image.eif", "x")
    assert read(tree)


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_at_which_git_does_not_look_is_refused(tree: Tree, mark: str) -> None:
    tree.git("update-index", mark, "recipe.sh")
    tree.write("recipe.sh", "make all\n")
    refused(tree, "told not to look at 'recipe.sh'")


def test_a_changed_submodule_is_refused(tree: Tree, tmp_path: Path) -> None:
    part = Tree(tmp_path / "part")
    allowed = ("-c", "protocol.file.allow=always")
    tree.git(*allowed, "submodule", "--quiet", "add", str(part.folder), "part")
    tree.git("config", "-f", ".gitmodules", "submodule.part.ignore", "all")
    tree.commit()
    tree.pushed()
    assert read(tree)
    tree.write("part/recipe.sh", "make all\n")
    refused(tree, "not what its commit says: 'part'")


def test_the_recipe_is_the_commits(tree: Tree) -> None:
    tree.write(".gitignore", "ignored.sh\n")
    tree.commit()
    tree.pushed()
    tree.write("ignored.sh", "make\n")
    refused(tree, "has no such file", str(tree.folder / "ignored.sh"))
    refused(tree, "has no such file", str(tree.folder))
    refused(tree, "is not in", str(tree.folder.parent / "recipe.sh"))


# --- a commit that others have -------------------------------------------------------


def test_a_commit_that_was_not_pushed_is_refused(tree: Tree) -> None:
    tree.commit()
    refused(tree, "is in no branch of origin that this clone knows: push it")


def test_a_commit_below_what_was_pushed_is_fine(tree: Tree) -> None:
    first = tree.git("rev-parse", "HEAD")
    tree.commit()
    tree.pushed()
    tree.git("checkout", "--quiet", "--detach", first)
    assert from_git(str(tree.folder), None, None) == (ORIGIN, first, None, ())


def test_where_nothing_is_known_of_the_remote_that_is_said(tree: Tree) -> None:
    tree.git("update-ref", "-d", "refs/remotes/origin/main")
    [remark] = from_git(str(tree.folder), None, None).remarks
    assert "no remote-tracking ref" in remark


def test_a_shallow_clone_says_what_it_knows(tree: Tree, tmp_path: Path) -> None:
    tree.commit()
    tree.pushed()
    clone = tmp_path / "clone"
    where = f"file://{tree.folder}"
    tree.git("clone", "--quiet", "--depth=1", where, str(clone))
    tree.git("-C", str(clone), "remote", "set-url", "origin", ORIGIN)
    assert from_git(str(clone), None, None).remarks == ()
    tree.git("-C", str(clone), "commit", "--quiet", "--allow-empty", "-m", "x")
    [remark] = from_git(str(clone), None, None).remarks
    assert "the clone is shallow" in remark


def test_the_remote_is_the_branchs_or_origin_or_the_only_one(tree: Tree) -> None:
    tree.git("remote", "add", "mirror", "https://mirror.example/wallet")
    assert from_git(str(tree.folder), None, None).source == ORIGIN
    tree.git("config", "branch.main.remote", "mirror")
    assert from_git(str(tree.folder), None, None).source == (
        "https://mirror.example/wallet"
    )
    assert from_git(str(tree.folder), "origin", None).source == ORIGIN
    tree.git("remote", "rename", "origin", "other")
    tree.git("checkout", "--quiet", "--detach")
    refused(tree, r"--remote mirror\|other")
    tree.git("remote", "remove", "mirror")
    assert from_git(str(tree.folder), None, None).source == ORIGIN
    with pytest.raises(UsageError, match="has no remote 'nowhere'"):
        from_git(str(tree.folder), "nowhere", None)


def test_a_tree_without_a_commit_or_without_a_tree_is_none(tmp_path: Path) -> None:
    clean = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null"}
    for name, words in (("bare", ["--bare"]), ("empty", [])):
        command = ["git", "init", "--quiet", *words, str(tmp_path / name)]
        subprocess.run(command, check=True, env=clean)
        with pytest.raises(UsageError, match=r"no commit yet|work tree"):
            from_git(str(tmp_path / name), None, None)


# --- addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "uri", "remarks"),
    [
        (ORIGIN, ORIGIN, 0),
        ("https://Git.Example:8443/w", "https://git.example:8443/w", 0),
        ("https://me:secret@git.example/w", "https://git.example/w", 1),
        ("git@git.example:acme/w.git", "https://git.example/acme/w.git", 1),
        ("ssh://git@git.example:2222/acme/w", "https://git.example/acme/w", 1),
        ("git.example:acme/w", "https://git.example/acme/w", 1),
    ],
)
def test_an_address_becomes_a_public_one(address: str, uri: str, remarks: int) -> None:
    found, told = public_uri(address)
    assert (found, len(told)) == (uri, remarks)
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    "address",
    [
        "/srv/git/wallet",
        "../wallet",
        "file:///srv/git/wallet",
        "http://git.example/w",
        "git://git.example/w",
        "http://me:secret@git.example/w",
        "https://git.example/w?token=secret",
        "ext::sh -c reboot",
        "-upload-pack=x",
    ],
)
def test_an_address_that_others_cannot_ask_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--source URI") as caught:
        public_uri(address)
    assert "me:secret" not in str(caught.value)


# --- git itself ----------------------------------------------------------------------


def test_nothing_that_the_repository_configures_is_run(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither hooks, nor a file system monitor, nor a pager, nor from the variables."""
    ran = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o755)
    hooks = tree.folder / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (hooks / name).write_bytes(script.read_bytes())
        (hooks / name).chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "pager.status", "core.sshCommand"):
        tree.git("config", name, str(script))
    tree.git("config", "core.hooksPath", str(hooks))
    for name in ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_ASKPASS"):
        monkeypatch.setenv(name, str(script))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    (tree.folder / "recipe.sh").touch()
    found = from_git(str(tree.folder), None, str(tree.folder / "recipe.sh"))
    assert found.recipe == sha256(b"make\n").hexdigest()
    assert not ran.exists()


def test_git_that_does_not_end_is_ended(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_program, "SECONDS", 0.2)
    refused(tree, "took more than")


def test_git_that_prints_without_end_is_ended(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud = tmp_path / "bin" / "git"
    loud.parent.mkdir()
    loud.write_text("#!/bin/sh\nexec yes\n")
    loud.chmod(0o755)
    monkeypatch.setenv("PATH", f"{loud.parent}:{os.environ['PATH']}")
    with pytest.raises(UsageError, match="printed more than 1000 bytes"):
        git_program.Git(str(tree.folder)).ask("status", most=1000)


def test_where_there_is_no_git_that_is_said(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    refused(tree, "git cannot be run")


def test_a_release_is_what_is_read_back(world: World, tree: Tree) -> None:
    """The same tree twice is the same release."""
    words = (release_words(), "--from-git wallet --recipe wallet/recipe.sh")
    world.run(*words)
    assert "is already" in world.run(*words).out
    assert released(world).source is not None
