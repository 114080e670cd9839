"""An attestation document's platform, and what its verification rests on, by options.

The platform is told from the bytes; `--platform` says which it has to be. What a maker
publishes of its machines (intel-sgx) is a file, `--collateral`; or it is had from the
service that the policy names as `pccs`, and kept in the state directory for as long as
it holds.
"""

import click

from cli import files
from pcrlog import attestation, limits
from pcrlog.attestation import Trust, roots
from pcrlog.policy import Policy

platform_option = click.option(
    "--platform",
    metavar="NAME",
    help=f"What it has to be: {', '.join(attestation.ATTESTING)}; else told by itself.",
)


def trust_of(
    platform: str, policy: Policy | None, now: int, collateral: str | None
) -> Trust:
    """What documents of a platform rest on: the policy's roots, or the vendor's.

    Args:
        platform: the document's.
        policy: if it says nothing of the platform, the vendor's roots are trusted.
        now: unix seconds.
        collateral: a file.
    """
    given = None if collateral is None else files.read(collateral, limits.COLLATERAL)
    rules = None if policy is None else policy.platforms.get(platform)
    if policy is None or rules is None:
        return Trust(roots.builtin(platform), now, collateral=given)
    return Trust(
        roots=roots.trusted(platform, rules.roots),
        now=now,
        skew=policy.clock_skew,
        collateral=given,
        tcb=rules.tcb,
        advisories=rules.advisories,
    )
