"""One person at the page that verifies, for its tests: files, a browser, a clock."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.browser import Browser
from tests.support.memory_log import START
from tests.support.scene import NONCE, document


@dataclass
class Person:
    """Whoever verifies: a folder, a browser, and where the page is."""

    folder: Path
    browser: Browser
    page: str
    now: int = START

    def file(self, name: str, content: bytes | str) -> Path:
        """A file of theirs."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def visit(self, *, view: str = "light") -> None:
        """Open the page anew."""
        self.browser.open(self.page, view=view, now=self.now)

    def verify(
        self,
        policy: str,
        bundle: bytes | None = None,
        *,
        data: bytes | None = None,
        nonce: bytes | None = NONCE,
        at: str = "",
        view: str = "light",
    ) -> str:
        """Visit, give all that there is, and check; the verdict's class.

        Args:
            policy: the policy's file.
            bundle: absent: the log is asked.
            data: the document; else a live one with the scene's nonce.
            nonce: None: none was sent.
            at: a time to judge the document as of.
            view: light, dark or phone.
        """
        self.visit(view=view)
        given = [self.file("policy.toml", policy)]
        given.append(self.file("document", data or document(time=self.now)))
        if bundle is not None:
            given.append(self.file("answers.pcrbundle", bundle))
        self.browser.drop(*given)
        sent = nonce.hex() if nonce else ""
        self.browser.fill({"#nonce": sent, "#at": at})
        self.browser.click("#check")
        return self.verdict()

    def verdict(self) -> str:
        """verified, unchecked or refuted; what the form says if there is no report."""
        for word in ("verified", "unchecked", "refuted"):
            if self.browser.count(f"#report .verdict.{word}"):
                return word
        return self.browser.text("#progress") or "nothing"

    def status(self, check: str) -> str:
        """What a check came to."""
        [found] = [row for row in self.rows() if row[0] == check]
        return found[1]

    def rows(self) -> list[tuple[str, str]]:
        """Each check, with what it came to."""
        ids = self.browser.texts("#report .checks .id")
        outcomes = self.browser.texts("#report .checks .outcome")
        states = [words.split()[0] for words in outcomes]
        return list(zip(ids, states, strict=True))

    def links(self) -> list[str]:
        """The states of the links, of the ground last."""
        return list(self.browser.texts("#report .links .state"))
