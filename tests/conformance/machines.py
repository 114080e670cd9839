"""Whole verifications of machines that are not AWS's, or not enclaves (4.3, 4.4, 4.7).

What a quote and its collateral come to alone, families `quotes`, `collateral` and `tcb`
ask; here it is what becomes of a run: which checks there are, which are required, and
what a document without a time is worth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

from msgspec.structs import replace

from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.simulator import Simulator
from pcrlog.predicates import Binding
from tests.conformance.family import Stage
from tests.conformance.quotes import ENCLAVE, FIRST, LAST, MACHINE, quote
from tests.conformance.runs import _NO_RUN, _UNDECIDED
from tests.conformance.stories import Stories, Story
from tests.support.memory_log import START
from tests.support.scene import (
    DAY,
    GOOD,
    LAB,
    LENS,
    NONCE,
    PRODUCT,
    Inputs,
    document,
    pem,
)

MINE = {"MRENCLAVE": "sha256:" + "45" * 32}
SIGNER = {"MRSIGNER": "sha256:" + "53" * 32}
WORD = Word(issued=START - DAY)


@dataclass(frozen=True)
class Given(Inputs):
    """The arguments of `verify`, with collateral."""

    collateral: bytes | None = None


def on_sgx(s: Stage, platform: Mapping[str, Any] = {}, **changes: Any) -> Any:
    """A policy that trusts the simulated machine."""
    rules = {"roots": [pem(MACHINE.root_der)], **platform}
    wanted = {"platforms": ["intel-sgx"], **changes.pop("product", {})}
    return s.policy(platforms={"intel-sgx": rules}, product=wanted, **changes)


def quoted(s: Stage, **given: Any) -> Given:
    """A live quote with our nonce, fresh collateral, and the log's answers."""
    s.seal()
    policy = given.pop("policy", None) or on_sgx(s)
    bundle = s.log.bundle(PRODUCT, MINE, LAB, LENS, platform="intel-sgx")
    good = Given(
        attestation=quote(),
        bundle=bundle.encode(),
        policy=policy,
        now=s.log.now,
        nonce=FIRST,
        collateral=MACHINE.collateral(WORD),
    )
    return changed(good, **given)


Row = tuple[str, str, str, Mapping[str, Any]]
"""Name, what is lacking, why, and what is otherwise in the run."""


def released(
    platform: Mapping[str, Any] = {},
    *,
    product: Mapping[str, Any] = {},
    head: Mapping[str, Any] = {},
    says: Mapping[str, Any] = {},
    image: Mapping[str, str] = MINE,
    **given: Any,
) -> Story:
    """A release of the enclave, and a run with these arguments under such a policy."""

    def story(s: Stage) -> Inputs:
        s.release(image=image, platform="intel-sgx", **says)
        policy = on_sgx(s, platform, product=product, head=head)
        return quoted(s, policy=policy, **given)

    return story


sgx = Stories("sgx-runs", "Quotes in a run: checks, times, policies (4.3, 4.4, 4.7).")
_NO_WORD = (
    "document.collateral unchecked, document.revocation unchecked,"
    " document.qe-identity unchecked, document.tcb unchecked"
)
_REST = (
    "document.time unchecked, document.nonce unchecked, document.debug unchecked,"
    f" {_NO_RUN}, policy.links fail"
)
_UNREACHED = f"document.qe-report unchecked, {_NO_WORD}, {_REST}"


def word(**changes: Any) -> bytes:
    """Collateral that says something else."""
    return MACHINE.collateral(replace(WORD, **changes))


# --- what is checked ------------------------------------------------------------------

