"""Authority, answers, the index: what convicts, and what an honest log may sign."""

import pytest
from msgspec import Raw, structs

from pcrlog.bundle import Bundle
from pcrlog.envelope import assemble, sign_envelope
from pcrlog.evidence import (
    Listed,
    Unauthorised,
    WrongAnswer,
)
from pcrlog.merkle import prove_inclusion
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, active, key
from tests.unit.evidence.convicting import (
    convicts,
    is_false,
    is_malformed,
    proves_nothing,
)
from tests.unit.evidence.genuine import (
    GOOD,
    PRODUCT,
    answered,
    hidden_entry,
    judged,
    leaves,
    note,
    raw,
    small,
    unauthorised,
    wrong_from_the_start,
    wrong_index,
)

# --- authority ------------------------------------------------------------------------


def test_who_may_say_it_is_not_convicted() -> None:
    log = small()
    withdrawn = log.revoke("acme.example", "withdrawn", 2)
    log.seal()
    for index in (0, 1, 2, withdrawn):
        proves_nothing(judged(log, index), f"entry {index} is made by who may make it")


def test_a_revocation_of_what_was_never_said_convicts() -> None:
    log = small()
    index = log.revoke("acme.example", "withdrawn", 2, statement="0" * 64, force=True)
    log.seal()
    assert "names no earlier release or audit" in convicts(judged(log, index)).found


def test_what_came_later_allows_nothing() -> None:
    log = MemoryLog()
    index = log.release(PRODUCT, "1.0.0", GOOD, force=True)
    log.enroll("acme.example", "provider")
    log.seal()
    assert "not an active key" in convicts(judged(log, index)).found


def test_an_index_that_hides_the_identity_that_allows_an_entry_convicts() -> None:
    log = small()
    log.index["v1/identity/acme.example"].clear()
    del log.index["v1/identity/acme.example"]
    log.seal()
    log.trie = type(log.trie)()
    log.seal()
    assert "not an active key of acme.example" in convicts(judged(log, 2)).found


def test_an_identity_that_nobody_may_make_gives_nobody_anything() -> None:
    log = small()
    log.identify(
        "acme.example",
        active(key("thief")),
        [key("thief")],
        issuer="acme.example",
        roles=["provider"],
        force=True,
    )
    index = log.release(PRODUCT, "6.6.6", GOOD, by=key("thief"), force=True)
    log.seal()
    assert "not an active key of acme.example" in convicts(judged(log, index)).found


def test_an_identity_that_is_not_well_formed_gives_nobody_anything() -> None:
    log = small()
    envelope = log.entries[1].envelope
    [(keyid, signature)] = envelope.signatures.items()
    rows = [(keyid, signature), ("f" * 64, b"more")]
    log.append(assemble(envelope.payload, rows), force=True)
    index = log.release(PRODUCT, "6.6.6", GOOD, by=key("thief"), force=True)
    log.seal()
    assert "not an active key of acme.example" in convicts(judged(log, index)).found


def test_a_key_of_another_name_convicts_once_that_name_is_answered() -> None:
    log = small()
    index = log.identify(
        "lab.example",
        active(key("acme.example")),
        [log.enrol],
        roles=["auditor"],
        force=True,
    )
    log.seal()
    proves_nothing(judged(log, index), "made by who may make it")
    proven = convicts(judged(log, index, "v1/identity/acme.example"))
    assert "belongs to acme.example, for ever" in proven.found


def test_an_identity_of_a_later_type_leaves_the_judgement_open() -> None:
    log = small()
    payload = log.entries[1].envelope.payload.replace(b":identity:v1", b":identity:v2")
    log.append(sign_envelope(payload, [log.enrol]), force=True)
    index = log.release(PRODUCT, "6.6.6", GOOD, by=key("thief"), force=True)
    log.seal()
    proves_nothing(judged(log, index), "upgrade")


def test_only_a_statement_is_judged() -> None:
    log = small()
    keys = ["v1/identity/registrar"]
    file = structs.replace(
        unauthorised(), bundle=raw(answered(log, keys).encode()), entry=leaves(log, 3)
    )
    proves_nothing(file, "entry 3 is a seal, want a statement")


@pytest.mark.parametrize(
    "missing", ["v1/identity/registrar", "v1/identity/acme.example"]
)
def test_a_missing_answer_leaves_the_judgement_open(missing: str) -> None:
    log = small()
    index = log.release(PRODUCT, "6.6.6", GOOD, by=key("thief"), force=True)
    log.seal()
    keys = {"v1/identity/registrar", "v1/identity/acme.example"} - {missing}
    file = structs.replace(
        unauthorised(),
        bundle=raw(answered(log, keys).encode()),
        entry=leaves(log, index),
    )
    proves_nothing(file, f"does not answer {missing}")


def test_a_missing_entry_leaves_the_judgement_open() -> None:
    log = small()
    keys = ["v1/identity/acme.example", "v1/identity/registrar"]
    bundle = structs.replace(answered(log, keys), entries={})
    file = structs.replace(
        unauthorised(), bundle=raw(bundle.encode()), entry=leaves(log, 2)
    )
    proves_nothing(file, "its bundle lacks entry 0")


def test_an_entry_that_does_not_have_the_key_it_is_listed_for_is_not_judged_by() -> (
    None
):
    """Of kind `answer`, it convicts."""
    log = small()
    log.index["v1/identity/acme.example"] = [1, 2]
    index = log.release(PRODUCT, "6.6.6", GOOD, by=key("thief"), force=True)
    log.seal()
    proves_nothing(judged(log, index), "has not the key v1/identity/acme.example")


