"""One change of a name's keys: the name as it stands, and the identity that follows.

What a key of the name may do alone is submitted; what needs the registrar becomes a
request, which says all but the registrar's signature (pcrlog/request.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct, structs

from cli import files, signers
from cli.logs import Access, View, reach
from cli.options import SpeakOptions
from cli.output import GOOD, Row, fact, following, say
from cli.session import Session
from cli.speaking import authority_of, compose, find_speaker
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import format_time
from pcrlog.envelope import pre_authentication_encoding
from pcrlog.errors import UsageError, VerificationError
from pcrlog.keys import Signer
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey
from pcrlog.request import Rotation, encode
from pcrlog.statement import Statement


class RequestShown(Struct, frozen=True):
    """A request written to a file, for the registrar: to enrol, or to co-sign."""

    file: str
    log: str
    name: str
    keyids: tuple[str, ...]
    rotation: bool


@dataclass(frozen=True)
class Change:
    """What becomes of a key."""

    status: Literal["retired", "compromised"]
    since: int | None = None


RETIRED = Change("retired")


@dataclass
class Name:
    """A name as it stands, about to change, and the key that says so."""

    access: Access
    view: View
    authority: Authority
    name: str
    signer: Signer
    now: int

    @property
    def keyid(self) -> str:
        """The key that speaks."""
        return self.signer.public.keyid

    @property
    def is_registrar(self) -> bool:
        """Whether it is the registrar, whose root key changes everything alone."""
        return self.name == REGISTRAR

    @property
    def active(self) -> Mapping[str, str | None]:
        """The name's active keys now."""
        return self.authority.state(self.name, self.view.size).keys

    @property
    def ever(self) -> set[str]:
        """All keys that the name's newest identity names."""
        newest = self.authority.newest_identity(self.name)
        return {key.keyid for key in newest.keys} if newest else set()

    def rows(self, changes: Mapping[str, Change]) -> list[IdentityKey]:
        """All keys of the name, those of `changes` changed."""
        newest = self.authority.newest_identity(self.name)
        if missing := sorted(set(changes) - self.ever):
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
            rows.append(structs.replace(key, status=status, since=since))
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


def begin(session: Session, options: SpeakOptions) -> Name:
    """The name that `--key` belongs to, as the log has it.

    Raises:
        UsageError: to none that is named, or that the policy speaks of.
    """
    signer = signers.load(options.key)
    access = reach(session, options)
    keyid = signer.public.keyid
    names = [options.name] if options.name else _names(access, keyid)
    with session.output.progress(f"asking {access.client.url}"):
        view = access.identities(*names)
    name = find_speaker(view, names, keyid)
    authority, _ = authority_of(view, name)
    return Name(access, view, authority, name, signer, session.now)


def _names(access: Access, keyid: str) -> list[str]:
    """Names that may have this key: those that the policy speaks of."""
    if access.policy is None:
        message = f"whose key is {keyid[:16]}…? --as NAME (or a --policy that names it)"
        raise UsageError(message)
    found: dict[str, None] = {}
    for product, rules in access.policy.products.items():
        found[product.partition("/")[0]] = None
        found.update((auditor.name, None) for auditor in rules.auditors)
    if not 0 < len(found) <= limits.AUDITORS_OF_PRODUCT:
        message = (
            f"whose key is {keyid[:16]}…? The policy names {len(found)}: --as NAME"
        )
        raise UsageError(message)
    return list(found)


def keyid_of(text: str) -> str:
    """A keyid, given so or as a file that has the key."""
    if len(text) == 64 and not set(text) - set("0123456789abcdef"):  # noqa: PLR2004 - of SHA-256
        return text
    return signers.load_public(text).keyid


def ask_registrar(
    session: Session,
    change: Name,
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
    # A retired key returns by the registrar and that key together, and by nobody else.
    known = {row.keyid for row in rows if row.keyid not in change.active}
    returning = [one for one in added if one.public.keyid in known & change.ever]
    signer = returning[0] if returning else change.signer
    statement = change.identity(rows, [enrol[0], signer.public.keyid], REGISTRAR)
    signed = pre_authentication_encoding(statement.payload)
    rotation = Rotation(statement.payload, {signer.public.keyid: signer.sign(signed)})
    data = encode(change.access.origin, change.name, added, rotation)
    keyids = tuple(one.public.keyid for one in added)
    shown = RequestShown(
        options.output, change.access.origin, change.name, keyids, rotation=True
    )
    write_request(session, data, shown)


def write_request(session: Session, data: bytes, shown: RequestShown) -> None:
    """Write a request to its file, and say who goes on with it."""
    files.write_new(shown.file, data + b"\n")
    role = "" if shown.rotation else "--role ROLE "
    rest = f"{role}--request {shown.file}"
    session.output.result(
        shown,
        [
            Row(
                (("wrote: ", GOOD),),
                f"request for {shown.name} on {shown.log} to {shown.file}",
            ),
            *(fact("keyid", keyid) for keyid in shown.keyids),
            say("Send it to the log's registrar, who does:"),
            following(f"pcrlog-server enroll DIR --name {shown.name} {rest}"),
        ],
    )
