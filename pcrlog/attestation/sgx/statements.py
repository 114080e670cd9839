"""What Intel states of its machines: TCB info and QE identity, two signed JSON texts.

    TCB info      of one model of processor (its FMSPC): which versions of its sixteen
                  components and of the PCE are how good
    QE identity   who made the quoting enclave, and which of its versions is how good

Both list levels, best first. A level has a status, the date of the software it asks
for, and the advisories that are open on it. The layouts are those of Intel's PCS API
version 4: TCB info version 3, enclave identity version 2. Their order is Intel's and is
kept: a reader takes the first level that fits. Members that are not known are left
alone, since Intel adds some; everything else is as described here, or refused.

What is read here is not verified: `collateral` does that, with the text as it was.
"""

import json
from collections.abc import Collection
from typing import Annotated, NoReturn, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from pcrlog.encoding import parse_time, prepare, printable, shown
from pcrlog.errors import MalformedError, UncheckedError

T = TypeVar("T")

DEPTH = 32
"""Objects and lists within one another; Intel's texts have five."""
COMPONENTS = 16
"""SVNs of a processor; CPUSVN has one byte of each."""
_LEVELS = 256
_ADVISORIES = 256

Svn = Annotated[int, Meta(ge=0, le=0xFF)]
Word = Annotated[int, Meta(ge=0, le=0xFFFF)]
Number = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
Name = Annotated[str, Meta(pattern=r"\A[!-~]{1,64}\Z")]
Advisories = Annotated[tuple[Name, ...], Meta(max_length=_ADVISORIES)]


class Component(Struct, frozen=True):
    """One of the sixteen. Its category and type are words, and no part of any rule."""

    svn: Svn


class PlatformTcb(Struct, frozen=True):
    """What a machine must have, all of it, to be on a level."""

    sgxtcbcomponents: Annotated[
        tuple[Component, ...], Meta(min_length=COMPONENTS, max_length=COMPONENTS)
    ]
    pcesvn: Word


class EnclaveTcb(Struct, frozen=True):
    """What a quoting enclave must have to be on a level."""

    isvsvn: Word


class _Level(Struct, frozen=True, rename="camel"):
    tcb_date: str
    tcb_status: Name
    advisory_ids: Advisories = msgspec.field(name="advisoryIDs", default=())

    def __post_init__(self) -> None:
        parse_time(self.tcb_date)


class PlatformLevel(_Level, frozen=True, kw_only=True):
    """A level of a machine."""

    tcb: PlatformTcb


class EnclaveLevel(_Level, frozen=True, kw_only=True):
    """A level of a quoting enclave."""

    tcb: EnclaveTcb


class _Statement(Struct, frozen=True, rename="camel"):
    issue_date: str
    next_update: str
    tcb_evaluation_data_number: Number

    def __post_init__(self) -> None:
        if self.begins > self.ends:
            message = f"issueDate {self.issue_date} is after nextUpdate"
            raise MalformedError(message)

    @property
    def begins(self) -> int:
        """Unix seconds of `issueDate`."""
        return parse_time(self.issue_date)

    @property
    def ends(self) -> int:
        """Unix seconds of `nextUpdate`, by which Intel has a newer one."""
        return parse_time(self.next_update)


class TcbInfo(_Statement, frozen=True, kw_only=True, rename="camel"):
    """What Intel states of the machines of one FMSPC and PCE."""

    fmspc: Annotated[str, Meta(pattern=r"\A[0-9A-F]{12}\Z")]
    pce_id: Annotated[str, Meta(pattern=r"\A[0-9A-F]{4}\Z")]
    tcb_type: Number
    tcb_levels: Annotated[
        tuple[PlatformLevel, ...], Meta(min_length=1, max_length=_LEVELS)
    ]


_Hex4 = Annotated[str, Meta(pattern=r"\A[0-9A-F]{8}\Z")]
_Hex16 = Annotated[str, Meta(pattern=r"\A[0-9A-F]{32}\Z")]
_Hex32 = Annotated[str, Meta(pattern=r"\A[0-9A-F]{64}\Z")]


class QeIdentity(_Statement, frozen=True, kw_only=True, rename="camel"):
    """What Intel states of its quoting enclave; hex as in the bytes of its report."""

    miscselect: _Hex4
    miscselect_mask: _Hex4
    attributes: _Hex16
    attributes_mask: _Hex16
    mrsigner: _Hex32
    isvprodid: Word
    tcb_levels: Annotated[
        tuple[EnclaveLevel, ...], Meta(min_length=1, max_length=_LEVELS)
    ]


class _Kind(Struct, frozen=True):
    id: str = ""
    """Version 2 of TCB info had none."""
    version: int = 0


prepare(_Kind, TcbInfo, QeIdentity)


def tcb_info(text: str) -> TcbInfo:
    """TCB info from its JSON.

    Raises:
        MalformedError: it is not of the form.
        UncheckedError: it is of another version or for another kind of machine.
    """
    info = _statement(text, "TCB info", _Kind("SGX", 3), TcbInfo)
    if info.tcb_type != 0:
        message = (
            f"TCB info: expected tcbType 0, found {info.tcb_type}: how to compare its"
            " levels is not known"
        )
        raise UncheckedError(message)
    return info


def qe_identity(text: str) -> QeIdentity:
    """The identity of the quoting enclave, from its JSON; raises as `tcb_info`."""
    return _statement(text, "QE identity", _Kind("QE", 2), QeIdentity)


def _statement(text: str, what: str, expected: _Kind, kind: type[T]) -> T:
    value = read_json(text, what)
    found = convert(value, what, _Kind)
    if found != expected:
        message = (
            f"{what}: expected id {expected.id} and version {expected.version}, found"
            f" {shown(found.id)} and {found.version}: get it for SGX, of PCS API 4"
        )
        raise UncheckedError(message)
    return convert(value, what, kind)


def read_json(text: str, what: str) -> object:
    """The value of a JSON text whose numbers are integers and whose members are unique.

    Args:
        text: the JSON; it need not be canonical, since Intel's is not.
        what: its name, for messages.

    Raises:
        MalformedError: it is not such a text.
    """
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_members,
            parse_float=_no_integer,
            parse_constant=_no_integer,
        )
        _require_shallow(value)
        _require_whole(value)
    except (ValueError, RecursionError) as error:
        raise _malformed(what, error) from error
    return value


def convert(value: object, what: str, kind: type[T]) -> T:
    """`value` as a Struct.

    Raises:
        MalformedError: it is not of that form.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _malformed(what, error) from error
    except MalformedError as error:
        message = f"{what}: {error}"
        raise MalformedError(message) from error


def _malformed(what: str, error: Exception) -> MalformedError:
    return MalformedError(f"{what}: not the JSON expected: {printable(str(error))}")


def _require_whole(value: object) -> None:
    """Half a character is one to Python; nothing could be done with it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        message = "half a character, as \\ud800"
        raise ValueError(message) from error


def _require_shallow(value: object) -> None:
    layer = [value]
    for _ in range(DEPTH + 1):
        layer = [one for one in layer if isinstance(one, dict | list)]
        if not layer:
            return
        layer = [inner for outer in layer for inner in _inside(outer)]
    message = f"more than {DEPTH} objects and lists within one another"
    raise ValueError(message)


def _inside(value: object) -> Collection[object]:
    return value.values() if isinstance(value, dict) else cast("list[object]", value)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        message = "a member stands there twice"
        raise ValueError(message)
    return members


def _no_integer(text: str) -> NoReturn:
    message = f"expected an integer, found {shown(text)}"
    raise ValueError(message)
