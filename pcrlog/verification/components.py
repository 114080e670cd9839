"""Links 5 and 6 by name: what each component of a release comes to, and who is next.

A release's links 5 and 6 are the worst of its list and of its components (links.py),
and say which of the two words for it. Here is each component by itself, with its share
in both, but without what its own components add: these follow it, one level deeper. So
the worst of the rows is the place where trust ends, and it has a name.

    link    worst of: is the list confirmed, and the shares of all rows
    share   worst of: is it released and stands (its link 2); its link 3 (in link 5) or
            4 (in link 6); if it names components itself, is that list confirmed
"""

from msgspec import Struct
from msgspec.structs import replace

from pcrlog.predicates import Component, Release
from pcrlog.statement import REPRODUCTION, SOURCE_REVIEW
from pcrlog.verification import links
from pcrlog.verification.audits import distinct
from pcrlog.verification.evaluate import Chain
from pcrlog.verification.links import Status
from pcrlog.verification.report import Cited, ComponentShown, Share

NUMBERS = (5, 6)
"""The links that components have a share in."""
_CUT = "too many components, too deep, or in a circle"
_ASK_AGAIN = "you: ask again, with what the checks say is lacking"
_SHORT = 12
"""Hex digits that name an artifact to people."""
_REBUILT, _REVIEWED = 3, 4
_WORK = {
    _REBUILT: ("rebuilt it", "rebuild", REPRODUCTION),
    _REVIEWED: ("reviewed its source", "review the source of", SOURCE_REVIEW),
}
"""By link of a component: what was not done, what is to do, in which scope."""


def shown(chain: Chain) -> tuple[ComponentShown, ...]:
    """All components below a release, each once, in the order of the lists.

    What a component names follows it, one level deeper, unless it stands further out.
    """
    judged = _judged(chain)
    found: list[ComponentShown] = []
    seen: set[tuple[str, str]] = set()

    def walk(chain: Chain, depth: int) -> None:
        here = [one for one, _ in chain.parts if _key(one) not in seen]
        seen.update(map(_key, here))  # before what is deeper: none hides a sibling
        for component in here:
            part = judged.get(_key(component))
            found.append(_shown(component, part, depth))
            if part is not None:
                walk(part, depth + 1)

    walk(chain, 1)
    return tuple(found)


def _judged(chain: Chain) -> dict[tuple[str, str], Chain]:
    """All components that were judged: one way to them may be cut, and another not."""
    found: dict[tuple[str, str], Chain] = {}
    todo = [chain]
    while todo:
        for component, part in todo.pop().parts:
            if part is not None and _key(component) not in found:
                found[_key(component)] = part
                todo.append(part)
    return found


def _key(component: Component) -> tuple[str, str]:
    return component.product, component.sha256


class Blame(Struct, frozen=True):
    """The component that a link ends at, and its share there."""

    component: ComponentShown
    share: Share

    @property
    def words(self) -> str:
        """Its name, and why."""
        return f"{name_of(self.component)}: {self.share.found}"


def blame(chain: Chain, rows: tuple[ComponentShown, ...], number: int) -> Blame | None:
    """The first component that makes a link as bad as it is; None: its list does.

    The list comes first, since anything may be missing from it.

    Args:
        chain: of the release.
        rows: all components below it.
        number: of the link; 5 and 6 have components.
    """
    status = chain.status[number]
    if number not in NUMBERS or status in ("proven", listed(chain)):
        return None
    for row in rows:
        share = row.links[number - NUMBERS[0]]
        if share.status == status:
            return Blame(row, share)
    return None


def name_of(row: ComponentShown) -> str:
    """A component as people call it: with its version, or its digest if it has none."""
    return f"{row.product} {row.version or f'({row.sha256[:_SHORT]}…)'}"


def _shown(component: Component, part: Chain | None, depth: int) -> ComponentShown:
    version = None
    if part is not None and part.releases.matching:
        release = part.releases.newest_valid or part.releases.matching[-1]
        version = release[1].version
    row = ComponentShown(component.product, component.sha256, version, depth, ())
    return replace(row, links=tuple(_share(row, part, number) for number in NUMBERS))


