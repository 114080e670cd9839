"""Threads that are the first to read something, many at the same time.

msgspec looks at a record when it first reads one, and two threads that do so at once
end the process: `encoding.prepare` has it done at import. Each of these runs in a
process of its own, where nothing was read before.
"""

import subprocess
import sys

import pytest

from tests.support.memory_log import MemoryLog
from tests.support.vectors import ROOT

_PROGRAM = """
import sys, threading
from {module} import {name}
data = bytes.fromhex(sys.argv[1])
sys.setswitchinterval(1e-6)
together = threading.Barrier(16)

def read():
    together.wait()
    try:
        {call}
    except ValueError:
        pass

threads = [threading.Thread(target=read) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
_RUNS = 4
"""Without `prepare`, two of three end in a segmentation fault."""


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        ("pcrlog.entry", "parse_entry", "parse_entry(0, data)"),
        ("pcrlog.index_keys", "index_keys", "index_keys(data)"),
        ("log_server.standing", "Standings", "Standings.parse(b'{\"members\":[]}')"),
        ("monitor.state", "msgspec, Alert", "msgspec.json.decode(b'{}', type=Alert)"),
    ],
)
def test_many_may_be_the_first_to_read(module: str, name: str, call: str) -> None:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    envelope = log.leaves[max(log.entries)]
    program = _PROGRAM.format(module=module, name=name, call=call)
    running = [
        subprocess.Popen([sys.executable, "-c", program, envelope.hex()], cwd=ROOT)
        for _ in range(_RUNS)
    ]
    assert [one.wait(60) for one in running] == [0] * _RUNS
