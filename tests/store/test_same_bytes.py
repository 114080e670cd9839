"""One log, twice: with the same keys, clock and statements both databases make it.

What is compared is all that anybody sees of it, byte for byte, and all that is in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from log_server.config import Config, Public
from log_server.creation import create_log
from log_server.fsck import check
from log_server.repair import repair
from pcrlog.encoding import sha256
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.keys import SigningKey
from pcrlog.note import NoteSigner
from pcrlog.predicates import REGISTRAR
from tests.support.postgres import Postgres
from tests.unit.log_server.parties import ORIGIN, Clock, Log, Party

SEED = bytes(range(32))


@dataclass
class Twins:
    sqlite: Log
    postgresql: Log

    def __iter__(self) -> Iterator[Log]:
        return iter((self.sqlite, self.postgresql))


def made(folder: Path, database: str | None, monkeypatch: pytest.MonkeyPatch) -> Log:
    keys = iter([SigningKey.from_seed(sha256(b"root")), SigningKey.from_seed(SEED)])
    with monkeypatch.context() as patch:
        patch.setattr(SigningKey, "generate", lambda: next(keys))
        clock = Clock()
        new = create_log(
            folder,
            ORIGIN,
            root_key=None,
            clock=clock,
            signer=NoteSigner(ORIGIN, SEED),
            database=database,
        )
    enrol = SigningKey.from_pem(new.enrol_key.read_bytes())
    # The files of both are compared, wherever a log with PostgreSQL has them.
    settings = structs.replace(Config.load(folder).settings, public=Public("folder"))
    return Log(Config(folder, settings), new, clock, Party(REGISTRAR, enrol))


@pytest.fixture
def twins(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Twins:
    """A few hundred statements, in batches of very different sizes, some refused."""
    twins = Twins(
        made(tmp_path / "sqlite", None, monkeypatch),
        made(tmp_path / "postgresql", postgres.schema(), monkeypatch),
    )
    acme = Party("acme.example", SigningKey.from_seed(sha256(b"acme")))
    lab = Party("lab.example", SigningKey.from_seed(sha256(b"lab")))
    registrar = twins.sqlite.registrar
    assert registrar.key.public == twins.postgresql.registrar.key.public
    stranger = Party("stranger.example", SigningKey.from_seed(sha256(b"stranger")))
    batches: list[list[bytes]] = [
        [twins.sqlite.identity(acme, "provider"), twins.sqlite.identity(lab, "auditor")]
    ]
    for number, size in enumerate((1, 7, 150, 2, 40, 1, 90, 3, 1, 1, 1, 1)):
        batch = [acme.release(100 * number + i, f"{number}.{i}.0") for i in range(size)]
        # Long lists, other issuers, the same again, and what is refused.
        batch += [acme.release(5, f"{number}.{i}.1") for i in range(size // 8)]
        batch += [lab.reproduction(100 * number + i) for i in range(size // 3)]
        batch += [stranger.release(number), batch[0], b"{}"]
        batch += [acme.release(9000 + number, f"{number}.0.0")]
        batches.append(batch)
    batches.append([acme.revocation(5), lab.reproduction(6, "fail")])
    for log in twins:
        for batch in batches:
            log.clock.now += 60
            log.queue(*batch)
            log.sequence()
        log.clock.now += 3600
        log.sequence(idle_seal=True)
    return twins


def files_of(log: Log) -> dict[str, bytes]:
    public = log.config.public
    return {
        str(path.relative_to(public)): path.read_bytes()
        for path in sorted(public.rglob("*"))
        if path.is_file()
    }


def tables_of(log: Log) -> dict[str, object]:
    with log.snapshot() as snapshot:
        return {
            "entries": list(snapshot.entries()),
            "tiles": list(snapshot.tiles()),
            "index": list(snapshot.index_rows()),
            "pages": sorted(snapshot.trie_pages()),
            "given": sorted(snapshot.given_rows()),
            "decided": sorted(snapshot.decided()),
            "checkpoints": list(snapshot.checkpoints()),
            "published": snapshot.published(),
            "taken": snapshot.taken(),
            "name": snapshot.name(),
            "identities": snapshot.identities(0),
            "search": [
                snapshot.search(word, 1000, 5000) for word in ("acme", "1.", "0")
            ],
        }


def test_both_are_one_log_byte_for_byte(twins: Twins) -> None:
    ours, theirs = files_of(twins.sqlite), files_of(twins.postgresql)
    assert len(ours) > 10
    assert ours == theirs
    rows, others = tables_of(twins.sqlite), tables_of(twins.postgresql)
    for name, found in rows.items():
        assert found == others[name], name
    entries = rows["entries"]
    assert isinstance(entries, list)
    assert len(entries) > 400
    for log in twins:
        findings = check(log.config)
        assert findings.wrong == []
        assert findings.leaves == len(entries)
    _every_answer_is_the_same(twins)
    _public_files_are_made_anew(twins.postgresql)


def _every_answer_is_the_same(twins: Twins) -> None:
    with twins.sqlite.snapshot() as ours, twins.postgresql.snapshot() as theirs:
        keys = {
            key for _, leaf in ours.leaves(0, ours.size) for key in index_keys(leaf)
        }
        assert len(keys) > 400
        for key in keys:
            hashed = key_hash(key)
            assert ours.indices(hashed) == theirs.indices(hashed)
            assert ours.indices(hashed, 3) == theirs.indices(hashed, 3)
            assert ours.given(key) == theirs.given(key)
        now, then = (
            ours.index_at(ours.checkpoint()),
            theirs.index_at(theirs.checkpoint()),
        )
        low, high = bytes(32), b"\xff" * 33
        assert now.leaves(low, high) == then.leaves(low, high)
        row = ours.checkpoint(ours.checkpoint().batch - 5)  # type: ignore[union-attr] # there is one
        numbers = range(1, 600)
        before = ours.index_at(row).pages(numbers)
        assert before == theirs.index_at(row).pages(numbers)
        assert before != now.pages(numbers)


def _public_files_are_made_anew(log: Log) -> None:
    before = files_of(log)
    for path in (log.config.public / "tile").rglob("*"):
        if path.is_file():
            path.unlink()
    assert len(check(log.config).wrong) > 0
    assert repair(log.config).wrong == []
    assert check(log.config).wrong == []
    repaired = files_of(log)
    assert repaired == {path: before[path] for path in repaired}
