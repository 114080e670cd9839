"""`pcrlog completion`: what a shell needs to complete commands, options and values.

The script that it prints asks `pcrlog` itself at each TAB, in the way of click, with
`_PCRLOG_COMPLETE` in the environment. So what is offered is what the parser takes, in
this version and the next. Where the parser knows nothing, file names are offered: most
of what commands take is a file.
"""

import click
from msgspec import Struct

from cli.options import json_option, takes
from cli.session import Session
from cli.shells import SHELLS, VARIABLE


class _Completion(Struct, frozen=True, kw_only=True):
    shell: str


class Script(Struct, frozen=True):
    """A shell, and what it is to read."""

    shell: str
    script: str


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@json_option
@takes(_Completion)
def completion_command(session: Session, options: _Completion) -> None:
    """Print what makes a shell complete commands and options.

    bash: eval "$(pcrlog completion bash)" in ~/.bashrc, or the output as
    /etc/bash_completion.d/pcrlog.

    zsh: eval "$(pcrlog completion zsh)" in ~/.zshrc after compinit, or the output as
    _pcrlog in a folder of $fpath.

    fish: pcrlog completion fish >~/.config/fish/completions/pcrlog.fish
    """
    group = click.get_current_context().find_root().command
    shell = SHELLS[options.shell](group, {}, "pcrlog", VARIABLE)
    script = shell.source()
    if session.output.json:
        session.output.result(Script(options.shell, script), ())
    else:
        click.echo(script, nl=False)
