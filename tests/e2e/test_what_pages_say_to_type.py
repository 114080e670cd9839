"""What the pages and docs/verify-page.md tell people to type is typed, as it stands.

Each page names the command that repeats its check. And verify.html is released as its
documentation says: a clean clone of the sources makes the file; a provider releases it
in a log as an artifact, an auditor makes it again and says so; and whoever has saved it
asks the log.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest

from demo.example import LENS, PROXY_DIGEST, WALLET, registers, write
from pcrlog.encoding import sha256
from tests.e2e.served import SECONDS, Served, free_port, until
from tests.support.html_page import Page
from tests.support.scene import NONCE, SIMULATOR, document, pem
from tests.support.sources import commit, git
from tests.support.vectors import ROOT
from tests.unit.log_server.parties import Log

pytestmark = pytest.mark.e2e
DOCS = ROOT / "docs/verify-page.md"
PRODUCT = "pcrlog.example/verify-page"
MADE_OF = (
    ".gitignore",
    "tools/verify_page.py",
    "log_server/pages",
    "web/page",
    "web/verifier",
)


def commands(heading: str) -> list[str]:
    """The commands that the page has below a heading."""
    section = DOCS.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?m)^    (\S.*)$", section)
    assert found, heading
    return found


def sources(folder: Path) -> str:
    """A clone of what the page is made of, as clean as it comes; its commit."""
    files = {}
    for name in MADE_OF:
        place = ROOT / name
        for path in place.rglob("*") if place.is_dir() else [place]:
            inside = path.relative_to(ROOT)
            if path.is_file() and not {"node_modules", "__pycache__"} & set(
                inside.parts
            ):
                files[str(inside)] = path.read_bytes()
    found = commit(folder, files)
    git(folder, "remote", "add", "origin", "https://git.example/pcrlog.git")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    return found


class Desk:
    """A folder in which somebody types what the documentation says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {
            **os.environ,
            "PATH": path,
            "PCRLOG_STATE": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
        }

    def type(self, command: str, *, bare: bool = False) -> str:
        """What it prints; `bare`: by a Python that has nothing installed."""
        environment = dict(self.environment)
        if bare:
            environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["sh", "-euc", command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder)


def test_the_page_is_released_as_its_documentation_says(
    desk: Desk, log: Log, start: Callable[..., Served]
) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git")
    of = sources(desk.folder / "pcrlog")
    for file, name, role in (
        ("release.key", "pcrlog.example", "provider"),
        ("lab.key", "lab.example", "auditor"),
    ):
        path = desk.folder / file
        path.write_bytes(log.enrol(name, role).key.to_pem())
        path.chmod(0o600)
    served = start()
    url = f"http://127.0.0.1:{served.port}"
    desk.type(f"pcrlog-server policy {log.config.directory} --url {url} -o policy.toml")

    [make] = commands("To make it")
    printed = desk.type(make, bare=True)
    page = desk.folder / "verify.html"
    digest = sha256(page.read_bytes()).hex()
    assert printed.startswith(f"{digest}  verify.html\n")
    add, cosign = commands("To release it")
    told = desk.type(add)
    index = re.search(r"is entry (\d+) of", told)
    assert index is not None, told
    assert git(desk.folder / "pcrlog", "status", "--porcelain") == ""
    desk.type(cosign.replace("INDEX", index[1]))

    # Whoever saved the file that the log serves, and asks what it is.
    page.write_bytes(served.get("/verify"))
    summed, lookup = commands("Why from disk")
    assert desk.type(summed) == f"{digest}  verify.html\n"
    answer = desk.type(lookup.replace("HEX", digest))
    assert f"release {PRODUCT} 0.1.0" in answer
    assert "proven by the index" in answer
    shown = Page.parse(served.get(f"/component/{digest}").decode()).text
    assert "pcrlog.example calls it verify-page 0.1.0" in shown
    assert "lab.example rebuilt it from source" in shown
    assert of in served.get(f"/entry/{index[1]}").decode()

    # Of another file it says so.
    page.write_bytes(page.read_bytes() + b" ")
    other = desk.type(summed).split()[0]
    assert PRODUCT not in desk.type(lookup.replace("HEX", other))


