"""Taking back what was recorded of blocks that were final, in SQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, or_, select, union, update

from openpay.app.mending import Extent
from openpay.app.records import Block, TransactionStatus, WithdrawalStatus
from openpay.domain.payment import Status
from openpay.store.chain import SqlDeposits
from openpay.store.sql import Repository
from openpay.store.tables import (
    block_ranges,
    blocks,
    deposits,
    doubted_balances,
    escrow_logs,
    operator_transactions,
    payments,
    reports,
    reverted_attempts,
    rewound_payments,
    withdrawals,
)

_ENDED_BY_A_TRANSACTION = (WithdrawalStatus.SUCCEEDED.value, WithdrawalStatus.FAILED.value)


class SqlRewinds(Repository):
    async def newest_place(self, chain_id: int, at_or_below: int) -> tuple[int, bytes] | None:
        found = []
        for table, of_chain in (
            (blocks, blocks.c.chain_id == chain_id),
            (deposits, _of_payments(deposits.c.payment_id, chain_id)),
            (reverted_attempts, _of_payments(reverted_attempts.c.payment_id, chain_id)),
            (escrow_logs, escrow_logs.c.chain_id == chain_id),
        ):
            number = table.c.number if table is blocks else table.c.block_number
            block_hash = table.c.hash if table is blocks else table.c.block_hash
            query = select(number, block_hash).where(of_chain, number <= at_or_below).order_by(number.desc()).limit(1)
            row = (await self._connection.execute(query)).first()
            if row is not None:
                found.append((row[0], row[1]))
        return max(found, default=None)

    async def extent(self, chain_id: int, above: int) -> Extent:
        lost = (
            select(deposits.c.payment_id.label("payment_id")).where(_deposits_above(chain_id, above)),
            select(escrow_logs.c.payment_id).where(_logs_above(chain_id, above), escrow_logs.c.payment_id.is_not(None)),
            select(reverted_attempts.c.payment_id).where(_attempts_above(chain_id, above)),
        )
        concerned = union(*lost).subquery()
        of_paid = select(payments.c.id).where(payments.c.status == Status.PAID.value)
        return Extent(
            deposits=await self._count(select(func.count()).where(_deposits_above(chain_id, above))),
            escrow_logs=await self._count(select(func.count()).where(_logs_above(chain_id, above))),
            attempts=await self._count(select(func.count()).where(_attempts_above(chain_id, above))),
            payments=await self._count(select(func.count()).select_from(concerned)),
            paid=await self._count(select(func.count()).where(concerned.c.payment_id.in_(of_paid))),
            transactions=await self._count(select(func.count()).where(_ended_above(chain_id, above))),
        )

    async def take_back(self, chain_id: int, above: int) -> list[str]:
        ids: set[str | None] = set()
        for table, condition in (
            (deposits, _deposits_above(chain_id, above)),
            (escrow_logs, _logs_above(chain_id, above)),
            (reverted_attempts, _attempts_above(chain_id, above)),
        ):
            ids |= set(await self._connection.scalars(select(table.c.payment_id).where(condition).distinct()))
        await self._open_again(chain_id, above)
        await SqlDeposits(self._connection).doubt(_deposits_above(chain_id, above))
        await self._connection.execute(delete(deposits).where(_deposits_above(chain_id, above)))
        await self._connection.execute(delete(escrow_logs).where(_logs_above(chain_id, above)))
        await self._connection.execute(delete(reverted_attempts).where(_attempts_above(chain_id, above)))
        await self._connection.execute(delete(blocks).where(blocks.c.chain_id == chain_id, blocks.c.number > above))
        return sorted(payment_id for payment_id in ids if payment_id is not None)

    async def _open_again(self, chain_id: int, above: int) -> None:
        """What ended because of blocks above a height: its end is to be found anew."""
        reverted = select(reverted_attempts.c.payment_id, reverted_attempts.c.tx_hash).where(
            _attempts_above(chain_id, above)
        )
        for row in list(await self._connection.execute(reverted)):
            await self._connection.execute(
                update(reports)
                .where(reports.c.payment_id == row.payment_id, reports.c.tx_hash == row.tx_hash)
                .values(open=True)
            )
        ended = select(operator_transactions.c.tx_hash).where(_ended_above(chain_id, above))
        await self._connection.execute(
            update(withdrawals)
            .where(
                withdrawals.c.chain_id == chain_id,
                withdrawals.c.status.in_(_ENDED_BY_A_TRANSACTION),
                withdrawals.c.tx_hash.in_(ended),
            )
            .values(status=WithdrawalStatus.SUBMITTED.value, units=None, failure=None, completed_at=None)
        )
        await self._connection.execute(
            update(operator_transactions)
            .where(_ended_above(chain_id, above))
            .values(status=TransactionStatus.SIGNED.value, ended_at=None, ended_block=None, fee_wei=None)
        )

    async def continue_from(self, block: Block) -> None:
        chain_id = block.chain_id
        at = and_(blocks.c.chain_id == chain_id, blocks.c.number == block.number)
        if await self._connection.scalar(select(blocks.c.hash).where(at)) is None:
            await self._connection.execute(
                insert(blocks),
                {
                    "chain_id": chain_id,
                    "number": block.number,
                    "hash": block.hash,
                    "parent_hash": block.parent_hash,
                    "time": block.time,
                    "proven": block.proven,
                },
            )
        folded = block_ranges.c.chain_id == chain_id
        await self._connection.execute(delete(block_ranges).where(folded, block_ranges.c.first >= block.number))
        await self._connection.execute(
            update(block_ranges).where(folded, block_ranges.c.last >= block.number).values(last=block.number - 1)
        )

    async def mark(self, chain_id: int, payment_ids: Collection[str]) -> None:
        # A mark that another transaction is just taking away is not waited for: it wants the payment's lock in turn.
        marked = await self.marked_among(chain_id, payment_ids)
        new = [each for each in payment_ids if each not in marked]
        await self._insert_new(rewound_payments, [{"chain_id": chain_id, "payment_id": each} for each in new])

    async def marked(self, chain_id: int, *, limit: int) -> list[str]:
        doubted = select(doubted_balances.c.payment_id)
        query = (
            select(rewound_payments.c.payment_id)
            .where(rewound_payments.c.chain_id == chain_id, rewound_payments.c.payment_id.not_in(doubted))
            .order_by(rewound_payments.c.payment_id)
            .limit(limit)
        )
        return list(await self._connection.scalars(query))

    async def marked_among(self, chain_id: int, payment_ids: Collection[str]) -> frozenset[str]:
        query = select(rewound_payments.c.payment_id).where(rewound_payments.c.chain_id == chain_id)
        return frozenset(row.payment_id for row in await self._among(query, rewound_payments.c.payment_id, payment_ids))

    async def is_any_marked(self, chain_id: int) -> bool:
        query = select(rewound_payments.c.payment_id).where(rewound_payments.c.chain_id == chain_id).limit(1)
        return await self._connection.scalar(query) is not None

    async def unmark(self, chain_id: int, payment_ids: Collection[str]) -> None:
        of_chain = delete(rewound_payments).where(rewound_payments.c.chain_id == chain_id)
        await self._delete_among(of_chain, rewound_payments.c.payment_id, payment_ids)

    async def _count(self, query: Select[Any]) -> int:
        count: int | None = await self._connection.scalar(query)
        return count or 0


def _of_payments(payment_id: ColumnElement[str], chain_id: int) -> ColumnElement[bool]:
    return payment_id.in_(select(payments.c.id).where(payments.c.chain_id == chain_id))


def _deposits_above(chain_id: int, above: int) -> ColumnElement[bool]:
    return and_(deposits.c.block_number > above, _of_payments(deposits.c.payment_id, chain_id))


def _attempts_above(chain_id: int, above: int) -> ColumnElement[bool]:
    return and_(reverted_attempts.c.block_number > above, _of_payments(reverted_attempts.c.payment_id, chain_id))


def _logs_above(chain_id: int, above: int) -> ColumnElement[bool]:
    return and_(escrow_logs.c.chain_id == chain_id, escrow_logs.c.block_number > above)


def _ended_above(chain_id: int, above: int) -> ColumnElement[bool]:
    """The operator's transactions whose end may rest on a block above: it was seen with such a block final."""
    return and_(
        operator_transactions.c.chain_id == chain_id,
        operator_transactions.c.status != TransactionStatus.SIGNED.value,
        or_(operator_transactions.c.ended_block.is_(None), operator_transactions.c.ended_block > above),
    )
