"""What could go wrong, and who notices: each row of the table in PROTOCOL.md section 5.

Here is what a verifier notices by itself. What needs a second machine (monitors,
witnesses that talk to each other, a server under load) is said with each test, and left
to the tests of these programs. A test is named after its row: who, and does what.
"""

from dataclasses import replace

import pytest

from pcrlog import index_keys, trie
from pcrlog.bundle import Answer
from pcrlog.errors import VerificationError
from pcrlog.index_keys import by
from pcrlog.merkle import prove_prefix
from pcrlog.note import NoteSigner
from pcrlog.predicates import Binding
from pcrlog.seal import Seal
from pcrlog.verification import Memory
from tests.support.memory_log import START, MemoryLog, active, key, registers
from tests.support.scene import (
    BAD,
    DAY,
    GOOD,
    HOUR,
    LAB,
    M1,
    PRODUCT,
    PROVIDER,
    W1,
    W2,
    Inputs,
    Scene,
    changed,
    compromise,
    document,
    found,
    ladder,
    link,
    not_passed,
    status,
)

BACK_DOOR = registers("back door")
BY_PROVIDER = by(PROVIDER, "aws-nitro", f"PCR0={GOOD['PCR0']}")
THIEF = key("thief")
SPARE = key("acme.example, the spare key")


def split_view(*cosigners: NoteSigner) -> Inputs:
    """A revoked release, and what the log shows to one user instead: no revocation.

    `cosigners` are those who cosign whatever they are shown.
    """
    victim = Scene()
    victim.release()
    victim.log.witnesses = list(cosigners)
    # As large as the log that all others see.
    victim.log.enroll("filler.example", "auditor")
    return victim.inputs()


def true_log() -> Scene:
    """What everybody else sees."""
    scene = Scene()
    index = scene.release()
    scene.log.revoke(PROVIDER, "compromised", index)
    return scene


# --- the log --------------------------------------------------------------------------


def test_log_shows_another_tree_to_one_user() -> None:
    """The witness quorum does not cosign it; who remembers the true one sees a fork.

    Left to others: monitors compare witnesses, each other and handed-in checkpoints.
    """
    assert true_log().report().exit_code == 4
    alone = split_view().report()
    assert not_passed(alone)["log.witnesses"] == "unchecked"
    assert alone.exit_code == 3
    one_fooled = split_view(W1, M1).report()
    assert not_passed(one_fooled)["log.witnesses"] == "unchecked"
    assert one_fooled.exit_code == 3
    remembered = split_view(W1, W2, M1).report(memory=Memory(true_log().seal()))
    assert not_passed(remembered)["log.memory"] == "fail"
    assert remembered.exit_code == 4


def test_log_hides_a_revocation() -> None:
    """From an index whose root is true: no proof can be made that leads to it."""
    scene = true_log()
    inputs = scene.inputs()
    answer = inputs.parsed.answers[BY_PROVIDER]
    assert len(answer.indices) == 2
    shortened = Answer(answer.indices[:1], answer.proof)
    answers = {**inputs.parsed.answers, BY_PROVIDER: shortened}
    report = inputs.tampered(changed(inputs.parsed, answers=answers))
    assert not_passed(report)["answers.proofs"] == "fail"
    assert report.exit_code == 4


def test_log_hides_a_revocation_in_a_seal_with_a_wrong_root() -> None:
    """The index quorum refuses the seal; without it, nothing could be checked.

    Left to others: an index monitor recomputes the root of every seal. What it would
    find here for ever: a seal whose root is not that of the leaves before it.
    """
    scene = true_log()
    true_root = scene.log.index_root()
    indices = scene.log.index[BY_PROVIDER]
    scene.log.index[BY_PROVIDER] = indices[:1]
    scene.log.witnesses = [W1, W2]  # They only see that the log grows.
    report = scene.report()
    assert not_passed(report)["log.index-monitors"] == "unchecked"
    assert report.exit_code == 3
    waived = scene.report(policy=scene.policy(log={"index_monitors": "none"}))
    assert waived.exit_code == 0, "this is what the index quorum is for"
    recomputed = trie.MemoryTrie()
    scene.log.index[BY_PROVIDER] = indices
    values = {
        index_keys.key_hash(name): trie.value_of(found_there)
        for name, found_there in scene.log.index.items()
    }
    recomputed.update(values)
    assert recomputed.root == true_root
    assert Seal.parse(scene.log.leaves[-1]).root != recomputed.root


