"""The eight links in a log's words: what each comes to, who is behind it, and where.

stands      link 2: the provider released it, and nothing in the log takes it back
confirmed   an auditor says so, who is named
claimed     the provider says so, and no auditor does
missing     nobody says it
against     somebody speaks against it, or took it back
open        link 1, which only a check of a live document closes; or more than a
page may read
ground      link 8
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from pcrlog.measurement import PLATFORMS
from pcrlog.predicates import Release
from pcrlog.verification.audits import distinct
from pcrlog.verification.components import blame
from pcrlog.verification.evaluate import SCOPE_OF_LINK, Chain
from pcrlog.verification.report import ComponentShown

State: TypeAlias = Literal[
    "stands", "confirmed", "claimed", "missing", "against", "open", "ground"
]

TITLES = {
    1: "Attestation",
    2: "Provider",
    3: "Source",
    4: "Audit",
    5: "Platform source",
    6: "Platform audit",
    7: "Controls",
    8: "Ground",
}
_STATES: dict[str, State] = {
    "proven": "confirmed",
    "claimed": "claimed",
    "missing": "missing",
    "failed": "against",
    "unchecked": "open",
}
_MISSING = {
    2: "Nobody under this product's name has released it.",
    3: "The release names no source or no recipe: nobody can rebuild it.",
    4: "No auditor has reviewed its source.",
    5: "The release does not say which parts it took from elsewhere.",
    6: "The release does not say which parts it took from elsewhere.",
    7: "The release does not say what hands over secrets.",
}
_CLAIMED = {
    3: "The provider names source, commit and recipe; no auditor has rebuilt it.",
    5: "The provider lists the parts; no auditor has found the list complete.",
    6: "The provider lists the parts; no auditor has found the list complete.",
    7: "The provider lists its controls; no auditor has reviewed them.",
}
_CONFIRMED = {
    3: "rebuilt it from source, and the same registers came out",
    4: "reviewed the source of this commit, and passed it",
    5: "found the list of parts complete; each part's source was rebuilt as well",
    6: "found the list of parts complete; each part's source was reviewed as well",
    7: "reviewed what hands over secrets, within the last 90 days",
}


class Link(Struct, frozen=True):
    """One link: its `state`, who is behind it, in words; the entries that say so."""

    number: int
    state: State
    words: str
    by: tuple[str, ...] = ()
    entries: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """Its name."""
        return TITLES[self.number]


def reach_of(links: Iterable[Link]) -> int:
    """To which link the statements reach, without a gap from link 2 on; else 0."""
    reach = 0
    for link in links:
        if link.number == 1:
            continue
        if link.state not in ("stands", "confirmed"):
            break
        reach = link.number
    return reach


def links_of(
    chain: Chain, release: Release, rows: tuple[ComponentShown, ...]
) -> tuple[Link, ...]:
    """The eight links of what was judged."""
    said = (_link(chain, number, rows) for number in range(3, 8))
    return (_attestation(release), _provider(chain), *said, _ground(release))


def unread(release: Release) -> tuple[Link, ...]:
    """The eight links of what is more than a page may read."""
    words = "More was said about this than a page may read; a verifier reads it all."
    links = (Link(number, "open", words) for number in range(2, 8))
    return (_attestation(release), *links, _ground(release))


def _attestation(release: Release) -> Link:
    platform = PLATFORMS.get(release.platform)
    if platform is not None and not platform.attests:
        words = "An artifact does not run by itself: compare its SHA-256."
    else:
        words = "Only your own check of a live enclave can tell; no log can."
    return Link(1, "open", words)


def _provider(chain: Chain) -> Link:
    status = chain.status[2]
    provider = chain.releases.subject.provider
    entries = tuple(entry.index for entry, _ in chain.releases.matching)
    if status == "proven":
        words = "released it, and nothing in this log takes that back"
        return Link(2, "stands", words, (provider,), entries[-1:])
    words = _MISSING[2]
    if status == "failed":
        words = f"{chain.against[:1].upper()}{chain.against[1:]}."
    return Link(2, _STATES[status], words, (), entries[-1:])


def _link(chain: Chain, number: int, rows: tuple[ComponentShown, ...]) -> Link:
    status = chain.status[number]
    audits = chain.behind[number]
    entries = tuple(entry.index for entry, _ in audits)
    blamed = blame(chain, rows, number)
    if status == "proven":
        return Link(
            number,
            "confirmed",
            _confirmed(chain, number),
            tuple(distinct(audits)),
            entries,
        )
    if status == "failed":
        # A fail of another link is not this auditor's word about this one.
        fails = chain.audits.fails.get(SCOPE_OF_LINK.get(number, ""), [])
        against = tuple(dict.fromkeys(e.predicate.issuer for e in fails))
        words = "says that it does not hold"
        if blamed is not None or not against:
            words = f"{blamed.words}." if blamed else f"{chain.against}."
            against = ()
        return Link(number, "against", words, against, tuple(e.index for e in fails))
    if blamed is not None:
        return Link(number, _STATES[status], f"{blamed.words}.", (), entries)
    words = _CLAIMED.get(number, "") if status == "claimed" else _MISSING[number]
    if status == "unchecked":
        words = "There is more of it than can be followed: too many parts, or too deep."
    return Link(number, _STATES[status], words)


def _confirmed(chain: Chain, number: int) -> str:
    newest = chain.releases.newest_valid
    if number in (5, 6) and newest is not None and newest[1].components == ():
        return "confirmed that it has no parts made elsewhere"
    if any(audit.result == "qualified" for _, audit in chain.behind[number]):
        return f"{_CONFIRMED[number]}, with open findings"
    return _CONFIRMED[number]


def _ground(release: Release) -> Link:
    platform = PLATFORMS.get(release.platform)
    if platform is None or platform.ground is None:
        return Link(8, "ground", "Nothing but the bytes: no hardware vouches for them.")
    maker = platform.ground.called
    words = f"All of this rests on {maker}, which makes the hardware"
    if platform.ground.alone:
        words += " and runs the machines"
    return Link(8, "ground", f"{words}.")
