"""Who may say what at index i: one forward pass for log, monitor and verifier.

The order of the log is the only clock (PROTOCOL.md 2.2). Entries are fed to `accept` in
ascending order; each is judged at its own index by what came before it. Afterwards
`is_void` tells with hindsight: a compromise that was declared later takes away what a
key said in favour of something, never what it said against it.

What names have is in `standing`.
"""

from collections.abc import Mapping

from pcrlog.entry import Entry
from pcrlog.errors import VerificationError
from pcrlog.keys import Owed, PublicKey
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Identity,
    Measured,
    Release,
    Revocation,
)
from pcrlog.standing import ENROL, ROOT, Accepted, Standing, State
from pcrlog.statement import MEASUREMENT_REASONS


class Authority(Standing):
    """The judgement over the entries fed so far."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self.origin = origin
        self._loaded: dict[str, PublicKey] = {}

    def accept(self, entry: Entry) -> None:
        """Judge an entry at its index, and remember it if it is an identity.

        Raises:
            VerificationError: nobody with this key may say this here.
            UncheckedError: signed by a key of an unknown algorithm.
        """
        accepted, owed = self._judge(entry)
        for one in owed:
            one.verify()
        if accepted is not None:
            self._remember(accepted)

    def judge(self, entry: Entry) -> None:
        """The same, without remembering: would `accept` take this entry?"""
        for one in self.judge_unverified(entry):
            one.verify()

    def judge_unverified(self, entry: Entry) -> tuple[Owed, ...]:
        """As `judge`, but for the signatures, which the caller owes: the dear part."""
        return self._judge(entry)[1]

    def _judge(self, entry: Entry) -> tuple[Accepted | None, tuple[Owed, ...]]:
        predicate = entry.predicate
        if predicate.log != self.origin:
            message = (
                f"entry {entry.index} is made for the log {predicate.log}, not for"
                f" {self.origin}"
            )
            raise VerificationError(message)
        if not isinstance(predicate, Identity):
            self._check_speaker(entry, predicate)
            return None, self._owed(entry, {})
        accepted = self._judge_identity(entry, predicate)
        self._check_keys(accepted)
        # Only entry 0 is signed by a key that nobody has seen before.
        own = {key.keyid: key.key for key in predicate.keys}
        return accepted, self._owed(entry, own)

    # --- questions -------------------------------------------------------------------

    def is_void(self, entry: Entry) -> bool:
        """Whether a statement accepted at its index no longer speaks for anything."""
        predicate = entry.predicate
        if isinstance(predicate, Identity):
            chain = self._chains[predicate.name]
            return self._is_void(next(a for a in chain if a.index == entry.index))
        try:
            self._check_speaker(entry, predicate)
        except VerificationError:
            return True
        return False

    # --- statements ------------------------------------------------------------------

    def _check_speaker(self, entry: Entry, predicate: Measured) -> None:
        state = self.state(predicate.issuer, entry.index)
        keyid = entry.keyid
        if keyid not in state.keys or self._compromised(keyid, entry.index):
            message = (
                f"entry {entry.index}: key {keyid} is not an active key of"
                f" {predicate.issuer} at this index"
            )
            raise VerificationError(message)
        if predicate.issuer == REGISTRAR:
            allowed = (
                isinstance(predicate, Revocation)
                and predicate.reason in MEASUREMENT_REASONS
                and state.keys[keyid] == ENROL
            )
        elif isinstance(predicate, Release):
            allowed = "provider" in state.roles
        elif isinstance(predicate, Audit):
            allowed = "auditor" in state.roles
        else:
            # Taking away needs no role.
            allowed = True
        if not allowed:
            kind = type(predicate).__name__.lower()
            message = (
                f"entry {entry.index}: {predicate.issuer} may not make this {kind}"
                f" (roles: {', '.join(sorted(state.roles)) or 'none'})"
            )
            raise VerificationError(message)

    def _owed(self, entry: Entry, own: Mapping[str, bytes]) -> tuple[Owed, ...]:
        signed = entry.envelope.signed
        signatures = entry.envelope.signatures.items()
        return tuple(Owed(self._key(k, own), one, signed) for k, one in signatures)

    def _key(self, keyid: str, own: Mapping[str, bytes]) -> PublicKey:
        key = self._loaded.get(keyid)
        if key is None:
            known = self._keys.get(keyid)
            key = PublicKey.from_spki(known or own[keyid])
            if known is not None:  # what an unverified entry brings is not kept
                self._loaded[keyid] = key
        return key

    # --- identities ------------------------------------------------------------------

    def _judge_identity(self, entry: Entry, identity: Identity) -> Accepted:
        newest = self.newest(identity.name)
        if identity.previous != newest:
            message = (
                f"entry {entry.index}: previous is {identity.previous}, but the newest"
                f" identity of {identity.name} is {newest}"
            )
            raise VerificationError(message)
        if identity.name == REGISTRAR:
            return self._judge_registrar(entry, identity)
        return self._judge_name(entry, identity)

    def _judge_registrar(self, entry: Entry, identity: Identity) -> Accepted:
        [*signers] = identity.signers
        uses = self.state(REGISTRAR, entry.index).keys
        if entry.index == 0:
            uses = {key.keyid: key.use for key in identity.keys}
        if len(signers) != 1 or uses.get(signers[0]) != ROOT:
            message = (
                f"entry {entry.index}: one active root key signs the registrar's"
                " identity, nothing else does"
            )
            raise VerificationError(message)
        return Accepted(
            entry.index, entry.sha256, identity, (signers[0],), (signers[0],), ()
        )

    def _judge_name(self, entry: Entry, identity: Identity) -> Accepted:
        name, index = identity.name, entry.index
        registrar = self.state(REGISTRAR, index).keys
        state = self.state(name, index)
        chain = self._chains.get(name)
        by_registrar = tuple(k for k in identity.signers if registrar.get(k) == ENROL)
        by_name = tuple(k for k in identity.signers if k in state.keys)
        rest = set(identity.signers) - {*by_registrar, *by_name}
        returning = tuple(k for k in rest if self._may_return(k, name))
        accepted = Accepted(
            index, entry.sha256, identity, by_registrar, by_name, returning
        )
        if by_registrar:
            allowed = len(by_registrar) == 1 and len(rest) == len(returning)
        else:
            allowed = chain is not None and len(by_name) == 1 and not rest
        if not allowed:
            message = (
                f"entry {index}: signed by neither an enrol key of the registrar nor"
                f" one active key of {name}"
            )
            raise VerificationError(message)
        if identity.issuer != (REGISTRAR if by_registrar else name):
            message = f"entry {index}: issuer is not who signs it"
            raise VerificationError(message)
        if not by_registrar:
            self._check_alone(accepted, state)
        return accepted

    def _may_return(self, keyid: str, name: str) -> bool:
        return self._owners.get(keyid) == name and keyid not in self._compromises

    def _check_alone(self, new: Accepted, state: State) -> None:
        """A key of the name, alone, may only take away (and only from now on)."""
        taken = state.keys.keys() - new.active.keys()
        given = new.active.keys() - state.keys.keys()
        if given or not taken or frozenset(new.identity.roles) != state.roles:
            message = (
                f"entry {new.index}: a key of the name alone may only retire keys or"
                " declare itself compromised; for more, let the registrar co-sign"
            )
            raise VerificationError(message)
        for keyid, since in self._declared(new):
            [signer] = new.by_name
            if since < min(self._since(keyid), new.index) or (
                keyid != signer and keyid not in self._compromises
            ):
                message = (
                    f"entry {new.index}: to declare another key compromised, or to"
                    " date back, needs the registrar"
                )
                raise VerificationError(message)

    def _check_keys(self, new: Accepted) -> None:
        """What no signature can allow: others' keys, and the return of lost ones."""
        name = new.identity.name
        active = self.state(name, new.index).keys
        for key in new.identity.keys:
            owner = self._owners.get(key.keyid)
            if owner not in (None, name):
                problem = f"belongs to {owner}, for ever"
            elif owner is None and key.status != "active":
                problem = "is not yet known, so it can only be active"
            elif key.keyid in self._compromises and key.status != "compromised":
                problem = "is compromised, for ever"
            elif (
                key.status == "active"
                and owner == name
                and key.keyid not in active
                and key.keyid not in new.returning
            ):
                problem = "was retired: the registrar and that key return it together"
            else:
                continue
            message = f"entry {new.index}: key {key.keyid} {problem}"
            raise VerificationError(message)


def check_target(entry: Entry, known: Mapping[str, Entry]) -> None:
    """Check that a revocation of a statement repeats one of its issuer's, made before.

    Args:
        entry: any entry; all but such revocations pass.
        known: earlier entries by the SHA-256 of their statement; at least those under
            the revocation's own `v1/by` keys.

    Raises:
        VerificationError: no such release or audit, or not repeated byte for byte.
    """
    predicate = entry.predicate
    if not isinstance(predicate, Revocation) or predicate.statement is None:
        return
    target = known.get(predicate.statement)
    problem = None
    if target is None or isinstance(target.predicate, Identity | Revocation):
        problem = "names no earlier release or audit about its measurement"
    elif target.predicate.issuer != predicate.issuer:
        problem = "names a statement of another issuer"
    elif (
        target.predicate.platform != predicate.platform
        or target.predicate.identity != predicate.identity
        or target.statement.registers != entry.statement.registers
    ):
        problem = "does not repeat platform, identity and subject of its statement"
    if problem:
        message = f"entry {entry.index}: the revocation {problem}"
        raise VerificationError(message)
