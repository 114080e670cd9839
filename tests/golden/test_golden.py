"""What commands print, word for word, on one small log whose bytes never change.

Each file has the commands of one scene, as they were typed, with what they printed and
how they ended. `pytest tests/golden --update` writes them anew; a difference in review
is then a difference that users see.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pcrlog.measurement import Registers
from pcrlog.predicates import Binding, Component
from tests.support import images
from tests.support.scene import NONCE, PRODUCT, document
from tests.unit.cli.world import GOOD, OLD, ROGUE, World, connect, release_words

HERE = Path(__file__).parent
LOG = "--policy policy.toml"
VERIFY = f"verify {LOG} --product {PRODUCT} --attestation doc --nonce {NONCE.hex()}"
REBUILD = f"cosign {LOG} --key lab.key --scope reproduction --result pass"
REVIEW = f"cosign {LOG} --key lens.key --scope source-review"
BINDING = Binding("user_data", "tls-spki-sha256")


class Transcript:
    """Runs commands and writes down what they print."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.text = ""

    def run(self, *words: str) -> None:
        """One command."""
        ran = self.world.run(*words)
        self.text += f"$ pcrlog {' '.join(words)}\n{ran.out}{ran.err}"
        self.text += f"(exit {ran.status})\n\n" if ran.status else "\n"

    def attest(self, measured: Registers = GOOD, age: int = 0, **rest: Any) -> None:
        """A document of the enclave, so many seconds old."""
        time = self.world.log.now - age
        self.world.write("doc", document(measured, time=time, **rest))


def the_whole_story(log: Transcript) -> None:
    """Released, rebuilt, reviewed, revoked."""
    log.world.write("recipe.txt", b"nix build\n")
    log.attest()
    log.run(VERIFY)
    source = f"--source https://git.example/wallet --commit {'3f' * 20}"
    more = f"{source} --recipe recipe.txt --no-components"
    log.run(release_words(), more)
    log.run(release_words(), more)
    log.run(VERIFY)
    log.run(REBUILD, "--measurements rogue.json 5")
    log.run(REBUILD, "--measurements good.json --components-complete 5")
    log.run(REVIEW, "--result qualified --open critical=0,high=1,medium=2,low=5 5")
    log.run(VERIFY)
    log.run(REVIEW, "--result pass 5")
    log.run(VERIFY)
    log.run(VERIFY, "--json")
    log.run(f"show 5 {LOG}")
    log.run(f"lookup {LOG} --product {PRODUCT}")
    log.run(f"revoke {LOG} --key acme.key --reason vulnerable 5")
    log.run(VERIFY)
    log.run(release_words("1.4.3"))


def refusals(log: Transcript) -> None:
    """What an operator, a provider or a log can do wrong."""
    world = log.world
    world.scene.release("1.4.2", binding=BINDING)
    world.log.seal()
    log.attest(age=3600)
    log.run(VERIFY)
    log.attest(debug=True)
    log.run(VERIFY)
    log.attest(ROGUE)
    log.run(VERIFY)
    log.attest(user_data=bytes(32))
    world.write_policy(product={"channel": "required"})
    log.run(VERIFY, f"--binding tls-spki-sha256:{'ab' * 32}")
    log.run(VERIFY)
    world.write_policy()
    log.run(release_words(build="rogue"))
    log.run(release_words(build="rogue"), "--conflict")
    log.run(VERIFY)
    log.run(f"bundle {LOG} --product {PRODUCT} --measurements good.json -o wallet")
    world.log.now += 2 * 86_400
    log.attest()
    log.run(VERIFY, "--bundle wallet")


def an_old_build(log: Transcript) -> None:
    """A number does not make an old build new; an archived one says nothing of now."""
    log.world.scene.release("1.0.0", OLD)
    log.world.scene.release("2.0.0", OLD)
    log.world.log.seal()
    log.world.write_policy(product={"lowest_version": "1.4.0"})
    log.attest(OLD)
    log.run(VERIFY)
    log.world.write_policy()
    log.run(VERIFY, "--at 2026-11-23T07:00:00Z")


def rolling_out(log: Transcript) -> None:
    """What a policy demands, and what is missing from whom."""
    component = Component("base.example/image", "ab" * 32)
    log.world.scene.release("1.4.2", components=(component,))
    log.world.log.seal()
    log.world.write_policy(product={"links": [1, 2, 3, 5]})
    ready = f"ready {LOG} --product {PRODUCT} --measurements"
    log.run(f"{ready} good.json")
    log.run(f"{ready} rogue.json")
    log.world.write_policy()
    log.run(f"{ready} good.json")
    log.run("policy explain policy.toml")
    log.run("policy lint policy.toml")


