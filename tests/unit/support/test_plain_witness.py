"""The witness that the tests have of their own: honest unless it is told otherwise."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pcrlog.errors import TransportError
from pcrlog.exchange import Answer, Exchange
from pcrlog.merkle import prove_consistency
from pcrlog.note import NoteSigner
from pcrlog.witness import AddCheckpoint
from tests.support.memory_log import MemoryLog, registers
from tests.support.plain_witness import Latest, PlainWitness, Reply, read_vkey

MOST = 65_536


@pytest.fixture(scope="module")
def kat(vectors: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((vectors / "kat.json").read_bytes())
    return found


@pytest.fixture
def witness(kat: dict[str, Any]) -> Iterator[PlainWitness]:
    proof = kat["tlog_proof"]
    with PlainWitness(
        "witness.example/w1",
        [proof["log_vkey"]],
        seed=bytes.fromhex(proof["witness_seed_hex"]),
        clock=lambda: proof["time"],
    ) as made:
        yield made


@pytest.fixture
def door(witness: PlainWitness) -> Iterator[Exchange]:
    made = Exchange(witness.url, timeout=5.0)
    yield made
    made.close()


def post(door: Exchange, body: str | bytes) -> Answer:
    data = body if isinstance(body, bytes) else body.encode()
    return door.post("add-checkpoint", data, MOST)


def checkpoint(kat: dict[str, Any], size: int) -> str:
    found: str = kat["tessera_testlog"]["checkpoints"][size]
    return found


def at_three(door: Exchange, kat: dict[str, Any]) -> None:
    assert post(door, "old 0\n\n" + checkpoint(kat, 3)).status == 200


def test_its_key_is_that_of_the_known_answer(
    witness: PlainWitness, kat: dict[str, Any]
) -> None:
    assert witness.vkey == kat["tlog_proof"]["witness_vkey"]


def test_its_line_is_that_of_the_known_answer(
    witness: PlainWitness, door: Exchange, kat: dict[str, Any]
) -> None:
    at_three(door, kat)
    answer = post(door, kat["add_checkpoint_3_to_8"])
    expected = kat["tlog_proof"]["text"].encode().splitlines(keepends=True)[-1]
    assert (answer.status, answer.body) == (200, expected)
    assert witness.latest["example.com/log/testdata"].size == 8
    assert [(one.status, one.path) for one in witness.posts()] == [
        (200, "/w/add-checkpoint"),
        (200, "/w/add-checkpoint"),
    ]


def test_it_shows_what_it_cosigned(door: Exchange, kat: dict[str, Any]) -> None:
    name = sha256(b"example.com/log/testdata").hexdigest()
    assert door.get(f"{name}/checkpoint", MOST).status == 404
    at_three(door, kat)
    answer = door.get(f"{name}/checkpoint", MOST)
    assert answer.status == 200
    assert answer.body.startswith(checkpoint(kat, 3).encode())
    assert door.get(f"{name}/other", MOST).status == 404


def test_it_cosigns_every_step_of_a_log_and_none_of_its_neighbours() -> None:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    notes, rest = [], []
    for number in range(1, 40):
        log.release("acme.example/w", f"1.{number}.0", registers(str(number)))
        log.seal()
        notes.append((len(log.leaves), log.note))

    with PlainWitness("w.example", [str(log.signer.public)]) as made:
        door, old = Exchange(made.url), 0
        for size, note in notes:
            proof = prove_consistency(old, size, log.node) if old else ()
            for wrong in {proof[1:], (*proof, bytes(32)), (bytes(32), *proof[1:])}:
                asked = bytes(AddCheckpoint(old, wrong, note))
                rest.append(post(door, asked).status if wrong != proof else 422)
            assert post(door, bytes(AddCheckpoint(old, proof, note))).status == 200
            old = size
        door.close()
    assert set(rest) == {422}


def both(kat: dict[str, Any]) -> list[tuple[int, str]]:
    note, asked = checkpoint(kat, 8), kat["add_checkpoint_3_to_8"]
    text, _, line = note.partition("\n\n")
    stranger = line.replace("example.com/log/testdata", "example.com/log")
    flipped = line[:-10] + ("A" if line[-10] != "A" else "B") + line[-9:]
    elsewhere = note.replace("example.com/log/testdata", "other.example/log")
    return [
        (404, "old 3\n\n" + elsewhere),
        (403, f"old 3\n\n{text}\n\n{stranger}"),
        (403, f"old 3\n\n{text}\n\n{line}{flipped}"),
        (400, "old 9\n\n" + note),
        (409, "old 2\n\n" + note),
        (409, "old 0\n\n" + note),
        (422, "old 3\n\n" + note),
        (422, asked.replace("old 3\n", "old 3\n" + "A" * 43 + "=\n")),
        (400, asked.replace("old 3\n", "old 3\n" + "A" * 44 + "\n")),
        (400, asked.replace("old 3\n", "old 3\n" + "A" * 42 + "B=\n")),
        (400, asked.replace("old 3", "old 03")),
        (400, asked.replace("old 3", "old three")),
        (400, asked.replace("old 3", f"old {2**63}")),
        (400, asked.replace("old 3", "new 3")),
        (400, asked.replace("\n\n", "\n")),
        (400, asked + "x\n"),
        (400, asked + "\u2014 x\n"),
        (400, asked[:-1]),
        (400, asked.replace("\n8\n", "\n8\n\n")),
        (400, f"old 3\n\n{text[:-1]}\n\n{line}"),
        (400, f"old 3\n\n{text.rpartition(chr(10))[0]}\nAAAA\n\n{line}"),
        (400, "old 3\n" + f"{'A' * 43}=\n" * 64 + "\n" + note),
        (422, "old 3\n" + f"{'A' * 43}=\n" * 63 + "\n" + note),
        (400, asked.replace("\n", "\r\n")),
        (400, asked + "\u2014 x " + "A" * 16_384 + "\n"),
    ]


def test_what_it_refuses_it_refuses_with_the_status_of_the_format(
    witness: PlainWitness, door: Exchange, kat: dict[str, Any]
) -> None:
    at_three(door, kat)
    before = witness.latest
    for status, body in both(kat):
        answer = post(door, body)
        assert (answer.status, body) == (status, body)
        if status == 409:
            assert (answer.body, answer.content_type) == (b"3\n", "text/x.tlog.size")
        assert answer.body in (b"", b"3\n")
    assert post(door, b"old 3\n\n\xff\n\n\xe2\x80\x94 x AAAA\n").status == 400
    assert door.post("elsewhere", b"", MOST).status == 404
    assert witness.latest is before
    assert witness.latest["example.com/log/testdata"].size == 3


def test_the_same_again_is_cosigned_and_another_root_is_not(
    witness: PlainWitness, door: Exchange, kat: dict[str, Any]
) -> None:
    at_three(door, kat)
    assert post(door, "old 3\n\n" + checkpoint(kat, 3)).status == 200
    witness.latest["example.com/log/testdata"] = Latest(3, bytes(32), b"")
    assert post(door, "old 3\n\n" + checkpoint(kat, 3)).status == 422


def test_the_empty_tree_has_one_root(
    witness: PlainWitness, door: Exchange, kat: dict[str, Any]
) -> None:
    assert post(door, "old 0\n\n" + checkpoint(kat, 0)).status == 200
    assert post(door, f"old 0\n{'A' * 43}=\n\n{checkpoint(kat, 1)}").status == 422

    signer = NoteSigner.parse(kat["tessera_testlog"]["skey"])
    lie = signer.sign(f"example.com/log/testdata\n0\n{'A' * 43}=\n")
    assert post(door, b"old 0\n\n" + bytes(lie)).status == 422


def test_it_misbehaves_as_it_is_told(
    witness: PlainWitness, door: Exchange, kat: dict[str, Any]
) -> None:

    body, wrong = "old 0\n\n" + checkpoint(kat, 3), witness.misbehave
    wrong.replies = [Reply(429, b"later", {"Retry-After": "7"}), Reply(500)]
    asked = replace(post(door, body), headers={})
    assert asked == Answer(429, "", 7, b"later")
    assert post(door, body).status == 500
    wrong.always = Reply(403)
    assert [post(door, body).status for _ in range(2)] == [403, 403]
    wrong.always, wrong.redirect = None, f"{witness.url}/add-checkpoint"
    assert post(door, body).status == 307
    wrong.redirect, wrong.down = None, True
    with pytest.raises(TransportError):
        post(door, body)
    wrong.down, wrong.slow = False, 30.0
    hasty = Exchange(witness.url, timeout=0.05)
    with pytest.raises(TransportError, match="timed out"):
        post(hasty, body)
    hasty.close()
    witness.release.set()
    wrong.slow = 0.0
    assert {one.status for one in witness.asked} >= {0, 307, 403, 429, 500}


def test_its_spoiled_line_is_another(
    witness: PlainWitness, door: Exchange, kat: dict[str, Any]
) -> None:
    body = "old 0\n\n" + checkpoint(kat, 3)
    witness.misbehave.forgets = True
    honest = post(door, body).body
    witness.misbehave.spoil = True
    spoiled = post(door, body).body
    assert honest != spoiled
    assert len(honest) == len(spoiled)


def test_once_ended_it_answers_no_more(kat: dict[str, Any]) -> None:

    with PlainWitness("w.example") as made:
        door = Exchange(made.url)
        assert door.get("x", MOST).status == 404
    with pytest.raises(TransportError):
        door.get("x", MOST)
    door.close()


def test_keys_of_another_type_or_hash_are_no_logs(kat: dict[str, Any]) -> None:
    vkey = kat["tessera_testlog"]["vkey"]
    name, _, tail = vkey.split("+", 2)
    with pytest.raises(ValueError, match="log/testdata"):
        read_vkey(f"{name}+00000000+{tail}")
    witness = PlainWitness("w.example")
    with witness, pytest.raises(ValueError, match=r"w\.example"):
        witness.add_log(witness.vkey)


def fail(server: Any, error: Exception) -> None:
    try:
        raise error
    except (OSError, ZeroDivisionError):
        server.handle_error()


def test_what_is_wrong_with_the_witness_itself_is_not_hidden() -> None:
    server = PlainWitness("w.example")._server
    server.server_close()
    fail(server, ConnectionResetError())
    with pytest.raises(ZeroDivisionError):
        fail(server, ZeroDivisionError())
