"""`pcrlog mirror`: a copy of a log, verified, as files that any web server may serve.

What is copied is judged as a monitor judges it, and whatever is wrong is never written:
mirror_meeting.py has what becomes of a checkpoint, mirror_copy.py of entries. The
copy answers `--mirror DIR` of other commands without a server (mirror_answers.py).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import click
from msgspec import Struct

from cli.logs import log_of
from cli.mirror_copy import Copying, Download
from cli.mirror_files import MirrorFiles
from cli.mirror_meeting import Meeting, check_cosigned
from cli.mirror_pass import BadEntryError
from cli.mirror_tiles import Tiles
from cli.options import json_option, load_policy, policy_option, takes
from cli.output import DIM, GOOD, Row, fact, following
from cli.session import Session
from cli.state import State
from pcrlog import limits
from pcrlog.checkpoint import open_checkpoint
from pcrlog.encoding import format_time
from pcrlog.errors import PcrlogError, VerificationError
from pcrlog.evidence import BadLeaf, Leaves, bare_note
from pcrlog.merkle import prove_inclusion
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Log, Policy
from pcrlog.reader import Fetch
from pcrlog.seal import Seal
from pcrlog.transport import Client


class _Mirror(Struct, frozen=True, kw_only=True):
    url: str
    directory: str
    policy: str | None


class Mirrored(Struct, frozen=True):
    """A mirror as it is now: `size` entries, of which `added` came in this run.

    `fresh` is whether `verify` would take its seal now; `checks` are those of the log
    itself, and what each found; `received` is in bytes.
    """

    directory: str
    log: str
    size: int
    added: int
    sealed: int
    fresh: bool
    received: int
    checks: dict[str, str]


@click.command("mirror")
@click.argument("url")
@click.argument("directory", metavar="DIR")
@policy_option
@json_option
@takes(_Mirror)
def mirror_command(session: Session, options: _Mirror) -> None:
    """Copy a whole log, verified, into a folder of files.

    Run it again to bring the copy up to date, or to go on where it was interrupted.
    """
    policy = load_policy(options.policy)
    with session.output.progress(f"asking {options.url}") as tell:
        done = mirror(
            lambda: Client(options.url),
            MirrorFiles(Path(options.directory)),
            policy,
            State(session.state_directory),
            session.now,
            tell,
        )
    session.output.result(done, _rows(done))


def mirror(
    connect: Callable[[], Fetch],
    files: MirrorFiles,
    policy: Policy,
    state: State,
    now: int,
    tell: Callable[[str], None],
) -> Mirrored:
    """Bring a mirror up to what a log shows.

    Args:
        connect: makes what the log is read by; each is used by one thread at a time.
        files: the mirror.
        policy: knows the log.
        state: what was met of logs before; evidence goes there.
        now: unix seconds.
        tell: told what is going on.

    Raises:
        VerificationError: the log is wrong; the mirror is as it was.
        UncheckedError: something could not be checked; the mirror is as it was.
        UsageError: the folder is of something else, or cannot be written.
    """
    served = Download(connect)
    note = served("checkpoint", limits.NOTE)
    log = log_of(policy, note)
    checkpoint = open_checkpoint(UnverifiedNote.parse(note), log.key)
    with files.locked():
        meeting = Meeting(log, files, state)
        tiles = meeting.meet(checkpoint, note, served)

        def told(size: int) -> None:
            tell(f"mirroring {log.key.name}: {size:,} of {tiles.size:,} entries")

        try:
            checks = check_cosigned(tiles, note, policy, log, now)
            progress = meeting.progress(tiles, note)
            files.keep_progress(progress)
            Copying(log, tiles, files, progress, told).run()
        except BadEntryError as error:
            raise _convicted(error, meeting, tiles, note, log) from error
        files.publish(note)
        before = 0 if meeting.checkpoint is None else meeting.checkpoint.size
        files.tidy(tiles.size, before)
    return Mirrored(
        str(files.directory),
        log.key.name,
        tiles.size,
        tiles.size - before,
        Seal.parse(tiles.leaf(tiles.size - 1)).time,
        checks["log.freshness"].status == "pass",
        served.bytes,
        {name.removeprefix("log."): check.found for name, check in checks.items()},
    )


def _convicted(
    error: BadEntryError, meeting: Meeting, tiles: Tiles, note: bytes, log: Log
) -> VerificationError:
    """The error, with evidence if the entry alone, or the one before, convicts."""
    signed = bare_note(note, log.key)[1]
    for index in (error.index, error.index - 1):
        with suppress(PcrlogError, ValueError):
            proof = prove_inclusion(index, tiles.size, tiles.node)
            entry = Leaves(index, (tiles.leaf(index),), proof)
            path = meeting.keep(BadLeaf(checkpoint=signed, entry=entry))
            return VerificationError(f"{error}. The evidence is in {path}")
    return error


def _rows(done: Mirrored) -> Iterator[Row]:
    said = f"{done.size} entries of {done.log}, {done.added} of them new"
    yield Row((("mirrored: ", GOOD),), f"{done.directory} has {said}")
    age = "" if done.fresh else ": not fresh, or the log's last"
    yield fact("sealed", format_time(done.sealed) + age, width=16)
    for name in ("witnesses", "index-monitors"):
        found = done.checks[name]
        told = "unchecked: waived by the policy" if found == "waived" else found
        yield fact(name, told, width=16)
    yield Row(
        (("  ", DIM),),
        "every entry's place, form, signatures and right to speak, every seal and its"
        " index root: verified",
        DIM,
    )
    yield following(f"pcrlog lookup --mirror {done.directory} --product PRODUCT")
