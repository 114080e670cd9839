"""AWS's own crate makes enclave images, and we measure them; and the other way round.

Every image is made by its builder, which nitro-cli calls, and read by its reader, which
answers `nitro-cli describe-eif`.
"""

import json
import os
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pcrlog.errors import MalformedError
from pcrlog.published import collect, parse_pairs
from tests.interop import cargo
from tests.support import images
from workbench.eif import Image, measure

# The first build compiles what the crate rests on, an SDK among it: minutes, so that
# it is not in the default run unless a build is kept.
pytestmark = [] if os.environ.get("PCRLOG_CARGO_TARGET") else [pytest.mark.slow]

CMDLINE = "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on"
ALGORITHMS = ("ES256", "ES384", "ES512")


class Crate:
    """The program, and a folder with what it needs."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder
        (folder / "kernel").write_bytes(b"KERNEL" * 5_000)
        for number in range(3):
            name = f"file{number}"
            data = images.ramdisk([images.file(name, os.urandom(3_000))])
            (folder / f"ramdisk{number}").write_bytes(data)
        for name in ALGORITHMS:
            pem = images.key(name).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            (folder / f"{name}.key").write_bytes(pem)
            (folder / f"{name}.cert").write_bytes(images.pem(name))

    def run(self, *words: object) -> Any:
        done = cargo.run(
            [self.program, *map(str, words)],
            cwd=self.folder,
            seconds=cargo.RUN_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def signer(self, algorithm: str) -> tuple[str, str]:
        if not algorithm:
            return "-", "-"
        return f"{algorithm}.cert", f"{algorithm}.key"

    def build(self, name: str, algorithm: str, ramdisks: int, flags: int) -> Any:
        files = [f"ramdisk{number}" for number in range(ramdisks)]
        signer = self.signer(algorithm)
        return self.run("build", name, flags, "kernel", CMDLINE, *signer, *files)

    def measure(self, name: str) -> Image:
        with (self.folder / name).open("rb") as file:
            return measure(file)


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Crate:
    program = cargo.build("eif", tmp_path_factory.mktemp("cargo"))
    return Crate(program, tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize(
    ("algorithm", "ramdisks", "flags"),
    [*product(("", *ALGORITHMS), (1, 2, 3), (0, 1))],
)
def test_an_image_of_the_crate_has_the_registers_that_it_says(
    crate: Crate, algorithm: str, ramdisks: int, flags: int
) -> None:
    name = f"{algorithm}-{ramdisks}-{flags}.eif"
    built = crate.build(name, algorithm, ramdisks, flags)
    measured = crate.measure(name)
    ours = measured.described()
    theirs = crate.run("describe", name)
    found = collect(parse_pairs(json.dumps(built).encode()))
    assert found.registers == measured.registers
    for said in (built, theirs):
        del said["Measurements"]["HashAlgorithm"]
    assert measured.digests == built["Measurements"] == theirs["Measurements"]
    assert ours.get("SigningCertificate") == theirs["SigningCertificate"]
    assert ours.get("SignatureCheck") == theirs["SignatureCheck"]
    for member in ("EifVersion", "IsSigned", "CheckCRC"):
        assert ours[member] == theirs[member]
    assert ours["ImageName"] == theirs["Metadata"]["ImageName"]
    assert measured.header.aarch64 == bool(flags)


@pytest.mark.parametrize("algorithm", ["", *ALGORITHMS])
def test_the_crate_reads_an_image_of_our_tests_as_we_do(
    crate: Crate, algorithm: str
) -> None:
    disks = [images.ramdisk([images.file("init", b"x" * n)]) for n in (10, 2_000)]
    data = images.image(*disks, algorithm=algorithm)
    name = f"ours-{algorithm}.eif"
    (crate.folder / name).write_bytes(data)
    theirs = crate.run("describe", name)
    measured = measure(BytesIO(data))
    assert theirs["CheckCRC"]
    assert theirs["SignatureCheck"] == (True if algorithm else None)
    del theirs["Measurements"]["HashAlgorithm"]
    assert theirs["Measurements"] == measured.digests


def test_an_image_that_the_crate_has_signed_afterwards_is_read(crate: Crate) -> None:
    crate.build("later.eif", "", 2, 0)
    before = crate.measure("later.eif").registers
    crate.run("sign", "later.eif", *crate.signer("ES384"))
    after = crate.measure("later.eif").registers
    assert {**after, "PCR8": ""} == {**before, "PCR8": ""}


def test_an_image_that_the_crate_has_signed_twice_contradicts_itself(
    crate: Crate,
) -> None:
    """It leaves the size of the first signature in the header's table."""
    crate.build("twice.eif", "ES256", 2, 0)
    crate.run("sign", "twice.eif", *crate.signer("ES512"))
    with pytest.raises(MalformedError, match="sign the unsigned image instead"):
        crate.measure("twice.eif")
