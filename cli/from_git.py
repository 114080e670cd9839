"""`pcrlog release --from-git`: source, commit and recipe from a git working tree.

A release that names a commit says: this is what was built. So the tree has to be that
commit, whole: changed, new or hidden files are refused, and so is a commit that the
remote does not have, as far as this clone knows (it knows what it last fetched or
pushed, and nothing if it has no remote-tracking ref). The recipe's digest is that of
the file in the commit, not on disk. How git is asked, git.py says.
"""

import re
from pathlib import Path
from typing import NamedTuple, Protocol

from cli.git import LINE, Git
from cli.session import Session
from pcrlog.encoding import printable, sha256, shown
from pcrlog.errors import UsageError

_RECIPE = 1_048_576
"""Bytes of a recipe, at most."""
_FEW = 3
"""Files that a refusal names."""
_SCP = re.compile(r"(?:[^@/:\s]+@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!/)([^:\s]+)")
_URL = re.compile(
    r"(https|ssh|git\+ssh|ssh\+git)://(?:([^@/\s]*)@)?"
    r"([A-Za-z0-9][A-Za-z0-9.-]*)(:[1-9][0-9]{0,4})?(/[^?#\s]*)?"
)


class Options(Protocol):
    """The options of `release` that are about the source."""

    @property
    def source(self) -> str | None:
        """A URI."""
        ...

    @property
    def commit(self) -> str | None:
        """Hex."""
        ...

    @property
    def recipe(self) -> str | None:
        """A file, or a URI."""
        ...

    @property
    def recipe_uri(self) -> str | None:
        """Where a recipe file is published."""
        ...

    @property
    def from_git(self) -> str | None:
        """A directory in the working tree."""
        ...

    @property
    def remote(self) -> str | None:
        """Whose address the source is."""
        ...


class FromGit(NamedTuple):
    """What a working tree says of itself: `recipe` is a SHA-256 or None.

    `remarks`: what was changed to make a public URI, and what could not be told.
    """

    source: str
    commit: str
    recipe: str | None
    remarks: tuple[str, ...]


def members(session: Session, options: Options) -> dict[str, str | None]:
    """`source`, `commit` and `recipe`, as the options would spell them.

    Raises:
        UsageError: they say it themselves, or the tree is not fit to be released from.
    """
    if options.from_git is None:
        message = "--remote goes with --from-git"
        raise UsageError(message)
    if options.source is not None or options.commit is not None:
        message = "--from-git, or --source and --commit: one of them says what it was"
        raise UsageError(message)
    recipe = options.recipe
    file = None if recipe is None or "://" in recipe else recipe
    found = from_git(options.from_git, options.remote, file)
    for remark in found.remarks:
        session.output.remark(remark)
    if found.recipe is not None:
        recipe = f"{options.recipe_uri or found.source}#sha256:{found.recipe}"
    return {"source": found.source, "commit": found.commit, "recipe": recipe}


