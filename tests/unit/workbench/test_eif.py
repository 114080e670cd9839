"""An image has the registers of AWS's formulas, or is refused by a named check."""

import json
import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import product
from pathlib import Path
from struct import pack

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from pcrlog.errors import MalformedError, UsageError, VerificationError
from tests.support import images
from tests.support.images import (
    CMDLINE,
    KERNEL,
    METADATA,
    METADATA_JSON,
    RAMDISK,
    Layout,
    Section,
)
from workbench import eif_hashing
from workbench.eif import Image, measure, predict
from workbench.eif_layout import CHECKS
from workbench.eif_registers import of_certificate, of_instance, of_role

INIT = images.ramdisk([images.file("init", b"init", mode=0o100755)])
APP = images.ramdisk([images.file("app", b"application")])
PLAIN = images.layout(INIT, APP)
ALGORITHMS = ("ES256", "ES384", "ES512")


def read(data: bytes) -> Image:
    return measure(BytesIO(data))


def measured(image: Image) -> dict[str, str]:
    return {name: image.registers[name] for name in ("PCR0", "PCR1", "PCR2")}


# --- registers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["synthetic_signed.eif", "synthetic_unsigned.eif"])
def test_a_known_image_has_its_known_registers(name: str, vectors: Path) -> None:
    expected = json.loads((vectors / "eif" / "expected.json").read_text())[name]
    with (vectors / "eif" / name).open("rb") as file:
        found = measure(file)
    told = found.described()
    assert told["Measurements"] == expected["Measurements"]
    assert found.sha256 == expected["sha256"]
    assert found.header.version == expected["header"]["version"]
    assert len(found.parts) == expected["header"]["n"]
    assert told["CheckCRC"] == expected["header"]["crc_ok"]


@pytest.mark.parametrize(
    ("algorithm", "ramdisks", "version", "flags"),
    [*product(("", *ALGORITHMS), range(4), (3, 4), (0, 1))],
)
def test_an_image_has_the_registers_of_the_formulas(
    algorithm: str, ramdisks: int, version: int, flags: int
) -> None:
    disks = [INIT + bytes([number]) for number in range(ramdisks)]
    made = images.layout(*disks, version=version, flags=flags)
    data = (images.signed(made, algorithm) if algorithm else made).encode()
    found = read(data)
    assert measured(found) == images.registers(made)
    assert found.header.aarch64 == bool(flags)
    assert found.size == len(data)
    assert (found.metadata is None) == (version == 3)
    if algorithm:
        der = images.certificate(algorithm).public_bytes(Encoding.DER)
        assert found.registers["PCR8"] == images.register(der) == of_certificate(der)
    else:
        assert "PCR8" not in found.registers


