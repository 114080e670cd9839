"""The list of what is expected: files, folders, URLs; and when it cannot be read."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitor.expected import Expected
from monitor.state import State
from tests.support.memory_log import registers
from tests.support.scene import BAD, GOOD, Scene
from tests.support.sigstructs import gramine_view, signer
from tests.unit.monitor.watching import Watcher, kinds

NITRO = "aws-nitro"
NOW = 1_795_417_200
MINUTE = 60


def hexes(build: dict[str, str]) -> dict[str, str]:
    return {name: digest.partition(":")[2] for name, digest in build.items()}


def nitro(build: dict[str, str]) -> str:
    rows = {"HashAlgorithm": "Sha384 { ... }", **hexes(build)}
    return json.dumps({"Measurements": rows})


def text(build: dict[str, str]) -> str:
    return "".join(f"{digits} {name}\n" for name, digits in hexes(build).items())


class Server(ThreadingHTTPServer):
    """Answers each GET with `status` and `body`, and counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.asked = 200, b"", 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/builds.json"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked += 1
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "monitor.db")
    yield made
    made.close()


def expected(folder: Path, state: State, *sources: str) -> Expected:
    made = Expected(sources, folder, state)
    made.read(NOW)
    return made


# --- files and folders ---------------------------------------------------------------


@pytest.mark.parametrize("spell", [nitro, text], ids=["nitro-cli", ".pcrs"])
def test_a_build_in_a_file_is_expected(
    tmp_path: Path, state: State, spell: object
) -> None:
    assert callable(spell)
    (tmp_path / "build").write_text(spell(GOOD))
    found = expected(tmp_path, state, "build")
    assert found.holds(NITRO, GOOD) is True
    assert found.holds(NITRO, BAD) is False
    assert found.holds("artifact", GOOD) is False


def test_a_file_may_list_many_builds(tmp_path: Path, state: State) -> None:
    builds = [json.loads(nitro(GOOD)), json.loads(nitro(BAD))]
    digest = {"digest": f"sha256:{'5a' * 32}"}
    (tmp_path / "all").write_text(json.dumps([*builds, digest]))
    found = expected(tmp_path, state, "all")
    assert found.holds(NITRO, GOOD) is found.holds(NITRO, BAD) is True
    assert found.holds("artifact", digest) is True
    assert found.holds("artifact", {"digest": f"sha256:{'5b' * 32}"}) is False


def test_enclaves_and_boots_of_other_platforms_are_expected(
    tmp_path: Path, state: State
) -> None:
    made, other = (signer().sign(bytes([n]) * 32) for n in (1, 2))
    (tmp_path / "one.sig").write_bytes(made)
    boot = {"PCR4": "4" * 96, "PCR7": "7" * 96, "PCR12": "0" * 96}
    (tmp_path / "more").write_text(json.dumps([boot, gramine_view(other)]))
    found = expected(tmp_path, state, "one.sig", "more")
    for n, holds in ((1, True), (2, True), (3, False)):
        wanted = {"MRENCLAVE": f"sha256:{bytes([n] * 32).hex()}"}
        assert found.holds("intel-sgx", wanted) is holds
    # Its signer is expected too, where a release names one.
    mrenclave, nobody = "sha256:" + "01" * 32, "sha256:" + "5a" * 32
    signed = {"MRENCLAVE": mrenclave, "MRSIGNER": f"sha256:{signer().mrsigner}"}
    assert found.holds("intel-sgx", signed) is True
    assert found.holds("intel-sgx", {**signed, "MRSIGNER": nobody}) is False
    booted = {name: f"sha384:{digits}" for name, digits in boot.items()}
    del booted["PCR7"]
    assert found.holds("aws-nitrotpm", booted) is True
    assert found.holds("aws-nitrotpm", {"PCR4": booted["PCR4"]}) is False


def test_a_folder_holds_what_its_files_hold(tmp_path: Path, state: State) -> None:
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / "one.json").write_text(nitro(GOOD))
    (folder / "README").write_text("not a build")
    found = expected(tmp_path, state, "builds")
    assert found.holds(NITRO, BAD) is False
    (folder / "two.pcrs").write_text(text(BAD))
    found.read(NOW)
    assert found.holds(NITRO, BAD) is True
    (folder / "one.json").unlink()
    found.read(NOW)
    assert found.holds(NITRO, GOOD) is False


def test_a_file_that_changes_is_read_again(tmp_path: Path, state: State) -> None:
    path = tmp_path / "build"
    path.write_text(nitro(GOOD))
    found = expected(tmp_path, state, "build")
    path.write_text(nitro(BAD))
    os.utime(path, ns=(1, 1))
    found.read(NOW)
    assert found.holds(NITRO, GOOD) is False


def test_registers_that_only_one_side_names_do_not_count(
    tmp_path: Path, state: State
) -> None:
    signed = {**GOOD, "PCR8": registers("signer")["PCR0"]}
    (tmp_path / "build").write_text(nitro(signed))
    found = expected(tmp_path, state, "build")
    role = {"PCR3": registers("role")["PCR0"]}
    assert found.holds(NITRO, {**GOOD, **role}) is True
    assert found.holds(NITRO, {**signed, "PCR8": GOOD["PCR0"]}) is False
    assert found.holds(NITRO, {"PCR0": GOOD["PCR0"]}) is False


