"""One round of `pcrlog staple`: a newer bundle, if there is one and it is good.

A bundle is written only if the policy's own checks of the log and of every answer pass,
and only if it is of no older state of the log than the one that lies there. What it
says of a release is not to be hidden: a revocation is stapled like all the rest.

A round asks for the log's checkpoint first, some hundred bytes. If that is the one that
the kept bundle holds, and the bundle still has all that the policy asks, nothing else
is fetched.
"""

from collections.abc import Sequence
from contextlib import suppress

from cli.logs import Access, measurements_of, platform_of
from cli.readiness import judge
from cli.staple_folder import Folder, Health, Stapled
from cli.state import State
from pcrlog import evidence, limits
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import cosignatures, open_checkpoint
from pcrlog.encoding import encode_base64, format_time, sha256
from pcrlog.errors import (
    InconsistencyError,
    PcrlogError,
    UncheckedError,
    UsageError,
    VerificationError,
)
from pcrlog.index_keys import of_product
from pcrlog.measurement import Registers
from pcrlog.note import UnverifiedNote
from pcrlog.online import auditors_of
from pcrlog.policy import Log
from pcrlog.predicates import Release
from pcrlog.seal import Seal
from pcrlog.verification import foresee
from pcrlog.verification.checks import ANSWERS, LOG

_REFUSED = "the policy accepts nothing that this bundle is about"


