r"""How the witnesses and index monitors are, as the sequencer tells the web process.

The two processes share no memory, and log.db is for what must last: this is one small
file, run/witnesses.json, replaced as a whole whenever there is news. It is trusted for
nothing but /healthz and /metrics; who can write it can write log.db.

>>> one = Standing("w1.example/a", "witness", 6, 1795590000, 1, 0, False, "")
>>> told = Standings(None, 0, (one,))
>>> Standings.parse(told.encode()) == told
True
"""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from pcrlog.encoding import prepare

Role = Literal["witness", "index monitor"]


class Standing(Struct):
    """One member: what it cosigned last, and what is wrong with it.

    `size` in leaves and `time` in unix seconds are those of its last cosignature, 0
    before the first one. `cosignatures` and `alarms` count since the sequencer began.
    `problem` is the last thing that went wrong, empty when it cosigned after that; an
    `alarm` is one that says that this log contradicts itself.
    """

    name: str
    role: Role
    size: int = 0
    time: int = 0
    cosignatures: int = 0
    alarms: int = 0
    alarm: bool = False
    problem: str = ""


class Standings(Struct):
    """All members; `missing_since` (unix seconds) while a quorum is missing.

    `missing_seconds` is for how long that was so before, since the sequencer began.
    """

    missing_since: int | None = None
    missing_seconds: int = 0
    members: tuple[Standing, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> "Standings":
        """What was told.

        Raises:
            ValueError: something else.
        """
        return msgspec.json.decode(data, type=cls)

    @classmethod
    def read(cls, path: Path) -> "Standings":
        """What is told in a file; nobody is there where there is none."""
        try:
            return cls.parse(path.read_bytes())
        except (OSError, ValueError):
            return cls()

    def encode(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.encode(self)

    def write(self, path: Path) -> None:
        """Replace the file. Not synced: with the machine goes what it speaks of."""
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(self.encode())
        new.replace(path)

    def missing(self, now: int) -> int:
        """Seconds for which a quorum is missing at `now`; 0 if none is."""
        return 0 if self.missing_since is None else max(0, now - self.missing_since)


prepare(Standings)
