"""A commit whose answer is lost: PostgreSQL has it, and nobody here knows.

A proxy on loopback hands a commit on, and cuts the connection before its answer.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from log_server.disk import DiskError, fault_of
from log_server.intake import IntakeReader, IntakeWriter, Submission
from log_server.ledger import Ledger
from log_server.postgres_engine import PostgresEngine
from log_server.progress import Progress
from log_server.sequencer import sequence
from pcrlog.encoding import sha256
from tests.support.postgres import Postgres
from tests.unit.log_server.parties import NOW, Log


@dataclass
class Proxy:
    """Between psycopg and the server; `cutting` is set: the next commit is cut."""

    server: str
    listening: socket.socket = field(default_factory=socket.socket)
    cutting: threading.Event = field(default_factory=threading.Event)
    cut: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    def start(self) -> None:
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen()
        self._run(self._accept)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type] # of ours
        thread.start()
        self.threads.append(thread)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.server)
                self.open += [client, server]
                self._run(self._hand_on, client, server)

    def _hand_on(self, client: socket.socket, server: socket.socket) -> None:
        self._run(self._answer, server, client)
        with suppress(OSError):
            while data := client.recv(65_536):
                if b"commit\0" in data and self.cutting.is_set():
                    self.cut.set()
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if self.cut.is_set():
                    # It has committed: this was its answer.
                    self.cutting.clear()
                    self.cut.clear()
                    for one in (client, server):
                        one.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        for one in [self.listening, *self.open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture(params=["postgresql"])
def database(postgres: Postgres) -> str:
    return postgres.schema()


@pytest.fixture
def proxy(log: Log) -> Iterator[Proxy]:
    [folder] = parse_qs(urlsplit(str(log.config.settings.database)).query)["host"]
    proxy = Proxy(str(Path(folder) / ".s.PGSQL.5432"))
    proxy.start()
    yield proxy
    proxy.close()


@pytest.fixture
def engine(log: Log, proxy: Proxy) -> Iterator[PostgresEngine]:
    url = urlsplit(str(log.config.settings.database))
    [options] = parse_qs(url.query)["options"]
    port = proxy.listening.getsockname()[1]
    options = options.replace("=", "%3D")
    engine = PostgresEngine(
        f"postgresql://{url.username}@127.0.0.1:{port}{url.path}?options={options}"
    )
    yield engine
    engine.close()


@contextmanager
def losing_an_answer(proxy: Proxy) -> Iterator[None]:
    proxy.cutting.set()
    with pytest.raises(psycopg.OperationalError) as lost:
        yield
    assert isinstance(fault_of(lost.value), DiskError)
    assert not proxy.cutting.is_set()


def submission(text: str) -> Submission:
    return Submission(text.encode(), sha256(text.encode()), False, 0)  # noqa: FBT003 - a row


def test_of_a_row_nobody_was_promised_anything_and_it_is_found(
    engine: PostgresEngine, proxy: Proxy
) -> None:
    writer, reader = IntakeWriter(engine, lambda: 0, lambda: None), IntakeReader(engine)
    before = reader.after(0, 9)
    with losing_an_answer(proxy):
        writer.put(submission("one"))
    [found] = reader.after(before[-1].id if before else 0, 9)
    assert found.envelope == b"one"
    assert reader.find(sha256(b"one"), 0, 0) == found.id, "who comes again waits for it"
    assert writer.put(submission("two")) > found.id
    writer.close()
    reader.close()


def test_a_batch_stands_and_is_published_by_the_next_start(
    log: Log, engine: PostgresEngine, proxy: Proxy
) -> None:
    ledger = Ledger(engine, log.config.vkey())
    progress = Progress.load(ledger.snapshot())
    batch = sequence(ledger.snapshot(), progress, (), NOW + 1, idle_seal=True)
    with losing_an_answer(proxy):
        ledger.append(batch, b"one\n")
    assert not ledger.database.alive, "it writes nothing any more"
    ledger.close()
    again = Ledger(engine, log.config.vkey())
    assert again.snapshot().size == batch.first + 1
    with pytest.raises(RuntimeError, match="somebody else writes it"):
        again.append(batch, b"one\n")
    again.close()
