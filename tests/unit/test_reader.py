"""Verified reads: what a log gives is proven, or it is not believed."""

from collections.abc import Callable

import pytest

from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint
from pcrlog.errors import (
    InconsistencyError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.index_keys import of_identity, of_product
from pcrlog.merkle import consistency_roots
from pcrlog.policy import Policy
from pcrlog.reader import (
    Reader,
    bundle_path,
    lookup_path,
    read_statement,
)
from tests.support.files import Files
from tests.support.memory_log import MemoryLog, registers, witness

PRODUCT = "acme.example/wallet"
KEY = of_product(PRODUCT)
GOOD = registers("good")


@pytest.fixture
def log() -> MemoryLog:
    made = MemoryLog()
    made.enroll("acme.example", "provider")
    made.release(PRODUCT, "1.4.2", GOOD)
    made.seal()
    return made


def reader(log: MemoryLog, fetch: Files, **policy: str) -> Reader:
    [trusted] = Policy.parse((log.policy(**policy) + PLATFORMS).encode()).logs.values()
    return Reader(fetch, trusted, log.now)


PLATFORMS = "[platforms]\n"


def grow(log: MemoryLog, size: int) -> None:
    while len(log.leaves) < size:
        log.seal()


# --- checkpoints and leaves ----------------------------------------------------------


def test_a_checkpoint_is_signed_by_the_log(log: MemoryLog) -> None:
    found = reader(log, Files(log)).checkpoint()
    assert (found.origin, found.size) == (log.origin, len(log.leaves))


def test_a_checkpoint_of_another_key_is_refuted(log: MemoryLog) -> None:
    other = MemoryLog(origin="other.example/pcr")
    other.seal()
    with pytest.raises(VerificationError):
        reader(log, Files(other)).checkpoint()


@pytest.mark.parametrize("size", [4, 255, 256, 257, 600])
def test_every_leaf_is_proven_to_be_in_the_tree(log: MemoryLog, size: int) -> None:
    grow(log, size)
    found = reader(log, Files(log))
    for index in {0, 1, size // 2, size - 2, size - 1}:
        assert found.entry(index) == log.leaves[index]


def test_few_entry_bundles_are_held_however_many_leaves_are_read(
    log: MemoryLog,
) -> None:
    """A log may fill them up with what nobody asked for, and nobody proves."""
    grow(log, 1600)
    files = Files(log)
    found = reader(log, files)
    for index in (*range(0, 1600, 256), 0):
        assert found.entry(index) == log.leaves[index]
    held = [path for path in found._tiles if "entries" in path]
    assert len(held) == 4
    assert "tile/entries/000" in held


def test_a_leaf_can_be_read_in_an_older_tree(log: MemoryLog) -> None:
    found = reader(log, Files(log))
    old = found.checkpoint()
    grow(log, 300)
    assert found.entry(1, old) == log.leaves[1]


def test_a_leaf_that_is_not_there_yet_could_not_be_read(log: MemoryLog) -> None:
    for index in (-1, len(log.leaves)):
        with pytest.raises(UncheckedError, match="so none with index"):
            reader(log, Files(log)).entry(index)


def test_a_partial_tile_may_be_gone_once_the_full_one_is_there(log: MemoryLog) -> None:
    files = Files(log)
    found = reader(log, files)
    old = found.checkpoint()
    size = old.size
    grow(log, 300)
    files.gone = {f"tile/entries/000.p/{size}", f"tile/0/000.p/{size}"}
    assert found.entry(1, old) == log.leaves[1]


def test_a_tile_that_is_gone_altogether_could_not_be_read(log: MemoryLog) -> None:
    files = Files(log)
    width = len(log.leaves)
    files.gone = {f"tile/entries/000.p/{width}", "tile/entries/000"}
    with pytest.raises(TransportError):
        reader(log, files).entry(1)


def test_a_full_tile_that_is_gone_could_not_be_read(log: MemoryLog) -> None:
    files = Files(log)
    grow(log, 300)
    files.gone = {"tile/entries/000"}
    with pytest.raises(TransportError):
        reader(log, files).entry(1)


def mangled(log: MemoryLog, path: str) -> Files:
    files = Files(log)
    data = bytearray(files(path, 1 << 20))
    data[-1] ^= 1
    files.instead[path] = bytes(data)
    return files


@pytest.mark.parametrize("kind", ["tile/entries/000", "tile/0/000"])
def test_a_tile_that_lies_is_refuted(log: MemoryLog, kind: str) -> None:
    width = len(log.leaves)
    files = mangled(log, f"{kind}.p/{width}")
    found = reader(log, files)
    with pytest.raises(VerificationError):
        [found.entry(index) for index in range(width)]


# --- one history ---------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(4, 5), (4, 256), (255, 257), (256, 600)])
def test_two_trees_are_proven_consistent(
    log: MemoryLog, sizes: tuple[int, int]
) -> None:
    found = reader(log, Files(log))
    grow(log, sizes[0])
    old = found.checkpoint()
    grow(log, sizes[1])
    new = found.checkpoint()
    assert found.consistency(old, new)


def test_a_tree_that_does_not_extend_the_old_one_is_refuted(log: MemoryLog) -> None:
    found = reader(log, Files(log))
    old = found.checkpoint()
    grow(log, 9)
    other = Checkpoint(old.origin, old.size, bytes(32))
    with pytest.raises(VerificationError):
        found.consistency(other, found.checkpoint())


@pytest.mark.parametrize("sizes", [(4, 5), (8, 256), (255, 257), (256, 600)])
def test_the_hashes_between_two_trees_lead_to_both_whatever_was_signed(
    log: MemoryLog, sizes: tuple[int, int]
) -> None:
    found = reader(log, Files(log))
    roots = []
    for size in sizes:
        grow(log, size)
        roots.append(log.tree.root())
    assert consistency_roots(*sizes, found.prefix(*sizes)) == tuple(roots)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 4), (5, 4)])
