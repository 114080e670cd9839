"""`--mirror DIR`: a mirror answers as the log does, without it; and may be damaged."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.logs import Access
from cli.mirror import mirror
from cli.mirror_answers import Mirror
from cli.mirror_files import MirrorFiles
from cli.state import State
from pcrlog import limits
from pcrlog.bundle import Bundle
from pcrlog.errors import PcrlogError, UncheckedError, UsageError
from pcrlog.policy import Policy
from pcrlog.reader import AbsentError, bundle_path, lookup_path
from tests.support.lies import honest
from tests.support.log_simulator import LogSimulator
from tests.support.memory_log import START, MemoryLog, registers
from tests.support.scene import GOOD, LAB, LENS, NONCE, PRODUCT, SOURCE, document
from tests.unit.cli.mirroring import AT_ONCE, OWN, Keeper, files_of, grow

NITRO = '[platforms.aws-nitro]\nroots = ["builtin"]'
M = f"aws-nitro/PCR0={GOOD['PCR0']}"
VERIFY = f"verify --product {PRODUCT} --attestation doc --nonce {NONCE.hex()}"
QUESTIONS = [
    f"{VERIFY} --json",
    f"lookup --product {PRODUCT} --json",
    f"lookup --product {PRODUCT}-nobody --json",
    f"lookup --identity {LAB} --json",
    f"lookup --measurement {M} --json",
    "identify doc --json",
    "show 1 --json",
    "show 4 --json",
    "show {last} --json",
    "show {beyond} --json",
]


@pytest.fixture(scope="module")
def told() -> MemoryLog:
    """A log with some to say. Nobody changes it."""
    log = honest(START)
    log.audit(LAB, "reproduction", GOOD, source=SOURCE)
    log.audit(LENS, "source-review", {"commit": f"gitCommit:{SOURCE.commit}"})
    released = log.release(PRODUCT, "1.5.0", registers("x"))
    log.revoke("acme.example", "withdrawn", released)
    grow(log, 300)
    return log


@pytest.fixture(scope="module")
def copied(told: MemoryLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror of it. Nobody changes it."""
    folder = tmp_path_factory.mktemp("copied")
    policy = Policy.parse(told.policy(products=NITRO).encode())
    files, state = MirrorFiles(folder / "mirror"), State(str(folder / "state"))
    shown = files_of(told)
    mirror(lambda: Shown(shown), files, policy, state, told.now, lambda _text: None)
    return folder / "mirror"


@pytest.fixture
def keeper(
    told: MemoryLog,
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Keeper]:
    """Whoever has a copy of the mirror; the log is there to be compared with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(AT_ONCE, 1)
    monkeypatch.setattr("pcrlog.transport._PAUSES", (0.0, 0.0))
    (tmp_path / "doc").write_bytes(document(time=START))
    with LogSimulator(told) as simulator:
        made = Keeper(simulator, tmp_path, capsys)
        made.write_policy()
        shutil.copytree(copied, made.mirror)
        yield made


class Shown:
    """Files, by their paths, as a `reader.Fetch`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def __call__(self, path: str, _most: int, /) -> bytes:
        return self.files[path]


def again(keeper: Keeper) -> MemoryLog:
    """The same log, to be changed."""
    return keeper.simulator.log.until(len(keeper.simulator.log.leaves))


def ask(keeper: Keeper, words: str, *, mirror: bool) -> tuple[int, str]:
    """What a command says; a mirror is asked when the log is not to be."""
    last = len(keeper.simulator.log.leaves) - 1
    words = words.format(last=last, beyond=last + 1)
    before = len(keeper.simulator.asked)
    shutil.rmtree(keeper.folder / "state", ignore_errors=True)
    status, out, _ = keeper.run(words + " --mirror mirror" * mirror)
    assert (len(keeper.simulator.asked) == before) == mirror
    return status, out


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_mirror_says_what_the_log_says(keeper: Keeper, words: str) -> None:
    online = ask(keeper, words, mirror=False)
    assert ask(keeper, words, mirror=True) == online
    assert online[1]


