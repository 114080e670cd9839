"""What every page is made with: the log, its clock, its settings, the templates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from log_server.config import Config
from log_server.pages.reading import Reading
from log_server.pages.rendering import Renderer
from log_server.store import Store


class Desk:
    """For any thread.

    Args:
        config: which log.
        store: where it is read.
        clock: unix seconds.
    """

    def __init__(self, config: Config, store: Store, clock: Callable[[], int]) -> None:
        self.config = config
        self.render = Renderer(config.origin)
        self._store = store
        self._clock = clock

    def now(self) -> int:
        """Unix seconds."""
        return self._clock()

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """The published log, as it is at this moment."""
        with self._store.published() as snapshot:
            yield Reading(snapshot, self.config.origin)
