"""`pcrlog-monitor evidence verify`: whether a file proves a log wrong, offline.

Whoever gave the file is not believed, nor is the monitor that wrote it. It takes the
log's key alone: from a policy, or as the vkey that the log's users have.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pcrlog.evidence import Proven
    from pcrlog.note import VerifierKey


@click.group("evidence")
def evidence_command() -> None:
    """Verify a file that proves a log wrong."""


@evidence_command.command("verify")
@click.argument(
    "file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--vkey", help="The log's key.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A policy that has the log's key.",
)
@click.option("--log", "origin", help="Which log of the policy; else the file says so.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    file: Path,
    vkey: str | None,
    policy: Path | None,
    origin: str | None,
    *,
    as_json: bool,
) -> int:
    """Say what a file proves against a log, knowing the log's key alone.

    Exit status: 0 it proves the log wrong, 3 it proves nothing, 4 it is forged.
    """
    from pcrlog.errors import UsageError
    from pcrlog.evidence import verify_evidence

    data = _read(file)
    if (vkey is None) == (policy is None):
        message = "name the log's key by one of --vkey and --policy"
        raise UsageError(message)
    if policy is not None:
        key = _key_of(policy, origin, data)
    else:
        key = _key(vkey or "", origin)
    proven = verify_evidence(data, key)
    if as_json:
        _print_json(proven, data)
    else:
        _print_words(proven)
    return 0


def _read(path: Path) -> bytes:
    from pcrlog.errors import UsageError
    from pcrlog.evidence import MOST

    try:
        with path.open("rb") as file:
            return file.read(MOST + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UsageError(message) from error


def _key(vkey: str, origin: str | None) -> "VerifierKey":
    from pcrlog.errors import MalformedError, UsageError
    from pcrlog.note import ED25519, VerifierKey

    try:
        key = VerifierKey.parse(vkey)
    except MalformedError as error:
        raise UsageError(str(error)) from error
    if key.kind != ED25519:
        message = f"{key.name}: expected a log's key, found that of a witness"
        raise UsageError(message)
    if origin not in (None, key.name):
        message = f"--log is {origin}, but the key is that of {key.name}"
        raise UsageError(message)
    return key


def _key_of(path: Path, origin: str | None, data: bytes) -> "VerifierKey":
    """The key of a log of the policy; a file may name the log, never bring a key."""
    from monitor.config import choose_log, read_file
    from pcrlog.evidence import parse, unverified_origin
    from pcrlog.policy import Policy

    known = Policy.parse(read_file(path))
    if origin is None and len(known.logs) > 1:
        origin = unverified_origin(parse(data))
    return choose_log(known, origin).key


def _print_json(proven: "Proven", data: bytes) -> None:
    from pcrlog.encoding import encode_base64, encode_json, sha256

    shown = {
        "checkpoints": [
            {"root": encode_base64(one.root), "size": one.size}
            for one in proven.checkpoints
        ],
        "entries": proven.entries,
        "found": proven.found,
        "kind": proven.kind,
        "log": proven.origin,
        "sha256": sha256(data).hex(),
    }
    click.echo(encode_json(shown))


def _print_words(proven: "Proven") -> None:
    from pcrlog.encoding import encode_base64

    click.secho(f"PROVEN against {proven.origin}: {_WORDS[proven.kind]}", fg="red")
    click.echo(f"  {proven.found}")
    for one in proven.checkpoints:
        root = encode_base64(one.root)
        click.echo(f"  signed checkpoint: {one.size} leaves, root {root}")
    if proven.entries:
        click.echo(f"  entries: {', '.join(map(str, proven.entries))}")
    click.echo("Stop relying on this log, and hand the file on: anybody can verify it.")


_WORDS = {
    "checkpoints": "it signed two histories that cannot both be",
    "frozen": "it went on after it had ended",
    "leaf": "it took in a leaf that no log may take",
    "leaves": "it took in two leaves that may not both be there",
    "authority": "it took in an entry that nobody may make",
    "answer": "its index answers wrongly",
    "index": "it signed an index that its entries do not make",
}
