"""Fetching collateral, from services of every kind, and keeping it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pcrlog import limits, pccs
from pcrlog.attestation import Trust
from pcrlog.attestation.sgx import collateral, pck
from pcrlog.attestation.sgx.pck import Pck
from pcrlog.attestation.sgx.simulated_collateral import Word
from pcrlog.attestation.sgx.simulator import CERTIFICATES, Simulator
from pcrlog.errors import MalformedError, TransportError, UsageError
from pcrlog.pccs import Cached, Wanted
from tests.support.pccs_server import IDENTITY, PCK_CRL, ROOT_CRL, TCB, Answer, Pccs
from tests.support.pccs_server import answers as answers_of

NOW = 1_795_417_200
DAY = 86_400
SIMULATOR = Simulator(b"tests of pccs")
WANTED = Wanted("00A067110000", "processor")


def published(**word: Any) -> bytes:
    return SIMULATOR.collateral(Word(**{"issued": NOW, **word}))


def machine_of(simulator: Simulator) -> Pck:
    ders = [simulator.certificates[name] for name in ("pck", "ca", "root")]
    return pck.verify(ders, (simulator.root_der,), NOW)


MACHINE = machine_of(SIMULATOR)


@pytest.fixture
def service() -> Iterator[Pccs]:
    with Pccs(published()) as made:
        yield made


def gone() -> str:
    """The URL of a service that has ended."""
    with Pccs(published()) as made:
        return made.url


# --- asking --------------------------------------------------------------------------


def test_four_answers_make_one_file(service: Pccs) -> None:
    found = pccs.fetch(service.url, WANTED)
    assert json.loads(found) == json.loads(published())
    assert service.asked == [TCB, IDENTITY, PCK_CRL, ROOT_CRL]


def test_a_slash_at_the_end_of_the_url_changes_nothing(service: Pccs) -> None:
    assert pccs.fetch(f"{service.url}/", WANTED) == pccs.fetch(service.url, WANTED)


def test_the_ca_is_asked_for_by_its_name(service: Pccs) -> None:
    of_platform = PCK_CRL.replace("processor", "platform")
    service.answers[of_platform] = service.answers.pop(PCK_CRL)
    pccs.fetch(service.url, Wanted("00A067110000", "platform"))
    assert of_platform in service.asked


def test_the_header_of_older_versions_will_do(service: Pccs) -> None:
    headers = service.answers[TCB].headers
    headers["SGX-TCB-Info-Issuer-Chain"] = headers.pop("TCB-Info-Issuer-Chain")
    assert json.loads(pccs.fetch(service.url, WANTED)) == json.loads(published())


@pytest.mark.parametrize("path", [PCK_CRL, ROOT_CRL])
@pytest.mark.parametrize("spelling", ["der", "hex", "HEX\n"])
def test_lists_may_come_as_der_or_hex(service: Pccs, path: str, spelling: str) -> None:
    name = {PCK_CRL: "pck_crl", ROOT_CRL: "root_ca_crl"}[path]
    text = json.loads(published())[name]
    body = {
        "der": bytes.fromhex(text),
        "hex": text.encode(),
        "HEX\n": text.upper().encode() + b"\n",
    }[spelling]
    service.answers[path].body = body
    assert json.loads(pccs.fetch(service.url, WANTED)) == json.loads(published())


def test_the_signed_text_is_kept_byte_for_byte(service: Pccs) -> None:
    strange = b'{ "id" : "SGX",\n "a": "},\\"signature\\":\\"00\\"}" }'
    service.answers[TCB].body = (
        b' {\n"tcbInfo" : ' + strange + b' , "signature": "' + b"aB" * 64 + b'"}\r\n'
    )
    found = json.loads(pccs.fetch(service.url, WANTED))
    assert found["tcb_info"] == strange.decode()
    assert found["tcb_info_signature"] == "ab" * 64


def test_intels_own_service_has_the_roots_list_elsewhere(
    service: Pccs, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = service.url.replace("/sgx", "/elsewhere/sgx")
    path = there[there.index("/elsewhere") :] + "/IntelSGXRootCA.der"
    service.answers[path] = service.answers.pop(ROOT_CRL)
    monkeypatch.setattr(pccs, "INTEL", service.url[: service.url.index("/sgx") + 1])
    monkeypatch.setattr(pccs, "INTEL_ROOT_CRL", f"{there}/IntelSGXRootCA.der")
    assert json.loads(pccs.fetch(service.url, WANTED)) == json.loads(published())
    assert service.asked[-1] == path


@pytest.mark.parametrize("path", [TCB, IDENTITY, PCK_CRL, ROOT_CRL])
@pytest.mark.parametrize("status", [302, 404, 500, 204])
def test_any_status_but_200_is_no_answer(service: Pccs, path: str, status: int) -> None:
    answer = service.answers[path]
    service.answers["/moved"] = answer
    there = {"Location": f"{service.url}/moved"}
    service.answers[path] = Answer(answer.body, answer.headers | there, status)
    with pytest.raises(TransportError, match=f"answered {status}, want 200"):
        pccs.fetch(service.url, WANTED)
    assert "/moved" not in service.asked


@pytest.mark.parametrize("path", [TCB, IDENTITY, PCK_CRL])
def test_a_chain_that_is_missing_is_named(service: Pccs, path: str) -> None:
    (name,) = service.answers[path].headers
    service.answers[path].headers = {}
    with pytest.raises(TransportError, match=f"expected the header {name}, found none"):
        pccs.fetch(service.url, WANTED)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"tcbInfo":{}}',
        b'{"tcbInfo":{},"signature":"zz"}',
        b'{"tcbInfo":"text","signature":"00"}',
        b'{"enclaveIdentity":{},"signature":"00"}',
        b'{"tcbInfo":{},"signature":"00"}more',
        b"\xff\xfe",
    ],
)
def test_what_is_no_signed_text_is_no_answer(service: Pccs, body: bytes) -> None:
    service.answers[TCB].body = body
    with pytest.raises(TransportError, match="expected tcbInfo and signature, found"):
        pccs.fetch(service.url, WANTED)


@pytest.mark.parametrize("body", [b"-----BEGIN X509 CRL-----", b"308", b"\xff"])
def test_what_is_no_list_is_no_answer(service: Pccs, body: bytes) -> None:
    service.answers[ROOT_CRL].body = body
    with pytest.raises(TransportError, match="rootcacrl: expected DER or hex, found"):
        pccs.fetch(service.url, WANTED)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (ROOT_CRL, b"\x30\x00", {}),
        (TCB, None, {"TCB-Info-Issuer-Chain": "no%20PEM"}),
        (TCB, b'{"tcbInfo":{},"signature":"00"}', None),
        (TCB, b'{"tcbInfo":{\xff},"signature":"' + b"00" * 64 + b'"}', None),
    ],
)
def test_what_does_not_make_a_file_is_no_answer(
    service: Pccs, path: str, body: bytes | None, headers: dict[str, str] | None
) -> None:
    old = service.answers[path]
    answer = Answer(
        old.body if body is None else body, old.headers if headers is None else headers
    )
    service.answers[path] = answer
    with pytest.raises(TransportError, match="answered with what is no collateral"):
        pccs.fetch(service.url, WANTED)


def test_what_is_too_long_is_not_read_to_its_end(service: Pccs) -> None:
    service.answers[IDENTITY].body = b" " * (limits.COLLATERAL + 1)
    with pytest.raises(TransportError, match="has more than 262144 bytes"):
        pccs.fetch(service.url, WANTED)


def test_together_they_are_no_longer_than_a_file_may_be(service: Pccs) -> None:
    spaces = b" " * 150_000
    for path in (TCB, IDENTITY):
        service.answers[path].body = service.answers[path].body.replace(
            b'{"id"', b"{" + spaces + b'"id"'
        )
    with pytest.raises(TransportError, match="expected at most 262144 bytes"):
        pccs.fetch(service.url, WANTED)


def test_a_service_that_is_gone_gives_no_answer() -> None:
    with pytest.raises(TransportError, match=r"could not ask .*/tcb\?fmspc="):
        pccs.fetch(gone(), WANTED)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pccs.example",
        "ftp://pccs.example/sgx",
        "https:///sgx",
        "https://[::1/sgx",
        "https://pccs.example:port/",
        "https://pccs.example/?a=b",
        "https://pccs.example/#a",
    ],
)
def test_what_is_no_url_is_a_mistake(url: str) -> None:
    with pytest.raises(UsageError, match="expected a service's URL, https://"):
        pccs.fetch(url, WANTED)


@pytest.mark.parametrize("host", ["pccs.example", "10.0.0.1", "127.0.0.1.example"])
def test_plain_http_goes_to_this_machine_only(host: str) -> None:
    kept: dict[str, bytes] = {}
    with pytest.raises(UsageError, match=r"plain http shows nothing .* use https"):
        Cached(f"http://{host}/sgx", kept.get, kept.__setitem__)
    for here in ("localhost", "127.0.0.2", "[::1]"):
        Cached(f"http://{here}:1/sgx", kept.get, kept.__setitem__)


# --- which ---------------------------------------------------------------------------


def test_what_to_ask_for_follows_from_the_pck_certificate() -> None:
    assert pccs.wanted(MACHINE) == WANTED
    assert WANTED.name == "00A067110000-processor.json"
    ca = replace(CERTIFICATES["ca"], common_name="Intel SGX PCK Platform CA")
    other = Simulator(b"x", certificates={**CERTIFICATES, "ca": ca})
    assert pccs.wanted(machine_of(other)).ca == "platform"


def test_until_when_a_file_holds() -> None:
    assert pccs.until(published(days=3)) == NOW + 3 * DAY
    with pytest.raises(MalformedError):
        pccs.until(b"{}")


# --- keeping -------------------------------------------------------------------------


class Kept(dict[str, bytes]):
    """Where files are kept, by name; and what they are asked with."""

    def get_at(self, url: str, now: int) -> bytes:
        trust = Trust((), now)
        return Cached(url, self.get, self.__setitem__).get(MACHINE, trust)


NAME = "00A067110000-processor.json"


def test_what_was_fetched_is_kept_for_a_day(service: Pccs) -> None:
    kept = Kept()
    first = kept.get_at(service.url, NOW)
    assert kept == {NAME: first}
    assert kept.get_at(service.url, NOW + DAY - 1) == first
    assert len(service.asked) == 4
    service.answers = answers_of(published(issued=NOW + DAY))
    second = kept.get_at(service.url, NOW + DAY)
    assert len(service.asked) == 8
    assert second != first
    assert kept == {NAME: second}


def test_what_still_holds_is_used_where_nobody_answers(service: Pccs) -> None:
    kept = Kept()
    first = kept.get_at(service.url, NOW)
    assert kept.get_at(gone(), NOW + 30 * DAY) == first
    with pytest.raises(TransportError, match="could not ask"):
        kept.get_at(gone(), NOW + 30 * DAY + 1)
    with pytest.raises(TransportError, match="could not ask"):
        Kept().get_at(gone(), NOW)


def test_what_still_holds_is_used_where_a_service_has_nothing_better(
    service: Pccs,
) -> None:
    kept = Kept()
    first = kept.get_at(service.url, NOW + DAY - 1)
    service.answers = answers_of(published(issued=NOW - 31 * DAY))
    assert kept.get_at(service.url, NOW + DAY) == first
    assert kept == {NAME: first}


@pytest.mark.parametrize(
    "bad",
    [
        {"issued": NOW - 31 * DAY},
        {"tcb_info": {"fmspc": "00606A000000"}},
    ],
)
def test_what_does_not_hold_is_handed_on_and_not_kept(
    service: Pccs, bad: dict[str, Any]
) -> None:
    # Whoever verifies the quote with it says what is wrong.
    kept = Kept()
    service.answers = answers_of(published(**bad))
    found = kept.get_at(service.url, NOW)
    assert collateral.parse(found) == collateral.parse(published(**bad))
    assert kept == {}


@pytest.mark.parametrize(
    "older",
    [
        {"issued": NOW - 5 * DAY},
        {"tcb_info": {"tcbEvaluationDataNumber": 16}},
        {"qe_identity": {"tcbEvaluationDataNumber": 16}},
    ],
)
def test_what_is_kept_gives_way_to_nothing_older(
    service: Pccs, older: dict[str, Any]
) -> None:
    """The machine was up to date once; its firmware is not now."""
    kept = Kept()
    service.answers = answers_of(published(status="OutOfDate"))
    first = kept.get_at(service.url, NOW)
    later = NOW + DAY + 1
    service.answers = answers_of(published(**{"issued": later, **older}))
    assert kept.get_at(service.url, later) == first
    assert kept == {NAME: first}
    service.answers = answers_of(published(issued=later))
    newest = kept.get_at(service.url, later)
    assert json.loads(newest) == json.loads(published(issued=later))
    assert kept == {NAME: newest}


@pytest.mark.parametrize("name", ["revoked", "revoked_by_root"])
def test_a_revocation_is_kept(service: Pccs, name: str) -> None:
    kept = Kept()
    serial = SIMULATOR.serial("pck" if name == "revoked" else "ca")
    service.answers = answers_of(published(**{name: (serial,)}))
    first = kept.get_at(service.url, NOW)
    service.answers = answers_of(published(issued=NOW - DAY))
    for later in (NOW + 1, NOW + 2 * DAY):
        assert kept.get_at(service.url, later) == first


@pytest.mark.parametrize("spoiled", [b"", b"{}", published(issued=NOW + DAY)])
def test_what_is_kept_and_does_not_hold_is_fetched_anew(
    service: Pccs, spoiled: bytes
) -> None:
    kept = Kept({NAME: spoiled})
    assert json.loads(kept.get_at(service.url, NOW)) == json.loads(published())
    assert kept[NAME] != spoiled
