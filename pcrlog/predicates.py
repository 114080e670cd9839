"""The members of the four predicates, as records that msgspec decodes strictly.

These are the tables of PROTOCOL.md 2.1; statement.py has the rules that tie members
together. An optional member is absent, never null. A list that is a set has an order:
ascending by what `order` gives, without repeats.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from pcrlog import limits
from pcrlog.envelope import KeyId
from pcrlog.measurement import PLATFORM, Register

REGISTRAR = "registrar"

NAME = (
    r"(?=.{1,64}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
SEGMENT = r"[a-z0-9][a-z0-9._-]{0,62}"
PRODUCT = rf"{NAME.replace('$', '/')}/{SEGMENT}"
VERSION = r"[0-9A-Za-z._-]{1,64}"

Name = Annotated[str, Meta(pattern=rf"^{NAME}\Z")]
Origin = Annotated[str, Meta(pattern=r"^[!-*,-~]{1,255}\Z")]
Product = Annotated[str, Meta(pattern=rf"^{PRODUCT}\Z")]
Version = Annotated[str, Meta(pattern=rf"^{VERSION}\Z")]
Time = Annotated[str, Meta(pattern=r"^[0-9TZ:-]{20}\Z")]
Sha256 = KeyId
Uri = Annotated[
    str,
    Meta(
        max_length=limits.URI,
        pattern=(
            r"^(git\+)?https://[a-z0-9][a-z0-9.-]*(:[1-9][0-9]{0,4})?"
            r"(/[0-9A-Za-z._~!$&'()*+,;=:@%/-]*)?\Z"
        ),
    ),
]
Commit = Annotated[str, Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})\Z")]
Word = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Tool = Annotated[str, Meta(pattern=r"^[0-9A-Za-z._+@/:-]{1,64}\Z")]
NumberName = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]{1,32}\Z")]
Integer = Annotated[int, Meta(ge=0, le=limits.INTEGER)]
RegisterName = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]{1,32}\Z")]
IdentityLists = tuple[tuple[RegisterName, ...], ...]


class Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all records here: frozen, no unknown members, none without value."""


class Image(Part, frozen=True):
    """The image file that boots to the registers."""

    sha256: Sha256
    size: Integer
    uri: Uri | None = None


class Source(Part, frozen=True):
    """Where the source is, and the commit that was built."""

    uri: Uri
    commit: Commit


class Document(Part, frozen=True):
    """A document elsewhere: words live behind a URI and their digest."""

    uri: Uri
    sha256: Sha256


class BuildTool(Part, frozen=True):
    """A tool of the build, by name and digest."""

    name: Tool
    sha256: Sha256

    def order(self) -> tuple[str, ...]:
        """Its place in a sorted list."""
        return (self.name, self.sha256)


class Build(Part, frozen=True):
    """How to build: the recipe, and the tools that it needs."""

    recipe: Document
    tools: tuple[BuildTool, ...] | None = None


class Component(Part, frozen=True):
    """A part made elsewhere: a product (its provider comes first), and its digest."""

    product: Product
    sha256: Sha256

    def order(self) -> tuple[str, ...]:
        """Its place in a sorted list."""
        return (self.product, self.sha256)


class Control(Part, frozen=True):
    """What hands over secrets: a KMS policy and the like, by kind and digest."""

    kind: Word
    sha256: Sha256
    uri: Uri | None = None

    def order(self) -> tuple[str, ...]:
        """Its place in a sorted list."""
        return (self.kind, self.sha256, self.uri or "")


class Binding(Part, frozen=True):
    """Which field of the attestation document names the channel, and as what."""

    field: Literal["public_key", "user_data"]
    kind: Literal["tls-spki-sha256", "tls-cert-sha256", "raw-key"]


class Reference(Part, frozen=True):
    """A document about the release."""

    kind: Literal[
        "slsa-provenance", "sbom", "vex", "advisory", "release-notes", "build-log"
    ]
    uri: Uri
    sha256: Sha256

    def order(self) -> tuple[str, ...]:
        """Its place in a sorted list."""
        return (self.kind, self.uri, self.sha256)


class OpenFindings(Part, frozen=True):
    """Findings of a review that are not closed, by severity."""

    critical: Integer
    high: Integer
    medium: Integer
    low: Integer


class Basis(Part, frozen=True):
    """The earlier source review that this one builds on."""

    commit: Commit
    sha256: Sha256


class Release(Part, frozen=True, kw_only=True):
    """`urn:pcrlog:release:v1`: these registers are this version of this product."""

    log: Origin
    issuer: Name
    issued: Time
    platform: Annotated[str, Meta(pattern=rf"^{PLATFORM}\Z")]
    identity: IdentityLists
    product: Product
    version: Version
    variant: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,16}\Z")] | None = None
    expires: Time | None = None
    image: Image | None = None
    source: Source | None = None
    build: Build | None = None
    components: tuple[Component, ...] | None = None
    controls: tuple[Control, ...] | None = None
    binding: Binding | None = None
    references: tuple[Reference, ...] | None = None
    numbers: dict[NumberName, Integer] | None = None


class Audit(Part, frozen=True, kw_only=True):
    """`urn:pcrlog:audit:v1`: an auditor rebuilt or reviewed, with this result."""

    log: Origin
    issuer: Name
    issued: Time
    platform: Annotated[str, Meta(pattern=rf"^{PLATFORM}\Z")]
    identity: IdentityLists
    scope: Word
    result: Literal["pass", "qualified", "fail"]
    performed: Time
    source: Source | None = None
    recipe: Sha256 | None = None
    found: tuple[Register, ...] | None = None
    open: OpenFindings | None = None
    basis: Basis | None = None
    components: Sha256 | None = None
    controls: Sha256 | None = None
    report: Document | None = None
    expires: Time | None = None


class Revocation(Part, frozen=True, kw_only=True):
    """`urn:pcrlog:revocation:v1`: a measurement or a statement no longer stands."""

    log: Origin
    issuer: Name
    issued: Time
    platform: Annotated[str, Meta(pattern=rf"^{PLATFORM}\Z")]
    identity: IdentityLists
    reason: Word
    statement: Sha256 | None = None
    effective: Time | None = None
    reference: Document | None = None


class IdentityKey(Part, frozen=True, kw_only=True):
    """One key of an identity: SPKI `key` (JSON: base64), what it may be used for."""

    keyid: KeyId
    key: Annotated[bytes, Meta(max_length=limits.SPKI)]
    status: Literal["active", "retired", "compromised"]
    since: Integer | None = None
    use: Literal["root", "enrol"] | None = None

    def order(self) -> tuple[str, ...]:
        """Its place in a sorted list."""
        return (self.keyid,)


class Identity(Part, frozen=True, kw_only=True):
    """`urn:pcrlog:identity:v1`: the keys and roles of a name from here on."""

    log: Origin
    issuer: Name
    issued: Time
    name: Name
    signers: Annotated[tuple[KeyId, ...], Meta(min_length=1, max_length=2)]
    roles: tuple[Literal["auditor", "provider"], ...]
    keys: Annotated[
        tuple[IdentityKey, ...],
        Meta(min_length=1, max_length=limits.KEYS_OF_IDENTITY),
    ]
    previous: Sha256 | None = None


Measured: TypeAlias = Release | Audit | Revocation
Predicate: TypeAlias = Measured | Identity
