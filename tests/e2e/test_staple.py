"""`pcrlog staple` as it runs: beside a real log, killed, and told to end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pcrlog.bundle import Bundle
from tests.e2e.served import SECONDS, Served, until
from tests.support.log_simulator import LogSimulator, Reply, refused
from tests.support.memory_log import MemoryLog
from tests.support.scene import PRODUCT, Scene
from tests.unit.log_server.parties import Log, Party

pytestmark = pytest.mark.e2e
EVERY = "1s"


class Stapler:
    """`pcrlog staple` in a process of its own, with a folder and a policy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web = folder / "web"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "cli", "staple", "--follow", PRODUCT]
        process = subprocess.Popen(
            [*command, "--policy", "policy.toml", "--out", "web", "--json", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PCRLOG_STATE": str(self.folder / "state"),
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
        )
        self.started.append(process)
        return process

    def health(self) -> dict[str, Any]:
        """What the folder says of itself; nothing before it says anything."""
        with contextlib.suppress(OSError):
            found: dict[str, Any] = json.loads((self.web / "health.json").read_bytes())
            return found
        return {}

    @property
    def size(self) -> int:
        """The size of the log in the bundle that lies there."""
        return int(self.health().get("size", 0))

    def reached(self, size: int) -> bool:
        return self.size == size

    def bundle(self) -> Bundle:
        return Bundle.parse((self.web / "wallet.pcrbundle").read_bytes())


@pytest.fixture
def stapler(tmp_path: Path) -> Iterator[Stapler]:
    made = Stapler(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


@pytest.fixture
def simulator(stapler: Stapler) -> Iterator[LogSimulator]:
    """A log that answers over HTTP, whose seals are of now."""
    log = MemoryLog()
    log.now = int(time.time())
    for name, role in (("acme.example", "provider"), ("lab.example", "auditor")):
        log.enroll(name, role)
    scene = Scene(log)
    scene.release()
    log.seal()
    with LogSimulator(log) as made:
        members = {"url": made.url, "witnesses": "none", "index_monitors": "none"}
        text = scene.policy_text(log=members)
        (stapler.folder / "policy.toml").write_text(text)
        yield made


def grow(simulator: LogSimulator) -> int:
    with simulator.change() as log:
        log.now = int(time.time())
        log.seal()
        return len(log.leaves)


def test_it_follows_the_log_and_ends_in_order(
    stapler: Stapler, simulator: LogSimulator
) -> None:
    process = stapler.start("--every", EVERY)
    until(lambda: stapler.size, "a bundle")
    size = grow(simulator)
    until(lambda: stapler.size == size, "a newer bundle")
    assert stapler.bundle().note == simulator.log.note
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    told = [json.loads(line)["size"] for line in out.splitlines()]
    assert told[-1] == size


def test_it_backs_off_while_the_log_is_silent_and_comes_back(
    stapler: Stapler, simulator: LogSimulator
) -> None:
    stapler.start("--every", EVERY)
    until(lambda: stapler.size, "a bundle")
    kept = (stapler.web / "wallet.pcrbundle").read_bytes()
    asked: list[float] = []

    def silent(path: str, _reply: Reply) -> Reply:
        asked.append(time.monotonic())
        return refused(404, "no-such-log", path)

    simulator.twist = silent
    until(lambda: stapler.health().get("failures", 0) >= 2, "two failures")
    assert stapler.health()["condition"] == "failing"
    assert (stapler.web / "wallet.pcrbundle").read_bytes() == kept
    pauses = [later - sooner for sooner, later in pairwise(asked)]
    assert pauses[-1] > 1.5
    simulator.twist = None
    until(lambda: stapler.health()["condition"] == "fresh", "a log that answers")


def test_kill_9_leaves_a_whole_bundle_every_time(
    stapler: Stapler, simulator: LogSimulator
) -> None:
    """Struck at other moments of a round; what lies there is always a bundle."""
    for turn in range(4):
        process = stapler.start("--every", EVERY)
        size = grow(simulator)
        until(partial(stapler.reached, size), "a bundle")
        size = grow(simulator)
        time.sleep(0.97 + 0.02 * turn)
        process.kill()
        process.communicate(timeout=SECONDS)
        assert stapler.bundle().entries
        assert stapler.size <= size
    process = stapler.start("--once")
    assert process.wait(SECONDS) == 0
    assert stapler.bundle().note == simulator.log.note
    assert not [path for path in stapler.web.iterdir() if ".pcrbundle." in path.name]


def test_it_ends_while_it_waits_for_an_answer(
    stapler: Stapler, simulator: LogSimulator
) -> None:
    asked: list[str] = []

    def slow(path: str, reply: Reply) -> Reply:
        asked.append(path)
        time.sleep(2)
        return reply

    simulator.twist = slow
    process = stapler.start("--every", EVERY)
    until(lambda: asked, "a question")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert time.monotonic() - began < 2


def test_beside_a_real_log_what_is_equal_is_not_renewed(
    stapler: Stapler, log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    served = start()
    answered, _ = served.submit(acme.release(), "?wait=20")
    assert answered == 201
    policy, url = stapler.folder / "policy.toml", f"http://127.0.0.1:{served.port}"
    folder = str(log.config.directory)
    for words in (
        ("log_server", "policy", folder, "--url", url, "-o", str(policy)),
        ("cli", "policy", "add", str(policy), PRODUCT),
    ):
        command = [sys.executable, "-m", *words]
        subprocess.run(command, check=True, capture_output=True)
    assert stapler.start("--once").wait(SECONDS) == 0
    first = stapler.health()
    assert stapler.start("--once").wait(SECONDS) == 0
    second = stapler.health()
    assert (second["renewed"], second["sha256"]) == (first["renewed"], first["sha256"])
