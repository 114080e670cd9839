"""`live-mismatch`: asks enclaves in use for a document, and verifies what they say.

So a build that nobody released is found when it is deployed, and not by its users. Each
`[[live]]` is asked every so often, with a fresh nonce, and over a connection whose
certificate the document has to name where the policy requires the channel:

    live = Live(config, state, clock)
    if live.due(time.monotonic()):
        alerts = live.look(now)         # never inside a transaction
        ...                             # raised in one, all of them, each time

Enclaves are asked in threads of their own, one each at a time, so that one that hangs
delays no round: `look` starts what is due, and tells what has been answered since. Only
the first `look` waits for its answers (each comes to an end, see pcrlog/transport.py),
so that `run --once` hears them.

What is wrong is a fact of the state, since when: an alert names that time, so that it
is the same at each probe and over restarts, and another one when it ends and comes
again. It has ended when three probes in a row could check and did not find it: behind
one address there may be many enclaves. The fact is written before the alert is raised;
if a crash comes between, the next probe raises it.

An enclave or a log that does not answer is no mismatch: `live-unchecked`, after three
probes in a row.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread

import msgspec
from msgspec import Struct, field

from monitor.alerts import Alert
from monitor.config import Config, seconds
from monitor.state import State
from pcrlog import limits
from pcrlog.collateral import Source
from pcrlog.enclave import Attested, fetch_attestation
from pcrlog.encoding import format_time, prepare
from pcrlog.errors import PcrlogError
from pcrlog.measurement import PLATFORMS
from pcrlog.online import wanted_bundle
from pcrlog.reader import Fetch
from pcrlog.transport import Client
from pcrlog.verification import Report, verify
from pcrlog.verification.document import Asked

Ask = Callable[[str, bytes], Attested]
"""URL and nonce to an enclave's answer; raises PcrlogError, and comes to an end."""

_RULE = "live"
_NONCE = 32
_IN_A_ROW = 3
"""Probes until silence is told, and until a mismatch has ended."""
_FIRST = 90.0
"""Seconds for which the first look waits: connecting, head, body, then the log."""
_SHOWN = 24


class _Wrong(Struct):
    """A mismatch: since when (unix seconds), and how often it was not seen since."""

    since: int
    unseen: int = 0


class _Memory(Struct):
    """What is remembered of one enclave: a fact of the state, as JSON."""

    unheard: int = 0
    unheard_since: int = 0
    wrong: dict[str, _Wrong] = field(default_factory=dict)


prepare(_Memory)


class _Enclave(Struct):
    """One `[[live]]`: when it is asked next (monotonic seconds), whether it is now."""

    product: str
    url: str
    every: float
    memory: _Memory
    next: float = float("-inf")
    asked: bool = False

    @property
    def name(self) -> str:
        return f"{self.product} at {self.url}"


class _Seen(Struct, frozen=True):
    """One probe: the verdict, what to call a mismatch, and in words."""

    verdict: str
    finding: str
    words: str