def _share(row: ComponentShown, part: Chain | None, number: int) -> Share:
    if part is None:
        return Share(number, "unchecked", (), (), _CUT, _ASK_AGAIN)
    statuses = {2: part.status[2], number - 2: part.status[number - 2]}
    status = links.worst(*statuses.values(), listed(part))
    if status == "failed":
        found, following = _failed(row, part)
    elif status == "unchecked":
        found, following = "could not be checked", _ASK_AGAIN
    elif part.status[2] == "missing":
        found, following = _unreleased(row)
    elif statuses[number - 2] == "proven":
        found, following = ("", "") if status == "proven" else _unlisted(row, part)
    else:
        found, following = _open(row, part, number - 2)
    by, evidence = _behind(part, number - 2, status)
    return Share(number, status, by, evidence, found, following)


def listed(part: Chain) -> Status:
    """What a list comes to without what is on it; an empty one asks for nothing."""
    if not part.parts:
        return "proven"
    confirmed = len(distinct(part.audits.components_confirmed))
    asked = part.audits.rules.counts.reproduction
    return "proven" if confirmed >= asked else "claimed"


# --- in words: what was found, and who would have to do what --------------------------


def _failed(row: ComponentShown, part: Chain) -> tuple[str, str]:
    found = part.against or "something speaks against it"
    following = (
        f"the provider: a new build without this {row.product}; or who speaks against"
        " it takes it back"
    )
    return found, following


def _unreleased(row: ComponentShown) -> tuple[str, str]:
    provider = row.product.partition("/")[0]
    following = (
        f"{provider}: release it (pcrlog component add sha256:{row.sha256} --product"
        f" {row.product})"
    )
    return f"{provider} has released no such artifact", following


def _unlisted(row: ComponentShown, part: Chain) -> tuple[str, str]:
    following = (
        f"an auditor: rebuild {name_of(row)}, and confirm that its list is complete"
        f" (--components-complete{_index(part)})"
    )
    have = len(distinct(part.audits.components_confirmed))
    asked = part.audits.rules.counts.reproduction
    who = f"only {have} of {asked} auditors" if have else "nobody"
    return f"{who} confirmed its own list of components", following


def _open(row: ComponentShown, part: Chain, link: int) -> tuple[str, str]:
    """Its link 3 or 4 is missing or claimed."""
    release = part.releases.newest_valid
    lacks = _lacks(release[1], link) if release else ""
    if lacks:
        provider = row.product.partition("/")[0]
        following = (
            f"{provider}: release {name_of(row)} with its source, commit and recipe"
            " (pcrlog component add)"
        )
        return f"its release names no {lacks}", following
    did, verb, scope = _WORK[link]
    have, asked = len(distinct(part.behind[link])), part.audits.rules.counts.of(scope)
    who = f"only {have} of {asked} auditors have" if have else "nobody has"
    words = f"--scope {scope}{_index(part)}"
    if scope == REPRODUCTION:
        words = f"--rebuild …{_index(part)}, or {words}"
    following = f"an auditor: {verb} {name_of(row)} (pcrlog cosign {words})"
    return f"{who} {did}", following


def _lacks(release: Release, link: int) -> str:
    """What a release would have to name, so that somebody can rebuild or review it."""
    if release.source is None:
        return "source"
    return "recipe" if link == _REBUILT and release.build is None else ""


def _index(part: Chain) -> str:
    release = part.releases.newest_valid
    return f" {release[0].index}" if release else ""


def _behind(
    part: Chain, link: int, status: Status
) -> tuple[tuple[str, ...], tuple[Cited, ...]]:
    """Who stands behind a share, and the entries: its release first, then audits."""
    release = part.releases.newest_valid
    released = [entry for entry, _ in part.releases.matching[-1:]]
    fails = [entry for found in part.audits.fails.values() for entry in found]
    if status == "failed":  # never by who rebuilt it: `found` says who
        by, entries = [entry.predicate.issuer for entry in fails], fails or released
    elif release is None:
        by, entries = [], released
    else:
        audits = part.behind[link]
        by = distinct(audits) or [part.releases.subject.provider]
        entries = [release[0], *(entry for entry, _ in audits)]
    cited = (Cited(entry.index, entry.keyid) for entry in entries)
    return tuple(dict.fromkeys(by)), tuple(cited)
