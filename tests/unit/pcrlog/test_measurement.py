"""Registers and the strings that name what runs."""

import pytest

from pcrlog.errors import MalformedError
from pcrlog.measurement import (
    PLATFORMS,
    Register,
    check_registers,
    is_zero,
    parse_measurement,
    registers_in,
    registers_of,
    spell,
    subject_of,
)

NITRO, ARTIFACT, SOURCE = (PLATFORMS[n] for n in ("aws-nitro", "artifact", "source"))
SHA384 = "sha384:" + "ab" * 48
ZERO = "sha384:" + "0" * 96
PCRS = {"PCR0": SHA384, "PCR1": SHA384, "PCR2": SHA384}


def test_the_platforms_are_those_of_the_protocol() -> None:
    table = {p.name: (p.required, p.identity, p.released) for p in PLATFORMS.values()}
    assert table == {
        "aws-nitro": (("PCR0", "PCR1", "PCR2"), (("PCR0",),), True),
        "aws-nitrotpm": (("PCR4", "PCR12"), (("PCR4", "PCR12"),), True),
        "intel-sgx": (("MRENCLAVE",), (("MRENCLAVE",),), True),
        "artifact": (("digest",), (("digest",),), True),
        "source": (("commit",), (("commit",),), False),
    }
    assert all(name == platform.name for name, platform in PLATFORMS.items())


# --- M -------------------------------------------------------------------------------


def test_m_is_spelled_in_the_order_of_identity() -> None:
    registers = {"PCR12": "sha384:0c", "PCR4": "sha384:04"}
    assert spell([["PCR4", "PCR12"]], registers) == ("PCR4=sha384:04,PCR12=sha384:0c",)
    assert spell([["PCR12"], ["PCR4"]], registers) == (
        "PCR12=sha384:0c",
        "PCR4=sha384:04",
    )


@pytest.mark.parametrize(
    ("identity", "registers"),
    [
        pytest.param([], {"a": "x:00"}, id="no-list"),
        pytest.param([[]], {"a": "x:00"}, id="empty-list"),
        pytest.param([["a", "b"]], {"a": "x:00"}, id="a-register-is-missing"),
        pytest.param([["a"]], {}, id="no-registers"),
        pytest.param([["a"]], {"a": "00"}, id="no-algorithm"),
        pytest.param([["a"]], {"a": "x:"}, id="no-value"),
        pytest.param([["a"]], {"a": "x:0"}, id="one-digit"),
        pytest.param([["a"]], {"a": "x:0G"}, id="not-hex"),
        pytest.param([["a"]], {"a": "x:AB"}, id="upper-case"),
        pytest.param([["a"]], {"a": "x:" + "0" * 129}, id="too-long"),
        pytest.param([["a"]], {"a": "x:00\n"}, id="newline"),
        pytest.param([["a"]], {"a": "x:00,b=x:00"}, id="two-in-one"),
        pytest.param([["a"]], {"a": "x-y:00"}, id="algorithm-with-a-dash"),
        pytest.param([["a=b"]], {"a=b": "x:00"}, id="name-with-a-sign"),
        pytest.param([["é"]], {"é": "x:00"}, id="name-not-ascii"),
        pytest.param([["a" * 33]], {"a" * 33: "x:00"}, id="name-too-long"),
    ],
)
def test_an_m_with_a_gap_or_of_another_shape_is_left_out(
    identity: list[list[str]], registers: dict[str, str]
) -> None:
    assert spell(identity, registers) == ()
    with_good = spell([*identity, ["good"]], {**registers, "good": "x:00"})
    assert with_good == ("good=x:00",)


@pytest.mark.parametrize(
    ("platform", "m"),
    [
        ("aws-nitro", f"PCR0={SHA384}"),
        ("artifact", "digest=sha256:" + "0" * 64),
        ("source", "commit=gitCommit:" + "c" * 40),
        ("aws-nitrotpm", "PCR4=sha384:00,PCR12=sha384:ff"),
        ("a" * 32, "x=y:00"),
    ],
)
def test_a_measurement_has_one_spelling(platform: str, m: str) -> None:
    assert parse_measurement(f"{platform}/{m}") == (platform, m)
    assert ",".join(f"{name}={value}" for name, value in registers_in(m).items()) == m


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "aws-nitro",
        "aws-nitro/",
        f"PCR0={SHA384}",
        f"/PCR0={SHA384}",
        f"AWS-nitro/PCR0={SHA384}",
        f"{'a' * 33}/PCR0={SHA384}",
        f"aws-nitro/PCR0={SHA384.upper()}",
        f"aws-nitro/PCR0={SHA384}\n",
        f"aws-nitro/PCR0={SHA384},",
        f"aws-nitro/PCR0={SHA384},,PCR1={SHA384}",
        f"aws-nitro/PCR0={SHA384}, PCR1={SHA384}",
        f"aws-nitro/PCR0 = {SHA384}",
        "aws-nitro/PCR0=sha384",
        "aws-nitro/PCR0=sha384:",
        "aws-nitro/PCR0=sha384:" + "0" * 129,
        f"aws-nitro/x/PCR0={SHA384}",
    ],
)
def test_another_spelling_of_a_measurement_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="expected aws-nitro/PCR0"):
        parse_measurement(text)


# --- subjects ------------------------------------------------------------------------


