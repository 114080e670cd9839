"""Asks a log, by HTTP.

`Client` is the `Fetch` that a `reader.Reader` takes, and it submits. Every answer has a
largest size, every wait an end.

What is read is idempotent and so may be asked again; so is a submission, since a
statement stands in a log at most once (PROTOCOL.md 2.1). Submissions follow no
redirects: the statement would go to somebody else. Of a redirect only the address is
read, cookies not at all.

`requests` costs 90 ms to import, so it is imported with the first question.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import quote, urljoin

import msgspec
from msgspec import Struct

from pcrlog import connection
from pcrlog.connection import bounded, cause, pieces
from pcrlog.encoding import prepare, printable, sha256, shown
from pcrlog.errors import PcrlogError, TransportError, UsageError
from pcrlog.reader import AbsentError

if TYPE_CHECKING:
    import requests

ANSWER = 131_072
"""A log's answer to a submission: an envelope's proof, or a problem."""
BATCH_LINES, BATCH_BYTES = 1_000, 8 << 20
"""What a log takes at once."""
_ANSWER_LINE = 8_192
"""A log's answer to one envelope of a batch: a place, a promise or a problem."""
_WORDS = 1_000
"""Characters of a problem that are told."""
_PAUSES = (0.2, 1.0)
"""Seconds before asking for the second and the third, last, time."""
_LONGEST_PAUSE = 10.0
_REDIRECTS = 6
_AGAIN = frozenset({429, 502, 503, 504})
_OK, _CREATED, _ACCEPTED, _NOT_FOUND = 200, 201, 202, 404
_CLIENT_ERRORS = range(400, 500)
T = TypeVar("T")


