"""Machines beside AWS's enclaves, for tests: one with SGX, and an instance with a TPM.

    ENCLAVE     what an enclave of SGX says; `quote` has it signed, `collateral` is what
                its maker publishes
    INSTANCE    what an instance says; `attested` has it signed

A policy trusts both by `SGX_RULES` and `TPM_RULES`, its tables for these platforms.
"""

from collections.abc import Mapping
from typing import Any

from pcrlog.attestation.sgx import simulator as sgx
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.simulator import Simulator
from tests.support.memory_log import START
from tests.support.scene import HOUR, NONCE, pem

SGX, TPM = "intel-sgx", "aws-nitrotpm"
SGX_SIMULATOR = sgx.Simulator(b"tests/support/machines")
TPM_SIMULATOR = Simulator(b"tests/support/machines", tpm=True)
SGX_RULES: dict[str, object] = {
    "roots": [pem(SGX_SIMULATOR.root_der)],
    "operator": "azure",
}
TPM_RULES: dict[str, object] = {"roots": [pem(TPM_SIMULATOR.root_der)]}
ENCLAVE = {"MRENCLAVE": f"sha256:{'e1' * 32}"}
OTHER_ENCLAVE = {"MRENCLAVE": f"sha256:{'e2' * 32}"}
INSTANCE = {
    "PCR4": f"sha384:{'b4' * 48}",
    "PCR7": f"sha384:{'b7' * 48}",
    "PCR12": f"sha384:{'00' * 48}",
}
OTHER_INSTANCE = {**INSTANCE, "PCR4": f"sha384:{'c4' * 48}"}
NUMBERS = {"ISVPRODID": 1, "ISVSVN": 2}


def hexes(image: Mapping[str, str]) -> dict[str, bytes | str]:
    """Registers as builds print them."""
    return {name: digest.partition(":")[2] for name, digest in image.items()}


def quote(
    image: Mapping[str, str] = ENCLAVE,
    *,
    nonce: bytes | None = NONCE,
    numbers: Mapping[str, int] | None = None,
    **members: Any,
) -> bytes:
    """A genuine quote of an enclave; the nonce is at most 32 bytes."""
    given = NUMBERS if numbers is None else numbers
    return SGX_SIMULATOR.document(
        registers=hexes(image), numbers=given, nonce=nonce, **members
    )


def attested(
    image: Mapping[str, str] = INSTANCE,
    *,
    time: int = START,
    nonce: bytes | None = NONCE,
    **members: Any,
) -> bytes:
    """A genuine document of an instance, signed at `time` (unix seconds)."""
    registers = hexes(image)
    return TPM_SIMULATOR.document(
        time=1000 * time, registers=registers, nonce=nonce, **members
    )


def collateral(now: int = START, **word: Any) -> bytes:
    """What its maker publishes of the machine with SGX, an hour before `now`."""
    return SGX_SIMULATOR.collateral(Word(**{"issued": now - HOUR, **word}))
