"""`pcrlog identity`: enrol a name, change its keys, show them (PROTOCOL.md 2.2).

A key of the name alone may only take away: `retire` keys, or declare itself compromised
from now on. That needs nobody, at night either. Whatever gives, dates back or condemns
another key needs the registrar too: then the command writes a request, for
`pcrlog-server enroll` to co-sign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import click
from msgspec import Struct

from cli import files, signers
from cli.logs import Access, View, choose, reach
from cli.options import (
    LogOptions,
    Session,
    SpeakOptions,
    json_option,
    key_option,
    load_policy,
    log_options,
    name_option,
    own_options,
    takes,
)
from cli.output import BAD, DIM, GOOD, PLAIN, Row, fact, say
from cli.speaking import (
    Plan,
    authority_of,
    compose,
    conclude,
    find_speaker,
    undecided,
)
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import encode_base64, format_time
from pcrlog.envelope import pre_authentication_encoding
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.keys import Signer
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey
from pcrlog.request import Request, Rotation, encode
from pcrlog.statement import Statement


class RequestShown(Struct, frozen=True):
    """A request written to a file, for the registrar."""

    file: str
    log: str
    name: str
    keyids: tuple[str, ...]


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
    shown = RequestShown(options.output, origin, options.name, keyids)
    _write_request(session, data, shown)


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


def _write_request(session: Session, data: bytes, shown: RequestShown) -> None:
    files.write_new(shown.file, data + b"\n")
    session.output.result(
        shown,
        [
            Row(
                (("wrote ", GOOD),),
                f"request for {shown.name} on {shown.log} to {shown.file}",
            ),
            *(fact("keyid", keyid) for keyid in shown.keyids),
            say(
                "Next, the log's registrar: pcrlog-server enroll DIR --role ROLE"
                f" --name {shown.name} --request {shown.file}"
            ),
        ],
    )


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
    change = _begin(session, options)
    given = [_keyid(one) for one in options.retired]
    gone = given or [change.keyid]
    unknown = set(gone) - set(change.active)
    if unknown:
        message = f"{change.name} has no active key {', '.join(sorted(unknown))}"
        raise UsageError(message)
    rows = change.rows(dict.fromkeys(gone, _RETIRED))
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
    change = _begin(session, options)
    since, other = options.since, options.compromised
    keyid = change.keyid if other is None else _keyid(other)
    alone = since is None and keyid == change.keyid
    # The log takes no index above the declaration's own: the largest means "from here".
    lost = _Change("compromised", limits.INTEGER if since is None else since)
    rows = change.rows({keyid: lost})
    if alone:
        statement = change.identity(rows, [keyid], change.name)
        return _conclude(session, change.access, statement, options)
    _ask_registrar(session, change, rows, (), options)
    return None


# --- giving, with the registrar ------------------------------------------------------


@identity_command.command("rotate")
@key_option
@click.option(
    "--add", metavar="URI", multiple=True, help="A new key; proves it is held."
)
@click.option("--retire", "retired", metavar="KEYID|FILE", multiple=True)
@name_option
@log_options
@click.option("-o", "--output", metavar="FILE", required=True, help="Where to write.")
@json_option
@takes(_Rotate)
def rotate(session: Session, options: _Rotate) -> None:
    """Write a request to add keys (and retire others), signed by an active key.

    The registrar co-signs and submits it: pcrlog-server enroll DIR --request FILE.
    """
    change = _begin(session, options)
    added = [signers.load(uri) for uri in options.add]
    gone = [_keyid(one) for one in options.retired]
    if not added:
        message = "which key is new? --add FILE; to retire only: pcrlog identity retire"
        raise UsageError(message)
    rows = {row.keyid: row for row in change.rows(dict.fromkeys(gone, _RETIRED))}
    for one in added:
        public = one.public
        rows[public.keyid] = IdentityKey(
            keyid=public.keyid, key=encode_base64(public.spki), status="active"
        )
    _ask_registrar(session, change, list(rows.values()), added, options)


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
        words = []
        if key.since is not None:
            words.append(f"since entry {min(key.since, max(shown.entries))}")
        if authority.added_by_registrar(key.keyid):
            words.append("added by the registrar alone")
        rows.append(
            Row(((f"  {status:<12}", style), (key.keyid, PLAIN)), ", ".join(words))
        )
    told = ", ".join(map(str, shown.entries))
    return [*rows, Row((("  said in     ", DIM),), f"entries {told}")]


# --- one change ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    """What becomes of a key."""

    status: Literal["retired", "compromised"]
    since: int | None = None


_RETIRED = _Change("retired")


@dataclass
class _Name:
    """A name as it stands, about to change, and the key that says so."""

    access: Access
    view: View
    authority: Authority
    name: str
    signer: Signer
    now: int

    @property
    def keyid(self) -> str:
        return self.signer.public.keyid

    @property
    def active(self) -> Mapping[str, str | None]:
        return self.authority.state(self.name, self.view.size).keys

    def rows(self, changes: Mapping[str, _Change]) -> list[IdentityKey]:
        """All keys of the name, those of `changes` changed."""
        newest = self.authority.newest_identity(self.name)
        known = {key.keyid for key in newest.keys} if newest else set()
        if missing := sorted(set(changes) - known):
            message = f"{self.name} never had the key {', '.join(missing)}"
            raise UsageError(message)
        rows = []
        for key in newest.keys if newest else ():
            change = changes.get(key.keyid)
            status: Literal["active", "retired", "compromised"] = key.status
            since = key.since
            if status == "active" and key.keyid not in self.active:
                status = "retired"
            if change is not None:
                status, since = change.status, change.since
            rows.append(
                IdentityKey(keyid=key.keyid, key=key.key, status=status, since=since)
            )
        return rows

    def identity(
        self, rows: Sequence[IdentityKey], signed_by: Sequence[str], issuer: str
    ) -> Statement:
        """The statement."""
        keys = tuple(sorted(rows, key=lambda row: row.keyid))
        roles = self.authority.state(self.name, self.view.size).roles
        predicate = Identity(
            log=self.access.origin,
            issuer=issuer,
            issued=format_time(self.now),
            name=self.name,
            signers=tuple(sorted(signed_by)),
            roles=tuple(sorted(roles)),  # type: ignore[arg-type] # as they were
            keys=keys,
            previous=self.authority.newest(self.name),
        )
        return compose(predicate, {key.keyid: f"sha256:{key.keyid}" for key in keys})


def _begin(session: Session, options: SpeakOptions) -> _Name:
    signer = signers.load(options.key)
    access = reach(session, options)
    keyid = signer.public.keyid
    names = [options.name] if options.name else _names(access, keyid)
    with session.output.progress(f"asking {access.client.url}"):
        view = access.identities(*names)
    name = find_speaker(view, names, keyid)
    authority, _ = authority_of(view, name)
    return _Name(access, view, authority, name, signer, session.now)


def _names(access: Access, keyid: str) -> list[str]:
    """Names that may have this key: those that the policy speaks of."""
    if access.policy is None:
        message = f"whose key is {keyid[:16]}…? --as NAME (or a --policy that names it)"
        raise UsageError(message)
    found: dict[str, None] = {}
    for product, rules in access.policy.products.items():
        found[product.partition("/")[0]] = None
        found.update((auditor.name, None) for auditor in rules.auditors)
    if not found:
        message = f"whose key is {keyid[:16]}…? The policy names nobody: --as NAME"
        raise UsageError(message)
    return list(found)


def _keyid(text: str) -> str:
    """A keyid, given so or as a file that has the key."""
    if len(text) == 64 and not set(text) - set("0123456789abcdef"):  # noqa: PLR2004
        return text
    return signers.load_public(text).keyid


def _conclude(
    session: Session, access: Access, statement: Statement, options: SpeakOptions
) -> int:
    plan = Plan(options.key, options.output, options.wait)
    return undecided(conclude(session, access, statement, plan))


def _ask_registrar(
    session: Session,
    change: _Name,
    rows: Sequence[IdentityKey],
    added: Sequence[Signer],
    options: SpeakOptions,
) -> None:
    """Write the request for a change that the registrar has to co-sign."""
    if options.output is None:
        message = "this needs the registrar too: -o FILE writes the request for them"
        raise UsageError(message)
    uses = change.authority.state(REGISTRAR, change.view.size).keys
    enrol = sorted(keyid for keyid, use in uses.items() if use == "enrol")
    if not enrol:
        message = f"{change.access.origin} has no active enrol key: ask its registrar"
        raise VerificationError(message)
    statement = change.identity(rows, [enrol[0], change.keyid], REGISTRAR)
    signed = pre_authentication_encoding(statement.payload)
    rotation = Rotation(statement.payload, {change.keyid: change.signer.sign(signed)})
    data = encode(change.access.origin, change.name, added, rotation)
    keyids = tuple(one.public.keyid for one in added)
    shown = RequestShown(options.output, change.access.origin, change.name, keyids)
    _write_request(session, data, shown)
