"""The benchmarks of latency, recovery and scale run, and measure what they say: without looking at how fast it was."""

from __future__ import annotations

import math

import pytest

from scripts.benchmarks import latency, recovery, watched
from scripts.benchmarks.figures import Figure


def check(figures: list[Figure], *, with_limit: int) -> None:
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure in figures)
    assert sum(figure.limit is not None for figure in figures) == with_limit


@pytest.mark.nightly
def test_latency_is_measured_on_both_databases() -> None:
    figures = latency.run(rounds=1)
    check(figures, with_limit=6)
    assert {figure.name.partition(":")[0] for figure in figures} == {"SQLite", "PostgreSQL"}


@pytest.mark.nightly
def test_recovery_is_measured_with_a_process_that_is_killed() -> None:
    check(recovery.run(kills=1), with_limit=1)


@pytest.mark.nightly
def test_cost_of_watched_addresses_is_measured_by_their_number() -> None:
    counts = (10, 1_000)
    figures = watched.run(counts=counts, blocks=2)
    check(figures, with_limit=1 + len(counts))
    block, memory = (
        [figure.value for figure in figures if figure.name.endswith(part)] for part in (": a block", "of the process")
    )
    assert len(block) == len(memory) == len(counts)
