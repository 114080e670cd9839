"""Questions go out side by side and come back with their answers, or with why not."""

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import pytest
from msgspec.structs import replace

from log_server.couriers import Courier
from pcrlog import limits
from pcrlog.errors import TransportError
from pcrlog.exchange import Answer, Exchange
from tests.support.plain_witness import PlainWitness, Reply

SECONDS = 10

Back = tuple[str, Answer | Exception]


@pytest.fixture
def back() -> "SimpleQueue[Back]":
    return SimpleQueue()


def courier(
    url: str, back: "SimpleQueue[Back]", timeout: float = SECONDS
) -> "Courier[str]":
    return Courier(url, timeout, lambda question, found: back.put((question, found)))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_answer_comes_back_with_its_question(back: "SimpleQueue[Back]") -> None:
    with PlainWitness("w1.example/a") as witness:
        witness.misbehave.always = Reply(429, b"no", {"Retry-After": "3"})
        one = courier(witness.url, back)
        one.send("first", b"a body")
        question, answer = back.get(timeout=SECONDS)
        assert question == "first"
        assert isinstance(answer, Answer)
        assert replace(answer, headers={}) == Answer(429, "", 3, b"no")
        one.send("second", b"")
        assert back.get(timeout=SECONDS)[0] == "second"
        one.close()
    asked = [(ask.method, ask.path, ask.body) for ask in witness.asked]
    assert asked[0] == ("POST", "/w/add-checkpoint", b"a body")


def test_a_slow_witness_holds_up_nobody_else(back: "SimpleQueue[Back]") -> None:
    with PlainWitness("w1.example/a") as slow, PlainWitness("w2.example/b") as fast:
        slow.misbehave.slow = SECONDS
        fast.misbehave.always = slow.misbehave.always = Reply(404)
        couriers = [courier(slow.url, back), courier(fast.url, back)]
        for one, name in zip(couriers, ("slow", "fast"), strict=True):
            one.send(name, b"")
        assert back.get(timeout=SECONDS)[0] == "fast"
        with pytest.raises(Empty):
            back.get_nowait()
        slow.release.set()
        assert back.get(timeout=SECONDS)[0] == "slow"
        for one in couriers:
            one.close()


def test_who_does_not_answer_in_time_has_not_answered(
    back: "SimpleQueue[Back]",
) -> None:
    with PlainWitness("w1.example/a") as witness:
        witness.misbehave.slow = SECONDS
        one = courier(witness.url, back, timeout=0.1)
        one.send("asked", b"")
        _, found = back.get(timeout=SECONDS)
        assert isinstance(found, TransportError)
        one.close()


def test_more_than_a_note_is_no_answer(back: "SimpleQueue[Back]") -> None:
    with PlainWitness("w1.example/a") as witness:
        one = courier(witness.url, back)
        for more, kind in ((0, Answer), (1, TransportError)):
            witness.misbehave.always = Reply(200, b"x" * (limits.NOTE + more))
            one.send("asked", b"")
            assert isinstance(back.get(timeout=SECONDS)[1], kind)
        one.close()


def test_a_mistake_of_ours_comes_back_as_well(
    back: "SimpleQueue[Back]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(*_: object) -> Answer:
        message = "a mistake"
        raise RuntimeError(message)

    monkeypatch.setattr(Exchange, "post", post)
    one = courier("http://127.0.0.1:1", back)
    one.send("asked", b"")
    _, found = back.get(timeout=SECONDS)
    assert isinstance(found, RuntimeError)
    one.close()


def test_a_courier_ends_when_it_is_let_go(back: "SimpleQueue[Back]") -> None:
    one = courier("http://127.0.0.1:1", back)
    assert one._thread.daemon, "the end of the process waits for nobody"
    one.close()
    until(lambda: not one._thread.is_alive())
