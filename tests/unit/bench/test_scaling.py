"""docs/scaling.md is what its figures and prices make of it, and nothing is guessed."""

import doctest
import sys
from pathlib import Path

import pytest

from bench import reckoning, scaling
from bench.costs import Costs, cost_block, puts
from bench.postgresql import stored
from bench.reckoning import Assumed, Figures, Row, UnmeasuredError, put, reckon
from bench.scaling import BLOCKS, PAGE, bundle_kib, entries_block, fill, tiles
from pcrlog.tiles import tiles_of


@pytest.fixture
def figures() -> Figures:
    return Figures.load()


@pytest.fixture
def assumed() -> Assumed:
    return Assumed.load()


def whole(name: str, value: float) -> dict[str, object]:
    return {"value": value, "unit": name, "from": "a test"}


def test_the_page_is_what_the_program_makes_of_its_figures(
    figures: Figures, assumed: Assumed
) -> None:
    page = PAGE.read_text("utf-8")
    assert page == fill(page, figures, assumed)[0], "python -m bench.scaling --write"


def test_what_was_not_measured_is_named_and_not_reckoned() -> None:
    figures = Figures({"here": whole("x", 2), "there": {"unit": "x", "from": "later"}})
    rows = [
        Row("a", lambda n: str(n * figures["here"])),
        Row("b", lambda n: str(n * figures["there"])),
    ]
    block = reckon("what", {"one": 1, "two": 2}, rows)
    assert "| a | 2.0 | 4.0 |\n" in block.text
    assert "| b |" not in block.text
    assert "`there` (later)" in block.text
    assert block.lacks == {"there": "later"}
    with pytest.raises(UnmeasuredError, match="comes from later"):
        figures["there"]
    with pytest.raises(KeyError):
        figures["nowhere"]


def test_with_all_figures_each_table_is_whole(
    figures: Figures, assumed: Assumed
) -> None:
    names = figures._table
    all_there = Figures({name: whole(name, 100) for name in names})
    for make in BLOCKS.values():
        assert not make(all_there, assumed).lacks


def test_every_measured_figure_has_its_source(figures: Figures) -> None:
    for one in figures._table.values():
        assert set(one) <= {"value", "unit", "from"}
        assert one["unit"]
        assert one["from"]


def test_tiles_are_as_many_as_a_tree_has() -> None:
    for size in (1, 255, 256, 257, 65_535, 65_536, 65_537, 1_000_000):
        assert tiles(size) == len(list(tiles_of(size)))


def test_an_entry_by_itself_puts_three_files_and_rarely_more() -> None:
    assert 3 < puts(1) < 3.01
    assert 9.99 < puts(1024) < 11
    assert puts(2) < puts(300)


def test_a_bundle_is_what_was_measured_where_it_was(figures: Figures) -> None:
    assert bundle_kib(figures, 1e3) == pytest.approx(figures["bundle_kib_at_1k"])
    assert bundle_kib(figures, 1e6) == figures["bundle_kib_at_1m"]


def test_money_follows_what_is_put_in(figures: Figures, assumed: Assumed) -> None:
    free = assumed._replace(price=dict.fromkeys(assumed.price, 0.0))
    assert Costs(figures, free).one_machine(1e8) == 0
    assert Costs(figures, free).cluster(1e8) == 0
    dear = assumed._replace(price={**assumed.price, "egress_gb": 1.0})
    bundle = figures["bundle_gzip_kib_at_1m"] * 1024 + assumed.use["overhead_bytes"]
    leaves = 1e8 * bundle + Costs(figures, assumed).monitor_bytes()
    assert Costs(figures, dear).egress(1e8) == pytest.approx(leaves / 1e9)
    assert "EUR" in cost_block(figures, assumed._replace(currency="EUR")).text


def test_a_billion_entries_are_a_thousand_times_a_million(
    figures: Figures, assumed: Assumed
) -> None:
    text = entries_block(figures, assumed).text
    [row] = [line for line in text.splitlines() if line.startswith("| log.db |")]
    million = f"{figures['database_bytes'] / 1000:.3g}"
    assert f"| {million} GB |" in row
    assert f"| {million} TB |" in row


def test_numbers_times_and_sizes_read_as_their_examples_do() -> None:
    failed, tried = doctest.testmod(reckoning)
    assert failed == 0 < tried


def test_bytes_an_entry_are_measured_through_the_sequencer() -> None:
    found = stored(40, None)
    assert 1000 < found.entry < 20_000
    assert found.rate > 0


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one block costs, found 0"):
        put("nothing", "costs", "text")


def test_the_command_writes_the_page_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "scaling.md"
    marks = (f"<!-- {name}: begin -->\n<!-- {name}: end -->\n" for name in BLOCKS)
    page.write_text("".join(marks), "utf-8")
    empty = tmp_path / "figures.toml"
    lines = (
        f'[{name}]\nunit = "x"\nfrom = "make bench"\n' for name in Figures.load()._table
    )
    empty.write_text("".join(lines), "utf-8")
    monkeypatch.setattr(scaling, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["", "--figures", str(empty)])
    assert scaling.main() == 3
    told = capsys.readouterr()
    assert "not measured yet: database_bytes; it comes from make bench\n" in told.err
    assert "| entry bundles |" in told.out
    monkeypatch.setattr(sys, "argv", ["", "--write"])
    scaling.main()
    assert page.read_text("utf-8").count("|") > 100
