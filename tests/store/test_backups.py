"""The backup and restore of docs/operations.md, command by command, while somebody writes."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from openpay.app.merchants import create_merchant
from openpay.store import Store, schema
from tests.support.databases import PostgresDatabases
from tests.support.postgres import find_initdb

SECTION = (Path(__file__).parents[2] / "docs" / "operations.md").read_text().partition("## Backups")[2]
BACK_UP_SQLITE, BACK_UP_POSTGRES, RESTORE_SQLITE, RESTORE_POSTGRES = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)[
    :4
]


async def carry_out(commands: str, directory: Path, database_url: str) -> None:
    """Run the page's commands as a shell does, with this environment's Python and this machine's PostgreSQL."""
    programs = os.pathsep.join([str(find_initdb().parent), os.environ["PATH"]])
    await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euc", commands.replace(".venv/bin/", str(Path(sys.executable).parent) + "/")],
        cwd=directory,
        env={**os.environ, "PATH": programs, "OPENPAY_DATABASE_URL": database_url},
        check=True,
    )


async def add(store: Store, name: str) -> None:
    async with store.write() as uow:
        await create_merchant(uow, name=name, address=b"\1" * 20, now=0)


async def names(store: Store) -> list[str]:
    async with store.read() as uow:
        return [merchant.name for merchant in await uow.merchants.all()]


async def test_sqlite_comes_back_as_it_was_at_the_backup(sqlite_url: str, tmp_path: Path) -> None:
    assert sqlite_url == f"sqlite:///{tmp_path / 'openpay.db'}"
    store = Store.open(sqlite_url)
    await add(store, "before")
    assert (tmp_path / "openpay.db-wal").stat().st_size > 0  # what a copy of the file alone would miss
    await carry_out(BACK_UP_SQLITE, tmp_path, sqlite_url)
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0
    await add(store, "after")
    await store.close()

    await carry_out(RESTORE_SQLITE, tmp_path, sqlite_url)

    await schema.check(sqlite_url)
    restored = Store.open(sqlite_url)
    assert await names(restored) == ["before"]
    await add(restored, "again")
    await restored.close()


async def test_postgresql_comes_back_as_it_was_at_the_backup(
    _postgres_databases: PostgresDatabases,  # noqa: PT019 - its value is used
    tmp_path: Path,
) -> None:
    with _postgres_databases.migrated() as url, _postgres_databases.empty() as new_url:
        store = Store.open(url)
        await add(store, "before")
        await carry_out(BACK_UP_POSTGRES, tmp_path, url)
        await add(store, "after")
        await store.close()

        await carry_out(RESTORE_POSTGRES, tmp_path, new_url)

        await schema.check(new_url)
        restored = Store.open(new_url)
        assert await names(restored) == ["before"]
        await add(restored, "again")
        await restored.close()
