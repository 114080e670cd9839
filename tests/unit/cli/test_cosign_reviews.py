"""Reviews as auditors do them: built on earlier ones, of several at once, renewed."""

import json

import pytest

from pcrlog.encoding import encode_json, format_time
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Basis,
    IdentityKey,
    OpenFindings,
)
from tests.support.memory_log import active, key, registers
from tests.support.scene import (
    COMMIT,
    CONTROL,
    DAY,
    LAB,
    LENS,
    NONCE,
    PRODUCT,
    compromise,
    document,
    source,
)
from tests.unit.cli.world import GOOD, World, hexes

REVIEW = "cosign --policy policy.toml --key lens.key --scope source-review"
REBUILT = "cosign --policy policy.toml --key lab.key --scope reproduction --result pass"
CONTROLS = "cosign --policy policy.toml --key lens.key --scope controls-review"


def said(world: World) -> list[Audit]:
    found = [entry.predicate for entry in world.log.entries.values()]
    return [one for one in found if isinstance(one, Audit)]


def chain(world: World, length: int) -> list[int]:
    """So many reviews, ten days apart, each built on the one before."""
    found: list[int] = []
    for number in range(length):
        members = {}
        if found:
            before = world.log.entries[found[-1]]
            commit = before.statement.registers["commit"].partition(":")[2]
            members = {"basis": Basis(commit, before.sha256)}
        of = f"{number + 1:02x}" * 20
        found.append(world.scene.review(LENS, of, **members))
        world.log.now += 10 * DAY
    world.log.seal()
    return found


# --- what a review builds on ---------------------------------------------------------


def test_the_age_of_what_a_review_builds_on_is_told(world: World) -> None:
    *_, last = chain(world, 3)
    ran = world.run(f"{REVIEW} --result pass --commit {COMMIT} --basis {last}")
    assert ran.status == 0, ran.err
    text = " ".join(ran.err.split())
    assert f"builds on entry {last}, 10d old, which builds on 2 more" in text
    assert "looked at in entry 5, 30d ago (3 of at most 8)" in text


def test_a_basis_may_have_open_findings_and_have_run_out(world: World) -> None:
    first = world.scene.review(
        of="aa" * 20,
        result="qualified",
        open=OpenFindings(critical=0, high=1, medium=0, low=0),
        expires=format_time(world.log.now + DAY),
    )
    world.log.now += 2 * DAY
    world.log.seal()
    ran = world.run(f"{REVIEW} --result pass --commit {COMMIT} --basis {first}")
    assert ran.status == 0, ran.err
    assert "2d old (1 of at most 8)" in " ".join(ran.err.split())


def test_a_chain_has_an_end(world: World) -> None:
    *_, eighth, ninth = chain(world, 9)
    words = f"{REVIEW} --result pass --commit {COMMIT} --basis"
    ran = world.run(f"{words} {ninth}")
    assert ran.status == 2
    assert "review the whole source anew" in " ".join(ran.err.split())
    assert world.run(f"{words} {eighth}").status == 0


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_what_builds_on_a_revoked_review_counts_for_nothing(
    world: World, which: int
) -> None:
    found = chain(world, 2)
    world.log.revoke(LENS, "erroneous", found[which])
    world.log.seal()
    ran = world.run(f"{REVIEW} --result pass --commit {COMMIT} --basis {found[1]}")
    assert ran.status == 2
    assert f"entry {found[which]} is revoked" in ran.err


def test_what_builds_on_a_failed_commit_counts_for_nothing(world: World) -> None:
    [first] = chain(world, 1)
    fail = world.scene.review(LENS, "01" * 20, result="fail")
    world.log.seal()
    words = f"{REVIEW} --result pass --commit {COMMIT} --basis {first}"
    ran = world.run(words)
    assert ran.status == 2
    assert f"failed (entry {fail})" in ran.err
    world.log.revoke(LENS, "erroneous", fail)
    world.log.seal()
    assert world.run(words).status == 0


def test_what_builds_on_a_void_review_counts_for_nothing(world: World) -> None:
    [first] = chain(world, 1)
    compromise(world.scene, LENS, 0)
    world.log.seal()
    elsewhere = f"--as {LENS} --output a.json"
    words = f"--result pass --commit {COMMIT} --basis {first} {elsewhere}"
    ran = world.run(f"{REVIEW} {words}")
    assert ran.status == 2, ran
    assert "is void" in ran.err


def test_a_basis_that_the_log_does_not_hold_is_none(world: World) -> None:
    nothing = Basis("aa" * 20, "bb" * 32)
    index = world.scene.review(of="01" * 20, basis=nothing)
    world.log.seal()
    ran = world.run(f"{REVIEW} --result pass --commit {COMMIT} --basis {index}")
    assert ran.status == 2
    assert "does not hold" in ran.err


