"""Withdrawals, and the transactions that the operator's key signed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, insert, select, update

from openpay.app.records import OperatorTransaction, Page, TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.store.sql import Repository
from openpay.store.tables import operator_transactions, withdrawals


class SqlOperations(Repository):
    async def add_withdrawal(self, withdrawal: Withdrawal) -> None:
        await self._connection.execute(insert(withdrawals), _withdrawal_row(withdrawal))

    async def withdrawal(self, withdrawal_id: str) -> Withdrawal | None:
        query = select(withdrawals).where(withdrawals.c.id == withdrawal_id)
        row = (await self._connection.execute(query)).first()
        return None if row is None else _withdrawal(row)

    async def save_withdrawal(self, withdrawal: Withdrawal) -> None:
        await self._connection.execute(
            update(withdrawals).where(withdrawals.c.id == withdrawal.id).values(_withdrawal_row(withdrawal))
        )

    async def open_withdrawals(self, chain_id: int, limit: int) -> list[Withdrawal]:
        open_ = [WithdrawalStatus.PENDING.value, WithdrawalStatus.SUBMITTED.value]
        query = (
            select(withdrawals)
            .where(withdrawals.c.chain_id == chain_id, withdrawals.c.status.in_(open_))
            .order_by(withdrawals.c.seq)
            .limit(limit)
        )
        return [_withdrawal(row) for row in await self._connection.execute(query)]

    async def withdrawals(
        self, merchant_id: str, livemode: bool, *, limit: int, starting_after: str | None
    ) -> Page[Withdrawal]:
        rows, has_more = await self._newest_first(
            withdrawals,
            [withdrawals.c.merchant_id == merchant_id, withdrawals.c.livemode == livemode],
            limit=limit,
            starting_after=starting_after,
        )
        return Page(items=tuple(_withdrawal(row) for row in rows), has_more=has_more)

    async def add_transaction(self, transaction: OperatorTransaction) -> None:
        await self._connection.execute(insert(operator_transactions), _transaction_row(transaction))

    async def save_transaction(self, transaction: OperatorTransaction) -> None:
        await self._connection.execute(
            update(operator_transactions)
            .where(operator_transactions.c.id == transaction.id)
            .values(_transaction_row(transaction))
        )

    async def open_transactions(self, chain_id: int) -> list[OperatorTransaction]:
        query = (
            select(operator_transactions)
            .where(
                operator_transactions.c.chain_id == chain_id,
                operator_transactions.c.status == TransactionStatus.SIGNED.value,
            )
            .order_by(operator_transactions.c.nonce)
        )
        return [_transaction(row) for row in await self._connection.execute(query)]

    async def transactions_of(self, subject: str) -> list[OperatorTransaction]:
        query = (
            select(operator_transactions)
            .where(operator_transactions.c.subject == subject)
            .order_by(operator_transactions.c.seq)
        )
        return [_transaction(row) for row in await self._connection.execute(query)]


def _withdrawal_row(withdrawal: Withdrawal) -> dict[str, Any]:
    return asdict(withdrawal) | {"status": withdrawal.status.value}


def _withdrawal(row: Row[Any]) -> Withdrawal:
    values = {column.name: getattr(row, column.name) for column in withdrawals.c if column.name != "seq"}
    return Withdrawal(**values | {"status": WithdrawalStatus(row.status)})


def _transaction_row(transaction: OperatorTransaction) -> dict[str, Any]:
    return asdict(transaction) | {"status": transaction.status.value}


def _transaction(row: Row[Any]) -> OperatorTransaction:
    values = {column.name: getattr(row, column.name) for column in operator_transactions.c if column.name != "seq"}
    return OperatorTransaction(**values | {"status": TransactionStatus(row.status)})
