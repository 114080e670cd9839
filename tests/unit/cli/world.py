"""A world for tests of the command line: a folder, keys, a policy, and a log.

The log is `MemoryLog`, asked through the HTTP interface of log_server without a socket:
`transport.Client` is given these answers where it would open one. It is honest unless a
test changes `lies`. Time stands still, at the log's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.main import main
from pcrlog.bundle import Bundle
from pcrlog.encoding import encode_json, sha256
from pcrlog.entry import Entry
from pcrlog.envelope import Envelope
from pcrlog.errors import PcrlogError
from pcrlog.gather import Subject, gather
from pcrlog.index_keys import of_version
from pcrlog.keys import SigningKey
from pcrlog.measurement import Registers, parse_measurement
from pcrlog.predicates import Release
from pcrlog.proof import Proof
from pcrlog.statement import Statement, parse
from pcrlog.tiles import encode_bundle, parse_path
from pcrlog.transport import Client, _Batch
from tests.support.memory_log import MemoryLog, key, registers
from tests.support.scene import (
    EVERY_SCOPE,
    LAB,
    LENS,
    PRODUCT,
    PROVIDER,
    SIMULATOR,
    Members,
    Scene,
    changed,
    pem,
    toml,
)

if TYPE_CHECKING:
    from pcrlog.bundle import Answer

URL = "https://log.example/pcr"
GOOD, OLD, ROGUE = registers("good"), registers("old"), registers("rogue")

Answered = tuple[int, bytes]


def problem(status: int, slug: str, title: str, detail: str) -> Answered:
    """A refusal, as log_server words it."""
    body = {
        "type": f"urn:pcrlog:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "advice": "",
    }
    return status, encode_json(body)


@dataclass(frozen=True)
class Ran:
    """What one command came to."""

    status: int
    out: str
    err: str


@dataclass
class World:
    """See the module's docstring."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    log: MemoryLog = field(default_factory=MemoryLog)
    lies: dict[str, Callable[[], Answered]] = field(default_factory=dict)
    """Path (without its query) to what is answered there instead."""
    asked: list[str] = field(default_factory=list)
    patient: bool = False
    """Answer submissions with 202 and publish when asked what became of them."""
    waiting: dict[str, bytes] = field(default_factory=dict)
    busy: int = 0
    """So many of a batch are not taken."""

    def __post_init__(self) -> None:
        """Enrol everybody, write keys, registers and a policy."""
        for name, role in ((PROVIDER, "provider"), (LAB, "auditor"), (LENS, "auditor")):
            self.log.enroll(name, role)
            self.write_key(f"{name.partition('.')[0]}.key", key(name))
        self.write_key("enrol.key", self.log.enrol)
        for name, measured in (("good", GOOD), ("old", OLD), ("rogue", ROGUE)):
            digests = {n: d.partition(":")[2] for n, d in measured.items()}
            self.write(f"{name}.json", encode_json({"Measurements": digests}))
        self.log.seal()
        self.scene = Scene(self.log)
        self.write_policy()

    # --- the folder ------------------------------------------------------------------

    def write(self, name: str, data: bytes) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def write_key(self, name: str, signer: SigningKey) -> None:
        """A key's file."""
        self.write(name, signer.to_pem()).chmod(0o600)

    def write_policy(
        self,
        *,
        head: Members | None = None,
        log: Members | None = None,
        platform: Members | None = None,
        product: Members | None = None,
        products: Members | None = None,
    ) -> None:
        """A policy with these members over the defaults, as `policy.toml`."""
        rules = {"platforms": ["aws-nitro"], "auditors": EVERY_SCOPE, **(product or {})}
        waived = {"witnesses": "none", "index_monitors": "none"}
        this = {
            "vkey": str(self.log.signer.public),
            "url": URL,
            "registrar": self.log.root.public.keyid,
            **(waived if log is None else log),
        }
        whole: dict[str, object] = {
            "format": "pcrlog-policy/v1",
            "version": 1,
            "valid_until": "2036-01-01T00:00:00Z",
            **(head or {}),
            "log": [this],
            "platforms": {
                "aws-nitro": {"roots": [pem(SIMULATOR.root_der)], **(platform or {})}
            },
            "products": {PRODUCT: rules, **(products or {})},
        }
        rows = (f"{name} = {toml(value)}\n" for name, value in whole.items())
        self.write("policy.toml", "".join(rows).encode())

    # --- commands --------------------------------------------------------------------

    def run(self, *words: str) -> Ran:
        """`pcrlog` with these words, split at spaces, in the folder."""
        self.capture.readouterr()
        args = [part for word in words for part in word.split()]
        status = main(args, clock=lambda: float(self.log.now))
        captured = self.capture.readouterr()
        return Ran(status, captured.out, captured.err)

    def last(self) -> Statement:
        """The newest statement in the log."""
        index = max(self.log.entries)
        return self.log.entries[index].statement

    # --- the log's HTTP interface ----------------------------------------------------

    def answer(self, method: str, path: str, body: bytes | None) -> Answered:
        """What the log answers."""
        parts = urlsplit(path)
        self.asked.append(f"{method} {parts.path}")
        if parts.path in self.lies:
            return self.lies[parts.path]()
        query = parse_qs(parts.query)
        if isinstance(body, _Batch):
            return 200, b"".join(self._line(one, query) for one in body.splitlines())
        if method == "POST":
            return self._submit(body or b"", query)
        word, *rest = parts.path.removeprefix("api/v1/").split("/")
        routes: dict[str, Callable[[], Answered]] = {
            "checkpoint": lambda: (200, self.log.note),
            "tile": lambda: self._tile(parts.path),
            "bundle": lambda: (200, self._bundle(query)),
            "lookup": lambda: (200, self._lookup(query)),
            "submissions": lambda: self._submission(rest[0]),
            "entries": lambda: self._entry(int(rest[0]), proof=len(rest) > 1),
        }
        return routes[word]()

    def _lookup(self, query: dict[str, list[str]]) -> bytes:
        [(kind, [value])] = query.items()
        name = f"v1/{kind}/{value}"
        return self.log.assemble({name: self.log.answer(name)}).encode()

    def _submit(self, envelope: bytes, query: dict[str, list[str]]) -> Answered:
        statement = parse(Envelope.parse(envelope).payload)
        if refusal := self._refuse(statement, query):
            return refusal
        if self.patient:
            digest = sha256(envelope).hex()
            self.waiting[digest] = envelope
            promise = {"sha256": statement.sha256, "envelope_sha256": digest}
            return 202, encode_json({**promise, "status_url": f"submissions/{digest}"})
        known = self.log.by_sha.get(statement.sha256)
        try:
            index = known.index if known else self._append(envelope)
        except PcrlogError as error:
            return problem(403, "not-authorised", "May not say this", str(error))
        receipt = {
            "index": index,
            "sha256": statement.sha256,
            "size": len(self.log.leaves),
            "proof": self._proof(index).decode(),
        }
        return 200 if known else 201, encode_json(receipt)

    def _line(self, envelope: bytes, query: dict[str, list[str]]) -> bytes:
        if self.busy:
            self.busy -= 1
            return problem(429, "busy", "Too many wait", "10000")[1] + b"\n"
        return self._submit(envelope, query)[1] + b"\n"

    def _append(self, envelope: bytes) -> int:
        index = self.log.append(envelope)
        self.log.seal()
        return index

    def _refuse(
        self, statement: Statement, query: dict[str, list[str]]
    ) -> Answered | None:
        said = statement.predicate
        if not isinstance(said, Release) or "conflict" in query:
            return None
        for index in self.log.index.get(of_version(said.product, said.version), ()):
            theirs = self.log.entries[index].statement.registers
            if theirs != statement.registers:
                title = "Another release of this version names other registers"
                return problem(409, "conflict", title, f"entry {index}")
        return None

    def _submission(self, digest: str) -> Answered:
        if digest not in self.waiting:
            return problem(404, "no-such-submission", "No such submission", digest)
        statement = parse(Envelope.parse(self.waiting[digest]).payload)
        known = self.log.by_sha.get(statement.sha256)
        index = known.index if known else self._append(self.waiting[digest])
        return 200, encode_json({"state": "published", "index": index})

    def _entry(self, index: int, *, proof: bool) -> Answered:
        if index >= len(self.log.leaves):
            return problem(404, "no-such-entry", "No such entry", f"no entry {index}")
        return 200, self._proof(index) if proof else self.log.leaves[index]

    def _proof(self, index: int) -> bytes:
        path = self.log.assemble({}).seal_proof
        if index != len(self.log.leaves) - 1:
            path = self.log.included(index).proof
        return Proof(index, path, self.log.note).encode()

    def _tile(self, path: str) -> Answered:
        tile = parse_path(path)
        start = tile.index * 256
        if tile.level is None:
            leaves = self.log.leaves[start : start + tile.width]
            return 200, encode_bundle(leaves)
        places = range(start, start + tile.width)
        return 200, b"".join(self.log.node(8 * tile.level, place) for place in places)

    def _bundle(self, query: dict[str, list[str]]) -> bytes:
        measured = [parse_measurement(text) for text in query["measurement"]]
        asked: dict[str, Answer] = {}

        def ask(name: str) -> list[Entry]:
            asked[name] = self.log.answer(name)
            return [self.log.entries[i] for i in asked[name].indices]

        auditors = tuple(query.get("auditor", ()))
        names = tuple(measurement for _, measurement in measured)
        subject = Subject(query["product"][0], measured[0][0], names, auditors)
        gather(subject, ask, ask, lambda _product, above: above)
        return self.log.assemble(asked).encode()


