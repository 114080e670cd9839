"""From a template and what was read to an answer: escaped, styled, and locked up.

Whatever comes out of an entry, a path or a query is hostile text. Three fences, each of
which would do: statements are printable ASCII before they are admitted; every value is
escaped by the template engine, after characters that do not show (controls, overrides
of direction) were replaced; and the policy sent along lets the browser run nothing and
fetch nothing, not even a style sheet: the one there is stands in the page, and its hash
in the policy.

Links are relative, since a proxy may put the log below any prefix.
"""

import gzip
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

from flask import Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from log_server.headers import NO_CACHE
from log_server.pages import words
from pcrlog.encoding import encode_base64, format_time

HTML = "text/html; charset=utf-8"
SVG = "image/svg+xml"
ATOM = "application/atom+xml; charset=utf-8"
NOTHING = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
"""The policy of what is no page."""
_SAFE = "=:,~@"
_KEPT = "\n\u202f"
"""Not printable, and harmless: ends of lines, and the space in our own numbers."""
_GZIP_LEVEL, _WORTH_IT = 5, 1024


class Renderer:
    """Makes answers of templates; for any thread."""

    def __init__(self, origin: str) -> None:
        self._environment = Environment(
            loader=PackageLoader("log_server.pages"),
            autoescape=True,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._environment.filters |= {
            "ago": words.ago,
            "number": words.number,
            "utc": format_time,
            "kind": words.kind_of,
            "kind_words": words.kind_words,
            "title_of": words.title,
            "version": words.version_of,
            "segment": words.segment,
        }
        self._environment.globals |= {
            "states": words.STATES,
            "part_states": words.PART_STATES,
            "origin": origin,
            "style": Markup(self._style),  # noqa: S704 - our own file
        }

    @cached_property
    def _style(self) -> str:
        return files("log_server.pages").joinpath("style.css").read_text("utf-8")

    @cached_property
    def _policy(self) -> str:
        known = encode_base64(sha256(self._style.encode()).digest())
        return (
            f"default-src 'none'; style-src 'sha256-{known}'; img-src 'self';"
            " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def page(self, name: str, status: int = 200, /, **context: object) -> Response:
        """A page for people."""
        root = root_of(request.path)
        template = self._environment.get_template(f"{name}.html")
        own = {"root": root, "to": linker(root), "page": name, "path": request.path}
        body = template.render(own | context)
        headers = {"Content-Security-Policy": self._policy, "Cache-Control": NO_CACHE}
        return _compressed(body.encode(), status, headers, HTML)

    def picture(self, name: str, seconds: int, **context: object) -> Response:
        """An SVG file, to be kept for so many seconds."""
        body = self._environment.get_template(f"{name}.svg").render(**context)
        headers = {
            "Content-Security-Policy": NOTHING,
            "Cache-Control": f"public, max-age={seconds}",
        }
        return Response(body, headers=headers, content_type=SVG)

    def feed(self, **context: object) -> Response:
        """An Atom feed (RFC 4287); asked again, it is sent only if it has changed."""
        root = root_of(request.path)
        template = self._environment.get_template("feed.atom")
        body = template.render(root=root, to=linker(root), **context)
        headers = {"Content-Security-Policy": NOTHING, "Cache-Control": NO_CACHE}
        answer = Response(body, headers=headers, content_type=ATOM)
        answer.add_etag()
        answer.make_conditional(request)
        return answer


def visible(value: object) -> object:
    r"""Text without what does not show: a value may not turn the line around.

    >>> visible("a\u202eb\x00c\nd")
    'a\ufffdb\ufffdc\nd'
    """
    if not isinstance(value, str) or value.isprintable():
        return value
    kept = "".join(
        one if one.isprintable() or one in _KEPT else "\ufffd" for one in value
    )
    return Markup(kept) if isinstance(value, Markup) else kept  # noqa: S704 - it was


def root_of(path: str) -> str:
    """How a page at `path` names the log's root.

    >>> [root_of(path) for path in ("/", "/entry/5", "/product/a/b")]
    ['./', '../', '../../']
    """
    return "../" * (path.count("/") - 1) or "./"


def linker(root: str) -> Callable[..., str]:
    """`to("entry", 5)`: the relative address of a page, seen from a page.

    >>> linker("../")("product", "acme.example/x y")
    '../product/acme.example/x%20y'
    """

    def to(*parts: object) -> str:
        return root + quote("/".join(map(str, parts)), safe="/" + _SAFE)

    return to


def _compressed(
    body: bytes, status: int, headers: dict[str, str], content_type: str
) -> Response:
    headers["Vary"] = "Accept-Encoding"
    if len(body) > _WORTH_IT and request.accept_encodings["gzip"] > 0:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return Response(body, status, headers, content_type=content_type)
