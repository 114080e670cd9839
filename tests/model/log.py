"""A log: a list of entries, and the index over it (docs/protocol.md 2.2, 2.4 and 3)."""

from collections.abc import Sequence

from tests.model.authority import Pass
from tests.model.run import Bundle, Document, Report, Request, Run
from tests.model.statements import Entry, Json, index_keys, malformed


class Model:
    """The log as it is used: submit, seal, look at the index, verify."""

    def __init__(self, origin: str) -> None:
        self.entries: list[Entry] = []
        self.judge = Pass(origin)

    def refusal(self, entry: Entry) -> str | None:
        """Why a statement may not be in the log, if it may not (2.1 and 2.2)."""
        if malformed(entry.statement):
            return "malformed"
        return self.judge.judge(entry)[0]

    def append(
        self, statement: Json, signers: Sequence[str], *, genuine: bool = True
    ) -> None:
        """Append a statement, whatever it is."""
        entry = Entry(len(self.entries), statement, tuple(signers), genuine)
        self.judge.feed(entry)
        self.entries.append(entry)

    def seal(self, time: int, *, frozen: bool = False) -> None:
        """2.4."""
        seal = Entry(len(self.entries), seal_time=time, frozen=frozen)
        self.entries.append(seal)

    def index(self) -> dict[str, list[int]]:
        """3: key to the ascending list of the entries that have it; a seal has none."""
        answers: dict[str, list[int]] = {}
        for entry in self.entries:
            if entry.statement:
                for key in index_keys(entry.statement):
                    answers.setdefault(key, []).append(entry.index)
        return answers

    def verify(
        self,
        document: Document,
        policy: Json,
        request: Request,
        *,
        withheld: frozenset[str] = frozenset(),
        cosignatures: dict[str, int] | None = None,
    ) -> Report:
        """Verify by the log as it is, the last entry being its seal."""
        answers = {**self.index(), **dict.fromkeys(withheld)}
        bundle = Bundle(self.entries, answers, self.entries[-1], cosignatures or {})
        return Run(document, bundle, policy, request).report()
