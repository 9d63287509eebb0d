"""Small helpers shared by the repositories.

Building a statement takes longer than running it on a local database. Those that every block needs are built once, with
`bindparam` for what changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Delete, Select, Table, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from openpay.errors import Invalid
from openpay.store.parts import in_parts
from openpay.store.prepared import Prepared


@cache
def _insert_if_new(table: Table, dialect: str) -> Prepared:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return Prepared(insert(table).on_conflict_do_nothing())


def due(table: Table, now: int) -> ColumnElement[bool]:
    """Rows whose next attempt is due and that no process holds: never claimed, or the claim has lapsed."""
    unclaimed = or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now)
    return and_(table.c.next_attempt_at <= now, unclaimed)


class Repository:
    """What every repository has: the connection of its unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def _insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows, leaving those that exist (by any unique key) as they are; how many were new."""
        if not rows:
            return 0
        statement = _insert_if_new(table, self._connection.dialect.name)
        inserted = 0
        for row in rows:
            inserted += (await statement.run(self._connection, row)).changed
        return inserted

    async def _insert_all_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """The same at once, for many rows, without counting."""
        statement = _insert_if_new(table, self._connection.dialect.name)
        if len(rows) == 1:
            await statement.run(self._connection, rows[0])
        elif rows:
            await self._connection.execute(statement.statement, rows)

    async def _among(self, query: Select[Any], column: ColumnElement[Any], values: Iterable[Any]) -> list[Row[Any]]:
        """What `query` finds where `column` is one of `values`, of however many; in its order while they are few."""
        rows: list[Row[Any]] = []
        for some in in_parts(values):
            rows += await self._connection.execute(query.where(column.in_(some)))
        return rows

    async def _delete_among(self, query: Delete, column: ColumnElement[Any], values: Iterable[Any]) -> None:
        """Delete what `query` would where `column` is one of `values`, of however many."""
        for some in in_parts(values):
            await self._connection.execute(query.where(column.in_(some)))

    async def _claim(self, table: Table, query: Select[Any], *, until: int) -> list[Row[Any]]:
        """Hold the rows of `table` that `query` finds until then; in order, without those just being claimed."""
        found = query.order_by(table.c.seq).with_for_update(of=table, skip_locked=True)
        rows = list(await self._connection.execute(found))
        await self._connection.execute(
            update(table).where(table.c.seq.in_([row.seq for row in rows])).values(claimed_until=until)
        )
        return rows

    async def _newest_first(
        self,
        table: Table,
        scope: Sequence[ColumnElement[bool]],
        filters: Sequence[ColumnElement[bool]] = (),
        *,
        limit: int,
        starting_after: str | None,
        columns: Select[Any] | None = None,
    ) -> tuple[list[Row[Any]], bool]:
        """A page of `table` (which has `seq` and `id`) in falling order, after the row with id `starting_after`.

        `scope` says whose rows these are; that row is looked for there. `filters` say which of them are wanted: it may
        have ceased to be one of those since the page before was read, and still marks the place. Raises `Invalid`
        (`invalid_starting_after`) where `scope` has no such row.
        """
        query = (columns if columns is not None else select(table)).where(*scope, *filters)
        if starting_after is not None:
            place = await self._connection.scalar(select(table.c.seq).where(*scope, table.c.id == starting_after))
            if place is None:
                # An empty page would look like the end of the list.
                raise Invalid(
                    f"starting_after {starting_after[:60]!r} is not in this list",
                    code="invalid_starting_after",
                    param="starting_after",
                )
            query = query.where(table.c.seq < place)
        rows = list(await self._connection.execute(query.order_by(table.c.seq.desc()).limit(limit + 1)))
        return rows[:limit], len(rows) > limit
