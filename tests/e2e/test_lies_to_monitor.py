"""A log that lies to a monitor: each lie arrives where somebody reads it.

The monitor is the real process, the log speaks real HTTP, the sinks are an SMTP server
and a webhook receiver. First the log is honest, and a round comes out clean; then it
lies, and the alert has to be at both sinks within ten seconds. Where the lie leaves
evidence, the file verifies offline, with the log's key alone.

Most of the time goes by in waiting, so some monitors run at once. The seconds of the
table in docs/monitoring.md are written with PCRLOG_WRITE_DOCS=1.
"""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.documents import MONITORING, WRITE, write
from tests.support.happenings import HAPPENINGS, Happening, World, prepare
from tests.support.lies import LIES, Lie, honest
from tests.support.log_simulator import LogSimulator
from tests.support.provoked import HEAD, PROVOKED
from tests.support.scene import PRODUCT, document
from tests.support.watching import Told, Watching, verify_evidence

pytestmark = pytest.mark.e2e

AT_ONCE = 3
STALE = "8s"
"""A max_age: a monitor speaks up at half of it."""
ALLOWED = {
    # A busy machine may take so long to begin that the log is old already.
    "stale": {"stale", "quorum-lost"},
    "frozen-and-grows": {"frozen"},
}
"""What may be told before the lie."""
MONITORED = [lie for lie in LIES if lie.alert is not None]
VIEW = """
[[view]]
name = "somebody"
url = "{url}/checkpoint"
kind = "checkpoint"
every = "200ms"
"""


def now() -> int:
    return int(time.time())


class Outcome:
    """What came of a lie: the alert, and the evidence as a process verified it."""

    def __init__(self, told: Told, evidence: Path | None, vkey: str) -> None:
        self.told = told
        self.kind: str | None = None
        self.verified = 0
        self.words = ""
        if evidence is not None:
            self.kind = json.loads(evidence.read_bytes())["kind"]
            ran = verify_evidence(evidence, vkey)
            self.verified, self.words = ran.returncode, ran.stdout + ran.stderr


def tell(lie: Lie, folder: Path) -> Outcome:
    """Be honest until a round was clean, lie, and wait for the alert."""
    assert lie.alert is not None
    with LogSimulator(honest(now())) as simulator:
        vkey = str(simulator.log.signer.public)
        watching = Watching(
            folder,
            simulator,
            log={"max_age": STALE} if lie.alert == "stale" else {},
            tables=VIEW.format(url=simulator.elsewhere) if lie.elsewhere else "",
            impatient=lie.patience,
        )
        with watching:
            watching.wait_until_it_looked()
            since = time.time()
            if lie.alert == "stale" or lie.frozen:
                publish(simulator, frozen=lie.frozen)
                watching.wait_until_it_looked(2)
            known = len(watching.hook.taken)
            kinds = {one.alert["kind"] for one in watching.hook.taken}
            assert kinds <= ALLOWED.get(lie.name, set()), watching.hook.taken
            assert ": clean: " in watching.errors, watching.errors
            if lie.alert != "stale":
                since = time.time()
            with simulator.change() as log:
                log.now = now()
            lie.tell(simulator)
            told = watching.hear(lie.alert, since=since, known=known)
            return Outcome(told, watching.evidence(told), vkey)


def publish(simulator: LogSimulator, *, frozen: bool) -> None:
    """Publish a seal of now."""
    with simulator.change() as log:
        log.now = now()
        log.seal(frozen=frozen)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """The lies that were asked for, told some at once."""
    wanted = [
        item.callspec.params.get("lie")
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            lie.name: pool.submit(tell, lie, tmp_path_factory.mktemp(lie.name))
            for lie in MONITORED
            if lie in wanted or WRITE
        }


@pytest.mark.parametrize("lie", MONITORED, ids=str)
def test_a_lie_arrives_at_both_sinks(
    outcomes: dict[str, Future[Outcome]], lie: Lie
) -> None:
    outcome = outcomes[lie.name].result()
    assert outcome.told.alert["kind"] == lie.alert
    assert outcome.kind == lie.evidence
    assert outcome.verified == 0, outcome.words


# --- is it my business? ---------------------------------------------------------------


class _Enclave(http.server.BaseHTTPRequestHandler):
    world: World

    def do_GET(self) -> None:
        if not self.world.answers:
            self.close_connection = True
            return
        nonce = bytes.fromhex(parse_qs(urlsplit(self.path).query)["nonce"][0])
        body = document(self.world.running, time=now(), nonce=nonce)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def enclave(world: World) -> Iterator[str]:
    """An enclave that shows what it runs; its URL."""
    handler = type("Enclave", (_Enclave,), {"world": world})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/attestation"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told | str]:
    """All that happens, one after another in one log; what was told, or why not."""
    told: dict[str, Told | str] = {}
    log = honest(now())
    prepare(log)
    folder = tmp_path_factory.mktemp("business")
    world = World(log, folder / "expected")
    with LogSimulator(log) as simulator, enclave(world) as url:
        watch = (
            'expected = ["expected/"]\nstatements = []\n'
            'unaudited_after = "1s"\nexpiring_within = "7d"'
        )
        live = f'[[live]]\nproduct = "{PRODUCT}"\nurl = "{url}"\nevery = "500ms"\n'
        with Watching(
            folder, simulator, watch=watch, tables=live, impatient=True
        ) as watching:
            watching.wait_until_it_looked(2)
            for one in HAPPENINGS:
                known, since = len(watching.hook.taken), time.time()
                with simulator.change():
                    log.now = now()
                    entry = one.tell(world)
                    if entry is not None:
                        log.seal()
                try:
                    told[one.alert] = watching.hear(
                        one.alert, since=since, entry=entry, known=known
                    )
                except AssertionError as error:
                    told[one.alert] = str(error)
    return told


@pytest.mark.parametrize("happening", HAPPENINGS, ids=str)
def test_what_concerns_us_arrives_at_both_sinks(
    happened: dict[str, Told | str], happening: Happening
) -> None:
    told = happened[happening.alert]
    assert isinstance(told, Told), told
    assert told.alert["why"]
    assert told.alert["do"]


# --- the table ------------------------------------------------------------------------


@pytest.mark.skipif(not WRITE, reason="PCRLOG_WRITE_DOCS=1 writes the table")
def test_the_seconds_are_written_down(
    outcomes: dict[str, Future[Outcome]], happened: dict[str, Told | str]
) -> None:
    seconds = {name: one.result().told.seconds for name, one in outcomes.items()}
    for name, told in happened.items():
        assert isinstance(told, Told), told
        seconds[name] = told.seconds
    rows = [
        (row.kind, row.how, f"{seconds[row.name]:.1f}", row.left) for row in PROVOKED
    ]
    write(MONITORING, "lies", HEAD, rows)
