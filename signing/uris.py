"""From a URI to what signs.

acme.key, file:acme.key     a PKCS #8 PEM file, for its owner's eyes only
exec:acme.pub:COMMAND …     a command: commands.py
awskms: gcpkms: hsm: hv:    a KMS, an HSM: services.py
"""

from pcrlog.errors import UsageError
from pcrlog.keys import Signer

_FILE, _EXEC = "file:", "exec:"
_SCHEMES = ("awskms", "gcpkms", "hsm", "hv")


def named(text: str) -> bool:
    """Whether this is a URI that names what signs, other than a file."""
    return text.partition(":")[0] in ("exec", *_SCHEMES) and ":" in text


def load(uri: str) -> Signer:
    """The signer that a URI names.

    Raises:
        UsageError: it cannot be used.
    """
    if uri.startswith(_EXEC):
        from signing.commands import CommandSigner

        return CommandSigner(uri.removeprefix(_EXEC))
    if named(uri):
        from signing.services import ServiceSigner

        return ServiceSigner(uri)
    from signing.files import read_secret

    file = uri.removeprefix(_FILE)
    if not file:
        message = "file: names no file"
        raise UsageError(message)
    return read_secret(file)
