"""Search: from whatever somebody pastes to the page that it belongs on.

5                              entry 5
aws-nitro/PCR0=sha384:…        that measurement
96 hex digits, with or without that measurement, if the log holds one; also out of
  PCR0=, sha384:, JSON           what a build or a describe-enclaves printed
64 hex digits                  a statement, a key, an artifact or a commit
40 hex digits                  a commit
acme.example/wallet            that product
acme.example                   that identity
anything else                  the entries with words that begin so
"""

import re
from typing import TYPE_CHECKING, TypeAlias

from flask import Response, redirect, request
from msgspec import Struct

from log_server.pages.desk import Desk
from log_server.pages.reading import Reading
from log_server.pages.rendering import linker, root_of
from log_server.pages.rows import rows_of
from pcrlog import limits
from pcrlog.encoding import printable
from pcrlog.entry import Entry
from pcrlog.errors import MalformedError
from pcrlog.index_keys import key_hash, of_identity, of_product
from pcrlog.measurement import parse_measurement
from pcrlog.predicates import NAME, PRODUCT, Identity

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 20_000
"""Characters of a question: room for a whole output of a build."""
_RESULTS, _SEEN = 50, 2000
_ECHOED = 200
_NAMED = tuple(
    re.compile(
        rf"(?i){name}\"?\s*[:=]\s*\"?(?:sha(?:384|256):)?([0-9a-f]{{{digits}}})\b"
    )
    for name, digits in (("PCR0", 96), ("MR_?ENCLAVE", 64), ("PCR4", 96))
)
"""What a build is known by, in what tools print; an instance's boot by its PCR4."""
_DIGEST = re.compile(
    r"(?i)(?:(?:PCR0=|digest=|commit=)?(?:sha384|sha256|gitCommit):)?([0-9a-f]{40,128})"
)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_WORD = re.compile(r"[!-~]{1,128}")
_SHA256, _COMMIT, _SHA384 = 64, 40, 96
_WORDS = 4

Path: TypeAlias = tuple[object, ...]


class Found(Struct, frozen=True):
    """Where a question leads: a page, or a list and whether it is all of it."""

    path: Path = ()
    entries: tuple[Entry, ...] = ()
    complete: bool = True


def page(desk: Desk, reading: Reading, asked: str) -> Response:
    """The answer to a question: the page itself, or a list."""
    question = " ".join(asked.split())
    found = find(reading, question) if question else Found()
    if found.path:
        to = linker(root_of(request.path))
        return redirect(to(*found.path), 303)  # type: ignore[return-value] # a Response of Werkzeug's, which Flask's is
    shown = printable(question, _ECHOED)
    heading = f"Nothing found for “{shown}”" if question else "Search"
    if found.entries:
        heading = f"“{shown}”"
    return desk.render.page(
        "search",
        200 if found.entries or not question else 404,
        now=desk.now(),
        asked=shown,
        heading=heading,
        words=_advice(question),
        found=rows_of(reading, found.entries),
        complete=found.complete,
    )


def find(reading: Reading, question: str) -> Found:
    """Where a question leads."""
    ways: tuple[Callable[[Reading, str], Found | None], ...] = (
        _index,
        _measurement,
        _digest,
        _product,
        _identity,
    )
    for way in ways:
        found = way(reading, question)
        if found is not None:
            return found
    return _words(reading, question)


def _index(reading: Reading, question: str) -> Found | None:
    digits = question.removeprefix("#")
    if _NUMBER.fullmatch(digits) and int(digits) < reading.size:
        return Found(("entry", int(digits)))
    return None


def _measurement(_reading: Reading, question: str) -> Found | None:
    try:
        return Found(("measurement", *parse_measurement(question)))
    except MalformedError:
        return None


def _digest(reading: Reading, question: str) -> Found | None:
    named = (one.search(question) for one in _NAMED)
    match = next(filter(None, named), None) or _DIGEST.fullmatch(question)
    if match is None:
        return None
    digest = match[1].lower()
    if len(digest) == _SHA256:
        index = reading.index_of(digest)
        if index is not None:
            return Found(("entry", index))
    entries, complete = reading.words(digest, _RESULTS, _SEEN)
    for entry in entries:
        path = _measured(entry, digest) or _keyed(entry, digest)
        if path:
            return Found(path)
    return Found((), tuple(entries), complete)


def _measured(entry: Entry, digest: str) -> Path:
    said = entry.predicate
    if isinstance(said, Identity):
        return ()
    for one in entry.statement.measurements:
        if one.endswith(f":{digest}") and "," not in one:
            if said.platform == "artifact":
                return ("component", digest)
            return ("measurement", said.platform, one)
    return ()


def _keyed(entry: Entry, keyid: str) -> Path:
    said = entry.predicate
    if isinstance(said, Identity) and any(key.keyid == keyid for key in said.keys):
        return ("identity", said.name)
    return ()


def _product(reading: Reading, question: str) -> Found | None:
    name = question.lower()
    is_one = len(name) <= 2 * limits.NAME and re.fullmatch(PRODUCT, name)
    if is_one and _has(reading, of_product(name)):
        return Found(("product", name))
    return None


def _identity(reading: Reading, question: str) -> Found | None:
    name = question.lower()
    is_one = len(name) <= limits.NAME and re.fullmatch(NAME, name)
    if is_one and _has(reading, of_identity(name)):
        return Found(("identity", name))
    return None


def _has(reading: Reading, key: str) -> bool:
    return bool(reading.snapshot.indices(key_hash(key), 1))


def _words(reading: Reading, question: str) -> Found:
    """The entries with all of a few words."""
    words = question.split(" ")
    if len(words) > _WORDS or not all(map(_WORD.fullmatch, words)):
        return Found()
    found, complete = reading.words(words[0], _RESULTS, _SEEN)
    for word in words[1:]:
        others, whole = reading.words(word, _RESULTS * 4, _SEEN)
        indices = {entry.index for entry in others}
        found = [entry for entry in found if entry.index in indices]
        complete = complete and whole
    return Found((), tuple(found), complete)


def _advice(question: str) -> str:
    if len(question) == _SHA384:
        return (
            "No release in this log has this as its PCR0. PCR1, PCR2 and others are"
            " shown with their release, and are not looked up."
        )
    return (
        "Plain search finds products, versions, names, digests and keys by how they"
        " begin. What it does not find may be in the log all the same: the index has"
        " the proof."
    )
