"""Reports: what a verification found, as words first and as `pcrlog-report/v1`.

A report is data; whoever goes on to use what an enclave said takes it from
`verified()`, which raises unless the verdict is "verified".
"""

from typing import Literal

from msgspec import Struct

from pcrlog.encoding import encode_json
from pcrlog.errors import UncheckedError, VerificationError
from pcrlog.verification.checks import Check, Verdict
from pcrlog.verification.ground import Infrastructure, Word
from pcrlog.verification.links import Status


class Cited(Struct, frozen=True):
    """An entry that a link rests on, by index and signing key."""

    index: int
    keyid: str


class Link(Struct, frozen=True):
    """One link: its status, who stands behind that, and who would have to do what."""

    number: int
    name: str
    status: Status
    by: tuple[str, ...]
    evidence: tuple[Cited, ...]
    next: str


class Share(Struct, frozen=True):
    """A component's part in link 5 or 6, and in words why it is not more."""

    number: int
    status: Status
    by: tuple[str, ...]
    evidence: tuple[Cited, ...]
    found: str
    next: str


class ComponentShown(Struct, frozen=True):
    """A component, and its shares in links 5 and 6 without those of its own components.

    `version` is of its newest release that stands, else of its newest. `depth` is 1 for
    what the release itself names; what a component names follows it, one deeper.
    """

    product: str
    sha256: str
    version: str | None
    depth: int
    links: tuple[Share, ...]


class CheckpointShown(Struct, frozen=True):
    """The checkpoint that the run rests on; `time` is its seal's, unix seconds."""

    origin: str
    size: int
    root: str
    time: int
    note: str


class RegistersShown(Struct, frozen=True):
    """Registers matched by the release, and those that no release lists."""

    matched: dict[str, str]
    unlisted: dict[str, str]


class Enclave(Struct, frozen=True):
    """What a verified enclave said of itself: for use, since the report is verified."""

    product: str
    version: str
    registers: dict[str, str]
    public_key: bytes | None
    user_data: bytes | None


class Report(Struct, frozen=True, kw_only=True):
    """`pcrlog-report/v1` (PROTOCOL.md section 4). Byte strings are lower-case hex."""

    format: Literal["pcrlog-report/v1"] = "pcrlog-report/v1"
    verdict: Verdict
    headline: str
    product: str
    version: str | None
    platform: str | None
    registers: RegistersShown
    public_key: str | None
    user_data: str | None
    trust_ends_at: int
    links: tuple[Link, ...]
    components: tuple[ComponentShown, ...]
    ground: Word
    infrastructure: Infrastructure
    remarks: tuple[str, ...]
    checks: tuple[Check, ...]
    checkpoint: CheckpointShown | None
    policy_sha256: str
    archived: bool

    @property
    def exit_code(self) -> int:
        """0 verified, 3 could not check, 4 refuted."""
        return {"verified": 0, "unchecked": 3, "refuted": 4}[self.verdict]

    def verified(self) -> Enclave:
        """What the enclave said, if and only if the verdict is "verified".

        Raises:
            VerificationError: refuted.
            UncheckedError: a required check could not be made.
        """
        if self.verdict == "refuted":
            raise VerificationError(self.headline)
        if self.verdict != "verified" or self.version is None:
            raise UncheckedError(self.headline)
        return Enclave(
            self.product,
            self.version,
            self.registers.matched,
            _bytes(self.public_key),
            _bytes(self.user_data),
        )

    def to_json(self) -> bytes:
        """The report as canonical JSON."""
        return encode_json(self)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
