"""The two style sheets: one scale of sizes, one set of colours, a shape a state."""

import re

import pytest

from tests.support.vectors import ROOT

SHEETS = {
    name: (ROOT / name).read_text()
    for name in ("log_server/pages/style.css", "web/page/verify.css")
}
SCALE = {"0.8rem", "1rem", "1.25rem", "1.6rem", "2rem"}
DRAWN = {"13px", "17px"}
"""In pictures, whose own units they are."""
SIZE = re.compile(r"font(?:-size)?:\s*(?:\d+ )?([\d.]+(?:rem|px|em|pt))")
CROSS = "\u00d7"
LINKS = ("stands", "confirmed", "claimed", "missing", "open", "against", "ground")
VERDICTS = ("proven", "claimed", "missing", "unchecked", "failed", "ground")


@pytest.mark.parametrize("name", SHEETS)
def test_there_is_one_scale_of_sizes(name: str) -> None:
    assert set(SIZE.findall(SHEETS[name])) <= SCALE | DRAWN


@pytest.mark.parametrize("name", SHEETS)
def test_a_colour_has_a_name_and_is_defined_for_light_dark_and_paper(name: str) -> None:
    text = SHEETS[name]
    used = re.sub(r"--[a-z-]+: #[0-9a-f]{6};", "", text)
    # On a band that is dark in both modes, text is white.
    assert set(re.findall(r"#[0-9a-f]{3,8}\b(?![^{}]*\{)", used)) <= {"#ffffff"}
    parts = re.split(r"@media \(prefers-color-scheme: dark\)|@media print", text)
    names = [set(re.findall(r"(--[a-z-]+): #", part)) for part in parts]
    assert len(names) == 3
    assert names[0] == names[1] == names[2]
    every = "".join(SHEETS.values())
    for variable in re.findall(r"var\((--[a-z-]+)\)", text):
        assert f"{variable}: #" in every


def test_no_two_states_of_a_link_differ_by_colour_alone() -> None:
    """Whoever sees no colours tells them apart: filled, dashed, a square, a cross."""
    style = SHEETS["log_server/pages/style.css"]
    mark = {"against": CROSS, "ground": "square"}
    seen = {}
    for state in LINKS:
        rules = [
            body
            for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", style)
            if f".chain .{state} .node" in selectors
        ]
        dashes = re.search(r"stroke-dasharray: ([\d .]+)", " ".join(rules))
        filled = any("fill:" in body for body in rules)
        seen[state] = (filled, dashes and dashes[1], mark.get(state, ""))
    # These two mean the same: somebody named says so, and nothing speaks against it.
    assert seen.pop("stands") == seen["confirmed"]
    assert len(set(seen.values())) == len(seen), seen
    parts = (ROOT / "log_server/pages/templates/parts.html").read_text()
    assert '{% if link.state == "against" %}' + CROSS in parts
    assert '{% if link.state == "ground" %}\n    <rect' in parts


def test_no_two_verdicts_of_a_link_differ_by_colour_alone() -> None:
    style = SHEETS["web/page/verify.css"]
    marks = (ROOT / "web/page/chain.js").read_text()
    seen = []
    for state in VERDICTS:
        found = re.search(rf"\b{state}: \"(.*?)\"", marks)
        dashes = re.search(
            rf"\.trust \.{state} \.node \{{[^}}]*dasharray: (.*?);", style
        )
        seen.append((found and found[1], dashes and dashes[1], state == "ground"))
    assert len(set(seen)) == len(seen), seen
