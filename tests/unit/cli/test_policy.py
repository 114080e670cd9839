"""`pcrlog policy`: changing the file, saying what it demands, naming what is weak."""

import json

import pytest

from pcrlog.policy import Policy
from tests.support.memory_log import MemoryLog
from tests.support.scene import M1, W1, W2, quorum
from tests.unit.cli.world import World

PRODUCT = "new.example/app"
KEYID = "51c0" * 16


@pytest.fixture
def text(world: World) -> str:
    """A policy as pcrlog-server writes one: with comments, and without products."""
    head = "# ours\n" + MemoryLog().policy(
        products='[platforms.aws-nitro]\nroots = ["builtin"]  # AWS\n'
    )
    world.write("p.toml", head.encode())
    return head


def parsed(world: World) -> Policy:
    return Policy.parse((world.folder / "p.toml").read_bytes())


def test_a_product_is_added_and_nothing_else_changes(world: World, text: str) -> None:
    ran = world.run(
        f"policy add p.toml {PRODUCT} --auditor lab.example:reproduction,source-review",
        "--count reproduction=1 --links 1,2,3 --lowest-version 1.4.0",
        f"--pin new.example={KEYID} --channel required --open critical=0,high=0",
    )
    assert ran.status == 0, ran.err
    rules = parsed(world).product(PRODUCT)
    assert rules.links == (1, 2, 3)
    assert rules.auditors[0].scopes == ("reproduction", "source-review")
    assert rules.pins == {"new.example": (KEYID,)}
    assert (rules.channel, rules.lowest_version) == ("required", "1.4.0")
    assert rules.open_findings == {"critical": 0, "high": 0}
    after = (world.folder / "p.toml").read_text()
    assert after.startswith(text.replace("version = 1", "version = 2").rstrip())


def test_what_is_given_again_replaces_that_demand_alone(
    world: World, text: str
) -> None:
    world.run(f"policy add p.toml {PRODUCT} --auditor lab.example:reproduction")
    world.run(f"policy add p.toml {PRODUCT} --links 1,2,3")
    world.run(
        f"policy add p.toml {PRODUCT} --auditor lab.example:source-review",
        "--auditor lens.example:reproduction",
    )
    rules = parsed(world).product(PRODUCT)
    assert rules.links == (1, 2, 3)
    scopes = {one.name: one.scopes for one in rules.auditors}
    assert scopes == {
        "lab.example": ("source-review",),
        "lens.example": ("reproduction",),
    }
    assert parsed(world).version == 4


def test_adding_the_same_changes_nothing(world: World, text: str) -> None:
    world.run(f"policy add p.toml {PRODUCT} --links 1,2,3")
    before = (world.folder / "p.toml").read_bytes()
    world.run(f"policy add p.toml {PRODUCT} --links 1,2,3")
    assert (world.folder / "p.toml").read_bytes() == before


def test_tables_after_a_product_stay(world: World, text: str) -> None:
    for name in ("a.example/x", "b.example/*", "a.example/x"):
        world.run(f"policy add p.toml {name} --links 1,2,3")
    world.run("policy add p.toml a.example/x --lowest-version 2.0.0")
    found = parsed(world)
    assert set(found.products) == {"a.example/x", "b.example/*"}
    assert found.products["a.example/x"].lowest_version == "2.0.0"


@pytest.mark.parametrize(
    "words",
    [
        "--auditor lab.example",
        "--auditor lab.example:looking",
        "--auditor LAB:reproduction",
        "--count reproduction=2",
        "--count reproduction",
        "--count looking=1",
        "--links 1,8",
        "--links one",
        "--pin new.example=abc",
        "--lowest-version new",
        "--open severe=1",
        "--platform aws-nitrotpm",
    ],
)
def test_a_demand_that_is_none_changes_nothing(
    world: World, text: str, words: str
) -> None:
    ran = world.run(f"policy add p.toml {PRODUCT} {words}")
    assert ran.status == 2
    assert (world.folder / "p.toml").read_text() == text


def test_a_product_has_a_form(world: World, text: str) -> None:
    assert world.run("policy add p.toml wallet").status == 2


def test_an_inline_product_is_left_to_its_owner(world: World) -> None:
    ran = world.run("policy add policy.toml acme.example/wallet --links 1,2,3")
    assert ran.status == 2
    assert "edit it there" in ran.err


def test_a_policy_that_is_missing_is_not_made_up(world: World) -> None:
    assert world.run(f"policy add none.toml {PRODUCT}").status == 2


