"""The errors of pcrlog: one family a cause, each with the exit status it ends in.

A message says what was expected, what was found and, where there is anything to do,
what to do. Whoever calls a parser of outside bytes need only catch `MalformedError`;
whoever calls a verification, `PcrlogError`.

Exit status (PROTOCOL.md section 4): 2 usage, 3 could not check, 4 refuted. A crash is
left to Python's own 1.
"""

from typing import ClassVar


class PcrlogError(Exception):
    """Base of all errors raised on purpose. Never raised itself."""

    exit_code: ClassVar[int] = 4


class MalformedError(PcrlogError):
    """Bytes from outside that are not of their format, or not its one spelling."""


class VerificationError(PcrlogError):
    """Well-formed evidence that is false: a signature, proof or rule does not hold."""


class InconsistencyError(VerificationError):
    """Two checkpoints signed by one log that cannot both be true.

    Attributes:
        ours: the checkpoint note that was remembered or seen elsewhere.
        theirs: the checkpoint note that contradicts it.
    """

    def __init__(self, message: str, *, ours: bytes, theirs: bytes) -> None:
        super().__init__(message)
        self.ours = ours
        self.theirs = theirs


class UncheckedError(PcrlogError):
    """The check could not be made: something is missing, stale, or too new for us."""

    exit_code = 3


class TransportError(UncheckedError):
    """The network, or the server at its other end, did not give a usable answer."""


class UsageError(PcrlogError):
    """The caller asked for what makes no sense: an argument, a policy, a key file."""

    exit_code = 2
