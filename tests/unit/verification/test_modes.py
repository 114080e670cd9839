"""Live and archived, clocks, freshness (PROTOCOL.md section 4, Modes, Freshness)."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from pcrlog.encoding import format_time
from pcrlog.policy import Policy
from pcrlog.seal import Seal
from pcrlog.verification import Report
from tests.support.memory_log import START, MemoryLog, witness
from tests.support.scene import (
    DAY,
    GOOD,
    HOUR,
    LAB,
    LENS,
    M1,
    NONCE,
    PROVIDER,
    SIMULATOR,
    W1,
    W2,
    Inputs,
    Scene,
    document,
    found,
    link,
    not_passed,
    quorum,
    status,
)

AGE, SKEW = 300, 300
"""The defaults: how old a document may be, and how wrong a clock."""
LIFE = 3 * HOUR + 3
"""How long the key of a document lives, from the start of the hour."""


@pytest.fixture(scope="module")
def scene() -> Scene:
    made = Scene()
    made.release()
    return made


@pytest.fixture(scope="module")
def inputs(scene: Scene) -> Inputs:
    return scene.inputs()


# --- every mode -----------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """One way to ask; the document is of START, with our nonce."""

    archived: bool
    nonce: str
    clock: str
    required: bool
    archives: bool
    off: int

    def __str__(self) -> str:
        words = ["archived" if self.archived else "live", f"nonce {self.nonce}"]
        words += [self.clock, "required" if self.required else "optional"]
        words += ["archives"] * self.archives + [f"{self.off} s off"]
        return ", ".join(words)

    @property
    def time(self) -> str:
        """What `document.time` comes to."""
        ours = self.nonce == "ours" and not self.archived
        if self.off <= AGE or (ours and self.clock == "attested"):
            return "pass"
        return "unchecked" if ours else "fail"

    @property
    def nonce_status(self) -> str:
        """What `document.nonce` comes to."""
        return {"ours": "pass", "none": "unchecked", "wrong": "fail"}[self.nonce]

    @property
    def exit_code(self) -> int:
        """What the run comes to."""
        if "fail" in (self.time, self.nonce_status):
            return 4
        lacks = self.time == "unchecked" or (self.archived and not self.archives)
        asks = self.required and not self.archived and self.nonce == "none"
        return 3 if lacks or asks else 0


def modes() -> list[Mode]:
    flags = (False, True)
    nonces, clocks = ("ours", "none", "wrong"), ("local", "attested")
    rest = (flags, flags, (0, AGE + 1))
    return [Mode(*values) for values in product(flags, nonces, clocks, *rest)]


@pytest.mark.parametrize("mode", modes(), ids=str)
def test_a_mode_comes_to_what_the_protocol_says(
    scene: Scene, inputs: Inputs, mode: Mode
) -> None:
    policy = scene.policy(
        head={"clock": mode.clock, "archives": mode.archives},
        platform={"nonce": "required" if mode.required else "optional"},
    )
    nonce = {"ours": NONCE, "none": None, "wrong": b"wrong"}[mode.nonce]
    when = START + mode.off
    report = inputs.report(
        policy=policy,
        nonce=nonce,
        now=START + 2 * HOUR if mode.archived else when,
        at=when if mode.archived else None,
    )
    assert status(report, "document.time") == mode.time
    assert status(report, "document.nonce") == mode.nonce_status
    assert report.exit_code == mode.exit_code
    assert report.archived is mode.archived
    if report.exit_code == 0:
        assert link(report, 1) == "proven"
        # Of an archived document, whose nonce it holds says nothing more.
        blind = mode.nonce == "none" and not mode.archived
        assert len(caveats(report)) == mode.archived + blind


def caveats(report: Report) -> list[str]:
    """What the headline of a verified run holds against it."""
    words = ("as of the time asked about, not now", "without a nonce of ours")
    return [word for word in words if word in report.headline]


def test_a_clock_that_is_off_is_never_called_an_expired_document(
    inputs: Inputs,
) -> None:
    for now in (START - 5 * DAY, START + 5 * DAY, START + 20 * 365 * DAY):
        report = inputs.report(now=now)
        assert status(report, "document.time") == "unchecked"
        assert "set this machine's clock" in found(report, "document.time")
        assert status(report, "document.chain") == "pass"


# --- the document's window ------------------------------------------------------------


def window(scene: Scene, signed: int, **changes: Any) -> str:
    """What `document.time` comes to for a document signed then, without our nonce."""
    report = scene.report(attestation=document(time=signed), nonce=None, **changes)
    came_to = status(report, "document.time")
    assert (link(report, 1) == "failed") is (came_to == "fail")
    return came_to


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        (-AGE - 1, "fail"),
        (-AGE, "pass"),
        (0, "pass"),
        (SKEW, "pass"),
        (SKEW + 1, "fail"),
    ],
)
def test_a_document_is_signed_within_age_and_skew(
    scene: Scene, signed: int, expected: str
) -> None:
    assert window(scene, START + signed) == expected


@pytest.mark.parametrize(
    ("signed", "expected"),
    [(-61, "fail"), (-60, "pass"), (10, "pass"), (11, "fail")],
)
def test_age_and_skew_are_the_policys(scene: Scene, signed: int, expected: str) -> None:
    policy = scene.policy(head={"clock_skew": "10s"}, platform={"max_age": "1m"})
    assert window(scene, START + signed, policy=policy) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [(LIFE, "pass"), (LIFE + SKEW, "pass"), (LIFE + SKEW + 1, "fail")],
)
def test_the_key_of_a_document_has_not_run_out(
    scene: Scene, now: int, expected: str
) -> None:
    """However old the policy lets a document be."""
    policy = scene.policy(platform={"max_age": "1d"})
    came_to = window(scene, START, policy=policy, now=START + now)
    assert came_to == expected


def test_milliseconds_are_rounded_down(scene: Scene) -> None:
    images = {name: bytes.fromhex(d.partition(":")[2]) for name, d in GOOD.items()}
    for more, expected in ((999, "pass"), (1000, "fail")):
        data = SIMULATOR.document(
            time=1000 * (START + SKEW) + more, registers=images, nonce=NONCE
        )
        report = scene.report(attestation=data, nonce=None)
        assert status(report, "document.time") == expected


# --- archived -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archives(scene: Scene) -> Policy:
    return scene.policy(head={"archives": True})


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-SKEW - 1, "fail"),
        (-SKEW, "pass"),
        (AGE, "pass"),
        (AGE + 1, "fail"),
    ],
)
def test_at_replaces_now_for_the_document(
    inputs: Inputs, archives: Policy, at: int, expected: str
) -> None:
    report = inputs.report(policy=archives, nonce=None, now=START + HOUR, at=START + at)
    assert status(report, "document.time") == expected
    assert report.exit_code == (0 if expected == "pass" else 4)


def test_an_archived_document_holds_for_as_long_as_its_evidence(
    scene: Scene, archives: Policy
) -> None:
    """Its key ran out years ago; the log's answers are of today."""
    long_ago = START - 900 * DAY
    report = scene.report(
        attestation=document(time=long_ago), nonce=None, at=long_ago, policy=archives
    )
    assert report.exit_code == 0
    assert "as of the time asked about, not now" in report.headline


