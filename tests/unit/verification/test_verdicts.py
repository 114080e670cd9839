"""Which checks are required, and what they come to: the table in tests/vectors."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pcrlog.attestation.simulator import Simulator
from pcrlog.bundle import Bundle
from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.errors import UncheckedError, VerificationError
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.policy import Policy
from pcrlog.predicates import Component
from pcrlog.seal import Seal
from pcrlog.verification import Memory, Report
from pcrlog.verification.checks import (
    CHECKS,
    Check,
    CheckStatus,
    Demands,
    Recorder,
    Verdict,
    verdict,
)
from tests.support.memory_log import START, key, witness
from tests.support.scene import (
    BAD,
    DAY,
    GOOD,
    NONCE,
    PRODUCT,
    PROVIDER,
    W1,
    Scene,
    changed,
    document,
    not_passed,
    quorum,
)

TABLE = json.loads(
    (Path(__file__).parents[2] / "vectors" / "tables" / "verdicts.json").read_bytes()
)["cases"]
DEFAULTS = Demands(
    nonce=True,
    channel=False,
    witnesses=True,
    index_monitors=True,
    links=(1, 2),
    components=True,
    archived=False,
    archives=False,
)
STATUSES: tuple[CheckStatus, ...] = ("pass", "unchecked", "fail")


def demands(policy: Mapping[str, Any], mode: str) -> Demands:
    """What a row's policy demands, over the defaults."""
    wanted = {
        "nonce": policy.get("nonce", "required") == "required",
        "channel": policy.get("channel", "optional") == "required",
        "witnesses": policy.get("witnesses") != "none",
        "index_monitors": policy.get("index_monitors") != "none",
        "links": tuple(policy.get("links", (1, 2))),
        "components": policy.get("components", "refuse") == "refuse",
        "archives": policy.get("archives", False),
    }
    return changed(DEFAULTS, archived=mode == "archived", **wanted)


def outcome(statuses: Mapping[str, CheckStatus], wanted: Demands) -> Verdict:
    """The verdict where these checks came to that, and all others passed."""
    recorder = Recorder()
    for check in CHECKS:
        recorder.note(check, statuses.get(check, "pass"), "", "")
    return verdict(list(recorder.checks(wanted)), wanted)


def name(row: dict[str, Any]) -> str:
    named = [f"{check} {status}" for check, status in row["checks"].items()]
    named += [f"{k}={v}" for k, v in row.get("policy", {}).items()]
    return ", ".join([*named, row.get("mode", "live")])


@pytest.mark.parametrize("row", TABLE, ids=name)
def test_a_run_comes_to_what_the_table_says(row: dict[str, Any]) -> None:
    wanted = demands(row.get("policy", {}), row.get("mode", "live"))
    assert outcome(row["checks"], wanted) == row["verdict"]


def test_the_table_has_every_check_and_no_other() -> None:
    assert {check for row in TABLE for check in row["checks"]} == set(CHECKS)


def test_the_checks_stand_in_the_order_of_the_protocol() -> None:
    assert (
        " ".join(CHECKS)
        == """policy.valid document.form document.signature document.chain document.time
document.nonce document.debug channel log.signature log.witnesses log.index-monitors
log.freshness log.memory log.seal answers.present answers.proofs entries.inclusion
entries.authority release.match release.valid release.conflict release.version
audits.quorum audits.fails components controls policy.distrust policy.ground
policy.links""".replace("\n", " ")
    )


def every_demand() -> Iterator[Demands]:
    """Each way in which a policy and a mode can be told apart by `require`."""
    flags = (False, True)
    sets: tuple[tuple[int, ...], ...] = (
        (1, 2),
        (3,),
        (4,),
        (5,),
        (6,),
        (7,),
        (1, 2, 3, 4, 5, 6, 7),
        (),
    )
    for links in sets:
        for one in flags:
            for other in flags:
                yield Demands(
                    nonce=one,
                    channel=other,
                    witnesses=one,
                    index_monitors=other,
                    links=links,
                    components=one,
                    archived=other,
                    archives=False,
                )


