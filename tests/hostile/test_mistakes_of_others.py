"""The mistakes of other verifiers of attestation documents, and what ends our run.

Each row is a mistake that somebody made and wrote down: in an advisory, a review or a
pull request. Beside it stands what such a verifier would have taken, and the check of
docs/protocol.md section 4.7 that ends our run. Some of the mistakes went the other way:
a verifier refused what AWS writes. Those are in the second table. The third does the
same to genuine documents of AWS, where nobody could sign anew what is changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from msgspec.structs import replace

from pcrlog.attestation import cbor, cose
from pcrlog.attestation.simulator import (
    PROFILES,
    Profile,
    Simulator,
    ca_extensions,
    key_usage,
)
from pcrlog.errors import MalformedError, UsageError
from pcrlog.predicates import Binding
from pcrlog.verification import Memory, Report
from tests.support.memory_log import START, registers
from tests.support.scene import (
    DAY,
    GOOD,
    HOUR,
    NONCE,
    PRODUCT,
    SIMULATOR,
    Inputs,
    Scene,
    document,
    not_passed,
    pem,
    status,
)
from tests.unit.attestation.genuine import load

ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
"""Of P-384."""
MILLISECONDS = 1000 * START
ZERO = bytes(48)
NOT_CA = x509.BasicConstraints(ca=False, path_length=None)
IS_CA = x509.BasicConstraints(ca=True, path_length=None)
SIGN = key_usage("digital_signature")
CERT_SIGN = key_usage("key_cert_sign")
OID = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612: for examples
UNKNOWN = x509.UnrecognizedExtension(OID, b"\x05\x00")

Map = dict[int | str, cbor.Value]


class World:
    """A log in which one release stands, and an enclave that runs it."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.scene.release()
        self.good: Inputs = self.scene.inputs()

    @cached_property
    def honest(self) -> Map:
        """The payload of a good document."""
        payload = cbor.decode(cose.parse(document()).payload)
        assert isinstance(payload, dict)
        return payload

    # --- documents --------------------------------------------------------------------

    def asked(self, data: bytes, **changes: Any) -> Report:
        """The run of a document."""
        return self.good.report(attestation=data, **changes)

    def claims(self, **members: cbor.Value) -> Report:
        """A good document with these members instead, rightly signed."""
        return self.written(cbor.encode(self.honest | dict(members.items())))

    def without(self, *names: str) -> Report:
        """A good document that lacks these members, rightly signed."""
        kept = {n: v for n, v in self.honest.items() if n not in names}
        return self.written(cbor.encode(kept))

    def registers(self, changes: Mapping[int | str, cbor.Value]) -> Report:
        """A good document with these registers besides, or instead."""
        pcrs = self.honest["pcrs"]
        assert isinstance(pcrs, dict)
        return self.claims(pcrs=pcrs | dict(changes))

    def written(self, payload: bytes, **envelope: bytes) -> Report:
        """Any payload, rightly signed."""
        return self.asked(SIMULATOR.sign(payload, **envelope))

    def signature(self, change: Callable[[int, int], tuple[int, int]]) -> Report:
        """A good document whose signature (r, s) is changed."""
        data = document()
        r, s = change(int.from_bytes(data[-96:-48]), int.from_bytes(data[-48:]))
        return self.asked(data[:-96] + r.to_bytes(48) + s.to_bytes(48))

    def signed_otherwise(
        self, key: ec.EllipticCurvePrivateKey, digest: SHA256 | SHA384
    ) -> Report:
        """A good document signed with this key and hash."""
        parts = cose.parse(document())
        signed = cose.sig_structure(parts.protected, parts.payload)
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(digest)))
        return self.signature(lambda _r, _s: (r, s))

    # --- chains -----------------------------------------------------------------------

    def chain_of(self, simulator: Simulator) -> Report:
        """A document of another simulator, whose root the policy trusts."""
        roots = {"roots": [pem(simulator.root_der)]}
        data = simulator.document(
            time=MILLISECONDS,
            registers={n: d.partition(":")[2] for n, d in GOOD.items()},
            nonce=NONCE,
        )
        return self.asked(data, policy=self.scene.policy(platform=roots))

    def chain(self, position: int, **changes: Any) -> Report:
        """A document whose chain is changed at one place: 0 the root, -1 the leaf."""
        profiles = list(PROFILES)
        profiles[position] = replace(profiles[position], **changes)
        return self.chain_of(Simulator(b"a mistake", profiles))

    def extended(
        self, position: int, *extensions: tuple[x509.ExtensionType, bool]
    ) -> Report:
        """The same with other extensions."""
        return self.chain(position, extensions=extensions)

    def cabundle(self, change: Callable[[list[bytes]], list[bytes]]) -> Report:
        """A good document whose cabundle is changed, rightly signed."""
        *cas, _ = SIMULATOR.chain(MILLISECONDS)
        return self.claims(cabundle=tuple(change(cas)))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def other_image(**changes: str) -> bytes:
    return document(GOOD | changes)


