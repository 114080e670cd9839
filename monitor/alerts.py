"""Alerts: what a monitor says, and what each kind of it means for whoever reads it.

An alert is a fact about a log, said once: its `id` follows from what it is about, so
that a round which is repeated after a crash says the same again and not something new.
The table KINDS is the whole of what can be said: how bad it is, why it matters, what to
do. docs/monitoring.md carries the same table; a test compares the two.

>>> alert = Alert.of("revoked", "log.example/pcr", "acme.example/wallet 1.4.2",
...     "revoked by acme.example as vulnerable", entries=(10, 22), time=1795590000)
>>> alert.severity, alert.id == Alert.of("revoked", "log.example/pcr",
...     "acme.example/wallet 1.4.2", "other words", entries=(10, 22), time=0).id
('alarm', True)
"""

from typing import Literal

from msgspec import Struct

from pcrlog.encoding import encode_json, format_time, prepare, printable, sha256
from pcrlog.errors import VerificationError

_LINE = 1000
_ABOUT, _FOUND, _ENTRIES = 300, 500, 100
"""What a log says is in an alert, but not as much of it as the log wants: a sink that
refuses one for its size takes none that come after it."""
Severity = Literal["alarm", "warning"]
"""`alarm`: somebody lies or a secret is in danger, wake somebody up. `warning`: look at
it today."""


class Kind(Struct, frozen=True):
    """What a kind of alert means: `why` it matters, and what to `do`."""

    severity: Severity
    why: str
    do: str


KINDS: dict[str, Kind] = {
    # --- is the log honest? ----------------------------------------------------------
    "bad-signature": Kind(
        "alarm",
        "what the log serves as its checkpoint is not signed by its key",
        "trust nothing from this URL; ask the operator; compare with another network",
    ),
    "fork": Kind(
        "alarm",
        "the log signed two histories that cannot both be true",
        "stop relying on this log, and publish the evidence file",
    ),
    "rollback": Kind(
        "alarm",
        "the log shows a smaller tree than the one that it signed before",
        "trust no answer older than the last verified checkpoint; ask the operator",
    ),
    "equivocation": Kind(
        "alarm",
        "somebody else holds a checkpoint of this log that is not of our history",
        "stop relying on this log, and publish the evidence file",
    ),
    "bad-entry": Kind(
        "alarm",
        "the log took in what no log may: not well-formed, or said before",
        "stop relying on this log, and publish the evidence file",
    ),
    "unauthorised-entry": Kind(
        "alarm",
        "the log took in a statement from somebody who may not make it",
        "stop relying on this log, and publish the evidence file",
    ),
    "unknown-entry": Kind(
        "warning",
        "an entry is of a kind or type that this version does not know",
        "upgrade the monitor, and let it read the log anew (remove monitor.db and"
        " index.db, never witness.db): until then it cosigns nothing",
    ),
    "bad-seal": Kind(
        "alarm",
        "a seal is missing, out of place, miscounts, or its time goes back",
        "stop relying on this log, and publish the evidence file",
    ),
    "bad-index": Kind(
        "alarm",
        "the index that the log signed is not the one that its entries make: answers"
        " may hide revocations",
        "stop relying on this log, and publish the evidence file",
    ),
    "bad-tiles": Kind(
        "alarm",
        "what the log serves does not lead to the root that it signed",
        "nobody can check this log now: ask the operator; compare with another network",
    ),
    "stale": Kind(
        "warning",
        "the log's last seal is too old: it stands still, or hides what is new",
        "ask the operator; clients with a strict policy refuse its answers already",
    ),
    "quorum-lost": Kind(
        "warning",
        "too few witnesses or index monitors cosign the log's checkpoint",
        "ask the operator and the witnesses; clients refuse its answers",
    ),
    "unreachable": Kind(
        "warning",
        "the log does not answer, so nobody here sees what it does",
        "ask the operator; look from another network",
    ),
    "frozen": Kind(
        "warning",
        "the log has sealed for the last time: nothing can be revoked there any more",
        "move to its successor; set frozen_until in policies, or take it out of them",
    ),
    # --- is it my business? ----------------------------------------------------------
    "unexpected-release": Kind(
        "alarm",
        "a watched product was released with registers that are on no list of yours",
        "if nobody of yours made it, a key is stolen: revoke what it released as"
        " compromised, retire the key",
    ),
    "conflicting-release": Kind(
        "alarm",
        "one version of a watched product was released with two builds",
        "find out which is right, and revoke the other",
    ),
    "measurement-reuse": Kind(
        "warning",
        "one measurement stands under two products or providers",
        "find out who copied whose build; users of one may reach the other",
    ),
    "relabelled": Kind(
        "alarm",
        "a build that was released before got a new version: old holes in new clothes",
        "if nobody of yours did it, a key is stolen; set lowest_version in policies",
    ),
    "audit-dissent": Kind(
        "alarm",
        "an auditor found that a watched product is not what it is said to be",
        "read the report; do not deploy; revoke if it is right",
    ),
    "revoked": Kind(
        "alarm",
        "a statement or measurement of a watched product was revoked",
        "stop what still runs it; if nobody of yours did it, a key is stolen",
    ),
    "component-revoked": Kind(
        "alarm",
        "a component that a watched product is built with was revoked",
        "build and release anew without it",
    ),
    "unexpected-statement": Kind(
        "alarm",
        "somebody spoke in your name, and it is on no list of yours",
        "if nobody of yours did it, a key is stolen: retire it, revoke what it said",
    ),
    "key-change": Kind(
        "alarm",
        "the keys or roles of a watched identity have changed",
        "compare with what was meant to change; else call the registrar at once",
    ),
    "registrar-acted": Kind(
        "alarm",
        "the registrar changed a watched identity without any of its keys",
        "ask the registrar why; policies that pin your keys are safe from it",
    ),
    "signed-after-compromise": Kind(
        "alarm",
        "a key that is declared compromised has been used since",
        "treat what it said as said by a thief",
    ),
    "unaudited": Kind(
        "warning",
        "a release of a watched product still has no audit that you count",
        "ask the auditors; users whose policy wants one cannot use it",
    ),
    "expiring": Kind(
        "warning",
        "a release or an audit of a watched product runs out soon",
        "renew it before its users are refused",
    ),
    "live-mismatch": Kind(
        "alarm",
        "an enclave in use does not verify: it may run what nobody released",
        "take it out of service, and find out who deployed what",
    ),
    "live-unchecked": Kind(
        "warning",
        "an enclave in use could not be checked, so nobody here sees what it runs",
        "ask it yourself: pcrlog verify --url; see whether it, or the log, answers",
    ),
    "unreadable-list": Kind(
        "warning",
        "a list of what you expect cannot be read: until it can be, an unexpected"
        " release is told minutes late",
        "see that the file, folder or URL is there, and holds what a build prints",
    ),
}


