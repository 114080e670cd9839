"""Two sequencers of one log, and what becomes of the one that was overtaken."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from log_server.config import Config, Public
from log_server.serving import serve
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import UsageError
from pcrlog.note import UnverifiedNote
from tests.cluster.nodes import socket_of
from tests.e2e.served import Served, is_running, open_files, until
from tests.support.audit import Told, audit
from tests.support.postgres import Postgres
from tests.unit.log_server.parties import Log, Party

pytestmark = pytest.mark.e2e

LEASE = 2
_BYTES = 65_536


@pytest.fixture
def log(tmp_path: Path, postgres: Postgres) -> Log:
    return Log.create(tmp_path / "home", int(time.time()), postgres.database())


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


def machine(log: Log, name: str, *, keys: bool = True, **settings: object) -> Log:
    """The same log in another folder, as on another machine."""
    folder = log.config.directory.with_name(name)
    (folder / "keys").mkdir(parents=True)
    shutil.copy(log.config.directory / "log.vkey", folder)
    if keys:
        shutil.copy(log.config.log_key, folder / "keys")
    new = msgspec.structs.replace(log.config.settings, lease=LEASE, **settings)
    (folder / "log.toml").write_bytes(new.toml())
    return dataclasses.replace(log, config=Config.load(folder))


class Line:
    """The way to a database's socket, which can be cut: then nothing comes through."""

    def __init__(self, folder: Path, server: Path) -> None:
        self._server = str(server / ".s.PGSQL.5432")
        self._whole = threading.Event()
        self._whole.set()
        folder.mkdir()
        self._ends: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            other = socket.socket(socket.AF_UNIX)
            other.connect(self._server)
            self._ends += [one, other]
            for ends in ((one, other), (other, one)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(_BYTES):
                self._whole.wait()
                other.sendall(data)
        self._whole.wait()
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self.mend()
        for end in (self._listening, *self._ends):
            with contextlib.suppress(OSError):
                # Whoever waits in it is woken.
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Eyes:
    """Look at /checkpoint of some web processes until they are closed."""

    def __init__(self, told: Told, *webs: Served) -> None:
        self._told = told
        self._webs = webs
        self._ended = threading.Event()
        self.back: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        newest = 0
        while not self._ended.wait(0.005):
            for web in self._webs:
                note = web.get("/checkpoint")
                self._told.show(note)
                size = Checkpoint.parse(UnverifiedNote.parse(note).text).size
                if size < newest:
                    self.back.append((newest, size))
                newest = max(newest, size)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@contextmanager
def served(one: Log, *, stop: str = "", only: str = "") -> Iterator[Served]:
    running = Served.start(one, stop=stop, only=only)
    pids: list[int] = []
    try:
        if only != "sequencer":
            running.wait_until_served()
        else:
            assert running.process.stdout is not None
            assert running.process.stdout.readline().startswith("sequencing ")
        pids = running.children
        yield running
    finally:
        pids += running.children
        running.close()
        for pid in pids:
            if is_running(pid) and "sequencer.lock" in open_files(pid):
                os.kill(pid, signal.SIGKILL)


def waits(one: Served) -> bool:
    """Whether it has a sequencer (which starts at its own pace)."""
    return any("sequencer.lock" in open_files(pid) for pid in one.children)


def lease_of(web: Served) -> str:
    return str(json.loads(web.ask("GET", "/healthz")[1])["lease"])


def holds(web: Served, pid: int) -> bool:
    return lease_of(web).endswith(f"process {pid}")


def test_who_was_stopped_in_a_batch_and_overtaken_publishes_nothing_when_it_wakes(
    log: Log, acme: Party
) -> None:
    # In each of the other steps: test_lease.py.
    told = Told()
    with ExitStack() as stack:
        first = stack.enter_context(served(machine(log, "first"), stop="signed"))
        stopped = first.sequencer
        second = stack.enter_context(served(machine(log, "second")))
        until(lambda: holds(second, stopped), "the first to have the lease")
        eyes = Eyes(told, first, second)
        stack.callback(eyes.close)
        # Somebody else decides this and the next.
        for number in (1, 2):
            envelope = acme.release(number, f"{number}.0.0")
            status, found = second.submit(envelope, "?wait=20")
            assert status == 201, found
            told.receipt(envelope, int(str(found["index"])))
        assert holds(second, second.sequencer)
        assert is_running(stopped)
        before = first.get("/checkpoint")
        os.kill(stopped, signal.SIGCONT)
        until(lambda: not is_running(stopped), "the end of who was overtaken")
        assert first.get("/checkpoint") == before == second.get("/checkpoint")
        # It waits for its turn, and what comes is decided as ever.
        until(lambda: waits(first), "another one in its place")
        envelope = acme.release(3, "3.0.0")
        status, found = first.submit(envelope)
        assert status == 201, found
        told.receipt(envelope, int(str(found["index"])))
        eyes.close()
        assert eyes.back == []
        status, err = first.end()
        assert (status, "lost the lease" in err, "Traceback" in err) == (0, True, False)
        status, err = second.end()
        assert (status, "gave no sign of life" in err) == (0, True), err
    assert audit(log.config, told).receipts == 3


def test_who_is_cut_off_is_overtaken_and_can_do_nothing_when_it_is_not(
    log: Log, acme: Party, tmp_path: Path, postgres: Postgres
) -> None:
    url = log.config.settings.database or ""
    told = Told()
    with ExitStack() as stack:
        line = Line(tmp_path / "line", Path(socket_of(url)))
        stack.callback(line.close)
        far = url.replace(socket_of(url), str(tmp_path / "line"))
        first = stack.enter_context(
            served(machine(log, "first", database=far), only="sequencer")
        )
        second = stack.enter_context(served(machine(log, "second")))
        until(lambda: holds(second, first.sequencer), "the first to have the lease")
        eyes = Eyes(told, second)
        stack.callback(eyes.close)
        cut_off = first.sequencer
        line.cut()
        envelope = acme.release(1)
        status, found = second.submit(envelope, "?wait=20")
        assert status == 201, found
        told.receipt(envelope, int(str(found["index"])))
        line.mend()
        until(lambda: not is_running(cut_off), "the end of who was overtaken")
        eyes.close()
        assert eyes.back == []
        status, err = first.end()
        # Which of its threads is the first to know, and what it makes of it.
        words = ("lost the lease", "the database cannot be reached")
        assert status == 0
        assert any(one in err for one in words)
        assert "Traceback" not in err
        assert second.end()[0] == 0
    assert audit(log.config, told).receipts == 1


@pytest.mark.slow  # test_lease.py has it without processes
def test_of_two_that_start_at_once_one_sequences_and_both_are_healthy(
    log: Log, acme: Party
) -> None:
    with ExitStack() as stack:
        both = [
            stack.enter_context(served(one))
            for one in (machine(log, "first"), machine(log, "second"))
        ]
        for web in both:
            until(lambda web=web: web.ask("GET", "/healthz")[0] == 200, "health")  # type: ignore[misc] # bound at once
        [holder] = {lease_of(web) for web in both}
        assert sum(holder.endswith(f" {web.sequencer}") for web in both) == 1
        for number, web in enumerate(both):
            status, _ = web.submit(acme.release(number, f"{number + 1}.0.0"))
            assert status == 201
        ended = [web.end() for web in both]
    assert [status for status, _ in ended] == [0, 0]
    terms = [err.count("has the lease") for _, err in ended]
    # The second one may have had it for a moment, while the first one ended.
    assert terms[0] == 1 or terms[1] == 1


def test_a_web_process_alone_takes_in_without_a_key_and_says_that_nobody_sequences(
    log: Log, acme: Party
) -> None:
    envelope = acme.release(1)
    with ExitStack() as stack:
        web = stack.enter_context(served(machine(log, "web", keys=False), only="web"))
        status, body = web.ask("GET", "/healthz")
        found = json.loads(body)
        assert (status, found["sequencer"], found["lease"]) == (503, False, "")
        # Nobody waits for nobody.
        assert web.submit(envelope, "?wait=30")[0] == 202
        sequencer = stack.enter_context(
            served(machine(log, "sequencer"), only="sequencer")
        )
        until(lambda: web.state(envelope)["state"] == "published", "its decision")
        assert holds(web, sequencer.sequencer)
        assert web.end()[0] == 0
        status, err = sequencer.end()
        assert (status, "has the lease (term" in err) == (0, True)


def test_a_log_that_no_other_machine_can_read_is_not_served_by_halves(
    log: Log, tmp_path: Path
) -> None:
    in_folder = machine(log, "folder", public=Public("folder"))
    with served(in_folder):
        again = Served.start(machine(log, "again", public=Public("folder")))
        status, err = again.wait()
        assert status == 2
        assert "sequences this log: stop it first" in err
    for one, why in (
        (in_folder, "it is published in this folder"),
        (Log.create(tmp_path / "sqlite"), "its database is in this folder"),
    ):
        with pytest.raises(UsageError, match=why):
            serve(one.config, "127.0.0.1", 1, one.clock, "web")
