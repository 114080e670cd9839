"""Policies: what a relying party demands, in a TOML file of its own.

`EXAMPLE` below is an example with every member; unknown members are errors, so that no
demand is lost in a typing mistake. A quorum is required, or waived by the word "none".
A key stands once in all lists of witnesses and index monitors of a log, since one key
under two names must not count twice. By default, `acme.example/x` is released by
`acme.example` and nobody else, and links 1 and 2 must be proven (PROTOCOL.md section
4).

>>> policy = Policy.parse(EXAMPLE.encode())
>>> policy.product("acme.example/wallet").links
(1, 2, 3)
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from pcrlog import limits
from pcrlog.attestation.roots import from_pem
from pcrlog.encoding import decode_base64, parse_time, sha256, shown
from pcrlog.errors import MalformedError, UncheckedError, UsageError
from pcrlog.keys import PublicKey
from pcrlog.measurement import (
    PLATFORMS,
    check_registers,
    parse_measurement,
    registers_in,
    spell,
)
from pcrlog.note import COSIGNATURE, ED25519, VerifierKey
from pcrlog.policy_file import (
    Distrust,
    File,
    LogTable,
    PlatformTable,
    Product,
    QuorumTable,
    SuccessorTable,
)
from pcrlog.predicates import NAME, SEGMENT
from pcrlog.semver import semver
from pcrlog.statement import SCOPES

EXAMPLE = """
format = "pcrlog-policy/v1"
version = 7
valid_until = "2027-11-23T00:00:00Z"
clock_skew = "300s"
clock = "local"                        # or "attested"
archives = false
distrust = { statements = [], keys = [], measurements = [] }

[[log]]
vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
url = "https://log.example/pcr"
registrar = "9d41000000000000000000000000000000000000000000000000000000000000"
max_age = "24h"
witnesses = "none"                     # or { quorum = 2, keys = ["w1.example/a+…", …] }
index_monitors = "none"

[platforms.aws-nitro]
roots = ["builtin"]                    # or a certificate in PEM
max_age = "5m"
nonce = "required"                     # or "optional"
operator = "aws"

