"""Taking back what was final: what goes, what stays, and what becomes of it when the chain is read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpay.app.ports import Database
from openpay.app.records import Cursor, EscrowLog, OperatorTransaction, TransactionStatus, Withdrawal, WithdrawalStatus
from openpay.app.rewind import rewind, survey
from openpay.domain.assessment import Accepted
from openpay.domain.deposit import Deposit, Source
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment, SettlementStatus, Status
from openpay.domain.refunds import Refund, RefundStatus, sent
from openpay.errors import CursorMoved, Invalid
from tests.app.worlds import Interrupted, World, failing
from tests.domain.builders import BLOCK_S, LIFE_S, make_deposit

LAST_BLOCK = LIFE_S // BLOCK_S
TX = keccak(b"refund")
ACCEPTED = {"pay_1": Accepted()}


async def take_back(world: World, target: int, *, db: Database | None = None) -> Cursor:
    """Rewind to a block that is on record and on the chain."""
    (block,) = (facts.block for facts in world.read[56] if facts.block.number == target)
    position = await survey(world.store, 56, target)
    cursor = await rewind(db or world.store, position, block, wall_now=1, tokens=())
    world.read[56] = [facts for facts in world.read[56] if facts.block.number <= target]
    return cursor


async def mine_to(
    world: World, last: int, *, deposits: dict[int, Sequence[Deposit]] | None = None, branch: str
) -> None:
    """Read blocks up to `last`, each final three blocks later."""
    first = world.read[56][-1].block.number + 1
    for number in range(first, last + 1):
        await world.mine(
            number, final=number - 2, branch=branch, deposits=(deposits or {}).get(number, ()), answers=ACCEPTED
        )


async def paid(world: World) -> Payment:
    """A payment paid by a deposit in block 5, the record standing at 10."""
    await world.add()
    await world.mine(0)
    await mine_to(world, 10, deposits={5: [make_deposit(100)]}, branch="main")
    payment = await world.get()
    assert payment.status is Status.PAID
    return payment


async def cursor_of(world: World) -> Cursor:
    async with world.store.read() as uow:
        cursor = await uow.chain.cursor(56)
    assert cursor is not None
    return cursor


async def test_reading_the_same_blocks_again_leads_to_the_same_record(world: World) -> None:
    payment = await paid(world)
    before, told = await world.rows(), await world.told()
    taken = await take_back(world, 2)
    assert (taken.number, taken.final_number, taken.reread_to) == (2, 2, 10)
    assert (await world.rows())["deposits"] == []
    await mine_to(world, 10, deposits={5: [make_deposit(100)]}, branch="main")
    assert (await cursor_of(world)).reread_to == 10, "block 10 is not final yet"
    await mine_to(world, 12, branch="main")
    after = await world.rows()
    assert (await cursor_of(world)).reread_to is None
    assert after["rewound_payments"] == []
    assert [row[1:] for row in after["deposits"]] == [row[1:] for row in before["deposits"]]
    assert replace(await world.get(), version=payment.version) == payment
    assert await world.told() == told


async def test_transfer_that_moved_brings_the_completion_up_to_date_without_a_word(world: World) -> None:
    payment = await paid(world)
    assert payment.completion is not None
    moved = make_deposit(100, tx_hash=payment.completion.tx_hash)
    await take_back(world, 3)
    await mine_to(world, 12, deposits={7: [moved]}, branch="other")
    now = await world.get()
    assert now.completion is not None
    assert (now.completion.block_number, now.reversed_at) == (7, None)
    assert "reversed" not in await world.told()


async def test_other_money_does_not_hide_that_the_payment_was_reversed(world: World) -> None:
    await paid(world)
    await take_back(world, 3)
    await mine_to(world, 11, deposits={7: [make_deposit(100, tx_hash=keccak(b"somebody"))]}, branch="other")
    assert (await world.get()).reversed_at is None
    await mine_to(world, 12, branch="other")
    assert (await world.get()).reversed_at is not None
    assert (await world.told()).count("reversed") == 1


async def test_payments_concern_with_more_than_one_transaction_takes_are_all_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.app.follow.REREAD_AT_ONCE", 2)
    ids = [f"pay_{number}" for number in range(5)]
    for payment_id in ids:
        await world.add(payment_id)
    await world.mine(0)
    await world.mine(1, deposits=[make_deposit(100, payment_id=each) for each in ids])
    await world.mine(2, final=1, answers=dict.fromkeys(ids, Accepted()))
    await take_back(world, 0)
    reversed_ = []
    for number in range(1, 8):
        await world.mine(number, final=number, branch="other")
        reversed_.append([(await world.get(each)).reversed_at is not None for each in ids].count(True))
    assert reversed_[:2] == [0, 2]
    assert reversed_[-1] == 5
    assert (await cursor_of(world)).reread_to is None


async def test_while_the_watcher_is_far_behind_nothing_is_called_gone(world: World) -> None:
    await paid(world)
    await take_back(world, 3)
    facts = [world.facts(4, branch="other")]
    await world.commit(facts[0], final=4, seen_head=500)
    for number in range(5, 20):
        await world.commit(world.facts(number, branch="other"), final=number, seen_head=500)
    assert (await world.get()).reversed_at is None
    await world.commit(world.facts(20, branch="other"), final=20, seen_head=21)
    assert (await world.get()).reversed_at is not None


@pytest.mark.parametrize("comes_again", [True, False])
async def test_transfer_that_came_again_may_move_once_more_until_it_is_final(world: World, comes_again: bool) -> None:
    payment = await paid(world)
    assert payment.completion is not None
    moved = make_deposit(100, tx_hash=payment.completion.tx_hash)
    await take_back(world, 3)
    await mine_to(world, 12, deposits={12: [moved]}, branch="other")
    assert (await cursor_of(world)).reread_to is None
    await world.undo()
    assert (await world.get()).reversed_at is None
    await mine_to(world, 13, deposits={13: [moved]} if comes_again else {}, branch="third")
    assert (await world.get()).reversed_at is None
    await mine_to(world, 15, branch="third")
    assert ((await world.get()).reversed_at is None) == comes_again
    assert (await cursor_of(world)).reread_to is None


async def test_money_that_no_log_shows_is_waited_for_until_the_balance_was_looked_at(world: World) -> None:
    await world.add()
    inner = replace(make_deposit(1000, "BNB"), source=Source.INTERNAL, tx_hash=None)
    await world.mine(0)
    await mine_to(world, 10, deposits={5: [inner]}, branch="main")
    assert (await world.get()).status is Status.PAID
    await take_back(world, 3)
    await mine_to(world, 200, deposits={150: [make_deposit(5)]}, branch="other")
    assert (await world.get()).reversed_at is None
    assert (await cursor_of(world)).reread_to == 10
    looked = replace(world.facts(201, branch="other"), settled_doubts=("pay_1",))
    await world.commit(looked, final=199)
    await mine_to(world, 202, branch="other")
    assert (await world.get()).reversed_at is not None
    assert (await cursor_of(world)).reread_to is None


async def test_second_rewind_before_the_first_was_made_good_waits_for_the_older_height(world: World) -> None:
    await paid(world)
    await take_back(world, 3)
    await mine_to(world, 6, branch="wrong")
    assert (await take_back(world, 2)).reread_to == 10
    await mine_to(world, 12, deposits={5: [make_deposit(100)]}, branch="main")
    assert (await world.get()).reversed_at is None


async def test_kill_at_any_moment_leaves_all_or_nothing(world: World) -> None:
    await paid(world)
    await world.mine(11, final=9, deposits=[make_deposit(7)])
    before = await world.rows()
    for moment in range(1, 200):
        try:
            await take_back(world, 2, db=failing(world.store, at=moment))
        except Interrupted:
            assert await world.rows() == before
        else:
            break
    else:
        pytest.fail("the rewind never went through")
    assert (await cursor_of(world)).number == 2
    assert (await world.rows())["deposits"] == []


async def test_watcher_that_wrote_meanwhile_stops_the_rewind(world: World) -> None:
    await paid(world)
    position = await survey(world.store, 56, 2)
    (block,) = (facts.block for facts in world.read[56] if facts.block.number == 2)
    await mine_to(world, 11, branch="main")
    with pytest.raises(CursorMoved):
        await rewind(world.store, position, block, wall_now=1, tokens=())
    assert (await cursor_of(world)).number == 11


@pytest.mark.parametrize("target", [-1, 10, 11])
async def test_block_must_lie_below_what_was_read(world: World, target: int) -> None:
    await paid(world)
    with pytest.raises(Invalid, match=r"nothing above|counted from 0"):
        await survey(world.store, 56, target)


async def test_chain_that_was_never_read_has_nothing_to_take_back(world: World) -> None:
    with pytest.raises(Invalid, match="nothing was read"):
        await survey(world.store, 56, 1)


async def test_folded_range_is_cut_and_continued(world: World) -> None:
    await world.add()
    await world.mine(0)
    await mine_to(world, 80, branch="main")
    await take_back(world, 10)
    async with world.store.read() as uow:
        assert await uow.chain.covered(56) == (0, 10)
    await mine_to(world, 90, branch="other")
    async with world.store.read() as uow:
        assert await uow.chain.covered(56) == (0, 90)


async def test_rewind_below_the_first_block_ever_read_starts_from_there(world: World) -> None:
    await world.add()
    await world.mine(40)
    await mine_to(world, 80, deposits={45: [make_deposit(100)]}, branch="main")
    facts = replace(world.facts(20), block=replace(world.facts(20).block, parent_hash=bytes(32)))
    await rewind(world.store, await survey(world.store, 56, 20), facts.block, wall_now=1, tokens=())
    world.read[56] = [facts]
    await mine_to(world, 83, deposits={45: [make_deposit(100)]}, branch="main")
    async with world.store.read() as uow:
        assert await uow.chain.covered(56) == (20, 83)
    assert (await world.get()).reversed_at is None


async def test_survey_counts_what_would_go_and_names_the_newest_block_that_stays(world: World) -> None:
    await paid(world)
    await mine_to(world, 12, deposits={11: [make_deposit(3)]}, branch="main")
    at_six = await survey(world.store, 56, 6)
    assert (at_six.extent.deposits, at_six.extent.payments, at_six.extent.paid) == (1, 1, 1)
    at_two = await survey(world.store, 56, 2)
    assert at_two.extent.deposits == 2
    assert at_two.place is not None
    assert at_two.place[0] <= 2


# --- what the operator sent --------------------------------------------------------------------------------------


def log_of(payment: Payment, name: str, *, units: int, to: bytes, log_index: int = 3, tx: bytes = TX) -> EscrowLog:
    of_vault = name != "Withdrawn"
    return EscrowLog(
        chain_id=56,
        name=name,
        payment_id=None,
        terms_id=payment.terms.id() if of_vault else None,
        account=to if of_vault else payment.terms.merchant,
        receiver=None if of_vault else to,
        token="USDT",
        units=units,
        tx_hash=tx,
        log_index=log_index,
        block_number=0,
        block_hash=bytes(32),
        block_time=0,
    )


CUSTOMER = bytes([5]) * 20
AFTER = LAST_BLOCK + 1


async def refunds(world: World) -> list[Refund]:
    async with world.store.read() as uow:
        return list((await uow.refunds.of(["pay_1"])).get("pay_1", []))


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
    (refund,) = await refunds(world)
    if ours:
        async with world.store.write() as uow:
            await uow.refunds.put([sent(refund, TX)])
    await world.mine(AFTER + 1)
    await world.mine(AFTER + 2, escrow_logs=[log_of(payment, "Refunded", units=40, to=CUSTOMER)])
    await mine_to(world, AFTER + 5, branch="main")
    if ours:
        await sign(world, refund.id, ended_block=AFTER + 2)
    (refund,) = await refunds(world)
    assert refund.status is RefundStatus.SUCCEEDED
    return payment, refund


async def test_refund_whose_log_comes_again_elsewhere_stays_one_refund(world: World) -> None:
    payment, refund = await refunded(world)
    told = await world.told()
    await take_back(world, LAST_BLOCK - 1)
    (deposit,) = [make_deposit(40)]
    await world.mine(LAST_BLOCK, deposits=[deposit], branch="other")
    await mine_to(world, AFTER + 3, branch="other")
    assert await refunds(world) == [refund], "nothing is decided before all is read again"
    await world.mine(
        AFTER + 4,
        final=AFTER + 2,
        branch="other",
        escrow_logs=[log_of(payment, "Refunded", units=40, to=CUSTOMER, log_index=9)],
    )
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = [each for each in await refunds(world) if each.status is RefundStatus.SUCCEEDED]
    assert (again.id, again.log_index) == (refund.id, 9)
    others = [each for each in await refunds(world) if each.id != refund.id]
    assert others == [], "its deposit is in another block, but its money left the vault"
    assert await world.told() == told


async def test_refund_that_is_in_no_block_is_on_its_way_again_and_no_other_begins(world: World) -> None:
    _, refund = await refunded(world)
    await take_back(world, LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[make_deposit(40)], branch="other")
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = await refunds(world)
    assert (again.id, again.status, again.tx_hash) == (refund.id, RefundStatus.SUBMITTED, TX)
    async with world.store.read() as uow:
        (open_,) = await uow.operations.open_transactions(56)
    assert open_.tx_hash == TX


async def test_refund_that_the_merchant_made_and_that_is_gone_begins_anew(world: World) -> None:
    _, refund = await refunded(world, ours=False)
    await take_back(world, AFTER)
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = await refunds(world)
    assert (again.id, again.status) == (refund.id, RefundStatus.SCHEDULED)
    assert again.tx_hash is None


async def test_refund_whose_deposit_is_gone_too_is_not_paid_from_other_money(world: World) -> None:
    _, refund = await refunded(world, ours=False)
    await take_back(world, LAST_BLOCK - 1)
    await mine_to(world, AFTER + 9, branch="other")
    (again,) = await refunds(world)
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


# --- any story ---------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    blocks=st.lists(st.lists(st.sampled_from([30, 70, 100]), max_size=2), min_size=3, max_size=9),
    target=st.integers(0, 6),
    data=st.data(),
)
async def test_rewind_and_the_same_blocks_end_where_no_rewind_does(
    world: World, blocks: list[list[int]], target: int, data: st.DataObject
) -> None:
    payment_id = f"pay_{len((await world.rows())['payments'])}"
    chain_id = 1_000 + len((await world.rows())["cursors"])
    target = min(target, len(blocks) - 2)
    await world.add(payment_id, chain_id=chain_id)

    async def read(first: int) -> None:
        for number in range(first, len(blocks) + 4):
            units = blocks[number] if number < len(blocks) else []
            deposits = [make_deposit(each, position=at, payment_id=payment_id) for at, each in enumerate(units)]
            await world.mine(
                number,
                chain_id=chain_id,
                branch=str(chain_id),
                deposits=deposits,
                final=number - 2 if number >= 2 else None,
                answers={payment_id: Accepted()},
            )

    await read(0)
    before, told = await world.get(payment_id), await world.told(payment_id)
    kept = [facts for facts in world.read[chain_id] if facts.block.number <= target]
    position = await survey(world.store, chain_id, target)
    await rewind(world.store, position, kept[-1].block, wall_now=1, tokens=())
    world.read[chain_id] = kept
    await read(target + 1)
    for number in range(len(blocks) + 4, len(blocks) + 7):
        await world.mine(number, chain_id=chain_id, branch=str(chain_id), final=number - 2)
    after = await world.get(payment_id)
    assert (after.status, after.completion, after.reversed_at) == (before.status, before.completion, None)
    assert await world.told(payment_id) == told or before.status is not Status.PAID


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(data=st.data())
async def test_other_branch_leaves_its_own_deposits_and_reverses_what_it_took_away(
    world: World, data: st.DataObject
) -> None:
    """Transfers of one branch are on the other in other blocks, or not at all. Payments may be paid before, after, both
    times, or never."""
    payment_id = f"pay_{len((await world.rows())['payments'])}"
    chain_id = 1_000 + len((await world.rows())["cursors"])
    await world.add(payment_id, chain_id=chain_id)
    length = 8
    units = data.draw(st.lists(st.sampled_from([30, 50, 70, 100]), max_size=4))
    place = st.none() | st.integers(1, length - 1)
    there, then = ([data.draw(place) for _ in units] for _ in range(2))

    async def read(first: int, last: int, blocks: Sequence[int | None], branch: str) -> None:
        for number in range(first, last):
            deposits = [
                make_deposit(each, position=at, payment_id=payment_id, tx_hash=keccak(f"{payment_id} {at}".encode()))
                for at, each in enumerate(units)
                if blocks[at] == number
            ]
            await world.mine(
                number,
                chain_id=chain_id,
                branch=f"{chain_id} {branch}",
                deposits=deposits,
                final=number - 2 if number >= 2 else None,
                answers={payment_id: Accepted()},
            )

    await read(0, length + 3, there, "there")
    before = await world.get(payment_id)
    target = data.draw(st.integers(0, min([length, *(block - 1 for block in there if block is not None)])))
    then = [None if block is None else max(block, target + 1) for block in then]
    kept = [facts for facts in world.read[chain_id] if facts.block.number <= target]
    await rewind(world.store, await survey(world.store, chain_id, target), kept[-1].block, wall_now=1, tokens=())
    world.read[chain_id] = kept
    await read(target + 1, 2 * length + 6, then, "then")

    after, told = await world.get(payment_id), await world.told(payment_id)
    async with world.store.read() as uow:
        on_record = (await uow.deposits.of([payment_id])).get(payment_id, [])
    assert sorted((d.block_number, d.units) for d in on_record) == sorted(
        (block, each) for block, each in zip(then, units, strict=True) if block is not None
    )
    assert told.count("completed") == (1 if after.status is Status.PAID else 0)
    assert told.count("reversed") == (0 if after.reversed_at is None else 1)
    came = sum(each for block, each in zip(then, units, strict=True) if block is not None)
    if before.status is Status.PAID:
        assert after.status is Status.PAID
        if None not in then:
            assert after.reversed_at is None
        if came < 100:
            assert after.reversed_at is not None
    else:
        assert after.reversed_at is None
        assert (after.status is Status.PAID) == (came >= 100)
