"""Programs that run as witnesses elsewhere cosign a log as `pcrlog-server serve` asks.

Two of them, as their makers build them: `litewitness` (torchwood), whose key lies in an
ssh-agent, and `omniwitness` (transparency-dev). test_witness.py has the library that is
in the second one, and what it refuses; here is the whole way, of both.

litewitness is told of a log by `witnessctl`, which rests on a module that not every
proxy hands out (sigsum.org/sigsum-go). So its two rows are written here.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from log_server.fsck import check
from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.merkle import EMPTY_ROOT
from pcrlog.note import COSIGNATURE, NoteSigner, VerifierKey
from tests.e2e.served import SECONDS, Served, free_port, until
from tests.interop import golang
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.witnessing import cosigners, demand

pytestmark = pytest.mark.e2e

LITEWITNESS = "filippo.io/torchwood/cmd/litewitness"
OMNIWITNESS = "github.com/transparency-dev/witness/cmd/omniwitness"


@dataclass
class Theirs:
    """A witness's program as it runs: its key, and where it listens."""

    vkey: str
    url: str


@pytest.fixture(scope="module")
def litewitness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    return golang.build_modules("litewitness", folder, LITEWITNESS) / "litewitness"


@pytest.fixture(scope="module")
def omniwitness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    return golang.build_modules("omniwitness", folder, OMNIWITNESS) / "omniwitness"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log", int(time.time()))


@pytest.fixture
def acme(log: Log) -> Party:
    return log.enrol("acme.example", "provider")


