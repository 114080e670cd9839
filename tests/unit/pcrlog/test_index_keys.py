"""Index keys: one function of an entry's bytes, for every monitor and for ever."""

import json
from hashlib import sha256
from typing import Any, TypeAlias

import pytest

from pcrlog import limits
from pcrlog.encoding import encode_base64
from pcrlog.index_keys import index_keys, key_hash, keys_of_payload, payload_of
from pcrlog.predicates import Component
from tests.support.memory_log import MemoryLog, active, key, registers

Json: TypeAlias = dict[str, Any]

PCR0 = "PCR0=sha384:" + "1" * 96
COMMIT = "commit=gitCommit:" + "c" * 40


def statement(kind: str = "release", edition: str = "v1", /, **members: Any) -> Json:
    """As small as can be: a member that is None is absent."""
    predicate = {
        "issuer": "acme.example",
        "platform": "aws-nitro",
        "identity": [["PCR0"]],
        "product": "acme.example/wallet",
        "version": "1.4.2",
        "name": "acme.example",
        **members,
    }
    return {
        "predicateType": f"urn:pcrlog:{kind}:{edition}",
        "predicate": {k: v for k, v in predicate.items() if v is not None},
        "subject": [{"name": "PCR0", "digest": {"sha384": "1" * 96}}],
    }


def leaf(table: object) -> bytes:
    payload = table if isinstance(table, bytes) else json.dumps(table).encode()
    return json.dumps({"payload": encode_base64(payload)}).encode()


def keys(table: object) -> set[str]:
    found = index_keys(leaf(table))
    assert len(set(found)) == len(found), "an index stands once a key"
    return set(found)


BY = f"v1/by/acme.example/aws-nitro/{PCR0}"
MEASUREMENT = f"v1/measurement/aws-nitro/{PCR0}"
PRODUCT = "v1/product/acme.example/wallet"
VERSION = "v1/version/acme.example/wallet/1.4.2"
ISSUER = "v1/issuer/acme.example"
RELEASE = {BY, MEASUREMENT, PRODUCT, VERSION, ISSUER}


def without(*names: str) -> set[str]:
    return RELEASE - set(names)


# --- real entries --------------------------------------------------------------------


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    made = MemoryLog()
    made.enroll("acme.example", "provider")
    made.enroll("lab.example", "auditor")
    library = Component("acme.example/library", "d" * 64)
    made.release(
        "acme.example/wallet",
        "1.4.2",
        registers("good"),
        variant="x86_64",
        components=(library,),
    )
    made.release(
        "acme.example/library",
        "2",
        {"digest": "sha256:" + "d" * 64},
        platform="artifact",
    )
    made.audit("lab.example", "source-review", {"commit": "gitCommit:" + "c" * 40})
    made.revoke("acme.example", "compromised", 3)
    made.revoke("lab.example", "erroneous", 5)
    made.seal()
    return made


def test_each_type_has_its_keys_and_no_others(log: MemoryLog) -> None:
    pcr0 = f"PCR0={registers('good')['PCR0']}"
    digest = "digest=sha256:" + "d" * 64
    expected = [
        {"v1/identity/registrar", "v1/issuer/registrar"},
        {"v1/identity/acme.example", "v1/issuer/registrar"},
        {"v1/identity/lab.example", "v1/issuer/registrar"},
        {
            f"v1/by/acme.example/aws-nitro/{pcr0}",
            f"v1/measurement/aws-nitro/{pcr0}",
            "v1/product/acme.example/wallet",
            "v1/version/acme.example/wallet/1.4.2",
            "v1/issuer/acme.example",
        },
        {
            f"v1/by/acme.example/artifact/{digest}",
            f"v1/measurement/artifact/{digest}",
            "v1/product/acme.example/library",
            "v1/version/acme.example/library/2",
            "v1/issuer/acme.example",
        },
        {f"v1/by/lab.example/source/{COMMIT}", "v1/issuer/lab.example"},
        {f"v1/by/acme.example/aws-nitro/{pcr0}", "v1/issuer/acme.example"},
        {f"v1/by/lab.example/source/{COMMIT}", "v1/issuer/lab.example"},
        set(),
    ]
    found = [set(index_keys(data)) for data in log.leaves]
    assert found == expected
    for index, entry in log.entries.items():
        assert keys_of_payload(entry.envelope.payload) == index_keys(log.leaves[index])


