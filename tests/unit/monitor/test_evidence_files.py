"""Files of evidence: what a monitor finds becomes a file that convicts by itself."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from monitor.entries import Batch, Finding, Reading, compare
from monitor.evidence_files import EvidenceFiles
from monitor.index import Index
from pcrlog.authority import Authority
from pcrlog.checkpoint import Checkpoint
from pcrlog.envelope import sign_envelope
from pcrlog.errors import MalformedError, PcrlogError, TransportError
from pcrlog.evidence import Proven, verify_evidence
from pcrlog.merkle import Node, Range
from pcrlog.note import NoteSigner
from pcrlog.policy import Log
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, active, key, registers, witness

PRODUCT = "acme.example/wallet"
GOOD = registers("good")
KEY = MemoryLog().signer.public


class Served:
    """The newest tree of a log, as it serves it."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.fails: PcrlogError | None = None

    def node(self, size: int) -> Node:
        assert size == len(self.log.leaves)
        if self.fails is not None:
            raise self.fails
        return self.log.node

    def leaves(self, start: int, end: int, size: int) -> list[bytes]:
        assert 0 <= start < end <= size == len(self.log.leaves)
        if self.fails is not None:
            raise self.fails
        return self.log.leaves[start:end]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "evidence"


@pytest.fixture
def kept(folder: Path) -> EvidenceFiles:
    return EvidenceFiles(folder, KEY)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(tmp_path / "index.db")
    yield made
    made.close()


def proven(folder: Path, name: str | None) -> Proven:
    """What the file says to somebody who has the key alone."""
    assert name is not None
    data = (folder / name).read_bytes()
    found = verify_evidence(data, KEY)
    digest = hashlib.sha256(data).hexdigest()[:16]
    assert name == f"{found.kind}-{digest}.pcrevidence"
    return found


def findings(log: MemoryLog, index: Index) -> list[Finding]:
    """What the forward pass and the index say of the whole log."""
    url = f"https://{log.origin}"
    view = Log(KEY, url, log.root.public.keyid, 60, None, None, None)
    reading = Reading(
        view,
        Range(),
        Authority(log.origin),
        sealed=0,
        frozen=False,
        find=lambda sha: (log.by_sha[sha].index, b"") if sha in log.by_sha else None,
    )
    batch: Batch = reading.read(log.leaves)
    new = log.leaves[index.size :]
    found = [*batch.findings, *compare(batch.seals, index.extend(new))]
    if not reading.ends_in_seal:
        found.append(Finding("bad-seal", len(log.leaves) - 1, "it is not a seal"))
    return found


def log_of() -> MemoryLog:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.release(PRODUCT, "1.0.0", GOOD)
    log.seal()
    return log


# --- what a log may be caught at -----------------------------------------------------


def malformed(log: MemoryLog) -> None:
    log.append(b'{"payload":""}', force=True)


def said_twice(log: MemoryLog) -> None:
    log.append(log.leaves[2], force=True)


def after_the_end(log: MemoryLog) -> None:
    log.seal(frozen=True)
    log.release(PRODUCT, "1.1.0", GOOD)


def sealed_after_the_end(log: MemoryLog) -> None:
    log.seal(frozen=True)


def gone_back(log: MemoryLog) -> None:
    log.seal(leaf=b"pcrlog\n")
    log.now -= 1


def miscounted(log: MemoryLog) -> None:
    log.seal(leaf=Seal(3, log.now, log.index_root()).encode())


def not_a_seal(log: MemoryLog) -> None:
    log.seal(leaf=sign_envelope(b"{}", [key("acme.example")]))


def by_a_thief(log: MemoryLog) -> None:
    log.release(PRODUCT, "1.1.0", GOOD, by=key("thief"), force=True)


def with_a_key_of_another(log: MemoryLog) -> None:
    log.identify("lab.example", active(key("acme.example")), [log.enrol], force=True)


def of_nothing(log: MemoryLog) -> None:
    log.revoke("acme.example", "withdrawn", 2, statement="0" * 64, force=True)


def wrong_root(log: MemoryLog) -> None:
    log.release(PRODUCT, "1.1.0", GOOD)
    log.seal(root=bytes(32))


def first_wrong_root(log: MemoryLog) -> None:
    log.__post_init__()
    log.seal(root=bytes(32))


