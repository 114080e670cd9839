"""Statements: each row of the tables in PROTOCOL.md 2.1, against JSON written here."""

import copy
import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcrlog import limits, statement
from pcrlog.encoding import encode_base64, format_time, parse_time, sha256
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.keys import keyid_of
from pcrlog.predicates import Audit, Identity, Release, Revocation
from tests.support.memory_log import key

Json: TypeAlias = dict[str, Any]

SHA, OTHER_SHA = "a" * 64, "b" * 64
TIME = "2026-11-23T07:00:00Z"
URI = "https://acme.example/x"
COMMIT = "c" * 40
DOCUMENT = {"uri": URI, "sha256": SHA}
SOURCE = {"uri": URI, "commit": COMMIT}


def register(name: str, digest: str = "sha384:" + "1" * 96) -> Json:
    algorithm, _, value = digest.partition(":")
    return {"name": name, "digest": {algorithm: value}}


SUBJECTS = {
    "aws-nitro": [register(f"PCR{n}") for n in range(3)],
    "artifact": [register("digest", "sha256:" + "1" * 64)],
    "source": [register("commit", "gitCommit:" + COMMIT)],
    "amd-sev-snp": [register("MEASUREMENT", "sha256:" + "1" * 64)],
}
IDENTITY = {
    "aws-nitro": [["PCR0"]],
    "artifact": [["digest"]],
    "source": [["commit"]],
    "amd-sev-snp": [["MEASUREMENT"]],
}


def whole(kind: str, predicate: Json, subject: list[Json] | None = None) -> Json:
    """A statement: subject and identity are the platform's unless given."""
    platform = predicate.get("platform", "aws-nitro")
    shared: Json = {"log": "log.example/pcr", "issuer": "acme.example", "issued": TIME}
    if kind != "identity":
        shared |= {"platform": platform, "identity": IDENTITY.get(platform)}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": f"urn:pcrlog:{kind}:v1",
        "subject": SUBJECTS.get(platform) if subject is None else subject,
        "predicate": {**shared, **predicate},
    }


def release(**members: Any) -> Json:
    return whole(
        "release", {"product": "acme.example/wallet", "version": "1", **members}
    )


def audit(scope: str = "reproduction", result: str = "pass", **members: Any) -> Json:
    platform = "source" if scope == "source-review" else "aws-nitro"
    base: Json = {"platform": platform, "scope": scope, "result": result}
    needed: Json = {"performed": TIME}
    if scope == "reproduction":
        needed["source"] = SOURCE
        if result == "fail":
            needed["found"] = []
    if scope == "controls-review":
        needed["controls"] = SHA
        if result != "fail":
            needed["expires"] = "2026-12-23T07:00:00Z"
    if result == "qualified":
        needed["open"] = {"critical": 0, "high": 0, "medium": 1, "low": 2}
    return whole("audit", {**base, **needed, **members})


def revocation(reason: str = "withdrawn", **members: Any) -> Json:
    named = reason in ("withdrawn", "erroneous", "superseded")
    needed = {"statement": SHA} if named else {}
    return whole("revocation", {"reason": reason, **needed, **members})


def key_row(seed: str = "acme", **members: Any) -> Json:
    public = key(seed).public
    row = {"keyid": public.keyid, "key": encode_base64(public.spki), "status": "active"}
    return {**row, **members}


def identity(*rows: Json, **members: Any) -> Json:
    keys = sorted(rows or (key_row(),), key=lambda row: str(row["keyid"]))
    subject = [register(row["keyid"], f"sha256:{row['keyid']}") for row in keys]
    needed = {
        "name": "acme.example",
        "issuer": "acme.example",
        "signers": [keys[0]["keyid"]],
        "roles": ["provider"],
        "keys": keys,
    }
    return whole("identity", {**needed, **members}, subject)


def registrar(*rows: Json, **members: Any) -> Json:
    names = {"name": "registrar", "issuer": "registrar", "roles": []}
    return identity(*(rows or (key_row(use="root"),)), **{**names, **members})


def data_of(table: Json) -> bytes:
    """Canonical JSON, written without pcrlog; a member that is None is absent."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if v is not None}
        return [without(v) for v in value] if isinstance(value, list | tuple) else value

    return json.dumps(without(table), sort_keys=True, separators=(",", ":")).encode()


def parse(table: Json) -> statement.Statement:
    """Parse, and check that what was understood is all that was said."""
    data = data_of(table)
    parsed = statement.parse(data)
    assert statement.encode(parsed.predicate, parsed.registers) == data
    return parsed


def refused(table: Json, match: str | None = None) -> None:
    with pytest.raises(MalformedError, match=match):
        statement.parse(data_of(table))


def legal(table: Json) -> bool:
    """Whether a statement is taken, by parser and admission alike."""
    try:
        statement.require_known(parse(table))
    except MalformedError:
        return False
    return True


def brief(text: str) -> str:
    """A case's name."""
    whole = ascii(text)
    return whole if len(whole) <= 48 else f"{whole[:24]}..{whole[-6:]}, {len(text)}"


EXAMPLES: dict[str, Callable[[], Json]] = {
    "release": release,
    "audit": audit,
    "revocation": revocation,
    "identity": identity,
}
EACH = pytest.mark.parametrize("kind", EXAMPLES)
MEASURED = pytest.mark.parametrize("kind", ["release", "audit", "revocation"])


# --- what all statements share -------------------------------------------------------


@EACH
def test_a_statement_is_read_and_known(kind: str) -> None:
    table = EXAMPLES[kind]()
    parsed = parse(table)
    statement.require_known(parsed)
    classes: dict[str, type[object]] = {
        "release": Release,
        "audit": Audit,
        "revocation": Revocation,
        "identity": Identity,
    }
    assert isinstance(parsed.predicate, classes[kind])
    assert parsed.sha256 == sha256(data_of(table)).hex()
    m = () if kind == "identity" else ("PCR0=sha384:" + "1" * 96,)
    assert parsed.measurements == m


