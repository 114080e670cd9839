"""What differs between two images is named: the register, the section, the file."""

import gzip
from dataclasses import replace
from io import BytesIO

import cbor2
import pytest

from pcrlog.errors import UsageError
from tests.support import images
from tests.support.images import METADATA_JSON, File, file, ramdisk
from workbench import comparing
from workbench.comparing import (
    Comparison,
    Side,
    compare_images,
    compare_registers,
)
from workbench.comparing_bytes import Difference, around, in_both
from workbench.eif import measure

INIT = ramdisk([file("init", b"init", mode=0o100755)])
FILES = [
    file("app", mode=0o40755, mtime=100),
    file("app/wallet", b"wallet", mtime=100),
    file("app/config", b"config", mtime=100),
]
HEX = {f"PCR{n}": f"sha384:{str(n + 1) * 96}" for n in range(10)}


def side(data: bytes) -> Side:
    return Side(BytesIO(data), measure(BytesIO(data)))


def compare(a: bytes, b: bytes) -> Comparison:
    """In both directions: what is found does not depend on which stands first."""
    found, back = compare_images(side(a), side(b)), compare_images(side(b), side(a))
    assert found.same == back.same
    assert len(found.differences) == len(back.differences)
    mirrored = {(one.place, one.kind, one.b, one.a) for one in back.differences}
    order = [one for one in found.differences if one.kind != "order"]
    assert {(one.place, one.kind, one.a, one.b) for one in order} <= mirrored
    return found


def files(ours: list[File], theirs: list[File]) -> list[Difference]:
    """What is said of the second ramdisks, beside where they differ first."""
    found = compare(
        images.image(INIT, ramdisk(ours)), images.image(INIT, ramdisk(theirs))
    )
    statuses = {one.name: one.status for one in found.registers}
    assert statuses == {"PCR0": "different", "PCR1": "equal", "PCR2": "different"}
    first, *rest = found.differences
    assert (first.place, first.kind) == ("ramdisk 1", "bytes")
    assert {one.registers for one in rest} == {("PCR0", "PCR2")}
    return rest


def changed(number: int, **members: int | bytes) -> list[File]:
    made = list(FILES)
    made[number] = replace(made[number], **members)  # type: ignore[arg-type] # of File
    return made


def test_an_image_is_the_same_as_itself() -> None:
    data = images.image(INIT, ramdisk(FILES), algorithm="ES384")
    found = compare(data, data)
    assert found.same
    assert not found.differences
    assert {one.status for one in found.registers} == {"equal"}


