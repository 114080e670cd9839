"""What may happen in a story, drawn by Hypothesis: identities, statements, policies.

All of it is the JSON of docs/protocol.md, about a small world of four names, three
products, a few builds and commits, so that what is drawn meets what was drawn before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.model.authority import active_keys
from tests.model.statements import DAY, REGISTRAR, Entry, Json, moment, sha256

HOUR = 3600
SINCE_NOW = 2**53 - 1
PROVIDERS = ("acme.example", "parts.example")
AUDITORS = ("lab.example", "lens.example")
NAMES = (*PROVIDERS, *AUDITORS)
WALLET, SIDECAR, BASE = (
    "acme.example/wallet",
    "parts.example/sidecar",
    "acme.example/base",
)
PRODUCTS = (WALLET, WALLET, WALLET, "acme.example/x", SIDECAR, BASE)
PARTS = {SIDECAR: "5a" * 32, BASE: "ba" * 32}
ROWS = [{"product": name, "sha256": digest} for name, digest in sorted(PARTS.items())]
SCOPES = ("reproduction", "source-review", "controls-review")
COMMITS = ("ab" * 20, "cd" * 20)
SOURCE = {"uri": "https://git.example/x", "commit": COMMITS[0]}
RECIPE = {"uri": "https://git.example/recipe", "sha256": "cd" * 32}
CONTROLS = [{"kind": "kms-policy", "sha256": "c0" * 32}]
BINDING = {"field": "public_key", "kind": "tls-spki-sha256"}
IDENTITY = {"aws-nitro": [["PCR0"]], "artifact": [["digest"]], "source": [["commit"]]}


def image(*digits: str) -> dict[str, str]:
    return {f"PCR{n}": f"sha384:{digit * 96}" for n, digit in enumerate(digits)}


GOOD = image("1", "2", "3")
TWIN, OTHER, WITH_PCR3 = image("1", "7", "3"), image("4", "5", "6"), image(*"1238")
IMAGES = (GOOD, GOOD, GOOD, TWIN, OTHER, WITH_PCR3)


@dataclass(frozen=True)
class Draw:
    """Values at random; in a calm draw all is as usual that could be unusual."""

    data: st.DataObject
    calm: bool = False

    def one(self, *values: Any) -> Any:
        return self.data.draw(st.sampled_from(values))

    def chance(self, one_in: int) -> bool:
        return not self.calm and self.data.draw(st.integers(1, one_in)) == one_in

    def some(self, *values: Any, most: int = 2) -> list[Any]:
        few = st.lists(st.sampled_from(values), max_size=most, unique=True)
        return self.data.draw(few)

    def rarely(self, *others: Any, usual: Any, one_in: int = 8) -> Any:
        return self.one(*others) if self.chance(one_in) else usual


# --- identities -----------------------------------------------------------------------


@dataclass
class Change:
    """An identity of a name that has one: what it lists, and who signs."""

    draw: Draw
    newest: Entry
    pool: Sequence[str]  # the keyids that the name may come to have
    registrars: Sequence[str]  # those that sign for the registrar here
    strangers: Sequence[str]  # keyids of others
    index: int
    rows: dict[str, Json] = field(default_factory=dict)
    roles: list[str] = field(default_factory=list)
    by: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        said = self.newest.predicate
        for row in said["keys"]:
            kept = {k: v for k, v in row.items() if k in ("status", "since")}
            self.rows[row["keyid"]] = kept
        self.roles = list(said["roles"])
        self.active = sorted(active_keys(self.newest))
        self.by = [self.draw.one(*self.registrars)]

    def own(self, *, active: bool) -> str:
        """A key of the name that is active, or is not; any, if there is none."""
        keys = [keyid for keyid in self.pool if (keyid in self.active) == active]
        return str(self.draw.one(*(keys or self.pool)))

    def make(self, intent: str) -> None:
        getattr(self, f"_{intent}")()
        if self.draw.chance(8):
            self.by = self.draw.some(*self.registrars, *self.pool) or self.by

    def _alone_or_not(self) -> None:
        self.by = self.draw.one(self.by, self.active[:1] or self.by, self.active[-1:])

    def _add(self) -> None:
        unused = [keyid for keyid in self.pool if keyid not in self.rows]
        self.rows[self.draw.one(*(unused or self.pool))] = {"status": "active"}
        self.by += self.draw.one([], self.active[:1], self.active[-1:])

    def _retire(self) -> None:
        self.rows[self.own(active=True)] = {"status": "retired"}
        self._alone_or_not()

    def _drop(self) -> None:
        self.rows.pop(self.own(active=True), None)
        self._alone_or_not()

    def _compromise(self) -> None:
        half = self.index // 2
        since = self.draw.one(SINCE_NOW, SINCE_NOW, self.index, half, half, 3, 0, None)
        row = {"status": "compromised", "since": since}
        lost = self.own(active=not self.draw.chance(3))
        self.rows[lost] = {k: v for k, v in row.items() if v is not None}
        self.by = self.draw.one(self.by, self.by, [*self.by, *self.active[-1:]], [lost])

    def _itself(self) -> None:
        lost = self.own(active=True)
        self.rows[lost] = {"status": "compromised", "since": SINCE_NOW}
        self.by = [lost]

    def _return(self) -> None:
        back = self.own(active=False)
        self.rows[back] = {"status": "active"}
        self.by.append(back)

    def _recover(self) -> None:
        """A new key in place of all that there were."""
        self.rows = {self.own(active=False): {"status": "active"}}
        self.by += self.draw.one([], [*self.rows])

    def _roles(self) -> None:
        if self.newest.predicate["name"] != REGISTRAR:
            self.roles = sorted(self.draw.some("auditor", "provider"))
            self._alone_or_not()

    def _steal(self) -> None:
        self.rows[self.draw.one(*self.strangers)] = {"status": "active"}


INTENTS = (
    *("add", "add", "retire", "drop", "compromise", "compromise", "itself"),
    *("return", "return", "recover", "roles", "steal"),
)

# --- what they say --------------------------------------------------------------------


def about(issuer: str, platform: str) -> Json:
    return {"issuer": issuer, "platform": platform, "identity": IDENTITY[platform]}


def release(draw: Draw, product: str, now: int) -> tuple[Json, dict[str, str]]:
    issuer = product.partition("/")[0]
    part = product in PARTS
    soon = [moment(now + s) for s in (-HOUR, HOUR, DAY)]
    source = {**SOURCE, "commit": draw.one(*COMMITS)}
    recipe = {**RECIPE, "sha256": draw.rarely("ef" * 32, usual=RECIPE["sha256"])}
    lists: tuple[Any, ...] = (None, [], [], ROWS[1:], ROWS[1:], ROWS, ROWS[:1])
    said = {
        **about(issuer, "artifact" if part else "aws-nitro"),
        "product": product,
        "version": draw.one("1.4.2", "1.4.2", "1.4.1", "2.0.0-rc.1", "1.5"),
        "variant": draw.rarely("arm", usual=None),
        "expires": draw.rarely(*soon, usual=None, one_in=3),
        "source": draw.rarely(None, usual=source),
        "build": draw.rarely(None, usual={"recipe": recipe}),
        "components": draw.one(*lists),
        "controls": draw.one(None, [], CONTROLS),
        "binding": draw.one(None, BINDING),
    }
    said["issuer"] = draw.rarely(*NAMES, REGISTRAR, usual=issuer, one_in=16)
    digest = {"digest": f"sha256:{PARTS.get(product)}"}
    return said, digest if part else draw.one(*IMAGES)


def audit(
    draw: Draw, of: Entry, earlier: list[Entry], now: int
) -> tuple[Json, dict[str, str]]:
    """An audit that fits a release, nearly always; it may build on an earlier one."""
    issuer = draw.one(*AUDITORS, *AUDITORS, "acme.example")
    scope = draw.rarely("fuzzing", usual=draw.one(*SCOPES), one_in=16)
    result = draw.one("pass", "pass", "pass", "pass", "fail", "qualified")
    performed = now + draw.rarely(-100 * DAY, 100, DAY, usual=0)
    expires = draw.rarely(HOUR, DAY, -HOUR, usual=None, one_in=3)
    said = {
        **about(issuer, of.predicate["platform"]),
        "scope": scope,
        "result": result,
        "performed": moment(performed),
        "expires": expires and moment(now + expires),
    }
    if result == "qualified":
        high = draw.one(0, 1, 2)
        said["open"] = {"critical": 0, "high": high, "medium": 1, "low": 4}
    if result == "fail":
        said["expires"] = None
    mine = [one for one in earlier if one.issuer == issuer]
    parts = {
        "reproduction": lambda: _reproduction(draw, of, said),
        "source-review": lambda: _source_review(draw, of, said, mine),
        "controls-review": lambda: _controls_review(draw, of, said, performed),
    }
    named = parts.get(scope, lambda: of.registers)()
    if "PCR2" in named:
        named = draw.rarely({**GOOD, "PCR2": OTHER["PCR2"]}, WITH_PCR3, usual=named)
    return said, named


def _reproduction(draw: Draw, of: Entry, said: Json) -> dict[str, str]:
    own = of.predicate
    if said.pop("open", None):
        said["result"] = draw.rarely("qualified", usual="pass", one_in=16)
    source = own.get("source", SOURCE)
    said["source"] = draw.rarely({**SOURCE, "commit": COMMITS[1]}, usual=source)
    said["recipe"] = draw.one(None, RECIPE["sha256"])
    said["components"] = draw.rarely(None, usual=sha256(own.get("components", [])))
    said["found"] = [] if said["result"] == "fail" else None
    return of.registers


def _source_review(
    draw: Draw, of: Entry, said: Json, earlier: list[Entry]
) -> dict[str, str]:
    said |= about(said["issuer"], "source")
    commit = of.commit or COMMITS[0]
    if earlier and draw.chance(2):
        basis = draw.one(*earlier)
        [before] = basis.registers.values()
        said["basis"] = {
            "commit": before.partition(":")[2],
            "sha256": draw.rarely("00" * 32, usual=basis.sha256),
        }
    return {"commit": f"gitCommit:{draw.rarely(*COMMITS, usual=commit)}"}


def _controls_review(
    draw: Draw, of: Entry, said: Json, performed: int
) -> dict[str, str]:
    own = sha256(of.predicate.get("controls", []))
    said["controls"] = draw.rarely("00" * 32, usual=own)
    if said["result"] != "fail":
        after = draw.rarely(91 * DAY, HOUR, usual=90 * DAY)
        said["expires"] = moment(performed + after)
    return of.registers


def revocation(draw: Draw, of: Entry, now: int) -> tuple[Json, dict[str, str]]:
    reason = draw.one(
        "compromised", "vulnerable", "withdrawn", "withdrawn", "erroneous"
    )
    reason = draw.rarely("obsolete", usual=reason)
    first = reason in ("compromised", "vulnerable")
    usual = draw.one(of.issuer, of.issuer, REGISTRAR) if first else of.issuer
    effective = draw.rarely(-HOUR, HOUR, DAY, usual=None, one_in=3)
    said = {
        **about(draw.rarely(*NAMES, REGISTRAR, usual=usual), of.predicate["platform"]),
        "reason": reason,
    }
    if not first and (reason != "obsolete" or draw.chance(2)):
        said["statement"] = draw.rarely("00" * 32, usual=of.sha256)
        said["effective"] = effective and moment(now + effective)
    named = of.registers
    if "PCR1" in named:
        named = draw.rarely({**named, "PCR1": OTHER["PCR1"]}, usual=named)
    return said, named


# --- policies -------------------------------------------------------------------------


def rules(draw: Draw, keyids: dict[str, list[str]]) -> Json:
    """The table of a product."""
    demands = ([1, 2], [1, 2], [1], [1, 2, 3], [1, 2, 3, 4], [1, 5], [1, 2, 7])
    scopes = (list(SCOPES), list(SCOPES), list(SCOPES), ["reproduction"])
    names = draw.one(AUDITORS, AUDITORS, AUDITORS[:1], (*AUDITORS, "acme.example"), ())
    table: Json = {
        "platforms": ["aws-nitro"],
        "links": draw.one(*demands, [1, 2, 3, 4, 5, 6, 7]),
        "auditors": [{"name": name, "scopes": draw.one(*scopes)} for name in names],
        "components": draw.one("refuse", "report"),
        "channel": draw.rarely("required", usual="optional", one_in=4),
    }
    if draw.chance(2):
        table["open_findings"] = draw.one({"critical": 0, "high": 1}, {})
    if draw.chance(3):
        table["lowest_version"] = draw.one("1.4.1", "1.4.2", "1.5.0")
    if draw.chance(4):
        table["operator"] = draw.one("aws", "cloud")
    if draw.chance(16):
        table["ground"] = draw.one("any", "separate")
    counted = [scope for auditor in table["auditors"] for scope in auditor["scopes"]]
    twice = [scope for scope in SCOPES if counted.count(scope) > 1]
    if twice and draw.chance(4):
        table["counts"] = {draw.one(*twice): 2}
    if draw.chance(3):
        name = draw.one(*NAMES)
        own = keyids[name]
        table["pins"] = {name: draw.one(own[:1], own[:1], own[:2], own[1:2])}
    return table


def distrust(draw: Draw, said: list[Entry]) -> Json:
    what = draw.rarely("statements", "keys", "measurements", usual="", one_in=6)
    table: Json = {"statements": [], "keys": [], "measurements": []}
    if what and said:
        one = draw.one(*said)
        named = {"statements": [one.sha256], "keys": list(one.signers)}
        table[what] = named.get(what, sorted(one.measured))
    return table


def policy(
    draw: Draw, log: Json, nitro: Json, said: list[Entry], keyids: dict[str, list[str]]
) -> Json:
    """A policy over these tables of its log and of aws-nitro; its demands are free."""
    free = Draw(draw.data)
    products = {WALLET: rules(free, keyids)}
    if free.chance(3):
        auditor = {"name": AUDITORS[1], "scopes": list(SCOPES)}
        products[draw.one("parts.example/*", SIDECAR)] = {
            "platforms": ["aws-nitro"],
            "auditors": [auditor],
            "lowest_version": draw.one("1.4.1", "1.5.0"),
        }
    valid = draw.rarely("2026-11-23T07:00:00Z", usual="2036-01-01T00:00:00Z")
    nitro = {**nitro, "nonce": draw.rarely("optional", usual="required", one_in=4)}
    if draw.chance(2):
        nitro["operator"] = draw.one("aws", "cloud")
    return {
        "format": "pcrlog-policy/v1",
        "version": 1,
        "valid_until": valid,
        "clock": draw.rarely("attested", usual="local", one_in=4),
        "archives": draw.chance(2),
        "distrust": distrust(free, said),
        "log": [log],
        "platforms": {"aws-nitro": nitro},
        "products": products,
    }
