"""How commands are found, what they take, how they end, what they import."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import NoReturn

import click
import pytest

from cli.main import COMMANDS, main, pcrlog
from cli.output import Output
from cli.session import Session
from pcrlog.errors import VerificationError
from tests.unit.cli.world import World

HEX = "ab" * 32
P = "--policy policy.toml"
PRODUCT = "--product acme.example/wallet"
RELEASE = (
    f"release --log URL --key acme.key {PRODUCT} --version 1.4.2"
    " --measurements build.json"
)
COSIGN = f"cosign {P} --key lab.key"
LINES = [
    "keys new acme.key",
    "identity request --name acme.example --key acme.key -o acme.request",
    "identity request --name acme.example --key a.key --key b.key -o acme.request",
    f"identity rotate {P} --key acme.key --add new.key -o acme.request",
    f"identity retire {P} --key acme.key",
    "identity retire --log URL --name acme.example --key acme.key",
    f"identity compromise {P} --key acme.key",
    f"identity compromise {P} --key acme.key --since 7 -o acme.request",
    f"identity show {P} acme.example",
    "policy add policy.toml acme.example/wallet",
    (
        "policy add policy.toml acme.example/wallet --auditor"
        " lab.example:reproduction,source-review --count reproduction=1 --links 1,2,3"
        f" --lowest-version 1.4.0 --pin acme.example={HEX} --channel required"
    ),
    "policy explain policy.toml",
    "policy lint policy.toml",
    RELEASE,
    RELEASE.replace("--measurements build.json", "--pcr 0=AB --pcr 1=CD --pcr 2=EF"),
    f"{RELEASE} --variant x86_64 --source URI --commit HEX --recipe recipe.txt",
    f"{RELEASE} --component PRODUCT:SHA256 --component PRODUCT:SHA256",
    f"{RELEASE} --no-components --no-controls --recipe URI",
    f"{RELEASE} --control kms-policy:SHA256 --image image.eif",
    f"{RELEASE} --binding user_data:tls-spki-sha256 --expires 2027-01-01T00:00:00Z",
    f"{RELEASE} --reference sbom:URI:SHA256 --conflict --as acme.example",
    f"{RELEASE} --output release.json",
    f"{COSIGN} --scope reproduction --result pass --measurements rebuilt.json 7",
    (
        f"{COSIGN} --scope reproduction --result pass --measurements rebuilt.json"
        " --components-complete 7"
    ),
    (
        f"{COSIGN} --scope source-review --result qualified"
        " --open critical=0,high=0,medium=2,low=5 7"
    ),
    (
        f"{COSIGN} --scope source-review --result pass --commit HEX --basis 7"
        " --report URI:SHA256 --expires 2027-01-01T00:00:00Z"
    ),
    f"{COSIGN} --scope controls-review --result fail 7",
    "revoke --log URL --key acme.key --reason vulnerable 7",
    (
        "revoke --log URL --key acme.key --reason superseded"
        " --effective 2027-01-01T00:00:00Z 7"
    ),
    "revoke --log URL --key enrol.key --reason compromised --as registrar 7",
    "sign statement.json --key acme.key --output statement.signed",
    "submit statement.signed --log URL",
    f"wait {HEX} --log URL",
    (
        f"verify {P} {PRODUCT} --attestation doc.cbor --bundle wallet.pcrbundle"
        " --nonce ABCD --at 2026-11-23T07:00:00Z --json"
    ),
    f"verify {P} {PRODUCT} --url https://enclave.example --no-channel",
    f"bundle {P} {PRODUCT} --measurement aws-nitro/PCR0=sha384:HEX -o w.pcrbundle",
    f"bundle {P} {PRODUCT} --measurements build.json -o wallet.pcrbundle",
    f"ready {P} {PRODUCT} --measurements build.json --wait 2h",
    f"ready {P} {PRODUCT} --measurements build.json --wait",
    f"queue {P}",
    f"queue {P} {PRODUCT} --scope source-review --as lens.example --mirror m --json",
    f"staple {P} --follow acme.example/wallet --out web",
    (
        f"staple {P} --follow acme.example/wallet --out web --once --newest 2"
        " --attestation https://wallet.acme.example/attestation"
    ),
    f"verify {P} wallet.acme.example",
    f"{RELEASE} --from-git --recipe build.sh --remote origin",
    f"lookup {P} --measurement aws-nitro/PCR0=sha384:HEX",
    f"lookup {P} {PRODUCT}",
    f"lookup {P} --identity acme.example",
    f"controls check {P} {PRODUCT} --administrator ARN --pcr0-alone kms.json",
    "controls check kms.json --measurements good.json --measurements green.json",
    f"controls render {P} {PRODUCT} --format terraform",
    "identify doc.cbor",
    "show 7",
]
"""Every command line that scripts rely on (issue 2), and those they are made of."""


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, by their full names."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from leaves(found, f"{name} {inner}".strip())
    else:
        yield name, command


ALL = dict(leaves(pcrlog, ""))
PARENT = click.Context(pcrlog, help_option_names=["-h", "--help"])
"""Commands keep the help option of their first context: it has to be the real one."""


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_that_scripts_rely_on_is_understood(line: str) -> None:
    words = line.split()
    size = 2 if words[0] in {"controls", "keys", "identity", "policy"} else 1
    command = ALL[" ".join(words[:size])]
    session = Session(clock=lambda: 0.0, output=Output())
    command.make_context(words[0], words[size:], parent=PARENT, obj=session)


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_and_takes_json(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert "--json" in {opt for param in command.params for opt in param.opts}
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, param


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    module, text = COMMANDS[name]
    found = f"{name.replace('-', '_')}_command"
    command = getattr(importlib.import_module(module), found)
    assert command.help.splitlines()[0] == text


# --- how they end --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("", 2),
        ("--help", 0),
        ("--version", 0),
        ("verify --help", 0),
        ("frobnicate", 2),
        ("verify --frobnicate", 2),
        ("verify --policy missing.toml --product a/b --url x", 2),
        ("policy", 2),
        ("show x", 2),
    ],
)
def test_the_exit_status_tells_the_kind_of_end(
    world: World, words: str, status: int
) -> None:
    assert world.run(words).status == status


def test_an_error_is_json_for_programs(world: World) -> None:
    ran = world.run("show 99 --policy policy.toml --json")
    assert json.loads(ran.out)["exit_status"] == 3
    assert ran.err == ""


def test_an_error_names_the_help(world: World) -> None:
    assert "see pcrlog verify --help" in world.run("verify --frobnicate").err


@pytest.mark.parametrize("kind", [KeyboardInterrupt, click.Abort])
def test_an_interrupted_command_ends_so(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def stop(*_: object) -> NoReturn:
        raise kind

    monkeypatch.setattr("cli.policy.files.read", stop)
    assert world.run("policy lint policy.toml").status == 130


def test_what_is_refuted_ends_with_4(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        message = "no"
        raise VerificationError(message)

    monkeypatch.setattr("cli.policy.files.read", refuse)
    assert world.run("policy lint policy.toml").status == 4


def test_a_crash_is_left_to_python(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr("cli.policy.files.read", crash)
    with pytest.raises(ZeroDivisionError):
        world.run("policy lint policy.toml")


def test_a_command_is_called_through_main() -> None:
    with pytest.raises(RuntimeError):
        ALL["policy lint"].main(["x"], standalone_mode=False, parent=PARENT)


# --- what they import ----------------------------------------------------------------


def imported(*args: str) -> set[str]:
    """The modules that a run of `pcrlog` loads, in a process of its own."""
    code = (
        "import sys; from cli.main import main; main(sys.argv[1:]);"
        " print(*sys.modules, sep=chr(10), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines())


HEAVY = {"requests", "flask", "rich", "securesystemslib", "granian"}


def test_help_imports_no_command() -> None:
    found = imported("--help")
    assert not found & {module for module, _ in COMMANDS.values()}
    assert not found & {*HEAVY, "cryptography", "pcrlog.policy"}


def test_verifying_offline_imports_nothing_heavy(world: World) -> None:
    world.scene.release()
    world.log.seal()
    words = "--policy policy.toml --product acme.example/wallet"
    world.run(f"bundle {words} --measurements good.json -o w")
    found = imported("verify", *words.split(), "--attestation", "w", "--bundle", "w")
    assert "cli.verify" in found
    assert not found & {*HEAVY, "pcrlog.transport", "http.client", "ssl", "subprocess"}


def test_main_is_the_console_script() -> None:
    assert main(["--version"]) == 0


def test_the_package_can_be_run() -> None:
    words = [sys.executable, "-m", "cli", "frobnicate"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 2
