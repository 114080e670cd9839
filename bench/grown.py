"""How a log does at a million entries, and at three: nothing may get slower by then.

The first million comes over HTTP in batches, at full speed, every signature checked and
every key indexed; that is the sustained rate. The rest goes through the same sequencer
and the same store without HTTP and intake.db before it, a thousand at a time; then the
server takes batches again, and is held against its first ones.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.inside import Inside, clocks
from bench.load import Loaded, get, load, post
from bench.made import GROUP, batches, groups, pcr0_of, product_of
from bench.served import Log, made_log
from log_server.direct import open_sequencer
from log_server.intake import Waiting
from pcrlog.encoding import sha256

WAIT = "/api/v1/entries?wait=30"
NDJSON = "application/x-ndjson"
_CONNECTIONS = 4
_PARTS = 10
"""Of the first million: so many rates are told."""
_BUNDLES = 2000
_AGAIN = 20_000
_LAST = 60_000
"""Entries that the grown log takes over HTTP."""
_TOLD_EVERY = 10.0
_SMALL = 20_000
"""Entries of a log that is small: for the time of an entry in its sequencer."""
_CLOCKED = 100_000
"""The same is told of the first and of the last so many that are loaded."""


class Stretch(NamedTuple):
    """Entries a second from one size of the log to another; CPU seconds an entry."""

    first: int
    last: int
    rate: float
    web: float
    sequencer: float


class Standing(NamedTuple):
    """A server that was started on a log of `entries`.

    `started`: seconds to its first answer. `resident`: bytes, at work. `database`,
    `files`: bytes an entry.
    """

    entries: int
    started: float
    resident: int
    database: float
    files: float


class Bundles(NamedTuple):
    """Bundles a second from a log of `entries`: each once, at half that, and again."""

    entries: int
    once: Loaded
    half: Loaded
    again: Loaded
    half_again: Loaded


class Grown(NamedTuple):
    """All that is told of a log that grows.

    `inside`: of a small log, of the first entries that were loaded, and of the last.
    """

    stretches: list[Stretch]
    standing: list[Standing]
    bundles: Bundles
    inside: list[Inside]

    @property
    def sustained(self) -> float:
        """Entries a second, of all that came over HTTP before the log was grown."""
        first = self.stretches[:-1]
        took = sum((one.last - one.first) / one.rate for one in first)
        return (first[-1].last - first[0].first) / took


def grow(first: int, last: int, last_stretch: int = _LAST) -> Iterator[str | Grown]:
    """Grow a log: words on how far it is, and the outcome at the end."""
    inside: list[Inside] = []
    with made_log() as log:
        for _ in _load(log, 0, min(_SMALL, first), inside):
            pass
    with made_log() as log:
        stretches, standing = [], []
        part = max(GROUP, first // _PARTS // GROUP * GROUP)
        with log.served():
            for start in range(0, first, part):
                one = _stretch(log, start, min(part, first - start))
                stretches.append(one)
                yield f"{one.last:,} entries: {one.rate:,.0f} a second"
        with log.served():
            bundles = _bundles(log, first)
            standing.append(_standing(log))
            yield f"{first:,} entries: {bundles.once.rate:,.0f} bundles a second"
        for size in _load(log, first, last - first, inside):
            yield f"{size:,} entries, loaded"
        with log.served():
            stretches.append(_stretch(log, last, last_stretch))
            standing.append(_standing(log))
        yield Grown(stretches, standing, bundles, inside)


def _stretch(log: Log, start: int, number: int) -> Stretch:
    requests = [post(WAIT, body, NDJSON) for body in batches(log.keys, start, number)]
    size, before = log.size, log.busy()
    found = load(log.port, requests, connections=_CONNECTIONS)
    if set(found.statuses) != {200} or log.size < size + number:
        message = f"not all was published: {found.statuses}, {log.size} leaves"
        raise RuntimeError(message)
    after = log.busy()
    web, sequencer = ((after[w] - before[w]) / number for w in ("web", "sequencer"))
    return Stretch(start, start + number, found.rate * GROUP, web, sequencer)


def bundle_of(number: int) -> bytes:
    """A request for the bundle about the release `number`."""
    return get(
        f"/api/v1/bundle?product={product_of(number)}"
        f"&measurement=aws-nitro/PCR0%3D{pcr0_of(number)}",
        "Accept-Encoding: identity",
    )


def _bundles(log: Log, entries: int) -> Bundles:
    number = min(_BUNDLES, entries // 3)
    step = entries // (3 * number)
    asked = [bundle_of(n * step) for n in range(3 * number)]
    load(log.port, asked[:number])
    once = load(log.port, asked[number : 2 * number])
    # Half of what is asked for, or of what it can: whichever is more.
    half = load(log.port, asked[2 * number :], rate=max(150, once.rate / 2))
    warm = asked[2 * number :]
    again = load(log.port, (warm * (1 + _AGAIN // number))[:_AGAIN])
    half_again = load(log.port, (warm * 2)[: 2 * number], rate=1500)
    return Bundles(entries, once, half, again, half_again)


def _standing(log: Log) -> Standing:
    size = log.size
    public = log.folder / "public"
    files = sum(path.stat().st_size for path in public.rglob("*") if path.is_file())
    database = sum(_bytes(log.folder / f"log.db{end}") for end in ("", "-wal"))
    return Standing(size, log.started, log.resident(), database / size, files / size)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# --- the loader -----------------------------------------------------------------------


class _Made:
    """Rows that never were in intake.db, in the order of their decisions."""

    def __init__(self, some: Iterator[list[bytes]]) -> None:
        self._some = some
        self.given = 0

    def after(self, taken: int, _rows: int) -> Sequence[Waiting]:
        some = next(self._some, [])
        self.given += len(some)
        return [
            Waiting(taken + n, envelope, sha256(envelope), conflict_accepted=False)
            for n, envelope in enumerate(some, 1)
        ]


def _load(log: Log, start: int, number: int, inside: list[Inside]) -> Iterator[int]:
    """Have the sequencer decide statements that nobody sent; the sizes it comes to.

    `inside` is given where the time of its first and its last entries went.
    """
    part = min(_CLOCKED, number)
    stops = [(part, True)]
    if number > part:
        stops += [(max(part, number - part), False), (number, True)]
    config, made = log.config, _Made(groups(log.keys, start, number, 1))
    with (
        open_sequencer(config, lambda: int(time.time())) as sequencer,
        clocks(start) as running,
    ):
        sequencer._intake = made  # type: ignore[assignment] # noqa: SLF001 - it asks for rows alone
        told = time.monotonic()
        while sequencer.round():
            while stops and made.given >= stops[0][0]:
                stretch, (_, wanted) = running.stop(start + made.given), stops.pop(0)
                if wanted:
                    inside.append(stretch)
            if time.monotonic() - told > _TOLD_EVERY:
                told = time.monotonic()
                yield sequencer.progress.tree.size
    yield sequencer.progress.tree.size
