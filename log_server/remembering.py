"""Remembers bundles: asked again under the same checkpoint, they are the same bytes.

To make one takes milliseconds, and most are asked for many times: every device that
verifies a release asks for the same one. A WSGI function in front of Flask, since
Flask alone takes longer than all that is done here.

What is remembered holds for one checkpoint, with its cosignatures, and is forgotten
with it. Only what was found is remembered, never a refusal.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from log_server.files import Answer
from log_server.store import Store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_PATHS = frozenset({"/api/v1/bundle", "/api/v1/lookup"})
_BYTES = 32 << 20
"""Of all answers that are remembered: some thousand bundles."""
_BESIDE = 1024
"""Bytes that each takes beside its body and its question."""

Key = tuple[str, str, str]
"""Path, query and Accept-Encoding, as they came."""
Count = Callable[[str, str, int, float], None]


class Remembering:
    """Answers again what was answered; hands on everything else; for any thread.

    Args:
        store: tells which checkpoint is published.
        rest: the WSGI application behind.
        begin, count: tell when a request begins, and that it was answered.
    """

    def __init__(
        self,
        store: Store,
        rest: "WSGIApplication",
        begin: Callable[[], float],
        count: Count,
    ) -> None:
        self._store = store
        self._rest = rest
        self._begin = begin
        self._count = count
        # Guards all below: answers by question, the last used one last, of one note.
        self._lock = threading.Lock()
        self._note = ""
        self._answers: OrderedDict[Key, Answer] = OrderedDict()
        self._bytes = 0

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if path not in _PATHS or environ["REQUEST_METHOD"] != "GET":
            return self._rest(environ, start_response)
        begun = self._begin()
        key = path, environ["QUERY_STRING"], environ.get("HTTP_ACCEPT_ENCODING", "")
        with self._store.published() as snapshot:
            note = snapshot.published_note()
        found = self._find(note, key)
        if found is None:
            found = self._ask(environ)
            if found[0] == HTTPStatus.OK:
                self._remember(note, key, found)
        else:
            self._count(path, "GET", found[0], begun)
        status, headers, body = found
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _ask(self, environ: "WSGIEnvironment") -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            started.append((status, headers))

        pieces = self._rest(environ, start)  # type: ignore[arg-type] # nobody writes
        try:
            body = b"".join(pieces)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        status, headers = started[-1]
        return int(status[:3]), headers, body

    def _find(self, note: str, key: Key) -> Answer | None:
        with self._lock:
            if note != self._note:
                return None
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found

    def _remember(self, note: str, key: Key, answer: Answer) -> None:
        """Keep an answer that is of the checkpoint `note`, or of a newer one.

        Of a newer one, nobody is told that it is older; it is forgotten with the rest.
        """
        with self._lock:
            if note != self._note:
                self._note, self._bytes = note, 0
                self._answers.clear()
            if key not in self._answers:
                self._answers[key] = answer
                self._bytes += _size_of(key, answer)
            while self._bytes > _BYTES:
                self._bytes -= _size_of(*self._answers.popitem(last=False))


def _size_of(key: Key, answer: Answer) -> int:
    return _BESIDE + len(answer[2]) + sum(len(part) for part in key)
