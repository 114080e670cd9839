"""STATE/evidence/: files that prove the log wrong to anybody (pcrlog/evidence/file.py).

Each is made from what the log signed and served, verified as a stranger would verify
it, and only then written: whole or not at all, under the name
`<kind>-<first 16 hex digits of its SHA-256>.pcrevidence`. The same evidence has the
same bytes, and so is written once. Of each kind there are at most 16: a log that lies
without end does not fill the disk, and one file convicts it as well as a thousand.

What cannot be written is no evidence, and no reason to keep silent: a lie is told with
the disk full, too.

Not all that is wrong can be proven to others. No file comes of a rollback without a
fork, of tiles that lead nowhere, of an unknown type, of an entry 0 that only the policy
finds wrong, nor while the log does not hand over what the file has to contain.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Protocol

from monitor import proving
from monitor.evidence_case import Case, Index, Tree
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.evidence import (
    File,
    TwoCheckpoints,
    bare_note,
    encode,
    verify_evidence,
)
from pcrlog.merkle import Node, Proof, prove_prefix
from pcrlog.note import VerifierKey

_log = logging.getLogger(__name__)
SUFFIX = ".pcrevidence"
_MOST = 16
"""Files of one kind; a witness keeps as many forks."""
_DIGITS = 16
# Not PcrlogError: an index that fails is no want of evidence.
_NO_EVIDENCE = (MalformedError, VerificationError, UncheckedError)


class Finding(Protocol):
    """What is wrong with an entry; `entries.Finding` is one."""

    @property
    def kind(self) -> str:
        """A kind of alert."""
        ...

    @property
    def index(self) -> int:
        """Which leaf."""
        ...

    @property
    def words(self) -> str:
        """Why."""
        ...


class EvidenceFiles:
    """The folder of files that prove one log wrong.

    Args:
        folder: made when the first file is written.
        key: the log's.
    """

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        self._folder = folder
        self._key = key
        self._said: str | None = None

    def checkpoints(self, first: bytes, second: bytes, node: Node | None) -> str | None:
        """Two notes that cannot both be of one history; the file's name.

        Args:
            first: a note that the log signed.
            second: another one.
            node: subtrees of the larger one's tree, unverified; None if there are none.

        Returns:
            None if nothing comes of it that the log could be held to: it did not sign
            both, the tree has only grown, or `node` does not lead to the signed root;
            or if it cannot be written.
        """
        with suppress(*_NO_EVIDENCE):
            signed = [bare_note(first, self._key), bare_note(second, self._key)]
            signed.sort(key=lambda one: (one[0].size, one[0].root))
            (old, note), (new, newer) = signed
            proof: Proof = ()
            if old.size < new.size:
                if node is None or old.size == 0:
                    return None
                proof = prove_prefix(old.size, new.size, node)
            return self._keep(TwoCheckpoints(checkpoints=(note, newer), proof=proof))
        return None

    def entry(
        self, finding: Finding, note: bytes, source: Tree, index: Index
    ) -> str | None:
        """What is wrong with an entry; the file's name.

        Args:
            finding: bad-entry, unauthorised-entry, bad-seal or bad-index.
            note: a checkpoint that the log signed, whose tree has the entry; empty if
                there is none.
            source: that tree, unverified.
            index: over as many leaves, or at least over those up to the entry.

        Returns:
            None if it cannot be proven to others, not with what can be had, or if it
            cannot be written.
        """
        with suppress(*_NO_EVIDENCE):
            checkpoint, signed = bare_note(note, self._key)
            if finding.index < checkpoint.size:
                case = Case(checkpoint, signed, source, index)
                return self._first(_makers(case, finding))
        return None

    def _first(self, makers: Iterator[Callable[[], File]]) -> str | None:
        """Keep the first file that convicts."""
        for make in makers:
            with suppress(*_NO_EVIDENCE):
                return self._keep(make())
        return None

    def _keep(self, file: File) -> str | None:
        """Verify it, and write it; None: it convicts, and cannot be kept.

        Raises:
            MalformedError, VerificationError, UncheckedError: it does not convict.
        """
        data = encode(file)
        kind = verify_evidence(data, self._key).kind
        path = self._folder / f"{kind}-{sha256(data).hex()[:_DIGITS]}{SUFFIX}"
        try:
            if path.exists():
                return path.name
            kept = len([*self._folder.glob(f"{kind}-{'?' * _DIGITS}{SUFFIX}")])
            if kept >= _MOST:
                self._say(f"{kept} files of kind {kind} are there: no more are kept")
                return None
            self._write(path, data)
        except OSError as error:
            self._say(f"cannot write {path.name}: {error.strerror or error}")
            return None
        return path.name

    def _say(self, words: str) -> None:
        """To the operator, not again and again."""
        if words != self._said:
            _log.warning("evidence: %s", words)
        self._said = words

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Two views may show the same lie at once.
        writer = f"{os.getpid()}-{get_ident()}"
        temporary = path.with_name(f".{path.name}.{writer}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        # The alert that names it is committed next: the name has to last as well.
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _makers(case: Case, finding: Finding) -> Iterator[Callable[[], File]]:
    """Files that may prove a finding, the plainest first."""
    at = finding.index
    if finding.kind == "unauthorised-entry":
        yield partial(proving.unauthorised, case, at, finding.words)
    elif finding.kind == "bad-index":
        yield partial(proving.wrong_index, case, at)
        yield partial(proving.wrong_from_the_start, case, at)
    elif finding.kind in ("bad-entry", "bad-seal"):
        yield partial(proving.bad_leaf, case, at)
        yield partial(proving.said_twice, case, at)
        yield from proving.against_seals(case, at)