def test_an_archived_document_is_never_better_than_unchecked_by_default(
    inputs: Inputs,
) -> None:
    report = inputs.report(at=START)
    assert not_passed(report) == {"policy.links": "unchecked"}
    assert link(report, 1) == "unchecked"
    assert report.exit_code == 3
    assert report.trust_ends_at == 0


def test_an_archived_document_is_refuted_like_any_other(inputs: Inputs) -> None:
    assert inputs.report(at=START, attestation=document(debug=True)).exit_code == 4


def test_freshness_is_not_asked_at_the_archived_time(
    inputs: Inputs, archives: Policy
) -> None:
    """A bundle as old as the document shows nothing of what was revoked since."""
    report = inputs.report(policy=archives, nonce=None, at=START, now=START + 2 * DAY)
    assert status(report, "log.freshness") == "unchecked"
    assert report.exit_code == 3


def test_the_policy_has_to_be_valid_now_not_then(inputs: Inputs, scene: Scene) -> None:
    ends = format_time(START + 1)
    policy = scene.policy(head={"archives": True, "valid_until": ends})
    given: dict[str, Any] = {"policy": policy, "nonce": None, "at": START}
    assert inputs.report(now=START, **given).exit_code == 0
    report = inputs.report(now=START + 1, **given)
    assert not_passed(report) == {"policy.valid": "unchecked"}
    assert report.exit_code == 3


# --- the attested clock ---------------------------------------------------------------


def attested(made: Scene, now: int, **changes: Any) -> Report:
    """A run on a machine whose clock says `now`; the document is of START."""
    head = {"clock": "attested", **changes.pop("head", {})}
    return made.report(
        policy=made.policy(head=head, **changes),
        now=now,
        attestation=document(time=START),
    )


WRONG_CLOCKS = (0, START - 900 * DAY, START + 900 * DAY)


