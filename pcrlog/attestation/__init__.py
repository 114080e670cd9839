"""Attestation documents: the one small interface behind which platforms sit.

A platform is one module, named after it (`aws-nitro` is aws_nitro.py), that defines a
`PLATFORM`, and an entry in `measurement.PLATFORMS`. It is imported, and with it the
cryptography that it needs, when it is first asked for.

A document is verified in the numbered steps that a report shows. Its platform lists
them, `walk` takes them, so that none can be left out (PROTOCOL.md section 4, Checks):

    parse                  document.form
    aws-nitro              document.signature, document.chain
    intel-sgx              these, and document.qe-report: who made the key that signed;
                           then what Intel says of the machine: document.collateral,
                           .revocation, .qe-identity, .tcb

Only a `Document` gives anything away, and all of it is authenticated. A document may
name the time at which it was signed, and its chain is then judged at that time. Whether
the time will do is for the caller to say, as are the other checks: `document.time`,
`document.nonce`, `document.debug`, `channel`, and whether these are the registers that
were expected.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Literal

from msgspec import Struct

from pcrlog import limits
from pcrlog.encoding import decode_base64, decode_hex
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.measurement import PLATFORMS

_TEXT = 3 * limits.ATTESTATION
"""The longest document in hex, with line ends at every second digit even."""
_FIRST = tuple(first for known in PLATFORMS.values() for first in known.begins)
_FIRST_IN_HEX = tuple(first.hex() for first in _FIRST)
_UNKNOWN = "expected an attestation document: its bytes, or these in base64 or hex"


class Document(Struct, frozen=True):
    """What a genuine document says. It may still be old, a replay, or in debug mode."""

    platform: str
    registers: Mapping[str, str]
    """"PCR0" to "sha384:<hex>"; all that the document has, in the platform's order."""
    time: int | None
    """Unix milliseconds, as signed; None on platforms whose documents name no time."""
    nonce: bytes | None
    user_data: bytes | None
    public_key: bytes | None
    module_id: str
    """The vendor's name of the machine or enclave that was measured."""
    debug: str
    """Why the memory of what was measured is open to its host, which makes all else
    worth nothing; empty if it is not."""
    leaf_not_before: int
    """Unix seconds, as is `leaf_not_after`: the life of the key that signed."""
    leaf_not_after: int
    root_sha256: str
    """Of the trusted root's DER: says which partition of the vendor this is."""
    notes: tuple[str, ...]
    """What is unusual about it, for people to read; never a reason to refuse."""
    numbers: Mapping[str, int] = {}
    """Beside the registers: "ISVSVN" to 2, on platforms that have such."""


class Trust(Struct, frozen=True):
    """What a verification rests on: the policy's roots, its clock, the maker's word."""

    roots: tuple[bytes, ...]
    """Trusted certificates, DER."""
    now: int
    """Unix seconds, for documents that name no time of their own."""
    skew: int = 0
    """Seconds by which clocks may differ."""
    collateral: bytes | None = None
    """What the maker publishes of its machines, where the platform has such files."""
    tcb: tuple[str, ...] = ("UpToDate",)
    """States of a machine's firmware that are accepted, by the maker's names."""
    advisories: tuple[str, ...] = ()
    """Advisories of the maker that are known and accepted."""


class Step(Struct, frozen=True):
    """One numbered check on the way to a document, or after it.

    `take` gives the next stage and, in words, what was found. It raises
    VerificationError if the check fails, UncheckedError if it cannot be made.
    """

    check: str
    expected: str
    take: Callable[[Any, Trust], tuple[Any, str]]


class Outcome(Struct, frozen=True):
    """What one check came to."""

    check: str
    status: Literal["pass", "fail", "unchecked"]
    expected: str
    found: str


