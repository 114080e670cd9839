"""Keys that never leave their place: in a KMS or an HSM, through securesystemslib.

    awskms:KEY              AWS KMS: a key's id, ARN or alias; ECDSA on P-256
    gcpkms:projects/…       Google Cloud KMS, the version of a key; ECDSA on P-256
    hsm:ID?label=TOKEN      PKCS #11, the library in PYKCS11LIB; ECDSA on P-256
    hv:NAME                 Vault's transit engine, its newest version; Ed25519

Each comes with an extra of that name; nothing of it is imported before it is named. How
to reach the place is said in its own way (AWS_PROFILE, VAULT_ADDR, …); the PIN of a
token is asked for, or read from PCRLOG_PIN. The public key is asked of the place, and
whatever it signs is checked against that.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pcrlog.errors import UsageError
from pcrlog.keys import ED25519, PublicKey
from signing.files import public_of

if TYPE_CHECKING:
    from securesystemslib.signer._key import Key
    from securesystemslib.signer._signer import Signer as Theirs

PIN = "PCRLOG_PIN"
_ED25519 = bytes.fromhex("302a300506032b6570032100")
"""What stands before 32 bytes of a key, to make it a SubjectPublicKeyInfo."""
_Imported = tuple[str, "Key"]


class ServiceSigner:
    """A key elsewhere; see the module's docstring."""

    def __init__(self, uri: str) -> None:
        scheme, _, place = uri.partition(":")
        self._uri = uri
        self._pin: str | None = None
        try:
            from securesystemslib.exceptions import UnsupportedLibraryError
            from securesystemslib.signer._signer import Signer as Outer
        except ImportError as error:
            raise UsageError(_missing(uri, scheme)) from error
        try:
            found, key = _IMPORTS[scheme](place, self._ask)
            self.public = _public(key)
            self._signer: Theirs = Outer.from_priv_key_uri(found, key, self._ask)
        except UnsupportedLibraryError as error:
            raise UsageError(_missing(uri, scheme)) from error
        except Exception as error:  # their libraries raise whatever they like
            raise UsageError(_failed(uri, error)) from error

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, checked.

        Raises:
            UsageError: the place does not sign.
            VerificationError: what it signed does not verify.
        """
        try:
            signature = bytes.fromhex(self._signer.sign(message).signature)
        except Exception as error:  # as above
            raise UsageError(_failed(self._uri, error)) from error
        self.public.verify(signature, message)
        return signature

    def _ask(self, secret: str) -> str:
        """The PIN; somebody is asked once."""
        if self._pin is None:
            self._pin = os.environ.get(PIN)
        if self._pin is None:
            from getpass import getpass

            self._pin = getpass(f"{secret} of {self._uri}: ")
        return self._pin


def _missing(uri: str, scheme: str) -> str:
    return (
        f"{uri} needs more than is installed: pip install --no-deps --require-hashes"
        f" -r requirements/{scheme}.txt"
    )


def _failed(uri: str, error: Exception) -> str:
    return f"{uri}: {str(error) or type(error).__name__}"


def _public(key: "Key") -> PublicKey:
    """Theirs as ours: Ed25519 as hex, or PEM."""
    text = key.to_dict()["keyval"]["public"]
    if key.keytype == ED25519:
        return PublicKey.from_spki(_ED25519 + bytes.fromhex(text))
    return public_of(text.encode())


# --- where the public key comes from --------------------------------------------------


def _awskms(place: str, _ask: Callable[[str], str]) -> _Imported:
    from securesystemslib.signer._aws_signer import AWSSigner

    return AWSSigner.import_(place)


def _gcpkms(place: str, _ask: Callable[[str], str]) -> _Imported:
    from securesystemslib.signer._gcp_signer import GCPSigner

    return GCPSigner.import_(place)


def _hsm(place: str, ask: Callable[[str], str]) -> _Imported:
    from securesystemslib.signer._hsm_signer import HSMSigner

    number, _, query = place.partition("?")
    members = dict(parse_qsl(query, strict_parsing=bool(query)))
    label = members.pop("label", None)
    if members or (number and not (number.isascii() and number.isdigit())):
        message = "expected hsm:ID?label=TOKEN, ID a number"
        raise UsageError(message)
    return HSMSigner.import_(int(number) if number else None, label, ask)


def _hv(place: str, _ask: Callable[[str], str]) -> _Imported:
    from securesystemslib.signer._vault_signer import VaultSigner

    name, _, version = place.partition("/")
    found, key = VaultSigner.import_(name)
    if version and found != f"hv:{place}":
        message = f"its newest version is {found}, and that one signs"
        raise UsageError(message)
    return found, key


_IMPORTS = {"awskms": _awskms, "gcpkms": _gcpkms, "hsm": _hsm, "hv": _hv}
