"""Whole verifications: the document, the log and its bundle (sections 4.1 to 4.5)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from pcrlog import merkle
from pcrlog.bundle import Answer, Bundle, Included
from pcrlog.checkpoint import cosign
from pcrlog.encoding import format_time
from pcrlog.index_keys import by, of_identity
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.predicates import Binding
from pcrlog.seal import Seal
from pcrlog.verification import Memory
from tests.conformance.family import Stage
from tests.conformance.stories import Stories
from tests.support.memory_log import active, key
from tests.support.scene import (
    BAD,
    DAY,
    GOOD,
    HOUR,
    LENS,
    M1,
    NONCE,
    PROVIDER,
    W1,
    W2,
    Inputs,
    changed,
    compromise,
    document,
)

_BY_PROVIDER = by(PROVIDER, "aws-nitro", f"PCR0={GOOD['PCR0']}")
_NO_RUN = (
    "answers.present unchecked, answers.proofs unchecked, entries.inclusion unchecked,"
    " entries.authority unchecked, release.match unchecked, release.valid unchecked,"
    " release.conflict unchecked, release.version unchecked, audits.fails unchecked,"
    " policy.distrust unchecked"
)
"""What is unchecked where the log was not asked anything."""
_NO_LOG = (
    "log.witnesses unchecked, log.index-monitors unchecked, log.freshness unchecked,"
    f" log.seal unchecked, {_NO_RUN}"
)
_UNDECIDED = (
    "release.valid unchecked, release.conflict unchecked, release.version unchecked,"
    " audits.fails unchecked"
)
"""Of an incomplete run in which a release matches."""
_INCOMPLETE = f"release.match unchecked, {_UNDECIDED}"
"""Of one in which none does."""


def _released(s: Stage, **changes: Any) -> Inputs:
    s.release()
    return s.inputs(**changes)


# --- the document, clocks and modes ---------------------------------------------------

modes = Stories(
    "modes", "Documents in a run: times, nonces, live, archived (4.3, 4.4)."
)


def _aged(s: Stage, seconds: int, **changes: Any) -> Inputs:
    made = _released(s, **changes)
    return replace(made, attestation=document(time=made.now - seconds))


modes.verified("live", "ppcmmmm", "a live document with our nonce", _released)
modes.refuted(
    "no-document",
    "fuuuuuu",
    "document.form fail, document.signature unchecked, document.chain unchecked,"
    " document.time unchecked, document.nonce unchecked, document.debug unchecked,"
    f" {_NO_RUN}, policy.links fail",
    "a document that is none ends this part of the run",
    lambda s: _released(s, attestation=b"\x84\x00"),
)
modes.refuted(
    "no-document-and-no-ground",
    "fuuuuuu",
    "document.form fail, document.signature unchecked, document.chain unchecked,"
    " document.time unchecked, document.nonce unchecked, document.debug unchecked,"
    f" {_NO_RUN}, policy.ground unchecked, policy.links fail",
    "without a document nobody knows who made the hardware",
    lambda s: _released(
        s, attestation=b"\x84\x00", policy=s.policy(product={"ground": "separate"})
    ),
)
_NOT_GENUINE = (
    "document.chain unchecked, document.time unchecked, document.nonce unchecked,"
    f" document.debug unchecked, {_NO_RUN}, policy.links fail"
)


def _spoiled(s: Stage) -> Inputs:
    made = _released(s)
    return replace(made, attestation=made.attestation[:-1] + b"\0")


modes.refuted(
    "not-signed",
    "fuuuuuu",
    f"document.signature fail, {_NOT_GENUINE}",
    "not rightly signed: nothing of it is used",
    _spoiled,
)
modes.refuted(
    "no-trusted-root",
    "fuuuuuu",
    _NOT_GENUINE.replace("document.chain unchecked", "document.chain fail"),
    "under no trusted root: nothing of it is used",
    lambda s: _released(s, policy=s.policy(platform={"roots": ["builtin"]})),
)
_LATE = "document.time unchecked, policy.links unchecked"
for _seconds in (300, -300):
    modes.verified(
        f"signed-{_seconds}-s-ago",
        "ppcmmmm",
        "the signed time lies in [now - age, now + skew]",
        partial(_aged, seconds=_seconds),
    )
for _seconds in (301, -301):
    modes.unchecked(
        f"signed-{_seconds}-s-ago",
        "upcmmmm",
        _LATE,
        "outside the window with our nonce: the clock's fault",
        partial(_aged, seconds=_seconds),
    )
modes.refuted(
    "old-without-our-nonce",
    "fpcmmmm",
    "document.time fail, document.nonce unchecked, policy.links fail",
    "outside the window without our nonce: refuted",
    lambda s: _aged(s, 301, nonce=None),
)
modes.unchecked(
    "no-nonce-sent",
    "upcmmmm",
    "document.nonce unchecked, policy.links unchecked",
    "if none was sent, liveness is unchecked",
    lambda s: _released(s, nonce=None),
)
modes.unchecked(
    "empty-nonce-sent",
    "upcmmmm",
    "document.nonce unchecked, policy.links unchecked",
    "an empty nonce is none",
    lambda s: _released(s, nonce=b""),
)
modes.refuted(
    "another-nonce",
    "fpcmmmm",
    "document.nonce fail, policy.links fail",
    "the document must hold exactly our nonce",
    lambda s: _released(s, nonce=b"another"),
)
modes.refuted(
    "no-nonce-in-the-document",
    "fpcmmmm",
    "document.nonce fail, policy.links fail",
    "a document without a nonce does not hold ours",
    lambda s: _released(s, attestation=document(nonce=None)),
)
modes.verified(
    "nonce-optional",
    "ppcmmmm",
    "nonce = optional: link 1 proven without liveness",
    lambda s: _released(s, nonce=None, policy=s.policy(platform={"nonce": "optional"})),
)
modes.refuted(
    "nonce-optional-and-wrong",
    "fpcmmmm",
    "document.nonce fail, policy.links fail",
    "a wrong nonce refutes whether it is required or not",
    lambda s: _released(
        s, nonce=b"another", policy=s.policy(platform={"nonce": "optional"})
    ),
)
modes.verified(
    "attested-clock",
    "ppcmmmm",
    "clock = attested: with our nonce the signed time is now, for everything",
    lambda s: replace(
        _released(s, policy=s.policy(head={"clock": "attested"})),
        now=s.log.now + 20 * 365 * DAY,
    ),
)
modes.refuted(
    "attested-clock-without-nonce",
    "fuuuuuu",
    "document.time fail, document.nonce unchecked, log.witnesses unchecked,"
    " log.index-monitors unchecked, log.freshness unchecked,"
    f" {_UNDECIDED}, policy.links fail",
    "a document without our nonce sets no clock",
    lambda s: replace(
        _released(s, nonce=None, policy=s.policy(head={"clock": "attested"})),
        now=s.log.now + 2 * DAY,
    ),
)
modes.refuted(
    "debug-mode",
    "fuuuuuu",
    f"document.debug fail, answers.present unchecked, {_INCOMPLETE}, policy.links fail",
    "PCR0, PCR1 and PCR2 all zero is debug mode",
    lambda s: _released(s, attestation=document(debug=True)),
)


def _archived(s: Stage, later: int = 2 * HOUR, **changes: Any) -> Inputs:
    made = _released(s, **changes)
    return replace(made, at=made.now, now=made.now + later, nonce=None)


modes.unchecked(
    "archived",
    "upcmmmm",
    "policy.links unchecked",
    "archived is never better than unchecked unless the policy has archives",
    _archived,
)
modes.verified(
    "archives",
    "ppcmmmm",
    "archives = true: at replaces now for the document's window",
    lambda s: _archived(s, policy=s.policy(head={"archives": True})),
)
modes.unchecked(
    "archives-and-a-stale-log",
    "puuuuuu",
    "log.witnesses unchecked, log.index-monitors unchecked, log.freshness unchecked,"
    f" {_UNDECIDED}, policy.links unchecked",
    "freshness and quorums are those of now",
    lambda s: _archived(s, 2 * DAY, policy=s.policy(head={"archives": True})),
)
modes.refuted(
    "archived-and-outside-the-window",
    "fpcmmmm",
    "document.time fail, policy.links fail",
    "archived, a time outside the window is refuted, with our nonce too",
    lambda s: replace(_archived(s), at=s.log.now + 301, nonce=NONCE),
)


def _archived_later(s: Stage, word: str) -> Inputs:
    """Evidence against, made after the time asked about."""
    at = s.release()
    made = s.inputs(policy=s.policy(head={"archives": True}))
    s.log.now += HOUR
    s.log.revoke(PROVIDER, word, at)
    then = s.inputs()
    return replace(made, bundle=then.bundle, at=made.now, now=then.now, nonce=None)


modes.refuted(
    "archived-and-revoked-since",
    "pfmmmmm",
    "release.valid fail, policy.links fail",
    "evidence against counts whenever it was made",
    lambda s: _archived_later(s, "vulnerable"),
)


def _expired(s: Stage, *, archived: bool) -> Inputs:
    s.release(expires=format_time(s.log.now + HOUR))
    made = s.inputs(policy=s.policy(head={"archives": True}))
    late = made.now + HOUR
    if archived:
        return replace(made, at=late - 1, now=late, attestation=document(time=late - 1))
    return replace(made, now=late, attestation=document(time=late))


modes.refuted(
    "expired",
    "pfmmmmm",
    "release.valid fail, policy.links fail",
    "something has expired if now >= its expires",
    lambda s: _expired(s, archived=False),
)
modes.verified(
    "archived-and-expired-since",
    "ppcmmmm",
    "at replaces now for what expires",
    lambda s: _expired(s, archived=True),
)
modes.unchecked(
    "policy-run-out",
    "ppcmmmm",
    "policy.valid unchecked",
    "after valid_until every run could not check",
    lambda s: _released(
        s, policy=s.policy(head={"valid_until": format_time(s.log.now)})
    ),
)
modes.verified(
    "policy-last-second",
    "ppcmmmm",
    "a policy is valid while now < valid_until",
    lambda s: _released(
        s, policy=s.policy(head={"valid_until": format_time(s.log.now + 1)})
    ),
)

# --- the channel ----------------------------------------------------------------------

channel = Stories("channel", "What our connection shows, and the document says (4.4).")
_PIN = bytes(range(32))


def _bound(
    s: Stage,
    shown: dict[str, bytes] | None,
    *,
    required: bool = True,
    field: str = "public_key",
    kind: str = "tls-spki-sha256",
    binding: bool = True,
) -> Inputs:
    named = Binding(field, kind)  # type: ignore[arg-type] # two of its words
    s.release(binding=named if binding else None)
    rules = {"channel": "required" if required else "optional"}
    return s.inputs(
        policy=s.policy(product=rules),
        attestation=document(public_key=_PIN),
        binding=shown,
    )


channel.verified(
    "bound",
    "ppcmmmm",
    "what we see equals byte for byte what the document carries",
    lambda s: _bound(s, {"tls-spki-sha256": _PIN}),
)
_UNBOUND = "channel unchecked, policy.links unchecked"
for _word, _why, _story in (
    (
        "another-key",
        "another key is unchecked, never refuted",
        lambda s: _bound(s, {"tls-spki-sha256": bytes(32)}),
    ),
    ("prefix", "byte for byte", lambda s: _bound(s, {"tls-spki-sha256": _PIN[:31]})),
    (
        "nothing-seen",
        "what could not be looked at is unchecked",
        lambda s: _bound(s, None),
    ),
    (
        "another-kind",
        "by the kind that the binding of the release names",
        lambda s: _bound(s, {"raw-key": _PIN}),
    ),
    (
        "another-field",
        "in the field that the binding names",
        lambda s: _bound(s, {"tls-spki-sha256": _PIN}, field="user_data"),
    ),
    (
        "no-binding",
        "a release without a binding binds no channel",
        lambda s: _bound(s, {"tls-spki-sha256": _PIN}, binding=False),
    ),
):
    channel.unchecked(_word, "upcmmmm", _UNBOUND, _why, _story)
channel.verified(
    "optional",
    "ppcmmmm",
    "a channel that is not required lowers nothing",
    lambda s: _bound(s, None, required=False),
)

# --- the checkpoint -------------------------------------------------------------------

log = Stories("log", "Checkpoint, seal, quorums, freshness, memory (section 4.5).")


def _later(s: Stage, seconds: int, **changes: Any) -> Inputs:
    made = _released(s, **changes)
    now = made.now + seconds
    return replace(made, now=now, attestation=document(time=now))


_STALE = (
    "log.witnesses unchecked, log.index-monitors unchecked, log.freshness unchecked,"
    f" {_UNDECIDED}, policy.links unchecked"
)
log.verified(
    "aged-24-h",
    "ppcmmmm",
    "the seal's time lies in [now - max_age, now + skew]",
    partial(_later, seconds=DAY),
)
log.unchecked(
    "aged-24-h-and-1-s",
    "puuuuuu",
    _STALE,
    "stale: could not check",
    partial(_later, seconds=DAY + 1),
)
log.verified(
    "ahead-by-the-skew",
    "ppcmmmm",
    "the seal may be ahead by the skew",
    partial(_later, seconds=-300),
)
log.unchecked(
    "ahead-by-more",
    "puuuuuu",
    _STALE,
    "ahead of our clock: could not check",
    partial(_later, seconds=-301),
)


def _noted(s: Stage, change: Callable[[Stage, bytes], bytes]) -> Inputs:
    """The bundle with another checkpoint note."""
    made = _released(s)
    bundle = made.parsed
    note = change(s, bundle.note)
    return replace(made, bundle=changed(bundle, note=note).encode())


def _without(s: Stage, note: bytes, *names: str) -> bytes:
    parsed = UnverifiedNote.parse(note)
    lines = tuple(line for line in parsed.lines if line.name not in names)
    return bytes(UnverifiedNote(parsed.text, lines))


_ONE_SHORT = f"log.witnesses unchecked, {_UNDECIDED}, policy.links unchecked"
log.unchecked(
    "one-witness-short",
    "puuuuuu",
    _ONE_SHORT,
    "a quorum is `quorum` of its keys",
    lambda s: _noted(s, lambda s, note: _without(s, note, W1.public.name)),
)
log.unchecked(
    "no-index-monitor",
    "puuuuuu",
    f"log.index-monitors unchecked, {_UNDECIDED}, policy.links unchecked",
    "nobody recomputed the index: nothing is known to be complete",
    lambda s: _noted(s, lambda s, note: _without(s, note, M1.public.name)),
)


def _one_twice(s: Stage, note: bytes) -> bytes:
    parsed = UnverifiedNote.parse(_without(s, note, W2.public.name))
    again = cosign(parsed.text, W1, s.log.now + 1)
    return bytes(UnverifiedNote(parsed.text, (*parsed.lines, again)))


log.unchecked(
    "one-witness-twice",
    "puuuuuu",
    _ONE_SHORT,
    "distinct keys count",
    lambda s: _noted(s, _one_twice),
)


def _wrong_witness(s: Stage, note: bytes) -> bytes:
    parsed = UnverifiedNote.parse(_without(s, note, W2.public.name))
    wrong = cosign(parsed.text.replace("\n", "x\n", 1), W2, s.log.now)
    return bytes(UnverifiedNote(parsed.text, (*parsed.lines, wrong)))


log.unchecked(
    "a-wrong-cosignature",
    "puuuuuu",
    _ONE_SHORT,
    "a witness's line that does not verify is none, and nothing more",
    lambda s: _noted(s, _wrong_witness),
)


def _old_witness(s: Stage, note: bytes) -> bytes:
    parsed = UnverifiedNote.parse(_without(s, note, W2.public.name))
    old = cosign(parsed.text, W2, s.log.now - DAY - 1)
    return bytes(UnverifiedNote(parsed.text, (*parsed.lines, old)))


log.unchecked(
    "an-old-cosignature",
    "puuuuuu",
    _ONE_SHORT,
    "a cosignature's own time lies in the window too",
    lambda s: _noted(s, _old_witness),
)
log.verified(
    "quorums-waived",
    "ppcmmmm",
    'witnesses = "none": unchecked, not required',
    lambda s: replace(
        _noted(
            s,
            lambda s, note: _without(
                s, note, W1.public.name, W2.public.name, M1.public.name
            ),
        ),
        policy=s.policy(log={"witnesses": "none", "index_monitors": "none"}),
    ),
)
log.unchecked(
    "no-bundle",
    "puuuuuu",
    f"log.signature unchecked, {_NO_LOG}, policy.links unchecked",
    "no bundle: could not check",
    lambda s: _released(s, bundle=None),
)
log.refuted(
    "no-json",
    "puuuuuu",
    f"log.signature fail, {_NO_LOG}, policy.links unchecked",
    "a bundle that is malformed",
    lambda s: _released(s, bundle=b"{}"),
)
log.refuted(
    "not-signed",
    "puuuuuu",
    f"log.signature fail, {_NO_LOG}, policy.links unchecked",
    "the log must have signed the checkpoint",
    lambda s: _noted(s, lambda s, note: _without(s, note, s.log.origin)),
)


def _another_log(s: Stage) -> Inputs:
    made = _released(s)
    return replace(
        made,
        policy=s.policy(
            log={"vkey": str(NoteSigner("another.example/log", bytes(32)).public)}
        ),
    )


log.unchecked(
    "another-log",
    "puuuuuu",
    f"log.signature unchecked, {_NO_LOG}, policy.links unchecked",
    "a log that the policy does not name could not be checked",
    _another_log,
)


def _sealed(s: Stage, **how: Any) -> Inputs:
    s.release()
    s.seal(**how)
    return s.inputs()


_NO_SEAL = f"{_NO_RUN}, policy.links unchecked"
log.refuted(
    "seal-of-another-count",
    "puuuuuu",
    f"log.witnesses unchecked, log.index-monitors unchecked, log.freshness unchecked,"
    f" log.seal fail, {_NO_SEAL}",
    "the last leaf is a seal whose count is its index",
    lambda s: _sealed(s, leaf=Seal(3, s.log.now, bytes(32)).encode()),
)
log.unchecked(
    "seal-of-version-2",
    "puuuuuu",
    f"log.witnesses unchecked, log.index-monitors unchecked, log.freshness unchecked,"
    f" log.seal unchecked, {_NO_SEAL}",
    "a seal of an unknown version could not be checked",
    lambda s: _sealed(s, leaf=b"pcrlog/seal/v2\nx\n"),
)
log.unchecked(
    "frozen",
    "puuuuuu",
    f"log.freshness unchecked, {_UNDECIDED}, policy.links unchecked",
    "a log whose last seal is frozen could not be checked",
    lambda s: _sealed(s, frozen=True),
)


def _frozen_until(s: Stage, seconds: int) -> Inputs:
    s.release()
    s.seal(frozen=True)
    until = format_time(s.log.now + 30 * DAY)
    made = s.inputs(policy=s.policy(log={"frozen_until": until}))
    now = made.now + 30 * DAY + seconds
    return replace(made, now=now, attestation=document(time=now))


log.verified(
    "frozen-until",
    "ppcmmmm",
    "frozen_until: not asked for freshness",
    partial(_frozen_until, seconds=-1),
)
log.unchecked(
    "frozen-until-then",
    "puuuuuu",
    _STALE,
    "and from then on it is",
    partial(_frozen_until, seconds=0),
)


def _remembered(s: Stage, *, prove: bool, frozen: bool = False) -> Inputs:
    s.release()
    old, size = s.seal(), len(s.log.leaves)
    s.log.now += HOUR
    s.release("1.4.3", BAD)
    made = s.inputs()
    proof = merkle.prove_prefix(size, len(s.log.leaves), s.log.node)
    return replace(made, memory=Memory(old, proof if prove else None, frozen))


_FORK = f"log.memory fail, {_UNDECIDED}, policy.links unchecked"
log.verified(
    "grown-and-proven",
    "ppcmmmm",
    "another size, consistency proven",
    partial(_remembered, prove=True),
)
log.verified(
    "grown-and-not-proven",
    "ppcmmmm",
    "unchecked memory lowers nothing",
    partial(_remembered, prove=False),
)
log.refuted(
    "grown-after-frozen",
    "puuuuuu",
    _FORK,
    "another size, and the smaller one was the last: a fork",
    partial(_remembered, prove=True, frozen=True),
)


def _forked(s: Stage) -> Inputs:
    made = _released(s)
    other = Stage()
    other.release(image=BAD)
    return replace(made, memory=Memory(other.seal(), None))


log.refuted(
    "same-size-another-root", "puuuuuu", _FORK, "same size, other root: a fork", _forked
)
log.verified(
    "same-checkpoint",
    "ppcmmmm",
    "same size, same root",
    lambda s: replace(_released(s), memory=Memory(s.log.note, None)),
)


def _grown(s: Stage, filler: str, *sizes: int) -> bytes:
    """A release, sealed at these sizes; the last note. `filler` tells logs apart."""
    s.release()
    note = b""
    for size in sizes:
        while len(s.log.leaves) < size - 1:
            s.log.enroll(f"{filler}{len(s.log.leaves)}.example", "auditor")
        note = s.seal()
    return note


def _of_two_sizes(
    s: Stage,
    remembered: int,
    shown: int,
    change: Callable[[merkle.Proof], merkle.Proof | None] = tuple,
    *,
    forked: bool = True,
) -> Inputs:
    """One size is remembered, one is shown; the hashes are those of the larger tree."""
    other, sizes = Stage(), sorted((remembered, shown))
    note = _grown(
        other, "b" if forked else "a", *(size for size in sizes if size <= remembered)
    )
    _grown(s, "a", *(size for size in sizes if size <= shown))
    larger = s if remembered < shown else other
    hashes = merkle.prove_prefix(sizes[0], sizes[1], larger.log.node)
    return replace(s.inputs(), memory=Memory(note, change(hashes)))


def _of_what_is_remembered(old: int, new: int) -> merkle.Proof:
    """The hashes of the tree that begins as remembered, had the log gone on with it."""
    other = Stage()
    _grown(other, "b", old, new)
    return merkle.prove_prefix(old, new, other.log.node)


for _name, _remember, _show in (
    ("larger-size", 7, 11),
    ("smaller-size", 11, 7),
    ("larger-size-from-a-power-of-two", 8, 11),
    ("smaller-size-of-a-power-of-two", 11, 8),
):
    log.refuted(
        f"fork-of-a-{_name}",
        "puuuuuu",
        _FORK,
        "the hashes lead to the larger root and to another smaller one: a fork",
        partial(_of_two_sizes, remembered=_remember, shown=_show),
    )
    log.verified(
        f"one-history-of-a-{_name}",
        "ppcmmmm",
        "the hashes lead to both roots: one history",
        partial(_of_two_sizes, remembered=_remember, shown=_show, forked=False),
    )
_WRONG: dict[str, tuple[str, Callable[[merkle.Proof], merkle.Proof | None]]] = {
    "without-hashes": ("a fork of another size is none until shown", lambda _: None),
    "hashes-of-nothing": (
        "hashes that lead to no signed root show nothing",
        lambda hashes: (bytes(32), *hashes[1:]),
    ),
    "hashes-of-the-smaller-root": (
        "nor do those that lead to the smaller root, and not to the larger one",
        lambda _: _of_what_is_remembered(8, 11),
    ),
    "a-hash-too-many": (
        "there are exactly as many as the sizes make it",
        lambda hashes: (*hashes, bytes(32)),
    ),
    "a-hash-too-few": ("the same", lambda hashes: hashes[:-1]),
    "the-first-hash-missing": (
        "a plain RFC 6962 proof from a power of two leaves the old root out",
        lambda hashes: hashes[1:],
    ),
    "no-hash": ("the same of an empty list", lambda _: ()),
}
for _name, (_why, _change) in _WRONG.items():
    log.verified(
        f"another-size-{_name}",
        "ppcmmmm",
        f"{_why}: unchecked memory, which lowers nothing",
        partial(_of_two_sizes, remembered=8, shown=11, change=_change),
    )
log.verified(
    "memory-of-nobody",
    "ppcmmmm",
    "a note that the log did not sign is no memory",
    lambda s: replace(
        _released(s),
        memory=Memory(
            bytes(NoteSigner("x.example", bytes(32)).sign("x.example\n")), None
        ),
    ),
)

# --- answers --------------------------------------------------------------------------

answers = Stories("answers", "Bundles that lack, add or swap (section 4.1).")


def _tampered(s: Stage, change: Callable[[Stage, Bundle], Bundle]) -> Inputs:
    s.release()
    s.reproduce()
    made = s.inputs()
    return replace(made, bundle=change(s, made.parsed).encode())


def _no_answer(_: Stage, bundle: Bundle, name: str) -> Bundle:
    rest = {k: a for k, a in bundle.answers.items() if k != name}
    return changed(bundle, answers=rest)


def _no_entry(s: Stage, bundle: Bundle, index: int) -> Bundle:
    rest = {i: e for i, e in bundle.entries.items() if i != index}
    return changed(bundle, entries=rest)


def _answered(s: Stage, bundle: Bundle, name: str, answer: Answer) -> Bundle:
    return changed(bundle, answers={**bundle.answers, name: answer})


answers.verified(
    "whole",
    "pppmmmm",
    "every key answered, every proof right",
    lambda s: _tampered(s, lambda _, b: b),
)
_MISSING = f"answers.present unchecked, {_UNDECIDED}, policy.links unchecked"
for _name, _key in (
    ("registrars-revocations", by("registrar", "aws-nitro", f"PCR0={GOOD['PCR0']}")),
    ("auditors-statements", by(LENS, "aws-nitro", f"PCR0={GOOD['PCR0']}")),
    ("auditors-reviews", by(LENS, "source", f"commit=gitCommit:{'ab' * 20}")),
    ("rivals", "v1/version/acme.example/wallet/1.4.2"),
):
    answers.unchecked(
        f"without-{_name}",
        "puuuuuu",
        _MISSING,
        "a missing answer is could not check",
        lambda s, key=_key: _tampered(s, lambda s, b: _no_answer(s, b, key)),  # type: ignore[misc] # bound now
    )
answers.unchecked(
    "without-releases",
    "puuuuuu",
    f"answers.present unchecked, {_INCOMPLETE}, policy.links unchecked",
    "what is lacking cannot be said of an incomplete run",
    lambda s: _tampered(s, lambda s, b: _no_answer(s, b, _BY_PROVIDER)),
)
answers.unchecked(
    "without-an-entry",
    "puuuuuu",
    _MISSING,
    "a missing entry is could not check",
    lambda s: _tampered(s, lambda s, b: _no_entry(s, b, 5)),
)
answers.verified(
    "more-than-asked",
    "pppmmmm",
    "whatever else the bundle holds is ignored",
    lambda s: _tampered(
        s,
        lambda s, b: _answered(
            s, b, "v1/product/acme.example/wallet", Answer((9,), b"")
        ),
    ),
)
_UNPROVEN = f"answers.proofs fail, {_UNDECIDED}, policy.links unchecked"
answers.refuted(
    "an-index-left-out",
    "puuuuuu",
    f"answers.proofs fail, {_INCOMPLETE}, policy.links unchecked",
    "the value hashes all indices",
    lambda s: _tampered(
        s,
        lambda s, b: _answered(
            s, b, _BY_PROVIDER, Answer((4, 4), b.answers[_BY_PROVIDER].proof)
        ),
    ),
)


def _swapped(s: Stage, b: Bundle) -> Bundle:
    """The answer of one key given for another."""
    name = by("registrar", "aws-nitro", f"PCR0={GOOD['PCR0']}")
    return _answered(s, b, name, b.answers[_BY_PROVIDER])


answers.refuted(
    "an-answer-swapped",
    "puuuuuu",
    _UNPROVEN,
    "the proof of one key proves no other",
    lambda s: _tampered(s, _swapped),
)


def _replaced(s: Stage, b: Bundle) -> Bundle:
    """Another release, rightly signed, in place of the one in the tree."""
    other = Stage()
    other.release(image=GOOD, version="6.6.6")
    entry = Included(other.log.entries[4].envelope, b.entries[4].proof)
    return changed(b, entries={**b.entries, 4: entry})


answers.refuted(
    "an-entry-replaced",
    "puuuuuu",
    f"entries.inclusion fail, {_INCOMPLETE}, policy.links unchecked",
    "its inclusion proof leads to the checkpoint's root",
    lambda s: _tampered(s, _replaced),
)


def _misplaced(s: Stage) -> Inputs:
    """The index names an entry under a key that it does not yield."""
    s.release()
    s.log.index[_BY_PROVIDER] = [1, 4]
    return s.inputs()


answers.refuted(
    "an-entry-under-another-key",
    "puuuuuu",
    _UNPROVEN,
    "the entry yields the key that it is given for",
    _misplaced,
)


def _unlisted(s: Stage) -> Inputs:
    """The index lacks a revocation: proofs hold, and only a monitor would know."""
    at = s.release()
    s.log.index[_BY_PROVIDER] = [at]
    s.log.revoke(PROVIDER, "vulnerable", at)
    s.log.index[_BY_PROVIDER].remove(at + 1)
    return s.inputs()


answers.verified(
    "an-index-that-lies",
    "ppcmmmm",
    "completeness rests on the index monitors alone",
    _unlisted,
)


def _forced(s: Stage) -> Inputs:
    """The log took what nobody may say."""
    s.log.release("acme.example/wallet", "1.4.2", GOOD, by=key("thief"), force=True)
    return s.inputs()


answers.refuted(
    "taken-by-the-log-alone",
    "puuuuuu",
    f"entries.authority fail, {_INCOMPLETE}, policy.links unchecked",
    "an entry that the forward pass refuses refutes the log",
    _forced,
)


def _without_identity(s: Stage) -> Inputs:
    made = _forced(s)
    return replace(
        made, bundle=_no_answer(s, made.parsed, of_identity(PROVIDER)).encode()
    )


answers.unchecked(
    "taken-and-identities-missing",
    "puuuuuu",
    f"answers.present unchecked, entries.authority unchecked, {_INCOMPLETE},"
    " policy.links unchecked",
    "but not while an identity before it could not be had",
    _without_identity,
)
answers.refuted(
    "another-registrar",
    "puuuuuu",
    f"entries.authority fail, {_UNDECIDED}, policy.links unchecked",
    "entry 0 lists the policy's registrar as a root key",
    lambda s: _released(
        s, policy=s.policy(log={"registrar": key("enrol").public.keyid})
    ),
)


def _renewed(s: Stage) -> Inputs:
    at = s.release()
    s.log.revoke(PROVIDER, "withdrawn", at)
    s.release("1.4.3")
    return s.inputs()


answers.verified(
    "renewed-after-withdrawal",
    "ppcmmmm",
    "a revocation with statement takes that statement alone",
    _renewed,
)


def _twice(s: Stage) -> Inputs:
    """A release that is void, and its payload once more under a key that is not."""
    second = key("second")
    signers = [s.log.enrol, key(PROVIDER)]
    rows = active(key(PROVIDER), second)
    s.log.identify(PROVIDER, rows, signers, roles=["provider"])
    at = s.release()
    compromise(s, PROVIDER, since=at)
    s.resign(s.log.entries[at], second)
    return s.inputs()


answers.refuted(
    "a-statement-twice",
    "pfmmmmm",
    "release.valid fail, policy.links fail",
    "a leaf that repeats an earlier payload counts for nothing",
    _twice,
)

STORIES = (modes, channel, log, answers)
MAKERS = tuple(stories.family for stories in STORIES)
