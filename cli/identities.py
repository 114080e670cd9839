"""`pcrlog identity`: enrol a name, change its keys, show them (PROTOCOL.md 2.2).

A key of the name alone may only take away: `retire` keys, or declare itself compromised
from now on. That needs nobody, at night either. Whatever gives, dates back or condemns
another key needs the registrar too: then the command writes a request, for
`pcrlog-server enroll` to co-sign. The registrar's own keys are changed by its root key,
alone: each command then submits at once.
"""

import click
from msgspec import Struct

from cli import signers
from cli.changes import (
    RETIRED,
    Change,
    RequestShown,
    ask_registrar,
    begin,
    keyid_of,
    write_request,
)
from cli.logs import Access, choose, reach
from cli.options import (
    LogOptions,
    SpeakOptions,
    json_option,
    key_option,
    load_policy,
    log_options,
    name_option,
    own_options,
    takes,
)
from cli.output import BAD, DIM, GOOD, PLAIN, Row
from cli.session import Session
from cli.speaking import (
    Plan,
    authority_of,
    conclude,
    undecided,
)
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.predicates import Identity, IdentityKey
from pcrlog.request import Request, encode
from pcrlog.statement import Statement


class IdentityShown(Struct, frozen=True):
    """A name's keys and roles as of the log's newest entry."""

    log: str
    name: str
    roles: tuple[str, ...]
    active: tuple[str, ...]
    keys: tuple[IdentityKey, ...]
    entries: tuple[int, ...]
    proven: bool


class _Request(LogOptions, frozen=True, kw_only=True):
    name: str
    keys: tuple[str, ...]
    origin: str | None
    output: str


class _Show(LogOptions, frozen=True, kw_only=True):
    name: str


class _Retire(SpeakOptions, frozen=True, kw_only=True):
    retired: tuple[str, ...]


class _Compromise(SpeakOptions, frozen=True, kw_only=True):
    since: int | None
    compromised: str | None


class _Rotate(SpeakOptions, frozen=True, kw_only=True):
    add: tuple[str, ...]
    retired: tuple[str, ...]
    use: str | None


@click.group("identity")
def identity_command() -> None:
    """Enrol a name, change its keys, show them."""


# --- request -------------------------------------------------------------------------


@identity_command.command("request")
@click.option("--name", required=True, help="The name to enrol, such as acme.example.")
@click.option(
    "--key", "keys", metavar="URI", multiple=True, required=True, help="Its key(s)."
)
@click.option("--origin", help="The log's origin, such as log.example/pcr.")
@log_options
@click.option("-o", "--output", metavar="FILE", required=True, help="Where to write.")
@json_option
@takes(_Request)
def request(session: Session, options: _Request) -> None:
    """Ask to be enrolled: each key proves that you hold it.

    Which log it is for comes from --origin, the policy, or --log. Send the file to the
    log's registrar, who does: pcrlog-server enroll DIR --request FILE.
    """
    origin = _origin(session, options)
    held = [signers.load(uri) for uri in options.keys]
    data = encode(origin, options.name, held)
    try:
        Request.parse(data)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    keyids = tuple(one.public.keyid for one in held)
    shown = RequestShown(options.output, origin, options.name, keyids, rotation=False)
    write_request(session, data, shown)


def _origin(session: Session, options: _Request) -> str:
    if options.origin is not None:
        return options.origin
    if options.policy is None and options.log is None:
        message = (
            "which log is it for? --origin log.example/pcr, --policy FILE (or"
            " PCRLOG_POLICY), or --log URL"
        )
        raise UsageError(message)
    if options.policy is not None:
        return choose(load_policy(options.policy), options.log).key.name
    return reach(session, options).origin


# --- taking away, alone --------------------------------------------------------------


@identity_command.command("retire")
@click.option(
    "--retire",
    "retired",
    metavar="KEYID|FILE",
    multiple=True,
    help="Which key; the one that signs if left out.",
)
@own_options
@json_option
@takes(_Retire)
def retire(session: Session, options: _Retire) -> int:
    """Take keys out of use from now on; any active key of the name does it alone.

    A retired key speaks no more. What it said stands; revoke what should not.
    """
    change = begin(session, options)
    given = [keyid_of(one) for one in options.retired]
    gone = given or [change.keyid]
    unknown = set(gone) - set(change.active)
    if unknown:
        message = f"{change.name} has no active key {', '.join(sorted(unknown))}"
        raise UsageError(message)
    rows = change.rows(dict.fromkeys(gone, RETIRED))
    if not any(row.status == "active" for row in rows):
        session.output.remark(
            f"no key of {change.name} stays active: it can then be used again only"
            " through the registrar"
        )
    statement = change.identity(rows, [change.keyid], change.name)
    return _conclude(session, change.access, statement, options)


