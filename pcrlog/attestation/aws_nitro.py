"""AWS Nitro Enclaves, platform `aws-nitro` (ATTEST.md 1); nitro_document.py reads them.

PCR0 is the whole image, PCR1 its kernel and boot, PCR2 the application, PCR4 the
machine. A debug enclave is one whose PCR0, PCR1 and PCR2 are zero. "All registers are
zero" is not the test: PCR4 never is (ATTEST.md 0.4).

>>> zero = "sha384:" + 48 * "00"
>>> debug({"PCR0": zero, "PCR1": zero, "PCR2": zero, "PCR4": "sha384:7021a4..."})
'PCR0, PCR1 and PCR2 are zero: debug mode'
"""

from collections.abc import Iterator, Mapping
from hashlib import sha384

from pcrlog.attestation import nitro_document
from pcrlog.attestation.nitro_document import Claims, Kind
from pcrlog.measurement import is_zero

NAME = "aws-nitro"
_IMAGE = ("PCR0", "PCR1", "PCR2")


def debug(registers: Mapping[str, str]) -> str:
    """Why the enclave is open to its host: PCR0, PCR1 and PCR2 are all zero."""
    if all(is_zero(registers[name]) for name in _IMAGE):
        return "PCR0, PCR1 and PCR2 are zero: debug mode"
    return ""


def _notes(claims: Claims) -> Iterator[str]:
    instance = claims.module_id.partition("-enc")[0]
    expected = sha384(bytes(48) + instance.encode()).hexdigest()
    if claims.registers.get("PCR4") != f"sha384:{expected}":
        yield "PCR4 is not the hash of the instance that module_id names"


PLATFORM = nitro_document.platform(
    Kind(
        name=NAME,
        member="pcrs",
        registers=32,
        required=_IMAGE,
        debug=debug,
        notes=_notes,
    )
)