def test_who_relies_on_a_chain_is_told_when_it_began(world: World) -> None:
    """The longest chain that can be made counts, and its age is in the report."""
    *_, last = chain(world, 8)
    index = world.scene.release()
    world.log.seal()
    ran = world.run(f"{REVIEW} --result pass --basis {last} {index}")
    assert ran.status == 0, ran.err
    world.scene.reproduce()
    world.log.seal()
    world.write("doc", document(time=world.log.now))
    ran = world.run(
        f"verify --policy policy.toml --product {PRODUCT} --attestation doc --nonce"
        f" {NONCE.hex()}"
    )
    assert "VERIFIED TO LINK 4" in ran.out, ran.out
    text = " ".join(ran.out.split())
    first = world.log.entries[5].predicate
    assert isinstance(first, Audit)
    assert f"earlier ones, 8 in all; the first is of {first.performed}" in text


# --- several at once -----------------------------------------------------------------


@pytest.fixture
def variants(world: World) -> list[int]:
    """Two variants of a version, each with its registers and the same commit."""
    world.write("arm.json", encode_json({"Measurements": hexes(registers("arm"))}))
    found = [
        world.scene.release("1.4.2", GOOD, variant="x86", controls=(CONTROL,)),
        world.scene.release(
            "1.4.2", registers("arm"), variant="arm", controls=(CONTROL,)
        ),
    ]
    world.log.seal()
    return found


def test_all_variants_are_reviewed_by_one_command(
    world: World, variants: list[int]
) -> None:
    ran = world.run(f"{CONTROLS} --result pass --all-variants {variants[0]}")
    assert ran.status == 0, ran.err
    assert ran.out.count("published: controls-review pass by lens.example") == 2
    assert [one.issuer for one in said(world)] == [LENS, LENS]
    again = world.run(f"{CONTROLS} --result pass --all-variants {variants[0]} --json")
    assert json.loads(again.out)["counts"] == {"known": 2}


def test_variants_of_one_commit_are_one_source_review(
    world: World, variants: list[int]
) -> None:
    ran = world.run(f"{REVIEW} --result pass --all-variants {variants[1]}")
    assert ran.status == 0, ran.err
    assert len(said(world)) == 1


def test_each_variant_gets_the_measurements_that_are_its_own(
    world: World, variants: list[int]
) -> None:
    given = "--measurements arm.json --measurements good.json"
    ran = world.run(f"{REBUILT} {given} --all-variants {variants[0]}")
    assert ran.status == 0, ran.err
    entries = list(world.log.entries.values())[-2:]
    assert [one.statement.registers for one in entries] == [GOOD, registers("arm")]


def test_none_is_published_if_one_differs(world: World, variants: list[int]) -> None:
    given = "--measurements rogue.json --measurements good.json"
    ran = world.run(f"{REBUILT} {given} --all-variants {variants[0]}")
    assert ran.status == 4
    assert f"not those of entry {variants[1]}" in ran.out
    assert not said(world)


def test_a_measurement_of_none_of_them_is_a_mistake(
    world: World, variants: list[int]
) -> None:
    given = "--measurements arm.json --measurements good.json"
    more = "--measurements rogue.json"
    ran = world.run(f"{REBUILT} {given} {more} --all-variants {variants[0]}")
    assert ran.status == 2
    assert "1 of 3 measurements" in ran.err


def test_several_products_are_reviewed_by_one_command(world: World) -> None:
    first = world.scene.release("1.4.2")
    other = world.scene.release(
        "7.0", registers("o"), product="acme.example/other", source=source("ee" * 20)
    )
    world.log.seal()
    ran = world.run(f"{REVIEW} --result pass {first} {other} {first}")
    assert ran.status == 0, ran.err
    assert "2 published" in ran.out


def test_what_no_longer_stands_is_no_variant(world: World, variants: list[int]) -> None:
    world.log.revoke("acme.example", "withdrawn", variants[1])
    world.log.seal()
    ran = world.run(f"{CONTROLS} --result pass --all-variants {variants[0]}")
    assert ran.status == 0, ran.err
    assert len(said(world)) == 1
    ran = world.run(f"{CONTROLS} --result pass --all-variants {variants[1]}")
    assert ran.status == 4  # it was named


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--result fail --all-variants 5", "about one release"),
        ("--result pass 5 6 -o a.json --as lens.example", "one statement"),
    ],
)
def test_several_are_not_said_where_one_is_meant(
    world: World, variants: list[int], words: str, says: str
) -> None:
    assert variants == [5, 6]
    ran = world.run(f"{CONTROLS} {words}")
    assert ran.status == 2
    assert says in ran.err


