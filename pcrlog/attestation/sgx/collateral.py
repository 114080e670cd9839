"""Collateral: what Intel publishes of a machine, without which a quote is half checked.

One JSON file, as dcap-qvl writes it, of at most 262,144 bytes:

    pck_certificate_chain    PEM, where the quote has none; may be left out
    pck_crl_issuer_chain     PEM: the CA of the PCK certificate, the root
    pck_crl, root_ca_crl     hex of the DER of their lists
    tcb_info_issuer_chain    PEM: Intel SGX TCB Signing, the root
    tcb_info                 Intel's JSON, as a string: these bytes are signed
    tcb_info_signature       hex of r, s
    qe_identity_issuer_chain, qe_identity, qe_identity_signature    likewise

`parse` reads it. `Collateral.verify` then demands (ATTEST.md 6.2):

1.  The list of revoked PCK certificates is of the CA that issued this one, and all
    certificates are valid now.
2.  Each chain holds, under the root that the PCK certificate hangs below (`signed`).
3.  Intel SGX TCB Signing signed both texts, and they are of their form (`statements`).
4.  TCB info is of the FMSPC and PCE of the PCK certificate.
5.  Now is within the dates of both texts and both lists.

and `VerifiedCollateral.check_revocation`, which reports show apart:

6.  The root signed its list, the CA of the PCK certificate its own (`crl`).
7.  None of the certificates that all this rests on is in them.

What is false is a VerificationError. Collateral that is old, or of another machine, is
not false, but says nothing of this one: an UncheckedError.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cryptography import x509
from msgspec import Struct

from pcrlog import limits
from pcrlog.attestation.certificates import common_name
from pcrlog.attestation.sgx import crl, signed, statements
from pcrlog.attestation.sgx.crl import Crl
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.signed import Signed
from pcrlog.attestation.sgx.statements import QeIdentity, TcbInfo
from pcrlog.encoding import format_time, prepare, shown
from pcrlog.errors import MalformedError, UncheckedError, VerificationError

if TYPE_CHECKING:
    from pcrlog.attestation import Trust

_CA = "the PCK CRL's issuer chain"


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: str
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str
    pck_certificate_chain: str | None = None


prepare(_File)


class Period(Struct, frozen=True):
    """When a part holds: unix seconds, both included."""

    what: str
    begins: int
    ends: int


class VerifiedCollateral(Struct, frozen=True):
    """What Intel states of the machine, today. Its certificates may be revoked."""

    tcb_info: TcbInfo
    qe_identity: QeIdentity
    ends: int
    """Unix seconds: the first of the dates up to which its parts hold."""
    pck_crl: Crl
    root_crl: Crl
    issued_by_root: tuple[x509.Certificate, ...]

    @property
    def words(self) -> str:
        """What was found, for reports."""
        info, identity = self.tcb_info, self.qe_identity
        numbers = {one.tcb_evaluation_data_number for one in (info, identity)}
        data = " and ".join(map(str, sorted(numbers)))
        return (
            f"for FMSPC {info.fmspc}: TCB info of {info.issue_date}, QE identity of"
            f" {identity.issue_date}, TCB evaluation data number {data}; holds until"
            f" {format_time(self.ends)}"
        )

    def check_revocation(self, machine: Pck) -> str:
        """What was found, for reports: none of the certificates is revoked.

        Raises:
            VerificationError: one is, or a list is not by whom it should be.
        """
        by_root = self.root_crl.verify(machine.root)  # 6
        by_ca = self.pck_crl.verify(machine.issuer)
        for one in (machine.issuer, *self.issued_by_root):  # 7
            _require_kept(one, by_root)
        _require_kept(machine.leaf, by_ca)
        ca, root = (common_name(one) for one in (machine.issuer, machine.root))
        return (
            f"none of the certificates, where {ca} has revoked {len(by_ca)} and"
            f" {root} {len(by_root)}"
        )


class Collateral(Struct, frozen=True):
    """Collateral that can be read. It is not verified."""

    tcb_info: Signed
    qe_identity: Signed
    ca_chain: tuple[x509.Certificate, ...]
    pck_crl: Crl
    root_crl: Crl
    pck_certificate_chain: str
    """PEM; empty if it was left out."""

    def verify(self, machine: Pck, trust: "Trust") -> VerifiedCollateral:
        """What Intel states of the machine that has the PCK certificate `machine`.

        Raises:
            VerificationError: something is false.
            UncheckedError: it is out of date, of another machine, or too new for us.
        """
        now, root = trust.now, machine.root
        ca = _of_issuer(self.ca_chain, machine)  # 1
        for period in self._certificates():
            _require_within(period, now, skew=0)
        signed.verify_chain(  # 2
            _CA, (machine.leaf, *self.ca_chain), root, now, cas=1
        )
        signers = [one.verify(root, now) for one in (self.tcb_info, self.qe_identity)]
        try:
            info, identity = self.unverified_statements()  # 3
        except MalformedError as error:
            raise VerificationError(str(error)) from error
        found, expected = (f"{one.fmspc}, PCE {one.pce_id}" for one in (info, machine))
        if found != expected:  # 4
            message = (
                f"TCB info: expected FMSPC {expected}, found {found}: get collateral"
                " for this machine"
            )
            raise UncheckedError(message)
        for period in self._dates(info, identity):  # 5
            _require_within(period, now, trust.skew)
        return VerifiedCollateral(
            tcb_info=info,
            qe_identity=identity,
            ends=self._period(info, identity).ends,
            pck_crl=self.pck_crl,
            root_crl=self.root_crl,
            issued_by_root=(ca, *signers),
        )

    def unverified_statements(self) -> tuple[TcbInfo, QeIdentity]:
        """What the texts say.

        Raises:
            MalformedError: one is not of its form.
            UncheckedError: one is of another version, or of another kind of machine.
        """
        info = statements.tcb_info(self.tcb_info.text)
        return info, statements.qe_identity(self.qe_identity.text)

    def period(self) -> Period:
        """When all of it holds, if it is genuine; raises as `unverified_statements`."""
        return self._period(*self.unverified_statements())

    def _period(self, info: TcbInfo, identity: QeIdentity) -> Period:
        parts = [*self._certificates(), *self._dates(info, identity)]
        begins = max(one.begins for one in parts)
        return Period("collateral", begins, min(one.ends for one in parts))

    def _certificates(self) -> Iterator[Period]:
        for chain in (self.ca_chain, self.tcb_info.chain, self.qe_identity.chain):
            for one in chain:
                dates = (one.not_valid_before_utc, one.not_valid_after_utc)
                begins, ends = (int(date.timestamp()) for date in dates)
                name = shown(common_name(one))
                yield Period(f"the certificate of {name}", begins, ends)

    def _dates(self, info: TcbInfo, identity: QeIdentity) -> Iterator[Period]:
        for text, one in ((self.tcb_info, info), (self.qe_identity, identity)):
            yield Period(text.what, one.begins, one.ends)
        for list_ in (self.pck_crl, self.root_crl):
            yield Period(list_.what, list_.begins, list_.ends)


def parse(data: bytes) -> Collateral:
    """Collateral from its file.

    Raises:
        MalformedError: it is not of the module's form, or too long.
    """
    if len(data) > limits.COLLATERAL:
        most = limits.COLLATERAL
        message = f"expected at most {most} bytes, found {len(data)}"
        raise MalformedError(message)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = "expected JSON in UTF-8"
        raise MalformedError(message) from error
    value = statements.read_json(text, "the file")
    file = statements.convert(value, "the file", _File)
    return Collateral(
        tcb_info=signed.parse(
            "TCB info",
            file.tcb_info,
            file.tcb_info_signature,
            file.tcb_info_issuer_chain,
        ),
        qe_identity=signed.parse(
            "QE identity",
            file.qe_identity,
            file.qe_identity_signature,
            file.qe_identity_issuer_chain,
        ),
        ca_chain=signed.read_chain(file.pck_crl_issuer_chain, _CA),
        pck_crl=crl.parse(file.pck_crl, "PCK CRL"),
        root_crl=crl.parse(file.root_ca_crl, "root CRL"),
        pck_certificate_chain=file.pck_certificate_chain or "",
    )


def _of_issuer(chain: tuple[x509.Certificate, ...], machine: Pck) -> x509.Certificate:
    """The one of `chain` that is of the CA of the PCK certificate."""
    for one in chain:
        if one.subject == machine.issuer.subject:
            return one
    names = ", ".join(common_name(one) for one in chain)
    message = (
        f"the PCK CRL is of another CA: expected {common_name(machine.issuer)}, found"
        f" {shown(names)}: get collateral for this machine"
    )
    raise UncheckedError(message)


def _require_within(period: Period, now: int, skew: int) -> None:
    if period.begins - skew <= now <= period.ends + skew:
        return
    begins, ends = format_time(period.begins), format_time(period.ends)
    message = (
        f"{period.what} is of {begins} to {ends}, now is {format_time(now)}: get the"
        " collateral of today (or, of a past time, that of then)"
    )
    raise UncheckedError(message)


def _require_kept(one: x509.Certificate, revoked: frozenset[int]) -> None:
    if one.serial_number in revoked:
        serial = f"{one.serial_number:x}"
        message = f"the certificate of {common_name(one)} is revoked, number {serial}"
        raise VerificationError(message)
