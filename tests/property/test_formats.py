"""Round trips of notes, checkpoints, seals, proofs, tiles, envelopes and the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrlog import limits, request, tiles, trie
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import Checkpoint, cosign, cosignatures, open_checkpoint
from pcrlog.encoding import LATEST
from pcrlog.envelope import Envelope, assemble
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.measurement import parse_measurement, registers_in, spell
from pcrlog.note import COSIGNATURE, NoteSigner, SignatureLine, UnverifiedNote
from pcrlog.proof import Proof
from pcrlog.request import Request, Rotation
from pcrlog.seal import Seal
from tests.property.test_mangled import FORMATS, Format
from tests.support.memory_log import key

HASHES = st.binary(min_size=32, max_size=32)
SEEDS = HASHES
U63 = st.integers(0, 2**63 - 1)
TEXT = st.characters(exclude_categories=["Cs"]).filter(lambda c: c >= " ")
LINES = st.text(TEXT, max_size=20)
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
NAMES = st.text(
    TEXT.filter(lambda c: c != "+" and not c.isspace()), min_size=1, max_size=20
)
KEYIDS = HASHES.map(bytes.hex)


# --- notes ---------------------------------------------------------------------------


@given(st.lists(LINES, min_size=1, max_size=5), NAMES, SEEDS)
def test_any_note_verifies_when_it_is_read_again(
    lines: list[str], name: str, seed: bytes
) -> None:
    text = "".join(f"{line}\n" for line in lines)
    signer = NoteSigner(name, seed)
    note = UnverifiedNote.parse(bytes(signer.sign(text)))
    assert note.verify(signer.public) == text


@given(
    LINES,
    st.lists(
        st.builds(
            SignatureLine,
            NAMES,
            st.binary(min_size=4, max_size=4),
            st.binary(min_size=1, max_size=80),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_any_signature_lines_are_read_as_they_were_written(
    line: str, lines: list[SignatureLine]
) -> None:
    note = UnverifiedNote(f"{line}\n", tuple(lines))
    assert UnverifiedNote.parse(bytes(note)) == note


@given(NAMES, SEEDS, st.sampled_from([1, 4]))
def test_any_signer_is_read_as_it_was_written(
    name: str, seed: bytes, kind: int
) -> None:
    signer = NoteSigner(name, seed, kind)
    assert NoteSigner.parse(signer.skey()).public == signer.public
    assert type(signer.public).parse(str(signer.public)) == signer.public


@given(LINES.filter(bool), U63, HASHES, U63, SEEDS)
def test_any_checkpoint_is_opened_and_cosigned(
    origin: str, size: int, root: bytes, seconds: int, seed: bytes
) -> None:
    checkpoint = Checkpoint(origin, size, root)
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    signer = NoteSigner("log.example/pcr", seed)
    witness = NoteSigner("w.example", seed, COSIGNATURE)
    note = signer.sign(checkpoint.text())
    line = cosign(note.text, witness, seconds)
    both = UnverifiedNote.parse(bytes(UnverifiedNote(note.text, (line, *note.lines))))
    assert cosignatures(both, [witness.public]) == {witness.public: seconds}
    if origin == signer.public.name:
        assert open_checkpoint(both, signer.public) == checkpoint
    else:
        with pytest.raises(VerificationError):
            open_checkpoint(both, signer.public)


@given(U63, st.integers(0, LATEST), HASHES, st.booleans())
def test_any_seal_is_read_as_it_was_written(
    count: int,
    time: int,
    root: bytes,
    frozen: bool,  # noqa: FBT001 - an example, not an option
) -> None:
    seal = Seal(count, time, root, frozen)
    assert Seal.parse(seal.encode()) == seal


# --- tiles and proofs ----------------------------------------------------------------

TILES = st.builds(
    tiles.Tile,
    st.none() | st.integers(0, 7),
    st.integers(0, 2**55 - 1) | st.integers(0, 2000),
    st.integers(1, 256),
)


@given(TILES)
def test_any_tile_has_one_path(tile: tiles.Tile) -> None:
    assert tiles.parse_path(tile.path()) == tile


@given(st.text("tile/entris0127x.p-\n", max_size=30))
def test_a_path_that_is_taken_is_what_would_be_written(path: str) -> None:
    try:
        tile = tiles.parse_path(path)
    except MalformedError:
        return
    assert tile.path() == path


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_any_entry_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    data = tiles.encode_bundle(entries)
    assert tiles.parse_bundle(data, len(entries)) == tuple(entries)
    for width in {len(entries) - 1, len(entries) + 1} - {-1}:
        with pytest.raises(MalformedError):
            tiles.parse_bundle(data, width)


@given(U63, st.lists(HASHES, max_size=63), st.binary(max_size=50))
def test_any_proof_is_read_as_it_was_written(
    index: int, hashes: list[bytes], note: bytes
) -> None:
    proof = Proof(index, tuple(hashes), note)
    assert Proof.parse(proof.encode()) == proof


# --- measurements --------------------------------------------------------------------

WORDS = st.from_regex(r"[0-9A-Za-z_]{1,32}", fullmatch=True)
DIGESTS = st.from_regex(r"[0-9A-Za-z_]{1,32}:[0-9a-f]{2,128}", fullmatch=True)


@given(
    st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
    st.dictionaries(WORDS, DIGESTS, min_size=1, max_size=4),
)
def test_any_measurement_is_read_as_it_was_spelled(
    platform: str, registers: dict[str, str]
) -> None:
    [m] = spell([list(registers)], registers)
    assert parse_measurement(f"{platform}/{m}") == (platform, m)
    assert registers_in(m) == registers


# --- envelopes, requests, bundles ----------------------------------------------------

SIGNATURES = st.dictionaries(KEYIDS, st.binary(max_size=80), min_size=1, max_size=2)


@given(st.binary(max_size=200), SIGNATURES)
def test_any_envelope_is_read_as_it_was_written(
    payload: bytes, signatures: dict[str, bytes]
) -> None:
    raw = assemble(payload, signatures.items())
    envelope = Envelope.parse(raw)
    assert (envelope.payload, envelope.signatures) == (payload, signatures)
    assert Envelope.rebuild(payload, envelope.rows) == envelope


@given(
    st.lists(st.sampled_from(["one", "other", "third"]), max_size=3),
    st.none()
    | st.builds(
        Rotation,
        st.binary(max_size=50),
        st.dictionaries(KEYIDS, st.binary(max_size=80), min_size=1, max_size=2),
    ),
)
def test_any_request_is_read_as_it_was_written(
    seeds: list[str], rotation: Rotation | None
) -> None:
    keys = [key(seed) for seed in seeds]
    data = request.encode("log.example/pcr", "acme.example", keys, rotation)
    if not keys and rotation is None:
        with pytest.raises(MalformedError):
            Request.parse(data)
        return
    spki = tuple(one.public.spki for one in keys)
    assert Request.parse(data) == Request(
        "log.example/pcr", "acme.example", spki, rotation
    )


PATHS = st.lists(HASHES, max_size=5).map(tuple)
STEPS = st.dictionaries(st.integers(0, 255), HASHES, max_size=5).map(
    lambda steps: sorted(steps.items(), reverse=True)
)
ANSWERS = st.builds(
    lambda indices, steps: Answer(tuple(sorted(indices)), trie.encode_proof(steps)),
    st.sets(st.integers(0, 2**53 - 1), min_size=1, max_size=4),
    STEPS,
) | st.builds(
    lambda steps, name, value: Answer((), trie.encode_proof(steps, (name, value))),
    STEPS,
    HASHES,
    HASHES,
)
INCLUDED = st.builds(
    lambda signatures, number, proof: Included(
        Envelope.parse(assemble(b'{"a":%d}' % number, signatures.items())), proof
    ),
    SIGNATURES,
    st.integers(0, limits.INTEGER),
    PATHS,
)


@given(
    LINES,
    st.text(PRINTABLE, max_size=20),
    PATHS,
    st.dictionaries(st.text(VISIBLE, min_size=1, max_size=20), ANSWERS, max_size=4),
    st.dictionaries(st.integers(0, 2**53 - 1), INCLUDED, max_size=4),
)
def test_any_bundle_is_read_as_it_was_written(
    note: str,
    seal: str,
    proof: tuple[bytes, ...],
    answers: dict[str, Answer],
    entries: dict[int, Included],
) -> None:
    bundle = Bundle(note.encode(), seal.encode(), proof, answers, entries)
    data = bundle.encode()
    assert Bundle.parse(data) == bundle
    assert Bundle.parse(data).encode() == data


# --- whatever comes ------------------------------------------------------------------


def assert_own_errors(form: Format, data: bytes) -> None:
    """It is refused as its docstring says, or it has just that spelling."""
    try:
        again = form.recode(data)
    except form.refusals:
        return
    # The one line of all formats that is read and dropped.
    assert again == data or data.startswith(b"c2sp.org/tlog-proof@v1\nextra ")


@pytest.mark.parametrize("name", FORMATS)
@given(st.binary(max_size=200))
@settings(max_examples=40)
def test_arbitrary_bytes_raise_nothing_unforeseen(name: str, data: bytes) -> None:
    assert_own_errors(FORMATS[name], data)


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 30),
        st.binary(max_size=4)
        | st.sampled_from(
            [b"\n\n", b"null", b'""', b"{}", b"[]", b"1.0", b"-0", b"1e9", b"\\u0041"]
        ),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", FORMATS)
@given(EDITS)
@settings(max_examples=60)
def test_several_edits_at_once_raise_nothing_unforeseen(
    name: str, edits: list[tuple[float, int, bytes]]
) -> None:
    data = FORMATS[name].make()
    for place, length, inserted in edits:
        start = int(place * len(data))
        data = data[:start] + inserted + data[start + length :]
    assert_own_errors(FORMATS[name], data)
