"""How often somebody may submit: token buckets, by address and by identity.

A bucket holds at most `burst` tokens and gains `rate` a second; a statement takes one.
Who finds too few is told when there will be enough (429, Retry-After).

- By address: every statement that is sent, good or bad, before anything of it is read.
- By identity: releases and passes, once their signature was verified, since nobody may
  use up what is another's. Revocations, fails and identities are never limited so: what
  speaks against something must not be drowned by what speaks for it.

Reading is not limited, nor is what the log says itself. Memory is bounded: of `_KEPT`
buckets the one that was not used for longest gives way to a new one.
"""

import ipaddress
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from log_server.config import Settings
from log_server.problems import TooOftenError

_KEPT = 16_384
_SITE_BITS = 64
"""Of an IPv6 address: whoever has one of a site has all of them."""


@dataclass(slots=True)
class _Bucket:
    """So many `tokens` at the time `at`."""

    tokens: float
    at: float


class Buckets:
    """The buckets of one kind of key; for any number of threads.

    Args:
        rate: tokens a second; 0 is no limit.
        burst: tokens that a bucket holds.
        timer: seconds, which only grow.
    """

    def __init__(self, rate: int, burst: int, timer: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._timer = timer
        # Guards the buckets, which are in the order of their last use.
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._rate > 0

    def take(self, key: str, tokens: int) -> int:
        """Take tokens; 0, or the seconds after which they would be there.

        More than a bucket ever holds are there when it is full, and leave a debt.
        """
        if not self._rate:
            return 0
        with self._lock:
            now = self._timer()
            bucket = self._buckets.get(key) or _Bucket(self._burst, now)
            gained = (now - bucket.at) * self._rate
            bucket.tokens = min(self._burst, bucket.tokens + gained)
            bucket.at = now
            missing = min(tokens, self._burst) - bucket.tokens
            if missing <= 0:
                bucket.tokens -= tokens
            self._buckets[key] = bucket
            self._buckets.move_to_end(key)
            if len(self._buckets) > _KEPT:
                self._buckets.popitem(last=False)
        return math.ceil(missing / self._rate) if missing > 0 else 0

    def __len__(self) -> int:
        return len(self._buckets)


class Rates:
    """The limits of a log's settings.

    Args:
        settings: of the log.
        timer: seconds, which only grow.
        registry: where refusals are counted.
    """

    def __init__(
        self,
        settings: Settings,
        timer: Callable[[], float],
        registry: CollectorRegistry,
    ) -> None:
        self._proxies = settings.trusted_proxies
        self._addresses = Buckets(
            settings.rate_per_address, settings.burst_per_address, timer
        )
        self._identities = Buckets(
            settings.rate_per_identity, settings.burst_per_identity, timer
        )
        self._refused = Counter(
            "pcrlog_too_often",
            "Statements refused since too many came by one address or identity",
            ("by",),
            registry=registry,
        )
        for by in ("address", "identity"):
            self._refused.labels(by)

    def take_for_address(self, peer: str, forwarded: str, statements: int) -> None:
        """Let so many statements of a request pass; see `address_of`.

        Raises:
            TooOftenError: too many came from there.
        """
        if not self._addresses.limited:
            return
        address = address_of(peer, forwarded, self._proxies)
        seconds = self._addresses.take(address, statements)
        if seconds:
            self._refused.labels("address").inc(statements)
            message = f"too many statements from {address}; again in {seconds} s"
            raise TooOftenError(message, seconds)

    def take_for_identity(self, name: str) -> None:
        """Let a release or a pass of an identity pass.

        Raises:
            TooOftenError: too many came by it.
        """
        seconds = self._identities.take(name, 1)
        if seconds:
            self._refused.labels("identity").inc()
            message = f"too many releases and passes by {name}; again in {seconds} s"
            raise TooOftenError(message, seconds)


def address_of(peer: str, forwarded: str, proxies: int) -> str:
    """Whose bucket a request belongs to.

    Each proxy adds to X-Forwarded-For who asked it, at the right end. Behind `proxies`
    trusted ones, the client is so many from the right; what stands further left, it
    wrote itself. Where no address stands there, the request is the last proxy's own.

    Args:
        peer: the address of the connection.
        forwarded: X-Forwarded-For, or "".
        proxies: how many are trusted.

    >>> address_of("10.0.0.1", "x, 8.8.8.8", 1)
    '8.8.8.8'
    >>> address_of("2001:db8::5", "", 0)
    '2001:db8::/64'
    """
    told = forwarded.split(",")
    client = _bucket(told[-proxies]) if 0 < proxies <= len(told) else None
    return client or _bucket(peer) or "unknown"


def _bucket(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    site = int(address) >> _SITE_BITS << _SITE_BITS
    return f"{ipaddress.IPv6Address(site)}/{_SITE_BITS}"
