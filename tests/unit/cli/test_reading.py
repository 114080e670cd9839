"""`bundle`, `ready`, `lookup`, `identify`, `show`: what the log says, proven."""

import json

import pytest

from cli.logs import Believed, platform_of
from pcrlog.bundle import Bundle
from pcrlog.errors import UsageError
from tests.support.scene import GOOD, PRODUCT, document
from tests.unit.cli.world import World, problem, release_words

LOG = "--policy policy.toml"
PCR0 = f"aws-nitro/PCR0={GOOD['PCR0']}"
READY = f"ready {LOG} --product {PRODUCT} --measurements good.json"


@pytest.fixture
def index(world: World) -> int:
    found = world.scene.release()
    world.log.seal()
    return found


# --- bundle --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "registers_of", [f"--measurement {PCR0}", "--measurements good.json"]
)
def test_a_bundle_is_checked_and_written(
    world: World, index: int, registers_of: str
) -> None:
    words = f"bundle {LOG} --product {PRODUCT} {registers_of} -o w"
    ran = world.run(words, "--json")
    assert ran.status == 0, ran.err
    bundle = Bundle.parse((world.folder / "w").read_bytes())
    assert index in bundle.entries
    assert json.loads(ran.out)["entries"] == len(bundle.entries)
    assert world.run(words).status == 2
    assert world.run(words, "--force").status == 0


def test_a_bundle_that_is_stale_is_not_written(world: World, index: int) -> None:
    world.log.now += 2 * 86_400
    ran = world.run(f"bundle {LOG} --product {PRODUCT} --measurement {PCR0} -o w")
    assert ran.status == 3
    assert "log.freshness" in ran.err
    assert not (world.folder / "w").exists()


def test_a_bundle_of_another_log_is_not_written(world: World, index: int) -> None:
    world.log.signer = type(world.log.signer)("log.example/pcr", bytes(32))
    world.log.seal()
    ran = world.run(f"bundle {LOG} --product {PRODUCT} --measurement {PCR0} -o w")
    assert ran.status == 4
    assert "log.signature" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        f"bundle {LOG} --product {PRODUCT} -o w",
        f"bundle {LOG} --product {PRODUCT} --measurement PCR0=00 -o w",
        f"bundle {LOG} --product {PRODUCT} --measurement {PCR0} --pcr 0=00 -o w",
        f"bundle --log https://log.example/pcr --product {PRODUCT} -o w",
        f"bundle {LOG} --product other.example/x --measurement {PCR0} -o w",
    ],
    ids=range(5),
)
def test_a_bundle_is_of_something(world: World, words: str) -> None:
    assert world.run(words).status == 2


# --- ready ---------------------------------------------------------------------------


def test_what_is_released_is_ready(world: World, index: int) -> None:
    ran = world.run(READY, "--json")
    assert ran.status == 0, ran.err
    shown = json.loads(ran.out)
    assert (shown["ready"], shown["version"]) == (True, "1.4.2")


def test_what_is_missing_is_named_with_who_does_it(world: World, index: int) -> None:
    world.write_policy(product={"links": [1, 2, 3, 4]})
    ran = world.run(READY)
    assert ran.status == 4
    assert "missing, link 3" in ran.out
    assert "cosign --scope source-review" in ran.out


def test_what_nobody_released_is_not_ready(world: World) -> None:
    ran = world.run(READY, "--json")
    assert ran.status == 4
    shown = json.loads(ran.out)
    assert shown["missing"][0].startswith("link 2: the provider")


def test_what_was_revoked_is_not_ready(world: World, index: int) -> None:
    world.log.revoke("acme.example", "vulnerable", index)
    world.log.seal()
    ran = world.run(READY)
    assert ran.status == 4
    assert "release.valid" in ran.out


def test_ready_waits_until_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(_seconds: float) -> None:
        world.scene.release()
        world.log.seal()

    monkeypatch.setattr("cli.ready.time.sleep", publish)
    assert world.run(READY, "--wait 1h").status == 0


