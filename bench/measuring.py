"""How fast images are measured: `python -m bench.measuring [--size 2000] [--cores 1]`.

Makes an image of the given size in a temporary folder (most of it the second ramdisk,
as in images of nitro-cli, which goes into two registers), and measures it in a process
of its own: seconds, and the largest memory. Beside it, in the same run, a process that
reads the same file and does nothing but one SHA-384. Prints the ratio. Exit status 1 if
it needs 100 MB or more.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from statistics import median
from struct import pack

MEMORY = 100 << 20
_MIB = 1 << 20
_OURS = """
from workbench.eif import measure
with open({path!r}, "rb") as file:
    begin = time.perf_counter()
    found = measure(file).registers["PCR0"]
"""
_BARE = """
import hashlib
with open({path!r}, "rb") as file:
    begin = time.perf_counter()
    found = hashlib.file_digest(file, "sha384").hexdigest()
"""
_AROUND = """
import time
{body}
print(time.perf_counter() - begin)
"""
_METADATA = (
    b'{"ImageName":"","ImageVersion":"","BuildMetadata":{"BuildTime":"","BuildTool":'
    b'"","BuildToolVersion":"","OperatingSystem":"","KernelVersion":""},'
    b'"DockerInfo":null,"CustomMetadata":null}'
)


def make(path: Path, size: int, ramdisks: int) -> None:
    """Write an image of about `size` bytes; the last ramdisk has almost all of them."""
    small = [os.urandom(8 * _MIB), b"reboot=k", _METADATA]
    small += [os.urandom(_MIB)] * (ramdisks - 1)
    kinds = [1, 2, 5, *[3] * ramdisks]
    block = os.urandom(_MIB)
    blocks = max(1, (size - sum(map(len, small))) // _MIB)
    sizes = [*map(len, small), blocks * _MIB]
    at, offsets = 548, []
    for one in sizes:
        offsets.append(at)
        at += 12 + one
    zeros = [0] * (32 - len(kinds))
    tables = [*offsets, *zeros, *sizes, *zeros]
    head = pack(">4sHHQQHH64QI", b".eif", 4, 0, 0, 0, 0, len(kinds), *tables, 0)
    crc = zlib.crc32(head)
    with path.open("wb") as file:

        def put(data: bytes) -> None:
            nonlocal crc
            crc = zlib.crc32(data, crc)
            file.write(data)

        file.write(head + bytes(4))
        for kind, one, data in zip(kinds, sizes, [*small, b""], strict=True):
            put(pack(">HHQ", kind, 0, one) + data)
        for _ in range(blocks):
            put(block)
        file.seek(544)
        file.write(pack(">I", crc))


def timed(body: str, path: Path, cores: int) -> tuple[float, int]:
    """Seconds of a program over a file, and the most bytes that it held."""
    program = _AROUND.format(body=body.format(path=str(path)))
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),  # noqa: PLW1509 - no threads here
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return float(said), usage.ru_maxrss * 1024


def main() -> int:
    """Measure; 0 if memory is as asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.measuring")
    parser.add_argument("--size", type=int, default=2000, help="MB")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--ramdisks", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.eif"
        make(path, options.size * 1_000_000, options.ramdisks)
        ours, bare = [], []
        for _ in range(options.times):  # in turn: a busy moment strikes both
            ours.append(timed(_OURS, path, options.cores))
            bare.append(timed(_BARE, path, options.cores))
        size = path.stat().st_size
    seconds, alone = (median(s for s, _ in runs) for runs in (ours, bare))
    memory, floor = (max(m for _, m in runs) for runs in (ours, bare))
    print(
        f"{size / 1e6:,.0f} MB, {options.ramdisks} ramdisks, {options.cores} cores,"
        f" load {os.getloadavg()[0]:.1f}: {seconds:.2f} s,"
        f" {size / 1e6 / seconds:,.0f} MB/s; one SHA-384 alone {alone:.2f} s,"
        f" {size / 1e6 / alone:,.0f} MB/s: ratio {seconds / alone:.2f}"
    )
    print(
        f"largest memory {memory / 1e6:.0f} MB; of the bare one {floor / 1e6:.0f} MB:"
        f" asked under 100 MB: {'met' if memory < MEMORY else 'NOT MET'}"
    )
    return 0 if memory < MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