@pytest.mark.parametrize("now", WRONG_CLOCKS)
def test_with_our_nonce_the_attested_time_is_now(scene: Scene, now: int) -> None:
    report = attested(scene, now)
    assert not_passed(report) == {}
    assert report.exit_code == 0


@pytest.mark.parametrize("now", WRONG_CLOCKS)
def test_the_attested_time_is_now_for_the_policy(scene: Scene, now: int) -> None:
    for ends, exit_code in ((START, 3), (START + 1, 0)):
        report = attested(scene, now, head={"valid_until": format_time(ends)})
        assert report.exit_code == exit_code
        assert (status(report, "policy.valid") == "pass") is (exit_code == 0)


@pytest.mark.parametrize("now", WRONG_CLOCKS)
def test_the_attested_time_is_now_for_what_expires(now: int) -> None:
    for expires, exit_code in ((START, 4), (START + 1, 0)):
        made = Scene()
        made.release(expires=format_time(expires))
        assert attested(made, now).exit_code == exit_code


@pytest.mark.parametrize("now", WRONG_CLOCKS)
def test_the_attested_time_is_now_for_revocations_and_audits(now: int) -> None:
    made = Scene()
    first = made.release("1.4.2")
    made.release("1.4.3")
    effective = format_time(START)
    made.log.revoke(PROVIDER, "withdrawn", first + 1, effective=effective)
    made.review(LENS, performed=format_time(START + SKEW))
    report = attested(made, now)
    assert report.version == "1.4.2"
    assert link(report, 4) == "proven"


@pytest.mark.parametrize("now", WRONG_CLOCKS)
def test_the_attested_time_is_now_for_the_log(now: int) -> None:
    made = Scene()
    made.release()
    made.log.now = START - DAY - 1
    report = attested(made, now)
    assert status(report, "log.freshness") == "unchecked"
    assert status(report, "log.witnesses") == "unchecked"


@pytest.mark.parametrize("nonce", [None, b"wrong"])
def test_without_our_nonce_the_local_clock_counts(
    scene: Scene, nonce: bytes | None
) -> None:
    policy = scene.policy(head={"clock": "attested"}, platform={"nonce": "optional"})
    report = scene.report(policy=policy, nonce=nonce, now=START + AGE + 1)
    assert status(report, "document.time") == "fail"
    assert report.exit_code == 4


@pytest.mark.parametrize("nonce", [None, b"", b"wrong"])
def test_a_document_without_our_nonce_sets_no_clock(
    scene: Scene, nonce: bytes | None
) -> None:
    """Else an old one would set it back to before the policy ran out."""
    ends = format_time(START + 1)
    policy = scene.policy(head={"clock": "attested", "valid_until": ends})
    for carried in (NONCE, b""):
        report = scene.report(
            policy=policy,
            attestation=document(nonce=carried),
            nonce=nonce,
            now=START + 2 * DAY,
        )
        assert status(report, "policy.valid") == "unchecked"
        assert status(report, "log.freshness") == "unchecked"


def test_a_document_that_is_not_genuine_sets_no_clock(scene: Scene) -> None:
    policy = scene.policy(
        head={"clock": "attested", "valid_until": format_time(START + 1)}
    )
    forged = document()[:-1] + bytes([document()[-1] ^ 1])
    report = scene.report(policy=policy, attestation=forged, now=START + DAY)
    assert status(report, "policy.valid") == "unchecked"
    assert status(report, "document.signature") == "fail"


def test_an_archived_time_is_not_the_attested_one(scene: Scene) -> None:
    policy = scene.policy(head={"clock": "attested", "archives": True})
    report = scene.report(policy=policy, at=START, now=START + 2 * DAY)
    assert status(report, "log.freshness") == "unchecked"


# --- the policy's end -----------------------------------------------------------------


@pytest.mark.parametrize(("now", "expected"), [(-1, "pass"), (0, "unchecked")])
def test_a_policy_is_valid_before_its_end(
    scene: Scene, inputs: Inputs, now: int, expected: str
) -> None:
    policy = scene.policy(head={"valid_until": format_time(START)})
    report = inputs.report(policy=policy, now=START + now)
    assert status(report, "policy.valid") == expected
    assert report.exit_code == (0 if expected == "pass" else 3)


# --- freshness ------------------------------------------------------------------------


def sealed(at: int, cosigned: int | None = None, **how: Any) -> Scene:
    """A log whose seal says one time, and its cosignatures another."""
    made = Scene()
    made.release()
    made.log.now = at if cosigned is None else cosigned
    root = made.log.index_root()
    leaf = Seal(len(made.log.leaves), at, root, how.get("frozen", False))
    made.seal(leaf=leaf.encode())
    return made


