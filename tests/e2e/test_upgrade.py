"""The first release serves a log, this one takes it over, and the first one goes on.

The first release is taken from the repository's history; where that is not at hand, as
in a copy without it, this is skipped. tests/unit/log_server/test_upgrade.py does the
same with the tables of then.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from log_server.config import Config
from tests.e2e.served import SECONDS, Served
from tests.unit.log_server.parties import ORIGIN, Log, Party

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
FIRST = "fb4abb1"
"""The last commit of schema 1."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files."""
    if shutil.which("git") is None:
        pytest.skip("git is not there")
    command = ["git", "-C", str(ROOT), "archive", FIRST]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the history is not there: {done.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("first")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run(tree: Path, *arguments: object) -> str:
    """A command of a release, which must succeed; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "log_server", *map(str, arguments)],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if "No module named" in done.stderr:
        pytest.skip("what the first release needs is not installed any more")
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def test_the_first_release_hands_over_and_takes_back(
    first: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    run(first, "init", folder, "--origin", ORIGIN)
    old = subprocess.run(
        [sys.executable, "-m", "log_server", "upgrade", folder],
        cwd=first,
        capture_output=True,
        check=False,
    )
    assert old.returncode == 2  # it knows no such command
    serve = [sys.executable, "-m", "log_server", "serve", str(folder)]
    refused = subprocess.run(serve, cwd=ROOT, capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"pcrlog-server upgrade DIR" in refused.stderr
    assert "schema 1 to 2" in run(ROOT, "upgrade", folder)
    assert "nothing wrong" in run(ROOT, "fsck", folder)
    log = _as_it_is(folder)
    served = Served.start(log).wait_until_served()
    try:
        acme = Party("acme.example")
        assert served.submit(log.identity(acme, "provider"))[0] == 201
        assert served.submit(acme.release(1))[0] == 201
        assert served.end()[0] == 0
    finally:
        served.close()
    before = (folder / "public" / "checkpoint").read_bytes()
    assert "schema 2 to 1" in run(ROOT, "upgrade", folder, "--to", 1)
    assert "6 leaves, nothing wrong" in run(first, "fsck", folder)
    run(first, "freeze", folder, "--yes")
    assert "7 leaves, nothing wrong" in run(first, "fsck", folder)
    assert (folder / "public" / "checkpoint").read_bytes() != before
    run(ROOT, "upgrade", folder)
    assert "7 leaves, nothing wrong" in run(ROOT, "fsck", folder)


def _as_it_is(folder: Path) -> Log:
    """A log that somebody else made."""
    from log_server.creation import NewLog  # noqa: PLC0415 - used here alone
    from pcrlog.keys import SigningKey  # noqa: PLC0415 - as above
    from tests.unit.log_server.parties import Clock  # noqa: PLC0415 - as above

    config = Config.load(folder)
    enrol = SigningKey.from_pem(config.enrol_key.read_bytes())
    vkey = (folder / "log.vkey").read_text("ascii").strip()
    root = config.keys / "registrar-root.key"
    new = NewLog(vkey, "", enrol.public.keyid, root, config.enrol_key)
    return Log(config, new, Clock(int(time.time())), Party("registrar", enrol))
