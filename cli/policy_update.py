"""`pcrlog policy sign` and `policy update`: a policy, and the one that comes after it.

Whoever publishes a policy signs the next one; whoever has the old one follows, from a
file or a URL. What is signed, and what is taken, is told in words first: which demands
go, and which come.
"""

from collections.abc import Iterator

import click
from msgspec import Struct

from cli import files, signers
from cli.options import json_option, takes
from cli.output import BAD, GOOD, STRONG, Row, fact, following, say
from cli.policy_changes import changes
from cli.policy_edit import as_successor
from cli.session import Session
from pcrlog import limits, policy_update
from pcrlog.errors import TransportError, UsageError
from pcrlog.keys import Signer
from pcrlog.policy import Policy
from pcrlog.policy_update import Update

_OK = 200


class _Sign(Struct, frozen=True):
    file: str
    after: str
    keys: tuple[str, ...]
    output: str | None


class _Update(Struct, frozen=True):
    file: str
    updates: str | None
    output: str | None


class Change(Struct, frozen=True):
    """A sentence about a policy that goes (`-`) or comes (`+`)."""

    kind: str
    where: str
    text: str


class Quorums(Struct, frozen=True):
    """How many keys signed, of how many that must: the old policy's, and its own."""

    signed: int
    want: int
    own_signed: int
    own_want: int

    @property
    def reached(self) -> bool:
        """Whether whoever has the old policy takes the new one."""
        return self.signed >= self.want and self.own_signed >= self.own_want


class Signed(Struct, frozen=True):
    """A successor and its signatures; `file` is null if nothing was written."""

    file: str | None
    version: int
    sha256: str
    signatures: Quorums
    changes: tuple[Change, ...]


class Updated(Struct, frozen=True):
    """A policy after its successors: how many were taken, and what is new."""

    file: str
    before: int
    version: int
    steps: int
    sha256: str
    changes: tuple[Change, ...]


# --- sign -----------------------------------------------------------------------------


