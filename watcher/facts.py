"""Gathering all that proven blocks mean for payments: logs, transactions, balances and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from openpay.app.follow import BlockFacts
from openpay.app.ports import Database
from openpay.app.records import Block
from openpay.chain.fallback import learn_outcomes
from openpay.chain.pool import Pool
from openpay.chain.proofs import Basis, ProvenBlock
from openpay.domain.chains import Chain
from watcher.internal import InternalTransfers
from watcher.matching import Matcher
from watcher.record import Record
from watcher.reports import ReportedTransactions
from watcher.watch_set import WatchSet

STATE_DEPTH = 100
"""Blocks below the head whose balances are asked for. Nodes keep the state of 128."""


class FactFinder:
    """Turns proven blocks of one chain into facts to commit."""

    def __init__(self, chain: Chain, pool: Pool, db: Database, watched: WatchSet) -> None:
        self._chain_id = chain.chain_id
        self._matcher = Matcher(chain)
        self._pool = pool
        self._watched = watched
        self._internal = InternalTransfers(chain, pool, db)
        self._reports = ReportedTransactions(chain.chain_id, pool, db, self._matcher)

    async def find(
        self, blocks: Sequence[ProvenBlock], record: Record | None, *, head: int, wall_now: int
    ) -> list[BlockFacts]:
        """The facts of consecutive blocks, `head` being the chain's own newest.

        The blocks were fetched before this is called, and the addresses are refreshed before they are matched: no
        payment that was committed before its block was fetched is overlooked.
        """
        await self._watched.refresh(at=blocks[0].timestamp)
        paid = {address for block in blocks for address in self._matcher.recipients(block, self._watched)}
        payments = await self._watched.payment_ids(paid)
        facts = [self._match(await self._with_outcomes(block, payments), payments) for block in blocks]
        newest = facts[-1]
        if head - newest.block.number <= STATE_DEPTH:
            internal = await self._internal.find(
                newest.block,
                [deposit for each in facts for deposit in each.deposits],
                [log for each in facts for log in each.escrow_logs],
            )
            newest = replace(newest, deposits=(*newest.deposits, *internal))
        if record is not None:
            attempts = await self._reports.look_up(record, wall_now=wall_now)
            newest = replace(newest, attempts=tuple(attempts))
        return [*facts[:-1], newest]

    async def _with_outcomes(self, block: ProvenBlock, payments: Mapping[bytes, str]) -> ProvenBlock:
        """`block` such that it can be matched: where its receipts are not known, hosts are asked about the few
        transactions whose outcome decides about money."""
        if block.basis is Basis.PROVEN:
            return block
        return await learn_outcomes(self._pool, block, self._matcher.native_transfers(block, payments))

    def _match(self, proven: ProvenBlock, payments: Mapping[bytes, str]) -> BlockFacts:
        matches = self._matcher.match(proven, payments)
        block = Block(
            chain_id=self._chain_id,
            number=proven.number,
            hash=proven.hash,
            parent_hash=proven.parent_hash,
            time=proven.timestamp,
        )
        return BlockFacts(block=block, deposits=matches.deposits, escrow_logs=matches.escrow_logs)
