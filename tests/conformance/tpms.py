"""Documents of instances with a NitroTPM: what section 8.5 changes in 8.1 to 8.4.

The envelope, CBOR, members and chain are those of enclaves, whose families ask for
them; here stand the registers, and that no document is of both platforms.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pcrlog.attestation import cbor
from pcrlog.attestation.simulator import Simulator
from tests.conformance import documents
from tests.conformance.documents import GONE, LEAF, MALFORMED, ROOT, SEED, TIME, Map
from tests.conformance.family import Family

SHORT = Simulator(SEED, (ROOT, LEAF), tpm=True)
PCRS: Map = {4: b"\4" * 48, 7: b"\7" * 48, 12: bytes(48)}
GOOD: dict[str, Any] = {
    "time": TIME,
    "registers": {
        "PCR4": "sha384:" + "04" * 48,
        "PCR7": "sha384:" + "07" * 48,
        "PCR12": "sha384:" + "00" * 48,
    },
    "debug": False,
    "nonce": None,
    "user_data": None,
    "public_key": None,
}
Case = tuple[str, str, bytes, str | Mapping[str, Any]]
"""Id, why, a document, and what it comes to."""


def signed(**changes: Any) -> bytes:
    """A document, rightly signed."""
    *cas, leaf = SHORT.chain(TIME)
    payload: Map = {
        "module_id": SHORT.module_id,
        "digest": "SHA384",
        "timestamp": TIME,
        "nitrotpm_pcrs": dict(PCRS),
        "certificate": leaf,
        "cabundle": tuple(cas),
    }
    payload.update(changes.items())
    kept = {name: value for name, value in payload.items() if value is not GONE}
    return SHORT.sign(cbor.encode(kept))


def _members() -> Iterator[Case]:
    why = "a document is that of an enclave with `nitrotpm_pcrs` in place of `pcrs`"
    yield "plain", why, signed(), GOOD
    yield "tagged", why, b"\xd2" + signed(), GOOD
    fields = {"nonce": b"n", "user_data": b"u", "public_key": b""}
    yield "with-free-fields", why, signed(**fields), GOOD | fields
    yield "without-registers", why, signed(nitrotpm_pcrs=GONE), MALFORMED
    yield "with-null-registers", why, signed(nitrotpm_pcrs=None), MALFORMED
    yield "signed-by-another", why, signed()[:-1] + b"\0", documents.REFUSED
    yield "of-an-enclave", why, documents.signed(), MALFORMED
    pcrs = dict(PCRS)
    yield "with-pcrs-beside", why, signed(pcrs=pcrs), MALFORMED
    yield "with-pcrs-instead", why, signed(pcrs=pcrs, nitrotpm_pcrs=GONE), MALFORMED
    yield "with-null-pcrs-beside", why, signed(pcrs=None), MALFORMED
    yield "unknown-members", why, signed(tpm={"a": ()}), GOOD


def _registers() -> Iterator[Case]:
    why = "registers: 1 to 24, integers 0 to 23 to 32, 48 or 64 bytes, of one length"
    for size, algorithm in ((32, "sha256"), (48, "sha384"), (64, "sha512")):
        pcrs = {number: bytes([number]) * size for number in (4, 12)}
        names = {f"PCR{n}": f"{algorithm}:" + f"{n:02x}" * size for n in (4, 12)}
        answer = GOOD | {"registers": names}
        yield f"registers-of-{size}-bytes", why, signed(nitrotpm_pcrs=pcrs), answer
    all_ = dict.fromkeys(range(24), b"\1" * 32)
    names = {f"PCR{n}": "sha256:" + "01" * 32 for n in range(24)}
    answer = GOOD | {"registers": names}
    yield "registers-24", why, signed(nitrotpm_pcrs=all_), answer
    for name, value in {
        "none": {},
        "25": dict.fromkeys(range(25), b"\1" * 32),
        "as-array": tuple(PCRS.values()),
        "named-by-text": {"4": PCRS[4], "12": PCRS[12]},
        "with-24": PCRS | {24: bytes(48)},
        "with-minus-1": PCRS | {-1: bytes(48)},
        "with-20-bytes": PCRS | {3: bytes(20)},
        "with-another-length": PCRS | {3: bytes(32)},
        "with-null": PCRS | {3: None},
    }.items():
        yield f"registers-{name}", why, signed(nitrotpm_pcrs=value), MALFORMED
    both = "4 and 12 are among the registers"
    for number in (4, 12):
        value = {n: digest for n, digest in PCRS.items() if n != number}
        data = signed(nitrotpm_pcrs=value)
        yield f"registers-without-{number}", both, data, MALFORMED
    blank = "an instance measured no boot where PCR4 is all zeros, or all ones"
    for name, pcr4, pcr12, nothing in (
        ("pcr4-of-zeros", bytes(48), b"\1" * 48, True),
        ("pcr4-of-ones", b"\xff" * 48, b"\1" * 48, True),
        ("pcr4-and-pcr12-of-zeros", bytes(48), bytes(48), True),
        ("pcr4-of-zeros-but-a-bit", bytes(47) + b"\1", bytes(48), False),
        ("pcr4-of-ones-but-a-bit", b"\xff" * 47 + b"\xfe", bytes(48), False),
        ("pcr12-of-zeros", b"\1" * 48, bytes(48), False),
        ("pcr12-of-ones", b"\1" * 48, b"\xff" * 48, False),
    ):
        data = signed(nitrotpm_pcrs={4: pcr4, 12: pcr12})
        yield name, blank, data, {"debug": nothing, "time": TIME}


def tpm_documents() -> Family:
    """What is read of a document of an instance, and all that is refused."""
    about = "Attestation documents of aws-nitrotpm (section 8.5)."
    family = Family("tpm-documents", about)
    whole = Simulator(SEED, tpm=True)
    data = whole.document(time=TIME, registers={"PCR4": b"\4" * 48}, nonce=b"n")
    answer = {"nonce": b"n", "debug": False, "time": TIME}
    _add(
        family,
        ("whole", "as the machine writes it: a chain of five, all 24", data, answer),
        whole.root_der,
    )
    for case in (*_members(), *_registers()):
        _add(family, case)
    why = "a document of an instance is none of an enclave"
    data = signed()
    given = {"platform": "aws-nitro", "document": data, "roots": [SHORT.root_der]}
    family.case("for-an-enclave", why, "attestation", MALFORMED, **given)
    why = "there is no document of a platform that does not attest"
    given |= {"platform": "artifact"}
    family.case("for-a-file", why, "attestation", "usage", **given)
    return family


def _add(family: Family, case: Case, root: bytes = SHORT.root_der) -> None:
    name, why, data, outcome = case
    given = {"platform": "aws-nitrotpm", "document": data, "roots": [root]}
    family.case(name, why, "attestation", outcome, **given)


MAKERS = (tpm_documents,)
