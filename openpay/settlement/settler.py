"""The settler: one operation after the other, first those under way, then the next one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from openpay.app.ports import Clock, Database
from openpay.app.records import OperatorTransaction
from openpay.app.signals import Signals
from openpay.chain.escrow_abi import error_name
from openpay.chain.pool import Pool
from openpay.chain.signing import Signer
from openpay.domain.chains import Chain
from openpay.errors import RetryableError
from openpay.settlement.decisions import ENDS, Fate, ended, fate_of
from openpay.settlement.operator import Operator
from openpay.settlement.settlements import Settlements
from openpay.settlement.sources import Ending, Source, Work
from openpay.settlement.withdrawals import Withdrawals

POLL_S = 1.0
BATCH = 100
"""How many waiting operations are looked at in one round."""
FIRST_PAUSE_S = 5
LONGEST_PAUSE_S = 3_600

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Pause:
    """An operation that would revert now: not looked at before `until`, in wall-clock seconds."""

    until: int
    length_s: int


class Settler:
    """Settles the paid payments of one chain and carries out withdrawals. Only one may run per chain and key."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        db: Database,
        *,
        signer: Signer,
        signals: Signals,
        wall: Clock,
    ) -> None:
        self._chain = chain
        self._db = db
        self._signals = signals
        self._wall = wall
        self._operator = Operator(chain, pool, db, signer=signer, wall=wall)
        # Withdrawals first: a merchant waits for each of them, and there are few.
        self._sources: dict[str, Source] = {source.kind: source for source in (Withdrawals(chain), Settlements(chain))}
        self._paused: dict[str, _Pause] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What fails for lack of a node, or because a row changed meanwhile, comes again."""
        while not stop.is_set():
            under_way = False
            try:
                under_way = await self.step()
            except RetryableError as error:
                _log.warning("settler tries again", chain_id=self._chain.chain_id, reason=str(error))
            # While one is under way the next block matters; otherwise only news do.
            await self._wait(stop, min(self._chain.block_interval_s, POLL_S) if under_way else POLL_S)

    async def step(self) -> bool:
        """One round: follow what was signed, then start at most one operation; whether one was sent or waits for a
        block. Nothing is started while a transaction is in no block, so that nonces leave no gap.

        Raises `RetryableError` when a node or the database gave no answer: take the step again, later.
        """
        async with self._db.read() as uow:
            cursor = await uow.chain.cursor(self._chain.chain_id)
            open_transactions = await uow.operations.open_transactions(self._chain.chain_id)
        final_number = None if cursor is None else cursor.final_number
        fates = [await self._follow(transaction, final_number=final_number) for transaction in open_transactions]
        if Fate.UNMINED in fates:
            return True
        return await self._start_next([t for t, fate in zip(open_transactions, fates, strict=True) if fate not in ENDS])

    # --- what is under way ---------------------------------------------------------------------------------------

    async def _follow(self, transaction: OperatorTransaction, *, final_number: int | None) -> Fate:
        sighting = await self._operator.look(transaction, final_number=final_number)
        fate = fate_of(transaction, sighting)
        if fate is Fate.UNMINED:
            await self._operator.send(transaction)
        elif fate in ENDS and await self._finish(transaction, fate):
            self._signals.notify("payments", "operations")
            _log.info("transaction ended", tx=transaction.tx_hash.hex(), subject=transaction.subject, fate=fate.name)
        return fate

    async def _finish(self, transaction: OperatorTransaction, fate: Fate) -> bool:
        """Record the end of a transaction and of what it was for; False when the watcher must read its log first."""
        async with self._db.write() as uow:
            source = self._sources[transaction.kind]
            ending = Ending(fate=fate, tx_hash=transaction.tx_hash, hashes=frozenset({transaction.tx_hash}))
            recorded = await source.ended(uow, transaction.subject, ending, now=self._wall.now())
            if recorded:
                await uow.operations.save_transaction(ended(transaction, fate))
        return recorded

    # --- what comes next -----------------------------------------------------------------------------------------

    async def _start_next(self, still_open: list[OperatorTransaction]) -> bool:
        under_way = {transaction.subject for transaction in still_open}
        after = max((transaction.nonce for transaction in still_open), default=None)
        async with self._db.read() as uow:
            now, limit = self._wall.now(), BATCH + len(self._paused)
            due = [work for source in self._sources.values() for work in await source.due(uow, now=now, limit=limit)]
        waiting = {work.subject for work in due}
        self._paused = {subject: pause for subject, pause in self._paused.items() if subject in waiting}
        for work in due:
            waits = work.subject not in under_way and not self._is_paused(work.subject)
            if waits and await self._start(work, after=after):
                return True
        return False

    def _is_paused(self, subject: str) -> bool:
        pause = self._paused.get(subject)
        return pause is not None and pause.until > self._wall.now()

    async def _start(self, work: Work, *, after: int | None) -> bool:
        source = self._sources[work.kind]
        refusal = await self._operator.refusal(work.to, work.data)
        if refusal is not None:
            reason = error_name(refusal.data) or refusal.message
            async with self._db.write() as uow:
                over = await source.refused(uow, work, reason, now=self._wall.now())
            if over:
                self._signals.notify("operations")
            else:
                self._pause(work.subject, reason)
            return False
        self._paused.pop(work.subject, None)
        transaction = await self._operator.sign(work.to, work.data, kind=work.kind, subject=work.subject, after=after)
        async with self._db.write() as uow:
            await source.submitted(uow, work.subject, transaction.tx_hash)
            await uow.operations.add_transaction(transaction)
        await self._send(transaction)
        return True

    async def _send(self, transaction: OperatorTransaction) -> None:
        """Send what was just committed. From here on a failure is mended by the next round, which finds it open."""
        self._signals.notify("payments", "operations")
        await self._operator.send(transaction)
        _log.info("transaction sent", tx=transaction.tx_hash.hex(), kind=transaction.kind, subject=transaction.subject)

    def _pause(self, subject: str, reason: str) -> None:
        before = self._paused.get(subject)
        length_s = FIRST_PAUSE_S if before is None else min(2 * before.length_s, LONGEST_PAUSE_S)
        self._paused[subject] = _Pause(until=self._wall.now() + length_s, length_s=length_s)
        level = _log.info if reason == "AlreadySettled" else _log.error
        level("cannot be done now", subject=subject, reason=reason, again_in_s=length_s)

    async def _wait(self, stop: asyncio.Event, timeout_s: float) -> None:
        hint = asyncio.ensure_future(self._signals.wait("operations", timeout_s=timeout_s))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({hint, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (hint, stopped):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
