"""Walks a page of documentation: its `console` blocks, run by bash from top to bottom.

    $ command        a line, and those that a backslash or a here-document adds
    output           what it prints, standard error too, up to the next `$`
    …                any lines, of which nothing is said
    (exit 4)         how it ends, unless with 0

One bash runs them all, so folders and variables stay. A command that ends in `&` goes
on in the background, and its first line is its output. What differs from run to run is
put in one form, stated in `Names`.
"""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import shake_256
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from demo.stage import free_ports
from demo.transcript import steady

_BLOCK = re.compile(r"(?ms)^```console\n(.*?)^```$")
_HERE = re.compile(r"<<'?(\w+)'?")
_DIGEST = re.compile(r"(?<!::)\b[0-9a-f]{12,}\b")
"""But no account of AWS, which stands behind two colons."""
_AGE = re.compile(r"(?m)^( +\d+ ) +\d+s  ")
"""Of an entry in `pcrlog queue`."""
_END = "--- the command has ended"
_ANY = "…"
_SECONDS = 60


class Step(NamedTuple):
    """A command, and the lines that the page shows as its output."""

    command: str
    shown: tuple[str, ...]


def steps(block: str) -> Iterator[Step]:
    """The commands of one block."""
    lines = block.splitlines()
    while lines:
        command = [lines.pop(0).removeprefix("$ ")]
        here = _HERE.search(command[0])
        while here and command[-1] != here[1]:
            command.append(lines.pop(0))
        while command[-1].endswith("\\"):
            command.append(lines.pop(0))
        ends = [at for at, line in enumerate(lines) if line.startswith("$ ")]
        at = min(ends, default=len(lines))
        yield Step("\n".join(command), tuple(lines[:at]))
        lines = lines[at:]


def fits(shown: Sequence[str], found: Sequence[str]) -> bool:
    """Whether an output is what the page shows; how it ended is never left out."""
    return _ending(shown) == _ending(found) and _fits(shown, found)


def _fits(shown: Sequence[str], found: Sequence[str]) -> bool:
    if not shown or not found:
        return not found and set(shown) <= {_ANY}
    if shown[0] == _ANY:
        return _fits(shown[1:], found) or _fits(shown, found[1:])
    return shown[0] == found[0] and _fits(shown[1:], found[1:])


def _ending(lines: Sequence[str]) -> str:
    last = lines[-1] if lines else ""
    return last if last.startswith("(exit ") else ""


@dataclass
class Names:
    """What differs from run to run, in the form in which the page has it.

    - Ports are those of the page, the folder is /home/you/tutorial, PATH a short one.
    - Times are fixed, as in the README (`demo.transcript.steady`), ages are 2 seconds.
    - The first digest or commit that is shown is always the same, and so is the second;
      each in all its lengths. So the page says which of them are equal.
    """

    folder: Path
    path: str
    ports: Mapping[str, int]
    digests: list[str] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path, path: str, ports: Sequence[str]) -> "Names":
        """With ports of this machine that nobody listens on."""
        return cls(folder, path, dict(zip(ports, free_ports(len(ports)), strict=True)))

    def typed(self, command: str) -> str:
        """A command of the page, as it is run here."""
        for port, here in self.ports.items():
            command = re.sub(rf"\b{port}\b", str(here), command)
        return command

    def shown(self, output: str) -> str:
        """An output of here, as the page has it."""
        for port, here in self.ports.items():
            output = re.sub(rf"\b{here}\b", port, output)
        output = output.replace(str(self.folder), "/home/you/tutorial")
        output = output.replace(self.path, "/home/you/pcrlog/.venv/bin:/usr/bin:/bin")
        output = _AGE.sub(r"\1    2s  ", output)
        return _DIGEST.sub(self._digest, steady(output))

    def _digest(self, found: re.Match[str]) -> str:
        text = found[0]
        for number, known in enumerate(self.digests):
            if known.startswith(text) or text.startswith(known):
                self.digests[number] = max(known, text, key=len)
                return self._name(number, text)
        self.digests.append(text)
        return self._name(len(self.digests) - 1, text)

    def _name(self, number: int, text: str) -> str:
        return shake_256(b"%d" % number).hexdigest(64)[: len(text)]


class Shell:
    """One bash, with no profile, no terminal, and standard error as output."""

    def __init__(self, names: Names, environment: Mapping[str, str]) -> None:
        self._names = names
        self._folder = names.folder
        self._background = 0
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, and all that it started."""
        try:
            if value is None:
                self._run("kill $(jobs -p); wait")
        finally:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def run(self, command: str) -> list[str]:
        """The lines that a command of the page prints, as the page has them."""
        typed = self._names.typed(command)
        if command.endswith(" &"):
            output = self._start(typed.removesuffix(" &"))
        else:
            output, status = self._run(typed)
            output += f"(exit {status})\n" if status else ""
        return [line.rstrip() for line in self._names.shown(output).splitlines()]

    def _start(self, command: str) -> str:
        """Start a server; its first line, which it prints when it listens."""
        self._background += 1
        file = self._folder.parent / f"background-{self._background}.txt"
        self._run(f"{command} > {file} 2>&1 &")
        end = time.monotonic() + _SECONDS
        while not (file.exists() and file.read_text().endswith("\n")):
            assert time.monotonic() < end, f"never listened: {command}"
            time.sleep(0.02)
        return file.read_text()

    def _run(self, command: str) -> tuple[str, int]:
        process = self._process
        assert process.stdin is not None
        script = f"{{ {command}\n}} </dev/null\nprintf '\\n%s %d\\n' '{_END}' $?\n"
        process.stdin.write(script.encode())
        process.stdin.flush()
        output, end = b"", time.monotonic() + _SECONDS
        mark = re.compile(rb"\n%s (\d+)\n$" % _END.encode())
        while not (found := mark.search(output)):
            output += self._read(end - time.monotonic(), command)
        return output[: found.start()].decode(), int(found[1])

    def _read(self, seconds: float, command: str) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], max(seconds, 0))
        assert ready, f"took too long: {command}"
        data = os.read(stream.fileno(), 65_536)
        assert data, f"bash ended: {command}"
        return data


def walked(page: str, shell: Shell) -> str:
    """A page, with the outputs that its commands have here.

    An output that the page shows, or abridges, rightly is left as it stands there.
    """

    def written(block: re.Match[str]) -> str:
        lines: list[str] = []
        for step in steps(block[1]):
            found = shell.run(step.command)
            lines += [f"$ {step.command}"]
            lines += step.shown if fits(step.shown, found) else found
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    return _BLOCK.sub(written, page)
