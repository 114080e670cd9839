"""What is ours in a log, as far as it was before an entry; its history, read once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.ours import History, Ours, Reading, commit_key, measured, provider_of
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import TransportError
from pcrlog.index_keys import of_product
from pcrlog.predicates import Component
from pcrlog.statement import REPRODUCTION
from tests.support.memory_log import key
from tests.support.scene import (
    BAD,
    COMMIT,
    GOOD,
    LAB,
    LENS,
    PRODUCT,
    PROVIDER,
    Scene,
    artifact,
    source,
)
from tests.unit.monitor.watching import Memory, config_of

OTHER = f"{PROVIDER}/other"
M = f"aws-nitro/PCR0={GOOD['PCR0']}"
MORE = "cd" * 20
PART = "parts.example/sidecar"
DIGEST = "5a" * 32


def ours(folder: Path, scene: Scene, **watch: Any) -> Ours:
    """What is ours in all of the scene's log."""
    history = Memory(scene.log)
    history.size = len(scene.log.leaves)
    made = Ours(config_of(folder, scene, {}, **watch), Reading(history))
    made.load(scene.log.authority)
    return made


@pytest.mark.parametrize(
    "watch",
    [
        {"products": (PRODUCT,)},
        {"products": (f"{PROVIDER}/*",)},
        {"identities": (PROVIDER,)},
        {"keys": (key(PROVIDER).public.keyid,)},
        {"measurements": (M,)},
    ],
    ids=["product", "provider", "identity", "key", "measurement"],
)
def test_a_release_is_found_by_whatever_is_watched(
    tmp_path: Path, watch: dict[str, Any]
) -> None:
    scene = Scene()
    index = scene.release()
    watch.setdefault("products", ())
    assert ours(tmp_path, scene, **watch).releases([M]) == [index]


def test_what_is_not_watched_is_not_ours(tmp_path: Path) -> None:
    scene = Scene()
    scene.release(product=OTHER)
    found = ours(tmp_path, scene)
    assert found.releases([M]) == []
    assert not found.watches_product(OTHER)


def test_what_came_later_was_not_ours_before(tmp_path: Path) -> None:
    scene = Scene()
    index = scene.release()
    found = ours(tmp_path, scene)
    assert found.releases([M], index) == []
    assert found.releases([M], index + 1) == [index]


def test_the_commits_of_a_release_and_of_its_reproductions_are_ours(
    tmp_path: Path,
) -> None:
    scene = Scene()
    index = scene.release()
    rebuilt = scene.reproduce(LAB, source=source(MORE))
    found = ours(tmp_path, scene)
    assert found.releases([commit_key(COMMIT)]) == [index]
    assert found.releases([commit_key(MORE)], rebuilt) == []
    assert found.releases([commit_key(MORE)], rebuilt + 1) == [index]


def test_components_are_ours_from_the_entry_that_ties_them(tmp_path: Path) -> None:
    scene = Scene()
    scene.log.enroll("parts.example", "provider")
    index = scene.release(components=(Component(PART, DIGEST),))
    inner = Component("parts.example/inner", "1b" * 32)
    late = scene.release(
        "1.0.0",
        artifact(DIGEST),
        product=PART,
        platform="artifact",
        components=(inner,),
    )
    found = ours(tmp_path, scene)
    whole, part = (f"artifact/digest=sha256:{one}" for one in (DIGEST, "1b" * 32))
    assert found.parts(whole, index + 1) == {PART: [index]}
    assert found.parts(part, late) == {}
    assert found.parts(part, late + 1) == {inner.product: [index]}


def test_components_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    scene = Scene()
    scene.log.enroll("parts.example", "provider")
    itself = Component(PART, DIGEST)
    members: dict[str, Any] = {
        "product": PART,
        "platform": "artifact",
        "components": (itself,),
    }
    scene.release("1.0.0", artifact(DIGEST), **members)
    index = scene.release(components=(itself,))
    found = ours(tmp_path, scene)
    whole = f"artifact/digest=sha256:{DIGEST}"
    assert found.parts(whole, index + 1) == {PART: [index]}


def test_growing_entry_by_entry_comes_to_the_same_as_loading(tmp_path: Path) -> None:
    scene = Scene()
    history = Memory(scene.log)
    grown = Ours(config_of(tmp_path, scene, {}), Reading(history))
    grown.load(scene.log.authority)
    scene.reproduce(LENS, source=source(MORE))
    scene.complete()
    scene.reproduce(LAB, source=source(MORE))
    scene.release(image=BAD, product=OTHER)
    for index, entry in scene.log.entries.items():
        history.size = index + 1
        grown.learn(entry)
    loaded = ours(tmp_path, scene)
    assert grown._measured == loaded._measured
    assert grown._parts == loaded._parts
    assert grown._products == loaded._products


def test_the_voices_that_matter_are_ours_and_our_auditors(tmp_path: Path) -> None:
    found = ours(tmp_path, Scene(), identities=("me.example",))
    assert found.voices(99) == {"me.example", PROVIDER, LAB, LENS}


def test_an_auditor_counts_for_its_scopes_and_for_unknown_ones(tmp_path: Path) -> None:
    found = ours(tmp_path, Scene())
    assert found.auditors(PRODUCT, REPRODUCTION) == [LAB, LENS]
    assert found.auditors(PRODUCT, "astrology") == [LAB, LENS]
    assert found.auditors(OTHER, REPRODUCTION) == []


def test_a_statement_is_measured_and_an_identity_is_not() -> None:
    scene = Scene()
    index = scene.release()
    assert measured(scene.log.entries[index]) == (M,)
    assert measured(scene.log.entries[0]) == ()
    assert provider_of(PRODUCT) == PROVIDER


class Counting(Memory):
    """A history that counts how often it is read."""

    reads = 0

    def entry(self, index: int) -> Entry:
        self.reads += 1
        return super().entry(index)


def test_history_is_read_once() -> None:
    scene = Scene()
    index = scene.release()
    history = Counting(scene.log)
    history.size = index + 1
    reading = Reading(history)
    for _ in range(3):
        [found] = reading.under(of_product(PRODUCT))
        assert found.index == index
    assert history.reads == 1
    reading.hold(())
    assert reading.entry(index) is not None
    assert history.reads == 2


class Broken(Memory):
    """A history that cannot be had."""

    def entry(self, index: int) -> Entry:
        raise TransportError(str(index))


def test_history_that_cannot_be_read_ends_the_run() -> None:
    with pytest.raises(TransportError):
        Reading(Broken(Scene().log)).entry(0)


class Odd:
    """A history with an entry that this version cannot read."""

    def under(self, key: str) -> Sequence[int]:
        del key
        return [0]

    def entry(self, index: int) -> Entry:
        return parse_entry(index, b"?")


def test_what_this_version_cannot_read_is_passed_over() -> None:
    history: History = Odd()
    assert list(Reading(history).under("any")) == []


def test_the_authority_before_an_index_knows_nothing_of_what_comes() -> None:
    scene = Scene()
    index = scene.release()
    history = Memory(scene.log)
    history.size = len(scene.log.leaves)
    reading = Reading(history)
    entry = scene.log.entries[index]
    origin = scene.log.origin
    assert not reading.authority(origin, PROVIDER, index).is_void(entry)
    assert reading.authority(origin, PROVIDER, 1).is_void(entry)
