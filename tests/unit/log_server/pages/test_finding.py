"""Whatever somebody pastes leads to the page that it belongs on."""

import json

import pytest
from flask.testing import FlaskClient

from demo.example import commit, registers
from log_server.pages.finding import LONGEST
from pcrlog.encoding import sha256
from pcrlog.envelope import Envelope
from tests.support.html_page import Page

REGISTERS = registers("1.5.0")
PCR0 = REGISTERS["PCR0"].partition(":")[2]
MEASUREMENT = f"./measurement/aws-nitro/PCR0=sha384:{PCR0}"
PART = sha256(b"vsock-proxy 2.1.0").hex()
PRINTED = json.dumps(
    {"Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": PCR0, "PCR1": "00"}},
    indent=2,
)


def leads(reader: FlaskClient, asked: str) -> str:
    answer = reader.get("/search", query_string={"q": asked})
    assert answer.status_code == 303, answer.get_data(as_text=True)[-600:]
    return answer.headers["Location"]


def keyid(reader: FlaskClient, index: int) -> str:
    raw = reader.get(f"/api/v1/entries/{index}").data
    return next(iter(Envelope.parse(raw).signatures))


@pytest.mark.parametrize(
    "asked",
    [
        PCR0,
        PCR0.upper(),
        f"  {PCR0}\n",
        f"sha384:{PCR0}",
        f"PCR0=sha384:{PCR0}",
        f"PCR0: {PCR0}",
        f"aws-nitro/PCR0=sha384:{PCR0}",
        PRINTED,
    ],
    ids=["bare", "upper", "spaced", "algorithm", "m", "line", "whole", "json"],
)
def test_a_pcr0_leads_to_its_measurement(reader: FlaskClient, asked: str) -> None:
    assert leads(reader, asked) == MEASUREMENT


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("0", "./entry/0"),
        ("#7", "./entry/7"),
        ("acme.example/wallet", "./product/acme.example/wallet"),
        ("ACME.example/wallet", "./product/acme.example/wallet"),
        ("lab.example", "./identity/lab.example"),
        ("registrar", "./identity/registrar"),
        (PART, f"./component/{PART}"),
        (f"sha256:{PART}", f"./component/{PART}"),
        (commit("1.5.0"), f"./measurement/source/commit=gitCommit:{commit('1.5.0')}"),
    ],
)
def test_each_kind_of_thing_leads_to_its_page(
    reader: FlaskClient, asked: str, path: str
) -> None:
    assert leads(reader, asked) == path
    assert reader.get(path.removeprefix(".")).status_code == 200


def test_a_key_leads_to_who_has_it(reader: FlaskClient) -> None:
    assert leads(reader, keyid(reader, 11)) == "./identity/acme.example"


def test_a_statement_leads_to_its_entry(reader: FlaskClient) -> None:
    raw = reader.get("/api/v1/entries/11").data
    digest = sha256(Envelope.parse(raw).payload).hex()
    assert leads(reader, digest) == "./entry/11"


def listed(reader: FlaskClient, asked: str) -> Page:
    answer = reader.get("/search", query_string={"q": asked})
    assert answer.status_code == 200
    page = Page.parse(answer.get_data(as_text=True))
    assert page.wrong == []
    return page


def test_the_beginning_of_a_word_gives_a_list(reader: FlaskClient) -> None:
    assert "released wallet 1.5.1" in listed(reader, "wall").text
    assert "released wallet 1.4.0" in listed(reader, "1.4.0").text
    assert "./entry/0" in listed(reader, keyid(reader, 0)[:10]).links


def test_several_words_have_to_be_there_together(reader: FlaskClient) -> None:
    page = listed(reader, "wallet 1.4.1")
    assert "released wallet 1.4.1" in page.text
    assert "released wallet 1.4.0" not in page.text


@pytest.mark.parametrize(
    "asked",
    ["nothing-of-the-kind", "a" * 96, "9" * 15, "a b c d e f", "<b>", "\u202eabc", "é"],
)
def test_what_is_not_there_is_said(reader: FlaskClient, asked: str) -> None:
    answer = reader.get("/search", query_string={"q": asked})
    assert answer.status_code == 404
    page = Page.parse(answer.get_data(as_text=True))
    assert page.wrong == []
    assert "Nothing found" in page.text


def test_a_pcr1_is_told_why_it_is_not_found(reader: FlaskClient) -> None:
    other = REGISTERS["PCR1"].partition(":")[2]
    answer = reader.get("/search", query_string={"q": other})
    assert "not looked up" in answer.get_data(as_text=True).replace("\n", " ")


def test_nothing_asked_is_no_mistake(reader: FlaskClient) -> None:
    assert reader.get("/search").status_code == 200
    assert reader.get("/search?q=").status_code == 200
    assert reader.get("/search?q=a&q=b").status_code == 400
    assert reader.get("/search?x=a").status_code == 400
    too_long = {"q": "a" * (LONGEST + 1)}
    assert reader.get("/search", query_string=too_long).status_code == 400
