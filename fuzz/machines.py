"""Targets of the other platforms: what a machine of Intel's hands over, and its maker.

A part of `targets`, which lists them.
"""

import contextlib

from pcrlog import attestation, published
from pcrlog.attestation import Trust, intel_sgx
from pcrlog.attestation.intel_sgx import SgxDocument
from pcrlog.attestation.sgx import collateral
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulator import Simulator
from pcrlog.errors import MalformedError, UncheckedError, VerificationError

TIME = 1_795_417_200
"""When the simulated collateral is issued, in unix seconds."""
SGX = Simulator(b"fuzz")
QUOTE = SGX.document(registers={"MRENCLAVE": b"\1" * 32}, nonce=b"nonce")
COLLATERAL = SGX.collateral(Word(issued=TIME))
_QUOTE = attestation.platform(intel_sgx.NAME)
_HONEST = collateral.parse(COLLATERAL).unverified_statements()[0]


def fuzz_quote(data: bytes) -> None:
    """A quote; if all of it holds it is the simulator's, whatever is around it."""
    with contextlib.suppress(MalformedError, UncheckedError, VerificationError):
        trust = Trust((SGX.root_der,), TIME)
        document, _ = attestation.genuine(intel_sgx.NAME, data, trust)
        if document.registers["MRENCLAVE"] != "sha256:" + "01" * 32:
            message = f"{data.hex()} is accepted"
            raise AssertionError(message)


def fuzz_collateral(data: bytes) -> None:
    """A file of collateral, and the texts in it; none but the simulator's holds."""
    with contextlib.suppress(MalformedError, UncheckedError):
        collateral.parse(data).period()
    trust = Trust((SGX.root_der,), TIME, collateral=data)
    for one in _QUOTE.walk(_QUOTE.parse(QUOTE), trust):
        if isinstance(one, SgxDocument) and one.collateral is not None:
            said = one.collateral.tcb_info
            if said != _HONEST:
                message = f"{data!r} is Intel's word"
                raise AssertionError(message)


def fuzz_builds(data: bytes) -> None:
    """What builds print, of any platform."""
    with contextlib.suppress(MalformedError, VerificationError):
        published.collect(published.parse_pairs(data))
    with contextlib.suppress(MalformedError, VerificationError):
        published.parse_builds(data)
