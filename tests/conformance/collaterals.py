"""Collateral and what follows from it: each clause of section 8.7, broken by its maker.

A quote is judged with a file that a simulated Intel signed rightly; what is refused is
so for the clause alone. A file that is false is `refused`. One that is old, or of
another machine, says nothing: the document holds, and its steps are named `unchecked`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from pcrlog.attestation.sgx import pem, quote
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulated_machine import Machine
from pcrlog.attestation.sgx.simulator import CERTIFICATES, Simulator
from pcrlog.attestation.simulator import ca_extensions
from pcrlog.encoding import format_time
from tests.conformance.documents import UNKNOWN
from tests.conformance.family import Family
from tests.conformance.pcks import SEED
from tests.conformance.quotes import ENCLAVE, GOOD, OF_COLLATERAL, REFUSED, asked
from tests.support.memory_log import START

Json = dict[str, Any]
Case = tuple[str, str, dict[str, Any], str | Mapping[str, Any]]
"""Id, why, a question, and what it comes to."""

MACHINE = Simulator(SEED)
OTHER = Simulator(b"another machine")
DAY = 86_400
WORD = Word(issued=START, days=10)
ENDS = START + 10 * DAY
QUOTE = MACHINE.quote(ENCLAVE)
STALE = GOOD | {"unchecked": OF_COLLATERAL}
NO_QE = GOOD | {"unchecked": ["document.qe-identity", "document.tcb"]}
NO_TCB = GOOD | {"unchecked": ["document.tcb"]}
GONE: Any = object()


def ask(collateral: bytes | None, data: bytes = QUOTE, **changes: Any) -> Json:
    """A question about a quote of `MACHINE`."""
    given = {"roots": [MACHINE.root_der], "collateral": collateral}
    return asked(data, **given | changes)


def compact(value: Json) -> str:
    """JSON without white space."""
    return json.dumps(value, separators=(",", ":"))


def file(word: Word = WORD, simulator: Simulator = MACHINE, /, **changes: Any) -> bytes:
    """Collateral with members of the file changed."""
    whole = json.loads(simulator.collateral(word)) | changes
    kept = {name: value for name, value in whole.items() if value is not GONE}
    return compact(kept).encode()


def stated(name: str, text: str, by: str = "tcb") -> dict[str, str]:
    """A text as members of a file: signed, whatever it says."""
    return {name: text, f"{name}_signature": _sign(text.encode(), by).hex()}


def _sign(data: bytes, by: str) -> bytes:
    key = MACHINE._keys[by]
    der = key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return r.to_bytes(32) + s.to_bytes(32)


_SAID: Json = json.loads(MACHINE.collateral(WORD))
TCB_INFO: Json = json.loads(_SAID["tcb_info"])
QE_IDENTITY: Json = json.loads(_SAID["qe_identity"])
SAID = {"tcb_info": TCB_INFO, "qe_identity": QE_IDENTITY}


def spelled(name: str, **changes: Any) -> bytes:
    """Collateral one of whose texts says something else."""
    whole = SAID[name] | changes
    kept = {member: value for member, value in whole.items() if value is not GONE}
    return file(**stated(name, compact(kept)))


# --- the file -------------------------------------------------------------------------


def _files() -> Iterator[Case]:
    why = "collateral is one JSON object of nine strings, or ten"
    good = file()
    yield "whole", why, ask(good), GOOD
    spaced = b" \n\t" + json.dumps(json.loads(good), indent=1).encode() + b"\r\n"
    yield "with-white-space", why, ask(spaced), GOOD
    yield "with-null-pck-chain", why, ask(file(pck_certificate_chain=None)), GOOD
    for name in _SAID:
        brief = name.replace("_", "-")
        yield f"without-{brief}", why, ask(file(**{name: GONE})), REFUSED
        yield f"with-null-{brief}", why, ask(file(**{name: None})), REFUSED
    twice = good[:-1] + b',"tcb_info":' + json.dumps(_SAID["tcb_info"]).encode()
    for name, data in {
        "empty": b"",
        "cut": good[:-1],
        "and-a-byte": good + b"x",
        "as-array": b"[" + good + b"]",
        "with-unknown-member": file(more=""),
        "with-member-twice": twice + b"}",
        "with-byte-order-mark": b"\xef\xbb\xbf" + good,
        "not-utf-8": good[:-1] + b"\xff}",
        "with-number": file(root_ca_crl=1),
        "in-python": good.replace(b'"', b"'"),
        "with-a-comma-at-its-end": good[:-1] + b",}",
    }.items():
        yield f"file-{name}", why, ask(data), REFUSED
    chains = "chains are two certificates in PEM, in any order"
    for name in ("pck_crl_issuer_chain", "tcb_info_issuer_chain"):
        first = "ca" if name.startswith("pck") else "tcb"
        brief = name.removesuffix("_issuer_chain").replace("_", "-")
        pems = MACHINE.pem
        for order, text, outcome in (
            ("turned", pems("root", first), GOOD),
            ("of-one", pems(first), REFUSED),
            ("of-three", pems(first, "root", "root"), REFUSED),
            ("empty", "", REFUSED),
            ("with-crlf", pems(first, "root").replace("\n", "\r\n"), REFUSED),
            ("of-one-twice", pems(first, first), REFUSED),
            ("of-another-root", OTHER.pem(first, "root"), REFUSED),
        ):
            given = ask(file(**{name: text}))
            yield f"{brief}-chain-{order}", chains, given, outcome


# --- who signed it --------------------------------------------------------------------


def _signatures() -> Iterator[Case]:
    for name in SAID:
        brief = name.replace("_", "-")
        text = _SAID[name]
        how = "the text is signed as it stands, by Intel SGX TCB Signing"
        other = json.dumps(json.loads(text))
        assert other != text
        yield f"{brief}-spelled-again", how, ask(file(**{name: other})), REFUSED
        data = file(**stated(name, other))
        yield f"{brief}-spelled-otherwise", how, ask(data), GOOD
        for by in ("ca", "root", "pck"):
            data = file(**stated(name, text, by))
            yield f"{brief}-signed-by-the-{by}", how, ask(data), REFUSED
        member = f"{name}_signature"
        right = _SAID[member]
        form = "a signature is 64 bytes in lower-case hex: r and s"
        for word, value in {
            "of-63-bytes": right[:-2],
            "of-65-bytes": right + "00",
            "in-upper-case": right.upper(),
            "in-der": _der_signature(text).hex(),
            "of-zeros": "00" * 64,
            "of-the-other-text": _SAID[_other(name) + "_signature"],
        }.items():
            data = file(**{member: value})
            yield f"{brief}-signature-{word}", form, ask(data), REFUSED
        ascii_ = "the text is in ASCII"
        strange = text[:-1] + ',"x":"ä"}'
        data = file(**stated(name, strange))
        yield f"{brief}-beyond-ascii", ascii_, ask(data), REFUSED
    named = "the signer is named so, holds now, and is under the quote's own root"
    for name, changes, good in (
        ("named-otherwise", {"common_name": "Intel SGX TCB"}, False),
        ("that-ends-now", {"ends": START}, True),
        ("that-begins-now", {"begins": START}, True),
        ("with-sha384", {"digest": SHA384}, False),
        ("by-the-ca", {"issuer": "ca"}, False),
        ("that-is-a-ca", {"extensions": ca_extensions(0)}, False),
    ):
        profile = replace(CERTIFICATES["tcb"], **changes)
        simulator = Simulator(SEED, certificates={**CERTIFICATES, "tcb": profile})
        data = file(WORD, simulator)
        yield f"signer-{name}", named, ask(data), GOOD if good else REFUSED
    ended = "a certificate of collateral that has run out says nothing"
    for name, changes in {
        "that-has-ended": {"ends": START - 1},
        "that-is-to-begin": {"begins": START + 1},
    }.items():
        profile = replace(CERTIFICATES["tcb"], **changes)
        simulator = Simulator(SEED, certificates={**CERTIFICATES, "tcb": profile})
        yield f"signer-{name}", ended, ask(file(WORD, simulator)), STALE
    old = replace(CERTIFICATES["root"], ends=START - 1)
    copy = Simulator(SEED, certificates={**CERTIFICATES, "root": old})
    given = ask(file(tcb_info_issuer_chain=copy.pem("tcb", "root")))
    yield "root-copy-that-has-ended", ended, given, STALE
    given = ask(file(WORD, OTHER))
    yield "of-another-root", named, given, REFUSED
    yield from _orders(copy)


def _orders(copy: Simulator) -> Iterator[Case]:
    why = "what comes first decides: CA and certificates, signatures, machine, dates"
    spoiled = {"tcb_info_signature": "00" * 64}
    profile = replace(CERTIFICATES["ca"], common_name="Intel SGX PCK Platform CA")
    other = Simulator(SEED, certificates={**CERTIFICATES, "ca": profile})
    old = {"tcb_info_issuer_chain": copy.pem("tcb", "root")}
    unlike = stated("tcb_info", compact(TCB_INFO | {"fmspc": "00906ED50000"}))
    for name, data, outcome in (
        ("of-the-other-ca-and-not-signed", file(WORD, other, **spoiled), STALE),
        ("of-an-old-certificate-and-not-signed", file(**old, **spoiled), STALE),
        ("of-another-machine-and-not-signed", file(**unlike | spoiled), REFUSED),
    ):
        yield name, why, ask(data), outcome


def _other(name: str) -> str:
    return "qe_identity" if name == "tcb_info" else "tcb_info"


def _der_signature(text: str) -> bytes:
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
    return MACHINE._keys["tcb"].sign(text.encode(), algorithm)


# --- what it says ---------------------------------------------------------------------


def _statements() -> Iterator[Case]:
    why = "it is TCB info of version 3 for SGX, QE identity of version 2 for QE"
    for name, text, changes in (
        ("tcb-info-of-version-2", "tcb_info", {"version": 2, "id": GONE}),
        ("tcb-info-of-version-4", "tcb_info", {"version": 4}),
        ("tcb-info-of-tdx", "tcb_info", {"id": "TDX"}),
        ("tcb-info-of-type-1", "tcb_info", {"tcbType": 1}),
        ("qe-identity-of-version-1", "qe_identity", {"version": 1}),
        ("qe-identity-of-td-qe", "qe_identity", {"id": "TD_QE"}),
        ("qe-identity-of-qve", "qe_identity", {"id": "QVE"}),
        ("qe-identity-of-no-id", "qe_identity", {"id": GONE}),
    ):
        yield name, why, ask(spelled(text, **changes)), STALE
    mine = "TCB info is of the FMSPC and the PCE of the PCK certificate"
    for name, changes in {
        "fmspc-of-another": {"fmspc": "00906ED50000".upper()},
        "pce-of-another": {"pceId": "0001"},
    }.items():
        yield name, mine, ask(spelled("tcb_info", **changes)), STALE
    platform = Machine(fmspc="00606A000000")
    other = Simulator(SEED, machine=platform)
    given = ask(file(), other.quote(ENCLAVE))
    yield "quote-of-another-machine", mine, given, STALE
    ca = "the list of PCK certificates is of the CA that issued this one"
    profile = replace(CERTIFICATES["ca"], common_name="Intel SGX PCK Platform CA")
    other = Simulator(SEED, certificates={**CERTIFICATES, "ca": profile})
    yield "of-the-other-ca", ca, ask(file(WORD, other)), STALE
    yield from _forms()


def _levels(count: int) -> list[Json]:
    [level] = TCB_INFO["tcbLevels"]
    return [level] * count


def _forms() -> Iterator[Case]:
    why = "members that are known are of their form; others are left alone"
    [level] = TCB_INFO["tcbLevels"]
    components = level["tcb"]["sgxtcbcomponents"]

    def with_tcb(**changes: Any) -> Json:
        return {"tcbLevels": [level | {"tcb": level["tcb"] | changes}]}

    def with_level(**changes: Any) -> Json:
        kept = {n: v for n, v in (level | changes).items() if v is not GONE}
        return {"tcbLevels": [kept]}

    described = [one | {"category": "BIOS", "type": "x"} for one in components]
    good: Mapping[str, Json] = {
        "with-more": {"more": {"a": [1, None, "x"]}},
        "with-described-components": with_tcb(sgxtcbcomponents=described),
        "with-more-in-a-level": with_level(more=[]),
        "with-256-levels": {"tcbLevels": _levels(256)},
        "without-advisories": with_level(advisoryIDs=GONE),
        "with-no-advisories": with_level(advisoryIDs=[]),
        "with-largest-data-number": {"tcbEvaluationDataNumber": 2**32 - 1},
    }
    wrong: Mapping[str, Json] = {
        "with-257-levels": {"tcbLevels": _levels(257)},
        "with-no-levels": {"tcbLevels": []},
        "with-15-components": with_tcb(sgxtcbcomponents=components[:15]),
        "with-17-components": with_tcb(sgxtcbcomponents=[*components, {"svn": 0}]),
        "with-svn-of-256": with_tcb(sgxtcbcomponents=[{"svn": 256}, *components[1:]]),
        "with-negative-svn": with_tcb(sgxtcbcomponents=[{"svn": -1}, *components[1:]]),
        "with-svn-as-text": with_tcb(sgxtcbcomponents=[{"svn": "1"}, *components[1:]]),
        "with-pcesvn-of-65536": with_tcb(pcesvn=65_536),
        "with-257-advisories": with_level(advisoryIDs=["A"] * 257),
        "with-advisory-of-65-characters": with_level(advisoryIDs=["A" * 65]),
        "with-null-advisories": with_level(advisoryIDs=None),
        "with-data-number-of-2-to-the-32": {"tcbEvaluationDataNumber": 2**32},
        "with-fraction": {"tcbEvaluationDataNumber": 17.0},
        "with-fraction-of-no-meaning": {"more": 0.5},
        "with-true-for-a-number": {"tcbEvaluationDataNumber": True},
        "with-status-with-space": with_level(tcbStatus="Up ToDate"),
        "with-status-empty": with_level(tcbStatus=""),
        "without-status": with_level(tcbStatus=GONE),
        "without-tcb-date": with_level(tcbDate=GONE),
        "with-tcb-date-of-a-day": with_level(tcbDate="2024-03-13"),
        "with-advisory-as-number": with_level(advisoryIDs=[615]),
        "with-advisories-as-text": with_level(advisoryIDs="INTEL-SA-00615"),
        "with-fmspc-in-lower-case": {"fmspc": "00a067110000"},
        "with-fmspc-of-10-digits": {"fmspc": "00A0671100"},
        "without-fmspc": {"fmspc": GONE},
        "without-pce-id": {"pceId": GONE},
        "without-next-update": {"nextUpdate": GONE},
        "with-issue-date-as-number": {"issueDate": START},
        "with-version-as-text": {"version": "3"},
        "ending-before-it-begins": {
            "issueDate": format_time(ENDS + 1),
            "nextUpdate": format_time(ENDS),
        },
    }
    for values, outcome in ((good, GOOD), (wrong, REFUSED)):
        for name, changes in values.items():
            data = ask(spelled("tcb_info", **changes))
            yield f"tcb-info-{name}", why, data, outcome
    for name, changes in {
        "without-mrsigner": {"mrsigner": GONE},
        "with-mrsigner-in-lower-case": {"mrsigner": QE_IDENTITY["mrsigner"].lower()},
        "with-mask-of-3-bytes": {"miscselectMask": "FFFFFF"},
        "with-attributes-of-8-bytes": {"attributes": "11" + 14 * "0"},
        "with-no-levels": {"tcbLevels": []},
        "with-isvprodid-of-65536": {"isvprodid": 65_536},
    }.items():
        data = ask(spelled("qe_identity", **changes))
        yield f"qe-identity-{name}", why, data, REFUSED
    texts = "a text is one JSON object, no member twice"
    text = _SAID["tcb_info"]
    for name, other in {
        "with-member-twice": text[:-1] + ',"fmspc":"00A067110000"}',
        "with-exponent": text[:-1] + ',"x":1e3}',
        "with-nan": text[:-1] + ',"x":NaN}',
        "and-a-byte": text + "x",
        "as-array": f"[{text}]",
    }.items():
        yield (
            f"tcb-info-{name}",
            texts,
            ask(file(**stated("tcb_info", other))),
            REFUSED,
        )
    for name, other in {
        "with-white-space": f"\n {text}\t",
        "with-escapes": text.replace("SGX", "\\u0053GX"),
    }.items():
        yield f"tcb-info-{name}", texts, ask(file(**stated("tcb_info", other))), GOOD


# --- dates ----------------------------------------------------------------------------


def _dates() -> Iterator[Case]:
    why = "now is within the dates of both texts and both lists, bounds included"
    data = file()
    for name, now, outcome in (
        ("at-their-beginning", START, GOOD),
        ("before-their-beginning", START - 1, STALE),
        ("at-their-end", ENDS, GOOD),
        ("after-their-end", ENDS + 1, STALE),
    ):
        yield name, why, ask(data, now=now), outcome
    old, early = START - 2 * DAY, START - DAY
    dates = {"issueDate": format_time(old), "nextUpdate": format_time(early)}
    for text in SAID:
        brief = text.replace("_", "-")
        yield f"{brief}-that-is-old", why, ask(spelled(text, **dates)), STALE
        later = {"issueDate": format_time(START + 1)}
        given = ask(spelled(text, **later))
        yield f"{brief}-that-is-to-begin", why, given, STALE
    for name, by in (("pck_crl", "ca"), ("root_ca_crl", "root")):
        brief = name.replace("_", "-")
        expired = crl(by, begins=old, ends=early)
        yield f"{brief}-that-is-old", why, ask(file(**{name: expired})), STALE
        later_ = crl(by, begins=START + 1, ends=ENDS)
        yield f"{brief}-that-is-to-begin", why, ask(file(**{name: later_})), STALE
    past = "old collateral, for then, holds then"
    yield "of-then", past, ask(file(Word(issued=old, days=1)), now=early), GOOD
    both = "what is false is refused, be it old or not"
    spoiled = file(tcb_info_signature="00" * 64)
    yield "old-and-not-signed", both, ask(spoiled, now=ENDS + 1), REFUSED


# --- lists of what is revoked ---------------------------------------------------------

_DELTA = x509.DeltaCRLIndicator(1)
_PART = x509.IssuingDistributionPoint(
    full_name=None,
    relative_name=None,
    only_contains_user_certs=True,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)


def crl(
    by: str,
    revoked: Sequence[int] = (),
    *,
    begins: int = START,
    ends: int = ENDS,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    of_entries: Sequence[tuple[x509.ExtensionType, bool]] = (),
    name: str = "",
    digest: SHA256 | SHA384 | None = None,
) -> str:
    """A list, in hex."""
    start = datetime.fromtimestamp(begins, UTC)
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=MACHINE._name(name or by),
        last_update=start,
        next_update=datetime.fromtimestamp(ends, UTC),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for serial in revoked:
        one = x509.RevokedCertificateBuilder(serial, start)
        for extension, critical in of_entries:
            one = one.add_extension(extension, critical=critical)
        builder = builder.add_revoked_certificate(one.build())
    key = MACHINE._keys[by]
    made = builder.sign(key, digest or SHA256(), ecdsa_deterministic=True)
    return made.public_bytes(Encoding.DER).hex()


def _lists() -> Iterator[Case]:
    why = "no certificate that this rests on is in the list of who issued it"
    serial = MACHINE.serial
    for name, member, text, good in (
        ("pck-revoked", "pck_crl", crl("ca", [serial("pck")]), False),
        (
            "pck-revoked-among-others",
            "pck_crl",
            crl("ca", [1, serial("pck"), 2]),
            False,
        ),
        ("others-revoked", "pck_crl", crl("ca", [1, 2, serial("pck") + 1]), True),
        ("ca-revoked", "root_ca_crl", crl("root", [serial("ca")]), False),
        ("signer-revoked", "root_ca_crl", crl("root", [serial("tcb")]), False),
        ("others-revoked-by-root", "root_ca_crl", crl("root", [1, 2]), True),
        ("pck-revoked-by-root", "root_ca_crl", crl("root", [serial("pck")]), True),
        ("ca-revoked-by-itself", "pck_crl", crl("ca", [serial("ca")]), True),
    ):
        data = ask(file(**{member: text}))
        yield name, why, data, GOOD if good else REFUSED
    for reason in ("certificate_hold", "remove_from_crl"):
        flag = x509.CRLReason(x509.ReasonFlags[reason])
        text = crl("ca", [serial("pck")], of_entries=[(flag, False)])
        said = "whatever reason is given"
        brief = reason.replace("_", "-")
        yield f"pck-revoked-for-{brief}", said, ask(file(pck_crl=text)), REFUSED
    yield from _who_lists()
    yield from _what_lists()


def _who_lists() -> Iterator[Case]:
    why = "the root signed its list, the CA of the PCK certificate its own"
    for name, member, text in (
        ("root-list-by-the-ca", "root_ca_crl", crl("ca", name="root")),
        ("root-list-of-the-ca", "root_ca_crl", crl("ca")),
        ("root-list-named-otherwise", "root_ca_crl", crl("root", name="tcb")),
        ("pck-list-by-the-root", "pck_crl", crl("root", name="ca")),
        ("pck-list-of-the-root", "pck_crl", crl("root")),
        ("pck-list-by-the-signer", "pck_crl", crl("tcb", name="ca")),
        ("pck-list-with-sha384", "pck_crl", crl("ca", digest=SHA384())),
    ):
        yield name, why, ask(file(**{member: text})), REFUSED
    signs = "and may sign lists"
    for name, of in (("ca", "ca"), ("root", "root")):
        profile = CERTIFICATES[of]
        length = 0 if of == "ca" else 1
        bare = replace(profile, extensions=ca_extensions(length))
        simulator = Simulator(SEED, certificates={**CERTIFICATES, of: bare})
        given = ask(
            file(WORD, simulator),
            simulator.quote(ENCLAVE),
            roots=[simulator.root_der],
        )
        yield f"{name}-without-crl-sign", signs, given, REFUSED


def _what_lists() -> Iterator[Case]:
    why = "a list is of all that its issuer made, in DER, or it is refused"
    right = crl("ca", extensions=[(x509.CRLNumber(1), False)])
    issuer = x509.CertificateIssuer([x509.DNSName("x.example")])
    more: Mapping[str, str] = {
        "with-critical-number": crl("ca", extensions=[(x509.CRLNumber(1), True)]),
        "with-unknown-other-extension": crl("ca", extensions=[(UNKNOWN, False)]),
        "without-extensions": crl("ca"),
    }
    wrong: Mapping[str, str] = {
        "of-changes": crl("ca", extensions=[(_DELTA, True)]),
        "of-changes-not-critical": crl("ca", extensions=[(_DELTA, False)]),
        "of-a-part": crl("ca", extensions=[(_PART, True)]),
        "with-unknown-critical-extension": crl("ca", extensions=[(UNKNOWN, True)]),
        "of-anothers-certificates": crl("ca", [1], of_entries=[(issuer, True)]),
        "and-a-byte": right + "00",
        "cut": right[:-2],
        "in-upper-case": right.upper(),
        "empty": "",
        "of-no-list": MACHINE.certificates["ca"].hex(),
        "in-pem": _pem(right),
    }
    for values, outcome in ((more, GOOD), (wrong, REFUSED)):
        for name, text in values.items():
            yield f"list-{name}", why, ask(file(pck_crl=text)), outcome


def _pem(text: str) -> str:
    return pem.write(bytes.fromhex(text)).replace("CERTIFICATE", "X509 CRL")


def _family(name: str, about: str, *parts: Callable[[], Iterator[Case]]) -> Family:
    family = Family(name, about)
    for part in parts:
        for case, why, given, outcome in part():
            family.case(case, why, "attestation", outcome, **given)
    return family


def collateral() -> Family:
    """What is believed of a file, and what is not."""
    about = "Collateral: form, signatures, dates, revocations (section 8.7)."
    parts = (_files, _signatures, _statements, _dates, _lists)
    return _family("collateral", about, *parts)


# --- how recent a machine is ----------------------------------------------------------

MERGED = {
    "UpToDate": "OutOfDate",
    "SWHardeningNeeded": "OutOfDate",
    "ConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded": "OutOfDateConfigurationNeeded",
    "OutOfDate": "OutOfDate",
    "OutOfDateConfigurationNeeded": "OutOfDateConfigurationNeeded",
    "Revoked": "Revoked",
}
"""The machine's status, and what becomes of it where its QE is out of date."""
A, B = "INTEL-SA-00289", "INTEL-SA-00615"


