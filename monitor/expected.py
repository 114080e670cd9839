"""The registers that your own builds came out as: what a release of yours may hold.

A source (`watch.expected`) is one of

- a file: the output of `nitro-cli build-enclave` or `describe-eif`, or any other form
  that pcrlog/published.py reads; a JSON array of such objects is a list of builds
- a folder: each `*.json` and `*.pcrs` file in it, not those in folders below
- a URL, where a file lies; no redirect is followed

Files are looked at each time, and read again when they have changed. A URL is asked
every five minutes, and again at once when a release is on no list (but at most every
ten seconds). What it last said is a fact of the state: a URL that is down makes no
release unexpected that stood there before.

A list that cannot be read makes the whole incomplete: of a release that is not on the
others nobody can say then that it is unexpected (`holds` is None).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from monitor.state import Facts, State
from pcrlog.encoding import format_time, prepare
from pcrlog.errors import MalformedError, PcrlogError, TransportError
from pcrlog.exchange import Exchange
from pcrlog.measurement import PLATFORMS
from pcrlog.published import MOST, Build, parse_builds

_LISTS, _FAILING = "expected", "expected-failing"
_SUFFIXES = frozenset({".json", ".pcrs"})
_FILES = 4096
"""Files of one folder: an operator's own, so the bound is one of sanity."""
_EVERY, _SOON = 300, 10
"""Seconds between two questions to a URL; and to one that failed, or may have news."""
_GRACE = 60
"""Seconds until a source that cannot be read is told of: a build may be writing it."""
_OK = 200


class Problem(Struct, frozen=True):
    """A source that cannot be read: which and since when (`about`), and why."""

    about: str
    found: str


class _Kept(Struct, frozen=True):
    """What a URL last said, and when (unix seconds)."""

    time: int
    builds: tuple[Build, ...]


class _Failing(Struct, frozen=True):
    since: int
    found: str


prepare(_Kept, _Failing)


class _Source(Struct):
    """One source: what it holds, of which `state` of the file, and what is wrong."""

    name: str
    builds: list[Build] = field(default_factory=list)
    stamp: object = None
    problem: str | None = None
    asked: int | None = None


