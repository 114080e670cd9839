"""`pcrlog-monitor init`: writes a monitor.toml that pins the log as it is now.

With --cosign it makes the key and the memory of an index monitor too, together and
once (cosigning.py): the key beside the file, the memory in the state.
"""

from pathlib import Path

import click

_KEY = "monitor.skey"


@click.command("init")
@click.argument(
    "config", metavar="MONITOR.TOML", type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--policy",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The policy whose log, quorums and auditors these are.",
)
@click.option("--log", "origin", help="Which log of the policy; needed with several.")
@click.option("--product", "products", multiple=True, help="A product to watch.")
@click.option("--identity", "identities", multiple=True, help="A name to watch.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Serve pages and metrics there.")
@click.option(
    "--state", default="state", show_default=True, help="Folder for what is verified."
)
@click.option(
    "--cosign",
    "cosigner",
    metavar="NAME",
    help="Be an index monitor under this name, such as m1.example/m; needs --listen.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init_command(  # noqa: PLR0913 - each is an option
    config: Path,
    policy: Path,
    origin: str | None,
    products: tuple[str, ...],
    identities: tuple[str, ...],
    *,
    listen: str | None,
    state: str,
    cosigner: str | None,
    as_json: bool,
) -> None:
    """Write a monitor.toml for a log of a policy."""
    from monitor.clock import clock
    from monitor.config import Config, choose_log, read_file
    from pcrlog.checkpoint import open_checkpoint
    from pcrlog.encoding import encode_base64, encode_json
    from pcrlog.errors import UsageError
    from pcrlog.limits import NOTE
    from pcrlog.note import UnverifiedNote
    from pcrlog.policy import Policy
    from pcrlog.transport import Client

    log = choose_log(Policy.parse(read_file(policy)), origin)
    note = UnverifiedNote.parse(Client(log.url)("checkpoint", NOTE))
    checkpoint = open_checkpoint(note, log.key)
    folder = config.resolve().parent
    names = identities or tuple(dict.fromkeys(one.split("/")[0] for one in products))
    text = _TEXT.format(
        policy=_path(policy, folder),
        log=log.key.name,
        state=state,
        first=f"{checkpoint.size} {encode_base64(checkpoint.root)}",
        listen=f'listen = "{listen}"' if listen else '# listen = "127.0.0.1:8090"',
        products=_list(products),
        identities=_list(names),
        cosign="" if cosigner is None else f'\n[cosign]\nkey = "{_KEY}"\n',
    )
    Config.parse(text.encode())
    try:
        with config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        message = f"{config} exists; remove it, or name another file"
        raise UsageError(message) from error
    vkey = None
    if cosigner is not None:
        from monitor.cosigning import create

        vkey = str(create(Config.load(config), cosigner, clock()))
    made = {"config": str(config), "log": log.key.name, "size": checkpoint.size}
    if as_json:
        click.echo(encode_json({**made, "vkey": vkey}))
        return
    click.echo(f"Wrote {config}: {log.key.name} is pinned at {checkpoint.size} leaves.")
    if vkey is not None:
        click.echo(f"Made {_KEY}, and its memory. Its public half, for the log's")
        click.echo("log.toml and for policies (index_monitors):")
        click.echo(f"  {vkey}")
    click.echo(f"Next: pcrlog-monitor run --config {config} --once")


def _path(path: Path, folder: Path) -> str:
    """`path` as seen from the folder of the configuration, if it is below it."""
    whole = path.resolve()
    return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)


def _list(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


_TEXT = """\
# A monitor of {log}. docs/monitoring.md explains every member.
format = "pcrlog-monitor/v1"
policy = "{policy}"
log = "{log}"
state = "{state}"
poll = "5s"
{listen}

# The log as it was when this file was written: whatever it shows has to contain that,
# even if somebody deletes the state.
first = "{first}"

[watch]
products = {products}
identities = {identities}
# What your builds came out as; without it no release of theirs is unexpected:
# expected = ["measurements/"]
# SHA-256 of the statements in your names that you know; without it none is unexpected:
# statements = []
# unaudited_after = "24h"
# expiring_within = "7d"

[[sink]]
kind = "stdout"
{cosign}"""
