"""The commands of a second machine: standby and promote.

A command imports what it uses, when it uses it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from log_server.options import AS_JSON, FOLDER

if TYPE_CHECKING:
    from log_server.config import Config
    from log_server.following import State
    from log_server.promotion import Promoted

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
Clock = Callable[[], int]


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.argument("source", metavar="FROM")
@click.option("--vkey", "vkey_file", type=_FILE, help="log.vkey, for the first run.")
@click.option(
    "--settings",
    "settings_file",
    type=_FILE,
    help="The log's log.toml, for the first run: `promote` asks its witnesses.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks; 0: take what there is, and end.",
)
@AS_JSON
def standby(
    directory: Path,
    source: str,
    vkey_file: Path | None,
    settings_file: Path | None,
    poll: float,
    *,
    as_json: bool,
) -> None:
    """Follow the log at FROM into DIR, until SIGTERM, so as to go on with it one day.

    FROM is its URL, or a mirror's, or the folder that a dead machine has left: what is
    there is taken, and that is all.
    """
    from log_server.following import follow

    config = _standby_of(directory, vkey_file, settings_file)
    is_url = source.startswith(("https://", "http://"))
    say = _say_json if as_json else _say
    follow(config, source, say, _show, poll=(poll or None) if is_url else None)


def _standby_of(
    directory: Path, vkey_file: Path | None, settings_file: Path | None
) -> "Config":
    from log_server.config import SETTINGS, STANDBY
    from log_server.standby_folder import load_standby, make_standby
    from pcrlog.errors import UsageError
    from pcrlog.note import VerifierKey

    if (directory / SETTINGS).exists():
        message = f"{directory} is a log; a standby begins in a folder of its own"
        raise UsageError(message)
    vkey = None
    if vkey_file is not None:
        text = vkey_file.read_bytes().decode("ascii", "replace")
        vkey = VerifierKey.parse(text.strip())
    if not (directory / STANDBY).exists():
        if vkey is None:
            message = "the first run needs --vkey: the log's key, log.vkey"
            raise UsageError(message)
        settings = None if settings_file is None else settings_file.read_bytes()
        return make_standby(directory, vkey, settings)
    config = load_standby(directory)
    if vkey not in {None, config.vkey()}:
        message = f"{directory} follows the log of {config.vkey()}, not of {vkey}"
        raise UsageError(message)
    if settings_file is not None:
        message = f"{directory} has its settings, in {STANDBY}; give others to promote"
        raise UsageError(message)
    return config


def _say(state: "State") -> None:
    detail = f": {state.detail}" if state.detail else ""
    click.echo(f"{state.state}: {state.size} leaves{detail}", err=True)


def _say_json(state: "State") -> None:
    from pcrlog.encoding import encode_json

    click.echo(encode_json(state))
    sys.stdout.flush()


def _show(what: str, done: int, size: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done >= size else ""
        click.echo(f"\r{done} of {size} {what}{end}", err=True, nl=False)


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option(
    "--intake",
    type=_FILE,
    help="The dead machine's intake.db, with its -wal beside it: what waited there.",
)
@click.option(
    "--settings",
    "settings_file",
    type=_FILE,
    help="The log's log.toml, if it is another one than the standby's.",
)
@click.option(
    "--no-fence",
    "fence",
    flag_value=False,
    default=True,
    help="Ask no witness. If the other machine runs still, the log forks.",
)
@AS_JSON
@click.pass_obj
def promote(
    clock: Clock,
    directory: Path,
    intake: Path | None,
    settings_file: Path | None,
    *,
    fence: bool,
    as_json: bool,
) -> None:
    """Make the standby in DIR the log; DIR/keys/log.skey has to be there."""
    from log_server.promotion import promote as run
    from log_server.standby_folder import load_standby
    from pcrlog.encoding import encode_json

    config = load_standby(directory)
    settings = None if settings_file is None else settings_file.read_bytes()
    done = run(config, clock, fence=fence, intake=intake, settings=settings, told=_show)
    if as_json:
        click.echo(encode_json(done))
        return
    _tell(config.origin, directory, done, intake)


def _tell(origin: str, directory: Path, done: "Promoted", intake: Path | None) -> None:
    who = ", ".join(done.witnesses)
    fence = f"fenced by {who}" if who else "NOT FENCED: no witness was asked"
    click.echo(f"{directory} is the log {origin} now: {done.leaves} leaves, {fence}.")
    if intake is None:
        click.secho("WHAT ONLY THE OTHER MACHINE KNEW IS LOST", bold=True)
        click.echo(
            "Statements that it had answered with 202, and not published, are in its"
            " intake.db alone.\nIf you get at it: stop `serve`, bring it with its -wal,"
            f" and pcrlog-server requeue {directory} intake.db.\nElse they answer 404,"
            " and whoever submitted them submits them again, which is always safe."
        )
    else:
        click.echo(
            f"{done.requeued.waiting} statements of {intake} wait for a decision again,"
            f" {done.requeued.known} were decided already."
        )
    click.echo(f"Next: pcrlog-server serve {directory}")
    click.echo(
        "Lead the log's name to this machine. Never start the other one again: its"
        " folder is an old copy now."
    )


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.argument("intake", metavar="INTAKE_DB", type=_FILE)
@AS_JSON
@click.pass_obj
def requeue(clock: Clock, directory: Path, intake: Path, *, as_json: bool) -> None:
    """Queue again, in the log in DIR, what waited in another machine's intake.db.

    Its -wal has to be beside it. No `serve` may run.
    """
    from log_server.config import Config
    from log_server.direct import exclusively
    from log_server.requeueing import requeue as run
    from pcrlog.encoding import encode_json

    config = Config.load(directory)
    with exclusively(config):
        done = run(config, intake, clock)
    if as_json:
        click.echo(encode_json(done))
        return
    click.echo(
        f"{done.waiting} statements wait for a decision again, {done.known} were"
        " decided already."
    )
