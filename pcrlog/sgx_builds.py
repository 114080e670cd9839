r"""What tools say of an SGX enclave that they have built or signed, as (name, text).

    sgx_sign dump -enclave E -dumpfile F   lines of F, `metadata->enclave_css.body.…`
    oesign dump -e E                       `mrenclave=…`, `product_id=…`
    gramine-sgx-sigstruct-view             `    mr_enclave: …`, or a JSON object
    a SIGSTRUCT                            1808 bytes (sigstruct.py); verified

All give MRENCLAVE and MRSIGNER in hex, ISVPRODID and ISVSVN in decimal (oesign had no
MRSIGNER once). Refused is what says two things of one, and a build that is signed to be
debugged: its host may read what it keeps, and change what it does.

>>> text = "=== SGX Enclave Properties:\nproduct_id=1\nsecurity_version=2\ndebug=0\n"
>>> of_dump(text + "mrenclave=ab12\n")
[('MRENCLAVE', 'ab12'), ('ISVPRODID', '1'), ('ISVSVN', '2')]
"""

import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

from pcrlog import sigstruct
from pcrlog.encoding import shown
from pcrlog.errors import MalformedError, VerificationError

Pairs = list[tuple[str, str]]

MRENCLAVE, MRSIGNER, ISVPRODID, ISVSVN = "MRENCLAVE", "MRSIGNER", "ISVPRODID", "ISVSVN"
SIGSTRUCT = sigstruct.HEADER[:12]
"""How one begins."""
GRAMINE = "mr_enclave"
"""The member by which an object of Gramine's is known."""
_OF_GRAMINE = {
    GRAMINE: MRENCLAVE,
    "mr_signer": MRSIGNER,
    "isv_prod_id": ISVPRODID,
    "isv_svn": ISVSVN,
}
_VERBOSE = (
    *("attribute_flags", "attribute_flags_mask", "attribute_xfrms"),
    *("attribute_xfrm_mask", "misc_select", "misc_mask", "date"),
)
_OF_OESIGN = {
    "mrenclave": MRENCLAVE,
    "mrsigner": MRSIGNER,
    "product_id": ISVPRODID,
    "security_version": ISVSVN,
}
_BODY = "metadata->enclave_css.body."
_FLAGS = f"{_BODY}attributes.flags"
_OF_SGX_SIGN = {
    f"{_BODY}enclave_hash.m": MRENCLAVE,
    "mrsigner->value": MRSIGNER,
    f"{_BODY}isv_prod_id": ISVPRODID,
    f"{_BODY}isv_svn": ISVSVN,
}
_HEX = re.compile(r"0x[0-9a-f]{1,16}|0x[0-9a-f]{2}(?: 0x[0-9a-f]{2}){31}")
_PROPERTIES = "=== SGX Enclave Properties:"
_ATTRIBUTES = "Attributes:"
_FALSE = "False"


def of_sigstruct(data: bytes) -> Pairs:
    """What a SIGSTRUCT says.

    Raises:
        MalformedError: it is none, its signature does not hold, or it is of a debug
            build.
    """
    try:
        signed = sigstruct.verify(data)
    except VerificationError as error:
        raise MalformedError(str(error)) from error
    if signed.debug:
        _refuse_debug("SIGSTRUCT: ATTRIBUTES", f"{signed.flags:#x}, DEBUG among them")
    return [
        (MRENCLAVE, signed.mrenclave),
        (MRSIGNER, signed.mrsigner),
        (ISVPRODID, str(signed.isvprodid)),
        (ISVSVN, str(signed.isvsvn)),
    ]


def of_dump(text: str) -> Pairs | None:
    """What the text says that one of the tools prints; None: it is no such text.

    Raises:
        MalformedError: it is, and not whole; or it is of a debug build.
    """
    if _BODY in text:
        return _of_sgx_sign(text)
    if _PROPERTIES in text:
        return _of_oesign(text)
    if text.startswith(_ATTRIBUTES):
        return of_gramine(_once(_rows(text.removeprefix(_ATTRIBUTES), ":")))
    return None


def of_gramine(told: Mapping[str, object]) -> Pairs:
    """What an object of `gramine-sgx-sigstruct-view` says.

    Raises:
        MalformedError: it lacks a member, or has another; or it is of a debug build.
    """
    _require(told, (*_OF_GRAMINE, "debug_enclave"))
    for name in told.keys() - _OF_GRAMINE.keys() - {"debug_enclave", *_VERBOSE}:
        message = f"{shown(name)}: not a member of what gramine-sgx-sigstruct-view says"
        raise MalformedError(message)
    if str(told["debug_enclave"]) != _FALSE:
        _refuse_debug("debug_enclave", str(told["debug_enclave"]))
    return [(ours, str(told[theirs])) for theirs, ours in _OF_GRAMINE.items()]


def _of_oesign(text: str) -> Pairs:
    rest = text.partition(_PROPERTIES)[2]
    if _PROPERTIES in rest:
        message = "the properties of two enclaves: give one file for each"
        raise MalformedError(message)
    section = rest.partition("\n===")[0]
    told = _once(_rows(section, "="))
    _require(told, (*(_OF_OESIGN.keys() - {"mrsigner"}), "debug"))
    if told["debug"] != "0":
        _refuse_debug("debug", told["debug"])
    return [(ours, told[name]) for name, ours in _OF_OESIGN.items() if name in told]


def _of_sgx_sign(text: str) -> Pairs:
    """All is in hex: `name: 0x4`, and 16 bytes a line under `name:`.

    An enclave may have metadata for older loaders too, each with a hash of its own.
    """
    blocks: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        name, mark, rest = line.partition(":")
        if mark:
            blocks.append((name.strip(), rest.split()))
        elif blocks:
            blocks[-1][1].extend(line.split())
    wanted = {*_OF_SGX_SIGN, _FLAGS}
    told = _once((name, _hex(name, rest)) for name, rest in blocks if name in wanted)
    _require(told, wanted)
    if int(told[_FLAGS], 16) & sigstruct.DEBUG:
        _refuse_debug(_FLAGS, f"0x{told[_FLAGS]}, DEBUG among them")
    found = {ours: told[name] for name, ours in _OF_SGX_SIGN.items()}
    numbers = {name: str(int(found[name], 16)) for name in (ISVPRODID, ISVSVN)}
    return [*(found | numbers).items()]


def _hex(name: str, tokens: Iterable[str]) -> str:
    """The digits of `0x4`, or of 32 bytes."""
    text = " ".join(tokens)
    if not _HEX.fullmatch(text):
        message = f"{name}: expected 0x and digits, or 32 times that, got {shown(text)}"
        raise MalformedError(message)
    return text.replace("0x", "").replace(" ", "")


def _rows(text: str, mark: str) -> Pairs:
    """`name<mark>value` a line; other lines say nothing."""
    rows = (line.partition(mark) for line in text.splitlines())
    return [(name.strip(), value.strip()) for name, found, value in rows if found]


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            message = (
                f"{shown(name)} stands twice: {shown(found[name])}, and {shown(value)}"
            )
            raise MalformedError(message)
    return found


def _require(told: Mapping[str, object], names: Iterable[str]) -> None:
    for name in sorted(names):
        if name not in told:
            message = f"{name} is missing: give all that the tool prints"
            raise MalformedError(message)


def _refuse_debug(name: str, found: str) -> NoReturn:
    message = (
        f"{name}: {shown(found)}: a debug build, whose host may look into it and change"
        " it. Sign it without"
    )
    raise MalformedError(message)
