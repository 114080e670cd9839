"""A log's folder: where everything lies, and the settings in its log.toml.

    DIR/log.toml              origin and settings; written by `init`, yours to change
    DIR/log.vkey              the log's public key
    DIR/keys/                 0700: log.skey, registrar-enrol.key (and the root key,
                              until you take it away)
    DIR/intake.db, log.db     schema.sql; not there if the database is PostgreSQL
    DIR/public/               checkpoint and tile/: what the world sees; any web server,
                              CDN or object store may serve a copy of it
    DIR/run/                  lock, wake-up FIFO, serve.json, witnesses.json: of the
                              running server

>>> Settings.parse(b'origin = "log.example/pcr"').heartbeat
3600
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pcrlog import limits
from pcrlog.errors import MalformedError, UsageError
from pcrlog.note import COSIGNATURE, VerifierKey
from pcrlog.predicates import Origin

SETTINGS = "log.toml"
STANDBY = "standby.toml"
"""The settings that a standby will have: a folder with it alone is no log yet."""
_COSIGNERS = limits.NOTE_SIGNATURES - 1
"""A checkpoint has so many lines beside the log's own."""
_Seconds = Annotated[int, Meta(ge=1, le=300)]
_Rate = Annotated[int, Meta(ge=0, le=1_000_000)]
_Burst = Annotated[int, Meta(ge=1, le=1_000_000)]
_LINE = 512
_PLAIN = r"[!#-\[\]-~]+\Z"
"""Printable ASCII that needs no escape in TOML."""
_DATABASE = rf"^postgres(ql)?://{_PLAIN}"
_PAGE = rf"^https?://{_PLAIN}"
_ENDPOINT = r"^https?://[A-Za-z0-9.:_/\[\]-]+\Z"
"""Without user and password: it stands in messages."""
_PUBLISHED_AT = (
    r"^(?:folder|database|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
    r"(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)\Z"
)


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is asked to cosign: its `vkey` (type 0x04), its `url` (submission prefix)."""

    vkey: Annotated[str, Meta(max_length=_LINE, pattern=f"^{_PLAIN}")]
    url: Annotated[str, Meta(max_length=_LINE, pattern=_PAGE)]

    @property
    def key(self) -> VerifierKey:
        """The key that the vkey spells.

        Raises:
            MalformedError: it spells none.
        """
        return VerifierKey.parse(self.vkey)


class Quorum(Struct, frozen=True, forbid_unknown_fields=True):
    """At least `quorum` of `members` must cosign before a checkpoint is published.

    `timeout` is in seconds; without it, its kind's (`witnesses.TIMEOUTS`).
    """

    quorum: Annotated[int, Meta(ge=1, le=_COSIGNERS)]
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=_COSIGNERS)]
    timeout: _Seconds | None = None


class Public(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the log is published: `at` is "folder", "database" or s3://BUCKET/PREFIX.

    A bucket may have an `endpoint`, if it is not Amazon's, and a `region`.
    """

    at: Annotated[str, Meta(max_length=_LINE, pattern=_PUBLISHED_AT)] = "folder"
    endpoint: Annotated[str, Meta(max_length=_LINE, pattern=_ENDPOINT)] | None = None
    region: Annotated[str, Meta(max_length=_LINE, pattern=f"^{_PLAIN}")] | None = None

    def __post_init__(self) -> None:
        """Refuse what would be forgotten."""
        is_bucket = self.at.startswith("s3://")
        if not is_bucket and (self.endpoint is not None or self.region is not None):
            message = f"endpoint and region are of a bucket, and at is {self.at!r}"
            raise ValueError(message)


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What log.toml says. Times are in seconds."""

    origin: Origin
    heartbeat: Annotated[int, Meta(ge=1, le=86_400)] = 3600
    """An idle log seals this often, so that freshness can be told from silence."""
    min_publish_interval: Annotated[int, Meta(ge=0, le=3600)] = 0
    """At least this long between two checkpoints; witnesses have daily budgets."""
    threads: Annotated[int, Meta(ge=4, le=4096)] = 4
    """Questions answered at once; of submissions any number may wait. They take
    turns at the interpreter: with 16 threads a bundle cost half as much again."""
    most_waiting: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Statements that may wait for a decision; more are refused with 429."""
    rate_per_address: _Rate = 200
    """Statements a second from one address, in the long run; 0: no limit."""
    burst_per_address: _Burst = 5000
    """As many at once."""
    rate_per_identity: _Rate = 20
    """Releases and passes a second by one identity, in the long run; 0: no limit."""
    burst_per_identity: _Burst = 2000
    """As many at once."""
    trusted_proxies: Annotated[int, Meta(ge=0, le=8)] = 0
    """So many proxies in front, each of which adds to X-Forwarded-For who asked it."""
    witnesses: Quorum | None = None
    """Who says: this extends what I saw. Without it nobody is asked."""
    database: Annotated[str, Meta(max_length=2048, pattern=_DATABASE)] | None = None
    """A PostgreSQL database, as libpq spells it; without it SQLite, in the folder."""
    lease: Annotated[int, Meta(ge=2, le=300)] = 5
    """In PostgreSQL: so long without a sign of life, and another sequencer goes on."""
    index_monitors: Quorum | None = None
    """Who says: I have recomputed the index. Without it nobody is asked."""
    monitor: Annotated[str, Meta(max_length=_LINE, pattern=_PAGE)] | None = None
    """The page of a monitor of this log, to which the server's own pages lead."""
    public: Public | None = None
    """Where the files for everybody are published; see `Config.publishing`."""

    def __post_init__(self) -> None:
        """Refuse what no policy could repeat."""
        for quorum in (self.witnesses, self.index_monitors):
            if quorum is not None and quorum.quorum > len(quorum.members):
                message = (
                    f"a quorum of {quorum.quorum} cannot be reached by"
                    f" {len(quorum.members)} members"
                )
                raise ValueError(message)
        try:
            keys = [member.key for member in self.cosigners()]
        except MalformedError as error:
            raise ValueError(str(error)) from error
        if any(key.kind != COSIGNATURE for key in keys):
            message = "expected vkeys of witnesses, index monitors of type 0x04"
            raise ValueError(message)
        if len({key.public for key in keys}) != len(keys):
            message = "a key stands twice among witnesses and index monitors"
            raise ValueError(message)
        if len(keys) > _COSIGNERS:
            message = f"{len(keys)} witnesses and index monitors, at most {_COSIGNERS}"
            raise ValueError(message)

    def cosigners(self) -> tuple[Member, ...]:
        """All who are asked to cosign."""
        quorums = (self.witnesses, self.index_monitors)
        return tuple(m for q in quorums if q is not None for m in q.members)

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
        text = _TOML.format(self=self)
        if self.database is None:
            text += _DATABASE_EXAMPLE
        else:
            text += _DATABASE_TOML.format(self=self)
        text += _MONITOR_TOML.format(self.monitor or "https://monitor.example/")
        if self.monitor is None:
            text = text.replace("\nmonitor =", "\n# monitor =")
        tables = {"witnesses": self.witnesses, "index_monitors": self.index_monitors}
        for name, quorum in tables.items():
            if quorum is not None:
                text += _quorum_toml(name, quorum)
        text += _PUBLIC_EXAMPLE if self.public is None else _public_toml(self.public)
        return (text if self.cosigners() else text + _EXAMPLE).encode()


