"""Which answers a verification needs (PROTOCOL.md section 4), walked over a log."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pcrlog import limits
from pcrlog.entry import Entry
from pcrlog.gather import Gathering, Subject, gather
from pcrlog.predicates import REGISTRAR, Basis, Build, Component, Document, Source
from tests.support.memory_log import MemoryLog, registers

ACME, LAB, LENS, PARTS = "acme.example", "lab.example", "lens.example", "parts.example"
WALLET = f"{ACME}/wallet"
GOOD, OTHER = registers("good"), registers("other")
M, M_OTHER = (f"PCR0={one['PCR0']}" for one in (GOOD, OTHER))
COMMITS = [f"{n:02x}" * 20 for n in range(1, 17)]
BUILD = Build(Document("https://acme.example/recipe", "cd" * 32))


def at(commit: str) -> Source:
    return Source("https://git.example/acme/wallet", commit)


@pytest.fixture
def log() -> MemoryLog:
    made = MemoryLog()
    made.enroll(ACME, "provider")
    made.enroll(PARTS, "provider")
    made.enroll(LAB, "auditor")
    made.enroll(LENS, "auditor")
    return made


@dataclass
class Walk:
    """A walk over a log, and what it asked."""

    log: MemoryLog
    asked: list[str] = field(default_factory=list)
    asked_if_there: list[str] = field(default_factory=list)
    auditors: dict[str, Sequence[str]] = field(default_factory=dict)

    def _read(self, key: str) -> list[Entry]:
        return [self.log.entries[index] for index in self.log.index.get(key, ())]

    def ask(self, key: str) -> list[Entry]:
        self.asked.append(key)
        return self._read(key)

    def ask_if_there(self, key: str) -> list[Entry]:
        self.asked_if_there.append(key)
        return self._read(key)

    def run(self, *auditors: str) -> Gathering:
        subject = Subject(WALLET, "aws-nitro", (M,), auditors)
        return gather(
            subject,
            self.ask,
            self.ask_if_there,
            self.auditors.get,
        )


def about(name: str, measurement: str = M, platform: str = "aws-nitro") -> str:
    return f"v1/by/{name}/{platform}/{measurement}"


def reviewed(name: str, commit: str) -> str:
    return f"v1/by/{name}/source/commit=gitCommit:{commit}"


def digest(n: int) -> str:
    return f"{n + 1:064x}"


def release_part(
    log: MemoryLog, n: int, components: Sequence[Component] | None = None
) -> Component:
    """A component numbered n, released by parts.example."""
    product = f"{PARTS}/p{n}"
    listed = None
    if components is not None:
        listed = tuple(sorted(components, key=Component.order))
    log.release(
        product,
        "1.0.0",
        {"digest": f"sha256:{digest(n)}"},
        platform="artifact",
        components=listed,
    )
    return Component(product, digest(n))


def release(log: MemoryLog, *components: Component) -> int:
    listed = tuple(sorted(components, key=Component.order))
    return log.release(WALLET, "1.0.0", GOOD, components=listed)


# --- keys -----------------------------------------------------------------------------


def test_nothing_released_is_asked_of_provider_auditors_and_registrar(
    log: MemoryLog,
) -> None:
    walk = Walk(log)
    gathering = walk.run(LAB, LENS)
    names = (ACME, LAB, LENS, REGISTRAR)
    assert set(walk.asked) == {
        *map(about, names),
        *(f"v1/identity/{name}" for name in names),
    }
    assert walk.asked_if_there == []
    assert [subject.complete for subject in gathering.subjects] == [True]
    assert [entry.index for entry in gathering.entries()] == [0, 1, 3, 4]


def test_a_release_is_asked_for_its_version_and_its_commit(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[0]), build=BUILD)
    plain, walk = Walk(log), Walk(log)
    plain.run()
    walk.run(LAB, LENS)
    assert f"v1/version/{WALLET}/1.0.0" in plain.asked
    more = {
        *(about(name) for name in (LAB, LENS)),
        *(f"v1/identity/{name}" for name in (LAB, LENS)),
        *(reviewed(name, COMMITS[0]) for name in (LAB, LENS)),
    }
    assert set(walk.asked) == set(plain.asked) | more


def test_every_m_of_the_document_is_asked(log: MemoryLog) -> None:
    walk = Walk(log)
    subject = Subject(WALLET, "aws-nitro", (M, M_OTHER), (LAB,))
    gather(subject, walk.ask, walk.ask_if_there, lambda _product, above: above)
    for name in (ACME, LAB, REGISTRAR):
        assert {about(name, M), about(name, M_OTHER)} <= set(walk.asked)


def test_each_commit_of_releases_and_reproductions_is_asked(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[0]))
    log.release(WALLET, "1.1.0", GOOD, source=at(COMMITS[1]))
    log.release(f"{ACME}/other", "9.0.0", GOOD, source=at(COMMITS[9]))
    log.audit(LAB, "reproduction", GOOD, source=at(COMMITS[2]))
    log.audit(LAB, "reproduction", GOOD, source=at(COMMITS[3]), result="fail", found=())
    walk = Walk(log)
    gathering = walk.run(LAB, LENS)
    assert sorted(gathering.subjects[0].commits) == COMMITS[:4]
    for name in (LAB, LENS):
        asked = {key for key in walk.asked if key.startswith(f"v1/by/{name}/source/")}
        assert asked == {reviewed(name, commit) for commit in COMMITS[:4]}
    assert f"v1/version/{ACME}/other/9.0.0" not in walk.asked


def test_a_reproduction_by_nobody_who_counts_names_no_commit(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD)
    log.audit(LAB, "reproduction", GOOD, source=at(COMMITS[2]))
    walk = Walk(log)
    walk.run(LENS)
    assert not [key for key in walk.asked if "/source/" in key]


def test_only_a_reproduction_names_a_commit(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD)
    log.audit(LAB, "later-scope", GOOD, source=at(COMMITS[2]))
    walk = Walk(log)
    walk.run(LAB)
    assert not [key for key in walk.asked if "/source/" in key]


# --- what reviews build on ------------------------------------------------------------


def review(log: MemoryLog, name: str, commit: str, basis: int | None = None) -> int:
    named = None
    if basis is not None:
        entry = log.entries[basis]
        commit_of = entry.statement.registers["commit"].partition(":")[2]
        named = Basis(commit_of, entry.sha256)
    subject = {"commit": f"gitCommit:{commit}"}
    return log.audit(name, "source-review", subject, basis=named)


def chain_of_reviews(log: MemoryLog, bases: int) -> None:
    """A review of commit 0 that builds on `bases` earlier ones, one on the next."""
    basis = None
    for n in range(bases, -1, -1):
        basis = review(log, LAB, COMMITS[n], basis)
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[0]))


def test_the_basis_of_a_review_is_asked_of_its_auditor_alone(log: MemoryLog) -> None:
    chain_of_reviews(log, 2)
    walk = Walk(log)
    gathering = walk.run(LAB, LENS)
    assert {key for key in walk.asked if "/source/" in key} == {
        reviewed(LENS, COMMITS[0]),
        *(reviewed(LAB, COMMITS[n]) for n in range(3)),
    }
    assert set(gathering.subjects[0].reviews[LAB]) == set(COMMITS[:3])


def test_eight_bases_are_followed(log: MemoryLog) -> None:
    chain_of_reviews(log, limits.BASIS_CHAIN)
    walk = Walk(log)
    gathering = walk.run(LAB)
    assert reviewed(LAB, COMMITS[8]) in walk.asked
    assert gathering.subjects[0].complete


def test_a_ninth_basis_is_not_followed(log: MemoryLog) -> None:
    chain_of_reviews(log, limits.BASIS_CHAIN + 1)
    walk = Walk(log)
    gathering = walk.run(LAB)
    assert reviewed(LAB, COMMITS[8]) in walk.asked
    assert reviewed(LAB, COMMITS[9]) not in walk.asked
    assert not gathering.subjects[0].complete


def test_a_commit_is_met_on_its_shortest_way(log: MemoryLog) -> None:
    """Commit 9 is nine reviews behind commit 0, and a release's own as well."""
    basis = review(log, LAB, COMMITS[10])
    for n in range(9, 0, -1):
        basis = review(log, LAB, COMMITS[n], basis)
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[9]))
    log.release(WALLET, "1.1.0", GOOD, source=at(COMMITS[1]))
    walk = Walk(log)
    gathering = walk.run(LAB)
    assert reviewed(LAB, COMMITS[10]) in walk.asked
    assert gathering.subjects[0].complete