def _quoted(**changes: Any) -> bytes:
    """A quote whose QE says this of itself."""
    return MACHINE.quote(ENCLAVE, qe=replace(MACHINE.qe, **changes))


def _qes() -> Iterator[Case]:
    why = "the QE is the one of QE identity, in the bits that its masks leave"
    data = file()
    for name, changes, good in (
        ("mrsigner", {"mrsigner": bytes(32)}, False),
        ("isvprodid", {"isv_prod_id": 2}, False),
        ("miscselect", {"miscselect": b"\1\0\0\0"}, False),
        ("debug", {"flags": quote.INIT | quote.MODE64 | 0x10 | quote.DEBUG}, False),
        ("without-provision-key", {"flags": quote.INIT | quote.MODE64}, False),
        ("of-32-bits", {"flags": quote.INIT | 0x10}, True),
        ("xfrm", {"xfrm": 3}, True),
        ("mrenclave", {"mrenclave": bytes(32)}, True),
        ("cpusvn", {"cpusvn": bytes(16)}, True),
    ):
        given = ask(data, _quoted(**changes))
        yield f"qe-{name}", why, given, GOOD if good else REFUSED
    alone = "a QE that is not Intel's is refused without collateral, too"
    for name, changes, good in (
        ("mrsigner", {"mrsigner": bytes(32)}, False),
        ("isvprodid", {"isv_prod_id": 2}, False),
        ("debug", {"flags": quote.INIT | quote.MODE64 | 0x10 | quote.DEBUG}, False),
        ("miscselect", {"miscselect": b"\1\0\0\0"}, True),
    ):
        given = ask(None, _quoted(**changes))
        yield f"qe-{name}-alone", alone, given, STALE if good else REFUSED
        given = ask(data, _quoted(**changes), now=ENDS + 1)
        old = f"qe-{name}-and-old-collateral"
        yield old, alone, given, STALE if good else REFUSED
    masked = "bits that a mask leaves out are free"
    none = {"attributes": "0" * 32, "attributesMask": "0" * 32}
    others: Mapping[str, tuple[Json, Json]] = {
        "miscselect": ({"miscselectMask": "0" * 8}, {"miscselect": b"\1\0\0\0"}),
        "attributes": (none, {"flags": quote.INIT, "xfrm": 3}),
    }
    for name, (said, other) in others.items():
        given = ask(spelled("qe_identity", **said), _quoted(**other))
        yield f"qe-{name}-masked", masked, given, GOOD
    beyond = "and what is expected beyond its mask is never found"
    for name, said in {
        "miscselect": {"miscselect": "01000000", "miscselectMask": "0" * 8},
        "attributes": {"attributesMask": "0" * 32},
    }.items():
        given = ask(spelled("qe_identity", **said))
        yield f"qe-{name}-beyond-its-mask", beyond, given, REFUSED


