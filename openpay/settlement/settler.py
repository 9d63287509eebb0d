"""The settler: one operation after the other, first those under way, then the next one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from openpay.app.ports import Clock, Database, UnitOfWork
from openpay.app.records import OperatorTransaction, Withdrawal, WithdrawalStatus
from openpay.app.signals import Signals
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import error_name, settle_data, withdraw_for_data
from openpay.chain.pool import Pool
from openpay.chain.signing import Signer
from openpay.domain.chains import Chain
from openpay.domain.payment import Payment
from openpay.errors import InvariantViolated, RetryableError
from openpay.settlement.decisions import (
    ENDS,
    Fate,
    ended,
    fate_of,
    settlement_after,
    settlement_submitted,
    withdrawal_after,
    withdrawal_refused,
    withdrawal_submitted,
)
from openpay.settlement.operator import Operator

POLL_S = 1.0
BATCH = 100
"""How many waiting operations are looked at in one round."""
FIRST_PAUSE_S = 5
LONGEST_PAUSE_S = 3_600

SETTLE = "settle"
WITHDRAW = "withdraw"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Pause:
    """An operation that would revert now: not looked at before `until`, in wall-clock seconds."""

    until: int
    length_s: int


class Settler:
    """Settles the paid payments of one chain and carries out withdrawals. Only one may run per chain and key."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        db: Database,
        *,
        signer: Signer,
        signals: Signals,
        wall: Clock,
    ) -> None:
        self._chain = chain
        self._db = db
        self._signals = signals
        self._wall = wall
        self._operator = Operator(chain, pool, db, signer=signer, wall=wall)
        self._paused: dict[str, _Pause] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What fails for lack of a node, or because a row changed meanwhile, comes again."""
        while not stop.is_set():
            under_way = False
            try:
                under_way = await self.step()
            except RetryableError as error:
                _log.warning("settler tries again", chain_id=self._chain.chain_id, reason=str(error))
            # While one is under way the next block matters; otherwise only news do.
            await self._wait(stop, min(self._chain.block_interval_s, POLL_S) if under_way else POLL_S)

    async def step(self) -> bool:
        """One round: follow what was signed, then start at most one operation; whether one was sent or waits for a
        block. Nothing is started while a transaction is in no block, so that nonces leave no gap.

        Raises `RetryableError` when a node or the database gave no answer: take the step again, later.
        """
        async with self._db.read() as uow:
            cursor = await uow.chain.cursor(self._chain.chain_id)
            open_transactions = await uow.operations.open_transactions(self._chain.chain_id)
        final_number = None if cursor is None else cursor.final_number
        fates = [await self._follow(transaction, final_number=final_number) for transaction in open_transactions]
        if Fate.UNMINED in fates:
            return True
        return await self._start_next([t for t, fate in zip(open_transactions, fates, strict=True) if fate not in ENDS])

    # --- what is under way ---------------------------------------------------------------------------------------

    async def _follow(self, transaction: OperatorTransaction, *, final_number: int | None) -> Fate:
        sighting = await self._operator.look(transaction, final_number=final_number)
        fate = fate_of(transaction, sighting)
        if fate is Fate.UNMINED:
            await self._operator.send(transaction)
        elif fate in ENDS and await self._finish(transaction, fate):
            self._signals.notify("payments", "operations")
            _log.info("transaction ended", tx=transaction.tx_hash.hex(), subject=transaction.subject, fate=fate.name)
        return fate

    async def _finish(self, transaction: OperatorTransaction, fate: Fate) -> bool:
        """Record the end of a transaction and of what it was for; False when the watcher must read its log first."""
        async with self._db.write() as uow:
            recorded = await self._finish_subject(uow, transaction, fate)
            if recorded:
                await uow.operations.save_transaction(ended(transaction, fate))
        return recorded

    async def _finish_subject(self, uow: UnitOfWork, transaction: OperatorTransaction, fate: Fate) -> bool:
        if transaction.kind == SETTLE:
            for payment in await uow.payments.lock([transaction.subject]):
                after = settlement_after(payment, transaction.tx_hash, fate)
                if after != payment:
                    await uow.payments.save(after)
            return True
        withdrawal = await uow.operations.withdrawal(transaction.subject)
        if withdrawal is None:
            raise InvariantViolated(f"transaction {transaction.id} names no withdrawal: {transaction.subject}")
        log = await uow.chain.withdrawn_log(self._chain.chain_id, transaction.tx_hash)
        finished = withdrawal_after(withdrawal, fate, log, now=self._wall.now())
        if finished is None:
            return False
        await uow.operations.save_withdrawal(finished)
        return True

    # --- what comes next -----------------------------------------------------------------------------------------

    async def _start_next(self, still_open: list[OperatorTransaction]) -> bool:
        async with self._db.read() as uow:
            withdrawals = await uow.operations.open_withdrawals(self._chain.chain_id, BATCH)
            payments = await uow.payments.awaiting_settlement(self._chain.chain_id, BATCH + len(self._paused))
        waiting = {payment.id for payment in payments}
        self._paused = {subject: pause for subject, pause in self._paused.items() if subject in waiting}
        under_way = {transaction.subject for transaction in still_open}
        after = max((transaction.nonce for transaction in still_open), default=None)
        # Withdrawals first: a merchant waits for each of them, and there are few.
        for withdrawal in withdrawals:
            waits = withdrawal.status is WithdrawalStatus.PENDING and withdrawal.id not in under_way
            if waits and await self._start_withdrawal(withdrawal, after=after):
                return True
        for payment in payments:
            waits = payment.id not in under_way and not self._is_paused(payment.id)
            if waits and await self._start_settlement(payment, after=after):
                return True
        return False

    def _is_paused(self, subject: str) -> bool:
        pause = self._paused.get(subject)
        return pause is not None and pause.until > self._wall.now()

    async def _start_settlement(self, payment: Payment, *, after: int | None) -> bool:
        data = settle_data(payment.terms, _asset_index(payment))
        refusal = await self._operator.refusal(payment.escrow, data)
        if refusal is not None:
            # Most often AlreadySettled: anyone may settle, and the watcher will read the log. No gas is spent on it.
            self._pause(payment.id, refusal)
            return False
        self._paused.pop(payment.id, None)
        transaction = await self._operator.sign(payment.escrow, data, kind=SETTLE, subject=payment.id, after=after)
        async with self._db.write() as uow:
            await uow.payments.save(settlement_submitted(payment, transaction.tx_hash))
            await uow.operations.add_transaction(transaction)
        await self._send(transaction)
        return True

    async def _start_withdrawal(self, withdrawal: Withdrawal, *, after: int | None) -> bool:
        token = self._chain.token(withdrawal.token)
        if token is None:
            raise InvariantViolated(f"withdrawal {withdrawal.id} names {withdrawal.token}, which the chain has not")
        async with self._db.read() as uow:
            merchant = await uow.merchants.get(withdrawal.merchant_id)
        if merchant is None:
            raise InvariantViolated(f"withdrawal {withdrawal.id} names no merchant: {withdrawal.merchant_id}")
        data = withdraw_for_data(merchant.address, token.contract)
        refusal = await self._operator.refusal(self._chain.escrow, data)
        if refusal is not None:
            reason = error_name(refusal.data) or "reverted"
            async with self._db.write() as uow:
                await uow.operations.save_withdrawal(withdrawal_refused(withdrawal, reason, now=self._wall.now()))
            self._signals.notify("operations")
            return False
        transaction = await self._operator.sign(
            self._chain.escrow, data, kind=WITHDRAW, subject=withdrawal.id, after=after
        )
        async with self._db.write() as uow:
            await uow.operations.save_withdrawal(withdrawal_submitted(withdrawal, transaction.tx_hash))
            await uow.operations.add_transaction(transaction)
        await self._send(transaction)
        return True

    async def _send(self, transaction: OperatorTransaction) -> None:
        """Send what was just committed. From here on a failure is mended by the next round, which finds it open."""
        self._signals.notify("payments", "operations")
        await self._operator.send(transaction)
        _log.info("transaction sent", tx=transaction.tx_hash.hex(), kind=transaction.kind, subject=transaction.subject)

    def _pause(self, subject: str, refusal: JsonRpcError) -> None:
        before = self._paused.get(subject)
        length_s = FIRST_PAUSE_S if before is None else min(2 * before.length_s, LONGEST_PAUSE_S)
        self._paused[subject] = _Pause(until=self._wall.now() + length_s, length_s=length_s)
        error = error_name(refusal.data)
        level = _log.info if error == "AlreadySettled" else _log.error
        level("cannot settle now", payment=subject, error=error or refusal.message, again_in_s=length_s)

    async def _wait(self, stop: asyncio.Event, timeout_s: float) -> None:
        hint = asyncio.ensure_future(self._signals.wait("operations", timeout_s=timeout_s))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({hint, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (hint, stopped):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _asset_index(payment: Payment) -> int:
    """The escrow's index of the token that paid."""
    offer = None if payment.completion is None else payment.offer(payment.completion.token)
    if offer is None:
        raise InvariantViolated(f"{payment.id} is paid, in a token that it does not offer")
    return offer.asset_index
