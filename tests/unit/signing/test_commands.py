"""`exec:`: a command that signs is bounded, and what it signs is checked."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pcrlog.errors import UsageError, VerificationError
from pcrlog.keys import SigningKey
from signing import uris
from signing.commands import CommandSigner
from tests.unit.signing.holders import holder, said

KEY = SigningKey.from_seed(bytes(32))


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p256"])
def test_a_command_can_hold_the_key(tmp_path: Path, algorithm: str) -> None:
    key = SigningKey.generate(algorithm)
    signer = uris.load(holder(tmp_path, key))
    assert signer.public == key.public
    for message in (b"", b"message", bytes(100_000)):
        key.public.verify(signer.sign(message), message)


def test_another_keys_signature_is_refused(tmp_path: Path) -> None:
    uri = holder(tmp_path, SigningKey.generate())
    said(tmp_path, KEY, (tmp_path / "held.py").read_text())
    with pytest.raises(VerificationError, match="no signature by key"):
        uris.load(uri).sign(b"message")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit(7)", "exit 7"),
        ("import sys; sys.stdout.write('x' * 5000)", "more than 1024 bytes"),
        ("import sys\nwhile True: sys.stdout.write('x')", "more than 1024 bytes"),
    ],
    ids=["fails", "prints-much", "prints-for-ever"],
)
def test_a_command_that_does_not_sign_is_told(
    tmp_path: Path, program: str, message: str
) -> None:
    signer = uris.load(said(tmp_path, KEY, program))
    with pytest.raises(UsageError, match=message):
        signer.sign(bytes(100_000))


@pytest.mark.parametrize("program", ["pass", "print('c2lnbmF0dXJl')"])
def test_what_is_no_signature_is_refused(tmp_path: Path, program: str) -> None:
    signer = uris.load(said(tmp_path, KEY, program))
    with pytest.raises(VerificationError, match="expected the bare signature"):
        signer.sign(b"message")


@pytest.mark.parametrize(
    "program",
    [
        "import time; time.sleep(60)",
        "import os, time; os.close(1); time.sleep(60)",
        "import subprocess; subprocess.Popen(['sleep', '60'])",
    ],
    ids=["says-nothing", "does-not-end", "leaves-somebody-behind"],
)
def test_a_command_that_takes_too_long_is_stopped(tmp_path: Path, program: str) -> None:
    uri = said(tmp_path, KEY, program)
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"took more than 0\.5 s"):
        CommandSigner(uri.removeprefix("exec:"), patience=0.5).sign(b"message")
    assert time.monotonic() - start < 10


def test_what_a_command_says_to_people_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "import sys; print('press the button', file=sys.stderr); sys.exit(1)"
    with pytest.raises(UsageError):
        uris.load(said(tmp_path, KEY, program)).sign(b"message")
    assert capfd.readouterr().err == "press the button\n"


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    said(tmp_path, KEY, "")
    uri = f"exec:{tmp_path}/held.pub:true; touch {tmp_path}/touched"
    with pytest.raises(UsageError):
        uris.load(uri).sign(b"message")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "uri",
    ["exec:", "exec:openssl", "exec::openssl", "exec:held.pub:", "exec:held.pub:'"],
)
def test_what_names_no_command_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said(tmp_path, KEY, "")
    with pytest.raises(UsageError, match="exec:"):
        uris.load(uri)


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    said(tmp_path, KEY, "")
    signer = uris.load(f"exec:{tmp_path}/held.pub:/nonexistent/tool")
    with pytest.raises(UsageError, match="/nonexistent/tool: No such file"):
        signer.sign(b"message")


@pytest.mark.parametrize(
    ("make", "sign"),
    [
        ("-algorithm ed25519", "pkeyutl -sign -rawin -in /dev/stdin -inkey"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "dgst -sha256 -sign"),
    ],
    ids=["ed25519", "ecdsa-p256"],
)
def test_openssl_signs_as_documented(tmp_path: Path, make: str, sign: str) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    secret = tmp_path / "acme.pem"
    words = [openssl, "genpkey", *make.split(), "-out", str(secret)]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    key = SigningKey.from_pem(secret.read_bytes())
    said(tmp_path, key, "")
    signer = uris.load(f"exec:{tmp_path}/held.pub:{openssl} {sign} {secret}")
    key.public.verify(signer.sign(b"message"), b"message")
    documented = (Path(__file__).parents[3] / "docs" / "signing.md").read_text()
    assert f"openssl {sign} acme.pem" in documented
