"""How recent a machine's firmware and quoting enclave are, as Intel evaluates it.

    1.  QE identity is of the enclave that made the report, in the bits that its masks
        leave; with debug among them.
    2.  Its level is the first whose ISVSVN the report reaches. Below all: revoked.
    3.  The machine's level is the first in TCB info of which it reaches all 16 SVNs and
        the PCE's. Below all: TCB info knows no such machine.
    4.  Both statuses become one, by the table below.
    5.  This status, and all advisories of both levels, are what the policy accepts.
        "Revoked" is not for a policy to accept.

    the machine's status                            its status with a QE out of date
    UpToDate, SWHardeningNeeded                     OutOfDate
    ConfigurationNeeded, -AndSWHardeningNeeded      OutOfDateConfigurationNeeded
    OutOfDate, OutOfDateConfigurationNeeded         the same
    Revoked                                         the same

1 to 4 are those of Intel's PCS API version 4 and of its Quote Verification Library
(convergeTcbStatus); levels are taken in the order in which Intel signed them.
"""

from collections.abc import Container
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from pcrlog.attestation.sgx.quote import DEBUG
from pcrlog.attestation.sgx.statements import PlatformLevel, QeIdentity, TcbInfo
from pcrlog.encoding import shown
from pcrlog.errors import UncheckedError, VerificationError

if TYPE_CHECKING:
    from pcrlog.attestation import Trust
    from pcrlog.attestation.sgx.pck import Pck
    from pcrlog.attestation.sgx.quote import Report

UP_TO_DATE = "UpToDate"
REVOKED = "Revoked"
_OUT_OF_DATE = "OutOfDate"
_BOTH = "OutOfDateConfigurationNeeded"
WITH_OLD_QE = {
    UP_TO_DATE: _OUT_OF_DATE,
    "SWHardeningNeeded": _OUT_OF_DATE,
    "ConfigurationNeeded": _BOTH,
    "ConfigurationAndSWHardeningNeeded": _BOTH,
    _OUT_OF_DATE: _OUT_OF_DATE,
    _BOTH: _BOTH,
    REVOKED: REVOKED,
}
"""The statuses of a machine; each to what it is where the quoting enclave is old."""
_OF_QE = (UP_TO_DATE, _OUT_OF_DATE, REVOKED)


class Statements(Protocol):
    """What Intel states; a `collateral.VerifiedCollateral`."""

    @property
    def tcb_info(self) -> TcbInfo:
        """Of the machine."""
        ...

    @property
    def qe_identity(self) -> QeIdentity:
        """Of the quoting enclave."""
        ...


class QeLevel(Struct, frozen=True):
    """The level of a genuine quoting enclave; not revoked, but maybe out of date."""

    status: str
    isv_svn: int
    date: str
    """TCB date: of the software that the level asks for."""
    advisories: tuple[str, ...]

    @property
    def words(self) -> str:
        """What was found, for reports."""
        return (
            f"Intel's quoting enclave, ISVSVN {self.isv_svn}: {self.status}"
            f"{_open(self.advisories)}, TCB date {self.date}"
        )


def check_qe(verified: Statements, report: "Report") -> QeLevel:
    """The level of the quoting enclave whose report this is.

    Raises:
        VerificationError: it is not Intel's, or revoked.
        UncheckedError: its status has a name that is not known here.
    """
    if report.flags & DEBUG:
        # Intel's mask has the bit today. A key that its host can read is nobody's.
        message = "quoting enclave: its attributes have DEBUG: it cannot keep a key"
        raise VerificationError(message)
    identity = verified.qe_identity
    _require_same("MRSIGNER", identity.mrsigner, report.mrsigner)  # 1
    _require_masked(
        "miscselect",
        identity.miscselect,
        identity.miscselect_mask,
        report.miscselect,
    )
    _require_masked(
        "attributes",
        identity.attributes,
        identity.attributes_mask,
        report.attributes,
    )
    if report.isv_prod_id != identity.isvprodid:
        found, expected = report.isv_prod_id, identity.isvprodid
        message = f"quoting enclave: expected ISVPRODID {expected}, found {found}"
        raise VerificationError(message)
    for level in identity.tcb_levels:  # 2
        if level.tcb.isvsvn <= report.isv_svn:
            break
    else:
        message = (
            f"quoting enclave: ISVSVN {report.isv_svn} is below all levels that Intel"
            " lists, and so counts as revoked"
        )
        raise VerificationError(message)
    _require_known(level.tcb_status, _OF_QE, "quoting enclave")
    found_level = QeLevel(
        status=level.tcb_status,
        isv_svn=report.isv_svn,
        date=level.tcb_date,
        advisories=level.advisory_ids,
    )
    if level.tcb_status == REVOKED:
        raise VerificationError(found_level.words)
    return found_level


