"""How much may be handed in as evidence, and in which spelling."""

import json
from collections.abc import Callable

import pytest

from pcrlog import limits
from pcrlog.encoding import encode_json
from pcrlog.errors import MalformedError
from pcrlog.evidence import (
    MOST,
    BadLeaf,
    Leaves,
    WrongAnswer,
    encode,
    parse,
)
from pcrlog.merkle import prove_inclusion
from tests.unit.evidence.genuine import (
    hidden_entry,
    leaves,
    small,
    unauthorised,
)

# --- bounds ---------------------------------------------------------------------------


def test_a_file_is_at_most_as_large_as_it_says() -> None:
    with pytest.raises(MalformedError, match=f"at most {MOST}"):
        parse(b" " * (MOST + 1))
    with pytest.raises(MalformedError, match="not the JSON expected here"):
        parse(b" " * MOST)
    large = BadLeaf(checkpoint="n", entry=Leaves(0, (bytes(MOST * 3 // 4),), ()))
    with pytest.raises(MalformedError, match=f"would have .* at most {MOST}"):
        encode(large)


def test_proofs_and_notes_are_bounded() -> None:
    log = small()
    proof = prove_inclusion(0, 4, log.node)
    most = 2 * limits.PROOF_HASHES
    for file, words in (
        (BadLeaf(checkpoint="", entry=Leaves(0, (b"",), proof)), "length >= 1"),
        (
            BadLeaf(checkpoint="n" * (limits.NOTE + 1), entry=leaves(log, 0)),
            "length <=",
        ),
        (BadLeaf(checkpoint="n", entry=Leaves(0, (), proof)), "length >= 1"),
        (BadLeaf(checkpoint="n", entry=Leaves(-1, (b"",), proof)), "`int` >= 0"),
        (BadLeaf(checkpoint="n", entry=Leaves(0, (b"",), (b"",))), "length >= 32"),
        (
            BadLeaf(checkpoint="n", entry=Leaves(0, (b"",), (bytes(33),))),
            "length <= 32",
        ),
        (
            BadLeaf(checkpoint="n", entry=Leaves(0, (b"",), (bytes(32),) * (most + 1))),
            f"length <= {most}",
        ),
    ):
        with pytest.raises(MalformedError, match=words):
            parse(encode(file))


def test_a_bundle_is_bounded_and_has_its_one_spelling() -> None:
    table = json.loads(encode(hidden_entry()))
    bundle = table["bundle"]
    others: tuple[object, ...] = (
        {**bundle, "hashes": [*bundle["hashes"], "A" * 43 + "="]},
        {**bundle, "more": 1},
        [],
        {**bundle, "checkpoint": "n" * limits.BUNDLE},
    )
    for other in others:
        data = encode_json({**table, "bundle": other})
        with pytest.raises(MalformedError):
            parse(data)


@pytest.mark.parametrize("make", [hidden_entry, unauthorised])
def test_a_bundle_stands_as_it_is(make: Callable[[], WrongAnswer]) -> None:
    data = encode(make())
    spaced = data.replace(b'"format":"pcrlog-bundle', b'"format": "pcrlog-bundle')
    with pytest.raises(MalformedError):
        parse(spaced)
