"""The largest legal input of each kind: read, in bounded time and memory.

Not a benchmark: the bounds are many times what was measured, and say that nothing
grows faster than its input. Each input is legal: else nothing would be measured.
"""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from pcrlog import limits, request, tiles, trie
from pcrlog.attestation import cbor, cose, platform
from pcrlog.attestation.simulator import Simulator
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import Checkpoint, cosign, cosignatures
from pcrlog.encoding import encode_base64, sha256
from pcrlog.entry import parse_entry
from pcrlog.envelope import Envelope, assemble, sign_envelope
from pcrlog.errors import VerificationError
from pcrlog.index_keys import index_keys
from pcrlog.merkle import check_consistency, check_inclusion, prove_consistency
from pcrlog.note import COSIGNATURE, NoteSigner, SignatureLine, UnverifiedNote
from pcrlog.policy import Policy
from pcrlog.predicates import (
    REGISTRAR,
    Build,
    BuildTool,
    Component,
    Control,
    Document,
    Identity,
    IdentityKey,
    Reference,
    Release,
)
from pcrlog.proof import Proof
from pcrlog.request import Request
from pcrlog.statement import encode
from tests.hostile.parsers import of_registers
from tests.support.memory_log import key, registers
from tests.support.scene import SIMULATOR, Scene, pem

SECONDS = 2.0
"""Of processor time. Measured: at most 0.06 s, for a bundle of 1 MiB; a machine that is
busy, or measures coverage, takes several times as long."""
PEAK = 64 << 20
"""Bytes of Python's memory. Measured: at most 16 MiB, for an entry bundle as large."""
URI = "https://a.example/" + "u" * (limits.URI - 18)


def bounded(read: Callable[[], object]) -> None:
    begun = time.process_time()
    read()
    assert time.process_time() - begun < SECONDS
    tracemalloc.start()
    try:
        read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK


def digest(number: int) -> str:
    return sha256(b"%d" % number).hex()


# --- the log -------------------------------------------------------------------------


