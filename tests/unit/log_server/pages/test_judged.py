"""The links as the log alone can tell: who says what, and never more than that."""

from typing import Any

import msgspec
import pytest

from log_server.databases import log_database
from log_server.pages.badge import fill_of
from log_server.pages.judged import Judged, judge
from log_server.pages.reading import Reading
from log_server.store import Store
from pcrlog.encoding import encode_json, format_time, sha256
from pcrlog.predicates import Audit, Build, Component, Control, Document, Release
from tests.unit.log_server.parties import (
    COMMIT,
    ISSUED,
    NITRO,
    NOW,
    ORIGIN,
    SOURCE,
    Log,
    Party,
    statement_sha256,
)

BUILD = Build(Document("https://git.example/recipe", "d" * 64))
DAY = 86_400


def judged(log: Log, index: int, *, now: int = NOW, most: int = 1000) -> Judged:
    store = Store(log_database(log.config))
    try:
        with store.published() as snapshot:
            reading = Reading(snapshot, ORIGIN)
            entry = reading.entry(index)
            assert isinstance(entry.predicate, Release)
            return judge(reading, entry, entry.predicate, now, most)
    finally:
        store.close()


def states(found: Judged) -> str:
    """The states of links 2 to 7, a letter each."""
    return "".join(link.state[0] for link in found.links[1:7])


def review(
    lab: Party, result: str = "pass", commit: str = COMMIT, **more: object
) -> bytes:
    predicate = Audit(
        log=ORIGIN,
        issuer=lab.name,
        issued=ISSUED,
        platform="source",
        identity=(("commit",),),
        scope="source-review",
        result=result,  # type: ignore[arg-type] # a test's word
        performed=ISSUED,
        **more,  # type: ignore[arg-type] # as above
    )
    return lab.sign(predicate, {"commit": f"gitCommit:{commit}"})


def test_a_bare_release_stands_and_nobody_says_more(log: Log, acme: Party) -> None:
    found = judged(log, log.accept(acme.release()))
    assert states(found) == "smmmmm"
    assert found.reach == 2
    assert [link.state for link in found.links][::7] == ["open", "ground"]
    assert found.links[1].by == ("acme.example",)
    assert "AWS" in found.links[7].words


def test_what_the_provider_names_is_claimed_and_no_more(log: Log, acme: Party) -> None:
    controls = (Control("kms-policy", "c" * 64),)
    index = log.accept(
        acme.release(source=SOURCE, build=BUILD, components=(), controls=controls)
    )
    found = judged(log, index)
    assert states(found) == "scmccc"
    assert found.reach == 2


def test_who_rebuilt_and_reviewed_is_named(log: Log, acme: Party, lab: Party) -> None:
    index = log.accept(acme.release(source=SOURCE, build=BUILD, components=()))
    none = sha256(encode_json(())).hex()
    rebuilt = log.accept(lab.reproduction(components=none))
    reviewed = log.accept(review(lab))
    found = judged(log, index)
    assert states(found) == "sccccm"
    assert [link.state for link in found.links[1:7]] == [
        "stands",
        *["confirmed"] * 4,
        "missing",
    ]
    assert found.reach == 6
    assert found.links[2].by == ("lab.example",)
    assert found.links[2].entries == (rebuilt,)
    assert found.links[3].entries == (reviewed,)
    assert found.links[4].words == "confirmed that it has no parts made elsewhere"
    assert found.auditors == ("lab.example",)


def test_findings_that_are_open_are_said(log: Log, acme: Party, lab: Party) -> None:
    index = log.accept(acme.release(source=SOURCE, build=BUILD))
    log.accept(
        review(lab, "qualified", open={"critical": 1, "high": 0, "medium": 0, "low": 0})
    )
    link = judged(log, index).links[3]
    assert link.state == "confirmed"
    assert link.words.endswith("with open findings")


