"""Statements: their one spelling, and each rule that bytes alone can break.

A `Rule` is a clause of docs/protocol.md 2.1 with what it allows at its edge and what
lies just beyond. Signatures in here sign nothing: the operation `statement` reads form
alone, and leaves whether they verify to `key` and `authority`.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.keys import SigningKey, keyid_of
from tests.conformance.family import Family
from tests.support.memory_log import ORIGIN, key
from tests.support.scene import COMMIT

Json = dict[str, Any]

PAYLOAD = (
    b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"components":[],"identity'
    b'":[["digest"]],"issued":"2026-11-23T07:00:00Z","issuer":"acme.example","log":"log.'
    b'example/pcr","platform":"artifact","product":"acme.example/proxy","version":"1.0.0'
    b'"},"predicateType":"urn:pcrlog:release:v1","subject":[{"digest":{"sha256":"1111111'
    b'111111111111111111111111111111111111111111111111111111111"},"name":"digest"}]}'
)
"""The worked example of section 2.1."""
KEYID = "339e2ff917630507b6a423b5ce084e285d1fa65d93b3e27a6195d3bbebc9ae23"
SIGNATURE = (
    "T5T0Vv9jYBDJCBWtQlzF8fxnZHV8TnqZr7UZclj19WqrLJ1LRMviCnB06HbiOFATVGhyP2FVvAwwc10tqJ"
    "iWDQ=="
)
TYPE = "application/vnd.in-toto+json"
MALFORMED, UNCHECKED = "malformed", "unchecked"
TIME, URI = "2026-11-23T07:00:00Z", "https://git.example/acme"
A, B, C = "a" * 64, "b" * 64, "c" * 64
GONE = object()
"""In place of a member: it is left out."""


def compact(value: object) -> bytes:
    """Canonical JSON, by another encoder than pcrlog's."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def wrap(payload: bytes, *keyids: str, sig: str = "AAAA") -> Json:
    """An envelope, as JSON, whose signatures sign nothing."""
    rows = [{"keyid": keyid, "sig": sig} for keyid in keyids or (KEYID,)]
    whole = {"payloadType": TYPE, "signatures": rows}
    return {**whole, "payload": encode_base64(payload)}


def leaf(statement: Json) -> bytes:
    """The envelope of a statement; an identity has the signatures of its signers."""
    signers = statement.get("predicate", {}).get("signers")
    return compact(wrap(compact(statement), *(signers or ())))


# --- legal statements ------------------------------------------------------------


def _statement(
    kind: str, subject: Mapping[str, tuple[str, str]], **members: Any
) -> Json:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": f"urn:pcrlog:{kind}:v1",
        "subject": registers(subject),
        "predicate": {"log": ORIGIN, "issued": TIME, **members},
    }


def registers(rows: Mapping[str, tuple[str, str]]) -> list[Json]:
    """A subject of these rows: name to algorithm and hex."""
    return [
        {"digest": {how: digits}, "name": name} for name, (how, digits) in rows.items()
    ]


def in_order(rows: Mapping[str, tuple[str, str]]) -> list[Json]:
    """The same, ascending by name."""
    return registers(dict(sorted(rows.items())))


def keyed(*rows: Json, **changes: Any) -> Json:
    """Changes that give an identity these keys, in their order, and their subject."""
    subject = {row["keyid"]: ("sha256", row["keyid"]) for row in rows}
    return {"keys": list(rows), "/subject": registers(subject), **changes}


def row(owner: SigningKey | bytes, **changes: Any) -> Json:
    """An identity's row of a key (or an SPKI), active."""
    spki = owner if isinstance(owner, bytes) else owner.public.spki
    whole = {"keyid": keyid_of(spki), "key": encode_base64(spki), "status": "active"}
    return {**whole, **changes}


def rows(count: int, **changes: Any) -> list[Json]:
    """So many keys, in order."""
    found = [row(key(f"key {n}"), **changes) for n in range(count)]
    return sorted(found, key=lambda one: one["keyid"])


_DIGEST = {"digest": ("sha256", "1" * 64)}
_PCRS = {f"PCR{n}": ("sha384", f"{n + 1}" * 96) for n in range(3)}
_ARTIFACT = {"platform": "artifact", "identity": [["digest"]]}
_NITRO = {"platform": "aws-nitro", "identity": [["PCR0"]]}
_ZERO, _ONES = ("sha384", "0" * 96), ("sha384", "f" * 96)
_TPM = {"platform": "aws-nitrotpm", "identity": [["PCR4", "PCR12"]]}
_BOOT = {"PCR12": _ZERO, "PCR4": ("sha384", "4" * 96)}
_SGX = {"platform": "intel-sgx", "identity": [["MRENCLAVE"]]}
_ENCLAVE = {"MRENCLAVE": ("sha256", "5" * 64)}
_OF_64 = ("sha256", "0" * 64)
_COMMIT = {"commit": ("gitCommit", COMMIT)}
_ON_SOURCE = {"platform": "source", "identity": [["commit"]]}
_SOURCE = {"uri": URI, "commit": COMMIT}
_DOCUMENT = {"uri": URI, "sha256": A}
_OPEN = {"critical": 0, "high": 0, "medium": 0, "low": 0}
_LAB = {"issuer": "lab.example", "result": "pass", "performed": TIME}
_LATER = "2027-02-21T07:00:00Z"
"""90 days after TIME."""
_HELD = rows(1)[0]

BASES: dict[str, Json] = {
    "release": _statement(
        "release",
        _DIGEST,
        **_ARTIFACT,
        issuer="acme.example",
        product="acme.example/proxy",
        version="1.0.0",
    ),
    "nitro": _statement(
        "revocation", _PCRS, **_NITRO, issuer="acme.example", reason="vulnerable"
    ),
    "tpm": _statement(
        "revocation", _BOOT, **_TPM, issuer="acme.example", reason="vulnerable"
    ),
    "sgx": _statement(
        "revocation", _ENCLAVE, **_SGX, issuer="acme.example", reason="vulnerable"
    ),
    "later": _statement(
        "revocation",
        {"x": ("md", "11")},
        platform="later",
        identity=[["x"]],
        issuer="acme.example",
        reason="vulnerable",
    ),
    "reproduction": _statement(
        "audit", _DIGEST, **_ARTIFACT, **_LAB, scope="reproduction", source=_SOURCE
    ),
    "source-review": _statement(
        "audit", _COMMIT, **_ON_SOURCE, **_LAB, scope="source-review"
    ),
    "controls-review": _statement(
        "audit",
        _DIGEST,
        **_ARTIFACT,
        **_LAB,
        scope="controls-review",
        controls=A,
        expires=_LATER,
    ),
    "unknown-scope": _statement("audit", _DIGEST, **_ARTIFACT, **_LAB, scope="fuzzing"),
    "withdrawal": _statement(
        "revocation",
        _DIGEST,
        **_ARTIFACT,
        issuer="acme.example",
        reason="withdrawn",
        statement=A,
    ),
    "warning": _statement(
        "revocation", _DIGEST, **_ARTIFACT, issuer="acme.example", reason="compromised"
    ),
    "identity": _statement(
        "identity",
        {_HELD["keyid"]: ("sha256", _HELD["keyid"])},
        issuer="registrar",
        name="acme.example",
        signers=[B],
        roles=["provider"],
        keys=[_HELD],
    ),
}
"""A legal statement of each kind; `later` is on a platform that nobody knows."""
_EVERYTHING: Json = {
    "variant": "x86_64",
    "expires": TIME,
    "image": {"sha256": A, "size": 1, "uri": URI},
    "source": _SOURCE,
    "build": {"recipe": _DOCUMENT, "tools": [{"name": "gcc", "sha256": A}]},
    "components": [{"product": "parts.example/x", "sha256": A}],
    "controls": [{"kind": "kms-policy", "sha256": A, "uri": URI}],
    "binding": {"field": "public_key", "kind": "raw-key"},
    "references": [{"kind": "sbom", "uri": URI, "sha256": A}],
    "numbers": {"isv_svn": 1},
}
"""Every optional member of a release."""


def changed(statement: Json, changes: Mapping[str, Any]) -> Json:
    """The same with changes at paths, from its predicate; with a `/`, from the top."""
    new = copy.deepcopy(statement)
    for path, value in changes.items():
        place: Any = new if path.startswith("/") else new["predicate"]
        *above, last = path.removeprefix("/").split(".")
        for step in above:
            place = place[int(step) if isinstance(place, list) else step]
        if value is GONE:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return new


