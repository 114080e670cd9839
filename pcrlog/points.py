"""Ed25519 points under which nobody can have a key of their own.

Under a point of small order, signatures verify that nobody made; a point in a second
encoding would be a second key. Both are refused, in the keys of identities as in those
of logs, witnesses and index monitors (PROTOCOL.md 2.1, 7.1).

>>> check_point(bytes([1]) + bytes(31))
Traceback (most recent call last):
pcrlog.errors.MalformedError: Ed25519 key: a point of small order, or not canonical
"""

from pcrlog.errors import MalformedError

_FIELD = 2**255 - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})
"""The y of all points whose order divides 8, whatever the sign of x."""


def check_point(encoded: bytes) -> None:
    """Check the 32 bytes of a public key.

    Raises:
        MalformedError: of small order, or not canonical.
    """
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= _FIELD or y in _SMALL_ORDER_Y:
        message = "Ed25519 key: a point of small order, or not canonical"
        raise MalformedError(message)
