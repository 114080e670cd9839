"""No changed byte of a good document passes, and none raises anything unforeseen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from pcrlog.attestation import cose, platform, roots
from pcrlog.attestation.simulator import Simulator
from pcrlog.errors import MalformedError, VerificationError
from tests.unit.attestation import forgery
from tests.unit.attestation.genuine import load

NITRO = platform("aws-nitro")
TIME = 1_795_417_200_000

# cryptography warns of what it still reads, such as a serial number below 1.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

EVERY = [
    pytest.param(47, id="some"),
    pytest.param(1, id="all", marks=pytest.mark.slow),
]


def changed(data: bytes, step: int) -> Iterator[bytes]:
    """`data` with one byte changed, at every `step`th place in turn."""
    for at in range(0, len(data), step):
        for bits in (0x01, 0x80, 0xFF, 1 + at % 255):
            yield data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def assert_refused(data: bytes, trusted: tuple[bytes, ...]) -> None:
    with pytest.raises((MalformedError, VerificationError)):
        NITRO.parse(data).verify_signature().verify_chain(trusted)


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("name", ["evervault_signed_2022-10", "base_hinted_2026-01"])
def test_no_byte_of_a_genuine_document_can_change(
    vectors: Path, name: str, step: int
) -> None:
    (case,) = [case for case in load(vectors) if case.name == f"{name}.cbor"]
    for data in changed(case.data, step):
        assert_refused(data, roots.builtin("aws-nitro"))


@pytest.mark.parametrize("name", ["evervault_signed_2022-10", "base_hinted_2026-01"])
def test_no_part_of_a_genuine_document_passes(vectors: Path, name: str) -> None:
    (case,) = [case for case in load(vectors) if case.name == f"{name}.cbor"]
    for at in range(1, len(case.data)):
        assert_refused(case.data[:at], roots.builtin("aws-nitro"))
    for at in range(1, len(case.data), 7):
        assert_refused(case.data[at:], roots.builtin("aws-nitro"))


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("position", range(5))
def test_no_byte_of_a_certificate_can_change_though_the_document_is_signed_again(
    simulator: Simulator, position: int, step: int
) -> None:
    certificates = simulator.chain(TIME)
    for der in changed(certificates[position], step):
        mangled = list(certificates)
        mangled[position] = der
        *cas, leaf = mangled
        data = simulator.document(
            time=TIME, registers={}, certificate=leaf, cabundle=tuple(cas)
        )
        assert_refused(data, (simulator.root_der,))


@pytest.mark.parametrize("step", EVERY)
def test_a_certificate_signed_for_any_bytes_raises_nothing_else(
    simulator: Simulator, step: int
) -> None:
    certificate = x509.load_der_x509_certificate(simulator.chain(TIME)[-1])
    for tbs in changed(certificate.tbs_certificate_bytes, step):
        leaf = forgery.leaf(simulator, tbs)
        verify_or_refuse(
            simulator, simulator.document(time=TIME, registers={}, certificate=leaf)
        )


@pytest.mark.parametrize("step", EVERY)
def test_a_payload_signed_for_any_bytes_raises_nothing_else(
    simulator: Simulator, step: int
) -> None:
    data = simulator.document(time=TIME, registers={}, nonce=b"nonce")
    for payload in changed(cose.parse(data).payload, step):
        verify_or_refuse(simulator, simulator.sign(payload))


def verify_or_refuse(simulator: Simulator, data: bytes) -> None:
    """Some changes are legitimate: another nonce, another serial number."""
    try:
        signed = NITRO.parse(data).verify_signature()
        signed.verify_chain([simulator.root_der])
    except (MalformedError, VerificationError):
        pass
