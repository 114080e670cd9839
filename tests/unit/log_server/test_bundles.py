"""Bundles: every answer that a verifier asks for, each with a proof that holds."""

import pytest
from flask.testing import FlaskClient

from pcrlog import limits, trie
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.entry import Entry, read_entry
from pcrlog.gather import Gathering, Subject, gather
from pcrlog.index_keys import by, index_keys, key_hash
from pcrlog.merkle import check_inclusion, leaf_hash
from pcrlog.note import UnverifiedNote
from pcrlog.predicates import Basis, Component
from pcrlog.seal import Seal
from tests.unit.log_server.parties import (
    COMMIT,
    NITRO,
    PRODUCT,
    SOURCE,
    Log,
    Party,
    measurement,
    statement_sha256,
)
from tests.unit.log_server.test_submit_api import slug

DIGEST = "d" * 64


def proven(log: Log, data: bytes) -> tuple[Bundle, Checkpoint]:
    """A bundle of which every proof was checked against the log's key."""
    bundle = Bundle.parse(data)
    note = UnverifiedNote.parse(bundle.note)
    checkpoint = open_checkpoint(note, log.config.vkey())
    size, root = checkpoint.size, checkpoint.root
    check_inclusion(leaf_hash(bundle.seal), size - 1, size, bundle.seal_proof, root)
    seal = Seal.parse(bundle.seal)
    assert seal.count == size - 1
    for key, answer in bundle.answers.items():
        hashed = key_hash(key)
        if answer.indices:
            value = trie.value_of(answer.indices)
            trie.check_presence(seal.root, hashed, value, answer.proof)
        else:
            trie.check_absence(seal.root, hashed, answer.proof)
    for index, entry in bundle.entries.items():
        check_inclusion(leaf_hash(entry.envelope.raw), index, size, entry.proof, root)
    return bundle, checkpoint


def ask(
    log: Log, client: FlaskClient, number: int, *auditors: str, product: str = PRODUCT
) -> tuple[Bundle, Checkpoint]:
    answer = client.get(
        "/api/v1/bundle",
        query_string={
            "product": product,
            "measurement": f"{NITRO}/{measurement(number)}",
            "auditor": list(auditors),
        },
    )
    assert answer.status_code == 200, answer.data
    return proven(log, answer.data)


def walk(bundle: Bundle, number: int, *auditors: str) -> Gathering:
    """The verifier's walk over a bundle: fails if an answer or an entry is missing."""

    def answer(key: str) -> list[Entry]:
        indices = bundle.answers[key].indices
        entries = [read_entry(i, bundle.entries[i].envelope) for i in indices]
        for entry in entries:
            assert key in index_keys(entry.envelope.raw)
        return entries

    subject = Subject(PRODUCT, NITRO, (measurement(number),), auditors)
    return gather(subject, answer, answer, lambda _product, above: above)


