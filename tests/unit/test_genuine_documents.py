"""Genuine documents of AWS, released as what they measure, go through a whole run.

../shared/vectors/nitro/INDEX.md says of each file what is to become of it. Each ACCEPT
document of an enclave is released under its real registers in a log in memory, and then
verified at its own time, under the builtin root.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pcrlog.verification import Report
from tests.support import vectors
from tests.support.memory_log import START
from tests.support.scene import (
    HOUR,
    PRODUCT,
    Scene,
    found,
    link,
    not_passed,
    status,
)

DOCUMENT = (
    "document.form",
    "document.signature",
    "document.chain",
    "document.time",
    "document.nonce",
    "document.debug",
)
REFUSED = {
    "neg_fortanix_tampered_certificate.cbor": "document.form",
    "neg_veracruz_bad_sig.cbor": "document.signature",
    "neg_oyster_custom_untrusted_root.cbor": "document.chain",
    "nitrotpm_vaportpm_2026-02.cbor": "document.form",
}
"""The check that INDEX.md implies: a corrupted certificate cannot be read."""


@dataclass(frozen=True)
class Case:
    """One file, and what expected.json says of it."""

    name: str
    data: bytes
    expected: dict[str, Any]

    @property
    def time(self) -> int:
        """When it was signed (unix seconds); any time, if it cannot be read."""
        return int(self.expected.get("timestamp_ms", 1000 * START)) // 1000

    @property
    def image(self) -> dict[str, str]:
        """PCR0 to PCR2."""
        registers = self.expected["registers"]
        return {f"PCR{n}": f"sha384:{registers[str(n)]}" for n in range(3)}

    @property
    def nonce(self) -> bytes | None:
        """The nonce that it carries, where that is known."""
        text = self.expected.get("nonce_hex")
        return bytes.fromhex(text) if text else None


def load(directory: Path) -> list[Case]:
    folder = directory / "nitro"
    expected = json.loads((folder / "expected.json").read_bytes())
    return [Case(name, (folder / name).read_bytes(), e) for name, e in expected.items()]


def cases(*verdicts: str) -> Sequence[pytest.ParameterSet]:
    """The enclaves' documents of these verdicts."""

    def chosen(directory: Path) -> Iterator[Case]:
        for case in load(directory):
            tpm = case.expected.get("register_field") == "nitrotpm_pcrs"
            if case.expected["expect"] in verdicts and not tpm:
                yield case

    return vectors.cases(chosen, name=lambda case: case.name)


def run(case: Case, image: dict[str, str] | None, **changes: Any) -> Report:
    """The run at the document's own time, of a log in which its image is released."""
    scene = Scene()
    scene.log.now = changes.get("now", START)
    if image is not None:
        scene.release(image=image)
    policy = scene.policy(
        head={"archives": True}, platform={"roots": changes.pop("roots", ["builtin"])}
    )
    asked = image or dict.fromkeys(("PCR0", "PCR1", "PCR2"), "sha384:" + "00" * 48)
    given = {"at": case.time, "nonce": None, "policy": policy, **changes}
    return scene.report(asked, attestation=case.data, **given)


@pytest.mark.parametrize("case", cases("ACCEPT"))
def test_a_genuine_document_is_verified_under_its_real_registers(case: Case) -> None:
    report = run(case, case.image)
    expected = dict.fromkeys(DOCUMENT, "pass") | {"document.nonce": "unchecked"}
    assert {check: status(report, check) for check in DOCUMENT} == expected
    assert not_passed(report) == {}
    assert (report.verdict, report.exit_code) == ("verified", 0)
    assert (report.product, report.version) == (PRODUCT, "1.4.2")
    assert report.trust_ends_at == 2
    assert report.headline.endswith("as of the time asked about, not now")
    assert report.registers.matched == case.image
    names = {f"PCR{number}" for number in case.expected["registers"]}
    assert set(report.registers.unlisted) == names - set(case.image)


@pytest.mark.parametrize("case", cases("ACCEPT"))
def test_a_genuine_document_is_archived_and_never_live(case: Case) -> None:
    report = run(case, case.image, at=None)
    assert not_passed(report)["document.time"] == "fail"
    assert report.exit_code == 4


@pytest.mark.parametrize("case", cases("ACCEPT"))
def test_a_genuine_document_is_of_its_time(case: Case) -> None:
    """Five minutes old at most, and its key lives for three hours."""
    assert run(case, case.image, at=case.time + 300).exit_code == 0
    report = run(case, case.image, at=case.time + 301)
    assert not_passed(report)["document.time"] == "fail"
    report = run(case, case.image, at=case.time + 4 * HOUR)
    assert not_passed(report)["document.time"] == "fail"
    assert report.exit_code == 4


