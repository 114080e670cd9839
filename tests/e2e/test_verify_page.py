"""verify.html in Debian's Chromium, from disk and served: no lie is ever verified.

`Person` drives the page as people do. With PCRLOG_WRITE_DOCS=1 the pictures that
docs/verify-page.md shows are made anew.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from demo.example import WALLET, registers, write
from log_server.pages.assembly import assemble
from log_server.policy_file import policy_skeleton
from pcrlog.encoding import encode_base64, format_time, sha256
from pcrlog.evidence import verify_evidence
from tests.conftest import IN_CI
from tests.e2e.served import free_port, until
from tests.support import browser as browsers
from tests.support.browser import Browser
from tests.support.lies import LIES, Lie, honest, named
from tests.support.log_simulator import LogSimulator
from tests.support.machines import (
    ENCLAVE,
    NUMBERS,
    SGX,
    SGX_RULES,
    collateral,
    quote,
)
from tests.support.memory_log import START, MemoryLog
from tests.support.scene import (
    LAB,
    LENS,
    M1,
    NONCE,
    PRODUCT,
    PROVIDER,
    SIMULATOR,
    W1,
    W2,
    Scene,
    document,
    pem,
)
from tests.support.vectors import ROOT
from tests.support.verifying_page import Person

pytestmark = pytest.mark.e2e
WRITE = "PCRLOG_WRITE_DOCS" in os.environ
PICTURES = ROOT / "docs/pages"
SHOWN = (
    "verify-form-light",
    "verify-proven-light",
    "verify-refuted-dark",
    "verify-proven-phone",
    "verify-proven-paper",
)
"""In the documentation."""
VERDICTS = {0: "verified", 3: "unchecked", 4: "refuted"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if reason := browsers.lacking():
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that a person saved."""
    path = tmp_path_factory.mktemp("saved") / "verify.html"
    path.write_bytes(assemble(ROOT))
    return path


@pytest.fixture
def person(browser: Browser, saved: Path, tmp_path: Path) -> Person:
    """Somebody who has not been here before, with the page on their disk."""
    found = Person(tmp_path, browser, saved.as_uri())
    found.visit()
    browser.forget()
    return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def wanted(scene: Scene, *auditors: str) -> bytes:
    """The bundle that a log hands out about the scene's enclave."""
    return scene.inputs(auditors=auditors or (LAB, LENS)).bundle or b""


# --- from disk ------------------------------------------------------------------------


def test_a_document_is_verified_from_disk_and_nothing_is_asked(
    person: Person, scene: Scene
) -> None:
    scene.complete()
    assert person.verify(scene.policy_text(), wanted(scene)) == "verified"
    text = person.browser.text("#report") or ""
    assert "Verified to link 7 of 7" in text
    assert "Such an enclave answered at 07:00 UTC on 2026-11-23." in text
    assert "Your other tab may talk to something else" in text
    assert "It asked nobody anything." in text
    assert person.links() == [*["proven"] * 7, "same"]
    assert len(person.rows()) == 29
    assert "parts.example/sidecar 1.0.0" in text
    assert person.browser.asked() == [person.page]
    assert person.browser.wrong() == []


def test_it_prints_the_report_that_pcrlog_prints(person: Person, scene: Scene) -> None:
    scene.release()
    scene.reproduce()
    inputs = scene.inputs()
    person.verify(scene.policy_text(), inputs.bundle)
    assert person.browser.saved("text=Report, in JSON") == inputs.report().to_json()


@pytest.mark.parametrize("spell", [encode_base64, bytes.hex])
def test_a_document_is_pasted(person: Person, scene: Scene, spell: Any) -> None:
    scene.release()
    person.visit()
    policy = person.file("policy.toml", scene.policy_text())
    bundle = person.file("answers", wanted(scene))
    person.browser.give({"#policy-file": policy, "#bundle-file": bundle})
    fields = {"#document-text": spell(document()), "#nonce": NONCE.hex()}
    person.browser.fill(fields)
    person.browser.click("#check")
    assert person.verdict() == "verified"


def test_what_is_lacking_is_asked_for(person: Person, scene: Scene) -> None:
    scene.release()
    person.visit()
    person.browser.click("#check")
    assert person.verdict() == "Give a document first (step 1)."
    person.browser.fill({"#document-text": document().hex()})
    person.browser.click("#check")
    assert person.verdict() == "Give your policy first (step 2)."
    person.browser.drop(person.file("policy.toml", "format = 'pcrlog-policy/v1'"))
    assert "policy: " in (person.browser.text("#policy-given") or "")
    person.browser.drop(person.file("policy.toml", scene.policy_text()))
    person.browser.fill({"#nonce": "abc"})
    person.browser.click("#check")
    assert "nonce" in person.verdict()
    assert person.browser.wrong() == []


