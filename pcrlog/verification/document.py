"""The document's side of a verification: checks `document.*` and `channel`.

The order is that of PROTOCOL.md section 4: form, signature, chain, time, nonce, debug.
Nothing of a document is used before its signature and chain have been checked, and the
chain is judged at the time that the document itself names, under a root that the policy
names. Time then has to be near our own clock, or that of `--at`.
"""

from collections.abc import Mapping

from msgspec import Struct

from pcrlog import attestation
from pcrlog.attestation import Document, Trust, roots
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError
from pcrlog.policy import PlatformRules, Policy
from pcrlog.policy_file import Product
from pcrlog.predicates import Release
from pcrlog.verification.checks import Recorder


class Asked(Struct, frozen=True):
    """What the caller knows: its clock and the nonce it sent, and what it was given."""

    now: int
    at: int | None
    """The time that replaces `now` for an archived document."""
    nonce: bytes | None
    collateral: bytes | None = None


def check_document(
    raw: bytes, policy: Policy, product: Product, asked: Asked, recorder: Recorder
) -> Document | None:
    """The document, if it is genuine; its other checks are recorded."""
    document = _open(raw, policy, product, asked, recorder)
    if document is None:
        return None
    rules = policy.platforms[document.platform]
    ours = _check_nonce(document, asked, recorder)
    if document.time is None:
        _check_timeless(asked, recorder, ours=ours)
    else:
        demanded = (policy, rules)
        _check_time(document, document.time, demanded, asked, recorder, ours=ours)
    expected = "a machine whose memory is closed to its host"
    if document.debug:
        recorder.note("document.debug", "fail", expected, document.debug)
    else:
        recorder.note("document.debug", "pass", expected, "measured, and no debug mode")
    return document


def _open(
    raw: bytes, policy: Policy, product: Product, asked: Asked, recorder: Recorder
) -> Document | None:
    # Files and sources attest to nothing.
    names = tuple(name for name in product.platforms if name in attestation.ATTESTING)
    expected = f"an attestation document of {' or '.join(product.platforms)}"
    if not names:
        found = "no platform that attests"
        recorder.note("document.form", "fail", expected, found)
        return None
    try:
        data = attestation.decode_input(raw)
        platform, unverified = attestation.recognise(data, names)
    except MalformedError as error:
        recorder.note("document.form", "fail", expected, str(error))
        return None
    recorder.note("document.form", "pass", expected, platform.name)
    for one in platform.walk(unverified, trust_of(platform.name, policy, asked)):
        if isinstance(one, Document):
            return one
        recorder.note(one.check, one.status, one.expected, one.found)
    return None


def trust_of(platform: str, policy: Policy, asked: Asked) -> Trust:
    """What documents of a platform rest on, under a policy that names it."""
    rules = policy.platforms[platform]
    return Trust(
        roots=roots.trusted(platform, rules.roots),
        now=asked.now if asked.at is None else asked.at,
        skew=policy.clock_skew,
        collateral=asked.collateral,
        tcb=rules.tcb,
        advisories=rules.advisories,
    )


def _check_nonce(document: Document, asked: Asked, recorder: Recorder) -> bool:
    """Whether our nonce is in the document."""
    check, expected = "document.nonce", "the nonce that we sent"
    if not asked.nonce:
        recorder.note(check, "unchecked", expected, "none was sent: no proof of life")
        return False
    if document.nonce != asked.nonce:
        found = "none" if document.nonce is None else f"another: {document.nonce.hex()}"
        recorder.note(check, "fail", f"{expected}, {asked.nonce.hex()}", found)
        return False
    recorder.note(check, "pass", expected, "it is there")
    return True


def _check_timeless(asked: Asked, recorder: Recorder, *, ours: bool) -> None:
    """A document that names no time is as old as the nonce in it, or of any age."""
    check, expected = "document.time", "made after we asked"
    if ours and asked.at is None:
        recorder.note(check, "pass", expected, "our nonce: it was made since")
    else:
        found = "it names no time, and holds no nonce of ours: of any age"
        recorder.note(check, "unchecked", expected, found)


def _check_time(
    document: Document,
    time: int,
    demanded: tuple[Policy, PlatformRules],
    asked: Asked,
    recorder: Recorder,
    *,
    ours: bool,
) -> None:
    policy, rules = demanded
    check, signed = "document.time", time // 1000
    now = asked.now if asked.at is None else asked.at
    found = f"signed {format_time(signed)}, {now - signed} s before our clock"
    if ours and policy.clock_attested and asked.at is None:
        recorder.note(check, "pass", "our nonce: its signed time is now", found)
        return
    expected = f"signed at most {rules.max_age} s before {format_time(now)}"
    skew = policy.clock_skew
    in_window = now - rules.max_age <= signed <= now + skew
    if in_window and now <= document.leaf_not_after + skew:
        recorder.note(check, "pass", expected, found)
    elif ours and asked.at is None:
        # An old document cannot hold our fresh nonce: it is our clock that is wrong.
        found += ", with our nonce: set this machine's clock"
        recorder.note(check, "unchecked", expected, found)
    else:
        recorder.note(check, "fail", expected, found)


def effective_now(document: Document | None, policy: Policy, asked: Asked) -> int:
    """The time that counts: ours, or the document's if the policy trusts that more."""
    if (
        document is not None
        and document.time is not None
        and policy.clock_attested
        and asked.at is None
        and asked.nonce
        and document.nonce == asked.nonce
    ):
        return document.time // 1000
    return asked.now


def check_channel(
    document: Document,
    release: Release,
    binding: Mapping[str, bytes] | None,
    recorder: Recorder,
) -> None:
    """Check `channel`: the document names the key at the other end of our connection.

    Args:
        document: a genuine one.
        release: says in which field, and as what, the key is named.
        binding: what our connection shows, by kind ("tls-spki-sha256" and the like).
        recorder: takes the outcome.
    """
    check, named = "channel", release.binding
    if named is None:
        expected = "a release that says how the enclave names its key"
        recorder.note(check, "unchecked", expected, "no binding: an enclave like this")
        return
    expected = f"our connection's {named.kind} in {named.field}"
    shown = (binding or {}).get(named.kind)
    carried = getattr(document, named.field)
    if shown is None:
        found = "our connection shows none: an enclave like this one"
    elif carried != shown:
        found = "another key: a genuine enclave, but not who we are talking to"
    else:
        recorder.note(check, "pass", expected, "the same")
        return
    recorder.note(check, "unchecked", expected, found)
