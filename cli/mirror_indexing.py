"""The index of a mirror (mirror_index.py) in a process of its own.

A request is a name and its arguments, the answer what it gives.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import msgpack

from cli.mirror_index import Extension, Index, open_index
from cli.mirror_process import Helper, serve
from pcrlog.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

_request = msgpack.Decoder(tuple[str, list[Any]])
_number = msgpack.Decoder(int)
_place: "msgpack.Decoder[int | None]" = msgpack.Decoder(int | None)
_extension = msgpack.Decoder(Extension)
_words: "msgpack.Decoder[str | None]" = msgpack.Decoder(str | None)


class Indexing(Helper):
    """Indexes, in a process if it is `beside` this one.

    Every method raises `UncheckedError` if that is gone.

    Args:
        path: of the index's file.
        beside: see above.
    """

    def __init__(self, path: Path, *, beside: bool) -> None:
        command = ["cli.mirror_indexing", str(path)]
        super().__init__(_Served(path).answer, command if beside else None)
        self._path = path

    def begin(self, most: int, expected: int) -> int:
        """Begin with the file, if it is of no more than `most` leaves; how many it has.

        With `most` 0, begin with nothing. `expected` is how many leaves there will be.
        """
        return self.ask(("begin", [most, expected]), _number).result()

    def extend(self, leaves: Sequence[bytes]) -> "Future[Extension]":
        """Take the next leaves, in order."""
        return self.ask(("extend", [leaves]), _extension)

    def statement(self, digest: bytes) -> int | None:
        """Where the statement with this SHA-256 stands first, of all leaves taken."""
        return self.ask(("statement", [digest]), _place).result()

    def save(self) -> None:
        """Write the file.

        Raises:
            UsageError: it cannot be written.
        """
        words = self.ask(("save", []), _words).result()
        if words is not None:
            message = f"{self._path}: {words}"
            raise UsageError(message)


# --- the other side ------------------------------------------------------------------


class _Served:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = Index()

    def answer(self, data: bytes) -> object:
        name, arguments = _request.decode(data)
        if name == "begin":
            return self._begin(*arguments)
        if name == "save":
            return self._save()
        return getattr(self._index, name)(*arguments)

    def _begin(self, most: int, expected: int) -> int:
        self._index = open_index(self._path, most, expected)
        return self._index.size

    def _save(self) -> str | None:
        try:
            self._index.save(self._path)
        except OSError as error:
            return error.strerror or str(error)
        return None


if __name__ == "__main__":
    serve(_Served(Path(sys.argv[1])).answer)
