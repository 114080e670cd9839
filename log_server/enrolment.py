"""The registrar's work: enrol a name, co-sign a change of its keys.

What is signed here decides who may speak in the log, so it is made from a request only
after everything in it was checked: for this log, for the name that the operator typed,
and with proof that somebody holds each new key.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from log_server.config import Config
from log_server.creation import identity_key
from log_server.databases import log_database
from log_server.direct import exclusively, submit_directly
from log_server.lease import LockedError
from log_server.registrar import follow
from log_server.store import Store
from log_server.submit_api import LONGEST_WAIT
from pcrlog.authority import Authority
from pcrlog.encoding import format_time
from pcrlog.envelope import assemble, pre_authentication_encoding, sign_envelope
from pcrlog.errors import UncheckedError, UsageError, VerificationError
from pcrlog.keys import PublicKey, Signer, SigningKey, keyid_of
from pcrlog.predicates import REGISTRAR, Identity, IdentityKey
from pcrlog.request import Request, Rotation
from pcrlog.statement import encode, parse
from pcrlog.transport import Client, Promised
from signing import uris


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the registrar signs: `envelope`, and `changes` in words.

    If the log already says so, `index` is where; then there is nothing to submit.
    """

    envelope: bytes
    changes: tuple[str, ...]
    index: int | None = None


def prepare(
    config: Config,
    name: str,
    roles: Sequence[str],
    request: Request,
    clock: Callable[[], int],
) -> Enrolment:
    """Check a request, and sign what it asks for with the enrol key.

    Raises:
        UsageError: the request is not for this log and name, or asks for what the
            options do not say.
        VerificationError: it adds a key that nobody has proven to hold.
    """
    if (request.log, request.name) != (config.origin, name):
        message = (
            f"request is by {request.name} for log {request.log}, want {name} for"
            f" {config.origin}"
        )
        raise UsageError(message)
    signer = _read_enrol_key(config)
    authority, newest = _state(config, name)
    before = authority.newest_identity(name)
    if request.rotation is not None:
        return _cosign(request, request.rotation, roles, signer, before)
    if before is not None and authority.state(name, newest + 1).keys:
        return _again(request, roles, before, newest)
    known = (before, authority.newest(name))
    return _enrol(config, request, roles, signer, known, clock)


def _read_enrol_key(config: Config) -> Signer:
    """The registrar's key: in the file, or where a URI in the file says."""
    try:
        data = config.enrol_key.read_bytes()
        text = data.decode("ascii", "replace").strip()
        return uris.load(text) if uris.named(text) else SigningKey.from_pem(data)
    except OSError as error:
        message = (
            f"cannot read the registrar's enrol key: {error}. It is kept elsewhere?"
            f" Enrolling needs it at {config.enrol_key}"
        )
        raise UsageError(message) from error


def _state(config: Config, name: str) -> tuple[Authority, int]:
    """Who may say what now, and the index of the name's newest identity (else -1)."""
    store, authority = Store(log_database(config)), Authority(config.origin)
    try:
        with store.committed() as snapshot:
            follow(authority, snapshot, 0)
            newest = authority.newest(name)
            index = snapshot.index_of(bytes.fromhex(newest)) if newest else None
    finally:
        store.close()
    return authority, -1 if index is None else index


def _again(
    request: Request, roles: Sequence[str], before: Identity, index: int
) -> Enrolment:
    """What asks for exactly what stands is answered with it."""
    asked = {keyid_of(spki) for spki in request.spki}
    stands = {key.keyid for key in before.keys}
    if asked == stands and tuple(sorted(set(roles))) == before.roles:
        return Enrolment(b"", (), index)
    message = (
        f"{request.name} is enrolled already; to change its keys, it signs a"
        " rotation: pcrlog identity rotate"
    )
    raise UsageError(message)


