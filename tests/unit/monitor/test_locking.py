"""One process in a folder."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from monitor.locking import LockedError, exclusively
from pcrlog.errors import UsageError


def test_a_folder_is_held_by_one_and_let_go_of(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusively(tmp_path):
            with pytest.raises(LockedError, match="is locked"), exclusively(tmp_path):
                pass
            with pytest.raises(LockedError), exclusively(tmp_path, 0.05):
                pass


def test_whoever_waits_gets_it_when_it_is_let_go_of(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    threading.Timer(0.2, os.close, (descriptor,)).start()
    began = time.monotonic()
    with exclusively(tmp_path, 30):
        assert 0.1 < time.monotonic() - began < 20


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from monitor.locking import exclusively\n"
        "with exclusively(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError), exclusively(tmp_path):
            pass
        other.kill()
    with exclusively(tmp_path):
        pass


def test_where_no_lock_can_be_made_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot make"), exclusively(tmp_path / "no"):
        pass
