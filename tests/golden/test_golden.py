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
from tests.support import images, sources
from tests.support.memory_log import key
from tests.support.scene import NONCE, PRODUCT, SIMULATOR, document, pem, toml
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
        here = str(self.world.folder)
        said = f"{ran.out}{ran.err}".replace(here, "/home/lab")
        self.text += f"$ pcrlog {' '.join(words)}\n{said}"
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


def policies_that_follow(log: Transcript) -> None:
    """Two of three sign the next policy; what it demands no hardware has."""
    world = log.world
    for name in ("anna", "ben", "carl"):
        world.write_key(f"{name}.key", key(f"{name} signs policies"))
    tables = f"""[platforms.aws-nitro]
roots = [{toml(pem(SIMULATOR.root_der))}]

[products."{PRODUCT}"]
platforms = ["aws-nitro"]
"""
    world.write("policy.toml", world.log.policy(products=tables).encode())
    keys = "--key anna.key --key ben.key --key carl.key"
    log.run(f"policy signers policy.toml --quorum 2 {keys}")
    world.write("next.toml", (world.folder / "policy.toml").read_bytes())
    log.run(f"policy add next.toml {PRODUCT} --ground separate")
    log.run("policy sign next.toml --after policy.toml")
    log.run("policy sign next.toml --after policy.toml --key anna.key -o one")
    log.run("policy update policy.toml one")
    log.run("policy sign one --after policy.toml --key ben.key -o two")
    world.scene.release("1.4.2")
    world.log.seal()
    log.attest()
    log.run(f"export {PRODUCT} {LOG} --jsonl")
    log.run(f"export {PRODUCT} {LOG} --corim -o wallet.corim")
    log.run("policy update policy.toml two")
    log.run("policy update policy.toml two")
    log.run("policy lint policy.toml")
    log.run(VERIFY)
    log.run(f"ready {LOG} --product {PRODUCT} --measurements good.json")
    log.run(f"export {PRODUCT} {LOG} --rvps")


def parts_made_elsewhere(log: Transcript) -> None:
    """A sidecar without source is where trust ends, by name; until it has one."""
    world = log.world
    world.log.enroll("parts.example", "provider")
    world.write_key("parts.key", key("parts.example"))
    world.write("sidecar.tar", b"a sidecar, as it is shipped")
    world.write("recipe", b"make\n")
    world.scene.reproduce()
    world.scene.review()
    world.log.seal()
    log.attest()
    add = f"component add sidecar.tar {LOG} --key parts.key"
    add += " --product parts.example/sidecar --version"
    log.run(add, "1.0.0")
    source = f"--source https://git.example/acme/wallet --commit {'ab' * 20}"
    log.run(
        release_words(),
        f"{source} --recipe recipe --component parts.example/sidecar:sidecar.tar",
    )
    index = max(world.log.entries)
    log.run(f"component list {LOG} {index}")
    log.run(REBUILD, f"--measurements good.json --components-complete {index}")
    log.run(VERIFY)
    source = f"--source https://git.example/parts/sidecar --commit {'0e' * 20}"
    log.run(add, f"1.0.1 {source} --recipe recipe")
    log.run(f"component list {LOG} --product {PRODUCT}")
    log.run(f"queue {LOG}")
    part = max(world.log.entries)
    log.run(REBUILD, f"--artifact sidecar.tar {part}")
    log.run(f"component list {LOG} {index} --json")
    log.run(VERIFY)
    log.run(f"revoke {LOG} --key parts.key --reason vulnerable {part}")
    log.run(f"component list {LOG} {index}")
    log.run(VERIFY)


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


def a_rebuild(log: Transcript) -> None:
    """Rebuilt, and another image comes out; mended; reviewed on an earlier review."""
    world = log.world
    uri, source = "https://git.example/acme/wallet", world.folder / "src"
    build = b"#!/bin/sh\ncp parts.bin app.eif\n"
    first = sources.commit(
        source, {"build.sh": build, "parts.bin": sources.image(mtime=200)}
    )
    world.write("app.eif", sources.image(mtime=100))
    release = f"release {LOG} --key acme.key --product {PRODUCT} --image app.eif"
    release += f" --measurements app.eif --source {uri} --recipe src/build.sh"
    log.run(release, f"--version 1.4.2 --commit {first}")
    rebuild = f"cosign {LOG} --key lab.key --rebuild ./build.sh --produces app.eif"
    rebuild += " --fetch-from src"
    log.run(rebuild, "5")
    log.run(rebuild, "--folder first --run 5")
    log.run(rebuild, "--folder second --run --against app.eif 5")
    log.run(rebuild, "--folder third --run --fail-on-mismatch 5")
    mended = sources.commit(source, {"parts.bin": sources.image(mtime=100)})
    log.run(release, f"--version 1.4.3 --commit {mended} --no-components")
    index = max(world.log.entries)
    log.run(rebuild, f"--run --components-complete {index}")
    log.run(f"revoke {LOG} --key lab.key --reason erroneous 7")
    earlier = world.scene.review(of=first)
    world.log.seal()
    world.log.now += 40 * 86_400
    world.log.seal()
    log.run(REVIEW, f"--result pass --basis {earlier} --expires 90d {index}")
    log.run(f"queue {LOG} --expiring 30d")
    log.run(f"queue {LOG} --expiring 100d")
    log.run(rebuild, f"--result pass {index}")
    log.run(rebuild, "--timeout 8d 5")


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
        policies_that_follow,
        parts_made_elsewhere,
        what_is_left_to_do,
        keys_and_names,
        three_machines,
        two_builds,
        a_rebuild,
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
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
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