def test_a_policy_by_another_name_is_not_taken(person: Person, scene: Scene) -> None:
    """Who is to be checked hands out bundles, and could call a policy of theirs one."""
    scene.release()
    person.visit()
    person.browser.drop(person.file("answers.pcrbundle", scene.policy_text()))
    assert "holds a policy" in (person.browser.text("#policy-given") or "")
    person.browser.fill({"#document-text": document().hex()})
    person.browser.click("#check")
    assert person.verdict() == "Give your policy first (step 2)."


def test_a_report_goes_when_what_it_is_about_is_changed(
    person: Person, scene: Scene
) -> None:
    scene.release()
    changes: list[Callable[[], None]] = [
        lambda: person.browser.fill({"#nonce": "00"}),
        lambda: person.browser.fill({"#document-text": "another"}),
        lambda: person.browser.give({"#policy-file": person.file("bad", "x")}),
        lambda: person.browser.drop(person.file("other", b"\x84")),
    ]
    for change in changes:
        assert person.verify(scene.policy_text(), wanted(scene)) == "verified"
        change()
        assert person.browser.text("#report") is None
    person.browser.click("#check")
    assert person.browser.text("#report .verdict.verified") is None


def test_what_cannot_be_read_is_said_and_nothing_older_is_taken_for_it(
    person: Person, scene: Scene
) -> None:
    scene.release()
    folder = person.folder / "a-folder"
    folder.mkdir()
    assert person.verify(scene.policy_text(), wanted(scene)) == "verified"
    person.browser.drop(folder)
    assert "A-folder could not be read: expected a file" in person.verdict()
    assert person.browser.text("#report") is None
    for what, lacking in (
        ("bundle", "Give a bundle (step 3), or let the log be asked."),
        ("policy", "Give your policy first (step 2)."),
        ("document", "Give a document first (step 1)."),
    ):
        person.browser.give({f"#{what}-file": folder})
        person.browser.click("#check")
        assert "a-folder could not be read" in (
            person.browser.text(f"#{what}-given .wrong") or ""
        )
        assert person.verdict() == lacking
    assert person.browser.asked() == [person.page]
    assert person.browser.wrong() == []


def test_a_product_of_a_providers_table_is_named(person: Person, scene: Scene) -> None:
    scene.release()
    rules = {"platforms": ["aws-nitro"]}
    policy = scene.policy_text(product=rules).replace(PRODUCT, f"{PROVIDER}/*")
    person.visit()
    given = (person.file("policy.toml", policy), person.file("bundle", wanted(scene)))
    person.browser.drop(*given, person.file("document", document()))
    assert person.browser.text("#any") is not None
    person.browser.fill({"#product-name": PRODUCT, "#nonce": NONCE.hex()})
    person.browser.click("#check")
    assert person.verdict() == "verified"


def test_a_revoked_release_is_refuted(person: Person, scene: Scene) -> None:
    index = scene.release()
    scene.log.revoke(PROVIDER, "compromised", index)
    assert person.verify(scene.policy_text(), wanted(scene)) == "refuted"
    assert person.status("release.valid") == "fail"
    assert person.links()[:2] == ["proven", "failed"]
    assert "Send it nothing" in (person.browser.text("#report") or "")
    assert person.browser.wrong() == []


def test_a_nonce_that_is_not_in_it_is_refuted(person: Person, scene: Scene) -> None:
    scene.release()
    verdict = person.verify(scene.policy_text(), wanted(scene), nonce=b"another")
    assert (verdict, person.status("document.nonce")) == ("refuted", "fail")


def test_what_is_no_document_is_refuted_and_the_log_is_not_asked(
    person: Person, scene: Scene
) -> None:
    scene.release()
    scene.seal()
    with LogSimulator(scene.log) as simulator:
        policy = scene.policy_text(log={"url": simulator.url})
        assert person.verify(policy, data=b"\x84 is no document") == "refuted"
        assert simulator.asked == []
    assert person.status("document.form") == "fail"
    assert "No genuine enclave answered" in (person.browser.text("#report") or "")


# --- genuine documents ----------------------------------------------------------------

