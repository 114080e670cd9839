"""Bundles that lack, add or swap; logs that lie (PROTOCOL.md section 4).

What is missing could not be checked, what is false refutes, what nobody asked for is
ignored, and nothing of it is an exception.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog import trie
from pcrlog.bundle import Answer, Bundle
from pcrlog.checkpoint import cosign
from pcrlog.encoding import encode_json
from pcrlog.envelope import assemble, sign_envelope
from pcrlog.errors import MalformedError, UsageError
from pcrlog.index_keys import by, key_hash
from pcrlog.keys import keyid_of
from pcrlog.note import NoteSigner, SignatureLine, UnverifiedNote
from pcrlog.predicates import IdentityKey
from pcrlog.seal import Seal
from pcrlog.verification import Report, foresee
from tests.support.memory_log import START, MemoryLog, active, key, witness
from tests.support.scene import (
    BAD,
    DAY,
    GOOD,
    HOUR,
    LAB,
    LENS,
    M1,
    PRODUCT,
    PROVIDER,
    W1,
    W2,
    Inputs,
    Scene,
    changed,
    document,
    found,
    ladder,
    link,
    not_passed,
    quorum,
    status,
)

M = f"PCR0={GOOD['PCR0']}"
BY_PROVIDER = by(PROVIDER, "aws-nitro", M)


def foreseen(inputs: Inputs, bundle: Bundle | bytes) -> Report:
    """What the log's side comes to; the document's is left out, to save time."""
    data = bundle if isinstance(bundle, bytes) else bundle.encode()
    return foresee(
        GOOD,
        data,
        inputs.policy,
        product=PRODUCT,
        platform="aws-nitro",
        now=inputs.now,
    )


def log_side(report: Report) -> dict[str, str]:
    """The checks that did not pass, of those that are not the document's."""
    return {
        check: came_to
        for check, came_to in not_passed(report).items()
        if not check.startswith(("document.", "policy.links"))
    }


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """A run in which seven links are demanded, and proven."""
    scene = Scene()
    scene.complete()
    made = scene.inputs(policy=scene.policy(product={"links": list(range(1, 8))}))
    report = made.report()
    assert ladder(report) == "ppppppp"
    assert report.exit_code == 0
    return made


@pytest.fixture(scope="module")
def bundle(inputs: Inputs) -> Bundle:
    return inputs.parsed


def with_answer(bundle: Bundle, name: str, answer: Answer | None) -> Bundle:
    answers = {k: a for k, a in bundle.answers.items() if k != name}
    return changed(
        bundle, answers=answers if answer is None else {**answers, name: answer}
    )


def unproven(report: Report) -> None:
    """An answer was wrong: refuted, and nothing rests on it."""
    assert log_side(report)["answers.proofs"] == "fail"
    assert report.verdict == "refuted"
    assert link(report, 2) == "unchecked"


# --- what is missing ------------------------------------------------------------------


def test_no_answer_can_be_left_out(inputs: Inputs, bundle: Bundle) -> None:
    assert len(bundle.answers) == 17
    for name in bundle.answers:
        report = inputs.tampered(with_answer(bundle, name, None))
        assert not_passed(report)["answers.present"] == "unchecked", name
        assert "fail" not in not_passed(report).values(), name
        assert found(report, "answers.present").count("missing") == 1
        assert report.exit_code == 3, name
        assert ladder(report) == "puuuuuu", name


def test_no_entry_can_be_left_out(inputs: Inputs, bundle: Bundle) -> None:
    assert len(bundle.entries) == 11
    for index in bundle.entries:
        entries = {i: e for i, e in bundle.entries.items() if i != index}
        report = inputs.tampered(changed(bundle, entries=entries))
        assert not_passed(report)["answers.present"] == "unchecked", index
        assert "fail" not in not_passed(report).values(), index
        assert report.exit_code == 3, index
        assert ladder(report) == "puuuuuu", index


def test_a_bundle_of_nothing_could_not_be_checked(
    inputs: Inputs, bundle: Bundle
) -> None:
    report = inputs.tampered(changed(bundle, answers={}, entries={}))
    assert report.exit_code == 3
    assert ladder(report) == "puuuuuu"


