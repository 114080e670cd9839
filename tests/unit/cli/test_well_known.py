"""`/.well-known/pcrlog`, and `pcrlog verify HOST`: a hint that leads nowhere else."""

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from cli.staple_folder import Health
from cli.well_known import SIZE, WellKnown
from pcrlog.encoding import encode_json, sha256
from pcrlog.errors import MalformedError
from pcrlog.predicates import Binding
from tests.support.scene import DAY, PRODUCT, document
from tests.support.vectors import ROOT
from tests.unit.cli.world import ROGUE, World

LOCAL = "localhost"
LOG = "log.example/pcr"
HOST = "wallet.acme.example"
WHOLE = WellKnown(
    format="pcrlog-well-known/v1",
    product=PRODUCT,
    attestation=f"https://{HOST}:8443/attestation",
    bundle=f"https://{HOST}/wallet.pcrbundle",
    logs=(LOG, "other.example/log"),
)

Answer = tuple[int, dict[str, str], bytes]


# --- the file ------------------------------------------------------------------------


def test_a_file_is_what_it_is_read_as() -> None:
    assert WellKnown.parse(WHOLE.encode(), HOST) == WHOLE


def members(**changed: object) -> bytes:
    found = json.loads(WHOLE.encode())
    found.update(changed)
    kept = {name: value for name, value in found.items() if value is not None}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()


def test_a_bundle_may_be_elsewhere_or_nowhere() -> None:
    assert WellKnown.parse(members(bundle=None), HOST).bundle is None


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "pcrlog-well-known/v2"},
        {"product": "wallet"},
        {"product": None},
        {"attestation": None},
        {"attestation": f"http://{HOST}/attestation"},
        {"attestation": "https://evil.example/attestation"},
        {"attestation": f"https://{HOST}@evil.example/"},
        {"attestation": f"https://{HOST}.evil.example/"},
        {"attestation": f"https://evil.example#@{HOST}/"},
        {"attestation": f"https://evil.example\\@{HOST}/"},
        {"attestation": f"https://{HOST}/attestation?nonce=00"},
        {"attestation": f"https://{HOST}/\n"},
        {"attestation": f"https://{HOST}/" + "a" * 256},
        {"attestation": "/attestation"},
        {"bundle": "https://evil.example/wallet.pcrbundle"},
        {"bundle": f"file://{HOST}/etc/passwd"},
        {"bundle": ""},
        {"logs": []},
        {"logs": ["b", "a"]},
        {"logs": ["a", "a"]},
        {"logs": [f"log{n}" for n in range(9)]},
        {"logs": ["a b"]},
        {"logs": LOG},
        {"policy": "https://evil.example/policy.toml"},
    ],
    ids=str,
)
def test_another_file_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        WellKnown.parse(members(**changed), HOST)


def test_a_null_is_not_an_absent_member() -> None:
    text = WHOLE.encode().replace(f'"{WHOLE.bundle}"'.encode(), b"null")
    with pytest.raises(MalformedError):
        WellKnown.parse(text, HOST)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: data.replace(b",", b", "),
        lambda data: data[:-1] + b',"product":"acme.example/wallet"}',
        lambda data: data.replace(b"wallet", "wället".encode()),
        lambda data: data + b" " * SIZE,
        lambda _: b"",
        lambda _: b"<html>",
        lambda _: b"[" * 1000,
    ],
    ids=range(9),
)
def test_another_spelling_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedError):
        WellKnown.parse(spoil(WHOLE.encode()), HOST)


def test_no_cut_of_a_file_is_a_file() -> None:
    whole = WHOLE.encode()
    for end in range(len(whole)):
        with pytest.raises(MalformedError):
            WellKnown.parse(whole[:end], HOST)


