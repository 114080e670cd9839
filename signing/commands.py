"""`exec:PUBLIC:COMMAND [ARGUMENT...]`: a command that signs, for any HSM or ceremony.

    exec:acme.pub:openssl pkeyutl -sign -rawin -in /dev/stdin -inkey acme.pem

PUBLIC is the file of the public key (PEM). The command gets what is to be signed on its
standard input, and prints the signature and nothing else: its bytes, not base64; 64
bytes of Ed25519, or the DER of ECDSA on P-256 over the input's SHA-256. It is split as
a shell would, and run without one. What it tells people on standard error is shown;
the terminal is its own, so that it can ask for a PIN. Its signature is checked here.
"""

import os
import selectors
import shlex
import subprocess
import tempfile
import time
from typing import IO

from pcrlog.errors import UsageError, VerificationError
from signing.files import read_public

_PATIENCE = 120.0
"""Seconds; somebody may have to press a button. For more: `-o`, then `pcrlog sign`."""
_MOST = 1024
"""Bytes; a signature has 64, or up to 72 in DER."""


class CommandSigner:
    """A command that holds a key; see the module's docstring."""

    def __init__(self, spec: str, patience: float = _PATIENCE) -> None:
        file, _, command = spec.partition(":")
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            message = f"exec: {error} in {command!r}"
            raise UsageError(message) from error
        if not file or not self._words:
            message = (
                "expected exec:PUBLIC:COMMAND, such as"
                f" 'exec:acme.pub:sign-it --slot 2', found {'exec:' + spec!r}"
            )
            raise UsageError(message)
        self._patience = patience
        self.public = read_public(file)

    def sign(self, message: bytes) -> bytes:
        """The command's signature over `message`, checked.

        Raises:
            UsageError: the command failed, or took too long.
            VerificationError: what it printed is no signature by this key.
        """
        signature = self._run(message)
        try:
            self.public.verify(signature, message)
        except VerificationError as error:
            text = (
                f"{self._words[0]} printed {len(signature)} bytes, which are no"
                f" signature by key {self.public.keyid} over what it was given:"
                " expected the bare signature"
            )
            raise VerificationError(text) from error
        return signature

    def _run(self, message: bytes) -> bytes:
        name = self._words[0]
        # A file, not a pipe: the command need not read it, nor be fed while it writes.
        with tempfile.TemporaryFile() as given:
            given.write(message)
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    self._words, stdin=given, stdout=subprocess.PIPE
                )
            except OSError as error:
                text = f"{name}: {error.strerror}"
                raise UsageError(text) from error
        with process:
            try:
                return self._finished(process, time.monotonic() + self._patience)
            except (TimeoutError, subprocess.TimeoutExpired) as error:
                text = f"{name} took more than {self._patience:g} s, and was stopped"
                raise UsageError(text) from error
            finally:
                process.kill()

    def _finished(self, process: subprocess.Popen[bytes], end: float) -> bytes:
        stream = process.stdout
        if stream is None:  # pragma: no cover - it was asked for
            raise OSError
        found = _read(stream, end)
        if len(found) > _MOST:
            text = f"{self._words[0]} printed more than {_MOST} bytes; no signature is"
            raise UsageError(text)
        status = process.wait(max(end - time.monotonic(), 0))
        if status:
            text = f"{self._words[0]} failed (exit {status}); nothing is signed"
            raise UsageError(text)
        return found


def _read(stream: IO[bytes], end: float) -> bytes:
    """All that comes until its end, or until it is too much."""
    found = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(found) <= _MOST:
            if not selector.select(max(end - time.monotonic(), 0)):
                raise TimeoutError
            part = os.read(stream.fileno(), _MOST + 1)
            if not part:
                break
            found += part
    return found
