"""The rule `unexpected-release`: registers that stand on no list of what is expected.

Without a list (`watch.expected` left out) the rule is off; with an empty one, every
release of ours is unexpected. While a list cannot be read, a release that is on none of
the others waits for it, a quarter of an hour at most: whoever can keep a list away must
not keep the alarm away. That a list cannot be read is told beside it.
"""

from collections.abc import Iterator

from monitor.alerts import Alert
from monitor.case import Case, Done, named
from pcrlog.entry import Entry
from pcrlog.predicates import Release

_RULE = "unexpected-release"
_PATIENCE = 900
"""Seconds that a release waits for a list that cannot be read."""


def judge(case: Case, entry: Entry, release: Release) -> Iterator[Alert]:
    """A new release, against the list as it is now."""
    if case.expected is None:
        return
    registers = entry.statement.registers
    found = case.expected.holds(release.platform, registers, release.numbers)
    if not found:
        # It may have been put there a moment ago.
        case.expected.read(case.now, again=True)
        found = case.expected.holds(release.platform, registers, release.numbers)
    if found is None:
        if case.state.fact(_RULE, str(entry.index)) is None:
            case.state.remember(_RULE, str(entry.index), str(case.now))
    elif not found:
        yield _unexpected(case, entry, release, "")


def look_again(case: Case, done: Done) -> Iterator[Alert]:
    """What waits for a list, and what lists cannot be read."""
    if case.expected is None:
        return
    for name, since in case.state.facts(_RULE).items():
        entry = case.reading.entry(int(name))
        if entry is None or not isinstance(entry.predicate, Release):
            continue
        release = entry.predicate
        found = case.expected.holds(
            release.platform, entry.statement.registers, release.numbers
        )
        if found is None and case.now - int(since) < _PATIENCE:
            continue
        done.append((_RULE, name))
        if not found:
            missing = ", ".join(case.expected.unreadable())
            words = f" (not read: {missing})" if found is None else ""
            yield _unexpected(case, entry, release, words)
    for problem in case.expected.problems(case.now):
        yield case.alert("unreadable-list", problem.about, problem.found)


def _unexpected(case: Case, entry: Entry, release: Release, words: str) -> Alert:
    registers = entry.statement.registers
    # What it is known by: the first one there is may be zero (PCR12 of a NitroTPM).
    name = release.identity[0][0]
    numbers = "".join(f", {key} {n}" for key, n in (release.numbers or {}).items())
    return case.alert(
        _RULE,
        named(release),
        f"{release.issuer} released registers that are on no list{words},"
        f" {name} = {registers[name][:32]}…{numbers}, with key {entry.keyid[:16]}…",
        entry.index,
    )