@click.command("sign")
@click.argument("file")
@click.option(
    "--after", metavar="OLD", required=True, help="The policy that it comes after."
)
@click.option(
    "--key",
    "keys",
    metavar="URI",
    multiple=True,
    help="What signs, as elsewhere; more than once for more. Without: only show.",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write what is signed.")
@json_option
@takes(_Sign)
def sign_policy(session: Session, options: _Sign) -> None:
    """Sign FILE as the successor of the policy in OLD, for `pcrlog policy update`.

    FILE is the new policy, whose version and predecessor are set, or what another key
    has signed already. Without --key it says what would be signed.
    """
    if bool(options.keys) != (options.output is not None):
        message = "--key and -o go together: what signs, and where to write it"
        raise UsageError(message)
    before = Policy.parse(files.read(options.after, limits.POLICY))
    if before.successor is None:
        message = (
            f"{options.after} names nobody who may sign its successor: it needs a table"
            " [successor] with quorum and keys, before it is handed out"
        )
        raise UsageError(message)
    update = _given(files.read(options.file, limits.UPDATES), before)
    after = Policy.parse(update.unverified_policy)
    policy_update.check_place(before, after)
    known = {**before.successor.keys, **policy_update.signers_of(after)}
    policy_update.check_signatures(update, known)
    if options.keys:
        update = policy_update.sign(update, [_load(uri, known) for uri in options.keys])
    if options.output is not None:
        files.write_new(options.output, update.encode() + b"\n")
    shown = Signed(
        *(options.output, after.version, after.sha256, _quorums(update, before, after)),
        tuple(Change(*one) for one in changes(before, after)),
    )
    session.output.result(shown, _signed(options, shown))


def _given(data: bytes, before: Policy) -> Update:
    """An envelope that others signed already, or a policy that nobody has."""
    if not data.startswith(b"{"):
        return Update(as_successor(data, before), {})
    updates = policy_update.parse_updates(data)
    if len(updates) != 1:
        message = f"expected one successor to sign, found {len(updates)}"
        raise UsageError(message)
    return updates[0]


def _load(uri: str, known: policy_update.Keys) -> Signer:
    signer = signers.load(uri)
    if signer.public.keyid not in known:
        message = (
            f"{uri} is key {signer.public.keyid}, which neither policy names in"
            " [successor]"
        )
        raise UsageError(message)
    return signer


def _quorums(update: Update, before: Policy, after: Policy) -> Quorums:
    counted = []
    for policy in (before, after):
        named = policy.successor
        keys = policy_update.signers_of(policy)
        counted.append(len(keys.keys() & update.signatures.keys()))
        counted.append(named.least if named else 0)
    return Quorums(*counted)


def _signed(options: _Sign, shown: Signed) -> Iterator[Row]:
    word = "signed: " if shown.file else "not signed: "
    body = f"version {shown.version} after {options.after}"
    yield Row(((word, GOOD if shown.file else STRONG),), body)
    yield from _rows_of(shown.changes)
    counts = shown.signatures
    told = f"{counts.signed} of {counts.want} by keys of {options.after}"
    if counts.own_want:
        told += f", {counts.own_signed} of {counts.own_want} by its own"
    yield fact("signatures", told)
    yield fact("sha256", shown.sha256)
    if shown.file and counts.reached:
        yield following(f"pcrlog policy update {options.after} {shown.file}")
    else:
        file = shown.file or options.file
        yield following(
            f"pcrlog policy sign {file} --after {options.after} --key KEY -o FILE"
        )


def _rows_of(changed: tuple[Change, ...]) -> Iterator[Row]:
    """What goes and what comes, in words."""
    for one in changed:
        style = GOOD if one.kind == "+" else BAD
        lead = ((f"  {one.kind} ", style), (f"{one.where}: ", STRONG))
        yield Row(lead, one.text, hang=6)
    if not changed:
        yield say("  no demand changes: only its version, and perhaps comments")


# --- update ---------------------------------------------------------------------------


@click.command("update")
@click.argument("file")
@click.argument("updates", metavar="[FILE|URL]", required=False)
@click.option("-o", "--output", metavar="NEW", help="Write there, and leave FILE.")
@json_option
@takes(_Update)
def update_policy(session: Session, options: _Update) -> None:
    """Follow the policy in FILE to its newest successor, and put that in its place.

    Successors come from a file or a URL; if left out, from the URL that the policy
    itself names. Each has to be signed by the keys of the one before it. Exit status: 0
    also if there is none; 3 if some are missing or the newest has run out; 4 if one is
    not signed as it must be. FILE is left as it is then.
    """
    current = files.read(options.file, limits.POLICY)
    before = Policy.parse(current)
    updates = _fetch(session, options.updates or _own_url(before))
    found = policy_update.follow(current, updates, session.now)
    after, target = found.policy, options.output or options.file
    if options.output is not None:
        files.write_new(target, found.data)
    elif found.steps:
        files.change(target, current, found.data)
    shown = Updated(
        *(target, before.version, after.version, found.steps, after.sha256),
        tuple(Change(*one) for one in changes(before, after)),
    )
    session.output.result(shown, _updated(shown))


def _own_url(policy: Policy) -> str:
    if policy.successor is not None and policy.successor.url is not None:
        return policy.successor.url
    message = "updates from where? the policy names no URL: give a file or a URL"
    raise UsageError(message)


def _fetch(session: Session, source: str) -> bytes:
    if not source.startswith(("https://", "http://")):
        return files.read(source, limits.UPDATES)
    from pcrlog.exchange import Exchange

    server = Exchange(source)
    try:
        with session.output.progress(f"asking {source}"):
            answer = server.get("", limits.UPDATES)
    finally:
        server.close()
    if answer.status != _OK:
        message = f"{source} answered {answer.status}, want 200"
        raise TransportError(message)
    return answer.body


def _updated(shown: Updated) -> Iterator[Row]:
    if not shown.steps:
        body = f"{shown.file} is version {shown.version}; there is none after it"
        yield Row((("up to date: ", GOOD),), body)
        return
    body = f"{shown.file}, from version {shown.before} to {shown.version}"
    yield Row((("updated: ", GOOD),), body)
    yield from _rows_of(shown.changes)
    yield fact("sha256", shown.sha256)
    yield following(f"pcrlog policy explain {shown.file}")
