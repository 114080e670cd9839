"""Looking for known bytes in images: where they are, and what could not be read."""

import gzip
import io
from hashlib import sha256

import pytest

from tests.support import images
from tests.support.images import ramdisk
from workbench import eif
from workbench.finding import MOST_PLACES, Finding, Place, find
from workbench.ramdisk import Unread

TOOL = b"a tool, as it is shipped"
INIT = ramdisk([images.file("init", b"init")])


def look(image: bytes, *known: bytes) -> Finding:
    """Look for these bytes."""
    file = io.BytesIO(image)
    wanted = {sha256(one).hexdigest() for one in known}
    return find(file, eif.measure(io.BytesIO(image)), wanted.__contains__)


def places(found: Finding, of: bytes) -> list[Place]:
    return found.hits[sha256(of).hexdigest()].places


def test_a_file_is_found_in_its_ramdisk() -> None:
    app = ramdisk([images.file("a", b"a"), images.file("usr/bin/tool", TOOL)])
    found = look(images.image(INIT, app), TOOL, b"not there")
    assert places(found, TOOL) == [Place("ramdisk 1", b"usr/bin/tool", len(TOOL))]
    assert (len(found.hits), found.files, found.sections) == (1, 3, 3)
    assert found.unread == []


def test_a_whole_ramdisk_and_the_kernel_are_found() -> None:
    image = images.image(INIT, INIT)
    kernel = next(s for s in images.layout(INIT, INIT).sections if s.kind == 1).data
    found = look(image, INIT, kernel)
    assert places(found, kernel) == [Place("kernel", None, len(kernel))]
    assert [place.section for place in places(found, INIT)] == [
        "ramdisk 0",
        "ramdisk 1",
    ]
    assert {place.name for place in places(found, INIT)} == {None}


def test_a_packed_ramdisk_is_looked_into() -> None:
    packed = gzip.compress(ramdisk([images.file("tool", TOOL)]))
    found = look(images.image(INIT, packed), TOOL)
    assert places(found, TOOL) == [Place("ramdisk 1", b"tool", len(TOOL))]


def test_what_cannot_be_read_is_told() -> None:
    found = look(images.image(INIT, b"\x28\xb5\x2f\xfd" + TOOL), TOOL)
    [(section, rest)] = found.unread
    assert section == "ramdisk 1"
    assert isinstance(rest, Unread)
    assert "zstd" in rest.why
    assert found.hits == {}


def test_copies_are_counted_and_not_all_told() -> None:
    app = ramdisk(images.file(f"copy{number}", TOOL) for number in range(40))
    found = look(images.image(INIT, app), TOOL)
    [hit] = found.hits.values()
    assert (hit.count, len(hit.places)) == (40, MOST_PLACES)


def test_places_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile image has many files with long names, and its maker released each."""
    monkeypatch.setattr("workbench.finding.PLACES_IN_ALL", 5)
    many = [b"%d" % number for number in range(9)]
    app = ramdisk(images.file(f"f{n}", data) for n, data in enumerate(many))
    found = look(images.image(INIT, app), *many)
    assert [hit.count for hit in found.hits.values()] == [1] * 9
    assert sum(len(hit.places) for hit in found.hits.values()) == 5


def test_an_empty_file_and_a_link_are_no_artifacts() -> None:
    app = ramdisk([images.file("empty"), images.file("link", TOOL, mode=0o120777)])
    assert look(images.image(INIT, app), b"", TOOL).hits == {}


def test_whoever_knows_is_asked_once_about_copies() -> None:
    asked: list[str] = []
    app = ramdisk(images.file(f"copy{number}", TOOL) for number in range(9))
    image = images.image(INIT, app)

    def wanted(digest: str) -> bool:
        asked.append(digest)
        return False

    read: list[int] = []
    find(io.BytesIO(image), eif.measure(io.BytesIO(image)), wanted, read.append)
    assert len(asked) == len(set(asked)) == 5
    assert read == sorted(read)


@pytest.mark.parametrize("cut", [1, 50])
def test_a_file_that_shrinks_meanwhile_ends_the_search(cut: int) -> None:
    image = images.image(INIT, ramdisk([images.file("tool", TOOL)]))
    measured = eif.measure(io.BytesIO(image))
    found = find(io.BytesIO(image[:-cut]), measured, lambda _digest: True)
    assert found.unread or found.files == 2
