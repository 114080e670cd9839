"""Where fuzzing begins: small inputs of each target, written by our own encoders.

The same calls give the same bytes, so that a test can tell whether `corpus/` is what
this module writes (`python -m fuzz --write-corpus`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuzz.targets import SIMULATOR, TARGETS, TIME
from pcrlog import policy, request, tiles
from pcrlog.attestation import cbor, cose
from pcrlog.bundle import Bundle
from pcrlog.encoding import encode_base64
from pcrlog.predicates import Component
from pcrlog.proof import Proof
from pcrlog.seal import Seal
from tests.support.memory_log import MemoryLog, key, registers, witness
from tests.unit.evidence import genuine

_KINDS = ("two sizes", "said twice", "unauthorised", "hidden entry", "index")
"""Of evidence: one for each shape of its members."""
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
        "public-key": {"ed25519": asking.public.spki, "p256": _p256()},
        # Not a file that looks like somebody's key: its first lines.
        "private-key": {"pem": _private_pem()[:40]},
        "base64": {"base64": b"AQIDBA=="},
    }


def seeds() -> dict[str, Seeds]:
    """For each target, its inputs by name."""
    found = _attestation() | _of_the_log() | _of_a_person()
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