@pytest.mark.parametrize("chunk", [eif_hashing.CHUNK, 70_000, 100])
def test_large_sections_go_through_threads_and_come_out_the_same(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.eif.CHUNK", chunk)
    disks = [os.urandom(size) for size in (300_000, 200_000, 100_001)]
    made = images.signed(images.layout(*disks, kernel=os.urandom(150_000)), "ES384")
    before = threading.active_count()
    found = read(made.encode())
    assert measured(found) == images.registers(made)
    assert threading.active_count() == before


def test_a_command_line_behind_the_ramdisks_goes_into_the_same_registers() -> None:
    kernel, cmdline, metadata, *disks = PLAIN.sections
    made = replace(PLAIN, sections=[kernel, metadata, *disks, cmdline])
    boot = kernel.data + disks[0].data + cmdline.data
    whole = kernel.data + disks[0].data + disks[1].data + cmdline.data
    found = read(made.encode())
    assert found.registers["PCR1"] == images.register(boot)
    assert found.registers["PCR0"] == images.register(whole)


def test_an_image_is_read_from_a_pipe() -> None:
    reading, writing = os.pipe()
    data = PLAIN.encode()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        with os.fdopen(writing, "wb") as end:
            end.write(data)  # less than a pipe holds
        assert measured(measure(pipe)) == images.registers(PLAIN)


def test_an_error_in_a_thread_is_not_lost() -> None:
    def take(_data: bytes) -> None:
        message = "no memory"
        raise MemoryError(message)

    lane = eif_hashing.Lane(take)
    for _ in range(20):
        lane.feed(bytes(100_000))
    with pytest.raises(MemoryError):
        lane.drain()
    lane.close()


def test_one_ramdisk_leaves_pcr2_as_in_images_that_are_known_to_have_one() -> None:
    found = read(images.image(INIT))
    assert found.registers["PCR2"].startswith("sha384:21b9efbc")
    assert found.registers["PCR0"] == found.registers["PCR1"]


def test_a_role_is_measured_as_in_the_example_of_aws() -> None:
    role = of_role("arn:aws:iam::123456789012:role/Webserver")
    assert role.startswith("sha384:78fce75d")
    assert role.endswith("21e6")


def test_machines_are_measured_as_in_genuine_documents(vectors: Path) -> None:
    found = 0
    for one in json.loads((vectors / "nitro" / "expected.json").read_text()).values():
        register = one.get("registers", {}).get("4")
        if one.get("register_field") == "pcrs" and register:
            machine = one["module_id"].partition("-enc")[0]
            if one["expect"] == "ACCEPT":
                assert of_instance(machine) == f"sha384:{register}"
                found += 1
    assert found > 10


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "arn:aws:iam::123456789012:instance-profile/Webserver",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/Webserver\n",
        "arn:aws:sts::123456789012:assumed-role/Webserver/i-0",
    ],
)
def test_what_is_not_the_arn_of_a_role_is_a_usage_error(arn: str) -> None:
    with pytest.raises(UsageError, match="role/NAME"):
        of_role(arn)


@pytest.mark.parametrize("name", ["", "i-", "i-0123456789abcdefg", "i-0123456\n", "0"])
def test_what_is_not_an_instance_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="17 hex digits"):
        of_instance(name)


# --- predictions ----------------------------------------------------------------------


@pytest.mark.parametrize("ramdisks", range(3))
@pytest.mark.parametrize("algorithm", ["", "ES384"])
def test_a_prediction_is_what_the_image_then_has(ramdisks: int, algorithm: str) -> None:
    disks, added = [INIT, APP][:ramdisks], [b"one", b"two" * 50_000]
    data = images.image(*disks, algorithm=algorithm)
    _, foreseen = predict(BytesIO(data), [BytesIO(one) for one in added])
    assert foreseen == images.registers(images.layout(*disks, *added))


def test_more_ramdisks_than_sections_are_a_usage_error() -> None:
    data = images.image(*[INIT] * 28, algorithm="ES384")
    predict(BytesIO(data), [BytesIO(APP)])
    with pytest.raises(UsageError, match="at most 32"):
        predict(BytesIO(data), [BytesIO(APP)] * 2)


# --- refusals -------------------------------------------------------------------------


def sections(*kinds: int) -> Layout:
    data = {METADATA: METADATA_JSON}
    return Layout([Section(kind, data.get(kind, b"data")) for kind in kinds])


def head(offset: int, data: bytes) -> Layout:
    """The header with these bytes in it."""
    return replace(PLAIN, over={offset: data})


def changed(number: int, **members: object) -> Layout:
    """A section that says something else."""
    made = list(PLAIN.sections)
    made[number] = replace(made[number], **members)  # type: ignore[arg-type] # of Section
    return replace(PLAIN, sections=made)


def metadata(data: bytes) -> Layout:
    return images.layout(INIT, metadata=data)


