"""`pcrlog report`: check a file that `pcrlog verify --report` made, years later too.

Two questions: are the words in the file what its own parts lead to, and what do these
parts prove to me? For the second the policy decides; the one inside is the choice of
whoever made the file, until somebody who knows its digest says so.
"""

from pathlib import Path

import click
from msgspec import Struct

from cli import files, ladder, report_file
from cli.options import json_option, policy_option, takes
from cli.output import BAD, GOOD, STRONG, WARN, Row, fact, following, say
from cli.policy_levels import level_of
from cli.report_file import Filed
from cli.session import Session
from pcrlog import limits
from pcrlog.encoding import format_time, parse_time
from pcrlog.errors import (
    MalformedError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.policy import Policy
from pcrlog.verification import Report

_NAMES = {"run": "run.json", "policy": "policy.toml", "document": "document"}
_NAMES |= {"bundle": "bundle.pcrbundle", "report": "report.json"}
_NAMES |= {"collateral": "collateral.json"}


class _Verify(Struct, frozen=True):
    file: str
    policy: str | None
    policy_sha256: str | None
    at: str | None


class _Extract(Struct, frozen=True):
    file: str
    directory: str


class Checked(Struct, frozen=True):
    """A report file: whether its words are its own, and what is found again.

    `words` is "same", "changed", or "other" (another version of pcrlog made it, which
    says the same things otherwise). `policy` is "confirmed", "own" or "unknown".
    """

    file: str
    words: str
    differences: tuple[str, ...]
    made: int
    program: str
    policy: str
    policy_sha256: str
    report: Report


class Extracted(Struct, frozen=True):
    """The parts of a report, as files of their own."""

    file: str
    parts: tuple[str, ...]


@click.group("report")
def report_command() -> None:
    """Check a report that verify --report made, or take it apart."""


@report_command.command("verify")
@click.argument("file")
@policy_option
@click.option("--policy-sha256", metavar="HEX", help="The policy that you accept.")
@click.option("--at", metavar="TIME", help="Judge the document as of then.")
@json_option
@takes(_Verify)
def verify_report(session: Session, options: _Verify) -> int:
    """Run the verification in FILE again, and compare every word of it.

    With --policy your own demands decide. Exit status: 0 verified and the same, 3 could
    not check, 4 refuted, or the file is not what its parts say.
    """
    filed = _read(options.file)
    own = _own(options)
    words, differences = _compare(filed)
    standing = _standing(filed, own, options.policy_sha256)
    at = None if options.at is None else _time(options.at)
    report = filed.again(own or filed.policy, at)
    shown = Checked(
        *(options.file, words, differences, filed.run.now, filed.run.program),
        *(standing, (own or filed.policy).sha256, report),
    )
    session.output.result(shown, _rows(filed, shown))
    if words == "changed":
        return VerificationError.exit_code
    late = filed.run.now > session.now + filed.policy.clock_skew
    if report.exit_code == 0 and (late or words != "same" or standing == "unknown"):
        return UncheckedError.exit_code
    return report.exit_code


def _read(file: str) -> Filed:
    data = files.read(file, report_file.LARGEST)
    try:
        return report_file.read(data)
    except MalformedError as error:
        message = f"{file} is no report, or was changed: {error}"
        raise VerificationError(message) from error


def _own(options: _Verify) -> Policy | None:
    if options.policy is None:
        return None
    return Policy.parse(files.read(options.policy, limits.POLICY))


def _time(text: str) -> int:
    try:
        return parse_time(text)
    except MalformedError as error:
        message = f"--at: {error}"
        raise UsageError(message) from error


def _compare(filed: Filed) -> tuple[str, tuple[str, ...]]:
    """Whether the file's words are what its parts say and what is found again."""
    from cli.report_parts import program

    again = filed.again(filed.policy)
    found = report_file.differences(filed.parts.report, again)
    if not filed.faithful:
        found.insert(0, "page")
    if not found:
        return "same", ()
    other = filed.run.program != program() and found in (["page"], ["words"])
    return "other" if other else "changed", tuple(found)


def _standing(filed: Filed, own: Policy | None, known: str | None) -> str:
    """Whose the policy is that decides."""
    inside = filed.policy.sha256
    if own is not None:
        return "confirmed" if own.sha256 == inside else "own"
    if known is None:
        return "unknown"
    if known != inside:
        message = f"the policy inside is {inside}, and you accept {known}"
        raise VerificationError(message)
    return "confirmed"


def _rows(filed: Filed, shown: Checked) -> list[Row]:
    said = {
        "same": Row(
            (("same words: ", GOOD),), f"{shown.file} says what is found in it"
        ),
        "other": Row(
            (("other words: ", WARN),),
            f"pcrlog {shown.program} made {shown.file}, and this version says it"
            " otherwise; below is what is found now",
            hang=2,
        ),
        "changed": Row(
            (("CHANGED: ", BAD),),
            f"{shown.file} is not what its parts lead to"
            f" ({', '.join(shown.differences)}); below is what they lead to",
            hang=2,
        ),
    }
    made, inside = format_time(shown.made), filed.policy.sha256
    rows = [said[shown.words], fact("made", f"{made}, for {filed.run.product}")]
    level = level_of(filed.parts.policy)
    known = f"inside, the text of {level}" if level else "inside"
    rows.append(fact("policy", f"sha256 {inside} ({known})"))
    if shown.policy == "own":
        rows.append(fact("", f"sha256 {shown.policy_sha256} (yours: it decides)"))
    rows += [say(""), *ladder.rows_of(shown.report)]
    if shown.policy == "unknown":
        rows += [
            say(""),
            say(
                "Whose policy is that? It decided, and nobody has confirmed it.", STRONG
            ),
            following(f"pcrlog report verify {shown.file} --policy-sha256 {inside}"),
        ]
    return rows


@report_command.command("extract")
@click.argument("file")
@click.argument("directory")
@json_option
@takes(_Extract)
def extract(session: Session, options: _Extract) -> None:
    """Write the parts of FILE into DIRECTORY, which must be new.

    To ask the log what it has heard since: pcrlog verify --attestation --at.
    """
    filed = _read(options.file)
    folder = Path(options.directory)
    try:
        folder.mkdir()
    except OSError as error:
        message = f"{folder}: {error.strerror}"
        raise UsageError(message) from error
    paths = []
    for name, data in filed.parts.named().items():
        paths.append(str(folder / _NAMES[name]))
        files.write_new(paths[-1], data)
    run = filed.run
    time = format_time(run.now if run.at is None else run.at)
    command = f"pcrlog verify --policy POLICY --product {run.product}"
    if filed.parts.collateral is not None:
        command += f" --collateral {folder / 'collateral.json'}"
    if isinstance(run.platform, str):
        command += f" --platform {run.platform}"
    session.output.result(
        Extracted(options.file, tuple(paths)),
        [
            *(Row((("written: ", GOOD),), path) for path in paths),
            following(f"{command} --attestation {folder / 'document'} --at {time}"),
        ],
    )