# --- the rules --------------------------------------------------------------------


class Rule(NamedTuple):
    """A clause: what may stand at a path of a base, and what may not, by case id.

    Without a path, each value is itself a mapping of paths to values.
    """

    why: str
    base: str
    path: str = ""
    legal: Mapping[str, Any] = {}
    illegal: Mapping[str, Any] = {}

    def cases(self) -> Iterator[tuple[str, bytes, bool]]:
        """Id, leaf, and whether it is legal."""
        for values, good in ((self.legal, True), (self.illegal, False)):
            for name, value in values.items():
                changes = {self.path: value} if self.path else value
                yield name, leaf(changed(BASES[self.base], changes)), good


_LABELS = "a" * 31 + "." + "b" * 32
_HOST = "https://git.example"
_LONG = f"{_HOST}/{'a' * 236}"

SHAPES = (
    Rule(
        "an origin is 1 to 255 printable ASCII characters without space and +",
        "warning",
        "log",
        {
            "origin-of-one-character": "x",
            "origin-of-255-characters": "x" * 255,
            "origin-of-any-printable-character": "!~*,\"\\/'",
        },
        {
            "origin-empty": "",
            "origin-of-256-characters": "x" * 256,
            "origin-with-space": "log example",
            "origin-with-plus": "log+example",
            "origin-with-del": "log\x7f",
        },
    ),
    Rule(
        "a name is lower-case DNS labels of 1 to 63 of a-z, 0-9 and - (at neither end),"
        " joined by dots, at most 64 characters",
        "warning",
        "issuer",
        {
            "name-of-one-character": "a",
            "name-of-digits": "0.1",
            "name-with-hyphens-inside": "a--b.c-d",
            "name-with-label-of-63": "a" * 63,
            "name-of-64-characters": _LABELS,
        },
        {
            "name-empty": "",
            "name-with-label-of-64": "a" * 64,
            "name-of-65-characters": _LABELS + "b",
            "name-in-upper-case": "Acme.example",
            "name-with-hyphen-first": "-acme.example",
            "name-with-hyphen-last": "acme-.example",
            "name-with-empty-label": "acme..example",
            "name-with-dot-first": ".acme.example",
            "name-with-dot-last": "acme.example.",
            "name-with-underscore": "acme_.example",
        },
    ),
    Rule(
        "a product is <name>/<segment>, a segment [a-z0-9][a-z0-9._-]{0,62}",
        "release",
        "product",
        {
            "segment-of-one-character": "acme.example/0",
            "segment-of-63-characters": "acme.example/" + "x" * 63,
            "segment-with-dot-underscore-hyphen": "acme.example/a._-",
        },
        {
            "segment-empty": "acme.example/",
            "segment-of-64-characters": "acme.example/" + "x" * 64,
            "segment-with-dot-first": "acme.example/.x",
            "segment-with-underscore-first": "acme.example/_x",
            "segment-with-hyphen-first": "acme.example/-x",
            "segment-in-upper-case": "acme.example/X",
            "product-without-segment": "acme.example",
            "product-of-two-segments": "acme.example/a/b",
        },
    ),
    Rule(
        "the part of a component's product before the slash is a name",
        "release",
        "components",
        {"component-of-longest-name": [{"product": f"{_LABELS}/x", "sha256": A}]},
        {
            "component-of-no-name": [{"product": "/x", "sha256": A}],
            "component-of-name-with-empty-label": [{"product": "a..b/x", "sha256": A}],
            "component-of-name-with-hyphen-first": [{"product": "-a/x", "sha256": A}],
            "component-of-label-of-64": [{"product": "a" * 64 + "/x", "sha256": A}],
        },
    ),
    Rule(
        "a version is 1 to 64 of 0-9, A-Z, a-z, dot, underscore and hyphen",
        "release",
        "version",
        {"version-of-64-characters": "0Az._-" + "1" * 58, "version-of-one": "."},
        {
            "version-empty": "",
            "version-of-65-characters": "1" * 65,
            "version-with-plus": "1.0.0+build",
            "version-with-space": "1.0 0",
            "version-with-slash": "1/0",
        },
    ),
    Rule(
        "a time is YYYY-MM-DDTHH:MM:SSZ, a second that exists, from 1970 on",
        "warning",
        "issued",
        {
            "time-first": "1970-01-01T00:00:00Z",
            "time-last": "9999-12-31T23:59:59Z",
            "time-leap-day": "2028-02-29T00:00:00Z",
            "time-leap-day-of-2000": "2000-02-29T00:00:00Z",
        },
        {
            "time-before-1970": "1969-12-31T23:59:59Z",
            "time-leap-day-of-no-leap-year": "2027-02-29T00:00:00Z",
            "time-leap-day-of-2100": "2100-02-29T00:00:00Z",
            "time-second-60": "2016-12-31T23:59:60Z",
            "time-minute-60": "2026-11-23T07:60:00Z",
            "time-hour-24": "2026-11-23T24:00:00Z",
            "time-day-0": "2026-11-00T07:00:00Z",
            "time-month-13": "2026-13-01T07:00:00Z",
            "time-with-fraction": "2026-11-23T07:00:00.0Z",
            "time-with-offset": "2026-11-23T07:00:00+00:00",
            "time-with-space": "2026-11-23 07:00:00Z",
            "time-in-lower-case": "2026-11-23t07:00:00z",
            "time-without-seconds": "2026-11-23T07:00Z",
            "time-as-number": 1_795_417_200,
        },
    ),
    Rule(
        "a sha256 is 64 digits of lower-case hex",
        "withdrawal",
        "statement",
        {},
        {
            "sha256-of-63-digits": "a" * 63,
            "sha256-of-65-digits": "a" * 65,
            "sha256-in-upper-case": "A" * 64,
            "sha256-of-other-letters": "g" * 64,
        },
    ),
    Rule(
        "a commit is 40 or 64 digits of lower-case hex",
        "reproduction",
        "source.commit",
        {"commit-of-64-digits": "a" * 64},
        {
            "commit-of-39-digits": "a" * 39,
            "commit-of-41-digits": "a" * 41,
            "commit-of-65-digits": "a" * 65,
            "commit-in-upper-case": "A" * 40,
        },
    ),
    Rule(
        "a uri is https:// or git+https://, a lower-case host, maybe a port and a path",
        "reproduction",
        "source.uri",
        {
            "uri-of-git": "git+https://git.example/acme",
            "uri-without-path": _HOST,
            "uri-with-port-of-one-digit": f"{_HOST}:1/",
            "uri-with-port-of-five-digits": f"{_HOST}:65535",
            "uri-with-every-character-of-a-path": f"{_HOST}/09AZaz._~!$&'()*+,;=:@%/-",
            "uri-of-256-characters": _LONG,
        },
        {
            "uri-of-257-characters": _LONG + "a",
            "uri-of-http": "http://git.example/",
            "uri-of-ssh": "git+ssh://git.example/",
            "uri-of-upper-case-scheme": "HTTPS://git.example/",
            "uri-of-upper-case-host": "https://Git.example/",
            "uri-without-host": "https:///acme",
            "uri-with-host-of-hyphen-first": "https://-git.example/",
            "uri-with-host-of-underscore": "https://git_.example/",
            "uri-with-port-0": f"{_HOST}:0/",
            "uri-with-port-of-leading-zero": f"{_HOST}:0443/",
            "uri-with-port-of-six-digits": f"{_HOST}:100000/",
            "uri-with-port-empty": f"{_HOST}:/",
            "uri-with-user": "https://acme@git.example/",
            "uri-with-password": "https://acme:x@git.example/",
            "uri-with-query": f"{_HOST}/?a=b",
            "uri-with-fragment": f"{_HOST}/#a",
            "uri-with-space": f"{_HOST}/a b",
            "uri-with-backslash": f"{_HOST}/a\\b",
            "uri-with-bracket": f"{_HOST}/[a]",
        },
    ),
    Rule(
        "a word is [a-z0-9][a-z0-9-]{0,31}; one that is not known is read",
        "unknown-scope",
        "scope",
        {"word-of-one-character": "0", "word-of-32-characters": "a" + "-" * 31},
        {
            "word-empty": "",
            "word-of-33-characters": "a" * 33,
            "word-with-hyphen-first": "-a",
            "word-in-upper-case": "Fuzzing",
            "word-with-underscore": "fuzz_ing",
        },
    ),
    Rule(
        "a platform is [a-z0-9-]{1,32}; one that is not known is read",
        "later",
        "platform",
        {"platform-of-one-character": "-", "platform-of-32-characters": "x" * 32},
        {
            "platform-empty": "",
            "platform-of-33-characters": "x" * 33,
            "platform-in-upper-case": "Later",
            "platform-with-underscore": "la_ter",
        },
    ),
    Rule(
        "a digest is one algorithm, [0-9A-Za-z_]{1,32}, and 2 to 128 hex digits",
        "later",
        "/subject.0.digest",
        {
            "digest-of-2-digits": {"m": "00"},
            "digest-of-128-digits": {"A_9": "0" * 128},
            "digest-of-three-digits": {"md": "123"},
            "digest-algorithm-of-32-characters": {"m" * 32: "00"},
        },
        {
            "digest-of-one-digit": {"md": "0"},
            "digest-of-129-digits": {"md": "0" * 129},
            "digest-algorithm-of-33-characters": {"m" * 33: "00"},
            "digest-algorithm-empty": {"": "00"},
            "digest-algorithm-with-hyphen": {"sha-384": "00"},
            "digest-in-upper-case": {"md": "AA"},
            "digest-of-two-algorithms": {"md": "00", "sha256": "00"},
            "digest-of-no-algorithm": {},
        },
    ),
)