def required(check: str, status: CheckStatus, wanted: Demands) -> bool:
    """PROTOCOL.md section 4, Required, over again."""
    links, failed = set(wanted.links), status == "fail"
    exceptions = {
        "document.nonce": failed or (wanted.nonce and not wanted.archived),
        "channel": wanted.channel,
        "log.witnesses": wanted.witnesses,
        "log.index-monitors": wanted.index_monitors,
        "log.memory": failed,
        "audits.quorum": bool(links & {3, 4, 7}),
        "components": bool(links & {5, 6}) or (failed and wanted.components),
        "controls": failed or 7 in links,
    }
    return exceptions.get(check, True)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_is_required_as_the_protocol_says(check: str) -> None:
    for wanted, status in product(every_demand(), STATUSES):
        assert wanted.require(check, status) is required(check, status, wanted)


@pytest.mark.parametrize("check", CHECKS)
def test_one_check_decides_only_if_it_is_required(check: str) -> None:
    verdicts: dict[CheckStatus, Verdict] = {
        "pass": "verified",
        "unchecked": "unchecked",
        "fail": "refuted",
    }
    for wanted, status in product(every_demand(), STATUSES):
        live = changed(wanted, archived=False)
        decides = live.require(check, status)
        expected = verdicts[status] if decides else "verified"
        assert outcome({check: status}, live) == expected


def test_a_fail_outweighs_all_that_could_not_be_checked() -> None:
    statuses: dict[str, CheckStatus] = dict.fromkeys(CHECKS, "unchecked")
    assert outcome(statuses, DEFAULTS) == "unchecked"
    assert outcome({**statuses, "release.valid": "fail"}, DEFAULTS) == "refuted"


def test_an_archived_document_is_never_verified_unless_the_policy_has_archives() -> (
    None
):
    archived = changed(DEFAULTS, archived=True)
    assert outcome({}, archived) == "unchecked"
    assert outcome({}, changed(archived, archives=True)) == "verified"
    assert outcome({"document.time": "fail"}, archived) == "refuted"


def test_a_check_that_nobody_recorded_is_unchecked() -> None:
    checks = list(Recorder().checks(DEFAULTS))
    assert [check.id for check in checks] == list(CHECKS)
    assert {check.status for check in checks} == {"unchecked"}
    assert verdict(checks, DEFAULTS) == "unchecked"
    for check in CHECKS:
        recorder = Recorder()
        for other in CHECKS:
            if other != check:
                recorder.note(other, "pass", "", "")
        wanted = changed(DEFAULTS, channel=True, links=tuple(range(1, 8)))
        came_to = verdict(list(recorder.checks(wanted)), wanted)
        assert came_to == ("verified" if check == "log.memory" else "unchecked")


def test_of_several_outcomes_of_a_check_the_worst_stays() -> None:
    for first, second in product(STATUSES, repeat=2):
        recorder = Recorder()
        recorder.note("channel", first, "first", "")
        recorder.note("channel", second, "second", "")
        worst = max(first, second, key=STATUSES.index)
        assert recorder.status("channel") == worst
        [check] = [one for one in recorder.checks(DEFAULTS) if one.id == "channel"]
        wanted = "second" if second == worst != first else "first"
        assert check == Check("channel", worst, False, wanted, "")  # noqa: FBT003 - a record


def test_all_and_any_look_at_the_checks_that_they_are_asked_about() -> None:
    recorder = Recorder()
    recorder.note("channel", "pass", "", "")
    recorder.note("log.seal", "fail", "", "")
    assert recorder.all(["channel"])
    assert not recorder.all(["channel", "log.seal"])
    assert not recorder.all(["channel", "controls"])
    assert recorder.any(["channel", "log.seal"], "fail")
    assert not recorder.any(["channel"], "fail")
    assert recorder.any(["controls"], "unchecked")


# --- one thing wrong, end to end ------------------------------------------------------

Wrong = Callable[[Scene], Report]
NotPassed = dict[str, CheckStatus]


def unchecked(*checks: str) -> NotPassed:
    return dict.fromkeys(checks, "unchecked")


def failed(*checks: str) -> NotPassed:
    return dict.fromkeys(checks, "fail")


RELEASE = 7
"""The index of the release in the scene."""
ZERO = dict.fromkeys(("PCR0", "PCR1", "PCR2"), "sha384:" + "00" * 48)


def given(**changes: Any) -> Wrong:
    """Another argument of `verify`."""
    return lambda scene: scene.report(**changes)


def ruled(**changes: Any) -> Wrong:
    """Another policy."""
    return lambda scene: scene.report(policy=scene.policy(**changes))


