"""Lists of revoked certificates: whose they are, what is in them, what they may be."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from pcrlog.attestation.sgx import crl
from pcrlog.attestation.sgx.collateral import VerifiedCollateral
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.simulated_machine import der
from pcrlog.attestation.sgx.simulator import CERTIFICATES, Simulator
from pcrlog.attestation.simulator import Extensions, key_usage
from pcrlog.errors import (
    MalformedError,
    VerificationError,
)
from tests.unit.attestation.sgx.intel import (
    NOW,
    OTHER,
    SIMULATOR,
    machine_of,
    members,
    signed_by,
    verify,
)


@pytest.fixture(scope="module")
def machine() -> Pck:
    return machine_of(SIMULATOR)


def revoked(**serials: Any) -> VerifiedCollateral:
    return verify(members(**serials), machine_of(SIMULATOR))


def test_a_revoked_pck_certificate_is_refused(machine: Pck) -> None:
    words = "of Intel SGX PCK Certificate is revoked, number"
    with pytest.raises(VerificationError, match=words):
        revoked(revoked=(1, SIMULATOR.serial("pck"))).check_revocation(machine)


@pytest.mark.parametrize("name", ["ca", "tcb"])
def test_a_certificate_that_the_root_revoked_is_refused(
    machine: Pck, name: str
) -> None:
    serial = SIMULATOR.serial(name)
    words = f"is revoked, number {serial:x}"
    with pytest.raises(VerificationError, match=words):
        revoked(revoked_by_root=(1, serial)).check_revocation(machine)


@pytest.mark.parametrize("name", ["tcb", "second"])
def test_each_text_may_have_a_certificate_of_its_own(name: str) -> None:
    simulator = Simulator(
        b"tests of collateral",
        certificates={**CERTIFICATES, "second": CERTIFICATES["tcb"]},
    )
    machine = machine_of(simulator)
    for serial in (simulator.serial(name), 1):
        file = members(simulator, revoked_by_root=(serial,))
        signature = signed_by(simulator, file["qe_identity"], "second")
        file["qe_identity_signature"] = signature
        file["qe_identity_issuer_chain"] = simulator.pem("second", "root")
        found = verify(file, machine)
        if serial == 1:
            assert found.check_revocation(machine)
            continue
        with pytest.raises(VerificationError, match=f"is revoked, number {serial:x}"):
            found.check_revocation(machine)


def test_each_list_is_of_its_own_issuers_certificates(machine: Pck) -> None:
    serials = [SIMULATOR.serial(name) for name in ("pck", "ca", "tcb")]
    found = revoked(revoked=(*serials[1:], 5), revoked_by_root=(serials[0],))
    assert found.check_revocation(machine) == (
        "none of the certificates, where Intel SGX PCK Processor CA has revoked 3 and"
        " Intel SGX Root CA 1"
    )


def test_every_certificate_of_the_ca_is_looked_up(machine: Pck) -> None:
    # The quote may have another certificate of the CA's key than the collateral.
    for serial in (7, machine.issuer.serial_number):
        found = revoked(revoked_by_root=(serial,))
        one = replace(machine, issuer=_of_serial(machine.issuer, 7))
        with pytest.raises(VerificationError, match=f"is revoked, number {serial:x}"):
            found.check_revocation(one)


def _of_serial(certificate: x509.Certificate, serial: int) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        issuer_name=certificate.issuer,
        subject_name=certificate.subject,
        public_key=certificate.public_key(),
        serial_number=serial,
        not_valid_before=certificate.not_valid_before_utc,
        not_valid_after=certificate.not_valid_after_utc,
    )
    for one in certificate.extensions:
        builder = builder.add_extension(one.value, critical=one.critical)
    return builder.sign(SIMULATOR._keys["root"], SHA256())


def test_lists_of_another_intel_are_refused(machine: Pck) -> None:
    theirs = members(OTHER)
    for name, what in (("pck_crl", "PCK CRL"), ("root_ca_crl", "root CRL")):
        found = verify(members() | {name: theirs[name]}, machine)
        with pytest.raises(VerificationError, match=f"^{what}: it is not signed by"):
            found.check_revocation(machine)


def test_the_lists_may_not_be_swapped(machine: Pck) -> None:
    file = members()
    file["pck_crl"], file["root_ca_crl"] = file["root_ca_crl"], file["pck_crl"]
    with pytest.raises(VerificationError, match="root CRL: expected the list of"):
        verify(file, machine).check_revocation(machine)


def list_(
    *extensions: tuple[x509.ExtensionType, bool],
    entry: tuple[x509.ExtensionType, bool] | None = None,
    algorithm: SHA256 | SHA384 | None = None,
    serial: int = 1,
) -> bytes:
    """A list of the root's."""
    begins = datetime.fromtimestamp(NOW, UTC)
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=machine_of(SIMULATOR).root.subject,
        last_update=begins,
        next_update=begins + timedelta(days=30),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    one = x509.RevokedCertificateBuilder(serial, begins)
    if entry is not None:
        one = one.add_extension(entry[0], critical=entry[1])
    builder = builder.add_revoked_certificate(one.build())
    made = builder.sign(
        SIMULATOR._keys["root"], algorithm or SHA256(), ecdsa_deterministic=True
    )
    return made.public_bytes(Encoding.DER)


OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612: for examples
UNKNOWN = x509.UnrecognizedExtension(OID, b"\x05\x00")
PARTIAL = x509.IssuingDistributionPoint(
    full_name=None,
    relative_name=None,
    only_contains_user_certs=True,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)
ELSEWHERE = x509.CertificateIssuer([x509.DNSName("elsewhere.example")])


def test_extensions_that_change_nothing_are_left_alone() -> None:
    number, reason = x509.CRLNumber(3), x509.CRLReason(x509.ReasonFlags.key_compromise)
    key = x509.AuthorityKeyIdentifier(b"1" * 20, None, None)
    for extensions in (((number, True), (key, True)), ((UNKNOWN, False),)):
        raw = list_(*extensions, entry=(reason, False), serial=0xABC)
        found = crl.parse(raw.hex(), "root CRL").verify(machine_of(SIMULATOR).root)
        assert found == {0xABC}


@pytest.mark.parametrize("extension", [x509.DeltaCRLIndicator(1), PARTIAL])
def test_a_list_that_is_not_of_all_is_refused(extension: x509.ExtensionType) -> None:
    for critical in (True, False):
        with pytest.raises(MalformedError, match="a list of all, without extension"):
            crl.parse(list_((extension, critical)).hex(), "root CRL")


def test_an_entry_of_another_issuer_is_refused() -> None:
    for critical in (True, False):
        with pytest.raises(MalformedError, match=r"without extension 2\.5\.29\.29"):
            crl.parse(list_(entry=(ELSEWHERE, critical)).hex(), "root CRL")


def test_critical_extensions_that_are_not_known_are_refused() -> None:
    for raw in (list_((UNKNOWN, True)), list_(entry=(UNKNOWN, True))):
        with pytest.raises(MalformedError, match="a list of all, without extension 1"):
            crl.parse(raw.hex(), "root CRL")


def test_a_list_is_signed_with_sha256() -> None:
    found = crl.parse(list_(algorithm=SHA384()).hex(), "root CRL")
    words = r"expected ecdsa-with-SHA256, found 1\.2\.840\.10045\.4\.3\.3"
    with pytest.raises(VerificationError, match=words):
        found.verify(machine_of(SIMULATOR).root)


@pytest.mark.parametrize("usage", [("key_cert_sign",), None])
def test_who_issues_lists_needs_a_certificate_for_it(
    usage: tuple[str, ...] | None,
) -> None:
    root = CERTIFICATES["root"]
    constraints = x509.BasicConstraints(ca=True, path_length=1)
    usages: Extensions = () if usage is None else ((key_usage(*usage), True),)
    changed = replace(root, extensions=((constraints, True), *usages))
    simulator = Simulator(
        b"tests of collateral", certificates={**CERTIFICATES, "root": changed}
    )
    certificate = x509.load_der_x509_certificate(simulator.root_der)
    with pytest.raises(VerificationError, match="is not for CRLs"):
        crl.parse(list_().hex(), "root CRL").verify(certificate)


def test_a_list_has_one_spelling() -> None:
    raw = next(raw for n in range(1, 100) if (raw := list_(serial=n))[-1] % 2 == 0)
    signature = x509.load_der_x509_crl(raw).signature
    cut = raw.removesuffix(b"\0" + signature) + b"\1" + signature
    version = raw.replace(b"\x02\x01\x01\x30", b"\x02\x01\x11\x30", 1)
    for other in (cut, version, raw + b"\0", raw[:-1]):
        with pytest.raises(MalformedError, match="root CRL: not a readable CRL"):
            crl.parse(other.hex(), "root CRL")
    with pytest.raises(MalformedError, match="root CRL: not a readable CRL"):
        crl.parse(raw.hex().upper(), "root CRL")


def test_a_list_has_an_end_and_that_comes_after_its_begin() -> None:
    file = bytes.fromhex(members()["root_ca_crl"])
    first, second = b"\x17\x0d261123070000Z", b"\x17\x0d261223070000Z"
    swapped = file.replace(first + second, second + first)
    assert swapped != file
    with pytest.raises(MalformedError, match="root CRL: expected a nextUpdate after"):
        crl.parse(swapped.hex(), "root CRL")
    tbs = x509.load_der_x509_crl(file).tbs_certlist_bytes
    inner = tbs[3 if tbs[1] == 0x81 else 2 :].replace(second, b"")
    rest = file[file.index(tbs) + len(tbs) :]
    endless = der(0x30, der(0x30, inner) + rest)
    with pytest.raises(MalformedError, match=r"expected a nextUpdate .* found None"):
        crl.parse(endless.hex(), "root CRL")


def test_intels_list_of_its_root_is_read(vectors: Path) -> None:
    text = (vectors / "sgx" / "IntelSGXRootCA.crl").read_bytes()
    raw = x509.load_pem_x509_crl(text).public_bytes(Encoding.DER)
    root = x509.load_der_x509_certificate(
        (vectors / "sgx" / "fortanix_root_SGX_CA.der").read_bytes()
    )
    assert crl.parse(raw.hex(), "root CRL").verify(root) == frozenset()
