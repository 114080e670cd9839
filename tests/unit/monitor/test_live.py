"""Probes of enclaves in use: what is a mismatch, what is silence, and once each."""

import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from monitor import config
from monitor.alerts import Alert
from monitor.live import Live
from monitor.state import State
from pcrlog import limits
from pcrlog.enclave import Attested
from pcrlog.errors import TransportError, UsageError
from pcrlog.predicates import Binding
from pcrlog.reader import Fetch
from tests.support.scene import BAD, GOOD, LAB, LENS, PRODUCT, PROVIDER, Scene, document
from tests.unit.monitor.watching import config_of, kinds

URL = "https://wallet.example/attestation"
EVERY = 300


class World:
    """A log, an enclave that runs `build`, and a monitor that asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = Scene()
        self.build: dict[str, str] | None = GOOD
        self.log_answers = True
        self.moment = 0.0
        self.nonces: list[bytes] = []
        self.binding: dict[str, bytes] | None = None
        self.product: dict[str, Any] = {}
        self.members: dict[str, Any] = {}
        self.state = State(folder / "monitor.db")
        self.live = self.start()

    def start(self) -> Live:
        live = (config.Live(PRODUCT, URL, "5m"),)
        settings = {"live": live, "product": self.product}
        self.live = Live(
            config_of(self.folder, self.scene, settings),
            self.state,
            lambda: self.scene.log.now,
            ask=self.ask,
            connect=self.connect,
            monotonic=lambda: self.moment,
        )
        return self.live

    def ask(self, url: str, nonce: bytes) -> Attested:
        assert url == URL
        self.nonces.append(nonce)
        if self.build is None:
            message = "could not ask the enclave"
            raise TransportError(message)
        now = self.scene.log.now
        made = document(self.build, time=now, nonce=nonce, **self.members)
        return Attested(made, self.binding)

    def connect(self, url: str) -> Fetch:
        assert url == f"https://{self.scene.log.origin}"
        return self.fetch

    def fetch(self, path: str, most: int, /) -> bytes:
        assert f"product={PRODUCT}" in path
        assert most == limits.BUNDLE
        if not self.log_answers:
            message = "could not ask the log"
            raise TransportError(message)
        self.scene.seal(frozen=False)
        return self.scene.log.bundle(PRODUCT, self.build or {}, LAB, LENS).encode()

    def probe(self) -> list[Alert]:
        """The next probe, when it is due, and what it comes to."""
        self.moment += EVERY
        self.scene.log.now += EVERY
        assert self.live.due(self.moment)
        found = self.live.look(self.scene.log.now)
        ends = time.monotonic() + 30
        # All but the first look leave the answer to the next one.
        while any(one.asked for one in self.live._enclaves):
            assert time.monotonic() < ends
            if self.live.due(self.moment):
                found += self.live.look(self.scene.log.now)
            else:
                time.sleep(0.001)
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


def test_an_enclave_that_verifies_is_not_told_of(world: World) -> None:
    world.scene.release()
    assert world.probe() == world.probe() == []
    assert world.live.wrong() == []
    assert world.state.facts("live") == {}


def test_live_mismatch_is_an_enclave_that_runs_what_nobody_released(
    world: World,
) -> None:
    world.scene.release()
    world.build = BAD
    [alert] = world.probe()
    assert alert.kind == "live-mismatch"
    assert f"{PRODUCT} at {URL}" in alert.about
    assert BAD["PCR0"][:20] in alert.about
    assert "REFUTED" in alert.found
    assert world.live.wrong() == ["live-mismatch"]


def test_a_mismatch_is_one_alert_as_long_as_it_lasts(world: World) -> None:
    world.build = BAD
    [first] = world.probe()
    [second] = world.probe()
    world.start()
    [third] = world.probe()
    assert first.id == second.id == third.id


def test_another_build_is_another_mismatch(world: World) -> None:
    world.build = BAD
    [first] = world.probe()
    world.build = {**BAD, "PCR0": BAD["PCR1"]}
    [second] = world.probe()
    assert first.id != second.id


def test_a_mismatch_that_ends_and_comes_again_is_told_again(world: World) -> None:
    world.scene.release()
    world.build = BAD
    [first] = world.probe()
    world.build = GOOD
    for _ in range(3):
        assert world.live.wrong() == ["live-mismatch"]
        assert world.probe() == []
    assert world.live.wrong() == []
    world.build = BAD
    [again] = world.probe()
    assert again.id != first.id


def test_a_bad_enclave_among_good_ones_is_told_once(world: World) -> None:
    world.scene.release()
    found = []
    for build in (BAD, GOOD, BAD, GOOD, GOOD, BAD):
        world.build = build
        found += world.probe()
    assert len(found) == 3
    assert len({one.id for one in found}) == 1


def test_a_release_that_is_revoked_while_it_runs_is_a_mismatch(world: World) -> None:
    index = world.scene.release()
    assert world.probe() == []
    world.scene.log.revoke(PROVIDER, "vulnerable", index)
    assert kinds(world.probe()) == ["live-mismatch"]


@pytest.mark.parametrize("what", ["the enclave", "the log"])
def test_live_unchecked_is_told_after_three_probes_and_once(
    world: World, what: str
) -> None:
    world.scene.release()
    world.log_answers = what != "the log"
    world.build = None if what == "the enclave" else GOOD
    assert world.probe() == world.probe() == []
    [first] = world.probe()
    assert first.kind == "live-unchecked"
    assert f"could not ask {what}" in first.found
    world.start()
    [again] = world.probe()
    assert again.id == first.id
    assert world.live.wrong() == ["live-unchecked"]
    world.log_answers, world.build = True, GOOD
    assert world.probe() == []
    assert world.live.wrong() == []


def test_silence_does_not_end_a_mismatch(world: World) -> None:
    world.build = BAD
    [first] = world.probe()
    world.build = None
    found = [alert for _ in range(4) for alert in world.probe()]
    assert set(kinds(found)) == {"live-unchecked"}
    world.build = BAD
    [again] = world.probe()
    assert again.id == first.id


def test_each_probe_has_a_nonce_of_its_own(world: World) -> None:
    world.probe()
    world.probe()
    assert len(set(world.nonces)) == len(world.nonces) == 2
    assert {len(one) for one in world.nonces} == {32}


def test_an_enclave_is_asked_no_sooner_than_it_is_due(world: World) -> None:
    world.probe()
    assert not world.live.due(world.moment + EVERY - 1)
    assert world.live.look(world.scene.log.now) == []
    assert len(world.nonces) == 1
    assert world.live.due(world.moment + EVERY)


def test_the_channel_is_bound_to_the_certificate_where_the_policy_asks(
    world: World,
) -> None:
    world.product = {"channel": "required"}
    certificate = sha256(b"the enclave's").digest()
    world.scene.release(binding=Binding("user_data", "tls-spki-sha256"))
    world.members = {"user_data": certificate}
    world.binding = {"tls-spki-sha256": certificate}
    world.start()
    assert [world.probe() for _ in range(3)] == [[], [], []]
    world.binding = {"tls-spki-sha256": sha256(b"a relay's").digest()}
    found = [alert for _ in range(3) for alert in world.probe()]
    assert kinds(found) == ["live-unchecked"]


def test_an_error_of_our_own_does_not_end_the_monitor(world: World) -> None:
    def ask(url: str, nonce: bytes) -> Attested:
        raise RecursionError(url)

    world.live._ask = ask
    found = [alert for _ in range(3) for alert in world.probe()]
    assert kinds(found) == ["live-unchecked"]
    assert "RecursionError" in found[0].found


def test_a_product_that_the_policy_does_not_name_is_refused(tmp_path: Path) -> None:
    live = (config.Live("who.example/x", URL),)
    made = config_of(tmp_path, Scene(), {"live": live})
    state = State(tmp_path / "monitor.db")
    with pytest.raises(UsageError, match=r"does not name who\.example/x"):
        Live(made, state, lambda: 0)
    state.close()


def test_an_enclave_that_hangs_delays_no_round(world: World) -> None:
    world.scene.release()
    world.probe()
    let_go = threading.Event()

    def ask(url: str, nonce: bytes) -> Attested:
        assert let_go.wait(30)
        return world.ask(url, nonce)

    world.live._ask = ask
    world.moment += EVERY
    began = time.monotonic()
    assert world.live.look(world.scene.log.now) == []
    assert time.monotonic() - began < 10
    # It is not asked again while it hangs.
    assert not world.live.due(world.moment + 9 * EVERY)
    let_go.set()
    ends = time.monotonic() + 30
    while not world.live.due(world.moment):
        assert time.monotonic() < ends
        time.sleep(0.001)
    assert world.live.look(world.scene.log.now) == []
    assert len(world.nonces) == 2


# --- over HTTP -----------------------------------------------------------------------


class Enclave(BaseHTTPRequestHandler):
    """Answers `?nonce=` with a document, or with what is no document."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        [nonce] = parse_qs(urlsplit(self.path).query)["nonce"]
        body = server.answer(bytes.fromhex(nonce))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