def test_an_identity_by_its_own_name_is_under_that_issuer() -> None:
    made = MemoryLog()
    made.enroll("acme.example", "provider")
    retired = active(key("acme.example"))
    made.identify(
        "acme.example",
        retired,
        [key("acme.example")],
        issuer="acme.example",
        force=True,
    )
    found = set(index_keys(made.leaves[-1]))
    assert found == {"v1/identity/acme.example", ISSUER}


def test_a_key_is_hashed_for_the_trie() -> None:
    assert key_hash(ISSUER) == sha256(b"v1/issuer/acme.example").digest()


def test_a_payload_has_the_keys_of_its_entry() -> None:
    table = statement()
    assert keys(table) == set(keys_of_payload(json.dumps(table).encode())) == RELEASE


def test_an_entry_has_a_payload_however_ill_formed_the_rest_is() -> None:
    raw = json.dumps(statement()).encode()
    assert payload_of(leaf(raw)) == raw
    assert payload_of(leaf(b"no statement")) == b"no statement"
    assert payload_of(b'{"payload":"","signatures":1}') == b""


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"pcrlog/seal/v1\n", id="seal"),
        pytest.param(b" " + leaf(b""), id="another-first-byte"),
        pytest.param(b"{", id="no-json"),
        pytest.param(b"{}", id="no-payload"),
        pytest.param(b'{"payload":1}', id="payload-a-number"),
        pytest.param(b'{"payload":"e30"}', id="payload-not-canonical"),
        pytest.param(b'{"payload":"","later":"' + b"[" * 1000 + b'"}', id="brackets"),
    ],
)
def test_what_is_no_envelope_has_no_payload(broken: bytes) -> None:
    assert payload_of(broken) is None


# --- by family, whatever the version and the platform --------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("release", RELEASE),
        ("audit", {BY, ISSUER}),
        ("revocation", {BY, ISSUER}),
        ("identity", {"v1/identity/acme.example", ISSUER}),
        ("info", {BY, ISSUER}),
        ("later", {BY, ISSUER}),
        ("releases", {BY, ISSUER}),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2", "v10", "sbom:v1", ""])
def test_the_family_decides_whatever_the_version(
    kind: str, version: str, expected: set[str]
) -> None:
    assert keys(statement(kind, version)) == expected


@pytest.mark.parametrize(
    ("platform", "names", "m"),
    [
        ("intel-sgx", [["MRENCLAVE"]], ["MRENCLAVE=sha256:00ff"]),
        ("aws-nitrotpm", [["PCR4", "PCR12"]], ["PCR4=sha384:04,PCR12=sha384:0c"]),
        ("x" * 32, [["PCR4"], ["PCR12"]], ["PCR4=sha384:04", "PCR12=sha384:0c"]),
        ("aws-nitro", [["PCR12"]], ["PCR12=sha384:0c"]),
    ],
)
def test_an_unknown_platform_is_indexed(
    platform: str, names: list[list[str]], m: list[str]
) -> None:
    """The statement says which registers identify; no table of platforms is asked."""
    table = statement("audit", platform=platform, identity=names)
    table["subject"] = [
        {"name": "MRENCLAVE", "digest": {"sha256": "00ff"}},
        {"name": "PCR12", "digest": {"sha384": "0c"}},
        {"name": "PCR4", "digest": {"sha384": "04"}},
    ]
    by = {f"v1/by/acme.example/{platform}/{one}" for one in m}
    assert keys(table) == by | {ISSUER}
    table["predicateType"] = "urn:pcrlog:release:v3"
    measured = {f"v1/measurement/{platform}/{one}" for one in m}
    assert keys(table) == by | measured | {PRODUCT, VERSION, ISSUER}


