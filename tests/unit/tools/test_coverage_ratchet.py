"""The coverage floor: figures may rise and not fall."""

from tools.coverage_ratchet import SLACK, faults, raised


def test_at_the_floor_or_above_there_is_no_fault() -> None:
    assert faults({"pcrlog": 99.0, "cli": 80.5}, {"pcrlog": 99.0, "cli": 80.0}) == []


def test_a_fall_within_the_slack_is_no_fault() -> None:
    assert faults({"cli": 80.0 - SLACK / 2}, {"cli": 80.0}) == []


def test_a_fall_is_a_fault_that_says_have_and_want() -> None:
    assert faults({"cli": 79.0}, {"cli": 80.0}) == ["cli: 79.0 % covered, want 80.0 %"]


def test_a_folder_without_a_floor_is_a_fault() -> None:
    (fault,) = faults({"monitor": 100.0}, {})
    assert "no floor yet" in fault


def test_a_folder_that_is_no_longer_measured_is_a_fault() -> None:
    (fault,) = faults({}, {"monitor": 90.0})
    assert "not any more" in fault


def test_the_floor_rises_to_the_tenth_below_and_never_falls() -> None:
    measured = {"pcrlog": 99.87, "cli": 70.0}
    assert raised(measured, {"cli": 80.0}) == {"pcrlog": 99.8, "cli": 80.0}


def test_the_floor_forgets_a_folder_that_is_gone() -> None:
    assert raised({"cli": 80.0}, {"cli": 80.0, "monitor": 90.0}) == {"cli": 80.0}