def connect(world: World, patch: pytest.MonkeyPatch) -> None:
    """Answer from this world wherever `Client` would open a connection."""

    def once(
        self: Client,
        method: str,
        path: str,
        body: bytes | None,
        most: int,
        longer: float,
    ) -> tuple[int, bytes, float]:
        assert self.url == URL, f"asked {self.url}, and the log is at {URL}"
        status, data = world.answer(method, path, body)
        assert len(data) <= most
        return status, data, 0.0

    patch.setattr(Client, "_once", once)
    patch.setattr("pcrlog.transport._PAUSES", (0.0, 0.0))


def withhold(
    world: World, patch: pytest.MonkeyPatch, index: int, *, path: str = "lookup"
) -> None:
    """Leave an entry out of answers, as a log that would rather hide it."""
    answer = world.answer

    def hide(method: str, asked: str, body: bytes | None) -> Answered:
        status, data = answer(method, asked, body)
        if asked.startswith(f"api/v1/{path}"):
            bundle = Bundle.parse(data)
            left = {i: one for i, one in bundle.entries.items() if i != index}
            data = changed(bundle, entries=left).encode()
        return status, data

    patch.setattr(world, "answer", hide)


def release_words(version: str = "1.4.2", build: str = "good") -> str:
    """The shortest release."""
    return (
        f"release --policy policy.toml --key acme.key --product {PRODUCT}"
        f" --version {version} --measurements {build}.json"
    )


def hexes(measured: Registers) -> dict[str, str]:
    """Registers as builds print them."""
    return {name: digest.partition(":")[2] for name, digest in measured.items()}
