"""All that is asked of the watcher's speed, in one run."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks import catching, latency, reading, recovery, stages, watched
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.page import fill

PARTS = {
    "reading": reading,
    "stages": stages,
    "catching": catching,
    "latency": latency,
    "recovery": recovery,
    "watched": watched,
}


def run() -> list[Figure]:
    """One part after another, so that none is measured while another runs."""
    return [figure for part in PARTS.values() for figure in part.run()]


def document(docs: Path) -> list[Figure]:
    """The same, written into docs/performance.md, with its plots."""
    from scripts.benchmarks import plots  # matplotlib takes its time to load

    parts = {name: part.run() for name, part in PARTS.items()}
    fill(docs / "performance.md", parts)
    points, _ = watched.points()
    plots.catching_up(catching.over_time(), docs / "images" / "catching-up.png")
    plots.watched_addresses(points, docs / "images" / "watched-addresses.png")
    return [figure for figures in parts.values() for figure in figures]
