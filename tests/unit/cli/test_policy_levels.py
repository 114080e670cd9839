"""basic, reviewed, strict: the same bytes from the same facts, and what they demand."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from cli.policy_levels import LEVELS, level_of
from pcrlog.errors import UsageError
from pcrlog.note import NoteSigner
from pcrlog.policy import Policy
from pcrlog.verification.links import NAMES
from tests.support.memory_log import witness
from tests.support.scene import NONCE, PRODUCT, document, quorum, toml
from tests.unit.cli.world import Ran, World

LAB = "--auditor lab.example:reproduction,source-review,controls-review"
LENS = "--auditor lens.example:reproduction"
MORE = f"--pin acme.example={'51c0' * 16} --lowest-version 1.4.0"
ALL = {"basic": "", "reviewed": LAB, "strict": f"{LAB} {LENS} {MORE}"}
DIGESTS = {
    "basic": "db33917c87538f2dc19fc28b576a895c9e1be4d911181abb9162217397a94ddf",
    "reviewed": "a27a5bd59af0446a5b2747cd0c2b7ffd23e735f041c105035df07e83d3ae317a",
    "strict": "792d108047a43588b011300791d9a005cc9dc46107c86e7580eab694b434ff4c",
}


@pytest.fixture
def known(world: World) -> World:
    """A policy that knows a log whose every byte stands here, and no product."""
    signer = NoteSigner("log.example/pcr", bytes(32))
    w1, w2, w3 = (witness(f"w{n}.example") for n in (1, 2, 3))
    log = {
        "vkey": str(signer.public),
        "url": "https://log.example/pcr",
        "registrar": "9d41" * 16,
        "witnesses": quorum(2, w1, w2),
        "index_monitors": quorum(1, w3),
    }
    world.write_policy(
        log=log, platform={"roots": ["builtin"], "operator": "aws"}, products={}
    )
    return world


def write(
    world: World, level: str, words: str | None = None, out: str = "out.toml"
) -> Ran:
    more = ALL[level] if words is None else words
    return world.run(f"policy write {level} policy.toml {PRODUCT} {more} -o {out}")


def data(world: World, name: str = "out.toml") -> bytes:
    return (world.folder / name).read_bytes()


@pytest.mark.parametrize("level", LEVELS)
def test_the_bytes_of_a_level_never_change(known: World, level: str) -> None:
    """Contracts cite them: new demands get another name (cli/policy_levels.py)."""
    ran = write(known, level)
    assert ran.status == 0, ran.err
    assert sha256(data(known)).hexdigest() == DIGESTS[level]
    assert DIGESTS[level] in ran.out


@pytest.mark.parametrize("level", LEVELS)
def test_the_order_of_options_changes_nothing(known: World, level: str) -> None:
    write(known, level)
    words = ALL[level].replace(
        "reproduction,source-review,controls-review",
        "controls-review,reproduction,source-review",
    )
    backwards = " --".join(reversed(words.split("--")[1:]))
    assert (
        write(known, level, f"--{backwards}" if words else "", "two.toml").status == 0
    )
    assert data(known) == data(known, "two.toml")


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_recognised_until_a_byte_is_changed(
    known: World, level: str
) -> None:
    write(known, level)
    text = data(known)
    assert level_of(text) == level
    for other in (text + b"\n", text.replace(b"300s", b"301s"), b"#" + text):
        assert level_of(other) is None
    assert level_of(data(known, "policy.toml")) is None


def test_what_a_product_had_before_is_not_taken_over(known: World) -> None:
    write(known, "basic")
    known.run(f"policy add policy.toml {PRODUCT} {LAB} {MORE}")
    write(known, "basic", out="two.toml")
    assert data(known) == data(known, "two.toml")


def test_strict_leaves_nothing_that_lint_would_name(known: World) -> None:
    write(known, "strict")
    assert known.run("policy lint out.toml --strict").status == 0
    rules = Policy.parse(data(known)).product(PRODUCT)
    assert rules.links == tuple(NAMES)
    assert rules.counts.reproduction == 2


@pytest.mark.parametrize(
    ("level", "words", "message"),
    [
        ("reviewed", "", "reviewed needs 1 for reproduction"),
        ("reviewed", LENS, "reviewed needs 1 for source-review"),
        ("strict", f"{LAB} {MORE}", "strict needs 2 for reproduction"),
        ("strict", f"{LAB} {LENS}", "no pin for acme.example"),
        ("basic", "--valid-until 2020-01-01T00:00:00Z", "has passed"),
        ("basic", "--valid-until soon", "--valid-until"),
        ("basic", "--log https://other.example", "no log at"),
        ("basic", "--auditor lab.example:tasting", "--auditor"),
        ("reviewed", LAB.replace("lab", "acme"), "its own auditor"),
    ],
)
def test_too_few_facts_for_a_level_are_refused(
    known: World, level: str, words: str, message: str
) -> None:
    ran = write(known, level, words)
    assert (ran.status, message in ran.err.replace("\n      ", " ")) == (2, True), (
        ran.err
    )
    assert not (known.folder / "out.toml").exists()


def test_without_witnesses_nothing_is_strict(known: World) -> None:
    known.write_policy(platform={"roots": ["builtin"], "operator": "aws"})
    ran = write(known, "strict")
    assert (ran.status, "no witnesses" in ran.err) == (2, True)


# --- machines -------------------------------------------------------------------------

SGX_DIGESTS = {
    "basic": "e30d4d3b08309e049503c7190c7b3857e94fd414e65bb2498d419e095beecae9",
    "reviewed": "0dbcd8dafac34b8968dfe93329aa4c856d5f673a15266d0ec7a45077471a76ba",
    "strict": "703f5245fcc95cdd7908096bcdf85a6414149f10cd0f9243164135b05b23a418",
}
AWS = {"roots": ["builtin"], "operator": "aws"}
PCCS = "https://pccs.example/sgx/certification/v4"


@pytest.fixture
def machines(known: World) -> Callable[..., World]:
    """The same log, known by a policy for machines of two more makers."""
    before = (known.folder / "policy.toml").read_text()

    def written(**rules: object) -> World:
        sgx = {"roots": ["builtin"], "operator": "azure", "pccs": PCCS, **rules}
        tables = {"intel-sgx": sgx, **dict.fromkeys(("aws-nitro", "aws-nitrotpm"), AWS)}
        lines = (line for line in before.splitlines() if line[:9] != "platforms")
        text = "\n".join([*lines, f"platforms = {toml(tables)}"])
        known.write("policy.toml", text.encode())
        return known

    return written


@pytest.mark.parametrize("level", LEVELS)
def test_the_bytes_of_a_level_for_other_machines_never_change(
    machines: Callable[..., World], level: str
) -> None:
    known = machines()
    ran = write(known, level)
    assert ran.status == 0, ran.err
    assert sha256(data(known)).hexdigest() == SGX_DIGESTS[level]
    assert level_of(data(known)) == level
    assert f'operator = "azure"\npccs = "{PCCS}"\n\n[products.' in (
        data(known).decode()
    )


@pytest.mark.parametrize("level", ["basic", "reviewed"])
def test_what_is_accepted_of_machines_is_a_fact_below_strict(
    machines: Callable[..., World], level: str
) -> None:
    states = ["UpToDate", "SWHardeningNeeded"]
    advisories = ["INTEL-SA-00615", "INTEL-SA-00289", "INTEL-SA-00615"]
    known = machines(tcb=states, advisories=advisories)
    assert write(known, level).status == 0
    rules = Policy.parse(data(known)).platforms["intel-sgx"]
    assert rules.tcb == ("SWHardeningNeeded", "UpToDate")
    assert rules.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert level_of(data(known)) == level
    machines(tcb=states[::-1], advisories=advisories[::-1])
    write(known, level, out="two.toml")
    assert data(known) == data(known, "two.toml")


def test_a_level_demands_a_nonce_and_collateral_whatever_a_policy_did(
    machines: Callable[..., World],
) -> None:
    known = machines()
    write(known, "basic")
    machines(nonce="optional", collateral="optional", tcb=["UpToDate"], advisories=[])
    write(known, "basic", out="two.toml")
    assert data(known) == data(known, "two.toml")
    rules = Policy.parse(data(known)).platforms["intel-sgx"]
    assert (rules.nonce_required, rules.collateral_required) == (True, True)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"tcb": ["UpToDate", "OutOfDate"]}, "the policy takes OutOfDate, UpToDate"),
        ({"advisories": ["INTEL-SA-00615"]}, "the policy takes INTEL-SA-00615"),
    ],
)
def test_strict_takes_machines_that_are_up_to_date_alone(
    machines: Callable[..., World], rules: dict[str, object], words: str
) -> None:
    known = machines(**rules)
    ran = write(known, "strict")
    assert (ran.status, words in " ".join(ran.err.split())) == (2, True), ran.err
    machines()
    assert write(known, "strict").status == 0
    text = data(known).replace(
        f'pccs = "{PCCS}"\n'.encode(),
        f'pccs = "{PCCS}"\n{next(iter(rules))} = '.encode()
        + toml(next(iter(rules.values()))).encode()
        + b"\n",
    )
    assert Policy.parse(text).version == 1
    assert level_of(text) is None


def test_strict_says_who_runs_the_machines_and_that_is_not_their_maker(
    machines: Callable[..., World],
) -> None:
    known = machines(operator="intel")
    ran = write(known, "strict")
    assert (ran.status, "Intel makes the hardware" in ran.err) == (2, True)


def test_an_own_date_can_be_given(known: World) -> None:
    write(known, "basic", "--valid-until 2030-01-01T00:00:00Z")
    assert Policy.parse(data(known)).valid_until == 1893456000


def test_a_policy_of_several_products_is_no_level(known: World) -> None:
    write(known, "basic")
    known.run("policy add out.toml acme.example/other")
    assert level_of(data(known)) is None


def test_what_is_no_policy_is_no_level() -> None:
    with pytest.raises(UsageError):
        level_of(b"")


def test_a_report_says_which_level_its_policy_is(world: World) -> None:
    world.scene.release()
    world.log.seal()
    assert write(world, "basic").status == 0
    world.write("doc", document(time=world.log.now))
    words = f"verify --policy out.toml --product {PRODUCT} --attestation doc"
    assert world.run(words, f"--nonce {NONCE.hex()} --report r.html").status == 0
    shown = world.run("report verify r.html --policy out.toml")
    assert (shown.status, "the text of basic" in shown.out) == (0, True)
