"""Between event loop and threads: what of a body is read, and what it may cost.

The loop is asyncio's and the threads are real; what Granian hands over is made here.
tests/hostile has the same over sockets.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from log_server import bridge
from log_server.bodies import BATCH
from log_server.bridge import ENTRIES, Bridge
from pcrlog import limits

if TYPE_CHECKING:
    from log_server.replies import Reply
    from log_server.services import Services

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Headers(dict[str, str]):
    """As RSGI has them."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


@dataclass
class Scope:
    """A request's head."""

    method: str = "POST"
    path: str = ENTRIES
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON})
    query_string: str = "wait=0"
    http_version: str = "1.1"
    server: str = "127.0.0.1:8080"
    client: str = "127.0.0.1:5"
    scheme: str = "http"

    def __post_init__(self) -> None:
        self.headers = Headers(self.headers)


@dataclass
class Transport:
    """A body in pieces, as Granian brings it, and what was answered.

    `faulty`: it broke off. `stalls`: after the last piece nothing comes.
    """

    pieces: list[bytes] = field(default_factory=list)
    faulty: bool = False
    stalls: bool = False
    read: int = 0
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    thread: str = ""
    answered: threading.Event = field(default_factory=threading.Event)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(0)
            self.read += len(piece)
            yield piece
        if self.stalls:
            await asyncio.sleep(60)
        yield b""
        if self.faulty:
            yield b""

    def response_bytes(
        self, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.thread = threading.current_thread().name
        self.answers.append((status, dict(headers), body))
        self.answered.set()

    @property
    def slug(self) -> str:
        [(status, headers, body)] = self.answers
        assert headers["Content-Type"] == "application/problem+json"
        found = json.loads(body)
        assert found["status"] == status
        return str(found["type"]).removeprefix("urn:pcrlog:problem:")


@pytest.fixture
def served(app: Flask) -> Iterator[Bridge]:
    services: Services = app.extensions["pcrlog"]
    made = Bridge(app, services, 4)
    yield made
    made.close()


def ask(served: Bridge, scope: Scope, transport: Transport) -> Transport:
    asyncio.run(served.answer(scope, transport))
    return transport


def chunked(kind: str = JSON) -> Scope:
    return Scope(headers={"content-type": kind, "transfer-encoding": "chunked"})


def sized(length: int, kind: str = JSON) -> Scope:
    return Scope(headers={"content-type": kind, "content-length": str(length)})


# --- what is read ---------------------------------------------------------------------


def test_a_body_comes_whole_to_the_application(served: Bridge) -> None:
    whole = ask(served, sized(5), Transport([b"{", b"junk"]))
    assert whole.slug == "malformed"
    assert "expected an envelope" not in str(whole.answers)
    assert ask(served, chunked(), Transport([b"junk"])).slug == "malformed"
    [answer] = ask(served, sized(4, NDJSON), Transport([b"a\nb\n"])).answers
    assert answer[0] == 200
    assert answer[2].count(b"\n") == 2


def test_an_application_that_fails_is_500(
    served: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_environ: Any, _start: Any) -> Any:
        raise RuntimeError

    served._app = fail
    assert ask(served, Scope("GET", "/healthz"), Transport()).slug == "internal"
    assert "GET /healthz failed" in caplog.text


@pytest.mark.parametrize("scope", [sized(9), chunked()])
def test_a_body_that_breaks_off_is_refused(served: Bridge, scope: Scope) -> None:
    cut = ask(served, scope, Transport([b"{}"], faulty=True))
    assert cut.slug == "malformed"
    assert b"cut off after 2 bytes" in cut.answers[0][2]


@pytest.mark.parametrize(
    ("kind", "most"), [(JSON, limits.ENVELOPE), (f"{NDJSON}; x=y", BATCH)]
)
def test_one_byte_too_many_ends_the_reading(
    served: Bridge, kind: str, most: int
) -> None:
    declared = ask(served, sized(most + 1, kind), Transport([b"x" * most]))
    assert (declared.slug, declared.read) == ("too-large", 0)
    pieces = [b"x" * 16_384] * (most // 16_384 + 20)
    streamed = ask(served, chunked(kind), Transport(pieces))
    assert streamed.slug == "too-large"
    assert most < streamed.read <= most + 16_384


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain", "content-length": "5"},
        {"content-length": "5"},
        {"content-type": JSON, "content-encoding": "gzip", "content-length": "5"},
    ],
)
def test_what_is_refused_by_its_head_is_not_read(
    served: Bridge, headers: dict[str, str]
) -> None:
    found = ask(served, Scope(headers=headers), Transport([b"x" * 5]))
    assert (found.slug, found.read) == ("media-type", 0)


def test_no_other_path_reads_a_body(served: Bridge) -> None:
    for method, path in [("POST", "/checkpoint"), ("PUT", ENTRIES), ("POST", "/x")]:
        found = ask(served, Scope(method, path), Transport([b"x" * 5]))
        assert found.answers[0][0] in {404, 405}
        assert found.read == 0


# --- what it costs --------------------------------------------------------------------


