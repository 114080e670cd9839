"""A report as people read it: the headline, the ladder of links, what to do next."""

from collections.abc import Iterator

from cli.output import BAD, DIM, GOOD, PLAIN, STRONG, WARN, Row, blank, say
from pcrlog.encoding import format_time
from pcrlog.verification.checks import Check
from pcrlog.verification.report import Link, Report

_MARKS = {
    "proven": ("✓", GOOD),
    "claimed": ("~", WARN),
    "missing": ("·", DIM),
    "unchecked": ("?", WARN),
    "failed": ("✗", BAD),
}
_VERDICTS = {"verified": GOOD, "unchecked": "bold yellow", "refuted": BAD}
_GROUND = {
    "separate": "all of this rests on AWS, which makes the hardware; others run it",
    "same": "all of this rests on AWS, which makes the hardware and runs the machines",
    "unknown": "all of this rests on who makes the hardware and who runs the machines",
}
_MOST_CHECKS = 6


def rows_of(report: Report) -> Iterator[Row]:
    """The report, for people."""
    word, _, claim = report.headline.partition(": ")
    style = _VERDICTS[report.verdict]
    yield Row(((f"{word}: ", style),), claim, STRONG)
    yield blank()
    yield from (link_row(link) for link in report.links)
    yield Row((("    8 ", DIM), (f"{'ground':<17}", DIM)), _GROUND[report.ground], DIM)
    yield blank()
    yield from _failures(report)
    yield from (Row((("note: ", WARN),), remark) for remark in report.remarks)
    yield from _following(report)
    if report.checkpoint is not None:
        seen = report.checkpoint
        told = f"{seen.origin}, {seen.size} entries, {format_time(seen.time)}"
        yield Row((("log: ", DIM),), told, DIM)


def link_row(link: Link) -> Row:
    """One rung: mark, number, name, status, by whom, from which entries."""
    mark, style = _MARKS[link.status]
    number = PLAIN if link.status == "proven" else DIM
    by = ", ".join("this run" if who == "run" else who for who in link.by)
    entries = ", ".join(str(cited.index) for cited in link.evidence)
    plural = "entries" if len(link.evidence) > 1 else "entry"
    behind = f"{by} ({plural} {entries})" if entries and by else by
    return Row(
        (
            (f"  {mark} ", style),
            (f"{link.number} ", number),
            (f"{link.name:<17}", number),
            (f"{link.status:<11}", style),
        ),
        behind,
        DIM,
    )


def _failures(report: Report) -> Iterator[Row]:
    """The checks that decided, and what they found."""
    if report.verdict == "verified":
        return
    wanted = "fail" if report.verdict == "refuted" else "unchecked"
    deciding = [c for c in report.checks if c.required and c.status == wanted]
    # `policy.links` only sums up; what is behind it stands before it.
    told = [c for c in deciding if c.id != "policy.links"] or deciding
    for check in told[:_MOST_CHECKS]:
        yield _check_row(check)
    if len(told) > _MOST_CHECKS:
        yield say(f"  … and {len(told) - _MOST_CHECKS} more; --json has all", DIM)


def _check_row(check: Check) -> Row:
    mark, style = ("✗", BAD) if check.status == "fail" else ("?", WARN)
    lead = ((f"  {mark} ", style), (f"{check.id}  ", STRONG))
    if check.found == "not reached":
        return Row(lead, "not reached", DIM)
    return Row(lead, f"expected {check.expected}; found {check.found}")


def _following(report: Report) -> Iterator[Row]:
    """What the next link needs, from whom."""
    first = next((link for link in report.links if link.status != "proven"), None)
    if first is None or not first.next:
        return
    if report.verdict == "verified":
        yield Row(((f"next, link {first.number}: ", STRONG),), first.next)