def _named(*names: str) -> list[Json]:
    return registers(dict.fromkeys(names, ("md", "11")))


_MANY = [f"x{n:02}" for n in range(33)]

MEASURED = (
    Rule(
        "a register's name is [0-9A-Za-z_]{1,32}",
        "later",
        "",
        {
            "register-name-of-32": {
                "identity": [["y" * 32]],
                "/subject": _named("y" * 32),
            }
        },
        {
            "register-name-of-33": {
                "identity": [["x"]],
                "/subject": _named("x", "y" * 33),
            },
            "register-name-empty": {"/subject": _named("", "x")},
            "register-name-with-hyphen": {"/subject": _named("a-b", "x")},
            "register-name-of-33-in-identity": {"identity": [["x"], ["y" * 33]]},
        },
    ),
    Rule(
        "a subject is 1 to 32 registers, ascending by name, each name once",
        "later",
        "",
        {"subject-of-32": {"identity": [["x00"]], "/subject": _named(*_MANY[:32])}},
        {
            "subject-of-33": {"identity": [["x00"]], "/subject": _named(*_MANY)},
            "subject-empty": {"/subject": []},
            "subject-not-ascending": {"/subject": _named("y", "x")},
            "subject-of-one-name-twice": {"/subject": _named("x") * 2},
            "subject-ordered-by-number": {
                "identity": [["P2"]],
                "/subject": _named("P2", "P10"),
            },
        },
    ),
    Rule(
        "there is at least one M, and a list that names an absent register gives none",
        "later",
        "identity",
        {"identity-of-one-m-of-two-lists": [["y"], ["x"]]},
        {
            "identity-without-lists": [],
            "identity-of-an-empty-list": [[]],
            "identity-of-an-absent-register": [["y"]],
            "identity-of-one-absent-register": [["x", "y"]],
            "identity-of-names-alone": ["x"],
        },
    ),
    Rule(
        "on a known platform, `identity` is the platform's",
        "nitro",
        "identity",
        {},
        {
            "identity-of-another-register": [["PCR1"]],
            "identity-of-more-registers": [["PCR0", "PCR1"]],
            "identity-of-more-lists": [["PCR0"], ["PCR1"]],
        },
    ),
    Rule(
        "aws-nitro has PCR0 to PCR2, and may have PCR3 and PCR5 to PCR31, of 96 digits",
        "nitro",
        "/subject",
        {
            "nitro-with-pcr3": registers(_PCRS | {"PCR3": _ZERO}),
            "nitro-with-pcr31": registers(_PCRS | {"PCR31": _ZERO}),
            "nitro-with-pcr5": registers(_PCRS | {"PCR5": _ZERO}),
            "nitro-with-one-of-three-not-zero": registers(
                dict.fromkeys(_PCRS, _ZERO) | {"PCR2": ("sha384", "0" * 95 + "1")}
            ),
        },
        {
            "nitro-with-pcr4": registers(_PCRS | {"PCR4": _ZERO}),
            "nitro-with-pcr32": registers(_PCRS | {"PCR32": _ZERO}),
            "nitro-with-pcr03": registers(
                {"PCR0": _PCRS["PCR0"], "PCR03": _ZERO} | _PCRS
            ),
            "nitro-with-lower-case-pcr": registers(_PCRS | {"pcr3": _ZERO}),
            "nitro-of-sha256": registers(_PCRS | {"PCR2": ("sha256", "1" * 64)}),
            "nitro-of-95-digits": registers(_PCRS | {"PCR2": ("sha384", "1" * 95)}),
            "nitro-of-97-digits": registers(_PCRS | {"PCR2": ("sha384", "1" * 97)}),
            "nitro-of-debug-mode": registers(dict.fromkeys(_PCRS, _ZERO)),
            "nitro-of-ones": registers(dict.fromkeys(_PCRS, _ONES)),
            "nitro-of-zeros-and-ones": registers(
                dict.fromkeys(_PCRS, _ZERO) | {"PCR2": _ONES}
            ),
            **{
                f"nitro-without-{name.lower()}": registers(
                    {other: one for other, one in _PCRS.items() if other != name}
                )
                for name in _PCRS
            },
        },
    ),
    Rule(
        "aws-nitrotpm has PCR4 and PCR12, and may have PCR2, 3, 5, 6 and 7; PCR4 is not"
        " all zeros, nor all ones",
        "tpm",
        "/subject",
        {
            "tpm-with-pcr7": in_order(_BOOT | {"PCR7": _ZERO}),
            "tpm-with-all-that-may-be": in_order(
                _BOOT | dict.fromkeys(("PCR2", "PCR3", "PCR5", "PCR6", "PCR7"), _ONES)
            ),
            "tpm-with-pcr12-not-zero": in_order(_BOOT | {"PCR12": _BOOT["PCR4"]}),
            "tpm-with-pcr12-of-ones": in_order(_BOOT | {"PCR12": _ONES}),
            "tpm-with-pcr4-of-zeros-but-a-digit": in_order(
                _BOOT | {"PCR4": ("sha384", "0" * 95 + "1")}
            ),
            "tpm-with-pcr4-of-ones-but-a-digit": in_order(
                _BOOT | {"PCR4": ("sha384", "f" * 95 + "e")}
            ),
        },
        {
            "tpm-with-pcr4-of-zeros": in_order(_BOOT | {"PCR4": _ZERO}),
            "tpm-with-pcr4-of-ones": in_order(_BOOT | {"PCR4": _ONES}),
            "tpm-without-pcr4": in_order({"PCR12": _BOOT["PCR4"]}),
            "tpm-without-pcr12": in_order({"PCR4": _BOOT["PCR4"]}),
            "tpm-of-sha256": in_order(_BOOT | {"PCR12": ("sha256", "1" * 64)}),
            "tpm-of-95-digits": in_order(_BOOT | {"PCR4": ("sha384", "1" * 95)}),
            "tpm-with-mrenclave": in_order(_BOOT | _ENCLAVE),
            **{
                f"tpm-with-pcr{number}": in_order(
                    _BOOT | {f"PCR{number}": _BOOT["PCR4"]}
                )
                for number in (0, 1, *range(8, 12), *range(13, 24), 24)
            },
        },
    ),
    Rule(
        "aws-nitrotpm's identity is PCR4 with PCR12, whatever else is there",
        "tpm",
        "identity",
        {},
        {
            "tpm-identity-of-pcr4": [["PCR4"]],
            "tpm-identity-in-another-order": [["PCR12", "PCR4"]],
            "tpm-identity-of-two-lists": [["PCR4"], ["PCR12"]],
        },
    ),
    Rule(
        "intel-sgx has MRENCLAVE, and may have MRSIGNER, of 64 digits; MRENCLAVE is not"
        " all zeros, nor all ones",
        "sgx",
        "/subject",
        {
            "sgx-with-mrsigner": in_order(_ENCLAVE | {"MRSIGNER": ("sha256", A)}),
            "sgx-with-mrsigner-of-zeros": in_order(_ENCLAVE | {"MRSIGNER": _OF_64}),
        },
        {
            "sgx-of-mrsigner-alone": in_order({"MRSIGNER": ("sha256", A)}),
            "sgx-of-zeros": in_order({"MRENCLAVE": _OF_64}),
            "sgx-of-ones": in_order({"MRENCLAVE": ("sha256", "f" * 64)}),
            "sgx-of-zeros-with-mrsigner": in_order(
                {"MRENCLAVE": _OF_64, "MRSIGNER": ("sha256", A)}
            ),
            "sgx-of-sha384": in_order({"MRENCLAVE": ("sha384", "5" * 96)}),
            "sgx-of-63-digits": in_order({"MRENCLAVE": ("sha256", "5" * 63)}),
            "sgx-in-lower-case": in_order({"mrenclave": _ENCLAVE["MRENCLAVE"]}),
            "sgx-with-a-number": in_order(_ENCLAVE | {"ISVSVN": ("n", "02")}),
            "sgx-with-pcr0": in_order(_ENCLAVE | {"PCR0": _BOOT["PCR4"]}),
        },
    ),
    Rule(
        "intel-sgx's identity is MRENCLAVE: a signer alone is not what runs",
        "sgx",
        "identity",
        {},
        {
            "sgx-identity-of-mrsigner": [["MRSIGNER"]],
            "sgx-identity-of-either": [["MRENCLAVE"], ["MRSIGNER"]],
            "sgx-identity-of-both": [["MRENCLAVE", "MRSIGNER"]],
        },
    ),
    Rule(
        "an artifact has exactly one register, `digest`, sha256, 64 digits, not all 0",
        "warning",
        "/subject",
        {"artifact-not-zero": registers({"digest": ("sha256", "0" * 63 + "1")})},
        {
            "artifact-of-zeros": registers({"digest": ("sha256", "0" * 64)}),
            "artifact-of-ones": registers({"digest": ("sha256", "f" * 64)}),
            "artifact-of-two-registers": registers(_DIGEST | {"x": ("sha256", A)}),
            "artifact-of-sha384": registers({"digest": ("sha384", "1" * 96)}),
            "artifact-of-63-digits": registers({"digest": ("sha256", "1" * 63)}),
            "artifact-of-another-name": registers({"sha256": ("sha256", A)}),
        },
    ),
    Rule(
        "source has exactly one register, `commit`, gitCommit, 40 or 64 digits, not all"
        " zero",
        "source-review",
        "/subject",
        {"source-of-64-digits": registers({"commit": ("gitCommit", A)})},
        {
            "source-of-zeros": registers({"commit": ("gitCommit", "0" * 40)}),
            "source-of-ones": registers({"commit": ("gitCommit", "f" * 40)}),
            "source-of-64-zeros": registers({"commit": ("gitCommit", "0" * 64)}),
            "source-of-41-digits": registers({"commit": ("gitCommit", "1" * 41)}),
            "source-of-sha1": registers({"commit": ("sha1", COMMIT)}),
            "source-of-two-registers": registers(
                _COMMIT | {"x": ("gitCommit", COMMIT)}
            ),
        },
    ),
    Rule(
        "a release is of a measured platform, not of source",
        "source-review",
        "",
        {},
        {
            "release-of-source": {
                "/predicateType": "urn:pcrlog:release:v1",
                "product": "lab.example/x",
                "version": "1",
                **dict.fromkeys(("scope", "result", "performed"), GONE),
            }
        },
    ),
    Rule(
        "an identity releases only under its own name",
        "release",
        "product",
        {},
        {"release-under-another-name": "parts.example/proxy"},
    ),
    Rule(
        "_type is https://in-toto.io/Statement/v1",
        "release",
        "/_type",
        {},
        {
            "type-of-another-version": "https://in-toto.io/Statement/v0.1",
            "type-empty": "",
        },
    ),
)