def asked(made: Scene, **changes: Any) -> Report:
    """A run at START."""
    changes.setdefault("attestation", document(time=START))
    return made.report(now=START, **changes)


QUORUMS = ("log.witnesses", "log.index-monitors")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-DAY - 1, "unchecked"),
        (-DAY, "pass"),
        (SKEW, "pass"),
        (SKEW + 1, "unchecked"),
    ],
)
def test_a_seal_is_within_age_and_skew(at: int, expected: str) -> None:
    report = asked(sealed(START + at, START))
    assert status(report, "log.freshness") == expected
    assert report.exit_code == (0 if expected == "pass" else 3)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-DAY - 1, "unchecked"),
        (-DAY, "pass"),
        (SKEW, "pass"),
        (SKEW + 1, "unchecked"),
    ],
)
def test_a_quorum_counts_cosignatures_of_that_window_alone(
    at: int, expected: str
) -> None:
    report = asked(sealed(START, START + at))
    assert [status(report, check) for check in QUORUMS] == [expected] * 2
    assert status(report, "log.freshness") == "pass"
    assert report.exit_code == (0 if expected == "pass" else 3)


def test_the_age_of_a_log_is_the_policys() -> None:
    made = sealed(START - 3601)
    for age, exit_code in (("3601s", 0), ("1h", 3)):
        policy = made.policy(log={"max_age": age})
        assert asked(made, policy=policy).exit_code == exit_code


def test_each_cosignature_has_a_time_of_its_own() -> None:
    made = Scene()
    made.log.witnesses = [W1]
    made.release()
    made.log.now = START - HOUR - 1
    made.seal()
    made.log.now = START
    made.log.cosign(W2, M1)
    assert asked(made).exit_code == 0
    report = asked(made, policy=made.policy(log={"max_age": "1h"}))
    assert status(report, "log.witnesses") == "unchecked"
    assert found(report, "log.witnesses") == "1 recent of 2 cosignatures"
    assert status(report, "log.index-monitors") == "pass"


# --- frozen ---------------------------------------------------------------------------


def until(made: Scene, end: int | None) -> Policy:
    return made.policy(log={} if end is None else {"frozen_until": format_time(end)})


@pytest.mark.parametrize("at", [START, START - 900 * DAY])
def test_a_frozen_log_could_not_be_checked_however_fresh(at: int) -> None:
    made = sealed(at, frozen=True)
    report = asked(made)
    assert status(report, "log.freshness") == "unchecked"
    assert "frozen" in found(report, "log.freshness")
    assert report.exit_code == 3


@pytest.mark.parametrize("at", [START, START - 900 * DAY, START + 900 * DAY])
def test_a_frozen_log_counts_until_frozen_until_whatever_its_times(at: int) -> None:
    made = sealed(at, frozen=True)
    assert asked(made, policy=until(made, START + 1)).exit_code == 0
    report = asked(made, policy=until(made, START))
    assert status(report, "log.freshness") == "unchecked"
    assert report.exit_code == 3


def test_a_frozen_log_still_needs_its_quorums() -> None:
    made = sealed(START - 900 * DAY, frozen=True)
    other = quorum(1, witness("w9.example"))
    log = {"frozen_until": format_time(START + 1), "witnesses": other}
    report = asked(made, policy=made.policy(log=log))
    assert not_passed(report)["log.witnesses"] == "unchecked"


def test_frozen_until_helps_no_log_that_is_not_frozen() -> None:
    made = sealed(START - DAY - 1)
    report = asked(made, policy=until(made, START + DAY))
    assert status(report, "log.freshness") == "unchecked"
    assert [status(report, check) for check in QUORUMS] == ["unchecked"] * 2


# --- several logs ---------------------------------------------------------------------


def test_quorums_are_waived_for_each_log_on_its_own(scene: Scene) -> None:
    """The product may move: what counts is the log that the bundle is of."""
    other = Scene(MemoryLog("second.example/log"))
    for name in (PROVIDER, LAB, LENS):
        other.log.enroll(name, "provider" if name == PROVIDER else "auditor")
    other.release()
    waived = other.log_table(witnesses="none", index_monitors="none")
    policy = scene.policy(logs=[waived])
    for made, wanted in ((scene, True), (other, False)):
        report = made.report(policy=policy)
        assert not_passed(report) == {}
        required = {check.id for check in report.checks if check.required}
        assert required.issuperset(QUORUMS) is wanted
        assert required.isdisjoint(QUORUMS) is not wanted
    assert status(other.report(policy=policy), "log.witnesses") == "unchecked"
