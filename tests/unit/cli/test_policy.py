"""`pcrlog policy`: changing the file, saying what it demands, naming what is weak."""

import json
from typing import Any

import pytest

from pcrlog.errors import UsageError
from pcrlog.note import NoteSigner
from pcrlog.pccs import require_safe
from pcrlog.policy import Policy
from tests.support.machines import SGX
from tests.support.memory_log import MemoryLog, witness
from tests.support.scene import M1, W1, W2, Members, quorum
from tests.unit.cli.world import Ran, World

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
    said = " ".join(world.run("policy explain p.toml").out.split())
    for words in (
        "released by new.example and nobody else",
        "hears lab.example for source-review",
        "passes demanded of source-review: 1",
        "at most: 2 high",
        "1.4.0 or later",
        "who we are connected to",
        f"speaks with key {KEYID}",
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
        platform={"nonce": "optional", "operator": "host.example"},
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
        "AWS runs all of them, whatever it says",
        "nobody but the provider",
        "no pin for acme.example",
        "channel optional",
        "no lowest_version",
    ):
        assert words in texts, words


@pytest.mark.parametrize("rules", [{}, {"operator": "host.example"}])
def test_a_ground_that_no_platform_has_is_a_problem(
    world: World, rules: dict[str, str]
) -> None:
    world.write_policy(platform=rules, product={"ground": "separate"})
    assert ("problem", "ground") in findings(world, "policy.toml")
    lint = " ".join(world.run("policy lint policy.toml").out.split())
    assert "ground: on aws-nitro, aws makes and runs the machines" in lint
    said = " ".join(world.run("policy explain policy.toml").out.split())
    assert "must be run by others than who makes the hardware (ground)" in said
    assert "run by AWS, who makes the hardware" in said


def test_a_ground_of_what_nothing_attests_is_a_problem(world: World) -> None:
    world.write_policy(product={"platforms": ["artifact"], "ground": "separate"})
    lint = " ".join(world.run("policy lint policy.toml").out.split())
    assert "problem: product acme.example/wallet: ground: nothing attests on" in lint


def test_a_ground_that_nobody_speaks_of_is_a_problem(world: World) -> None:
    for rules, kind in (({}, "problem"), ({"operator": "azure"}, None)):
        text = world.scene.policy_text(
            platforms={SGX: {"roots": ["builtin"], **rules}},
            product={"platforms": [SGX], "ground": "separate"},
        )
        world.write("policy.toml", text.encode())
        lint = " ".join(world.run("policy lint policy.toml").out.split())
        wanted = "ground: operator has to say who runs the machines of intel-sgx"
        assert (wanted in lint) is (kind is not None)


def test_a_ground_is_demanded_and_no_longer(world: World, text: str) -> None:
    assert "ground" not in world.run("policy add p.toml acme.example/wallet").out
    ran = world.run("policy add p.toml acme.example/wallet --ground separate")
    assert "ground      separate" in ran.out
    assert parsed(world).product("acme.example/wallet").ground == "separate"
    assert world.run("policy add p.toml acme.example/wallet --ground any").status == 0
    assert parsed(world).product("acme.example/wallet").ground == "any"


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


# --- machines whose maker speaks of their state ---------------------------------------

SA = "INTEL-SA-00615"
PCCS = "https://pccs.example/sgx/certification/v4"


def with_sgx(world: World, product: Members | None = None, **rules: object) -> None:
    """A policy for machines with SGX, whose table has these members."""
    tables = {SGX: {"roots": ["builtin"], "operator": "azure", **rules}}
    rows = {"platforms": [SGX], **(product or {})}
    text = world.scene.policy_text(platforms=tables, product=rows)
    world.write("policy.toml", text.encode())


def told(world: World, command: str) -> str:
    return " ".join(world.run(f"policy {command} policy.toml").out.split())


def test_what_a_maker_may_say_of_a_machine_is_said(world: World) -> None:
    with_sgx(world)
    said = told(world, "explain")
    for words in (
        "names no time and holds our nonce: it was made after we asked",
        "accepts a machine that Intel calls UpToDate, no other",
        "with no advisory of Intel open",
        "what Intel says of the machine (collateral) has to be there",
        "given by whoever verifies (--collateral): nobody is asked",
        "the machines are run by azure",
    ):
        assert words in said, words
    assert "advisory of Intel open but" not in said


def test_what_is_put_up_with_of_a_machine_is_said(world: World) -> None:
    states = ["UpToDate", "SWHardeningNeeded"]
    with_sgx(
        world,
        tcb=states,
        advisories=[SA, "INTEL-SA-00289"],
        collateral="optional",
        pccs=PCCS,
        nonce="optional",
    )
    said = told(world, "explain")
    for words in (
        "need not hold our nonce: it may be of any age",
        "that Intel calls UpToDate or SWHardeningNeeded, no other",
        f"no advisory of Intel open but {SA}, INTEL-SA-00289",
        "may be lacking: then nobody knows its state",
        f"asked for at {PCCS}, which is believed in nothing",
    ):
        assert words in said, words


