"""`serve` with a bucket that fails for a while, under submissions."""

import json
import time
from pathlib import Path

import pytest

from log_server.config import Public
from tests.cluster.test_bucket_publishing import moved
from tests.e2e.served import Served, until
from tests.support.audit import Told, audit
from tests.support.bucket_server import BucketServer, Gate
from tests.unit.log_server.parties import Log

pytestmark = pytest.mark.e2e


def health(served: Served) -> tuple[int, str]:
    """The status of /healthz, and what it says of the disk."""
    status, body = served.ask("GET", "/healthz")
    found = json.loads(body)
    return status, str(found.get("disk", found.get("detail", "")))


def test_a_bucket_that_fails_holds_up_publication_and_heals_by_itself(
    tmp_path: Path, gate: Gate, bucket: str, bucket_server: BucketServer
) -> None:
    log = Log.create(tmp_path / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    log = moved(log, Public(f"s3://{bucket}", gate.url, "us-east-1"))
    told = Told()
    served = Served.start(log)
    try:
        served.wait_until_served()
        assert served.submit(acme.release())[0] == 201
        before = served.get("/checkpoint")
        told.show(before)
        gate.rule = lambda seen: "refuse" if seen.method == "PUT" else "pass"
        waits = acme.release(2, "2.0.0")
        assert served.submit(waits, "?wait=0")[0] == 202
        told.promise(waits)
        until(lambda: health(served)[1].startswith("the bucket fails"), "a word")
        assert health(served)[0] == 503
        # What was published is answered from the database, and more is taken in.
        assert served.get("/checkpoint") == before
        assert len(served.get("/tile/0/000.p/6")) == 6 * 32
        assert served.ask("GET", "/tile/0/000.p/8")[0] == 404
        also = acme.release(3, "3.0.0")
        assert served.submit(also, "?wait=0")[0] == 202
        told.promise(also)
        gate.rule = lambda _seen: "pass"
        until(lambda: served.state(waits)["state"] == "published", "the first")
        until(lambda: served.state(also)["state"] == "published", "the second")
        until(lambda: health(served)[0] == 200, "health")
        told.show(served.get("/checkpoint"))
        shown = bucket_server.ask("GET", f"/{bucket}/checkpoint")[1]
        assert shown == served.get("/checkpoint")
        code, err = served.end()
    finally:
        served.close()
    assert code == 0, err
    assert "Traceback" not in err
    assert "the bucket fails: s3://" in err
    assert "the bucket is right again" in err
    audit(log.config, told)


def test_a_sequencer_that_was_overtaken_ends_serve(
    tmp_path: Path, gate: Gate, bucket: str, bucket_server: BucketServer
) -> None:
    log = Log.create(tmp_path / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    log = moved(log, Public(f"s3://{bucket}", gate.url, "us-east-1"))
    served = Served.start(log)
    try:
        served.wait_until_served()
        note = b"what another one shows"
        bucket_server.ask("PUT", f"/{bucket}/checkpoint", note, owner=True)
        served.submit(acme.release(), "?wait=0")
        code, err = served.wait()
    finally:
        served.close()
    assert code == 3
    assert "replaced meanwhile" in err
    assert "Traceback" not in err
    assert bucket_server.ask("GET", f"/{bucket}/checkpoint")[1] == note


@pytest.mark.parametrize("point", ["tiles-written", "checkpoint-written"])
def test_a_kill_between_tiles_and_checkpoint_loses_nothing(
    tmp_path: Path, gate: Gate, bucket: str, point: str
) -> None:
    log = Log.create(tmp_path / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    log = moved(log, Public(f"s3://{bucket}", gate.url, "us-east-1"))
    log.sequence()
    told, envelope = Told(), acme.release()
    served = Served.start(log, crash=point)
    try:
        served.wait_until_served()
        assert served.submit(envelope, "?wait=0")[0] == 202
        told.promise(envelope)
        assert served.wait()[0] != 0
    finally:
        served.close()
    served = Served.start(log)
    try:
        served.wait_until_served()
        until(lambda: served.state(envelope)["state"] == "published", "publication")
        told.show(served.get("/checkpoint"))
        assert served.end()[0] == 0
    finally:
        served.close()
    audit(log.config, told)


@pytest.mark.slow
def test_a_bucket_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, gate: Gate, bucket: str
) -> None:
    log = Log.create(tmp_path / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    log = moved(log, Public(f"s3://{bucket}", gate.url, "us-east-1"))
    log.sequence()
    served = Served.start(log)
    try:
        served.wait_until_served()
        gate.rule = lambda seen: "hang" if seen.method == "PUT" else "pass"
        before = len(gate.puts())
        assert served.submit(acme.release(), "?wait=0")[0] == 202
        until(lambda: len(gate.puts()) > before, "a put")
        # Within the 30 s that `end` waits.
        assert served.end()[0] == 0
    finally:
        served.close()
    gate.rule = lambda _seen: "pass"
    log.sequence()
    audit(log.config, Told())