def test_reviews_in_a_circle_end(log: MemoryLog) -> None:
    first = review(log, LAB, COMMITS[0])
    second = review(log, LAB, COMMITS[1], first)
    review(log, LAB, COMMITS[0], second)
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[0]))
    walk = Walk(log)
    gathering = walk.run(LAB)
    assert walk.asked.count(reviewed(LAB, COMMITS[0])) == 1
    assert gathering.subjects[0].complete


# --- rivals ---------------------------------------------------------------------------


def test_a_rival_of_another_measurement_is_asked_about_if_there(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD)
    rival = log.release(WALLET, "1.0.0", OTHER)
    walk = Walk(log)
    gathering = walk.run(LAB)
    keys = {about(ACME, M_OTHER), about(REGISTRAR, M_OTHER)}
    assert set(walk.asked_if_there) == keys
    assert keys.isdisjoint(walk.asked)
    [subject] = gathering.subjects
    assert [entry.index for entry in subject.rivals["1.0.0"]] == [rival - 1, rival]
    assert [e.index for e in subject.rival_statements[about(ACME, M_OTHER)]] == [rival]


def test_a_rival_of_the_same_measurement_needs_no_more_answers(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD)
    log.release(WALLET, "1.0.0", GOOD | {"PCR1": OTHER["PCR1"]})
    walk = Walk(log)
    walk.run(LAB)
    assert walk.asked_if_there == []


