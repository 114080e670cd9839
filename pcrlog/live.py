"""A live enclave, judged by whoever is about to talk to it: any client, any protocol.

A client that holds a connection has a document that came over it, the nonce that it
sent, and what the connection shows of its other end (`connection.shown_by`). `Verifier`
fetches the log's answers, lets `verify` judge, and says for how long that holds. The
channel is always required, whatever the policy says: a genuine enclave *somewhere* is
no reason to send anything over *this* connection (PROTOCOL.md section 4, Channel).

`pcrlog.requests` is this for requests. Clock, randomness and fetch are arguments; what
they are by default opens sockets and reads the clock, in `transport` and here.
"""

import secrets
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from pcrlog import limits
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import open_checkpoint
from pcrlog.collateral import Source, ends_of
from pcrlog.encoding import shown
from pcrlog.errors import PcrlogError, UncheckedError, UsageError
from pcrlog.note import UnverifiedNote
from pcrlog.online import wanted_bundle, with_channel
from pcrlog.policy import Log, Policy
from pcrlog.reader import Fetch, Reader
from pcrlog.seal import Seal
from pcrlog.transport import Client
from pcrlog.verification import Enclave, Memory, Report, verify
from pcrlog.verification.document import Asked

NONCE = 32
"""Bytes of a nonce."""


class Accepted(Struct, frozen=True):
    """An enclave that may be talked to over one connection, for a while.

    `since` and `until` are unix seconds: before and after, it has to be verified again.
    """

    enclave: Enclave
    report: Report
    since: float
    until: float

    def holds(self, now: float) -> bool:
        """Whether it may still be relied on; a clock that went back says no."""
        return self.since <= now < self.until


