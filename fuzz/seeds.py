"""Where fuzzing begins: small inputs of each target, written by our own encoders.

The same calls give the same bytes, so that a test can tell whether `corpus/` is what
this module writes (`python -m fuzz --write-corpus`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuzz import machines
from fuzz.targets import SIMULATOR, TARGETS, TIME
from pcrlog import policy, policy_update, request, tiles
from pcrlog.attestation import cbor, cose
from pcrlog.bundle import Bundle
from pcrlog.encoding import encode_base64
from pcrlog.keys import SigningKey
from pcrlog.predicates import Component
from pcrlog.proof import Proof
from pcrlog.seal import Seal
from tests.support import images
from tests.support.memory_log import MemoryLog, key, registers, witness
from tests.unit.evidence import genuine
from workbench.kms_policy_render import as_json, condition_for, denials

_KINDS = ("two sizes", "said twice", "unauthorised", "hidden entry", "index")
"""Of evidence: one for each shape of its members."""
_GZIP = bytes.fromhex(
    "1f8b080000000000020333303730373034200e10ab0e1d38c11821418e9e3eae418a8a8a"
    "0c4000004ee509377c000000"
)
"""An empty archive; its bytes here, as they are another library's."""
_ZSTD = bytes.fromhex("28b52ffd0458")
CORPUS = Path(__file__).with_name("corpus")

Seeds = Mapping[str, bytes]


def _log() -> MemoryLog:
    made = MemoryLog(witnesses=[witness("w1.example/a")])
    made.enroll("acme.example", "provider")
    made.enroll("lab.example", "auditor")
    part = Component("acme.example/proxy", "ab" * 32)
    made.release("acme.example/wallet", "1.4.2", registers("good"), components=(part,))
    made.audit("lab.example", "source-review", {"commit": "gitCommit:" + "c" * 40})
    made.revoke("acme.example", "withdrawn", 3)
    made.seal()
    return made


def _bundle(log: MemoryLog) -> bytes:
    where = registers("good")["PCR0"]
    names = [f"v1/by/acme.example/aws-nitro/PCR0={where}", "v1/identity/nobody.example"]
    answers = {name: log.answer(name) for name in names}
    whole = log.assemble(answers)
    entries = {3: log.included(3)}
    return Bundle(whole.note, whole.seal, whole.seal_proof, answers, entries).encode()


def _private_pem() -> bytes:
    return key("acme").to_pem()


def _p256() -> bytes:
    public = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _attestation() -> dict[str, Seeds]:
    document = SIMULATOR.document(
        time=TIME, registers={"PCR0": b"\1" * 48}, nonce=b"nonce", user_data=b""
    )
    payload = cose.parse(document).payload
    items: dict[str, cbor.Value] = {
        "map": {"pcrs": {0: b"\0" * 4, 4: b""}, "nonce": None, "debug": False},
        "array": ((), (1, -1, 255, 65_536, 2**32), "text", (b"bytes",)),
    }
    leaf = SIMULATOR.chain(TIME)[-1]
    return {
        "cbor": {name: cbor.encode(item) for name, item in items.items()}
        | {"indefinite": bytes.fromhex("bf6161 9f00ff 00 bfff ff")},
        "cose": {
            "small": SIMULATOR.sign(b"payload"),
            "tagged": cose.TAG + SIMULATOR.sign(b"\xa0", unprotected=b"\xa1\x04\x41\0"),
        },
        "document": {
            "document": document,
            "base64": encode_base64(document).encode(),
        },
        "payload": {"payload": payload},
        "quote": {"quote": machines.QUOTE, "after": machines.QUOTE + b"claims"},
        "collateral": {"collateral": machines.COLLATERAL},
        "builds": {
            "nitro-tpm": b'{"Measurements":{"HashAlgorithm":"SHA384","PCR4":"%s",'
            b'"PCR12":"%s"}}' % (b"04" * 48, b"00" * 48),
            "gramine": b'{"mr_enclave":"%s","mr_signer":"%s","isv_prod_id":1,'
            b'"isv_svn":2,"debug_enclave":false}' % (b"e1" * 32, b"51" * 32),
            "oesign": b"mrenclave=%s\nmrsigner=%s\nproduct_id=1\nsecurity_version=2\n"
            b"debug=0\n" % (b"e1" * 32, b"51" * 32),
        },
        "certificate": {
            "leaf": leaf,
            "ca": SIMULATOR.chain(TIME)[1],
            "signed": x509.load_der_x509_certificate(leaf).tbs_certificate_bytes,
        },
    }


