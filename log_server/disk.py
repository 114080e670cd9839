"""Faults of the disk, told apart from mistakes, and from each other.

    does not take what is written,   full, read-only, over quota, EIO, or a database
    or give what is read             server that is away: nothing was half done, and it
                                     may be right again a moment later
    gives something else             a damaged database: no second try makes it right

Of the first kind a server heals by itself: whoever submits is told to come again, and
the sequencer is started again until it works. A sync that failed may have lost what the
system still shows, so a sequencer that comes back writes the database anew (`direct`)
before it signs. After the second kind nothing is signed until somebody has looked.

>>> import errno
>>> str(fault_of(OSError(errno.ENOSPC, "No space left on device", "log/public/.x.new")))
'the disk is full: log/public/.x.new: No space left on device'
>>> fault_of(ValueError("a mistake")) is None
True
"""

import errno
import sqlite3
import sys
import threading
from collections.abc import Callable
from types import ModuleType

from pcrlog.encoding import printable
from pcrlog.errors import UncheckedError

_REMEMBERED = 60
"""Seconds for which a failed request counts: nobody may ask again to show it healed."""
_PRIMARY = 0xFF
"""The bits of an SQLite error code that say of what kind it is."""
_FULL = "the disk is full"
_READ_ONLY = "the disk cannot be written"
_BROKEN = "the disk fails"
_LOCKED = "a database is locked by somebody else"
_DAMAGED = "a database is damaged: stop, run `pcrlog-server fsck`, then see Drills in"
_DAMAGED += " docs/operations.md"

_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EIO: _BROKEN,
}
_BY_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _BROKEN,
    sqlite3.SQLITE_BUSY: _LOCKED,
}
_AWAY = "the database cannot be reached"
_BY_SQLSTATE = {
    "53100": _FULL,
    "25006": _READ_ONLY,
    "58030": _BROKEN,
    "25P03": _AWAY,  # it was idle in a transaction: this process stood still
    "55P03": _AWAY,  # a lock was not to be had in time
    "57014": _AWAY,  # a statement was cancelled
}
_BY_SQLSTATE_CLASS = {
    "08": _AWAY,
    "40": _AWAY,  # a standby of the database gave way to what it follows
    "53": _AWAY,
    "57": _AWAY,
}
_POSTGRES_DAMAGED = frozenset({"XX001", "XX002", "58P01"})
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DiskError(UncheckedError):
    """The disk does not take what is written, or give what is read."""


class DamagedError(DiskError):
    """A database does not hold what was written to it."""

    exit_code = 4


def fault_of(error: BaseException) -> DiskError | None:
    """What an error says of the disk; None if it is of another kind."""
    if isinstance(error, DiskError):
        return error
    if isinstance(error, sqlite3.Error):
        return _fault_of_sqlite(error)
    # Whoever has not imported it has not met its errors.
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        return _fault_of_postgres(error, psycopg)
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        where = "" if error.filename is None else f"{error.filename}: "
        return DiskError(f"{_BY_ERRNO[error.errno]}: {where}{error.strerror}")
    # What `store` raises for a row that must be there, and is not.
    if type(error) is LookupError:
        return DamagedError(f"{_DAMAGED} ({error})")
    return None


def _fault_of_sqlite(error: sqlite3.Error) -> DiskError | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    kind = None if code is None else code & _PRIMARY
    name = getattr(error, "sqlite_errorname", "")
    if kind in _SQLITE_DAMAGED:
        return DamagedError(f"{_DAMAGED} ({name}: {error})")
    if kind in _BY_SQLITE:
        return DiskError(f"{_BY_SQLITE[kind]}: {name}: {error}")
    return None


def _fault_of_postgres(error: Exception, psycopg: ModuleType) -> DiskError | None:
    state: str | None = getattr(error, "sqlstate", None)
    words = " ".join(str(error).split())
    if state is None:
        # Without the server's word it is the connection, or its use after it was lost.
        lost = (psycopg.OperationalError, psycopg.InterfaceError)
        return DiskError(f"{_AWAY}: {words}") if isinstance(error, lost) else None
    if state in _POSTGRES_DAMAGED:
        return DamagedError(f"{_DAMAGED} ({state}: {words})")
    kind = _BY_SQLSTATE.get(state) or _BY_SQLSTATE_CLASS.get(state[:2])
    return None if kind is None else DiskError(f"{kind}: {state}: {words}")


class Trouble:
    """What is wrong with the disk, as far as a web process knows; for any thread.

    Args:
        clock: unix seconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        # Guards the two below.
        self._lock = threading.Lock()
        self._ours = ""
        self._until = 0
        self.sequencer = ""
        """What ended the sequencer, told by `serve`; empty while it runs."""

    def note(self, fault: DiskError) -> bool:
        """Remember what a request met; whether it was not known already."""
        words, now = printable(str(fault)), self._clock()
        with self._lock:
            new = words != self._ours or now >= self._until
            self._ours, self._until = words, now + _REMEMBERED
        return new

    def heal(self) -> None:
        """A request has written what it had to."""
        with self._lock:
            self._until = 0

    def words(self) -> str:
        """What is wrong now; empty if nothing is."""
        with self._lock:
            ours = self._ours if self._clock() < self._until else ""
        return self.sequencer or ours
