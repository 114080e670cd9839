"""Index keys: under which strings the index lists an entry.

    v1/by/<issuer>/<platform>/<M>      all but identities about that measurement
    v1/version/<product>/<version>     releases
    v1/identity/<name>                 identities
    v1/measurement/<platform>/<M>      releases
    v1/product/<product>               releases
    v1/issuer/<name>                   all statements of an issuer

One pure function of an entry's bytes (PROTOCOL.md section 3). It never fails, knows no
table of platforms or versions of types, and never will: every monitor, however old, has
to compute the same index. An entry in which the members of a key are absent, or not of
their shape, does not have that key.

>>> index_keys(b"pcrlog/seal/v1")
()
"""

import re
from functools import lru_cache
from typing import Any

import msgspec

from pcrlog import limits
from pcrlog.encoding import decode_base64, prepare, sha256
from pcrlog.envelope import FIRST_BYTE
from pcrlog.errors import MalformedError
from pcrlog.measurement import PLATFORM, spell
from pcrlog.predicates import NAME, PRODUCT, VERSION

_REMEMBERED = 4096
"""Bytes of a payload whose keys are remembered."""


class _Register(msgspec.Struct):
    name: str
    digest: dict[str, str]


prepare(_Register)
_FAMILY = re.compile(r"urn:pcrlog:([a-z0-9-]{1,32}):[!-~]*")
_NAME = re.compile(NAME)
_PRODUCT = re.compile(PRODUCT)
_VERSION = re.compile(VERSION)
_PLATFORM = re.compile(PLATFORM)


def by(issuer: str, platform: str, measurement: str) -> str:
    """Every statement of `issuer` about a measurement: what verification asks."""
    return f"v1/by/{issuer}/{platform}/{measurement}"


def of_version(product: str, version: str) -> str:
    """The releases of one version of a product: conflicts."""
    return f"v1/version/{product}/{version}"


def of_identity(name: str) -> str:
    """The identities of a name."""
    return f"v1/identity/{name}"


def of_measurement(platform: str, measurement: str) -> str:
    """The releases, by anybody, of a measurement."""
    return f"v1/measurement/{platform}/{measurement}"


def of_product(product: str) -> str:
    """The releases of a product."""
    return f"v1/product/{product}"


def of_issuer(name: str) -> str:
    """All statements of an issuer."""
    return f"v1/issuer/{name}"


def key_hash(key: str) -> bytes:
    """The trie's key for a key string."""
    return sha256(key.encode())


def index_keys(leaf: bytes) -> tuple[str, ...]:
    """The key strings of an entry, each once; a seal has none."""
    payload = payload_of(leaf)
    return () if payload is None else keys_of_payload(payload)


def payload_of(leaf: bytes) -> bytes | None:
    """The payload of which an entry's keys are read, however ill-formed the rest is."""
    if not leaf.startswith(FIRST_BYTE):
        return None
    try:
        return decode_base64(_decode(leaf)["payload"])
    except _NO_ENVELOPE:
        return None


def keys_of_payload(payload: bytes) -> tuple[str, ...]:
    """The same, of the statement inside an entry's envelope.

    Remembers the last ones read, unless they are large: few bytes may have many keys.
    """
    if len(payload) > _REMEMBERED:
        return _keys_of(payload)
    return _remembered_keys_of(payload)


def _keys_of(payload: bytes) -> tuple[str, ...]:
    try:
        statement = _decode(payload)
        family = _FAMILY.fullmatch(statement["predicateType"])
        predicate = statement["predicate"]
        subject = statement.get("subject")
    except _NO_ENVELOPE:
        return ()
    if not isinstance(predicate, dict):
        return ()
    return tuple(dict.fromkeys(_keys(family[1] if family else "", predicate, subject)))


_remembered_keys_of = lru_cache(maxsize=64)(_keys_of)


def _decode(data: bytes) -> dict[str, Any]:
    if data.count(b"[") + data.count(b"{") > limits.BRACKETS:
        message = f"more than {limits.BRACKETS} brackets"
        raise MalformedError(message)
    value = msgspec.json.decode(data)
    if not isinstance(value, dict):
        message = "not a JSON object"
        raise MalformedError(message)
    return value


_NO_ENVELOPE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    MalformedError,
)
"""What it takes to say that bytes are not an envelope, or not a statement. Not that the
stack is too small for 512 brackets: then there is no answer, and must be none."""


def _member(predicate: dict[str, object], name: str, shape: re.Pattern[str]) -> str:
    """A member of the predicate that is a string of its shape, or nothing."""
    value = predicate.get(name)
    return value if isinstance(value, str) and shape.fullmatch(value) else ""


def _keys(family: str, predicate: dict[str, object], subject: object) -> list[str]:
    keys = []
    issuer = _member(predicate, "issuer", _NAME)
    platform = _member(predicate, "platform", _PLATFORM)
    measurements = _measurements(predicate.get("identity"), subject) if platform else ()
    if issuer and family != "identity":
        keys += [by(issuer, platform, m) for m in measurements]
    if family == "release":
        keys += [of_measurement(platform, m) for m in measurements]
        keys += _product_keys(predicate)
    if family == "identity" and (name := _member(predicate, "name", _NAME)):
        keys.append(of_identity(name))
    if issuer:
        keys.append(of_issuer(issuer))
    return keys


def _product_keys(predicate: dict[str, object]) -> list[str]:
    product = _member(predicate, "product", _PRODUCT)
    version = _member(predicate, "version", _VERSION)
    if not product:
        return []
    return [of_product(product)] + [of_version(product, version)] * bool(version)


def _measurements(identity: object, subject: object) -> tuple[str, ...]:
    try:
        rows = msgspec.convert(subject, list[_Register])
        lists = msgspec.convert(identity, list[list[str]])
    except ValueError:
        return ()
    registers = {}
    for row in rows:
        if row.name in registers or len(row.digest) != 1:
            return ()
        [(algorithm, value)] = row.digest.items()
        registers[row.name] = f"{algorithm}:{value}"
    return spell(lists, registers)
