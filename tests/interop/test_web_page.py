"""web/page, of which verify.html is made: its types, its format, its own tests.

What it does in a browser is in tests/e2e/test_verify_page.py.
"""

import pytest

from tests.interop.node import VERIFIER, find_node, run

PAGE = VERIFIER.parent / "page"


def test_its_own_tests_pass() -> None:
    done = run([find_node(), "--test", PAGE / "test/"])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["typescript/bin/tsc", "-p", PAGE],
        ["prettier/bin/prettier.cjs", "--check", PAGE / "**/*.js"],
    ],
    ids=["types", "format"],
)
def test_its_types_and_format_hold(words: list[str]) -> None:
    program = VERIFIER / "node_modules" / words[0]
    if not program.exists():
        pytest.skip("no type checker for it (skipped in CI too): make web")
    done = run([find_node(), program, *words[1:]])
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_of_it_is_long() -> None:
    modules = [*PAGE.glob("*.js")]
    assert modules
    for path in modules:
        assert path.read_text("utf-8").count("\n") <= 300, path.name
