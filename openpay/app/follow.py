"""What a block means for payments, committed in one transaction.

Invariant: the cursor is at block n exactly when every block up to n was read, and every deposit, status and event that
follows from blocks up to n is stored. Cursor, deposits, transitions and events move together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from openpay.app.judging import judge
from openpay.app.ports import Database, UnitOfWork
from openpay.app.records import BalanceRound, Block, Cursor, EscrowLog
from openpay.app.refunds import SignedRefunds, signed_refunds
from openpay.domain.assessment import EscrowAnswer
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit, RevertedAttempt
from openpay.domain.payment import Payment, Status
from openpay.domain.terms import Terms
from openpay.errors import CursorMoved, InvariantViolated, ReorgBelowFinality

FOLD_EVERY = 32
"""Final blocks are folded this many at a time: a row costs less than four statements."""

EXPIRED_AT_ONCE = 500
"""Payments that one transaction may expire; the next block takes the rest. After a week of downtime there are many."""

REREAD_AT_ONCE = 500
"""Payments that one transaction judges after a rewind, once the chain was read again; the next block takes the rest."""


@dataclass(frozen=True, kw_only=True)
class BlockFacts:
    """All that one block says to us. Escrow logs may leave `payment_id` None: it is found by `terms_id`."""

    block: Block
    deposits: tuple[Deposit, ...] = ()
    escrow_logs: tuple[EscrowLog, ...] = ()
    attempts: tuple[RevertedAttempt, ...] = ()
    balance_round: BalanceRound | None = None
    """How far the rounds over all vaults' balances came with this block; None where they made no step."""
    settled_doubts: tuple[str, ...] = ()
    """Payments whose balances were doubted, and were looked at in this block."""


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The new cursor, the payments that changed, and how many events were stored."""

    cursor: Cursor
    changed: tuple[Payment, ...]
    events: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """The escrow is to be asked whether it would settle these terms in this token."""

    payment_id: str
    escrow: bytes
    terms: Terms
    asset_index: int


async def read_cursor(db: Database, chain_id: int) -> Cursor | None:
    """Where reading stopped; None before the first block."""
    async with db.read() as uow:
        return await uow.chain.cursor(chain_id)


async def questions(db: Database, chain_id: int, *, final_number: int) -> list[Question]:
    """The confirming payments whose transaction is final at `final_number`: they wait for the escrow's word."""
    async with db.read() as uow:
        payments = await uow.payments.confirming(chain_id, up_to=final_number)
    asked = []
    for payment in payments:
        completion = payment.completion
        if completion is None or completion.reverted:
            continue
        offer = payment.offer(completion.token)
        if offer is None:
            raise InvariantViolated(f"{payment.id} is completed in {completion.token}, which it does not offer")
        asked.append(
            Question(payment_id=payment.id, escrow=payment.escrow, terms=payment.terms, asset_index=offer.asset_index)
        )
    return asked


async def commit_blocks(
    db: Database,
    facts: Sequence[BlockFacts],
    *,
    final_number: int | None,
    seen_head: int,
    answers: Mapping[str, EscrowAnswer],
    wall_now: int,
    tokens: Sequence[Token] = (),
) -> Committed:
    """Commit consecutive blocks and all that follows from them, in one transaction.

    `final_number`: the newest block final for us once these are read (already vouched for by a second host where two
    are configured); it never moves back. `answers`: the escrow's word by payment id, for `questions` asked before.
    `tokens`: those of the chain, which tell what money in a token that a payment does not accept is worth.
    Raises `CursorMoved` when another watcher wrote first, `InvariantViolated` for blocks that do not link.
    """
    first, last = facts[0].block, facts[-1].block
    async with db.write() as uow:
        old = await uow.chain.cursor(last.chain_id)
        _check_linked(old, facts)
        news: set[str] = set()
        for fact in facts:
            news |= await _record(uow, fact)
        new = Cursor(
            chain_id=last.chain_id,
            number=last.number,
            hash=last.hash,
            time=last.time,
            tip_time=last.time,
            final_number=None if old is None else old.final_number,
            final_time=None if old is None else old.final_time,
            seen_head=max(seen_head, last.number),
            read_at=wall_now,
            reread_to=None if old is None else old.reread_to,
        )
        if final_number is not None and (new.final_number is None or final_number > new.final_number):
            new = await _finalize(uow, new, min(final_number, last.number), first=first.number)
        reread: list[str] = []
        if not new.is_rereading:
            # Also once all was judged: on PostgreSQL a transaction that began before may mark a payment after that.
            reread = await uow.rewinds.marked(new.chain_id, limit=REREAD_AT_ONCE)
            await uow.rewinds.unmark(new.chain_id, reread)
            if new.reread_to is not None and not await uow.rewinds.is_any_marked(new.chain_id):
                new = replace(new, reread_to=None)
        await uow.chain.move_cursor(old, new)
        waiting, signed = await _touched_by_finality(uow, old, new)
        changed, told = await judge(
            uow,
            new,
            news,
            (waiting | set(reread)) - news,
            answers=answers,
            signed=signed,
            tokens=tokens,
            wall_now=wall_now,
            reread=reread,
            times={fact.block.number: fact.block.time for fact in facts},
        )
        return Committed(cursor=new, changed=changed, events=told)