@EACH
@pytest.mark.parametrize("member", ["_type", "predicateType", "subject", "predicate"])
def test_a_statement_has_all_four_members(kind: str, member: str) -> None:
    refused({**EXAMPLES[kind](), member: None})


@EACH
def test_a_statement_has_no_fifth_member(kind: str) -> None:
    refused({**EXAMPLES[kind](), "extra": 1}, "unknown field")


@EACH
@pytest.mark.parametrize(
    "value",
    [
        "https://in-toto.io/Statement/v0.1",
        "https://in-toto.io/Statement/v1/",
        "http://in-toto.io/Statement/v1",
        "",
    ],
)
def test_a_statement_is_in_toto_v1(kind: str, value: str) -> None:
    refused({**EXAMPLES[kind](), "_type": value}, "expected _type")


def required_members() -> Iterator[Any]:
    for kind, make in EXAMPLES.items():
        for name in make()["predicate"]:
            yield pytest.param(kind, name, id=f"{kind}-{name}")


@pytest.mark.parametrize(("kind", "name"), list(required_members()))
def test_a_required_member_cannot_be_left_out_or_null(kind: str, name: str) -> None:
    """The examples above have no others."""
    table = EXAMPLES[kind]()
    without = {**table, "predicate": {**table["predicate"], name: None}}
    refused(without)
    data = data_of(table).replace(
        json.dumps(
            table["predicate"][name], sort_keys=True, separators=(",", ":")
        ).encode(),
        b"null",
    )
    with pytest.raises(MalformedError):
        statement.parse(data)


@EACH
@pytest.mark.parametrize("name", ["extra", "Log", "comment", "validFrom"])
def test_an_unknown_member_of_a_predicate_is_malformed(kind: str, name: str) -> None:
    table = EXAMPLES[kind]()
    refused({**table, "predicate": {**table["predicate"], name: "x"}}, "unknown field")


@pytest.mark.parametrize(
    "name",
    [
        "urn:pcrlog:release:v2",
        "urn:pcrlog:release:v1 ",
        "urn:pcrlog:release",
        "urn:pcrlog:Release:v1",
        "urn:pcrlog:info:x:v1",
        "https://slsa.dev/provenance/v1",
        "",
    ],
)
def test_an_unknown_predicate_type_could_not_be_checked(name: str) -> None:
    with pytest.raises(UncheckedError, match="unknown predicateType"):
        statement.parse(data_of({**release(), "predicateType": name}))


@pytest.mark.parametrize("value", [b'"\xff"', b'"\xed\xa0\x80"', b"1e999"], ids=str)
def test_what_is_no_json_is_malformed_under_an_unknown_type_too(value: bytes) -> None:
    with pytest.raises(MalformedError, match="not a statement"):
        statement.parse(b'{"predicateType":"urn:x","skipped":' + value + b"}")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="object"),
        pytest.param(b'{"predicateType":1}', id="type-of-the-type"),
        pytest.param(b'{"predicateType":"urn:pcrlog:release:v1"}', id="type-alone"),
        pytest.param(b"[" * 100_000, id="depth"),
        pytest.param(data_of(release())[:-1], id="cut"),
        pytest.param(data_of(release()) + b"\n", id="newline"),
        pytest.param(json.dumps(release()).encode(), id="not-sorted-and-spaces"),
        pytest.param(data_of(release()).replace(b"acme", b"\xff"), id="not-utf-8"),
        pytest.param(
            data_of(release()).replace(
                b'"version":"1"', b'"version":"1","version":"1"'
            ),
            id="member-twice",
        ),
        pytest.param(
            data_of(release()).replace(b"acme.example/", rb"acme.example\/"),
            id="escaped-slash",
        ),
    ],
)
def test_what_is_no_statement_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        statement.parse(data)


@EACH
@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("log.example/pcr", True),
        ("x", True),
        ("x" * 255, True),
        ("x" * 256, False),
        ("", False),
        ("log example", False),
        ("log+example", False),
        ("log\nexample", False),
    ],
)
def test_log_is_an_origin(kind: str, name: str, taken: bool) -> None:  # noqa: FBT001 - a parameter
    table = EXAMPLES[kind]()
    assert legal({**table, "predicate": {**table["predicate"], "log": name}}) == taken


NAMES = {
    "acme.example": True,
    "a": True,
    "0": True,
    "a-b.c--d.e": True,
    "a" * 63: True,
    "a" * 31 + "." + "b" * 32: True,
    "a" * 32 + "." + "b" * 32: False,
    "a" * 64: False,
    "": False,
    ".": False,
    "a.": False,
    ".a": False,
    "a..b": False,
    "-a": False,
    "a-": False,
    "a.-b": False,
    "A": False,
    "a_b": False,
    "a/b": False,
    "a b": False,
    "a\n": False,
    "é": False,
    "xn--bcher-kva.example": True,
}


@pytest.mark.parametrize("name", NAMES, ids=brief)
def test_names_are_lower_case_dns_labels_of_64_characters_in_all(name: str) -> None:
    assert legal(release(issuer=name, product=f"{name}/x")) == NAMES[name]
    assert legal(audit(issuer=name)) == NAMES[name]
    assert legal(revocation(issuer=name)) == NAMES[name]
    assert legal(identity(issuer=name, name=name)) == NAMES[name]


