"""An Intel whose collateral can be changed, and signed again."""

import json
from collections.abc import Callable
from typing import Any

from pcrlog.attestation import Trust
from pcrlog.attestation.sgx import collateral, pck
from pcrlog.attestation.sgx import simulator as simulators
from pcrlog.attestation.sgx.collateral import VerifiedCollateral
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulator import Simulator

NOW = 1_795_417_200
"""2026-11-23T07:00:00Z, when the simulated Intel issues what it states."""
DAY = 86_400
SIMULATOR = Simulator(b"tests of collateral")
OTHER = Simulator(b"another Intel")
Members = dict[str, Any]


def machine_of(simulator: Simulator, now: int = NOW) -> Pck:
    ders = [simulator.certificates[name] for name in ("pck", "ca", "root")]
    return pck.verify(ders, (simulator.root_der,), now)


def members(simulator: Simulator = SIMULATOR, **word: Any) -> Members:
    """A collateral file as a mapping, to be changed."""
    found = json.loads(simulator.collateral(Word(**{"issued": NOW, **word})))
    assert isinstance(found, dict)
    return found


def written(file: Members) -> bytes:
    return json.dumps(file).encode()


def verify(
    file: Members, machine: Pck, now: int = NOW, skew: int = 0
) -> VerifiedCollateral:
    trust = Trust((), now, skew=skew)
    return collateral.parse(written(file)).verify(machine, trust)


def signed_by(simulator: Simulator, text: str, name: str = "tcb") -> str:
    return simulators._sign(simulator._keys[name], text.encode()).hex()


def restated(name: str, change: Callable[[str], str]) -> Members:
    """A file one of whose texts is changed, and signed again."""
    file = members()
    file[name] = change(file[name])
    return file | {f"{name}_signature": signed_by(SIMULATOR, file[name])}


def without(file: Members, name: str) -> Members:
    return {key: value for key, value in file.items() if key != name}
