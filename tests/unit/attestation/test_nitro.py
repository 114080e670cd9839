"""The payload of a document: what is read, and everything that is refused."""

import pytest

from pcrlog import limits
from pcrlog.attestation import Document, Trust, cbor, cose, genuine, platform
from pcrlog.attestation.simulator import Simulator
from pcrlog.errors import MalformedError, VerificationError

TIME = 1_795_417_205_678
PCRS = {f"PCR{number}": bytes([number + 1]) * 48 for number in range(3)}
NITRO = platform("aws-nitro")
ZERO = bytes(48)
IMAGE: dict[int | str, cbor.Value] = {0: ZERO, 1: ZERO, 2: ZERO}

Map = dict[int | str, cbor.Value]


def verify(simulator: Simulator, data: bytes) -> Document:
    return genuine(NITRO.name, data, Trust((simulator.root_der,), 0))[0]


def payload_of(data: bytes) -> Map:
    payload = cbor.decode(cose.parse(data).payload)
    assert isinstance(payload, dict)
    return payload


@pytest.fixture
def honest(simulator: Simulator) -> Map:
    """An honest payload, to be changed."""
    return payload_of(simulator.document(time=TIME, registers=PCRS))


def test_a_document_says_what_was_signed(simulator: Simulator) -> None:
    data = simulator.document(
        time=TIME, registers=PCRS, nonce=b"n", user_data=b"", public_key=b"key"
    )
    document = verify(simulator, data)
    assert document.platform == NITRO.name == "aws-nitro"
    assert document.time == TIME
    assert (document.nonce, document.user_data) == (b"n", b"")
    assert document.public_key == b"key"
    assert document.module_id == simulator.module_id
    assert document.registers["PCR1"] == "sha384:" + "02" * 48
    assert list(document.registers) == [f"PCR{number}" for number in range(16)]
    assert not document.debug
    assert document.notes == ()


# Envelope: each of these is signed, and rightly, where a signature is in question.


def test_a_tagged_document_is_accepted(simulator: Simulator) -> None:
    data = b"\xd2" + simulator.document(time=TIME, registers=PCRS)
    assert verify(simulator, data).registers["PCR0"] == "sha384:" + "01" * 48


def test_definite_and_indefinite_payloads_are_accepted(
    simulator: Simulator, honest: Map
) -> None:
    # AWS changed from the one to the other in 2025 (ATTEST.md 0.2); nitro-validator PRs
    # 23 to 36 show what that broke.
    indefinite = simulator.document(time=TIME, registers=PCRS)
    definite = simulator.sign(cbor.encode(honest))
    assert cose.parse(indefinite).payload[0] == 0xBF
    assert cose.parse(definite).payload[0] == 0xA9
    assert verify(simulator, definite) == verify(simulator, indefinite)


def test_the_unprotected_header_is_ignored(simulator: Simulator, honest: Map) -> None:
    unprotected = cbor.encode({1: -7, "x5chain": b"junk"})
    data = simulator.sign(cbor.encode(honest), unprotected=unprotected)
    assert verify(simulator, data).notes == ()


@pytest.mark.parametrize("protected", [{}, {1: -7}, {1: -35, 4: b"kid"}])
def test_another_algorithm_is_refused(
    simulator: Simulator, honest: Map, protected: Map
) -> None:
    data = simulator.sign(cbor.encode(honest), protected=cbor.encode(protected))
    with pytest.raises(MalformedError, match="protected header"):
        NITRO.parse(data)


@pytest.mark.parametrize("suffix", [b"\x00", b"\xff", b"\xf6", b"\xa0"])
def test_no_bytes_follow_document_or_payload(
    simulator: Simulator, honest: Map, suffix: bytes
) -> None:
    with pytest.raises(MalformedError, match="expected the end"):
        NITRO.parse(simulator.document(time=TIME, registers=PCRS) + suffix)
    with pytest.raises(MalformedError, match="expected the end"):
        NITRO.parse(simulator.sign(cbor.encode(honest) + suffix))


def test_a_member_given_twice_is_refused(simulator: Simulator) -> None:
    # Last one wins, elsewhere (ATTEST.md 1.6: nitro-validator PR 36).
    payload = cose.parse(simulator.document(time=TIME, registers=PCRS)).payload
    again = payload[:-1] + cbor.encode("nonce") + cbor.encode(b"ours") + b"\xff"
    with pytest.raises(MalformedError, match="'nonce' again"):
        NITRO.parse(simulator.sign(again))


def test_a_register_given_twice_is_refused(simulator: Simulator, honest: Map) -> None:
    once = cbor.encode(honest["pcrs"])
    twice = bytes([once[0] + 1]) + once[1:] + cbor.encode(0) + cbor.encode(ZERO)
    payload = cbor.encode(honest).replace(once, twice)
    with pytest.raises(MalformedError, match="expected a map with each key once"):
        NITRO.parse(simulator.sign(payload))


