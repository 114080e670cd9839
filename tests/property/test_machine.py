"""The log and its verifier against the naive model of docs/protocol.md, at random.

Both are driven through the same story: names come and go, keys are lost, builds are
released, audited and revoked, and somebody verifies now and then, under a policy of
their own. They agree on what is taken and what is refused, on the index, and on each
link and each required check of each verification.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pcrlog.encoding import encode_base64
from pcrlog.envelope import sign_envelope
from pcrlog.errors import PcrlogError
from pcrlog.policy import Policy
from pcrlog.verification import verify
from tests.model import Model, Report
from tests.model.authority import active_keys
from tests.model.draws import (
    AUDITORS,
    CONTROLS,
    GOOD,
    HOUR,
    INTENTS,
    NAMES,
    OTHER,
    PARTS,
    PRODUCTS,
    PROVIDERS,
    RECIPE,
    ROWS,
    SIDECAR,
    SINCE_NOW,
    SOURCE,
    TWIN,
    WALLET,
    WITH_PCR3,
    Change,
    Draw,
    about,
    audit,
    policy,
    release,
    revocation,
)
from tests.model.run import Document, Request
from tests.model.statements import (
    DAY,
    REGISTRAR,
    Entry,
    Json,
    canonical,
    moment,
    sha256,
)
from tests.support.memory_log import MemoryLog, key
from tests.support.scene import (
    M1,
    NONCE,
    SIMULATOR,
    W1,
    W2,
    document,
    pem,
    quorum,
    toml,
)

COSIGNERS = [W1, W2, M1]
SPKI = b"k" * 32
SHOWN = {"tls-spki-sha256": SPKI}
POOL = {
    REGISTRAR: [key(seed) for seed in ("root", "enrol", "root 2", "enrol 2")],
    **{
        name: [key(seed) for seed in (name, name + "/2", name + "/3")] for name in NAMES
    },
}
KEYS = {one.public.keyid: one for pool in POOL.values() for one in pool}
KEYIDS = {name: [one.public.keyid for one in pool] for name, pool in POOL.items()}
ROOTS, ENROLS = KEYIDS[REGISTRAR][::2], KEYIDS[REGISTRAR][1::2]

SEEN: Counter[str] = Counter()
"""What the machine met."""


class Machine(RuleBasedStateMachine):
    """Each rule says the same to both."""

    def __init__(self) -> None:
        super().__init__()
        self.log = MemoryLog(witnesses=COSIGNERS)
        self.model = Model(self.log.origin)
        self.frozen = False
        self.cosigned: dict[str, int] = {}
        self.model.append(json.loads(self.log.entries[0].envelope.payload), ROOTS[:1])

    # --- saying something ------------------------------------------------------------

    def say(
        self,
        kind: str,
        predicate: Json,
        named: dict[str, str],
        signers: Sequence[str],
        *,
        genuine: bool = True,
    ) -> None:
        """Make a statement of what is drawn, and submit it."""
        self.log.now += 1
        said = {name: value for name, value in predicate.items() if value is not None}
        rows = sorted(named.items())
        subject = [{"name": n, "digest": dict([v.split(":")])} for n, v in rows]
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": f"urn:pcrlog:{kind}:v1",
            "subject": subject,
            "predicate": {
                "log": self.log.origin,
                **said,
                "issued": moment(self.log.now),
            },
        }
        self.submit(statement, sorted(set(signers)), genuine=genuine)

    def submit(
        self,
        statement: Json,
        by: Sequence[str],
        *,
        genuine: bool = True,
        force: bool = False,
    ) -> None:
        """Hand a statement to both; `force` appends it whatever they say."""
        leaf = sign_envelope(canonical(statement), [KEYS[one] for one in by])
        if not genuine:
            envelope = json.loads(leaf)
            envelope["signatures"][-1]["sig"] = encode_base64(KEYS[by[-1]].sign(b""))
            leaf = canonical(envelope)
        entry = Entry(len(self.model.entries), statement, tuple(by), genuine)
        refusal = self.model.refusal(entry)
        kind = statement["predicateType"].split(":")[2]
        SEEN[f"{kind}: {refusal or 'accepted'}"] += not force
        refused = None
        try:
            self.log.append(leaf)
        except PcrlogError as error:
            refused = str(error)
            if force:
                self.log.append(leaf, force=True)
        assert (refused is None) == (refusal is None), (refused, refusal)
        if refusal is None and kind == "identity":
            kinds = self.model.judge.judge(entry)[1].values()
            SEEN[f"identity by {'+'.join(sorted(kinds))}"] += 1
        if refusal is None or force:
            self.model.append(statement, by, genuine=genuine)

    def said(self, *kinds: str) -> list[Entry]:
        return [one for one in self.model.judge.accepted if one.kind in kinds]

    def speaker(self, draw: Draw, name: str) -> str:
        """A key that may speak for the name, nearly always."""
        state = self.model.judge.view().state(name, len(self.model.entries))
        active = state.of_use("enrol") if name == REGISTRAR else set(state.keys)
        either = sorted(active) or KEYIDS[name]
        return str(draw.rarely(*KEYIDS[name], usual=draw.one(*either)))

    # --- identities ------------------------------------------------------------------

    def newest(self, name: str) -> Entry | None:
        chain = self.model.judge.view().chain(name)
        return chain[-1].entry if chain else None

    def identify(
        self,
        name: str,
        rows: dict[str, Json],
        by: Sequence[str],
        roles: Sequence[str],
        **unusual: Any,
    ) -> None:
        uses = dict.fromkeys(ROOTS, "root")
        listed = [
            {
                "keyid": keyid,
                "key": encode_base64(KEYS[keyid].public.spki),
                **({"use": uses.get(keyid, "enrol")} if name == REGISTRAR else {}),
                **row,
            }
            for keyid, row in sorted(rows.items())
        ]
        newest = self.newest(name)
        predicate = {
            "issuer": REGISTRAR if set(by) & set(KEYIDS[REGISTRAR]) else name,
            "name": name,
            "signers": sorted(set(by)),
            "roles": sorted(roles),
            "keys": listed,
            "previous": newest.sha256 if newest else None,
        }
        genuine = unusual.pop("genuine", True)
        named = {keyid: f"sha256:{keyid}" for keyid in rows}
        self.say("identity", predicate | unusual, named, by, genuine=genuine)

    def enrol(self, name: str, roles: Sequence[str], keys: int) -> None:
        rows = {keyid: {"status": "active"} for keyid in KEYIDS[name][:keys]}
        self.identify(name, rows, ENROLS[:1], roles)

    @initialize(
        ready=st.sampled_from([4] * 6 + [3] * 6 + [2, 1, 0]),
        keys=st.integers(1, 3),
        data=st.data(),
    )
    def begin(self, ready: int, keys: int, data: st.DataObject) -> None:
        """Some stories begin at the beginning, most where all is well."""
        if ready >= 1:
            for name in PROVIDERS:
                self.enrol(name, ["provider"], keys)
            for name in AUDITORS:
                self.enrol(name, ["auditor"], keys)
        if ready >= 2:
            part = {"digest": f"sha256:{PARTS[SIDECAR]}"}
            self.complete(SIDECAR, "artifact", part, [])
        if ready >= 3:
            self.complete(WALLET, "aws-nitro", GOOD, ROWS[1:])
        if ready >= 4:
            self.theft(data, Draw(data).one("acme.example", "lab.example"))

    def complete(
        self, product: str, platform: str, named: dict[str, str], parts: list[Json]
    ) -> None:
        """All that makes seven links proven."""
        issuer, lab = product.partition("/")[0], AUDITORS[0]
        said = {
            **about(issuer, platform),
            "product": product,
            "version": "1.4.2",
            "source": SOURCE,
            "build": {"recipe": RECIPE},
            "components": parts,
            "controls": CONTROLS,
        }
        self.say("release", said, named, KEYIDS[issuer][:1])
        done = {"result": "pass", "performed": moment(self.log.now)}
        expires = moment(self.log.now + 90 * DAY)
        for scope, where, members in (
            ("reproduction", platform, {"source": SOURCE, "components": sha256(parts)}),
            ("source-review", "source", {}),
            (
                "controls-review",
                platform,
                {"controls": sha256(CONTROLS), "expires": expires},
            ),
        ):
            what = {"commit": f"gitCommit:{SOURCE['commit']}"}
            said = {**about(lab, where), "scope": scope, **done, **members}
            subject = what if where == "source" else named
            self.say("audit", said, subject, KEYIDS[lab][:1])

    @rule(data=st.data(), name=st.sampled_from([*NAMES, *NAMES, REGISTRAR]))
    @precondition(lambda self: not self.frozen)
    def change(self, data: st.DataObject, name: str) -> None:
        draw, newest = Draw(data), self.newest(name)
        if newest is None:
            roles = draw.one(["provider"], ["auditor"], ["auditor", "provider"])
            self.enrol(name, roles, draw.one(1, 2, 3))
            return
        registrars = ROOTS if name == REGISTRAR else [self.speaker(draw, REGISTRAR)]
        strangers = [keyid for keyid in KEYS if keyid not in KEYIDS[name]]
        index = len(self.model.entries)
        own = KEYIDS[name]
        change = Change(draw, newest, own, registrars, strangers, index)
        intent = draw.one(*INTENTS)
        change.make(intent)
        by = change.by[:1] if name == REGISTRAR else change.by[:2]
        if not change.rows or not by:
            return
        unusual = draw.rarely(
            {"issuer": name},
            {"previous": "00" * 32},
            {"genuine": False},
            {"log": "other.example/log"},
            usual={},
        )
        before = len(self.model.entries)
        self.identify(name, change.rows, by, change.roles, **unusual)
        SEEN[f"identity, {intent}"] += len(self.model.entries) > before

    @rule(data=st.data(), name=st.sampled_from(["acme.example", "lab.example"]))
    @precondition(lambda self: not self.frozen and self.said("audit"))
    def theft(self, data: st.DataObject, name: str) -> None:
        """A key is added and used, and one of those behind it turns out to be lost."""
        draw, newest = Draw(data), self.newest(name)
        unused = [k for k in KEYIDS[name] if newest and k not in active_keys(newest)]
        if newest is None or not unused or len(unused) == len(KEYIDS[name]):
            return
        listed = newest.predicate["keys"]
        kept = {
            row["keyid"]: {"status": "active"} for row in listed if "use" not in row
        }
        rows = {k: row for k, row in kept.items() if k not in unused}
        old, new = draw.one(*rows), draw.one(*unused)
        enrol = self.speaker(draw, REGISTRAR)
        index = len(self.model.entries)
        SEEN["theft"] += 1
        known = self.model.judge.view().owner(new)
        by = [enrol, new] if known else draw.one([enrol], [enrol, old])
        roles = newest.predicate["roles"]
        self.identify(name, rows | {new: {"status": "active"}}, by, roles)
        self.use(draw, name, draw.one(new, new, old))
        lost = draw.one(new, new, old, enrol)
        since = draw.one(index + 1, index + 1, index, index + 2, 3, SINCE_NOW)
        row = {"status": "compromised", "since": since}
        if lost == enrol:
            rest = {
                k: {"status": "active"} for k in (*ROOTS[:1], *ENROLS) if k != enrol
            }
            self.identify(REGISTRAR, rest | {enrol: row}, ROOTS[:1], [])
        else:
            rest = draw.one({}, rows, rows | {new: {"status": "active"}})
            signers = draw.one([enrol], [enrol], [lost])
            self.identify(name, rest | {lost: row}, signers, roles)
        self.verify(data, calm=True)

    def use(self, draw: Draw, name: str, by: str) -> None:
        """Say something with this key: a release, an audit once more, a revocation."""
        own = [one for one in self.said("release", "audit") if one.issuer == name]
        if name in PROVIDERS:
            said, _ = release(draw, WALLET, self.log.now)
            self.say("release", said | {"issuer": name}, GOOD, [by])
        elif own:
            of = draw.one(*own)
            self.say("audit", of.predicate, of.registers, [by])
        if own and draw.chance(3):
            said, named = revocation(draw, draw.one(*own), self.log.now)
            self.say("revocation", said | {"issuer": name}, named, [by])

    # --- releases, audits, revocations -----------------------------------------------

    def speak(self, draw: Draw, kind: str, said: Json, named: dict[str, str]) -> None:
        by = self.speaker(draw, said["issuer"])
        genuine = not draw.chance(20)
        other = draw.rarely({"log": "other.example/log"}, usual={}, one_in=20)
        self.say(kind, said | other, named, [by], genuine=genuine)

    @rule(data=st.data(), product=st.sampled_from(PRODUCTS))
    @precondition(lambda self: not self.frozen)
    def release(self, data: st.DataObject, product: str) -> None:
        draw = Draw(data)
        self.speak(draw, "release", *release(draw, product, self.log.now))

    @rule(data=st.data())
    @precondition(lambda self: not self.frozen and self.said("release"))
    def audit(self, data: st.DataObject) -> None:
        draw = Draw(data)
        of = draw.one(*self.said("release"))
        reviews = [
            one
            for one in self.said("audit")
            if one.predicate["scope"] == "source-review"
        ]
        self.speak(draw, "audit", *audit(draw, of, reviews, self.log.now))

    @rule(data=st.data())
    @precondition(lambda self: not self.frozen and self.said("release"))
    def revoke(self, data: st.DataObject) -> None:
        draw = Draw(data)
        of = draw.one(*self.said("release", "audit"))
        self.speak(draw, "revocation", *revocation(draw, of, self.log.now))

    @rule(data=st.data(), really=st.integers(0, 7))
    @precondition(lambda self: not self.frozen and self.said("release"))
    def repeat(self, data: st.DataObject, really: int) -> None:
        """A payload once more, perhaps under another key: no honest log does."""
        if really == 1:
            draw = Draw(data)
            of = draw.one(*self.said("release", "audit", "revocation"))
            self.submit(of.statement, [self.speaker(draw, of.issuer)], force=True)

    @rule(data=st.data(), really=st.integers(0, 15))
    @precondition(lambda self: not self.frozen and self.said("release"))
    def admit(self, data: st.DataObject, really: int) -> None:
        """What the log should not have taken."""
        if really == 1:
            draw = Draw(data)
            of = draw.one(*self.said("release", "audit", "revocation"))
            changed = {**of.predicate, "issued": moment(self.log.now - 1)}
            statement = {**of.statement, "predicate": changed}
            by = draw.one(*KEYIDS[of.issuer])
            self.submit(statement, [by], genuine=draw.chance(2), force=True)

    @rule(after=st.sampled_from([HOUR, HOUR, DAY, 50 * DAY]))
    def wait(self, after: int) -> None:
        self.log.now += after

    def seal(self, cosigners: list[Any], *, frozen: bool = False) -> None:
        self.log.witnesses = cosigners
        self.log.seal(frozen=frozen)
        self.cosigned = {str(one.public): self.log.now for one in cosigners}
        self.model.seal(self.log.now, frozen=frozen)
        self.frozen = frozen

    # --- verifying -------------------------------------------------------------------

    def policy(self, draw: Draw) -> Json:
        both = quorum(2, W1, W2)
        log = {
            "vkey": str(self.log.signer.public),
            "url": f"https://{self.log.origin}",
            "registrar": draw.rarely(ROOTS[1], usual=ROOTS[0], one_in=20),
            "witnesses": draw.rarely("none", quorum(1, W1, W2), usual=both),
            "index_monitors": draw.rarely("none", usual=quorum(1, M1)),
        }
        until = draw.rarely("2027-01-01T00:00:00Z", usual="2030-01-01T00:00:00Z")
        log |= draw.rarely({}, usual={"frozen_until": until})
        nitro = {"roots": [pem(SIMULATOR.root_der)]}
        said = self.said("release", "audit", "revocation")
        return policy(draw, log, nitro, said, KEYIDS)

    @rule(data=st.data(), calm=st.booleans())
    def verify(self, data: st.DataObject, *, calm: bool) -> None:
        draw = Draw(data, calm)
        if self.model.entries[-1].statement:
            frozen = draw.chance(20)
            self.seal(draw.rarely([W1], [], usual=COSIGNERS), frozen=frozen)
        assert self.log.index == self.model.index()
        sealed = self.model.entries[-1].seal_time
        assert sealed is not None
        now = sealed + draw.rarely(2 * HOUR, 25 * HOUR, -HOUR, usual=60)
        time = now + draw.rarely(100, -HOUR, HOUR, usual=-10)
        at = draw.rarely(time + 5, time + HOUR, time - HOUR, usual=None, one_in=4)
        now += 0 if at is None else draw.one(0, HOUR)
        nonce = draw.rarely(None, b"", b"another", usual=NONCE, one_in=4)
        image = draw.one(GOOD, GOOD, GOOD, GOOD, TWIN, WITH_PCR3, OTHER)
        bundle = self.log.bundle(WALLET, image, *AUDITORS, "acme.example")
        withheld: list[str] = []
        if draw.chance(8):
            withheld = draw.some(*sorted(bundle.answers))
        answers = {k: v for k, v in bundle.answers.items() if k not in withheld}
        request = Request(WALLET, now, at, nonce, draw.one(SHOWN, {}))
        rules = self.policy(draw)
        report = self.model.verify(
            Document(image, time, NONCE, {"public_key": SPKI}),
            rules,
            request,
            withheld=frozenset(withheld),
            cosignatures=self.cosigned,
        )
        text = "\n".join(f"{name} = {toml(value)}" for name, value in rules.items())
        real = verify(
            document(image, time=time, public_key=SPKI),
            self.log.assemble(answers).encode(),
            Policy.parse(text.encode()),
            product=request.product,
            now=request.now,
            at=request.at,
            nonce=request.nonce,
            binding=request.binding,
        )
        compare(real, report)
        view = self.model.judge.view()
        said = self.said("release", "audit", "revocation")
        SEEN["a statement is void"] += any(map(view.is_void, said))
        SEEN["an identity is void"] += bool(view.void)


def compare(real: Any, report: Report) -> None:
    """Verdict, ground, links, and which checks were required and what they came to."""
    got = {
        "verdict": str(real.verdict),
        "trust ends at": real.trust_ends_at,
        "ground": str(real.ground),
        **{f"link {one.number}": str(one.status) for one in real.links},
        **{c.id: str(c.status) for c in real.checks if c.required},
    }
    want = {
        "verdict": report.verdict,
        "trust ends at": report.trust_ends_at,
        "ground": report.ground,
        **{f"link {number}": status for number, status in report.links.items()},
        **{id_: status for id_, (status, needed) in report.checks.items() if needed},
    }
    SEEN.update(f"{what} {status}" for what, status in want.items())
    SEEN[f"complete {report.complete}"] += 1
    differ = {k for k in got | want if got.get(k) != want.get(k)}
    lines = [f"{k}: {got.get(k)}, want {want.get(k)}" for k in sorted(differ)]
    found = [f"{c.id}: {c.status}, {c.found}" for c in real.checks]
    assert not differ, "\n".join(["", *lines, "", *found])


def test_log_and_verifier_do_what_the_document_says() -> None:
    SEEN.clear()
    settings = hypothesis.settings(
        max_examples=150,
        stateful_step_count=25,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=settings)
    # A machine that only ever meets refusals shows nothing.
    for wanted in ("verified", "unchecked", "refuted"):
        assert SEEN[f"verdict {wanted}"]
    for kind in ("identity", "release", "audit", "revocation"):
        assert SEEN[f"{kind}: accepted"]
    for number in range(1, 8):
        assert SEEN[f"link {number} proven"]
    assert SEEN["a statement is void"]
