"""`pcrlog verify`: what it is given, what it remembers, how it ends."""

import json
from base64 import b64encode
from collections.abc import Mapping

import pytest

from cli.state import Ending, State
from pcrlog.enclave import Attested
from pcrlog.encoding import sha256
from pcrlog.errors import TransportError, UncheckedError
from pcrlog.evidence import Proven, verify_evidence
from pcrlog.online import auditors_of
from pcrlog.policy import Policy
from pcrlog.predicates import Binding
from tests.support.memory_log import MemoryLog
from tests.support.scene import NONCE, PRODUCT, W1, W2, document, quorum
from tests.unit.cli.world import GOOD, ROGUE, Ran, World, problem

LOG = "--policy policy.toml"
VERIFY = f"verify {LOG} --product {PRODUCT}"
FILE = f"{VERIFY} --attestation doc --nonce {NONCE.hex()}"
URL = f"{VERIFY} --url https://enclave.example/attest"
CERTIFICATE = sha256(b"the enclave's key")


@pytest.fixture
def released(world: World) -> World:
    """A release, a document, and a bundle that holds nothing else."""
    binding = Binding("user_data", "tls-spki-sha256")
    world.scene.release(binding=binding)
    world.log.seal()
    world.write("doc", document(time=world.log.now))
    return world


def report(world: World, *words: str) -> dict[str, object]:
    ran = world.run(*words, "--json")
    found: dict[str, object] = json.loads(ran.out)
    return {**found, "exit": ran.status}


def check(found: Mapping[str, object], name: str) -> str:
    checks = found["checks"]
    assert isinstance(checks, list)
    [status] = [one["status"] for one in checks if one["id"] == name]
    return str(status)


# --- the document --------------------------------------------------------------------


def test_a_live_document_verifies(released: World) -> None:
    found = report(released, FILE)
    assert (found["verdict"], found["exit"]) == ("verified", 0)
    assert found["trust_ends_at"] == 2


@pytest.mark.parametrize("form", ["hex", "base64"])
def test_a_document_may_be_text(released: World, form: str) -> None:
    data = document(time=released.log.now)
    text = data.hex().encode() if form == "hex" else b64encode(data)
    released.write("doc", text + b"\n")
    assert released.run(FILE).status == 0


def test_a_document_with_another_nonce_is_refuted(released: World) -> None:
    ran = released.run(f"{VERIFY} --attestation doc --nonce abcd")
    assert ran.status == 4


def test_without_a_nonce_it_could_not_be_checked(released: World) -> None:
    ran = released.run(f"{VERIFY} --attestation doc")
    assert ran.status == 3
    assert "--nonce HEX" in ran.out


def test_an_archived_document_is_never_more_than_genuine_then(released: World) -> None:
    found = report(released, f"{VERIFY} --attestation doc --at 2026-11-23T07:01:00Z")
    assert (found["verdict"], found["archived"]) == ("unchecked", True)


def test_a_connection_of_ones_own_can_be_told(released: World) -> None:
    released.write_policy(product={"channel": "required"})
    data = document(time=released.log.now, user_data=CERTIFICATE)
    released.write("doc", data)
    assert released.run(FILE).status == 3
    binding = f"--binding tls-spki-sha256:{CERTIFICATE.hex()}"
    assert released.run(FILE, binding).status == 0


def test_a_document_that_is_none_is_refuted_without_asking_the_log(
    released: World,
) -> None:
    released.write("doc", b"hello")
    found = report(released, FILE)
    assert check(found, "document.form") == "fail"
    assert released.asked == []


@pytest.mark.parametrize(
    "words",
    [
        VERIFY,
        f"{FILE} --url https://enclave.example",
        f"{URL} --nonce abcd",
        f"{URL} --at 2026-11-23T07:00:00Z",
        f"{VERIFY} --attestation doc --nonce XY",
        f"{VERIFY} --attestation doc --at yesterday",
        f"{VERIFY} --attestation doc --binding tls:00",
        f"{VERIFY} --attestation missing",
        f"{FILE} --log https://other.example",
        FILE.replace(PRODUCT, "acme.example/other"),
        FILE.replace("policy.toml", "doc"),
        FILE.replace(LOG, ""),
    ],
    ids=range(12),
)
def test_what_makes_no_sense_is_a_usage_error(released: World, words: str) -> None:
    assert released.run(words).status == 2


