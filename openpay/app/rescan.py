"""Reading blocks once more: `openpay rescan`. Whoever leads the watching of the chain does it, a part at a time.

Invariant: `next` of a request stands at block n exactly when all that was missing of the blocks before it is on record.
Deposits, what follows from them, and `next` are committed together; what was on record before is not added again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openpay.app.follow import BlockFacts
from openpay.app.judging import judge
from openpay.app.mending import Found, Rescan
from openpay.app.ports import Database, UnitOfWork
from openpay.app.records import EscrowLog
from openpay.app.refunds import signed_refunds
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit
from openpay.domain.payment import Payment
from openpay.domain.rescanning import correct, told_apart
from openpay.errors import ConcurrentChange, Conflict, Invalid, NotFound

MOST_NAMED = 100
"""Deposits that a request remembers one by one."""
CANCELED = "it was canceled."


@dataclass(frozen=True, kw_only=True)
class Part:
    """What may be read now of a request: up to `last`, which is final for us."""

    rescan: Rescan
    last: int


@dataclass(frozen=True, kw_only=True)
class Reread:
    """The request as it stands now, the payments that changed, and how many events were stored."""

    rescan: Rescan
    changed: tuple[Payment, ...]
    events: int


async def request_rescan(db: Database, chain_id: int, first: int, last: int, *, now: int) -> Rescan:
    """Ask the watcher to read blocks `first` to `last` once more. Raises `Invalid`."""
    if first < 0 or last < first:
        raise Invalid(f"blocks {first} to {last} are no range: name the first block and the last", code="invalid_range")
    async with db.write() as uow:
        cursor = await uow.chain.cursor(chain_id)
        if cursor is None or cursor.final_number is None:
            raise Invalid(f"no final block was read of chain {chain_id} yet: let the watcher run", code="nothing_read")
        if last > cursor.final_number:
            raise Invalid(
                f"block {last} is not final: only blocks up to {cursor.final_number} can be read once more, and the "
                "watcher is at those above",
                code="not_final",
            )
        return await uow.rescans.add(chain_id, first, last, now=now)


async def rescan_of(db: Database, rescan_id: int) -> Rescan | None:
    """How far a request is."""
    async with db.read() as uow:
        return await uow.rescans.get(rescan_id)


async def open_rescans(db: Database, chain_id: int) -> list[Rescan]:
    """The requests that are not done, oldest first."""
    async with db.read() as uow:
        return await uow.rescans.open(chain_id)


async def cancel_rescan(db: Database, chain_id: int, rescan_id: int, *, now: int) -> Rescan:
    """End a request early: what it found so far stays on record, and those behind it come next.

    A part that is being read meanwhile is not committed any more. Raises `NotFound`, and `Conflict` for one that is
    over.
    """
    async with db.write() as uow:
        rescan = await uow.rescans.get(rescan_id)
        if rescan is None or rescan.chain_id != chain_id:
            raise NotFound(f"chain {chain_id} has no rescan {rescan_id}: see openpay rescan", code="rescan_not_found")
        if not await uow.rescans.cancel(rescan_id, why=CANCELED, at=now):
            raise Conflict(f"rescan {rescan_id} is over already", code="rescan_over")
        return replace(rescan, done_at=now, failure=CANCELED)


async def next_part(db: Database, chain_id: int) -> Part | None:
    """What is to be read now; None where nothing is asked for, or may be read."""
    async with db.read() as uow:
        rescan = await uow.rescans.next_open(chain_id)
        cursor = None if rescan is None else await uow.chain.cursor(chain_id)
    if rescan is None or cursor is None or cursor.final_number is None:
        return None
    last = min(rescan.last, cursor.final_number)  # a rewind may have made less final than when it was asked for
    return Part(rescan=rescan, last=last) if rescan.next <= last else None


async def commit_part(
    db: Database, rescan: Rescan, facts: Sequence[BlockFacts], *, wall_now: int, tokens: Sequence[Token]
) -> Reread:
    """Add what consecutive final blocks hold that is not on record, with all that follows from it.

    The first block is the request's `next`. Raises `ConcurrentChange` when another watcher read them, or a rewind took
    them back.
    """
    last = facts[-1].block
    async with db.write() as uow:
        cursor = await uow.chain.cursor(rescan.chain_id)
        if cursor is None or cursor.final_number is None or cursor.final_number < last.number:
            raise ConcurrentChange(f"block {last.number} of chain {rescan.chain_id} is not final any more")
        found = [deposit for fact in facts for deposit in fact.deposits]
        logs = await _add_logs(uow, rescan.chain_id, facts)
        signed = await signed_refunds(uow, rescan.chain_id, logs)
        told = {log.payment_id for log in logs if log.payment_id is not None}
        # Those that are judged below too, and at once: all who lock several do it in one order.
        await uow.payments.lock({deposit.payment_id for deposit in found} | told | set(signed))
        deposits = await _add_deposits(uow, found)
        is_done = last.number >= rescan.last
        after = replace(
            rescan,
            next=last.number + 1,
            last_hash=last.hash,
            seen_at=wall_now,
            done_at=wall_now if is_done else None,
            failure=None,
            found_deposits=rescan.found_deposits + len(deposits),
            found_logs=rescan.found_logs + len(logs),
            found=(*rescan.found, *map(_found, deposits))[:MOST_NAMED],
        )
        if not await uow.rescans.save(after, read_from=rescan.next):
            raise ConcurrentChange(
                f"rescan {rescan.id} is no longer at block {rescan.next}: it was canceled, or another watcher is "
                "running"
            )
        news = {deposit.payment_id for deposit in deposits} | told
        changed, events = await judge(
            uow, cursor, news, set(signed) - news, answers={}, signed=signed, tokens=tokens, wall_now=wall_now
        )
        return Reread(rescan=after, changed=changed, events=events)


async def note_failure(db: Database, rescan: Rescan, failure: str, *, wall_now: int, is_final: bool = False) -> None:
    """Store why the next part could not be read. `is_final` ends the request; what it found so far stays."""
    done_at = wall_now if is_final else None
    async with db.write() as uow:
        await uow.rescans.save(
            replace(rescan, seen_at=wall_now, done_at=done_at, failure=failure), read_from=rescan.next
        )


async def _add_deposits(uow: UnitOfWork, found: Sequence[Deposit]) -> list[Deposit]:
    """Store those that are not on record; what they explain is no longer money from inside a contract, nor is what went
    back of it. Their payments are locked."""
    payment_ids = list(dict.fromkeys(deposit.payment_id for deposit in found))
    recorded = await uow.deposits.of(payment_ids)
    new: list[Deposit] = []
    for payment_id in payment_ids:
        theirs = [deposit for deposit in found if deposit.payment_id == payment_id]
        correction = correct(recorded.get(payment_id, ()), theirs)
        for deposit, units in correction.reduced:
            await uow.deposits.reduce(deposit, units)
        if correction.explained:
            refunds = (await uow.refunds.of([payment_id])).get(payment_id, ())
            await uow.refunds.put(told_apart(refunds, correction))
        new += correction.new
    await uow.deposits.add(new)
    return new


async def _add_logs(uow: UnitOfWork, chain_id: int, facts: Sequence[BlockFacts]) -> list[EscrowLog]:
    """Store the escrow's logs that are not on record."""
    found = [log for fact in facts for log in fact.escrow_logs]
    if not found:
        return []
    recorded = await uow.chain.escrow_logs_in(chain_id, found[0].block_number, found[-1].block_number)
    known = {(log.block_hash, log.log_index) for log in recorded}
    new = [log for log in found if (log.block_hash, log.log_index) not in known]
    ids = await uow.payments.ids_by_terms(chain_id, {log.terms_id for log in new if log.terms_id is not None})
    logs = [replace(log, payment_id=None if log.terms_id is None else ids.get(log.terms_id)) for log in new]
    await uow.chain.add_escrow_logs(logs)
    return logs


def _found(deposit: Deposit) -> Found:
    return Found(
        payment_id=deposit.payment_id,
        token=deposit.token,
        units=deposit.units,
        tx_hash=deposit.tx_hash,
        block_number=deposit.block_number,
    )
