"""Check `log.memory`: what an earlier run saw (PROTOCOL.md section 4, Memory)."""

import pytest

from pcrlog.merkle import Proof, prove_prefix
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.verification import Memory, Report
from tests.support.memory_log import START, MemoryLog
from tests.support.scene import (
    DAY,
    Inputs,
    Scene,
    document,
    found,
    link,
    not_passed,
    status,
)


class History:
    """A log at three checkpoints; `inputs` are those of the one in the middle.

    The sizes are `first`, at least 7, and then two more each.
    """

    def __init__(
        self, version: str = "1.4.2", *, frozen: int | None = None, first: int = 7
    ) -> None:
        self.scene = Scene()
        self.scene.release(version)
        while len(self.scene.log.leaves) < first - 2:
            n = len(self.scene.log.leaves)
            self.scene.log.enroll(f"filler{n}.example", "auditor")
        self.notes: list[bytes] = []
        self.sizes: list[int] = []
        bundles: list[Inputs] = []
        for n in range(3):
            self.scene.log.enroll(f"n{n}.example", "auditor")
            self.scene.seal(frozen=n == frozen)
            bundles.append(self.scene.inputs())
            self.notes.append(self.scene.log.note)
            self.sizes.append(len(self.scene.log.leaves))
        self.inputs = bundles[1]

    def proof(self, other: int) -> Proof:
        """Between checkpoint `other` and the one in the middle."""
        first, second = sorted((self.sizes[other], self.sizes[1]))
        return prove_prefix(first, second, self.scene.log.node)


@pytest.fixture(scope="module")
def history() -> History:
    return History()


@pytest.fixture(scope="module")
def fork() -> History:
    """The same log to somebody else: as large, and not the same."""
    return History("6.6.6")


def verified(report: Report, expected: str) -> None:
    """The check came to this, and the verdict is none the worse."""
    assert status(report, "log.memory") == expected
    assert not_passed(report) == {}
    assert report.exit_code == 0


def forked(report: Report) -> None:
    assert not_passed(report)["log.memory"] == "fail"
    assert "two histories, a fork" in found(report, "log.memory")
    assert report.exit_code == 4
    # What a log says that shows two histories, nobody can be sure to have seen.
    assert link(report, 2) == "unchecked"


def test_without_memory_there_is_nothing_to_compare(history: History) -> None:
    verified(history.inputs.report(memory=None), "unchecked")


def test_the_same_checkpoint_is_one_history(history: History) -> None:
    verified(history.inputs.report(memory=Memory(history.notes[1])), "pass")


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
def test_another_size_is_one_history_if_that_is_proven(
    history: History, other: int
) -> None:
    memory = Memory(history.notes[other], history.proof(other))
    verified(history.inputs.report(memory=memory), "pass")


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
def test_another_size_without_proof_never_lowers_the_verdict(
    history: History, other: int
) -> None:
    report = history.inputs.report(memory=Memory(history.notes[other]))
    verified(report, "unchecked")
    assert "no proof between them" in found(report, "log.memory")


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
@pytest.mark.parametrize("how", ["empty", "short", "long", "wrong"])
def test_a_wrong_proof_says_nothing_about_the_log(
    history: History, other: int, how: str
) -> None:
    """It may be its sender's fault."""
    good = history.proof(other)
    proof: Proof = {
        "empty": (),
        "short": good[:-1],
        "long": (*good, bytes(32)),
        "wrong": (bytes(32), *good[1:]),
    }[how]
    memory = Memory(history.notes[other], proof)
    verified(history.inputs.report(memory=memory), "unchecked")


def test_the_same_size_and_another_root_is_a_fork(
    history: History, fork: History
) -> None:
    assert fork.sizes == history.sizes
    forked(history.inputs.report(memory=Memory(fork.notes[1])))
    # A proof cannot make one of two.
    forked(history.inputs.report(memory=Memory(fork.notes[1], ())))


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
def test_a_fork_of_another_size_is_proven_by_the_larger_tree(
    history: History, fork: History, other: int
) -> None:
    larger = history if other == 0 else fork
    memory = Memory(fork.notes[other], larger.proof(other))
    report = history.inputs.report(memory=memory)
    forked(report)
    assert "proven by the larger tree" in found(report, "log.memory")


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
def test_hashes_that_lead_to_the_smaller_root_alone_show_nothing(
    history: History, fork: History, other: int
) -> None:
    """Anybody can make such: the larger root is what vouches for them."""
    smaller = fork if other == 0 else history
    memory = Memory(fork.notes[other], smaller.proof(other))
    report = history.inputs.report(memory=memory)
    verified(report, "unchecked")
    assert "does not lead to the" in found(report, "log.memory")


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
def test_without_hashes_a_fork_of_another_size_is_not_shown(
    history: History, fork: History, other: int
) -> None:
    verified(history.inputs.report(memory=Memory(fork.notes[other])), "unchecked")


