"""What was read of the chain: deposits, reverted attempts, blocks, escrow logs and the cursor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, func, insert, select, update

from openpay.app.records import Block, Cursor, EscrowLog, Report
from openpay.domain.deposit import Deposit, RevertedAttempt, Source
from openpay.errors import CursorMoved, InvariantViolated
from openpay.store.prepared import Prepared, PreparedFor
from openpay.store.sql import Repository
from openpay.store.tables import (
    block_ranges,
    blocks,
    cursors,
    deposits,
    doubted_balances,
    escrow_logs,
    reports,
    reverted_attempts,
)

DOUBTED_BLOCKS = 100
"""Longer than this a transaction that a reorg threw out does not wait for its next block."""


_SOURCES = {source.value: source for source in Source}
_DEPOSIT_VALUES = [field.name for field in fields(Deposit) if field.name not in ("payment_id", "source")]


@cache
def _of_payments(table: Table) -> PreparedFor:
    return PreparedFor(select(table).order_by(table.c.block_number), table.c.payment_id)


_DEPOSITS_OF = PreparedFor(
    select(deposits.c.payment_id, deposits.c.source, *(deposits.c[name] for name in _DEPOSIT_VALUES)).order_by(
        deposits.c.block_number
    ),
    deposits.c.payment_id,
)


_CURSOR = Prepared(select(cursors).where(cursors.c.chain_id == bindparam("chain_id")))
_CURSOR_FROM = Prepared(
    update(cursors).where(
        cursors.c.chain_id == bindparam("old_chain_id"),
        cursors.c.number == bindparam("old_number"),
        cursors.c.hash == bindparam("old_hash"),
    )
)
_BLOCK = Prepared(
    select(blocks).where(blocks.c.chain_id == bindparam("chain_id"), blocks.c.number == bindparam("number"))
)
_ESCROW_LOGS_IN = Prepared(
    select(escrow_logs)
    .where(
        escrow_logs.c.chain_id == bindparam("chain_id"),
        escrow_logs.c.block_number.between(bindparam("first"), bindparam("last")),
    )
    .order_by(escrow_logs.c.block_number, escrow_logs.c.log_index)
)
_OPEN_REPORTS = select(reports.c.chain_id, reports.c.payment_id, reports.c.tx_hash, reports.c.reported_at).where(
    reports.c.chain_id == bindparam("chain_id"), reports.c.open.is_(True)
)


class _OfBlocks(Repository):
    """Rows that belong to a payment and stand or fall with their block."""

    async def _of(self, table: Table, payment_ids: Collection[str]) -> Sequence[Any]:
        return await _of_payments(table).run(self._connection, payment_ids)

    async def _remove(self, table: Table, block_hash: bytes) -> list[str]:
        condition = table.c.block_hash == block_hash
        ids = list(await self._connection.scalars(select(table.c.payment_id).where(condition).distinct()))
        await self._connection.execute(delete(table).where(condition))
        return [payment_id for payment_id in ids if payment_id is not None]


class SqlDeposits(_OfBlocks):
    async def add(self, deposits_: Sequence[Deposit]) -> None:
        rows = [
            {name: getattr(each, name) for name in _DEPOSIT_VALUES}
            | {"payment_id": each.payment_id, "source": each.source.value}
            for each in deposits_
        ]
        await self._insert_all_new(deposits, rows)

    async def reduce(self, deposit: Deposit, units: int) -> None:
        place = and_(
            deposits.c.payment_id == deposit.payment_id,
            deposits.c.block_hash == deposit.block_hash,
            deposits.c.source == deposit.source.value,
            deposits.c.position == deposit.position,
        )
        if units:
            await self._connection.execute(update(deposits).where(place).values(units=units))
        else:
            await self._connection.execute(delete(deposits).where(place))

    async def of(self, payment_ids: Collection[str]) -> Mapping[str, list[Deposit]]:
        found: dict[str, list[Deposit]] = defaultdict(list)
        for payment_id, source, *values in await _DEPOSITS_OF.run(self._connection, payment_ids):
            # Payments are judged again and again, some of them with hundreds of deposits: this is the part that counts.
            named = dict(zip(_DEPOSIT_VALUES, values, strict=True))
            found[payment_id].append(Deposit(payment_id=payment_id, source=_SOURCES[source], **named))
        return found

    async def remove_block(self, block_hash: bytes) -> list[str]:
        await self.doubt(deposits.c.block_hash == block_hash)
        return await self._remove(deposits, block_hash)

    async def doubt(self, condition: ColumnElement[bool]) -> None:
        """Have the vaults looked at whose deposits that no log shows are about to be taken back."""
        place = deposits.c.payment_id, (func.max(deposits.c.block_number) + DOUBTED_BLOCKS).label("block_number")
        unlogged = select(*place).where(condition, deposits.c.source == Source.INTERNAL.value)
        for row in list(await self._connection.execute(unlogged.group_by(deposits.c.payment_id))):
            known = doubted_balances.c.payment_id == row.payment_id
            await self._insert_new(doubted_balances, [dict(row._mapping)])
            await self._connection.execute(
                update(doubted_balances)
                .where(known, doubted_balances.c.block_number < row.block_number)
                .values(block_number=row.block_number)
            )


class SqlAttempts(_OfBlocks):
    async def report(self, report: Report) -> None:
        await self._insert_new(reports, [asdict(report) | {"open": True}])

    async def reported(self, payment_id: str) -> int:
        query = select(func.count()).where(reports.c.payment_id == payment_id)
        return await self._connection.scalar(query) or 0

    async def open_reports(self, chain_id: int) -> list[Report]:
        rows = await self._connection.execute(_OPEN_REPORTS, {"chain_id": chain_id})
        return [Report(**row._mapping) for row in rows]

    async def close_report(self, payment_id: str, tx_hash: bytes) -> None:
        await self._set_open(payment_id, tx_hash, open_=False)

    async def add(self, attempt: RevertedAttempt) -> None:
        await self._insert_new(reverted_attempts, [asdict(attempt)])

    async def of(self, payment_ids: Collection[str]) -> Mapping[str, list[RevertedAttempt]]:
        found: dict[str, list[RevertedAttempt]] = defaultdict(list)
        for row in await self._of(reverted_attempts, payment_ids):
            found[row.payment_id].append(RevertedAttempt(**row._asdict()))
        return found

    async def remove_block(self, block_hash: bytes) -> list[str]:
        gone = select(reverted_attempts).where(reverted_attempts.c.block_hash == block_hash)
        for row in list(await self._connection.execute(gone)):
            await self._set_open(row.payment_id, row.tx_hash, open_=True)
        return await self._remove(reverted_attempts, block_hash)

    async def _set_open(self, payment_id: str, tx_hash: bytes, *, open_: bool) -> None:
        await self._connection.execute(
            update(reports).where(reports.c.payment_id == payment_id, reports.c.tx_hash == tx_hash).values(open=open_)
        )


class SqlChainRecord(_OfBlocks):
    async def cursor(self, chain_id: int) -> Cursor | None:
        row = (await _CURSOR.run(self._connection, {"chain_id": chain_id})).first
        return None if row is None else Cursor(**row._asdict())

    async def move_cursor(self, old: Cursor | None, new: Cursor) -> None:
        if old is None:
            if await self._insert_new(cursors, [asdict(new)]) != 1:
                raise CursorMoved(f"chain {new.chain_id} has a cursor already: another watcher is running")
            return
        place = {"old_chain_id": old.chain_id, "old_number": old.number, "old_hash": old.hash}
        if (await _CURSOR_FROM.run(self._connection, place | asdict(new))).changed != 1:
            raise CursorMoved(f"chain {old.chain_id} is no longer at block {old.number}: another watcher is running")

    async def add_block(self, block: Block) -> None:
        if await self._insert_new(blocks, [asdict(block)]) != 1:
            raise CursorMoved(
                f"block {block.number} of chain {block.chain_id} was read already: another watcher is running"
            )

    async def block(self, chain_id: int, number: int) -> Block | None:
        row = (await _BLOCK.run(self._connection, {"chain_id": chain_id, "number": number})).first
        return None if row is None else Block(**row._asdict())

    async def remove_block(self, block: Block) -> None:
        await self._connection.execute(
            delete(blocks).where(
                blocks.c.chain_id == block.chain_id, blocks.c.number == block.number, blocks.c.hash == block.hash
            )
        )

    async def fold(self, chain_id: int, below: int) -> None:
        condition = and_(blocks.c.chain_id == chain_id, blocks.c.number < below)
        query = select(func.min(blocks.c.number).label("first"), func.max(blocks.c.number).label("last"))
        folded = (await self._connection.execute(query.where(condition))).one()
        if folded.first is None:
            return
        row = (await self._connection.execute(select(block_ranges).where(block_ranges.c.chain_id == chain_id))).first()
        if row is None:
            await self._connection.execute(
                insert(block_ranges).values(chain_id=chain_id, first=folded.first, last=folded.last)
            )
        elif folded.first != row.last + 1:
            raise InvariantViolated(
                f"chain {chain_id}: blocks {folded.first} to {folded.last} do not continue the range up to {row.last}"
            )
        else:
            await self._connection.execute(
                update(block_ranges).where(block_ranges.c.chain_id == chain_id).values(last=folded.last)
            )
        await self._connection.execute(delete(blocks).where(condition))

    async def covered(self, chain_id: int) -> tuple[int, int] | None:
        folded = (
            await self._connection.execute(select(block_ranges).where(block_ranges.c.chain_id == chain_id))
        ).first()
        query = select(func.min(blocks.c.number).label("first"), func.max(blocks.c.number).label("last"))
        loose = (await self._connection.execute(query.where(blocks.c.chain_id == chain_id))).one()
        if folded is None:
            return None if loose.first is None else (loose.first, loose.last)
        return (folded.first, loose.last if loose.last is not None else folded.last)

    async def add_escrow_logs(self, logs: Sequence[EscrowLog]) -> None:
        await self._insert_new(escrow_logs, [asdict(log) for log in logs])

    async def escrow_logs_in(self, chain_id: int, first: int, last: int) -> list[EscrowLog]:
        place = {"chain_id": chain_id, "first": first, "last": last}
        return [EscrowLog(**row._asdict()) for row in (await _ESCROW_LOGS_IN.run(self._connection, place)).rows]

    async def escrow_logs_of(self, payment_ids: Collection[str]) -> Mapping[str, list[EscrowLog]]:
        found: dict[str, list[EscrowLog]] = defaultdict(list)
        for row in await self._of(escrow_logs, payment_ids):
            found[row.payment_id].append(EscrowLog(**row._asdict()))
        return found

    async def escrow_logs_of_transactions(self, chain_id: int, tx_hashes: Collection[bytes]) -> list[EscrowLog]:
        query = select(escrow_logs).where(escrow_logs.c.chain_id == chain_id)
        logs = [EscrowLog(**row._mapping) for row in await self._among(query, escrow_logs.c.tx_hash, tx_hashes)]
        return sorted(logs, key=attrgetter("block_number", "log_index"))

    async def withdrawn_log(self, chain_id: int, tx_hash: bytes) -> EscrowLog | None:
        query = select(escrow_logs).where(
            escrow_logs.c.chain_id == chain_id, escrow_logs.c.tx_hash == tx_hash, escrow_logs.c.name == "Withdrawn"
        )
        row = (await self._connection.execute(query)).first()
        return None if row is None else EscrowLog(**row._mapping)

    async def remove_escrow_logs(self, block_hash: bytes) -> list[str]:
        return await self._remove(escrow_logs, block_hash)
