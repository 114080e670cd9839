"""A worked example: a log with a few weeks of history, for looking at its pages.

    python -m demo.example FOLDER [ORIGIN]

Two providers and two auditors speak in it: releases with and without source, a part
made elsewhere, rebuilds, reviews, a conflict that was taken back, a build that turned
out vulnerable. Its keys are new, and those of the parties are thrown away: nobody can
go on with the story.
"""

import os
import sys
import time
from collections.abc import Callable
from hashlib import sha256, sha384
from pathlib import Path
from typing import Any

from log_server.config import Config
from log_server.creation import create_log, identity_key
from log_server.databases import intake_database, log_database
from log_server.direct import exclusively, open_sequencer, taken_of
from log_server.intake import IntakeWriter, Submission
from log_server.store import Store
from pcrlog.encoding import encode_json, format_time
from pcrlog.encoding import sha256 as digest
from pcrlog.envelope import Envelope, sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.measurement import PLATFORMS
from pcrlog.predicates import (
    REGISTRAR,
    Audit,
    Basis,
    Build,
    BuildTool,
    Component,
    Control,
    Document,
    Identity,
    OpenFindings,
    Predicate,
    Reference,
    Release,
    Revocation,
    Source,
)
from pcrlog.statement import encode

ORIGIN = "localhost/pcr"
ACME, BASE, LAB, LENS = "acme.example", "base.example", "lab.example", "lens.example"
WALLET, PROXY = f"{ACME}/wallet", f"{BASE}/vsock-proxy"
_DAY = 86_400
_NITRO, _ARTIFACT, _SOURCE = "aws-nitro", "artifact", "source"
_URI = "https://git.example"
PROXY_DIGEST = sha256(b"vsock-proxy 2.1.0").hexdigest()
_CONTROLS = (Control("kms-policy", sha256(b"kms policy").hexdigest()),)
_PARTS = (Component(PROXY, PROXY_DIGEST),)


def registers(build: str) -> dict[str, str]:
    """PCR0, PCR1 and PCR2 of an imagined build."""
    return {
        f"PCR{n}": f"sha384:{sha384(f'{build}/{n}'.encode()).hexdigest()}"
        for n in range(3)
    }


def commit(version: str) -> str:
    """The commit of an imagined version."""
    return sha256(version.encode()).hexdigest()[:40]


class Example:
    """Writes the story into a new log; `now` is unix seconds, as its clock says."""

    def __init__(self, folder: Path, origin: str, now: int) -> None:
        self.now = now
        self.origin = origin
        new = create_log(folder, origin, root_key=None, clock=self.clock)
        self.config = Config.load(folder)
        self.keys = {REGISTRAR: SigningKey.from_pem(new.enrol_key.read_bytes())}
        self.names: dict[int, str] = {}

    def clock(self) -> int:
        """Unix seconds in the story."""
        return self.now

    def wait(self, days: float) -> None:
        """Let time go by."""
        self.now += int(days * _DAY)

    def say(self, *envelopes: bytes) -> None:
        """Submit statements, and let the log decide; each must be accepted."""
        store = Store(log_database(self.config))
        try:
            with exclusively(self.config):
                writer = IntakeWriter(
                    intake_database(self.config), taken_of(store), lambda: None
                )
                for one in envelopes:
                    row = Submission(one, digest(one), True, self.now)  # noqa: FBT003 - a row of intake.db
                    writer.put(row)
                writer.close()
                # Days went by without a seal, and the log asks whether that is so.
                self.config.clock_confirmed.touch()
                os.utime(self.config.clock_confirmed, (self.now, self.now))
                with open_sequencer(self.config, self.clock) as sequencer:
                    while sequencer.round():
                        pass
            with store.committed() as snapshot:
                found = [snapshot.decision(digest(one)) for one in envelopes]
        finally:
            store.close()
        refused = [one for one in found if one is None or one.index is None]
        assert not refused, refused

    def _common(self, issuer: str, platform: str) -> dict[str, Any]:
        return {
            "log": self.origin,
            "issuer": issuer,
            "issued": format_time(self.now),
            "platform": platform,
            "identity": PLATFORMS[platform].identity,
        }

    def _sign(self, issuer: str, said: Predicate, subject: dict[str, str]) -> bytes:
        return sign_envelope(encode(said, subject), [self.keys[issuer]])

    def enrol(self, name: str, *roles: Any) -> bytes:
        """An identity of a new party."""
        key = self.keys[name] = SigningKey.generate()
        row = identity_key(key.public)
        said = Identity(
            log=self.origin,
            issuer=REGISTRAR,
            issued=format_time(self.now),
            name=name,
            signers=(self.keys[REGISTRAR].public.keyid,),
            roles=roles,
            keys=(row,),
        )
        return self._sign(REGISTRAR, said, {row.keyid: f"sha256:{row.keyid}"})

    def release(self, version: str, image: str = "", /, **more: Any) -> bytes:
        """A release of the wallet."""
        said = Release(
            **self._common(ACME, _NITRO), product=WALLET, version=version, **more
        )
        return self._sign(ACME, said, registers(image or version))

    def audit(
        self, issuer: str, scope: str, version: str, result: Any = "pass", **more: Any
    ) -> bytes:
        """An audit of a version of the wallet, or of its source."""
        of_source = scope == "source-review"
        said = Audit(
            **self._common(issuer, _SOURCE if of_source else _NITRO),
            scope=scope,
            result=result,
            performed=format_time(self.now),
            **more,
        )
        subject = {"commit": f"gitCommit:{commit(version)}"}
        return self._sign(issuer, said, subject if of_source else registers(version))

    def rebuild(self, version: str, *, parts: bool = True, **more: Any) -> bytes:
        """A rebuild that came out the same; perhaps of a list of parts, too."""
        listed = digest(encode_json(_PARTS)).hex() if parts else None
        return self.audit(
            LAB,
            "reproduction",
            version,
            source=Source(f"{_URI}/acme/wallet", commit(version)),
            components=listed,
            **more,
        )

    def revoke(self, issuer: str, build: str, reason: str, said: bytes = b"") -> bytes:
        """A revocation of a measurement, or of a statement in an envelope."""
        target = digest(Envelope.parse(said).payload).hex() if said else None
        found = Revocation(
            **self._common(issuer, _NITRO), reason=reason, statement=target
        )
        return self._sign(issuer, found, registers(build))

    def proxy(self) -> list[bytes]:
        """The part that is made elsewhere: released, rebuilt, reviewed."""
        subject = {"digest": f"sha256:{PROXY_DIGEST}"}
        source = Source(f"{_URI}/base/vsock-proxy", commit("proxy"))
        release = Release(
            **self._common(BASE, _ARTIFACT),
            product=PROXY,
            version="2.1.0",
            source=source,
            build=Build(_document("base/recipe")),
            components=(),
        )
        rebuilt = Audit(
            **self._common(LAB, _ARTIFACT),
            scope="reproduction",
            result="pass",
            performed=format_time(self.now),
            source=source,
            components=digest(encode_json(())).hex(),
        )
        review = self.audit(LENS, "source-review", "proxy")
        return [
            self._sign(BASE, release, subject),
            self._sign(LAB, rebuilt, subject),
            review,
        ]


