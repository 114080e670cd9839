"""Leaves that are no statements to a verifier: seals, and the key function's inputs.

The key function (section 3) never fails, so most of its cases are leaves that no log
admits: a monitor recomputes the index over whatever is there.
"""

import json
from typing import Any

from pcrlog import limits
from pcrlog.encoding import LATEST, encode_base64
from pcrlog.seal import Seal
from tests.conformance.family import Family
from tests.support.memory_log import MemoryLog
from tests.support.scene import GOOD, PROVIDER, Scene

_ROOT = encode_base64(bytes(range(32)))
_M0 = f"PCR0={GOOD['PCR0']}"


def seals() -> Family:
    """Seals (section 2.4)."""
    family = Family("seals", "The log's own line about itself (sections 2.4, 2.5).")

    def seal(*lines: str, end: str = "\n") -> bytes:
        return ("\n".join(lines) + end).encode("latin-1")

    good = ("pcrlog/seal/v1", "7", "1795417200", _ROOT)
    wanted = {"count": 7, "time": 1795417200, "root": _ROOT, "frozen": False}
    family.case("open", "four lines", "seal", wanted, leaf=seal(*good))
    family.case(
        "frozen",
        "a fifth line: frozen",
        "seal",
        {"frozen": True},
        leaf=seal(*good, "frozen"),
    )
    first = Seal(0, 0, bytes(32)).encode()
    family.case("of-no-leaves", "decimals begin at 0", "seal", {"count": 0}, leaf=first)
    last = Seal(limits.TREE_SIZE, LATEST, bytes(32)).encode()
    family.case(
        "largest", "2^63-1 leaves, year 9999", "seal", {"time": LATEST}, leaf=last
    )
    for name, why, word, leaf in (
        (
            "version-2",
            "a later version could not be checked",
            "unchecked",
            seal("pcrlog/seal/v2", *good[1:]),
        ),
        (
            "no-seal",
            "another first line is no seal",
            "malformed",
            seal("pcrlog/heal/v1", *good[1:]),
        ),
        ("no-last-line-feed", "each line ends in LF", "malformed", seal(*good, end="")),
        ("two-last-line-feeds", "nothing after it", "malformed", seal(*good, "")),
        (
            "another-fifth-line",
            "frozen, or nothing",
            "malformed",
            seal(*good, "frosty"),
        ),
        ("frozen-twice", "frozen once", "malformed", seal(*good, "frozen", "frozen")),
        (
            "carriage-returns",
            "LF, not CR LF",
            "malformed",
            seal(good[0], *(f"{line}\r" for line in good[1:])),
        ),
        (
            "carriage-return-first",
            "what follows pcrlog/seal/ is the version",
            "unchecked",
            seal(f"{good[0]}\r", *good[1:]),
        ),
        (
            "leading-zero",
            "decimals without leading zeros",
            "malformed",
            seal(good[0], "07", *good[2:]),
        ),
        ("sign", "decimals without sign", "malformed", seal(good[0], "+7", *good[2:])),
        (
            "count-too-large",
            "at most 2^63-1",
            "malformed",
            seal(good[0], str(limits.TREE_SIZE + 1), *good[2:]),
        ),
        (
            "time-too-late",
            "at most year 9999",
            "malformed",
            seal(*good[:2], str(LATEST + 1), good[3]),
        ),
        (
            "root-of-31-bytes",
            "32 bytes",
            "malformed",
            seal(*good[:3], encode_base64(bytes(31))),
        ),
        (
            "root-not-canonical",
            "base64 with zero bits at its end",
            "malformed",
            seal(*good[:3], _ROOT[:42] + chr(ord(_ROOT[42]) + 1) + "="),
        ),
        ("three-lines", "four lines", "malformed", seal(*good[:3])),
        ("latin-1", "ASCII", "malformed", seal(good[0], "\xb2", *good[2:])),
        ("empty", "a leaf of no bytes is no seal", "malformed", b""),
    ):
        family.case(name, why, "seal", word, leaf=leaf)
    return family


def _leaf(statement: object) -> bytes:
    payload = json.dumps(statement).encode()
    return json.dumps({"payload": encode_base64(payload)}).encode()


def _subject(**registers: str) -> list[dict[str, Any]]:
    rows = []
    for name, digest in registers.items():
        algorithm, _, digits = digest.partition(":")
        rows.append({"name": name, "digest": {algorithm: digits}})
    return rows


