"""Reads what everybody reads of a log, wherever it is published, without its server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from log_server.config import Config
from log_server.database_files import DatabaseFiles
from log_server.databases import log_database
from log_server.shelf import CHECKPOINT
from log_server.shelves import open_shelf
from log_server.store import Store
from pcrlog.tiles import parse_path


@contextmanager
def reading(config: Config) -> Iterator[Callable[[str], bytes]]:
    """Gives the bytes of `checkpoint` and of tiles, by their paths.

    It raises OSError for what is not there.
    """
    with ExitStack() as stack:
        shelf = open_shelf(config, lambda: None)
        stack.callback(shelf.close)
        store = Store(log_database(config))
        stack.callback(store.close)
        files = DatabaseFiles(store)

        def read(path: str) -> bytes:
            if not shelf.is_apart:
                tile = None if path == CHECKPOINT else parse_path(path)
                return files.read(f"/{path}", tile)[0]
            [found] = shelf.read([path])
            if isinstance(found, Exception):
                raise found
            if found is None:
                raise FileNotFoundError(path)
            return found

        yield read