# --- a host --------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Host)
        path = urlsplit(self.path)
        server.asked.append(path.path)
        nonce = parse_qs(path.query).get("nonce", [""])[0]
        status, headers, body = server.answer(path.path, nonce)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Host(ThreadingHTTPServer):
    """An enclave, its web server and its stapled bundle: all at one address, by TLS."""

    daemon_threads = True

    def __init__(self, world: World, certificate: Path, spki: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world, self.spki = world, spki
        self.asked: list[str] = []
        self.instead: dict[str, Answer] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def name(self) -> str:
        return f"{LOCAL}:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that believes no certificate of ours hangs up."""

    def answer(self, path: str, nonce: str) -> Answer:
        if path in self.instead:
            return self.instead[path]
        if path == "/attestation":
            time = self.world.log.now
            sent = bytes.fromhex(nonce)
            body = document(time=time, nonce=sent, user_data=sha256(self.spki))
            return 200, {}, body
        file = self.world.folder / "web" / path.removeprefix("/")
        return (200, {}, file.read_bytes()) if file.is_file() else (404, {}, b"")


def certificate(folder: Path) -> tuple[Path, bytes]:
    """A certificate of `localhost` with its key, and the key's SPKI."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(LOCAL)]), False)  # noqa: FBT003 - its own way
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)  # noqa: FBT003 - as above
        .sign(key, SHA256())
    )
    path = folder / "host.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    spki = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return path, spki


@pytest.fixture
def host(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host that staples, and a world whose authorities vouch for its name."""
    world.scene.release(binding=Binding("user_data", "tls-spki-sha256"))
    world.log.seal()
    path, spki = certificate(world.folder)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    made = Host(world, path, spki)
    words = f"--attestation https://{made.name}/attestation"
    staple = f"staple --policy policy.toml --follow {PRODUCT} --out web --once"
    assert world.run(staple, words).status == 0
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    world.asked.clear()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@dataclass
class Verified:
    status: int
    err: str
    report: dict[str, Any] = field(default_factory=dict)


def verify(host: Host, *words: str, asked: str = "") -> Verified:
    where = asked or host.name
    ran = host.world.run(f"verify {where} --policy policy.toml --json", *words)
    report = json.loads(ran.out) if ran.out else {}
    words_of_it = report.get("error", "") or " ".join(ran.err.split())
    return Verified(ran.status, words_of_it, report)


AT = "/.well-known/pcrlog"


def hint(host: Host, **changed: object) -> None:
    """The host's file, with other members."""
    path = host.world.folder / "web" / AT.removeprefix("/")
    found = json.loads(path.read_bytes())
    found.update(changed)
    kept = {name: value for name, value in found.items() if value is not None}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    host.instead[AT] = (200, {}, text.encode())


def test_a_host_is_verified_by_one_command(host: Host) -> None:
    ran = verify(host)
    assert (ran.status, ran.report["verdict"]) == (0, "verified"), ran.err
    assert f"{LOCAL} says that it is {PRODUCT}" in ran.err
    assert host.asked == [AT, "/wallet.pcrbundle", "/attestation"]
    [channel] = [one for one in ran.report["checks"] if one["id"] == "channel"]
    assert channel["status"] == "pass"


def test_the_log_is_not_told_whom_one_talks_to(host: Host) -> None:
    verify(host)
    assert host.world.asked == []


@pytest.mark.parametrize("spelt", ["https://{}", "https://{}/", "{}/"])
def test_a_host_is_spelt_as_people_do(host: Host, spelt: str) -> None:
    asked = spelt.format(host.name.replace("localhost", "LocalHost"))
    assert verify(host, asked=asked).status == 0


def test_what_was_asked_for_is_not_told_again(host: Host) -> None:
    ran = verify(host, f"--product {PRODUCT}")
    assert (ran.status, ran.err) == (0, "")


def test_another_product_than_was_asked_for_is_not_verified(host: Host) -> None:
    host.world.write_policy(
        products={"acme.example/vault": {"platforms": ["aws-nitro"]}}
    )
    ran = verify(host, "--product acme.example/vault")
    assert ran.status == 3
    assert f"you asked for acme.example/vault, and {LOCAL} says" in ran.err
    assert host.asked == [AT]


def test_a_product_that_the_policy_does_not_name_is_not_taken(host: Host) -> None:
    hint(host, product="evil.example/wallet")
    ran = verify(host)
    assert ran.status == 2
    assert "says that it is evil.example/wallet, which the policy does not" in ran.err
    assert host.asked == [AT]


def test_a_product_that_it_is_not_is_refuted(host: Host) -> None:
    """Whatever a host calls itself, its registers decide."""
    host.world.write_policy(
        products={"acme.example/vault": {"platforms": ["aws-nitro"]}}
    )
    hint(host, product="acme.example/vault", bundle=None)
    ran = verify(host)
    assert ran.status == 4
    assert ran.report["product"] == "acme.example/vault"


# --- the stapled bundle --------------------------------------------------------------


def test_without_a_stapled_bundle_the_log_is_asked(host: Host) -> None:
    hint(host, bundle=None)
    assert verify(host).status == 0
    assert "GET api/v1/bundle" in host.world.asked


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b""),
        (302, {"Location": "https://evil.example/"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b""),
        (200, {}, b"x" * 1_100_000),
        (200, {"Content-Length": "10"}, b"x"),
    ],
    ids=range(6),
)
def test_a_stapled_bundle_that_is_none_leaves_the_log(
    host: Host, answer: Answer
) -> None:
    host.instead["/wallet.pcrbundle"] = answer
    ran = verify(host)
    assert ran.status == 0, ran.err
    assert "stapled bundle" in ran.err
    assert "GET api/v1/bundle" in host.world.asked


def test_a_stale_bundle_leaves_the_log(host: Host) -> None:
    host.world.log.now += 2 * DAY
    host.world.log.seal()
    ran = verify(host)
    assert ran.status == 0
    assert "the stapled bundle will not do: log.freshness" in ran.err


def test_a_bundle_about_something_else_leaves_the_log(host: Host) -> None:
    other = host.world.log.bundle(PRODUCT, ROGUE).encode()
    host.instead["/wallet.pcrbundle"] = (200, {}, other)
    ran = verify(host)
    assert ran.status == 0, ran.err
    assert "the stapled bundle will not do: answers.present" in ran.err