def test_the_entry_of_a_bundle_has_to_be_in_the_tree() -> None:
    log = small()
    keys = ["v1/identity/acme.example", "v1/identity/registrar"]
    bundle = answered(log, keys)
    moved = structs.replace(
        bundle, entries={0: bundle.entries[1], 1: bundle.entries[0]}
    )
    file = structs.replace(
        unauthorised(), bundle=raw(moved.encode()), entry=leaves(log, 2)
    )
    is_false(file, "inclusion")


def miscounted() -> MemoryLog:
    """A log whose last seal counts wrongly."""
    log = small()
    log.seal(leaf=Seal(3, log.now, log.index_root()).encode())
    return log


def test_a_seal_that_counts_wrongly_is_no_ground_for_answers() -> None:
    log = miscounted()
    keys = ["v1/identity/acme.example"]
    bundle = raw(answered(log, keys).encode())
    is_false(WrongAnswer(bundle=bundle, entry=leaves(log, 1)), "inclusion")


def under(log: MemoryLog, seal: int, bundle: Bundle) -> Raw:
    """The bundle with another seal of the same tree."""
    proof = prove_inclusion(seal, len(log.leaves), log.node)
    return raw(
        structs.replace(bundle, seal=log.leaves[seal], seal_proof=proof).encode()
    )


def test_an_earlier_seal_answers_for_the_leaves_before_it() -> None:
    log = small()
    thief = [
        log.release(PRODUCT, version, GOOD, by=key("thief"), force=True)
        for version in ("6.6.6", "6.6.7")
    ]
    log.seal()
    keys = ["v1/identity/acme.example", "v1/identity/registrar"]
    answers = answered(log, keys)
    early, at = {one: log.answer(one) for one in keys}, len(log.leaves) - 1
    late = log.release(PRODUCT, "6.6.8", GOOD, by=key("thief"), force=True)
    log.enroll("lab.example", "auditor")
    log.seal()
    bundle = structs.replace(log.assemble(early), answers=answers.answers)
    for index in thief:
        file = Unauthorised(bundle=under(log, at, bundle), entry=leaves(log, index))
        assert "not an active key" in convicts(file).found
    file = Unauthorised(bundle=under(log, at, bundle), entry=leaves(log, late))
    proves_nothing(file, f"seal {at} answers for no leaves before {late}")


# --- answers --------------------------------------------------------------------------


def test_a_right_answer_convicts_nobody() -> None:
    log = small()
    keys = [*log.index, "v1/identity/nobody.example"]
    bundle = raw(answered(log, keys).encode())
    for index in range(len(log.leaves)):
        file = WrongAnswer(bundle=bundle, entry=leaves(log, index))
        proves_nothing(file, f"no answer is wrong about leaf {index}")


def test_a_forged_answer_is_false() -> None:
    file = hidden_entry()
    bundle = file.parsed()
    [(name, answer)] = bundle.answers.items()
    both = structs.replace(answer, indices=(2, 4))
    forged = structs.replace(bundle, answers={name: both})
    is_false(structs.replace(file, bundle=raw(forged.encode())), "trie proof leads")


# --- the index ------------------------------------------------------------------------


def test_a_right_root_convicts_nobody() -> None:
    proves_nothing(wrong_index(None), "is that of the index")
    log = small()
    right = structs.replace(
        wrong_from_the_start(), checkpoint=note(log), entries=leaves(log, 0, 4)
    )
    proves_nothing(right, "is that of the index")


def test_the_index_begins_at_a_seal() -> None:
    genuine = wrong_index()
    log = small()
    for entries, words in (
        (leaves(log, 1, 4), "expected a seal"),
        (leaves(log, 3, 4), "no seal over the leaves before it"),
        (leaves(log, 0, 3), "expected a seal"),
    ):
        file = structs.replace(genuine, checkpoint=note(log), entries=entries)
        proves_nothing(file, words)
    wrong = miscounted()
    wrong.seal()
    for entries, words in (
        (leaves(wrong, 4, 6), "leaf 4 is no seal over the leaves before it"),
        (leaves(wrong, 3, 5), "leaf 4 counts 3 leaves"),
    ):
        file = structs.replace(genuine, checkpoint=note(wrong), entries=entries)
        proves_nothing(file, words)


def test_every_node_is_needed() -> None:
    genuine = wrong_index()
    for at in range(len(genuine.nodes)):
        nodes = genuine.nodes[:at] + genuine.nodes[at + 1 :]
        proves_nothing(structs.replace(genuine, nodes=nodes), "a node of the index")


def test_every_list_is_that_of_the_first_seal() -> None:
    genuine = wrong_index()
    for at, one in enumerate(genuine.lists):
        head, tail = genuine.lists[:at], genuine.lists[at + 1 :]
        shorter, longer = one.indices[:-1], (*one.indices, 5)
        for lists in (
            (*head, *tail),
            (*head, Listed(one.key, shorter), *tail),
            (*head, Listed(one.key, longer), *tail),
        ):
            proves_nothing(structs.replace(genuine, lists=lists), "its list of")


def test_nodes_and_lists_stand_in_order_and_once() -> None:
    genuine = wrong_index()
    for file in (
        structs.replace(genuine, nodes=genuine.nodes[::-1]),
        structs.replace(genuine, nodes=(*genuine.nodes, genuine.nodes[-1])),
        structs.replace(genuine, lists=genuine.lists[::-1]),
        structs.replace(genuine, lists=(genuine.lists[0], *genuine.lists)),
    ):
        is_malformed(file, "expected nodes ascending by hash, lists by key")
