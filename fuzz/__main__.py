"""`python -m fuzz TARGET`: hand a parser as many bytes as it can read in a while.

What is found is an input file beside the message that says why; put it into
`corpus/TARGET` with a name that tells what it is, together with the repair.
"""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")
_LARGEST = 20_480
"""Bytes of an input; what is larger is a matter of tests, not of luck."""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="which parser; none: list them")
    parser.add_argument("--seconds", type=int, default=60, help="when to stop (60)")
    parser.add_argument("--runs", type=int, default=-1, help="inputs, at most")
    parser.add_argument("--seed", type=int, default=0, help="0: another each time")
    parser.add_argument("--largest", type=int, default=_LARGEST, help="bytes of one")
    parser.add_argument("--keep", help="a folder for new inputs and what is found")
    parser.add_argument("--write-corpus", action="store_true", help="and nothing else")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 if nothing was found. With a target, atheris ends the process."""
    options = _options(arguments)
    if options.write_corpus:
        written = importlib.import_module("fuzz.seeds").write()
        sys.stdout.write(f"{written} files in {CORPUS}\n")
        return 0
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        sys.stderr.write("atheris is missing: pip install -r requirements/fuzz.txt\n")
        return 2
    with atheris.instrument_imports(include=["pcrlog", "workbench"]):
        targets = importlib.import_module("fuzz.targets").TARGETS
    if options.target not in targets:
        sys.stdout.write("\n".join([*targets, ""]))
        return 2 if options.target else 0
    keep = Path(options.keep or tempfile.mkdtemp(prefix="fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{options.target}: new inputs and findings are in {keep}\n")
    sys.stdout.flush()
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={options.seconds}",
            f"-runs={options.runs}",
            f"-seed={options.seed}",
            f"-max_len={options.largest}",
            f"-artifact_prefix={keep}/found-",
            "-timeout=10",
            "-print_final_stats=1",
            str(keep),
            str(CORPUS / options.target),
        ],
        targets[options.target],
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
