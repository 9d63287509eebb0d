"""Judging payments by what is on record, and keeping what follows from it: their status, refunds, excess and events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from openpay.app.excess import keep_excess
from openpay.app.outbox import tell
from openpay.app.ports import UnitOfWork
from openpay.app.records import Cursor, EscrowLog
from openpay.app.refunds import SignedRefunds, head_of, keep_refunds, waiting_after_rewind
from openpay.domain.assessment import EscrowAnswer, Evidence, SettledLog, advance
from openpay.domain.chains import Token
from openpay.domain.payment import Payment


async def judge(
    uow: UnitOfWork,
    cursor: Cursor,
    news: Collection[str],
    waiting: Collection[str],
    *,
    answers: Mapping[str, EscrowAnswer],
    signed: SignedRefunds,
    tokens: Sequence[Token],
    wall_now: int,
    reread: Collection[str] = (),
    times: Mapping[int, int] | None = None,
) -> tuple[tuple[Payment, ...], int]:
    """Judge payments anew from everything the canonical chain says of them; store what changed. Returns the payments
    that did, and how many events were stored.

    `news`: payments about which the chain said something new, stored even where no field of theirs changes, because
    what is shown of them did. `waiting`: those that only time or depth may have moved. `reread`: those of either whose
    blocks were taken back by a rewind, and have been read again. `times`: of the blocks that are committed together, by
    number.
    """
    payment_ids = {*news, *waiting}
    # First of all: what is read before the lock may be changed by whoever has it, and would be put back as it was.
    payments = await uow.payments.lock(payment_ids)
    newest = replace(head_of(cursor), times=times or {})
    rereading = replace(newest, is_rereading=True)
    marked = await waiting_after_rewind(uow, cursor, payment_ids)
    deposits = await uow.deposits.of(payment_ids)
    attempts = await uow.attempts.of(payment_ids)
    logs = await uow.chain.escrow_logs_of(payment_ids)
    refunds = await uow.refunds.of(payment_ids)
    changed: list[Payment] = []
    told = 0
    for payment in payments:
        head = rereading if payment.id in marked else newest
        outcome = advance(
            payment,
            Evidence(
                deposits=deposits.get(payment.id, ()),
                attempts=attempts.get(payment.id, ()),
                settled=_settled_log(logs.get(payment.id, ())),
                escrow_answer=answers.get(payment.id),
            ),
            head,
        )
        after = outcome.payment
        refunds_changed, refund_events = await keep_refunds(
            uow,
            after,
            deposits=deposits.get(payment.id, ()),
            logs=logs.get(payment.id, ()),
            known=refunds.get(payment.id, ()),
            signed=signed.get(payment.id, ()),
            head=head,
            tokens=tokens,
            reread=payment.id in reread,
        )
        await keep_excess(
            uow,
            after,
            deposits=deposits.get(payment.id, ()),
            logs=logs.get(payment.id, ()),
            head=head,
            tokens=tokens,
            reread=payment.id in reread,
        )
        if after != payment or refunds_changed or payment.id in news:
            after = await uow.payments.save(after)
            changed.append(after)
        told += await tell(uow, after, (*outcome.events, *refund_events), wall_now=wall_now)
    return tuple(changed), told


def _settled_log(logs: Sequence[EscrowLog]) -> SettledLog | None:
    log = next((each for each in logs if each.name == "Settled" and each.token is not None), None)
    if log is None or log.token is None:
        return None
    return SettledLog(
        token=log.token,
        units=log.units,
        tx_hash=log.tx_hash,
        block_number=log.block_number,
        block_time=log.block_time,
    )
