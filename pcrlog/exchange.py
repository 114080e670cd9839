"""One request, one answer, as it is: for witnesses, webhooks and others' checkpoints.

No redirect is followed, since a request meant for one must not reach another, and a
POST that becomes a GET says nothing. No status is an error here: what it means, the
caller knows. Nothing is asked a second time. An answer has a largest size and comes to
an end (`connection`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from pcrlog import connection
from pcrlog.connection import bounded, cause, pieces
from pcrlog.encoding import shown
from pcrlog.errors import TransportError, UsageError

if TYPE_CHECKING:
    import requests


class Answer(Struct, frozen=True):
    """`status`, the Content-Type, seconds of Retry-After (or None), and the `body`.

    `headers` are all that came, by their names in lower case.
    """

    status: int
    content_type: str
    retry_after: int | None
    body: bytes
    headers: Mapping[str, str] = {}


class Exchange:
    """Requests to one server, over connections that stay open; for one thread.

    Args:
        url: a prefix; paths are appended to it.
        timeout: seconds without a byte after which a request fails.
    """

    def __init__(self, url: str, *, timeout: float = connection.TIMEOUT) -> None:
        if not url.startswith(("https://", "http://")):
            message = f"expected a URL, https://…, found {shown(url)}"
            raise UsageError(message)
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session: requests.Session | None = None

    def get(self, path: str, most: int) -> Answer:
        """GET what lies at `path` below the prefix, of at most `most` bytes.

        Raises:
            TransportError: no answer, or a larger one.
        """
        return self._ask("GET", path, None, {}, most)

    def post(
        self,
        path: str,
        body: bytes,
        most: int,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """POST a body to `path` below the prefix; the answer as for `get`."""
        return self._ask("POST", path, body, headers or {}, most)

    def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            self._session.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        most: int,
    ) -> Answer:
        import requests  # noqa: PLC0415 - 90 ms
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - came with it

        if self._session is None:
            self._session = connection.new_session()
        where = f"{self.url}/{path}" if path else self.url
        try:
            with self._session.request(
                method,
                where,
                data=body,
                headers=dict(headers),
                timeout=self._timeout,
                stream=True,
            ) as response:
                # requests asks for gzip, and leaves it to whoever reads.
                response.raw.decode_content = True
                found = response.headers
                after = found.get("Retry-After", "")
                return Answer(
                    response.status_code,
                    found.get("Content-Type", ""),
                    int(after[:9]) if after.isascii() and after.isdigit() else None,
                    bounded(pieces(response.raw), most, where),
                    {name.lower(): value for name, value in found.items()},
                )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            message = f"could not ask {where}: {cause(error)}"
            raise TransportError(message) from error
