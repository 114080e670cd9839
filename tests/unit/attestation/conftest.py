import pytest

from pcrlog.attestation.simulator import Simulator


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return Simulator(b"tests/unit/attestation")


collect_ignore = ["another_platform.py"]
"""A program of its own: importing it adds a platform."""
