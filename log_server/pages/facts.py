"""A statement as people read it: each member that it has, with where it leads.

URIs are shown, and are no links: whoever signed the statement chose them, and a click
would tell them who reads it.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from log_server.pages.reading import Reading
from log_server.pages.words import version_of
from pcrlog.entry import Entry
from pcrlog.gather import COMMIT
from pcrlog.measurement import Registers
from pcrlog.predicates import (
    Audit,
    Component,
    Document,
    Identity,
    Measured,
    Release,
    Revocation,
    Source,
)
from pcrlog.seal import Seal

_REASONS = {
    "compromised": "compromised: holds for the measurement, for good",
    "vulnerable": "vulnerable: holds for the measurement, for good",
    "withdrawn": "withdrawn: holds for the one statement",
    "erroneous": "erroneous: holds for the one statement",
    "superseded": "superseded: holds for the one statement",
}


class Value(Struct, frozen=True):
    """A value: `text`, a digest if `code`; the page at `path`; a digest beside it."""

    text: str
    code: bool = False
    path: tuple[object, ...] = ()
    more: str = ""


class Fact(Struct, frozen=True):
    """A member by its name, with one value or a list."""

    name: str
    values: tuple[Value, ...]
    many: bool = False


def facts_of(entry: Entry, reading: Reading) -> list[Fact]:
    """The members of a statement."""
    said = entry.predicate
    if isinstance(said, Identity):
        return list(_identity(said))
    rows = {Release: _release, Audit: _audit, Revocation: _revocation}
    make = rows[type(said)]
    found = list(make(said, reading))  # type: ignore[operator] # each takes its own type
    return [*found, *_measured(said, entry.statement.registers), *_times(said)]


def facts_of_seal(seal: Seal) -> list[Fact]:
    """What a seal says."""
    found = [
        _fact("Entries before it", Value(f"{seal.count:,}")),
        _fact("Root of the index", Value(seal.root.hex(), code=True)),
    ]
    if seal.frozen:
        found.append(_fact("Frozen", Value("this is the last leaf of the log")))
    return found


def _fact(name: str, *values: Value) -> Fact:
    return Fact(name, values)


def _list(name: str, values: Iterable[Value], none: str) -> Fact:
    found = tuple(values)
    return Fact(name, found or (Value(none),), many=bool(found))


def _release(release: Release, reading: Reading) -> Iterator[Fact]:
    yield _fact("Product", Value(release.product, path=("product", release.product)))
    yield _fact("Version", Value(version_of(release)))
    if release.source is not None:
        yield from _source(release.source, reading)
    if release.build is not None:
        yield _document("Recipe", release.build.recipe)
        tools = (Value(t.name, more=t.sha256) for t in release.build.tools or ())
        if release.build.tools is not None:
            yield _list("Tools", tools, "none")
    if release.image is not None:
        image = release.image
        words = f"{image.size:,} bytes{f', {image.uri}' if image.uri else ''}"
        yield _fact("Image", Value(words, more=image.sha256))
    yield from _release_lists(release, reading)


def _release_lists(release: Release, reading: Reading) -> Iterator[Fact]:
    if release.components is not None:
        parts = (_component(one, reading) for one in release.components)
        yield _list("Parts made elsewhere", parts, "none, says the provider")
    if release.controls is not None:
        kinds = (
            Value(f"{one.kind}{f', {one.uri}' if one.uri else ''}", more=one.sha256)
            for one in release.controls
        )
        yield _list("Controls", kinds, "none, says the provider")
    if release.binding is not None:
        binding = release.binding
        yield _fact("Channel", Value(f"{binding.kind}, in {binding.field}"))
    if release.references is not None:
        rows = (Value(f"{r.kind}: {r.uri}", more=r.sha256) for r in release.references)
        yield _list("References", rows, "none")
    if release.numbers is not None:
        pairs = (Value(f"{name} = {n}") for name, n in sorted(release.numbers.items()))
        yield _list("Numbers", pairs, "none")


def _audit(audit: Audit, reading: Reading) -> Iterator[Fact]:
    yield _fact("Auditor", Value(audit.issuer, path=("identity", audit.issuer)))
    yield _fact("Scope", Value(audit.scope))
    yield _fact("Result", Value(audit.result))
    if audit.open is not None:
        found = audit.open
        counts = (
            f"{getattr(found, s)} {s}" for s in ("critical", "high", "medium", "low")
        )
        yield _fact("Open findings", Value(", ".join(counts)))
    if audit.source is not None:
        yield from _source(audit.source, reading)
    if audit.found is not None:
        rows = (
            Value(f"{one.name}:", more=":".join(next(iter(one.digest.items()))))
            for one in audit.found
        )
        yield _list("What came out", rows, "nothing")
    for name, digest in (
        ("Recipe", audit.recipe),
        ("Parts found complete", audit.components),
        ("Controls reviewed", audit.controls),
    ):
        if digest is not None:
            yield _fact(name, Value(digest, code=True))
    if audit.basis is not None:
        yield _fact("Builds on a review of", _commit(audit.basis.commit, reading))
        yield _statement("That review", audit.basis.sha256, reading)
    if audit.report is not None:
        yield _document("Report", audit.report)
    yield _fact("Performed", Value(audit.performed))


def _revocation(revocation: Revocation, reading: Reading) -> Iterator[Fact]:
    issuer = revocation.issuer
    yield _fact("By", Value(issuer, path=("identity", issuer)))
    reason = revocation.reason
    yield _fact("Reason", Value(_REASONS.get(reason, reason)))
    if revocation.statement is not None:
        yield _statement("Takes back", revocation.statement, reading)
    if revocation.effective is not None:
        yield _fact("From", Value(revocation.effective))
    if revocation.reference is not None:
        yield _document("Reference", revocation.reference)


def _identity(identity: Identity) -> Iterator[Fact]:
    yield _fact("Name", Value(identity.name, path=("identity", identity.name)))
    yield _fact("Said by", Value(identity.issuer, path=("identity", identity.issuer)))
    yield _list("Roles", map(Value, identity.roles), "none")
    keys = (
        Value(f"{key.status}{f', for {key.use}' if key.use else ''}", more=key.keyid)
        for key in identity.keys
    )
    yield _list("Keys", keys, "none")
    if identity.previous is not None:
        yield _fact("Follows", Value(identity.previous, code=True))
    yield _fact("Issued", Value(identity.issued))


def _measured(said: Measured, registers: Registers) -> Iterator[Fact]:
    yield _fact("Platform", Value(said.platform))
    identifying = {name for names in said.identity for name in names}
    for name, value in registers.items():
        path: tuple[object, ...] = ()
        if said.identity == ((name,),):
            path = ("measurement", said.platform, f"{name}={value}")
        words = name.capitalize() if name.islower() else name
        if name in identifying and len(registers) > 1:
            words = f"{name}, which identifies it"
        yield _fact(words, Value(value.partition(":")[2], code=True, path=path))


def _times(said: Measured) -> Iterator[Fact]:
    yield _fact("Issued", Value(f"{said.issued}, says the signer"))
    expires = getattr(said, "expires", None)
    if expires is not None:
        yield _fact("Expires", Value(expires))


def _source(source: Source, reading: Reading) -> Iterator[Fact]:
    yield _fact("Source", Value(source.uri))
    yield _fact("Commit", _commit(source.commit, reading))


def _commit(commit: str, reading: Reading) -> Value:
    """A commit; it has a page if somebody has reviewed it."""
    path = ("measurement", "source", f"{COMMIT}{commit}")
    return Value(commit, code=True, path=path if reading.has_word(commit) else ())


def _document(name: str, document: Document) -> Fact:
    return _fact(name, Value(document.uri, more=document.sha256))


def _component(component: Component, reading: Reading) -> Value:
    path = ("component", component.sha256)
    known = reading.has_word(component.sha256)
    return Value(component.product, path=path if known else (), more=component.sha256)


def _statement(name: str, sha256: str, reading: Reading) -> Fact:
    index = reading.index_of(sha256)
    if index is None:
        return _fact(name, Value(sha256, code=True))
    return _fact(name, Value(f"entry {index}", path=("entry", index), more=sha256))