def test_a_stapled_revocation_refutes(host: Host) -> None:
    log = host.world.log
    [index] = [i for i, e in log.entries.items() if "wallet" in str(e.statement)]
    log.revoke("acme.example", "vulnerable", index)
    log.seal()
    staple = f"staple --policy policy.toml --follow {PRODUCT} --out web --once"
    assert host.world.run(staple).status == 4
    host.world.asked.clear()
    ran = verify(host)
    assert ran.status == 4
    assert host.world.asked == []


def test_ones_own_bundle_goes_before_the_stapled_one(host: Host) -> None:
    assert verify(host, "--bundle web/wallet.pcrbundle").status == 0
    assert "/wallet.pcrbundle" not in host.asked


# --- which log -----------------------------------------------------------------------


def test_the_policy_decides_which_log(host: Host) -> None:
    hint(host, logs=["evil.example/log"], bundle=None)
    ran = verify(host)
    assert ran.status == 0
    assert "evil.example/log, of which the policy knows nothing" in ran.err


def two_logs(world: World) -> None:
    """The policy knows another log, too."""
    text = (world.folder / "policy.toml").read_text()
    other = type(world.log)(origin="other.example/pcr")
    more = (
        f'{{"vkey" = "{other.signer.public}", "url" = "https://other.example/pcr",'
        f' "registrar" = "{"ab" * 32}", "witnesses" = "none",'
        ' "index_monitors" = "none"}]'
    )
    lines = text.splitlines()
    [at] = [n for n, line in enumerate(lines) if line.startswith("log = ")]
    lines[at] = f"{lines[at].removesuffix(']')}, {more}"
    world.write("policy.toml", "\n".join(lines).encode())


def test_of_several_logs_of_the_policy_the_hint_chooses_one(host: Host) -> None:
    two_logs(host.world)
    hint(host, bundle=None)
    assert verify(host).status == 0
    hint(host, bundle=None, logs=["evil.example/log"])
    ran = verify(host)
    assert ran.status == 2
    assert "which log?" in ran.err


# --- hostile hosts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}, b""), "is not there: say where its attestation is"),
        ((500, {}, b""), "answered 500"),
        ((301, {"Location": "https://evil.example/"}, b""), "leads elsewhere"),
        ((302, {"Location": "/elsewhere"}, b""), "leads elsewhere"),
        ((200, {}, b"x" * (SIZE + 1)), "more than 4096 bytes"),
        ((200, {}, b"<html>"), "is not what it should be"),
        ((200, {"Content-Length": "10"}, b"{}"), "could not ask"),
    ],
    ids=range(7),
)
def test_an_answer_that_is_none_could_not_be_checked(
    host: Host, answer: Answer, words: str
) -> None:
    host.instead[AT] = answer
    ran = verify(host)
    assert ran.status == 3
    assert words in ran.err
    assert host.asked == [AT]


@pytest.mark.parametrize("name", ["attestation", "bundle"])
@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "http://localhost/x", "https://127.0.0.1/x"]
)
def test_a_hint_leads_to_no_other_host_and_to_no_plain_http(
    host: Host, name: str, url: str
) -> None:
    hint(host, **{name: url})
    ran = verify(host)
    assert ran.status == 3
    assert "is not what it should be" in ran.err
    assert host.asked == [AT]


def test_a_host_that_no_authority_vouches_for_is_not_read(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    ran = verify(host)
    assert ran.status == 3
    assert host.asked == []


@pytest.mark.parametrize(
    "asked",
    [
        "http://localhost",
        "localhost/path",
        "user@localhost",
        "localhost:0",
        "local_host",
        "https://",
        "-x.example?",
    ],
)
def test_what_is_no_host_is_not_asked(host: Host, asked: str) -> None:
    assert verify(host, asked=asked).status == 2
    assert host.asked == []


@pytest.mark.parametrize(
    "words", ["--url https://localhost/attestation", "--attestation doc"]
)
def test_one_thing_says_what_is_verified(host: Host, words: str) -> None:
    assert verify(host, words).status == 2


def test_without_a_host_a_product_is_asked_for(world: World) -> None:
    ran = world.run("verify --policy policy.toml --url https://localhost/attestation")
    assert ran.status == 2
    assert "what is it meant to be?" in ran.err


# --- the page ------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "stapling.md").read_text(encoding="utf-8")


def told(head: str) -> set[str]:
    """The members that a table of the page names in its first column."""
    [table] = [one for one in PAGE.split("\n\n") if head in one]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return {
        name for row in rows for name in re.findall(r"`(\w+\??)`", row.split("|")[1])
    }


def test_the_page_has_the_members_of_both_files() -> None:
    fields = msgspec.structs.fields(WellKnown)
    names = {one.name if one.required else f"{one.name}?" for one in fields}
    assert told("| `logs` |") == names
    assert told("| `condition` |") == {
        one.name for one in msgspec.structs.fields(Health)
    }


def test_the_example_of_the_page_is_a_file() -> None:
    [text] = re.findall(r"(?s)```json\n(.*?)```", PAGE)
    data = encode_json(json.loads(text))
    assert WellKnown.parse(data, HOST).encode() == data
    assert f"at most {SIZE:,} bytes" in PAGE