# --- the enclave ---------------------------------------------------------------------


def enclave(
    world: World,
    patch: pytest.MonkeyPatch,
    shown: bytes | None = CERTIFICATE,
    carried: bytes = CERTIFICATE,
) -> None:
    """An enclave that names one key, over a connection that shows another."""

    def fetch(url: str, nonce: bytes) -> Attested:
        assert url == "https://enclave.example/attest"
        assert len(nonce) == 32
        data = document(time=world.log.now, nonce=nonce, user_data=carried)
        binding = None if shown is None else {"tls-spki-sha256": shown}
        return Attested(data, binding)

    patch.setattr("pcrlog.enclave.fetch_attestation", fetch)


def test_a_fresh_document_over_its_own_connection_verifies(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enclave(released, monkeypatch)
    found = report(released, URL)
    assert found["exit"] == 0
    assert check(found, "channel") == "pass"


def test_a_relay_is_not_verified(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enclave(released, monkeypatch, shown=sha256(b"somebody in the middle"))
    ran = released.run(URL)
    assert ran.status == 3
    assert "somebody may stand between" in ran.out
    assert "--no-channel" not in ran.err


def test_without_tls_the_channel_is_not_bound(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enclave(released, monkeypatch, shown=None)
    ran = released.run(URL)
    assert ran.status == 3
    assert "--no-channel" in ran.err
    assert released.run(URL, "--no-channel").status == 0


def test_no_channel_never_overrides_a_policy_that_requires_it(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released.write_policy(product={"channel": "required"})
    enclave(released, monkeypatch, shown=None)
    assert released.run(URL, "--no-channel").status == 3


def test_an_enclave_that_does_not_answer_could_not_be_checked(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, nonce: bytes) -> Attested:
        message = "no answer"
        raise TransportError(message)

    monkeypatch.setattr("pcrlog.enclave.fetch_attestation", fetch)
    ran = released.run(URL, "--json")
    assert ran.status == 3
    assert json.loads(ran.out) == {"error": "no answer", "exit_status": 3}


# --- the log -------------------------------------------------------------------------


def test_a_bundle_is_verified_without_asking_anybody(released: World) -> None:
    words = f"bundle {LOG} --product {PRODUCT} --measurements good.json -o w"
    assert released.run(words).status == 0
    released.asked.clear()
    assert released.run(FILE, "--bundle w").status == 0
    assert released.asked == []


def test_a_log_that_does_not_answer_could_not_be_checked(released: World) -> None:
    released.lies["api/v1/bundle"] = lambda: problem(500, "internal", "Broken", "")
    found = report(released, FILE)
    assert found["exit"] == 3
    assert check(found, "log.signature") == "unchecked"


def test_a_revocation_refutes(released: World) -> None:
    released.log.revoke("acme.example", "vulnerable", max(released.log.entries))
    released.log.seal()
    assert released.run(FILE).status == 4


def test_the_auditors_of_other_products_are_asked_for_components(
    released: World,
) -> None:
    rules = {
        "platforms": ["aws-nitro"],
        "auditors": [{"name": "part.example", "scopes": ["reproduction"]}],
    }
    released.write_policy(products={"base.example/image": rules})
    policy = Policy.parse((released.folder / "policy.toml").read_bytes())
    assert auditors_of(policy, PRODUCT)[-1] == "part.example"


# --- what is remembered --------------------------------------------------------------


def remembered(world: World) -> int | None:
    """The size of the checkpoint that the state holds."""
    policy = Policy.parse((world.folder / "policy.toml").read_bytes())
    [log] = policy.logs.values()
    memory = State(str(world.folder / "state")).recall(log)
    return None if memory is None else int(memory.note.split(b"\n")[1])


def test_a_live_run_remembers_the_checkpoint(released: World) -> None:
    assert remembered(released) is None
    released.run(FILE)
    assert remembered(released) == len(released.log.leaves)
    assert check(report(released, FILE), "log.memory") == "pass"


def test_a_log_that_grew_is_proven_consistent(released: World) -> None:
    released.run(FILE)
    released.scene.release("1.4.3", ROGUE)
    released.log.seal()
    assert check(report(released, FILE), "log.memory") == "pass"
    assert remembered(released) == len(released.log.leaves)


def test_offline_there_is_no_proof_and_that_is_no_fault(released: World) -> None:
    released.run(FILE)
    released.scene.release("1.4.3", ROGUE)
    released.log.seal()
    words = f"bundle {LOG} --product {PRODUCT} --measurements good.json -o w"
    released.run(words)
    found = report(released, FILE, "--bundle w")
    assert (found["exit"], check(found, "log.memory")) == (0, "unchecked")


def test_an_archived_run_remembers_nothing(released: World) -> None:
    released.run(f"{VERIFY} --attestation doc --at 2026-11-23T07:01:00Z")
    assert remembered(released) is None


def test_a_stale_checkpoint_is_not_remembered(released: World) -> None:
    words = f"bundle {LOG} --product {PRODUCT} --measurements good.json -o w"
    released.run(words)
    released.log.now += 2 * 86_400
    released.write("doc", document(time=released.log.now))
    found = report(released, FILE, "--bundle w")
    assert check(found, "log.freshness") == "unchecked"
    assert remembered(released) is None


def test_a_checkpoint_without_its_quorum_is_not_remembered(released: World) -> None:
    cosigned = {"witnesses": quorum(2, W1, W2), "index_monitors": "none"}
    released.write_policy(log=cosigned)
    assert released.run(FILE).status == 3
    assert remembered(released) is None
    released.log.witnesses = [W1, W2]
    released.log.seal()
    assert released.run(FILE).status == 0
    assert remembered(released) == len(released.log.leaves)


def test_another_quorum_remembers_for_itself(released: World) -> None:
    released.run(FILE)
    released.write_policy(log={"witnesses": quorum(1, W1), "index_monitors": "none"})
    assert remembered(released) is None


def test_an_older_checkpoint_does_not_replace_a_newer_one(released: World) -> None:
    words = f"bundle {LOG} --product {PRODUCT} --measurements good.json -o w"
    released.run(words)
    released.log.seal()
    released.run(FILE)
    size = remembered(released)
    released.run(FILE, "--bundle w")
    assert remembered(released) == size


def another_history(size: int) -> MemoryLog:
    """The same log to somebody else: other leaves from the second on."""
    forked = MemoryLog()
    for name, role in (
        ("acme.example", "provider"),
        ("lens.example", "auditor"),
        ("lab.example", "auditor"),
    ):
        forked.enroll(name, role)
    forked.seal()
    forked.release(PRODUCT, "1.4.2", GOOD)
    grow(forked, size)
    return forked


def grow(log: MemoryLog, size: int) -> None:
    """Until its seal is the last of so many leaves."""
    while len(log.leaves) < size - 1:
        log.enroll(f"filler{len(log.leaves)}.example", "auditor")
    log.seal()


def test_a_fork_is_refuted_and_its_evidence_is_kept(released: World) -> None:
    released.run(FILE)
    released.log = another_history(len(released.log.leaves))
    ran = released.run(FILE)
    assert ran.status == 4
    found = proven(released, ran)
    assert found.kind == "checkpoints"
    assert "two trees of" in found.found


@pytest.mark.parametrize(
    ("remember", "show"), [(9, 12), (8, 11), (12, 9), (11, 8)], ids=str
)
def test_a_fork_of_another_size_is_refuted_and_its_evidence_is_kept(
    released: World, remember: int, show: int
) -> None:
    """By the tiles of the larger tree; a smaller one keeps those that it had."""
    grow(released.log, remember)
    assert released.run(FILE).status == 0
    tile = b"".join(released.log.node(0, place) for place in range(remember))
    released.lies[f"tile/0/000.p/{remember}"] = lambda: (200, tile)
    released.log = another_history(show)
    ran = released.run(FILE)
    assert ran.status == 4
    found = proven(released, ran)
    assert found.kind == "checkpoints"
    assert [one.size for one in found.checkpoints] == sorted((remember, show))
    assert remembered(released) == remember


def test_a_fork_whose_tiles_are_withheld_cannot_be_shown(released: World) -> None:
    released.run(FILE)
    released.log = another_history(12)
    for path in ("tile/0/000.p/12", "tile/0/000"):
        released.lies[path] = lambda: problem(404, "no-such-path", "Gone", "")
    found = report(released, FILE)
    assert (found["exit"], check(found, "log.memory")) == (0, "unchecked")
    assert not (released.folder / "state" / "evidence").exists()


def proven(world: World, ran: Ran) -> Proven:
    """What the one file of evidence, which the run named, proves with the key alone."""
    [path] = (world.folder / "state" / "evidence").iterdir()
    assert str(path) in ran.err.replace("\n      ", "")
    return verify_evidence(path.read_bytes(), world.log.signer.public)


FROZEN = {
    "witnesses": "none",
    "index_monitors": "none",
    "frozen_until": "2036-01-01T00:00:00Z",
}


def test_a_log_that_goes_on_after_its_end_is_convicted(released: World) -> None:
    released.write_policy(log=FROZEN)
    ended = released.log.seal(frozen=True)
    assert released.run(FILE).status == 0
    released.log.enroll("late.example", "auditor")
    released.log.seal()
    ran = released.run(FILE)
    assert ran.status == 4
    found = proven(released, ran)
    assert found.kind == "frozen"
    assert [one.size for one in found.checkpoints] == [
        int(ended.split(b"\n")[1]),
        len(released.log.leaves),
    ]


def test_a_log_that_ended_before_what_it_showed_is_convicted(released: World) -> None:
    released.write_policy(log=FROZEN)
    words = f"bundle {LOG} --product {PRODUCT} --measurements good.json -o w"
    released.log.seal(frozen=True)
    released.run(words)
    released.log.seal()
    assert released.run(FILE).status == 0
    ran = released.run(FILE, "--bundle w")
    assert ran.status == 4
    assert proven(released, ran).kind == "frozen"


def test_a_frozen_memory_without_its_seal_proves_nothing(released: World) -> None:
    released.write_policy(log=FROZEN)
    released.log.seal(frozen=True)
    released.run(FILE)
    [path] = (released.folder / "state" / "checkpoints").iterdir()
    kept = json.loads(path.read_bytes())
    del kept["seal"]
    path.write_text(json.dumps(kept))
    released.log.seal()
    ran = released.run(FILE)
    assert ran.status == 4
    assert "inclusion" in ran.err
    assert not (released.folder / "state" / "evidence").exists()


def test_one_checkpoint_alone_proves_nothing(released: World) -> None:
    policy = Policy.parse((released.folder / "policy.toml").read_bytes())
    [log] = policy.logs.values()
    state = State(str(released.folder / "state"))
    with pytest.raises(UncheckedError, match="both checkpoints are of one tree"):
        state.keep_evidence(log, released.log.note, Ending(b"", ()))


def test_a_state_that_cannot_be_written_changes_no_verdict(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCRLOG_STATE", "/dev/null/state")
    ran = released.run(FILE)
    assert ran.status == 0
    assert "cannot remember" in ran.err


def test_a_spoiled_memory_is_none(released: World) -> None:
    released.run(FILE)
    [path] = (released.folder / "state" / "checkpoints").iterdir()
    for data in (b"", b"{}", b'{"origin":"x","note":"y","frozen":false}'):
        path.write_bytes(data)
        assert remembered(released) is None
        assert released.run(FILE).status == 0


def test_a_log_that_gives_no_proof_leaves_memory_unchecked(released: World) -> None:
    released.run(FILE)
    released.scene.release("1.4.3", ROGUE)
    released.log.seal()
    width = len(released.log.leaves)
    for path in (f"tile/0/000.p/{width}", "tile/0/000"):
        released.lies[path] = lambda: problem(404, "no-such-path", "Gone", "")
    found = report(released, FILE)
    assert (found["exit"], check(found, "log.memory")) == (0, "unchecked")


def test_a_bundle_that_is_none_is_refuted(released: World) -> None:
    released.write("w", b"hello")
    found = report(released, FILE, "--bundle w")
    assert (found["exit"], check(found, "log.signature")) == (4, "fail")


def test_a_bundle_of_another_log_could_not_be_used(released: World) -> None:
    other = MemoryLog(origin="other.example/pcr")
    other.seal()
    released.write("w", other.assemble({}).encode())
    found = report(released, FILE, "--bundle w")
    assert (found["exit"], check(found, "log.signature")) == (3, "unchecked")
