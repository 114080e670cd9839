"""Packs a folder into an Enclave Image File: a stand-in for `nitro-cli build-enclave`.

It is there so that docs/tutorial.md can be followed on any machine. The form is the
real one, and `pcrlog measure` reads it like any other; what lies in it is not:

- The kernel and the init are a line of text each, so no machine can boot it.
  nitro-cli brings AWS's own.
- The application is a folder, where nitro-cli takes a Docker image.
- Nothing is packed with gzip, and nothing is signed.

What it does with the folder is what such tools do. The names are sorted; the owner is
0:0 whoever runs this; modes and dates are those of the files, and they are measured.

    python3 build_image.py --files root --name wallet --version 1.0.0 -o wallet.eif

The kernel, the command line, the init and the folder go into PCR0 to PCR2. The name,
the version and the time of the build do not. Python's own library is all it needs.
"""

import argparse
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_KERNEL, _CMDLINE, _RAMDISK, _METADATA = 1, 2, 3, 5
_HEADER = struct.Struct(">4sHHQQHH32Q32QII")
_HEAD = struct.Struct(">HHQ")
_SECTIONS = 32
_VERSION, _X86_64, _MEMORY, _CPUS = 4, 0, 512 << 20, 2
_FILE = 0o100755


def entry(name: str, data: bytes, mode: int, mtime: int, number: int) -> bytes:
    """One file, folder or link of a cpio archive, in the form "newc"."""
    path = name.encode() + b"\0"
    numbers = (number, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % one for one in numbers)
    return aligned(head + path) + aligned(data)


def aligned(data: bytes) -> bytes:
    """With zeros, up to a multiple of four."""
    return data + bytes(-len(data) % 4)


def archive(entries: Iterator[tuple[str, bytes, int, int]]) -> bytes:
    """A ramdisk of these: name, data, mode and date."""
    packed = [entry(*one, number) for number, one in enumerate(entries, 1)]
    return b"".join([*packed, entry("TRAILER!!!", b"", 0, 0, 0)])


def tree(root: Path) -> Iterator[tuple[str, bytes, int, int]]:
    """All that is in a folder, sorted by name, with the dates that it has there."""
    for path in sorted(root.rglob("*"), key=lambda one: one.as_posix().encode()):
        found = path.lstat()
        data = b""
        if path.is_symlink():
            data = str(path.readlink()).encode()
        elif path.is_file():
            data = path.read_bytes()
        elif not path.is_dir():
            message = f"{path}: expected a file, a folder or a link"
            raise SystemExit(message)
        yield (
            path.relative_to(root).as_posix(),
            data,
            found.st_mode,
            int(found.st_mtime),
        )


def metadata(name: str, version: str) -> bytes:
    """What nitro-cli writes there, and nobody measures."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    built = {
        "BuildTime": now,
        "BuildTool": "build_image.py",
        "BuildToolVersion": "1",
        "OperatingSystem": "none",
        "KernelVersion": "none",
    }
    value = {
        "ImageName": name,
        "ImageVersion": version,
        "BuildMetadata": built,
        "DockerInfo": {},
        "CustomMetadata": {},
    }
    return json.dumps(value).encode()


def image(sections: list[tuple[int, bytes]]) -> bytes:
    """An Enclave Image File of these sections: kind and data."""
    offsets, sizes, at = [0] * _SECTIONS, [0] * _SECTIONS, _HEADER.size
    body = b""
    for number, (kind, data) in enumerate(sections):
        offsets[number], sizes[number] = at, len(data)
        body += _HEAD.pack(kind, 0, len(data)) + data
        at += _HEAD.size + len(data)
    told = (b".eif", _VERSION, _X86_64, _MEMORY, _CPUS, 0, len(sections))
    header = _HEADER.pack(*told, *offsets, *sizes, 0, 0)[:-4]
    return header + struct.pack(">I", zlib.crc32(header + body)) + body


def main() -> None:
    """Pack it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=Path, required=True, help="the application")
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("-o", "--output-file", type=Path, required=True)
    options = parser.parse_args()
    if not options.files.is_dir():
        sys.exit(f"{options.files}: expected a folder")
    init = archive(iter([("init", b"an init that starts nothing\n", _FILE, 0)]))
    made = image(
        [
            (_KERNEL, b"a kernel that boots nothing\n"),
            (_CMDLINE, b"reboot=k panic=30 pci=off nomodules console=ttyS0"),
            (_METADATA, metadata(options.name, options.version)),
            (_RAMDISK, init),
            (_RAMDISK, archive(tree(options.files))),
        ]
    )
    options.output_file.write_bytes(made)


if __name__ == "__main__":
    main()
