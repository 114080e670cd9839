"""A simulated machine, and what its PCK certificate says of it: the extension for SGX.

The layout is in `pck`, which reads it. A test that lies takes the parts and puts them
together in another way.

>>> Machine().extension[:16].hex(" ")
'30 82 01 c1 30 1e 06 0a 2a 86 48 86 f8 4d 01 0d'
"""

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

_PREFIX = bytes.fromhex("2a864886f84d010d01")
INTEGER, OCTETS, OID, ENUMERATED, SEQUENCE = 0x02, 0x04, 0x06, 0x0A, 0x30
_LONG = 0x80


class Machine(Struct, frozen=True):
    """What Intel says of a machine, in its certificate and in collateral."""

    fmspc: str = "00A067110000"
    pce_id: str = "0000"
    components: tuple[int, ...] = (11, 11, 2, 2, 255, 1, *(10 * (0,)))
    pce_svn: int = 13

    @property
    def extension(self) -> bytes:
        """The value of the extension, DER."""
        ppid = sha256(self.fmspc.encode()).digest()[:16]
        tcb = {n + 1: number(svn) for n, svn in enumerate(self.components)}
        tcb |= {17: number(self.pce_svn), 18: der(OCTETS, bytes(self.components))}
        return table(
            {
                1: der(OCTETS, ppid),
                2: table(tcb, below=b"\2"),
                3: der(OCTETS, bytes.fromhex(self.pce_id)),
                4: der(OCTETS, bytes.fromhex(self.fmspc)),
                5: der(ENUMERATED, b"\0"),
            }
        )


def der(tag: int, content: bytes) -> bytes:
    """A value, with its length in the shortest form."""
    size = len(content)
    if size < _LONG:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, _LONG | len(length)]) + length + content


def number(value: int) -> bytes:
    """An INTEGER, not below zero."""
    return der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def table(values: Mapping[int, bytes], below: bytes = b"") -> bytes:
    """Pairs of OID and value, by the OID's last number."""
    return der(
        SEQUENCE,
        b"".join(
            der(SEQUENCE, der(OID, _PREFIX + below + bytes([last])) + value)
            for last, value in values.items()
        ),
    )
