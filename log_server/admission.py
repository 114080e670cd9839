"""Judges one envelope against the log as it is: what may become its next entry.

The web process asks first, so that whoever submits learns at once; the sequencer asks
again at the entry's index, and its answer is the one that counts. The rules, in order,
what costs little before what reads much:

1. form: canonical, every member legal, nothing that this version does not know
2. made for this log
3. a statement stands once: the known one's index is the answer
4. a frozen log takes nothing
5. authority: signature, key, role, `previous` (PROTOCOL.md 2.2)
6. limits: releases and passes of one issuer about one measurement; never what speaks
   against something
7. a revocation of a statement: an own, earlier release or audit, repeated exactly
8. a release in conflict with one that stands: only if that was asked for

`admit` is all of them. The web process takes them in three steps, `look_at` (1 to 4),
`Authority.judge_unverified` (5) and `check_beside` (6 to 8), since between the last two
it verifies the signatures of many in threads; the sequencer has that done for all of a
batch before it judges the first (`ahead`).
"""

from collections.abc import Iterator
from typing import Protocol

from log_server.ahead import NOTHING, Ahead
from log_server.problems import (
    ConflictError,
    FrozenError,
    FullError,
    TargetError,
    WrongLogError,
)
from pcrlog import limits
from pcrlog.authority import Authority, check_target
from pcrlog.encoding import parse_time
from pcrlog.entry import Entry, parse_entry
from pcrlog.envelope import FIRST_BYTE
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.index_keys import by, of_version
from pcrlog.predicates import REGISTRAR, Audit, Identity, Release, Revocation
from pcrlog.statement import MEASUREMENT_REASONS, require_known

_LOOKED_AT, _BYTES_LOOKED_AT = 256, 1 << 20
"""The most statements read to find out whether a release of this version stands, and
what they have together. Beyond that a conflict is reported; whoever means it says so.
It takes as long as a hundred signature checks: nobody else may wait for longer."""


class View(Protocol):
    """The log as admission sees it: committed, and in the sequencer this batch too."""

    @property
    def size(self) -> int:
        """The next entry's index."""
        ...

    @property
    def frozen(self) -> bool:
        """Whether the last seal was the last."""
        ...

    def index_of(self, statement: bytes) -> int | None:
        """The index of the statement with this SHA-256."""
        ...

    def leaf(self, index: int) -> bytes | None:
        """The bytes of an entry."""
        ...

    def newest(self, key: str) -> Iterator[int]:
        """The entries under a key, newest first."""
        ...

    def given(self, key: str) -> int:
        """How many releases and passes stand under a key `v1/by/...`."""
        ...


def admit(
    envelope: bytes,
    view: View,
    authority: Authority,
    *,
    conflict_accepted: bool,
    now: int,
    ahead: Ahead = NOTHING,
) -> Entry | int:
    """The entry that `envelope` becomes at index `view.size`, judged by all rules.

    Instead, the index under which the same statement already stands.

    Args:
        envelope: as submitted.
        view: the log before it.
        authority: who may say what there.
        conflict_accepted: rule 8 is not asked.
        now: unix seconds.
        ahead: what is known of the envelope already.

    Raises:
        MalformedError, UncheckedError: rule 1.
        WrongLogError, FrozenError, FullError, TargetError, ConflictError: their rules.
        VerificationError: rule 5.
    """
    entry, known = look_at(envelope, view, authority.origin, ahead.entry)
    if known is not None:
        return known
    ahead.verify(authority.judge_unverified(entry))
    check_beside(entry, view, authority, conflict_accepted=conflict_accepted, now=now)
    return entry


def look_at(
    envelope: bytes, view: View, origin: str, read: Entry | None = None
) -> tuple[Entry, int | None]:
    """Rules 1 to 4: the entry that it would be, and where its statement stands already.

    `read` is the envelope read before, at whatever index.

    Raises:
        MalformedError, UncheckedError: rule 1.
        WrongLogError, FrozenError: their rules.
    """
    if not envelope.startswith(FIRST_BYTE):
        # To a reader that is a kind of leaf from the future; nobody may submit one.
        message = "expected an envelope, which begins with {"
        raise MalformedError(message)
    if read is None:
        entry = parse_entry(view.size, envelope)
    else:
        entry = Entry(view.size, read.envelope, read.statement)
    require_known(entry.statement)
    if entry.predicate.log != origin:
        message = f"statement is for log {entry.predicate.log}, this is {origin}"
        raise WrongLogError(message)
    known = view.index_of(bytes.fromhex(entry.sha256))
    if known is None and view.frozen:
        message = f"log {origin} is frozen"
        raise FrozenError(message)
    return entry, known


