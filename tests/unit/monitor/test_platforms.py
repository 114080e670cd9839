"""Rules and probes on hardware beside AWS's enclaves: SGX, and instances with a TPM."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor import config
from monitor.alerts import Alert
from monitor.expected import Expected
from monitor.live import Live
from monitor.state import State
from pcrlog import limits
from pcrlog.enclave import Attested
from pcrlog.encoding import sha256
from pcrlog.errors import TransportError
from pcrlog.predicates import Binding
from pcrlog.reader import Fetch
from tests.support import machines
from tests.support.machines import (
    ENCLAVE,
    INSTANCE,
    NUMBERS,
    OTHER_ENCLAVE,
    OTHER_INSTANCE,
    SGX,
    SGX_RULES,
    TPM,
    TPM_RULES,
    hexes,
)
from tests.support.pccs_server import Pccs
from tests.support.scene import (
    DAY,
    LAB,
    LENS,
    PRODUCT,
    PROVIDER,
    Scene,
)
from tests.unit.monitor.watching import Watcher, config_of, kinds

URL = "https://wallet.example/attestation"
EVERY = 300
KEY = sha256(b"the enclave's key")
RIVAL = "rival.example"
IMAGES = {SGX: (ENCLAVE, OTHER_ENCLAVE), TPM: (INSTANCE, OTHER_INSTANCE)}
both = pytest.mark.parametrize("platform", [SGX, TPM])


def gramine(
    image: Mapping[str, str], svn: int = NUMBERS["ISVSVN"]
) -> dict[str, object]:
    """What gramine-sgx-sigstruct-view says."""
    return {
        "mr_enclave": image["MRENCLAVE"].partition(":")[2],
        "mr_signer": "a5" * 32,
        "isv_prod_id": NUMBERS["ISVPRODID"],
        "isv_svn": NUMBERS["ISVSVN"],
        "debug_enclave": False,
    }


def build(platform: str) -> object:
    """What a tool said of the build that is expected."""
    return gramine(ENCLAVE) if platform == SGX else {"Measurements": hexes(INSTANCE)}


# --- rules ---------------------------------------------------------------------------


def watching(folder: Path, scene: Scene, *lists: object, **watch: Any) -> Watcher:
    """A watcher of the scene's product; each list is a file of builds."""
    found = Watcher(folder, scene, watch)
    names = []
    for number, content in enumerate(lists):
        names.append(f"{number}.json")
        (folder / names[-1]).write_text(json.dumps(content))
    if lists:
        found.expected = Expected(tuple(names), folder, found.state)
        found.expected.read(scene.log.now)
        found.start()
    return found


@both
def test_a_release_that_was_built_here_is_expected(
    tmp_path: Path, platform: str
) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene, build(platform))
    scene.release(image=IMAGES[platform][0], platform=platform)
    assert watcher.read() == []
    watcher.close()


@both
def test_unexpected_release_is_of_every_platform(tmp_path: Path, platform: str) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene, build(platform))
    image = IMAGES[platform][1]
    index = scene.release(image=image, platform=platform)
    [alert] = watcher.read()
    assert (alert.kind, alert.entries) == ("unexpected-release", (index,))
    # It is named by what identifies it, and not by a register that is zero.
    name = "MRENCLAVE" if platform == SGX else "PCR4"
    assert f"{name} = {image[name][:20]}" in alert.found
    watcher.close()


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        (NUMBERS, []),
        (None, []),
        ({"ISVSVN": 2}, []),
        ({"ISVSVN": 1}, ["unexpected-release"]),
        ({"ISVPRODID": 2, "ISVSVN": 2}, ["unexpected-release"]),
    ],
)
def test_numbers_that_the_build_does_not_have_are_unexpected(
    tmp_path: Path, numbers: dict[str, int] | None, told: list[str]
) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene, [gramine(ENCLAVE)])
    scene.release(image=ENCLAVE, platform=SGX, numbers=numbers)
    alerts = watcher.read()
    assert kinds(alerts) == told
    assert all(f"ISVSVN {(numbers or {})['ISVSVN']}" in one.found for one in alerts)
    watcher.close()


def test_a_command_line_that_was_added_is_unexpected(tmp_path: Path) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene, build(TPM))
    edited = {**INSTANCE, "PCR12": f"sha384:{'12' * 48}"}
    scene.release(image=edited, platform=TPM)
    assert kinds(watcher.read()) == ["unexpected-release"]
    watcher.close()


