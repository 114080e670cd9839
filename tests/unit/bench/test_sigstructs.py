"""Enclaves of a public log become releases, once each, and only if they are signed."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench import sigstructs
from bench.sigstructs import Leaf, Origin, make, measure, read, statements, verified
from pcrlog.encoding import encode_base64
from pcrlog.envelope import Envelope
from pcrlog.errors import VerificationError
from pcrlog.keys import SigningKey
from pcrlog.predicates import Release, Source
from pcrlog.statement import Statement, parse, require_known
from tests.support.sigstructs import signer

MADE = list(make(9))


def as_published(leaf: Leaf) -> str:
    """A leaf as it stands in the log that there is."""
    return json.dumps(
        {
            "description": leaf.description,
            "revision": leaf.revision,
            "sgx_enclave_identity": encode_base64(leaf.sgx_enclave_identity),
            "sources": [
                {"repository": one.repository, "source_git_sha1": one.source_git_sha1}
                for one in leaf.sources
            ],
        }
    )


def released(leaves: Iterable[Leaf]) -> list[Statement]:
    claims, _ = verified(leaves)
    envelopes = statements(claims, SigningKey.from_seed(bytes(32)))
    return [parse(Envelope.parse(one).payload) for one in envelopes]


def test_leaves_are_read_from_a_folder_and_from_a_file(tmp_path: Path) -> None:
    rows = [as_published(leaf) for leaf in MADE]
    for number, row in enumerate(rows):
        path = tmp_path / "seq" / f"{number // 4:02x}" / f"{number % 4:02x}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(row)
    assert list(read(tmp_path / "seq")) == MADE
    (tmp_path / "leaves.jsonl").write_text("\n".join(rows) + "\n")
    assert list(read(tmp_path / "leaves.jsonl")) == MADE


def test_what_is_no_leaf_is_named(tmp_path: Path) -> None:
    path = tmp_path / "leaves.jsonl"
    path.write_text(f"{as_published(MADE[0])}\n{{}}\n")
    with pytest.raises(ValueError, match=r"leaves\.jsonl:2: .* `description`"):
        list(read(path))


def test_each_leaf_is_a_release_that_a_log_takes() -> None:
    found = released(MADE)
    for leaf, statement in zip(MADE, found, strict=True):
        require_known(statement)
        said = statement.predicate
        assert isinstance(said, Release)
        assert said.product.partition("/")[2] == leaf.description.split(": ")[-1]
        assert said.version == leaf.revision
        commit = leaf.sources[0].source_git_sha1
        assert said.source == Source("https://git.example/source", commit)
        assert said.numbers == {"ISVPRODID": 1, "ISVSVN": 2}
        assert statement.registers["MRSIGNER"] == f"sha256:{signer().mrsigner}"
    assert len({one.registers["MRENCLAVE"] for one in found}) == len(MADE)


def test_a_leaf_may_have_any_words_and_no_source() -> None:
    identity = MADE[0].sgx_enclave_identity
    odd = Leaf("", "5.0 (Test)", identity, (Origin("source", "none"),))
    [statement] = released([odd])
    said = statement.predicate
    assert isinstance(said, Release)
    assert said.product == "enclaves.example/unnamed"
    assert (said.version, said.source) == ("5.0-test", None)


def test_a_leaf_whose_signature_does_not_hold_ends_it() -> None:
    identity = bytearray(MADE[0].sgx_enclave_identity)
    identity[960] ^= 1
    with pytest.raises(VerificationError, match="signature does not hold"):
        verified([*MADE, Leaf("x", "1", bytes(identity))])


def test_all_go_through_the_sequencer_once() -> None:
    again = Leaf("x: backend", MADE[0].revision, MADE[1].sgx_enclave_identity)
    found = measure([*MADE, *MADE, again])
    assert (found.leaves, found.enclaves, found.signers) == (19, 9, 1)
    # `again` is another enclave of a version that there is: a conflict that is meant.
    assert found.entries == 10
    assert found.debugged == 4
    assert min(found.verified, found.sequenced, found.database) > 0


def test_what_the_log_refuses_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sigstructs, "PROVIDER", "other.example")
    claims, _ = verified(MADE[:1])
    stranger = [*statements(claims, SigningKey.generate())]
    monkeypatch.undo()
    monkeypatch.setattr(sigstructs, "statements", lambda *_: stranger)
    with pytest.raises(RuntimeError, match="the log refused a release"):
        measure(MADE[:1])


def test_the_command_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--made", "3"])
    assert sigstructs.main() == 0
    told = capsys.readouterr().out
    assert told.startswith("3 leaves: 3 enclaves of 1 signers, 1 leaves of debug")
    (tmp_path / "leaf").write_text(as_published(MADE[1]))
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    assert sigstructs.main() == 0
    assert "sequenced 1 releases" in capsys.readouterr().out
