"""The eight links of a measurement, as far as the log alone can tell.

The rules are the verifier's own (`pcrlog.verification`), asked as if every auditor in
the log counted: who is to count, and how many of them, only a reader's policy says. So
nothing here is ever called verified, and the states have other names (links.py).

Which auditors have spoken about a measurement is not in the index, whose keys name
their speaker: it is found by the words of plain search, for which nothing vouches.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from log_server.pages.links import Link, links_of, reach_of, unread
from log_server.pages.reading import Reading
from log_server.pages.words import digest_in
from log_server.problems import AnswerTooLargeError
from pcrlog.entry import Entry
from pcrlog.gather import Subject, gather
from pcrlog.measurement import Registers, spell
from pcrlog.policy import Policy
from pcrlog.policy_file import Auditor, Distrust, Product
from pcrlog.predicates import Audit, Release, Revocation
from pcrlog.statement import SCOPES
from pcrlog.verification.components import shown
from pcrlog.verification.evaluate import Evaluation
from pcrlog.verification.judge import Judge
from pcrlog.verification.report import ComponentShown

_AUDITORS, _DIGESTS = 32, 128
"""Auditors that are asked about, and digests by which they are looked for."""
_LISTED, _SEEN = 150, 512
"""Entries with a digest, and places of plain search that are looked at for them."""
ENTRIES = 150
"""Read for one measurement of many on a page; all were said about it, its source, its
parts and theirs, and their signers' keys."""
_ALL = Policy("", 0, 1 << 62, 300, False, False, Distrust(), {}, {}, {})  # noqa: FBT003 - a struct's members in order
"""A policy that demands nothing."""


class Judged(Struct, frozen=True):
    """A measurement of a product: its links, and all that was said about it.

    `reach`: the largest N of which links 2 to N all stand or are confirmed, else 0.
    `against`: what speaks against it or against a part of it, in words; so no link of
    what has none is `against`. `said`: ascending; `void`: of which entries the key was
    compromised, or lost its standing. `unread`: there is more than a page may read, and
    nothing is said.
    """

    links: tuple[Link, ...]
    reach: int
    against: str
    said: tuple[Entry, ...]
    conflicts: tuple[tuple[Entry, Entry], ...]
    components: tuple[ComponentShown, ...]
    auditors: tuple[str, ...]
    void: frozenset[int] = frozenset()
    unread: bool = False

    @property
    def state(self) -> str:
        """What it comes to, in words.

        >>> Judged((), 4, "", (), (), (), ()).state
        'said to link 4 of 7'
        """
        if self.unread:
            return "more than a page may read"
        if self.against:
            return "spoken against"
        return f"said to link {self.reach} of 7" if self.reach else "nothing stands"


def judge(
    reading: Reading, entry: Entry, release: Release, now: int, most: int = ENTRIES
) -> Judged:
    """What the log holds about a release's measurement, judged at `now`.

    Of more than `most` entries nothing is said: half of them could mislead.
    """
    try:
        with reading.at_most(most):
            return _judge(reading, entry, release, now)
    except AnswerTooLargeError:
        return Judged(unread(release), 0, "", (entry,), (), (), (), unread=True)


def _judge(reading: Reading, entry: Entry, release: Release, now: int) -> Judged:
    measurements = entry.statement.measurements
    auditors = tuple(sorted(_auditors(reading, release, entry.statement.registers)))
    subject = Subject(release.product, release.platform, measurements, auditors)
    gathering = gather(
        subject, reading.under, reading.under, lambda _product, above: above
    )
    authority = reading.authority(gathering.identities)
    rules = Product(
        platforms=(release.platform,),
        auditors=tuple(Auditor(name, SCOPES) for name in auditors),  # type: ignore[arg-type] # these are the three
        open_findings={},
    )
    judge = Judge(authority, _ALL, now, now)
    evaluation = Evaluation(judge, rules, incomplete=False)
    chain = evaluation.chain(subject, rules, entry.statement.registers)
    parts = shown(chain)
    links = links_of(chain, release, parts)
    said = {one.index: one for one in _about(subject)}
    return Judged(
        links,
        reach_of(links),
        chain.against or _against_a_part(links),
        tuple(said[index] for index in sorted(said)),
        tuple(chain.releases.conflicts),
        parts,
        auditors,
        frozenset(one.index for one in said.values() if authority.is_void(one)),
    )


def _against_a_part(links: Iterable[Link]) -> str:
    """What speaks against a part: whoever runs the whole runs it, too."""
    for link in links:
        if link.state == "against":
            return f"a part of it does not stand: {link.words.removesuffix('.')}"
    return ""


def _auditors(reading: Reading, release: Release, registers: Registers) -> set[str]:
    """Who has audited this, its source, its parts, or theirs.

    Raises:
        AnswerTooLargeError: more was said, or by more, than can be looked at: a fail
            could be among what is left out.
    """
    provider = release.product.partition("/")[0]
    measured = spell(release.identity, registers)
    # Whose releases lead on, and what to look for; nobody's do from a commit.
    todo = [(provider, digest_in(one)) for one in measured]
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        found, complete = reading.words(place[1], _LISTED, _SEEN)
        names |= {e.predicate.issuer for e in found if isinstance(e.predicate, Audit)}
        if not complete or len(names) > _AUDITORS or len(seen) > _DIGESTS:
            message = "more was said about this, or by more, than a page may read"
            raise AnswerTooLargeError(message)
        for entry in found:
            todo += _leads_on(entry, place[0])
    return names


def _leads_on(entry: Entry, provider: str) -> Iterator[tuple[str, str]]:
    """From a release or an audit to the commits and parts that it names."""
    said = entry.predicate
    if isinstance(said, Audit) and said.source is not None:
        yield "", said.source.commit
    if isinstance(said, Release) and said.issuer == provider:
        if said.source is not None:
            yield "", said.source.commit
        for part in said.components or ():
            yield part.product.partition("/")[0], part.sha256


def _about(subject: Subject) -> Iterator[Entry]:
    """What was said about a measurement of a product, and its commits."""
    reviews = (found for one in subject.reviews.values() for found in one.values())
    for entries in (*subject.statements.values(), *reviews, *subject.rivals.values()):
        for entry in entries:
            said = entry.predicate
            own = isinstance(said, Release) and said.product == subject.product
            if own or isinstance(said, Audit | Revocation):
                yield entry