def index_keys() -> Family:
    """The key function (section 3)."""
    about = "Which index keys an entry has: one function that never fails (section 3)."
    family = Family("index-keys", about)
    scene = Scene()
    made = [scene.release(), scene.reproduce(), scene.review()]
    made.append(scene.log.revoke(PROVIDER, "vulnerable", made[0]))
    words = ("release", "reproduction", "source-review", "revocation")
    by = f"v1/by/{{}}/aws-nitro/{_M0}"
    review = f"v1/by/lens.example/source/commit=gitCommit:{'ab' * 20}"
    expected = [
        [
            by.format(PROVIDER),
            "v1/issuer/acme.example",
            f"v1/measurement/aws-nitro/{_M0}",
            "v1/product/acme.example/wallet",
            "v1/version/acme.example/wallet/1.4.2",
        ],
        [by.format("lab.example"), "v1/issuer/lab.example"],
        [review, "v1/issuer/lens.example"],
        [by.format(PROVIDER), "v1/issuer/acme.example"],
    ]
    for word, at, keys in zip(words, made, expected, strict=True):
        why = "a release has five keys for its one M, other statements two"
        leaf = scene.log.leaves[at]
        family.case(word, why, "index-keys", {"keys": keys}, leaf=leaf)
    keys = ["v1/identity/acme.example", "v1/issuer/registrar"]
    leaf = scene.log.leaves[1]
    family.case(
        "identity", "of its name and issuer", "index-keys", {"keys": keys}, leaf=leaf
    )
    log = MemoryLog()
    log.seal()
    why = "a leaf that does not begin with { has no keys"
    family.case("seal", why, "index-keys", {"keys": []}, leaf=log.leaves[-1])
    _shapes(family)
    _bodies(family)
    _json(family)
    return family


_BASE: dict[str, Any] = {
    "predicateType": "urn:pcrlog:release:v9",
    "predicate": {
        "issuer": "acme.example",
        "platform": "tdx-of-2031",
        "identity": [["MRTD"], ["RTMR0", "RTMR1"]],
        "product": "acme.example/x",
        "version": "1",
        "unknown": {"deep": [1.5, None]},
    },
    "subject": _subject(MRTD="sha384:aa", RTMR0="sha384:bb", RTMR1="sha384:cc"),
}
_M = ("MRTD=sha384:aa", "RTMR0=sha384:bb,RTMR1=sha384:cc")
_BY = [f"v1/by/acme.example/tdx-of-2031/{one}" for one in _M]
_ISSUER = ["v1/issuer/acme.example"]
_MEASURED = [f"v1/measurement/tdx-of-2031/{one}" for one in _M]
_PRODUCT = ["v1/product/acme.example/x"]
_VERSION = ["v1/version/acme.example/x/1"]
_ALL = _BY + _ISSUER + _MEASURED + _PRODUCT + _VERSION


def _changed(**predicate: object) -> dict[str, Any]:
    return {**_BASE, "predicate": {**_BASE["predicate"], **predicate}}


def _shapes(family: Family) -> None:
    """Members that count, and members that do not."""
    some = _subject(MRTD="sha384:aa", RTMR0="sha384:bb")
    for name, why, statement, keys in (
        (
            "later-version",
            "a table of platforms or versions is never read",
            _BASE,
            _ALL,
        ),
        (
            "later-audit",
            "v1/by and v1/issuer, whatever the family",
            _BASE | {"predicateType": "urn:pcrlog:audit:v9"},
            _BY + _ISSUER,
        ),
        (
            "empty-rest",
            "the rest of a predicateType may be empty",
            _BASE | {"predicateType": "urn:pcrlog:release:"},
            _ALL,
        ),
        (
            "no-family",
            "a type of no family has v1/by and v1/issuer",
            _BASE | {"predicateType": "https://slsa.dev/provenance/v1"},
            _BY + _ISSUER,
        ),
        (
            "space-in-rest",
            "printable ASCII without spaces, or no family",
            _BASE | {"predicateType": "urn:pcrlog:release:v 1"},
            _BY + _ISSUER,
        ),
        (
            "identity-family",
            "an identity has no v1/by",
            _changed(name="n.example") | {"predicateType": "urn:pcrlog:identity:v2"},
            ["v1/identity/n.example", *_ISSUER],
        ),
        (
            "issuer-not-a-name",
            "a member counts if it is a string of its shape",
            _changed(issuer="Acme.example"),
            _MEASURED + _PRODUCT + _VERSION,
        ),
        (
            "issuer-a-number",
            "a member counts if it is a string",
            _changed(issuer=7),
            _MEASURED + _PRODUCT + _VERSION,
        ),
        (
            "product-of-another-shape",
            "product and version need the product",
            _changed(product="wallet"),
            _BY + _ISSUER + _MEASURED,
        ),
        (
            "version-of-another-shape",
            "the version alone is lost",
            _changed(version=""),
            _BY + _ISSUER + _MEASURED + _PRODUCT,
        ),
        (
            "platform-of-another-shape",
            "measurements count only if the platform does",
            _changed(platform="TDX"),
            _ISSUER + _PRODUCT + _VERSION,
        ),
        (
            "register-lacking",
            "a list that names a missing register gives no M",
            _BASE | {"subject": some},
            [_BY[0], *_ISSUER, _MEASURED[0], *_PRODUCT, *_VERSION],
        ),
        (
            "identity-not-lists",
            "identity is a list of lists of strings",
            _changed(identity=[["MRTD"], "RTMR0"]),
            _ISSUER + _PRODUCT + _VERSION,
        ),
        (
            "register-twice",
            "no register name stands twice",
            _BASE | {"subject": some + some[:1]},
            _ISSUER + _PRODUCT + _VERSION,
        ),
        (
            "two-digests",
            "a digest is an object of exactly one member",
            _BASE | {"subject": [{"name": "MRTD", "digest": {"a": "aa", "b": "bb"}}]},
            _ISSUER + _PRODUCT + _VERSION,
        ),
        (
            "upper-case-digest",
            "an M counts only if its registers are of their shape",
            _BASE
            | {
                "subject": _subject(
                    MRTD="sha384:AA", RTMR0="sha384:bb", RTMR1="sha384:cc"
                )
            },
            [_BY[1], *_ISSUER, _MEASURED[1], *_PRODUCT, *_VERSION],
        ),
        (
            "list-twice",
            "each key once",
            _changed(identity=[["MRTD"], ["MRTD"], ["RTMR0", "RTMR1"]]),
            _ALL,
        ),
        (
            "no-predicate",
            "no object `predicate`: no keys",
            _BASE | {"predicate": []},
            [],
        ),
        (
            "no-type",
            "no string predicateType: no keys",
            _BASE | {"predicateType": 1},
            [],
        ),
    ):
        family.case(
            name, why, "index-keys", {"keys": sorted(keys)}, leaf=_leaf(statement)
        )


