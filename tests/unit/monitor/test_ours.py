"""What is ours in a log, as far as it was before an entry; its history, read once."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitor.config import Config
from monitor.ours import History, Ours, Reading, commit_key, measured, provider_of
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import TransportError, VerificationError
from pcrlog.gather import ARTIFACT
from pcrlog.index_keys import of_product
from pcrlog.predicates import Component
from pcrlog.statement import REPRODUCTION
from tests.support.memory_log import MemoryLog, key
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
    changed,
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
    made = Ours(config_of(folder, scene, {}, **watch), Reading(whole(scene)))
    made.load(scene.log.authority)
    return made


def whole(scene: Scene) -> Memory:
    """The history of all of the scene's log."""
    history = Memory(scene.log)
    history.size = len(scene.log.leaves)
    return history


def grow(folder: Path, scene: Scene) -> Ours:
    """The same as `ours`, entry by entry."""
    history = Memory(scene.log)
    grown = Ours(config_of(folder, scene, {}), Reading(history))
    grown.load(scene.log.authority)
    for index, entry in scene.log.entries.items():
        history.size = index + 1
        grown.learn(entry)
    return grown


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


def part(name: str) -> Component:
    """A component of somebody else, by a name for what it holds."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Component(f"parts.example/{name}", digest)


def key_of(name: str) -> str:
    return f"artifact/digest=sha256:{part(name).sha256}"


def make(scene: Scene, name: str, *inner: str) -> int:
    """A release of it, that names others."""
    of, version = part(name), f"1.{len(scene.log.leaves)}.0"
    members: dict[str, Any] = {"components": tuple(map(part, inner))} if inner else {}
    return scene.release(
        version,
        artifact(of.sha256),
        product=of.product,
        platform=ARTIFACT,
        **members,
    )


def test_a_release_has_so_many_parts_and_those_that_were_tied_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ours.PARTS", 4)
    scene = Scene()
    scene.log.enroll("parts.example", "provider")
    make(scene, "c", "d", "e")
    index = scene.release(components=(part("a"), part("b")))
    make(scene, "a", "c")
    full = make(scene, "a", "f", "g", "h")
    make(scene, "b", "i")
    loaded = ours(tmp_path, scene)
    tied = [one for one in "abcdefghi" if loaded.parts(key_of(one), 99)]
    assert tied == ["a", "b", "c", "d"]
    assert not loaded.has_all_parts(index, full - 1)
    assert loaded.has_all_parts(index, full)
    grown = grow(tmp_path, scene)
    assert grown._parts == loaded._parts


def test_parts_that_name_one_another_in_many_ways_are_read_once(
    tmp_path: Path,
) -> None:
    scene = Scene()
    scene.log.enroll("parts.example", "provider")
    layers = "abcdefghij"
    for below, layer in pairwise(reversed(layers)):
        for one in range(3):
            make(scene, f"{layer}{one}", *(f"{below}{it}" for it in range(3)))
    scene.release(components=(part("a0"),))
    history = Counting(scene.log)
    history.size = len(scene.log.leaves)
    found = Ours(config_of(tmp_path, scene, {}), Reading(history))
    found.load(scene.log.authority)
    assert found.parts(key_of("j2"), 99)
    assert history.asked < 50


def test_of_what_others_make_only_what_its_provider_says_is_followed(
    tmp_path: Path,
) -> None:
    scene = Scene()
    scene.log.enroll("parts.example", "provider")
    made = make(scene, "a", "b")
    renewed = make(scene, "a", "c")
    scene.release(components=(part("a"),))
    found = ours(tmp_path, scene)
    one = (part("a").product, key_of("a"))
    assert found.parts_within(one, made) == []
    assert found.parts_within(one, renewed) == [(part("b").product, key_of("b"))]
    sha256 = scene.log.entries[renewed].sha256
    assert not found.released(one, sha256, renewed)
    assert found.released(one, sha256, renewed + 1)
    assert not found.released(one, "00" * 32, 99)


def test_an_auditor_that_releases_what_it_audits_comes_to_an_end(
    tmp_path: Path,
) -> None:
    scene = Scene()
    scene.log.enroll("both.example", "provider", "auditor")
    product = "both.example/wallet"
    index = scene.release(product=product)
    scene.reproduce("both.example", source=source(MORE))
    rules = {"auditors": [{"name": "both.example", "scopes": [REPRODUCTION]}]}
    config = config_of(
        tmp_path, scene, {"product": rules}, products=(), measurements=(M,)
    )
    counted = config.policy.products[PRODUCT]
    policy = changed(config.policy, products={product: counted})
    found = Ours(
        Config(tmp_path, config.settings, policy, config.log),
        Reading(whole(scene)),
    )
    found.load(scene.log.authority)
    assert found.releases([M]) == [index]
    assert found.releases([commit_key(MORE)]) == [index]


def test_a_load_that_failed_is_begun_anew(tmp_path: Path) -> None:
    scene = Scene()
    scene.complete()
    scene.log.enroll("parts.example", "provider")
    make(scene, "a", "b")
    scene.release("2.0.0", BAD, components=(part("a"),))
    counting = Counting(scene.log)
    counting.size = len(scene.log.leaves)
    expected = Ours(config_of(tmp_path, scene, {}), Reading(counting))
    expected.load(scene.log.authority)
    for reads in range(counting.reads):
        history = Failing(scene.log, reads)
        history.size = len(scene.log.leaves)
        found = Ours(config_of(tmp_path, scene, {}), Reading(history))
        with pytest.raises(VerificationError):
            found.load(scene.log.authority)
        history.left = 99
        found.load(scene.log.authority)
        for name in ("_measured", "_parts", "_products", "_tied", "_made"):
            assert getattr(found, name) == getattr(expected, name), (reads, name)


def test_growing_entry_by_entry_comes_to_the_same_as_loading(tmp_path: Path) -> None:
    scene = Scene()
    scene.reproduce(LENS, source=source(MORE))
    scene.complete()
    scene.reproduce(LAB, source=source(MORE))
    scene.release(image=BAD, product=OTHER)
    grown = grow(tmp_path, scene)
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
    asked = 0

    def under(self, key: str) -> Sequence[int]:
        self.asked += 1
        return super().under(key)

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


def test_no_more_of_history_is_remembered_than_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    history = Counting(scene.log)
    history.size = len(scene.log.leaves)
    reading = Reading(history)
    monkeypatch.setattr("monitor.ours._REMEMBERED", 2 * 2048 + 1)
    for index in (0, 0, 1, 1, 0):
        assert reading.entry(index) is not None
    assert history.reads == 3


class Failing(Memory):
    """A history of which so many entries can be had, and then none."""

    def __init__(self, log: MemoryLog, left: int = 0) -> None:
        super().__init__(log)
        self.left = left

    def entry(self, index: int) -> Entry:
        if not self.left:
            message = f"entry {index} cannot be read"
            raise VerificationError(message)
        self.left -= 1
        return super().entry(index)


class Silent(Memory):
    """A history that does not answer."""

    def entry(self, index: int) -> Entry:
        raise TransportError(str(index))


@pytest.mark.parametrize(
    ("history", "error"), [(Failing, VerificationError), (Silent, TransportError)]
)
def test_history_that_cannot_be_read_ends_the_run(
    history: type[Memory], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Reading(history(Scene().log)).entry(0)


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
