"""Two settlers at once, as when leadership fails: each coin moves once, and no nonce is signed for twice."""

from __future__ import annotations

from collections import Counter

from openpay.app.records import TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.domain.payment import Payment, SettlementStatus
from openpay.settlement import Batching, Settler
from openpay.store import Store
from tests.settlement.till import Till, step_both
from tests.watcher.scene import UNIT

ROUNDS = 4
PER_ROUND = 5


async def round_of(till: Till, one: Settler, two: Settler) -> None:
    await step_both(one, two)
    await till.scene.mine(3)


async def test_two_settlers_on_one_database_do_everything_once(either_till: Till, database_url: str) -> None:
    till = either_till
    other_store = Store.open(database_url)
    one = till.settler(batching=Batching(size=2))
    two = till.settler(store=other_store, batching=Batching(size=3))
    payments: list[Payment] = []
    withdrawals: list[Withdrawal] = []
    for _ in range(ROUNDS):
        payments += await till.paid_together(PER_ROUND)
        withdrawals.append(await till.request_withdrawal("USDT"))
        for _ in range(3):
            await round_of(till, one, two)
    while any([(await till.settlement(each)).status is not SettlementStatus.SETTLED for each in payments]):
        await round_of(till, one, two)
    withdrawals.append(await till.request_withdrawal("USDT"))
    while any([(await till.withdrawal(each)).completed_at is None for each in withdrawals]):
        await round_of(till, one, two)
    await other_store.close()

    # Everything was paid out, to the unit, by withdrawals that each say what they moved.
    total = len(payments) * 25 * UNIT
    assert till.balance("USDT", till.scene.deployment.merchant.address) == total
    finished = [await till.withdrawal(each) for each in withdrawals]
    assert sum(each.units or 0 for each in finished if each.status is WithdrawalStatus.SUCCEEDED) == total

    subjects = [each.id for each in [*payments, *withdrawals]]
    transactions = {each.id: each for subject in subjects for each in await till.transactions(subject)}.values()
    assert {each.status for each in transactions} == {TransactionStatus.MINED}
    assert sorted(each.nonce for each in transactions) == list(range(till.operator_nonce()))
    carried = Counter(subject for each in transactions for subject in each.subjects)
    assert set(carried.values()) == {1}