def test_no_hashes_lead_to_a_tree_that_is_not_smaller(
    log: MemoryLog, sizes: tuple[int, int]
) -> None:
    with pytest.raises(VerificationError, match="nothing leads"):
        reader(log, Files(log)).prefix(*sizes)


def test_two_trees_of_one_size_are_a_fork(log: MemoryLog) -> None:
    files = Files(log)
    found = reader(log, files)
    found.checkpoint()
    forked = log.signer.sign(Checkpoint(log.origin, len(log.leaves), bytes(32)).text())
    files.instead["checkpoint"] = bytes(forked)
    with pytest.raises(InconsistencyError) as caught:
        found.checkpoint()
    assert caught.value.ours == log.note
    assert caught.value.theirs == bytes(forked)


def test_a_log_that_was_forked_while_it_grew_is_refuted(log: MemoryLog) -> None:
    found = reader(log, Files(log))
    found.checkpoint()
    other = MemoryLog()
    grow(other, 30)
    log.note, log.nodes, log.leaves = other.note, other.nodes, other.leaves
    with pytest.raises(VerificationError):
        found.checkpoint()


def test_an_older_checkpoint_is_of_the_same_history(log: MemoryLog) -> None:
    files = Files(log)
    found = reader(log, files)
    old = log.note
    grow(log, 30)
    newest = found.checkpoint()
    files.instead["checkpoint"] = old
    assert found.checkpoint().size < newest.size


# --- answers -------------------------------------------------------------------------


def test_an_answer_is_complete_by_the_indexs_proof(log: MemoryLog) -> None:
    [entry] = reader(log, Files(log)).answer(KEY)
    assert entry.index == 2


def lying(log: MemoryLog, change: Callable[[Bundle], Bundle]) -> Files:
    files = Files(log)
    true = log.assemble({KEY: log.answer(KEY)})
    files.instead[lookup_path(KEY)] = change(true).encode()
    return files


def without_answers(true: Bundle) -> Bundle:
    return Bundle(true.note, true.seal, true.seal_proof, {}, true.entries)


def without_entries(true: Bundle) -> Bundle:
    return Bundle(true.note, true.seal, true.seal_proof, true.answers, {})


def that_is_empty(true: Bundle) -> Bundle:
    [answer] = true.answers.values()
    lie = {KEY: type(answer)((), answer.proof + b"\0")}
    return Bundle(true.note, true.seal, true.seal_proof, lie, {})


@pytest.mark.parametrize("change", [without_answers, without_entries])
def test_what_is_left_out_could_not_be_checked(
    log: MemoryLog, change: Callable[[Bundle], Bundle]
) -> None:
    with pytest.raises(UncheckedError, match=r"answers\.present"):
        reader(log, lying(log, change)).answer(KEY)


def test_an_answer_of_an_older_index_is_refuted(log: MemoryLog) -> None:
    old = log.answer(KEY)
    log.release(PRODUCT, "1.4.3", registers("new"))
    log.seal()

    def change(true: Bundle) -> Bundle:
        return Bundle(true.note, true.seal, true.seal_proof, {KEY: old}, true.entries)

    with pytest.raises(VerificationError, match=r"answers\.proofs"):
        reader(log, lying(log, change)).answer(KEY)


