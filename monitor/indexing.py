r"""The index in a process of its own: one core judges signatures, the other hashes.

`IndexProcess` is the index (index.py) as the follower uses it. `begin` hands leaves
over and comes back while the other process indexes them; `extension` waits for what
they brought about. All else is a question, and waits for its answer.

What goes through the pipes is a length (u32, big-endian) and a MessagePack array: of a
request its name and arguments, of an answer its value and, if there is none, why. Each
request has one answer, in order, but for "take", which has none: leaves come in pieces
of some bytes, and "extend" is asked after the last.

>>> bytes(frame(("indices", ("v1/issuer/acme.example",)))[4:])
b'\x92\xa7indices\x91\xb6v1/issuer/acme.example'

The pipe is the lifeline too: the process ends when the other end is closed, however its
parent came to its end, and pays no heed to signals that are meant for a terminal or a
service. What was not committed is gone then, as after any crash.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn, TypeVar, cast

import msgspec
from msgspec import Struct, msgpack

from monitor.index import Extension, Index
from pcrlog.errors import PcrlogError

_PIECE = 256 << 10
"""Bytes of leaves in one frame, about."""
_HELD = 32 << 20
"""Bytes of leaves that wait to be indexed at most, whatever a log's leaves are like."""
_LENGTH = 4
_PATIENCE = 10
"""Seconds that the process has to end in: it may be writing."""
_PACKAGES = str(Path(__file__).parents[1])
_T = TypeVar("_T")


class IndexFailedError(PcrlogError):
    """The index could not do what it was asked for; only `rollback` is of use then."""

    exit_code: ClassVar[int] = 1
    """A crash: nothing that a log does leads here."""


class IndexDiedError(IndexFailedError):
    """The index process is gone: its parent has to end as well, and begin anew."""


class _Answer(Struct, array_like=True):
    value: msgspec.Raw
    failed: str | None


_requests = msgpack.Decoder(tuple[str, list[Any]])
_answers = msgpack.Decoder(_Answer)
_nothing = msgpack.Decoder(type(None))
_bytes = msgpack.Decoder(bytes)
_number = msgpack.Decoder(int)
_indices = msgpack.Decoder(tuple[int, ...])
_place: msgpack.Decoder[int | None] = msgpack.Decoder(int | None)
_nodes = msgpack.Decoder(dict[bytes, bytes])
_extension = msgpack.Decoder(Extension)
_encoder = msgpack.Encoder()


