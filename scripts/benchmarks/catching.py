"""What committing adds to reading, by the watcher's own catch-up, and how fast that is over time.

The follower reads a simulated chain into SQLite (`synchronous=FULL`) as it does after a stop: blocks that are final
share transactions. Without commits, the same blocks are read the same way and let go.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import Pool, connect
from openpay.chain.provers import processor_count
from openpay.store import Store
from openpay.store.migrate import upgrade
from scripts.benchmarks.figures import Contender, Figure, Speeds, median_ratio, race
from scripts.benchmarks.samples import CHAIN, CHAIN_ID, make_chain, serving
from watcher.catch_up import FAR_BEHIND, LONG_GAP, CatchUp
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.watch_set import WatchSet

BLOCKS = LONG_GAP + 50
ROUNDS = 3
BLOCKS_OVER_TIME = 4_000
AWAY_S = 0.03
"""How far away the node seems to be while the throughput over time is drawn: as over the internet."""


def run(*, blocks: int = BLOCKS, rounds: int = ROUNDS) -> list[Figure]:
    """Catch up with `blocks` blocks, with commits and without, on one core and on every one."""
    # The node's head stays out of reach, so that every measured block is read as one far behind.
    with serving(make_chain(blocks + FAR_BEHIND + 1)) as url, tempfile.TemporaryDirectory() as directory:
        speeds = asyncio.run(_race(url, Path(directory), blocks, rounds))
    committed, read, committed_everywhere, read_everywhere = (
        speeds[name].wall for name in ("committed", "read", "committed, every core", "read, every core")
    )
    return [
        Figure(name="caught up, one core", value=statistics.median(committed), unit="blocks/s"),
        Figure(name="caught up, every core", value=statistics.median(committed_everywhere), unit="blocks/s"),
        Figure(name="with commits / without", value=median_ratio(committed, read), unit="×", aim=0.85),
        Figure(
            name="with commits / without, processor time",
            value=median_ratio(speeds["committed"].cpu, speeds["read"].cpu),
            unit="×",
        ),
        Figure(
            name="with commits / without, every core",
            value=median_ratio(committed_everywhere, read_everywhere),
            unit="×",
            aim=0.85,
        ),
        Figure(name="caught up, every core / one core", value=median_ratio(committed_everywhere, committed), unit="×"),
    ]


async def _race(url: str, directory: Path, blocks: int, rounds: int) -> dict[str, Speeds]:
    empty = directory / "empty.db"
    await asyncio.to_thread(upgrade, f"sqlite:///{empty}")
    async with connect([url], chain_id=CHAIN_ID) as pool:
        here, everywhere = _Bounded(pool), _Bounded(pool, processes=processor_count())

        async def committed(catch_up: _Bounded, count: int) -> None:
            catch_up.last = count
            async with _follower(pool, empty, catch_up) as (follower, store):
                while await _cursor(store) < count:
                    await follower.step()

        async def read(catch_up: _Bounded, count: int) -> None:
            first = 1
            while first <= count:
                await catch_up.begin_step(first - 1, blocks + FAR_BEHIND + 1)
                last = catch_up.last_of_step(first, count)
                async with aclosing(catch_up.blocks(first, last)) as reading:
                    async for _ in reading:
                        pass
                first = last + 1

        try:
            return await race(
                {
                    "committed": Contender(count=blocks, run=lambda count: committed(here, count)),
                    "read": Contender(count=blocks, run=lambda count: read(here, count)),
                    "committed, every core": Contender(count=blocks, run=lambda count: committed(everywhere, count)),
                    "read, every core": Contender(count=blocks, run=lambda count: read(everywhere, count)),
                },
                rounds=rounds,
            )
        finally:
            await everywhere.close()


class _Bounded(CatchUp):
    """Reads no further than `last`."""

    last = 0

    def __init__(self, pool: Pool, *, processes: int = 0) -> None:
        super().__init__(CHAIN, pool, watched=(), processes=processes)

    def last_of_step(self, first: int, last: int) -> int:
        return super().last_of_step(first, min(last, self.last) if self.last else last)


@asynccontextmanager
async def _follower(pool: Pool, empty: Path, catch_up: CatchUp) -> AsyncIterator[tuple[Follower, Store]]:
    """A follower on a database of its own that has read nothing yet."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.db"
        shutil.copy(empty, path)
        store = Store.open(f"sqlite:///{path}")
        try:
            escrow = EscrowClient(pool, CHAIN, operator=b"\x09" * 20)
            finder = FactFinder(CHAIN, pool, store, WatchSet(CHAIN_ID, monotonic=time.monotonic))
            yield (
                Follower(CHAIN, pool, store, escrow, finder, signals=Signals(), wall=SystemClock(), catch_up=catch_up),
                store,
            )
        finally:
            await store.close()


async def _cursor(store: Store) -> int:
    async with store.read() as uow:
        cursor = await uow.chain.cursor(CHAIN_ID)
    return 0 if cursor is None else cursor.number


# --- over time ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A commit: seconds since the beginning, the newest block then, how many were in flight and in how many
    processes they were proven."""

    at_s: float
    number: int
    in_flight: int
    processes: int


class _Noted(CatchUp):
    """Keeps a record of commits."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(CHAIN, pool, watched=(), processes=processor_count())
        self._began_at = time.perf_counter()
        self.notes: list[Committed] = []

    def committed(self, number: int, head: int) -> None:
        at_s = time.perf_counter() - self._began_at
        self.notes.append(Committed(at_s=at_s, number=number, in_flight=self.in_flight, processes=len(self.pids)))
        super().committed(number, head)


def over_time(*, blocks: int = BLOCKS_OVER_TIME) -> list[Committed]:
    """One catch-up from the first block to the head, commit by commit."""
    with serving(make_chain(blocks), latency_s=AWAY_S) as url, tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_over_time(url, Path(directory) / "empty.db"))


async def _over_time(url: str, empty: Path) -> list[Committed]:
    await asyncio.to_thread(upgrade, f"sqlite:///{empty}")
    async with connect([url], chain_id=CHAIN_ID) as pool:
        noted = _Noted(pool)
        try:
            async with _follower(pool, empty, noted) as (follower, _):
                while await follower.step():
                    pass
        finally:
            await noted.close()
        return noted.notes