# --- explain, lint -------------------------------------------------------------------


def test_every_demand_is_said_in_words(world: World, text: str) -> None:
    world.run(
        f"policy add p.toml {PRODUCT} --links 1,2,4",
        "--auditor lab.example:source-review",
        f"--pin new.example={KEYID} --channel required --open high=2",
        "--lowest-version 1.4.0 --components report",
    )
    said = world.run("policy explain p.toml").out
    for words in (
        "released by new.example and nobody else",
        "hears lab.example for source-review",
        "passes demanded of source-review: 1",
        "at most: 2 high",
        "1.4.0 or later",
        "who we are connected to",
        "speaks with key 51c051c0",
        "a component that failed is reported",
        "witnesses: waived",
        "at most 24h ago",
    ):
        assert words in said, words


def test_distrust_quorums_and_archives_are_said(world: World) -> None:
    world.write_policy(
        head={
            "archives": True,
            "clock": "attested",
            "distrust": {"keys": ["ab" * 32]},
        },
        log={
            "witnesses": quorum(2, W1, W2),
            "index_monitors": quorum(1, M1),
            "frozen_until": "2027-01-01T00:00:00Z",
        },
        platform={"nonce": "optional"},
    )
    said = world.run("policy explain policy.toml").out
    for words in (
        "archived documents",
        "not this machine",
        "distrusts key abab",
        "2 of 2 (w1.example/a, w2.example/b)",
        "frozen, and good until",
        "need not hold our nonce",
    ):
        assert words in said, words


def findings(world: World, name: str, *words: str) -> set[tuple[str, str]]:
    ran = world.run(f"policy lint {name} --json", *words)
    found = json.loads(ran.out)["findings"]
    return {(one["kind"], one["text"].split(":")[0].split(" (")[0]) for one in found}


def test_what_can_never_be_met_is_a_problem(world: World, text: str) -> None:
    words = f"policy add p.toml {PRODUCT} --auditor new.example:reproduction"
    world.run(words, "--links 1,2,3,4")
    ran = world.run("policy lint p.toml")
    assert ran.status == 4
    assert "link 4 is demanded, and no auditor is heard for source-review" in (
        " ".join(ran.out.split())
    )
    assert "its own auditor" in ran.out


def test_a_policy_without_products_is_a_problem(world: World, text: str) -> None:
    assert ("problem", "none") in findings(world, "p.toml")


def test_weaknesses_fail_only_if_asked(world: World) -> None:
    assert world.run("policy lint policy.toml").status == 0
    assert world.run("policy lint policy.toml --strict").status == 4


def test_each_weakness_has_its_word(world: World) -> None:
    world.write_policy(
        head={"archives": True, "valid_until": "2026-12-01T00:00:00Z"},
        log={"witnesses": "none", "index_monitors": "none", "max_age": "30d"},
        platform={"nonce": "optional"},
        product={"auditors": []},
    )
    texts = " ".join(world.run("policy lint policy.toml").out.split())
    for words in (
        "runs out in 7 days",
        "old document can verify",
        "no witnesses",
        "no index monitors",
        "hidden for 30d",
        "root of its own",
        "no nonce",
        "say who runs the machines",
        "nobody but the provider",
        "no pin for acme.example",
        "channel optional",
        "no lowest_version",
    ):
        assert words in texts, words


def test_a_policy_that_ran_out_is_a_problem(world: World) -> None:
    world.write_policy(head={"valid_until": "2026-01-01T00:00:00Z"})
    assert ("problem", "has passed") in findings(world, "policy.toml")


def test_a_strong_policy_has_nothing_against_it(world: World) -> None:
    scopes = ["reproduction", "source-review", "controls-review"]
    world.write_policy(
        log={"witnesses": quorum(2, W1, W2), "index_monitors": quorum(1, M1)},
        platform={"operator": "aws", "roots": ["builtin"]},
        product={
            "channel": "required",
            "lowest_version": "1.0.0",
            "pins": {"acme.example": [KEYID]},
            "open_findings": {"critical": 0},
            "auditors": [{"name": "lab.example", "scopes": scopes}],
        },
    )
    text = (world.folder / "policy.toml").read_text()
    keys = '"quorum" = 1, "keys"'
    assert keys in text
    ran = world.run("policy lint policy.toml --strict")
    assert ran.status == 0, ran.out
    assert "nothing to say against" in ran.out