Row = tuple[str, ...]


def _set(names: str, found: tuple[Row, ...]) -> list[Json]:
    return [dict(zip(names.split(), values, strict=False)) for values in found]


def _parts(*found: Row) -> list[Json]:
    return _set("product sha256", found)


def _controls(*found: Row) -> list[Json]:
    return _set("kind sha256 uri", found)


def _references(*found: Row) -> list[Json]:
    return _set("kind uri sha256", found)


def _tools(*found: Row) -> Json:
    return {"recipe": _DOCUMENT, "tools": _set("name sha256", found)}


_P, _Q = "acme.example/p", "acme.example/q"
_DIGESTS = [f"{n:064x}" for n in range(65)]

RELEASES = (
    Rule(
        "expires is a time",
        "release",
        "expires",
        {"release-that-expires": TIME},
        {"expires-on-no-day": "2027-02-29T00:00:00Z", "expires-as-number": 1},
    ),
    Rule(
        "a set may be empty, and so may numbers",
        "release",
        "",
        {
            "controls-empty": {"controls": []},
            "references-empty": {"references": []},
            "tools-empty": {"build": {"recipe": _DOCUMENT, "tools": []}},
            "numbers-empty": {"numbers": {}},
        },
    ),
    Rule(
        "a variant is [a-z0-9_]{1,16}",
        "release",
        "variant",
        {"variant-of-16-characters": "x86_64" + "a" * 10},
        {
            "variant-of-17-characters": "a" * 17,
            "variant-empty": "",
            "variant-with-hyphen": "x86-64",
        },
    ),
    Rule(
        "components are a set by product, sha256",
        "release",
        "components",
        {
            "components-empty": [],
            "components-of-32": _parts(*((_P, one) for one in _DIGESTS[:32])),
            "components-by-product-first": _parts((_P, B), (_Q, A)),
        },
        {
            "components-of-33": _parts(*((_P, one) for one in _DIGESTS[:33])),
            "components-not-sorted": _parts((_Q, A), (_P, A)),
            "components-not-sorted-by-sha256": _parts((_P, B), (_P, A)),
            "component-twice": _parts((_P, A), (_P, A)),
        },
    ),
    Rule(
        "controls are a set by kind, sha256, uri, an absent uri before any",
        "release",
        "controls",
        {
            "controls-of-32": _controls(*(("k", one) for one in _DIGESTS[:32])),
            "controls-without-uri-first": _controls(("k", A), ("k", A, URI)),
            "controls-by-sha256-before-uri": _controls(("k", A, URI), ("k", B)),
        },
        {
            "controls-of-33": _controls(*(("k", one) for one in _DIGESTS[:33])),
            "controls-without-uri-last": _controls(("k", A, URI), ("k", A)),
            "controls-not-sorted-by-kind": _controls(("l", A), ("k", B)),
            "control-twice": _controls(("k", A), ("k", A)),
            "control-of-no-word": _controls(("kms_policy", A)),
        },
    ),
    Rule(
        "references are a set by kind, uri, sha256",
        "release",
        "references",
        {
            **{
                f"reference-of-{kind}": _references((kind, URI, A))
                for kind in (
                    "slsa-provenance",
                    "sbom",
                    "vex",
                    "advisory",
                    "release-notes",
                    "build-log",
                )
            },
            "references-of-16": _references(
                *(("vex", URI, one) for one in _DIGESTS[:16])
            ),
            "references-by-uri-before-sha256": _references(
                ("vex", URI, B), ("vex", f"{URI}/a", A)
            ),
        },
        {
            "references-of-17": _references(
                *(("vex", URI, one) for one in _DIGESTS[:17])
            ),
            "references-not-sorted": _references(("vex", URI, A), ("sbom", URI, A)),
            "reference-twice": _references(*(("vex", URI, A),) * 2),
            "reference-of-unknown-kind": _references(("blog", URI, A)),
        },
    ),
    Rule(
        "tools are a set of at most 64 by name, sha256; a name is"
        " [0-9A-Za-z._+@/:-]{1,64}",
        "release",
        "build",
        {
            "build-without-tools": {"recipe": _DOCUMENT},
            "tools-of-64": _tools(*(("c", one) for one in _DIGESTS[:64])),
            "tool-name-of-64-characters": _tools(("09AZaz._+@/:-" + "x" * 51, A)),
        },
        {
            "build-without-recipe": {"tools": []},
            "tools-of-65": _tools(*(("c", one) for one in _DIGESTS)),
            "tool-name-of-65-characters": _tools(("x" * 65, A)),
            "tool-name-with-space": _tools(("gcc 13", A)),
            "tools-not-sorted": _tools(("ld", A), ("cc", A)),
            "tool-twice": _tools(("cc", A), ("cc", A)),
        },
    ),
    Rule(
        "numbers are at most 16 integers, named [0-9A-Za-z_]{1,32}",
        "release",
        "numbers",
        {
            "numbers-of-16": {f"n{n:02}": n for n in range(16)},
            "number-name-of-32-characters": {"n" * 32: 0},
            "numbers-sorted-as-bytes": {"B": 1, "_": 2, "a": 3},
        },
        {
            "numbers-of-17": {f"n{n:02}": n for n in range(17)},
            "number-name-of-33-characters": {"n" * 33: 0},
            "number-name-empty": {"": 0},
            "number-name-with-hyphen": {"a-b": 0},
            "number-of-2-to-the-53": {"n": 2**53},
            "number-as-string": {"n": "1"},
        },
    ),
    Rule(
        "a binding's field is public_key or user_data; its kind tls-spki-sha256,"
        " tls-cert-sha256 or raw-key",
        "release",
        "binding",
        {
            "binding-of-user-data-and-spki": {
                "field": "user_data",
                "kind": "tls-spki-sha256",
            },
            "binding-of-public-key-and-certificate": {
                "field": "public_key",
                "kind": "tls-cert-sha256",
            },
        },
        {
            "binding-of-the-nonce": {"field": "nonce", "kind": "raw-key"},
            "binding-of-unknown-kind": {"field": "user_data", "kind": "ssh"},
        },
    ),
)

