"""A key in AWS KMS, played by moto, and asked by Amazon's own client.

Boto3 is in moto's environment alone, so the signer runs in a process that looks there
after everything of its own. Moto hashes once more what it is told is a digest, so it
signs something else than AWS does: which is found, since every signature is checked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bucket_server import KEYS, PYTHON, BucketServer

_ROOT = Path(__file__).parents[2]
_PROGRAM = """
import sys
sys.path[:0] = [{root!r}]
sys.path.append({theirs!r})
import boto3
from pcrlog.encoding import sha256
from pcrlog.errors import UsageError, VerificationError
from signing import uris

kms = boto3.client("kms")
for alias, spec in (("acme", "ECC_NIST_P256"), ("rsa", "RSA_2048")):
    made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{{alias}}", TargetKeyId=made["KeyId"])
signer = uris.load("awskms:alias/acme")
theirs = bytes.fromhex(signer._signer.sign(b"message").signature)
signer.public.verify(theirs, sha256(b"message"))
print(signer.public.algorithm)
try:
    signer.sign(b"message")
except VerificationError as error:
    print(error)
for name in ("rsa", "nobody"):
    try:
        uris.load(f"awskms:alias/{{name}}")
    except UsageError as error:
        print(error)
"""


@pytest.mark.e2e
def test_a_key_in_aws_kms_signs_and_is_checked(tmp_path: Path) -> None:
    with BucketServer.start(tmp_path / "moto.log") as server:
        [theirs] = PYTHON.parents[1].glob("lib/python*/site-packages")
        ran = subprocess.run(
            [
                sys.executable,
                "-c",
                _PROGRAM.format(root=str(_ROOT), theirs=str(theirs)),
            ],
            env={
                **os.environ,
                **KEYS,
                "AWS_DEFAULT_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{server.port}",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    algorithm, wrong, rsa, nobody = ran.stdout.splitlines()
    assert algorithm == "ecdsa-p256"
    assert "does not verify" in wrong
    assert rsa.startswith("awskms:alias/rsa: unknown key algorithm")
    assert nobody.startswith("awskms:alias/nobody: ")