@dataclass(frozen=True)
class Row:
    """A mistake, who made it, and the check that ends our run."""

    mistake: str
    made_by: str
    check: str
    run: Callable[[World], Report]
    status: str = "fail"


def ids(row: Row) -> str:
    return row.mistake


_DIGEST = "sha384:" + "5a" * 48

FORM = [
    Row(
        "a member that stands twice: the last counts",
        "base/nitro-validator PR 36; tempoxyz/tempo PR 7733",
        "document.form",
        lambda w: w.written(
            b"\xbf" + cbor.encode(w.honest)[1:] + cbor.encode("nonce") + b"\x40\xff"
        ),
    ),
    Row(
        "a register that stands twice: the last counts",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest | {"pcrs": "here"}).replace(
                cbor.encode("here"),
                b"\xa4\x00"
                + cbor.encode(ZERO)
                + b"\x00"
                + cbor.encode(b"\1" * 48)
                + b"\x01"
                + cbor.encode(ZERO)
                + b"\x02"
                + cbor.encode(ZERO),
            )
        ),
    ),
    Row(
        "bytes after the document are not looked at",
        "tempoxyz/tempo PR 7733; cbor2's loads",
        "document.form",
        lambda w: w.asked(document() + b"\0"),
    ),
    Row(
        "bytes after the payload are not looked at",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.written(cbor.encode(w.honest) + b"\0"),
    ),
    Row(
        "tags are skipped",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.written(b"\xc1" + cbor.encode(w.honest)),
    ),
    Row(
        "a second COSE tag is skipped",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.asked(b"\xd2\xd2" + document()),
    ),
    Row(
        "undefined counts as null",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest | {"user_data": "here"}).replace(
                cbor.encode("here"), b"\xf7"
            )
        ),
    ),
    Row(
        "a break within a map of a given length ends it",
        "base/nitro-validator PR 32, 34",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest | {"user_data": "here"}).replace(
                cbor.encode("here"), b"\xff"
            )
        ),
    ),
    Row(
        "a break after a key counts as its value",
        "base/nitro-validator PR 34",
        "document.form",
        lambda w: w.written(
            b"\xbf" + cbor.encode(w.honest)[1:] + cbor.encode("more") + b"\xff"
        ),
    ),
    Row(
        "a map of no given length need not end",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.written(b"\xbf" + cbor.encode(w.honest)[1:]),
    ),
    Row(
        "additional information 28 to 30 is read as a length",
        "Cantina 2025-01 on base/nitro-validator",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest | {"user_data": "here"}).replace(
                cbor.encode("here"), b"\x5c"
            )
        ),
    ),
    Row(
        "true is register 1",
        "Python: True == 1",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest | {"pcrs": "here"}).replace(
                cbor.encode("here"),
                b"\xa3\x00"
                + cbor.encode(ZERO)
                + b"\xf5"
                + cbor.encode(ZERO)
                + b"\x02"
                + cbor.encode(ZERO),
            )
        ),
    ),
    Row(
        "text is as good as bytes",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.claims(nonce=NONCE.decode()),
    ),
    Row(
        "the digest of the document is not looked at",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.claims(digest="SHA256"),
    ),
    Row(
        "module_id may be empty",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.claims(module_id=""),
    ),
    Row(
        "fields are of any length",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.claims(user_data=bytes(1025)),
    ),
    Row(
        "there are any number of registers",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.registers({32: ZERO}),
    ),
    Row(
        "registers are of any length",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.registers({0: b"\1" * 47}),
    ),
    Row(
        "a register that is missing counts as matched",
        "evervault PCRProvider; privkeyio/keep PR 590",
        "document.form",
        lambda w: w.claims(pcrs={0: b"\1" * 48, 4: ZERO}),
    ),
    Row(
        "the time may be zero",
        "TOB-HLTEE-8 (HyperLink)",
        "document.form",
        lambda w: w.claims(timestamp=0),
    ),
    Row(
        "the chain may be empty",
        "TOB-HLTEE-9 (HyperLink)",
        "document.form",
        lambda w: w.claims(cabundle=()),
    ),
    Row(
        "the algorithm is whatever the header says",
        "RFC 9052 readers that dispatch on alg",
        "document.form",
        lambda w: w.written(cbor.encode(w.honest), protected=cbor.encode({1: -7})),
    ),
    Row(
        "the algorithm may stand where nobody signed it",
        "Cantina 3.2.4 on base/nitro-validator",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest), protected=b"", unprotected=cbor.encode(cose.HEADER)
        ),
    ),
    Row(
        "a TPM's document is an enclave's",
        "one PKI and one COSE for both",
        "document.form",
        lambda w: w.claims(nitrotpm_pcrs={0: b"\1" * 48}),
    ),
    Row(
        "certificates may be followed by anything",
        "TOB-HLTEE-9 (HyperLink)",
        "document.form",
        lambda w: w.cabundle(lambda cas: [*cas[:-1], cas[-1] + b"\0"]),
    ),
]

