"""`pcrlog diff`: the answer to "why does my rebuild not match?"."""

import gzip
import json
from dataclasses import replace

import pytest

from pcrlog.encoding import encode_json
from tests.support import images
from tests.support.images import METADATA_JSON, file, ramdisk
from tests.unit.cli.world import World

INIT = ramdisk([file("init", b"init")])
FILES = [file(f"app/{number}", b"data", mtime=100) for number in range(8)]
LATER = [replace(one, mtime=200) for one in FILES]


@pytest.fixture
def built(world: World) -> World:
    for name, files in (("a", FILES), ("b", LATER)):
        world.write(f"{name}.eif", images.image(INIT, ramdisk(files)))
    return world


def test_an_image_and_its_copy_are_the_same(built: World) -> None:
    ran = built.run("diff a.eif a.eif")
    assert ran.status == 0
    assert ran.out.startswith("SAME: nothing differs")


def test_a_rebuild_on_another_day_is_told_with_the_reason(built: World) -> None:
    ran = built.run("diff a.eif b.eif")
    assert ran.status == 4
    assert ran.out.startswith("DIFFERENT: PCR0, PCR2 differ\n")
    assert "ramdisk 1 (PCR0, PCR2)" in ran.out
    assert "8 times" in ran.out
    assert "app/0: 1970-01-01T00:01:40Z → 1970-01-01T00:03:20Z" in ran.out
    assert "app/5" not in ran.out
    assert "… and 3 more; --json has all" in ran.out
    assert "SOURCE_DATE_EPOCH" in ran.out


def test_programs_get_every_difference(built: World) -> None:
    ran = built.run("diff a.eif b.eif --json")
    found = json.loads(ran.out)
    assert (ran.status, found["same"]) == (4, False)
    times = [one for one in found["differences"] if one["kind"] == "time"]
    assert [one["name"] for one in times] == [f"app/{n}" for n in range(8)]
    assert found["registers"][0]["status"] == "different"


def test_one_register_differs_in_the_singular(built: World) -> None:
    built.write("c.eif", images.image(INIT, ramdisk(FILES), algorithm="ES384"))
    ran = built.run("diff a.eif c.eif")
    assert ran.status == 4
    assert ran.out.startswith("DIFFERENT: PCR8 differs\n")
    assert "only in B: " in ran.out


def test_another_build_time_is_told_and_is_no_difference(built: World) -> None:
    data = METADATA_JSON.replace(b"-23T", b"-24T")
    built.write("c.eif", images.image(INIT, ramdisk(FILES), metadata=data))
    ran = built.run("diff a.eif c.eif")
    assert ran.status == 0
    assert "what differs is in no register" in ran.out
    assert "metadata (in no register)" in ran.out
    assert "usual reasons" not in ran.out


def test_bytes_that_moved_are_a_difference(built: World) -> None:
    made = images.layout(INIT, ramdisk(FILES))
    kernel, cmdline, metadata, init, app = made.sections
    sections = [
        kernel,
        replace(cmdline, data=cmdline.data[:-1]),
        metadata,
        replace(init, data=cmdline.data[-1:] + init.data),
        app,
    ]
    built.write("c.eif", replace(made, sections=sections).encode())
    ran = built.run("diff a.eif c.eif")
    assert ran.status == 4
    assert "bytes have moved" in ran.out


def test_packing_is_told_where_nothing_more_can_be_said(built: World) -> None:
    for name, level in (("a", 1), ("b", 9)):
        data = gzip.compress(ramdisk(FILES * 9), level, mtime=0)
        built.write(f"{name}.eif", images.image(INIT, data))
    ran = built.run("diff a.eif b.eif")
    assert "the files that could be read are equal" in " ".join(ran.out.split())


def test_measurements_are_compared_by_their_registers(world: World) -> None:
    ran = world.run("diff good.json rogue.json")
    assert ran.status == 4
    assert "✗ PCR0" in ran.out
    assert "pcrlog diff A.eif B.eif" in ran.out
    assert world.run("diff good.json good.json").status == 0


def test_an_image_is_compared_with_a_measurement(built: World) -> None:
    measured = json.loads(built.run("measure a.eif --json").out)
    registers = measured["Measurements"]
    built.write("a.json", encode_json({**registers, "PCR4": "5" * 96}))
    built.write("b.json", encode_json({**registers, "PCR4": "6" * 96}))
    ran = built.run("diff a.eif a.json")
    assert ran.status == 0
    assert "? PCR4" in ran.out
    assert built.run("diff b.eif a.json").status == 4
    ran = built.run("diff a.json b.json")
    assert ran.status == 0
    assert "the machine that it ran on" in " ".join(ran.out.split())


def test_more_than_is_listed_is_counted(
    built: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.comparing.MOST", 3)
    assert "and 6 more differences" in built.run("diff a.eif b.eif").out


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ("diff a.eif", 2, "Missing argument 'B'"),
        ("diff a.eif nothing", 2, "No such file"),
        ("diff a.eif policy.toml", 2, "neither an image nor a file of registers"),
        ("diff a.eif spoilt.eif", 4, "spoilt.eif: check 2, version"),
    ],
)
def test_what_cannot_be_compared_is_told(
    words: str, status: int, says: str, built: World
) -> None:
    built.write("spoilt.eif", b".eif" + bytes(544))
    ran = built.run(words)
    assert (ran.status, ran.out) == (status, "")
    assert says in " ".join(ran.err.split())
