"""What a thief of the log's key would do: keep a second history, ask for signatures.

    python -m demo.second_history copy LOG OTHER         OTHER is LOG as it is now
    python -m demo.second_history ask WITNESS-URL LOG-URL

The copy names no witnesses: honest software that is given an old copy of a log asks
them, hears that they are further, and signs nothing. `ask` is what is left to a liar:
to hand his checkpoint to a witness himself. It prints what the witness says, and ends
with 0 if it cosigned.
"""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from pcrlog.checkpoint import Checkpoint
from pcrlog.exchange import Exchange
from pcrlog.limits import NOTE
from pcrlog.merkle import prove_consistency
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import FULL, Tile, node_reader
from pcrlog.transport import Client
from pcrlog.witness import ADD_CHECKPOINT, AddCheckpoint, parse_size

_CONFLICT, _OK = 409, 200
_QUORUMS = "\n[witnesses]"


def copy(log: Path, other: Path) -> None:
    """Copy a log while it runs, without its witnesses."""
    shutil.copytree(log, other, ignore=shutil.ignore_patterns("*.db*", "run"))
    (other / "run").mkdir()
    for name in ("log.db", "intake.db"):
        with (
            closing(sqlite3.connect(log / name)) as old,
            closing(sqlite3.connect(other / name)) as new,
        ):
            old.backup(new)
    settings = other / "log.toml"
    settings.write_text(settings.read_text().partition(_QUORUMS)[0] + "\n")


def ask(witness: str, log: str) -> int:
    """Ask a witness to cosign what a log shows; its answer is printed."""
    fetch, exchange = Client(log), Exchange(witness)
    note = fetch("checkpoint", NOTE)
    new = Checkpoint.parse(UnverifiedNote.parse(note).text)

    def tile(level: int, index: int) -> bytes:
        width = min(FULL, (new.size >> 8 * level) - index * FULL)
        return fetch(Tile(level, index, width).path(), 1 << 16)

    old, status = 0, _CONFLICT
    for _ in range(2):
        grown = 0 < old < new.size
        proof = prove_consistency(old, new.size, node_reader(tile)) if grown else ()
        body = bytes(AddCheckpoint(old, proof, note))
        answer = exchange.post(ADD_CHECKPOINT, body, NOTE)
        status = answer.status
        words = answer.body.decode(errors="replace").strip()
        print(f"from {old} to {new.size}: {status}: {words}")
        if status != _CONFLICT:
            break
        old = parse_size(answer.body)
    exchange.close()
    return 0 if status == _OK else 4


def main(arguments: list[str]) -> int:
    """Run; the exit status."""
    match arguments:
        case ["copy", log, other]:
            copy(Path(log), Path(other))
            return 0
        case ["ask", witness, log]:
            return ask(witness, log)
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
