"""The form of a policy file: its tables and their members, as TOML has them.

What is here is what msgspec demands of a file before `policy` looks at what it means.
Unknown members are errors, so that no demand is lost in a typing mistake (PROTOCOL.md
section 4, Policy).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from pcrlog import limits
from pcrlog.envelope import KeyId
from pcrlog.predicates import Name
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW

_Status = Literal[
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]
"""Intel's words; Revoked is never accepted."""
_Advisory = Annotated[str, Meta(pattern=r"^INTEL-(?:SA|DOC)-[0-9]{5}\Z")]
_Severity = Literal["critical", "high", "medium", "low"]
_Number = Annotated[int, Meta(ge=0, le=limits.INTEGER)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Distrust(_Part, frozen=True):
    """What never speaks for anything: statements and keys by hash, measurements."""

    statements: tuple[KeyId, ...] = ()
    keys: tuple[KeyId, ...] = ()
    measurements: tuple[str, ...] = ()


class QuorumTable(_Part, frozen=True):
    """So many of these keys, as vkeys."""

    quorum: Annotated[int, Meta(ge=1, le=limits.NOTE_SIGNATURES)]
    keys: tuple[str, ...]


class LogTable(_Part, frozen=True):
    """`[[log]]`."""

    vkey: str
    url: str
    registrar: KeyId
    witnesses: QuorumTable | Literal["none"]
    index_monitors: QuorumTable | Literal["none"]
    max_age: str = "24h"
    frozen_until: str | None = None


class PlatformTable(_Part, frozen=True):
    """`[platforms.NAME]`."""

    roots: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    max_age: str = "5m"
    nonce: Literal["required", "optional"] = "required"
    operator: str | None = None
    # Of platforms whose maker publishes the state of its machines:
    tcb: Annotated[tuple[_Status, ...], Meta(min_length=1, max_length=8)] | None = None
    advisories: Annotated[tuple[_Advisory, ...], Meta(max_length=256)] | None = None
    collateral: Literal["required", "optional"] | None = None
    pccs: Annotated[str, Meta(pattern=r"^https?://[!-~]{1,240}\Z")] | None = None


class Auditor(_Part, frozen=True):
    """An auditor that counts, and for which scopes."""

    name: Name
    scopes: Annotated[
        tuple[Literal["reproduction", "source-review", "controls-review"], ...],
        Meta(min_length=1),
    ]


class SuccessorTable(_Part, frozen=True):
    """`[successor]`."""

    quorum: Annotated[int, Meta(ge=1, le=limits.POLICY_KEYS)]
    keys: Annotated[tuple[str, ...], Meta(max_length=limits.POLICY_KEYS)]
    url: Annotated[str, Meta(pattern=r"^https://[!-~]{1,248}\Z")] | None = None


Count = Annotated[int, Meta(ge=1, le=limits.AUDITORS_OF_PRODUCT)]


class Counts(_Part, frozen=True, rename="kebab"):
    """How many distinct auditors must pass, by scope."""

    reproduction: Count = 1
    source_review: Count = 1
    controls_review: Count = 1

    def of(self, scope: str) -> int:
        """The number for a scope."""
        return {
            REPRODUCTION: self.reproduction,
            SOURCE_REVIEW: self.source_review,
            CONTROLS_REVIEW: self.controls_review,
        }[scope]


class Product(_Part, frozen=True):
    """What is demanded of one product, or of all of a provider's."""

    platforms: Annotated[tuple[str, ...], Meta(min_length=1)]
    lowest_version: str | None = None
    links: tuple[Annotated[int, Meta(ge=1, le=7)], ...] = (1, 2)
    channel: Literal["required", "optional"] = "optional"
    components: Literal["refuse", "report"] = "refuse"
    auditors: Annotated[
        tuple[Auditor, ...], Meta(max_length=limits.AUDITORS_OF_PRODUCT)
    ] = ()
    counts: Counts = field(default_factory=Counts)
    open_findings: dict[_Severity, _Number] | None = None
    pins: dict[Name, tuple[KeyId, ...]] = field(default_factory=dict)
    operator: str | None = None
    ground: Literal["any", "separate"] = "any"


class File(_Part, frozen=True):
    """The whole of it."""

    format: Literal["pcrlog-policy/v1"]
    version: _Number
    valid_until: str
    log: Annotated[tuple[LogTable, ...], Meta(min_length=1, max_length=32)]
    platforms: dict[str, PlatformTable]
    clock_skew: str = "300s"
    clock: Literal["local", "attested"] = "local"
    archives: bool = False
    distrust: Distrust = field(default_factory=Distrust)
    products: dict[str, Product] = field(default_factory=dict)
    previous: KeyId | None = None
    successor: SuccessorTable | None = None
