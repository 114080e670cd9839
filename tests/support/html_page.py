"""Reads a page as strictly as our own have to be: every tag closed, nothing that runs.

Python's parser takes whatever comes; what this one adds is the complaints.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}
SHAPES = {"path", "circle", "rect"}
"""Elements of SVG that close themselves."""
RUNS = {"script", "iframe", "object", "embed", "base", "applet"}
LEADS = ("href", "src", "action", "xlink:href", "data")


@dataclass
class Page(HTMLParser):
    """A page: its `links`, its `text`, and what is wrong with it."""

    wrong: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    @classmethod
    def parse(cls, html: str) -> "Page":
        page = cls()
        page.feed(html)
        page.close()
        page.wrong += [f"<{tag}> is not closed" for tag in page._open]
        page.wrong += [f"id {one} stands twice" for one in doubles(page.ids)]
        if page.tags.count("h1") != 1:
            page.wrong.append(f"{page.tags.count('h1')} headings of the first level")
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(tag, attrs)
        if tag not in VOID | SHAPES:
            self.wrong.append(f"<{tag}/> closes itself")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> ends {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def _look(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        self.wrong += [f"<{tag} {name}> twice" for name in doubles(names)]
        if tag in RUNS:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in {"style", "srcdoc", "http-equiv"}:
                self.wrong.append(f"<{tag} {name}>")
            if name in LEADS:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def doubles(names: list[str]) -> set[str]:
    """What stands there more than once."""
    return {name for name in names if names.count(name) > 1}
