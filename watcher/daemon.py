"""The watcher as a role: steps again and again, waits while there is nothing new, and outlasts what is only broken."""

from __future__ import annotations

import asyncio
import time

import structlog

from openpay.app.ports import Clock, Database
from openpay.app.signals import Signals
from openpay.app.stopping import pause
from openpay.chain.escrow import EscrowClient
from openpay.chain.heads import HeadHints
from openpay.chain.pool import Pool
from openpay.chain.provers import processor_count
from openpay.domain.alerts import Alarm, AlertKind, Silent
from openpay.domain.chains import Chain
from openpay.errors import RetryableError
from watcher.catch_up import CatchUp
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.metrics import ChainMetrics, uncounted
from watcher.rescan import Rescans
from watcher.watch_set import WatchSet

LONGEST_POLL_S = 1.0
SHORTEST_POLL_S = 0.1
SLOW_POLLS = 4
"""So many times longer is the wait for the next look while nodes announce their blocks."""
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0

_log = structlog.get_logger(__name__)


class Watcher:
    """Watches one chain until told to stop."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        db: Database,
        escrow: EscrowClient,
        *,
        signals: Signals,
        wall: Clock,
        alarm: Alarm | None = None,
        metrics: ChainMetrics | None = None,
    ) -> None:
        self._chain_id = chain.chain_id
        self._pool = pool
        self._block_interval_s = chain.block_interval_s
        self._alarm = alarm or Silent()
        self._metrics = metrics or uncounted(chain.chain_id)
        # Half an interval: a block is seen when it is half an interval old at most, on average a quarter.
        self._poll_s = min(max(chain.block_interval_s / 2, SHORTEST_POLL_S), LONGEST_POLL_S)
        self._watched = WatchSet(chain.chain_id, monotonic=time.monotonic)
        finder = FactFinder(chain, pool, db, self._watched, alarm=self._alarm)
        self._catch_up = CatchUp(chain, pool, watched=self._watched, processes=processor_count())
        self._follower = Follower(
            chain,
            pool,
            db,
            escrow,
            finder,
            signals=signals,
            wall=wall,
            alarm=self._alarm,
            catch_up=self._catch_up,
            metrics=self._metrics,
        )
        self._rescans = Rescans(chain, pool, db, finder, signals=signals, wall=wall)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the chain until `stop` is set. A node or database that is away is waited for, however long.

        Raises `FatalError` when going on would risk money: another watcher, or a reorg below finality.
        """
        try:
            async with self._pool.heads(block_interval_s=self._block_interval_s) as hints:
                await self._follow(stop, hints)
        finally:
            await self._catch_up.close()

    async def _follow(self, stop: asyncio.Event, hints: HeadHints) -> None:
        pause_s = FIRST_PAUSE_S
        was_hinted = False
        while not stop.is_set():
            hints.take()
            try:
                progressed = await self._follower.step()
            except RetryableError as error:
                self._metrics.step_failed()
                _log.warning("step failed, will be taken again", chain_id=self._chain_id, reason=str(error))
                await pause(stop, pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._alarm.clear(AlertKind.WATCHER_STOPPED, self._chain_id)  # by whomever it was raised
            self._metrics.watching(len(self._watched))
            # A part of a rescan after each step, however busy: it delays the next one by a second at most.
            rescanned = await self._rescans.turn()
            was_hinted = not (progressed or rescanned) and await self._wait(stop, hints, in_vain=was_hinted)

    async def _wait(self, stop: asyncio.Event, hints: HeadHints, *, in_vain: bool) -> bool:
        """Until it is time to look again; whether that is for a hint.

        `in_vain` says that the last look was for a hint and found nothing: then the node that is asked lags behind the
        one that announces, and is polled as if there were no hints; or hints are invented, and must not hurry us on.
        """
        poll_s = self._poll_s
        if in_vain:
            await pause(stop, SHORTEST_POLL_S)
        elif hints.are_coming:
            poll_s *= SLOW_POLLS
        return await pause(stop, poll_s, unless=hints.wait())
