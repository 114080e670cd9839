"""A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket.

Debian installs the programs in a folder of their version, outside PATH. The server does
not run as root: as root it is started as whoever owns Debian's (`postgres`), or nobody.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

_PROGRAMS = Path("/usr/lib/postgresql")
_START_SECONDS = 30
_USER = "pcrlog"


def programs() -> Path | None:
    """Where the newest server's programs are; None: there is none."""
    found = [path for path in _PROGRAMS.glob("*/bin") if (path / "initdb").exists()]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    named = shutil.which("initdb")
    return None if named is None else Path(named).parent


def absent() -> str:
    """Why there is no server to be had here; empty if there is one."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    return ""


def _account() -> pwd.struct_passwd | None:
    """As whom the server runs; None: as whoever runs this."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    message = "neither postgres nor nobody is an account here"
    raise LookupError(message)


class Postgres:
    """A running server; each `database()` is a new one."""

    def __init__(self, folder: Path, *, durable: bool, **options: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._durable = durable
        self._options = options
        self._account = _account()
        self._numbers = count(1)
        self._schemas = False
        self._process: subprocess.Popen[bytes] | None = None
        found = programs()
        if found is None:
            raise LookupError(absent())
        self._programs = found
        if self._account is not None:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        sync = () if durable else ("--no-sync",)
        self._run(
            *("initdb", "-D", self.data, "-U", _USER, "-A", "trust", "-E", "UTF8"),
            *sync,
        )

    def _as_account(self) -> dict[str, object]:
        if self._account is None:
            return {}
        return {
            "user": self._account.pw_uid,
            "group": self._account.pw_gid,
            "extra_groups": [],
        }

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, arguments)],
            cwd=self.folder,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=False,
            timeout=_START_SECONDS,
            **self._as_account(),  # type: ignore[call-overload] # of subprocess's own
        )
        if done.returncode != 0:
            message = f"{program}: {done.stdout.decode()}{done.stderr.decode()}"
            raise RuntimeError(message)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "shared_buffers": "32MB",
            **({} if self._durable else {"fsync": "off", "full_page_writes": "off"}),
            **self._options,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *words],
                cwd=self.folder,
                env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_account(),  # type: ignore[call-overload] # as above
            )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                text = (self.folder / "server.log").read_text("utf-8")
                message = f"PostgreSQL does not start: {text[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def _answers(self) -> bool:
        ready = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", self.folder, "-d", "postgres"],
            check=False,
            timeout=_START_SECONDS,
        )
        return ready.returncode == 0

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: by SIGINT quickly and in order, by SIGQUIT as in a crash."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def database(self) -> str:
        """The URI of a new, empty database."""
        name = f"log{next(self._numbers)}"
        self._run("createdb", "-h", self.folder, "-U", _USER, name)
        return self.url(name)

    def schema(self) -> str:
        """The URI of a new, empty schema in a database of many: made at once."""
        if not self._schemas:
            self._run("createdb", "-h", self.folder, "-U", _USER, "schemas")
            self._schemas = True
        name, url = f"log{next(self._numbers)}", self.url("schemas")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create schema {name}".encode())
        return f"{url}&options=-csearch_path%3D{name}"

    def execute(self, sql: str) -> None:
        """Run a statement, outside any transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.encode())

    def url(self, name: str) -> str:
        """The URI of a database."""
        return f"postgresql://{_USER}@/{name}?host={self.folder}"


@contextmanager
def running(*, durable: bool = True, **options: str) -> Iterator[Postgres]:
    """A server that ends with the block.

    Args:
        durable: commits are on disk; whoever does not lose power may waive it.
        options: other settings of the server.
    """
    # Not below the folder of the tests, which others may not enter, and whose path may
    # be too long for a socket's.
    with tempfile.TemporaryDirectory(prefix="pcrlog-pg-") as folder:
        server = Postgres(Path(folder), durable=durable, **options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
