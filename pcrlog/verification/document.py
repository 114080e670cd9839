"""The document's side of a verification: checks `document.*` and `channel`.

The order is that of PROTOCOL.md section 4: form, signature, chain, time, nonce, debug.
Nothing of a document is used before its signature and chain have been checked, and the
chain is judged at the time that the document itself names, under a root that the policy
names. Time then has to be near our own clock, or that of `--at`.
"""

from collections.abc import Mapping

from msgspec import Struct

from pcrlog import attestation
from pcrlog.attestation import Document, roots
from pcrlog.encoding import format_time
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.policy import PlatformRules, Policy, Product
from pcrlog.predicates import Release
from pcrlog.verification.checks import Recorder


class Asked(Struct, frozen=True):
    """What the caller knows: clock `now`, archive time `at`, the `nonce` it sent."""

    now: int
    at: int | None
    nonce: bytes | None


def check_document(
    raw: bytes, policy: Policy, product: Product, asked: Asked, recorder: Recorder
) -> Document | None:
    """The document, if it is genuine; its other checks are recorded."""
    document = _open(raw, policy, product, recorder)
    if document is None:
        return None
    rules = policy.platforms[document.platform]
    ours = _check_nonce(document, asked, recorder)
    _check_time(document, policy, rules, asked, recorder, ours=ours)
    expected = "registers that are not those of debug mode"
    if document.debug:
        found = "PCR0, PCR1 and PCR2 are zero: debug mode"
        recorder.note("document.debug", "fail", expected, found)
    else:
        recorder.note("document.debug", "pass", expected, "measured")
    return document


def _open(
    raw: bytes, policy: Policy, product: Product, recorder: Recorder
) -> Document | None:
    expected = f"an attestation document of {' or '.join(product.platforms)}"
    for name in product.platforms:
        try:
            platform = attestation.platform(name)
        except UsageError:
            continue  # Files and sources attest to nothing.
        try:
            unverified = platform.parse(attestation.decode_input(raw))
        except MalformedError as error:
            recorder.note("document.form", "fail", expected, str(error))
            return None
        recorder.note("document.form", "pass", expected, name)
        expected = "signed (ES384) by the key of its certificate"
        try:
            signed = unverified.verify_signature()
        except VerificationError as error:
            recorder.note("document.signature", "fail", expected, str(error))
            return None
        recorder.note("document.signature", "pass", expected, "verifies")
        expected = "a certificate chain to a root of the policy"
        try:
            document = signed.verify_chain(_roots(name, policy.platforms[name]))
        except VerificationError as error:
            recorder.note("document.chain", "fail", expected, str(error))
            return None
        found = f"root {document.root_sha256[:16]}…"
        recorder.note("document.chain", "pass", expected, found)
        return document
    recorder.note("document.form", "fail", expected, "no platform that attests")
    return None


def _roots(platform: str, rules: PlatformRules) -> list[bytes]:
    found: list[bytes] = []
    for root in rules.roots:
        if root == "builtin":
            found += roots.builtin(platform)
        else:
            found.append(roots.from_pem(root))
    return found


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


def _check_time(
    document: Document,
    policy: Policy,
    rules: PlatformRules,
    asked: Asked,
    recorder: Recorder,
    *,
    ours: bool,
) -> None:
    check, signed = "document.time", document.time // 1000
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
