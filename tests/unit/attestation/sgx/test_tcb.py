"""How recent: each rule of Intel's evaluation at its edges, and its table."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from pcrlog.attestation import Trust
from pcrlog.attestation.sgx import collateral, pck, quote, tcb
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.quote import Report
from pcrlog.attestation.sgx.simulated_collateral import Word, level
from pcrlog.attestation.sgx.simulator import Enclave, Simulator
from pcrlog.attestation.sgx.tcb import QeLevel
from pcrlog.encoding import parse_time
from pcrlog.errors import UncheckedError, VerificationError

NOW = 1_795_417_200
STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
)
ALL = Trust((), NOW, tcb=STATUSES)
"""Accepts every status, and no advisory."""
SIMULATOR = Simulator(b"tests of tcb")
MINE = (11, 11, 2, 2, 255, 1, *(10 * (0,)))
"""The SVNs of the simulated machine."""


@pytest.fixture(scope="module")
def machine() -> Pck:
    ders = [SIMULATOR.certificates[name] for name in ("pck", "ca", "root")]
    return pck.verify(ders, (SIMULATOR.root_der,), NOW)


def stated(**word: Any) -> SimpleNamespace:
    """What the simulated Intel states; signatures and dates are others' business."""
    file = collateral.parse(SIMULATOR.collateral(Word(issued=NOW, **word)))
    info, identity = file.unverified_statements()
    return SimpleNamespace(tcb_info=info, qe_identity=identity)


def report(**otherwise: Any) -> Report:
    enclave: Enclave = replace(SIMULATOR.qe, **otherwise)
    return quote.parse_report(enclave.report, "QE report")


def qe(status: str = "UpToDate", *advisories: str) -> QeLevel:
    return QeLevel(status, 10, "2024-03-13T00:00:00Z", advisories)


def platform(
    svns: tuple[int, ...], pce_svn: int, status: str, *advisories: str
) -> object:
    tcb_ = {"sgxtcbcomponents": [{"svn": svn} for svn in svns], "pcesvn": pce_svn}
    return level(tcb_, status, advisories)


def levels(*these: object) -> SimpleNamespace:
    return stated(tcb_info={"tcbLevels": these})


# 1. Whose quoting enclave.


def test_intels_quoting_enclave_has_a_level() -> None:
    found = tcb.check_qe(stated(), report())
    assert found == qe()
    assert found.words == (
        "Intel's quoting enclave, ISVSVN 10: UpToDate, TCB date 2024-03-13T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("otherwise", "what"),
    [
        ({"mrsigner": bytes(32)}, "MRSIGNER"),
        ({"isv_prod_id": 2}, "ISVPRODID 1, found 2"),
        ({"miscselect": b"\1\0\0\0"}, "miscselect"),
        ({"miscselect": b"\0\0\0\x80"}, "miscselect"),
        ({"flags": 0x13}, "attributes have DEBUG"),  # debug
        ({"flags": 0x91}, "attributes"),  # KSS
        ({"flags": 0x01}, "attributes"),  # no provision key
        ({"flags": 0x11 | 1 << 63}, "attributes"),
    ],
)
def test_an_enclave_that_is_not_the_quoting_enclave_is_refused(
    otherwise: dict[str, Any], what: str
) -> None:
    with pytest.raises(VerificationError, match=f"quoting enclave.*{what}"):
        tcb.check_qe(stated(), report(**otherwise))


def test_bits_that_the_masks_leave_out_may_be_any() -> None:
    # MODE64 is not in the mask, nor is XFRM.
    found = tcb.check_qe(stated(), report(flags=0x11, xfrm=0x3))
    assert found.status == "UpToDate"
    masked = stated(qe_identity={"miscselectMask": "FEFFFFFF"})
    assert tcb.check_qe(masked, report(miscselect=b"\1\0\0\0")).status == "UpToDate"


# 2. Its level.


def qe_levels() -> SimpleNamespace:
    these = [
        level({"isvsvn": 8}, "UpToDate"),
        level({"isvsvn": 6}, "OutOfDate", ["INTEL-SA-00615"]),
        level({"isvsvn": 5}, "Revoked", ["INTEL-SA-00477"]),
    ]
    return stated(qe_identity={"tcbLevels": these})


