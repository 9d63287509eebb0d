"""Statements that go to the driver directly do what SQLAlchemy would have done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from openpay.app.records import Cursor
from openpay.store.prepared import Prepared, PreparedFor, instant
from openpay.store.tables import cursors, payments
from tests.app.worlds import World
from tests.domain.builders import make_deposit

CURSOR = Cursor(
    chain_id=56,
    number=7,
    hash=b"\x07" * 32,
    time=1,
    tip_time=2,
    final_number=None,
    final_time=None,
    seen_head=9,
    read_at=3,
    reread_to=None,
)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    opened = await World.opened(database_url)
    yield opened
    await opened.close()


async def as_sqlalchemy(connection: AsyncConnection, statement: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in await connection.execute(statement, values)]


async def test_only_a_writing_transaction_on_sqlite_is_short_cut(world: World) -> None:
    is_sqlite = world.url.startswith("sqlite")
    async with world.store.write() as uow:
        assert (instant(uow.connection) is not None) == is_sqlite
    async with world.store.read() as uow:
        await uow.chain.cursor(56)
        assert instant(uow.connection) is None


async def test_rows_are_the_same_with_bytes_json_booleans_and_constants(world: World) -> None:
    await world.add("pay_1")
    query = (
        select(payments)
        .where(payments.c.id == bindparam("id"), payments.c.status.in_(["initiated", "pending"]))
        .limit(bindparam("most"))
    )
    values = {"id": "pay_1", "most": 5}
    async with world.store.write() as uow:
        (row,) = (await Prepared(query).run(uow.connection, values)).rows
        assert [row._asdict()] == await as_sqlalchemy(uow.connection, query, values)
        assert (row.offers[0]["token"], row.livemode, type(row.address)) == ("USDT", True, bytes)


async def test_insert_writes_what_it_is_given_and_update_no_other_columns(world: World) -> None:
    change = Prepared(update(cursors).where(cursors.c.number == bindparam("old_number")))
    async with world.store.write() as uow:
        assert (await Prepared(insert(cursors)).run(uow.connection, asdict(CURSOR))).changed == 1
        assert (await change.run(uow.connection, {"old_number": 7, "seen_head": 10})).changed == 1
        assert (await change.run(uow.connection, {"old_number": 7, "read_at": 11, "reread_to": 12})).changed == 1
        assert (await change.run(uow.connection, {"old_number": 8, "read_at": 13})).changed == 0
    async with world.store.read() as uow:
        stored = await uow.chain.cursor(56)
    assert stored is not None
    assert asdict(stored) == asdict(CURSOR) | {"seen_head": 10, "read_at": 11, "reread_to": 12}


async def test_what_belongs_to_one_row_or_to_several_is_found_alike(world: World) -> None:
    for each in ("pay_1", "pay_2", "pay_3"):
        await world.add(each)
    statement = PreparedFor(select(payments.c.id).order_by(payments.c.seq), payments.c.id)
    async with world.store.write() as uow:
        assert [row.id for row in await statement.run(uow.connection, ["pay_2"])] == ["pay_2"]
        assert [row.id for row in await statement.run(uow.connection, ["pay_3", "pay_1"])] == ["pay_1", "pay_3"]


async def test_refused_statement_is_refused_as_by_sqlalchemy_and_nothing_is_kept(world: World) -> None:
    async def twice() -> None:
        async with world.store.write() as uow:
            for _ in range(2):
                await Prepared(insert(cursors)).run(uow.connection, asdict(CURSOR))

    with pytest.raises(IntegrityError):
        await twice()
    async with world.store.read() as uow:
        assert await uow.chain.cursor(56) is None


async def test_brief_question_of_a_reader_sees_what_the_rest_of_its_transaction_sees(world: World) -> None:
    await world.add("pay_1")
    brief = PreparedFor(select(payments.c.id).order_by(payments.c.seq), payments.c.id, is_brief=True)
    async with world.store.read() as uow:
        assert await brief.run(uow.connection, ["pay_2"]) == []
        await world.add("pay_2")
        assert await brief.run(uow.connection, ["pay_2"]) == []
        assert await uow.payments.get("pay_2") is None
    async with world.store.read() as uow:
        assert await uow.payments.get("pay_2") is not None
        assert [row.id for row in await brief.run(uow.connection, ["pay_2"])] == ["pay_2"]


async def test_of_more_payments_than_one_query_may_name_everything_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.store.parts.MOST_NAMED", 2)
    names = {f"pay_{number}" for number in range(5)}
    for name in names:
        await world.add(name)
    async with world.store.write() as uow:
        await uow.deposits.add([make_deposit(5, payment_id=name) for name in names])
        assert {payment.id for payment in await uow.payments.lock(names)} == names
        assert set(await uow.deposits.of(names)) == names
        assert {vault.payment_id for vault in await uow.payments.vaults(names)} == names
        assert await uow.payments.lock([]) == []
