"""A monitor at work, in this process: rounds, what else is looked at, exit status."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor import daemon, running
from monitor.config import Config
from monitor.cosigning import create
from monitor.follow import Outcome
from monitor.locking import LockedError
from monitor.running import Hooks, Monitor, open_monitor
from monitor.serving import Served
from pcrlog.errors import UsageError
from pcrlog.witness import AddCheckpoint, parse_lines
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import MemoryLog, registers
from tests.support.webhook import Receiver
from tests.unit.monitor.followed import PRODUCT, PRODUCTS, SETTINGS, log_of

STDOUT = '\n[[sink]]\nkind = "stdout"\n'


def written(folder: Path, simulator: LogSimulator, settings: str) -> Path:
    """A monitor.toml and its policy."""
    log = simulator.log
    policy = log.policy(products=PRODUCTS)
    policy = policy.replace(f"https://{log.origin}", simulator.url)
    (folder / "policy.toml").write_text(policy)
    path = folder / "monitor.toml"
    path.write_text(settings)
    return path


@contextmanager
def opened(
    folder: Path, log: MemoryLog, settings: str = SETTINGS + STDOUT
) -> Iterator[tuple[Monitor, LogSimulator, io.BytesIO, list[Outcome]]]:
    out, ended = io.BytesIO(), list[Outcome]()
    with LogSimulator(log) as simulator:
        config = Config.load(written(folder, simulator, settings))
        hooks = Hooks(ended=ended.append)
        with open_monitor(config, lambda: log.now, out, hooks) as monitor:
            yield monitor, simulator, out, ended


def test_once_on_an_honest_log_is_0(tmp_path: Path) -> None:
    with opened(tmp_path, log_of()) as (monitor, _, out, ended):
        assert monitor.once() == 0
        assert out.getvalue() == b""
        assert [one.outcome for one in ended] == ["clean"]


def test_once_with_something_to_tell_is_4_and_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "builds").mkdir()
    settings = SETTINGS + 'expected = ["builds"]\n' + STDOUT
    with opened(tmp_path, log_of(), settings) as (monitor, _, out, _):
        assert monitor.once() == 4
        [line] = out.getvalue().splitlines()
        assert json.loads(line)["kind"] == "unexpected-release"


def test_once_without_an_answer_is_3(tmp_path: Path) -> None:
    with opened(tmp_path, log_of()) as (monitor, simulator, _, _):
        simulator.twist = lambda _path, reply: type(reply)(503, b"", reply.kind)
        assert monitor.once() == 3


def test_once_that_could_not_tell_is_3_and_the_next_one_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_DRAIN", 0.2)
    log = log_of()
    log.now = int(time.time())
    log.seal()
    with Receiver(None) as receiver:
        sink = f'\n[[sink]]\nname = "hook"\nkind = "webhook"\nurl = "{receiver.url}"\n'
        log.now += 13 * 3600
        with opened(tmp_path, log, SETTINGS + sink) as (monitor, _, _, _):
            receiver.misbehave("refuse", times=1, status=503)
            assert monitor.once() == 4
        assert not receiver.taken
        log.now -= 13 * 3600
        log.seal()
        with opened(tmp_path, log, SETTINGS + sink) as (monitor, _, _, _):
            assert monitor.once() == 0
        assert receiver.taken[0].alert["kind"] == "stale"


def test_two_monitors_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        opened(tmp_path, log_of()),
        pytest.raises(LockedError),
        opened(tmp_path, log_of()),
    ):
        pass


def test_rounds_go_on_until_the_end(tmp_path: Path) -> None:
    log = log_of()
    settings = 'poll = "10ms"\n' + SETTINGS + STDOUT
    with opened(tmp_path, log, settings) as (monitor, simulator, out, ended):
        ending = threading.Event()
        thread = threading.Thread(target=monitor.run, args=(ending,))
        thread.start()
        wait_until(lambda: len(ended) > 3)
        with simulator.change() as changed:
            changed.append(changed.leaves[3], force=True)
            changed.seal()
        wait_until(lambda: b"bad-entry" in out.getvalue())
        ending.set()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(come: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not come():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_heartbeat_says_that_it_could_look(tmp_path: Path) -> None:
    with Receiver() as receiver:
        beat = f'\n[heartbeat]\nurl = "{receiver.url}/alive"\n'
        with opened(tmp_path, log_of(), SETTINGS + beat) as (monitor, simulator, _, _):
            assert monitor.once() == 0
            assert receiver.beats == ["/hook/alive"]
            simulator.twist = lambda _path, reply: type(reply)(503, b"", reply.kind)
            monitor.round()
            assert receiver.beats == ["/hook/alive"]


def test_a_view_with_another_history_ends_in_4(tmp_path: Path) -> None:
    log = log_of()
    fork = log.until(3)
    fork.release(PRODUCT, "6.6.6", registers("bad"))
    fork.seal()
    with LogSimulator(fork) as other:
        view = '\n[[view]]\nname = "m2.example"\nkind = "checkpoint"\n'
        view += f'url = "{other.url}/checkpoint"\n'
        with opened(tmp_path, log, SETTINGS + view + STDOUT) as (monitor, _, out, _):
            assert monitor.once() == 4
            assert b'"kind":"equivocation"' in out.getvalue()
            # From now on it cosigns nothing.
            assert monitor.follower.tainted() == "equivocation"


# --- what is served beside it ---------------------------------------------------------


def asked(
    served: Served, method: str, path: str, body: bytes = b""
) -> tuple[int, bytes]:
    """What the application answers, without a server."""
    seen: list[str] = []

    def start_response(status: str, _headers: object, *_more: Any) -> None:
        seen.append(status)

    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
    }
    answer = b"".join(served.app(environ, start_response))
    return int(seen[0][:3]), answer


def clock() -> int:
    return int(time.time())


def test_pages_and_cosignatures_are_served_beside_the_rounds(tmp_path: Path) -> None:
    log = log_of(now=clock())
    settings = SETTINGS.replace(
        "[watch]", 'poll = "20ms"\nlisten = "127.0.0.1:1"\n[cosign]\nkey = "k"\n[watch]'
    )
    with LogSimulator(log) as simulator:
        path = written(tmp_path, simulator, settings)
        create(Config.load(path), "m1.example/m", clock())
        served = daemon.make(path, clock)
        try:
            wait_until(lambda: asked(served, "GET", "/healthz")[0] == 200)
            body = bytes(AddCheckpoint(0, (), log.note))
            status, lines = asked(served, "POST", "/add-checkpoint", body)
            assert status == 200
            assert parse_lines(lines)[0].name == "m1.example/m"
            status, answer = asked(served, "POST", "/check", log.note)
            assert (status, json.loads(answer)["verdict"]) == (200, "same")
            status, metrics = asked(served, "GET", "/metrics")
            assert status == 200
            assert b"pcrlog_witness_requests" in metrics
        finally:
            served.close()


def test_pages_are_served_without_a_key(tmp_path: Path) -> None:
    log = log_of(now=clock())
    settings = SETTINGS.replace("[watch]", 'listen = "127.0.0.1:1"\n[watch]')
    with LogSimulator(log) as simulator:
        served = daemon.make(written(tmp_path, simulator, settings), clock)
        try:
            wait_until(lambda: asked(served, "GET", "/healthz")[0] == 200)
            assert asked(served, "POST", "/add-checkpoint", b"")[0] == 404
        finally:
            served.close()


def test_cosigning_without_a_place_to_ask_makes_no_sense(tmp_path: Path) -> None:
    settings = SETTINGS.replace("[watch]", '[cosign]\nkey = "k"\n[watch]')
    with (
        LogSimulator(log_of()) as simulator,
        pytest.raises(UsageError, match="listen"),
    ):
        Config.load(written(tmp_path, simulator, settings))
