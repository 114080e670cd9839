"""Key policies with known answers, each with the rule of AWS that it stands for.

Written from AWS's documents (IAM User Guide: policy elements, condition operators,
single-valued and multivalued keys, evaluation logic; KMS Developer Guide: key policies,
default key policy, condition keys for Nitro enclaves, grants), before the code that is
asked. An answer is the set of kinds of path; empty is closed.
"""

from typing import Any, NamedTuple

Statement = dict[str, Any]

GOOD = {f"PCR{n}": f"{n + 1}a" * 48 for n in range(3)}
GREEN = {f"PCR{n}": f"{n + 4}b" * 48 for n in range(3)}
OTHER = "de" * 48
ZERO = "0" * 96
ACCOUNT = "111122223333"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
APP = f"arn:aws:iam::{ACCOUNT}:role/app"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/admin"
ELSEWHERE = "arn:aws:iam::444455556666:role/app"

OPEN = "no-attestation"
ANY = "any-code"
WRONG = "other-measurement"
DEBUG = "debug"
PARTS = "sections"
RULES = "rules"
STRANGE = "unknown-action"


class Row(NamedTuple):
    """A policy: the rule that it stands for, its statements, and the answer."""

    rule: str
    statements: list[Statement]
    kinds: set[str]
    administrators: tuple[str, ...] = ()


def key(register: str) -> str:
    """A condition key."""
    return f"kms:RecipientAttestation:{register}"


def pin(
    operator: str = "StringEqualsIgnoreCase", /, **registers: object
) -> dict[str, Any]:
    """A condition block on registers."""
    return {operator: {key(name): values for name, values in registers.items()}}


PINNED = pin(**GOOD)


def allow(
    condition: dict[str, Any] | None = None,
    action: str | list[str] = "kms:Decrypt",
    **members: Any,
) -> Statement:
    """An Allow for the enclave's role."""
    found: Statement = {
        "Effect": "Allow",
        "Principal": {"AWS": APP},
        "Action": action,
        "Resource": "*",
        **members,
    }
    if condition is not None:
        found["Condition"] = condition
    return {name: value for name, value in found.items() if value is not None}


def deny(
    condition: dict[str, Any] | None = None,
    action: str | list[str] = "kms:*",
    **members: Any,
) -> Statement:
    """A Deny for everybody."""
    return allow(condition, action, **{"Effect": "Deny", "Principal": "*", **members})


def unless(**registers: object) -> list[Statement]:
    """A Deny for each register that is not one of its values."""
    return [
        deny(pin("StringNotEqualsIgnoreCase", **{name: values}))
        for name, values in registers.items()
    ]


CLOSING = unless(**GOOD)
WHOLE_ACCOUNT = allow(action="kms:*", Principal={"AWS": ROOT})

