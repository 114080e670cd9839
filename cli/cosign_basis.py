"""What a source-review builds on: earlier ones by the same auditor, each of its commit.

A review of what has changed since the last one is worth what the last one is. So the
whole chain is walked before another review is put on it: `verify` will count none that
builds on a review which is revoked, void or failed, or on too many (PROTOCOL.md 2.3);
and how old the first of them is, is told, since that is when anybody last looked at all
of the source.
"""

from cli.audits import Earlier
from cli.logs import Access
from cli.options import age
from cli.speaking import authority_of
from pcrlog import limits
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry
from pcrlog.errors import UsageError
from pcrlog.index_keys import by
from pcrlog.predicates import Audit
from pcrlog.statement import SOURCE_REVIEW
from pcrlog.verification.judge import revocations


def chain(access: Access, name: str, index: int) -> list[Earlier]:
    """The review at an index, and all that it builds on, the newest first.

    Raises:
        UsageError: it is no review by `name`, or one of them does not stand, so that
            what is built on it would count for nothing.
    """
    found: list[Earlier] = []
    entry = access.entry(index)
    while True:
        review = _review(entry, name)
        commit = entry.statement.registers["commit"].partition(":")[2]
        _require_standing(access, entry)
        one = Earlier(
            entry.index, entry.sha256, commit, review.result, review.performed
        )
        found.append(one)
        if review.basis is None:
            return found
        if len(found) == limits.BASIS_CHAIN:
            message = (
                f"a review builds on at most {limits.BASIS_CHAIN}, one on the other,"
                f" and entry {index} would make it more: review the whole source anew"
            )
            raise UsageError(message)
        entry = _basis_of(access, entry, review)


def _review(entry: Entry, name: str) -> Audit:
    said = entry.predicate
    if (
        isinstance(said, Audit)
        and said.scope == SOURCE_REVIEW
        and said.issuer == name
        and "commit" in entry.statement.registers
    ):
        return said
    message = f"entry {entry.index} is no source-review by {name}"
    raise UsageError(message)


def _require_standing(access: Access, entry: Entry) -> None:
    """Check that a review, and all that its auditor said of its commit, lets it count.

    Raises:
        UsageError: it does not.
    """
    name = entry.predicate.issuer
    [measurement] = entry.statement.measurements
    view = access.said(name, "source", measurement)
    pool = view.ask(by(name, "source", measurement))
    taken_back = {said.statement for _, said in revocations(pool)}
    authority, _ = authority_of(view, name)
    failed = [
        one.index
        for one in pool
        if isinstance(one.predicate, Audit)
        and one.predicate.result == "fail"
        and one.sha256 not in taken_back
    ]
    why = ""
    if entry.sha256 in taken_back:
        why = "is revoked"
    elif authority.is_void(entry):
        why = "is void: its key was declared compromised, or lost its standing"
    elif failed:
        why = f"is of a commit that {name} failed (entry {failed[0]})"
    if why:
        message = (
            f"entry {entry.index} {why}: what builds on it would count for nothing"
        )
        raise UsageError(message)


def _basis_of(access: Access, entry: Entry, review: Audit) -> Entry:
    basis = review.basis
    if basis is None:  # pragma: no cover - the caller has looked
        raise ValueError
    measurement = f"commit=gitCommit:{basis.commit}"
    view = access.said(review.issuer, "source", measurement)
    for one in view.ask(by(review.issuer, "source", measurement)):
        if one.sha256 == basis.sha256 and one.index < entry.index:
            return one
    message = (
        f"entry {entry.index} builds on a review that the log does not hold: what"
        " builds on it would count for nothing"
    )
    raise UsageError(message)


def told(found: list[Earlier], now: int) -> str:
    """A chain in words: how long, and how old its parts are."""
    first, last = found[0], found[-1]
    words = f"builds on entry {first.index}, {_age(first, now)} old"
    if len(found) > 1:
        words += (
            f", which builds on {len(found) - 1} more; all of the source was last"
            f" looked at in entry {last.index}, {_age(last, now)} ago"
        )
    return f"{words} ({len(found)} of at most {limits.BASIS_CHAIN})"


def _age(one: Earlier, now: int) -> str:
    return age(max(now - parse_time(one.performed), 0))
