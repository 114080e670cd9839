"""One scene for tests of verification: an honest log, a provider, auditors, an enclave.

A `Scene` starts with identities alone. A test lets them speak through `log`, and asks
`report` what a relying party would be told; whatever it does not name is as a good run
has it: a live document with our nonce, a fresh bundle with all cosignatures, a policy
that demands links 1 and 2. Tampering works on `inputs()`, of which each is one argument
of `verify`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, TypeVar

from msgspec import Struct, structs

from pcrlog.attestation.simulator import Simulator
from pcrlog.bundle import Bundle
from pcrlog.encoding import encode_base64, format_time
from pcrlog.entry import Entry
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.policy import Policy
from pcrlog.predicates import (
    REGISTRAR,
    Build,
    Component,
    Control,
    Document,
    IdentityKey,
    Release,
    Source,
)
from pcrlog.verification import Memory, Report, verify
from pcrlog.verification.audits import digest_of
from pcrlog.verification.checks import CheckStatus
from pcrlog.verification.links import Status
from tests.support.memory_log import START, MemoryLog, key, registers, witness

PROVIDER, LAB, LENS = "acme.example", "lab.example", "lens.example"
PRODUCT = f"{PROVIDER}/wallet"
GOOD, BAD = registers("good"), registers("bad")
COMMIT = "ab" * 20
SOURCE = Source("https://git.example/acme/wallet", COMMIT)
RECIPE = Document("https://git.example/acme/recipe", "cd" * 32)
BUILD = Build(RECIPE)
CONTROL = Control("kms-policy", "c0" * 32)
NONCE = b"the nonce that we sent"
SIMULATOR = Simulator(b"tests/support/scene")
SCOPES = ("reproduction", "source-review", "controls-review")
EVERY_SCOPE = [
    {"name": LAB, "scopes": list(SCOPES)},
    {"name": LENS, "scopes": list(SCOPES)},
]
W1, W2, M1 = (witness(name) for name in ("w1.example/a", "w2.example/b", "m1.example"))
HOUR, DAY = 3600, 86_400

Members = Mapping[str, object]


T = TypeVar("T", bound=Struct)


def changed(value: T, **changes: Any) -> T:
    """A record with some members changed."""
    return structs.replace(value, **changes)


def commit(of: str = COMMIT) -> dict[str, str]:
    """The subject of a source review."""
    return {"commit": f"gitCommit:{of}"}


def source(of: str) -> Source:
    """A source at another commit."""
    return Source(SOURCE.uri, of)


def artifact(sha256: str) -> dict[str, str]:
    """The subject of a component."""
    return {"digest": f"sha256:{sha256}"}


def toml(value: object) -> str:
    """A value as TOML spells it inline."""
    if isinstance(value, Mapping):
        rows = (f"{json.dumps(k)} = {toml(v)}" for k, v in value.items())
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def pem(der: bytes) -> str:
    """A root as a policy spells it."""
    frame = "-----{} CERTIFICATE-----"
    return "\n".join((frame.format("BEGIN"), encode_base64(der), frame.format("END")))


@lru_cache(maxsize=256)
def _document(image: tuple[tuple[str, str], ...], time: int, **members: Any) -> bytes:
    digests = {name: bytes.fromhex(d.partition(":")[2]) for name, d in image}
    return SIMULATOR.document(time=1000 * time, registers=digests, **members)


def document(
    image: Mapping[str, str] = GOOD,
    *,
    time: int = START,
    nonce: bytes | None = NONCE,
    debug: bool = False,
    **members: bytes,
) -> bytes:
    """A genuine document of an image, signed at `time` (unix seconds)."""
    rows = tuple(sorted(image.items()))
    return _document(rows, time, nonce=nonce, debug=debug, **members)


@dataclass(frozen=True)
class Inputs:
    """The arguments of `verify`."""

    attestation: bytes
    bundle: bytes | None
    policy: Policy
    now: int
    product: str = PRODUCT
    at: int | None = None
    nonce: bytes | None = NONCE
    binding: Mapping[str, bytes] | None = None
    memory: Memory | None = None

    def report(self, **changes: Any) -> Report:
        """What `verify` makes of them, with these changed."""
        changed = replace(self, **changes)
        rest = {f.name: getattr(changed, f.name) for f in fields(changed)}
        return verify(rest.pop("attestation"), rest.pop("bundle"), **rest)

    def tampered(self, bundle: Bundle) -> Report:
        """The same with another bundle."""
        return self.report(bundle=bundle.encode())

    @property
    def parsed(self) -> Bundle:
        """The bundle."""
        return Bundle.parse(self.bundle or b"")


class Scene:
    """A log with a provider and two auditors in it; nothing is released yet."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog(witnesses=[W1, W2, M1])
        if log is None:
            self.log.enroll(PROVIDER, "provider")
            self.log.enroll(LAB, "auditor")
            self.log.enroll(LENS, "auditor")
        self._sealed = 0

    # --- what is said ----------------------------------------------------------------

    def release(
        self,
        version: str = "1.4.2",
        image: Mapping[str, str] = GOOD,
        *,
        product: str = PRODUCT,
        **members: Any,
    ) -> int:
        """A release with source and recipe, unless told otherwise."""
        members.setdefault("source", SOURCE)
        members.setdefault("build", BUILD)
        return self.log.release(product, version, dict(image), **members)

    def reproduce(
        self, auditor: str = LAB, image: Mapping[str, str] = GOOD, **members: Any
    ) -> int:
        """A reproduction of an image from `SOURCE`; a pass unless told otherwise."""
        members.setdefault("source", SOURCE)
        if members.get("result") == "fail":
            members.setdefault("found", ())
        return self.log.audit(auditor, "reproduction", dict(image), **members)

    def review(self, auditor: str = LENS, of: str = COMMIT, **members: Any) -> int:
        """A source review of a commit; a pass unless told otherwise."""
        return self.log.audit(auditor, "source-review", commit(of), **members)

    def review_controls(self, index: int, auditor: str = LENS, **members: Any) -> int:
        """A controls review of a release's list, for 90 days unless told otherwise."""
        release = self.log.entries[index].predicate
        assert isinstance(release, Release)
        members.setdefault("controls", digest_of(release.controls or ()))
        if members.get("result") != "fail":
            members.setdefault("expires", format_time(self.log.now + 90 * DAY))
        subject = dict(self.log.entries[index].statement.registers)
        return self.log.audit(auditor, "controls-review", subject, **members)

    def part(self, product: str, sha256: str, **members: Any) -> Component:
        """A component, released by its provider and rebuilt by the first auditor.

        Its source is that of all releases here: who reviewed that, reviewed this.
        """
        provider = product.partition("/")[0]
        if self.log.authority.newest(provider) is None:
            self.log.enroll(provider, "provider")
        subject = artifact(sha256)
        self.release("1.0.0", subject, product=product, platform="artifact", **members)
        confirmed = members.get("components")
        digest = digest_of(confirmed) if confirmed else None
        self.reproduce(LAB, subject, platform="artifact", components=digest)
        return Component(product, sha256)

    def complete(self) -> int:
        """All that makes seven links proven; the release's index."""
        parts = (self.part("parts.example/sidecar", "5a" * 32),)
        index = self.release(components=parts, controls=(CONTROL,))
        self.reproduce(components=digest_of(parts))
        self.review()
        self.review_controls(index)
        return index

    def resign(self, entry: Entry, by: SigningKey) -> int:
        """Append a statement once more, under another signature: no honest log does."""
        leaf = sign_envelope(entry.envelope.payload, [by])
        return self.log.append(leaf, force=True)

    # --- what a relying party has ----------------------------------------------------

    def log_table(self, **changes: object) -> Members:
        """What a policy says of this log."""
        return {
            "vkey": str(self.log.signer.public),
            "url": f"https://{self.log.origin}",
            "registrar": self.log.root.public.keyid,
            "witnesses": quorum(2, W1, W2),
            "index_monitors": quorum(1, M1),
            **changes,
        }

    def policy_text(
        self,
        *,
        head: Members | None = None,
        log: Members | None = None,
        platform: Members | None = None,
        product: Members | None = None,
        logs: Sequence[Members] = (),
        platforms: Members | None = None,
        products: Members | None = None,
    ) -> str:
        """A policy with these members over the defaults, and more tables."""
        nitro = {"roots": [pem(SIMULATOR.root_der)], **(platform or {})}
        rules = {
            "platforms": ["aws-nitro"],
            "auditors": EVERY_SCOPE,
            **(product or {}),
        }
        whole = {
            "format": "pcrlog-policy/v1",
            "version": 1,
            "valid_until": "2036-01-01T00:00:00Z",
            **(head or {}),
            "log": [self.log_table(**(log or {})), *logs],
            "platforms": {"aws-nitro": nitro, **(platforms or {})},
            "products": {PRODUCT: rules, **(products or {})},
        }
        return "\n".join(f"{name} = {toml(value)}" for name, value in whole.items())

    def policy(self, **changes: Any) -> Policy:
        """The same, parsed."""
        return Policy.parse(self.policy_text(**changes).encode())

    def seal(self, **how: Any) -> bytes:
        """Publish, if anything was said since (or if it is asked how); the note."""
        if how or self._sealed != len(self.log.leaves):
            self.log.seal(**how)
            self._sealed = len(self.log.leaves)
        return self.log.note

    def inputs(
        self,
        build: Mapping[str, str] = GOOD,
        *,
        auditors: Sequence[str] = (LAB, LENS),
        product: str = PRODUCT,
        **changes: Any,
    ) -> Inputs:
        """What a good run would be given."""
        self.seal()
        now = self.log.now
        good = Inputs(
            attestation=document(build, time=now),
            bundle=self.log.bundle(product, dict(build), *auditors).encode(),
            policy=changes.pop("policy", None) or self.policy(),
            now=now,
            product=product,
        )
        return replace(good, **changes)

    def report(self, build: Mapping[str, str] = GOOD, **changes: Any) -> Report:
        """What a good run would be told, with these arguments changed."""
        return self.inputs(build, **changes).report()

    def demand(self, *links: int, **product: Any) -> Report:
        """The report under a policy that demands these links."""
        rules = {"links": list(links), **product} if links else product
        return self.report(policy=self.policy(product=rules))


