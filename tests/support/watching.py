"""A monitor at work: the real process, a log to watch, and two sinks that are real too.

    with Watching(folder, simulator) as watching:
        watching.wait_until_it_looked()
        told = watching.hear("fork", since=time.time())

`Watching` writes policy.toml and monitor.toml, and starts `pcrlog-monitor run`. What it
hears, `Told`, is an alert that arrived at the webhook receiver and in the mailbox.
"""

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.lies import OLD
from tests.support.log_simulator import LogSimulator
from tests.support.mail_server import MailServer
from tests.support.memory_log import key, registers
from tests.support.scene import GOOD, PRODUCT, PROVIDER, Members, Scene
from tests.support.vectors import ROOT
from tests.support.webhook import SECRET, Delivery, Receiver

ARRIVES = 10.0
"""Seconds within which an alert has to be at both sinks."""
_BEGINS = 40.0
"""Seconds for a start: a busy machine imports slowly."""
_ENDS = 20.0
_IMPATIENT = (
    "from monitor import expected; from pcrlog import connection, transport;"
    "connection.TIMEOUT = 0.3; transport._PAUSES = (); expected._GRACE = 1;"
    "from monitor.commands import main; main()"
)
"""The command, but for the ten seconds without a byte for which it would wait, and for
the minute that it gives to whoever writes a list."""
CONFIG = """
format = "pcrlog-monitor/v1"
policy = "policy.toml"
state = "state"
poll = "200ms"
first = "first-use"

[watch]
products = ["{product}"]
identities = ["{provider}"]
keys = ["{keyid}"]
{watch}

[[sink]]
name = "pager"
kind = "webhook"
url = "{hook}"
secret_file = "webhook.secret"

[[sink]]
name = "mail"
kind = "smtp"
server = "{server}"
from = "monitor@acme.example"
to = ["security@acme.example"]
tls = "none"

[heartbeat]
url = "{beat}"
every = "100ms"
{tables}
"""


@dataclass(frozen=True)
class Told:
    """An alert, as the webhook got it; `seconds` until it was at both sinks."""

    alert: dict[str, Any]
    seconds: float


def nitro_cli(measured: dict[str, str]) -> str:
    """Registers as `nitro-cli build-enclave` prints them."""
    digests = {name: digest.partition(":")[2] for name, digest in measured.items()}
    return json.dumps({"Measurements": {"HashAlgorithm": "Sha384 { ... }", **digests}})


@dataclass
class Watching:
    """A monitor of a simulator; it runs between `__enter__` and `__exit__`.

    `log` has members of the policy's [[log]], `watch` more lines of that table of
    monitor.toml, `tables` more tables.
    """

    folder: Path
    simulator: LogSimulator
    log: Members = field(default_factory=dict)
    watch: str = ""
    tables: str = ""
    impatient: bool = False

    def __post_init__(self) -> None:
        """Sinks, and files for the monitor."""
        self.hook, self.mails = Receiver(), MailServer()
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._stack.enter_context(self.hook)
        self._stack.enter_context(self.mails)
        self._write()
        words = ["run", "--config", str(self.folder / "monitor.toml")]
        start = ["-c", _IMPATIENT] if self.impatient else ["-m", "monitor"]
        out = self._stack.enter_context((self.folder / "out").open("wb"))
        errors = self._stack.enter_context((self.folder / "err").open("wb"))
        self._process = subprocess.Popen(
            [sys.executable, *start, *words], cwd=ROOT, stdout=out, stderr=errors
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What hangs is let go, so that the monitor can end.
        self.simulator.release.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_ENDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
            finally:
                self._stack.close()

    def _write(self) -> None:
        scene = Scene(self.simulator.log)
        policy = scene.policy_text(log={"url": self.simulator.url, **self.log})
        (self.folder / "policy.toml").write_text(policy)
        (self.folder / "webhook.secret").write_bytes(SECRET)
        expected = self.folder / "expected"
        expected.mkdir()
        for name, build in (("good", GOOD), ("old", OLD), ("new", registers("new"))):
            (expected / f"{name}.json").write_text(nitro_cli(build))
        text = CONFIG.format(
            product=PRODUCT,
            provider=PROVIDER,
            keyid=key(PROVIDER).public.keyid,
            hook=self.hook.url,
            beat=self.hook.url.replace("/hook", "/beat"),
            server=self.mails.address,
            watch=self.watch,
            tables=self.tables,
        )
        (self.folder / "monitor.toml").write_text(text)

    # --- what it says ----------------------------------------------------------------

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return (self.folder / "err").read_text()

    def wait_until_it_looked(self, rounds: int = 1) -> None:
        """Wait for so many more rounds that could look."""
        beats = len(self.hook.beats) + rounds
        end = time.monotonic() + _BEGINS
        while len(self.hook.beats) < beats:
            assert self._process is not None
            assert self._process.poll() is None, self.errors
            assert time.monotonic() < end, f"no round could look: {self.errors}"
            time.sleep(0.02)

    def hear(
        self, kind: str, *, since: float, entry: int | None = None, known: int = 0
    ) -> Told:
        """An alert of a kind, once it is at both sinks.

        Args:
            kind: of alerts.KINDS.
            since: unix seconds from which to count.
            entry: an index that it has to name.
            known: how many deliveries are older than what is waited for.
        """
        end = time.monotonic() + ARRIVES

        def found() -> Delivery | None:
            for one in list(self.hook.taken)[known:]:
                named = entry is None or entry in one.alert["entries"]
                if one.alert["kind"] == kind and named:
                    return one
            return None

        while (delivery := found()) is None or not self._mailed(delivery):
            taken = [one.alert["kind"] for one in self.hook.taken]
            late = f"no {kind} in {ARRIVES} s, but {taken}: {self.errors}"
            assert time.monotonic() < end, late
            time.sleep(0.01)
        return Told(delivery.alert, time.time() - since)

    def _mailed(self, delivery: Delivery) -> bool:
        return any(
            delivery.alert["id"] in str(mail.message["Message-ID"])
            for mail in list(self.mails.mails)
        )

    def evidence(self, told: Told) -> Path | None:
        """The file that an alert names."""
        name = told.alert.get("evidence")
        return None if name is None else self.folder / "state" / "evidence" / name


def verify_evidence(path: Path, vkey: str) -> subprocess.CompletedProcess[str]:
    """`pcrlog-monitor evidence verify` of a file."""
    words = ["evidence", "verify", str(path), "--vkey", vkey]
    return subprocess.run(
        [sys.executable, "-m", "monitor", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
