"""Builds of all platforms, in the forms in which they are published."""

import json
from pathlib import Path

import msgspec
import pytest

from pcrlog.errors import MalformedError
from pcrlog.measurement import PLATFORMS
from pcrlog.published import (
    NITRO,
    NITROTPM,
    SGX,
    Build,
    check_build,
    collect,
    parse_builds,
    parse_pairs,
)
from pcrlog.sigstruct import DEBUG
from tests.support.memory_log import registers
from tests.support.sigstructs import (
    gramine_text,
    gramine_view,
    oesign_dump,
    sgx_sign_dump,
    signer,
)

HASH = bytes(range(32))
SIGNED = signer().sign(HASH, isvprodid=1, isvsvn=2)
ENCLAVE = Build(
    SGX,
    {"MRENCLAVE": f"sha256:{HASH.hex()}", "MRSIGNER": f"sha256:{signer().mrsigner}"},
    {"ISVPRODID": 1, "ISVSVN": 2},
)
FLAT: dict[str, object] = {
    "MRENCLAVE": HASH.hex(),
    "MRSIGNER": signer().mrsigner,
    "ISVPRODID": 1,
    "ISVSVN": 2,
}
FORMS = {
    "SIGSTRUCT": SIGNED,
    "sgx_sign dump": sgx_sign_dump(SIGNED).encode(),
    "oesign dump": oesign_dump(SIGNED).encode(),
    "Gramine": gramine_text(SIGNED).encode(),
    "Gramine, JSON": json.dumps(gramine_view(SIGNED), indent=4).encode(),
    "Gramine, all": json.dumps(gramine_view(SIGNED, verbose=True)).encode(),
    "flat": json.dumps(FLAT).encode(),
    "flat, lower case": json.dumps({n.lower(): v for n, v in FLAT.items()}).encode(),
    "flat, 0X": json.dumps(FLAT | {"MRENCLAVE": f"0X{HASH.hex().upper()}"}).encode(),
    "lines": "".join(f"{v} {n}\n" for n, v in FLAT.items()).encode(),
}
ZERO, ONES = "0" * 96, "F" * 96
PCR4, PCR7 = "4" * 96, "7" * 96
TPM = {"HashAlgorithm": "SHA384", "PCR4": PCR4, "PCR7": PCR7, "PCR12": ZERO}


def tpm(**changes: str | None) -> bytes:
    rows = {name: v for name, v in (TPM | changes).items() if v is not None}
    return json.dumps({"Measurements": rows}, indent=2).encode()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_enclave(form: str) -> None:
    assert collect(parse_pairs(FORMS[form])) == ENCLAVE
    assert parse_builds(FORMS[form]) == [ENCLAVE]


def test_a_list_may_have_builds_of_all_platforms() -> None:
    nitro = {name: d.partition(":")[2] for name, d in registers("good").items()}
    artifact = {"digest": f"sha256:{'5a' * 32}"}
    rows = [nitro, FLAT, gramine_view(SIGNED), json.loads(tpm()), artifact]
    found = parse_builds(json.dumps(rows).encode())
    assert [one.platform for one in found] == [NITRO, SGX, SGX, NITROTPM, "artifact"]
    assert found[1] == found[2] == ENCLAVE
    assert parse_builds(b"[]") == []


def test_a_monitor_reads_what_it_kept_before_there_were_numbers() -> None:
    kept = b'["aws-nitro",{"PCR0":"sha384:00"}]'
    build = msgspec.json.decode(kept, type=Build)
    assert build == Build("aws-nitro", {"PCR0": "sha384:00"})
    assert msgspec.json.decode(msgspec.json.encode(ENCLAVE), type=Build) == ENCLAVE


# --- NitroTPM -------------------------------------------------------------------------


def test_a_nitrotpm_is_told_by_its_registers_and_keeps_a_zero_pcr12() -> None:
    [build] = parse_builds(tpm())
    assert build.platform == NITROTPM
    assert build.registers["PCR12"] == f"sha384:{ZERO}"
    assert build.registers.keys() == {"PCR4", "PCR7", "PCR12"}
    assert build.numbers == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PCR12": None}, "PCR12 is missing: without it .* from 1.1.0 on"),
        ({"PCR4": None}, "register PCR4 is missing"),
        ({"PCR4": ZERO}, "PCR4 is zero"),
        ({"PCR4": ONES}, "PCR4 is all ones"),
        ({"PCR7": ZERO}, "PCR7 is zero: .* Leave it out$"),
        ({"PCR12": ONES}, "PCR12 is all ones"),
        ({"PCR9": PCR4}, "PCR9 = .* is not of this platform"),
        ({"PCR16": PCR4}, "PCR16 = .* is not of this platform"),
        ({"PCR4": PCR4[2:]}, "PCR4: expected"),
        ({"HashAlgorithm": "SHA256"}, "expected SHA-384, got 'SHA256'"),
        ({"ISVSVN": "1"}, "aws-nitrotpm has none, found 'ISVSVN'"),
    ],
)
def test_registers_that_say_less_of_a_boot_are_refused(
    changes: dict[str, str | None], words: str
) -> None:
    with pytest.raises(MalformedError, match=words):
        parse_builds(tpm(**changes))


