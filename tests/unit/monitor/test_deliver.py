"""Delivery: every alert reaches every sink, in order, whatever happens in between."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from monitor.alerts import Alert
from monitor.config import Config
from monitor.deliver import Courier, Delivery, Pace, Retry
from monitor.ledger import Ledger, standings
from monitor.sinks import RefusedError, Sink
from monitor.state import State
from pcrlog.errors import UsageError
from tests.support.mail_server import MailServer
from tests.support.webhook import Receiver
from tests.unit.monitor.delivering import (
    LOG,
    NOW,
    Dutiful,
    KilledError,
    configure,
    raise_alerts,
    smtp,
    stdout,
    webhook,
)

SOON = Retry(first=0.01, most=0.05)
SECONDS = 20.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def deliver(
    config: Config,
    out: BytesIO | None = None,
    *,
    retry: Retry = SOON,
    step: Callable[[str], None] = lambda _name: None,
) -> Delivery:
    delivery = Delivery(
        config, out or BytesIO(), lambda: int(time.time()), step=step, retry=retry
    )
    delivery.start()
    return delivery


def numbers(receiver: Receiver) -> list[int]:
    return [one.alert["entries"][0] for one in receiver.taken]


# --- all sinks together ---------------------------------------------------------------


def test_every_sink_takes_every_alert_in_order(
    tmp_path: Path, receiver: Receiver
) -> None:
    out = BytesIO()
    with MailServer() as mail:
        config = configure(
            tmp_path, webhook(receiver.url) + smtp(mail.address) + stdout()
        )
        delivery = deliver(config, out)
        raise_alerts(config, *range(5))
        assert delivery.drain(SECONDS)
        delivery.close()
        assert [one.message["Subject"][-11:] for one in mail.mails] == [
            f"(entries {n})"[-11:] for n in range(5)
        ]
    assert numbers(receiver) == list(range(5))
    lines = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
    assert [line["entries"] for line in lines] == [[n] for n in range(5)]
    assert [(one.delivered, one.pending) for one in delivery.standings()] == [
        (5, 0)
    ] * 3


def test_who_is_woken_delivers_at_once(tmp_path: Path, receiver: Receiver) -> None:
    config = configure(tmp_path, webhook(receiver.url))
    delivery = deliver(config)
    for number in range(3):
        raise_alerts(config, number)
        delivery.wake()
        receiver.wait_for(number + 1, 5)
    delivery.close()


def test_a_sink_that_hangs_or_refuses_holds_up_no_other(
    tmp_path: Path, receiver: Receiver
) -> None:
    out = BytesIO()
    with MailServer() as mail:
        receiver.misbehave("hang")
        mail.misbehave("refuse", times=1000)
        config = configure(
            tmp_path, webhook(receiver.url) + smtp(mail.address) + stdout()
        )
        delivery = deliver(config, out)
        raise_alerts(config, 1, 2)
        assert not delivery.drain(0.5)
        assert len(out.getvalue().splitlines()) == 2
        mail.wait_for_connections(2)
        pager, mailer, printer = delivery.standings()
        assert (pager.kind, pager.pending, printer.pending) == ("webhook", 2, 0)
        assert mailer.failing is not None
        assert mailer.problem is not None
        assert "not now" in mailer.problem
        mail.behave()
        assert len(mail.wait_for(2)) == 2
        receiver.behave()
        assert [one.alert["entries"] for one in receiver.wait_for(2)] == [[1], [2]]
        assert delivery.drain(SECONDS)
        delivery.close()
    assert {(one.failing, one.problem) for one in delivery.standings()} == {
        (None, None)
    }


def test_a_sink_that_comes_back_gets_all_in_order(
    tmp_path: Path, receiver: Receiver
) -> None:
    for behaviour in ("refuse", "reset", "refuse"):
        receiver.misbehave(behaviour, times=2)
    config = configure(tmp_path, webhook(receiver.url))
    delivery = deliver(config)
    raise_alerts(config, 1, 2, 3)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert numbers(receiver) == [1, 2, 3]
    assert not receiver.forged


def test_an_answer_that_is_lost_repeats_the_alert_under_the_same_id(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.misbehave("drop")
    config = configure(tmp_path, webhook(receiver.url))
    delivery = deliver(config)
    raise_alerts(config, 1, 2)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert numbers(receiver) == [1, 1, 2]
    first, second, _ = receiver.taken
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_retry_after_is_waited_for(tmp_path: Path, receiver: Receiver) -> None:
    receiver.misbehave("refuse", status=429, retry_after=1)
    config = configure(tmp_path, webhook(receiver.url))
    delivery = deliver(config)
    raise_alerts(config, 1)
    delivery.wake()
    receiver.wait_for(1)
    delivery.close()
    refused, taken = receiver.attempts
    assert taken.arrived - refused.arrived >= 0.95


def test_a_restart_goes_on_where_it_was(tmp_path: Path, receiver: Receiver) -> None:
    config = configure(tmp_path, webhook(receiver.url))
    delivery = deliver(config)
    raise_alerts(config, 1, 2)
    assert delivery.drain(SECONDS)
    receiver.misbehave("refuse", times=1000)
    raise_alerts(config, 3)
    assert not delivery.drain(0.2)
    delivery.close()
    raise_alerts(config, 4)
    [pager] = standings(config)
    assert (pager.delivered, pager.pending, pager.failing is None) == (2, 2, False)
    receiver.behave()
    delivery = deliver(config)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert numbers(receiver) == [1, 2, 3, 4]


def test_closing_does_not_wait_for_a_sink_that_hangs(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.deliver._CLOSE_SECONDS", 0.2)
    receiver.misbehave("hang")
    config = configure(tmp_path, webhook(receiver.url))
    delivery = deliver(config)
    raise_alerts(config, 1)
    delivery.wake()
    receiver.wait_for_attempts(1)
    began = time.monotonic()
    delivery.close()
    assert time.monotonic() - began < 5
    receiver.behave()
    for thread in threading.enumerate():
        if thread.name == "sink-pager":
            thread.join()


def test_without_sinks_all_is_delivered(tmp_path: Path) -> None:
    config = configure(tmp_path)
    delivery = deliver(config)
    raise_alerts(config, 1)
    assert delivery.drain(0)
    assert delivery.standings() == []
    delivery.close()


def test_what_is_never_started_can_be_closed(tmp_path: Path) -> None:
    config = configure(tmp_path, stdout())
    Delivery(config, BytesIO(), lambda: NOW).close()


def test_a_sink_that_cannot_work_is_said_at_the_start(tmp_path: Path) -> None:
    config = configure(tmp_path, webhook("http://127.0.0.1:1/"))
    (tmp_path / "webhook.secret").unlink()
    with pytest.raises(UsageError, match="cannot read"):
        deliver(config)


# --- where a sink begins --------------------------------------------------------------


def test_a_new_sink_beside_others_is_not_told_of_the_past(tmp_path: Path) -> None:
    config = configure(tmp_path, stdout("one"))
    delivery = deliver(config)
    raise_alerts(config, 1, 2)
    assert delivery.drain(SECONDS)
    delivery.close()
    out = BytesIO()
    delivery = deliver(configure(tmp_path, stdout("one") + stdout("two")), out)
    raise_alerts(config, 3)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert len(out.getvalue().splitlines()) == 2
    assert out.getvalue().count(b"[3]") == 2


def test_what_nobody_was_told_is_told_to_the_first_sink(tmp_path: Path) -> None:
    deliver(configure(tmp_path)).close()
    config = configure(tmp_path, stdout())
    raise_alerts(config, 1, 2)
    out = BytesIO()
    delivery = deliver(config, out)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert len(out.getvalue().splitlines()) == 2


def test_another_name_for_the_only_sink_loses_nothing(tmp_path: Path) -> None:
    config = configure(tmp_path, stdout("one"))
    delivery = deliver(config)
    raise_alerts(config, 1)
    assert delivery.drain(SECONDS)
    delivery.close()
    raise_alerts(config, 2)
    out = BytesIO()
    delivery = deliver(configure(tmp_path, stdout("other")), out)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert [line.count(b"[2]") for line in out.getvalue().splitlines()] == [1]


def test_a_lost_delivery_db_repeats_and_loses_nothing(tmp_path: Path) -> None:
    config = configure(tmp_path, stdout())
    delivery = deliver(config)
    raise_alerts(config, 1)
    assert delivery.drain(SECONDS)
    delivery.close()
    for path in config.state.glob("delivery.db*"):
        path.unlink()
    out = BytesIO()
    delivery = deliver(config, out)
    raise_alerts(config, 2)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert len(out.getvalue().splitlines()) == 2


def test_numbers_of_a_state_made_anew_are_delivered(tmp_path: Path) -> None:
    config = configure(tmp_path, stdout())
    delivery = deliver(config)
    raise_alerts(config, 1, 2, 3)
    assert delivery.drain(SECONDS)
    delivery.close()
    for path in config.state.glob("monitor.db*"):
        path.unlink()
    out = BytesIO()
    delivery = deliver(config, out)
    raise_alerts(config, 9)
    assert delivery.drain(SECONDS)
    delivery.close()
    assert b"[9]" in out.getvalue()


# --- one sink, step by step -----------------------------------------------------------


class Bench:
    """A courier whose process can be killed, and started again."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.folder = folder
        self.sink = sink
        self.state = State(folder / "monitor.db")
        self.killed_at: str | None = None
        self.steps: list[str] = []
        ledger = Ledger(folder / "delivery.db")
        ledger.enrol(["pager"], 0)
        ledger.close()
        self.start()

    def start(self) -> None:
        state = State(self.folder / "monitor.db", read_only=True)
        self.ledger = Ledger(self.folder / "delivery.db")
        pace = Pace(lambda: NOW, self.step, Retry())
        self.courier = Courier("pager", self.sink, state, self.ledger, pace)

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.killed_at:
            self.killed_at = None
            raise KilledError

    def raise_alerts(self, *numbers: int) -> None:
        for number in numbers:
            self.state.raise_alert(
                Alert.of("revoked", LOG, "a", "b", time=NOW, entries=(number,))
            )

    def close(self) -> None:
        self.courier.close()
        self.state.close()


