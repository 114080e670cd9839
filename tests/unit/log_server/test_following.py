"""What a standby says while it follows, what it bears, and what ends it."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from log_server import commands, following
from log_server.config import Config
from log_server.direct import exclusively
from log_server.following import State, follow
from log_server.standby import BehindError
from pcrlog.errors import (
    InconsistencyError,
    MalformedError,
    TransportError,
    UsageError,
)
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.standing_by import bring_key, look, standby_of
from tests.unit.log_server.test_commands import Runner, server

__all__ = ["server"]


class Enough(Exception):  # noqa: N818 - it is no error
    """The test has heard what it waited for."""


@pytest.fixture
def standby(log: Log, acme: Party, tmp_path: Path) -> Config:
    log.accept(acme.release(1))
    return standby_of(log, tmp_path / "standby")


@pytest.fixture
def copy(log: Log, acme: Party, tmp_path: Path) -> Path:
    """Files that the test may change."""
    log.accept(acme.release(2, "2.0.0"))
    shutil.copytree(log.config.public, tmp_path / "copy")
    return tmp_path / "copy"


def told(
    config: Config, source: Path, *steps: Callable[[], object]
) -> list[tuple[str, int]]:
    """What is said; after each word the next step is taken, after the last it ends."""
    heard: list[State] = []

    def say(state: State) -> None:
        heard.append(state)
        if len(heard) > len(steps):
            raise Enough
        steps[len(heard) - 1]()

    with pytest.raises(Enough):
        follow(config, str(source), say, poll=0.005)
    return [(one.state, one.size) for one in heard]


def test_it_says_what_has_changed_and_goes_on(
    log: Log, acme: Party, standby: Config, copy: Path
) -> None:
    checkpoint = (copy / "checkpoint").read_bytes()

    def newer() -> None:
        log.accept(acme.release(3, "3.0.0"))
        shutil.copy(log.config.public / "checkpoint", copy / "checkpoint")

    def whole() -> None:
        shutil.copytree(log.config.public, copy, dirs_exist_ok=True)

    def frozen() -> None:
        log.sequence(freeze=True)
        whole()

    assert told(
        standby,
        copy,
        (copy / "checkpoint").unlink,
        lambda: (copy / "checkpoint").write_bytes(checkpoint),
        lambda: (copy / "checkpoint").write_bytes(b"nonsense"),
        newer,
        whole,
        frozen,
    ) == [
        ("following", 8),
        ("unreachable", 8),
        ("following", 8),
        ("refused", 8),
        ("unreachable", 8),
        ("following", 10),
        ("frozen", 11),
    ]


def test_less_is_borne_for_a_while(
    log: Log,
    standby: Config,
    copy: Path,
    acme: Party,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log.accept(acme.release(3, "3.0.0"))
    look(standby, log.config.public)

    def newest() -> None:
        shutil.copytree(log.config.public, copy, dirs_exist_ok=True)

    assert told(standby, copy, newest) == [("behind", 10), ("following", 10)]
    monkeypatch.setattr(following, "PATIENCE", 0)
    shutil.copytree(log.config.public, copy, dirs_exist_ok=True)
    log.accept(acme.release(4, "4.0.0"))
    look(standby, log.config.public)
    with pytest.raises(BehindError):
        follow(standby, str(copy), lambda _state: None, poll=0.01)


def test_one_look_says_why_it_brought_nothing(
    log: Log, standby: Config, copy: Path
) -> None:
    (copy / "checkpoint").unlink()
    with pytest.raises(TransportError):
        follow(standby, str(copy), lambda _state: None, poll=None)
    (copy / "checkpoint").write_bytes(b"nonsense")
    with pytest.raises(MalformedError):
        follow(standby, str(copy), lambda _state: None, poll=None)
    ended = follow(standby, str(log.config.directory), lambda _state: None, poll=None)
    assert (ended.state, ended.size) == ("ended", 8)


def test_a_contradiction_ends_it_at_once(
    log: Log, standby: Config, acme: Party, tmp_path: Path
) -> None:
    ignore = shutil.ignore_patterns("run")
    shutil.copytree(log.config.directory, tmp_path / "other", ignore=ignore)
    other = Config(tmp_path / "other", log.config.settings)
    log.accept(acme.release(3, "3.0.0"))
    look(standby, log.config.public)
    Log(other, log.new, log.clock, log.registrar).accept(acme.release(3, "3.0.1"))
    with pytest.raises(InconsistencyError):
        follow(standby, str(other.public), lambda _state: None, poll=0.01)


def test_two_do_not_follow_into_one_folder(log: Log, standby: Config) -> None:
    with exclusively(standby), pytest.raises(UsageError, match="is locked"):
        follow(standby, str(log.config.public), lambda _state: None, poll=None)


def test_much_is_said_to_be_catching_up(
    log: Log, standby: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_MANY", 2)
    assert told(standby, log.config.public, lambda: None)[0] == ("catching-up", 0)


def test_another_thread_may_follow_without_signals(log: Log, standby: Config) -> None:
    said: list[State] = []
    thread = threading.Thread(
        target=follow,
        args=(standby, str(log.config.public), said.append),
        kwargs={"poll": None},
    )
    thread.start()
    thread.join(20)
    assert [one.state for one in said] == ["following"]


# --- the commands ---------------------------------------------------------------------


def test_the_commands_of_a_second_machine(
    server: Runner, log: Log, acme: Party, tmp_path: Path
) -> None:
    log.accept(acme.release(1))
    log.queue(acme.release(2, "2.0.0"))
    folder, home = tmp_path / "standby", log.config.directory
    code, _, err = server("standby", folder, home)
    assert (code, "needs --vkey" in err) == (2, True)
    first = ("--vkey", home / "log.vkey", "--settings", home / "log.toml")
    code, _, err = server("standby", folder, home, *first)
    assert (code, err) == (0, "following: 6 leaves\n")
    code, out, _ = server("standby", folder, home, "--json")
    assert (code, json.loads(out)["state"]) == (0, "following")
    code, _, err = server("standby", folder, home, *first)
    assert (code, "has its settings" in err) == (2, True)
    code, _, err = server("standby", home, home)
    assert (code, "is a log" in err) == (2, True)
    code, _, err = server("promote", folder)
    assert (code, "bring the log's key" in err) == (2, True)
    bring_key(log, Config(folder, log.config.settings))
    code, out, _ = server("promote", folder, "--no-fence")
    assert code == 0
    assert "NOT FENCED" in out
    assert "requeue" in out
    code, out, _ = server("requeue", folder, home / "intake.db")
    assert (code, out.partition(",")[0]) == (
        0,
        "1 statements wait for a decision again",
    )
    code, out, _ = server("requeue", folder, home / "intake.db", "--json")
    assert (code, json.loads(out)) == (0, {"known": 0, "waiting": 1})
    code, _, err = server("promote", folder)
    assert (code, "no standby in" in err) == (2, True)


def test_a_standby_of_another_log_is_told_apart(
    server: Runner, log: Log, tmp_path: Path
) -> None:
    other = Log.create(tmp_path / "other")
    home, folder = log.config.directory, tmp_path / "standby"
    assert server("standby", folder, home, "--vkey", home / "log.vkey")[0] == 0
    vkey = other.config.directory / "log.vkey"
    code, _, err = server("standby", folder, home, "--vkey", vkey)
    assert (code, "follows the log of" in err) == (2, True)
    code, _, err = server("standby", folder, other.config.directory)
    assert (code, "no signature line" in err) == (4, True)


def test_promotion_tells_what_it_took_over_and_in_json(
    server: Runner, log: Log, acme: Party, tmp_path: Path
) -> None:
    log.queue(acme.release(2, "2.0.0"))
    home = log.config.directory
    for name, options in (("one", ()), ("two", ("--json",))):
        folder = tmp_path / name
        server("standby", folder, home, "--vkey", home / "log.vkey")
        bring_key(log, Config(folder, log.config.settings))
        taken = ("--no-fence", "--intake", home / "intake.db", *options)
        code, out, _ = server("promote", folder, *taken)
        assert code == 0
        if options:
            found = json.loads(out)
            assert found["requeued"] == {"known": 0, "waiting": 1}
            assert (found["leaves"], found["witnesses"]) == (4, [])
        else:
            assert "1 statements of" in out


def test_upgrade_says_what_it_did(server: Runner, log: Log, tmp_path: Path) -> None:
    home = log.config.directory
    code, out, _ = server("upgrade", home)
    assert (code, out) == (0, "log.example/pcr: schema 2. Next: fsck, then serve it\n")
    code, out, _ = server("upgrade", home, "--to", 1)
    assert code == 0
    assert "log.db: schema 2 to 1; as it was:" in out
    code, _, err = server("fsck", home)
    assert (code, "pcrlog-server upgrade DIR" in err) == (2, True)
    code, out, _ = server("upgrade", home, "--json")
    assert json.loads(out)["changes"][1] == {"from": 1, "name": "log.db", "to": 2}
    standby = standby_of(log, tmp_path / "standby")
    assert server("upgrade", standby.directory, "--to", 1)[0] == 0
    assert server("upgrade", standby.directory)[0] == 0
    assert commands.clock() > 0
