"""The commands that look after a log's folder: fsck, with --repair, restore, upgrade.

A command imports what it uses, when it uses it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from log_server.options import AS_JSON, FOLDER

if TYPE_CHECKING:
    from log_server.config import Config

_OFTEN = 1000


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="Make missing and damaged published files anew from log.db.",
)
@AS_JSON
def fsck(directory: Path, *, mend: bool, as_json: bool) -> None:
    """Check the whole log in DIR, from its leaves alone; also while it is served."""
    from log_server.config import Config
    from pcrlog.encoding import encode_json
    from pcrlog.errors import VerificationError

    config = Config.load(directory)
    report, wrong = (_repair if mend else _check)(config)
    if as_json:
        click.echo(encode_json(report))
    else:
        for path in report.get("repaired", ()):
            click.echo(f"repaired: {report['where']}{path}")
        for line in wrong:
            click.echo(f"wrong: {line}")
    if wrong:
        message = f"{config.origin}: {_things(len(wrong))} wrong"
        raise VerificationError(message)
    if not as_json:
        done = "everything is right now" if mend else "nothing wrong"
        click.echo(f"{config.origin}: {report['leaves']} leaves, {done}.")
        if config.publishing.at == "database":
            click.echo("Nothing is published apart from the database.")


def _things(number: int) -> str:
    return "1 thing is" if number == 1 else f"{number} things are"


def _check(config: "Config") -> tuple[dict[str, Any], list[str]]:
    from log_server.fsck import check

    findings = check(config, _show_leaves, _show_files)
    report = {
        "leaves": findings.leaves,
        "files": findings.files,
        "wrong": findings.wrong,
    }
    return report, findings.wrong


def _repair(config: "Config") -> tuple[dict[str, Any], list[str]]:
    from log_server.repair import repair

    done = repair(config, _show_leaves)
    wrong = [*done.wrong, *done.left]
    report = {
        "leaves": done.leaves,
        "where": done.where,
        "repaired": done.files,
        "wrong": wrong,
    }
    return report, wrong


def _show_leaves(done: int) -> None:
    """Say now and then, on a terminal, how far it is."""
    if done % _OFTEN == 0 and sys.stderr.isatty():
        click.echo(f"\r{done} leaves", err=True, nl=False)


def _show_files(done: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done} files", err=True, nl=False)


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL_OR_DIR",
    help="The files of the log: where it, or a mirror, serves them, or a folder.",
)
@click.option(
    "--key",
    "key_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The log's signing key, log.skey.",
)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The log's log.toml; without it the log has no witnesses to ask.",
)
@AS_JSON
def restore(
    directory: Path,
    source: str,
    key_file: Path,
    settings_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Rebuild a log in DIR, which must be empty, from the files that it published."""
    from log_server.config import Settings
    from log_server.direct import read_key
    from log_server.fsck import check
    from log_server.restore import Told
    from log_server.restore import restore as run
    from log_server.sources import source as open_source
    from pcrlog.encoding import encode_json
    from pcrlog.errors import VerificationError

    settings = (
        None if settings_file is None else Settings.parse(settings_file.read_bytes())
    )
    with open_source(source, published=True) as fetch:
        config = run(
            directory,
            fetch,
            read_key(key_file),
            settings,
            Told(_show("leaves copied and verified"), _show("leaves in log.db")),
        )
    findings = check(config, _show_leaves)
    if findings.wrong:  # pragma: no cover - it was built and verified just now
        message = f"fsck of what was restored: {findings.wrong[0]}"
        raise VerificationError(message)
    if as_json:
        click.echo(encode_json({"origin": config.origin, "leaves": findings.leaves}))
        return
    click.echo(f"{config.origin}: {findings.leaves} leaves restored, nothing wrong.")
    click.secho("BEFORE YOU SERVE IT", bold=True)
    click.echo(
        f"make sure that nobody has seen a checkpoint of more than {findings.leaves}"
        " leaves: the log would fork, and\nnever be believed again."
        " Witnesses in log.toml are asked at the start."
    )


def _show(what: str) -> Callable[[int, int], None]:
    def show(done: int, size: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done >= size else ""
            click.echo(f"\r{done} of {size} {what}{end}", err=True, nl=False)

    return show


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option(
    "--to",
    "version",
    type=click.IntRange(1),
    help="A schema, older or newer; by default the one that this pcrlog serves.",
)
@AS_JSON
def upgrade(directory: Path, version: int | None, *, as_json: bool) -> None:
    """Take the databases in DIR to this pcrlog's schema, or back to an older one.

    Each file is copied before it is changed. No `serve` may run.
    """
    from log_server.config import STANDBY, Config
    from log_server.schema import VERSION
    from log_server.standby_folder import load_standby
    from log_server.upgrade import upgrade as run
    from pcrlog.encoding import encode_json

    is_standby = (directory / STANDBY).is_file()
    config = (load_standby if is_standby else Config.load)(directory)
    wanted = version or VERSION
    changes = run(config, wanted, _show_pages)
    if as_json:
        shown = [
            {"name": one.name, "from": one.before, "to": one.after} for one in changes
        ]
        click.echo(encode_json({"schema": wanted, "changes": shown}))
        return
    for one in changes:
        click.echo(
            f"{one.name}: schema {one.before} to {one.after}; as it was: {one.copy}"
        )
    click.echo(f"{config.origin}: schema {wanted}. Next: fsck, then serve it")
    if changes:
        click.echo(
            "Remove the copies when it is served; never serve one of them later."
        )


def _show_pages(what: str, done: int, size: int) -> None:
    _show(what)(done, size)
