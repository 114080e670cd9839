"""What a path means and how to mend it, in sentences.

Text of the policy is quoted short and printable: it was written by somebody else.
"""

from collections.abc import Callable, Iterable

from pcrlog.encoding import printable
from workbench.kms_policy import EVERYONE, Principal, Statement
from workbench.kms_policy_check import Path
from workbench.kms_policy_conditions import MACHINE, OF_MACHINES, most, register_of

_SHOWN = 24
"""Characters of `PCR0=<96 digits>`: enough to tell one from another."""
_MEANS = {
    "PCR3": "PCR3 says which role the machine has",
    "PCR4": "PCR4 says which machine it is",
    "PCR8": "PCR8 says who signed the image",
    "NitroTPMPCR7": "NitroTPMPCR7 says whose keys Secure Boot takes",
    "NitroTPMPCR12": "NitroTPMPCR12 says what the command line got besides",
}
_WHOLE = ("PCR0", OF_MACHINES[0])
"""What is over an image."""
_RENDERED = "the condition that `pcrlog controls render` prints"
_DENIES = "the statements of `pcrlog controls render --format deny`"
_MOST = 4
"""Of a list, in a sentence."""


def who(principal: Principal, statement: Statement) -> str:
    """Who a principal is."""
    if statement.not_principals:
        return "anybody but those that NotPrincipal names"
    if principal.anybody:
        everywhere = "anybody at all" if principal.kind == EVERYONE else "anybody"
        return everywhere if principal.kind != "AWS" else "anybody in any AWS account"
    if principal.whole_account:
        return f"whoever IAM of account {principal.account} allows"
    value = printable(principal.value, 200)
    return value if principal.kind == "AWS" else f"{principal.kind} {value}"


def why(path: Path) -> str:
    """Why a path is open."""
    sentences = [_WHY[path.kind](path)]
    if any(principal.whole_account for principal in path.principals):
        sentences.append(
            "The account's IAM policies decide who that is, which no key policy shows"
        )
    return ". ".join(sentences)


def mend(path: Path) -> str:
    """How to close it."""
    return _MEND[path.kind](path)


def _why_unattested(path: Path) -> str:
    about = [one for one in path.statement.conditions if register_of(one.key)]
    others = [one.key for one in path.statement.conditions if not register_of(one.key)]
    if all(action.use == "use" for action in path.actions):
        return "AWS takes no attestation for this: no condition can demand one"
    for condition in about:
        if most(condition).absent:
            operator = printable(condition.operator, 60)
            return (
                f"{operator} on {printable(condition.key, 60)} holds where there is no"
                " attestation at all"
            )
    if about:
        key, registers = about[0].key, [register_of(one.key) or "" for one in about]
        if all(name.startswith(MACHINE) for name in registers):
            return f"{printable(key, 60)} is about instances, and about no enclave"
        return f"{printable(key, 60)} is about enclaves, and about no instance"
    if others:
        return f"its conditions ({_list(others)}) ask for no attestation"
    return "it asks for no attestation"


def _why_any_code(path: Path) -> str:
    for whole in _WHOLE:
        wild = [
            printable(one.operator, 60)
            for one in path.statement.conditions
            if register_of(one.key) == whole
        ]
        if wild:
            told = f"its {_list(wild)} on {whole} lets other values through"
            return f"{told} than it names"
    said = [_MEANS[name] for name in path.details if name in _MEANS]
    words = f": {', '.join(said)}, and not what runs" if said else ""
    return f"it asks for an attestation, but of any code{words}"


def _why_other(path: Path) -> str:
    named = _list(one[:_SHOWN] + "…" * (len(one) > _SHOWN) for one in path.details)
    return f"{named}: none of the released measurements"


def _why_sections(path: Path) -> str:
    return (
        f"it does not fix {' and '.join(path.details)}: bytes can move from one part"
        " of an image to another, and PCR0 stays"
    )


def _why_boot(path: Path) -> str:
    names = " and ".join(path.details)
    if OF_MACHINES[1] in path.details:
        return (
            f"it does not fix {names}: the same image runs with whatever its command"
            " line got besides"
        )
    return f"it does not fix {names}: the release names whose keys Secure Boot takes"


def _why_mixture(path: Path) -> str:
    named = _list(one[:_SHOWN] + "…" * (len(one) > _SHOWN) for one in path.details)
    return f"each of {named} is a release's, and no release has them together"


def _why_debug(path: Path) -> str:
    names = _list(one.partition("=")[0] for one in path.details)
    return (
        f"{names} of zeros is what every enclave in debug mode has, and its memory is"
        " open to its host"
    )


_WHY: dict[str, Callable[[Path], str]] = {
    "no-attestation": _why_unattested,
    "any-code": _why_any_code,
    "other-measurement": _why_other,
    "debug": _why_debug,
    "sections": _why_sections,
    "boot": _why_boot,
    "mixture": _why_mixture,
    "rules": lambda _path: "whoever may do this decides later who obtains plaintext",
    "unknown-action": lambda _path: "what is not known is taken for the worst",
    "write": lambda _path: "it makes ciphertext that no enclave has asked for",
    "admitted": lambda _path: "it takes the attestation of a released measurement",
}


def _mend_unattested(path: Path) -> str:
    if any(principal.whole_account for principal in path.principals):
        return (
            "name one by one the actions that administer the key, and none of these;"
            f" or add {_DENIES}, which binds IAM too"
        )
    if all(action.use == "use" for action in path.actions):
        return "take these actions away"
    return f"take these actions away, or add {_RENDERED}"


_MEND: dict[str, Callable[[Path], str]] = {
    "no-attestation": _mend_unattested,
    "any-code": lambda _path: f"use {_RENDERED}",
    "other-measurement": lambda path: (
        f"take {_list(one[:_SHOWN] + '…' for one in path.details)} out; or give the"
        " release that has it"
    ),
    "debug": lambda _path: "take the zeros out",
    "sections": lambda _path: f"use {_RENDERED}, which fixes PCR0, PCR1 and PCR2",
    "boot": lambda _path: (
        f"use {_RENDERED}, which fixes PCR4, PCR12, and PCR7 if named"
    ),
    "mixture": lambda _path: "one Allow for each release, with its own values alone",
    "rules": lambda _path: (
        "take these actions away; or, if they are meant to: --administrator ARN"
    ),
    "unknown-action": lambda _path: "name the actions one by one",
    "write": lambda _path: "take it away if only enclaves are to write",
    "admitted": lambda _path: "nothing",
}


def _list(names: Iterable[str]) -> str:
    shown = [printable(name, 80) for name in dict.fromkeys(names)]
    more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return ", ".join(shown[:_MOST]) + more
