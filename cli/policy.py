"""`pcrlog policy`: change, explain and check a policy file.

`add` changes the text of one product's table and nothing else, `import` that of one
log's witnesses, so that comments stay where they are. What would be written is parsed
before it is written.
"""

import click
from msgspec import Struct

from cli import files
from cli.options import json_option, takes
from cli.output import BAD, DIM, GOOD, STRONG, WARN, Row, fact, following, say
from cli.policy_edit import Demands, with_demands, with_witnesses, yours_now
from cli.policy_signers import name_signers
from cli.policy_text import Finding, explain, lint
from cli.policy_update import sign_policy, update_policy
from cli.policy_write import write_policy
from cli.session import Session
from pcrlog import limits
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.policy import Log, Policy, Quorum

_STYLES = {"problem": BAD, "weakness": WARN}


class _Add(Demands, frozen=True, kw_only=True):
    file: str
    product: str


class _Import(Struct, frozen=True):
    file: str
    theirs: str
    log: str | None


class _File(Struct, frozen=True):
    file: str


class _Lint(Struct, frozen=True):
    file: str
    strict: bool


class Explained(Struct, frozen=True):
    """What a policy demands, in sentences under headings."""

    file: str
    sha256: str
    said: dict[str, list[str]]


class Linted(Struct, frozen=True):
    """What can never be met in a policy, and what is weak."""

    file: str
    findings: tuple[Finding, ...]


class Changed(Struct, frozen=True):
    """A policy after a change."""

    file: str
    product: str
    version: int
    sha256: str


class Imported(Struct, frozen=True):
    """A log's witnesses in a policy, as they are now; a quorum of 0 is waived."""

    file: str
    log: str
    quorum: int
    witnesses: tuple[str, ...]
    version: int
    sha256: str


@click.group("policy")
def policy_command() -> None:
    """Change, explain and check a policy file."""


for _command in (write_policy, name_signers, sign_policy, update_policy):
    policy_command.add_command(_command)


@policy_command.command("add")
@click.argument("file")
@click.argument("product")
@click.option(
    "--auditor",
    "auditors",
    metavar="NAME:SCOPE,…",
    multiple=True,
    help="An auditor that counts, and for what.",
)
@click.option(
    "--count",
    "counts",
    metavar="SCOPE=N",
    multiple=True,
    help="How many distinct auditors must pass.",
)
@click.option("--links", metavar="1,2,3", help="Links that must be proven.")
@click.option("--lowest-version", metavar="V", help="Refuse what is older.")
@click.option(
    "--pin",
    "pins",
    metavar="NAME=KEYID",
    multiple=True,
    help="Trust this key of a name, and what it adds.",
)
@click.option(
    "--channel",
    type=click.Choice(["required", "optional"]),
    help="Whether the enclave must be who we are connected to.",
)
@click.option(
    "--ground",
    type=click.Choice(["any", "separate"]),
    help="Whether others than the hardware's maker must run the machines.",
)
@click.option(
    "--open",
    "open_findings",
    metavar="SEVERITY=N,…",
    help="Most open findings of a qualified review.",
)
@click.option(
    "--components",
    type=click.Choice(["refuse", "report"]),
    help="What a component that failed does.",
)
@click.option(
    "--platform",
    "platforms",
    metavar="NAME",
    multiple=True,
    help="Platforms it runs on; those of the policy that attest if left out.",
)
@json_option
@takes(_Add)
def add(session: Session, options: _Add) -> None:
    """Add PRODUCT to the policy in FILE, or change what is demanded of it.

    What is given replaces that one demand; auditors and pins are added by name.
    """
    file, product = options.file, options.product
    data = files.read(file, limits.POLICY)
    text = with_demands(data, product, options)
    after = Policy.parse(text)
    _write(session, file, (data, text), after)
    shown = Changed(file, product, after.version, after.sha256)
    rules = after.product(product)
    auditors = ", ".join(
        f"{one.name} ({', '.join(one.scopes)})" for one in rules.auditors
    )
    session.output.result(
        shown,
        [
            Row(
                (("changed: ", GOOD),),
                f"{file} (version {after.version}) demands of {product}",
            ),
            fact("links", f"{', '.join(map(str, rules.links))} proven"),
            fact("auditors", auditors or "none: nobody but the provider is heard"),
            fact("channel", rules.channel),
            *([fact("ground", rules.ground)] if rules.ground != "any" else []),
            following(f"pcrlog verify --policy {file} --product {product} --url URL"),
        ],
    )


