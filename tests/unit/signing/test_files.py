"""Keys in files: whose they are, and what is none."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cli.signers import public_pem
from pcrlog import limits
from pcrlog.errors import UsageError
from pcrlog.keys import SigningKey
from signing import files, uris

KEY = SigningKey.from_seed(bytes(32))


def secret(folder: Path, data: bytes, mode: int = 0o600) -> str:
    path = folder / "acme.key"
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def test_a_file_is_named_with_or_without_its_scheme(tmp_path: Path) -> None:
    path = secret(tmp_path, KEY.to_pem())
    for uri in (path, f"file:{path}", f"file://{path}"):
        assert uris.load(uri).public == KEY.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret(tmp_path, KEY.to_pem(), mode)
    with pytest.raises(UsageError, match=f"chmod 600 {path}"):
        uris.load(path)


@pytest.mark.parametrize("uri", ["file:", "nowhere.key", "file:nowhere.key"])
def test_a_file_that_is_not_there_is_told(uri: str) -> None:
    with pytest.raises(UsageError, match=r"names no file|No such file"):
        uris.load(uri)


def test_a_file_too_large_for_a_key_is_not_read(tmp_path: Path) -> None:
    path = secret(tmp_path, bytes(limits.KEY_FILE + 1))
    with pytest.raises(UsageError, match="more than"):
        uris.load(path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff"])
def test_what_is_no_public_key_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.pub"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="not a public key"):
        files.read_public(str(path))


def test_a_public_key_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    theirs = ec.generate_private_key(ec.SECP384R1()).public_key()
    path = tmp_path / "p384.pub"
    path.write_bytes(
        theirs.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(UsageError, match="unknown key algorithm"):
        files.read_public(str(path))


def test_a_public_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "acme.pub"
    path.write_bytes(public_pem(KEY.public))
    assert files.read_public(str(path)) == KEY.public