BIG = pack(">Q", 2**63)
WRONG: dict[str, tuple[str, Layout]] = {
    "magic": ("magic", head(0, b".elf")),
    **{
        f"version {number}": ("version", head(4, pack(">H", number)))
        for number in (0, 1, 2, 5, 1024)
    },
    "an unknown flag": ("flags", head(6, pack(">H", 2))),
    "reserved": ("reserved", head(24, b"\0\1")),
    "reserved at the end": ("reserved", head(540, b"\1\0\0\0")),
    "no sections": ("count", head(26, b"\0\0")),
    "one section": ("count", head(26, b"\0\1")),
    "33 sections": ("count", head(26, b"\0\x21")),
    "65,535 sections": ("count", head(26, b"\xff\xff")),
    "fewer than the table has": ("count", head(26, b"\0\4")),
    "more than the table has": ("table", head(26, b"\0\6")),
    "an offset behind the table": ("count", head(28 + 8 * 31, BIG)),
    "a size behind the table": ("count", head(284 + 8 * 31, BIG)),
    "a gap": ("table", head(28 + 8, pack(">Q", 681))),
    "an overlap": ("table", head(28 + 8, pack(">Q", 679))),
    "a first section elsewhere": ("table", head(28, pack(">Q", 549))),
    "a huge offset": ("table", head(28 + 32, BIG)),
    "a huge size": ("table", head(284, BIG)),
    "a huge last size": ("section", head(284 + 32, pack(">Q", 2**63))),
    "sizes that wrap around": ("table", head(284, b"\xff" * 16)),
    "a type of 0": ("section", changed(0, kind=0)),
    "a type of 6": ("section", changed(4, kind=6)),
    "a section's flags": ("section", changed(4, flags=1)),
    "a head that says more": ("section", changed(3, told=2**64 - 1)),
    "a head that says less": ("section", changed(3, told=1)),
    "two kernels": ("kinds", sections(KERNEL, CMDLINE, KERNEL, METADATA)),
    "two command lines": ("kinds", sections(KERNEL, CMDLINE, CMDLINE, METADATA)),
    "two metadata": ("kinds", sections(KERNEL, CMDLINE, METADATA, METADATA)),
    "two signatures": ("kinds", sections(KERNEL, CMDLINE, METADATA, 4, 4)),
    "no kernel": ("kinds", sections(CMDLINE, METADATA)),
    "no command line": ("kinds", sections(KERNEL, METADATA, RAMDISK)),
    "no metadata": ("kinds", sections(KERNEL, CMDLINE, RAMDISK)),
    "a ramdisk first": ("kinds", sections(RAMDISK, KERNEL, CMDLINE, METADATA)),
    "metadata in version 3": ("kinds", replace(PLAIN, version=3)),
    "a long command line": ("size", images.layout(INIT, cmdline=b"a" * 65_537)),
    "a long signature": ("size", images.signed(PLAIN, "", bytes(32_769))),
    "long metadata": ("size", metadata(b" " * 1_048_577)),
    "bytes after the end": ("end", replace(PLAIN, after=b"\0")),
    "a CRC": ("crc", replace(PLAIN, crc=0)),
    "NUL": ("cmdline", images.layout(INIT, cmdline=b"a\0b")),
    "no JSON": ("metadata", metadata(b"{")),
    "no UTF-8": ("metadata", metadata(b"\xff")),
    "deep JSON": ("metadata", metadata(b"[" * 200_000)),
    "a list": ("metadata", metadata(b"[]")),
    "no name": ("metadata", metadata(METADATA_JSON.replace(b"ImageName", b"Other"))),
    "a number as name": (
        "metadata",
        metadata(METADATA_JSON.replace(b'"wallet"', b"1")),
    ),
    "no BuildTime": ("metadata", metadata(METADATA_JSON.replace(b"BuildTime", b"X"))),
    "no Docker": ("metadata", metadata(METADATA_JSON.replace(b"DockerInfo", b"X"))),
    "no BuildMetadata": (
        "metadata",
        metadata(METADATA_JSON.replace(b"BuildMetadata", b"X")),
    ),
    "a member twice": (
        "metadata",
        metadata(METADATA_JSON.replace(b"DockerInfo", b"ImageName")),
    ),
    "NaN": ("metadata", metadata(METADATA_JSON.replace(b'{"Os":"linux"}', b"NaN"))),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_contradicts_itself_is_refused_by_its_check(case: str) -> None:
    check, made = WRONG[case]
    number = list(CHECKS).index(check) + 1
    with pytest.raises(MalformedError, match=f"^check {number}, {check}: expected "):
        read(made.encode())


def test_an_image_that_is_cut_short_anywhere_is_refused() -> None:
    data = images.image(INIT, APP, algorithm="ES256")
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            read(data[:size])


class Counting(BytesIO):
    """A file that remembers what was asked of it."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.most = max(self.most, size)
        return super().read(size)


@pytest.mark.parametrize("case", WRONG)
def test_no_size_that_a_file_claims_is_believed(case: str) -> None:
    file = Counting(WRONG[case][1].encode())
    with pytest.raises(MalformedError):
        measure(file)
    assert file.most <= eif_hashing.CHUNK


def test_a_kernel_of_an_exabyte_ends_where_the_file_does() -> None:
    size, metadata_at = 2**60, 548 + 12 + 2**60
    over = {
        26: pack(">H", 2),
        28: pack(">32Q", 548, metadata_at, *[0] * 30),
        284: pack(">32Q", size, 4, *[0] * 30),
    }
    made = replace(PLAIN, over=over, sections=[Section(KERNEL, b"x", told=size)])
    with pytest.raises(MalformedError, match="check 10, end"):
        read(made.encode())


# --- signatures -----------------------------------------------------------------------

PCR0 = images.registers(PLAIN)["PCR0"]
PEM = images.pem("ES384")
DER = images.certificate("ES384").public_bytes(Encoding.DER)
COSE = images.cose("ES384", images.payload(PCR0))


def section(value: object) -> bytes:
    return cbor2.dumps(value)


def one(pem: bytes = PEM, cose: bytes = COSE) -> bytes:
    return section([images.entry(pem, cose)])


def rsa_pem() -> bytes:
    name = x509.Name([])
    key = rsa.generate_private_key(65_537, 2048)
    made = images.certificate("ES384")
    builder = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        7,
        made.not_valid_before_utc,
        made.not_valid_after_utc,
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def other_value(payload: bytes) -> bytes:
    return images.cose("ES384", payload)


def resigned(changed: Callable[[list[object]], object]) -> bytes:
    parts = list(cbor2.loads(COSE))
    changed(parts)
    return cbor2.dumps(parts)


def by_another() -> bytes:
    """A proof over the right bytes, by a key that is not the certificate's."""
    protected, _, payload, _ = cbor2.loads(COSE)
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key = ec.derive_private_key(8, ec.SECP384R1())
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA384())))
    return r.to_bytes(48) + s.to_bytes(48)