def _qe_levels(*levels: tuple[int, str]) -> bytes:
    [one] = QE_IDENTITY["tcbLevels"]
    made = [
        one | {"tcb": {"isvsvn": svn}, "tcbStatus": status} for svn, status in levels
    ]
    return spelled("qe_identity", tcbLevels=made)


def _qe_recent() -> Iterator[Case]:
    why = "the QE's level is the first whose ISVSVN it reaches; below all: revoked"
    for name, levels, outcome in (
        ("at-its-level", [(10, "UpToDate"), (8, "Revoked")], GOOD),
        ("above-its-level", [(9, "UpToDate"), (8, "Revoked")], GOOD),
        ("at-the-second-level", [(11, "UpToDate"), (10, "OutOfDate")], REFUSED),
        ("below-all-levels", [(12, "UpToDate"), (11, "OutOfDate")], REFUSED),
        ("at-a-worse-level-first", [(8, "OutOfDate"), (10, "UpToDate")], REFUSED),
        ("at-a-level-revoked", [(11, "UpToDate"), (8, "Revoked")], REFUSED),
        ("of-unknown-status", [(8, "Unknown")], NO_QE),
        ("of-a-machines-status", [(8, "SWHardeningNeeded")], NO_QE),
    ):
        yield f"qe-{name}", why, ask(_qe_levels(*levels)), outcome
    given = ask(_qe_levels((11, "UpToDate"), (10, "OutOfDate")), tcb=["OutOfDate"])
    yield "qe-at-the-second-level-accepted", why, given, GOOD
    everything = [status for status in MERGED if status != "Revoked"]
    given = ask(_qe_levels((8, "Revoked")), tcb=everything)
    yield "qe-revoked-and-all-accepted", "revoked is never accepted", given, REFUSED


