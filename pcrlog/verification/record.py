"""The checks of the release, `release.match` to `policy.distrust`, as recorded.

Evidence against always fails its check. That something is lacking (a release, a pass),
or that nothing speaks against it, can only be said when all answers are there; else the
check is unchecked.
"""

from collections.abc import Iterator

from pcrlog.errors import MalformedError
from pcrlog.verification import components
from pcrlog.verification.audits import distinct
from pcrlog.verification.checks import CheckStatus, Recorder
from pcrlog.verification.evaluate import SCOPE_OF_LINK, Chain
from pcrlog.verification.links import Status

_NEED_ALL = (
    "release.valid",
    "release.conflict",
    "release.version",
    "audits.quorum",
    "audits.fails",
    "components",
    "controls",
)
"""What passes only if nothing speaks against it: not while an answer is missing."""


def record(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    """Record the checks from `release.match` to `policy.distrust`."""
    _record_release(chain, recorder, incomplete=incomplete)
    _record_version(chain, recorder)
    _record_audits(chain, recorder, incomplete=incomplete)
    _record_platform(chain, recorder)
    _record_distrust(chain, recorder)
    for check in _NEED_ALL if incomplete else ():
        expected = "all that was said, of a fresh checkpoint"
        recorder.note(check, "unchecked", expected, "answers that are not complete")


def _lacking(*, incomplete: bool) -> CheckStatus:
    return "unchecked" if incomplete else "fail"


def _record_release(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    releases = chain.releases
    subject = releases.subject
    expected = f"a release by {subject.provider} of {subject.product}, all registers"
    if not releases.matching:
        found = "none: nobody who may say so says what this is"
        if subject.releases:
            found = "releases with this identity, but other registers differ"
        lacking = _lacking(incomplete=incomplete)
        recorder.note("release.match", lacking, expected, found)
        return
    entry, release = releases.matching[-1]
    found = f"entry {entry.index}: {release.product} {release.version}"
    recorder.note("release.match", "pass", expected, found)
    expected = "one that is not void, expired or revoked"
    if releases.newest_valid is None:
        reason = releases.against(entry, release)
        found = f"{release.product} {release.version} (entry {entry.index}) {reason}"
        recorder.note("release.valid", "fail", expected, found)
    else:
        entry, release = releases.newest_valid
        found = f"entry {entry.index}: {release.product} {release.version}"
        recorder.note("release.valid", "pass", expected, found)
    expected = "no other release of the same version with other registers"
    if releases.conflicts:
        entry, rival = releases.conflicts[0]
        found = f"entries {entry.index} and {rival.index} give one version two builds"
        recorder.note("release.conflict", "fail", expected, found)
    else:
        recorder.note("release.conflict", "pass", expected, "none stands")


def _record_version(chain: Chain, recorder: Recorder) -> None:
    releases = chain.releases
    wanted = releases.rules.lowest_version
    check = "release.version"
    if wanted is None:
        recorder.note(check, "pass", "nothing: the policy sets no lowest version", "")
        return
    expected = f"first released as version {wanted} or later"
    if not releases.matching:
        recorder.note(check, "unchecked", expected, "no release")
        return
    status: CheckStatus = "fail" if releases.below_lowest else "pass"
    try:
        lowest = releases.lowest_version()
        found = f"this measurement counts as {lowest}, the lowest it was released under"
    except MalformedError as error:
        found = str(error)
    recorder.note(check, status, expected, found)


def _record_audits(chain: Chain, recorder: Recorder, *, incomplete: bool) -> None:
    rules = chain.releases.rules
    demanded = [n for n in SCOPE_OF_LINK if n in rules.links]
    wanted, lacks = [], False
    for number in demanded:
        scope = SCOPE_OF_LINK[number]
        have, want = len(distinct(chain.behind[number])), rules.counts.of(scope)
        wanted.append(f"{scope} {have} of {want}")
        lacks |= have < want
    status: CheckStatus = _lacking(incomplete=incomplete) if lacks else "pass"
    expected = "the passes that the policy's links demand"
    recorder.note(
        "audits.quorum", status, expected, ", ".join(wanted) or "none demanded"
    )
    fails = [entry for entries in chain.audits.fails.values() for entry in entries]
    expected = "no fail of a counted auditor"
    if fails:
        entry = fails[0]
        scope = getattr(entry.predicate, "scope", "")
        found = f"{entry.predicate.issuer} failed it in a {scope} (entry {entry.index})"
        recorder.note("audits.fails", "fail", expected, found)
    else:
        recorder.note("audits.fails", "pass", expected, "none stands")


def _record_platform(chain: Chain, recorder: Recorder) -> None:
    rules = chain.releases.rules
    for check, numbers in (("components", (5, 6)), ("controls", (7,))):
        statuses = {n: chain.status[n] for n in numbers}
        demanded = [n for n in numbers if n in rules.links]
        if "failed" in statuses.values():
            status: CheckStatus = "fail"
        elif all(statuses[n] == "proven" for n in demanded):
            status = "pass"
        elif any(statuses[n] == "unchecked" for n in demanded):
            status = "unchecked"
        else:
            status = "fail"
        expected = "none failed" if not demanded else f"links {demanded} proven"
        found = ", ".join(_at(chain, statuses))
        recorder.note(check, status, expected, found)


def _at(chain: Chain, statuses: dict[int, Status]) -> Iterator[str]:
    """What each link came to, and the component that it ends at, if it is one."""
    rows = components.shown(chain) if len(statuses) > 1 else ()
    for number, status in statuses.items():
        blamed = components.blame(chain, rows, number)
        yield f"link {number} {status}{f' ({blamed.words})' if blamed else ''}"


def _record_distrust(chain: Chain, recorder: Recorder) -> None:
    releases = chain.releases
    distrust, subject = releases.judge.policy.distrust, releases.subject
    names = {f"{subject.platform}/{m}" for m in subject.measurements}
    named = sorted(names & set(distrust.measurements))
    named += [
        f"entry {entry.index}"
        for entry, _ in releases.matching[-1:]
        if releases.newest_valid is None
        and (entry.sha256 in distrust.statements or entry.keyid in distrust.keys)
    ]
    status: CheckStatus = "fail" if named else "pass"
    expected = "nothing that the policy distrusts"
    recorder.note("policy.distrust", status, expected, ", ".join(named) or "none")
