"""Each rule of the chain, broken by a simulator that is otherwise honest."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace

from pcrlog.attestation import Document, Trust, cbor, cose, genuine, platform
from pcrlog.attestation.simulator import (
    PROFILES,
    Extensions,
    Profile,
    Simulator,
    ca_extensions,
    key_usage,
)
from pcrlog.errors import MalformedError, UsageError, VerificationError
from tests.unit.attestation import forgery

TIME = 1_795_417_200_000
"""2026-11-23T07:00:00Z, on the hour: where the simulator's certificates begin."""
LEAF_ENDS = TIME // 1000 + 3 * 3600 + 3

NOT_CA = x509.BasicConstraints(ca=False, path_length=None)
CA = x509.BasicConstraints(ca=True, path_length=None)
SIGN = key_usage("digital_signature")
CERT_SIGN = key_usage("key_cert_sign")
OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612: for examples
UNKNOWN = x509.UnrecognizedExtension(OID, b"\x05\x00")


def verify(simulator: Simulator, **fields: cbor.Value) -> Document:
    honest = simulator.document(time=TIME, registers={})
    payload = cbor.decode(cose.parse(honest).payload)
    assert isinstance(payload, dict)
    payload.update(fields.items())
    data = simulator.sign(cbor.encode(payload))
    return genuine("aws-nitro", data, Trust((simulator.root_der,), 0))[0]


def changed(position: int, change: Callable[[Profile], Profile]) -> Simulator:
    """A simulator whose chain is changed at one position."""
    profiles = list(PROFILES)
    profiles[position] = change(profiles[position])
    return Simulator(b"changed", profiles)


def with_extensions(
    position: int, *extensions: tuple[x509.ExtensionType, bool]
) -> Simulator:
    return changed(position, lambda old: replace(old, extensions=extensions))


def refused(simulator: Simulator, message: str, **fields: cbor.Value) -> None:
    with pytest.raises(VerificationError, match=message):
        verify(simulator, **fields)


def test_an_honest_chain_says_whose_it_is(simulator: Simulator) -> None:
    document = verify(simulator)
    assert document.leaf_not_before == TIME // 1000
    assert document.leaf_not_after == LEAF_ENDS
    assert document.root_sha256 == _sha256(simulator.root_der)


# 1. The root.


def test_the_root_of_another_is_not_trusted(simulator: Simulator) -> None:
    other = Simulator(b"other")
    unverified = platform("aws-nitro").parse(other.document(time=TIME, registers={}))
    signed = unverified.verify_signature()
    with pytest.raises(VerificationError, match=_sha256(other.root_der)):
        signed.verify_chain([simulator.root_der])


def test_without_roots_nothing_is_trusted(simulator: Simulator) -> None:
    # An empty expectation is not "any" (ATTEST.md 1.6: Marlin, evervault, keep).
    data = simulator.document(time=TIME, registers={})
    signed = platform("aws-nitro").parse(data).verify_signature()
    with pytest.raises(VerificationError, match="trusted: none"):
        signed.verify_chain([])


def test_of_several_roots_the_one_that_matched_is_reported(
    simulator: Simulator,
) -> None:
    data = simulator.document(time=TIME, registers={})
    signed = platform("aws-nitro").parse(data).verify_signature()
    roots = [Simulator(b"other").root_der, simulator.root_der]
    assert signed.verify_chain(roots).root_sha256 == _sha256(simulator.root_der)


def test_a_root_of_the_same_name_and_key_is_another_root() -> None:
    longer = changed(0, lambda old: replace(old, lifetime=old.lifetime + 1))
    data = longer.document(time=TIME, registers={})
    signed = platform("aws-nitro").parse(data).verify_signature()
    with pytest.raises(VerificationError, match="the chain ends in the root"):
        signed.verify_chain([Simulator(b"changed").root_der])


def test_a_trusted_root_that_is_no_certificate_is_a_mistake_in_the_policy(
    simulator: Simulator,
) -> None:
    *cas, _ = simulator.chain(TIME)
    data = simulator.document(time=TIME, registers={}, cabundle=(b"junk", *cas[1:]))
    signed = platform("aws-nitro").parse(data).verify_signature()
    with pytest.raises(UsageError, match="a trusted root is of no use"):
        signed.verify_chain([b"junk"])


