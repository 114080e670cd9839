"""A log's folder and settings; schema.sql is found wherever it is installed."""

import re
import sqlite3
from pathlib import Path

import pytest

from log_server import schema
from log_server.config import Config, Settings
from pcrlog.errors import UsageError
from tests.unit.log_server.parties import Log


def test_settings_have_defaults_and_are_written_with_what_they_mean() -> None:
    settings = Settings.parse(b'origin = "log.example/pcr"')
    text = settings.toml()
    assert Settings.parse(text) == settings
    for name in Settings.__struct_fields__:
        assert re.search(rf"^# .*\n{name} = ", text.decode(), re.MULTILINE), name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin = 7",
        'origin = "with space"',
        'origin = "a+b"',
        'origin = "x"\nheartbeat = 0',
        'origin = "x"\nheartbeat = "1h"',
        'origin = "x"\nhartbeat = 1',
        'origin = "x"\nthreads = 1',
        "origin",
        "\xff",
    ],
)
def test_a_setting_that_is_not_known_or_not_legal_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape("log.toml")):
        Settings.parse(text.encode("latin-1"))


def test_a_folder_without_a_log_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pcrlog-server init"):
        Config.load(tmp_path)


def test_a_key_of_another_log_is_refused(log: Log) -> None:
    vkey = log.config.directory / "log.vkey"
    vkey.write_text(
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )
    with pytest.raises(UsageError, match="PeterNeumann"):
        log.config.vkey()
    vkey.write_text("junk")
    with pytest.raises(UsageError, match=r"log\.vkey"):
        log.config.vkey()


class TestSchema:
    def test_both_databases_can_be_made_of_it(self) -> None:
        for name in ("intake.db", "log.db"):
            sqlite3.connect(":memory:").executescript(schema.schema_of(name))

    def test_a_database_that_it_does_not_have_is_an_error(self) -> None:
        with pytest.raises(LookupError, match=r"other\.db"):
            schema.schema_of("other.db")

    def test_the_copy_in_a_wheel_comes_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "log_server"
        package.mkdir()
        monkeypatch.setattr(schema, "files", lambda _name: package)
        (tmp_path / "schema.sql").write_text("-- database: a\nat the root")
        assert schema.schema_of("a") == "at the root"
        (package / "schema.sql").write_text("-- database: a\nin the wheel")
        assert schema.schema_of("a") == "in the wheel"

    def test_every_column_says_who_writes_it(self) -> None:
        text = schema.schema_text()
        bodies = re.findall(r"create table \w+ \((.*?)\n\) strict", text, re.DOTALL)
        assert len(bodies) == 12
        for body in bodies:
            assert re.match(r"\n  -- \w", body), "a table says what it is"
            columns = re.split(r"\n  (?=[a-z_]+ (?:integer|text|blob))", body)[1:]
            assert columns
            for column in columns:
                assert re.search(r"-- (web|sequencer|init)", column), column
