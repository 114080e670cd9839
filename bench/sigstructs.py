"""SGX enclaves of a public log as load: `python -m bench.sigstructs [PATH]`.

Fortanix publishes the enclaves that it signs, thousands of them, in a log of its own
(`log/seq` in a clone of fortanix/enclave-transparency-dev-log2). A leaf is JSON:

    description           "SDKMS Version: 4.30.2872: plugin-enclave"
    revision              "4.30.2872"
    sgx_enclave_identity  a SIGSTRUCT, 1808 bytes in base64 (pcrlog/sigstruct.py)
    sources               [{"repository": "source", "source_git_sha1": 40 hex digits}]

PATH is a folder of such files, with folders in it, or a file with one a line. Each
SIGSTRUCT is verified; each leaf becomes the release of a product, named after what
stands behind the last colon, with registers and numbers of the SIGSTRUCT, and goes
through the sequencer of a new log with one writer. What stands there twice is released
once, and a version of which there are several enclaves is released so, as a conflict
that is meant.

Enclaves that are signed to be debugged are load like others here: the log is told of
registers. `pcrlog release` refuses them.

Without PATH, `--made` leaves of this very form are made first: of one signer with a
fresh key, three products, one in eight signed to be debugged.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from hashlib import sha1, sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from log_server.config import Config
from log_server.creation import create_log
from log_server.databases import intake_database, log_database
from log_server.direct import open_sequencer
from log_server.enrolment import prepare, submit
from log_server.intake import IntakeWriter, Submission
from log_server.store import Store
from pcrlog.encoding import format_time
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.measurement import PLATFORMS
from pcrlog.predicates import Release, Source
from pcrlog.request import Request
from pcrlog.request import encode as encode_request
from pcrlog.sigstruct import DEBUG, Sigstruct, verify
from pcrlog.statement import encode
from tests.support.sigstructs import MODE64, signer

ORIGIN, PROVIDER = "log.example/pcr", "enclaves.example"
_PLATFORM = PLATFORMS["intel-sgx"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ENCLAVES = ("backend", "plugin-enclave", "cluster-node")
_DEBUGGED = 8
"""Of those that are made, one in so many."""


class Origin(Struct, frozen=True):
    """Where a leaf says that its source is."""

    repository: str
    source_git_sha1: str


class Leaf(Struct, frozen=True):
    """A leaf of the log, as it is published there."""

    description: str
    revision: str
    sgx_enclave_identity: bytes
    sources: tuple[Origin, ...] = ()


class Claim(NamedTuple):
    """A leaf, and what its SIGSTRUCT says, verified."""

    leaf: Leaf
    signed: Sigstruct


class Found(NamedTuple):
    """What was read, and how fast it went: a second, and bytes an entry."""

    leaves: int
    enclaves: int
    signers: int
    debugged: int
    verified: float
    entries: int
    sequenced: float
    database: float


def read(path: Path) -> Iterator[Leaf]:
    """The leaves in a folder, in the order of their names, or in a file.

    Raises:
        ValueError: something there is not a leaf.
    """
    if path.is_dir():
        for file in sorted(one for one in path.rglob("*") if one.is_file()):
            yield _leaf(file.read_bytes(), str(file))
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            yield _leaf(line, f"{path}:{number}")


def _leaf(data: bytes, where: str) -> Leaf:
    try:
        return msgspec.json.decode(data, type=Leaf)
    except msgspec.MsgspecError as error:
        message = f"{where}: {error}"
        raise ValueError(message) from error


def make(number: int) -> Iterator[Leaf]:
    """Leaves of the same form, really signed."""
    for n in range(number):
        enclave, revision = _ENCLAVES[n % len(_ENCLAVES)], f"4.30.{n // len(_ENCLAVES)}"
        flags = MODE64 if n % _DEBUGGED else MODE64 | DEBUG
        signed = signer().sign(sha256(f"{n}".encode()).digest(), flags=flags)
        commit = sha1(revision.encode(), usedforsecurity=False).hexdigest()
        origins = (Origin("source", commit), Origin("config", commit[::-1]))
        yield Leaf(f"Version: {revision}: {enclave}", revision, signed, origins)


def verified(leaves: Iterable[Leaf]) -> tuple[list[Claim], float]:
    """Each leaf with its verified SIGSTRUCT, and the seconds that this took.

    Raises:
        MalformedError, VerificationError: one of them is not a SIGSTRUCT that holds.
    """
    kept = list(leaves)
    began = time.perf_counter()
    claims = [Claim(one, verify(one.sgx_enclave_identity)) for one in kept]
    return claims, time.perf_counter() - began


def statements(claims: Iterable[Claim], key: SigningKey) -> Iterator[bytes]:
    """Envelopes: the release that each claim is."""
    issued = format_time(int(time.time()))
    for leaf, signed in claims:
        release = Release(
            log=ORIGIN,
            issuer=PROVIDER,
            issued=issued,
            platform=_PLATFORM.name,
            identity=_PLATFORM.identity,
            product=f"{PROVIDER}/{_word(leaf.description.rpartition(':')[2], 63)}",
            version=_word(leaf.revision, 64),
            source=_source(leaf),
            numbers={"ISVPRODID": signed.isvprodid, "ISVSVN": signed.isvsvn},
        )
        registers = {
            "MRENCLAVE": f"sha256:{signed.mrenclave}",
            "MRSIGNER": f"sha256:{signed.mrsigner}",
        }
        yield sign_envelope(encode(release, registers), [key])


def _word(text: str, most: int) -> str:
    """A text as products and versions are spelt."""
    return re.sub(r"[^0-9a-z._-]+", "-", text.lower()).strip("-._")[:most] or "unnamed"


def _source(leaf: Leaf) -> Source | None:
    """The first of the sources; the log says "source", and not where that is."""
    for one in leaf.sources:
        if _COMMIT.fullmatch(one.source_git_sha1):
            where = f"https://git.example/{_word(one.repository, 64)}"
            return Source(where, one.source_git_sha1)
    return None


def measure(leaves: Iterable[Leaf]) -> Found:
    """Verify them, and sequence them in a new log in a temporary folder."""
    claims, seconds = verified(leaves)
    key = SigningKey.generate()
    rows = [*dict.fromkeys(statements(claims, key))]
    with tempfile.TemporaryDirectory(prefix="pcrlog-bench-") as name:
        config = _create(Path(name) / "log", key)
        before = _bytes(config)
        took = _sequence(config, rows)
        database = _bytes(config) - before
        _require_all(config)
    return Found(
        len(claims),
        len({one.signed.mrenclave for one in claims}),
        len({one.signed.mrsigner for one in claims}),
        sum(one.signed.debug for one in claims),
        len(claims) / seconds,
        len(rows),
        len(rows) / took,
        database / len(rows),
    )


def _now() -> int:
    return int(time.time())


def _create(folder: Path, key: SigningKey) -> Config:
    create_log(folder, ORIGIN, root_key=None, clock=_now)
    config = Config.load(folder)
    request = Request.parse(encode_request(ORIGIN, PROVIDER, [key]))
    enrolment = prepare(config, PROVIDER, ["provider"], request, _now)
    submit(config, enrolment.envelope, _now)
    return config


def _sequence(config: Config, rows: list[bytes]) -> float:
    """Seconds from the first round to the last published checkpoint."""
    with open_sequencer(config, _now) as sequencer:
        writer = IntakeWriter(intake_database(config), lambda: 0, lambda: None)
        for row in rows:
            digest = sha256(row).digest()
            writer.put(Submission(row, digest, conflict_accepted=True, received=_now()))
        writer.close()
        began = time.perf_counter()
        while sequencer.round():
            pass
        return time.perf_counter() - began


def _require_all(config: Config) -> None:
    """Refuse to tell of a load that the log has not taken."""
    store = Store(log_database(config))
    try:
        with store.committed() as snapshot:
            refused = next(snapshot.refused(), None)
    finally:
        store.close()
    if refused is not None:
        message = f"the log refused a release: {refused}"
        raise RuntimeError(message)


def _bytes(config: Config) -> int:
    """Bytes of log.db with its WAL."""
    wal = config.log_db.with_name(f"{config.log_db.name}-wal")
    return sum(path.stat().st_size for path in (config.log_db, wal) if path.exists())


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.sigstructs")
    parser.add_argument("path", nargs="?", type=Path, help="a folder, or a file")
    parser.add_argument("--made", type=int, default=2000, help="leaves without PATH")
    options = parser.parse_args()
    leaves = make(options.made) if options.path is None else read(options.path)
    found = measure(leaves)
    print(
        f"{found.leaves:,} leaves: {found.enclaves:,} enclaves of {found.signers:,}"
        f" signers, {found.debugged:,} leaves of debug builds\n"
        f"verified {found.verified:,.0f} SIGSTRUCTs a second\n"
        f"sequenced {found.entries:,} releases, {found.sequenced:,.0f} a second,"
        f" {found.database:,.0f} bytes of log.db each"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
