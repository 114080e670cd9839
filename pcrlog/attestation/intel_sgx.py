"""Intel SGX, platform `intel-sgx`: what a quote says, and the steps to believing it.

    document.signature    the attestation key signed header and report
    document.chain        the PCK certificate descends from a trusted root, by its key
    document.qe-report    the PCK signed the report of the quoting enclave (QE), which
                          names the attestation key: from here on there is a document
    document.collateral   Intel's word on this machine is signed, and holds now
    document.revocation   Intel has not taken back a certificate of all these
    document.qe-identity  the QE is Intel's own, and recent enough
    document.tcb          firmware and QE have a status that the policy accepts

The last four need collateral, a file. Without it they are unchecked, but for this: a QE
that is not of Intel's making is refused anyway. With the right attribute any enclave
can have its report signed by a PCK, so the first three alone prove little.

What a quote says is in `sgx.claims`, how it is laid out in `sgx.quote`.
"""

from msgspec import Struct
from msgspec.structs import replace

from pcrlog.attestation import Document, Platform, Step, Trust
from pcrlog.attestation.certificates import P256, common_name, key_of
from pcrlog.attestation.sgx import claims, collateral, pck, pem, quote, tcb
from pcrlog.attestation.sgx.claims import Claims
from pcrlog.attestation.sgx.collateral import Collateral, VerifiedCollateral
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.quote import Quote, Report
from pcrlog.attestation.sgx.tcb import QeLevel
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, UncheckedError, VerificationError

NAME = "intel-sgx"
_ROOT = """\
-----BEGIN CERTIFICATE-----
MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIw
aDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENv
cnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJ
BgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUxMFoXDTQ5MTIzMTIzNTk1OVowaDEaMBgG
A1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0
aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYT
AlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi7
1OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOB
uzCBuDAfBgNVHSMEGDAWgBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJ
MEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50cnVzdGVkc2VydmljZXMuaW50
ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4EFgQUImUM1lqdNInzg7SV
Ur9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQEwCgYI
KoZIzj0EAwIDSQAwRgIhAOW/5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwg
AiEA4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI=
-----END CERTIFICATE-----
"""
"""Intel SGX Root CA, to 2049. Of its DER the SHA-256 is
44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3. Quotes with the older
certificate of the same key hold under it."""

_NO_COLLATERAL = (
    "no collateral: what Intel says of this machine has to be given, with"
    " --collateral FILE"
)
_RESTS = "it rests on document.collateral, which is unchecked"


class Unverified(Struct, frozen=True):
    """A quote of the right form, and what it says. Nothing of it is verified."""

    quote: Quote
    claims: Claims


class Signed(Struct, frozen=True):
    """A quote that the key in it signed."""

    quote: Quote
    claims: Claims


class Chained(Struct, frozen=True):
    """A signed quote, and the machine that its certificates are about."""

    quote: Quote
    claims: Claims
    pck: Pck


class SgxDocument(Document, frozen=True, kw_only=True):
    """What the quote says, and what the steps after it ask of its machine."""

    pck: Pck
    qe_report: Report
    collateral: VerifiedCollateral | None = None
    qe_level: QeLevel | None = None


def parse(data: bytes) -> Unverified:
    """A quote, bare or wrapped. Nothing in it is verified.

    Raises:
        MalformedError: it is not one (module `sgx.quote`).
    """
    it = quote.parse(data)
    return Unverified(it, claims.of(it))


def _take_signature(unverified: Unverified, _: Trust) -> tuple[Signed, str]:
    it = unverified.quote
    quote.verify_signature(
        quote.public_key(it.attestation_key),
        it.signature,
        it.signed,
        "the attestation key that is in the quote did not sign it",
    )
    return Signed(it, unverified.claims), "header and report, by the attestation key"


def _take_chain(signed: Signed, trust: Trust) -> tuple[Chained, str]:
    certificates = signed.quote.certificates or _from_collateral(signed.quote, trust)
    machine = pck.verify(certificates, trust.roots, trust.now)
    found = (
        f"a PCK certificate by {common_name(machine.issuer)}, FMSPC {machine.fmspc},"
        f" root {machine.root_sha256}"
    )
    return Chained(signed.quote, signed.claims, machine), found


def _from_collateral(unverified: Quote, trust: Trust) -> tuple[bytes, ...]:
    given = None if trust.collateral is None else _read(trust.collateral)
    text = "" if given is None else given.pck_certificate_chain
    if not text:
        message = (
            f"the quote has certification data of type {unverified.certification}, no"
            " PCK certificate: it has to be given, with --collateral FILE, as its"
            " pck_certificate_chain"
        )
        raise UncheckedError(message)
    try:
        return pem.read(text)
    except MalformedError as error:
        message = f"collateral, pck_certificate_chain: {error}"
        raise VerificationError(message) from error


