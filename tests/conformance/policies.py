"""Policies: each member of each table, what it may hold, and what is an error.

A demand that is read and then forgotten would be worse than a file that is refused, so
most cases here are mistakes. Whatever is wrong with a policy is `usage`.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from pcrlog.encoding import encode_base64
from pcrlog.note import COSIGNATURE, ED25519, NoteSigner
from tests.conformance.family import Family
from tests.support.memory_log import ORIGIN
from tests.support.scene import toml

Json = dict[str, Any]

USAGE = "usage"
WALLET = "acme.example/wallet"
GONE = object()
"""In place of a member: it is left out."""
KEYID = "d" * 64
PCR4, PCR12 = f"PCR4=sha384:{'4' * 96}", f"PCR12=sha384:{'0' * 96}"
INSTANCE = f"aws-nitrotpm/{PCR4},{PCR12}"
ENCLAVE = f"intel-sgx/MRENCLAVE=sha256:{'e' * 64}"
M = f"aws-nitro/PCR0=sha384:{'c' * 96}"
TIME = "2030-01-01T00:00:00Z"


def vkey(name: str, kind: int = COSIGNATURE, seed: str = "") -> str:
    """A vkey; names with one seed have one key."""
    key = sha256((seed or name).encode()).digest()
    return str(NoteSigner(name, key, kind).public)


def _log(name: str = ORIGIN) -> Json:
    return {
        "vkey": vkey(name, ED25519),
        "url": "https://log.example/pcr",
        "registrar": KEYID,
        "witnesses": "none",
        "index_monitors": "none",
    }


LEAST: Json = {
    "format": "pcrlog-policy/v1",
    "version": 1,
    "valid_until": TIME,
    "log": [_log()],
    "platforms": {"aws-nitro": {"roots": ["builtin"]}},
    "products": {WALLET: {"platforms": ["aws-nitro"]}},
}
"""All that is required, and a product."""
W1, W2, M1 = vkey("w1.example"), vkey("w2.example"), vkey("m1.example")
_RULES = f"products|{WALLET}"
_NITRO = "platforms|aws-nitro"
_SGX = "platforms|intel-sgx"


def changed(changes: Mapping[str, Any]) -> Json:
    """The least policy with changes at paths, whose steps a `|` parts."""
    new = copy.deepcopy(LEAST)
    for path, value in changes.items():
        place: Any = new
        *above, last = path.split("|")
        for step in above:
            place = place[int(step) if isinstance(place, list) else step]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return new


def spelled(policy: Mapping[str, Any]) -> bytes:
    """As TOML."""
    rows = (f"{name} = {toml(value)}\n" for name, value in policy.items())
    return "".join(rows).encode()


class Rule(NamedTuple):
    """What a member may be, and what not, by case id; `path` as in `changed`.

    Without a path, each value is itself a mapping of paths to values.
    """

    why: str
    path: str = ""
    legal: Mapping[str, Any] = {}
    illegal: Mapping[str, Any] = {}

    def cases(self) -> Iterator[tuple[str, bytes, bool]]:
        """Id, policy, and whether it is one."""
        for values, good in ((self.legal, True), (self.illegal, False)):
            for name, value in values.items():
                changes = {self.path: value} if self.path else value
                yield name, spelled(changed(changes)), good


_TIMES = {
    "in-1969": "1969-12-31T23:59:59Z",
    "of-a-day": "2030-01-01",
    "that-does-not-exist": "2030-02-29T00:00:00Z",
    "with-offset": "2030-01-01T00:00:00+00:00",
    "as-number": 1_893_456_000,
}
_DURATIONS = {
    "without-unit": "300",
    "as-number": 300,
    "of-weeks": "1w",
    "in-upper-case": "5M",
    "with-leading-zero": "05m",
    "with-sign": "+5m",
    "negative": "-5m",
    "with-fraction": "1.5h",
    "with-space": "5 m",
    "of-two-units": "1h30m",
    "empty": "",
    "without-number": "m",
}


def _each(prefix: str, values: Mapping[str, Any]) -> Json:
    return {f"{prefix}-{name}": value for name, value in values.items()}


def _durations(path: str, *, all_units: bool = False) -> Rule:
    name = path.rpartition("|")[2].replace("_", "-")
    prefix = f"{path.partition('|')[0]}-{name}" if "|" in path else name
    legal = {"of-no-second": "0s", "of-seconds": "90s", "of-minutes": "5m"}
    more = {"of-hours": "24h", "of-days": "7d"} if all_units else {}
    wrong = _DURATIONS if all_units else dict(list(_DURATIONS.items())[:3])
    why = "a duration is a decimal and one of s, m, h, d"
    return Rule(why, path, _each(prefix, legal | more), _each(prefix, wrong))


def _auditor(name: str, *scopes: str) -> Json:
    return {"name": name, "scopes": list(scopes)}


def _auditors(count: int, *scopes: str) -> list[Json]:
    scopes = scopes or ("reproduction",)
    return [_auditor(f"lab{n}.example", *scopes) for n in range(count)]


def _quorums(member: str) -> Rule:
    brief = member.replace("_", "-")
    cosigner = vkey("w.example")
    own = vkey("w.example", seed=ORIGIN)
    good = {
        "waived": "none",
        "of-one": {"quorum": 1, "keys": [cosigner]},
        "of-two-of-two": {"quorum": 2, "keys": [W1, W2]},
    }
    wrong = {
        "absent": GONE,
        "waived-by-another-word": "None",
        "waived-by-nothing": "",
        "of-zero": {"quorum": 0, "keys": [cosigner]},
        "as-list": [cosigner],
        "without-quorum": {"keys": [cosigner]},
        "without-keys": {"quorum": 1},
        "with-unknown-member": {"quorum": 1, "keys": [cosigner], "max_age": "1h"},
        "of-a-logs-type": {"quorum": 1, "keys": [vkey("w.example", ED25519)]},
        "of-names": {"quorum": 1, "keys": ["w.example"]},
        "of-another-key-hash": {"quorum": 1, "keys": [cosigner.replace("+", "+0", 1)]},
        "of-one-key-twice": {"quorum": 1, "keys": [cosigner, cosigner]},
        "of-one-key-under-two-names": {
            "quorum": 1,
            "keys": [cosigner, vkey("x.example", seed="w.example")],
        },
        "of-the-logs-own-key": {"quorum": 1, "keys": [own]},
    }
    why = (
        f"{member} are a quorum of keys of type 0x04, or waived by the word none; no"
        " public key stands twice"
    )
    return Rule(why, f"log|0|{member}", _each(brief, good), _each(brief, wrong))


_SPKI = "302a300506032b6570032100"


def _spki(name: str) -> str:
    """A key that may sign a successor, in base64."""
    public = NoteSigner(name, sha256(name.encode()).digest(), ED25519).public.public
    return encode_base64(bytes.fromhex(_SPKI) + public)


def _spkis(count: int) -> list[str]:
    return [_spki(f"key{n}") for n in range(count)]


SUCCESSORS = Rule(
    "a successor has a quorum of 1 to 16 keys, each named once, and maybe a URL",
    "successor",
    {
        "successor-of-one": {"quorum": 1, "keys": _spkis(1)},
        "successor-of-two-of-three": {"quorum": 2, "keys": _spkis(3)},
        "successor-keys-16": {"quorum": 16, "keys": _spkis(16)},
        "successor-at-a-url": {
            "quorum": 1,
            "keys": _spkis(1),
            "url": "https://acme.example/updates?for=app",
        },
    },
    {
        "successor-keys-17": {"quorum": 1, "keys": _spkis(17)},
        "successor-of-zero": {"quorum": 0, "keys": _spkis(1)},
        "successor-of-more-than-there-are": {"quorum": 2, "keys": _spkis(1)},
        "successor-of-one-key-twice": {"quorum": 1, "keys": _spkis(1) * 2},
        "successor-without-quorum": {"keys": _spkis(1)},
        "successor-without-keys": {"quorum": 1},
        "successor-of-no-keys": {"quorum": 1, "keys": []},
        "successor-of-keyids": {"quorum": 1, "keys": [KEYID]},
        "successor-of-an-unknown-algorithm": {
            "quorum": 1,
            "keys": [encode_base64(bytes.fromhex("300c300706032b65710500030100"))],
        },
        "successor-with-unknown-member": {"quorum": 1, "keys": _spkis(1), "name": "x"},
        "successor-at-http": {
            "quorum": 1,
            "keys": _spkis(1),
            "url": "http://acme.example/updates",
        },
        "successor-at-a-long-url": {
            "quorum": 1,
            "keys": _spkis(1),
            "url": f"https://{'a' * 249}",
        },
    },
)
PREVIOUS = Rule(
    "previous is the sha256 of the policy before",
    "previous",
    {"previous-of-64-digits": KEYID},
    {
        "previous-empty": "",
        "previous-in-upper-case": KEYID.upper(),
        "previous-of-63-digits": KEYID[1:],
    },
)
TOP = (
    SUCCESSORS,
    PREVIOUS,
    Rule(
        'the format is "pcrlog-policy/v1"',
        "format",
        {},
        {"format-of-another-version": "pcrlog-policy/v2", "format-absent": GONE},
    ),
    Rule(
        "the version is a number of your own",
        "version",
        {"version-0": 0},
        {
            "version-as-string": "1",
            "version-with-fraction": 1.5,
            "version-as-true": True,
            "version-absent": GONE,
        },
    ),
    Rule(
        "a time is spelled as in statements",
        "valid_until",
        {
            "valid-until-last": "9999-12-31T23:59:59Z",
            "valid-until-leap-day": "2028-02-29T00:00:00Z",
        },
        {"valid-until-absent": GONE, **_each("valid-until", _TIMES)},
    ),
    _durations("clock_skew", all_units=True),
    Rule(
        "the clock is local or attested",
        "clock",
        {"clock-local": "local", "clock-attested": "attested"},
        {"clock-unknown": "remote", "clock-as-bool": True},
    ),
    Rule(
        "archives is a bool",
        "archives",
        {"archives-true": True, "archives-false": False},
        {"archives-as-string": "true", "archives-as-number": 1},
    ),
    Rule(
        "distrust has statements (sha256), keys (keyids), measurements (platform/M, as"
        " an entry on a known platform has it)",
        "distrust",
        {
            "distrust-empty": {},
            "distrust-everything": {
                "statements": [KEYID],
                "keys": [KEYID],
                "measurements": [M, ENCLAVE, INSTANCE],
            },
        },
        {
            "distrust-measurement-of-unknown-platform": {
                "measurements": ["later/a=md:11,b=md:22"]
            },
            "distrust-measurement-in-another-order": {
                "measurements": [f"aws-nitrotpm/{PCR12},{PCR4}"]
            },
            "distrust-measurement-of-part": {"measurements": [f"aws-nitrotpm/{PCR4}"]},
            "distrust-measurement-of-more": {
                "measurements": [f"{INSTANCE},PCR7=sha384:{'7' * 96}"]
            },
            "distrust-measurement-of-short-digest": {"measurements": [M[:-2]]},
            "distrust-measurement-of-another-register": {
                "measurements": [f"aws-nitro/PCR1=sha384:{'c' * 96}"]
            },
            "distrust-unknown-member": {"names": ["acme.example"]},
            "distrust-statement-of-63-digits": {"statements": ["a" * 63]},
            "distrust-statement-in-upper-case": {"statements": ["A" * 64]},
            "distrust-key-of-65-digits": {"keys": ["a" * 65]},
            "distrust-key-as-string": {"keys": KEYID},
            "distrust-measurement-without-platform": {
                "measurements": [M.partition("/")[2]]
            },
            "distrust-measurement-without-digest": {"measurements": ["aws-nitro/PCR0"]},
            "distrust-measurement-in-upper-case": {"measurements": [M.upper()]},
        },
    ),
    Rule(
        "an unknown member is an error, in every table",
        "",
        {},
        {
            f"unknown-member-of-{name}": {f"{path}unknown": 1}
            for name, path in {
                "top": "",
                "log": "log|0|",
                "platform": f"{_NITRO}|",
                "product": f"{_RULES}|",
            }.items()
        },
    ),
)

LOGS = (
    Rule(
        "there are 1 to 32 logs, each another",
        "log",
        {
            "logs-two": [_log(), _log("other.example")],
            "logs-32": [_log(f"l{n}.example") for n in range(32)],
        },
        {
            "logs-none": [],
            "logs-absent": GONE,
            "logs-33": [_log(f"l{n}.example") for n in range(33)],
            "log-twice": [_log(), _log() | {"url": "https://mirror.example"}],
            "log-as-table": _log(),
        },
    ),
    Rule(
        "a log's key is a vkey of type 0x01",
        "log|0|vkey",
        {},
        {
            "log-vkey-absent": GONE,
            "log-vkey-of-a-witness": W1,
            "log-vkey-of-another-key-hash": vkey("a.example", ED25519).replace(
                "a.", "b."
            ),
            "log-vkey-cut": vkey(ORIGIN, ED25519)[:-4],
            "log-vkey-unpadded": vkey(ORIGIN, ED25519).rstrip("=") + "=",
            "log-vkey-of-a-name-alone": ORIGIN,
        },
    ),
    Rule(
        "a log has a url",
        "log|0|url",
        {},
        {"log-url-absent": GONE, "log-url-as-number": 1},
    ),
    Rule(
        "the registrar is the keyid of a root key",
        "log|0|registrar",
        {},
        {
            "registrar-absent": GONE,
            "registrar-as-name": "registrar",
            "registrar-of-63-digits": "d" * 63,
            "registrar-in-upper-case": "D" * 64,
        },
    ),
    _quorums("witnesses"),
    _quorums("index_monitors"),
    Rule(
        "no public key stands twice among a log's own, its witnesses and its index"
        " monitors",
        "",
        {
            "quorums-of-different-keys": {
                "log|0|witnesses": {"quorum": 1, "keys": [W1, W2]},
                "log|0|index_monitors": {"quorum": 1, "keys": [M1]},
            }
        },
        {
            "quorums-of-one-vkey": {
                "log|0|witnesses": {"quorum": 1, "keys": [W1]},
                "log|0|index_monitors": {"quorum": 1, "keys": [W1]},
            },
            "quorums-of-one-key-under-two-names": {
                "log|0|witnesses": {"quorum": 1, "keys": [W1]},
                "log|0|index_monitors": {
                    "quorum": 1,
                    "keys": [vkey("m.example", seed="w1.example")],
                },
            },
        },
    ),
    _durations("log|0|max_age"),
    Rule(
        "frozen_until is a time",
        "log|0|frozen_until",
        {"frozen-until": TIME},
        _each("frozen-until", _TIMES),
    ),
)

_SCOPES = ("reproduction", "source-review", "controls-review")

STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)


def _on_sgx(member: str, values: Mapping[str, Any]) -> Json:
    """A table of intel-sgx with this member, by case id."""
    return {
        name: {_SGX: {"roots": ["builtin"], member: value}}
        for name, value in values.items()
    }


_PCCS = "https://pccs.example/sgx/certification/v4"
MACHINES = (
    Rule(
        "what is accepted of a machine are Intel's statuses, each once; never Revoked",
        "",
        _on_sgx(
            "tcb",
            {"tcb-of-one": ["OutOfDate"], "tcb-of-all": list(STATUSES)},
        ),
        _on_sgx(
            "tcb",
            {
                "tcb-of-none": [],
                "tcb-of-revoked": ["UpToDate", "Revoked"],
                "tcb-of-unknown": ["Fine"],
                "tcb-in-lower-case": ["uptodate"],
                "tcb-twice": ["UpToDate", "UpToDate"],
                "tcb-as-string": "UpToDate",
            },
        ),
    ),
    Rule(
        "advisories are at most 256, named INTEL-SA- or INTEL-DOC- and five digits",
        "",
        _on_sgx(
            "advisories",
            {
                "advisories-none": [],
                "advisories-of-both-kinds": ["INTEL-SA-00615", "INTEL-DOC-00001"],
                "advisories-256": [f"INTEL-SA-{n:05}" for n in range(256)],
            },
        ),
        _on_sgx(
            "advisories",
            {
                "advisories-257": [f"INTEL-SA-{n:05}" for n in range(257)],
                "advisory-of-a-number": ["00615"],
                "advisory-of-four-digits": ["INTEL-SA-0615"],
                "advisory-of-six-digits": ["INTEL-SA-000615"],
                "advisory-in-lower-case": ["intel-sa-00615"],
                "advisory-with-line-end": ["INTEL-SA-00615\n"],
                "advisories-as-string": "INTEL-SA-00615",
            },
        ),
    ),
    Rule(
        "collateral is required or optional; pccs is a URL of at most 248 characters",
        "",
        _on_sgx(
            "collateral",
            {"collateral-required": "required", "collateral-optional": "optional"},
        )
        | _on_sgx(
            "pccs",
            {
                "pccs-https": _PCCS,
                "pccs-http": "http://127.0.0.1:8081/sgx/certification/v4",
                "pccs-of-248-characters": "https://" + "x" * 240,
            },
        ),
        _on_sgx(
            "collateral", {"collateral-unknown": "none", "collateral-as-bool": False}
        )
        | _on_sgx(
            "pccs",
            {
                "pccs-empty": "",
                "pccs-of-no-host": "https://",
                "pccs-of-another-scheme": "ftp://pccs.example",
                "pccs-with-space": "https://pccs.example/a b",
                "pccs-of-249-characters": "https://" + "x" * 241,
            },
        ),
    ),
    Rule(
        "a platform without such machines has none of these four",
        "",
        {
            "aws-nitrotpm": {"platforms|aws-nitrotpm": {"roots": ["builtin"]}},
            "intel-sgx": {_SGX: {"roots": ["builtin"]}},
        },
        {
            f"{member}-of-{platform}": {
                f"platforms|{platform}": {"roots": ["builtin"], member: value}
            }
            for platform in ("aws-nitro", "aws-nitrotpm")
            for member, value in (
                ("tcb", ["UpToDate"]),
                ("advisories", []),
                ("collateral", "required"),
                ("pccs", _PCCS),
            )
        },
    ),
)

REST = (
    Rule(
        'roots are 1 to 8, "builtin" or certificates in PEM',
        f"{_NITRO}|roots",
        {"roots-8": ["builtin"] * 8},
        {
            "roots-absent": GONE,
            "roots-none": [],
            "roots-9": ["builtin"] * 9,
            "roots-as-string": "builtin",
        },
    ),
    _durations(f"{_NITRO}|max_age"),
    Rule(
        "the nonce is required or optional",
        f"{_NITRO}|nonce",
        {"nonce-required": "required", "nonce-optional": "optional"},
        {"nonce-unknown": "none", "nonce-as-bool": False},
    ),
    Rule(
        "the operator is named, of a platform or, in its place, of a product",
        "",
        {
            "operator-of-platform": {f"{_NITRO}|operator": "aws"},
            "operator-of-product": {f"{_RULES}|operator": "acme"},
        },
        {"operator-as-list": {f"{_NITRO}|operator": ["aws"]}},
    ),
    *MACHINES,
    Rule(
        "a product is on at least one platform, and that has its table",
        "",
        {},
        {
            "product-platforms-absent": {f"{_RULES}|platforms": GONE},
            "product-platforms-none": {f"{_RULES}|platforms": []},
            "product-platforms-as-string": {f"{_RULES}|platforms": "aws-nitro"},
            "product-platform-without-table": {"platforms": {}},
            "platforms-absent": {"platforms": GONE},
        },
    ),
    Rule(
        "a product's table is named <name>/<segment> or <name>/*",
        "products",
        {
            f"product-named-{name}": {product: LEAST["products"][WALLET]}
            for name, product in {
                "with-star": "acme.example/*",
                "with-segment-of-63": "a/" + "x" * 63,
                "with-name-of-64": "a" * 31 + "." + "b" * 32 + "/*",
            }.items()
        },
        {
            f"product-named-{name}": {product: LEAST["products"][WALLET]}
            for name, product in {
                "with-segment-of-64": "a/" + "x" * 64,
                "with-name-of-65": "a" * 32 + "." + "b" * 32 + "/*",
                "with-star-for-all": "*",
                "with-star-for-name": "*/wallet",
                "with-star-after-letters": "acme.example/w*",
                "with-two-segments": "acme.example/a/*",
                "without-segment": "acme.example",
                "in-upper-case": "acme.example/Wallet",
                "with-empty-name": "/wallet",
                "with-empty-label": "acme..example/wallet",
            }.items()
        },
    ),
    Rule("products are empty by default", "products", {"products-absent": GONE}),
    Rule(
        "the lowest version is SemVer",
        f"{_RULES}|lowest_version",
        {
            "lowest-version": "0.0.0",
            "lowest-version-with-prerelease": "1.4.0-rc.1.x-y",
            "lowest-version-with-letter-after-zero": "1.4.0-0a",
        },
        _each(
            "lowest-version",
            {
                "of-two-numbers": "1.4",
                "of-four-numbers": "1.4.0.0",
                "with-letter": "v1.4.0",
                "with-leading-zero": "1.04.0",
                "with-prerelease-of-leading-zero": "1.4.0-rc.01",
                "with-empty-prerelease": "1.4.0-",
                "with-empty-identifier": "1.4.0-a..b",
                "with-underscore": "1.4.0-a_b",
                "empty": "",
            },
        ),
    ),
    Rule(
        "links are numbers of links that must be proven, 1 to 7",
        f"{_RULES}|links",
        {"links-all": [1, 2, 3, 4, 5, 6, 7], "links-two-alone": [2]},
        {
            "links-0": [0],
            "links-8": [1, 8],
            "links-as-strings": ["1"],
            "links-as-number": 2,
        },
    ),
    Rule(
        "channel is optional or required; components are refuse or report; the ground"
        " is any or separate",
        "",
        {
            "ground-any": {f"{_RULES}|ground": "any"},
            "ground-separate": {f"{_RULES}|ground": "separate"},
            "channel-required": {f"{_RULES}|channel": "required"},
            "channel-optional": {f"{_RULES}|channel": "optional"},
            "components-refuse": {f"{_RULES}|components": "refuse"},
            "components-report": {f"{_RULES}|components": "report"},
        },
        {
            "channel-unknown": {f"{_RULES}|channel": "none"},
            "channel-as-bool": {f"{_RULES}|channel": True},
            "components-unknown": {f"{_RULES}|components": "ignore"},
            "ground-unknown": {f"{_RULES}|ground": "same"},
            "ground-in-upper-case": {f"{_RULES}|ground": "Separate"},
            "ground-as-bool": {f"{_RULES}|ground": True},
            "ground-of-platform": {f"{_NITRO}|ground": "separate"},
        },
    ),
    Rule(
        "there are at most 8 auditors, each { name, scopes }",
        f"{_RULES}|auditors",
        {
            "auditors-none": [],
            "auditors-8": _auditors(8),
            "auditor-of-every-scope": _auditors(1, *_SCOPES),
        },
        {
            "auditors-9": _auditors(9),
            "auditor-without-name": [{"scopes": ["reproduction"]}],
            "auditor-without-scopes": [{"name": "lab.example"}],
            "auditor-of-no-name": [_auditor("Lab.example", "reproduction")],
            "auditor-with-unknown-member": [_auditors(1)[0] | {"count": 1}],
            "auditor-as-string": ["lab.example"],
        },
    ),
    Rule(
        "counts are 1 each by default; one above 1 and above its auditors is an error",
        "",
        {
            "count-1-without-auditors": {f"{_RULES}|counts": dict.fromkeys(_SCOPES, 1)},
            "count-2-of-two": {
                f"{_RULES}|auditors": _auditors(2),
                f"{_RULES}|counts": {"reproduction": 2},
            },
            "count-8-of-8": {
                f"{_RULES}|auditors": _auditors(8, "source-review"),
                f"{_RULES}|counts": {"source-review": 8},
            },
        },
        {
            "count-2-without-auditors": {f"{_RULES}|counts": {"reproduction": 2}},
            "count-3-of-two": {
                f"{_RULES}|auditors": _auditors(2, "controls-review"),
                f"{_RULES}|counts": {"controls-review": 3},
            },
            "count-2-of-other-scopes": {
                f"{_RULES}|auditors": _auditors(2, "source-review"),
                f"{_RULES}|counts": {"reproduction": 2},
            },
            "count-of-unknown-scope": {f"{_RULES}|counts": {"fuzzing": 1}},
            "count-of-underscore": {f"{_RULES}|counts": {"source_review": 1}},
            "count-as-string": {f"{_RULES}|counts": {"reproduction": "1"}},
        },
    ),
    Rule(
        "open findings are largest numbers by severity",
        f"{_RULES}|open_findings",
        {
            "open-findings-of-one-severity": {"critical": 0},
            "open-findings-of-all": {"critical": 0, "high": 1, "medium": 2, "low": 3},
        },
        {
            "open-findings-of-unknown-severity": {"severe": 0},
            "open-findings-as-string": {"critical": "0"},
        },
    ),
    Rule(
        "pins are name to keyids",
        f"{_RULES}|pins",
        {
            "pins-of-two-names": {
                "acme.example": [KEYID],
                "lab.example": [KEYID, "e" * 64],
            }
        },
        {
            "pins-of-no-name": {"ACME.example": [KEYID]},
            "pins-as-string": {"acme.example": KEYID},
            "pins-of-63-digits": {"acme.example": ["d" * 63]},
        },
    ),
)

_DOCUMENTS_EXAMPLE = b"""\
format = "pcrlog-policy/v1"
version = 7
valid_until = "2027-11-23T00:00:00Z"
clock_skew = "300s"
clock = "local"                                       # or "attested"
archives = false
distrust = { statements = [], keys = [], measurements = [] }