def _of_the_log() -> dict[str, Seeds]:
    log = _log()
    statements = {
        name: log.entries[index].envelope.payload
        for name, index in (
            ("registrar", 0),
            ("identity", 1),
            ("release", 3),
            ("audit", 4),
            ("revocation", 5),
        )
    }
    return {
        "note": {"checkpoint": log.note},
        "seal": {
            "seal": log.leaves[-1],
            "frozen": Seal(9, 1_795_417_200, b"r" * 32, frozen=True).encode(),
        },
        "envelope": {"release": log.leaves[3], "identity": log.leaves[1]},
        "statement": statements,
        "index-keys": {name: statements[name] for name in ("release", "identity")},
        "entry-bundle": {
            "two": b"\1" + tiles.encode_bundle([b"one", b""]),
            "seal": b"\0" + tiles.encode_bundle([log.leaves[-1]]),
        },
        "trie-proof": {
            "presence": log.answer("v1/identity/registrar").proof,
            "absence": log.answer("v1/identity/nobody.example").proof,
        },
        "bundle": {"bundle": _bundle(log)},
        "evidence": {name.replace(" ", "-"): genuine.data(name) for name in _KINDS},
        "proof": {
            "proof": Proof(4, log.included(4).proof, log.note).encode(),
            "extra": b"c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\n\n" + log.note,
        },
    }


def _images() -> dict[str, Seeds]:
    files = [images.file("init", b"init", mode=0o100755), images.file("etc", b"")]
    disk = images.ramdisk(files)
    made = images.layout(disk, images.ramdisk([]), kernel=b"kernel")
    signed = images.signed(made, "ES256")
    return {
        "image": {
            "plain": made.encode(),
            "signed": signed.encode(),
            "version-3": images.image(disk, version=3, flags=1),
        },
        "image-signature": {"es256": signed.sections[-1].data},
        "ramdisk": {"plain": disk, "gzip": _GZIP, "two": disk + _GZIP, "zstd": _ZSTD},
    }


def _controls() -> dict[str, Seeds]:
    build = {f"PCR{n}": f"sha384:{f'{n + 1}a' * 48}" for n in range(3)}
    block = condition_for([build])
    common = {"Principal": "*", "Action": ["kms:Decrypt", "kms:*Key"], "Resource": "*"}
    allow = {"Sid": "a", "Effect": "Allow", **common, "Condition": block}
    account = {"AWS": ["arn:aws:iam::111122223333:root", "111122223333"]}
    open_to = {"Effect": "Allow", "NotPrincipal": account, "NotAction": "kms:Get?"}
    odd = {"Null": {"kms:RecipientAttestation:PCR8": "true"}, "Bool": {"a": True}}
    rows = [allow, {**open_to, "Resource": "*", "Condition": odd}, *denials(block)]
    return {
        "key-policy": {
            "small": as_json({"Statement": allow}).encode(),
            "large": as_json({"Version": "2012-10-17", "Statement": rows}).encode(),
        }
    }


def _of_a_person() -> dict[str, Seeds]:
    asking = key("acme")
    rotation = request.Rotation(b'{"a":1}', {"0" * 64: b"1"})
    named = ("log.example/pcr", "acme.example", [asking])
    return {
        "request": {
            "first": request.encode(*named),
            "rotation": request.encode(*named, rotation),
        },
        "policy": {"policy": policy.EXAMPLE.encode()},
        "policy-updates": {
            "one": _update(asking),
            "two": _update(asking) + _update(asking, key("second")),
        },
        "public-key": {"ed25519": asking.public.spki, "p256": _p256()},
        # Not a file that looks like somebody's key: its first lines.
        "private-key": {"pem": _private_pem()[:40]},
        "base64": {"base64": b"AQIDBA=="},
    }


def _update(*signers: SigningKey) -> bytes:
    text = policy.EXAMPLE.replace("version = 7", "version = 8")
    update = policy_update.Update(text.encode(), {})
    return policy_update.sign(update, signers).encode() + b"\n"


def seeds() -> dict[str, Seeds]:
    """For each target, its inputs by name."""
    found = _attestation() | _of_the_log() | _images() | _controls() | _of_a_person()
    if found.keys() != TARGETS.keys():
        message = f"seeds and targets differ: {sorted(found.keys() ^ TARGETS.keys())}"
        raise ValueError(message)
    return found


def files() -> Iterator[tuple[Path, bytes]]:
    """Each file of the corpus, and what it should hold."""
    for target, inputs in seeds().items():
        for name, data in inputs.items():
            yield CORPUS / target / name, data


def write() -> int:
    """Write the corpus; how many files there are."""
    count = 0
    for path, data in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        count += 1
    return count
