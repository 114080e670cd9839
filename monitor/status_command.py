"""`pcrlog-monitor status`: how far, what is wrong, what was last said."""

from pathlib import Path

import click

_ALERTS, _ROUNDS = 10, 5


@click.command("status")
@click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The monitor.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_command(config: Path, *, as_json: bool) -> int:
    """Show how far the log is verified."""
    from monitor.config import Config
    from monitor.state import State
    from pcrlog.encoding import encode_json, format_time
    from pcrlog.errors import UncheckedError, VerificationError

    settings = Config.load(config)
    path = settings.state / "monitor.db"
    if not path.is_file():
        message = f"{path.name} is not there: run it first: pcrlog-monitor run"
        raise UncheckedError(message)
    state = State(path, read_only=True)
    try:
        known = state.log()
        size = 0 if known is None else state.verified().size
        sealed = 0 if known is None else state.verified().sealed
        wrong, rounds = state.conditions(), state.rounds(_ROUNDS)
        alerts = state.newest_alerts(_ALERTS)
        tainted = state.fact("follow", "tainted")
    finally:
        state.close()
    if as_json:
        shown = {
            "log": settings.log.key.name,
            "size": size,
            "sealed": sealed,
            "tainted": tainted,
            "conditions": [{"kind": one.kind, "since": one.since} for one in wrong],
            "alerts": [
                {"id": alert.id, "kind": alert.kind, "seq": seq, "time": alert.time}
                for seq, alert in alerts
            ],
            "rounds": [
                {"found": one.found, "outcome": one.outcome, "time": one.time}
                for one in rounds
            ],
        }
        click.echo(encode_json(shown))
    else:
        click.echo(f"{settings.log.key.name}: {size} leaves verified", nl=False)
        click.echo(f", sealed {format_time(sealed)}" if sealed else "")
        if tainted:
            click.secho(f"  it has lied: {tainted}", fg="red")
        for one in wrong:
            click.secho(f"  {one.kind} since {format_time(one.since)}", fg="yellow")
        for last in rounds[:1]:
            when = format_time(last.time)
            click.echo(f"  last round  {when}, {last.took_ms} ms: {last.found}")
        for _, alert in alerts:
            click.echo(f"  {format_time(alert.time)}  {alert.text()}")
    if tainted:
        return VerificationError.exit_code
    return 0
