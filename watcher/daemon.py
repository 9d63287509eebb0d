"""The watcher as a role: steps again and again, waits while there is nothing new, and outlasts what is only broken."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import structlog

from openpay.app.ports import Clock, Database
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import Pool
from openpay.domain.alerts import Alarm, AlertKind, Silent
from openpay.domain.chains import Chain
from openpay.errors import RetryableError
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.metrics import ChainMetrics, uncounted
from watcher.watch_set import WatchSet

LONGEST_POLL_S = 1.0
SHORTEST_POLL_S = 0.1
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
        self._alarm = alarm or Silent()
        self._metrics = metrics or uncounted(chain.chain_id)
        # Half an interval: a block is seen when it is half an interval old at most, on average a quarter.
        self._poll_s = min(max(chain.block_interval_s / 2, SHORTEST_POLL_S), LONGEST_POLL_S)
        watched = WatchSet(db, chain.chain_id, monotonic=time.monotonic)
        finder = FactFinder(chain, pool, db, watched)
        self._follower = Follower(chain, pool, db, escrow, finder, signals=signals, wall=wall, alarm=self._alarm)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the chain until `stop` is set. A node or database that is away is waited for, however long.

        Raises `FatalError` when going on would risk money: another watcher, or a reorg below finality.
        """
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                progressed = await self._follower.step()
            except RetryableError as error:
                self._metrics.step_failed()
                _log.warning("step failed, will be taken again", chain_id=self._chain_id, reason=str(error))
                await _sleep(stop, pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._alarm.clear(AlertKind.WATCHER_STOPPED, self._chain_id)  # by whomever it was raised
            if not progressed:
                await _sleep(stop, self._poll_s)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
