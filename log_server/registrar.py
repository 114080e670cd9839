"""Who may say what, by log.db: the forward pass, and the registrar's root key."""

from log_server.store import Snapshot
from pcrlog.authority import Authority
from pcrlog.entry import parse_entry
from pcrlog.errors import UsageError


def follow(authority: Authority, snapshot: Snapshot, start: int) -> int:
    """Feed the identities from `start` on to `authority`; where to start next time.

    Only identities move it; every other entry was judged when it was admitted.
    """
    for index, leaf in snapshot.identities(start):
        authority.accept(parse_entry(index, leaf))
        start = index + 1
    return start


def root_keyid(snapshot: Snapshot, origin: str) -> str:
    """The keyid of the registrar's root key in entry 0: what a policy pins.

    Raises:
        UsageError: entry 0 names none.
    """
    authority = Authority(origin)
    leaf = snapshot.leaf(0)
    if leaf is not None:
        authority.accept(parse_entry(0, leaf))
    keyids = sorted(authority.root_keys())
    if not keyids:
        message = "entry 0 names no root key of the registrar; run fsck"
        raise UsageError(message)
    return keyids[0]
