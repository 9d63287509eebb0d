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

from scripts.benchmarks.catching import AWAY_S, Committed
from scripts.benchmarks.watched import LARGEST_MIB, Point
from watcher.catch_up import FAR_BEHIND

INK, QUIET, STRONG, SECOND = "#1f2328", "#8c959f", "#0b6e4f", "#b4541a"
BINS = 100


def catching_up(notes: Sequence[Committed], path: Path) -> Path:
    """Throughput over time, above the number of blocks in flight."""
    figure, (rate, flight) = pyplot.subplots(
        2, 1, figsize=(8, 4.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    times, rates = rates_over_time(notes)
    rate.step(times, rates, where="post", color=STRONG, linewidth=1.6)
    rate.fill_between(times, rates, step="post", color=STRONG, alpha=0.12, linewidth=0)
    rate.set_ylabel("blocks committed / s")
    rate.set_ylim(0, 1.25 * max(rates))
    _title(rate, f"Catching up with {notes[-1].number:,} blocks, from a node {AWAY_S * 1000:.0f} ms away")
    near = next(note.at_s for note in notes if notes[-1].number - note.number <= FAR_BEHIND)
    for axes in (rate, flight):
        axes.axvspan(near, notes[-1].at_s, color=QUIET, alpha=0.15, linewidth=0)
    rate.annotate(
        "near the head:\none by one ",
        (near, rate.get_ylim()[1]),
        ha="right",
        va="top",
        fontsize=9,
        color=INK,
    )
    flight.step([note.at_s for note in notes], [note.in_flight for note in notes], where="post", color=SECOND)
    flight.set_ylabel("in flight")
    flight.set_ylim(bottom=0)
    flight.set_xlabel("seconds")
    flight.set_xlim(0, notes[-1].at_s)
    for axes in (rate, flight):
        _plain(axes)
    return _save(figure, path)


def watched_addresses(points: Sequence[Point], path: Path) -> Path:
    """What a block costs, and what the process holds, against the number of addresses that are looked for."""
    figure, (cost, memory) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    counts = [point.addresses for point in points]
    cost.plot(counts, [point.block_ms for point in points], "o-", color=STRONG, linewidth=1.8)
    _title(cost, "Processor time for a block, ms")
    memory.plot(counts, [point.memory_mib for point in points], "o-", color=SECOND, linewidth=1.8)
    memory.axhline(LARGEST_MIB, color=QUIET, linestyle="--", linewidth=1)
    memory.annotate("limit", (counts[0], LARGEST_MIB), va="bottom", fontsize=9, color=INK)
    _title(memory, "Memory of the process, MiB")
    for axes in (cost, memory):
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("watched addresses")
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
        _plain(axes)
    return _save(figure, path)


def rates_over_time(notes: Sequence[Committed]) -> tuple[list[float], list[float]]:
    """Blocks a second in equal parts of the time; the blocks of a commit were read since the one before. The last
    value stands twice, for the end of its step."""
    width = notes[-1].at_s / BINS
    counts = [0.0] * BINS
    for before, after in pairwise(notes):
        rate = (after.number - before.number) / (after.at_s - before.at_s)
        for at in range(int(before.at_s / width), min(int(after.at_s / width), BINS - 1) + 1):
            overlap = min(after.at_s, (at + 1) * width) - max(before.at_s, at * width)
            counts[at] += rate * max(0.0, overlap) / width
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