def test_evidence_against_refutes_though_another_answer_is_missing() -> None:
    scene = Scene()
    index = scene.release()
    scene.log.revoke(PROVIDER, "vulnerable", index)
    inputs = scene.inputs()
    missing = by(LAB, "aws-nitro", M)
    report = inputs.tampered(with_answer(inputs.parsed, missing, None))
    assert not_passed(report)["release.valid"] == "fail"
    assert report.exit_code == 4


def test_what_nobody_may_say_is_no_evidence_while_identities_are_missing() -> None:
    """The revocation may be a stranger's: without identities, who knows."""
    scene = Scene()
    index = scene.release()
    scene.log.revoke(PROVIDER, "vulnerable", index)
    inputs = scene.inputs()
    missing = f"v1/identity/{PROVIDER}"
    report = inputs.tampered(with_answer(inputs.parsed, missing, None))
    assert report.exit_code == 3
    assert "fail" not in not_passed(report).values()


def test_a_bundle_about_another_image_could_not_be_checked() -> None:
    scene = Scene()
    scene.release()
    scene.release("1.4.3", BAD)
    report = scene.inputs(BAD).report(attestation=document(GOOD))
    assert not_passed(report)["answers.present"] == "unchecked"
    assert report.exit_code == 3


# --- what is wrong --------------------------------------------------------------------


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_no_hash_of_an_answers_proof_can_be_changed(
    inputs: Inputs, bundle: Bundle
) -> None:
    tried = 0
    for name, answer in bundle.answers.items():
        present = bool(answer.indices)
        other, steps = trie.split_proof(answer.proof, present=present)
        for at in range(len(steps)):
            bit, sibling = steps[at]
            forged = [*steps]
            forged[at] = (bit, flipped(sibling, 7))
            proof = trie.encode_proof(forged, other)
            wrong = with_answer(bundle, name, Answer(answer.indices, proof))
            unproven(foreseen(inputs, wrong))
            tried += 1
    assert tried > 2 * len(bundle.answers)


def wrong_indices(answer: Answer) -> Iterator[tuple[int, ...]]:
    """Other lists, that would be as plausible."""
    indices = answer.indices
    if indices:
        yield (*indices[:-1], indices[-1] + 1)
        yield (*indices, indices[-1] + 1)
        yield (*indices, indices[-1])
    if len(indices) > 1:
        yield indices[:-1]
        yield indices[1:]
        yield tuple(reversed(indices))
    else:
        yield (0,)


def test_an_answer_has_exactly_the_indices_that_the_index_has(
    inputs: Inputs, bundle: Bundle
) -> None:
    scene = Scene()
    for version in ("1.4.1", "1.4.2"):
        scene.release(version)
        scene.log.now += 1
        scene.reproduce()
    many = scene.inputs()
    tried = 0
    for made, parsed in ((inputs, bundle), (many, many.parsed)):
        for name, answer in parsed.answers.items():
            for wrong in wrong_indices(answer):
                if wrong == answer.indices:
                    continue
                try:
                    data = with_answer(
                        parsed, name, Answer(wrong, answer.proof)
                    ).encode()
                except MalformedError:
                    continue  # A proof of absence cannot even be written as presence.
                unproven(foreseen(made, data))
                tried += 1
    assert tried > 40


def test_presence_cannot_be_shown_as_absence(inputs: Inputs, bundle: Bundle) -> None:
    """Not by the proof of another key's absence, and not by an empty one."""
    absent = next(a for a in bundle.answers.values() if not a.indices)
    for name, answer in bundle.answers.items():
        if answer.indices:
            for proof in (absent.proof, b""):
                wrong = with_answer(bundle, name, Answer((), proof))
                unproven(foreseen(inputs, wrong))


def test_absence_cannot_be_shown_by_the_key_itself(
    inputs: Inputs, bundle: Bundle
) -> None:
    """The leaf of the key, given as the other leaf that stands in its place."""
    answer = bundle.answers[BY_PROVIDER]
    _, steps = trie.split_proof(answer.proof, present=True)
    own = (key_hash(BY_PROVIDER), trie.value_of(answer.indices))
    wrong = Answer((), trie.encode_proof(steps, own))
    unproven(foreseen(inputs, with_answer(bundle, BY_PROVIDER, wrong)))