TIMES = {
    TIME: True,
    "1970-01-01T00:00:00Z": True,
    "9999-12-31T23:59:59Z": True,
    "2024-02-29T00:00:00Z": True,
    "2026-02-30T00:00:00Z": False,
    "2026-02-29T00:00:00Z": False,
    "2026-11-23T07:00:60Z": False,
    "2026-11-23T24:00:00Z": False,
    "2026-11-23T07:00:00": False,
    "2026-11-23T07:00:00z": False,
    "2026-11-23 07:00:00Z": False,
    "2026-11-23T07:00:00.0Z": False,
    "2026-11-23T07:00:00+00:00": False,
    "1969-12-31T23:59:59Z": False,
    "": False,
}


@pytest.mark.parametrize("time", TIMES, ids=brief)
def test_every_time_has_the_one_form(time: str) -> None:
    taken = TIMES[time]
    assert legal(release(issued=time)) == taken
    assert legal(release(expires=time)) == taken
    assert legal(audit(issued=time)) == taken
    assert legal(audit(performed=time)) == taken
    assert legal(audit(expires=time)) == taken
    assert legal(revocation(issued=time)) == taken
    assert legal(revocation(effective=time)) == taken
    assert legal(identity(issued=time)) == taken


def test_a_time_that_does_not_exist_is_refused_in_an_unknown_scope_too() -> None:
    refused(audit("fuzzing", performed="2026-02-30T00:00:00Z"), "expected a time")
    refused(audit("fuzzing", expires="2026-02-30T00:00:00Z"), "expected a time")
    refused(revocation("obsolete", effective="2026-02-30T00:00:00Z"), "expected a time")


URIS = {
    URI: True,
    "https://acme.example": True,
    "https://acme.example/": True,
    "https://acme.example:8443/a/b.c~d": True,
    "git+https://git.example/acme/wallet": True,
    "https://acme.example/%20!$&'()*+,;=:@": True,
    "https://" + "a" * 247 + "/": True,
    "https://a.example/" + "x" * 238: True,
    "https://a.example/" + "x" * 239: False,
    "http://acme.example/x": False,
    "ftp://acme.example/x": False,
    "git://acme.example/x": False,
    "git+ssh://git.example/x": False,
    "HTTPS://acme.example/x": False,
    "https://ACME.example/x": False,
    "https://user@acme.example/x": False,
    "https://user:pw@acme.example/x": False,
    "https://acme.example/x?y": False,
    "https://acme.example/x#y": False,
    "https://acme.example?y": False,
    "https://acme.example:0/": False,
    "https://acme.example:123456/": False,
    "https://acme.example:/": False,
    "https:///x": False,
    "https://": False,
    "https:acme.example": False,
    "//acme.example/x": False,
    "acme.example/x": False,
    "https://acme.example/x y": False,
    "https://acme.example/\\x": False,
    'https://acme.example/"x': False,
    "https://acme.example/<x>": False,
    "https://acme.example/\n": False,
    "https://[::1]/x": False,
    "javascript:alert(1)": False,
    "": False,
}


@pytest.mark.parametrize("uri", URIS, ids=brief)
def test_every_uri_is_https_without_user_and_query(uri: str) -> None:
    taken, document = URIS[uri], {"uri": uri, "sha256": SHA}
    source = {"uri": uri, "commit": COMMIT}
    assert legal(release(image={"uri": uri, "sha256": SHA, "size": 1})) == taken
    assert legal(release(source=source)) == taken
    assert legal(release(build={"recipe": document})) == taken
    assert legal(release(controls=[{"kind": "kms", **document}])) == taken
    assert legal(release(references=[{"kind": "sbom", **document}])) == taken
    assert legal(audit(source=source)) == taken
    assert legal(audit(report=document)) == taken
    assert legal(revocation(reference=document)) == taken


def test_a_uri_has_256_characters_at_most() -> None:
    longest = max((uri for uri, taken in URIS.items() if taken), key=len)
    assert len(longest) == limits.URI


DIGESTS = {
    SHA: True,
    "0" * 64: True,
    "a" * 63: False,
    "a" * 65: False,
    "A" * 64: False,
    "g" * 64: False,
    "": False,
    "a" * 64 + "\n": False,
}


@pytest.mark.parametrize("digest", DIGESTS, ids=brief)
def test_every_digest_is_64_digits_of_lower_case_hex(digest: str) -> None:
    taken, document = DIGESTS[digest], {"uri": URI, "sha256": digest}
    build = {"recipe": DOCUMENT, "tools": [{"name": "nix", "sha256": digest}]}
    assert legal(release(image={"sha256": digest, "size": 1})) == taken
    assert legal(release(build={"recipe": document})) == taken
    assert legal(release(build=build)) == taken
    component = {"product": "acme.example/x", "sha256": digest}
    assert legal(release(components=[component])) == taken
    assert legal(release(controls=[{"kind": "kms", "sha256": digest}])) == taken
    assert legal(audit(recipe=digest)) == taken
    assert legal(audit(components=digest)) == taken
    assert legal(audit("controls-review", controls=digest)) == taken
    basis = {"commit": COMMIT, "sha256": digest}
    assert legal(audit("source-review", basis=basis)) == taken
    assert legal(revocation(statement=digest)) == taken
    assert legal(identity(previous=digest)) == taken


COMMITS = {
    "c" * 40: True,
    "c" * 64: True,
    "c" * 39: False,
    "c" * 41: False,
    "c" * 63: False,
    "c" * 65: False,
    "C" * 40: False,
    "main": False,
    "": False,
}


@pytest.mark.parametrize("commit", COMMITS, ids=brief)
def test_every_commit_is_40_or_64_digits_of_hex(commit: str) -> None:
    taken = COMMITS[commit]
    assert legal(release(source={"uri": URI, "commit": commit})) == taken
    assert legal(audit(source={"uri": URI, "commit": commit})) == taken
    basis = {"commit": commit, "sha256": SHA}
    assert legal(audit("source-review", basis=basis)) == taken
    subject = [register("commit", f"gitCommit:{commit}")]
    assert legal({**audit("source-review"), "subject": subject}) == taken


