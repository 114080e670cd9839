"""`make demo`: a provider, two auditors, a user, and all that can go wrong.

It ends by printing the address of the page that shows what it did (`options`).
Everything here is real but the enclave: the log, its signatures, its proofs, and the
processes. The registers are those that real projects publish, where the test vectors
are at hand, and else the demo's own.
"""

import json
import os
import signal
import sys
import time
from hashlib import sha384
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from demo import page
from demo.options import Options, folder_of, read
from demo.second_history import copy
from demo.stage import Stage, SurpriseError, free_ports
from demo.watchers import Watchers
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import encode_base64

if TYPE_CHECKING:
    from subprocess import Popen

PRODUCT = "acme.example/wallet"
COMMIT = "3f9a1c" + "7d" * 17
_PUBLISHED = "publications/publications.json"
_REAL = [f"base_blue_v{n}_0_0_amd64" for n in (1, 2, 3)]


def builds() -> dict[str, dict[str, str]]:
    """The registers of four builds: old, good, rogue, fixed."""
    names = ("old", "good", "rogue", "fixed")
    home = os.environ.get("PCRLOG_VECTORS", "../shared/vectors")
    published = Path(home, _PUBLISHED)
    if published.exists():
        found = [
            item["measurements"]
            for item in json.loads(published.read_bytes())
            if (
                item["artifact"].startswith("base_blue_v")
                and "amd64" in item["artifact"]
            )
            or "hello:v1" in item["artifact"]
        ]
        distinct = {item["PCR0"]: item for item in found}
        if len(distinct) >= len(names):
            return dict(zip(names, distinct.values(), strict=False))
    return {
        name: {f"PCR{n}": sha384(f"{name} {n}".encode()).hexdigest() for n in range(3)}
        for name in names
    }


