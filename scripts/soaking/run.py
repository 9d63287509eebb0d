"""The soak itself: a chain grows, nodes fail, the watcher reads and is killed; then its ledger is compared."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from openpay.app.records import Cursor
from openpay.store import Store
from scripts.soaking import reader
from scripts.soaking.books import Books, Verdict
from scripts.soaking.plan import DEEPEST_REORG, Episode, Plan
from scripts.soaking.troubles import Troubles
from tests.faults.chain import MadeBlock
from tests.faults.ledger import check_coverage
from tests.faults.node import SimulatedNode, accept_everything, serving_nodes
from tests.faults.shop import CHAIN_ID, ESCROW, make_chain, store_merchant, store_payments

NODES = 3
KEPT_BLOCKS = 3 * DEEPEST_REORG
"""Blocks below the head that nodes remember; far more than anybody asks for."""
FINALITY_LAG = 2
CHAIN = make_chain(block_interval_s=0.2)
PAYMENTS_PER_TRANSACTION = 2_000
PROGRESS_EVERY_S = 3.0
LOOK_EVERY_S = 0.04
PATIENCE_S = 10.0
"""Without progress for so long, the nodes are healed."""
STUCK_S = 120.0
"""Without progress for so long among healthy nodes, the watcher is stuck."""


class Stuck(Exception):
    """The watcher ended by itself, or reads no further."""


@dataclass(kw_only=True)
class Soaked:
    """What a soak came to."""

    verdict: Verdict
    blocks: int
    kills: int
    reorgs: Counter[int]
    """How many of each depth."""
    troubles: Counter[str]
    seconds: float
    is_whole: bool
    """Whether it got to its end before the time was up."""


@dataclass
class Soak:
    """One run. `minutes` bounds it: what was not reached then is left out, and said."""

    plan: Plan
    kills: int
    seed: int
    database_url: str
    log: Path
    minutes: float
    echo: Callable[[str], None]
    _killed: int = 0
    _reorgs: Counter[int] = field(default_factory=Counter)
    _process: BaseProcess | None = None
    _served: int = 0
    _last_line: float = 0.0

    async def run(self) -> Soaked:
        """Raises `Stuck`, and `AssertionError` for a record that is not continuous."""
        self._random = random.Random(f"kills {self.seed}")
        self._began = time.monotonic()
        self._store = Store.open(self.database_url)
        self._books = Books(self.plan.payments)
        tip = self.plan.tip
        self._nodes = [
            SimulatedNode(tip, chain_id=CHAIN_ID, finality_lag=FINALITY_LAG, contracts={ESCROW: accept_everything})
            for _ in range(NODES)
        ]
        try:
            await self._store_payments()
            async with serving_nodes(*self._nodes) as self._servers:
                self._troubles = Troubles(self.seed, self._nodes, self._servers)
                self._start()
                try:
                    is_whole = await self._tell_chain()
                    await self._read_in_peace()
                finally:
                    self._stop()
            tip = self.plan.tip
            self._settle(tip.number)
            await check_coverage(self._store, tip, chain_id=CHAIN_ID)
            verdict = await self._books.compare(self._store)
        finally:
            await self._store.close()
        return Soaked(
            verdict=verdict,
            blocks=tip.number,
            kills=self._killed,
            reorgs=self._reorgs,
            troubles=self._troubles.counts,
            seconds=time.monotonic() - self._began,
            is_whole=is_whole,
        )

    async def _store_payments(self) -> None:
        await store_merchant(self._store)
        payments = self.plan.payments
        for start in range(0, len(payments), PAYMENTS_PER_TRANSACTION):
            await store_payments(self._store, payments[start : start + PAYMENTS_PER_TRANSACTION])
        self.echo(f"{len(payments):,} payments stored after {time.monotonic() - self._began:.0f} s")

    # --- the chain -------------------------------------------------------------------------------------------------

    async def _tell_chain(self) -> bool:
        """Episode after episode, until there are enough transfers and deaths; False when the time is up before."""
        while not self.plan.is_complete or self._killed < self.kills:
            if time.monotonic() - self._began > self.minutes * 60:
                return False
            episode = self.plan.next_episode()
            if episode.depth:
                self._reorgs[episode.depth] += 1
            victims = [payment.address for payment in self.plan.payments[:100]]
            self._troubles.stir(self.plan.tree, self._nodes[0].head, victims)
            await self._publish(episode)
            self._settle(self._nodes[0].finalized)
        return True

    async def _publish(self, episode: Episode) -> None:
        """Let the nodes have the blocks, at once or one after another, and the watcher read and die meanwhile."""
        steps = episode.blocks[-1:] if episode.gulp else episode.blocks
        for block in steps:
            self._troubles.follow(block, episode.finality_lag)
            if not episode.gulp:
                await self._watched_for(self._random.uniform(0.0, 0.1))
        if self._is_due_to_die():
            await self._kill()
        # Mostly the watcher keeps up; now and then the chain runs away from it, and the next reorg meets its catch-up.
        await self._read_to(episode.blocks[-1].number - self._random.choice((0, 0, 0, 2, 20, 150)))

    def _settle(self, height: int) -> None:
        """Enter in the books what no reorg can reach, and let go of what nobody will ask for."""
        for number in range(self._books.settled + 1, height + 1):
            self._books.settle(self._nodes[0].blocks[number])
        below = min(self._books.settled, self._nodes[0].head.number - KEPT_BLOCKS)
        if below > 0 and below % 50 == 0:
            for node in self._nodes:
                node.forget(below)
            self.plan.forget(below)

    # --- the watcher -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        urls = [server.url for server in self._servers]
        self._process = reader.start(self.database_url, urls, CHAIN, self.log)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _is_due_to_die(self) -> bool:
        """Deaths are spread over the transfers; those that are left at the end follow one another."""
        share = self.plan.transfers / self.plan.goal
        return self._killed < self.kills and self._killed < self.kills * share

    async def _kill(self) -> None:
        """SIGKILL in the middle of something: after a drawn number of questions, and a drawn moment more."""
        enough = self._questions() + self._random.randint(1, 60)
        until = time.monotonic() + 3.0
        while self._questions() < enough and time.monotonic() < until:
            await self._watched_for(0.002)
        await asyncio.sleep(self._random.uniform(0.0, 0.05))
        self._stop()
        self._killed += 1
        self._start()

    def _questions(self) -> int:
        """How many questions the nodes were asked so far."""
        for server in self._servers:
            self._served += len(server.asked)
            server.asked.clear()
        return self._served

    async def _watched_for(self, seconds: float) -> None:
        """Wait; raises `Stuck` when the watcher ended by itself, as one does that fears for money."""
        await asyncio.sleep(seconds)
        if self._process is not None and not self._process.is_alive():
            raise Stuck(f"the watcher ended by itself with status {self._process.exitcode}")
        if time.monotonic() - self._last_line > PROGRESS_EVERY_S:
            await self._show()

    async def _cursor(self) -> Cursor | None:
        async with self._store.read() as uow:
            return await uow.chain.cursor(CHAIN_ID)

    async def _read_to(self, number: int) -> None:
        """Wait until the watcher has read up to this height, on whatever branch."""
        moved_at, seen = time.monotonic(), None
        while True:
            cursor = await self._cursor()
            self._questions()
            if cursor is not None and cursor.number >= number:
                return
            if cursor != seen:
                moved_at, seen = time.monotonic(), cursor
            stands_s = time.monotonic() - moved_at
            if stands_s > STUCK_S:
                raise Stuck(f"the watcher stands at {cursor}, the chain at {self._nodes[0].head}")
            if stands_s > PATIENCE_S:
                self._troubles.heal(self._nodes[0].head)
            await self._watched_for(LOOK_EVERY_S)

    async def _read_in_peace(self) -> None:
        """All nodes are well, and what holds a transfer becomes final."""
        self._troubles.heal(self._nodes[0].head)
        episode = self.plan.last_episode(CHAIN.confirmations)
        self._troubles.follow(episode.blocks[-1], FINALITY_LAG)
        await self._read_to(episode.blocks[-1].number)
        final = self.plan.tip.number - CHAIN.confirmations + 1
        until = time.monotonic() + STUCK_S
        while True:
            cursor = await self._cursor()
            tip: MadeBlock = self.plan.tip
            if cursor is not None and cursor.hash == tip.hash and cursor.final_number == final:
                return
            if time.monotonic() > until:
                raise Stuck(f"the watcher stands at {cursor}, the chain at {tip}, final at {final}")
            await self._watched_for(LOOK_EVERY_S)

    async def _show(self) -> None:
        """A line about how far the soak is."""
        self._last_line = now = time.monotonic()
        cursor = await self._cursor()
        read = 0 if cursor is None else cursor.number
        done = self.plan.transfers
        rate = done / (now - self._began)
        left_s = max(0, self.plan.goal - done) / rate if rate else 0.0
        self.echo(
            f"block {read:,} of {self._nodes[0].head.number:,} · {done:,} of {self.plan.goal:,} transfers · "
            f"{self._killed} kills · {self._reorgs.total()} reorgs, deepest {max(self._reorgs, default=0)} · "
            f"{rate:,.0f} transfers/s · about {left_s / 60:.1f} min left"
        )


def report(soaked: Soaked) -> list[str]:
    """What was done, and the verdict in the last line."""
    verdict = soaked.verdict
    depths = sorted(soaked.reorgs)
    lines = [
        "",
        f"{verdict.transfers:,} transfers to payments in {soaked.blocks:,} blocks, {soaked.seconds:,.0f} s",
        f"{soaked.kills} kills; {soaked.reorgs.total()} reorgs"
        + (f" of {depths[0]} to {depths[-1]} blocks" if depths else ""),
        f"{soaked.troubles.total()} faults of {len(soaked.troubles)} kinds",
        "payments: " + ", ".join(f"{count:,} {status}" for status, count in sorted(verdict.statuses.items())),
        *verdict.wrong[:20],
        f"wrong = {len(verdict.wrong)}",
    ]
    if not soaked.is_whole:
        lines.append("The time was up before the end.")
    return [*lines, f"missed = {verdict.missed}, duplicate = {verdict.duplicate}"]
