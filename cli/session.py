"""One run of a command: what it is given by `main`, and by the environment.

Apart from options.py, so that `pcrlog --help` need not know what a policy is.
"""

import os
from collections.abc import Callable

from msgspec import Struct

from cli.output import Output


class Session(Struct):
    """One run: its clock (unix seconds), and where it writes."""

    clock: Callable[[], float]
    output: Output

    @property
    def now(self) -> int:
        """Unix seconds."""
        return int(self.clock())

    @property
    def state_directory(self) -> str:
        """Where what is remembered lies: PCRLOG_STATE, or below XDG_STATE_HOME."""
        if own := os.environ.get("PCRLOG_STATE"):
            return own
        home = os.environ.get("HOME", "")
        base = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
        return f"{base}/pcrlog"
