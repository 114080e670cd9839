"""How a verification is told: a log, an enclave, a policy, and what must come of it."""

from collections.abc import Callable

from tests.conformance.family import Family, Stage
from tests.support.scene import Inputs

Story = Callable[[Stage], Inputs]


class Stories:
    """Cases of one family.

    Each has a name, what it comes to (links by their first letters; the required checks
    that did not pass), the rule in a sentence, and a function that sets the stage.
    """

    def __init__(self, name: str, about: str) -> None:
        self._name, self._about = name, about
        self.told: list[tuple[str, str, str, str, str, Story]] = []

    def verified(self, name: str, ladder: str, why: str, story: Story) -> None:
        """One that verifies."""
        self.told.append((name, why, "verified", ladder, "", story))

    def unchecked(
        self, name: str, ladder: str, lacking: str, why: str, story: Story
    ) -> None:
        """One that could not be checked."""
        self.told.append((name, why, "unchecked", ladder, lacking, story))

    def refuted(
        self, name: str, ladder: str, lacking: str, why: str, story: Story
    ) -> None:
        """One that is refuted."""
        self.told.append((name, why, "refuted", ladder, lacking, story))

    def family(self) -> Family:
        """All of them, played."""
        family = Family(self._name, self._about)
        for name, why, verdict, ladder, lacking, story in self.told:
            family.run(name, why, story(Stage()), verdict, ladder, lacking)
        return family


def also(*statuses: str) -> str:
    """Checks in the order of section 4.7, as `run` shows them."""
    return ", ".join(statuses)
