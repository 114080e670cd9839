"""Provenance: what is accepted of a Sigstore bundle, and what is not."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import DNSName, GeneralName, RFC822Name

from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, UsageError, VerificationError
from tests.support.sigstore_world import BUILDER, ISSUER, SIGNER, Sigstore, statement
from workbench.provenance import MOST, check, verify

FILE, COMMIT = "ab" * 32, "cd" * 20
V02 = "https://slsa.dev/provenance/v0.2"
WORLD = Sigstore()


@cache
def good() -> bytes:
    return WORLD.bundle(statement(FILE, COMMIT))


@pytest.fixture
def root(tmp_path: Path) -> str:
    path = tmp_path / "root.json"
    path.write_bytes(WORLD.trusted_root())
    return str(path)


def test_a_bundle_says_who_built_what_from_what(root: str) -> None:
    found = verify(good(), root)
    assert (found.signer, found.issuer, found.builder) == (SIGNER, ISSUER, BUILDER)
    assert (found.files, found.commits) == ((FILE,), (COMMIT,))
    assert found.sha256 == sha256(good()).hex()
    assert found.time == "2026-11-23T07:00:00Z"
    assert check(found, FILE, COMMIT) == ()


def test_the_older_form_is_read_too(root: str) -> None:
    found = verify(WORLD.bundle(statement(FILE, COMMIT, V02)), root)
    assert (found.builder, found.commits) == (BUILDER, (COMMIT,))


def test_what_it_leaves_open_is_said(root: str) -> None:
    found = verify(WORLD.bundle(statement(FILE, None)), root)
    assert check(found, FILE, COMMIT) == ("the provenance names no commit",)
    assert len(check(found, None, None)) == 1


def test_another_file_or_commit_is_refused(root: str) -> None:
    found = verify(good(), root)
    with pytest.raises(VerificationError, match="about other files"):
        check(found, "ee" * 32, COMMIT)
    with pytest.raises(VerificationError, match="from commit eeee"):
        check(found, FILE, "ee" * 20)


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    bundle = json.loads(good())
    change(bundle)
    return json.dumps(bundle).encode()


def _entry(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


def _payload(bundle: dict[str, Any]) -> None:
    other = json.loads(WORLD.bundle(statement("ee" * 32, COMMIT)))
    bundle["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]


def _signature(bundle: dict[str, Any]) -> None:
    other = json.loads(WORLD.bundle(statement("ee" * 32, COMMIT)))
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]


def _other_entry(bundle: dict[str, Any]) -> None:
    other = json.loads(WORLD.bundle(statement("ee" * 32, COMMIT)))
    entries = other["verificationMaterial"]["tlogEntries"]
    bundle["verificationMaterial"]["tlogEntries"] = entries


def _no_checkpoint_signature(bundle: dict[str, Any]) -> None:
    proof = _entry(bundle)["inclusionProof"]["checkpoint"]
    head, _, _ = proof["envelope"].partition("\n\n")
    proof["envelope"] = f"{head}\n\n— rekor.example AAAAAAAA\n"


def _no_promise(bundle: dict[str, Any]) -> None:
    del _entry(bundle)["inclusionPromise"]


def _later(bundle: dict[str, Any]) -> None:
    _entry(bundle)["integratedTime"] = "1900000000"


def _no_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


@pytest.mark.parametrize(
    "change",
    [
        _payload,
        _signature,
        _other_entry,
        _no_checkpoint_signature,
        _no_promise,
        _later,
        _no_entry,
    ],
)
def test_a_changed_bundle_does_not_hold(
    root: str, change: Callable[[dict[str, Any]], None]
) -> None:
    with pytest.raises((VerificationError, MalformedError)):
        verify(changed(change), root)


def test_a_certificate_of_another_authority_is_nobodys(root: str) -> None:
    bundle = Sigstore(seed=2).bundle(statement(FILE, COMMIT))
    with pytest.raises(VerificationError, match="does not hold"):
        verify(bundle, root)


def test_a_certificate_that_had_run_out_signed_nothing(root: str) -> None:
    bundle = Sigstore(late=timedelta(minutes=11)).bundle(statement(FILE, COMMIT))
    with pytest.raises(VerificationError, match="does not hold"):
        verify(bundle, root)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"{", "not JSON"),
        (b"[" * 9_000, "not JSON"),
        (b"[]", "shape"),
        (statement(FILE, COMMIT, predicateType="https://spdx.dev/x"), "expected SLSA"),
        (statement(FILE, COMMIT, _type="x"), "expected SLSA"),
        (statement(FILE, COMMIT, predicate=[]), "shape"),
        (statement(FILE, COMMIT, subject={}), "a list that is none"),
        (statement(FILE, COMMIT, subject=[{}] * 2_000), "more than 1024"),
        (statement(FILE, COMMIT, predicate={"runDetails": {"builder": {}}}), "builder"),
    ],
    ids=range(9),
)
def test_what_is_no_provenance_is_refused(
    root: str, said: dict[str, Any] | bytes, says: str
) -> None:
    with pytest.raises(MalformedError, match=says):
        verify(WORLD.bundle(said), root)


def test_another_kind_of_payload_is_refused(root: str) -> None:
    bundle = Sigstore(payload_type="text/plain").bundle(statement(FILE, COMMIT))
    with pytest.raises(MalformedError, match=r"text/plain"):
        verify(bundle, root)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b" " * (MOST + 1)])
def test_what_is_no_bundle_is_refused(root: str, data: bytes) -> None:
    with pytest.raises(MalformedError, match="Sigstore bundle"):
        verify(data, root)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]"])
def test_what_is_no_trusted_root_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "root.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no trusted root"):
        verify(good(), str(path))
    with pytest.raises(UsageError, match="no trusted root"):
        verify(good(), str(tmp_path / "absent"))


def test_without_sigstore_it_is_said_what_to_install(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sigstore.verify", None)
    with pytest.raises(UsageError, match=r"pip install 'pcrlog\[sigstore\]'"):
        verify(good(), root)


def test_a_person_may_have_signed(root: str) -> None:
    world = Sigstore(names=(RFC822Name("dev@acme.example"),))
    found = verify(world.bundle(statement(FILE, COMMIT)), root)
    assert found.signer == "dev@acme.example"


@pytest.mark.parametrize(
    "names",
    [
        (RFC822Name("a@b.example"), RFC822Name("c@d.example")),
        (DNSName("acme.example"),),
    ],
    ids=["two", "neither"],
)
def test_a_certificate_names_one_signer(
    root: str, names: tuple[GeneralName, ...]
) -> None:
    bundle = Sigstore(names=names).bundle(statement(FILE, COMMIT))
    with pytest.raises(VerificationError, match="does not name one signer"):
        verify(bundle, root)


@pytest.mark.parametrize(
    ("issuer", "named"),
    [
        (
            ("1.3.6.1.4.1.57264.1.1", b"https://issuer.example"),
            "https://issuer.example",
        ),
        (("1.3.6.1.4.1.57264.1.8", b"\x0c\x09short"), ""),
        (("1.3.6.1.4.1.57264.1.8", b""), ""),
        (None, ""),
    ],
    ids=["older", "short", "empty", "none"],
)
def test_who_checked_the_signer_is_told_if_it_can_be_read(
    root: str, issuer: tuple[str, bytes] | None, named: str
) -> None:
    bundle = Sigstore(issuer=issuer).bundle(statement(FILE, COMMIT))
    assert verify(bundle, root).issuer == named


def test_digests_that_are_no_words_are_passed_over(root: str) -> None:
    said = statement(FILE, None, subject=[{"digest": {"sha256": 7}}])
    inputs = [{}, {"digest": None}, {"digest": {"sha1": 7}}]
    said["predicate"]["buildDefinition"]["resolvedDependencies"] = inputs
    found = verify(WORLD.bundle(said), root)
    assert (found.files, found.commits) == ((), ())
    with pytest.raises(VerificationError, match="none"):
        check(found, FILE, COMMIT)