def _document(name: str) -> Document:
    return Document(f"{_URI}/{name}", sha256(name.encode()).hexdigest())


def _built(version: str) -> dict[str, Any]:
    """What a release says of its source and build."""
    tools = (BuildTool("nix", sha256(b"nix 2.24").hexdigest()),)
    return {
        "source": Source(f"{_URI}/acme/wallet", commit(version)),
        "build": Build(_document(f"acme/recipe-{version[0]}"), tools),
    }


def tell(story: Example) -> None:
    """The story, from the first enrolment to this morning."""
    story.say(
        story.enrol(ACME, "provider"),
        story.enrol(BASE, "provider"),
        story.enrol(LAB, "auditor"),
        story.enrol(LENS, "auditor"),
    )
    story.wait(6)
    story.say(*story.proxy())
    story.wait(3)
    story.say(story.release("1.3.0"))
    story.wait(9)
    notes = _document("acme/notes-1.4.0")
    story.say(
        story.release(
            "1.4.0",
            **_built("1.4.0"),
            components=_PARTS,
            controls=_CONTROLS,
            references=(Reference("release-notes", notes.uri, notes.sha256),),
        )
    )
    story.wait(4)
    found = OpenFindings(critical=0, high=0, medium=2, low=5)
    first = story.audit(LENS, "source-review", "1.4.0", "qualified", open=found)
    story.say(story.rebuild("1.4.0"), first)
    story.wait(5)
    bad = story.release("1.4.1", "stolen", **_built("1.4.1"))
    story.say(story.release("1.4.1", **_built("1.4.1"), components=_PARTS), bad)
    story.wait(0.3)
    source = Source(f"{_URI}/acme/wallet", commit("1.4.1"))
    story.say(
        story.revoke(ACME, "stolen", "erroneous", bad),
        story.audit(LAB, "reproduction", "stolen", "fail", found=(), source=source),
    )
    story.wait(8)
    story.say(story.revoke(ACME, "1.3.0", "vulnerable"))
    story.wait(3)
    story.say(
        story.release("1.5.0", **_built("1.5.0"), components=_PARTS, controls=_CONTROLS)
    )
    story.wait(2)
    basis = Basis(commit("1.4.0"), digest(Envelope.parse(first).payload).hex())
    listed = digest(encode_json(_CONTROLS)).hex()
    story.say(
        story.rebuild("1.5.0"),
        story.audit(LENS, "source-review", "1.5.0", basis=basis),
        story.audit(
            LENS,
            "controls-review",
            "1.5.0",
            controls=listed,
            expires=format_time(story.now + 80 * _DAY),
            report=_document("lens/report-7"),
        ),
    )
    story.wait(5)
    story.say(
        story.release(
            "1.5.1", **_built("1.5.1"), components=_PARTS, controls=_CONTROLS
        ),
        story.rebuild("1.5.1"),
    )


def write(folder: Path, origin: str, clock: Callable[[], float]) -> Config:
    """A new log in `folder` whose story ends some hours ago."""
    lasts = 45.3
    story = Example(folder, origin, int(clock() - (lasts + 0.5) * _DAY))
    tell(story)
    return story.config


if __name__ == "__main__":
    write(Path(sys.argv[1]), (sys.argv[2:] or [ORIGIN])[0], time.time)