_ON_NITRO: Json = {**_NITRO, "/subject": registers(_PCRS)}
_OF_SOURCE: Json = {**_ON_SOURCE, "/subject": registers(_COMMIT)}

AUDITS = (
    Rule(
        "a result is pass, qualified or fail",
        "source-review",
        "result",
        {"result-fail": "fail"},
        {"result-unknown": "maybe", "result-in-upper-case": "Pass"},
    ),
    Rule(
        "open: exactly when qualified; qualified in reviews only",
        "source-review",
        "",
        {"qualified-with-open": {"result": "qualified", "open": _OPEN}},
        {
            "qualified-without-open": {"result": "qualified"},
            "pass-with-open": {"open": _OPEN},
            "fail-with-open": {"result": "fail", "open": _OPEN},
            "open-with-unknown-severity": {
                "result": "qualified",
                "open": {**_OPEN, "severe": 0},
            },
            "open-without-low": {
                "result": "qualified",
                "open": {"critical": 0, "high": 0, "medium": 0},
            },
        },
    ),
    Rule(
        "a reproduction has a source, and is a pass or a fail",
        "reproduction",
        "",
        {
            "reproduction-of-nitro": {**_ON_NITRO},
            "reproduction-with-everything": {
                "recipe": A,
                "components": B,
                "report": _DOCUMENT,
                "expires": TIME,
            },
        },
        {
            "reproduction-without-source": {"source": GONE},
            "reproduction-performed-on-no-day": {"performed": "2027-02-29T00:00:00Z"},
            "reproduction-that-expires-on-no-day": {"expires": "2027-02-29T00:00:00Z"},
            "reproduction-with-recipe-as-document": {"recipe": _DOCUMENT},
            "reproduction-qualified": {"result": "qualified", "open": _OPEN},
            "reproduction-of-source": {**_OF_SOURCE},
            "reproduction-with-basis": {"basis": {"commit": COMMIT, "sha256": A}},
            "reproduction-with-controls": {"controls": A},
        },
    ),
    Rule(
        "found: exactly in a failed reproduction, of the platform's registers, none of"
        " them required, never those of debug mode",
        "reproduction",
        "",
        {
            "found-nothing": {"result": "fail", "found": []},
            "found-another": {
                "result": "fail",
                "found": registers({"digest": ("sha256", "2" * 64)}),
            },
            "found-one-register-of-three": {
                **_ON_NITRO,
                "result": "fail",
                "found": registers({"PCR1": _ZERO}),
            },
        },
        {
            "fail-without-found": {"result": "fail"},
            "pass-with-found": {"found": []},
            "found-of-another-platform": {"result": "fail", "found": registers(_PCRS)},
            "found-not-ascending": {
                **_ON_NITRO,
                "result": "fail",
                "found": registers(dict(reversed(_PCRS.items()))),
            },
            "found-of-pcr4": {
                **_ON_NITRO,
                "result": "fail",
                "found": registers({"PCR4": _PCRS["PCR0"]}),
            },
            "found-of-debug-mode": {
                **_ON_NITRO,
                "result": "fail",
                "found": registers(dict.fromkeys(_PCRS, _ZERO)),
            },
        },
    ),
    Rule(
        "a source-review is about source, may have a basis, and has neither source,"
        " components, controls nor found",
        "source-review",
        "",
        {
            "source-review-with-basis": {"basis": {"commit": COMMIT, "sha256": A}},
            "source-review-that-expires": {"expires": TIME},
            "source-review-with-recipe-and-report": {"recipe": A, "report": _DOCUMENT},
        },
        {
            "source-review-of-artifact": {**_ARTIFACT, "/subject": registers(_DIGEST)},
            "source-review-with-source": {"source": _SOURCE},
            "source-review-with-components": {"components": A},
            "source-review-with-controls": {"controls": A},
            "source-review-with-found": {"result": "fail", "found": []},
        },
    ),
    Rule(
        "a controls-review has controls, and no source, basis or components",
        "controls-review",
        "",
        {
            "controls-review-failed": {"result": "fail", "expires": GONE},
            "controls-review-qualified": {"result": "qualified", "open": _OPEN},
        },
        {
            "controls-review-without-controls": {"controls": GONE},
            "controls-review-with-source": {"source": _SOURCE},
            "controls-review-with-basis": {"basis": {"commit": COMMIT, "sha256": A}},
            "controls-review-with-components": {"components": A},
            "controls-review-of-source": {**_OF_SOURCE},
        },
    ),
    Rule(
        "a fail never expires; another controls-review does, 90 days after performed at"
        " most",
        "controls-review",
        "",
        {"controls-review-of-90-days": {"expires": _LATER}},
        {
            "controls-review-of-90-days-and-a-second": {
                "expires": "2027-02-21T07:00:01Z"
            },
            "controls-review-without-expires": {"expires": GONE},
            "controls-review-qualified-without-expires": {
                "result": "qualified",
                "open": _OPEN,
                "expires": GONE,
            },
            "controls-review-failed-that-expires": {"result": "fail"},
        },
    ),
    Rule(
        "in an audit of an unknown scope, what depends on the scope does not apply",
        "unknown-scope",
        "",
        {
            "unknown-scope-with-everything": {
                "source": _SOURCE,
                "basis": {"commit": COMMIT, "sha256": A},
                "components": A,
                "controls": A,
            },
            "unknown-scope-of-source": {**_OF_SOURCE},
            "unknown-scope-qualified": {"result": "qualified", "open": _OPEN},
            "unknown-scope-failed": {"result": "fail"},
        },
        {
            "unknown-scope-qualified-without-open": {"result": "qualified"},
            "unknown-scope-failed-that-expires": {"result": "fail", "expires": TIME},
            "unknown-scope-with-unknown-member": {"extra": 1},
        },
    ),
)

_BARRED: dict[str, Json] = {
    "with-statement": {"statement": A},
    "with-effective": {"effective": TIME},
    "of-source": {**_OF_SOURCE},
}

REVOCATIONS = (
    Rule(
        "withdrawn, erroneous, superseded name a statement, and may have `effective`",
        "withdrawal",
        "",
        {
            "withdrawn-from-a-time-on": {"effective": TIME},
            "erroneous": {"reason": "erroneous"},
            "superseded": {"reason": "superseded", "reference": _DOCUMENT},
            "withdrawn-of-source": {**_OF_SOURCE},
        },
        {
            f"{reason}-without-statement": {"reason": reason, "statement": GONE}
            for reason in ("withdrawn", "erroneous", "superseded")
        }
        | {"withdrawn-from-no-day-on": {"effective": "2027-02-29T00:00:00Z"}},
    ),
    Rule(
        "compromised and vulnerable have no statement, no effective, and are not for"
        " source",
        "warning",
        "",
        {"vulnerable": {"reason": "vulnerable", "reference": _DOCUMENT}},
        {
            f"{reason}-{word}": {"reason": reason, **changes}
            for reason in ("compromised", "vulnerable")
            for word, changes in _BARRED.items()
        },
    ),
    Rule(
        "a reason that is not known is read, with a statement or without",
        "warning",
        "",
        {
            "unknown-reason": {"reason": "stolen"},
            "unknown-reason-with-statement": {"reason": "stolen", "statement": A},
        },
    ),
)

