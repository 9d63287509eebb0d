"""A database that is busy or away is told apart from a bug; SQLite is set up to be safe."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from openpay.domain.payment import Payment
from openpay.errors import RetryableError
from openpay.store import Store, engine
from openpay.store.store import DatabaseBusy
from tests.app.worlds import World
from tests.domain.builders import make_payment
from tests.support.postgres import PostgresCluster
from tests.support.process import free_port


@dataclass
class Silenceable:
    """A network before a PostgreSQL server that can go silent with every connection open."""

    url: str = ""
    is_silent: bool = False

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[Self]:
        network, target = cls(), make_url(url)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                if not network.is_silent:
                    writer.write(data)
            writer.close()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server_reader, server_writer = await asyncio.open_connection(target.host, target.port)
            await asyncio.gather(carry(reader, server_writer), carry(server_reader, writer))

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            network.url = target.set(port=port).render_as_string(hide_password=False)
            yield network


async def add(store: Store, payment: Payment) -> None:
    async with store.write() as uow:
        await uow.payments.add(payment)


async def read(store: Store) -> None:
    async with store.read() as uow:
        await uow.merchants.all()


def test_a_busy_database_is_worth_another_try() -> None:
    assert issubclass(DatabaseBusy, RetryableError)


async def test_server_that_is_away_is_busy() -> None:
    store = Store.open(f"postgresql://openpay@127.0.0.1:{free_port()}/openpay")
    with pytest.raises(DatabaseBusy):
        await read(store)
    await store.close()


async def test_connection_that_is_cut_in_the_middle_is_busy_and_the_next_one_works(
    postgres_world: World, postgres_cluster: PostgresCluster
) -> None:
    world = postgres_world

    async def cut_off() -> None:
        async with world.store.write() as uow:
            await uow.merchants.all()
            database = world.url.rpartition("/")[2]
            postgres_cluster.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
            )
            await uow.payments.add(make_payment(merchant_id=world.merchant.id))

    with pytest.raises(DatabaseBusy):
        await cut_off()
    await read(world.store)


async def test_server_that_falls_silent_in_the_middle_is_busy_before_tcp_gives_it_up(
    postgres_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POSTGRES_STATEMENT_S", 0.2)
    async with Silenceable.before(postgres_world.url) as network:
        store = Store.open(network.url)

        async def fall_silent() -> None:
            async with store.write() as uow:
                await uow.merchants.all()
                network.is_silent = True
                await uow.merchants.all()

        with pytest.raises(DatabaseBusy, match="it says nothing"):
            await fall_silent()
        network.is_silent = False
        await read(store)
        await store.close()


async def test_deadlock_is_busy_for_one_and_nothing_for_the_other(postgres_world: World) -> None:
    world = postgres_world
    for payment_id in ("pay_1", "pay_2"):
        await world.add(payment_id)
    meet = asyncio.Barrier(2)

    async def lock(*payment_ids: str) -> bool:
        try:
            async with world.store.write() as uow:
                for payment_id in payment_ids:
                    await uow.payments.lock([payment_id])
                    if payment_id == payment_ids[0]:
                        await meet.wait()
        except DatabaseBusy:
            return False
        return True

    assert sorted(await asyncio.gather(lock("pay_1", "pay_2"), lock("pay_2", "pay_1"))) == [False, True]


async def test_locks_taken_together_are_taken_in_one_order(postgres_world: World) -> None:
    world = postgres_world
    ids = [(await world.add(f"pay_{number}")).id for number in range(10)]

    async def lock(wanted: list[str]) -> None:
        async with world.store.write() as uow:
            assert len(await uow.payments.lock(wanted)) == 10

    await asyncio.gather(*(lock(ids if turn % 2 else ids[::-1]) for turn in range(10)))


async def test_sqlite_file_that_another_process_writes_is_busy(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SQLITE_LOCK_WAIT_S", 0)
    store = Store.open(sqlite_url)
    await read(store)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy):
        await add(store, make_payment())
    await read(store)  # readers are not held up
    other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_sqlite_writer_that_begins_by_reading_can_still_write(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two processes. Without the lock from its beginning, the first could no longer write once the second has.
    monkeypatch.setattr(engine, "SQLITE_LOCK_WAIT_S", 0)
    one, two = await World.opened(sqlite_url), Store.open(sqlite_url)
    await read(two)
    async with one.store.write() as uow:
        await uow.merchants.all()
        with pytest.raises(DatabaseBusy):
            await add(two, make_payment("pay_2", merchant_id=one.merchant.id))
        await uow.payments.add(make_payment("pay_1", merchant_id=one.merchant.id))
    await add(two, make_payment("pay_2", merchant_id=one.merchant.id))
    assert len((await one.rows())["payments"]) == 2
    await two.close()
    await one.close()


async def test_broken_rule_of_the_schema_is_a_bug_and_not_a_busy_database(world: World) -> None:
    with pytest.raises(IntegrityError):
        await add(world.store, make_payment(merchant_id="mer_nobody"))


async def test_server_without_our_database_is_no_matter_of_patience(postgres_cluster: PostgresCluster) -> None:
    store = Store.open(postgres_cluster.url("no_such_database"))
    with pytest.raises(Exception, match="does not exist") as failed:
        await read(store)
    assert not isinstance(failed.value, RetryableError)
    await store.close()


async def test_reader_cannot_write(world: World) -> None:
    async def write_by_reading() -> None:
        async with world.store.read() as uow:
            await uow.payments.add(make_payment(merchant_id=world.merchant.id))

    if world.url.startswith("postgresql"):
        with pytest.raises(DBAPIError, match="read-only"):
            await write_by_reading()
    else:
        await write_by_reading()  # never committed
    assert (await world.rows())["payments"] == []


async def test_sqlite_survives_a_power_cut_by_its_settings(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    for opened in (store.read(), store.write()):
        async with opened as uow:
            found = {
                name: (await uow.connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    await store.close()
