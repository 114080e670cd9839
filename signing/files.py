"""Keys in files: a secret one in PKCS #8 PEM, a public one in PEM."""

import stat
from pathlib import Path

from pcrlog import limits
from pcrlog.errors import MalformedError, UncheckedError, UsageError
from pcrlog.keys import PublicKey, SigningKey

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_secret(file: str) -> SigningKey:
    """The private key in a file that its owner alone can read.

    Raises:
        UsageError: it cannot be read, others can read it, or it is no key.
    """
    data = _read(file)
    mode = Path(file).stat().st_mode
    if stat.S_ISREG(mode) and mode & _OTHERS:
        message = f"{file} can be read by others; do: chmod 600 {file}"
        raise UsageError(message)
    return SigningKey.from_pem(data)


def read_public(file: str) -> PublicKey:
    """The public key in a file, as `pcrlog keys new` writes it.

    Raises:
        UsageError: it cannot be read, or is none, or of another algorithm.
    """
    data = _read(file)
    try:
        return public_of(data)
    except (ValueError, MalformedError, UncheckedError) as error:
        message = f"{file} is not a public key in PEM: {error}"
        raise UsageError(message) from error


def public_of(pem: bytes) -> PublicKey:
    """The public key that a PEM holds.

    Raises:
        ValueError, MalformedError: it holds none.
        UncheckedError: an algorithm that is not known here.
    """
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    key = load_pem_public_key(pem)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey.from_spki(der)


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(limits.KEY_FILE + 1)
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise UsageError(message) from error
    if len(data) > limits.KEY_FILE:
        message = f"{file} has more than {limits.KEY_FILE} bytes; a key has less"
        raise UsageError(message)
    return data
