"""Feeds for other verifiers, read by what nobody here wrote."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from msgspec import structs

from pcrlog.errors import UsageError
from tests.support.memory_log import registers
from workbench import corim
from workbench.feed import Feed, Release, as_lines, as_rvps

BLUE, GREEN = registers("blue"), registers("green")
LINKS = {2: "proven", 3: "claimed"}


def release(version: str, build: dict[str, str], index: int) -> Release:
    return Release(version, "aws-nitro", build, index, LINKS)


FEED = Feed(
    product="acme.example/wallet",
    log="log.example/pcr",
    size=40,
    sealed=1_795_417_200,
    until=1_795_503_600,
    policy_sha256="ab" * 32,
    releases=(release("1.4.2", BLUE, 10), release("1.4.3", GREEN, 12)),
)


def bare(digest: str) -> str:
    return digest.partition(":")[2]


# --- JSON lines -----------------------------------------------------------------------


def test_a_line_says_what_verifies_where_and_until_when() -> None:
    first, second = as_lines(FEED).splitlines()
    assert json.loads(first) == {
        "format": "pcrlog-export/v1",
        "product": "acme.example/wallet",
        "version": "1.4.2",
        "platform": "aws-nitro",
        "measurements": [f"aws-nitro/PCR0={BLUE['PCR0']}"],
        "registers": BLUE,
        "index": 10,
        "links": {"2": "proven", "3": "claimed"},
        "log": "log.example/pcr",
        "size": 40,
        "sealed": "2026-11-23T07:00:00Z",
        "until": "2026-11-24T07:00:00Z",
        "policy_sha256": "ab" * 32,
    }
    assert json.loads(second)["version"] == "1.4.3"
    assert as_lines(FEED).endswith(b"}\n")


# --- RVPS -----------------------------------------------------------------------------


def test_a_message_is_one_of_the_sample_type_of_rvps() -> None:
    """As rvps/src/lib.rs and extractors/sample of Trustee read it."""
    message = json.loads(as_rvps(FEED))
    assert message.keys() == {"version", "type", "payload"}
    assert (message["version"], message["type"]) == ("0.1.0", "sample")
    values = json.loads(base64.b64decode(message["payload"], validate=True))
    assert values == {
        f"acme.example/wallet/{name}": [bare(BLUE[name]), bare(GREEN[name])]
        for name in ("PCR0", "PCR1", "PCR2")
    }


def test_a_value_that_two_releases_share_stands_once() -> None:
    shared = {**GREEN, "PCR1": BLUE["PCR1"]}
    both = (release("1", BLUE, 1), release("2", shared, 2))
    message = json.loads(as_rvps(structs.replace(FEED, releases=both)))
    values = json.loads(base64.b64decode(message["payload"]))
    assert values["acme.example/wallet/PCR1"] == [bare(BLUE["PCR1"])]
    assert len(values["acme.example/wallet/PCR0"]) == 2


# --- CoRIM ----------------------------------------------------------------------------


def decoded(feed: Feed = FEED) -> Any:
    """The corim-map, its tags looked at and taken off."""
    outer = cbor2.loads(corim.encode(feed))
    assert isinstance(outer, cbor2.CBORTag)
    assert outer.tag == 501
    return outer.value


def comids(feed: Feed = FEED) -> list[Any]:
    found = []
    for tag in decoded(feed)[1]:
        assert (type(tag), tag.tag) == (cbor2.CBORTag, 506)
        assert isinstance(tag.value, bytes)
        found.append(cbor2.loads(tag.value))
    return found


def test_a_corim_has_an_id_a_tag_for_each_release_and_an_end() -> None:
    found = decoded()
    assert list(found) == [0, 1, 4]
    assert found[0] == "pcrlog:log.example/pcr:acme.example/wallet:40"
    assert len(found[1]) == 2
    assert found[4] == {
        0: datetime.fromtimestamp(FEED.sealed, UTC),
        1: datetime.fromtimestamp(FEED.until, UTC),
    }


def test_a_release_is_a_reference_triple_with_a_digest_for_each_register() -> None:
    first, second = comids()
    assert first[1] == {0: "acme.example/wallet 1.4.2, entry 10 of log.example/pcr"}
    assert first[2] == [{0: "acme.example", 2: [1]}]
    assert list(first[4]) == [0]
    [[environment, claims]] = first[4][0]
    assert environment == {0: {1: "acme.example", 2: "wallet"}}
    assert claims == [
        {0: number, 1: {2: [[7, bytes.fromhex(bare(BLUE[f"PCR{number}"]))]]}}
        for number in range(3)
    ]
    assert second[1][0].startswith("acme.example/wallet 1.4.3, entry 12")
    assert second[4][0][0][0] == environment


def test_a_corim_has_the_one_spelling_of_deterministic_cbor() -> None:
    for feed in (FEED, structs.replace(FEED, releases=30 * FEED.releases)):
        data = corim.encode(feed)
        outer = cbor2.loads(data)
        ends = {
            key: cbor2.CBORTag(1, int(time.timestamp()))
            for key, time in outer.value[4].items()
        }
        again = cbor2.CBORTag(501, {**outer.value, 4: ends})
        assert cbor2.dumps(again, canonical=True) == data
        for tag in outer.value[1]:
            same = cbor2.dumps(cbor2.loads(tag.value), canonical=True)
            assert same == tag.value


def test_other_digests_have_the_numbers_of_the_registry() -> None:
    one = Release("1", "artifact", {"digest": f"sha256:{'0a' * 32}"}, 3, LINKS)
    [comid] = comids(structs.replace(FEED, releases=(one,)))
    assert comid[4][0][0][1] == [{0: "digest", 1: {2: [[1, b"\n" * 32]]}}]
    odd = Release("1", "source", {"commit": f"gitCommit:{'0a' * 20}"}, 3, LINKS)
    with pytest.raises(UsageError, match="no CoRIM digest by gitCommit"):
        corim.encode(structs.replace(FEED, releases=(odd,)))


def test_of_no_release_there_is_no_corim() -> None:
    with pytest.raises(UsageError, match="no release"):
        corim.encode(structs.replace(FEED, releases=()))