def check_tcb(
    verified: Statements, machine: "Pck", qe_level: QeLevel, trust: "Trust"
) -> str:
    """What was found, for reports: the machine's status is one that `trust` accepts.

    Raises:
        VerificationError: it is not.
        UncheckedError: the status has a name that is not known here.
    """
    level = _level_of(verified.tcb_info, machine)  # 3
    _require_known(level.tcb_status, WITH_OLD_QE, "machine")
    status = merge(level.tcb_status, qe_level.status)  # 4
    advisories = tuple(sorted({*level.advisory_ids, *qe_level.advisories}))
    found = f"{status}{_open(advisories)}, TCB date {level.tcb_date}"
    if status != level.tcb_status:
        found += f" (the machine {level.tcb_status}, its quoting enclave out of date)"
    if status == REVOKED:  # 5
        message = f"{found}: no policy can accept that"
        raise VerificationError(message)
    more = [] if status in trust.tcb else [f'"{status}" to tcb']
    unknown = [one for one in advisories if one not in trust.advisories]
    if unknown:
        more.append(f"{', '.join(unknown)} to advisories")
    if more:
        message = f"{found}: to accept it, add {' and '.join(more)} in the policy"
        raise VerificationError(message)
    return found


def merge(platform: str, qe: str) -> str:
    """The status of a machine (one of `WITH_OLD_QE`) with its quoting enclave.

    >>> merge("ConfigurationNeeded", "OutOfDate"), merge("UpToDate", "UpToDate")
    ('OutOfDateConfigurationNeeded', 'UpToDate')
    """
    if qe == REVOKED:
        return REVOKED
    return WITH_OLD_QE[platform] if qe == _OUT_OF_DATE else platform


def _level_of(info: TcbInfo, machine: "Pck") -> PlatformLevel:
    for level in info.tcb_levels:
        wanted = level.tcb.sgxtcbcomponents
        reached = (
            one.svn <= svn for one, svn in zip(wanted, machine.components, strict=True)
        )
        if all(reached) and level.tcb.pcesvn <= machine.pce_svn:
            return level
    components = " ".join(map(str, machine.components))
    message = (
        f"the machine (SVNs {components}, PCE {machine.pce_svn}) is below all levels"
        f" that Intel lists for FMSPC {info.fmspc}"
    )
    raise VerificationError(message)


def _require_same(what: str, expected: str, found: bytes) -> None:
    if bytes.fromhex(expected) != found:
        message = (
            f"quoting enclave, {what}: expected {expected.lower()}, found {found.hex()}"
        )
        raise VerificationError(message)


def _require_masked(what: str, expected: str, mask: str, found: bytes) -> None:
    masked = bytes(a & b for a, b in zip(found, bytes.fromhex(mask), strict=True))
    _require_same(f"{what} under mask {mask.lower()}", expected, masked)


def _open(advisories: tuple[str, ...]) -> str:
    return f" ({', '.join(advisories)})" if advisories else ""


def _require_known(status: str, known: Container[str], whose: str) -> None:
    if status not in known:
        message = (
            f"{whose}: TCB status {shown(status)} is not known: get a newer pcrlog"
        )
        raise UncheckedError(message)
