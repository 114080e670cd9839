"""What a report to file is made of: the call of `verify`, its inputs, its outcome.

A file outlives the program that made it. So the page is not made of
`verification.Report`, which may gain members, but of `Told`: of `pcrlog-report/v1` what
page format v1 shows. Members that it does not know are kept, and not shown.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pcrlog.encoding import LATEST, encode_json, prepare, printable
from pcrlog.errors import MalformedError

NAMES = ("run", "policy", "document", "collateral", "bundle", "report")
"""The parts, in their order in the file."""
OPTIONAL = ("collateral", "bundle")
"""What a run can do without. A file without one is as if there were no such part."""


def program() -> str:
    """The version of pcrlog that runs."""
    from importlib.metadata import version  # 20 ms, for reports alone

    return version("pcrlog")


Time = Annotated[int, Meta(ge=0, le=LATEST)]


class Remembered(Struct, frozen=True, forbid_unknown_fields=True):
    """The checkpoint that was remembered of the log, as `Memory` has it."""

    note: str
    proof: tuple[bytes, ...] | None
    frozen: bool


class Run(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How `verify` was called; byte strings are hex, times unix seconds.

    `program` is the version of pcrlog that made the file. `channel` is whether the
    channel was required by the command, not by the policy (`--url`). `platform` is what
    the command said that the document has to be of; else there is no such member.
    """

    format: Literal["pcrlog-report-file/v1"] = "pcrlog-report-file/v1"
    program: str
    product: str
    now: Time
    at: Time | None
    nonce: str | None
    binding: dict[str, str] | None
    channel: bool
    memory: Remembered | None
    platform: str | UnsetType = UNSET

    def encode(self) -> bytes:
        """As it stands in the file."""
        return encode_json(self)


class Cited(Struct, frozen=True):
    """An entry that a link rests on, and who signed it."""

    index: int
    keyid: str


class Link(Struct, frozen=True):
    """One link of the chain."""

    number: Annotated[int, Meta(ge=1, le=7)]
    name: str
    status: Literal["failed", "unchecked", "missing", "claimed", "proven"]
    by: tuple[str, ...]
    evidence: tuple[Cited, ...]
    next: str


class Check(Struct, frozen=True):
    """One numbered check."""

    id: str
    status: Literal["pass", "fail", "unchecked"]
    required: bool
    expected: str
    found: str


class Registers(Struct, frozen=True):
    """Registers that the release lists, and the others."""

    matched: dict[str, str]
    unlisted: dict[str, str]


class Checkpoint(Struct, frozen=True):
    """The checkpoint; `time` is its seal's, unix seconds."""

    size: int
    time: Time
    note: str


class Share(Struct, frozen=True):
    """A component's part in link 5 or 6."""

    number: Annotated[int, Meta(ge=5, le=6)]
    status: Literal["failed", "unchecked", "missing", "claimed", "proven"]
    by: tuple[str, ...]
    evidence: tuple[Cited, ...]
    found: str
    next: str


class Component(Struct, frozen=True):
    """A component; what it names itself follows it, one `depth` deeper."""

    product: str
    sha256: str
    version: str | None
    depth: Annotated[int, Meta(ge=1, le=64)]
    links: tuple[Share, ...]


class Told(Struct, frozen=True):
    """What a page shows of a report."""

    verdict: Literal["verified", "unchecked", "refuted"]
    headline: str
    product: str
    version: str | None
    platform: str | None
    registers: Registers
    public_key: str | None
    user_data: str | None
    trust_ends_at: int
    links: tuple[Link, ...]
    ground: Literal["separate", "same", "unknown"]
    remarks: tuple[str, ...]
    checks: tuple[Check, ...]
    checkpoint: Checkpoint | None
    policy_sha256: str
    components: tuple[Component, ...] = ()
    """None in files that were made before reports named them."""

    @classmethod
    def parse(cls, data: bytes) -> "Told":
        """Read the JSON of a report.

        Raises:
            MalformedError: it is not JSON, not canonical, or not that of a report.
        """
        try:
            if encode_json(msgspec.json.decode(data)) != data:
                message = "its report is not canonical JSON"
                raise MalformedError(message)
            return msgspec.json.decode(data, type=cls)
        except (ValueError, RecursionError) as error:
            message = f"its report: {printable(str(error))}"
            raise MalformedError(message) from error


prepare(Run, Told)


class Parts(Struct, frozen=True):
    """The bytes of each part; `run` and `report` are canonical JSON."""

    run: bytes
    policy: bytes
    document: bytes
    bundle: bytes | None
    report: bytes
    collateral: bytes | None = None

    def named(self) -> dict[str, bytes]:
        """Those that are there, by name, in their order."""
        every = {name: getattr(self, name) for name in NAMES}
        return {name: data for name, data in every.items() if data is not None}
