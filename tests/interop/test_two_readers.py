"""Two readers of policies and documents, asked about what no vector holds.

web/verifier reads TOML, CBOR, certificates, lists of revoked ones and Intel's JSON by
itself, pcrlog most of them by libraries (adr/0055). Whatever is spoiled, both take it
or both refuse it. The spoiled part is signed anew, so that what is judged is its form:
what a signature covers is refused by any reader. Which word a document is refused with
may differ.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from random import Random
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from cli.answering import answer
from cli.conformance import load
from pcrlog.attestation import cbor, cose
from pcrlog.attestation.sgx import pem
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulated_machine import der
from pcrlog.attestation.sgx.simulator import Enclave
from pcrlog.attestation.sgx.simulator import Simulator as Machine
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import decode_base64
from tests.conformance.__main__ import FOLDER
from tests.interop.node import ask_node, find_node
from tests.unit.attestation import forgery

Ask: TypeAlias = dict[str, Any]

TIME = 1_795_417_200_000
SIMULATOR = Simulator(b"tests/interop/test_two_readers")
MACHINE = Machine(b"tests/interop/test_two_readers")
NOW = TIME // 1000
COLLATERAL = json.loads(
    MACHINE.collateral(
        Word(issued=NOW - 3600, advisories=("INTEL-SA-00615",), revoked=(1, 2**64))
    )
)
QUOTE = MACHINE.quote(Enclave(b"M" * 32), certification=3)
POLICIES = 1500
PAYLOADS = 1500
STATEMENTS = 400
_LARGEST = 20_000
"""Bytes of a policy that is worth spoiling; larger ones are about size."""
_VALUES = (
    *(b"true", b"7", b"+7", b"-0", b"007", b"1_0", b"0x10", b"9007199254740992"),
    *(b"1.5", b"7.0", b"inf", b"2027-11-23", b"07:30:00", b'"x"', b"'x'", b'"none"'),
    *(b'"\\u00e9"', b'"\\e"', b'"\\ud800"', b'"""\nx"""', b"'''x''''", b'""', b"[]"),
    *(b"{}", b"[1,]", b"[[]]", b"{a=1,}", b"{a.b=1}", b'["", 1]', b"[ # x\n]"),
)
_LINES = (
    *(b"[log]", b"[[log]]", b"[platforms]", b"[a.b]", b"[[platforms]]", b"a.b = 1"),
    *(b"__proto__ = 1", b'"" = 1', b"products = {}", b"\xef\xbb\xbf", b"# \xc3\xa9"),
    *(b"distrust.keys = []", b"[products]", b"[distrust]", b"# \x01", b"x", b"\r"),
)
_BYTES = b"abAZ09._-\"'[]{}, =#\\+/\t\r\x00\x7f\xc3"
_JSON = (
    *(
        "1",
        "-1",
        "0",
        "-0",
        "1.0",
        "1e2",
        "true",
        "null",
        '""',
        '"x"',
        "[]",
        "{}",
        "05",
    ),
    *("255", "256", "65535", "65536", "4294967295", "4294967296", 400 * "9", "[{}]"),
    *('"2026-02-30T00:00:00Z"', '"\\u0041"', '"\\ud800"', "NaN", '"a b"', " 5 ", "+1"),
    *('"UpToDate"', '"OutOfDate"', '"Revoked"', f'"{64 * "a"}"', f'"{65 * "a"}"'),
)
_MEMBERS = (
    *('"version":3,', '"tcbLevels":[],', '"x":1,', '"id":"QE",', '"__proto__":{},'),
    *(" ", "\t", "\n", "\x0b", '"\\u0069d":1,', '"constructor":[[]],', '"tcbType":1,'),
)
_CHARACTERS = '":[]{},0A\\\x7f\x01 e.-'
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_HEADS = bytes.fromhex(
    "00 17 18 19 1a 1b 20 38 40 41 5f 60 61 7f 80 81 82 9f a0 a1 bf c0 d2"
    "f4 f5 f6 f7 f9 fb ff c3 a9 ed 01 02"
)


def spoiled_policies(random: Random) -> Iterator[bytes]:
    """Those of the vectors that are policies, with one line or two changed."""
    family = load(FOLDER / "policies.json")
    asks = [(family.question(case), case.expect) for case in family.cases]
    read = [(decode_base64(ask["policy"]), expect) for ask, expect in asks]
    every = [data for data, _ in read if len(data) < _LARGEST]
    good = [data for data, expect in read if "ok" in expect and data in every]
    for _ in range(POLICIES):
        lines = random.choice(good).split(b"\n")
        for _ in range(random.randint(1, 2)):
            other = random.choice(random.choice(every).split(b"\n"))
            _spoil(lines, other, random)
        yield random.choice((b"\n", b"\n", b"\n", b"\r\n")).join(lines)


def _spoil(lines: list[bytes], other: bytes, random: Random) -> None:
    at = random.randrange(len(lines))
    line = lines[at]
    match random.randrange(6):
        case 0:
            lines[at] = line.partition(b"=")[0] + b"= " + random.choice(_VALUES)
        case 1:
            lines[at] = other
        case 2:
            lines.insert(at, other)
        case 3:
            lines.insert(at, random.choice(_LINES))
        case 4 if len(lines) > 1:
            del lines[at]
        case _:
            place = random.randint(0, len(line))
            put = bytes([random.choice(_BYTES)])
            lines[at] = line[:place] + put + line[place + random.randint(0, 1) :]


def spoiled_certificates() -> Iterator[bytes]:
    """Documents whose leaf has another bit in each byte that the CA signed."""
    leaf = SIMULATOR.chain(TIME)[-1]
    tbs = x509.load_der_x509_certificate(leaf).tbs_certificate_bytes
    for at, byte in enumerate(tbs):
        for bit in (1 << at % 8, 1 << (at + 3) % 8):
            changed = tbs[:at] + bytes([byte ^ bit]) + tbs[at + 1 :]
            yield _document(certificate=forgery.leaf(SIMULATOR, changed))


def spoiled_payloads(random: Random) -> Iterator[bytes]:
    """Documents with one member more, which is some bytes and may be no CBOR."""
    honest = b"\xbf" + cbor.encode(_claims())[1:]
    for _ in range(PAYLOADS):
        item = bytes(random.choices(_HEADS, k=random.randint(1, 11)))
        yield SIMULATOR.sign(honest + cbor.encode("x") + item + b"\xff")


def spoiled_pcks() -> Iterator[Ask]:
    """Quotes whose PCK certificate has another bit in each byte that its CA signed."""
    pck = MACHINE.certificates["pck"]
    above = MACHINE.pem("ca", "root")
    tbs = x509.load_der_x509_certificate(pck).tbs_certificate_bytes
    for changed in _flipped(tbs, 1):
        chain = pem.write(_issued("ca", changed)) + above
        yield _of_machine(pck_certificate_chain=chain)


def spoiled_lists() -> Iterator[Ask]:
    """Collateral with a list of revoked certificates that has other bits."""
    for member, issuer in (("pck_crl", "ca"), ("root_ca_crl", "root")):
        data = bytes.fromhex(COLLATERAL[member])
        for changed in _flipped(x509.load_der_x509_crl(data).tbs_certlist_bytes, 2):
            yield _of_machine(**{member: _issued(issuer, changed).hex()})


def spoiled_statements(random: Random) -> Iterator[Ask]:
    """Collateral in which Intel signed another text."""
    for member in ("tcb_info", "qe_identity"):
        text = COLLATERAL[member]
        spans = [m.span() for m in re.finditer(r'"[^"]*"|[0-9]+|[][{}:,]', text)]
        for _ in range(STATEMENTS):
            begin, end = random.choice(spans)
            at = random.randrange(len(text))
            after = at + random.randrange(2)
            changed = random.choice(
                (
                    text[:begin] + random.choice(_JSON) + text[end:],
                    text[:begin] + random.choice(_MEMBERS) + text[begin:],
                    text[:begin] + text[end:],
                    text[:at] + random.choice(_CHARACTERS) + text[after:],
                )
            )
            signature = _signed("tcb", changed.encode())
            signed = {member: changed, f"{member}_signature": signature.hex()}
            yield _of_machine(**signed)


def _flipped(data: bytes, bits: int) -> Iterator[bytes]:
    """The same with another bit: for each byte, so many."""
    for at, byte in enumerate(data):
        for bit in (1 << at % 8, 1 << (at + 3) % 8)[:bits]:
            yield data[:at] + bytes([byte ^ bit]) + data[at + 1 :]


def _issued(name: str, tbs: bytes) -> bytes:
    """What a CA of the machine's signed, as a certificate or a list is."""
    signature = MACHINE._keys[name].sign(tbs, ec.ECDSA(SHA256()))
    return der(0x30, tbs + _ECDSA_WITH_SHA256 + der(0x03, b"\0" + signature))


