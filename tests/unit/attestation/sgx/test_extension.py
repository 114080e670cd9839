"""The extension for SGX, in its one spelling and in others."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509

from pcrlog.attestation.sgx import extension, quote
from pcrlog.attestation.sgx.simulated_machine import (
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    Machine,
    der,
    number,
    table,
)
from pcrlog.errors import MalformedError
from tests.unit.attestation.sgx import genuine_quotes


def test_the_extension_is_read_from_a_genuine_certificate(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "automata")
    leaf = x509.load_der_x509_certificate(quote.parse(data).certificates[0])
    value = leaf.extensions.get_extension_for_oid(extension.OID).value
    assert isinstance(value, x509.UnrecognizedExtension)
    # A Platform CA's: with .6 and .7, which are not read.
    found = extension.read(value.value)
    assert found.fmspc == "00606A000000"
    assert found.components == (14, 14, 3, 3, 255, 255, 1, *(9 * (0,)))


HONEST_TCB = {n + 1: number(n) for n in range(16)} | {17: number(300)}
HONEST_TOP = {
    2: table(HONEST_TCB, below=b"\2"),
    3: der(OCTETS, b"\0\1"),
    4: der(OCTETS, b"\0\xab\0\0\0\1"),
}


def written(top: Mapping[int, bytes] | None = None) -> bytes:
    return table({**HONEST_TOP, **(top or {})})


def with_tcb(changes: Mapping[int, bytes]) -> bytes:
    return written({2: table({**HONEST_TCB, **changes}, below=b"\2")})


def test_the_extension_says_what_is_in_it() -> None:
    found = extension.read(written())
    assert found.fmspc == "00AB00000001"
    assert found.pce_id == "0001"
    assert found.components == tuple(range(16))
    assert found.pce_svn == 300
    more = {1: der(OCTETS, bytes(16)), 9: der(0x0A, b"\0")}
    assert extension.read(written(more)) == found


@pytest.mark.parametrize("svn", [0, 1, 127, 128, 255])
def test_svns_are_of_one_byte_and_of_two(svn: int) -> None:
    found = extension.read(with_tcb({1: number(svn), 17: number(257 * svn)}))
    assert (found.components[0], found.pce_svn) == (svn, 257 * svn)


def without(values: Mapping[int, bytes], last: int) -> Mapping[int, bytes]:
    return {n: value for n, value in values.items() if n != last}


def pair(last: int, value: bytes, below: bytes = b"") -> bytes:
    """The content of a table of one."""
    whole = table({last: value}, below)
    return whole[2:]


TABLE = written()
CONTENT = TABLE[4:]

MALFORMED = {
    "nothing": b"",
    "a byte": b"\x30",
    "bytes after": TABLE + b"\0",
    "two": TABLE + TABLE,
    "cut": TABLE[:-1],
    "another tag": b"\x31" + TABLE[1:],
    "an indefinite length": b"\x30\x80" + CONTENT + b"\0\0",
    "a length in three bytes": b"\x30\x83\0" + TABLE[2:],
    "a length in two that needs one": written(
        {9: bytes([OCTETS]) + b"\x82\0\x80" + bytes(128)}
    ),
    "a length in one that needs none": written({3: bytes([OCTETS]) + b"\x81\2\0\1"}),
    "a length that is cut": b"\x30\x82\x01",
    "no pair": der(SEQUENCE, der(OCTETS, b"")),
    "an empty pair": der(SEQUENCE, der(SEQUENCE, b"")),
    "a pair of one": der(SEQUENCE, der(SEQUENCE, der(OID, b"\0"))),
    "a pair of three": der(
        SEQUENCE, der(SEQUENCE, CONTENT[2 : CONTENT[1] + 2] + number(1))
    ),
    "a pair whose first is no OID": der(SEQUENCE, der(SEQUENCE, number(1) + number(1))),
    "an empty OID": der(SEQUENCE, der(SEQUENCE, der(OID, b"") + number(1))),
    "an OID elsewhere": der(SEQUENCE, CONTENT + pair(1, number(1), below=b"\7")),
    "an OID that does not end": der(SEQUENCE, CONTENT + pair(0x80, number(1))),
    "a number again": der(SEQUENCE, CONTENT + pair(4, HONEST_TOP[4])),
    "no TCB": table(without(HONEST_TOP, 2)),
    "no PCE": table(without(HONEST_TOP, 3)),
    "no FMSPC": table(without(HONEST_TOP, 4)),
    "a PCE too long": written({3: der(OCTETS, bytes(3))}),
    "an FMSPC too short": written({4: der(OCTETS, bytes(5))}),
    "an FMSPC that is a number": written({4: der(INTEGER, bytes(6))}),
    "a TCB that is bytes": written({2: der(OCTETS, HONEST_TOP[2][4:])}),
    "a TCB of other OIDs": written({2: table(HONEST_TCB, below=b"\3")}),
    "no component": written({2: table(without(HONEST_TCB, 16), below=b"\2")}),
    "no PCE SVN": written({2: table(without(HONEST_TCB, 17), below=b"\2")}),
    "a component too large": with_tcb({1: number(256)}),
    "a PCE SVN too large": with_tcb({17: number(65536)}),
    "a component below zero": with_tcb({1: der(INTEGER, b"\xff")}),
    "a component with a zero before": with_tcb({1: der(INTEGER, b"\0\1")}),
    "an empty component": with_tcb({1: der(INTEGER, b"")}),
    "a component that is bytes": with_tcb({1: der(OCTETS, b"\1")}),
    "a component again": written(
        {2: der(SEQUENCE, HONEST_TOP[2][4:] + pair(1, number(1), below=b"\2"))}
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_another_extension_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        extension.read(MALFORMED[name])


def test_no_byte_of_the_extension_is_anything_and_raises_nothing_else() -> None:
    honest = extension.read(Machine().extension)
    for at in range(len(Machine().extension)):
        for bits in (0x01, 0x80, 0xFF):
            data = bytearray(Machine().extension)
            data[at] ^= bits
            try:
                found = extension.read(bytes(data))
            except MalformedError:
                continue
            # What may differ: a value; or a number that is not read.
            assert found != honest or at < 36 or at >= 363
