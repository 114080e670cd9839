"""`pcrlog-monitor light`: who spoke in our name, from proven answers alone."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from monitor import clock
from monitor.light import bare
from monitor.light_command import light_command
from monitor.light_task import parse_known
from pcrlog.bundle import Answer, Bundle
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.envelope import Envelope, sign_envelope
from pcrlog.errors import MalformedError, TransportError, UncheckedError, UsageError
from pcrlog.evidence import verify_evidence
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import encode_bundle
from tests.support.log_simulator import LogSimulator, Reply, refused
from tests.support.memory_log import MemoryLog, active, key, registers, witness
from tests.unit.monitor.viewed import PRODUCT, log_of

NAME = "acme.example"
W1 = witness("w1.example")


@dataclass
class Looking:
    """Looks at the log of `simulator`; what is remembered is a file."""

    folder: Path
    simulator: LogSimulator
    witnesses: str = '"none"'
    names: tuple[str, ...] = (NAME,)
    options: tuple[str, ...] = ()
    printed: str = ""
    alerts: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> MemoryLog:
        return self.simulator.log

    @property
    def state(self) -> Path:
        return self.folder / "checkpoint.txt"

    def run(self, *options: str) -> int:
        policy = self.log.policy("platforms = {}", witnesses=self.witnesses)
        policy = policy.replace(f"https://{self.log.origin}", self.simulator.url)
        (self.folder / "policy.toml").write_text(policy)
        words = ["--policy", str(self.folder / "policy.toml")]
        words += ["--state", str(self.state), *self.options, *options]
        for name in self.names:
            words += ["--identity", name]
        ran = CliRunner().invoke(light_command, words, standalone_mode=False)
        self.printed = ran.output
        if ran.exception is not None:
            raise ran.exception
        assert isinstance(ran.return_value, int)
        return ran.return_value

    def look(self, *options: str) -> int:
        status = self.run("--json", *options)
        self.shown = json.loads(self.printed)
        self.alerts = self.shown["alerts"]
        return status

    def kinds(self) -> list[object]:
        return [alert["kind"] for alert in self.alerts]

    def expect(self, *indices: int) -> None:
        """Put statements on the list of what is known."""
        rows = [f"{self.log.entries[i].sha256}  # {i}" for i in indices]
        path = self.folder / "expected"
        path.write_text("# ours\n\n" + "\n".join(rows) + "\n")
        self.options = ("--expected", str(path))


@pytest.fixture
def looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looking]:
    with LogSimulator(log_of()) as simulator:
        made = Looking(tmp_path, simulator)
        monkeypatch.setattr(clock, "clock", lambda: made.log.now)
        yield made


# --- what is said in one's name -------------------------------------------------------


def test_first_use_says_so_and_lists_all(looking: Looking) -> None:
    assert looking.run() == 0
    assert "First use" in looking.printed
    assert f"release of {PRODUCT} 1.4.2" in looking.printed
    assert "identity of acme.example" in looking.printed
    assert "index monitors" in looking.printed


def test_nothing_new_is_clean(looking: Looking) -> None:
    looking.look()
    assert looking.shown["first_use"]
    looking.log.enroll("other.example", "provider")
    looking.log.release("other.example/x", "1.0.0", registers("x"))
    looking.log.seal()
    assert looking.look() == 0
    assert looking.shown["statements"] == []
    assert not looking.shown["first_use"]
    assert looking.run() == 0
    assert "nothing new" in looking.printed


def test_a_new_statement_in_ones_name_is_told_once(looking: Looking) -> None:
    looking.look()
    index = looking.log.release(PRODUCT, "9.9.9", registers("rogue"))
    looking.log.seal()
    assert looking.look() == 4
    [alert] = looking.alerts
    assert (alert["kind"], alert["entries"]) == ("unexpected-statement", [index])
    assert f"{PRODUCT} 9.9.9" in str(alert["found"])
    assert looking.look() == 0


def test_every_kind_of_statement_is_told(looking: Looking) -> None:
    log = looking.log
    log.enroll("lab.example", "auditor")
    log.seal()
    looking.names = (NAME, "lab.example")
    looking.look()
    log.audit("lab.example", "source-review", {"commit": "gitCommit:" + "ab" * 20})
    log.revoke(NAME, "vulnerable", 2)
    log.revoke(NAME, "withdrawn", 2)
    log.seal()
    assert looking.look() == 4
    assert looking.kinds() == ["unexpected-statement"] * 3
    said = " ".join(str(alert["found"]) for alert in looking.alerts)
    assert "source-review audit: pass" in said
    assert "revocation of a measurement: vulnerable" in said
    assert "revocation of a statement: withdrawn" in said


def test_what_is_on_the_list_is_no_alert(looking: Looking) -> None:
    looking.expect(1, 2)
    assert looking.look() == 0
    index = looking.log.release(PRODUCT, "2.0.0", registers("two"))
    looking.log.seal()
    looking.expect(1, 2, index)
    assert looking.look() == 0
    assert [one["expected"] for one in looking.shown["statements"]] == [True]


def test_with_a_list_a_first_look_holds_everything_against_it(
    looking: Looking,
) -> None:
    looking.expect(1)
    assert looking.look() == 4
    assert looking.kinds() == ["unexpected-statement"]


def test_new_keys_are_told(looking: Looking) -> None:
    looking.look()
    log, more = looking.log, key("more")
    rows = active(key(NAME), more)
    log.identify(NAME, rows, [log.enrol, key(NAME)], roles=["provider"])
    log.seal()
    assert looking.look() == 4
    assert looking.kinds() == ["key-change"]
    assert f"added {more.public.keyid[:16]}" in str(looking.alerts[0]["found"])


def test_what_the_registrar_does_alone_is_told(looking: Looking) -> None:
    looking.look()
    log = looking.log
    log.identify(NAME, active(key(NAME), key("x")), [log.enrol], roles=["provider"])
    log.seal()
    assert looking.look() == 4
    assert looking.kinds() == ["key-change", "registrar-acted"]


def test_a_name_that_is_enrolled_later_is_a_key_change(looking: Looking) -> None:
    looking.names = ("new.example",)
    assert looking.look() == 0
    looking.log.enroll("new.example", "provider")
    looking.log.seal()
    assert looking.look() == 4
    assert looking.kinds() == ["key-change"]


def test_long_answers_are_read_from_the_tiles(looking: Looking) -> None:
    log = looking.log
    for number in range(5):
        log.release(PRODUCT, f"2.0.{number}", registers(f"build {number}"))
    log.seal()

    def twist(path: str, reply: Reply) -> Reply:
        if path != "api/v1/lookup":
            return reply
        true = Bundle.parse(reply.body)
        newest = {i: e for i, e in true.entries.items() if i >= len(log.leaves) - 3}
        return change(true, reply, entries=newest)

    looking.simulator.twist = twist
    assert looking.look() == 0
    assert len(looking.shown["statements"]) == 7
    log.revoke(NAME, "withdrawn", 2)
    log.seal()
    assert looking.look() == 4
    assert looking.kinds() == ["unexpected-statement"]


def newest_only(looking: Looking, lie: bytes | None = None) -> None:
    """Answers come without entries; the leaf at 2 is another one."""

    def twist(path: str, reply: Reply) -> Reply:
        if path == "api/v1/lookup":
            return change(Bundle.parse(reply.body), reply, entries={})
        if lie is not None and path.startswith("tile/entries/"):
            true = looking.log.leaves
            return Reply(200, encode_bundle([*true[:2], lie, *true[3:]]), reply.kind)
        return reply

    looking.simulator.twist = twist


def test_a_leaf_that_is_not_the_one_in_the_tree_is_told(looking: Looking) -> None:
    newest_only(looking, lie=looking.log.leaves[1])
    assert looking.look() == 4
    assert looking.kinds() == ["bad-tiles"]


def test_a_leaf_that_has_not_the_key_it_is_listed_under_is_told(
    looking: Looking,
) -> None:
    log = looking.log
    log.index[f"v1/issuer/{NAME}"] = [1, 2]
    log.seal()
    newest_only(looking)
    assert looking.look() == 4
    assert "has not the key" in looking.alerts[0]["found"]


def test_what_readers_pass_over_is_passed_over(looking: Looking) -> None:
    log = looking.log
    payload = Envelope.parse(log.leaves[2]).payload
    info = payload.replace(b"urn:pcrlog:release:v1", b"urn:pcrlog:info:v1")
    log.append(sign_envelope(info, [key(NAME)]), force=True)
    log.seal()
    looking.expect(1, 2)
    assert looking.look() == 0
    assert [one["index"] for one in looking.shown["statements"]] == [1, 2]


def test_a_statement_of_an_unknown_type_could_not_be_judged(looking: Looking) -> None:
    log = looking.log
    payload = Envelope.parse(log.leaves[2]).payload
    later = payload.replace(b"urn:pcrlog:release:v1", b"urn:pcrlog:release:v2")
    log.append(sign_envelope(later, [key(NAME)]), force=True)
    log.seal()
    with pytest.raises(UncheckedError):
        looking.look()
    newest_only(looking)
    with pytest.raises(UncheckedError):
        looking.look()


def test_a_log_that_grows_while_it_is_asked_loses_nothing(looking: Looking) -> None:
    looking.look()
    log = looking.log
    grown: list[int] = []

    def twist(path: str, reply: Reply) -> Reply:
        if path == "api/v1/lookup" and not grown:
            grown.append(log.release(PRODUCT, "3.0.0", registers("three")))
            log.seal()
        return reply

    looking.simulator.twist = twist
    looking.look()
    first = looking.kinds()
    looking.simulator.twist = None
    looking.look()
    assert first + looking.kinds() == ["unexpected-statement"]


# --- the state ------------------------------------------------------------------------


def test_the_state_is_the_checkpoint_as_the_log_signed_it(looking: Looking) -> None:
    looking.log.cosign(W1)
    looking.look()
    note = UnverifiedNote.parse(looking.state.read_bytes())
    assert open_checkpoint(note, looking.log.signer.public).size == 4
    assert len(note.lines) == 1
    before = looking.state.stat()
    looking.log.now += 60
    looking.log.cosign(W1)
    looking.look()
    assert looking.state.stat() == before


def test_the_state_moves_on_after_alerts(looking: Looking) -> None:
    looking.look()
    before = looking.state.read_bytes()
    looking.log.release(PRODUCT, "9.9.9", registers("rogue"))
    looking.log.seal()
    looking.look()
    assert looking.state.read_bytes() != before
    assert list(looking.folder.glob(".checkpoint*")) == []


def test_a_state_that_cannot_be_written_is_wrong_usage(looking: Looking) -> None:
    looking.state.parent.joinpath("file").write_text("")
    words = ["--state", str(looking.folder / "file" / "checkpoint.txt")]
    with pytest.raises(UsageError, match="cannot remember"):
        looking.run(*words)


def test_alerts_say_why_and_what_to_do(looking: Looking) -> None:
    looking.expect(1)
    assert looking.run() == 4
    assert "ALARM unexpected-statement: acme.example" in looking.printed
    assert "What to do: if nobody of yours did it" in looking.printed


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff" * 70_000])
def test_a_state_that_was_changed_is_wrong_usage(looking: Looking, data: bytes) -> None:
    looking.state.write_bytes(data)
    with pytest.raises(UsageError):
        looking.look()


def test_the_state_of_another_log_is_wrong_usage(looking: Looking) -> None:
    other = MemoryLog(origin="other.example/pcr")
    looking.state.write_bytes(other.seal())
    with pytest.raises(UsageError, match="another log"):
        looking.look()


# --- a log that lies ------------------------------------------------------------------


def evidence_in(folder: Path, name: object, log: MemoryLog) -> str:
    data = (folder / str(name)).read_bytes()
    return verify_evidence(data, log.signer.public).kind


@pytest.mark.parametrize("seals", [1, 9])
def test_another_history_is_a_fork_with_evidence_beside_the_state(
    looking: Looking, seals: int
) -> None:
    looking.look()
    before = looking.state.read_bytes()
    looking.simulator.log = log_of("evil", seals=seals)
    assert looking.look() == 4
    [alert] = looking.alerts
    assert alert["kind"] == "fork"
    assert evidence_in(looking.folder, alert["evidence"], looking.log) == "checkpoints"
    assert looking.state.read_bytes() == before
    assert looking.look() == 4


def test_a_fork_that_nobody_cosigned_is_a_fork_all_the_same(looking: Looking) -> None:
    looking.witnesses = f'{{ quorum = 1, keys = ["{W1.public}"] }}'
    looking.log.cosign(W1)
    looking.look()
    looking.simulator.log = log_of("evil", seals=9)
    assert looking.look() == 4
    assert looking.kinds() == ["fork"]


def test_answers_of_another_history_are_a_fork(looking: Looking) -> None:
    other = log_of("evil")

    def twist(path: str, reply: Reply) -> Reply:
        if path != "api/v1/lookup":
            return reply
        name = f"v1/identity/{NAME}"
        made = other.assemble({name: other.answer(name)})
        return Reply(200, made.encode(), reply.kind)

    looking.names = ()
    looking.options = ("--identity", NAME)
    looking.simulator.twist = twist
    with pytest.raises(UncheckedError):
        looking.look()
    looking.simulator.twist = lambda path, reply: elsewhere(other, path, reply)
    assert looking.look() == 4
    assert looking.kinds() == ["fork"]
    assert not looking.state.exists()


def elsewhere(other: MemoryLog, path: str, reply: Reply) -> Reply:
    """The same answers, of another history."""
    if path != "api/v1/lookup":
        return reply
    names = list(Bundle.parse(reply.body).answers)
    made = other.assemble({name: other.answer(name) for name in names})
    return Reply(200, made.encode(), reply.kind)


def test_a_smaller_tree_than_before_is_a_rollback(looking: Looking) -> None:
    looking.log.seal()
    looking.look()
    before = looking.state.read_bytes()
    looking.simulator.log = log_of()
    looking.simulator.other = None
    shown = looking.log.note
    looking.simulator.log = log_of(seals=2)
    looking.log.note = shown
    assert looking.look() == 4
    assert looking.kinds() == ["rollback"]
    assert looking.state.read_bytes() == before


def test_a_log_that_forgot_its_newest_leaves_could_not_be_looked_at(
    looking: Looking,
) -> None:
    looking.log.seal()
    looking.look()
    looking.simulator.log = log_of()
    with pytest.raises(TransportError):
        looking.look()


def change(true: Bundle, reply: Reply, **members: object) -> Reply:
    parts = {
        "note": true.note,
        "seal": true.seal,
        "seal_proof": true.seal_proof,
        "answers": true.answers,
        "entries": true.entries,
        **members,
    }
    return Reply(200, Bundle(**parts).encode(), reply.kind)  # type: ignore[arg-type] # a dict of members


def with_one_more(true: Bundle, reply: Reply) -> Reply:
    [(name, answer)] = true.answers.items()
    longer = {name: Answer((*answer.indices, 99), answer.proof)}
    return change(true, reply, answers=longer)


def with_an_older_proof(log: MemoryLog) -> Callable[[Bundle, Reply], Reply]:
    name = f"v1/issuer/{NAME}"
    old = log.answer(name)

    def lie(true: Bundle, reply: Reply) -> Reply:
        if name not in true.answers:
            return change(true, reply)
        return change(true, reply, answers={name: old})

    return lie


def test_a_hidden_statement_does_not_pass(looking: Looking) -> None:
    looking.look()
    before = looking.state.read_bytes()
    lie = with_an_older_proof(looking.log)
    looking.log.release(PRODUCT, "9.9.9", registers("rogue"))
    looking.log.seal()
    looking.simulator.twist = lambda path, reply: lying(lie, path, reply)
    assert looking.look() == 4
    assert looking.kinds() == ["bad-tiles"]
    assert looking.alerts[0]["about"] == f"v1/issuer/{NAME}"
    assert looking.state.read_bytes() == before


def lying(lie: Callable[[Bundle, Reply], Reply], path: str, reply: Reply) -> Reply:
    if path != "api/v1/lookup":
        return reply
    return lie(Bundle.parse(reply.body), reply)


def with_another_key(true: Bundle, reply: Reply) -> Reply:
    [answer] = true.answers.values()
    return change(true, reply, answers={"v1/issuer/else.example": answer})


def that_is_garbage(_true: Bundle, reply: Reply) -> Reply:
    return Reply(200, b"{}", reply.kind)


def with_a_forged_note(true: Bundle, reply: Reply) -> Reply:
    return change(true, reply, note=true.note.replace(b"\n4\n", b"\n5\n"))


@pytest.mark.parametrize("lie", [with_one_more, that_is_garbage, with_a_forged_note])
def test_an_answer_that_does_not_hold_is_told(
    looking: Looking, lie: Callable[[Bundle, Reply], Reply]
) -> None:
    looking.simulator.twist = lambda path, reply: lying(lie, path, reply)
    assert looking.look() == 4
    assert looking.kinds() == ["bad-tiles"]
    assert not looking.state.exists()


def test_an_answer_to_another_question_could_not_be_used(looking: Looking) -> None:
    looking.simulator.twist = lambda path, reply: lying(with_another_key, path, reply)
    with pytest.raises(UncheckedError):
        looking.look()


def test_a_checkpoint_that_the_log_did_not_sign_is_told(looking: Looking) -> None:
    def twist(path: str, reply: Reply) -> Reply:
        return Reply(200, b"garbage", reply.kind) if path == "checkpoint" else reply

    looking.simulator.twist = twist
    assert looking.look() == 4
    assert looking.kinds() == ["bad-signature"]


def test_a_statement_that_nobody_may_make_is_told_again_and_again(
    looking: Looking,
) -> None:
    looking.look()
    looking.log.release(PRODUCT, "6.6.6", registers("x"), by=key("thief"), force=True)
    looking.log.seal()
    for _ in range(2):
        assert looking.look() == 4
        assert looking.kinds() == ["unauthorised-entry"]


def test_a_statement_that_is_there_twice_is_told(looking: Looking) -> None:
    looking.look()
    looking.log.append(looking.log.leaves[2], force=True)
    looking.log.release(PRODUCT, "7.0.0", registers("seven"))
    looking.log.append(looking.log.leaves[-1], force=True)
    looking.log.seal()
    assert looking.look() == 4
    assert "bad-entry" in looking.kinds()


def test_another_registrar_than_the_policys_is_told(looking: Looking) -> None:
    looking.look()
    looking.log.root = key("another")  # the one that the policy pins
    assert looking.look() == 4
    assert looking.kinds() == ["unauthorised-entry"]


# --- what could not be looked at ------------------------------------------------------


def test_a_stale_log_could_not_be_looked_at(looking: Looking) -> None:
    looking.log.now += 2 * 86_400
    with pytest.raises(UncheckedError, match="freshness"):
        looking.look()
    assert not looking.state.exists()


def test_without_its_quorum_it_could_not_be_looked_at(looking: Looking) -> None:
    looking.witnesses = f'{{ quorum = 1, keys = ["{W1.public}"] }}'
    with pytest.raises(UncheckedError, match="witnesses"):
        looking.look()


@pytest.mark.parametrize("status", [400, 403, 404, 500])
@pytest.mark.parametrize("what", ["lookup", "checkpoint", "tile"])
def test_a_log_that_does_not_answer_could_not_be_looked_at(
    looking: Looking, status: int, what: str
) -> None:
    looking.look()
    looking.log.seal()

    def twist(path: str, reply: Reply) -> Reply:
        return refused(status, "no", "no") if what in path else reply

    looking.simulator.twist = twist
    with pytest.raises(UncheckedError):
        looking.look()


# --- options --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--policy policy.toml --config monitor.toml",
        "--policy policy.toml --identity acme.example",
        "--policy policy.toml --state s",
        "--policy policy.toml --state s --identity UPPER",
        "--policy policy.toml --state s --identity registrar",
        "--policy policy.toml --state s --log no.example/x --identity acme.example",
        "--policy policy.toml --state s --identity acme.example --expected list",
        "--policy policy.toml --state s --identity acme.example --expected no-list",
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    looking.look()
    (looking.folder / "list").write_text("not a hash\n")
    monkeypatch.chdir(looking.folder)
    ran = CliRunner().invoke(light_command, words.split(), standalone_mode=False)
    assert isinstance(ran.exception, UsageError)


def test_a_monitors_configuration_will_do(looking: Looking) -> None:
    looking.look()
    size = len(looking.log.leaves)
    wrong = Checkpoint(looking.log.origin, size - 1, bytes(32))
    rows = [
        'format = "pcrlog-monitor/v1"\npolicy = "policy.toml"\nstate = "state"',
        f'first = "{size} {looking.state.read_text().splitlines()[2]}"',
        f'[watch]\nidentities = ["{NAME}"]\nstatements = []',
    ]
    path = looking.folder / "monitor.toml"
    path.write_text("\n".join(rows) + "\n")
    words = ["--config", str(path), "--json"]
    ran = CliRunner().invoke(light_command, words, standalone_mode=False)
    assert ran.return_value == 4
    [alert] = json.loads(ran.output)["alerts"]
    assert alert["kind"] == "unexpected-statement"
    assert (looking.folder / "state" / "light.checkpoint").is_file()
    (looking.folder / "state" / "light.checkpoint").unlink()
    pinned = wrong.text().splitlines()
    path.write_text(
        "\n".join(rows).replace(rows[1], f'first = "{" ".join(pinned[1:])}"')
    )
    ran = CliRunner().invoke(light_command, words, standalone_mode=False)
    [alert] = json.loads(ran.output)["alerts"]
    assert (alert["kind"], alert["evidence"]) == ("fork", None)


def test_a_list_has_hashes_and_remarks() -> None:
    assert parse_known(b"") == frozenset()
    with pytest.raises(MalformedError):
        parse_known(b"AB" * 32)


def test_a_bare_note_has_the_logs_line_alone() -> None:
    log = log_of()
    alone = log.note
    assert bare(log.cosign(W1), log.signer.public) == alone


@pytest.mark.e2e
def test_a_look_takes_less_than_two_seconds(looking: Looking) -> None:
    """Of a processor: how busy the machine is besides is not ours to bound."""
    for number in range(20):
        looking.log.release(PRODUCT, f"2.0.{number}", registers(f"build {number}"))
    looking.log.now = int(time.time())
    looking.log.seal()
    looking.look()
    words = ["light", "--policy", str(looking.folder / "policy.toml")]
    words += ["--state", str(looking.state), "--identity", NAME]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "monitor", *words], check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert spent < 2