class LieError(VerificationError):
    """A log was caught: what is shown cannot be followed from what was shown before.

    Args:
        about: what it concerns, as in `Alert`.
        kind: of KINDS.
        found: in words.
        evidence: name of the file that proves it.
    """

    def __init__(
        self, about: str, kind: str, found: str, evidence: str | None = None
    ) -> None:
        super().__init__(f"{kind}: {found}")
        self.about = about
        self.kind = kind
        self.found = found
        self.evidence = evidence

    def alert(self, log: str, now: int) -> "Alert":
        """What to tell of it."""
        about, found = self.about, self.found
        return Alert.of(self.kind, log, about, found, time=now, evidence=self.evidence)


class Alert(Struct, frozen=True, kw_only=True):
    """One alert.

    `log` is the origin, `about` what it concerns (a product and version, a name, a
    checkpoint), `entries` the indices that show it (the first 100), `found` what
    happened, in words, `evidence` the name of the file that proves it, `time` unix
    seconds.
    """

    id: str
    kind: str
    severity: Severity
    log: str
    about: str
    entries: tuple[int, ...]
    found: str
    why: str
    do: str
    time: int
    evidence: str | None = None

    @classmethod
    def of(  # noqa: PLR0913 - each is a member of its own
        cls,
        kind: str,
        log: str,
        about: str,
        found: str,
        *,
        time: int,
        entries: tuple[int, ...] = (),
        evidence: str | None = None,
    ) -> "Alert":
        """An alert of a kind in KINDS; its id is of kind, log, about and entries.

        What is longer than an alert should be is cut, and what no terminal should see
        (or no UTF-8 can hold: a lone surrogate of a file's name) becomes `?`.
        """
        meaning = KINDS[kind]
        about = printable(about, _ABOUT)
        identity = encode_json([kind, log, about, list(entries)])
        return cls(
            id=sha256(identity).hex()[:32],
            kind=kind,
            severity=meaning.severity,
            log=log,
            about=about,
            entries=entries[:_ENTRIES],
            found=printable(found, _FOUND),
            why=meaning.why,
            do=meaning.do,
            time=time,
            evidence=evidence,
        )

    def text(self) -> str:
        """One line for people, as chats and subjects show it."""
        where = f" (entries {', '.join(map(str, self.entries))})" * bool(self.entries)
        return f"{self.severity.upper()} {self.kind}: {self.about}: {self.found}{where}"

    def explained(self) -> tuple[str, ...]:
        """Lines for people, harmless on a terminal, as mails, chats and feeds show."""
        lines = [
            self.text(),
            f"Why: {self.why}.",
            f"What to do: {self.do}.",
            f"Log: {self.log}, seen at {format_time(self.time)}.",
        ]
        if self.evidence is not None:
            lines.append(f"Evidence: {self.evidence}")
        return tuple(printable(line, _LINE) for line in lines)


prepare(Alert)