@pytest.mark.parametrize("key", [b"\xf4", b"\xf5", b"\xf9\x3c\x00"])
def test_true_is_not_register_1(simulator: Simulator, honest: Map, key: bytes) -> None:
    payload = cbor.encode(honest).replace(
        b"\x01\x58\x30" + PCRS["PCR1"], key + b"\x58\x30" + PCRS["PCR1"]
    )
    with pytest.raises(MalformedError, match="CBOR at byte"):
        NITRO.parse(simulator.sign(payload))


@pytest.mark.parametrize("payload", [None, (), b"", 1, "map"])
def test_the_payload_is_a_map(simulator: Simulator, payload: cbor.Value) -> None:
    with pytest.raises(MalformedError, match="payload: expected a map"):
        NITRO.parse(simulator.sign(cbor.encode(payload)))


def test_a_document_beyond_the_limit_is_not_even_parsed(simulator: Simulator) -> None:
    filler = b"x" * limits.ATTESTATION
    data = simulator.document(time=TIME, registers=PCRS, filler=filler)
    with pytest.raises(MalformedError, match=f"expected at most {limits.ATTESTATION}"):
        NITRO.parse(data)
    with pytest.raises(MalformedError, match=f"expected at most {limits.ATTESTATION}"):
        NITRO.parse(bytes(limits.ATTESTATION + 1))


# Members.


@pytest.mark.parametrize(
    "field", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"]
)
def test_what_is_mandatory_is_neither_absent_nor_null(
    simulator: Simulator, honest: Map, field: str
) -> None:
    null = simulator.sign(cbor.encode(honest | {field: None}))
    del honest[field]
    absent = simulator.sign(cbor.encode(honest))
    for data in (null, absent):
        with pytest.raises(MalformedError, match=f"{field}: expected .* found nothing"):
            NITRO.parse(data)


@pytest.mark.parametrize("field", ["public_key", "user_data", "nonce"])
def test_null_is_absent_and_empty_is_not(
    simulator: Simulator, honest: Map, field: str
) -> None:
    # ATTEST.md 1.6: Cantina 3.2.5, hf/nitrite issue 1.
    empty = simulator.sign(cbor.encode(honest | {field: b""}))
    null = simulator.sign(cbor.encode(honest | {field: None}))
    del honest[field]
    absent = simulator.sign(cbor.encode(honest))
    assert getattr(verify(simulator, empty), field) == b""
    assert getattr(verify(simulator, null), field) is None
    assert getattr(verify(simulator, absent), field) is None


@pytest.mark.parametrize("field", ["public_key", "user_data", "nonce"])
def test_free_fields_have_up_to_1024_bytes(
    simulator: Simulator, honest: Map, field: str
) -> None:
    longest = simulator.sign(cbor.encode(honest | {field: bytes(1024)}))
    assert getattr(verify(simulator, longest), field) == bytes(1024)
    longer = simulator.sign(cbor.encode(honest | {field: bytes(1025)}))
    with pytest.raises(MalformedError, match=rf"{field}: .*found bytes of 1025"):
        NITRO.parse(longer)


