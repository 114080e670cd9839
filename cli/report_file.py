"""A report to file: one HTML page, and in it all that its words were made from.

    <pre id="part-run">       how `verify` was called, as canonical JSON
    <pre id="part-policy">    the policy, <pre id="part-document"> the document,
    <pre id="part-collateral">  what the maker publishes of its machines, if given
    <pre id="part-bundle">    the log's answers, if there were any: as they were
    <pre id="part-report">    what came out, `pcrlog-report/v1`

Each part is base64 in lines of 76. The page is a function of its parts
(`report_page.render`), so a file is read by taking the parts out, making the page anew,
and comparing all of it: no byte of a page can differ from what its parts say. Then
`verify`, which is pure, is run again, and has to come to the same report (adr/0048).
"""

from typing import Any

from msgspec import Struct, json

from cli.report_page import render
from cli.report_parts import NAMES, OPTIONAL, Parts, Run, Told
from pcrlog.encoding import decode_base64, decode_json
from pcrlog.errors import MalformedError, UsageError
from pcrlog.online import on_platform, with_channel
from pcrlog.policy import Policy
from pcrlog.verification import Memory, Report, verify

LARGEST = 4 * 1024 * 1024
"""Bytes; the parts have 1.75 MiB at most, and grow by a third."""


class Filed(Struct, frozen=True):
    """A file that was read: its page is what its parts say, or is not (`faithful`)."""

    parts: Parts
    run: Run
    policy: Policy
    told: Told
    faithful: bool

    def again(self, policy: Policy, at: int | None = None) -> Report:
        """What `verify` says of the same, under this policy, or as of another time.

        Raises:
            UsageError: the policy does not name the product, or not on the platform
                that the command asked for.
        """
        run, seen = self.run, self.run.memory
        binding, memory = None, None
        if run.binding is not None:
            binding = {kind: bytes.fromhex(text) for kind, text in run.binding.items()}
        if seen is not None:
            memory = Memory(seen.note.encode(), seen.proof, frozen=seen.frozen)
        return verify(
            self.parts.document,
            self.parts.bundle,
            _demands(run, policy),
            product=run.product,
            now=run.now,
            at=run.at if at is None else at,
            nonce=None if run.nonce is None else bytes.fromhex(run.nonce),
            binding=binding,
            memory=memory,
            collateral=self.parts.collateral,
        )


def _demands(run: Run, policy: Policy) -> Policy:
    """The policy, with what the command demanded besides."""
    if isinstance(run.platform, str):
        policy = on_platform(policy, run.product, run.platform)
    return with_channel(policy, run.product) if run.channel else policy


def read(data: bytes) -> Filed:
    """Take a file apart, and make its page anew.

    Raises:
        MalformedError: it is no such file, or its parts are not of their form.
    """
    if len(data) > LARGEST:
        message = f"report file has {len(data)} bytes, at most {LARGEST}"
        raise MalformedError(message)
    found = {name: _part(data, name) for name in NAMES}
    needed = (name for name in NAMES if name not in OPTIONAL)
    missing = [name for name in needed if found[name] is None]
    if missing:
        message = f"expected what `verify --report` writes; it has no {missing[0]}"
        raise MalformedError(message)
    parts = Parts(**found)  # type: ignore[arg-type] # as above
    try:
        run = decode_json(parts.run, Run, ascii_only=False)
        policy = Policy.parse(parts.policy)
        _demands(run, policy).product(run.product)
        told = Told.parse(parts.report)
        _require_hex(run)
        return Filed(parts, run, policy, told, render(parts) == data)
    except UsageError as error:
        raise MalformedError(str(error)) from error


def _part(data: bytes, name: str) -> bytes | None:
    """The bytes of a part; None if there is none of this name, or more than one."""
    start = f'<pre id="part-{name}">\n'.encode()
    _, found, rest = data.partition(start)
    text, end, _ = rest.partition(b"</pre>")
    if not found or not end or start in rest:
        return None
    try:
        return decode_base64(text.decode("ascii").replace("\n", ""))
    except UnicodeDecodeError as error:
        message = f"its part {name} is not base64"
        raise MalformedError(message) from error


def _require_hex(run: Run) -> None:
    try:
        for text in (run.nonce or "", *(run.binding or {}).values()):
            bytes.fromhex(text)
    except ValueError as error:
        message = "its nonce and binding are not hex"
        raise MalformedError(message) from error


def differences(told: bytes, found: Report) -> list[str]:
    """The members in which a report (JSON) and what is found again differ.

    Of what both have; `words` stands for what another version of pcrlog may say
    otherwise, if that is all.
    """
    theirs, mine = json.decode(told), json.decode(found.to_json())
    known = {row["id"] for row in theirs["checks"]}
    mine["checks"] = [
        row
        for row in mine["checks"]
        if row["id"] in known or row["id"] not in _LATER or row["status"] != "pass"
    ]
    both = [name for name in theirs if name in mine]
    wrong = [name for name in both if _bare(name, theirs) != _bare(name, mine)]
    if not wrong and any(theirs[name] != mine[name] for name in both):
        return ["words"]
    return wrong


_LATER = ("policy.ground",)
"""Checks that files may be older than. They pass under the policies of that time, which
could not demand anything of them."""
_WORDS = {
    "links": ("next",),
    "checks": ("expected", "found"),
}
"""Of the rows of a member, what is words."""


def _bare(name: str, report: dict[str, Any]) -> object:
    """A member, without what is words."""
    if name in ("headline", "remarks", "ground", "infrastructure"):
        return None  # of the ground, a later version may know more
    if name == "components":
        return [
            row | {"links": [_without(one, ("found", "next")) for one in row["links"]]}
            for row in report[name]
        ]
    if name not in _WORDS:
        return report[name]
    return [_without(row, _WORDS[name]) for row in report[name]]


def _without(row: dict[str, Any], words: tuple[str, ...]) -> dict[str, Any]:
    return {member: value for member, value in row.items() if member not in words}
