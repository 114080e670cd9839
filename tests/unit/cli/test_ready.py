"""`ready --wait`: until it is, until the time is over, or until it never will be."""

import json

import pytest

from pcrlog.encoding import encode_json
from tests.support import machines
from tests.support.machines import SGX, TPM
from tests.support.scene import PRODUCT
from tests.unit.cli.world import URL, World, problem

READY = f"ready --policy policy.toml --product {PRODUCT} --measurements good.json"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which are not made."""
    pauses: list[float] = []
    monkeypatch.setattr("cli.ready.time.sleep", pauses.append)
    return pauses


def test_without_a_duration_it_waits_until_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def publish(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            world.scene.release()
            world.log.seal()

    monkeypatch.setattr("cli.ready.time.sleep", publish)
    ran = world.run(READY, "--wait --json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["ready"] is True
    assert pauses == [10, 10, 10]


@pytest.mark.parametrize("duration", ["1", "1s"])
def test_a_number_is_of_seconds_and_when_they_are_over_it_says_what_is_missing(
    world: World, duration: str, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 0.5, 0.6, 1.5, 1.6])
    monkeypatch.setattr("cli.ready.time.monotonic", lambda: next(moments))
    ran = world.run(READY, f"--wait {duration}")
    assert ran.status == 4
    assert "missing, link 2" in ran.out
    assert len(slept) == 1
    assert 0 < slept[0] <= 1


def test_a_log_that_stays_silent_could_not_be_asked(
    world: World, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.lies["api/v1/bundle"] = lambda: problem(503, "unavailable", "Down", "")
    moments = iter([0.0, 0.5, 0.5, 0.5, 1.5])
    monkeypatch.setattr("cli.ready.time.monotonic", lambda: next(moments))
    ran = world.run(READY, "--wait 1")
    assert ran.status == 3
    assert "Down" in ran.err


@pytest.mark.parametrize("reason", ["vulnerable", "compromised"])
def test_what_is_revoked_for_good_is_not_waited_for(
    world: World, slept: list[float], reason: str
) -> None:
    index = world.scene.release()
    world.log.revoke("acme.example", reason, index)
    world.log.seal()
    ran = world.run(READY, "--wait")
    assert ran.status == 4
    assert reason in ran.out
    assert not slept


def test_what_was_only_withdrawn_may_be_released_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = world.scene.release()
    world.log.revoke("acme.example", "withdrawn", index)
    world.log.seal()

    def again(_seconds: float) -> None:
        world.log.now += 1
        world.scene.release()
        world.log.seal()

    monkeypatch.setattr("cli.ready.time.sleep", again)
    assert world.run(READY, "--wait").status == 0


def test_a_log_that_falls_silent_then_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether waiting is in vain is asked of the log too."""
    index = world.scene.release()
    world.log.revoke("acme.example", "vulnerable", index)
    world.log.seal()
    answers = iter([False, True, True, True, False, False])
    honest = world.answer

    def once(method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        if "bundle" in path and next(answers):
            return problem(503, "down", "Down", "")
        return honest(method, path, body)

    monkeypatch.setattr(world, "answer", once)
    pauses: list[float] = []
    monkeypatch.setattr("cli.ready.time.sleep", pauses.append)
    assert world.run(READY, "--wait").status == 4
    assert pauses.count(10) == 1


@pytest.mark.parametrize("wait", ["soon", "-1", "1.5"])
def test_another_word_is_no_duration(world: World, wait: str) -> None:
    assert world.run(READY, f"--wait={wait}").status == 2


# --- machines of other makers ---------------------------------------------------------


@pytest.fixture
def mixed(world: World) -> World:
    """A policy for three platforms; no quote, and nothing of its maker."""
    waived = {"witnesses": "none", "index_monitors": "none"}
    text = world.scene.policy_text(
        log={"url": URL, **waived},
        platforms={SGX: machines.SGX_RULES, TPM: machines.TPM_RULES},
        product={"platforms": ["aws-nitro", SGX, TPM]},
    )
    world.write("policy.toml", text.encode())
    return world


@pytest.mark.parametrize(
    ("platform", "image"),
    [(SGX, machines.ENCLAVE), (TPM, machines.INSTANCE)],
)
def test_registers_are_enough_on_every_platform(
    mixed: World, platform: str, image: dict[str, str]
) -> None:
    mixed.write("image.json", encode_json(machines.hexes(image)))
    words = READY.replace("good.json", "image.json")
    assert mixed.run(words).status == 4
    numbers = machines.NUMBERS if platform == SGX else None
    index = mixed.scene.release(image=image, platform=platform, numbers=numbers)
    mixed.log.seal()
    ran = mixed.run(words, "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert (found["ready"], found["checks"]) == (True, [])
    mixed.log.revoke("acme.example", "vulnerable", index)
    mixed.log.seal()
    ran = mixed.run(words)
    assert ran.status == 4
    assert "document." not in ran.out
