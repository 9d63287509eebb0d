"""Following a chain: read each block, prove it, link it, find what it means, and commit it - once, and in order.

Invariant: the cursor stands at block n exactly when every block up to n was read whole and what it means is committed.
Each step fetches first, decides without waiting, and commits last; nothing is remembered between steps but mirrors of
what the database holds. So a step that fails, or a process that dies, anywhere, is simply taken again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import structlog

from openpay.app import follow
from openpay.app.follow import BlockFacts, Committed, Question
from openpay.app.ports import Clock, Database
from openpay.app.signals import Signals
from openpay.chain import headers
from openpay.chain.errors import NoEndpointAnswered, NotAgreed
from openpay.chain.escrow import EscrowClient
from openpay.chain.fetch import fetch_block
from openpay.chain.pool import Pool
from openpay.domain.alerts import Alarm, Silent
from openpay.domain.assessment import EscrowAnswer
from openpay.domain.chains import Chain
from openpay.errors import ChainUnavailable, ReorgBelowFinality, RetryableError
from watcher.backfill import ReadBlock
from watcher.branches import Branches
from watcher.catch_up import FAR_BEHIND, CatchUp
from watcher.facts import FactFinder
from watcher.finality import final_candidate
from watcher.local_chain import Extends, Gap, Known, Link, Reorg, TooDeep, Unlinked, relate
from watcher.lookout import Heads, Lookout, link_of
from watcher.metrics import ChainMetrics, uncounted
from watcher.record import Record
from watcher.unproven import Unproven
from watcher.vouching import Vouching

A = TypeVar("A")
B = TypeVar("B")

_Linked = Link | ReadBlock
"""A block, of which only its place in the chain matters."""
Verdict = tuple[int | None, dict[str, EscrowAnswer]]
"""What is final, None for no news; and the escrow's answers by payment."""

_log = structlog.get_logger(__name__)


