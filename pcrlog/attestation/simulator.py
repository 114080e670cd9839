"""A machine that attests, in software: documents like AWS's under a root of its own.

For tests, and to try pcrlog without an enclave: trusted only where a policy names the
simulator's root. All of it follows from the seed: one seed gives one root, one chain
an hour, and one document for the same claims. Whoever knows it can attest to anything.

As far as a verifier can tell it is like the real one: names, lifetimes, path lengths
and key usages of the chain (ATTEST.md 1.3; without key identifiers and CRL addresses),
PCR4 and which registers there are, the order of the fields, a payload of indefinite
length. With `tpm=True` it is an instance with a NitroTPM, not an enclave (ATTEST.md 3).
It lies on request: `profiles` make another chain, the fields of `document` other
claims, `sign` any payload in any envelope.

>>> simulator = Simulator(b"an example")
>>> data = simulator.document(time=1_795_417_200_000, registers={"PCR0": b"0" * 48})
>>> data[:8].hex(" "), len(simulator.chain(1_795_417_200_000))
('84 44 a1 01 38 22 a0 59', 5)
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256, sha384
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec import Struct

from pcrlog.attestation import cbor, cose
from pcrlog.encoding import decode_hex

_HOUR = 3600
_DAY = 24 * _HOUR
_ROOT_BEGINS = 1_572_269_285
"""2019-10-28T13:28:05Z, as AWS's root does."""
_ZERO = bytes(48)
_ONES = b"\xff" * 48
_UNUSED = range(17, 23)
"""A TPM's registers for a launch that these instances do not have."""
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

Extensions: TypeAlias = tuple[tuple[x509.ExtensionType, bool], ...]
"""Each with whether it is critical."""


class Profile(Struct, frozen=True):
    """How one certificate of the chain is made."""

    common_name: str
    """`{instance}` and `{module}` stand for the names of what is simulated."""
    lifetime: int
    """Seconds from the start of the hour; the root's from 2019."""
    extensions: Extensions
    curve: type[ec.EllipticCurve] = ec.SECP384R1
    digest: type[SHA256 | SHA384] = SHA384
    """In the issuer's signature."""


def key_usage(*usages: str) -> x509.KeyUsage:
    """A keyUsage of just these, by cryptography's names for them."""
    return x509.KeyUsage(**{name: name in usages for name in _USAGES})


def ca_extensions(path_length: int | None, *usages: str) -> Extensions:
    """The extensions of a CA; all that AWS gives one of them are critical."""
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return ((constraints, True), (key_usage("key_cert_sign", *usages), True))


_SIGN = ("digital_signature", "crl_sign")
PROFILES = (
    Profile("sim.nitro-enclaves", 10958 * _DAY + _HOUR, ca_extensions(None, *_SIGN)),
    Profile("a.sim.nitro-enclaves", 20 * _DAY + _HOUR, ca_extensions(2, *_SIGN)),
    Profile("b.zonal.a.sim.nitro-enclaves", 6 * _DAY + _HOUR, ca_extensions(1, *_SIGN)),
    Profile("{instance}.a.sim.nitro-enclaves", _DAY, ca_extensions(0)),
    Profile(
        "{module}.a.sim",
        3 * _HOUR + 3,
        (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (key_usage("digital_signature", "content_commitment"), False),
        ),
    ),
)
"""The honest chain, root first, leaf last."""


