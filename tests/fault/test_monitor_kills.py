"""kill -9 in every step of a round: no alert is lost, nothing inconsistent is cosigned.

A log that is honest but now and then shows another history; a monitor that lives again
and is killed in each of its steps in turn; a webhook that keeps what it is sent.
`PCRLOG_KILLS` says how many times (100 in CI).
"""

import os
import random
import time
from itertools import pairwise
from pathlib import Path

import msgspec

from monitor.config import Config
from monitor.cosigning import create
from monitor.state import State
from pcrlog.checkpoint import Checkpoint
from pcrlog.merkle import check_consistency, prove_consistency
from pcrlog.note import UnverifiedNote
from tests.fault.monitor_process import STEPS, live
from tests.support.forking import forking
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import MemoryLog, registers
from tests.support.webhook import SECRET, Receiver
from tests.unit.monitor.followed import PRODUCT, PRODUCTS, log_of

KILLS = int(os.environ.get("PCRLOG_KILLS") or ("100" if "CI" in os.environ else "24"))
CONTEXT = forking("tests.fault.monitor_process")
_LIFE = 60
SETTINGS = """
format = "pcrlog-monitor/v1"
policy = "policy.toml"
state = "state"
listen = "127.0.0.1:1"
[watch]
products = ["acme.example/wallet"]
expected = ["builds"]
[cosign]
key = "monitor.skey"
[[sink]]
name = "hook"
kind = "webhook"
url = "{url}"
secret_file = "secret"
"""


def prepare(folder: Path, log: MemoryLog, simulator: LogSimulator, hook: str) -> Config:
    (folder / "builds").mkdir()
    (folder / "secret").write_bytes(SECRET)
    policy = log.policy(products=PRODUCTS).replace(
        f"https://{log.origin}", simulator.url
    )
    (folder / "policy.toml").write_text(policy)
    (folder / "monitor.toml").write_text(SETTINGS.format(url=hook))
    config = Config.load(folder / "monitor.toml")
    create(config, "m1.example/m", log.now)
    return config


def forked(log: MemoryLog) -> MemoryLog:
    """Another history of the same log, as long as this one at least."""
    fork = log.until(4)
    while len(fork.leaves) < len(log.leaves) + 2:
        fork.release(PRODUCT, f"6.6.{len(fork.leaves)}", registers("fork"))
        fork.seal()
    return fork


def test_no_alert_is_lost_and_no_second_history_cosigned(tmp_path: Path) -> None:
    log, draw = log_of(now=int(time.time())), random.Random(4)
    expected = [3]
    with LogSimulator(log) as simulator, Receiver() as receiver:
        config = prepare(tmp_path, log, simulator, receiver.url)
        for number in range(KILLS + 1):
            with simulator.change():
                simulator.log = log
                log.now += 1
                expected.append(
                    log.release(PRODUCT, f"2.0.{number}", registers(f"rogue {number}"))
                )
                log.seal()
                # Late, since nothing is cosigned after it was seen.
                if number > KILLS // 2 and draw.random() < 0.2:
                    simulator.log = forked(log)
            dies_in = STEPS[number % len(STEPS)] if number < KILLS else "never"
            process = CONTEXT.Process(
                target=live,
                args=(tmp_path, log.now, dies_in),
                kwargs={"cosigns_first": bool(draw.getrandbits(1))},
            )
            process.start()
            process.join(_LIFE)
            assert process.exitcode in {0, -9}, f"life {number}, {dies_in}"
        alerts = [one.alert for one in receiver.taken]
    told = [tuple(a["entries"]) for a in alerts if a["kind"] == "unexpected-release"]
    assert set(told) == {(index,) for index in expected}
    assert list(dict.fromkeys(told)) == sorted(set(told)), "out of order"
    assert len(told) < 2 * len(expected)
    assert "fork" in {alert["kind"] for alert in alerts}
    # A body that was cut off by a kill is not what was signed; nothing else is.
    assert all("does not hold" in why for why in receiver.forged)
    state = State(config.state / "monitor.db")
    assert state.verified().tree().root() == log.tree.root()
    state.close()
    check_cosigned(tmp_path, log)


class _Line(msgspec.Struct):
    note: str
    line: str


def check_cosigned(folder: Path, log: MemoryLog) -> None:
    """All that was cosigned lies on one history, and its times never go back."""
    rows = [
        msgspec.json.decode(line, type=_Line)
        for line in (folder / "cosigned").read_bytes().splitlines()
    ]
    assert len(rows) > KILLS // 8
    notes = [UnverifiedNote.parse((row.note + row.line).encode()) for row in rows]
    trees = [Checkpoint.parse(note.text) for note in notes]
    for old, new in pairwise(trees):
        assert old.size <= new.size
        if old.size == new.size:
            assert old == new
            continue
        proof = prove_consistency(old.size, new.size, log.node)
        check_consistency(old.size, new.size, proof, old.root, new.root)