# --- what is measured ----------------------------------------------------------------


def on_platform(kind: str, platform: str) -> Json:
    table = EXAMPLES[kind]()
    predicate = {
        **table["predicate"],
        "platform": platform,
        "identity": IDENTITY[platform],
    }
    return {**table, "predicate": predicate, "subject": SUBJECTS[platform]}


@MEASURED
@pytest.mark.parametrize("platform", ["aws-nitro", "artifact"])
def test_what_is_measured_is_on_a_known_platform(kind: str, platform: str) -> None:
    table = on_platform(kind, platform)
    statement.require_known(parse(table))
    for other, names in IDENTITY.items():
        if other != platform:
            wrong = {**table["predicate"], "identity": names}
            refused({**table, "predicate": wrong}, "identity: expected")


@MEASURED
@pytest.mark.parametrize(
    "names",
    [[], [[]], [["PCR1"]], [["PCR0", "PCR1"]], [["PCR0"], ["PCR1"]], [["PCR0"]] * 2],
    ids=str,
)
def test_identity_is_exactly_the_platforms(kind: str, names: list[list[str]]) -> None:
    table = EXAMPLES[kind]()
    refused(
        {**table, "predicate": {**table["predicate"], "identity": names}}, "identity"
    )


def test_source_cannot_be_released() -> None:
    refused(on_platform("release", "source"), "source cannot be released")
    assert legal(audit("source-review"))
    assert legal(on_platform("revocation", "source"))


@MEASURED
@pytest.mark.parametrize("missing", range(3))
def test_the_first_three_registers_must_be_named(kind: str, missing: int) -> None:
    subject = [row for n, row in enumerate(SUBJECTS["aws-nitro"]) if n != missing]
    refused({**EXAMPLES[kind](), "subject": subject}, f"PCR{missing} is missing")


@MEASURED
@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("PCR3", True),
        ("PCR8", True),
        ("PCR16", True),
        ("PCR31", True),
        ("PCR4", False),
        ("PCR32", False),
        ("PCR03", False),
        ("OTHER", False),
        ("", False),
    ],
)
def test_pcr4_is_one_machines_and_refused(kind: str, name: str, taken: bool) -> None:  # noqa: FBT001 - a parameter
    rows = [*SUBJECTS["aws-nitro"], register(name)]
    subject = sorted(rows, key=lambda row: str(row["name"]))
    assert legal({**EXAMPLES[kind](), "subject": subject}) == taken


@MEASURED
def test_registers_of_zeros_are_debug_mode_and_refused(kind: str) -> None:
    zero = "sha384:" + "0" * 96
    subject = [register(f"PCR{n}", zero) for n in range(3)]
    refused({**EXAMPLES[kind](), "subject": subject}, "debug mode")
    assert legal({**EXAMPLES[kind](), "subject": [*subject[:2], register("PCR2")]})


@MEASURED
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(register("PCR3", "sha256:" + "1" * 64), id="algorithm"),
        pytest.param(register("PCR3", "sha384:" + "1" * 95), id="95-digits"),
        pytest.param(register("PCR3", "sha384:" + "1" * 97), id="97-digits"),
        pytest.param(register("PCR3", "sha384:" + "A" * 96), id="upper-case"),
        pytest.param(register("PCR3", "sha384:"), id="empty"),
        pytest.param({"name": "PCR3", "digest": {}}, id="no-digest"),
        pytest.param(
            {"name": "PCR3", "digest": {"sha256": "1" * 64, "sha384": "1" * 96}},
            id="two-digests",
        ),
        pytest.param({"name": "PCR3"}, id="digest-absent"),
        pytest.param({"digest": {"sha384": "1" * 96}}, id="name-absent"),
        pytest.param({**register("PCR3"), "uri": URI}, id="another-member"),
        pytest.param({"name": "PCR3", "digest": "1" * 96}, id="digest-no-object"),
        pytest.param(register("PCR2"), id="register-twice"),
        pytest.param(register("PCR1"), id="not-ascending"),
    ],
)
def test_a_register_of_another_form_is_refused(kind: str, row: Json) -> None:
    refused({**EXAMPLES[kind](), "subject": [*SUBJECTS["aws-nitro"], row]})


@MEASURED
def test_a_subject_has_1_to_32_registers(kind: str) -> None:
    """No platform of today has 32; a later one, which is kept, may."""
    table = on_platform(kind, "amd-sev-snp")
    rows = [register(f"A{n:02}") for n in range(31)]
    subject = [*rows, *SUBJECTS["amd-sev-snp"]]
    assert len(parse({**table, "subject": subject}).registers) == 32
    refused({**table, "subject": [register("A"), *subject]}, r"1\.\.32 registers")
    refused({**EXAMPLES[kind](), "subject": []}, r"1\.\.32 registers")


def test_every_register_that_an_enclave_has_may_be_named() -> None:
    names = sorted(f"PCR{n}" for n in range(32) if n != 4)
    parsed = parse({**release(), "subject": [register(name) for name in names]})
    assert len(parsed.registers) == 31


@MEASURED
def test_a_name_of_a_register_has_32_characters_at_most(kind: str) -> None:
    table = on_platform(kind, "amd-sev-snp")
    longest = [register("A" * 32), *SUBJECTS["amd-sev-snp"]]
    assert parse({**table, "subject": longest}).registers
    longer = [register("A" * 33), *SUBJECTS["amd-sev-snp"]]
    refused({**table, "subject": longer}, "too long")