def test_lists_that_give_one_measurement_twice_give_one_key() -> None:
    assert keys(statement(identity=[["PCR0"], ["PCR0"]])) == RELEASE


def test_a_list_with_a_gap_gives_none_and_spares_the_others() -> None:
    assert (
        keys(statement(identity=[["PCR9"], ["PCR0"], ["PCR0", "PCR9"], []])) == RELEASE
    )


def test_members_that_this_version_does_not_know_change_nothing() -> None:
    table = statement(later={"a": [1, None, 1.5, "é"]})
    assert keys({**table, "later": True}) == RELEASE


# --- members of another shape --------------------------------------------------------

WRONG = [None, 1, 1.5, True, [], ["x"], {}, {"x": "y"}, "", " ", "é", "a b", "A/", "\n"]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: ascii(json.dumps(value)))
@pytest.mark.parametrize(
    ("member", "lost"),
    [
        ("issuer", {BY, ISSUER}),
        ("platform", {BY, MEASUREMENT}),
        ("identity", {BY, MEASUREMENT}),
        ("product", {PRODUCT, VERSION}),
        ("version", {VERSION}),
    ],
)
def test_a_member_of_another_shape_drops_its_keys_alone(
    member: str, lost: set[str], value: object
) -> None:
    table = statement()
    table["predicate"][member] = value
    assert keys(table) == RELEASE - lost
    del table["predicate"][member]
    assert keys(table) == RELEASE - lost


@pytest.mark.parametrize("value", WRONG, ids=lambda value: ascii(json.dumps(value)))
def test_an_identitys_name_of_another_shape_drops_its_key_alone(value: object) -> None:
    table = statement("identity")
    table["predicate"]["name"] = value
    assert keys(table) == {ISSUER}


