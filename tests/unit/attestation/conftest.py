import pytest

from pcrlog.attestation.simulator import Simulator


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return Simulator(b"tests/unit/attestation")
