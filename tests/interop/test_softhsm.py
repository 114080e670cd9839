"""A real PKCS #11 token, SoftHSM's, signs statements that everybody else verifies.

The key is made in the token and never leaves it. Debian: apt-get install softhsm2.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope as Theirs
from securesystemslib.signer._key import SSlibKey

from cli.main import main
from cli.signers import public_pem
from pcrlog.errors import UsageError
from signing import uris
from signing.services import PIN
from tests.unit.cli.world import World, connect

pkcs11 = pytest.importorskip("pkcs11", reason="no python-pkcs11: the extra `hsm`")

_LIBRARIES = ("/usr/lib/softhsm", "/usr/lib64/pkcs11", "/usr/local/lib/softhsm")
_LABEL, _SECRET = "acme.example", "271828"
URI = f"hsm:2?label={_LABEL}"


class SoftHsmAbsentError(Exception):
    """In CI the token has to be there."""


def library() -> str:
    """SoftHSM's library; without it the test is skipped.

    Raises:
        SoftHsmAbsentError: it is missing in CI.
    """
    found = [Path(folder) / "libsofthsm2.so" for folder in _LIBRARIES]
    for path in found:
        if path.exists() and shutil.which("softhsm2-util"):
            return str(path)
    reason = "no SoftHSM: apt-get install softhsm2"
    if os.environ.get("CI") == "true":
        raise SoftHsmAbsentError(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A token with a key on P-256, as number 2."""
    where = library()
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(settings))
        patch.setenv("PYKCS11LIB", where)
        patch.setenv(PIN, _SECRET)
        words = ["--init-token", "--free", "--label", _LABEL]
        pins = ["--so-pin", "31415926", "--pin", _SECRET]
        subprocess.run(
            ["softhsm2-util", *words, *pins], check=True, stdout=subprocess.DEVNULL
        )
        make_key(where)
        yield


def make_key(where: str) -> None:
    from pkcs11 import Attribute, KeyType  # noqa: PLC0415 - where there is one
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415 - as above

    found = pkcs11.lib(where).get_token(token_label=_LABEL)
    with found.open(rw=True, user_pin=_SECRET) as session:
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
        public, secret = parameters.generate_keypair(id=b"\2", store=True)
        assert (public.key_type, secret[Attribute.EXTRACTABLE]) == (KeyType.EC, False)


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    made = World(tmp_path, capsys)
    connect(made, monkeypatch)
    return made


def test_a_token_signs_what_we_verify(token: None) -> None:
    signer = uris.load(URI)
    assert signer.public.algorithm == "ecdsa-p256"
    signer.public.verify(signer.sign(b"message"), b"message")
    assert uris.load("hsm:2").public == signer.public


def test_a_token_signs_a_statement_that_others_verify(
    token: None, world: World
) -> None:
    world.write("unsigned.json", payload(world))
    args = ["sign", "unsigned.json", "--key", URI, "-o", "signed.json"]
    assert main(args, clock=lambda: float(world.log.now)) == 0
    envelope = json.loads((world.folder / "signed.json").read_bytes())
    public = uris.load(URI).public
    loaded = load_pem_public_key(public_pem(public))
    assert isinstance(loaded, EllipticCurvePublicKey)
    key = SSlibKey.from_crypto(loaded, keyid=public.keyid)
    assert Theirs.from_dict(envelope).verify([key], 1)


def payload(world: World) -> bytes:
    """The release of somebody whose key is in the token."""
    words = (
        "release --policy policy.toml --as acme.example --product acme.example/wallet"
    )
    more = "--version 2.0.0 --measurements good.json -o release.json"
    ran = world.run(words, more)
    assert ran.status == 0, ran.err
    return (world.folder / "release.json").read_bytes()


@pytest.mark.parametrize(
    ("uri", "secret"),
    [(f"hsm:3?label={_LABEL}", _SECRET), ("hsm:2?label=other", _SECRET), (URI, "0")],
    ids=["no-such-key", "no-such-token", "wrong-pin"],
)
def test_what_a_token_does_not_have_is_told(
    token: None, monkeypatch: pytest.MonkeyPatch, uri: str, secret: str
) -> None:
    monkeypatch.setenv(PIN, secret)
    with pytest.raises(UsageError, match="hsm:"):
        uris.load(uri).sign(b"message")