def test_the_root_comes_first(simulator: Simulator) -> None:
    # worldcoin/world-chain PR 956 took the last for the root (ATTEST.md 1.6).
    *cas, _ = simulator.chain(TIME)
    refused(simulator, "the chain ends in the root", cabundle=tuple(reversed(cas)))


def test_the_root_cannot_be_its_own_leaf() -> None:
    root = Simulator(b"changed", PROFILES[:1])
    refused(root, "it is a CA", cabundle=(root.root_der,))


# 2. The length.


def test_more_than_three_cas_are_too_many() -> None:
    cas = [
        replace(PROFILES[1], common_name=name, extensions=ca_extensions(None))
        for name in "abcd"
    ]
    longest = Simulator(b"changed", (PROFILES[0], *cas[:3], PROFILES[4]))
    assert verify(longest).platform == "aws-nitro"
    refused(
        Simulator(b"changed", (PROFILES[0], *cas, PROFILES[4])),
        "expected at most 3 CAs below the root, found 4",
    )


def test_the_root_may_issue_the_leaf() -> None:
    assert verify(Simulator(b"short", (PROFILES[0], PROFILES[4]))).notes == ()


# 3. The algorithms.


@pytest.mark.parametrize("position", range(4))
def test_a_ca_on_another_curve_is_refused(position: int) -> None:
    refused(
        changed(position, lambda old: replace(old, curve=ec.SECP256R1)),
        "expected a P-384 key, found secp256r1",
    )


def test_a_leaf_on_another_curve_cannot_sign() -> None:
    simulator = changed(4, lambda old: replace(old, curve=ec.SECP256R1))
    data = simulator.document(time=TIME, registers={})
    unverified = platform("aws-nitro").parse(data)
    with pytest.raises(
        VerificationError, match="expected a P-384 key, found secp256r1"
    ):
        unverified.verify_signature()


@pytest.mark.parametrize("position", range(5))
def test_a_signature_with_another_hash_is_refused(position: int) -> None:
    refused(
        changed(position, lambda old: replace(old, digest=SHA256)),
        r"ecdsa-with-SHA384, found one with 1\.2\.840\.10045\.4\.3\.2",
    )


# 4. The path.


@pytest.mark.parametrize("position", range(1, 5))
def test_each_signature_counts(simulator: Simulator, position: int) -> None:
    forged = simulator.chain(TIME)
    tail = forged[position][-1] ^ 1
    forged[position] = forged[position][:-1] + bytes([tail])
    *cas, leaf = forged
    refused(simulator, "the chain does not hold", certificate=leaf, cabundle=tuple(cas))


def test_a_certificate_of_another_chain_is_refused(simulator: Simulator) -> None:
    root, _, *cas = simulator.chain(TIME)[:-1]
    other = Simulator(b"other").chain(TIME)[1]
    refused(simulator, "does not hold", cabundle=(root, other, *cas))


def test_names_must_link_up() -> None:
    renamed = changed(2, lambda old: replace(old, common_name="other"))
    honest = Simulator(b"changed")
    root, first, _, *rest = honest.chain(TIME)
    certificates = (root, first, renamed.chain(TIME)[2], *rest[:-1])
    refused(honest, "does not hold", cabundle=certificates)


