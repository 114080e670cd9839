"""Programs that hold a key, for tests of `exec:`."""

import shlex
import sys
from pathlib import Path

from cli.signers import public_pem
from pcrlog.keys import SigningKey

_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from pcrlog.keys import SigningKey
key = SigningKey.from_pem(open({key!r}, "rb").read())
given = sys.stdin.buffer.read()
sys.stdout.buffer.write(key.sign(given))
"""


def holder(folder: Path, key: SigningKey, name: str = "held") -> str:
    """The URI of a program that signs with this key."""
    secret = folder / f"{name}.secret"
    secret.write_bytes(key.to_pem())
    root = str(Path(__file__).parents[3])
    return said(folder, key, _PROGRAM.format(root=root, key=str(secret)), name)


def said(folder: Path, key: SigningKey, program: str, name: str = "held") -> str:
    """The URI of a program that is believed to hold this key."""
    script, public = folder / f"{name}.py", folder / f"{name}.pub"
    script.write_text(program)
    public.write_bytes(public_pem(key.public))
    command = shlex.join([sys.executable, str(script)])
    return f"exec:{public}:{command}"
