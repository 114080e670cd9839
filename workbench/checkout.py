"""One commit, fetched into a folder of its own, and proven to be the one named.

A commit is named by what it holds, so it does not matter where it comes from: git
recomputes the hash of every object that it takes in (and refuses known collisions of
SHA-1). git is given an environment of its own: no configuration of the user or the
machine, no hooks, no filters, no prompts, and one transport: https, or a folder.
How much a commit holds is looked at before it is written to the disk.
Submodules and files in LFS are not fetched: the commit names them, and whoever builds
has to say how they come (pointers.py).
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from pcrlog.encoding import printable, shown
from pcrlog.errors import UncheckedError, UsageError
from workbench import pointers
from workbench.running import Bounds, Program, Ran, Told, absolute, run

RECIPE = 1_048_576
"""Bytes of a recipe, at most."""
_FILES = 200_000
"""Files of a commit that are looked at, to find its recipe."""
_ANSWER = 64 << 20
_COMMIT_SIZE = 64 << 30
"""Bytes of all files of a commit, at most: a few hundred bytes of trees can name more
files than a disk holds."""
_SECONDS = 600.0
_PASSED_ON = (
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""Of the environment, what a fetch by https may need: nothing else is passed on."""
_SETTINGS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
    *("-c", "core.autocrlf=false", "-c", "core.symlinks=true"),
    *("-c", "advice.detachedHead=false", "-c", "init.defaultBranch=main"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),
)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256_NAME = 64


class Checkout(Struct, frozen=True):
    """A commit in a folder.

    `time`: when it was committed, unix seconds. `submodules`: paths at which the
    commit names another repository, which is not there. `filtered`: files of which the
    commit holds a pointer, or some other form, that a filter such as LFS's would turn
    into the file; none does.
    """

    folder: Path
    commit: str
    time: int
    submodules: tuple[str, ...]
    filtered: tuple[str, ...] = ()


def environment(names: Mapping[str, str], protocol: str) -> dict[str, str]:
    """What git is given, from the names and values that there are here."""
    passed = {name: names[name] for name in _PASSED_ON if name in names}
    return {
        "PATH": absolute(names.get("PATH", os.defpath)),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": protocol,
        **(passed if protocol == "https" else {}),
    }


def address(uri: str) -> tuple[str, str]:
    """What git is asked to fetch from, and by which protocol: `https` or `file`.

    Raises:
        UsageError: neither an https URI nor a folder.
    """
    bare = uri.removeprefix("git+")
    if bare.startswith("https://"):
        return bare, "https"
    if "://" not in uri and Path(uri).is_dir():
        return str(Path(uri).resolve()), "file"
    message = f"cannot fetch from {shown(uri)}: expected https://… or a local clone"
    raise UsageError(message)


