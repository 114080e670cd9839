"""The vectors are what their cases make; `pcrlog conformance` compares with them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.answering import answer
from cli.conformance import Case, Family, agrees, load
from cli.main import main
from tests.conformance.__main__ import FOLDER, families, stale
from tests.conformance.family import DisagreementError
from tests.conformance.family import Family as Made

FILES = sorted(FOLDER.glob("*.json"))
ANSWER = "import sys; from cli.main import main; sys.exit(main())"
OURS = [sys.executable, "-c", ANSWER, "conformance", "answer"]


# --- the files ------------------------------------------------------------------------


def test_the_vectors_are_what_their_cases_make(tmp_path: Path) -> None:
    made = families()
    assert stale(made, FOLDER) == [], "run: python -m tests.conformance"
    for family in made:
        (tmp_path / f"{family.name}.json").write_bytes(family.encode())
    (tmp_path / "seals.json").write_bytes(b"{}")
    (tmp_path / "more.json").write_bytes(b"{}")
    (tmp_path / "tree.json").unlink()
    assert stale(made, tmp_path) == ["more.json", "seals.json", "tree.json"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pcrlog_agrees_with_the_vectors(path: Path) -> None:
    family = load(path)
    assert len({case.id for case in family.cases}) == len(family.cases)
    for case in family.cases:
        assert answer(family.question(case)) == case.expect, f"{path.stem}/{case.id}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_blob_is_used(path: Path) -> None:
    family = load(path)
    asked = json.dumps([case.ask for case in family.cases])
    assert [name for name in family.blobs if f"@{name}" not in asked] == []


def test_a_case_that_disagrees_is_not_written() -> None:
    family = Made("x", "")
    with pytest.raises(DisagreementError, match="by hand"):
        family.case("a", "", "seal", "unchecked", leaf=b"x")
    family.case("a", "", "seal", "malformed", leaf=b"x")
    with pytest.raises(DisagreementError, match="twice"):
        family.case("a", "", "seal", "malformed", leaf=b"x")


# --- the comparison -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ({"ok": {"a": 1}}, {"ok": {"a": 1}}, True),
        ({"ok": {"a": 1}}, {"ok": {"a": 1, "more": 2}}, True),
        ({"ok": {}}, {"ok": {}}, True),
        ({"ok": {"a": 1}}, {"ok": {}}, False),
        ({"ok": {"a": None}}, {"ok": {}}, False),
        ({"ok": {"a": 1}}, {"ok": {"a": 2}}, False),
        ({"ok": {"a": 1}}, {"ok": 1}, False),
        ({"ok": {}}, {"error": "malformed"}, False),
        ({"error": "malformed"}, {"error": "malformed"}, True),
        ({"error": "malformed"}, {"error": "refused"}, False),
        ({"error": "malformed"}, {"ok": {}}, False),
    ],
    ids=str,
)
def test_an_answer_says_what_is_expected_and_may_say_more(
    expected: dict[str, Any], found: dict[str, Any], *, same: bool
) -> None:
    assert agrees(expected, found) is same


def test_blobs_stand_for_themselves_wherever_they_are_named() -> None:
    case = Case("a", "", {"x": ["@b", 1], "y": {"z": "@b"}}, {})
    family = Family("f", "", (case,), {"b": "AA=="})
    assert family.question(case) == {"x": ["AA==", 1], "y": {"z": "AA=="}}


def test_an_unknown_operation_is_unsupported() -> None:
    assert answer({"op": "guess"}) == {"error": "unsupported"}
    assert answer({}) == {"error": "unsupported"}


# --- the command ----------------------------------------------------------------------


def run(*words: str) -> int:
    return main(["conformance", "run", "--vectors", str(FOLDER), *words])


def test_pcrlog_agrees_with_itself_over_pipes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    families = ["--family", "seals", "--family", "trie"]
    assert run(*families, "--", *OURS) == 0
    text = capfd.readouterr().out
    counts = {path.stem: len(load(path).cases) for path in FILES}
    total = counts["seals"] + counts["trie"]
    assert f"{total} of {total} cases agree" in text


def program(tmp_path: Path, body: str) -> list[str]:
    """A program that answers each line with what `body` makes of `ask`."""
    path = tmp_path / "program.py"
    path.write_text(
        "import json, sys, time\nfor line in sys.stdin:\n"
        f"    ask = json.loads(line)\n    {body}\n    sys.stdout.flush()\n"
    )
    return [sys.executable, str(path)]


def test_a_program_that_disagrees_is_told_where(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    liar = program(tmp_path, "print(json.dumps({'ok': {}}))")
    assert run("--family", "seals", "--", *liar) == 4
    out = capfd.readouterr().out
    assert "seals/version-2: a later version could not be checked" in out
    assert 'expected {"error": "unchecked"}' in out
    assert "and 11 more; --json has all" in out


def test_json_has_every_disagreement(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    liar = program(tmp_path, "print(json.dumps({'ok': {}}))")
    assert run("--family", "seals", "--json", "--", *liar) == 4
    ran = json.loads(capfd.readouterr().out)
    [family] = ran["families"]
    assert family["agreed"] + len(ran["disagreements"]) == family["cases"]


def test_what_a_program_does_not_support_could_not_be_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lazy = program(tmp_path, 'print(\'{"error": "unsupported"}\')')
    assert run("--family", "trie", "--", *lazy) == 3
    assert "0 of 28 cases agree, 28 not answered" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit(0)", "ended when asked for seal"),
        ("time.sleep(60)", "no answer in 1 s to seal"),
    ],
    ids=["ends", "sleeps"],
)
def test_a_program_that_says_nothing_could_not_be_checked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], body: str, words: str
) -> None:
    silent = program(tmp_path, body)
    assert run("--family", "seals", "--timeout", "1", "--", *silent) == 3
    assert words in capfd.readouterr().err


@pytest.mark.parametrize("said", ["nonsense", "[1]", ""], ids=["text", "list", "empty"])
def test_an_answer_that_is_none_disagrees(tmp_path: Path, said: str) -> None:
    assert run("--family", "seals", "--", *program(tmp_path, f"print({said!r})")) == 4


def test_a_program_that_is_not_there_is_a_usage_error() -> None:
    assert run("--family", "seals", "--", "/nowhere/at/all") == 2


def test_a_family_or_folder_that_is_not_there_is_a_usage_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--family", "nonsense", "--", *OURS) == 2
    words_of = capfd.readouterr().err.split()
    assert "has no vectors nonsense; it has answers," in " ".join(words_of)
    words = ["conformance", "run", "--vectors", str(tmp_path), "--", *OURS]
    assert main(words) == 2
    (tmp_path / "broken.json").write_text("{}")
    assert main(words) == 2
    assert "holds no vectors" in " ".join(capfd.readouterr().err.split())