def test_answers_cannot_be_swapped(inputs: Inputs, bundle: Bundle) -> None:
    names = list(bundle.answers)
    for one, other in pairwise(names):
        first, second = bundle.answers[one], bundle.answers[other]
        assert first != second
        swapped = {**bundle.answers, one: second, other: first}
        report = foreseen(inputs, changed(bundle, answers=swapped))
        unproven(report)


def outside(report: Report) -> None:
    """An entry is not in the tree: refuted, and nothing rests on it."""
    assert log_side(report)["entries.inclusion"] == "fail"
    assert report.verdict == "refuted"


def test_no_hash_of_an_entrys_proof_can_be_changed(
    inputs: Inputs, bundle: Bundle
) -> None:
    for index, entry in bundle.entries.items():
        for at, node in enumerate(entry.proof):
            forged = [*entry.proof]
            forged[at] = flipped(node, 7)
            for proof in (tuple(forged), entry.proof[:at], (*entry.proof, node)):
                wrong = {**bundle.entries, index: changed(entry, proof=proof)}
                outside(foreseen(inputs, changed(bundle, entries=wrong)))


def test_entries_cannot_be_swapped(inputs: Inputs, bundle: Bundle) -> None:
    indices = list(bundle.entries)
    for one, other in pairwise(indices):
        first, second = bundle.entries[one], bundle.entries[other]
        swapped = {**bundle.entries, one: second, other: first}
        outside(foreseen(inputs, changed(bundle, entries=swapped)))


def test_no_entry_can_be_replaced_by_another_that_somebody_signed(
    inputs: Inputs, bundle: Bundle
) -> None:
    for index, entry in bundle.entries.items():
        payload = json.loads(entry.envelope.payload)
        payload["predicate"]["issued"] = "2026-11-23T07:00:01Z"
        forged = Scene().log
        leaf = sign_envelope(encode_json(payload), [key(PROVIDER)])
        forged.append(leaf, force=True)
        included = forged.included(len(forged.leaves) - 1)
        wrong = changed(entry, envelope=included.envelope)
        entries = {**bundle.entries, index: wrong}
        outside(foreseen(inputs, changed(bundle, entries=entries)))


def test_no_hash_of_the_seals_proof_can_be_changed(
    inputs: Inputs, bundle: Bundle
) -> None:
    for at, node in enumerate(bundle.seal_proof):
        forged = [*bundle.seal_proof]
        forged[at] = flipped(node, 7)
        for proof in (tuple(forged), bundle.seal_proof[:at]):
            report = foreseen(inputs, changed(bundle, seal_proof=proof))
            assert log_side(report)["log.seal"] == "fail"
            assert report.verdict == "refuted"


@pytest.mark.parametrize("what", ["time", "root", "count", "frozen", "another leaf"])
def test_the_seal_is_the_last_leaf_and_no_other(
    inputs: Inputs, bundle: Bundle, what: str
) -> None:
    seal = Seal.parse(bundle.seal)
    forged = {
        "time": changed(seal, time=seal.time + 1),
        "root": changed(seal, root=bytes(32)),
        "count": changed(seal, count=seal.count - 1),
        "frozen": changed(seal, frozen=True),
        "another leaf": seal,
    }[what].encode()
    if what == "another leaf":
        forged = bundle.entries[1].envelope.raw
    report = foreseen(inputs, changed(bundle, seal=forged[:256]))
    assert log_side(report)["log.seal"] == "fail"
    assert report.verdict == "refuted"


def test_an_earlier_seal_is_not_the_last_leaf(inputs: Inputs) -> None:
    scene = Scene()
    scene.release()
    scene.seal()
    before = scene.inputs().parsed
    scene.release("1.4.3", BAD)
    scene.seal()
    made = scene.inputs()
    mixed = changed(made.parsed, seal=before.seal, seal_proof=before.seal_proof)
    report = made.tampered(mixed)
    assert status(report, "log.seal") == "fail"
    assert report.exit_code == 4
    newer = changed(made.parsed, note=before.note)
    assert made.tampered(newer).exit_code == 4


