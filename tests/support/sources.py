"""Git repositories of sources that build to an image, always with the same commits.

A commit names what it holds, its author and its time; all of these are fixed here, so
that a test can name it, and what a command prints of it never changes.
"""

import subprocess
from pathlib import Path

from pcrlog.encoding import sha256
from tests.support import images

RECIPE = b"cp parts.bin app.eif\n"
"""A recipe: `sh recipe.sh`, in the commit's folder."""
TIME = 1_795_417_200
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@acme.example",
    "GIT_AUTHOR_DATE": f"{TIME} +0000",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@acme.example",
    "GIT_COMMITTER_DATE": f"{TIME} +0000",
}


def git(folder: Path, *words: str) -> str:
    """What git says there."""
    found = subprocess.run(
        ["git", "-C", str(folder), *words],
        env=_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip()


def commit(folder: Path, files: dict[str, bytes]) -> str:
    """Commit these files, in a new repository or an old one; the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main", ".")
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if data.startswith(b"#!"):
            path.chmod(0o755)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "built")
    return git(folder, "rev-parse", "HEAD")


def image(mtime: int = 100, cmdline: bytes = b"reboot=k panic=30") -> bytes:
    """A small image; `mtime` is of the file in its second ramdisk."""
    init = images.ramdisk([images.file("init", b"init")])
    app = images.ramdisk([images.file("app/wallet", b"x", mtime=mtime)])
    return images.image(init, app, cmdline=cmdline)


def registers_of(data: bytes) -> dict[str, str]:
    """What an image measures to, by the formulas (tests.support.images)."""
    mtime = 100 if data == image(100) else 200
    init = images.ramdisk([images.file("init", b"init")])
    app = images.ramdisk([images.file("app/wallet", b"x", mtime=mtime)])
    return images.registers(images.layout(init, app, cmdline=b"reboot=k panic=30"))


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return sha256(data).hex()