def test_registers_of_another_platform_are_unexpected(tmp_path: Path) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene, build(SGX))
    scene.release(image=INSTANCE, platform=TPM)
    assert kinds(watcher.read()) == ["unexpected-release"]
    watcher.close()


@both
def test_while_a_list_cannot_be_read_a_release_waits(
    tmp_path: Path, platform: str
) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene, build(platform))
    (tmp_path / "0.json").write_text("{")
    assert watcher.expected is not None
    watcher.expected.read(scene.log.now)
    scene.release(image=IMAGES[platform][0], platform=platform)
    assert watcher.read() == []
    (tmp_path / "0.json").write_text(json.dumps(build(platform)))
    assert watcher.time() == []
    watcher.close()


@both
def test_what_is_said_against_a_release_is_told(tmp_path: Path, platform: str) -> None:
    scene = Scene()
    watcher = watching(tmp_path, scene)
    good, other = IMAGES[platform]
    index = scene.release(image=good, platform=platform)
    assert watcher.read() == []
    scene.release(image=other, platform=platform, force=True)
    assert kinds(watcher.read()) == ["conflicting-release"]
    scene.reproduce(image=good, platform=platform, result="fail")
    assert kinds(watcher.read()) == ["audit-dissent"]
    scene.release("2.0.0", image=good, platform=platform)
    assert kinds(watcher.read()) == ["relabelled"]
    scene.log.enroll(RIVAL, "provider")
    scene.release(image=good, platform=platform, product=f"{RIVAL}/wallet")
    assert kinds(watcher.read()) == ["measurement-reuse"]
    scene.log.revoke(PROVIDER, "vulnerable", index)
    assert {*kinds(watcher.read())} == {"revoked"}
    watcher.close()


@both
def test_a_measurement_may_be_watched(tmp_path: Path, platform: str) -> None:
    scene = Scene()
    image = IMAGES[platform][0]
    names = ["MRENCLAVE"] if platform == SGX else ["PCR4", "PCR12"]
    spelt = ",".join(f"{name}={image[name]}" for name in names)
    watcher = watching(
        tmp_path, scene, products=(), measurements=(f"{platform}/{spelt}",)
    )
    index = scene.release(image=image, platform=platform)
    scene.log.revoke(PROVIDER, "vulnerable", index)
    assert kinds(watcher.read()) == ["revoked"]
    watcher.close()


# --- probes --------------------------------------------------------------------------


class World:
    """A log, a machine, and a monitor that asks both, and a PCCS."""

    def __init__(self, folder: Path, platform: str, pccs: Pccs) -> None:
        self.folder, self.platform, self.pccs = folder, platform, pccs
        self.scene = Scene()
        self.image, self.other = IMAGES[platform]
        self.numbers: dict[str, int] = NUMBERS
        binding = Binding(
            "public_key" if platform == SGX else "user_data", "tls-spki-sha256"
        )
        numbers = NUMBERS if platform == SGX else None
        self.release = self.scene.release(
            image=self.image, platform=platform, numbers=numbers, binding=binding
        )
        self.moment = 0.0
        self.state = State(folder / "monitor.db")
        self.demand()

    def demand(self, **rules: object) -> None:
        """A policy, and a monitor that has it."""
        live = (config.Live(PRODUCT, URL, "5m"),)
        made = config_of(self.folder, self.scene, {"live": live})
        table = {**SGX_RULES, "pccs": self.pccs.url, **rules}
        policy = self.scene.policy(
            platforms={SGX: table, TPM: TPM_RULES},
            product={"platforms": [self.platform], "channel": "required"},
        )
        self.live = Live(
            replace(made, policy=policy),
            self.state,
            lambda: self.scene.log.now,
            ask=self.ask,
            connect=self.connect,
            monotonic=lambda: self.moment,
        )

    def ask(self, url: str, nonce: bytes) -> Attested:
        assert url == URL
        if self.platform == SGX:
            made = machines.quote(
                self.image, nonce=nonce, numbers=self.numbers, public_key=KEY
            )
        else:
            made = machines.attested(
                self.image, time=self.scene.log.now, nonce=nonce, user_data=KEY
            )
        return Attested(made, {"tls-spki-sha256": KEY})

    def connect(self, _url: str) -> Fetch:
        return self.fetch

    def fetch(self, _path: str, most: int, /) -> bytes:
        assert most == limits.BUNDLE
        self.scene.seal(frozen=False)
        return self.scene.log.bundle(
            PRODUCT, dict(self.image), LAB, LENS, platform=self.platform
        ).encode()

    def probe(self) -> list[Alert]:
        """The next probe, and what it comes to."""
        self.moment += EVERY
        self.scene.log.now += EVERY
        found = self.live.look(self.scene.log.now)
        ends = time.monotonic() + 30
        while any(one.asked for one in self.live._enclaves):
            assert time.monotonic() < ends
            if self.live.due(self.moment):
                found += self.live.look(self.scene.log.now)
            else:
                time.sleep(0.001)
        return found


