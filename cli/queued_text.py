"""What waits for an auditor: the records of `pcrlog queue`, and their words."""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from cli.options import age
from cli.output import DIM, GOOD, STRONG, Row, following, say
from pcrlog.encoding import parse_time
from pcrlog.gather import ARTIFACT
from pcrlog.statement import REPRODUCTION, SCOPES

_SHOWN = 200
"""Lines for people; --json has all."""


class Waiting(Struct, frozen=True):
    """A release that waits for audits of `scopes`.

    `index` and `sha256` are of the newest release of its registers that stands; `age`
    is in seconds since the first of them, by its provider's word (`issued`). `until`:
    when the audits that count now will be too few; None where they are too few now.
    `part_of`: the watched products that it is a component of, somewhere below; empty if
    it is none.
    """

    index: int
    sha256: str
    product: str
    version: str
    variant: str | None
    platform: str
    measurements: tuple[str, ...]
    scopes: tuple[str, ...]
    commit: str | None
    issued: str
    age: int
    until: str | None = None
    part_of: tuple[str, ...] = ()

    def beside(self, other: "Waiting") -> "Waiting":
        """This and the same release under the rules for another product, as one."""
        both = {*self.scopes, *other.scopes}
        return replace(
            self,
            scopes=tuple(scope for scope in SCOPES if scope in both),
            until=min(filter(None, (self.until, other.until)), default=None),
            part_of=tuple(dict.fromkeys((*self.part_of, *other.part_of))),
        )


class Queue(Struct, frozen=True):
    """What waits in a log, oldest first, for `auditor` (None: for anybody).

    `expiring`: if not None, what will wait when so many seconds have passed, and does
    not now. `left_out` counts, by reason, what does not wait; `older` the statements
    that were not looked at, since there are too many.
    """

    log: str
    auditor: str | None
    expiring: int | None
    waiting: tuple[Waiting, ...]
    left_out: dict[str, int]
    older: int


def rows_of(found: Queue, now: int) -> Iterator[Row]:
    """What waits, for people."""
    if not found.waiting:
        yield Row((("done: ", GOOD),), _nothing(found))
    for one in found.waiting[:_SHOWN]:
        yield _row(one, now)
    if len(found.waiting) > _SHOWN:
        yield say(f"          and {len(found.waiting) - _SHOWN} more; --json", DIM)
    for reason, number in sorted(found.left_out.items()):
        yield Row(((f"{number:>8}  ", DIM),), f"left out: {reason}", DIM)
    if found.older:
        yield Row(((f"{found.older:>8}  ", DIM),), "older ones not looked at", DIM)
    if found.waiting:
        yield following(_next(found.waiting[0]))


def _next(one: Waiting) -> str:
    scope = one.scopes[0]
    if scope == REPRODUCTION:
        what = "FILE" if one.platform == ARTIFACT else "IMAGE"
        return f"pcrlog cosign --rebuild COMMAND --produces {what} {one.index}"
    return f"pcrlog cosign --scope {scope} --result RESULT {one.index}"


def _nothing(found: Queue) -> str:
    if found.expiring is not None:
        return f"nothing that counts in {found.log} runs out in {age(found.expiring)}"
    return f"nothing in {found.log} waits for {found.auditor or 'an audit'}"


def _row(one: Waiting, now: int) -> Row:
    variant = f" ({one.variant})" if one.variant else ""
    when = age(one.age)
    if one.until is not None:
        when = f"in {age(max(parse_time(one.until) - now, 0))}"
    lead = ((f"{one.index:>8}  ", STRONG), (f"{when:>5}  ", DIM))
    part = f", part of {', '.join(one.part_of)}" if one.part_of else ""
    what = f"{one.product} {one.version}{variant}{part}"
    return Row(lead, f"{what}: {', '.join(one.scopes)}")