def _enrol(
    config: Config,
    request: Request,
    roles: Sequence[str],
    signer: Signer,
    known: tuple[Identity | None, str | None],
    clock: Callable[[], int],
) -> Enrolment:
    """The first identity of a name, or the next of one that has lost all its keys."""
    before, previous = known
    keys = [identity_key(PublicKey.from_spki(spki)) for spki in request.spki]
    identity = Identity(
        log=config.origin,
        issuer=REGISTRAR,
        issued=format_time(clock()),
        name=request.name,
        signers=(signer.public.keyid,),
        roles=tuple(sorted(set(roles))),  # type: ignore[arg-type] # click chose them
        keys=tuple(sorted(keys, key=IdentityKey.order)),
        previous=previous,
    )
    if not identity.roles:
        message = "say what the name may do: --role provider, --role auditor, or both"
        raise UsageError(message)
    payload = encode(identity, {k.keyid: f"sha256:{k.keyid}" for k in keys})
    return Enrolment(sign_envelope(payload, [signer]), describe(before, identity))


def _cosign(
    request: Request,
    rotation: Rotation,
    roles: Sequence[str],
    signer: Signer,
    before: Identity | None,
) -> Enrolment:
    statement = parse(rotation.payload)
    identity = statement.predicate
    if not isinstance(identity, Identity) or identity.name != request.name:
        message = f"the rotation is not an identity of {request.name}"
        raise UsageError(message)
    if before is None:
        message = f"{request.name} is not enrolled yet; ask for that first"
        raise UsageError(message)
    if roles and tuple(sorted(set(roles))) != identity.roles:
        message = f"the rotation has roles {list(identity.roles)}, --role says other"
        raise UsageError(message)
    ours = signer.public.keyid
    if set(identity.signers) != {*rotation.signatures, ours}:
        message = (
            f"its signers are {list(identity.signers)}; want ours, {ours}, besides"
        )
        raise UsageError(message)
    known = {key.keyid for key in before.keys}
    for key in identity.keys:
        if key.keyid not in known and key.key not in request.spki:
            message = f"nobody has proven to hold the new key {key.keyid}"
            raise VerificationError(message)
    signature = signer.sign(pre_authentication_encoding(rotation.payload))
    signatures = [*rotation.signatures.items(), (ours, signature)]
    envelope = assemble(rotation.payload, signatures)
    return Enrolment(envelope, describe(before, identity))


def describe(before: Identity | None, after: Identity) -> tuple[str, ...]:
    """What an identity changes, a line each."""
    old = {} if before is None else {key.keyid: key for key in before.keys}
    new = {key.keyid: key for key in after.keys}
    lines = [] if before is not None else [f"enrols {after.name}"]
    if before is None or before.roles != after.roles:
        lines.append(f"roles: {', '.join(after.roles) or 'none'}")
    for keyid, key in new.items():
        if keyid not in old:
            lines.append(f"adds key {keyid}")
        elif old[keyid].status != key.status:
            since = "" if key.since is None else f" since entry {key.since}"
            lines.append(f"makes key {keyid} {key.status}{since}")
    lines += [f"leaves out key {keyid}: retired" for keyid in old if keyid not in new]
    return tuple(lines)


def submit(config: Config, envelope: bytes, clock: Callable[[], int]) -> int:
    """Submit an envelope and wait until it is published; its index.

    Through the running `serve`, if there is one; else in its place.

    Raises:
        PcrlogError: it was refused; the message says why.
    """
    try:
        with exclusively(config):
            decision = submit_directly(config, envelope, clock)
    except LockedError:
        if config.settings.database is None:
            return _submit_to_server(config, envelope)
        # Whoever has the lease decides it, wherever that is.
        decision = submit_directly(config, envelope, clock)
    if decision.index is None:
        raise VerificationError(decision.detail)
    return decision.index


def _submit_to_server(config: Config, envelope: bytes) -> int:
    try:
        url = str(json.loads(config.serving.read_bytes())["url"])
    except (OSError, ValueError, KeyError) as error:
        message = f"{config.directory} is in use, but by no `serve` that is ready"
        raise UncheckedError(message) from error
    placed = Client(url).submit(envelope, wait=LONGEST_WAIT)
    if isinstance(placed, Promised):
        message = f"not published yet; it will be: pcrlog wait {placed.envelope_sha256}"
        raise UncheckedError(message)
    return placed.index
