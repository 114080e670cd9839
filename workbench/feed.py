"""What a policy accepts now, as feeds for other verifiers: JSON lines, and RVPS.

A feed is made of releases that verify under a policy, and says until when that may be
believed: an answer of the log is worth no more than its policy's `max_age`. CoRIM has a
module of its own.

JSON lines (`pcrlog-export/v1`): one release a line, canonical JSON.

RVPS, the Reference Value Provider Service of Confidential Containers' Trustee: one
message as `rvps-tool register` takes it, of type `sample`, whose payload is the base64
of names with lists of values. Names are `<product>/<register>`; values are lower-case
hex. A name that is registered again takes the place of the old one.

    {"payload": base64 of {"acme.example/wallet/PCR0": ["1f3a...", "9b0c..."], ...},
     "type": "sample", "version": "0.1.0"}

On other platforms than aws-nitro names are `<product>/<platform>/<register>`: PCR2 of
an enclave and PCR2 of a NitroTPM are two things. Not every form can say all of every
release; `kept` is what one can say, and why it leaves out the others.
"""

from collections.abc import Sequence
from math import prod

from msgspec import Struct

from pcrlog.encoding import encode_base64, encode_json, format_time
from pcrlog.measurement import PLATFORMS, spell

RVPS_VERSION = "0.1.0"
"""The one version of messages that RVPS knows."""
_SHORT = "aws-nitro"
"""The platform whose names do without it. Its PCR0 is over the whole image, so values
of two builds never go together (docs/controls.md)."""
_NUMBERS = "its {} has no place in this form: who reads it would take any"
_FOLDED = (
    "RVPS has a list for each register: beside {}, registers of one would do with those"
    " of the other"
)


class Release(Struct, frozen=True):
    """A release that verifies: `index` is its entry's, `links` the status of each."""

    version: str
    platform: str
    registers: dict[str, str]
    index: int
    links: dict[int, str]
    numbers: dict[str, int] = {}


class Feed(Struct, frozen=True):
    """Releases of a product, and what vouches for them; times in unix seconds."""

    product: str
    log: str
    size: int
    sealed: int
    until: int
    policy_sha256: str
    releases: tuple[Release, ...]


class _Line(Struct, frozen=True, omit_defaults=True):
    format: str
    product: str
    version: str
    platform: str
    measurements: tuple[str, ...]
    registers: dict[str, str]
    index: int
    links: dict[str, str]
    log: str
    size: int
    sealed: str
    until: str
    policy_sha256: str
    numbers: dict[str, int] = {}


def kept(
    form: str, releases: Sequence[Release]
) -> tuple[tuple[Release, ...], tuple[tuple[Release, str], ...]]:
    """The releases that a form can say all of; and the others, each with the reason.

    Args:
        form: jsonl, which can say all of everything; rvps, corim.
        releases: the newest first, which are kept rather than others.
    """
    if form == "jsonl":
        return tuple(releases), ()
    found: list[Release] = []
    left_out: list[tuple[Release, str]] = []
    for one in releases:
        same = [other for other in found if other.platform == one.platform]
        if one.numbers:
            why = _NUMBERS.format(" and ".join(sorted(one.numbers)))
            left_out.append((one, why))
        elif form == "rvps" and not can_be_folded([*same, one]):
            left_out.append((one, _FOLDED.format(same[0].version)))
        else:
            found.append(one)
    return tuple(found), tuple(left_out)


def can_be_folded(releases: Sequence[Release]) -> bool:
    """Whether a list for each register lets through these and nothing else."""
    if all(one.platform == _SHORT for one in releases):
        return True
    builds = {tuple(sorted(one.registers.items())) for one in releases}
    if len({tuple(name for name, _ in build) for build in builds}) > 1:
        return False
    values = [set(column) for column in zip(*builds, strict=True)]
    return len(builds) == prod(map(len, values))


def as_lines(feed: Feed) -> bytes:
    """JSON lines."""
    return b"".join(encode_json(_line(feed, one)) + b"\n" for one in feed.releases)


def _line(feed: Feed, one: Release) -> _Line:
    identity = PLATFORMS[one.platform].identity
    return _Line(
        format="pcrlog-export/v1",
        product=feed.product,
        version=one.version,
        platform=one.platform,
        measurements=tuple(
            f"{one.platform}/{m}" for m in spell(identity, one.registers)
        ),
        registers=one.registers,
        index=one.index,
        links={str(number): status for number, status in one.links.items()},
        log=feed.log,
        size=feed.size,
        sealed=format_time(feed.sealed),
        until=format_time(feed.until),
        policy_sha256=feed.policy_sha256,
        numbers=one.numbers,
    )


def as_rvps(feed: Feed) -> bytes:
    """One message for RVPS."""
    values: dict[str, list[str]] = {}
    for one in feed.releases:
        prefix = feed.product
        if one.platform != _SHORT:
            prefix += f"/{one.platform}"
        for name, digest in one.registers.items():
            value = digest.partition(":")[2]
            known = values.setdefault(f"{prefix}/{name}", [])
            if value not in known:
                known.append(value)
    message = {
        "version": RVPS_VERSION,
        "type": "sample",
        "payload": encode_base64(encode_json(values)),
    }
    return encode_json(message) + b"\n"
