"""Keeping refunds up to date with the chain, in the transaction that judges their payment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from openpay.app.outbox import tell
from openpay.app.ports import UnitOfWork
from openpay.app.records import Cursor, EscrowLog, TransactionStatus
from openpay.domain.assessment import Head
from openpay.domain.chains import Token
from openpay.domain.deposit import Deposit
from openpay.domain.events import Draft, EventType
from openpay.domain.ledger import OUT_OF_VAULT
from openpay.domain.payment import Payment
from openpay.domain.receipts import Outflow, logged, read_again
from openpay.domain.refunding import RefundRules, assess_refunds, reason_for
from openpay.domain.refunds import Refund, RefundStatus
from openpay.errors import InvariantViolated

SignedRefunds = Mapping[str, Sequence[tuple[Refund, EscrowLog]]]
"""By payment id: refunds that merchants signed for, with the final `Withdrawn` log that carried each out."""


async def signed_refunds(uow: UnitOfWork, chain_id: int, logs: Iterable[EscrowLog]) -> SignedRefunds:
    """The refunds from treasuries that newly final `logs` carried out: same merchant, token, amount and address, asked
    for before; one for each log, the oldest first. A log that is read again is still the one that it was."""
    withdrawn = [log for log in logs if log.name == "Withdrawn"]
    named = {
        (refund.tx_hash, refund.token, refund.units, refund.destination)
        for refund in await uow.refunds.succeeded_by({log.tx_hash for log in withdrawn})
    }
    withdrawn = [log for log in withdrawn if (log.tx_hash, log.token, log.units, log.receiver) not in named]
    if not withdrawn:
        return {}
    open_ = await uow.refunds.awaiting_signature(chain_id)
    found: dict[str, list[tuple[Refund, EscrowLog]]] = defaultdict(list)
    for log in withdrawn:
        for refund in open_:
            asked = (refund.token, refund.units, refund.destination) == (log.token, log.units, log.receiver)
            if asked and refund.created_at <= log.block_time and await _owner(uow, refund) == log.account:
                found[refund.payment_id].append((refund, log))
                open_.remove(refund)
                break
    return found


async def _owner(uow: UnitOfWork, refund: Refund) -> bytes | None:
    """Whose treasury pays: the merchant's address in the payment's terms."""
    payment = await uow.payments.get(refund.payment_id)
    return None if payment is None else payment.terms.merchant


async def keep_refunds(
    uow: UnitOfWork,
    payment: Payment,
    *,
    deposits: Sequence[Deposit],
    logs: Sequence[EscrowLog],
    known: Sequence[Refund],
    signed: Sequence[tuple[Refund, EscrowLog]],
    head: Head,
    tokens: Sequence[Token],
    reread: bool = False,
) -> tuple[bool, tuple[Draft, ...]]:
    """Store what the chain makes of a payment's refunds: whether any changed, and the events that say so.

    `logs`: the escrow's canonical logs of this payment. While the chain is being read again after a rewind nothing is
    decided but what the merchant's own signature carried out; the payment is marked, and comes again with `reread`.
    """
    outflows = outflows_of(logs)
    concerned = known or any(each.name == "Refunded" for each in outflows)
    if not concerned and all(reason_for(payment, deposit) is None for deposit in deposits):
        return False, ()
    if head.is_rereading:
        await uow.rewinds.mark(payment.chain_id, [payment.id])
        carried_out = [logged(refund, _receipt(log)) for refund, log in signed]
        await uow.refunds.put(carried_out)
        return bool(carried_out), tuple(_completed(refund) for refund in carried_out)
    merchant = await uow.merchants.get(payment.merchant_id)
    if merchant is None:
        raise InvariantViolated(f"{payment.id} belongs to no merchant: {payment.merchant_id}")
    done = {refund.id: logged(refund, _receipt(log)) for refund, log in signed}
    if reread:
        done |= {refund.id: refund for refund in await _read_again(uow, payment, known)}
    refunds = assess_refunds(
        payment,
        deposits=deposits,
        outflows=outflows,
        refunds=[done.get(refund.id, refund) for refund in known],
        head=head,
        tokens=tokens,
        rules=RefundRules(policy=merchant.refund_policy, window_s=merchant.refund_window_s),
        signed_for=await _newly_signed_for(uow, outflows, known),
    )
    before = {refund.id: refund for refund in known}
    changed = [refund for refund in refunds if before.get(refund.id) != refund]
    await uow.refunds.put(changed)
    return bool(changed), tuple(_completed(refund) for refund in changed if refund.status is RefundStatus.SUCCEEDED)


async def _newly_signed_for(
    uow: UnitOfWork, outflows: Sequence[Outflow], known: Sequence[Refund]
) -> Mapping[bytes, str]:
    """Which refund each of our transactions is for that moved money out of the vault, by hash. Not asked for those that
    a refund is known to have succeeded by."""
    told = {refund.tx_hash for refund in known if refund.status is RefundStatus.SUCCEEDED}
    new = {log.tx_hash for log in outflows if log.name == "Refunded"} - told
    return await signed_for(uow, new)


async def signed_for(uow: UnitOfWork, tx_hashes: Collection[bytes]) -> Mapping[bytes, str]:
    """Which refund each of these transactions that are ours was signed for, by hash: refunds go out one by one."""
    return {tx_hash: subjects[0] for tx_hash, subjects in (await uow.operations.subjects_by_hash(tx_hashes)).items()}


async def _read_again(uow: UnitOfWork, payment: Payment, known: Sequence[Refund]) -> tuple[Refund, ...]:
    """What became of the refunds that had succeeded before a rewind."""
    named = {refund.tx_hash for refund in known if refund.status is RefundStatus.SUCCEEDED} - {None}
    if not named:
        return ()
    logs = await uow.chain.escrow_logs_of_transactions(payment.chain_id, {each for each in named if each is not None})
    theirs = [log for log in logs if log.token is not None and log.name in ("Refunded", "Withdrawn")]
    transactions = [each for refund in known for each in await uow.operations.transactions_of(refund.id)]
    return read_again(
        known,
        [_receipt(log) for log in theirs if log.payment_id in (None, payment.id)],
        followed={each.tx_hash for each in transactions if each.status is TransactionStatus.SIGNED},
    )


async def waiting_after_rewind(uow: UnitOfWork, cursor: Cursor, payment_ids: Collection[str]) -> frozenset[str]:
    """Those of which nothing may be decided, though the chain was read again after a rewind: they wait for their turn,
    or for a look at their vault's balance. What is missing of them on record may be about to come."""
    if cursor.reread_to is None:
        return frozenset()
    return await uow.rewinds.marked_among(cursor.chain_id, payment_ids)


