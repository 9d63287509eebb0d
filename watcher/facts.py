"""Gathering all that proven blocks mean for payments: logs, transactions, balances and reports."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace

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
from openpay.domain.deposit import RevertedAttempt
from watcher.backfill import ReadBlock
from watcher.internal import InternalTransfers, Wanted
from watcher.matching import Matcher, PlacedLog
from watcher.record import Record
from watcher.reports import ReportedTransactions
from watcher.watch_set import WatchSet


class _Everybody:
    """A set of addresses that none is missing from."""

    def __contains__(self, address: object) -> bool:
        return True


_EVERYBODY = _Everybody()


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What to look for in blocks, besides the watched addresses: none of it depends on what is in them."""

    head: int
    """The height of the chain's own newest block."""
    vaults: Wanted
    was_step_due: bool
    """Whether `vaults` are those of a step of the rounds, where one is due."""
    attempts: Sequence[RevertedAttempt] = ()


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

    async def prepare(self, record: Record | None, *, newest: int, since: int, head: int, wall_now: int) -> Sought:
        """Take in whom to look for, in blocks from time `since` up to height `newest`, `head` being the chain's own.

        To be called once the blocks' hashes are known, be their content here or not: whoever was paid in a block had an
        address before the block was made. So no payment that was committed before is overlooked.
        """
        was_step_due = self._internal.is_step_due(since)
        async with self._db.read() as uow:
            await self._watched.refresh(uow, at=since)
            reports = [] if record is None else await uow.attempts.open_reports(self._chain_id)
            vaults = await self._internal.wanted(uow, number=newest, time=since, head=head)
        attempts = [] if record is None else await self._reports.look_up(reports, record, wall_now=wall_now)
        return Sought(head=head, vaults=vaults, was_step_due=was_step_due, attempts=attempts)

    async def find(self, blocks: Sequence[ReadBlock], sought: Sought) -> list[BlockFacts]:
        """The facts of consecutive blocks, for which `prepare` was called."""
        opened = [await self._open(block) for block in blocks]
        facts = await self._matched(opened, self._watched)
        internal = await self._internal.find(facts, await self._vaults(sought, blocks[-1]))
        last = replace(
            facts[-1],
            deposits=(*facts[-1].deposits, *internal.deposits),
            attempts=tuple(sought.attempts),
            balance_round=internal.balance_round,
            settled_doubts=internal.settled_doubts,
        )
        return [*facts[:-1], last]

    async def _vaults(self, sought: Sought, newest: ReadBlock) -> Wanted:
        """The vaults to look at; asked for again where a step of the rounds is due by the block's own time only."""
        if sought.was_step_due or not self._internal.is_step_due(newest.timestamp):
            return sought.vaults
        async with self._db.read() as uow:
            return await self._internal.wanted(uow, number=newest.number, time=newest.timestamp, head=sought.head)

    async def find_for_all(self, blocks: Sequence[ProvenBlock]) -> list[BlockFacts]:
        """The facts of old blocks for every payment there ever was, watched any more or not. Neither balances nor
        reports: nodes no longer have the state of these blocks."""
        return await self._matched(blocks, _EVERYBODY)

    async def _matched(self, blocks: Sequence[ReadBlock], watched: Container[bytes]) -> list[BlockFacts]:
        """What is in the blocks for the payments at the addresses in `watched`."""
        logs = {block.hash: self._matcher.logs(block) for block in blocks if isinstance(block, ProvenBlock)}
        whole = [block for block in blocks if isinstance(block, ProvenBlock)]
        paid = {each for block in whole for each in self._matcher.recipients(block, watched, logs[block.hash])}
        payments = await self._payments(paid)
        return [await self._facts(block, payments, logs.get(block.hash, ())) for block in blocks]

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

    async def _facts(self, read: ReadBlock, payments: Mapping[bytes, str], logs: Sequence[PlacedLog]) -> BlockFacts:
        block = Block(
            chain_id=self._chain_id,
            number=read.number,
            hash=read.hash,
            parent_hash=read.parent_hash,
            time=read.timestamp,
        )
        if isinstance(read, DigestedBlock):
            return BlockFacts(block=block)
        matches = self._matcher.match(await self._with_outcomes(read, payments), payments, logs)
        return BlockFacts(block=block, deposits=matches.deposits, escrow_logs=matches.escrow_logs)

    async def _with_outcomes(self, block: ProvenBlock, payments: Mapping[bytes, str]) -> ProvenBlock:
        """`block` such that it can be matched: where its receipts are not known, hosts are asked about the few
        transactions whose outcome decides about money."""
        if block.basis is Basis.PROVEN:
            return block
        return await learn_outcomes(self._pool, block, self._matcher.native_transfers(block, payments))
