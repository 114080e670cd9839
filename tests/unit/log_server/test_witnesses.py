"""Nothing is shown before a quorum has cosigned it, and no witness can make us fork."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from log_server import witnesses as module
from log_server.direct import freeze_directly
from log_server.fsck import check
from log_server.standing import Standings
from log_server.witnesses import (
    ContradictedError,
    EndedError,
    Patience,
    QuorumError,
)
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import UsageError
from pcrlog.exchange import Answer, Exchange
from pcrlog.note import ED25519, UnverifiedNote, VerifierKey
from pcrlog.witness import AddCheckpoint
from tests.support.plain_witness import Latest, PlainWitness, Reply
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.witnessing import (
    ahead,
    at,
    cosigners,
    demand,
    sequencing,
    shown,
    shown_size,
    standing,
)

LONG = Patience(seconds=10)


@pytest.fixture
def witnesses(log: Log, acme: Party) -> Iterator[list[PlainWitness]]:
    """Three that know the log, whose clock is the test's; acme is enrolled: size 4."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                PlainWitness(f"w{n}.example/a", [log.new.vkey], clock=log.clock)
            )
            for n in (1, 2, 3)
        ]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def seen_by(log: Log, witnesses: list[PlainWitness]) -> None:
    """Let each of them cosign what the log has now."""
    demand(log, witnesses, len(witnesses))
    with sequencing(log, LONG):
        assert len(cosigners(log, *witnesses)) == len(witnesses)


def requests(witness: PlainWitness) -> list[AddCheckpoint]:
    return [AddCheckpoint.parse(one.body) for one in witness.posts()]


def committed_size(log: Log) -> int:
    with log.snapshot() as snapshot:
        row = snapshot.checkpoint()
        assert row is not None
        return row.size


# --- the quorum ----------------------------------------------------------------------


def test_a_checkpoint_is_shown_with_the_lines_of_those_who_cosigned(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses, 3)
    log.queue(acme.release())
    with sequencing(log, LONG) as sequencer:
        sequencer.round()
        assert shown_size(log) == 6
        assert cosigners(log, *witnesses) == {f"w{n}.example/a" for n in (1, 2, 3)}
    first, *_ = UnverifiedNote.parse(shown(log)).lines
    assert first.name == log.config.origin
    assert check(log.config).wrong == []
    one = standing(log, witnesses[0])
    assert (one.role, one.size, one.time) == ("witness", 6, log.clock.now)
    assert (one.cosignatures, one.alarms, one.problem) == (2, 0, "")


def test_it_is_not_shown_before_a_quorum_has_and_is_the_same_one_then(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses[:2], 2)
    log.queue(acme.release())
    with sequencing(log) as sequencer:
        before = shown(log)
        witnesses[0].misbehave.down = True
        with pytest.raises(QuorumError) as caught:
            sequencer.round()
    assert caught.value.exit_code == 3
    assert "1 of 2 witnesses cosigned (w1.example/a: could not ask" in str(caught.value)
    assert "committed, and the next start publishes it" in str(caught.value)
    assert shown(log) == before
    assert committed_size(log) == 6
    # More waits meanwhile, and the tiles are there for whoever is to look at them.
    log.queue(acme.release(1, "2.0.0"))
    assert (log.config.public / "tile/0/000.p/6").is_file()
    asked = requests(witnesses[1])[-1].note
    witnesses[0].misbehave.down = False
    with sequencing(log) as sequencer:
        assert shown_size(log) == 6
        assert shown(log).startswith(asked)
        sequencer.round()
        assert shown_size(log) == 8
    assert check(log.config).wrong == []


