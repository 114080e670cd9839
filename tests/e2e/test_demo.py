"""The demo, played as `make demo` plays it: each refusal for its own reason."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from demo import page
from demo.__main__ import Story, main
from demo.options import read
from demo.stage import Stage, SurpriseError
from demo.transcript import put
from tests.e2e.served import free_port, until

ROOT = Path(__file__).parents[2]

EXPECTED = (
    "VERIFIED TO LINK 2 OF 7",
    "VERIFIED TO LINK 4 OF 7",
    "REFUTED: document.time",
    "REFUTED: document.debug",
    "REFUTED: release.match",
    "COULD NOT CHECK: channel",
    "REFUTED: release.conflict",
    "VERIFIED TO LINK 4 OF 7",
    "REFUTED: release.version",
    "REFUTED: release.valid",
    "VERIFIED TO LINK 2 OF 7",
    "VERIFIED TO LINK 2 OF 7",
    "REFUTED: log.memory",
)
PAGE = re.compile(r"^  (http://127\.0\.0\.1:(\d+)/product/acme\.example/wallet)$")


@pytest.mark.e2e
def test_the_demo_goes_as_its_story_says_and_ends_with_its_page(tmp_path: Path) -> None:
    """It stays, as on a terminal; and what it keeps can be served again."""
    kept = tmp_path / "kept"
    with subprocess.Popen(
        [sys.executable, "-m", "demo", "--stay", "--keep", str(kept)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        output, address = "", None
        for line in demo.stdout:
            output += line
            if address := PAGE.match(line):
                break
        assert address is not None, output
        page.check(address[1])
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output + rest
    assert rest.strip() == "", "the address comes last"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address[1], timeout=5)  # noqa: S310 - our own
    headlines = re.findall(
        r"^  (VERIFIED TO LINK \d OF 7|(?:REFUTED|COULD NOT CHECK): [a-z.]+)",
        output,
        re.MULTILINE,
    )
    assert tuple(headlines) == EXPECTED
    assert "ALARM unexpected-release" in output
    assert "ALARM fork" in output
    assert "PROVEN against log.example/pcr" in output
    readme = (ROOT / "README.md").read_text()
    assert put(readme, output) == readme, "python -m demo.transcript renews it"
    serve_again(kept / "log")


def serve_again(log: Path) -> None:
    """As `make serve` does; those who cosigned are gone."""
    port = free_port()
    arguments = ["serve", str(log), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen([sys.executable, "-m", "log_server", *arguments]) as server:
        try:
            until(lambda: answers(port), "a server")
            page.check(f"http://127.0.0.1:{port}/product/acme.example/wallet")
        finally:
            server.send_signal(signal.SIGTERM)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/checkpoint", timeout=5).close()
    except OSError:
        return False
    return True


# --- its end --------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story is left out."""
    monkeypatch.setattr(Story, "play", lambda _self: None)


@pytest.mark.usefixtures("short")
def test_without_a_terminal_it_ends_and_says_how_to_see_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0
    *_, before, last = capsys.readouterr().out.splitlines()
    assert "make demo ARGS=--stay" in before
    assert PAGE.match(last)


@pytest.mark.usefixtures("short")
def test_what_is_kept_is_there_and_nothing_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    assert main(["--keep", str(kept)]) == 0
    *_, before, last = capsys.readouterr().out.splitlines()
    address = PAGE.match(last)
    assert address is not None
    listen = f"LISTEN=127.0.0.1:{address[2]}"
    assert before.strip() == f"make serve DIR={kept}/log {listen}"
    assert (kept / "good.json").exists()
    with pytest.raises(SystemExit):
        main(["--keep", str(kept)])
    assert "expected a folder that is not there yet" in capsys.readouterr().err


def test_it_stays_on_a_terminal_unless_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = os.openpty()
    with open(ends[0]) as other, open(ends[1]) as terminal:  # noqa: PTH123 - no paths
        monkeypatch.setattr(sys, "stdin", terminal)
        assert not read([]).stay, "its output goes elsewhere"
        monkeypatch.setattr(sys, "stdout", terminal)
        assert read([]).stay
        assert not read(["--no-stay"]).stay
        monkeypatch.setattr(sys, "stdin", None)
        assert other.fileno() == ends[0]


def test_a_server_that_ends_by_itself_ends_the_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(story: Story) -> None:
        port = story.port
        words = f"python -m http.server {port} --bind 127.0.0.1"
        story.stage.start(words, port).kill()

    monkeypatch.setattr(Story, "play", play)
    assert main(["--stay"]) == 1
    assert "ended by itself" in capsys.readouterr().err


def test_ctrl_c_ends_the_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    page.stay(Stage(tmp_path))


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500 if "broken" in self.path else 200)
        self.end_headers()
        self.wfile.write(b"<style>wallet</style><p>wallet</p> 1.3.0")

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_that_does_not_tell_the_story_is_a_surprise(server: str) -> None:
    assert page.read(server) == "wallet 1.3.0"
    with pytest.raises(SurpriseError, match=r"does not say: 1\.4\.4; .*spoken against"):
        page.check(server)
    with pytest.raises(SurpriseError, match="500"):
        page.check(f"{server}/broken")
    with pytest.raises(SurpriseError, match="refused"):
        page.check(f"http://127.0.0.1:{free_port()}/")