def test_every_changed_byte_of_a_bundle_is_noticed(inputs: Inputs) -> None:
    """A sample; it is never an exception, and link 2 is never proven."""
    data = inputs.bundle or b""
    assert link(foreseen(inputs, data), 2) == "proven"
    for place in range(0, len(data), 61):
        for bit in (1, 0x20):
            forged = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            report = foreseen(inputs, forged)
            assert link(report, 2) != "proven", place
            assert report.verdict != "verified"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"<html>", b"{" * 9999]
)
def test_what_is_no_bundle_is_no_exception(inputs: Inputs, data: bytes) -> None:
    report = inputs.report(bundle=data)
    assert status(report, "log.signature") == "fail"
    assert ladder(report) == "puuuuuu"
    assert report.checkpoint is None


# --- what nobody asked for ------------------------------------------------------------


def test_what_nobody_asked_for_is_ignored(inputs: Inputs, bundle: Bundle) -> None:
    """Even where it is false: nothing of a bundle is looked at before it is asked."""
    junk = trie.encode_proof([(9, b"j" * 32)])
    answers = {
        **bundle.answers,
        "v1/by/nobody.example/aws-nitro/PCR0=sha384:00": Answer((0, 5), junk),
        "v2/whatever": Answer((7,), b""),
    }
    entry = changed(bundle.entries[1], proof=(b"j" * 32,))
    entries = {**bundle.entries, 999: entry, 10**15: entry}
    report = inputs.tampered(changed(bundle, answers=answers, entries=entries))
    assert not_passed(report) == {}
    assert report.exit_code == 0


def test_an_entry_of_a_later_type_that_nobody_asked_for_is_ignored() -> None:
    scene = Scene()
    scene.release()
    scene.log.append(later_type(scene, "release:v2", OTHER_IMAGE), force=True)
    scene.log.append(b"q: a leaf of a later kind", force=True)
    assert scene.report().exit_code == 0


# --- what a later version of a log may hold -------------------------------------------

OTHER_IMAGE = {"PCR0": BAD["PCR0"]}


def later_type(
    scene: Scene, kind: str, image: dict[str, str] | None = None, **members: Any
) -> bytes:
    """A statement of the provider about a measurement, of any type."""
    subject = [
        {"name": name, "digest": dict([digest.split(":", 1)])}
        for name, digest in (image or GOOD).items()
    ]
    predicate = {
        "identity": [["PCR0"]],
        "issuer": PROVIDER,
        "log": scene.log.origin,
        "platform": "aws-nitro",
        **members,
    }
    payload = encode_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicate": predicate,
            "predicateType": f"urn:pcrlog:{kind}",
            "subject": subject,
        }
    )
    return sign_envelope(payload, [key(PROVIDER)])


@pytest.mark.parametrize(
    "kind", ["release:v2", "revocation:v2", "audit:v9", "advice:v1", "informal:v1"]
)
def test_an_unknown_type_under_a_key_that_was_asked_could_not_be_checked(
    kind: str,
) -> None:
    scene = Scene()
    scene.release()
    scene.log.append(later_type(scene, kind), force=True)
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "unchecked"
    assert "upgrade" in found(report, "entries.authority")
    assert "fail" not in not_passed(report).values()
    assert report.exit_code == 3


@pytest.mark.parametrize("kind", ["info:note:v1", "info:x", "info:"])
def test_information_is_skipped(kind: str) -> None:
    scene = Scene()
    scene.release()
    index = scene.log.append(later_type(scene, kind), force=True)
    assert index in scene.log.index[BY_PROVIDER]
    report = scene.report()
    assert not_passed(report) == {}


def test_information_has_to_be_in_the_tree_and_under_its_key() -> None:
    scene = Scene()
    scene.release()
    about_other = later_type(scene, "info:note:v1", OTHER_IMAGE)
    index = scene.log.append(about_other, force=True)
    scene.log.index[BY_PROVIDER].append(index)
    assert status(scene.report(), "answers.proofs") == "fail"


def test_an_identity_of_a_later_type_could_not_be_checked() -> None:
    """Nor what comes after it in the chain; nobody has done wrong."""
    scene = Scene()
    scene.release()
    leaf = later_type(scene, "identity:v2", name=PROVIDER)
    index = scene.log.append(leaf, force=True)
    assert scene.log.index[f"v1/identity/{PROVIDER}"][-1] == index
    scene.log.identify(
        PROVIDER, active(key(PROVIDER)), [scene.log.enrol], roles=["provider"]
    )
    previous = scene.log.entries[index + 1]
    assert previous.index == index + 1
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "unchecked"
    assert "fail" not in not_passed(report).values()
    assert report.exit_code == 3