[[log]]
vkey = "log.example/pcr+f79acc09+AZsfhHkc/HZjBFhU04netcqVRJ2HXydqg4QLBgqznPxx"
url = "https://log.example/pcr"
registrar = "0bae3e6850b94fb451dc17e0140368d36497a81fd24133f3dabc3c744d735738"
max_age = "24h"
index_monitors = { quorum = 1, keys = ["m1.example/m+630f4f35+BKhT4XMSoM/9AANyNW/1AbCk\
jcecDqqWYySnkTFbAscN"] }  # or "none"

[log.witnesses]
quorum = 2
keys = [
  "w1.example/a+d41e9006+BOctVDQwVW+5d5UVLgg8041gWp+vLcKg2AiGVfg0Hg6e",
  "w2.example/b+ab069690+BMbYtSQSDjattVZfXij7gYRQfmSx3nShFTbgvaey6zEN",
  "w3.example/c+c47839ec+BHttsSwkfvXEMoSNcTgLgodYKiIe0N7ytJsnRCTQGUEV",
]

[platforms.aws-nitro]
roots = ["builtin"]
max_age = "5m"
nonce = "required"                                    # or "optional"
operator = "aws"

[products."acme.example/wallet"]
platforms = ["aws-nitro"]
lowest_version = "1.4.0"
links = [1, 2, 3]                                     # must be proven
channel = "required"
components = "refuse"                                 # or "report"
auditors = [{ name = "lab.example", scopes = ["reproduction", "source-review"] }]
counts = { reproduction = 1, source-review = 1 }
open_findings = { critical = 0, high = 0 }
pins = { "acme.example" = ["8a88e5a2cb4673e65c365e862080733468355a2e5b5f56a5858fa07940a\
662ce"] }
"""
"""Section 4.6's example."""