class Verifier:
    """Judges documents of one product as they come; for several threads.

    Args:
        policy: the relying party's own demands.
        product: what the enclave is meant to be.
        source: what the log's answers are fetched with; else the policy's only log.
        stapled: gives the bundle that the provider hands out with its document, or None
            (or an OSError) where there is none. It is tried first, and the log asked if
            it will not do.
        told: is handed every report, whatever its verdict, before anything is sent.
        clock: unix seconds.
        collateral: gives what a maker publishes of its machines, for a document; by
            default it is had as the policy says (`pcrlog.collateral`).

    Raises:
        UsageError: the policy does not name the product, or has several logs and no
            `source` is given.
    """

    def __init__(  # noqa: PLR0913 - the outside, one by one
        self,
        policy: Policy,
        product: str,
        *,
        source: Fetch | None = None,
        stapled: Callable[[], bytes | None] | None = None,
        told: Callable[[Report], None] | None = None,
        clock: Callable[[], float] = time.time,
        collateral: Callable[[bytes, Policy, str, Asked], bytes | None] | None = None,
    ) -> None:
        self.product = product
        self.clock = clock
        self.memory: Memory | None = None
        """The log's newest checkpoint: to be kept, and set, between processes."""
        self._policy = with_channel(policy, product)
        self._source = source or _only_log(policy)
        self._stapled = stapled
        self._told = told
        self._collateral = collateral or Source()
        self._last: bytes | None = None

    def nonce(self) -> bytes:
        """A fresh one, to be asked for once."""
        return secrets.token_bytes(NONCE)

    def verify(
        self, document: bytes, nonce: bytes, binding: Mapping[str, bytes] | None
    ) -> Accepted:
        """Judge a document that has just come.

        Args:
            document: raw, or in base64 or hex.
            nonce: what the enclave was asked with.
            binding: what the connection shows that everything else will go over.

        Raises:
            VerificationError: refuted: do not send.
            UncheckedError: something could not be checked: do not send either.
        """
        now = self.clock()
        collateral, silent = self._collected(document, Asked(int(now), None, nonce))
        asked = Asked(int(now), None, nonce, collateral)
        report, bundle, why = self._judge(document, asked, binding)
        why = why or silent
        if self._told is not None:
            self._told(report)
        try:
            enclave = report.verified()
        except UncheckedError as error:
            if why is None:
                raise
            message = f"{error} ({why})"
            raise UncheckedError(message) from error
        # Verified, so there is a bundle, and its checkpoint was rightly signed, fresh
        # and cosigned (PROTOCOL.md section 4, Memory).
        proven = Bundle.parse(bundle or b"")
        seal, log = Seal.parse(proven.seal), _log_of(proven, self._policy)
        self._remember(Memory(proven.note, frozen=seal.frozen), log)
        until = min(self._until(log, seal, now), ends_of(report, collateral))
        return Accepted(enclave, report, now, until)

    def _judge(
        self, document: bytes, asked: Asked, binding: Mapping[str, bytes] | None
    ) -> tuple[Report, bytes | None, PcrlogError | None]:
        """The report and the answers it is by; and why the log gave none, if so."""
        memory = self.memory
        why: PcrlogError | None = None

        def report(bundle: bytes | None) -> Report:
            return verify(
                document,
                bundle,
                self._policy,
                product=self.product,
                now=asked.now,
                nonce=asked.nonce,
                binding=binding,
                memory=memory,
                collateral=asked.collateral,
            )

        stapled = self._staple()
        if stapled is not None:
            found = report(stapled)
            if found.verdict == "verified":
                return found, stapled, None
        try:
            bundle = self._fetch(document, asked)
            memory = self._proven(memory, bundle, asked.now)
        except PcrlogError as error:
            # The policy says how old the log's answers may be, and so for how long a
            # log may be silent.
            bundle, why = self._last, error
        found = report(bundle)
        if found.verdict == "verified":
            self._last = bundle
        return found, bundle, why

    def _collected(
        self, document: bytes, asked: Asked
    ) -> tuple[bytes | None, PcrlogError | None]:
        try:
            product = self.product
            return self._collateral(document, self._policy, product, asked), None
        except PcrlogError as error:
            return None, error

    def _fetch(self, document: bytes, asked: Asked) -> bytes | None:
        path = wanted_bundle(document, self._policy, self.product, asked)
        return None if path is None else self._source(path, limits.BUNDLE)

    def _staple(self) -> bytes | None:
        """What the provider hands out; what cannot be had is no reason to fail."""
        try:
            return None if self._stapled is None else self._stapled()
        except (OSError, PcrlogError):
            return None

    def _proven(
        self, memory: Memory | None, bundle: bytes | None, now: int
    ) -> Memory | None:
        """The memory, with the hashes up to an answer of the log, if that gives them.

        Without them `log.memory` is unchecked, and a log could show two histories.
        """
        if memory is None or bundle is None:
            return memory
        try:
            answer = Bundle.parse(bundle)
            log = _log_of(answer, self._policy)
            sizes = {_size_of(note, log) for note in (memory.note, answer.note)}
            if len(sizes) == 1:
                return memory
            proof = Reader(self._source, log, now).prefix(min(sizes), max(sizes))
        except PcrlogError:
            return memory
        return Memory(memory.note, proof, memory.frozen)

    def _remember(self, new: Memory, log: Log) -> None:
        """Keep a checkpoint, unless a larger one is kept: a staple may be old.

        Two threads may each miss what the other writes; either checkpoint will do.
        """
        try:
            old = 0 if self.memory is None else _size_of(self.memory.note, log)
        except PcrlogError:
            old = 0  # of another log, or none at all
        if old < _size_of(new.note, log):
            self.memory = new

    def _until(self, log: Log, seal: Seal, now: float) -> float:
        """When the document, or the log's answers, will be too old for the policy."""
        policy, rules = self._policy, self._policy.product(self.product)
        known = set(rules.platforms) & set(policy.platforms)
        ages = [policy.platforms[name].max_age for name in known]
        ends = seal.time + log.max_age
        if seal.frozen and log.frozen_until is not None:
            ends = log.frozen_until
        return min(policy.valid_until, ends, now + min(ages))


def _log_of(bundle: Bundle, policy: Policy) -> Log:
    """Whose answers these are.

    Raises:
        UncheckedError: of a log that the policy does not name.
    """
    origin = bundle.note.partition(b"\n")[0].decode()
    if origin not in policy.logs:
        message = f"the policy names no log {shown(origin)}"
        raise UncheckedError(message)
    return policy.logs[origin]


def _size_of(note: bytes, log: Log) -> int:
    """How many leaves a checkpoint has that this log signed.

    Raises:
        PcrlogError: it is none.
    """
    return open_checkpoint(UnverifiedNote.parse(note), log.key).size


def _only_log(policy: Policy) -> Client:
    if len(policy.logs) != 1:
        message = (
            f"which log? the policy has {len(policy.logs)}: source=Client(URL) (from"
            " pcrlog.transport)"
        )
        raise UsageError(message)
    [log] = policy.logs.values()
    return Client(log.url)
