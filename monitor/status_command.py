"""`pcrlog-monitor status`: how far, what is wrong, what was last said, who was told."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from monitor.ledger import SinkStanding
    from monitor.overview import Overview

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
    from monitor.overview import Overview
    from pcrlog.encoding import encode_json
    from pcrlog.errors import UncheckedError, VerificationError

    settings = Config.load(config)
    path = settings.state / "monitor.db"
    if not path.is_file():
        message = f"{path.name} is not there: run it first: pcrlog-monitor run"
        raise UncheckedError(message)
    seen = Overview.read(settings, alerts=_ALERTS)
    if as_json:
        click.echo(encode_json(_shown(seen)))
    else:
        _print(seen, settings.state)
    return VerificationError.exit_code if seen.tainted else 0


def _shown(seen: "Overview") -> dict[str, Any]:
    return {
        "log": seen.log,
        "size": seen.verified.size,
        "sealed": seen.verified.sealed,
        "frozen": seen.verified.frozen,
        "tainted": seen.tainted,
        "conditions": [
            {"kind": one.kind, "since": one.since} for one in seen.conditions
        ],
        "alerts": [
            {
                "about": one.about,
                "entries": one.entries,
                "evidence": one.evidence,
                "found": one.found,
                "id": one.id,
                "kind": one.kind,
                "severity": one.severity,
                "time": one.time,
            }
            for one in seen.alerts
        ],
        "rounds": [
            {"found": one.found, "outcome": one.outcome, "time": one.time}
            for one in seen.rounds[:_ROUNDS]
        ],
        "sinks": [
            {
                "delivered": one.delivered,
                "failing": one.failing,
                "kind": one.kind,
                "name": one.name,
                "pending": one.pending,
                "problem": one.problem,
            }
            for one in seen.sinks
        ],
        "views": seen.views,
    }


def _print(seen: "Overview", folder: Path) -> None:
    from pcrlog.encoding import format_time, printable

    sealed = seen.verified.sealed
    click.echo(f"{seen.log}: {seen.verified.size} leaves verified", nl=False)
    click.echo(f", sealed {format_time(sealed)}" if sealed else "")
    if seen.tainted:
        click.secho(f"  it has lied: {seen.tainted}", fg="red")
    for one in seen.conditions:
        click.secho(f"  {one.kind} since {format_time(one.since)}", fg="yellow")
    for last in seen.rounds[:1]:
        when, found = format_time(last.time), printable(last.found)
        click.echo(f"  last round  {when}, {last.took_ms} ms: {found}")
    for sink in seen.sinks:
        click.secho(
            f"  sink {sink.name}: {_words(sink)}", fg="yellow" if sink.failing else None
        )
    for name, problem in seen.views.items():
        click.secho(f"  view {name}: {problem}", fg="yellow")
    for alert in seen.alerts:
        text = printable(alert.text(), 1000)
        click.echo(f"  {format_time(alert.time)}  {text}")
        if alert.evidence is not None:
            file = folder / "evidence" / alert.evidence
            click.echo(f"    evidence: {file}")


def _words(sink: "SinkStanding") -> str:
    from pcrlog.encoding import format_time

    words = f"{sink.pending} waiting"
    if sink.failing is not None:
        words += f", refuses since {format_time(sink.failing)}"
    return words + (f": {sink.problem}" if sink.problem else "")
