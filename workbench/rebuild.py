"""A rebuild: a commit, an auditor's command, and the file that comes out.

    folder/            new, of its own
      source/          the commit, fetched and proven to be the one named
      home/, tmp/      what HOME and TMPDIR are
      recipe           the recipe, where it is not a file of the commit
      build.log        what the command printed

The command is run without a shell, in `source/`, with an environment that holds what is
listed in `Job.environment` and nothing else, and is bounded in time and output. It is
the provider's code that runs then, as whoever runs this: what confines it (a container,
a machine of its own) is part of the command.

The file that is to come out must not be in the commit: what was there before has not
been built. That is against mistakes, and no proof of a build: a command that fetches
the file, or unpacks it from the commit, makes it too. Whether it is what was released
is for the caller to compare.
"""

import os
import re
import shlex
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path, PurePosixPath

from msgspec import Struct

from pcrlog.encoding import sha256, shown
from pcrlog.errors import UncheckedError, UsageError
from workbench.checkout import Checkout, Repository
from workbench.running import Bounds, Program, Ran, Told, absolute, run

OUTPUT = 64 << 20
"""Bytes that a build may print."""
FILE = 64 << 30
"""Bytes of a file that is measured, at most; a sparse one may claim any size."""
_LOG = "build.log"
_EXPANDED = ("$", "`")
_ASSIGNED = re.compile(r"[A-Za-z_][0-9A-Za-z_]*=")


class Job(Struct, frozen=True):
    """What is to be done: all that can be said before it is.

    `fetch_from`: an https URI or a local clone. `command`: words. `produces`: a path,
    relative to the commit's folder. `extra`: what the auditor adds to the environment.
    `recipe_sha256`: which file the release says is the recipe, if it says so.
    """

    fetch_from: str
    commit: str
    command: tuple[str, ...]
    produces: str
    seconds: int
    extra: dict[str, str]
    recipe_sha256: str | None = None


class Built(Struct, frozen=True):
    """What was done.

    `recipe`: the path of the recipe. `file`: what came out; None if nothing did, and
    `problem` then says why.
    """

    checkout: Checkout
    recipe: str | None
    ran: Ran
    file: Path | None
    problem: str
    log: Path


