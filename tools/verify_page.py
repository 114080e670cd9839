"""Make verify.html, and say its SHA-256: `python3 -m tools.verify_page -o verify.html`.

The same sources give the same bytes, on any machine (log_server/pages/assembly.py). So
whoever has the sources can tell whether a file is what they lead to: `--compare FILE`.
Nothing has to be installed: what makes the page is loaded by itself, as for the wheel.
"""

import argparse
import gzip
import runpy
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_MAKER = ROOT / "log_server/pages/assembly.py"


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 if the file to compare is another one."""
    parser = argparse.ArgumentParser(description="make verify.html")
    parser.add_argument("-o", dest="output", metavar="FILE", type=Path)
    parser.add_argument("--compare", metavar="FILE", type=Path)
    asked = parser.parse_args(arguments)
    page: bytes = runpy.run_path(str(_MAKER))["assemble"](ROOT)
    if asked.output is not None:
        asked.output.write_bytes(page)
    sys.stdout.write(f"{sha256(page).hexdigest()}  verify.html\n")
    packed = len(gzip.compress(page, mtime=0))
    sys.stdout.write(f"{len(page)} bytes, {packed} as they travel\n")
    if asked.compare is not None and asked.compare.read_bytes() != page:
        sys.stdout.write(f"{asked.compare} is another file\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