def test_log_goes_quiet_and_hands_out_old_bundles() -> None:
    """Seal and cosignatures have their times; how old they may be, the policy says."""
    scene = Scene()
    index = scene.release()
    old = scene.inputs()
    scene.log.now += HOUR
    scene.log.revoke(PROVIDER, "compromised", index)
    now = START + DAY + 1
    report = old.report(now=now, attestation=document(time=now))
    assert not_passed(report)["log.freshness"] == "unchecked"
    assert not_passed(report)["log.witnesses"] == "unchecked"
    assert report.exit_code == 3
    hours = scene.policy(log={"max_age": "1h"})
    now = START + HOUR + 1
    report = old.report(now=now, attestation=document(time=now), policy=hours)
    assert report.exit_code == 3


def test_log_or_anyone_replays_statements_from_another_log() -> None:
    other = MemoryLog("second.example/log")
    other.enroll(PROVIDER, "provider")
    leaf = other.leaves[other.release(PRODUCT, "1.4.2", GOOD)]
    scene = Scene()
    with pytest.raises(VerificationError, match=r"is made for the log second\.example"):
        scene.log.append(leaf)
    scene.log.append(leaf, force=True)
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "fail"
    assert report.exit_code == 4


def test_log_or_anyone_replays_old_identities() -> None:
    """The identity from before a key was retired, put into the log once more."""
    scene = Scene()
    scene.release()
    first = scene.log.index[f"v1/identity/{PROVIDER}"][0]
    rows = active(SPARE)
    signers = [scene.log.enrol, key(PROVIDER)]
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"])
    with pytest.raises(VerificationError, match="previous is"):
        scene.log.append(scene.log.leaves[first])
    scene.log.append(scene.log.leaves[first], force=True)
    report = scene.report()
    assert not_passed(report)["entries.authority"] == "fail"
    assert report.exit_code == 4


def test_log_or_anyone_replays_a_statement_under_another_signature() -> None:
    """One payload stands once: a second leaf with it counts for nothing."""
    scene = Scene()
    rows = active(key(PROVIDER), SPARE)
    signers = [scene.log.enrol, key(PROVIDER)]
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"])
    index = scene.release()
    compromise(scene, PROVIDER, since=index)
    scene.resign(scene.log.entries[index], SPARE)
    report = scene.report()
    assert not_passed(report)["release.valid"] == "fail"
    assert report.exit_code == 4


# --- the registrar --------------------------------------------------------------------


def test_registrar_adds_a_key_to_a_provider() -> None:
    """Flagged in every report, and it never satisfies a pin.

    Left to others: `key-change` in the provider's monitor; every enrolment is public.
    """
    scene = Scene()
    scene.release()
    rows = active(key(PROVIDER), THIEF)
    scene.log.identify(PROVIDER, rows, [scene.log.enrol], roles=["provider"])
    index = scene.release("1.4.3", BACK_DOOR, by=THIEF)
    flagged = scene.report(BACK_DOOR)
    assert any(
        remark.startswith(f"entry {index} is signed by a key of {PROVIDER}")
        for remark in flagged.remarks
    )
    pins = scene.policy(product={"pins": {PROVIDER: [key(PROVIDER).public.keyid]}})
    report = scene.report(BACK_DOOR, policy=pins)
    assert not_passed(report)["release.valid"] == "fail"
    assert report.exit_code == 4
    assert scene.report(policy=pins).exit_code == 0


# --- a thief of a provider's key ------------------------------------------------------


def test_thief_of_a_providers_key_releases_a_back_door() -> None:
    """Auditors that the policy demands have not seen it, whatever source it names.

    Left to others: `unexpected-release` in the provider's monitor.
    """
    scene = Scene()
    scene.release()
    scene.reproduce()
    scene.release("1.4.3", BACK_DOOR)
    assert scene.report(BACK_DOOR).exit_code == 0, "without auditors nobody notices"
    demanding = scene.policy(product={"links": [1, 2, 3]})
    report = scene.report(BACK_DOOR, policy=demanding)
    assert not_passed(report)["audits.quorum"] == "fail"
    assert report.exit_code == 4
    assert scene.report(policy=demanding).exit_code == 0