_REGISTRAR = {"name": "registrar", "roles": []}
_ROOT = {**_HELD, "use": "root"}
_TWO = rows(2)
_P384 = bytes.fromhex("300d300806062a0304050607030100")
"""A key of an algorithm that does not exist."""

IDENTITIES = (
    Rule(
        "roles are a set of auditor and provider, empty for the registrar",
        "identity",
        "",
        {
            "roles-none": {"roles": []},
            "roles-both": {"roles": ["auditor", "provider"]},
            "registrar-without-roles": {**_REGISTRAR, **keyed(_ROOT)},
        },
        {
            "roles-not-sorted": {"roles": ["provider", "auditor"]},
            "role-twice": {"roles": ["auditor", "auditor"]},
            "role-unknown": {"roles": ["witness"]},
            "registrar-with-role": {**_REGISTRAR, **keyed(_ROOT), "roles": ["auditor"]},
        },
    ),
    Rule(
        "signers are a set of 1 or 2 keyids",
        "identity",
        "signers",
        {"signers-two": [A, B]},
        {
            "signers-none": [],
            "signers-three": [A, B, C],
            "signers-not-sorted": [B, A],
            "signer-twice": [A, A],
            "signer-in-upper-case": [A.upper()],
        },
    ),
    Rule(
        "previous is the sha256 of an identity",
        "identity",
        "previous",
        {"previous-of-64-digits": A},
        {"previous-of-63-digits": A[1:], "previous-as-index": 0},
    ),
    Rule(
        "issuer is `registrar`, or the name",
        "identity",
        "issuer",
        {"issuer-the-name": "acme.example"},
        {"issuer-of-another-name": "lab.example"},
    ),
    Rule(
        "keys are a set of 1 to 16 by keyid, and the subject has one register a key",
        "identity",
        "",
        {"keys-of-16": keyed(*rows(16))},
        {
            "keys-of-17": keyed(*rows(17)),
            "keys-none": {"keys": []},
            "keys-not-sorted": {**keyed(*_TWO), "keys": _TWO[::-1]},
            "key-twice": {**keyed(_HELD), "keys": [_HELD, _HELD]},
            "subject-without-a-key": {
                **keyed(*_TWO),
                "/subject": keyed(_TWO[0])["/subject"],
            },
            "subject-with-another-key": {**keyed(*_TWO), "keys": _TWO[:1]},
            "subject-of-another-digest": {
                "/subject": registers({_HELD["keyid"]: ("sha256", A)})
            },
            "subject-of-another-algorithm": {
                "/subject": registers({_HELD["keyid"]: ("sha512", _HELD["keyid"])})
            },
        },
    ),
    Rule(
        "a keyid is H of the key, a key is an SPKI in base64",
        "identity",
        "",
        {"key-of-unknown-algorithm": keyed(row(_P384))},
        {
            "keyid-of-another-key": keyed({**_HELD, "keyid": A}),
            "key-of-no-spki": keyed(row(b"key")),
            "key-of-small-order": keyed(
                row(bytes.fromhex("302a300506032b6570032100") + b"\1" + bytes(31))
            ),
            "key-of-513-bytes": keyed(row(b"\x30" * 513)),
            "key-not-base64": {"keys.0.key": "-_-_"},
        },
    ),
    Rule(
        "a status is active, retired or compromised; only the last may have `since`",
        "identity",
        "",
        {
            "key-retired": keyed({**_HELD, "status": "retired"}),
            "key-compromised": keyed({**_HELD, "status": "compromised"}),
            "key-compromised-since": keyed(
                {**_HELD, "status": "compromised", "since": 2**53 - 1}
            ),
        },
        {
            "key-of-unknown-status": keyed({**_HELD, "status": "lost"}),
            "key-active-since": keyed({**_HELD, "since": 0}),
            "key-retired-since": keyed({**_HELD, "status": "retired", "since": 0}),
        },
    ),
    Rule(
        "`use` is root or enrol, exactly on the registrar's keys",
        "identity",
        "",
        {"registrars-key-to-enrol": {**_REGISTRAR, **keyed({**_HELD, "use": "enrol"})}},
        {
            "registrars-key-without-use": {**_REGISTRAR, **keyed(_HELD)},
            "registrars-key-of-unknown-use": {
                **_REGISTRAR,
                **keyed({**_HELD, "use": "seal"}),
            },
            "key-with-use": keyed({**_HELD, "use": "enrol"}),
        },
    ),
)


# --- one spelling -----------------------------------------------------------------


def _in(old: str, new: str, base: str = "release", **changes: Any) -> bytes:
    """A payload with one place spelled in another way."""
    payload = compact(changed(BASES[base], changes))
    assert payload.count(old.encode()) == 1, old
    return payload.replace(old.encode(), new.encode(errors="surrogatepass"))


def _size(spelling: str) -> bytes:
    """A number in another spelling."""
    return _in('"size":7', f'"size":{spelling}', image={"sha256": A, "size": 7})


def _log(spelling: str) -> bytes:
    """A string in another spelling."""
    return _in('"x"', f'"{spelling}"', "warning", log="x")


_PLAIN = compact(BASES["release"])
_VERSION = '"version":"1.0.0"'
_PRODUCT = '"product":"acme.example/proxy"'
_NUMBERS = "numbers are integers 0 to 2^53-1, in digits"
_STRINGS = "strings hold printable ASCII; the only escapes are of quote and backslash"
_ONE = "what decodes and encodes again to something else is refused"
SPELLINGS: Mapping[str, Mapping[str, bytes]] = {
    "members are sorted by name, each once, without white space": {
        "members-not-sorted": _in(f"{_PRODUCT},{_VERSION}", f"{_VERSION},{_PRODUCT}"),
        "member-twice": _in(_VERSION, f"{_VERSION},{_VERSION}"),
        "member-twice-with-other-values": _in(_VERSION, f'"version":"0",{_VERSION}'),
        "member-twice-in-a-record": _in('{"sha256":', f'{{"sha256":"{A}","sha256":'),
        "space-after-colon": _in(_VERSION, '"version": "1.0.0"'),
        "space-after-comma": _in(f",{_VERSION}", f", {_VERSION}"),
        "space-in-list": _in('[["digest"]]', '[ ["digest"]]'),
        "tab-between": _in(f",{_VERSION}", f",\t{_VERSION}"),
        "newline-after": _PLAIN + b"\n",
        "space-before": b" " + _PLAIN,
    },
    _ONE: {
        "nul-after": _PLAIN + b"\0",
        "object-after": _PLAIN + b"{}",
        "byte-order-mark": b"\xef\xbb\xbf" + _PLAIN,
        "utf-16": b"\xff\xfe" + _PLAIN.decode().encode("utf-16-le"),
        "comma-after-the-last": _in(_VERSION, f"{_VERSION},"),
        "single-quotes": _in(_VERSION, "'version':'1.0.0'"),
        "comment": _in(_VERSION, f"{_VERSION}/**/"),
        "payload-empty": b"",
        "payload-of-null": b"null",
        "payload-of-a-list": b"[]",
        "payload-of-no-member": b"{}",
        "payload-deep": b"[" * 5000,
    },
    _STRINGS: {
        "quote-as-u0022": _log(r"\u0022"),
        "backslash-as-u005c": _log(r"\u005c"),
        "slash-escaped": _in("acme.example/proxy", r"acme.example\/proxy"),
        "letter-as-escape": _log(r"\u0078"),
        "name-of-member-as-escape": _in('"version"', r'"v\u0065rsion"'),
        "newline-escaped": _log(r"x\n"),
        "newline-as-escape": _log(r"x\u000a"),
        "control-as-escape": _log(r"x\u0001"),
        "del-as-escape": _log(r"x\u007f"),
        "del-as-it-is": _log("x\x7f"),
        "control-as-it-is": _log("x\x01"),
        "newline-as-it-is": _log("x\n"),
        "umlaut-as-it-is": _log("x\xe4"),
        "umlaut-as-escape": _log(r"x\u00e4"),
        "surrogate-as-escape": _log(r"x\ud800"),
        "surrogate-as-it-is": _log("x\ud800"),
        "not-utf-8": _log("x?").replace(b"x?", b"x\xff"),
    },
    _NUMBERS: {
        "number-2-to-the-53": _size("9007199254740992"),
        "number-2-to-the-64": _size("18446744073709551616"),
        "number-of-40-digits": _size("1" * 40),
        "number-minus-1": _size("-1"),
        "number-minus-0": _size("-0"),
        "number-with-plus": _size("+1"),
        "number-with-leading-zero": _size("01"),
        "number-with-fraction-of-0": _size("1.0"),
        "number-with-fraction": _size("1.5"),
        "number-with-exponent": _size("1e3"),
        "number-with-exponent-of-0": _size("1E0"),
        "number-in-hex": _size("0x1"),
        "number-as-string": _size('"1"'),
        "number-as-true": _size("true"),
        "number-nan": _size("NaN"),
        "number-infinity": _size("Infinity"),
    },
}
"""Why, id, and a statement that is not in its one spelling."""
SPELLED: Mapping[str, Mapping[str, bytes]] = {
    _ONE: {"plain": _PLAIN},
    _STRINGS: {"quote-escaped": _log(r"\""), "backslash-escaped": _log(r"\\")},
    _NUMBERS: {"number-0": _size("0"), "number-largest": _size("9007199254740991")},
}
"""The same of some that are."""


