"""`pcrlog measure --find`: what of a log is in an image, without telling the log."""

import json
from hashlib import sha256
from typing import Any

import pytest

from pcrlog.measurement import Registers
from pcrlog.predicates import Component
from tests.support import images
from tests.support.images import ramdisk
from tests.support.scene import PRODUCT, Scene, artifact
from tests.unit.cli.mirroring import Keeper
from tests.unit.cli.world import URL, World, withhold

PARTS = "parts.example"
SIDECAR = f"{PARTS}/sidecar"
TOOL, OTHER = b"a sidecar, as it is shipped", b"another file"
SHA, SHB = sha256(TOOL).hexdigest(), sha256(OTHER).hexdigest()
INIT = ramdisk([images.file("init", b"init")])
APP = ramdisk([images.file("etc/hosts", b"hosts"), images.file("usr/bin/side", TOOL)])
IMAGE = images.image(INIT, APP)
SIDE = Component(SIDECAR, SHA)
FIND = "measure --find app.eif --policy policy.toml"


def registers() -> Registers:
    return images.registers(images.layout(INIT, APP))


def speak(scene: Scene) -> tuple[int, int]:
    """A sidecar and a wallet with two components; their entries."""
    scene.log.enroll(PARTS, "provider")
    one = scene.release("1.0.0", artifact(SHA), product=SIDECAR, platform="artifact")
    parts = (Component(f"{PARTS}/other", SHB), Component(SIDECAR, SHA))
    two = scene.release("1.4.2", registers(), components=parts)
    return one, two


@pytest.fixture
def parts(world: World) -> World:
    """An image in a folder, and a log that knows what is in it."""
    speak(world.scene)
    world.log.seal()
    world.write("app.eif", IMAGE)
    return world


def found(world: World, *words: str, status: int = 0) -> Any:
    ran = world.run(FIND, *words, "--json")
    assert ran.status == status, ran
    return json.loads(ran.out)


# --- by the names of products ---------------------------------------------------------


def test_components_that_a_release_names_are_found_by_digest(parts: World) -> None:
    told = found(parts)
    assert told["products"] == [PRODUCT]
    [one] = told["artifacts"]
    assert one["sha256"] == SHA
    assert one["places"] == [
        {"file": "usr/bin/side", "section": "ramdisk 1", "size": len(TOOL)}
    ]
    [said] = one["said"]
    assert (said["product"], said["version"]) == (SIDECAR, None)
    assert said["of"] == f"{PRODUCT} 1.4.2"


