"""Fetches collateral: from a PCCS, the cache of Intel's statements that one can run.

Intel's own service (PCS, API version 4) answers the same way, but for the root's list:

    GET {url}/tcb?fmspc=00606A000000        {"tcbInfo":…,"signature":…}
    GET {url}/qe/identity                   {"enclaveIdentity":…,"signature":…}
    GET {url}/pckcrl?ca=platform&encoding=der    DER, or its hex
    GET {url}/rootcacrl                     hex, or DER

The chains of certificates come in headers, as PEM in percent-encoding. `fetch` makes of
these one file (`attestation.sgx.collateral`). It is not verified, and need not be: who
answers can withhold what is new, until what is old is out of date, and no more.

`Cached` remembers a file for each kind of machine, and asks again when its newest
statement is a day old. Only what was verified is remembered, so that one bad answer
spoils nothing later; and it gives way to nothing older. pcrlog opens no files: where it
is kept, the caller says.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from pcrlog import limits
from pcrlog.attestation.certificates import common_name
from pcrlog.attestation.sgx import collateral
from pcrlog.encoding import decode_hex, encode_json, shown
from pcrlog.errors import (
    MalformedError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.exchange import Exchange

if TYPE_CHECKING:
    from pcrlog.attestation import Trust
    from pcrlog.attestation.sgx.collateral import VerifiedCollateral
    from pcrlog.attestation.sgx.pck import Pck

FRESH = 86_400
"""Seconds: Intel issues its statements anew every day, though each holds for thirty."""
INTEL = "https://api.trustedservices.intel.com/"
INTEL_ROOT_CRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
"""Where Intel itself publishes what a PCCS has at /rootcacrl."""
_OK = 200
_TCB_CHAIN = ("TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain")
_QE_CHAIN = ("SGX-Enclave-Identity-Issuer-Chain",)
_CRL_CHAIN = ("SGX-PCK-CRL-Issuer-Chain",)
_DER = b"\x30"
# The signed text is what stands there, byte for byte: it is cut out, not decoded.
_SIGNED = re.compile(
    r'\s*\{\s*"(\w+)"\s*:\s*(\{.*\})\s*,\s*"signature"\s*:\s*"([0-9A-Fa-f]*)"\s*\}\s*',
    re.ASCII | re.DOTALL,
)


class Wanted(Struct, frozen=True):
    """A kind of machine, as a service is asked for it."""

    fmspc: str
    ca: str
    """Who issues its PCK certificates: "platform" or "processor"."""

    @property
    def name(self) -> str:
        """A file name for its collateral."""
        return f"{self.fmspc}-{self.ca}.json"


def wanted(machine: "Pck") -> Wanted:
    """What to ask for, of a machine whose PCK certificate is verified."""
    of_platform = common_name(machine.issuer) == "Intel SGX PCK Platform CA"
    return Wanted(machine.fmspc, "platform" if of_platform else "processor")


def until(data: bytes) -> int:
    """Up to when (unix seconds) a collateral file holds, if it is genuine.

    Raises:
        MalformedError: it is not one.
        UncheckedError: it is of a version that is not known.
    """
    return collateral.parse(data).period().ends


class _Answer(Struct, frozen=True):
    where: str
    headers: Mapping[str, str]
    body: bytes

    def chain(self, names: tuple[str, ...]) -> str:
        for name in names:
            if name.lower() in self.headers:
                return unquote(self.headers[name.lower()])
        message = f"{self.where}: expected the header {names[0]}, found none"
        raise TransportError(message)

    def signed(self, member: str) -> tuple[str, str]:
        """A text of Intel's and its signature."""
        text = self.body.decode("utf-8", "replace")
        found = _SIGNED.fullmatch(text)
        if found is None or found[1] != member:
            message = (
                f"{self.where}: expected {member} and signature, found {shown(text)}"
            )
            raise TransportError(message)
        return found[2], found[3].lower()

    def hex(self) -> str:
        """Of DER that came as such, or in hex."""
        if self.body.startswith(_DER):
            return self.body.hex()
        text = self.body.decode("ascii", "replace").strip().lower()
        try:
            return decode_hex(text).hex()
        except MalformedError as error:
            message = f"{self.where}: expected DER or hex, found {shown(text)}"
            raise TransportError(message) from error