class RefusedError(PcrlogError):
    """A log read what it was asked or told, and said no.

    `kind` is the problem's `type` (RFC 9457), made for programs to compare; `detail`
    what was found in this case.
    """

    def __init__(
        self, message: str, *, kind: str = "", detail: str = "", status: int = 0
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail
        self.status = status


class _NoAnswerError(TransportError):
    """The connection failed: the one error after which asking again may help."""


class _Problem(Struct):
    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    advice: str = ""


class Placed(Struct, frozen=True):
    """A log's word that a statement is in: unverified until its `proof` is checked."""

    index: int
    sha256: str
    size: int | None = None
    proof: str | None = None


class Promised(Struct, frozen=True):
    """A log's word that it will decide on what it was handed."""

    sha256: str
    envelope_sha256: str


class _Batch(bytes):
    """A body of many envelopes, a line each; plain bytes are one envelope."""

    __slots__ = ()


class _Line(_Problem):
    """What a log answers to an envelope of a batch: one of three, by its members."""

    index: int | None = None
    sha256: str = ""
    envelope_sha256: str | None = None
    status: int = 0


class _Submission(Struct, frozen=True):
    """What a log says of an earlier submission."""

    state: Literal["waiting", "sequenced", "published", "refused"]
    index: int | None = None
    problem: _Problem | None = None


prepare(_Problem, Placed, Promised, _Line, _Submission)


class Client:
    """One log's HTTP interface, below its URL."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("https://", "http://")):
            message = f"expected the log's URL, https://…, found {shown(url)}"
            raise UsageError(message)
        self.url = url.rstrip("/")
        self._session: requests.Session | None = None

    def __call__(self, path: str, most: int, /) -> bytes:
        """The body at `path`; see `reader.Fetch`."""
        status, body = self._send("GET", path, None, most)
        if status != _OK:
            raise _refusal(self.url, path, status, body)
        return body

    def submit(
        self, envelope: bytes, *, wait: int = 5, accept_conflict: bool = False
    ) -> Placed | Promised:
        """Hand in an envelope.

        Args:
            envelope: its bytes.
            wait: seconds that the log may take to answer with an index.
            accept_conflict: a release that contradicts another one is meant.

        Raises:
            RefusedError: the log says no, and will go on saying so.
            TransportError: no answer; handing it in again is safe.
        """
        query = f"?wait={wait}" + "&conflict=accept" * accept_conflict
        path = f"api/v1/entries{query}"
        status, body = self._send("POST", path, envelope, ANSWER, longer=wait)
        if status in {_OK, _CREATED}:
            return _decode(body, Placed)
        if status == _ACCEPTED:
            return _decode(body, Promised)
        raise _refusal(self.url, path, status, body)

    def submit_many(
        self,
        envelopes: Sequence[bytes],
        *,
        wait: int = 5,
        accept_conflict: bool = False,
    ) -> list[Placed | Promised | PcrlogError]:
        """Hand in many envelopes, in batches; what became of each, in order.

        Args:
            envelopes: the bytes of each. None of them holds a line feed.
            wait: seconds that the log may take over each batch.
            accept_conflict: releases that contradict others are meant.

        Returns:
            For each what `submit` returns, without a proof, or what it would raise.

        Raises:
            RefusedError: the log takes no batches, or not this one.
            TransportError: no answer; handing all in again is safe.
        """
        query = f"?wait={wait}" + "&conflict=accept" * accept_conflict
        path = f"api/v1/entries{query}"
        found: list[Placed | Promised | PcrlogError] = []
        for batch in _batches(envelopes):
            body = _Batch(b"".join(one + b"\n" for one in batch))
            most = _ANSWER_LINE * len(batch)
            status, answer = self._send("POST", path, body, most, longer=wait)
            if status != _OK:
                raise _refusal(self.url, path, status, answer)
            lines = answer.split(b"\n")
            if lines.pop() or len(lines) != len(batch):
                message = f"{self.url} did not answer each of {len(batch)} envelopes"
                raise TransportError(message)
            found += [_of_line(_decode(line, _Line)) for line in lines]
        return found

    def submission(self, envelope_sha256: str) -> int | None:
        """The index that an envelope's statement was published at; None: not yet.

        Raises:
            RefusedError: the log refused it.
            AbsentError: the log knows nothing of such an envelope.
        """
        path = f"api/v1/submissions/{quote(envelope_sha256)}"
        found = _decode(self(path, ANSWER), _Submission)
        if found.problem is not None:
            raise _refused(found.problem, 0)
        return found.index if found.state == "published" else None

    def _send(
        self, method: str, path: str, body: bytes | None, most: int, longer: float = 0
    ) -> tuple[int, bytes]:
        pauses = list(_PAUSES)
        while True:
            try:
                status, data, after = self._once(method, path, body, most, longer)
            except _NoAnswerError:
                if not pauses:
                    raise
                time.sleep(pauses.pop(0))
                continue
            if status not in _AGAIN or not pauses:
                return status, data
            time.sleep(min(after or pauses[0], _LONGEST_PAUSE))
            pauses.pop(0)

    def _once(
        self, method: str, path: str, body: bytes | None, most: int, longer: float
    ) -> tuple[int, bytes, float]:
        import requests  # noqa: PLC0415 - 90 ms
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - came with it

        if self._session is None:
            self._session = connection.new_session()
        where = f"{self.url}/{path}"
        kind = "x-ndjson" if isinstance(body, _Batch) else "json"
        headers = {} if body is None else {"Content-Type": f"application/{kind}"}
        try:
            for _ in range(_REDIRECTS):
                with self._session.request(
                    method,
                    where,
                    data=body,
                    headers=headers,
                    timeout=(connection.TIMEOUT, connection.TIMEOUT + longer),
                    stream=True,
                ) as response:
                    if body is None and response.is_redirect:
                        where = urljoin(where, response.headers["Location"])
                        if self.url.startswith("https:") and where.startswith("http:"):
                            message = f"{self.url} leads to plain http: {shown(where)}"
                            raise TransportError(message)
                        continue
                    # requests asks for gzip, and leaves it to whoever reads.
                    response.raw.decode_content = True
                    # A problem is as long as it is, whatever was asked for.
                    bound = most if response.status_code == _OK else max(most, ANSWER)
                    data = bounded(pieces(response.raw), bound, where)
                    after = response.headers.get("Retry-After", "")
                    told = after.isascii() and after.isdigit()
                    return response.status_code, data, float(after) if told else 0.0
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            message = f"could not ask {self.url}: {cause(error)}"
            raise _NoAnswerError(message) from error
        message = f"{self.url} leads elsewhere {_REDIRECTS} times"
        raise TransportError(message)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        why = printable(str(error))
        message = f"the log's answer is not what its interface promises: {why}"
        raise TransportError(message) from error


def _batches(envelopes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """As many at once as a log takes."""
    batch: list[bytes] = []
    size = 0
    for one in envelopes:
        if len(batch) == BATCH_LINES or (batch and size + len(one) >= BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one) + 1
    if batch:
        yield batch


def _of_line(line: _Line) -> Placed | Promised | PcrlogError:
    if line.index is not None:
        return Placed(line.index, line.sha256)
    if line.envelope_sha256 is not None:
        return Promised(line.sha256, line.envelope_sha256)
    if line.status in _CLIENT_ERRORS and line.status not in _AGAIN:
        return _refused(line, line.status)
    return TransportError(_words(line))


def _refusal(url: str, path: str, status: int, body: bytes) -> PcrlogError:
    """What to raise for an answer that is no success."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (ValueError, RecursionError):
        problem = _Problem(title=f"{url}/{path.partition('?')[0]} answered {status}")
    if status == _NOT_FOUND:
        return AbsentError(_words(problem))
    if status in _CLIENT_ERRORS and status not in _AGAIN:
        return _refused(problem, status)
    return TransportError(_words(problem))


def _refused(problem: _Problem, status: int) -> RefusedError:
    words = _words(problem)
    return RefusedError(words, kind=problem.type, detail=problem.detail, status=status)


def _words(problem: _Problem) -> str:
    found = [problem.title, problem.detail, problem.advice]
    words = ". ".join(text.rstrip(".") for text in found if text)
    return printable(words, _WORDS)


def fetch_file(url: str, most: int) -> str:
    """Hex SHA-256 of what is published at an https URL, of at most `most` bytes.

    Raises:
        UsageError: not an https URL.
        TransportError: no answer, or one that is larger.
    """
    if not url.startswith("https://"):
        message = f"cannot fetch {shown(url)}: give its digest, URI#sha256:HEX"
        raise UsageError(message)
    base, _, path = url.rpartition("/")
    return sha256(Client(base)(path, most)).hex()