SIGNATURE = [
    Row(
        "to verify is to compare the registers",
        "worldcoin/world-chain PR 698; MystenLabs before its PR 666; keep PR 717",
        "document.signature",
        lambda w: w.signature(lambda r, _s: (r, 1)),
    ),
    Row(
        "zero signs everything",
        "CVE-2022-21449 (Java)",
        "document.signature",
        lambda w: w.signature(lambda _r, _s: (0, 0)),
    ),
    Row(
        "r and s are taken modulo the order",
        "Wycheproof: ECDSA",
        "document.signature",
        lambda w: w.signature(lambda r, s: ((r + ORDER) % 2**384, s)),
    ),
    Row(
        "the signature of another document will do",
        "worldcoin/world-chain PR 698",
        "document.signature",
        lambda w: w.asked(document()[:-96] + document(nonce=b"another")[-96:]),
    ),
    Row(
        "any key signs: not that of the certificate alone",
        "blueprint-tee, in the text of its documents",
        "document.signature",
        lambda w: w.signed_otherwise(ec.generate_private_key(ec.SECP384R1()), SHA384()),
    ),
    Row(
        "the certificate's curve chooses the algorithm",
        "hf/nitrite checkECDSASignature; chainlink-common PR 2166",
        "document.signature",
        lambda w: w.chain(-1, curve=ec.SECP256R1),
    ),
    Row(
        "the hash may be a weaker one",
        "hf/nitrite checkECDSASignature",
        "document.signature",
        lambda w: w.signed_otherwise(SIMULATOR._keys[-1], SHA256()),
    ),
]

