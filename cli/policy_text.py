"""A policy in words, and what is weak about it.

`explain` says everything that a policy demands, so that nobody has to read TOML to know
what they trust. `lint` names what can never be met, and what an attacker would like.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from pcrlog.attestation.roots import from_pem
from pcrlog.encoding import format_time, sha256
from pcrlog.errors import UsageError
from pcrlog.measurement import PLATFORMS, Ground
from pcrlog.policy import Log, PlatformRules, Policy, Quorum, Successor
from pcrlog.policy_file import Product
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SCOPES, SOURCE_REVIEW
from pcrlog.verification.ground import facts_of, infrastructure
from pcrlog.verification.links import NAMES

_SOON = 30 * 86_400
_LONG = 7 * 86_400
_SCOPES = {3: REPRODUCTION, 4: SOURCE_REVIEW, 5: REPRODUCTION, 7: CONTROLS_REVIEW}
"""What an auditor must do for a link."""


class Finding(Struct, frozen=True):
    """A `problem` (it can never verify) or a `weakness`, and where it is."""

    kind: str
    where: str
    text: str


# --- explain -------------------------------------------------------------------------


def explain(policy: Policy) -> Iterator[tuple[str, list[str]]]:
    """Headings, each with its sentences; keys and digests in full."""
    yield f"Version {policy.version}", _harmless(_whole(policy))
    for log in policy.logs.values():
        yield f"Log {log.key.name}", _harmless(_log(log))
    for name, rules in policy.platforms.items():
        yield f"Platform {name}", _harmless(_platform(name, rules))
    for name, product in policy.products.items():
        yield f"Product {name}", _harmless(_product(name, product))


def _harmless(sentences: Iterable[str]) -> list[str]:
    """With what could move a terminal's cursor escaped: the policy may be another's."""
    return [
        "".join(one if one.isprintable() else ascii(one)[1:-1] for one in sentence)
        for sentence in sentences
    ]


def _whole(policy: Policy) -> Iterator[str]:
    yield f"valid until {format_time(policy.valid_until)}"
    yield f"clocks may differ by {_span(policy.clock_skew)}"
    if policy.clock_attested:
        yield "a document with our nonce tells the time, not this machine"
    if policy.archives:
        yield "archived documents (--at) can be verified"
    if policy.successor is not None:
        yield from _successor(policy.successor)
    distrust = policy.distrust
    for kind in ("statements", "keys", "measurements"):
        for one in getattr(distrust, kind):
            yield f"distrusts {kind.removesuffix('s')} {one}"


def _successor(named: Successor) -> Iterator[str]:
    where = f", at {named.url}" if named.url else ""
    of = len(named.keys)
    yield f"may be followed by one more, signed by {named.least} of {of} keys{where}"
    yield from (f"who may sign it: key {keyid}" for keyid in named.keys)


def _log(log: Log) -> Iterator[str]:
    yield f"at {log.url}, signed by {log.key}"
    yield f"its registrar has the root key {log.registrar}"
    yield f"sealed at most {_span(log.max_age)} ago: so long can a revocation be hidden"
    if log.frozen_until is not None:
        yield f"frozen, and good until {format_time(log.frozen_until)}"
    yield from _quorum("witness", "witnesses", log.witnesses)
    yield from _quorum("index monitor", "index monitors", log.index_monitors)


def _quorum(one: str, many: str, quorum: Quorum | None) -> Iterator[str]:
    if quorum is None:
        yield f"{many}: waived"
        return
    names = ", ".join(key.name for key in quorum.keys)
    yield f"{many}: {quorum.least} of {len(quorum.keys)} ({names})"
    yield from (f"{one} by key {key}" for key in quorum.keys)


def _platform(name: str, rules: PlatformRules) -> Iterator[str]:
    own = sum(root != "builtin" for root in rules.roots)
    roots = ["the vendor's root, built in"] * ("builtin" in rules.roots)
    roots += ["a root of the policy's own"] * own
    yield f"trusts {' and '.join(roots)}"
    for root in rules.roots:
        if root != "builtin":
            yield f"the sha256 of that root is {sha256(from_pem(root)).hex()}"
    yield _age(name, rules)
    if PLATFORMS[name].of_collateral:
        yield from _machines(name, rules)
    facts = facts_of(name)
    if facts is not None and facts.alone:
        yield f"the machines are run by {facts.called}, who makes the hardware"
    else:
        yield f"the machines are run by {rules.operator or 'somebody unknown'}"


def _age(name: str, rules: PlatformRules) -> str:
    nonce = "holds our nonce" if rules.nonce_required else "need not hold our nonce"
    if PLATFORMS[name].dated:
        return f"a document is at most {_span(rules.max_age)} old and {nonce}"
    if rules.nonce_required:
        return f"a document names no time and {nonce}: it was made after we asked"
    return f"a document names no time and {nonce}: it may be of any age"


def _machines(name: str, rules: PlatformRules) -> Iterator[str]:
    """What its maker may say of a machine."""
    facts = facts_of(name)
    maker = facts.called if facts else "its maker"
    yield f"accepts a machine that {maker} calls {' or '.join(rules.tcb)}, no other"
    known = ", ".join(rules.advisories)
    if known:
        yield f"with no advisory of {maker} open but {known}"
    else:
        yield f"with no advisory of {maker} open"
    if rules.collateral_required:
        yield f"what {maker} says of the machine (collateral) has to be there"
    else:
        yield (
            f"what {maker} says of the machine (collateral) may be lacking: then nobody"
            " knows its state"
        )
    if rules.pccs is not None:
        yield f"it is asked for at {rules.pccs}, which is believed in nothing"
    else:
        yield "it is given by whoever verifies (--collateral): nobody is asked for it"


def _product(name: str, product: Product) -> Iterator[str]:
    yield f"released by {name.partition('/')[0]} and nobody else, on " + ", ".join(
        product.platforms
    )
    demanded = ", ".join(f"{n} {NAMES[n]}" for n in product.links)
    yield f"must be proven: {demanded}"
    for auditor in product.auditors:
        yield f"hears {auditor.name} for {', '.join(auditor.scopes)}"
    for scope in SCOPES:
        wanted = any(s == scope and n in product.links for n, s in _SCOPES.items())
        if wanted or product.counts.of(scope) != 1:
            yield f"passes demanded of {scope}: {product.counts.of(scope)}"
    if product.open_findings is not None:
        most = ", ".join(f"{n} {s}" for s, n in product.open_findings.items())
        yield f"a review may leave open at most: {most or 'anything'}"
    yield from _limits_of(product)


def _limits_of(product: Product) -> Iterator[str]:
    if product.lowest_version is not None:
        yield f"first released as {product.lowest_version} or later"
    if product.channel == "required":
        yield "must be who we are connected to (channel)"
    if product.ground == "separate":
        yield "the machines must be run by others than who makes the hardware (ground)"
    for who, keyids in product.pins.items():
        yield from (f"{who} speaks with key {keyid}" for keyid in keyids)
    if product.operator is not None:
        yield f"operator of its machines: {product.operator}"
    if product.components == "report":
        yield "a component that failed is reported, and refuses nothing"


def _span(seconds: int) -> str:
    for unit, size, least in (("d", 86_400, 2), ("h", 3600, 1), ("m", 60, 1)):
        if seconds >= least * size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


# --- lint ----------------------------------------------------------------------------


def lint(policy: Policy, now: int) -> Iterator[Finding]:
    """What can never be met, and what is weak."""
    yield from _lint_whole(policy, now)
    for log in policy.logs.values():
        yield from _lint_log(log)
    for name, rules in policy.platforms.items():
        yield from _lint_platform(name, rules)
    if not policy.products:
        yield _problem("products", "none: pcrlog policy add FILE PRODUCT")
    for name, product in policy.products.items():
        yield from _lint_product(name, product)
        yield from _lint_ground(name, product, policy)


def _problem(where: str, text: str) -> Finding:
    return Finding("problem", where, text)


def _weak(where: str, text: str) -> Finding:
    return Finding("weakness", where, text)


def _lint_whole(policy: Policy, now: int) -> Iterator[Finding]:
    left = policy.valid_until - now
    if left <= 0:
        yield _problem("valid_until", "has passed: nothing verifies any more")
    elif left < _SOON:
        yield _weak("valid_until", f"runs out in {left // 86_400} days")
    named = policy.successor
    if named is not None and named.least == 1:
        yield _weak("successor", "one key alone may replace the whole policy")
    if policy.archives:
        yield _weak("archives", "an old document can verify: right for archives only")


def _lint_log(log: Log) -> Iterator[Finding]:
    where = f"log {log.key.name}"
    if log.witnesses is None:
        yield _weak(
            where, "no witnesses: it could show you another history than others"
        )
    if log.index_monitors is None:
        yield _weak(
            where, "no index monitors: it could leave a revocation out of answers"
        )
    for quorum in (log.witnesses, log.index_monitors):
        if quorum is not None and quorum.least == 1 and len(quorum.keys) > 1:
            yield _weak(where, "a quorum of 1: the weakest of the keys decides")
    if log.max_age > _LONG:
        yield _weak(
            where, f"max_age: a revocation can be hidden for {_span(log.max_age)}"
        )


def _lint_platform(name: str, rules: PlatformRules) -> Iterator[Finding]:
    where = f"platform {name}"
    if any(root != "builtin" for root in rules.roots):
        yield _weak(
            where, "a root of its own: right for a test, or for another partition"
        )
    if not rules.nonce_required:
        old = ", and of any age: no document says when it was made"
        old = "" if PLATFORMS[name].dated else old
        yield _weak(where, f"no nonce: an answer given to somebody else will do{old}")
    if PLATFORMS[name].of_collateral:
        yield from _lint_machines(where, rules)
    facts = facts_of(name)
    if facts is None or not facts.alone:
        yield from _lint_operator(where, rules, facts)
    elif rules.operator not in (None, facts.maker):
        text = f"operator: {facts.called} runs all of them, whatever it says"
        yield _weak(where, text)


def _lint_machines(where: str, rules: PlatformRules) -> Iterator[Finding]:
    """What of a machine's state a policy puts up with, and whom it asks."""
    if not rules.collateral_required:
        text = "collateral optional: a machine with known holes would do"
        yield _weak(where, text)
    old = [status for status in rules.tcb if status.startswith("OutOfDate")]
    if old:
        text = f"tcb: {', '.join(old)}: a machine whose known holes are not mended"
        yield _weak(where, text)
    loose = [one for one in rules.tcb if one not in ("UpToDate", *old)]
    if loose:
        text = f"tcb: {', '.join(loose)}: only the code itself can make up for that"
        yield _weak(where, text)
    if rules.pccs is not None and not _askable(rules.pccs):
        text = f"pccs: {rules.pccs} is never asked: https://…, or this machine's own"
        yield _problem(where, text)


