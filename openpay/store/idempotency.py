"""Idempotency keys: a row that is claimed and answered in the transaction of the work itself."""

from __future__ import annotations

from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from openpay.app.records import IdempotentAnswer
from openpay.errors import Conflict
from openpay.store.sql import Repository
from openpay.store.tables import idempotency_keys

LOCK_WAIT_S = 2
_LOCK_NOT_AVAILABLE = "55P03"


class SqlIdempotency(Repository):
    async def claim(self, key_hash: bytes, *, fingerprint: bytes, now: int) -> IdempotentAnswer | None:
        row = {"key_hash": key_hash, "fingerprint": fingerprint, "created_at": now}
        if await self._claimed(row):
            return None
        query = select(idempotency_keys).where(idempotency_keys.c.key_hash == key_hash)
        stored = (await self._connection.execute(query)).one()
        return IdempotentAnswer(
            fingerprint=stored.fingerprint, status=stored.status, body=stored.body, created_at=stored.created_at
        )

    async def store(self, key_hash: bytes, answer: IdempotentAnswer) -> None:
        await self._connection.execute(
            update(idempotency_keys)
            .where(idempotency_keys.c.key_hash == key_hash)
            .values(status=answer.status, body=answer.body)
        )

    async def forget_before(self, created_at: int) -> int:
        result = await self._connection.execute(
            delete(idempotency_keys).where(idempotency_keys.c.created_at < created_at)
        )
        return result.rowcount

    async def _claimed(self, row: dict[str, object]) -> bool:
        """Whether the key was free. On PostgreSQL the insert waits for a transaction that holds the same key; on
        SQLite writers are in one queue anyway."""
        if self._connection.dialect.name != "postgresql":
            return await self._insert_new(idempotency_keys, [row]) == 1
        await self._connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'"))
        try:
            claimed = await self._insert_new(idempotency_keys, [row]) == 1
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Conflict(
                "a request with this Idempotency-Key is still being carried out; ask again in a moment",
                code="idempotency_in_progress",
            ) from error
        await self._connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))
        return claimed
