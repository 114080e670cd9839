"""Keys: files, commands that hold one, and what is refused."""

import json
import shlex
import sys
import types
from pathlib import Path

import pytest

from cli import signers
from pcrlog.encoding import encode_base64
from pcrlog.errors import UsageError, VerificationError
from pcrlog.keys import SigningKey
from tests.support.memory_log import key
from tests.unit.cli.world import World

ACME = key("acme.example")


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256"])
def test_a_new_key_is_secret_and_has_a_public_half(
    world: World, algorithm: str
) -> None:
    ran = world.run(f"keys new new.key --algorithm {algorithm} --json")
    assert ran.status == 0
    path = world.folder / "new.key"
    assert path.stat().st_mode & 0o777 == 0o600
    made = SigningKey.from_pem(path.read_bytes())
    shown = json.loads(ran.out)
    assert shown["keyid"] == made.public.keyid
    assert signers.load_public("new.pub") == made.public
    assert signers.load("new.key").public.keyid == made.public.keyid


@pytest.mark.parametrize("there", ["new.key", "new.pub"])
def test_no_key_is_ever_overwritten(world: World, there: str) -> None:
    path = world.write(there, b"mine")
    assert world.run("keys new new.key").status == 2
    assert path.read_bytes() == b"mine"
    assert len(list(world.folder.glob("new.*"))) == 1


def test_a_keys_public_half_can_be_shown(world: World) -> None:
    world.run("keys new new.key")
    shown = [world.run(f"keys show {name} --json") for name in ("new.key", "new.pub")]
    keyids = {json.loads(one.out)["keyid"] for one in shown}
    assert len(keyids) == 1


def test_a_key_that_others_can_read_is_refused(world: World) -> None:
    (world.folder / "acme.key").chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        signers.load("acme.key")


def test_a_file_that_is_no_key_is_refused(world: World) -> None:
    world.write("no.key", b"hello").chmod(0o600)
    for name in ("no.key", "missing.key"):
        with pytest.raises(UsageError):
            signers.load(name)
    world.write("no.pub", b"hello")
    with pytest.raises(UsageError, match="public key"):
        signers.load_public("no.pub")


def command(folder: Path, signature: str, public: str = "") -> str:
    """A program that holds a key, and says this."""
    public = public or encode_base64(ACME.public.spki)
    path = folder / "hold.py"
    path.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "from tests.support.memory_log import key\n"
        "from pcrlog.encoding import encode_base64\n"
        "data = sys.stdin.buffer.read()\n"
        f"print({public!r} if sys.argv[1] == 'public' else {signature})\n"
    )
    return f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(path))}"


def test_a_command_can_hold_the_key(tmp_path: Path) -> None:
    sign = "encode_base64(key('acme.example').sign(data))"
    signer = signers.load(command(tmp_path, sign))
    assert signer.public == ACME.public
    assert signer.sign(b"message") == ACME.sign(b"message")


def test_what_a_command_signs_is_checked(tmp_path: Path) -> None:
    sign = "encode_base64(key('somebody').sign(data))"
    signer = signers.load(command(tmp_path, sign))
    with pytest.raises(VerificationError):
        signer.sign(b"message")


@pytest.mark.parametrize(
    "uri",
    ["exec:", "exec:/nonexistent/tool", "exec:false", "exec:echo", "awskms:alias/x"],
)
def test_what_cannot_sign_is_a_usage_error(uri: str) -> None:
    with pytest.raises(UsageError):
        signers.load(uri)


def test_a_command_whose_public_half_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="public"):
        signers.load(command(tmp_path, "''", public="AAAA"))


def test_a_key_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="--key"):
        signers.load(None)


class Kms:
    """What securesystemslib makes of a key in AWS KMS, without AWS."""

    def __init__(self, holder: SigningKey) -> None:
        self.holder = holder

    def import_(self, _arn: str) -> tuple[str, "Kms"]:
        return "", self

    @property
    def keyval(self) -> dict[str, str]:
        return {"public": signers.public_pem(self.holder.public).decode()}

    def from_priv_key_uri(self, _uri: str, _key: object) -> "Kms":
        return self

    def sign(self, message: bytes) -> "Kms":
        self.signature = self.holder.sign(message).hex()
        return self


def test_a_key_can_live_in_a_kms(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = SigningKey.generate("ecdsa-p256")
    kms = Kms(holder)
    monkeypatch.setitem(sys.modules, "boto3", types.ModuleType("boto3"))
    monkeypatch.setattr("securesystemslib.signer._aws_signer.AWSSigner", kms)
    monkeypatch.setattr("securesystemslib.signer._signer.Signer", kms)
    signer = signers.load("awskms:alias/acme")
    assert signer.public == holder.public
    signer.public.verify(signer.sign(b"message"), b"message")


def test_a_kms_that_does_not_answer_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", types.ModuleType("boto3"))
    monkeypatch.setattr("securesystemslib.signer._aws_signer.AWSSigner", None)
    with pytest.raises(UsageError, match="awskms:alias/acme"):
        signers.load("awskms:alias/acme")
