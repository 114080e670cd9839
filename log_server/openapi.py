"""The OpenAPI 3.1 document of the server: every path, parameter and answer.

It is written by hand, beside the code: a test asks every path in it, checks that the
app has no other, and validates the document. Problems come from the one table of them.
"""

import functools
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, TypeAlias

from log_server.bodies import BATCH, LINES, NDJSON
from log_server.problems import BY_SLUG, CONTENT_TYPE, PROBLEMS, TYPE
from log_server.responses import JSON
from pcrlog import limits

Node: TypeAlias = dict[str, Any]

_INDEX = {"type": "integer", "minimum": 0, "maximum": limits.INTEGER}
_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_STRING = {"type": "string"}
_NAME = {"type": "string", "maxLength": limits.NAME}
_OCTETS = "application/octet-stream"
_TEXT = "text/plain"
_BUNDLE = {
    "type": "object",
    "description": "A pcrlog-bundle/v1 (docs/protocol.md). Check it, then believe it.",
    "required": ["format", "checkpoint", "seal", "answers", "entries", "hashes"],
}


def _object(required: Node, optional: Node | None = None) -> Node:
    return {
        "type": "object",
        "required": sorted(required),
        "properties": {**required, **(optional or {})},
    }


_RECEIPT = _object(
    {"index": _INDEX, "sha256": _SHA256, "size": _INDEX, "proof": _STRING}
)
_PROMISE = _object(
    {"sha256": _SHA256, "envelope_sha256": _SHA256, "status_url": _STRING}
)
_PROBLEM = _object(
    {
        "type": {"type": "string", "enum": [problem.type for problem in PROBLEMS]},
        "title": _STRING,
        "status": {"type": "integer"},
        "detail": _STRING,
        "advice": _STRING,
    }
)
_STATES = ["waiting", "sequenced", "published", "refused"]
_SUBMISSION = _object(
    {"envelope_sha256": _SHA256, "state": {"type": "string", "enum": _STATES}},
    {"index": _INDEX, "problem": {"$ref": "#/components/schemas/Problem"}},
)
_FOUND = _object({"index": _INDEX, "sha256": _SHA256, "leaf": _STRING})
_RESULT = _object(
    {
        "index": _INDEX,
        "type": _STRING,
        "issuer": _NAME,
        "issued": _STRING,
        "sha256": _SHA256,
        "measurements": {"type": "array", "items": _STRING},
    }
)
_RESULTS = _object(
    {
        "proven": {"const": False},
        "complete": {"type": "boolean"},
        "size": _INDEX,
        "results": {"type": "array", "items": _RESULT},
    }
)
_STANDING = _object(
    {
        "name": _STRING,
        "role": {"enum": ["witness", "index monitor"]},
        "size": _INDEX,
        "time": _INDEX,
        "cosignatures": _INDEX,
        "alarms": _INDEX,
        "alarm": {"type": "boolean"},
        "problem": _STRING,
    }
)
_HEALTH = _object(
    {
        "ok": {"type": "boolean"},
        "sequencer": {"type": "boolean"},
        "lease": _STRING,
        "size": _INDEX,
        "seal_age": {"type": "integer"},
        "frozen": {"type": "boolean"},
        "waiting": _INDEX,
        "oldest_waiting": _INDEX,
        "quorum_missing": _INDEX,
        "clock": _STRING,
        "disk": _STRING,
        "witnesses": {"type": "array", "items": _STANDING},
    }
)
_KEY = _object(
    {"origin": _STRING, "vkey": _STRING, "registrar": _SHA256, "trusted": _STRING}
)


def _answer(description: str, content_type: str, schema: Node | None = None) -> Node:
    media: Node = {} if schema is None else {"schema": schema}
    return {"description": description, "content": {content_type: media}}


def _problems(slugs: Iterable[str]) -> Node:
    """The answers for these problems, by status."""
    found: dict[str, list[str]] = {}
    for slug in slugs:
        problem = BY_SLUG[slug]
        found.setdefault(str(problem.status), []).append(
            f"`{TYPE}{slug}`: {problem.title}. {problem.advice}"
        )
    reference = {"$ref": "#/components/schemas/Problem"}
    return {
        status: _answer("\n\n".join(texts), CONTENT_TYPE, reference)
        for status, texts in found.items()
    }


def _query(name: str, schema: Node, words: str, *, required: bool = False) -> Node:
    found = {"name": name, "in": "query", "schema": schema, "description": words}
    return {**found, "required": True} if required else found


def _list(name: str, words: str, most: int, *, required: bool = False) -> Node:
    schema = {"type": "array", "items": _STRING, "maxItems": most}
    return _query(name, schema, words, required=required)


def _path(name: str, schema: Node) -> Node:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _get(
    name: str,
    summary: str,
    answers: Node,
    *,
    parameters: Iterable[Node] = (),
    problems: Iterable[str] = ("parameter",),
) -> Node:
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "parameters": list(parameters),
            # Where 503 is an answer, it says more than `storage` would.
            "responses": {**_problems([*problems, "internal", "storage"]), **answers},
        }
    }