@MEASURED
def test_an_unknown_platform_is_kept_by_readers_and_refused_by_admission(
    kind: str,
) -> None:
    """PROTOCOL.md 2.5: indexed, never verified."""
    parsed = parse(on_platform(kind, "amd-sev-snp"))
    assert parsed.measurements == ("MEASUREMENT=sha256:" + "1" * 64,)
    with pytest.raises(MalformedError, match="unknown platform amd-sev-snp"):
        statement.require_known(parsed)


@MEASURED
def test_an_unknown_platform_still_has_an_identity(kind: str) -> None:
    table = on_platform(kind, "amd-sev-snp")
    lists: list[list[list[str]]] = [[], [[]], [["MRSIGNER"]]]
    for names in lists:
        wrong = {**table["predicate"], "identity": names}
        refused({**table, "predicate": wrong}, "names no register")


@MEASURED
@pytest.mark.parametrize(
    "name", ["", "AWS", "aws_nitro", "a" * 33, "aws nitro", "aws/nitro"]
)
def test_a_platform_is_of_its_form(kind: str, name: str) -> None:
    table = EXAMPLES[kind]()
    refused({**table, "predicate": {**table["predicate"], "platform": name}})


# --- releases ------------------------------------------------------------------------

RELEASE_OPTIONS: Json = {
    "variant": "x86_64",
    "expires": TIME,
    "image": {"sha256": SHA, "size": 1, "uri": URI},
    "source": SOURCE,
    "build": {"recipe": DOCUMENT, "tools": [{"name": "nix", "sha256": SHA}]},
    "components": [{"product": "other.example/x", "sha256": SHA}],
    "controls": [{"kind": "kms-policy", "sha256": SHA}],
    "binding": {"field": "public_key", "kind": "tls-spki-sha256"},
    "references": [{"kind": "sbom", **DOCUMENT}],
    "numbers": {"svn": 1},
}


def test_every_combination_of_a_releases_options_is_legal() -> None:
    """None of them asks for another."""
    names = list(RELEASE_OPTIONS)
    for chosen in product([False, True], repeat=len(names)):
        members = {
            name: RELEASE_OPTIONS[name]
            for name, there in zip(names, chosen, strict=True)
            if there
        }
        parse(release(**members))


def test_lists_of_a_release_may_be_empty() -> None:
    """`[]` says that there is none; absent says nothing."""
    parsed = parse(
        release(
            components=[],
            controls=[],
            references=[],
            build={"recipe": DOCUMENT, "tools": []},
        )
    ).predicate
    assert isinstance(parsed, Release)
    assert (parsed.components, parsed.controls, parsed.references) == ((), (), ())
    absent = parse(release()).predicate
    assert isinstance(absent, Release)
    assert (absent.components, absent.controls, absent.references) == (None,) * 3


RELEASE_VALUES: dict[str, dict[Any, bool]] = {
    "product": {
        "acme.example/wallet": True,
        "acme.example/0": True,
        "acme.example/a.b_c-d": True,
        "acme.example/" + "a" * 63: True,
        "acme.example/" + "a" * 64: False,
        "acme.example/": False,
        "acme.example": False,
        "acme.example/Wallet": False,
        "acme.example/-wallet": False,
        "acme.example/.wallet": False,
        "acme.example/a/b": False,
        "acme.example/a b": False,
        "other.example/wallet": False,
        "acme.example.other/wallet": False,
        "example/wallet": False,
        "/wallet": False,
        "": False,
    },
    "version": {
        "1": True,
        "1.4.2-rc.1_x": True,
        "v": True,
        "A" * 64: True,
        "A" * 65: False,
        "": False,
        "1+2": False,
        "1 2": False,
        "1/2": False,
        "é": False,
        "1\n": False,
    },
    "variant": {
        "x86_64": True,
        "a" * 16: True,
        "a" * 17: False,
        "": False,
        "X": False,
        "a-b": False,
    },
    "image": {
        (("sha256", SHA), ("size", 0)): True,
        (("sha256", SHA), ("size", 2**53 - 1)): True,
        (("sha256", SHA), ("size", 2**53)): False,
        (("sha256", SHA), ("size", -1)): False,
        (("sha256", SHA), ("size", 1.5)): False,
        (("sha256", SHA), ("size", "1")): False,
        (("sha256", SHA),): False,
        (("size", 1),): False,
        (("sha256", SHA), ("size", 1), ("name", "x")): False,
    },
    "source": {
        (("commit", COMMIT),): False,
        (("uri", URI),): False,
        (("commit", COMMIT), ("uri", URI), ("tag", "v1")): False,
    },
    "build": {
        (): False,
        (("tools", ()),): False,
        (("recipe", (("uri", URI),)),): False,
    },
    "binding": {
        (("field", "public_key"), ("kind", "tls-spki-sha256")): True,
        (("field", "user_data"), ("kind", "tls-cert-sha256")): True,
        (("field", "user_data"), ("kind", "raw-key")): True,
        (("field", "nonce"), ("kind", "raw-key")): False,
        (("field", "public_key"), ("kind", "tls")): False,
        (("field", "public_key"),): False,
        (("kind", "raw-key"),): False,
    },
    "numbers": {
        (): True,
        (("svn", 0),): True,
        (("A" * 32, 2**53 - 1),): True,
        (("A" * 33, 1),): False,
        (("", 1),): False,
        (("s-v", 1),): False,
        (("svn", 2**53),): False,
        (("svn", -1),): False,
        (("svn", "1"),): False,
        (("svn", True),): False,
    },
}


def thawed(value: Any) -> Any:
    """Tuples of pairs, which can be keys of a table, as objects."""
    if isinstance(value, tuple):
        return {name: thawed(member) for name, member in value}
    return value


