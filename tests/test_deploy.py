"""deploy/systemd and the Containerfile, held against the commands that they name.

No service manager and no container engine runs in a test: `systemd-analyze` checks the
units where it is installed, and the steps that build the image run, with `-m online`,
in an empty folder.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from log_server import serving
from log_server.config import Config
from log_server.direct import read_log_key
from tests.support.vectors import ROOT
from tests.test_docs import program, slugs
from tests.unit.log_server.parties import Log

SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
EACH = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
INSTANCES = ("web", "sequencer")
BIN = "/opt/pcrlog/bin/"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS = PROJECT["project"]["scripts"]
ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 15
"""Of 100, by the reckoning of systemd-analyze: at most so much is open."""


def directives(unit: Path) -> dict[str, list[str]]:
    """What a unit says, by name."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text("utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def parse(words: list[str]) -> click.Context:
    """Parse a command line as the program does, and run nothing.

    Raises:
        click.UsageError: it would refuse it.
    """
    command: click.Command = program(Path(words[0]).name)
    rest = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, rest[0]
        command, rest = found, rest[1:]
    return command.make_context(command.name, rest)


# --- units ----------------------------------------------------------------------------


def filled(unit: Path, line: str) -> str:
    """A command line with the variables that the unit sets."""
    for said in directives(unit).get("Environment", []):
        name, _, value = said.partition("=")
        line = line.replace(f"${{{name}}}", value)
    assert "$" not in line
    return line


@EACH
def test_a_unit_starts_a_command_that_parses(unit: Path) -> None:
    [line] = directives(unit)["ExecStart"]
    assert line.startswith(BIN)
    for instance in INSTANCES if "@" in unit.name else ("",):
        words = shlex.split(filled(unit, line).replace("%i", instance))
        assert Path(words[0]).name in SCRIPTS
        parse(words)


def test_a_command_line_that_is_wrong_is_found() -> None:
    with pytest.raises(click.UsageError):
        parse(["pcrlog-server", "serve", "log", "--nonsense"])
    with pytest.raises(click.UsageError):
        parse(["pcrlog-monitor", "witness", "run"])


@EACH
def test_a_unit_writes_below_its_state_folder_alone(unit: Path) -> None:
    said = directives(unit)
    [state] = said["StateDirectory"]
    paths = [w for w in said["ExecStart"][0].split() if w.startswith("/var")]
    assert paths
    assert all(path.startswith(f"/var/lib/{state}/") for path in paths)
    assert said["ProtectSystem"] == ["strict"]


@EACH
def test_a_unit_has_a_user_that_sysusers_makes(unit: Path) -> None:
    said = directives(unit)
    text = (SYSTEMD / "pcrlog.sysusers.conf").read_text("utf-8")
    users = dict(re.findall(r'(?m)^u (\S+) - "[^"]+" (\S+)$', text))
    [user] = said["User"]
    assert said["Group"] == [user]
    assert users[user] == f"/var/lib/{said['StateDirectory'][0]}"


@EACH
def test_a_unit_leaves_alone_what_a_restart_cannot_heal(unit: Path) -> None:
    said = directives(unit)
    wanted = "2 4" if "pcrlog-server" in said["ExecStart"][0] else "2"
    assert said["RestartPreventExitStatus"] == [wanted]
    assert said["StartLimitIntervalSec"] == ["0"]
    assert int(said["RestartSec"][0]) >= 1


@EACH
def test_a_units_comments_lead_to_documentation(unit: Path) -> None:
    found = re.findall(r"(docs/\w+\.md)(?:#([\w-]+))?", unit.read_text("utf-8"))
    assert found
    for path, anchor in found:
        text = (ROOT / path).read_text("utf-8")
        assert not anchor or anchor in slugs(text)


def test_a_server_may_open_as_many_files_as_it_asks_for() -> None:
    wanted = serving._CONNECTIONS + serving._OTHER_FILES
    for unit in UNITS:
        if "server" in unit.name:
            assert directives(unit)["LimitNOFILE"] == [str(wanted)]
            [stop] = directives(unit)["TimeoutStopSec"]
            assert int(stop) >= 2 * serving._STOP_SECONDS


