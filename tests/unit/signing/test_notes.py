"""The log's and the registrar's keys, held elsewhere."""

from pathlib import Path

import pytest

from log_server.config import Config
from log_server.creation import create_log
from log_server.direct import read_log_key
from log_server.enrolment import prepare, submit
from log_server.fsck import check
from pcrlog.errors import UsageError
from pcrlog.keys import SigningKey
from pcrlog.note import NoteSigner
from pcrlog.request import Request, encode
from signing import notes
from tests.unit.log_server.parties import ORIGIN, Clock
from tests.unit.signing.holders import holder

KEY = SigningKey.from_seed(bytes(32))
HERE = NoteSigner(ORIGIN, bytes(32))


def test_a_key_elsewhere_is_the_same_key(tmp_path: Path) -> None:
    away = notes.of(ORIGIN, holder(tmp_path, KEY))
    assert away.public == HERE.public
    assert away.sign("text\n") == HERE.sign("text\n")
    assert "PRIVATE" not in away.skey()
    assert notes.parse(away.skey()).public == HERE.public


def test_a_key_of_the_file_is_still_one() -> None:
    assert notes.parse(HERE.skey()).public == HERE.public


def test_what_names_another_key_is_refused(tmp_path: Path) -> None:
    uri = holder(tmp_path, KEY)
    other = NoteSigner(ORIGIN, bytes(31) + b"\1").public
    with pytest.raises(UsageError, match="is the key"):
        notes.parse(f"{other} {uri}")
    with pytest.raises(UsageError, match="a vkey and a URI"):
        notes.parse(f"{ORIGIN} {uri}")


def test_a_log_signs_with_ed25519_alone(tmp_path: Path) -> None:
    uri = holder(tmp_path, SigningKey.generate("ecdsa-p256"))
    with pytest.raises(UsageError, match="a log signs with ed25519"):
        notes.of(ORIGIN, uri)


def test_a_log_whose_keys_are_held_elsewhere_enrols(tmp_path: Path) -> None:
    """Its folder holds no secret, and all that it publishes is signed."""
    uri = holder(tmp_path, KEY, "log")
    new = create_log(
        *(tmp_path / "log", ORIGIN),
        root_key=tmp_path / "root.key",
        clock=Clock(),
        signer=notes.of(ORIGIN, uri),
    )
    enrol_key = SigningKey.from_pem(new.enrol_key.read_bytes())
    new.enrol_key.write_text(f"{holder(tmp_path, enrol_key, 'enrol')}\n")
    for path in (tmp_path / "log" / "keys").iterdir():
        assert b"PRIVATE" not in path.read_bytes(), path
    config = Config.load(tmp_path / "log")
    assert str(read_log_key(config).public) == new.vkey
    request = Request.parse(encode(ORIGIN, "acme.example", [SigningKey.generate()]))
    made = prepare(config, "acme.example", ["provider"], request, Clock())
    assert submit(config, made.envelope, Clock()) == 2
    assert check(config).wrong == []
