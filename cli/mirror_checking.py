"""Signatures checked in a process of their own, while the next entries are judged.

What is asked is a list of (SPKI, signature, message); the answer is the number of the
first that does not verify and why, or nil.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import msgpack

from cli.mirror_process import Helper, serve
from pcrlog.errors import PcrlogError, VerificationError
from pcrlog.keys import Owed, PublicKey

if TYPE_CHECKING:
    from concurrent.futures import Future

_request = msgpack.Decoder(list[tuple[bytes, bytes, bytes]])
_answer: "msgpack.Decoder[tuple[int, str] | None]" = msgpack.Decoder(
    tuple[int, str] | None
)


class Checked:
    """Signatures that are being checked."""

    def __init__(
        self, indices: Sequence[int], found: "Future[tuple[int, str] | None]"
    ) -> None:
        self._indices = indices
        self._found = found

    def result(self) -> None:
        """Wait for them.

        Raises:
            VerificationError: one does not verify.
            UncheckedError: the process is gone.
        """
        found = self._found.result()
        if found is not None:
            number, words = found
            message = f"entry {self._indices[number]}: {words}"
            raise VerificationError(message)


class Checking(Helper):
    """Checks, in a process if it is `beside` this one."""

    def __init__(self, *, beside: bool) -> None:
        super().__init__(first_wrong, ["cli.mirror_checking"] if beside else None)

    def check(self, owed: Sequence[tuple[int, Owed]]) -> Checked:
        """Check what entries owe, each given with its index."""
        rows = [(one.key.spki, one.signature, one.message) for _, one in owed]
        return Checked([index for index, _ in owed], self.ask(rows, _answer))


def first_wrong(data: bytes) -> tuple[int, str] | None:
    """The answer to a request."""
    for number, (spki, signature, message) in enumerate(_request.decode(data)):
        try:
            PublicKey.from_spki(spki).verify(signature, message)
        except PcrlogError as error:
            return number, str(error)
    return None


if __name__ == "__main__":
    serve(first_wrong)
