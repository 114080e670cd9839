"""Successors of policies: who may sign one, what comes after what (section 4.6)."""

from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from pcrlog import limits
from pcrlog.encoding import encode_base64
from pcrlog.keys import SigningKey
from pcrlog.policy import Policy
from pcrlog.policy_update import PAYLOAD_TYPE, Update, pre_authentication_encoding
from tests.conformance.family import Family
from tests.conformance.policies import GONE, Json, changed, spelled
from tests.support.memory_log import key

NOW = 1_795_417_200
A, B, C, D = (key(f"policy {name}") for name in "abcd")
REFUSED, UNCHECKED, MALFORMED, USAGE = "refused", "unchecked", "malformed", "usage"


def named(least: int, *keys: SigningKey, **members: Any) -> Json:
    """A table [successor]."""
    spkis = [encode_base64(one.public.spki) for one in keys]
    return {"quorum": least, "keys": spkis, **members}


FIRST = spelled(changed({"successor": named(2, A, B, C)}))
"""Version 1; two of A, B and C sign what comes after it."""


def after(data: bytes, changes: Mapping[str, Any] | None = None) -> bytes:
    """The policy after another, with the same keys unless it is changed."""
    before = Policy.parse(data)
    own = {
        "version": before.version + 1,
        "previous": before.sha256,
        "successor": named(2, A, B, C),
    }
    wanted = {**own, **(changes or {})}
    return spelled(changed({n: v for n, v in wanted.items() if v is not GONE}))


def line(policy: bytes, *signers: SigningKey, **members: Any) -> bytes:
    """An envelope and its line end."""
    signed = pre_authentication_encoding(policy)
    signatures = {one.public.keyid: one.sign(signed) for one in signers}
    data = Update(policy, {**signatures, **members}).encode()
    return data + b"\n"


ALONE = spelled(changed({"successor": named(1, A)}))
"""Version 1; A alone signs what comes after it: long chains stay small."""


def chain(length: int) -> Iterable[bytes]:
    """So many successors of the policy of one key."""
    data = ALONE
    for _ in range(length):
        data = after(data, {"successor": named(1, A)})
        yield line(data, A)


SECOND = after(FIRST)
GOOD = line(SECOND, A, B)


def updates() -> Family:
    """Which policies may take the place of another."""
    family = Family("updates", "Successors of policies (section 4.6).")
    add = partial(_add, family)
    _chains(add)
    _quorums(add)
    _places(add)
    _forms(add)
    return family


def _add(
    family: Family,
    name: str,
    why: str,
    expect: str | bytes,
    given: bytes,
    *,
    policy: bytes = FIRST,
    now: int = NOW,
) -> None:
    """A case; `expect` is the word of an error, or the policy that is led to."""
    answer: str | Json = expect if isinstance(expect, str) else {}
    if isinstance(expect, bytes):
        answer = {
            "sha256": sha256(expect).hexdigest(),
            "version": Policy.parse(expect).version,
        }
    family.case(name, why, "follow", answer, policy=policy, updates=given, now=now)


def _chains(add: Any) -> None:
    third = after(SECOND)
    two = GOOD + line(third, A, B)
    add("one", "signed by a quorum, it comes after", SECOND, GOOD)
    add("two", "each is the successor of the one before", third, two)
    add("none", "whoever has the last one is up to date", third, two, policy=third)
    add(
        "from-the-middle",
        "those before one's own are passed over",
        third,
        two,
        policy=SECOND,
    )
    final = after(FIRST, {"successor": GONE})
    add("the-last", "one that names nobody ends the chain", final, line(final, A, B))
    beyond = line(final, A, B) + line(after(final), A, B)
    add("after-the-last", "nobody may sign what comes after it", REFUSED, beyond)
    nobody = spelled(changed({}))
    add("of-nobody", "the policy names nobody", USAGE, GOOD, policy=nobody)
    fine = list(chain(limits.UPDATE_STEPS + 1))
    last = Update.parse(fine[-2][:-1]).unverified_policy
    why = "at most 128 in a file"
    add("of-128", why, last, b"".join(fine[:-1]), policy=ALONE)
    add("of-129", why, MALFORMED, b"".join(fine), policy=ALONE)
    old = after(FIRST, {"valid_until": "2020-01-01T00:00:00Z"})
    ran_out = line(old, A, B)
    add("ran-out", "the newest has to be valid", UNCHECKED, ran_out)
    new = after(old)
    why = "of those in between nobody asks whether they are still valid"
    add("ran-out-in-between", why, new, ran_out + line(new, A, B))
    expired = spelled(
        changed(
            {
                "valid_until": "2020-01-01T00:00:00Z",
                "successor": named(1, A),
            }
        )
    )
    add("from-one-that-ran-out", why, after(expired), line(after(expired), A, B),
        policy=expired,
    )  # fmt: skip