sgx.verified(
    "live",
    "ppcmmmm",
    "a quote with our nonce, and collateral of today",
    released(),
)
_REFUTED: tuple[Row, ...] = (
    (
        "not-signed",
        f"document.signature fail, document.chain unchecked, {_UNREACHED}",
        "the attestation key signs",
        {"attestation": quote(signature=bytes(64))},
    ),
    (
        "under-no-trusted-root",
        f"document.chain fail, {_UNREACHED}",
        "the chain leads to a root of the policy",
        {"platform": {"roots": ["builtin"]}},
    ),
    (
        "of-a-qe-that-the-pck-does-not-know",
        f"document.qe-report fail, {_NO_WORD}, {_REST}",
        "the PCK's key signs the QE's report",
        {"attestation": quote(qe_signature=bytes(64))},
    ),
    (
        "with-collateral-that-is-false",
        f"{_NO_WORD.replace('collateral unchecked', 'collateral fail')}, {_REST}",
        "collateral that is not Intel's refutes",
        {"collateral": word().replace(b'"tcb_info_signature":"', b'"x":"')},
    ),
    (
        "of-a-revoked-pck",
        f"{_NO_WORD.partition(', ')[2]}, {_REST}".replace(
            "revocation unchecked", "revocation fail"
        ),
        "a machine whose certificate was taken back is refused",
        {"collateral": word(revoked=(MACHINE.serial("pck"),))},
    ),
    (
        "of-a-qe-that-is-not-intels",
        f"document.qe-identity fail, document.tcb unchecked, {_REST}",
        "any enclave can have a report signed: the QE has to be Intel's",
        {"attestation": MACHINE.quote(ENCLAVE, qe=replace(MACHINE.qe, isv_prod_id=2))},
    ),
    (
        "out-of-date",
        f"document.tcb fail, {_REST}",
        "a status that the policy does not accept refutes",
        {"collateral": word(status="OutOfDate")},
    ),
)
for _name, _lacking, _why, _given in _REFUTED:
    sgx.refuted(_name, "fuuuuuu", _lacking, _why, released(**_given))
sgx.refuted(
    "no-quote",
    "fuuuuuu",
    "document.form fail, document.signature unchecked, document.chain unchecked,"
    f" {_UNREACHED}",
    "without a document the product's platforms say which checks there are",
    released(attestation=b"\3\0\2\0"),
)
sgx.unchecked(
    "without-a-pck-certificate",
    "uuuuuuu",
    "document.chain unchecked, document.qe-report unchecked,"
    f" {_NO_WORD}, {_REST}".replace("policy.links fail", "policy.links unchecked"),
    "a quote whose PCK certificate is not there could not be checked",
    released(attestation=quote(kind=3, certification=bytes(404))),
)
sgx.verified(
    "with-the-pck-certificate-given",
    "ppcmmmm",
    "and holds once it is given",
    released(
        attestation=quote(kind=3, certification=bytes(404)),
        collateral=word(pck_chain=True),
    ),
)

# --- collateral, and what a policy accepts --------------------------------------------

_WITHOUT = f"{_NO_WORD}, policy.links unchecked"
sgx.unchecked(
    "without-collateral",
    "upcmmmm",
    _WITHOUT,
    "without collateral nobody knows whether the machine is sound",
    released(collateral=None),
)
sgx.unchecked(
    "with-old-collateral",
    "upcmmmm",
    _WITHOUT,
    "old collateral says nothing of now",
    released(collateral=word(issued=START - 40 * DAY)),
)
sgx.verified(
    "with-collateral-ahead-by-the-skew",
    "ppcmmmm",
    "clocks may differ by the policy's skew",
    released(head={"clock_skew": "2d"}, collateral=word(issued=START + DAY)),
)
sgx.unchecked(
    "with-collateral-ahead",
    "upcmmmm",
    _WITHOUT,
    "and by no more",
    released(head={"clock_skew": "23h"}, collateral=word(issued=START + DAY)),
)
sgx.unchecked(
    "of-a-status-with-no-known-name",
    "upcmmmm",
    "document.tcb unchecked, policy.links unchecked",
    "a status that is not known could not be checked",
    released(collateral=word(status="UpToDateSomehow")),
)
_OPTIONAL = {"collateral": "optional"}
_PUT_UP_WITH: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("nothing", "a policy may do without collateral", {"collateral": None}),
    (
        "old-collateral",
        "and so without any that holds",
        {"collateral": word(issued=START - 40 * DAY)},
    ),
    (
        "a-status-with-no-known-name",
        "and without a status that is known",
        {"collateral": word(status="UpToDateSomehow")},
    ),
    ("collateral", "and with it all checks are made", {}),
)
for _name, _why, _given in _PUT_UP_WITH:
    sgx.verified(
        f"optional-and-{_name}", "ppcmmmm", _why, released(_OPTIONAL, **_given)
    )