def test_a_subject_is_its_registers_and_back() -> None:
    subject = subject_of({"PCR2": "a:00", "PCR10": "a:01", "PCR1": "a:02"})
    assert subject == (
        Register("PCR1", {"a": "02"}),
        Register("PCR10", {"a": "01"}),
        Register("PCR2", {"a": "00"}),
    )
    assert registers_of(subject) == {"PCR1": "a:02", "PCR10": "a:01", "PCR2": "a:00"}


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param([], id="empty"),
        pytest.param(
            [Register("b", {"x": "00"}), Register("a", {"x": "00"})], id="order"
        ),
        pytest.param([Register("a", {"x": "00"})] * 2, id="twice"),
        pytest.param(
            [Register("a", {"x": "00"}), Register("a", {"x": "01"})],
            id="twice-differing",
        ),
        pytest.param([Register("a", {})], id="no-digest"),
        pytest.param([Register("a", {"x": "00", "y": "00"})], id="two-digests"),
        pytest.param(
            [Register(f"r{i:02}", {"x": "00"}) for i in range(33)], id="33-registers"
        ),
    ],
)
def test_a_subject_of_another_form_is_refused(subject: list[Register]) -> None:
    with pytest.raises(MalformedError):
        registers_of(subject)


def test_a_subject_may_have_32_registers() -> None:
    subject = [Register(f"r{i:02}", {"x": "00"}) for i in range(32)]
    assert len(registers_of(subject)) == 32


# --- platforms -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [*range(4), *range(5, 32)])
def test_an_enclave_may_name_any_register_but_pcr4(number: int) -> None:
    check_registers(NITRO, PCRS | {f"PCR{number}": SHA384})


@pytest.mark.parametrize(
    "name", ["PCR4", "PCR32", "PCR00", "PCR01", "PCR", "PCR-1", "pcr3", "MRENCLAVE", ""]
)
def test_an_enclave_has_no_other_register(name: str) -> None:
    with pytest.raises(MalformedError, match="is not of this platform"):
        check_registers(NITRO, PCRS | {name: SHA384})


@pytest.mark.parametrize("name", ["PCR0", "PCR1", "PCR2"])
def test_an_enclave_without_its_first_registers_is_refused(name: str) -> None:
    """Bytes can move between sections of an image without changing PCR0."""
    partial = {other: digest for other, digest in PCRS.items() if other != name}
    with pytest.raises(MalformedError, match=f"register {name} is missing"):
        check_registers(NITRO, partial)
    check_registers(NITRO, partial, required=())


@pytest.mark.parametrize(
    "digest", ["sha256:" + "a" * 64, "sha384:" + "a" * 94, "sha512:" + "a" * 128, "x:"]
)
def test_a_register_of_an_enclave_is_sha384(digest: str) -> None:
    with pytest.raises(MalformedError, match="is not of this platform"):
        check_registers(NITRO, PCRS | {"PCR3": digest})


def test_an_enclave_in_debug_mode_is_refused() -> None:
    zero = dict.fromkeys(PCRS, ZERO)
    with pytest.raises(MalformedError, match="debug mode"):
        check_registers(NITRO, zero)
    with pytest.raises(MalformedError, match="debug mode"):
        check_registers(NITRO, zero | {"PCR8": SHA384})
    for name in PCRS:
        check_registers(NITRO, zero | {name: SHA384})
    check_registers(NITRO, PCRS | {"PCR3": ZERO})


@pytest.mark.parametrize(
    ("platform", "registers"),
    [
        (ARTIFACT, {"digest": "sha256:" + "a" * 64}),
        (SOURCE, {"commit": "gitCommit:" + "a" * 40}),
        (SOURCE, {"commit": "gitCommit:" + "a" * 64}),
    ],
)
def test_artifacts_and_sources_have_one_register(
    platform: object, registers: dict[str, str]
) -> None:
    assert platform in (ARTIFACT, SOURCE)
    chosen = ARTIFACT if platform is ARTIFACT else SOURCE
    check_registers(chosen, registers)
    [(name, digest)] = registers.items()
    for wrong in (
        {},
        {name: digest + "aa"},
        {name: digest[:-2]},
        {name: "sha384:" + "a" * 96},
        {**registers, "other": digest},
        {"other": digest},
    ):
        with pytest.raises(MalformedError):
            check_registers(chosen, wrong)


@pytest.mark.parametrize(
    ("digest", "zero"),
    [
        (ZERO, True),
        (SHA384, False),
        ("sha384:01", False),
        ("sha384:", False),
        (":", False),
    ],
)
def test_zero_is_a_digest_of_zeros_alone(digest: str, zero: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_zero(digest) is zero


def test_zeros_mean_debug_mode_on_enclaves_alone() -> None:
    """Elsewhere they are nobody's hash, but a failed rebuild may come to anything."""
    for platform, zeros in (
        (ARTIFACT, {"digest": "sha256:" + "0" * 64}),
        (SOURCE, {"commit": "gitCommit:" + "0" * 40}),
    ):
        with pytest.raises(MalformedError, match=r"all zero, or all ones$"):
            check_registers(platform, zeros)
        check_registers(platform, zeros, required=())
    attesting = [p.name for p in PLATFORMS.values() if p.attests]
    assert attesting == ["aws-nitro", "aws-nitrotpm", "intel-sgx"]