def _statuses() -> Iterator[Case]:
    why = "the status has to be one that the policy accepts: UpToDate by default"
    for status in MERGED:
        data = file(replace(WORD, status=status))
        good = status == "UpToDate"
        yield f"status-{status}", why, ask(data), GOOD if good else REFUSED
        if status not in ("UpToDate", "Revoked"):
            given = ask(data, tcb=[status])
            yield f"status-{status}-accepted", why, given, GOOD
    given = ask(file(), tcb=["OutOfDate"])
    yield "status-UpToDate-not-accepted", why, given, REFUSED
    never = "revoked is never accepted"
    given = ask(file(replace(WORD, status="Revoked")), tcb=list(MERGED))
    yield "status-Revoked-and-all-accepted", never, given, REFUSED
    unknown = "a status that is not known could not be checked"
    given = ask(file(replace(WORD, status="UpToDateSomehow")))
    yield "status-of-no-known-name", unknown, given, NO_TCB
    merged = "with a QE that is out of date, it becomes another"
    for (status, other), accepted in product(MERGED.items(), ("before", "after")):
        data = file(replace(WORD, status=status, qe_status="OutOfDate"))
        tcb = [status if accepted == "before" else other]
        good = tcb == [other] != ["Revoked"]
        name = f"merged-{status}-accepted-as-{accepted}"
        yield name, merged, ask(data, tcb=tcb), GOOD if good else REFUSED


