"""monitor.toml: which log to watch, what is ours in it, and whom to tell.

The log's key, registrar, quorums and ages are those of a policy file, the same that
`pcrlog verify` takes: a monitor holds the log to what its users hold it to, and its
auditors are the ones that count for a product. `EXAMPLE` is an example with every
member; unknown members are errors. Durations are `<number><s|m|h|d>` or `<number>ms`.

Paths are relative to the file. The state is a folder:

    STATE/monitor.db     what is verified, alerts, rounds (schema.sql)
    STATE/index.db       the index, recomputed from the entries
    STATE/delivery.db    how far each sink has come
    STATE/evidence/      pcrlog-evidence/v1 files

>>> Config.parse(EXAMPLE.encode()).watch.products
('acme.example/wallet',)
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from pcrlog import limits
from pcrlog.encoding import decode_base64, parse_decimal
from pcrlog.envelope import KeyId
from pcrlog.errors import MalformedError, UsageError
from pcrlog.measurement import parse_measurement
from pcrlog.merkle import HASH_SIZE
from pcrlog.policy import Log, Policy
from pcrlog.predicates import Name

EXAMPLE = """
format = "pcrlog-monitor/v1"
policy = "policy.toml"                 # whose log, quorums and auditors these are
log = "log.example/pcr"                # which of the policy's logs; one is the default
state = "state"
poll = "5s"
# The first checkpoint: "first-use", or "<size> <base64 root>" as `init` printed it.
# With a pin, a state that somebody deleted is noticed.
first = "first-use"
listen = "127.0.0.1:8090"              # pages, feed, metrics, witness; optional

[watch]
products = ["acme.example/wallet"]
identities = ["acme.example"]
keys = []                              # keyids
measurements = []                      # aws-nitro/PCR0=sha384:…
expected = ["measurements/"]           # what builds print: files, folders, URLs
statements = []                        # in our names and known: SHA-256
unaudited_after = "24h"
expiring_within = "7d"

[[live]]
product = "acme.example/wallet"
url = "https://wallet.example/attestation"
every = "5m"

[[view]]                               # others who have seen this log
name = "w1.example"
url = "https://w1.example"             # a witness's monitoring prefix
kind = "witness"                       # or "checkpoint": the URL of a checkpoint file
every = "30s"

[cosign]                               # be an index monitor
key = "monitor.skey"

[[sink]]
name = "pager"
kind = "webhook"
url = "https://hooks.example/pcrlog"
secret_file = "webhook.secret"         # HMAC-SHA256 of the body

[[sink]]
name = "mail"
kind = "smtp"
server = "mail.example:587"
from = "monitor@acme.example"
to = ["security@acme.example"]
user = "monitor"
password_file = "smtp.password"
tls = "starttls"                       # "tls", or "none": a server on this machine

