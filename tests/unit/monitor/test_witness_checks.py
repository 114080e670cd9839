"""The table of answers (FORMATS.md 4.2), row by row, and known answers of others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.indexing import IndexFailedError
from monitor.witness import SETBACK, TEXT, Reply, Witness
from monitor.witness_store import NAME, WitnessStore, create, read
from pcrlog import limits
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import LATEST, encode_base64
from pcrlog.errors import (
    InconsistencyError,
    MalformedError,
    UncheckedError,
    VerificationError,
)
from pcrlog.note import (
    COSIGNATURE,
    NoteSigner,
    SignatureLine,
    UnverifiedNote,
    VerifierKey,
)
from pcrlog.witness import REQUEST, SIZE_TYPE, AddCheckpoint, parse_lines
from tests.unit.monitor.witnessed import NOW, WITNESS, Clock, Log, Scene, scene, times

LOG = Log()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Scene]:
    """A witness that has seen eight leaves."""
    with scene(tmp_path, LOG) as found:
        assert found.witness.add_checkpoint(LOG.request(0, 8)).status == 200
        yield found


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Scene]:
    """A witness that has seen nothing."""
    with scene(tmp_path, LOG) as found:
        yield found


def asked(world: Scene, body: bytes) -> Reply:
    return world.witness.add_checkpoint(body)


def refused(world: Scene, body: bytes, status: int) -> Reply:
    """The reply, after which nothing has changed."""
    before = world.store.latest(LOG.origin)
    reply = asked(world, body)
    assert reply.status == status, reply.body
    assert world.store.latest(LOG.origin) == before
    return reply


def text(reply: Reply) -> str:
    assert reply.content_type == TEXT
    assert reply.body.endswith(b"\n")
    return reply.body.decode()


# --- 200 ------------------------------------------------------------------------------


def test_the_answer_to_growth_is_our_line_alone(world: Scene) -> None:
    reply = asked(world, LOG.request(8, 21))
    assert (reply.status, reply.retry_after) == (200, None)
    (line,) = parse_lines(reply.body)
    assert (line.name, line.key_hash) == ("w1.example", WITNESS.public.key_hash)
    assert times(LOG.note(21), reply.body) == [NOW]


def test_every_pair_of_sizes_is_cosigned(tmp_path: Path) -> None:
    for old in range(12):
        for size in range(old, 13):
            folder = tmp_path / f"{old}-{size}"
            folder.mkdir()
            with scene(folder, LOG) as one:
                assert asked(one, LOG.request(0, old)).status == 200
                assert asked(one, LOG.request(old, size)).status == 200


def test_the_same_checkpoint_again_has_a_new_time(world: Scene) -> None:
    world.clock.now += 60
    reply = asked(world, LOG.request(8, 8))
    assert times(LOG.note(8), reply.body) == [NOW + 60]


def test_the_empty_tree_is_cosigned_and_grows_from_nothing(new: Scene) -> None:
    for old, size in ((0, 0), (0, 0), (0, 5), (5, 6)):
        assert asked(new, LOG.request(old, size)).status == 200


def test_only_the_lines_of_the_log_are_looked_at(world: Scene) -> None:
    stranger = NoteSigner("stranger.example", bytes(32))
    forged = SignatureLine(WITNESS.public.name, WITNESS.public.key_hash, bytes(72))
    note = UnverifiedNote.parse(LOG.note(9))
    lines = (stranger.line(bytes(64)), forged, *note.lines)
    body = bytes(
        AddCheckpoint(8, LOG.proof(8, 9), bytes(UnverifiedNote(note.text, lines)))
    )
    assert asked(world, body).status == 200
    shown = world.witness.latest(LOG.digest)
    assert shown is not None
    assert [line.name for line in UnverifiedNote.parse(shown).lines] == [
        LOG.origin,
        "w1.example",
    ]
    assert times(shown, b"") == [NOW]


def test_the_latest_note_is_that_of_the_last_answer(world: Scene) -> None:
    reply = asked(world, LOG.request(8, 10))
    assert world.witness.latest(LOG.digest) == LOG.note(10) + reply.body


def test_there_is_no_latest_note_of_what_was_never_cosigned(new: Scene) -> None:
    assert new.witness.latest(LOG.digest) is None


def test_a_log_that_left_the_list_is_still_shown_and_no_longer_cosigned(
    world: Scene,
) -> None:
    world.logs.clear()
    refused(world, LOG.request(8, 9), 404)
    assert world.witness.latest(LOG.digest) is not None


# --- 400 ------------------------------------------------------------------------------


def big_note() -> bytes:
    return LOG.note(9)[:-1].ljust(REQUEST, b"A") + b"\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 8\n",
        b"old 08\n\n" + LOG.note(9),
        b"old -1\n\n" + LOG.note(9),
        b"Old 8\n\n" + LOG.note(9),
        b"old 8\nAAAA\n\n" + LOG.note(9),
        b"old 8\n"
        + (encode_base64(bytes(32)) + "\n").encode() * 64
        + b"\n"
        + LOG.note(9),
        b"old 8\n\n",
        b"old 8\n\nno note\n",
        b"old 8\n\n" + LOG.note(9).replace(b"\n\n", b"\n"),
        b"old 8\n\n" + b"\xff" + LOG.note(9),
        b"old 8\n\n" + big_note(),
    ],
)
def test_what_is_no_request_is_400(world: Scene, body: bytes) -> None:
    assert text(refused(world, body, 400))


@pytest.mark.parametrize(
    "note",
    [
        f"{LOG.origin}\n8\n{encode_base64(bytes(32))}\nextension\n",
        f"{LOG.origin}\n08\n{encode_base64(bytes(32))}\n",
        f"{LOG.origin}\n8\n{encode_base64(bytes(31))}\n",
        f"{LOG.origin}\n{limits.TREE_SIZE + 1}\n{encode_base64(bytes(32))}\n",
    ],
)
def test_what_a_log_signs_that_is_no_checkpoint_is_400(world: Scene, note: str) -> None:
    refused(world, b"old 8\n\n" + bytes(LOG.signer.sign(note)), 400)


def test_old_larger_than_the_checkpoint_is_400(world: Scene) -> None:
    reply = refused(world, LOG.request(8, 7), 400)
    assert text(reply) == "old 8 is larger than the checkpoint's 7\n"


def test_old_larger_than_the_checkpoint_comes_before_the_conflict(
    world: Scene,
) -> None:
    refused(world, LOG.request(9, 7), 400)


# --- 404, 403 -------------------------------------------------------------------------


def test_an_unknown_origin_is_404_however_signed(world: Scene) -> None:
    reply = refused(world, Log(1).request(0, 8), 404)
    assert "log1.example/pcr" in text(reply)


def signed(*lines: SignatureLine) -> bytes:
    note = UnverifiedNote(LOG.checkpoint(9).text(), lines)
    return bytes(AddCheckpoint(8, LOG.proof(8, 9), bytes(note)))


RIGHT = UnverifiedNote.parse(LOG.note(9)).lines[0]


@pytest.mark.parametrize(
    "lines",
    [
        (NoteSigner("stranger.example", bytes(32)).line(bytes(64)),),
        (NoteSigner(LOG.origin, bytes(32)).line(bytes(64)),),
        (SignatureLine("stranger.example", RIGHT.key_hash, RIGHT.signature),),
        (LOG.signer.line(bytes(64)),),
        (LOG.signer.line(RIGHT.signature[:-1]),),
        (RIGHT, LOG.signer.line(bytes(64))),
        (LOG.signer.line(bytes(64)), RIGHT),
    ],
    ids=[
        "stranger",
        "another key of the name",
        "another name of the key",
        "bad signature",
        "short signature",
        "good, then bad",
        "bad, then good",
    ],
)
def test_without_good_lines_of_the_log_alone_it_is_403(
    world: Scene, lines: tuple[SignatureLine, ...]
) -> None:
    assert text(refused(world, signed(*lines), 403))


# --- 409, 422 -------------------------------------------------------------------------


@pytest.mark.parametrize("old", [0, 1, 7, 9])
def test_another_old_size_is_409_with_ours(world: Scene, old: int) -> None:
    reply = refused(world, LOG.request(old, 9), 409)
    assert reply == Reply(409, SIZE_TYPE, b"8\n")


def test_another_old_size_of_a_log_never_cosigned_is_409_with_zero(
    new: Scene,
) -> None:
    assert asked(new, LOG.request(3, 9)) == Reply(409, SIZE_TYPE, b"0\n")


def test_a_wrong_old_size_comes_before_a_wrong_proof(world: Scene) -> None:
    refused(world, bytes(AddCheckpoint(3, (bytes(32),), LOG.note(9))), 409)


@pytest.mark.parametrize(
    ("old", "proof", "size"),
    [
        (8, (), 9),
        (8, LOG.proof(8, 10), 9),
        (8, (bytes(32),), 9),
        (8, LOG.proof(7, 9), 9),
        (8, (bytes(32),), 8),
    ],
    ids=["none", "another's", "wrong", "of another size", "where none is due"],
)
def test_a_proof_that_does_not_hold_is_422(
    world: Scene, old: int, proof: tuple[bytes, ...], size: int
) -> None:
    assert text(refused(world, bytes(AddCheckpoint(old, proof, LOG.note(size))), 422))


def test_a_proof_from_size_0_is_422(new: Scene) -> None:
    for size in (0, 5):
        body = bytes(AddCheckpoint(0, (bytes(32),), LOG.note(size)))
        assert asked(new, body).status == 422
    assert new.store.latest(LOG.origin) is None


def test_a_proof_from_a_cosigned_size_0_is_422(new: Scene) -> None:
    asked(new, LOG.request(0, 0))
    refused(new, bytes(AddCheckpoint(0, (bytes(32),), LOG.note(5))), 422)


def test_size_0_with_another_root_is_422(new: Scene) -> None:
    note = LOG.signer.sign(Checkpoint(LOG.origin, 0, bytes(32)).text())
    refused(new, bytes(AddCheckpoint(0, (), bytes(note))), 422)


def test_another_root_of_the_same_size_is_422_and_kept_as_evidence(
    world: Scene, tmp_path: Path
) -> None:
    other = Log(fork_at=3)
    refused(world, other.request(8, 8), 422)
    refused(world, other.request(8, 8), 422)
    refused(world, other.request(0, 8), 409)
    (fork,) = read(tmp_path / NAME).forks
    assert fork.ours.startswith(LOG.note(8))
    assert fork.theirs == other.note(8)
    assert (fork.origin, fork.size, fork.time) == (LOG.origin, 8, NOW)


def test_whoever_made_the_witness_is_told_of_each_fork_once_it_is_kept(
    tmp_path: Path,
) -> None:
    told: list[tuple[int, bytes, bytes]] = []

    def on_fork(ours: bytes, theirs: bytes) -> None:
        told.append((forking.store.forks, ours, theirs))

    with scene(tmp_path, LOG, on_fork=on_fork) as forking:
        asked(forking, LOG.request(0, 8))
        ours = forking.witness.latest(LOG.digest)
        assert ours is not None
        other = Log(fork_at=3)
        for body in (other.request(8, 8), other.request(8, 8), other.request(8, 9)):
            refused(forking, body, 422)
        assert told == [(1, ours, other.note(8))]


def test_a_fork_that_comes_to_light_only_when_it_is_stored_is_kept(
    tmp_path: Path,
) -> None:
    other = Log(fork_at=3)
    first = iter([LOG.request(0, 8)])

    def approve(_origin: str, _checkpoint: Checkpoint, _note: bytes) -> None:
        for body in first:
            assert asked(busy, body).status == 200

    with scene(tmp_path, LOG, approve=approve) as busy:
        assert asked(busy, other.request(0, 8)) == Reply(409, SIZE_TYPE, b"8\n")
        assert busy.store.forks == 1


def test_a_fork_of_another_size_is_422(world: Scene) -> None:
    other = Log(fork_at=3)
    refused(world, other.request(8, 21), 422)


# --- 429, 503: later ------------------------------------------------------------------


def test_a_log_that_asks_too_often_is_429_with_the_seconds(tmp_path: Path) -> None:
    waits = {LOG.origin: 7}
    with scene(tmp_path, LOG, limit=lambda origin, _: waits[origin]) as world:
        reply = asked(world, LOG.request(0, 8))
        assert (reply.status, reply.retry_after) == (429, 7)
        waits[LOG.origin] = 0
        assert asked(world, LOG.request(0, 8)).status == 200


def test_a_limit_counts_what_would_be_cosigned_growth_apart(tmp_path: Path) -> None:
    counted: list[tuple[str, bool]] = []

    def limit(origin: str, grows: bool) -> int:  # noqa: FBT001 - as `Limit` has it
        counted.append((origin, grows))
        return 0

    with scene(tmp_path, LOG, limit=limit) as world:
        asked(world, signed(LOG.signer.line(bytes(64))))
        asked(world, LOG.request(3, 8))
        asked(world, bytes(AddCheckpoint(0, (bytes(32),), LOG.note(8))))
        assert counted == []
        for old, size in ((0, 8), (8, 8), (8, 9)):
            asked(world, LOG.request(old, size))
        assert counted == [(LOG.origin, True), (LOG.origin, False), (LOG.origin, True)]


@pytest.mark.parametrize("now", [0, -1, LATEST + 1, NOW - SETBACK - 1])
def test_with_a_clock_that_is_wrong_nothing_is_cosigned(world: Scene, now: int) -> None:
    world.clock.now = now
    reply = refused(world, LOG.request(8, 9), 503)
    assert "clock" in text(reply)
    assert reply.retry_after


def test_a_clock_that_is_years_behind_asks_to_come_again_in_an_hour(
    world: Scene,
) -> None:
    world.clock.now = 1
    assert refused(world, LOG.request(8, 9), 503).retry_after == 3600


def test_a_clock_set_back_a_little_repeats_the_last_time(world: Scene) -> None:
    world.clock.now = NOW - SETBACK
    reply = asked(world, LOG.request(8, 9))
    assert times(LOG.note(9), reply.body) == [NOW]


# --- approve --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UncheckedError("the round is not done"), 503),
        (VerificationError("the index root is wrong"), 422),
        (MalformedError("an entry is none"), 422),
        (InconsistencyError("a fork", ours=b"", theirs=b""), 422),
    ],
)
def test_what_is_not_approved_is_not_cosigned(
    tmp_path: Path, error: Exception, status: int
) -> None:
    def approve(_origin: str, _checkpoint: Checkpoint, _note: bytes) -> None:
        raise error

    with scene(tmp_path, LOG, approve=approve) as world:
        reply = refused(world, LOG.request(0, 8), status)
        assert text(reply) == f"{error}\n"
        assert (reply.retry_after is not None) == (status == 503)


def test_a_mistake_in_approving_is_not_hidden_and_cosigns_nothing(
    tmp_path: Path,
) -> None:
    def approve(_origin: str, _checkpoint: Checkpoint, _note: bytes) -> None:
        raise RuntimeError

    with scene(tmp_path, LOG, approve=approve) as world:
        with pytest.raises(RuntimeError):
            asked(world, LOG.request(0, 8))
        assert world.store.latest(LOG.origin) is None


def test_an_approval_that_cannot_be_given_for_a_reason_of_ours_refutes_nothing(
    tmp_path: Path,
) -> None:
    def approve(_origin: str, _checkpoint: Checkpoint, _note: bytes) -> None:
        message = "the index failed"
        raise IndexFailedError(message)

    with scene(tmp_path, LOG, approve=approve) as world:
        with pytest.raises(IndexFailedError):
            asked(world, LOG.request(0, 8))
        assert world.store.latest(LOG.origin) is None


def test_only_what_passed_every_check_is_put_to_approval(tmp_path: Path) -> None:
    seen: list[tuple[str, int, bytes]] = []

    def approve(origin: str, checkpoint: Checkpoint, note: bytes) -> None:
        seen.append((origin, checkpoint.size, note))

    with scene(tmp_path, LOG, approve=approve) as world:
        asked(world, LOG.request(3, 8))
        asked(world, bytes(AddCheckpoint(0, (bytes(32),), LOG.note(8))))
        asked(world, LOG.request(0, 8))
    assert seen == [(LOG.origin, 8, LOG.note(8))]


def test_what_was_cosigned_during_approval_is_found_and_it_is_409(
    tmp_path: Path,
) -> None:
    others = iter([LOG.request(0, 5)])

    def approve(_origin: str, _checkpoint: Checkpoint, _note: bytes) -> None:
        for body in others:
            assert asked(busy, body).status == 200

    with scene(tmp_path, LOG, approve=approve) as busy:
        assert asked(busy, LOG.request(0, 8)) == Reply(409, SIZE_TYPE, b"5\n")


def test_a_later_line_made_during_approval_is_not_followed_by_an_earlier_one(
    world: Scene,
) -> None:
    clock = iter([NOW + 5, NOW + 2, NOW + 2])
    ahead = iter([LOG.request(8, 8)])

    def approve(_origin: str, _checkpoint: Checkpoint, _note: bytes) -> None:
        for body in ahead:
            assert times(LOG.note(8), asking.add_checkpoint(body).body) == [NOW + 5]

    asking = Witness(world.store, WITNESS, world.logs.get, lambda: next(clock), approve)
    assert times(LOG.note(9), asking.add_checkpoint(LOG.request(8, 9)).body) == [
        NOW + 5
    ]


# --- known answers --------------------------------------------------------------------


@pytest.fixture
def known(vectors: Path) -> Any:
    return json.loads((vectors / "kat.json").read_bytes())


def test_the_known_request_is_cosigned_with_the_known_line(
    known: Any, tmp_path: Path
) -> None:
    case = known["tlog_proof"]
    body = known["add_checkpoint_3_to_8"].encode()
    log = VerifierKey.parse(case["log_vkey"])
    seed = bytes.fromhex(case["witness_seed_hex"])
    signer = NoteSigner("witness.example/w1", seed, COSIGNATURE)
    assert str(signer.public) == case["witness_vkey"]
    path = tmp_path / "witness.db"
    create(path, str(signer.public), NOW)
    store = WitnessStore(path, str(signer.public))
    try:
        witness = Witness(store, signer, {log.name: log}.get, Clock(case["time"]))
        assert witness.add_checkpoint(body) == Reply(409, SIZE_TYPE, b"0\n")
        asked = AddCheckpoint.parse(body)
        assert bytes(asked) == body
        first = known["tessera_testlog"]["checkpoints"][3].encode()
        stored = witness.add_checkpoint(bytes(AddCheckpoint(0, (), first)))
        assert stored.status == 200, stored.body
        reply = witness.add_checkpoint(body)
    finally:
        store.close()
    assert reply.status == 200
    assert reply.body.decode() == case["text"].splitlines(keepends=True)[-1]
