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

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from monitor.alerts import Alert
from monitor.comparison import Comparer, Comparison
from monitor.remembered import Remembered
from monitor.state import State, Verified
from pcrlog.bundle import Bundle
from pcrlog.encoding import prepare, printable
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.evidence import FORMAT, notes_of, parse
from pcrlog.limits import BUNDLE
from pcrlog.proof import Proof

MOST = BUNDLE
"""Bytes of a file that is handed in."""
_PROOF = b"c2sp.org/tlog-proof@"
_BAD_REQUEST, _OK, _BUSY, _UNAVAILABLE = 400, 200, 429, 503
_PAUSES = (0.1, 0.5, 2.0)
"""Seconds before writing again what could not be written; each attempt waits as well,
for whoever else writes (state.py)."""
_log = logging.getLogger(__name__)
_WORDS = 300


class _Checkpoint(Struct):
    note: str


class _Report(Struct):
    checkpoint: _Checkpoint | None = None


class _Format(Struct):
    format: str = ""


prepare(_Report, _Format)


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
) -> Iterator[Comparison]:
    """Each checkpoint of a file against what is verified; at least one.

    One after the other: what the first came to can be told before the second is asked
    for.
    """
    try:
        notes = notes_in(data)
    except MalformedError as error:
        yield Comparison("unchecked", str(error))
        return
    for note in notes:
        yield comparer.compare(note, verified.note, frozen=verified.frozen)


def worst(found: Iterable[Comparison]) -> Comparison:
    """The one that says most against the log; else what could not be told."""
    order = {0: 0, 3: 1, VerificationError.exit_code: 2}
    return max(found, key=lambda one: order[one.exit_code])


def tell(state: State, alerts: Iterable[Alert]) -> None:
    """Keep alerts to be delivered; a log that lied is cosigned no more.

    A lie that was proven is not lost to a database that is busy: it is tried again.
    """
    kept = tuple(alerts)
    for pause in _PAUSES:
        try:
            return _tell(state, kept)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may pass
            _log.warning("an alert could not be kept yet: %s", error)
            time.sleep(pause)
    return _tell(state, kept)


def _tell(state: State, alerts: Iterable[Alert]) -> None:
    remembered = Remembered(state)
    with state.transaction():
        for alert in alerts:
            state.raise_alert(alert)
            # What is withheld may yet be shown; that is no lie.
            if alert.kind == "equivocation":
                remembered.taint(alert.kind)


def desk(
    state: State, comparer: Comparer, clock: Callable[[], int]
) -> Callable[[bytes], tuple[int, dict[str, object]]]:
    """What answers `POST /check`: the body of a request to status and JSON.

    One is compared at a time; who comes meanwhile is asked to come again (429), and so
    is who brought what could not be compared or, worse, not be written down (503).

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
            found = [*_compared(data, state, comparer, clock)]
        except Exception as error:  # noqa: BLE001 - logged, and whoever asked is told
            _log.exception("what was handed in")
            return _UNAVAILABLE, {"error": _failed(error)}
        finally:
            lock.release()
        return _OK, shown(comparer.key.name, worst(found))

    return answer


class _UntoldError(Exception):
    """A lie was found, and could not be written down."""

    def __init__(self, alert: Alert) -> None:
        super().__init__(alert.text())


def _compared(
    data: bytes, state: State, comparer: Comparer, clock: Callable[[], int]
) -> Iterator[Comparison]:
    """Each checkpoint of a file; a lie is told as soon as it is found."""
    if state.log() is None:
        yield Comparison("unchecked", "nothing is verified of this log yet")
        return
    for found in compare_file(data, state.verified(), comparer):
        alert = found.alert(comparer.key.name, "handed in", clock())
        if alert is not None:
            try:
                tell(state, [alert])
            except Exception as error:
                raise _UntoldError(alert) from error
        yield found


def _failed(error: Exception) -> str:
    if isinstance(error, _UntoldError):
        words = f"this could not be written down: keep the file, try again: {error}"
    else:
        words = f"it could not be compared: try again: {type(error).__name__}: {error}"
    return printable(words, _WORDS)


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
