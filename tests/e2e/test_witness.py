"""`pcrlog-monitor witness run`: the real process on loopback, over HTTP."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from monitor.witness_config import KEY
from monitor.witness_store import create, read
from pcrlog.checkpoint import cosignatures
from pcrlog.note import COSIGNATURE, NoteSigner, UnverifiedNote, VerifierKey
from pcrlog.witness import REQUEST, SIZE_TYPE, AddCheckpoint, parse_lines
from tests.support.witness_process import SECONDS, Answer, WitnessProcess, make_witness
from tests.unit.monitor.witnessed import Log, times

pytestmark = pytest.mark.e2e

LOG, FORK, OTHER = Log(), Log(fork_at=3), Log(1)
NAME = "w1.example/a"
TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_witness(tmp_path / "w", NAME, [LOG.key])
    return tmp_path / "w"


def key_of(folder: Path) -> VerifierKey:
    return VerifierKey.parse(read(folder / "witness.db").vkey)


def until(witness: WitnessProcess, words: str) -> None:
    end = time.monotonic() + SECONDS
    while words not in witness.said():
        assert time.monotonic() < end, witness.said()
        time.sleep(0.02)


def test_each_status_comes_over_the_wire(folder: Path) -> None:
    with WitnessProcess.start(folder) as witness:
        first = witness.post(LOG.request(0, 8))
        assert (first.status, first.headers["content-type"]) == (200, TEXT)
        [line] = parse_lines(first.body)
        assert line.key_hash == key_of(folder).key_hash
        [seconds] = times(LOG.note(8), first.body, key_of(folder))
        assert abs(seconds - time.time()) < 60
        for status, body in (
            (400, b"nonsense"),
            (400, LOG.request(9, 8)),
            (404, OTHER.request(0, 8)),
            (403, LOG.request(8, 9).replace(b"\n9\n", b"\n8\n")),
            (422, FORK.request(8, 9)),
            (422, FORK.request(8, 8)),
            (413, bytes(REQUEST + 1)),
        ):
            answer = witness.post(body)
            assert (answer.status, answer.headers["content-type"]) == (status, TEXT)
        answer = witness.post(LOG.request(3, 9))
        assert (answer.status, answer.body) == (409, b"8\n")
        assert answer.headers["content-type"] == SIZE_TYPE
        shown = witness.ask("GET", f"/{LOG.digest}/checkpoint")
        assert shown.body == LOG.note(8) + first.body
        health = json.loads(witness.ask("GET", "/healthz").body)
        assert health == {"forks": 1, "list_refused": False, "logs": 1, "ok": True}
        metrics = witness.ask("GET", "/metrics").body.decode()
        assert 'pcrlog_witness_requests_total{status="422"} 2.0' in metrics
        assert "pcrlog_witness_forks_total 1.0" in metrics
        assert witness.ask("GET", "/nothing").status == 404
        assert witness.ask("POST", "/metrics").headers["allow"] == "GET, HEAD"
        assert witness.end() == 0
        said = witness.said()
    assert "Traceback" not in said
    assert "signed two trees of 8 leaves" in said
    assert f"witness {NAME} at {witness.url}\n" in said


def test_the_largest_chunked_body_is_413_too(folder: Path) -> None:
    with WitnessProcess.start(folder) as witness:
        for body, status in (([bytes(REQUEST), b"x"], 413), ([LOG.request(0, 8)], 200)):
            answer = witness.ask("POST", "/add-checkpoint", iter(body))
            assert answer.status == status


def test_a_log_that_asks_too_often_is_429_and_its_growth_is_not_hindered(
    folder: Path,
) -> None:
    (folder / "logs").write_text(f"{LOG.key} 240\n", "ascii")
    with WitnessProcess.start(folder) as witness:
        assert witness.post(LOG.request(0, 8)).status == 200
        renewals = [witness.post(LOG.request(8, 8)) for _ in range(11)]
        assert [one.status for one in renewals] == [200] * 10 + [429]
        assert 0 < int(renewals[-1].headers["retry-after"]) <= 360
        assert witness.post(LOG.request(8, 9)).status == 200


def test_of_requests_that_race_one_wins_and_the_others_learn_the_size(
    folder: Path,
) -> None:
    with WitnessProcess.start(folder) as witness, ThreadPoolExecutor(8) as pool:
        size = 0
        for _ in range(20):
            new = range(size + 1, size + 4)
            bodies = [
                log.request(size, one) for one in new for log in (LOG, FORK) if one < 60
            ]
            answers = list(pool.map(witness.post, bodies[:8]))
            check_race(answers)
            won = [b for b, a in zip(bodies, answers, strict=False) if a.status == 200]
            if not won:
                break
            size = int(won[-1].partition(b"\n\n")[2].split(b"\n")[1])
        assert size > 10


def check_race(answers: list[Answer]) -> None:
    assert {one.status for one in answers} <= {200, 409, 422}
    # All of them came from the same size.
    assert sum(one.status == 200 for one in answers) <= 1


def test_the_known_request_is_answered_as_it_is_known(
    vectors: Path, tmp_path: Path
) -> None:
    known: Any = json.loads((vectors / "kat.json").read_bytes())
    case = known["tlog_proof"]
    body = known["add_checkpoint_3_to_8"].encode()
    seed = bytes.fromhex(case["witness_seed_hex"])
    signer = NoteSigner("witness.example/w1", seed, COSIGNATURE)
    folder = tmp_path / "w"
    make_witness(folder, signer.public.name, [case["log_vkey"]])
    (folder / KEY).write_text(f"{signer.skey()}\n", "ascii")
    (folder / "witness.db").unlink()
    create(folder / "witness.db", str(signer.public), 1)
    with WitnessProcess.start(folder) as witness:
        assert witness.post(body).body == b"0\n"
        first = known["tessera_testlog"]["checkpoints"][3].encode()
        assert witness.post(bytes(AddCheckpoint(0, (), first))).status == 200
        answer = witness.post(body)
        assert answer.status == 200
    asked = AddCheckpoint.parse(body)
    assert bytes(asked) == body
    note = UnverifiedNote.parse(asked.note + answer.body)
    assert list(cosignatures(note, [signer.public])) == [signer.public]
    # The known line is of another time: its name and key hash are the same.
    [ours] = parse_lines(answer.body)
    [theirs] = parse_lines(case["text"].splitlines(keepends=True)[-1].encode())
    assert (ours.name, ours.key_hash) == (theirs.name, theirs.key_hash)


def test_the_list_is_read_again_when_it_changes_and_stays_when_it_is_broken(
    folder: Path,
) -> None:
    with WitnessProcess.start(folder) as witness:
        assert witness.post(OTHER.request(0, 8)).status == 404
        (folder / "logs").write_text(f"{LOG.key}\n{OTHER.key}\n", "ascii")
        until(witness, "cosigns for 2 logs")
        assert witness.post(OTHER.request(0, 8)).status == 200
        (folder / "logs").write_text("nonsense\n", "ascii")
        witness.process.send_signal(signal.SIGHUP)
        until(witness, "the list of logs stays as it was")
        assert witness.post(OTHER.request(8, 9)).status == 200
        health = json.loads(witness.ask("GET", "/healthz").body)
        assert health["list_refused"]
        metrics = witness.ask("GET", "/metrics").body
        assert b"pcrlog_witness_list_refused 1.0" in metrics
        (folder / "logs").write_text(f"{OTHER.key}\n", "ascii")
        witness.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + SECONDS
        while witness.post(LOG.request(0, 8)).status != 404:
            assert time.monotonic() < end
        health = json.loads(witness.ask("GET", "/healthz").body)
        assert (health["list_refused"], health["logs"]) == (False, 1)
        assert witness.end() == 0


def test_a_folder_has_one_witness(folder: Path) -> None:
    with WitnessProcess.start(folder) as witness:
        with WitnessProcess.start(folder, ready=False) as second:
            assert second.process.wait(SECONDS) == 2
        assert "is locked" in second.said()
        assert witness.post(LOG.request(0, 8)).status == 200


def test_a_witness_without_its_memory_does_not_start(folder: Path) -> None:
    (folder / "witness.db").unlink()
    with WitnessProcess.start(folder, ready=False) as witness:
        assert witness.process.wait(SECONDS) == 2
    assert "without its memory" in witness.said()


@pytest.mark.parametrize("point", ["compared", "stored", "committed"])
def test_killed_at_a_step_it_goes_on_from_what_is_on_disk(
    folder: Path, point: str
) -> None:
    with WitnessProcess.start(folder, crash=f"{point}:2") as witness:
        first = witness.post(LOG.request(0, 8))
        assert first.status == 200
        with pytest.raises(OSError, match=r".*"):
            witness.post(LOG.request(8, 9))
        assert witness.process.wait(SECONDS) == 1
    with WitnessProcess.start(folder) as witness:
        size = 9 if point == "committed" else 8
        probe = witness.post(LOG.request(0, 12))
        assert (probe.status, probe.body) == (409, b"%d\n" % size)
        assert witness.post(FORK.request(size, 12)).status == 422
        last = witness.post(LOG.request(size, 12))
        [before] = times(LOG.note(8), first.body, key_of(folder))
        [after] = times(LOG.note(12), last.body, key_of(folder))
        assert before <= after
