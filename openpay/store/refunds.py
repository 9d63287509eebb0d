"""Refunds in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, insert, select, update

from openpay.app.records import Page, RefundFilter
from openpay.domain.refunds import NamedBy, Refund, RefundMode, RefundReason, RefundStatus
from openpay.store.prepared import PreparedFor
from openpay.store.sql import Repository
from openpay.store.tables import refunds

_OF_PAYMENTS = PreparedFor(select(refunds).order_by(refunds.c.seq), refunds.c.payment_id)


class SqlRefunds(Repository):
    async def put(self, refunds_: Collection[Refund]) -> None:
        rows = {refund.id: _row(refund) for refund in refunds_}
        known = {row.id for row in await self._among(select(refunds.c.id), refunds.c.id, rows)}
        for refund_id in known:
            await self._connection.execute(update(refunds).where(refunds.c.id == refund_id).values(rows[refund_id]))
        new = [row for refund_id, row in rows.items() if refund_id not in known]
        if new:  # often many at once: a stranger can send thousands of tiny deposits
            await self._connection.execute(insert(refunds), new)

    async def get(self, refund_id: str) -> Refund | None:
        row = (await self._connection.execute(select(refunds).where(refunds.c.id == refund_id))).first()
        return None if row is None else _refund(row)

    async def of(self, payment_ids: Collection[str]) -> Mapping[str, list[Refund]]:
        found: dict[str, list[Refund]] = defaultdict(list)
        for row in await _OF_PAYMENTS.run(self._connection, payment_ids):
            found[row.payment_id].append(_refund(row))
        return found

    async def due(self, chain_id: int, time: int, *, limit: int) -> list[Refund]:
        query = (
            select(refunds)
            .where(
                refunds.c.chain_id == chain_id,
                refunds.c.status == RefundStatus.SCHEDULED.value,
                refunds.c.available_at <= time,
            )
            .order_by(refunds.c.available_at, refunds.c.seq)
            .limit(limit)
        )
        return [_refund(row) for row in await self._connection.execute(query)]

    async def awaiting_signature(self, chain_id: int) -> list[Refund]:
        query = (
            select(refunds)
            .where(refunds.c.chain_id == chain_id, refunds.c.status == RefundStatus.REQUIRES_SIGNATURE.value)
            .order_by(refunds.c.seq)
        )
        return [_refund(row) for row in await self._connection.execute(query)]

    async def succeeded_by(self, tx_hashes: Collection[bytes]) -> list[Refund]:
        query = select(refunds).where(refunds.c.status == RefundStatus.SUCCEEDED.value)
        return [_refund(row) for row in await self._among(query, refunds.c.tx_hash, tx_hashes)]

    async def page(self, wanted: RefundFilter) -> Page[Refund]:
        statuses = [status.value for status in wanted.statuses]
        rows, has_more = await self._newest_first(
            refunds,
            [refunds.c.merchant_id == wanted.merchant_id, refunds.c.livemode == wanted.livemode],
            [refunds.c.status.in_(statuses)] if statuses else [],
            limit=wanted.limit,
            starting_after=wanted.starting_after,
        )
        return Page(items=tuple(_refund(row) for row in rows), has_more=has_more)


def _row(refund: Refund) -> dict[str, Any]:
    return asdict(refund) | {
        "reason": refund.reason.value,
        "mode": refund.mode.value,
        "status": refund.status.value,
        "named_by": None if refund.named_by is None else refund.named_by.value,
        "found_senders": [[sender.hex(), str(units)] for sender, units in refund.found_senders],
    }


def _refund(row: Row[Any]) -> Refund:
    values = {column.name: getattr(row, column.name) for column in refunds.c if column.name != "seq"}
    return Refund(
        **values
        | {
            "reason": RefundReason(row.reason),
            "mode": RefundMode(row.mode),
            "status": RefundStatus(row.status),
            "named_by": None if row.named_by is None else NamedBy(row.named_by),
            "found_senders": tuple((bytes.fromhex(sender), int(units)) for sender, units in row.found_senders),
        }
    )
