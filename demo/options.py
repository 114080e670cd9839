"""How the demo is run: whether it stays at its end, and where it plays.

make demo                           stays on a terminal, ends elsewhere
make demo ARGS=--stay               serves the page that it shows, until Ctrl-C
make demo ARGS=--no-stay            ends, on a terminal too
make demo ARGS='--keep FOLDER'      leaves all its files; then, to see the page again:
make serve DIR=FOLDER/log
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`stay`: until Ctrl-C; `keep`: the folder to play in, else one that goes."""

    stay: bool
    keep: Path | None


def read(arguments: Sequence[str] | None) -> Options:
    """The options of a command line; ends the program if it has others."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--stay",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty() and sys.stdout.isatty(),
        help="serve the page until Ctrl-C",
    )
    parser.add_argument("--keep", type=_new, metavar="FOLDER", help="leave all files")
    return Options(**vars(parser.parse_args(arguments)))


def _new(text: str) -> Path:
    path = Path(text)
    if path.exists():
        message = f"expected a folder that is not there yet, found {text}: name another"
        raise argparse.ArgumentTypeError(message)
    return path


@contextmanager
def folder_of(options: Options) -> Iterator[Path]:
    """Where the demo plays; it is there afterwards only if it is to be kept."""
    if options.keep is not None:
        options.keep.mkdir(parents=True)
        yield options.keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="pcrlog-demo-") as folder:
        yield Path(folder)
