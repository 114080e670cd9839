"""`pcrlog keys`: make keys, and show what a key is called."""

from pathlib import Path

import click
from msgspec import Struct

from cli import files, signers
from cli.options import json_option, takes
from cli.output import GOOD, Row, fact, following
from cli.session import Session
from pcrlog.errors import UsageError
from pcrlog.keys import ECDSA_P256, ED25519, SigningKey

_SECRET = 0o600


class _New(Struct, frozen=True):
    file: str
    algorithm: str


class _Show(Struct, frozen=True):
    file: str


class KeyShown(Struct, frozen=True):
    """A key: its `keyid`, `algorithm`, and the files it stands in."""

    keyid: str
    algorithm: str
    private: str | None
    public: str | None


@click.group("keys")
def keys_command() -> None:
    """Make and show keys."""


@keys_command.command("new")
@click.argument("file")
@click.option(
    "--algorithm",
    type=click.Choice([ED25519, ECDSA_P256]),
    default=ED25519,
    show_default=True,
    help="What the key signs with.",
)
@json_option
@takes(_New)
def new(session: Session, options: _New) -> None:
    """Make a key: FILE (secret, mode 0600) and its public half, FILE's name with .pub.

    Nothing is overwritten. Keep the secret half where few can use it, out of CI.
    """
    file = options.file
    path = Path(file)
    public_path = (
        path.with_suffix(".pub") if path.suffix == ".key" else Path(f"{file}.pub")
    )
    if public_path.exists():
        message = f"{public_path} exists; it is left as it is. Name another key"
        raise UsageError(message)
    key = SigningKey.generate(options.algorithm)
    files.write_new(file, key.to_pem(), mode=_SECRET)
    files.write_new(str(public_path), signers.public_pem(key.public))
    shown = KeyShown(key.public.keyid, key.public.algorithm, file, str(public_path))
    session.output.result(
        shown,
        [
            Row((("made: ", GOOD),), f"{file} (secret) and {public_path}"),
            fact("keyid", key.public.keyid),
            fact("algorithm", key.public.algorithm),
            following(
                f"pcrlog identity request --name NAME --key {file} -o NAME.request"
                " --policy policy.toml"
            ),
        ],
    )


@keys_command.command("show")
@click.argument("file")
@json_option
@takes(_Show)
def show(session: Session, options: _Show) -> None:
    """Show the keyid of a key: a .pub file, or what --key takes."""
    public = signers.load_public(options.file)
    shown = KeyShown(public.keyid, public.algorithm, None, options.file)
    session.output.result(
        shown, [fact("keyid", public.keyid), fact("algorithm", public.algorithm)]
    )