def test_what_is_no_rival_is_not_asked_about(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD)
    log.release(WALLET, "1.0.0", {"x": "sha256:" + digest(1)}, platform="later")
    log.release(WALLET, "2.0.0", OTHER)
    walk = Walk(log)
    walk.run(LAB)
    assert walk.asked_if_there == []
    assert f"v1/version/{WALLET}/2.0.0" not in walk.asked


def test_each_version_that_was_ever_given_is_asked(log: MemoryLog) -> None:
    index = log.release(WALLET, "1.0.0", GOOD)
    log.revoke(ACME, "withdrawn", index)
    log.release(WALLET, "1.1.0", GOOD, expires="2020-01-01T00:00:00Z")
    walk = Walk(log)
    walk.run()
    versions = {key for key in walk.asked if key.startswith("v1/version/")}
    assert versions == {f"v1/version/{WALLET}/{v}" for v in ("1.0.0", "1.1.0")}


# --- components -----------------------------------------------------------------------


def test_a_component_is_asked_of_its_own_provider(log: MemoryLog) -> None:
    release(log, release_part(log, 1))
    walk = Walk(log)
    gathering = walk.run(LAB)
    m = f"digest=sha256:{digest(1)}"
    assert {
        *(about(name, m, "artifact") for name in (PARTS, LAB, REGISTRAR)),
        f"v1/identity/{PARTS}",
        f"v1/version/{PARTS}/p1/1.0.0",
    } <= set(walk.asked)
    assert about(ACME, m, "artifact") not in walk.asked
    assert [one.product for one in gathering.subjects] == [WALLET, f"{PARTS}/p1"]


def test_a_component_has_auditors_of_its_own_or_those_above(log: MemoryLog) -> None:
    nested = release_part(log, 1)
    release(log, release_part(log, 2, [nested]))
    walk = Walk(log, auditors={f"{PARTS}/p2": (LENS,)})
    gathering = walk.run(LAB)
    assert {one.product: one.auditors for one in gathering.subjects} == {
        WALLET: (LAB,),
        f"{PARTS}/p2": (LENS,),
        f"{PARTS}/p1": (LENS,),
    }


def test_a_component_that_nobody_released_is_asked_about_too(log: MemoryLog) -> None:
    release(log, Component("unheard.example/part", digest(1)))
    walk = Walk(log)
    walk.run()
    assert "v1/identity/unheard.example" in walk.asked
    assert (
        about("unheard.example", f"digest=sha256:{digest(1)}", "artifact") in walk.asked
    )


def test_a_component_of_two_is_walked_once(log: MemoryLog) -> None:
    shared = release_part(log, 1)
    parts = [release_part(log, n, [shared]) for n in (2, 3)]
    release(log, *parts)
    walk = Walk(log)
    gathering = walk.run()
    assert len(gathering.subjects) == 4
    root = gathering.subjects[0]
    [left, right] = [
        root.parts[one.product, one.sha256].parts[shared.product, shared.sha256]
        for one in parts
    ]
    assert left is right
    assert all(one.complete for one in gathering.subjects)


def test_one_product_at_two_digests_is_two_components(log: MemoryLog) -> None:
    part = release_part(log, 1)
    release(log, part, Component(part.product, digest(2)))
    gathering = Walk(log).run()
    assert len(gathering.subjects) == 3


