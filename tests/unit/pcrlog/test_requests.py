"""`pcrlog.requests`: not one byte of a body leaves before its other end is verified."""

import copy
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from msgspec.structs import replace
from urllib3.util import Retry

import pcrlog
from pcrlog import connection
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import format_time
from pcrlog.errors import (
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.live import Verifier
from pcrlog.predicates import Binding
from pcrlog.requests import AttestedAdapter, attested_session, enclave_of
from pcrlog.transport import Client
from pcrlog.verification import Memory, Report
from tests.support.enclaves import Enclave, Proxy, certificate
from tests.support.log_simulator import LogSimulator, refused
from tests.support.memory_log import registers
from tests.support.scene import PRODUCT, Scene, document
from tests.support.vectors import ROOT

BINDING = Binding("user_data", "tls-spki-sha256")
SECRET = b"the secret that nobody else may see"
HOUR = 3600


@dataclass
class World:
    """A log with one release, an enclave that runs it, and a clock for both."""

    folder: Path
    scene: Scene
    log: LogSimulator
    stack: ExitStack
    release: int = 0
    passed: float = 0.0
    reports: list[Report] = field(default_factory=list)

    def clock(self) -> float:
        return self.scene.log.now + self.passed

    def enclave(self, **how: Any) -> Enclave:
        return self.stack.enter_context(Enclave(self.folder, self.clock, **how))

    def verifier(self, **how: Any) -> Verifier:
        policy = self.scene.policy(log={"url": self.log.url, **how.pop("log", {})})
        given = {"clock": self.clock, "told": self.reports.append, **how}
        return Verifier(policy, PRODUCT, **given)

    def session(self, enclave: Enclave, **how: Any) -> requests.Session:
        adapter = {k: how.pop(k) for k in ("attestation", "web_pki") if k in how}
        verifier = self.verifier(**how)
        made = attested_session(enclave.url, verifier, **adapter)
        return self.stack.enter_context(made)

    @property
    def verdicts(self) -> list[str]:
        return [report.verdict for report in self.reports]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    scene = Scene()
    release = scene.release(binding=BINDING)
    scene.seal()
    with ExitStack() as stack, LogSimulator(scene.log) as log:
        yield World(tmp_path, scene, log, stack, release)


def post(session: requests.Session, enclave: Enclave, **rest: Any) -> requests.Response:
    given = {"data": SECRET, "timeout": 10, **rest}
    return session.post(f"{enclave.url}/secret", **given)


def refuses(
    session: requests.Session, enclave: Enclave, words: str = ".", **rest: Any
) -> PcrlogError:
    """The error, after it has been seen that nothing but the question left."""
    with pytest.raises(PcrlogError, match=words) as caught:
        post(session, enclave, **rest)
    session.close()
    assert SECRET not in enclave.heard
    assert b"POST" not in enclave.heard
    assert b"/secret" not in enclave.heard
    return caught.value


# --- what is verified is talked to ----------------------------------------------------


def test_a_body_goes_over_the_connection_that_was_verified(world: World) -> None:
    enclave = world.enclave()
    answer = post(world.session(enclave), enclave)
    assert answer.content == b"thanks"
    assert enclave_of(answer).version == "1.4.2"
    assert enclave.paths == ["GET /attestation", "POST /secret"]
    [connection] = enclave.seen
    assert connection.endswith(SECRET)
    assert world.verdicts == ["verified"]


def test_a_connection_is_used_again_without_another_document(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    for _ in range(3):
        post(session, enclave)
    assert enclave.paths == ["GET /attestation"] + 3 * ["POST /secret"]
    assert len(enclave.seen) == 1


def test_it_is_verified_again_where_the_document_has_grown_old(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    post(session, enclave)
    world.passed = 299
    post(session, enclave)
    assert world.verdicts == ["verified"]
    world.passed = 301
    post(session, enclave)
    assert world.verdicts == ["verified", "verified"]
    assert len(enclave.seen) == 1


def test_a_clock_that_goes_back_is_no_reason_to_believe_longer(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    post(session, enclave)
    world.passed = -10
    post(session, enclave)
    assert len(world.reports) == 2


def test_the_logs_answers_grow_old_too(world: World) -> None:
    enclave = world.enclave()
    world.passed = 23 * HOUR + 3500
    session = world.session(enclave)
    post(session, enclave)
    world.passed = 24 * HOUR + 10
    error = refuses_later(session, enclave, "log.witnesses")
    assert isinstance(error, UncheckedError)


def refuses_later(
    session: requests.Session, enclave: Enclave, words: str
) -> PcrlogError:
    """The error of a second request, of which nothing left either."""
    before = enclave.heard.count(SECRET)
    with pytest.raises(PcrlogError, match=words) as caught:
        post(session, enclave)
    assert enclave.heard.count(SECRET) == before
    return caught.value


def test_a_revocation_ends_a_connection_that_stands(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    post(session, enclave)
    with world.log.change() as log:
        log.revoke("acme.example", "compromised", world.release)
        log.seal()
    world.passed = 301
    error = refuses_later(session, enclave, "compromised")
    assert isinstance(error, VerificationError)
    refuses_later(session, enclave, "compromised")


@pytest.mark.parametrize("kind", ["tls-spki-sha256", "tls-cert-sha256"])
@pytest.mark.parametrize("where", ["public_key", "user_data"])
def test_the_release_says_where_the_certificate_is_named(
    tmp_path: Path, kind: Any, where: Any
) -> None:
    scene = Scene()
    scene.release(binding=Binding(where, kind))
    scene.seal()
    with ExitStack() as stack, LogSimulator(scene.log) as log:
        world = World(tmp_path, scene, log, stack)
        enclave = world.enclave()
        named = {
            "tls-spki-sha256": enclave.own.spki_sha256,
            "tls-cert-sha256": enclave.own.cert_sha256,
        }
        enclave.fields = {where: named[kind]}
        assert post(world.session(enclave), enclave).ok
        other = "user_data" if where == "public_key" else "public_key"
        enclave.fields = {other: named[kind]}
        refuses_later(world.session(enclave), enclave, "channel")


def test_a_server_that_closes_after_its_document_is_known_again(world: World) -> None:
    enclave = world.enclave()
    enclave.closes = True
    assert post(world.session(enclave), enclave).ok
    assert [one.count(SECRET) for one in enclave.seen] == [0, 1]
    assert world.verdicts == ["verified"]


def test_several_threads_share_a_session(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    found: list[bool] = []
    jobs = [
        threading.Thread(target=lambda: found.append(post(session, enclave).ok))
        for _ in range(6)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert found == 6 * [True]
    for one in enclave.seen:
        assert one.startswith(b"GET /attestation")


def test_the_lines_of_the_page_are_right(world: World) -> None:
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    [text] = re.findall(r"(?s)```python\n(.*?)```", page)
    enclave = world.enclave()
    text = text.replace("https://wallet.acme.example", enclave.url)
    text = text.replace('wallet")', 'wallet", clock=clock)')
    table = world.scene.policy_text(log={"url": world.log.url})
    given: dict[str, Any] = {
        "pcrlog": pcrlog,
        "Verifier": Verifier,
        "attested_session": attested_session,
        "enclave_of": enclave_of,
        "policy_toml": table.encode(),
        "secret": SECRET,
        "clock": world.clock,
    }
    exec(text, given)  # noqa: S102 - the lines of the document
    assert given["enclave"].version == "1.4.2"
    assert SECRET in enclave.heard


def test_another_client_is_told_for_how_long_it_may_go_on(world: World) -> None:
    enclave, verifier = world.enclave(), world.verifier()
    nonce = verifier.nonce()
    shown = {"tls-spki-sha256": enclave.own.spki_sha256}
    accepted = verifier.verify(enclave.honest(nonce), nonce, shown)
    assert accepted.holds(world.clock() + 299)
    assert not accepted.holds(world.clock() + 300)
    with pytest.raises(UncheckedError, match="channel"):
        verifier.verify(enclave.honest(nonce), nonce, None)


def connection_to(world: World, enclave: Enclave) -> Any:
    """One that urllib3 has not connected yet, as no pool would hand it out."""
    adapter = AttestedAdapter(world.verifier())
    request = requests.Request("GET", enclave.url).prepare()
    found = adapter.get_connection_with_tls_context(request, verify=True)._new_conn()
    world.stack.callback(found.close)
    return found


def test_a_request_makes_a_verified_connection_if_nobody_did(world: World) -> None:
    enclave = world.enclave()
    connection_to(world, enclave).request("POST", "/secret", body=SECRET)
    assert world.verdicts == ["verified"]
    assert enclave.paths[0] == "GET /attestation"


def test_a_certificate_that_changes_on_a_connection_gets_nothing(world: World) -> None:
    enclave = world.enclave()
    one = connection_to(world, enclave)
    one.connect()
    one._certificate = certificate().cert_sha256
    with pytest.raises(VerificationError, match="another certificate"):
        one.request("POST", "/secret", body=SECRET)
    assert one.sock is None
    assert enclave.paths == ["GET /attestation"]


def test_what_is_not_python_s_own_tls_shows_no_certificate() -> None:
    assert connection.certificate_of(object()) is None
    assert connection.shown_by(object()) is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_adapter_is_not_copied(world: World, copied: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="make another one"):
        copied(AttestedAdapter(world.verifier()))


# --- hostile ends ---------------------------------------------------------------------


def test_another_certificate_than_the_document_names_gets_nothing(
    world: World,
) -> None:
    relay = world.enclave()
    relay.fields = {"user_data": certificate().spki_sha256}
    error = refuses(world.session(relay), relay, "channel")
    assert isinstance(error, UncheckedError)
    assert relay.paths == ["GET /attestation"]


def test_no_certificate_named_is_no_certificate_bound(world: World) -> None:
    enclave = world.enclave()
    enclave.fields = {}
    refuses(world.session(enclave), enclave, "channel")


def test_a_release_that_says_nothing_of_the_channel_is_not_talked_to(
    tmp_path: Path,
) -> None:
    scene = Scene()
    scene.release()
    scene.seal()
    with ExitStack() as stack, LogSimulator(scene.log) as log:
        world = World(tmp_path, scene, log, stack)
        enclave = world.enclave()
        refuses(world.session(enclave), enclave, "channel")


def test_a_document_made_for_another_nonce_gets_nothing(world: World) -> None:
    enclave = world.enclave()
    enclave.document = lambda _: enclave.honest(b"somebody else's nonce")
    error = refuses(world.session(enclave), enclave, "nonce")
    assert isinstance(error, VerificationError)


def test_an_old_document_gets_nothing(world: World) -> None:
    enclave = world.enclave()
    fields: dict[str, Any] = enclave.fields
    old = document(time=world.scene.log.now - HOUR, nonce=None, **fields)
    enclave.document = lambda _: old
    refuses(world.session(enclave), enclave, "document.time")


def debug(enclave: Enclave) -> None:
    enclave.fields["debug"] = True


def other_image(enclave: Enclave) -> None:
    enclave.registers = registers("rogue")


def other_root(enclave: Enclave) -> None:
    stranger = Simulator(b"a stranger")
    now = int(enclave.clock()) * 1000
    enclave.document = lambda nonce: stranger.document(
        time=now, registers={}, nonce=nonce, user_data=enclave.own.spki_sha256
    )


def no_document(enclave: Enclave) -> None:
    enclave.document = lambda _: b"<html>"


def another_status(enclave: Enclave) -> None:
    enclave.answers["/attestation"] = (404, {})


def leads_elsewhere(enclave: Enclave) -> None:
    enclave.answers["/attestation"] = (302, {"Location": "https://127.0.0.1:9/"})


def too_long(enclave: Enclave) -> None:
    enclave.document = lambda _: bytes(100_000)


@pytest.mark.parametrize(
    "lie",
    [
        debug,
        other_image,
        other_root,
        no_document,
        another_status,
        leads_elsewhere,
        too_long,
    ],
)
def test_a_document_that_the_policy_refuses_gets_nothing(
    world: World, lie: Callable[[Enclave], None]
) -> None:
    enclave = world.enclave()
    lie(enclave)
    refuses(world.session(enclave), enclave)
    assert "verified" not in world.verdicts


def test_a_document_that_does_not_come_is_waited_for_but_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.2)
    enclave, silent = world.enclave(), threading.Event()
    enclave.document = lambda _: bytes(silent.wait(10))
    error = refuses(world.session(enclave), enclave, timeout=None)
    silent.set()
    assert isinstance(error, TransportError)


@pytest.mark.parametrize("rest", [b"1\r\nx\r\n", b"1\r\nx\r\n0\r\n"])
def test_a_document_that_does_not_end_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    """Sizes of chunks and trailers: each byte comes in time, and none is of a body."""
    monkeypatch.setattr(connection, "TIMEOUT", 0.1)
    enclave = world.enclave()
    enclave.drips = rest, b"0" if rest.endswith(b"x\r\n") else b"X: y\r\n"
    refuses(world.session(enclave), enclave, "does not come to an end")


def test_another_try_is_verified_like_the_first(world: World) -> None:
    """What left before the refusal went to an enclave that was verified."""
    enclave = world.enclave()
    enclave.answers["/secret"] = (503, {"Connection": "close"})

    def once(nonce: bytes) -> bytes:
        enclave.document = lambda _: b"<html>"
        return enclave.honest(nonce)

    enclave.document = once
    again = Retry(total=2, status_forcelist=[503], allowed_methods=None)
    adapter = AttestedAdapter(world.verifier(), max_retries=again)
    session = world.session(enclave)
    session.mount(f"{enclave.url}/", adapter)
    with pytest.raises(VerificationError):
        post(session, enclave)
    assert [one.count(SECRET) for one in enclave.seen] == [1, 0]
    assert world.verdicts == ["verified", "refuted"]


def test_a_body_that_is_made_while_it_is_sent_is_not_even_begun(world: World) -> None:
    relay, made = world.enclave(), []
    relay.fields = {"user_data": certificate().spki_sha256}

    def body() -> Iterator[bytes]:
        made.append(1)
        yield SECRET

    session = world.session(relay)
    refuses(session, relay, data=body())
    assert made == []
    relay.fields = {"user_data": relay.own.spki_sha256}
    assert post(session, relay, data=body()).ok
    assert SECRET in relay.heard


@pytest.mark.parametrize("honest", [True, False])
def test_another_server_at_the_address_is_verified_anew(
    world: World, *, honest: bool
) -> None:
    first = world.enclave()
    session = world.session(first)
    post(session, first)
    port = first.server_port
    first.__exit__()
    second = world.enclave(port=port)
    if honest:
        assert post(session, second).ok
        assert second.paths == ["GET /attestation", "POST /secret"]
    else:
        second.fields = {"user_data": first.own.spki_sha256}
        refuses(session, second, "channel")
    assert len(world.reports) == 2


def test_another_certificate_after_the_document_gets_nothing(world: World) -> None:
    """It attests, closes, and takes the body where another key ends the connection."""
    enclave = world.enclave()
    enclave.closes = True

    def swap(nonce: bytes) -> bytes:
        enclave.show(certificate())
        return enclave.honest(nonce)

    enclave.document = swap
    error = refuses(world.session(enclave), enclave, "another certificate")
    assert isinstance(error, VerificationError)
    assert len(enclave.seen) >= 1


# --- ways around ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(world: World, status: int) -> None:
    enclave, other = world.enclave(), world.enclave()
    enclave.answers["/secret"] = (status, {"Location": f"{other.url}/secret"})
    session = world.session(enclave)
    session.mount("https://", requests.adapters.HTTPAdapter())
    with pytest.raises(requests.TooManyRedirects, match="not followed"):
        post(session, enclave)
    assert other.heard == b""
    assert other.seen == []


def test_a_session_talks_to_nobody_else(world: World) -> None:
    enclave, other = world.enclave(), world.enclave()
    session = world.session(enclave)
    for url in (other.url, f"http://127.0.0.1:{other.server_port}"):
        with pytest.raises(requests.exceptions.InvalidSchema):
            session.post(url, data=SECRET, timeout=5)
    assert other.seen == []


def test_an_adapter_on_a_session_of_ones_own_refuses_plain_http(world: World) -> None:
    enclave = world.enclave()
    with requests.Session() as session:
        session.mount("http://", AttestedAdapter(world.verifier()))
        with pytest.raises(UsageError, match="https"):
            session.post(f"http://127.0.0.1:{enclave.server_port}", data=SECRET)
    assert enclave.seen == []


def test_a_proxy_that_passes_on_sees_nothing(world: World) -> None:
    enclave = world.enclave()
    with Proxy(None, world.folder) as proxy:
        session = world.session(enclave)
        proxies = {"https": proxy.url}
        assert post(session, enclave, proxies=proxies).ok
        session.close()
    assert proxy.asked == [f"CONNECT 127.0.0.1:{enclave.server_port} HTTP/1.0"]
    assert SECRET not in proxy.seen
    assert SECRET in enclave.heard
    host = f"Host: 127.0.0.1:{enclave.server_port}".encode()
    assert enclave.heard.count(host) == 2


def test_a_proxy_that_opens_connections_gets_nothing(world: World) -> None:
    enclave = world.enclave()
    with Proxy(certificate(), world.folder) as proxy:
        session = world.session(enclave)
        refuses(session, enclave, "channel", proxies={"https": proxy.url})
    assert b"GET /attestation" in proxy.seen
    assert SECRET not in proxy.seen
    assert b"POST" not in proxy.seen


def test_through_a_proxy_an_enclave_has_to_keep_its_connection(world: World) -> None:
    enclave = world.enclave()
    enclave.closes = True
    with Proxy(None, world.folder) as proxy:
        session = world.session(enclave)
        refuses(session, enclave, "keep it open", proxies={"https": proxy.url})


@pytest.mark.parametrize("scheme", ["https", "socks5", "socks5h"])
def test_other_proxies_are_refused(world: World, scheme: str) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    refuses(session, enclave, "proxy", proxies={"https": f"{scheme}://127.0.0.1:9"})
    assert enclave.seen == []


def test_proxies_of_the_environment_are_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    enclave = world.enclave()
    assert post(world.session(enclave), enclave).ok


def test_an_authority_may_be_demanded_as_well(world: World) -> None:
    enclave = world.enclave()
    with pytest.raises(requests.exceptions.SSLError):
        post(world.session(enclave, web_pki=True), enclave)
    assert enclave.heard == b""
    path = world.folder / "ca.pem"
    path.write_bytes(enclave.own.pem)
    session = world.session(enclave, web_pki=True)
    assert post(session, enclave, verify=str(path)).ok


def test_an_answer_of_another_adapter_is_nobodys(world: World) -> None:
    with requests.Session() as session:
        answer = session.get(f"{world.log.url}/checkpoint", timeout=5)
    with pytest.raises(UsageError, match="another adapter"):
        enclave_of(answer)


@pytest.mark.parametrize(
    "origin",
    [
        "http://x.example",
        "https://",
        "x.example",
        "https://x.example:port",
        *(f"https://x.example{more}" for more in ("/a", "//", "?a", "#a")),
        "https://me:hush@x.example",
    ],
)
def test_an_origin_is_https_and_a_host(world: World, origin: str) -> None:
    with pytest.raises(UsageError, match="origin") as caught:
        attested_session(origin, world.verifier())
    assert "hush" not in str(caught.value)


def test_a_host_is_spelled_as_requests_spells_it(world: World) -> None:
    for origin in ("HTTPS://München.Example", "https://xn--mnchen-3ya.example/"):
        with attested_session(origin, world.verifier()) as session:
            session.get_adapter("https://xn--mnchen-3ya.example/secret")


def test_no_message_tells_a_query_or_a_password(world: World) -> None:
    enclave = world.enclave()
    enclave.answers["/secret?hush"] = (307, {"Location": "/"})
    session = world.session(enclave)
    with pytest.raises(requests.TooManyRedirects) as redirected:
        session.get(f"{enclave.url}/secret?hush", timeout=5)
    session.mount("http://", AttestedAdapter(world.verifier()))
    with pytest.raises(UsageError) as plain:
        session.get("http://me:hush@127.0.0.1/?hush", timeout=5)
    proxies = {"https": "socks5://me:hush@127.0.0.1:9"}
    with pytest.raises(UsageError) as proxied:
        session.get(enclave.url, proxies=proxies, timeout=5)
    for caught in (redirected, plain, proxied):
        assert "hush" not in str(caught.value)


def test_where_the_document_is_has_to_be_a_path(world: World) -> None:
    with pytest.raises(UsageError, match="path"):
        AttestedAdapter(world.verifier(), attestation="https://x.example/a")


def test_the_path_of_the_document_may_have_a_query(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave, attestation="/attestation?form=raw")
    assert post(session, enclave).ok
    assert b"GET /attestation?form=raw&nonce=" in enclave.heard


# --- what the log says ----------------------------------------------------------------


def silence(world: World) -> None:
    world.log.twist = lambda path, _: refused(404, "no-such-log", path)


def test_a_silent_log_is_no_reason_to_send(world: World) -> None:
    enclave = world.enclave()
    silence(world)
    error = refuses(world.session(enclave), enclave, "no-such-log")
    assert isinstance(error, UncheckedError)


def test_a_log_may_be_silent_as_long_as_its_answers_are_fresh(world: World) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    post(session, enclave)
    silence(world)
    world.passed = 301
    assert post(session, enclave).ok
    world.passed = 24 * HOUR + 10
    refuses_later(session, enclave, "log.witnesses")


def test_a_stapled_bundle_is_tried_first(world: World) -> None:
    enclave = world.enclave()
    bundle = world.scene.inputs().bundle
    before = len(world.log.asked)
    assert post(world.session(enclave, stapled=lambda: bundle), enclave).ok
    assert len(world.log.asked) == before
    assert post(world.session(enclave, stapled=lambda: b"{}"), enclave).ok
    assert post(world.session(enclave, stapled=lambda: None), enclave).ok
    assert len(world.log.asked) == before + 2


@pytest.mark.parametrize("error", [BrokenPipeError, TransportError])
def test_a_staple_that_cannot_be_had_is_made_up_for_by_the_log(
    world: World, error: type[Exception]
) -> None:
    def gone() -> bytes:
        raise error

    enclave = world.enclave()
    session = world.session(enclave, stapled=gone)
    for world.passed in (0, 301):
        assert post(session, enclave).ok


def test_an_old_staple_does_not_make_it_forget(world: World) -> None:
    enclave = world.enclave()
    old, staples = world.scene.inputs().bundle, iter([None, b"old"])
    stapled = lambda: old if next(staples) else None  # noqa: E731 - two answers, in turn
    verifier = world.verifier(stapled=stapled)
    with world.log.change() as log:
        log.enroll("other.example", "provider")
        log.seal()
    with attested_session(enclave.url, verifier) as session:
        post(session, enclave)
        newest = verifier.memory
        world.passed = 301
        assert post(session, enclave).ok
    assert newest is not None
    assert verifier.memory == newest


def test_a_memory_of_another_log_is_replaced(world: World) -> None:
    enclave, verifier = world.enclave(), world.verifier()
    verifier.memory = Memory(b"another.example/log\n1\n")
    with attested_session(enclave.url, verifier) as session:
        assert post(session, enclave).ok
    assert verifier.memory.note.startswith(b"log.example")


def test_a_log_that_grows_proves_it(world: World) -> None:
    enclave, verifier = world.enclave(), world.verifier()
    with attested_session(enclave.url, verifier) as session:
        post(session, enclave)
        with world.log.change() as log:
            log.enroll("other.example", "provider")
            log.seal()
        world.passed = 301
        post(session, enclave)
    assert [memory_of(report) for report in world.reports] == ["unchecked", "pass"]


def memory_of(report: Report) -> str:
    [status] = [one.status for one in report.checks if one.id == "log.memory"]
    return status


def test_a_log_that_shows_neither_tiles_nor_its_history_is_not_compared(
    world: World,
) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    post(session, enclave)
    with world.log.change() as log:
        log.enroll("other.example", "provider")
        log.seal()
    world.log.twist = lambda path, reply: (
        refused(404, "no-such-path", path) if path.startswith("tile") else reply
    )
    world.passed = 301
    assert post(session, enclave).ok
    assert memory_of(world.reports[-1]) == "unchecked"


@pytest.mark.parametrize("more", [0, 1])
def test_a_log_that_shows_another_history_is_noticed(world: World, more: int) -> None:
    enclave = world.enclave()
    session = world.session(enclave)
    post(session, enclave)
    other = Scene()
    other.release(binding=BINDING, variant="x86_64")
    for number in range(more):
        other.log.enroll(f"other{number}.example", "provider")
    other.seal()
    world.log.log = other.log
    world.passed = 301
    error = refuses_later(session, enclave, "log.memory")
    assert isinstance(error, VerificationError)


def test_a_frozen_log_holds_until_its_policy_says_so(world: World) -> None:
    end = world.scene.log.now + 100
    with world.log.change() as log:
        log.seal(frozen=True)
    enclave = world.enclave()
    verifier = world.verifier(log={"frozen_until": format_time(end)})
    nonce = verifier.nonce()
    shown = {"tls-spki-sha256": enclave.own.spki_sha256}
    accepted = verifier.verify(enclave.honest(nonce), nonce, shown)
    assert accepted.until == end
    assert verifier.memory is not None
    assert verifier.memory.frozen


def test_a_policy_of_two_logs_does_not_say_which_to_ask(world: World) -> None:
    policy = world.scene.policy(log={"url": world.log.url})
    twice = {**policy.logs, "other.example": next(iter(policy.logs.values()))}
    both = replace(policy, logs=twice)
    with pytest.raises(UsageError, match="which log"):
        Verifier(both, PRODUCT)
    verifier = Verifier(both, PRODUCT, source=Client(world.log.url), clock=world.clock)
    enclave = world.enclave()
    with attested_session(enclave.url, verifier) as session:
        assert post(session, enclave).ok


def test_a_product_that_the_policy_does_not_name_is_refused(world: World) -> None:
    policy = world.scene.policy()
    with pytest.raises(UsageError, match="does not name"):
        Verifier(policy, "other.example/x")
