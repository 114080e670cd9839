"""The simulator: honest until it is told to lie, and then as it is told."""

import gzip
import http.client
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from monitor.alerts import KINDS
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import open_checkpoint
from pcrlog.errors import TransportError, VerificationError
from pcrlog.index_keys import of_product
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Policy
from pcrlog.proof import Proof
from pcrlog.reader import AbsentError, Reader, bundle_path
from pcrlog.tiles import parse_bundle
from pcrlog.transport import Client
from tests.support.lies import LIES, honest, named, size_of_old
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import START
from tests.support.scene import GOOD, PRODUCT, Scene

MOST = 1 << 20


@pytest.fixture
def simulator() -> Iterator[LogSimulator]:
    with LogSimulator(honest(START)) as made:
        yield made


def reader(simulator: LogSimulator, url: str | None = None) -> Reader:
    text = Scene(simulator.log).policy_text()
    [log] = Policy.parse(text.encode()).logs.values()
    return Reader(Client(url or simulator.url), log, START)


def get(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    line.request("GET", f"{parts.path}/{path}", headers=headers)
    answer = line.getresponse()
    body = answer.read()
    line.close()
    return answer.status, dict(answer.headers), body


# --- honest ---------------------------------------------------------------------------


def test_a_reader_finds_every_entry_proven(simulator: LogSimulator) -> None:
    read = reader(simulator)
    checkpoint = read.checkpoint()
    leaves = simulator.log.leaves
    assert checkpoint.size == len(leaves)
    assert [read.entry(i) for i in range(checkpoint.size)] == leaves


def test_a_reader_finds_every_tile_of_a_larger_log(simulator: LogSimulator) -> None:
    with simulator.change() as log:
        while len(log.leaves) < 300:
            log.seal()
    read = reader(simulator)
    new = read.checkpoint()
    old = open_checkpoint(
        UnverifiedNote.parse(log.until(size_of_old(log)).note), log.signer.public
    )
    assert read.consistency(old, new)
    assert read.entry(255, new) == log.leaves[255]
    assert read.entry(299, new) == log.leaves[299]


def test_answers_are_proven(simulator: LogSimulator) -> None:
    found = reader(simulator).answer(of_product(PRODUCT))
    assert [entry.index for entry in found] == sorted(
        simulator.log.index[of_product(PRODUCT)]
    )


def test_bundles_are_those_of_the_log(simulator: LogSimulator) -> None:
    asked = bundle_path(PRODUCT, [f"aws-nitro/PCR0={GOOD['PCR0']}"], ["lab.example"])
    data = Client(simulator.url)(asked, MOST)
    assert data == simulator.log.bundle(PRODUCT, GOOD, "lab.example").encode()
    assert Bundle.parse(data).note == simulator.log.note


def test_entries_come_one_by_one_with_proofs(simulator: LogSimulator) -> None:
    log, client = simulator.log, Client(simulator.url)
    assert client("api/v1/entries/1", MOST) == log.leaves[1]
    proof = Proof.parse(client("api/v1/entries/1/proof", MOST))
    assert (proof.index, proof.note) == (1, log.note)


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "tile/0/001",
        "tile/0/0.p/1",
        "tile/entries/000.p/200",
        "api/v1/entries/99",
        "api/v1/entries/1/other",
        "api/v1/nothing",
    ],
)
def test_what_is_not_there_is_absent(simulator: LogSimulator, path: str) -> None:
    with pytest.raises(AbsentError):
        Client(simulator.url)(path, MOST)


def test_a_question_that_makes_no_sense_is_refused(simulator: LogSimulator) -> None:
    status, headers, _ = get(simulator.url, "api/v1/bundle")
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")


def test_entry_bundles_are_compressed_where_that_is_accepted(
    simulator: LogSimulator,
) -> None:
    size = len(simulator.log.leaves)
    path = f"tile/entries/000.p/{size}"
    status, headers, body = get(simulator.url, path, **{"Accept-Encoding": "gzip"})
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    plain = get(simulator.url, path)[2]
    assert gzip.decompress(body) == plain
    assert parse_bundle(plain, size) == tuple(simulator.log.leaves)


def test_what_was_asked_is_kept(simulator: LogSimulator) -> None:
    get(simulator.url, "checkpoint?x=1")
    assert simulator.asked == ["/pcr/checkpoint?x=1"]
    urls = simulator.url, simulator.elsewhere
    assert get(urls[1], "checkpoint")[2] == get(urls[0], "checkpoint")[2]
    assert get(urls[0].replace("pcr", "third"), "checkpoint")[0] == 404


# --- lies -----------------------------------------------------------------------------


def test_another_history_may_be_shown_elsewhere(simulator: LogSimulator) -> None:
    named("equivocation").tell(simulator)
    here = reader(simulator).checkpoint()
    there = reader(simulator, simulator.elsewhere).checkpoint()
    assert here.size == there.size
    assert here.root != there.root


def test_an_older_history_is_whole(simulator: LogSimulator) -> None:
    size = len(simulator.log.leaves)
    named("rollback").tell(simulator)
    read = reader(simulator)
    checkpoint = read.checkpoint()
    assert checkpoint.size < size
    assert read.entry(checkpoint.size - 1).startswith(b"pcrlog/seal/v1")


def test_a_hidden_revocation_is_in_the_tree_and_not_in_the_index(
    simulator: LogSimulator,
) -> None:
    named("hide-from-index").tell(simulator)
    log = simulator.log
    assert not any(max(log.entries) in indices for indices in log.index.values())
    assert reader(simulator).entry(max(log.entries)) == log.leaves[max(log.entries)]


def test_an_answer_may_change_on_its_way(simulator: LogSimulator) -> None:
    read = reader(simulator)
    named("bad-signature").tell(simulator)
    with pytest.raises(VerificationError):
        read.checkpoint()
    simulator.twist = lambda path, reply: replace(reply, body=path.encode())
    assert Client(simulator.url)("checkpoint", MOST) == b"checkpoint"


@pytest.mark.parametrize("name", ["endless", "not-gzip", "circles", "down"])
def test_an_answer_may_be_none(
    simulator: LogSimulator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcrlog.transport._PAUSES", ())
    named(name).tell(simulator)
    with pytest.raises(TransportError):
        Client(simulator.url)("checkpoint", 1000)


@pytest.mark.parametrize("name", ["hangs", "drips"])
def test_an_answer_may_not_come(
    simulator: LogSimulator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pcrlog.transport._PAUSES", ())
    monkeypatch.setattr("pcrlog.connection.TIMEOUT", 0.2)
    named(name).tell(simulator)
    began = time.monotonic()
    with pytest.raises(TransportError):
        Client(simulator.url)("checkpoint", MOST)
    assert time.monotonic() - began < 5


def test_every_lie_has_a_name_and_a_kind_of_alert_that_exists() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES)
    assert {lie.alert for lie in LIES} - {None} <= set(KINDS)
    assert {lie.verdict for lie in LIES} == {3, 4}