def told(change: Callable[[Bundle], Bundle], policy: Policy | None = None) -> Wrong:
    """Another bundle."""

    def wrong(scene: Scene) -> Report:
        inputs = scene.inputs(policy=policy)
        return inputs.tampered(change(inputs.parsed))

    return wrong


def after(say: Callable[[Scene], object], **rules: Any) -> Wrong:
    """Something more was said, and perhaps more is demanded."""

    def wrong(scene: Scene) -> Report:
        say(scene)
        return scene.report(policy=scene.policy(product=rules))

    return wrong


def without(prefix: str) -> Callable[[Bundle], Bundle]:
    """The bundle lacks the answers to these keys."""

    def change(bundle: Bundle) -> Bundle:
        answers = {k: a for k, a in bundle.answers.items() if not k.startswith(prefix)}
        assert len(answers) < len(bundle.answers)
        return changed(bundle, answers=answers)

    return change


def one_index_more(bundle: Bundle) -> Bundle:
    key = f"v1/identity/{PROVIDER}"
    answer = bundle.answers[key]
    more = changed(answer, indices=(*answer.indices, 2))
    return changed(bundle, answers={**bundle.answers, key: more})


def another_path(bundle: Bundle) -> Bundle:
    moved = changed(bundle.entries[1], proof=bundle.entries[2].proof)
    return changed(bundle, entries={**bundle.entries, 1: moved})


def signed_by_nobody(bundle: Bundle) -> Bundle:
    note = UnverifiedNote.parse(bundle.note)
    return changed(bundle, note=bytes(UnverifiedNote(note.text, note.lines[1:])))


def sealed(**how: Any) -> Wrong:
    """The log seals in another way."""

    def wrong(scene: Scene) -> Report:
        scene.seal(**how)
        return scene.report()

    return wrong


def sealed_again(scene: Scene, time: int) -> Report:
    """A seal that is older than its cosignatures."""
    scene.seal(leaf=Seal(len(scene.log.leaves), time, scene.log.index_root()).encode())
    return scene.report()


def fork(scene: Scene) -> Report:
    """The log once showed something else of the same size."""
    other = Scene()
    while len(other.log.leaves) < len(scene.log.leaves):
        other.release(f"9.{len(other.log.leaves)}.0")
    return scene.report(memory=Memory(other.seal()))


def after_that(scene: Scene, now: int) -> Report:
    scene.log.revoke(PROVIDER, "withdrawn", RELEASE)
    return scene.report(now=now, attestation=document(time=now))


def unreadable(scene: Scene) -> None:
    """A statement of a later type about the measurement."""
    entry = scene.log.entries[scene.release("2.0.0")]
    payload = entry.envelope.payload.replace(b"release:v1", b"release:v2")
    scene.log.append(sign_envelope(payload, [key(PROVIDER)]), force=True)


def by_a_stranger(scene: Scene) -> None:
    scene.release("2.0.0", by=key("stranger"), force=True)


def revoke_part(scene: Scene) -> None:
    [index] = scene.log.index["v1/product/parts.example/sidecar"]
    scene.log.revoke("parts.example", "vulnerable", index)


def circle(scene: Scene) -> None:
    part = Component("parts.example/round", "0f" * 32)
    scene.part(part.product, part.sha256, components=(part,))
    scene.release("2.0.0", components=(part,))


LATER = START + 2 * DAY
BAD_SIGNATURE = document()[:-1] + bytes([document()[-1] ^ 1])
FOREIGN = Simulator(b"foreign").document(time=1000 * START, registers={}, nonce=NONCE)
OLD = document(time=START - 301, nonce=None)
NOT_REACHED = unchecked(*CHECKS[14:22], "audits.fails", "policy.distrust")
"""Without a document, or without a log."""
NO_LOG = NOT_REACHED | unchecked(*CHECKS[9:12], "log.seal", "policy.links")
INCOMPLETE = unchecked(
    "release.valid",
    "release.conflict",
    "release.version",
    "audits.fails",
    "policy.links",
)
"""What cannot pass while the answers are not known to be all."""
NO_RELEASE = unchecked("release.valid", "release.conflict", "policy.links")
ALL_LINKS = {"links": list(range(1, 8))}

