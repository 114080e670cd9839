"""The drills of docs/operations.md, as they stand there: each command is run in order.

A comment behind a command says what comes of it: `# 4: words` is an exit status and
words of its output, `# words` only these; without any it has to end with 0. What runs
in the background (`&`) is waited for until it listens, and stopped by `kill %1`. Two
things are not done as they stand there: ports are free ones, and the clock is set for
our own processes alone.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

from log_server.config import Member, Quorum
from tests.e2e.served import free_port, until
from tests.support.failing_disk import Disk, compiled
from tests.support.witness_process import make_witness
from tests.test_docs import blocks, section
from tests.unit.log_server.parties import Log, Party

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")
DRILLS = re.findall(r"(?m)^### (Drill: .+)$", TEXT)
OFTEN = {
    "Drill: a damaged tile",
    "Drill: a lost log.db",
    "Drill: a copy of the whole folder",
}
"""Those of the default run. The others take twice as long: `-m slow`."""
PROGRAMS = {
    "pcrlog": "cli.main",
    "pcrlog-server": "log_server.commands",
    "pcrlog-monitor": "monitor.commands",
}
LINE = re.compile(r"(.+?)(?:  +# (?:(\d+)(?::|$))?(.*))?")
PORT = re.compile(r"127\.0\.0\.1[: ](80\d\d)|\b(80\d\d)\b")
SECONDS = 40


@dataclass
class Shell:
    """Runs the lines of a drill in a folder."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    set_clock: Callable[[int], None] | None = None
    jobs: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def run(self, line: str) -> None:
        """One line: what it says has to come of it."""
        found = LINE.fullmatch(line)
        assert found is not None, line
        command, status, words = found[1], found[2], (found[3] or "").strip()
        command = PORT.sub(self._port, command)
        if command.endswith("&"):
            self._start(shlex.split(command[:-1]))
        elif killing := re.fullmatch(r"kill (-9 )?%(\d)", command):
            self._stop(int(killing[2]), hard=bool(killing[1]))
        elif command.startswith("date -s "):
            self._set_clock(command)
        elif command.startswith("curl -s "):
            url = shlex.split(command)[2]
            until(lambda: words in self._get(url), f"{words!r} from {line}")
        else:
            code, said = self._do(command)
            assert code == int(status or 0), (line, code, said)
            assert words in said, (line, said)

    def _port(self, found: "re.Match[str]") -> str:
        name = found[1] or found[2]
        port = self.ports.setdefault(name, free_port())
        return found[0].replace(name, str(port))

    def _start(self, command: list[str]) -> None:
        number = max(self.jobs, default=0) + 1
        log = self.folder / f"job-{number}.stderr"
        with log.open("ab") as said:
            self.jobs[number] = subprocess.Popen(
                self._command(command),
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**os.environ, **self.environment},
            )
        port = next(int(p) for w in command for p in re.findall(r"\d{4,5}$", w))
        until(lambda: self._listens(number, port), f"{command}: {log.read_text()}")

    def _listens(self, number: int, port: int) -> bool:
        assert self.jobs[number].poll() is None, f"job {number} has ended"
        with contextlib.suppress(OSError):
            self._get(f"http://127.0.0.1:{port}/healthz")
            return True
        return False

    @staticmethod
    def _command(command: list[str]) -> list[str]:
        if command[0] == "python3":
            return [sys.executable, *command[1:]]
        return [sys.executable, "-m", PROGRAMS[command[0]].split(".")[0], *command[1:]]

    def _stop(self, number: int, *, hard: bool) -> None:
        job = self.jobs.pop(number)
        if hard:
            job.kill()
        else:
            job.terminate()
        job.wait(SECONDS)

    def _set_clock(self, command: str) -> None:
        assert self.set_clock is not None
        found = re.fullmatch(r"date -s '([+-]\d+) hours'", command)
        assert found is not None, command
        hours = int(found[1])
        # Back is where it was: the only way back that a drill may go.
        self.set_clock(3600 * max(hours, 0))

    @staticmethod
    def _get(url: str) -> str:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - loopback
                return str(answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            return error.read().decode(errors="replace")

    def _do(self, command: str) -> tuple[int, str]:
        first = command.split(maxsplit=1)[0]
        if first in PROGRAMS and "serve" not in command.split():
            return self._do_here(shlex.split(command))
        words = shlex.split(command)
        plain = first in PROGRAMS
        done = subprocess.run(
            self._command(words) if plain else ["bash", "-c", command],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C", **(self.environment if plain else {})},
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def _do_here(self, command: list[str]) -> tuple[int, str]:
        """A command of ours, in this process: it need not be imported again."""
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", command)
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                try:
                    code = import_module(PROGRAMS[command[0]]).main() or 0
                except SystemExit as error:
                    code = int(str(error.code or 0))
        return code, said.getvalue()

    def close(self) -> None:
        """Stop what runs still, and unmount."""
        for job in self.jobs.values():
            job.kill()
            job.wait(SECONDS)
        for folder in ("small", "log"):
            if (self.folder / folder).is_mount():
                subprocess.run(["umount", "--lazy", self.folder / folder], check=True)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A folder with a log, a signed release, and a witness that may be asked."""
    log = Log.create(tmp_path / "log", int(time.time()))
    acme: Party = log.enrol("acme.example", "provider")
    log.accept(acme.release(1))
    (tmp_path / "release.json").write_bytes(acme.release(2, "2.0.0"))
    (tmp_path / "small").mkdir()
    shell = Shell(tmp_path)
    shell.environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    yield shell
    shell.close()


def prepare(shell: Shell, title: str) -> None:
    """What a drill needs beside its folder; skips where that cannot be had."""
    text = section(TEXT, title)
    if "witness run w1" in text:
        vkey = (shell.folder / "log" / "log.vkey").read_text("ascii").strip()
        key = make_witness(shell.folder / "w1", "w1.example/a", [vkey])
        port = shell.ports.setdefault("8081", free_port())
        asked = Quorum(1, (Member(key, f"http://127.0.0.1:{port}"),))
        from log_server.config import Config  # noqa: PLC0415 - used here alone

        config = Config.load(shell.folder / "log")
        settings = msgspec.structs.replace(config.settings, witnesses=asked)
        (shell.folder / "log" / "log.toml").write_bytes(settings.toml())
    if "date -s" in text:
        disk = Disk(shell.folder, compiled(shell.folder))
        shell.environment |= disk.environment
        shell.set_clock = disk.set_clock
    if "mount " in text:
        require_mounts(shell.folder / "small")


def require_mounts(folder: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "drill", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    subprocess.run(["umount", str(folder)], check=True)


def test_there_are_drills_for_all_that_can_happen() -> None:
    assert set(DRILLS) >= OFTEN
    assert len(DRILLS) == 12


@pytest.mark.parametrize(
    "title",
    [
        pytest.param(one, marks=() if one in OFTEN else pytest.mark.slow)
        for one in DRILLS
    ],
)
def test_a_drill_goes_as_it_is_written(shell: Shell, title: str) -> None:
    prepare(shell, title)
    [block] = blocks(section(TEXT, title), "sh")
    for line in block.splitlines():
        shell.run(line)
    assert not shell.jobs, "a drill stops what it has started"