def words_of(command: str) -> tuple[str, ...]:
    """A command line as words, split as a shell would, and expanded by nobody.

    Raises:
        UsageError: it has none, a quote is open, or only a shell would know what a word
            of it means.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        message = f"--rebuild: {error} in {command!r}"
        raise UsageError(message) from error
    if not words:
        message = "--rebuild: expected a command, such as 'nix build .#eif'"
        raise UsageError(message)
    meant = _of_a_shell(command, words)
    if meant and "-c" not in words:
        message = (
            f"--rebuild: no shell reads this, so {meant!r} would be an argument like"
            " any other. If a shell is meant: --rebuild \"sh -c '…'\""
        )
        raise UsageError(message)
    return words


def _of_a_shell(command: str, words: tuple[str, ...]) -> str:
    """The first of what only a shell would understand; empty if there is nothing."""
    for word in words:
        if word.startswith("~/") or any(mark in word for mark in _EXPANDED):
            return word
    if _ASSIGNED.match(words[0]):
        return words[0]
    split = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    split.whitespace_split, split.commenters = True, ""
    return next((one for one in split if not one.strip("();<>|&")), "")


def variables(texts: tuple[str, ...], names: Mapping[str, str]) -> dict[str, str]:
    """`NAME=VALUE`, or `NAME` for the value that it has here.

    Raises:
        UsageError: it has none.
    """
    found = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark and name not in names:
            message = (
                f"--env {name}: there is no such variable here; --env {name}=VALUE"
            )
            raise UsageError(message)
        if not name.isidentifier() or not name.isascii():
            message = f"--env: expected NAME or NAME=VALUE, got {shown(text)}"
            raise UsageError(message)
        found[name] = value if mark else names[name]
    return found


def inside(path: str) -> str:
    """A path that stays below the folder it is relative to, as it is spelt.

    Raises:
        UsageError: it does not.
    """
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or not found.parts:
        message = (
            f"--produces {path}: expected a path in the commit's folder, as the command"
            " leaves it there, such as result/app.eif"
        )
        raise UsageError(message)
    return str(found)


def environment(
    job: Job, folder: Path, path: str, time: int | None, recipe: str | None
) -> dict[str, str]:
    """All that the command is given as its environment.

    Args:
        job: with what the auditor adds; that counts before what is here.
        folder: of the rebuild.
        path: the PATH.
        time: when the commit was made, unix seconds; None while it is not known.
        recipe: the recipe's path; None if the release names none.
    """
    found = {
        "PATH": path,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": "the commit's time" if time is None else str(time),
        "PCRLOG_COMMIT": job.commit,
    }
    if recipe is not None:
        found["PCRLOG_RECIPE"] = recipe
    return {**found, **job.extra}


def search_path(names: Mapping[str, str]) -> str:
    """The PATH that the command gets, of the names and values that there are here."""
    return absolute(names.get("PATH", os.defpath))


class Rebuild:
    """A rebuild in a folder, step by step: fetch, find the recipe, build."""

    def __init__(self, job: Job, folder: Path, names: Mapping[str, str]) -> None:
        self._job, self._names = job, names
        self.folder = folder
        self._source = folder / "source"

    def fetch(self, told: Told | None = None) -> Checkout:
        """Make the folder and fetch the commit into it.

        Raises:
            UsageError: the folder is not empty, or there is no git.
            UncheckedError: the commit cannot be had.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            there = any(self.folder.iterdir())
            for name in ("source", "home", "tmp") if not there else ():
                (self.folder / name).mkdir()
        except OSError as error:
            message = f"{self.folder}: {error.strerror}"
            raise UsageError(message) from error
        if there:
            message = f"{self.folder} is not empty: a rebuild has a folder of its own"
            raise UsageError(message)
        self._repository = Repository(self._source, self._names)
        made = self._repository.fetch(self._job.fetch_from, self._job.commit, told)
        if os.path.lexists(self._source / self._job.produces):
            message = (
                f"{self._job.produces} is in the commit itself: what is there before"
                " the build was not built. Name what the command makes"
            )
            raise UsageError(message)
        return made

    def find_recipe(self) -> str | None:
        """The path of the commit's file that is the recipe, if there is one.

        Attributes of the commit (`ident`, `eol`) may have changed the file on its way
        to the disk: then it is kept beside the commit, as it is in there.
        """
        digest = self._job.recipe_sha256
        if digest is None:
            return None
        found = self._repository.find_recipe(self._job.commit, digest)
        if found is None:
            return None
        path, data = found
        if sha256((self._source / path).read_bytes()) == sha256(data):
            return str(self._source / path)
        return self.keep_recipe(data)

    def keep_recipe(self, data: bytes) -> str:
        """Put a recipe that is not in the commit beside it; its path."""
        path = self.folder / "recipe"
        path.write_bytes(data)
        return str(path)

    def build(
        self, checkout: Checkout, recipe: str | None, told: Told | None = None
    ) -> Built:
        """Run the command, and look for what it was to make.

        Raises:
            UsageError: it cannot be started.
        """
        job = self._job
        path = search_path(self._names)
        given = environment(job, self.folder, path, checkout.time, recipe)
        program = Program(job.command, self._source, given)
        log = self.folder / _LOG
        with log.open("wb") as file:
            ran = run(program, Bounds(job.seconds, OUTPUT), file, told)
        file_, problem = self._result(ran)
        return Built(checkout, recipe, ran, file_, problem, log)

    def _result(self, ran: Ran) -> tuple[Path | None, str]:
        if not ran.good:
            return None, f"the command {ran.words}"
        made = self._source / self._job.produces
        try:
            kind = made.stat().st_mode
        except OSError as error:
            told = f"the command made no {self._job.produces} ({error.strerror})"
            return None, told
        if not stat.S_ISREG(kind):
            return None, f"{self._job.produces} is no file"
        return made, ""


def opened(path: Path) -> BufferedReader:
    """A file that a build made, to be read; never a pipe that somebody left there.

    Raises:
        UncheckedError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise UncheckedError(message) from error
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= FILE:
        return file
    file.close()
    message = f"{path}: expected a file of 1 to {FILE} bytes"
    raise UncheckedError(message)
