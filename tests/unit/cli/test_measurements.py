"""Registers from the forms in which builds and projects publish them (ATTEST.md 5)."""

import json
from pathlib import Path

import pytest

from cli.measurements import measured, wanted, wanted_build
from pcrlog.errors import UsageError
from pcrlog.published import Build
from tests.support import vectors as known_answers
from tests.support.memory_log import registers
from tests.support.sigstructs import oesign_dump, sgx_sign_dump, signer
from tests.unit.cli.world import hexes

GOOD = registers("good")
HEX = hexes(GOOD)
ZERO = "0" * 96


class Options:
    """What the options give."""

    def __init__(
        self, file: Path | None = None, *pcrs: str, artifact: str = ""
    ) -> None:
        self.measurements = None if file is None else str(file)
        self.pcrs = pcrs
        self.artifact = artifact or None


def read(folder: Path, text: str) -> dict[str, str]:
    path = folder / "build"
    path.write_text(text)
    return measured(Options(path))


FORMS = {
    "build-enclave": json.dumps(
        {"Measurements": {"HashAlgorithm": "Sha384 { ... }", **HEX}}, indent=2
    ),
    "sha2 0.10.9": json.dumps(
        {"Measurements": {"HashAlgorithm": "Sha512_48 { .. }", **HEX}}
    ),
    "describe-eif": json.dumps(
        {
            "EifVersion": 4,
            "Measurements": {"HashAlgorithm": "Sha384 { ... }", **HEX},
            "IsSigned": False,
            "CheckCRC": True,
            "ImageName": "wallet",
            "Metadata": {"BuildTool": "nitro-cli"},
        }
    ),
    "flat": json.dumps(HEX),
    "lower-case keys": json.dumps({name.lower(): text for name, text in HEX.items()}),
    "upper-case hex": json.dumps({name: text.upper() for name, text in HEX.items()}),
    "0x": json.dumps({name: f"0x{text}" for name, text in HEX.items()}),
    ".pcrs": "".join(f"{text} {name}\n" for name, text in HEX.items()),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_published_form_gives_the_same_registers(
    form: str, tmp_path: Path
) -> None:
    assert read(tmp_path, FORMS[form]) == GOOD


def test_registers_are_given_one_by_one_too() -> None:
    pcrs = [f"{n}={HEX[f'PCR{n}']}" for n in range(3)]
    assert measured(Options(None, *pcrs)) == GOOD


def test_a_register_can_be_added_to_those_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "build.json"
    path.write_text(FORMS["flat"])
    signer = "ab" * 48
    assert measured(Options(path, f"PCR8={signer}"))["PCR8"] == f"sha384:{signer}"


REFUSED = {
    "twice, in one object": FORMS["flat"][:-1] + f', "PCR0": "{HEX["PCR0"]}"}}',
    "twice, in two spellings": json.dumps({**HEX, "pcr0": HEX["PCR0"]}),
    "twice, in text": FORMS[".pcrs"] + f"{HEX['PCR0']} PCR0\n",
    "too short": json.dumps({**HEX, "PCR2": HEX["PCR2"][2:]}),
    "no hex": json.dumps({**HEX, "PCR2": "g" * 96}),
    "a number": json.dumps({**HEX, "PCR2": 7}),
    "zero": json.dumps({**HEX, "PCR3": ZERO}),
    "all zero": json.dumps(dict.fromkeys(HEX, ZERO)),
    "PCR2 missing": json.dumps({n: HEX[n] for n in ("PCR0", "PCR1")}),
    "one machine's": json.dumps({**HEX, "PCR4": HEX["PCR0"]}),
    "no such register": json.dumps({**HEX, "PCR32": HEX["PCR0"]}),
    "leading zero": json.dumps({**HEX, "PCR03": HEX["PCR0"]}),
    "a member that is none": json.dumps({**HEX, "comment": "hello"}),
    "another hash": json.dumps({"Measurements": {"HashAlgorithm": "Sha256", **HEX}}),
    "NitroTPM": json.dumps(
        {"Measurements": {"HashAlgorithm": "SHA384", "PCR4": HEX["PCR0"]}}
    ),
    "no object": json.dumps({"Measurements": [HEX]}),
    "a list": json.dumps([HEX]),
    "nested without end": "{" * 5000,
    "other text": "hello",
    "not ASCII": '{"PCR0": "é"}',
}


@pytest.mark.parametrize("form", REFUSED)
def test_whatever_is_not_just_that_is_refused(form: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read(tmp_path, REFUSED[form])


def test_a_nitrotpm_without_its_command_line_gets_a_word_of_its_own(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="nitro-tpm-pcr-compute prints it from"):
        read(tmp_path, REFUSED["NitroTPM"])


@pytest.mark.parametrize("pcr", ["0", "x=00", "-1=00", "=00"])
def test_a_register_is_given_as_number_and_hex(pcr: str) -> None:
    with pytest.raises(UsageError):
        measured(Options(None, pcr))


def test_a_nitrotpm_is_given_one_by_one_or_as_its_tool_prints_it(
    tmp_path: Path,
) -> None:
    pcrs = {"PCR4": HEX["PCR0"], "PCR7": HEX["PCR1"], "PCR12": ZERO}
    found = {name: f"sha384:{text}" for name, text in pcrs.items()}
    told = {"Measurements": {"HashAlgorithm": "SHA384", **pcrs}}
    assert read(tmp_path, json.dumps(told)) == found
    given = [f"{name[3:]}={text}" for name, text in pcrs.items()]
    build = wanted_build(Options(None, *given))
    assert build == Build("aws-nitrotpm", found)
    assert list(build.registers) == sorted(found)


MRENCLAVE = bytes(range(32))
SIGSTRUCT = signer().sign(MRENCLAVE, isvprodid=3, isvsvn=4)
ENCLAVE = Build(
    "intel-sgx",
    {
        "MRENCLAVE": f"sha256:{MRENCLAVE.hex()}",
        "MRSIGNER": f"sha256:{signer().mrsigner}",
    },
    {"ISVPRODID": 3, "ISVSVN": 4},
)


@pytest.mark.parametrize("form", ["SIGSTRUCT", "sgx_sign", "oesign"])
def test_an_enclave_of_sgx_has_numbers_too(form: str, tmp_path: Path) -> None:
    path = tmp_path / "enclave"
    if form == "SIGSTRUCT":
        path.write_bytes(SIGSTRUCT)
    else:
        dump = sgx_sign_dump if form == "sgx_sign" else oesign_dump
        path.write_text(dump(SIGSTRUCT))
    assert wanted_build(Options(path)) == ENCLAVE
    assert measured(Options(path)) == wanted(Options(path)) == ENCLAVE.registers


def test_an_enclave_of_sgx_is_given_one_by_one() -> None:
    given = Options(
        None, f"MRENCLAVE={MRENCLAVE.hex()}", f"mrsigner={signer().mrsigner}"
    )
    assert wanted_build(given, ["ISVPRODID=3", "isvsvn=4"]) == ENCLAVE
    assert wanted_build(given) == Build("intel-sgx", ENCLAVE.registers)


def test_a_number_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "enclave"
    path.write_bytes(SIGSTRUCT)
    with pytest.raises(UsageError, match="ISVSVN stands twice"):
        wanted_build(Options(path), ["ISVSVN=4"])


@pytest.mark.parametrize(
    "number", ["ISVSVN", "=2", "MRENCLAVE=2", "ISVSVN=", "ISVSVN=0x2", "ISVSVN=65536"]
)
def test_a_number_is_given_as_name_and_count(number: str) -> None:
    with pytest.raises(UsageError, match="ISVSVN"):
        wanted_build(Options(None, f"MRENCLAVE={MRENCLAVE.hex()}"), [number])


@pytest.mark.parametrize("text", ["ISVSVN=2", "isvprodid=2", "MRENCLAVE"])
def test_a_number_is_no_register(text: str) -> None:
    with pytest.raises(UsageError, match="--register: expected 0=HEX or MRENCLAVE=HEX"):
        measured(Options(None, text))


def test_a_signer_alone_is_no_measurement() -> None:
    with pytest.raises(UsageError, match="who signed, and not what"):
        measured(Options(None, f"MRSIGNER={signer().mrsigner}"))


def test_numbers_are_of_an_enclave_and_not_of_a_file() -> None:
    with pytest.raises(UsageError, match="--artifact stands alone"):
        wanted_build(Options(artifact=f"sha256:{'5a' * 32}"), ["ISVSVN=2"])
    with pytest.raises(UsageError, match="aws-nitro has none"):
        wanted_build(
            Options(None, *(f"{n}={HEX[f'PCR{n}']}" for n in range(3))), ["ISVSVN=2"]
        )
    with pytest.raises(UsageError, match="which registers"):
        wanted_build(Options(), ["ISVSVN=2"])


def test_an_artifact_is_a_file_or_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "sidecar"
    path.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for given in (str(path), f"sha256:{empty}"):
        found = measured(Options(artifact=given))
        assert found == {"digest": f"sha256:{empty}"}


@pytest.mark.parametrize("given", ["sha256:00", "missing"])
def test_an_artifact_that_is_neither_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        measured(Options(artifact=given))


def test_none_at_all_is_an_error_where_there_have_to_be_some() -> None:
    assert measured(Options()) == {}
    with pytest.raises(UsageError, match="which registers"):
        wanted(Options())


def _published(folder: Path) -> list[dict[str, object]]:
    data = (folder / "publications" / "publications.json").read_bytes()
    found: list[dict[str, object]] = json.loads(data)
    return [one for one in found if one["platform"] == "aws-nitro-enclaves"]


def _name(publication: dict[str, object]) -> str:
    published = publication["measurements"]
    assert isinstance(published, dict)
    return f"{publication['artifact']} {str(published['PCR0'])[:8]}"


@pytest.mark.parametrize(
    "publication",
    known_answers.cases(_published, name=_name),
)
def test_what_projects_publish_is_read_or_refused_for_a_reason(
    publication: dict[str, object], tmp_path: Path
) -> None:
    published = publication["measurements"]
    assert isinstance(published, dict)
    whole = {"PCR0", "PCR1", "PCR2"} <= set(published)
    zero = any(set(str(text)) == {"0"} for text in published.values())
    if whole and not zero and "PCR4" not in published:
        found = read(tmp_path, json.dumps(published))
        assert set(found) == set(published)
    else:
        with pytest.raises(UsageError):
            read(tmp_path, json.dumps(published))
