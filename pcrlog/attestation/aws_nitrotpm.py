"""EC2 instances that attest by NitroTPM, platform `aws-nitrotpm` (ATTEST.md 3).

The envelope is that of enclaves (nitro_document.py). Its 24 registers are a TPM's, and
say how the instance booted, not what has run since:

    PCR0, PCR1        AWS's firmware; changes as AWS changes it
    PCR4              the boot manager: where a unified kernel image boots, all of it
    PCR7              Secure Boot: whether it is on, and whose keys it trusts
    PCR12             what was added to that image's command line; zero: nothing
    PCR8..15          extended by what boots, and by who is root in the instance
    PCR16, PCR23      anybody resets them: worth nothing
    PCR17..22         all ones until a launch that these instances do not have

Identity is PCR4 with PCR12, which AWS compares for an Attestable AMI; a release adds
PCR7 where Secure Boot is on, and then that has to match too. There is no debug mode; an
instance whose PCR4 is zero, or all ones, has measured no boot.
"""

from collections.abc import Iterator, Mapping

from pcrlog.attestation import nitro_document
from pcrlog.attestation.nitro_document import Claims, Kind
from pcrlog.measurement import is_blank, is_zero

NAME = "aws-nitrotpm"


def debug(registers: Mapping[str, str]) -> str:
    """Why the registers say nothing of what booted: PCR4 is zero, or all ones."""
    if is_blank(registers["PCR4"]):
        return "PCR4 is zero or all ones: no boot was measured"
    return ""


def _notes(claims: Claims) -> Iterator[str]:
    if "-tpm" not in claims.module_id:
        yield "module_id names no TPM of an instance"
    if not is_zero(claims.registers.get("PCR8", "sha384:00")):
        yield (
            "PCR8 is not zero, as where GRUB boots: PCR4 is then GRUB alone, and says"
            " nothing of kernel, command line or files"
        )
    if not is_zero(claims.registers.get("PCR13", "sha384:00")):
        yield (
            "PCR13 is not zero, as where system extensions were added to what booted:"
            " PCR4 and PCR12 say nothing of these"
        )


PLATFORM = nitro_document.platform(
    Kind(
        name=NAME,
        member="nitrotpm_pcrs",
        registers=24,
        required=("PCR4", "PCR12"),
        debug=debug,
        notes=_notes,
    )
)
