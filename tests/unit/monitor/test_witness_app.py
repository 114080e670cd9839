"""The witness over HTTP, without the HTTP: paths, methods, types, limits."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from prometheus_client import CollectorRegistry

from monitor.witness import TEXT
from monitor.witness_app import create_witness_app
from pcrlog.witness import REQUEST, SIZE_TYPE
from tests.unit.monitor.witnessed import Log, Scene, scene

LOG = Log()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """An app that is held to the letter of WSGI (wsgiref.validate)."""

    app: Callable[..., Iterable[bytes]]
    world: Scene
    registry: CollectorRegistry

    def __call__(self, method: str, path: str, body: bytes = b"") -> Answer:
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "w1.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(
            status: str, headers: list[tuple[str, str]], _exc: Any = None
        ) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda _data: None

        pieces = validator(self.app)(environ, start)
        data = b"".join(pieces)
        pieces.close()  # type: ignore[attr-defined] # the validator's has one
        [(status, headers)] = started
        return Answer(int(status[:3]), dict(headers), data)

    def counted(self, status: int) -> float | None:
        name = "pcrlog_witness_requests_total"
        return self.registry.get_sample_value(name, {"status": str(status)})


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Web]]:
    with scene(tmp_path, LOG) as world:

        def make(*others: Any) -> Web:
            registry = CollectorRegistry()
            return Web(
                create_witness_app(world.witness, registry, *others), world, registry
            )

        yield make


@pytest.fixture
def web(make: Callable[..., Web]) -> Web:
    return make()


SUBMIT = "/add-checkpoint"
SHOWN = f"/{LOG.digest}/checkpoint"


def test_growth_is_answered_with_a_line_and_shown(web: Web) -> None:
    answer = web("POST", SUBMIT, LOG.request(0, 8))
    assert (answer.status, answer.headers["Content-Type"]) == (200, TEXT)
    assert answer.headers["Content-Length"] == str(len(answer.body))
    shown = web("GET", SHOWN)
    assert shown.body == LOG.note(8) + answer.body
    assert shown.headers["Content-Type"] == TEXT
    assert shown.headers["Cache-Control"] == "no-cache"


def test_each_status_of_the_witness_goes_out_with_its_type(web: Web) -> None:
    web("POST", SUBMIT, LOG.request(0, 8))
    for status, body in (
        (400, b"nonsense"),
        (404, Log(1).request(0, 8)),
        (403, LOG.request(8, 9).replace(b"\n9\n", b"\n8\n")),
        (422, Log(fork_at=3).request(8, 9)),
    ):
        answer = web("POST", SUBMIT, body)
        assert (answer.status, answer.headers["Content-Type"]) == (status, TEXT)
        assert web.counted(status) == 1
    answer = web("POST", SUBMIT, LOG.request(3, 9))
    assert (answer.status, answer.body) == (409, b"8\n")
    assert answer.headers["Content-Type"] == SIZE_TYPE


def test_whoever_has_to_wait_is_told_in_a_header(web: Web) -> None:
    web.world.clock.now = 0
    answer = web("POST", SUBMIT, LOG.request(0, 8))
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"


def test_the_largest_request_is_looked_at_and_one_byte_more_is_413(web: Web) -> None:
    assert web("POST", SUBMIT, bytes(REQUEST)).status == 400
    answer = web("POST", SUBMIT, bytes(REQUEST + 1))
    assert (answer.status, answer.headers["Content-Type"]) == (413, TEXT)
    assert web.counted(413) == 1


def test_head_has_the_headers_and_no_body(web: Web) -> None:
    web("POST", SUBMIT, LOG.request(0, 8))
    get, head = web("GET", SHOWN), web("HEAD", SHOWN)
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", SUBMIT, "POST"),
        ("HEAD", SUBMIT, "POST"),
        ("PUT", SUBMIT, "POST"),
        ("POST", SHOWN, "GET, HEAD"),
        ("DELETE", SHOWN, "GET, HEAD"),
    ],
)
def test_other_methods_are_405(web: Web, method: str, path: str, allowed: str) -> None:
    answer = web(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/add-checkpoint/",
        "//add-checkpoint",
        f"{SHOWN}/",
        SHOWN.upper(),
        f"/{LOG.digest}",
        f"{SHOWN}\n",
        f"/{LOG.digest[:-1]}/checkpoint",
        "/w1/add-checkpoint",
    ],
)
def test_other_paths_are_404(web: Web, path: str) -> None:
    if path:
        assert web("GET", path).status == 404
        assert web("POST", path, LOG.request(0, 8)).status == 404
    assert web.world.store.latest(LOG.origin) is None


def test_a_log_that_was_never_cosigned_is_404(web: Web) -> None:
    assert web("GET", SHOWN).status == 404


def test_a_prefix_is_part_of_each_path(make: Callable[..., Web]) -> None:
    web = make("/w.1")
    assert web("POST", SUBMIT, LOG.request(0, 8)).status == 404
    assert web("POST", f"/w.1{SUBMIT}", LOG.request(0, 8)).status == 200
    assert web("GET", f"/w.1{SHOWN}").status == 200
    assert web("GET", SHOWN).status == 404
    assert web("GET", f"/wx1{SHOWN}").status == 404


def test_what_is_beside_it_answers_at_other_paths(make: Callable[..., Web]) -> None:
    def pages(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [environ["PATH_INFO"].encode()]

    web = make("", pages)
    assert web("GET", "/status").body == b"/status"
    assert web("POST", SUBMIT, LOG.request(0, 8)).status == 200
    assert web("GET", SUBMIT).status == 405


def test_a_mistake_of_ours_is_not_swallowed(tmp_path: Path) -> None:
    def approve(*_: Any) -> None:
        raise RuntimeError

    with scene(tmp_path, LOG, approve=approve) as world:
        registry = CollectorRegistry()
        web = Web(create_witness_app(world.witness, registry), world, registry)
        with pytest.raises(RuntimeError):
            web("POST", SUBMIT, LOG.request(0, 8))
