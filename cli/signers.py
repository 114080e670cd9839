"""What signs: `--key URI`, as docs/signing.md has it; and public halves for people.

What a URI names is opened by `signing.uris`, for these commands and for the log.
"""

from pcrlog.errors import UsageError
from pcrlog.keys import PublicKey, Signer
from signing import uris

_PUBLIC = ".pub"


def load(uri: str | None) -> Signer:
    """The signer that `--key` names.

    Raises:
        UsageError: there is none, or it cannot be used.
    """
    if uri is None:
        message = "what signs? --key FILE (make one: pcrlog keys new acme.key)"
        raise UsageError(message)
    return uris.load(uri)


def public_pem(public: PublicKey) -> bytes:
    """The public half as people exchange it."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    key = load_der_public_key(public.spki)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_public(text: str) -> PublicKey:
    """The public key of a .pub file, or of whatever `--key` takes."""
    if uris.named(text) or not text.endswith(_PUBLIC):
        return load(text).public
    from signing.files import read_public

    return read_public(text)
