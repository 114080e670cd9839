"""Successors of a policy, so that an app in the field can follow it for years.

A policy names who may sign the one after it (PROTOCOL.md 4.6, adr/0052):

    [successor]
    quorum = 2
    keys = ["MCowBQYDK2VwAyEA...", ...]     a DER SubjectPublicKeyInfo each, in base64

The next policy is a whole file. It says `version`, one more, and `previous`, the
SHA-256 of the file before, and travels in a DSSE envelope of a payload type of its own:

    {"payload": base64 of the file,
     "payloadType": "application/vnd.pcrlog.policy+toml",
     "signatures": [{"keyid": hex, "sig": base64}, ...]}     ascending by keyid

It is taken if a quorum of the old policy's keys signed it, and a quorum of its own, so
that keys which nobody holds end no chain. A file of updates is one envelope a line,
each the successor of the one before. Whoever has any of them, or the one before the
first, follows to the last. Only the last has to be valid now: an app may have slept.

>>> pre_authentication_encoding(b"x")
b'DSSEv1 34 application/vnd.pcrlog.policy+toml 1 x'
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, field

from pcrlog import limits
from pcrlog.encoding import decode_json, encode_json, format_time, prepare, sha256
from pcrlog.envelope import Signature
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.keys import PublicKey, Signer
from pcrlog.policy import Policy, Successor

Keys: TypeAlias = Mapping[str, PublicKey]
"""By keyid."""
PAYLOAD_TYPE = "application/vnd.pcrlog.policy+toml"
_MOST_SIGNATURES = 2 * limits.POLICY_KEYS
"""Those of the old policy's keys, and those of the new one's."""


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    payload: bytes
    payload_type: str = field(name="payloadType")
    signatures: Annotated[
        tuple[Signature, ...], Meta(min_length=1, max_length=_MOST_SIGNATURES)
    ]


prepare(_Envelope)


class Update(Struct, frozen=True):
    """A policy file and signatures by keyid; nothing is verified yet."""

    unverified_policy: bytes
    signatures: Mapping[str, bytes]

    @classmethod
    def parse(cls, line: bytes) -> "Update":
        """Read one envelope.

        Raises:
            MalformedError: not canonical, another payload type, a policy that is too
                large, no signature or too many, or these not ascending by keyid.
        """
        envelope = decode_json(line, _Envelope)
        if envelope.payload_type != PAYLOAD_TYPE:
            message = f"update: expected payloadType {PAYLOAD_TYPE}"
            raise MalformedError(message)
        if len(envelope.payload) > limits.POLICY:
            message = f"update: a policy has at most {limits.POLICY} bytes"
            raise MalformedError(message)
        order = [one.keyid for one in envelope.signatures]
        if order != sorted(set(order)):
            message = "update: expected signatures ascending by keyid, each once"
            raise MalformedError(message)
        return cls(envelope.payload, {s.keyid: s.sig for s in envelope.signatures})

    def encode(self) -> bytes:
        """The envelope, without a line end."""
        rows = tuple(Signature(*row) for row in sorted(self.signatures.items()))
        return encode_json(_Envelope(self.unverified_policy, PAYLOAD_TYPE, rows))


class Followed(Struct, frozen=True):
    """Where a chain of successors led: the newest policy, its file, and the steps."""

    policy: Policy
    data: bytes
    steps: int


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What each signature is over (DSSE's PAE)."""
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload


def parse_updates(data: bytes) -> list[Update]:
    """The envelopes of a file of updates.

    Raises:
        MalformedError: too large, empty, too many, no line end at its end, or a line
            that is no envelope.
    """
    if len(data) > limits.UPDATES:
        message = f"updates have {len(data)} bytes, at most {limits.UPDATES}"
        raise MalformedError(message)
    *lines, rest = data.split(b"\n", limits.UPDATE_STEPS + 1)
    if rest or not 0 < len(lines) <= limits.UPDATE_STEPS:
        message = (
            f"updates: expected 1 to {limits.UPDATE_STEPS} envelopes, each ended by LF"
        )
        raise MalformedError(message)
    return [Update.parse(line) for line in lines]


