"""`pcrlog measure`: what people and programs are told of an image."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cli.measurements import measured
from tests.support import images, vectors
from tests.support.images import ramdisk
from tests.unit.cli.test_measurements import Options
from tests.unit.cli.world import World
from workbench.eif_layout import CHECKS

INIT = ramdisk([images.file("init", b"init")])
APP = ramdisk([images.file("app", b"app")])
ROLE = "arn:aws:iam::123456789012:role/Webserver"


@pytest.fixture
def image(world: World) -> bytes:
    data = images.image(INIT, APP, algorithm="ES384")
    world.write("app.eif", data)
    world.write("plain.eif", images.image(INIT, APP))
    world.write("part.cpio", APP)
    world.write("p384.crt", images.pem("ES384"))
    world.write("p256.crt", images.pem("ES256"))
    return data


def told(world: World, *words: str) -> Any:
    ran = world.run(*words, "--json")
    assert ran.status == 0, ran
    return json.loads(ran.out)


def test_people_see_the_registers_and_what_to_type_next(
    world: World, image: bytes
) -> None:
    ran = world.run("measure app.eif")
    assert ran.status == 0
    for value in images.registers(images.layout(INIT, APP)).values():
        assert value.partition(":")[2] in ran.out
    assert "wallet 1.4.2: x86_64, EIF version 4" in ran.out
    assert "commonName acme.example" in ran.out
    assert "Next: pcrlog release" in ran.out


def test_programs_get_what_describe_eif_prints(world: World, image: bytes) -> None:
    found = told(world, "measure app.eif")
    assert set(found) == {
        "EifVersion",
        "Measurements",
        "IsSigned",
        "SigningCertificate",
        "CheckCRC",
        "SignatureCheck",
        "ImageName",
        "ImageVersion",
        "Metadata",
        "pcrlog",
    }
    assert found["Measurements"]["HashAlgorithm"] == "Sha384 { ... }"
    assert found["pcrlog"]["size"] == len(image)
    assert found["Metadata"]["Team"] == "wallets"
    assert found["SigningCertificate"]["NotBefore"] == "Jan  1 00:00:00 2026 GMT"
    unsigned = told(world, "measure plain.eif")
    assert unsigned.keys() == found.keys() - {"SigningCertificate", "SignatureCheck"}


def test_an_image_of_version_3_has_no_name(world: World) -> None:
    world.write("old.eif", images.image(INIT, version=3, flags=1))
    assert "an image without a name: aarch64" in world.run("measure old.eif").out
    assert "ImageName" not in told(world, "measure old.eif")


def test_each_byte_and_each_check_is_explained(world: World, image: bytes) -> None:
    ran = world.run("measure app.eif --explain")
    assert "16 checks have passed" in ran.out
    for name in CHECKS:
        assert f" {name} " in ran.out
    assert "In no register, so anybody may have changed it:" in ran.out
    found = told(world, "measure app.eif --explain")["pcrlog"]
    assert found["checks"] == list(CHECKS)
    at = 548
    for section in found["sections"]:
        assert section["offset"] == at + 12
        at += 12 + section["size"]
    assert at == len(image)
    assert [one["registers"] for one in found["sections"]] == [
        ["PCR0", "PCR1"],
        ["PCR0", "PCR1"],
        [],
        ["PCR0", "PCR1"],
        ["PCR0", "PCR2"],
        [],
    ]
    assert "13 checks have passed" in world.run("measure plain.eif --explain").out


def test_a_release_takes_what_measure_printed_and_the_image_itself(
    world: World, image: bytes
) -> None:
    registers = measured(Options(Path("app.eif")))
    assert set(registers) == {"PCR0", "PCR1", "PCR2", "PCR8"}
    world.write("app.json", world.run("measure app.eif --json").out.encode())
    assert measured(Options(Path("app.json"))) == registers
    ready = "ready --policy policy.toml --product acme.example/wallet --measurements"
    assert world.run(ready, "app.eif").out == world.run(ready, "app.json").out


def test_registers_are_foreseen_without_an_image(world: World, image: bytes) -> None:
    found = told(
        world,
        f"measure --role-arn {ROLE} --instance-id i-0123456789abcdef0",
        "--certificate p384.crt",
    )
    signed = told(world, "measure app.eif")["Measurements"]
    assert set(found["Measurements"]) == {"HashAlgorithm", "PCR3", "PCR4", "PCR8"}
    assert found["Measurements"]["PCR8"] == signed["PCR8"]
    assert found["Measurements"]["PCR3"].startswith("78fce75d")
    assert "PCR3" in world.run(f"measure --role-arn {ROLE}").out


def test_registers_are_foreseen_beside_those_of_an_image(
    world: World, image: bytes
) -> None:
    found = told(world, f"measure plain.eif --certificate p384.crt --role-arn {ROLE}")
    assert found["Measurements"]["PCR3"].startswith("78fce75d")
    signed = told(world, "measure app.eif --certificate p384.crt")
    assert found["Measurements"]["PCR8"] == signed["Measurements"]["PCR8"]


def test_another_certificate_than_the_images_is_refused(
    world: World, image: bytes
) -> None:
    ran = world.run("measure app.eif --certificate p256.crt")
    assert ran.status == 4
    assert "signed with another certificate" in ran.err


def test_a_platforms_part_is_foreseen(world: World, image: bytes) -> None:
    world.write("whole.eif", images.image(INIT, APP, APP))
    ran = world.run("measure plain.eif --with part.cpio")
    assert ran.status == 0
    assert "1 more at the end, byte for byte, of 2 ramdisks" in ran.err
    found = told(world, "measure plain.eif --with part.cpio")["Measurements"]
    assert found == told(world, "measure whole.eif")["Measurements"]
    digest = sha256(APP).hexdigest()
    assert f"with     {digest} (part.cpio)" in ran.out
    [added] = told(world, "measure plain.eif --with part.cpio")["pcrlog"]["added"]
    assert added == {"file": "part.cpio", "sha256": digest, "size": len(APP)}
    resigned = world.run("measure app.eif --with part.cpio")
    assert "has to be made anew" in resigned.err
    assert "PCR8 " not in resigned.out
    certified = told(world, "measure app.eif --with part.cpio --certificate p256.crt")
    assert "PCR8" in certified["Measurements"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ("measure", 2, "which image?"),
        ("measure --explain", 2, "which image?"),
        ("measure nothing.eif", 2, "No such file"),
        ("measure .", 2, "Is a directory"),
        ("measure part.cpio", 4, "part.cpio: check 1, magic"),
        ("measure plain.eif --with good.json", 2, "is no ramdisk"),
        ("measure plain.eif --with nothing", 2, "No such file"),
        ("measure plain.eif --with part.cpio --explain", 2, "leave out --with"),
        ("measure --certificate good.json", 4, "check 15, certificate"),
        ("measure --role-arn x", 2, "role/NAME"),
        ("measure --instance-id x", 2, "17 hex digits"),
    ],
)
def test_what_cannot_be_measured_is_told(
    words: str, status: int, says: str, world: World, image: bytes
) -> None:
    ran = world.run(words)
    assert (ran.status, ran.out) == (status, "")
    assert says in " ".join(ran.err.split())


def test_a_spoilt_image_is_refused_for_people_and_programs(
    world: World, image: bytes
) -> None:
    world.write("app.eif", image[:-1] + b"\0")
    assert world.run("measure app.eif").status == 4
    ran = world.run("measure app.eif --json")
    assert (ran.status, json.loads(ran.out)["exit_status"]) == (4, 4)
    assert (
        world.run(
            "ready --policy policy.toml --product acme.example/wallet"
            " --measurements app.eif"
        ).status
        == 4
    )


@pytest.mark.skipif(bool(vectors.absent()), reason="no known answers here")
def test_the_known_image_is_described_as_expected(world: World) -> None:
    folder = vectors.directory() / "eif"
    expected = json.loads((folder / "expected.json").read_text())
    for name, wanted in expected.items():
        found = told(world, f"measure {folder / name}")
        assert found["Measurements"] == wanted["Measurements"]
        assert found["pcrlog"]["sha256"] == wanted["sha256"]