def test_thief_of_a_providers_key_relabels_an_old_build() -> None:
    """A measurement counts as the lowest version that it was ever released under."""
    scene = Scene()
    scene.release("1.0.0")
    scene.release("1.5.0", BAD)
    scene.release("1.6.0")
    report = scene.report(policy=scene.policy(product={"lowest_version": "1.4.0"}))
    assert report.version == "1.6.0"
    assert not_passed(report)["release.version"] == "fail"
    assert "counts as 1.0.0" in found(report, "release.version")
    assert report.exit_code == 4


@pytest.mark.parametrize("said", ["a revocation", "a fail"])
def test_thief_of_a_providers_key_unrevokes_by_compromise(said: str) -> None:
    """Revocations and fails outlive their keys; measurements are revoked for good."""
    scene = Scene()
    name = {"a revocation": PROVIDER, "a fail": LAB}[said]
    role = {"a revocation": "provider", "a fail": "auditor"}[said]
    signers = [scene.log.enrol, key(name)]
    scene.log.identify(name, active(key(name), SPARE), signers, roles=[role])
    index = scene.release(by=SPARE if name == PROVIDER else None)
    if said == "a revocation":
        made = scene.log.revoke(PROVIDER, "vulnerable", index)
    else:
        made = scene.reproduce(result="fail")
    assert scene.report().exit_code == 4
    compromise(scene, name, since=0)
    assert scene.log.authority.is_void(scene.log.entries[made])
    scene.release("1.5.0", by=SPARE if name == PROVIDER else None)
    report = scene.report()
    assert link(report, 2) == "failed"
    assert report.exit_code == 4


def test_thief_of_a_providers_key_revokes_everything() -> None:
    """It stands: build anew. The registrar gives the name a key that nobody stole."""
    scene = Scene()
    signers = [scene.log.enrol, key(PROVIDER)]
    rows = active(key(PROVIDER), SPARE)
    scene.log.identify(PROVIDER, rows, signers, roles=["provider"])
    index = scene.release()
    stolen = scene.log.revoke(PROVIDER, "compromised", index)
    compromise(scene, PROVIDER, since=stolen)
    scene.release("1.4.3", by=SPARE)
    assert scene.report().exit_code == 4
    anew = registers("built anew")
    scene.release("1.4.4", anew, by=SPARE)
    assert scene.report(anew).exit_code == 0


# --- the provider ---------------------------------------------------------------------


def test_provider_ships_another_build_under_an_audited_version() -> None:
    scene = Scene()
    scene.release()
    scene.reproduce()
    scene.review()
    assert scene.demand(1, 2, 3, 4).exit_code == 0
    scene.release("1.4.2", BACK_DOOR)
    for image in (GOOD, BACK_DOOR):
        report = scene.report(image)
        assert not_passed(report)["release.conflict"] == "fail"
        assert report.exit_code == 4
    # And an audit speaks of its registers: it is not the back door's in any case.
    assert link(scene.report(BACK_DOOR), 3) == "claimed"


def test_provider_leaves_out_a_sidecar() -> None:
    """`components` absent is missing, not fine; and `[]` is only what they say."""
    scene = Scene()
    scene.release()
    scene.reproduce()
    assert ladder(scene.report())[4:6] == "mm"
    assert scene.demand(1, 2, 5).exit_code == 4
    scene.release("1.4.3", components=())
    assert ladder(scene.report())[4:6] == "cc"
    assert scene.demand(1, 2, 5).exit_code == 4


# --- the enclave's operator -----------------------------------------------------------


@pytest.fixture
def released() -> Scene:
    scene = Scene()
    scene.release(binding=Binding("public_key", "raw-key"))
    return scene


def test_enclave_operator_hands_over_an_old_document(released: Scene) -> None:
    """Of before our question: it has no nonce of ours, and its time is over."""
    old = document(time=START - DAY, nonce=b"somebody else's")
    report = released.report(attestation=old)
    assert not_passed(report)["document.nonce"] == "fail"
    assert not_passed(report)["document.time"] == "fail"
    assert report.exit_code == 4
    optional = released.policy(platform={"nonce": "optional"})
    report = released.report(attestation=old, nonce=None, policy=optional)
    assert not_passed(report)["document.time"] == "fail"
    assert report.exit_code == 4


