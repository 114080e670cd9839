"""A log that is published in its database alone: no files, the same answers."""

import dataclasses
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from log_server.app import create_app
from log_server.config import SETTINGS, Config, Public
from log_server.database_files import DatabaseFiles
from log_server.databases import log_database
from log_server.disk import DiskError
from log_server.fsck import check
from log_server.repair import repair
from log_server.store import Store
from pcrlog.checkpoint import open_checkpoint
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import Tile
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.test_publisher import STEPS, Stopped, public, stop_at


def moved(log: Log) -> Log:
    """The same log, published in its database from now on."""
    settings = msgspec.structs.replace(log.config.settings, public=Public("database"))
    folder = log.config.directory
    (folder / SETTINGS).write_bytes(settings.toml())
    return dataclasses.replace(log, config=Config.load(folder))


@pytest.fixture
def folder_log(tmp_path: Path) -> Log:
    return Log.create(tmp_path / "log")


@pytest.fixture
def log(folder_log: Log) -> Log:
    return moved(folder_log)


def shown_size(client: FlaskClient, log: Log) -> int:
    note = UnverifiedNote.parse(client.get("/checkpoint").data)
    return open_checkpoint(note, log.config.vkey()).size


def test_answers_are_those_of_a_folder(
    folder_log: Log, tmp_path: Path, acme: Party
) -> None:
    log = moved(folder_log)
    for i in range(3):
        log.accept(acme.release(1, f"1.0.{i}"))
    assert "tile/0/000.p/10" not in public(log), "no file was written"
    answers = []
    for at in ("folder", "database"):
        settings = msgspec.structs.replace(log.config.settings, public=Public(at))
        config = Config(log.config.directory, settings)
        if at == "folder":
            dataclasses.replace(log, config=config).sequence()
        app = create_app(config, clock=log.clock)
        client = app.test_client()
        paths = [f"/{path}" for path in sorted(public(log))]
        found = [client.get(path) for path in paths]
        answers.append([(one.status, one.data, dict(one.headers)) for one in found])
        app.extensions["pcrlog"].close()
    assert answers[0] == answers[1]
    assert len(answers[0]) > 6


ODD = (
    *("0", "0/0", "0/000.p", "0/000.p/0", "0/000.p/01", "0/000.p/256", "0/x000/000"),
    *("0/../0/000", "0/.000.new", "-1/000", "1/000.p/3", "1/000", "7/000.p/1"),
    *("63/000", "64/000", "0/999.p/255", "entries/002", "entries/002.p/255", ""),
    *("0/x999/x999/x999/x999/x999/999", "entries/x999/x999/x999/x999/x999/999.p/1"),
)


def test_all_paths_and_methods_are_answered_as_from_a_folder(
    folder_log: Log, acme: Party
) -> None:
    """Full tiles and grown ones, ETags, conditions, gzip, and what is no file."""
    log = moved(folder_log)
    back = msgspec.structs.replace(log.config.settings, public=None)
    folder = dataclasses.replace(log, config=Config(log.config.directory, back))
    apps = [create_app(one.config, clock=log.clock) for one in (folder, log)]
    for i in range(9):
        folder.queue(*(acme.release(1 + i % 4, f"{i}.{j}.0") for j in range(60)))
        folder.sequence()
        for app in apps:
            # What is kept now is out of date afterwards, if it ever is.
            app.test_client().get(f"/tile/entries/000.p/{len(public(folder))}")
    paths = ["/checkpoint", "/checkpoint/", "/.checkpoint.new"]
    paths += [f"/{path}" for path in public(folder)] + [f"/tile/{one}" for one in ODD]
    for path, method, accepted in itertools.product(
        paths, ("GET", "HEAD", "POST"), ("", "gzip")
    ):
        given = {"Accept-Encoding": accepted}
        tag = ""
        for _ in range(2):
            found = [
                app.test_client().open(
                    path, method=method, headers={**given, "If-None-Match": tag}
                )
                for app in apps
            ]
            one, other = [(a.status, a.data, dict(a.headers)) for a in found]
            assert one == other, (path, method, accepted)
            tag = found[0].headers.get("ETag", "")
    for app in apps:
        app.extensions["pcrlog"].close()


