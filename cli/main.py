"""`pcrlog`: the table of commands, and how each of them ends.

Exit status (PROTOCOL.md section 4): 0 done or verified, 2 usage, 3 could not check, 4
refuted or refused, 130 interrupted. 1 is left to a crash. Commands are imported when
they are called; their one line of help stands here, so that `--help` imports none, and
a test compares it with the command's own.
"""

import importlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.exceptions import NoArgsIsHelpError

from cli.output import Output
from cli.session import Session
from pcrlog.errors import PcrlogError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130

COMMANDS = {
    "verify": ("cli.verify", "Check an enclave against everything the log says."),
    "report": (
        "cli.report",
        "Check a report that verify --report made, or take it apart.",
    ),
    "identify": ("cli.lookup", "What does the log call this? Never says verified."),
    "lookup": ("cli.lookup", "List releases or identities, with the index's proof."),
    "show": ("cli.show", "Show an entry of the log, proven to be in it."),
    "ready": ("cli.ready", "Would this policy accept these registers now?"),
    "show-attestation": (
        "cli.show_attestation",
        "Print what an attestation document claims.",
    ),
    "queue": ("cli.queued", "List releases that nobody has audited yet, oldest first."),
    "bundle": ("cli.bundle", "Fetch what verifying offline needs, in one file."),
    "staple": ("cli.staple", "Keep a fresh bundle beside an attestation endpoint."),
    "export": ("cli.export", "Hand accepted releases to other verifiers."),
    "mirror": ("cli.mirror", "Copy a whole log, verified, into a folder of files."),
    "policy": ("cli.policy", "Change, explain and check a policy file."),
    "measure": ("cli.measure", "Compute the registers of an enclave image."),
    "diff": ("cli.diff", "Say what differs between two images, or measurements."),
    "keys": ("cli.keys", "Make and show keys."),
    "identity": ("cli.identities", "Enrol a name, change its keys, show them."),
    "release": ("cli.release", "Publish which registers a version boots to."),
    "component": (
        "cli.component",
        "Release a part of images, and see how far its chain goes.",
    ),
    "cosign": ("cli.cosign", "Publish the result of a rebuild or a review."),
    "controls": (
        "cli.controls",
        "Does what hands over secrets demand this attestation?",
    ),
    "revoke": ("cli.revoke", "Say that a release or an audit no longer stands."),
    "sign": ("cli.statements", "Sign a statement made elsewhere."),
    "submit": ("cli.statements", "Hand signed statements to their log."),
    "wait": ("cli.statements", "Wait for the log's decision on a submission."),
    "conformance": (
        "cli.conformance",
        "Compare an implementation with the protocol's vectors.",
    ),
    "completion": (
        "cli.completion",
        "Print what makes a shell complete commands and options.",
    ),
    "man": ("cli.man", "Print a manual page, or write all of them."),
}
"""Command to module and help, in the order in which `--help` lists them."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        _ctx: click.Context,
        cmd_name: str,
    ) -> click.Command | None:
        """A command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(
            module, f"{cmd_name.replace('-', '_')}_command"
        )
        return command

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> "list[CompletionItem]":
        """What a shell offers for a command's name, from the table alone."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(
        self,
        _ctx: click.Context,
        formatter: click.HelpFormatter,
    ) -> None:
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pcrlog")
def pcrlog() -> None:
    """Who vouches for what this enclave runs, and does anybody warn against it?

    Exit status: 0 done or verified, 2 usage, 3 could not check, 4 refuted or refused.
    """


def main(
    args: list[str] | None = None, *, clock: Callable[[], float] = time.time
) -> int:
    """Run one command; its exit status."""
    if "_PCRLOG_COMPLETE" in os.environ:  # a shell asks, at a TAB
        importlib.import_module("cli.shells").offer()
    output = Output()
    session = Session(clock=clock, output=output)
    try:
        found = pcrlog.main(args, "pcrlog", standalone_mode=False, obj=session)
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    except click.ClickException as error:
        _report(output, _words(error), UsageError.exit_code)
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except PcrlogError as error:
        _report(output, str(error), error.exit_code)
        return error.exit_code
    return found if isinstance(found, int) else 0


def _words(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    advice = f" (see {context.command_path} --help)" if context else ""
    return error.format_message() + advice


def _report(output: Output, message: str, status: int) -> None:
    if output.json:
        output.result({"error": message, "exit_status": status}, ())
    else:
        output.error(message)
