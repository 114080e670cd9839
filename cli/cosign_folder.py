"""Where a rebuild is done, and what becomes of it when somebody ends the command.

A build runs in a session of its own, so that nobody but this process ends it: a
terminal that is closed, or a SIGTERM, is an interrupt too.
"""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.audits import CosignOptions


@contextmanager
def folder_of(options: CosignOptions, index: int, *, many: bool) -> Iterator[Path]:
    """The folder for the rebuild of an entry, while that is done.

    One of our own making is removed if that is interrupted.

    Args:
        options: which may name one.
        index: of the release.
        many: whether there are others, so that each gets a folder in the named one.
    """

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if options.folder is None:
        folder = Path(tempfile.mkdtemp(prefix=f"pcrlog-rebuild-{index}-"))
    else:
        named = Path(options.folder).absolute()
        folder = named / f"entry-{index}" if many else named
    numbers = [
        one
        for one in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(one) is signal.SIG_DFL  # nohup: left as it is
    ]
    for one in numbers:
        signal.signal(one, end)
    try:
        yield folder
    except KeyboardInterrupt:
        if options.folder is None:
            remove(folder)
        raise
    finally:
        for one in numbers:
            signal.signal(one, signal.SIG_DFL)


def remove(folder: Path) -> bool:
    """Remove a folder of our own; whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
