"""`pcrlog conformance`: do an implementation and the protocol's vectors agree?

`run` starts any program and asks it, one line of JSON a question, what each case of
tests/vectors comes to; `answer` is such a program, made of this implementation. What
is asked and answered is in docs/conformance.md.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import click
from msgspec import Struct

from cli.options import json_option, takes
from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, blank, say
from cli.session import Session
from pcrlog.encoding import shown
from pcrlog.errors import UncheckedError, UsageError, VerificationError

_LINE = 1 << 20
"""Bytes of an answer, at most."""
_SHOWN = 10
"""Disagreements that people are shown; `--json` has all."""
_UNSUPPORTED = {"error": "unsupported"}


class _Run(Struct, frozen=True):
    command: tuple[str, ...]
    vectors: str
    family: tuple[str, ...]
    timeout: int


class Disagreement(Struct, frozen=True):
    """A case, what it was to come to, and what the program said, as JSON."""

    case: str
    why: str
    expected: str
    found: str


class FamilyResult(Struct, frozen=True):
    """How many cases of a family there are, and how many were agreed on."""

    family: str
    cases: int
    agreed: int
    unsupported: int


class Ran(Struct, frozen=True):
    """All families, and where program and vectors disagree."""

    families: tuple[FamilyResult, ...]
    disagreements: tuple[Disagreement, ...]


class Case(Struct, frozen=True):
    """A question, and the answer that the protocol gives."""

    id: str
    why: str
    ask: dict[str, Any]
    expect: dict[str, Any]


class Family(Struct, frozen=True):
    """A file of tests/vectors; "@name" in a question stands for `blobs[name]`."""

    family: str
    about: str
    cases: tuple[Case, ...]
    blobs: dict[str, str] = {}

    def question(self, case: Case) -> dict[str, Any]:
        """What the program is asked, with every blob in its place."""
        return {name: self._resolve(member) for name, member in case.ask.items()}

    def _resolve(self, value: object) -> object:
        if isinstance(value, dict):
            return {name: self._resolve(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._resolve(member) for member in value]
        if isinstance(value, str) and value.startswith("@"):
            return self.blobs[value[1:]]
        return value


@click.group("conformance")
def conformance_command() -> None:
    """Compare an implementation with the protocol's vectors."""


@conformance_command.command("run")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--vectors",
    metavar="FOLDER",
    default="tests/vectors",
    show_default=True,
    help="Where the vectors are.",
)
@click.option("--family", multiple=True, help="Only this family; may stand twice.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    help="Seconds that one answer may take.",
)
@json_option
@takes(_Run)
def run(session: Session, options: _Run) -> int:
    """Ask COMMAND what each vector comes to, and say where it disagrees.

    Exit status: 0 it agrees with all, 3 it does not answer some, 4 it disagrees.
    """
    families = [load(path) for path in _files(options.vectors, options.family)]
    results, disagreements = [], []
    with (
        _Peer(options.command, options.timeout) as peer,
        session.output.progress("asking"),
    ):
        for family in families:
            result, found = _compare(peer, family)
            results.append(result)
            disagreements += found
    ran = Ran(tuple(results), tuple(disagreements))
    session.output.result(ran, _rows(ran))
    if disagreements:
        return VerificationError.exit_code
    return UncheckedError.exit_code if any(one.unsupported for one in results) else 0


@conformance_command.command("answer")
@json_option  # it never says anything else
def answer_command() -> None:
    """Answer questions on standard input, one line of JSON each, as pcrlog does."""
    from cli.answering import answer

    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def load(path: Path) -> Family:
    """A file of vectors.

    Raises:
        UsageError: it is none.
    """
    from msgspec import ValidationError, convert

    try:
        return convert(json.loads(path.read_bytes()), Family)
    except (OSError, ValueError, ValidationError) as error:
        message = f"{path} holds no vectors: {error}"
        raise UsageError(message) from error


def _files(folder: str, families: Sequence[str]) -> list[Path]:
    found = {path.stem: path for path in sorted(Path(folder).glob("*.json"))}
    unknown = sorted(set(families) - found.keys())
    if unknown or not found:
        wanted = ", ".join(unknown) or "at all"
        message = (
            f"{folder} has no vectors {wanted}; it has {', '.join(found) or 'none'}"
        )
        raise UsageError(message)
    return [found[name] for name in families or found]


class _Peer:
    """The program that is asked; ended with the last question."""

    def __init__(self, command: Sequence[str], timeout: int) -> None:
        self._command = command
        self._timeout = timeout
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            message = f"cannot run {self._command[0]}: {error.strerror}"
            raise UsageError(message) from error
        # A thread, since a pipe cannot be read with a time limit.
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._reader.join()
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _read(self, stream: IO[bytes] | None) -> None:
        while line := stream.readline(_LINE) if stream else b"":
            self._lines.put(line)
        self._lines.put(b"")

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer; what is none becomes `{"error": what happened}`."""
        try:
            if stream := self._process.stdin:
                stream.write(json.dumps(question).encode() + b"\n")
                stream.flush()
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            message = f"no answer in {self._timeout} s to {question['op']}"
            raise UncheckedError(message) from None
        except OSError:
            line = b""
        if not line:
            message = f"{self._command[0]} ended when asked for {question['op']}"
            raise UncheckedError(message)
        try:
            answer = json.loads(line)
        except ValueError:
            return {"error": f"not JSON: {shown(line)}"}
        return answer if isinstance(answer, dict) else {"error": "not an object"}


def _compare(peer: _Peer, family: Family) -> tuple[FamilyResult, list[Disagreement]]:
    agreed = unsupported = 0
    disagreements = []
    for case in family.cases:
        found = peer.ask(family.question(case))
        if found == _UNSUPPORTED:
            unsupported += 1
        elif agrees(case.expect, found):
            agreed += 1
        else:
            name = f"{family.family}/{case.id}"
            expected = json.dumps(case.expect, sort_keys=True)
            answer = json.dumps(found, sort_keys=True)
            disagreements.append(Disagreement(name, case.why, expected, answer))
    count = len(family.cases)
    return FamilyResult(family.family, count, agreed, unsupported), disagreements


def agrees(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether an answer says what is expected; it may say more."""
    if "error" in expected:
        return found == expected
    ok = found.get("ok")
    return isinstance(ok, dict) and all(
        name in ok and ok[name] == value for name, value in expected["ok"].items()
    )


def _rows(ran: Ran) -> Iterator[Row]:
    for one in ran.families:
        style = GOOD if one.agreed == one.cases else WARN if one.unsupported else BAD
        yield Row(
            ((f"  {one.family:<14}", DIM),), f"{one.agreed} of {one.cases}", style
        )
    total = sum(one.cases for one in ran.families)
    agreed = sum(one.agreed for one in ran.families)
    unsupported = sum(one.unsupported for one in ran.families)
    yield blank()
    left = f", {unsupported} not answered: unsupported" if unsupported else ""
    yield say(f"{agreed} of {total} cases agree{left}", STRONG)
    for case in ran.disagreements[:_SHOWN]:
        yield Row(((f"{case.case}: ", BAD),), case.why)
        yield Row((("  expected ", DIM),), case.expected)
        yield Row((("  found    ", DIM),), case.found)
    if len(ran.disagreements) > _SHOWN:
        yield say(f"and {len(ran.disagreements) - _SHOWN} more; --json has all", DIM)