def test_a_release_is_answered_with_all_that_is_asked(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    release = log.accept(acme.release(1))
    audit = log.accept(lab.reproduction(1))
    bundle, checkpoint = ask(log, client, 1, "lab.example")
    assert checkpoint.size == 10
    found = walk(bundle, 1, "lab.example")
    assert [entry.index for entry in found.entries()] == [0, 2, 4, release, audit]


def test_what_is_not_in_the_log_is_proven_absent(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.accept(acme.release(1))
    bundle, _ = ask(log, client, 2, "nobody.example")
    key = by("acme.example", NITRO, measurement(2))
    assert bundle.answers[key].indices == ()
    assert bundle.answers["v1/identity/nobody.example"].indices == ()
    walk(bundle, 2, "nobody.example")


def test_an_empty_index_is_no_special_case(log: Log, client: FlaskClient) -> None:
    bundle, checkpoint = ask(log, client, 1)
    assert checkpoint.size == 2
    walk(bundle, 1)


def test_revocations_by_provider_and_registrar_cannot_be_left_out(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.accept(acme.release(1))
    ours = log.accept(acme.revocation(1))
    theirs = log.accept(log.registrar.revocation(1, "compromised"))
    bundle, _ = ask(log, client, 1)
    assert {ours, theirs} <= bundle.entries.keys()


def test_rivals_of_a_version_come_with_what_is_said_of_them(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.accept(acme.release(1))
    log.queue(acme.release(2), conflict_accepted=True)
    log.sequence()
    revocation = log.accept(acme.revocation(2))
    bundle, _ = ask(log, client, 1)
    found = walk(bundle, 1)
    assert len(found.subjects[0].rivals["1.0.0"]) == 2
    assert revocation in bundle.entries


def test_reviews_come_along_their_basis(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    log.accept(acme.release(1, source=SOURCE))
    older = "1" * 40
    first = lab.reproduction(
        platform="source",
        identity=(("commit",),),
        scope="source-review",
        source=None,
        subject={"commit": f"gitCommit:{older}"},
    )
    second = lab.reproduction(
        platform="source",
        identity=(("commit",),),
        scope="source-review",
        source=None,
        basis=Basis(older, statement_sha256(first)),
        subject={"commit": f"gitCommit:{COMMIT}"},
    )
    indices = {log.accept(first), log.accept(second)}
    bundle, _ = ask(log, client, 1, "lab.example")
    assert indices <= bundle.entries.keys()
    reviews = walk(bundle, 1, "lab.example").subjects[0].reviews["lab.example"]
    assert sorted(reviews) == [older, COMMIT]


def test_components_are_walked_under_their_own_provider(
    log: Log, acme: Party, lab: Party, client: FlaskClient
) -> None:
    part = log.enrol("parts.example", "provider")
    index = log.accept(
        part.release(
            platform="artifact",
            identity=(("digest",),),
            product="parts.example/sidecar",
            subject={"digest": f"sha256:{DIGEST}"},
        )
    )
    log.accept(
        acme.release(1, components=(Component("parts.example/sidecar", DIGEST),))
    )
    bundle, _ = ask(log, client, 1, "lab.example")
    found = walk(bundle, 1, "lab.example")
    assert [one.product for one in found.subjects] == [PRODUCT, "parts.example/sidecar"]
    assert index in bundle.entries


def test_answers_stay_those_of_the_published_checkpoint(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    log.accept(acme.release(1))
    before = ask(log, client, 1)
    log.queue(acme.revocation(1))

    def stop(name: str) -> None:
        if name == "committed":
            raise InterruptedError

    with pytest.raises(InterruptedError), log.sequencer(stop) as sequencer:
        sequencer.round()
    assert ask(log, client, 1) == before
    log.sequence()
    assert ask(log, client, 1)[1].size == 8


def test_bundles_hold_at_every_size_of_the_log(
    log: Log, acme: Party, client: FlaskClient
) -> None:
    for i in range(12):
        log.accept(acme.release(i, f"{i}.0.0"))
        walk(ask(log, client, i)[0], i)
    for i in range(12):
        walk(ask(log, client, i)[0], i)


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ({"product": PRODUCT}, f"v1/product/{PRODUCT}"),
        ({"identity": "acme.example"}, "v1/identity/acme.example"),
        ({"issuer": "acme.example"}, "v1/issuer/acme.example"),
        (
            {"measurement": f"{NITRO}/{measurement(1)}"},
            f"v1/measurement/{NITRO}/{measurement(1)}",
        ),
        ({"product": "nobody.example/nothing"}, "v1/product/nobody.example/nothing"),
    ],
)
def test_a_lookup_is_a_bundle_of_the_one_answer(
    log: Log, acme: Party, client: FlaskClient, query: dict[str, str], key: str
) -> None:
    log.accept(acme.release(1))
    answer = client.get("/api/v1/lookup", query_string=query)
    bundle, _ = proven(log, answer.data)
    assert list(bundle.answers) == [key]
    assert tuple(bundle.entries) == bundle.answers[key].indices


def test_a_long_lookup_has_all_indices_and_the_newest_entries(
    log: Log, acme: Party, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("log_server.bundles.LOOKUP_ENTRIES", 2)
    indices = [log.accept(acme.release(1, f"1.0.{i}")) for i in range(4)]
    answer = client.get("/api/v1/lookup", query_string={"product": PRODUCT})
    bundle, _ = proven(log, answer.data)
    assert bundle.answers[f"v1/product/{PRODUCT}"].indices == tuple(indices)
    assert sorted(bundle.entries) == indices[-2:]


def test_a_lookup_of_large_entries_has_fewer_of_them(
    log: Log, acme: Party, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    indices = [log.accept(acme.release(1, f"1.0.{i}")) for i in range(4)]
    monkeypatch.setattr("log_server.bundles.LOOKUP_BYTES", 1)
    answer = client.get("/api/v1/lookup", query_string={"product": PRODUCT})
    bundle, _ = proven(log, answer.data)
    assert bundle.answers[f"v1/product/{PRODUCT}"].indices == tuple(indices)
    assert sorted(bundle.entries) == indices[-1:]


@pytest.mark.parametrize("limit", ["BUNDLE", "BUNDLE_ENTRIES", "BUNDLE_ANSWERS"])
def test_what_a_verifier_would_not_take_is_not_made(
    log: Log,
    acme: Party,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    log.accept(acme.release(1))
    monkeypatch.setattr(limits, limit, 2)
    answer = client.get(
        "/api/v1/bundle",
        query_string={"product": PRODUCT, "measurement": f"{NITRO}/{measurement(1)}"},
    )
    assert slug(answer) == "answer-too-large"
