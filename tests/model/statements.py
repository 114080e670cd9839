"""What a statement says of itself (docs/protocol.md 2.1) and its index keys (3)."""

import hashlib
import json
import re
from calendar import timegm
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

REGISTRAR = "registrar"
FIRST_KIND = {"compromised", "vulnerable"}
SECOND_KIND = {"withdrawn", "erroneous", "superseded"}
SCOPES = {"reproduction", "source-review", "controls-review"}
REQUIRED = {"aws-nitro": {"PCR0", "PCR1", "PCR2"}, "artifact": {"digest"}}
DAY = 86_400

LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"(?=.{{1,64}}\Z){LABEL}(?:\.{LABEL})*")
PRODUCT = re.compile(
    rf"(?=[^/]{{1,64}}/){LABEL}(?:\.{LABEL})*/[a-z0-9][a-z0-9._-]{{0,62}}"
)
VERSION = re.compile(r"[0-9A-Za-z._-]{1,64}")
PLATFORM = re.compile(r"[a-z0-9-]{1,32}")
REGISTER = re.compile(r"[0-9A-Za-z_]{1,32}=[0-9A-Za-z_]{1,32}:[0-9a-f]{2,128}")
FAMILY = re.compile(r"urn:pcrlog:([a-z0-9-]{1,32}):[\x21-\x7e]*")


def canonical(value: object) -> bytes:
    """2.1, canonical form; all strings here are printable ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def sha256(value: object) -> str:
    """The name of a statement, or of a list."""
    return hashlib.sha256(canonical(value)).hexdigest()


def seconds(time: str) -> int:
    """A time of 2.1 in unix seconds."""
    return timegm(datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z").timetuple())


def moment(time: int) -> str:
    """Unix seconds as a time of 2.1."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def registers(subject: list[Json]) -> dict[str, str]:
    """2.1, subject: name to `<algorithm>:<hex>`."""
    return {
        one["name"]: f"{algorithm}:{value}"
        for one in subject
        for algorithm, value in one["digest"].items()
    }


def measurements(predicate: Json, subject: list[Json]) -> list[str]:
    """2.1, what is measured: each M, spelled `<platform>/<M>`."""
    named = registers(subject)
    return [
        f"{predicate['platform']}/" + ",".join(f"{n}={named[n]}" for n in names)
        for names in predicate["identity"]
        if all(n in named for n in names)
    ]


def family(statement: Json) -> str | None:
    """3, rule 3."""
    match = FAMILY.fullmatch(statement["predicateType"])
    return match[1] if match else None


def index_keys(statement: Json) -> list[str]:
    """3, rules 4 and 5, of a statement that is well formed."""
    predicate, kind = statement["predicate"], family(statement)

    def of_shape(member: str, shape: re.Pattern[str]) -> list[str]:
        value = predicate.get(member)
        return [value] if isinstance(value, str) and shape.fullmatch(value) else []

    issuers, products = of_shape("issuer", NAME), of_shape("product", PRODUCT)
    measured = []
    if of_shape("platform", PLATFORM) and "identity" in predicate:
        measured = [
            one
            for one in measurements(predicate, statement["subject"])
            if all(map(REGISTER.fullmatch, one.partition("/")[2].split(",")))
        ]
    keys = {f"v1/issuer/{issuer}" for issuer in issuers}
    if kind == "identity":
        keys |= {f"v1/identity/{name}" for name in of_shape("name", NAME)}
    else:
        keys |= {f"v1/by/{issuer}/{one}" for issuer in issuers for one in measured}
    if kind == "release":
        versions = of_shape("version", VERSION)
        keys |= {f"v1/measurement/{one}" for one in measured}
        keys |= {f"v1/product/{product}" for product in products}
        keys |= {f"v1/version/{p}/{version}" for p in products for version in versions}
    return sorted(keys)


