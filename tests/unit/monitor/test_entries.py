"""The forward pass: what cannot be read of before says nothing of an entry."""

import pytest

from monitor.entries import Find, Reading
from pcrlog.authority import Authority
from pcrlog.errors import PcrlogError, TransportError, VerificationError
from pcrlog.merkle import Range
from pcrlog.policy import Log
from tests.support.memory_log import MemoryLog, registers
from tests.support.scene import PRODUCT, PROVIDER


@pytest.fixture
def log() -> MemoryLog:
    """A log with a provider, whose release is entry 2."""
    made = MemoryLog()
    made.enroll(PROVIDER, "provider")
    made.release(PRODUCT, "1.4.2", registers("good"))
    return made


def pass_over(log: MemoryLog, find: Find) -> Reading:
    key = log.signer.public
    url = f"https://{log.origin}"
    view = Log(key, url, log.root.public.keyid, 60, None, None, None)
    authority = Authority(log.origin)
    return Reading(view, Range(), authority, sealed=0, frozen=False, find=find)


def nowhere(sha256: str) -> None:
    """Nothing stands before what is read."""
    del sha256


def found_in(log: MemoryLog) -> Find:
    """What stands anywhere in a log, first."""

    def find(sha256: str) -> tuple[int, bytes] | None:
        entry = log.by_sha.get(sha256)
        return None if entry is None else (entry.index, log.leaves[entry.index])

    return find


def failing(error: PcrlogError) -> Find:
    def find(sha256: str) -> tuple[int, bytes] | None:
        del sha256
        raise error

    return find


@pytest.mark.parametrize("error", [TransportError("gone"), VerificationError("false")])
def test_a_target_that_cannot_be_read_ends_the_pass(
    log: MemoryLog, error: PcrlogError
) -> None:
    log.revoke(PROVIDER, "withdrawn", 2)
    reading = pass_over(log, failing(error))
    reading.read(log.leaves[:2])
    with pytest.raises(type(error), match=str(error)):
        reading.read(log.leaves[3:])
    assert reading.findings == []


def test_what_else_is_wrong_is_known_though_a_target_is_withheld(
    log: MemoryLog,
) -> None:
    log.revoke(PROVIDER, "withdrawn", 2)
    log.append(b'{"payload":""}', force=True)
    reading = pass_over(log, failing(TransportError("gone")))
    reading.read(log.leaves[:2])
    with pytest.raises(TransportError):
        reading.read(log.leaves[3:])
    assert [(one.kind, one.index) for one in reading.findings] == [("bad-entry", 3)]


def test_a_target_is_found_in_the_batch_or_before_it(log: MemoryLog) -> None:
    index = log.revoke(PROVIDER, "withdrawn", 2)
    whole = pass_over(log, nowhere).read(log.leaves)
    assert whole.findings == ()
    assert [entry.index for entry in whole.entries] == [0, 1, 2, index]
    reading = pass_over(log, found_in(log))
    reading.read(log.leaves[:index])
    later = reading.read(log.leaves[index:])
    assert later.findings == ()
    assert [entry.index for entry in later.entries] == [index]


def test_a_target_that_comes_later_or_nowhere_is_none(log: MemoryLog) -> None:
    log.revoke(PROVIDER, "withdrawn", 2)
    log.leaves[2:] = reversed(log.leaves[2:])
    found = pass_over(log, nowhere).read(log.leaves)
    assert [(one.kind, one.index) for one in found.findings] == [
        ("unauthorised-entry", 2)
    ]
    assert [entry.index for entry in found.entries] == [0, 1, 3]


def test_a_target_that_is_said_again_later_is_the_one_before(log: MemoryLog) -> None:
    index = log.revoke(PROVIDER, "withdrawn", 2)
    log.append(log.leaves[2], force=True)
    reading = pass_over(log, found_in(log))
    reading.read(log.leaves[:index])
    assert reading.read(log.leaves[index:]).findings == ()


def test_findings_come_by_index(log: MemoryLog) -> None:
    target = log.release(PRODUCT, "1.5.0", registers("other"))
    log.revoke(PROVIDER, "withdrawn", target)
    log.append(b'{"payload":""}', force=True)
    del log.leaves[target]
    found = pass_over(log, nowhere).read(log.leaves)
    assert [(one.kind, one.index) for one in found.findings] == [
        ("unauthorised-entry", 3),
        ("bad-entry", 4),
    ]
