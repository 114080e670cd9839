"""`pcrlog-monitor evidence verify`: words, JSON and exit status."""

import json
import sys
from pathlib import Path

import pytest

from monitor import commands
from monitor.evidence_command import _WORDS, _read
from pcrlog.errors import UsageError
from pcrlog.evidence import MOST
from pcrlog.note import NoteSigner
from tests.support.memory_log import MemoryLog, witness
from tests.unit.evidence.genuine import KEY, KINDS, data, small
from tests.unit.monitor.followed import PRODUCTS


class Ran:
    """What a run printed, and its exit status."""

    def __init__(self, status: object, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Verify":
    return Verify(tmp_path, monkeypatch, capsys)


class Verify:
    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys

    def __call__(self, evidence: bytes, *words: str) -> Ran:
        path = self.folder / "file.pcrevidence"
        path.write_bytes(evidence)
        argv = ["pcrlog-monitor", "evidence", "verify", str(path), *words]
        self._monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            commands.main()
        out, err = self._capsys.readouterr()
        return Ran(ended.value.code, out, err)

    def policy(self, *logs: MemoryLog) -> str:
        text = logs[0].policy(products=PRODUCTS)
        table = text[text.index("[[log]]") : text.index("[platforms")]
        more = "".join(
            table.replace(str(logs[0].signer.public), str(one.signer.public)).replace(
                logs[0].origin, one.origin
            )
            for one in logs[1:]
        )
        path = self.folder / "policy.toml"
        path.write_text(text.replace(table, table + more))
        return str(path)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_file_proves_is_said_in_words(name: str, verify: Verify) -> None:
    ran = verify(data(name), "--vkey", str(KEY))
    assert ran.status == 0
    assert ran.out.startswith("PROVEN against log.example/pcr: it")
    assert "signed checkpoint: " in ran.out
    assert "anybody can verify it" in ran.out
    assert not ran.err


def test_every_kind_has_its_words() -> None:
    assert {json.loads(data(name))["kind"] for name in KINDS} == _WORDS.keys()


def test_json_has_all_of_it(verify: Verify) -> None:
    ran = verify(data("hidden entry"), "--vkey", str(KEY), "--json")
    shown = json.loads(ran.out)
    assert ran.status == 0
    assert shown["kind"] == "answer"
    assert shown["log"] == "log.example/pcr"
    assert shown["entries"] == [4]
    assert [one["size"] for one in shown["checkpoints"]] == [6]
    assert "hides leaf 4" in shown["found"]
    assert set(shown) == {"checkpoints", "entries", "found", "kind", "log", "sha256"}


def test_a_policy_has_the_key_too(verify: Verify) -> None:
    assert verify(data("one size"), "--policy", verify.policy(small())).status == 0


def test_of_several_logs_the_file_names_its_own_or_the_caller_does(
    verify: Verify,
) -> None:
    policy = verify.policy(MemoryLog(origin="other.example/log"), small())
    assert verify(data("one size"), "--policy", policy).status == 0
    named = ("--policy", policy, "--log", "log.example/pcr")
    assert verify(data("one size"), *named).status == 0
    other = ("--policy", policy, "--log", "other.example/log")
    assert verify(data("one size"), *other).status == 4
    unknown = ("--policy", policy, "--log", "third.example/log")
    assert verify(data("one size"), *unknown).status == 2


def test_a_forged_file_is_4(verify: Verify) -> None:
    forged = data("bad leaf").replace(b"eyJ", b"eyK")
    for evidence in (forged, b"", b"{}", b" " * (MOST + 1)):
        ran = verify(evidence, "--vkey", str(KEY))
        assert ran.status == 4
        assert ran.err.startswith("pcrlog-monitor: ")
        assert not ran.out


def test_a_file_that_proves_nothing_is_3(verify: Verify) -> None:
    table = json.loads(data("one size"))
    table["checkpoints"] = [table["checkpoints"][0]] * 2
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    ran = verify(text.encode(), "--vkey", str(KEY))
    assert ran.status == 3
    assert "does not prove what it says" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--vkey", "key"),
        ("--vkey", str(witness("w1.example/a").public)),
        ("--vkey", str(KEY), "--log", "other.example/log"),
        ("--policy", "absent.toml"),
        ("--vkey", str(KEY), "--policy", __file__),
        ("--policy", __file__),
        ("--sing",),
    ],
)
def test_what_makes_no_sense_is_2(words: tuple[str, ...], verify: Verify) -> None:
    ran = verify(data("one size"), *words)
    assert ran.status == 2
    assert not ran.out


def test_the_key_of_another_log_convicts_nobody(verify: Verify) -> None:
    other = NoteSigner(KEY.name, bytes(32)).public
    assert verify(data("one size"), "--vkey", str(other)).status == 4


def test_a_file_that_cannot_be_read_is_2() -> None:
    with pytest.raises(UsageError, match="cannot read"):
        _read(Path("/proc/self/mem"))
