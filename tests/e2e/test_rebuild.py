"""`pcrlog cosign --rebuild` as it runs: a real log, repository and processes."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pcrlog.errors import UncheckedError
from tests.e2e.served import SECONDS, Served, is_running, until
from tests.support.sources import RECIPE, commit, digest, git, image
from tests.unit.log_server.parties import Log, Party
from workbench.checkout import Repository

pytestmark = pytest.mark.e2e
HERE = Path(__file__).parents[2]
PRODUCT = "acme.example/wallet"
URI = "https://git.example/acme/wallet"
BUILD = ("--rebuild", "sh recipe.sh", "--produces", "app.eif", "--fetch-from", "src")


class Auditor:
    """A folder with a policy, keys and a clone of the source; and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PCRLOG_STATE": str(self.folder / "state"),
                "PCRLOG_POLICY": "policy.toml",
                "PYTHONPATH": str(HERE),
                "TMPDIR": str(self.folder),
            },
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def release(self, of: str) -> int:
        source = ("--source", URI, "--commit", of, "--recipe", "src/recipe.sh")
        words = ("--key", "acme.key", "--product", PRODUCT, "--version", "1.4.2")
        status, out, err = self.run(
            "release", *words, *source, "--measurements", "app.eif", "--json"
        )
        assert status == 0, err
        return int(json.loads(out)["index"])

    def rebuild(self, index: int, *words: str) -> tuple[int, str, str]:
        who = ("--key", "lab.key", "--as", "lab.example")
        return self.run("cosign", *who, *BUILD, "--run", *words, str(index))


@pytest.fixture
def auditor(
    tmp_path: Path, log: Log, acme: Party, start: Callable[..., Served]
) -> Auditor:
    lab = log.enrol("lab.example", "auditor")
    served = start()
    for name, party in (("acme", acme), ("lab", lab)):
        path = tmp_path / f"{name}.key"
        path.write_bytes(party.key.to_pem())
        path.chmod(0o600)
    url = f"http://127.0.0.1:{served.port}"
    policy = ("policy", str(log.config.directory), "--url", url, "-o", "policy.toml")
    subprocess.run(
        [sys.executable, "-m", "log_server", *policy],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    (tmp_path / "app.eif").write_bytes(image(100))
    return Auditor(tmp_path)


def test_a_release_is_rebuilt_from_its_commit_and_confirmed(auditor: Auditor) -> None:
    files = {"recipe.sh": RECIPE, "parts.bin": image(100)}
    index = auditor.release(commit(auditor.folder / "src", files))
    status, out, err = auditor.rebuild(index, "--json")
    assert status == 0, err
    published = json.loads(out)
    assert published["proven"] is True
    status, out, _ = auditor.run("show", str(published["index"]), "--json")
    said = json.loads(out)["predicate"]
    assert (said["result"], said["recipe"]) == ("pass", digest(RECIPE))
    assert not list(auditor.folder.glob("pcrlog-rebuild-*"))


def test_a_mismatch_is_told_by_file_and_published_on_request(auditor: Auditor) -> None:
    files = {"recipe.sh": RECIPE, "parts.bin": image(200)}
    index = auditor.release(commit(auditor.folder / "src", files))
    status, out, _ = auditor.rebuild(index, "--against", "app.eif")
    assert status == 4
    assert "app/wallet" in out
    status, out, err = auditor.rebuild(index, "--fail-on-mismatch")
    assert status == 0, err
    assert "reproduction fail by lab.example" in out


def test_an_interrupted_build_leaves_nothing_running(auditor: Auditor) -> None:
    recipe = b"echo $$ > $TMPDIR/../pid; exec sleep 300\n"
    of = commit(auditor.folder / "src", {"recipe.sh": recipe})
    index = auditor.release(of)
    who = ("--key", "lab.key", "--as", "lab.example", "--folder", "work")
    process = auditor.start("cosign", *who, *BUILD, "--run", str(index))
    place = auditor.folder / "work" / "pid"
    until(lambda: place.exists() and place.read_text().strip(), "the build")
    building = int(place.read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    until(lambda: not is_running(building), "the build's end")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server of files, over TLS with a certificate of its own; and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "tls.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join()


def self_signed(path: Path) -> Path:
    """A key and its certificate for localhost, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1)
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    authority = x509.BasicConstraints(ca=True, path_length=None)
    builder = builder.add_extension(names, critical=True)
    made = builder.add_extension(authority, critical=True).sign(key, SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def test_a_commit_comes_over_https_from_a_server_that_knows_no_commits(
    shelf: tuple[str, Path], tmp_path: Path
) -> None:
    """Files alone: git asks for the commit, is refused, and takes all branches."""
    url, folder = shelf
    of = commit(tmp_path / "src", {"a.txt": b"one"})
    commit(tmp_path / "src", {"a.txt": b"two"})
    git(tmp_path, "clone", "--quiet", "--bare", "src", str(folder / "repo.git"))
    git(folder / "repo.git", "update-server-info")
    made = tmp_path / "made"
    made.mkdir()
    names = {"PATH": os.environ["PATH"], "GIT_SSL_CAINFO": str(tmp_path / "tls.pem")}
    found = Repository(made, names).fetch(f"{url}/repo.git", of)
    assert (found.commit, (made / "a.txt").read_bytes()) == (of, b"one")
    unknown = {"PATH": os.environ["PATH"]}
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UncheckedError, match="certificate"):
        Repository(other, unknown).fetch(f"{url}/repo.git", of)