def _files() -> Iterator[tuple[str, str, bytes, bool]]:
    """Id, why, a file, and whether it is a policy."""
    whole = spelled(LEAST)
    yield "least", "all that is required", whole, True
    yield "example", "the example of section 4.6", _DOCUMENTS_EXAMPLE, True
    form = "a policy is TOML, in UTF-8"
    yield "comment-in-utf-8", form, whole + "# ä\n".encode(), True
    for name, data in {
        "empty": b"",
        "json": json.dumps(LEAST).encode(),
        "not-utf-8": whole + b"# \xff\n",
        "cut": whole[:-3],
        "member-twice": whole + b"version = 2\n",
        "control-character": whole + b"# \x01\n",
        "depth": b"a = " + b"[" * 5000,
    }.items():
        yield f"file-{name}", form, data, False
    size = "a policy has at most 256 KiB"
    beyond = whole + b"#" * (262_145 - len(whole))
    yield "file-of-262145-bytes", size, beyond, False


def _lookups(family: Family) -> None:
    """Which table is a product's, if any."""
    why = "a product is looked up by its exact name, then by <name>/*"
    rules = LEAST["products"][WALLET]
    for name, table, product, good in (
        ("exact", WALLET, WALLET, True),
        ("by-star", "acme.example/*", WALLET, True),
        ("of-another-segment", WALLET, "acme.example/other", False),
        ("by-star-of-another-name", "lab.example/*", WALLET, False),
        ("by-star-of-a-longer-name", "acme.example/*", "sub.acme.example/x", False),
        ("by-star-of-a-shorter-name", "sub.acme.example/*", WALLET, False),
        ("by-the-beginning", "acme.example/wall", WALLET, False),
    ):
        data = spelled(changed({"products": {table: rules}}))
        answer = {"sha256": sha256(data).hexdigest()}
        outcome = answer if good else USAGE
        given = {"policy": data, "product": product}
        family.case(f"lookup-{name}", why, "policy", outcome, **given)
    data = spelled(changed({"products": GONE}))
    why = "without products, none is looked up"
    family.case("lookup-of-none", why, "policy", USAGE, policy=data, product=WALLET)


def policies() -> Family:
    """What a relying party may demand, and how it is spelled."""
    family = Family("policies", "Policies (section 4.6).")
    cases = [*_files()]
    for rule in (*TOP, *LOGS, *REST):
        cases += [(name, rule.why, data, good) for name, data, good in rule.cases()]
    for name, why, data, good in cases:
        answer = {"sha256": sha256(data).hexdigest()}
        family.case(name, why, "policy", answer if good else USAGE, policy=data)
    _lookups(family)
    return family


MAKERS = (policies,)