@pytest.mark.parametrize(
    ("first", "other"), [(8, 0), (14, 2)], ids=["remembered", "shown"]
)
def test_a_smaller_size_that_is_a_power_of_two_is_judged_alike(
    first: int, other: int
) -> None:
    """Where a plain consistency proof leaves the old root out."""
    history, fork = History(first=first), History("6.6.6", first=first)
    assert min(history.sizes[other], history.sizes[1]) in {8, 16}
    memory = Memory(history.notes[other], history.proof(other))
    verified(history.inputs.report(memory=memory), "pass")
    larger = history if other == 0 else fork
    hashes = larger.proof(other)
    forked(history.inputs.report(memory=Memory(fork.notes[other], hashes)))
    memory = Memory(fork.notes[other], hashes[1:])
    verified(history.inputs.report(memory=memory), "unchecked")


@pytest.mark.parametrize("other", [0, 2], ids=["smaller", "larger"])
def test_no_hashes_convict_an_honest_log(history: History, other: int) -> None:
    good = history.proof(other)
    for place, value in enumerate(good):
        for wrong in (bytes(32), value[::-1], value[1:], value + b"x", good[place - 1]):
            forged = (*good[:place], wrong, *good[place + 1 :])
            memory = Memory(history.notes[other], forged)
            verified(history.inputs.report(memory=memory), "unchecked")


def test_a_remembered_frozen_checkpoint_is_final(history: History) -> None:
    """A larger one is a fork, even if it extends it."""
    memory = Memory(history.notes[0], history.proof(0), frozen=True)
    forked(history.inputs.report(memory=memory))
    forked(history.inputs.report(memory=Memory(history.notes[0], frozen=True)))


def test_a_remembered_frozen_checkpoint_is_one_history_with_itself(
    history: History,
) -> None:
    memory = Memory(history.notes[1], frozen=True)
    verified(history.inputs.report(memory=memory), "pass")


def test_a_remembered_frozen_checkpoint_may_follow_what_is_shown(
    history: History,
) -> None:
    memory = Memory(history.notes[2], history.proof(2), frozen=True)
    verified(history.inputs.report(memory=memory), "pass")


def test_a_frozen_checkpoint_that_went_on_is_a_fork() -> None:
    """What is shown is the log's last leaf, but more was seen already."""
    history = History(frozen=1)
    policy = history.scene.policy(log={"frozen_until": "2036-01-01T00:00:00Z"})
    inputs = history.inputs
    verified(inputs.report(policy=policy, memory=Memory(history.notes[1])), "pass")
    memory = Memory(history.notes[2], history.proof(2))
    forked(inputs.report(policy=policy, memory=memory))


@pytest.mark.parametrize(
    "what", ["nonsense", "another log's", "not signed", "signed again"]
)
def test_a_memory_that_the_log_did_not_sign_is_of_no_use(
    history: History, what: str
) -> None:
    note = UnverifiedNote.parse(history.notes[1])
    other = Scene(MemoryLog("second.example/log"))
    thief = NoteSigner(history.scene.log.origin, bytes(32))
    notes = {
        "nonsense": b"nonsense",
        "another log's": other.seal(),
        "not signed": bytes(UnverifiedNote(note.text, note.lines[1:])),
        "signed again": bytes(thief.sign(note.text)),
    }
    report = history.inputs.report(memory=Memory(notes[what]))
    verified(report, "unchecked")
    assert "memory is not usable" in found(report, "log.memory")


def test_an_older_bundle_is_stale_whatever_is_remembered(history: History) -> None:
    now = START + 2 * DAY
    report = history.inputs.report(
        memory=Memory(history.notes[2], history.proof(2)),
        now=now,
        attestation=document(time=now),
    )
    assert status(report, "log.memory") == "pass"
    assert status(report, "log.freshness") == "unchecked"
    assert report.exit_code == 3


def test_a_fork_refutes_even_where_the_rest_could_not_be_checked(
    history: History, fork: History
) -> None:
    now = START + 2 * DAY
    report = history.inputs.report(
        memory=Memory(fork.notes[1]), now=now, attestation=document(time=now)
    )
    assert status(report, "log.freshness") == "unchecked"
    forked(report)
