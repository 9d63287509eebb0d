"""Lists of values that are too long for one query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MOST_NAMED = 1_000
"""Values named one by one in a query; PostgreSQL takes 32,767 in all."""


def in_parts(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in order, `MOST_NAMED` at a time."""
    every = list(values)
    return (every[start : start + MOST_NAMED] for start in range(0, len(every), MOST_NAMED))
