"""What a benchmark returns, and how figures are taken so that a busy machine does not decide them."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. `aim`: the least this project wants, `limit`: the most it allows; both None for figures
    that only stand beside others. Speeds depend on the machine; ratios of one run are what to trust.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    limit: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether aim and limit are met; None without either."""
        if self.aim is None and self.limit is None:
            return None
        return (self.aim is None or self.value >= self.aim) and (self.limit is None or self.value <= self.limit)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way of doing the work. `run(count)` does it `count` times; fewer for the slow ones, who need no more."""

    count: int
    run: Callable[[int], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Times per second in each round: by the wall clock, and by the processor time of this process alone."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]


def progress(text: str) -> None:
    """Tell the person who waits; standard output is for the figures alone."""
    print(f"… {text}", file=sys.stderr, flush=True)


async def race(contenders: Mapping[str, Contender], *, rounds: int) -> dict[str, Speeds]:
    """The speeds of all contenders. They take turns within a round, so that whatever else the machine does falls on
    all of them; compare speeds of the same round."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        await contender.run(1)  # what is done only once is not measured
    for _ in range(rounds):
        for name, contender in contenders.items():
            gc.collect()
            wall_began, cpu_began = time.perf_counter(), time.process_time()
            await contender.run(contender.count)
            wall[name].append(contender.count / (time.perf_counter() - wall_began))
            cpu[name].append(contender.count / (time.process_time() - cpu_began))
    return {name: Speeds(wall=tuple(wall[name]), cpu=tuple(cpu[name])) for name in contenders}


def median_ratio(over: tuple[float, ...], under: tuple[float, ...]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