# --- the pages of the worked example --------------------------------------------------


@pytest.fixture
def example(desk: Desk) -> Iterator[Callable[[str], str]]:
    """The worked example, served, and a policy for it; reads a page of it."""
    folder = desk.folder / "log"
    write(folder, "log.example/pcr", time.time)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["serve", str(folder), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        [sys.executable, "-m", "log_server", *arguments], env=desk.environment
    ) as server:
        until((folder / "run/serve.json").exists, "a server")
        desk.type(f"pcrlog-server policy log --url {url} -o policy.toml")
        desk.type(f"pcrlog policy add policy.toml {WALLET}")
        policy = desk.folder / "policy.toml"
        root = pem(SIMULATOR.root_der).replace("\n", "\\n")
        policy.write_text(policy.read_text().replace('"builtin"', f'"{root}"'))
        yield lambda path: urllib.request.urlopen(url + path).read().decode()  # noqa: S310 - our own
        server.send_signal(signal.SIGTERM)


def said_to_type(page: str) -> list[str]:
    return [
        unescape(one) for one in re.findall(r'<pre class="command">(.*?)</pre>', page)
    ]


MEASURED = f"aws-nitro/PCR0={registers('1.5.0')['PCR0']}"
NAMED = {
    "/entry/26": "release acme.example/wallet 1.5.0",
    f"/measurement/{MEASURED}": "release acme.example/wallet 1.5.0",
    f"/identity/{LENS}": f"identity of {LENS}",
    f"/component/{PROXY_DIGEST}": "release base.example/vsock-proxy 2.1.0",
}


def test_each_page_names_a_command_that_repeats_its_check(
    desk: Desk, example: Callable[[str], str]
) -> None:
    for path, words in NAMED.items():
        commands = said_to_type(example(path))
        assert commands, path
        assert words in desk.type(commands[-1]), commands[-1]


def test_a_product_names_the_command_that_verifies(
    desk: Desk, example: Callable[[str], str]
) -> None:
    data = document(registers("1.5.1"), time=int(time.time()))
    (desk.folder / "attestation.cbor").write_bytes(data)
    [command] = said_to_type(example(f"/product/{WALLET}"))
    assert "VERIFIED TO LINK 2 OF 7" in desk.type(command.replace("NONCE", NONCE.hex()))


def test_a_component_names_what_does_list_the_parts_of_a_release(
    desk: Desk, example: Callable[[str], str]
) -> None:
    """The page cannot; the command can, of the log and of a copy of all of it."""
    listing, _ = said_to_type(example(f"/component/{PROXY_DIGEST}"))
    [url] = re.findall(r'url = "(http:.*?)"', (desk.folder / "policy.toml").read_text())
    desk.type(f"pcrlog mirror {url} copy --policy policy.toml")
    asked = listing.replace("INDEX", "26")
    for command in (asked, f"{asked} --mirror copy"):
        told = desk.type(f"{command} || test $? -eq 4")
        assert f"{WALLET} 1.5.0 names 1 component" in told
        assert PROXY_DIGEST in told


def test_make_serve_gives_a_new_log_a_history_when_asked(desk: Desk) -> None:
    """Without running make, which would set up an environment of its own."""
    words = ("make", "--dry-run", "serve", "EXAMPLE=1", "DIR=new", "PYTHON=true")
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.search(r"-m (demo\.example 'new' '\S+')", told.stdout)
    assert found is not None, told.stdout
    desk.type(f"python3 -m {found[1]}")
    assert "serve --listen" in told.stdout
    assert "nothing wrong" in desk.type("pcrlog-server fsck new")
