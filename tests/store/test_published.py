"""What is published in a database alone: any web process answers it, none more."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from log_server.app import create_app
from log_server.fsck import check
from pcrlog.checkpoint import open_checkpoint
from pcrlog.merkle import leaf_hash, root
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import HEIGHT, Tile, parse_bundle
from tests.support.shown import reading
from tests.unit.log_server.parties import Log, Party
from tests.unit.log_server.test_database_files import moved
from tests.unit.log_server.test_publisher import Stopped, public, stop_at


@pytest.fixture
def alone(log: Log) -> Log:
    """The log; with SQLite, too, it has no files apart from its databases from now."""
    return log if log.config.settings.database is not None else moved(log)


@pytest.fixture
def webs(alone: Log) -> Iterator[list[FlaskClient]]:
    """Two web processes of one log."""
    apps = [create_app(alone.config, clock=alone.clock) for _ in range(2)]
    yield [app.test_client() for app in apps]
    for app in apps:
        app.extensions["pcrlog"].close()


def test_any_web_process_answers_the_whole_log(
    alone: Log, acme: Party, webs: list[FlaskClient]
) -> None:
    for i in range(3):
        alone.queue(*(acme.release(1 + i, f"{i}.{j}.0") for j in range(100)))
        alone.sequence()
    notes = {web.get("/checkpoint").data for web in webs}
    [note] = notes
    checkpoint = open_checkpoint(UnverifiedNote.parse(note), alone.config.vkey())
    rest = checkpoint.size % 256
    for web in webs:
        leaves = [
            leaf
            for tile in (Tile(None, 0), Tile(None, 1, rest))
            for leaf in parse_bundle(web.get(f"/{tile.path()}").data, tile.width)
        ]
        assert root([leaf_hash(leaf) for leaf in leaves]) == checkpoint.root
        tile = Tile(1, 0, checkpoint.size >> HEIGHT)
        assert len(web.get(f"/{tile.path()}").data) == 32
        assert web.get(f"/{Tile(None, 1, rest + 1).path()}").status_code == 404
    assert check(alone.config).wrong == []
    if alone.config.settings.database is not None:
        assert public(alone) == {}
    with reading(alone.config) as read:
        assert read("checkpoint") == note


@pytest.mark.parametrize("point", ["committed", "checkpoint-written", "published"])
def test_a_crash_shows_nothing_that_is_not_published(
    alone: Log, acme: Party, webs: list[FlaskClient], point: str
) -> None:
    before = webs[0].get("/checkpoint").data
    alone.queue(acme.release())
    with pytest.raises(Stopped), alone.sequencer(stop_at(point)) as sequencer:
        sequencer.round()
    published = point == "published"
    for web in webs:
        assert (web.get("/checkpoint").data != before) == published
        found = web.get("/tile/entries/000.p/6").status_code
        assert found == (200 if published else 404)
    alone.sequence()
    assert webs[1].get("/tile/entries/000.p/6").status_code == 200
    assert check(alone.config).wrong == []