@pytest.fixture
def pccs() -> Iterator[Pccs]:
    with Pccs(machines.collateral()) as made:
        yield made


@pytest.fixture
def world(
    tmp_path: Path, pccs: Pccs, request: pytest.FixtureRequest
) -> Iterator[World]:
    made = World(tmp_path, getattr(request, "param", SGX), pccs)
    yield made
    made.state.close()


each = pytest.mark.parametrize("world", [SGX, TPM], indirect=True)


@each
def test_a_machine_that_verifies_is_not_told_of(world: World) -> None:
    assert world.probe() == world.probe() == []
    # What its maker says is asked for once a day.
    assert len(world.pccs.asked) == (4 if world.platform == SGX else 0)


@each
def test_live_mismatch_is_a_machine_that_runs_what_nobody_released(
    world: World,
) -> None:
    world.image = world.other
    [alert] = world.probe()
    assert alert.kind == "live-mismatch"
    name = "MRENCLAVE" if world.platform == SGX else "PCR4"
    assert f"{name}={world.other[name][:20]}" in alert.about
    assert "REFUTED" in alert.found
    [again] = world.probe()
    assert again.id == alert.id


@pytest.mark.parametrize("world", [TPM], indirect=True)
def test_another_command_line_is_another_mismatch(world: World) -> None:
    world.image = world.other
    [first] = world.probe()
    world.image = {**world.other, "PCR12": f"sha384:{'12' * 48}"}
    [second] = world.probe()
    assert first.id != second.id


@each
def test_a_document_that_is_not_genuine_is_a_mismatch_and_nobody_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forged(_url: str, nonce: bytes) -> Attested:
        data = bytearray(world.ask(URL, nonce).document)
        data[data.index(nonce)] ^= 1
        return Attested(bytes(data), {"tls-spki-sha256": KEY})

    monkeypatch.setattr(world.live, "_ask", forged)
    monkeypatch.setattr(world, "fetch", None)
    [alert] = world.probe()
    assert alert.kind == "live-mismatch"
    assert "document.signature, policy.links since" in alert.about
    assert world.pccs.asked == []


def test_older_numbers_are_a_mismatch(world: World) -> None:
    world.numbers = {**NUMBERS, "ISVSVN": 1}
    [alert] = world.probe()
    assert alert.kind == "live-mismatch"
    assert "release.match" in alert.about


def test_a_release_that_is_revoked_while_it_runs_is_a_mismatch(world: World) -> None:
    assert world.probe() == []
    world.scene.log.revoke(PROVIDER, "vulnerable", world.release)
    assert kinds(world.probe()) == ["live-mismatch"]


def test_a_machine_whose_state_is_refused_is_a_mismatch(
    world: World, tmp_path: Path
) -> None:
    with Pccs(machines.collateral(status="OutOfDate")) as service:
        world.demand(pccs=service.url)
        [alert] = world.probe()
        assert alert.kind == "live-mismatch"
        assert "document.tcb" in alert.about
        assert "OutOfDate" in alert.found
        world.demand(pccs=service.url, tcb=["OutOfDate"])
        assert world.probe() == []


def test_live_unchecked_is_told_where_the_maker_does_not_answer(world: World) -> None:
    world.pccs.answers.clear()
    told = [world.probe() for _ in range(4)]
    assert [kinds(alerts) for alerts in told] == [[], [], *2 * [["live-unchecked"]]]
    assert "answered 404" in told[-1][0].found
    world.demand(collateral="optional")
    assert world.probe() == []


def test_what_was_had_of_the_maker_will_do_while_it_holds(world: World) -> None:
    assert world.probe() == []
    world.pccs.answers.clear()
    world.scene.log.now += 2 * DAY
    assert world.probe() == []
    world.scene.log.now += 30 * DAY
    assert world.probe() == []
    assert world.live._enclaves[0].memory.unheard == 1


def test_of_a_log_that_is_silent_too_both_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_path: str, _most: int, /) -> bytes:
        message = "the log is silent"
        raise TransportError(message)

    world.pccs.answers.clear()
    monkeypatch.setattr(world, "fetch", silent)
    [_, _, [alert]] = [world.probe() for _ in range(3)]
    assert "answered 404" in alert.found
    assert "the log is silent" in alert.found