def largest_note() -> tuple[bytes, list[NoteSigner]]:
    """64 lines, one of a log and 63 of witnesses, with names as long as can be."""
    log = NoteSigner("log.example/pcr", bytes(32))
    text = Checkpoint("log.example/pcr", limits.TREE_SIZE, bytes(32)).text()
    names = [f"w{number}".ljust(255, "w") for number in range(63)]
    signers = [NoteSigner(n, sha256(n.encode()), COSIGNATURE) for n in names]
    lines = [cosign(text, one, 1_795_417_200) for one in signers]
    note = UnverifiedNote(text, (*log.sign(text).lines, *lines))
    # The last witness signs again and again, as far as there is room.
    room = limits.NOTE - len(bytes(note))
    last = lines[-1]
    more = SignatureLine(last.name, last.key_hash, b"s" * (room * 3 // 4 - 300))
    note = UnverifiedNote(text, (*note.lines[:-2], more, lines[-1]))
    assert limits.NOTE - 1_000 < len(bytes(note)) <= limits.NOTE
    assert len(note.lines) == limits.NOTE_SIGNATURES
    return bytes(note), signers


def test_the_largest_note() -> None:
    data, signers = largest_note()
    keys = [signer.public for signer in signers]

    def read() -> None:
        assert len(cosignatures(UnverifiedNote.parse(data), keys)) == 62

    bounded(read)


def largest_release(scene: Scene) -> bytes:
    """All lists of a release full, with long texts, just below the bound."""
    members: dict[str, Any] = {
        "log": scene.log.origin,
        "issuer": "acme.example",
        "issued": scene.log.stamp(),
        "platform": "aws-nitro",
        "identity": (("PCR0",),),
        "product": "acme.example/wallet",
        "version": "1.0.0",
        "components": tuple(
            Component(f"acme.example/c{number:02}", digest(number))
            for number in range(limits.COMPONENTS)
        ),
        "controls": tuple(
            Control(f"k{number:02}", digest(number)) for number in range(32)
        ),
        "build": Build(
            Document(URI, digest(0)),
            tuple(
                BuildTool(f"tool{number:02}", digest(number))
                for number in range(limits.TOOLS)
            ),
        ),
        "references": tuple(
            Reference("sbom", f"{URI[:-2]}{number:02}", digest(number))
            for number in range(limits.REFERENCES)
        ),
        "numbers": {f"n{number}": limits.INTEGER for number in range(limits.NUMBERS)},
    }
    subject = {f"PCR{number}": f"sha384:{number + 1:096x}" for number in (0, 1, 2)}
    subject |= {f"PCR{number}": f"sha384:{number + 1:096x}" for number in range(5, 32)}
    payload = encode(Release(**members), subject)
    return sign_envelope(payload, [key("acme")])


def test_the_largest_statement() -> None:
    """30 registers are all that there are; every list is as long as it may be."""
    leaf = largest_release(Scene())
    assert limits.ENVELOPE * 3 // 4 < len(leaf) <= limits.ENVELOPE

    def read() -> None:
        parse_entry(0, leaf)
        assert index_keys(leaf)

    bounded(read)


def test_the_largest_envelope() -> None:
    payload = b"p" * 24_300
    raw = assemble(payload, [("0" * 64, b"s" * 8), ("1" * 64, b"s" * 8)])
    raw = assemble(
        payload, [("0" * 64, b"s" * 8 + b"s" * ((32_768 - len(raw)) // 4 * 3))]
    )
    assert limits.ENVELOPE - 300 < len(raw) <= limits.ENVELOPE
    bounded(lambda: Envelope.parse(raw))


def test_the_largest_identity() -> None:
    keys = sorted((key(f"{n}").public for n in range(16)), key=lambda one: one.keyid)
    rows = tuple(
        IdentityKey(keyid=one.keyid, key=one.spki, status="active") for one in keys
    )
    identity = Identity(
        log="log.example/pcr",
        issuer=REGISTRAR,
        issued="2026-11-23T07:00:00Z",
        name="acme.example",
        signers=(key("enrol").public.keyid,),
        roles=("auditor", "provider"),
        keys=rows,
    )
    payload = encode(identity, {one.keyid: f"sha256:{one.keyid}" for one in keys})
    leaf = sign_envelope(payload, [key("enrol")])
    bounded(lambda: parse_entry(0, leaf))


def test_the_largest_request() -> None:
    rotation = request.Rotation(b"p" * 30_000, {"0" * 64: b"s" * 8})
    keys = [key(str(number)) for number in range(limits.KEYS_OF_IDENTITY)]
    data = request.encode("log.example/pcr", "acme.example", keys, rotation)
    data += b"\n" * (2 * limits.ENVELOPE - len(data))
    bounded(lambda: Request.parse(data))


def largest_bundle() -> bytes:
    """1 MiB: as many answers, steps, entries and hashes as fit."""
    answers: dict[str, Answer] = {}
    steps = [(bit, sha256(b"%d" % bit)) for bit in range(255, -1, -1)]
    for number in range(limits.BUNDLE_ANSWERS):
        name = f"v1/identity/n{number:03}.example".ljust(512, "x")
        indices = tuple(range(number, number + 20))
        count = 256 if number < 60 else 8
        answers[name] = Answer(indices, trie.encode_proof(steps[:count]))
    entries: dict[int, Included] = {}
    path = tuple(sha256(b"p%d" % level) for level in range(limits.PROOF_HASHES))
    for index in range(limits.BUNDLE_ENTRIES):
        raw = assemble(b'{"a":%d}' % index, [("0" * 64, b"s" * 8)])
        entries[index] = Included(
            Envelope.parse(raw), path if index < 512 else path[:5]
        )
    seal = Bundle(b"note", b"seal", path, answers, entries)
    data = seal.encode()
    # What is left is filled with hashes that each stand once.
    more = (limits.BUNDLE - len(data)) // 700
    for number in range(more):
        lone = tuple(sha256(b"h%d.%d" % (number, level)) for level in range(8))
        entries[number] = Included(entries[number].envelope, (*lone, *path[8:]))
    return Bundle(b"note", b"seal", path, answers, entries).encode()


def test_the_largest_bundle() -> None:
    data = largest_bundle()
    assert limits.BUNDLE * 3 // 4 < len(data) <= limits.BUNDLE
    bounded(lambda: Bundle.parse(data))
    assert Bundle.parse(data).encode() == data


def test_a_run_over_the_largest_bundle() -> None:
    """Nothing in it is true; the run comes to its end all the same."""
    scene = Scene()
    scene.release()
    inputs = scene.inputs()
    data = largest_bundle()

    def read() -> None:
        assert inputs.report(bundle=data).exit_code == 4

    bounded(read)


def test_the_largest_entry_bundle() -> None:
    data = tiles.encode_bundle([b"e" * tiles.MAX_ENTRY] * tiles.FULL)

    def read() -> None:
        assert len(tiles.parse_bundle(data, tiles.FULL)) == tiles.FULL

    bounded(read)


def test_the_largest_proofs() -> None:
    """63 hashes of inclusion, 64 and more of consistency, 256 steps of a trie."""
    node = sha256(b"every node of a tree of 2^63 leaves")
    size = limits.TREE_SIZE
    proof = prove_consistency(size // 3, size, lambda _level, _index: node)
    steps = [(bit, node) for bit in range(255, -1, -1)]
    other = trie.encode_proof(steps, (node, node))
    note, _ = largest_note()
    file = Proof(size - 1, (node,) * limits.PROOF_HASHES, note).encode()

    inclusion = (node, 1, size, [node] * 63, node)
    consistency = (size // 3, size, proof, node, node)
    presence = (node, node, node, other[66:])
    checks: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (check_inclusion, inclusion),
        (check_consistency, consistency),
        (trie.check_absence, (node, bytes(32), other)),
        (trie.check_presence, presence),
    ]

    def read() -> None:
        for check, arguments in checks:
            with pytest.raises(VerificationError):
                check(*arguments)
        assert Proof.parse(file).note == note

    bounded(read)


# --- what a person keeps, and an enclave ---------------------------------------------


def test_the_largest_policy() -> None:
    """32 logs with 64 cosigners each, and products until it is full."""
    scene = Scene()
    tables = []
    for number in range(31):
        signers = [
            NoteSigner(f"w{n}.example/{number}", sha256(b"%d %d" % (number, n)), 4)
            for n in range(40)
        ]
        vkey = str(NoteSigner(f"log{number}.example", sha256(b"%d" % number)).public)
        names = [str(signer.public) for signer in signers]
        witnesses = {"quorum": 20, "keys": names}
        tables.append(scene.log_table(vkey=vkey, witnesses=witnesses))
    products = {
        f"acme.example/p{number}": {
            "platforms": ["aws-nitro"],
            "pins": {"acme.example": [digest(n) for n in range(8)]},
        }
        for number in range(190)
    }
    text = scene.policy_text(
        logs=tables,
        products=products,
        platform={"roots": [pem(SIMULATOR.root_der)] * 8},
    )
    assert limits.POLICY * 3 // 4 < len(text) <= limits.POLICY
    bounded(lambda: Policy.parse(text.encode()))


def test_the_largest_document() -> None:
    """20 KiB: registers, certificates and free fields at their bounds, and more."""
    simulator = Simulator(b"largest")
    milliseconds = 1_795_417_200_000
    members: dict[str, Any] = {
        name: bytes(1024) for name in ("nonce", "user_data", "public_key")
    }
    members |= {f"more{number}": bytes(990) for number in range(10)}
    data = simulator.document(
        time=milliseconds,
        registers={f"PCR{number}": bytes(47) + b"\1" for number in range(32)},
        **members,
    )
    parts = cose.parse(data)
    room = limits.ATTESTATION - len(data) - 10
    head = cbor.encode(dict.fromkeys(range(room // 4)))
    data = simulator.sign(parts.payload, unprotected=head)
    assert limits.ATTESTATION - 2_000 < len(data) <= limits.ATTESTATION

    def read() -> None:
        signed = platform("aws-nitro").parse(data).verify_signature()
        document = signed.verify_chain([simulator.root_der])
        assert len(document.registers) == 32

    bounded(read)


def test_the_largest_file_of_registers() -> None:
    """1 MiB: most of it of the things that `describe-eif` says besides."""
    image = {name: value.partition(":")[2] for name, value in registers("good").items()}
    inner = ",".join(f'"{name}":"{value}"' for name, value in image.items())
    rest = encode_base64(bytes(700_000))
    data = f'{{"Measurements":{{{inner}}},"Metadata":"{rest}"}}'.encode()

    def read() -> None:
        assert of_registers(data) == registers("good")

    bounded(read)
