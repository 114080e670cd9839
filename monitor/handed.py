"""What somebody hands in: a file that holds checkpoints, to compare with what we know.

A user who was shown another history is the only one who knows, and the file that he
kept is the only trace. So whatever pcrlog writes that has a checkpoint in it will do:

    a checkpoint note               as a log, a witness or a monitor shows it
    pcrlog-bundle/v1                what `pcrlog bundle` keeps, or a provider staples
    c2sp.org/tlog-proof@v1          a proof of one entry
    pcrlog-report/v1                what `pcrlog verify --json` prints
    pcrlog-evidence/v1              what `pcrlog verify` or a monitor keeps of a lie

Nothing of such a file counts but what the log signed.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from monitor.alerts import Alert
from monitor.comparison import Comparer, Comparison
from monitor.state import State, Verified
from pcrlog.bundle import Bundle
from pcrlog.encoding import printable
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.evidence import FORMAT, notes_of, parse
from pcrlog.limits import BUNDLE
from pcrlog.proof import Proof

MOST = BUNDLE
"""Bytes of a file that is handed in."""
_PROOF = b"c2sp.org/tlog-proof@"
_BAD_REQUEST, _OK, _BUSY = 400, 200, 429
_WORDS = 300


class _Checkpoint(Struct):
    note: str


class _Report(Struct):
    checkpoint: _Checkpoint | None = None


class _Format(Struct):
    format: str = ""


def read_handed(path: Path) -> bytes:
    """A file that was handed in, or (`-`) standard input.

    Raises:
        UsageError: it cannot be read, or is larger than any that is of use.
    """
    try:
        with open(0 if str(path) == "-" else path, "rb") as file:  # noqa: PTH123 - 0 is no path
            data = file.read(MOST + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error
    if len(data) > MOST:
        message = f"{path} has more than {MOST} bytes"
        raise UsageError(message)
    return data


def notes_in(data: bytes) -> tuple[bytes, ...]:
    """The checkpoint notes in a file; nothing of them is checked.

    Raises:
        MalformedError: larger than any such file, or of none of these forms.
    """
    if len(data) > MOST:
        message = f"{len(data)} bytes, a checkpoint or bundle has at most {MOST}"
        raise MalformedError(message)
    if data.startswith(_PROOF):
        return (Proof.parse(data).note,)
    if not data.lstrip().startswith(b"{"):
        return (data,)
    kind = _decode(data, _Format).format
    if kind == "pcrlog-bundle/v1":
        return (Bundle.parse(data.rstrip(b"\n")).note,)
    if kind == "pcrlog-report/v1":
        found = _decode(data, _Report).checkpoint
        if found is None:
            message = "the report rests on no checkpoint: nothing was fetched then"
            raise MalformedError(message)
        return (found.note.encode(),)
    if kind == FORMAT:
        return notes_of(parse(data.rstrip(b"\n")))
    message = "expected a checkpoint, a bundle, a tlog-proof or a report of verify"
    raise MalformedError(message)


def _decode(data: bytes, kind: Any) -> Any:  # noqa: ANN401 - a type, and a value of it
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        message = f"not a file of pcrlog: {printable(str(error))}"
        raise MalformedError(message) from error


def compare_file(
    data: bytes, verified: Verified, comparer: Comparer
) -> tuple[Comparison, ...]:
    """Each checkpoint of a file against what is verified; at least one."""
    try:
        notes = notes_in(data)
    except MalformedError as error:
        return (Comparison("unchecked", str(error)),)
    return tuple(
        comparer.compare(note, verified.note, frozen=verified.frozen) for note in notes
    )


def worst(found: Iterable[Comparison]) -> Comparison:
    """The one that says most against the log; else what could not be told."""
    order = {0: 0, 3: 1, VerificationError.exit_code: 2}
    return max(found, key=lambda one: order[one.exit_code])


def tell(state: State, alerts: Iterable[Alert]) -> None:
    """Keep alerts to be delivered; a log that lied is cosigned no more."""
    with state.transaction():
        for alert in alerts:
            state.raise_alert(alert)
            if state.fact("follow", "tainted") is None:
                state.remember("follow", "tainted", alert.kind)


def desk(
    state: State, comparer: Comparer, clock: Callable[[], int]
) -> Callable[[bytes], tuple[int, dict[str, object]]]:
    """What answers `POST /check`: the body of a request to status and JSON.

    One is compared at a time; who comes meanwhile is asked to come again (429).

    Args:
        state: monitor.db, by a connection of its own.
        comparer: what holds a checkpoint against ours.
        clock: unix seconds.
    """
    lock = threading.Lock()

    def answer(data: bytes) -> tuple[int, dict[str, object]]:
        try:
            notes_in(data)
        except MalformedError as error:
            return _BAD_REQUEST, {"error": printable(str(error), _WORDS)}
        if not lock.acquire(blocking=False):
            return _BUSY, {"error": "another one is being compared: try again"}
        try:
            if state.log() is None:
                found: tuple[Comparison, ...] = (_nothing(),)
            else:
                found = compare_file(data, state.verified(), comparer)
                alerts = [
                    alert
                    for one in found
                    if (alert := one.alert(comparer.key.name, "handed in", clock()))
                ]
                if alerts:
                    tell(state, alerts)
        finally:
            lock.release()
        return _OK, shown(comparer.key.name, worst(found))

    return answer


def _nothing() -> Comparison:
    return Comparison("unchecked", "nothing is verified of this log yet")


def shown(log: str, found: Comparison) -> dict[str, object]:
    """A comparison as JSON shows it."""
    size = None if found.checkpoint is None else found.checkpoint.size
    return {
        "evidence": found.evidence,
        "found": printable(found.found, _WORDS),
        "log": log,
        "size": size,
        "verdict": found.verdict,
    }
