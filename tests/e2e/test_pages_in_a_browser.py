"""The pages of the worked example in Debian's Chromium: light, dark, as on a phone.

web/browser/look.js says what it looks for. Its pictures are for people: with
PCRLOG_WRITE_DOCS=1 those that docs/pages.md shows are made anew.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.example import ACME, WALLET, registers, write
from tests.conftest import IN_CI
from tests.e2e.served import free_port, until
from tests.support.browser import CHROMIUM, FOLDER, lacking
from tests.support.vectors import ROOT

pytestmark = pytest.mark.e2e
WRITE = "PCRLOG_WRITE_DOCS" in os.environ
PICTURES = ROOT / "docs/pages"
SHOWN = ("product-dark", "product-phone")
"""In the documentation, beside each page in the light."""
PCR0 = registers("1.5.0")["PCR0"]
PAGES = {
    "home": "/",
    "product": f"/product/{WALLET}",
    "measurement": f"/measurement/aws-nitro/PCR0={PCR0}",
    "entry": "/entry/26",
    "identity": f"/identity/{ACME}",
    "compare": "/compare/11/13",
    "search": "/search?q=wall",
    "status": "/status",
    "entries": "/entries",
    "missing": "/entry/99999",
}


@pytest.fixture
def browser() -> None:
    if reason := lacking():
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The worked example, served."""
    write(tmp_path / "log", "log.example/pcr", time.time)
    port = free_port()
    arguments = ["serve", str(tmp_path / "log"), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen([sys.executable, "-m", "log_server", *arguments]) as server:
        serving = tmp_path / "log/run/serve.json"
        until(serving.exists, "a server")
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)


@pytest.mark.usefixtures("browser")
def test_nothing_is_wrong_with_any_page_in_a_browser(url: str, tmp_path: Path) -> None:
    found = subprocess.run(
        ["node", "look.js", url, str(tmp_path)],
        cwd=FOLDER,
        input=json.dumps(PAGES),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PCRLOG_BROWSER": str(CHROMIUM)},
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    looked = json.loads(found.stdout)
    assert len(looked) == 3 * len(PAGES)
    assert {name: wrong for name, wrong in looked.items() if wrong} == {}
    pictures = sorted(one.stem for one in tmp_path.glob("*.png"))
    assert pictures == sorted(looked)
    if WRITE:
        PICTURES.mkdir(exist_ok=True)
        for name in (*(f"{page}-light" for page in PAGES), *SHOWN):
            shutil.copy(tmp_path / f"{name}.png", PICTURES / f"{name}.png")
