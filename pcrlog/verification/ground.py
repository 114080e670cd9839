"""Link 8, infrastructure: who could forge the document, and do they run the machines?

All links rest on whoever makes the hardware and signs for it. Whether the same company
also has the machines in its hands is known of some platforms (AWS alone runs Nitro);
of others a policy says it, by `operator` (PROTOCOL.md section 1, docs/trust-model.md).
A policy that demands `ground = "separate"` is failed where both are one, and could not
be checked where nobody says who runs the machines (adr/0051).
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from pcrlog.measurement import PLATFORMS, Ground
from pcrlog.verification.checks import Recorder

Word: TypeAlias = Literal["separate", "same", "unknown"]


class Infrastructure(Struct, frozen=True):
    """Who makes the hardware, who runs the machines, who could forge a document.

    Names as policies spell them; None where nobody knows, or nobody says.
    """

    maker: str | None
    operator: str | None
    forgers: tuple[str, ...]

    @property
    def word(self) -> Word:
        """Whether maker and operator are two."""
        if self.maker is None or self.operator is None:
            return "unknown"
        return "same" if self.operator.casefold() == self.maker else "separate"


def facts_of(platform: str | None) -> Ground | None:
    """What is known of a platform; None without one, or where there is no hardware."""
    known = PLATFORMS.get(platform or "")
    return known.ground if known else None


def infrastructure(platform: str | None, operator: str | None) -> Infrastructure:
    """What stands under a document of a platform.

    Args:
        platform: the document's; None if there is no document.
        operator: whom the policy names; a blank names nobody.
    """
    operator = (operator or "").strip() or None
    facts = facts_of(platform)
    if facts is None:
        return Infrastructure(None, operator, ())
    if facts.alone:
        operator = facts.maker
    return Infrastructure(facts.maker, operator, facts.forgers)


def record(found: Infrastructure, demanded: str, recorder: Recorder) -> None:
    """Record `policy.ground`."""
    check, word = "policy.ground", found.word
    if demanded != "separate":
        expected = "nothing: the policy lets the maker run the machines"
        recorder.note(check, "pass", expected, word)
        return
    expected = "machines that are not run by who makes their hardware"
    if word == "separate":
        told = f"{found.maker} makes the hardware, {found.operator} runs the machines"
        recorder.note(check, "pass", expected, told)
    elif word == "same":
        told = f"{found.maker} makes the hardware and runs the machines"
        recorder.note(check, "fail", expected, told)
    elif found.maker is None:
        recorder.note(check, "unchecked", expected, "no hardware that is known of")
    else:
        told = f"the policy does not say who runs the machines of {found.maker}"
        recorder.note(check, "unchecked", expected, told)
