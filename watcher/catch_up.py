"""Being far behind: how blocks are read then, how many share a transaction, and what is said about it.

Near the head a block is read whole, and committed alone. Further behind than `FAR_BEHIND`, blocks are digested, those
that are final share transactions, and over a long gap other processes do the proving. The step between the two is
none: the same loop reads the same blocks in the same order, each from where the last one was committed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Container
from dataclasses import dataclass, field

import structlog

from openpay.chain.digest import Concerns
from openpay.chain.memory import keep_freed_memory
from openpay.chain.pool import Pool
from openpay.chain.provers import Provers
from openpay.domain.chains import Chain
from watcher.backfill import Backfill, ReadBlock
from watcher.local_chain import Link
from watcher.progress import Progress, duration

FAR_BEHIND = 64
"""Blocks. Further behind than this, final blocks share a transaction."""
LONG_GAP = 500
"""Blocks that are worth starting processes for: about two seconds of proving."""
BLOCKS_PER_TRANSACTION = 50
BYTES_PER_TRANSACTION = 32 * 2**20
SECONDS_PER_TRANSACTION = 2.0
"""Where blocks come slowly, what was read is kept, and seen, at least this often."""
STEP_S = 2.0
"""How long to read before the head, and whether to stop, are looked at again; in blocks by the rate of late."""
FIRST_STEP, LEAST_STEP, LONGEST_STEP = 100, 10, 2_000
"""Blocks: while the rate is not known, and whatever it is."""

_log = structlog.get_logger(__name__)


@dataclass(kw_only=True)
class Batch:
    """Consecutive blocks that are to be committed in one transaction. `clock` is monotonic seconds, `weigh` says how
    many bytes a block takes."""

    clock: Callable[[], float]
    weigh: Callable[[ReadBlock], int]
    blocks: list[ReadBlock] = field(default_factory=list)
    size: int = 0
    began_at: float = 0.0

    def add(self, block: ReadBlock) -> None:
        if not self.blocks:
            self.began_at = self.clock()
        self.blocks.append(block)
        self.size += self.weigh(block)

    @property
    def is_full(self) -> bool:
        """Whether to commit: by number, by bytes, or by the time that the first one has been waiting."""
        return (
            len(self.blocks) >= BLOCKS_PER_TRANSACTION
            or self.size >= BYTES_PER_TRANSACTION
            or self.clock() - self.began_at >= SECONDS_PER_TRANSACTION
        )


class CatchUp:
    """What a follower knows about being behind. `processes`: how many may prove blocks over a long gap; 0 for none.

    `watched`: the addresses that are looked for, as far as they are known when a block is read. `clock` is monotonic
    seconds.
    """

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        *,
        watched: Container[bytes] | None = None,
        processes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._processes = processes
        self._clock = clock
        self._provers = Provers(Concerns.of(chain))
        self._near = Backfill(pool, clock=clock)
        self._far = Backfill(pool, self._provers, watched=watched, clock=clock)
        self._progress: Progress | None = None
        self._step: tuple[int, float] | None = None
        """The block and the time at which the present step began."""
        self._rate: float | None = None
        """Blocks a second in the step before."""

    @property
    def pids(self) -> list[int]:
        """The processes that prove blocks at present."""
        return self._provers.pids

    @property
    def in_flight(self) -> int:
        """How many blocks are fetched at once while far behind."""
        return self._far.in_flight

    async def begin_step(self, tip: int, head: int) -> None:
        """Get ready to read on from block `tip`, `head` being the chain's newest; say so when that changes how."""
        now = self._clock()
        if self._step is None:
            keep_freed_memory()
        if self._step is not None and tip > self._step[0]:
            self._rate = (tip - self._step[0]) / max(now - self._step[1], 1e-3)
        self._step = tip, now
        if head - tip > FAR_BEHIND and self._progress is None:
            self._progress = Progress.begin(tip, now)
            _log.info("catching up", chain_id=self._chain.chain_id, block=tip, blocks_left=head - tip)
        if head - tip > LONG_GAP and self._rate is not None:
            # Not in the first step: a watcher that was just started has better things to do than to start others.
            await self._provers.start(self._processes)
        elif head - tip <= FAR_BEHIND:
            await self._provers.close()
            if self._progress is not None:
                self._tell_end(self._progress, tip, now)
                self._progress = None

    def last_of_step(self, first: int, last: int) -> int:
        """Where a step that begins at `first` ends, on its way to `last`."""
        blocks = FIRST_STEP if self._rate is None else round(self._rate * STEP_S)
        blocks = max(LEAST_STEP, min(LONGEST_STEP, blocks))
        return min(last, first + blocks - 1)

    def blocks(self, first: int, last: int, *, head: Link | None = None) -> AsyncGenerator[ReadBlock]:
        """The blocks `first` to `last`, as `Backfill.blocks` hands them out."""
        return self._backfill.blocks(first, last, head=head)

    def batch(self) -> Batch:
        return Batch(clock=self._clock, weigh=self._backfill.weigh)

    def committed(self, number: int, head: int) -> None:
        """Block `number` is committed: say how far that is, when it is time to."""
        now = self._clock()
        if self._progress is None or not self._progress.is_due(now):
            return
        report = self._progress.report(number, now, head=head, block_interval_s=self._chain.block_interval_s)
        self._progress = self._progress.at(number, now)
        _log.info(
            "catching up",
            chain_id=self._chain.chain_id,
            block=number,
            blocks_left=report.blocks_left,
            blocks_per_s=round(report.blocks_per_s, 1),
            time_left=report.time_left,
            in_flight=self.in_flight,
        )

    async def close(self) -> None:
        """End the processes. May be called twice; what is read afterwards is proven in this process."""
        await self._provers.close()

    @property
    def _backfill(self) -> Backfill:
        return self._near if self._progress is None else self._far

    def _tell_end(self, progress: Progress, tip: int, now: float) -> None:
        seconds, blocks = now - progress.began_at, tip - progress.first
        _log.info(
            "caught up, following now",
            chain_id=self._chain.chain_id,
            block=tip,
            blocks=blocks,
            took=duration(seconds),
            blocks_per_s=round(blocks / max(seconds, 1e-3), 1),
        )
