"""What is to be swept, in SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from openpay.domain.sweeping import Excess
from openpay.store.sql import Repository
from openpay.store.tables import excess


class SqlExcess(Repository):
    async def put(self, payment_id: str, excess_: Collection[Excess]) -> None:
        found = await self._connection.execute(select(excess).where(excess.c.payment_id == payment_id))
        known = {row.id: _excess(row) for row in found}
        now = {each.id: each for each in excess_}
        for gone in known.keys() - now.keys():
            await self._connection.execute(delete(excess).where(excess.c.id == gone))
        for excess_id, each in now.items():
            if excess_id not in known:
                await self._connection.execute(insert(excess), asdict(each))
            elif known[excess_id] != each:
                await self._connection.execute(update(excess).where(excess.c.id == excess_id).values(asdict(each)))

    async def get(self, excess_id: str) -> Excess | None:
        row = (await self._connection.execute(select(excess).where(excess.c.id == excess_id))).first()
        return None if row is None else _excess(row)

    async def of_chain(self, chain_id: int, *, limit: int, after: str | None = None) -> list[Excess]:
        query = select(excess).where(excess.c.chain_id == chain_id).order_by(excess.c.seq).limit(limit)
        if after is not None:
            query = query.where(excess.c.seq > select(excess.c.seq).where(excess.c.id == after).scalar_subquery())
        return [_excess(row) for row in await self._connection.execute(query)]


def _excess(row: Row[Any]) -> Excess:
    return Excess(**{name: value for name, value in row._mapping.items() if name != "seq"})
