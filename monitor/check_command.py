"""`pcrlog-monitor check`: is what somebody else was shown of our history?"""

from pathlib import Path

import click


@click.command("check")
@click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The monitor.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a file.")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
)
def check_command(config: Path, files: tuple[Path, ...], *, as_json: bool) -> int:
    """Compare a checkpoint or bundle with our view.

    FILE is a checkpoint, a bundle, a .tlog-proof, or what `pcrlog verify --json`
    printed. A lie becomes an alert of the running monitor. Exit status: 0 of one
    history, 3 could not check, 4 the log signed two.
    """
    from monitor.clock import clock
    from monitor.comparison import Comparer
    from monitor.config import Config
    from monitor.evidence_files import EvidenceFiles
    from monitor.handed import compare_file, read_handed, shown, tell
    from monitor.source import Source
    from monitor.state import State
    from monitor.withheld import Debts
    from pcrlog.encoding import encode_json, printable
    from pcrlog.errors import UncheckedError
    from pcrlog.transport import Client

    settings = Config.load(config)
    handed = [(str(path), read_handed(path)) for path in files]
    origin = settings.log.key.name
    path = settings.state / "monitor.db"
    if not path.is_file():
        message = f"{path.name} is not there: run it first: pcrlog-monitor run"
        raise UncheckedError(message)
    state = State(path)
    source = Source(lambda: Client(settings.log.url), settings.log, clock)
    status = 0
    try:
        if state.log() is None:
            message = "nothing is verified yet: run it first: pcrlog-monitor run"
            raise UncheckedError(message)
        folder = settings.state / "evidence"
        evidence = EvidenceFiles(folder, settings.log.key)
        debts = Debts((settings.log.witnesses, settings.log.index_monitors), clock)
        comparer = Comparer(settings.log.key, source, evidence, debts)
        for name, data in handed:
            for found in compare_file(data, state.verified(), comparer):
                status = max(status, found.exit_code)
                alert = found.alert(origin, f"{Path(name).name}, handed in", clock())
                if alert is not None:
                    tell(state, [alert])
                if as_json:
                    row = {"file": printable(name), **shown(origin, found)}
                    click.echo(encode_json(row))
                else:
                    words = f"{name}: {found.verdict}: {found.found}"
                    click.echo(printable(words, _LINE))
                    if found.evidence is not None:
                        click.echo(f"  evidence: {folder / found.evidence}")
    finally:
        source.close()
        state.close()
    return status


_LINE = 500
