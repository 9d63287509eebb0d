"""What every block asks of the database is found by an index: its cost does not grow with what is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from openpay.app.follow import questions
from openpay.app.records import BalanceRound
from openpay.domain.assessment import Accepted
from openpay.domain.payment import Status
from tests.app.worlds import World
from tests.domain.builders import START, make_deposit
from watcher.watch_set import SWEEP_S, WatchSet

GROWING = ("payments", "deposits", "reverted_attempts", "escrow_logs", "refunds", "events", "deliveries", "reports")
"""Tables with a row for each payment, or many."""


@pytest.fixture
async def world(sqlite_url: str) -> AsyncIterator[World]:
    opened = await World.opened(sqlite_url)
    yield opened
    await opened.close()


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """Everything that SQLite executes meanwhile, values written out: also what does not pass through SQLAlchemy."""
    executed: list[str] = []
    traced: list[sqlite3.Connection] = []

    def trace(connection: Any, *_: object) -> None:
        traced.append(connection.driver_connection._conn)
        traced[-1].set_trace_callback(executed.append)

    engines = [world.store._reader.sync_engine, world.store._writer.sync_engine]
    for engine in engines:
        event.listen(engine, "checkout", trace)
    yield executed
    for engine in engines:
        event.remove(engine, "checkout", trace)
    for connection in traced:
        connection.set_trace_callback(None)


def whole_tables(world: World, executed: list[str]) -> set[str]:
    """The growing tables that some statement looks through from end to end, or through all of a chain."""
    connection = sqlite3.connect(world.url.partition("///")[2])
    try:
        plans = [
            row[3]
            for statement in executed
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH"))
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    finally:
        connection.close()
    assert plans
    return {
        table
        for table in GROWING
        for plan in plans
        if plan.split()[:2] == ["SCAN", table]
        or (plan.split()[:2] == ["SEARCH", table] and plan.endswith("(chain_id=?)"))
    }


async def test_no_block_looks_through_a_whole_table(world: World) -> None:
    for number in range(20):
        await world.add(f"pay_{number}", status=Status.PENDING)
    watched = WatchSet(56, monotonic=lambda: 0.0)
    await world.mine(1)
    with statements(world) as executed:
        for at in (START, START + 2 * SWEEP_S):  # loading, then letting go
            async with world.store.read() as uow:
                await watched.refresh(uow, at=at)
                await uow.attempts.open_reports(56)
                await uow.payments.ids_by_address(56, [bytes(20)])
        async with world.store.read() as uow:
            await uow.payments.vaults_awaiting_coin(56)
            await uow.vault_looks.doubted(56)
            for watched_until in (None, START):
                place = BalanceRound(chain_id=56, watched_until=watched_until, seq=3, looked_at=START)
                await uow.payments.vaults_after(place, 56, at=START, limit=5)
        await world.mine(2, deposits=[make_deposit(payment_id="pay_3")])
        await questions(world.store, 56, final_number=2)
        await world.mine(3, final=2, deposits=[make_deposit(5, payment_id="pay_4")])
    assert whole_tables(world, executed) == set()


async def test_payment_is_judged_again_when_its_block_is_final_and_not_in_every_block_before(world: World) -> None:
    """Thousands of tiny deposits to it would otherwise be read with every block."""
    await world.add("pay_1")
    await world.mine(1)
    await world.mine(2, deposits=[make_deposit(payment_id="pay_1")])
    with statements(world) as before:
        await world.mine(3, final=1)
    with statements(world) as after:
        await world.mine(4, final=2, answers={"pay_1": Accepted()})
    assert not any("FROM deposits" in statement for statement in before)
    assert any("FROM deposits" in statement for statement in after)
    assert (await world.get("pay_1")).status is Status.PAID


async def test_looking_through_a_whole_table_would_be_noticed(world: World) -> None:
    await world.add("pay_1")
    with statements(world) as executed:
        async with world.store.read() as uow:
            await uow.connection.exec_driver_sql("SELECT id FROM payments WHERE description IS NULL")
    assert whole_tables(world, executed) == {"payments"}