GENUINE = {
    "signal_svr_2023-05-24.cbor": "verified",
    "base_hinted_2026-01.cbor": "verified",
    "dstack_attest_2025-12.cbor": "verified",
    "dstack_debug_2025-12.cbor": "refuted",
    "neg_fortanix_tampered_certificate.cbor": "refuted",
    "neg_oyster_custom_untrusted_root.cbor": "refuted",
    "neg_veracruz_bad_sig.cbor": "refuted",
}


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_documents_of_aws_and_other_peoples_bad_ones(
    person: Person, vectors: Path, name: str
) -> None:
    folder = vectors / "nitro"
    expected = json.loads((folder / "expected.json").read_bytes())[name]
    signed = int(expected.get("timestamp_ms", 1000 * START)) // 1000
    rows = expected.get("registers", {})
    zero = "00" * 48
    image = {f"PCR{n}": f"sha384:{rows.get(str(n), zero)}" for n in range(3)}
    scene = Scene()
    if expected["expect"] == "ACCEPT":
        scene.release(image=image)
    policy = scene.policy_text(head={"archives": True}, platform={"roots": ["builtin"]})
    inputs = scene.inputs(image)
    verdict = person.verify(
        policy,
        inputs.bundle,
        data=(folder / name).read_bytes(),
        nonce=None,
        at=format_time(signed),
    )
    assert verdict == GENUINE[name]
    if "debug" in name:
        assert person.status("document.debug") == "fail"
    if verdict == "verified":
        told = person.browser.text("#report .moment") or ""
        assert "That says nothing of what answers now." in told


# --- a machine whose documents name no time -------------------------------------------


def test_a_quote_is_verified_with_the_collateral_that_was_dropped(
    person: Person, scene: Scene
) -> None:
    scene.release(image=ENCLAVE, platform=SGX, numbers=NUMBERS)
    scene.seal()
    policy = scene.policy_text(
        platforms={SGX: SGX_RULES}, product={"platforms": [SGX], "auditors": []}
    )
    bundle = scene.log.bundle(PRODUCT, ENCLAVE, platform=SGX).encode()
    sent = NONCE.ljust(32, b"\0")
    given: dict[str, Any] = {"data": quote(), "nonce": sent}
    assert person.verify(policy, bundle, **given) == "unchecked"
    assert person.status("document.collateral") == "unchecked"
    person.browser.drop(person.file("collateral.json", collateral(person.now)))
    assert "collateral.json" in (person.browser.text("#collateral-given") or "")
    person.browser.click("#check")
    assert person.verdict() == "verified"
    assert person.status("document.collateral") == "pass"
    told = person.browser.text("#report .moment") or ""
    assert "Such an enclave answered. Its document does not say when." in told
    assert person.browser.asked() == [person.page]
    assert person.browser.wrong() == []


# --- a log that lies ------------------------------------------------------------------


def tell(person: Person, lie: Lie) -> None:
    """Ask an honest log; then it lies, and is asked again."""
    with LogSimulator(honest(START)) as simulator:
        more: dict[str, object] = {"url": simulator.url}
        if lie.frozen:
            more["frozen_until"] = "2036-01-01T00:00:00Z"
            with simulator.change() as log:
                log.seal(frozen=True)
        policy = Scene(simulator.log).policy_text(log=more)
        assert person.verify(policy) == "verified"
        lie.tell(simulator)
        if lie.elsewhere:
            policy = policy.replace(simulator.url, simulator.elsewhere)
        if lie.alert == "stale":
            person.now += 2 * 86_400
        assert person.verify(policy) == VERDICTS[lie.verdict]


@pytest.mark.parametrize("lie", [one for one in LIES if not one.patience], ids=str)
def test_a_lie_is_never_verified(person: Person, lie: Lie) -> None:
    tell(person, lie)


@pytest.mark.slow
@pytest.mark.parametrize("lie", [one for one in LIES if one.patience], ids=str)
def test_a_lie_that_takes_its_time_is_never_verified(person: Person, lie: Lie) -> None:
    tell(person, lie)


def test_an_honest_log_is_verified_again_and_asked_for_the_hashes_between(
    person: Person,
) -> None:
    with LogSimulator(honest(START)) as simulator:
        policy = Scene(simulator.log).policy_text(log={"url": simulator.url})
        assert person.verify(policy) == "verified"
        assert person.status("log.memory") == "unchecked"
        for _ in range(3):
            with simulator.change() as log:
                log.seal()
            assert person.verify(policy) == "verified"
            assert person.status("log.memory") == "pass"
        asked = [urlsplit(one).path for one in person.browser.asked()[1:]]
        assert asked[0] == "/pcr/api/v1/bundle"
        assert all(path.startswith("/pcr/tile/0/") for path in asked[1:])
        assert len(asked) > 1
        assert person.browser.wrong() == []


