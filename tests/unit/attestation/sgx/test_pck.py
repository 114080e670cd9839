"""The PCK certificate's chain, and each of its rules, broken."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import permutations
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from pcrlog.attestation import roots
from pcrlog.attestation.sgx import pck, quote
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.simulated_machine import SEQUENCE, der
from pcrlog.attestation.sgx.simulator import CERTIFICATES, Certificate, Simulator
from pcrlog.attestation.simulator import ca_extensions, key_usage
from pcrlog.errors import UsageError, VerificationError
from tests.unit.attestation.sgx import genuine_quotes
from tests.unit.attestation.sgx.genuine_quotes import Case

slow = pytest.mark.slow
NOW = 1_795_417_200
SEED = b"tests/unit/attestation/sgx"
HONEST = Simulator(SEED)
CHAIN = ("pck", "ca", "root")
LEAF = CERTIFICATES["pck"]
UNKNOWN = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"),  # RFC 5612: for examples
    b"\x05\x00",
)


def changed(name: str, **change: object) -> Simulator:
    """A simulator with one certificate made otherwise; all have the same keys."""
    return Simulator(SEED, certificates=with_profile(name, **change))


def with_profile(name: str, **change: object) -> Mapping[str, Certificate]:
    return {**CERTIFICATES, name: replace(CERTIFICATES[name], **change)}


def chain(simulator: Simulator, names: tuple[str, ...] = CHAIN) -> list[bytes]:
    return [simulator.certificates[name] for name in names]


def verify(simulator: Simulator, now: int = NOW) -> Pck:
    return pck.verify(chain(simulator), [simulator.root_der], now)


def refused(simulator: Simulator, message: str, now: int = NOW) -> None:
    with pytest.raises(VerificationError, match=message):
        verify(simulator, now)


def test_a_chain_says_which_machine_it_is_of() -> None:
    found = verify(HONEST)
    assert found.fmspc == "00A067110000"
    assert found.pce_id == "0000"
    assert found.components == (11, 11, 2, 2, 255, 1, *(10 * (0,)))
    assert found.pce_svn == 13
    assert found.serial == HONEST.serial("pck") == found.leaf.serial_number
    assert found.issuer.public_bytes(Encoding.DER) == HONEST.certificates["ca"]
    assert found.root.public_bytes(Encoding.DER) == HONEST.root_der
    assert found.root_sha256 == sha256(HONEST.root_der).hexdigest()
    assert (found.not_before, found.not_after) == (LEAF.begins, LEAF.ends)


@pytest.mark.parametrize("order", list(permutations(CHAIN)))
def test_certificates_may_be_in_any_order(order: tuple[str, ...]) -> None:
    found = pck.verify(chain(HONEST, order), [HONEST.root_der], NOW)
    assert found == verify(HONEST)


def test_either_ca_of_intels_may_issue_it() -> None:
    platform = changed("ca", common_name="Intel SGX PCK Platform CA")
    assert verify(platform).fmspc == "00A067110000"
    for name in ("Intel SGX TCB Signing", "", "Intel SGX PCK Processor CA "):
        refused(
            changed("ca", common_name=name or "x"),
            "expected a PCK certificate by Intel",
        )


@pytest.mark.parametrize("case", genuine_quotes.cases("eppid"))
def test_the_chain_of_a_genuine_quote(case: Case) -> None:
    certificates = quote.parse(case.data).certificates
    found = pck.verify(
        certificates, roots.builtin("intel-sgx"), genuine_quotes.JULY_2025
    )
    assert found.fmspc == case.fmspc
    assert found.pce_id == "0000"
    assert found.root_sha256.startswith("44a0196b2b99f889")


# The root, by its key.


def test_intels_older_certificate_of_the_key_is_as_good_in_a_quote(
    vectors: Path,
) -> None:
    older = (vectors / "sgx" / "fortanix_root_SGX_CA.der").read_bytes()
    (newer,) = roots.builtin("intel-sgx")
    data = genuine_quotes.read(vectors, "fortanix_quote")
    certificates = quote.parse(data).certificates
    assert older in certificates
    assert newer not in certificates
    for root in (older, newer):
        found = pck.verify(certificates, [root], genuine_quotes.JULY_2025)
        assert found.root_sha256 == sha256(root).hexdigest()


def test_it_is_the_trusted_root_whose_dates_count() -> None:
    older = changed("root", ends=NOW - 1)
    found = pck.verify(chain(older), [HONEST.root_der], NOW)
    assert found.root_sha256 == sha256(HONEST.root_der).hexdigest()
    with pytest.raises(VerificationError, match="does not hold"):
        pck.verify(chain(HONEST), [older.root_der], NOW)


def test_of_several_roots_the_one_with_the_key_is_reported() -> None:
    other = Simulator(b"other")
    found = pck.verify(chain(HONEST), [other.root_der, HONEST.root_der], NOW)
    assert found.root_sha256 == sha256(HONEST.root_der).hexdigest()


def test_the_root_of_another_is_not_trusted() -> None:
    other = Simulator(b"other")
    for trusted in ([other.root_der], []):
        with pytest.raises(VerificationError, match="has the key of a trusted root"):
            pck.verify(chain(HONEST), trusted, NOW)


def test_names_are_no_keys() -> None:
    other = Simulator(b"other")
    mixed = [other.certificates["pck"], other.certificates["ca"], HONEST.root_der]
    with pytest.raises(VerificationError, match="does not hold"):
        pck.verify(mixed, [HONEST.root_der], NOW)


def test_a_trusted_root_that_is_no_certificate_is_a_mistake_in_the_policy() -> None:
    with pytest.raises(UsageError, match="a trusted root is of no use"):
        pck.verify(chain(HONEST), [b"junk"], NOW)


def copy_of_root(subject: str, signer: str, digest: type[SHA256 | SHA384]) -> bytes:
    """A certificate of the root's key, as another could make it."""
    root = x509.load_der_x509_certificate(HONEST.root_der)
    (name,) = root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    builder = x509.CertificateBuilder(
        issuer_name=root.subject,
        subject_name=x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, subject), name]
        ),
        public_key=root.public_key(),
        serial_number=1,
        not_valid_before=datetime.fromtimestamp(0, UTC),
        not_valid_after=datetime.fromtimestamp(NOW, UTC),
    )
    signed = builder.sign(HONEST._keys[signer], digest())
    return signed.public_bytes(Encoding.DER)


