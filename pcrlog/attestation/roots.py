"""Roots of trust: the vendors' own, which come with pcrlog, and a policy's.

A policy that says `roots = ["builtin"]` gets the vendor's, which stand in the module of
the platform; one that trusts a partition with a root of its own (aws-us-gov has one)
names that root's file instead. To compare by hand: `openssl x509 -in FILE -outform DER
| sha256sum`.

>>> from pcrlog.encoding import sha256
>>> [sha256(der).hex()[:16] for der in builtin("aws-nitro")]
['641a0321a3e244ef']
"""

import re
from collections.abc import Iterable

from pcrlog import attestation
from pcrlog.encoding import decode_base64
from pcrlog.errors import MalformedError, UsageError

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
# Of other characters no two languages agree which are white space, or end a line.
_STRANGE = re.compile(r"[^\t\n\r -~]")


def builtin(platform: str) -> tuple[bytes, ...]:
    """The roots (DER certificates) of `platform`.

    Raises:
        UsageError: no documents of such a platform are known.
    """
    return tuple(from_pem(pem) for pem in attestation.platform(platform).roots)


def trusted(platform: str, named: Iterable[str]) -> tuple[bytes, ...]:
    """The roots that a policy names: "builtin", or a certificate in PEM each.

    Raises:
        UsageError: one is neither.
    """
    found: list[bytes] = []
    for root in named:
        found += builtin(platform) if root == "builtin" else (from_pem(root),)
    return tuple(found)


def from_pem(pem: str) -> bytes:
    """The DER of one certificate in PEM, as a policy spells a root of its own.

    Raises:
        UsageError: not exactly one certificate, or characters that PEM has not.
    """
    lines = pem.strip().splitlines()
    if _STRANGE.search(pem) or lines[:1] != [_BEGIN] or lines[-1:] != [_END]:
        message = "a root is one certificate in PEM, from BEGIN to END CERTIFICATE"
        raise UsageError(message)
    try:
        return decode_base64("".join(lines[1:-1]))
    except MalformedError as error:
        message = f"root in PEM: {error}"
        raise UsageError(message) from error