def test_the_logs_key_may_be_a_link_to_a_credential(tmp_path: Path) -> None:
    """As LoadCredential= puts it: a file elsewhere, which cannot be written."""
    log = Log.create(tmp_path / "log")
    elsewhere = tmp_path / "credentials" / "log.skey"
    elsewhere.parent.mkdir()
    log.config.log_key.rename(elsewhere)
    elsewhere.chmod(0o400)
    log.config.log_key.symlink_to(elsewhere)
    assert read_log_key(Config.load(log.config.directory)).public == log.config.vkey()


def in_place(unit: Path, folder: Path) -> Path:
    """A copy of a unit that starts a program which exists here."""
    name = unit.name.replace("@.", "@web.")
    text = re.sub(rf"{BIN}\S+", "/bin/true", unit.read_text("utf-8"))
    (folder / name).write_text(text, "utf-8")
    return folder / name


@EACH
def test_systemd_takes_a_unit_and_finds_little_open(unit: Path, tmp_path: Path) -> None:
    if ANALYZE is None:
        pytest.skip("no systemd-analyze here: it comes with systemd")
    copy = in_place(unit, tmp_path)
    for words in (
        ["verify", "--man=no", "--recursive-errors=no"],
        ["security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager"],
    ):
        done = subprocess.run(
            [ANALYZE, *words, copy],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr


# --- the image ------------------------------------------------------------------------


def steps(text: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile, and what each says."""
    lines = text.replace("\\\n", " ").splitlines()
    said = [line for line in lines if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in said]


def stages() -> Iterator[list[tuple[str, str]]]:
    """The instructions of each stage."""
    text = (ROOT / "Containerfile").read_text("utf-8")
    _, *found = re.split(r"(?m)^(?=FROM )", text)
    yield from map(steps, found)


def copied() -> list[str]:
    """What the build takes from this repository."""
    build, _ = stages()
    return [
        source for name, says in build if name == "COPY" for source in says.split()[:-1]
    ]


def test_the_image_is_built_from_files_that_exist_and_are_not_ignored() -> None:
    ignore = (ROOT / ".containerignore").read_text("utf-8").splitlines()
    assert "*" in ignore
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignore


def test_the_image_has_everything_that_the_wheel_is_made_of() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {*wheel["packages"], *wheel["force-include"], "pyproject.toml"}
    project = PROJECT["project"]
    wanted |= {project["readme"], *project["license-files"], "requirements"}
    wanted |= {wheel["hooks"]["custom"]["path"], "web/page", "web/verifier"}
    assert set(copied()) == wanted


def test_the_image_installs_only_what_is_pinned_by_hash() -> None:
    build, final = stages()
    installs = [says for name, says in build if name == "RUN" and " install " in says]
    assert len(installs) == 3
    for says in installs:
        assert "--no-deps" in says
        assert "--require-hashes" in says or "--no-index" in says
    for extra in PROJECT["project"]["optional-dependencies"]:
        assert (ROOT / "requirements" / f"{extra}.txt").exists()
    assert not any("pip" in says for name, says in final if name == "RUN")


def test_the_image_runs_as_nobody_special_and_its_command_parses() -> None:
    _, final = stages()
    said = dict(final)
    user = said["USER"].partition(":")[0]
    assert int(user) > 0
    assert f"--uid {user} " in said["RUN"]
    words = [*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])]
    assert words[0] in SCRIPTS
    parse(words)
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert said["VOLUME"] == said["WORKDIR"]
    _, _, health = said["HEALTHCHECK"].partition(" CMD ")
    name, option, code = json.loads(health)
    assert (name, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    [port] = re.findall(r":(\d+)/", code)
    assert words[-1].endswith(f":{port}")
    assert said["EXPOSE"] == port


@pytest.mark.online
def test_the_steps_that_build_the_image_build_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for source in copied():
        there = tmp_path / "src" / source
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, there)
        else:
            shutil.copy(ROOT / source, there)
    here = {**os.environ, "LOCKS": "runtime postgresql s3"}
    build, _ = stages()
    for name, says in build:
        if name == "RUN":
            line = says.replace("/opt/", f"{tmp_path}/opt/")
            subprocess.run(
                ["/bin/sh", "-c", line], cwd=tmp_path / "src", env=here, check=True
            )
    for script in SCRIPTS:
        subprocess.run(
            [tmp_path / "opt" / "pcrlog" / "bin" / script, "--version"], check=True
        )
