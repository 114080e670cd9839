"""The eight links: the table in tests/vectors, and that worst wins, exhaustively."""

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pcrlog.verification import links
from pcrlog.verification.links import ORDER, Status

VECTORS = Path(__file__).parents[2] / "vectors"
TABLE = json.loads((VECTORS / "tables" / "links.json").read_bytes())
LINKS: dict[int, Callable[..., Status]] = {
    1: links.attestation,
    2: links.provider,
    3: links.source,
    4: links.audit,
    5: links.platform,
    6: links.platform,
    7: links.controls,
}
STATUSES: dict[int, set[Status]] = {
    1: {"proven", "unchecked", "failed"},
    2: {"proven", "unchecked", "failed", "missing"},
    3: set(ORDER),
    4: set(ORDER) - {"claimed"},
    5: set(ORDER),
    6: set(ORDER),
    7: set(ORDER),
}
"""What each link can come to: no attestation is claimed, no review claims itself."""


@pytest.mark.parametrize(
    "row",
    TABLE["links"],
    ids=lambda row: f"{row['link']}: {row['why']} ({row['status']})",
)
def test_a_link_comes_to_what_the_table_says(row: dict[str, Any]) -> None:
    assert LINKS[row["link"]](**row["facts"]) == row["status"], row["why"]


@pytest.mark.parametrize(
    "row", TABLE["trust_ends_at"], ids=lambda row: str(row["ends"])
)
def test_trust_ends_where_the_table_says(row: dict[str, Any]) -> None:
    assert links.trust_ends_at(row["statuses"]) == row["ends"]


def test_the_table_has_every_status_of_every_link() -> None:
    rows: dict[int, set[str]] = {number: set() for number in LINKS}
    for row in TABLE["links"]:
        rows[row["link"]].add(row["status"])
    for number in (1, 2, 3, 4, 5):
        assert rows[number] == STATUSES[number]
    # 6 is as 5, and 7 as 3: the table leaves out what only repeats.
    assert rows[6] | rows[5] == STATUSES[6]
    assert rows[7] == STATUSES[7]


def test_each_link_has_a_name() -> None:
    assert list(links.NAMES) == list(LINKS)


PASSES = {"passes": (0, 1, 2), "asked": (1, 2)}
PARTS = ((), *((one,) for one in ORDER), *product(ORDER, ORDER))
FACTS: dict[int, dict[str, tuple[Any, ...]]] = {
    1: {},
    2: {"released": (False, True)},
    3: {"claimed": (False, True), **PASSES},
    4: PASSES,
    5: {"listed": (False, True), "confirmed": (False, True), "parts": PARTS},
    6: {"listed": (False, True), "confirmed": (False, True), "parts": PARTS},
    7: {"claimed": (False, True), **PASSES},
}


def facts(number: int) -> Iterator[dict[str, Any]]:
    """Every combination of facts about a link."""
    flags = {"failed": (False, True), "incomplete": (False, True), **FACTS[number]}
    for values in product(*flags.values()):
        yield dict(zip(flags, values, strict=True))


Facts = dict[str, Any]
RULES: tuple[tuple[Status, set[int], Callable[[Facts], bool]], ...] = (
    ("failed", {1, 2, 3, 4, 5, 6, 7}, lambda f: f["failed"]),
    ("unchecked", {1, 2, 3, 4, 5, 6, 7}, lambda f: f["incomplete"]),
    ("missing", {2}, lambda f: not f["released"]),
    ("missing", {3, 7}, lambda f: not f["claimed"]),
    ("missing", {4}, lambda f: f["passes"] < f["asked"]),
    ("missing", {5, 6}, lambda f: not f["listed"]),
    ("claimed", {3, 7}, lambda f: f["passes"] < f["asked"]),
    ("claimed", {5, 6}, lambda f: not f["confirmed"]),
    *(
        (status, {5, 6}, lambda f, status=status: f["listed"] and status in f["parts"])
        for status in ORDER
    ),
    ("proven", {1, 2, 3, 4, 5, 6, 7}, lambda _: True),
)
"""PROTOCOL.md section 1 over again: all that a link may come to."""


def expected(number: int, fact: Facts) -> Status:
    """The worst of all that a link may come to."""
    found = {
        status for status, numbers, holds in RULES if number in numbers and holds(fact)
    }
    return next(status for status in ORDER if status in found)


@pytest.mark.parametrize("number", LINKS)
def test_worst_wins_in_every_combination_of_facts(number: int) -> None:
    seen: set[Status] = set()
    for fact in facts(number):
        status = LINKS[number](**fact)
        assert status == expected(number, fact), fact
        seen.add(status)
    assert seen == STATUSES[number]


def test_worst_is_the_first_of_failed_unchecked_missing_claimed_proven() -> None:
    assert ORDER == ("failed", "unchecked", "missing", "claimed", "proven")
    for one, other in product(range(5), repeat=2):
        assert links.worst(ORDER[one], ORDER[other]) == ORDER[min(one, other)]


def test_trust_ends_before_the_first_link_that_is_not_proven() -> None:
    some: tuple[Status, ...] = ("proven", "claimed", "failed")
    for statuses in product(some, repeat=7):
        ends = links.trust_ends_at(statuses)
        assert all(status == "proven" for status in statuses[:ends])
        assert ends == 7 or statuses[ends] != "proven"
