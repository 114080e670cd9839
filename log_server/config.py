"""A log's folder: where everything lies, and the settings in its log.toml.

    DIR/log.toml              origin and settings; written by `init`, yours to change
    DIR/log.vkey              the log's public key
    DIR/keys/                 0700: log.skey, registrar-enrol.key (and the root key,
                              until you take it away)
    DIR/intake.db, log.db     schema.sql
    DIR/public/               checkpoint and tile/: what the world sees; any web server,
                              CDN or object store may serve a copy of it
    DIR/run/                  lock, wake-up FIFO, serve.json: of the running server

>>> Settings.parse(b'origin = "log.example/pcr"').heartbeat
3600
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pcrlog.errors import MalformedError, UsageError
from pcrlog.note import VerifierKey
from pcrlog.predicates import Origin

SETTINGS = "log.toml"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What log.toml says. Times are in seconds."""

    origin: Origin
    heartbeat: Annotated[int, Meta(ge=1, le=86_400)] = 3600
    """An idle log seals this often, so that freshness can be told from silence."""
    min_publish_interval: Annotated[int, Meta(ge=0, le=3600)] = 0
    """At least this long between two checkpoints; witnesses have daily budgets."""
    threads: Annotated[int, Meta(ge=4, le=4096)] = 128
    """Requests answered at once; at most half of them may wait for publication."""
    most_waiting: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Statements that may wait for a decision; more are refused with 429."""

    @classmethod
    def parse(cls, data: bytes) -> "Settings":
        """Read log.toml.

        Raises:
            UsageError: not TOML, an unknown member, or a value out of bounds.
        """
        try:
            return msgspec.convert(tomllib.loads(data.decode()), cls)
        except ValueError as error:
            message = f"{SETTINGS}: {error}"
            raise UsageError(message) from error

    def toml(self) -> bytes:
        """A log.toml with these settings, each explained."""
        return _TOML.format(self=self).encode()


_TOML = """\
# The settings of this log; times are in seconds. Restart `serve` after a change.

# The log's name. Never change it: every statement and every checkpoint holds it.
origin = "{self.origin}"

# An idle log seals this often, so that clients can tell freshness from silence.
heartbeat = {self.heartbeat}

# At least this long between two checkpoints.
min_publish_interval = {self.min_publish_interval}

# Requests answered at once; at most half of them may wait for publication.
threads = {self.threads}

# Statements that may wait for a decision; more are refused with 429.
most_waiting = {self.most_waiting}
"""


@dataclass(frozen=True, slots=True)
class Config:
    """A log's folder and its settings."""

    directory: Path
    settings: Settings

    @classmethod
    def load(cls, directory: Path) -> "Config":
        """Read the settings of the log in `directory`.

        Raises:
            UsageError: there is no log, or its settings are wrong.
        """
        try:
            data = (directory / SETTINGS).read_bytes()
        except OSError as error:
            message = (
                f"no log in {directory}: {error.strerror};"
                " make one: pcrlog-server init DIR --origin HOST/NAME"
            )
            raise UsageError(message) from error
        return cls(directory, Settings.parse(data))

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.settings.origin

    @property
    def log_db(self) -> Path:
        """The database that the sequencer writes."""
        return self.directory / "log.db"

    @property
    def intake_db(self) -> Path:
        """The database that the web process writes."""
        return self.directory / "intake.db"

    @property
    def public(self) -> Path:
        """The files for everybody."""
        return self.directory / "public"

    @property
    def keys(self) -> Path:
        """The folder of private keys."""
        return self.directory / "keys"

    @property
    def log_key(self) -> Path:
        """The log's signing key; the sequencer alone reads it."""
        return self.keys / "log.skey"

    @property
    def enrol_key(self) -> Path:
        """The registrar's key for enrolments; it may be kept elsewhere."""
        return self.keys / "registrar-enrol.key"

    @property
    def wake(self) -> Path:
        """The FIFO by which the web process wakes the sequencer."""
        return self.directory / "run" / "wake"

    @property
    def lock(self) -> Path:
        """Held by whoever sequences: one `serve`, or one command in its place."""
        return self.directory / "run" / "lock"

    @property
    def sequencing(self) -> Path:
        """Held by the sequencer itself, for as long as it may write."""
        return self.directory / "run" / "sequencer.lock"

    @property
    def serving(self) -> Path:
        """Where a running `serve` says under which URL it listens."""
        return self.directory / "run" / "serve.json"

    def vkey(self) -> VerifierKey:
        """The log's public key.

        Raises:
            UsageError: log.vkey is missing, or not a key of this origin.
        """
        path = self.directory / "log.vkey"
        try:
            key = VerifierKey.parse(path.read_text("ascii").strip())
        except (OSError, ValueError, MalformedError) as error:
            message = f"{path.name}: {error}"
            raise UsageError(message) from error
        if key.name != self.origin:
            message = f"{path.name} is of {key.name}, want {self.origin}"
            raise UsageError(message)
        return key
