"""A database that is locked, full or restarted while the watcher works: it waits, and nothing is lost or done twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from openpay.domain.payment import Payment, Status
from openpay.store import engine
from openpay.store.store import DatabaseBusy
from tests.support.anvil import Anvil
from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresCluster
from tests.watcher.scene import Scene, due, open_scene

CONFIRMATIONS = 12


async def paid_unread(scene: Scene) -> Payment:
    """A payment whose money is in a block that nobody read."""
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    return payment


async def expect_paid_once(scene: Scene, payment: Payment) -> None:
    await scene.mine(CONFIRMATIONS)
    assert await scene.status(payment) is Status.PAID
    assert await scene.received(payment, "USDT") == due(payment, "USDT")[0]
    assert await scene.events(payment) == ["confirming", "completed"]


async def expect_no_step(scene: Scene, words: str) -> None:
    """Nothing can be written, and nothing is."""
    before = await scene.cursor()
    for _ in range(3):
        with pytest.raises(DatabaseBusy, match=words):
            await scene.watch()
    assert await scene.cursor() == before


async def test_locked_database_is_waited_for(anvil: Anvil, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SQLITE_LOCK_WAIT_S", 0)
    async with open_scene(anvil, sqlite_url) as scene:
        await scene.watch()
        payment = await paid_unread(scene)
        file = Path(make_url(sqlite_url).database or "")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await expect_no_step(scene, "locked")
            other.execute("ROLLBACK")
        await expect_paid_once(scene, payment)


async def limit_pages(scene: Scene, pages: int) -> None:
    """How large the file may grow, for the one connection that writes."""
    async with scene.store._writer.connect() as connection:
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


async def mine_for_long(scene: Scene) -> None:
    for _ in range(200):
        await scene.mine(1)


async def test_full_disk_is_waited_for_on_sqlite(anvil: Anvil, sqlite_url: str) -> None:
    async with open_scene(anvil, sqlite_url) as scene:
        await scene.watch()
        await limit_pages(scene, 1)  # it never goes below what there is
        payment = await paid_unread(scene)
        with pytest.raises(DatabaseBusy, match="full"):
            await mine_for_long(scene)
        await expect_no_step(scene, "full")
        await limit_pages(scene, 2**30)
        await expect_paid_once(scene, payment)


async def test_disk_that_turned_read_only_is_waited_for_on_sqlite(anvil: Anvil, sqlite_url: str) -> None:
    """As the kernel makes one that fails: what is open can still be read."""
    async with open_scene(anvil, sqlite_url) as scene:
        await scene.watch()
        payment = await paid_unread(scene)
        await refuse_writing(scene, 1)
        await expect_no_step(scene, "readonly")
        await refuse_writing(scene, 0)
        await expect_paid_once(scene, payment)


async def refuse_writing(scene: Scene, value: int) -> None:
    """On the one connection that writes, outside of any transaction."""
    async with scene.store._writer.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute(f"PRAGMA query_only = {value}")


@pytest.mark.parametrize(("sqlstate", "words"), [("53100", "No space left"), ("53200", "out of memory")])
async def test_full_disk_is_waited_for_on_postgresql(
    anvil: Anvil, postgres_url: str, sqlstate: str, words: str
) -> None:
    """The server's own errors, raised where a row is written."""
    async with open_scene(anvil, postgres_url) as scene:
        await scene.watch()
        payment = await paid_unread(scene)
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(
            f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = '{sqlstate}'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON deposits FOR EACH ROW EXECUTE FUNCTION refuse()
            """
        )
        await expect_no_step(scene, words)
        await connection.execute("DROP TRIGGER full_disk ON deposits; DROP FUNCTION refuse()")
        await connection.close()
        await expect_paid_once(scene, payment)


async def test_restarted_postgresql_is_connected_to_again_and_forgets_what_was_not_committed(anvil: Anvil) -> None:
    cluster = PostgresCluster.start(synchronous_commit="on")
    try:
        with PostgresDatabases(cluster).migrated() as url:
            async with open_scene(anvil, url) as scene:
                await scene.watch()
                payment = await paid_unread(scene)
                cluster.restart()
                await expect_paid_once(scene, payment)

                payment = await paid_unread(scene)
                before = await scene.cursor()
                with pytest.raises(DatabaseBusy):
                    await restart_inside_a_transaction(scene, payment, cluster)
                assert await scene.cursor() == before
                await expect_paid_once(scene, payment)
    finally:
        cluster.stop()


async def restart_inside_a_transaction(scene: Scene, payment: Payment, cluster: PostgresCluster) -> None:
    async with scene.store.write() as uow:
        await uow.chain.remove_escrow_logs(bytes(32))
        cluster.restart()
        await uow.payments.lock([payment.id])
