"""The certificates of an SGX quote: each clause of the chain of section 8.6.

Chains are made by the simulator with one certificate at a time made otherwise, and the
extension for SGX by hand. `refused` is what becomes of all that does not hold: what is
wrong in a certificate is found out when it is needed, after the quote's own signature.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from pcrlog.attestation.sgx import pem
from pcrlog.attestation.sgx.simulated_machine import Machine
from pcrlog.attestation.sgx.simulator import CERTIFICATES, Certificate, Simulator
from pcrlog.attestation.simulator import Extensions, ca_extensions, key_usage
from tests.conformance.documents import (
    CA_RULE,
    CERT_SIGN,
    IS_CA,
    LEAF_RULE,
    NOT_CA,
    SIGN,
    UNKNOWN,
)
from tests.conformance.family import Family
from tests.conformance.quotes import ENCLAVE, GOOD, OF_COLLATERAL, REFUSED, asked

SEED = b"tests/conformance/pcks"
MACHINE = Simulator(SEED)
_HONEST = Machine()
ANSWER = GOOD | {"unchecked": OF_COLLATERAL}
PCK_BEGINS, PCK_ENDS, CA_ENDS = 1_695_246_823, 1_916_171_623, 2_000_285_410
ROOT_BEGINS, ROOT_ENDS = 1_526_899_510, 2_524_607_999
"""In seconds; all are the simulator's."""

Chained = tuple[str, str, dict[str, Any], bool]
"""Id, why, a question, and whether the chain holds."""


def _simulated(machine: Machine = _HONEST, /, **changes: Certificate) -> Simulator:
    """A machine some of whose certificates are made otherwise."""
    return Simulator(SEED, certificates={**CERTIFICATES, **changes}, machine=machine)


