"""Key policies for instances: released PCR4, PCR12 and PCR7, and these together.

Each policy is also asked request by request, by the evaluator that is held to AWS's
documents alone: what is called closed lets nothing else through.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pcrlog.errors import UsageError
from tests.support import kms_evaluator as aws
from tests.unit.workbench.kms_policies import (
    GOOD,
    OTHER,
    PINNED,
    WHOLE_ACCOUNT,
    ZERO,
    Statement,
    allow,
    deny,
    key,
    pin,
    unless,
)
from workbench.kms_policy import parse_key_policy
from workbench.kms_policy_check import Judgement, Released, check_key_policy
from workbench.kms_policy_render import condition_for_machines, denials
from workbench.kms_policy_words import mend, why

FOUR, SEVEN, TWELVE = (f"NitroTPMPCR{n}" for n in (4, 7, 12))
A, B = "a4" * 48, "b4" * 48
NEAR = f"{A[:90]}ffffff"
PLAIN, MORE = ZERO, "c1" * 48
"""PCR12 of an image alone, and with something on its command line."""
BOOT = "7b" * 48
ONE, TWO = {FOUR: A, TWELVE: PLAIN}, {FOUR: B, TWELVE: MORE}
SECURE = {**ONE, SEVEN: BOOT}
BOTH = {name: [ONE[name], TWO[name]] for name in ONE}
ENCLAVES = [{name: f"sha384:{value}" for name, value in GOOD.items()}]


def registers(*builds: Mapping[str, str]) -> list[dict[str, str]]:
    """Builds as releases name them."""
    return [
        {
            name.removeprefix("NitroTPM"): f"sha384:{value}"
            for name, value in one.items()
        }
        for one in builds
    ]


def released(*builds: Mapping[str, str], enclaves: bool = False) -> Released:
    return Released.of(
        ENCLAVES if enclaves else (), pcr0_alone=False, machines=registers(*builds)
    )


def judge(known: Released, *statements: Statement) -> Judgement:
    policy = parse_key_policy(json.dumps({"Statement": list(statements)}).encode())
    return check_key_policy(policy, known)


ROWS: dict[str, tuple[list[Statement], Released, set[str]]] = {
    "pinned": ([allow(pin(**ONE))], released(ONE), set()),
    "case": (
        [allow(pin(**{FOUR: A.upper(), TWELVE: PLAIN}))],
        released(ONE),
        set(),
    ),
    "one of two": ([allow(pin(**ONE))], released(ONE, TWO), set()),
    "apart": ([allow(pin(**ONE)), allow(pin(**TWO))], released(ONE, TWO), set()),
    "a list of what goes together": (
        [allow(pin(**{FOUR: [A, B], TWELVE: PLAIN}))],
        released(ONE, {FOUR: B, TWELVE: PLAIN}),
        set(),
    ),
    "lists": ([allow(pin(**BOTH))], released(ONE, TWO), {"mixture"}),
    "all four": (
        [allow(pin(**BOTH))],
        released(*({FOUR: x, TWELVE: y} for x in (A, B) for y in (PLAIN, MORE))),
        set(),
    ),
    "the other's command line": (
        [allow(pin(**{FOUR: A, TWELVE: MORE}))],
        released(ONE, TWO),
        {"mixture"},
    ),
    "image alone": ([allow(pin(**{FOUR: A}))], released(ONE), {"boot"}),
    "image, and any command line": (
        [allow(pin(**{FOUR: A}) | pin("StringLike", **{TWELVE: "*"}))],
        released(ONE),
        {"boot"},
    ),
    "command line alone": (
        [allow(pin(**{TWELVE: PLAIN}))],
        released(ONE),
        {"any-code"},
    ),
    "another image": (
        [allow(pin(**{FOUR: OTHER, TWELVE: PLAIN}))],
        released(ONE),
        {"other-measurement"},
    ),
    "another image, loosely": (
        [allow(pin(**{FOUR: OTHER}))],
        released(ONE),
        {"other-measurement", "boot"},
    ),
    "another command line": (
        [allow(pin(**{FOUR: A, TWELVE: OTHER}))],
        released(ONE),
        {"other-measurement"},
    ),
    "nothing measured": (
        [allow(pin(**{FOUR: [A, ZERO], TWELVE: PLAIN}))],
        released(ONE),
        {"other-measurement"},
    ),
    "like": (
        [allow(pin("StringLike", **{FOUR: "a4*", TWELVE: PLAIN}))],
        released(ONE),
        {"any-code"},
    ),
    "secure boot": ([allow(pin(**SECURE))], released(SECURE), set()),
    "secure boot not asked for": ([allow(pin(**ONE))], released(SECURE), {"boot"}),
    "secure boot asked for, and not released": (
        [allow(pin(**SECURE))],
        released(ONE),
        set(),
    ),
    "secure boot of others": (
        [allow(pin(**{**SECURE, SEVEN: OTHER}))],
        released(SECURE),
        {"other-measurement"},
    ),
    "secure boot of one of two": (
        [allow(pin(**ONE))],
        released(SECURE, ONE),
        set(),
    ),
    "secure boot of another release": (
        [allow(pin(**{**ONE, SEVEN: BOOT}))],
        released(ONE, {**TWO, SEVEN: BOOT}),
        set(),
    ),
    "no attestation": ([allow()], released(ONE), {"no-attestation"}),
    "if exists": (
        [allow(pin("StringEqualsIfExists", **ONE))],
        released(ONE),
        {"no-attestation"},
    ),
    "there, whatever it is": (
        [allow({"Null": {key(FOUR): "false"}})],
        released(ONE),
        {"any-code"},
    ),
    "no such register": (
        [allow(pin(NitroTPMPCR24=OTHER))],
        released(ONE),
        {"no-attestation"},
    ),
    "enclaves, where instances are released": (
        [allow(PINNED)],
        released(ONE),
        {"no-attestation"},
    ),
    "instances, where enclaves are released": (
        [allow(pin(**ONE))],
        released(enclaves=True),
        {"no-attestation"},
    ),
    "each": (
        [allow(PINNED), allow(pin(**ONE))],
        released(ONE, enclaves=True),
        set(),
    ),
    "both at once": (
        [allow(pin(**GOOD, **ONE))],
        released(ONE, enclaves=True),
        set(),
    ),
    "an enclave and any instance": (
        [allow(pin(**GOOD) | {"Null": {key(FOUR): "true"}})],
        released(ONE, enclaves=True),
        set(),
    ),
    "neither in full": (
        [allow(pin(PCR0=GOOD["PCR0"], **{FOUR: A}))],
        released(ONE, enclaves=True),
        {"sections"},
    ),
    "an enclave in part, an instance in full": (
        [allow(pin(PCR0=GOOD["PCR0"], **ONE))],
        released(ONE, enclaves=True),
        set(),
    ),
    "an image if exists": (
        [allow(pin("StringEqualsIfExists", **{FOUR: A}) | pin(**{TWELVE: PLAIN}))],
        released(ONE),
        {"any-code"},
    ),
    "a command line if exists": (
        [allow(pin("StringEqualsIfExists", **{TWELVE: PLAIN}) | pin(**{FOUR: A}))],
        released(ONE),
        {"boot"},
    ),
    "an instance in part": (
        [allow(pin(**{FOUR: A}))],
        released(ONE, enclaves=True),
        {"boot"},
    ),
    "closed by denies": (
        [WHOLE_ACCOUNT, *unless(**ONE)],
        released(ONE),
        set(),
    ),
    "closed by denies, of enclaves": (
        [WHOLE_ACCOUNT, *unless(**ONE)],
        released(enclaves=True),
        {"no-attestation", "rules", "unknown-action"},
    ),
    "denied together": (
        [allow(), deny(pin("StringNotEqualsIgnoreCase", **ONE))],
        released(ONE),
        {"no-attestation"},
    ),
    "a deny of the image alone": (
        [allow(), *unless(**{FOUR: A})],
        released(ONE),
        {"boot"},
    ),
    "denied to instances": (
        [allow(PINNED), deny({"Null": {key(FOUR): "false"}})],
        released(enclaves=True),
        set(),
    ),
    "a mixture denied": (
        [
            allow(pin(**{FOUR: [A, B], TWELVE: [PLAIN, MORE]})),
            deny(pin("StringEqualsIgnoreCase", **{FOUR: B})),
            deny(pin("StringEqualsIgnoreCase", **{TWELVE: MORE})),
        ],
        released(ONE),
        set(),
    ),
    "never": (
        [allow(pin(**{FOUR: A}) | pin("StringEquals", **{FOUR: B}))],
        released(ONE),
        set(),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_policy_lets_through_what_aws_says(name: str) -> None:
    statements, known, kinds = ROWS[name]
    found = judge(known, *statements)
    assert {path.kind for path in found.paths} == kinds
    for path in (*found.paths, *found.admitted):
        assert why(path)
        assert mend(path)


# --- by requests ----------------------------------------------------------------------


def attestations() -> Iterator[dict[str, str]]:
    """Registers of a request: of an instance, of an enclave, or none."""
    values = {
        FOUR: [A, B, NEAR, OTHER, ZERO],
        TWELVE: [PLAIN, MORE, OTHER],
        SEVEN: [BOOT, OTHER],
    }
    for row in itertools.product(*values.values()):
        yield dict(zip(values, row, strict=True))
    for row in itertools.product(*([value, OTHER, ZERO] for value in GOOD.values())):
        yield dict(zip(GOOD, row, strict=True))
    yield {}


def requests(known: Released) -> list[aws.Request]:
    return [
        aws.Request(world, _is_released(said, known), _said(said, upper=world.upper))
        for world in aws.worlds((OTHER,))
        for said in attestations()
    ]


def _is_released(said: Mapping[str, str], known: Released) -> bool:
    enclave = known.registers and all(
        said.get(name) in values for name, values in known.registers.items()
    )
    return bool(enclave) or any(
        build.items() <= said.items() for build in known.machines
    )


def _said(said: Mapping[str, str], *, upper: bool) -> dict[str, str]:
    return {
        key(name).lower(): value.upper() if upper else value
        for name, value in said.items()
    }


def ways_in(statements: list[Statement], known: Released) -> list[Any]:
    return list(aws.ways_in({"Statement": statements}, requests(known)))


_STRICTER = (
    *("no such register", "neither in full"),
    *("an image if exists", "a command line if exists"),
)
"""What no request has: a register that there is not, registers of both kinds, one of an
instance without the others. That there is none is not relied on."""


@pytest.mark.parametrize("name", ROWS)
def test_what_is_called_closed_lets_no_request_through(name: str) -> None:
    statements, known, kinds = ROWS[name]
    assert bool(ways_in(statements, known)) is (bool(kinds) and name not in _STRICTER)


OPERATORS = (
    *("StringEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringEqualsIfExists", "ForAnyValue:StringNotEquals", "Null"),
)
LISTS = (
    {FOUR: [A], TWELVE: [PLAIN], SEVEN: [BOOT]},
    {FOUR: [A, B], TWELVE: [PLAIN], SEVEN: [BOOT]},
    {FOUR: [A, B], TWELVE: [PLAIN, MORE], SEVEN: [BOOT, OTHER]},
    {FOUR: [OTHER], TWELVE: [MORE], SEVEN: [OTHER]},
    {FOUR: ["*"], TWELVE: ["true"], SEVEN: ["false"]},
)
FAMILIES = (
    released(ONE, TWO),
    released(SECURE, TWO),
    released(ONE, {FOUR: B, TWELVE: PLAIN}, enclaves=True),
    released(enclaves=True),
)


@pytest.mark.parametrize("known", FAMILIES, ids=range(4))
def test_no_condition_on_an_instance_is_wrongly_safe(known: Released) -> None:
    closed = 0
    for operator, values in itertools.product(OPERATORS, LISTS):
        for names in ([FOUR], [FOUR, TWELVE], [FOUR, TWELVE, SEVEN]):
            block = {operator: {key(name): values[name] for name in names}}
            apart = [
                deny({operator: {key(name): values[name]}}, "kms:Decrypt")
                for name in names
            ]
            for statements in (
                [allow(block)],
                [allow(), *apart],
                [allow(pin(**{FOUR: [A, B], TWELVE: [PLAIN, MORE]})), *apart],
                [allow(block), allow(PINNED), deny(block, "kms:Decrypt")],
            ):
                if judge(known, *statements).closed:
                    closed += 1
                    assert ways_in(statements, known) == []
    assert closed


# --- what is given, and what is printed -----------------------------------------------


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ({FOUR: A}, "has no NitroTPMPCR12"),
        ({TWELVE: A}, "has no NitroTPMPCR4"),
        ({FOUR: ZERO, TWELVE: A}, "NitroTPMPCR4 is 0"),
    ],
)
def test_released_instances_are_whole(build: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        released(build)
    with pytest.raises(UsageError, match=told):
        condition_for_machines(registers(build))


def test_the_block_that_is_printed_closes_and_admits() -> None:
    builds = registers({**ONE, "NitroTPMPCR2": OTHER}, {**ONE, FOUR: B})
    block = condition_for_machines(builds)
    [keys] = block.values()
    assert keys == {key(FOUR): [A, B], key(TWELVE): [PLAIN]}
    known = released(ONE, {**ONE, FOUR: B})
    found = judge(known, allow(block))
    assert found.closed
    assert found.admitted
    denied = judge(known, WHOLE_ACCOUNT, *denials(block))
    assert {path.kind for path in denied.paths} == {"rules", "unknown-action"}
    assert denied.idle == ()


def test_a_register_that_every_release_names_is_asked_for_too() -> None:
    builds = registers(SECURE, {**SECURE, FOUR: B})
    [keys] = condition_for_machines(builds).values()
    assert list(keys) == [key(FOUR), key(TWELVE), key(SEVEN)]


@pytest.mark.parametrize("builds", [(ONE, TWO), (SECURE, {**ONE, FOUR: B})])
def test_releases_that_do_not_go_into_lists_are_not_printed_together(
    builds: tuple[dict[str, str], ...],
) -> None:
    with pytest.raises(UsageError, match="one at a time"):
        condition_for_machines(registers(*builds))


def test_why_says_what_a_condition_is_about() -> None:
    def told(known: Released, *statements: Statement) -> str:
        return " ".join(why(path) for path in judge(known, *statements).paths)

    both = released(ONE, TWO, enclaves=True)
    like = pin("StringLike", **{FOUR: "*", TWELVE: PLAIN})
    seven = allow(pin(**{SEVEN: BOOT}))
    assert "about enclaves, and about no instance" in told(released(ONE), allow(PINNED))
    alone = released(enclaves=True)
    assert "about instances, and about no" in told(alone, allow(pin(**ONE)))
    assert f"its StringLike on {FOUR} lets other" in told(both, allow(like))
    assert "NitroTPMPCR7 says whose keys Secure Boot takes" in told(both, seven)
    assert "command line got besides" in told(both, allow(pin(**{FOUR: A})))
    assert "whose keys Secure Boot takes" in told(released(SECURE), allow(pin(**ONE)))
    assert "no release has them together" in told(both, allow(pin(**BOTH)))