@pytest.mark.parametrize(
    ("member", "value", "lost"),
    [
        ("issuer", "a" * 64, {BY, ISSUER}),
        ("issuer", "acme.example\n", {BY, ISSUER}),
        ("issuer", "ACME.example", {BY, ISSUER}),
        ("platform", "x" * 33, {BY, MEASUREMENT}),
        ("platform", "aws_nitro", {BY, MEASUREMENT}),
        ("platform", "aws-nitro\n", {BY, MEASUREMENT}),
        ("product", "acme.example", {PRODUCT, VERSION}),
        ("product", "acme.example/" + "x" * 64, {PRODUCT, VERSION}),
        ("product", "acme.example/a/b", {PRODUCT, VERSION}),
        ("product", "acme.example/wallet\n", {PRODUCT, VERSION}),
        ("version", "1" * 65, {VERSION}),
        ("version", "1/2", {VERSION}),
        ("version", "1\n", {VERSION}),
    ],
)
def test_a_string_of_another_form_drops_its_keys_alone(
    member: str, value: str, lost: set[str]
) -> None:
    assert keys(statement(**{member: value})) == RELEASE - lost


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param("PCR0", id="a-string"),
        pytest.param(["PCR0"], id="a-list-of-strings"),
        pytest.param({"PCR0": ["PCR0"]}, id="an-object"),
        pytest.param([{"PCR0": 1}], id="a-list-of-objects"),
        pytest.param([["PCR0", None]], id="null-among-the-names"),
        pytest.param([[["PCR0"]]], id="too-deep"),
        pytest.param([[0]], id="a-number"),
        pytest.param([[None]], id="null"),
        pytest.param([[True]], id="true"),
        pytest.param([["a" * 33]], id="name-too-long"),
        pytest.param([["a-b"]], id="name-of-another-form"),
    ],
)
def test_an_identity_of_another_shape_gives_no_measurement(identity: object) -> None:
    """Whatever registers there are, with names as they would be made of it."""
    table = statement(identity=identity)
    names = ["PCR0", "P", "C", "R", "0", "None", "True", "a" * 33, "a-b", "['PCR0']"]
    table["subject"] = [{"name": n, "digest": {"sha384": "11"}} for n in names]
    assert keys(table) == without(BY, MEASUREMENT)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"name": "PCR0", "digest": {"sha384": 11}}, id="number-as-digest"),
        pytest.param({"name": "PCR0", "digest": {"sha384": None}}, id="null-as-digest"),
        pytest.param(
            {"name": "PCR0", "digest": {"sha384": ["11"]}}, id="list-as-digest"
        ),
        pytest.param({"name": "PCR0", "digest": {"sha384": "1"}}, id="one-digit"),
        pytest.param({"name": "PCR0", "digest": {"sha384": "AB"}}, id="upper-case"),
        pytest.param({"name": "PCR0", "digest": {"sha384": "1" * 129}}, id="too-long"),
        pytest.param({"name": "PCR0", "digest": {"sha384": "11\n"}}, id="newline"),
        pytest.param({"name": "PCR0", "digest": {"sha-384": "11"}}, id="algorithm"),
        pytest.param({"name": "PCR0", "digest": {"s" * 33: "11"}}, id="long-algorithm"),
        pytest.param({"name": "PCR0", "digest": {"": "11"}}, id="no-algorithm"),
        pytest.param({"name": "PCR0", "digest": {}}, id="no-digest"),
        pytest.param(
            {"name": "PCR0", "digest": {"sha256": "11", "sha384": "11"}},
            id="two-digests",
        ),
        pytest.param({"name": "PCR0", "digest": "sha384:11"}, id="digest-no-object"),
        pytest.param({"name": "PCR0"}, id="digest-absent"),
        pytest.param({"digest": {"sha384": "11"}}, id="name-absent"),
        pytest.param({"name": ["PCR0"], "digest": {"sha384": "11"}}, id="name-a-list"),
        pytest.param("PCR0", id="a-string"),
        pytest.param(None, id="null"),
    ],
)
def test_a_register_of_another_shape_gives_no_measurement(row: object) -> None:
    table = statement()
    assert keys({**table, "subject": [row]}) == without(BY, MEASUREMENT)


@pytest.mark.parametrize(
    "subject", [None, 1, "PCR0", {}, {"name": "PCR0"}, []], ids=str
)
def test_a_subject_of_another_shape_gives_no_measurement(subject: object) -> None:
    table = statement()
    assert keys({**table, "subject": subject}) == without(BY, MEASUREMENT)
    del table["subject"]
    assert keys(table) == without(BY, MEASUREMENT)