CHANGES: dict[str, tuple[dict[str, int | bytes], str, str]] = {
    "mode": ({"mode": 0o100600}, "file 0644", "file 0600"),
    "time": ({"mtime": 101}, "1970-01-01T00:01:40Z", "1970-01-01T00:01:41Z"),
    "owner": ({"gid": 5}, "0:0", "0:5"),
    "number": (
        {"ino": 9},
        "inode 1, links 1, device 0:0",
        "inode 9, links 1, device 0:0",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_changed_about_a_file_is_named(kind: str) -> None:
    members, a, b = CHANGES[kind]
    [found] = files(FILES, changed(1, **members))
    assert (found.kind, found.name, found.a, found.b) == (kind, "app/wallet", a, b)


def test_changed_content_is_named() -> None:
    [found] = files(FILES, changed(1, data=b"Wallet"))
    assert (found.kind, found.name) == ("content", "app/wallet")
    assert found.a.startswith("6 bytes, sha256 ")
    assert found.a != found.b


def test_a_device_is_compared_too() -> None:
    data = ramdisk(FILES)
    at = data.index(b"app/wallet") - 32  # rdevmajor of this entry
    spoilt = data[:at] + b"00000005" + data[at + 8 :]
    found = compare(images.image(INIT, data), images.image(INIT, spoilt))
    assert [one.kind for one in found.differences] == ["bytes", "device"]


def test_a_missing_file_is_named_and_those_after_it_are_not() -> None:
    [found] = files(FILES, [FILES[0], FILES[2]])
    assert (found.kind, found.name, found.b) == ("missing", "app/wallet", "")
    [found] = files([FILES[0], FILES[2]], FILES)
    assert (found.kind, found.name, found.a) == ("missing", "app/wallet", "")


def test_another_order_is_named_once() -> None:
    [found] = files(FILES, [FILES[0], FILES[2], FILES[1]])
    assert (found.kind, found.a, found.b) == ("order", "app/wallet", "app/config")
    assert found.name == "from file 1 of 3 in both"


def test_a_name_that_stands_twice_is_paired_with_its_own() -> None:
    twice = [*FILES, file("app/wallet", b"second")]
    [found] = files(twice, [*FILES, file("app/wallet", b"Second")])
    assert (found.kind, found.name) == ("content", "app/wallet")


def test_names_are_shown_escaped() -> None:
    [found] = files(FILES, [*FILES, File(b"\xff\n\x1b[31m")])
    assert found.name == "\\xff\\x0a\\x1b[31m"


def test_the_date_in_the_head_of_gzip_is_named() -> None:
    a, b = (gzip.compress(ramdisk(FILES), mtime=time) for time in (1, 2))
    found = compare(images.image(INIT, a), images.image(INIT, b))
    assert found.differences[1].kind == "packing"
    assert found.differences[1].name == "the date in gzip's head"


def test_other_packing_of_the_same_files_is_said() -> None:
    a, b = (gzip.compress(ramdisk(FILES), level, mtime=0) for level in (1, 9))
    found = compare(images.image(INIT, a + b"\0"), images.image(INIT, b))
    assert found.differences[1].kind == "packing"
    assert "the files that could be read are equal" in found.differences[1].name


def test_files_that_are_packed_in_one_image_only_are_told_from_other_files() -> None:
    found = compare(
        images.image(INIT, ramdisk(FILES)),
        images.image(INIT, gzip.compress(ramdisk(FILES))),
    )
    assert {one.kind for one in found.differences[1:]} == {"packing"}
    assert found.differences[1].b == "archive 0 in gzip"


def test_what_cannot_be_read_is_said_and_not_taken_for_equal() -> None:
    a, b = (b"\x28\xb5\x2f\xfd" + name for name in (b"one", b"two"))
    found = compare(images.image(INIT, a), images.image(INIT, b))
    assert not found.same
    assert [one.kind for one in found.differences] == [
        "bytes",
        "unread",
        "unread",
        "packing",
    ]


def test_the_first_byte_of_another_kernel_is_named() -> None:
    a, b = (images.image(INIT, kernel=b"kernel" * 9 + end) for end in (b"1", b"2"))
    [found] = compare(a, b).differences
    assert (found.place, found.name) == ("kernel", "first at byte 54")
    a, b = (images.image(INIT, kernel=b"kernel" * size) for size in (2, 3))
    [found] = compare(a, b).differences
    assert (found.name, found.a, found.b) == (
        "first at byte 12",
        "12 bytes",
        "18 bytes",
    )


def test_the_first_byte_of_another_command_line_is_shown() -> None:
    a, b = (
        images.image(INIT, cmdline=b"reboot=k panic=%d pci=off" % n) for n in (30, 31)
    )
    [found] = compare(a, b).differences
    assert (found.place, found.name) == ("command line", "first at byte 16")
    assert (found.a, found.b) == (
        "reboot=k panic=30 pci=off",
        "reboot=k panic=31 pci=off",
    )


def test_a_ramdisk_that_only_one_has_is_named() -> None:
    found = compare(images.image(INIT), images.image(INIT, ramdisk(FILES)))
    assert [one.place for one in found.differences] == ["sections", "ramdisk 1"]
    assert found.differences[1].a == ""


def test_what_is_in_no_register_is_told_and_does_not_count() -> None:
    made = images.layout(INIT, ramdisk(FILES))
    later = METADATA_JSON.replace(b"-23T", b"-24T").replace(b'"wallets"', b"null")
    other = images.layout(INIT, ramdisk(FILES), metadata=later, flags=1)
    other = replace(other, memory=1, cpus=1)
    found = compare(made.encode(), other.encode())
    assert found.same
    assert {one.registers for one in found.differences} == {()}
    assert [(one.place, one.name) for one in found.differences] == [
        ("header", "aarch64"),
        ("header", "memory"),
        ("header", "cpus"),
        ("metadata", "BuildMetadata.BuildTime"),
        ("metadata", "CustomMetadata.Team"),
    ]


def test_a_signature_made_anew_is_told_and_does_not_count() -> None:
    made = images.layout(INIT)
    proof = images.cose("ES384", images.payload(images.registers(made)["PCR0"]))
    sections = [
        cbor2.dumps([images.entry(images.pem("ES384"), tag + proof)])
        for tag in (b"", b"\xd2")
    ]
    found = compare(*(images.signed(made, "", one).encode() for one in sections))
    assert found.same
    assert [(one.place, one.kind) for one in found.differences] == [
        ("signature", "bytes")
    ]


def test_another_signer_is_another_pcr8() -> None:
    ours, theirs = (images.image(INIT, algorithm=a) for a in ("ES384", "ES256"))
    found = compare(ours, theirs)
    assert not found.same
    assert [one.place for one in found.differences] == ["signature"]


def test_a_signature_that_only_one_has_is_another_pcr8() -> None:
    found = compare(images.image(INIT), images.image(INIT, algorithm="ES384"))
    assert not found.same
    assert [(one.name, one.status) for one in found.registers] == [
        ("PCR0", "equal"),
        ("PCR1", "equal"),
        ("PCR2", "equal"),
        ("PCR8", "different"),
    ]
    assert [(one.place, one.kind) for one in found.differences] == [
        ("signature", "missing")
    ]


def test_images_of_other_bytes_in_other_sections_are_two_though_registers_agree() -> (
    None
):
    made = images.layout(INIT, ramdisk(FILES))
    kernel, cmdline, metadata, init, app = made.sections
    moved = replace(
        made,
        sections=[
            kernel,
            replace(cmdline, data=cmdline.data[:-1]),
            metadata,
            replace(init, data=cmdline.data[-1:] + init.data),
            app,
        ],
    )
    found = compare(made.encode(), moved.encode())
    assert {one.status for one in found.registers} == {"equal"}
    assert not found.same


def test_the_order_of_sections_is_named() -> None:
    made = images.layout(INIT)
    kernel, cmdline, metadata, init = made.sections
    found = compare(
        made.encode(),
        replace(made, sections=[cmdline, kernel, metadata, init]).encode(),
    )
    assert not found.same
    assert found.differences[0].a == "kernel cmdline ramdisk"
    found = compare(
        made.encode(),
        replace(made, sections=[kernel, cmdline, init, metadata]).encode(),
    )
    assert found.same
    assert found.differences[0].b == "kernel cmdline ramdisk metadata"


def test_versions_are_compared() -> None:
    found = compare(images.image(INIT), images.image(INIT, version=3))
    assert found.same
    places = {one.place for one in found.differences}
    assert places == {"header", "metadata", "sections"}


def test_more_differences_than_are_listed_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparing, "MOST", 2)
    later = [replace(one, mtime=101) for one in FILES]
    found = compare_images(
        side(images.image(INIT, ramdisk(FILES))),
        side(images.image(INIT, ramdisk(later))),
    )
    assert (len(found.differences), found.more, found.same) == (2, 2, False)


# --- registers alone ------------------------------------------------------------------


def test_registers_that_only_one_names_are_not_compared() -> None:
    only = {"PCR0": HEX["PCR0"]}
    found = compare_registers(only, HEX)
    assert found.same
    assert [one.status for one in found.registers] == ["equal", *["unknown"] * 9]


def test_registers_of_the_machine_differ_by_nature() -> None:
    other = {**HEX, "PCR3": HEX["PCR5"], "PCR4": HEX["PCR5"]}
    found = compare_registers(HEX, other)
    assert found.same
    assert [o.name for o in found.registers if o.status == "nature"] == ["PCR3", "PCR4"]


@pytest.mark.parametrize("name", ["PCR0", "PCR1", "PCR2", "PCR8"])
def test_any_other_register_that_differs_counts(name: str) -> None:
    found = compare_registers(HEX, {**HEX, name: HEX["PCR5"]})
    assert not found.same
    assert [o.name for o in found.registers if o.status == "different"] == [name]


def test_without_pcr0_there_is_nothing_to_go_by() -> None:
    with pytest.raises(UsageError, match="name PCR0"):
        compare_registers({"PCR1": HEX["PCR1"]}, HEX)
    # Of an enclave PCR4 alone is the machine's.
    with pytest.raises(UsageError, match="name PCR0"):
        compare_registers({"PCR4": HEX["PCR4"]}, HEX)


SGX = {name: f"sha256:{n * 64}" for name, n in (("MRENCLAVE", "1"), ("MRSIGNER", "2"))}


def test_an_enclave_of_sgx_is_compared_whoever_signed_it() -> None:
    found = compare_registers(SGX, SGX | {"MRSIGNER": SGX["MRENCLAVE"]})
    assert found.same
    assert [one.status for one in found.registers] == ["nature", "equal"]
    assert not compare_registers(SGX, SGX | {"MRENCLAVE": SGX["MRSIGNER"]}).same
    with pytest.raises(UsageError, match="or MRENCLAVE"):
        compare_registers({"MRSIGNER": SGX["MRSIGNER"]}, SGX)


@pytest.mark.parametrize("name", ["PCR3", "PCR4", "PCR7", "PCR12"])
def test_of_a_nitrotpm_every_register_counts(name: str) -> None:
    boot = dict.fromkeys(("PCR3", "PCR4", "PCR7", "PCR12"), HEX["PCR1"])
    assert compare_registers(boot, boot).same
    found = compare_registers(boot, boot | {name: HEX["PCR2"]})
    assert not found.same
    assert [o.name for o in found.registers if o.status == "different"] == [name]


def test_what_is_shown_of_a_text_is_short_and_harmless() -> None:
    assert around(b"a\x1bb", 1) == "a\\x1bb"
    assert around(b"x" * 100, 50) == f"…{'x' * 40}…"
    assert in_both(b"abc", b"abX") == 2
    assert in_both(b"abc", b"abc") == 3
    assert in_both(b"", b"abc") == 0