@pytest.mark.parametrize("point", STEPS)
def test_what_is_not_published_is_not_let_out_and_a_crash_loses_nothing(
    log: Log, acme: Party, client: FlaskClient, point: str
) -> None:
    log.queue(acme.release())
    with pytest.raises(Stopped), log.sequencer(stop_at(point)) as sequencer:
        sequencer.round()
    shown = 6 if point == "published" else 4
    assert shown_size(client, log) == shown
    for path in ("/tile/0/000.p/6", "/tile/entries/000.p/6"):
        assert client.get(path).status_code == (200 if shown == 6 else 404)
    log.sequence()
    assert shown_size(client, log) == 6
    assert check(log.config).wrong == []


def test_full_tiles_are_kept_as_many_as_there_is_room_for(
    log: Log, acme: Party
) -> None:
    for i in range(22):
        log.queue(*(acme.release(1 + i % 4, f"{i}.{j}.0") for j in range(24)))
    log.sequence()
    store = Store(log_database(log.config))
    one, other, partial = Tile(0, 0), Tile(0, 1), Tile(1, 0, 2)
    files = DatabaseFiles(store, room=256 * 32)
    for tile in (one, other, partial, one, one):
        data, _ = files.read(f"/{tile.path()}", tile)
        assert len(data) == 32 * tile.width
    assert list(files._kept) == [f"/{one.path()}"]
    assert files._bytes == 256 * 32
    bundle = Tile(None, 0)
    assert len(files.read(f"/{bundle.path()}", bundle)[0]) > 256 * 32, "no room for it"
    assert list(files._kept) == [f"/{one.path()}"]
    for tile in (Tile(0, 2), Tile(1, 0), Tile(1, 0, 3), Tile(7, 0, 1)):
        with pytest.raises(FileNotFoundError):
            files.read(f"/{tile.path()}", tile)
    store.close()


def test_many_who_ask_at_once_have_one_copy(log: Log, acme: Party) -> None:
    log.queue(*(acme.release(1, f"1.{j}.0") for j in range(260)))
    log.sequence()
    store = Store(log_database(log.config))
    files, tile = DatabaseFiles(store), Tile(0, 0)
    threads = [
        threading.Thread(target=files.read, args=(f"/{tile.path()}", tile))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files._bytes == 256 * 32
    store.close()


def test_a_log_that_has_published_nothing_has_no_checkpoint(
    log: Log, client: FlaskClient
) -> None:
    with log.sequencer() as sequencer:
        sequencer._ledger._database.execute("delete from published")
    assert client.get("/checkpoint").status_code == 404
    assert client.get("/tile/0/000.p/2").status_code == 404
    log.sequence()
    assert shown_size(client, log) == 2


def test_a_database_that_fails_is_said_and_may_be_asked_again(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_store: Store) -> Iterator[None]:
        message = "the database cannot be reached"
        raise DiskError(message)

    monkeypatch.setattr(Store, "published", fail)
    answer = client.get("/checkpoint")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Cache-Control"] == "no-store"
    monkeypatch.setattr(Store, "published", lambda _store: 1 / 0)
    app.testing = True
    with pytest.raises(ZeroDivisionError):
        client.get("/checkpoint")


def test_such_answers_do_not_hold_up_the_loop(app: Flask) -> None:
    files = app.extensions["pcrlog"].files
    assert files.has("/tile/0/000")
    assert not files.is_quick("/tile/0/000")


def test_fsck_and_repair_find_nothing_apart_from_the_database(
    log: Log, acme: Party
) -> None:
    log.accept(acme.release())
    found = check(log.config)
    assert (found.wrong, found.files) == ([], None)
    done = repair(log.config)
    assert (done.wrong, done.left, done.files) == ([], [], [])


def test_a_log_that_moves_back_into_its_folder_is_whole_there(
    log: Log, acme: Party
) -> None:
    log.accept(acme.release())
    settings = msgspec.structs.replace(log.config.settings, public=Public("folder"))
    back = dataclasses.replace(log, config=Config(log.config.directory, settings))
    back.sequence()
    assert "tile/entries/000.p/6" in public(back)
    assert check(back.config).wrong == []