LIES: dict[str, tuple[Callable[[MemoryLog], None], str, str, str]] = {
    "malformed": (malformed, "bad-entry", "leaf", "not well-formed"),
    "said twice": (said_twice, "bad-entry", "leaves", "leaves 2 and 4 are the same"),
    "after the end": (after_the_end, "bad-entry", "leaf", "for the last time"),
    "sealed again": (sealed_after_the_end, "bad-seal", "leaf", "for the last time"),
    "no seal": (gone_back, "bad-seal", "leaf", "leaf 4 is not well-formed"),
    "gone back": (gone_back, "bad-seal", "leaves", "leaves 3 and 5 are seals"),
    "miscounted": (miscounted, "bad-seal", "leaf", "counts 3 leaves"),
    "by a thief": (by_a_thief, "unauthorised-entry", "authority", "not an active key"),
    "another's key": (
        with_a_key_of_another,
        "unauthorised-entry",
        "authority",
        "belongs to acme.example, for ever",
    ),
    "of nothing": (of_nothing, "unauthorised-entry", "authority", "names no earlier"),
    "wrong root": (wrong_root, "bad-index", "index", "seal at 5 has the index root"),
    "wrong at first": (first_wrong_root, "bad-index", "index", "seal at 1 has the"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_finding_becomes_a_file_that_convicts(
    name: str, kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    lie, kind, proves, words = LIES[name]
    log = log_of()
    lie(log)
    log.seal()
    found = [one for one in findings(log, index) if one.kind == kind]
    names = [kept.entry(one, log.note, Served(log), index) for one in found]
    all_proven = [proven(folder, one) for one in names]
    assert any(one.kind == proves and words in one.found for one in all_proven)
    assert {path.name for path in folder.iterdir()} == set(names)


def test_a_checkpoint_that_does_not_end_in_a_seal_becomes_a_file(
    kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    log = log_of()
    not_a_seal(log)
    ended = [one for one in findings(log, index) if one.kind == "bad-seal"]
    [name] = [kept.entry(one, log.note, Served(log), index) for one in ended]
    assert "the last of a checkpoint, is no seal" in proven(folder, name).found


# --- two checkpoints -----------------------------------------------------------------


def fork(*more: str) -> MemoryLog:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    for version in ("6.6.6", *more):
        log.release(PRODUCT, version, GOOD)
    log.seal()
    return log


@pytest.mark.parametrize("more", [(), ("6.6.7",), ("6.6.7", "6.6.8", "6.6.9")])
def test_two_histories_become_a_file_in_whatever_order(
    more: tuple[str, ...], kept: EvidenceFiles, folder: Path
) -> None:
    ours, theirs = log_of(), fork(*more)
    node = theirs.node if more else None
    name = kept.checkpoints(ours.note, theirs.note, node)
    assert proven(folder, name).kind == "checkpoints"
    assert kept.checkpoints(theirs.note, ours.note, node) == name
    theirs.cosign(witness("w1.example/a"))
    assert kept.checkpoints(theirs.note, ours.note, node) == name
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_rollback_or_a_log_that_has_grown_is_no_evidence(
    kept: EvidenceFiles, folder: Path
) -> None:
    log = log_of()
    old = log.note
    log.seal()
    for first, second in ((old, log.note), (log.note, old), (old, old)):
        assert kept.checkpoints(first, second, log.node) is None
    assert not folder.exists()


def test_nothing_comes_of_notes_that_the_log_did_not_sign(
    kept: EvidenceFiles, folder: Path
) -> None:
    log = log_of()
    other = NoteSigner(log.origin, bytes(32))
    text = Checkpoint(log.origin, 4, bytes(32)).text()
    for note in (b"", b"note", bytes(other.sign(text))):
        assert kept.checkpoints(log.note, note, log.node) is None
        assert kept.checkpoints(note, log.note, log.node) is None
    assert not folder.exists()


def silent(_level: int, _index: int) -> bytes:
    message = "no answer"
    raise TransportError(message)


def narrow(_level: int, _index: int) -> bytes:
    message = "a tile is not wide enough"
    raise MalformedError(message)


@pytest.mark.parametrize("node", [None, silent, narrow, lambda *_: bytes(32)])
def test_nothing_comes_of_a_larger_tree_that_cannot_be_had(
    node: Node | None, kept: EvidenceFiles, folder: Path
) -> None:
    ours, theirs = log_of(), fork("6.6.7")
    assert kept.checkpoints(ours.note, theirs.note, node) is None
    assert not folder.exists()


def test_an_empty_tree_contradicts_no_other(kept: EvidenceFiles) -> None:
    log = log_of()
    empty = bytes(log.signer.sign(Checkpoint(log.origin, 0, bytes(32)).text()))
    assert kept.checkpoints(empty, log.note, log.node) is None


# --- what cannot be proven -----------------------------------------------------------


def caught() -> tuple[MemoryLog, Finding]:
    log = log_of()
    by_a_thief(log)
    log.seal()
    return log, Finding("unauthorised-entry", 4, "whatever")


@pytest.mark.parametrize(
    "kind",
    ["bad-entry", "unauthorised-entry", "bad-seal", "bad-index", "unknown-entry"],
)
def test_no_file_comes_of_what_is_right(
    kind: str, kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    log = log_of()
    for _ in range(3):
        log.now += 60
        log.seal()
    assert not findings(log, index)
    for at in range(len(log.leaves) + 2):
        found = Finding(kind, at, "whatever")
        assert kept.entry(found, log.note, Served(log), index) is None
    assert not folder.exists()


def test_a_registrar_that_only_the_policy_refuses_is_no_evidence(
    kept: EvidenceFiles, index: Index
) -> None:
    log = log_of()
    assert not findings(log, index)
    found = Finding("unauthorised-entry", 0, "not the root key that the policy pins")
    assert kept.entry(found, log.note, Served(log), index) is None


@pytest.mark.parametrize("note", [b"", b"note\n\n", log_of().note + b"x"])
def test_without_a_signed_checkpoint_there_is_no_evidence(
    note: bytes, kept: EvidenceFiles, index: Index
) -> None:
    log, found = caught()
    assert kept.entry(found, note, Served(log), index) is None


@pytest.mark.parametrize(
    "fails", [TransportError("no answer"), MalformedError("half a tile")]
)
@pytest.mark.parametrize("name", LIES)
def test_a_log_that_does_not_answer_is_no_error(
    name: str, fails: PcrlogError, kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    lie, _, _, _ = LIES[name]
    log = log_of()
    lie(log)
    log.seal()
    served = Served(log)
    served.fails = fails
    for one in findings(log, index):
        assert kept.entry(one, log.note, served, index) is None
    assert not folder.exists()


def test_an_index_that_fails_is_an_error(kept: EvidenceFiles, tmp_path: Path) -> None:
    class FailedError(PcrlogError):
        pass

    class Failing(Index):
        def indices(self, key: str) -> tuple[int, ...]:
            raise FailedError(key)

    log, found = caught()
    (tmp_path / "other").mkdir()
    failing = Failing(tmp_path / "other" / "index.db")
    failing.extend(log.leaves)
    with pytest.raises(FailedError):
        kept.entry(found, log.note, Served(log), failing)
    failing.close()


def test_an_index_with_another_root_than_the_seal_makes_no_bundle(
    kept: EvidenceFiles, index: Index
) -> None:
    log, found = caught()
    index.extend(log.leaves[:3])
    assert kept.entry(found, log.note, Served(log), index) is None


def test_a_log_that_serves_other_leaves_proves_nothing(
    kept: EvidenceFiles, index: Index
) -> None:
    log, found = caught()
    findings(log, index)

    class Other(Served):
        def leaves(self, start: int, end: int, size: int) -> list[bytes]:
            right = super().leaves(start, end, size)
            return [leaf.replace(b"A", b"B") for leaf in right]

    assert kept.entry(found, log.note, Other(log), index) is None


def test_a_log_that_serves_too_few_leaves_proves_nothing(
    kept: EvidenceFiles, index: Index
) -> None:
    log, found = caught()
    findings(log, index)

    class Short(Served):
        def leaves(self, start: int, end: int, size: int) -> list[bytes]:
            return super().leaves(start, end, size)[:-1]

    assert kept.entry(found, log.note, Short(log), index) is None


# --- an index that was right before --------------------------------------------------


def grown(releases: int, later: int) -> tuple[MemoryLog, int]:
    """A log with a wrong root in one seal, after many leaves; that seal's index."""
    log = log_of()
    for number in range(releases):
        log.release(PRODUCT, f"1.0.{number + 1}", registers(f"build {number}"))
    log.seal()
    log.enroll("lab.example", "auditor")
    log.release(PRODUCT, "2.0.0", GOOD)
    log.revoke("acme.example", "compromised", 2)
    for number in range(releases % 7):
        log.release(PRODUCT, f"2.1.{number}", registers(f"new {number}"))
    at = len(log.leaves)
    log.seal(root=bytes(32))
    for number in range(later):
        log.enroll(f"late{number}.example", "auditor")
        log.release(PRODUCT, f"3.0.{number}", registers(f"late {number}"))
    log.seal()
    return log, at


@pytest.mark.parametrize("releases", [0, 1, 2, 5, 30, 300])
@pytest.mark.parametrize("later", [0, 1, 20])
def test_our_index_is_rewound_to_the_seal_before(
    releases: int, later: int, kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    log, at = grown(releases, later)
    for end in sorted({at, at + 1, len(log.leaves) - 1, len(log.leaves)}):
        index.extend(log.leaves[index.size : end])
        found = Finding("bad-index", at, "whatever")
        name = kept.entry(found, log.note, Served(log), index)
        found_out = proven(folder, name)
        assert found_out.kind == "index"
        assert found_out.entries == (releases + 4, at)


def test_only_a_seal_that_counts_rightly_is_begun_from(
    kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    log = log_of()
    miscounted(log)
    wrong_root(log)
    log.seal()
    index.extend(log.leaves)
    found = Finding("bad-index", 6, "whatever")
    name = kept.entry(found, log.note, Served(log), index)
    assert proven(folder, name).entries == (3, 6)


@pytest.mark.parametrize("releases", [0, 3, 300])
def test_an_entry_is_judged_by_the_newest_seal_that_our_index_has_come_to(
    releases: int, folder: Path, index: Index
) -> None:
    """Whether the names that matter are there or not, in an index of whatever size."""
    log = log_of()
    for number in range(releases):
        log.release(PRODUCT, f"1.0.{number + 1}", registers(f"build {number}"))
        if number % 10 == 0:
            log.enroll(f"name{number}.example", "auditor")
    lies = [
        log.release(f"{name}.example/x", "1.0.0", GOOD, by=key("thief"), force=True)
        for name in ("acme", *(f"nobody{number}" for number in range(9)))
    ]
    seal = len(log.leaves)
    log.seal()
    for number in range(releases // 3 + 1):
        log.enroll(f"late{number}.example", "auditor")
        log.release(PRODUCT, f"3.0.{number}", registers(f"late {number}"))
    log.seal()
    for end in (seal, seal + 1, len(log.leaves) - 2, len(log.leaves)):
        index.extend(log.leaves[index.size : end])
        kept = EvidenceFiles(folder / str(end), KEY)
        for at in lies:
            found = Finding("unauthorised-entry", at, "whatever")
            name = kept.entry(found, log.note, Served(log), index)
            assert "not an active key" in proven(folder / str(end), name).found


def test_an_entry_after_the_last_seal_that_our_index_has_come_to_has_to_wait(
    kept: EvidenceFiles, index: Index
) -> None:
    log, found = caught()
    first = Finding("unauthorised-entry", 1, "whatever")
    index.extend(log.leaves[:2])
    assert kept.entry(first, log.note, Served(log), index) is None
    index.extend(log.leaves[2:3])
    assert kept.entry(found, log.note, Served(log), index) is None
    index.extend(log.leaves[3:5])
    assert kept.entry(found, log.note, Served(log), index) is not None


def test_a_seal_that_counts_wrongly_answers_for_nothing(
    kept: EvidenceFiles, index: Index
) -> None:
    log, found = caught()
    miscounted(log)
    index.extend(log.leaves)
    name = kept.entry(found, log.note, Served(log), index)
    assert name is not None
    log.release(PRODUCT, "1.1.0", GOOD, by=key("thief"), force=True)
    miscounted(log)
    index.extend(log.leaves[7:])
    later = Finding("unauthorised-entry", 7, "whatever")
    assert kept.entry(later, log.note, Served(log), index) is None


def test_a_seal_with_another_root_than_ours_answers_for_nothing(
    kept: EvidenceFiles, index: Index
) -> None:
    log = log_of()
    by_a_thief(log)
    log.seal(root=bytes(32))
    index.extend(log.leaves)
    found = Finding("unauthorised-entry", 4, "whatever")
    assert kept.entry(found, log.note, Served(log), index) is None


@pytest.mark.parametrize("behind", [0, 2])
def test_an_index_whose_nodes_lead_nowhere_proves_nothing(
    behind: int, kept: EvidenceFiles, tmp_path: Path
) -> None:
    class Mean(Index):
        def nodes_for(self, _keys: Iterable[str | bytes]) -> Mapping[bytes, bytes]:
            return {}

    log, found = caught()
    for name in ("one", "two", "three"):
        log.enroll(f"{name}.example", "auditor")
    log.seal()
    (tmp_path / "other").mkdir()
    mean = Mean(tmp_path / "other" / "index.db")
    mean.extend(log.leaves[: len(log.leaves) - behind])
    assert kept.entry(found, log.note, Served(log), mean) is None
    mean.close()


def test_an_index_that_is_behind_or_ahead_proves_what_the_leaves_alone_do(
    kept: EvidenceFiles, folder: Path, index: Index
) -> None:
    log, at = grown(5, 0)
    found = Finding("bad-index", at, "whatever")
    for end in (at - 1, len(log.leaves)):
        index.extend(log.leaves[index.size : end])
    index.extend([*log.leaves[1:3]])
    name = kept.entry(found, log.note, Served(log), index)
    assert proven(folder, name).entries == (0, at)


def test_an_index_of_other_leaves_is_not_rewound(
    kept: EvidenceFiles, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.evidence_files.proving.wrong_from_the_start", nothing)
    log, at = grown(5, 0)
    other, _ = grown(6, 0)
    index.extend(other.leaves[: len(log.leaves)])
    found = Finding("bad-index", at, "whatever")
    assert kept.entry(found, log.note, Served(log), index) is None


def nothing(_case: object, _index: int) -> None:
    message = "not now"
    raise TransportError(message)


# --- sizes ---------------------------------------------------------------------------


def test_too_many_identities_make_no_bundle(
    kept: EvidenceFiles, folder: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, found = caught()
    findings(log, index)
    monkeypatch.setattr("pcrlog.limits.BUNDLE_ENTRIES", 1)
    assert kept.entry(found, log.note, Served(log), index) is None
    assert not folder.exists()


def test_too_many_leaves_make_no_file(
    kept: EvidenceFiles, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of()
    wrong_root(log)
    log.seal()
    findings(log, index)
    monkeypatch.setattr("monitor.evidence_case.MOST", 1_000)
    found = Finding("bad-index", 5, "whatever")
    assert kept.entry(found, log.note, Served(log), index) is None


# --- the folder ----------------------------------------------------------------------


def test_a_file_is_whole_or_not_there(
    kept: EvidenceFiles,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("monitor.evidence_files.os.fsync", full)
    for _ in range(3):
        assert kept.checkpoints(log_of().note, fork().note, None) is None
    assert not [*folder.iterdir()]
    [said] = caplog.messages
    assert "no space left" in said
    monkeypatch.undo()
    assert kept.checkpoints(log_of().note, fork().note, None) is not None


def test_what_cannot_be_written_is_no_evidence_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = EvidenceFiles(tmp_path / "file" / "evidence", KEY)
    assert kept.checkpoints(log_of().note, fork().note, None) is None
    assert "Not a directory" in caplog.text


def test_lies_without_end_do_not_fill_the_disk(
    kept: EvidenceFiles, folder: Path, index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    def forked(number: int) -> bytes:
        return bytes(
            log.signer.sign(Checkpoint(log.origin, 5, bytes([number] * 32)).text())
        )

    log, found = caught()
    findings(log, index)
    names = [kept.checkpoints(forked(0), forked(one), None) for one in range(1, 21)]
    assert all(names[:16])
    assert names[16:] == [None] * 4
    assert len([*folder.iterdir()]) == 16
    assert len(caplog.messages) == 1
    assert kept.checkpoints(forked(0), forked(1), None) == names[0]
    assert kept.entry(found, log.note, Served(log), index) is not None
