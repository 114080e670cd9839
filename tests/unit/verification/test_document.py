"""The document's side: checks `document.*`, `channel` (PROTOCOL.md section 4)."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pcrlog import limits
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import encode_base64
from pcrlog.errors import UsageError
from pcrlog.predicates import Binding
from pcrlog.verification import Report
from tests.support.memory_log import START
from tests.support.scene import (
    BAD,
    GOOD,
    HOUR,
    NONCE,
    PROVIDER,
    SIMULATOR,
    Inputs,
    Scene,
    document,
    found,
    link,
    not_passed,
    pem,
    status,
)

ZERO = "sha384:" + "00" * 48
FOREIGN = Simulator(b"somebody else's simulator")
DOCUMENT = (
    "document.form",
    "document.signature",
    "document.chain",
    "document.time",
    "document.nonce",
    "document.debug",
)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """A good run: one release, nothing else."""
    scene = Scene()
    scene.release()
    return scene.inputs()


def stops_at(report: Report, check: str) -> None:
    """The check fails, those before it pass, those after it are not made."""
    at = DOCUMENT.index(check)
    assert [status(report, one) for one in DOCUMENT] == (
        ["pass"] * at + ["fail"] + ["unchecked"] * (5 - at)
    )
    assert link(report, 1) == "failed"
    assert report.trust_ends_at == 0
    assert report.exit_code == 4
    assert report.platform is None
    assert (report.public_key, report.user_data) == (None, None)


# --- form -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spell",
    [bytes, lambda d: encode_base64(d).encode(), lambda d: d.hex().encode() + b"\n"],
    ids=["raw", "base64", "hex"],
)
def test_a_document_may_be_raw_base64_or_hex(
    inputs: Inputs, spell: Callable[[bytes], bytes]
) -> None:
    report = inputs.report(attestation=spell(inputs.attestation))
    assert not_passed(report) == {}
    assert link(report, 1) == "proven"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x84",
        b"nonsense",
        b"<html>404</html>",
        document()[:-1],
        document() + b"\0",
        b"\x84" + bytes(limits.ATTESTATION),
    ],
    ids=["empty", "head", "text", "html", "short", "long", "too long"],
)
def test_what_is_no_document_fails_its_form(inputs: Inputs, data: bytes) -> None:
    stops_at(inputs.report(attestation=data), "document.form")


@pytest.mark.parametrize(
    "fields",
    [
        {"digest": "SHA256"},
        {"timestamp": 0},
        {"pcrs": {}},
        {"pcrs": {0: bytes(32)}},
        {"nitrotpm_pcrs": {4: bytes(32)}},
        {"module_id": ""},
        {"certificate": b"nonsense"},
        {"cabundle": ()},
        {"nonce": "text"},
    ],
    ids=str,
)
def test_a_signed_document_of_another_form_fails_its_form(
    inputs: Inputs, fields: dict[str, Any]
) -> None:
    data = SIMULATOR.document(time=1000 * START, registers=GOOD_BYTES, **fields)
    stops_at(inputs.report(attestation=data), "document.form")


GOOD_BYTES = {name: bytes.fromhex(d.partition(":")[2]) for name, d in GOOD.items()}


def test_a_product_that_does_not_attest_has_no_document() -> None:
    scene = Scene()
    policy = scene.policy(
        product={"platforms": ["artifact"]},
        platforms={"artifact": {"roots": ["builtin"]}},
    )
    report = scene.report(policy=policy)
    stops_at(report, "document.form")
    assert found(report, "document.form") == "no platform that attests"


def test_the_first_platform_that_attests_is_the_documents(inputs: Inputs) -> None:
    scene = Scene()
    scene.release()
    policy = scene.policy(
        product={"platforms": ["artifact", "aws-nitro"]},
        platforms={"artifact": {"roots": ["builtin"]}},
    )
    assert scene.report(policy=policy).platform == "aws-nitro"


# --- signature and chain --------------------------------------------------------------


def test_every_part_of_the_signature_counts(inputs: Inputs) -> None:
    for place in (-1, -48, -49, -96):
        data = bytearray(inputs.attestation)
        data[place] ^= 1
        stops_at(inputs.report(attestation=bytes(data)), "document.signature")


def test_what_was_signed_cannot_be_changed(inputs: Inputs) -> None:
    [register] = {GOOD_BYTES["PCR1"]}
    assert inputs.attestation.count(register) == 1
    other = bytes.fromhex(BAD["PCR1"].partition(":")[2])
    data = inputs.attestation.replace(register, other)
    stops_at(inputs.report(attestation=data), "document.signature")


def test_another_root_fails_the_chain(inputs: Inputs) -> None:
    data = FOREIGN.document(time=1000 * START, registers=GOOD_BYTES, nonce=NONCE)
    stops_at(inputs.report(attestation=data), "document.chain")


def test_no_root_is_trusted_that_the_policy_does_not_name() -> None:
    """Also not the simulator's: the builtin root is AWS's alone."""
    scene = Scene()
    policy = scene.policy(platform={"roots": ["builtin"]})
    stops_at(scene.report(policy=policy), "document.chain")


def test_a_policy_may_name_several_roots() -> None:
    scene = Scene()
    scene.release()
    roots = ["builtin", pem(FOREIGN.root_der), pem(SIMULATOR.root_der)]
    policy = scene.policy(platform={"roots": roots})
    assert scene.report(policy=policy).exit_code == 0
    data = FOREIGN.document(time=1000 * START, registers=GOOD_BYTES, nonce=NONCE)
    assert scene.report(policy=policy, attestation=data).exit_code == 0


@pytest.mark.parametrize("root", ["nonsense", pem(b"nonsense")])
def test_a_root_that_is_no_certificate_is_the_policys_fault(root: str) -> None:
    scene = Scene()
    if root == "nonsense":
        with pytest.raises(UsageError, match="a root is one certificate in PEM"):
            scene.policy(platform={"roots": [root]})
    else:
        # It is never reached: no document can end in it.
        policy = scene.policy(platform={"roots": [root]})
        stops_at(scene.report(policy=policy), "document.chain")


@pytest.mark.parametrize(
    ("shift", "passes"),
    [(0, True), (3 * HOUR + 3, True), (3 * HOUR + 4, False), (-1, False)],
)
def test_the_chain_is_judged_at_the_time_that_the_document_names(
    shift: int, *, passes: bool
) -> None:
    """The leaf lives for three hours and three seconds from the start of the hour."""
    scene = Scene()
    scene.release()
    data = SIMULATOR.document(
        time=1000 * START,
        registers=GOOD_BYTES,
        nonce=NONCE,
        timestamp=1000 * (START + shift),
    )
    scene.log.now = START + shift
    report = scene.report(attestation=data)
    if passes:
        assert not_passed(report) == {}
    else:
        stops_at(report, "document.chain")


# --- debug ----------------------------------------------------------------------------


def test_a_document_in_debug_mode_is_refused(inputs: Inputs) -> None:
    report = inputs.report(attestation=document(debug=True))
    assert status(report, "document.debug") == "fail"
    assert link(report, 1) == "failed"
    assert report.exit_code == 4


def test_debug_mode_cannot_be_released() -> None:
    scene = Scene()
    zero = dict.fromkeys(GOOD, ZERO)
    with pytest.raises(Exception, match="debug mode"):
        scene.release(image=zero)


@pytest.mark.parametrize("register", ["PCR0", "PCR1", "PCR2"])
def test_one_register_that_is_not_zero_is_no_debug_mode(register: str) -> None:
    scene = Scene()
    image = dict.fromkeys(GOOD, ZERO) | {register: GOOD[register]}
    scene.release(image=image)
    assert status(scene.report(image), "document.debug") == "pass"


# --- nonce ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carried", "sent", "expected"),
    [
        (NONCE, NONCE, "pass"),
        (NONCE, None, "unchecked"),
        (None, None, "unchecked"),
        (None, NONCE, "fail"),
        (NONCE, NONCE + b"\0", "fail"),
        (NONCE, NONCE[:-1], "fail"),
        (b"", NONCE, "fail"),
        (b"", b"", "unchecked"),
        (NONCE, b"", "unchecked"),
    ],
)
def test_a_nonce_is_ours_or_another_or_was_not_sent(
    inputs: Inputs, carried: bytes | None, sent: bytes | None, expected: str
) -> None:
    report = inputs.report(attestation=document(nonce=carried), nonce=sent)
    assert status(report, "document.nonce") == expected
    links = {"pass": "proven", "unchecked": "unchecked", "fail": "failed"}
    assert link(report, 1) == links[expected]


# --- channel --------------------------------------------------------------------------

KEY, OTHER_KEY = b"\x01" * 32, b"\x02" * 32
KINDS = ("tls-spki-sha256", "tls-cert-sha256", "raw-key")
SHOWN: dict[str, dict[str, bytes] | None] = {
    "nothing asked": None,
    "nothing": {},
    "another key of the channel": {"tls-spki-sha256": OTHER_KEY},
    "another certificate": {"tls-cert-sha256": OTHER_KEY},
    "another raw key": {"raw-key": OTHER_KEY},
    "all others": dict.fromkeys(KINDS, OTHER_KEY),
    "less of it": dict.fromkeys(KINDS, KEY[:-1]),
    "empty": dict.fromkeys(KINDS, b""),
}


def connect(
    binding: Binding | None, shown: Mapping[str, bytes] | None, **carried: Any
) -> Report:
    """A run over a connection that shows this, under a policy that demands it."""
    scene = Scene()
    scene.release(binding=binding)
    return scene.report(
        attestation=document(**carried),
        binding=shown,
        policy=scene.policy(product={"channel": "required"}),
    )


@pytest.mark.parametrize("field", ["public_key", "user_data"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_channel_is_bound_if_the_document_names_the_key_that_we_see(
    field: Any, kind: Any
) -> None:
    report = connect(Binding(field, kind), {kind: KEY}, **{field: KEY})
    assert status(report, "channel") == "pass"
    assert not_passed(report) == {}
    assert not any("channel" in remark for remark in report.remarks)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_a_channel_that_shows_another_key_or_none_is_not_bound(
    kind: Any, shown: dict[str, bytes] | None
) -> None:
    report = connect(Binding("public_key", kind), shown, public_key=KEY)
    assert not_passed(report) == {"channel": "unchecked", "policy.links": "unchecked"}
    assert link(report, 1) == "unchecked"
    assert report.exit_code == 3


def test_the_key_counts_as_what_the_release_says_it_is() -> None:
    shown = {"tls-spki-sha256": KEY, "tls-cert-sha256": OTHER_KEY}
    right = connect(Binding("public_key", "tls-spki-sha256"), shown, public_key=KEY)
    wrong = connect(Binding("public_key", "tls-cert-sha256"), shown, public_key=KEY)
    assert (right.exit_code, wrong.exit_code) == (0, 3)


def test_the_key_counts_in_the_field_that_the_release_names() -> None:
    binding = Binding("user_data", "raw-key")
    shown = {"raw-key": KEY}
    assert connect(binding, shown, public_key=KEY).exit_code == 3
    both = connect(binding, shown, public_key=OTHER_KEY, user_data=KEY)
    assert both.exit_code == 0


def test_without_a_binding_in_the_release_no_channel_is_bound() -> None:
    report = connect(None, dict.fromkeys(KINDS, KEY), public_key=KEY, user_data=KEY)
    assert not_passed(report) == {"channel": "unchecked", "policy.links": "unchecked"}


def test_a_channel_that_is_not_bound_is_said_so_but_not_held_against_anyone() -> None:
    scene = Scene()
    scene.release(binding=Binding("public_key", "raw-key"))
    report = scene.report(
        attestation=document(public_key=KEY), binding={"raw-key": OTHER_KEY}
    )
    assert report.exit_code == 0
    assert status(report, "channel") == "unchecked"
    assert link(report, 1) == "proven"
    assert any("an enclave like this one" in remark for remark in report.remarks)


def test_the_binding_is_that_of_the_release_that_the_run_rests_on() -> None:
    scene = Scene()
    index = scene.release("1.5.0", binding=Binding("public_key", "raw-key"))
    scene.release("1.4.2", binding=Binding("user_data", "raw-key"))
    given: dict[str, Any] = {
        "attestation": document(public_key=KEY),
        "binding": {"raw-key": KEY},
    }
    assert status(scene.report(**given), "channel") == "unchecked"
    scene.release("1.6.0", binding=Binding("public_key", "raw-key"))
    assert status(scene.report(**given), "channel") == "pass"
    # Of releases that are all revoked, the newest still says how to look.
    scene.log.revoke(PROVIDER, "vulnerable", index)
    revoked = scene.report(**given)
    assert status(revoked, "channel") == "pass"
    assert revoked.exit_code == 4


def test_what_the_enclave_says_of_itself_is_in_the_report() -> None:
    scene = Scene()
    scene.release()
    data = document(public_key=KEY, user_data=b"\xff")
    report = scene.report(attestation=data)
    assert (report.public_key, report.user_data) == (KEY.hex(), "ff")
    enclave = report.verified()
    assert (enclave.public_key, enclave.user_data) == (KEY, b"\xff")
    assert dict(enclave.registers) == GOOD