[products."acme.example/wallet"]
platforms = ["aws-nitro"]
lowest_version = "1.4.0"
links = [1, 2, 3]
channel = "required"                   # or "optional"
components = "refuse"                  # or "report"
auditors = [{ name = "lab.example", scopes = ["reproduction", "source-review"] }]
counts = { reproduction = 1, source-review = 1 }
open_findings = { critical = 0, high = 0 }
ground = "any"                         # or "separate"
"""

_DURATION = re.compile(r"(0|[1-9][0-9]{0,5})([smhd])")
_PARTS = 64
_NO_KEY = re.compile(rb"[=,\n\[\]{}]")
"""What stands between the end of one key and the beginning of the next."""
_QUOTED = re.compile(rb"""\"[^"\n]*\"|'[^'\n]*'|#[^\n]*""")
"""Strings and comments, whose dots part no keys."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PRODUCT = re.compile(rf"(?:{NAME.replace('$', '/')})/(?:{SEGMENT}|\*)")


class Quorum(Struct, frozen=True):
    """At least `least` of `keys` (type 0x04) must have cosigned."""

    least: int
    keys: tuple[VerifierKey, ...]


class Log(Struct, frozen=True):
    """A log that the policy knows; a quorum of None is waived. Ages in seconds."""

    key: VerifierKey
    url: str
    registrar: str
    max_age: int
    frozen_until: int | None
    witnesses: Quorum | None
    index_monitors: Quorum | None


class PlatformRules(Struct, frozen=True):
    """What counts as a live document of a platform. `roots`: "builtin" or PEM.

    `tcb` and `advisories` are what is accepted of a machine, by its maker's words; and
    `pccs` is where its maker's collateral is had, if anywhere.
    """

    roots: tuple[str, ...]
    max_age: int
    nonce_required: bool
    operator: str | None
    tcb: tuple[str, ...] = ("UpToDate",)
    advisories: tuple[str, ...] = ()
    collateral_required: bool = True
    pccs: str | None = None


class Successor(Struct, frozen=True):
    """At least `least` of `keys` (by keyid) sign the next policy, found at `url`."""

    least: int
    keys: Mapping[str, PublicKey]
    url: str | None


class Policy(Struct, frozen=True):
    """A parsed policy; times and ages in (unix) seconds."""

    sha256: str
    version: int
    valid_until: int
    clock_skew: int
    clock_attested: bool
    archives: bool
    distrust: Distrust
    logs: Mapping[str, Log]
    platforms: Mapping[str, PlatformRules]
    products: Mapping[str, Product]
    previous: str | None = None
    successor: Successor | None = None

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        """Read a policy file.

        Raises:
            UsageError: not TOML, an unknown or missing member, a value out of its form.
        """
        if len(data) > limits.POLICY:
            message = f"policy has {len(data)} bytes, at most {limits.POLICY}"
            raise UsageError(message)
        _check_keys(data)
        try:
            table = tomllib.loads(data.decode("utf-8"))
            raw = msgspec.convert(table, File)
            return _build(raw, sha256(data).hex())
        except (ValueError, RecursionError, MalformedError) as error:
            message = f"policy: {error}"
            raise UsageError(message) from error

    def product(self, name: str) -> Product:
        """What is demanded of a product: its own table, or its provider's `/*`.

        Raises:
            UsageError: the policy says nothing of it.
        """
        found = self.find_product(name)
        if found is None:
            message = (
                f"the policy does not name {name}; add it:"
                f" pcrlog policy add POLICY {name}"
            )
            raise UsageError(message)
        return found

    def find_product(self, name: str) -> Product | None:
        """The same, or None."""
        provider = name.partition("/")[0]
        return self.products.get(name) or self.products.get(f"{provider}/*")


def _check_keys(data: bytes) -> None:
    """Tomllib takes the square of the parts of a dotted key; ours have three."""
    parts = 0
    for piece in _QUOTED.sub(b"", data).split(b"."):
        parts = 0 if _NO_KEY.search(piece) else parts + 1
        if parts > _PARTS:
            message = f"policy: a key has more than {_PARTS} parts"
            raise UsageError(message)


def parse_duration(text: str) -> int:
    """Seconds of `<number><s, m, h or d>`.

    Raises:
        MalformedError: another form.
    """
    if match := _DURATION.fullmatch(text):
        return int(match[1]) * _SECONDS[match[2]]
    message = f"expected a duration such as 300s, 5m, 24h or 7d, found {shown(text)}"
    raise MalformedError(message)


def _build(raw: File, digest: str) -> Policy:
    logs = {}
    for log in raw.log:
        built = _build_log(log)
        if built.key.name in logs:
            message = f"log {built.key.name} stands twice"
            raise MalformedError(message)
        logs[built.key.name] = built
    for name, product in raw.products.items():
        _check_product(name, product, raw)
    for measurement in raw.distrust.measurements:
        _check_distrusted(measurement)
    return Policy(
        sha256=digest,
        version=raw.version,
        valid_until=parse_time(raw.valid_until),
        clock_skew=parse_duration(raw.clock_skew),
        clock_attested=raw.clock == "attested",
        archives=raw.archives,
        distrust=raw.distrust,
        logs=logs,
        platforms={n: _build_platform(n, p) for n, p in raw.platforms.items()},
        products=raw.products,
        previous=raw.previous,
        successor=None if raw.successor is None else _build_successor(raw.successor),
    )


def _check_distrusted(text: str) -> None:
    """Any other spelling would match no document, and distrust nothing."""
    name, measurement = parse_measurement(text)
    known = PLATFORMS.get(name)
    if known is None:
        raise MalformedError(_unknown_platform(name))
    registers = registers_in(measurement)
    if measurement not in spell(known.identity, registers):
        names = ",".join(f"{one}=…" for one in known.identity[0])
        message = f"distrust: expected {name}/{names}, found {shown(text)}"
        raise MalformedError(message)
    check_registers(known, registers, required=())


def _build_successor(raw: SuccessorTable) -> Successor:
    try:
        keys = [PublicKey.from_spki(decode_base64(text)) for text in raw.keys]
    except UncheckedError as error:
        raise MalformedError(str(error)) from error
    named = {key.keyid: key for key in keys}
    if len(named) != len(keys) or len(keys) < raw.quorum:
        message = f"successor: {raw.quorum} of {len(named)} keys, each named once"
        raise MalformedError(message)
    return Successor(raw.quorum, named, raw.url)


def _build_log(log: LogTable) -> Log:
    key = VerifierKey.parse(log.vkey)
    if key.kind != ED25519:
        message = f"log {key.name}: expected a key of type 0x01"
        raise MalformedError(message)
    witnesses, monitors = (
        _build_quorum(log.witnesses),
        _build_quorum(log.index_monitors),
    )
    cosigners = [k for q in (witnesses, monitors) if q is not None for k in q.keys]
    publics = [key.public, *(cosigner.public for cosigner in cosigners)]
    if len(set(publics)) != len(publics):
        message = f"log {key.name}: a key stands twice among log, witnesses, monitors"
        raise MalformedError(message)
    frozen = None if log.frozen_until is None else parse_time(log.frozen_until)
    max_age = parse_duration(log.max_age)
    url = log.url.rstrip("/")
    return Log(key, url, log.registrar, max_age, frozen, witnesses, monitors)


def _build_quorum(raw: QuorumTable | Literal["none"]) -> Quorum | None:
    if raw == "none":
        return None
    keys = tuple(VerifierKey.parse(vkey) for vkey in raw.keys)
    if any(key.kind != COSIGNATURE for key in keys):
        message = "expected keys of witnesses and index monitors to be of type 0x04"
        raise MalformedError(message)
    if len(keys) < raw.quorum:
        message = f"a quorum of {raw.quorum} cannot be reached by {len(keys)} keys"
        raise MalformedError(message)
    return Quorum(raw.quorum, keys)


def _build_platform(name: str, raw: PlatformTable) -> PlatformRules:
    if name not in PLATFORMS:
        raise MalformedError(_unknown_platform(name))
    for root in raw.roots:
        _check_root(root)
    told = (raw.tcb, raw.advisories, raw.collateral, raw.pccs)
    if not PLATFORMS[name].of_collateral and any(one is not None for one in told):
        message = (
            f"platforms.{name}: tcb, advisories, collateral and pccs are of platforms"
            " whose maker publishes the state of its machines: intel-sgx"
        )
        raise MalformedError(message)
    if len(set(raw.tcb or ())) < len(raw.tcb or ()):
        message = f"platforms.{name}: a status stands twice in tcb"
        raise MalformedError(message)
    return PlatformRules(
        roots=raw.roots,
        max_age=parse_duration(raw.max_age),
        nonce_required=raw.nonce == "required",
        operator=raw.operator,
        tcb=raw.tcb or ("UpToDate",),
        advisories=raw.advisories or (),
        collateral_required=raw.collateral != "optional",
        pccs=raw.pccs,
    )


def _check_root(root: str) -> None:
    try:
        if root != "builtin":
            from_pem(root)
    except UsageError as error:
        raise MalformedError(str(error)) from error


def _unknown_platform(name: str) -> str:
    return f"unknown platform {name}; this version knows {list(PLATFORMS)}"


def _check_platform(product: str, name: str, raw: File) -> None:
    known = PLATFORMS.get(name)
    if known is None:
        raise MalformedError(_unknown_platform(name))
    if known.attests and name not in raw.platforms:
        message = f"{product}: [platforms.{name}] is missing"
        raise MalformedError(message)


def _check_product(name: str, product: Product, raw: File) -> None:
    if not _PRODUCT.fullmatch(name):
        message = f"expected a product <name>/<segment> or <name>/*, found {name!r}"
        raise MalformedError(message)
    for platform in product.platforms:
        _check_platform(name, platform, raw)
    if product.lowest_version is not None:
        semver(product.lowest_version)
    names = [auditor.name for auditor in product.auditors]
    if len(set(names)) != len(names):
        message = f"{name}: an auditor stands twice"
        raise MalformedError(message)
    for scope in SCOPES:
        able = sum(scope in auditor.scopes for auditor in product.auditors)
        wanted = product.counts.of(scope)
        if wanted > max(able, 1):
            message = f"{name}: {wanted} {scope} passes from {able} auditors"
            raise MalformedError(message)
