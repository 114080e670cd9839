"""The commands that look after a log's folder: fsck, with --repair, and restore.

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
    help="Make missing and damaged files of public/ anew from log.db.",
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
            click.echo(f"repaired: public/{path}")
        for line in wrong:
            click.echo(f"wrong: {line}")
    if wrong:
        message = f"{config.origin}: {_things(len(wrong))} wrong"
        raise VerificationError(message)
    if not as_json:
        done = "everything is right now" if mend else "nothing wrong"
        click.echo(f"{config.origin}: {report['leaves']} leaves, {done}.")


def _things(number: int) -> str:
    return "1 thing is" if number == 1 else f"{number} things are"


def _check(config: "Config") -> tuple[dict[str, Any], list[str]]:
    from log_server.fsck import check

    findings = check(config, _show_leaves)
    return {"leaves": findings.leaves, "wrong": findings.wrong}, findings.wrong


def _repair(config: "Config") -> tuple[dict[str, Any], list[str]]:
    from log_server.repair import repair

    done = repair(config, _show_leaves)
    wrong = [*done.wrong, *done.left]
    report = {"leaves": done.leaves, "repaired": done.files, "wrong": wrong}
    return report, wrong


def _show_leaves(done: int) -> None:
    """Say now and then, on a terminal, how far it is."""
    if done % _OFTEN == 0 and sys.stderr.isatty():
        click.echo(f"\r{done} leaves", err=True, nl=False)


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
    from log_server.restore import Folder, Told
    from log_server.restore import restore as run
    from pcrlog.encoding import encode_json
    from pcrlog.errors import VerificationError
    from pcrlog.transport import Client

    settings = (
        None if settings_file is None else Settings.parse(settings_file.read_bytes())
    )
    is_url = source.startswith(("https://", "http://"))
    config = run(
        directory,
        Client(source) if is_url else Folder(Path(source)),
        read_key(key_file),
        settings,
        Told(_show("copied and verified"), _show("in log.db")),
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
            click.echo(f"\r{done} of {size} leaves {what}{end}", err=True, nl=False)

    return show