CHAIN = [
    Row(
        "the last of the cabundle is the root",
        "worldcoin/world-chain PR 956",
        "document.chain",
        lambda w: w.cabundle(lambda cas: cas[::-1]),
    ),
    Row(
        "the CAs may be in any order",
        "cryptography.x509.verification: it looks for a path",
        "document.chain",
        lambda w: w.cabundle(lambda cas: [cas[0], cas[2], cas[1], cas[3]]),
    ),
    Row(
        "a certificate that leads nowhere is harmless",
        "cryptography.x509.verification: extras are ignored",
        "document.chain",
        lambda w: w.cabundle(lambda cas: [*cas, Simulator(b"x").root_der]),
    ),
    Row(
        "the root is an option",
        "Marlin AttestationExpectations.root_public_key = None",
        "document.chain",
        lambda w: w.asked(
            Simulator(b"somebody else").document(
                time=MILLISECONDS, registers={}, nonce=NONCE
            )
        ),
    ),
    Row(
        "the root that came with the document is trusted",
        "blueprint-tee; the self-made roots of Marlin's tests",
        "document.chain",
        lambda w: w.asked(
            document(), policy=w.scene.policy(platform={"roots": ["builtin"]})
        ),
    ),
    Row(
        "a root of the same name is the same root",
        "path building by names",
        "document.chain",
        lambda w: w.cabundle(lambda cas: [Simulator(b"other").root_der, *cas[1:]]),
    ),
    Row(
        "certificates do not run out",
        "fastcrypto before MystenLabs PR 832",
        "document.chain",
        lambda w: w.claims(timestamp=MILLISECONDS + 1000 * (3 * HOUR + 4)),
    ),
    Row(
        "certificates are valid before they begin",
        "fastcrypto before MystenLabs PR 832",
        "document.chain",
        lambda w: w.claims(timestamp=MILLISECONDS - 1000),
    ),
    Row(
        "CAs do not run out",
        "fastcrypto before MystenLabs PR 832",
        "document.chain",
        lambda w: w.chain(2, lifetime=-1 + 1 - HOUR),
    ),
    Row(
        "the root does not run out",
        "verifiers that skip the anchor's dates",
        "document.chain",
        lambda w: w.chain(0, lifetime=DAY),
    ),
    Row(
        "path lengths are not counted",
        "TOB-HLTEE-9 (HyperLink); Cantina 2025-01",
        "document.chain",
        lambda w: w.chain(1, extensions=ca_extensions(1)),
    ),
    Row(
        "whoever has a certificate may issue one",
        "verifiers that skip basicConstraints",
        "document.chain",
        lambda w: w.extended(3, (NOT_CA, True), (SIGN, True)),
    ),
    Row(
        "a CA need not say that it is one",
        "Cantina 2025-01 on base/nitro-validator",
        "document.chain",
        lambda w: w.extended(3, (CERT_SIGN, True)),
    ),
    Row(
        "a CA need not be allowed to sign certificates",
        "TOB-HLTEE-9 (HyperLink): keyUsage",
        "document.chain",
        lambda w: w.extended(3, (IS_CA, True), (SIGN, True)),
    ),
    Row(
        "a CA may sign documents",
        "x509.verification by default: a root passes as leaf",
        "document.chain",
        lambda w: w.extended(-1, (IS_CA, True), (SIGN, True)),
    ),
    Row(
        "a leaf that may sign certificates may sign documents",
        "TOB-HLTEE-9 (HyperLink): keyUsage",
        "document.chain",
        lambda w: w.extended(
            -1, (NOT_CA, True), (key_usage("digital_signature", "key_cert_sign"), True)
        ),
    ),
    Row(
        "a leaf need not be allowed to sign",
        "TOB-HLTEE-9 (HyperLink): keyUsage",
        "document.chain",
        lambda w: w.extended(-1, (NOT_CA, True), (key_usage("key_agreement"), True)),
    ),
    Row(
        "what is critical and not understood is skipped",
        "RFC 5280 section 4.2, as written by hand",
        "document.chain",
        lambda w: w.extended(-1, (NOT_CA, True), (SIGN, True), (UNKNOWN, True)),
    ),
    Row(
        "a CA on a weaker curve",
        "x509.verification: it does not mind",
        "document.chain",
        lambda w: w.chain(2, curve=ec.SECP256R1),
    ),
    Row(
        "a certificate signed with a weaker hash",
        "x509.verification: it does not mind",
        "document.chain",
        lambda w: w.chain(-1, digest=SHA256),
    ),
    Row(
        "a chain of any length",
        "verifiers without a bound",
        "document.chain",
        lambda w: w.chain_of(
            Simulator(
                b"long",
                [
                    PROFILES[0],
                    *(_ca(f"{n}.sim", 6 - n) for n in range(4)),
                    PROFILES[-1],
                ],
            )
        ),
    ),
]

