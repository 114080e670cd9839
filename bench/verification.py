"""Verification: cold, in a new process; warm, against its signature checks alone."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

import pcrlog
from bench.scene import NONCE, PRODUCT, Scene

BARE = "import cryptography.x509, cbor2, click, msgspec"
_MAIN = "import sys; from cli.main import main; sys.exit(main())"
_ROUNDS = 15
_ECDSA_CHECKS = 5
"""The document's own signature and those of its four certificates below the root."""


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The median time of one call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def in_folder(scene: Scene, folder: Path) -> None:
    """Write the files that `command` names."""
    (folder / "doc.cbor").write_bytes(scene.document)
    (folder / "bundle").write_bytes(scene.bundle)
    (folder / "policy.toml").write_bytes(scene.policy)


def command() -> list[str]:
    """The code of `pcrlog`, and the words of a whole verification."""
    words = ["verify", "--policy", "policy.toml", "--product", PRODUCT]
    words += ["--attestation", "doc.cbor", "--bundle", "bundle", "--json"]
    return [_MAIN, *words, "--nonce", NONCE.hex()]


def cold(scene: Scene) -> tuple[float, float]:
    """Seconds of `pcrlog verify --bundle` and of a bare import, in new processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_folder(scene, folder)

        def run(*words: str) -> None:
            # What is not verified ends with another status, and the bench with it.
            subprocess.run(
                [sys.executable, "-c", *words],
                cwd=folder,
                env=os.environ | {"PCRLOG_STATE": name},
                stdout=subprocess.DEVNULL,
                check=True,
            )

        run(BARE)
        run(*command())
        bare, ours = [], []
        # In turn, so that whatever else the machine does hits both alike.
        for _ in range(_ROUNDS):
            bare.append(seconds(lambda: run(BARE), 1))
            ours.append(seconds(lambda: run(*command()), 1))
        return median(ours), median(bare)


class Warm(NamedTuple):
    """Seconds of one `verify`, and what part of that are its `checks` of signatures.

    The checks alone are as many ECDSA P-384 and Ed25519 verifications, over messages of
    the same length. In `share`, each P-384 key is loaded from its bytes first, which is
    how a document brings them; in `share_loaded`, all keys were loaded beforehand.
    """

    seconds: float
    share: float
    share_loaded: float
    checks: int


def warm(scene: Scene) -> Warm:
    """Verification in a process that has verified before."""
    policy = scene.parsed_policy()

    def verify() -> None:
        report = pcrlog.verify(
            scene.document,
            scene.bundle,
            policy,
            product=PRODUCT,
            now=scene.now,
            nonce=NONCE,
        )
        report.verified()

    entries = len(pcrlog.Bundle.parse(scene.bundle).entries)
    # Each entry's signature, the log's, and each witness's.
    ed25519_checks = entries + 1 + len(scene.log.witnesses)
    private = ec.generate_private_key(ec.SECP384R1())
    message = scene.document[-4000:]
    signature = private.sign(message, ec.ECDSA(SHA384()))
    public, algorithm = private.public_key(), ec.ECDSA(SHA384())
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    small = ed25519.Ed25519PrivateKey.from_private_bytes(sha256(b"bench").digest())
    note = small.sign(message[:900])
    small_public = small.public_key()

    def checks(load: Callable[[], PublicKeyTypes]) -> None:
        for _ in range(_ECDSA_CHECKS):
            key = load()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            key.verify(signature, message, algorithm)
        for _ in range(ed25519_checks):
            small_public.verify(note, message[:900])

    whole, share, share_loaded = [], [], []
    for _ in range(20 * _ROUNDS):
        # One right after the other: a machine that changes its speed changes all.
        whole.append(seconds(verify, 1))
        alone = seconds(lambda: checks(lambda: load_der_public_key(spki)), 1)
        share.append(alone / whole[-1])
        share_loaded.append(seconds(lambda: checks(lambda: public), 1) / whole[-1])
    number = _ECDSA_CHECKS + ed25519_checks
    return Warm(median(whole), median(share), median(share_loaded), number)