def _signed(name: str, data: bytes) -> bytes:
    signature = MACHINE._keys[name].sign(data, ec.ECDSA(SHA256()))
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32) + s.to_bytes(32)


def _of_machine(**changes: str) -> Ask:
    chain = {"pck_certificate_chain": MACHINE.pem("pck", "ca", "root")}
    collateral = json.dumps(COLLATERAL | chain | changes).encode()
    return {
        "op": "attestation",
        "platform": "intel-sgx",
        "document": b64encode(QUOTE).decode(),
        "roots": [b64encode(MACHINE.root_der).decode()],
        "collateral": b64encode(collateral).decode(),
        "now": NOW,
        "advisories": ["INTEL-SA-00615"],
    }


def _claims() -> dict[int | str, cbor.Value]:
    honest = SIMULATOR.document(time=TIME, registers={})
    claims = cbor.decode(cose.parse(honest).payload)
    assert isinstance(claims, dict)
    return claims


def _document(**members: cbor.Value) -> bytes:
    claims = _claims()
    claims.update(members.items())
    return SIMULATOR.sign(cbor.encode(claims))


def _about(data: bytes) -> Ask:
    roots = [b64encode(SIMULATOR.root_der).decode()]
    document = b64encode(data).decode()
    return {"op": "attestation", "document": document, "roots": roots}