ROWS: dict[str, Row] = {
    # --- conditions of an Allow -----------------------------------------------------
    "pinned": Row(
        "an Allow applies if all its conditions hold", [allow(PINNED)], set()
    ),
    "no condition": Row(
        "an Allow without conditions applies always", [allow()], {OPEN}
    ),
    "empty condition": Row("so does one with no operators", [allow({})], {OPEN}),
    "case of hex": Row(
        "IgnoreCase ignores case",
        [allow(pin(**{n: v.upper() for n, v in GOOD.items()}))],
        set(),
    ),
    "case-sensitive": Row(
        "StringEquals is exact: it lets at most the same through",
        [allow(pin("StringEquals", **GOOD))],
        set(),
    ),
    "case of keys": Row(
        "names of condition keys have no case",
        [allow({"StringEquals": {key(n).upper(): v for n, v in GOOD.items()}})],
        set(),
    ),
    "image digest": Row(
        "ImageSha384 is PCR0",
        [allow(pin(ImageSha384=GOOD["PCR0"], PCR1=GOOD["PCR1"], PCR2=GOOD["PCR2"]))],
        set(),
    ),
    "image digest alone": Row(
        "PCR0 is over all parts together: it does not fix where one ends",
        [allow(pin(ImageSha384=GOOD["PCR0"]))],
        {PARTS},
    ),
    "pcr0 alone": Row("the same", [allow(pin(PCR0=GOOD["PCR0"]))], {PARTS}),
    "two of three": Row(
        "the same with PCR1",
        [allow(pin(PCR0=GOOD["PCR0"], PCR1=GOOD["PCR1"]))],
        {PARTS},
    ),
    "parts without the whole": Row(
        "PCR1 and PCR2 of lists may be of two builds",
        [allow(pin(PCR1=GOOD["PCR1"], PCR2=GOOD["PCR2"]))],
        {ANY},
    ),
    "two operators": Row(
        "several operators are ANDed",
        [
            allow(
                pin(PCR0=GOOD["PCR0"], PCR1=GOOD["PCR1"])
                | pin("StringLike", PCR2=GOOD["PCR2"])
            )
        ],
        set(),
    ),
    "blue and green": Row(
        "several values of a key are ORed",
        [allow(pin(**{n: [GOOD[n], GREEN[n]] for n in GOOD}))],
        set(),
    ),
    "blue and green apart": Row(
        "statements are ORed",
        [allow(PINNED), allow(pin(**GREEN))],
        set(),
    ),
    "one value too many": Row(
        "several values of a key are ORed",
        [allow(pin(**{**GOOD, "PCR0": [GOOD["PCR0"], OTHER]}))],
        {WRONG},
    ),
    "another release": Row(
        "a value that nobody released",
        [allow(pin(**dict.fromkeys(GOOD, OTHER)))],
        {WRONG},
    ),
    "no register at all": Row(
        "a value that no register can have is not understood",
        [allow(pin(**{**GOOD, "PCR0": "sha384:" + GOOD["PCR0"]}))],
        {WRONG},
    ),
    "debug": Row(
        "an enclave in debug mode has zeros in PCR0 to PCR2",
        [allow(pin(**dict.fromkeys(GOOD, ZERO)))],
        {DEBUG},
    ),
    "debug beside": Row(
        "zeros in a list are one of the values",
        [allow(pin(**{n: [GOOD[n], ZERO] for n in GOOD}))],
        {DEBUG},
    ),
    "if exists": Row(
        "...IfExists is true if the key is absent",
        [allow(pin("StringEqualsIgnoreCaseIfExists", **GOOD))],
        {OPEN},
    ),
    "if exists, and there": Row(
        "Null false asks for the key to be there",
        [
            allow(
                pin("StringEqualsIfExists", **GOOD)
                | {"Null": {key(name): "false" for name in GOOD}}
            )
        ],
        set(),
    ),
    "for all values": Row(
        "ForAllValues is true if the key is absent",
        [allow(pin("ForAllValues:StringEquals", **GOOD))],
        {OPEN},
    ),
    "for any value": Row(
        "ForAnyValue is false if the key is absent",
        [allow(pin("ForAnyValue:StringEqualsIgnoreCase", **GOOD))],
        set(),
    ),
    "for any value if exists": Row(
        "how ForAnyValue and IfExists go together is nowhere said",
        [allow(pin("ForAnyValue:StringEqualsIfExists", **GOOD))],
        {OPEN},
    ),
    "not equals": Row(
        "a negated operator is true if the key is absent",
        [allow(pin("StringNotEquals", PCR0=OTHER))],
        {OPEN},
    ),
    "not equals, and there": Row(
        "a negated operator lets all other values through",
        [allow(pin("StringNotEquals", PCR0=OTHER) | {"Null": {key("PCR0"): "false"}})],
        {ANY},
    ),
    "not like": Row(
        "the same of NotLike", [allow(pin("StringNotLike", PCR0="0*"))], {OPEN}
    ),
    "like anything": Row("* is any text", [allow(pin("StringLike", PCR0="*"))], {ANY}),
    "like all registers": Row(
        "* is any text", [allow(pin("StringLike", **dict.fromkeys(GOOD, "*")))], {ANY}
    ),
    "like a prefix": Row(
        "a prefix is not a digest",
        [allow(pin("StringLike", **{**GOOD, "PCR0": GOOD["PCR0"][:40] + "*"}))],
        {ANY},
    ),
    "like one character": Row(
        "? is any character",
        [allow(pin("StringLike", **{**GOOD, "PCR0": GOOD["PCR0"][:-1] + "?"}))],
        {ANY},
    ),
    "like without wildcards": Row(
        "StringLike without wildcards is StringEquals",
        [allow(pin("StringLike", **GOOD))],
        set(),
    ),
    "equals a star": Row(
        "StringEquals knows no wildcards: such a value is met by nothing",
        [allow(pin(**{**GOOD, "PCR0": [GOOD["PCR0"], "*"]}))],
        {WRONG},
    ),
    "variable": Row(
        "a policy variable is whatever the request says",
        [allow(pin(**{**GOOD, "PCR0": "${aws:PrincipalTag/pcr0}"}))],
        {ANY},
    ),
    "null true": Row(
        "Null true: the key is absent",
        [allow({"Null": {key("ImageSha384"): "true"}})],
        {OPEN},
    ),
    "null false": Row(
        "Null false: the key is there, whatever it says",
        [allow({"Null": {key("ImageSha384"): "false"}})],
        {ANY},
    ),
    "null boolean": Row(
        "a boolean is its text",
        [allow(PINNED | {"Null": {key("PCR0"): False}})],
        set(),
    ),
    "null both": Row(
        "several values are ORed: both is always",
        [allow({"Null": {key("PCR0"): ["true", "false"]}})],
        {OPEN},
    ),
    "null of another word": Row(
        "Null knows true and false: another word is not understood",
        [allow({"Null": {key("PCR0"): "True"}})],
        {OPEN},
    ),
    "a part like anything": Row(
        "a part that may be anything is not fixed",
        [
            allow(
                pin(PCR0=GOOD["PCR0"], PCR2=GOOD["PCR2"]) | pin("StringLike", PCR1="*")
            )
        ],
        {PARTS},
    ),
    "a part if exists": Row(
        "nor is one that may be absent",
        [
            allow(
                pin(PCR0=GOOD["PCR0"], PCR1=GOOD["PCR1"])
                | pin("StringEqualsIfExists", PCR2=GOOD["PCR2"])
            )
        ],
        {PARTS},
    ),
    "contradiction": Row(
        "a statement whose conditions exclude each other never applies",
        [allow(pin(**GOOD) | {"Null": {key("PCR0"): "true"}})],
        set(),
    ),
    "role": Row(
        "PCR3 is the role of the machine, and no code",
        [allow(pin(PCR3=OTHER))],
        {ANY},
    ),
    "machine": Row("PCR4 is the machine", [allow(pin(PCR4=OTHER))], {ANY}),
    "signer": Row(
        "PCR8 is who signed: any image of theirs", [allow(pin(PCR8=OTHER))], {ANY}
    ),
    "signer too": Row(
        "a further condition takes away only",
        [allow(pin(**GOOD, PCR8=OTHER))],
        set(),
    ),
    "tpm": Row(
        "NitroTPMPCR keys are about instances, not enclaves",
        [allow(pin(NitroTPMPCR4=OTHER, NitroTPMPCR12=OTHER))],
        {OPEN},
    ),
    "another key": Row(
        "conditions on other keys say nothing of an attestation",
        [allow({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}})],
        {OPEN},
    ),
    "another key too": Row(
        "and take nothing from those that do",
        [allow(PINNED | {"Bool": {"aws:SecureTransport": True}})],
        set(),
    ),
    "no such register": Row("there is no PCR32", [allow(pin(PCR32=OTHER))], {OPEN}),
    "another operator": Row(
        "an operator for other types is not understood",
        [allow({"ArnEquals": {key("PCR0"): GOOD["PCR0"]}})],
        {OPEN},
    ),
    "operator in lower case": Row(
        "nor one that is spelled otherwise",
        [allow({"stringequals": {key(n): v for n, v in GOOD.items()}})],
        {OPEN},
    ),
    "no values": Row(
        "nor a list without values", [allow(pin(**{**GOOD, "PCR0": []}))], {ANY}
    ),
    # --- actions ----------------------------------------------------------------------
    "every action": Row("kms:* is every action", [allow(PINNED, "kms:*")], set()),
    "every action, open": Row(
        "kms:* is every action, those to come too",
        [allow(action="kms:*")],
        {OPEN, RULES, STRANGE},
    ),
    "star": Row("* is every action", [allow(action="*")], {OPEN, RULES, STRANGE}),
    "prefix": Row(
        "* in an action is any text", [allow(action="kms:D*")], {OPEN, RULES}
    ),
    "case of actions": Row(
        "actions have no case", [allow(action="KMS:dEcRyPt")], {OPEN}
    ),
    "one character": Row("? is any character", [allow(action="kms:?ecrypt")], {OPEN}),
    "data key": Row(
        "its plaintext is in the answer", [allow(action="kms:GenerateDataKey")], {OPEN}
    ),
    "data key pair": Row(
        "so is a private key", [allow(action="kms:GenerateDataKeyPair")], {OPEN}
    ),
    "shared secret": Row(
        "so is a secret", [allow(action="kms:DeriveSharedSecret")], {OPEN}
    ),
    "random": Row("so are random bytes", [allow(action="kms:GenerateRandom")], {OPEN}),
    "without plaintext": Row(
        "what is made without plaintext is no secret",
        [allow(action=["kms:GenerateDataKeyWithoutPlaintext", "kms:Encrypt"])],
        set(),
    ),
    "data key star": Row(
        "GenerateDataKey* is four actions, two of them with plaintext",
        [allow(action="kms:GenerateDataKey*")],
        {OPEN},
    ),
    "re-encrypt": Row(
        "ReEncryptFrom hands the plaintext to another key",
        [allow(action="kms:ReEncrypt*")],
        {OPEN},
    ),
    "re-encrypt to": Row(
        "ReEncryptTo takes plaintext from another key",
        [allow(action="kms:ReEncryptTo")],
        set(),
    ),
    "re-encrypt pinned": Row(
        "ReEncrypt takes no attestation: such an Allow never applies",
        [allow(PINNED, "kms:ReEncrypt*")],
        set(),
    ),
    "sign": Row("a signature uses the key", [allow(action="kms:Sign")], {OPEN}),
    "mac": Row("so does a MAC", [allow(action="kms:GenerateMac")], {OPEN}),
    "reading": Row(
        "what is no secret",
        [allow(action=["kms:DescribeKey", "kms:Get*", "kms:List*", "kms:Verify"])],
        set(),
    ),
    "grants": Row(
        "a grant has no condition on an attestation",
        [allow(action="kms:CreateGrant")],
        {RULES},
    ),
    "grants for services": Row(
        "nor has one that a service makes on somebody's behalf",
        [allow({"Bool": {"kms:GrantIsForAWSResource": "true"}}, "kms:CreateGrant")],
        {RULES},
    ),
    "policy": Row(
        "whoever may write the policy", [allow(action="kms:PutKeyPolicy")], {RULES}
    ),
    "policy, meant": Row(
        "administrators are named by whoever asks",
        [allow(PINNED), allow(action="kms:PutKeyPolicy", Principal={"AWS": ADMIN})],
        set(),
        (ADMIN,),
    ),
    "policy, another": Row(
        "and nobody else is one",
        [allow(action="kms:PutKeyPolicy", Principal={"AWS": [ADMIN, APP]})],
        {RULES},
        (ADMIN,),
    ),
    "policy, anybody": Row(
        "anybody is no administrator",
        [allow(action="kms:PutKeyPolicy", Principal={"AWS": "*"})],
        {RULES},
        (ADMIN, ROOT),
    ),
    "administrator who decrypts": Row(
        "an administrator may change the rules, and no more",
        [allow(action=["kms:PutKeyPolicy", "kms:Decrypt"], Principal={"AWS": ADMIN})],
        {OPEN},
        (ADMIN,),
    ),
    "account as administrator": Row(
        "an account's id is its root ARN",
        [allow(action="kms:Put*", Principal={"AWS": ACCOUNT})],
        set(),
        (ROOT,),
    ),
    "replica": Row(
        "a replica has a policy of its own", [allow(action="kms:ReplicateKey")], {RULES}
    ),
    "material": Row(
        "whoever imports material has it",
        [allow(action="kms:ImportKeyMaterial")],
        {RULES},
    ),
    "alias": Row(
        "an alias can be turned to another key",
        [allow(action="kms:UpdateAlias")],
        {RULES},
    ),
    "deletion": Row(
        "a key can be ended", [allow(action="kms:ScheduleKeyDeletion")], {RULES}
    ),
    "unknown action": Row(
        "AWS adds actions", [allow(action="kms:ExportKey")], {STRANGE}
    ),
    "unknown action pinned": Row(
        "its conditions hold for it too", [allow(PINNED, "kms:ExportKey")], set()
    ),
    "another service": Row(
        "actions of other services are none of a key's",
        [allow(action="s3:GetObject")],
        set(),
    ),
    "no service": Row(
        "what is no action is not understood", [allow(action="decrypt")], {STRANGE}
    ),
    "not action": Row(
        "NotAction is all but these: AWS's own hint, kms:* less Decrypt, is not enough",
        [allow(Action=None, NotAction="kms:Decrypt", Principal={"AWS": ROOT})],
        {OPEN, RULES, STRANGE},
    ),
    "not action of all": Row(
        "NotAction of everything is nothing",
        [allow(Action=None, NotAction="kms:*")],
        set(),
    ),
    "no action": Row(
        "a statement without Action has no effect; it is not relied on",
        [allow(Action=None)],
        {OPEN, RULES, STRANGE},
    ),
    # --- principals -------------------------------------------------------------------
    "default key policy": Row(
        "the account's root is IAM: its policies decide, and no file shows them",
        [WHOLE_ACCOUNT],
        {OPEN, RULES, STRANGE},
    ),
    "account pinned": Row(
        "IAM may give no more than the statement allows",
        [allow(PINNED, Principal={"AWS": ROOT})],
        set(),
    ),
    "account id": Row(
        "an id is the same as its root ARN", [allow(Principal={"AWS": ACCOUNT})], {OPEN}
    ),
    "anybody": Row("* is anybody", [allow(Principal="*")], {OPEN}),
    "anybody pinned": Row(
        "conditions bind anybody", [allow(PINNED, Principal="*")], set()
    ),
    "anybody in AWS": Row(
        'so does {"AWS": "*"}', [allow(PINNED, Principal={"AWS": "*"})], set()
    ),
    "anybody of an account": Row(
        "kms:CallerAccount is no attestation",
        [
            allow(
                {"StringEquals": {"kms:CallerAccount": ACCOUNT}}, Principal={"AWS": "*"}
            )
        ],
        {OPEN},
    ),
    "another account": Row(
        "a principal of another account is one too",
        [allow(Principal={"AWS": ELSEWHERE})],
        {OPEN},
    ),
    "service": Row(
        "so is a service", [allow(Principal={"Service": "s3.amazonaws.com"})], {OPEN}
    ),
    "not principal": Row(
        "an Allow with NotPrincipal is for all others",
        [allow(Principal=None, NotPrincipal={"AWS": ADMIN})],
        {OPEN},
    ),
    "second of two": Row(
        "one open statement is enough",
        [allow(PINNED), allow(Principal={"AWS": ADMIN})],
        {OPEN},
    ),
    # --- resources --------------------------------------------------------------------
    "by arn": Row(
        "a key's own ARN is this key, perhaps",
        [allow(Resource="arn:aws:kms:eu-west-1:111122223333:key/1234abcd")],
        {OPEN},
    ),
    "no resource": Row(
        "without Resource it has no effect; that is not relied on",
        [allow(Resource=None)],
        {OPEN},
    ),
    # --- Deny -------------------------------------------------------------------------
    "deny alone": Row("what nobody allows is denied", [deny()], set()),
    "deny all": Row("a Deny overrides every Allow", [WHOLE_ACCOUNT, deny()], set()),
    "closing": Row(
        "a Deny for each register binds IAM; what administers stays",
        [WHOLE_ACCOUNT, *unless(**GOOD)],
        set(),
    ),
    "closing the use": Row(
        "a Deny is about the actions that it names",
        [
            WHOLE_ACCOUNT,
            *(
                one
                | {
                    "Action": [
                        "kms:Decrypt",
                        "kms:GenerateDataKey*",
                        "kms:Derive*",
                        "kms:GenerateRandom",
                        "kms:ReEncrypt*",
                        "kms:Sign",
                        "kms:GenerateMac",
                    ]
                }
                for one in CLOSING
            ),
        ],
        {RULES, STRANGE},
    ),
    "closing decrypt": Row(
        "and no other",
        [WHOLE_ACCOUNT, *(one | {"Action": "kms:Decrypt"} for one in CLOSING)],
        {OPEN, RULES, STRANGE},
    ),
    "closing but not action": Row(
        "a Deny with NotAction is about all others",
        [
            WHOLE_ACCOUNT,
            *(
                {n: v for n, v in one.items() if n != "Action"}
                | {"NotAction": ["kms:Describe*", "kms:List*"]}
                for one in CLOSING
            ),
        ],
        set(),
    ),
    "deny without attestation": Row(
        "Null true denies what has none; any enclave remains",
        [allow(), deny({"Null": {key("PCR0"): "true"}})],
        {ANY},
    ),
    "deny with attestation": Row(
        "Null false denies the enclaves, and nobody else",
        [allow(), deny({"Null": {key("PCR0"): "false"}})],
        {OPEN},
    ),
    "deny together": Row(
        "conditions are ANDed: this denies only what differs in all three",
        [allow(), deny(pin("StringNotEqualsIgnoreCase", **GOOD))],
        {OPEN},
    ),
    "deny pcr0 alone": Row(
        "a Deny protects what it names",
        [allow(), *unless(PCR0=GOOD["PCR0"])],
        {PARTS},
    ),
    "deny equals": Row(
        "a positive operator is false if the key is absent",
        [allow(), deny(pin(PCR0=OTHER))],
        {OPEN},
    ),
    "deny for any value": Row(
        "ForAnyValue is false if the key is absent, negated or not",
        [
            allow(),
            *(
                deny(pin("ForAnyValue:StringNotEquals", **{n: v}))
                for n, v in GOOD.items()
            ),
        ],
        {OPEN},
    ),
    "deny for all values": Row(
        "ForAllValues is true if the key is absent",
        [
            allow(),
            *(
                deny(pin("ForAllValues:StringNotEqualsIgnoreCase", **{n: v}))
                for n, v in GOOD.items()
            ),
        ],
        set(),
    ),
    "deny if exists": Row(
        "...IfExists is true if the key is absent",
        [
            allow(),
            *(deny(pin("StringNotEqualsIfExists", **{n: v})) for n, v in GOOD.items()),
        ],
        set(),
    ),
    "deny not like a prefix": Row(
        "a negated operator is true without the key; a prefix is not relied on",
        [allow(), deny(pin("StringNotLike", PCR0=GOOD["PCR0"][:8] + "*"))],
        {ANY},
    ),
    "deny zeros": Row(
        "a Deny of debug mode leaves all else",
        [allow(PINNED), deny(pin("StringEquals", PCR0=ZERO))],
        set(),
    ),
    "deny zeros of a list": Row(
        "zeros that are allowed and denied are denied",
        [
            allow(pin(**{n: [GOOD[n], ZERO] for n in GOOD})),
            *(deny(pin("StringEquals", **{n: ZERO})) for n in GOOD),
        ],
        set(),
    ),
    "deny with another key": Row(
        "a Deny applies only if all its conditions hold",
        [
            allow(),
            deny(
                {"Null": {key("PCR0"): "true"}, "Bool": {"aws:ViaAWSService": "false"}}
            ),
        ],
        {OPEN},
    ),
    "deny a variable": Row(
        "a policy variable is whatever the request says",
        [allow(), *unless(**{**GOOD, "PCR0": "${aws:PrincipalTag/pcr0}"})],
        {ANY},
    ),
    "deny without resource": Row(
        "without Resource a Deny has no effect",
        [allow(), deny(Resource=None)],
        {OPEN},
    ),
    "deny without action": Row(
        "without Action a Deny has no effect", [allow(), deny(Action=None)], {OPEN}
    ),
    "deny another resource": Row(
        "a Deny may be about another key",
        [allow(), deny(Resource="arn:aws:kms:eu-west-1:111122223333:key/other")],
        {OPEN},
    ),
    "deny this role": Row(
        "a Deny for a role is for its sessions",
        [allow(), deny(Principal={"AWS": APP})],
        set(),
    ),
    "deny the account": Row(
        "what a Deny for an account means for its roles is not relied on",
        [WHOLE_ACCOUNT, deny(Principal={"AWS": ROOT})],
        {OPEN, RULES, STRANGE},
    ),
    "deny all but an action": Row(
        "a Deny with NotAction spares what it names",
        [allow(), deny(Action=None, NotAction="kms:Decrypt")],
        {OPEN},
    ),
    "deny all but an unknown action": Row(
        "one that is not known here, too",
        [allow(action="kms:*"), deny(Action=None, NotAction="kms:ExportKey")],
        {STRANGE},
    ),
    "deny whom an Allow spares": Row(
        "an Allow with NotPrincipal is for all others",
        [
            allow(Principal=None, NotPrincipal={"AWS": ADMIN}),
            deny(Principal={"AWS": ADMIN}),
        ],
        {OPEN},
    ),
    "deny another role": Row(
        "and for nobody else", [allow(), deny(Principal={"AWS": ADMIN})], {OPEN}
    ),
    "deny a role of an account": Row(
        "IAM lets others in",
        [WHOLE_ACCOUNT, deny(Principal={"AWS": APP})],
        {OPEN, RULES, STRANGE},
    ),
    "deny all but another": Row(
        "a Deny with NotPrincipal is for all others",
        [allow(), deny(Principal=None, NotPrincipal={"AWS": ADMIN})],
        set(),
    ),
    "deny all but this": Row(
        "and spares whom it names",
        [allow(), deny(Principal=None, NotPrincipal={"AWS": [ADMIN, APP]})],
        {OPEN},
    ),
    "deny all but the account": Row(
        "an account may stand for its roles",
        [allow(), deny(Principal=None, NotPrincipal={"AWS": ROOT})],
        {OPEN},
    ),
    "deny all but a session": Row(
        "a session is one of its role's",
        [
            allow(),
            deny(
                Principal=None,
                NotPrincipal={"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one"},
            ),
        ],
        {OPEN},
    ),
    "deny an account all but": Row(
        "whoever IAM lets in may be the one that is spared",
        [WHOLE_ACCOUNT, deny(Principal=None, NotPrincipal={"AWS": ADMIN})],
        {OPEN, RULES, STRANGE},
    ),
    "deny anybody in AWS": Row(
        'a service is not certain to be one of {"AWS": "*"}',
        [
            allow(Principal={"Service": "s3.amazonaws.com"}),
            deny(Principal={"AWS": "*"}),
        ],
        {OPEN},
    ),
    "deny a service's name": Row(
        "a wildcard in the service of an action is not relied on",
        [allow(), deny(action="k*:Decrypt")],
        {OPEN},
    ),
    "deny the rules": Row(
        "who may change the rules can be denied to all",
        [allow(PINNED), allow(action="kms:PutKeyPolicy"), deny(action="kms:Put*")],
        set(),
    ),
}