def check_beside(
    entry: Entry,
    view: View,
    authority: Authority,
    *,
    conflict_accepted: bool,
    now: int,
) -> None:
    """Rules 6 to 8: an entry beside what the log holds already.

    Raises:
        FullError, TargetError, ConflictError: their rules.
    """
    if speaks_for(entry):
        _check_limit(view, entry)
    if isinstance(entry.predicate, Revocation):
        _check_target(view, entry, entry.predicate)
    if isinstance(entry.predicate, Release) and not conflict_accepted:
        _check_conflict(view, authority, entry, entry.predicate, now)


def kind_of(entry: Entry) -> str:
    """The kind under which log.db files an entry."""
    predicate = entry.predicate
    if isinstance(predicate, Audit):
        return "fail" if predicate.result == "fail" else "pass"
    return type(predicate).__name__.lower()


def speaks_for(entry: Entry) -> bool:
    """Whether an entry speaks in favour of a measurement: a release, or a pass."""
    return kind_of(entry) in {"release", "pass"}


def measured_keys(entry: Entry) -> list[str]:
    """The keys `v1/by/...` of an entry; an identity has none."""
    if isinstance(entry.predicate, Identity):
        return []
    issuer, platform = entry.predicate.issuer, entry.predicate.platform
    return [by(issuer, platform, m) for m in entry.statement.measurements]


def _check_limit(view: View, entry: Entry) -> None:
    for key in measured_keys(entry):
        if view.given(key) >= limits.STATEMENTS_PER_MEASUREMENT:
            message = (
                f"{key} has {limits.STATEMENTS_PER_MEASUREMENT} releases and passes"
                " already"
            )
            raise FullError(message)


def _check_target(view: View, entry: Entry, revocation: Revocation) -> None:
    if revocation.statement is None:
        return
    index = view.index_of(bytes.fromhex(revocation.statement))
    target = None if index is None else _entry(view, index)
    try:
        check_target(entry, {} if target is None else {target.sha256: target})
    except VerificationError as error:
        raise TargetError(str(error)) from error


class _Reading:
    """Reads entries, but not without end: a version may have any number of releases."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._left, self._bytes_left = _LOOKED_AT, _BYTES_LOOKED_AT

    def under(self, key: str) -> Iterator[Entry]:
        """The entries under a key, newest first.

        Raises:
            ConflictError: too much was read to tell whether a release stands.
        """
        for index in self._view.newest(key):
            leaf = self._view.leaf(index)
            if leaf is None:
                continue
            self._left -= 1
            self._bytes_left -= len(leaf)
            if self._left < 0 or self._bytes_left < 0:
                message = (
                    f"this version has over {_LOOKED_AT} releases and revocations, or"
                    f" over {_BYTES_LOOKED_AT} bytes of them: whether another release"
                    " of it stands was not found out"
                )
                raise ConflictError(message)
            yield parse_entry(index, leaf)


def _check_conflict(
    view: View, authority: Authority, entry: Entry, release: Release, now: int
) -> None:
    """Same product, version, platform and variant; a register of both differs."""
    ours, reading = entry.statement.registers, _Reading(view)
    for rival in reading.under(of_version(release.product, release.version)):
        theirs = rival.statement.registers
        differ = sorted(n for n in ours.keys() & theirs.keys() if ours[n] != theirs[n])
        if (
            differ
            and isinstance(rival.predicate, Release)
            and rival.predicate.platform == release.platform
            and rival.predicate.variant == release.variant
            and not authority.is_void(rival)
            and not _is_revoked(reading, authority, rival, now)
        ):
            message = (
                f"release {rival.index} of {release.product} {release.version} names"
                f" another {', '.join(differ)}"
            )
            raise ConflictError(message)


def _is_revoked(
    reading: _Reading, authority: Authority, rival: Entry, now: int
) -> bool:
    """Whether a release is revoked at `now`, by its issuer or the registrar."""
    return any(
        isinstance(entry.predicate, Revocation)
        and _applies(entry.predicate, rival, now)
        and not authority.is_void(entry)
        for key in _keys_of_revocations(rival)
        for entry in reading.under(key)
    )


def _keys_of_revocations(rival: Entry) -> Iterator[str]:
    if not isinstance(rival.predicate, Identity):
        for name in (rival.predicate.issuer, REGISTRAR):
            for measurement in rival.statement.measurements:
                yield by(name, rival.predicate.platform, measurement)


def _applies(revocation: Revocation, rival: Entry, now: int) -> bool:
    if revocation.reason in MEASUREMENT_REASONS:
        return True
    begun = revocation.effective is None or parse_time(revocation.effective) <= now
    return revocation.statement == rival.sha256 and begun


def _entry(view: View, index: int) -> Entry | None:
    leaf = view.leaf(index)
    return None if leaf is None else parse_entry(index, leaf)
