"""Requests to read blocks once more, in SQL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, insert, select, update

from openpay.app.mending import Found, Rescan
from openpay.errors import InvariantViolated
from openpay.store.sql import Repository
from openpay.store.tables import rescans


class SqlRescans(Repository):
    async def add(self, chain_id: int, first: int, last: int, *, now: int) -> Rescan:
        values = {
            "chain_id": chain_id,
            "first": first,
            "last": last,
            "next": first,
            "requested_at": now,
            "found_logs": 0,
            "found_deposits": 0,
            "found": [],
        }
        result = await self._connection.execute(insert(rescans).returning(rescans.c.id), values)
        stored = await self.get(result.scalar_one())
        if stored is None:
            raise InvariantViolated("a request that was just stored is not there")
        return stored

    async def get(self, rescan_id: int) -> Rescan | None:
        row = (await self._connection.execute(select(rescans).where(rescans.c.id == rescan_id))).first()
        return None if row is None else _rescan(row)

    async def open(self, chain_id: int) -> list[Rescan]:
        return [_rescan(row) for row in await self._connection.execute(_open(chain_id))]

    async def next_open(self, chain_id: int) -> Rescan | None:
        row = (await self._connection.execute(_open(chain_id).limit(1))).first()
        return None if row is None else _rescan(row)

    async def cancel(self, rescan_id: int, *, why: str, at: int) -> bool:
        canceled = update(rescans).where(rescans.c.id == rescan_id, rescans.c.done_at.is_(None))
        return (await self._connection.execute(canceled.values(done_at=at, failure=why))).rowcount == 1

    async def save(self, rescan: Rescan, *, read_from: int) -> bool:
        values = asdict(rescan) | {"found": [_found_json(each) for each in rescan.found]}
        del values["id"]
        result = await self._connection.execute(
            update(rescans)
            .where(rescans.c.id == rescan.id, rescans.c.done_at.is_(None), rescans.c.next == read_from)
            .values(values)
        )
        return result.rowcount == 1


def _open(chain_id: int) -> Select[Any]:
    return select(rescans).where(rescans.c.chain_id == chain_id, rescans.c.done_at.is_(None)).order_by(rescans.c.id)


def _found_json(found: Found) -> dict[str, Any]:
    """JSON has no bytes, and its readers lose integers above 2^53."""
    tx_hash = None if found.tx_hash is None else found.tx_hash.hex()
    return asdict(found) | {"units": str(found.units), "tx_hash": tx_hash}


def _found(stored: dict[str, Any]) -> Found:
    tx_hash = stored["tx_hash"]
    return Found(
        **stored | {"units": int(stored["units"]), "tx_hash": None if tx_hash is None else bytes.fromhex(tx_hash)}
    )


def _rescan(row: Row[Any]) -> Rescan:
    return Rescan(**dict(row._mapping) | {"found": tuple(_found(each) for each in row.found)})