def verify_copy(copy: bytes) -> Pck:
    return pck.verify([*chain(HONEST, ("pck", "ca")), copy], [HONEST.root_der], NOW)


def test_a_copy_of_the_root_is_signed_by_the_root() -> None:
    name = CERTIFICATES["root"].common_name
    assert verify_copy(copy_of_root(name, "root", SHA256)) == verify(HONEST)
    with pytest.raises(VerificationError, match="is not signed by the trusted root"):
        verify_copy(copy_of_root(name, "ca", SHA256))
    with pytest.raises(VerificationError, match="another name than the trusted"):
        verify_copy(copy_of_root("Root", "root", SHA256))
    with pytest.raises(VerificationError, match="signed with ecdsa-with-SHA256"):
        verify_copy(copy_of_root(name, "root", SHA384))


# How many.


@pytest.mark.parametrize("names", [(), CHAIN[:2], CHAIN[1:], (*CHAIN, "tcb")])
def test_there_are_three(names: tuple[str, ...]) -> None:
    message = f"expected 3 certificates, found {len(names)}"
    with pytest.raises(VerificationError, match=message):
        pck.verify(chain(HONEST, names), [HONEST.root_der], NOW)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("pck", "pck", "root"), "two certificates of the chain have one key"),
        (("pck", "root", "root"), "two certificates of the chain have one key"),
        (("pck", "tcb", "root"), "not in the order of issue"),
        (("tcb", "ca", "root"), "not in the order of issue"),
    ],
)
def test_they_are_the_right_three(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        pck.verify(chain(HONEST, names), [HONEST.root_der], NOW)


def test_all_three_can_be_read() -> None:
    for position in range(3):
        certificates = chain(HONEST)
        certificates[position] += b"\0"
        with pytest.raises(VerificationError, match="not a readable certificate"):
            pck.verify(certificates, [HONEST.root_der], NOW)


# The algorithms.


@pytest.mark.parametrize("name", CHAIN)
def test_all_keys_are_on_p_256(name: str) -> None:
    other = changed(name, curve=ec.SECP384R1)
    refused(other, "expected a P-256 key, found secp384r1")


@pytest.mark.parametrize("name", CHAIN)
def test_all_signatures_are_with_sha_256(name: str) -> None:
    refused(
        changed(name, digest=SHA384),
        r"ecdsa-with-SHA256, found one with 1\.2\.840\.10045\.4\.3\.3",
    )


def test_a_root_with_another_kind_of_key_is_no_match_and_no_crash() -> None:
    others = [*roots.builtin("aws-nitro"), root_of(Ed25519PrivateKey.generate())]
    assert pck.verify(chain(HONEST), [*others, HONEST.root_der], NOW) == verify(HONEST)
    with pytest.raises(VerificationError, match="has the key of a trusted root"):
        pck.verify(chain(HONEST), others, NOW)


def root_of(key: Ed25519PrivateKey) -> bytes:
    root = x509.load_der_x509_certificate(HONEST.root_der)
    builder = x509.CertificateBuilder(
        issuer_name=root.subject,
        subject_name=root.subject,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=datetime.fromtimestamp(0, UTC),
        not_valid_after=datetime.fromtimestamp(NOW, UTC),
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)


def test_a_certificate_with_another_kind_of_key_is_refused() -> None:
    certificates = [
        *chain(HONEST, ("pck", "ca")),
        root_of(Ed25519PrivateKey.generate()),
    ]
    with pytest.raises(VerificationError, match="P-256 key, found Ed25519PublicKey"):
        pck.verify(certificates, [HONEST.root_der], NOW)


# The path.


@pytest.mark.parametrize("name", CHAIN)
@pytest.mark.parametrize("bound", ["begins", "ends"])
def test_each_certificate_is_valid_at_the_time(name: str, bound: str) -> None:
    exactly = changed(name, **{bound: NOW})
    assert verify(exactly).fmspc == "00A067110000"
    late = {"begins": NOW + 1, "ends": NOW - 1}[bound]
    refused(changed(name, **{bound: late}), "does not hold at 2026-11-23T07:00:00Z")


@pytest.mark.parametrize("name", CHAIN)
def test_each_signature_counts(name: str) -> None:
    forged = chain(HONEST)
    at = CHAIN.index(name)
    forged[at] = forged[at][:-1] + bytes([forged[at][-1] ^ 1])
    with pytest.raises(VerificationError):
        pck.verify(forged, [HONEST.root_der], NOW)


def test_a_root_that_allows_no_ca_has_none() -> None:
    refused(changed("root", extensions=ca_extensions(0)), "does not hold")


@pytest.mark.parametrize("name", CHAIN)
def test_a_critical_extension_that_is_not_known_is_refused(name: str) -> None:
    extensions = (*CERTIFICATES[name].extensions, (UNKNOWN, True))
    refused(changed(name, extensions=extensions), r"not known: 1\.3\.6\.1\.4\.1\.32473")
    extensions = (*CERTIFICATES[name].extensions, (UNKNOWN, False))
    assert verify(changed(name, extensions=extensions)).fmspc == "00A067110000"


def test_the_ca_says_that_it_is_one_and_the_leaf_that_it_is_none() -> None:
    refused(changed("ca", extensions=LEAF.extensions), "not in the order of issue")
    refused(changed("ca", extensions=()), "does not hold")
    refused(changed("pck", extensions=()), "does not hold")
    refused(changed("pck", extensions=ca_extensions(0)), "does not hold")
    sign = (key_usage("digital_signature"), True)
    refused(changed("pck", extensions=(*ca_extensions(0)[:1], sign)), "does not hold")


def test_two_cas_with_one_name_are_refused() -> None:
    same = changed("ca", common_name=CERTIFICATES["root"].common_name)
    refused(same, "one name|does not hold")


# Without a CA: who signs what Intel states.


def test_a_certificate_may_be_the_roots_own() -> None:
    for names in (("tcb", "root"), ("root", "tcb")):
        path = pck.verify_path(chain(HONEST, names), [HONEST.root_der], NOW, cas=0)
        assert path.leaf.public_bytes(Encoding.DER) == HONEST.certificates["tcb"]
        assert path.cas == ()
        assert path.proved.common_name == "Intel SGX TCB Signing"
    with pytest.raises(VerificationError, match="expected 2 certificates, found 3"):
        pck.verify_path(chain(HONEST), [HONEST.root_der], NOW, cas=0)
    with pytest.raises(VerificationError, match="does not hold"):
        pck.verify_path(chain(HONEST, ("pck", "root")), [HONEST.root_der], NOW, cas=0)


# The extension.


def test_a_certificate_without_the_extension_is_not_of_a_machine() -> None:
    plain = changed("tcb", issuer="ca")
    certificates = chain(plain, ("tcb", "ca", "root"))
    with pytest.raises(VerificationError, match="it is not a PCK certificate"):
        pck.verify(certificates, [plain.root_der], NOW)


def test_an_extension_that_is_malformed_is_refused() -> None:
    @dataclass(frozen=True)
    class Lying:
        extension: bytes

    lying = Simulator(SEED, machine=Lying(b"\x30\x00"))  # type: ignore[arg-type] # all that is asked of it here
    refused(lying, "the PCK certificate's extension for SGX: expected .2 with tag")


ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def forged(signer: str, tbs: bytes) -> bytes:
    """A certificate over any `tbs`, rightly signed."""
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
    signature = HONEST._keys[signer].sign(tbs, algorithm)
    content = tbs + ECDSA_WITH_SHA256 + der(0x03, b"\0" + signature)
    return der(SEQUENCE, content)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "step", [pytest.param(13, id="some"), pytest.param(1, id="all", marks=slow)]
)
@pytest.mark.parametrize(
    ("name", "signer"), [("pck", "ca"), ("ca", "root"), ("root", "root")]
)
def test_a_certificate_signed_for_any_bytes_raises_nothing_else(
    name: str, signer: str, step: int
) -> None:
    honest = x509.load_der_x509_certificate(HONEST.certificates[name])
    tbs = honest.tbs_certificate_bytes
    outcomes = set()
    for at in range(0, len(tbs), step):
        for bits in (0x01, 0x20, 0x80, 0xFF):
            changed = tbs[:at] + bytes([tbs[at] ^ bits]) + tbs[at + 1 :]
            certificates = {**HONEST.certificates, name: forged(signer, changed)}
            try:
                pck.verify([certificates[one] for one in CHAIN], [HONEST.root_der], NOW)
            except VerificationError:
                outcomes.add("refused")
            else:
                # Some changes are legitimate: another serial number, another SVN.
                outcomes.add("verified")
    assert outcomes == {"refused", "verified"}
