"""Online is "fetch the bundle first": which bundle that is, for an enclave's document.

`verify` derives which answers it needs from document, product and policy (PROTOCOL.md
section 4). Whoever fetches them derives the same first, from a document that is checked
as `verify` will check it again.
"""

from msgspec.structs import replace

from pcrlog import limits
from pcrlog.errors import UsageError
from pcrlog.measurement import PLATFORMS, spell
from pcrlog.policy import Policy
from pcrlog.reader import bundle_path
from pcrlog.verification.checks import Recorder
from pcrlog.verification.document import Asked, check_document


def wanted_bundle(
    document: bytes, policy: Policy, product: str, asked: Asked
) -> str | None:
    """Where, below its URL, a log serves what `verify` will ask for.

    None: not a genuine document, so there is nothing to ask the log about.

    Raises:
        UsageError: the policy does not name the product.
    """
    rules = policy.product(product)
    found = check_document(document, policy, rules, asked, Recorder())
    if found is None:
        return None
    identity = PLATFORMS[found.platform].identity
    measurements = [f"{found.platform}/{m}" for m in spell(identity, found.registers)]
    return bundle_path(product, measurements, auditors_of(policy, product))


def auditors_of(policy: Policy, product: str) -> list[str]:
    """Whose statements to ask for: auditors of the product, then those of any other.

    A component is judged by the auditors of its own product, and which components there
    are is not known before the log has answered. A log takes so many names and no more.
    """
    first = policy.product(product).auditors
    others = (one for rules in policy.products.values() for one in rules.auditors)
    names = dict.fromkeys(one.name for one in (*first, *others))
    return list(names)[: limits.AUDITORS_OF_PRODUCT]


def on_platform(policy: Policy, product: str, platform: str) -> Policy:
    """The policy, with this product expected on one of its platforms.

    Raises:
        UsageError: the policy does not name the product, or not on this platform.
    """
    rules = policy.product(product)
    if platform not in rules.platforms:
        message = f"{product}: expected {' or '.join(rules.platforms)}, got {platform}"
        raise UsageError(message)
    rules = replace(rules, platforms=(platform,))
    return replace(policy, products={**policy.products, product: rules})


def with_channel(policy: Policy, product: str) -> Policy:
    """The policy, with the channel required of this product."""
    rules = replace(policy.product(product), channel="required")
    return replace(policy, products={**policy.products, product: rules})