_UNKNOWN = "document.qe-identity unchecked, document.tcb unchecked"
_NOT_INTELS = replace(MACHINE.qe, mrsigner=bytes(32))
_NEVERTHELESS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    (
        "false-collateral",
        _NO_WORD.replace("collateral unchecked", "collateral fail"),
        {"collateral": word().replace(b'"tcb_info_signature":"', b'"x":"')},
    ),
    (
        "a-revoked-pck",
        f"document.revocation fail, {_UNKNOWN}",
        {"collateral": word(revoked=(MACHINE.serial("pck"),))},
    ),
    (
        "a-qe-that-is-not-intels",
        _NO_WORD.replace("qe-identity unchecked", "qe-identity fail"),
        {"attestation": MACHINE.quote(ENCLAVE, qe=_NOT_INTELS), "collateral": None},
    ),
    (
        "out-of-date",
        "document.tcb fail",
        {"collateral": word(status="OutOfDate")},
    ),
)
for _name, _lacking, _given in _NEVERTHELESS:
    sgx.refuted(
        f"optional-and-{_name}",
        "fuuuuuu",
        f"{_lacking}, {_REST}",
        "a fail counts whether it is demanded or not; and without a document, all is",
        released(_OPTIONAL, **_given),
    )
_HARD = {"status": "SWHardeningNeeded", "advisories": ("INTEL-SA-00615",)}
for _name, _platform, _good in (
    ("status-and-advisory", {}, False),
    ("status", {"advisories": ["INTEL-SA-00615"]}, False),
    ("advisory", {"tcb": ["UpToDate", "SWHardeningNeeded"]}, False),
    (
        "neither",
        {
            "tcb": ["UpToDate", "SWHardeningNeeded"],
            "advisories": ["INTEL-SA-00615"],
        },
        True,
    ),
):
    _story = released(_platform, collateral=word(**_HARD))
    _why = "the policy accepts statuses and advisories, by Intel's names"
    if _good:
        sgx.verified(f"accepting-all-but-{_name}", "ppcmmmm", _why, _story)
    else:
        _lacking = f"document.tcb fail, {_REST}"
        name = f"accepting-all-but-{_name}"
        sgx.refuted(name, "fuuuuuu", _lacking, _why, _story)

# --- a quote names no time ------------------------------------------------------------

