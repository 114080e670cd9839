"""action/ and docs/ci.md: what a pipeline runs, run as it stands there.

The shell parts of the GitHub Action, of the GitLab template and of the line for
anything else, in a working tree of a provider, against a log that is served. GitHub's
`gh` is a script here that notes its words, and GitLab a server that notes what it is
sent; everything else is the real thing.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
import yaml  # type: ignore[import-untyped] # for the tests alone; its types would be one more package

from pcrlog.bundle import Bundle
from tests.e2e.served import SECONDS, Served
from tests.support import images
from tests.support.vectors import ROOT
from tests.unit.log_server.parties import PRODUCT, Log, Party

pytestmark = pytest.mark.e2e
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action/action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
GITLAB: dict[str, Any] = yaml.safe_load((ROOT / "action/gitlab.yml").read_text("utf-8"))
JOB: dict[str, Any] = GITLAB[".pcrlog-release"]
PAGE = (ROOT / "docs" / "ci.md").read_text("utf-8")
REFERENCE = re.compile(r"\$\{\{ *([a-z_.]+) *\}\}")
VERSIONS = itertools.count(1)
PCR0 = re.compile(r"[0-9a-f]{96}")


@dataclass
class Provider:
    """A provider's working tree, with an image that was built in it."""

    folder: Path
    environment: dict[str, str]
    key: Path
    version: str
    said: list[str] = field(default_factory=list)

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def released(self, bundle: Path) -> str:
        """The statement, in a stapled bundle, of what was released here."""
        found = Bundle.parse(bundle.read_bytes()).entries.values()
        texts = [entry.envelope.payload.decode() for entry in found]
        [release] = [text for text in texts if f'"version":"{self.version}"' in text]
        return release

    def shell(
        self, script: str, *, status: int = 0, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script in the tree, as CI services do: the first error ends it."""
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=self.tree,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == status, (script, done.stdout, done.stderr)
        self.said.append(done.stdout + done.stderr)
        return done


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Party]]:
    """A log that is served, for all tests here; each releases a version of its own."""
    log = Log.create(tmp_path_factory.mktemp("ci") / "log", int(time.time()))
    acme = log.enrol("acme.example", "provider")
    served = Served.start(log).wait_until_served()
    yield served, acme
    served.end()
    served.close()


@pytest.fixture(scope="module")
def template(
    tmp_path_factory: pytest.TempPathFactory, world: tuple[Served, Party]
) -> Provider:
    """A tree that is clean, and pushed as far as it knows; each test has a copy."""
    served, acme = world
    folder = tmp_path_factory.mktemp("provider")
    tree, tools = folder / "tree", folder / "bin"
    for path in (tree / "build", tools):
        path.mkdir(parents=True)
    program = tools / "pcrlog"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m cli "$@"\n')
    program.chmod(0o755)
    key = folder / "acme.key"
    key.touch(0o600)
    key.write_bytes(acme.key.to_pem())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_NAME": "ci" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "ci@acme.example" for who in ("AUTHOR", "COMMITTER")},
        "PATH": f"{tools}:{os.environ['PATH']}",
    }
    made = Provider(folder, environment, key, "none")
    image = images.image(images.ramdisk([images.file("init", b"init")]))
    (tree / "build" / "wallet.eif").write_bytes(image)
    (tree / "build.sh").write_text("nix build\n")
    (tree / ".gitignore").write_text("build/\npcrlog-out/\n")
    where, url = served.log.config.directory, f"http://127.0.0.1:{served.port}"
    made.shell(
        f"""
        {sys.executable} -m log_server policy {where} --url {url} -o policy.toml
        pcrlog policy add policy.toml {PRODUCT}
        git init --quiet --initial-branch main
        git add .
        git commit --quiet --message first
        git remote add origin https://git.example/wallet
        git update-ref refs/remotes/origin/main HEAD
        """
    )
    return made


@pytest.fixture
def provider(tmp_path: Path, template: Provider) -> Provider:
    """One who releases a version that no other test does."""
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    path = f"{tmp_path / 'bin'}:{template.environment['PATH']}"
    environment = {**template.environment, "PATH": path, "HOME": str(tmp_path)}
    version = f"1.{next(VERSIONS)}.0"
    return Provider(tmp_path, environment, tmp_path / "acme.key", version)


# --- GitHub ---------------------------------------------------------------------------


class Runner:
    """As much of GitHub's runner as the action uses."""

    def __init__(self, provider: Provider, **inputs: str) -> None:
        self.provider = provider
        said = {name: one.get("default") for name, one in ACTION["inputs"].items()}
        assert not set(inputs) - set(said)
        given = {**said, **inputs}
        assert None not in given.values(), "a required input is missing"
        self.temp = provider.folder / "runner"
        self.temp.mkdir(exist_ok=True)
        self.known: dict[str, str] = {
            **{f"inputs.{name}": value for name, value in given.items()},
            "runner.temp": str(self.temp),
            "github.action_path": str(ROOT / "action"),
            "github.token": "a token",
        }
        self.files = {
            name: self.temp / name
            for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }

    def value(self, text: str) -> str:
        return REFERENCE.sub(lambda found: self.known[found[1]], text)

    def wanted(self, step: Mapping[str, Any]) -> bool:
        """An `if` of the one form that the action uses."""
        if "if" not in step:
            return True
        name, empty = re.fullmatch(r"(inputs\.[a-z]+) != '()'", step["if"]).groups()  # type: ignore[union-attr] # else the test fails, rightly
        return self.known[name] != empty

    def run(self, *, status: int = 0, last: str = "release") -> dict[str, str]:
        """All steps but the first, up to one that fails if one is to; the outputs."""
        for step in STEPS[1:]:
            if not self.wanted(step):
                continue
            before = {name: str(path) for name, path in self.files.items()}
            said = {name: self.value(text) for name, text in step["env"].items()}
            ends = status if step.get("id") == last else 0
            self.provider.shell(step["run"], status=ends, **before, **said)
            if ends:
                break
        if status:
            return {}
        lines = self.files["GITHUB_OUTPUT"].read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


def github(provider: Provider, **inputs: str) -> Runner:
    given = {
        "image": "build/wallet.eif",
        "product": PRODUCT,
        "version": provider.version,
        "policy": "policy.toml",
        "key": str(provider.key),
        "recipe": "build.sh",
        **inputs,
    }
    return Runner(provider, **given)


def test_the_action_measures_releases_and_staples(provider: Provider) -> None:
    program, noted = provider.folder / "bin" / "gh", provider.folder / "gh.txt"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{noted}"\n')
    program.chmod(0o755)
    found = github(provider, tag="v1.4.2").run()
    out = Path(found["directory"])
    assert PCR0.fullmatch(found["pcr0"])
    assert int(found["entry"]) >= 4
    names = {path.name for path in out.iterdir()}
    assert names == {"wallet.measurements.json", "wallet.pcrbundle"}
    measured = json.loads((out / "wallet.measurements.json").read_text())
    assert measured["Measurements"]["PCR0"] == found["pcr0"]
    release = provider.released(out / "wallet.pcrbundle")
    commit = provider.shell("git rev-parse HEAD").stdout.strip()
    for said in (found["pcr0"], commit, "https://git.example/wallet"):
        assert said in release
    words = noted.read_text().splitlines()
    files = [str(out / name) for name in sorted(names)]
    assert words == ["release", "upload", "--clobber", "--", "v1.4.2", *files]


def test_more_arguments_come_one_a_line_and_a_second_run_changes_nothing(
    provider: Provider,
) -> None:
    lines = "--binding\nuser_data:tls-spki-sha256\n\n--no-components\n"
    found = github(provider, arguments=lines, recipe="").run()
    release = provider.released(Path(found["directory"], "wallet.pcrbundle"))
    assert '"binding":{"field":"user_data","kind":"tls-spki-sha256"}' in release
    assert '"components":[]' in release
    assert github(provider, arguments=lines, recipe="").run() == found


def test_without_a_key_the_statement_waits_for_one(provider: Provider) -> None:
    github(provider, key="").run()
    found = github(provider, key="").run()
    out = Path(found["directory"])
    assert "entry" not in found
    names = {path.name for path in out.iterdir()}
    assert names == {"wallet.measurements.json", "wallet.release.json"}
    log = re.search(r'url = "(.*)"', (provider.tree / "policy.toml").read_text())
    assert log is not None
    provider.shell(
        f'pcrlog sign "{out}/wallet.release.json" --key "$KEY" --log {log[1]}'
        " --policy policy.toml",
        KEY=str(provider.key),
    )


def test_what_a_workflow_passes_in_is_never_run(provider: Provider) -> None:
    evil = 'x"; touch pwned; $(touch pwned) `touch pwned`'
    github(provider, version=evil, arguments=evil, recipe=evil).run(status=2)
    assert not list(provider.folder.rglob("pwned"))
    for step in STEPS:
        assert "${{" not in step["run"]


def test_nothing_of_the_tree_is_run_and_an_image_may_have_any_name(
    provider: Provider,
) -> None:
    """Beside the key, python would import what the tree has by the name of its own."""
    for name in ("json", "venv", "pip", "urllib"):
        (provider.tree / f"{name}.py").write_text("open('pwned', 'w')\n")
    (provider.tree / ".gitignore").write_text("*.eif\n*.py\nbuild/\n")
    provider.shell("git add . && git commit --quiet -m names")
    provider.shell("git update-ref refs/remotes/origin/main HEAD")
    image = "-my {1} $(touch pwned) wallet.eif"
    (provider.tree / "build" / "wallet.eif").rename(provider.tree / image)
    found = github(provider, image=image).run()
    names = {path.name for path in Path(found["directory"]).iterdir()}
    assert names == {
        image.removesuffix("eif") + kind for kind in ("measurements.json", "pcrbundle")
    }
    assert not list(provider.folder.rglob("pwned"))
    scripts = [step["run"] for step in STEPS] + JOB["before_script"] + JOB["script"]
    for run in re.findall(r"python3?\"? (\S+)", "".join(scripts)):
        assert run == "-I"


def test_a_tree_that_is_not_its_commit_ends_the_job(provider: Provider) -> None:
    (provider.tree / "build.sh").write_text("something else\n")
    github(provider).run(status=2)
    assert "is not what its commit says" in provider.said[-1]


def test_what_is_no_image_ends_the_job_and_is_told(provider: Provider) -> None:
    github(provider, image="build.sh").run(status=4, last="measure")
    assert "error" in provider.said[-1]


def test_every_input_of_the_action_is_used_and_explained() -> None:
    text = (ROOT / "action" / "action.yml").read_text("utf-8")
    rows = set(re.findall(r"(?m)^\| `([a-z]+)` \|", PAGE))
    assert rows == set(ACTION["inputs"])
    for name in ACTION["inputs"]:
        assert f"inputs.{name} " in text
    [example] = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    [step] = [s for s in yaml.safe_load(example)["steps"] if "with" in s]
    given = set(step["with"])
    needed = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert needed < given < set(ACTION["inputs"])


@pytest.mark.online
def test_the_action_installs_pcrlog_by_its_hashes(provider: Provider) -> None:
    runner = github(provider)
    step = STEPS[0]
    said = {str(name): runner.value(text) for name, text in step["env"].items()}
    path = runner.files["GITHUB_PATH"]
    provider.shell(step["run"], status=0, **said, GITHUB_PATH=str(path))
    done = subprocess.run(
        [f"{path.read_text().strip()}/pcrlog", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pcrlog" in done.stdout


# --- GitLab ---------------------------------------------------------------------------


class GitLab(ThreadingHTTPServer):
    """Takes what it is sent, and a link only once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taken)
        self.taken: dict[str, bytes] = {}
        self.links: dict[str, str] = {}


class _Taken(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # else curl waits a second before it sends a file

    def do_PUT(self) -> None:
        server = self.server
        assert isinstance(server, GitLab)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = self.headers["JOB-TOKEN"] == "a token"
        if self.command == "POST":
            url = parse_qs(body.decode())["url"][0]
            good = good and url not in server.links
            server.links[url] = unquote(self.path)
        else:
            server.taken[f"http://{self.headers['Host']}{self.path}"] = body
        self.send_response(201 if good else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_PUT()

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, GitLab)
        said = json.dumps([{"url": url} for url in server.links]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    made = GitLab()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def job(provider: Provider, gitlab: GitLab | None, **more: str) -> None:
    """The job's script, as one, as GitLab's runner does."""
    variables = {
        **JOB["variables"],
        "PCRLOG_VERSION": provider.version,
        "PCRLOG_POLICY": "policy.toml",
        "PCRLOG_IMAGE": "build/wallet.eif",
        "PCRLOG_PRODUCT": PRODUCT,
        "PCRLOG_RECIPE": "build.sh",
        "PCRLOG_KEY": str(provider.key),
        "CI_PROJECT_DIR": str(provider.tree),
        **more,
    }
    if gitlab is not None:
        url = f"http://127.0.0.1:{gitlab.server_port}/api/v4"
        variables |= {"CI_API_V4_URL": url, "CI_PROJECT_ID": "7"}
        variables |= {"CI_JOB_TOKEN": "a token", "CI_COMMIT_TAG": "wallet/v1.4.2"}
    provider.shell("\n".join(JOB["script"]), **variables)


def test_the_template_measures_releases_staples_and_links_and_does_it_again(
    provider: Provider, gitlab: GitLab
) -> None:
    for _ in range(2):
        job(provider, gitlab, PCRLOG_ARGUMENTS="--no-components\n")
    out = provider.tree / "pcrlog-out"
    names = {path.name for path in out.iterdir()}
    assert names == {"wallet.measurements.json", "wallet.pcrbundle"}
    assert '"components":[]' in provider.released(out / "wallet.pcrbundle")
    taken = {url.rpartition("/")[2]: body for url, body in gitlab.taken.items()}
    assert set(taken) == {"wallet.measurements.json", "wallet.pcrbundle"}
    assert set(gitlab.links) == set(gitlab.taken)
    [path] = set(gitlab.links.values())
    assert path.endswith("/projects/7/releases/wallet/v1.4.2/assets/links")
    Bundle.parse(taken["wallet.pcrbundle"])


def test_the_template_without_a_key_makes_the_statement(provider: Provider) -> None:
    job(provider, None, PCRLOG_KEY="")
    out = provider.tree / "pcrlog-out"
    names = {path.name for path in out.iterdir()}
    assert names == {"wallet.measurements.json", "wallet.release.json"}


def test_the_template_runs_a_commit_and_no_branch(provider: Provider) -> None:
    """What it installs by is a stand-in that notes its words; git is git."""
    noted, stand_in = (
        provider.folder / "python.txt",
        provider.folder / "bin" / "python3",
    )
    stand_in.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{noted}"\n'
        'if [ "$3" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi\n'
    )
    stand_in.chmod(0o755)
    (script,) = JOB["before_script"]
    where: dict[str, Any] = {
        "PCRLOG_REPOSITORY": str(provider.tree),
        "PCRLOG_LOCK": "awskms",
    }
    commit = provider.shell("git rev-parse HEAD").stdout.strip()
    for other in ("main", commit[:12]):
        provider.shell(f"({script}) || false", status=1, PCRLOG_COMMIT=other, **where)
    assert not noted.exists()
    provider.shell(script, PCRLOG_COMMIT=commit, **where)
    made, *installed = noted.read_text().splitlines()
    assert made.startswith("-I -m venv ")
    assert len(installed) == 3
    assert "--require-hashes" in installed[0]
    assert installed[0].endswith("/requirements/awskms.txt")


def test_every_variable_of_the_template_is_told() -> None:
    text = (ROOT / "action" / "gitlab.yml").read_text("utf-8")
    for name in set(re.findall(r"PCRLOG_[A-Z]+", text)):
        assert f"`{name}`" in PAGE


# --- anything else --------------------------------------------------------------------


def test_the_line_for_anything_else_does_the_same(provider: Provider) -> None:
    [line] = re.findall(r"(?m)^ {4}(pcrlog release .*)$", PAGE)
    line = line.replace("awskms:alias/release", str(provider.key))
    line = line.replace("--version 1.4.2", f"--version {provider.version}")
    (provider.tree / "wallet.eif").symlink_to("build/wallet.eif")
    (provider.tree / ".git" / "info" / "exclude").write_text("wallet.*\n")
    provider.shell(line)
    provider.shell(line)
    assert "git.example" in provider.released(provider.tree / "wallet.pcrbundle")
    measured = json.loads((provider.tree / "wallet.measurements.json").read_text())
    assert PCR0.fullmatch(measured["Measurements"]["PCR0"])
