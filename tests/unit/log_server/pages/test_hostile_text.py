"""Values from entries and from whoever asks are hostile text, and stay text."""

from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from log_server.app import create_app
from log_server.pages.rendering import Renderer, visible
from pcrlog.predicates import Document, Source
from tests.support.html_page import Page
from tests.unit.log_server.parties import NOW, Log, Party

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
TURNED = "abc\u202egnp.exe\u2066\u200f"
CONTROLS = "a\x00b\x1b[31mc\x07d\x85e\u2028f"
QUERIES = [
    MARKUP,
    TURNED,
    CONTROLS,
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\ufeff\ud7ff" * 400,
    "w" * 2000,
    "a/../../etc/passwd",
    "%00%3Cscript%3E",
    "\u0430cme.example",
]
PLACES = [
    "/entry/{}",
    "/entries?before={}",
    "/product/{}/x",
    "/product/acme.example/{}",
    "/product/acme.example/wallet?before={}",
    "/measurement/{}/x",
    "/measurement/aws-nitro/{}",
    "/component/{}",
    "/identity/{}",
    "/identity/{}/feed.atom",
    "/compare/{}/1",
    "/badge/acme.example/{}.svg",
    "/search?q={}",
    "/status?{}",
]


def check(text: str) -> None:
    page = Page.parse(text)
    assert page.wrong == []
    assert "<script" not in text
    assert "<img" not in text
    hidden = [one for one in text if not one.isprintable() and one not in "\n\u202f"]
    assert hidden == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("query", QUERIES)
def test_what_is_asked_comes_back_as_text_at_most(
    reader: FlaskClient, place: str, query: str
) -> None:
    answer = reader.get(place.format(quote(query, safe="")))
    assert answer.status_code < 500
    if answer.content_type.startswith("text/html"):
        if answer.status_code in {301, 303, 308}:
            assert answer.headers["Location"].startswith(("./", "../", "http://local"))
            return
        check(answer.get_data(as_text=True))
    else:
        assert answer.content_type in {
            "application/problem+json",
            "application/atom+xml; charset=utf-8",
            "image/svg+xml",
        }


@pytest.fixture
def hostile(log: Log, acme: Party) -> Flask:
    """A log with the worst that admission lets in."""
    worst = "https://x.example/" + "'&;()*$!" * 28
    long_name = ".".join(["a" * 15] * 4)
    other = log.enrol(long_name, "provider")
    log.accept(acme.release(source=Source(worst, "c" * 40)))
    log.accept(
        other.release(
            2,
            "9" * 64,
            product=f"{long_name}/{'b' * 63}",
            variant="z" * 16,
            image={"sha256": "e" * 64, "size": 2**53 - 1, "uri": worst},
        )
    )
    log.accept(acme.revocation(reference=Document(worst, "f" * 64)))
    return create_app(log.config, clock=lambda: NOW)


def test_the_worst_that_is_admitted_is_shown_as_text(hostile: Flask) -> None:
    reader = hostile.test_client()
    name = ".".join(["a" * 15] * 4)
    paths = ["/", "/entries", f"/identity/{name}", f"/product/{name}/{'b' * 63}"]
    for path in (
        *paths,
        "/product/acme.example/wallet",
        *map("/entry/{}".format, range(10)),
    ):
        answer = reader.get(path)
        assert answer.status_code == 200, path
        check(answer.get_data(as_text=True))
    assert "&amp;;()*$!" in reader.get("/entry/6").get_data(as_text=True)
    hostile.extensions["pcrlog"].close()


def test_a_uri_that_a_signer_chose_is_no_link(hostile: Flask) -> None:
    text = hostile.test_client().get("/entry/6").get_data(as_text=True)
    assert "x.example" in text
    assert not any("x.example" in link for link in Page.parse(text).links)
    hostile.extensions["pcrlog"].close()


@pytest.mark.parametrize("value", [MARKUP, TURNED, CONTROLS])
def test_a_template_escapes_whatever_it_is_given(value: str) -> None:
    """Nothing in the log can have these yet; should it ever, this is what happens."""
    renderer = Renderer(value)
    app = Flask(__name__)
    with app.test_request_context("/"):
        text = renderer.page("problem", 400, heading=value, words=value).get_data(
            as_text=True
        )
        feed = renderer.feed(
            path=("product", value),
            title=value,
            about=value,
            entries=(),
            sealed={},
            updated=0,
        ).get_data(as_text=True)
        badge = {"words": value, "x": 0, "width": 1, "text_width": 1, "fill": value}
        picture = renderer.picture("badge", 1, parts=(badge, badge), product=value)
    check(text)
    for one in (feed, picture.get_data(as_text=True)):
        assert "<script" not in one
        assert "<img" not in one
        assert "\u202e" not in one
        assert "\x00" not in one


def test_characters_that_do_not_show_are_replaced() -> None:
    assert visible(TURNED) == "abc\ufffdgnp.exe\ufffd\ufffd"
    assert visible("two\nlines") == "two\nlines"
    assert visible(5) == 5


def test_every_template_is_escaped() -> None:
    folder = Path(__file__).parents[4] / "log_server/pages/templates"
    for one in folder.iterdir():
        text = one.read_text("utf-8")
        assert "|safe" not in text, one.name
        assert "autoescape" not in text, one.name
        assert "style=" not in text, one.name
        assert "<script" not in text, one.name
