"""Keys in a KMS or an HSM: what they sign is checked, and what is missing is told.

Vault's transit engine is played by a server on loopback, asked by Vault's own client;
SoftHSM is a real token (tests/interop/test_softhsm.py). For AWS and Google Cloud what
securesystemslib hands over is made up here.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.signers import public_pem
from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.errors import UsageError, VerificationError
from pcrlog.keys import SigningKey
from signing import services, uris

KEY = SigningKey.from_seed(bytes(32))
P256 = SigningKey.generate("ecdsa-p256")


def test_each_scheme_of_a_uri_has_its_service() -> None:
    for scheme in services._IMPORTS:
        assert uris.named(f"{scheme}:x")
    assert uris.named("exec:a.pub:b")
    for text in ("acme.key", "file:acme.key", "exec", "C:acme.key"):
        assert not uris.named(text)


# --- Vault ----------------------------------------------------------------------------


class Vault(ThreadingHTTPServer):
    """Of Vault, as much as signs with one key in two versions."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.keys = {"1": SigningKey.generate(), "10": KEY}
        self.signs_with = self.keys["10"]
        self.sealed = False


class Answers(BaseHTTPRequestHandler):
    """What Vault answers."""

    server: Vault  # type: ignore[mutable-override] # the one that makes it

    def do_GET(self) -> None:
        keys = {
            version: {"public_key": encode_base64(key.public.spki[-32:])}
            for version, key in self.server.keys.items()
        }
        self._answer({"keys": keys})

    def do_PUT(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        given = decode_base64(asked["input"])
        signature = encode_base64(self.server.signs_with.sign(given))
        self._answer({"signature": f"vault:v{asked['key_version']}:{signature}"})

    do_POST = do_PUT  # noqa: N815 - the name that http.server calls

    def _answer(self, data: object) -> None:
        found = self.path.startswith("/v1/transit/") and not self.server.sealed
        body = json.dumps({"data": data}).encode() if found else b'{"errors":["no"]}'
        self.send_response(200 if found else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    vault = Vault()
    thread = threading.Thread(target=vault.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{vault.server_port}")
    monkeypatch.setenv("VAULT_TOKEN", "made-up")
    try:
        yield vault
    finally:
        vault.shutdown()
        thread.join()
        vault.server_close()


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    with serving(monkeypatch) as made:
        yield made


@pytest.mark.parametrize("uri", ["hv:acme", "hv:acme/10"])
def test_vault_signs_with_its_newest_version(vault: Vault, uri: str) -> None:
    signer = uris.load(uri)
    assert signer.public == KEY.public
    KEY.public.verify(signer.sign(b"message"), b"message")


def test_an_older_version_of_vault_is_refused(vault: Vault) -> None:
    with pytest.raises(UsageError, match="newest version is hv:acme/10"):
        uris.load("hv:acme/1")


def test_what_vault_signs_is_checked(vault: Vault) -> None:
    signer = uris.load("hv:acme")
    vault.signs_with = SigningKey.generate()
    with pytest.raises(VerificationError):
        signer.sign(b"message")


def test_a_vault_that_does_not_answer_is_a_usage_error(vault: Vault) -> None:
    signer = uris.load("hv:acme")
    vault.sealed = True
    with pytest.raises(UsageError, match="hv:acme"):
        signer.sign(b"message")
    with pytest.raises(UsageError, match="hv:acme"):
        uris.load("hv:acme")


# --- clouds ---------------------------------------------------------------------------


class Cloud:
    """What securesystemslib makes of a key in a cloud, without one."""

    keytype = "ecdsa"

    def __init__(self, holder: SigningKey) -> None:
        self.holder = holder
        self.asked: list[str] = []

    def import_(self, place: str) -> tuple[str, "Cloud"]:
        self.asked.append(place)
        return "", self

    def to_dict(self) -> dict[str, dict[str, str]]:
        return {"keyval": {"public": public_pem(self.holder.public).decode()}}

    def from_priv_key_uri(self, _uri: str, _key: object, _ask: object) -> "Cloud":
        return self

    def sign(self, message: bytes) -> "Cloud":
        self.signature = self.holder.sign(message).hex()
        return self


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("awskms:alias/acme", "_aws_signer.AWSSigner"),
        ("gcpkms:p/1", "_gcp_signer.GCPSigner"),
    ],
)
def test_a_key_can_live_in_a_cloud(
    monkeypatch: pytest.MonkeyPatch, uri: str, name: str
) -> None:
    cloud = Cloud(P256)
    monkeypatch.setattr(f"securesystemslib.signer.{name}", cloud)
    monkeypatch.setattr("securesystemslib.signer._signer.Signer", cloud)
    signer = uris.load(uri)
    assert cloud.asked == [uri.partition(":")[2]]
    assert signer.public == P256.public
    P256.public.verify(signer.sign(b"message"), b"message")
    cloud.holder = SigningKey.generate("ecdsa-p256")
    with pytest.raises(VerificationError):
        signer.sign(b"message")


@pytest.mark.parametrize("scheme", ["awskms", "gcpkms"])
def test_what_is_not_installed_is_named(scheme: str) -> None:
    """Boto3 and Google's client are not: they are large, and in no test."""
    with pytest.raises(UsageError, match=f"requirements/{scheme}.txt"):
        uris.load(f"{scheme}:x")


def test_without_securesystemslib_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("securesystemslib.exceptions", "securesystemslib.signer._signer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"requirements/hv\.txt"):
        uris.load("hv:acme")


# --- tokens ---------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["hsm:x", "hsm:-1", "hsm:1?slot=2", "hsm:1?label"])
def test_a_token_is_named_by_number_and_label(uri: str) -> None:
    with pytest.raises(UsageError, match="hsm:"):
        uris.load(uri)


def test_a_token_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYKCS11LIB", raising=False)
    with pytest.raises(UsageError, match="PYKCS11LIB"):
        uris.load("hsm:1?label=acme")


def test_a_pin_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, vault: Vault) -> None:
    asked: list[str] = []
    monkeypatch.delenv(services.PIN, raising=False)

    def getpass(words: str) -> str:
        asked.append(words)
        return "1234"

    monkeypatch.setattr("getpass.getpass", getpass)
    signer = services.ServiceSigner("hv:acme")
    assert [signer._ask("pin"), signer._ask("pin")] == ["1234", "1234"]
    assert asked == ["pin of hv:acme: "]
