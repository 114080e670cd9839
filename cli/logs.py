"""Which log a command speaks to, and how much of what it says is believed.

With a policy, all of it is proven by `pcrlog.reader` against the keys in the policy.
Without one, `--log URL` is enough to submit: then nothing is believed, and the command
says so. Both give the same `View`, so that commands are written once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cli.mirror_answers import Mirror
from cli.options import LogOptions, load_policy
from cli.session import Session
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.bundle import Bundle
from pcrlog.encoding import shown
from pcrlog.entry import Entry, read_entry
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.index_keys import keys_of_payload
from pcrlog.measurement import PLATFORMS, Registers, spell
from pcrlog.note import UnverifiedNote
from pcrlog.online import auditors_of
from pcrlog.policy import Log, Policy
from pcrlog.policy_file import Distrust
from pcrlog.reader import (
    SKEW,
    AbsentError,
    Reader,
    bundle_path,
    lookup_path,
    read_statement,
)
from pcrlog.transport import Client


class View(Protocol):
    """The answers of one bundle."""

    @property
    def size(self) -> int:
        """Leaves in the tree that the answers are about."""
        ...

    def ask(self, key: str) -> tuple[Entry, ...]:
        """All entries under an index key, ascending."""
        ...

    def ask_if_there(self, key: str) -> tuple[Entry, ...]:
        """The same, or nothing if the key is not answered."""
        ...

    def newest(self, key: str) -> tuple[tuple[int, ...], tuple[Entry, ...]]:
        """All indices under a key, and the newest of their entries."""
        ...

    def judge(self, entries: Sequence[Entry]) -> Authority:
        """Who may say what, from entries in ascending order."""
        ...


class Believed:
    """A bundle of a log that no policy vouches for: its word, and no more."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        text = UnverifiedNote.parse(bundle.note).text
        self.origin, size = text.split("\n")[:2]
        self.size = int(size) if size.isascii() and size.isdigit() else 0

    def ask(self, key: str) -> tuple[Entry, ...]:
        """What the log says there is under a key."""
        if key not in self._bundle.answers:
            message = f"the log does not answer {key}"
            raise UncheckedError(message)
        indices = self._bundle.answers[key].indices
        there = ((i, self._bundle.entries.get(i)) for i in indices)
        return tuple(read_entry(i, one.envelope) for i, one in there if one is not None)

    def ask_if_there(self, key: str) -> tuple[Entry, ...]:
        """The same, or nothing."""
        return self.ask(key) if key in self._bundle.answers else ()

    def newest(self, key: str) -> tuple[tuple[int, ...], tuple[Entry, ...]]:
        """All indices under a key, and the newest of their entries."""
        entries = self.ask(key)
        return self._bundle.answers[key].indices, entries

    def judge(self, entries: Sequence[Entry]) -> Authority:
        """Who may say what, if these are all."""
        authority = Authority(self.origin)
        for entry in entries:
            authority.accept(entry)
        return authority


_NO_DEMANDS = Policy(
    sha256="",
    version=0,
    valid_until=limits.INTEGER,
    clock_skew=SKEW,
    clock_attested=False,
    archives=False,
    distrust=Distrust(),
    logs={},
    platforms={},
    products={},
)