def test_what_comes_back_while_it_is_waited_for_is_asked_again(
    log: Log, witnesses: list[PlainWitness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.05)
    demand(log, witnesses[:1])
    witnesses[0].misbehave.replies = [Reply(500), Reply(503), Reply(403)]
    with sequencing(log, LONG):
        assert cosigners(log, witnesses[0])
    assert [one.status for one in witnesses[0].posts()][:3] == [500, 503, 403]


def test_all_are_asked_side_by_side(log: Log, witnesses: list[PlainWitness]) -> None:
    demand(log, witnesses, 3)
    for one in witnesses:
        one.misbehave.slow = 0.5
    begun = time.monotonic()
    with sequencing(log, LONG):
        # Each is asked twice: the first time, it has not seen this log.
        assert time.monotonic() - begun < 2
    assert [len(one.posts()) for one in witnesses] == [2, 2, 2]


def test_who_hangs_holds_up_nobody_if_a_quorum_answers(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses, 2)
    witnesses[2].misbehave.slow = 60
    begun = time.monotonic()
    with sequencing(log, LONG) as sequencer:
        for i in range(3):
            log.queue(acme.release(1, f"1.0.{i}"))
            sequencer.round()
    assert time.monotonic() - begun < 4
    assert shown_size(log) == 10
    assert cosigners(log, *witnesses) == {"w1.example/a", "w2.example/a"}


def test_both_quorums_are_needed(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    first, second, third = witnesses
    demand(log, [first, second], 1, monitors=[third])
    log.queue(acme.release())
    with sequencing(log) as sequencer:
        third.misbehave.down = True
        with pytest.raises(QuorumError, match="0 of 1 index monitors") as caught:
            sequencer.round()
    assert "witnesses" not in str(caught.value)
    assert shown_size(log) == 4
    third.misbehave.down = False
    with sequencing(log, LONG):
        assert shown_size(log) == 6
    assert "w3.example/a" in cosigners(log, third)
    assert standing(log, third).role == "index monitor"


# --- what a witness may answer -------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(400), "answered 400"),
        (Reply(403), "does not take this log's key"),
        (Reply(404), "does not know this log"),
        (Reply(429), "asked too often"),
        (Reply(500), "answered 500"),
        (Reply(503), "answered 503"),
        (Reply(301, headers={"Location": "/"}), "a redirect is not followed"),
        (Reply(200, b"garbage"), "answered 200"),
        (Reply(200, b""), "answered 200"),
        (Reply(200, b"x" * 70_000), "more than 65536 bytes"),
        (Reply(409, b"four\n", {"Content-Type": "text/x.tlog.size"}), "409"),
        (Reply(409, b"4\n"), "ours does not continue"),
        (Reply(422), "ours does not continue"),
    ],
)
def test_a_witness_that_does_not_cosign_stops_nobody_else(
    log: Log, acme: Party, witnesses: list[PlainWitness], reply: Reply, words: str
) -> None:
    bad = witnesses[0]
    seen_by(log, witnesses)
    demand(log, witnesses, 2)
    with sequencing(log) as sequencer:
        bad.misbehave.always = reply
        log.queue(acme.release(1, "1.0.0"))
        sequencer.round()
        assert shown_size(log) == 6
        assert cosigners(log, *witnesses) == {"w2.example/a", "w3.example/a"}
    # And if it is one of the quorum, nothing is shown, and it is said why.
    demand(log, witnesses, 3)
    bad.misbehave.always = None
    with sequencing(log) as sequencer:
        bad.misbehave.always = reply
        log.queue(acme.release(1, "2.0.0"))
        with pytest.raises(QuorumError):
            sequencer.round()
    assert shown_size(log) == 6
    assert words in standing(log, bad).problem
    assert standing(log, bad).alarm == ("ours does not continue" in words)


def test_a_cosignature_that_does_not_verify_is_none(
    log: Log, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses[:1])
    witnesses[0].misbehave.spoil = True
    before = shown(log)
    with pytest.raises(QuorumError, match=r"no line of w1\.example/a"), sequencing(log):
        pass
    assert shown(log) == before


def test_a_redirect_is_not_followed(log: Log, witnesses: list[PlainWitness]) -> None:
    first, second, _ = witnesses
    demand(log, [first])
    first.misbehave.redirect = f"{second.url}/add-checkpoint"
    with pytest.raises(QuorumError, match="redirect"), sequencing(log):
        pass
    assert second.asked == []


def test_only_what_the_log_itself_signed_is_sent(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses, 3)
    with sequencing(log, LONG) as sequencer:
        log.queue(acme.release())
        sequencer.round()
    # Again, now that /checkpoint has three lines more.
    with sequencing(log, LONG):
        pass
    with log.snapshot() as snapshot:
        notes = {row.note for row in snapshot.checkpoints()}
    for one in witnesses:
        sent = {asked.note for asked in requests(one)}
        assert sent <= notes
        assert all(len(UnverifiedNote.parse(note).lines) == 1 for note in sent)


