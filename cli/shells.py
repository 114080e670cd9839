"""What a shell is told at a TAB: a few lines that cost no import beside click.

click asks the parser; these classes add that files are offered where it has nothing,
since most of what commands take is a file. `pcrlog completion` (completion.py) prints
the script that makes a shell ask.
"""

from collections.abc import Mapping

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

VARIABLE = "_PCRLOG_COMPLETE"
"""Set by the shell at a TAB; how it is set, click's own scripts know."""


class _OrFiles(ShellComplete):
    """Offers files where the parser has nothing to offer."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = super().get_completions(args, incomplete)
        return found or [CompletionItem(incomplete, type="file")]


class _Bash(_OrFiles, BashComplete):
    def source(self) -> str:
        # Click's own starts a bash to see how old it is.
        return ShellComplete.source(self)


class _Zsh(_OrFiles, ZshComplete):
    pass


class _Fish(_OrFiles, FishComplete):
    pass


SHELLS: Mapping[str, type[ShellComplete]] = {
    "bash": _Bash,
    "zsh": _Zsh,
    "fish": _Fish,
}


def offer() -> None:
    """Let click complete with these classes; called where a shell asks."""
    for shell in SHELLS.values():
        add_completion_class(shell)
