"""Asks an enclave for its document, and tells what the connection showed of it.

The other half of the network beside `transport`, which asks logs. No certificate is
held against an authority here: what makes it the enclave's is that the document names
it. The answer has a largest size, and every wait an end.
"""

import contextlib
import http
import http.client
import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from pcrlog import connection
from pcrlog.connection import HEADERS, alarm, bounded, cause, pieces, shown_by
from pcrlog.encoding import shown
from pcrlog.errors import TransportError, UsageError

ATTESTATION_ANSWER = 65_536
"""A document in hex, generously."""


class Attested(Struct, frozen=True):
    """An enclave's answer: `document` as it came, and what the connection showed.

    `binding` maps "tls-spki-sha256" and "tls-cert-sha256" to 32 bytes; it is None
    where there was no TLS.
    """

    document: bytes
    binding: Mapping[str, bytes] | None


def fetch_attestation(url: str, nonce: bytes) -> Attested:
    """Ask an enclave for a document that holds `nonce`.

    The certificate is not held against any authority: what makes it the enclave's is
    that the attestation document names it, and that is for `verify` to check. One
    connection, no redirects.

    Raises:
        UsageError: not a URL, or plain HTTP to another machine.
        TransportError: no usable answer.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        message = f"expected the enclave's URL, https://…, found {shown(url)}"
        raise UsageError(message) from error
    if parts.scheme not in {"https", "http"} or host is None:
        message = f"expected the enclave's URL, https://…, found {shown(url)}"
        raise UsageError(message)
    if parts.scheme == "http" and not _is_loopback(host):
        message = "plain http shows nothing of who answers: use https (or loopback)"
        raise UsageError(message)
    query = f"{parts.query}&" * bool(parts.query) + f"nonce={nonce.hex()}"
    target = f"{parts.path or '/'}?{query}"
    try:
        with contextlib.closing(_connection(parts.scheme, host, port)) as line:
            line.connect()
            sock = line.sock
            binding = shown_by(sock)
            line.request("GET", target, headers=HEADERS)
            with alarm(sock, connection.TIMEOUT):
                response = line.getresponse()
            with response:
                body = pieces(response, sock)
                return Attested(_answer(response, body, url), binding)
    except (OSError, http.client.HTTPException, ValueError) as error:
        message = f"could not ask the enclave at {url}: {cause(error)}"
        raise TransportError(message) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=connection.TIMEOUT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The attestation vouches for the certificate; an authority's word adds nothing.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(
        host, port, timeout=connection.TIMEOUT, context=context
    )


def _answer(
    response: http.client.HTTPResponse, body: Iterator[bytes], url: str
) -> bytes:
    if response.status != http.HTTPStatus.OK:
        message = f"{url} answered {response.status}, want 200 and a document"
        raise TransportError(message)
    return bounded(body, ATTESTATION_ANSWER, url)
