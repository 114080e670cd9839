"""The page of a report: nothing hostile gets through, and format v1 never changes."""

import re
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from msgspec import structs

from cli.report_cited import Sayings
from cli.report_page import render
from cli.report_parts import Cited, Parts, Run
from pcrlog.bundle import Bundle, Included
from pcrlog.envelope import Envelope
from pcrlog.policy import Policy
from pcrlog.predicates import Basis, Document, OpenFindings
from pcrlog.verification import Report
from tests.support.scene import CONTROL, NONCE, PROVIDER, Inputs, Scene

HOSTILE = (
    "</pre><script>alert(1)</script>\"'&<!--\u202e\x1b[31m\n<img src=//x onerror=1>"
)


def parts_of(inputs: Inputs, policy: str, report: Report | None = None) -> Parts:
    """What a file of this run would be made of."""
    run = Run(
        program="0.1.0",
        product=inputs.product,
        now=inputs.now,
        at=inputs.at,
        nonce=None if inputs.nonce is None else inputs.nonce.hex(),
        binding=None,
        channel=False,
        memory=None,
    )
    told = (report or inputs.report()).to_json()
    document, bundle = inputs.attestation, inputs.bundle
    return Parts(run.encode(), policy.encode(), document, bundle, told)


@pytest.fixture(scope="module")
def audited() -> tuple[Inputs, str]:
    """A release that was rebuilt, and reviewed with findings left open."""
    scene = Scene()
    scene.release()
    scene.reproduce(report=Document("https://lab.example/report.pdf", "ee" * 32))
    scene.review(result="qualified", open=OpenFindings(0, 1, 2, 5))
    policy = scene.policy_text(product={"open_findings": {"critical": 0}})
    return scene.inputs(policy=Policy.parse(policy.encode())), policy


class Seen(HTMLParser):
    """Which elements and attributes a page has, and its words."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


def test_names_dates_and_what_is_open_are_told(audited: tuple[Inputs, str]) -> None:
    words = Seen(render(parts_of(*audited))).words
    for said in (
        "Is this enclave acme.example/wallet? Asked on 2026-11-23 07:00:00 UTC.",
        "Verified to link 4 of 7",
        "acme.example released acme.example/wallet 1.4.2",
        "reproduction by lab.example: pass",
        "performed2026-11-23T07:00:00Z",
        "source-review by lens.example: qualified",
        "0 critical, 1 high, 2 medium, 5 low",
        "https://lab.example/report.pdf",
        "Trust ends here",
        "link 7, controls: missing. Nobody says anything.",
        f"That the nonce {NONCE.hex()} was new",
        "All 29 checks",
    ):
        assert said in words


def test_a_page_fetches_nothing_and_runs_nothing(audited: tuple[Inputs, str]) -> None:
    page = render(parts_of(*audited))
    seen = Seen(page)
    assert not seen.elements & {
        "script",
        "a",
        "img",
        "link",
        "iframe",
        "form",
        "object",
    }
    assert seen.attributes == {
        "charset", "class", "content", "http-equiv", "id", "lang", "name"
    }  # fmt: skip
    assert b"url(" not in page
    assert b"@import" not in page
    [style] = re.findall(rb"<style>(.*?)</style>", page, re.DOTALL)
    [fetch] = re.findall(rb'Content-Security-Policy" content="([^"]*)"', page)
    assert fetch.startswith(b"default-src 'none'; base-uri 'none'; form-action 'none';")
    assert encoded(style) in fetch


def encoded(style: bytes) -> bytes:
    from base64 import b64encode  # noqa: PLC0415 - an oracle

    return b"'sha256-" + b64encode(sha256(style).digest()) + b"'"


def hostile(value: object) -> object:
    """The same, with every free string as an attacker would have it."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, tuple):
        return tuple(hostile(one) for one in value)
    if isinstance(value, dict):
        return {HOSTILE: HOSTILE}
    if hasattr(value, "__struct_fields__"):
        kept = ("status", "verdict", "format", "ground", "id", "number")
        rows = structs.asdict(value).items()  # type: ignore[arg-type] # a struct
        changes = {k: hostile(v) for k, v in rows if k not in kept}
        return structs.replace(value, **changes)  # type: ignore[type-var] # as above
    return value


def test_what_a_report_quotes_is_never_markup(audited: tuple[Inputs, str]) -> None:
    inputs, policy = audited
    report = hostile(inputs.report())
    assert isinstance(report, Report)
    page = render(parts_of(inputs, policy, report))
    seen = Seen(page)
    assert page.count(b"<script") == page.count(b"<img") == page.count(b"<!--") == 0
    assert not seen.elements & {"script", "img"}
    assert "onerror" not in seen.attributes
    assert "</pre><script>alert(1)</script>" in seen.words
    for strange in ("\u202e", "\x1b"):
        assert strange not in seen.words


def test_what_a_policy_says_is_never_markup() -> None:
    scene = Scene()
    scene.release()
    policy = scene.policy_text(platform={"operator": "<script>alert(2)</script>"})
    inputs = scene.inputs(policy=Policy.parse(policy.encode()))
    page = render(parts_of(inputs, policy))
    assert b"<script" not in page
    assert b"run by &lt;script&gt;" in page


@pytest.mark.parametrize("bundle", [None, b"", b"{}", b"\xff"])
def test_without_answers_a_page_says_what_it_knows(
    audited: tuple[Inputs, str], bundle: bytes | None
) -> None:
    inputs, policy = audited
    report = inputs.report()
    parts = structs.replace(parts_of(inputs, policy, report), bundle=bundle)
    assert "an entry of the log" in Seen(render(parts)).words


def test_nothing_proven_is_no_link() -> None:
    scene = Scene()
    scene.release()
    policy = scene.policy_text()
    inputs = scene.inputs(policy=Policy.parse(policy.encode()), nonce=None)
    words = Seen(render(parts_of(inputs, policy))).words
    assert "trust ends atno link" in words
    assert words.index("Trust ends here") < words.index("Attestation")


def test_every_kind_of_entry_has_words() -> None:
    scene = Scene()
    release = scene.release(
        variant="x86_64", expires="2030-01-01T00:00:00Z", controls=(CONTROL,)
    )
    review = scene.review(basis=Basis("12" * 20, "34" * 32))
    revocation = scene.log.revoke(PROVIDER, "withdrawn", release)
    sayings = Sayings(scene.inputs().bundle)
    said = {
        index: sayings.of(Cited(index, "56" * 32))[0]
        for index in (1, release, review, revocation)
    }
    assert said[1].title == f"identity of {PROVIDER}"
    assert said[revocation].title == f"revocation by {PROVIDER}: withdrawn"
    assert {"variant", "expires", "control"} <= dict(said[release].facts).keys()
    assert ("builds on the review of", f"commit {'12' * 20}") in said[review].facts


def test_an_entry_that_cannot_be_read_is_said_to_be_one() -> None:
    scene = Scene()
    index = scene.release()
    bundle = Bundle.parse(scene.inputs().bundle or b"")
    strange = Envelope.rebuild(b'{"unknown":1}', bundle.entries[index].envelope.rows)
    entries = {**bundle.entries, index: Included(strange, ())}
    forged = structs.replace(bundle, entries=entries).encode()
    said, before = Sayings(forged).of(Cited(index, "56" * 32))
    assert (said.title, before) == ("an entry that cannot be read", False)
    assert said.facts == (("signed by", f"key {'56' * 32}"),)