class Story:
    """The demo's scenes, in order; each leaves the log as the next one needs it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port, self.enclave_port = free_ports(2)
        self.log = f"http://127.0.0.1:{self.port}"
        self.enclave: Popen[bytes] | None = None
        self.server: Popen[bytes] | None = None
        self.page = f"{self.log}/product/{PRODUCT}"
        self.watchers = Watchers(stage, self.log)
        for name, registers in builds().items():
            measured = {"HashAlgorithm": "Sha384 { ... }", **registers}
            stage.write(
                f"{name}.json", json.dumps({"Measurements": measured}, indent=2)
            )

    # --- what the scenes are made of -------------------------------------------------

    def attest(self, build: str, lie: str | None = None) -> None:
        """Let the enclave run a build, and perhaps lie."""
        if self.enclave is not None:
            self.stage.stop(self.enclave)
        words = f"python -m demo.enclave --port {self.enclave_port}"
        words += f" --measurements {build}.json" + (f" --lie {lie}" if lie else "")
        self.enclave = self.stage.start(words, self.enclave_port)

    def verify(self, expect: int = 0, *, policy: str = "policy.toml") -> None:
        """Ask the enclave, as its user does."""
        url = f"https://127.0.0.1:{self.enclave_port}/attestation"
        words = f"pcrlog verify --policy {policy} --product {PRODUCT} --url {url}"
        self.stage.run(words, expect=expect)

    def release(
        self,
        version: str,
        build: str,
        more: str = "",
        *,
        key: str = "acme",
        expect: int = 0,
    ) -> int:
        """Release a build; its index."""
        output = self.stage.run(
            f"pcrlog release --policy policy.toml --key {key}.key --product {PRODUCT}"
            f" --version {version} --measurements {build}.json {more}".rstrip(),
            expect=expect,
        )
        return _index(output) if expect == 0 else -1

    def serve(self, folder: str) -> None:
        """Serve a log, instead of the one that was served before."""
        if self.server is not None:
            self.stage.stop(self.server)
        words = f"pcrlog-server serve {folder} --listen 127.0.0.1:{self.port}"
        self.server = self.stage.start(words, self.port)

    # --- the scenes ------------------------------------------------------------------

    def a_log(self) -> None:
        """Make a log, and let it run."""
        self.stage.say("1. An operator starts a log.")
        run = self.stage.run
        run("pcrlog-server init log --origin log.example/pcr")
        self.serve("log")
        self.stage.say(
            "   Nobody has to trust it. Two witnesses cosign only what extends what"
            " they saw;\n   an index monitor reads every entry, recomputes the index,"
            " and\n   cosigns what is clean."
        )
        self.watchers.witnesses()
        self.watchers.monitor(PRODUCT, ["old.json", "good.json", "fixed.json"])
        self.stage.say(
            "   The operator names them in log/log.toml: nothing is published without"
            " them."
        )
        self.watchers.name_them()
        self.serve("log")
        run(f"pcrlog-server policy log --url {self.log} -o policy.toml")
        self.watchers.start_monitor()

    def enrolments(self) -> None:
        """A provider and two auditors prove that they hold their keys."""
        self.stage.say("2. A provider and two auditors are enrolled.")
        run = self.stage.run
        for name, key, role in (
            ("acme.example", "acme", "provider"),
            ("lab.example", "lab", "auditor"),
            ("lens.example", "lens", "auditor"),
        ):
            run(f"pcrlog keys new {key}.key")
            run(
                f"pcrlog identity request --origin log.example/pcr --name {name}"
                f" --key {key}.key -o {key}.request"
            )
            run(
                f"pcrlog-server enroll log --name {name} --role {role}"
                f" --request {key}.request"
            )

    def policy(self) -> None:
        """The user writes down what they demand."""
        self.stage.say(
            "3. A user adds to the policy: which product, which auditors.\n"
            "   (The simulator's root is added by hand: nothing trusts it by default.)"
        )
        run = self.stage.run
        self._trust_the_simulator()
        run(
            f"pcrlog policy add policy.toml {PRODUCT} --lowest-version 1.4.0"
            " --auditor lab.example:reproduction --auditor lens.example:source-review"
            " --channel required"
        )

    def _trust_the_simulator(self) -> None:
        der = encode_base64(Simulator(b"pcrlog demo").root_der)
        rows = [der[i : i + 64] for i in range(0, len(der), 64)]
        frame = "-----{} CERTIFICATE-----"
        pem = "\n".join([frame.format("BEGIN"), *rows, frame.format("END")])
        path = self.stage.folder / "policy.toml"
        text = path.read_text()
        trusted = text.replace('roots = ["builtin"]', f'roots = ["""\n{pem}"""]')
        if trusted == text:
            message = 'the policy has no line roots = ["builtin"]'
            raise SurpriseError(message)
        path.write_text(trusted)

    def first_release(self) -> int:
        """A release, and what it is worth alone; then with two auditors."""
        say, run = self.stage.say, self.stage.run
        say("4. The provider releases wallet 1.3.0 and, a year later, 1.4.2.")
        binding = "--binding user_data:tls-spki-sha256"
        self.release("1.3.0", "old", binding)
        self.stage.write("recipe.txt", "nix build .#eif\n")
        index = self.release(
            "1.4.2",
            "good",
            f"--source https://git.example/acme/wallet --commit {COMMIT}"
            " --recipe recipe.txt --recipe-uri https://git.example/acme/recipe.txt"
            f" --no-components --no-controls {binding}",
        )
        say("5. A user, about to send a secret: what is this enclave?")
        self.attest("good")
        self.verify()
        say("6. One auditor rebuilds it, to the same registers; one reads the source.")
        run(
            "pcrlog cosign --policy policy.toml --key lab.key --scope reproduction"
            f" --result pass --measurements good.json {index}"
        )
        run(
            "pcrlog cosign --policy policy.toml --key lens.key --scope source-review"
            f" --result pass {index}"
        )
        self.verify()
        return index

    def lies_of_the_operator(self) -> None:
        """Whoever runs the enclave lies."""
        scenes = (
            (
                "7. The operator answers with a document recorded earlier.",
                "good",
                "stale",
            ),
            ("8. The enclave runs in debug mode: its memory is open.", "good", "debug"),
            ("9. The enclave runs something else.", "rogue", None),
        )
        for words, build, lie in scenes:
            self.stage.say(words)
            self.attest(build, lie)
            self.verify(4)
        self.stage.say(
            "10. Somebody in the middle passes on the answer of a genuine enclave:\n"
            "    the key that it attests is not the key of this connection."
        )
        self.attest("good", "relay")
        self.verify(3)

    def lies_of_the_provider(self) -> None:
        """Whoever holds the provider's key lies."""
        say, run = self.stage.say, self.stage.run
        say("11. Somebody releases another build as 1.4.2. The log keeps the evidence.")
        self.release("1.4.2", "rogue", expect=4)
        rogue = self.release("1.4.2", "rogue", "--conflict")
        self.watchers.hears("unexpected-release", time.monotonic())
        self.attest("good")
        self.verify(4)
        say("    The provider takes the wrong one back.")
        run(
            "pcrlog revoke --policy policy.toml --key acme.key --reason erroneous"
            f" {rogue}"
        )
        self.verify()
        say("12. An old, vulnerable build is given a new number.")
        self.release("1.5.0", "old", "--binding user_data:tls-spki-sha256")
        self.attest("old")
        self.verify(4)

    def revocations(self, index: int) -> None:
        """A hole is found, and closed."""
        say, run = self.stage.say, self.stage.run
        say("13. A hole is found in 1.4.2. The provider revokes what it measures as.")
        run(
            "pcrlog revoke --policy policy.toml --key acme.key --reason vulnerable"
            f" {index}"
        )
        self.attest("good")
        self.verify(4)
        say("14. The same build cannot come back under another version.")
        self.release("1.4.3", "good", expect=4)
        say("15. The fixed build, 1.4.4.")
        self.release("1.4.4", "fixed", "--binding user_data:tls-spki-sha256")
        self.attest("fixed")
        self.verify()

    def leaked_key(self) -> None:
        """At night, alone, a key is put out of use."""
        say, run = self.stage.say, self.stage.run
        say("16. The provider's key leaks. At night, alone, its owner retires it.")
        run(
            "pcrlog identity retire --policy policy.toml --name acme.example"
            " --key acme.key"
        )
        say("    The thief tries to release with it.")
        self.release("1.6.0", "rogue", expect=4)
        say("    What it released before stands: the log's order is the only clock.")
        self.verify()

    def the_log(self) -> None:
        """What the log holds."""
        say, run = self.stage.say, self.stage.run
        say("17. What the log holds of this product, each entry with its proof.")
        run(f"pcrlog lookup --policy policy.toml --product {PRODUCT}")
        say("    And a second look at the log itself, from its entries alone.")
        run("pcrlog-server fsck log")
        say("    And all that the monitor has told.")
        run("pcrlog-monitor status --config monitor.toml", expect=0)

    def second_history(self) -> None:
        """The log is replaced by one that tells another story."""
        say, run = self.stage.say, self.stage.run
        say(
            "18. The log's key is stolen, with an old copy of the log. Its second"
            " history goes on\n    from before the revocation, with the leaked key."
        )
        self.serve("yesterday")
        size = self._grow()
        say(f"    It has as many entries as the first one, {size}. A user of today:")
        self.attest("rogue")
        self.verify(4)
        say("    A witness is asked to cosign it.")
        port = self.watchers.ports[0]
        run(
            f"python -m demo.second_history ask http://127.0.0.1:{port} {self.log}",
            expect=4,
        )
        run("pcrlog-monitor witness status w1", expect=4)
        say("    The monitor has looked meanwhile.")
        self.watchers.hears("fork", time.monotonic())
        say("    What it wrote proves it to anybody who knows the log's key, offline.")
        run(
            f"pcrlog-monitor evidence verify {self.watchers.evidence()}"
            " --policy policy.toml"
        )

    def _grow(self) -> int:
        """Let the second history catch up with the first; the size of both."""
        size, wanted = (
            _size(self.stage.folder / name / "public" / "checkpoint")
            for name in ("yesterday", "log")
        )
        release = (
            f"pcrlog release --log {self.log} --key acme.key --product {PRODUCT}"
            " --measurements rogue.json --version 2.0."
        )
        for number in range((wanted - size) // 2):
            if number == 0:
                self.stage.run(f"{release}{number}")
            else:
                self.stage.quietly(f"{release}{number}")
        return wanted

    def the_page(self) -> None:
        """What people see who look the product up."""
        self.stage.say(
            "19. The first history once more, to be looked at. Who watched it has gone:"
            " nothing\n    is added to it without them. The product's page says what it"
            " was about."
        )
        self.watchers.end()
        self.serve("log")
        page.check(self.page)
        self.stage.show(f"{self.page}:")
        self.stage.show(
            "each release, who rebuilt and reviewed it, and what was revoked"
        )

    def play(self) -> None:
        """All scenes."""
        self.a_log()
        self.enrolments()
        self.policy()
        index = self.first_release()
        copy(self.stage.folder / "log", self.stage.folder / "yesterday")
        self.lies_of_the_operator()
        self.lies_of_the_provider()
        self.revocations(index)
        self.leaked_key()
        self.the_log()
        self.second_history()
        self.the_page()


def _size(checkpoint: Path) -> int:
    return int(checkpoint.read_text().splitlines()[1])


def _index(output: str) -> int:
    """The index that a command printed after the word entry."""
    words = output.replace(",", " ").replace(".", " ").split()
    for word, following in pairwise(words):
        if word == "entry" and following.isdigit():
            return int(following)
    message = f"no index in: {output}"
    raise SurpriseError(message)


def main(arguments: list[str] | None = None) -> int:
    """Play the demo; 0 if all went as the story says."""
    options = read(arguments)
    began = time.monotonic()
    with folder_of(options) as folder:
        stage = Stage(folder)
        try:
            story = Story(stage)
            story.play()
            _tell(story, time.monotonic() - began, options)
            if options.stay:
                page.stay(stage)
        except SurpriseError as error:
            print(f"\nThe demo did not go as it should: {error}", file=sys.stderr)
            return 1
        finally:
            stage.close()
    return 0


def _tell(story: Story, seconds: float, options: Options) -> None:
    """Say how it went, and where to see it; the address comes last."""
    print(f"\nAll as it should be, in {seconds:.0f} s. Next: docs/verifying.md")
    print("\nWhat happened, on one page of the log, ", end="")
    if options.stay:
        print("until Ctrl-C:")
    elif options.keep:
        print("once this serves it again:")
        print(f"  make serve DIR={options.keep}/log LISTEN=127.0.0.1:{story.port}")
    else:
        print("which ended with the demo (make demo ARGS=--stay):")
    print(f"  {story.page}", flush=True)


if __name__ == "__main__":
    # Whoever ends it that way, too, leaves no server behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
