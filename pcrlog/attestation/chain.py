"""The X.509 chain of a Nitro document: a root, up to three CAs, a leaf.

    cabundle[0]     root    equal to a trusted root, byte for byte
    cabundle[1..]   CAs     in the order of issue; AWS's have pathLen 2, 1, 0
    certificate     leaf    its key signs the document; AWS's live for three hours

`load` reads the DER. `verify` then demands, at the time it is given (ATTEST.md 1.2,
1.3, 2):

1.  The root is one of ours. From here on ours is used; the document's is forgotten.
2.  There are at most three CAs.
3.  Root, CAs and leaf, in this order, are a path of certificates with P-384 keys,
    signed with ecdsa-with-SHA384 (module `certificates`, its checks 1 to 5).

Not checked: revocation. AWS tells verifiers to leave CRLs alone (ATTEST.md 1.2).
"""

from collections.abc import Collection, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from pcrlog.attestation import certificates
from pcrlog.attestation.certificates import CAS, P384
from pcrlog.encoding import sha256
from pcrlog.errors import VerificationError

VerifiedLeaf = certificates.VerifiedLeaf


class Chain(Struct, frozen=True):
    """A chain as found in a document: readable, and nothing more."""

    root: bytes
    """DER. Only ever compared, so it is not parsed."""
    cas: tuple[x509.Certificate, ...]
    leaf: x509.Certificate


def load(cabundle: Sequence[bytes], certificate: bytes) -> Chain:
    """Read the certificates of a document; `cabundle` has at least the root.

    Raises:
        MalformedError: one is not a certificate in DER, or has bytes after it.
    """
    root, *cas = cabundle
    return Chain(
        root,
        tuple(certificates.read(der, P384) for der in cas),
        certificates.read(certificate, P384),
    )


def key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a certificate, if it is one for ES384.

    Raises:
        VerificationError: another curve or algorithm, be it known or not.
    """
    return certificates.key_of(certificate, P384)


def verify(chain: Chain, roots: Collection[bytes], time: int) -> VerifiedLeaf:
    """What `chain` proves, if it holds under one of `roots` at `time` (unix seconds).

    Raises:
        VerificationError: one of the module's checks 1 to 3 fails.
        UsageError: the trusted root itself is not a readable certificate.
    """
    if chain.root not in roots:  # 1
        trusted = ", ".join(sha256(root).hex() for root in roots) or "none"
        message = (
            f"the chain ends in the root with SHA-256 {sha256(chain.root).hex()},"
            f" trusted: {trusted}"
        )
        raise VerificationError(message)
    if len(chain.cas) > CAS:  # 2
        message = f"expected at most {CAS} CAs below the root, found {len(chain.cas)}"
        raise VerificationError(message)
    return certificates.verify_path(chain.root, chain.cas, chain.leaf, time, P384)  # 3