class Platform(Struct, frozen=True):
    """A kind of machine that attests: how its documents are read and verified."""

    name: str
    roots: tuple[str, ...]
    """The vendor's roots of trust that come with pcrlog, PEM."""
    parse: Callable[[bytes], Any]
    """The first stage. Raises MalformedError: not a document of this platform."""
    claims: Callable[[Any], Iterator[tuple[str, str]]]
    """What a first stage says of itself, for people to read. Nothing of it is known to
    be true."""
    steps: tuple[Step, ...]
    """In the order of the checks. What one hands out, the next is given; from some step
    on that is a `Document`, which later ones may refuse."""

    def walk(self, stage: Any, trust: Trust) -> Iterator[Outcome | Document]:  # noqa: ANN401 - each platform has stages of its own
        """Take the steps, from what `parse` gave: an outcome each, then the document.

        A step that fails is the last one. So is one that cannot be made, while there is
        no document: then nothing is authenticated.
        """
        for step in self.steps:
            try:
                stage, found = step.take(stage, trust)
            except VerificationError as error:
                yield Outcome(step.check, "fail", step.expected, str(error))
                return
            except UncheckedError as error:
                yield Outcome(step.check, "unchecked", step.expected, str(error))
                if not isinstance(stage, Document):
                    return
            else:
                yield Outcome(step.check, "pass", step.expected, found)
        yield stage


def platform(name: str) -> Platform:
    """The platform called `name`.

    Raises:
        UsageError: there is none of which pcrlog can read documents.
    """
    if name in ATTESTING:
        module = import_module(f"pcrlog.attestation.{name.replace('-', '_')}")
        found: Platform = module.PLATFORM
        return found
    message = (
        f"no attestation documents of platform {name!a}; known: {', '.join(ATTESTING)}"
    )
    raise UsageError(message)


ATTESTING = tuple(name for name, known in PLATFORMS.items() if known.attests)
"""The platforms that have documents."""


def genuine(name: str, data: bytes, trust: Trust) -> tuple[Document, list[Outcome]]:
    """The document of platform `name` in `data`, and what could not be checked of it.

    Raises:
        UsageError: no such platform, or a root of no use.
        MalformedError: not a document of it.
        VerificationError: a step fails.
        UncheckedError: a step could not be made, without which nothing of the document
            is authenticated.
    """
    known = platform(name)
    unmade: list[Outcome] = []
    for one in known.walk(known.parse(data), trust):
        if isinstance(one, Document):
            return one, unmade
        if one.status == "fail":
            message = f"{one.check}: {one.found}"
            raise VerificationError(message)
        if one.status == "unchecked":
            unmade.append(one)
    message = "; ".join(f"{one.check}: {one.found}" for one in unmade)
    raise UncheckedError(message)


def recognise(data: bytes, names: tuple[str, ...] = ATTESTING) -> tuple[Platform, Any]:
    """The platform among `names` whose document this is, and its first stage.

    Raises:
        MalformedError: of none of them; if it is of another platform, it says so.
    """
    refused = []
    for name in dict.fromkeys((*names, *ATTESTING)):
        known = platform(name)
        try:
            stage = known.parse(data)
        except MalformedError as error:
            if name in names:
                refused.append(f"{name}: {error}" if len(names) > 1 else str(error))
            continue
        if name in names:
            return known, stage
        refused = [f"it is a document of {name}"]
        break
    raise MalformedError("; ".join(refused) or _UNKNOWN)


def decode_input(raw: bytes) -> bytes:
    """A document as people hand it over: its bytes, or these in base64 or hex.

    The three cannot be confused: no text begins with the first byte of a document, and
    what begins like one in hex is, read as base64, no document. Newlines, as `base64`
    and `xxd -p` write them, are dropped.

    Raises:
        MalformedError: none of the three, or longer than any document is.
    """
    binary = raw.startswith(_FIRST)
    most = limits.ATTESTATION if binary else _TEXT
    if len(raw) > most:
        message = f"attestation document: expected at most {most} bytes, got {len(raw)}"
        raise MalformedError(message)
    data = raw if binary else _decode_text(raw)
    if not data.startswith(_FIRST):
        raise MalformedError(_UNKNOWN)
    return data


def _decode_text(raw: bytes) -> bytes:
    try:
        text = raw.decode("ascii").replace("\r", "").replace("\n", "")
    except UnicodeDecodeError as error:
        raise MalformedError(_UNKNOWN) from error
    return decode_hex(text) if text.startswith(_FIRST_IN_HEX) else decode_base64(text)
