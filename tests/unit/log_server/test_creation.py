"""init: keys that nobody else can read, entry 0, a first checkpoint."""

import stat
from pathlib import Path

import pytest

from log_server.config import Config
from log_server.creation import create_log, write_secret
from log_server.fsck import check
from pcrlog.authority import Authority
from pcrlog.entry import parse_entry
from pcrlog.errors import UsageError
from pcrlog.keys import SigningKey
from pcrlog.note import NoteSigner
from tests.unit.log_server.parties import ORIGIN, Clock, Log


def test_entry_0_is_the_registrars_identity_signed_by_its_root_key(log: Log) -> None:
    with log.snapshot() as snapshot:
        entry = parse_entry(0, snapshot.leaf(0) or b"")
    authority = Authority(ORIGIN)
    authority.accept(entry)
    assert authority.root_keys() == {log.new.root_keyid}
    assert entry.keyid == log.new.root_keyid
    keys = authority.state("registrar", 1).keys
    assert keys == {log.new.root_keyid: "root", log.new.enrol_keyid: "enrol"}
    assert check(log.config).wrong == []


def test_private_keys_are_the_owners_alone(log: Log) -> None:
    keys = log.config.keys
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    for path in keys.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    signer = NoteSigner.parse(log.config.log_key.read_text().strip())
    assert str(signer.public) == log.new.vkey
    for path in (log.new.root_key, log.new.enrol_key):
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_all_keys_are_distinct(log: Log) -> None:
    keys = [
        SigningKey.from_pem(path.read_bytes()).public.keyid
        for path in (log.new.root_key, log.new.enrol_key)
    ]
    assert len(set(keys)) == 2


def test_the_root_key_can_be_written_elsewhere_at_once(tmp_path: Path) -> None:
    elsewhere = tmp_path / "root.key"
    new = create_log(tmp_path / "log", ORIGIN, root_key=elsewhere, clock=Clock())
    assert new.root_key == elsewhere
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    names = {path.name for path in (tmp_path / "log" / "keys").iterdir()}
    assert names == {"log.skey", "registrar-enrol.key"}


def test_nothing_is_ever_written_over(log: Log, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not empty"):
        create_log(log.config.directory, ORIGIN, root_key=None, clock=Clock())
    key = tmp_path / "root.key"
    key.write_bytes(b"mine")
    with pytest.raises(UsageError, match="cannot write"):
        create_log(tmp_path / "other", ORIGIN, root_key=key, clock=Clock())
    with pytest.raises(UsageError, match="cannot write"):
        write_secret(key, b"new")
    assert key.read_bytes() == b"mine"


def test_a_folder_in_which_init_failed_is_no_log(tmp_path: Path) -> None:
    key = tmp_path / "root.key"
    key.write_bytes(b"mine")
    with pytest.raises(UsageError):
        create_log(tmp_path / "log", ORIGIN, root_key=key, clock=Clock())
    with pytest.raises(UsageError, match="no log"):
        Config.load(tmp_path / "log")


@pytest.mark.parametrize(
    "origin", ["", "a b", "a+b", 'a"b', "a\nb", "\u00e9", "x" * 256]
)
def test_an_origin_that_no_note_could_carry_is_refused(
    tmp_path: Path, origin: str
) -> None:
    with pytest.raises(UsageError):
        create_log(tmp_path / "log", origin, root_key=None, clock=Clock())
    assert not (tmp_path / "log").exists()
