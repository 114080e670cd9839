import subprocess
import sys
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pcrlog import limits
from pcrlog.attestation import (
    ATTESTING,
    Document,
    Platform,
    Step,
    Trust,
    decode_input,
    genuine,
    platform,
    recognise,
    roots,
)
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import encode_base64
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.measurement import PLATFORMS

DOCUMENT = bytes.fromhex("8444a1013822a0") + bytes(range(256))
TAGGED = b"\xd2" + DOCUMENT
INDEFINITE = b"\x9f" + DOCUMENT[1:] + b"\xff"


def test_every_platform_that_attests_has_a_module_and_roots() -> None:
    assert ATTESTING == ("aws-nitro", "aws-nitrotpm", "intel-sgx")
    for name in ATTESTING:
        known = platform(name)
        assert known.name == name
        assert roots.builtin(name)
        own = [step.check for step in known.steps][2:]
        assert tuple(own) == PLATFORMS[name].checks


@pytest.mark.parametrize("name", ["artifact", "source", "", "AWS-NITRO", "sgx.quote"])
def test_other_platforms_have_no_documents(name: str) -> None:
    with pytest.raises(UsageError, match="known: aws-nitro, aws-nitrotpm, intel-sgx"):
        platform(name)


# The walk: what steps come to, whatever they are.

NOTHING = Trust((), 0)
FOUND = Document("p", {}, None, None, None, None, "", "", 0, 0, "", ())


def step(check: str, outcome: object) -> Step:
    def take(_: object, __: Trust) -> tuple[object, str]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome, "words"

    return Step(check, "expected", take)


def walked(*steps: Step) -> list[str]:
    known = Platform("p", (), lambda data: data, lambda _: iter(()), steps)
    return [
        "document" if isinstance(one, Document) else f"{one.check} {one.status}"
        for one in known.walk(b"", NOTHING)
    ]


def test_a_step_that_fails_is_the_last() -> None:
    fails = VerificationError("no")
    assert walked(step("a", b"x"), step("b", fails), step("c", FOUND)) == [
        "a pass",
        "b fail",
    ]
    assert walked(step("a", FOUND), step("b", fails)) == ["a pass", "b fail"]


def test_a_step_that_cannot_be_made_ends_it_while_there_is_no_document() -> None:
    unmade = UncheckedError("how?")
    assert walked(step("a", b"x"), step("b", unmade), step("c", FOUND)) == [
        "a pass",
        "b unchecked",
    ]
    assert walked(step("a", FOUND), step("b", unmade), step("c", FOUND)) == [
        "a pass",
        "b unchecked",
        "c pass",
        "document",
    ]


def test_what_is_recognised_is_a_document_of_just_one_platform(
    simulator: Simulator,
) -> None:
    data = simulator.document(time=1_795_417_205_678, registers={"PCR0": b"\1" * 48})
    assert recognise(data)[0].name == "aws-nitro"
    with pytest.raises(MalformedError, match=r"^it is a document of aws-nitro$"):
        recognise(data, ("aws-nitrotpm", "intel-sgx"))
    with pytest.raises(MalformedError, match=r"^SGX quote, header: expected"):
        recognise(data[:-1], ("intel-sgx",))
    with pytest.raises(MalformedError, match=r"^expected an attestation document"):
        recognise(data[:-1], ())


def test_genuine_gives_a_document_or_raises(simulator: Simulator) -> None:
    data = simulator.document(time=1_795_417_205_678, registers={"PCR0": b"\1" * 48})
    document, unmade = genuine("aws-nitro", data, Trust((simulator.root_der,), 0))
    assert (document.platform, unmade) == ("aws-nitro", [])
    with pytest.raises(VerificationError, match=r"^document\.chain: "):
        genuine("aws-nitro", data, NOTHING)


def test_the_builtin_root_is_the_one_that_aws_published() -> None:
    (root,) = roots.builtin("aws-nitro")
    expected = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    assert sha256(root).hexdigest() == expected
    certificate = x509.load_der_x509_certificate(root)
    name = "CN=aws.nitro-enclaves,OU=AWS,O=Amazon,C=US"
    assert certificate.subject.rfc4514_string() == name


def test_a_root_may_be_given_in_pem() -> None:
    (root,) = roots.builtin("aws-nitro")
    certificate = x509.load_der_x509_certificate(root)
    pem = certificate.public_bytes(Encoding.PEM).decode()
    assert roots.from_pem(pem) == roots.from_pem("\n" + pem + "\n") == root


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "builtin",
        "-----BEGIN CERTIFICATE-----\nAQI=",
        "AQI=\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAQI\n-----END CERTIFICATE-----",
        2 * "-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----\n",
        "-----BEGIN PUBLIC KEY-----\nAQI=\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\u2028AQI=\u2028-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\x0bAQI=\x0b-----END CERTIFICATE-----",
        "\x85-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----",
        "\ufeff-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----",
    ],
)
def test_a_root_that_is_not_one_certificate_in_pem_is_refused(pem: str) -> None:
    with pytest.raises(UsageError):
        roots.from_pem(pem)


def test_other_platforms_have_no_builtin_root() -> None:
    with pytest.raises(UsageError, match="no attestation documents of platform"):
        roots.builtin("artifact")


def test_importing_the_package_does_not_import_cryptography() -> None:
    code = "import sys, pcrlog.attestation; print('cryptography' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("document", [DOCUMENT, TAGGED, INDEFINITE])
def test_a_document_is_read_from_bytes_base64_and_hex(document: bytes) -> None:
    base64 = encode_base64(document)
    wrapped = "\n".join(base64[at : at + 76] for at in range(0, len(base64), 76))
    for text in (
        base64,
        document.hex(),
        wrapped,
        document.hex(sep="\n", bytes_per_sep=30),
    ):
        for end in ("", "\n", "\r\n"):
            assert decode_input((text + end).encode()) == document
    assert decode_input(document) == document


@pytest.mark.parametrize(
    "text",
    [
        " " + DOCUMENT.hex(),
        DOCUMENT.hex(" "),
        DOCUMENT.hex().upper(),
        "0x" + DOCUMENT.hex(),
        DOCUMENT.hex()[:-1],
        encode_base64(DOCUMENT).rstrip("=") + "==",
        encode_base64(DOCUMENT) + "=",
        encode_base64(DOCUMENT).replace("/", "_").replace("+", "-"),
        '"' + encode_base64(DOCUMENT) + '"',
        encode_base64(b"\x83" + DOCUMENT),
        (b"\x83" + DOCUMENT).hex(),
        "hE\u00fc=",
        "",
        "\n",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_input(text.encode())


def test_no_more_than_a_document_is_read() -> None:
    most = b"\x84" + bytes(limits.ATTESTATION - 1)
    assert decode_input(most) == most
    lines = limits.ATTESTATION
    assert decode_input(most.hex().encode() + b"\n" * lines) == most
    for beyond in (most + b"\0", most.hex().encode() + b"\n" * (lines + 1)):
        with pytest.raises(MalformedError, match="expected at most"):
            decode_input(beyond)