@contextmanager
def running(command: Sequence[str | Path], ready: Callable[[], bool]) -> Iterator[None]:
    """A program, from when it is ready until it is told to end."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until(lambda: ready() or process.poll() is not None, str(command[0]))
            assert process.poll() is None, process.communicate()
            yield
        finally:
            process.kill()
            process.communicate(timeout=SECONDS)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def run_litewitness(program: Path, folder: Path, log: Log) -> Iterator[Theirs]:
    """litewitness, with a key that ssh-keygen made and ssh-agent holds."""
    for needed in ("ssh-agent", "ssh-add", "ssh-keygen"):
        if shutil.which(needed) is None:
            pytest.skip(f"no {needed}: apt-get install openssh-client")
    folder.mkdir()
    key, database = folder / "key", folder / "db"
    golang.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    # The path of a socket is short.
    agent = Path(os.path.relpath(folder / "s"))
    name, port = "lite.example/witness", free_port()
    raw = decode_base64(key.with_suffix(".pub").read_text("ascii").split()[1])[-32:]
    told = golang.run(["ssh-keygen", "-l", "-f", key.with_suffix(".pub")]).stdout
    command: list[str | Path] = [
        *(program, "-name", name, "-db", database, "-key", told.split()[1]),
        *("-ssh-agent", agent, "-listen", f"127.0.0.1:{port}"),
    ]
    with running(["ssh-agent", "-D", "-a", agent], agent.exists):
        added = golang.run(["ssh-add", key], SSH_AUTH_SOCK=str(agent))
        assert added.returncode == 0, added.stderr
        with running(command, lambda: listens(port)):
            with closing(sqlite3.connect(database)) as rows, rows:
                rows.execute(
                    "insert into log (origin, tree_size, tree_hash) values (?, 0, ?)",
                    (log.config.origin, encode_base64(EMPTY_ROOT)),
                )
                rows.execute(
                    "insert into key (origin, key) values (?, ?)",
                    (log.config.origin, log.new.vkey),
                )
            vkey = str(VerifierKey(name, COSIGNATURE, raw))
            yield Theirs(vkey, f"http://127.0.0.1:{port}")


@contextmanager
def run_omniwitness(program: Path, folder: Path, log: Log) -> Iterator[Theirs]:
    """omniwitness, with this one log beside those that it knows by itself."""
    folder.mkdir(exist_ok=True)
    key = NoteSigner("omni.example/witness", b"o" * 32)
    (folder / "key").write_text(key.skey())
    (folder / "logs.yaml").write_text(
        f"Logs:\n  - Origin: {log.config.origin}\n    URL: https://log.example\n"
        f"    PublicKey: {log.new.vkey}\n"
    )
    port = free_port()
    command: list[str | Path] = [
        *(program, "--listen", f"127.0.0.1:{port}", "--metrics_listen", ""),
        *("--private_key_path", folder / "key", "--db_file", folder / "db"),
        *("--additional_logs", folder / "logs.yaml"),
    ]
    vkey = str(VerifierKey(key.public.name, COSIGNATURE, key.public.public))
    with running(command, lambda: listens(port)):
        yield Theirs(vkey, f"http://127.0.0.1:{port}")


def publish(log: Log, acme: Party, versions: Sequence[str]) -> None:
    """Serve the log, and submit a release of each version."""
    served = Served.start(log).wait_until_served()
    try:
        for version in versions:
            status, found = served.submit(acme.release(1, version), "?wait=30")
            assert status == 201, found
        assert served.end() == (0, "")
    finally:
        served.close()


def test_litewitness_cosigns_our_log(
    log: Log, acme: Party, litewitness: Path, tmp_path: Path
) -> None:
    with run_litewitness(litewitness, tmp_path / "w", log) as witness:
        demand(log, [witness])
        publish(log, acme, ["1.0.0", "1.0.1", "1.0.2"])
        assert cosigners(log, witness) == {"lite.example/witness"}
        # At its start the log asks for the same checkpoint again: a fresh cosignature.
        publish(log, acme, ["1.0.3"])
        assert cosigners(log, witness) == {"lite.example/witness"}
    assert check(log.config).wrong == []


def test_omniwitness_cosigns_our_log_and_remembers_it(
    log: Log, acme: Party, omniwitness: Path, tmp_path: Path
) -> None:
    with run_omniwitness(omniwitness, tmp_path / "w", log) as witness:
        demand(log, [witness])
        publish(log, acme, ["1.0.0", "1.0.1", "1.0.2"])
        assert cosigners(log, witness) == {"omni.example/witness"}
    # It comes back, elsewhere, with what it had on disk.
    with run_omniwitness(omniwitness, tmp_path / "w", log) as witness:
        demand(log, [witness])
        publish(log, acme, ["1.0.3"])
        assert cosigners(log, witness) == {"omni.example/witness"}
    assert check(log.config).wrong == []


def test_both_are_a_quorum(
    log: Log, acme: Party, litewitness: Path, omniwitness: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        witnesses = [
            stack.enter_context(run_litewitness(litewitness, tmp_path / "l", log)),
            stack.enter_context(run_omniwitness(omniwitness, tmp_path / "o", log)),
        ]
        demand(log, witnesses, 2)
        publish(log, acme, ["1.0.0", "1.0.1"])
        assert len(cosigners(log, *witnesses)) == 2


def test_each_says_that_we_are_an_old_copy(
    log: Log, acme: Party, litewitness: Path, omniwitness: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    with ExitStack() as stack:
        witnesses = [
            stack.enter_context(run_litewitness(litewitness, tmp_path / "l", log)),
            stack.enter_context(run_omniwitness(omniwitness, tmp_path / "o", log)),
        ]
        demand(log, witnesses, 2)
        publish(log, acme, ["1.0.0"])
        shutil.copytree(log.config.directory, backup, ignore=_no_fifo)
        publish(log, acme, ["1.0.1"])
        # All of the folder comes back as it was; the witnesses remember more.
        shutil.rmtree(log.config.directory)
        shutil.move(backup, log.config.directory)
        for witness in witnesses:
            demand(log, [witness])
            code, err = Served.start(log).wait()
            assert code == 4
            assert "is at 8 leaves, log.db at 6" in err


def _no_fifo(_folder: str, names: list[str]) -> set[str]:
    return {"wake"} & set(names)