@dataclass
class Later:
    """A key of an algorithm that this version does not know, as signer."""

    keyid: str
    spki: bytes

    @property
    def public(self) -> "Later":
        return self

    def sign(self, message: bytes) -> bytes:
        return b"?" * len(message)


def later_key() -> Later:
    private = ed448.Ed448PrivateKey.from_private_bytes(bytes(57))
    spki = private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return Later(keyid_of(spki), spki)


def add_later_key(scene: Scene) -> Any:
    one = later_key()
    row = IdentityKey(keyid=one.keyid, key=one.spki, status="active")
    rows = [*active(key(PROVIDER)), row]
    signers = [scene.log.enrol, key(PROVIDER)]
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"])
    return one


def test_a_key_of_an_unknown_algorithm_spoils_nothing_that_it_did_not_sign() -> None:
    scene = Scene()
    add_later_key(scene)
    scene.release()
    assert scene.report().exit_code == 0


def test_what_a_key_of_an_unknown_algorithm_signed_could_not_be_checked() -> None:
    scene = Scene()
    one = add_later_key(scene)
    scene.release("1.4.1")
    scene.release(by=one, force=True)
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "unchecked"
    assert "fail" not in not_passed(report).values()
    assert report.exit_code == 3


def test_what_follows_an_identity_that_could_not_be_checked_is_nobodys_fault() -> None:
    scene = Scene()
    one = add_later_key(scene)
    rows = active(key(PROVIDER))
    signers = [scene.log.enrol, one]
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"], force=True)
    scene.release()
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "unchecked"
    assert "fail" not in not_passed(report).values()
    assert report.exit_code == 3


# --- a log that lies ------------------------------------------------------------------


def test_a_malformed_statement_under_a_key_that_was_asked_refutes() -> None:
    """An unknown member in a predicate of version 1."""
    scene = Scene()
    scene.release()
    entry = scene.log.entries[scene.log.index[BY_PROVIDER][0]]
    payload = json.loads(entry.envelope.payload)
    payload["predicate"]["mood"] = "good"
    leaf = sign_envelope(encode_json(payload), [key(PROVIDER)])
    index = scene.log.append(leaf, force=True)
    assert index in scene.log.index[BY_PROVIDER]
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "fail"
    assert report.exit_code == 4


def test_a_statement_in_another_spelling_refutes() -> None:
    """A bundle has no way even to carry it."""
    scene = Scene()
    payload = scene.log.entries[scene.release()].envelope.payload
    leaf = sign_envelope(payload + b" ", [key(PROVIDER)])
    index = scene.log.append(leaf, force=True)
    assert index in scene.log.index[BY_PROVIDER]
    report = scene.report()
    assert "fail" in not_passed(report).values()
    assert link(report, 2) == "unchecked"
    assert report.exit_code == 4


def test_an_entry_under_a_key_that_it_does_not_yield_refutes() -> None:
    scene = Scene()
    scene.release()
    index = scene.release("1.4.3", BAD)
    scene.log.index[BY_PROVIDER].append(index)
    report = scene.report()
    assert not_passed(report)["answers.proofs"] == "fail"
    assert report.exit_code == 4


def test_an_entry_that_yields_no_key_at_all_refutes_wherever_it_is_given() -> None:
    """Even one that would be skipped where it belongs."""
    scene = Scene()
    scene.release()
    note = {"_type": "x", "predicate": {}, "predicateType": "urn:pcrlog:info:note:v1"}
    leaf = sign_envelope(encode_json(note), [key(PROVIDER)])
    index = scene.log.append(leaf, force=True)
    assert all(index not in indices for indices in scene.log.index.values())
    scene.log.index[BY_PROVIDER].append(index)
    report = scene.report()
    assert not_passed(report)["answers.proofs"] == "fail"
    assert report.exit_code == 4