def _advisories() -> Iterator[Case]:
    why = "every advisory of both levels is one that the policy accepts"
    machine = file(replace(WORD, advisories=(A, B)))
    of_qe = file(replace(WORD, qe_advisories=(A,)))
    both = file(replace(WORD, advisories=(A,), qe_advisories=(B,)))
    for name, data, accepted, good in (
        ("of-the-machine", machine, [], False),
        ("of-the-machine-one-accepted", machine, [A], False),
        ("of-the-machine-accepted", machine, [B, A, "INTEL-SA-00001"], True),
        ("of-the-qe", of_qe, [], False),
        ("of-the-qe-accepted", of_qe, [A], True),
        ("of-both-one-accepted", both, [A], False),
        ("of-both-accepted", both, [A, B], True),
        ("in-lower-case", of_qe, [A.lower()], False),
    ):
        given = ask(data, advisories=accepted)
        yield f"advisories-{name}", why, given, GOOD if good else REFUSED
    also = "whatever the status is"
    open_ = file(replace(WORD, status="SWHardeningNeeded", advisories=(A,)))
    for name, tcb, accepted, good in (
        ("accepted-and-status-not", ["UpToDate"], [A], False),
        ("not-accepted-and-status", ["SWHardeningNeeded"], [], False),
        ("and-status-accepted", ["SWHardeningNeeded"], [A], True),
    ):
        given = ask(open_, tcb=tcb, advisories=accepted)
        yield f"advisories-{name}", also, given, GOOD if good else REFUSED


