"""One file of vectors in the making."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cli.answering import answer
from cli.conformance import agrees
from pcrlog.encoding import encode_base64
from pcrlog.policy import Policy
from tests.support.scene import Inputs, Scene

_LARGE = 160
"""Bytes from which on a value stands once, among the blobs."""


class DisagreementError(Exception):
    """What was written by hand is not what pcrlog answers."""


_POLICIES: dict[str, bytes] = {}
"""The text of each policy, by its SHA-256: what is parsed does not keep it."""


class Stage(Scene):
    """A scene whose policies can be written down again."""

    def policy(self, **changes: Any) -> Policy:
        """The same, remembered."""
        text = self.policy_text(**changes).encode()
        policy = Policy.parse(text)
        _POLICIES[policy.sha256] = text
        return policy


class Family:
    """Cases of one subject; `encode` is the file."""

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about
        self.cases: dict[str, dict[str, Any]] = {}
        self._blobs: dict[str, str] = {}

    def case(
        self,
        name: str,
        why: str,
        op: str,
        expect: str | Mapping[str, Any],
        **given: Any,
    ) -> None:
        """Add a case.

        Args:
            name: unique in the family.
            why: the rule, in a sentence.
            op: the operation (docs/conformance.md).
            expect: the word of an error, or members of the answer.
            given: members of the question; byte strings as bytes.
        """
        asked = {"op": op, **given}
        found = answer(_plain(asked))
        expected = _plain(
            {"error": expect} if isinstance(expect, str) else {"ok": dict(expect)}
        )
        if not agrees(expected, found):
            message = f"{self.name}/{name}: by hand {expected}, pcrlog says {found}"
            raise DisagreementError(message)
        if name in self.cases:
            message = f"{self.name}/{name} stands twice"
            raise DisagreementError(message)
        self.cases[name] = {"why": why, "ask": self._shrink(asked), "expect": found}

    def run(
        self,
        name: str,
        why: str,
        inputs: Inputs,
        verdict: str,
        ladder: str,
        lacking: str,
    ) -> None:
        """Add a whole verification.

        Args:
            name: unique in the family.
            why: the rule, in a sentence.
            inputs: the arguments of `verify`.
            verdict: what it comes to.
            ladder: links 1 to 7 by their first letters, as in `ppcmmmm`.
            lacking: the required checks that did not pass, as in
                `release.valid fail, policy.links fail`.
        """
        given = _arguments(inputs)
        found = answer(_plain({"op": "verify", **given}))["ok"]
        shown = ", ".join(
            f"{check} {found['checks'][check]}"
            for check in found["required"]
            if found["checks"][check] != "pass"
        )
        letters = "".join(status[0] for status in found["links"])
        if (found["verdict"], letters, shown) != (verdict, ladder, lacking):
            message = (
                f"{self.name}/{name}: by hand {verdict} {ladder} ({lacking}),"
                f" pcrlog says {found['verdict']} {letters} ({shown})"
            )
            raise DisagreementError(message)
        self.case(name, why, "verify", {"verdict": verdict}, **given)

    def encode(self) -> bytes:
        """The file: JSON, a line for each case and blob, so that diffs stay short."""
        cases = [{"id": name, **case} for name, case in self.cases.items()]
        rows = ",\n".join(json.dumps(case) for case in cases)
        pairs = sorted(self._blobs.items())
        blobs = ",\n".join(f"{json.dumps(name)}: {json.dumps(b)}" for name, b in pairs)
        head = f'"family": {json.dumps(self.name)},\n"about": {json.dumps(self.about)}'
        text = f'{{{head},\n"cases": [\n{rows}\n],\n"blobs": {{\n{blobs}\n}}}}\n'
        return text.encode()

    def _shrink(self, value: Any) -> Any:
        """The same with every large byte string in the table of blobs."""
        if isinstance(value, Mapping):
            return {name: self._shrink(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self._shrink(member) for member in value]
        if not isinstance(value, bytes) or len(value) < _LARGE:
            return _plain(value)
        name = sha256(value).hexdigest()[:12]
        self._blobs[name] = _plain(value)
        return f"@{name}"


def _plain(value: Any) -> Any:
    """The same as JSON has it: byte strings in base64."""
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return encode_base64(value) if isinstance(value, bytes) else value


def _arguments(inputs: Inputs) -> dict[str, Any]:
    given: dict[str, Any] = {
        "attestation": inputs.attestation,
        "bundle": inputs.bundle,
        "policy": _POLICIES[inputs.policy.sha256],
        "product": inputs.product,
        "now": inputs.now,
        "at": inputs.at,
        "nonce": inputs.nonce,
        "binding": inputs.binding,
        "memory": None,
        "collateral": getattr(inputs, "collateral", None),
    }
    if (memory := inputs.memory) is not None:
        given["memory"] = {
            "note": memory.note,
            "proof": None if memory.proof is None else list(memory.proof),
            "frozen": memory.frozen,
        }
    return {name: value for name, value in given.items() if value is not None}
