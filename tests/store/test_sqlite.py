"""What SQLite has to wait for keeps nobody else in the process waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from openpay.app.merchants import create_merchant
from openpay.store import Store
from openpay.store.engine import SQLITE_LOCK_WAIT_S, WAL_RETRY_S
from openpay.store.migrate import upgrade
from openpay.store.sqlite import SqliteConnection
from openpay.store.store import DatabaseBusy

COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000) SELECT count(*) FROM n"


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = Store.open(sqlite_url)
    await merchants(opened)  # the first connection sets the file up, alone
    await write_nothing(opened)
    yield opened
    await opened.close()


@contextmanager
def locked(sqlite_url: str) -> Iterator[None]:
    """Another process is writing."""
    other = sqlite3.connect(sqlite_url.partition("///")[2], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def write_nothing(store: Store) -> None:
    async with store.write():
        pass


async def write(store: Store) -> None:
    async with store.write() as uow:
        await create_merchant(uow, name="Shop", address=b"\1" * 20, now=0)


async def merchants(store: Store) -> int:
    async with store.read() as uow:
        return len(await uow.merchants.all())


async def test_others_go_on_while_a_writer_waits_for_the_lock(store: Store, sqlite_url: str) -> None:
    with locked(sqlite_url):
        writing = asyncio.create_task(write(store))
        await asyncio.sleep(0.05)
        assert await merchants(store) == 0
        assert not writing.done()
    await writing
    assert await merchants(store) == 1


async def test_first_connection_waits_for_whoever_writes_to_the_new_file(sqlite_url: str) -> None:
    with sqlite3.connect(sqlite_url.partition("///")[2]) as fresh:
        fresh.execute("PRAGMA journal_mode = DELETE")  # as migrations leave it, and a restored backup
    fresh.close()
    store = Store.open(sqlite_url)
    with locked(sqlite_url):
        opening = asyncio.gather(merchants(store), write(store))
        await asyncio.sleep(5 * WAL_RETRY_S)
    assert (await opening)[0] in (0, 1)
    assert await merchants(store) == 1
    await store.close()


async def test_free_lock_is_taken_in_passing_and_the_patience_for_a_taken_one_stays(store: Store) -> None:
    in_thread = 0

    async with store.write() as uow:
        driver = (await uow.connection.get_raw_connection()).driver_connection
    assert isinstance(driver, SqliteConnection)
    wait_for = driver._wait_for

    async def count(work: Callable[[], None]) -> None:
        nonlocal in_thread
        in_thread += 1
        await wait_for(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_wait_for", count)
        async with store.write() as uow:
            assert in_thread == 0
            patience = await uow.connection.scalar(text("PRAGMA busy_timeout"))
        assert in_thread == 1  # the commit, which waits for the disk
    assert patience == SQLITE_LOCK_WAIT_S * 1000


async def test_writer_that_gives_up_waiting_for_the_lock_stands_in_nobodys_way(store: Store, sqlite_url: str) -> None:
    with locked(sqlite_url):
        writing = asyncio.create_task(write(store))
        await asyncio.sleep(0.05)
        writing.cancel()
        await asyncio.sleep(0.05)
        assert await merchants(store) == 0
    with pytest.raises(asyncio.CancelledError):
        await writing
    await write(store)
    assert await merchants(store) == 1


async def test_others_go_on_during_a_long_query(store: Store) -> None:
    done: list[str] = []

    async def count() -> None:
        async with store.read() as uow:
            found = await uow.connection.exec_driver_sql(COUNTING)
            assert found.scalar() == 500_000
        done.append("the query")

    async def tick() -> None:
        await asyncio.sleep(0.01)
        done.append("the others")

    await asyncio.gather(count(), tick())
    assert done == ["the others", "the query"]


async def test_rows_that_were_written_in_a_transaction_are_seen_in_it_and_gone_when_it_fails(store: Store) -> None:
    class Broken(Exception):
        pass

    async def break_off() -> None:
        async with store.write() as uow:
            await create_merchant(uow, name="Shop", address=b"\1" * 20, now=0)
            assert len(await uow.merchants.all()) == 1
            raise Broken

    with pytest.raises(Broken):
        await break_off()
    assert await merchants(store) == 0
    await write(store)
    assert await merchants(store) == 1


async def test_file_that_is_not_there_is_not_created_by_a_store(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'gone.db'}")
    for use in (merchants, write_nothing):
        with pytest.raises(DatabaseBusy, match="unable to open database file"):
            await use(store)
    await store.close()
    assert list(tmp_path.iterdir()) == []


async def test_file_may_have_any_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a shop #1, 100% é.db'}"
    await asyncio.to_thread(upgrade, url)
    store = Store.open(url)
    await write(store)
    assert await merchants(store) == 1
    await store.close()
