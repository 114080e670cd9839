"""Chooses the shelf of a log by its settings; nothing optional is imported before."""

from collections.abc import Callable, Iterable, Sequence

from log_server.config import Config
from log_server.shelf import Read, Shelf
from pcrlog.errors import UsageError
from pcrlog.tiles import Tile


class DatabaseShelf:
    """Nothing is put anywhere: /checkpoint and tiles are answered from the database.

    What is shown is the row `published` itself, so that no copy can be older or newer.
    For a log of several machines, none of which has a folder that all others see.

    Args:
        published: the note in that row, if there is one.
    """

    where = "log.db: published "
    is_apart = False
    is_asked = False

    def __init__(self, published: Callable[[], bytes | None]) -> None:
        self._published = published

    def shown(self) -> bytes | None:
        """The note that was published last."""
        return self._published()

    def put(self, tiles: Iterable[tuple[Tile, bytes]], ahead: bytes = b"") -> None:
        """They are cut when they are asked for."""

    def show(self, note: bytes) -> None:
        """It is shown by `Ledger.mark_published`, which compares as well."""

    def outgrow(self, tiles: Iterable[Tile]) -> None:
        """There are none."""

    def sweep(self) -> bool:
        """There is nothing."""
        return False

    def read(self, paths: Sequence[str]) -> list[Read]:
        """There are no files."""
        return [None for _ in paths]

    def close(self) -> None:
        """Nothing is open."""


def open_shelf(
    config: Config,
    published: Callable[[], bytes | None],
    *,
    repairing: bool = False,
) -> Shelf:
    """The shelf of a log.

    Args:
        config: which log.
        published: the note in the row `published`, if there is one.
        repairing: for tools beside a sequencer: hidden files have other names, and what
            is damaged is overwritten.

    Raises:
        UsageError: it is a bucket, and the extra `s3` is not installed.
    """
    public = config.publishing
    match public.at:
        case "folder":
            from log_server.folder import FolderShelf

            return FolderShelf(config.public, "repaired" if repairing else "new")
        case "database":
            return DatabaseShelf(published)
        case url:
            try:
                from log_server.bucket import BucketShelf
            except ModuleNotFoundError as error:
                message = (
                    f"log.toml publishes at {url}, and {error.name} is not installed:"
                    " pip install 'pcrlog[s3]'"
                )
                raise UsageError(message) from error
            return BucketShelf(url, public.endpoint, public.region, repairing=repairing)
