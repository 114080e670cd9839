"""The key of a log, as its file names it: an skey, or a vkey and who signs with it.

    PRIVATE+KEY+log.example/pcr+c74f20a3+AX…
    log.example/pcr+c74f20a3+ARpc… exec:/etc/pcrlog/log.pub:/usr/local/bin/sign-it

The second form holds no secret. Logs sign with Ed25519 alone, so of the places in
services.py only `hv:` can hold the key of one.
"""

from pcrlog.errors import MalformedError, UsageError
from pcrlog.keys import ED25519, Signer
from pcrlog.note import ED25519 as LOG_KEY
from pcrlog.note import NoteSigner, VerifierKey
from signing import uris

_POINT = 32


def parse(text: str) -> NoteSigner:
    """The signer that the text of a key file names.

    Raises:
        UsageError: it names none, or one whose key is another.
    """
    vkey, space, uri = text.partition(" ")
    if not space:
        return NoteSigner.parse(text)
    try:
        public = VerifierKey.parse(vkey)
    except MalformedError as error:
        message = f"expected PRIVATE+KEY+…, or a vkey and a URI: {error}"
        raise UsageError(message) from error
    signer = of(public.name, uri)
    if signer.public != public:
        message = f"{uri} is the key {signer.public}, want {public}"
        raise UsageError(message)
    return signer


def of(origin: str, uri: str) -> NoteSigner:
    """The key that a URI names, as the key of the log `origin`.

    Raises:
        UsageError: it cannot be used, or is no Ed25519 key.
    """
    held: Signer = uris.load(uri)
    if held.public.algorithm != ED25519:
        message = f"{uri} is an {held.public.algorithm} key; a log signs with {ED25519}"
        raise UsageError(message)
    public = VerifierKey(origin, LOG_KEY, held.public.spki[-_POINT:])
    return NoteSigner.held(public, held.sign, f"{public} {uri}")