def test_enclave_operator_runs_the_image_in_debug_mode(released: Scene) -> None:
    report = released.report(attestation=document(debug=True))
    assert not_passed(report)["document.debug"] == "fail"
    assert report.exit_code == 4


def test_enclave_operator_runs_another_image(released: Scene) -> None:
    report = released.report(BACK_DOOR)
    assert not_passed(report)["release.match"] == "fail"
    assert report.exit_code == 4


def test_enclave_operator_relays_to_a_genuine_enclave(released: Scene) -> None:
    """Our connection ends at the operator, whose key no genuine enclave names."""
    genuine = document(public_key=b"the enclave's key")
    required = released.policy(product={"channel": "required"})
    ours = {"raw-key": b"the enclave's key"}
    theirs = {"raw-key": b"the operator's key"}
    direct = released.report(attestation=genuine, binding=ours, policy=required)
    assert direct.exit_code == 0
    relayed = released.report(attestation=genuine, binding=theirs, policy=required)
    assert not_passed(relayed)["channel"] == "unchecked"
    assert relayed.exit_code == 3
    lenient = released.report(attestation=genuine, binding=theirs)
    assert any("an enclave like this one" in one for one in lenient.remarks)


def test_enclave_operator_drops_parts_of_a_bundle() -> None:
    """The verifier derives what must be answered, and misses what is not."""
    scene = true_log()
    inputs = scene.inputs()
    assert inputs.report().exit_code == 4
    bundle = inputs.parsed
    for name in bundle.answers:
        answers = {k: a for k, a in bundle.answers.items() if k != name}
        report = inputs.tampered(changed(bundle, answers=answers))
        assert status(report, "answers.present") == "unchecked"
        assert report.exit_code != 0
    for index in bundle.entries:
        entries = {i: e for i, e in bundle.entries.items() if i != index}
        report = inputs.tampered(changed(bundle, entries=entries))
        assert status(report, "answers.present") == "unchecked"
        assert report.exit_code != 0


# --- anyone enrolled ------------------------------------------------------------------


def test_anyone_enrolled_floods() -> None:
    """Keys are scoped by who speaks: nobody can fill another's answers.

    Left to others: admission's limits, and 429.
    """
    scene = Scene()
    scene.release()
    before = scene.inputs()
    scene.log.enroll("flood.example", "auditor", "provider")
    for n in range(50):
        scene.log.now = START + n
        scene.release(f"1.0.{n}", product="flood.example/app")
        scene.log.audit("flood.example", "fuzzing", GOOD, result="fail")
        scene.log.revoke("flood.example", "compromised", len(scene.log.leaves) - 2)
    scene.log.now = START
    after = scene.inputs()
    assert set(after.parsed.answers) == set(before.parsed.answers)
    assert set(after.parsed.entries) == set(before.parsed.entries)
    report = after.report()
    assert report.exit_code == 0
    assert link(report, 2) == "proven"


# --- log and witnesses together -------------------------------------------------------


def test_log_and_witness_quorum_split_one_user_off_for_ever() -> None:
    """No run can tell: only the note that each report carries can, held against others.

    Left to others: `pcrlog-monitor check` takes a handed-in checkpoint.
    """
    report = split_view(W1, W2, M1).report()
    assert report.exit_code == 0
    assert report.checkpoint is not None
    saved = report.checkpoint.note.encode()
    others = true_log().inputs()
    compared = others.report(memory=Memory(saved))
    assert not_passed(compared)["log.memory"] == "fail"
    assert "a fork" in found(compared, "log.memory")
    # An honest log's note, saved as long ago as you like, is no such evidence.
    scene = Scene()
    scene.release()
    honest = scene.seal()
    first = len(scene.log.leaves)
    scene.log.enroll("filler.example", "auditor")
    later = scene.inputs()
    proof = prove_prefix(first, len(scene.log.leaves), scene.log.node)
    memory = Memory(honest, proof)
    assert status(replace(later, memory=memory).report(), "log.memory") == "pass"