def _ask(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    return asked(
        simulator.quote(ENCLAVE),
        **{"roots": [simulator.root_der], "collateral": None} | changes,
    )


def _of(simulator: Simulator, *ders: bytes, **changes: Any) -> dict[str, Any]:
    """A question about a quote with these certificates."""
    text = "".join(map(pem.write, ders)).encode()
    head = simulator.quote(ENCLAVE)[:432]
    data = simulator.sign(head, simulator.qe, 5, text)
    return asked(data, **{"roots": [simulator.root_der], "collateral": None} | changes)


def _made(name: str, **changes: Any) -> Certificate:
    return replace(CERTIFICATES[name], **changes)


def _certificate(
    name: str,
    key: ec.EllipticCurvePublicKey | None = None,
    extensions: Extensions = (),
) -> bytes:
    """A PCK certificate with just these extensions, by a CA of `MACHINE`."""
    profile = CERTIFICATES[name]
    builder = x509.CertificateBuilder(
        issuer_name=MACHINE._name(profile.issuer),
        subject_name=MACHINE._name(name),
        public_key=key or MACHINE._keys[name].public_key(),
        serial_number=MACHINE.serial(name),
        not_valid_before=datetime.fromtimestamp(profile.begins, UTC),
        not_valid_after=datetime.fromtimestamp(profile.ends, UTC),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(
        MACHINE._keys[profile.issuer], SHA256(), ecdsa_deterministic=True
    )
    return made.public_bytes(Encoding.DER)


# --- which certificates ---------------------------------------------------------------


def _orders() -> Iterator[Chained]:
    why = "the certificates are three, in any order"
    for names in permutations(("pck", "ca", "root")):
        data = MACHINE.quote(ENCLAVE, order=names)
        given = asked(data, roots=[MACHINE.root_der], collateral=None)
        yield "-".join(names), why, given, True
    root, ca, leaf = (MACHINE.certificates[n] for n in ("root", "ca", "pck"))
    tcb = MACHINE.certificates["tcb"]
    for name, ders in {
        "none-but-the-pck": (leaf,),
        "without-the-root": (leaf, ca),
        "without-the-ca": (leaf, root),
        "without-the-pck": (ca, root),
        "and-a-fourth": (leaf, ca, root, tcb),
        "root-twice": (leaf, root, root),
        "pck-twice": (leaf, leaf, root),
        "and-the-root-again": (leaf, ca, root, root),
        "tcb-signing-for-the-pck": (tcb, ca, root),
        "tcb-signing-for-the-ca": (leaf, tcb, root),
    }.items():
        yield name, why, _of(MACHINE, *ders), False
    whole = "each is one certificate in DER, with nothing after it"
    for name, spoiled in {
        "and-a-byte": leaf + b"\0",
        "cut": leaf[:-1],
        "with-wrong-signature": leaf[:-1] + bytes([leaf[-1] ^ 1]),
        "with-long-length": b"\x30\x83\0" + leaf[2:],
        "of-an-empty-sequence": b"\x30\0",
    }.items():
        yield f"pck-{name}", whole, _of(MACHINE, spoiled, ca, root), False
    form = "a point of P-256 is uncompressed, and a key usage ends in a bit that is set"
    for name, prefix in (("uncompressed", 4), ("hybrid", 6)):
        given = _of(MACHINE, _with_point(prefix), ca, root)
        yield f"pck-with-{name}-point", form, given, prefix == 4
    long = x509.UnrecognizedExtension(x509.KeyUsage.oid, bytes.fromhex("03020080"))
    usage = _made("pck", extensions=((NOT_CA, True), (long, True)))
    given = _ask(_simulated(pck=usage))
    yield "pck-with-zero-bits-in-its-usage", form, given, False
    forged = ca[:-1] + bytes([ca[-1] ^ 1])
    given = _of(MACHINE, leaf, forged, root)
    yield "ca-with-wrong-signature", "signatures and names link up", given, False


def _with_point(prefix: int) -> bytes:
    """The PCK certificate, rightly signed, with its key in another form."""
    leaf = x509.load_der_x509_certificate(MACHINE.certificates["pck"])
    point = leaf.public_key().public_bytes(
        Encoding.X962, PublicFormat.UncompressedPoint
    )
    odd = point[-1] & 1 if prefix == 6 else 0
    tbs = leaf.tbs_certificate_bytes.replace(point, bytes([prefix | odd]) + point[1:])
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
    signature = MACHINE._keys["ca"].sign(tbs, algorithm)
    suite = bytes.fromhex("300a06082a8648ce3d040302")
    return _der(0x30, tbs + suite + _der(3, b"\0" + signature))


def _roots() -> Iterator[Chained]:
    why = "one has the key of a trusted root"
    other = Simulator(b"another machine")
    ours = [MACHINE.root_der]
    for name, roots, good in (
        ("trusted", ours, True),
        ("trusted-among-others", [other.root_der, *ours], True),
        ("not-trusted", [other.root_der], False),
        ("nothing-trusted", [], False),
    ):
        yield name, why, _ask(MACHINE, roots=roots), good
    copy = "it is a copy: of the root's name, and signed by its key; its dates are none"
    leaf, ca = MACHINE.certificates["pck"], MACHINE.certificates["ca"]
    for name, profile, good in (
        ("of-other-dates", _made("root", begins=1_500_000_000), True),
        ("that-has-ended", _made("root", ends=1_600_000_000), True),
        ("of-another-path-length", _made("root", extensions=ca_extensions(None)), True),
        ("without-extensions", _made("root", extensions=()), True),
        ("of-another-name", _made("root", common_name="Intel SGX Root"), False),
        ("signed-with-sha384", _made("root", digest=SHA384), False),
    ):
        der = _simulated(root=profile).certificates["root"]
        yield f"root-copy-{name}", copy, _of(MACHINE, leaf, ca, der), good
    root = MACHINE.root_der
    forged = root[:-1] + bytes([root[-1] ^ 1])
    given = _of(MACHINE, leaf, ca, forged)
    yield "root-copy-with-wrong-signature", copy, given, False
    der = _certificate("ca", MACHINE._keys["root"].public_key(), ca_extensions(0))
    given = _of(MACHINE, leaf, ca, der)
    yield "root-copy-with-a-cas-name", copy, given, False
    unlike = "it is the trusted certificate that counts, not the copy"
    brief = _simulated(root=_made("root", ends=1_700_000_000))
    given = _of(brief, leaf, ca, MACHINE.root_der)
    yield "trusted-root-that-has-ended", unlike, given, False
    shut = _simulated(root=_made("root", extensions=ca_extensions(0)))
    given = _of(shut, leaf, ca, MACHINE.root_der)
    yield "trusted-root-of-path-length-0", unlike, given, False


# --- what they say --------------------------------------------------------------------

CAS: Mapping[str, tuple[Extensions, bool]] = {
    "of-these-alone": (((IS_CA, True), (CERT_SIGN, True)), True),
    "with-constraints-not-critical": (((IS_CA, False), (CERT_SIGN, True)), False),
    "without-constraints": (((CERT_SIGN, True),), False),
    "without-usage": (((IS_CA, True),), False),
    "with-usage-not-critical": (((IS_CA, True), (CERT_SIGN, False)), False),
    "without-cert-sign": (((IS_CA, True), (SIGN, True)), False),
    "that-is-no-ca": (((NOT_CA, True), (CERT_SIGN, True)), False),
}
LEAVES: Mapping[str, tuple[Extensions, bool]] = {
    "with-none-critical": (((NOT_CA, False), (SIGN, False)), True),
    "without-constraints": (((SIGN, True),), False),
    "without-usage": (((NOT_CA, True),), False),
    "without-digital-signature": (
        ((NOT_CA, True), (key_usage("content_commitment"), True)),
        False,
    ),
    "with-cert-sign": (
        ((NOT_CA, True), (key_usage("digital_signature", "key_cert_sign"), True)),
        False,
    ),
    "that-is-a-ca": (((IS_CA, True), (SIGN, True)), False),
}


def _contents() -> Iterator[Chained]:
    why = "the CA is Intel SGX PCK Platform CA, or Processor CA"
    for name, good in (
        ("Intel SGX PCK Platform CA", True),
        ("Intel SGX PCK Processor CA", True),
        ("Intel SGX PCK CA", False),
        ("intel sgx pck platform ca", False),
        ("Intel SGX TCB Signing", False),
    ):
        simulator = _simulated(ca=_made("ca", common_name=name))
        brief = name.replace(" ", "-")
        yield f"ca-named-{brief}", why, _ask(simulator), good
    named = _simulated(pck=_made("pck", common_name="any"))
    yield "pck-named-otherwise", "the PCK's own name is no rule", _ask(named), True
    for name, (extensions, good) in CAS.items():
        simulator = _simulated(ca=_made("ca", extensions=extensions))
        yield f"ca-{name}", CA_RULE, _ask(simulator), good
    for name, (extensions, good) in LEAVES.items():
        simulator = _simulated(pck=_made("pck", extensions=extensions))
        yield f"pck-{name}", LEAF_RULE, _ask(simulator), good
    curve = "every certificate has a P-256 key, and is signed with ecdsa-with-SHA256"
    for name in ("root", "ca", "pck"):
        if name != "pck":
            simulator = _simulated(**{name: _made(name, curve=ec.SECP384R1)})
            yield f"{name}-on-p384", curve, _ask(simulator), False
        simulator = _simulated(**{name: _made(name, digest=SHA384)})
        yield f"{name}-with-sha384", curve, _ask(simulator), False
        profile = CERTIFICATES[name]
        for critical in (True, False):
            word = "critical" if critical else "other"
            more = (*profile.extensions, (UNKNOWN, critical))
            simulator = _simulated(**{name: replace(profile, extensions=more)})
            rule = "no critical extension is unknown; others do no harm"
            unknown = f"{name}-with-unknown-{word}-extension"
            yield unknown, rule, _ask(simulator), not critical
    yield from _times()


def _times() -> Iterator[Chained]:
    why = "every certificate is valid now, in seconds, bounds included"
    for name, now, good in (
        ("at-the-start-of-the-pck", PCK_BEGINS, True),
        ("before-the-pck", PCK_BEGINS - 1, False),
        ("at-the-end-of-the-pck", PCK_ENDS, True),
        ("after-the-pck", PCK_ENDS + 1, False),
    ):
        yield name, why, _ask(MACHINE, now=now), good
    long = _simulated(pck=_made("pck", ends=ROOT_ENDS + 10))
    for name, now, good in (
        ("at-the-end-of-the-ca", CA_ENDS, True),
        ("after-the-ca", CA_ENDS + 1, False),
    ):
        yield name, why, _ask(long, now=now), good
    all_ = _simulated(
        pck=_made("pck", ends=ROOT_ENDS + 10), ca=_made("ca", ends=ROOT_ENDS + 10)
    )
    for name, now, good in (
        ("at-the-end-of-the-root", ROOT_ENDS, True),
        ("after-the-root", ROOT_ENDS + 1, False),
    ):
        yield name, why, _ask(all_, now=now), good


# --- the extension for SGX ------------------------------------------------------------


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    head = bytes([size & 0x7F])
    if size >= 0x80:
        head = size.to_bytes((size.bit_length() + 7) // 8)
        head = bytes([0x80 | len(head)]) + head
    return bytes([tag]) + head + content


def _pair(arcs: Sequence[int], value: bytes) -> bytes:
    oid = bytes.fromhex("2a864886f84d010d01") + bytes(arcs)
    return _der(0x30, _der(6, oid) + value)


def _number(value: int) -> bytes:
    return _der(2, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


_SVNS = {n: _number(svn) for n, svn in enumerate(Machine().components, 1)}
_TCB: Mapping[int, bytes] = _SVNS | {17: _number(13), 18: _der(4, bytes(16))}
_TOP: Mapping[int, bytes] = {
    1: _der(4, bytes(16)),
    3: _der(4, bytes(2)),
    4: _der(4, bytes.fromhex("00a067110000")),
    5: _der(10, b"\0"),
}


def _extension(
    top: Mapping[int, bytes] = {}, tcb: Mapping[int, bytes] = {}, more: bytes = b""
) -> bytes:
    """The extension with some values changed; an empty one is left out."""
    levels = {n: value for n, value in {**_TCB, **tcb}.items() if value}
    inner = _der(0x30, b"".join(_pair((2, n), v) for n, v in levels.items()))
    whole = {n: v for n, v in {**_TOP, 2: inner, **top}.items() if v}
    rows = [_pair((n,), value) for n, value in sorted(whole.items())]
    return _der(0x30, b"".join(rows) + more)


class _Raw(Machine, frozen=True):
    raw: bytes = b""

    @property
    def extension(self) -> bytes:
        return self.raw


def _extensions() -> Iterator[Chained]:
    why = "the PCK certificate has the extension for SGX, in DER: FMSPC, PCE-ID, TCB"
    root, ca = MACHINE.certificates["root"], MACHINE.certificates["ca"]
    bare = _certificate("pck", extensions=((NOT_CA, True), (SIGN, True)))
    yield "pck-without-extension", why, _of(MACHINE, bare, ca, root), False
    whole = _extension()
    good: Mapping[str, bytes] = {
        "whole": whole,
        "without-ppid-and-type": _extension({1: b"", 5: b""}),
        "without-cpusvn": _extension(tcb={18: b""}),
        "with-more": _extension({6: _der(4, b"x"), 99: _number(1)}),
        "with-svns-of-0-and-255": _extension(tcb={1: _number(0), 2: _number(255)}),
        "with-pce-svn-of-65535": _extension(tcb={17: _number(65_535)}),
    }
    again = _pair((4,), _TOP[4])
    wrong: Mapping[str, bytes] = {
        "empty": b"",
        "and-a-byte": whole + b"\0",
        "cut": whole[:-1],
        "as-a-set": b"\x31" + whole[1:],
        "of-nothing": _der(0x30, b""),
        "without-fmspc": _extension({4: b""}),
        "without-pce-id": _extension({3: b""}),
        "without-tcb": _extension({2: b""}),
        "without-the-16th": _extension(tcb={16: b""}),
        "without-pce-svn": _extension(tcb={17: b""}),
        "with-fmspc-twice": _extension(more=again),
        "with-fmspc-of-5-bytes": _extension({4: _der(4, bytes(5))}),
        "with-fmspc-as-text": _extension({4: _der(12, b"00A067")}),
        "with-pce-id-of-3-bytes": _extension({3: _der(4, bytes(3))}),
        "with-svn-of-256": _extension(tcb={1: _number(256)}),
        "with-negative-svn": _extension(tcb={1: _number(-1)}),
        "with-svn-in-two-bytes": _extension(tcb={1: _der(2, b"\0\1")}),
        "with-svn-of-no-bytes": _extension(tcb={1: _der(2, b"")}),
        "with-svn-as-bytes": _extension(tcb={1: _der(4, b"\1")}),
        "with-pce-svn-of-65536": _extension(tcb={17: _number(65_536)}),
        "with-a-long-length": _extension({4: b"\x04\x81\x06" + bytes(6)}),
        "of-indefinite-length": b"\x30\x80" + whole[4:] + b"\0\0",
        "with-a-value-more": _extension(more=_pair((9,), _number(1) + _number(2))),
        "with-no-pair": _extension(more=_number(1)),
        "below-another-oid": _extension(
            more=_der(0x30, _der(6, bytes.fromhex("2a864886f84d010e0109")) + _number(1))
        ),
    }
    for values, holds in ((good, True), (wrong, False)):
        for name, raw in values.items():
            simulator = _simulated(_Raw(raw=raw))
            yield f"extension-{name}", why, _ask(simulator), holds


def pck_chains() -> Family:
    """Which certificates are a machine's."""
    about = "The certificates of an SGX quote (section 8.6, Chain)."
    family = Family("pck-chains", about)
    for part in (_orders, _roots, _contents, _extensions):
        for name, why, given, good in part():
            outcome = ANSWER if good else REFUSED
            family.case(name, why, "attestation", outcome, **given)
    return family


MAKERS = (pck_chains,)