@pytest.fixture
def sink() -> Dutiful:
    return Dutiful()


@pytest.fixture
def bench(tmp_path: Path, sink: Dutiful) -> Iterator[Bench]:
    bench = Bench(tmp_path, sink)
    yield bench
    bench.close()


@pytest.mark.parametrize(
    ("step", "want"),
    [
        ("deliver-pager", [1, 2]),
        ("delivered-pager", [1, 1, 2]),
        ("delivery-committed-pager", [1, 2]),
    ],
)
def test_a_crash_may_repeat_an_alert_and_never_loses_one(
    bench: Bench, sink: Dutiful, step: str, want: list[int]
) -> None:
    bench.raise_alerts(1, 2)
    bench.killed_at = step
    with pytest.raises(KilledError):
        bench.courier.work()
    bench.courier.close()
    bench.start()
    assert bench.courier.work() is None
    assert sink.taken == want


def test_pauses_grow_and_a_success_forgets_them(bench: Bench, sink: Dutiful) -> None:
    bench.raise_alerts(1)
    sink.refusals = [RefusedError("no")] * 3
    assert [bench.courier.work() for _ in range(4)] == [1.0, 2.0, 4.0, None]
    bench.raise_alerts(2)
    sink.refusals = [RefusedError("no", 17)]
    assert [bench.courier.work() for _ in range(2)] == [17.0, None]
    assert sink.taken == [1, 2]


