"""A log that lies to `pcrlog verify`: over real HTTP, it never says verified.

Whoever verifies has asked this log before, when it was honest, and remembers that.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from tests.support.lies import LIES, Lie, honest
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import START
from tests.support.scene import NONCE, PRODUCT, Scene, document

BOUNDED = 20.0
"""Seconds that a run may take, whatever the log does, with the patience of below."""


@dataclass
class User:
    """Whoever verifies: a folder with a policy, a document and a memory."""

    simulator: LogSimulator
    folder: Path
    capture: pytest.CaptureFixture[str]
    now: int = START

    def write_policy(self, url: str, **log: object) -> None:
        scene = Scene(self.simulator.log)
        text = scene.policy_text(log={"url": url, **log})
        (self.folder / "policy.toml").write_text(text)

    def verify(self) -> dict[str, object]:
        """A run's report, with its exit status."""
        (self.folder / "doc").write_bytes(document(time=self.now))
        words = (
            f"verify --policy policy.toml --product {PRODUCT} --json"
            f" --attestation doc --nonce {NONCE.hex()}"
        )
        self.capture.readouterr()
        status = main(words.split(), clock=lambda: float(self.now))
        out = self.capture.readouterr().out
        report: dict[str, object] = json.loads(out) if out else {}
        return {**report, "exit": status}


@pytest.fixture
def user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[User]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    # Ten seconds without a byte and three tries are right, and too long for a test.
    monkeypatch.setattr("pcrlog.connection.TIMEOUT", 0.3)
    monkeypatch.setattr("pcrlog.transport._PAUSES", (0.0, 0.0))
    with LogSimulator(honest(START)) as simulator:
        made = User(simulator, tmp_path, capsys)
        made.write_policy(simulator.url)
        yield made


def test_an_honest_log_verifies_again_and_again(user: User) -> None:
    assert user.verify()["verdict"] == "verified"
    with user.simulator.change() as log:
        log.seal()
    again = user.verify()
    assert (again["verdict"], again["exit"]) == ("verified", 0)


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_lie_is_never_verified(user: User, lie: Lie) -> None:
    if lie.frozen:
        user.write_policy(user.simulator.url, frozen_until="2036-01-01T00:00:00Z")
        with user.simulator.change() as log:
            log.seal(frozen=True)
    assert user.verify()["exit"] == 0
    lie.tell(user.simulator)
    if lie.elsewhere:
        user.write_policy(user.simulator.elsewhere)
    if lie.alert == "stale":
        user.now += 2 * 86_400
    began = time.monotonic()
    report = user.verify()
    assert time.monotonic() - began < BOUNDED
    assert report["exit"] == lie.verdict, report
    assert report.get("verdict") != "verified"
