"""The first page and the status of logs in every state, and what one page may read."""

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient

from demo.example import registers as example_registers
from log_server.app import create_app
from log_server.config import Config, Member, Quorum
from log_server.databases import log_database
from log_server.direct import exclusively, freeze_directly
from log_server.pages.desk import Desk
from log_server.pages.home import cosigners
from log_server.pages.plot import growth_of
from log_server.pages.reading import Reading
from log_server.problems import AnswerTooLargeError, NoEntryError
from log_server.standing import Standing, Standings
from log_server.store import CheckpointRow, Store
from pcrlog.checkpoint import cosign
from pcrlog.index_keys import of_issuer
from pcrlog.note import UnverifiedNote
from tests.support.html_page import Page
from tests.support.memory_log import witness
from tests.unit.log_server.parties import ORIGIN, Log, Party

W1, M1 = witness("w1.example/a"), witness("m1.example/a")


def read(client: FlaskClient, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page.parse(answer.get_data(as_text=True))
    assert page.wrong == []
    return page


def watched(log: Log) -> Config:
    """The log with a witness and an index monitor, which have not been asked yet."""
    quorums = [
        Quorum(1, (Member(str(one.public), "https://x.example/"),)) for one in (W1, M1)
    ]
    settings = msgspec.structs.replace(
        log.config.settings,
        witnesses=quorums[0],
        index_monitors=quorums[1],
        monitor="https://monitor.example/?a=b&c",
    )
    return Config(log.config.directory, settings)


def test_a_new_log_says_so(client: FlaskClient) -> None:
    page = read(client, "/")
    assert "No witness is asked" in page.text
    assert "was enrolled" not in page.text
    assert "None is asked" in read(client, "/status").text


def test_a_frozen_log_says_so(log: Log, acme: Party, client: FlaskClient) -> None:
    assert "frozen" not in read(client, "/").text
    with exclusively(log.config):
        freeze_directly(log.config, log.clock)
    assert "It was its last seal" in read(client, "/").text
    assert "for the last time" in read(client, "/status").text
    with log.snapshot() as snapshot:
        seal = snapshot.size - 1
    assert "for the last time" in read(client, f"/entry/{seal}").text


def test_who_cosigned_is_read_from_the_note_and_checked(log: Log) -> None:
    config = watched(log)
    desk = Desk(config, Store(log_database(config)), log.clock)
    with desk.read() as reading:
        found = reading.snapshot.published()
    assert found is not None
    note = found[1]
    text = UnverifiedNote.parse(note).text
    assert [one.signed for one in cosigners(desk, note)] == [None, None]
    line = f"{cosign(text, W1, log.clock())}\n".encode()
    forged = f"{cosign(text + 'x', M1, log.clock())}\n".encode()
    members = cosigners(desk, note + line + forged)
    assert [(one.name, one.role, one.signed) for one in members] == [
        ("w1.example/a", "witness", log.clock()),
        ("m1.example/a", "index monitor", None),
    ]


def test_the_status_leads_to_the_monitor_and_tells_of_alarms(log: Log) -> None:
    config = watched(log)
    Standings(
        None, 0, (Standing("w1.example/a", "witness", alarm=True, problem="secret"),)
    ).write(config.witnessing)
    app = create_app(config, clock=log.clock)
    page = read(app.test_client(), "/status")
    assert "https://monitor.example/?a=b&c" in page.links
    assert "Something is wrong" in page.text
    assert "w1.example/a says that this log contradicts itself" in page.text
    assert "secret" not in page.text
    assert "0 of 2" in read(app.test_client(), "/").text
    app.extensions["pcrlog"].close()


def test_what_is_measured_is_drawn(client: FlaskClient) -> None:
    client.get("/healthz")
    page = read(client, "/status")
    assert "Questions" in page.text
    assert "Submissions" not in page.text, "there were none"


def test_a_page_reads_so_many_entries_and_no_more(log: Log, acme: Party) -> None:
    for number in range(5):
        log.accept(acme.release(number, f"{number}.0"))
    store = Store(log_database(log.config))
    with store.published() as snapshot:
        some = Reading(snapshot, ORIGIN, 5)
        assert len(some.under(of_issuer("acme.example"))) == 5
        assert len(some.under(of_issuer("acme.example"))) == 5, "each is read once"
        with pytest.raises(AnswerTooLargeError):
            some.under(of_issuer("registrar"))
        few = Reading(snapshot, ORIGIN, 4)
        with pytest.raises(AnswerTooLargeError):
            few.under(of_issuer("acme.example"))
        with pytest.raises(NoEntryError):
            Reading(snapshot, ORIGIN).entry(10_000)
    store.close()


def test_a_part_of_a_page_does_not_use_up_the_rest(log: Log, acme: Party) -> None:
    for number in range(5):
        log.accept(acme.release(number, f"{number}.0"))
    store = Store(log_database(log.config))
    with store.published() as snapshot:
        whole = Reading(snapshot, ORIGIN, 9)
        with pytest.raises(AnswerTooLargeError), whole.at_most(2):
            whole.under(of_issuer("acme.example"))
        assert len(whole.statements(6)[0]) == 6
    store.close()


def test_lists_go_on_until_nothing_is_left(log: Log, acme: Party) -> None:
    indices = [log.accept(acme.release(n, f"{n}.0")) for n in range(5)]
    store = Store(log_database(log.config))
    with store.published() as snapshot:
        read = Reading(snapshot, ORIGIN)
        before: int | None = None
        seen: list[int] = []
        while True:
            found, before = read.newest(of_issuer("acme.example"), 2, before)
            seen += [one.index for one in found]
            if before is None:
                break
        assert seen == indices[::-1]
        first, more = read.statements(3)
        rest, end = read.statements(30, more)
        assert [one.index for one in first + rest] == [*indices[::-1], 2, 0]
        assert end is None
    store.close()


def test_growth_needs_two_moments_and_begins_at_nothing() -> None:
    def row(size: int, time: int) -> CheckpointRow:
        return CheckpointRow(size, size, b"", b"", time, frozen=False, note=b"")

    assert growth_of([]) is None
    assert growth_of([row(2, 5), row(3, 5)]) is None
    growth = growth_of([row(2, 0), row(4, 10), row(8, 20)])
    assert growth is not None
    assert growth.curve == "M0.0 75.5H360.0V51.0H720.0V2.0"
    assert growth.area.endswith("V100H0.0Z")


def test_a_product_that_is_too_long_for_a_page_has_one_all_the_same(
    log: Log, acme: Party, app: Flask
) -> None:
    rows = [acme.release(n, f"{n}.0", expires=None) for n in range(12)]
    log.queue(*rows)
    log.sequence()
    page = read(app.test_client(), "/product/acme.example/wallet")
    assert page.text.count("said to link 2 of 7") == 10
    [older] = [link for link in page.links if "before=" in link]
    assert "1.0" in read(app.test_client(), f"/{older.lstrip('./')}").text


def test_the_example_is_made_of_registers_that_nobody_has() -> None:
    assert len({tuple(example_registers(name)) for name in ("a", "b")}) == 1
    assert example_registers("a") != example_registers("b")
