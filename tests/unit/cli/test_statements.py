"""Making, signing, submitting and waiting, one by one; and revoking."""

import json

import pytest

from pcrlog.envelope import Envelope
from pcrlog.predicates import Revocation
from tests.support.memory_log import active, key, registers
from tests.support.scene import PRODUCT
from tests.unit.cli.world import URL, World, problem, release_words

LOG = "--policy policy.toml"
SECOND = key("second")


def test_three_steps_on_three_machines_end_in_the_log(world: World) -> None:
    assert world.run(release_words(), "--output r.json").status == 0
    assert world.run("sign r.json --key acme.key --output r.signed").status == 0
    # The envelope, byte for byte: it can be sent as it is.
    Envelope.parse((world.folder / "r.signed").read_bytes())
    ran = world.run(f"submit r.signed {LOG} --json")
    assert ran.status == 0, ran.err
    shown = json.loads(ran.out)
    assert (shown["proven"], shown["known"]) == (True, False)
    assert world.last().sha256 == shown["sha256"]


def test_making_needs_no_key(world: World) -> None:
    words = release_words().replace("--key acme.key", "")
    assert world.run(words, "--output r.json").status == 0


def test_signing_submits_unless_told_to_stop(world: World) -> None:
    world.run(release_words(), "--output r.json")
    assert world.run(f"sign r.json --key acme.key {LOG}").status == 0
    assert world.last().predicate.issuer == "acme.example"


def test_nothing_is_overwritten(world: World) -> None:
    world.write("r.json", b"mine")
    ran = world.run(release_words(), "--output r.json")
    assert ran.status == 2
    assert "exists" in ran.err


@pytest.mark.parametrize(
    "words", ["sign good.json --key acme.key", f"submit good.json {LOG}"]
)
def test_what_is_no_statement_is_refused(world: World, words: str) -> None:
    assert world.run(words).status == 2


def test_a_statement_for_another_log_is_not_submitted(world: World) -> None:
    world.run(release_words(), "--output r.json")
    data = (world.folder / "r.json").read_bytes()
    world.write("o.json", data.replace(b'"log.example/pcr"', b'"log.example/abc"'))
    ran = world.run(f"sign o.json --key acme.key {LOG}")
    assert ran.status == 2
    assert "made for log.example/abc" in ran.err


def test_a_promise_is_waited_for(world: World) -> None:
    world.patient = True
    ran = world.run(release_words(), "--json")
    assert ran.status == 0
    assert json.loads(ran.out)["proven"] is True


def test_a_promise_can_be_waited_for_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.patient = True
    waiting = (200, b'{"state":"waiting"}')
    world.run(release_words(), "--output r.json")
    world.run("sign r.json --key acme.key --output r.signed")
    digest = "0" * 64
    monkeypatch.setattr("cli.speaking._PAUSE", 0)
    monkeypatch.setattr(world, "_submission", lambda _digest: waiting)
    ran = world.run(f"submit r.signed {LOG} --wait 0s --json")
    assert ran.status == 3
    digest = json.loads(ran.out)["envelope_sha256"]
    assert world.run(f"wait {digest} {LOG} --wait 0s").status == 3
    monkeypatch.undo()


def test_a_decision_that_came_is_shown(world: World) -> None:
    world.patient = True
    world.run(release_words(), "--json")
    [digest] = world.waiting
    ran = world.run(f"wait {digest} {LOG} --json")
    assert ran.status == 0
    assert json.loads(ran.out)["kind"] == f"release {PRODUCT} 1.4.2"


def test_a_decision_that_was_no_is_a_refusal(world: World) -> None:
    digest = "ab" * 32
    refused = b'{"problem":{"title":"No","type":"x"},"state":"refused"}'
    world.lies[f"api/v1/submissions/{digest}"] = lambda: (200, refused)
    ran = world.run(f"wait {digest} {LOG}")
    assert ran.status == 4
    assert "No" in ran.err


def test_an_unknown_submission_could_not_be_checked(world: World) -> None:
    assert world.run(f"wait {'ab' * 32} {LOG}").status == 3
    assert world.run(f"wait abc {LOG}").status == 2


def test_a_proof_that_does_not_hold_is_refuted(world: World) -> None:
    receipt = {"index": 3, "sha256": "", "size": 9, "proof": "nonsense"}

    def lie() -> tuple[int, bytes]:
        return 201, json.dumps({**receipt, "sha256": "ab" * 32}).encode()

    world.lies["api/v1/entries"] = lie
    ran = world.run(release_words())
    assert ran.status == 4
    assert "another statement" in ran.err


def test_a_log_that_is_down_could_not_be_asked(world: World) -> None:
    world.lies["api/v1/bundle"] = lambda: problem(503, "unavailable", "Down", "")
    ran = world.run(release_words())
    assert ran.status == 3
    assert "Down" in ran.err


# --- revoke --------------------------------------------------------------------------


def revoked(world: World) -> Revocation:
    predicate = world.last().predicate
    assert isinstance(predicate, Revocation)
    return predicate


