"""How fast `pcrlog mirror` copies a whole log: everything checked, the index made.

    python -m bench.mirror [ENTRIES] [URL]

The log is that of bench/monitor.py, as files in a folder, and read from there: no link
is between, so what is measured is the work. With URL, the link is: the files lie in the
folder that is printed, to be served at URL by any web server. In the same run one
thread checks signatures and does nothing else, before and after.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.monitor import _checks, write_log
from cli.mirror import mirror
from cli.mirror_answers import Mirror
from cli.mirror_files import MirrorFiles
from cli.mirror_tiles import Folder
from cli.state import State
from pcrlog import limits
from pcrlog.policy import Policy
from pcrlog.reader import lookup_path
from pcrlog.transport import Client

_PLATFORMS = '[platforms.aws-nitro]\nroots = ["builtin"]'
_NUMBER = 20_000
_MIB = 1 << 20


class Copied(NamedTuple):
    """Of `entries`: seconds for all, checks a second of one thread, and what it took.

    `again` is the seconds of a run that finds nothing new, `answer` those of a lookup
    in the mirror. `memory` is of this process and of the larger one beside it, `files`
    and `indexed` what lies on disk; all in bytes.
    """

    entries: int
    seconds: float
    checks: float
    again: float
    answer: float
    memory: tuple[int, int]
    files: int
    indexed: int

    @property
    def share(self) -> float:
        """Its rate, in parts of that of bare signature checks."""
        return self.entries / self.seconds / self.checks


def copied(number: int, url: str | None) -> Copied:
    """Copy a log of about so many entries."""
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        folder = Path(name)
        log = write_log(folder / "log", number)
        policy = Policy.parse(log.policy(products=_PLATFORMS).encode())
        if url is not None:
            input(f"serve {folder / 'log'} at {url}, then press Enter")

        def run() -> tuple[int, float]:
            began = time.perf_counter()
            done = mirror(
                lambda: Folder(folder / "log") if url is None else Client(url),
                MirrorFiles(folder / "mirror"),
                policy,
                State(str(folder / "state")),
                log.now,
                lambda _text: None,
            )
            return done.size, time.perf_counter() - began

        before = _checks()
        size, seconds = run()
        checks = (before + _checks()) / 2
        _, again = run()
        began = time.perf_counter()
        question = lookup_path("v1/identity/acme.example")
        Mirror(str(folder / "mirror"))(question, limits.BUNDLE)
        answer = time.perf_counter() - began
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        memory = [1024 * resource.getrusage(one).ru_maxrss for one in whose]
        paths = [one for one in (folder / "mirror").rglob("*") if one.is_file()]
        index = folder / "mirror" / ".pcrlog-mirror" / "index"
        return Copied(
            size,
            seconds,
            checks,
            again,
            answer,
            (memory[0], memory[1]),
            sum(one.stat().st_size for one in paths),
            index.stat().st_size,
        )


def main() -> None:
    """Print what was measured."""
    arguments = dict(enumerate(sys.argv))
    found = copied(int(arguments.get(1, _NUMBER)), arguments.get(2))
    rate = found.entries / found.seconds
    mine, beside = (round(one / _MIB) for one in found.memory)
    print(f"entries                 {found.entries:,}")
    print(f"copied and verified     {rate:,.0f} a second, {found.seconds:.1f} s")
    print(f"bare signature checks   {found.checks:,.0f} a second")
    print(f"ratio                   {found.share:.2f}")
    print(f"nothing new             {1e3 * found.again:.0f} ms")
    print(f"a lookup in the mirror  {1e3 * found.answer:.0f} ms")
    print(f"memory                  {mine} MiB, and {beside} MiB in the largest beside")
    disk, index = (one / found.entries for one in (found.files, found.indexed))
    print(f"disk, bytes an entry    {disk:,.0f}, {index:,.0f} of them the index")


if __name__ == "__main__":
    main()