def _quorums(add: Any) -> None:
    every = line(SECOND, A, B, C)
    add("signed-by-all", "more signatures than needed do no harm", SECOND, every)
    why = "as many keys as the old policy's quorum must sign it"
    add("signed-by-one", why, REFUSED, line(SECOND, A))
    add("signed-by-a-stranger", why, REFUSED, line(SECOND, A, D))
    why = "a signature by a key that neither policy names is refused"
    add("signed-by-a-stranger-too", why, REFUSED, line(SECOND, A, B, D))
    why = "each signature has to verify, also beyond the quorum"
    wrong = {C.public.keyid: A.sign(b"")}
    add("a-wrong-signature", why, REFUSED, line(SECOND, A, B, **wrong))
    bare = {A.public.keyid: A.sign(SECOND), B.public.keyid: B.sign(SECOND)}
    why = "signed is DSSE's encoding with the payload type of policies"
    add("signed-without-context", why, REFUSED, line(SECOND, **bare))
    rotated = after(FIRST, {"successor": named(1, D)})
    why = "a new policy's own quorum signs it, too"
    add("new-keys", why, rotated, line(rotated, A, B, D))
    add("new-keys-that-did-not-sign", why, REFUSED, line(rotated, A, B))
    next_ = after(rotated, {"successor": named(1, D)})
    both = line(rotated, A, B, D)
    add("signed-by-new-keys", "then these decide", next_, both + line(next_, D))
    why = "and the old ones no longer"
    add("signed-by-old-keys", why, REFUSED, both + line(next_, A, B, D))


def _places(add: Any) -> None:
    def place(name: str, **changes: Any) -> None:
        data = after(FIRST, changes)
        why = "version is one more, and previous the sha256 of the file before"
        add(name, why, REFUSED, line(data, A, B))

    place("another-previous", previous="0" * 64)
    place("no-previous", previous=GONE)
    third = after(SECOND)
    why = "without those in between could not check"
    add("one-left-out", why, UNCHECKED, line(third, A, B))
    add("that-end-before", "older ones lead nowhere", UNCHECKED, GOOD, policy=third)
    other = after(FIRST, {"archives": True})
    why = "another policy of one's own version is a fork"
    add("a-fork", why, REFUSED, GOOD + line(third, A, B), policy=other)
    skipped = line(after(FIRST, {"version": 3}), A, B)
    add("version-skipped-in-between", why, REFUSED, GOOD + skipped)
    unread = SECOND + b'"from later" = 1\n'
    why = "signed, and of a later form: could not check"
    add("of-a-later-form", why, UNCHECKED, line(unread, A, B))
    again = GOOD + GOOD
    add("the-same-twice", "a policy is not its own successor", REFUSED, again)


def _forms(add: Any) -> None:
    add("empty", "at least one envelope", MALFORMED, b"")
    add("no-line-end", "each line is ended by LF", MALFORMED, GOOD[:-1])
    add("a-line-more", "and none is empty", MALFORMED, GOOD + b"\n")
    add("not-canonical", "an envelope is canonical JSON", MALFORMED, b" " + GOOD)
    other = GOOD.replace(PAYLOAD_TYPE.encode(), b"application/vnd.in-toto+json")
    add("another-type", "of the payload type of policies", MALFORMED, other)
    none = GOOD[: GOOD.index(b'"signatures"')] + b'"signatures":[]}\n'
    add("no-signature", "at least one signature", MALFORMED, none)
    rows = Update.parse(GOOD[:-1]).signatures
    turned = b",".join(
        b'{"keyid":"%s","sig":"%s"}' % (k.encode(), encode_base64(s).encode())
        for k, s in sorted(rows.items(), reverse=True)
    )
    head = GOOD[: GOOD.index(b'"signatures"')]
    line_ = head + b'"signatures":[' + turned + b"]}\n"
    add("signatures-descending", "signatures ascend by keyid", MALFORMED, line_)


MAKERS = (updates,)