MEANING = [
    Row(
        "a debug enclave is an enclave",
        "Cantina 2026-08 3.2.1 on base/nitro-validator; Taiko/Raiko 2026-06",
        "document.debug",
        lambda w: w.asked(document(debug=True)),
    ),
    Row(
        "debug is when every register is zero",
        "base/base PR 4042",
        "document.debug",
        lambda w: w.registers(
            {0: ZERO, 1: ZERO, 2: ZERO, 3: b"\3" * 48, 4: b"\4" * 48, 8: b"\x08" * 48}
        ),
    ),
    Row(
        "nothing expected: everything matches",
        "evervault PCRProvider::eq; flashbots attested-tls; pontifex PR 30",
        "release.match",
        lambda _w: Scene().report(),
    ),
    Row(
        "PCR0 is enough (PCR1 differs)",
        "TOB-HLTEE-5 (HyperLink); the KMS policies of AWS's examples",
        "release.match",
        lambda w: w.asked(other_image(PCR1=_DIGEST)),
    ),
    Row(
        "PCR0 is enough (PCR2 differs)",
        "TOB-HLTEE-5 (HyperLink); Google Privacy Sandbox: PCR0 alone",
        "release.match",
        lambda w: w.asked(other_image(PCR2=_DIGEST)),
    ),
    Row(
        "the signer of the image is enough",
        "Taiko/Raiko 2026-06: MRSIGNER as sole anchor",
        "release.match",
        lambda _w: _released(GOOD | {"PCR8": _DIGEST}).report(
            registers("bad") | {"PCR8": _DIGEST}
        ),
    ),
    Row(
        "a register that the release names may be absent",
        "reclaim attestor-core PR 52",
        "release.match",
        lambda _w: _released(GOOD | {"PCR16": _DIGEST}).report(GOOD),
    ),
    Row(
        "registers are what the operator's web page says",
        "TOB-HLTEE-4 (HyperLink)",
        "release.match",
        lambda _w: _released_by_somebody_else(),
    ),
    Row(
        "a document is fresh for ever",
        "verifiers without an age; TOB-WAPI-21",
        "document.time",
        lambda w: w.asked(document(), now=START + HOUR, nonce=None),
    ),
    Row(
        "a document from the future is fresh",
        "Marlin's age test",
        "document.time",
        lambda w: w.asked(document(), now=START - 301, nonce=None),
    ),
    Row(
        "no nonce in the document: none was needed",
        "Cantina 3.2.5; hf/nitrite issue 1: empty and null",
        "document.nonce",
        lambda w: w.asked(document(nonce=None)),
    ),
    Row(
        "an empty nonce is no nonce",
        "Cantina 3.2.5; hf/nitrite issue 1: empty and null",
        "document.nonce",
        lambda w: w.asked(document(nonce=b"")),
    ),
    Row(
        "a nonce that begins like ours is ours",
        "compares up to the shorter length",
        "document.nonce",
        lambda w: w.asked(document(nonce=NONCE + b"\0")),
    ),
    Row(
        "a nonce in hex is the nonce",
        "verifiers that compare text",
        "document.nonce",
        lambda w: w.asked(document(nonce=NONCE.hex().encode())),
    ),
    Row(
        "an attested key need not be the channel's",
        "TOB-HLTEE-1, TOB-HLTEE-2 (HyperLink)",
        "channel",
        lambda _w: _relayed(),
        "unchecked",
    ),
    Row(
        "proofs of the log do not age",
        "TOB-WAPI-21 (WhatsApp Private Processing)",
        "log.freshness",
        lambda w: w.asked(
            document(time=START + 2 * DAY),
            now=START + 2 * DAY,
            policy=w.scene.policy(log={"witnesses": "none", "index_monitors": "none"}),
        ),
        "unchecked",
    ),
    Row(
        "no answer of the log: none was needed",
        "TOB-WAPI-23: the check fails in silence",
        "log.signature",
        lambda w: w.good.report(bundle=None),
        "unchecked",
    ),
    Row(
        "one state of the log has nothing to do with the next",
        "TOB-WAPI-27: epochs that are not linked",
        "log.memory",
        lambda _w: _forked(),
    ),
]