@pytest.mark.parametrize(
    ("svn", "status", "advisories"),
    [
        (0xFFFF, "UpToDate", ()),
        (8, "UpToDate", ()),
        (7, "OutOfDate", ("INTEL-SA-00615",)),
        (6, "OutOfDate", ("INTEL-SA-00615",)),
    ],
)
def test_the_first_level_that_the_enclave_reaches_is_its_level(
    svn: int, status: str, advisories: tuple[str, ...]
) -> None:
    found = tcb.check_qe(qe_levels(), report(isv_svn=svn))
    assert (found.status, found.advisories, found.isv_svn) == (status, advisories, svn)


def test_a_revoked_quoting_enclave_is_refused() -> None:
    with pytest.raises(VerificationError, match=r"Revoked \(INTEL-SA-00477\)"):
        tcb.check_qe(qe_levels(), report(isv_svn=5))


def test_a_quoting_enclave_below_all_levels_counts_as_revoked() -> None:
    with pytest.raises(VerificationError, match=r"ISVSVN 4 is below all .* revoked"):
        tcb.check_qe(qe_levels(), report(isv_svn=4))


@pytest.mark.parametrize("status", ["SWHardeningNeeded", "uptodate", "Better"])
def test_a_status_that_quoting_enclaves_do_not_have_is_not_checked(status: str) -> None:
    with pytest.raises(UncheckedError, match=f"'{status}' is not known"):
        tcb.check_qe(stated(qe_status=status), report())


# 3. The machine's level.


def test_a_machine_that_just_reaches_a_level_is_on_it(machine: Pck) -> None:
    found = tcb.check_tcb(stated(), machine, qe(), Trust((), NOW))
    assert found == "UpToDate, TCB date 2024-03-13T00:00:00Z"


@pytest.mark.parametrize("position", range(16))
def test_one_component_below_is_below(machine: Pck, position: int) -> None:
    svn = MINE[position] or 1
    before, after = MINE[:position], MINE[position + 1 :]
    wanted = levels(platform((*before, svn, *after), 13, "UpToDate"))
    enough = replace(machine, components=(*before, svn, *after))
    assert tcb.check_tcb(wanted, enough, qe(), ALL).startswith("UpToDate,")
    below = replace(machine, components=(*before, svn - 1, *after))
    with pytest.raises(VerificationError, match=r"below all levels .* 00A067110000"):
        tcb.check_tcb(wanted, below, qe(), ALL)


def test_a_pce_below_is_below(machine: Pck) -> None:
    stated_ = levels(
        platform(MINE, 14, "UpToDate"), platform(MINE, 13, "SWHardeningNeeded")
    )
    found = tcb.check_tcb(stated_, machine, qe(), ALL)
    assert found.startswith("SWHardeningNeeded,")
    with pytest.raises(VerificationError, match="PCE 12"):
        tcb.check_tcb(stated_, replace(machine, pce_svn=12), qe(), ALL)


def test_levels_are_tried_in_the_order_in_which_they_are_signed(machine: Pck) -> None:
    lower, mine = platform(16 * (0,), 0, "OutOfDate"), platform(MINE, 13, "UpToDate")
    for first, status in ((lower, "OutOfDate"), (mine, "UpToDate")):
        found = tcb.check_tcb(levels(first, lower, mine), machine, qe(), ALL)
        assert found.startswith(f"{status},")


def test_a_component_above_does_not_make_up_for_one_below(machine: Pck) -> None:
    svns = (10, 255, *MINE[2:])
    wanted = levels(platform(MINE, 13, "UpToDate"))
    with pytest.raises(VerificationError, match="below all levels"):
        tcb.check_tcb(wanted, replace(machine, components=svns), qe(), ALL)


@pytest.mark.parametrize("status", ["Fine", "upToDate", "UpToDate,"])
def test_a_status_that_is_not_known_is_not_checked(machine: Pck, status: str) -> None:
    with pytest.raises(UncheckedError, match="is not known: get a newer pcrlog"):
        tcb.check_tcb(stated(status=status), machine, qe(), ALL)


# 4. One status of two.

TABLE = {
    # Intel's convergeTcbStatus: the machine's, with a QE that is out of date.
    "UpToDate": "OutOfDate",
    "SWHardeningNeeded": "OutOfDate",
    "ConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded": "OutOfDateConfigurationNeeded",
    "OutOfDate": "OutOfDate",
    "OutOfDateConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "Revoked": "Revoked",
}


