"""What a stranger found in an evening with the code, one test a finding."""

import time
from typing import Any, Self

import msgspec
import pytest

from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import encode_base64, encode_json, format_time, printable
from pcrlog.envelope import Envelope, sign_envelope
from pcrlog.errors import MalformedError, TransportError, VerificationError
from pcrlog.index_keys import index_keys, keys_of_payload
from pcrlog.note import UnverifiedNote
from pcrlog.policy import Policy
from pcrlog.predicates import Basis
from pcrlog.reader import Reader
from pcrlog.transport import Client
from tests.support.memory_log import START, active, key
from tests.support.scene import (
    BAD,
    COMMIT,
    GOOD,
    LENS,
    PROVIDER,
    Inputs,
    Scene,
    compromise,
    ladder,
    not_passed,
)

SECONDS = 20.0
"""Of processor time; what is bounded here grew with the cube of what a log holds."""


def spent(inputs: Inputs) -> float:
    begun = time.process_time()
    inputs.report()
    return time.process_time() - begun


def test_many_releases_rivals_and_revocations_are_judged_once_each() -> None:
    """A provider alone may fill its answers; verifiers must not pay for it."""
    scene, log = Scene(), Scene().log
    log = scene.log
    bare: dict[str, Any] = {"source": None, "build": None}
    for n in range(150):
        log.now = START + n
        scene.release("1.0.0", **bare)
    rivals = []
    for n in range(150):
        log.now = START + n
        rivals.append(scene.release("1.0.0", BAD, **bare))
    for index in rivals:
        later = format_time(START + 10**8)
        log.revoke(PROVIDER, "withdrawn", index, effective=later)
    log.now = START + 1000
    pins = {"pins": {PROVIDER: [key(PROVIDER).public.keyid]}}
    assert spent(scene.inputs(policy=scene.policy(product=pins))) < SECONDS / 4


def test_many_reviews_on_one_basis_are_judged_once_each() -> None:
    scene = Scene()
    scene.release()
    older = "0e" * 20
    first = scene.review(LENS, older)
    basis = Basis(older, scene.log.entries[first].sha256)
    for n in range(80):
        scene.log.now = START + n
        scene.review(LENS, COMMIT, basis=basis)
        failed = scene.review(LENS, older, result="fail")
        scene.log.revoke(LENS, "erroneous", failed)
    assert spent(scene.inputs()) < SECONDS / 4


def test_no_words_of_a_bundle_command_the_terminal() -> None:
    scene = Scene()
    scene.release()
    name = "\\u001b[2J\\u001b[HVERIFIED TO LINK 7 OF 7"
    report = scene.inputs(bundle=b'{"%s":1}' % name.encode()).report()
    assert report.headline.isprintable()
    with pytest.raises(MalformedError) as caught:
        Bundle.parse(b'{"%s":1}' % name.encode())
    assert str(caught.value).isprintable()
    assert printable("a\x1b[2Jb\x9b\u202ec") == "a?[2Jb??c"


def test_the_origin_of_a_strange_log_does_not_either() -> None:
    scene = Scene()
    made = scene.inputs()
    note = (
        "\x9b2J\u202eevil\n1\n" + encode_base64(bytes(32)) + "\n\n\u2014 a AAAAAAA=\n"
    )
    bundle = msgspec.structs.replace(made.parsed, note=note.encode())
    assert made.tampered(bundle).headline.isprintable()


@pytest.mark.parametrize("statement", [b'{ "b":1,"a":2}', b'{"b":1,"a":2}', b"[1]"])
def test_a_bundle_has_statements_in_their_one_spelling(statement: bytes) -> None:
    envelope = Envelope.parse(sign_envelope(b'{"a":2,"b":1}', [key(PROVIDER)]))
    data = Bundle(b"n", b"s", (), {}, {0: Included(envelope, ())}).encode()
    assert Bundle.parse(data).entries[0].envelope == envelope
    assert b'{"a":2,"b":1}' in data
    with pytest.raises(MalformedError):
        Bundle.parse(data.replace(b'{"a":2,"b":1}', statement))


@pytest.mark.parametrize(
    "old", [b'"leaf":"s"', b'"key":"k"', b'"a":"b"'], ids=["seal", "key", "statement"]
)
def test_only_the_note_of_a_bundle_goes_beyond_ascii(old: bytes) -> None:
    envelope = Envelope.parse(sign_envelope(b'{"a":"b"}', [key(PROVIDER)]))
    entries = {0: Included(envelope, ())}
    data = Bundle(
        "n\u2014".encode(), b"s", (), {"k": Answer((), b"")}, entries
    ).encode()
    Bundle.parse(data)
    with pytest.raises(MalformedError):
        Bundle.parse(data.replace(old, old[:-2] + 'é"'.encode()))


