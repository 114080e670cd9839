"""Statements: in-toto Statements v1 of four predicate types, strictly.

    {"_type": "https://in-toto.io/Statement/v1", "predicate": {...},
     "predicateType": "urn:pcrlog:release:v1", "subject": [...]}

predicates.py has the members; `parse` applies every rule that can be judged from the
bytes alone (PROTOCOL.md 2.1). What needs the log (who may say it, whether it was said
before) is authority.py's.

A v1 predicate may name a reason, scope, platform or key algorithm that this version
does not know: a reader keeps it (PROTOCOL.md 2.5), `require_known` refuses it, and
admission calls both.

>>> statement = parse(
...     b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"effective":'
...     b'"2026-11-23T07:00:00Z","identity":[["digest"]],"issued":'
...     b'"2026-11-23T07:00:00Z","issuer":"acme.example","log":"log.example/pcr",'
...     b'"platform":"artifact","reason":"withdrawn","statement":"' + b"0" * 64 +
...     b'"},"predicateType":"urn:pcrlog:revocation:v1","subject":[{"digest":{"sha256":'
...     b'"' + b"1" * 64 + b'"},"name":"digest"}]}')
>>> statement.predicate.reason
'withdrawn'
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from pcrlog import limits
from pcrlog.encoding import (
    decode_json,
    encode_json,
    parse_time,
    prepare,
    printable,
    sha256,
    shown,
)
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.keys import PublicKey, keyid_of
from pcrlog.measurement import (
    PLATFORMS,
    Register,
    Registers,
    check_registers,
    registers_of,
    spell,
    subject_of,
)
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Identity,
    IdentityKey,
    Measured,
    Predicate,
    Release,
    Revocation,
)

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
REPRODUCTION, SOURCE_REVIEW, CONTROLS_REVIEW = SCOPES = (
    "reproduction",
    "source-review",
    "controls-review",
)
MEASUREMENT_REASONS = ("compromised", "vulnerable")
"""Reasons that hold for a measurement, for good."""
STATEMENT_REASONS = ("withdrawn", "erroneous", "superseded")
"""Reasons that hold for one statement."""

_TYPE_OF: dict[type[Predicate], str] = {
    Release: "urn:pcrlog:release:v1",
    Audit: "urn:pcrlog:audit:v1",
    Revocation: "urn:pcrlog:revocation:v1",
    Identity: "urn:pcrlog:identity:v1",
}
_DAY = 86_400

P_co = TypeVar("P_co", bound=Predicate, covariant=True)


class _Head(Struct):
    predicate_type: str = field(name="predicateType")


class _Statement(Struct, Generic[P_co], frozen=True, forbid_unknown_fields=True):
    type: str = field(name="_type")
    predicate_type: str = field(name="predicateType")
    subject: tuple[Register, ...]
    predicate: P_co


_SHAPES: dict[str, type[_Statement[Predicate]]] = {
    "urn:pcrlog:release:v1": _Statement[Release],
    "urn:pcrlog:audit:v1": _Statement[Audit],
    "urn:pcrlog:revocation:v1": _Statement[Revocation],
    "urn:pcrlog:identity:v1": _Statement[Identity],
}
"""The whole statement of each predicate type."""
prepare(_Head, *_SHAPES.values())


class Statement(Struct, frozen=True, dict=True):
    """A well-formed statement: its `payload`, `predicate` and `registers`.

    The registers of an identity are its keyids.
    """

    payload: bytes
    predicate: Predicate
    registers: Registers

    @cached_property
    def sha256(self) -> str:
        """How other statements name this one: hex SHA-256 of the payload."""
        return sha256(self.payload).hex()

    @cached_property
    def measurements(self) -> tuple[str, ...]:
        """Each M of the subject; none for an identity."""
        if isinstance(self.predicate, Identity):
            return ()
        return spell(self.predicate.identity, self.registers)


def predicate_type_of(payload: bytes) -> str:
    """What a statement says it is.

    Raises:
        MalformedError: not a statement.
    """
    try:
        return msgspec.json.decode(payload, type=_Head).predicate_type
    except (ValueError, RecursionError) as error:
        message = f"not a statement: {printable(str(error))}"
        raise MalformedError(message) from error


def _check_json(payload: bytes) -> None:
    """Check what `predicate_type_of` skips, of a type whose members nobody reads.

    msgspec looks at neither the UTF-8 nor the size of numbers in what it skips; other
    readers do (PROTOCOL.md section 3 says what JSON is).
    """
    try:
        msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        message = f"not a statement: {printable(str(error))}"
        raise MalformedError(message) from error


@lru_cache(maxsize=256)
def parse(payload: bytes) -> Statement:
    """Read a statement.

    Remembers the last ones read: whoever verifies again and again meets the same.

    Raises:
        UncheckedError: a predicate type that this version does not know.
        MalformedError: anything that PROTOCOL.md 2.1 does not allow.
    """
    predicate_type = predicate_type_of(payload)
    shape = _SHAPES.get(predicate_type)
    if shape is None:
        _check_json(payload)
        message = f"unknown predicateType {shown(predicate_type)}; upgrade pcrlog"
        raise UncheckedError(message)
    statement = decode_json(payload, shape)
    if statement.type != STATEMENT_TYPE:
        message = f"expected _type {STATEMENT_TYPE}, found {shown(statement.type)}"
        raise MalformedError(message)
    predicate = statement.predicate
    registers = registers_of(statement.subject)
    parse_time(predicate.issued)
    if isinstance(predicate, Identity):
        _check_identity(predicate, registers)
    else:
        _check_measured(predicate, registers)
    return Statement(payload, predicate, registers)


def encode(predicate: Predicate, registers: Registers) -> bytes:
    """The payload of a statement; `parse` tells whether it is a legal one."""
    return encode_json(
        {
            "_type": STATEMENT_TYPE,
            "predicate": predicate,
            "predicateType": _TYPE_OF[type(predicate)],
            "subject": subject_of(registers),
        }
    )


def require_known(statement: Statement) -> None:
    """Refuse what only a later version could understand: admission's rule.

    Raises:
        MalformedError: an unknown platform, scope, reason or key algorithm.
    """
    predicate = statement.predicate
    if isinstance(predicate, Identity):
        for key in predicate.keys:
            try:
                PublicKey.from_spki(key.key)
            except UncheckedError as error:
                raise MalformedError(str(error)) from error
        return
    _require(
        predicate.platform in PLATFORMS,
        f"unknown platform {predicate.platform}; this log knows {list(PLATFORMS)}",
    )
    if isinstance(predicate, Audit):
        _require(predicate.scope in SCOPES, f"unknown scope {predicate.scope}")
    if isinstance(predicate, Revocation):
        known = MEASUREMENT_REASONS + STATEMENT_REASONS
        _require(predicate.reason in known, f"unknown reason {predicate.reason}")


def _require(condition: object, message: str) -> None:
    if not condition:
        raise MalformedError(message)


class _Sortable(Protocol):
    def order(self) -> tuple[str, ...]: ...


def _check_set(name: str, items: Sequence[_Sortable] | None, most: int) -> None:
    order = [item.order() for item in items or ()]
    _require(order == sorted(set(order)), f"{name}: expected ascending, each once")
    _require(len(order) <= most, f"{name}: {len(order)} items, at most {most}")


def _check_measured(predicate: Measured, registers: Registers) -> None:
    platform = PLATFORMS.get(predicate.platform)
    if platform is not None:
        _require(
            predicate.identity == platform.identity,
            f"identity: expected {platform.identity} for {platform.name}",
        )
        check_registers(platform, registers)
    _require(
        max(map(len, registers)) <= limits.REGISTER_NAME, "subject: a name is too long"
    )
    _require(
        spell(predicate.identity, registers),
        "identity: names no register of the subject",
    )
    if isinstance(predicate, Release):
        _require(platform is None or platform.released, "source cannot be released")
        _check_release(predicate)
    elif isinstance(predicate, Audit):
        _check_audit(predicate)
    else:
        _check_revocation(predicate)


def _check_release(release: Release) -> None:
    provider = release.product.partition("/")[0]
    _require(
        provider == release.issuer,
        f"product {release.product} is not under the name {release.issuer}",
    )
    if release.expires is not None:
        parse_time(release.expires)
    _check_set("components", release.components, limits.COMPONENTS)
    _check_set("controls", release.controls, limits.CONTROLS)
    _check_set("references", release.references, limits.REFERENCES)
    if release.build is not None:
        _check_set("tools", release.build.tools, limits.TOOLS)
    _require(len(release.numbers or ()) <= limits.NUMBERS, "numbers: at most 16")


def _check_audit(audit: Audit) -> None:
    performed = parse_time(audit.performed)
    failed = audit.result == "fail"
    expires = None if audit.expires is None else parse_time(audit.expires)
    _require(not failed or expires is None, "a fail does not expire")
    qualified = audit.result == "qualified"
    _require(
        qualified == (audit.open is not None),
        "open: exactly when the result is qualified",
    )
    if audit.scope not in SCOPES:
        return
    reproduction = audit.scope == REPRODUCTION
    controls = audit.scope == CONTROLS_REVIEW
    on_source = audit.scope == SOURCE_REVIEW
    _require(
        (audit.platform == "source") == on_source,
        f"a {audit.scope} is not about platform {audit.platform}",
    )
    _require(not (reproduction and qualified), "a reproduction is a pass or a fail")
    _require(
        reproduction == (audit.source is not None),
        "source: required in a reproduction, absent else",
    )
    _require(
        (reproduction and failed) == (audit.found is not None),
        "found: exactly in a failed reproduction",
    )
    _require(on_source or audit.basis is None, "basis: in a source-review only")
    _require(
        reproduction or audit.components is None, "components: in a reproduction only"
    )
    _require(
        controls == (audit.controls is not None),
        "controls: required in a controls-review, absent else",
    )
    if controls and not failed:
        latest = performed + limits.CONTROLS_REVIEW_DAYS * _DAY
        _require(
            expires is not None and expires <= latest,
            "expires: required in a controls-review, at most 90 days after performed",
        )
    if audit.found:
        check = PLATFORMS.get(audit.platform)
        found = registers_of(audit.found)
        if check is not None:
            check_registers(check, found, required=())


def _check_revocation(revocation: Revocation) -> None:
    if revocation.effective is not None:
        parse_time(revocation.effective)
    if revocation.reason in MEASUREMENT_REASONS:
        _require(
            revocation.statement is None and revocation.effective is None,
            f"{revocation.reason} holds for the measurement, at once and for good:"
            " no statement, no effective",
        )
        _require(
            revocation.platform != "source", f"{revocation.reason}: for releases only"
        )
    elif revocation.reason in STATEMENT_REASONS:
        _require(revocation.statement, f"{revocation.reason}: names its statement")


def _check_identity(identity: Identity, registers: Registers) -> None:
    _check_set("keys", identity.keys, limits.KEYS_OF_IDENTITY)
    order = sorted(set(identity.signers))
    _require(list(identity.signers) == order, "signers: ascending, each once")
    roles = sorted(set(identity.roles))
    _require(list(identity.roles) == roles, "roles: ascending, each once")
    _require(
        identity.issuer in (identity.name, REGISTRAR),
        "issuer: the name, or the registrar",
    )
    expected = {key.keyid: f"sha256:{key.keyid}" for key in identity.keys}
    _require(dict(registers) == expected, "subject: expected one register a key")
    registrar = identity.name == REGISTRAR
    _require(not (registrar and identity.roles), "the registrar has no roles")
    for key in identity.keys:
        _check_key(key, registrar=registrar)


def _check_key(key: IdentityKey, *, registrar: bool) -> None:
    _require(
        keyid_of(key.key) == key.keyid,
        f"key {key.keyid}: keyid is not the SHA-256 of the key",
    )
    # A key of a later algorithm stands, and is unusable here.
    with suppress(UncheckedError):
        PublicKey.from_spki(key.key)
    _require(
        key.since is None or key.status == "compromised",
        f"key {key.keyid}: since goes with compromised only",
    )
    _require(
        registrar == (key.use is not None),
        f"key {key.keyid}: use is for the registrar's keys, and required there",
    )
