"""Copies a log into a mirror's folder; what is wrong is never written there.

    checkpoint: signed? of one history with those met? cosigned, as the policy demands?
    -> entries, run by run: in the tree? well-formed, said by who may say it, signed?
       seals and their index roots right? then written, and the progress kept
    -> what else the tree has -> checkpoint

A run that ends in between, however it ends, leaves the older mirror as it was, and the
progress: the next one goes on from there, whatever the log has grown by meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from queue import SimpleQueue
from typing import TYPE_CHECKING

from msgspec import structs

from cli.mirror_checking import Checked, Checking
from cli.mirror_files import MirrorFiles, Progress
from cli.mirror_indexing import Indexing
from cli.mirror_pass import BadEntryError, Pass, Read, settle
from cli.mirror_tiles import Part, Tiles
from pcrlog.errors import TransportError
from pcrlog.merkle import range_root
from pcrlog.policy import Log
from pcrlog.reader import Fetch
from pcrlog.seal import FIRST_BYTE as SEAL_FIRST_BYTE
from pcrlog.seal import Seal
from pcrlog.tiles import FULL, Tile, encode_bundle, tiles_of
from pcrlog.transport import RefusedError

if TYPE_CHECKING:
    from cli.mirror_index import Extension

AT_ONCE = 8
"""Requests at once."""
_AHEAD = 16
"""Entry bundles that are fetched before they are judged."""
_RUN = 8
"""Entry bundles of a run: what a crash judges again."""
_RUN_BYTES = 4 << 20
_FEW = 1024
"""Entries that are not worth the start of a process: 0.3 s."""
_WAITING = 1
"""Runs whose signatures are being checked while the next one is read."""
_IN_TABLE = 8
"""The index file is written when the index has grown by one part in so many."""


class Download:
    """What a log serves, for any number of threads.

    Args:
        connect: makes a `Fetch`; each is used by one thread at a time.
    """

    def __init__(self, connect: Callable[[], Fetch]) -> None:
        self.bytes = 0
        """What has come, about."""
        self._idle: SimpleQueue[Fetch] = SimpleQueue()
        for _ in range(AT_ONCE):
            self._idle.put(connect())

    def __call__(self, path: str, most: int, /) -> bytes:
        """A file's bytes (a `reader.Fetch`)."""
        fetch = self._idle.get()
        try:
            data = fetch(path, most)
        except RefusedError as error:
            # Whatever its reason: to us it is a log that does not answer.
            raise TransportError(str(error)) from error
        finally:
            self._idle.put(fetch)
        self.bytes += len(data)
        return data


class _DamagedIndexError(Exception):
    """The file that the index began with is not one."""


@dataclass
class _Run:
    """Leaves from `start` on, and those of their entry bundles that are to be written.

    `length` is that of the leaves in bytes.
    """

    start: int
    leaves: list[bytes] = field(default_factory=list)
    length: int = 0
    bundles: int = 0
    lacking: list[tuple[int, tuple[bytes, ...]]] = field(default_factory=list)


@dataclass
class _Pending:
    """A run that is judged, while it is indexed and its signatures are checked."""

    run: _Run
    read: Read
    extension: "Future[Extension]"
    signatures: Checked


