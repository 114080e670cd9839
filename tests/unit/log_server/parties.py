"""Made-up parties for tests of the server: a log in a folder, and who speaks in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from log_server.config import Config
from log_server.creation import NewLog, create_log, identity_key
from log_server.databases import intake_database, log_database
from log_server.direct import exclusively, open_sequencer, submit_directly, taken_of
from log_server.intake import IntakeWriter, Submission
from log_server.sequencer import Sequencer, Step
from log_server.store import Decision, Snapshot, Store
from pcrlog.encoding import format_time, sha256
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Identity,
    IdentityKey,
    Predicate,
    Release,
    Revocation,
    Source,
)
from pcrlog.statement import encode

ORIGIN = "log.example/pcr"
NOW = 1_795_590_000
ISSUED = format_time(NOW)
COMMIT = "c" * 40
SOURCE = Source("https://git.example/wallet", COMMIT)
NITRO = "aws-nitro"
PRODUCT = "acme.example/wallet"


def registers(number: int) -> dict[str, str]:
    """Three registers of a made-up build."""
    return {f"PCR{i}": f"sha384:{number * 16 + i + 1:096x}" for i in range(3)}


def measurement(number: int) -> str:
    """M of that build."""
    return f"PCR0={registers(number)['PCR0']}"


@dataclass
class Clock:
    """Unix seconds, under the test's hand."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Party:
    """An identity that speaks: its name and its key."""

    name: str
    key: SigningKey = field(default_factory=SigningKey.generate)

    def sign(self, predicate: Predicate, subject: dict[str, str]) -> bytes:
        """The envelope of a statement."""
        return sign_envelope(encode(predicate, subject), [self.key])

    def release(self, number: int = 1, version: str = "1.0.0", **more: Any) -> bytes:
        """A release of build `number`."""
        members: dict[str, Any] = {
            "log": ORIGIN,
            "issuer": self.name,
            "issued": ISSUED,
            "platform": NITRO,
            "identity": (("PCR0",),),
            "product": f"{self.name}/wallet",
            "version": version,
        }
        subject = more.pop("subject", registers(number))
        return self.sign(Release(**members | more), subject)

    def reproduction(self, number: int = 1, result: str = "pass", **more: Any) -> bytes:
        """A reproduction of build `number`."""
        members: dict[str, Any] = {
            "log": ORIGIN,
            "issuer": self.name,
            "issued": ISSUED,
            "platform": NITRO,
            "identity": (("PCR0",),),
            "scope": "reproduction",
            "result": result,
            "performed": ISSUED,
            "source": SOURCE,
            "found": () if result == "fail" else None,
        }
        subject = more.pop("subject", registers(number))
        return self.sign(Audit(**members | more), subject)

    def revocation(
        self, number: int = 1, reason: str = "vulnerable", **more: Any
    ) -> bytes:
        """A revocation about build `number`."""
        members: dict[str, Any] = {
            "log": ORIGIN,
            "issuer": self.name,
            "issued": ISSUED,
            "platform": NITRO,
            "identity": (("PCR0",),),
            "reason": reason,
        }
        subject = more.pop("subject", registers(number))
        return self.sign(Revocation(**members | more), subject)


def statement_sha256(envelope: bytes) -> str:
    """How statements name the statement in an envelope."""
    from pcrlog.envelope import Envelope  # noqa: PLC0415 - used here alone

    return sha256(Envelope.parse(envelope).payload).hex()


@dataclass
class Log:
    """A log in a folder, sequenced in this process."""

    config: Config
    new: NewLog
    clock: Clock
    registrar: Party

    @classmethod
    def create(cls, folder: Path, now: int = NOW, database: str | None = None) -> "Log":
        """A new log."""
        clock = Clock(now)
        new = create_log(folder, ORIGIN, root_key=None, clock=clock, database=database)
        config = Config.load(folder)
        enrol = SigningKey.from_pem(new.enrol_key.read_bytes())
        return cls(config, new, clock, Party(REGISTRAR, enrol))

    def identity(self, party: Party, *roles: str, **more: Any) -> bytes:
        """The envelope that enrols a party, by the registrar."""
        keys = more.pop("keys", (identity_key(party.key.public),))
        keys = tuple(sorted(keys, key=IdentityKey.order))
        members: dict[str, Any] = {
            "log": ORIGIN,
            "issuer": REGISTRAR,
            "issued": ISSUED,
            "name": party.name,
            "signers": (self.registrar.key.public.keyid,),
            "roles": tuple(sorted(roles)),
            "keys": keys,
        }
        subject = {key.keyid: f"sha256:{key.keyid}" for key in keys}
        return self.registrar.sign(Identity(**members | more), subject)

    def enrol(self, name: str, *roles: str) -> Party:
        """Enrol a new party."""
        party = Party(name)
        self.accept(self.identity(party, *roles))
        return party

    def submit(self, envelope: bytes) -> Decision:
        """Submit, and sequence at once."""
        with exclusively(self.config):
            return submit_directly(self.config, envelope, self.clock)

    def accept(self, envelope: bytes) -> int:
        """Submit what must be accepted; its index."""
        decision = self.submit(envelope)
        assert decision.index is not None, decision
        return decision.index

    def queue(self, *envelopes: bytes, conflict_accepted: bool = False) -> list[int]:
        """Take in, as the web process does, without sequencing."""
        store = Store(log_database(self.config))
        writer = IntakeWriter(
            intake_database(self.config), taken_of(store), lambda: None
        )
        rows = [
            writer.put(Submission(one, sha256(one), conflict_accepted, self.clock()))
            for one in envelopes
        ]
        writer.close()
        store.close()
        return rows

    @contextmanager
    def sequencer(self, step: Step = lambda _name: None) -> Iterator[Sequencer]:
        """The sequencer, as it starts."""
        with open_sequencer(self.config, self.clock, step) as sequencer:
            yield sequencer

    def sequence(self, **options: bool) -> None:
        """Decide all that waits."""
        with self.sequencer() as sequencer:
            sequencer.round(**options)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """All that is committed."""
        store = Store(log_database(self.config))
        try:
            with store.committed() as snapshot:
                yield snapshot
        finally:
            store.close()