async def refresh_refunds(
    uow: UnitOfWork, payment_id: str, *, tokens: Sequence[Token], wall_now: int
) -> tuple[Payment, list[Refund]]:
    """Judge a payment's refunds again after somebody acted on one; both as they are stored afterwards.

    What pages show of the payment changed, so it is saved even where no field of it is. After a rewind what somebody
    did is kept, and judged with all else when it is the payment's turn.
    """
    (payment,) = await uow.payments.lock([payment_id])
    cursor = await uow.chain.cursor(payment.chain_id)
    if cursor is None:
        raise InvariantViolated(f"{payment_id} has refunds, but chain {payment.chain_id} was never read")
    deposits = (await uow.deposits.of([payment_id])).get(payment_id, [])
    logs = (await uow.chain.escrow_logs_of([payment_id])).get(payment_id, [])
    known = (await uow.refunds.of([payment_id])).get(payment_id, [])
    waits = bool(await waiting_after_rewind(uow, cursor, [payment_id]))
    head = replace(head_of(cursor), is_rereading=cursor.is_rereading or waits)
    _, events = await keep_refunds(
        uow, payment, deposits=deposits, logs=logs, known=known, signed=(), head=head, tokens=tokens
    )
    payment = await uow.payments.save(payment)
    await tell(uow, payment, events, wall_now=wall_now)
    return payment, (await uow.refunds.of([payment_id])).get(payment_id, [])


def head_of(cursor: Cursor) -> Head:
    """How far a chain was read, as decisions see it."""
    return Head(
        number=cursor.number,
        time=cursor.time,
        tip_time=cursor.tip_time,
        final_number=cursor.final_number,
        final_time=cursor.final_time,
        is_rereading=cursor.is_rereading,
    )


def refund_data(refund: Refund) -> Mapping[str, str | int | None]:
    """A refund as events show it; the address as plain hex."""
    return {
        "refund_id": refund.id,
        "token": refund.token,
        "amount_units": str(refund.units),
        "reason": refund.reason.value,
        "destination": None if refund.destination is None else "0x" + refund.destination.hex(),
        "tx_hash": None if refund.tx_hash is None else "0x" + refund.tx_hash.hex(),
    }


def _completed(refund: Refund) -> Draft:
    return Draft(type=EventType.REFUNDED, subject=refund.id, data=refund_data(refund))


def outflows_of(logs: Iterable[EscrowLog]) -> list[Outflow]:
    """Those of `logs` that moved a listed token out of a vault."""
    return [_receipt(log) for log in logs if log.name in OUT_OF_VAULT and log.token is not None]


def _receipt(log: EscrowLog) -> Outflow:
    to = log.receiver or log.account
    if log.token is None or to is None:
        raise InvariantViolated(f"{log.name} in block {log.block_number} names no listed token, or nobody")
    return Outflow(
        name=log.name,
        token=log.token,
        units=log.units,
        to=to,
        tx_hash=log.tx_hash,
        log_index=log.log_index,
        block_number=log.block_number,
        block_time=log.block_time,
    )
