"""Known answers: found, skipped for, or missed in CI."""

from pathlib import Path

import pytest

from tests.support import vectors


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "answers"
    monkeypatch.setenv("PCRLOG_VECTORS", str(directory))
    monkeypatch.delenv("CI", raising=False)
    return directory


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_without_a_setting_they_lie_beside_the_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PCRLOG_VECTORS", raising=False)
    assert vectors.directory() == vectors.ROOT.parent / "shared" / "vectors"


def test_each_case_becomes_a_named_parameter(answers: Path) -> None:
    answers.mkdir()
    (answers / "one").touch()
    (answers / "two").touch()
    assert vectors.absent() is None
    assert [case.id for case in vectors.cases(_names, name=str)] == ["one", "two"]


def test_a_directory_without_cases_is_an_error(answers: Path) -> None:
    answers.mkdir()
    with pytest.raises(vectors.VectorsAbsentError, match="has none of the cases"):
        vectors.cases(_names, name=str)


def test_absent_outside_ci_is_a_skip_that_names_the_place(answers: Path) -> None:
    assert str(answers) in (vectors.absent() or "")
    (only,) = vectors.cases(_names, name=str)
    assert only.id == "absent"


@pytest.mark.usefixtures("answers")
def test_absent_in_ci_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(vectors.VectorsAbsentError, match="PCRLOG_VECTORS"):
        vectors.cases(_names, name=str)