@pytest.mark.parametrize("order", [(5, 4), (4, 4, 5)], ids=["descending", "twice"])
def test_indices_that_do_not_ascend_refute_though_the_root_holds_them(
    order: tuple[int, ...],
) -> None:
    scene = Scene()
    assert [scene.release("1.4.1"), scene.release()] == [4, 5]
    scene.log.index[BY_PROVIDER] = list(order)
    report = scene.report()
    assert not_passed(report)["answers.proofs"] == "fail"
    assert "not ascending" in found(report, "answers.proofs")
    assert report.exit_code == 4


def test_an_entry_may_yield_more_keys_than_the_one_asked() -> None:
    """Each key is checked for each entry given for it, though it is read once."""
    scene = Scene()
    index = scene.release()
    scene.log.index[by(LAB, "aws-nitro", M)] = [index]
    report = scene.report()
    assert not_passed(report)["answers.proofs"] == "fail"
    assert f"{index}: v1/by/{LAB}" in found(report, "answers.proofs")


FORGERIES: dict[str, Callable[[Scene], object]] = {
    "a release by a stranger": lambda s: s.release(by=key("stranger"), force=True),
    "a release by an auditor": lambda s: s.release(by=key(LAB), force=True),
    "an audit by a provider": lambda s: s.reproduce(by=key(PROVIDER), force=True),
    "a revocation of nothing": lambda s: s.log.revoke(
        PROVIDER, "withdrawn", s.release("1.0.0"), statement="0" * 64, force=True
    ),
    "an identity out of its chain": lambda s: s.log.append(s.log.leaves[1], force=True),
    "an identity by a stranger": lambda s: s.log.identify(
        PROVIDER, active(key("stranger")), [key("stranger")], force=True
    ),
    "a statement for another log": lambda s: s.log.append(
        elsewhere().leaves[2], force=True
    ),
}


def elsewhere() -> MemoryLog:
    """Another log, in which the same provider releases the same image."""
    other = MemoryLog("second.example/log")
    other.enroll(PROVIDER, "provider")
    other.release(PRODUCT, "1.4.2", GOOD)
    return other


@pytest.mark.parametrize("how", FORGERIES)
def test_what_the_log_should_never_have_admitted_refutes(how: str) -> None:
    scene = Scene()
    scene.release("1.4.1")
    FORGERIES[how](scene)
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "fail"
    assert "fail" not in {
        came_to
        for check, came_to in not_passed(report).items()
        if check not in {"entries.authority", "policy.links"}
    }
    assert report.exit_code == 4


def test_a_signature_that_does_not_verify_refutes() -> None:
    scene = Scene()
    scene.release("1.4.1")
    entry = scene.log.entries[scene.release()]
    keyid = key(PROVIDER).public.keyid
    forged = MemoryLog(witnesses=scene.log.witnesses)
    for name, role in ((PROVIDER, "provider"), (LAB, "auditor"), (LENS, "auditor")):
        forged.enroll(name, role)
    leaf = assemble(entry.envelope.payload, [(keyid, bytes(64))])
    forged.append(leaf, force=True)
    made = Scene(forged)
    report = made.report()
    assert not_passed(report)["entries.authority"] == "fail"
    assert "does not verify" in found(report, "entries.authority")


def test_the_registrar_is_the_policys() -> None:
    scene = Scene()
    scene.release()
    enrol = scene.log.enrol.public.keyid
    for keyid in ("0" * 64, enrol):
        report = scene.report(policy=scene.policy(log={"registrar": keyid}))
        assert not_passed(report)["entries.authority"] == "fail"
        assert f"entry 0 has no root key {keyid}" in found(report, "entries.authority")
        assert report.exit_code == 4


# --- older bundles, other logs --------------------------------------------------------


def test_an_older_bundle_hides_a_revocation_for_as_long_as_it_is_fresh() -> None:
    """The default age says how long that is: a day."""
    scene = Scene()
    index = scene.release()
    old = scene.inputs()
    assert old.report().exit_code == 0
    scene.log.now += HOUR
    scene.log.revoke(PROVIDER, "compromised", index)
    now = START + DAY
    fresh = {"now": now, "attestation": document(time=now)}
    assert scene.inputs().report(**fresh).exit_code == 4
    assert old.report(**fresh).exit_code == 0
    now += 1
    stale = old.report(now=now, attestation=document(time=now))
    assert not_passed(stale)["log.freshness"] == "unchecked"
    assert stale.exit_code == 3


