"""More than one query may name is asked in several: PostgreSQL takes 32,767 values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import insert, select

from openpay.app.records import OperatorTransaction, TransactionStatus
from openpay.domain.deposit import Source
from openpay.store.tables import operator_transactions
from tests.app.worlds import CHAIN, World
from tests.domain.builders import make_deposit

MANY = 33_000


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[World]:
    opened = await World.opened(postgres_url)
    yield opened
    await opened.close()


async def test_what_is_on_record_is_found_among_any_number_of_payments(world: World) -> None:
    payment = await world.add("pay_1")
    names = [f"pay_{number}" for number in range(MANY)]
    async with world.store.write() as uow:
        await uow.deposits.add([make_deposit(5)])
        assert [each.id for each in await uow.payments.lock(names)] == ["pay_1"]
        assert set(await uow.deposits.of(names)) == {"pay_1"}
        assert await uow.refunds.of(names) == {}
        assert await uow.chain.escrow_logs_of(names) == {}
        assert await uow.payments.versions(names) == {"pay_1": payment.version}
        assert [each.payment_id for each in await uow.payments.vaults(names)] == ["pay_1"]
        assert await uow.rewinds.marked_among(CHAIN.chain_id, names) == frozenset()
        assert await uow.operations.mined_without_success(names) == frozenset()


async def test_what_is_on_record_is_found_among_any_number_of_hashes(world: World) -> None:
    payment = await world.add("pay_1")
    hashes = [payment.terms.id(), *(number.to_bytes(32, "big") for number in range(MANY))]
    async with world.store.write() as uow:
        assert await uow.payments.ids_by_terms(CHAIN.chain_id, hashes) == {payment.terms.id(): "pay_1"}
        assert await uow.refunds.succeeded_by(hashes) == []
        assert await uow.chain.escrow_logs_of_transactions(CHAIN.chain_id, hashes) == []


async def test_any_number_of_marks_and_doubts_is_taken_away(world: World) -> None:
    await world.add("pay_1")
    names = [f"pay_{number}" for number in range(MANY)]
    doubted = replace(make_deposit(5, "BNB"), source=Source.INTERNAL, tx_hash=None)
    async with world.store.write() as uow:
        await uow.deposits.add([doubted])
        await uow.deposits.remove_block(doubted.block_hash)
        await uow.rewinds.mark(CHAIN.chain_id, ["pay_1"])
        assert [each.payment_id for each in await uow.vault_looks.doubted(CHAIN.chain_id)] == ["pay_1"]
        await uow.rewinds.unmark(CHAIN.chain_id, names)
        await uow.vault_looks.settle(names, at=doubted.block_number + 1_000)
        assert await uow.vault_looks.doubted(CHAIN.chain_id) == []
        assert not await uow.rewinds.is_any_marked(CHAIN.chain_id)


async def test_any_number_of_transactions_is_followed_with_their_subjects(world: World) -> None:
    first = OperatorTransaction(
        id="otx",
        chain_id=CHAIN.chain_id,
        kind="settle",
        subjects=("pay_2", "pay_1"),
        sender=bytes([4]) * 20,
        nonce=0,
        tx_hash=bytes(32),
        raw=b"raw",
        gas=1,
        gas_price=1,
        status=TransactionStatus.SIGNED,
        created_at=1,
    )
    async with world.store.write() as uow:
        await uow.operations.add_transaction(first)
        row = (await uow.connection.execute(select(operator_transactions))).one()._asdict()
        del row["seq"]
        more = (
            {"id": f"otx_{nonce}", "nonce": nonce, "tx_hash": nonce.to_bytes(32, "big")} for nonce in range(1, MANY)
        )
        await uow.connection.execute(insert(operator_transactions), [row | each for each in more])
        found = await uow.operations.open_transactions(CHAIN.chain_id)
    assert len(found) == MANY
    assert found[0] == first


async def test_any_number_of_payments_is_locked_in_the_order_of_making(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.store.parts.MOST_NAMED", 2)
    monkeypatch.setattr("openpay.store.payments.MOST_NAMED", 2)
    names = [(await world.add(f"pay_{number}")).id for number in range(5)]
    async with world.store.write() as uow:
        assert [each.id for each in await uow.payments.lock(names[::-1])] == names
