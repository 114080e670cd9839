"""An SMTP server on loopback: keeps what it is handed, and can be stubborn.

Just enough of RFC 5321, with STARTTLS, TLS from the first byte, and AUTH PLAIN, on a
thread a connection.

    with MailServer() as server:
        server.misbehave("refuse", times=2)
        ...
        [mail] = server.wait_for(1)
        assert "fork" in mail.message["Subject"]
"""

import base64
import contextlib
import datetime as dt
import ipaddress
import socket
import socketserver
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Literal["refuse", "hang", "drop", "reset"]
"""For one mail each. refuse: answer RCPT with `code`. hang: no answer to DATA's end
before `behave` or the end. drop: take the mail, and close without an answer. reset: a
TCP reset where the greeting should be."""
Tls = Literal["none", "starttls", "tls"]

_WAIT = 30.0
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Mail:
    """A mail that was taken: envelope, `data` as it came, `message` as it is read."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    message: EmailMessage
    tls: bool
    user: str | None

    @property
    def text(self) -> str:
        """The body."""
        content: str = self.message.get_content()
        return content


@dataclass
class _Turn:
    behaviour: Behaviour
    code: int


def make_certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that signs itself, for localhost and 127.0.0.1 or `names`.

    Returns:
        The files of the certificate (trust it by SSL_CERT_FILE) and of its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    local: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names] or local),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "smtp.pem", folder / "smtp.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, secret


@dataclass
class MailServer:
    """A server; it listens between `__enter__` and `__exit__`.

    Args:
        tls: how it speaks TLS; with `certificate`, as `make_certificate` returns it.
        login: user and password that it demands.
    """

    tls: Tls = "none"
    certificate: tuple[Path, Path] | None = None
    login: tuple[str, str] | None = None
    mails: list[Mail] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.context: ssl.SSLContext | None = None
        if self.certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*self.certificate)
        self._turns: deque[_Turn] = deque()
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Session)
        self._server.mail = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="mail-server"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Host and port, as a sink's `server` has them."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def misbehave(
        self, behaviour: Behaviour, *, times: int = 1, code: int = 451
    ) -> None:
        """Be stubborn for the next mails, after what was asked for before."""
        with self._changed:
            self._turns.extend([_Turn(behaviour, code)] * times)

    def behave(self) -> None:
        """Forget all stubbornness, and let go of what hangs."""
        with self._changed:
            self._turns.clear()
        self._released.set()

    def wait_for(self, count: int, seconds: float = _WAIT) -> list[Mail]:
        """The mails, once these are at least `count`."""
        self._wait(lambda: len(self.mails) >= count, f"{count} mails", seconds)
        return list(self.mails)

    def wait_for_kind(self, kind: str, seconds: float = _WAIT) -> Mail:
        """The first mail about an alert of a kind."""

        def found() -> list[Mail]:
            return [one for one in self.mails if one.message["X-Pcrlog-Kind"] == kind]

        self._wait(lambda: bool(found()), f"a mail of kind {kind}", seconds)
        return found()[0]

    def wait_for_connections(self, count: int, seconds: float = _WAIT) -> None:
        """Wait until so many connections came."""
        self._wait(lambda: self.connections >= count, f"{count} connections", seconds)

    def _wait(self, come: Callable[[], bool], what: str, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(come, seconds):
                subjects = [one.message["Subject"] for one in self.mails]
                message = f"no {what} in {seconds} s; taken: {subjects}"
                raise AssertionError(message)

    # --- what sessions do ------------------------------------------------------------

    def turn(self) -> _Turn | None:
        """How to treat the next connection."""
        with self._changed:
            self.connections += 1
            self._changed.notify_all()
            return self._turns.popleft() if self._turns else None

    def hang(self) -> None:
        """Wait until `behave` or the end."""
        self._released.wait()

    def keep(self, mail: Mail) -> None:
        """Keep a mail, and tell who waits."""
        with self._changed:
            self.mails.append(mail)
            self._changed.notify_all()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    mail: MailServer


class _Session(socketserver.BaseRequestHandler):
    """One connection."""

    server: _Server  # type: ignore[mutable-override] # the one that makes it

    def setup(self) -> None:
        """Nothing of a mail is known yet."""
        self.mail = self.server.mail
        self.turn = self.mail.turn()
        self.line: Any = self.request
        self.encrypted, self.user = False, None if self.mail.login else ""
        self._begin()

    def _begin(self) -> None:
        self.sender, self.recipients = "", list[str]()

    def handle(self) -> None:
        """Speak until either side has enough; a client that goes away is no error."""
        with contextlib.suppress(OSError):
            if self.turn is not None and self.turn.behaviour == "reset":
                abrupt = struct.pack("ii", 1, 0)
                self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abrupt)
                self.line.close()
                return
            if self.mail.tls == "tls":
                self._encrypt()
            self.file = self.line.makefile("rb")
            self._say(220, "test ready")
            while line := self.file.readline(_LONGEST):
                words = line.decode("ascii").strip()
                if not self._command(words.upper().split(" ")[0], words):
                    return

    def _encrypt(self) -> None:
        context = self.mail.context
        if context is None:
            message = "a server with TLS needs a certificate"
            raise ValueError(message)
        self.line = context.wrap_socket(self.line, server_side=True)
        self.file = self.line.makefile("rb")
        self.encrypted = True

    def finish(self) -> None:
        """Close what TLS made of the connection, too."""
        self.line.close()

    def _say(self, code: int, *words: str) -> None:
        last = len(words) - 1
        lines = [
            f"{code}{' ' if i == last else '-'}{one}\r\n" for i, one in enumerate(words)
        ]
        self.line.sendall("".join(lines).encode())

    def _command(self, verb: str, words: str) -> bool:
        """Answer a line; whether to go on."""
        known = {
            "EHLO": self._ehlo,
            "AUTH": self._auth,
            "STARTTLS": self._starttls,
            "MAIL": self._from,
            "RCPT": self._to,
            "DATA": self._data,
        }
        if verb in known:
            return known[verb](words)
        if verb == "QUIT":
            self._say(221, "bye")
            return False
        if verb == "RSET":
            self._begin()
        self._say(250 if verb in {"NOOP", "RSET", "HELO"} else 502, "so be it")
        return True

    def _ehlo(self, _words: str) -> bool:
        offers = ["test"]
        if self.mail.tls == "starttls" and not self.encrypted:
            offers.append("STARTTLS")
        elif self.mail.login:
            offers.append("AUTH PLAIN")
        self._say(250, *offers)
        return True

    def _starttls(self, _words: str) -> bool:
        self._say(220, "go on")
        self._encrypt()
        return True

    def _auth(self, words: str) -> bool:
        _, user, password = base64.b64decode(words.split(" ")[2]).decode().split("\0")
        if (user, password) != self.mail.login:
            self._say(535, "no")
            return True
        self.user = user
        self._say(235, "welcome")
        return True

    def _from(self, words: str) -> bool:
        if self.user is None:
            self._say(530, "who are you?")
            return True
        self.sender = _address(words)
        self._say(250, "ok")
        return True

    def _to(self, words: str) -> bool:
        if self.turn is not None and self.turn.behaviour == "refuse":
            self._say(self.turn.code, "not now")
            return True
        self.recipients.append(_address(words))
        self._say(250, "ok")
        return True

    def _data(self, _words: str) -> bool:
        if not self.recipients:
            self._say(503, "to whom?")
            return True
        self._say(354, "go on")
        lines = []
        while (line := self.file.readline(_LONGEST)) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b"."))
        data = b"".join(lines)
        behaviour = None if self.turn is None else self.turn.behaviour
        if behaviour == "hang":
            self.mail.hang()
            return False
        message = message_from_bytes(data, policy=policy.default)
        kept = Mail(
            self.sender,
            tuple(self.recipients),
            data,
            message,
            self.encrypted,
            self.user or None,
        )
        self.mail.keep(kept)
        if behaviour == "drop":
            return False
        self._begin()
        self._say(250, "taken")
        return True


def _address(words: str) -> str:
    return words[words.index("<") + 1 : words.index(">")]
