"""A policy in words, and what is weak about it.

`explain` says everything that a policy demands, so that nobody has to read TOML to know
what they trust. `lint` names what can never be met, and what an attacker would like.
"""

from collections.abc import Iterator

from msgspec import Struct

from pcrlog.encoding import format_time
from pcrlog.policy import Log, PlatformRules, Policy, Product, Quorum
from pcrlog.statement import CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW
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
    """Headings, each with its sentences."""
    yield f"Version {policy.version}", list(_whole(policy))
    for log in policy.logs.values():
        yield f"Log {log.key.name}", list(_log(log))
    for name, rules in policy.platforms.items():
        yield f"Platform {name}", list(_platform(rules))
    for name, product in policy.products.items():
        yield f"Product {name}", list(_product(name, product))


def _whole(policy: Policy) -> Iterator[str]:
    yield f"valid until {format_time(policy.valid_until)}"
    yield f"clocks may differ by {_span(policy.clock_skew)}"
    if policy.clock_attested:
        yield "a document with our nonce tells the time, not this machine"
    if policy.archives:
        yield "archived documents (--at) can be verified"
    distrust = policy.distrust
    for kind in ("statements", "keys", "measurements"):
        for one in getattr(distrust, kind):
            yield f"distrusts {kind.removesuffix('s')} {one}"


def _log(log: Log) -> Iterator[str]:
    yield f"at {log.url}, signed by {log.key}"
    yield f"its registrar has the root key {log.registrar[:16]}…"
    yield f"sealed at most {_span(log.max_age)} ago: so long can a revocation be hidden"
    if log.frozen_until is not None:
        yield f"frozen, and good until {format_time(log.frozen_until)}"
    yield f"witnesses: {_quorum(log.witnesses)}"
    yield f"index monitors: {_quorum(log.index_monitors)}"


def _quorum(quorum: Quorum | None) -> str:
    if quorum is None:
        return "waived"
    names = ", ".join(key.name for key in quorum.keys)
    return f"{quorum.least} of {len(quorum.keys)} ({names})"


def _platform(rules: PlatformRules) -> Iterator[str]:
    own = sum(root != "builtin" for root in rules.roots)
    roots = ["the vendor's root, built in"] * ("builtin" in rules.roots)
    roots += ["a root of the policy's own"] * own
    yield f"trusts {' and '.join(roots)}"
    nonce = "holds our nonce" if rules.nonce_required else "need not hold our nonce"
    yield f"a document is at most {_span(rules.max_age)} old and {nonce}"
    yield f"the machines are run by {rules.operator or 'somebody unknown'}"


def _product(name: str, product: Product) -> Iterator[str]:
    yield f"released by {name.partition('/')[0]} and nobody else, on " + ", ".join(
        product.platforms
    )
    demanded = ", ".join(f"{n} {NAMES[n]}" for n in product.links)
    yield f"must be proven: {demanded}"
    for auditor in product.auditors:
        yield f"hears {auditor.name} for {', '.join(auditor.scopes)}"
    for number, scope in _SCOPES.items():
        if number in product.links and number != 5:  # noqa: PLR2004 - as link 3
            yield f"passes demanded of {scope}: {product.counts.of(scope)}"
    if product.open_findings is not None:
        most = ", ".join(f"{n} {s}" for s, n in product.open_findings.items())
        yield f"a review may leave open at most: {most}"
    yield from _limits_of(product)


def _limits_of(product: Product) -> Iterator[str]:
    if product.lowest_version is not None:
        yield f"first released as {product.lowest_version} or later"
    if product.channel == "required":
        yield "must be who we are connected to (channel)"
    for who, keyids in product.pins.items():
        yield f"{who} speaks with key " + ", ".join(f"{k[:16]}…" for k in keyids)
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
        yield _weak(where, "no nonce: an answer given to somebody else will do")
    if rules.operator is None:
        yield _weak(where, "operator: say who runs the machines, such as aws")


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
