"""Debian's Chromium, driven step by step from a test (web/browser/drive.js).

One `Browser` is one person's: what a page remembers is there on the next visit.
"""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.vectors import ROOT

CHROMIUM = Path(os.environ.get("PCRLOG_BROWSER", "/usr/bin/chromium"))
FOLDER = ROOT / "web/browser"


def lacking() -> str:
    """Why no browser can be driven; empty if one can."""
    if not CHROMIUM.exists():
        return "no Chromium: apt-get install chromium"
    if shutil.which("node") is None:
        return "no node: apt-get install nodejs"
    if not (FOLDER / "node_modules").is_dir():
        return "no playwright-core, no axe-core: make web/browser/node_modules"
    return ""


class BrowserError(Exception):
    """A step could not be done."""


class Browser:
    """A browser, between `__enter__` and `__exit__`; its profile lies in a folder."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", "drive.js", str(self._profile)],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PCRLOG_BROWSER": str(CHROMIUM)},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _step(self, name: str, **rest: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": name, **rest}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "it died"}')
        if "error" in answer:
            message = f"{name} {rest}: {answer['error']}"
            raise BrowserError(message)
        return answer["ok"]

    def open(self, url: str, *, view: str = "light", now: int | None = None) -> None:
        """Visit a page; `now` is what the computer's clock says, and goes on saying."""
        self._step("open", url=url, view=view, **({} if now is None else {"now": now}))

    def give(self, files: Mapping[str, Path]) -> None:
        """Choose files: selectors of inputs, and paths."""
        self._step("give", files={what: str(path) for what, path in files.items()})

    def drop(self, *paths: Path) -> None:
        """Drop files on the page."""
        self._step("drop", paths=[str(path) for path in paths])

    def fill(self, fields: Mapping[str, str]) -> None:
        """Write into fields, by selector."""
        self._step("fill", fields=fields)

    def click(self, what: str) -> None:
        """Click, and wait until what follows is done."""
        self._step("click", what=what)

    def choose(self, what: str, value: str) -> None:
        """Choose an option."""
        self._step("choose", what=what, value=value)

    def forget(self) -> None:
        """Forget what earlier visits left with the page that is open."""
        self._step("forget")

    def text(self, what: str) -> str | None:
        """What an element shows; None if it is not there, or not shown."""
        found: str | None = self._step("text", what=what)
        return found

    def texts(self, what: str) -> Sequence[str]:
        """What each of the elements shows."""
        found: list[str] = self._step("texts", what=what)
        return found

    def count(self, what: str) -> int:
        """How many such elements there are."""
        found: int = self._step("elements", what=what)
        return found

    def saved(self, what: str) -> bytes:
        """What a link lets people save."""
        return b64decode(self._step("saved", what=what))

    def picture(self, path: Path, what: str) -> None:
        """Write a screenshot of an element, as much of it as a picture shows."""
        self._step("picture", path=str(path), what=what)

    def wrong(self) -> list[str]:
        """What is wrong: errors, the page's policy broken, what axe-core finds."""
        found: list[str] = self._step("wrong")
        return found

    def asked(self) -> list[str]:
        """Every address that this visit asked for, the page's own first."""
        found: list[str] = self._step("asked")
        return found
