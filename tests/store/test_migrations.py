"""Migrations make exactly the schema that the code believes in."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from openpay.errors import ConfigurationError
from openpay.store import migrate, schema
from openpay.store.engine import async_url
from openpay.store.tables import metadata


async def on(url: str, look: Any) -> Any:
    engine = create_async_engine(async_url(url))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def unique_keys(connection: Connection) -> dict[str, list[list[str]]]:
    found = inspect(connection)
    return {
        table: sorted(key["column_names"] for key in found.get_unique_constraints(table))
        for table in found.get_table_names()
        if table != "alembic_version"
    }


async def test_migrations_make_the_tables_of_the_code(empty_database_url: str) -> None:
    assert await on(empty_database_url, differences) != []
    await asyncio.to_thread(migrate.upgrade, empty_database_url)
    assert await on(empty_database_url, differences) == []


async def test_migrations_make_the_same_unique_keys_as_the_tables(empty_database_url: str) -> None:
    # "Once" rests on these, and comparing metadata does not look at all of them on every database.
    def created(connection: Connection) -> dict[str, list[list[str]]]:
        metadata.create_all(connection)
        return unique_keys(connection)

    by_code = await on(empty_database_url, created)  # rolled back with its connection, or dropped below
    await on(empty_database_url, lambda connection: (metadata.drop_all(connection), connection.commit()))
    await asyncio.to_thread(migrate.upgrade, empty_database_url)
    assert await on(empty_database_url, unique_keys) == by_code


async def test_upgrade_may_be_repeated_and_keeps_what_is_there(empty_database_url: str) -> None:
    for _ in range(2):
        await asyncio.to_thread(migrate.upgrade, empty_database_url)
        await schema.check(empty_database_url)


async def test_migration_that_fails_half_way_leaves_nothing(empty_database_url: str) -> None:
    def in_the_way(statement: str) -> Any:
        return lambda connection: (connection.execute(text(statement)), connection.commit())

    last = metadata.sorted_tables[-1].name
    await on(empty_database_url, in_the_way(f"CREATE TABLE {last} (id INTEGER)"))
    with pytest.raises(ConfigurationError, match=f"{last}.* already exists"):
        await asyncio.to_thread(migrate.upgrade, empty_database_url)
    assert await on(empty_database_url, lambda connection: inspect(connection).get_table_names()) == [last]
    await on(empty_database_url, in_the_way(f"DROP TABLE {last}"))
    await asyncio.to_thread(migrate.upgrade, empty_database_url)
    await schema.check(empty_database_url)


async def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    code = "import sys; from openpay.store import migrate; input(); migrate.upgrade(sys.argv[1])"
    both = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, empty_database_url, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    ends = await asyncio.gather(*(each.communicate(b"\n") for each in both))
    assert [each.returncode for each in both] == [0, 0], ends
    await schema.check(empty_database_url)


def test_schema_that_is_asked_for_is_the_newest_migrations() -> None:
    assert ScriptDirectory(str(migrate.MIGRATIONS)).get_current_head() == schema.CURRENT


async def test_database_without_our_tables_is_named(empty_database_url: str) -> None:
    database = re.escape(async_url(empty_database_url).database or "?")
    await on(empty_database_url, lambda _connection: None)  # SQLite makes the file when it is first opened
    with pytest.raises(ConfigurationError, match=f"{database} holds no tables.*openpay migrate.*OPENPAY_DATABASE_URL"):
        await schema.check(empty_database_url)


async def test_database_of_another_version_is_refused_before_anything_is_written(empty_database_url: str) -> None:
    await asyncio.to_thread(migrate.upgrade, empty_database_url)
    older = text("UPDATE alembic_version SET version_num = '0000'")
    await on(empty_database_url, lambda connection: (connection.execute(older), connection.commit()))
    with pytest.raises(ConfigurationError, match=r"at schema 0000, .*openpay migrate"):
        await schema.check(empty_database_url)


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///:memory:", "mysql://localhost/openpay", "not a url", "postgres"]
)
def test_url_of_no_usable_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENPAY_DATABASE_URL"):
        migrate.upgrade(url)


def test_a_new_sqlite_file_is_its_owners_only(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path / 'private.db'}")
    assert (tmp_path / "private.db").stat().st_mode & 0o077 == 0
