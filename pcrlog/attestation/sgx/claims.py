"""What a quote says of an enclave, in the words of pcrlog.

    registers     MRENCLAVE, the measurement; MRSIGNER, the hash of its signer's key
    numbers       ISVPRODID, ISVSVN: product and version, as the signer counts
    nonce         the first 32 bytes of report data
    public_key    the last 32
    user_data     all 64; or the first 32, if the others are zero: who puts one hash
                  there, as RA-TLS does, binds it as user data
    module_id     of the quoting enclave's machine: the QE's ID
    debug         the flag DEBUG, or no flag MODE64BIT

A quote names no time. What is unusual about it becomes a note; so does what stands
before and after it, which is not signed.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from pcrlog.attestation.sgx import quote
from pcrlog.attestation.sgx.quote import Quote, Report
from pcrlog.encoding import sha256

_HALF = 32
"""Of the report data."""
_FLAGS = {
    quote.PROVISION: "PROVISION_KEY: it can ask for keys that identify the processor",
    quote.EINITTOKEN: "EINITTOKEN_KEY: it can let other enclaves start",
}
_USUAL = quote.INIT | quote.DEBUG | quote.MODE64 | quote.KSS


class Claims(Struct, frozen=True):
    """What a quote says; true if the quote is verified."""

    registers: Mapping[str, str]
    numbers: Mapping[str, int]
    report_data: bytes
    """64 bytes, of which the next three are parts."""
    nonce: bytes
    public_key: bytes
    user_data: bytes
    module_id: str
    debug: str
    notes: tuple[str, ...]


def of(it: Quote) -> Claims:
    """What `it` says."""
    report = it.report
    first, last = report.report_data[:_HALF], report.report_data[_HALF:]
    return Claims(
        registers={
            "MRENCLAVE": f"sha256:{report.mrenclave.hex()}",
            "MRSIGNER": f"sha256:{report.mrsigner.hex()}",
        },
        numbers={"ISVPRODID": report.isv_prod_id, "ISVSVN": report.isv_svn},
        report_data=report.report_data,
        nonce=first,
        public_key=last,
        user_data=report.report_data if any(last) else first,
        module_id=it.qe_id.hex(),
        debug=debug(report),
        notes=(*_notes(it), *_notes_on_flags(report.flags)),
    )


def told(claims: Claims) -> Iterator[tuple[str, str]]:
    """Each of the claims, for people to read; see `attestation.Platform.claims`."""
    yield "signed", "at a time that quotes do not name"
    yield "by", f"QE {claims.module_id}"
    yield from claims.registers.items()
    yield from ((name, str(number)) for name, number in claims.numbers.items())
    yield "report data", claims.report_data.hex()
    if claims.debug:
        yield "debug", claims.debug
    yield from (("unusual", note) for note in claims.notes)


def debug(report: Report) -> str:
    """Why the enclave's memory is open to its host; empty if it is not."""
    if report.flags & quote.DEBUG:
        return "its attributes have DEBUG: its host can read its memory, and write it"
    if not report.flags & quote.MODE64:
        # MRENCLAVE does not cover attributes: whoever signs anew sets them.
        return "its attributes do not have MODE64BIT: its code is run as of 32 bits"
    return ""


def _notes(it: Quote) -> Iterator[str]:
    if it.wrapping:
        yield f"before the quote stands {it.wrapping}, which nothing signs"
    if it.trailing:
        size, digest = len(it.trailing), sha256(it.trailing)
        if it.report.report_data[:_HALF] == digest:
            yield f"{size} bytes after the quote, whose SHA-256 is in its report data"
        else:
            yield f"{size} bytes after the quote, which nothing signs: {digest.hex()}"
    if it.certification != quote.PCK_CHAIN:
        yield f"its certification data is of type {it.certification}, and not signed"
    if it.qe_svn != it.qe_report.isv_svn:
        yield f"its header says QE {it.qe_svn}, the QE's report {it.qe_report.isv_svn}"


def _notes_on_flags(flags: int) -> Iterator[str]:
    for flag, meaning in _FLAGS.items():
        if flags & flag:
            yield f"its attributes have {meaning}"
    unknown = flags & ~(_USUAL | sum(_FLAGS))
    if unknown:
        yield f"its attributes have flags unknown to pcrlog: 0x{unknown:x}"
