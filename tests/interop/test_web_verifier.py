"""The verifier in JavaScript says what pcrlog says: in Node, and in a browser.

Two implementations of docs/protocol.md that check each other. They are asked all
vectors, and thousands of questions that no vector asks.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cli.answering import answer
from cli.conformance import agrees, load
from pcrlog import limits
from tests.conformance.__main__ import FOLDER
from tests.interop.node import (
    VERIFIER,
    Answers,
    ask_chromium,
    ask_node,
    find_chromium,
    find_node,
    run,
)
from tests.interop.questions import Ask, spoiled

FAMILIES = [load(path) for path in sorted(FOLDER.glob("*.json"))]
CASES = [(family, case) for family in FAMILIES for case in family.cases]
LEAVES = {"canonical", "identities", "index-keys", "keys", "requests", "shapes"}
LOG = {"bundles", "checkpoints", "files", "seals", "statements", "tree", "trie"}
RUNS = {family.family for family in FAMILIES} - LEAVES - LOG
DOCUMENT = ("document.form", "document.signature", "document.chain")
NOT_THERE = {"STATEMENTS_PER_MEASUREMENT", "KEY_FILE"}
"""Bounds of a log's admission, and of private keys: a verifier has neither."""


def disagreements(answers: Answers) -> list[str]:
    assert len(answers) == len(CASES)
    return [
        f"{family.family}/{case.id}: {case.why}: want {case.expect}, found {found}"
        for (family, case), found in zip(CASES, answers, strict=True)
        if not agrees(case.expect, found)
    ]


def questions() -> list[Ask]:
    return [family.question(case) for family, case in CASES]


def test_it_agrees_with_all_vectors_in_node() -> None:
    assert disagreements(ask_node(find_node(), questions())) == []


def test_it_agrees_with_all_vectors_in_a_browser() -> None:
    assert disagreements(ask_chromium(find_chromium(), questions())) == []


def comparable(ask: Ask, found: dict[str, Any]) -> Any:
    """What both have to answer alike.

    Which of its checks finds that a document is wrong depends on how far a library
    looks into a certificate before its signature is verified: that alone may differ.
    """
    if ask["op"] == "attestation" and "error" in found:
        return "refused or malformed"
    ok = found.get("ok", {})
    checks = ok.get("checks", {})
    if any(checks.get(check) == "fail" for check in DOCUMENT):
        return ok["verdict"], ok["links"], ok["trust_ends_at"]
    return found


def differences(names: set[str], count: int, seed: str) -> list[str]:
    random = Random(seed)
    asked = [one.question(case) for one, case in CASES if one.family in names]
    asks = [spoiled(random.choice(asked), random) for _ in range(count)]
    theirs = ask_node(find_node(), asks)
    return [
        f"{json.dumps(ask)}: pcrlog says {ours}, web/verifier {found}"
        for ask, found in zip(asks, theirs, strict=True)
        if comparable(ask, ours := answer(ask)) != comparable(ask, found)
    ]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_both_answer_alike_about_spoiled_leaves_and_logs(seed: str) -> None:
    assert differences(LEAVES | LOG, 3000, seed) == []


def test_both_answer_alike_about_spoiled_runs() -> None:
    assert differences(RUNS, 300, "1") == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["a", "b", "c", "d", "e", "f"])
def test_both_answer_alike_about_anything(seed: str) -> None:
    assert differences(LEAVES | LOG | RUNS, 10_000, seed) == []


def test_both_have_the_same_limits() -> None:
    """So that neither refuses what the other takes: no vector is as long as a bound."""
    script = (
        "import * as limits from './limits.js';"
        "const text = (_, v) => typeof v === 'bigint' ? String(v) : v;"
        "console.log(JSON.stringify(limits, text));"
    )
    done = run([find_node(), "--input-type=module", "--eval", script])
    theirs = {name: int(value) for name, value in json.loads(done.stdout).items()}
    ours = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert theirs == {name: ours[name] for name in ours.keys() - NOT_THERE}


def test_its_own_tests_pass() -> None:
    done = run([find_node(), "--test", "test/"])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "words",
    [["typescript/bin/tsc"], ["prettier/bin/prettier.cjs", "--check", "."]],
    ids=["types", "format"],
)
def test_its_types_and_format_hold(words: list[str]) -> None:
    program = VERIFIER / "node_modules" / words[0]
    if not program.exists():
        pytest.skip("no type checker for it (skipped in CI too): make web")
    done = run([find_node(), program, *words[1:]])
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_lock_names_no_registry_and_pins_every_package() -> None:
    lock = json.loads((VERIFIER / "package-lock.json").read_bytes())
    package = json.loads((VERIFIER / "package.json").read_bytes())
    assert "dependencies" not in package, "what runs depends on nothing"
    packages = {name: row for name, row in lock["packages"].items() if name}
    assert packages
    for row in packages.values():
        assert row["integrity"].startswith("sha512-")
        assert "resolved" not in row
        assert row["dev"] is True


def test_no_module_of_it_is_long() -> None:
    for path in VERIFIER.rglob("*.js"):
        if not {"node_modules", "test"} & set(path.parts):
            lines = path.read_text("utf-8").count("\n")
            assert lines <= 450, f"{path.relative_to(VERIFIER)} has {lines} lines"


def test_it_says_the_same_version(pytestconfig: pytest.Config) -> None:
    project = (Path(pytestconfig.rootpath) / "pyproject.toml").read_text("utf-8")
    version = json.loads((VERIFIER / "package.json").read_bytes())["version"]
    assert f'\nversion = "{version}"\n' in project
