"""What a watched address costs: time for each block, memory, and time to start, from 1,000 of them to 1,000,000.

Blocks (150 transactions, 1,000 logs, none of them ours) are read by followers on databases of different sizes, in
turns, each block handed over as bytes in this process; what is compared is processor time. Memory is the most that the
process of `openpay watcher` ever held on the same database, loading the addresses and reading blocks over loopback.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from openpay.store import Store
from openpay.store.migrate import upgrade
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.latency import CHAIN, Node, open_follower
from scripts.benchmarks.recovery import Watching
from scripts.benchmarks.samples import GrowingChain, make_chain, serving
from watcher.follower import Follower

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
BLOCKS = 60
"""Read on each database."""
LARGEST_RATIO = 1.1
LARGEST_MIB = 250


@dataclass(frozen=True, kw_only=True)
class Point:
    """What `addresses` watched addresses cost: milliseconds of processor time for a block, MiB of the process at its
    most, seconds to load them."""

    addresses: int
    block_ms: float
    memory_mib: float
    load_s: float


def run(*, counts: Sequence[int] = COUNTS, blocks: int = BLOCKS) -> list[Figure]:
    """The figures of `points`, the first and the last compared."""
    measured, ratio = points(counts, blocks=blocks)
    return [
        *(Figure(name=f"{each.addresses:,} addresses: a block", value=each.block_ms, unit="ms") for each in measured),
        Figure(name=f"a block at {counts[-1]:,} / at {counts[0]:,}", value=ratio, unit="×", limit=LARGEST_RATIO),
        *(
            Figure(
                name=f"{each.addresses:,} addresses: memory of the process",
                value=each.memory_mib,
                unit="MiB",
                limit=LARGEST_MIB,
            )
            for each in measured
        ),
        *(Figure(name=f"{each.addresses:,} addresses: loading them", value=each.load_s, unit="s") for each in measured),
    ]


def points(counts: Sequence[int] = COUNTS, *, blocks: int = BLOCKS) -> tuple[list[Point], float]:
    """A point for each of `counts`, for a plot; and the median of the ratios of the last to the first."""
    with tempfile.TemporaryDirectory(prefix="openpay-bench-") as name:
        databases = [Path(name) / f"{count}.db" for count in counts]
        for count, database in zip(counts, databases, strict=True):
            fill(database, count)
        costs = asyncio.run(_costs(databases, blocks))
        measured = [
            Point(
                addresses=count,
                block_ms=statistics.median(cost.blocks_s) * 1000,
                memory_mib=_memory_mib(database),
                load_s=cost.load_s,
            )
            for count, database, cost in zip(counts, databases, costs, strict=True)
        ]
    ratios = [last / first for first, last in zip(costs[0].blocks_s, costs[-1].blocks_s, strict=True)]
    return measured, statistics.median(ratios)


def fill(database: Path, count: int) -> None:
    """A migrated database with `count` open payments, alike but for their ids and addresses."""
    upgrade(f"sqlite:///{database}")
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        columns = [row[1:3] for row in connection.execute("PRAGMA table_info(payments)")]
        values = {name: "0" if "INT" in kind or kind == "BOOLEAN" else "''" for name, kind in columns}
        values |= {
            "seq": "n",
            "id": "'pay_' || n",
            "chain_id": str(CHAIN.chain_id),
            "status": "'pending'",
            "deadline": str(2**40),
            "watched_until": "NULL",
            "terms_id": "printf('0x%064x', n)",
            "address": "printf('0xaaaaaaaa%032x', n)",
        }
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT ?) "  # noqa: S608
            f"INSERT INTO payments ({', '.join(values)}) SELECT {', '.join(values.values())} FROM numbers",
            (count,),
        )
    connection.close()


@dataclass(kw_only=True)
class _Cost:
    load_s: float
    blocks_s: list[float]


async def _costs(databases: Sequence[Path], blocks: int) -> list[_Cost]:
    async with AsyncExitStack() as stack:
        chain, nodes, followers, costs = GrowingChain(), list[Node](), list[Follower](), list[_Cost]()
        for database in databases:
            store = Store.open(f"sqlite:///{database}")
            stack.push_async_callback(store.close)
            nodes.append(Node())
            followers.append(await stack.enter_async_context(open_follower(store, nodes[-1])))
            costs.append(_Cost(load_s=0.0, blocks_s=[]))
        first = chain.next_block()
        for node, follower, cost in zip(nodes, followers, costs, strict=True):
            node.grow(first)
            began = time.perf_counter()
            await follower.step()
            cost.load_s = time.perf_counter() - began
        with _undisturbed():
            for _ in range(blocks):
                block = chain.next_block()
                for node, follower, cost in zip(nodes, followers, costs, strict=True):
                    node.grow(block)
                    gc.collect(0)
                    began = time.process_time()
                    await follower.step()
                    cost.blocks_s.append(time.process_time() - began)
    return costs


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without full collections, which look at everything that all the databases' followers hold."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _memory_mib(database: Path) -> float:
    """The most that a watcher's process holds, loading and reading."""
    with sqlite3.connect(database) as connection:
        connection.executescript("DELETE FROM cursors; DELETE FROM blocks; DELETE FROM block_ranges;")
    connection.close()
    with serving(make_chain(40)) as url, Watching(database, url) as watching:
        watching.await_block(above=39)
        return watching.memory_mib()["VmHWM"]