def test_a_fail_is_against_its_link_and_the_release(
    log: Log, acme: Party, lab: Party
) -> None:
    index = log.accept(acme.release(source=SOURCE, build=BUILD))
    fail = log.accept(lab.reproduction(result="fail"))
    found = judged(log, index)
    assert states(found)[:2] == "aa"
    assert found.reach == 0
    assert found.links[2].by == ("lab.example",)
    assert found.links[2].entries == (fail,)
    assert "failed it" in found.against


def test_a_link_names_those_who_failed_it_and_nobody_else(
    log: Log, acme: Party, lab: Party
) -> None:
    index = log.accept(acme.release(source=SOURCE, build=BUILD))
    other = log.enrol("lens.example", "auditor")
    rebuilt = log.accept(lab.reproduction(result="fail"))
    reviewed = log.accept(review(other, "fail"))
    source, audit = judged(log, index).links[2:4]
    assert (source.by, source.entries) == (("lab.example",), (rebuilt,))
    assert (audit.by, audit.entries) == (("lens.example",), (reviewed,))


def test_a_revoked_release_is_spoken_against(log: Log, acme: Party) -> None:
    index = log.accept(acme.release())
    log.accept(acme.revocation())
    found = judged(log, index)
    assert states(found)[0] == "a"
    assert "revoked by acme.example as vulnerable" in found.against
    assert [one.index for one in found.said] == [index, index + 2]


def test_a_withdrawn_statement_and_an_expired_one_do_not_stand(
    log: Log, acme: Party
) -> None:
    envelope = acme.release()
    index = log.accept(envelope)
    said = statement_sha256(envelope)
    log.accept(acme.revocation(reason="withdrawn", statement=said))
    assert "withdrawn" in judged(log, index).against
    other = log.accept(acme.release(2, "2.0.0", expires=format_time(NOW + DAY)))
    assert judged(log, other).against == ""
    assert "expired" in judged(log, other, now=NOW + DAY).against


def test_a_conflict_is_found_from_either_side(log: Log, acme: Party) -> None:
    log.queue(acme.release(1), acme.release(2), conflict_accepted=True)
    log.sequence()
    with log.snapshot() as snapshot:
        newest = snapshot.size - 2
    for index in (newest - 1, newest):
        found = judged(log, index)
        assert len(found.conflicts) == 1
        assert "in conflict" in found.against
        assert {one.index for one in found.said} == {newest - 1, newest}


def test_parts_have_the_last_word_in_links_5_and_6(
    log: Log, acme: Party, lab: Party
) -> None:
    base = log.enrol("base.example", "provider")
    parts = (Component("base.example/proxy", "e" * 64),)
    index = log.accept(acme.release(source=SOURCE, build=BUILD, components=parts))
    listed = sha256(encode_json(parts)).hex()
    log.accept(lab.reproduction(components=listed))
    found = judged(log, index)
    assert found.links[4].state == "missing"
    assert "base.example has released no such artifact" in found.links[4].words
    members: dict[str, Any] = {
        "platform": "artifact",
        "identity": (("digest",),),
        "subject": {"digest": f"sha256:{'e' * 64}"},
    }
    log.accept(
        base.release(
            product="base.example/proxy",
            source=SOURCE,
            build=BUILD,
            components=(),
            **members,
        )
    )
    log.accept(lab.reproduction(components=sha256(encode_json(())).hex(), **members))
    found = judged(log, index)
    assert found.links[4].state == "confirmed"
    assert [one.product for one in found.components] == ["base.example/proxy"]
    assert found.links[5].state == "missing", "nobody reviewed its source"


def test_of_an_artifact_nothing_is_said_about_machines(log: Log) -> None:
    base = log.enrol("base.example", "provider")
    index = log.accept(
        base.release(
            platform="artifact",
            identity=(("digest",),),
            subject={"digest": f"sha256:{'e' * 64}"},
        )
    )
    first, *_, ground = judged(log, index).links
    assert "artifact" in first.words
    assert "no hardware" in ground.words