def _public_toml(public: Public) -> str:
    found = {"at": public.at, "endpoint": public.endpoint, "region": public.region}
    lines = [f'{name} = "{value}"' for name, value in found.items() if value]
    words = "# Where the files for everybody are published."
    return "\n".join(["", words, "[public]", *lines, ""])


def _quorum_toml(name: str, quorum: Quorum) -> str:
    timeout = "" if quorum.timeout is None else f"timeout = {quorum.timeout}\n"
    members = "".join(
        f'\n[[{name}.members]]\nvkey = "{member.vkey}"\nurl = "{member.url}"\n'
        for member in quorum.members
    )
    words = f"# No checkpoint is published before so many of these {name} cosigned it."
    words = words.replace("_", " ")
    return f"\n{words}\n[{name}]\nquorum = {quorum.quorum}\n{timeout}{members}"


_TOML = """\
# The settings of this log; times are in seconds. Restart `serve` after a change.

# The log's name. Never change it: every statement and every checkpoint holds it.
origin = "{self.origin}"

# An idle log seals this often, so that clients can tell freshness from silence.
heartbeat = {self.heartbeat}

# At least this long between two checkpoints.
min_publish_interval = {self.min_publish_interval}

# Questions answered at once. Submissions take none of these: any number may wait.
threads = {self.threads}

# Statements that may wait for a decision; more are refused with 429.
most_waiting = {self.most_waiting}

# Statements a second from one address, in the long run; more get 429. 0 is no limit.
rate_per_address = {self.rate_per_address}
# As many at once.
burst_per_address = {self.burst_per_address}

# Releases and passes a second by one identity; revocations and fails always pass.
rate_per_identity = {self.rate_per_identity}
# As many at once.
burst_per_identity = {self.burst_per_identity}

# So many proxies in front that each add to X-Forwarded-For who asked it. With a wrong
# number, clients choose their address, or all of them have one.
trusted_proxies = {self.trusted_proxies}
"""
_MONITOR_TOML = """
# The page of a monitor of this log, with its alerts: the status page leads there.
monitor = "{}"
"""
_PUBLIC_EXAMPLE = """
# The files for everybody lie in the folder public/, unless they are published in a
# bucket that speaks S3, or are not written at all and answered from the database.
#
# [public]
# at = "s3://bucket/prefix"  # or "folder", or "database"
# endpoint = "https://s3.example"
# region = "eu-central-1"
"""
_DATABASE_EXAMPLE = """
# The log's database is SQLite, in this folder. One in PostgreSQL is named when a log is
# made: pcrlog-server init --database
# database = "postgresql:///pcrlog"
"""
_DATABASE_TOML = """
# The PostgreSQL database of this log, instead of SQLite in this folder. A password is
# better kept in a passfile or a service file of libpq than here.
database = "{self.database}"

# Of all `serve` with this database one sequences; if it gives no sign of life for so
# many seconds, another one goes on.
lease = {self.lease}
"""
_EXAMPLE = """
# Nobody but the log vouches for its one history until witnesses cosign it, and for its
# index until index monitors do. A checkpoint is published when `quorum` of them have.
#
# [witnesses]
# quorum = 1
#
# [[witnesses.members]]
# vkey = "w1.example/a+..."
# url = "https://w1.example/a"
#
# [index_monitors] has the same members.
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
            if (directory / STANDBY).is_file():
                message = f"{directory} is a standby: pcrlog-server promote {directory}"
            raise UsageError(message) from error
        return cls(directory, Settings.parse(data))

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.settings.origin

    @property
    def publishing(self) -> Public:
        """Where the log is published: of what has a folder of its own, in that."""
        if self.settings.public is not None:
            return self.settings.public
        return Public("folder" if self.settings.database is None else "database")

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

    @property
    def witnessing(self) -> Path:
        """Where the sequencer says how its witnesses are (`standing`)."""
        return self.directory / "run" / "witnesses.json"

    @property
    def clock_confirmed(self) -> Path:
        """What an operator touches to say that the clock is right (`clock_check`)."""
        return self.directory / "run" / "clock-is-right"

    @property
    def clock_refused(self) -> Path:
        """Where the sequencer says why it does not take the clock's word."""
        return self.directory / "run" / "clock-refused"

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