_SUBMIT: Node = {
    "post": {
        "operationId": "submit",
        "summary": "Submit one envelope, or many; doing it again is always safe",
        "parameters": [
            _query(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": 30, "default": 5},
                "Seconds to wait for publication before a 202.",
            ),
            _query(
                "conflict",
                {"const": "accept"},
                "Take a release although it contradicts another one.",
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "object"}},
                NDJSON: {"schema": _STRING},
            },
            "description": f"The envelope's bytes, at most {limits.ENVELOPE}; stored as"
            f" they are. Or a batch, an envelope a line, each ended by LF: at most"
            f" {LINES} lines and {BATCH} bytes. A batch that is refused is refused"
            " whole, and nothing of it taken in; else it is answered 200, with a line"
            " for each line, in order: {index, sha256} when it is published,"
            " {envelope_sha256, sha256, state} with the state `waiting` when a decision"
            " is promised, or a problem (with `retry_after` in seconds, if the same"
            " will be taken later). `wait` and `conflict` are for all of them. An"
            " identity counts once it is published: not yet for its own batch."
            " No Content-Encoding.",
        },
        "responses": {
            "201": _answer("Published, with its .tlog-proof", JSON, _RECEIPT),
            "200": {
                "description": "The statement stood in the log already; or the answer"
                " to a batch",
                "content": {JSON: {"schema": _RECEIPT}, NDJSON: {"schema": _STRING}},
            },
            "202": _answer("A decision is promised", JSON, _PROMISE),
            **_problems(
                [
                    *("malformed", "parameter", "not-authorised", "conflict", "frozen"),
                    *("late", "too-large", "media-type", "unknown-kind", "wrong-log"),
                    *("revocation-target", "measurement-full", "busy", "too-often"),
                    *("internal", "storage"),
                ]
            ),
        },
    }
}


def _files() -> Node:
    return {
        "/checkpoint": _get(
            "checkpoint",
            "The newest checkpoint, a C2SP signed note",
            {"200": _answer("The note", _TEXT)},
            problems=("no-such-path",),
        ),
        "/tile/{tile}": _get(
            "tile",
            "A hash tile `<L>/<N>[.p/<W>]` or entry bundle `entries/<N>[.p/<W>]`",
            {"200": _answer("C2SP tlog-tiles", _OCTETS)},
            parameters=[_path("tile", _STRING)],
            problems=("no-such-path",),
        ),
    }


def _entries() -> Node:
    index, digest = _path("index", _INDEX), _path("digest", _SHA256)
    entry = ("parameter", "no-such-entry")
    return {
        "/api/v1/entries": _SUBMIT,
        "/api/v1/entries/{index}": _get(
            "entry",
            "An entry's bytes, exactly",
            {
                "200": {
                    "description": "A statement's envelope, or a seal",
                    "content": {JSON: {}, _TEXT: {}},
                }
            },
            parameters=[index],
            problems=entry,
        ),
        "/api/v1/entries/{index}/proof": _get(
            "proof",
            "An entry's C2SP .tlog-proof for the newest checkpoint",
            {"200": _answer("The proof file", _TEXT)},
            parameters=[index],
            problems=entry,
        ),
        "/api/v1/entries/by-sha256/{digest}": _get(
            "entryBySha256",
            "A statement by the SHA-256 of its payload",
            {"200": _answer("Index and envelope", JSON, _FOUND)},
            parameters=[digest],
            problems=entry,
        ),
        "/api/v1/submissions/{digest}": _get(
            "submission",
            "What became of an envelope, by its SHA-256",
            {"200": _answer("Its state", JSON, _SUBMISSION)},
            parameters=[digest],
            problems=("parameter", "no-such-submission"),
        ),
    }


def _questions() -> Node:
    bundled = ("parameter", "answer-too-large", "unavailable")
    bundle = {"200": _answer("A bundle", JSON, _BUNDLE)}
    measurement = "<platform>/<M>, such as aws-nitro/PCR0=sha384:<hex>"
    return {
        "/api/v1/bundle": _get(
            "bundle",
            "All that verification needs to ask, with proofs",
            bundle,
            parameters=[
                _query("product", _STRING, "<provider>/<name>", required=True),
                _list(
                    "measurement", measurement, limits.SUBJECT_REGISTERS, required=True
                ),
                _list(
                    "auditor",
                    "Each auditor of the policy",
                    limits.AUDITORS_OF_PRODUCT,
                ),
            ],
            problems=bundled,
        ),
        "/api/v1/lookup": _get(
            "lookup",
            "One answer of the index, with proof, and the newest entries under it",
            bundle,
            parameters=[
                _query("measurement", _STRING, measurement),
                _query("product", _STRING, "<provider>/<name>"),
                _query("identity", _NAME, "A name"),
                _query("issuer", _NAME, "A name: all that was said in it"),
            ],
            problems=bundled,
        ),
        "/api/v1/search": _get(
            "search",
            "Entries with a word that begins so: products, issuers, versions, digests,"
            " keyids. Nothing of it is proven.",
            {"200": _answer("Newest first", JSON, _RESULTS)},
            parameters=[_query("q", {"type": "string"}, "The word", required=True)],
        ),
    }


def _server() -> Node:
    return {
        "/api/v1/key": _get(
            "key",
            "The log's key and registrar, for getting to know it: trust nothing of it",
            {"200": _answer("As the server says", JSON, _KEY)},
        ),
        "/healthz": _get(
            "health",
            "How the server is",
            {
                "200": _answer("It is well", JSON, _HEALTH),
                "503": _answer("It is not", JSON, _HEALTH),
            },
        ),
        "/metrics": _get(
            "metrics",
            "Prometheus metrics",
            {"200": _answer("Text exposition", _TEXT)},
            problems=(),
        ),
        "/openapi.json": _get(
            "openapi", "This document", {"200": _answer("OpenAPI 3.1", JSON)}
        ),
    }


@functools.cache
def document() -> Node:
    """The document; do not change it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pcrlog",
            "version": version("pcrlog"),
            "summary": "Transparency log for enclave measurements",
            "description": "Believe nothing that you have not verified: the C2SP files"
            " and bundles carry their proofs, everything else is a convenience.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "paths": {**_files(), **_entries(), **_questions(), **_server()},
        "components": {"schemas": {"Problem": _PROBLEM}},
    }
