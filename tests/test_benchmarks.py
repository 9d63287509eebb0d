"""The benchmarks run, and measure what they say: a short version of each, without looking at how fast it was."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from scripts.benchmarks import catching, checkout, reading, stages, watcher
from scripts.benchmarks.catching import Committed
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.page import fill
from scripts.benchmarks.watched import Point
from watcher import catch_up


def check(figures: list[Figure], aimed_at: set[str]) -> None:
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure in figures)
    assert {figure.name for figure in figures if figure.met is not None} == aimed_at


@pytest.mark.nightly
def test_reading_is_measured_against_web3_and_the_floor() -> None:
    check(reading.run(length=4, rounds=1), {"proven / web3.py", "proven / floor, one core"})


@pytest.mark.nightly
def test_catching_up_is_measured_with_commits_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "LONG_GAP", 0)  # with processes, short as it is
    monkeypatch.setattr(catch_up, "LONGEST_STEP", 3)
    monkeypatch.setattr(catch_up, "LEAST_STEP", 3)
    check(catching.run(blocks=6, rounds=1), {"with commits / without", "with commits / without, every core"})


@pytest.mark.nightly
def test_checkout_is_measured_in_a_browser_and_by_open_pages() -> None:
    figures = checkout.run(viewers=(20,), loads=1)
    names = {"first view: transferred", "20 pages open: memory each", "20 viewers of one page: memory each"}
    check([figure for figure in figures if "memory" not in figure.name], names - {n for n in names if "memory" in n})
    assert {figure.name for figure in figures if figure.met is not None} == names
    (reads,) = [figure.value for figure in figures if figure.name.endswith("database reads")]
    assert reads == 1


@pytest.mark.nightly
def test_catching_up_over_time_is_drawn(tmp_path: Path) -> None:
    from scripts.benchmarks import plots

    notes = catching.over_time(blocks=90)
    assert notes[-1].number == 90
    assert [note.number for note in notes] == sorted({note.number for note in notes})
    assert plots.catching_up(notes, tmp_path / "plot.png").stat().st_size > 10_000


def test_cost_of_addresses_is_drawn(tmp_path: Path) -> None:
    from scripts.benchmarks import plots

    points = [Point(addresses=10**power, block_ms=3.0, memory_mib=60.0 + power, load_s=0.1) for power in (3, 4, 5)]
    assert plots.watched_addresses(points, tmp_path / "plot.png").stat().st_size > 10_000


def test_stages_of_a_block_are_less_than_all_of_it() -> None:
    figures = {figure.name.removeprefix("stage: "): figure.value for figure in stages.run(blocks=2, rounds=3)}
    whole = figures.pop("all of it")
    assert all(0 < value < whole for value in figures.values())


def test_rates_of_a_plot_add_up_to_the_blocks_that_were_read() -> None:
    from scripts.benchmarks.plots import rates_over_time

    notes = [
        Committed(at_s=at, number=number, in_flight=4, processes=0) for at, number in ((1.0, 0), (2.5, 50), (7, 80))
    ]
    times, rates = rates_over_time(notes)
    assert sum(rates[:-1]) * (times[1] - times[0]) == pytest.approx(80)


def test_page_has_a_place_for_every_part_and_keeps_all_else(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    original = (Path(__file__).parents[1] / "docs" / "performance.md").read_text()
    page.write_text(original)
    figure = Figure(name="proven / floor", value=0.5678, unit="×", aim=0.6)
    fill(page, {name: [figure] for name in watcher.PARTS})
    filled = page.read_text()
    assert filled.count("| proven / floor | 0.57 × | ≥ 0.6 |") == len(watcher.PARTS)
    fill(page, {name: [figure] for name in watcher.PARTS})
    assert page.read_text() == filled
    assert [line for line in filled.splitlines() if line.startswith("#")] == [
        line for line in original.splitlines() if line.startswith("#")
    ]
    with pytest.raises(LookupError):
        fill(page, {"nonsense": [figure]})
