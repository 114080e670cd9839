"""Runs web/verifier, the verifier in JavaScript, in Node and in a browser.

Node 20 or newer has to be there in CI, and Debian's Chromium; elsewhere their tests are
skipped without them. The type checker is npm's and pinned by package-lock.json; `make
web` fetches it, where a registry can be reached.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERIFIER = ROOT / "web" / "verifier"
SECONDS = 120
OLDEST = 20

Answers: TypeAlias = "list[dict[str, Any]]"

_PAGE = b"""<!doctype html><title>conformance</title><script type=module>
import { answer } from "/verifier/answering.js";
import { readAsk, writeAnswer } from "/verifier/ask.js";
const lines = (await (await fetch("/questions")).text()).split("\\n");
const answers = [];
for (const line of lines) {
  const answered = answer(readAsk(line)).catch((error) => ({ error: error.stack }));
  answers.push(writeAnswer(await answered));
}
await fetch("/answers", { method: "POST", body: answers.join("\\n") });
</script>"""


def missing(reason: str) -> None:
    """Skip the test: something is not there. In CI it fails."""
    assert os.environ.get("CI") != "true", reason
    pytest.skip(reason)


def find_node() -> str:
    """The node command; skips the test where there is none that is new enough."""
    node = shutil.which("node")
    if node is None:
        missing(f"no Node: version {OLDEST} or newer")
    assert node
    done = run([node, "--version"])
    if int(done.stdout.lstrip("v").split(".")[0]) < OLDEST:
        missing(f"Node is {done.stdout.strip()}: version {OLDEST} or newer")
    return node


def find_chromium() -> str:
    """The browser; skips the test without it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("no browser: apt-get install chromium")
    assert chromium
    return chromium


def run(command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, in the package's folder.

    Raises:
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    return subprocess.run(
        command,
        cwd=VERIFIER,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def ask_node(node: str, questions: Sequence[dict[str, Any]]) -> Answers:
    """What the package answers in Node."""
    done = subprocess.run(
        [node, VERIFIER / "conformance.js"],
        input=_lines(questions),
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr.decode()
    return _answers(done.stdout)


def ask_chromium(chromium: str, questions: Sequence[dict[str, Any]]) -> Answers:
    """What the package answers in a browser, from its files as they are."""
    with (
        _served(_lines(questions)) as (url, answers),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        # No sandbox: as root it has none, and all that it is shown is ours.
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
        ]
        browser = subprocess.Popen(
            [chromium, *words, "--remote-debugging-port=0", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _answers(answers.get(timeout=SECONDS))
        except Empty:
            pytest.fail(f"the browser has not answered in {SECONDS} seconds")
        finally:
            browser.terminate()
            browser.wait(SECONDS)


def _lines(questions: Sequence[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, questions)).encode()


def _answers(data: bytes) -> Answers:
    return [json.loads(line) for line in data.splitlines()]


@contextmanager
def _served(questions: bytes) -> "Iterator[tuple[str, SimpleQueue[bytes]]]":
    """A server of the page, the package and the questions; where answers arrive."""
    answers: SimpleQueue[bytes] = SimpleQueue()
    fixed = {"/": ("text/html", _PAGE), "/questions": ("text/plain", questions)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server asks for
            kind, body = fixed.get(self.path, ("text/javascript", b""))
            if self.path.startswith("/verifier/") and ".." not in self.path:
                body = (VERIFIER / self.path.removeprefix("/verifier/")).read_bytes()
            self._answer(kind, body)

        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer("text/plain", b"")

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is written about requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", answers
        finally:
            server.shutdown()
            thread.join()