def test_the_log_is_told_names_and_no_digest(
    parts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    answer = parts.answer

    def listen(method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        sent.append(f"{path} {body!r}")
        return answer(method, path, body)

    monkeypatch.setattr(parts, "answer", listen)
    found(parts, f"--product {PRODUCT} --product {PARTS}/*")
    assert [one.partition("?")[0] for one in sent] == ["api/v1/lookup"] * 2
    registers_ = [value.partition(":")[2] for value in registers().values()]
    for secret in (SHA, SHB, *registers_, sha256(IMAGE).hexdigest()):
        assert not any(secret in one for one in sent)


def test_a_providers_artifacts_are_found_with_their_releases(parts: World) -> None:
    [release] = parts.log.index[f"v1/product/{SIDECAR}"]
    parts.log.revoke(PARTS, "superseded", release)
    parts.log.seal()
    told = found(parts, f"--product {PARTS}/*")
    [one] = told["artifacts"]
    [said] = one["said"]
    assert (said["product"], said["version"], said["of"]) == (SIDECAR, "1.0.0", None)
    told = found(parts, f"--product {PARTS}/elsewhere")
    assert told["artifacts"] == []


def test_a_component_of_this_very_image_that_is_not_in_it_is_said(
    parts: World,
) -> None:
    told = found(parts)
    [absent] = told["absent"]
    assert (absent["product"], absent["sha256"]) == (f"{PARTS}/other", SHB)
    ran = parts.run(FIND)
    assert "parts.example/other" in ran.out
    assert "was not found byte for byte: it may be" in " ".join(ran.out.split())
    parts.write("app.eif", images.image(INIT, APP, ramdisk([])))
    assert found(parts)["absent"] == []


def test_people_are_told_where_and_what_was_sent(parts: World) -> None:
    ran = parts.run(FIND, f"--product {PARTS}/* --product {PRODUCT}")
    assert ran.status == 0
    words = " ".join(ran.out.split())
    assert "app.eif: looked at 3 files, and 3 sections as a whole" in words
    assert "parts.example/sidecar 1.0.0 (entry " in words
    assert "parts.example/sidecar, named by acme.example/wallet 1.4.2" in words
    assert "ramdisk 1 usr/bin/side" in words
    assert "Nothing about the image was sent: the log was asked for parts" in words
    assert "Next: pcrlog component list INDEX" in words
    parts.write("app.eif", images.image(INIT))
    assert "is in it, byte for byte" in parts.run(FIND).out


def test_what_cannot_be_looked_into_is_could_not_check(parts: World) -> None:
    parts.write("app.eif", images.image(INIT, b"\x28\xb5\x2f\xfdabc"))
    told = found(parts, status=3)
    assert told["unread"][0]["section"] == "ramdisk 1"
    words = parts.run(FIND).out
    assert "? not looked into: ramdisk 1" in words
    assert "was found, but not all was looked at" in words
    assert "is in it" not in words


def test_what_is_too_old_to_be_looked_at_is_counted(
    parts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.finding.MOST", 1)
    parts.scene.release("1.5.0", registers())
    parts.log.seal()
    told = found(parts, status=3)
    assert told["older"] == 1
    assert told["artifacts"] == []
    assert "? not looked for" in parts.run(FIND).out


def test_more_artifacts_than_anybody_reads_are_counted(parts: World) -> None:
    files = [images.file(f"f{number}", b"%d" % number) for number in range(60)]
    for one in files:
        digest = artifact(sha256(one.data).hexdigest())
        name = f"{PARTS}/{one.name.decode()}"
        parts.scene.release("1", digest, product=name, platform="artifact")
    parts.log.seal()
    copies = [images.file(f"copy{number}", TOOL) for number in range(9)]
    parts.write("app.eif", images.image(INIT, ramdisk([*copies, *files])))
    ran = parts.run(FIND, f"--product {PARTS}/*")
    assert "and 11 more; --json has all" in ran.out
    assert "and 6 more" in ran.out


def test_a_product_that_nobody_released_is_said(parts: World) -> None:
    """A slip of the pen is no answer."""
    told = found(parts, f"--product {PARTS}/sidekick --product {PRODUCT}")
    assert told["unknown"] == [f"{PARTS}/sidekick"]
    ran = parts.run(FIND, f"--product {PARTS}/sidekick")
    words = " ".join(ran.out.split())
    assert f"nothing to look for: {PARTS}/sidekick: log.example/pcr has no" in words


def test_of_many_releases_that_name_an_artifact_a_few_are_told(parts: World) -> None:
    for number in range(9):
        other = {f"PCR{n}": f"sha384:{number + 1:02x}" + "00" * 47 for n in range(3)}
        parts.scene.release(f"2.{number}", other, components=(SIDE,))
    parts.log.seal()
    ran = parts.run(FIND, f"--product {PRODUCT} --product {PARTS}/*")
    assert ran.out.count("✓") == 3
    first = next(line for line in ran.out.splitlines() if "✓" in line)
    assert f"{SIDECAR} 1.0.0 (entry " in first
    assert "and 8 entries more" in ran.out


def test_a_component_that_is_not_there_is_told_once(parts: World) -> None:
    """However often the image was released."""
    other = Component(f"{PARTS}/other", SHB)
    parts.scene.release("1.4.3", registers(), components=(other,))
    parts.log.seal()
    assert [one["sha256"] for one in found(parts)["absent"]] == [SHB]


def test_very_many_components_that_are_not_there_are_counted(parts: World) -> None:
    for version in range(2):
        names = sorted(f"p{version}-{number}" for number in range(32))
        listed = [Component(f"{PARTS}/{name}", SHB) for name in names]
        parts.scene.release(f"2.{version}", registers(), components=tuple(listed))
    parts.log.seal()
    assert "and 15 more; --json has all" in parts.run(FIND).out


def test_an_entry_that_does_not_belong_to_the_product_refutes(
    parts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the index was made to say so, and the entry itself was not handed over."""
    [other] = parts.log.index[f"v1/product/{SIDECAR}"]
    parts.log.index[f"v1/product/{PRODUCT}"].insert(0, other)
    parts.scene.release("1.5.0", registers())
    parts.log.seal()
    withhold(parts, monkeypatch, other)
    ran = parts.run(FIND)
    assert (ran.status, f"entry {other} does not belong" in ran.err) == (4, True), ran


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("measure app.eif --product parts.example/sidecar", "with --find"),
        (f"{FIND} --product {PARTS}", "expected NAME/PRODUCT or NAME/*"),
        (f"{FIND} --product a/b/c", "expected NAME/PRODUCT or NAME/*"),
        (f"{FIND} --product */*", "expected NAME/PRODUCT or NAME/*"),
        ("measure --find", "--find takes an image"),
        ("measure --find app.eif --explain", "--find takes an image"),
        ("measure --find app.eif --with app.eif", "--find takes an image"),
        ("measure --find -", "not standard input"),
        ("measure --find app.eif", "which log?"),
        (f"measure --find app.eif --log {URL}", "which artifacts?"),
    ],
)
def test_what_cannot_be_found_is_told(parts: World, words: str, told: str) -> None:
    ran = parts.run(words)
    assert ran.status == 2
    assert told in ran.err


# --- in a mirror ----------------------------------------------------------------------


def test_a_mirror_needs_no_names_and_no_network(keeper: Keeper) -> None:
    one, two = speak(Scene(keeper.simulator.log))
    keeper.simulator.log.seal()
    assert keeper.copy()[0] == 0
    (keeper.folder / "app.eif").write_bytes(IMAGE)
    status, out, err = keeper.run("measure --find app.eif --mirror mirror --json")
    assert status == 0, err
    told = json.loads(out)
    assert told["products"] == []
    [artifact_] = told["artifacts"]
    assert artifact_["said"] == [
        {"index": one, "of": None, "product": SIDECAR, "version": "1.0.0"}
    ]
    [absent] = told["absent"]
    assert (absent["index"], absent["product"]) == (two, f"{PARTS}/other")
    status, out, _ = keeper.run("measure --find app.eif --mirror mirror")
    assert "the mirror is on this machine" in " ".join(out.split())
    words = f"measure --find app.eif --mirror mirror --product {PRODUCT} --json"
    named = json.loads(keeper.run(words)[1])
    assert named["artifacts"][0]["said"][0]["of"] == f"{PRODUCT} 1.4.2"