def test_old_answers_under_a_new_checkpoint_are_refuted() -> None:
    scene = Scene()
    index = scene.release()
    old = scene.inputs().parsed
    scene.log.revoke(PROVIDER, "compromised", index)
    made = scene.inputs()
    new = made.parsed
    for mixed in (changed(new, answers=old.answers), changed(old, note=new.note)):
        assert made.tampered(mixed).exit_code == 4


def test_a_bundle_of_a_log_that_the_policy_does_not_name_could_not_be_checked() -> None:
    scene, other = Scene(), Scene(elsewhere())
    inputs = scene.inputs()
    report = inputs.report(bundle=other.inputs(auditors=()).bundle)
    assert not_passed(report)["log.signature"] == "unchecked"
    assert found(report, "log.signature") == "second.example/log"
    assert report.exit_code == 3


def test_a_log_of_the_same_name_and_another_key_is_forged() -> None:
    scene = Scene()
    scene.release()
    inputs = scene.inputs()
    thief = NoteSigner(scene.log.origin, bytes(32))
    note = thief.sign(UnverifiedNote.parse(scene.log.note).text)
    report = inputs.tampered(changed(inputs.parsed, note=bytes(note)))
    assert not_passed(report)["log.signature"] == "fail"
    assert report.exit_code == 4


# --- signature lines ------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed() -> Inputs:
    """A run whose checkpoint has the log's line, then those of w1, w2 and m1."""
    scene = Scene()
    scene.release()
    return scene.inputs()


def lines(inputs: Inputs) -> tuple[SignatureLine, ...]:
    return UnverifiedNote.parse(inputs.parsed.note).lines


def relined(inputs: Inputs, *these: SignatureLine) -> Report:
    """The run with these lines under the checkpoint."""
    text = UnverifiedNote.parse(inputs.parsed.note).text
    note = bytes(UnverifiedNote(text, these))
    return inputs.tampered(changed(inputs.parsed, note=note))


def broken(line: SignatureLine) -> SignatureLine:
    return changed(line, signature=flipped(line.signature, -1 % len(line.signature)))


def test_the_order_of_lines_is_nobodys_business(signed: Inputs) -> None:
    assert relined(signed, *reversed(lines(signed))).exit_code == 0


def test_a_wrong_line_of_the_log_refutes_even_beside_a_right_one(
    signed: Inputs,
) -> None:
    log, *rest = lines(signed)
    for these in (
        [broken(log), *rest],
        [log, broken(log), *rest],
        [*rest, broken(log)],
    ):
        report = relined(signed, *these)
        assert not_passed(report)["log.signature"] == "fail"
        assert report.exit_code == 4


@pytest.mark.parametrize(
    "note",
    [
        b"nonsense",
        "log.example/pcr\n7\n\n\u2014 log.example/pcr AAAAAAAA\n".encode(),
        "log.example/pcr\nmany\nAAAA\n\n\u2014 log.example/pcr AAAAAAAA\n".encode(),
    ],
    ids=["no note", "two lines", "no size"],
)
def test_what_is_no_checkpoint_is_refuted(signed: Inputs, note: bytes) -> None:
    report = signed.tampered(changed(signed.parsed, note=note))
    assert not_passed(report)["log.signature"] == "fail"
    assert report.exit_code == 4
    assert report.checkpoint is None


def test_a_checkpoint_without_a_line_of_the_log_is_refuted(signed: Inputs) -> None:
    _, *rest = lines(signed)
    assert relined(signed, *rest).exit_code == 4


@pytest.mark.parametrize(
    ("place", "check"), [(1, "log.witnesses"), (3, "log.index-monitors")]
)
def test_a_missing_cosignature_could_not_be_checked(
    signed: Inputs, place: int, check: str
) -> None:
    kept = [line for at, line in enumerate(lines(signed)) if at != place]
    report = relined(signed, *kept)
    assert not_passed(report)[check] == "unchecked"
    assert report.exit_code == 3


