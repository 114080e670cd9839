"""A platform is one module and one entry: another maker's, from nothing to a report."""

import subprocess
import sys

from tests.support.vectors import ROOT

SAID = """\
VERIFIED TO LINK 2 OF 7: this is what acme.example released as toy 1.0.0; nobody else \
has looked
    separate, 30 checks, number 5 its own
COULD NOT CHECK: document.charm: no charm was given
    separate, 30 checks, number 5 its own
VERIFIED TO LINK 2 OF 7: this is what acme.example released as toy 1.0.0; nobody else \
has looked
    separate, 30 checks, number 5 its own
REFUTED: document.signature: not signed by its maker
    unknown, 30 checks, number 5 its own
REFUTED: document.form: """


def test_another_makers_platform_takes_one_module_and_one_entry() -> None:
    program = "tests.unit.attestation.another_platform"
    done = subprocess.run(
        [sys.executable, "-m", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(SAID)
    assert "toy: expected TOY1 and 128 bytes" in done.stdout