@identity_command.command("compromise")
@click.option(
    "--since",
    type=click.IntRange(0, limits.INTEGER),
    metavar="INDEX",
    help="From which entry on nothing it said counts; needs the registrar.",
)
@click.option(
    "--compromised",
    metavar="KEYID|FILE",
    help="Which key; the one that signs if left out. Another one needs the registrar.",
)
@own_options
@json_option
@takes(_Compromise)
def compromise(session: Session, options: _Compromise) -> int | None:
    """Declare a key compromised, for ever.

    Without --since, and for the key that signs: from the declaration's own entry on,
    submitted at once, alone. Else a request is written (-o) for the registrar.
    """
    change = begin(session, options)
    since, other = options.since, options.compromised
    keyid = change.keyid if other is None else keyid_of(other)
    alone = change.is_registrar or (since is None and keyid == change.keyid)
    # No index is above the declaration's own: the largest number means "from here on".
    lost = Change("compromised", limits.INTEGER if since is None else since)
    rows = change.rows({keyid: lost})
    if alone:
        statement = change.identity(rows, [change.keyid], change.name)
        return _conclude(session, change.access, statement, options)
    ask_registrar(session, change, rows, (), options)
    return None


# --- giving, with the registrar ------------------------------------------------------


@identity_command.command("rotate")
@key_option
@click.option(
    "--add", metavar="URI", multiple=True, help="A new key; proves it is held."
)
@click.option(
    "--retire",
    "retired",
    metavar="KEYID|FILE",
    multiple=True,
    help="A key that goes at the same time.",
)
@click.option(
    "--use",
    type=click.Choice(["root", "enrol"]),
    help="What the registrar's own new keys are for.",
)
@name_option
@log_options
@click.option("-o", "--output", metavar="FILE", help="Where to write the request.")
@json_option
@takes(_Rotate)
def rotate(session: Session, options: _Rotate) -> int | None:
    """Write a request to add keys (and retire others), signed by an active key.

    The registrar co-signs and submits it: pcrlog-server enroll DIR --request FILE. Its
    own keys (--as registrar --use enrol) its root key adds at once.
    """
    change = begin(session, options)
    added = [signers.load(uri) for uri in options.add]
    gone = [keyid_of(one) for one in options.retired]
    if not added:
        message = "which key is new? --add FILE; to retire only: pcrlog identity retire"
        raise UsageError(message)
    if change.is_registrar != (options.use is not None):
        message = (
            "--use root or --use enrol goes with the registrar's keys, and only so"
        )
        raise UsageError(message)
    rows = {row.keyid: row for row in change.rows(dict.fromkeys(gone, RETIRED))}
    for one in added:
        public = one.public
        rows[public.keyid] = IdentityKey(
            keyid=public.keyid,
            key=public.spki,
            status="active",
            use=options.use,  # type: ignore[arg-type] # click chose it
        )
    if change.is_registrar:
        statement = change.identity(list(rows.values()), [change.keyid], change.name)
        return _conclude(session, change.access, statement, options)
    ask_registrar(session, change, list(rows.values()), added, options)
    return None


# --- show ----------------------------------------------------------------------------


@identity_command.command("show")
@click.argument("name")
@log_options
@json_option
@takes(_Show)
def show(session: Session, options: _Show) -> None:
    """Show the keys and roles of NAME, proven against the policy's log."""
    name = options.name
    access = reach(session, options)
    with session.output.progress(f"asking {access.client.url}"):
        view = access.identities(name)
    authority, entries = authority_of(view, name)
    identity = authority.newest_identity(name)
    if identity is None:
        message = f"{access.origin} has no identity {name}"
        raise VerificationError(message)
    state = authority.state(name, view.size)
    shown = IdentityShown(
        access.origin,
        name,
        tuple(sorted(state.roles)),
        tuple(sorted(state.keys)),
        identity.keys,
        tuple(entry.index for entry in entries if _is_of(entry.predicate, name)),
        access.log is not None,
    )
    session.output.result(shown, _identity_rows(shown, authority))


def _is_of(predicate: object, name: str) -> bool:
    return isinstance(predicate, Identity) and predicate.name == name


def _identity_rows(shown: IdentityShown, authority: Authority) -> list[Row]:
    roles = ", ".join(shown.roles) or "no role"
    proven = "" if shown.proven else " (not checked: no policy)"
    rows = [Row(((shown.name, "bold"),), f": {roles} on {shown.log}{proven}")]
    for key in shown.keys:
        status: str = key.status
        if status == "active" and key.keyid not in shown.active:
            status = "void"
        style = {"active": GOOD, "compromised": BAD}.get(status, DIM)
        words: list[str] = [key.use] if key.use else []
        if key.since is not None:
            words.append(f"since entry {min(key.since, max(shown.entries))}")
        if authority.added_by_registrar(key.keyid):
            words.append("added by the registrar alone")
        rows.append(
            Row(
                ((f"  {status:<12}", style), (f"{key.keyid}  ", PLAIN)),
                ", ".join(words),
            )
        )
    told = ", ".join(map(str, shown.entries))
    return [*rows, Row((("  said in     ", DIM),), f"entries {told}")]


def _conclude(
    session: Session, access: Access, statement: Statement, options: SpeakOptions
) -> int:
    plan = Plan(options.key, options.output, options.wait)
    return undecided(conclude(session, access, statement, plan))