def test_very_many_are_not_audited_by_accident(
    world: World, variants: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.cosign_work.MOST", 1)
    for words in (f"--all-variants {variants[0]}", f"{variants[0]} {variants[1]}"):
        ran = world.run(f"{CONTROLS} --result pass {words}")
        assert ran.status == 2
        assert "name each INDEX" in ran.err


def test_registers_by_hand_are_of_one_build(world: World, variants: list[int]) -> None:
    pcr = " ".join(f"--pcr {n[3:]}={d}" for n, d in hexes(GOOD).items())
    ran = world.run(f"{REBUILT} {pcr} {variants[0]}")
    assert ran.status == 0, ran.err
    two = "--measurements arm.json --measurements good.json"
    ran = world.run(f"{REBUILT} {pcr} {two} --all-variants {variants[0]}")
    assert ran.status == 2
    assert "--pcr is of one build" in ran.err


# --- again ---------------------------------------------------------------------------


def test_a_controls_review_is_renewed_after_a_day(world: World) -> None:
    index = world.scene.release(controls=(CONTROL,))
    world.log.seal()
    words = f"{CONTROLS} --result pass {index}"
    assert world.run(words).status == 0
    world.log.now += 3600
    assert "is already entry" in world.run(words).out
    world.log.now += 80 * DAY
    world.log.seal()
    assert "published" in world.run(words).out
    assert len(said(world)) == 2


def test_what_was_taken_back_can_be_said_again(world: World) -> None:
    index = world.scene.release()
    world.log.seal()
    words = f"{REBUILT} --measurements good.json {index}"
    assert world.run(words).status == 0
    world.log.revoke(LAB, "erroneous", max(world.log.entries))
    world.log.seal()
    world.log.now += 60
    assert "is already entry" not in world.run(words).out
    assert len(said(world)) == 2


def test_a_fail_of_ones_own_is_told_of_until_it_is_taken_back(world: World) -> None:
    index = world.scene.release()
    fail = world.scene.reproduce(result="fail")
    world.scene.reproduce(LENS, result="fail")
    review = world.scene.review(LAB, result="fail")
    world.log.seal()
    words = f"{REBUILT} --measurements good.json {index}"
    ran = world.run(words)
    assert ran.status == 0, ran.err
    assert ran.err.count("no pass lifts it") == 1
    assert f"--reason erroneous {fail}" in " ".join(ran.err.split())
    ran = world.run(f"{REVIEW} --result pass {index} --key lab.key")
    assert f"entry {review}, stands" in " ".join(ran.err.split())
    world.log.revoke(LAB, "erroneous", fail)
    world.log.seal()
    assert "no pass lifts it" not in world.run(words).err


# --- what would count for nothing ----------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "critical=0,high=0,medium=0,low=0,critical=9",
        "critical=0,high=0,medium=0,low=0,",
        "critical=0,high=0,medium=0,low=0,trivial=1",
        "critical=0,high=0,medium=0",
        "critical=0,high=0,medium=0,low=+1",
        "critical=0,high=0,medium=0,low=007",
    ],
)
def test_no_count_of_findings_is_left_out(world: World, given: str) -> None:
    size = len(world.log.leaves)
    ran = world.run(f"{REVIEW} --result qualified --open {given} --commit {COMMIT}")
    assert ran.status == 2, ran
    assert "--open: expected critical=0" in ran.err
    assert len(world.log.leaves) == size


def test_what_has_run_out_already_is_not_said(world: World) -> None:
    ran = world.run(f"{REVIEW} --result pass --commit {COMMIT} --expires 0d")
    assert ran.status == 2
    assert "would have run out already" in ran.err
    index = world.scene.release(controls=(CONTROL,))
    world.log.seal()
    old = format_time(world.log.now - 91 * DAY)
    ran = world.run(f"{CONTROLS} --result pass --performed {old} {index}")
    assert ran.status == 2
    assert "would have run out already" in ran.err


def test_what_a_lost_key_said_is_said_again(world: World) -> None:
    """A void review counts for nobody: it is not "published already"."""
    index = world.scene.release()
    world.log.seal()
    words = f"--scope source-review --result pass {index}"
    assert world.run(f"cosign --policy policy.toml --key lens.key {words}").status == 0
    lost, new = key(LENS), key("another")
    row = IdentityKey(
        keyid=lost.public.keyid, key=lost.public.spki, status="compromised", since=0
    )
    world.log.identify(
        LENS,
        [row, *active(new)],
        [world.log.enrol],
        issuer=REGISTRAR,
        roles=["auditor"],
    )
    world.log.now += DAY
    world.log.seal()
    world.write_key("new.key", new)
    ran = world.run(f"cosign --policy policy.toml --key new.key {words}")
    assert ran.status == 0, ran.err
    assert "already" not in ran.out
    assert said(world)[-1].scope == "source-review"
    assert len(said(world)) == 2
