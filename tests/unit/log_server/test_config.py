"""A log's folder and settings; schema.sql is found wherever it is installed."""

import re
import sqlite3
from pathlib import Path

import pytest

from log_server import schema
from log_server.config import Config, Settings
from pcrlog.errors import UsageError
from pcrlog.note import VerifierKey
from tests.support.memory_log import witness
from tests.unit.log_server.parties import Log


def test_settings_have_defaults_and_are_written_with_what_they_mean() -> None:
    settings = Settings.parse(b'origin = "log.example/pcr"')
    text = settings.toml()
    assert Settings.parse(text) == settings
    elsewhere = Settings(settings.origin, database="postgresql:///pcrlog")
    assert Settings.parse(elsewhere.toml()) == elsewhere
    text += elsewhere.toml()
    for name in Settings.__struct_fields__:
        written = rf"^# .*\n(# )?{name} = |^# \[{name}\]"
        assert re.search(written, text.decode(), re.MULTILINE), name


def test_who_cosigns_is_read_and_written() -> None:
    text = with_quorum("witnesses", 2, 3) + with_quorum("index_monitors", 1, 1, "m")
    settings = Settings.parse(text.encode())
    assert settings.witnesses is not None
    assert settings.witnesses.quorum == 2
    assert [one.url for one in settings.witnesses.members] == [
        f"https://w{n}.example/a" for n in range(3)
    ]
    assert settings.index_monitors is not None
    assert settings.index_monitors.timeout == 7
    assert [one.key.name for one in settings.cosigners()][-1] == "m0.example/a"
    again = settings.toml()
    assert Settings.parse(again) == settings
    assert b"so many of these index monitors" in again
    assert b"# [witnesses]" not in again, "no example where it is done"


def test_the_example_in_the_documentation_is_one() -> None:
    text = (Path(__file__).parents[3] / "docs/operations.md").read_text("utf-8")
    [example] = re.findall(r"```toml\n(\[witnesses\].*?)```", text, re.DOTALL)
    settings = Settings.parse(f'origin = "log.example/pcr"\n{example}'.encode())
    assert len(settings.cosigners()) == 4


def with_quorum(table: str, least: int, members: int, name: str = "w") -> str:
    """log.toml with so many members; each name has its key."""
    head = 'origin = "log.example/pcr"\n' if name == "w" else "timeout = 7\n"
    begin = f"{head}[{table}]\n" if name == "w" else f"[{table}]\n{head}"
    rows = [f"{begin}quorum = {least}"]
    for n in range(members):
        vkey = witness(f"{name}{n}.example/a").public
        rows += [
            f"[[{table}.members]]",
            f'vkey = "{vkey}"',
            f'url = "https://{name}{n}.example/a"',
        ]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("quorum = 2", "quorum = 4"), "4 cannot be reached by 3 members"),
        (("quorum = 2", "quorum = 0"), "quorum"),
        (("quorum = 2", "quorum = 2\ntimeout = 0"), "timeout"),
        (("quorum = 2", "quorum = 2\nquorums = 2"), "quorums"),
        (("https://w1", "ftp://w1"), "url"),
        (("https://w1", 'https://w1\\"'), "url"),
        (("https://w1", "https://w1 "), "url"),
        (("w1.example/a+", "w9.example/a+"), "hash"),
        (("w1.example/a+", "+"), "name"),
    ],
)
def test_a_quorum_that_can_never_be_met_is_an_error(
    change: tuple[str, str], words: str
) -> None:
    text = with_quorum("witnesses", 2, 3)
    assert change[0] in text
    with pytest.raises(UsageError, match=words):
        Settings.parse(text.replace(*change).encode())


def test_a_key_cosigns_once_and_never_a_logs_key() -> None:
    text = with_quorum("witnesses", 2, 3)
    one = witness("w0.example/a").public
    twin = str(VerifierKey("other.example/b", one.kind, one.public))
    other = str(witness("w1.example/a").public)
    with pytest.raises(UsageError, match="a key stands twice"):
        Settings.parse(text.replace(other, twin).encode())
    # Nor in the other role.
    both = text + with_quorum("index_monitors", 1, 1, "m")
    index_monitor = str(witness("m0.example/a").public)
    with pytest.raises(UsageError, match="a key stands twice"):
        Settings.parse(both.replace(index_monitor, twin).encode())
    signer = str(VerifierKey("w1.example/a", 1, witness("w1.example/a").public.public))
    with pytest.raises(UsageError, match="type 0x04"):
        Settings.parse(text.replace(other, signer).encode())


def test_a_checkpoint_has_no_room_for_more() -> None:
    text = with_quorum("witnesses", 1, 40)
    Settings.parse((text + with_quorum("index_monitors", 1, 23, "m")).encode())
    with pytest.raises(UsageError, match="64 witnesses and index monitors, at most 63"):
        Settings.parse((text + with_quorum("index_monitors", 1, 24, "m")).encode())


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


@pytest.mark.parametrize(
    "lines",
    [
        'at = "folder"',
        'at = "database"',
        'at = "s3://bucket"',
        'at = "s3://buck-et.7/a/b_c/D.e"\nendpoint = "http://127.0.0.1:9000"',
        'at = "s3://bucket"\nregion = "eu-central-1"',
    ],
)
def test_it_is_said_where_the_log_is_published(lines: str) -> None:
    text = f'origin = "x"\n[public]\n{lines}\n'
    settings = Settings.parse(text.encode())
    assert settings.public is not None
    assert lines in settings.toml().decode()
    assert Settings.parse(settings.toml()) == settings


@pytest.mark.parametrize(
    "lines",
    [
        'at = "bucket"',
        'at = "s3://B"',
        'at = "s3://bucket/"',
        'at = "s3://bucket/../other"',
        'at = "s3://bucket?x=1"',
        'at = "https://bucket.example"',
        'at = "folder"\nregion = "eu-central-1"',
        'at = "database"\nendpoint = "https://s3.example"',
        'at = "s3://bucket"\nendpoint = "s3.example"',
        'at = "s3://bucket"\nendpoint = "https://user:secret@s3.example"',
        'at = "s3://bucket"\nendpoint = "https://s3.example/?token=secret"',
        'at = "s3://bucket"\naccess_key = "secret"',
    ],
)
def test_a_place_that_is_none_or_holds_a_secret_is_refused(lines: str) -> None:
    with pytest.raises(UsageError, match=re.escape("log.toml")):
        Settings.parse(f'origin = "x"\n[public]\n{lines}\n'.encode())


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