REFUSED = [*FORM, *SIGNATURE, *CHAIN, *MEANING]


def _ca(name: str, path_length: int) -> Profile:
    return Profile(name, 20 * DAY, ca_extensions(path_length))


def _released(image: Mapping[str, str]) -> Scene:
    scene = Scene()
    scene.release(image=image)
    return scene


def _released_by_somebody_else() -> Report:
    scene = Scene()
    scene.log.enroll("evil.example", "provider")
    scene.release(image=GOOD, product="evil.example/wallet")
    return scene.report()


def _relayed() -> Report:
    scene = Scene()
    binding = Binding("public_key", "tls-spki-sha256")
    scene.release(binding=binding)
    return scene.report(
        attestation=document(public_key=sha256(b"the enclave's").digest()),
        binding={"tls-spki-sha256": sha256(b"a proxy's").digest()},
        policy=scene.policy(product={"channel": "required"}),
    )


def _forked() -> Report:
    one, other = Scene(), Scene()
    one.release("1.4.2")
    other.release("1.4.3")
    one.seal()
    return other.report(memory=Memory(note=one.log.note))


@pytest.mark.parametrize("row", REFUSED, ids=ids)
def test_a_mistake_of_others_is_refused(world: World, row: Row) -> None:
    report = row.run(world)
    assert row.check in not_passed(report)
    assert status(report, row.check) == row.status
    assert report.exit_code == {"fail": 4, "unchecked": 3}[row.status]
    # Link 1 is the document's: it may well be proven where another link is not.
    assert report.trust_ends_at <= (not row.check.startswith("document."))
    assert report.headline.partition(": ")[2].startswith(f"{row.check}: ")


def test_the_world_is_good_but_for_the_mistake(world: World) -> None:
    """Else a row could be refused for another reason than its mistake."""
    assert world.good.report().exit_code == 0
    assert world.claims().exit_code == 0
    assert world.cabundle(lambda cas: cas).exit_code == 0
    assert world.chain(-1).exit_code == 0
    assert world.signature(lambda r, s: (r, s)).exit_code == 0
    assert world.signed_otherwise(SIMULATOR._keys[-1], SHA384()).exit_code == 0


# --- mistakes that refuse what is genuine --------------------------------------------

