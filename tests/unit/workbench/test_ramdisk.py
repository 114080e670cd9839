"""A ramdisk's files are found as they were put in; nothing is left out in silence."""

import bz2
import gzip
import hashlib
import lzma
from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import File, file, ramdisk
from workbench import ramdisk_bytes
from workbench.ramdisk import MOST_NAME, Entry, Item, Unread, is_ramdisk, read
from workbench.ramdisk_bytes import Budget

Pack = Callable[[bytes], bytes]

PACKERS: dict[str, Pack] = {"": bytes, "gzip": gzip.compress, "xz": lzma.compress}
FILES = [
    file("etc", mode=0o40755, mtime=7, nlink=2),
    file("etc/host", b"enclave\n", uid=1, gid=2, mtime=1_795_417_200, ino=9),
    file("bin/sh", b"busybox", mode=0o120777),
    file("dev/null", mode=0o20666),
    file("empty"),
]
NUMBER = st.integers(0, 2**32 - 1)
NAME = st.binary(min_size=1, max_size=30).filter(
    lambda name: b"\0" not in name and name != b"TRAILER!!!"
)
ANY = st.builds(
    File,
    name=NAME,
    data=st.binary(max_size=50),
    mode=NUMBER,
    uid=NUMBER,
    gid=NUMBER,
    mtime=NUMBER,
    ino=NUMBER,
    nlink=NUMBER,
)


def items(data: bytes, budget: Budget | None = None) -> list[Item]:
    return list(read(BytesIO(data), len(data), budget))


def seen(items: list[Item]) -> list[tuple[object, ...]]:
    """What the entries say, to be held against what was put in."""
    assert all(isinstance(one, Entry) for one in items), items
    return [
        (e.name, e.mode, e.uid, e.gid, e.mtime, e.ino, e.nlink, e.size, e.sha256)
        for e in items
        if isinstance(e, Entry)
    ]


def put(files: list[File]) -> list[tuple[object, ...]]:
    return [
        (
            f.name,
            f.mode,
            f.uid,
            f.gid,
            f.mtime,
            f.ino,
            f.nlink,
            len(f.data),
            hashlib.sha256(f.data).hexdigest(),
        )
        for f in files
    ]


@pytest.mark.parametrize("packer", PACKERS)
def test_files_are_found_in_their_order(packer: str) -> None:
    found = items(PACKERS[packer](ramdisk(FILES)))
    assert seen(found) == put(FILES)
    assert {one.packed for one in found} == {packer}


def test_what_an_entry_is_is_told_in_a_word() -> None:
    found = [one.kind for one in items(ramdisk(FILES)) if isinstance(one, Entry)]
    assert found == ["directory", "file", "symlink", "character device", "file"]


@given(st.lists(ANY, max_size=5))
def test_any_files_are_read_as_they_were_put_in(files: list[File]) -> None:
    assert seen(items(ramdisk(files))) == put(files)


@given(
    st.lists(
        st.tuples(st.lists(ANY, max_size=2), st.sampled_from([*PACKERS])),
        max_size=4,
    )
)
def test_archives_stand_one_after_the_other_packed_or_not(
    archives: list[tuple[list[File], str]],
) -> None:
    data = b""
    for files, packer in archives:
        data += bytes(-len(data) % 4) + PACKERS[packer](ramdisk(files))
    assert seen(items(data)) == put([one for files, _ in archives for one in files])


@given(
    st.lists(ANY, min_size=1, max_size=3),
    st.sampled_from([*PACKERS]),
    st.data(),
)
def test_spoilt_ramdisks_are_read_or_said_to_be_unread(
    files: list[File], packer: str, data: st.DataObject
) -> None:
    good = PACKERS[packer](ramdisk(files))
    at = data.draw(st.integers(0, len(good) - 1))
    change = data.draw(st.integers(1, 255))
    found = items(good[:at] + bytes([good[at] ^ change]) + good[at + 1 :])
    assert all(isinstance(one, Entry | Unread) for one in found)
    assert sum(isinstance(one, Unread) for one in found) <= 1


