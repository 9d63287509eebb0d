"""Rescans: ranges of old blocks, read once more on request, in small parts between the steps of following.

Nothing about money is decided from a part that only one host vouches for: its blocks link to each other and to the part
before, and hosts agree on the last of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from itertools import pairwise

import structlog

from openpay.app import rescan
from openpay.app.follow import BlockFacts
from openpay.app.mending import Rescan
from openpay.app.ports import Clock, Database
from openpay.app.rescan import Part
from openpay.app.signals import Signals
from openpay.chain.pool import Pool
from openpay.chain.proofs import ProvenBlock
from openpay.domain.chains import Chain
from openpay.errors import ChainUnavailable, ConcurrentChange, RetryableError
from watcher.backfill import Backfill
from watcher.facts import FactFinder

MOST_BLOCKS = 50
"""In one part."""
PART_S = 0.5
"""A part that took so long is committed as it is, so that following waits for little more."""
LOOK_EVERY_S = 1.0
"""How often it is looked whether anything was asked for."""
REST_S = 5.0
"""After a part that failed."""

_log = structlog.get_logger(__name__)


class Rescans:
    """Carries out the requests for one chain, the oldest first. `monotonic` is in seconds.

    Nothing is remembered between turns: where the process dies, the next leader goes on.
    """

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        db: Database,
        finder: FactFinder,
        *,
        signals: Signals,
        wall: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._db = db
        self._finder = finder
        self._signals = signals
        self._wall = wall
        self._monotonic = monotonic
        self._backfill = Backfill(pool)
        self._rests_until = float("-inf")

    async def turn(self) -> bool:
        """Read the next part of what is asked for, if anything is; whether it did.

        A node or database that is away is no error here: following tells of it, and the part is read later.
        """
        now = self._monotonic()
        if now < self._rests_until:
            return False
        part: Part | None = None
        try:
            part = await rescan.next_part(self._db, self._chain.chain_id)
            if part is None:
                self._rests_until = now + LOOK_EVERY_S
                return False
            await self._read(part)
        except RetryableError as error:
            self._rests_until = now + REST_S
            await self._tell(part, error)
            return False
        return True

    async def _tell(self, part: Part | None, error: RetryableError) -> None:
        """Say why a part could not be read, also to whoever waits for it."""
        _log.warning("rescan will go on later", chain_id=self._chain.chain_id, reason=str(error))
        if part is None or isinstance(error, ConcurrentChange):
            return
        with suppress(RetryableError):  # the log has it, and the next try will say so again
            await rescan.note_failure(self._db, part.rescan, str(error), wall_now=self._wall.now())

    async def _read(self, part: Part) -> None:
        request = part.rescan
        facts = await self._facts(request.next, min(part.last, request.next + MOST_BLOCKS - 1))
        newest = facts[-1].block
        agreement = await self._pool.second_host(newest.number, newest.hash)
        if not agreement.confirmed:
            raise ChainUnavailable(f"hosts do not agree on block {newest.number} ({agreement})")
        if request.last_hash is not None and facts[0].block.parent_hash != request.last_hash:
            await self._end(request, f"block {request.next - 1} is no longer the one that was read: the chain changed")
            return
        wall_now = self._wall.now()
        done = await rescan.commit_part(self._db, request, facts, wall_now=wall_now, tokens=self._chain.tokens)
        if done.changed:
            self._signals.notify("payments")
        if done.events:
            self._signals.notify("events")
        if done.rescan.found_deposits != request.found_deposits or done.rescan.done_at is not None:
            _log.info(
                "rescan",
                chain_id=self._chain.chain_id,
                first=request.first,
                last=request.last,
                read_up_to=newest.number,
                deposits=done.rescan.found_deposits,
                logs=done.rescan.found_logs,
            )

    async def _facts(self, first: int, last: int) -> list[BlockFacts]:
        """What the blocks from `first` on hold, linked, as far as there is time. A block is let go once that is known:
        whole, it takes megabytes. Raises `ChainUnavailable`."""
        began_at = self._monotonic()
        facts: list[BlockFacts] = []
        async with aclosing(self._backfill.blocks(first, last)) as reading:
            async for block in reading:
                whole = block if isinstance(block, ProvenBlock) else block.open()
                facts += await self._finder.find_for_all([whole])
                if self._monotonic() - began_at > PART_S:
                    break
        for before, after in pairwise(each.block for each in facts):
            if after.parent_hash != before.hash:
                raise ChainUnavailable(f"block {after.number} does not follow block {before.number}: nodes disagree")
        return facts

    async def _end(self, request: Rescan, failure: str) -> None:
        _log.error("rescan ended early", chain_id=self._chain.chain_id, reason=failure)
        await rescan.note_failure(self._db, request, failure, wall_now=self._wall.now(), is_final=True)
