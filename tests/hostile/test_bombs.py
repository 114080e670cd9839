"""Small inputs that want much: depth, counts, lengths, digits, collisions.

Every parser gets every bomb, at the largest size that its callers hand it and at one
byte more. It refuses or reads it: soon, in little memory, and with its own errors.
"""

import ast
import itertools
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pcrlog import limits, policy, tiles
from pcrlog.attestation import cbor
from pcrlog.encoding import encode_base64
from pcrlog.errors import PcrlogError
from pcrlog.policy import Policy
from pcrlog.proof import Proof
from tests.hostile.parsers import PARSERS, Parser
from tests.support.memory_log import MemoryLog, registers

SECONDS = 2.0
"""Of processor time for one input. Measured: at most 0.25 s, for TOML of 256 KiB; the
rest is below 0.1 s."""
PEAK = 160 << 20
"""Bytes of memory for one input. Measured: at most 39 MiB, for TOML of 256 KiB."""
_TOO_SOON = 0.02
"""Seconds in which nobody fills such a memory: then it is not measured."""


def bounded(parser: Parser, data: bytes, what: str) -> None:
    """Read it, and hold time, memory and errors to their bounds."""
    begun = time.process_time()
    refuse_or_read(parser, data, what)
    seconds = time.process_time() - begun
    assert seconds < SECONDS, what
    if seconds < _TOO_SOON:
        return
    tracemalloc.start()
    try:
        refuse_or_read(parser, data, what)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK, what


def refuse_or_read(parser: Parser, data: bytes, what: str) -> None:
    try:
        parser.read(data)
    except parser.refusals:
        pass
    except Exception as error:
        message = f"{what}: {type(error).__name__}: {str(error)[:200]}"
        raise AssertionError(message) from error


FILL: dict[str, tuple[bytes, bytes, bytes]] = {
    # --- JSON
    "JSON lists": (b"", b"[", b""),
    "JSON objects": (b"", b'{"a":', b""),
    "JSON lists, closed": (b"[" * 400, b" ", b"]" * 400),
    "JSON digits": (b"", b"9", b""),
    "JSON exponents": (b"[", b"1e999,", b"1]"),
    "a JSON string": (b'"', b"a", b'"'),
    "JSON escapes": (b'"', rb"\u0000", b'"'),
    "JSON surrogates": (b'"', rb"\ud800", b'"'),
    "JSON members": (b'{"b":1', b',"a":1', b"}"),
    "JSON nulls": (b"[null", b",null", b"]"),
    "JSON empty objects": (b"[{}", b",{}", b"]"),
    "an envelope's payload": (b'{"payload":"', b"AAAA", b'"}'),
    "a bundle's hashes": (b'{"hashes":[""', b',""', b"]}"),
    "a bundle's indices": (b'{"answers":[{"indices":[0', b",0", b"]}]}"),
    "a bundle's steps": (b'{"answers":[{"path":[[1,0]', b",[1,0]", b"]}]}"),
    # --- CBOR
    "CBOR arrays": (b"", b"\x81", b""),
    "CBOR maps": (b"", b"\xa1\x00", b""),
    "CBOR endless arrays": (b"", b"\x9f", b""),
    "CBOR endless maps": (b"", b"\xbf\x00", b""),
    "CBOR empty arrays": (b"\x9f", b"\x80", b"\xff"),
    "CBOR tags": (b"", b"\xc1", b""),
    "CBOR nulls": (b"\x9f", b"\xf6", b"\xff"),
    "CBOR breaks": (b"", b"\xff", b""),
    "CBOR huge array": (b"\x9b" + b"\xff" * 8, b"\0", b""),
    "CBOR huge map": (b"\xbb" + b"\x7f" * 8, b"\0", b""),
    "CBOR huge bytes": (b"\x5b" + b"\xff" * 8, b"\0", b""),
    # --- DER and PEM
    "DER sequences": (b"", b"\x30\x80", b""),
    "DER long lengths": (b"", b"\x30\x84\x7f\xff\xff\xff", b""),
    "DER identifiers": (b"\x30\x82\xff\xff\x06\x82\xff\xf0", b"\xff", b""),
    "PEM begins": (b"", b"-----BEGIN PRIVATE KEY-----\n", b""),
    "PEM": (b"-----BEGIN CERTIFICATE-----\n", b"A", b"\n-----END CERTIFICATE-----"),
    "PEM lines": (
        b"-----BEGIN CERTIFICATE-----\n",
        b"\n",
        b"-----END CERTIFICATE-----",
    ),
    # --- TOML
    "TOML arrays": (b"a=", b"[", b""),
    "TOML tables": (b"a=", b"{a=", b""),
    "TOML headers": (b"", b"[a]\n", b""),
    "TOML tables in a list": (b"", b"[[log]]\n", b""),
    "TOML digits": (b"version=", b"9", b"\n"),
    "TOML hex digits": (b"version=0x", b"f", b"\n"),
    "TOML underscores": (b"version=1", b"_1", b"\n"),
    "TOML fractions": (b"version=1.", b"0", b"\n"),
    "TOML times": (b"version=2026-11-23T07:00:00.", b"0", b"Z\n"),
    "a TOML string": (b'a="', b"a", b'"\n'),
    "TOML escapes": (b'a="', rb"\u0000", b'"\n'),
    "TOML long strings": (b'a="""', b'"', b"\n"),
    "a TOML comment": (b"#", b"#", b"\n"),
    # --- lines and text
    "spaces": (b"", b" ", b""),
    "line ends": (b"", b"\n", b""),
    "line ends of a note": (b"a", b"\n\n", b""),
    "NULs": (b"", b"\0", b""),
    "bytes ff": (b"", b"\xff", b""),
    "four-byte UTF-8": (b"", "\U0001f600".encode(), b""),
    "half of UTF-8": (b"", b"\xf0\x9f", b""),
    "combining marks": (b"a", "\u0301".encode(), b""),
    "Arabic digits": (b"", "\u0661".encode(), b""),
    "zeros": (b"", b"0", b""),
    "base64": (b"", b"AAAA", b""),
    "padding": (b"", b"=", b""),
    "pluses": (b"", b"+", b""),
    "slashes": (b"", b"/", b""),
    "dots": (b"", b"a.", b""),
    "hyphens": (b"", b"a-", b""),
    "commas": (b"aws-nitro/", b"PCR0=sha384:00,", b""),
    "equals": (b"aws-nitro/", b"=", b""),
    "signature lines": (b"a\n\n", "— a AAAAAAA=\n".encode(), b""),
    "a name": ("a\n\n— ".encode(), b"a", b" AAAAAAA=\n"),
    "a signature": ("a\n\n— a ".encode(), b"AAAA", b"\n"),
    "a proof's hashes": (
        b"c2sp.org/tlog-proof@v1\nindex 0\n",
        b"A" * 43 + b"=\n",
        b"\nnote",
    ),
    "a proof's extra": (b"c2sp.org/tlog-proof@v1\nextra ", b"AAAA", b"\nindex 0\n\n"),
    "a proof's index": (b"c2sp.org/tlog-proof@v1\nindex ", b"9", b"\n\nnote"),
    "a seal's lines": (b"pcrlog/seal/v1\n", b"frozen\n", b""),
    "a seal's count": (b"pcrlog/seal/v1\n", b"9", b"\n0\n"),
    "a seal's version": (b"pcrlog/seal/", b"9", b"\n"),
    "groups of a tile": (b"tile/0/", b"x000/", b"000"),
    "a tile's level": (b"tile/", b"9", b"/000"),
    "a pre-release": (b"1.0.0-", b"1.", b"1"),
    "digits of a version": (b"1.0.0-", b"9", b""),
    "registers": (b"", b"00 PCR0\n", b""),
    "steps of a trie": (b"", b"\x7f" + bytes(32), b""),
    "empty entries": (b"", b"\0\0", b""),
    "an entry": (b"\xff\xff", b"a", b""),
}
"""What goes before, what is repeated to the size wanted, what goes after."""


