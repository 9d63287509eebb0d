"""What the operator sent in blocks that were taken back: followed again, and never sent twice."""

from __future__ import annotations

from dataclasses import replace

from openpay.app.records import OperatorTransaction, TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.domain.payment import Payment, SettlementStatus
from openpay.domain.refunds import Refund, RefundStatus, sent
from tests.app.rewinding import TX, log_of, mine_to, paid, take_back
from tests.app.worlds import World
from tests.domain.builders import BLOCK_S, LIFE_S, make_deposit

LAST_BLOCK = LIFE_S // BLOCK_S
CUSTOMER = bytes([5]) * 20
AFTER = LAST_BLOCK + 1


async def sign(world: World, *subjects: str, kind: str = "refund", ended_block: int) -> None:
    """A transaction of the operator that is over."""
    async with world.store.write() as uow:
        signed = OperatorTransaction(
            id="otx_1",
            chain_id=56,
            kind=kind,
            subjects=subjects,
            sender=bytes([4]) * 20,
            nonce=0,
            tx_hash=TX,
            raw=b"raw",
            gas=1,
            gas_price=1,
            status=TransactionStatus.SIGNED,
            created_at=1,
        )
        await uow.operations.add_transaction(signed)
        await uow.operations.end_transaction(
            replace(signed, status=TransactionStatus.MINED, ended_at=2, ended_block=ended_block, fee_wei=1)
        )


async def refunded(world: World, *, ours: bool = True) -> tuple[Payment, Refund]:
    """A payment that expired with 40 of 100 units, given back in block AFTER + 2; the record stands at AFTER + 5."""
    payment = await world.add()
    await world.mine(LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[make_deposit(40)])
    await world.mine(AFTER, final=AFTER)
    (refund,) = await world.refunds()
    if ours:
        async with world.store.write() as uow:
            await uow.refunds.put([sent(refund, TX)])
    await world.mine(AFTER + 1)
    await world.mine(AFTER + 2, escrow_logs=[log_of(payment, "Refunded", units=40, to=CUSTOMER)])
    await mine_to(world, AFTER + 5, branch="main")
    if ours:
        await sign(world, refund.id, ended_block=AFTER + 2)
    (refund,) = await world.refunds()
    assert refund.status is RefundStatus.SUCCEEDED
    return payment, refund


async def test_refund_whose_log_comes_again_elsewhere_stays_one_refund(world: World) -> None:
    payment, refund = await refunded(world)
    told = await world.told()
    await take_back(world, LAST_BLOCK - 1)
    (deposit,) = [make_deposit(40)]
    await world.mine(LAST_BLOCK, deposits=[deposit], branch="other")
    await mine_to(world, AFTER + 3, branch="other")
    assert await world.refunds() == [refund], "nothing is decided before all is read again"
    await world.mine(
        AFTER + 4,
        final=AFTER + 2,
        branch="other",
        escrow_logs=[log_of(payment, "Refunded", units=40, to=CUSTOMER, log_index=9)],
    )
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = [each for each in await world.refunds() if each.status is RefundStatus.SUCCEEDED]
    assert (again.id, again.log_index) == (refund.id, 9)
    others = [each for each in await world.refunds() if each.id != refund.id]
    assert others == [], "its deposit is in another block, but its money left the vault"
    assert await world.told() == told


async def test_refund_that_is_in_no_block_is_on_its_way_again_and_no_other_begins(world: World) -> None:
    _, refund = await refunded(world)
    await take_back(world, LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[make_deposit(40)], branch="other")
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = await world.refunds()
    assert (again.id, again.status, again.tx_hash) == (refund.id, RefundStatus.SUBMITTED, TX)
    async with world.store.read() as uow:
        (open_,) = await uow.operations.open_transactions(56)
    assert open_.tx_hash == TX


async def test_refund_that_the_merchant_made_and_that_is_gone_begins_anew(world: World) -> None:
    _, refund = await refunded(world, ours=False)
    await take_back(world, AFTER)
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = await world.refunds()
    assert (again.id, again.status) == (refund.id, RefundStatus.SCHEDULED)
    assert again.tx_hash is None


async def test_refund_whose_deposit_is_gone_too_is_not_paid_from_other_money(world: World) -> None:
    _, refund = await refunded(world, ours=False)
    await take_back(world, LAST_BLOCK - 1)
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = await world.refunds()
    assert (again.id, again.status) == (refund.id, RefundStatus.CANCELED)


async def test_transactions_that_ended_below_the_block_stay_ended(world: World) -> None:
    await refunded(world)
    await take_back(world, AFTER + 3)
    async with world.store.read() as uow:
        assert await uow.operations.open_transactions(56) == []


async def test_withdrawal_is_followed_again(world: World) -> None:
    payment = await paid(world)
    log = log_of(payment, "Withdrawn", units=9, to=payment.terms.merchant)
    await world.mine(11, final=9, escrow_logs=[log])
    await mine_to(world, 14, branch="main")
    await sign(world, "wd_1", kind="withdraw", ended_block=13)
    async with world.store.write() as uow:
        await uow.operations.add_withdrawal(
            Withdrawal(
                id="wd_1",
                merchant_id=world.merchant.id,
                livemode=True,
                chain_id=56,
                token="USDT",
                status=WithdrawalStatus.SUCCEEDED,
                created_at=1,
                tx_hash=TX,
                units=9,
                completed_at=2,
            )
        )
    await take_back(world, 8)
    async with world.store.read() as uow:
        withdrawal = await uow.operations.withdrawal("wd_1")
    assert withdrawal is not None
    assert (withdrawal.status, withdrawal.tx_hash, withdrawal.units) == (WithdrawalStatus.SUBMITTED, TX, None)


async def test_settlement_is_pending_again_only_once_its_log_stayed_away(world: World) -> None:
    payment = await paid(world)
    await world.mine(11, final=9, escrow_logs=[log_of(payment, "Settled", units=100, to=payment.terms.merchant)])
    await mine_to(world, 14, branch="main")

    async def status() -> SettlementStatus:
        settlement = (await world.get()).settlement
        assert settlement is not None
        return settlement.status

    assert await status() is SettlementStatus.SETTLED
    await take_back(world, 8)
    await mine_to(world, 15, branch="other")
    assert await status() is SettlementStatus.SETTLED
    await mine_to(world, 16, branch="other")
    assert await status() is SettlementStatus.PENDING