_NO_NONCE = "document.time unchecked, document.nonce unchecked"
sgx.unchecked(
    "no-nonce-sent",
    "upcmmmm",
    f"{_NO_NONCE}, policy.links unchecked",
    "without our nonce a quote may be of any age",
    released(nonce=None),
)
sgx.refuted(
    "another-nonce",
    "fpcmmmm",
    "document.time unchecked, document.nonce fail, policy.links fail",
    "the nonce is the first 32 bytes of report data",
    released(nonce=LAST),
)
sgx.refuted(
    "a-nonce-that-is-shorter",
    "fpcmmmm",
    "document.time unchecked, document.nonce fail, policy.links fail",
    "all 32: a shorter nonce and zeros after it are not what we sent",
    released(
        nonce=FIRST[:31],
        attestation=quote(
            report=replace(ENCLAVE, report_data=FIRST[:31] + b"\0" + LAST).report
        ),
    ),
)
sgx.verified(
    "nonce-optional",
    "ppcmmmm",
    "nonce = optional puts up with a quote of any age",
    released({"nonce": "optional"}, nonce=None),
)
sgx.refuted(
    "nonce-optional-and-wrong",
    "fpcmmmm",
    "document.nonce fail, policy.links fail",
    "a wrong nonce refutes whether it is required or not",
    released({"nonce": "optional"}, nonce=LAST),
)
sgx.verified(
    "attested-clock",
    "ppcmmmm",
    "where there is no signed time, ours counts",
    released(head={"clock": "attested"}),
)
sgx.unchecked(
    "attested-clock-and-a-late-one",
    "uuuuuuu",
    "document.collateral unchecked, document.revocation unchecked,"
    " document.qe-identity unchecked, document.tcb unchecked, log.witnesses unchecked,"
    f" log.index-monitors unchecked, log.freshness unchecked, {_UNDECIDED},"
    " policy.links unchecked",
    "so a clock that is wrong is found out by what is out of date",
    released(head={"clock": "attested"}, now=START + 90 * DAY),
)


def _archived(platform: Mapping[str, Any], *, archives: bool, **given: Any) -> Story:
    return released(
        platform,
        head={"archives": archives},
        now=START + 60,
        at=START,
        **given,
    )


sgx.unchecked(
    "archived",
    "upcmmmm",
    "document.time unchecked, policy.links unchecked",
    "no time of a quote is known, so none can be compared with `at`",
    _archived({}, archives=True),
)
sgx.verified(
    "archived-and-nonce-optional",
    "ppcmmmm",
    "unless the policy puts up with that",
    _archived({"nonce": "optional"}, archives=True, nonce=None),
)
sgx.unchecked(
    "archived-without-archives",
    "upcmmmm",
    "policy.links unchecked",
    "archived is not live",
    _archived({"nonce": "optional"}, archives=False, nonce=None),
)
_THEN: Mapping[str, Any] = {"at": START - 35 * DAY, "nonce": None}
sgx.verified(
    "archived-with-collateral-of-then",
    "ppcmmmm",
    "collateral is judged as of `at`",
    released(
        {"nonce": "optional"},
        head={"archives": True},
        collateral=word(issued=START - 40 * DAY),
        **_THEN,
    ),
)
sgx.unchecked(
    "archived-with-collateral-of-now",
    "upcmmmm",
    _WITHOUT,
    "that of now says nothing of then",
    released({"nonce": "optional"}, head={"archives": True}, **_THEN),
)

# --- what was measured ----------------------------------------------------------------

sgx.refuted(
    "in-debug-mode",
    "fpcmmmm",
    "document.debug fail, policy.links fail",
    "an enclave whose host can read its memory is refused",
    released(attestation=quote(report=replace(ENCLAVE, flags=7).report)),
)
_NO_MATCH = (
    "release.match fail, release.valid unchecked, release.conflict unchecked,"
    " policy.links fail"
)
for _name, _why, _image, _numbers in (
    ("mrsigner", "MRSIGNER matches where the release has it", MINE | SIGNER, None),
    ("a-number", "a number matches", MINE, {"ISVSVN": 515}),
    ("both-numbers", "so do two", MINE, {"ISVPRODID": 1, "ISVSVN": 515}),
    ("no-numbers", "no numbers match any", MINE, {}),
):
    _says = {} if _numbers is None else {"numbers": _numbers}
    sgx.verified(
        f"released-with-{_name}", "ppcmmmm", _why, released(image=_image, says=_says)
    )