def filled(name: str, size: int) -> bytes:
    before, again, after = FILL[name]
    room = max(0, size - len(before) - len(after))
    return before + again * (room // len(again)) + after


@pytest.mark.parametrize("name", PARSERS)
def test_no_bomb_goes_off(name: str) -> None:
    parser = PARSERS[name]
    # This one does: test_a_policy_of_one_long_key_takes_as_long_as_its_length.
    for bomb in FILL.keys() - (_LONG_KEYS if name == "policy" else set()):
        for size in (parser.most, parser.most + 1):
            bounded(parser, filled(bomb, size), f"{bomb}, {size} bytes")


_LONG_KEYS = {"dots", "a pre-release"}


@pytest.mark.parametrize("name", PARSERS)
def test_a_message_is_short_however_long_the_input_was(name: str) -> None:
    parser = PARSERS[name]
    for bomb in ("JSON lists", "zeros", "bytes ff", "an envelope's payload"):
        refused = None
        try:
            parser.read(filled(bomb, parser.most))
        except parser.refusals as error:
            refused = error
        assert len(str(refused)) < _LONGEST_MESSAGE, bomb


_LONGEST_MESSAGE = 1_000
"""Characters: a few lines of a terminal."""


def test_every_parser_is_listed() -> None:
    """A function of pcrlog or cli that reads bytes or text and refuses some."""
    root = Path(__file__).parents[2]
    listed = (root / "tests/hostile/parsers.py").read_text("utf-8")
    found = set()
    for path in sorted((root / "pcrlog").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and _PARSES.fullmatch(node.name):
                found.add(node.name)
    missing = {name for name in found if not re.search(rf"\b{name}\b", listed)}
    assert missing == _THROUGH_OTHERS


_PARSES = re.compile(r"(?:parse|decode|read|from|load|split)(?:_[a-z0-9_]+)?")
_THROUGH_OTHERS = {
    "decode_json",  # envelope, statement, request, bundle
    "from_seed",  # 32 bytes of our own
    "parse_entry",  # leaf
    "parse_report",  # quote
    "read_chain",  # collateral
    "read_entry",  # leaf
    "read_json",  # collateral
    "read_signatures",  # envelope, request
    "read_statement",  # leaf
}


# --- bombs that fit into something valid ---------------------------------------------


def within(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def released() -> MemoryLog:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.release("acme.example/wallet", "1.0.0", registers("good"))
    log.seal()
    return log


def fitted() -> Iterator[tuple[str, str, bytes]]:
    """Name, parser, input."""
    log = released()
    payload, envelope = log.entries[2].envelope.payload, log.leaves[2]
    bundle = log.bundle("acme.example/wallet", registers("good")).encode()
    for depth in (100, 998, 1_000, 10_000):
        deep = nested(depth)
        more = b'{"_more":' + deep + b","
        yield f"a statement with {depth} lists", "statement", more + payload[1:]
        inner = encode_base64(more + payload[1:]).encode()
        outer = (
            b'{"payload":"'
            + inner
            + b'","payloadType":'
            + envelope.split(b'"payloadType":', 1)[1]
        )
        yield f"a payload with {depth} lists", "leaf", outer
        yield f"index keys of {depth} lists", "index keys", outer
        whole = within(bundle, b'"statement":{', b'"statement":' + more)
        yield f"a bundle with {depth} lists", "bundle", whole
        yield (
            f"a policy with {depth} lists",
            "policy",
            policy.EXAMPLE.encode() + b"\n[more]\na=" + deep,
        )
        yield f"registers with {depth} lists", "registers", b'{"PCR0":' + deep + b"}"
        problem = b'{"title":"a","more":' + deep + b"}"
        yield f"a refusal with {depth} lists", "refusal", problem
        placed = b'{"index":0,"sha256":"","more":' + deep + b"}"
        yield f"a placing with {depth} lists", "placing", placed
    for digits in (20, 400, 4_400, 30_000):
        number = b"9" * digits
        members = within(payload, b'"issued"', b'"_n":' + number + b',"issued"')
        yield f"a statement with {digits} digits", "statement", members
        placed = b'{"index":' + number + b',"sha256":""}'
        yield f"a placing with {digits} digits", "placing", placed
        text = within(policy.EXAMPLE.encode(), b"version = 7", b"version = " + number)
        yield f"a policy with {digits} digits", "policy", text
    # Whole numbers whose hashes in Python are one and the same.
    modulus = 2**61 - 1
    same: cbor.Value = {number * modulus: None for number in range(1, 8)}
    yield "CBOR keys of one hash", "CBOR", cbor.encode(same)
    few = b"".join(
        b"\x1b" + (number * modulus).to_bytes(8) + b"\xf6" for number in range(8)
    )
    yield "CBOR keys of one hash, again", "CBOR", b"\xbf" + few * 250 + b"\xff"
    near = b"".join(b"\x1a" + (n << 16).to_bytes(4) + b"\xf6" for n in range(3_000))
    yield "CBOR keys of one bucket", "CBOR", b"\xbf" + near + b"\xff"
    yield "an entry of 64 KiB", "entry bundle", b"\xff\xff" + bytes(65_535)
    empty = tiles.encode_bundle([b""] * 256)
    yield "256 empty entries", "entry bundle", empty


@pytest.mark.parametrize(
    ("parser", "data"),
    [pytest.param(parser, data, id=name) for name, parser, data in fitted()],
)
def test_no_bomb_within_something_valid_goes_off(parser: str, data: bytes) -> None:
    bounded(PARSERS[parser], data, parser)


# --- bombs that do go off -------------------------------------------------------------


def seconds(read: Callable[[bytes], object], data: bytes) -> float:
    begun = time.process_time()
    with pytest.raises(PcrlogError):
        read(data)
    return time.process_time() - begun


def test_a_policy_of_one_long_key_takes_as_long_as_its_length() -> None:
    short, long = (b".".join([b"a"] * parts) + b"=1" for parts in (1_000, 8_000))
    least = min(seconds(Policy.parse, short) for _ in range(3))
    assert seconds(Policy.parse, long) < 24 * least
    assert len(long) < limits.POLICY / 16


def test_a_proof_that_is_too_large_is_not_taken_apart() -> None:
    data = b"c2sp.org/tlog-proof@v1\n" + b"\n0" * (8 << 20) + b"\n\n"
    tracemalloc.start()
    try:
        with pytest.raises(PcrlogError):
            Proof.parse(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(data) / 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("version = 7", f"version = {2**64}", id="version"),
        pytest.param("version = 7", "version = 0x" + "f" * 9_999, id="hex"),
        pytest.param("critical = 0", f"critical = {2**64}", id="findings"),
        pytest.param("critical = 0", "critical = -1", id="findings below zero"),
    ],
)
def test_a_number_in_a_policy_is_bounded(old: str, new: str) -> None:
    """Such a policy cannot be shown: neither JSON nor text takes its numbers."""
    assert old in policy.EXAMPLE
    with pytest.raises(PcrlogError):
        Policy.parse(policy.EXAMPLE.replace(old, new).encode())


def test_what_is_repeated_is_large_enough() -> None:
    for name, size in itertools.product(FILL, (1_000, 65_536)):
        assert size - 100 < len(filled(name, size)) <= size + 600
