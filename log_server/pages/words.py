"""Statements, times and digests in the words that people read.

>>> [ago(s) for s in (30, 90, 7300, 200_000, -120)]
['just now', '1 minute ago', '2 hours ago', '2 days ago', 'in 2 minutes']
>>> number(1234567)
'1\u202f234\u202f567'
"""

from pcrlog.entry import Entry
from pcrlog.measurement import registers_in
from pcrlog.predicates import REGISTRAR, Audit, Identity, Release, Revocation
from pcrlog.statement import REPRODUCTION, SOURCE_REVIEW

_UNITS = (
    (31_536_000, "year"),
    (86_400, "day"),
    (3600, "hour"),
    (60, "minute"),
)
_SPOKEN = {
    "reproduction": "rebuilt",
    "source-review": "reviewed the source of",
    "controls-review": "reviewed the controls of",
}
_RESULTS = {
    "pass": "passed",
    "qualified": "passed, with open findings",
    "fail": "failed",
}
STATES = {
    "stands": "stands",
    "confirmed": "confirmed",
    "claimed": "only claimed",
    "missing": "nobody says",
    "against": "spoken against",
    "open": "yours to check",
    "ground": "what all rests on",
}
"""The states of links (judged.py), for people."""
PART_STATES = {
    "proven": "confirmed",
    "claimed": "only claimed",
    "missing": "nobody says",
    "failed": "spoken against",
    "unchecked": "more than can be followed",
}
"""The same, of the parts of a release (pcrlog.verification.links)."""
_KINDS = {
    "release": "release",
    "pass": "audit",
    "fail": "audit, failed",
    "revocation": "revocation",
    "identity": "identity",
    "seal": "seal",
    "unknown": "unknown",
}


def ago(seconds: float) -> str:
    """How long ago something was."""
    span = abs(int(seconds))
    for size, unit in _UNITS:
        if span >= size:
            count = span // size
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def number(value: int) -> str:
    """A number, in groups of three digits."""
    return f"{value:,}".replace(",", "\u202f")


def kind_of(entry: Entry) -> str:
    """What an entry is, for its colour: as log.db files it."""
    said = entry.predicate
    if isinstance(said, Audit):
        return "fail" if said.result == "fail" else "pass"
    return type(said).__name__.lower()


def kind_words(kind: str) -> str:
    """The same, for people."""
    return _KINDS[kind]


def version_of(release: Release) -> str:
    """A version, with its variant."""
    return (
        f"{release.version} ({release.variant})" if release.variant else release.version
    )


def title(entry: Entry) -> str:
    """A statement in one sentence, without what it is about."""
    said = entry.predicate
    if isinstance(said, Release):
        return f"{said.issuer} released {segment(said.product)} {version_of(said)}"
    if isinstance(said, Audit):
        return f"{said.issuer} {_audit(said)}"
    if isinstance(said, Revocation):
        what = "a statement" if said.statement else "a measurement"
        return f"{said.issuer} revoked {what} as {said.reason}"
    return _identity(said)


def _audit(audit: Audit) -> str:
    done = _SPOKEN.get(audit.scope, f"did a {audit.scope} of")
    if audit.scope == REPRODUCTION:
        outcome = "other registers came out"
        if audit.result == "pass":
            outcome = "the same registers came out"
        return f"{done} it from source: {outcome}"
    what = "a commit" if audit.scope == SOURCE_REVIEW else "a measurement"
    return f"{done} {what}: {_RESULTS[audit.result]}"


def _identity(identity: Identity) -> str:
    roles = " and ".join(identity.roles) or "no role"
    if identity.name == REGISTRAR:
        return "the registrar set its own keys"
    if identity.previous is None:
        return f"{identity.name} was enrolled as {roles}"
    if any(key.status == "compromised" for key in identity.keys):
        return f"{identity.name}: keys changed, and one is declared compromised"
    return f"{identity.name}: keys or roles changed"


def segment(product: str) -> str:
    """A product without its provider."""
    return product.partition("/")[2]


def digest_in(measurement: str) -> str:
    """The first digest of an M, without its algorithm: what people paste."""
    [first, *_] = registers_in(measurement).values()
    return first.partition(":")[2]