@pytest.mark.parametrize(
    ("member", "value"),
    [
        pytest.param(member, value, id=f"{member}-{number}")
        for member, values in RELEASE_VALUES.items()
        for number, value in enumerate(values)
    ],
)
def test_members_of_a_release_are_of_their_form(member: str, value: Any) -> None:
    taken = RELEASE_VALUES[member][value]
    assert legal(release(**{member: thawed(value)})) == taken


REFERENCE_KINDS = [
    "advisory",
    "build-log",
    "release-notes",
    "sbom",
    "slsa-provenance",
    "vex",
]


def test_references_are_of_the_kinds_of_the_protocol() -> None:
    rows = [{"kind": kind, **DOCUMENT} for kind in REFERENCE_KINDS]
    assert legal(release(references=rows))
    for kind in ("blog", "SBOM", ""):
        refused(release(references=[{"kind": kind, **DOCUMENT}]))
    for kind in ("Kms", "-kms", "a" * 33, "", "kms policy"):
        refused(release(controls=[{"kind": kind, "sha256": SHA}]))
    assert legal(release(controls=[{"kind": "a" * 32, "sha256": SHA}]))


def listed(name: str, count: int) -> Json:
    """A release with that many items in one of its lists."""
    rows: dict[str, list[Json]] = {
        "components": [
            {"product": f"p.example/x{n:02}", "sha256": SHA} for n in range(count)
        ],
        "controls": [{"kind": f"kms-{n:02}", "sha256": SHA} for n in range(count)],
        "references": [
            {"kind": "sbom", "uri": f"{URI}{n:02}", "sha256": SHA} for n in range(count)
        ],
        "tools": [{"name": f"tool-{n:02}", "sha256": SHA} for n in range(count)],
    }
    if name == "tools":
        return release(build={"recipe": DOCUMENT, "tools": rows[name]})
    if name == "numbers":
        return release(numbers={f"n{n:02}": n for n in range(count)})
    return release(**{name: rows[name]})


LISTS = {"components": 32, "controls": 32, "references": 16, "tools": 64, "numbers": 16}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_as_many_items_as_its_limit(name: str) -> None:
    parse(listed(name, LISTS[name]))
    refused(listed(name, LISTS[name] + 1), "at most")


@pytest.mark.parametrize("name", ["components", "controls", "references", "tools"])
def test_a_list_that_is_a_set_is_sorted_without_repeats(name: str) -> None:
    table = listed(name, 3)
    predicate = table["predicate"]
    rows = predicate["build"][name] if name == "tools" else predicate[name]
    rows.reverse()
    refused(table, "ascending")
    rows[:] = [rows[0], rows[0]]
    refused(table, "ascending")
    rows[:] = rows[:1]
    parse(table)


def test_what_differs_in_a_digest_alone_is_sorted_by_it() -> None:
    rows = [{"product": "p.example/x", "sha256": sha} for sha in (SHA, OTHER_SHA)]
    assert legal(release(components=rows))
    refused(release(components=rows[::-1]), "ascending")
    tools = [{"name": "nix", "sha256": sha} for sha in (SHA, OTHER_SHA)]
    assert legal(release(build={"recipe": DOCUMENT, "tools": tools}))
    refused(release(build={"recipe": DOCUMENT, "tools": tools[::-1]}), "ascending")


# --- audits --------------------------------------------------------------------------

AUDIT_OPTIONS: Json = {
    "source": SOURCE,
    "recipe": SHA,
    "found": [register("PCR0")],
    "open": {"critical": 0, "high": 0, "medium": 1, "low": 2},
    "basis": {"commit": COMMIT, "sha256": SHA},
    "components": SHA,
    "controls": SHA,
    "report": DOCUMENT,
    "expires": "2026-12-23T07:00:00Z",
}


def audit_is_legal(scope: str, result: str, platform: str, there: set[str]) -> bool:
    """The table's row, as sentences."""
    reproduction, controls = scope == "reproduction", scope == "controls-review"
    return all(
        [
            (platform == "source") == (scope == "source-review"),
            not (reproduction and result == "qualified"),
            ("source" in there) == reproduction,
            ("found" in there) == (reproduction and result == "fail"),
            ("open" in there) == (result == "qualified"),
            "basis" not in there or scope == "source-review",
            "components" not in there or reproduction,
            ("controls" in there) == controls,
            not ("expires" in there and result == "fail"),
            "expires" in there or not controls or result == "fail",
        ]
    )


@pytest.mark.parametrize("platform", ["aws-nitro", "artifact", "source"])
@pytest.mark.parametrize("result", ["pass", "qualified", "fail"])
@pytest.mark.parametrize("scope", statement.SCOPES)
def test_every_combination_of_an_audits_members_is_judged_as_the_table_says(
    scope: str, result: str, platform: str
) -> None:
    base = {
        "platform": platform,
        "scope": scope,
        "result": result,
        "performed": TIME,
        "issuer": "lab.example",
    }
    options = dict(AUDIT_OPTIONS)
    if platform == "artifact":
        options["found"] = SUBJECTS["artifact"]
    for chosen in product([False, True], repeat=len(options)):
        there = {
            name for name, is_there in zip(options, chosen, strict=True) if is_there
        }
        table = whole("audit", {**base, **{name: options[name] for name in there}})
        assert legal(table) == audit_is_legal(scope, result, platform, there), there


@pytest.mark.parametrize("result", ["", "passed", "Pass", "unknown"])
def test_an_audit_passes_is_qualified_or_fails(result: str) -> None:
    refused(audit(result=result))