def test_one_bad_file_hides_no_other_and_makes_the_rest_unknown(
    tmp_path: Path, state: State
) -> None:
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / "a.json").write_text("{")
    (folder / "b.json").write_text(nitro(GOOD))
    found = expected(tmp_path, state, "builds")
    assert found.holds(NITRO, GOOD) is True
    assert found.holds(NITRO, BAD) is None
    assert found.problems(NOW) == []
    [problem] = found.problems(NOW + MINUTE)
    assert "a.json" in problem.found
    (folder / "a.json").write_text(nitro(BAD))
    found.read(NOW + MINUTE)
    assert found.problems(NOW + MINUTE) == []
    assert found.holds(NITRO, BAD) is True


def test_a_file_that_is_not_there_or_too_large_cannot_be_read(
    tmp_path: Path, state: State
) -> None:
    (tmp_path / "large").write_bytes(b" " * (1 << 20) + b" ")
    found = expected(tmp_path, state, "missing", "large")
    assert found.holds(NITRO, GOOD) is None
    words = [one.found for one in found.problems(NOW + MINUTE)]
    assert "No such file" in words[0]
    assert "more than" in words[1]


# --- URLs ----------------------------------------------------------------------------


def test_a_url_is_asked_every_five_minutes(
    tmp_path: Path, state: State, server: Server
) -> None:
    server.body = nitro(GOOD).encode()
    found = expected(tmp_path, state, server.url)
    assert found.holds(NITRO, GOOD) is True
    found.read(NOW + 299)
    assert server.asked == 1
    found.read(NOW + 300)
    assert server.asked == 2


def test_what_a_url_said_before_builds_had_numbers_is_known(
    tmp_path: Path, state: State, server: Server
) -> None:
    kept = {"time": NOW, "builds": [[NITRO, GOOD]]}
    state.remember("expected", server.url, json.dumps(kept))
    server.status = 503
    found = expected(tmp_path, state, server.url)
    assert found.holds(NITRO, GOOD) is True
    assert found.holds(NITRO, BAD) is None


def test_a_release_on_no_list_makes_it_ask_again_but_not_without_end(
    tmp_path: Path, state: State, server: Server
) -> None:
    server.body = nitro(GOOD).encode()
    found = expected(tmp_path, state, server.url)
    server.body = nitro(BAD).encode()
    found.read(NOW + 9, again=True)
    assert found.holds(NITRO, BAD) is False
    found.read(NOW + 10, again=True)
    assert found.holds(NITRO, BAD) is True
    assert server.asked == 2


def test_a_url_that_is_down_makes_nothing_unexpected(
    tmp_path: Path, state: State, server: Server
) -> None:
    server.body = nitro(GOOD).encode()
    expected(tmp_path, state, server.url)
    server.status = 503
    found = expected(tmp_path, state, server.url)
    assert found.holds(NITRO, GOOD) is True
    assert found.holds(NITRO, BAD) is None
    [problem] = found.problems(NOW + MINUTE)
    assert "answered 503" in problem.found


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'[{"PCR0": "00"}]'])
def test_what_is_not_a_list_is_not_taken_for_one(
    tmp_path: Path, state: State, server: Server, body: bytes
) -> None:
    server.body = nitro(GOOD).encode()
    expected(tmp_path, state, server.url)
    server.body = body
    found = expected(tmp_path, state, server.url)
    assert found.holds(NITRO, GOOD) is True
    assert found.holds(NITRO, BAD) is None


def test_a_redirect_is_not_followed(
    tmp_path: Path, state: State, server: Server
) -> None:
    server.status = 302
    found = expected(tmp_path, state, server.url)
    assert found.holds(NITRO, GOOD) is None
    assert server.asked == 1


# --- the rule ------------------------------------------------------------------------


def test_unreadable_list_a_release_waits_for_it_and_is_then_expected(
    tmp_path: Path, server: Server
) -> None:
    server.status = 503
    scene = Scene()
    scene.release()
    watch = Watcher(tmp_path, scene, {"expected": (server.url,)})
    assert watch.read() == []
    now = scene.log.now
    assert watch.time(now + 30) == []
    assert kinds(watch.time(now + MINUTE)) == ["unreadable-list"]
    server.status, server.body = 200, nitro(GOOD).encode()
    assert watch.time(now + 2 * MINUTE) == []
    assert watch.time(now + 3600) == []


def test_unreadable_list_a_release_waits_a_quarter_of_an_hour_at_most(
    tmp_path: Path, server: Server
) -> None:
    server.status = 503
    scene = Scene()
    scene.release()
    watch = Watcher(tmp_path, scene, {"expected": (server.url,)})
    watch.read()
    now = scene.log.now
    watch.start()
    watch.scene.log.now += 800
    assert watch.read() == []
    found = kinds(watch.time(now + 900))
    assert found == ["unexpected-release", "unreadable-list"]
    assert kinds(watch.time(now + 901)) == ["unreadable-list"]


def test_unreadable_list_is_one_alert_as_long_as_it_lasts(
    tmp_path: Path, server: Server
) -> None:
    server.status = 503
    watch = Watcher(tmp_path, Scene(), {"expected": (server.url,)})
    now = watch.scene.log.now
    watch.time(now)
    [first] = watch.time(now + MINUTE)
    watch.start()
    [again] = watch.time(now + 3 * MINUTE)
    assert again.id == first.id
    server.status, server.body = 200, nitro(GOOD).encode()
    assert watch.time(now + 5 * MINUTE) == []
    server.status = 503
    watch.time(now + 11 * MINUTE)
    [another] = watch.time(now + 13 * MINUTE)
    assert another.id != first.id
