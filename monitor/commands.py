"""`pcrlog-monitor`: the table of commands, and how each of them ends.

Exit status (PROTOCOL.md section 4): 0 clean, 2 usage, 3 could not look, 4 alerts or
refuted, 130 interrupted; 1 is left to a crash. Commands are imported when they are
called; their one line of help stands here, and a test compares it with the command's
own.
"""

import importlib
import sys

import click

from pcrlog.errors import PcrlogError

_INTERRUPTED = 130

COMMANDS = {
    "init": ("monitor.init_command", "Write a monitor.toml for a log of a policy."),
    "run": ("monitor.run_command", "Watch the log, and tell of what is wrong."),
    "status": ("monitor.status_command", "Show how far the log is verified."),
    "light": (
        "monitor.light_command",
        "Watch one's own names without reading the log.",
    ),
    "check": ("monitor.check_command", "Compare a checkpoint or bundle with our view."),
    "evidence": ("monitor.evidence_command", "Verify a file that proves a log wrong."),
    "witness": ("monitor.witness_command", "Cosign what extends what was seen before."),
}
"""Command to module and help, in the order in which `--help` lists them."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(
        self, _ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pcrlog")
def commands() -> None:
    """Watch a transparency log: is it honest, and is it my business?"""


def main() -> None:
    """Run the command and end with its exit status."""
    try:
        status = commands.main(prog_name="pcrlog-monitor", standalone_mode=False)
    except PcrlogError as error:
        click.echo(f"pcrlog-monitor: {error}", err=True)
        status = error.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    sys.exit(status if isinstance(status, int) else 0)