TAKEN = [
    Row(
        "registers are numbered without gaps",
        "Cantina 2026-08 3.1.1 on base/nitro-validator",
        "document.form",
        lambda w: w.claims(
            pcrs={
                **{n: bytes.fromhex(GOOD[f"PCR{n}"][7:]) for n in range(3)},
                3: ZERO,
                4: ZERO,
                8: ZERO,
                16: b"\1" * 48,
            }
        ),
    ),
    Row(
        "registers stand in order",
        "Cantina 2026-08 3.1.1 on base/nitro-validator",
        "document.form",
        lambda w: w.claims(
            pcrs={n: bytes.fromhex(GOOD[f"PCR{n}"][7:]) for n in (2, 0, 1)}
        ),
    ),
    Row(
        "maps have a given length",
        "base/nitro-validator PR 23, 32, 34, 36",
        "document.form",
        lambda w: w.written(b"\xbf" + cbor.encode(w.honest)[1:] + b"\xff"),
    ),
    Row(
        "maps never have a given length",
        "base/nitro-validator PR 36",
        "document.form",
        lambda w: w.written(cbor.encode(w.honest)),
    ),
    Row(
        "members stand in AWS's order",
        "base/nitro-validator: fixed offsets",
        "document.form",
        lambda w: w.written(cbor.encode(dict(reversed(w.honest.items())))),
    ),
    Row(
        "public_key is required",
        "Cantina 3.2.5 on base/nitro-validator",
        "document.form",
        lambda w: w.without("public_key", "user_data"),
    ),
    Row(
        "a member that is not known is an error",
        "readers that break when AWS adds one",
        "document.form",
        lambda w: w.claims(region="eu-central-1"),
    ),
    Row(
        "the unprotected header is empty",
        "Cantina 3.2.4 on base/nitro-validator",
        "document.form",
        lambda w: w.written(
            cbor.encode(w.honest), unprotected=cbor.encode({4: b"a key's name"})
        ),
    ),
    Row(
        "a tag before the envelope is an error",
        "AWS's text shows tag 18",
        "document.form",
        lambda w: w.asked(cose.TAG + document()),
    ),
    Row(
        "a high s is an error",
        "verifiers made for Bitcoin; 19 of 40 genuine documents have one",
        "document.signature",
        lambda w: w.signature(lambda r, s: (r, ORDER - s)),
    ),
    Row(
        "the leaf's keyUsage is critical",
        "RFC 5280 says SHOULD; AWS's leaf is not",
        "document.chain",
        lambda w: w.extended(-1, (NOT_CA, True), (SIGN, False)),
    ),
]


@pytest.mark.parametrize("row", TAKEN, ids=ids)
def test_what_is_genuine_is_taken(world: World, row: Row) -> None:
    report = row.run(world)
    assert status(report, row.check) == "pass"
    assert (report.verdict, report.exit_code) == ("verified", 0)


def test_a_document_in_a_second_spelling_is_the_same_evidence(world: World) -> None:
    """Evidence is not known by its bytes (base CHANGELOG: caches keyed by them)."""
    one = world.good.report()
    other = world.signature(lambda r, s: (r, ORDER - s))
    assert one == other


# --- what cannot even be said --------------------------------------------------------


def test_a_policy_without_a_root_is_none(world: World) -> None:
    """Marlin: a root that is an option. reclaim PR 52: a check commented out."""
    for roots in ([], [""], ["none"]):
        with pytest.raises(UsageError):
            world.asked(
                document(), policy=world.scene.policy(platform={"roots": roots})
            )


@pytest.mark.parametrize(
    "image",
    [
        pytest.param({}, id="no registers"),
        pytest.param({"PCR0": GOOD["PCR0"]}, id="PCR0 alone"),
        pytest.param({"PCR8": _DIGEST}, id="the signer alone"),
        pytest.param(dict.fromkeys(GOOD, "sha384:" + "00" * 48), id="debug mode"),
        pytest.param(GOOD | {"PCR4": _DIGEST}, id="one machine"),
    ],
)
def test_a_release_that_would_match_too_much_cannot_be_made(
    image: dict[str, str],
) -> None:
    """evervault, keep, pontifex: an expectation that is empty matches everything."""
    scene = Scene()
    with pytest.raises(MalformedError):
        scene.release(image=image)


