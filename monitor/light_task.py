r"""What `pcrlog-monitor light` is to look at, and how it says what it found.

It takes its log and names from a monitor.toml, or from a policy and its options. The
list of known statements is a file of hex SHA-256, one a line; what follows a `#` is a
remark. The state is a checkpoint note as the log signed it.

>>> parse_known(b"# ours\n" + b"ab" * 32 + b"  # 1.4.2\n") == {"ab" * 32}
True
"""

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click
from msgspec import Struct

from monitor.config import Config, choose_log, read_file
from monitor.light import Look
from monitor.light_entries import Watch
from pcrlog import limits
from pcrlog.encoding import encode_json, printable
from pcrlog.errors import MalformedError, UsageError
from pcrlog.policy import Log, Policy
from pcrlog.predicates import NAME

STATE = "light.checkpoint"
"""Name of the state in the folder of a monitor.toml's state."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(NAME)
_LINE = 500


class Task(Struct, frozen=True):
    """One log, some names, a file that remembers."""

    log: Log
    skew: int
    names: tuple[str, ...]
    state: Path
    known: frozenset[str] | None
    first: tuple[int, bytes] | None

    @classmethod
    def of(
        cls,
        config: Path | None,
        policy: Path | None,
        origin: str | None,
        names: tuple[str, ...],
        state: Path | None,
    ) -> "Task":
        """From the options of the command.

        Raises:
            UsageError: they do not go together, or a file makes no sense.
        """
        if (config is None) == (policy is None):
            message = "whose log? --config monitor.toml, or --policy policy.toml"
            raise UsageError(message)
        if config is not None:
            task = cls._of_config(Config.load(config), names, state)
        elif policy is not None and state is not None:
            rules = Policy.parse(read_file(policy))
            log = choose_log(rules, origin)
            task = cls(log, rules.clock_skew, names, state, None, None)
        else:
            message = "--policy needs --state: where to remember the last look"
            raise UsageError(message)
        wrong = [name for name in task.names if not _NAME.fullmatch(name)]
        if wrong or not task.names:
            message = f"which names? --identity acme.example, found {wrong}"
            raise UsageError(message)
        return task

    @classmethod
    def _of_config(
        cls, config: Config, names: tuple[str, ...], state: Path | None
    ) -> "Task":
        watch = config.watch
        return cls(
            config.log,
            config.policy.clock_skew,
            names or watch.identities,
            state or config.state / STATE,
            None if watch.statements is None else frozenset(watch.statements),
            config.first,
        )

    def watch(self, known: frozenset[str] | None) -> Watch:
        """What to look at."""
        return Watch(self.names, known)

    def show(self, look: Look, *, as_json: bool) -> None:
        """Print what was found."""
        if as_json:
            shown = {
                "alerts": look.alerts,
                "first_use": look.first,
                "log": self.log.key.name,
                "size": look.size,
                "statements": look.statements,
            }
            click.echo(encode_json(shown))
            return
        for line in self._lines(look):
            click.echo(printable(line, _LINE))

    def _lines(self, look: Look) -> Iterable[str]:
        names = ", ".join(self.names)
        if look.first and look.state is not None:
            yield f"First use: nothing is remembered in {self.state} yet."
            yield f"All that was ever said as {names}; read it with care:"
        for one in look.statements:
            mark = "  known" if one.expected else ""
            yield f"{one.index:>8}  {one.name}: {one.said}  {one.sha256[:16]}…{mark}"
        for alert in look.alerts:
            yield from alert.explained()
        new = (
            f"{len(look.statements)} new statements"
            if look.statements
            else "nothing new"
        )
        yield f"{self.log.key.name}: {look.size} leaves, {new} as {names}"
        if self.log.index_monitors is None:
            yield (
                "The policy waives index monitors: that nothing is hidden rests on the"
                " log's word."
            )


# --- files ----------------------------------------------------------------------------


def parse_known(data: bytes) -> frozenset[str]:
    """The SHA-256 in a list.

    Raises:
        MalformedError: a line that is none.
    """
    lines = (
        line.partition("#")[0].strip() for line in data.decode("latin-1").splitlines()
    )
    known = frozenset(line for line in lines if line)
    for one in sorted(known):
        if not _SHA256.fullmatch(one):
            message = f"expected the SHA-256 of a statement, found {printable(one, 80)}"
            raise MalformedError(message)
    return known


def read_known(path: Path, besides: frozenset[str] | None) -> frozenset[str]:
    """The list in a file, and what is known besides.

    Raises:
        UsageError: it cannot be read, or is no such list.
    """
    try:
        return parse_known(read_file(path)) | (besides or frozenset())
    except MalformedError as error:
        message = f"{path}: {error}"
        raise UsageError(message) from error


def read_state(path: Path) -> bytes | None:
    """What is remembered; None at first use.

    Raises:
        UsageError: it cannot be read.
    """
    if not path.exists():
        return None
    data = read_file(path)
    if len(data) > limits.NOTE:
        message = f"{path} has more than {limits.NOTE} bytes: no checkpoint"
        raise UsageError(message)
    return data


def write_state(path: Path, note: bytes) -> None:
    """Remember a checkpoint: the file is whole at any moment.

    The same bytes are not written again, so that a repository stays as it is.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if path.exists() and path.read_bytes() == note:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        message = f"cannot remember the checkpoint: {path}: {error.strerror}"
        raise UsageError(message) from error
