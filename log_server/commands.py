"""The command pcrlog-server: makes, serves, checks and freezes a log.

Exit status (PROTOCOL.md section 4): 0 done; 2 wrong usage; 3 could not do it now; 4
refused, or what was checked is false; 130 interrupted; 1 is left to a crash. A command
imports what it uses, when it uses it.
"""

import sys
import time
from pathlib import Path
from typing import Literal

import click

from log_server import replicas, upkeep
from log_server.options import AS_JSON, FOLDER
from pcrlog.errors import PcrlogError

_INTERRUPTED = 130


def clock() -> int:
    """Unix seconds: the server's one clock."""
    return int(time.time())


def main() -> None:
    """Run the command and end with its exit status."""
    try:
        status = commands.main(standalone_mode=False, obj=clock)
    except PcrlogError as error:
        click.echo(f"pcrlog-server: {error}", err=True)
        status = error.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except Exception as error:
        from log_server.disk import fault_of

        fault = fault_of(error)
        if fault is None:
            raise
        click.echo(f"pcrlog-server: {fault}", err=True)
        status = fault.exit_code
    sys.exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pcrlog")
def commands() -> None:
    """Run a transparency log for enclave measurements."""


@commands.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--origin", required=True, help="The log's name for ever: HOST/NAME.")
@click.option(
    "--root-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the registrar's root key; by default DIR/keys.",
)
@click.option(
    "--database",
    metavar="URI",
    help="An empty PostgreSQL database, postgresql://...; by default SQLite in DIR.",
)
@click.option(
    "--log-key",
    metavar="URI",
    help="What signs for the log: exec:PUBLIC:COMMAND, hv:NAME; else a new key.",
)
@AS_JSON
def init(
    directory: Path,
    origin: str,
    root_key: Path | None,
    database: str | None,
    log_key: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a new log in DIR, with its keys, entry 0 and first checkpoint."""
    from log_server.creation import create_log
    from pcrlog.encoding import encode_json

    signer = None
    if log_key is not None:
        from signing import notes

        signer = notes.of(origin, log_key)
    new = create_log(
        *(directory, origin),
        root_key=root_key,
        clock=clock,
        signer=signer,
        database=database,
    )
    if as_json:
        shown = {
            "origin": origin,
            "vkey": new.vkey,
            "registrar": new.root_keyid,
            "enrol_keyid": new.enrol_keyid,
            "root_key": str(new.root_key),
            "enrol_key": str(new.enrol_key),
        }
        click.echo(encode_json(shown))
        return
    click.echo(f"Made the log {origin} in {directory}.")
    click.echo(f"  log key        {new.vkey}")
    click.echo(f"  registrar root {new.root_keyid}")
    click.echo("")
    click.secho(f"MOVE {new.root_key} AWAY NOW", bold=True)
    click.echo(
        "It is the registrar's root key. The server never needs it: keep it offline, in"
        " two places.\nWhoever has it decides who may enrol providers and auditors."
    )
    click.echo("")
    click.echo(f"Next: pcrlog-server serve {directory} --listen 127.0.0.1:8080")


@commands.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Where to listen.",
)
@click.option(
    "--only",
    type=click.Choice(["web", "sequencer"]),
    help="One half of it, for a log of several machines; by default both.",
)
def serve(
    directory: Path, listen: str, only: Literal["web", "sequencer"] | None
) -> None:
    """Serve the log in DIR until SIGTERM or Ctrl-C."""
    from log_server.config import Config
    from log_server.serving import serve as run
    from pcrlog.encoding import parse_decimal
    from pcrlog.errors import MalformedError

    host, _, port = listen.rpartition(":")
    try:
        number = parse_decimal(port, 65_535)
    except MalformedError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from error
    if not host or not number:
        message = f"expected ADDRESS:PORT, found {listen}"
        raise click.BadParameter(message, param_hint="--listen")
    run(Config.load(directory), host.strip("[]"), number, clock, only)


@commands.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--name", required=True, help="The name to enrol: a DNS name.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["provider", "auditor"]),
    help="What the name may do; may be repeated.",
)
@click.option(
    "--request",
    "request_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `pcrlog identity request` or `rotate` wrote.",
)
@AS_JSON
def enroll(
    directory: Path,
    name: str,
    roles: tuple[str, ...],
    request_file: Path,
    *,
    as_json: bool,
) -> None:
    """Enrol NAME with the keys of a request, or co-sign its rotation."""
    from log_server.config import Config
    from log_server.enrolment import prepare, submit
    from pcrlog.encoding import encode_json
    from pcrlog.request import Request

    config = Config.load(directory)
    request = Request.parse(request_file.read_bytes())
    enrolment = prepare(config, name, roles, request, clock)
    for line in enrolment.changes:
        click.echo(f"  {line}", err=as_json)
    index = enrolment.index
    if index is None:
        index = submit(config, enrolment.envelope, clock)
    if as_json:
        click.echo(encode_json({"index": index, "name": name}))
    else:
        click.echo(f"{name} stands in the log as entry {index}.")


@commands.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--url", required=True, help="Where clients reach the log.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; must not exist. By default the terminal.",
)
def policy(directory: Path, url: str, output: Path | None) -> None:
    """Write the beginning of a relying party's policy for the log in DIR."""
    from log_server.config import Config
    from log_server.policy_file import policy_skeleton
    from pcrlog.errors import UsageError

    text = policy_skeleton(Config.load(directory), url, clock)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("xb") as file:
            file.write(text)
    except FileExistsError as error:
        message = f"{output} exists; remove it, or name another file"
        raise UsageError(message) from error
    click.echo(f"Wrote {output}. Next: pcrlog policy add {output} NAME/PRODUCT")


@commands.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def freeze(directory: Path, *, yes: bool, as_json: bool) -> None:
    """Seal the log in DIR for the last time; nothing can be added ever after."""
    from log_server.config import Config
    from log_server.direct import exclusively, freeze_directly
    from pcrlog.encoding import encode_json

    config = Config.load(directory)
    if not yes:
        click.confirm(f"Freeze {config.origin} for ever?", abort=True, err=True)
    with exclusively(config):
        size = freeze_directly(config, clock)
    if as_json:
        click.echo(encode_json({"origin": config.origin, "size": size}))
    else:
        click.echo(f"{config.origin} is frozen at {size} entries.")


commands.add_command(upkeep.fsck)
commands.add_command(upkeep.restore)
commands.add_command(upkeep.upgrade)
commands.add_command(replicas.standby)
commands.add_command(replicas.promote)
commands.add_command(replicas.requeue)
