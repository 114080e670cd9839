"""What the log already says of a release, before anything is added to it.

The same walk and the same judgement as in `verify`, over the answers of one bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cli.logs import Access, View, measurements_of, platform_of
from pcrlog.authority import Authority
from pcrlog.entry import Entry
from pcrlog.gather import Subject, gather
from pcrlog.measurement import PLATFORMS, Registers, spell
from pcrlog.policy_file import Product
from pcrlog.predicates import REGISTRAR, Revocation
from pcrlog.statement import Statement
from pcrlog.verification.judge import Judge
from pcrlog.verification.releases import Releases


@dataclass
class Found:
    """What is said of registers as a product's: `releases` judges it."""

    view: View
    authority: Authority
    releases: Releases

    @property
    def condemned(self) -> Entry | None:
        """The revocation that holds for the measurement itself, if there is one."""
        subject = self.releases.subject
        for name in (subject.provider, REGISTRAR):
            for entry in subject.statements.get(name, ()):
                said = entry.predicate
                if isinstance(said, Revocation) and said.statement is None:
                    return entry
        return None

    def same(self, statement: Statement) -> Entry | None:
        """The valid release that differs from this one in `issued` alone."""
        for entry, release in reversed(self.releases.matching):
            if not self.releases.against(entry, release) and is_same(
                entry.statement, statement
            ):
                return entry
        return None


def look(
    access: Access,
    product: str,
    registers: Registers,
    now: int,
    auditors: Sequence[str] = (),
) -> Found:
    """Ask the log about registers as a product's, and judge its answer."""
    platform = platform_of(registers)
    names = tuple(auditors)
    view = access.open(access.bundle(product, measurements_of(registers), names))
    measurements = spell(PLATFORMS[platform].identity, registers)
    subject = Subject(product, platform, measurements, names)
    gathering = gather(
        subject, view.ask, view.ask_if_there, lambda _product, above: above
    )
    authority = view.judge(gathering.entries())
    for one in gathering.subjects:
        one.drop(gathering.repeats())
    judge = Judge(authority, access.rules, now, now)
    rules = access.rules.find_product(product) or Product(platforms=(platform,))
    return Found(view, authority, Releases(judge, subject, rules, registers))


def is_same(one: Statement, other: Statement, *members: str) -> bool:
    """Whether two statements differ in nothing but `issued` (and `members`)."""
    if type(one.predicate) is not type(other.predicate):
        return False
    ours = {name: getattr(other.predicate, name) for name in ("issued", *members)}
    renewed = msgspec.structs.replace(one.predicate, **ours)
    return renewed == other.predicate and one.registers == other.registers
