"""Feeds for other verifiers, read by what nobody here wrote."""

import base64
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from msgspec import structs

from pcrlog.errors import UsageError
from tests.support.memory_log import registers
from workbench import corim
from workbench.feed import Feed, Release, as_lines, as_rvps, kept

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


# --- other platforms ------------------------------------------------------------------

CODE = {"MRENCLAVE": f"sha256:{'e1' * 32}"}
A = {"PCR4": f"sha384:{'a4' * 48}", "PCR12": f"sha384:{'00' * 48}"}
B = {"PCR4": f"sha384:{'b4' * 48}", "PCR12": f"sha384:{'00' * 48}"}
C = {"PCR4": f"sha384:{'a4' * 48}", "PCR12": f"sha384:{'cc' * 48}"}
SIGNED = {**B, "PCR7": f"sha384:{'77' * 48}"}


def of(platform: str, *builds: dict[str, str]) -> tuple[Release, ...]:
    return tuple(
        Release(f"1.{n}", platform, build, n, LINKS) for n, build in enumerate(builds)
    )


NUMBERED = structs.replace(of("intel-sgx", CODE)[0], numbers={"ISVSVN": 2})


def test_a_line_has_the_numbers_of_a_release_that_says_some() -> None:
    feed = structs.replace(FEED, releases=(NUMBERED, *of("intel-sgx", CODE)))
    first, second = map(json.loads, as_lines(feed).splitlines())
    assert first["numbers"] == {"ISVSVN": 2}
    assert first["measurements"] == [f"intel-sgx/MRENCLAVE={CODE['MRENCLAVE']}"]
    assert "numbers" not in second


def test_names_of_another_platform_say_which() -> None:
    releases = (*FEED.releases, *of("aws-nitrotpm", A), *of("intel-sgx", CODE))
    message = json.loads(as_rvps(structs.replace(FEED, releases=releases)))
    values = json.loads(base64.b64decode(message["payload"]))
    product = FEED.product
    assert values.keys() == {
        *(f"{product}/PCR{n}" for n in range(3)),
        *(f"{product}/aws-nitrotpm/PCR{n}" for n in (4, 12)),
        f"{product}/intel-sgx/MRENCLAVE",
    }
    found = comids(structs.replace(FEED, releases=releases))
    tpm, sgx = (comid[4][0][0] for comid in found[2:])
    assert tpm[0] == {0: {1: "acme.example", 2: "wallet/aws-nitrotpm"}}
    assert [claim[0] for claim in tpm[1]] == [12, 4]
    assert sgx[0] == {0: {1: "acme.example", 2: "wallet/intel-sgx"}}
    assert sgx[1] == [{0: "MRENCLAVE", 1: {2: [[1, b"\xe1" * 32]]}}]


@pytest.mark.parametrize("form", ["jsonl", "rvps", "corim"])
def test_what_a_form_cannot_say_is_left_out(form: str) -> None:
    """A number that a release demands, and nobody who reads the form would."""
    releases = (NUMBERED, *FEED.releases)
    found, left_out = kept(form, releases)
    if form == "jsonl":
        assert (found, left_out) == (releases, ())
        return
    assert found == FEED.releases
    [(one, why)] = left_out
    assert (one, "its ISVSVN has no place" in why) == (NUMBERED, True)


@pytest.mark.parametrize(
    ("platform", "builds", "wanted"),
    [
        ("aws-nitro", (BLUE, GREEN, {**BLUE, "PCR8": GREEN["PCR0"]}), 3),
        ("aws-nitrotpm", (A, B), 2),
        ("aws-nitrotpm", (A, C), 2),
        ("aws-nitrotpm", (B, C), 1),
        ("aws-nitrotpm", (A, B, C), 2),
        ("aws-nitrotpm", (A, SIGNED), 1),
        ("aws-nitrotpm", (A, A), 2),
        ("intel-sgx", (CODE, CODE), 2),
    ],
)
def test_lists_let_through_what_was_released_and_no_mixture(
    platform: str, builds: tuple[dict[str, str], ...], wanted: int
) -> None:
    releases = of(platform, *builds)
    found, left_out = kept("rvps", releases)
    assert found == releases[:wanted]
    assert [one for one, _ in left_out] == list(releases[wanted:])
    assert all("beside 1.0, registers of one" in why for _, why in left_out)
    assert kept("corim", releases) == (releases, ())
    message = json.loads(as_rvps(structs.replace(FEED, releases=found)))
    lists = json.loads(base64.b64decode(message["payload"]))
    if platform != "aws-nitro":
        rows = {tuple(map(bare, one.registers.values())) for one in found}
        names = [f"{FEED.product}/{platform}/{name}" for name in found[0].registers]
        assert set(itertools.product(*(lists[name] for name in names))) == rows


def test_platforms_do_not_keep_each_other_out() -> None:
    releases = (*of("aws-nitrotpm", A), *FEED.releases, *of("intel-sgx", CODE))
    assert kept("rvps", releases) == (releases, ())
