"""The fixtures that all tests share."""

import os
from pathlib import Path


def test_known_answers_are_a_directory(vectors: Path) -> None:
    assert (vectors / "kat.json").is_file()


def test_no_setting_of_the_person_at_the_keyboard_reaches_a_test() -> None:
    ours = {"PCRLOG_VECTORS"}
    assert {name for name in os.environ if name.startswith("PCRLOG_")} <= ours
    assert not Path(os.environ["XDG_STATE_HOME"]).is_relative_to(Path.home())
