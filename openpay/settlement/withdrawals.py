"""Withdrawing as the operator's work: a treasury's whole balance of one token goes to the merchant's own address."""

from __future__ import annotations

from dataclasses import replace

from openpay.app.ports import UnitOfWork
from openpay.app.records import EscrowLog, Withdrawal, WithdrawalStatus
from openpay.chain.escrow_abi import withdraw_for_data
from openpay.domain.chains import Chain
from openpay.errors import ConcurrentChange, InvariantViolated
from openpay.settlement.decisions import withdrawal_after, withdrawal_refused, withdrawal_submitted
from openpay.settlement.sources import Ending, Work

GAS = 200_000
"""Fixed: a first withdrawal, which deploys the treasury's vault, takes 103,000 with a plain token."""


class Withdrawals:
    """The withdrawals that merchants asked for on one chain."""

    kind = "withdraw"

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def due(self, uow: UnitOfWork, *, now: int, limit: int) -> list[Work]:
        open_ = await uow.operations.open_withdrawals(self._chain.chain_id, limit)
        return [await self._work(uow, each) for each in open_ if each.status is WithdrawalStatus.PENDING]

    async def more_is_coming(self, uow: UnitOfWork) -> bool:
        return False

    async def submitted(self, uow: UnitOfWork, subject: str, tx_hash: bytes, *, replaced: bytes | None = None) -> None:
        withdrawal = await self._load(uow, subject)
        if replaced is None:
            expected = withdrawal.status is WithdrawalStatus.PENDING
        else:
            expected = withdrawal.status is WithdrawalStatus.SUBMITTED and withdrawal.tx_hash == replaced
        if expected:
            await uow.operations.save_withdrawal(withdrawal_submitted(withdrawal, tx_hash))
        elif replaced is None:
            raise ConcurrentChange(f"{subject} is {withdrawal.status.value} already")

    async def ended(self, uow: UnitOfWork, subject: str, ending: Ending, *, now: int) -> bool:
        withdrawal = await self._load(uow, subject)
        if withdrawal.status is not WithdrawalStatus.SUBMITTED or withdrawal.tx_hash not in ending.hashes:
            return True
        log = await self._log(uow, ending.hashes)
        finished = withdrawal_after(replace(withdrawal, tx_hash=ending.tx_hash), ending.fate, log, now=now)
        if finished is None:
            return False
        await uow.operations.save_withdrawal(finished)
        return True

    async def is_in_vain(self, uow: UnitOfWork, subject: str, hashes: frozenset[bytes]) -> bool:
        return False

    async def refused(self, uow: UnitOfWork, work: Work, reason: str, *, now: int) -> bool:
        withdrawal = await self._load(uow, work.subject)
        if withdrawal.status is WithdrawalStatus.PENDING:
            await uow.operations.save_withdrawal(withdrawal_refused(withdrawal, reason, now=now))
        return True

    async def _log(self, uow: UnitOfWork, hashes: frozenset[bytes]) -> EscrowLog | None:
        for tx_hash in hashes:
            log = await uow.chain.withdrawn_log(self._chain.chain_id, tx_hash)
            if log is not None:
                return log
        return None

    async def _load(self, uow: UnitOfWork, subject: str) -> Withdrawal:
        withdrawal = await uow.operations.withdrawal(subject)
        if withdrawal is None:
            raise InvariantViolated(f"a transaction names no withdrawal: {subject}")
        return withdrawal

    async def _work(self, uow: UnitOfWork, withdrawal: Withdrawal) -> Work:
        token = self._chain.token(withdrawal.token)
        if token is None:
            raise InvariantViolated(f"withdrawal {withdrawal.id} names {withdrawal.token}, which the chain has not")
        merchant = await uow.merchants.get(withdrawal.merchant_id)
        if merchant is None:
            raise InvariantViolated(f"withdrawal {withdrawal.id} names no merchant: {withdrawal.merchant_id}")
        return Work(
            kind=self.kind,
            subject=withdrawal.id,
            to=self._chain.escrow,
            data=withdraw_for_data(merchant.address, token.contract),
            gas=GAS,
        )