@policy_command.command("import")
@click.argument("file")
@click.argument("theirs", metavar="TLOG-POLICY")
@click.option("--log", metavar="URL", help="Of which log in FILE, if of several.")
@json_option
@takes(_Import)
def import_policy(session: Session, options: _Import) -> None:
    """Take the witnesses and the quorum of TLOG-POLICY (C2SP) into the policy in FILE.

    They take the place of the log's witnesses there; index monitors stay as they are.
    Its logs are not taken over: a log needs its registrar, too.
    """
    from pcrlog.tlog_policy import TlogPolicy

    data = files.read(options.file, limits.POLICY)
    try:
        theirs = TlogPolicy.parse(files.read(options.theirs, limits.POLICY))
    except MalformedError as error:
        message = f"{options.theirs}: {error}"
        raise UsageError(message) from error
    log = _meant(Policy.parse(data), options.log, [key.public for key in theirs.logs])
    quorum = Quorum(theirs.least, theirs.keys) if theirs.least else None
    text = with_witnesses(data, str(log.key), quorum)
    after = Policy.parse(text)
    _write(session, options.file, (data, text), after)
    names = tuple(key.name for key in theirs.keys)
    shown = Imported(
        *(options.file, log.key.name, theirs.least, names),
        *(after.version, after.sha256),
    )
    rule = f"{theirs.least} of {', '.join(names)}" if names else "waived: quorum none"
    session.output.result(
        shown,
        [
            Row(
                (("changed: ", GOOD),),
                f"{options.file} (version {after.version}) demands of {log.key.name}",
            ),
            fact("witnesses", rule),
            following(f"pcrlog policy lint {options.file}"),
        ],
    )


def _meant(policy: Policy, url: str | None, keys: list[bytes]) -> Log:
    """The policy's log that a tlog-policy with these log keys speaks of."""
    from cli.logs import choose

    found = [choose(policy, url)] if url else list(policy.logs.values())
    if keys:
        found = [log for log in found if log.key.public in keys]
    if not found:
        message = (
            "none of its logs is in the policy; a log needs its registrar as well:"
            " take [[log]] from `pcrlog-server policy`, then import again"
        )
        raise UsageError(message)
    if len(found) > 1:
        known = ", ".join(log.url for log in found)
        message = f"which log? --log URL: {known}"
        raise UsageError(message)
    return found[0]


def _write(
    session: Session, file: str, texts: tuple[bytes, bytes], after: Policy
) -> None:
    """Put a changed policy in the place of the old one, which was read before."""
    if after.successor is not None:
        session.output.remark(yours_now(file))
    files.change(file, *texts)


@policy_command.command("explain")
@click.argument("file")
@json_option
@takes(_File)
def explain_policy(session: Session, options: _File) -> None:
    """Say in words what the policy in FILE demands."""
    policy = Policy.parse(files.read(options.file, limits.POLICY))
    said = dict(explain(policy))
    rows = []
    for heading, sentences in said.items():
        rows.append(say(heading, STRONG))
        rows += [Row((("  - ", DIM),), sentence) for sentence in sentences]
    session.output.result(Explained(options.file, policy.sha256, said), rows)


@policy_command.command("lint")
@click.argument("file")
@click.option("--strict", is_flag=True, help="Exit 4 for weaknesses too.")
@json_option
@takes(_Lint)
def lint_policy(session: Session, options: _Lint) -> int:
    """Name what can never be met in the policy in FILE, and what is weak.

    Exit status: 4 if something can never be met, else 0.
    """
    policy = Policy.parse(files.read(options.file, limits.POLICY))
    findings = tuple(lint(policy, session.now))
    rows = [
        Row(
            ((f"{one.kind}: ", _STYLES[one.kind]), (f"{one.where}: ", STRONG)),
            one.text,
            hang=2,
        )
        for one in findings
    ]
    nothing = [Row((("ok: ", GOOD),), f"nothing to say against {options.file}")]
    session.output.result(Linted(options.file, findings), rows or nothing)
    grave = [one for one in findings if options.strict or one.kind == "problem"]
    return VerificationError.exit_code if grave else 0
