"""Withdrawals with their schedules, and the transactions that the operator's key signed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from openpay.app.records import (
    OperatorTransaction,
    Page,
    TransactionStatus,
    Withdrawal,
    WithdrawalSchedule,
    WithdrawalStatus,
)
from openpay.store.sql import Repository
from openpay.store.tables import (
    operator_transaction_subjects,
    operator_transactions,
    withdrawal_schedules,
    withdrawals,
)

_OPEN_WITHDRAWALS = [WithdrawalStatus.PENDING.value, WithdrawalStatus.SUBMITTED.value]


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
        query = (
            select(withdrawals)
            .where(withdrawals.c.chain_id == chain_id, withdrawals.c.status.in_(_OPEN_WITHDRAWALS))
            .order_by(withdrawals.c.seq)
            .limit(limit)
        )
        return [_withdrawal(row) for row in await self._connection.execute(query)]

    async def tokens_being_withdrawn(self, chain_id: int, merchant_id: str) -> frozenset[str]:
        query = select(withdrawals.c.token).where(
            withdrawals.c.chain_id == chain_id,
            withdrawals.c.merchant_id == merchant_id,
            withdrawals.c.status.in_(_OPEN_WITHDRAWALS),
        )
        return frozenset(await self._connection.scalars(query))

    async def schedules(self) -> list[WithdrawalSchedule]:
        query = select(withdrawal_schedules).order_by(
            withdrawal_schedules.c.merchant_id, withdrawal_schedules.c.livemode
        )
        return [_schedule(row) for row in await self._connection.execute(query)]

    async def schedule(self, merchant_id: str, livemode: bool) -> WithdrawalSchedule | None:
        query = select(withdrawal_schedules).where(
            withdrawal_schedules.c.merchant_id == merchant_id, withdrawal_schedules.c.livemode == livemode
        )
        row = (await self._connection.execute(query)).first()
        return None if row is None else _schedule(row)

    async def save_schedule(self, schedule: WithdrawalSchedule) -> bool:
        row = asdict(schedule) | {
            "thresholds": {token: str(units) for token, units in schedule.thresholds.items()},
            "crossings": dict(schedule.crossings),
            "version": schedule.version + 1,
        }
        if schedule.version == 0:
            return await self._insert_new(withdrawal_schedules, [row]) == 1
        result = await self._connection.execute(
            update(withdrawal_schedules)
            .where(
                withdrawal_schedules.c.merchant_id == schedule.merchant_id,
                withdrawal_schedules.c.livemode == schedule.livemode,
                withdrawal_schedules.c.version == schedule.version,
            )
            .values(row)
        )
        return result.rowcount == 1

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
        rows = [
            {"transaction_id": transaction.id, "position": position, "subject": subject}
            for position, subject in enumerate(transaction.subjects)
        ]
        if rows:
            await self._connection.execute(insert(operator_transaction_subjects), rows)

    async def mark_sent(self, transaction_id: str, *, now: int) -> None:
        await self._connection.execute(
            update(operator_transactions)
            .where(operator_transactions.c.id == transaction_id, operator_transactions.c.sent_at.is_(None))
            .values(sent_at=now)
        )

    async def end_transaction(self, transaction: OperatorTransaction) -> None:
        row = _transaction_row(transaction)
        await self._connection.execute(
            update(operator_transactions)
            .where(operator_transactions.c.id == transaction.id)
            .values({name: row[name] for name in ("status", "ended_at", "ended_block", "fee_wei")})
        )

    async def open_transactions(self, chain_id: int, *, lock: bool = False) -> list[OperatorTransaction]:
        if lock and self._connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
            key = int.from_bytes(hashlib.sha256(f"openpay:nonces:{chain_id}".encode()).digest()[:8], "big", signed=True)
            await self._connection.execute(select(func.pg_advisory_xact_lock(key)))
        query = (
            select(operator_transactions)
            .where(
                operator_transactions.c.chain_id == chain_id,
                operator_transactions.c.status == TransactionStatus.SIGNED.value,
            )
            .order_by(operator_transactions.c.nonce, operator_transactions.c.seq)
        )
        return await self._transactions(query)

    async def transactions_of(self, subject: str) -> list[OperatorTransaction]:
        theirs = select(operator_transaction_subjects.c.transaction_id).where(
            operator_transaction_subjects.c.subject == subject
        )
        query = (
            select(operator_transactions)
            .where(operator_transactions.c.id.in_(theirs))
            .order_by(operator_transactions.c.seq)
        )
        return await self._transactions(query)

    async def subjects_by_hash(self, tx_hashes: Collection[bytes]) -> Mapping[bytes, tuple[str, ...]]:
        query = (
            select(operator_transactions.c.tx_hash, operator_transaction_subjects.c.subject)
            .join(operator_transactions)
            .order_by(operator_transaction_subjects.c.position)
        )
        found: dict[bytes, tuple[str, ...]] = {}
        for row in await self._among(query, operator_transactions.c.tx_hash, tx_hashes):
            found[row.tx_hash] = (*found.get(row.tx_hash, ()), row.subject)
        return found

    async def mined_without_success(self, subjects: Collection[str]) -> frozenset[str]:
        query = (
            select(operator_transaction_subjects.c.subject)
            .join(operator_transactions)
            .where(operator_transactions.c.status == TransactionStatus.MINED.value)
        )
        return frozenset(
            row.subject for row in await self._among(query, operator_transaction_subjects.c.subject, subjects)
        )

    async def last_ended_nonce(self, chain_id: int, sender: bytes) -> int | None:
        query = select(func.max(operator_transactions.c.nonce)).where(
            operator_transactions.c.chain_id == chain_id,
            operator_transactions.c.sender == sender,
            operator_transactions.c.status != TransactionStatus.SIGNED.value,
        )
        nonce: int | None = await self._connection.scalar(query)
        return nonce

    async def fees_since(self, chain_id: int, since: int) -> int:
        query = select(operator_transactions.c.fee_wei).where(
            operator_transactions.c.chain_id == chain_id,
            operator_transactions.c.ended_at >= since,
            operator_transactions.c.fee_wei.is_not(None),
        )
        return sum(await self._connection.scalars(query))

    async def _transactions(self, query: Select[Any]) -> list[OperatorTransaction]:
        rows = list(await self._connection.execute(query))
        subjects: dict[str, list[str]] = defaultdict(list)
        named = select(operator_transaction_subjects).order_by(operator_transaction_subjects.c.position)
        of = operator_transaction_subjects.c.transaction_id
        for each in await self._among(named, of, [row.id for row in rows]):
            subjects[each.transaction_id].append(each.subject)
        return [_transaction(row, tuple(subjects[row.id])) for row in rows]


def _schedule(row: Row[Any]) -> WithdrawalSchedule:
    thresholds = {token: int(units) for token, units in row.thresholds.items()}
    return WithdrawalSchedule(**dict(row._mapping) | {"thresholds": thresholds})


def _withdrawal_row(withdrawal: Withdrawal) -> dict[str, Any]:
    return asdict(withdrawal) | {"status": withdrawal.status.value}


def _withdrawal(row: Row[Any]) -> Withdrawal:
    values = {column.name: getattr(row, column.name) for column in withdrawals.c if column.name != "seq"}
    return Withdrawal(**values | {"status": WithdrawalStatus(row.status)})


def _transaction_row(transaction: OperatorTransaction) -> dict[str, Any]:
    row = asdict(transaction) | {"status": transaction.status.value}
    del row["subjects"]
    return row


def _transaction(row: Row[Any], subjects: tuple[str, ...]) -> OperatorTransaction:
    values = {column.name: getattr(row, column.name) for column in operator_transactions.c if column.name != "seq"}
    return OperatorTransaction(**values | {"status": TransactionStatus(row.status), "subjects": subjects})