@pytest.fixture
def index(world: World) -> int:
    found = world.log.release(PRODUCT, "1.4.2", registers("good"))
    world.log.seal()
    return found


def revoke(index: int, reason: str, more: str = "--key acme.key") -> str:
    return f"revoke {LOG} --reason {reason} {index} {more}"


@pytest.mark.parametrize("reason", ["compromised", "vulnerable"])
def test_some_reasons_hold_for_the_measurement(
    world: World, index: int, reason: str
) -> None:
    assert world.run(revoke(index, reason)).status == 0
    assert revoked(world).statement is None
    assert world.last().registers == registers("good")


@pytest.mark.parametrize("reason", ["withdrawn", "erroneous", "superseded"])
def test_the_others_hold_for_the_statement(
    world: World, index: int, reason: str
) -> None:
    ran = world.run(revoke(index, reason, "--key acme.key --effective 1d"))
    assert ran.status == 0
    assert revoked(world).statement == world.log.entries[index].sha256
    assert revoked(world).effective == "2026-11-24T07:00:00Z"


def test_the_registrar_can_take_trust_away(world: World, index: int) -> None:
    registrar = "--as registrar --key enrol.key"
    assert world.run(revoke(index, "compromised", registrar)).status == 0
    assert revoked(world).issuer == "registrar"
    assert world.run(revoke(index, "withdrawn", registrar)).status == 2


def test_an_auditor_takes_back_an_audit(world: World) -> None:
    index = world.scene.reproduce()
    world.log.seal()
    assert world.run(revoke(index, "vulnerable", "--key lab.key")).status == 2
    assert world.run(revoke(index, "erroneous", "--key lab.key")).status == 0


def test_revoking_again_changes_nothing(world: World, index: int) -> None:
    world.run(revoke(index, "vulnerable"))
    size = len(world.log.leaves)
    world.log.now += 60
    ran = world.run(revoke(index, "vulnerable"), "--json")
    assert json.loads(ran.out)["known"] is True
    assert len(world.log.leaves) == size


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("--key lab.key", 4),
        ("--key acme.key --effective 1d", 2),
        ("--key lab.key --as lab.example --reason withdrawn", 2),
    ],
    ids=["another's key", "at once", "another's statement"],
)
def test_nobody_revokes_what_they_may_not(
    world: World, index: int, words: str, status: int
) -> None:
    assert world.run(revoke(index, "vulnerable", words)).status == status


def test_only_releases_and_audits_can_be_revoked(world: World) -> None:
    assert world.run(revoke(0, "withdrawn")).status == 2
    seal = len(world.log.leaves) - 1
    assert world.run(revoke(seal, "withdrawn")).status == 3
    assert world.run(revoke(999, "withdrawn")).status == 3


def test_a_revocation_can_be_made_without_its_key(world: World, index: int) -> None:
    words = f"--output r.json --reference https://acme.example/a:{'ab' * 32}"
    assert world.run(revoke(index, "vulnerable", words)).status == 0
    shown = world.run("show r.json --json")
    assert json.loads(shown.out)["predicate"]["reference"]["sha256"] == "ab" * 32


