"""docs/tutorial.md, followed to the letter: a log, five parties, four enclaves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.console import Names, Shell, fits, steps, walked
from tests.support.vectors import ROOT
from workbench.eif import measure
from workbench.ramdisk import Entry, read

PAGE = ROOT / "docs" / "tutorial.md"
PORTS = ("8080", "8443", "8444", "8445", "8446")
COMMANDS = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
WRITE = os.environ.get("PCRLOG_WRITE_DOCS") == "1"


def environment(folder: Path) -> dict[str, str]:
    """What the page's first lines set, and nothing of whoever runs this."""
    who = {"NAME": "you", "EMAIL": "you@acme.example"}
    parties = [f"GIT_{one}" for one in ("AUTHOR", "COMMITTER")]
    return {
        "PATH": COMMANDS,
        "REPO": str(ROOT),
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C.UTF-8",
        **{f"{one}_{what}": text for one in parties for what, text in who.items()},
    }


@pytest.mark.e2e
def test_the_tutorial_goes_as_it_says(tmp_path: Path) -> None:
    """PCRLOG_WRITE_DOCS=1 writes the outputs that differ."""
    folder = tmp_path / "tutorial"
    folder.mkdir()
    page = PAGE.read_text("utf-8")
    names = Names.made(folder, COMMANDS, PORTS)
    with Shell(names, environment(tmp_path)) as shell:
        written = walked(page, shell)
    if WRITE:
        PAGE.write_text(written, "utf-8")
    assert written == PAGE.read_text("utf-8")


def test_commands_and_their_output_are_told_apart() -> None:
    block = "$ cat <<'END'\n$ x\nEND\n$ x\n$ a \\\n  b\nsaid\n(exit 4)\n"
    assert list(steps(block)) == [
        ("cat <<'END'\n$ x\nEND", ()),
        ("x", ()),
        ("a \\\n  b", ("said", "(exit 4)")),
    ]


def test_an_abridged_output_is_compared_where_it_is_shown() -> None:
    output = ["a", "b", "c"]
    assert all(fits(shown, output) for shown in (["a", "…"], ["…", "c"], ["…"], output))
    wrong = ("", "a", "… b", "b …", "… d", "a … b")
    assert not any(fits(shown.split(), output) for shown in wrong)
    assert not fits(["a", "…"], [*output, "(exit 4)"])


def test_digests_are_named_in_the_order_in_which_they_are_shown(tmp_path: Path) -> None:
    names = Names(tmp_path, "/bin", {})
    other = Names(tmp_path, "/bin", {})
    text = "{0} {1}… is {1}{1} of {0}, not iam::111122223333"
    said = names.shown(text.format("ab" * 32, "cd" * 8))
    assert said == other.shown(text.format("1e" * 32, "34" * 8))
    first, short, _, full, _, again, *_ = said.replace(",", "").split()
    assert (first, full[:16]) == (again, short.removesuffix("…"))
    assert said.endswith("not iam::111122223333")


def test_the_stand_in_packs_what_is_in_a_folder(tmp_path: Path) -> None:
    root, made = tmp_path / "root", tmp_path / "made.eif"
    (root / "app").mkdir(parents=True)
    (root / "app" / "wallet").write_text("x")
    (root / "b").symlink_to("app/wallet")
    assert pack(root, made) == 0
    with made.open("rb") as file:
        last = measure(file).parts[-1].section
        file.seek(last.offset)
        found = [one for one in read(file, last.size) if isinstance(one, Entry)]
    assert [(one.name, one.kind) for one in found] == [
        (b"app", "directory"),
        (b"app/wallet", "file"),
        (b"b", "symlink"),
    ]


def test_the_stand_in_packs_no_device(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "pipe")
    assert pack(root, tmp_path / "made.eif") == 1
    assert pack(tmp_path / "nothing", tmp_path / "made.eif") == 1
    assert not (tmp_path / "made.eif").exists()


def pack(root: Path, made: Path) -> int:
    """Build an image of a folder; the exit status."""
    program = str(ROOT / "docs" / "examples" / "build_image.py")
    words = ("--files", str(root), "--name", "wallet", "--version", "1")
    command = [sys.executable, "-I", program, *words, "-o", str(made)]
    return subprocess.run(command, check=False, capture_output=True).returncode
