"""The extension for SGX in a PCK certificate: what Intel says a machine is.

1.2.840.113741.1.13.1 is a SEQUENCE of SEQUENCEs, each of an OID below this one and a
value (Intel SGX PCK Certificate and CRL Profile Specification, 1.3.5):

    .1  PPID     OCTET STRING, 16      not read
    .2  TCB      SEQUENCE              .1 to .16: INTEGER 0..255, the components' SVNs
                                       .17: INTEGER 0..65535, the PCE's SVN
                                       .18: OCTET STRING, 16, CPUSVN; not read
    .3  PCE-ID   OCTET STRING, 2
    .4  FMSPC    OCTET STRING, 6       family, model, stepping, platform, custom SKU
    .5  type     ENUMERATED            not read; nor are .6, .7: instance, configuration

It is read as strictly as DER is written: lengths and numbers in their shortest form,
nothing twice, nothing after. Others under the OID are skipped: Intel added some.
"""

from collections.abc import Iterator, Mapping

from cryptography import x509
from msgspec import Struct

from pcrlog.errors import MalformedError

OID = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
COMPONENTS = 16

_PREFIX = bytes.fromhex("2a864886f84d010d01")
"""The content of that OID."""
_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_TCB, _PCE_ID, _FMSPC = 2, 3, 4
_PCE_SVN = 17
_PAIR = 2
_MORE = 0x80
"""A byte of an OID from here on is not its last."""
_LONG_FORM, _ONE_BYTE, _TWO_BYTES = 0x80, 0x81, 0x82

Values = Mapping[int, tuple[int, bytes]]
"""The last number of an OID, to tag and content of its value."""


class Machine(Struct, frozen=True):
    """What the extension says."""

    fmspc: str
    pce_id: str
    components: tuple[int, ...]
    pce_svn: int


def read(der: bytes) -> Machine:
    """What the extension for SGX says.

    Raises:
        MalformedError: not of the module's form.
    """
    top = _table(_one(der, _SEQUENCE), _PREFIX)
    tcb = _table(_value(top, _TCB, _SEQUENCE), _PREFIX + bytes([_TCB]))
    return Machine(
        fmspc=_octets(top, _FMSPC, 6),
        pce_id=_octets(top, _PCE_ID, 2),
        components=tuple(_svn(tcb, n, 1) for n in range(1, COMPONENTS + 1)),
        pce_svn=_svn(tcb, _PCE_SVN, 2),
    )


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each of the DER values that `data` consists of."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], *_length(data, at + 1)
        if size > len(data) - at:
            message = f"DER: expected {size} bytes, found {len(data) - at}"
            raise MalformedError(message)
        yield tag, data[at : at + size]
        at += size


def _length(data: bytes, at: int) -> tuple[int, int]:
    """The length at `at`, in its one spelling, and where it ends."""
    first = data[at] if at < len(data) else _LONG_FORM
    after = at + 1 + (first & 0x7F if first & _LONG_FORM else 0)
    if first < _LONG_FORM:
        return first, after
    size = int.from_bytes(data[at + 1 : after])
    smallest = {_ONE_BYTE: 0x80, _TWO_BYTES: 0x100}.get(first)
    if smallest is None or size < smallest:
        message = f"DER: expected a length in its shortest form, found 0x{first:02x}"
        raise MalformedError(message)
    return size, after


def _one(data: bytes, tag: int) -> bytes:
    match list(_items(data)):
        case [(found, content)] if found == tag:
            return content
    message = f"DER: expected one value with tag 0x{tag:02x}"
    raise MalformedError(message)


def _table(content: bytes, prefix: bytes) -> Values:
    values: dict[int, tuple[int, bytes]] = {}
    for tag, pair in _items(content):
        parts = [*_items(pair)] if tag == _SEQUENCE else []
        kind, oid = parts[0] if len(parts) == _PAIR else (tag, b"")
        if kind != _OID or oid[:-1] != prefix or oid[-1] >= _MORE:
            message = "DER: expected pairs of an OID below this one and a value"
            raise MalformedError(message)
        number = oid[-1]
        if number in values:
            message = f"DER: expected .{number} once, found it again"
            raise MalformedError(message)
        values[number] = parts[1]
    return values


def _value(values: Values, number: int, tag: int) -> bytes:
    found, content = values.get(number, (0, b""))
    if found != tag:
        message = f"expected .{number} with tag 0x{tag:02x}, found 0x{found:02x}"
        raise MalformedError(message)
    return content


def _octets(values: Values, number: int, size: int) -> str:
    content = _value(values, number, _OCTETS)
    if len(content) != size:
        message = f"expected .{number} of {size} bytes, found {len(content)}"
        raise MalformedError(message)
    return content.hex().upper()


def _svn(values: Values, number: int, size: int) -> int:
    content = _value(values, number, _INTEGER)
    value = int.from_bytes(content, signed=True)
    # The shortest form: a zero byte before, only where the sign needs it.
    shortest = value.to_bytes(value.bit_length() // 8 + 1, signed=True)
    if content != shortest or not 0 <= value < 1 << (8 * size):
        message = f"expected .{number} a number of {size} bytes, found {content.hex()}"
        raise MalformedError(message)
    return value