def test_a_statement_in_another_envelope_is_known(world: World) -> None:
    world.write_key("second.key", SECOND)
    rows = active(key("acme.example"), SECOND)
    signers = [world.log.enrol, key("acme.example")]
    world.log.identify("acme.example", rows, signers, roles=["provider"])
    world.log.seal()
    world.run(release_words(), "--output r.json")
    world.run(f"sign r.json --key acme.key {LOG}")
    ran = world.run(f"sign r.json --key second.key {LOG} --json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["known"] is True


def lie_about_the_place(world: World, index: int) -> None:
    """Answer a submission with another entry's place and its true proof."""
    path = f"api/v1/entries/{index}/proof"
    proof = world.answer("GET", path, None)[1].decode()
    sha = world.log.entries[max(world.log.entries)].sha256

    def lie() -> tuple[int, bytes]:
        receipt = {"index": index, "sha256": sha, "size": 9, "proof": proof}
        return 201, json.dumps(receipt).encode()

    world.lies["api/v1/entries"] = lie


def test_the_proof_of_another_entry_proves_nothing(world: World) -> None:
    world.run(release_words(), "--output r.json")
    world.run("sign r.json --key acme.key --output r.signed")
    world.run(f"submit r.signed {LOG}")
    lie_about_the_place(world, 1)
    ran = world.run(f"submit r.signed {LOG}")
    assert ran.status == 4
    assert "another statement" in ran.err


def test_a_proof_is_of_the_index_that_was_told(world: World) -> None:
    world.run(release_words(), "--output r.json")
    world.run("sign r.json --key acme.key --output r.signed")
    world.run(f"submit r.signed {LOG}")
    lie_about_the_place(world, 1)
    told = world.lies["api/v1/entries"]
    world.lies["api/v1/entries"] = lambda: (
        201,
        told()[1].replace(b'"index": 1', b'"index": 2'),
    )
    ran = world.run(f"submit r.signed {LOG}")
    assert ran.status == 4
    assert "proof is of entry 1, not 2" in ran.err


def test_a_log_has_to_be_named(world: World) -> None:
    ran = world.run("show 1")
    assert ran.status == 2
    assert "which log" in ran.err


def test_a_log_that_does_not_answer_a_key_could_not_be_asked(world: World) -> None:
    empty = world.log.assemble({}).encode()
    world.lies["api/v1/bundle"] = lambda: (200, empty)
    words = release_words().replace(LOG, "--log https://log.example/pcr")
    assert world.run(words).status == 3
    assert world.run(release_words()).status == 3


def test_a_refusal_of_another_kind_is_passed_on(world: World) -> None:
    world.lies["api/v1/entries"] = lambda: problem(410, "frozen", "Frozen", "for good")
    ran = world.run(release_words())
    assert ran.status == 4
    assert "Frozen" in ran.err


def test_a_decision_is_asked_for_until_it_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.patient = True
    answers = iter([(200, b'{"state":"waiting"}')])
    decide = world._submission
    monkeypatch.setattr(
        world, "_submission", lambda digest: next(answers, None) or decide(digest)
    )
    monkeypatch.setattr("cli.speaking._PAUSE", 0)
    assert world.run(release_words()).status == 0


def test_a_duration_has_a_form(world: World) -> None:
    assert world.run(release_words(), "--wait soon").status == 2


# --- many ----------------------------------------------------------------------------


def signed(world: World, number: int) -> str:
    """So many signed releases, in files of their own; their names."""
    names = []
    for n in range(number):
        words = release_words().replace("1.4.2", f"1.4.{n}")
        assert world.run(words, f"--output r{n}.json").status == 0
        assert world.run(f"sign r{n}.json --key acme.key -o r{n}.signed").status == 0
        names.append(f"r{n}.signed")
    return " ".join(names)


def test_several_statements_are_handed_in_at_once(world: World) -> None:
    names = signed(world, 3)
    ran = world.run(f"submit {names} {LOG} --json")
    assert ran.status == 0, ran.err
    shown = json.loads(ran.out)
    assert shown["counts"] == {"published": 3}
    assert [one["source"] for one in shown["statements"]] == names.split()
    assert all(one["proven"] for one in shown["statements"])
    assert world.asked.count("POST api/v1/entries") == 1
    again = world.run(f"submit {names} {LOG}")
    assert again.status == 0
    assert "3 published" in again.out or "3 known" in again.out


def test_a_file_of_lines_is_a_batch_and_each_line_is_told(world: World) -> None:
    names = signed(world, 2).split()
    rows = [(world.folder / name).read_bytes() for name in names]
    world.write("all.ndjson", b"\n".join(rows) + b"\n")
    ran = world.run(f"submit all.ndjson --log {URL}")
    assert ran.status == 0, ran.err
    assert "(all.ndjson:1)" in ran.out
    assert "(all.ndjson:2)" in ran.out
    assert "not checked: no policy" in ran.out


def test_one_that_is_refused_is_told_beside_the_others(world: World) -> None:
    names = signed(world, 2)
    rogue = release_words().replace("1.4.2", "1.4.0").replace("good.json", "rogue.json")
    world.run(rogue, "--output x.json --conflict")
    world.run("sign x.json --key acme.key -o x.signed")
    ran = world.run(f"submit {names} x.signed {LOG} --json")
    assert ran.status == 4
    shown = json.loads(ran.out)
    assert shown["counts"] == {"published": 2, "refused": 1}
    assert "names other registers" in shown["statements"][2]["problem"]


def test_what_is_not_taken_can_be_handed_in_again(world: World) -> None:
    names = signed(world, 2)
    world.busy = 1
    ran = world.run(f"submit {names} {LOG}")
    assert ran.status == 3
    assert "not taken: " in ran.out
    assert "Run this again" in ran.out
    assert world.run(f"submit {names} {LOG}").status == 0


def test_promises_of_a_batch_are_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = signed(world, 2)
    world.patient = True
    ran = world.run(f"submit {names} {LOG} --json")
    assert json.loads(ran.out)["counts"] == {"published": 2}
    waiting = (200, b'{"state":"waiting"}')
    monkeypatch.setattr("cli.speaking._PAUSE", 0)
    monkeypatch.setattr(world, "_submission", lambda _digest: waiting)
    ran = world.run(f"submit {names} {LOG} --wait 0s --json")
    assert ran.status == 3
    assert json.loads(ran.out)["counts"] == {"waiting": 2}
    refused = (200, b'{"state":"refused","problem":{"title":"No","type":"x"}}')
    monkeypatch.setattr(world, "_submission", lambda _digest: refused)
    ran = world.run(f"submit {names} {LOG}")
    assert ran.status == 4
    assert "refused: " in ran.out


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"{}\nx"])
def test_a_file_of_lines_that_are_no_statements_is_refused(
    world: World, data: bytes
) -> None:
    world.write("all.ndjson", data)
    assert world.run(f"submit all.ndjson {LOG}").status == 2
    assert "POST api/v1/entries" not in world.asked