class Simulator:
    """A simulated enclave, or an instance's TPM, and the authorities above it."""

    def __init__(
        self, seed: bytes, profiles: Sequence[Profile] = PROFILES, *, tpm: bool = False
    ) -> None:
        self._seed = seed
        self._profiles = profiles
        self._tpm = tpm
        self._member = "nitrotpm_pcrs" if tpm else "pcrs"
        name = sha256(b"module" + seed).hexdigest()
        self.instance_id = f"i-{name[:17]}"
        part = f"tpm{0:016}" if tpm else f"enc{name[17:33]}"
        self.module_id = f"{self.instance_id}-{part}"
        self._keys = [self._key(position) for position in range(len(profiles))]
        self._root = self._certificate(0, _ROOT_BEGINS)
        self._hour: int | None = None
        """Since 1970: the one that `_below_root` was made for."""
        self._below_root: list[bytes] = []

    @property
    def root_der(self) -> bytes:
        """What a policy has to trust for this simulator's documents."""
        return self._root

    def document(
        self,
        *,
        time: int,
        registers: Mapping[str, bytes | str],
        debug: bool = False,
        **fields: cbor.Value,
    ) -> bytes:
        """A document signed at `time` (unix milliseconds).

        `registers` are named as in PCR0 and hold 48 bytes or their hex; those left out
        are zero, except an enclave's PCR4, and a TPM's PCR17 to 22, which are all ones.
        In debug mode an enclave's PCR0, PCR1 and PCR2 are zero in any case.
        `fields` are `nonce`, `user_data` and `public_key`, or any to be written instead
        of the honest ones.
        """
        *cas, leaf = self.chain(time)
        payload: dict[int | str, cbor.Value] = {
            "module_id": self.module_id,
            "digest": "SHA384",
            "timestamp": time,
            "nitrotpm_pcrs" if self._tpm else "pcrs": self._pcrs(
                registers, debug=debug
            ),
            "certificate": leaf,
            "cabundle": tuple(cas),
            "public_key": None,
            "user_data": None,
            "nonce": None,
        }
        payload.update(fields.items())
        # The head of a map of few members is one byte, and bf in the indefinite form.
        return self.sign(b"\xbf" + cbor.encode(payload)[1:] + b"\xff")

    def sign(
        self,
        payload: bytes,
        *,
        protected: bytes = cbor.encode(cose.HEADER),
        unprotected: bytes = b"\xa0",
    ) -> bytes:
        """Any payload in any envelope, rightly signed with the leaf's key."""
        signed = cose.sig_structure(protected, payload)
        algorithm = ec.ECDSA(SHA384(), deterministic_signing=True)
        r, s = decode_dss_signature(self._keys[-1].sign(signed, algorithm))
        protected, payload, signature = map(
            cbor.encode, (protected, payload, r.to_bytes(48) + s.to_bytes(48))
        )
        return b"\x84" + protected + unprotected + payload + signature

    def chain(self, time: int) -> list[bytes]:
        """The certificates (DER, root first) in use at `time` (unix milliseconds)."""
        hour = time // 1000 // _HOUR
        if hour != self._hour:
            positions = range(1, len(self._profiles))
            self._below_root = [self._certificate(i, hour * _HOUR) for i in positions]
            self._hour = hour
        return [self._root, *self._below_root]

    def _pcrs(
        self, registers: Mapping[str, bytes | str], *, debug: bool
    ) -> dict[int | str, cbor.Value]:
        pcrs: dict[int | str, cbor.Value]
        if self._tpm:
            pcrs = {
                number: _ONES if number in _UNUSED else _ZERO for number in range(24)
            }
        else:
            pcrs = dict.fromkeys(range(16), _ZERO)
            pcrs[4] = sha384(_ZERO + self.instance_id.encode()).digest()
        for name, digest in registers.items():
            number = int(name.removeprefix("PCR"))
            pcrs[number] = decode_hex(digest, 48) if isinstance(digest, str) else digest
        return pcrs | dict.fromkeys(range(3), _ZERO) if debug else pcrs

    def _key(self, position: int) -> ec.EllipticCurvePrivateKey:
        # 255 bits: a private key on either curve.
        digest = sha256(b"key" + bytes([position]) + self._seed).digest()
        secret = 1 + (int.from_bytes(digest) >> 1)
        return ec.derive_private_key(secret, self._profiles[position].curve())

    def _name(self, position: int) -> x509.Name:
        common_name = self._profiles[position].common_name.format(
            instance=self.instance_id, module=self.module_id
        )
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pcrlog simulator"),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )

    def _certificate(self, position: int, begins: int) -> bytes:
        profile = self._profiles[position]
        issuer = max(0, position - 1)
        ends = begins + profile.lifetime
        serial = sha256(b"serial %d %d" % (position, begins) + self._seed).digest()
        builder = x509.CertificateBuilder(
            issuer_name=self._name(issuer),
            subject_name=self._name(position),
            public_key=self._keys[position].public_key(),
            serial_number=int.from_bytes(serial[:16]) | 1,
            not_valid_before=datetime.fromtimestamp(begins, UTC),
            not_valid_after=datetime.fromtimestamp(ends, UTC),
        )
        for extension, critical in profile.extensions:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(
            self._keys[issuer], profile.digest(), ecdsa_deterministic=True
        )
        return certificate.public_bytes(Encoding.DER)