def test_a_register_of_an_enclave_makes_it_one() -> None:
    with pytest.raises(MalformedError, match="aws-nitro: register PCR0 is missing"):
        parse_builds(tpm(PCR1=PCR4, PCR12=None))


# --- SGX ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MRENCLAVE": None}, "MRSIGNER alone says who signed, and not what"),
        ({"MRENCLAVE": "0" * 64}, "MRENCLAVE is zero: .* says nothing$"),
        ({"MRSIGNER": "f" * 64}, "MRSIGNER is all ones: .* Leave it out$"),
        ({"MRENCLAVE": "5a" * 48}, "MRENCLAVE: expected MRENCLAVE and 64 hex digits"),
        ({"MRSIGNER": ["5a"]}, "MRSIGNER: expected MRSIGNER .*, got 'list'"),
        ({"mrenclave": HASH.hex()}, "MRENCLAVE stands twice"),
        ({"isvsvn": 2}, "ISVSVN stands twice"),
        ({"ISVSVN": 65_536}, "ISVSVN: expected a number of at most 65535, got 'int'"),
        ({"ISVSVN": "65536"}, "ISVSVN: expected a number of at most 65535"),
        ({"ISVSVN": -1}, "ISVSVN: expected a number"),
        ({"ISVSVN": "02"}, "ISVSVN: expected a number"),
        ({"ISVSVN": True}, "ISVSVN: expected a number of .*, got 'True'"),
        ({"ISVSVN": 2.0}, "ISVSVN: expected a number of .*, got 'float'"),
        ({"ISVSVN": None, "ISVEXTPRODID": 1}, "'ISVEXTPRODID': expected PCR0 to"),
        ({"PCR0": PCR4}, "intel-sgx: register PCR0 = .* is not of this platform"),
        ({"MRENCLAVE\u017f": "5a" * 32}, "not registers"),
    ],
)
def test_what_says_less_of_an_enclave_is_refused(
    changes: dict[str, object], words: str
) -> None:
    rows = {name: v for name, v in (FLAT | changes).items() if v is not None}
    with pytest.raises(MalformedError, match=words):
        parse_builds(json.dumps(rows, ensure_ascii=False).encode())


def test_names_are_those_of_ascii() -> None:
    with pytest.raises(MalformedError, match="expected PCR0 to PCR31"):
        collect([("MRENCLAVE", HASH.hex()), ("MR\u017fIGNER", HASH.hex())])


def test_a_debug_build_is_refused_in_a_list_too() -> None:
    made = signer().sign(HASH, flags=0x4 | DEBUG)
    for data in (made, oesign_dump(made).encode()):
        with pytest.raises(MalformedError, match="a debug build"):
            parse_builds(data)
    rows = [FLAT, gramine_view(made)]
    with pytest.raises(MalformedError, match="a debug build"):
        parse_builds(json.dumps(rows).encode())


def test_numbers_are_of_sgx() -> None:
    pcrs = {f"PCR{n}": f"{n + 1}" * 96 for n in range(3)}
    with pytest.raises(MalformedError, match="aws-nitro has none, found 'ISVSVN'"):
        parse_builds(json.dumps(pcrs | {"ISVSVN": 1}).encode())


@pytest.mark.parametrize("form", FORMS)
def test_a_mangled_form_is_malformed_or_an_enclave(form: str) -> None:
    data, refused, same = FORMS[form], 0, 0
    for at in range(0, len(data), 11):
        for other in (data[at] ^ 1, 0x30, 0x3A, 0x0A):
            mangled = data[:at] + bytes([other]) + data[at + 1 :]
            try:
                [build] = parse_builds(mangled)
            except MalformedError:
                refused += 1
                continue
            assert build.platform == SGX
            assert build.registers.keys() <= {"MRENCLAVE", "MRSIGNER"}
            assert {len(one) for one in build.registers.values()} == {7 + 64}
            same += build == ENCLAVE
    assert refused > 0
    if form == "SIGSTRUCT":
        assert same == sum(
            data[at] == other
            for at in range(0, len(data), 11)
            for other in (0x30, 0x3A, 0x0A)
        )


@pytest.mark.parametrize("data", [b"{}", b"", b'{"ISVSVN": 1}', b"[{}]"])
def test_a_build_names_a_register(data: bytes) -> None:
    with pytest.raises(MalformedError, match="no registers"):
        parse_builds(data)


def test_what_is_checked_is_returned() -> None:
    assert check_build(ENCLAVE) is ENCLAVE
    with pytest.raises(MalformedError, match="not of this platform"):
        check_build(Build(SGX, {"MRENCLAVE": "sha384:00"}))


@pytest.mark.parametrize("name", PLATFORMS[SGX].numbers)
def test_numbers_are_those_of_the_platform(name: str) -> None:
    assert name in ENCLAVE.numbers


def test_the_measurements_that_signal_publishes_are_read(vectors: Path) -> None:
    path = vectors / "publications" / "publications.json"
    found = [
        one["measurements"]
        for one in json.loads(path.read_bytes())
        if one["platform"] == SGX and "MRENCLAVE" in one["measurements"]
    ]
    assert len(found) > 10
    for measurements in found:
        [build] = parse_builds(json.dumps(measurements).encode())
        wanted = {"MRENCLAVE": f"sha256:{measurements['MRENCLAVE']}"}
        assert build == Build(SGX, wanted)