def test_an_unknown_scope_is_kept_by_readers_and_refused_by_admission() -> None:
    """PROTOCOL.md 2.5: a pass counts for nothing, a fail counts."""
    for result in ("pass", "fail", "qualified"):
        parsed = parse(audit("fuzzing", result))
        with pytest.raises(MalformedError, match="unknown scope fuzzing"):
            statement.require_known(parsed)
    for scope in ("", "Fuzzing", "-x", "x" * 33):
        refused(audit(scope))


def test_an_unknown_scope_keeps_what_holds_for_every_audit() -> None:
    refused(audit("fuzzing", "qualified", open=None), "open: exactly when")
    refused(audit("fuzzing", open=AUDIT_OPTIONS["open"]), "open: exactly when")
    refused(audit("fuzzing", "fail", expires=TIME), "a fail does not expire")


@pytest.mark.parametrize("scope", statement.SCOPES)
@pytest.mark.parametrize("time", [TIME, "1970-01-01T00:00:00Z"])
def test_a_fail_never_expires(scope: str, time: str) -> None:
    refused(audit(scope, "fail", expires=time), "a fail does not expire")


@pytest.mark.parametrize("result", ["pass", "qualified"])
@pytest.mark.parametrize(
    ("days", "taken"), [(0, True), (90, True), (-1, True), (91, False), (365, False)]
)
def test_a_controls_review_holds_for_90_days_at_most(
    result: str,
    days: int,
    taken: bool,  # noqa: FBT001 - a parameter
) -> None:
    expires = format_time(parse_time(TIME) + days * 86_400)
    assert legal(audit("controls-review", result, expires=expires)) == taken


def test_90_days_are_counted_in_seconds() -> None:
    latest = parse_time(TIME) + 90 * 86_400
    assert legal(audit("controls-review", expires=format_time(latest)))
    refused(audit("controls-review", expires=format_time(latest + 1)), "90 days")


@pytest.mark.parametrize("scope", ["reproduction", "source-review"])
def test_another_audit_may_hold_for_ever(scope: str) -> None:
    assert legal(audit(scope, expires="9999-12-31T23:59:59Z"))
    assert legal(audit(scope))


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ([], True),
        ([register("PCR0")], True),
        ([register("PCR0"), register("PCR8")], True),
        ([register("PCR8"), register("PCR0")], False),
        ([register("PCR0"), register("PCR0")], False),
        ([register("PCR4")], False),
        ([register("PCR0", "sha256:" + "1" * 64)], False),
        ([register("X")], False),
        ([register(f"A{n:02}") for n in range(33)], False),
    ],
    ids=map(str, range(9)),
)
def test_found_are_registers_of_the_platform(found: list[Json], taken: bool) -> None:  # noqa: FBT001 - a parameter
    assert legal(audit(result="fail", found=found)) == taken


def test_what_was_found_on_an_unknown_platform_is_kept() -> None:
    table = audit(result="fail", platform="amd-sev-snp", found=SUBJECTS["amd-sev-snp"])
    predicate = parse({**table, "subject": SUBJECTS["amd-sev-snp"]}).predicate
    assert isinstance(predicate, Audit)
    assert predicate.found
    twice = SUBJECTS["amd-sev-snp"] * 2
    table = audit(result="fail", platform="amd-sev-snp", found=twice)
    refused({**table, "subject": SUBJECTS["amd-sev-snp"]}, "each once")


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low"])
def test_open_findings_name_all_four_severities(severity: str) -> None:
    table = audit("source-review", "qualified")
    counts = table["predicate"]["open"]
    for value, taken in ((0, True), (2**53 - 1, True), (2**53, False), (-1, False)):
        counts[severity] = value
        assert legal(table) == taken
    del counts[severity]
    assert not legal(table)
    counts |= {severity: 0, "info": 0}
    assert not legal(table)


# --- revocations ---------------------------------------------------------------------

REASONS = {
    "compromised": "measurement",
    "vulnerable": "measurement",
    "withdrawn": "statement",
    "erroneous": "statement",
    "superseded": "statement",
    "obsolete": "unknown",
}