class Live:
    """The probes of one configuration.

    Args:
        config: its `[[live]]` tables, policy and log.
        state: where facts are kept; written outside of transactions.
        clock: unix seconds.
        ask: asks an enclave.
        connect: makes what reads the log; one for each probe.
        nonce: makes a nonce nobody could foresee.

    Raises:
        UsageError: the policy does not name a product.
    """

    def __init__(  # noqa: PLR0913 - the outside, one by one, for tests
        self,
        config: Config,
        state: State,
        clock: Callable[[], int],
        *,
        ask: Ask = fetch_attestation,
        connect: Callable[[str], Fetch] = Client,
        nonce: Callable[[], bytes] = lambda: secrets.token_bytes(_NONCE),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = config.policy
        self._log = config.log
        self._state = state
        self._clock = clock
        self._ask = ask
        self._connect = connect
        self._nonce = nonce
        self._monotonic = monotonic
        self._collateral = Source()
        self._waits = True
        self._answers: SimpleQueue[tuple[_Enclave, _Seen]] = SimpleQueue()
        self._enclaves = []
        for one in config.settings.live:
            self._policy.product(one.product)
            made = _Enclave(one.product, one.url, seconds(one.every), _Memory())
            if (fact := state.fact(_RULE, made.name)) is not None:
                made.memory = msgspec.json.decode(fact, type=_Memory)
            self._enclaves.append(made)

    def due(self, moment: float) -> bool:
        """Whether there is anything to ask, or to tell (monotonic seconds)."""
        return not self._answers.empty() or any(
            not one.asked and one.next <= moment for one in self._enclaves
        )

    def look(self, now: int) -> list[Alert]:
        """Ask whom it is time to ask, and tell what was answered; not in a transaction.

        Returns:
            What is wrong by the answers that came: the same alert (by id) as long as
            it is the same mismatch, or the same silence.
        """
        moment = self._monotonic()
        for one in self._enclaves:
            if not one.asked and one.next <= moment:
                one.asked, one.next = True, moment + one.every
                Thread(target=self._answer, args=(one,), daemon=True).start()
        alerts: list[Alert] = []
        ends = moment + _FIRST if self._waits else moment
        self._waits = False
        while any(one.asked for one in self._enclaves):
            try:
                answer = self._answers.get(timeout=max(0.0, ends - self._monotonic()))
            except Empty:
                break
            alerts += self._take(*answer, now)
        return alerts

    def wrong(self) -> list[str]:
        """The kinds of alert of what is wrong by the last answers."""
        kinds = set()
        for one in self._enclaves:
            if one.memory.wrong:
                kinds.add("live-mismatch")
            if one.memory.unheard >= _IN_A_ROW:
                kinds.add("live-unchecked")
        return sorted(kinds)

    # --- one probe, in its thread ----------------------------------------------------

    def _answer(self, one: _Enclave) -> None:
        try:
            seen = self._probe(one)
        except Exception as error:  # noqa: BLE001 - no answer may end the monitor
            seen = _Seen("unchecked", "", f"{type(error).__name__}: {error}")
        self._answers.put((one, seen))

    def _probe(self, one: _Enclave) -> _Seen:
        nonce = self._nonce()
        try:
            answer = self._ask(one.url, nonce)
        except PcrlogError as error:
            return _Seen("unchecked", "", str(error))
        now, bundle, why = self._clock(), None, ""
        asked = Asked(now, None, nonce)
        collateral = None
        try:
            collateral = self._collateral(
                answer.document, self._policy, one.product, asked
            )
        except PcrlogError as error:
            why = f": {error}"
        path = wanted_bundle(answer.document, self._policy, one.product, asked)
        if path is not None:
            try:
                bundle = self._connect(self._log.url)(path, limits.BUNDLE)
            except PcrlogError as error:
                why += f": {error}"
        report = verify(
            answer.document,
            bundle,
            self._policy,
            product=one.product,
            now=now,
            nonce=nonce,
            binding=answer.binding,
            collateral=collateral,
        )
        finding = _finding(report) if report.verdict == "refuted" else ""
        return _Seen(report.verdict, finding, report.headline + why)

    # --- what it comes to ------------------------------------------------------------

    def _take(self, one: _Enclave, seen: _Seen, now: int) -> Iterator[Alert]:
        one.asked = False
        memory = one.memory
        if seen.verdict == "unchecked":
            if memory.unheard == 0:
                memory.unheard_since = now
            memory.unheard += 1
        else:
            memory.unheard = 0
            _pass(memory, seen, now)
        fact = msgspec.json.encode(memory).decode()
        self._state.remember(_RULE, one.name, None if memory == _Memory() else fact)
        if seen.verdict == "refuted":
            since = format_time(memory.wrong[seen.finding].since)
            about = f"{one.name}: {seen.finding} since {since}"
            yield self._alert("live-mismatch", about, seen.words, now)
        elif memory.unheard >= _IN_A_ROW:
            about = f"{one.name} since {format_time(memory.unheard_since)}"
            yield self._alert("live-unchecked", about, seen.words, now)

    def _alert(self, kind: str, about: str, found: str, now: int) -> Alert:
        return Alert.of(kind, self._log.key.name, about, found, time=now)


def _pass(memory: _Memory, seen: _Seen, now: int) -> None:
    """Take in a probe that could check: what it found, and what it did not."""
    memory.unheard_since = 0
    for finding, wrong in list(memory.wrong.items()):
        wrong.unseen += 1
        if finding != seen.finding and wrong.unseen >= _IN_A_ROW:
            del memory.wrong[finding]
    if seen.verdict == "refuted":
        memory.wrong.setdefault(seen.finding, _Wrong(now)).unseen = 0


def _finding(report: Report) -> str:
    """What a mismatch is called: which checks failed, for which measurement."""
    failed = [one.id for one in report.checks if one.required and one.status == "fail"]
    links = [f"link {one.number}" for one in report.links if one.status == "failed"]
    registers = {**report.registers.unlisted, **report.registers.matched}
    names = PLATFORMS[report.platform].identity[0] if report.platform else ()
    what = [f"{name}={registers[name][:_SHOWN]}…" for name in names]
    return ", ".join([*(failed or links or ["refuted"]), *what])
