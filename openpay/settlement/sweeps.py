"""Sweeping as the operator's work: what lies in a settled payment's vault goes to the merchant's treasury."""

from __future__ import annotations

from collections.abc import Sequence

from openpay.app.ports import UnitOfWork
from openpay.app.records import TransactionStatus
from openpay.chain.escrow_abi import sweep_data
from openpay.domain.chains import Chain
from openpay.domain.sweeping import Excess
from openpay.errors import ConcurrentChange, InvariantViolated
from openpay.settlement.decisions import sweep_may_be_tried
from openpay.settlement.sources import Ending, Work

GAS = 200_000
"""Fixed: a sweep takes up to 100,000 with a plain token, the vault being there already."""
PAGE = 100
"""How many vaults are looked at together."""


class Sweeps:
    """What lies in the vaults of one chain's settled payments, once all of it is final.

    Sweeping has no states of its own: the watcher keeps what lies in the vaults, and takes it out once it was moved.
    """

    kind = "sweep"

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def due(self, uow: UnitOfWork, *, now: int, limit: int) -> list[Work]:
        cursor = await uow.chain.cursor(self._chain.chain_id)
        if cursor is None or cursor.final_number is None:
            return []
        works: list[Work] = []
        after = None
        # What is not final yet, under way or given up must not hide what waits behind it.
        while len(works) < limit and (page := await uow.excess.of_chain(self._chain.chain_id, limit=PAGE, after=after)):
            works += [await self._work(uow, each) for each in await _ready(uow, page, cursor.final_number)]
            after = page[-1].id
        return works[:limit]

    async def more_is_coming(self, uow: UnitOfWork) -> bool:
        return False

    async def submitted(self, uow: UnitOfWork, subject: str, tx_hash: bytes, *, replaced: bytes | None = None) -> None:
        if replaced is not None:
            return
        others = [each for each in await uow.operations.transactions_of(subject) if each.tx_hash != tx_hash]
        if await uow.excess.get(subject) is None or any(each.status is TransactionStatus.SIGNED for each in others):
            raise ConcurrentChange(f"{subject} is being swept, or was")

    async def ended(self, uow: UnitOfWork, subject: str, ending: Ending, *, now: int) -> bool:
        # The watcher recorded the block's logs before it was final: what was swept is not due any more.
        return True

    async def is_in_vain(self, uow: UnitOfWork, subject: str, hashes: frozenset[bytes]) -> bool:
        return False

    async def refused(self, uow: UnitOfWork, work: Work, reason: str, *, now: int) -> bool:
        # Most often NothingToMove: anyone may sweep, and the watcher will read the log.
        return False

    async def _work(self, uow: UnitOfWork, excess: Excess) -> Work:
        token, payment = self._chain.token(excess.token), await uow.payments.get(excess.payment_id)
        if token is None or payment is None:
            raise InvariantViolated(f"{excess.id} names no listed token, or no payment")
        return Work(
            kind=self.kind,
            subject=excess.id,
            to=payment.escrow,
            data=sweep_data(payment.terms, token.contract),
            gas=GAS,
        )


async def _ready(uow: UnitOfWork, waiting: Sequence[Excess], final_number: int) -> list[Excess]:
    """Those of which every deposit is final, and for which a transaction may be signed."""
    payment_ids = {each.payment_id for each in waiting}
    deposits = await uow.deposits.of(payment_ids)
    logs = await uow.chain.escrow_logs_of(payment_ids)
    return [
        each
        for each in waiting
        if all(
            deposit.block_number <= final_number
            for deposit in deposits.get(each.payment_id, ())
            if deposit.token == each.token
        )
        and sweep_may_be_tried(await uow.operations.transactions_of(each.id), logs.get(each.payment_id, ()))
    ]