def _askable(url: str) -> bool:
    from pcrlog import pccs

    try:
        pccs.require_safe(url)
    except UsageError:
        return False
    return True


def _lint_operator(
    where: str, rules: PlatformRules, facts: Ground | None
) -> Iterator[Finding]:
    """Who runs machines that others than their maker may run."""
    named = (rules.operator or "").strip()
    if not named:
        yield _weak(where, "operator: say who runs the machines")
    elif facts is not None and named.casefold() == facts.maker:
        yield _weak(where, _one_company(facts))


def _one_company(facts: Ground) -> str:
    return f"operator: {facts.called} makes the hardware, and would run it too"


def _lint_ground(name: str, product: Product, policy: Policy) -> Iterator[Finding]:
    """A separate ground that no document of a platform can have."""
    where = f"product {name}"
    for platform in product.platforms if product.ground == "separate" else ():
        rules = policy.platforms.get(platform)
        named = product.operator or (rules.operator if rules else None)
        below = infrastructure(platform, named)
        if below.word == "same":
            text = f"ground: on {platform}, {below.maker} makes and runs the machines"
            yield _problem(where, text)
        elif below.maker is None:
            yield _problem(where, f"ground: nothing attests on {platform}")
        elif below.operator is None:
            text = f"ground: operator has to say who runs the machines of {platform}"
            yield _problem(where, text)