def test_who_says_how_far_it_is_is_asked_from_there(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses[:1])
    with sequencing(log, LONG):
        pass
    # It had not seen the log; nothing is proven from an empty tree.
    assert [(one.old, len(one.proof)) for one in requests(witnesses[0])] == [
        (4, 0),
        (0, 0),
    ]
    demand(log, witnesses[1:2])
    log.queue(acme.release())
    with sequencing(log, LONG) as sequencer:
        sequencer.round()
    # The first one comes back: it stayed where it was.
    demand(log, witnesses[:1])
    with sequencing(log, LONG):
        assert shown_size(log) == 6
    first, second = requests(witnesses[0])[2:]
    assert (first.old, first.proof) == (6, ())
    assert second.old == 4
    assert second.proof


def test_a_409_is_answered_three_times_and_then_later(
    log: Log, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses[:1])
    witnesses[0].misbehave.always = at(3)
    with (
        pytest.raises(QuorumError, match="409 again and again, at last 3"),
        sequencing(log, Patience(0.3)),
    ):
        pass
    assert len(witnesses[0].posts()) == 4


def test_who_asks_for_patience_gets_it(
    log: Log, witnesses: list[PlainWitness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    demand(log, witnesses[:2], 2)
    witnesses[0].misbehave.always = Reply(429, headers={"Retry-After": "60"})
    witnesses[1].misbehave.always = Reply(429)
    with pytest.raises(QuorumError), sequencing(log):
        pass
    assert len(witnesses[0].posts()) == 1
    assert len(witnesses[1].posts()) > 1


# --- what must never happen ----------------------------------------------------------


def test_a_witness_that_is_ahead_stops_everything(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    seen_by(log, witnesses)
    demand(log, witnesses, 2)
    with sequencing(log, LONG) as sequencer:
        before, asked = shown(log), len(witnesses[0].posts())
        for one in witnesses[:2]:
            ahead(log, one)
        log.queue(acme.release())
        with pytest.raises(ContradictedError) as caught:
            sequencer.round()
    assert caught.value.exit_code == 4
    for words in ("is at 1000 leaves, log.db at 6", "fork", "newest log.db"):
        assert words in str(caught.value)
    assert len(witnesses[0].posts()) <= asked + 1, "no retry"
    assert shown(log) == before


def test_it_stops_even_if_it_says_so_after_a_quorum_has_cosigned(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    late, *others = witnesses
    demand(log, witnesses, 2)
    ahead(log, late)
    late.misbehave.slow = 60
    with sequencing(log, LONG) as sequencer:
        assert cosigners(log, *others) == {"w2.example/a", "w3.example/a"}
        late.release.set()
        until(late.posts)
        time.sleep(0.1)
        log.queue(acme.release())
        with pytest.raises(ContradictedError, match="1000 leaves"):
            sequencer.round()
    assert committed_size(log) == 4, "nothing new was signed"


def test_a_restored_backup_signs_nothing(
    log: Log, acme: Party, witnesses: list[PlainWitness], tmp_path: Path
) -> None:
    demand(log, witnesses[:1])
    with sequencing(log, LONG):
        pass
    backup = tmp_path / "backup"
    shutil.copytree(
        log.config.directory, backup, ignore=lambda *_: {"wake", "lock", "run"}
    )
    log.queue(acme.release())
    with sequencing(log, LONG) as sequencer:
        sequencer.round()
    # The whole folder comes back, so that nothing on this disk tells.
    old = dataclasses.replace(log.config, directory=backup)
    restored = Log(old, log.new, log.clock, log.registrar)
    (backup / "run").mkdir()
    restored.queue(acme.release(1, "6.6.6"))
    with (
        pytest.raises(ContradictedError, match=r"is at 6 leaves, log\.db at 4"),
        sequencing(restored, LONG),
    ):
        pass
    assert committed_size(restored) == 4


def test_another_tree_of_the_same_size_stops_the_start(
    log: Log, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses[:1])
    witnesses[0].latest[log.config.origin] = Latest(4, bytes(32), b"")
    with (
        pytest.raises(ContradictedError, match="holds another root of 4 leaves"),
        sequencing(log, LONG),
    ):
        pass
    assert len(witnesses[0].posts()) == 1


def test_another_history_is_an_alarm_until_it_cosigns_again(
    log: Log,
    acme: Party,
    witnesses: list[PlainWitness],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "_TELL", 0.01)
    seen_by(log, witnesses)
    told: list[tuple[bool, int]] = []

    def waiting() -> None:
        one = standing(log, witnesses[0])
        told.append((one.alarm, one.alarms))

    with sequencing(log, dataclasses.replace(LONG, waiting=waiting)) as sequencer:
        witnesses[0].misbehave.replies = [Reply(422), Reply(409)]
        log.queue(acme.release())
        sequencer.round()
    assert shown_size(log) == 6
    assert (True, 2) in told
    found = standing(log, witnesses[0])
    assert (found.alarm, found.alarms, found.problem) == (False, 2, "")
    assert capsys.readouterr().err.count("ALARM: witness w1.example/a") == 1


def test_one_key_may_not_cosign_for_the_log_and_beside_it(log: Log) -> None:
    own = VerifierKey.parse(log.new.vkey)
    assert own.kind == ED25519
    with PlainWitness("w1.example/a", [log.new.vkey]) as witness:
        twin = VerifierKey("w1.example/a", 4, own.public)
        witness.vkey = str(twin)
        demand(log, [witness])
        with pytest.raises(UsageError, match="the log's own key"), sequencing(log):
            pass


class Stopped(Exception):  # noqa: N818 - not an error: the end of a process
    """The process was killed here."""


@pytest.mark.parametrize(
    "point", ["committed", "tiles-written", "cosigned", "published"]
)
def test_a_crash_at_any_step_is_the_same_checkpoint_to_the_witnesses(
    log: Log, acme: Party, witnesses: list[PlainWitness], point: str
) -> None:
    def stop(name: str) -> None:
        if name == point:
            raise Stopped

    demand(log, witnesses, 3)
    log.queue(acme.release())
    with pytest.raises(Stopped), sequencing(log, LONG, stop) as sequencer:
        sequencer.round()
    with log.snapshot() as snapshot:
        row = snapshot.checkpoint()
        assert row is not None
    # Nothing else is ever asked for at this size, whoever has cosigned it before.
    with sequencing(log, LONG) as sequencer:
        assert shown(log).startswith(row.note)
        assert len(cosigners(log, *witnesses)) == 3
        log.queue(acme.release(1, "2.0.0"))
        sequencer.round()
    for one in witnesses:
        assert all(asked.status in {200, 409} for asked in one.posts())
        assert one.latest[log.config.origin].size == 8
    assert check(log.config).wrong == []


# --- waiting -------------------------------------------------------------------------


def test_whoever_is_to_end_does_not_wait(
    log: Log, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses[:1])
    witnesses[0].misbehave.slow = 60
    begun = time.monotonic()
    patience = Patience(60, ended=lambda: time.monotonic() > begun + 0.2)
    with pytest.raises(EndedError), sequencing(log, patience):
        pass
    assert time.monotonic() - begun < 2


def test_a_missing_quorum_is_told_and_said_and_its_end_too(
    log: Log,
    witnesses: list[PlainWitness],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(module, "_TELL", 0.0)
    monkeypatch.setattr(module, "_SAY", 0.0)
    demand(log, witnesses[:1])
    witnesses[0].misbehave.down = True
    began = log.clock.now
    told: list[Standings] = []

    def waiting() -> None:
        told.append(Standings.read(log.config.witnessing))
        log.clock.now = began + 7
        if any(one.problem for one in told[-1].members):
            witnesses[0].misbehave.down = False

    with sequencing(log, Patience(60, waiting=waiting)):
        assert shown_size(log) == 4
    assert told[-1].missing_since == began
    after = Standings.read(log.config.witnessing)
    assert (after.missing_since, after.missing_seconds) == (None, 7)
    assert after.members[0].problem == ""
    said = capsys.readouterr().err
    assert said.count("a quorum is missing, asking again: 0 of 1 witnesses") == 1
    assert "a quorum has cosigned after 7 s" in said


def test_a_mistake_of_ours_is_not_taken_for_an_answer(
    log: Log, witnesses: list[PlainWitness], monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(*_: object) -> Answer:
        message = "a mistake"
        raise RuntimeError(message)

    monkeypatch.setattr(Exchange, "post", post)
    demand(log, witnesses[:1])
    with pytest.raises(RuntimeError, match="a mistake"), sequencing(log, LONG):
        pass


def test_commands_ask_as_well(
    log: Log, acme: Party, witnesses: list[PlainWitness]
) -> None:
    demand(log, witnesses, 3)
    log.accept(acme.release())
    assert len(cosigners(log, *witnesses)) == 3
    assert freeze_directly(log.config, log.clock) == 7
    assert len(cosigners(log, *witnesses)) == 3
    assert Checkpoint.parse(UnverifiedNote.parse(shown(log)).text).size == 7
