"""Three policies to cite: basic, reviewed, strict. The same facts give the same bytes.

A contract names one by its digest; anybody who knows the log, the product, the auditors
and the date writes the same file, and reads in it what it demands. Facts are whom to
trust; demands are the level's. So the bytes are fixed: no version of pcrlog writes a
level otherwise, and a change of what one demands needs another name for it.

    basic      links 1 and 2: a live, genuine enclave, released, and nothing against it
    reviewed   links 1 to 4: rebuilt by one auditor, reviewed by one, nothing critical
               or high left open; and it is who we are connected to
    strict     links 1 to 7: rebuilt by two, nothing above low left open; pinned keys, a
               lowest version, witnesses and index monitors
"""

import json
from collections.abc import Mapping

from msgspec import Struct, structs

from cli.policy_edit import Demands, with_demands
from cli.policy_text import lint
from pcrlog.encoding import format_time
from pcrlog.errors import UsageError
from pcrlog.policy import Log, PlatformRules, Policy, Quorum
from pcrlog.policy_file import Auditor

LEVELS = ("basic", "reviewed", "strict")

_HEAD = """\
# pcrlog policy "{level}" of {product}, version 1 of its text.
# The same facts give the same bytes: cite it by their SHA-256. After any change it is
# yours, and no longer "{level}". In words: pcrlog policy explain FILE
format = "pcrlog-policy/v1"
version = 1
valid_until = {valid_until}
clock_skew = "300s"
clock = "local"
archives = false
distrust = {{ statements = [], keys = [], measurements = [] }}

[[log]]
vkey = {vkey}
url = {url}
registrar = {registrar}
max_age = "{max_age}"
witnesses = {witnesses}
index_monitors = {index_monitors}
"""
_PLATFORM = """
[platforms.{name}]
roots = {roots}
max_age = "5m"
nonce = "required"
"""
_PRODUCT = """
[products.{product}]
platforms = {platforms}
"""
_DEMANDS = {
    "basic": """\
links = [1, 2]
channel = "optional"
components = "refuse"
""",
    "reviewed": """\
links = [1, 2, 3, 4]
channel = "required"
components = "refuse"
counts = { reproduction = 1, source-review = 1 }
open_findings = { critical = 0, high = 0 }
""",
    "strict": """\
links = [1, 2, 3, 4, 5, 6, 7]
channel = "required"
components = "refuse"
counts = { reproduction = 2, source-review = 1, controls-review = 1 }
open_findings = { critical = 0, high = 0, medium = 0 }
""",
}
_MAX_AGE = {"basic": "24h", "reviewed": "24h", "strict": "6h"}
_ABLE = {
    "basic": {},
    "reviewed": {"reproduction": 1, "source-review": 1},
    "strict": {"reproduction": 2, "source-review": 1, "controls-review": 1},
}
"""How many auditors each scope needs at least."""
_BEST = ("UpToDate",)


class Machines(Struct, frozen=True):
    """Machines of a platform: their roots, who operates them, what is known of them.

    `pccs` is where their maker's word is had. `tcb` and `advisories` are what that word
    may be, ascending; () where it is the least that there is: up to date, and nothing
    known.
    """

    roots: tuple[str, ...]
    operator: str | None
    pccs: str | None = None
    tcb: tuple[str, ...] = ()
    advisories: tuple[str, ...] = ()

    @classmethod
    def of(cls, rules: PlatformRules) -> "Machines":
        """What a policy says of them."""
        tcb = tuple(sorted(rules.tcb))
        return cls(
            rules.roots,
            rules.operator,
            rules.pccs,
            () if tcb == _BEST else tcb,
            tuple(sorted(set(rules.advisories))),
        )


class Facts(Struct, frozen=True):
    """Whom to trust: the rest is the level's."""

    log: Log
    platforms: Mapping[str, Machines]
    product: str
    auditors: tuple[Auditor, ...]
    pins: Mapping[str, tuple[str, ...]]
    lowest_version: str | None
    valid_until: int


def write(level: str, facts: Facts, now: int) -> bytes:
    """The policy of a level.

    Raises:
        UsageError: the facts are too few for the level, or not of their form.
    """
    for scope, least in _ABLE[level].items():
        able = sum(scope in one.scopes for one in facts.auditors)
        if able < least:
            message = f"{level} needs {least} for {scope}: --auditor NAME:{scope}"
            raise UsageError(message)
    _check_machines(level, facts)
    text = _text(level, facts)
    for one in lint(Policy.parse(text), now):
        if one.kind == "problem" or level == "strict":
            message = f"{level}: {one.where}: {one.text}"
            raise UsageError(message)
    return text