def test_a_register_that_stands_twice_gives_no_measurement() -> None:
    table = statement()
    for digest in ({"sha384": "1" * 96}, {"sha384": "2" * 96}):
        rows = [*table["subject"], {"name": "PCR0", "digest": digest}]
        assert keys({**table, "subject": rows}) == without(BY, MEASUREMENT)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="brace"),
        pytest.param(b"pcrlog/seal/v1\n", id="seal"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="object"),
        pytest.param(b"{}" + leaf(statement()), id="two-objects"),
        pytest.param(b" " + leaf(statement()), id="another-first-byte"),
        pytest.param(b'{"payload":1}', id="payload-a-number"),
        pytest.param(b'{"payload":null}', id="payload-null"),
        pytest.param(b'{"payload":["e30="]}', id="payload-a-list"),
        pytest.param(b'{"payload":""}', id="payload-empty"),
        pytest.param(b'{"payload":"e30"}', id="payload-not-canonical"),
        pytest.param('{"payload":"é"}'.encode(), id="payload-not-ascii"),
        pytest.param(b'{"payload":"\xff"}', id="not-utf-8"),
        pytest.param(rb'{"payload":"\ud800"}', id="lone-surrogate"),
        pytest.param(b'{"payload":' + b"[" * 100_000, id="depth"),
        pytest.param(leaf([]), id="statement-a-list"),
        pytest.param(leaf("x"), id="statement-a-string"),
        pytest.param(leaf(None), id="statement-null"),
        pytest.param(leaf(b"[" * 10_000), id="statement-of-depth"),
        pytest.param(leaf(b"\xff"), id="statement-not-utf-8"),
        pytest.param(leaf({"predicate": {}}), id="no-type"),
        pytest.param(
            leaf({"predicateType": "urn:pcrlog:release:v1"}), id="no-predicate"
        ),
        *(
            pytest.param(
                leaf({**statement(), "predicate": value}), id=f"predicate-{value}"
            )
            for value in (None, 1, "x", ["issuer"])
        ),
    ],
)
def test_what_is_no_statement_has_no_keys_and_raises_nothing(broken: bytes) -> None:
    assert index_keys(broken) == ()


def test_the_spelling_of_the_json_does_not_matter() -> None:
    """Only admission is strict: an index has to be the same for ever."""
    table = statement()
    spaced = json.dumps(table, indent=2).encode()
    assert keys(spaced) == RELEASE
    reordered = json.dumps(dict(reversed(table.items()))).encode()
    assert keys(reordered) == RELEASE


def found_at(frames: int, data: bytes) -> tuple[str, ...]:
    """The keys, as somebody finds them who stands that deep in calls of their own."""
    return index_keys(data) if frames == 0 else found_at(frames - 1, data)


def nested(depth: int, tag: str) -> bytes:
    """A release with a member of that depth; the tag tells one from another."""
    raw = json.dumps(statement(later=tag)).encode()
    spelled = json.dumps(tag).encode()
    return leaf(raw.replace(spelled, b"[" * depth + spelled + b"]" * depth))


@pytest.mark.parametrize("depth", [10, 100, 500, 800, 900, 2000])
def test_the_keys_are_the_same_however_deep_the_caller_stands(depth: int) -> None:
    """Or two monitors would compute two indices over one log."""
    assert found_at(0, nested(depth, "one")) == found_at(300, nested(depth, "other"))


def test_more_brackets_than_any_statement_needs_mean_no_keys() -> None:
    """Wherever they stand; so the depth is bounded for every decoder there is."""
    fixed = json.dumps(statement(later="")).count("[") + json.dumps(
        statement(later="")
    ).count("{")
    for bracket in "[{":
        most = bracket * (limits.BRACKETS - fixed)
        assert keys(statement(later=most)) == RELEASE
        assert keys(statement(later=most + bracket)) == set()
    envelope = json.loads(leaf(statement()))
    for count, found in ((limits.BRACKETS - 1, RELEASE), (limits.BRACKETS, set())):
        wide = json.dumps({**envelope, "later": "[" * count}).encode()
        assert set(index_keys(wide)) == found


def test_the_largest_statements_have_their_keys() -> None:
    """All lists as long as they may be: the bound on brackets leaves room."""
    rows = [{"name": f"tool-{n:02}", "sha256": "0" * 64} for n in range(limits.TOOLS)]
    lists = {
        "build": {"recipe": {}, "tools": rows},
        "components": rows[: limits.COMPONENTS],
        "controls": rows[: limits.CONTROLS],
        "references": rows[: limits.REFERENCES],
    }
    table = statement(image={}, source={}, binding={}, numbers={}, **lists)
    digest = table["subject"][0]["digest"]
    names = [f"A{n:02}" for n in range(limits.SUBJECT_REGISTERS - 1)]
    table["subject"] += [{"name": name, "digest": digest} for name in names]
    assert keys(table) == RELEASE
