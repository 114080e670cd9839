"""For programs that use requests: nothing is sent but to a verified enclave.

    policy = pcrlog.Policy.parse(policy_toml)
    verifier = Verifier(policy, "acme.example/wallet")
    with attested_session("https://wallet.acme.example", verifier) as session:
        answer = session.post("https://wallet.acme.example/secret", data=secret)

Before the first byte of a request leaves, headers included, on the very TLS connection
that will carry it, the enclave is asked for a document with a fresh nonce, and the
document has to name that connection's certificate. So what was verified is what is
talked to, whoever stands in between. In order:

1. a connection is made, and TLS agreed on; no authority has to vouch for its
   certificate (`web_pki=True` demands that too);
2. `GET /attestation?nonce=…` goes over it, and a document comes back;
3. `live.Verifier` judges it, with the log's answers and the channel required;
4. only then the request goes over it. If the server closed it after 2, another one is
   made, which has to show the same certificate.

A connection that is used again is verified again as soon as document or log's answers
are older than the policy allows; a new one always. What is not verified raises
`VerificationError` or `UncheckedError`, which no handler for requests' own errors takes
for a failure of the network. A `PcrlogError` means that nothing of the request left;
if requests was told to try again (`max_retries`, a challenge to `auth`), nothing to
whoever was refused, and an earlier try went to an enclave that was verified.

No redirect is followed: what is meant for an enclave must not reach anybody else. A
proxy may pass a connection on (CONNECT), and sees no more of it than anybody on the
way; one that opens it shows another certificate. What TLS itself shows is shown before
anybody is verified: the host's name, and a certificate of the client's (`cert`). Of
pcrlog, only whoever imports this module loads requests.
"""

import http.client
from typing import Any, ClassVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs

from pcrlog import connection
from pcrlog.connection import alarm, bounded, cause, certificate_of, pieces, shown_by
from pcrlog.enclave import ATTESTATION_ANSWER
from pcrlog.encoding import shown
from pcrlog.errors import TransportError, UsageError, VerificationError
from pcrlog.live import Accepted, Verifier
from pcrlog.verification import Enclave

_OK = 200
_MARK = "pcrlog_accepted"
"""Where an answer of urllib3 carries what its connection was accepted as."""


class AttestedAdapter(HTTPAdapter):
    """What a session is mounted with, for the enclave's address.

    Mount it on all of an origin, with the slash at its end; `attested_session` makes a
    session that has nothing else.

    Args:
        verifier: judges what answers.
        attestation: the path below which the same server hands out its document.
        web_pki: whether an authority has to vouch for the certificate as well, as the
            session's `verify` says.
        rest: as of `HTTPAdapter`.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        attestation: str = "/attestation",
        web_pki: bool = False,
        **rest: Any,  # noqa: ANN401 - passed on, as requests has it
    ) -> None:
        if not attestation.startswith("/") or not attestation.isascii():
            message = f"attestation: expected a path, /…, found {shown(attestation)}"
            raise UsageError(message)
        self._web_pki = web_pki
        self._pools = _pools(verifier, attestation)
        super().__init__(**rest)

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to be copied: a copy would have to be verified by something.

        Raises:
            TypeError: always.
        """
        message = "an AttestedAdapter is neither copied nor pickled: make another one"
        raise TypeError(message)

    def init_poolmanager(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - passed on, as requests has it
        """Connections of our own, and none without TLS."""
        super().init_poolmanager(*args, **rest)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **rest: Any) -> Any:  # noqa: ANN401 - as requests has it
        """The same through a proxy that passes connections on.

        Raises:
            UsageError: another kind of proxy.
        """
        if not proxy.lower().startswith("http://"):
            # Not all of it: there may be a password in it.
            scheme = shown(proxy.partition(":")[0])
            message = f"expected a proxy http://…, found one of {scheme}: use none"
            raise UsageError(message)
        manager = super().proxy_manager_for(proxy, **rest)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001 - as requests has it
        cert: Any = None,  # noqa: ANN401 - as requests has it
    ) -> Any:  # noqa: ANN401 - as requests has it
        """Leave authorities out, unless they are asked for."""
        verify = verify if self._web_pki else False
        return super().build_connection_pool_key_attributes(request, verify, cert)

    def cert_verify(
        self,
        conn: Any,  # noqa: ANN401 - as requests has it
        url: str,
        verify: bool | str,  # noqa: FBT001 - as requests has it
        cert: Any,  # noqa: ANN401 - as requests has it
    ) -> None:
        """The same, where requests says it a second time."""
        super().cert_verify(conn, url, verify if self._web_pki else False, cert)

    def send(
        self,
        request: requests.PreparedRequest,
        *args: Any,  # noqa: ANN401 - as requests has it
        **rest: Any,  # noqa: ANN401 - as requests has it
    ) -> requests.Response:
        """Send a request over a verified connection.

        Raises:
            VerificationError: what answers is refuted. This and the next two mean that
                nothing of the request has left.
            UncheckedError: it could not be verified.
            UsageError: plain http, or a proxy that cannot pass connections on.
            requests.TooManyRedirects: the enclave answered with a redirect.
            requests.RequestException: the network failed.
        """
        # Of its URL no message tells the query or a password.
        url = urlsplit(request.url or "")
        if url.scheme != "https":
            message = f"an enclave is asked by https://…, found {shown(url.scheme)}"
            raise UsageError(message)
        response = super().send(request, *args, **rest)
        if response.is_redirect:
            status, where = response.status_code, response.headers["Location"]
            response.close()
            message = (
                f"{url.hostname} answered {status} and leads to {shown(where)}, which"
                " is not followed: if that is an enclave, ask it itself"
            )
            raise requests.TooManyRedirects(message, response=response)
        return response