ROWS: dict[str, tuple[Wrong, NotPassed, int]] = {
    "nothing": (given(), {}, 0),
    "nothing, of seven links": (ruled(product=ALL_LINKS), {}, 0),
    "the policy ran out": (
        ruled(head={"valid_until": format_time(START)}),
        unchecked("policy.valid"),
        3,
    ),
    "not a document": (
        given(attestation=b"\x84nonsense"),
        NOT_REACHED | unchecked(*CHECKS[2:7]) | failed("document.form", "policy.links"),
        4,
    ),
    "a broken signature": (
        given(attestation=BAD_SIGNATURE),
        NOT_REACHED
        | unchecked(*CHECKS[3:7])
        | failed("document.signature", "policy.links"),
        4,
    ),
    "another root": (
        given(attestation=FOREIGN),
        NOT_REACHED
        | unchecked(*CHECKS[4:7])
        | failed("document.chain", "policy.links"),
        4,
    ),
    "an old document": (
        given(attestation=OLD, nonce=None),
        unchecked("document.nonce") | failed("document.time", "policy.links"),
        4,
    ),
    "our clock is off": (
        given(now=START + 301),
        unchecked("document.time", "policy.links"),
        3,
    ),
    "no nonce sent": (
        given(nonce=None),
        unchecked("document.nonce", "policy.links"),
        3,
    ),
    "another nonce": (given(nonce=b"?"), failed("document.nonce", "policy.links"), 4),
    "debug mode": (
        lambda scene: scene.report(ZERO, attestation=document(debug=True)),
        NO_RELEASE | failed("document.debug", "release.match", "policy.links"),
        4,
    ),
    "no channel": (
        ruled(product={"channel": "required"}),
        unchecked("channel", "policy.links"),
        3,
    ),
    "no bundle": (given(bundle=None), NO_LOG | unchecked("log.signature"), 3),
    "a bundle of a log that is not the policy's": (
        ruled(log={"vkey": str(NoteSigner("other.example/log", bytes(32)).public)}),
        NO_LOG | unchecked("log.signature"),
        3,
    ),
    "the log's signature line is gone": (
        told(signed_by_nobody),
        NO_LOG | failed("log.signature"),
        4,
    ),
    "a witness too few": (
        ruled(log={"witnesses": quorum(2, W1, witness("w3.example"))}),
        INCOMPLETE | unchecked("log.witnesses"),
        3,
    ),
    "an index monitor too few": (
        ruled(log={"index_monitors": quorum(1, witness("m2.example"))}),
        INCOMPLETE | unchecked("log.index-monitors"),
        3,
    ),
    "an old seal": (
        lambda scene: sealed_again(scene, START - DAY - 1),
        INCOMPLETE | unchecked("log.freshness"),
        3,
    ),
    "all is old": (
        given(now=LATER, attestation=document(time=LATER)),
        INCOMPLETE | unchecked("log.witnesses", "log.index-monitors", "log.freshness"),
        3,
    ),
    "another history remembered": (fork, INCOMPLETE | failed("log.memory"), 4),
    "a seal of a later version": (
        sealed(leaf=b"pcrlog/seal/v2\nwhatever\n"),
        NO_LOG,
        3,
    ),
    "no seal at the end": (
        sealed(leaf=b"nonsense"),
        NO_LOG | failed("log.seal"),
        4,
    ),
    "a seal that miscounts": (
        sealed(leaf=Seal(5, START, bytes(32)).encode()),
        NO_LOG | failed("log.seal"),
        4,
    ),
    "a seal of another index": (
        sealed(root=bytes(32)),
        INCOMPLETE
        | unchecked("entries.authority", "release.match")
        | failed("answers.proofs"),
        4,
    ),
    "an answer is missing": (
        told(without("v1/by/registrar/aws-nitro/")),
        INCOMPLETE | unchecked("answers.present"),
        3,
    ),
    "an answer is missing, seven links demanded": (
        lambda scene: told(
            without("v1/by/registrar/aws-nitro/"), scene.policy(product=ALL_LINKS)
        )(scene),
        INCOMPLETE
        | unchecked("answers.present", "audits.quorum", "components", "controls"),
        3,
    ),
    "an answer has an index more": (
        told(one_index_more),
        INCOMPLETE
        | unchecked("entries.authority", "release.match")
        | failed("answers.proofs"),
        4,
    ),
    "an entry is not where it should be": (
        told(another_path),
        INCOMPLETE
        | unchecked("entries.authority", "release.match")
        | failed("entries.inclusion"),
        4,
    ),
    "a statement of a later type": (
        after(unreadable),
        INCOMPLETE | unchecked("entries.authority"),
        3,
    ),
    "a statement by a stranger": (
        after(by_a_stranger),
        INCOMPLETE | failed("entries.authority"),
        4,
    ),
    "an image that nobody released": (
        lambda scene: scene.report(BAD),
        NO_RELEASE | failed("release.match", "policy.links"),
        4,
    ),
    "an image that nobody released, and answers missing": (
        given(attestation=document(BAD)),
        INCOMPLETE | unchecked("answers.present", "release.match"),
        3,
    ),
    "withdrawn": (
        after(lambda scene: scene.log.revoke(PROVIDER, "withdrawn", RELEASE)),
        failed("release.valid", "policy.links"),
        4,
    ),
    "withdrawn, and all is old": (
        lambda scene: after_that(scene, LATER),
        unchecked("release.conflict", "release.version", "audits.fails")
        | unchecked("log.witnesses", "log.index-monitors", "log.freshness")
        | failed("release.valid", "policy.links"),
        4,
    ),
    "another build of the same version": (
        after(lambda scene: scene.release(image=BAD)),
        failed("release.conflict", "policy.links"),
        4,
    ),
    "below the lowest version": (
        ruled(product={"lowest_version": "1.4.3"}),
        failed("release.version", "policy.links"),
        4,
    ),
    "an auditor too few": (
        ruled(product={"links": [1, 2, 3], "counts": {"reproduction": 2}}),
        failed("audits.quorum", "policy.links"),
        4,
    ),
    "a failed reproduction": (
        after(lambda scene: scene.reproduce(result="fail")),
        failed("audits.fails", "policy.links"),
        4,
    ),
    "a failed controls review": (
        after(lambda scene: scene.review_controls(RELEASE, result="fail")),
        failed("audits.fails", "controls", "policy.links"),
        4,
    ),
    "a component that is vulnerable": (after(revoke_part), failed("components"), 4),
    "a component that is vulnerable, only to be reported": (
        after(revoke_part, components="report"),
        {},
        0,
    ),
    "components in a circle": (
        after(circle, components="report"),
        INCOMPLETE | unchecked("answers.present"),
        3,
    ),
    "a measurement that the policy distrusts": (
        ruled(head={"distrust": {"measurements": [f"aws-nitro/PCR0={GOOD['PCR0']}"]}}),
        failed("release.valid", "policy.distrust", "policy.links"),
        4,
    ),
    "one maker and operator, where two are demanded": (
        ruled(product={"ground": "separate"}),
        failed("policy.ground"),
        4,
    ),
    "no document, where two are demanded": (
        lambda scene: scene.report(
            policy=scene.policy(product={"ground": "separate"}), attestation=b""
        ),
        NOT_REACHED
        | unchecked(*CHECKS[2:7], "policy.ground")
        | failed("document.form", "policy.links"),
        4,
    ),
    "a newer release that names no source": (
        after(lambda scene: scene.release("2.0.0", source=None), links=[1, 2, 3]),
        failed("audits.quorum", "policy.links"),
        4,
    ),
}


