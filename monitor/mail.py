r"""Mail: each alert over SMTP, with TLS whose certificate is checked.

A mail is printable ASCII in short lines, and no header of it is longer than a line:
what a log said cannot add a header or a recipient. The Message-ID is that of the alert,
so that a repetition is recognised. For a server with a certificate of one's own
authority, set SSL_CERT_FILE.

>>> alert = Alert.of("fork", "log.example/pcr", "size 9\nBcc: eve@evil.example",
...     "two roots", time=0)
>>> mail_of(alert, "monitor@acme.example", ["ops@acme.example"], now=0)["Subject"]
'[pcrlog] ALARM fork: size 9?Bcc: eve@evil.example: two roots'
"""

import contextlib
import ipaddress
import re
import smtplib
import ssl
import textwrap
import threading
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path

from monitor import config
from monitor.alerts import Alert
from monitor.sinks import RefusedError, read_secret
from pcrlog.encoding import printable
from pcrlog.errors import UsageError

_TIMEOUT = 20.0
_MAIL_SECONDS = 90.0
"""For a whole mail: a server may answer a byte at a time, each within the timeout."""
_BOTH_WAYS = 2  # SHUT_RDWR
_SUBJECT = 200
_WIDTH = 76
_ADDRESS = re.compile(r"[0-9A-Za-z.!#$%&'*+/=?^_`{|}~-]{1,64}@[0-9A-Za-z.-]{1,255}")
_PORTS = range(1, 65_536)


class SmtpSink:
    """Sends each alert as mail, over TLS whose certificate is checked."""

    def __init__(self, settings: config.Smtp, folder: Path) -> None:
        self._settings = settings
        host, _, port = settings.server.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        if self._port not in _PORTS:
            message = f"{settings.name}: expected a port 1..65535, found {port}"
            raise UsageError(message)
        if settings.tls == "none" and not _is_loopback(self._host):
            message = f'{settings.name}: tls = "none" is for a server on this machine'
            raise UsageError(message)
        for address in (settings.sender, *settings.to):
            if not _ADDRESS.fullmatch(address):
                message = f"{settings.name}: expected name@domain, found {address!a}"
                raise UsageError(message)
        if (settings.user is None) != (settings.password_file is None):
            message = f"{settings.name}: user and password_file belong together"
            raise UsageError(message)
        self._password = ""
        if settings.password_file is not None:
            data = read_secret(folder / settings.password_file)
            self._password = data.decode(errors="replace").rstrip("\r\n")

    def deliver(self, alert: Alert, now: int) -> str | None:
        """Send it; who of several recipients was refused is returned."""
        message = mail_of(alert, self._settings.sender, self._settings.to, now)
        try:
            with self._connect() as client:
                refused = client.send_message(message)
                # It is taken. Whatever happens now, nobody takes it back.
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    client.quit()
        except (smtplib.SMTPException, OSError, ValueError) as error:
            words = printable(str(error) or type(error).__name__)
            message_ = f"mail by {self._settings.server}: {words}"
            raise RefusedError(message_) from error
        if refused:
            return f"mail was refused for {', '.join(sorted(refused))}"
        return None

    def close(self) -> None:
        """Each mail has a connection of its own."""

    @contextlib.contextmanager
    def _connect(self) -> Iterator[smtplib.SMTP]:
        tls, domain = self._settings.tls, self._settings.sender.rpartition("@")[2]
        context = ssl.create_default_context()
        client = (
            smtplib.SMTP_SSL(local_hostname=domain, timeout=_TIMEOUT, context=context)
            if tls == "tls"
            else smtplib.SMTP(local_hostname=domain, timeout=_TIMEOUT)
        )
        # What connect() checks the certificate for; only the constructor sets it.
        client._host = self._host  # type: ignore[attr-defined] # noqa: SLF001
        with _deadline(client):
            try:
                client.connect(self._host, self._port)
                if tls == "starttls":
                    client.starttls(context=context)
                if self._settings.user is not None:
                    client.login(self._settings.user, self._password)
                yield client
            finally:
                client.close()


@contextlib.contextmanager
def _deadline(client: smtplib.SMTP) -> Iterator[None]:
    """End a conversation that does not come to an end."""

    def end() -> None:
        if client.sock is not None:
            with contextlib.suppress(OSError):
                client.sock.shutdown(_BOTH_WAYS)

    timer = threading.Timer(_MAIL_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def mail_of(alert: Alert, sender: str, to: Sequence[str], now: int) -> EmailMessage:
    """The mail about an alert: printable ASCII, short lines, nothing from a log alone.

    Its Message-ID is that of the alert, so that a repetition is recognised.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = _ascii(f"[pcrlog] {alert.text()}", _SUBJECT)
    message["Date"] = formatdate(now, usegmt=True)
    message["Message-ID"] = f"<{alert.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Pcrlog-Kind"] = alert.kind
    paragraphs = [_ascii(line, len(line)) for line in alert.explained()]
    message.set_content(
        "\n\n".join(textwrap.fill(one, _WIDTH) for one in paragraphs) + "\n"
    )
    return message


def _ascii(text: str, most: int) -> str:
    return printable(text, most).encode("ascii", "backslashreplace").decode()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
