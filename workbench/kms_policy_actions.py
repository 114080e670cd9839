"""The actions of AWS KMS, what each is good for, and which of them a pattern names.

AWS adds actions. One that is not in this table is taken for the worst: `UNKNOWN`
stands for all of them, and is allowed by `kms:*`, by `*` and by every `NotAction` that
does not name these.

>>> [action.name for action in ACTIONS if may_match("kms:de*t", action)]
['Decrypt']
"""

import re
from typing import Literal, TypeAlias

from msgspec import Struct

Use: TypeAlias = Literal["plaintext", "use", "rules", "write", "read", "unknown"]


class Action(Struct, frozen=True):
    """An action of KMS, and what whoever may do it has.

    - `plaintext`: plaintext or keys; these take an attestation, and encrypt to it
    - `use`: the same in effect, and no attestation can be demanded
    - `rules`: another policy, a grant, a copy, other material: who decides later
    - `write`: ciphertext of what the caller knows already
    - `read`: what is no secret
    - `unknown`: not in this table
    """

    name: str
    use: Use

    @property
    def spelled(self) -> str:
        """As it is compared: policies may write it in either case."""
        return f"kms:{self.name}".lower()


_BY_USE: dict[Use, str] = {
    "plaintext": (
        "Decrypt DeriveSharedSecret GenerateDataKey GenerateDataKeyPair GenerateRandom"
    ),
    # ReEncryptFrom hands what this key protects to another key, the caller's own.
    "use": "ReEncryptFrom Sign GenerateMac",
    "rules": (
        "PutKeyPolicy CreateGrant ReplicateKey UpdatePrimaryRegion"
        " ImportKeyMaterial DeleteImportedKeyMaterial RotateKeyOnDemand"
        " SynchronizeMultiRegionKey"
        " CreateAlias UpdateAlias DeleteAlias TagResource UntagResource"
        " ScheduleKeyDeletion"
        " CreateCustomKeyStore UpdateCustomKeyStore DeleteCustomKeyStore"
        " ConnectCustomKeyStore DisconnectCustomKeyStore"
    ),
    "write": (
        "Encrypt ReEncryptTo GenerateDataKeyWithoutPlaintext"
        " GenerateDataKeyPairWithoutPlaintext"
    ),
    "read": (
        "DescribeKey DescribeCustomKeyStores GetKeyPolicy GetKeyRotationStatus"
        " GetParametersForImport GetPublicKey ListAliases ListGrants ListKeyPolicies"
        " ListKeyRotations ListKeys ListResourceTags ListRetirableGrants"
        " Verify VerifyMac"
        # These take away, or give back what the policy allows anyway.
        " CancelKeyDeletion DisableKey EnableKey DisableKeyRotation EnableKeyRotation"
        " RetireGrant RevokeGrant UpdateKeyDescription"
        # It makes another key.
        " CreateKey"
    ),
}
UNKNOWN = Action("(an action that is not known here)", "unknown")
ACTIONS: tuple[Action, ...] = (
    *(Action(name, use) for use, names in _BY_USE.items() for name in names.split()),
    UNKNOWN,
)
_WILD = ("*", "?")
_SERVICE = re.compile(r"[a-z0-9-]+")


def may_match(pattern: str, action: Action) -> bool:
    """Whether AWS might take a pattern for this action."""
    return _glob(pattern.lower(), action.spelled)


def surely_matches(pattern: str, action: Action) -> bool:
    """Whether AWS takes a pattern for this action, however it reads wildcards.

    A wildcard in the name of the service is not relied on, unless it is all there is.
    """
    lower = pattern.lower()
    whole = lower == "*" or lower.startswith("kms:")
    # Outside ASCII, some signs are lower-cased into it, such as the sign for kelvin.
    return whole and pattern.isascii() and _glob(lower, action.spelled)


def strange(pattern: str) -> Action | None:
    """The unknown action that a pattern names, if it names none that is known.

    Actions of other services are none of a key's.
    """
    lower = pattern.lower()
    service, colon, _ = lower.partition(":")
    elsewhere = colon and service != "kms" and _SERVICE.fullmatch(service)
    if elsewhere or any(_glob(lower, action.spelled) for action in ACTIONS):
        return None
    named = lower.startswith("kms:") and not _wild(lower)
    return Action(pattern[len("kms:") :], "unknown") if named else UNKNOWN


def _wild(text: str) -> bool:
    return any(sign in text for sign in _WILD)


def _glob(pattern: str, text: str) -> bool:
    """Whether `*` (any text) and `?` (one character) stand for the rest of `text`.

    Steps back to the last `*` alone, so it takes at most len(pattern) * len(text).
    """
    at = here = 0
    star, resume = -1, 0
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
