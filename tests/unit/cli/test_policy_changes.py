"""Whatever changes in a policy shows: whoever signs the next one reads only this."""

from typing import Any

import pytest

from cli.policy_changes import changes
from pcrlog.encoding import encode_base64
from pcrlog.note import COSIGNATURE, NoteSigner
from pcrlog.policy import Policy
from tests.support.machines import SGX
from tests.support.memory_log import key, witness
from tests.support.scene import M1, W1, Scene, quorum

KEYIDS = "51c0" * 16, "51c0" * 15 + "51c1"
"""Alike for as far as people look."""
TWIN = NoteSigner(W1.public.name, bytes(32), COSIGNATURE)
"""Another key with the name of a witness."""


def signers(name: str = "policy a", **members: str) -> dict[str, object]:
    spki = encode_base64(key(name).public.spki)
    return {"quorum": 1, "keys": [spki], **members}


def policy(**members: Any) -> Policy:
    return Policy.parse(Scene().policy_text(**members).encode())


@pytest.mark.parametrize(
    ("member", "one", "other"),
    [
        ("head.valid_until", "2036-01-01T00:00:00Z", "2036-01-01T00:00:01Z"),
        ("head.clock_skew", "300s", "301s"),
        ("head.clock", "local", "attested"),
        ("head.archives", False, True),
        ("head.distrust", {"keys": [KEYIDS[0]]}, {"keys": [KEYIDS[1]]}),
        ("head.distrust", {"keys": [KEYIDS[0]]}, {"statements": [KEYIDS[0]]}),
        ("head.successor", signers(), None),
        ("head.successor", signers(), signers("policy b")),
        ("head.successor", signers(), signers(url="https://x.example")),
        ("log.url", "https://a.example", "https://b.example"),
        ("log.registrar", *KEYIDS),
        ("log.max_age", "24h", "25h"),
        ("log.frozen_until", "2036-01-01T00:00:00Z", None),
        ("log.witnesses", quorum(1, W1), "none"),
        ("log.witnesses", quorum(1, W1), quorum(1, TWIN)),
        ("log.index_monitors", quorum(1, M1), quorum(1, witness("x"))),
        ("platform.max_age", "5m", "6m"),
        ("platform.nonce", "required", "optional"),
        ("platform.roots", None, ["builtin"]),
        ("product.platforms", ["aws-nitro"], ["aws-nitro", "artifact"]),
        ("product.lowest_version", "1.0.0", "1.0.1"),
        ("product.links", [1, 2], [1]),
        ("product.channel", "required", "optional"),
        ("product.components", "refuse", "report"),
        ("product.auditors", None, []),
        ("product.counts", None, {"reproduction": 2}),
        ("product.open_findings", {"high": 0}, {"low": 0}),
        ("product.open_findings", {}, None),
        ("product.pins", {"a.example": [KEYIDS[0]]}, {"a.example": [KEYIDS[1]]}),
        ("product.operator", "a", "b"),
        ("product.ground", "any", "separate"),
    ],
)
def test_each_member_that_changes_shows(member: str, one: object, other: Any) -> None:
    where, _, name = member.partition(".")
    before, after = (
        policy(**{where: {} if value is None else {name: value}})
        for value in (one, other)
    )
    told = list(changes(before, after))
    assert told
    back = [("-" if kind == "+" else "+", *rest) for kind, *rest in told]
    assert sorted(changes(after, before)) == sorted(back)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"tcb": ["UpToDate", "OutOfDate"]}, "that Intel calls UpToDate or OutOfDate"),
        ({"advisories": ["INTEL-SA-00615"]}, "open but INTEL-SA-00615"),
        ({"collateral": "optional"}, "may be lacking"),
        ({"pccs": "https://a.example"}, "asked for at https://a.example"),
        ({"pccs": "https://b.example"}, "asked for at https://b.example"),
        ({"nonce": "optional"}, "of any age"),
        ({"operator": "azure"}, "run by azure"),
    ],
)
def test_what_changes_of_machines_shows(rules: dict[str, object], words: str) -> None:
    def told(*of: tuple[str, str, str]) -> str:
        return " ".join(text for kind, _, text in of if kind == "+")

    before, after = (
        policy(platforms={SGX: {"roots": ["builtin"], **more}}) for more in ({}, rules)
    )
    assert words in told(*changes(before, after))
    assert words not in told(*changes(after, before))


def test_what_no_sentence_tells_is_said_to_differ() -> None:
    """Who is named for machines that AWS runs anyway."""
    one, other = ({"operator": name} for name in ("aws", "acme"))
    told = changes(policy(platform=one), policy(platform=other))
    [(kind, where, text)] = told
    assert (kind, where) == ("+", "policy")
    assert text == "something else than these sentences tell: compare files"


def test_a_place_in_a_chain_is_no_demand() -> None:
    chained = {"version": 2, "previous": KEYIDS[0]}
    assert list(changes(policy(), policy(head=chained))) == []
