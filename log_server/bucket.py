"""Publishes into a bucket of an object store that speaks S3, through obstore.

Nothing on this machine is locked by a bucket, and a sequencer may have slept while
another took its place. So every put has a condition, which the store checks:

    tile         If-None-Match: *       stands already: fine with these bytes, else an
                                        error; it is never overwritten
    checkpoint   If-Match: <ETag seen>  replaced only as it was last seen; the first one
                                        If-None-Match: *, too

A store that took the second put of two with such a condition would be overwritten by
whoever slept. So before the first put it is tried out, on an object of its own.

A condition may fail though the put before it was our own, whose answer was lost: what
stands is read, and if it is what was to be put, all is well.

A request is tried again for some seconds (`_RETRIES`); after that it is a fault like
one of the disk: the sequencer ends, and is started again until it works (`tending`).
Credentials come from the environment (AWS_ACCESS_KEY_ID and the like) or the machine.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from log_server.disk import DiskError
from log_server.headers import BINARY, IMMUTABLE, NO_CACHE, TEXT
from log_server.shelf import CHECKPOINT, GROUP, OvertakenError, Read
from pcrlog.checkpoint import Checkpoint
from pcrlog.encoding import printable
from pcrlog.errors import PcrlogError, UsageError, VerificationError
from pcrlog.note import UnverifiedNote
from pcrlog.tiles import Tile

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import S3Config

_AT_ONCE = 16
_CONNECT, _ANSWER = timedelta(seconds=5), timedelta(seconds=10)
_RETRIES, _RETRY = 3, timedelta(seconds=15)
"""Times, and the seconds after which there is no other, that a request is repeated."""
_WORDS = 300
_SWEEPS = 1024
"""Full tiles whose partial ones are to go; what is beyond stays, and costs space."""
_TRIED = "conditions"
"""What conditions are tried out on; nobody reads it."""
_WORDS_TRIED = b"pcrlog tries here whether this store compares before it replaces.\n"
_TRIES = 3
_NO_TAG = f'"{"0" * 32}"'
_AS_TILE = {"Content-Type": BINARY, "Cache-Control": IMMUTABLE}
_AS_CHECKPOINT = {"Content-Type": TEXT, "Cache-Control": NO_CACHE}


class BucketError(DiskError):
    """The bucket cannot be reached, or does not take what is put."""


class BucketShelf:
    """A `Shelf` in a bucket.

    Args:
        url: s3://BUCKET/PREFIX; the prefix may be missing.
        endpoint: of the store, if that is not Amazon's.
        region: of the bucket; by default what the environment says.
        repairing: a tile that stands with other bytes is overwritten.
    """

    is_apart = True
    is_asked = False

    def __init__(
        self,
        url: str,
        endpoint: str | None = None,
        region: str | None = None,
        *,
        repairing: bool = False,
    ) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._url = url.rstrip("/")
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            config=_settings(endpoint, region),
            client_options={
                "allow_http": (endpoint or "").startswith("http://"),
                "connect_timeout": _CONNECT,
                "timeout": _ANSWER,
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY},
        )
        self._pool = ThreadPoolExecutor(_AT_ONCE, "bucket")
        self._repairing = repairing
        self._tried = False
        # The ETag of the checkpoint that the next one may replace.
        self._seen: str | None = None
        self._outgrown: deque[str] = deque(maxlen=_SWEEPS)
        self._sweeping: Future[None] | None = None

    @property
    def where(self) -> str:
        """The bucket's URL."""
        return f"{self._url}/"

    # --- the checkpoint --------------------------------------------------------------

    def shown(self) -> bytes | None:
        """The note that the bucket shows; the next `show` replaces this one.

        Raises:
            BucketError: it cannot be had.
        """
        note, self._seen = self._get_tagged(CHECKPOINT)
        return note

    def show(self, note: bytes) -> None:
        """Show a checkpoint, if that is shown which was seen last.

        Raises:
            OvertakenError: another one is shown.
            BucketError: it cannot be put.
            UsageError: see `_require_conditions`.
        """
        self._require_conditions()
        mode: PutMode = "create" if self._seen is None else {"e_tag": self._seen}
        tag = self._put(CHECKPOINT, note, mode, _AS_CHECKPOINT)
        if tag is None:
            stands, tag = self._get_tagged(CHECKPOINT)
            if stands is None:
                message = (
                    f"{self.where}{CHECKPOINT} was there and is not: looking again"
                )
                raise BucketError(message)
            if stands != note:
                message = (
                    f"{self.where}{CHECKPOINT} was replaced meanwhile: it shows"
                    f" {_leaves(stands)}, ours has {_leaves(note)}. Another sequencer"
                    " publishes there; nothing of ours was shown, and this one ends"
                )
                raise OvertakenError(message)
        self._seen = tag

    # --- tiles -----------------------------------------------------------------------

    def put(self, tiles: Iterable[tuple[Tile, bytes]], ahead: bytes = b"") -> None:
        """Put tiles, many at once; a checkpoint `ahead` cannot be prepared here.

        Raises:
            VerificationError: one stands with other bytes.
            BucketError: one cannot be put; others may stand.
            UsageError: see `_require_conditions`.
        """
        del ahead
        self._require_conditions()
        todo = iter(tiles)
        while group := list(islice(todo, GROUP)):
            futures = [self._pool.submit(self._put_tile, *one) for one in group]
            done, left = wait(futures, return_when=FIRST_EXCEPTION)
            # None is under way when the next try begins; and that must not take long.
            wait([future for future in left if not future.cancel()])
            for future in done:
                future.result()

    def _put_tile(self, tile: Tile, data: bytes) -> None:
        path = tile.path()
        mode: PutMode = "overwrite" if self._repairing else "create"
        if self._put(path, data, mode, _AS_TILE) is not None:
            return
        stands, _ = self._get_tagged(path)
        if stands is None:
            message = f"{self.where}{path} was there and is not: looking again"
            raise BucketError(message)
        if stands != data:
            message = (
                f"{self.where}{path} has other bytes than log.db makes, and tiles never"
                " change: it is damaged (`pcrlog-server fsck --repair` makes it anew),"
                " or two logs publish there. The checkpoint was not shown"
            )
            raise VerificationError(message)

    def outgrow(self, tiles: Iterable[Tile]) -> None:
        """The partial tiles of these full ones may go."""
        self._outgrown.extend(f"{tile.path()}.p" for tile in tiles)

    def sweep(self) -> bool:
        """Begin to let the partial tiles of one full one go, beside all else.

        They cost space alone, so whatever fails is tried another time.
        """
        if self._outgrown and (self._sweeping is None or self._sweeping.done()):
            self._sweeping = self._pool.submit(self._sweep, self._outgrown.popleft())
        return False

    def _sweep(self, folder: str) -> None:
        try:
            found = obstore.list(self._store, folder).collect()
            if found:
                obstore.delete(self._store, [one["path"] for one in found])
        except (BaseError, OSError):
            self._outgrown.append(folder)

    def read(self, paths: Sequence[str]) -> list[Read]:
        """Files as they stand, fetched at once."""
        return list(self._pool.map(self._read, paths))

    def _read(self, path: str) -> Read:
        try:
            return self._get_tagged(path)[0]
        except BucketError as error:
            return error

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    # --- conditions ------------------------------------------------------------------

    def _require_conditions(self) -> None:
        """Try out whether the store heeds them; once.

        Raises:
            UsageError: it does not.
            BucketError: it cannot be found out.
        """
        if self._tried:
            return
        # If it stands already, the condition was heeded.
        if self._try("create") and self._try("create"):
            self._refuse("If-None-Match")
        if self._try({"e_tag": _NO_TAG}) or not self._is_replaced():
            self._refuse("If-Match")
        self._tried = True

    def _try(self, mode: "PutMode") -> str | None:
        return self._put(_TRIED, _WORDS_TRIED, mode, _AS_CHECKPOINT)

    def _is_replaced(self) -> bool:
        """Whether a put with the right ETag is taken: weak ones are never right."""
        for _ in range(_TRIES):
            _, tag = self._get_tagged(_TRIED)
            if tag is None or self._try({"e_tag": tag}):
                return tag is not None
            # Perhaps another sequencer tries it out, too.
        return False

    def _refuse(self, condition: str) -> None:
        message = (
            f"{self._url}: the store does not heed {condition}, so it cannot be used: a"
            " sequencer that slept would put an older checkpoint over a newer one."
            " Nothing was put"
        )
        raise UsageError(message)

    # --- requests --------------------------------------------------------------------

    def _put(
        self, path: str, data: bytes, mode: "PutMode", attributes: dict[str, str]
    ) -> str | None:
        """The ETag of what was put; None if the condition did not hold."""
        try:
            put = obstore.put(
                self._store,
                path,
                data,
                mode=mode,
                attributes=attributes,
                use_multipart=False,
            )
        except (AlreadyExistsError, PreconditionError):
            return None
        except FileNotFoundError as error:
            if isinstance(mode, dict):
                # If-Match of an object that is gone.
                return None
            raise self._fault(path, error) from error
        except (BaseError, OSError) as error:
            raise self._fault(path, error) from error
        tag = put["e_tag"]
        if tag is None:
            message = f"{self.where}: the store gives no ETags, so it cannot compare"
            raise BucketError(message)
        return tag

    def _get_tagged(self, path: str) -> tuple[bytes | None, str | None]:
        """An object and its ETag; None for both if there is none."""
        try:
            found = obstore.get(self._store, path)
            return bytes(found.bytes()), found.meta["e_tag"]
        except FileNotFoundError:
            return None, None
        except (BaseError, OSError) as error:
            raise self._fault(path, error) from error

    def _fault(self, path: str, error: Exception) -> BucketError:
        said = printable(str(error).partition("\n")[0], _WORDS)
        return BucketError(f"the bucket fails: {self.where}{path}: {said}")


def _settings(endpoint: str | None, region: str | None) -> "S3Config":
    """What is asked of the store; what is missing is the environment's to say."""
    settings: S3Config = {
        "conditional_put": "etag",
        "virtual_hosted_style_request": False,
    }
    if endpoint is not None:
        settings["endpoint"] = endpoint
    if region is not None:
        settings["region"] = region
    return settings


def _leaves(note: bytes) -> str:
    with suppress(PcrlogError):
        return f"{Checkpoint.parse(UnverifiedNote.parse(note).text).size} leaves"
    return "no checkpoint"