@cache
def ran(name: str) -> Report:
    """The report of a row, over a release of which all seven links are proven."""
    scene = Scene()
    assert scene.complete() == RELEASE
    return ROWS[name][0](scene)


@pytest.mark.parametrize("name", ROWS)
def test_what_is_wrong_is_named_and_nothing_else(name: str) -> None:
    _, expected, exit_code = ROWS[name]
    report = ran(name)
    assert not_passed(report) == expected
    assert report.exit_code == exit_code


def test_every_outcome_of_the_table_happens_in_a_run() -> None:
    wanted = {
        (check, status) for row in TABLE for check, status in row["checks"].items()
    }
    happened = {(check.id, check.status) for name in ROWS for check in ran(name).checks}
    assert wanted <= happened


def test_the_headline_names_a_check_that_was_made_and_decided() -> None:
    for name in ROWS:
        report = ran(name)
        if report.exit_code:
            word = {3: "COULD NOT CHECK", 4: "REFUTED"}[report.exit_code]
            start, check, words = report.headline.split(": ", 2)
            assert start == word
            assert check in not_passed(report)
            assert words != "not reached"


def test_a_report_gives_the_enclave_away_only_if_it_is_verified() -> None:
    for name in ROWS:
        report = ran(name)
        if report.exit_code == 0:
            assert report.verified().product == PRODUCT
        else:
            error = {3: UncheckedError, 4: VerificationError}[report.exit_code]
            with pytest.raises(error):
                report.verified()