def differences(asks: list[Ask], *, words: bool = False) -> list[tuple[str, str, str]]:
    """The questions that one answers and the other does not, or answers otherwise.

    With `words`, each is refused by the same word, too.
    """
    theirs = ask_node(find_node(), asks)
    found = []
    good = 0
    for ask, their in zip(asks, theirs, strict=True):
        our = answer(ask)
        good += "ok" in our
        same = our == their if words else our.get("ok") == their.get("ok")
        if not same or "unsupported" in their.values():
            found.append((json.dumps(ask)[:2000], json.dumps(our), json.dumps(their)))
    assert 0 < good < len(asks), "all were alike: nothing was tried"
    return found


def test_both_take_the_same_policies() -> None:
    spoiled = spoiled_policies(Random("policies"))
    asks = [{"op": "policy", "policy": b64encode(one).decode()} for one in spoiled]
    assert differences(asks) == []


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_both_take_the_same_certificates() -> None:
    assert differences([_about(one) for one in spoiled_certificates()]) == []


def test_both_take_the_same_cbor() -> None:
    asks = [_about(one) for one in spoiled_payloads(Random("payloads"))]
    assert differences(asks) == []


def test_both_take_the_same_pck_certificates() -> None:
    assert differences(list(spoiled_pcks()), words=True) == []


def test_both_take_the_same_lists_of_revoked_certificates() -> None:
    assert differences(list(spoiled_lists()), words=True) == []


def test_both_take_the_same_statements_of_intel() -> None:
    asks = list(spoiled_statements(Random("statements")))
    assert differences(asks, words=True) == []
