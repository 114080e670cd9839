"""transparency-dev's `loadtest` grows its logs at our witness until it is fast enough.

It is the client of the witness network's own software: it asks for growth by one entry,
verifies nothing of what comes back but its form and status, and ends at the first
answer that it does not expect.

The version that can be had cannot take its first step: it asks its own Merkle library
for a proof from size 0, which that refuses since July 2026. So it is built with one
line before that one: from size 0 there is no proof (in a copy, by go mod vendor).
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.interop import golang
from tests.support.witness_process import WitnessProcess, make_witness

PACKAGE = "github.com/transparency-dev/witness/cmd/loadtest"
LOGS = 40
SECONDS = 120
BROKEN = "nodes, err := proof.Consistency(l.witnessedSize, l.size)"
FIXED = f"if l.witnessedSize == 0 {{ return cpSigned, l.size, nil }}\n\t{BROKEN}"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    module = shutil.copytree(golang.HERE / "loadtest", folder / "loadtest")
    golang.need_go(module)
    # Fetches, and holds what came against the sums.
    done = golang.fetch(["mod", "vendor"], module)
    if done.returncode:
        pytest.skip(f"{golang.UNREACHED}: {golang.last_line(done.stderr)}")
    source = module / "vendor" / PACKAGE / "loadtest.go"
    text = source.read_text("utf-8")
    assert text.count(BROKEN) == 1
    source.write_text(text.replace(BROKEN, FIXED), "utf-8")
    program = folder / "program"
    done = golang.run(
        [str(golang.find_go()), "build", "-mod=vendor", "-o", program, PACKAGE],
        cwd=module,
        seconds=golang.BUILD_SECONDS,
        GOPROXY="off",
    )
    assert done.returncode == 0, done.stderr
    return program


def loadtest(program: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, "--logtostderr", f"--log_count={LOGS}", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.fixture
def folder(program: Path, tmp_path: Path) -> Path:
    """A witness for the logs that it makes up."""
    vkeys = re.findall(r"PublicKey: (\S+)", loadtest(program).stdout, re.IGNORECASE)
    assert len(vkeys) == LOGS
    make_witness(tmp_path / "w", "w1.example/loaded", vkeys)
    return tmp_path / "w"


@pytest.mark.e2e
def test_it_reaches_the_rate_that_it_wants(program: Path, folder: Path) -> None:
    with WitnessProcess.start(folder) as witness:
        target = [f"--target={witness.url}", "--timeout=5s", "--start_qps=150"]
        done = loadtest(program, *target, "--success_qps=200", "--num_extra_sigs=3")
        assert done.returncode == 0, done.stderr
        assert "Exiting successfully" in done.stderr
        metrics = witness.ask("GET", "/metrics").body.decode()
        statuses = set(re.findall(r'requests_total\{status="(\d+)"\}', metrics))
        assert statuses == {"200"}
        health = json.loads(witness.ask("GET", "/healthz").body)
        assert (health["ok"], health["forks"]) == (True, 0)


@pytest.mark.e2e
def test_its_logs_are_met_again_where_they_were_left(
    program: Path, folder: Path
) -> None:
    """A new run begins at size 0, and goes on from the size that a 409 tells it."""
    words = ["--timeout=5s", "--start_qps=150", "--success_qps=160"]
    for _ in range(2):
        with WitnessProcess.start(folder) as witness:
            done = loadtest(program, f"--target={witness.url}", *words)
            assert done.returncode == 0, done.stderr