def test_a_mirror_verifies(keeper: Keeper) -> None:
    status, out = ask(keeper, f"{VERIFY} --json", mirror=True)
    assert (status, json.loads(out)["verdict"]) == (0, "verified")


def test_a_bundle_from_a_mirror_is_the_logs(keeper: Keeper) -> None:
    words = f"bundle --product {PRODUCT} --measurement {M}"
    assert keeper.run(f"{words} -o online")[0] == 0
    assert keeper.run(f"{words} -o offline --mirror mirror")[0] == 0
    online, offline = ((keeper.folder / n).read_bytes() for n in ("online", "offline"))
    assert online == offline
    assert Bundle.parse(offline).entries


def test_without_a_policy_a_mirror_is_not_believed(keeper: Keeper) -> None:
    status, out, err = keeper.run_without(f"lookup --product {PRODUCT} --mirror mirror")
    assert status == 0
    assert "nothing that mirror says is checked" in err
    assert "not checked" in out


def test_a_mirror_may_be_too_old_to_verify(keeper: Keeper) -> None:
    keeper.now += 2 * 86_400
    (keeper.folder / "doc").write_bytes(document(time=keeper.now))
    status, out = ask(keeper, f"{VERIFY} --json", mirror=True)
    assert status == 3
    checks = {one["id"]: one["status"] for one in json.loads(out)["checks"]}
    assert checks["log.freshness"] == "unchecked"


def test_a_remembered_checkpoint_is_held_against_the_mirrors(keeper: Keeper) -> None:
    assert keeper.run(VERIFY)[0] == 0
    keeper.simulator.log = log = again(keeper)
    grow(log, 1, "later")
    keeper.copied()
    status, out, _ = keeper.run(f"{VERIFY} --json --mirror mirror")
    checks = {one["id"]: one["status"] for one in json.loads(out)["checks"]}
    assert (status, checks["log.memory"]) == (0, "pass")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (f"{VERIFY} --mirror nowhere", 3),
        (f"lookup --product {PRODUCT} --mirror nowhere", 3),
        (f"lookup --product {PRODUCT} --mirror mirror --log https://log.example", 2),
        (f"{VERIFY} --mirror mirror --bundle doc", 2),
    ],
)
def test_what_makes_no_sense_is_said(keeper: Keeper, words: str, status: int) -> None:
    found, _, err = keeper.run(words)
    assert found == status
    assert "error: " in err


def test_a_mirror_takes_no_statements(keeper: Keeper) -> None:
    with pytest.raises(UsageError, match="statements go to the log"):
        _ = Access(Mirror("mirror"), "log.example/pcr").client


def test_a_mirror_of_another_log_is_not_read(keeper: Keeper) -> None:
    other = honest(START)
    other.origin = "other.example/log"
    other.signer = type(other.signer)(other.origin, bytes(32))
    (keeper.mirror / "checkpoint").write_bytes(other.sign())
    status, _, err = keeper.run(f"lookup --product {PRODUCT} --mirror mirror")
    assert status == 2
    assert "the policy's are" in err


# --- damage --------------------------------------------------------------------------


def damaged(keeper: Keeper, name: str, at: int = -1, *, cut: bool = False) -> None:
    path = keeper.mirror / name
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data[:-1] if cut else data)