def fetch(url: str, what: Wanted) -> bytes:
    """A collateral file, unverified, from the service at `url`.

    Args:
        url: up to the version: https://…/sgx/certification/v4.
        what: the kind of machine.

    Raises:
        UsageError: not a URL, or plain HTTP to another machine.
        TransportError: no usable answer.
    """
    base = require_safe(url).rstrip("/")
    with closing(Exchange(base)) as service:
        tcb = _get(service, f"tcb?fmspc={what.fmspc}")
        identity = _get(service, "qe/identity")
        pck_crl = _get(service, f"pckcrl?ca={what.ca}&encoding=der")
        root_list = _root_list(service)
    tcb_info, tcb_signature = tcb.signed("tcbInfo")
    qe_identity, qe_signature = identity.signed("enclaveIdentity")
    data = encode_json(
        {
            "pck_crl_issuer_chain": pck_crl.chain(_CRL_CHAIN),
            "root_ca_crl": root_list.hex(),
            "pck_crl": pck_crl.hex(),
            "tcb_info_issuer_chain": tcb.chain(_TCB_CHAIN),
            "tcb_info": tcb_info,
            "tcb_info_signature": tcb_signature,
            "qe_identity_issuer_chain": identity.chain(_QE_CHAIN),
            "qe_identity": qe_identity,
            "qe_identity_signature": qe_signature,
        }
    )
    try:
        collateral.parse(data)
    except MalformedError as error:
        message = f"{base} answered with what is no collateral: {error}"
        raise TransportError(message) from error
    return data


class Cached:
    """Collateral for machines, from a service, or from what was kept of it.

    Args:
        url: of the service.
        load: gives what is kept by a name, or None.
        store: keeps something by a name.
    """

    def __init__(
        self,
        url: str,
        load: Callable[[str], bytes | None],
        store: Callable[[str, bytes], None],
    ) -> None:
        self._url = require_safe(url)
        self._load = load
        self._store = store

    def get(self, machine: "Pck", trust: "Trust") -> bytes:
        """A collateral file for a machine.

        What was kept and still holds is used if it is fresh, and where nothing better
        can be had.

        Raises:
            TransportError: there is none, and no usable answer either.
        """
        what = wanted(machine)
        kept = self._load(what.name)
        holds = None if kept is None else _verified(kept, machine, trust)
        if (
            kept is not None
            and holds is not None
            and _issued(holds) > trust.now - FRESH
        ):
            return kept
        try:
            found = fetch(self._url, what)
        except TransportError:
            if kept is None or holds is None:
                raise
            return kept
        better = _verified(found, machine, trust)
        if kept is not None and holds is not None and _goes_back(better, holds):
            return kept
        if better is not None:
            self._store(what.name, found)
        # If unverified, it is not kept: verifying it again says what is wrong with it.
        return found


def _verified(
    data: bytes, machine: "Pck", trust: "Trust"
) -> "VerifiedCollateral | None":
    try:
        found = collateral.parse(data).verify(machine, trust)
        # Who signed the lists; what is in them counts against the machine, not them.
        found.root_crl.verify(machine.root)
        found.pck_crl.verify(machine.issuer)
    except (MalformedError, VerificationError, UncheckedError):
        return None
    return found


def _goes_back(found: "VerifiedCollateral | None", kept: "VerifiedCollateral") -> bool:
    """Whether something in it is older than what is kept, or all of it is of no use."""
    if found is None:
        return True
    pairs = zip(_ages(found), _ages(kept), strict=True)
    return any(new < old for new, old in pairs)


def _ages(found: "VerifiedCollateral") -> tuple[int, ...]:
    info, identity = found.tcb_info, found.qe_identity
    lists = (found.pck_crl.begins, found.root_crl.begins)
    numbers = (one.tcb_evaluation_data_number for one in (info, identity))
    return (info.begins, identity.begins, *lists, *numbers)


def _issued(found: "VerifiedCollateral") -> int:
    return max(found.tcb_info.begins, found.qe_identity.begins)


def require_safe(url: str) -> str:
    """`url`, if a service is ever asked there.

    Raises:
        UsageError: not a URL, or plain HTTP to another machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _no_service(url) from error
    more = parts.query or parts.fragment
    if parts.scheme not in {"https", "http"} or not host or more:
        raise _no_service(url)
    if parts.scheme == "http" and not _is_loopback(host):
        message = (
            f"{shown(url)}: plain http shows nothing of who answers: use https (or"
            " loopback)"
        )
        raise UsageError(message)
    return url


def _no_service(url: str) -> UsageError:
    message = (
        f"expected a service's URL, https://…/sgx/certification/v4, found {shown(url)}"
    )
    return UsageError(message)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _root_list(service: Exchange) -> _Answer:
    if not f"{service.url}/".startswith(INTEL):
        return _get(service, "rootcacrl")
    with closing(Exchange(INTEL_ROOT_CRL)) as intel:
        return _get(intel, "")


def _get(service: Exchange, path: str) -> _Answer:
    where = f"{service.url}/{path}" if path else service.url
    answer = service.get(path, limits.COLLATERAL)
    if answer.status != _OK:
        message = f"{where} answered {answer.status}, want {_OK}"
        raise TransportError(message)
    return _Answer(where, answer.headers, answer.body)
