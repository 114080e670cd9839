"""Successors of a policy (PROTOCOL.md 4.6); each rule stands in the vectors, too."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer._crypto_signer import CryptoSigner
from securesystemslib.signer._key import SSlibKey

from pcrlog import limits
from pcrlog.encoding import encode_base64
from pcrlog.envelope import sign_envelope
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.keys import ECDSA_P256, SigningKey
from pcrlog.policy import Policy
from pcrlog.policy_update import (
    PAYLOAD_TYPE,
    Update,
    check_signatures,
    follow,
    parse_updates,
    sign,
    signers_of,
)
from tests.conformance.policies import GONE, changed, spelled
from tests.conformance.updates import (
    FIRST,
    GOOD,
    NOW,
    SECOND,
    A,
    B,
    C,
    D,
    after,
    line,
    named,
)


def test_whoever_signs_with_another_algorithm_signs_too() -> None:
    key = SigningKey.generate(ECDSA_P256)
    first = spelled(changed({"successor": named(1, key)}))
    second = after(first, {"successor": named(2, key, A)})
    found = follow(first, line(second, key, A), NOW)
    assert (found.data, found.steps, found.policy.version) == (second, 1, 2)


def test_a_chain_is_followed_from_wherever_one_stands() -> None:
    data, lines = FIRST, []
    held = [FIRST]
    for _ in range(5):
        data = after(data)
        held.append(data)
        lines.append(line(data, B, C))
    whole = b"".join(lines)
    for steps, mine in enumerate(reversed(held)):
        found = follow(mine, whole, NOW)
        assert (found.data, found.steps) == (data, steps)
        assert found.policy == Policy.parse(data)


@pytest.mark.parametrize("place", range(0, len(GOOD) - 1, 7))
def test_no_byte_of_an_update_can_be_changed(place: int) -> None:
    other = GOOD[:place] + bytes([GOOD[place] ^ 1]) + GOOD[place + 1 :]
    with pytest.raises(PcrlogError):
        follow(FIRST, other, NOW)


@pytest.mark.parametrize("end", range(0, len(GOOD), 97))
def test_no_part_of_an_update_is_one(end: int) -> None:
    with pytest.raises(MalformedError):
        follow(FIRST, GOOD[:end], NOW)


def test_a_signature_over_a_statement_is_none_over_a_policy() -> None:
    """Whoever signs releases with the same key has signed no policy with them."""
    stolen = json.loads(sign_envelope(SECOND, [A, B]))
    rows = {one["keyid"]: base64.b64decode(one["sig"]) for one in stolen["signatures"]}
    with pytest.raises(VerificationError, match="does not verify"):
        follow(FIRST, Update(SECOND, rows).encode() + b"\n", NOW)


def test_the_last_second_of_a_policy_is_before_its_end() -> None:
    last = after(FIRST, {"valid_until": "2026-11-23T07:00:00Z"})
    given = line(last, A, B)
    assert follow(FIRST, given, NOW - 1).data == last
    with pytest.raises(UncheckedError, match=r"version 2, ran out on 2026-11-23T07"):
        follow(FIRST, given, NOW)


def test_the_own_policy_has_to_be_valid_too_if_it_is_the_newest() -> None:
    first = spelled(
        changed({"successor": named(1, A), "valid_until": "2020-01-01T00:00:00Z"})
    )
    second = after(first, {"valid_until": "2021-01-01T00:00:00Z"})
    with pytest.raises(UncheckedError, match="ran out on 2021"):
        follow(second, line(second, A, B), NOW)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (line(after(SECOND), A, B), UncheckedError, "begin with version 3, and yours"),
        (
            line(after(FIRST, {"archives": True}), A) + line(after(SECOND), A),
            VerificationError,
            "signed by 1 of the keys of version 1, want 2",
        ),
        (line(SECOND, A, B, D), VerificationError, "whom nobody named"),
        (line(after(FIRST, {"successor": named(1, D)}), A, B), VerificationError,
         "signed by 0 of the keys of its own, want 1"),
        (line(after(FIRST, {"previous": GONE}), A, B), VerificationError,
         "found version 2 after None"),
        (line(SECOND + b"later = 1\n", A, B), UncheckedError, "upgrade pcrlog"),
        (line(b"later = 1\n", A, B), UncheckedError, "upgrade pcrlog"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    given: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        follow(FIRST, given, NOW)


def test_a_fork_is_told_from_what_is_older() -> None:
    other = after(FIRST, {"archives": True})
    with pytest.raises(VerificationError, match="another version 2 than yours"):
        follow(other, GOOD + line(after(SECOND), A, B), NOW)
    third = after(SECOND)
    with pytest.raises(UncheckedError, match="end before yours, which is version 3"):
        follow(third, GOOD, NOW)


def test_a_policy_of_nobodys_follows_nobody() -> None:
    with pytest.raises(UsageError, match="names nobody"):
        follow(spelled(changed({})), GOOD, NOW)
    with pytest.raises(UsageError, match="policy"):
        follow(b"?", GOOD, NOW)


def test_updates_are_bounded() -> None:
    padded = GOOD * (limits.UPDATES // len(GOOD) + 1)
    with pytest.raises(MalformedError, match=f"at most {limits.UPDATES}"):
        parse_updates(padded)
    large = SECOND + b"#" * (limits.POLICY + 1 - len(SECOND))
    with pytest.raises(MalformedError, match=f"at most {limits.POLICY}"):
        parse_updates(line(large, A, B))
    assert len(parse_updates(line(large[:-1], A, B))) == 1
    signatures = {f"{n:064x}": b"" for n in range(2 * limits.POLICY_KEYS + 1)}
    with pytest.raises(MalformedError):
        parse_updates(Update(SECOND, signatures).encode() + b"\n")


def test_signatures_are_gathered_one_by_one() -> None:
    known = {**signers_of(Policy.parse(FIRST)), **signers_of(Policy.parse(SECOND))}
    one = sign(Update(SECOND, {}), [A])
    check_signatures(one, known)
    with pytest.raises(VerificationError, match="signed by 1 of the keys"):
        follow(FIRST, one.encode() + b"\n", NOW)
    both = sign(Update.parse(one.encode()), [B])
    assert both.encode() + b"\n" == GOOD
    with pytest.raises(VerificationError, match="whom neither policy names"):
        check_signatures(sign(one, [D]), known)
    wrong = Update(SECOND, {A.public.keyid: B.sign(b"")})
    with pytest.raises(VerificationError, match="does not verify"):
        check_signatures(wrong, known)
    assert signers_of(Policy.parse(spelled(changed({})))) == {}


# --- securesystemslib, whose DSSE nobody here wrote -----------------------------------


def their_key(key: SigningKey) -> SSlibKey:
    public = load_der_public_key(key.public.spki)
    assert isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey)
    return SSlibKey.from_crypto(public, keyid=key.public.keyid)


def test_they_verify_what_we_sign() -> None:
    theirs = TheirEnvelope.from_dict(json.loads(GOOD))
    assert theirs.payload_type == PAYLOAD_TYPE
    accepted = theirs.verify([their_key(one) for one in (A, B, C)], 2)
    assert set(accepted) == {A.public.keyid, B.public.keyid}


def test_we_follow_what_they_sign() -> None:
    theirs = TheirEnvelope(SECOND, PAYLOAD_TYPE, {})
    for key in (A, B):
        signer: Any = CryptoSigner(key._key, their_key(key))
        theirs.sign(signer)
    rows = {keyid: bytes.fromhex(s.signature) for keyid, s in theirs.signatures.items()}
    made = Update(SECOND, rows).encode() + b"\n"
    assert made == GOOD
    assert encode_base64(theirs.payload).encode() in made
    assert follow(FIRST, made, NOW).data == SECOND
