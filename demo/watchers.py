"""The scenes with those who watch the log: two witnesses, an index monitor.

They are named in the log's settings and demanded by the policy, so nothing of what
follows is verified without them. At the end the log is replaced by a second history.
"""

import json
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo.stage import Stage, SurpriseError, free_ports

if TYPE_CHECKING:
    from subprocess import Popen

WITNESSES = ("w1.example/a", "w2.example/b")
MONITOR = "m1.example/m"
_STATE = "watched"
_SOON = 1.0
"""Seconds within which a monitor has to tell of what was published."""
_PATIENCE = 10.0
_LOOK = 0.01
_WIDTH = 84


class Watchers:
    """Two witnesses and an index monitor of the log at `log` (a URL)."""

    def __init__(self, stage: Stage, log: str) -> None:
        self.stage = stage
        self.log = log
        *self.ports, self.monitor_port = free_ports(len(WITNESSES) + 1)
        self._vkeys: list[str] = []
        self._running: list[Popen[bytes]] = []

    def witnesses(self) -> None:
        """Two who cosign only what extends what they saw."""
        run = self.stage.run
        vkey = (self.stage.folder / "log" / "log.vkey").read_text().strip()
        for number, (name, port) in enumerate(
            zip(WITNESSES, self.ports, strict=True), start=1
        ):
            made = run(f"pcrlog-monitor witness init w{number} --name {name}")
            self._vkeys.append(made.split()[0])
            run(f"pcrlog-monitor witness add w{number} {vkey}")
            listen = f"--listen 127.0.0.1:{port}"
            words = f"pcrlog-monitor witness run w{number} {listen}"
            self._running.append(self.stage.start(words, port))

    def monitor(self, product: str, expected: list[str]) -> None:
        """One who reads everything; it knows which builds are the provider's."""
        name = product.partition("/")[0]
        self.stage.run(f"pcrlog-server policy log --url {self.log} -o first.toml")
        made = self.stage.run(
            f"pcrlog-monitor init monitor.toml --policy first.toml --product {product}"
            f" --identity {name} --cosign {MONITOR}"
            f" --listen 127.0.0.1:{self.monitor_port} --state {_STATE}"
        )
        self._vkeys += [word for word in made.split() if word.startswith(MONITOR)][-1:]
        path = self.stage.folder / "monitor.toml"
        text = path.read_text().replace('poll = "5s"', 'poll = "500ms"')
        listed = ", ".join(f'"{one}"' for one in expected)
        text = text.replace('# expected = ["measurements/"]', f"expected = [{listed}]")
        path.write_text(text.replace("first.toml", "policy.toml"))

    def name_them(self) -> None:
        """Write them into the log's settings."""
        path = self.stage.folder / "log" / "log.toml"
        *witnesses, monitor = zip(
            self._vkeys, (*self.ports, self.monitor_port), strict=True
        )
        text = _quorum("witnesses", witnesses) + _quorum("index_monitors", [monitor])
        path.write_text(path.read_text() + text)
        for line in text.strip().splitlines():
            print(f"  {line}")

    def start_monitor(self) -> None:
        """Let it watch."""
        words = "pcrlog-monitor run --config monitor.toml"
        self._running.append(self.stage.start(words, self.monitor_port))

    def end(self) -> None:
        """Let them all go: without them nothing is published any more."""
        while self._running:
            self.stage.stop(self._running.pop())

    # --- what it says ----------------------------------------------------------------

    def hears(self, kind: str, since: float, *, seconds: float = _SOON) -> None:
        """Wait for an alert of a kind, and show it.

        Args:
            kind: of alerts that were not shown before.
            since: monotonic seconds of when it was published, or a little later.
            seconds: when it has to be there.
        """
        end = since + max(seconds, _PATIENCE)
        while time.monotonic() < end:
            found = [one for one in self._alerts() if one["kind"] == kind]
            if found:
                took = max(0.0, time.monotonic() - since)
                if took > seconds:
                    message = f"{kind} was told {took:.1f} s after it was published"
                    raise SurpriseError(message)
                self.stage.show(f"the monitor, within {seconds:.0f} s:")
                for paragraph in _text(found[-1]).splitlines():
                    for line in textwrap.wrap(paragraph, _WIDTH):
                        self.stage.show(f"  {line}")
                return
            time.sleep(_LOOK)
        message = f"the monitor has not told of {kind}"
        raise SurpriseError(message)

    def _alerts(self) -> list[dict[str, str]]:
        output = self.stage.folder / f"server-{self.monitor_port}.txt"
        lines = output.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def evidence(self) -> Path:
        """The newest evidence file, seen from the stage's folder."""
        files = (self.stage.folder / _STATE / "evidence").glob("*.pcrevidence")
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        return newest.relative_to(self.stage.folder)


def _text(alert: dict[str, str]) -> str:
    return (
        f"{alert['severity'].upper()} {alert['kind']}: {alert['about']}:"
        f" {alert['found']}\nWhy: {alert['why']}.\nWhat to do: {alert['do']}."
    )


def _quorum(name: str, members: list[tuple[str, int]]) -> str:
    rows = [
        f'\n[[{name}.members]]\nvkey = "{vkey}"\nurl = "http://127.0.0.1:{port}"'
        for vkey, port in members
    ]
    return f"\n[{name}]\nquorum = {len(members)}\n" + "\n".join(rows) + "\n"