[heartbeat]                            # asked after each round that could look: silence
url = "https://alive.example/pcrlog"   # is an alarm elsewhere
every = "60s"
"""

_DURATION = re.compile(r"(0|[1-9][0-9]{0,5})(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_FIRST_USE = "first-use"
_Url = Annotated[str, Meta(pattern=r"^https?://[!-~]{1,512}\Z")]
_SinkName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
_Path = Annotated[str, Meta(min_length=1, max_length=1024)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Watch(_Part, frozen=True):
    """What is ours in the log."""

    products: tuple[str, ...] = ()
    identities: tuple[Name, ...] = ()
    keys: tuple[KeyId, ...] = ()
    measurements: tuple[str, ...] = ()
    expected: tuple[_Path, ...] | None = None
    statements: tuple[KeyId, ...] | None = None
    unaudited_after: str | None = None
    expiring_within: str | None = None


class Live(_Part, frozen=True):
    """An enclave to ask for a document now and then."""

    product: str
    url: _Url
    every: str = "5m"


class View(_Part, frozen=True):
    """Somebody else who has seen this log."""

    name: _SinkName | Name
    url: _Url
    kind: Literal["witness", "checkpoint"] = "witness"
    every: str = "30s"


class Cosigning(_Part, frozen=True):
    """To cosign what came out clean: `key` is a file with an skey of type 0x04."""

    key: _Path


class Webhook(_Part, frozen=True, tag_field="kind", tag="webhook"):
    """POSTs each alert as JSON."""

    name: _SinkName
    url: _Url
    secret_file: _Path | None = None


class Smtp(_Part, frozen=True, tag_field="kind", tag="smtp", rename={"sender": "from"}):
    """Sends each alert as mail."""

    name: _SinkName
    server: Annotated[str, Meta(pattern=r"^[0-9A-Za-z.:\[\]-]{1,255}:[0-9]{1,5}\Z")]
    sender: str
    to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=32)]
    user: str | None = None
    password_file: _Path | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"


class Stdout(_Part, frozen=True, tag_field="kind", tag="stdout"):
    """Prints each alert as a line of JSON."""

    name: _SinkName = "stdout"


Sink = Webhook | Smtp | Stdout


class Heartbeat(_Part, frozen=True):
    """Where to say that this monitor lives and could look."""

    url: _Url
    every: str = "60s"


class Settings(_Part, frozen=True):
    """What monitor.toml says, as it stands there."""

    format: Literal["pcrlog-monitor/v1"]
    policy: _Path
    state: _Path
    log: str | None = None
    poll: str = "5s"
    first: str = _FIRST_USE
    listen: str | None = None
    watch: Watch = field(default_factory=Watch)
    live: Annotated[tuple[Live, ...], Meta(max_length=64)] = ()
    view: Annotated[tuple[View, ...], Meta(max_length=64)] = ()
    cosign: Cosigning | None = None
    sink: Annotated[tuple[Sink, ...], Meta(max_length=32)] = ()
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A monitor.toml that was read, beside its policy."""

    folder: Path
    settings: Settings
    policy: Policy
    log: Log

    @staticmethod
    def parse(data: bytes) -> Settings:
        """Read the bytes of a monitor.toml.

        Raises:
            UsageError: not TOML, an unknown member, a value out of its form.
        """
        try:
            settings = msgspec.convert(tomllib.loads(data.decode()), Settings)
            _check(settings)
        except (ValueError, MalformedError, RecursionError) as error:
            message = f"monitor.toml: {error}"
            raise UsageError(message) from error
        return settings

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Read a monitor.toml and its policy.

        Raises:
            UsageError: a file cannot be read, or says what makes no sense.
        """
        settings = cls.parse(read_file(path))
        folder = path.resolve().parent
        policy = Policy.parse(read_file(folder / settings.policy))
        return cls(folder, settings, policy, choose_log(policy, settings.log))

    @property
    def state(self) -> Path:
        """The folder of the state."""
        return self.folder / self.settings.state

    @property
    def watch(self) -> Watch:
        """What is ours."""
        return self.settings.watch

    @property
    def first(self) -> tuple[int, bytes] | None:
        """Size and root of the first checkpoint; None: whatever comes first."""
        return parse_first(self.settings.first)


def seconds(duration: str) -> float:
    """Seconds of a duration.

    Raises:
        UsageError: not of its form.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        message = f"expected a duration such as 500ms, 30s, 5m, 24h, 7d: {duration!r}"
        raise UsageError(message)
    return int(match[1]) * _SECONDS[match[2]]


def parse_first(text: str) -> tuple[int, bytes] | None:
    """A pinned first checkpoint.

    Raises:
        MalformedError: neither "first-use" nor a size and a root.
    """
    if text == _FIRST_USE:
        return None
    size, _, root = text.partition(" ")
    found = parse_decimal(size, limits.TREE_SIZE), decode_base64(root)
    if len(found[1]) != HASH_SIZE:
        message = f"first: a root of {HASH_SIZE} bytes, found {len(found[1])}"
        raise MalformedError(message)
    return found


def _check(settings: Settings) -> None:
    parse_first(settings.first)
    names = [one.name for one in settings.sink]
    if len(names) != len(set(names)):
        message = "two sinks of one name"
        raise MalformedError(message)
    for measurement in settings.watch.measurements:
        parse_measurement(measurement)
    for duration in (
        settings.poll,
        settings.watch.unaudited_after,
        settings.watch.expiring_within,
        *(one.every for one in settings.live),
        *(one.every for one in settings.view),
        settings.heartbeat.every if settings.heartbeat else None,
    ):
        if duration is not None:
            seconds(duration)
    if settings.cosign is not None and settings.listen is None:
        message = "cosign needs listen: the log asks there for cosignatures"
        raise MalformedError(message)


def choose_log(policy: Policy, name: str | None) -> Log:
    """The log of that name, or the only one.

    Raises:
        UsageError: there is none, or there are several and none was named.
    """
    if name is None and len(policy.logs) == 1:
        [log] = policy.logs.values()
        return log
    if name is None or name not in policy.logs:
        message = f"log = one of the policy's: {', '.join(policy.logs)}"
        raise UsageError(message)
    return policy.logs[name]


def read_file(path: Path) -> bytes:
    """A file, at most as large as a policy may be.

    Raises:
        UsageError: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits.POLICY + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error
    if len(data) > limits.POLICY:
        message = f"{path} has more than {limits.POLICY} bytes"
        raise UsageError(message)
    return data
