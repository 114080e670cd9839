"""Which shelf a log has, by its settings."""

import sys
from pathlib import Path

import pytest

from log_server.config import Config, Public, Settings
from log_server.folder import FolderShelf
from log_server.shelves import DatabaseShelf, open_shelf
from pcrlog.errors import UsageError
from pcrlog.tiles import Tile

ORIGIN = "log.example/pcr"
TILE = Tile(0, 0, 1)


def published() -> bytes | None:
    return b"note"


def opened(folder: Path, **settings: object) -> object:
    shelf = open_shelf(Config(folder, Settings(ORIGIN, **settings)), published)  # type: ignore[arg-type] # any of them
    shelf.close()
    return shelf


def test_a_log_is_published_where_its_settings_say(tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path), FolderShelf)
    assert isinstance(opened(tmp_path, public=Public("folder")), FolderShelf)
    assert isinstance(opened(tmp_path, public=Public("database")), DatabaseShelf)


def test_a_log_whose_database_is_elsewhere_needs_no_folder(tmp_path: Path) -> None:
    url = "postgresql://localhost/log"
    assert isinstance(opened(tmp_path, database=url), DatabaseShelf)
    one = opened(tmp_path, database=url, public=Public("folder"))
    assert isinstance(one, FolderShelf)


def test_a_bucket_opens_and_asks_nobody_yet(tmp_path: Path) -> None:
    public = Public("s3://bucket/prefix", "http://127.0.0.1:9", "us-east-1")
    shelf = opened(tmp_path, public=public)
    assert shelf.where == "s3://bucket/prefix/"  # type: ignore[attr-defined] # a shelf


def test_without_the_extra_a_bucket_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "log_server.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"pip install 'pcrlog\[s3\]'"):
        opened(tmp_path, public=Public("s3://bucket"))


def test_nothing_optional_is_imported_unless_it_is_asked_for() -> None:
    import subprocess  # noqa: PLC0415 - a fresh interpreter

    code = (
        "import sys, log_server.app, log_server.sequencing, log_server.shelves;"
        "sys.exit('obstore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shelf_of_a_database_has_nothing_to_do() -> None:
    shelf = DatabaseShelf(published)

    def never() -> tuple[Tile, bytes]:
        pytest.fail("it was cut for nobody")

    shelf.put(never() for _ in range(1))
    shelf.show(b"note")
    shelf.outgrow([TILE])
    assert not shelf.sweep()
    assert shelf.read([TILE.path()]) == [None]
    assert shelf.shown() == b"note"
    shelf.close()


def test_a_checkpoint_that_is_ahead_is_shown_as_it_was_written(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path)
    shelf.put([(TILE, b"hashes")], b"ahead")
    assert shelf.shown() is None
    hidden = tmp_path / ".checkpoint.new"
    assert hidden.read_bytes() == b"ahead"
    shelf.show(b"ahead")
    assert not hidden.exists()
    assert shelf.shown() == b"ahead"
    # Another one than that: it is written first.
    shelf.put([(TILE, b"hashes")], b"ahead of it")
    shelf.put([(Tile(0, 0, 2), b"hashes")])
    shelf.show(b"next")
    assert shelf.shown() == b"next"
    assert shelf.read([TILE.path(), "none", "tile"])[:2] == [b"hashes", None]
    [fault] = shelf.read(["tile"])
    assert isinstance(fault, IsADirectoryError)
    shelf.close()