def _machine_levels() -> Iterator[Case]:
    why = "its level is the first of which it reaches all 16 SVNs and the PCE's"
    level: Json = TCB_INFO["tcbLevels"][0]
    components = MACHINE.machine.components

    def at(status: str, place: int = -1, more: int = 0, pce: int = 0) -> Json:
        svns = [svn + more * (n == place) for n, svn in enumerate(components)]
        tcb = {
            "sgxtcbcomponents": [{"svn": svn} for svn in svns],
            "pcesvn": MACHINE.machine.pce_svn + pce,
        }
        return level | {"tcb": tcb, "tcbStatus": status}

    mine = at("UpToDate")
    for name, levels, good in (
        ("exactly", [mine], True),
        ("above-by-a-component", [at("UpToDate", 0, -1)], True),
        ("above-by-the-pce", [at("UpToDate", pce=-1)], True),
        ("first-of-two", [mine, at("Revoked")], True),
        ("first-of-two-and-worse", [at("OutOfDate"), mine], False),
        ("second-of-two", [at("UpToDate", 15, 1), at("OutOfDate")], False),
        ("below-by-the-pce", [at("UpToDate", pce=1), at("OutOfDate")], False),
        ("second-and-better", [at("OutOfDate", 6, 1), mine], True),
        ("below-all-by-the-pce", [at("UpToDate", pce=1)], False),
    ):
        given = ask(spelled("tcb_info", tcbLevels=levels))
        yield f"level-{name}", why, given, GOOD if good else REFUSED
    for place in range(16):
        if components[place] == 255:
            continue
        given = ask(spelled("tcb_info", tcbLevels=[at("UpToDate", place, 1)]))
        yield f"level-below-all-by-component-{place + 1}", why, given, REFUSED
    # SVNs that go up and down: a sum, or the first that differs, would not do.
    mixed = [at("UpToDate", 15, 1)]
    mixed[0]["tcb"]["sgxtcbcomponents"][0] = {"svn": 0}
    given = ask(spelled("tcb_info", tcbLevels=mixed))
    yield "level-above-by-one-and-below-by-another", why, given, REFUSED


def tcb() -> Family:
    """How recent a machine and its quoting enclave are, and what of that will do."""
    about = "Quoting enclave, TCB levels, statuses, advisories (section 8.7)."
    parts = (_qes, _qe_recent, _statuses, _advisories, _machine_levels)
    return _family("tcb", about, *parts)


MAKERS = (collateral, tcb)