def _bodies(family: Family) -> None:
    """How a leaf is decoded."""
    payload = json.dumps(_BASE).encode()

    def leaf(text: str) -> bytes:
        return text.encode()

    encoded = encode_base64(payload)
    brackets = limits.BRACKETS
    shallow = _BASE | {
        "note": "[" * (brackets - payload.count(b"[") - payload.count(b"{"))
    }
    deep = _BASE | {"note": shallow["note"] + "{"}
    for name, why, data, keys in (
        (
            "spaces",
            "nothing but the base64 has to be canonical",
            leaf(f'{{ "payload" : "{encoded}" , "x": 1.0 }}'),
            _ALL,
        ),
        (
            "payload-twice",
            "of a member that stands twice, the last counts",
            leaf(f'{{"payload":"AAAA","payload":"{encoded}"}}'),
            _ALL,
        ),
        ("not-json", "leaf is no JSON: no keys", leaf("{"), []),
        (
            "unpadded",
            "base64 in its one spelling, or no keys",
            _leaf_of(
                encode_base64(payload + b"  "[: (1 - len(payload)) % 3]).rstrip("=")
            ),
            [],
        ),
        ("payload-no-json", "payload is no JSON: no keys", _leaf_of("AAAA"), []),
        (
            "payload-no-string",
            "payload is no string: no keys",
            leaf('{"payload":1}'),
            [],
        ),
        ("array", "a leaf that begins with [ has no keys", leaf("[]"), []),
        ("brackets-512", "512 brackets, wherever they stand", _leaf(shallow), _ALL),
        (
            "brackets-513",
            "more than 512 brackets in the payload: no keys",
            _leaf(deep),
            [],
        ),
        (
            "brackets-of-the-leaf",
            "more than 512 in the leaf: no keys",
            leaf(f'{{"payload":"{encoded}","x":"{"[" * brackets}"}}'),
            [],
        ),
    ):
        family.case(name, why, "index-keys", {"keys": sorted(keys)}, leaf=data)


def _json(family: Family) -> None:
    """What is JSON, in members that nobody looks at."""
    plain = json.dumps(_BASE).encode()

    def leaf(value: bytes) -> bytes:
        payload = plain[:-1] + b', "x": ' + value + b"}"
        return json.dumps({"payload": encode_base64(payload)}).encode()

    for name, why, value, counts in (
        ("largest-double", "a number that a double holds", b"1.7e308", True),
        (
            "infinite-double",
            "a number beyond a double is not JSON here",
            b"1e309",
            False,
        ),
        ("smallest-number", "a number of any smallness", b"1e-999", True),
        ("integer-of-4300", "an integer of 4,300 digits", b"9" * 4300, True),
        ("integer-of-4301", "an integer of more is not JSON here", b"9" * 4301, False),
        ("minus-zero", "RFC 8259", b"-0", True),
        ("leading-zero", "RFC 8259", b"01", False),
        ("nan", "RFC 8259", b"NaN", False),
        ("lone-surrogate", "a lone surrogate is not JSON here", b'"\\ud800"', False),
        ("surrogate-pair", "a pair is a character", b'"\\ud83d\\ude00"', True),
        ("not-utf-8", "in UTF-8", b'"\xff"', False),
        ("control-character", "RFC 8259", b'"\x01"', False),
        ("delete", "RFC 8259", b'"\x7f"', True),
    ):
        keys = sorted(_ALL) if counts else []
        family.case(f"json-{name}", why, "index-keys", {"keys": keys}, leaf=leaf(value))
    marked = b"\xef\xbb\xbf" + plain
    data = json.dumps({"payload": encode_base64(marked)}).encode()
    why = "without a byte order mark"
    family.case("json-byte-order-mark", why, "index-keys", {"keys": []}, leaf=data)


def _leaf_of(payload: str) -> bytes:
    return json.dumps({"payload": payload}).encode()


MAKERS = (seals, index_keys)
