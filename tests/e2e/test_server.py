"""The server as it runs: real processes on loopback, and what happens when they die."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from log_server.fsck import check
from log_server.wake import is_heard
from pcrlog.bundle import Bundle
from pcrlog.encoding import sha256
from pcrlog.keys import SigningKey
from pcrlog.proof import Proof
from pcrlog.request import encode
from pcrlog.tiles import parse_bundle
from tests.e2e.served import SECONDS, Served, is_running, set_up, until
from tests.unit.log_server.parties import (
    NITRO,
    ORIGIN,
    PRODUCT,
    Log,
    Party,
    measurement,
)

pytestmark = pytest.mark.e2e

STEPS = [
    "rows-read",
    "batch-made",
    "committed",
    "tiles-written",
    "cosigned",
    "checkpoint-written",
    "published",
]


def test_a_release_goes_from_submission_to_a_bundle_that_verifies(
    log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    served = start()
    envelope = acme.release(1)
    status, found = served.submit(envelope)
    assert (status, found["index"], found["size"]) == (201, 4, 6)
    proof = Proof.parse(str(found["proof"]).encode())
    checkpoint = proof.verify(envelope, log.config.vkey())
    assert served.get("/checkpoint") == proof.note
    entries = parse_bundle(served.get("/tile/entries/000.p/6"), 6)
    assert entries[4] == envelope
    path = f"/api/v1/bundle?product={PRODUCT}&measurement={NITRO}/{measurement(1)}"
    bundle = Bundle.parse(served.get(path))
    assert bundle.note == proof.note
    assert bundle.entries[4].envelope.raw == envelope
    assert checkpoint.size == 6
    assert json.loads(served.get("/healthz"))["ok"] is True
    assert served.submit(envelope)[0] == 200
    assert served.end() == (0, "")
    assert check(log.config).wrong == []


def test_a_chunked_body_is_taken_whole_or_not_at_all(
    acme: Party, start: Callable[..., Served]
) -> None:
    served = start()

    def send(body: bytes) -> int:
        line = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
        with contextlib.closing(line):
            parts = iter([body[:1000], body[1000:]])
            headers = {"Content-Type": "application/json"}
            line.request("POST", "/api/v1/entries", parts, headers, encode_chunked=True)
            return line.getresponse().status

    assert send(acme.release(1)) == 201
    assert send(b"{" * 32_769) == 413
    assert send(b"{" * 40_000) == 413


def test_enroll_goes_through_the_server_that_runs(
    log: Log, tmp_path: Path, start: Callable[..., Served]
) -> None:
    served = start()
    key = SigningKey.generate()
    request = tmp_path / "acme.request"
    request.write_bytes(encode(ORIGIN, "acme.example", [key]))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "log_server", "enroll"),
            *(str(log.config.directory), "--name", "acme.example"),
            *("--role", "provider", "--request", str(request), "--json"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    assert json.loads(done.stdout) == {"index": 2, "name": "acme.example"}
    assert served.submit(Party("acme.example", key).release(1))[0] == 201


def test_a_heartbeat_seals_an_idle_log(log: Log, start: Callable[..., Served]) -> None:
    set_up(log, heartbeat=1)
    served = start()
    sizes = set()

    def three_sizes() -> bool:
        sizes.add(served.get("/checkpoint").split(b"\n")[1])
        return len(sizes) >= 3

    until(three_sizes, "three seals")
    assert served.end() == (0, "")
    assert check(log.config).wrong == []


def test_one_folder_has_one_server(log: Log, start: Callable[..., Served]) -> None:
    served = start()
    code, err = start(ready=False).wait()
    assert code == 2
    assert "a `serve` or `standby` runs here" in err
    assert served.ask("GET", "/healthz")[0] == 200


def test_a_port_in_use_is_not_shared(log: Log, start: Callable[..., Served]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, err = start(ready=False, port=other.getsockname()[1]).wait()
    assert code == 2
    assert "cannot listen" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(
    log: Log, acme: Party, start: Callable[..., Served], number: signal.Signals
) -> None:
    served = start()
    children = served.children
    assert served.submit(acme.release(1))[0] == 201
    assert served.end(number) == (0, "")
    until(lambda: not any(map(is_running, children)), "the end of all children")
    assert not is_heard(log.config.wake)
    assert not log.config.serving.exists()


def test_who_waits_when_it_ends_is_answered_and_what_was_promised_is_decided(
    log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    served = start()
    sequencer = served.sequencer
    os.kill(sequencer, signal.SIGSTOP)
    answers: list[int] = []
    envelopes = [acme.release(i, f"{i}.0.0") for i in range(1, 5)]
    threads = [
        threading.Thread(
            target=lambda one=one: answers.append(served.submit(one, "?wait=3")[0])
        )
        for one in envelopes
    ]
    for thread in threads:
        thread.start()
    until(lambda: json.loads(served.ask("GET", "/healthz")[1])["waiting"] == 4, "rows")
    served.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(SECONDS)
    os.kill(sequencer, signal.SIGCONT)
    assert answers == [202] * 4
    assert served.wait() == (0, "")
    log.sequence()
    with log.snapshot() as snapshot:
        found = [snapshot.decision(sha256(one)) for one in envelopes]
    assert all(one is not None and one.index is not None for one in found)


def test_a_signal_to_all_of_them_at_once_ends_it_in_order_too(
    log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    served = start()
    assert served.submit(acme.release(1))[0] == 201
    for pid in [*served.children, served.process.pid]:
        os.kill(pid, signal.SIGTERM)
    assert served.wait() == (0, "")
    assert check(log.config).wrong == []


def test_checkpoints_keep_the_distance_that_was_asked_for(
    log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    set_up(log, min_publish_interval=1)
    served = start()
    for i in range(6):
        assert served.submit(acme.release(1, f"1.0.{i}"), "?wait=0")[0] == 202
    last = acme.release(1, "2.0.0")
    assert served.submit(last, "?wait=30")[0] == 201
    assert served.end() == (0, "")
    with log.snapshot() as snapshot:
        times = [row.time for row in snapshot.checkpoints()][2:]
    assert len(times) < 7, "some had to gather"
    assert all(b - a >= 1 for a, b in itertools.pairwise(times[1:]))


def test_a_request_in_flight_is_answered_before_the_end(
    acme: Party, start: Callable[..., Served]
) -> None:
    served = start()
    found: list[int] = []

    def submit() -> None:
        for i in range(40):
            with contextlib.suppress(OSError, http.client.HTTPException):
                found.append(served.submit(acme.release(1, f"1.0.{i}"))[0])

    thread = threading.Thread(target=submit)
    thread.start()
    until(lambda: len(found) >= 3, "some answers")
    assert served.end()[0] == 0
    thread.join()
    assert set(found) == {201}


@pytest.mark.parametrize("victim", ["sequencer", "worker"])
def test_the_death_of_either_child_ends_all_and_says_so(
    log: Log, start: Callable[..., Served], victim: str
) -> None:
    served = start()
    children = served.children
    os.kill(getattr(served, victim), signal.SIGKILL)
    code, err = served.wait()
    assert code == 3
    assert "died" in err
    until(lambda: not any(map(is_running, children)), "the end of all children")


def test_the_death_of_serve_itself_leaves_nobody_behind(
    log: Log, start: Callable[..., Served]
) -> None:
    served = start()
    children = served.children
    assert len(children) >= 2
    served.process.kill()
    until(lambda: not any(map(is_running, children)), "the end of all children")
    assert start().ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("point", STEPS)
def test_a_kill_of_the_sequencer_between_any_two_steps_loses_no_promise(
    log: Log, acme: Party, start: Callable[..., Served], point: str
) -> None:
    served = start(crash=point)
    envelopes = [acme.release(1, f"1.0.{i}") for i in range(3)]
    promised = []
    for envelope in envelopes:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if served.submit(envelope, "?wait=0")[0] == 202:
                promised.append(envelope)
    assert promised
    assert served.wait()[0] == 3
    served = start()
    for envelope in promised:
        until(lambda e=envelope: served.state(e)["state"] == "published", "a decision")  # type: ignore[misc] # bound at once
        index = served.state(envelope)["index"]
        assert served.get(f"/api/v1/entries/{index}") == envelope
    assert served.end() == (0, "")
    assert check(log.config).wrong == []


@pytest.mark.parametrize("victim", ["sequencer", "worker", "serve"])
def test_a_kill_under_load_loses_nothing_that_was_answered(
    log: Log, acme: Party, start: Callable[..., Served], victim: str
) -> None:
    served = start()
    answered: dict[bytes, dict[str, object]] = {}
    end = threading.Event()

    def submit(name: str) -> None:
        for i in range(1000):
            if end.is_set():
                return
            envelope = acme.release(1, f"{name}.{i}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, found = served.submit(envelope, f"?wait={i % 2}")
                if status in {201, 202}:
                    answered[envelope] = found

    threads = [threading.Thread(target=submit, args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 20, "some answers")
    pid = served.process.pid if victim == "serve" else getattr(served, victim)
    os.kill(pid, signal.SIGKILL)
    assert served.wait()[0] != 0
    end.set()
    for thread in threads:
        thread.join()
    served = start()
    for envelope, found in answered.items():
        until(lambda e=envelope: served.state(e)["state"] == "published", "a decision")  # type: ignore[misc] # bound at once
        index = served.state(envelope)["index"]
        assert found.get("index") in {None, index}
        assert served.get(f"/api/v1/entries/{index}") == envelope
    assert served.end() == (0, "")
    assert check(log.config).wrong == []


def test_a_frozen_log_is_served_and_seals_no_more(
    log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    set_up(log, heartbeat=1)
    log.sequence(freeze=True)
    served = start()
    before = served.get("/checkpoint")
    status, found = served.submit(acme.release(1))
    assert (status, found["type"]) == (410, "urn:pcrlog:problem:frozen")
    time.sleep(2.5)
    assert served.get("/checkpoint") == before
    assert json.loads(served.get("/healthz"))["ok"] is True


def test_a_log_behind_what_it_published_does_not_start(
    log: Log, acme: Party, start: Callable[..., Served]
) -> None:
    old = log.config.log_db.read_bytes()
    log.accept(acme.release(1))
    log.config.log_db.write_bytes(old)
    for name in ("log.db-wal", "log.db-shm"):
        (log.config.directory / name).unlink(missing_ok=True)
    code, err = start(ready=False).wait()
    assert code == 4
    assert "fork" in err