def _envelopes() -> Iterator[tuple[str, str, bytes | Json, str]]:
    """Id, why, an envelope, and what it comes to, or the empty word if it is legal."""
    good = wrap(PAYLOAD)
    plain = compact(good)
    whole = "an envelope has exactly payload, payloadType and signatures"
    base64 = "base64 is padded, of the standard alphabet, with zero bits at its end"
    [sign] = good["signatures"]
    yield "envelope-plain", whole, good, ""
    yield "envelope-with-keyid-of-63", whole, wrap(PAYLOAD, A[1:]), MALFORMED
    yield (
        "envelope-with-keyid-in-upper-case",
        whole,
        wrap(PAYLOAD, A.upper()),
        MALFORMED,
    )
    for name in good:
        less = {other: value for other, value in good.items() if other != name}
        yield f"envelope-without-{name.lower()}", whole, less, MALFORMED
        yield (
            f"envelope-with-null-{name.lower()}",
            whole,
            good | {name: None},
            MALFORMED,
        )
    yield "envelope-with-unknown-member", whole, good | {"extra": 1}, MALFORMED
    for name, one in {
        "unknown-member-in-signature": {**sign, "extra": 1},
        "signature-without-keyid": {"sig": "AAAA"},
        "signature-without-sig": {"keyid": A},
        "signature-of-null": None,
    }.items():
        yield name, whole, good | {"signatures": [one]}, MALFORMED
    for name, text in {
        "other": "application/json",
        "in-upper-case": TYPE.upper(),
        "with-parameter": f"{TYPE};charset=utf-8",
    }.items():
        changes = {"payloadType": text}
        yield (
            f"payload-type-{name}",
            f"payloadType is {TYPE}",
            good | changes,
            MALFORMED,
        )
    start, after = plain[:1], plain[1:]
    for name, data in {
        "space-inside": start + b" " + after,
        "newline-after": plain + b"\n",
        "object-after": plain + b"{}",
        "escaped-slash": plain.replace(b"application/", b"application\\/"),
        "escaped-plus": plain.replace(b"+json", b"\\u002bjson"),
        "members-not-sorted": plain.replace(
            b',"payloadType":"' + TYPE.encode() + b'"', b""
        ).replace(b"{", b'{"payloadType":"' + TYPE.encode() + b'",', 1),
        "member-twice": plain.replace(b"{", b'{"payload":"e30=",', 1),
    }.items():
        yield f"envelope-{name}", _ONE, data, MALFORMED
    kinds = "a leaf begins with { or p; any other is of a kind that is not known"
    yield "envelope-after-byte-order-mark", kinds, b"\xef\xbb\xbf" + plain, UNCHECKED
    yield "envelope-after-space", kinds, b" " + plain, UNCHECKED
    yield "leaf-of-unknown-kind", kinds, b"x", UNCHECKED
    short = encode_base64(b"\x01")
    for name, sig in {
        "unpadded": short.rstrip("="),
        "padded-too-much": short + "=",
        "with-bits-at-its-end": "AR==",
        "of-the-url-alphabet": "-_-_",
        "with-newline": "AAAA\n",
        "with-space": "AA AA",
        "with-junk": "AA*AA",
    }.items():
        yield f"sig-{name}", base64, wrap(PAYLOAD, sig=sig), MALFORMED
    yield "sig-padded", base64, wrap(PAYLOAD, sig=short), ""
    longer = [changed(BASES["release"], {"version": "1" * n}) for n in (1, 2, 3)]
    text = next(found for found in map(_payload, longer) if found.endswith("=="))
    bits = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    for name, payload, word in (
        ("padded", text, ""),
        ("unpadded", text.rstrip("="), MALFORMED),
        ("with-bits-at-its-end", bits, MALFORMED),
        ("with-newline", text + "\n", MALFORMED),
    ):
        yield f"payload-{name}", base64, good | {"payload": payload}, word
    yield from _signatures()
    yield from _sizes()


def _payload(statement: Json) -> str:
    return encode_base64(compact(statement))


def _signatures() -> Iterator[tuple[str, str, Json, str]]:
    why = "there is one signature; an identity has those of its signers, ascending"
    identity = compact(BASES["identity"])
    two = compact(changed(BASES["identity"], {"signers": [A, B]}))
    none: list[Json] = []
    yield "signatures-none", why, wrap(PAYLOAD) | {"signatures": none}, MALFORMED
    yield "signatures-two-on-a-release", why, wrap(PAYLOAD, A, B), MALFORMED
    yield "signatures-three-on-a-release", why, wrap(PAYLOAD, A, B, C), MALFORMED
    yield "signatures-two-on-an-identity", why, wrap(two, A, B), ""
    yield "signatures-not-ascending", why, wrap(two, B, A), MALFORMED
    yield "signatures-three-on-an-identity", why, wrap(two, A, B, C), MALFORMED
    yield "signature-of-one-key-twice", why, wrap(two, A, A), MALFORMED
    yield "signature-of-a-signer-missing", why, wrap(two, A), MALFORMED
    yield "signature-of-no-signer", why, wrap(identity, A), MALFORMED
    yield "signature-beyond-the-signers", why, wrap(identity, A, B), MALFORMED


def _sizes() -> Iterator[tuple[str, str, bytes, str]]:
    """An envelope's length is a multiple of four, if it has one signature."""
    why = "an envelope has at most 32,768 bytes"
    for most, word in ((32_768, ""), (32_772, MALFORMED)):
        rows = [{"kind": "vex", "uri": _HOST, "sha256": one} for one in _DIGESTS[:16]]
        controls = [{"kind": "k", "uri": _LONG, "sha256": one} for one in _DIGESTS[:32]]
        tools = [{"name": "c", "sha256": one} for one in _DIGESTS[:64]]
        parts = [{"product": _P, "sha256": one} for one in _DIGESTS[:32]]
        large = {
            "components": parts,
            "controls": controls,
            "references": rows,
            "build": {"recipe": _DOCUMENT, "tools": tools},
        }
        statement = changed(BASES["release"], large)
        spare = (most - len(compact(wrap(b"")))) // 4 * 3 - len(compact(statement))
        # The last first: references are sorted by their uri.
        for one in reversed(rows):
            taken = min(236, spare)
            one["uri"] += "/" * taken
            spare -= taken
        statement = changed(BASES["release"], large)
        data = leaf(statement)
        assert (len(data), spare) == (most, 0), (len(data), spare)
        yield f"envelope-of-{most}-bytes", why, data, word


def canonical() -> Family:
    """Each clause of the one spelling, of payload and envelope."""
    family = Family("canonical", "Statements have one spelling (section 2.1).")
    for table, outcome in ((SPELLED, {"measurements": [_M]}), (SPELLINGS, MALFORMED)):
        for why, payloads in table.items():
            for name, payload in payloads.items():
                data = compact(wrap(payload))
                family.case(name, why, "statement", outcome, leaf=data)
    for name, why, given, word in _envelopes():
        data = given if isinstance(given, bytes) else compact(given)
        family.case(name, why, "statement", word or {}, leaf=data)
    return family


