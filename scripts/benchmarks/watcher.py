"""All that is asked of the watcher's speed, in one run: reading, where the time goes, catching up."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks import catching, reading, stages
from scripts.benchmarks.figures import Figure


def run() -> list[Figure]:
    """One part after another, so that none is measured while another runs."""
    return [figure for part in (reading, stages, catching) for figure in part.run()]


def plot(directory: Path) -> list[Path]:
    """Draw what the documentation shows; the files that were written."""
    from scripts.benchmarks import plots  # matplotlib takes its time to load

    return [plots.catching_up(catching.over_time(), directory / "catching-up.png")]
