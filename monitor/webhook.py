"""A webhook: each alert is POSTed as JSON, signed as Standard Webhooks has it.

docs/alerts.md says it for whoever writes a receiver. The identifier of a message is
that of its alert, so it is the same however often the alert is sent; the timestamp is
that of the attempt.

>>> secrets = parse_secrets(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
>>> sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
"""

import hmac
import html
from collections.abc import Sequence
from pathlib import Path

import msgspec

from monitor import config
from monitor.alerts import Alert
from monitor.sinks import ANSWER, TAKEN, RefusedError, read_secret, without_path
from pcrlog.encoding import decode_base64, encode_base64, encode_json, printable
from pcrlog.errors import MalformedError, TransportError, UsageError
from pcrlog.exchange import Exchange

_SECRETS = 2
_SECRET_SIZES = range(24, 513)
_LATER = frozenset({408, 425, 429})
_REDIRECTS, _REFUSALS = range(300, 400), range(400, 500)


class WebhookSink:
    """POSTs each alert as JSON, signed if there is a secret."""

    def __init__(self, settings: config.Webhook, folder: Path) -> None:
        self._exchange = Exchange(settings.url)
        self._secrets: Sequence[bytes] = ()
        if settings.secret_file is not None:
            path = folder / settings.secret_file
            self._secrets = parse_secrets(read_secret(path))

    def deliver(self, alert: Alert, now: int) -> None:
        """POST it; any 2xx is a yes."""
        body = webhook_body(alert)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": alert.id,
            "webhook-timestamp": str(now),
        }
        if self._secrets:
            headers["webhook-signature"] = sign(self._secrets, alert.id, now, body)
        try:
            answer = self._exchange.post("", body, ANSWER, headers)
        except TransportError as error:
            raise RefusedError(without_path(str(error), self._exchange.url)) from error
        status = answer.status
        if status in TAKEN:
            return
        words = printable(answer.body.decode(errors="replace"), 120).strip()
        message = f"the webhook answered {status}" + f": {words}" * bool(words)
        if status in _REDIRECTS:
            message += " (redirects are not followed: set the final url)"
        elif status in _REFUSALS and status not in _LATER:
            message += " (it may refuse for ever: look at url and secret_file)"
        raise RefusedError(message, answer.retry_after)

    def close(self) -> None:
        """Let go of the connection."""
        self._exchange.close()


def webhook_body(alert: Alert) -> bytes:
    """Canonical JSON: the members of the alert, and `text` as chats show it."""
    # Chats that are compatible with Slack read <...> as links and mentions.
    text = html.escape("\n".join(alert.explained()), quote=False)
    return encode_json({**msgspec.structs.asdict(alert), "text": text})


def parse_secrets(data: bytes) -> tuple[bytes, ...]:
    """The secrets of a file: a line each; a second one while they are exchanged.

    A line is `whsec_` and base64, as Standard Webhooks has it, or the secret itself.

    Raises:
        UsageError: none, more than two, or of another size than 24 to 512 bytes.
    """
    lines = data.rstrip(b"\r\n").split(b"\n")
    try:
        found = tuple(_parse_secret(line.rstrip(b"\r")) for line in lines)
    except (MalformedError, ValueError) as error:
        message = "the webhook's secret: after whsec_, expected standard base64"
        raise UsageError(message) from error
    if len(found) > _SECRETS or any(len(one) not in _SECRET_SIZES for one in found):
        message = (
            f"the webhook's secret: expected one or two lines of {_SECRET_SIZES[0]} to"
            f" {_SECRET_SIZES[-1]} bytes, found {[len(one) for one in found]}"
        )
        raise UsageError(message)
    return found


def _parse_secret(line: bytes) -> bytes:
    prefix = b"whsec_"
    if line.startswith(prefix):
        return decode_base64(line.removeprefix(prefix).decode("ascii"))
    return line


def sign(secrets: Sequence[bytes], name: str, now: int, body: bytes) -> str:
    """The header `webhook-signature` over webhook-id, webhook-timestamp and body."""
    signed = f"{name}.{now}.".encode() + body
    return " ".join(
        f"v1,{encode_base64(hmac.digest(secret, signed, 'sha256'))}"
        for secret in secrets
    )