@pytest.mark.parametrize(
    "name", ["FAKETIME", "PCRLOG_NOW", "PCRLOG_TIME", "SOURCE_DATE_EPOCH", "TZ"]
)
def test_no_variable_turns_the_clock(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """evervault: FAKETIME, in a test build."""
    monkeypatch.setenv(name, "@2026-11-23 07:00:00")
    report = world.asked(document(), now=START + HOUR, nonce=None)
    assert not_passed(report)["document.time"] == "fail"


# --- the same with documents that AWS signed -----------------------------------------


@dataclass(frozen=True)
class Genuine:
    """Two documents of AWS, taken apart."""

    one: bytes
    other: bytes

    def claims(self, **members: cbor.Value) -> bytes:
        """The first with members of its payload changed; nobody could sign it."""
        parts = cose.parse(self.one)
        payload = cbor.decode(parts.payload)
        assert isinstance(payload, dict)
        changed = cbor.encode(payload | dict(members.items()))
        return envelope(parts.protected, changed, parts.signature)

    def member(self, name: str, of: bytes | None = None) -> Any:
        payload = cbor.decode(cose.parse(of or self.one).payload)
        assert isinstance(payload, dict)
        return payload[name]


def envelope(
    protected: bytes, payload: bytes, signature: bytes, head: bytes = b"\xa0"
) -> bytes:
    first, second, third = map(cbor.encode, (protected, payload, signature))
    return b"\x84" + first + head + second + third


def _with_high_s(data: bytes) -> bytes:
    s = int.from_bytes(data[-48:])
    return data[:-48] + (ORDER - s).to_bytes(48)


def _with_header(data: bytes) -> bytes:
    parts = cose.parse(data)
    head = cbor.encode({4: b"\0" * 32})
    return envelope(parts.protected, parts.payload, parts.signature, head)


CHANGED: dict[str, tuple[str, Callable[[Genuine], bytes]]] = {
    "the same bytes": ("", lambda g: g.one),
    "a tag": ("", lambda g: cose.TAG + g.one),
    "an unprotected header": ("", lambda g: _with_header(g.one)),
    "the other s": ("", lambda g: _with_high_s(g.one)),
    "a register of another enclave": (
        "document.signature",
        lambda g: g.claims(pcrs=g.member("pcrs", g.other)),
    ),
    "a later time": (
        "document.signature",
        lambda g: g.claims(timestamp=g.member("timestamp") + 1000),
    ),
    "a nonce": ("document.signature", lambda g: g.claims(nonce=NONCE)),
    "the leaf of another enclave": (
        "document.signature",
        lambda g: g.claims(certificate=g.member("certificate", g.other)),
    ),
    "the signature of another document": (
        "document.signature",
        lambda g: g.one[:-96] + g.other[-96:],
    ),
    "the signature zero": ("document.signature", lambda g: g.one[:-96] + bytes(96)),
    "the payload in other spelling": ("document.signature", lambda g: g.claims()),
    "the cabundle turned round": (
        "document.signature",
        lambda g: g.claims(cabundle=g.member("cabundle")[::-1]),
    ),
    "bytes after it": ("document.form", lambda g: g.one + b"\0"),
    "the first half": ("document.form", lambda g: g.one[: len(g.one) // 2]),
    "ES256 in the header": (
        "document.form",
        lambda g: g.one.replace(b"\xa1\x01\x38\x22", b"\xa1\x01\x38\x06", 1),
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_nothing_that_counts_can_be_changed_in_what_aws_signed(
    vectors: Path, change: str
) -> None:
    by_name = {case.name: case for case in load(vectors)}
    # Of indefinite length: in its definite spelling it is another payload.
    first = by_name["base_hinted_2026-01.cbor"]
    genuine = Genuine(first.data, by_name["evervault_signed_2022-10.cbor"].data)
    check, make = CHANGED[change]
    image = {
        f"PCR{n}": f"sha384:{first.expected['registers'][str(n)]}" for n in (0, 1, 2)
    }
    scene = Scene()
    scene.release(image=image)
    report = scene.report(
        image,
        attestation=make(genuine),
        at=int(first.expected["timestamp_ms"]) // 1000,
        nonce=None,
        policy=scene.policy(head={"archives": True}, platform={"roots": ["builtin"]}),
    )
    assert report.product == PRODUCT
    if check:
        assert not_passed(report)[check] == "fail"
        assert report.exit_code == 4
    else:
        assert not_passed(report) == {}
        assert report.exit_code == 0