def test_only_product_measurement_and_auditors_leave_the_page(person: Person) -> None:
    with LogSimulator(honest(START)) as simulator:
        scene = Scene(simulator.log)
        person.verify(scene.policy_text(log={"url": simulator.url}))
        [asked] = [one for one in simulator.asked if "bundle" in one]
        pcr0 = scene.log.entries[4].statement.registers["PCR0"]
        assert parse_qs(urlsplit(asked).query) == {
            "product": [PRODUCT],
            "measurement": [f"aws-nitro/PCR0={pcr0}"],
            "auditor": [LAB, LENS],
        }
        shown = person.browser.texts("#report .asked-for code")
        assert shown == person.browser.asked()[1:]
        assert len(simulator.asked) == len(shown)


def test_a_rollback_is_refused_although_all_of_it_is_true(person: Person) -> None:
    """A bundle may be an hour old. Whoever has seen a newer one does not go back."""
    scene = Scene()
    scene.release()
    old = wanted(scene)
    scene.release("1.4.3", {**registers("other")})
    new = wanted(scene)
    policy = scene.policy_text()
    assert person.verify(policy, old) == "verified"
    assert person.verify(policy, new) == "verified"
    # Nothing is asked where a bundle is given: so it goes on remembering the older one.
    assert person.status("log.memory") == "unchecked"
    with LogSimulator(scene.log) as simulator:
        assert (
            person.verify(scene.policy_text(log={"url": simulator.url})) == "verified"
        )
    assert person.verify(policy, old) == "unchecked"
    text = person.browser.text("#report .verdict") or ""
    assert "it goes back, and hides what was said since" in text
    assert person.verify(policy, new) == "verified"


@pytest.mark.parametrize("name", ["fork", "fork-and-grow", "fork-and-shrink"])
def test_a_fork_leaves_evidence_for_everybody(person: Person, name: str) -> None:
    with LogSimulator(honest(START)) as simulator:
        scene = Scene(simulator.log)
        policy = scene.policy_text(log={"url": simulator.url})
        assert person.verify(policy) == "verified"
        named(name).tell(simulator)
        verdict = person.verify(policy)
        if name == "fork-and-shrink":
            assert verdict == "unchecked", "the larger tree's tiles are gone"
            return
        assert (verdict, person.status("log.memory")) == ("refuted", "fail")
        evidence = person.browser.saved("text=Evidence of the fork")
        key = scene.log.signer.public
        assert verify_evidence(evidence, key).kind == "checkpoints"
        # It remembers what it saw first, and finds the fork again.
        assert person.verify(policy) == "refuted"


# --- hostile text ---------------------------------------------------------------------

MARKUP = "<img/src=x/onerror=alert(1)><script>alert(1)</script>"


def test_hostile_text_of_a_log_stays_text(person: Person) -> None:
    log = MemoryLog(origin=f"log.example/{MARKUP}", witnesses=[W1, W2, M1])
    for name, role in ((PROVIDER, "provider"), (LAB, "auditor"), (LENS, "auditor")):
        log.enroll(name, role)
    scene = Scene(log)
    scene.release()
    policy = scene.policy_text(log={"url": f"https://log.example/{MARKUP}"})
    assert person.verify(policy, wanted(scene)) == "verified"
    assert MARKUP in (person.browser.text("#report") or "")
    assert person.browser.count("#report img, #report script, #form img") == 0
    assert person.browser.wrong() == []


def test_hostile_names_and_answers_stay_text(person: Person, scene: Scene) -> None:
    scene.release()
    person.visit()
    person.browser.drop(
        person.file("\u202etxt.<b>bold<b>", b"\x84" + b"\x00" * 9),
        person.file(
            "policy.toml", f"format = 'pcrlog-policy/v1'\n\u202e{MARKUP[:5]} = 1"
        ),
    )
    assert "\u202e" not in (person.browser.text("body") or "")
    person.browser.drop(person.file("policy.toml", scene.policy_text()))
    bundle = b'{"answers":[],"checkpoint":"\xe2\x80\xae<script>alert(1)</script>"}'
    person.browser.drop(person.file("bundle", bundle))
    person.browser.click("#check")
    assert person.verdict() == "refuted"
    assert "\u202e" not in (person.browser.text("#report") or "")
    assert person.browser.count("#report b b, #report script, #form i") == 0
    assert person.browser.wrong() == []