def what_is_left_to_do(log: Transcript) -> None:
    """An auditor's queue, and what a provider staples meanwhile."""
    staple = f"staple {LOG} --follow {PRODUCT} --out web --once"
    log.run(f"queue {LOG}")
    log.run(staple)
    log.world.scene.release("1.4.2")
    log.world.log.now += 3 * 86_400
    log.world.scene.release("1.5.0", ROGUE, source=None)
    log.world.log.seal()
    log.run(f"queue {LOG}")
    log.run(f"queue {LOG} --as lab.example --scope reproduction --json")
    log.world.scene.reproduce()
    log.world.log.seal()
    log.run(f"queue {LOG} --as lab.example")
    log.run(staple, "--attestation https://wallet.acme.example/attestation")
    log.run(f"revoke {LOG} --key acme.key --reason vulnerable 5")
    log.run(f"queue {LOG}")
    log.run(f"{staple} --measurements good.json")
    ready = f"ready {LOG} --product {PRODUCT} --measurements good.json"
    log.run(f"{ready} --wait")


def keys_and_names(log: Transcript) -> None:
    """Who speaks, and at night no longer does."""
    log.run(f"identity request --name new.example --key lab.key -o new {LOG}")
    log.run(f"identity show acme.example {LOG}")
    log.run(release_words().replace("acme.key", "lab.key"))
    log.run(f"identity compromise --key acme.key --since 3 {LOG}")
    log.run(f"identity retire --key acme.key {LOG}")
    log.run(f"identity show acme.example {LOG}")
    log.run(release_words())


def three_machines(log: Transcript) -> None:
    """Making, signing and submitting, one by one."""
    log.run(release_words(), "--output r.json")
    log.run("show r.json")
    log.run("sign r.json --key acme.key --output r.signed")
    log.run(f"submit r.signed {LOG}")
    log.world.patient = True
    log.run(f"submit r.signed {LOG} --json")


def two_builds(log: Transcript) -> None:
    """An image is measured, and a rebuild of it does not match."""
    files = [images.file(f"app/{name}", b"x", mtime=100) for name in ("lib", "wallet")]
    init = images.ramdisk([images.file("init", b"init")])
    app = images.ramdisk(files)
    log.world.write("app.eif", images.image(init, app, algorithm="ES384"))
    log.world.write("part.cpio", app)
    rebuilt = images.ramdisk(replace(one, mtime=200) for one in reversed(files))
    cmdline = b"reboot=k panic=31 pci=off"
    log.world.write("again.eif", images.image(init, rebuilt, cmdline=cmdline))
    log.run("measure app.eif")
    log.run("measure app.eif --explain")
    log.run("measure app.eif --json")
    log.run("measure --with part.cpio app.eif")
    log.run("measure --role-arn arn:aws:iam::123456789012:role/Webserver")
    log.run("measure part.cpio")
    log.run("diff app.eif again.eif")
    log.run("diff good.json rogue.json")


def mistakes(log: Transcript) -> None:
    """What is typed wrongly is told rightly."""
    log.run("--help")
    log.run("verify --help")
    log.run(f"verify {LOG} --product {PRODUCT}")
    log.run("verify --product acme.example/other --attestation doc", LOG)
    log.run(f"release --product {PRODUCT} --version 1 --pcr 0=12")
    log.run(f"show 99 {LOG}")
    log.run(f"show 99 {LOG} --json")
    log.run("keys new acme.key")


SCENES: dict[str, Callable[[Transcript], None]] = {
    scene.__name__.replace("_", "-"): scene
    for scene in (
        the_whole_story,
        refusals,
        an_old_build,
        rolling_out,
        what_is_left_to_do,
        keys_and_names,
        three_machines,
        two_builds,
        mistakes,
    )
}


@pytest.fixture
def transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Transcript:
    """A world whose bytes never change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "88")
    for name in ("PCRLOG_POLICY", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    world = World(tmp_path, capsys)
    connect(world, monkeypatch)
    return Transcript(world)


@pytest.mark.parametrize("scene", SCENES)
def test_a_command_prints_what_it_always_printed(
    scene: str, transcript: Transcript, request: pytest.FixtureRequest
) -> None:
    SCENES[scene](transcript)
    golden = HERE / f"{scene}.txt"
    if request.config.getoption("--update", default=False):
        golden.write_text(transcript.text)
    assert transcript.text == golden.read_text(), "see: pytest tests/golden --update"


def test_there_is_no_golden_file_of_nothing() -> None:
    assert {path.stem for path in HERE.glob("*.txt")} == set(SCENES)