def follow(current: bytes, updates: bytes, now: int) -> Followed:
    """From a policy to the newest one that its keys, and theirs, lead to.

    Args:
        current: the file that is in force.
        updates: a file of updates; those before `current` are passed over.
        now: unix seconds; the newest policy has to be valid.

    Returns:
        The newest policy, which is `current` if there is none after it.

    Raises:
        UsageError: `current` is no policy, or names nobody who may sign a successor.
        MalformedError: `updates` is not of its form.
        VerificationError: a successor is not signed by the quorums, or is not what
            comes after the one before it.
        UncheckedError: some are missing in between, this version cannot read one, or
            the newest has run out.
    """
    policy = Policy.parse(current)
    if policy.successor is None:
        message = "the policy names nobody who may sign its successor: get a new one"
        raise UsageError(message)
    data, steps = current, 0
    for update in _after(policy, parse_updates(updates)):
        policy = successor(policy, update)
        data, steps = update.unverified_policy, steps + 1
    if now >= policy.valid_until:
        message = (
            f"the newest policy there is, version {policy.version}, ran out on"
            f" {format_time(policy.valid_until)}: ask whoever signs it for a later one"
        )
        raise UncheckedError(message)
    return Followed(policy, data, steps)


def _after(policy: Policy, updates: Sequence[Update]) -> Sequence[Update]:
    """Those that come after a policy; nothing that they say is verified."""
    digests = [sha256(one.unverified_policy).hex() for one in updates]
    if policy.sha256 in digests:
        return updates[digests.index(policy.sha256) + 1 :]
    try:
        versions = [_told(one.unverified_policy) for one in updates]
    except UsageError as error:
        message = f"an update cannot be read: {error}; upgrade pcrlog?"
        raise UncheckedError(message) from error
    if versions[0] == policy.version + 1:
        return updates
    if policy.version in versions:
        message = (
            f"these updates hold another version {policy.version} than yours, which was"
            " changed, or is not theirs"
        )
        raise VerificationError(message)
    if versions[0] > policy.version:
        message = (
            f"these updates begin with version {versions[0]}, and yours is"
            f" {policy.version}: get those in between"
        )
        raise UncheckedError(message)
    message = f"these updates end before yours, which is version {policy.version}"
    raise UncheckedError(message)


def _told(unverified: bytes) -> int:
    return Policy.parse(unverified).version


def successor(policy: Policy, update: Update) -> Policy:
    """The policy in an update, if it is the one that comes after `policy`.

    Raises:
        VerificationError: it is not, or the quorums did not sign it.
        UncheckedError: they did, and this version of pcrlog cannot read it.
    """
    named = policy.successor
    if named is None:
        message = f"version {policy.version} names nobody who may sign a successor"
        raise VerificationError(message)
    signed = pre_authentication_encoding(update.unverified_policy)
    _check(named, update, signed, f"of version {policy.version}")
    try:
        after = Policy.parse(update.unverified_policy)
    except UsageError as error:
        message = f"what comes after version {policy.version}: {error}; upgrade pcrlog?"
        raise UncheckedError(message) from error
    check_place(policy, after)
    own = after.successor
    if own is not None:
        _check(own, update, signed, "of its own")
    known = named.keys.keys() | (own.keys.keys() if own else set())
    for keyid in update.signatures.keys() - known:
        message = f"version {after.version} is signed by {keyid}, whom nobody named"
        raise VerificationError(message)
    return after


def check_place(policy: Policy, after: Policy) -> None:
    """Check that a policy says of itself that it comes after another.

    Raises:
        VerificationError: another version, or another policy before it.
    """
    if (after.version, after.previous) != (policy.version + 1, policy.sha256):
        message = (
            f"expected version {policy.version + 1} after {policy.sha256},"
            f" found version {after.version} after {after.previous}"
        )
        raise VerificationError(message)


def _check(named: Successor, update: Update, signed: bytes, whose: str) -> None:
    """Verify every signature by keys that are named; a quorum of them is needed."""
    by = [keyid for keyid in named.keys if keyid in update.signatures]
    for keyid in by:
        named.keys[keyid].verify(update.signatures[keyid], signed)
    if len(by) < named.least:
        message = f"signed by {len(by)} of the keys {whose}, want {named.least}"
        raise VerificationError(message)


def sign(update: Update, signers: Iterable[Signer]) -> Update:
    """The same with more signatures."""
    signed = pre_authentication_encoding(update.unverified_policy)
    more = {signer.public.keyid: signer.sign(signed) for signer in signers}
    return Update(update.unverified_policy, {**update.signatures, **more})


def check_signatures(update: Update, known: Keys) -> None:
    """Verify each signature of an update, which may still lack some.

    Raises:
        VerificationError: one does not verify, or nobody named its key.
    """
    signed = pre_authentication_encoding(update.unverified_policy)
    for keyid, signature in update.signatures.items():
        if keyid not in known:
            message = f"signed by {keyid}, whom neither policy names"
            raise VerificationError(message)
        known[keyid].verify(signature, signed)


def signers_of(policy: Policy) -> Keys:
    """Whoever may sign what comes after a policy, by keyid."""
    return policy.successor.keys if policy.successor else {}
