"""Gathering all that proven blocks mean for payments: logs, transactions, balances and reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from openpay.app.follow import BlockFacts
from openpay.app.ports import Database
from openpay.app.records import Block
from openpay.chain.digest import DigestedBlock
from openpay.chain.fallback import learn_outcomes
from openpay.chain.fetch import fetch_block
from openpay.chain.pool import Pool
from openpay.chain.proofs import Basis, ProvenBlock
from openpay.domain.alerts import Alarm, Silent
from openpay.domain.chains import Chain
from watcher.backfill import ReadBlock
from watcher.internal import InternalTransfers
from watcher.matching import Matcher
from watcher.record import Record
from watcher.reports import ReportedTransactions
from watcher.watch_set import WatchSet


class _Everybody:
    """A set of addresses that none is missing from."""

    def __contains__(self, address: object) -> bool:
        return True


_EVERYBODY = _Everybody()


class FactFinder:
    """Turns proven blocks of one chain into facts to commit."""

    def __init__(
        self, chain: Chain, pool: Pool, db: Database, watched: WatchSet, *, alarm: Alarm | None = None
    ) -> None:
        self._chain_id = chain.chain_id
        self._matcher = Matcher(chain)
        self._pool = pool
        self._db = db
        self._watched = watched
        self._internal = InternalTransfers(chain, pool, db, alarm or Silent())
        self._reports = ReportedTransactions(pool, db, self._matcher)

    async def find(
        self, blocks: Sequence[ReadBlock], record: Record | None, *, head: int, wall_now: int
    ) -> list[BlockFacts]:
        """The facts of consecutive blocks, `head` being the chain's own newest.

        The blocks were fetched before this is called, and the addresses are refreshed before they are matched: no
        payment that was committed before its block was fetched is overlooked.
        """
        async with self._db.read() as uow:
            await self._watched.refresh(uow, at=blocks[0].timestamp)
            reports = [] if record is None else await uow.attempts.open_reports(self._chain_id)
            newest = blocks[-1]
            vaults = await self._internal.wanted(uow, number=newest.number, time=newest.timestamp, head=head)
        opened = [await self._open(block) for block in blocks]
        whole = [block for block in opened if isinstance(block, ProvenBlock)]
        paid = {address for block in whole for address in self._matcher.recipients(block, self._watched)}
        payments = await self._payments(paid)
        facts = [await self._facts(block, payments) for block in opened]
        internal = await self._internal.find(facts, vaults)
        attempts = [] if record is None else await self._reports.look_up(reports, record, wall_now=wall_now)
        last = replace(
            facts[-1],
            deposits=(*facts[-1].deposits, *internal.deposits),
            attempts=tuple(attempts),
            balance_round=internal.balance_round,
            settled_doubts=internal.settled_doubts,
        )
        return [*facts[:-1], last]

    async def find_for_all(self, blocks: Sequence[ProvenBlock]) -> list[BlockFacts]:
        """The facts of old blocks for every payment there ever was, watched any more or not. Neither balances nor
        reports: nodes no longer have the state of these blocks."""
        paid = {address for block in blocks for address in self._matcher.recipients(block, _EVERYBODY)}
        payments = await self._payments(paid)
        return [await self._facts(block, payments) for block in blocks]

    async def _payments(self, paid: Collection[bytes]) -> Mapping[bytes, str]:
        """The payments that these addresses belong to, by address."""
        if not paid:
            return {}
        async with self._db.read() as uow:
            return await uow.payments.ids_by_address(self._chain_id, paid)

    async def _open(self, block: ReadBlock) -> ReadBlock:
        """`block` whole, unless its digest shows that it is of no concern.

        It is fetched again where a payment was made after it was read: then it was let go, and now it is of concern.
        """
        if isinstance(block, DigestedBlock) and block.digest.may_concern(self._watched):
            return await fetch_block(self._pool, block.hash) if block.body is None else block.open()
        return block

    async def _facts(self, read: ReadBlock, payments: Mapping[bytes, str]) -> BlockFacts:
        block = Block(
            chain_id=self._chain_id,
            number=read.number,
            hash=read.hash,
            parent_hash=read.parent_hash,
            time=read.timestamp,
        )
        if isinstance(read, DigestedBlock):
            return BlockFacts(block=block)
        matches = self._matcher.match(await self._with_outcomes(read, payments), payments)
        return BlockFacts(block=block, deposits=matches.deposits, escrow_logs=matches.escrow_logs)

    async def _with_outcomes(self, block: ProvenBlock, payments: Mapping[bytes, str]) -> ProvenBlock:
        """`block` such that it can be matched: where its receipts are not known, hosts are asked about the few
        transactions whose outcome decides about money."""
        if block.basis is Basis.PROVEN:
            return block
        return await learn_outcomes(self._pool, block, self._matcher.native_transfers(block, payments))
