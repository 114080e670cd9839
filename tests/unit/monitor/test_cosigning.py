"""An index monitor's key and memory: made together, refused apart, asked last."""

from pathlib import Path

import pytest

from monitor import cosigning
from monitor.config import Config
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.note import NoteSigner
from pcrlog.witness import AddCheckpoint, parse_lines
from tests.support.memory_log import MemoryLog
from tests.unit.monitor.followed import PRODUCTS, SETTINGS, log_of

COSIGNS = SETTINGS.replace(
    "[watch]", 'listen = "127.0.0.1:1"\n[cosign]\nkey = "m.skey"\n[watch]'
)


def config_of(folder: Path, log: MemoryLog, settings: str = COSIGNS) -> Config:
    (folder / "monitor.toml").write_text(settings)
    (folder / "policy.toml").write_text(log.policy(products=PRODUCTS))
    return Config.load(folder / "monitor.toml")


def test_key_and_memory_are_made_together_and_secret(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    vkey = cosigning.create(config, "m1.example/m", 1)
    signer = cosigning.read_signer(config)
    assert signer is not None
    assert str(signer.public) == vkey
    assert (tmp_path / "m.skey").stat().st_mode & 0o777 == 0o600
    assert (config.state / "witness.db").exists()


def test_who_does_not_cosign_has_no_key(tmp_path: Path) -> None:
    assert cosigning.read_signer(config_of(tmp_path, log_of(), SETTINGS)) is None


def test_a_key_is_never_made_over_another(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    (tmp_path / "m.skey").write_text("a key")
    with pytest.raises(UsageError, match="exists"):
        cosigning.create(config, "m1.example/m", 1)
    assert (tmp_path / "m.skey").read_text() == "a key"
    assert not (config.state / "witness.db").exists()


def test_a_key_without_its_memory_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    (config.state / "witness.db").unlink()
    with pytest.raises(UsageError, match="second history"):
        cosigning.read_signer(config)


def test_a_memory_without_its_key_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    (tmp_path / "m.skey").unlink()
    with pytest.raises(UsageError, match="init"):
        cosigning.read_signer(config)
    with pytest.raises(UsageError, match="exists"):
        cosigning.create(config, "m1.example/m", 1)


def test_the_key_of_a_log_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    (tmp_path / "m.skey").write_text(NoteSigner("m1.example/m", bytes(32)).skey())
    with pytest.raises(UsageError, match="0x04"):
        cosigning.read_signer(config)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 200),
        (VerificationError("the log lies"), 422),
        (UncheckedError("busy"), 503),
    ],
)
def test_what_is_not_vouched_for_is_not_cosigned(
    tmp_path: Path, error: Exception | None, status: int
) -> None:
    log, asked = log_of(), []
    config = config_of(tmp_path, log)
    cosigning.create(config, "m1.example/m", 1)
    signer = cosigning.read_signer(config)
    assert signer is not None

    def vouch(note: bytes) -> None:
        asked.append(note)
        if error is not None:
            raise error

    with cosigning.open_cosigner(config, signer, vouch, lambda: log.now) as witness:
        reply = witness.add_checkpoint(bytes(AddCheckpoint(0, (), log.note)))
        assert reply.status == status
        assert asked == [log.note]
        if status == 200:
            [line] = parse_lines(reply.body)
            assert line.name == "m1.example/m"


def test_another_log_is_not_cosigned(tmp_path: Path) -> None:
    config = config_of(tmp_path, log_of())
    cosigning.create(config, "m1.example/m", 1)
    signer = cosigning.read_signer(config)
    assert signer is not None
    other = log_of(origin="other.example/pcr")

    def vouch(_note: bytes) -> None:
        raise AssertionError

    with cosigning.open_cosigner(config, signer, vouch, lambda: 1) as witness:
        body = bytes(AddCheckpoint(0, (), other.note))
        assert witness.add_checkpoint(body).status == 404
