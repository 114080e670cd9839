"""The vendors' roots of trust that come with pcrlog.

A policy that says `roots = ["builtin"]` gets these; one that trusts a partition with a
root of its own (aws-us-gov has one) names that root's file instead. SHA-256 of the DER:

    AWS Nitro Enclaves root G1
    641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b

The figure that AWS's page shows, 8cf60e2b..., is of the ZIP file it comes in (ATTEST.md
1.3). To compare by hand: `openssl x509 -in FILE -outform DER | sha256sum`.

>>> from pcrlog.encoding import sha256
>>> [sha256(der).hex()[:16] for der in builtin("aws-nitro")]
['641a0321a3e244ef']
"""

import re

from pcrlog.encoding import decode_base64
from pcrlog.errors import MalformedError, UsageError

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
# Of other characters no two languages agree which are white space, or end a line.
_STRANGE = re.compile(r"[^\t\n\r -~]")

# Here rather than in a file beside this one, because pcrlog opens no files.
_AWS_NITRO_G1 = """\
-----BEGIN CERTIFICATE-----
MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTEL
MAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYD
VQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4
MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQL
DANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEG
BSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb
48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZE
h8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkF
R+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC
MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPW
rfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6N
IwLz3/Y=
-----END CERTIFICATE-----
"""

_PEM = {"aws-nitro": (_AWS_NITRO_G1,)}


def builtin(platform: str) -> tuple[bytes, ...]:
    """The roots (DER certificates) of `platform`.

    Raises:
        UsageError: pcrlog comes with no root for such a platform.
    """
    if platform not in _PEM:
        message = f"no builtin roots for {platform!a}, only for {', '.join(_PEM)}"
        raise UsageError(message)
    return tuple(from_pem(pem) for pem in _PEM[platform])


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
