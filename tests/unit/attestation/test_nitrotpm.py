"""Instances that attest by NitroTPM: AWS's own document, and what the platform adds."""

from pathlib import Path

import pytest

from pcrlog.attestation import Document, Trust, cbor, genuine, platform, roots
from pcrlog.attestation.simulator import Simulator
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.measurement import PLATFORMS, check_registers, spell
from tests.unit.attestation.genuine import load

TIME = 1_795_417_205_678
TPM = "aws-nitrotpm"
BOOTED = {"PCR4": b"\x04" * 48, "PCR7": b"\x07" * 48}
GRUB = "PCR8 is not zero, as where GRUB boots"


@pytest.fixture(scope="module")
def tpm() -> Simulator:
    return Simulator(b"an instance", tpm=True)


def document_of(tpm: Simulator, **registers: bytes) -> Document:
    data = tpm.document(time=TIME, registers=BOOTED | registers)
    return genuine(TPM, data, Trust((tpm.root_der,), 0))[0]


def test_a_genuine_document_is_accepted(vectors: Path) -> None:
    [case] = [one for one in load(vectors) if "nitrotpm" in one.name]
    found, unmade = genuine(TPM, case.data, Trust(roots.builtin(TPM), 0))
    assert case.expected["expect"] == "ACCEPT"
    assert unmade == []
    assert found.registers == {
        f"PCR{number}": f"sha384:{digest}"
        for number, digest in case.expected["registers"].items()
    }
    assert found.module_id == "i-01cfb383223e42522-tpm0000000000000000"
    assert (found.time, found.debug) == (case.expected["timestamp_ms"], "")
    # It booted by GRUB: PCR4 says little of it, and PCR12 is rightly zero.
    [note] = found.notes
    assert note.startswith(GRUB)
    [measured] = spell(PLATFORMS[TPM].identity, found.registers)
    assert measured.startswith("PCR4=sha384:1a1f166e1995c1e1")
    assert measured.endswith(",PCR12=sha384:" + "0" * 96)


def test_a_genuine_document_with_one_bit_changed_is_refused(vectors: Path) -> None:
    [case] = [one for one in load(vectors) if "nitrotpm" in one.name]
    trust = Trust(roots.builtin(TPM), 0)
    for at in range(0, len(case.data), 61):
        changed = bytearray(case.data)
        changed[at] ^= 1
        with pytest.raises((MalformedError, VerificationError)):
            genuine(TPM, bytes(changed), trust)


def test_neither_platform_takes_documents_of_the_other(
    tpm: Simulator, simulator: Simulator
) -> None:
    machine = tpm.document(time=TIME, registers=BOOTED)
    enclave = simulator.document(time=TIME, registers={"PCR0": b"\1" * 48})
    with pytest.raises(MalformedError, match="nitrotpm_pcrs: expected pcrs"):
        platform("aws-nitro").parse(machine)
    with pytest.raises(MalformedError, match="pcrs: expected nitrotpm_pcrs"):
        platform(TPM).parse(enclave)
    both = simulator.document(
        time=TIME, registers={}, nitrotpm_pcrs={4: bytes(48), 12: bytes(48)}
    )
    for name in ("aws-nitro", TPM):
        with pytest.raises(MalformedError, match="expected"):
            platform(name).parse(both)


def test_an_instance_says_what_it_booted(tpm: Simulator) -> None:
    found = document_of(tpm)
    assert found.platform == TPM
    assert list(found.registers) == [f"PCR{number}" for number in range(24)]
    assert found.registers["PCR17"] == "sha384:" + "f" * 96
    assert (found.debug, found.notes) == ("", ())


@pytest.mark.parametrize("digest", [bytes(48), b"\xff" * 48])
def test_an_instance_that_measured_no_boot_says_so(
    tpm: Simulator, digest: bytes
) -> None:
    found = document_of(tpm, PCR4=digest, PCR12=b"\1" * 48)
    assert found.debug == "PCR4 is zero or all ones: no boot was measured"


def test_what_is_unusual_is_noted(tpm: Simulator) -> None:
    [note] = document_of(tpm, PCR8=b"\1" * 48).notes
    assert note.startswith(GRUB)
    data = tpm.document(time=TIME, registers=BOOTED, module_id=tpm.instance_id)
    found = genuine(TPM, data, Trust((tpm.root_der,), 0))[0]
    assert "module_id names no TPM of an instance" in found.notes


@pytest.mark.parametrize("numbers", [range(4), range(5), (12,), (4, 12, 24)])
def test_the_identifying_registers_have_to_be_there_and_no_others_than_24(
    tpm: Simulator, numbers: tuple[int, ...]
) -> None:
    pcrs: dict[int | str, cbor.Value] = dict.fromkeys(numbers, b"\1" * 48)
    data = tpm.document(time=TIME, registers={}, nitrotpm_pcrs=pcrs)
    with pytest.raises(MalformedError, match="nitrotpm_pcrs: expected"):
        platform(TPM).parse(data)


# What a release may name.

ONE = "sha384:" + "01" * 48
ZERO, ONES = "sha384:" + "0" * 96, "sha384:" + "f" * 96


@pytest.mark.parametrize("number", [2, 3, 5, 6, 7])
def test_a_release_may_name_what_is_fixed_before_the_system_runs(number: int) -> None:
    check_registers(PLATFORMS[TPM], {"PCR4": ONE, "PCR12": ZERO, f"PCR{number}": ONE})


@pytest.mark.parametrize("number", [0, 1, 8, 9, 10, 11, 13, 14, 15, 16, 17, 22, 23, 24])
def test_a_release_may_not_name_what_changes_or_can_be_changed(number: int) -> None:
    with pytest.raises(MalformedError, match=f"register PCR{number} = .* is not of"):
        check_registers(
            PLATFORMS[TPM], {"PCR4": ONE, "PCR12": ZERO, f"PCR{number}": ONE}
        )


@pytest.mark.parametrize("digest", [ZERO, ONES])
def test_a_release_of_no_boot_is_refused(digest: str) -> None:
    with pytest.raises(MalformedError, match="PCR4: all zero, or all ones"):
        check_registers(PLATFORMS[TPM], {"PCR4": digest, "PCR12": ONE})
