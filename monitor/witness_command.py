"""`pcrlog-monitor witness`: makes, runs and shows a witness."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from monitor.witness_store import Contents, Fork

_FOLDER = click.Path(path_type=Path, file_okay=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("witness")
def witness_command() -> None:
    """Cosign what extends what was seen before.

    A witness signs a checkpoint only if it extends the one that it signed before. Logs
    that ask witnesses, and clients that demand their lines, cannot be split.
    """


@witness_command.command()
@click.argument("directory", metavar="DIR", type=_FOLDER)
@click.option("--name", required=True, help="The witness's name for ever: HOST/NAME.")
@_JSON
def init(directory: Path, name: str, *, as_json: bool) -> None:
    """Make a new witness in DIR, with its key and its memory."""
    from monitor.clock import clock
    from monitor.witness_config import KEY
    from monitor.witness_making import make_witness_folder
    from pcrlog.encoding import encode_json

    vkey = make_witness_folder(directory, name, clock())
    if as_json:
        click.echo(encode_json({"name": name, "vkey": str(vkey)}))
        return
    click.echo(vkey)
    click.echo(
        f"Made the witness {name} in {directory}; its vkey is above.\n"
        f"{KEY} and witness.db belong together: never copy the one, never put back the"
        " other.\n"
        f"Next: pcrlog-monitor witness add {directory} VKEY\n"
        f"      pcrlog-monitor witness run {directory}",
        err=True,
    )


@witness_command.command()
@click.argument("directory", metavar="DIR", type=_FOLDER)
@click.argument("vkey")
@click.option("--qpd", type=click.IntRange(1), help="Requests a day that it may make.")
@_JSON
def add(directory: Path, vkey: str, qpd: int | None, *, as_json: bool) -> None:
    """Cosign for the log with VKEY, from now on."""
    from monitor.witness_making import add_log
    from pcrlog.encoding import encode_json

    added, origin = add_log(directory, vkey, qpd), vkey.partition("+")[0]
    if as_json:
        click.echo(encode_json({"added": added, "origin": origin}))
    elif added:
        click.echo(f"Added {origin}. A witness that runs sees it now.")
    else:
        click.echo(f"{origin} is on the list already.")


@witness_command.command()
@click.argument("directory", metavar="DIR", type=_FOLDER)
@click.option("--listen", metavar="ADDRESS:PORT", help="Instead of witness.toml's.")
def run(directory: Path, listen: str | None) -> None:
    """Run the witness in DIR until SIGTERM or Ctrl-C."""
    from monitor.clock import clock
    from monitor.witness_serving import serve_witness

    serve_witness(directory, listen, clock)


@witness_command.command()
@click.argument("directory", metavar="DIR", type=_FOLDER)
@_JSON
@click.option(
    "--evidence",
    "out",
    type=_FOLDER,
    help="Write each fork that was seen into this folder, as pcrlog-evidence/v1.",
)
def status(directory: Path, out: Path | None, *, as_json: bool) -> int:
    """Show what was cosigned last of each log; 4 if one has forked."""
    from monitor.witness_config import Settings
    from monitor.witness_making import write_forks
    from monitor.witness_store import NAME, read
    from pcrlog.errors import VerificationError

    settings = Settings.load(directory)
    contents = read(directory / NAME)
    written = [] if out is None else write_forks(contents.forks, out)
    if as_json:
        _print_json(contents)
    else:
        _print(settings.name, contents, written)
    return VerificationError.exit_code if contents.forks else 0


def _print_json(contents: "Contents") -> None:
    from pcrlog.encoding import encode_json

    shown = {
        "forks": [
            {"origin": fork.origin, "size": fork.size, "time": fork.time}
            for fork in contents.forks
        ],
        "logs": [
            {
                "origin": one.origin,
                "root": one.root.hex(),
                "size": one.size,
                "time": one.time,
            }
            for one in contents.cosigned
        ],
        "vkey": contents.vkey,
    }
    click.echo(encode_json(shown))


def _print(name: str, contents: "Contents", written: Sequence[Path]) -> None:
    from pcrlog.encoding import format_time

    click.echo(f"{name}: {len(contents.cosigned)} logs cosigned")
    click.echo(f"  {contents.vkey}")
    for one in contents.cosigned:
        click.echo(f"  {one.origin}  {one.size} leaves, {format_time(one.time)}")
    for fork in contents.forks:
        click.secho(f"  {_fork(fork)}, {format_time(fork.time)}", fg="red")
    for path in written:
        click.echo(f"  written: {path}")


def _fork(fork: "Fork") -> str:
    return f"FORK: {fork.origin} signed two trees of {fork.size} leaves"
