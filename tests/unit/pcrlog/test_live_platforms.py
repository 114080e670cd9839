"""A live enclave with SGX, judged by whoever is about to talk to it.

As on the hardware of AWS (test_requests.py), but for what its maker publishes of the
machine: without that nothing is sent.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from pcrlog.errors import TransportError, UncheckedError, VerificationError
from pcrlog.live import Verifier
from pcrlog.policy import Policy
from pcrlog.predicates import Binding
from pcrlog.requests import attested_session, enclave_of
from pcrlog.verification.document import Asked
from tests.support import machines
from tests.support.enclaves import Enclave, certificate
from tests.support.log_simulator import LogSimulator
from tests.support.machines import ENCLAVE, NUMBERS, SGX, SGX_RULES
from tests.support.pccs_server import Pccs
from tests.support.scene import PRODUCT, Scene

if TYPE_CHECKING:
    from pcrlog.verification import Report

SECRET = b"the secret that nobody else may see"
MINUTE, DAY = 60, 86_400


class World:
    """A log with one release, an enclave with SGX that runs it, and a PCCS."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        self.scene = Scene()
        binding = Binding("public_key", "tls-spki-sha256")
        self.release = self.scene.release(
            image=ENCLAVE, platform=SGX, numbers=NUMBERS, binding=binding
        )
        self.scene.seal()
        self.passed = 0.0
        self.reports: list[Report] = []
        self.log = stack.enter_context(LogSimulator(self.scene.log))
        self.pccs = stack.enter_context(Pccs(machines.collateral()))
        self.enclave = stack.enter_context(Enclave(folder, self.clock))
        self.enclave.document = self.enclave.on_sgx

    def clock(self) -> float:
        return self.scene.log.now + self.passed

    def policy(self, **rules: object) -> Policy:
        table = {**SGX_RULES, "pccs": self.pccs.url, **rules}
        named = {name: value for name, value in table.items() if value is not None}
        return self.scene.policy(
            log={"url": self.log.url},
            platforms={SGX: named},
            product={"platforms": [SGX]},
        )

    def verifier(self, rules: dict[str, object] | None = None, **how: Any) -> Verifier:
        given = {"clock": self.clock, "told": self.reports.append, **how}
        return Verifier(self.policy(**(rules or {})), PRODUCT, **given)

    def session(self, verifier: Verifier) -> requests.Session:
        return self.stack.enter_context(attested_session(self.enclave.url, verifier))

    def post(self, session: requests.Session) -> requests.Response:
        return session.post(f"{self.enclave.url}/secret", data=SECRET, timeout=10)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def refuses(
    world: World, verifier: Verifier, kind: type[Exception], words: str
) -> None:
    """Nothing but the question leaves."""
    with pytest.raises(kind, match=words):
        world.post(world.session(verifier))
    assert SECRET not in world.enclave.heard
    assert b"POST" not in world.enclave.heard


def test_a_body_goes_over_the_connection_that_was_verified(world: World) -> None:
    session = world.session(world.verifier())
    answer = world.post(session)
    assert answer.content == b"thanks"
    assert enclave_of(answer).version == "1.4.2"
    world.post(session)
    assert world.enclave.paths == ["GET /attestation", *2 * ["POST /secret"]]
    assert len(world.pccs.asked) == 4


def test_its_makers_word_is_not_asked_for_each_time(world: World) -> None:
    session = world.session(world.verifier())
    for _ in range(3):
        world.post(session)
        world.passed += 6 * MINUTE
    assert len(world.reports) == 3
    assert len(world.pccs.asked) == 4


def test_without_its_makers_word_nothing_is_sent(world: World) -> None:
    refuses(world, world.verifier({"pccs": None}), UncheckedError, "document.")
    world.pccs.answers.clear()
    refuses(world, world.verifier(), UncheckedError, r"answered 404, want 200")
    [first, second] = world.reports
    assert first.verdict == second.verdict == "unchecked"


def test_the_policy_may_go_without(world: World) -> None:
    world.pccs.answers.clear()
    world.post(world.session(world.verifier({"collateral": "optional"})))


def test_a_machine_that_the_policy_refuses_gets_nothing(world: World) -> None:
    old = machines.collateral(status="OutOfDate")
    refuses(
        world,
        world.verifier(collateral=lambda *_: old),
        VerificationError,
        "OutOfDate",
    )
    accepted = world.verifier({"tcb": ["OutOfDate"]}, collateral=lambda *_: old)
    world.post(world.session(accepted))


def test_where_its_makers_word_comes_from_is_the_callers(world: World) -> None:
    asked: list[tuple[str, int]] = []

    def given(document: bytes, policy: Policy, product: str, about: Asked) -> bytes:
        assert document.startswith(b"\x03\0\x02\0")
        assert policy.platforms[SGX].operator == "azure"
        asked.append((product, about.now))
        return machines.collateral()

    world.post(world.session(world.verifier(collateral=given)))
    assert asked == [(PRODUCT, world.scene.log.now)]
    assert world.pccs.asked == []


def test_where_neither_log_nor_maker_answers_both_are_told_of(world: World) -> None:
    def silent(*_: object) -> bytes:
        message = "no answer from the maker"
        raise TransportError(message)

    refuses(world, world.verifier(collateral=silent), UncheckedError, "from the maker")

    def mute(_path: str, _most: int, /) -> bytes:
        message = "no answer from the log"
        raise TransportError(message)

    verifier = world.verifier(collateral=silent, source=mute)
    refuses(world, verifier, UncheckedError, "from the log")


def test_a_key_in_the_wrong_half_is_another_enclaves(world: World) -> None:
    other = certificate().spki_sha256
    world.enclave.document = lambda nonce: machines.quote(nonce=nonce, public_key=other)
    refuses(world, world.verifier(), UncheckedError, "another key")


def test_a_quote_with_another_nonce_gets_nothing(world: World) -> None:
    key = world.enclave.own.spki_sha256
    world.enclave.document = lambda _: machines.quote(public_key=key)
    refuses(world, world.verifier(), VerificationError, "nonce")


def test_a_debug_enclave_gets_nothing(world: World) -> None:
    key = world.enclave.own.spki_sha256
    world.enclave.document = lambda nonce: machines.quote(
        nonce=nonce, public_key=key, debug=True
    )
    refuses(world, world.verifier(), VerificationError, "debug")


def test_a_revocation_ends_a_connection_that_stands(world: World) -> None:
    session = world.session(world.verifier())
    world.post(session)
    with world.log.change() as log:
        log.revoke("acme.example", "compromised", world.release)
        log.seal()
    world.passed = 6 * MINUTE
    with pytest.raises(VerificationError, match="compromised"):
        world.post(session)


def test_it_is_verified_again_where_its_makers_word_has_ended(world: World) -> None:
    ends = world.scene.log.now + MINUTE
    soon = machines.collateral(ends - 30 * DAY + 60 * MINUTE)
    session = world.session(world.verifier(collateral=lambda *_: soon))
    world.post(session)
    world.passed = 59
    world.post(session)
    assert len(world.reports) == 1
    world.passed = 61
    world.post(session)
    assert len(world.reports) == 2
    # The clocks of others may differ, by as much as the policy says.
    world.passed = 7 * MINUTE
    with pytest.raises(UncheckedError, match=r"document\.collateral"):
        world.post(session)