@pytest.mark.parametrize("name", ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_mirror_verifies_nothing_and_accuses_nobody(
    keeper: Keeper, name: str, *, cut: bool
) -> None:
    damaged(keeper, name, cut=cut)
    status, out, err = keeper.run(f"{VERIFY} --mirror mirror")
    assert status == 3
    assert "the mirror in mirror is damaged" in err
    assert "REFUTED" not in out
    status, _, err = keeper.run(f"lookup --product {PRODUCT} --mirror mirror")
    assert status == 3
    assert "the mirror in mirror is damaged" in err


@pytest.mark.parametrize("part", range(9))
def test_an_index_may_be_changed_anywhere_and_is_made_anew(
    keeper: Keeper, part: int
) -> None:
    """Each tenth of the file is noise; the answers are right all the same."""
    path = keeper.mirror / OWN / "index"
    data = path.read_bytes()
    start, step = 80, (len(data) - 80) // 9
    here = start + part * step
    path.write_bytes(data[:here] + os.urandom(step) + data[here + step :])
    for words in QUESTIONS[:5]:
        assert ask(keeper, words, mirror=True) == ask(keeper, words, mirror=False)


@pytest.mark.parametrize(
    "head", [b"", b"something else", b"pcrlog-mirror-index/v1\n\0"]
)
def test_an_index_that_is_none_is_made_anew_once(keeper: Keeper, head: bytes) -> None:
    path = keeper.mirror / OWN / "index"
    right = path.read_bytes()
    path.write_bytes(head)
    assert ask(keeper, f"{VERIFY} --json", mirror=True)[0] == 0
    assert path.read_bytes() == right


def test_an_index_of_an_older_checkpoint_is_brought_up(keeper: Keeper) -> None:
    path = keeper.mirror / OWN / "index"
    old = path.read_bytes()
    keeper.simulator.log = log = again(keeper)
    [index, *_] = log.index[f"v1/version/{PRODUCT}/1.4.2"]
    log.revoke("acme.example", "compromised", index)
    log.seal()
    keeper.copied()
    assert path.read_bytes() == old
    status, out = ask(keeper, f"{VERIFY} --json", mirror=True)
    assert (status, json.loads(out)["verdict"]) == (4, "refuted")


def test_a_mirror_that_cannot_be_written_answers(keeper: Keeper) -> None:
    (keeper.mirror / OWN / "index").unlink()
    own = keeper.mirror / OWN
    own.rename(keeper.folder / "moved")
    own.write_bytes(b"in the way")
    assert ask(keeper, f"{VERIFY} --json", mirror=True)[0] == 0


# --- as a Fetch ----------------------------------------------------------------------


def test_a_mirror_is_read_like_a_log(keeper: Keeper) -> None:
    mirror, log = Mirror("mirror"), keeper.simulator.log
    assert mirror("checkpoint", limits.NOTE) == log.note
    assert mirror("api/v1/entries/3", limits.ENVELOPE) == log.leaves[3]
    with pytest.raises(AbsentError):
        mirror("tile/0/999", limits.BUNDLE)
    with pytest.raises(UncheckedError, match="more than 10 bytes"):
        mirror("tile/0/000", 10)
    with pytest.raises(UncheckedError, match="so none with"):
        mirror(f"api/v1/entries/{len(log.leaves)}", limits.ENVELOPE)
    with pytest.raises(UncheckedError, match="at most 100"):
        mirror(lookup_path(f"v1/product/{PRODUCT}"), 100)


def test_a_long_answer_has_its_newest_entries(keeper: Keeper) -> None:
    mirror, log = Mirror("mirror"), keeper.simulator.log
    key = "v1/product/acme.example/other"
    bundle = Bundle.parse(mirror(lookup_path(key), limits.BUNDLE))
    indices = log.index[key]
    assert bundle.answers[key].indices == tuple(indices)
    kept = sorted(bundle.entries)
    assert kept == indices[-len(kept) :]
    assert len(kept) <= 256
    assert sum(len(log.leaves[at]) for at in kept[1:]) < limits.BUNDLE // 4


def test_more_than_a_bundle_holds_is_not_answered(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle_path(PRODUCT, [M], [LAB, LENS])
    for name, most in (("BUNDLE_ANSWERS", 3), ("BUNDLE_ENTRIES", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, most)
            with pytest.raises(PcrlogError, match="a bundle holds at most"):
                Mirror("mirror")(path, limits.BUNDLE)