def attested_session(origin: str, verifier: Verifier, **rest: Any) -> requests.Session:  # noqa: ANN401 - passed on to the adapter
    """A session that can talk to one enclave, and to nobody else.

    It reads no proxies and passwords from the environment: set `trust_env` if it is to.

    Args:
        origin: https://, host, and port if the URLs have one.
        verifier: judges what answers.
        rest: as of `AttestedAdapter`.

    Raises:
        UsageError: no such origin.
    """
    try:
        # As requests will spell the URLs: a host in Unicode, for one.
        url = requests.Request("GET", origin).prepare().url or ""
    except (requests.RequestException, ValueError):
        url = ""
    parts = urlsplit(url)
    if url != f"https://{parts.netloc}/" or "@" in parts.netloc:
        found = "one with a password" if "@" in origin else shown(origin)
        message = f"expected an origin such as https://x.example, found {found}"
        raise UsageError(message)
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()
    session.mount(url, AttestedAdapter(verifier, **rest))
    return session


def enclave_of(response: requests.Response) -> Enclave:
    """Which enclave gave an answer, as it was verified before it was asked.

    Raises:
        UsageError: the answer did not come through an `AttestedAdapter`.
    """
    accepted = getattr(response.raw, _MARK, None)
    if not isinstance(accepted, Accepted):
        message = "this answer came by another adapter, which verified nobody"
        raise UsageError(message)
    return accepted.enclave


# --- connections ----------------------------------------------------------------------


class _Connection(HTTPSConnection):
    """A TLS connection over which nothing goes before its other end is verified."""

    verifier: ClassVar[Verifier]
    attestation: ClassVar[str]
    # http.client would connect by itself, in the middle of a request.
    auto_open = 0
    _accepted: Accepted | None = None
    _certificate: bytes | None = None

    def connect(self) -> None:
        """Connect, and verify who is there."""
        if self.ssl_context is None and self.cert_reqs == "CERT_NONE":
            # urllib3 would read all of the system's authorities, 20 ms, to ask none.
            none = resolve_cert_reqs(self.cert_reqs)
            self.ssl_context = create_urllib3_context(cert_reqs=none)
        super().connect()
        self._verify()

    def request(self, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - as urllib3 has it
        """Send a request, if whoever is there is still accepted."""
        if self.sock is None:
            self.connect()
        elif self._accepted is None or not self._accepted.holds(self.verifier.clock()):
            self._verify()
        if self._certificate is None or certificate_of(self.sock) != self._certificate:
            self.close()
            message = "the connection shows another certificate than was verified"
            raise VerificationError(message)
        super().request(*args, **rest)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # urllib3's own way
        """The answer, with what was accepted."""
        accepted = self._accepted
        response = super().getresponse()
        setattr(response, _MARK, accepted)
        return response

    def close(self) -> None:
        """Close it, and forget who was there."""
        self._accepted = self._certificate = None
        super().close()

    def _verify(self) -> None:
        """Verify the other end; whatever goes wrong closes the connection."""
        try:
            self._accept()
        except BaseException:
            self.close()
            raise

    def _accept(self) -> None:
        self._accepted = None
        certificate = certificate_of(self.sock)
        nonce = self.verifier.nonce()
        try:
            binding = shown_by(self.sock)
            document = self._document(nonce)
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"could not ask the enclave at {self.host}: {cause(error)}"
            raise TransportError(message) from error
        accepted = self.verifier.verify(document, nonce, binding)
        if self.sock is None:
            # It closes after every answer: the same certificate, the same enclave.
            if self.proxy is not None:
                message = f"{self.attestation} closes the connection: keep it open"
                raise TransportError(message)
            super().connect()
            if certificate_of(self.sock) != certificate:
                message = "the next connection shows another certificate than verified"
                raise VerificationError(message)
        self._accepted, self._certificate = accepted, certificate
        # So that urllib3 does not warn of a certificate that no authority knows.
        self.is_verified = True

    def _document(self, nonce: bytes) -> bytes:
        """The document, asked for over this connection."""
        sock, timeout = self.sock, self.sock.gettimeout()
        sock.settimeout(connection.TIMEOUT)
        mark = "&" if "?" in self.attestation else "?"
        where = f"{self.attestation}{mark}nonce={nonce.hex()}"
        super().putrequest("GET", where, skip_accept_encoding=True)
        for name, value in connection.HEADERS.items():
            super().putheader(name, value)
        super().endheaders()
        with alarm(sock, connection.TIMEOUT):
            # urllib3's own wants to know of a request that it made.
            response = http.client.HTTPConnection.getresponse(self)
        with response:
            if response.status != _OK:
                message = f"answered {response.status}, want 200 and a document"
                raise ValueError(message)
            body = pieces(response, sock)
            document = bounded(body, ATTESTATION_ANSWER, self.attestation)
        if self.sock is not None:
            self.sock.settimeout(timeout)
        return document


def _pools(verifier: Verifier, attestation: str) -> dict[str, type]:
    """Pools of connections that `verifier` judges, for urllib3: by TLS or not."""
    members = {"verifier": verifier, "attestation": attestation}
    connection_class = type("AttestedConnection", (_Connection,), members)
    pool = type(
        "AttestedPool",
        (urllib3.HTTPSConnectionPool,),
        {"ConnectionCls": connection_class},
    )
    return {"https": pool}
