"""Rules about identities: `key-change`, `registrar-acted`, `signed-after-compromise`.

The first two watch the names in `watch.identities`, and any name that claims a key of
`watch.keys`. The third watches whoever speaks for what is ours: those names, the
providers of watched products and the auditors that the policy counts for them; and the
registrar where it enrolled one of them.
"""

from collections.abc import Iterable, Iterator, Mapping

from monitor.alerts import Alert
from monitor.case import Case
from pcrlog.entry import Entry
from pcrlog.index_keys import of_identity, of_issuer
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey

_SHOWN = 8
"""Entries that an alert names, of however many there are."""
_NEVER = 2**63


def judge(case: Case, entry: Entry, identity: Identity) -> Iterator[Alert]:
    """All that there is to say of a new identity."""
    keyids = {key.keyid for key in identity.keys}
    mine = identity.name in case.watch.identities
    if mine or not keyids.isdisjoint(case.watch.keys):
        yield from _changed(case, entry, identity)
    yield from _used_since(case, entry, identity)


def _changed(case: Case, entry: Entry, identity: Identity) -> Iterator[Alert]:
    before = _before(case, entry, identity)
    by_registrar = identity.issuer == REGISTRAR and len(identity.signers) == 1
    if case.known(entry) or _first_of_mine(case, identity, before):
        return
    who = " and ".join(_signer(case, identity, one) for one in identity.signers)
    found = f"{changes(before, identity)}; signed by {who}"
    yield case.alert("key-change", identity.name, found, entry.index)
    if before is not None and by_registrar and identity.name != REGISTRAR:
        added = sorted(_active(identity) - _active(before))
        words = f"it added {', '.join(added)}" if added else "it added no key"
        yield case.alert(
            "registrar-acted",
            identity.name,
            f"signed by the registrar alone: {changes(before, identity)}; {words}",
            entry.index,
        )


def _before(case: Case, entry: Entry, identity: Identity) -> Identity | None:
    """The identity of the same name that this one follows."""
    newest = None
    for one in case.reading.under(of_identity(identity.name), entry.index):
        if isinstance(one.predicate, Identity):
            newest = one.predicate
    return newest


def _first_of_mine(case: Case, identity: Identity, before: Identity | None) -> bool:
    """An enrolment with no keys but those that we know as ours."""
    return (
        before is None
        and identity.name in case.watch.identities
        and {key.keyid for key in identity.keys} <= set(case.watch.keys)
    )


def _signer(case: Case, identity: Identity, keyid: str) -> str:
    owner = case.authority.owner(keyid)
    who = "the registrar" if owner == REGISTRAR else owner or identity.name
    return f"{who} ({keyid[:16]}…)"


def _active(identity: Identity) -> set[str]:
    return {key.keyid for key in identity.keys if key.status == "active"}


def _statuses(identity: Identity | None) -> Mapping[str, IdentityKey]:
    return {} if identity is None else {key.keyid: key for key in identity.keys}


def changes(before: Identity | None, after: Identity) -> str:
    """What is different in an identity, in words."""
    old, new = _statuses(before), _statuses(after)
    words = []
    for keyid in sorted(old.keys() | new.keys()):
        # A key that is left out is retired (PROTOCOL.md 2.2).
        was = old[keyid].status if keyid in old else "unknown"
        now = new[keyid].status if keyid in new else "retired"
        if was == now or (was, now) == ("unknown", "retired"):
            continue
        verb = "added" if now == "active" else now
        words.append(f"{verb} {keyid[:16]}…")
    if before is None:
        words.insert(0, f"enrolled as {', '.join(after.roles) or 'no role'}")
    elif before.roles != after.roles:
        had, has = ", ".join(before.roles) or "none", ", ".join(after.roles) or "none"
        words.append(f"roles {had} became {has}")
    return "; ".join(words) or "no key or role is different"


# --- compromised keys ----------------------------------------------------------------


def _used_since(case: Case, entry: Entry, identity: Identity) -> Iterator[Alert]:
    for keyid, (since, until) in _newly_compromised(case, entry, identity).items():
        used = [
            one
            for one in _statements(case, entry, identity, keyid)
            if since <= one.index < until and keyid in one.envelope.signatures
        ]
        if used:
            shown = [one.index for one in used[:_SHOWN]]
            more = f", of {len(used)}" if len(used) > _SHOWN else ""
            yield case.alert(
                "signed-after-compromise",
                identity.name,
                f"key {keyid[:16]}… is compromised since entry {since}, and signed"
                f" {len(used)} statements since (entries"
                f" {', '.join(map(str, shown))}{more})",
                entry.index,
                *shown,
            )


def _newly_compromised(
    case: Case, entry: Entry, identity: Identity
) -> dict[str, tuple[int, int]]:
    """Keys declared compromised from earlier on than ever before: [since, until)."""
    declared = {
        key.keyid: key.since or 0
        for key in identity.keys
        if key.status == "compromised"
    }
    if not declared or not _matters(case, entry, identity, declared):
        return {}
    before: dict[str, int] = {}
    for one in case.reading.under(of_identity(identity.name), entry.index):
        for key in getattr(one.predicate, "keys", ()):
            if key.status == "compromised":
                since = min(key.since or 0, one.index)
                before[key.keyid] = min(since, before.get(key.keyid, _NEVER))
    return {
        keyid: (since, min(before.get(keyid, _NEVER), entry.index))
        for keyid, since in declared.items()
        if since < min(before.get(keyid, _NEVER), entry.index)
    }


def _matters(
    case: Case, entry: Entry, identity: Identity, keyids: Iterable[str]
) -> bool:
    """Whether what such keys signed may matter: else nothing of it is read."""
    return (
        identity.name == REGISTRAR
        or identity.name in case.ours.voices(entry.index)
        or not set(keyids).isdisjoint(case.watch.keys)
    )


def _statements(
    case: Case, entry: Entry, identity: Identity, keyid: str
) -> Iterator[Entry]:
    """What such a key may have signed that matters to us."""
    voices = case.ours.voices(entry.index)
    if identity.name == REGISTRAR:
        for name in sorted({*voices, *case.watch.identities}):
            yield from case.reading.under(of_identity(name), entry.index)
        return
    if identity.name not in voices and keyid not in case.watch.keys:
        return
    found = {
        one.index: one
        for key in (of_issuer(identity.name), of_identity(identity.name))
        for one in case.reading.under(key, entry.index)
    }
    yield from (found[index] for index in sorted(found))
