"""A configuration with sinks, alerts for them, and a sink that does as it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from monitor.alerts import Alert
from monitor.config import Config
from monitor.sinks import RefusedError
from monitor.state import State
from pcrlog.policy import EXAMPLE as POLICY
from tests.support.webhook import SECRET

LOG = "log.example/pcr"
NOW = 1_795_590_000
HOSTILE = 'wallet\r\nBcc: eve@evil.example <script>alert("&amp;")</script>\x1b[2J\u202e'
"""What a log might say of itself: a line of its own, a tag, an escape."""


def configure(folder: Path, text: str = "") -> Config:
    """A monitor.toml and what belongs to it, with these sinks."""
    (folder / "policy.toml").write_text(POLICY)
    (folder / "webhook.secret").write_bytes(SECRET + b"\n")
    (folder / "monitor.toml").write_text(
        'format = "pcrlog-monitor/v1"\npolicy = "policy.toml"\nstate = "state"\n' + text
    )
    (folder / "state").mkdir(exist_ok=True)
    return Config.load(folder / "monitor.toml")


def webhook(url: str, name: str = "pager") -> str:
    """The table of a webhook."""
    return (
        f'[[sink]]\nname = "{name}"\nkind = "webhook"\nurl = "{url}"\n'
        'secret_file = "webhook.secret"\n'
    )


def smtp(address: str, name: str = "mail") -> str:
    """The table of a mail server on this machine."""
    return (
        f'[[sink]]\nname = "{name}"\nkind = "smtp"\nserver = "{address}"\n'
        'from = "monitor@acme.example"\nto = ["ops@acme.example"]\ntls = "none"\n'
    )


def stdout(name: str = "stdout") -> str:
    """The table of standard output."""
    return f'[[sink]]\nname = "{name}"\nkind = "stdout"\n'


def alert(number: int, kind: str = "revoked", about: str = "") -> Alert:
    """The alert of a number.

    Its `about` is as it was given: sinks have to bear what `Alert.of` would not let in.
    """
    about = about or f"wallet {number}"
    made = Alert.of(kind, LOG, about, "found", time=NOW, entries=(number,))
    return structs.replace(made, about=about)


def raise_alerts(config: Config, *numbers: int) -> None:
    """Commit alerts of these numbers."""
    state = State(config.state / "monitor.db")
    for number in numbers:
        state.raise_alert(alert(number))
    state.close()


class KilledError(BaseException):
    """The process is no more."""


@dataclass
class Dutiful:
    """Takes alerts; refuses as often as `refusals` says; runs `then` after each."""

    taken: list[int] = field(default_factory=list)
    refusals: list[RefusedError] = field(default_factory=list)
    words: str | None = None
    then: Callable[[], None] = lambda: None

    def deliver(self, alert: Alert, now: int) -> str | None:
        """Take the alert, or refuse it."""
        assert now == NOW
        if self.refusals:
            raise self.refusals.pop(0)
        self.taken.extend(alert.entries)
        self.then()
        return self.words

    def close(self) -> None:
        """Nothing is open."""