def test_other_platforms_say_nothing_of_machines(world: World) -> None:
    said = told(world, "explain")
    assert "collateral" not in said
    assert "a document is at most 5m old" in said


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"collateral": "optional"}, "collateral optional: a machine with known holes"),
        ({"tcb": ["UpToDate", "OutOfDate"]}, "tcb: OutOfDate: a machine whose known"),
        ({"tcb": ["OutOfDateConfigurationNeeded"]}, "tcb: OutOfDateConfigurationNee"),
        ({"tcb": ["SWHardeningNeeded"]}, "SWHardeningNeeded: only the code itself"),
        ({"nonce": "optional"}, "will do, and of any age: no document says when"),
        ({"operator": "Intel"}, "operator: Intel makes the hardware, and would run"),
        ({"operator": " "}, "operator: say who runs the machines"),
    ],
)
def test_what_is_weak_about_machines_is_named(
    world: World, rules: dict[str, Any], words: str
) -> None:
    with_sgx(world)
    assert "platform intel-sgx" not in told(world, "lint")
    with_sgx(world, **rules)
    assert f"weakness: platform intel-sgx: {words}"[:30] in told(world, "lint")
    assert words in told(world, "lint")
    assert world.run("policy lint policy.toml").status == 0


def test_a_maker_that_runs_the_machines_of_a_product_is_named(world: World) -> None:
    with_sgx(world, {"operator": "INTEL"})
    assert "product acme.example/wallet: operator: Intel makes" in told(world, "lint")
    with_sgx(world, {"operator": "azure"})
    assert "Intel makes" not in told(world, "lint")


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (PCCS, True),
        ("http://127.0.0.1:8081/sgx/certification/v4", True),
        ("http://[::1]:8081", True),
        ("http://localhost:8081", True),
        ("http://pccs.example", False),
        ("http://localhost.example", False),
        ("http://10.0.0.1:8081", False),
        ("http://127.0.0.1@pccs.example", False),
        ("https://pccs.example?x=1", False),
        ("http://localhost:8081?x=1", False),
        ("https:///sgx", False),
        ("https://[::1", False),
        ("https://pccs.example:x", False),
    ],
)
def test_a_service_that_is_never_asked_is_a_problem(
    world: World,
    url: str,
    asked: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """As `pcrlog.pccs` refuses it, which is asked too."""
    with_sgx(world, pccs=url)
    ran = world.run("policy lint policy.toml")
    assert ran.status == (0 if asked else 4)
    assert (f"pccs: {url} is never asked" in " ".join(ran.out.split())) is not asked
    if asked:
        assert require_safe(url) == url
    else:
        with pytest.raises(UsageError):
            require_safe(url)


def test_a_product_is_added_on_every_platform_that_attests(
    world: World, text: str
) -> None:
    more = "".join(f'[platforms.{n}]\nroots = ["builtin"]\n' for n in (SGX, "source"))
    world.write("p.toml", (text + more).encode())
    world.run(f"policy add p.toml {PRODUCT}")
    assert parsed(world).product(PRODUCT).platforms == ("aws-nitro", SGX)


# --- import --------------------------------------------------------------------------

THREE = (
    f"witness a {W1.public}\nwitness b {W2.public} https://w2.example\n"
    f"witness c {witness('w3.example/a').public}\n"
)


def imported(world: World, theirs: str, *more: str) -> Ran:
    world.write("t.txt", theirs.encode())
    return world.run("policy import p.toml t.txt", *more)


@pytest.mark.parametrize(
    ("lines", "least", "names"),
    [
        ("group g 2 a b c\nquorum g", 2, "abc"),
        ("group g all a b\nquorum g", 2, "ab"),
        ("group g any a b\nquorum g", 1, "ab"),
        ("quorum c", 1, "c"),
    ],
)
def test_a_flat_quorum_is_taken_over(
    world: World, text: str, lines: str, least: int, names: str
) -> None:
    ran = imported(world, f"log {MemoryLog().signer.public}\n{THREE}{lines}\n")
    assert ran.status == 0, ran.err
    [log] = parsed(world).logs.values()
    assert log.witnesses is not None
    assert log.witnesses.least == least
    wanted = {"a": W1.public, "b": W2.public, "c": witness("w3.example/a").public}
    assert list(log.witnesses.keys) == [wanted[name] for name in names]
    assert log.index_monitors is None
    # Nothing else changed: neither comments nor the rest of the table.
    after = (world.folder / "p.toml").read_text()
    before = text.replace("version = 1", "version = 2")
    start, end = before.split('witnesses = "none"\n')
    assert after.startswith(start)
    assert after.endswith(end)


def test_the_same_quorum_again_changes_nothing(world: World, text: str) -> None:
    theirs = f"{THREE}group g 2 a b c\nquorum g\n"
    assert imported(world, theirs).status == 0
    once = (world.folder / "p.toml").read_bytes()
    assert imported(world, theirs).status == 0
    assert (world.folder / "p.toml").read_bytes() == once
    # Another one takes its place, all lines of it.
    assert imported(world, f"{THREE}quorum a\n").status == 0
    [log] = parsed(world).logs.values()
    assert log.witnesses is not None
    assert log.witnesses.keys == (W1.public,)
    assert parsed(world).version == 3
    assert (world.folder / "p.toml").read_text().count("w2.example") == 0


def test_quorum_none_waives_and_says_so(world: World, text: str) -> None:
    assert imported(world, f"{THREE}quorum a\n").status == 0
    ran = imported(world, "quorum none\n")
    assert ran.status == 0
    assert "waived: quorum none" in ran.out
    assert next(iter(parsed(world).logs.values())).witnesses is None


def test_what_is_imported_is_printed_as_json(world: World, text: str) -> None:
    ran = imported(world, f"{THREE}group g all a b\nquorum g\n", "--json")
    found = json.loads(ran.out)
    assert found["quorum"] == 2
    assert found["witnesses"] == ["w1.example/a", "w2.example/b"]
    assert found["sha256"] == parsed(world).sha256


def test_one_of_several_logs_is_named(world: World) -> None:
    other = MemoryLog(origin="other.example/log")
    other.signer = NoteSigner("other.example/log", b"o" * 32)
    one, two = MemoryLog().policy("platforms = {}"), other.policy()
    table = two[two.index("[[log]]") :]
    world.write("p.toml", f"{one}{table}".encode())
    theirs = f"{THREE}quorum a\n"
    ran = imported(world, theirs)
    assert ran.status == 2
    assert "which log? --log URL: https://log.example/pcr, https://other" in ran.err
    assert imported(world, theirs, "--log https://other.example/log").status == 0
    # Its log line says which one it is as well.
    ran = imported(world, f"log {MemoryLog().signer.public}\n{THREE}quorum b\n")
    assert ran.status == 0
    first, second = parsed(world).logs.values()
    assert first.witnesses is not None
    assert first.witnesses.keys == (W2.public,)
    assert second.witnesses is not None
    assert second.witnesses.keys == (W1.public,)


def refused(world: World, theirs: str, *more: str) -> str:
    before = (world.folder / "p.toml").read_bytes()
    ran = imported(world, theirs, *more)
    assert ran.status == 2
    assert (world.folder / "p.toml").read_bytes() == before
    return ran.err.replace("\n ", "")


def test_a_group_of_groups_is_refused_with_a_word_about_it(
    world: World, text: str
) -> None:
    nested = "group x any a b\ngroup y all x c\nquorum y\n"
    said = refused(world, f"{THREE}{nested}")
    assert "t.txt: " in said
    assert "group of groups" in said


def test_a_log_that_the_policy_does_not_have_is_not_made_up(
    world: World, text: str
) -> None:
    stranger = NoteSigner("log.example/pcr", b"s" * 32).public
    said = refused(world, f"log {stranger}\n{THREE}quorum a\n")
    assert "a log needs its registrar" in said
    assert "no log at" in refused(
        world, f"{THREE}quorum a\n", "--log https://x.example"
    )


def test_a_witness_that_is_an_index_monitor_is_refused(world: World) -> None:
    monitors = f'{{ quorum = 1, keys = ["{W1.public}"] }}'
    text = (
        MemoryLog()
        .policy("platforms = {}")
        .replace('index_monitors = "none"', f"index_monitors = {monitors}")
    )
    world.write("p.toml", text.encode())
    assert "a key stands twice" in refused(world, f"{THREE}quorum a\n")


@pytest.mark.parametrize("where", ["sub-table", "dotted", "inline"])
def test_witnesses_in_another_place_are_left_to_their_owner(
    world: World, where: str
) -> None:
    head, _, log = MemoryLog().policy().partition("[[log]]\n")
    members = [row for row in log.split("\n") if row and "witnesses" not in row]
    old = quorum(1, W2)
    rows = {
        "sub-table": ["[[log]]", *members, "[log.witnesses]"],
        "dotted": ["[[log]]", *members],
        "inline": ["log = [{ " + ", ".join([*members, 'witnesses = "none"']) + " }]"],
    }[where]
    prefix = "witnesses." if where == "dotted" else ""
    if where != "inline":
        rows += [f"{prefix}quorum = 1", f"{prefix}keys = {json.dumps(old['keys'])}"]
    platforms = "platforms = {}\n"
    world.write("p.toml", (head + platforms + "\n".join(rows) + "\n").encode())
    assert "there" in refused(world, f"{THREE}quorum a\n")