def test_components_in_a_circle_could_not_be_walked(log: MemoryLog) -> None:
    part = release_part(log, 1, [Component(f"{PARTS}/p2", digest(2))])
    release_part(log, 2, [part])
    release(log, part)
    gathering = Walk(log).run()
    assert len(gathering.subjects) == 3
    assert [one.complete for one in gathering.subjects] == [True, True, False]


def test_a_component_of_itself_could_not_be_walked(log: MemoryLog) -> None:
    part = release_part(log, 1, [Component(f"{PARTS}/p1", digest(1))])
    release(log, part)
    gathering = Walk(log).run()
    assert [one.complete for one in gathering.subjects] == [True, False]


@pytest.mark.parametrize(("depth", "complete"), [(8, True), (9, False)])
def test_components_may_be_eight_deep(
    log: MemoryLog, *, depth: int, complete: bool
) -> None:
    part = release_part(log, 0)
    for n in range(1, depth):
        part = release_part(log, n, [part])
    release(log, part)
    gathering = Walk(log).run()
    assert len(gathering.subjects) == 1 + min(depth, limits.COMPONENT_DEPTH)
    assert all(one.complete for one in gathering.subjects) is complete


@pytest.mark.parametrize(("more", "complete"), [(32, True), (33, False)])
def test_components_may_be_sixty_four_in_all(
    log: MemoryLog, *, more: int, complete: bool
) -> None:
    nested = [release_part(log, n) for n in range(100, 100 + more)]
    parts = [release_part(log, n) for n in range(1, 32)]
    last = [release_part(log, 50, nested[:-1]), release_part(log, 51, nested[-1:])]
    release(log, *parts[1:], *last)
    gathering = Walk(log).run()
    assert all(one.complete for one in gathering.subjects) is complete
    assert len(gathering.subjects) == 65


def test_layers_of_components_do_not_multiply(log: MemoryLog) -> None:
    """Eight layers of eight, each naming all below: 64 walks, not 8 to the 8th."""
    below: list[Component] = []
    for layer in range(8):
        below = [release_part(log, 8 * layer + n, below) for n in range(8)]
    release(log, *below)
    walk = Walk(log)
    gathering = walk.run()
    assert len(gathering.subjects) == 65
    assert all(one.complete for one in gathering.subjects)
    assert len(walk.asked) < 1000


def test_components_of_every_release_are_walked(log: MemoryLog) -> None:
    """Which release counts is judged later: the newest may be revoked."""
    log.release(WALLET, "1.0.0", GOOD, components=(release_part(log, 1),))
    log.release(WALLET, "1.1.0", GOOD, components=(release_part(log, 2),))
    gathering = Walk(log).run()
    products = [one.product for one in gathering.subjects]
    assert products == [WALLET, f"{PARTS}/p2", f"{PARTS}/p1"]


# --- what was found -------------------------------------------------------------------


def test_entries_are_each_once_and_in_the_order_of_the_log(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[0]))
    log.audit(LAB, "reproduction", GOOD, source=at(COMMITS[0]))
    review(log, LAB, COMMITS[0])
    log.release(WALLET, "1.0.0", OTHER)
    log.enroll("unasked.example", "provider")
    gathering = Walk(log).run(LAB)
    assert [entry.index for entry in gathering.entries()] == [0, 1, 3, 5, 6, 7, 8]


def test_a_second_leaf_of_one_statement_is_a_repeat(log: MemoryLog) -> None:
    first = log.release(WALLET, "1.0.0", GOOD)
    log.release(WALLET, "1.0.1", GOOD)
    second = log.append(log.leaves[first])
    assert Walk(log).run().repeats() == {second}


def test_what_is_dropped_is_found_nowhere(log: MemoryLog) -> None:
    log.release(WALLET, "1.0.0", GOOD, source=at(COMMITS[0]))
    log.audit(LAB, "reproduction", GOOD, source=at(COMMITS[0]))
    review(log, LAB, COMMITS[0])
    log.release(WALLET, "1.0.0", OTHER)
    [subject] = Walk(log).run(LAB).subjects
    found = {entry.index for entry in subject.entries()}
    assert found == {5, 6, 7, 8}
    subject.drop({6, 7, 8})
    assert {entry.index for entry in subject.entries()} == {5}
    subject.drop({5})
    assert list(subject.entries()) == []
    assert subject.releases == []
