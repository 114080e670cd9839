"""The command that makes verify.html, and the hook that puts it into the wheel."""

import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.support.vectors import ROOT
from tools import verify_page


def test_it_writes_the_file_and_says_its_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "verify.html"
    assert verify_page.main(["-o", str(path)]) == 0
    digest = sha256(path.read_bytes()).hexdigest()
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{digest}  verify.html"
    assert second.startswith(f"{path.stat().st_size} bytes, ")
    assert verify_page.main(["--compare", str(path)]) == 0


def test_nothing_has_to_be_installed_to_make_it(tmp_path: Path) -> None:
    words = [sys.executable, "-S", "-m", "tools.verify_page", "-o"]
    one = str(tmp_path / "one")
    subprocess.run([*words, one], cwd=ROOT, check=True, capture_output=True)
    assert verify_page.main(["--compare", one]) == 0


def test_another_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "verify.html"
    path.write_bytes(b"another")
    assert verify_page.main(["--compare", str(path)]) == 1
    assert capsys.readouterr().out.endswith("verify.html is another file\n")


def test_the_wheel_has_it(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("log_server/pages/verify.html")
        assert not [name for name in archive.namelist() if name.startswith("web/")]
    made = tmp_path / "verify.html"
    assert verify_page.main(["-o", str(made)]) == 0
    assert packed == made.read_bytes()
