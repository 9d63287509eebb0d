"""Statements of every block, carried out without SQLAlchemy's share of the work where that is safe.

SQLAlchemy takes 50 µs or more for each statement, SQLite a few: of a block's transaction that was the larger part. What
SQLAlchemy knows of a statement - its text, the order of its values, how they are written and read - is asked for once.
From then on, within a writing transaction on SQLite, it goes to the driver directly, and so does a brief question of a
reader. Everywhere else, and with every other statement, SQLAlchemy does what it always does.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Dialect, Insert, Select, Update, bindparam
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from openpay.store.parts import in_parts
from openpay.store.sqlite import SqliteConnection

Statement = Select[Any] | Insert | Update
_Process = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What a statement brought. `rows` are those of SQLAlchemy or named tuples: what both of them can may be used.
    `changed`: how many rows an INSERT or UPDATE changed."""

    rows: Sequence[Any]
    changed: int

    @property
    def first(self) -> Any:
        """The first row, or None."""
        return self.rows[0] if self.rows else None


class Prepared:
    """A statement that is built once; `bindparam` stands for what changes. Never one with an expanding `IN`.

    `is_brief`: it looks a few rows up by an index, sooner than a thread wakes up, and readers need none for it either.
    """

    def __init__(self, statement: Statement, *, is_brief: bool = False) -> None:
        self.statement = statement
        self._is_brief = is_brief
        self._direct: dict[tuple[str, ...], _Direct] = {}
        """By the names of the values that are given: an INSERT or UPDATE writes no other columns."""

    async def run(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Done:
        """Raises what `connection.execute` does."""
        driver = instant(connection)
        if driver is not None:
            return self._as_direct(connection, values).run(driver, values)
        done = await self._in_passing(connection, values) if self._is_brief else None
        if done is not None:
            return done
        result = await connection.execute(self.statement, values)
        return Done(result.all() if result.returns_rows else (), result.rowcount)

    def _as_direct(self, connection: AsyncConnection, values: Mapping[str, Any]) -> _Direct:
        names = tuple(values)
        direct = self._direct.get(names)
        if direct is None:
            direct = self._direct[names] = _Direct.of(self.statement, connection.dialect, names)
        return direct

    async def _in_passing(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Done | None:
        """What a reader on SQLite is told at once; None where that cannot be."""
        if connection.dialect.name != "sqlite":
            return None
        if not connection.in_transaction():
            await connection.begin()
        driver = _driver(connection)
        if not isinstance(driver, SqliteConnection):
            return None
        return driver.without_waiting(partial(self._as_direct(connection, values).execute, values=values))


class PreparedFor:
    """A SELECT of what belongs to some rows, `key` saying to which. Nearly always it is one, which needs no list."""

    def __init__(self, statement: Select[Any], key: ColumnElement[Any], *, is_brief: bool = False) -> None:
        self.statement = statement.where(key.in_(bindparam("wanted", expanding=True)))
        self._of_one = Prepared(statement.where(key == bindparam("wanted")), is_brief=is_brief)

    async def run(self, connection: AsyncConnection, wanted: Collection[Any], **values: object) -> Sequence[Any]:
        """The rows that belong to `wanted`, of however many. `values`: the other ones that the statement names."""
        if len(wanted) == 1:
            return (await self._of_one.run(connection, {"wanted": next(iter(wanted)), **values})).rows
        rows: list[Any] = []
        for some in in_parts(wanted):
            rows += await connection.execute(self.statement, {"wanted": some, **values})
        return rows


def instant(connection: AsyncConnection) -> sqlite3.Connection | None:
    """The driver's connection where statements may be handed to it at once: SQLite's, in a writing transaction."""
    driver = _driver(connection)
    return driver.instant if isinstance(driver, SqliteConnection) else None


def _driver(connection: AsyncConnection) -> object:
    proxied = connection.sync_connection
    return None if proxied is None else proxied.connection.driver_connection


@dataclass(frozen=True, slots=True)
class _Direct:
    """A statement as SQLite's driver takes it."""

    text: str
    places: tuple[tuple[str | None, Any, _Process | None], ...]
    """By position: the name of the value there, or None for a constant; the constant; how it is written."""
    row: _Process | None
    """Makes a named row of what the driver reads; None where the statement has no rows."""

    @classmethod
    def of(cls, statement: Statement, dialect: Dialect, names: Sequence[str]) -> _Direct:
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        # With every value given, if only as None, lists of constants are written out too.
        state = compiled.construct_expanded_state(dict.fromkeys(names))
        writes = {name: _writing(bind.type, dialect) for name, bind in compiled.binds.items()} | state.processors
        return cls(
            text=state.statement,
            places=tuple(
                (name if name in names else None, state.parameters[name], writes.get(name))
                for name in state.positiontup
            ),
            row=_row_of(statement, dialect) if isinstance(statement, Select) else None,
        )

    def run(self, driver: sqlite3.Connection, values: Mapping[str, Any]) -> Done:
        try:
            return self.execute(driver, values)
        except sqlite3.Error as error:
            raise DBAPIError.instance(self.text, dict(values), error, sqlite3.Error) from error

    def execute(self, driver: sqlite3.Connection, values: Mapping[str, Any]) -> Done:
        """Raises what the driver does."""
        parameters = []
        for name, constant, write in self.places:
            value = constant if name is None else values[name]
            parameters.append(value if write is None else write(value))
        cursor = driver.execute(self.text, parameters)
        if self.row is None:
            return Done((), cursor.rowcount)
        return Done([self.row(row) for row in cursor.fetchall()], -1)


def _writing(kind: TypeEngine[Any], dialect: Dialect) -> _Process | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _row_of(statement: Select[Any], dialect: Dialect) -> _Process:
    columns = statement.selected_columns
    reads = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    make = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]

    def row(values: Sequence[Any]) -> Any:
        return make._make(value if read is None else read(value) for read, value in zip(reads, values, strict=True))

    return row
