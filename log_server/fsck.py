"""Checks a whole log from its leaves alone: what a monitor would find, before it does.

One forward pass over the leaves makes everything anew and compares:

1. indices without a gap; every leaf legal, and said by somebody who may say it there
2. each statement once
3. seals: place, count, time that never goes back, the index root over all leaves
   before; `frozen` in the last leaf alone; the last leaf is a seal
4. a checkpoint for each seal and for nothing else: size, root, signature
5. log.db: tiles, index, index trie, counts and decisions as the leaves make them
6. public/, or the bucket: the checkpoint, every tile and every entry bundle, byte for
   byte; nothing if what is read is answered from log.db

What is shown is read before the database, so that a log may be checked while it is
served. Plain search is not checked: nobody trusts it.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby

from log_server.admission import kind_of, measured_keys, speaks_for
from log_server.comparison import Comparison
from log_server.config import Config
from log_server.cutting import published_note
from log_server.databases import log_database
from log_server.disk import fault_of
from log_server.index_pages import LONG, ROOT, plant
from log_server.shelves import open_shelf
from log_server.store import Snapshot, Store
from pcrlog import merkle, trie
from pcrlog.authority import Authority
from pcrlog.checkpoint import Checkpoint, open_checkpoint
from pcrlog.entry import Entry, parse_leaf
from pcrlog.errors import PcrlogError
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.seal import Seal
from pcrlog.statement import require_known
from pcrlog.subtries import leaf_hash
from pcrlog.tiles import FULL, HEIGHT


@dataclass
class Findings:
    """What is wrong, in words; how many leaves were checked, how many files.

    No files are counted if nothing is published apart from log.db.
    """

    wrong: list[str] = field(default_factory=list)
    leaves: int = 0
    files: int | None = None

    def require(self, condition: object, message: str) -> None:
        """Note `message` unless `condition` holds."""
        if not condition:
            self.wrong.append(message)


def check(
    config: Config,
    progress: Callable[[int], None] = lambda _done: None,
    compared: Callable[[int], None] = lambda _done: None,
) -> Findings:
    """Check a log.

    Args:
        config: which one.
        progress: is told how many leaves are done.
        compared: and how many files, after that.
    """
    vkey = config.vkey()
    with ExitStack() as stack:
        store = Store(log_database(config))
        stack.callback(store.close)
        shelf = open_shelf(config, functools.partial(note_of, store))
        stack.callback(shelf.close)
        shown = shelf.shown() or b""
        with store.committed() as snapshot:
            findings = check_database(snapshot, vkey, progress)
            if shelf.is_apart:
                comparison = Comparison(snapshot, shelf, compared)
                findings.wrong += comparison.wrong(vkey, shown)
                findings.files = comparison.done
    return findings


def check_database(
    snapshot: Snapshot, vkey: VerifierKey, progress: Callable[[int], None]
) -> Findings:
    """Check log.db, and no files.

    What cannot even be read is one more thing that is wrong.
    """
    audit = _Audit(snapshot, vkey)
    try:
        audit.walk(progress)
        audit.check_tables()
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        audit.findings.require(condition=False, message=f"log.db: {fault}")
    return audit.findings


def note_of(store: Store) -> bytes | None:
    """The note in the row `published`."""
    with store.committed() as snapshot:
        return published_note(snapshot)


class _Audit:
    """The forward pass, and what it has made from the leaves so far."""

    def __init__(self, snapshot: Snapshot, vkey: VerifierKey) -> None:
        self.findings = Findings()
        self._snapshot = snapshot
        self._vkey = vkey
        self._authority = Authority(vkey.name)
        self._tree = merkle.Range()
        self._tiles: dict[tuple[int, int], bytearray] = {}
        self._trie = trie.MemoryTrie()
        self._lists: dict[bytes, hashlib._Hash] = {}
        self._grown: set[bytes] = set()
        self._given: dict[bytes, int] = {}
        self._seals = 0
        self._last: Seal | None = None

    # --- the pass --------------------------------------------------------------------

    def walk(self, progress: Callable[[int], None]) -> None:
        last_kind = "seal"
        for index, leaf, statement, kind in self._snapshot.entries():
            self._require(index == self._tree.size, f"entry {index} follows a gap")
            try:
                self._leaf(self._tree.size, leaf, statement, kind)
            except (PcrlogError, ValueError) as error:
                self._require(condition=False, message=f"entry {index}: {error}")
            last_kind = kind
            progress(self._tree.size)
        self._require(last_kind == "seal", "the last leaf is not a seal")
        checkpoints = sum(1 for _ in self._snapshot.checkpoints())
        self._require(
            checkpoints == self._seals,
            f"log.db has {checkpoints} checkpoints, want {self._seals}, one a seal",
        )
        self.findings.leaves = self._tree.size

    def _require(self, condition: object, message: str) -> None:
        self.findings.require(condition, message)

    def _leaf(
        self, index: int, leaf: bytes, statement: bytes | None, kind: str
    ) -> None:
        frozen = self._last is not None and self._last.frozen
        self._require(not frozen, f"entry {index} comes after the log was frozen")
        sealed_root = self._root_before(leaf)
        self._append(leaf)
        parsed = parse_leaf(index, leaf)
        if isinstance(parsed, Seal):
            self._require(kind == "seal", f"entry {index} is filed as {kind}")
            self._seal(index, parsed, sealed_root)
            return
        self._index(parsed)
        digest = bytes.fromhex(parsed.sha256)
        filed = (digest, kind_of(parsed))
        self._require((statement, kind) == filed, f"entry {index} is filed wrongly")
        # `statement` is unique in log.db, so one that is filed right stands once.
        require_known(parsed.statement)
        self._authority.accept(parsed)

    def _append(self, leaf: bytes) -> None:
        for level, index, node in self._tree.append(merkle.leaf_hash(leaf)):
            tile_level, rest = divmod(level, HEIGHT)
            if rest == 0:
                place = (tile_level, index // FULL)
                self._tiles.setdefault(place, bytearray()).extend(node)

    def _index(self, entry: Entry) -> None:
        for key in index_keys(entry.envelope.raw):
            hashed = key_hash(key)
            found = self._lists.setdefault(hashed, hashlib.sha256())
            found.update(entry.index.to_bytes(8))
            self._grown.add(hashed)
        if speaks_for(entry):
            for key in measured_keys(entry):
                hashed = key_hash(key)
                self._given[hashed] = self._given.get(hashed, 0) + 1

    def _root_before(self, leaf: bytes) -> bytes:
        """The index root over all leaves so far, if a seal comes."""
        if leaf.startswith(b"p"):
            self._trie.update({key: self._lists[key].digest() for key in self._grown})
            self._grown.clear()
        return self._trie.root

    def _seal(self, index: int, seal: Seal, root: bytes) -> None:
        self._seals += 1
        earlier = 0 if self._last is None else self._last.time
        self._last = seal
        where = f"seal {index}"
        self._require(seal.count == index, f"{where}: its count is {seal.count}")
        self._require(seal.time >= earlier, f"{where}: its time goes back")
        self._require(seal.root == root, f"{where}: index root is {seal.root.hex()}")
        row = self._snapshot.checkpoint_of_size(index + 1)
        if row is None:
            self._require(condition=False, message=f"{where}: it has no checkpoint")
            return
        ours = Checkpoint(self._vkey.name, index + 1, self._tree.root())
        self._require(row.root == ours.root, f"{where}: root is {row.root.hex()}")
        self._require(row.seal == seal, f"{where}: its checkpoint is filed wrongly")
        try:
            signed = open_checkpoint(UnverifiedNote.parse(row.note), self._vkey)
            self._require(signed == ours, f"{where}: another checkpoint is signed")
        except PcrlogError as error:
            self._require(condition=False, message=f"{where}: {error}")

    # --- log.db ----------------------------------------------------------------------

    def check_tables(self) -> None:
        tiles = {(level, n): hashes for level, n, hashes in self._snapshot.tiles()}
        for place in tiles.keys() | self._tiles.keys():
            same = tiles.get(place) == self._tiles.get(place)
            self._require(same, f"log.db: tile {place[0]}/{place[1]} differs")
        self._require(
            dict(self._snapshot.given_rows()) == self._given, "log.db: `given` differs"
        )
        self._check_index()
        self._check_trie()
        self._check_decisions()
        self._check_published()

    def _check_index(self) -> None:
        found: set[bytes] = set()
        rows = self._snapshot.index_rows()
        for hashed, group in groupby(rows, lambda row: row[0]):
            self._check_list(hashed, group)
            found.add(hashed)
        for hashed in self._lists.keys() - found:
            self._require(
                condition=False,
                message=f"log.db: index of key {hashed.hex()} is missing",
            )

    def _check_list(
        self, hashed: bytes, rows: Iterable[tuple[bytes, int, bytes | None]]
    ) -> None:
        name, ours, theirs = hashed.hex(), self._lists.get(hashed), hashlib.sha256()
        count, last = 0, None
        for _, index, value in rows:
            count += 1
            theirs.update(index.to_bytes(8))
            last = value
            same = value is None or value == theirs.digest()
            self._require(same, f"log.db: value of key {name} at {index} differs")
        same = ours is not None and ours.digest() == theirs.digest()
        self._require(same, f"log.db: index of key {name} differs")
        self._require(
            last or count <= LONG, f"log.db: the last row of key {name} has no value"
        )

    def _check_trie(self) -> None:
        """The pages are those that the lists make, and there are no others."""
        pages: dict[int, bytes] = {}
        leaves = (
            (key, leaf_hash(key, self._lists[key].digest()))
            for key in sorted(self._lists)
        )
        plant(ROOT, leaves, pages.__setitem__)
        for number, hashes in self._snapshot.trie_pages():
            same = pages.pop(number, None) == hashes
            self._require(same, f"log.db: trie page {number} differs")
        for number in pages:
            message = f"log.db: trie page {number} is missing"
            self._require(condition=False, message=message)

    def _check_decisions(self) -> None:
        for digest, index in self._snapshot.decided():
            leaf = self._snapshot.leaf(index)
            found = leaf is not None and leaf.startswith(b"{")
            self._require(found, f"log.db: decision {digest.hex()} names no statement")

    def _check_published(self) -> None:
        published = self._snapshot.published()
        if published is None:
            return
        row, note = published
        try:
            shown = open_checkpoint(UnverifiedNote.parse(note), self._vkey)
            same = (shown.size, shown.root) == (row.size, row.root)
            self._require(
                same, "log.db: `published` is another checkpoint than its row"
            )
        except PcrlogError as error:
            self._require(condition=False, message=f"log.db: `published`: {error}")
