"""A feed as an unsigned CoRIM: reference values in CBOR (draft-ietf-rats-corim-09).

    501({0: "pcrlog:<log>:<product>:<size>",                 id
         1: [506(<< comid >>), ...],                         one CoMID a release
         4: {0: 1(sealed), 1: 1(until)}})                    validity

    comid = {1: {0: "<product> <version>, entry <index> of <log>"},   tag-identity
             2: [{0: "<provider>", 2: [1]}],                 entity, creator
             4: {0: [[{0: {1: "<provider>", 2: "<name>"}},   reference triple: class
                      [{0: 0, 1: {2: [[7, digest]]}}, ...]]]}}     measurements

A register is a measured element with one digest. Its key is the number of a PCR, and of
others the name; the algorithm is a number of the registry of Named Information. On
other platforms than aws-nitro the class ends in "<name>/<platform>": PCR2 is not the
same thing everywhere. Maps are in ascending order of their keys and everything is in
its shortest form (RFC 8949, 4.2.1): the same feed gives the same bytes. Nothing in it
is signed: what it says is proven by the log's answers alone.
"""

import re
from collections.abc import Iterable, Mapping

from pcrlog.attestation import cbor
from pcrlog.errors import UsageError
from workbench.feed import Feed, Release

ALGORITHMS = {"sha256": 1, "sha384": 7, "sha512": 8}
"""Numbers of the IANA registry "Named Information Hash Algorithm"."""
_PCR = re.compile(r"PCR(0|[1-9][0-9]?)")
_CORIM, _COMID, _TIME = 501, 506, 1
_CREATOR = 1
_TAG, _ARRAY, _MAP = 0xC0, 0x80, 0xA0
"""First bytes of heads whose argument is 0."""


def encode(feed: Feed) -> bytes:
    """The CoRIM of a feed.

    Raises:
        UsageError: it has no release, of which there is no CoRIM; or a digest by an
            algorithm that the registry does not number.
    """
    if not feed.releases:
        message = "a CoRIM of no release cannot be written"
        raise UsageError(message)
    comids = (_tagged(_COMID, cbor.encode(_comid(feed, one))) for one in feed.releases)
    name = f"pcrlog:{feed.log}:{feed.product}:{feed.size}"
    validity = _map({0: _time(feed.sealed), 1: _time(feed.until)})
    return _tagged(_CORIM, _map({0: cbor.encode(name), 1: _array(comids), 4: validity}))


def _comid(feed: Feed, one: Release) -> bytes:
    """A CoMID, as the bytes that stand in a byte string."""
    provider, _, name = feed.product.partition("/")
    if one.platform != "aws-nitro":
        name += f"/{one.platform}"
    identity = f"{feed.product} {one.version}, entry {one.index} of {feed.log}"
    entity: cbor.Value = {0: provider, 2: (_CREATOR,)}
    environment: cbor.Value = {0: {1: provider, 2: name}}
    claims = tuple(
        _claim(register, digest) for register, digest in sorted(one.registers.items())
    )
    comid: dict[int | str, cbor.Value] = {
        1: {0: identity},
        2: (entity,),
        4: {0: ((environment, claims),)},
    }
    return cbor.encode(comid)


def _claim(register: str, digest: str) -> cbor.Value:
    algorithm, _, value = digest.partition(":")
    if algorithm not in ALGORITHMS:
        message = (
            f"{register}: no CoRIM digest by {algorithm}; known {list(ALGORITHMS)}"
        )
        raise UsageError(message)
    number = _PCR.fullmatch(register)
    key = int(number[1]) if number else register
    return {0: key, 1: {2: ((ALGORITHMS[algorithm], bytes.fromhex(value)),)}}


# --- what attestation documents do not use: tags --------------------------------------


def _head(first: int, argument: int) -> bytes:
    """A head of another major type: that of an integer, with its first bits changed."""
    plain = cbor.encode(argument)
    return bytes([plain[0] | first]) + plain[1:]


def _tagged(number: int, encoded: bytes) -> bytes:
    return _head(_TAG, number) + encoded


def _time(seconds: int) -> bytes:
    return _tagged(_TIME, cbor.encode(seconds))


def _array(encoded: Iterable[bytes]) -> bytes:
    items = list(encoded)
    return _head(_ARRAY, len(items)) + b"".join(items)


def _map(encoded: Mapping[int, bytes]) -> bytes:
    """A map whose keys are ascending."""
    pairs = (cbor.encode(key) + value for key, value in encoded.items())
    return _head(_MAP, len(encoded)) + b"".join(pairs)
