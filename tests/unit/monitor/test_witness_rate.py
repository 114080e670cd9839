"""A daily budget that fills all the time."""

import threading

from monitor.witness_rate import Rates

LOG, GROWS = "log.example/pcr", True


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates, origin: str = LOG, *, grows: bool = True) -> int:
    """How many requests pass, one after the other."""
    count = 0
    while rates.wait(origin, grows) == 0:
        count += 1
    return count


def test_a_bucket_holds_the_share_of_an_hour_and_ten_at_least() -> None:
    for budget, most in ((24 * 60, 60), (24 * 1000, 1000), (24, 10), (1, 10)):
        assert taken(Rates({LOG: budget}.__getitem__, Time())) == most


def test_it_fills_evenly_to_the_brim_and_over_a_day_to_the_budget() -> None:
    time = Time()
    rates = Rates(lambda _: 24 * 60, time)
    taken(rates)
    for _ in range(24):
        time.now += 3600
        assert taken(rates) in (59, 60)
    time.now += 100 * 86_400
    assert taken(rates) == 60


def test_whoever_has_to_wait_is_told_how_long() -> None:
    time = Time()
    rates = Rates(lambda _: 8640, time)
    taken(rates)
    assert rates.wait(LOG, GROWS) == 10
    time.now += 9.5
    assert rates.wait(LOG, GROWS) == 1
    time.now += 1
    assert rates.wait(LOG, GROWS) == 0


def test_nobody_is_told_to_wait_for_more_than_an_hour() -> None:
    rates = Rates(lambda _: 1, Time())
    taken(rates)
    assert rates.wait(LOG, GROWS) == 3600


def test_renewals_do_not_use_up_growth_nor_one_log_that_of_another() -> None:
    rates = Rates(lambda _: 240, Time())
    assert taken(rates, grows=False) == 10
    assert taken(rates) == 10
    assert taken(rates, "other.example/log") == 10


def test_a_new_budget_counts_at_once() -> None:
    budget, time = {LOG: 24}, Time()
    rates = Rates(lambda origin: budget[origin], time)
    taken(rates)
    budget[LOG] = 86_400
    time.now += 60
    assert taken(rates) == 60


def test_threads_together_get_no_more() -> None:
    rates = Rates(lambda _: 24_000, Time())
    passed: list[int] = []
    threads = [
        threading.Thread(target=lambda: passed.append(taken(rates))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 1000
