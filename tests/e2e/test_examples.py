"""docs/examples: an enclave and its client, each a program of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pcrlog.predicates import Binding
from tests.e2e.served import SECONDS
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import MemoryLog, registers
from tests.support.scene import GOOD, PRODUCT, Scene
from tests.support.vectors import ROOT

pytestmark = pytest.mark.e2e
EXAMPLES = ROOT / "docs" / "examples"
SECRET = "the secret"
Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the example enclave; where it is."""
    started: list[subprocess.Popen[str]] = []

    def start(image: dict[str, str] = GOOD) -> str:
        digests = {name: value.partition(":")[2] for name, value in image.items()}
        path = tmp_path / "build.json"
        path.write_text(json.dumps({"Measurements": digests}))
        words = ("--measurements", str(path), "--root", str(tmp_path / "root.pem"))
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "enclave.py"), "--port", "0", *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().split()[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=SECONDS)


@pytest.fixture
def scene() -> Scene:
    """A log of now, with a release that says where its enclaves name their key."""
    log = MemoryLog()
    log.now = int(time.time())
    log.enroll("acme.example", "provider")
    made = Scene(log)
    made.release(binding=Binding("user_data", "tls-spki-sha256"))
    log.seal()
    return made


def send(
    folder: Path, scene: Scene, log: LogSimulator, url: str
) -> "subprocess.CompletedProcess[str]":
    members = {"url": log.url, "witnesses": "none", "index_monitors": "none"}
    root = (folder / "root.pem").read_text()
    text = scene.policy_text(
        log=members, platform={"roots": [root]}, product={"auditors": []}
    )
    (folder / "policy.toml").write_text(text)
    (folder / "secret.txt").write_text(SECRET)
    command = [sys.executable, str(EXAMPLES / "client.py"), "--policy", "policy.toml"]
    return subprocess.run(
        [*command, "--product", PRODUCT, url, "secret.txt"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_the_client_sends_its_secret_to_the_enclave(
    tmp_path: Path, start: Start, scene: Scene
) -> None:
    url = start()
    where = urlsplit(url)
    # Whoever connects and says nothing is in nobody's way.
    with (
        socket.create_connection((where.hostname, where.port)),
        LogSimulator(scene.log) as log,
    ):
        ran = send(tmp_path, scene, log, url)
    assert ran.stderr == ""
    assert ran.stdout == f"{PRODUCT} 1.4.2: {len(SECRET)} bytes are safe here\n"


def test_the_client_sends_nothing_to_another_image(
    tmp_path: Path, start: Start, scene: Scene
) -> None:
    with LogSimulator(scene.log) as log:
        ran = send(tmp_path, scene, log, start(registers("rogue")))
    assert ran.returncode == 4
    assert ran.stderr.startswith("nothing was sent: REFUTED: release.match")


def test_a_network_that_fails_is_one_line(
    tmp_path: Path, start: Start, scene: Scene
) -> None:
    start()
    with LogSimulator(scene.log) as log, socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"https://127.0.0.1:{gone.getsockname()[1]}"
        gone.close()
        ran = send(tmp_path, scene, log, url)
    assert ran.returncode == 1
    assert ran.stderr.startswith("whether it was sent is not known: ")
    assert ran.stderr.count("\n") == 1


def test_the_client_sends_nothing_without_the_log(
    tmp_path: Path, start: Start, scene: Scene
) -> None:
    with LogSimulator(scene.log) as log:
        pass
    ran = send(tmp_path, scene, log, start())
    assert ran.returncode == 3
    assert ran.stderr.startswith("nothing was sent: COULD NOT CHECK")