_OTHER = {"MRSIGNER": "sha256:" + "54" * 32}
for _name, _why, _image, _numbers in (
    ("another-mrsigner", "the signer is another", MINE | _OTHER, {}),
    ("a-lower-svn", "numbers are compared, not ordered", MINE, {"ISVSVN": 514}),
    ("a-higher-svn", "in either direction", MINE, {"ISVSVN": 516}),
    ("one-of-two-numbers-wrong", "all of them", MINE, {"ISVPRODID": 0, "ISVSVN": 515}),
    ("an-unknown-number", "one that no quote has matches none", MINE, {"SVN": 515}),
):
    sgx.refuted(
        f"released-with-{_name}",
        "pmmmmmm",
        _NO_MATCH,
        _why,
        released(image=_image, says={"numbers": _numbers}),
    )


def _newer(s: Stage) -> Inputs:
    s.release("1.4.2", MINE, platform="intel-sgx", numbers={"ISVSVN": 515})
    s.release("1.4.3", MINE, platform="intel-sgx", numbers={"ISVSVN": 516})
    return quoted(s)


sgx.verified(
    "of-two-releases-the-one-of-its-numbers",
    "ppcmmmm",
    "a release of other numbers is of another enclave",
    _newer,
)


def _bound(field: str, kind: str = "raw-key") -> dict[str, Any]:
    return {"binding": Binding(field, kind)}  # type: ignore[arg-type] # of its words


_REQUIRED = {"channel": "required"}
_HASH = replace(ENCLAVE, report_data=FIRST).report
sgx.verified(
    "channel-by-public-key",
    "ppcmmmm",
    "public_key is the last 32 bytes of report data",
    released(product=_REQUIRED, says=_bound("public_key"), binding={"raw-key": LAST}),
)
sgx.verified(
    "channel-by-user-data",
    "ppcmmmm",
    "user_data is the first 32 bytes where the others are zero, as RA-TLS has it",
    released(
        {"nonce": "optional"},
        product=_REQUIRED,
        says=_bound("user_data", "tls-spki-sha256"),
        binding={"tls-spki-sha256": FIRST},
        attestation=quote(report=_HASH),
        nonce=None,
    ),
)
sgx.unchecked(
    "channel-by-half-of-user-data",
    "upcmmmm",
    "channel unchecked, policy.links unchecked",
    "and all 64 where they are not",
    released(
        product=_REQUIRED,
        says=_bound("user_data", "tls-spki-sha256"),
        binding={"tls-spki-sha256": FIRST},
    ),
)

# --- who runs it ----------------------------------------------------------------------

_SEPARATE = {"ground": "separate"}
sgx.verified(
    "ground-of-another-host",
    "ppcmmmm",
    "the maker is Intel; whoever else runs the machines, the ground is separate",
    released({"operator": "azure"}, product=_SEPARATE),
)
sgx.refuted(
    "ground-of-intels-own-host",
    "ppcmmmm",
    "policy.ground fail",
    "where Intel runs them, it is not",
    released({"operator": " Intel "}, product=_SEPARATE),
)
sgx.unchecked(
    "ground-of-nobody",
    "ppcmmmm",
    "policy.ground unchecked",
    "nobody says who runs them",
    released(product=_SEPARATE),
)

# --- more than one platform -----------------------------------------------------------


def _on_both(s: Stage, *, nitro: bool) -> Inputs:
    """A product that is released for enclaves of both makers."""
    s.release()
    s.release(image=MINE, platform="intel-sgx")
    wanted = {"platforms": ["aws-nitro", "intel-sgx"]}
    made = quoted(s, policy=on_sgx(s, product=wanted))
    if not nitro:
        return made
    bundle = s.log.bundle(PRODUCT, GOOD, LAB, LENS).encode()
    data = document(time=made.now)
    return changed(made, attestation=data, bundle=bundle, nonce=NONCE, collateral=None)


for _nitro in (False, True):
    sgx.verified(
        f"of-two-platforms-{'aws-nitro' if _nitro else 'intel-sgx'}",
        "ppcmmmm",
        "a document is judged by the rules of its own platform, and of no other",
        lambda s, nitro=_nitro: _on_both(s, nitro=nitro),  # type: ignore[misc] # bound
    )