class Expected:
    """The sources of one configuration.

    Args:
        sources: files and folders, relative to `folder`, and URLs.
        folder: where the configuration lies.
        state: where facts are kept; written outside of a transaction too.
    """

    def __init__(
        self, sources: Sequence[str], folder: Path, state: State | Facts
    ) -> None:
        self._folder = folder
        self._state = state
        self._sources = [_Source(name) for name in sources]
        for one in self._sources:
            if _is_url(one.name):
                self._recall(one)

    def _recall(self, one: _Source) -> None:
        fact = self._state.fact(_LISTS, one.name)
        if fact is None:
            one.problem = "it was not read yet"
        else:
            one.builds = list(msgspec.json.decode(fact, type=_Kept).builds)

    # --- reading ---------------------------------------------------------------------

    def read(self, now: int, *, again: bool = False) -> None:
        """Look at all sources; URLs when it is time, or (`again`) before.

        It may take as long as the network does: never inside a transaction.
        """
        for one in self._sources:
            if _is_url(one.name):
                if _is_due(one, now, again=again):
                    self._ask(one, now)
            else:
                self._look(one)
            self._note(one, now)

    def _ask(self, one: _Source, now: int) -> None:
        one.asked = now
        try:
            builds = parse_builds(_fetch(one.name))
        except PcrlogError as error:
            one.problem = str(error)
            return
        one.problem = None
        known = self._state.fact(_LISTS, one.name)
        if known is None or builds != one.builds:
            fact = msgspec.json.encode(_Kept(now, tuple(builds))).decode()
            self._state.remember(_LISTS, one.name, fact)
        one.builds = builds

    def _look(self, one: _Source) -> None:
        """Read a file or folder that has changed; what can be read of it counts."""
        path = self._folder / one.name
        try:
            stamps = {file: _stamp(file) for file in _files(path)}
        except (OSError, MalformedError) as error:
            one.problem, one.stamp = _words(path, error), None
            return
        if stamps == one.stamp:
            return
        one.builds, one.problem, one.stamp = [], None, stamps
        for file in stamps:
            try:
                one.builds += _builds(file)
            except (OSError, MalformedError) as error:
                one.problem = one.problem or _words(file, error)

    def _note(self, one: _Source, now: int) -> None:
        """Keep since when a source fails, over restarts too."""
        fact = self._state.fact(_FAILING, one.name)
        if one.problem is None:
            if fact is not None:
                self._state.remember(_FAILING, one.name, None)
            return
        known = _failing(fact)
        since = now if known is None else known.since
        if known is None or known.found != one.problem:
            told = msgspec.json.encode(_Failing(since, one.problem)).decode()
            self._state.remember(_FAILING, one.name, told)

    # --- questions -------------------------------------------------------------------

    def holds(
        self,
        platform: str,
        registers: Mapping[str, str],
        numbers: Mapping[str, int] | None = None,
    ) -> bool | None:
        """Whether a build has all of these; None: a list cannot be read now."""
        if any(
            build.platform == platform
            and _agree(platform, build.registers, registers)
            and _same(build.numbers, numbers or {})
            for one in self._sources
            for build in one.builds
        ):
            return True
        return None if self.unreadable() else False

    def unreadable(self) -> list[str]:
        """The sources that could not be read when they were looked at last."""
        return [one.name for one in self._sources if one.problem is not None]

    def problems(self, now: int) -> list[Problem]:
        """What could not be read for a while."""
        found = []
        for one in self._sources:
            known = _failing(self._state.fact(_FAILING, one.name))
            if known is not None and now - known.since >= _GRACE:
                about = f"{one.name} since {format_time(known.since)}"
                found.append(Problem(about, known.found))
        return found


def _is_url(name: str) -> bool:
    return name.startswith(("https://", "http://"))


def _is_due(one: _Source, now: int, *, again: bool) -> bool:
    if one.asked is None:
        return True
    pause = _SOON if again or one.problem is not None else _EVERY
    # A clock that was set back must not silence it.
    return not 0 <= now - one.asked < pause


def _failing(fact: str | None) -> _Failing | None:
    return None if fact is None else msgspec.json.decode(fact, type=_Failing)


def _agree(platform: str, build: Mapping[str, str], of: Mapping[str, str]) -> bool:
    """Whether a release is of a build: what both name is the same.

    A build says nothing of registers that only the machine it runs on measures (PCR3),
    a release need not name all that a build printed (PCR8); the required ones both do.
    """
    known = PLATFORMS.get(platform)
    required = set(build) if known is None else set(known.required)
    return required <= build.keys() & of.keys() and _same(build, of)


def _same(build: Mapping[str, object], of: Mapping[str, object]) -> bool:
    return all(build[name] == of[name] for name in build.keys() & of.keys())


def _fetch(url: str) -> bytes:
    door = Exchange(url)
    try:
        answer = door.get("", MOST)
    finally:
        door.close()
    if answer.status != _OK:
        message = f"{url} answered {answer.status}, want 200 and a list of builds"
        raise TransportError(message)
    return answer.body


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(
        one
        for one in path.iterdir()
        if one.suffix in _SUFFIXES and not one.name.startswith(".")
    )
    if len(found) > _FILES:
        message = f"{len(found)} files of registers, at most {_FILES}"
        raise MalformedError(message)
    yield from found


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _builds(path: Path) -> list[Build]:
    with path.open("rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        message = f"more than {MOST} bytes"
        raise MalformedError(message)
    return parse_builds(data)


def _words(path: Path, error: OSError | MalformedError) -> str:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot read {path}: {why}"
