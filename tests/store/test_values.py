"""Values come back from the database exactly as they went in."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from openpay.domain.deposit import Source
from openpay.domain.payment import Completion, LineItem, Payment, Settlement, SettlementStatus, Status
from openpay.errors import ConcurrentChange
from tests.app.worlds import World
from tests.domain.builders import block_hash, make_deposit, make_payment, make_terms

LARGEST = 2**256 - 1


@pytest.mark.parametrize("units", [1, 10**18, 2**53 + 1, 2**63, 2**64 - 1, 10**77, LARGEST])
async def test_amounts_of_any_size_are_exact(world: World, units: int) -> None:
    await world.add()
    await world.mine(1, deposits=[make_deposit(units)])
    async with world.store.read() as uow:
        (deposit,) = (await uow.deposits.of(["pay_1"]))["pay_1"]
    assert deposit.units == units


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=st.integers(0, LARGEST))
async def test_any_settled_amount_is_exact(world: World, units: int) -> None:
    async with world.store.write() as uow:
        if await uow.payments.get("pay_1") is None:
            await uow.payments.add(make_payment(merchant_id=world.merchant.id))
        (payment,) = await uow.payments.lock(["pay_1"])
        settlement = Settlement(status=SettlementStatus.SETTLED, tx_hash=bytes(32), units=units, settled_at=1)
        await uow.payments.save(Payment(**{**vars(payment), "settlement": settlement}))
    stored = (await world.get()).settlement
    assert stored is not None
    assert stored.units == units


async def test_bytes_are_hexadecimal_text_that_an_operator_can_search(world: World) -> None:
    await world.add()
    await world.mine(1, deposits=[make_deposit(tx_hash=b"\x00\xab" * 16)])
    async with world.auditor.connect() as connection:
        found = await connection.scalar(text("SELECT tx_hash FROM deposits WHERE tx_hash LIKE '0x00ab%'"))
    assert found == "0x" + "00ab" * 16


async def test_payment_with_every_field_set_comes_back_equal(world: World) -> None:
    payment = make_payment(
        merchant_id=world.merchant.id,
        terms=make_terms(usd=2**96 - 1, round=2**80 - 1, quoted_at=2**40 - 1, assets=2**32 - 1),
        unavailable_tokens=("BNB", "USDC"),
        description='<b>"Order" #1042</b> שלום 🚪\n',
        metadata={"z": "last", 'a "quoted".dotted name': "", "ключ": "значение"},
        line_items=(LineItem(name="Flat white", quantity=2, amount_usd=4_500_000),),
        success_url="https://shop.example/%20?a=1",
        cancel_url="https://shop.example/",
        allow_retry=True,
        retry_of="pay_0",
        status=Status.PAID,
        completion=Completion(token="BNB", tx_hash=None, block_number=2**40, block_hash=block_hash(1), reverted=True),
        confirming_since=1,
        retracted_at=2,
        paid_at=2**33,
        paid_confirmations=12,
        ended_at=2**33,
        failure="BelowMin",
        reversed_at=3,
        settlement=Settlement(status=SettlementStatus.SETTLED, tx_hash=bytes(32), units=LARGEST, settled_at=5),
        version=7,
    )
    async with world.store.write() as uow:
        await uow.payments.add(payment)
    stored = await world.get()
    assert stored == payment
    assert list(stored.metadata) == list(payment.metadata)


async def test_deposit_of_which_little_is_known_comes_back_equal(world: World) -> None:
    await world.add()
    known = vars(make_deposit(block=1)) | {
        "token": "BNB",
        "source": Source.INTERNAL,
        "tx_hash": None,
        "sender": None,
        "sender_nonce": None,
        "payer": None,
    }
    deposit = type(make_deposit())(**known)
    await world.mine(1, deposits=[deposit])
    async with world.store.read() as uow:
        assert (await uow.deposits.of(["pay_1"]))["pay_1"] == [deposit]


async def test_payment_changed_by_somebody_else_meanwhile_is_not_overwritten(world: World) -> None:
    stale = await world.add()
    async with world.store.write() as uow:
        await uow.payments.save(stale)
    with pytest.raises(ConcurrentChange):
        async with world.store.write() as uow:
            await uow.payments.save(stale)
    assert (await world.get()).version == 2


async def test_error_inside_a_unit_of_work_takes_everything_back(world: World) -> None:
    async def add_and_fail() -> None:
        async with world.store.write() as uow:
            await uow.payments.add(make_payment(merchant_id=world.merchant.id))
            raise ZeroDivisionError

    before = await world.rows()
    with pytest.raises(ZeroDivisionError):
        await add_and_fail()
    assert await world.rows() == before
