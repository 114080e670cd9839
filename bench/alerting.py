"""From publication to alert: a release that nobody expects, and who hears of it when.

A real server and a real monitor, which looks every half second, as processes of their
own on loopback; the receiver is here. A release counts as published when its submitter
holds the proof.
"""

import time

from bench.submission import running, server, started, submit
from tests.support.webhook import SECRET, Receiver

_MONITOR = "import sys; from monitor.commands import main; sys.exit(main())"
_CONFIG = """
format = "pcrlog-monitor/v1"
policy = "policy.toml"
state = "state"
poll = "500ms"
[watch]
products = ["acme.example/wallet"]
expected = ["builds"]
[[sink]]
name = "hook"
kind = "webhook"
url = "{url}"
secret_file = "secret"
"""
_PAUSES = (0.31, 0.43, 0.57, 0.11)
"""Seconds between releases: not in step with the monitor's rounds."""
_PATIENCE = 30.0


def alert_delays(number: int) -> list[float]:
    """Seconds from publication until the alert was there, ascending."""
    published: dict[int, float] = {}

    def note(index: int) -> None:
        published[index] = time.time()
        time.sleep(_PAUSES[index % len(_PAUSES)])

    with running() as log, Receiver() as receiver:
        folder = log.folder
        server(folder, "policy", "log", "--url", log.url, "-o", "policy.toml")
        (folder / "builds").mkdir()
        (folder / "secret").write_bytes(SECRET)
        (folder / "monitor.toml").write_text(_CONFIG.format(url=receiver.url))
        words = ["run", "--config", "monitor.toml"]
        with started(folder, _MONITOR, *words):
            # The first five are not counted: it is still starting.
            submit(log, number, note)
            taken = receiver.wait_for(len(published), _PATIENCE)
    arrived = {one.alert["entries"][0]: one.arrived for one in taken}
    counted = sorted(published)[5:]
    return sorted(max(0.0, arrived[index] - published[index]) for index in counted)