class Follower:
    """Follows one chain, a step at a time. Not for concurrent use: one follower per chain."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        db: Database,
        escrow: EscrowClient,
        finder: FactFinder,
        *,
        signals: Signals,
        wall: Clock,
        alarm: Alarm | None = None,
        catch_up: CatchUp | None = None,
        metrics: ChainMetrics | None = None,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._db = db
        self._escrow = escrow
        self._finder = finder
        self._signals = signals
        self._wall = wall
        self._catch_up = catch_up or CatchUp(chain, pool)
        self._unproven = Unproven(alarm or Silent(), chain.chain_id)
        self._metrics = metrics or uncounted(chain.chain_id)
        self._lookout = Lookout(chain, pool)
        self._branches = Branches(pool, self._lookout)
        self._vouching = Vouching(chain, pool, alarm or Silent(), self._branches)
        self._record: Record | None = None
        self._is_far_behind = False

    async def step(self) -> bool:
        """Read what is new, up to a limit; whether anything was.

        Raises `RetryableError` when a node or the database gave no answer: take the step again, later. Raises
        `FatalError` when going on would risk money.
        """
        try:
            return await self._step()
        except RetryableError as error:
            # A commit whose outcome was never heard may have happened: ask the database where we stand.
            self._record = None
            if isinstance(error, NotAgreed):
                self._unproven.held(error)
            raise
        except ReorgBelowFinality as error:
            self._vouching.stopped(error)
            raise

    async def _step(self) -> bool:
        heads = await self._lookout.look()
        if self._record is None:
            cursor = await follow.read_cursor(self._db, self._chain.chain_id)
            if cursor is None:
                return await self._begin(heads)
            self._record = await Record.load(self._db, cursor)
        self._tell_lag(self._record, heads.latest.number)
        await self._catch_up.begin_step(self._record.tip.number, heads.likely)
        match relate(self._record.view(), [heads.latest]):
            case Unlinked() | Reorg() | TooDeep() if not heads.of_all:
                # One host's word for it that what was read is no longer true: the others are heard first.
                self._lookout.doubt()
                return True
            case Known():
                return False
            case Extends():
                return await self._advance(self._record, heads, heads.latest.number)
            case Gap(last=last):
                return await self._advance(self._record, heads, last)
            case Unlinked() | Reorg() | TooDeep():
                return await self._switch_branch(self._record, heads.latest, host=heads.host)

    # --- forward ---------------------------------------------------------------------------------------------------

    async def _begin(self, heads: Heads) -> bool:
        """Commit the first block ever: the configured one, else the newest that is final now."""
        first = self._chain.start_block
        if first is None:
            candidate = final_candidate(self._chain, head=heads.latest.number, finalized=heads.finalized)
            first = max(0, candidate.number)
        if first > heads.latest.number:
            return False
        async with aclosing(self._catch_up.blocks(first, first)) as blocks:
            async for block in blocks:
                await self._vouching.begin(block.number, block.hash, is_final=self._chain.start_block is None)
                await self._commit([block], heads)
        return True

    async def _advance(self, record: Record, heads: Heads, last: int) -> bool:
        """Read from the tip to `last` or the step's limit, and commit in order.

        A head that is one node's invention may lie above blocks that no node has: then what there is is read one by
        one.
        """
        first = record.tip.number + 1
        last = self._catch_up.last_of_step(first, last)
        try:
            if first == heads.latest.number:
                return await self._read_newest(record, heads)
            return await self._read(record, heads, first, last)
        except NoEndpointAnswered as error:
            if not error.is_missing:
                raise
            if record.tip.number >= first:
                return True
            if last > first:
                return await self._advance(record, heads, first)
            reason = f"it names block {heads.latest.number}, and nobody has block {first}"
            self._lookout.unfounded(heads, reason, is_far=heads.latest.number - first > FAR_BEHIND)
            raise

    async def _read_newest(self, record: Record, heads: Heads) -> bool:
        """Read the head, which follows the tip: nearly every step. All that can be done without its content is done
        while that is on its way."""
        wall_now = self._wall.now()
        block, (sought, verdict) = await beside(
            fetch_block(self._pool, heads.latest.hash),
            both(
                # The tip's time, for that of the head is only a node's word as yet: looking further back does no harm.
                self._finder.prepare(
                    record, newest=heads.latest.number, since=record.tip.time, head=heads.sure, wall_now=wall_now
                ),
                self._verdicts([heads.latest], heads),
            ),
        )
        if block.parent_hash != record.tip.hash:
            return await self._part(record, heads, block)
        await self._store([block], await self._finder.find([block], sought), verdict, heads, wall_now=wall_now)
        return True

    async def _read(self, record: Record, heads: Heads, first: int, last: int) -> bool:
        batch = self._catch_up.batch()
        async with aclosing(self._catch_up.blocks(first, last, head=heads.latest)) as blocks:
            async for block in blocks:
                parent = batch.blocks[-1].hash if batch.blocks else record.tip.hash
                if block.parent_hash != parent:
                    # The node's chain is not ours, or changed while it was read. Keep what links, then look.
                    if batch.blocks:
                        await self._commit(batch.blocks, heads)
                    return await self._part(record, heads, block)
                batch.add(block)
                if batch.is_full or not self._may_share(block.number, heads):
                    await self._commit(batch.blocks, heads)
                    batch = self._catch_up.batch()
        if batch.blocks:
            await self._commit(batch.blocks, heads)
        return True

    async def _part(self, record: Record, heads: Heads, block: ReadBlock) -> bool:
        """`block` does not follow the tip: see where it leads, if that is more than one host's word."""
        if not heads.of_all:
            self._lookout.doubt()
            return True
        return await self._switch_branch(record, _link_of(block))

    def _may_share(self, number: int, heads: Heads) -> bool:
        """Whether a block may be committed together with its successors: only where no reorg is to be expected."""
        candidate = final_candidate(self._chain, head=heads.latest.number, finalized=heads.finalized)
        return heads.latest.number - number > FAR_BEHIND and number <= candidate.number

    async def _commit(self, blocks: Sequence[ReadBlock], heads: Heads) -> None:
        """Find what consecutive blocks mean, and store it in one transaction."""
        wall_now = self._wall.now()
        # Neither needs the other, and both wait for nodes: for balances, and for the hosts and the escrow.
        facts, verdict = await both(self._facts(blocks, heads, wall_now=wall_now), self._verdicts(blocks, heads))
        await self._store(blocks, facts, verdict, heads, wall_now=wall_now)

    async def _facts(self, blocks: Sequence[ReadBlock], heads: Heads, *, wall_now: int) -> list[BlockFacts]:
        sought = await self._finder.prepare(
            self._record, newest=blocks[-1].number, since=blocks[0].timestamp, head=heads.sure, wall_now=wall_now
        )
        return await self._finder.find(blocks, sought)

    async def _store(
        self,
        blocks: Sequence[ReadBlock],
        facts: Sequence[BlockFacts],
        verdict: Verdict,
        heads: Heads,
        *,
        wall_now: int,
    ) -> None:
        final_number, answers = verdict
        began_at = time.perf_counter()
        committed = await follow.commit_blocks(
            self._db,
            facts,
            final_number=final_number,
            seen_head=heads.likely,
            answers=answers,
            wall_now=wall_now,
            tokens=self._chain.tokens,
        )
        self._metrics.committed(
            blocks=len(blocks),
            agreed=sum(bool(block.agreed) for block in blocks),
            seconds=time.perf_counter() - began_at,
        )
        if self._record is None:
            self._record = Record([fact.block for fact in facts], final_number=committed.cursor.final_number)
        else:
            self._record.extend([fact.block for fact in facts], final_number=committed.cursor.final_number)
        self._tell(committed, facts)
        self._unproven.committed(blocks)
        self._catch_up.committed(blocks[-1].number, heads.likely)

    async def _verdicts(self, blocks: Sequence[_Linked], heads: Heads) -> Verdict:
        """What is final once `blocks` are linked, and what the escrow says of the payments that this concerns."""
        final_number = await self._final_number(blocks, heads)
        return final_number, await self._ask_escrow(final_number, heads)

    async def _final_number(self, blocks: Sequence[_Linked], heads: Heads) -> int | None:
        """The newest block that is final once `blocks` are linked, vouched for by the hosts; None for no news."""
        return await self._vouching.final_number(
            head=blocks[-1].number,
            finalized=heads.finalized,
            known=None if self._record is None else self._record.final_number,
            hash_at=lambda number: self._hash_at(number, blocks),
        )

    def _hash_at(self, number: int, blocks: Sequence[_Linked]) -> bytes | None:
        if number >= blocks[0].number:
            return blocks[number - blocks[0].number].hash
        return self._record.hash_at(number) if self._record is not None else None

    async def _ask_escrow(self, final_number: int | None, heads: Heads) -> dict[str, EscrowAnswer]:
        """The escrow's word on each payment whose transaction is final, at the newest block that is final.

        Not at our own final block at first: nodes keep the state of 128 blocks only, and we may be behind. But then,
        because that newest block is one node's word, and may be an invention.
        """
        if final_number is None and self._record is not None:
            final_number = self._record.final_number
        if final_number is None:
            return {}
        asked = await follow.questions(self._db, self._chain.chain_id, final_number=final_number)
        # Never below the final block either: before their money arrived, the escrow would refuse these payments.
        at = max(heads.latest.number - self._chain.confirmations, heads.finalized or 0, final_number)
        blocks = tuple(dict.fromkeys((at, final_number)))
        # All at once: the pool bounds how many connections a host is asked on.
        answers = await asyncio.gather(*(self._ask_about(question, blocks) for question in asked))
        return {question.payment_id: answer for question, answer in zip(asked, answers, strict=True)}

    async def _ask_about(self, question: Question, blocks: Sequence[int]) -> EscrowAnswer:
        """The first usable answer at one of `blocks`."""
        for block in blocks:
            answer = await self._escrow.check(question.terms, question.asset_index, block=block, escrow=question.escrow)
            if answer is not None:
                return answer
        return None

    # --- back ------------------------------------------------------------------------------------------------------

    async def _switch_branch(self, record: Record, newest: Link, *, host: str | None = None) -> bool:
        """Follow a branch down to where it left the record, and take back what is above. Changes nothing before it
        has found that place: a branch that leads nowhere retracts no deposit. `host`: whose branch it is, if known."""
        branch = [newest]
        while True:
            match relate(record.view(), branch):
                case Unlinked(number=number, parent_hash=parent_hash):
                    branch.append(await self._parent(number=number, block_hash=parent_hash))
                case Reorg(ancestor=ancestor):
                    first = branch[-1]
                    if await self._branches.may_leave(
                        first.number, ours=record.hash_at(first.number), theirs=first.hash
                    ):
                        await self._undo_to(record, ancestor)
                    return True
                case TooDeep() as deep:
                    outvoted = await self._vouching.outvoted(deep, host=host)
                    if not outvoted:
                        await self._vouching.refuse(deep)
                    for each in outvoted:
                        # One host alone must not hold the watcher up, whatever it invents.
                        self._lookout.leave_out(each, f"it has another block {deep.floor} than others call final")
                    return True
                case Known() | Extends() | Gap():
                    return True

    async def _undo_to(self, record: Record, ancestor: int) -> None:
        _log.warning("reorg", ancestor=ancestor, depth=record.tip.number - ancestor)
        self._metrics.reorg(record.tip.number - ancestor)
        while record.tip.number > ancestor:
            committed = await follow.undo_head(
                self._db, record.tip, wall_now=self._wall.now(), tokens=self._chain.tokens
            )
            record.shorten()
            self._tell(committed, ())

    # --- asking ----------------------------------------------------------------------------------------------------

    async def _parent(self, *, number: int, block_hash: bytes) -> Link:
        """A header by its hash, recomputed: a branch must hang together before anything is taken back for it."""
        link = link_of(await headers.header_by_hash(self._pool, block_hash))
        if link.number != number:
            raise ChainUnavailable(f"the parent of block {number + 1}, 0x{block_hash.hex()}, has number {link.number}")
        return link

    def _tell_lag(self, record: Record, head: int) -> None:
        """Say it once when the node falls below the final block on record, and once when it is back."""
        is_far_behind = head < record.floor
        if is_far_behind and not self._is_far_behind:
            _log.warning("node is far behind what was recorded", head=head, recorded=record.tip.number)
        elif self._is_far_behind and not is_far_behind:
            _log.info("node has caught up with what was recorded", head=head)
        self._is_far_behind = is_far_behind

    def _tell(self, committed: Committed, facts: Sequence[BlockFacts]) -> None:
        if committed.changed:
            self._signals.notify("payments")
        if committed.events:
            self._signals.notify("events")
        deposits = sum(len(fact.deposits) for fact in facts)
        if committed.changed or deposits:
            _log.info(
                "block committed",
                block=committed.cursor.number,
                deposits=deposits,
                changed=[f"{payment.id} {payment.status}" for payment in committed.changed],
            )


def _link_of(block: ReadBlock) -> Link:
    return Link(number=block.number, hash=block.hash, parent_hash=block.parent_hash)


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """What two things come to that are done at the same time. When one fails, the other is given up."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        one, other = await asyncio.gather(*tasks)
        return one, other
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def beside(main: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Like `both`, for a `main` that takes longer: no moment is lost once it is done. A failure of `other` is heard
    then."""
    task = asyncio.ensure_future(other)
    try:
        return await main, await task
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
