"""`pcrlog policy signers`: who may sign the policy that comes after this one."""

import click
from msgspec import Struct

from cli import files, signers
from cli.options import json_option, takes
from cli.output import GOOD, Row, fact, following
from cli.policy_edit import with_successor, yours_now
from cli.session import Session
from pcrlog import limits
from pcrlog.policy import Policy


class _Signers(Struct, frozen=True):
    file: str
    keys: tuple[str, ...]
    quorum: int
    url: str | None


class Named(Struct, frozen=True):
    """Who may sign a policy's successor: so many of these keys."""

    file: str
    quorum: int
    keyids: tuple[str, ...]
    version: int
    sha256: str


@click.command("signers")
@click.argument("file")
@click.option(
    "--key",
    "keys",
    metavar="URI",
    multiple=True,
    required=True,
    help="A key: its .pub file, or as elsewhere; more than once for more.",
)
@click.option(
    "--quorum", metavar="N", type=int, required=True, help="How many of them."
)
@click.option("--url", metavar="URL", help="Where successors will be, https://…")
@json_option
@takes(_Signers)
def name_signers(session: Session, options: _Signers) -> None:
    """Name in FILE who may sign the policy that comes after it.

    In the place of those who were named before. Do it before you hand FILE out.
    """
    data = files.read(options.file, limits.POLICY)
    publics = [signers.load_public(uri) for uri in options.keys]
    spkis = [public.spki for public in publics]
    text = with_successor(data, options.quorum, spkis, options.url)
    after = Policy.parse(text)
    if text != data and Policy.parse(data).successor is not None:
        session.output.remark(yours_now(options.file))
    files.change(options.file, data, text)
    keyids = tuple(public.keyid for public in publics)
    shown = Named(options.file, options.quorum, keyids, after.version, after.sha256)
    body = f"{options.file} (version {after.version}) may be followed by one more"
    session.output.result(
        shown,
        [
            Row((("changed: ", GOOD),), body),
            fact("signed by", f"{options.quorum} of {len(keyids)}"),
            *(fact("", keyid) for keyid in keyids),
            following(
                f"pcrlog policy sign NEW --after {options.file} --key KEY -o FILE"
            ),
        ],
    )