def _check_machines(level: str, facts: Facts) -> None:
    for name, machines in facts.platforms.items():
        known = (*machines.tcb, *machines.advisories)
        if level == "strict" and known:
            message = (
                f"strict takes machines of {name} that are up to date, with nothing"
                f" known against them; the policy takes {', '.join(known)}"
            )
            raise UsageError(message)


def level_of(data: bytes) -> str | None:
    """The level that a policy's bytes are, if they are one.

    Raises:
        UsageError: they are no policy.
    """
    policy = Policy.parse(data)
    if len(policy.logs) != 1 or len(policy.products) != 1:
        return None
    [log], [(product, rules)] = policy.logs.values(), policy.products.items()
    facts = Facts(
        log=log,
        platforms=_platforms(policy),
        product=product,
        auditors=rules.auditors,
        pins=rules.pins,
        lowest_version=rules.lowest_version,
        valid_until=policy.valid_until,
    )
    return next((one for one in LEVELS if _text(one, facts) == data), None)


def facts_of(policy: Policy, log: Log, product: str, demands: Demands) -> Facts:
    """What a policy that knows a log says of it, and options of a product.

    Raises:
        UsageError: an option is not of its form.
    """
    bare = Facts(log, _platforms(policy), product, (), {}, None, policy.valid_until)
    rules = Policy.parse(with_demands(_text("basic", bare), product, demands)).products
    return structs.replace(
        bare,
        auditors=rules[product].auditors,
        pins=rules[product].pins,
        lowest_version=rules[product].lowest_version,
    )


def _platforms(policy: Policy) -> dict[str, Machines]:
    return {name: Machines.of(rules) for name, rules in policy.platforms.items()}


def _text(level: str, facts: Facts) -> bytes:
    log = facts.log
    text = _HEAD.format(
        level=level,
        product=facts.product,
        valid_until=json.dumps(format_time(facts.valid_until)),
        vkey=json.dumps(str(log.key)),
        url=json.dumps(log.url),
        registrar=json.dumps(log.registrar),
        max_age=_MAX_AGE[level],
        witnesses=_quorum(log.witnesses),
        index_monitors=_quorum(log.index_monitors),
    )
    for name, machines in sorted(facts.platforms.items()):
        text += _PLATFORM.format(name=name, roots=json.dumps(list(machines.roots)))
        text += _of_machines(level, machines)
    platforms = json.dumps(sorted(facts.platforms))
    product = json.dumps(facts.product)
    text += _PRODUCT.format(product=product, platforms=platforms)
    return (text + _DEMANDS[level] + _own(facts)).encode()


def _of_machines(level: str, machines: Machines) -> str:
    """What a platform's table says that not all do."""
    text = ""
    if machines.operator is not None:
        text += f"operator = {json.dumps(machines.operator)}\n"
    if machines.pccs is not None:
        text += f"pccs = {json.dumps(machines.pccs)}\n"
    for name in ("tcb", "advisories"):
        accepted = getattr(machines, name)
        # Of strict there is none with such a line, so no text with one is strict.
        if accepted and level != "strict":
            text += f"{name} = {json.dumps(list(accepted))}\n"
    return text


def _own(facts: Facts) -> str:
    """What is said of the product besides the level's demands."""
    text = ""
    if facts.lowest_version is not None:
        text += f"lowest_version = {json.dumps(facts.lowest_version)}\n"
    if facts.auditors:
        text += "auditors = [\n"
        for one in sorted(facts.auditors, key=lambda auditor: auditor.name):
            scopes = json.dumps(sorted(one.scopes))
            text += f"    {{ name = {json.dumps(one.name)}, scopes = {scopes} }},\n"
        text += "]\n"
    if facts.pins:
        rows = (
            f"{json.dumps(name)} = {json.dumps(sorted(keyids))}"
            for name, keyids in sorted(facts.pins.items())
        )
        text += f"pins = {{ {', '.join(rows)} }}\n"
    return text


def _quorum(quorum: Quorum | None) -> str:
    if quorum is None:
        return '"none"'
    keys = ", ".join(json.dumps(str(key)) for key in quorum.keys)
    return f"{{ quorum = {quorum.least}, keys = [{keys}] }}"