@pytest.mark.parametrize(
    ("place", "check"), [(1, "log.witnesses"), (3, "log.index-monitors")]
)
def test_a_wrong_cosignature_is_as_good_as_none(
    signed: Inputs, place: int, check: str
) -> None:
    """It refutes nothing: anybody could have written it."""
    these = list(lines(signed))
    these[place] = broken(these[place])
    report = relined(signed, *these)
    assert not_passed(report)[check] == "unchecked"
    assert report.exit_code == 3
    right = lines(signed)[place]
    assert relined(signed, *these, right).exit_code == 0
    assert relined(signed, right, *these).exit_code == 0


def test_a_cosignature_of_another_checkpoint_does_not_count(signed: Inputs) -> None:
    log, w1, _, m1 = lines(signed)
    other = Scene()
    other.release("9.9.9")
    text = UnverifiedNote.parse(other.seal()).text
    moved = cosign(text, W2, START)
    report = relined(signed, log, w1, moved, m1)
    assert not_passed(report)["log.witnesses"] == "unchecked"
    assert report.exit_code == 3


def test_a_cosignature_cannot_be_given_another_time(signed: Inputs) -> None:
    log, w1, w2, m1 = lines(signed)
    later = changed(w2, signature=(START + 1).to_bytes(8) + w2.signature[8:])
    report = relined(signed, log, w1, later, m1)
    assert not_passed(report)["log.witnesses"] == "unchecked"


def test_one_witness_twice_is_one_witness(signed: Inputs) -> None:
    log, w1, _, m1 = lines(signed)
    text = UnverifiedNote.parse(signed.parsed.note).text
    again = cosign(text, W1, START + 1)
    report = relined(signed, log, w1, w1, again, m1)
    assert not_passed(report)["log.witnesses"] == "unchecked"
    assert found(report, "log.witnesses") == "1 recent of 1 cosignatures"


def test_of_several_cosignatures_of_a_witness_the_newest_counts(signed: Inputs) -> None:
    log, w1, _, m1 = lines(signed)
    text = UnverifiedNote.parse(signed.parsed.note).text
    old, new = (cosign(text, W2, at) for at in (START - 2 * DAY, START))
    assert relined(signed, log, w1, old, m1).exit_code == 3
    for these in ([old, new], [new, old]):
        assert relined(signed, log, w1, *these, m1).exit_code == 0


def test_the_logs_own_key_is_no_witness(signed: Inputs) -> None:
    """An ordinary signature under a witness's name is no cosignature."""
    log, w1, _, m1 = lines(signed)
    text = UnverifiedNote.parse(signed.parsed.note).text
    plain = W2.line(W2.raw(text.encode()))
    report = relined(signed, log, w1, plain, m1)
    assert not_passed(report)["log.witnesses"] == "unchecked"


def test_lines_of_strangers_are_ignored(signed: Inputs) -> None:
    text = UnverifiedNote.parse(signed.parsed.note).text
    strangers = [
        cosign(text, witness(f"w{n}.example/stranger"), START) for n in range(40)
    ]
    junk = SignatureLine("junk.example", b"junk", b"j" * 9)
    assert relined(signed, *strangers, *lines(signed), junk).exit_code == 0


def test_a_witness_is_no_index_monitor(signed: Inputs) -> None:
    """What a plain witness cosigns says nothing of the index."""
    log, w1, w2, m1 = lines(signed)
    report = relined(signed, log, w1, w2)
    assert not_passed(report)["log.index-monitors"] == "unchecked"
    report = relined(signed, log, w1, m1)
    assert not_passed(report)["log.witnesses"] == "unchecked"


@pytest.mark.parametrize("where", ["witnesses", "index_monitors", "both", "the log"])
def test_one_key_under_two_names_is_refused_by_the_policy(where: str) -> None:
    scene = Scene()
    seed = sha256(b"w1.example/a").digest()
    alias = NoteSigner("alias.example/a", seed, kind=4)
    assert alias.public.public == W1.public.public
    tables = {
        "witnesses": {"witnesses": quorum(2, W1, alias)},
        "index_monitors": {"index_monitors": quorum(1, M1, alias, W1)},
        "both": {"witnesses": quorum(1, W1), "index_monitors": quorum(1, alias)},
        "the log": {
            "witnesses": quorum(
                1, NoteSigner("w.example", sha256(b"log").digest(), kind=4)
            )
        },
    }
    with pytest.raises(UsageError, match="a key stands twice"):
        scene.policy(log=tables[where])
