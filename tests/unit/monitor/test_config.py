"""monitor.toml: what it may say, and what is refused with words."""

from pathlib import Path

import pytest

from monitor.config import EXAMPLE, Config, parse_first, read_file, seconds
from pcrlog.errors import MalformedError, UsageError
from pcrlog.policy import EXAMPLE as POLICY

ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def load(folder: Path, text: str = EXAMPLE, policy: str = POLICY) -> Config:
    (folder / "policy.toml").write_text(policy)
    (folder / "monitor.toml").write_text(text)
    return Config.load(folder / "monitor.toml")


MINIMAL = 'format = "pcrlog-monitor/v1"\npolicy = "policy.toml"\nstate = "state"\n'


def test_paths_are_relative_to_the_file_and_one_log_is_the_default(
    tmp_path: Path,
) -> None:
    config = load(tmp_path, MINIMAL)
    assert config.state == tmp_path / "state"
    assert config.log.key.name == "PeterNeumann"
    assert config.first is None
    assert config.watch.products == ()


def test_a_pinned_first_checkpoint_is_read(tmp_path: Path) -> None:
    config = load(tmp_path, f'first = "7 {ROOT}"\n' + MINIMAL)
    assert config.first is not None
    assert config.first[0] == 7


def test_a_log_that_the_policy_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of the policy's: PeterNeumann"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('poll = "5s"', 'poll = "5 s"'), "expected a duration"),
        (('every = "5m"', 'every = "0.5m"'), "expected a duration"),
        (("products =", "product ="), "unknown field"),
        (('kind = "smtp"', 'kind = "pigeon"'), "pigeon"),
        (('name = "mail"', 'name = "pager"'), "two sinks of one name"),
        (('"first-use"', '"7 AAAA"'), "a root of 32 bytes"),
        (("measurements = []", 'measurements = ["x"]'), "expected aws-nitro"),
        (("[watch]", "[watch"), "monitor.toml"),
    ],
)
def test_what_makes_no_sense_is_refused(change: tuple[str, str], words: str) -> None:
    assert change[0] in EXAMPLE
    with pytest.raises(UsageError, match=words):
        Config.parse(EXAMPLE.replace(*change).encode())


def test_durations_have_units() -> None:
    assert [seconds(one) for one in ("500ms", "30s", "5m", "2h", "7d")] == [
        0.5,
        30,
        300,
        7200,
        604_800,
    ]


def test_a_first_checkpoint_has_one_spelling() -> None:
    with pytest.raises(MalformedError):
        parse_first(f"07 {ROOT}")


def test_files_are_bounded_and_named_when_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_file(tmp_path / "none")
    (tmp_path / "large").write_bytes(bytes(262_145))
    with pytest.raises(UsageError, match="more than"):
        read_file(tmp_path / "large")
