"""Why two ramdisks differ: file by file, and in what.

Files are paired by their names (the nth of a name with the nth of it), so that one file
that was put in does not make everything after it differ. What an archive says of a file
and Linux never looks at, its inode number and device, is measured all the same.

If the files are equal and the bytes are not, the difference is in how the archive was
packed or in what could not be read; that is said too.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, TypeAlias

from pcrlog.encoding import format_time
from workbench.comparing_bytes import Difference
from workbench.eif_layout import Section
from workbench.ramdisk import Entry, Item, Unread, read
from workbench.ramdisk_bytes import Budget

ENTRIES = 250_000
"""Of a ramdisk that is compared file by file, as all are held in memory."""
_GZIP = b"\x1f\x8b"
_GZIP_DATE = slice(4, 8)
_GZIP_HEAD = 10

_Key: TypeAlias = tuple[bytes, int]
"""A name, and how many of that name came before."""


class Pair:
    """Two ramdisks that are not equal, of one place in two images."""

    def __init__(
        self,
        place: str,
        registers: tuple[str, ...],
        a: tuple[BinaryIO, Section],
        b: tuple[BinaryIO, Section],
    ) -> None:
        self._place = place
        self._registers = registers
        self._a, self._b = a, b

    def differences(self, first: int) -> Iterator[Difference]:
        """All of them; `first` is the first byte that differs."""
        (_, here), (_, there) = self._a, self._b
        yield self._one(
            "bytes",
            f"first at byte {first}",
            f"{here.size} bytes",
            f"{there.size} bytes",
        )
        ours, theirs = _items(self._a), _items(self._b)
        for entries, unread in ((ours, True), (theirs, False)):
            for item in entries:
                if isinstance(item, Unread):
                    yield self._unread(item, in_a=unread)
        a, b = _paired(ours), _paired(theirs)
        found = False
        for one in self._files(a, b):
            found = True
            yield one
        if not found:
            yield self._packing()

    def _files(
        self, a: Mapping[_Key, Entry], b: Mapping[_Key, Entry]
    ) -> Iterator[Difference]:
        for key, entry in a.items():
            if key not in b:
                yield self._one("missing", shown(entry.name), _brief(entry), "")
            else:
                for kind, ours, theirs in _compared(entry, b[key]):
                    yield self._one(kind, shown(entry.name), ours, theirs)
        for key, entry in b.items():
            if key not in a:
                yield self._one("missing", shown(entry.name), "", _brief(entry))
        yield from self._order([k for k in a if k in b], [k for k in b if k in a])

    def _order(self, a: list[_Key], b: list[_Key]) -> Iterator[Difference]:
        for number, (ours, theirs) in enumerate(zip(a, b, strict=True)):
            if ours != theirs:
                name = f"from file {number} of {len(a)} in both"
                yield self._one("order", name, shown(ours[0]), shown(theirs[0]))
                return

    def _packing(self) -> Difference:
        heads = []
        for file, section in (self._a, self._b):
            file.seek(section.offset)
            heads.append(file.read(min(_GZIP_HEAD, section.size)))
        dates = [int.from_bytes(head[_GZIP_DATE], "little") for head in heads]
        if all(head.startswith(_GZIP) for head in heads) and dates[0] != dates[1]:
            return self._one("packing", "the date in gzip's head", *map(_time, dates))
        name = "the files that could be read are equal: padding, or how it was packed"
        return self._one("packing", name, "", "")

    def _unread(self, item: Unread, *, in_a: bool) -> Difference:
        said = f"from byte {item.offset}" + (
            f" in {item.packed}" if item.packed else ""
        )
        words = f"{said}: {item.why}"
        return self._one("unread", "", *((words, "") if in_a else ("", words)))

    def _one(self, kind: str, name: str, a: str, b: str) -> Difference:
        return Difference(self._place, self._registers, kind, name, a, b)


def shown(name: bytes) -> str:
    """A name as people can read it: escaped where it is not printable ASCII."""
    text = name.decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _items(ramdisk: tuple[BinaryIO, Section]) -> list[Item]:
    file, section = ramdisk
    file.seek(section.offset)
    return list(read(file, section.size, Budget(entries=ENTRIES)))


def _paired(items: Iterable[Item]) -> dict[_Key, Entry]:
    seen: dict[bytes, int] = {}
    found = {}
    for item in items:
        if isinstance(item, Entry):
            count = seen.get(item.name, 0)
            seen[item.name] = count + 1
            found[item.name, count] = item
    return found


def _compared(a: Entry, b: Entry) -> Iterator[tuple[str, str, str]]:
    """Kind, and what it is in each."""
    told = (
        ("content", _content(a), _content(b)),
        ("mode", _mode(a), _mode(b)),
        ("time", _time(a.mtime), _time(b.mtime)),
        ("owner", f"{a.uid}:{a.gid}", f"{b.uid}:{b.gid}"),
        ("device", _pair(a.rdev), _pair(b.rdev)),
        ("number", _number(a), _number(b)),
        ("packing", _packed(a), _packed(b)),
    )
    yield from (one for one in told if one[1] != one[2])


def _content(entry: Entry) -> str:
    return f"{entry.size} bytes, sha256 {entry.sha256}"


def _mode(entry: Entry) -> str:
    return f"{entry.kind} {entry.mode & 0o7777:04o}"


def _brief(entry: Entry) -> str:
    return f"{_mode(entry)}, {_content(entry)}"


def _number(entry: Entry) -> str:
    return f"inode {entry.ino}, links {entry.nlink}, device {_pair(entry.dev)}"


def _packed(entry: Entry) -> str:
    return f"archive {entry.archive}" + (f" in {entry.packed}" if entry.packed else "")


def _pair(numbers: tuple[int, int]) -> str:
    return f"{numbers[0]}:{numbers[1]}"


def _time(seconds: int) -> str:
    return format_time(seconds)