class Repository:
    """A repository that is made for one commit."""

    def __init__(
        self, folder: Path, names: Mapping[str, str], *, seconds: float = _SECONDS
    ) -> None:
        self._folder, self._names, self._seconds = folder, names, seconds
        self._protocol = "none"

    def fetch(self, uri: str, commit: str, told: Told | None = None) -> Checkout:
        """Fetch a commit from a URI, and check it out.

        Raises:
            UsageError: git is not there, or the URI is nothing to fetch from.
            UncheckedError: it cannot be had from there, or is not what it should be.
        """
        if not _COMMIT.fullmatch(commit):
            message = f"expected a commit of 40 or 64 hex digits, got {shown(commit)}"
            raise UsageError(message)
        where, self._protocol = address(uri)
        kind = "sha256" if len(commit) == _SHA256_NAME else "sha1"
        self._must("init", "--quiet", "--template=", f"--object-format={kind}", ".")
        self._must("remote", "add", "origin", where)
        quiet = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
        ran, _ = self._run((*quiet, "--depth=1", "origin", commit), told)
        if not ran.good:  # some servers hand out branches and tags only
            heads = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
            ran, _ = self._run((*quiet, "origin", *heads), told)
            if not ran.good:
                message = f"{shown(uri)}: git fetch {ran.words}: {' '.join(ran.last)}"
                raise UncheckedError(message)
        self._require(commit, f"{commit}^{{commit}}", uri)
        listed = self._tree(commit)
        size = sum(one for _, _, one, _ in listed)
        if size > _COMMIT_SIZE:
            message = f"commit {commit} holds {size >> 30} GiB: it is not checked out"
            raise UncheckedError(message)
        self._must("checkout", "--quiet", "--force", "--detach", commit)
        self._require(commit, "HEAD", uri)
        time = self._must("show", "--no-patch", "--format=%ct", commit).decode()
        links = tuple(path for mode, _, _, path in listed if mode == _LINK)
        files = [path for mode, _, _, path in listed if mode in _FILES_MODES]
        filtered = self._filtered(files)
        return Checkout(self._folder, commit, int(time.strip() or 0), links, filtered)

    def _filtered(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Those of these paths to which the commit's attributes give a filter."""
        if not pointers.has_attributes(paths):
            return ()
        with TemporaryFile() as names:
            names.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
            names.seek(0)
            answer = self._must("check-attr", "--stdin", "-z", "filter", given=names)
        return pointers.filtered(answer)

    def _require(self, commit: str, name: str, uri: str) -> None:
        """Check that a name in this repository is the commit, whole."""
        ran, found = self._run(("rev-parse", "--verify", "--quiet", name))
        if not ran.good or found.decode("ascii", "replace").strip() != commit:
            message = (
                f"{shown(uri)} has no commit {commit}: it may have been rewritten, or"
                " be in a clone elsewhere (--fetch-from)"
            )
            raise UncheckedError(message)

    def find_recipe(self, commit: str, digest: str) -> tuple[str, bytes] | None:
        """Path and bytes of the file in the commit that has this SHA-256, if one has.

        Files of more than `RECIPE` bytes are none, and of a commit of very many only
        the first are looked at.
        """
        listed = [
            (oid, size, path)
            for mode, oid, size, path in self._tree(commit)
            if mode in _FILES_MODES and size <= RECIPE
        ][:_FILES]
        listed.sort(key=lambda one: (one[2].count("/"), one[2]))
        once: dict[str, tuple[str, int, str]] = {}
        for one in listed:  # the same file under many names is looked at once
            once.setdefault(one[0], one)
        for path, data in self._contents(list(once.values())):
            if sha256(data).hexdigest() == digest:
                return path, data
        return None

    def _tree(self, commit: str) -> list[tuple[str, str, int, str]]:
        """Mode, object, size and path of all that a commit holds."""
        found = []
        listed = self._must("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
        for row in filter(None, listed.split(b"\0")):
            head, _, path = row.partition(b"\t")
            mode, _, oid, size = head.decode("ascii").split()
            number = int(size) if size.isdigit() else 0
            found.append((mode, oid, number, os.fsdecode(path)))
        return found

    def _contents(
        self, listed: Sequence[tuple[str, int, str]]
    ) -> Iterator[tuple[str, bytes]]:
        """Path and bytes of files, as the commit has them, many at a time."""
        for many in _in_parts(listed):
            with TemporaryFile() as names:
                names.write("".join(f"{oid}\n" for oid, _, _ in many).encode())
                names.seek(0)
                ran, data = self._run(("cat-file", "--batch"), given=names)
            if not ran.good:
                message = f"git cat-file {ran.words}: {' '.join(ran.last)}"
                raise UncheckedError(message)
            at = 0
            for _, size, path in many:
                at = data.index(b"\n", at) + 1
                yield path, data[at : at + size]
                at += size + 1

    # --- git --------------------------------------------------------------------------

    def _must(self, *words: str, given: BinaryIO | None = None) -> bytes:
        """What git prints.

        Raises:
            UncheckedError: it fails, takes too long, or prints too much.
        """
        ran, data = self._run(words, given=given)
        if not ran.good:
            message = f"git {words[0]} {ran.words}: {' '.join(ran.last)}"
            raise UncheckedError(message)
        return data

    def _run(
        self,
        words: Sequence[str],
        told: Told | None = None,
        given: BinaryIO | None = None,
    ) -> tuple[Ran, bytes]:
        """How git ended, with the end of its complaints, and what it printed."""
        command = ["git", "--no-pager", *_SETTINGS, *words]
        names = environment(self._names, self._protocol)
        with TemporaryFile() as file, TemporaryFile() as errors:
            program = Program(command, self._folder, names, given, errors)
            ran = run(program, Bounds(self._seconds, _ANSWER), file, told)
            return replace(ran, last=_last_of(errors)), _all_of(file)


_LINK = "160000"
_FILES_MODES = ("100644", "100755")


_PART = 16 << 20
"""Bytes of files that git is asked for at once."""


def _in_parts(
    listed: Sequence[tuple[str, int, str]],
) -> Iterator[Sequence[tuple[str, int, str]]]:
    """Files, in lists that fit into one answer."""
    first, held = 0, 0
    for number, (_, size, _) in enumerate(listed):
        if held and held + size + _HEAD > _PART:
            yield listed[first:number]
            first, held = number, 0
        held += size + _HEAD
    if held:
        yield listed[first:]


_HEAD = 128
"""Bytes around a file in git's answer, and more."""
_COMPLAINT = 400


def _all_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _last_of(errors: BinaryIO) -> tuple[str, ...]:
    """The end of what git complained of, on one line."""
    errors.seek(max(errors.seek(0, os.SEEK_END) - _COMPLAINT, 0))
    said = errors.read(_COMPLAINT).decode("utf-8", "replace").split("\n")
    text = "; ".join(line.strip() for line in said if line.strip())
    return (printable(text, _COMPLAINT),) if text else ()
