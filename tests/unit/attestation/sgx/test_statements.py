"""What Intel states: its form, to the letter, and that of others refused."""

from pathlib import Path

import pytest

from pcrlog.attestation.sgx import collateral
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.errors import (
    UncheckedError,
    VerificationError,
)
from tests.unit.attestation.sgx.intel import (
    SIMULATOR,
    machine_of,
    members,
    restated,
    verify,
    written,
)


@pytest.fixture(scope="module")
def machine() -> Pck:
    return machine_of(SIMULATOR)


SVNS = ",".join(16 * ['{"svn":0}'])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tcb_info", '"tcbType":0', '"tcbType":0,"tcbType":0'),
        ("tcb_info", '"tcbType":0', '"tcbType":0.0'),
        ("tcb_info", '"tcbType":0', '"tcbType":false'),
        ("tcb_info", '"tcbType":0', '"tcbType":NaN'),
        ("tcb_info", '"tcbType":0', '"tcbType":"0"'),
        ("tcb_info", '"tcbType":0,', ""),
        ("tcb_info", '"tcbType":0', '"tcbType":0,"new":{"a":1,"a":1}'),
        ("tcb_info", '"tcbType":0', '"tcbType":0,"new":[1.0]'),
        ("tcb_info", '"tcbType":0', '"tcbType":0,"new":[-Infinity]'),
        ("tcb_info", '"tcbType":0', '"tcbType":0,"new":"\\ud83d"'),
        ("tcb_info", '"tcbType":0', f'"tcbType":0,"new":{32 * "["}{32 * "]"}'),
        ("tcb_info", '"svn":255', '"svn":256'),
        ("tcb_info", '"svn":255', '"svn":-1'),
        ("tcb_info", '{"svn":255},', ""),
        ("tcb_info", '{"svn":255},', '{"svn":255},{"svn":255},'),
        ("tcb_info", '"pcesvn":13', '"pcesvn":65536'),
        ("tcb_info", '"fmspc":"00A0', '"fmspc":"00a0'),
        ("tcb_info", '"fmspc":"00A0', '"fmspc":"0A0'),
        ("tcb_info", '"pceId":"0000"', '"pceId":"0000\\n"'),
        ("tcb_info", "2026-11-23T07:00:00Z", "2026-11-23T07:00:00+00:00"),
        ("tcb_info", "2026-11-23T07:00:00Z", "2027-11-23T07:00:00Z"),
        ("tcb_info", "2026-12-23T07:00:00Z", "2026-02-30T07:00:00Z"),
        ("tcb_info", '"tcbDate":"2024-03-13', '"tcbDate":"2024-13-13'),
        ("tcb_info", '"tcbStatus":"UpToDate"', '"tcbStatus":"Up To Date"'),
        ("tcb_info", '"tcbStatus":"UpToDate"', '"tcbStatus":""'),
        ("tcb_info", '"tcbStatus":"UpToDate"', '"tcbStatus":null'),
        (
            "tcb_info",
            '"tcbStatus":"UpToDate"',
            '"tcbStatus":"UpToDate","advisoryIDs":["a b"]',
        ),
        (
            "tcb_info",
            '"tcbStatus":"UpToDate"',
            '"tcbStatus":"UpToDate","advisoryIDs":null',
        ),
        ("qe_identity", '"miscselect":"00000000"', '"miscselect":"0000000"'),
        ("qe_identity", '"miscselectMask":"FFFFFFFF"', '"miscselectMask":"ffffffff"'),
        ("qe_identity", '"attributes":"11', '"attributes":"0x11'),
        ("qe_identity", '"mrsigner":"8C', '"mrsigner":"'),
        ("qe_identity", '"isvprodid":1', '"isvprodid":65536'),
        ("qe_identity", '"isvsvn":8', '"isvsvn":true'),
        ("qe_identity", '"tcbLevels":[{', '"tcbLevels":[],"x":[{'),
    ],
)
def test_a_statement_of_another_form_is_refused(
    machine: Pck, name: str, old: str, new: str
) -> None:
    file = restated(name, lambda text: text.replace(old, new, 1))
    assert file[name] != members()[name]
    with pytest.raises(VerificationError, match=r"^(TCB info|QE identity): "):
        verify(file, machine)


def test_members_that_intel_adds_are_left_alone(machine: Pck) -> None:
    added = '"svn":255,"category":"BIOS","type":"a","n":[1,{}]'
    for old, new in (
        ('"svn":255', added),
        ('"tcbType":0', '"tcbType":0,"x":null'),
        ('"tcbType":0', f'"tcbType":0,"x":{31 * "["}{31 * "]"}'),
        ('"id":"SGX"', ' "id" : "SGX"\n'),
    ):
        file = restated("tcb_info", lambda text, o=old, n=new: text.replace(o, n, 1))  # type: ignore[misc] # bound now, not later
        assert verify(file, machine).tcb_info == verify(members(), machine).tcb_info


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tcb_info", '"version":3', '"version":4'),
        ("tcb_info", '"id":"SGX"', '"id":"TDX"'),
        ("tcb_info", '"id":"SGX","version":3', '"version":2'),
        ("tcb_info", '"tcbType":0', '"tcbType":1'),
        ("qe_identity", '"version":2', '"version":1'),
        ("qe_identity", '"id":"QE"', '"id":"TD_QE"'),
    ],
)
def test_another_version_or_kind_is_not_checked(
    machine: Pck, name: str, old: str, new: str
) -> None:
    file = restated(name, lambda text: text.replace(old, new, 1))
    with pytest.raises(UncheckedError, match=r"^(TCB info|QE identity): expected"):
        verify(file, machine)


@pytest.mark.parametrize("other", [{"fmspc": "00606A000000"}, {"pceId": "0001"}])
def test_the_statement_on_another_machine_says_nothing(
    machine: Pck, other: dict[str, str]
) -> None:
    words = r"expected FMSPC 00A067110000, PCE 0000, found .*: get collateral for this"
    with pytest.raises(UncheckedError, match=words):
        verify(members(tcb_info=other), machine)


def test_signals_older_statement_is_not_checked(vectors: Path) -> None:
    data = (vectors / "sgx" / "signal_dcap_v3.endorsements").read_bytes()
    start = data.index(b'{"tcbInfo":') + len(b'{"tcbInfo":')
    text = data[start : data.index(b',"signature"', start)].decode()
    file = collateral.parse(written(members() | {"tcb_info": text}))
    with pytest.raises(UncheckedError, match="found '' and 2: get it for SGX"):
        file.period()