@pytest.mark.parametrize("case", cases("ACCEPT"))
def test_a_genuine_document_of_another_image_is_refused(case: Case) -> None:
    for register in case.image:
        digest = case.image[register]
        other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        scene = Scene()
        scene.release(image=case.image | {register: other})
        policy = scene.policy(head={"archives": True}, platform={"roots": ["builtin"]})
        report = scene.report(
            case.image,
            attestation=case.data,
            at=case.time,
            nonce=None,
            policy=policy,
        )
        assert not_passed(report)["release.match"] == "fail"
        assert report.exit_code == 4


def test_a_genuine_document_proves_life_to_who_sent_its_nonce(vectors: Path) -> None:
    with_nonce = [
        case
        for case in load(vectors)
        if case.nonce and case.name not in REFUSED and not case.expected["debug"]
    ]
    assert len(with_nonce) > 1
    for case in with_nonce:
        live = {"at": None, "now": case.time}
        report = run(case, case.image, nonce=case.nonce, **live)
        assert [status(report, check) for check in DOCUMENT] == ["pass"] * 6
        assert not_passed(report) == {}
        assert report.exit_code == 0
        report = run(case, case.image, nonce=b"?" * 32, **live)
        assert not_passed(report)["document.nonce"] == "fail"
        assert report.exit_code == 4


@pytest.mark.parametrize("case", cases("ACCEPT_CRYPTO_REJECT_DEBUG"))
def test_a_document_of_debug_mode_is_refused(case: Case) -> None:
    report = run(case, None)
    expected = dict.fromkeys(DOCUMENT, "pass") | {
        "document.nonce": "unchecked",
        "document.debug": "fail",
    }
    assert {check: status(report, check) for check in DOCUMENT} == expected
    assert link(report, 1) == "failed"
    assert report.headline.startswith("REFUTED: document.debug: ")
    assert report.exit_code == 4


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_document_is_refused_by_the_check_that_it_fails(
    vectors: Path, name: str
) -> None:
    [case] = [case for case in load(vectors) if case.name == name]
    report = run(case, None)
    place = DOCUMENT.index(REFUSED[name])
    assert [status(report, check) for check in DOCUMENT] == (
        ["pass"] * place + ["fail"] + ["unchecked"] * (5 - place)
    )
    assert report.headline.startswith(f"REFUTED: {REFUSED[name]}: ")
    assert report.exit_code == 4
    assert (report.registers.matched, report.registers.unlisted) == ({}, {})
    if name.startswith("nitrotpm"):
        said = "it is a document of aws-nitrotpm"
        assert found(report, "document.form") == said


def test_every_file_of_the_index_is_in_one_of_these_tests(vectors: Path) -> None:
    found_there = {case.name: case.expected["expect"] for case in load(vectors)}
    assert set(found_there) == {p.name for p in (vectors / "nitro").glob("*.cbor")}
    refused = {name for name, verdict in found_there.items() if verdict == "REJECT"}
    assert refused == {name for name in REFUSED if name.startswith("neg_")}
    verdicts = set(found_there.values())
    assert verdicts == {"ACCEPT", "ACCEPT_CRYPTO_REJECT_DEBUG", "REJECT"}


# --- what real projects publish -------------------------------------------------------


def publications(directory: Path) -> list[dict[str, Any]]:
    """Registers that real projects publish, for which there is a live document."""
    data = (directory / "publications" / "publications.json").read_bytes()
    return [one for one in json.loads(data) if "matching_live_document" in one]


def published_by(one: dict[str, Any]) -> str:
    return f"{one['publisher']}, {one['artifact']}"


@pytest.mark.parametrize("one", vectors.cases(publications, name=published_by))
def test_published_registers_are_those_of_the_live_document(
    vectors: Path, one: dict[str, Any]
) -> None:
    """A publication and a document that nobody made for each other."""
    name = Path(one["matching_live_document"]).name
    [case] = [case for case in load(vectors) if case.name == name]
    image = {n: f"sha384:{digest}" for n, digest in one["measurements"].items()}
    report = run(case, image)
    assert not_passed(report) == {}
    assert report.registers.matched == image
    assert report.exit_code == 0
    if "enclave_key" in one:
        assert f"0x{report.public_key}" == one["enclave_key"]


def test_there_are_three_such_publications(vectors: Path) -> None:
    assert len(publications(vectors)) == 3
