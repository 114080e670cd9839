from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pcrlog.attestation import cbor, cose, platform, roots
from pcrlog.attestation.simulator import Simulator
from pcrlog.errors import MalformedError
from tests.unit.attestation.genuine import load

HOUR = 3_600_000
TIME = 1_795_417_200_000 + 59 * 60_000
"""A minute before the next hour, when the simulator makes its next chain."""
NITRO = platform("aws-nitro")


def test_one_seed_gives_the_same_bytes_again() -> None:
    one, other = Simulator(b"seed"), Simulator(b"seed")
    for time in (TIME, TIME + HOUR, TIME):
        document = one.document(time=time, registers={}, nonce=b"n")
        assert document == other.document(time=time, registers={}, nonce=b"n")


def test_another_seed_gives_another_root_and_module() -> None:
    one, other = Simulator(b"one"), Simulator(b"other")
    assert one.root_der != other.root_der
    assert one.module_id != other.module_id


def test_the_chain_lasts_an_hour_and_the_root_for_ever(simulator: Simulator) -> None:
    now, soon = simulator.chain(TIME), simulator.chain(TIME + 59_999)
    later = simulator.chain(TIME + 60_000)
    assert now == soon
    assert now[0] == later[0] == simulator.root_der
    assert not set(now[1:]) & set(later[1:])


@pytest.mark.parametrize("time", [TIME, TIME + 60_000, TIME + 10_000 * HOUR])
def test_its_documents_verify_with_two_hours_to_spare(
    simulator: Simulator, time: int
) -> None:
    data = simulator.document(time=time, registers={})
    signed = NITRO.parse(data).verify_signature()
    document = signed.verify_chain([simulator.root_der])
    assert document.leaf_not_before <= time // 1000
    assert document.leaf_not_after > (time + 2 * HOUR) // 1000


def test_registers_are_given_as_bytes_or_hex(simulator: Simulator) -> None:
    raw = simulator.document(time=TIME, registers={"PCR16": b"\x0a" * 48})
    in_hex = simulator.document(time=TIME, registers={"PCR16": "0a" * 48})
    assert raw == in_hex
    with pytest.raises(MalformedError):
        simulator.document(time=TIME, registers={"PCR16": "0a" * 32})


def test_debug_wins_over_the_registers(simulator: Simulator) -> None:
    registers = {"PCR0": b"\1" * 48, "PCR8": b"\1" * 48}
    data = simulator.document(time=TIME, registers=registers, debug=True)
    signed = NITRO.parse(data).verify_signature()
    document = signed.verify_chain([simulator.root_der])
    assert document.debug
    assert document.registers["PCR8"] == "sha384:" + "01" * 48


def test_aws_trusts_none_of_it(simulator: Simulator) -> None:
    assert simulator.root_der not in roots.builtin("aws-nitro")


def test_it_is_like_the_genuine_one(simulator: Simulator, vectors: Path) -> None:
    (case,) = [c for c in load(vectors) if c.name == "base_hinted_2026-01.cbor"]
    genuine, simulated = (
        cose.parse(data)
        for data in (case.data, simulator.document(time=TIME, registers={}))
    )
    assert simulated.protected == genuine.protected
    assert simulated.payload[:1] == genuine.payload[:1]
    theirs, ours = cbor.decode(genuine.payload), cbor.decode(simulated.payload)
    assert isinstance(theirs, dict)
    assert isinstance(ours, dict)
    assert list(ours) == list(theirs)
    assert ours["pcrs"].keys() == theirs["pcrs"].keys()  # type: ignore[union-attr] # else it fails
    certificates = zip(_certificates(ours), _certificates(theirs), strict=True)
    for mine, aws in certificates:
        assert _traits(mine) == _traits(aws)
        # AWS's own differ by some hours (ATTEST.md 1.3).
        assert abs(_life(mine) - _life(aws)) <= _life(aws) / 10


def _certificates(payload: dict[int | str, cbor.Value]) -> list[x509.Certificate]:
    cas, leaf = payload["cabundle"], payload["certificate"]
    assert isinstance(cas, tuple)
    return [x509.load_der_x509_certificate(der) for der in (*cas, leaf)]  # type: ignore[arg-type] # else it fails


def _traits(certificate: x509.Certificate) -> object:
    """What a verifier looks at, other than names, keys and times."""
    extensions = [
        certificate.extensions.get_extension_for_class(kind)
        for kind in (x509.BasicConstraints, x509.KeyUsage)
    ]
    return extensions, certificate.signature_algorithm_oid


def _life(certificate: x509.Certificate) -> timedelta:
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc
