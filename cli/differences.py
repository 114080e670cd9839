"""What differs between two images or measurements, as people read it.

What is found is grouped: hundreds of files with other dates are one line, and the usual
reason for it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, blank, say

if TYPE_CHECKING:
    from workbench.comparing import Comparison, Register
    from workbench.comparing_bytes import Difference

_SHOWN = 5
"""Differences of one kind that are listed."""
_LONG = 16
"""Digits of a digest that people compare; --json has all."""
_DIGEST = 64
_REASONS = {
    "time": "dates of files: set them all in the build (SOURCE_DATE_EPOCH)",
    "order": "the order in which a folder was listed: sort the names first",
    "number": "inode numbers of the machine that built: cpio --reproducible, or a tool"
    " that numbers the files itself",
    "owner": "who ran the build: cpio --owner 0:0",
    "mode": "the umask of who ran the build: set the modes in the build",
    "packing": "how it was packed: gzip -n, and one version of one tool",
    "missing": "another version of a dependency, or a file left over: pin and clean up",
    "content": "look into the file: often a date, a path of the build, a random number",
}


def rows_of(found: "Comparison") -> Iterator[Row]:
    """A comparison, for people."""
    yield from _headline(found)
    for register in found.registers:
        yield from _register(register)
    yield from _beginning(found)
    kinds = []
    for place, at_place in groupby(found.differences, key=lambda one: one.place):
        yield blank()
        listed = list(at_place)
        yield _place(place, listed)
        for kind in dict.fromkeys(one.kind for one in listed):
            yield from _kind(kind, [one for one in listed if one.kind == kind])
            if listed[0].registers:
                kinds.append(kind)
    if found.more:
        yield say(f"… and {found.more} more differences, which are not listed", WARN)
    yield from _reasons(kinds)


def _headline(found: "Comparison") -> Iterator[Row]:
    wrong = [one.name for one in found.registers if one.status == "different"]
    if found.same and not found.differences:
        yield Row((("SAME: ", GOOD),), "nothing differs that was compared", STRONG)
    elif found.same:
        told = "all that is measured; what differs is in no register"
        yield Row((("SAME: ", GOOD),), told, STRONG)
    elif wrong:
        verb = "differs" if len(wrong) == 1 else "differ"
        yield Row((("DIFFERENT: ", BAD),), f"{', '.join(wrong)} {verb}", STRONG)
    else:
        told = (
            "the registers are the same and the images are not: bytes have moved from"
            " one section to another"
        )
        yield Row((("DIFFERENT: ", BAD),), told, STRONG)


def _register(one: "Register") -> Iterator[Row]:
    a, b = (_short(value.partition(":")[2]) or "not there" for value in (one.a, one.b))
    name = f"{one.name:<6}"
    if one.status == "equal":
        yield Row((("  = ", GOOD), (name, DIM)), a, DIM)
    elif one.status == "different":
        yield Row((("  ✗ ", BAD), (name, STRONG)), f"{a} in A, {b} in B")
    elif one.status == "unknown":
        yield Row((("  ? ", WARN), (name, STRONG)), f"{a} in A, {b} in B: not compared")
    else:
        from workbench.comparing import BY_NATURE

        told = f"{a} in A, {b} in B. Says nothing of the image: {BY_NATURE[one.name]}"
        yield Row((("  ~ ", DIM), (name, DIM)), told, DIM)


def _beginning(found: "Comparison") -> Iterator[Row]:
    if found.same or found.differences:
        return
    yield blank()
    yield say("Registers cannot say more; pcrlog diff A.eif B.eif names the files", DIM)


def _place(place: str, listed: Sequence["Difference"]) -> Row:
    registers = listed[0].registers
    into = ", ".join(registers) if registers else "in no register"
    return Row(((place, STRONG), (f" ({into})", DIM if registers else WARN)))


def _kind(kind: str, listed: Sequence["Difference"]) -> Iterator[Row]:
    lead = f"  {kind:<9} "
    if len(listed) > 1:
        yield Row(((lead, STRONG),), f"{len(listed)} times")
        lead = " " * len(lead)
    for one in listed[:_SHOWN]:
        told = ": ".join(filter(None, (one.name, _change(one))))
        yield Row(((lead, STRONG),), told)
        lead = " " * len(lead)
    if len(listed) > _SHOWN:
        yield Row(((lead, ""),), f"… and {len(listed) - _SHOWN} more; --json has all")


def _change(one: "Difference") -> str:
    a, b = (" ".join(map(_short, words.split(" "))) for words in (one.a, one.b))
    if a and b:
        return f"{a} → {b}"
    if a:
        return f"only in A: {a}"
    return f"only in B: {b}" if b else ""


def _short(word: str) -> str:
    """A digest by its first digits; any other word as it is."""
    digits = word.rstrip(",")
    if len(digits) >= _DIGEST and not digits.strip("0123456789abcdef"):
        return f"{digits[:_LONG]}…" + word[len(digits) :]
    return word


def _reasons(kinds: Sequence[str]) -> Iterator[Row]:
    reasons = [kind for kind in dict.fromkeys(kinds) if kind in _REASONS]
    if not reasons:
        return
    yield blank()
    yield say("The usual reasons (docs/measuring.md):", STRONG)
    for kind in reasons:
        yield Row(((f"  {kind:<9} ", STRONG),), _REASONS[kind])
