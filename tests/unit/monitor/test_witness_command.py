"""pcrlog-monitor witness: what its commands make, say and refuse."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor import witness_store
from monitor.witness import Witness
from monitor.witness_command import witness_command
from monitor.witness_config import Logs, Settings, read_signer
from monitor.witness_store import WitnessStore
from pcrlog.errors import PcrlogError, UsageError
from pcrlog.evidence import TwoCheckpoints, parse, verify_evidence
from pcrlog.note import COSIGNATURE, NoteSigner, VerifierKey
from tests.unit.monitor.witnessed import NOW, Clock, Log

ONE, TWO = Log(1), Log(2)


def run(*words: object) -> Result:
    result = CliRunner().invoke(
        witness_command, [str(word) for word in words], standalone_mode=False
    )
    if result.exception is not None and not isinstance(result.exception, PcrlogError):
        raise result.exception
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run("init", tmp_path / "w", "--name", "w1.example/a")
    return tmp_path / "w"


def listed(folder: Path) -> dict[str, int]:
    found = Logs.load(folder, Settings.load(folder))
    return {origin: log.qpd for origin, log in found.table.items()}


def test_init_makes_a_key_of_its_own_that_nobody_else_reads(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "w"
    result = run("init", folder, "--name", "w1.example/a")
    vkey = VerifierKey.parse(result.stdout.strip())
    assert (vkey.name, vkey.kind) == ("w1.example/a", COSIGNATURE)
    assert read_signer(folder, Settings.load(folder)).public == vkey
    assert witness_store.read(folder / "witness.db").vkey == str(vkey)
    assert stat.S_IMODE((folder / "witness.skey").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert f"pcrlog-monitor witness add {folder} VKEY" in result.stderr
    assert listed(folder) == {}
    assert sorted(path.name for path in folder.iterdir()) == [
        *("logs", "witness.db", "witness.skey", "witness.toml"),
    ]


def test_what_is_made_and_added_is_told_to_programs_too(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    made = json.loads(run("init", folder, "--name", "w1.example/a", "--json").stdout)
    assert made["vkey"] == witness_store.read(folder / "witness.db").vkey
    for added in (True, False):
        told = json.loads(run("add", folder, ONE.key, "--json").stdout)
        assert told == {"added": added, "origin": ONE.origin}


def test_init_never_makes_a_witness_over_another(folder: Path) -> None:
    before = (folder / "witness.skey").read_bytes()
    result = run("init", folder, "--name", "w2.example")
    assert isinstance(result.exception, UsageError)
    assert "is not empty" in str(result.exception)
    assert (folder / "witness.skey").read_bytes() == before


@pytest.mark.parametrize("name", ["", "w 1", "w+1", 'w"1', "w\\1", "w\x7f1"])
def test_init_refuses_what_is_no_name(tmp_path: Path, name: str) -> None:
    result = run("init", tmp_path / "w", "--name", name)
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "w").exists()


def test_a_folder_that_cannot_be_made_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("init", tmp_path / "file" / "w", "--name", "w1.example")
    assert isinstance(result.exception, UsageError)


def test_add_puts_a_log_on_the_list_once(folder: Path) -> None:
    assert "Added log1.example/pcr." in run("add", folder, ONE.key).output
    assert "on the list already" in run("add", folder, ONE.key).output
    run("add", folder, TWO.key, "--qpd", "1440")
    assert listed(folder) == {ONE.origin: 86_400, TWO.origin: 1440}
    assert (folder / "logs").read_text().startswith("# <vkey>")


def test_add_keeps_a_last_line_that_has_no_end(folder: Path) -> None:
    (folder / "logs").write_text(str(ONE.key), "ascii")
    run("add", folder, TWO.key)
    assert set(listed(folder)) == {ONE.origin, TWO.origin}


@pytest.mark.parametrize(
    "vkey",
    [
        "nonsense",
        str(NoteSigner("w2.example", bytes(32), COSIGNATURE).public),
        str(NoteSigner(ONE.origin, bytes(32)).public),
        f"{TWO.key}\n{TWO.key}",
    ],
    ids=["no key", "of a witness", "another key", "two lines"],
)
def test_add_refuses_what_is_no_new_log(folder: Path, vkey: str) -> None:
    run("add", folder, ONE.key)
    before = (folder / "logs").read_bytes()
    result = run("add", folder, vkey)
    if result.exception is None:
        pytest.fail(result.output)
    assert isinstance(result.exception, UsageError)
    assert (folder / "logs").read_bytes() == before


def test_add_leaves_lists_of_others_alone(folder: Path) -> None:
    (folder / "logs").write_text("logs/v0\n", "ascii")
    assert "name another file" in str(run("add", folder, ONE.key).exception)
    toml = (folder / "witness.toml").read_text("ascii")
    (folder / "witness.toml").write_text(toml.replace('["logs"]', '["network"]'))
    assert "has no 'logs'" in str(run("add", folder, ONE.key).exception)


def test_status_shows_what_was_cosigned(folder: Path) -> None:
    assert "0 logs cosigned" in run("status", folder).output
    cosign(folder, ONE.request(0, 8))
    result = run("status", folder)
    assert "log1.example/pcr  8 leaves, 2026-11-18T" in result.output
    assert result.return_value == 0
    shown = json.loads(run("status", folder, "--json").output)
    [log] = shown["logs"]
    assert (log["origin"], log["size"], log["time"]) == (ONE.origin, 8, NOW)
    assert log["root"] == ONE.checkpoint(8).root.hex()
    assert shown["forks"] == []


def cosign(folder: Path, *bodies: bytes) -> None:
    signer = read_signer(folder, Settings.load(folder))
    store = WitnessStore(folder / "witness.db", str(signer.public))
    try:
        witness = Witness(store, signer, {ONE.origin: ONE.key}.get, Clock())
        for body in bodies:
            witness.add_checkpoint(body)
    finally:
        store.close()


def test_a_fork_is_4_and_written_as_evidence_that_verifies(
    folder: Path, tmp_path: Path
) -> None:
    fork = Log(1, fork_at=3)
    cosign(folder, ONE.request(0, 8), fork.request(8, 8))
    result = run("status", folder, "--evidence", tmp_path / "out" / "files")
    assert result.return_value == 4
    assert "FORK: log1.example/pcr signed two trees of 8 leaves" in result.output
    [path] = (tmp_path / "out" / "files").iterdir()
    assert f"written: {path}" in result.output
    file = parse(path.read_bytes())
    assert isinstance(file, TwoCheckpoints)
    assert verify_evidence(path.read_bytes(), ONE.key).kind == "checkpoints"
    assert set(file.checkpoints) == {ONE.note(8).decode(), fork.note(8).decode()}
    shown = json.loads(run("status", folder, "--json").output)
    assert shown["forks"] == [{"origin": ONE.origin, "size": 8, "time": NOW}]
    # Again: the file is replaced.
    assert run("status", folder, "--evidence", path.parent).return_value == 4


def test_evidence_that_cannot_be_written_is_wrong_usage(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = run("status", folder, "--evidence", tmp_path / "file" / "out")
    assert isinstance(result.exception, UsageError)


def test_a_folder_that_is_no_witness_is_wrong_usage(tmp_path: Path) -> None:
    for words in (("status", tmp_path), ("run", tmp_path), ("add", tmp_path, ONE.key)):
        assert isinstance(run(*words).exception, UsageError)
