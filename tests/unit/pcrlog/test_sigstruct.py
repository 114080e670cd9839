"""SIGSTRUCT: read as the processor reads it, and refused where it would refuse."""

import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pcrlog.errors import MalformedError, PcrlogError, VerificationError
from pcrlog.sigstruct import DEBUG, SIZE, verify
from tests.support.sigstructs import ALL, MODE64, Signer, signer, with_quotients

MRENCLAVE = bytes(range(32))
GOOD = signer().sign(MRENCLAVE, isvprodid=258, isvsvn=65535)


def changed(offset: int, value: bytes) -> bytes:
    return GOOD[:offset] + value + GOOD[offset + len(value) :]


def test_it_says_what_stands_in_it() -> None:
    said = verify(GOOD)
    assert said.mrenclave == MRENCLAVE.hex()
    assert said.mrsigner == hashlib.sha256(GOOD[128:512]).hexdigest()
    assert (said.isvprodid, said.isvsvn) == (258, 65535)
    assert (said.flags, said.flags_mask) == (MODE64, ALL ^ DEBUG)
    assert (said.vendor, said.date) == (0, "20261123")
    assert said.debug is False


def test_intel_signs_with_its_own_vendor() -> None:
    made = signer().sign(MRENCLAVE, raw={16: struct.pack("<I", 0x8086)})
    assert verify(made).vendor == 0x8086


@pytest.mark.parametrize("mask", [ALL, ALL ^ DEBUG])
def test_debug_is_debug_whatever_the_mask_says(mask: int) -> None:
    made = signer().sign(MRENCLAVE, flags=MODE64 | DEBUG, mask=mask)
    assert verify(made).debug is True


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE + 1])
def test_another_size_is_refused(size: int) -> None:
    with pytest.raises(MalformedError, match=f"expected 1808 bytes, found {size}"):
        verify((GOOD + b"\0")[:size])


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, b"\x07", "HEADER: expected 06000000e1"),
        (15, b"\x80", "HEADER: expected"),  # a debug key of the first architecture
        (24, b"\x02", "HEADER2: expected 0101"),
        (16, b"\x01", "VENDOR: expected 0 or 0x8086, found 0x1"),
        (44, b"\x01", "bytes 44 to 127: expected zeros"),
        (127, b"\x01", "bytes 44 to 127"),
        (910, b"\x01", "bytes 910 to 911"),
        (992, b"\x01", "bytes 992 to 1007"),
        (1027 + 12, b"\x01", "bytes 1028 to 1039"),
    ],
)
def test_what_the_processor_refuses_is_refused_though_it_is_signed(
    offset: int, value: bytes, words: str
) -> None:
    with pytest.raises(MalformedError, match=words):
        verify(signer().sign(MRENCLAVE, raw={offset: value}))


@pytest.mark.parametrize("exponent", [0, 1, 17, 65537])
def test_another_exponent_is_refused(exponent: int) -> None:
    with pytest.raises(MalformedError, match=f"3072 bits and {exponent}"):
        verify(changed(512, struct.pack("<I", exponent)))


def test_a_smaller_key_is_refused() -> None:
    with pytest.raises(MalformedError, match="found 3071 bits and 3"):
        verify(changed(128, (1 << 3070).to_bytes(384, "little")))
    with pytest.raises(MalformedError, match="found 0 bits and 3"):
        verify(changed(128, bytes(384)))


def test_a_key_that_is_none_signs_nothing() -> None:
    even = changed(128, bytes([GOOD[128] ^ 1]))
    with pytest.raises(VerificationError, match="signature does not hold"):
        verify(with_quotients(even))


def test_another_signer_does_not_sign_for_this_one() -> None:
    other = Signer(rsa.generate_private_key(public_exponent=3, key_size=3072))
    swapped = with_quotients(changed(128, other.modulus))
    with pytest.raises(VerificationError, match="signature does not hold"):
        verify(swapped)


@pytest.mark.parametrize("offset", [1040, 1423, 1424, 1807])
def test_a_wrong_quotient_is_refused_as_the_processor_does(offset: int) -> None:
    with pytest.raises(VerificationError, match="Q1 or Q2"):
        verify(changed(offset, bytes([GOOD[offset] ^ 1])))


def test_a_signature_of_zero_or_beyond_the_modulus_is_none() -> None:
    for signature in (bytes(384), b"\xff" * 384):
        forged = changed(516, signature)
        quotients = signature == bytes(384)
        with pytest.raises(VerificationError, match="signature does not hold"):
            verify(with_quotients(forged) if quotients else forged)


@pytest.mark.parametrize("at", range(0, SIZE, 7))
def test_no_byte_can_be_another(at: int) -> None:
    with pytest.raises(PcrlogError):
        verify(changed(at, bytes([GOOD[at] ^ 0x10])))


def cube_root(number: int) -> int:
    """The least integer whose cube is not below `number`."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < number else (low, middle)
    return low


def test_a_cube_root_with_the_right_beginning_is_no_signature() -> None:
    # Bleichenbacher, 2006: a reader that stops after the digest takes any rest, and
    # with exponent 3 there is a cube of that beginning, without any key.
    digest_info = bytes.fromhex("3031300d060960864801650304020105000420")
    signed = hashlib.sha256(GOOD[:128] + GOOD[900:1028]).digest()
    begin = b"\0\1" + b"\xff" * 8 + b"\0" + digest_info + signed
    root = cube_root(int.from_bytes(begin.ljust(384, b"\0"), "big"))
    assert (root**3).to_bytes(384, "big").startswith(begin)
    forged = with_quotients(changed(516, root.to_bytes(384, "little")))
    with pytest.raises(VerificationError, match="signature does not hold"):
        verify(forged)