def test_ready_waits_for_a_log_that_is_down(
    world: World, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.lies["api/v1/bundle"] = lambda: problem(503, "unavailable", "Down", "")
    assert world.run(READY).status == 3
    monkeypatch.setattr("cli.ready.time.sleep", lambda _: world.lies.clear())
    assert world.run(READY, "--wait 1h").status == 0


def test_ready_asks_a_policy(world: World) -> None:
    words = READY.replace(LOG, "--log https://log.example/pcr")
    assert world.run(words).status == 2


# --- lookup, identify ----------------------------------------------------------------


@pytest.mark.parametrize("words", [f"--product {PRODUCT}", f"--measurement {PCR0}"])
def test_releases_are_listed_with_the_indexs_proof(
    world: World, index: int, words: str
) -> None:
    shown = json.loads(world.run(f"lookup {LOG} {words} --json").out)
    assert shown["indices"] == [index]
    assert shown["proven"] is True


def test_identities_are_listed(world: World) -> None:
    ran = world.run(f"lookup {LOG} --identity acme.example")
    assert "identity of acme.example" in ran.out


def test_that_there_is_nothing_is_proven_too(world: World) -> None:
    ran = world.run(f"lookup {LOG} --product {PRODUCT}")
    assert ran.status == 0
    assert "has no entry" in ran.out


def test_without_a_policy_nothing_is_proven(world: World, index: int) -> None:
    words = f"lookup --log https://log.example/pcr --product {PRODUCT}"
    assert json.loads(world.run(words, "--json").out)["proven"] is False
    assert "not checked" in world.run(words).out


def test_a_long_answer_comes_with_its_newest_entries(world: World, index: int) -> None:
    second = world.scene.release("1.4.3")
    world.log.seal()
    whole = world.log.assemble({KEY: world.log.answer(KEY)})
    entries = {second: whole.entries[second]}
    short = Bundle(whole.note, whole.seal, whole.seal_proof, whole.answers, entries)
    world.lies["api/v1/lookup"] = lambda: (200, short.encode())
    ran = world.run(f"lookup {LOG} --product {PRODUCT} --json")
    shown = json.loads(ran.out)
    assert shown["indices"] == [index, second]
    assert [one["index"] for one in shown["entries"]] == [second]
    assert "1 older" in world.run(f"lookup {LOG} --product {PRODUCT}").out


KEY = f"v1/product/{PRODUCT}"


def test_an_answer_that_leaves_something_out_is_refuted(
    world: World, index: int
) -> None:
    world.scene.release("1.4.3")
    world.log.seal()
    whole = world.log.assemble({KEY: world.log.answer(KEY)})
    answer = whole.answers[KEY]
    lie = {KEY: type(answer)(answer.indices[:1], answer.proof)}
    short = Bundle(whole.note, whole.seal, whole.seal_proof, lie, whole.entries)
    world.lies["api/v1/lookup"] = lambda: (200, short.encode())
    ran = world.run(f"lookup {LOG} --product {PRODUCT}")
    assert ran.status == 4
    assert "answers.proofs" in ran.err


@pytest.mark.parametrize(
    "words", ["", f"--product {PRODUCT} --identity acme.example", "--measurement PCR0"]
)
def test_a_lookup_is_of_one_thing(world: World, words: str) -> None:
    assert world.run(f"lookup {LOG} {words}").status == 2


def test_a_document_is_called_what_was_released(world: World, index: int) -> None:
    world.write("doc", document(time=world.log.now))
    ran = world.run(f"identify doc {LOG}")
    assert ran.status == 0
    assert f"release {PRODUCT} 1.4.2" in ran.out
    assert "VERIFIED" not in ran.out


def test_a_debug_document_is_called_one(world: World) -> None:
    world.write("doc", document(time=world.log.now, debug=True))
    ran = world.run(f"identify doc {LOG}")
    assert "debug mode" in ran.err


def test_a_document_of_another_root_is_refuted(world: World) -> None:
    world.write("doc", document(time=world.log.now))
    ran = world.run("identify doc --log https://log.example/pcr")
    assert ran.status == 4


# --- show ----------------------------------------------------------------------------


def test_an_entry_is_shown_in_full_and_proven(world: World, index: int) -> None:
    ran = world.run(f"show {index} {LOG} --json")
    assert ran.status == 0
    shown = json.loads(ran.out)
    assert shown["predicate"]["version"] == "1.4.2"
    assert (shown["proven"], shown["registers"]) == (True, GOOD)
    assert "against" not in shown


def test_what_is_said_against_a_release_is_shown(world: World, index: int) -> None:
    world.log.revoke("acme.example", "withdrawn", index)
    world.log.seal()
    ran = world.run(f"show {index} {LOG}")
    assert "no longer stands" in ran.out
    assert "withdrawn" in ran.out


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_identities_are_shown(world: World, index: int) -> None:
    assert world.run(f"show {index} {LOG}").status == 0


def test_a_seal_is_shown(world: World) -> None:
    shown = json.loads(world.run(f"show 4 {LOG} --json").out)
    assert shown["count"] == 4


def test_an_entry_can_be_shown_unproven(world: World, index: int) -> None:
    ran = world.run(f"show {index} --log https://log.example/pcr")
    assert ran.status == 0
    assert "not checked" in ran.out
    assert world.run("show 99 --log https://log.example/pcr").status == 3


def test_an_audit_is_shown(world: World) -> None:
    index = world.scene.reproduce()
    world.log.seal()
    assert "reproduction pass by lab.example" in world.run(f"show {index} {LOG}").out


def test_a_file_is_shown_before_it_is_signed_and_after(world: World) -> None:
    world.run(release_words(), "--output r.json")
    assert "not signed yet" in world.run("show r.json").out
    world.run("sign r.json --key acme.key --output r.signed")
    assert "signed by" in world.run("show r.signed").out
    assert world.run("show good.json").status == 2


def test_an_entry_that_is_not_there_could_not_be_shown(world: World) -> None:
    assert world.run(f"show 99 {LOG}").status == 3


def test_what_is_malformed_is_told_of_the_log_that_took_it(world: World) -> None:
    index = world.log.append(b'{"payload":"AAAA"}', force=True)
    world.log.seal()
    ran = world.run(f"show {index} {LOG}")
    assert ran.status == 4
    assert "is in the log, and malformed" in ran.err


def test_registers_of_no_platform_are_none() -> None:
    with pytest.raises(UsageError):
        platform_of({"MEASUREMENT": "sha384:00"})


def test_a_log_without_a_policy_may_leave_a_rival_unanswered(
    world: World, index: int
) -> None:
    view = Believed(world.log.assemble({}))
    assert view.ask_if_there(KEY) == ()