# --- the enclave, asked by the page ---------------------------------------------------


class _Enclave(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        [nonce] = parse_qs(urlsplit(self.path).query)["nonce"]
        body = encode_base64(document(nonce=bytes.fromhex(nonce))).encode()
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def test_a_document_is_fetched_with_a_new_nonce(person: Person, scene: Scene) -> None:
    scene.release()
    person.visit()
    person.browser.drop(
        person.file("policy.toml", scene.policy_text()),
        person.file("bundle", wanted(scene)),
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), _Enclave) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/attestation"
        person.browser.fill({"#document-url": url})
        person.browser.click("#document-fetch")
        server.shutdown()
        thread.join()
    person.browser.click("#check")
    assert (person.verdict(), person.status("document.nonce")) == ("verified", "pass")
    assert person.status("channel") == "unchecked"
    assert len(person.browser.asked()) == 2


def test_an_enclave_that_cannot_be_asked_is_told_so(person: Person) -> None:
    person.visit()
    for url, said in (
        ("nonsense", "Give the whole URL"),
        (f"http://127.0.0.1:{free_port()}/", "could not get it"),
        ("http://192.0.2.1/attestation", "could not get it"),
    ):
        person.browser.fill({"#document-url": url})
        person.browser.click("#document-fetch")
        assert said in person.verdict()


# --- served ---------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The worked example as it runs: its URL, and a policy for it."""
    config = write(tmp_path / "log", "log.example/pcr", time.time)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    policy = policy_skeleton(config, url, lambda: int(time.time())).decode()
    root = pem(SIMULATOR.root_der).replace("\n", "\\n")
    policy = policy.replace('"builtin"', f'"{root}"')
    policy += f'\n[products."{WALLET}"]\nplatforms = ["aws-nitro"]\n'
    arguments = ["serve", str(tmp_path / "log"), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen([sys.executable, "-m", "log_server", *arguments]) as server:
        until((tmp_path / "log/run/serve.json").exists, "a server")
        yield url, policy
        server.send_signal(signal.SIGTERM)


def test_the_served_page_is_the_file_and_asks_its_own_log_alone(
    person: Person, saved: Path, served: tuple[str, str]
) -> None:
    url, policy = served
    person.page, person.now = f"{url}/verify", int(time.time())
    data = document(registers("1.5.1"), time=person.now)
    assert person.verify(policy, data=data) == "verified"
    about = person.browser.text("#about") or ""
    digest = sha256(saved.read_bytes()).hex()
    assert digest in about
    assert "could have sent you another page" in about
    assert person.browser.saved("text=Save verify.html") == saved.read_bytes()
    asked = person.browser.asked()
    assert {urlsplit(one).netloc for one in asked} == {urlsplit(url).netloc}
    assert person.browser.wrong() == []
    person.browser.open(f"{url}/component/{digest}")


# --- what it looks like ---------------------------------------------------------------


@pytest.mark.parametrize("view", ["light", "dark", "phone", "paper"])
def test_nothing_is_wrong_with_it_in_any_view(
    person: Person, scene: Scene, view: str
) -> None:
    scene.complete()
    person.visit(view=view)
    person.browser.picture(person.folder / f"verify-form-{view}.png", "body")
    assert person.browser.wrong() == []
    person.verify(scene.policy_text(), wanted(scene), view=view)
    person.browser.picture(person.folder / f"verify-proven-{view}.png", "#report")
    assert person.browser.wrong() == []
    index = max(scene.log.entries)
    release = scene.log.index[f"v1/product/{PRODUCT}"][0]
    assert index > release
    scene.log.revoke(PROVIDER, "vulnerable", release)
    person.verify(scene.policy_text(), wanted(scene), view=view)
    person.browser.picture(person.folder / f"verify-refuted-{view}.png", "#report")
    assert person.browser.wrong() == []
    if view == "paper":
        assert person.browser.text("#report .verdict") is not None
        assert person.browser.text("#report details dl") is not None
        for what in ("header", "#form", "#about", "#report .actions"):
            assert person.browser.text(what) is None
    if WRITE:
        PICTURES.mkdir(exist_ok=True)
        for name in SHOWN:
            if (path := person.folder / f"{name}.png").exists():
                shutil.copy(path, PICTURES / path.name)
