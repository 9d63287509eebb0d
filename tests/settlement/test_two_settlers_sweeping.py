"""Two settlers that find the same excess at once: one sweep is signed, and the treasury gets it once."""

from __future__ import annotations

import pytest

from openpay.app.records import TransactionStatus
from openpay.errors import ConcurrentChange
from openpay.settlement.sweeps import Sweeps
from openpay.store import Store
from tests.settlement.till import Till, step_both
from tests.watcher.scene import UNIT

PAYMENTS = 4


async def test_two_settlers_sweep_each_vault_once(either_till: Till, database_url: str) -> None:
    till = either_till
    payments = await till.paid_together(PAYMENTS)
    await till.settler().step()
    await till.until_final()
    for payment in payments:
        till.scene.pay(payment, "USDT", 3 * UNIT)
    await till.until_final()
    nonce = till.operator_nonce()
    other_store = Store.open(database_url)
    one, two = till.settler(), till.settler(store=other_store)
    for _ in range(2 * PAYMENTS):
        await step_both(one, two)
        await till.until_final()
    await other_store.close()

    for payment in payments:
        assert till.balance("USDT", payment.address) == 0
        (sweep,) = await till.sweeps(payment)
        assert sweep.status is TransactionStatus.MINED
    assert till.treasury("USDT") == PAYMENTS * 28 * UNIT
    assert till.operator_nonce() == nonce + PAYMENTS


async def test_sweep_found_due_before_another_signed_it_is_not_signed_again(either_till: Till) -> None:
    till = either_till
    payment = await till.paid()
    settler = till.settler()
    await settler.step()
    await till.until_final()
    till.scene.pay(payment, "USDT", 3 * UNIT)
    await till.until_final()
    slow = Sweeps(till.scene.chain)
    async with till.scene.store.read() as uow:
        (work,) = await slow.due(uow, now=0, limit=10)
    await settler.step()
    with pytest.raises(ConcurrentChange):
        async with till.scene.store.write() as uow:
            await slow.submitted(uow, work.subject, b"\x01" * 32)
