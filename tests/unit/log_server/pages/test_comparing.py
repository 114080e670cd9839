"""What changed between two releases: every member that a release has."""

from typing import Any

import msgspec
import pytest

from log_server.pages.comparing import Change, changes, summary
from pcrlog.entry import Entry, parse_entry
from pcrlog.predicates import (
    Binding,
    Build,
    BuildTool,
    Component,
    Control,
    Document,
    Image,
    Reference,
    Release,
    Source,
)
from tests.unit.log_server.parties import SOURCE, Party

ACME = Party("acme.example")
RECIPE = Document("https://git.example/recipe", "d" * 64)
CHANGES = {
    "variant": ("debug", ["Variant"]),
    "expires": ("2027-01-01T00:00:00Z", ["Expires"]),
    "source": (Source("https://git.example/other", "b" * 40), ["Source", "Commit"]),
    "build": (Build(RECIPE, (BuildTool("nix", "e" * 64),)), ["Recipe", "Tools"]),
    "components": ((Component("b.example/x", "f" * 64),), ["Parts made elsewhere"]),
    "controls": ((Control("kms-policy", "a" * 64),), ["Controls"]),
    "references": (
        (Reference("sbom", "https://x.example/s", "a" * 64),),
        ["References"],
    ),
    "image": (Image("a" * 64, 5), ["Image"]),
    "binding": (Binding("public_key", "raw-key"), ["Channel"]),
    "numbers": ({"svn": 3}, ["Numbers"]),
}
ASIDE = {"log", "issuer", "issued", "platform", "identity", "product", "version"}


def release(number: int = 1, /, **more: Any) -> Entry:
    members = {"source": SOURCE, **more}
    return parse_entry(5, ACME.release(number, **members))


def test_the_same_has_not_changed() -> None:
    assert changes(release(), release()) == []
    assert summary([]) == "nothing"


def test_no_member_of_a_release_is_forgotten() -> None:
    members = {field.name for field in msgspec.structs.fields(Release)}
    assert members - ASIDE == CHANGES.keys()


@pytest.mark.parametrize("member", CHANGES)
def test_each_member_is_compared(member: str) -> None:
    value, names = CHANGES[member]
    found = changes(release(), release(**{member: value}))
    assert [one.name for one in found] == names
    back = changes(release(**{member: value}), release())
    assert [(one.after, one.before) for one in back] == [
        (one.before, one.after) for one in found
    ]


def test_registers_come_first_and_are_one_word_of_the_summary() -> None:
    found = changes(release(1), release(2, variant="x"))
    assert [one.name for one in found] == ["PCR0", "PCR1", "PCR2", "Variant"]
    assert summary(found) == "registers, variant"


def test_of_lists_what_went_and_what_came_is_said() -> None:
    one, two, three = (Component("b.example/x", digit * 64) for digit in "123")
    [found] = changes(release(components=(one, two)), release(components=(one, three)))
    assert found == Change(
        "Parts made elsewhere",
        (f"b.example/x {'2' * 64}",),
        (f"b.example/x {'3' * 64}",),
    )
    [found] = changes(release(), release(components=()))
    assert (found.before, found.after) == (("not said",), ("none",))


def test_an_audit_is_no_release() -> None:
    audit = parse_entry(6, Party("lab.example").reproduction())
    assert changes(release(), audit) == []
