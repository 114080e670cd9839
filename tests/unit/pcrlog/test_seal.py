"""Seals: the log's own line about itself."""

import pytest

from pcrlog.encoding import LATEST, encode_base64
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.seal import Seal

ROOT = encode_base64(b"r" * 32)
SEAL = f"pcrlog/seal/v1\n7\n1795417200\n{ROOT}\n"


@pytest.mark.parametrize(
    ("seal", "leaf"),
    [
        (Seal(7, 1_795_417_200, b"r" * 32), SEAL),
        (Seal(7, 1_795_417_200, b"r" * 32, frozen=True), SEAL + "frozen\n"),
        (Seal(0, 0, bytes(32)), f"pcrlog/seal/v1\n0\n0\n{encode_base64(bytes(32))}\n"),
        (
            Seal(2**63 - 1, LATEST, b"r" * 32),
            f"pcrlog/seal/v1\n{2**63 - 1}\n253402300799\n{ROOT}\n",
        ),
    ],
    ids=["usual", "frozen", "first", "largest"],
)
def test_a_seal_is_written_and_read(seal: Seal, leaf: str) -> None:
    assert seal.encode() == leaf.encode()
    assert Seal.parse(leaf.encode()) == seal


@pytest.mark.parametrize(
    "leaf",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"p", id="p"),
        pytest.param(b"{}", id="statement"),
        pytest.param(b"pcrlog/seal", id="half-a-header"),
        pytest.param(b"pcrlog/seal/v1", id="header"),
        pytest.param(b"pcrlog/seal/v1\n", id="header-alone"),
        pytest.param(b"pcrlog/seal/v1\n7\n1\n", id="no-root"),
        pytest.param(SEAL[:-1].encode(), id="no-newline-at-the-end"),
        pytest.param((SEAL + "\n").encode(), id="blank-line-at-the-end"),
        pytest.param((SEAL + "frozen").encode(), id="frozen-without-newline"),
        pytest.param((SEAL + "Frozen\n").encode(), id="frozen-in-capitals"),
        pytest.param((SEAL + "frozen \n").encode(), id="frozen-and-a-space"),
        pytest.param((SEAL + "frozen\nfrozen\n").encode(), id="frozen-twice"),
        pytest.param((SEAL + "frozen\n\n").encode(), id="blank-line-after-frozen"),
        pytest.param((SEAL + "more\n").encode(), id="another-line"),
        pytest.param(SEAL.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(SEAL.replace("7\n", "07\n", 1).encode(), id="leading-zero"),
        pytest.param(SEAL.replace("7\n", "-7\n", 1).encode(), id="minus"),
        pytest.param(
            SEAL.replace("7\n", f"{2**63}\n", 1).encode(), id="count-too-large"
        ),
        pytest.param(SEAL.replace("1795417200", "1795417200.0").encode(), id="float"),
        pytest.param(SEAL.replace("1795417200", "").encode(), id="no-time"),
        pytest.param(
            SEAL.replace("1795417200", "2026-11-23T07:00:00Z").encode(), id="text-time"
        ),
        pytest.param(SEAL.replace(ROOT, ROOT[:-1]).encode(), id="root-without-padding"),
        pytest.param(
            SEAL.replace(ROOT, encode_base64(b"r" * 31)).encode(), id="root-of-31-bytes"
        ),
        pytest.param(
            SEAL.replace("7\n", "\xb7\n", 1).encode("latin-1"), id="not-ascii"
        ),
    ],
)
def test_what_is_almost_a_seal_is_refused(leaf: bytes) -> None:
    with pytest.raises((MalformedError, UncheckedError)) as caught:
        Seal.parse(leaf)
    other_version = leaf.startswith(b"pcrlog/seal/v1\r")
    assert isinstance(caught.value, UncheckedError) == other_version


def test_a_time_that_no_report_could_spell_is_refused() -> None:
    """A report would crash on it, and the log alone decides what stands there."""
    for time in (LATEST + 1, 2**53, 2**63 - 1):
        with pytest.raises(MalformedError, match="expected a decimal"):
            Seal.parse(SEAL.replace("1795417200", str(time)).encode())


@pytest.mark.parametrize("version", ["v2", "v10", "v1.1", "", "v1 "])
def test_a_seal_of_another_version_could_not_be_checked(version: str) -> None:
    leaf = SEAL.replace("seal/v1", f"seal/{version}").encode()
    with pytest.raises(UncheckedError, match="expected a seal pcrlog/seal/v1"):
        Seal.parse(leaf)