def _take_qe_report(chained: Chained, _: Trust) -> tuple[SgxDocument, str]:
    it, machine = chained.quote, chained.pck
    quote.verify_signature(
        key_of(machine.leaf, P256),
        it.qe_signature,
        it.qe_report.raw,
        "the key of the PCK certificate did not sign the QE's report",
    )
    bound = sha256(it.attestation_key + it.authentication) + bytes(32)
    if it.qe_report.report_data != bound:
        message = (
            "the QE's report is not about this attestation key: expected report data"
            f" {bound.hex()}, found {it.qe_report.report_data.hex()}"
        )
        raise VerificationError(message)
    found = f"of QE {it.qe_id.hex()}, version {it.qe_report.isv_svn}"
    return _document(it, chained.claims, machine), found


def _document(it: Quote, said: Claims, machine: Pck) -> SgxDocument:
    return SgxDocument(
        platform=NAME,
        registers=said.registers,
        time=None,
        nonce=said.nonce,
        user_data=said.user_data,
        public_key=said.public_key,
        module_id=said.module_id,
        debug=said.debug,
        leaf_not_before=machine.not_before,
        leaf_not_after=machine.not_after,
        root_sha256=machine.root_sha256,
        notes=said.notes,
        numbers=said.numbers,
        pck=machine,
        qe_report=it.qe_report,
    )


def _take_collateral(document: SgxDocument, trust: Trust) -> tuple[SgxDocument, str]:
    if trust.collateral is None:
        raise UncheckedError(_NO_COLLATERAL)
    verified = _read(trust.collateral).verify(document.pck, trust)
    return replace(document, collateral=verified), verified.words


def _read(data: bytes) -> Collateral:
    try:
        return collateral.parse(data)
    except MalformedError as error:
        message = f"collateral: {error}"
        raise VerificationError(message) from error


def _take_revocation(document: SgxDocument, _: Trust) -> tuple[SgxDocument, str]:
    if document.collateral is None:
        raise UncheckedError(_RESTS)
    return document, document.collateral.check_revocation(document.pck)


def _take_qe_identity(document: SgxDocument, _: Trust) -> tuple[SgxDocument, str]:
    if document.collateral is None:
        _require_intels(document.qe_report)
        message = f"it is signed by Intel; whether it is recent is unknown: {_RESTS}"
        raise UncheckedError(message)
    level = tcb.check_qe(document.collateral, document.qe_report)
    return replace(document, qe_level=level), level.words


def _require_intels(report: Report) -> None:
    expected = (quote.QE_SIGNER, quote.QE_PROD_ID)
    if (report.mrsigner, report.isv_prod_id) != expected:
        message = (
            "the quoting enclave is not Intel's: expected MRSIGNER"
            f" {quote.QE_SIGNER.hex()}, ISVPRODID {quote.QE_PROD_ID}, found"
            f" {report.mrsigner.hex()}, {report.isv_prod_id}"
        )
        raise VerificationError(message)
    if report.flags & quote.DEBUG:
        message = f"the quoting enclave cannot keep a key: {claims.debug(report)}"
        raise VerificationError(message)


def _take_tcb(document: SgxDocument, trust: Trust) -> tuple[SgxDocument, str]:
    if document.collateral is None or document.qe_level is None:
        raise UncheckedError(_RESTS)
    found = tcb.check_tcb(document.collateral, document.pck, document.qe_level, trust)
    return document, found


PLATFORM = Platform(
    name=NAME,
    roots=(_ROOT,),
    parse=parse,
    claims=lambda unverified: claims.told(unverified.claims),
    steps=(
        Step(
            "document.signature",
            "signed (ES256) by its attestation key",
            _take_signature,
        ),
        Step(
            "document.chain",
            "a PCK certificate under a root of the policy, by the root's key",
            _take_chain,
        ),
        Step(
            "document.qe-report",
            "the attestation key is one of a quoting enclave that the PCK vouches for",
            _take_qe_report,
        ),
        Step(
            "document.collateral",
            "Intel's word on this machine, signed, for now",
            _take_collateral,
        ),
        Step(
            "document.revocation",
            "no certificate that was taken back",
            _take_revocation,
        ),
        Step(
            "document.qe-identity",
            "a quoting enclave of Intel's",
            _take_qe_identity,
        ),
        Step(
            "document.tcb",
            "firmware in a state that the policy accepts",
            _take_tcb,
        ),
    ),
)
