"""schemathesis asks what /openapi.json promises, and much that it does not.

It makes requests that fit the document and requests that nearly do, and holds each
answer to the document: its status, its type, its body; and never a 500.
"""

import importlib
import importlib.util
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.log_server.parties import Party

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None,
    reason="no schemathesis: requirements/fuzz.txt has it",
)

EXAMPLES = 25
"""Requests of each kind for each operation: some seconds in all."""
OPERATIONS = (
    ("GET", "/api/v1/bundle"),
    ("POST", "/api/v1/entries"),
    ("GET", "/api/v1/entries/by-sha256/{digest}"),
    ("GET", "/api/v1/entries/{index}"),
    ("GET", "/api/v1/entries/{index}/proof"),
    ("GET", "/api/v1/key"),
    ("GET", "/api/v1/lookup"),
    ("GET", "/api/v1/search"),
    ("GET", "/api/v1/submissions/{digest}"),
)


@pytest.fixture(scope="module")
def schema(served: tuple[Flask, Party]) -> Any:
    app, _ = served
    app.testing = False  # errors are to be answered, not raised
    schemathesis: Any = importlib.import_module("schemathesis")
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


@pytest.fixture(autouse=True)
def _without_mistakes_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    worst = max((one.levelno for one in caplog.records), default=0)
    assert worst < logging.ERROR, caplog.text


def test_every_operation_is_asked(schema: Any) -> None:
    found = {
        (operation.ok().method.upper(), operation.ok().path)
        for operation in schema.get_all_operations()
    }
    assert set(OPERATIONS) <= found
    # Files; what has no JSON; and /healthz, which rightly says 503 of this server.
    rest = {path for _, path in found - set(OPERATIONS)}
    assert all(path.startswith(_OTHERS) for path in rest), rest


_OTHERS = ("/checkpoint", "/tile/", "/metrics", "/openapi.json", "/healthz")
KINDS = [
    (method, path, kind)
    for method, path in OPERATIONS
    for kind in ("positive", "negative")
    # Without parameters and body, nothing can be wrong.
    if (path, kind) != ("/api/v1/key", "negative")
]


@pytest.mark.parametrize(("method", "path", "kind"), KINDS)
def test_an_answer_is_what_the_document_promises(
    schema: Any, method: str, path: str, kind: str
) -> None:
    checks: Any = importlib.import_module("schemathesis.specs.openapi.checks")
    generation: Any = importlib.import_module("schemathesis.generation")
    mode = generation.GenerationMode(kind)
    operation = schema[path][method]
    strategy = operation.as_strategy(generation_mode=mode)
    # A statement that fits the schema is rightly refused all the same: who signed it?
    excluded = [checks.positive_data_acceptance]

    @given(st.data())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(data: Any) -> None:
        case = data.draw(strategy)
        # Its WSGI client asks for gzip, and does not unpack it.
        plain = {"Accept-Encoding": "identity"}
        case.call_and_validate(headers=plain, excluded_checks=excluded)

    ask()
