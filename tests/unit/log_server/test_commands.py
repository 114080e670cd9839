"""pcrlog-server: its commands, what they print, and their exit status."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from log_server import commands
from log_server.config import Member, Quorum
from pcrlog.keys import SigningKey
from pcrlog.policy import Policy
from pcrlog.request import encode
from tests.support.memory_log import witness
from tests.unit.log_server.parties import NOW, ORIGIN, Log


def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: object,
) -> tuple[int, str, str]:
    """Exit status, standard output and error of a command."""
    monkeypatch.setattr(sys, "argv", ["pcrlog-server", *map(str, arguments)])
    # The fixture's log was sealed then; a log is not taken up again years later.
    monkeypatch.setattr(commands, "clock", lambda: NOW)
    with pytest.raises(SystemExit) as caught:
        commands.main()
    out, err = capsys.readouterr()
    code = caught.value.code
    return (0 if code is None else int(code)), out, err


class Runner:
    def __init__(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        return run(self._capsys, self._monkeypatch, *arguments)


@pytest.fixture
def server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Runner:
    return Runner(capsys, monkeypatch)


def test_init_makes_a_log_and_tells_to_move_the_root_key(
    server: Runner, tmp_path: Path
) -> None:
    code, out, _ = server("init", tmp_path / "log", "--origin", ORIGIN)
    assert code == 0
    assert "registrar-root.key AWAY" in out
    assert f"pcrlog-server serve {tmp_path / 'log'}" in out


def test_init_as_json_names_keys_and_where_they_lie(
    server: Runner, tmp_path: Path
) -> None:
    code, out, _ = server("init", tmp_path / "log", "--origin", ORIGIN, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["origin"] == ORIGIN
    assert found["vkey"].startswith(f"{ORIGIN}+")
    assert Path(found["root_key"]).is_file()
    assert len(found["registrar"]) == len(found["enrol_keyid"]) == 64


def test_init_refuses_a_folder_that_is_not_empty(
    server: Runner, tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()
    code, _, err = server("init", tmp_path, "--origin", ORIGIN)
    assert code == 2
    assert "not empty" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["init"],
        ["init", "x"],
        ["unknown"],
        ["serve", "x", "--listen", "nowhere"],
        ["serve", "x", "--listen", "127.0.0.1:0"],
        ["serve", "x", "--listen", "127.0.0.1:99999"],
        ["serve", "x", "--listen", ":80"],
        ["fsck", "/nowhere/at/all"],
        ["enroll", "x", "--name", "a.example", "--role", "king", "--request", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(server: Runner, arguments: list[str]) -> None:
    code, out, err = server(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_enroll_prints_what_it_signs_and_where_it_stands(
    log: Log, server: Runner, tmp_path: Path
) -> None:
    key = SigningKey.generate()
    request = tmp_path / "acme.request"
    request.write_bytes(encode(ORIGIN, "acme.example", [key]))
    arguments = ["enroll", log.config.directory, "--name", "acme.example"]
    arguments += ["--role", "provider", "--request", request]
    code, out, _ = server(*arguments)
    assert code == 0
    assert f"adds key {key.public.keyid}" in out
    assert "entry 2" in out
    code, out, _ = server(*arguments, "--json")
    assert (code, json.loads(out)) == (0, {"index": 2, "name": "acme.example"})


def test_enroll_refuses_a_forged_request_with_4(
    log: Log, server: Runner, tmp_path: Path
) -> None:
    request = tmp_path / "acme.request"
    data = encode(ORIGIN, "acme.example", [SigningKey.generate()])
    other = encode(ORIGIN, "evil.example", [SigningKey.generate()])
    sig = b'"sig":"'
    mine, theirs = data.index(sig), other.index(sig)
    request.write_bytes(data[:mine] + other[theirs : theirs + 95] + data[mine + 95 :])
    code, _, err = server(
        *("enroll", log.config.directory, "--name", "acme.example"),
        *("--role", "provider", "--request", request),
    )
    assert code == 4
    assert "does not verify" in err


def test_the_policy_is_one_that_a_verifier_reads(
    log: Log, server: Runner, tmp_path: Path
) -> None:
    url = "https://log.example/pcr"
    path = tmp_path / "policy.toml"
    code, out, _ = server("policy", log.config.directory, "--url", url, "-o", path)
    assert code == 0
    assert "pcrlog policy add" in out
    policy = Policy.parse(path.read_bytes())
    [found] = policy.logs.values()
    assert (str(found.key), found.url) == (log.new.vkey, url)
    assert found.registrar == log.new.root_keyid
    assert found.witnesses is None
    assert found.index_monitors is None
    code, _, err = server("policy", log.config.directory, "--url", url, "-o", path)
    assert code == 2
    assert "exists" in err
    code, out, _ = server("policy", log.config.directory, "--url", url)
    assert out.encode() == path.read_bytes()


def test_the_policy_repeats_whom_the_log_asks(log: Log, server: Runner) -> None:
    witnesses = [
        Member(str(witness(f"w{n}.example/a").public), f"https://w{n}.example/a")
        for n in range(3)
    ]
    monitor = Member(str(witness("m.example/i").public), "https://m.example/i")
    settings = msgspec.structs.replace(
        log.config.settings,
        witnesses=Quorum(2, tuple(witnesses)),
        index_monitors=Quorum(1, (monitor,)),
    )
    (log.config.directory / "log.toml").write_bytes(settings.toml())
    arguments = ("policy", log.config.directory, "--url", "https://log.example/pcr")
    code, out, _ = server(*arguments)
    assert code == 0
    [found] = Policy.parse(out.encode()).logs.values()
    assert found.witnesses is not None
    assert found.witnesses.least == 2
    assert [str(key) for key in found.witnesses.keys] == [w.vkey for w in witnesses]
    assert found.index_monitors is not None
    assert [str(key) for key in found.index_monitors.keys] == [monitor.vkey]
    assert "that you trust" in out


@pytest.mark.parametrize("url", ["log.example", "ftp://x", 'https://x"\n[evil]'])
def test_a_policy_needs_a_url(log: Log, server: Runner, url: str) -> None:
    assert server("policy", log.config.directory, "--url", url)[0] == 2


def test_fsck_says_that_nothing_is_wrong_or_what(log: Log, server: Runner) -> None:
    code, out, _ = server("fsck", log.config.directory)
    assert (code, out) == (0, f"{ORIGIN}: 2 leaves, nothing wrong.\n")
    (log.config.public / "checkpoint").unlink()
    code, out, err = server("fsck", log.config.directory)
    assert code == 4
    assert out.startswith("wrong: public/checkpoint")
    assert "1 thing is wrong" in err
    code, out, _ = server("fsck", log.config.directory, "--json")
    assert code == 4
    assert json.loads(out)["leaves"] == 2


def test_freeze_asks_first_and_is_final(log: Log, server: Runner) -> None:
    code, out, _ = server("freeze", log.config.directory, "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"origin": ORIGIN, "size": 3})
    code, out, _ = server("freeze", log.config.directory, "--yes")
    assert code == 0
    assert "frozen at 3 entries" in out, "a frozen log is not sealed again"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import log_server.commands\n"
        "sys.argv = ['pcrlog-server', '--help']\n"
        "try: log_server.commands.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'flask', 'granian', 'cryptography', 'requests',"
        " 'msgspec', 'prometheus_client', 'asyncio', 'multiprocessing'}\n"
        "print(sorted(heavy & sys.modules.keys() - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("init", "enroll", "serve", "fsck", "freeze", "policy"):
        assert command in done.stdout


def test_fsck_repairs_what_is_asked_and_says_what(server: Runner, log: Log) -> None:
    folder, tile = log.config.directory, "tile/0/000.p/2"
    (log.config.public / tile).unlink()
    code, out, _ = server("fsck", folder, "--repair")
    assert (code, out.splitlines()) == (
        0,
        [
            f"repaired: public/{tile}",
            f"{ORIGIN}: 2 leaves, everything is right now.",
        ],
    )
    (log.config.public / tile).unlink()
    code, out, _ = server("fsck", folder, "--repair", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"leaves": 2, "where": "public/", "repaired": [tile], "wrong": []},
    )


def test_fsck_of_what_is_no_database_says_so(server: Runner, log: Log) -> None:
    log.config.log_db.write_bytes(b"\xa5" * 65_536)
    code, _, err = server("fsck", log.config.directory)
    assert code == 4
    assert "a database is damaged" in err


def test_what_is_no_fault_of_the_disk_stays_a_crash(
    server: Runner, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("log_server.fsck.check", fail)
    with pytest.raises(ZeroDivisionError):
        server("fsck", log.config.directory)


def test_restore_tells_what_to_make_sure_of(
    server: Runner, log: Log, tmp_path: Path
) -> None:
    options = ("--from", log.config.public, "--key", log.config.log_key)
    code, out, _ = server("restore", tmp_path / "new", *options)
    assert code == 0
    assert f"{ORIGIN}: 2 leaves restored, nothing wrong." in out
    assert "BEFORE YOU SERVE IT" in out
    settings = ("--settings", log.config.directory / "log.toml", "--json")
    code, out, _ = server("restore", tmp_path / "other", *options, *settings)
    assert (code, json.loads(out)) == (0, {"origin": ORIGIN, "leaves": 2})
    code, _, err = server("restore", tmp_path / "new", *options)
    assert code == 2
    assert "not empty" in err
