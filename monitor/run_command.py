"""`pcrlog-monitor run`: watches a log, for ever or once."""

from pathlib import Path

import click


@click.command("run")
@click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The monitor.toml.",
)
@click.option("--once", is_flag=True, help="One round, for cron and CI; see below.")
def run_command(config: Path, *, once: bool) -> int:
    """Watch the log, and tell of what is wrong.

    With --once: exit status 0 clean, 4 alerts or a log that has lied, 3 could not look
    or could not tell.
    """
    from monitor.clock import clock
    from monitor.config import Config
    from monitor.telling import Teller

    settings = Config.load(config)
    teller = Teller(settings.log.key.name)
    if once:
        from monitor.running import open_monitor
        from monitor.streams import output

        with open_monitor(settings, clock, output(), teller.hooks()) as it:
            return it.once()
    from monitor.daemon import run

    return run(config, settings, clock)
