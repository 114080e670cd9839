"""Statements of every shape go both ways; what indexes them never fails."""

import json
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from pcrlog import statement
from pcrlog.encoding import encode_base64, encode_json, format_time
from pcrlog.entry import Entry, parse_leaf
from pcrlog.envelope import sign_envelope
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.index_keys import index_keys
from pcrlog.measurement import PLATFORMS, Register
from pcrlog.predicates import (
    Audit,
    Basis,
    Binding,
    Build,
    BuildTool,
    Component,
    Control,
    Document,
    Identity,
    IdentityKey,
    Image,
    OpenFindings,
    Reference,
    Release,
    Revocation,
    Source,
)
from tests.support.memory_log import MemoryLog, key, registers

Results = list[Literal["pass", "qualified", "fail"]]
STATUSES: list[Literal["active", "retired", "compromised"]] = [
    "active",
    "retired",
    "compromised",
]
ROLES: list[Literal["auditor", "provider"]] = ["auditor", "provider"]


def words(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


def hexes(*digits: int) -> st.SearchStrategy[str]:
    one_of = [st.binary(min_size=n // 2, max_size=n // 2) for n in digits]
    return st.one_of(one_of).map(bytes.hex)


def ascending(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A list that is a set: by what `order` gives, without repeats."""
    return st.lists(items, max_size=4).map(
        lambda rows: tuple(
            {row.order(): row for row in sorted(rows, key=lambda r: r.order())}.values()
        )
    )


SHA = hexes(64)
COMMITS = hexes(40, 64)
TIMES = st.integers(0, 253_402_300_799).map(format_time)
LABEL = r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?"
NAMES = words(rf"{LABEL}(\.{LABEL}){{0,3}}")
SEGMENTS = words(r"[a-z0-9][a-z0-9._-]{0,8}")
VERSIONS = words(r"[0-9A-Za-z._-]{1,10}")
URIS = words(
    r"(git\+)?https://[a-z0-9][a-z0-9.-]{0,8}(:[1-9][0-9]{0,4})?"
    r"(/[0-9A-Za-z._~!$&'()*+,;=:@%/-]{0,12})?"
)
INTEGERS = st.integers(0, 2**53 - 1)
WORDS = words(r"[a-z0-9][a-z0-9-]{0,31}")
DOCUMENTS = st.builds(Document, URIS, SHA)
SOURCES = st.builds(Source, URIS, COMMITS)
KEYS = [key(f"key {n}") for n in range(6)]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


SHA384 = hexes(96).filter(lambda digits: digits.strip("0"))
NITRO = st.fixed_dictionaries(
    {f"PCR{n}": SHA384 for n in range(3)},
    optional={f"PCR{n}": SHA384 for n in (3, 8, 16, 31)},
).map(lambda table: {name: f"sha384:{digits}" for name, digits in table.items()})
ARTIFACTS = SHA.filter(lambda d: d.strip("0")).map(lambda d: {"digest": f"sha256:{d}"})
COMMITTED = COMMITS.filter(lambda digits: digits.strip("0")).map(
    lambda digits: {"commit": f"gitCommit:{digits}"}
)
SUBJECTS = {"aws-nitro": NITRO, "artifact": ARTIFACTS, "source": COMMITTED}

Said = tuple[Any, dict[str, str]]
"""A predicate, and the registers of its subject."""


@st.composite
def releases(draw: st.DrawFn) -> Said:
    platform = draw(st.sampled_from(["aws-nitro", "artifact"]))
    issuer = draw(NAMES)
    components = st.builds(Component, st.builds("{}/{}".format, NAMES, SEGMENTS), SHA)
    build = st.builds(
        Build,
        DOCUMENTS,
        maybe(ascending(st.builds(BuildTool, words(r"[0-9A-Za-z._+@/:-]{1,64}"), SHA))),
    )
    kinds = ["slsa-provenance", "sbom", "vex", "advisory", "release-notes", "build-log"]
    references = st.builds(Reference, st.sampled_from(kinds), URIS, SHA)
    binding = st.builds(
        Binding,
        st.sampled_from(["public_key", "user_data"]),
        st.sampled_from(["tls-spki-sha256", "tls-cert-sha256", "raw-key"]),
    )
    predicate = Release(
        log=draw(words(r"[!-*,-~]{1,20}")),
        issuer=issuer,
        issued=draw(TIMES),
        platform=platform,
        identity=PLATFORMS[platform].identity,
        product=f"{issuer}/{draw(SEGMENTS)}",
        version=draw(VERSIONS),
        variant=draw(maybe(words(r"[a-z0-9_]{1,16}"))),
        expires=draw(maybe(TIMES)),
        image=draw(maybe(st.builds(Image, SHA, INTEGERS, maybe(URIS)))),
        source=draw(maybe(SOURCES)),
        build=draw(maybe(build)),
        components=draw(maybe(ascending(components))),
        controls=draw(maybe(ascending(st.builds(Control, WORDS, SHA, maybe(URIS))))),
        binding=draw(maybe(binding)),
        references=draw(maybe(ascending(references))),
        numbers=draw(
            maybe(st.dictionaries(words(r"[0-9A-Za-z_]{1,32}"), INTEGERS, max_size=4))
        ),
    )
    return predicate, draw(SUBJECTS[platform])


@st.composite
def audits(draw: st.DrawFn) -> Said:
    scope = draw(st.sampled_from(statement.SCOPES))
    reproduction = scope == "reproduction"
    results: Results = (
        ["pass", "fail"] if reproduction else ["pass", "qualified", "fail"]
    )
    result = draw(st.sampled_from(results))
    platform = "source" if scope == "source-review" else "aws-nitro"
    performed = draw(st.integers(0, 253_402_300_799 - 90 * 86_400))
    expires = draw(maybe(st.integers(0, performed + 90 * 86_400)))
    if scope == "controls-review" and expires is None:
        expires = performed
    if result == "fail":
        expires = None
    found = NITRO.map(
        lambda table: tuple(
            Register(name, dict([table[name].split(":")])) for name in sorted(table)
        )
    )
    predicate = Audit(
        log="log.example/pcr",
        issuer=draw(NAMES),
        issued=draw(TIMES),
        platform=platform,
        identity=PLATFORMS[platform].identity,
        scope=scope,
        result=result,
        performed=format_time(performed),
        source=draw(SOURCES) if reproduction else None,
        recipe=draw(maybe(SHA)),
        found=draw(st.just(()) | found) if reproduction and result == "fail" else None,
        open=draw(st.builds(OpenFindings, *[INTEGERS] * 4))
        if result == "qualified"
        else None,
        basis=draw(maybe(st.builds(Basis, COMMITS, SHA)))
        if scope == "source-review"
        else None,
        components=draw(maybe(SHA)) if reproduction else None,
        controls=draw(SHA) if scope == "controls-review" else None,
        report=draw(maybe(DOCUMENTS)),
        expires=None if expires is None else format_time(expires),
    )
    return predicate, draw(SUBJECTS[platform])


@st.composite
def revocations(draw: st.DrawFn) -> Said:
    platform = draw(st.sampled_from(["aws-nitro", "artifact", "source"]))
    of_statement = platform == "source" or draw(st.booleans())
    reasons = (
        statement.STATEMENT_REASONS if of_statement else statement.MEASUREMENT_REASONS
    )
    predicate = Revocation(
        log="log.example/pcr",
        issuer=draw(NAMES),
        issued=draw(TIMES),
        platform=platform,
        identity=PLATFORMS[platform].identity,
        reason=draw(st.sampled_from(reasons)),
        statement=draw(SHA) if of_statement else None,
        effective=draw(maybe(TIMES)) if of_statement else None,
        reference=draw(maybe(DOCUMENTS)),
    )
    return predicate, draw(SUBJECTS[platform])


@st.composite
def identities(draw: st.DrawFn) -> Said:
    name = draw(NAMES | st.just("registrar"))
    registrar = name == "registrar"
    rows = []
    for one in draw(st.lists(st.sampled_from(KEYS), min_size=1, unique=True)):
        status = draw(st.sampled_from(STATUSES))
        rows.append(
            IdentityKey(
                keyid=one.public.keyid,
                key=one.public.spki,
                status=status,
                since=draw(maybe(INTEGERS)) if status == "compromised" else None,
                use=draw(st.sampled_from(["root", "enrol"])) if registrar else None,
            )
        )
    signers = draw(st.sets(SHA, min_size=1, max_size=2))
    roles = draw(st.sets(st.sampled_from(ROLES)))
    predicate = Identity(
        log="log.example/pcr",
        issuer=draw(st.sampled_from([name, "registrar"])),
        issued=draw(TIMES),
        name=name,
        signers=tuple(sorted(signers)),
        roles=() if registrar else tuple(sorted(roles)),
        keys=tuple(sorted(rows, key=lambda row: row.keyid)),
        previous=draw(maybe(SHA)),
    )
    return predicate, {row.keyid: f"sha256:{row.keyid}" for row in rows}


STATEMENTS = st.one_of(releases(), audits(), revocations(), identities())


@given(STATEMENTS)
def test_every_statement_is_read_as_it_was_written(said: Said) -> None:
    predicate, subject = said
    payload = statement.encode(predicate, subject)
    parsed = statement.parse(payload)
    statement.require_known(parsed)
    assert parsed.predicate == predicate
    assert dict(parsed.registers) == subject
    assert statement.encode(parsed.predicate, parsed.registers) == payload


@given(STATEMENTS)
def test_every_entry_has_the_keys_that_its_statement_calls_for(said: Said) -> None:
    """What verification asks for, by the parsed statement, is what the index has."""
    predicate, subject = said
    signers = [KEYS[0]]
    leaf = sign_envelope(statement.encode(predicate, subject), signers)
    keys = index_keys(leaf)
    expected = [f"v1/issuer/{predicate.issuer}"]
    if isinstance(predicate, Identity):
        expected.append(f"v1/identity/{predicate.name}")
    else:
        entry = parse_leaf(0, leaf)
        assert isinstance(entry, Entry)
        for m in entry.statement.measurements:
            expected.append(f"v1/by/{predicate.issuer}/{predicate.platform}/{m}")
            if isinstance(predicate, Release):
                expected.append(f"v1/measurement/{predicate.platform}/{m}")
    if isinstance(predicate, Release):
        expected.append(f"v1/product/{predicate.product}")
        expected.append(f"v1/version/{predicate.product}/{predicate.version}")
    assert sorted(keys) == sorted(expected)


@given(STATEMENTS, st.data())
def test_a_statement_with_a_member_changed_is_refused_or_says_just_that(
    said: Said, data: st.DataObject
) -> None:
    table = json.loads(statement.encode(*said))
    holder: Any = table
    while True:
        items = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not items:
            break
        step = data.draw(st.sampled_from(items))
        if isinstance(holder[step], dict | list) and data.draw(st.booleans()):
            holder = holder[step]
            continue
        change = data.draw(st.sampled_from(["drop", "null", "value"]))
        if change == "drop":
            del holder[step]
        else:
            holder[step] = None if change == "null" else data.draw(JSON)
        break
    raw = encode_json(table)
    try:
        parsed = statement.parse(raw)
    except (MalformedError, UncheckedError):
        return
    assert statement.encode(parsed.predicate, parsed.registers) == raw


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(
        ["PCR0", "sha384", "00ff", "acme.example", "acme.example/x", "aws-nitro", "1"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["name", "digest", "sha384", "PCR0"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=200)
def test_no_json_in_place_of_an_entry_stops_the_index(value: object) -> None:
    for leaf in (json.dumps(value), json.dumps({"payload": value})):
        assert index_keys(leaf.encode()) == ()
    payload = encode_base64(json.dumps(value).encode())
    assert index_keys(json.dumps({"payload": payload}).encode()) == ()


@given(st.binary(max_size=100))
def test_no_bytes_stop_the_index(data: bytes) -> None:
    assert index_keys(data) == ()
    assert index_keys(b"{" + data) == ()
    payload = json.dumps({"payload": encode_base64(data)}).encode()
    assert index_keys(payload) == ()


MEMBERS = ["issuer", "platform", "identity", "product", "version", "name"]
FAMILIES = ["release", "audit", "revocation", "identity", "info", "later"]


@given(
    st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3),
    st.none() | JSON,
    st.sampled_from(FAMILIES),
)
@settings(max_examples=300)
def test_no_json_in_place_of_members_stops_the_index(
    changed: dict[str, object], subject: object, family: str
) -> None:
    """And what it finds is well-formed, distinct, and the same each time."""
    table: dict[str, Any] = {
        "predicateType": f"urn:pcrlog:{family}:v1",
        "predicate": {
            "issuer": "acme.example",
            "platform": "aws-nitro",
            "identity": [["PCR0"]],
            "product": "acme.example/x",
            "version": "1",
            "name": "acme.example",
            **changed,
        },
        "subject": [{"name": "PCR0", "digest": {"sha384": "00"}}],
    }
    if subject is not None:
        table["subject"] = subject
    payload = encode_base64(json.dumps(table).encode())
    leaf = json.dumps({"payload": payload}).encode()
    keys = index_keys(leaf)
    assert len(set(keys)) == len(keys)
    for name in keys:
        assert name.startswith("v1/")
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name
    if not changed and subject is None:
        assert keys


@given(st.binary(max_size=60), st.integers(0, 5000), st.integers(0, 200))
def test_no_edit_of_a_leaf_stops_the_index(
    inserted: bytes, start: int, length: int
) -> None:
    leaf = LEAF[: start % len(LEAF)] + inserted + LEAF[start % len(LEAF) + length :]
    for name in index_keys(leaf):
        assert name.startswith("v1/")


def _leaf() -> bytes:
    made = MemoryLog()
    made.enroll("acme.example", "provider")
    made.release("acme.example/wallet", "1.0.0", registers("one"))
    return made.leaves[-1]


LEAF = _leaf()