@pytest.mark.parametrize("platform", ["aws-nitro", "artifact", "source"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_combination_of_a_revocations_members_is_judged_as_the_table_says(
    reason: str, platform: str
) -> None:
    options: Json = {"statement": SHA, "effective": TIME, "reference": DOCUMENT}
    for chosen in product([False, True], repeat=3):
        there = {n for n, is_there in zip(options, chosen, strict=True) if is_there}
        members = {name: options[name] for name in there}
        table = whole("revocation", {"platform": platform, "reason": reason, **members})
        expected = {
            "measurement": platform != "source" and there <= {"reference"},
            "statement": "statement" in there,
            "unknown": True,
        }[REASONS[reason]]
        if not expected:
            refused(table)
            continue
        parsed = parse(table)
        if reason == "obsolete":
            with pytest.raises(MalformedError, match="unknown reason obsolete"):
                statement.require_known(parsed)
        else:
            statement.require_known(parsed)


@pytest.mark.parametrize("reason", ["", "Withdrawn", "-x", "x" * 33, "with drawn"])
def test_a_reason_is_a_word(reason: str) -> None:
    refused(revocation(reason, statement=SHA))


# --- identities ----------------------------------------------------------------------


def test_every_combination_of_a_keys_members_is_judged_as_the_table_says() -> None:
    """`since` with compromised only; `use` the registrar's, required there."""
    for status, since, use, is_registrar in product(
        ["active", "retired", "compromised", "expired"],
        [None, 0, 7, 2**53 - 1, 2**53, -1],
        [None, "root", "enrol", "sign"],
        [False, True],
    ):
        row = key_row(status=status, since=since, use=use)
        make = registrar if is_registrar else identity
        expected = (
            status != "expired"
            and (since is None or (status == "compromised" and 0 <= since < 2**53))
            and use != "sign"
            and (use is not None) == is_registrar
        )
        assert legal(make(row)) == expected, (status, since, use, is_registrar)


@pytest.mark.parametrize(
    ("roles", "taken"),
    [
        ([], True),
        (["auditor"], True),
        (["provider"], True),
        (["auditor", "provider"], True),
        (["provider", "auditor"], False),
        (["provider", "provider"], False),
        (["registrar"], False),
        (["Provider"], False),
        ([""], False),
    ],
    ids=str,
)
def test_roles_are_a_set_of_two(roles: list[str], taken: bool) -> None:  # noqa: FBT001 - a parameter
    assert legal(identity(roles=roles)) == taken
    assert legal(registrar(roles=roles)) == (roles == [])


def test_an_identity_is_issued_by_its_name_or_the_registrar() -> None:
    assert legal(identity(issuer="acme.example"))
    assert legal(identity(issuer="registrar"))
    refused(identity(issuer="other.example"), "the name, or the registrar")
    refused(registrar(issuer="acme.example"), "the name, or the registrar")


def test_an_identity_has_no_platform() -> None:
    refused(identity(platform="aws-nitro"), "unknown field")
    refused(identity(identity=[["PCR0"]]), "unknown field")


@pytest.mark.parametrize(
    ("digits", "taken"),
    [
        ("", False),
        ("1", True),
        ("12", True),
        ("21", False),
        ("11", False),
        ("123", False),
        ("A", False),
    ],
)
def test_signers_are_one_or_two_keyids(digits: str, taken: bool) -> None:  # noqa: FBT001 - a parameter
    assert legal(identity(signers=[digit * 64 for digit in digits])) == taken
    refused(identity(signers=["1" * 63]))


def test_an_identity_has_1_to_16_keys() -> None:
    rows = [key_row(f"key {n}") for n in range(17)]
    assert legal(identity(*rows[:16]))
    refused(identity(*rows))
    refused(identity(keys=[]))


def test_keys_are_sorted_without_repeats() -> None:
    table = identity(key_row("one"), key_row("other"))
    reversed_keys = table["predicate"]["keys"][::-1]
    refused({**table, "predicate": {**table["predicate"], "keys": reversed_keys}})
    twice = [key_row("one"), key_row("one")]
    refused({**table, "predicate": {**table["predicate"], "keys": twice}})


def test_a_keyid_is_the_hash_of_the_key() -> None:
    refused(identity(key_row(keyid="1" * 64)), "keyid is not the SHA-256")
    other = key_row("other")["key"]
    refused(identity(key_row(key=other)), "keyid is not the SHA-256")


def test_the_subject_of_an_identity_is_its_keys() -> None:
    table = identity(key_row("one"), key_row("other"))
    rows = table["subject"]
    other = key_row("third")["keyid"]
    for subject in (
        [],
        rows[:1],
        rows[::-1],
        [*rows, register("f" * 64, "sha256:" + "f" * 64)],
        [rows[0], register(rows[1]["name"], f"sha256:{other}")],
        [rows[0], register(rows[1]["name"], f"sha512:{rows[1]['name']}")],
        SUBJECTS["aws-nitro"],
    ):
        refused({**table, "subject": subject})


def spki_row(spki: bytes) -> Json:
    return key_row(keyid=keyid_of(spki), key=encode_base64(spki))


def test_a_key_of_a_later_algorithm_is_kept_by_readers_and_refused_by_admission() -> (
    None
):
    """PROTOCOL.md 2.5: that key is unusable; the identity stands."""
    public = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parsed = parse(identity(key_row(), spki_row(spki)))
    with pytest.raises(MalformedError, match="unknown key algorithm"):
        statement.require_known(parsed)


@pytest.mark.parametrize(
    "spki",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"key", id="junk"),
        pytest.param(
            bytes.fromhex("302a300506032b6570032100") + bytes(32), id="order-4"
        ),
        pytest.param(
            bytes.fromhex("302a300506032b6570032100") + b"\x01" + bytes(31),
            id="identity",
        ),
        pytest.param(
            bytes.fromhex("302a300506032b6570032100")
            + b"\xee"
            + b"\xff" * 30
            + b"\x7f",
            id="not-canonical",
        ),
        pytest.param(
            bytes.fromhex(
                "3039301306072a8648ce3d020106082a8648ce3d030107032200"
                "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            ),
            id="compressed",
        ),
        pytest.param(b"\x30" * 513, id="too-long"),
    ],
)
def test_a_key_that_no_version_could_use_is_malformed(spki: bytes) -> None:
    refused(identity(spki_row(spki)))


@pytest.mark.parametrize("text", ["", "AAAA=", "AA", "-_-_", "x" * 700])
def test_a_key_is_canonical_base64(text: str) -> None:
    refused(identity(key_row(key=text)))


# --- a statement's own bytes ---------------------------------------------------------


def test_a_statement_is_named_by_the_hash_of_its_payload() -> None:
    data = data_of(release())
    assert statement.parse(data).payload == data
    assert statement.parse(data).sha256 == sha256(data).hex()


def test_free_text_has_no_place() -> None:
    """Each string of a release is bounded by a pattern: none takes a sentence."""
    table = release(**copy.deepcopy(RELEASE_OPTIONS))

    def strings(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if isinstance(value, str):
            yield at
        elif isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for name, member in items:
                yield from strings(member, (*at, name))

    places = list(strings(table))
    assert len(places) > 25
    for *above, last in places:
        changed: Any = copy.deepcopy(table)
        holder = changed
        for step in above:
            holder = holder[step]
        holder[last] = "This is fine."
        with pytest.raises((MalformedError, UncheckedError)):
            statement.parse(data_of(changed))
