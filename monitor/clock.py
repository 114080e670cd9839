"""The monitor's one clock: whatever else needs the time takes it as an argument."""

import time


def clock() -> int:
    """Unix seconds."""
    return int(time.time())
