"""The form of bundles (section 4.2); what they prove is the business of runs.py."""

import json
from collections.abc import Callable
from typing import Any

from pcrlog import limits
from pcrlog.bundle import Answer, Bundle, Included
from tests.conformance.family import Family, Stage
from tests.support.scene import GOOD, LAB, PRODUCT

Table = dict[str, Any]
_ABSENT = "v1/by/nobody.example/aws-nitro/PCR0=sha384:00"


def _data(table: Table) -> bytes:
    return json.dumps(
        table, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def _reverse(table: Table, name: str) -> None:
    table[name].reverse()


def _with(member: str, value: object) -> Callable[[Table], None]:
    return lambda table: table.update({member: value})


def _in(part: str, member: str, value: object) -> Callable[[Table], None]:
    return lambda table: table[part][0].update({member: value})


def _present(table: Table) -> Table:
    found: Table = next(answer for answer in table["answers"] if answer["indices"])
    return found


def _absent(table: Table) -> Table:
    found: Table = next(answer for answer in table["answers"] if "other" in answer)
    return found


def _drop(table: Table, name: str) -> None:
    del table[name]


def _swap_places(table: Table) -> None:
    first, second, *_ = table["answers"][0]["path"]
    first[1], second[1] = second[1], first[1]


def _idle_bits(table: Table) -> None:
    """The last digit of 32 bytes has two idle bits."""
    good = table["hashes"][0]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    table["hashes"][0] = good[:42] + digits[digits.index(good[42]) + 1] + "="


def _says(value: object) -> Callable[[Table], None]:
    """Another value inside a statement."""
    return lambda table: table["entries"][0]["statement"].update({"subject": value})


_NUMBERS = "numbers in a statement are integers 0 to 2^53-1"
_REFUSED: tuple[tuple[str, str, Callable[[Table], None]], ...] = (
    (
        "format-v2",
        "the format is pcrlog-bundle/v1",
        _with("format", "pcrlog-bundle/v2"),
    ),
    ("no-seal", "exactly these members", lambda t: _drop(t, "seal")),
    ("no-hashes", "exactly these members", lambda t: _drop(t, "hashes")),
    ("member", "an unknown member", _with("note", "x")),
    ("member-of-an-answer", "an unknown member", _in("answers", "note", 1)),
    ("member-of-an-entry", "an unknown member", _in("entries", "note", 1)),
    ("answers-descending", "answers ascend by key", lambda t: _reverse(t, "answers")),
    ("entries-descending", "entries ascend by index", lambda t: _reverse(t, "entries")),
    (
        "answer-twice",
        "a key that stands twice",
        lambda t: t["answers"].insert(0, t["answers"][0]),
    ),
    (
        "entry-twice",
        "an index that stands twice",
        lambda t: t["entries"].insert(0, t["entries"][0]),
    ),
    (
        "key-of-513",
        "a key has at most 512 characters",
        _in("answers", "key", "k" * 513),
    ),
    (
        "seal-of-257",
        "a seal has at most 256 characters",
        lambda t: t["seal"].update({"leaf": "p" * 257}),
    ),
    (
        "place-beyond-the-table",
        "a place beyond the table",
        lambda t: t["seal"]["proof"].append(len(t["hashes"])),
    ),
    ("place-negative", "places are from 0", lambda t: t["seal"]["proof"].append(-1)),
    ("hashes-swapped", "hashes stand in the order of their first use", _swap_places),
    (
        "hash-not-used",
        "each hash is used",
        lambda t: t["hashes"].append("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ),
    (
        "hash-of-31-bytes",
        "32-byte values",
        lambda t: t["hashes"].__setitem__(
            0, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
        ),
    ),
    ("hash-with-idle-bits", "another spelling", _idle_bits),
    (
        "bit-of-256",
        "bits are below 256",
        lambda t: _present(t)["path"][0].__setitem__(0, 256),
    ),
    (
        "bits-ascending",
        "bits strictly decrease from the leaf to the root",
        lambda t: _present(t)["path"].reverse(),
    ),
    (
        "other-beside-indices",
        "`other` exactly where the key is absent",
        lambda t: _present(t).update({"other": [0, 1]}),
    ),
    (
        "absent-without-other",
        "`other` where the key is absent from a trie that is not empty",
        lambda t: _drop(_absent(t), "other"),
    ),
    (
        "index-with-fraction",
        "integers",
        lambda t: t["entries"][0].update({"index": 0.5}),
    ),
    (
        "no-signature",
        "signatures as in the envelope",
        lambda t: t["entries"][0].update({"signatures": []}),
    ),
    (
        "three-signatures",
        "signatures as in the envelope",
        lambda t: t["entries"][0].update(
            {"signatures": t["entries"][0]["signatures"] * 3}
        ),
    ),
    ("number-with-fraction", _NUMBERS, _says([1.5])),
    ("number-with-exponent", _NUMBERS, _says([1e300])),
    ("number-minus-1", _NUMBERS, _says([-1])),
    ("number-2-to-the-53", _NUMBERS, _says([{"deep": [2**53]}])),
    ("number-2-to-the-63", _NUMBERS, _says(2**63)),
)


def bundles() -> Family:
    """The family."""
    family = Family("bundles", "The form of pcrlog-bundle/v1 (section 4.2).")
    stage = Stage()
    stage.release()
    stage.reproduce()
    stage.seal()
    bundle = stage.log.bundle(PRODUCT, GOOD, LAB)
    data = bundle.encode()
    wanted = {"answers": sorted(bundle.answers), "entries": sorted(bundle.entries)}
    why = "canonical JSON, every hash once in a table"
    family.case("whole", why, "bundle", wanted, bundle=data)
    empty = Bundle(b"", b"", (), {}, {}).encode()
    nothing: Table = {"answers": [], "entries": []}
    family.case("empty", "every list may be empty", "bundle", nothing, bundle=empty)
    one = Bundle(b"", b"", (), {_ABSENT: Answer((), b"")}, {}).encode()
    why = "where the key is absent from an empty trie there is no `other`"
    family.case(
        "absent-from-nothing", why, "bundle", {"answers": [_ABSENT]}, bundle=one
    )
    for name, why, change in _REFUSED:
        table = json.loads(data)
        change(table)
        family.case(name, why, "bundle", "malformed", bundle=_data(table))
    for name, text in (
        ("space", data.replace(b":", b": ", 1)),
        ("line-feed", data + b"\n"),
        ("not-sorted", data[:1] + b'"format":"pcrlog-bundle/v1",' + data[1:]),
        ("not-utf-8", data.replace("—".encode(), b"\xff")),
        ("escaped", data.replace("—".encode(), b"\\u2014")),
    ):
        why = "another spelling is refused"
        family.case(name, why, "bundle", "malformed", bundle=text)
    # Only who looks for numbers has to tell them from strings.
    table = json.loads(data)
    table["entries"][0]["statement"]["subject"] = [limits.INTEGER, ":-1,1.5", True]
    why = "the largest number, and strings that look like others"
    family.case("number-largest", why, "bundle", wanted, bundle=_data(table))
    _limits(family, stage)
    return family


def _limits(family: Family, stage: Stage) -> None:
    for count, word in ((limits.BUNDLE_ANSWERS, ""), (limits.BUNDLE_ANSWERS + 1, "x")):
        answers = {f"k{n:04}": Answer((), b"") for n in range(count)}
        data = Bundle(b"", b"", (), answers, {}).encode()
        expect: Any = "malformed" if word else {"entries": []}
        family.case(
            f"answers-{count}", "at most 512 answers", "bundle", expect, bundle=data
        )
    envelope = stage.log.entries[4].envelope
    for length, word in ((limits.PROOF_HASHES, ""), (limits.PROOF_HASHES + 1, "x")):
        proof = tuple(bytes([n]) * 32 for n in range(length))
        data = Bundle(b"", b"", (), {}, {4: Included(envelope, proof)}).encode()
        expect = "malformed" if word else {"entries": [4]}
        why = "a proof has at most 63 hashes"
        family.case(f"proof-of-{length}", why, "bundle", expect, bundle=data)
    for length, word in ((512, ""), (256, "seal")):
        key = {"k" * length: Answer((), b"")} if not word else {}
        data = Bundle(b"", b"s" * length if word else b"", (), key, {}).encode()
        name = f"{word or 'key'}-of-{length}"
        expect = {"answers": [*key]}
        family.case(name, "at its limit", "bundle", expect, bundle=data)


MAKERS = (bundles,)
