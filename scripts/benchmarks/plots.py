"""The plots of the documentation, from the points that benchmarks return."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.benchmarks.catching import Committed

INK, QUIET, STRONG, SECOND = "#1f2328", "#8c959f", "#0b6e4f", "#b4541a"
BINS = 60


def catching_up(notes: Sequence[Committed], path: Path) -> Path:
    """Throughput over time, above the number of blocks in flight."""
    figure, (rate, flight) = pyplot.subplots(
        2, 1, figsize=(8, 4.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    times, rates = _rates(notes)
    rate.step(times, rates, where="post", color=STRONG, linewidth=1.8)
    rate.fill_between(times, rates, step="post", color=STRONG, alpha=0.12, linewidth=0)
    rate.set_ylabel("blocks committed / s")
    rate.set_ylim(bottom=0)
    _title(rate, f"Catching up with {notes[-1].number:,} blocks, from a node 30 ms away")
    flight.step([note.at_s for note in notes], [note.in_flight for note in notes], where="post", color=SECOND)
    flight.set_ylabel("in flight")
    flight.set_ylim(bottom=0)
    flight.set_xlabel("seconds")
    for axes in (rate, flight):
        _plain(axes)
    return _save(figure, path)


def _rates(notes: Sequence[Committed]) -> tuple[list[float], list[float]]:
    """Blocks a second in equal parts of the time; the last value twice, for the end of its step."""
    end = notes[-1].at_s
    width = end / BINS
    counts = [0.0] * BINS
    for before, after in pairwise(notes):
        counts[min(int(after.at_s / width), BINS - 1)] += (after.number - before.number) / width
    return [at * width for at in range(BINS + 1)], [*counts, counts[-1]]


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, color=INK)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK, labelsize=9)
    axes.yaxis.label.set_color(INK)
    axes.grid(axis="y", color=QUIET, alpha=0.25, linewidth=0.8)


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path
