"""A served log that witnesses must cosign: it waits for them, and forgets nothing.

Two witnesses that cosign, one that hangs, a quorum of two. They were written from the
format alone (tests/support/plain_witness.py).
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from log_server.fsck import check
from log_server.wake import is_heard
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import cosignatures
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.proof import Proof
from tests.e2e.served import SECONDS, Served, is_running, until
from tests.support.memory_log import witness
from tests.support.plain_witness import PlainWitness
from tests.support.scene import NONCE, SIMULATOR, document, pem
from tests.unit.log_server.parties import (
    NITRO,
    PRODUCT,
    Log,
    Party,
    measurement,
    registers,
)
from tests.unit.log_server.witnessing import ahead, demand

pytestmark = pytest.mark.e2e


@pytest.fixture
def witnesses(log: Log, acme: Party) -> Iterator[list[PlainWitness]]:
    """Two, and a third one that hangs; the log demands two of them."""
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(PlainWitness(f"w{n}.example/a", [log.new.vkey]))
            for n in (1, 2, 3)
        ]
        made[2].misbehave.slow = 60
        demand(log, made, 2)
        yield made


def health(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(served.ask("GET", "/healthz")[1])
    return found


def metric(served: Served, name: str) -> float:
    for line in served.get("/metrics").decode().splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise AssertionError(name)


def test_a_log_publishes_when_its_quorum_has_cosigned_and_never_before(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    start: Callable[..., Served],
) -> None:
    _, second, hanging = witnesses
    keys = [VerifierKey.parse(one.vkey) for one in witnesses]
    served = start()
    status, found = served.submit(acme.release(1, "1.0.0"))
    assert (status, found["index"]) == (201, 4)
    note = UnverifiedNote.parse(served.get("/checkpoint"))
    assert set(cosignatures(note, keys)) == set(keys[:2])
    # Proof files and bundles carry the cosignatures, too.
    assert Proof.parse(str(found["proof"]).encode()).note == bytes(note)
    path = f"/api/v1/bundle?product={PRODUCT}&measurement={NITRO}/{measurement(1)}"
    assert Bundle.parse(served.get(path)).note == bytes(note)
    assert health(served)["ok"] is True

    # One goes down: what is submitted is promised, kept, and not shown.
    second.misbehave.down = True
    envelopes = [acme.release(1, f"2.0.{i}") for i in range(3)]
    for envelope in envelopes:
        assert served.submit(envelope, "?wait=1")[0] == 202
    until(lambda: health(served)["quorum_missing"] >= 1, "a word about it")
    assert metric(served, "pcrlog_quorum_missing_seconds_total") >= 1
    one = next(w for w in health(served)["witnesses"] if w["name"] == "w2.example/a")
    assert "could not ask" in one["problem"]
    assert health(served)["sequencer"] is True
    assert served.get("/checkpoint") == bytes(note)
    assert served.state(envelopes[0])["state"] == "sequenced"
    assert served.state(envelopes[2])["state"] == "waiting"
    # What is not published is not answered from either.
    assert served.ask("GET", "/api/v1/entries/6")[0] == 404
    assert Bundle.parse(served.get(path)).note == bytes(note)

    # It comes back.
    second.misbehave.down = False
    for envelope in envelopes:
        until(lambda e=envelope: served.state(e)["state"] == "published", "them all")  # type: ignore[misc] # bound at once
    until(lambda: health(served)["quorum_missing"] == 0, "the quorum")
    assert served.submit(acme.release(1, "3.0.0"))[0] == 201
    found = health(served)
    assert (found["ok"], found["quorum_missing"]) == (True, 0)
    assert metric(served, "pcrlog_quorum_missing_seconds_total") >= 1
    assert hanging.posts() == [], "it has not even read what it was asked"
    code, err = served.end()
    assert code == 0
    assert "a quorum is missing" in err or err == ""
    assert check(log.config).wrong == []


def test_a_quorum_that_stays_away_is_no_reason_not_to_start_or_not_to_end(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    start: Callable[..., Served],
) -> None:
    for one in witnesses:
        one.misbehave.down = True
    before = (log.config.public / "checkpoint").read_bytes()
    served = start()
    envelope = acme.release(1)
    assert served.submit(envelope, "?wait=0")[0] == 202
    until(lambda: health(served)["quorum_missing"] >= 1, "a word about it")
    children = served.children
    begun = time.monotonic()
    code, _ = served.end()
    assert code == 0
    assert time.monotonic() - begun < 10
    until(lambda: not any(map(is_running, children)), "the end of all children")
    assert not is_heard(log.config.wake)
    assert (log.config.public / "checkpoint").read_bytes() == before
    # What was promised is kept.
    for one in witnesses:
        one.misbehave.down = False
    served = start()
    until(lambda: served.state(envelope)["state"] == "published", "a publication")
    assert served.end()[0] == 0


def test_a_kill_while_it_waits_loses_nothing_and_forks_nothing(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    start: Callable[..., Served],
) -> None:
    served = start()
    witnesses[0].misbehave.down = True
    envelope = acme.release(1)
    assert served.submit(envelope, "?wait=0")[0] == 202
    until(lambda: served.state(envelope)["state"] == "sequenced", "a decision")
    with log.snapshot() as snapshot:
        row = snapshot.checkpoint()
        assert row is not None
    os.kill(served.sequencer, signal.SIGKILL)
    assert served.wait()[0] == 3
    witnesses[0].misbehave.down = False
    served = start()
    until(lambda: served.state(envelope)["state"] == "published", "a publication")
    assert served.get("/checkpoint").startswith(row.note)
    assert served.end()[0] == 0
    assert check(log.config).wrong == []


def run(program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A command of ours, to its end."""
    return subprocess.run(
        [sys.executable, "-m", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_whoever_verifies_demands_and_is_told_of_both_quorums(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    start: Callable[..., Served],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PlainWitness("m1.example/m", [log.new.vkey]) as monitor:
        demand(log, witnesses, 2, monitors=[monitor])
        served = start()
        url = f"http://127.0.0.1:{served.port}"
        assert served.submit(acme.release(1))[0] == 201
        # The log's own policy repeats whom it asks; a simulator stands for the vendor.
        written = run("log_server", "policy", log.config.directory, "--url", url).stdout
        root = f"roots = ['''{pem(SIMULATOR.root_der)}''']"
        policy, attestation = tmp_path / "policy.toml", tmp_path / "attestation"
        policy.write_text(written.replace('roots = ["builtin"]', root))
        assert run("cli", "policy", "add", policy, PRODUCT).returncode == 0
        attestation.write_bytes(document(registers(1), time=int(time.time())))

        monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))

        def verified() -> tuple[int, dict[str, str]]:
            asked = ("--product", PRODUCT, "--attestation", attestation)
            nonce = ("--nonce", NONCE.hex(), "--json")
            done = run("cli", "verify", "--policy", policy, *asked, *nonce)
            report = json.loads(done.stdout)
            checks = {one["id"]: one["status"] for one in report["checks"]}
            return done.returncode, checks

        code, checks = verified()
        assert code == 0
        assert checks["log.witnesses"] == checks["log.index-monitors"] == "pass"
        # Another index monitor: nobody has asked it.
        text = policy.read_text()
        other = str(witness("m2.example/m").public)
        assert monitor.vkey in text
        policy.write_text(text.replace(monitor.vkey, other))
        code, checks = verified()
        assert code == 3
        assert checks["log.witnesses"] == "pass"
        assert checks["log.index-monitors"] == "unchecked"


@pytest.mark.parametrize("running", [False, True])
def test_a_witness_that_is_ahead_stops_the_server_for_good(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    start: Callable[..., Served],
    running: bool,  # noqa: FBT001 - a case
) -> None:
    before = (log.config.public / "checkpoint").read_bytes()
    if running:
        served = start()
        before = served.get("/checkpoint")
        ahead(log, witnesses[0])
        assert served.submit(acme.release(1), "?wait=0")[0] == 202
    else:
        ahead(log, witnesses[0])
        served = start(ready=False)
    code, err = served.wait()
    assert code == 4, "systemd leaves it alone (RestartPreventExitStatus)"
    assert "witness w1.example/a is at 1000 leaves" in err
    assert "Bring back the newest log.db" in err
    assert (log.config.public / "checkpoint").read_bytes() == before