@dataclass
class Access:
    """One log, reached; `reader` and `policy` are None if nothing is believed."""

    source: Client | Mirror
    origin: str
    policy: Policy | None = None
    reader: Reader | None = None
    log: Log | None = None

    @property
    def client(self) -> Client:
        """The log itself.

        Raises:
            UsageError: this is a mirror, which takes no statements.
        """
        if isinstance(self.source, Client):
            return self.source
        message = f"{self.source.url} is a mirror: statements go to the log"
        raise UsageError(message)

    @property
    def rules(self) -> Policy:
        """The policy, or one that demands nothing."""
        return self.policy or _NO_DEMANDS

    def bundle(
        self, product: str, measurements: Iterable[str], auditors: Iterable[str]
    ) -> bytes:
        """The log's bundle for a product, as it came."""
        path = bundle_path(product, measurements, auditors)
        return self.source(path, limits.BUNDLE)

    def fetch(self, product: str, measurements: Iterable[str]) -> bytes:
        """The bundle that the policy asks of a product, whose checkpoint stands."""
        auditors = auditors_of(self.rules, product)
        data = self.bundle(product, measurements, auditors)
        self.open(data)
        return data

    def open(self, data: bytes) -> View:
        """A bundle's answers, proven if there is a policy."""
        if self.reader is None:
            return Believed(Bundle.parse(data))
        return self.reader.open(data)

    def lookup(self, key: str) -> View:
        """The view that answers one key."""
        return self.open(self.source(lookup_path(key), limits.BUNDLE))

    def under(self, key: str) -> tuple[int, Iterator[Entry]]:
        """How many entries are under a key, and these, the newest first.

        A log hands over as many as it likes; the others are fetched one by one.
        """
        indices, newest = self.lookup(key).newest(key)
        handed = {entry.index: entry for entry in newest}

        def entries() -> Iterator[Entry]:
            for index in reversed(indices):
                entry = handed[index] if index in handed else self.entry(index)
                if key not in keys_of_payload(entry.envelope.payload):
                    message = f"entry {index} does not belong under {key}"
                    raise VerificationError(message)
                yield entry

        return len(indices), entries()

    def said(self, name: str, platform: str, measurement: str) -> View:
        """The view of all that a name says about a measurement, and of its identity.

        What the log is asked for is a bundle of a product that nobody releases: it
        holds just these answers.
        """
        return self.open(self.bundle(f"{name}/said", [f"{platform}/{measurement}"], ()))

    def identities(self, *names: str) -> View:
        """A view that answers the identities of the registrar and of these names."""
        first, *rest = names
        nothing = f"artifact/digest=sha256:{'0' * 64}"
        return self.open(self.bundle(f"{first}/said", [nothing], rest))

    def leaf(self, index: int) -> bytes:
        """The bytes at an index, proven to be in the log if there is a policy."""
        if self.reader is not None:
            return self.reader.entry(index)
        try:
            return self.source(f"api/v1/entries/{index}", limits.ENVELOPE)
        except AbsentError as error:
            raise UncheckedError(str(error)) from error

    def entry(self, index: int) -> Entry:
        """The statement at an index."""
        return read_statement(index, self.leaf(index))


def platform_of(registers: Registers) -> str:
    """The platform that registers belong to, by their names."""
    for name, platform in PLATFORMS.items():
        if set(platform.required) <= set(registers):
            return name
    message = f"no platform has just the registers {', '.join(registers)}"
    raise UsageError(message)


def measurements_of(registers: Registers) -> list[str]:
    """`<platform>/<M>`, each."""
    platform = platform_of(registers)
    found = spell(PLATFORMS[platform].identity, registers)
    return [f"{platform}/{one}" for one in found]


def choose(policy: Policy, url: str | None) -> Log:
    """The policy's log, or the one of them at `url`.

    Raises:
        UsageError: there is none there, or more than one to choose from.
    """
    logs = list(policy.logs.values())
    if url is not None:
        logs = [log for log in logs if log.url == url.rstrip("/")]
    if len(logs) == 1:
        return logs[0]
    known = ", ".join(log.url for log in policy.logs.values())
    wanted = f"the policy has no log at {url}" if url else "which log? --log URL"
    message = f"{wanted}; the policy's are: {known}"
    raise UsageError(message)


def log_of(policy: Policy, note: bytes) -> Log:
    """The policy's log that a checkpoint note is of; nothing is verified.

    Raises:
        UsageError: the policy has none of that name.
        MalformedError: not a note.
    """
    origin = UnverifiedNote.parse(note).text.partition("\n")[0]
    if origin not in policy.logs:
        known = ", ".join(policy.logs)
        message = f"that is the log {shown(origin)}; the policy's are: {known}"
        raise UsageError(message)
    return policy.logs[origin]


def source_of(options: LogOptions, policy: Policy) -> tuple[Client | Mirror, Log]:
    """What the options name, and which of the policy's logs it is.

    Raises:
        UsageError: they name none, or two.
        UncheckedError: there is no mirror.
    """
    if options.mirror is None:
        log = choose(policy, options.log)
        return Client(log.url), log
    if options.log is not None:
        message = "--log or --mirror, one of them"
        raise UsageError(message)
    mirror = Mirror(options.mirror)
    return mirror, log_of(policy, mirror.note)


def reach(session: Session, options: LogOptions) -> Access:
    """The log that the options name.

    Raises:
        UsageError: they name none.
    """
    if options.policy is not None:
        policy = load_policy(options.policy)
        source, log = source_of(options, policy)
        reader = Reader(source, log, session.now, skew=policy.clock_skew)
        return Access(source, log.key.name, policy, reader, log)
    if options.mirror is None and options.log is None:
        message = "which log? --policy FILE (or PCRLOG_POLICY), or --log URL"
        raise UsageError(message)
    source = Mirror(options.mirror) if options.mirror else Client(options.log or "")
    with session.output.progress(f"asking {source.url}"):
        note = UnverifiedNote.parse(source("checkpoint", limits.NOTE))
    session.output.remark(
        f"no policy, so nothing that {source.url} says is checked; --policy FILE checks"
        " it"
    )
    return Access(source, note.text.partition("\n")[0])
