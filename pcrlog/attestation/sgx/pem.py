r"""Certificates in PEM (RFC 7468), as quotes and collateral carry several in one text.

    -----BEGIN CERTIFICATE-----
    base64, in lines of 64 characters or 76, the last shorter
    -----END CERTIFICATE-----

one after the other, with nothing between, before or after; the last line may lack its
end. What is read is written again and compared: text around the blocks is in no
signature, and two readers could take it for two things.

>>> read(write(b"DER") + write(b"another"))
(b'DER', b'another')
>>> write(b"DER")
'-----BEGIN CERTIFICATE-----\nREVS\n-----END CERTIFICATE-----\n'
"""

import re

from pcrlog.encoding import decode_base64, encode_base64, shown
from pcrlog.errors import MalformedError

MOST = 4
"""Certificates in one text; there are two or three."""

_BODY = re.compile(
    r"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]*)\n-----END CERTIFICATE-----"
)
_USUAL, _LONG = 64, 76


def read(text: str) -> tuple[bytes, ...]:
    """The certificates (DER, as yet unread) in `text`, one at least.

    Raises:
        MalformedError: anything that `write` would not have written, or too many.
    """
    bodies = _BODY.findall(text)
    if not 0 < len(bodies) <= MOST:
        message = f"expected 1..{MOST} certificates in PEM, found {len(bodies)}"
        raise MalformedError(message)
    found = tuple(decode_base64(body.replace("\n", "")) for body in bodies)
    firsts = (len(body.partition("\n")[0]) for body in bodies)
    widths = (_LONG if first > _USUAL else _USUAL for first in firsts)
    written = "".join(map(write, found, widths))
    if text not in (written, written.removesuffix("\n")):
        message = (
            f"expected certificates in PEM, in lines of {_USUAL} or {_LONG} characters,"
            f" with nothing around them; found {shown(text)}"
        )
        raise MalformedError(message)
    return found


def write(der: bytes, width: int = _USUAL) -> str:
    """One certificate in PEM, with base64 in lines of `width` characters."""
    text = encode_base64(der)
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return "\n".join(
        ["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]
    )