class Round:
    """One round: renews the bundle of a folder from a log, if there is a newer one.

    Args:
        access: the log, by a policy.
        folder: what is kept.
        state: where evidence goes.
        now: unix seconds.
    """

    def __init__(self, access: Access, folder: Folder, state: State, now: int) -> None:
        self.access = access
        self.folder = folder
        self.state = state
        self.now = now

    @property
    def _log(self) -> Log:
        if self.access.log is None:
            message = "a bundle is checked before it is written: --policy FILE"
            raise UsageError(message)
        return self.access.log

    def run(self, registers: Registers | None, most: int) -> Health:
        """Renew, and write down how it went; see `Health`.

        Args:
            registers: what runs behind the endpoint; None for what is released.
            most: then so many releases, the newest.

        Raises:
            UncheckedError: no answer, or none that could be checked; the bundle is as
                it was.
            VerificationError: a false answer; the bundle is as it was.
        """
        last, kept = self.folder.health(), self.folder.bundle()
        note = self.access.source("checkpoint", limits.NOTE)
        known = [one.registers for one in last.releases] if last else []
        if registers is not None:
            known = [dict(registers)]
        if kept is not None and known:
            with suppress(PcrlogError):
                if _note_of(kept) == note:
                    same = last is not None and last.sha256 == sha256(kept).hex()
                    renewed = last.renewed if last and same else None
                    return self._told(kept, self.examine(kept, known), renewed)
        wanted = [dict(registers)] if registers is not None else self._released(most)
        data = self._fetch(wanted)
        found = self.examine(data, wanted)
        if kept is not None:
            self._check_newer(kept, data)
        self.folder.write(self.folder.name, data)
        return self._told(data, found, None)

    def _released(self, most: int) -> list[Registers]:
        """The registers of the newest releases, of one platform: bundles are of one.

        It is the newest release's, of those that the policy names for the product.
        """
        product = self.folder.product
        named = self.access.rules.product(product).platforms
        key = of_product(product)
        _, entries = self.access.lookup(key).newest(key)
        found: dict[tuple[tuple[str, str], ...], Registers] = {}
        platform: str | None = None
        for entry in reversed(entries):
            said, measured = entry.predicate, entry.statement.registers
            if not isinstance(said, Release) or said.platform not in named:
                continue
            platform = platform or said.platform
            if said.platform == platform and len(found) < most:
                found.setdefault(tuple(sorted(measured.items())), dict(measured))
        if not found:
            where = f" on {' or '.join(named)}" if entries else ""
            message = (
                f"{self.access.origin} has no release of {product}{where} yet: pcrlog"
                " release"
            )
            raise UncheckedError(message)
        return list(found.values())

    def _fetch(self, wanted: Sequence[Registers]) -> bytes:
        product = self.folder.product
        named = [name for one in wanted for name in measurements_of(one)]
        auditors = auditors_of(self.access.rules, product)
        return self.access.bundle(product, list(dict.fromkeys(named)), auditors)

    def examine(self, data: bytes, wanted: Sequence[Registers]) -> tuple[Stapled, ...]:
        """What the policy makes of each of these registers, by a bundle.

        Raises:
            UncheckedError: an answer is missing, stale, or without its quorums.
            VerificationError: an answer is false.
        """
        product, rules = self.folder.product, self.access.rules
        found = []
        for registers in wanted:
            report = foresee(
                registers,
                data,
                rules,
                product=product,
                platform=platform_of(registers),
                now=self.now,
            )
            for check in report.checks:
                if check.id not in (*LOG, *ANSWERS) or not check.required:
                    continue
                words = f"{check.id}: expected {check.expected}; found {check.found}"
                if check.status == "fail":
                    raise VerificationError(words)
                if check.status == "unchecked":
                    raise UncheckedError(words)
            ready = judge(report, rules.product(product).links)
            against = (f"{one.id}: {one.found}" for one in ready.checks)
            missing = (*ready.missing, *against)
            found.append(Stapled(dict(registers), ready.ready, ready.version, missing))
        return tuple(found)

    def _check_newer(self, kept: bytes, data: bytes) -> None:
        """Check that a bundle is of no older state of the log than the kept one.

        Raises:
            UncheckedError: it is older.
            InconsistencyError: of the same size, and another tree; evidence is kept.
        """
        key = self._log.key
        try:
            ours = evidence.bare_note(_note_of(kept), key)
        except PcrlogError:
            return  # Not this log's: what lay there is not worth keeping.
        theirs = evidence.bare_note(_note_of(data), key)
        old, new = ours[0], theirs[0]
        if new.size < old.size:
            message = (
                f"the log shows {new.size} entries, and the kept bundle is of"
                f" {old.size}: an older state, such as of a copy that lags"
            )
            raise UncheckedError(message)
        if new.size == old.size and new.root != old.root:
            first, second = sorted((ours, theirs), key=lambda one: one[0].root)
            file = evidence.TwoCheckpoints(checkpoints=(first[1], second[1]), proof=())
            path = self.state.keep(self._log, file)
            message = f"two histories of {key.name}: the evidence is in {path}"
            raise InconsistencyError(
                message, ours=ours[1].encode(), theirs=theirs[1].encode()
            )

    def _told(
        self, data: bytes, found: tuple[Stapled, ...], renewed: str | None
    ) -> Health:
        """The health of a bundle that was examined now; `renewed` if not now."""
        bundle = Bundle.parse(data)
        note = UnverifiedNote.parse(bundle.note)
        checkpoint = open_checkpoint(note, self._log.key)
        sealed = Seal.parse(bundle.seal)
        health = Health(
            condition="fresh",
            product=self.folder.product,
            checked=format_time(self.now),
            log=checkpoint.origin,
            renewed=renewed or format_time(self.now),
            bytes=len(data),
            sha256=sha256(data).hex(),
            size=checkpoint.size,
            root=encode_base64(checkpoint.root),
            sealed=format_time(sealed.time),
            fresh_until=format_time(_fresh_until(note, sealed, self._log)),
            releases=found,
            problems=() if any(one.accepted for one in found) else (_REFUSED,),
        )
        return self.folder.tell(health)


def _fresh_until(note: UnverifiedNote, seal: Seal, log: Log) -> int:
    """When the policy no longer takes a checkpoint whose quorums it takes now."""
    if seal.frozen:
        return log.frozen_until or seal.time
    times = [seal.time]
    for quorum in (log.witnesses, log.index_monitors):
        if quorum is not None:
            cosigned = sorted(cosignatures(note, quorum.keys).values(), reverse=True)
            times.append(cosigned[quorum.least - 1])
    return min(times) + log.max_age


def _note_of(data: bytes) -> bytes:
    """The checkpoint note in a bundle, unverified.

    Raises:
        MalformedError: no bundle.
    """
    return Bundle.parse(data).note
