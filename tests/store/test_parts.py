"""More than one query may name is asked in several: PostgreSQL takes 32,767 values."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

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


async def test_any_number_of_payments_is_locked_in_the_order_of_making(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.store.parts.MOST_NAMED", 2)
    monkeypatch.setattr("openpay.store.payments.MOST_NAMED", 2)
    names = [(await world.add(f"pay_{number}")).id for number in range(5)]
    async with world.store.write() as uow:
        assert [each.id for each in await uow.payments.lock(names[::-1])] == names
