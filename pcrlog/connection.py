"""Connections that come to an end: what `transport` asks with.

Whoever answers may be slow, endless or elsewhere. A head has a deadline beside the
timeout of each byte, a body one too and a largest size; both deadlines end the
connection, for what HTTP itself reads in between (sizes of chunks, trailers) has no end
of its own. A redirect is not followed and its body not read; cookies are not looked at.

`requests` costs 90 ms to import, so it is imported with the first session.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from pcrlog.encoding import sha256
from pcrlog.errors import TransportError

if TYPE_CHECKING:
    import requests

TIMEOUT = 10.0
"""Seconds without a byte after which a connection is given up."""
HEADERS = {"User-Agent": "pcrlog", "Accept": "*/*"}
_CHUNK = 16_384
_NO_END = "the answer does not come to an end"
_LINE = "pcrlog_line"
"""Where an answer of urllib3 carries the socket by which it comes."""


def new_session() -> "requests.Session":
    """A session that goes nowhere by itself, keeps no cookies, and waits not for ever.

    requests reads the whole body of a redirect, even one that it is not to follow.
    """
    import requests  # noqa: PLC0415 - 90 ms
    import urllib3  # noqa: PLC0415 - as requests

    class Connection(urllib3.connection.HTTPConnection):
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # urllib3's own way
            # The socket's own timeout is still that of connecting.
            with alarm(sock := self.sock, self.timeout or 0.0):
                response = super().getresponse()
            setattr(response, _LINE, sock)
            return response

    class SafeConnection(urllib3.connection.HTTPSConnection):
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # urllib3's own way
            # The socket's own timeout is still that of connecting.
            with alarm(sock := self.sock, self.timeout or 0.0):
                response = super().getresponse()
            setattr(response, _LINE, sock)
            return response

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection  # type: ignore[mutable-override] # as above

    class SafePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = SafeConnection  # type: ignore[mutable-override] # as above

    class Adapter(requests.adapters.HTTPAdapter):
        def build_response(
            self, req: requests.PreparedRequest, resp: urllib3.BaseHTTPResponse
        ) -> requests.Response:
            # Where requests finds cookies; Python's jar warns of odd ones at length.
            head = getattr(resp, "_original_response", None)
            if head is not None:
                del head.msg["Set-Cookie"]
            return super().build_response(req, resp)

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - as requests calls it
            return None

    session, adapter = Session(), Adapter()
    pools = {"http": Pool, "https": SafePool}
    adapter.poolmanager.pool_classes_by_scheme = pools
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers.update(HEADERS)
    return session


@contextlib.contextmanager
def alarm(sock: socket.socket, timeout: float) -> Iterator[None]:
    """End a connection whose answer, or the part that is read now, does not end.

    Args:
        sock: the connection.
        timeout: seconds for which it may wait for one byte.

    Raises:
        TransportError: it did not.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        # TLS's own shutdown would also take its state away, under whoever reads.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(2 * TIMEOUT + timeout, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if over.is_set():
            raise TransportError(_NO_END) from error
        raise
    finally:
        timer.cancel()
    # What was cut off may look like a whole one.
    if over.is_set():
        raise TransportError(_NO_END)


class Body(Protocol):
    """Whatever can be read piece by piece."""

    def read1(self, amount: int, /) -> bytes:
        """Some bytes, at most `amount`; none at the end."""
        ...


def pieces(raw: Body, sock: socket.socket | None = None) -> Iterator[bytes]:
    """A body as it comes.

    Args:
        raw: the body.
        sock: the connection by which it comes; one of `new_session` is known.

    Raises:
        TransportError: it takes longer than a body may take in all.
    """
    ends = time.monotonic() + 3 * TIMEOUT
    line = sock or getattr(raw, _LINE, None)
    # One read may take in any number of lines before there is a byte of the body.
    with contextlib.nullcontext() if line is None else alarm(line, TIMEOUT):
        while piece := raw.read1(_CHUNK):
            if time.monotonic() > ends:
                raise TransportError(_NO_END)
            yield piece


def bounded(chunks: Iterator[bytes], most: int, where: str) -> bytes:
    """All of a body, of at most `most` bytes.

    Raises:
        TransportError: it has more.
    """
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            message = f"the answer of {where} has more than {most} bytes"
            raise TransportError(message)
    return bytes(data)


def certificate_of(sock: object) -> bytes | None:
    """The certificate (DER) of the other end of a TLS connection; None without TLS."""
    if not isinstance(sock, ssl.SSLSocket):
        return None
    return sock.getpeercert(binary_form=True) or b""


def shown_by(sock: object) -> dict[str, bytes] | None:
    """What a TLS connection shows of its other end, by kind; None without TLS.

    Raises:
        ValueError: it shows no certificate that can be read.
    """
    der = certificate_of(sock)
    if der is None:
        return None
    from cryptography import x509  # noqa: PLC0415 - 50 ms
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as x509
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - as x509
        Encoding,
        PublicFormat,
    )

    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"tls-spki-sha256": sha256(spki), "tls-cert-sha256": sha256(der)}


def cause(error: BaseException) -> str:
    """The innermost reason: requests wraps it three times, each wordier."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
