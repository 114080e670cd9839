"""Statements for benches of the server, made before they are sent, by all processors.

Releases of new measurements, by eight providers in turn, of a thousand releases a
product: what a log gets from its users, at 1.1 KB each and with five index keys.
"""

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator
from hashlib import sha384
from itertools import islice

from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import Release
from pcrlog.statement import encode

ORIGIN = "log.example/pcr"
PROVIDERS = tuple(f"p{n}.example" for n in range(8))
GROUP = 1000
_AHEAD = 4
"""Groups that are made before they are asked for."""

Keys = dict[str, SigningKey]


def product_of(number: int) -> str:
    """The product that a statement is about."""
    issuer = PROVIDERS[number % len(PROVIDERS)]
    return f"{issuer}/app-{number // (1000 * len(PROVIDERS))}"


def pcr0_of(number: int) -> str:
    """What identifies its measurement."""
    return "sha384:" + sha384(f"{number}/0".encode()).hexdigest()


def releases(keys: Keys, start: int = 0) -> Iterator[bytes]:
    """Envelopes without end."""
    number, issued = start, format_time(int(time.time()))
    while True:
        issuer = PROVIDERS[number % len(PROVIDERS)]
        registers = {
            f"PCR{n}": "sha384:" + sha384(f"{number}/{n}".encode()).hexdigest()
            for n in range(3)
        }
        release = Release(
            log=ORIGIN,
            issuer=issuer,
            issued=issued,
            platform="aws-nitro",
            identity=(("PCR0",),),
            product=product_of(number),
            version=f"1.0.{number}",
        )
        yield sign_envelope(encode(release, registers), [keys[issuer]])
        number += 1


def groups(
    keys: Keys, start: int, number: int, processes: int
) -> Iterator[list[bytes]]:
    """Envelopes, a thousand at a time, made by so many processes beside this one."""
    global _keys  # noqa: PLW0603 - what a process that is forked finds there
    _keys = keys
    context = multiprocessing.get_context("fork")
    with context.Pool(processes) as pool:
        todo = iter(range(start, start + number, GROUP))
        made = deque(pool.apply_async(_group, [n]) for n in islice(todo, _AHEAD))
        while made:
            yield made.popleft().get()
            made.extend(pool.apply_async(_group, [n]) for n in islice(todo, 1))


_keys: Keys = {}


def _group(start: int) -> list[bytes]:
    return list(islice(releases(_keys, start), GROUP))


def batches(keys: Keys, start: int, number: int) -> list[bytes]:
    """Bodies of a thousand lines each; kept in memory, as they are to be sent."""
    found = groups(keys, start, number, os.cpu_count() or 1)
    return [b"".join(one + b"\n" for one in some) for some in found]
