"""A report as people read it: the headline, the ladder of links, what to do next."""

import re
from collections.abc import Iterator, Sequence

from cli.output import BAD, DIM, GOOD, PLAIN, STRONG, WARN, Row, blank, say
from pcrlog.encoding import format_time
from pcrlog.verification.checks import NOT_REACHED, OF_COLLATERAL, Check
from pcrlog.verification.components import NUMBERS, name_of
from pcrlog.verification.ground import facts_of
from pcrlog.verification.links import ORDER
from pcrlog.verification.report import ComponentShown, Link, Report, Share

MARKS = {
    "proven": ("✓", GOOD),
    "claimed": ("~", WARN),
    "missing": ("·", DIM),
    "unchecked": ("?", WARN),
    "failed": ("✗", BAD),
}
_VERDICTS = {"verified": GOOD, "unchecked": "bold yellow", "refuted": BAD}
OTHER_KEY = "another key"
"""How check `channel` begins to say that the document names somebody else's key."""
TIMELESS = "it names no time"
"""How check `document.time` begins to say that the document cannot tell its age."""
_OF_LINK_1 = ("document.", "channel")
"""How names of checks begin that decide on link 1, a platform's own among them."""
_MOST_CHECKS = 6
_MOST_COMPONENTS = 8
_LONG_HEX = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{24,}\b")
"""People compare the beginnings; --json has all of it."""


def rows_of(report: Report) -> Iterator[Row]:
    """The report, for people."""
    word, _, claim = report.headline.partition(": ")
    style = _VERDICTS[report.verdict]
    yield Row(((f"{word}: ", style),), claim, STRONG, hang=2)
    yield blank()
    yield from ladder(report.links, report.components, _why_unchecked(report))
    yield Row((("    8 ", DIM), (f"{'ground':<17}", DIM)), ground_of(report), DIM)
    yield blank()
    yield from _failures(report)
    if report.verdict != "refuted":
        yield from (Row((("note: ", WARN),), remark) for remark in report.remarks)
    yield from _following(report)
    if report.checkpoint is not None:
        seen = report.checkpoint
        told = f"{seen.origin}, {seen.size} entries, {format_time(seen.time)}"
        yield Row((("log: ", DIM),), told, DIM)


def ladder(
    links: Sequence[Link], components: Sequence[ComponentShown], why: str = ""
) -> Iterator[Row]:
    """The links; below 5 and 6, what each component comes to there.

    Args:
        links: from top to bottom.
        components: all of them.
        why: link 1 is unchecked, if nothing else says so.
    """
    for link in links:
        yield link_row(link, why if link.number == 1 else "")
        yield from component_rows(link.number, components)


def component_rows(number: int, components: Sequence[ComponentShown]) -> Iterator[Row]:
    """Components at a link, in their order; of many, the worst, and none proven."""
    rows = [
        (one, share)
        for one in components
        for share in one.links
        if share.number == number
    ]
    if len(rows) > _MOST_COMPONENTS:
        open_ = [row for row in rows if row[1].status != "proven"]
        if len(open_) < len(rows):
            yield say(f"      ✓ {len(rows) - len(open_)} components are proven", DIM)
        rows = sorted(open_, key=lambda row: ORDER.index(row[1].status))
    yield from (_component_row(*row) for row in rows[:_MOST_COMPONENTS])
    if len(rows) > _MOST_COMPONENTS:
        rest = len(rows) - _MOST_COMPONENTS
        yield say(f"        and {rest} more; --json has all", DIM)


def _component_row(one: ComponentShown, share: Share) -> Row:
    mark, style = MARKS[share.status]
    told = share.found or cited(share)
    lead = f"    {'  ' * one.depth}"
    return Row(
        (
            (f"{lead}{mark} ", style),
            (f"{name_of(one)}  ", PLAIN),
            (f"{share.status}  ", style),
        ),
        told,
        DIM,
        hang=len(lead) + 2,
    )


def cited(link: Link | Share) -> str:
    """By whom, from which entries."""
    by = ", ".join("this run" if who == "run" else who for who in link.by)
    entries = ", ".join(str(cited.index) for cited in link.evidence)
    plural = "entries" if len(link.evidence) > 1 else "entry"
    return f"{by} ({plural} {entries})" if entries and by else by


def ground_of(report: Report) -> str:
    """Link 8 in a sentence: on whom all the others rest."""
    facts, operator = facts_of(report.platform), report.infrastructure.operator
    if facts is None:
        return "all of this rests on who makes the hardware and who runs the machines"
    rests = f"all of this rests on {facts.called}, which makes the hardware"
    if report.ground == "same":
        return f"{rests} and runs the machines: {facts.called} could forge it"
    others = f"{operator} runs the machines" if operator else "who runs it is not said"
    return f"{rests}: {facts.called} could forge it; {others}"


