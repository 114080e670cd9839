"""Components as people see them: below links 5 and 6, in text and on the page."""

import json

from msgspec import structs

from cli.ladder import ladder
from cli.output import Row
from cli.report_components import boxes
from cli.report_page import render
from cli.report_parts import Told
from pcrlog.encoding import encode_json
from pcrlog.policy import Policy
from pcrlog.predicates import Component
from pcrlog.verification import Report
from pcrlog.verification.audits import digest_of
from pcrlog.verification.report import ComponentShown, Share
from tests.support.scene import Scene, artifact
from tests.unit.cli.test_report_page import Seen, hostile, parts_of

BASE = Component("base.example/image", "0b" * 32)
SIDE = Component("parts.example/sidecar", "5a" * 32)


def scene() -> Scene:
    """A wallet with a sidecar that has a base image; the image has no source."""
    made = Scene()
    made.log.enroll("base.example", "provider")
    made.release(
        "3.1", artifact(BASE.sha256), product=BASE.product, platform="artifact",
        source=None,
    )  # fmt: skip
    made.part(SIDE.product, SIDE.sha256, components=(BASE,))
    made.release(components=(SIDE,))
    made.reproduce(components=digest_of((SIDE,)))
    made.review()
    return made


def told(report: Report) -> Told:
    return Told.parse(report.to_json())


def test_a_page_has_a_box_for_each_component_at_both_links() -> None:
    made = scene()
    policy = made.policy_text()
    inputs = made.inputs(policy=Policy.parse(policy.encode()))
    words = Seen(render(parts_of(inputs, policy))).words
    assert words.count("parts.example/sidecar 1.0.0proven") == 2
    assert words.count("base.example/image 3.1missing") == 2
    assert words.count("a part ofparts.example/sidecar 1.0.0") == 2
    assert "foundits release names no source" in words
    assert f"sha256{BASE.sha256}" in words
    assert words.count("Of one of the parts below, nobody says it.") == 4
    assert "The list was found complete by lab.example." in words


def test_a_list_that_nobody_confirmed_is_only_claimed() -> None:
    made = Scene()
    made.part(SIDE.product, SIDE.sha256)
    made.release(components=(SIDE,))
    policy = made.policy_text()
    inputs = made.inputs(policy=Policy.parse(policy.encode()))
    words = Seen(render(parts_of(inputs, policy))).words
    assert "Claimed by acme.example." in words
    assert "found complete" not in words


def test_a_list_that_could_not_be_checked_is_not_told_as_complete() -> None:
    made = scene()
    policy = made.policy_text()
    inputs = made.inputs(policy=Policy.parse(policy.encode()))
    report = inputs.report()
    five = structs.replace(report.links[4], status="unchecked")
    six = structs.replace(report.links[5], status="unchecked")
    links = (*report.links[:4], five, six, report.links[6])
    report = structs.replace(report, links=links)
    words = Seen(render(parts_of(inputs, policy, report))).words
    assert "found complete" not in words


def test_what_is_said_of_components_is_never_markup() -> None:
    made = scene()
    policy = made.policy_text()
    inputs = made.inputs(policy=Policy.parse(policy.encode()))
    report = hostile(inputs.report())
    assert isinstance(report, Report)
    page = render(parts_of(inputs, policy, report))
    assert page.count(b"<script") == page.count(b"<img") == 0
    assert not Seen(page).elements & {"script", "img"}


def test_a_report_from_before_has_no_boxes() -> None:
    value = json.loads(scene().report().to_json())
    del value["components"]
    old = Told.parse(encode_json(value))
    assert old.components == ()
    assert list(boxes(old, 5)) == []


def test_a_box_names_what_it_is_a_part_of() -> None:
    report = told(scene().report())
    side, base = boxes(report, 5)
    assert (side.title, side.status) == ("parts.example/sidecar 1.0.0", "proven")
    assert "a part of" not in dict(side.facts)
    assert dict(side.facts)["by"] == "lab.example"
    assert dict(base.facts)["a part of"] == side.title
    other = structs.replace(report.components[1], depth=1)
    flat = structs.replace(report, components=(report.components[0], other))
    assert "a part of" not in dict(list(boxes(flat, 5))[1].facts)


# --- in text --------------------------------------------------------------------------


def rows(states: str) -> list[str]:
    """What people see below link 5, of components in these states."""
    words = {"p": "proven", "m": "missing", "f": "failed"}
    shown = []
    for number, one in enumerate(states):
        both = [Share(link, words[one], (), (), "", "") for link in (5, 6)]  # type: ignore[arg-type] # a word of the table
        name = f"parts.example/p{number}"
        shown.append(ComponentShown(name, "5a" * 32, "1.0", 1, tuple(both)))
    link = scene().report().links[4]
    return [_text(row) for row in ladder([link], shown)][1:]


def _text(row: Row) -> str:
    return "".join(text for text, _ in row.lead) + row.body


def test_few_components_are_all_shown() -> None:
    assert len(rows("pmpmpmpm")) == 8
    assert "parts.example/p1 1.0  missing" in rows("pm")[1]


def test_of_many_only_those_that_lack_something_are_shown() -> None:
    shown = rows("p" * 8 + "m")
    assert len(shown) == 2
    assert "8 components are proven" in shown[0]
    assert "parts.example/p8" in shown[1]


def test_of_very_many_the_rest_is_counted() -> None:
    shown = rows("m" * 30 + "f")
    assert len(shown) == 9
    assert "parts.example/p30 1.0  failed" in shown[0]
    assert "and 23 more; --json has all" in shown[-1]


def test_what_lies_deeper_stands_further_in() -> None:
    report = scene().report()
    shown = [_text(row) for row in ladder(report.links[4:5], report.components)]
    assert shown[1].startswith("      ✓ parts.example/sidecar 1.0.0")
    assert shown[2].startswith("        · base.example/image 3.1")
