"""Settling as the operator's work: a paid payment's vault is emptied into the treasury."""

from __future__ import annotations

from openpay.app.ports import UnitOfWork
from openpay.chain.escrow_abi import settle_data
from openpay.domain.chains import Chain
from openpay.domain.payment import Payment, SettlementStatus
from openpay.errors import ConcurrentChange, InvariantViolated
from openpay.settlement.decisions import settlement_due_again, settlement_submitted
from openpay.settlement.sources import Ending, SettleItem, Work

GAS_PER_ITEM = 200_000
"""Fixed: settling takes up to 153,000 (a feed may cost more tomorrow), and gas that is not used is not paid."""


class Settlements:
    """The paid payments of one chain that no final `Settled` log names."""

    kind = "settle"

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def due(self, uow: UnitOfWork, *, now: int, limit: int) -> list[Work]:
        payments = await uow.payments.awaiting_settlement(self._chain.chain_id, limit)
        return [_work(payment) for payment in payments if _is_due(payment)]

    async def more_is_coming(self, uow: UnitOfWork) -> bool:
        return bool(await uow.payments.ids_confirming(self._chain.chain_id))

    async def submitted(self, uow: UnitOfWork, subject: str, tx_hash: bytes, *, replaced: bytes | None = None) -> None:
        for payment in await uow.payments.lock([subject]):
            if _is_due(payment) if replaced is None else _was_submitted(payment, frozenset({replaced})):
                await uow.payments.save(settlement_submitted(payment, tx_hash))
            elif replaced is None:
                raise ConcurrentChange(f"{subject} is no longer to be settled")

    async def ended(self, uow: UnitOfWork, subject: str, ending: Ending, *, now: int) -> bool:
        # The cursor made the transaction's block final, and the watcher recorded its logs with it. So a payment that is
        # still submitted was not settled: reverted, dropped, or skipped inside a batch, whatever the receipt says.
        for payment in await uow.payments.lock([subject]):
            if _was_submitted(payment, ending.hashes):
                await uow.payments.save(settlement_due_again(payment))
        return True

    async def is_in_vain(self, uow: UnitOfWork, subject: str, hashes: frozenset[bytes]) -> bool:
        return False

    async def refused(self, uow: UnitOfWork, work: Work, reason: str, *, now: int) -> bool:
        # Most often AlreadySettled: anyone may settle, and the watcher will read the log.
        return False


def _is_due(payment: Payment) -> bool:
    return payment.settlement is not None and payment.settlement.status is SettlementStatus.PENDING


def _was_submitted(payment: Payment, hashes: frozenset[bytes]) -> bool:
    settlement = payment.settlement
    return settlement is not None and settlement.status is SettlementStatus.SUBMITTED and settlement.tx_hash in hashes


def _work(payment: Payment) -> Work:
    offer = None if payment.completion is None else payment.offer(payment.completion.token)
    if offer is None:
        raise InvariantViolated(f"{payment.id} is paid, in a token that it does not offer")
    return Work(
        kind=Settlements.kind,
        subject=payment.id,
        to=payment.escrow,
        data=settle_data(payment.terms, offer.asset_index),
        gas=GAS_PER_ITEM,
        item=SettleItem(terms=payment.terms, asset_index=offer.asset_index),
    )
