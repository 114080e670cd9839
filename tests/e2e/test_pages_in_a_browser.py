"""The pages of the worked example in Debian's Chromium: light, dark, phone, paper.

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

from demo.example import ACME, LAB, PROXY_DIGEST, WALLET, commit, registers, write
from tests.conftest import IN_CI
from tests.e2e.served import free_port, until
from tests.support.browser import CHROMIUM, FOLDER, Browser, lacking
from tests.support.vectors import ROOT

pytestmark = pytest.mark.e2e
WRITE = "PCRLOG_WRITE_DOCS" in os.environ
PICTURES = ROOT / "docs/pages"
SHOWN = ("product-dark", "product-phone", "product-paper")
"""In the documentation, beside each page in the light."""
PCR0 = registers("1.5.0")["PCR0"]
PAGES = {
    "home": "/",
    "product": f"/product/{WALLET}",
    "measurement": f"/measurement/aws-nitro/PCR0={PCR0}",
    "component": f"/component/{PROXY_DIGEST}",
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
    settings = tmp_path / "log/log.toml"
    lines = settings.read_text()
    settings.write_text(f'monitor = "https://monitor.example/"\n{lines}')
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
    assert len(looked) == 4 * len(PAGES)
    assert {name: wrong for name, wrong in looked.items() if wrong} == {}
    pictures = sorted(one.stem for one in tmp_path.glob("*.png"))
    assert pictures == sorted(looked)
    if WRITE:
        PICTURES.mkdir(exist_ok=True)
        for name in (*(f"{page}-light" for page in PAGES), *SHOWN):
            shutil.copy(tmp_path / f"{name}.png", PICTURES / f"{name}.png")


@pytest.mark.usefixtures("browser")
def test_each_kind_of_thing_is_found_by_the_box_on_the_first_page(
    url: str, tmp_path: Path
) -> None:
    digits = PCR0.partition(":")[2]
    with Browser(tmp_path / "profile") as chromium:
        chromium.open(f"{url}/identity/{ACME}")
        [key] = chromium.texts("tr td:first-child code")
        chromium.open(f"{url}/entry/26")
        [statement] = chromium.texts("dd > code.whole")
        for asked, kind, found in (
            (digits, "Measurement, aws-nitro", "wallet 1.5.0"),
            (f'"PCR0": "{digits}",', "Measurement, aws-nitro", "wallet 1.5.0"),
            (WALLET, f"Product of {ACME}", "wallet"),
            (LAB, "Identity", LAB),
            (key, "Identity", ACME),
            (PROXY_DIGEST, "Component, artifact", "vsock-proxy 2.1.0"),
            (commit("1.5.0"), "Commit, source", "A commit that was reviewed"),
            (statement, "Entry 26", "acme.example released wallet 1.5.0"),
            ("26", "Entry 26", "acme.example released wallet 1.5.0"),
            ("wallet 1.5.0", "", "\u201cwallet 1.5.0\u201d"),
            ("nothing of the kind", "", "Nothing found for"),
        ):
            chromium.open(url)
            chromium.fill({"form.ask input": asked})
            chromium.click("form.ask button")
            assert found in (chromium.text("h1") or ""), asked
            assert kind in (chromium.text(".kicker") or ""), asked
            if not kind:  # the others were looked at above
                assert chromium.wrong() == [], asked