@dataclass
class Copying:
    """Copies the tree of a checkpoint that is proven to be of the log's one history.

    `progress` is how far the mirror has come; `tell` is told how many entries are
    judged.
    """

    log: Log
    tiles: Tiles
    files: MirrorFiles
    progress: Progress
    tell: Callable[[int], None]

    def run(self) -> None:
        """Judge and write all entries that are not there yet, and all hash tiles.

        Raises:
            BadEntryError: the log holds what it may not hold.
            VerificationError: what it serves is not what it signed.
            UncheckedError: it does not answer, or holds what this version cannot read.
        """
        with ThreadPoolExecutor(AT_ONCE, "files") as self._pool:
            try:
                if self.progress.size < self.tiles.size:
                    self._copy_entries()
                self._write(
                    (tile, self.tiles.tile(tile.level, tile.index))
                    for tile in tiles_of(self.tiles.size)
                    if tile.level
                )
            except BaseException:
                self._pool.shutdown(cancel_futures=True)
                raise

    # --- the index -------------------------------------------------------------------

    def _catch_up(self, index: Indexing, start: int) -> None:
        """Take what is judged already into the index, which has `start` leaves."""
        for run in self._runs(start, self.progress.size):
            seals = {
                at: Seal.parse(leaf)
                for at, leaf in enumerate(run.leaves, run.start)
                if leaf.startswith(SEAL_FIRST_BYTE)
            }
            read = Read(run.start, run.leaves, seals=seals)
            self._settle(read, index.extend(run.leaves), index)
            self._write_run(run, self.progress.size)
            self.tell(run.start)

    # --- entries ---------------------------------------------------------------------

    def _copy_entries(self) -> None:
        size = self.tiles.size
        beside = size - self.progress.size > _FEW
        with (
            Checking(beside=beside) as checking,
            Indexing(self.files.index, beside=beside) as index,
        ):
            began = index.begin(self.progress.size, size)
            try:
                self._judge(index, began, checking)
            except (BadEntryError, _DamagedIndexError):
                if not began:
                    raise
                # It began with a copy: that may be what is wrong.
                began = index.begin(0, size)
                self._judge(index, began, checking)
            if (size - began) * _IN_TABLE > began:
                index.save()

    def _judge(self, index: Indexing, began: int, checking: Checking) -> None:
        known = self.progress
        entries = Pass(
            self.log.key.name,
            self.log.registrar,
            sealed=known.sealed,
            frozen=known.frozen,
        )
        for number, places in groupby(known.identities, lambda at: at // FULL):
            bundle, _ = self.tiles.leaves(number)
            for at in places:
                entries.accept(at, bundle[at % FULL])
        self._catch_up(index, began)
        pending: deque[_Pending] = deque()
        for run in self._runs(known.size, self.tiles.size):
            read = entries.read(run.start, run.leaves)
            extension = index.extend(run.leaves)
            signatures = checking.check(read.owed)
            pending.append(_Pending(run, read, extension, signatures))
            if len(pending) > _WAITING:
                self._conclude(pending.popleft(), entries, index)
        while pending:
            self._conclude(pending.popleft(), entries, index)

    def _conclude(self, one: _Pending, entries: Pass, index: Indexing) -> None:
        """Wait for what a run owes, and write it."""
        read = one.read
        one.signatures.result()
        self._settle(read, one.extension, index)
        self._write_run(one.run, read.end)
        self.progress = structs.replace(
            self.progress,
            size=read.end,
            root=range_root(0, read.end, self.tiles.node),
            identities=tuple(at for at in entries.identities if at < read.end),
            sealed=read.sealed,
            frozen=read.frozen,
        )
        self.files.keep_progress(self.progress)
        self.tell(read.end)

    def _settle(
        self, read: Read, extension: "Future[Extension]", index: Indexing
    ) -> None:
        found = extension.result()
        if found.damaged:
            raise _DamagedIndexError
        settle(read, found, index.statement, self.tiles.leaf)

    def _runs(self, start: int, end: int) -> Iterator[_Run]:
        """The leaves from `start` to `end`, some entry bundles at a time."""
        run = _Run(start)
        for number, (bundle, lies) in self._bundles(start // FULL, -(-end // FULL)):
            first = number * FULL
            run.leaves += bundle[max(0, start - first) : end - first]
            run.length += sum(map(len, bundle))
            run.bundles += 1
            if not lies:
                run.lacking.append((number, bundle))
            if run.bundles == _RUN or run.length >= _RUN_BYTES:
                yield run
                run = _Run(run.start + len(run.leaves))
        if run.leaves:
            yield run

    def _bundles(
        self, first: int, end: int
    ) -> Iterator[tuple[int, tuple[tuple[bytes, ...], bool]]]:
        """Entry bundles in order, fetched ahead; each, and whether it lies there."""
        ahead: deque[Future[tuple[tuple[bytes, ...], bool]]] = deque()
        asked = first
        for number in range(first, end):
            while asked < min(end, number + _AHEAD):
                ahead.append(self._pool.submit(self.tiles.leaves, asked))
                asked += 1
            yield number, ahead.popleft().result()

    # --- files -----------------------------------------------------------------------

    def _write_run(self, run: _Run, judged: int) -> None:
        """Write a run's files, but for those with entries that are not `judged`."""
        size, first = self.tiles.size, run.start // FULL
        ends = {n: min(size, FULL * (n + 1)) for n in range(first, first + run.bundles)}
        self._write(
            (
                Tile(None, number, len(leaves)),
                Part(encode_bundle(leaves), lies=False),
            )
            for number, leaves in run.lacking
            if ends[number] <= judged
        )
        self._write(
            (Tile(0, number, end - FULL * number), self.tiles.tile(0, number))
            for number, end in ends.items()
            if end <= judged
        )

    def _write(self, parts: Iterable[tuple[Tile, Part]]) -> None:
        """Write what does not lie there, several at once: each waits for the disk."""
        jobs = [
            self._pool.submit(self.files.put, tile, part.data)
            for tile, part in parts
            if not part.lies
        ]
        for job in jobs:
            job.result()
