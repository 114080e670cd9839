"""Many statements handed in at once: each has its own decision, and its own line.

None waits for another: what is refused is told beside what was published. To run the
command again is safe, and hands in what is left.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from cli.logs import Access
from cli.options import duration
from cli.output import BAD, GOOD, WARN, Row, fact, say
from cli.session import Session
from cli.speaking import Plan, await_decision, prove, title
from pcrlog.errors import PcrlogError, UncheckedError, VerificationError
from pcrlog.statement import Statement
from pcrlog.transport import Placed, Promised, RefusedError

_SERVER_WAIT = 30
_STYLES = {
    "published": GOOD,
    "known": GOOD,
    "waiting": WARN,
    "not taken": WARN,
    "refused": BAD,
}


class Given(NamedTuple):
    """A signed statement, and where it stood: `FILE`, or `FILE:LINE`."""

    source: str
    envelope: bytes
    statement: Statement


class Told(Struct, frozen=True):
    """What became of one: its `state`.

    "published", or "known" if it was before; "waiting" for a decision that the log has
    promised; "refused"; or "not taken" now, since the log was too busy, or did not
    answer. `proven`: its place is proven to the policy's log.
    """

    source: str
    kind: str
    sha256: str
    state: str
    index: int | None = None
    envelope_sha256: str | None = None
    proven: bool = False
    problem: str | None = None


class Batch(Struct, frozen=True):
    """What became of all."""

    log: str
    counts: dict[str, int]
    statements: tuple[Told, ...]


def hand_in_all(
    session: Session,
    access: Access,
    given: Sequence[Given],
    plan: Plan,
    known: Sequence[Told] = (),
) -> int:
    """Submit, wait, check each proof, and say what came of each; the exit status.

    `known` are in the log already, and told of beside the others.

    Raises:
        TransportError: no answer.
        VerificationError: one of the log's proofs does not hold.
    """
    ends = time.monotonic() + (patience := duration(plan.wait, option="--wait"))
    with session.output.progress(f"submitting {len(given)} statements") as tell:
        answers = access.client.submit_many(
            [one.envelope for one in given],
            wait=min(_SERVER_WAIT, patience),
            accept_conflict=plan.conflict,
        )
        told = [*known]
        for number, (one, answer) in enumerate(zip(given, answers, strict=True), 1):
            tell(f"checking {number} of {len(given)}")
            told.append(_settle(access, one, answer, ends))
    counts = dict(sorted(Counter(one.state for one in told).items()))
    batch = Batch(access.origin, counts, tuple(told))
    session.output.result(batch, _rows(batch))
    if "refused" in counts:
        return VerificationError.exit_code
    undecided = counts.keys() & {"waiting", "not taken"}
    return UncheckedError.exit_code if undecided else 0


def _settle(
    access: Access, one: Given, answer: Placed | Promised | PcrlogError, ends: float
) -> Told:
    told = Told(one.source, title(one.statement), one.statement.sha256, "waiting")
    if isinstance(answer, Promised):
        digest = answer.envelope_sha256
        left = max(0, int(ends - time.monotonic()))
        try:
            index = await_decision(access, digest, left)
        except PcrlogError as error:
            answer = error
        else:
            if index is None:
                return replace(told, envelope_sha256=digest)
            answer = Placed(index, one.statement.sha256)
    if isinstance(answer, PcrlogError):
        final = isinstance(answer, RefusedError)
        state = "refused" if final else "not taken"
        return replace(told, state=state, problem=str(answer))
    known, proven = prove(access, answer, one.envelope)
    state = "known" if known else "published"
    return replace(told, state=state, index=answer.index, proven=proven)


def _rows(batch: Batch) -> list[Row]:
    rows = []
    for one in batch.statements:
        words = one.kind if one.index is None else f"{one.kind}, entry {one.index}"
        if one.problem is not None:
            words = f"{words}: {one.problem}"
        lead = ((f"{one.state}: ", _STYLES[one.state]),)
        rows.append(Row(lead, f"{words} ({one.source})", hang=2))
    counts = ", ".join(f"{number} {state}" for state, number in batch.counts.items())
    rows.append(fact("in all", f"{counts} in {batch.log}"))
    if not all(one.proven for one in batch.statements if one.index is not None):
        rows.append(fact("proof", "not checked: no policy"))
    if batch.counts.keys() & {"waiting", "not taken"}:
        rows.append(say("Run this again to hand in what is left, and see the rest."))
    return rows
