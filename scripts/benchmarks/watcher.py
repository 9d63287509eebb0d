"""All that is asked of the watcher's speed, in one run."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks import catching, latency, reading, recovery, stages, watched
from scripts.benchmarks.figures import Figure

PARTS = (reading, stages, catching, latency, recovery, watched)


def run() -> list[Figure]:
    """One part after another, so that none is measured while another runs."""
    return [figure for part in PARTS for figure in part.run()]


def plot(directory: Path) -> list[Path]:
    """Draw what the documentation shows; the files that were written."""
    from scripts.benchmarks import plots  # matplotlib takes its time to load

    points, _ = watched.points()
    return [
        plots.catching_up(catching.over_time(), directory / "catching-up.png"),
        plots.watched_addresses(points, directory / "watched-addresses.png"),
    ]