@dataclass(frozen=True)
class Entry:
    """A leaf: a statement with who signed it, or a seal, which has no statement."""

    index: int
    statement: Json = field(default_factory=dict)
    signers: tuple[str, ...] = ()
    genuine: bool = True
    seal_time: int | None = None
    frozen: bool = False

    @property
    def predicate(self) -> Json:
        said: Json = self.statement["predicate"]
        return said

    @property
    def kind(self) -> str | None:
        return family(self.statement)

    @property
    def issuer(self) -> str:
        return str(self.predicate["issuer"])

    @property
    def sha256(self) -> str:
        return sha256(self.statement)

    @property
    def registers(self) -> dict[str, str]:
        return registers(self.statement["subject"])

    @property
    def measured(self) -> set[str]:
        return set(measurements(self.predicate, self.statement["subject"]))

    @property
    def commit(self) -> str | None:
        """Of its `source`."""
        source = self.predicate.get("source")
        return source["commit"] if source else None


def malformed(statement: Json) -> bool:
    """The rules of 2.1 that tie the members of a statement to each other.

    A reader's: an unknown scope or reason (2.5) is not malformed.
    """
    predicate, subject = statement["predicate"], statement["subject"]
    rules = {
        "identity": _identity,
        "release": _release,
        "audit": _audit,
        "revocation": _revocation,
    }
    kind = family(statement)
    return kind not in rules or not rules[kind](predicate, subject)


def _measured(predicate: Json, subject: list[Json]) -> bool:
    """The table of platforms."""
    named, platform = registers(subject), predicate["platform"]
    zero = {
        name for name, value in named.items() if not value.partition(":")[2].strip("0")
    }
    if platform == "aws-nitro":
        allowed = {f"PCR{n}" for n in range(32) if n != 4}
        debug = zero >= REQUIRED[platform]
        return REQUIRED[platform] <= set(named) <= allowed and not debug
    return set(named) == {"digest" if platform == "artifact" else "commit"} and not zero


def _release(predicate: Json, subject: list[Json]) -> bool:
    return (
        predicate["platform"] != "source"
        and _measured(predicate, subject)
        and predicate["product"].partition("/")[0] == predicate["issuer"]
    )


def _audit(predicate: Json, subject: list[Json]) -> bool:
    result = predicate["result"]
    return (
        _measured(predicate, subject)
        and ("open" in predicate) == (result == "qualified")
        and ("expires" not in predicate or result != "fail")
        and (predicate["scope"] not in SCOPES or _scope(predicate))
    )


def _scope(predicate: Json) -> bool:
    """The rules that depend on the scope, of a known one."""
    scope, result = predicate["scope"], predicate["result"]
    reproduction, controls = scope == "reproduction", scope == "controls-review"
    latest = seconds(predicate["performed"]) + 90 * DAY
    return (
        (predicate["platform"] == "source") == (scope == "source-review")
        and (result != "qualified" or not reproduction)
        and ("source" in predicate) == reproduction
        and ("found" in predicate) == (reproduction and result == "fail")
        and ("basis" not in predicate or scope == "source-review")
        and ("components" not in predicate or reproduction)
        and ("controls" in predicate) == controls
        and (
            not controls
            or result == "fail"
            or ("expires" in predicate and seconds(predicate["expires"]) <= latest)
        )
    )


def _revocation(predicate: Json, subject: list[Json]) -> bool:
    first = predicate["reason"] in FIRST_KIND
    extra = {"statement", "effective"} & set(predicate)
    return (
        _measured(predicate, subject)
        and not (first and extra)
        and not (first and predicate["platform"] == "source")
        and ("statement" in predicate or predicate["reason"] not in SECOND_KIND)
    )


def _identity(predicate: Json, subject: list[Json]) -> bool:
    keys, registrar = predicate["keys"], predicate["name"] == REGISTRAR
    return (
        1 <= len(keys) <= 16
        and 1 <= len(predicate["signers"]) <= 2
        and [one["name"] for one in subject] == [key["keyid"] for key in keys]
        and not (registrar and predicate["roles"])
        and all(("use" in key) == registrar for key in keys)
        and all("since" not in key or key["status"] == "compromised" for key in keys)
    )
