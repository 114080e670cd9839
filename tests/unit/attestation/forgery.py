"""A certificate authority that signs whatever bytes it is given."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from pcrlog.attestation.simulator import Simulator

ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")


def leaf(simulator: Simulator, tbs: bytes) -> bytes:
    """A certificate over any `tbs`, signed by the CA above the simulator's leaf."""
    algorithm = ec.ECDSA(SHA384(), deterministic_signing=True)
    signature = simulator._keys[-2].sign(tbs, algorithm)
    return _der(0x30, tbs + ECDSA_WITH_SHA384 + _der(0x03, b"\0" + signature))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content