def _rows(
    scene: Scene, name: str, lost: SigningKey, row: IdentityKey
) -> list[IdentityKey]:
    newest = scene.log.authority.newest_identity(name)
    assert newest is not None
    rows = [one for one in newest.keys if one.keyid != lost.public.keyid]
    return [*rows, row]


def _change(scene: Scene, name: str, rows: list[IdentityKey], *by: SigningKey) -> int:
    state = scene.log.authority.state(name, len(scene.log.leaves))
    issuer = REGISTRAR if scene.log.enrol in by else name
    return scene.log.identify(name, rows, by, issuer=issuer, roles=sorted(state.roles))


def compromise(
    scene: Scene,
    name: str,
    since: int,
    *,
    lost: SigningKey | None = None,
) -> int:
    """The registrar declares a key of a name (its first) compromised since an index."""
    one = lost or key(name)
    keyid, spki = one.public.keyid, one.public.spki
    row = IdentityKey(keyid=keyid, key=spki, status="compromised", since=since)
    return _change(scene, name, _rows(scene, name, one, row), scene.log.enrol)


def retire(scene: Scene, name: str, *, by: SigningKey) -> int:
    """A key of a name retires the name's first, alone."""
    one = key(name)
    keyid, spki = one.public.keyid, one.public.spki
    row = IdentityKey(keyid=keyid, key=spki, status="retired")
    return _change(scene, name, _rows(scene, name, one, row), by)


def quorum(least: int, *signers: Any) -> dict[str, object]:
    """A quorum as a policy spells it."""
    return {"quorum": least, "keys": [str(signer.public) for signer in signers]}


def status(report: Report, check: str) -> CheckStatus:
    """What a check came to."""
    [found] = [one.status for one in report.checks if one.id == check]
    return found


def found(report: Report, check: str) -> str:
    """What a check found, in words."""
    [words] = [one.found for one in report.checks if one.id == check]
    return words


def link(report: Report, number: int) -> Status:
    """What a link came to."""
    return report.links[number - 1].status


def ladder(report: Report) -> str:
    """Links 1 to 7 by their first letters, as in `pp cmmm`: p proven, c claimed..."""
    return "".join(one.status[0] for one in report.links)


def not_passed(report: Report) -> dict[str, CheckStatus]:
    """The required checks that did not pass."""
    return {
        one.id: one.status
        for one in report.checks
        if one.required and one.status != "pass"
    }