def test_an_answer_from_a_stale_tree_could_not_be_checked(log: MemoryLog) -> None:
    log.now += 2 * 86_400
    with pytest.raises(UncheckedError, match=r"log\.freshness"):
        reader(log, Files(log)).answer(KEY)


def test_an_answer_needs_the_quorum_of_the_policy(log: MemoryLog) -> None:
    one = witness("w1.example/a")
    quorum = f'{{ quorum = 1, keys = ["{one.public}"] }}'
    with pytest.raises(UncheckedError, match=r"log\.witnesses"):
        reader(log, Files(log), witnesses=quorum).answer(KEY)
    log.witnesses = [one]
    log.seal()
    assert reader(log, Files(log), witnesses=quorum).answer(KEY)


def test_an_answer_of_another_log_could_not_be_used(log: MemoryLog) -> None:
    other = MemoryLog(origin="other.example/pcr")
    other.seal()
    files = Files(log)
    files.instead[lookup_path(KEY)] = other.assemble({}).encode()
    with pytest.raises(UncheckedError, match=r"log\.signature"):
        reader(log, files).answer(KEY)


def test_an_answer_is_of_the_history_that_was_met_before(log: MemoryLog) -> None:
    files = Files(log)
    found = reader(log, files)
    found.checkpoint()
    forked = MemoryLog()
    grow(forked, len(log.leaves))
    files.instead[lookup_path(KEY)] = forked.assemble({}).encode()
    with pytest.raises(InconsistencyError):
        found.answer(KEY)


def test_who_may_say_what_is_judged(log: MemoryLog) -> None:
    found = reader(log, Files(log))
    names = [of_identity(name) for name in ("registrar", "acme.example")]
    whole = log.assemble({key: log.answer(key) for key in (*names, KEY)})
    answers = found.open(whole.encode())
    entries = [entry for key in (*names, KEY) for entry in answers.ask(key)]
    authority = answers.judge(entries)
    assert authority.state("acme.example", answers.size).roles == {"provider"}
    with pytest.raises(VerificationError):
        answers.judge(entries[1:])


def test_what_somebody_said_who_may_not_refutes_the_log(log: MemoryLog) -> None:
    log.release("nobody.example/x", "1.0.0", GOOD, force=True)
    log.seal()
    key = of_product("nobody.example/x")
    keys = (of_identity("registrar"), key)
    whole = log.assemble({one: log.answer(one) for one in keys})
    answers = reader(log, Files(log)).open(whole.encode())
    entries = [entry for one in keys for entry in answers.ask(one)]
    with pytest.raises(VerificationError, match=r"entries\.authority"):
        answers.judge(entries)


def test_a_key_may_be_there_or_not(log: MemoryLog) -> None:
    answers = reader(log, Files(log)).lookup(KEY)
    assert answers.ask_if_there("v1/product/other.example/x") == ()
    assert len(answers.ask_if_there(KEY)) == 1
    with pytest.raises(UncheckedError):
        answers.newest("v1/product/other.example/x")


# --- paths ---------------------------------------------------------------------------


def test_a_lookup_is_by_measurement_product_identity_or_issuer() -> None:
    measurement = "v1/measurement/aws-nitro/PCR0=sha384:00"
    found = "api/v1/lookup?measurement=aws-nitro/PCR0%3Dsha384%3A00"
    assert lookup_path(measurement) == found
    assert lookup_path(KEY) == f"api/v1/lookup?product={PRODUCT}"
    issuer = "api/v1/lookup?issuer=acme.example"
    assert lookup_path("v1/issuer/acme.example") == issuer
    with pytest.raises(UsageError):
        lookup_path("v1/by/acme.example/aws-nitro/PCR0=sha384:00")


def test_a_bundle_is_asked_for_with_all_its_auditors() -> None:
    found = bundle_path(PRODUCT, ["aws-nitro/M"], ["lab.example", "lens.example"])
    assert found.endswith("&auditor=lab.example&auditor=lens.example")


def test_a_leaf_is_a_statement_or_could_not_be_read(log: MemoryLog) -> None:
    assert read_statement(2, log.leaves[2]).index == 2
    with pytest.raises(UncheckedError, match="seal"):
        read_statement(3, log.leaves[3])
    with pytest.raises(VerificationError):
        read_statement(3, b"{}")
    with pytest.raises(UncheckedError):
        read_statement(3, b"?")
