"""What `pcrlog controls check` says: one record for programs, and its rows for people.

Whatever the policy itself says is quoted short and printable.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, blank, fact, following
from pcrlog.encoding import printable
from pcrlog.measurement import Registers

if TYPE_CHECKING:
    from workbench.kms_policy import KeyPolicy
    from workbench.kms_policy_check import Judgement, Path

_KIND = "kms-policy"
"""How releases call such a control."""
NOT_SHOWN = (
    "no key policy shows which grants exist, what IAM policies say, nor who else has"
    " the key's material"
)


class Way(Struct, frozen=True):
    """Who may do what by which statement; for a path, `why` it is open, and `mend`."""

    kind: str
    statement: int
    sid: str | None
    who: tuple[str, ...]
    actions: tuple[str, ...]
    why: str
    mend: str


class Checked(Struct, frozen=True):
    """What a key policy lets through; `closed` if there are no `paths`.

    `control` is the policy as a release names it; `pcr0_alone` says that PCR0 was
    enough. `accepted` are paths of the administrators that were named; `idle` are
    Denies that are not counted, and why.
    """

    closed: bool
    control: str
    statements: int
    pcr0_alone: bool
    released: tuple[dict[str, str], ...]
    paths: tuple[Way, ...]
    admitted: tuple[Way, ...]
    accepted: tuple[Way, ...]
    writers: tuple[Way, ...]
    idle: dict[str, str]
    not_shown: str


def checked_of(
    policy: "KeyPolicy",
    judgement: "Judgement",
    released: Sequence[Registers],
    *,
    pcr0_alone: bool,
) -> Checked:
    """The record of what was found.

    Args:
        policy: the key policy.
        judgement: what it lets through.
        released: registers that it was compared with.
        pcr0_alone: whether by PCR0 alone.
    """
    return Checked(
        judgement.closed,
        f"{_KIND}:{policy.sha256}",
        len(policy.statements),
        pcr0_alone,
        tuple(map(dict, released)),
        _ways(judgement.paths),
        _ways(judgement.admitted),
        _ways(judgement.accepted),
        _ways(judgement.writers),
        {one.name: printable(why) for one, why in judgement.idle},
        NOT_SHOWN,
    )


def _ways(paths: Sequence["Path"]) -> tuple[Way, ...]:
    from workbench.kms_policy_words import mend, who, why

    return tuple(
        Way(
            path.kind,
            path.statement.number,
            None if path.statement.sid is None else printable(path.statement.sid, 60),
            tuple(who(principal, path.statement) for principal in path.principals),
            tuple(printable(action.name, 80) for action in path.actions),
            why(path),
            mend(path),
        )
        for path in paths
    )


def rows_of(checked: Checked, file: str) -> Iterator[Row]:
    """The same for people; `file` is what they called it."""
    yield _verdict(checked)
    yield blank()
    for at, way in enumerate(checked.paths, 1):
        yield from _way_rows(f"{at}. ", way)
        yield Row((("   why   ", DIM),), way.why)
        yield Row((("   mend  ", DIM),), way.mend)
    for way in checked.admitted:
        yield from _way_rows("+ ", way)
        yield Row((("   why   ", DIM),), way.why)
    for way in (*checked.accepted, *checked.writers):
        yield from _way_rows("~ ", way)
        yield Row((("   why   ", DIM),), way.why)
    for name, why in checked.idle.items():
        yield Row((("~ ", WARN),), f"{name}, a Deny, is not counted: {why}", hang=2)
    yield fact("not shown", NOT_SHOWN)
    yield fact("control", checked.control)
    if checked.closed:
        yield following(f"pcrlog release --control {checked.control} …")
        yield following("pcrlog cosign INDEX --scope controls-review --result pass")
    else:
        yield following(f"pcrlog controls check {file} (when it is mended)")
        yield following("pcrlog cosign INDEX --scope controls-review --result fail")


def _verdict(checked: Checked) -> Row:
    if not checked.closed:
        number = len(checked.paths)
        ways = f"{number} ways past" if number > 1 else "a way past"
        words = f"{ways} the released measurements"
        return Row((("OPEN: ", BAD),), words, STRONG, hang=2)
    words = "no plaintext without the attestation of a released measurement"
    if checked.accepted:
        words += ", until an administrator changes the policy"
    if checked.pcr0_alone:
        words += " (by PCR0 alone: its parts may be others)"
    return Row((("CLOSED: ", GOOD),), words, STRONG, hang=2)


def _way_rows(lead: str, way: Way) -> Iterator[Row]:
    who = ", ".join(way.who)
    sid = f" ({way.sid})" if way.sid else ""
    style = {"+": GOOD, "~": WARN}.get(lead[0], BAD)
    words = f"{who}: {', '.join(way.actions)}, by statement {way.statement}{sid}"
    yield Row(((lead, style),), words, hang=len(lead))
