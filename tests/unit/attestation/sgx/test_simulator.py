"""The simulated machine: repeatable, like the genuine one, and trusted by nobody."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pcrlog.attestation import Document, Trust, platform, roots
from pcrlog.attestation.sgx import extension, quote
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulated_machine import Machine
from pcrlog.attestation.sgx.simulator import Enclave, Simulator
from pcrlog.errors import MalformedError
from tests.unit.attestation.sgx import genuine_quotes

SGX = platform("intel-sgx")
NOW = 1_795_417_200
ENCLAVE = Enclave(b"E" * 32)
SIMULATOR = Simulator(b"seed")


def opened(simulator: Simulator, data: bytes) -> Document:
    given = simulator.collateral(Word(NOW))
    trust = Trust((simulator.root_der,), NOW, collateral=given)
    *outcomes, document = SGX.walk(SGX.parse(data), trust)
    assert isinstance(document, Document)
    assert {one.status for one in outcomes if not isinstance(one, Document)} == {"pass"}
    return document


def test_one_seed_gives_the_same_bytes_again() -> None:
    other = Simulator(b"seed")
    assert SIMULATOR.certificates == other.certificates
    assert SIMULATOR.quote(ENCLAVE) == other.quote(ENCLAVE)
    assert SIMULATOR.collateral(Word(NOW)) == other.collateral(Word(NOW))


def test_another_seed_gives_another_root_and_machine() -> None:
    other = Simulator(b"other")
    assert SIMULATOR.root_der != other.root_der
    assert SIMULATOR.qe_id != other.qe_id
    assert SIMULATOR.attestation_key != other.attestation_key


def test_intel_trusts_none_of_it() -> None:
    assert SIMULATOR.root_der not in roots.builtin("intel-sgx")


def test_a_document_is_made_by_pcrlogs_names() -> None:
    data = SIMULATOR.document(
        registers={"MRENCLAVE": "0a" * 32, "MRSIGNER": b"\x0b" * 32},
        numbers={"ISVPRODID": 3, "ISVSVN": 4},
        nonce=b"n" * 32,
        public_key=b"k" * 32,
    )
    document = opened(SIMULATOR, data)
    assert document.registers == {
        "MRENCLAVE": "sha256:" + "0a" * 32,
        "MRSIGNER": "sha256:" + "0b" * 32,
    }
    assert document.numbers == {"ISVPRODID": 3, "ISVSVN": 4}
    assert (document.nonce, document.public_key) == (b"n" * 32, b"k" * 32)
    assert document.debug == ""
    with pytest.raises(MalformedError):
        SIMULATOR.document(registers={"MRENCLAVE": "0a" * 48})


def test_user_data_is_all_of_the_report_data() -> None:
    registers = {"MRENCLAVE": b"\x0a" * 32}
    data = SIMULATOR.document(registers=registers, user_data=b"u" * 64, debug=True)
    document = opened(SIMULATOR, data)
    assert document.user_data == b"u" * 64
    assert document.debug
    assert document.numbers == {"ISVPRODID": 0, "ISVSVN": 0}
    plain = opened(SIMULATOR, SIMULATOR.document(registers=registers))
    assert plain.user_data == bytes(32)


def test_its_machine_is_as_it_is_told() -> None:
    machine = Machine("0123456789AB", "00FF", tuple(range(16)), 65_535)
    simulator = Simulator(b"seed", machine=machine)
    found = extension.read(machine.extension)
    assert found.fmspc == machine.fmspc
    assert found.pce_id == machine.pce_id
    assert found.components == machine.components
    assert found.pce_svn == machine.pce_svn
    opened(simulator, simulator.quote(ENCLAVE))


# Like the genuine one.


def test_its_quotes_are_like_phalas(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "phala_sgx_quote.bin")
    theirs, ours = quote.parse(data), quote.parse(SIMULATOR.quote(ENCLAVE))
    assert ours.signed[:28] == theirs.signed[:28]
    for name in ("cpusvn", "miscselect", "attributes"):
        assert getattr(ours.report, name) == getattr(theirs.report, name)
    for name in ("miscselect", "attributes", "mrsigner", "isv_prod_id", "isv_svn"):
        assert getattr(ours.qe_report, name) == getattr(theirs.qe_report, name)
    assert ours.authentication == theirs.authentication
    assert ours.certification == theirs.certification
    pairs = zip(ours.certificates, theirs.certificates, strict=True)
    for mine, intels in (map(x509.load_der_x509_certificate, pair) for pair in pairs):
        assert _traits(mine) == _traits(intels)
        assert mine.not_valid_before_utc == intels.not_valid_before_utc
        assert mine.not_valid_after_utc == intels.not_valid_after_utc


def test_its_machine_is_phalas(vectors: Path) -> None:
    data = genuine_quotes.read(vectors, "phala_sgx_quote.bin")
    leaf = x509.load_der_x509_certificate(quote.parse(data).certificates[0])
    theirs = leaf.extensions.get_extension_for_oid(extension.OID).value
    assert isinstance(theirs, x509.UnrecognizedExtension)
    ours = Machine().extension
    # But for the PPID, which is of one machine alone.
    assert ours[:20] == theirs.value[:20]
    assert ours[36:] == theirs.value[36:]


def test_its_collateral_is_like_phalas(vectors: Path) -> None:
    theirs = json.loads(genuine_quotes.read(vectors, "phala_sgx_quote_collateral.json"))
    ours = json.loads(SIMULATOR.collateral(Word(NOW)))
    assert list(ours) == list(theirs)
    for name in ("tcb_info", "qe_identity"):
        assert _shape(json.loads(ours[name])) == _shape(json.loads(theirs[name]))
    for name in ("pck_crl", "root_ca_crl"):
        mine, intels = (
            x509.load_der_x509_crl(bytes.fromhex(one[name])) for one in (ours, theirs)
        )
        assert mine.signature_algorithm_oid == intels.signature_algorithm_oid
        assert len(list(mine)) == len(list(intels)) == 0


def test_a_level_without_advisories_has_no_member_for_them() -> None:
    without = json.loads(SIMULATOR.collateral(Word(NOW)))
    (level,) = json.loads(without["tcb_info"])["tcbLevels"]
    assert list(level) == ["tcb", "tcbDate", "tcbStatus"]


def _shape(found: Any) -> Any:
    """The members of what Intel states, in their order; of levels, the first."""
    levels = found.pop("tcbLevels")
    first = levels[0]
    first.pop("advisoryIDs", None)
    return list(found), list(first), list(first["tcb"]), type(first["tcbDate"])


def _traits(certificate: x509.Certificate) -> object:
    """What a verifier looks at, other than names, keys and times."""
    extensions = [
        certificate.extensions.get_extension_for_class(kind)
        for kind in (x509.BasicConstraints, x509.KeyUsage)
    ]
    return extensions, certificate.signature_algorithm_oid
