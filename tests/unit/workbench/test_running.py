"""A foreign program is bounded in time and output, and gets what it is given."""

import sys
import time
from io import BytesIO
from pathlib import Path

import pytest

from pcrlog.errors import UncheckedError, UsageError
from workbench.running import Bounds, Program, Ran, absolute, run

BOUNDS = Bounds(seconds=20, output=100_000)


def ran(
    folder: Path, script: str, bounds: Bounds = BOUNDS, **environment: str
) -> tuple[Ran, bytes]:
    log = BytesIO()
    program = Program(["/bin/sh", "-c", script], folder, environment)
    return run(program, bounds, log), log.getvalue()


def test_what_it_prints_is_kept_on_both_streams(tmp_path: Path) -> None:
    found, log = ran(tmp_path, "echo one; echo two >&2; pwd")
    assert found.good
    assert log == f"one\ntwo\n{tmp_path}\n".encode()
    assert found.last == ("one", "two", str(tmp_path))


def test_its_environment_is_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    _, log = ran(tmp_path, "/usr/bin/env", A="b")
    names = {line.partition(b"=")[0] for line in log.splitlines()}
    assert b"A" in names
    assert b"SECRET" not in names
    assert names <= {b"A", b"PWD", b"SHLVL", b"_", b"OLDPWD"}  # the shell's own


def test_it_has_nothing_to_read(tmp_path: Path) -> None:
    assert ran(tmp_path, "/bin/cat; echo end")[1] == b"end\n"


def test_how_it_ended_is_told(tmp_path: Path) -> None:
    found, _ = ran(tmp_path, "exit 7")
    assert (found.good, found.words) == (False, "ended with exit status 7")
    found, _ = ran(tmp_path, "kill -9 $$")
    assert (found.good, found.words) == (False, "was ended by signal 9")


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    start = time.monotonic()
    found, _ = ran(tmp_path, "echo up; /bin/sleep 60", Bounds(0.3, 1000))
    assert time.monotonic() - start < 10
    assert not found.good
    assert found.words == "took more than 0.3 s, and was ended"
    assert found.last == ("up",)


def test_what_closes_its_output_and_goes_on_is_ended(tmp_path: Path) -> None:
    found, _ = ran(tmp_path, "exec >&- 2>&-; /bin/sleep 60", Bounds(0.3, 1000))
    assert "took more than" in found.words


def test_what_prints_too_much_is_ended(tmp_path: Path) -> None:
    found, log = ran(tmp_path, "while :; do echo flood; done", Bounds(20, 50_000))
    assert found.words == "printed more than 50000 bytes, and was ended"
    assert len(log) == 50_000


def test_what_it_leaves_behind_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.running._DRAIN", 0.2)
    behind = "(/bin/sleep 1; echo > late) & echo done"
    start = time.monotonic()
    found, log = ran(tmp_path, behind)
    assert (found.good, log) == (True, b"done\n")
    assert time.monotonic() - start < 1
    time.sleep(1.3)
    assert not (tmp_path / "late").exists()


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    program = Program(["no-such-program"], tmp_path, {"PATH": "/nonexistent"})
    with pytest.raises(UsageError, match="no-such-program cannot be run"):
        run(program, BOUNDS, BytesIO())
    program = Program(["/bin/sh", "a\0b"], tmp_path, {})
    with pytest.raises(UsageError, match="cannot be run"):
        run(program, BOUNDS, BytesIO())


def test_lines_are_told_while_it_runs_and_are_harmless(tmp_path: Path) -> None:
    told: list[str] = []
    log = BytesIO()
    script = "import sys; sys.stdout.buffer.write(b'a\\x1b[31mred\\n\\xff')"
    program = Program([sys.executable, "-I", "-c", script], tmp_path, {})
    found = run(program, BOUNDS, log, told.append)
    assert found.good
    assert found.last[0] == "a?[31mred"
    assert told


def test_an_interrupt_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(BytesIO):
        def write(self, _: object) -> int:
            raise KeyboardInterrupt

    program = Program(
        ["/bin/sh", "-c", "echo x; /bin/sleep 1; echo > late"], tmp_path, {}
    )
    with pytest.raises(KeyboardInterrupt):
        run(program, BOUNDS, Interrupted())
    time.sleep(1.3)
    assert not (tmp_path / "late").exists()


def test_what_has_a_process_group_of_its_own_ends_too(tmp_path: Path) -> None:
    """A shell with job control gives one to all that it starts."""
    behind = "set -m; (sleep 1; echo > late) >/dev/null 2>&1 & echo done"
    program = Program(["/bin/sh", "-c", behind], tmp_path, {"PATH": "/usr/bin:/bin"})
    assert run(program, BOUNDS, BytesIO()).good
    time.sleep(1.3)
    assert not (tmp_path / "late").exists()


def test_what_became_another_users_is_told_of_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sudo` does: only another user can be tested without being root."""

    def refuse(*_: object) -> None:
        raise PermissionError

    for name in ("os.killpg", "signal.pidfd_send_signal"):
        monkeypatch.setattr(name, refuse)
    assert ran(tmp_path, "echo done")[0].good
    monkeypatch.setattr("workbench.running._DYING", 0.1)
    with pytest.raises(UncheckedError, match="does not end") as caught:
        ran(tmp_path, "exec /bin/sleep 1", Bounds(0.1, 1000))
    caught.traceback[-1].locals["process"].wait()


def test_a_path_has_absolute_folders() -> None:
    assert absolute(":.:/bin:a/b:/usr/bin:") == "/bin:/usr/bin"
