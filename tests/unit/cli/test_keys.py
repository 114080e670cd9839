"""Keys: files, commands that hold one, and what is refused."""

import json

import pytest

from cli import signers
from cli.main import main
from pcrlog.errors import UsageError
from pcrlog.keys import SigningKey
from tests.support.memory_log import key
from tests.unit.cli.world import World
from tests.unit.signing.holders import holder

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


def test_a_command_can_hold_the_key(world: World) -> None:
    uri = holder(world.folder, ACME)
    assert signers.load(uri).public == ACME.public
    assert signers.load_public(uri) == ACME.public
    assert signers.load_public(f"{uri} more.pub") == ACME.public


def test_a_release_can_be_signed_by_a_command(world: World) -> None:
    command = holder(world.folder, ACME).partition(":")[2]
    policy, log = world.folder / "policy.toml", world.log
    args = ["release", "--policy", str(policy), "--key", f"exec:{command}"]
    args += ["--product", "acme.example/wallet", "--version", "1.4.2"]
    args += ["--measurements", str(world.folder / "good.json")]
    assert main(args, clock=lambda: float(log.now)) == 0
    assert world.last().predicate.issuer == "acme.example"


def test_what_cannot_sign_is_a_usage_error() -> None:
    for uri in ("exec:", "exec:/nonexistent/tool", "awskms:alias/x"):
        with pytest.raises(UsageError):
            signers.load(uri)


def test_a_key_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="--key"):
        signers.load(None)