BAD: dict[str, tuple[str, bytes]] = {
    "empty": ("signature", b""),
    "no CBOR": ("signature", b"\xff"),
    "an empty array": ("signature", section([])),
    "two entries": ("signature", section([images.entry(PEM, COSE)] * 2)),
    "one more member": (
        "signature",
        section([{**images.entry(PEM, COSE), "register": 0}]),
    ),
    "the other order": (
        "signature",
        section([dict(reversed(images.entry(PEM, COSE).items()))]),
    ),
    "bytes": ("signature", section([{"signing_certificate": PEM, "signature": COSE}])),
    "a number that is no byte": (
        "signature",
        section([{"signing_certificate": [256], "signature": [0]}]),
    ),
    "true as a byte": (
        "signature",
        section([{"signing_certificate": [True], "signature": [0]}]),
    ),
    "bytes after it": ("signature", one() + b"\0"),
    "an array of no known length": ("signature", b"\x9f" + one()[1:] + b"\xff"),
    "no certificate": ("certificate", one(b"")),
    "two certificates": ("certificate", one(PEM * 2)),
    "a key beside it": ("certificate", one(PEM + b"-----BEGIN PRIVATE KEY-----")),
    "not base64": ("certificate", one(PEM.replace(b"\nM", b"\n=", 1))),
    "a byte after it": (
        "certificate",
        one(ssl.DER_cert_to_PEM_cert(DER + b"\0").encode()),
    ),
    "RSA": ("certificate", one(rsa_pem())),
    "no COSE": ("signed", one(cose=b"\x80")),
    "no CBOR in it": ("signed", one(cose=b"\xff")),
    "three parts": ("signed", one(cose=resigned(lambda parts: parts.pop()))),
    "an unprotected header": (
        "signed",
        one(
            cose=images.cose(
                "ES384", images.payload(PCR0), unprotected={4: b"somebody"}
            )
        ),
    ),
    "another algorithm than the key's": (
        "signed",
        one(cose=images.cose("ES384", images.payload(PCR0), alg=-7)),
    ),
    "a short signature": (
        "signed",
        one(cose=resigned(lambda parts: parts.__setitem__(3, bytes(95)))),
    ),
    "another tag": ("signed", one(cose=b"\xd1" + COSE)),
}


