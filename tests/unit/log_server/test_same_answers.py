"""A submission has two ways in, the event loop's and Flask's: their answers are equal.

`bridge` takes submissions past Flask; whoever serves the same application by another
WSGI server must not find another log there.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from log_server.bodies import BATCH
from log_server.bridge import ENTRIES, Bridge
from pcrlog import limits
from pcrlog.envelope import Envelope, assemble
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.test_bridge import Scope, Transport

JSON, NDJSON = "application/json", "application/x-ndjson"


@dataclass
class Sent:
    """A request."""

    body: bytes = b"{}"
    kind: str | None = JSON
    query: str = "wait=0"
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = ENTRIES


def requests(acme: Party, published: bytes) -> dict[str, Sent]:
    """Requests whose answer is the same however often they are sent."""
    waits = acme.release(1, "2.0.0")
    forged = assemble(
        Envelope.parse(acme.release(1, "3.0.0")).payload,
        [(acme.key.public.keyid, bytes(64))],
    )
    batch = b"".join(one + b"\n" for one in (published, waits, forged, b"", b"{}"))
    return {
        "known": Sent(published),
        "known, waited for": Sent(published, query="wait=30"),
        "waits": Sent(waits),
        "waits, and the default": Sent(published, query=""),
        "forged": Sent(forged),
        "nobody": Sent(Party("nobody.example").release()),
        "another log": Sent(acme.release(1, "4.0.0", log="other.example/log")),
        "conflict": Sent(acme.release(7, "1.0.0")),
        "conflict accepted": Sent(
            acme.release(7, "1.0.0"), query="conflict=accept&wait=0"
        ),
        "conflict misspelt": Sent(published, query="conflict=yes"),
        "conflict empty": Sent(published, query="conflict="),
        "wait too long": Sent(published, query="wait=31"),
        "wait spelt otherwise": Sent(published, query="wait=+5"),
        "wait empty": Sent(published, query="wait"),
        "wait twice": Sent(published, query="wait=0&wait=0"),
        "unknown parameter": Sent(published, query="await=0"),
        "percent": Sent(published, query="wait=%30"),
        "bad percent": Sent(published, query="wait=%zz%ff"),
        "query beyond ASCII": Sent(published, query="wait=\u20ac"),
        "no type": Sent(published, None),
        "another type": Sent(published, "text/plain"),
        "type in capitals, with a parameter": Sent(published, "Application/JSON; a=b"),
        "encoded": Sent(published, headers={"content-encoding": "gzip"}),
        "encoding empty": Sent(published, headers={"content-encoding": ""}),
        "no body": Sent(b""),
        "too long": Sent(b"{" * (limits.ENVELOPE + 1)),
        "no JSON": Sent(b"\xff{"),
        "batch": Sent(batch, NDJSON),
        "batch without its last end": Sent(batch[:-1], f"{NDJSON};x=y"),
        "batch of nothing": Sent(b"", NDJSON),
        "batch of too many": Sent(b"{}\n" * 1001, NDJSON),
        "batch too long": Sent(b"{" * (BATCH + 1), NDJSON),
        "GET": Sent(b"", None, "", {}, "GET"),
        "HEAD": Sent(b"", None, "", {}, "HEAD"),
        "PUT": Sent(b"", None, "", {}, "PUT"),
        "OPTIONS": Sent(b"", None, "", {}, "OPTIONS"),
        "another path": Sent(b"", None, "", {}, "POST", ENTRIES + "/"),
    }


Answer = tuple[int, list[tuple[str, str]], bytes]


def by_loop(served: Bridge, sent: Sent) -> Answer:
    headers = {**sent.headers, "content-length": str(len(sent.body))}
    if sent.kind is not None:
        headers["content-type"] = sent.kind
    scope = Scope(sent.method, sent.path, headers, sent.query)
    transport = Transport([sent.body] if sent.body else [])
    asyncio.run(served.answer(scope, transport))
    [(status, found, body)] = transport.answers
    return status, sorted((k.lower(), v) for k, v in found.items()), body


def by_flask(app: Flask, sent: Sent) -> Answer:
    with app.test_client() as client:
        answer = client.open(
            sent.path,
            method=sent.method,
            data=sent.body,
            content_type=sent.kind,
            headers=sent.headers,
            # As WSGI has it: its bytes, each a character.
            environ_overrides={"QUERY_STRING": sent.query.encode().decode("latin-1")},
        )
    found = sorted((k.lower(), v) for k, v in answer.headers.items())
    return answer.status_code, found, answer.data


NAMES = list(requests(Party("acme.example"), Party("acme.example").release()))


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_answer_alike(name: str, log: Log, acme: Party, app: Flask) -> None:
    published = acme.release(1)
    log.accept(published)
    sent = requests(acme, published)[name]
    services: Any = app.extensions["pcrlog"]
    served = Bridge(app, services, 2)
    try:
        first = by_flask(app, sent)
        assert by_loop(served, sent) == first
        assert by_flask(app, sent) == first, "in any order"
    finally:
        served.close()