def from_git(directory: str, remote: str | None, recipe: str | None) -> FromGit:
    """Read a working tree.

    Args:
        directory: somewhere in it.
        remote: which remote names the source; that of the branch if None.
        recipe: a file in the tree, by its path on disk.

    Raises:
        UsageError: not a working tree, not its commit, not pushed as far as this clone
            can tell, or its remote's address is no public URI.
    """
    git = Git(directory)
    top = git.ask("rev-parse", "--show-toplevel").decode("utf-8", "replace")
    root = top.removesuffix("\n")
    git = Git(root)
    commit = git.line("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if commit is None:
        message = f"{root} has no commit yet: nothing that a release could name"
        raise UsageError(message)
    _check_clean(git, root)
    name = remote or _remote_of(git)
    remarks = _check_pushed(git, name, commit)
    address = git.line("config", "--get", f"remote.{name}.url")
    if address is None:
        message = f"{root} has no remote {shown(name)}: --remote NAME, or --source URI"
        raise UsageError(message)
    source, changed = public_uri(address)
    digest = None if recipe is None else _recipe(git, root, recipe, commit)
    return FromGit(source, commit, digest, (*changed, *remarks))


# --- the tree is the commit ----------------------------------------------------------


def _check_clean(git: Git, root: str) -> None:
    """Check that what lies there is the commit, with nothing beside it.

    What .gitignore names does not count: a build makes it, or it is the user's own.
    """
    found = git.ask(
        *("status", "--porcelain=v1", "-z", "--untracked-files=normal"),
        *("--ignore-submodules=none", "--no-renames"),
    )
    changed = [name[3:] for name in found.split(b"\0") if name]
    if changed:
        message = (
            f"{root} is not what its commit says: {_named(changed)}. Commit that, put"
            " it away (git stash -u), or let .gitignore name it"
        )
        raise UsageError(message)
    rows = git.ask("ls-files", "-v", "-z").split(b"\0")
    hidden = [row[2:] for row in rows if row[:1].islower() or row[:1] == b"S"]
    if hidden:
        message = (
            f"{root}: git is told not to look at {_named(hidden)} (assume-unchanged,"
            " skip-worktree or sparse), so nobody can say that it is as committed."
            " Release from a full clone"
        )
        raise UsageError(message)


def _named(paths: list[bytes]) -> str:
    few = [shown(path.decode("utf-8", "replace")) for path in paths[:_FEW]]
    more = len(paths) - len(few)
    return ", ".join(few) + (f" and {more} more" if more > 0 else "")


# --- others can fetch the commit -----------------------------------------------------


def _remote_of(git: Git) -> str:
    """The remote of the branch; without a branch, `origin` or the only one."""
    branch = git.line("symbolic-ref", "--quiet", "--short", "HEAD")
    if branch:
        own = git.line("config", "--get", f"branch.{branch}.remote")
        if own and own != ".":
            return own
    known = git.ask("remote", most=LINE).decode("utf-8", "replace").split()
    if "origin" in known or not known:
        return "origin"
    if len(known) == 1:
        return known[0]
    message = f"which remote names the source? --remote {printable('|'.join(known))}"
    raise UsageError(message)


def _check_pushed(git: Git, remote: str, commit: str) -> tuple[str, ...]:
    """Check that the remote has the commit, as far as this clone knows; remarks.

    Raises:
        UsageError: it knows what the remote has, and the commit is not in it.
    """
    refs = f"refs/remotes/{remote}/"
    whether = f"whether {remote} has commit {commit[:12]} is not known here: "
    listed = ("for-each-ref", "--count=1", "--format=%(refname)")
    if not git.ask(*listed, refs):
        unknown = "there is no remote-tracking ref"
        return (f"{whether}{unknown}. Others must be able to fetch it",)
    if git.ask(*listed, f"--contains={commit}", refs):
        return ()
    if git.line("rev-parse", "--is-shallow-repository") == "true":
        unknown = "the clone is shallow, and no remote-tracking ref is at it"
        return (f"{whether}{unknown}. Others must be able to fetch it",)
    message = (
        f"commit {commit[:12]} is in no branch of {remote} that this clone knows: push"
        " it (or git fetch, if it is there) first, so that others can rebuild it; or"
        f" say it yourself: --source URI --commit {commit}"
    )
    raise UsageError(message)


def public_uri(address: str) -> tuple[str, tuple[str, ...]]:
    """A remote's address as statements spell a source, and what was changed.

    User names and passwords are left out: a release is public, for good. Of an ssh
    address the host and the path are kept, since most hosts serve both ways.

    Raises:
        UsageError: it is no address that others could fetch by https.
    """
    match = _URL.fullmatch(address)
    if match:
        scheme, user, host, port, path = match.groups(default="")
        path = re.sub(r"^/~", "/", path) if scheme != "https" else path
    elif match := _SCP.fullmatch(address):
        scheme, user, port = "ssh", "", ""
        host, path = match[1], "/" + match[2]
    else:
        message = (
            f"the remote is {_without_secrets(address)}, and a release names an https"
            " URI that others can fetch: --source URI"
        )
        raise UsageError(message)
    if scheme == "https":
        uri = f"https://{host.lower()}{port}{path}"
        told = ("left out of the source: the user in the remote's address",)
        return uri, told if user else ()
    uri = f"https://{host.lower()}{path}"
    return uri, (
        f"the remote is asked by ssh; the release says {uri}, or --source URI",
    )


def _without_secrets(address: str) -> str:
    return shown(re.sub(r"//[^@/]*@", "//", address))


def _recipe(git: Git, root: str, path: str, commit: str) -> str:
    """SHA-256 of a file as the commit has it."""
    try:
        inside = Path(path).resolve().relative_to(Path(root).resolve())
    except ValueError as error:
        message = f"--recipe {path} is not in {root}: give it as URI#sha256:HEX"
        raise UsageError(message) from error
    row = git.ask("ls-tree", "-z", commit, "--", str(inside), most=LINE)
    head, _, name = row.partition(b"\t")
    if not head.startswith(b"100") or name != f"{inside}\0".encode():
        message = f"--recipe {path}: commit {commit[:12]} has no such file"
        raise UsageError(message)
    blob = head.split()[2].decode("ascii")
    return sha256(git.ask("cat-file", "blob", blob, most=_RECIPE)).hex()