_M = f"digest=sha256:{'1' * 64}"


# --- statements -------------------------------------------------------------------


def _worked_example(family: Family) -> None:
    sha = "e341def32c311173ead513c5e0def474ebf35b515d1d6ef0321bde2bdc3730b7"
    data = compact(wrap(PAYLOAD, sig=SIGNATURE))
    assert len(data) == 788
    kind = "urn:pcrlog:release:v1"
    answer = {"sha256": sha, "type": kind, "measurements": [_M], "signers": [KEYID]}
    why = "the worked example of section 2.1"
    family.case("worked-example", why, "statement", answer, leaf=data)
    keys = {
        f"v1/by/acme.example/artifact/{_M}": "",
        "v1/issuer/acme.example": (
            "92ee5322e6ed4aae266b55261ebeecea99155e2ba9894f22ef18289725fea7ad"
        ),
        f"v1/measurement/artifact/{_M}": "",
        "v1/product/acme.example/proxy": "",
        "v1/version/acme.example/proxy/1.0.0": "",
    }
    hashes = [known or sha256(one.encode()).hexdigest() for one, known in keys.items()]
    answer = {"keys": list(keys), "hashes": hashes}
    family.case("worked-example-index-keys", why, "index-keys", answer, leaf=data)
    root = "67224220c88abe28b7dfb9d52b6a81681fc5ca6a893870aed27d0d020734fc44"
    found = {"root": bytes.fromhex(root)}
    family.case("worked-example-leaf-hash", why, "root", found, leaves=[data])
    signed = b"DSSEv1 28 %s %d %s" % (TYPE.encode(), len(PAYLOAD), PAYLOAD)
    family.case(
        "worked-example-signature",
        why,
        "key",
        {"keyid": KEYID, "algorithm": "ed25519"},
        spki=SigningKey.from_seed(bytes(32)).public.spki,
        signature=decode_base64(SIGNATURE),
        message=signed,
    )


def _said(base: str, *measurements: str, **changes: Any) -> tuple[str, Json, list[str]]:
    return base, changed(BASES[base], changes), list(measurements)


def _measurements(family: Family) -> None:
    """What is measured, spelled."""
    why = "for each list in `identity`, M is its registers in that order, joined by ,"
    pcr0 = f"PCR0=sha384:{'1' * 96}"
    commit = f"commit=gitCommit:{COMMIT}"
    three = {"/subject": _named("a", "b", "c")}
    for name, (base, statement, expected) in {
        "measurement-of-artifact": _said("warning", _M),
        "measurement-of-nitro": _said("nitro", pcr0),
        "measurement-of-source": _said("source-review", commit),
        "measurement-of-tpm": _said(
            "tpm", f"PCR4=sha384:{'4' * 96},PCR12=sha384:{'0' * 96}"
        ),
        "measurement-of-sgx": _said("sgx", f"MRENCLAVE=sha256:{'5' * 64}"),
        "measurement-of-an-identity": _said("identity"),
        "measurement-of-two-registers": _said(
            "later", "b=md:11,a=md:11", identity=[["b", "a"]], **three
        ),
        "measurement-of-two-lists": _said(
            "later", "c=md:11", "a=md:11", identity=[["c"], ["a"]], **three
        ),
        "measurement-with-an-absent-register": _said(
            "later", "a=md:11", identity=[["a", "z"], ["a"]], **three
        ),
    }.items():
        kind = BASES[base]["predicateType"]
        answer = {"type": kind, "measurements": expected}
        family.case(name, why, "statement", answer, leaf=leaf(statement))


_HOW: Mapping[str, tuple[str, object]] = {
    "without": ("a member without a question mark is required", GONE),
    "null": ("an optional member is absent, never null", None),
    "unknown": ("an unknown member is refused, at every level", 1),
}
_TOP = "/_type /predicateType /subject /predicate"
_ALL = f"{_TOP} log issuer issued platform identity"
_SPOILT = (
    ("release", "without", f"{_ALL} product version /subject.0.name /subject.0.digest"),
    ("reproduction", "without", f"{_ALL} scope result performed"),
    ("withdrawal", "without", f"{_ALL} reason"),
    ("release", "without", "image.sha256 image.size source.uri source.commit"),
    ("release", "without", "build.recipe.uri build.recipe.sha256 build.tools.0.name"),
    ("release", "without", "build.tools.0.sha256 binding.field binding.kind"),
    ("release", "without", "components.0.product components.0.sha256 controls.0.kind"),
    ("release", "without", "controls.0.sha256 references.0.kind references.0.uri"),
    ("release", "without", "references.0.sha256"),
    ("release", "null", " ".join(sorted(_EVERYTHING)) + " build.tools controls.0.uri"),
    ("warning", "null", "effective reference statement"),
    ("reproduction", "null", "recipe report expires basis found open components"),
    ("release", "unknown", "extra /extra /subject.0.extra image.extra source.extra"),
    ("release", "unknown", "build.extra build.recipe.extra build.tools.0.extra"),
    ("release", "unknown", "components.0.extra controls.0.extra binding.extra"),
    ("release", "unknown", "references.0.extra"),
    ("reproduction", "unknown", "extra"),
    ("withdrawal", "unknown", "extra"),
)
"""A base, what is done to it, and where."""
_SPOILT_IDENTITIES = (
    ("identity", "without", f"{_TOP} log issuer issued name signers roles keys"),
    ("identity", "without", "keys.0.keyid keys.0.key keys.0.status"),
    ("identity", "null", "previous keys.0.since keys.0.use"),
    ("identity", "unknown", "extra platform identity keys.0.extra"),
)


def _spoil(family: Family, *spoilt: tuple[str, str, str]) -> None:
    """Each member of each table: required or not, never null, and no others."""
    for base, how, paths in spoilt:
        why, value = _HOW[how]
        for path in paths.split():
            first = path.partition(".")[0]
            needed = {first: _EVERYTHING[first]} if first in _EVERYTHING else {}
            whole = changed(BASES[base], needed if base == "release" else {})
            brief = path.strip("/_").replace(".0", "").replace(".", "-").lower()
            where = "statement-" if path == "/extra" else ""
            # The signers stay, so that no absent signature is to blame.
            signers = whole["predicate"].get("signers", ())
            data = compact(wrap(compact(changed(whole, {path: value})), *signers))
            name = f"{base}-{how}-{where}{brief}".replace("_", "-")
            family.case(name, why, "statement", MALFORMED, leaf=data)


def _rules(family: Family, *rules: Rule) -> None:
    for rule in rules:
        for name, data, good in rule.cases():
            outcome: Json | str = {} if good else MALFORMED
            family.case(name, rule.why, "statement", outcome, leaf=data)


def shapes() -> Family:
    """Each shape, and what may be measured."""
    family = Family("shapes", "Shapes, subjects, measurements (section 2.1).")
    _measurements(family)
    _rules(family, *SHAPES, *MEASURED)
    return family


def statements() -> Family:
    """Each member and each rule of releases, audits and revocations."""
    family = Family("statements", "What a statement may say (section 2.1).")
    _worked_example(family)
    whole = leaf(changed(BASES["release"], _EVERYTHING))
    why = "every optional member of a release may be there"
    family.case("release-with-everything", why, "statement", {}, leaf=whole)
    _rules(family, *RELEASES, *AUDITS, *REVOCATIONS)
    _spoil(family, *_SPOILT)
    why = "a predicateType that is not known could not be checked (section 2.5)"
    for name in ("release:v2", "info:notice:v1", "endorsement:v1"):
        changes = {"/predicateType": f"urn:pcrlog:{name}"}
        data = leaf(changed(BASES["release"], changes))
        brief = name.replace(":", "-")
        family.case(f"type-of-{brief}", why, "statement", UNCHECKED, leaf=data)
    return family


def identities() -> Family:
    """What an identity may say of keys and roles."""
    family = Family("identities", "Identities, in form alone (section 2.1).")
    _rules(family, *IDENTITIES)
    _spoil(family, *_SPOILT_IDENTITIES)
    return family


MAKERS = (canonical, shapes, statements, identities)
