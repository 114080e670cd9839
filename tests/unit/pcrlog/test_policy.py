"""Policies: each demand read, each typing mistake an error, SemVer, durations."""

import copy
import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Any, TypeAlias

import pytest

from pcrlog import limits
from pcrlog.errors import MalformedError, UsageError
from pcrlog.note import COSIGNATURE, ED25519, NoteSigner
from pcrlog.policy import EXAMPLE, Policy, parse_duration
from pcrlog.semver import semver

Table: TypeAlias = dict[str, Any]

WALLET = "acme.example/wallet"


def vkey(name: str, kind: int = COSIGNATURE, seed: str = "") -> str:
    return str(NoteSigner(name, sha256((seed or name).encode()).digest(), kind).public)


def keyid(digit: str) -> str:
    return digit * 64


FULL: Table = {
    "format": "pcrlog-policy/v1",
    "version": 7,
    "valid_until": "2027-11-23T00:00:00Z",
    "clock_skew": "90s",
    "clock": "attested",
    "archives": True,
    "distrust": {
        "statements": [keyid("a")],
        "keys": [keyid("b")],
        "measurements": ["aws-nitro/PCR0=sha384:" + "c" * 96],
    },
    "log": [
        {
            "vkey": vkey("log.example/pcr", ED25519),
            "url": "https://log.example/pcr/",
            "registrar": keyid("d"),
            "max_age": "12h",
            "frozen_until": "2030-01-01T00:00:00Z",
            "witnesses": {
                "quorum": 2,
                "keys": [vkey(f"w{n}.example") for n in range(3)],
            },
            "index_monitors": {"quorum": 1, "keys": [vkey("m.example")]},
        }
    ],
    "platforms": {
        "aws-nitro": {
            "roots": ["builtin"],
            "max_age": "10m",
            "nonce": "optional",
            "operator": "aws",
        }
    },
    "products": {
        WALLET: {
            "platforms": ["aws-nitro"],
            "lowest_version": "1.4.0",
            "links": [1, 2, 3, 4],
            "channel": "required",
            "components": "report",
            "auditors": [
                {"name": "lab.example", "scopes": ["reproduction", "source-review"]},
                {"name": "lens.example", "scopes": ["source-review"]},
                {"name": "kms.example", "scopes": ["controls-review"]},
            ],
            "counts": {"reproduction": 1, "source-review": 2, "controls-review": 1},
            "open_findings": {"critical": 0, "high": 1, "medium": 2, "low": 3},
            "pins": {"acme.example": [keyid("e")], "lab.example": [keyid("f")]},
            "operator": "acme",
            "ground": "separate",
        },
        "acme.example/*": {"platforms": ["aws-nitro"]},
    },
}


