"""What the tools of SGX print, of one and the same enclave."""

import pytest

from pcrlog.errors import MalformedError
from pcrlog.sgx_builds import of_dump, of_gramine, of_sigstruct
from pcrlog.sigstruct import DEBUG
from tests.support.sigstructs import (
    ALL,
    MODE64,
    gramine_text,
    gramine_view,
    oesign_dump,
    sgx_sign_dump,
    signer,
)

HASH = bytes(range(32))
MADE = signer().sign(HASH, isvprodid=300, isvsvn=17)
SAID = [
    ("MRENCLAVE", HASH.hex()),
    ("MRSIGNER", signer().mrsigner),
    ("ISVPRODID", "300"),
    ("ISVSVN", "17"),
]
DEBUG_BUILD = signer().sign(HASH, flags=MODE64 | DEBUG, mask=ALL ^ DEBUG)


def gramine(data: bytes, *, verbose: bool = False) -> dict[str, str]:
    return {n: str(v) for n, v in gramine_view(data, verbose=verbose).items()}


def test_all_say_the_same() -> None:
    assert of_sigstruct(MADE) == SAID
    assert of_dump(sgx_sign_dump(MADE)) == SAID
    assert of_dump(oesign_dump(MADE)) == SAID
    assert of_dump(gramine_text(MADE)) == SAID
    assert of_gramine(gramine(MADE)) == of_gramine(gramine(MADE, verbose=True)) == SAID


def test_lines_end_as_they_do_where_it_was_printed() -> None:
    for text in (sgx_sign_dump(MADE), oesign_dump(MADE), gramine_text(MADE)):
        assert of_dump(text.replace("\n", "\r\n")) == SAID


@pytest.mark.parametrize("text", ["", "hello", "PCR0 PCR1", "mrenclave=ab"])
def test_other_text_is_none_of_theirs(text: str) -> None:
    assert of_dump(text) is None


def test_a_debug_build_is_refused_by_each_name() -> None:
    for text in map(str, (sgx_sign_dump(DEBUG_BUILD), oesign_dump(DEBUG_BUILD))):
        with pytest.raises(MalformedError, match="a debug build"):
            of_dump(text)
    with pytest.raises(MalformedError, match="debug_enclave: 'True': a debug build"):
        of_dump(gramine_text(DEBUG_BUILD))
    with pytest.raises(MalformedError, match="a debug build"):
        of_gramine(gramine(DEBUG_BUILD))
    with pytest.raises(MalformedError, match="ATTRIBUTES: '0x6, DEBUG among them'"):
        of_sigstruct(DEBUG_BUILD)


def test_a_damaged_sigstruct_is_no_build() -> None:
    with pytest.raises(MalformedError, match="signature does not hold"):
        of_sigstruct(MADE[:960] + b"\1" + MADE[961:])
    with pytest.raises(MalformedError, match="expected 1808 bytes"):
        of_sigstruct(MADE[:-1])


# --- sgx_sign -------------------------------------------------------------------------


def test_metadata_for_older_loaders_may_say_the_same_and_nothing_else() -> None:
    assert of_dump(sgx_sign_dump(MADE, blocks=3)) == SAID
    first, hash_, rest = sgx_sign_dump(MADE, blocks=2).rpartition("0x00 0x01 0x02 ")
    assert hash_ in first
    both = f"{first}0x00 0x01 0x03 {rest}"
    with pytest.raises(MalformedError, match=r"enclave_hash\.m' stands twice"):
        of_dump(both)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("body.enclave_hash.m:", "body.enclave_hash.n:", "enclave_hash.m is missing"),
        ("mrsigner->value:", "mrsigner:", "mrsigner->value is missing"),
        ("body.isv_svn:", "body.svn:", "isv_svn is missing"),
        ("body.isv_prod_id:", "body.prod_id:", "isv_prod_id is missing"),
        ("body.attributes.flags:", "body.flags:", "attributes.flags is missing"),
        ("0x00 0x01 0x02 ", "0x00 0x01 ", "enclave_hash.m: expected 0x and digits"),
        ("0x00 0x01 0x02 ", "0x00 0x01 0x2 ", "enclave_hash.m: expected"),
        ("0x00 0x01 0x02 ", "0x00 0x01 0xzz ", "enclave_hash.m: expected"),
        ("0x00 0x01 0x02 ", "0x00 0x01 0x02 0x03 ", "enclave_hash.m: expected"),
        ("body.isv_svn: 0x11", "body.isv_svn: 17", "isv_svn: expected 0x"),
        ("body.isv_svn: 0x11", "body.isv_svn: ", "isv_svn: expected 0x"),
        ("body.isv_svn: 0x11", f"body.isv_svn: 0x{'1' * 17}", "isv_svn: expected 0x"),
    ],
)
def test_a_dump_that_is_not_whole_is_refused(old: str, new: str, words: str) -> None:
    text = sgx_sign_dump(MADE)
    assert old in text
    with pytest.raises(MalformedError, match=words):
        of_dump(text.replace(old, new))


def test_a_dump_may_begin_in_the_middle_of_an_array() -> None:
    text = sgx_sign_dump(MADE)
    assert of_dump(f"0xff 0xee\n{text}") == SAID


# --- oesign ---------------------------------------------------------------------------


def test_oesign_had_no_signer_once() -> None:
    text = "".join(
        line
        for line in oesign_dump(MADE).splitlines(keepends=True)
        if not line.startswith("mrsigner=")
    )
    assert of_dump(text) == [one for one in SAID if one[0] != "MRSIGNER"]


def test_what_oesign_prints_of_something_else_does_not_count() -> None:
    text = f"mrenclave=00\n{oesign_dump(MADE)}=== Another section:\nmrenclave=11\n"
    assert of_dump(text) == SAID


def test_the_properties_of_two_enclaves_are_refused() -> None:
    with pytest.raises(MalformedError, match="two enclaves"):
        of_dump(oesign_dump(MADE) + oesign_dump(MADE))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mrenclave=", "mrenclav=", "mrenclave is missing"),
        ("product_id=", "product=", "product_id is missing"),
        ("security_version=", "version=", "security_version is missing"),
        ("debug=0", "", "debug is missing"),
        ("debug=0", "debug=2", "debug: '2': a debug build"),
        ("debug=0", "debug=0\ndebug=1", "'debug' stands twice"),
    ],
)
def test_properties_that_are_not_whole_are_refused(
    old: str, new: str, words: str
) -> None:
    text = oesign_dump(MADE)
    assert old in text
    with pytest.raises(MalformedError, match=words):
        of_dump(text.replace(old, new))


# --- Gramine --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(gramine(MADE)))
def test_a_view_that_is_not_whole_is_refused(name: str) -> None:
    told = gramine(MADE)
    del told[name]
    with pytest.raises(MalformedError, match=f"{name} is missing"):
        of_gramine(told)


def test_a_view_that_says_more_is_not_one() -> None:
    with pytest.raises(MalformedError, match="'comment': not a member"):
        of_gramine(gramine(MADE) | {"comment": "hello"})
    with pytest.raises(MalformedError, match="stands twice"):
        of_dump(f"{gramine_text(MADE)}    isv_svn: 18\n")


@pytest.mark.parametrize("debug", ["false", "0", "", "None", "bool"])
def test_what_is_not_false_is_a_debug_build(debug: str) -> None:
    with pytest.raises(MalformedError, match="a debug build"):
        of_gramine(gramine(MADE) | {"debug_enclave": debug})
