"""A machine with SGX, in software: quotes and collateral under a root of its own.

For tests, and to try pcrlog without an enclave: trusted only where a policy names the
simulator's root. All of it follows from the seed and from what is asked: one seed gives
one root, one machine, and the same bytes for the same quote. Whoever knows it can
attest to anything.

As far as a verifier can tell it is like the real one: names, lifetimes and usages of
the certificates, the extension for SGX, the quoting enclave's identity, the layout of
quotes and of what Intel publishes (ATTEST.md 6; without key identifiers and addresses).
It lies on request: `certificates`, `Machine`, `Enclave` and `Word` say what is
otherwise, `sign` makes a quote of any bytes.

>>> simulator = Simulator(b"an example")
>>> data = simulator.quote(Enclave(b"M" * 32))
>>> data[:4].hex(), data[48 + 64 : 48 + 68]
('03000200', b'MMMM')
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec import Struct
from msgspec.structs import replace

from pcrlog.attestation.sgx import extension, pem, quote, simulated_collateral
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulated_machine import Machine
from pcrlog.attestation.simulator import Extensions, ca_extensions, key_usage
from pcrlog.encoding import decode_hex

_2018, _2049 = 1_526_899_510, 2_524_607_999
"""The root begins, and ends; so with the next: as Intel's."""
_LATER_2018, _2033 = 1_526_899_810, 2_000_285_410
_2023, _2030 = 1_695_246_823, 1_916_171_623
"""The PCK certificate begins, and ends after seven years."""
AUTHENTICATION = bytes(range(32))
"""The QE's authentication data: Intel's writes these bytes, too."""
_UNREADABLE = bytes(404)
"""Certification data that nobody but Intel could read, as of kind 3."""


class Certificate(Struct, frozen=True):
    """How one of the simulator's certificates is made."""

    common_name: str
    begins: int
    """Unix seconds, as is `ends`."""
    ends: int
    extensions: Extensions
    issuer: str = "root"
    """Which of the others issues it."""
    curve: type[ec.EllipticCurve] = ec.SECP256R1
    digest: type[SHA256 | SHA384] = SHA256


_LEAF: Extensions = (
    (key_usage("digital_signature", "content_commitment"), True),
    (x509.BasicConstraints(ca=False, path_length=None), True),
)
CERTIFICATES: Mapping[str, Certificate] = {
    "root": Certificate(
        "Intel SGX Root CA", _2018, _2049, ca_extensions(1, "crl_sign")
    ),
    "ca": Certificate(
        "Intel SGX PCK Processor CA", _LATER_2018, _2033, ca_extensions(0, "crl_sign")
    ),
    "pck": Certificate("Intel SGX PCK Certificate", _2023, _2030, _LEAF, issuer="ca"),
    "tcb": Certificate("Intel SGX TCB Signing", _LATER_2018, _2033, _LEAF),
}
"""The honest ones, by short names. "pck" has the extension for SGX besides."""


class Enclave(Struct, frozen=True):
    """What a report says of an enclave."""

    mrenclave: bytes
    mrsigner: bytes = sha256(b"pcrlog simulator").digest()
    isv_prod_id: int = 0
    isv_svn: int = 0
    flags: int = quote.INIT | quote.MODE64
    report_data: bytes = b""
    """64 bytes; shorter, zeros follow."""
    cpusvn: bytes = bytes.fromhex("0b0b1a18ffff04000000000000000000")
    miscselect: bytes = bytes(4)
    xfrm: int = 0xE7

    @property
    def report(self) -> bytes:
        """384 bytes."""
        attributes = self.flags.to_bytes(8, "little") + self.xfrm.to_bytes(8, "little")
        numbers = self.isv_prod_id.to_bytes(2, "little")
        numbers += self.isv_svn.to_bytes(2, "little")
        return b"".join(
            (
                self.cpusvn + self.miscselect + bytes(28) + attributes,
                self.mrenclave + bytes(32) + self.mrsigner + bytes(96),
                numbers + bytes(60) + self.report_data.ljust(64, b"\0"),
            )
        )