@pytest.mark.parametrize("status", STATUSES)
def test_both_statuses_become_one_as_intel_has_it(machine: Pck, status: str) -> None:
    assert tcb.merge(status, "UpToDate") == status
    assert tcb.merge(status, "OutOfDate") == TABLE[status]
    assert tcb.merge(status, "Revoked") == "Revoked"


def test_it_is_said_that_the_quoting_enclave_made_it_worse(machine: Pck) -> None:
    found = tcb.check_tcb(stated(), machine, qe("OutOfDate"), ALL)
    assert found == (
        "OutOfDate, TCB date 2024-03-13T00:00:00Z (the machine UpToDate, its quoting"
        " enclave out of date)"
    )
    with pytest.raises(VerificationError, match='add "OutOfDate" to tcb in the policy'):
        tcb.check_tcb(stated(), machine, qe("OutOfDate"), Trust((), NOW))


# 5. What the policy accepts.


@pytest.mark.parametrize("status", STATUSES[1:-1])
def test_only_accepted_statuses_are_accepted(machine: Pck, status: str) -> None:
    others = tuple(one for one in STATUSES if one != status)
    for accepted in ((), ("UpToDate",), others):
        with pytest.raises(VerificationError, match=f'^{status}, .*add "{status}" to'):
            tcb.check_tcb(
                stated(status=status), machine, qe(), Trust((), NOW, tcb=accepted)
            )
    only = Trust((), NOW, tcb=(status,))
    assert tcb.check_tcb(stated(status=status), machine, qe(), only).startswith(status)


def test_no_policy_accepts_a_revoked_machine(machine: Pck) -> None:
    with pytest.raises(VerificationError, match="no policy can accept that"):
        tcb.check_tcb(stated(status="Revoked"), machine, qe(), ALL)
    with pytest.raises(VerificationError, match="no policy can accept that"):
        tcb.check_tcb(stated(), machine, qe("Revoked"), ALL)


def test_every_advisory_of_both_has_to_be_accepted(machine: Pck) -> None:
    both = stated(advisories=("INTEL-SA-00615", "INTEL-SA-00289"))
    quoting = qe("UpToDate", "INTEL-SA-00477", "INTEL-SA-00289")
    names = ("INTEL-SA-00289", "INTEL-SA-00477", "INTEL-SA-00615")
    trust = Trust((), NOW, advisories=names)
    assert tcb.check_tcb(both, machine, quoting, trust) == (
        f"UpToDate ({', '.join(names)}), TCB date 2024-03-13T00:00:00Z"
    )
    for one in names:
        fewer = tuple(name for name in names if name != one)
        with pytest.raises(VerificationError, match=f"add {one} to advisories in"):
            tcb.check_tcb(both, machine, quoting, replace(trust, advisories=fewer))


def test_what_to_put_into_the_policy_is_said_at_once(machine: Pck) -> None:
    words = 'add "OutOfDate" to tcb and INTEL-SA-1, INTEL-SA-2 to advisories in'
    told = stated(status="OutOfDate", advisories=("INTEL-SA-2", "INTEL-SA-1"))
    with pytest.raises(VerificationError, match=words):
        tcb.check_tcb(told, machine, qe(), Trust((), NOW))


# A genuine machine.


def test_a_genuine_machine_is_judged_as_by_others(vectors: Path) -> None:
    folder = vectors / "sgx"
    now = parse_time("2025-06-20T12:00:00Z")
    root = (folder / "fortanix_root_SGX_CA.der").read_bytes()
    genuine = quote.parse((folder / "phala_sgx_quote.bin").read_bytes())
    machine = pck.verify(genuine.certificates, (root,), now)
    file = (folder / "phala_sgx_quote_collateral.json").read_bytes()
    trust = Trust((root,), now)
    verified = collateral.parse(file).verify(machine, trust)
    found = tcb.check_qe(verified, genuine.qe_report)
    assert (found.status, found.isv_svn, found.advisories) == ("UpToDate", 10, ())
    words = "^ConfigurationAndSWHardeningNeeded .INTEL-SA-00289, INTEL-SA-00615., TCB"
    with pytest.raises(VerificationError, match=words):
        tcb.check_tcb(verified, machine, found, trust)
    known = replace(
        trust,
        tcb=("ConfigurationAndSWHardeningNeeded",),
        advisories=("INTEL-SA-00289", "INTEL-SA-00615"),
    )
    assert tcb.check_tcb(verified, machine, found, known).endswith(
        "TCB date 2024-03-13T00:00:00Z"
    )
