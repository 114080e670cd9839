"""A Sigstore of its own: certificate authority, certificate log, transparency log.

Makes a trusted root and bundles that the `sigstore` library accepts, and, a member at a
time, ones that it must not. Written from the formats (RFC 6962, the bundle's protobuf,
Rekor's entries), with keys that are derived and times that stand still.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from struct import pack
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pcrlog.encoding import encode_base64, encode_json

START = datetime(2026, 11, 23, 7, tzinfo=UTC)
SIGNER = "https://github.com/acme/wallet/.github/workflows/release.yml@refs/tags/v1.4.2"
ISSUER = "https://token.actions.githubusercontent.com"
BUILDER = "https://github.com/actions/runner/github-hosted"
SLSA = "https://slsa.dev/provenance/v1"
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_NEWER = "1.3.6.1.4.1.57264.1.8"
_DER = b"\x0c" + bytes([len(ISSUER)]) + ISSUER.encode()


def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def _usage(**uses: bool) -> x509.KeyUsage:
    """What a key may be used for, and for nothing else."""
    names = (
        *("digital_signature", "content_commitment", "key_encipherment"),
        *("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        *("encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: uses.get(name, False) for name in names})


def statement(
    file: str, commit: str | None, kind: str = SLSA, **changes: Any
) -> dict[str, Any]:
    """SLSA provenance about a file of this SHA-256."""
    inputs = [] if commit is None else [{"digest": {"gitCommit": commit}}]
    predicate: dict[str, Any] = {
        "buildDefinition": {"resolvedDependencies": inputs},
        "runDetails": {"builder": {"id": BUILDER}},
    }
    if kind != SLSA:
        inputs = [] if commit is None else [{"digest": {"sha1": commit}}]
        predicate = {"builder": {"id": BUILDER}, "materials": inputs}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": kind,
        "subject": [{"name": "app.eif", "digest": {"sha256": file}}],
        "predicate": predicate,
        **changes,
    }


@dataclass
class Sigstore:
    """One instance; another `seed` is another one, that nobody trusts."""

    seed: int = 1
    signer: str = SIGNER
    payload_type: str = "application/vnd.in-toto+json"
    names: tuple[x509.GeneralName, ...] | None = None
    """Whom the certificate names, if not `signer` alone."""
    issuer: tuple[str, bytes] | None = (_NEWER, _DER)
    """The extension that names who checked that: its number and its bytes."""
    late: timedelta = field(default_factory=lambda: timedelta(minutes=1))
    """How long after the certificate was made the entry was logged."""

    @cached_property
    def _keys(self) -> list[ec.EllipticCurvePrivateKey]:
        return [_key(1_000 * self.seed + number) for number in range(1, 5)]

    @cached_property
    def root(self) -> x509.Certificate:
        """The certificate authority."""
        key, name = (
            self._keys[0],
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ca {self.seed}")]),
        )
        builder = x509.CertificateBuilder(
            name,
            name,
            key.public_key(),
            7,
            START - timedelta(days=300),
            START + timedelta(days=3000),
        )
        usage = _usage(key_cert_sign=True, crl_sign=True)
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (usage, True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(key, SHA256(), ecdsa_deterministic=True)

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The signer's, for ten minutes, with its place in the certificate log."""
        builder = self._leaf()
        bare = builder.sign(self._keys[0], SHA256(), ecdsa_deterministic=True)
        issuer = sha256(_spki(self._keys[0])).digest()
        tbs = bare.tbs_certificate_bytes
        time = int(START.timestamp() * 1000)
        signed = pack(">BBQH", 0, 0, time, 1) + issuer
        signed += len(tbs).to_bytes(3) + tbs + pack(">H", 0)
        proof = _sign(self._keys[1], signed)
        log = sha256(_spki(self._keys[1])).digest()
        sct = pack(">B32sQH", 0, log, time, 0) + pack(">BBH", 4, 3, len(proof)) + proof
        listed = pack(">H", len(sct) + 2) + pack(">H", len(sct)) + sct
        octets = b"\x04" + _der_length(len(listed)) + listed
        builder = builder.add_extension(
            x509.UnrecognizedExtension(_SCT_LIST, octets), critical=False
        )
        return builder.sign(self._keys[0], SHA256(), ecdsa_deterministic=True)

    def _leaf(self) -> x509.CertificateBuilder:
        public = self._keys[2].public_key()
        builder = x509.CertificateBuilder(
            self.root.subject,
            x509.Name([]),
            public,
            8,
            START,
            START + timedelta(minutes=10),
        )
        usage = _usage(digital_signature=True)
        named = self.names or (x509.UniformResourceIdentifier(self.signer),)
        name = x509.SubjectAlternativeName(named)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._keys[0].public_key()
        )
        for extension, critical in (
            (usage, True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            (authority, False),
            (name, True),
        ):
            builder = builder.add_extension(extension, critical=critical)
        if self.issuer is None:
            return builder
        oid, value = self.issuer
        told = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        return builder.add_extension(told, critical=False)

    # --- what others are given --------------------------------------------------------

    def trusted_root(self) -> bytes:
        """The trusted root, as Sigstore spells it."""
        span = {"start": "2026-01-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey, url: str) -> dict[str, Any]:
            spki = _spki(key)
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": encode_base64(spki),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": span,
                },
                "logId": {"keyId": encode_base64(sha256(spki).digest())},
            }

        root = self.root.public_bytes(Encoding.DER)
        return encode_json(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;"
                "version=0.1",
                "tlogs": [log(self._keys[3], "https://rekor.example")],
                "ctlogs": [log(self._keys[1], "https://ct.example")],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "o", "commonName": "c"},
                        "uri": "https://fulcio.example",
                        "certChain": {
                            "certificates": [{"rawBytes": encode_base64(root)}]
                        },
                        "validFor": span,
                    }
                ],
                "timestampAuthorities": [],
            }
        )

    def bundle(self, said: dict[str, Any] | bytes) -> bytes:
        """A statement, signed, logged, and bundled."""
        payload = said if isinstance(said, bytes) else json.dumps(said).encode()
        kind = self.payload_type
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        signature = _sign(self._keys[2], pae)
        pem = self.certificate.public_bytes(Encoding.PEM)
        body = encode_json(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
                    "payloadHash": {
                        "algorithm": "sha256",
                        "value": sha256(payload).hexdigest(),
                    },
                    "signatures": [
                        {
                            "signature": encode_base64(signature),
                            "verifier": encode_base64(pem),
                        }
                    ],
                },
            }
        )
        return encode_json(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {
                    "certificate": {
                        "rawBytes": encode_base64(
                            self.certificate.public_bytes(Encoding.DER)
                        )
                    },
                    "tlogEntries": [self._logged(body)],
                },
                "dsseEnvelope": {
                    "payload": encode_base64(payload),
                    "payloadType": kind,
                    "signatures": [{"sig": encode_base64(signature)}],
                },
            }
        )

    def _logged(self, body: bytes) -> dict[str, Any]:
        """The entry in a transparency log that holds nothing else."""
        key = self._keys[3]
        log = sha256(_spki(key)).digest()
        root = sha256(b"\0" + body).digest()
        text = f"rekor.example\n1\n{encode_base64(root)}\n"
        line = encode_base64(log[:4] + _sign(key, text.encode()))
        time = int((START + self.late).timestamp())
        promised = {
            "body": encode_base64(body),
            "integratedTime": time,
            "logID": log.hex(),
            "logIndex": 0,
        }
        return {
            "logIndex": "0",
            "logId": {"keyId": encode_base64(log)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(time),
            "inclusionPromise": {
                "signedEntryTimestamp": encode_base64(_sign(key, encode_json(promised)))
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": encode_base64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{text}\n— rekor.example {line}\n"},
            },
            "canonicalizedBody": encode_base64(body),
        }


def _der_length(size: int) -> bytes:
    return bytes([size]) if size < 128 else b"\x81" + bytes([size])