def test_a_body_that_does_not_come_is_408(
    served: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_PATIENCE", 0.05)
    late = ask(served, sized(100), Transport([b"x"], stalls=True))
    assert late.slug == "late"
    assert served._room.held() == 0


@pytest.mark.parametrize("end", ["cancelled", "broken"])
def test_whatever_ends_a_request_gives_its_room_back(served: Bridge, end: str) -> None:
    class Broken(Transport):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"xxxx"
            raise LookupError

    async def run() -> None:
        transport = Transport([b"xxxx"], stalls=True)
        if end == "broken":
            transport = Broken()
        task = asyncio.create_task(served.answer(sized(100), transport))
        if end == "cancelled":
            await asyncio.sleep(0.05)
            task.cancel()
        await task

    with pytest.raises((asyncio.CancelledError, LookupError)):
        asyncio.run(run())
    assert served._room.held() == 0


def test_an_answer_for_a_loop_that_is_gone_is_dropped(served: Bridge) -> None:
    replies: list[Reply] = []

    async def leave() -> None:
        replies.append(served._expect())
        replies.append(served._expect())

    asyncio.run(leave())
    for reply in replies:
        reply.deliver((200, [], b""))


def test_a_body_may_take_longer_as_long_as_it_comes(
    served: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_PATIENCE", 0.05)
    monkeypatch.setattr(bridge, "_RATE", 10)

    class Slow(Transport):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self.pieces:
                await asyncio.sleep(0.03)
                yield piece
            yield b""

    assert ask(served, sized(10), Slow([b"{"] * 10)).slug == "malformed"


def test_all_bodies_together_hold_so_much(
    served: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_PATIENCE", 0.3)
    monkeypatch.setattr(bridge, "_RATE", 1e9)
    served._room._single, served._room._batch = 3 * limits.ENVELOPE, 1_000_000

    async def crowd() -> list[Transport]:
        slow = [
            Transport([b"x" * 400_000], stalls=True),
            Transport([b"x" * 400_000], stalls=True),
        ]
        big = Transport([b"x" * 400_000], stalls=True)
        single = Transport([b"junk"])
        tasks = [served.answer(sized(500_000, NDJSON), one) for one in slow]
        running = [asyncio.create_task(one) for one in tasks]
        await asyncio.sleep(0.1)
        await served.answer(sized(500_000, NDJSON), big)
        await served.answer(sized(4), single)
        await asyncio.gather(*running)
        return [*slow, big, single]

    *slow, big, single = asyncio.run(crowd())
    assert big.slug == "busy"
    assert big.answers[0][1]["Retry-After"] == "1"
    assert single.slug == "malformed", "batches leave room for single envelopes"
    assert [one.slug for one in slow] == ["late", "late"]
    assert (served._room._single, served._room._batch) == (
        3 * limits.ENVELOPE,
        1_000_000,
    )


def test_refusals_are_counted(served: Bridge, app: Flask) -> None:
    ask(served, sized(99_999), Transport())
    text = app.test_client().get("/metrics").text
    assert 'pcrlog_bodies_refused_total{problem="too-large"} 1.0' in text
    assert "pcrlog_bodies_bytes 0.0" in text
    labels = 'method="POST",route="/api/v1/entries",status="413"'
    assert f"pcrlog_requests_total{{{labels}}} 1.0" in text


# --- who answers ----------------------------------------------------------------------


@dataclass
class Watcher:
    """What Granian hands over besides the coroutine."""

    scope: Any


def bring(served: Bridge, scope: Scope, transport: Transport) -> Transport:
    """As Granian does it: from a thread, by `call_soon_threadsafe`."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        served.pass_by(loop)
        tasks: list[asyncio.Task[None]] = []

        def schedule(coroutine: Coroutine[Any, Any, None], _watcher: Watcher) -> None:
            tasks.append(loop.create_task(coroutine))

        def come() -> None:
            call: Callable[..., Any] = loop.call_soon_threadsafe
            call(schedule, served.answer(scope, transport), Watcher(scope))

        thread = threading.Thread(target=come, name="granian")
        thread.start()
        assert await asyncio.to_thread(transport.answered.wait, 10)
        thread.join()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    return transport


def test_files_are_answered_where_they_come_in(served: Bridge) -> None:
    found = bring(served, Scope("GET", "/checkpoint", {}), Transport())
    assert (found.thread, found.answers[0][0]) == ("granian", 200)
    tagged = {"if-none-match": found.answers[0][1]["ETag"]}
    again = bring(served, Scope("GET", "/checkpoint", tagged), Transport())
    assert again.answers[0][0] == 304


def test_questions_are_answered_in_a_thread_and_submissions_through_the_loop(
    served: Bridge,
) -> None:
    question = bring(served, Scope("GET", f"{ENTRIES}/0", {}, ""), Transport())
    assert question.thread.startswith("http_")
    assert question.answers[0][0] == 200
    sent = bring(served, sized(4), Transport([b"junk"]))
    assert sent.slug == "malformed"
    assert sent.thread == "MainThread"


def test_a_query_beyond_latin_1_is_refused_as_any_other(served: Bridge) -> None:
    found = ask(served, Scope("GET", "/api/v1/lookup", {}, "key=\u20ac"), Transport())
    assert found.slug == "parameter"


def test_paths_and_headers_come_as_wsgi_has_them(served: Bridge) -> None:
    seen: list[dict[str, Any]] = []

    def note(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        seen.append(environ)
        start("200 OK", [])
        return [b""]

    served._app = note
    headers = {"content-type": "x", "x-forwarded-for": "1.1.1.1"}
    ask(served, Scope("GET", "/é", headers, "a=b", client="[::1]:5"), Transport())
    [environ] = seen
    assert environ["PATH_INFO"] == "/\xc3\xa9"
    assert environ["QUERY_STRING"] == "a=b"
    assert environ["REMOTE_ADDR"] == "[::1]"
    assert environ["CONTENT_TYPE"] == "x"
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.1.1.1"
    assert environ["CONTENT_LENGTH"] == "0"