async def undo_head(db: Database, block: Block, *, wall_now: int, tokens: Sequence[Token] = ()) -> Committed:
    """Take back `block`, the newest one read, because the chain no longer contains it.

    Deposits in it are retracted and their payments judged again from what is left. Raises `ReorgBelowFinality` when
    the block is final for us, `CursorMoved` when it is not the newest one read: then nothing is written.
    """
    chain_id = block.chain_id
    async with db.write() as uow:
        old = await uow.chain.cursor(chain_id)
        if old is None or (old.number, old.hash) != (block.number, block.hash):
            raise CursorMoved(f"chain {chain_id} is no longer at block {block.number}: another watcher is running")
        parent = await uow.chain.block(chain_id, old.number - 1)
        if old.final_number is not None and old.number <= old.final_number:
            raise ReorgBelowFinality(
                f"chain {chain_id} no longer contains block {old.number} (0x{old.hash.hex()}), recorded as final. "
                "Nothing was changed. Compare the nodes, then run `openpay rewind`."
            )
        if parent is None:
            raise ReorgBelowFinality(
                f"chain {chain_id} was reorganised below block {old.number}, the first one read. "
                "Nothing was changed. Go back to an older block with `openpay rewind`."
            )
        news = set(await uow.deposits.remove_block(block.hash))
        news |= set(await uow.attempts.remove_block(block.hash))
        news |= set(await uow.chain.remove_escrow_logs(block.hash))
        await uow.chain.remove_block(block)
        new = replace(old, number=parent.number, hash=parent.hash, time=parent.time, read_at=wall_now)
        resting = [payment.id for payment in await uow.payments.lock(news) if _rests_in(payment, block)]
        if resting:
            # Paid before a rewind, by a transfer that came again in a block that is not final: it may come once more.
            await uow.rewinds.mark(chain_id, resting)
            new = replace(new, reread_to=max(old.number, old.reread_to or 0))
        await uow.chain.move_cursor(old, new)
        changed, told = await judge(uow, new, news, set(), answers={}, signed={}, tokens=tokens, wall_now=wall_now)
        return Committed(cursor=new, changed=changed, events=told)


def _rests_in(payment: Payment, block: Block) -> bool:
    completion = payment.completion
    return payment.status is Status.PAID and completion is not None and completion.block_hash == block.hash


def _check_linked(cursor: Cursor | None, facts: Sequence[BlockFacts]) -> None:
    first = facts[0].block
    if cursor is not None and (first.parent_hash, first.number) != (cursor.hash, cursor.number + 1):
        raise CursorMoved(
            f"block {first.number} on 0x{first.parent_hash.hex()} does not follow the cursor at {cursor.number} "
            f"(0x{cursor.hash.hex()}): another watcher is running"
        )
    for before, after in pairwise(facts):
        if (after.block.parent_hash, after.block.number) != (before.block.hash, before.block.number + 1):
            raise InvariantViolated(f"block {after.block.number} does not follow block {before.block.number}")


async def _record(uow: UnitOfWork, fact: BlockFacts) -> set[str]:
    """Store a block's facts; the ids of the payments they are about."""
    chain_id = fact.block.chain_id
    await uow.chain.add_block(fact.block)
    if fact.balance_round is not None:
        await uow.vault_looks.move_round(fact.balance_round)
    if fact.settled_doubts:
        await uow.vault_looks.settle(fact.settled_doubts, at=fact.block.number)
    if not (fact.deposits or fact.escrow_logs or fact.attempts):
        return set()
    await uow.deposits.add(fact.deposits)
    known = await uow.payments.ids_by_terms(chain_id, {log.terms_id for log in fact.escrow_logs if log.terms_id})
    logs = [replace(log, payment_id=known.get(log.terms_id) if log.terms_id else None) for log in fact.escrow_logs]
    await uow.chain.add_escrow_logs(logs)
    for attempt in fact.attempts:
        await uow.attempts.add(attempt)
        await uow.attempts.close_report(attempt.payment_id, attempt.tx_hash)
    return (
        {deposit.payment_id for deposit in fact.deposits}
        | {attempt.payment_id for attempt in fact.attempts}
        | {log.payment_id for log in logs if log.payment_id is not None}
    )


async def _finalize(uow: UnitOfWork, cursor: Cursor, final_number: int, *, first: int) -> Cursor:
    """Raise the final block; folds rows that no reorg can reach any more."""
    block = await uow.chain.block(cursor.chain_id, final_number)
    if block is None:
        return cursor  # below the first block ever read: there is nothing of ours to call final
    previous = cursor.final_number if cursor.final_number is not None else first
    if final_number // FOLD_EVERY != previous // FOLD_EVERY:
        await uow.chain.fold(cursor.chain_id, final_number)
    return replace(cursor, final_number=final_number, final_time=block.time)


async def _touched_by_finality(uow: UnitOfWork, old: Cursor | None, new: Cursor) -> tuple[set[str], SignedRefunds]:
    """Payments to look at because time passed or a block became final, though nothing arrived for them; and the refunds
    that merchants made from their treasuries in the blocks that became final."""
    if new.final_number is None or new.final_time is None:
        return set(), {}
    touched = set(await uow.payments.ids_confirming(new.chain_id, up_to=new.final_number))
    touched |= set(await uow.payments.ids_past_deadline(new.chain_id, new.final_time, limit=EXPIRED_AT_ONCE))
    before = -1 if old is None or old.final_number is None else old.final_number
    if new.final_number <= before:
        return touched, {}
    logs = await uow.chain.escrow_logs_in(new.chain_id, before + 1, new.final_number)
    signed = await signed_refunds(uow, new.chain_id, logs)
    touched |= {log.payment_id for log in logs if log.payment_id is not None} | set(signed)
    return touched, signed