def test_a_key_that_was_compromised_confirms_nothing_any_more(
    log: Log, acme: Party, lab: Party
) -> None:
    index = log.accept(acme.release(source=SOURCE, build=BUILD))
    log.accept(lab.reproduction())
    assert judged(log, index).links[2].state == "confirmed"
    with log.snapshot() as snapshot:
        newest = [one for _, one in snapshot.identities(0)][-1]
    rows = log.identity(lab, "auditor")
    from pcrlog.envelope import Envelope  # noqa: PLC0415 - used here alone
    from pcrlog.statement import parse  # noqa: PLC0415 - as above

    predicate = parse(Envelope.parse(rows).payload).predicate
    lost = tuple(
        msgspec.structs.replace(key, status="compromised", since=0)
        for key in predicate.keys  # type: ignore[union-attr] # it is an identity
    )
    log.accept(
        log.identity(lab, "auditor", keys=lost, previous=statement_sha256(newest))
    )
    found = judged(log, index)
    assert found.links[2].state == "claimed"
    assert found.void == {index + 2}


@pytest.mark.parametrize("most", [1, 5])
def test_more_than_a_page_may_read_is_left_open(
    log: Log, acme: Party, lab: Party, most: int
) -> None:
    index = log.accept(acme.release(source=SOURCE, build=BUILD))
    for number in range(5):
        log.accept(lab.reproduction(expires=format_time(NOW + DAY + number)))
    assert NITRO in found_platforms(judged(log, index))
    found = judged(log, index, most=most)
    assert states(found) == "oooooo"
    assert found.reach == 0


def test_a_fail_cannot_be_crowded_out(log: Log, acme: Party) -> None:
    """Rather than judge without it, nothing is said."""
    index = log.accept(acme.release(source=SOURCE, build=BUILD))
    names = [f"l{number}.example" for number in range(34)]
    labs = [Party(name) for name in names]
    log.queue(*(log.identity(lab, "auditor") for lab in labs))
    log.sequence()
    log.queue(*(lab.reproduction() for lab in labs[:-1]))
    log.queue(labs[-1].reproduction(result="fail"))
    log.sequence()
    assert states(judged(log, index)) == "oooooo"


def test_a_review_of_what_an_auditor_rebuilt_counts_too(
    log: Log, acme: Party, lab: Party
) -> None:
    """The release names no source; whoever rebuilt it says which commit it was."""
    index = log.accept(acme.release())
    log.accept(lab.reproduction())
    lens = log.enrol("lens.example", "auditor")
    log.accept(review(lens, "fail"))
    found = judged(log, index)
    assert found.links[3].state == "against"
    assert found.links[3].by == ("lens.example",)


def found_platforms(found: Judged) -> set[str]:
    return {getattr(one.predicate, "platform", "") for one in found.said}


def test_a_part_that_no_longer_stands_speaks_against_the_whole(
    log: Log, acme: Party, lab: Party
) -> None:
    """Links 2 to 4 are said for all that: they would make a badge that looks well."""
    base = log.enrol("base.example", "provider")
    parts = (Component("base.example/proxy", "e" * 64),)
    listed = sha256(encode_json(parts)).hex()
    members: dict[str, Any] = {
        "platform": "artifact",
        "identity": (("digest",),),
        "subject": {"digest": f"sha256:{'e' * 64}"},
    }
    index = log.accept(acme.release(source=SOURCE, build=BUILD, components=parts))
    log.accept(lab.reproduction(components=listed))
    log.accept(review(lab))
    log.accept(
        base.release(
            product="base.example/proxy", source=SOURCE, build=BUILD, **members
        )
    )
    before = judged(log, index)
    assert (before.reach, before.against) == (4, "")
    assert before.state == "said to link 4 of 7"
    log.accept(base.revocation(**members))
    found = judged(log, index)
    assert states(found)[:5] == "sccaa"
    assert found.reach == 4
    assert found.state == "spoken against"
    assert fill_of(found) == fill_of(msgspec.structs.replace(found, reach=0))
    assert fill_of(found) != fill_of(before)
    assert "a part of it does not stand: base.example/proxy 1.0.0" in found.against
    assert "revoked by base.example" in found.against
