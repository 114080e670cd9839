"""GET below /api/v1: entries, proofs, bundles, lookups, plain search.

All of it is a convenience over the files below the log's prefix: whoever distrusts it
has the tiles. What is proven comes as a bundle or a proof file; search says that it is
not.
"""

import gzip
import re

from flask import Blueprint, Request, Response, request

from log_server.bundles import bundle_about, leaf_at, lookup, proof_of
from log_server.headers import IMMUTABLE, NO_CACHE, TEXT
from log_server.problems import NoEntryError, ParameterError
from log_server.responses import (
    JSON,
    decimal,
    parameters,
    respond,
    respond_json,
)
from log_server.store import Snapshot, Store
from pcrlog import limits
from pcrlog.encoding import decode_hex, shown
from pcrlog.entry import parse_entry
from pcrlog.envelope import FIRST_BYTE
from pcrlog.errors import MalformedError
from pcrlog.index_keys import of_identity, of_issuer, of_measurement, of_product
from pcrlog.measurement import parse_measurement
from pcrlog.predicates import NAME, PRODUCT, Identity

SEARCH_RESULTS = 50
_SEARCH_SEEN = 2000
"""Places looked at for one search: bounds its cost whatever the word."""
_HASH_SIZE = 32
_PRODUCT = re.compile(PRODUCT)
_NAME = re.compile(NAME)
_WORD = re.compile(r"[!-~]{1,128}")


def blueprint(store: Store) -> Blueprint:
    """The routes."""
    routes = Blueprint("read", __name__, url_prefix="/api/v1")
    _add_entries(routes, store)
    _add_questions(routes, store)
    return routes


def _add_entries(routes: Blueprint, store: Store) -> None:
    @routes.get("/entries/<index>")
    def entry(index: str) -> Response:
        parameters(request, ())
        with store.published() as snapshot:
            leaf = leaf_at(snapshot, decimal("index", index))
        kind = JSON if leaf.startswith(FIRST_BYTE) else TEXT
        return respond(leaf, kind, cache=IMMUTABLE)

    @routes.get("/entries/<index>/proof")
    def proof(index: str) -> Response:
        parameters(request, ())
        with store.published() as snapshot:
            found, _ = proof_of(snapshot, decimal("index", index))
        return respond(found.encode(), TEXT, cache=NO_CACHE)

    @routes.get("/entries/by-sha256/<digest>")
    def entry_by_sha256(digest: str) -> Response:
        parameters(request, ())
        statement = _hash(digest)
        with store.published() as snapshot:
            index = snapshot.index_of(statement)
            if index is None:
                message = f"no statement {digest} is published"
                raise NoEntryError(message)
            leaf = leaf_at(snapshot, index)
        return respond_json({"index": index, "sha256": digest, "leaf": leaf.decode()})


def _add_questions(routes: Blueprint, store: Store) -> None:
    @routes.get("/bundle")
    def bundle() -> Response:
        return _compressed(request, _bundle(store, request))

    @routes.get("/lookup")
    def look_up() -> Response:
        key = _lookup_key(request)
        with store.published() as snapshot:
            return _compressed(request, lookup(snapshot, key))

    @routes.get("/search")
    def search() -> Response:
        [word] = parameters(request, ("q",)).get("q", [""])
        if not _WORD.fullmatch(word):
            message = f"q is {shown(word)}, want 1..128 printable characters, no spaces"
            raise ParameterError(message)
        with store.published() as snapshot:
            return respond_json(_search(snapshot, word.lower()))


def _hash(digest: str) -> bytes:
    try:
        return decode_hex(digest, _HASH_SIZE)
    except MalformedError as error:
        raise ParameterError(str(error)) from error


def _bundle(store: Store, incoming: Request) -> bytes:
    found = parameters(incoming, ("product",), ("measurement", "auditor"))
    [product] = found.get("product", [""])
    auditors = found.get("auditor", [])
    if not _PRODUCT.fullmatch(product):
        message = f"product is {shown(product)}, want <provider>/<name>"
        raise ParameterError(message)
    wrong = [name for name in auditors if not _NAME.fullmatch(name)]
    if wrong or len(auditors) > limits.AUDITORS_OF_PRODUCT:
        message = f"auditor: want at most {limits.AUDITORS_OF_PRODUCT} names"
        raise ParameterError(message)
    measured = [_measurement(text) for text in found.get("measurement", [])]
    platforms = {platform for platform, _ in measured}
    if len(platforms) != 1 or len(measured) > limits.SUBJECT_REGISTERS:
        message = "measurement: want at least one, all of one platform"
        raise ParameterError(message)
    with store.published() as snapshot:
        return bundle_about(
            snapshot, product, platforms.pop(), [m for _, m in measured], auditors
        )


def _measurement(text: str) -> tuple[str, str]:
    try:
        return parse_measurement(text)
    except MalformedError as error:
        message = f"measurement: {error}"
        raise ParameterError(message) from error


def _lookup_key(incoming: Request) -> str:
    """The index key of a lookup's one question."""
    found = parameters(incoming, ("measurement", "product", "identity", "issuer"))
    if len(found) != 1:
        message = "want exactly one of measurement, product, identity and issuer"
        raise ParameterError(message)
    [(name, [text])] = found.items()
    if name == "measurement":
        return of_measurement(*_measurement(text))
    shape, key_of = {
        "product": (_PRODUCT, of_product),
        "identity": (_NAME, of_identity),
        "issuer": (_NAME, of_issuer),
    }[name]
    if not shape.fullmatch(text):
        message = f"{name} is {shown(text)}, which is none"
        raise ParameterError(message)
    return key_of(text)


def _search(snapshot: Snapshot, word: str) -> dict[str, object]:
    found, complete = snapshot.search(word, SEARCH_RESULTS, _SEARCH_SEEN)
    return {
        "proven": False,
        "complete": complete,
        "size": snapshot.size,
        "results": [_summary(index, leaf_at(snapshot, index)) for index in found],
    }


def _summary(index: int, leaf: bytes) -> dict[str, object]:
    """What people look for in an entry, for a list."""
    entry = parse_entry(index, leaf)
    shown_members = (
        "product",
        "version",
        "variant",
        "scope",
        "result",
        "reason",
        "name",
    )
    predicate = entry.predicate
    members = {
        name: value
        for name in shown_members
        if (value := getattr(predicate, name, None)) is not None
    }
    return {
        "index": index,
        "type": type(predicate).__name__.lower(),
        "issuer": predicate.issuer,
        "issued": predicate.issued,
        "sha256": entry.sha256,
        "measurements": [
            f"{predicate.platform}/{m}" for m in entry.statement.measurements
        ]
        if not isinstance(predicate, Identity)
        else [],
        **members,
    }


def _compressed(incoming: Request, data: bytes) -> Response:
    """A bundle, gzipped where that is accepted: hashes and keys repeat."""
    headers = {"Vary": "Accept-Encoding"}
    if incoming.accept_encodings["gzip"] > 0:
        headers["Content-Encoding"] = "gzip"
        # No time stamp: the same bundle has the same bytes.
        data = gzip.compress(data, mtime=0)
    return respond(data, JSON, cache=NO_CACHE, headers=headers)
