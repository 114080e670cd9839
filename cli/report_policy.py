"""A policy's demands of one product, in the words of a report's page (format v1).

`policy explain` has its own words, which may become better. These stand in files, and
so never change (report_page.py).
"""

from collections.abc import Iterator

from pcrlog.encoding import format_time
from pcrlog.measurement import PLATFORMS
from pcrlog.policy import PlatformRules, Policy, Quorum
from pcrlog.policy_file import Product
from pcrlog.statement import SCOPES

_TIMELESS = ("intel-sgx",)
"""Platforms whose documents do not say when they were made."""


def demands(policy: Policy, product: str) -> Iterator[tuple[str, str]]:
    """Names and sentences.

    Raises:
        UsageError: the policy does not name the product.
    """
    yield "policy", f"version {policy.version}, sha256 {policy.sha256}"
    yield "valid until", format_time(policy.valid_until)
    rules = policy.product(product)
    yield "links proven", ", ".join(map(str, rules.links))
    yield from _product(rules)
    for name in rules.platforms:
        platform = policy.platforms.get(name)
        if platform is not None:
            yield from _platform(name, platform)
    for log in policy.logs.values():
        yield "log", str(log.key)
        yield "its registrar", f"key {log.registrar}"
        yield "its last seal", f"at most {log.max_age} s before"
        yield "its witnesses", _quorum(log.witnesses)
        yield "index monitors", _quorum(log.index_monitors)


def _platform(name: str, rules: PlatformRules) -> Iterator[tuple[str, str]]:
    nonce = "our nonce" if rules.nonce_required else "a nonce or none"
    age = f"a document of at most {rules.max_age} s, with {nonce}"
    if name in _TIMELESS:
        old = "" if rules.nonce_required else " of any age,"
        age = f"a document{old} with {nonce}"
    yield name, f"{age}; run by {rules.operator or 'somebody unknown'}"
    if PLATFORMS[name].of_collateral:  # older files have no such rows
        yield "states of its machines", ", ".join(rules.tcb)
        yield "known advisories", ", ".join(rules.advisories) or "none"
        demanded = "demanded" if rules.collateral_required else "not demanded"
        yield "collateral", demanded


def _product(rules: Product) -> Iterator[tuple[str, str]]:
    for one in rules.auditors:
        yield "auditor", f"{one.name} counts for {', '.join(one.scopes)}"
    able = {scope for one in rules.auditors for scope in one.scopes}
    for scope in SCOPES:
        if scope in able:
            yield f"passes of {scope}", f"{rules.counts.of(scope)} at least"
    if rules.open_findings is not None:
        most = (f"{n} {severity}" for severity, n in rules.open_findings.items())
        yield "open findings", f"at most {', '.join(most)}"
    if rules.lowest_version is not None:
        yield "lowest version", rules.lowest_version
    yield "channel", rules.channel
    if rules.ground != "any":  # files older than this demand have no such row
        yield "ground", rules.ground
    yield "failed components", f"{rules.components} the release"
    for name, keyids in rules.pins.items():
        yield f"keys of {name}", ", ".join(keyids)


def _quorum(quorum: Quorum | None) -> str:
    if quorum is None:
        return "waived"
    names = ", ".join(key.name for key in quorum.keys)
    return f"{quorum.least} of {len(quorum.keys)} ({names})"