@given(st.binary(max_size=300))
def test_no_bytes_do_any_harm(data: bytes) -> None:
    for begin in (b"", b"070701", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0"):
        found = items(begin + data)
        assert sum(isinstance(one, Unread) for one in found) <= 1


@pytest.mark.parametrize("packer", PACKERS)
def test_a_ramdisk_that_is_cut_short_is_said_to_be(packer: str) -> None:
    good = PACKERS[packer](ramdisk(FILES))
    for size in range(1, len(good) - 3):  # the trailer is padded
        *_, last = items(good[:size])
        assert isinstance(last, Unread)


OPAQUE = {
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x02\x21\x4c\x18",
    "bzip2": bz2.compress(b"x"),
    "lzma": lzma.compress(b"x", lzma.FORMAT_ALONE),
    "lzo": b"\x89LZO\0",
}


@pytest.mark.parametrize("packer", OPAQUE)
def test_what_is_not_unpacked_is_said_to_be_opaque(packer: str) -> None:
    plain = ramdisk(FILES)
    found = items(plain + OPAQUE[packer] + plain)
    assert seen(found[:-1]) == put(FILES)
    assert found[-1] == Unread(len(plain), "", f"{packer}, which is not unpacked here")


WRONG = {
    "no archive": (b"hello", "an archive or a known packer"),
    "an old form": (b"070707" + bytes(70), "an archive or a known packer"),
    "an archive out of step": (ramdisk([]) + b"\0\0" + ramdisk([]), "multiple of four"),
    "no hex": (b"070701" + b"g" * 104, "an entry of newc"),
    "a sign": (b"070701" + b"+0000001" * 13, "an entry of newc"),
    "no name": (b"070701" + b"0" * 104, "a name of 1 to 4096"),
    "a long name": (ramdisk([file("a" * MOST_NAME)]), "a name of 1 to 4096"),
    "a NUL in a name": (ramdisk([file("a\0b")]), "its only NUL"),
    "a huge file": (
        file("a", b"x").encode().replace(b"00000001" + b"0" * 32, b"f" * 8 + b"0" * 32),
        "bytes more of an entry's data",
    ),
    "padding": (ramdisk([file("a", b"x")]).replace(b"x\0\0\0", b"x\0\1\0"), "zeros"),
    "a sum": (
        ramdisk([File(b"a", b"xy", magic=b"070702", check=5)]),
        "expected data of sum 0x5, found 0xf1",
    ),
    "gzip in gzip": (gzip.compress(gzip.compress(ramdisk([]))), "a known packer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_archive_is_unread_with_its_reason(case: str) -> None:
    data, why = WRONG[case]
    *_, last = items(data)
    assert isinstance(last, Unread)
    assert why in last.why


def test_the_form_with_sums_is_read() -> None:
    files = [File(b"a", b"xy", magic=b"070702", check=ord("x") + ord("y"))]
    assert seen(items(ramdisk(files))) == put(files)


@pytest.mark.parametrize("packer", ["gzip", "xz"])
def test_a_bomb_ends_at_the_budget(packer: str) -> None:
    bomb = PACKERS[packer](ramdisk([file("zeros", bytes(3_000_000))]))
    budget = Budget(bytes=1_000_000)
    [found] = items(bomb, budget)
    assert isinstance(found, Unread)
    assert found.why == "it unpacks to more than any ramdisk"
    assert budget.bytes > -2 * ramdisk_bytes.CHUNK


def test_too_many_entries_end_at_the_budget() -> None:
    found = items(ramdisk(FILES), Budget(entries=2))
    assert [type(one) for one in found] == [Entry, Entry, Unread]


def test_a_large_file_is_never_held_whole() -> None:
    asked = []

    class Counting(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size)
            return super().read(size)

    data = ramdisk([file("large", bytes(2_000_000)), *FILES])
    found = list(read(Counting(data), len(data)))
    assert len(found) == 1 + len(FILES)
    assert max(size or 0 for size in asked) <= ramdisk_bytes.CHUNK


def test_only_the_ramdisks_own_bytes_are_read() -> None:
    data = ramdisk(FILES)
    file = BytesIO(data + b"whatever comes next")
    assert len(list(read(file, len(data)))) == len(FILES)
    assert file.tell() == len(data)


def test_what_linux_unpacks_is_told_from_what_it_does_not() -> None:
    assert is_ramdisk(ramdisk(FILES))
    assert is_ramdisk(gzip.compress(b""))
    assert is_ramdisk(OPAQUE["zstd"])
    assert not is_ramdisk(b"etc/host\0" + bytes(503))
    assert not is_ramdisk(b"")