@pytest.mark.parametrize("after", [0, (LEAF_ENDS - TIME // 1000) * 1000 + 999])
def test_both_ends_of_the_leafs_life_belong_to_it(
    simulator: Simulator, after: int
) -> None:
    assert verify(simulator, timestamp=TIME + after).time == TIME + after


@pytest.mark.parametrize("after", [-1, (LEAF_ENDS - TIME // 1000) * 1000 + 1000])
def test_outside_of_the_leafs_life_nothing_holds(
    simulator: Simulator, after: int
) -> None:
    refused(simulator, "the chain does not hold at 2026-", timestamp=TIME + after)


@pytest.mark.parametrize("position", range(4))
def test_every_certificate_must_be_valid_at_the_time(position: int) -> None:
    refused(
        changed(position, lambda old: replace(old, lifetime=60)),
        "the chain does not hold",
        timestamp=TIME + 61_000,
    )


@pytest.mark.parametrize(("position", "path_length"), [(0, 2), (1, 1), (2, 0)])
def test_path_lengths_are_honoured(position: int, path_length: int) -> None:
    extensions = ca_extensions(path_length)
    refused(with_extensions(position, *extensions), "the chain does not hold")


@pytest.mark.parametrize("position", range(5))
def test_an_unknown_critical_extension_is_refused(position: int) -> None:
    extensions = (*PROFILES[position].extensions, (UNKNOWN, True))
    refused(with_extensions(position, *extensions), "critical extension that is not")


@pytest.mark.parametrize("position", range(5))
def test_no_extension_but_two_may_be_critical(position: int) -> None:
    """Not even one that a library knows: what it makes of it, another may not."""
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    extensions = (*PROFILES[position].extensions, (server, True))
    refused(with_extensions(position, *extensions), "critical extension that is not")


@pytest.mark.parametrize("position", range(5))
def test_an_unknown_extension_that_is_not_critical_is_ignored(position: int) -> None:
    extensions = (*PROFILES[position].extensions, (UNKNOWN, False))
    assert verify(with_extensions(position, *extensions)).notes == ()


# 5. CAs, and 6. leaves.


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(
    "extensions",
    [
        ((CERT_SIGN, True),),
        ((CA, False), (CERT_SIGN, True)),
        ((NOT_CA, True), (CERT_SIGN, True)),
        ((CA, True),),
        ((CA, True), (CERT_SIGN, False)),
        ((CA, True), (SIGN, True)),
        (),
    ],
)
def test_a_ca_says_that_it_is_one(position: int, extensions: Extensions) -> None:
    refused(with_extensions(position, *extensions), "the chain does not hold")


@pytest.mark.parametrize(
    "extensions",
    [
        ((SIGN, False),),  # as in neg_oyster_custom_untrusted_root
        ((CA, True), (SIGN, False)),
        ((NOT_CA, True),),
        ((NOT_CA, True), (key_usage("content_commitment"), False)),
        ((NOT_CA, True), (key_usage("digital_signature", "key_cert_sign"), False)),
        ca_extensions(0, "digital_signature"),
        (),
    ],
)
def test_a_leaf_says_that_it_is_one(extensions: Extensions) -> None:
    refused(with_extensions(4, *extensions), "the chain does not hold")


def test_a_leaf_has_no_path_length() -> None:
    # SEQUENCE { pathLenConstraint 0 }: x509.BasicConstraints would not make it.
    constraints = x509.UnrecognizedExtension(
        x509.BasicConstraints.oid, bytes.fromhex("3003020100")
    )
    with pytest.raises(MalformedError):
        verify(with_extensions(4, (constraints, True), (SIGN, False)))


def test_a_name_that_cannot_be_read_is_noted(simulator: Simulator) -> None:
    honest = x509.load_der_x509_certificate(simulator.chain(TIME)[-1])
    name = simulator.module_id.encode()
    tbs = honest.tbs_certificate_bytes.replace(name, b"\xff" * len(name))
    document = verify(simulator, certificate=forgery.leaf(simulator, tbs))
    (note,) = document.notes
    assert note == "its certificate is for '', not for its module_id"


# 7. The order.


def test_the_cas_are_in_order(simulator: Simulator) -> None:
    root, one, two, three = simulator.chain(TIME)[:-1]
    for cas in ((two, one, three), (three, two, one), (one, three, two)):
        refused(simulator, "not in the order of issue", cabundle=(root, *cas))


def test_no_ca_is_missing(simulator: Simulator) -> None:
    cas = simulator.chain(TIME)[:-1]
    for position in range(1, 4):
        without = (*cas[:position], *cas[position + 1 :])
        refused(simulator, "the chain does not hold", cabundle=without)


def test_no_certificate_is_there_for_nothing() -> None:
    short = Simulator(b"short", (PROFILES[0], PROFILES[1], PROFILES[4]))
    root, ca, _ = short.chain(TIME)
    other = Simulator(b"other").chain(TIME)[1]
    for cas in ((ca, ca), (ca, root), (root, ca), (other, ca), (ca, other)):
        refused(short, "not in the order of issue", cabundle=(root, *cas))


def test_no_two_cas_have_one_name() -> None:
    """Else there could be a second path, and readers might look at different ones."""
    same = replace(
        PROFILES[1],
        common_name=PROFILES[0].common_name,
        extensions=ca_extensions(None),
    )
    other = replace(PROFILES[1], extensions=ca_extensions(None))
    for cas in ((same,), (other, same), (other, other)):
        refused(
            Simulator(b"changed", (PROFILES[0], *cas, PROFILES[4])),
            "two CAs have one name",
        )


# Reading.


@pytest.mark.parametrize("position", range(1, 5))
@pytest.mark.parametrize(
    "change",
    [lambda der: der + b"\0", lambda der: der[:-1], lambda _: b"\x30\x00"],
    ids=["longer", "shorter", "empty"],
)
def test_a_certificate_is_der_and_nothing_more(
    simulator: Simulator, position: int, change: Callable[[bytes], bytes]
) -> None:
    certificates = simulator.chain(TIME)
    certificates[position] = change(certificates[position])
    *cas, leaf = certificates
    data = simulator.document(
        time=TIME, registers={}, certificate=leaf, cabundle=tuple(cas)
    )
    with pytest.raises(MalformedError, match="not a readable certificate"):
        platform("aws-nitro").parse(data)


def test_a_signature_has_no_unused_bits(simulator: Simulator) -> None:
    hours = range(TIME, TIME + 100 * 3_600_000, 3_600_000)
    time = next(t for t in hours if simulator.chain(t)[-1][-1] % 2 == 0)
    leaf = simulator.chain(time)[-1]
    signature = x509.load_der_x509_certificate(leaf).signature
    cut = leaf.removesuffix(b"\0" + signature) + b"\1" + signature
    assert x509.load_der_x509_certificate(cut).signature == signature
    data = simulator.document(time=time, registers={}, certificate=cut)
    with pytest.raises(MalformedError, match="a signature of broken bytes"):
        platform("aws-nitro").parse(data)


def test_a_point_of_p384_has_one_form(simulator: Simulator) -> None:
    """The hybrid form says again whether y is odd, and is read by some alone."""
    honest = x509.load_der_x509_certificate(simulator.chain(TIME)[-1])
    key = honest.public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    hybrid = bytes([6 | point[-1] & 1]) + point[1:]
    tbs = honest.tbs_certificate_bytes.replace(point, hybrid)
    certificate = forgery.leaf(simulator, tbs)
    assert x509.load_der_x509_certificate(certificate).public_key() == key
    data = simulator.document(time=TIME, registers={}, certificate=certificate)
    with pytest.raises(MalformedError, match="a compressed point"):
        platform("aws-nitro").parse(data)


def test_a_key_usage_has_one_form() -> None:
    long = x509.UnrecognizedExtension(x509.KeyUsage.oid, bytes.fromhex("03020080"))
    simulator = with_extensions(4, (NOT_CA, True), (long, False))
    with pytest.raises(MalformedError, match="a long key usage"):
        verify(simulator)


def test_a_key_that_nobody_knows_is_no_p384_key(simulator: Simulator) -> None:
    honest = x509.load_der_x509_certificate(simulator.chain(TIME)[-1])
    p384, unknown = (
        bytes.fromhex(f"06072a8648ce3d020106052b810400{curve}")
        for curve in ("22", "7f")
    )
    tbs = honest.tbs_certificate_bytes.replace(p384, unknown)
    certificate = forgery.leaf(simulator, tbs)
    data = simulator.document(time=TIME, registers={}, certificate=certificate)
    unverified = platform("aws-nitro").parse(data)
    with pytest.raises(VerificationError, match="one that cannot be read"):
        unverified.verify_signature()


def _sha256(data: bytes) -> str:
    return sha256(data).hexdigest()
