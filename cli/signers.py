"""What signs: `--key URI`, a file, a command, or a key in AWS KMS.

    acme.key                    a PKCS #8 PEM file, for its owner's eyes only
    exec:COMMAND [ARGUMENT...]  run with `public` added: prints base64 of the DER
                                SubjectPublicKeyInfo; with `sign` added: reads what is
                                to be signed, prints base64 of the signature
    awskms:KEY                  by securesystemslib and boto3, if they are installed

What a command or a KMS signs is checked before it is used.
"""

import shlex
import stat
import subprocess
from pathlib import Path

from cli import files
from pcrlog import limits
from pcrlog.encoding import decode_base64
from pcrlog.errors import MalformedError, UncheckedError, UsageError
from pcrlog.keys import PublicKey, Signer, SigningKey

_EXEC, _AWSKMS = "exec:", "awskms:"
_PATIENCE = 120
"""Seconds; somebody may have to press a button."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load(uri: str | None) -> Signer:
    """The signer that `--key` names.

    Raises:
        UsageError: there is none, or it cannot be used.
    """
    if uri is None:
        message = "what signs? --key FILE (make one: pcrlog keys new acme.key)"
        raise UsageError(message)
    if uri.startswith(_EXEC):
        return CommandSigner(uri.removeprefix(_EXEC))
    if uri.startswith(_AWSKMS):
        return _aws(uri)
    data = files.read(uri, limits.KEY_FILE)
    mode = Path(uri).stat().st_mode
    if stat.S_ISREG(mode) and mode & _OTHERS:
        message = f"{uri} can be read by others; do: chmod 600 {uri}"
        raise UsageError(message)
    return SigningKey.from_pem(data)


def public_pem(public: PublicKey) -> bytes:
    """The public half as people exchange it."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    key = load_der_public_key(public.spki)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_public(file: str) -> PublicKey:
    """The public key of a .pub file, or of whatever `--key` takes."""
    if not file.endswith(".pub"):
        return load(file).public
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    data = files.read(file, limits.KEY_FILE)
    try:
        key = load_pem_public_key(data)
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey.from_spki(der)
    except (ValueError, MalformedError) as error:
        message = f"{file} is not a public key in PEM: {error}"
        raise UsageError(message) from error


class CommandSigner:
    """A command that holds a key; see the module's docstring."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        if not self._command:
            message = "exec: names no command"
            raise UsageError(message)
        try:
            self.public = PublicKey.from_spki(self._run("public", b""))
        except (MalformedError, UncheckedError) as error:
            message = f"{command} public: {error}"
            raise UsageError(message) from error

    def sign(self, message: bytes) -> bytes:
        """The command's signature over `message`, checked."""
        signature = self._run("sign", message)
        self.public.verify(signature, message)
        return signature

    def _run(self, word: str, data: bytes) -> bytes:
        shown = f"{self._command[0]} … {word}"
        try:
            done = subprocess.run(  # noqa: S603 - the user's own command, no shell
                [*self._command, word],
                input=data,
                stdout=subprocess.PIPE,
                timeout=_PATIENCE,
                check=True,
            )
            return decode_base64(done.stdout.decode("ascii").strip())
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
            message = f"{shown} failed: {error}"
            raise UsageError(message) from error
        except MalformedError as error:
            message = f"{shown}: {error}"
            raise UsageError(message) from error


class _AwsSigner:
    """A key in AWS KMS, through securesystemslib."""

    def __init__(self, uri: str) -> None:
        from securesystemslib.signer._aws_signer import AWSSigner
        from securesystemslib.signer._signer import Signer as Outer

        arn = uri.removeprefix(_AWSKMS)
        _, key = AWSSigner.import_(arn)
        self._signer = Outer.from_priv_key_uri(uri, key)
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            PublicFormat,
            load_pem_public_key,
        )

        loaded = load_pem_public_key(key.keyval["public"].encode())
        der = loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = PublicKey.from_spki(der)

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, checked."""
        signature = bytes.fromhex(self._signer.sign(message).signature)
        self.public.verify(signature, message)
        return signature


def _aws(uri: str) -> Signer:
    try:
        import boto3  # type: ignore[import-not-found,unused-ignore] # noqa: F401 - optional
        import securesystemslib  # noqa: F401 - optional
    except ImportError as error:
        message = f"{uri} needs: pip install 'securesystemslib[awskms]'"
        raise UsageError(message) from error
    try:
        return _AwsSigner(uri)
    except Exception as error:  # boto3 raises whatever it likes
        message = f"{uri}: {error}"
        raise UsageError(message) from error
