"""What one policy demands and another did not, in sentences.

Whoever signs a policy's successor, or follows one, reads this and not TOML. So each
difference has to show: a sentence that goes or comes, or at last a word that there is
one which no sentence tells.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from cli.policy_text import explain
from pcrlog.policy import Policy


def changes(before: Policy, after: Policy) -> Iterator[tuple[str, str, str]]:
    """What a policy demands and another did not, and the other way round.

    Yields:
        `-` or `+`, the heading, and the sentence.
    """
    old, new = _sentences(before), _sentences(after)
    yield from (("-", *one) for one in old if one not in new)
    yield from (("+", *one) for one in new if one not in old)
    if old == new and _bare(before) != _bare(after):
        yield "+", "policy", "something else than these sentences tell: compare files"


def _sentences(policy: Policy) -> list[tuple[str, str]]:
    said = [(where, one) for where, rows in explain(policy) for one in rows]
    first = f"Version {policy.version}"
    return [("policy" if where == first else where, one) for where, one in said]


def _bare(policy: Policy) -> Policy:
    """All but its place among its successors."""
    return replace(policy, sha256="", version=0, previous=None)
