"""Each kind of evidence: what is genuine convicts, what is changed does not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    UncheckedError,
    VerificationError,
)
from pcrlog.evidence import encode, parse, unverified_origin, verify_evidence
from pcrlog.note import NoteSigner
from tests.support.memory_log import ORIGIN, witness
from tests.unit.evidence.genuine import KEY, KINDS, data

FOUND = {
    "one size": ("checkpoints", "two trees of 4 leaves", ()),
    "two sizes": ("checkpoints", "of which the first 4 have root", ()),
    "frozen": ("frozen", "sealed for the last time with leaf 1", (1,)),
    "bad leaf": ("leaf", "leaf 4 is not well-formed", (4,)),
    "said twice": ("leaves", "leaves 2 and 4 are the same statement", (2, 4)),
    "times go back": ("leaves", "seals whose times go back", (1, 2)),
    "unauthorised": ("authority", "not an active key of acme.example", (4,)),
    "hidden entry": ("answer", "seal 5 hides leaf 4", (4,)),
    "invented answer": ("answer", "has not the key v1/issuer/lab.example", (2,)),
    "first index": ("index", "but the leaves before it make it", (0, 3)),
    "index": ("index", "but the seal at 6 and the leaves since make it", (6, 10)),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_genuine_file_convicts(name: str) -> None:
    proven = verify_evidence(data(name), KEY)
    kind, words, entries = FOUND[name]
    assert (proven.kind, proven.origin, proven.entries) == (kind, ORIGIN, entries)
    assert words in proven.found
    assert all(one.origin == ORIGIN for one in proven.checkpoints)
    assert len(proven.checkpoints) == (2 if kind in ("checkpoints", "frozen") else 1)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_has_one_spelling_and_names_its_log(name: str) -> None:
    file = parse(data(name))
    assert encode(file) == data(name)
    assert unverified_origin(file) == ORIGIN


@pytest.mark.parametrize("name", KINDS)
def test_another_log_is_not_convicted(name: str) -> None:
    for other in (
        NoteSigner(ORIGIN, bytes(32)).public,
        NoteSigner("other.example/log", bytes(32)).public,
        witness(ORIGIN).public,
    ):
        with pytest.raises(VerificationError):
            verify_evidence(data(name), other)


# --- changes -------------------------------------------------------------------------


def changed(value: Any) -> Iterator[Any]:
    """The value with one part another, gone, there twice, or swapped with the next."""
    if isinstance(value, dict):
        yield from changed_members(value)
    elif isinstance(value, list):
        yield from changed_items(value)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -1, 2**53 - 1, 2**53, 2**64, None, str(value))
    else:
        yield from ("", None, value[:-1], value + "A", value[4:], 1)
        for at in (0, len(value) // 2, len(value) - 2):
            other = chr(ord(value[at]) ^ 1) if value[at : at + 1] else "A"
            yield value[:at] + other + value[at + 1 :]


def changed_members(value: dict[str, Any]) -> Iterator[Any]:
    for name, one in value.items():
        yield {other: value[other] for other in value if other != name}
        yield {**value, name + "x": one}
        for part in changed(one):
            yield {**value, name: part}


def changed_items(value: list[Any]) -> Iterator[Any]:
    for at, one in enumerate(value):
        yield value[:at] + value[at + 1 :]
        yield [*value[:at], one, *value[at:]]
        if value[at + 1 : at + 2] not in ([], [one]):
            yield [*value[:at], value[at + 1], one, *value[at + 2 :]]
        for part in changed(one):
            yield [*value[:at], part, *value[at + 1 :]]
    yield [*value, *value, *value]


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_member_is_refused(name: str) -> None:
    for file in changed(json.loads(data(name))):
        mangled = json.dumps(
            file, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ).encode()
        if mangled == data(name):
            continue
        with pytest.raises(PcrlogError):
            verify_evidence(mangled, KEY)


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_byte_is_refused(name: str) -> None:
    whole = data(name)
    for at in range(0, len(whole), 1 + len(whole) // 700):
        for mangled in (
            whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            whole[:at] + whole[at + 1 :],
            whole[: at + 1] + whole[at:],
            whole[:at],
        ):
            with pytest.raises(PcrlogError):
                verify_evidence(mangled, KEY)


@pytest.mark.parametrize("name", KINDS)
def test_another_kind_or_format_is_refused(name: str) -> None:
    file = json.loads(data(name))
    kinds = {kind for kind, _, _ in FOUND.values()} | {"rollback", ""}
    for member, words in (
        *(("kind", kind) for kind in kinds - {file["kind"]}),
        ("format", "pcrlog-evidence/v2"),
    ):
        other = json.dumps(
            {**file, member: words},
            ensure_ascii=False,
            separators=(",", ":"),
            sort_keys=True,
        )
        with pytest.raises((MalformedError, UncheckedError)):
            verify_evidence(other.encode(), KEY)
