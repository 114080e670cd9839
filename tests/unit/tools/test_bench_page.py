"""docs/performance.md: each bench writes its own part."""

from pathlib import Path

import pytest

from bench import page
from bench.page import PARTS, Figure, write_part


def test_a_part_is_written_anew_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docs" / "performance.md"
    path.parent.mkdir()
    monkeypatch.setattr(page, "PAGE", path)
    for turn in ("first", "second"):
        for name in reversed(PARTS):
            write_part(name, [Figure(f"{name} {turn}", "1")], f"Notes of {name}.\n")
    text = path.read_text()
    assert "first" not in text
    places = [text.index(f"{name} second") for name in PARTS]
    assert places == sorted(places)
    assert all(text.count(f"Notes of {name}.") == 1 for name in PARTS)
    assert text.count("# Performance\n") == 1
    write_part("server", [Figure("third", "2", "at least 3", met=False)], "New.\n")
    again = path.read_text()
    assert "| third | 2 | at least 3: **not met** |" in again
    assert again.replace("third", "") != text.replace("second", "")
    for name in PARTS:
        assert (f"Notes of {name}." in again) == (name != "server")


def test_the_page_has_its_parts_in_order() -> None:
    text = page.PAGE.read_text("utf-8")
    found = [name for name in PARTS if f"<!-- {name} -->" in text]
    assert [text.index(f"<!-- {name} -->") for name in found] == sorted(
        text.index(f"<!-- {name} -->") for name in found
    )
