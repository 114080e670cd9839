"""`pcrlog-monitor light`: who spoke in one's name? For cron and CI."""

from pathlib import Path

import click


@click.command("light")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A monitor.toml: its policy, identities and known statements.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Or a policy, with --identity and --state.",
)
@click.option("--log", "origin", help="Which log of the policy; needed with several.")
@click.option("--identity", "names", multiple=True, help="A name to watch.")
@click.option(
    "--state",
    "state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The checkpoint of the last look; made at the first.",
)
@click.option(
    "--expected",
    type=click.Path(path_type=Path, dir_okay=False),
    help="SHA-256 of the statements that are known, one a line.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def light_command(  # noqa: PLR0913 - options
    config: Path | None,
    policy: Path | None,
    origin: str | None,
    names: tuple[str, ...],
    state: Path | None,
    expected: Path | None,
    *,
    as_json: bool,
) -> int:
    """Watch one's own names without reading the log.

    Exit status: 0 nothing to tell, 4 alerts, 3 could not look.
    """
    from monitor.clock import clock
    from monitor.evidence_files import EvidenceFiles
    from monitor.light import Light
    from monitor.light_task import Task, read_known, read_state, write_state
    from pcrlog.transport import Client

    task = Task.of(config, policy, origin, names, state)
    known = task.known if expected is None else read_known(expected, task.known)
    evidence = EvidenceFiles(task.state.parent, task.log.key)
    light = Light(task.log, lambda: Client(task.log.url), evidence, clock, task.skew)
    try:
        look = light.look(task.watch(known), read_state(task.state), task.first)
    finally:
        light.close()
    task.show(look, as_json=as_json)
    if look.state is not None:
        write_state(task.state, look.state)
    return 4 if look.alerts else 0