sgx.refuted(
    "for-a-product-of-aws-nitro",
    "fuuuuuu",
    f"document.form fail, document.signature unchecked, document.chain unchecked,"
    f" {_REST}",
    "a quote is no document of a product that is not on intel-sgx",
    released(product={"platforms": ["aws-nitro"]}),
)

# --- instances ------------------------------------------------------------------------

tpm = Stories("tpm-runs", "Instances in a run: registers, boot (2.1, 4.7).")
INSTANCE = Simulator(b"tests/conformance/machines", tpm=True)
BOOT = {
    "PCR4": "sha384:" + "04" * 48,
    "PCR12": "sha384:" + "00" * 48,
}
SECURE = {"PCR7": "sha384:" + "07" * 48}


def booted(
    image: Mapping[str, str] = BOOT,
    found: Mapping[str, str] = BOOT | SECURE,
    **given: Any,
) -> Story:
    """A release of an instance's boot, and a run on what such an instance shows."""

    def story(s: Stage) -> Inputs:
        s.release(image=image, platform="aws-nitrotpm")
        s.seal()
        rules = {"roots": [pem(INSTANCE.root_der)]}
        wanted = {"platforms": given.get("platforms", ["aws-nitrotpm"])}
        wanted |= given.get("product", {})
        digests = {name: d.partition(":")[2] for name, d in found.items()}
        time = 1000 * s.log.now
        data = INSTANCE.document(time=time, registers=digests, nonce=NONCE)
        answers = s.log.bundle(PRODUCT, dict(found), LAB, LENS, platform="aws-nitrotpm")
        return Inputs(
            attestation=data,
            bundle=answers.encode(),
            policy=s.policy(platforms={"aws-nitrotpm": rules}, product=wanted),
            now=s.log.now,
        )

    return story


def _other(register: str) -> dict[str, str]:
    return BOOT | SECURE | {register: "sha384:" + "ab" * 48}


tpm.verified("live", "ppcmmmm", "PCR4 and PCR12 say what booted", booted())
tpm.verified(
    "with-pcr7",
    "ppcmmmm",
    "a release that has PCR7 is matched by it too",
    booted(BOOT | SECURE),
)
tpm.refuted(
    "with-another-pcr7",
    "pmmmmmm",
    _NO_MATCH,
    "another Secure Boot is another boot, where the release has PCR7",
    booted(BOOT | SECURE, _other("PCR7")),
)
tpm.verified(
    "without-pcr7",
    "ppcmmmm",
    "and is not looked at where it has not",
    booted(found=_other("PCR7")),
)
for _register in ("PCR4", "PCR12"):
    tpm.refuted(
        f"with-another-{_register.lower()}",
        "pmmmmmm",
        _NO_MATCH,
        "PCR4 and PCR12 together are what was measured",
        booted(found=_other(_register)),
    )
for _name, _digit in (("zeros", "0"), ("ones", "f")):
    tpm.refuted(
        f"with-pcr4-of-{_name}",
        "fmmmmmm",
        f"document.debug fail, {_NO_MATCH}",
        "an instance that measured no boot says nothing",
        booted(found=BOOT | {"PCR4": "sha384:" + 96 * _digit}),
    )
tpm.refuted(
    "for-a-product-of-aws-nitro",
    "fuuuuuu",
    f"document.form fail, document.signature unchecked, document.chain unchecked,"
    f" {_REST}",
    "an instance is no enclave",
    booted(platforms=["aws-nitro"]),
)
tpm.refuted(
    "ground",
    "ppcmmmm",
    "policy.ground fail",
    "AWS makes and runs them all",
    booted(product={"ground": "separate"}),
)

STORIES = (sgx, tpm)
MAKERS: tuple[Callable[..., Any], ...] = tuple(one.family for one in STORIES)