def test_index_keys_are_not_forgotten_for_want_of_stack() -> None:
    deep: dict[str, Any] = {
        "predicateType": "x",
        "predicate": {"issuer": "a.example"},
        "z": [],
    }
    for _ in range(400):
        deep["z"] = [deep["z"]]
    payload = encode_json(deep)

    def below(frames: int) -> tuple[str, ...]:
        return below(frames - 1) if frames else keys_of_payload(payload)

    with pytest.raises(RecursionError):
        below(900)
    assert keys_of_payload(payload) == ("v1/issuer/a.example",)


def test_index_keys_of_a_large_payload_are_not_kept() -> None:
    from pcrlog import index_keys as module  # noqa: PLC0415 - for its cache alone

    before = module._remembered_keys_of.cache_info().currsize
    payload = encode_json({"predicateType": "x", "predicate": {}, "z": "z" * 5000})
    assert keys_of_payload(payload) == ()
    assert module._remembered_keys_of.cache_info().currsize == before
    assert index_keys(b"{}") == ()


def test_a_lowest_version_refutes_nothing_while_an_answer_is_missing() -> None:
    scene = Scene()
    scene.release("1.0.0", GOOD | {"PCR1": BAD["PCR1"]})
    made = scene.inputs(policy=scene.policy(product={"lowest_version": "2.0.0"}))
    assert ladder(made.report())[1] == "m"
    bundle = made.parsed
    lacking = next(name for name in bundle.answers if name.startswith("v1/by/lens"))
    answers = {k: a for k, a in bundle.answers.items() if k != lacking}
    report = made.tampered(msgspec.structs.replace(bundle, answers=answers))
    assert not_passed(report)["release.version"] == "unchecked"
    assert report.exit_code == 3


@pytest.mark.parametrize(("old", "new"), [(0, 5), (9, 5)])
def test_nothing_leads_from_no_tree_or_back(old: int, new: int) -> None:
    scene = Scene()
    log = next(iter(scene.policy().logs.values()))
    reader = Reader(lambda _path, _most: b"", log, scene.log.now)
    one, other = (Checkpoint(scene.log.origin, n, bytes(32)) for n in (old, new))
    with pytest.raises(VerificationError, match="nothing leads from"):
        reader.consistency(one, other)


def test_a_key_of_one_answer_does_not_spoil_the_next() -> None:
    scene = Scene()
    scene.release()
    scene.seal()
    log = next(iter(scene.policy().logs.values()))
    reader = Reader(lambda _path, _most: b"", log, scene.log.now)
    bundle = scene.log.bundle("acme.example/wallet", GOOD)
    answers = reader.open(bundle.encode())
    with pytest.raises(Exception, match="v1/issuer/nobody"):
        answers.ask("v1/issuer/nobody.example")
    assert answers.ask("v1/identity/acme.example")


def test_a_signature_line_has_a_name_of_255_bytes_at_most() -> None:
    for length in (255, 256):
        note = f"t\n\n\u2014 {'a' * length} AAAAAAA=\n".encode()
        if length == 255:
            assert UnverifiedNote.parse(note).lines[0].name == "a" * 255
        else:
            with pytest.raises(MalformedError):
                UnverifiedNote.parse(note)


def test_dots_in_a_comment_or_a_string_are_no_key() -> None:
    scene = Scene()
    text = scene.policy_text() + f"\n# {'.' * 200}\n"
    Policy.parse(text.encode())


class Elsewhere:
    """A session whose every answer leads to plain http."""

    status_code, is_redirect = 302, True
    headers = {"Location": "http://elsewhere.example/"}  # noqa: RUF012 - a fixture

    def request(self, *_: object, **__: object) -> "Elsewhere":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_https_does_not_lead_to_plain_http() -> None:
    client = Client("https://log.example")
    client._session = Elsewhere()  # type: ignore[assignment] # what it needs of one
    with pytest.raises(TransportError, match="leads to plain http"):
        client("checkpoint", 100)


def test_a_compromise_that_is_said_again_changes_no_judgement() -> None:
    scene = Scene()
    second = key("second")
    rows = active(key(PROVIDER), second)
    signers = [scene.log.enrol, key(PROVIDER)]
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"])
    at = scene.release()
    compromise(scene, PROVIDER, since=at)
    authority = scene.log.authority
    assert authority.is_void(scene.log.entries[at])
    known = dict(authority._states)
    compromise(scene, PROVIDER, since=at + 1)
    assert known.items() <= authority._states.items()
    assert authority.is_void(scene.log.entries[at])
    compromise(scene, PROVIDER, since=0)
    assert not known.items() <= authority._states.items()
