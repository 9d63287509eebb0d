"""Transactions that the checkout page's wallet reported: found on the chain, and judged by the chain alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from openpay.app.ports import Database
from openpay.app.records import Report
from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.fallback import learn_outcomes
from openpay.chain.fetch import fetch_block
from openpay.chain.pool import Pool
from openpay.domain.deposit import RevertedAttempt
from openpay.errors import ChainUnavailable, InvariantViolated
from watcher.matching import Matcher, index_of
from watcher.record import Record

REPORT_LIFE_S = 86_400
"""A reported transaction that is in no block after this long is forgotten."""
REPORTS_PER_ROUND = 20
"""Looked up for each block, so that a flood of reports delays no block by much."""
LONGEST_REST = 60
"""Blocks between two looks at a transaction that no node knows. It rests as many blocks as it was looked up before, up
to these: whoever knows a page's address may report what never comes, and each look-up is a request."""

_log = structlog.get_logger(__name__)


class ReportedTransactions:
    """Looks up open reports, a few per block in turn."""

    def __init__(self, pool: Pool, db: Database, matcher: Matcher) -> None:
        self._pool = pool
        self._db = db
        self._matcher = matcher
        self._asked: dict[tuple[str, bytes], int] = {}
        """How often each open report was looked up: the least asked come first."""
        self._rests_until: dict[tuple[str, bytes], int] = {}
        self._round = 0

    async def look_up(self, reports: Sequence[Report], record: Record, *, wall_now: int) -> list[RevertedAttempt]:
        """Those of the open `reports` that are found reverted in a block on record.

        Reports whose transaction succeeded in a final block, was meant for something else, or never came are closed.
        """
        attempts, done = [], []
        chosen = self._choose(reports)
        for report, (attempt, is_done) in zip(
            chosen, await asyncio.gather(*(self._judge(report, record) for report in chosen)), strict=True
        ):
            if attempt is not None:
                attempts.append(attempt)
            elif is_done or wall_now - report.reported_at > REPORT_LIFE_S:
                done.append(report)
        if done:
            async with self._db.write() as uow:
                for report in done:
                    await uow.attempts.close_report(report.payment_id, report.tx_hash)
        return attempts

    def _choose(self, reports: Sequence[Report]) -> list[Report]:
        """Those whose turn it is in this round, the least asked first."""
        self._round += 1
        keys = {(report.payment_id, report.tx_hash) for report in reports}
        self._asked = {key: times for key, times in self._asked.items() if key in keys}
        self._rests_until = {key: until for key, until in self._rests_until.items() if key in keys}
        rested = [key for key in keys if self._rests_until.get(key, 0) <= self._round]
        turn = set(sorted(rested, key=lambda key: (self._asked.get(key, 0), key))[:REPORTS_PER_ROUND])
        for key in turn:
            self._asked[key] = self._asked.get(key, 0) + 1
        return [report for report in reports if (report.payment_id, report.tx_hash) in turn]

    async def _judge(self, report: Report, record: Record) -> tuple[RevertedAttempt | None, bool]:
        """The attempt that a report turned out to be, and whether there is nothing more to learn about it.

        What no node can tell, of a block that they let go of long ago for example, must not hold up the chain: anybody
        may report such a transaction.
        """
        try:
            return await self._look_at(report, record)
        except ChainUnavailable as error:
            _log.warning("reported transaction not looked up", tx_hash=report.tx_hash.hex(), reason=str(error))
            self._rest(report)
            return None, False

    def _rest(self, report: Report) -> None:
        key = (report.payment_id, report.tx_hash)
        self._rests_until[key] = self._round + min(self._asked[key], LONGEST_REST)

    async def _look_at(self, report: Report, record: Record) -> tuple[RevertedAttempt | None, bool]:
        receipt = await self._pool.find(reads.transaction_receipt(report.tx_hash))
        if receipt is None:
            self._rest(report)
            return None, False
        number, block_hash = read_quantity(receipt.block_number), read_bytes(receipt.block_hash)
        if number > record.tip.number:
            return None, False
        if number < record.floor:
            # Below what is kept in memory; the block is final, so hosts can be asked which it is.
            if not (await self._pool.second_host(number, block_hash)).confirmed:
                return None, False
        elif record.hash_at(number) != block_hash:
            return None, False
        block = await fetch_block(self._pool, block_hash)
        async with self._db.read() as uow:
            payment = await uow.payments.get(report.payment_id)
        if payment is None:
            raise InvariantViolated(f"a transaction was reported for {report.payment_id}, which is no payment")
        index = index_of(block, report.tx_hash)
        if index is None:
            return None, False
        block = await learn_outcomes(self._pool, block, [index])
        attempt = self._matcher.reverted_attempt(block, index, report, payment.address)
        return attempt, attempt is None and number <= record.floor