def test_pauses_end_somewhere() -> None:
    retry = Retry()
    assert retry.pause(10_000, None) == 300.0
    assert retry.pause(10_000, 30) == 300.0
    assert retry.pause(1, 10**8) == 3600.0


def test_since_when_a_sink_fails_is_kept(bench: Bench, sink: Dutiful) -> None:
    bench.raise_alerts(1)
    sink.refusals = [RefusedError("no"), RefusedError("not now\n")]
    bench.courier.work()
    bench.courier.work()
    assert bench.ledger.standing("pager") == (0, NOW, "not now?")
    bench.courier.work()
    assert bench.ledger.standing("pager") == (1, None, None)


def test_what_a_sink_says_when_it_takes_is_shown(bench: Bench, sink: Dutiful) -> None:
    bench.raise_alerts(1)
    sink.words = "mail was refused for eve"
    bench.courier.work()
    assert bench.ledger.standing("pager") == (1, None, "mail was refused for eve")


def test_a_mistake_of_ours_is_a_refusal(
    bench: Bench, sink: Dutiful, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    bench.raise_alerts(1)
    sink.then = fail
    assert bench.courier.work() == 1.0
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" in (bench.ledger.standing("pager")[2] or "")


def test_an_alert_that_cannot_be_written_down_is_not_sent_twice(
    bench: Bench, sink: Dutiful, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.raise_alerts(1, 2)
    bench.ledger._database.execute("pragma busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "delivery.db", isolation_level=None)
    other.execute("begin immediate")
    assert bench.courier.work() == 1.0
    assert bench.courier.work() == 2.0
    other.execute("commit")
    other.close()
    assert bench.courier.work() is None
    assert sink.taken == [1, 2]
    assert "cannot write that it refuses" in caplog.text


def test_a_courier_that_is_to_end_takes_up_no_more(bench: Bench, sink: Dutiful) -> None:
    bench.raise_alerts(1, 2)
    sink.then = bench.courier.ended.set
    assert bench.courier.work() is None
    assert sink.taken == [1]


def test_what_two_processes_deliver_never_goes_back(bench: Bench) -> None:
    bench.ledger.keep_taken("pager", 5, None)
    bench.ledger.keep_taken("pager", 3, None)
    assert bench.ledger.delivered("pager") == 5


def test_before_the_first_start_nothing_waits(tmp_path: Path) -> None:
    config = configure(tmp_path, stdout())
    [printer] = standings(config)
    assert (printer.name, printer.kind, printer.pending) == ("stdout", "stdout", 0)
    assert not (config.state / "delivery.db").exists()