class Simulator:
    """A simulated machine, its quoting enclave, and the authorities above."""

    def __init__(
        self,
        seed: bytes,
        *,
        certificates: Mapping[str, Certificate] = CERTIFICATES,
        machine: Machine = Machine(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self._seed = seed
        self._profiles = certificates
        self._keys = {
            name: self._key(name, one.curve) for name, one in certificates.items()
        }
        self._attestation_key = self._key("attestation", ec.SECP256R1)
        self.machine = machine
        self.certificates = {name: self._certificate(name) for name in certificates}
        """DER, by the names of `CERTIFICATES`."""
        self.qe_id = sha256(b"qe" + seed).digest()[:16]

    @property
    def root_der(self) -> bytes:
        """What a policy has to trust for this simulator's quotes."""
        return self.certificates["root"]

    @property
    def attestation_key(self) -> bytes:
        """The key that signs quotes: x || y."""
        point = self._attestation_key.public_key().public_numbers()
        return point.x.to_bytes(32) + point.y.to_bytes(32)

    @property
    def qe(self) -> Enclave:
        """The quoting enclave, as it reports on itself."""
        return Enclave(
            mrenclave=sha256(b"quoting enclave").digest(),
            mrsigner=quote.QE_SIGNER,
            isv_prod_id=quote.QE_PROD_ID,
            isv_svn=10,
            flags=quote.INIT | quote.MODE64 | quote.PROVISION,
            report_data=sha256(self.attestation_key + AUTHENTICATION).digest(),
        )

    def serial(self, name: str) -> int:
        """The serial number of a certificate, to revoke it by."""
        digest = sha256(b"serial" + name.encode() + self._seed).digest()
        return int.from_bytes(digest[:16]) | 1

    def document(
        self,
        *,
        registers: Mapping[str, bytes | str],
        numbers: Mapping[str, int] | None = None,
        debug: bool = False,
        nonce: bytes | None = None,
        user_data: bytes | None = None,
        public_key: bytes | None = None,
    ) -> bytes:
        """A quote, by the names that pcrlog has for what is in it.

        `registers` hold 32 bytes or their hex. `nonce` and `public_key` are the halves
        of report data, at most 32 bytes each; `user_data`, at most 64, is all of it.
        """
        given = {
            name: decode_hex(value, 32) if isinstance(value, str) else value
            for name, value in registers.items()
        }
        counts = numbers or {}
        enclave = Enclave(
            mrenclave=given["MRENCLAVE"],
            isv_prod_id=counts.get("ISVPRODID", 0),
            isv_svn=counts.get("ISVSVN", 0),
            report_data=user_data
            or (nonce or b"").ljust(32, b"\0") + (public_key or b""),
        )
        enclave = replace(
            enclave,
            mrsigner=given.get("MRSIGNER", enclave.mrsigner),
            flags=enclave.flags | quote.DEBUG * debug,
        )
        return self.quote(enclave)

    def quote(
        self,
        enclave: Enclave,
        *,
        qe: Enclave | None = None,
        certification: int = quote.PCK_CHAIN,
        order: Sequence[str] = ("pck", "ca", "root"),
    ) -> bytes:
        """A quote of `enclave`.

        Args:
            enclave: what it is of.
            qe: what the quoting enclave says of itself; by default the truth.
            certification: the kind of certification data; others than 5 are unreadable.
            order: of the certificates in it, by their names.
        """
        its = qe or self.qe
        header = quote.BEGINS + its.isv_svn.to_bytes(2, "little") + b"\x0f\0"
        header += quote.QE_VENDOR + self.qe_id + bytes(4)
        data = _UNREADABLE
        if certification == quote.PCK_CHAIN:
            data = self.pem(*order).encode() + b"\0"
        return self.sign(header + enclave.report, its, certification, data)

    def sign(
        self, signed: bytes, qe: Enclave, certification: int, data: bytes
    ) -> bytes:
        """A quote of any header and report, with any certification data."""
        rest = b"".join(
            (
                _sign(self._attestation_key, signed) + self.attestation_key,
                qe.report + _sign(self._keys["pck"], qe.report),
                len(AUTHENTICATION).to_bytes(2, "little") + AUTHENTICATION,
                certification.to_bytes(2, "little"),
                len(data).to_bytes(4, "little") + data,
            )
        )
        return signed + len(rest).to_bytes(4, "little") + rest

    def pem(self, *names: str) -> str:
        """Some of the certificates, in PEM."""
        return "".join(pem.write(self.certificates[name]) for name in names)

    def collateral(self, word: Word) -> bytes:
        """What the simulator's Intel publishes: a file for `--collateral`."""
        signing = self._keys["tcb"]
        names = ("root", "ca")
        return simulated_collateral.write(
            word,
            machine=self.machine,
            sign=lambda text: _sign(signing, text),
            pem=self.pem,
            crls=[self._crl(name, word, word.revoked_by(name)) for name in names],
        )

    def _crl(self, name: str, word: Word, revoked: Sequence[int]) -> bytes:
        begins = datetime.fromtimestamp(word.issued, UTC)
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self._name(name),
            last_update=begins,
            next_update=datetime.fromtimestamp(word.ends, UTC),
        ).add_extension(x509.CRLNumber(1), critical=False)
        for serial in revoked:
            one = x509.RevokedCertificateBuilder(serial, begins).build()
            builder = builder.add_revoked_certificate(one)
        crl = builder.sign(self._keys[name], SHA256(), ecdsa_deterministic=True)
        return crl.public_bytes(Encoding.DER)

    def _key(
        self, name: str, curve: type[ec.EllipticCurve]
    ) -> ec.EllipticCurvePrivateKey:
        # 255 bits: a private key on either curve.
        digest = sha256(b"key" + name.encode() + self._seed).digest()
        return ec.derive_private_key(1 + (int.from_bytes(digest) >> 1), curve())

    def _name(self, name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(
                    NameOID.COMMON_NAME, self._profiles[name].common_name
                ),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pcrlog simulator"),
            ]
        )

    def _certificate(self, name: str) -> bytes:
        profile = self._profiles[name]
        builder = x509.CertificateBuilder(
            issuer_name=self._name(profile.issuer),
            subject_name=self._name(name),
            public_key=self._keys[name].public_key(),
            serial_number=self.serial(name),
            not_valid_before=datetime.fromtimestamp(profile.begins, UTC),
            not_valid_after=datetime.fromtimestamp(profile.ends, UTC),
        )
        extensions = profile.extensions
        if name == "pck":
            machine = x509.UnrecognizedExtension(extension.OID, self.machine.extension)
            extensions = (*extensions, (machine, False))
        for one, critical in extensions:
            builder = builder.add_extension(one, critical=critical)
        certificate = builder.sign(
            self._keys[profile.issuer], profile.digest(), ecdsa_deterministic=True
        )
        return certificate.public_bytes(Encoding.DER)


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(data, algorithm))
    return r.to_bytes(32) + s.to_bytes(32)
