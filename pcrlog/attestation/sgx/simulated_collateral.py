"""What a simulated Intel publishes of its machines, as `collateral` reads it.

>>> word = Word(issued=1_795_417_200)
>>> word.ends - word.issued
2592000
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from pcrlog.attestation.sgx.quote import QE_PROD_ID, QE_SIGNER
from pcrlog.attestation.sgx.simulated_machine import Machine
from pcrlog.encoding import format_time

_DAY = 86_400
_TCB_DATE = "2024-03-13T00:00:00Z"
_EVALUATION = 17


class Word(Struct, frozen=True):
    """What it says. The defaults are of a machine and a QE that are up to date."""

    issued: int
    """Unix seconds: when all of it begins."""
    days: int = 30
    """How long all of it lasts."""
    status: str = "UpToDate"
    """Of the one level that there is, which the machine just reaches."""
    advisories: tuple[str, ...] = ()
    qe_status: str = "UpToDate"
    qe_advisories: tuple[str, ...] = ()
    qe_isv_svn: int = 8
    """From which on a quoting enclave has that status."""
    tcb_info: Mapping[str, object] = {}
    """Members written instead of the honest ones."""
    qe_identity: Mapping[str, object] = {}
    """Likewise."""
    revoked: tuple[int, ...] = ()
    """Serial numbers, by the CA of PCK certificates."""
    revoked_by_root: tuple[int, ...] = ()
    pck_chain: bool = False
    """Whether the PCK certificate's chain is there, for quotes that have none."""

    @property
    def ends(self) -> int:
        """Unix seconds."""
        return self.issued + self.days * _DAY

    @property
    def dates(self) -> Mapping[str, str]:
        """From when on and until when, as Intel writes it."""
        return {
            "issueDate": format_time(self.issued),
            "nextUpdate": format_time(self.ends),
        }

    def revoked_by(self, name: str) -> Sequence[int]:
        """The serial numbers that "root" or "ca" took back."""
        return self.revoked_by_root if name == "root" else self.revoked


def write(
    word: Word,
    *,
    machine: Machine,
    sign: Callable[[bytes], bytes],
    pem: Callable[..., str],
    crls: Sequence[bytes],
) -> bytes:
    """The file.

    Args:
        word: what it says.
        machine: which machine it is about.
        sign: the signature (r || s) of a text, by the key of "tcb".
        pem: certificates, by their names in the simulator.
        crls: DER, the root's and the CA's.
    """
    tcb_info, qe_identity = (
        msgspec.json.encode(one).decode()
        for one in (_tcb_info(word, machine), _qe_identity(word))
    )
    root_crl, pck_crl = crls
    file = {
        "pck_crl_issuer_chain": pem("ca", "root"),
        "root_ca_crl": root_crl.hex(),
        "pck_crl": pck_crl.hex(),
        "tcb_info_issuer_chain": pem("tcb", "root"),
        "tcb_info": tcb_info,
        "tcb_info_signature": sign(tcb_info.encode()).hex(),
        "qe_identity_issuer_chain": pem("tcb", "root"),
        "qe_identity": qe_identity,
        "qe_identity_signature": sign(qe_identity.encode()).hex(),
    }
    if word.pck_chain:
        file["pck_certificate_chain"] = pem("pck", "ca", "root")
    return msgspec.json.encode(file)


def _tcb_info(word: Word, machine: Machine) -> Mapping[str, object]:
    components = [{"svn": svn} for svn in machine.components]
    tcb = {"sgxtcbcomponents": components, "pcesvn": machine.pce_svn}
    return {
        "id": "SGX",
        "version": 3,
        **word.dates,
        "fmspc": machine.fmspc,
        "pceId": machine.pce_id,
        "tcbType": 0,
        "tcbEvaluationDataNumber": _EVALUATION,
        "tcbLevels": [level(tcb, word.status, word.advisories)],
    } | dict(word.tcb_info)


def _qe_identity(word: Word) -> Mapping[str, object]:
    tcb = {"isvsvn": word.qe_isv_svn}
    return {
        "id": "QE",
        "version": 2,
        **word.dates,
        "tcbEvaluationDataNumber": _EVALUATION,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": QE_PROD_ID,
        "tcbLevels": [level(tcb, word.qe_status, word.qe_advisories)],
    } | dict(word.qe_identity)


def level(
    tcb: Mapping[str, object], status: str, advisories: Sequence[str] = ()
) -> Mapping[str, object]:
    """A level of TCB info or QE identity, as Intel writes it."""
    found: dict[str, object] = {
        "tcb": tcb,
        "tcbDate": _TCB_DATE,
        "tcbStatus": status,
    }
    return found | ({"advisoryIDs": list(advisories)} if advisories else {})
