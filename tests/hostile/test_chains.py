"""Certificates that no reader of certificates expects: in names, above all."""

import pytest
from cryptography import x509
from msgspec.structs import replace

from pcrlog.attestation import platform
from pcrlog.attestation.simulator import PROFILES, Simulator, ca_extensions
from pcrlog.errors import MalformedError, VerificationError
from tests.support.scene import SIMULATOR, Scene, not_passed
from tests.unit.attestation import forgery

TIME = 1_795_417_200_000
ORGANIZATION = bytes.fromhex("060355040a")
"""The type of the first attribute of the simulator's names."""


def with_second_name(simulator: Simulator, old: bytes, new: bytes) -> bytes:
    """A document whose leaf has `new` where its subject had `old`, rightly signed."""
    leaf = x509.load_der_x509_certificate(simulator.chain(TIME)[-1])
    tbs = leaf.tbs_certificate_bytes
    issuer, subject = tbs.find(old), tbs.rfind(old)
    assert 0 <= issuer < subject, "the issuer's name has it too"
    assert len(old) == len(new)
    tbs = tbs[:subject] + new + tbs[subject + len(old) :]
    certificate = forgery.leaf(simulator, tbs)
    return simulator.document(time=TIME, registers={}, certificate=certificate)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"\x0c\x10pcrlog", b"\x0c\x10\xffcrlog", id="no UTF-8"),
        pytest.param(b"\x0c\x10pcrlog", b"\x13\x10\xffcrlog", id="not printable"),
        pytest.param(b"\x0c\x10pcrlog", b"\x30\x10pcrlog", id="a sequence"),
        pytest.param(b"\x0c\x10pcrlog", b"\x1c\x10pcrlog", id="in 32 bits each"),
        pytest.param(b"\x0c\x10pcrlog", b"\x05\x10pcrlog", id="null"),
        pytest.param(ORGANIZATION, b"\x06\x03\x80\x80\x80", id="no type"),
        pytest.param(ORGANIZATION, b"\x06\x03\xff\xff\xff", id="half of a type"),
        pytest.param(ORGANIZATION, b"\x0c\x03abc", id="a text for a type"),
        pytest.param(b"\x0c\x10pcrlog", b"\x03\x10\x00crlog", id="in bits"),
    ],
)
def test_a_name_that_cannot_be_read_is_noted_or_an_error_of_ours(
    simulator: Simulator, old: bytes, new: bytes
) -> None:
    data = with_second_name(simulator, old, new)
    try:
        signed = platform("aws-nitro").parse(data).verify_signature()
        found = signed.verify_chain([simulator.root_der])
    except (MalformedError, VerificationError):
        return
    assert any("its certificate is for" in note for note in found.notes)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(b"\x0c\x10\xffcrlog", id="no UTF-8"),
        pytest.param(b"\x03\x10\x00crlog", id="in bits"),
    ],
)
def test_a_leaf_that_is_a_ca_and_has_no_readable_name_is_refused(new: bytes) -> None:
    """Anybody can make it: no key but one's own is needed, and the root is public."""
    leaf = replace(PROFILES[-1], extensions=ca_extensions(None, "digital_signature"))
    evil = Simulator(b"evil", [*PROFILES[:-1], leaf])
    made = x509.load_der_x509_certificate(evil.chain(TIME)[-1])
    tbs = new.join(made.tbs_certificate_bytes.rsplit(b"\x0c\x10pcrlog", 1))
    scene = Scene()
    scene.release()
    document = evil.document(
        time=TIME,
        registers={},
        cabundle=(SIMULATOR.root_der, *evil.chain(TIME)[1:-1]),
        certificate=forgery.leaf(evil, tbs),
    )
    report = scene.report(attestation=document)
    assert not_passed(report)["document.chain"] == "fail"
    assert report.exit_code == 4


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(b"tests/hostile/chains")