def inline(value: object) -> str:
    """A value as TOML spells it on one line."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)} = {inline(one)}" for name, one in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def toml(table: Table) -> bytes:
    return "".join(f"{name} = {inline(one)}\n" for name, one in table.items()).encode()


def parse(table: Table) -> Policy:
    return Policy.parse(toml(table))


@pytest.fixture
def table() -> Table:
    return copy.deepcopy(FULL)


def refused(table: Table, match: str = "policy") -> None:
    with pytest.raises(UsageError, match=match):
        parse(table)


def at(table: Table, *path: str | int) -> Any:
    found: Any = table
    for step in path:
        found = found[step]
    return found


# --- what is read --------------------------------------------------------------------


def test_every_member_is_read() -> None:
    policy = parse(FULL)
    assert policy.sha256 == sha256(toml(FULL)).hexdigest()
    assert policy.version == 7
    assert policy.valid_until == 1_826_928_000
    assert policy.clock_skew == 90
    assert policy.clock_attested
    assert policy.archives
    assert policy.distrust.statements == (keyid("a"),)
    assert policy.distrust.keys == (keyid("b"),)
    assert policy.distrust.measurements == ("aws-nitro/PCR0=sha384:" + "c" * 96,)
    [(name, log)] = policy.logs.items()
    assert name == log.key.name == "log.example/pcr"
    assert log.url == "https://log.example/pcr"
    assert log.registrar == keyid("d")
    assert (log.max_age, log.frozen_until) == (43_200, 1_893_456_000)
    assert log.witnesses is not None
    assert log.witnesses.least == 2
    assert [key.name for key in log.witnesses.keys] == [
        f"w{n}.example" for n in range(3)
    ]
    assert log.index_monitors is not None
    assert [str(key) for key in log.index_monitors.keys] == [vkey("m.example")]
    nitro = policy.platforms["aws-nitro"]
    assert (nitro.roots, nitro.max_age) == (("builtin",), 600)
    assert (nitro.nonce_required, nitro.operator) == (False, "aws")
    product = policy.product(WALLET)
    assert product.platforms == ("aws-nitro",)
    assert product.lowest_version == "1.4.0"
    assert product.links == (1, 2, 3, 4)
    assert (product.channel, product.components) == ("required", "report")
    assert [one.name for one in product.auditors] == [
        "lab.example",
        "lens.example",
        "kms.example",
    ]
    assert product.auditors[0].scopes == ("reproduction", "source-review")
    assert product.counts.of("reproduction") == 1
    assert product.counts.of("source-review") == 2
    assert product.counts.of("controls-review") == 1
    findings = {"critical": 0, "high": 1, "medium": 2, "low": 3}
    assert product.open_findings == findings
    assert product.pins == {
        "acme.example": (keyid("e"),),
        "lab.example": (keyid("f"),),
    }
    assert (product.operator, product.ground) == ("acme", "separate")


def test_the_example_is_a_policy() -> None:
    policy = Policy.parse(EXAMPLE.encode())
    assert policy.product(WALLET).links == (1, 2, 3)
    assert policy.product(WALLET).channel == "required"
    assert policy.platforms["aws-nitro"].nonce_required
    assert not policy.clock_attested
    [log] = policy.logs.values()
    assert log.witnesses is log.index_monitors is None


REQUIRED: list[tuple[str | int, ...]] = [
    ("format",),
    ("version",),
    ("valid_until",),
    ("log",),
    ("platforms",),
    ("log", 0, "vkey"),
    ("log", 0, "url"),
    ("log", 0, "registrar"),
    ("log", 0, "witnesses"),
    ("log", 0, "index_monitors"),
    ("log", 0, "witnesses", "quorum"),
    ("log", 0, "witnesses", "keys"),
    ("log", 0, "index_monitors", "quorum"),
    ("log", 0, "index_monitors", "keys"),
    ("platforms", "aws-nitro"),
    ("platforms", "aws-nitro", "roots"),
    ("products", WALLET, "platforms"),
    ("products", WALLET, "auditors", 0, "name"),
    ("products", WALLET, "auditors", 0, "scopes"),
]


def members(
    value: Any, above: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    """The path of each member of each table."""
    if isinstance(value, list):
        for place, one in enumerate(value):
            yield from members(one, (*above, place))
    if isinstance(value, dict):
        for name, one in value.items():
            yield (*above, name)
            yield from members(one, (*above, name))


def dotted(path: tuple[str | int, ...]) -> str:
    return "-".join(map(str, path))


@pytest.mark.parametrize("path", list(members(FULL)), ids=dotted)
def test_a_required_member_is_required_and_an_optional_one_is_not(
    path: tuple[str | int, ...], table: Table
) -> None:
    """A quorum is waived by a word alone, never by its absence."""
    del at(table, *path[:-1])[path[-1]]
    if path == ("products", WALLET, "auditors"):
        refused(table, "passes from 0 auditors")
        del table["products"][WALLET]["counts"]
    first = tuple(0 if isinstance(step, int) else step for step in path)
    if first in REQUIRED or path == ("products", "acme.example/*", "platforms"):
        refused(table)
    else:
        parse(table)


def test_what_is_left_out_has_the_protocols_default(table: Table) -> None:
    for name in ("clock_skew", "clock", "archives", "distrust"):
        del table[name]
    for name in ("max_age", "frozen_until"):
        del table["log"][0][name]
    for name in ("max_age", "nonce", "operator"):
        del table["platforms"]["aws-nitro"][name]
    table["log"][0] |= {"witnesses": "none", "index_monitors": "none"}
    table["products"] = {WALLET: {"platforms": ["aws-nitro"]}}
    policy = parse(table)
    assert (policy.clock_skew, policy.clock_attested, policy.archives) == (
        300,
        False,
        False,
    )
    assert not any(
        (policy.distrust.statements, policy.distrust.keys, policy.distrust.measurements)
    )
    [log] = policy.logs.values()
    assert (log.max_age, log.frozen_until) == (86_400, None)
    assert log.witnesses is log.index_monitors is None
    nitro = policy.platforms["aws-nitro"]
    assert (nitro.max_age, nitro.nonce_required, nitro.operator) == (300, True, None)
    product = policy.product(WALLET)
    assert product.links == (1, 2)
    assert (product.channel, product.components) == ("optional", "refuse")
    assert not product.auditors
    assert not product.pins
    assert product.open_findings is None
    assert product.lowest_version is None
    assert (product.operator, product.ground) == (None, "any")
    assert [
        product.counts.of(scope) for scope in ("reproduction", "source-review")
    ] == [
        1,
        1,
    ]


# --- typing mistakes -----------------------------------------------------------------


def tables(
    value: Any, above: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    """The path of each table whose members have fixed names."""
    named = above in {("platforms",), ("products",)} or above[-1:] == ("pins",)
    if isinstance(value, dict) and not named:
        yield above
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in items:
        if isinstance(one, dict | list):
            yield from tables(one, (*above, name))


@pytest.mark.parametrize(
    "path", list(tables(FULL)), ids=lambda path: dotted(path) or "-"
)
def test_an_unknown_member_is_an_error_at_every_level(
    path: tuple[str | int, ...], table: Table
) -> None:
    at(table, *path)["unknown"] = 1
    refused(table)


@pytest.mark.parametrize("path", list(members(FULL)), ids=dotted)
def test_a_member_of_another_type_is_an_error(
    path: tuple[str | int, ...], table: Table
) -> None:
    holder = at(table, *path[:-1])
    values: list[object] = [1.5, [[]], [1.5], {"\x7f": 1}]
    for value in values:
        holder[path[-1]] = value
        refused(table)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "pcrlog-policy/v2"),
        (("version",), "7"),
        (("version",), True),
        (("valid_until",), "2027-11-23"),
        (("valid_until",), "2027-02-30T00:00:00Z"),
        (("clock_skew",), "5"),
        (("clock_skew",), 300),
        (("clock",), "remote"),
        (("archives",), "true"),
        (("archives",), 1),
        (("distrust", "statements"), [keyid("A")]),
        (("distrust", "keys"), ["a" * 63]),
        (("distrust", "keys"), [keyid("a") + "\n"]),
        (("distrust", "measurements"), ["PCR0=sha384:00"]),
        (("distrust", "measurements"), ["aws-nitro/PCR0"]),
        (("log",), []),
        (("log", 0, "vkey"), vkey("w.example")),
        (("log", 0, "vkey"), vkey("a.example", ED25519)[:-1]),
        (("log", 0, "registrar"), "registrar"),
        (("log", 0, "registrar"), keyid("d") + "\n"),
        (("log", 0, "max_age"), "1w"),
        (("log", 0, "frozen_until"), "never"),
        (("log", 0, "witnesses"), "None"),
        (("log", 0, "witnesses"), ""),
        (("log", 0, "witnesses"), []),
        (("log", 0, "witnesses", "quorum"), 0),
        (("log", 0, "witnesses", "quorum"), 4),
        (("log", 0, "witnesses", "quorum"), 65),
        (("log", 0, "witnesses", "keys"), []),
        (("log", 0, "witnesses", "keys"), ["w1.example", "w2.example"]),
        (
            ("log", 0, "witnesses", "keys"),
            [vkey("w1.example", ED25519), vkey("w2.example", ED25519)],
        ),
        (("log", 0, "index_monitors", "keys"), [vkey("m.example", ED25519)]),
        (("platforms",), {}),
        (("platforms",), {"aws-nitro ": {"roots": ["builtin"]}}),
        (("platforms", "aws-nitro", "roots"), []),
        (("platforms", "aws-nitro", "roots"), "builtin"),
        (("platforms", "aws-nitro", "roots"), ["builtin"] * 9),
        (("platforms", "aws-nitro", "max_age"), "-5m"),
        (("platforms", "aws-nitro", "nonce"), "no"),
        (("products", WALLET, "platforms"), []),
        (("products", WALLET, "platforms"), ["amd-sev-snp"]),
        (("products", WALLET, "lowest_version"), "1.4"),
        (("products", WALLET, "lowest_version"), "v1.4.0"),
        (("products", WALLET, "links"), [0]),
        (("products", WALLET, "links"), [8]),
        (("products", WALLET, "links"), ["1"]),
        (("products", WALLET, "channel"), True),
        (("products", WALLET, "components"), "ignore"),
        (("products", WALLET, "auditors", 0, "scopes"), []),
        (("products", WALLET, "auditors", 0, "scopes"), ["fuzzing"]),
        (("products", WALLET, "auditors", 0, "name"), "Lab.example"),
        (("products", WALLET, "auditors", 0, "name"), "lab.example\n"),
        (("products", WALLET, "auditors", 0, "name"), "lens.example"),
        (("products", WALLET, "counts", "reproduction"), 0),
        (("products", WALLET, "counts", "reproduction"), 2),
        (("products", WALLET, "counts", "source-review"), 3),
        (("products", WALLET, "counts"), {"source_review": 1}),
        (("products", WALLET, "open_findings"), {"severe": 0}),
        (("products", WALLET, "open_findings", "high"), "none"),
        (("products", WALLET, "pins"), {"ACME.example": [keyid("e")]}),
        (("products", WALLET, "pins"), {"acme.example": keyid("e")}),
        (("products", WALLET, "pins"), {"acme.example": ["e"]}),
    ],
    ids=lambda value: dotted(value) if isinstance(value, tuple) else ascii(value)[-24:],
)
def test_a_value_out_of_its_form_is_an_error(
    path: tuple[str | int, ...], value: object, table: Table
) -> None:
    at(table, *path[:-1])[path[-1]] = value
    refused(table)


@pytest.mark.parametrize(
    "measurement",
    [
        "aws-nitro/PCR0=sha384:00",
        f"aws-nitro/PCR1=sha384:{'1a' * 47}01",
        f"aws-nitro/PCR0=sha384:{'1a' * 47}02,PCR1=sha384:{'1a' * 47}02",
        f"aws-nitro-enclaves/PCR0=sha384:{'1a' * 47}03",
        f"aws-nitrotpm/PCR4=sha384:{'1a' * 47}04",
        f"aws-nitrotpm/PCR12=sha384:{'00' * 48},PCR4=sha384:{'1a' * 47}05",
        f"intel-sgx/MRSIGNER=sha256:{'1a' * 31}06",
    ],
)
def test_distrust_of_what_no_document_can_be_is_an_error(
    measurement: str, table: Table
) -> None:
    """It would distrust nothing, and nobody would be told."""
    at(table, "distrust")["measurements"] = [measurement]
    refused(table, match="aws-nitro|intel-sgx")


def test_distrust_of_what_two_registers_identify_names_them_in_order(
    table: Table,
) -> None:
    instance = f"aws-nitrotpm/PCR4=sha384:{'1a' * 48},PCR12=sha384:{'00' * 48}"
    at(table, "distrust")["measurements"] = [instance]
    assert parse(table).distrust.measurements == (instance,)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("acme.example/wallet", True),
        ("acme.example/*", True),
        ("a/0", True),
        ("a/" + "x" * 63, True),
        ("a/" + "x" * 64, False),
        ("a" * 31 + "." + "b" * 32 + "/*", True),
        ("a" * 32 + "." + "b" * 32 + "/*", False),
        ("*", False),
        ("*/wallet", False),
        ("*/*", False),
        ("acme.example", False),
        ("acme.example/", False),
        ("acme.example/w*", False),
        ("acme.example/**", False),
        ("acme.example/a/*", False),
        ("acme.*/wallet", False),
        ("ACME.example/wallet", False),
        ("acme.example/Wallet", False),
        ("acme.example/wallet\n", False),
        ("", False),
    ],
)
def test_a_product_is_exact_or_all_of_a_providers(
    name: str,
    taken: bool,  # noqa: FBT001 - a parameter
    table: Table,
) -> None:
    table["products"] = {name: {"platforms": ["aws-nitro"]}}
    if taken:
        assert name in parse(table).products
    else:
        refused(table, "expected a product")


def test_an_unknown_platform_is_an_error(table: Table) -> None:
    table["platforms"]["amd-sev-snp"] = {"roots": ["builtin"]}
    refused(table, "unknown platform amd-sev-snp")


def test_no_demand_is_read_and_then_forgotten(table: Table) -> None:
    """Accepted statuses mean nothing to this platform: better refused than ignored."""
    table["platforms"]["aws-nitro"]["statuses"] = ["current"]
    refused(table)


# --- keys that stand twice -----------------------------------------------------------


def test_a_key_of_a_witness_stands_once_whatever_its_name(table: Table) -> None:
    """One key under two names must not count twice in a quorum."""
    keys = table["log"][0]["witnesses"]["keys"]
    keys[2] = keys[0]
    refused(table, "a key stands twice")
    keys[2] = vkey("another.example", seed="w0.example")
    refused(table, "a key stands twice")


def test_a_key_is_not_both_a_witness_and_an_index_monitor(table: Table) -> None:
    for key in (vkey("w0.example"), vkey("another.example", seed="w0.example")):
        table["log"][0]["index_monitors"]["keys"] = [key]
        refused(table, "a key stands twice")


def test_the_logs_own_key_witnesses_nothing(table: Table) -> None:
    own = vkey("w.example", seed="log.example/pcr")
    for part in ("witnesses", "index_monitors"):
        changed = copy.deepcopy(table)
        changed["log"][0][part]["keys"][0] = own
        refused(changed, "a key stands twice")


def test_a_log_stands_once(table: Table) -> None:
    table["log"].append(copy.deepcopy(table["log"][0]))
    refused(table, "log log.example/pcr stands twice")
    table["log"][1]["vkey"] = vkey("other.example/pcr", ED25519)
    assert set(parse(table).logs) == {"log.example/pcr", "other.example/pcr"}


# --- which table is a product's ------------------------------------------------------


def test_the_exact_table_comes_before_the_providers(table: Table) -> None:
    policy = parse(table)
    assert policy.product(WALLET).channel == "required"
    assert policy.product("acme.example/other").channel == "optional"
    assert policy.product("acme.example/other") == policy.products["acme.example/*"]


@pytest.mark.parametrize(
    "name", ["other.example/wallet", "acme.example.other/x", "sub.acme.example/x", "x"]
)
def test_a_product_that_the_policy_does_not_name_is_an_error(
    name: str, table: Table
) -> None:
    policy = parse(table)
    assert policy.find_product(name) is None
    with pytest.raises(UsageError, match=f"does not name {name}"):
        policy.product(name)


# --- files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="json"),
        pytest.param(b"\xff", id="not-utf-8"),
        pytest.param(b"a = ", id="cut"),
        pytest.param(b"a = " + b"[" * 100_000, id="depth"),
        pytest.param(b"a = " + b"{a=" * 50_000, id="depth-of-tables"),
        pytest.param(b"a." * 2_000 + b"a = 1", id="depth-of-names"),
        pytest.param(b"version = " + b"9" * 10_000, id="long-number"),
        pytest.param(toml(FULL) + b"version = 8\n", id="member-twice"),
        pytest.param(toml(FULL) + b"\x00", id="control"),
        pytest.param(
            toml(FULL).replace(b'"2027-11-23T00:00:00Z"', b"2027-11-23T00:00:00Z"),
            id="time-without-quotes",
        ),
        pytest.param(toml(FULL).replace(b"= 7", b"= nan"), id="nan"),
    ],
)
def test_what_is_no_policy_is_a_usage_error(data: bytes) -> None:
    with pytest.raises(UsageError, match="policy"):
        Policy.parse(data)


def test_a_policy_has_at_most_256_kib() -> None:
    data = toml(FULL)
    padded = data + b"#" * (limits.POLICY - len(data))
    assert Policy.parse(padded).version == 7
    with pytest.raises(UsageError, match="at most 262144"):
        Policy.parse(padded + b"#")


def test_a_product_has_at_most_8_auditors(table: Table) -> None:
    names = [f"lab{n}.example" for n in range(9)]
    rows = [{"name": name, "scopes": ["reproduction"]} for name in names]
    table["products"] = {WALLET: {"platforms": ["aws-nitro"], "auditors": rows[:8]}}
    assert len(parse(table).product(WALLET).auditors) == 8
    table["products"] = {WALLET: {"platforms": ["aws-nitro"], "auditors": rows}}
    refused(table)


# --- durations and versions ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("300s", 300), ("5m", 300), ("24h", 86_400), ("7d", 604_800)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5",
        "5 m",
        "05m",
        "-5m",
        "+5m",
        "5.5m",
        "5M",
        "5w",
        "5ms",
        "1h30m",
        "\u0665m",
        "5m\n",
    ],
)
def test_another_spelling_of_a_duration_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="expected a duration"):
        parse_duration(text)


CHAINS = [
    # SemVer 2.0.0, clause 11.
    ["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
    [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ],
    ["0.0.9", "0.0.10", "0.9.0", "0.10.0", "9.0.0", "10.0.0"],
    ["1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0--", "1.0.0-0a", "1.0.0-A", "1.0.0-a"],
    ["1.0.0-rc.1", "1.0.0", "1.0.1-alpha", "1.0.1"],
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: f"{chain[0]}..{chain[-1]}")
def test_versions_sort_as_semver_says(chain: list[str]) -> None:
    for lower, higher in pairwise(chain):
        assert semver(lower) < semver(higher)
        assert not semver(higher) < semver(lower)
    shuffled = sorted(chain, key=lambda version: sha256(version.encode()).digest())
    assert sorted(shuffled, key=semver) == chain


def test_one_version_equals_itself_alone() -> None:
    versions = [version for chain in CHAINS for version in chain]
    assert len({semver(version) for version in versions}) == len(set(versions))


@pytest.mark.parametrize(
    "version",
    [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "v1.0.0",
        "01.0.0",
        "1.00.0",
        "1.0.0-",
        "1.0.0-a..b",
        "1.0.0-01",
        "1.0.0-a.00",
        "1.0.0+build",
        "1.0.0-a_b",
        "1.0.0 ",
        "1.0.0\n",
        "-1.0.0",
        "1.0.\u0660",
    ],
)
def test_what_is_no_semver_is_refused(version: str) -> None:
    with pytest.raises(MalformedError, match="SemVer"):
        semver(version)