WRONG: list[tuple[str, cbor.Value]] = [
    ("module_id", ""),
    ("module_id", b"i-0-enc0"),
    ("module_id", 1),
    ("digest", "SHA256"),
    ("digest", "sha384"),
    ("digest", b"SHA384"),
    ("digest", -43),
    ("timestamp", 0),
    ("timestamp", -1),
    ("timestamp", True),
    ("timestamp", "1795417205678"),
    ("timestamp", 253_402_300_800_000),
    ("timestamp", (1 << 64) - 1),
    ("pcrs", {}),
    ("pcrs", (ZERO, ZERO, ZERO)),
    ("pcrs", {"0": ZERO, "1": ZERO, "2": ZERO}),
    ("pcrs", IMAGE | {32: ZERO}),
    ("pcrs", IMAGE | {-1: ZERO}),
    ("pcrs", IMAGE | {3: ZERO[1:]}),
    ("pcrs", IMAGE | {3: b""}),
    ("pcrs", IMAGE | {3: "0" * 48}),
    ("pcrs", IMAGE | {3: None}),
    ("pcrs", IMAGE | {3: bytes(32)}),
    ("pcrs", dict.fromkeys(range(33), ZERO)),
    ("pcrs", {0: ZERO, 1: ZERO}),
    ("pcrs", {0: ZERO, 2: ZERO, 4: ZERO}),
    ("certificate", b""),
    ("certificate", "text"),
    ("certificate", bytes(1025)),
    ("cabundle", ()),
    ("cabundle", b"root"),
    ("cabundle", {}),
    ("cabundle", (b"",)),
    ("cabundle", ("root",)),
    ("cabundle", (b"root", None)),
    ("cabundle", (bytes(1025),)),
    ("public_key", "text"),
    ("public_key", 0),
    ("public_key", False),
    ("user_data", ()),
    ("user_data", {}),
    ("nonce", "6e6f6e6365"),
    ("nonce", (1, 2)),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_types_sizes_and_numbers_are_refused(
    simulator: Simulator, honest: Map, field: str, value: cbor.Value
) -> None:
    data = simulator.sign(cbor.encode(honest | {field: value}))
    with pytest.raises(
        MalformedError, match=rf"^attestation document, {field}.*: expect"
    ):
        NITRO.parse(data)


def test_the_last_millisecond_that_can_be_written_is_read(simulator: Simulator) -> None:
    last = 253_402_300_799_999
    signed = NITRO.parse(
        simulator.document(time=TIME, registers=PCRS, timestamp=last)
    ).verify_signature()
    with pytest.raises(VerificationError, match="not hold at 9999-12-31T23:59:59Z"):
        signed.verify_chain([simulator.root_der])


def test_unknown_members_are_noted_and_ignored(
    simulator: Simulator, honest: Map
) -> None:
    more: Map = {"enclave": {"a": (None, True)}, 7: 1, "\x1b[2J": "esc"}
    document = verify(simulator, simulator.sign(cbor.encode(honest | more)))
    assert (
        document.registers
        == verify(simulator, simulator.document(time=TIME, registers=PCRS)).registers
    )
    assert document.notes == (
        "the document has a field unknown to pcrlog: 'enclave'",
        "the document has a field unknown to pcrlog: '7'",
        r"the document has a field unknown to pcrlog: '\x1b[2J'",
    )


# Registers.


@pytest.mark.parametrize(
    ("size", "algorithm"), [(32, "sha256"), (48, "sha384"), (64, "sha512")]
)
def test_the_length_names_the_algorithm(
    simulator: Simulator, size: int, algorithm: str
) -> None:
    pcrs: Map = dict.fromkeys(range(32), b"\x0a" * size)
    data = simulator.document(time=TIME, registers={}, pcrs=pcrs)
    registers = verify(simulator, data).registers
    assert registers == {f"PCR{n}": f"{algorithm}:" + "0a" * size for n in range(32)}


def test_registers_need_not_be_without_gaps_nor_in_order(simulator: Simulator) -> None:
    # ATTEST.md 1.6: Cantina 3.1.1.
    numbers = (8, 2, 1, 0, 4, 3)
    pcrs: Map = dict.fromkeys(numbers, b"\x01" * 48)
    data = simulator.document(time=TIME, registers={}, pcrs=pcrs)
    names = ["PCR0", "PCR1", "PCR2", "PCR3", "PCR4", "PCR8"]
    assert list(verify(simulator, data).registers) == names


@pytest.mark.parametrize(
    ("registers", "debug"),
    [
        ({}, True),
        ({"PCR3": b"\1" * 48, "PCR8": b"\1" * 48}, True),
        ({"PCR0": b"\1" * 48}, False),
        ({"PCR1": bytes(47) + b"\1"}, False),
        ({"PCR2": b"\x10" + bytes(47)}, False),
    ],
)
def test_debug_is_pcr0_to_2_zero_whatever_the_others_are(
    simulator: Simulator, registers: dict[str, bytes], *, debug: bool
) -> None:
    # ATTEST.md 1.6: Cantina 3.2.1, base/base PR 4042.
    document = verify(simulator, simulator.document(time=TIME, registers=registers))
    assert document.registers["PCR4"].strip("0") != "sha384:"
    assert bool(document.debug) is debug


# Signature, and notes.


@pytest.mark.parametrize(
    ("field", "value"),
    [("nonce", b"other"), ("pcrs", IMAGE), ("timestamp", TIME + 1), ("user_data", b"")],
)
def test_a_claim_changed_after_signing_is_refused(
    simulator: Simulator, honest: Map, field: str, value: cbor.Value
) -> None:
    data = simulator.sign(cbor.encode(honest))
    other = simulator.sign(cbor.encode(honest | {field: value}))
    with pytest.raises(VerificationError, match="COSE signature"):
        NITRO.parse(other[:-96] + data[-96:]).verify_signature()


def test_a_document_signed_by_another_key_is_refused(simulator: Simulator) -> None:
    *cas, leaf = Simulator(b"other").chain(TIME)
    data = simulator.document(
        time=TIME, registers=PCRS, certificate=leaf, cabundle=tuple(cas)
    )
    with pytest.raises(VerificationError, match="COSE signature"):
        NITRO.parse(data).verify_signature()


@pytest.mark.parametrize("numbers", [(0, 1, 2, 3), (0, 1, 2, 3, 4)])
def test_an_unusual_pcr4_is_noted(
    simulator: Simulator, numbers: tuple[int, ...]
) -> None:
    pcrs: Map = dict.fromkeys(numbers, b"\x01" * 48)
    data = simulator.document(time=TIME, registers={}, pcrs=pcrs)
    (note,) = verify(simulator, data).notes
    assert note == "PCR4 is not the hash of the instance that module_id names"


def test_a_certificate_for_another_module_is_noted(simulator: Simulator) -> None:
    module = simulator.instance_id + "-enc0000000000000000"
    data = simulator.document(time=TIME, registers=PCRS, module_id=module)
    (note,) = verify(simulator, data).notes
    assert note.startswith(f"its certificate is for '{simulator.module_id}.")