def link_row(link: Link, why: str = "") -> Row:
    """One rung: mark, number, name, status, by whom, from which entries; or `why`."""
    mark, style = MARKS[link.status]
    number = PLAIN if link.status == "proven" else DIM
    behind = cited(link)
    if link.by == ("run",) and link.status != "proven":
        behind = ""
    if link.number in NUMBERS and link.status in ("missing", "failed") and behind:
        behind = f"the list: {behind}"
    behind = behind or why
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


def _why_unchecked(report: Report) -> str:
    """Why link 1 is unchecked, where no check below is going to say so.

    Where no release was found, nobody said in which field such an enclave names its
    key; so check `channel` was not reached.
    """
    if report.links[0].status != "unchecked":
        return ""
    unmade = [
        check
        for check in report.checks
        if check.required
        and check.status == "unchecked"
        and check.id.startswith(_OF_LINK_1)
    ]
    if not unmade:
        return "an archived document says nothing of now"
    if unmade[0].found != NOT_REACHED:
        told = f"{unmade[0].id}: {unmade[0].found}"
        return told if report.verdict == "refuted" else ""
    if report.links[1].status == "missing":
        return "no release says where it names its key"
    return "no answer to where it names its key"


def _failures(report: Report) -> Iterator[Row]:
    """The checks that decided, and what they found."""
    if report.verdict == "verified":
        return
    wanted = "fail" if report.verdict == "refuted" else "unchecked"
    deciding = [c for c in report.checks if c.required and c.status == wanted]
    told = told_of(deciding)
    for check in told[:_MOST_CHECKS]:
        yield check_row(check)
    if len(told) > _MOST_CHECKS:
        yield say(f"  … and {len(told) - _MOST_CHECKS} more; --json has all", DIM)


def told_of(checks: Sequence[Check]) -> list[Check]:
    """Of checks that did not pass, those that say why.

    `policy.links` only sums up, and what was not reached says nothing, as long as there
    is something else to say.
    """
    reached = [check for check in checks if check.found != "not reached"] or checks
    return [check for check in reached if check.id != "policy.links"] or list(reached)


def check_row(check: Check) -> Row:
    """A check that did not pass: what was expected, and what was found."""
    mark, style = ("✗", BAD) if check.status == "fail" else ("?", WARN)
    lead = ((f"  {mark} ", style), (f"{check.id}  ", STRONG))
    if check.found == "not reached":
        return Row(lead, "not reached", DIM)
    text = f"expected {check.expected}; found {check.found}"
    return Row(lead, _LONG_HEX.sub(r"\1…", text), hang=6)


def _following(report: Report) -> Iterator[Row]:
    """What to do next: what the next link needs and from whom, or what went wrong."""
    if report.verdict == "refuted":
        yield Row((("next: ", STRONG),), "do not send it anything")
        return
    if report.verdict == "unchecked":
        unmade = (c for c in report.checks if c.required and c.status == "unchecked")
        for advice in filter(None, map(_advice, unmade)):
            yield Row((("next: ", STRONG),), advice, hang=2)
            return
    first = next((link for link in report.links if link.status != "proven"), None)
    if first is not None and first.next:
        yield Row(((f"next, link {first.number}: ", STRONG),), first.next, hang=2)


def _advice(check: Check) -> str:
    if check.id == "channel" and check.found.startswith(OTHER_KEY):
        return "do not send it anything: somebody may stand between you and the enclave"
    if check.id == "document.time" and check.found.startswith(TIMELESS):
        return _ADVICE["document.nonce"]
    return _ADVICE.get(check.id, "")


_ADVICE = {
    **dict.fromkeys(
        OF_COLLATERAL,
        "get what the maker says of its machines now: --collateral FILE, or name a"
        " service in the policy (pccs)",
    ),
    "policy.valid": "get a newer policy from whoever gave you this one (pcrlog policy"
    " update, if it names who may sign the next)",
    "document.time": "set this machine's clock, and ask again",
    "document.nonce": "ask the enclave yourself: --url URL, or say what you sent with"
    " --nonce HEX",
    "channel": "ask over the connection that you will use: --url https://…, or"
    " --binding with what yours showed",
    "log.signature": "get the log's answers: try again, or --bundle FILE",
    "log.witnesses": "fetch again in a while: not enough witnesses have seen this"
    " state of the log",
    "log.index-monitors": "fetch again in a while: not enough index monitors have"
    " checked this state of the log",
    "log.freshness": "fetch a new bundle; this one hides whatever came later",
    "answers.present": "fetch a bundle for this product, this policy and this enclave:"
    " pcrlog bundle",
    "entries.authority": "upgrade pcrlog: the log holds what this version cannot read",
}
