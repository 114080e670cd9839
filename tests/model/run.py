"""A verification: the walk, the links, the checks, the verdict (docs/protocol.md 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.model.authority import Pass
from tests.model.counting import Context, Counting, Rules, Subject, worst
from tests.model.statements import REGISTRAR, Entry, Json, measurements, seconds

IDENTITY = {"aws-nitro": [["PCR0"]], "artifact": [["digest"]], "source": [["commit"]]}
ALONE = {"aws-nitro": "aws"}  # who makes the hardware and runs all machines
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
NEEDS = {3: "reproduction", 4: "source-review", 7: "controls-review"}
COMPONENT_DEPTH = 8
COMPONENTS_IN_ALL = 64


def duration(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


@dataclass(frozen=True)
class Document:
    """An attestation document that is genuine."""

    registers: dict[str, str]
    time: int
    nonce: bytes | None = None
    fields: dict[str, bytes] = field(default_factory=dict)
    platform: str = "aws-nitro"


@dataclass(frozen=True)
class Bundle:
    """What the log hands over; None for an answer that it keeps to itself."""

    entries: list[Entry]
    answers: Mapping[str, list[int] | None]
    seal: Entry
    cosignatures: dict[str, int] = field(default_factory=dict)  # vkey to time

    def answer(self, key: str) -> list[Entry] | None:
        indices = self.answers.get(key, [])
        return None if indices is None else [self.entries[i] for i in indices]


@dataclass(frozen=True)
class Request:
    """The other arguments of verify()."""

    product: str
    now: int
    at: int | None = None
    nonce: bytes | None = None
    binding: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    verdict: str
    links: dict[int, str]
    trust_ends_at: int
    ground: str
    checks: dict[str, tuple[str, bool]]  # id to status, required
    complete: bool  # 4.3


def rules_of(policy: Json, product: str, fallback: Json | None = None) -> Rules:
    """4.6: by its exact name, then by `<name>/*`; a component may borrow (4.1)."""
    tables = policy.get("products", {})
    for name in (product, product.partition("/")[0] + "/*"):
        if name in tables:
            return Rules(tables[name], tables[name].get("lowest_version"))
    assert fallback is not None
    return Rules(fallback, None)


class Walk:
    """4.1: which keys must be answered, and what stands under them."""

    def __init__(self, bundle: Bundle, policy: Json, first: Json) -> None:
        self.bundle, self.policy, self.first = bundle, policy, first
        self.found: dict[int, Entry] = {}
        self.missing: set[str] = set()
        self.cut = False
        self.walked: set[tuple[str, frozenset[str]]] = set()

    def ask(self, key: str, *, needed: bool = True) -> list[Entry]:
        answer = self.bundle.answer(key)
        if answer is None:
            if needed:
                self.missing.add(key)
            return []
        self.found |= {entry.index: entry for entry in answer}
        return answer

    def subject(self, subject: Subject, rules: Rules, path: Sequence[Subject]) -> None:
        self.walked.add((subject.product, subject.measured))
        auditors = sorted(rules.auditors())
        # 1
        said = {}
        for name in {subject.provider, *auditors, REGISTRAR}:
            self.ask(f"v1/identity/{name}")
            said[name] = [
                entry
                for m in sorted(subject.measured)
                for entry in self.ask(f"v1/by/{name}/{m}")
            ]
        candidates = [
            one
            for one in said[subject.provider]
            if one.kind == "release" and one.predicate["product"] == subject.product
        ]
        # 2
        reproductions = [
            one
            for name in auditors
            for one in said[name]
            if one.kind == "audit" and one.predicate["scope"] == "reproduction"
        ]
        commits = {one.commit for one in [*candidates, *reproductions] if one.commit}
        for name in auditors:
            self._commits(name, sorted(commits))
        # 3
        for version in sorted({one.predicate["version"] for one in candidates}):
            self._version(subject, version)
        # 4
        for candidate in reversed(candidates):
            for row in candidate.predicate.get("components", []):
                self._component(component(row), [*path, subject])

    def _version(self, subject: Subject, version: str) -> None:
        for other in self.ask(f"v1/version/{subject.product}/{version}"):
            if other.predicate["platform"] == subject.platform:
                for m in sorted(other.measured - subject.measured):
                    self.ask(f"v1/by/{subject.provider}/{m}", needed=False)
                    self.ask(f"v1/by/{REGISTRAR}/{m}", needed=False)

    def _commits(self, name: str, commits: list[str]) -> None:
        queue, asked = [(commit, 0) for commit in commits], set(commits)
        for commit, steps in queue:
            for audit in self.ask(f"v1/by/{name}/source/commit=gitCommit:{commit}"):
                basis = audit.predicate.get("basis")
                if basis and basis["commit"] not in asked:
                    if steps == COMPONENT_DEPTH:
                        self.cut = True
                    else:
                        asked.add(basis["commit"])
                        queue.append((basis["commit"], steps + 1))

    def _component(self, below: Subject, path: Sequence[Subject]) -> None:
        if below in path or len(path) > COMPONENT_DEPTH:
            self.cut = True
        elif (below.product, below.measured) in self.walked:
            pass
        elif len(self.walked) > COMPONENTS_IN_ALL:
            self.cut = True
        else:
            rules = rules_of(self.policy, below.product, self.first)
            self.subject(below, rules, path)


def component(row: Json) -> Subject:
    """4.1, step 4: a part as a subject of its own."""
    measured = frozenset({f"artifact/digest=sha256:{row['sha256']}"})
    return Subject(row["product"], "artifact", measured, None)


class Run:
    """One verification (4.3)."""

    def __init__(
        self, document: Document, bundle: Bundle, policy: Json, request: Request
    ) -> None:
        self.document, self.bundle = document, bundle
        self.policy, self.request = policy, request
        self.rules = rules_of(policy, request.product)
        self.table = policy["platforms"][document.platform]
        self.log = policy["log"][0]
        self.skew = duration(policy.get("clock_skew", "300s"))
        self.ours = bool(request.nonce) and document.nonce == request.nonce
        live = request.at is None
        attested = policy.get("clock", "local") == "attested" and self.ours and live
        self.now = document.time if attested else request.now
        self.checks: dict[str, tuple[str, bool]] = {}

    def report(self) -> Report:
        self._document()
        self._checkpoint()
        first, walk = self._walk()
        context = self._authority(walk)
        counting = Counting(context, first, self.rules)
        links = self._links(counting, ())
        self._release(counting)
        self._channel(counting)
        links[1] = self._link_one()
        self._demands(counting, links)
        return Report(
            self._verdict(),
            dict(sorted(links.items())),
            max(
                n
                for n in range(8)
                if all(links[k] == "proven" for k in range(1, n + 1))
            ),
            self._ground(),
            self.checks,
            context.complete,
        )

    def _set(self, id_: str, status: str, *, required: bool = True) -> None:
        self.checks[id_] = (status, required)

    # -- 4.4

    def _document(self) -> None:
        request, time = self.request, self.document.time
        valid = self.now < seconds(self.policy["valid_until"])
        self._set("policy.valid", "pass" if valid else "unchecked")
        for part in ("form", "signature", "chain"):
            self._set(f"document.{part}", "pass")
        now = self.now if request.at is None else request.at
        age = duration(self.table.get("max_age", "5m"))
        if now - age <= time <= now + self.skew:
            inside = "pass"
        else:
            inside = "unchecked" if self.ours and request.at is None else "fail"
        self._set("document.time", inside)
        nonce = "pass" if self.ours else "fail" if request.nonce else "unchecked"
        asked = self.table.get("nonce", "required") == "required"
        required = nonce == "fail" or (request.at is None and asked)
        self._set("document.nonce", nonce, required=required)
        zero = [
            name
            for name in ("PCR0", "PCR1", "PCR2")
            if not self.document.registers[name].partition(":")[2].strip("0")
        ]
        self._set("document.debug", "fail" if len(zero) == 3 else "pass")

    def _channel(self, counting: Counting) -> None:
        release = counting.rests_on
        if release is None and counting.matching:  # the document does not say which
            release = counting.matching[-1]
        named = release.predicate.get("binding") if release else None
        shown = self.request.binding.get(named["kind"]) if named else None
        carried = self.document.fields.get(named["field"]) if named else None
        bound = shown is not None and shown == carried
        required = self.rules.table.get("channel", "optional") == "required"
        self._set("channel", "pass" if bound else "unchecked", required=required)

    def _archived(self) -> bool:
        """Archived by a policy that does not let it count."""
        return self.request.at is not None and not self.policy.get("archives", False)

    def _link_one(self) -> str:
        status = "unchecked" if self._archived() else "proven"
        for id_, (found, required) in self.checks.items():
            if required and (id_.startswith("document.") or id_ == "channel"):
                names = {"pass": "proven", "unchecked": "unchecked", "fail": "failed"}
                status = worst(status, names[found])
        return status

    # -- 4.5

    def _checkpoint(self) -> None:
        seal, age = self.bundle.seal, duration(self.log.get("max_age", "24h"))
        oldest, latest = self.now - age, self.now + self.skew
        until = self.log.get("frozen_until")
        spared = seal.frozen and until is not None and self.now < seconds(until)
        self._set("log.signature", "pass")
        for who in ("witnesses", "index_monitors"):
            id_, quorum = f"log.{who.replace('_', '-')}", self.log[who]
            if quorum == "none":
                self._set(id_, "unchecked", required=False)
                continue
            times = self.bundle.cosignatures
            counted = [
                key
                for key in quorum["keys"]
                if key in times and (spared or oldest <= times[key] <= latest)
            ]
            reached = len(counted) >= quorum["quorum"]
            self._set(id_, "pass" if reached else "unchecked")
        time = seal.seal_time
        assert time is not None
        fresh = oldest <= time <= latest and not seal.frozen
        self._set("log.freshness", "pass" if fresh or spared else "unchecked")
        self._set("log.memory", "unchecked", required=False)
        self._set("log.seal", "pass")

    # -- 4.1 and 4.3, step 4

    def _walk(self) -> tuple[Subject, Walk]:
        platform = self.document.platform
        subject = [
            {"name": name, "digest": dict([value.split(":")])}
            for name, value in self.document.registers.items()
        ]
        said = {"platform": platform, "identity": IDENTITY[platform]}
        first = Subject(
            self.request.product,
            platform,
            frozenset(measurements(said, subject)),
            self.document.registers,
        )
        walk = Walk(self.bundle, self.policy, self.rules.table)
        walk.subject(first, self.rules, ())
        whole = not walk.missing and not walk.cut
        self._set("answers.present", "pass" if whole else "unchecked")
        self._set("answers.proofs", "pass")
        self._set("entries.inclusion", "pass")
        return first, walk

    def _authority(self, walk: Walk) -> Context:
        judge = Pass(self.log["vkey"].split("+")[0])
        for _, entry in sorted(walk.found.items()):
            judge.feed(entry)
        roots = []
        if 0 in walk.found:
            roots = [
                key["keyid"]
                for key in walk.found[0].predicate["keys"]
                if key.get("use") == "root"
            ]
        if 0 not in walk.found:
            status = "unchecked"
        elif self.log["registrar"] not in roots:
            status = "fail"
        elif judge.refused:
            status = "unchecked" if walk.missing else "fail"
        else:
            status = "pass"
        self._set("entries.authority", status)
        incomplete = any(
            required and status != "pass"
            for id_, (status, required) in self.checks.items()
            if id_.startswith(("log.", "answers.", "entries."))
        )
        at = self.request.at
        return Context(
            sorted(judge.accepted, key=lambda entry: entry.index),
            judge.view(),
            self.policy,
            self.now,
            self.now if at is None else at,
            not incomplete,
        )

    # -- 1

    def _links(self, counting: Counting, path: Sequence[Subject]) -> dict[int, str]:
        links = counting.links()
        own = counting.own_list()
        if not counting.context.complete:
            own = "unchecked"
        links[5] = links[6] = own
        release = counting.rests_on
        rows = release.predicate.get("components", []) if release else []
        for row in rows:
            below = component(row)
            if below in path:
                continue  # the walk was cut there, and nothing is complete
            rules = rules_of(self.policy, below.product, self.rules.table)
            part = Counting(counting.context, below, rules)
            its = self._links(part, [*path, below])
            links[5] = worst(links[5], its[2], its[3])
            links[6] = worst(links[6], its[2], its[4])
            if part.rests_on and part.rests_on.predicate.get("components"):
                links[5] = worst(links[5], its[5])
                links[6] = worst(links[6], its[6])
        return links

    def _ground(self) -> str:
        """Link 8; whom a policy names matters where a maker runs not all machines."""
        return "same" if self.document.platform in ALONE else "unknown"

    # -- 4.7

    def _release(self, counting: Counting) -> None:
        complete = counting.context.complete
        lacking = "fail" if complete else "unchecked"
        quiet = "pass" if complete and counting.matching else "unchecked"
        self._set("release.match", "pass" if counting.matching else lacking)
        self._set("release.valid", "fail" if counting.invalid else quiet)
        self._set("release.conflict", "fail" if counting.conflict else quiet)
        low = counting.too_low and counting.matching
        if complete and self.rules.lowest_version is None:
            version = "pass"
        else:
            version = "fail" if low else quiet
        self._set("release.version", version)
        links = self.rules.table.get("links", [1, 2])
        scopes = [scope for number, scope in NEEDS.items() if number in links]
        enough = all(map(counting.enough, scopes))
        quorum = lacking if not enough else "pass" if complete else "unchecked"
        self._set("audits.quorum", quorum, required=bool(scopes))
        nothing = "pass" if complete else "unchecked"
        self._set("audits.fails", "fail" if counting.fails else nothing)
        self._set("policy.distrust", "fail" if counting.distrust else "pass")

    def _demands(self, counting: Counting, links: dict[int, str]) -> None:
        demanded = set(self.rules.table.get("links", [1, 2]))
        for id_, numbers in (("components", {5, 6}), ("controls", {7})):
            asked = {links[number] for number in numbers & demanded}
            if "failed" in {links[number] for number in numbers}:
                status = "fail"
            elif "unchecked" in asked or not counting.context.complete:
                status = "unchecked"
            else:
                status = "fail" if asked & {"missing", "claimed"} else "pass"
            strict = self.rules.table.get("components", "refuse") == "refuse"
            always = status == "fail" and (id_ == "controls" or strict)
            self._set(id_, status, required=bool(asked) or always)
        status = worst("proven", *(links[number] for number in demanded))
        apart = self.rules.table.get("ground", "any") == "separate"
        grounds = {"same": "fail", "separate": "pass", "unknown": "unchecked"}
        self._set("policy.ground", grounds[self._ground()] if apart else "pass")
        names = {"proven": "pass", "unchecked": "unchecked"}
        self._set("policy.links", names.get(status, "fail"))

    def _verdict(self) -> str:
        required = {status for status, needed in self.checks.values() if needed}
        if "fail" in required:
            return "refuted"
        if "unchecked" in required or self._archived():
            return "unchecked"
        return "verified"
