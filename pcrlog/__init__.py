"""pcrlog: who vouches for what this enclave runs, and is anybody warning against it?

A verifier in three statements:

    policy = pcrlog.Policy.parse(policy_toml)
    report = pcrlog.verify(
        document, bundle, policy, product="acme.example/x", now=now, nonce=nonce)
    enclave = report.verified()  # raises, unless the verdict is "verified"

All of it is pure: bytes in, values or errors out. Only `pcrlog.transport`, and what
rests on it for live clients (`pcrlog.live`, `pcrlog.requests`), opens sockets. The
names below are the public API; they are imported when first used, so that importing
pcrlog costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pcrlog.bundle import Bundle
    from pcrlog.errors import (
        MalformedError,
        PcrlogError,
        UncheckedError,
        VerificationError,
    )
    from pcrlog.policy import Policy
    from pcrlog.policy_update import follow
    from pcrlog.proof import Proof
    from pcrlog.verification import Enclave, Memory, Report, foresee, verify

_HOME = {
    "Bundle": "pcrlog.bundle",
    "Enclave": "pcrlog.verification",
    "MalformedError": "pcrlog.errors",
    "Memory": "pcrlog.verification",
    "PcrlogError": "pcrlog.errors",
    "Policy": "pcrlog.policy",
    "Proof": "pcrlog.proof",
    "Report": "pcrlog.verification",
    "UncheckedError": "pcrlog.errors",
    "VerificationError": "pcrlog.errors",
    "follow": "pcrlog.policy_update",
    "foresee": "pcrlog.verification",
    "verify": "pcrlog.verification",
}

__all__ = [
    "Bundle",
    "Enclave",
    "MalformedError",
    "Memory",
    "PcrlogError",
    "Policy",
    "Proof",
    "Report",
    "UncheckedError",
    "VerificationError",
    "follow",
    "foresee",
    "verify",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    message = f"module 'pcrlog' has no attribute {name!r}"
    raise AttributeError(message)
