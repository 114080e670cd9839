r"""What Open Enclave writes before a quote: one header, or two, the outer one first.

    oe_attestation_header_t    4 version, 2 or 3; 16 format, that of SGX with ECDSA;
                               4 padding, which may be anything; 8 size of what follows
    oe_report_header_t         4 version, 1; 4 kind, 2 (remote); 8 size of the quote

Numbers are little-endian. The outer size covers what the application appended, the
inner one need not. All of it can be cut off, or made up, by whoever hands it over.

>>> remove(bytes.fromhex("01000000 02000000 0300000000000000") + b"quote")
(b'quote', 3, "Open Enclave's report header")
"""

import struct

from pcrlog.errors import MalformedError

EVIDENCE_HEADER = "Open Enclave's evidence header"
REPORT_HEADER = "Open Enclave's report header"

_EVIDENCE = struct.Struct("<I16s4xQ")
_VERSIONS = (2, 3)
_SGX_ECDSA = bytes.fromhex("a3a21e871b4d4014b70aa125d2fbcd8c")
_REPORT = struct.Struct("<8sQ")
_REMOTE = bytes.fromhex("01000000 02000000")


def remove(data: bytes) -> tuple[bytes, int, str]:
    """The quote and all that follows; its size, as far as is said; what was before it.

    Raises:
        MalformedError: a size does not fit.
    """
    rest, before = data, []
    if len(rest) >= _EVIDENCE.size:
        version, form, size = _EVIDENCE.unpack_from(rest)
        if version in _VERSIONS and form == _SGX_ECDSA:
            rest = rest[_EVIDENCE.size :]
            _require(size == len(rest), EVIDENCE_HEADER, len(rest), size)
            before.append(f"{EVIDENCE_HEADER}, version {version}")
    size = len(rest)
    if size >= _REPORT.size and rest.startswith(_REMOTE):
        _, size = _REPORT.unpack_from(rest)
        rest = rest[_REPORT.size :]
        _require(size <= len(rest), REPORT_HEADER, len(rest), size)
        before.append(REPORT_HEADER)
    return rest, size, " and ".join(before)


def _require(fits: bool, what: str, expected: int, found: int) -> None:  # noqa: FBT001 - a condition, not a mode
    if not fits:
        message = f"SGX quote, {what}: expected a size of {expected}, found {found}"
        raise MalformedError(message)