class Server(ThreadingHTTPServer):
    """An enclave on loopback; what it runs may change."""

    daemon_threads = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(("127.0.0.1", 0), Enclave)
        self.scene = scene
        self.body: bytes | None = None

    def answer(self, nonce: bytes) -> bytes:
        return self.body or document(GOOD, time=self.scene.log.now, nonce=nonce)


def test_a_real_endpoint_is_asked_with_our_nonce(tmp_path: Path) -> None:
    scene, state = Scene(), State(tmp_path / "monitor.db")
    scene.release()
    scene.seal()
    bundle = scene.log.bundle(PRODUCT, GOOD, LAB, LENS).encode()
    with Server(scene) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/attestation"
        settings = {"live": (config.Live(PRODUCT, url, "0s"),)}
        live = Live(
            config_of(tmp_path, scene, settings),
            state,
            lambda: scene.log.now,
            connect=lambda _url: lambda _path, _most: bundle,
        )
        assert live.look(scene.log.now) == []
        assert live.wrong() == []
        server.body = document(BAD, time=scene.log.now, nonce=b"an old one")
        ends = time.monotonic() + 30
        found: list[Alert] = []
        while not found and time.monotonic() < ends:
            found = live.look(scene.log.now)
        assert kinds(found)[0] == "live-mismatch"
        assert "document.nonce" in found[0].about
        server.shutdown()
    state.close()
