"""Registers that can be computed without an enclave: the arithmetic (ATTEST.md 1.5, 4).

Every register begins as 48 zero bytes, and what is measured into it is hashed with
them. Images and certificates are hashed once before, roles and instances are not:

    PCR0, 1, 2  SHA384(0^48 || SHA384(data of sections))     eif.py says which
    PCR3        SHA384(0^48 || ARN of the machine's role)
    PCR4        SHA384(0^48 || id of the machine)
    PCR8        SHA384(0^48 || SHA384(DER of the certificate that signed))

AWS's own example of a role:

>>> of_role("arn:aws:iam::123456789012:role/Webserver")[:15]
'sha384:78fce75d'
"""

import hashlib
import re

from pcrlog.encoding import shown
from pcrlog.errors import UsageError

_ZERO = bytes(48)
_ROLE = re.compile(
    r"arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII
)
_INSTANCE = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")


def extend(data: bytes) -> str:
    """What a register that was zero becomes: `sha384:<hex>`."""
    return f"sha384:{hashlib.sha384(_ZERO + data).hexdigest()}"


def of_role(arn: str) -> str:
    """PCR3 on a machine with this IAM role.

    Raises:
        UsageError: not the ARN of a role; that of an instance profile, say.
    """
    if not _ROLE.fullmatch(arn):
        message = f"expected arn:aws:iam::123456789012:role/NAME, got {shown(arn)}"
        raise UsageError(message)
    return extend(arn.encode())


def of_instance(name: str) -> str:
    """PCR4 on the machine with this id.

    Raises:
        UsageError: not an instance's id.
    """
    if not _INSTANCE.fullmatch(name):
        message = f"expected i- and 17 hex digits (older ones: 8), got {shown(name)}"
        raise UsageError(message)
    return extend(name.encode())


def of_certificate(der: bytes) -> str:
    """PCR8 of an image that this certificate has signed."""
    return extend(hashlib.sha384(der).digest())