@pytest.mark.parametrize("case", BAD)
def test_a_signature_section_of_another_form_is_refused(case: str) -> None:
    check, data = BAD[case]
    number = list(CHECKS).index(check) + 1
    with pytest.raises(MalformedError, match=f"^check {number}, {check}: expected "):
        read(images.signed(PLAIN, "ES384", data).encode())


FALSE = {
    "another PCR0": one(cose=other_value(images.payload("sha384:" + "00" * 48))),
    "another register": one(cose=other_value(images.payload(PCR0, 1))),
    "no register": one(cose=other_value(b"hello")),
    "another key": one(cose=resigned(lambda parts: parts.__setitem__(3, by_another()))),
    "zeros": one(cose=resigned(lambda parts: parts.__setitem__(3, bytes(96)))),
    "a changed proof": one(cose=COSE[:-1] + bytes([COSE[-1] ^ 1])),
}


@pytest.mark.parametrize("case", FALSE)
def test_a_signature_that_does_not_hold_is_refuted(case: str) -> None:
    with pytest.raises(VerificationError, match=r"^check 16, signed: expected "):
        read(images.signed(PLAIN, "ES384", FALSE[case]).encode())


@pytest.mark.parametrize(
    "data",
    [
        one(cose=b"\xd2" + COSE),
        one(b"subject=CN = acme.example\n" + PEM),
        one(PEM.replace(b"\n", b"\r\n")),
    ],
    ids=["tag 18", "words around the certificate", "lines as Windows ends them"],
)
def test_what_openssl_writes_is_read(data: bytes) -> None:
    found = read(images.signed(PLAIN, "ES384", data).encode())
    assert found.registers["PCR8"] == of_certificate(DER)


# --- every byte -----------------------------------------------------------------------


def within(image: Image, at: int, kind: str) -> bool:
    return any(s.offset <= at < s.offset + s.size for s in image.sections(kind))


@pytest.mark.parametrize("algorithm", ["", "ES256"])
@pytest.mark.parametrize("change", [0x01, 0x80])
def test_every_changed_byte_is_refused_or_measured_or_said_to_be_in_no_register(
    algorithm: str, change: int
) -> None:
    data = images.image(b"init", b"app", kernel=b"kernel", algorithm=algorithm)
    good = read(data)
    for at in range(len(data)):
        spoilt = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
        with pytest.raises((MalformedError, VerificationError)):
            read(spoilt)  # by its CRC, if by nothing before
        again = images.with_crc(spoilt)
        try:
            found = read(again)
        except (MalformedError, VerificationError):
            continue
        if again == data:  # it was the CRC that was changed
            continue
        assert found.sha256 != good.sha256
        # 6 to 24: flags, memory and CPUs; the rest of the header is checked.
        silent = 6 <= at < 24 or within(good, at, "metadata")
        if found.registers == good.registers:
            assert silent or within(good, at, "signature"), at
        else:
            assert not silent, at


def test_bytes_can_move_between_sections_without_changing_a_register() -> None:
    """ATTEST.md section 4: why the file's own digest is told."""
    kernel, cmdline, metadata, init, app = PLAIN.sections
    moved = replace(
        PLAIN,
        sections=[
            kernel,
            replace(cmdline, data=cmdline.data[:-3]),
            metadata,
            replace(init, data=cmdline.data[-3:] + init.data),
            app,
        ],
    )
    a, b = read(PLAIN.encode()), read(moved.encode())
    assert a.registers == b.registers
    assert a.sha256 != b.sha256