def _lint_product(name: str, product: Product) -> Iterator[Finding]:
    where = f"product {name}"
    provider = name.partition("/")[0]
    able = {scope for one in product.auditors for scope in one.scopes}
    for number, scope in _SCOPES.items():
        if number in product.links and scope not in able:
            text = f"link {number} is demanded, and no auditor is heard for {scope}"
            yield _problem(where, text)
    if provider in {one.name for one in product.auditors}:
        yield _problem(where, f"{provider} is its own auditor: that counts for nothing")
    for facts in filter(None, map(facts_of, product.platforms)):
        named = (product.operator or "").strip().casefold()
        if named == facts.maker and not facts.alone:
            yield _weak(where, _one_company(facts))
    yield from _lint_demands(where, provider, product)


def _lint_demands(where: str, provider: str, product: Product) -> Iterator[Finding]:
    able = {scope for one in product.auditors for scope in one.scopes}
    if not product.auditors:
        yield _weak(where, "no auditor: nobody but the provider is heard")
    if SOURCE_REVIEW in able and product.open_findings is None:
        yield _weak(
            where, "no open_findings: a review that left any open does not count"
        )
    if provider not in product.pins:
        yield _weak(
            where, f"no pin for {provider}: the registrar can give it another key"
        )
    if product.channel != "required":
        yield _weak(
            where, "channel optional: an enclave elsewhere can answer in its place"
        )
    if product.lowest_version is None:
        yield _weak(where, "no lowest_version: an old build with known holes will do")
