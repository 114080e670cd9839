"""What changed between two releases: registers, source, build, parts, controls."""

from collections.abc import Iterable, Iterator

from msgspec import Struct, to_builtins

from pcrlog.entry import Entry
from pcrlog.predicates import Release

ABSENT = "not said"
_SETS = ("components", "controls", "references")
_NAMES = {
    "components": "Parts made elsewhere",
    "controls": "Controls",
    "references": "References",
}


class Change(Struct, frozen=True):
    """A member that differs: what went, and what came; each a line of text."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def changes(older: Entry, newer: Entry) -> list[Change]:
    """What differs between two releases, but for their versions and times."""
    one, other = older.predicate, newer.predicate
    if not isinstance(one, Release) or not isinstance(other, Release):
        return []
    found = [*_registers(older, newer), *_members(one, other)]
    for name in _SETS:
        found += _set(_NAMES[name], getattr(one, name), getattr(other, name))
    tools = tuple(r.build and r.build.tools for r in (one, other))
    found += _set("Tools", *tools)
    return found


def summary(found: Iterable[Change]) -> str:
    """The names of what changed, for a line."""
    names = [change.name for change in found]
    registers = [name for name in names if name.startswith("PCR")]
    if registers:
        names = ["registers", *(name for name in names if name not in registers)]
    return ", ".join(name[:1].lower() + name[1:] for name in names) or "nothing"


def _registers(older: Entry, newer: Entry) -> Iterator[Change]:
    one, other = older.statement.registers, newer.statement.registers
    for name in sorted(one.keys() | other.keys()):
        yield from _line(name, one.get(name), other.get(name))


def _members(one: Release, other: Release) -> Iterator[Change]:
    rows = [
        [
            ("Product", release.product),
            ("Platform", release.platform),
            ("Variant", release.variant),
            ("Source", release.source and release.source.uri),
            ("Commit", release.source and release.source.commit),
            ("Recipe", release.build and _words(release.build.recipe)),
            ("Image", release.image and _words(release.image)),
            ("Channel", release.binding and _words(release.binding)),
            ("Expires", release.expires),
            ("Numbers", release.numbers and _numbers(release.numbers)),
        ]
        for release in (one, other)
    ]
    for (name, before), (_, after) in zip(*rows, strict=True):
        yield from _line(name, before or None, after or None)


def _line(name: str, before: str | None, after: str | None) -> Iterator[Change]:
    if before != after:
        yield Change(name, (before or ABSENT,), (after or ABSENT,))


def _set(name: str, before: object, after: object) -> Iterator[Change]:
    if before == after:
        return
    one, other = _items(before), _items(after)
    gone = tuple(item for item in one if item not in other)
    came = tuple(item for item in other if item not in one)
    yield Change(name, gone, came)


def _items(items: object) -> tuple[str, ...]:
    if items is None:
        return (ABSENT,)
    if isinstance(items, tuple):
        return tuple(map(_words, items)) or ("none",)
    return (_words(items),)


def _numbers(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(numbers.items()))


def _words(value: object) -> str:
    """A record in a line: its values, the digest last."""
    plain = to_builtins(value)
    if not isinstance(plain, dict):
        return str(plain)
    values = {name: item for name, item in plain.items() if name != "sha256"}
    digest = (plain["sha256"],) if "sha256" in plain else ()
    return " ".join(map(str, (*values.values(), *digest)))