def frame(message: object) -> bytearray:
    """A message as it goes through a pipe."""
    data = bytearray(_LENGTH)
    _encoder.encode_into(message, data, _LENGTH)
    data[:_LENGTH] = (len(data) - _LENGTH).to_bytes(_LENGTH)
    return data


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None if the other end was closed."""
    size = int.from_bytes(pipe.read(_LENGTH))
    data = pipe.read(size)
    return data if size and len(data) == size else None


# --- the parent's side ---------------------------------------------------------------


class IndexProcess:
    """An `Index` in a process of its own, for one thread at a time.

    Every method raises `IndexFailedError` if the index failed, which says why on
    stderr, and `IndexDiedError` if its process is gone.

    Args:
        path: of index.db; it is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        before = os.environ.get("PYTHONPATH")
        packages = _PACKAGES if before is None else f"{_PACKAGES}{os.pathsep}{before}"
        self._process = subprocess.Popen(  # noqa: S603 - this module, and no shell
            [sys.executable, "-P", "-m", "monitor.indexing", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": packages},
            # Ctrl-C may come before the process can say that it ignores it.
            process_group=0,
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        # The answer to "extend": on its way, or here.
        self._extending = False
        self._extension: Extension | None = None

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process; what is not committed is gone."""
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    # --- growing ---------------------------------------------------------------------

    def begin(self, leaves: Sequence[bytes]) -> None:
        """Hand over the next leaves, in order; they are indexed meanwhile."""
        self._arrive()
        self._extension = None
        for piece in _pieces(leaves):
            self._send("take", piece)
        self._send("extend")
        self._extending = True

    def extension(self) -> Extension:
        """What the leaves of the last `begin` have brought about.

        Raises:
            LookupError: nothing was begun since the last commit or rollback.
        """
        self._arrive()
        if self._extension is None:
            message = "no extension was begun"
            raise LookupError(message)
        return self._extension

    def _arrive(self) -> None:
        """Wait for the extension that is on its way, if one is."""
        if self._extending:
            self._extending = False
            self._extension = self._receive(_extension)

    def commit(self) -> None:
        """Keep the index as it is: what a crash, or `rollback`, comes back to."""
        self._ask(_nothing, "commit")
        self._extension = None

    def rollback(self) -> None:
        """Go back to the last commit."""
        with contextlib.suppress(IndexFailedError):
            self._arrive()
        self._ask(_nothing, "rollback")
        self._extension = None

    # --- questions -------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Leaves in the index."""
        return self._ask(_number, "size")

    def root(self) -> bytes:
        """The root of the index over all leaves."""
        return self._ask(_bytes, "root")

    def indices(self, key: str) -> tuple[int, ...]:
        """The indices under a key string, ascending."""
        return self._ask(_indices, "indices", key)

    def statement(self, sha256: bytes) -> int | None:
        """Where the statement with this SHA-256 stands first."""
        return self._ask(_place, "statement", sha256)

    def prove(self, key: str) -> bytes:
        """Proof that the key is in the index, or that it is not, under `root()`."""
        return self._ask(_bytes, "prove", key)

    def nodes_for(self, keys: Iterable[str | bytes]) -> Mapping[bytes, bytes]:
        """The nodes, by hash, that `trie.update` reads to set these keys."""
        return self._ask(_nodes, "nodes_for", list(keys))

    # --- the pipes -------------------------------------------------------------------

    def _ask(self, answer: msgpack.Decoder[_T], name: str, *arguments: object) -> _T:
        self._arrive()
        self._send(name, *arguments)
        return self._receive(answer)

    def _send(self, name: str, *arguments: object) -> None:
        with self._whole():
            self._requests.write(frame((name, arguments)))
            self._requests.flush()

    def _receive(self, answer: msgpack.Decoder[_T]) -> _T:
        with self._whole():
            data = _read(self._answers)
        if data is None:
            self._raise_died()
        found = _answers.decode(data)
        if found.failed is not None:
            message = f"the index failed: {found.failed}"
            raise IndexFailedError(message)
        return answer.decode(found.value)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """All of a message, or none ever again: a half one would answer the next."""
        try:
            yield
        except BrokenPipeError:
            self._raise_died()
        except BaseException:
            self._process.kill()
            raise

    def _raise_died(self) -> NoReturn:
        status = self._process.wait()
        message = f"the index process is gone (exit status {status})"
        raise IndexDiedError(message)


def _pieces(leaves: Sequence[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for leaf in leaves:
        piece.append(leaf)
        size += len(leaf)
        if size >= _PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


# --- the other side ------------------------------------------------------------------


class _Served:
    """The index, and the leaves that were handed over and are not in it yet."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._leaves: list[bytes] = []
        self._held = 0
        self._extensions: list[Extension] = []
        self._failed: str | None = None

    def answer(self, name: str, arguments: Sequence[Any]) -> tuple[object, str | None]:
        """What is asked, and why there is no answer."""
        if name == "rollback":
            self._forget()
        if self._failed is None:
            try:
                return self._do(name, arguments), None
            except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
                sys.excepthook(type(error), error, error.__traceback__)
                self._failed = f"{type(error).__name__}: {error}"
        return None, self._failed

    def _forget(self) -> None:
        self._leaves, self._held, self._extensions = [], 0, []
        self._failed = None

    def _do(self, name: str, arguments: Sequence[Any]) -> object:
        if name == "extend":
            return self._extend()
        if name == "take":
            self._take(*arguments)
            return None
        found = getattr(self._index, name)
        return found(*arguments) if callable(found) else found

    def _take(self, leaves: list[bytes]) -> None:
        self._leaves += leaves
        self._held += sum(map(len, leaves))
        if self._held > _HELD:
            self._index_held()

    def _index_held(self) -> None:
        self._extensions.append(self._index.extend(self._leaves))
        self._leaves, self._held = [], 0

    def _extend(self) -> Extension:
        self._index_held()
        found, self._extensions = self._extensions, []
        return Extension(
            self._index.size,
            tuple(root for one in found for root in one.roots),
            tuple(repeat for one in found for repeat in one.repeats),
        )


def serve(index: Index, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the other end of the pipe is closed."""
    served = _Served(index)
    while (data := _read(requests)) is not None:
        name, arguments = _requests.decode(data)
        found = served.answer(name, arguments)
        if name != "take":
            answers.write(frame(found))
            answers.flush()


def main() -> None:
    """Serve the index at the path that is the one argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Nothing here goes in circles: looking for what does is time lost.
    gc.disable()
    index = Index(Path(sys.argv[1]))
    with contextlib.suppress(BrokenPipeError):
        serve(index, sys.stdin.buffer, sys.stdout.buffer)
    index.close()


if __name__ == "__main__":
    main()
