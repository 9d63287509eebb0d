"""Reading blocks once more: what is missing is added, with all that follows; nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from openpay.app.follow import BlockFacts
from openpay.app.mending import Rescan
from openpay.app.ports import Database
from openpay.app.rescan import (
    cancel_rescan,
    commit_part,
    next_part,
    note_failure,
    open_rescans,
    request_rescan,
    rescan_of,
)
from openpay.domain.assessment import Accepted
from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import Status
from openpay.domain.refunds import RefundStatus, approved, sent
from openpay.errors import ConcurrentChange, Conflict, Invalid, NotFound
from tests.app.rewinding import log_of
from tests.app.worlds import Interrupted, World, failing
from tests.domain.builders import BLOCK_S, LIFE_S, block_hash, block_time, make_deposit

LAST_BLOCK = LIFE_S // BLOCK_S


async def read_to(world: World, last: int, **deposits: Sequence[Deposit]) -> None:
    """Blocks 0 to `last`, the newest three not final; `b5=[…]` are the deposits that are read in block 5."""
    for number in range(last + 1):
        await world.mine(
            number,
            deposits=deposits.get(f"b{number}", ()),
            final=number - 2 if number >= 2 else None,
            answers={"pay_1": Accepted()},
        )


def holding(world: World, number: int, *deposits: Deposit, **more: object) -> BlockFacts:
    """Block `number`, as it was read before, with what is really in it."""
    facts = world.facts(number, deposits=deposits, **more)  # type: ignore[arg-type]
    (before,) = [each.block for each in world.read[56] if each.block.number == number]
    return replace(facts, block=before)


async def rescanned(world: World, *facts: BlockFacts, db: Database | None = None) -> Rescan:
    """Ask for these blocks and read them, one part each."""
    numbers = [each.block.number for each in facts]
    rescan = await request_rescan(world.store, 56, numbers[0], numbers[-1], now=1)
    for each in facts:
        done = await commit_part(db or world.store, rescan, [each], wall_now=2, tokens=())
        rescan = done.rescan
    return rescan


async def deposits(world: World) -> list[tuple[Source, int]]:
    async with world.store.read() as uow:
        return [(each.source, each.units) for each in (await uow.deposits.of(["pay_1"])).get("pay_1", [])]


async def test_missed_deposit_is_added_and_pays(world: World) -> None:
    await world.add()
    await read_to(world, 10)
    rescan = await rescanned(world, holding(world, 5, make_deposit(100)))
    assert (rescan.found_deposits, rescan.done_at) == (1, 2)
    (found,) = rescan.found
    assert (found.payment_id, found.units, found.block_number) == ("pay_1", 100, 5)
    assert (await world.get()).status is Status.CONFIRMING
    await world.mine(11, final=9, answers={"pay_1": Accepted()})
    assert (await world.get()).status is Status.PAID
    assert await world.told() == ["confirming", "completed"]


async def test_what_is_on_record_changes_nothing_but_the_request(world: World) -> None:
    await world.add()
    await read_to(world, 10, b5=[make_deposit(100)])
    before = await world.rows()
    rescan = await rescanned(world, *(holding(world, n, *([make_deposit(100)] if n == 5 else [])) for n in range(3, 8)))
    assert rescan.found_deposits == 0
    after = await world.rows()
    assert {name: rows for name, rows in after.items() if name != "rescans"} == {
        name: rows for name, rows in before.items() if name != "rescans"
    }


async def test_money_that_was_taken_for_internal_is_counted_once(world: World) -> None:
    await world.add()
    inner = replace(make_deposit(1000, "BNB"), source=Source.INTERNAL, tx_hash=None)
    await read_to(world, 8, b7=[inner])
    assert (await world.get()).status is Status.CONFIRMING
    direct = make_deposit(1000, "BNB")
    rescan = await rescanned(world, holding(world, 5, direct), holding(world, 6))
    assert rescan.found_deposits == 1
    assert await deposits(world) == [(Source.TRANSACTION, 1000)]
    now = await world.get()
    assert now.completion is not None
    assert (now.status, now.completion.block_number) == (Status.CONFIRMING, 5)
    await world.mine(9, final=7, answers={"pay_1": Accepted()})
    assert (await world.get()).status is Status.PAID


async def test_paid_payment_rests_on_the_transfer_once_it_is_known(world: World) -> None:
    await world.add()
    inner = replace(make_deposit(1000, "BNB"), source=Source.INTERNAL, tx_hash=None)
    await read_to(world, 10, b5=[inner])
    assert (await world.get()).status is Status.PAID
    direct = make_deposit(1000, "BNB")
    await rescanned(world, holding(world, 5, direct))
    now = await world.get()
    assert now.completion is not None
    assert (now.completion.tx_hash, now.reversed_at) == (direct.tx_hash, None)
    assert await world.told() == ["confirming", "completed"]


async def test_missed_settlement_is_recorded(world: World) -> None:
    payment = await world.add()
    await read_to(world, 10, b5=[make_deposit(100)])
    log = log_of(payment, "Settled", units=100, to=payment.terms.merchant)
    rescan = await rescanned(world, holding(world, 6, escrow_logs=[log]))
    assert rescan.found_logs == 1
    settlement = (await world.get()).settlement
    assert settlement is not None
    assert settlement.tx_hash == log.tx_hash
    assert "settled" in await world.told()


async def test_deposit_found_after_the_end_goes_back(world: World) -> None:
    await world.add()
    for number in (LAST_BLOCK, LAST_BLOCK + 1, LAST_BLOCK + 2):
        await world.mine(number, final=number - 1 if number > LAST_BLOCK else None)
    await world.mine(LAST_BLOCK + 3, final=LAST_BLOCK + 3)
    assert (await world.get()).status is Status.EXPIRED
    await rescanned(world, holding(world, LAST_BLOCK, make_deposit(100)))
    assert (await world.get()).status is Status.EXPIRED
    async with world.store.read() as uow:
        (refund,) = (await uow.refunds.of(["pay_1"]))["pay_1"]
    assert (refund.units, refund.status) == (100, RefundStatus.SCHEDULED)


async def test_transfer_that_was_sent_back_as_internal_is_not_sent_back_again(world: World) -> None:
    """Another payer's money lies in the same vault: it must be there for that payer."""
    await world.add()
    first = LAST_BLOCK - 5
    wrong = replace(make_deposit(300, "BNB"), source=Source.INTERNAL, tx_hash=None, sender_nonce=None, payer=None)
    theirs = replace(make_deposit(200, "BNB"), sender=bytes([6]) * 20, payer=bytes([6]) * 20)
    for number in range(first, LAST_BLOCK + 4):
        came = {first + 1: [wrong], first + 2: [theirs]}.get(number, [])
        await world.mine(number, deposits=came, final=number - 1 if number > first else None)
    assert (await world.get()).status is Status.EXPIRED
    before = {refund.units: refund for refund in await world.refunds()}
    async with world.store.write() as uow:
        await uow.refunds.put([sent(approved(before[300], bytes([9]) * 20), bytes(32))])

    await rescanned(world, holding(world, first, make_deposit(300, "BNB")))

    assert await deposits(world) == [(Source.TRANSACTION, 300), (Source.TRANSACTION, 200)]
    after = {refund.units: refund for refund in await world.refunds()}
    assert set(after) == {300, 200}
    assert after[300].status is RefundStatus.SUBMITTED
    assert after[200] == before[200]


async def test_range_below_the_first_block_ever_read_may_be_read(world: World) -> None:
    await world.add()
    await world.mine(50)
    await world.mine(51, final=51)
    old = replace(world.facts(10, deposits=[make_deposit(40)]).block, hash=block_hash(10), parent_hash=block_hash(9))
    facts = BlockFacts(
        block=old,
        deposits=(replace(make_deposit(40), block_number=10, block_hash=old.hash, block_time=block_time(10)),),
    )
    rescan = await request_rescan(world.store, 56, 10, 10, now=1)
    await commit_part(world.store, rescan, [facts], wall_now=2, tokens=())
    assert await deposits(world) == [(Source.LOG, 40)]
    assert (await world.get()).status is Status.PENDING
    async with world.store.read() as uow:
        assert await uow.chain.covered(56) == (50, 51)


async def test_kill_at_any_moment_leaves_all_or_nothing(world: World) -> None:
    await world.add()
    inner = replace(make_deposit(1000, "BNB"), source=Source.INTERNAL, tx_hash=None)
    await read_to(world, 10, b7=[inner])
    rescan = await request_rescan(world.store, 56, 5, 5, now=1)
    facts = holding(world, 5, make_deposit(1000, "BNB"))
    before = await world.rows()
    for moment in range(1, 200):
        try:
            await commit_part(failing(world.store, at=moment), rescan, [facts], wall_now=2, tokens=())
        except Interrupted:
            assert await world.rows() == before
        else:
            break
    else:
        pytest.fail("the part never went through")
    assert await deposits(world) == [(Source.TRANSACTION, 1000)]


async def test_two_watchers_do_not_read_one_part_twice(world: World) -> None:
    await world.add()
    await read_to(world, 10)
    rescan = await request_rescan(world.store, 56, 3, 9 - 1, now=1)
    await commit_part(world.store, rescan, [holding(world, 3)], wall_now=2, tokens=())
    with pytest.raises(ConcurrentChange, match="another watcher"):
        await commit_part(world.store, rescan, [holding(world, 3, make_deposit(100))], wall_now=2, tokens=())
    assert await deposits(world) == []


async def test_canceled_request_lets_the_next_one_go_on_and_keeps_what_it_found(world: World) -> None:
    await world.add()
    await read_to(world, 10)
    stuck = await request_rescan(world.store, 56, 3, 8, now=1)
    behind = await request_rescan(world.store, 56, 5, 5, now=1)
    assert await open_rescans(world.store, 56) == [stuck, behind]
    stuck = (await commit_part(world.store, stuck, [holding(world, 3, make_deposit(5))], wall_now=2, tokens=())).rescan
    canceled = await cancel_rescan(world.store, 56, stuck.id, now=3)
    assert (canceled.next, canceled.done_at, canceled.failure) == (4, 3, "it was canceled.")
    assert await rescan_of(world.store, stuck.id) == canceled

    # A part that was being read meanwhile, and one that failed, change nothing any more.
    with pytest.raises(ConcurrentChange, match="canceled"):
        await commit_part(world.store, stuck, [holding(world, 4, make_deposit(100))], wall_now=4, tokens=())
    await note_failure(world.store, stuck, "no node has block 4", wall_now=4)
    assert await rescan_of(world.store, stuck.id) == canceled
    assert await deposits(world) == [(Source.LOG, 5)]
    part = await next_part(world.store, 56)
    assert part is not None
    assert part.rescan == behind


async def test_only_a_request_that_is_under_way_can_be_canceled(world: World) -> None:
    await read_to(world, 10)
    done = await rescanned(world, holding(world, 5))
    with pytest.raises(Conflict, match=f"rescan {done.id} is over already"):
        await cancel_rescan(world.store, 56, done.id, now=3)
    running = await request_rescan(world.store, 56, 3, 8, now=1)
    for chain_id, rescan_id in ((97, running.id), (56, running.id + 1)):
        with pytest.raises(NotFound):
            await cancel_rescan(world.store, chain_id, rescan_id, now=3)
    assert await open_rescans(world.store, 56) == [running]
    assert await rescan_of(world.store, done.id) == done


async def test_requests_are_taken_one_after_the_other_and_end(world: World) -> None:
    await read_to(world, 10)
    first = await request_rescan(world.store, 56, 3, 3, now=1)
    second = await request_rescan(world.store, 56, 4, 5, now=1)
    part = await next_part(world.store, 56)
    assert part is not None
    assert (part.rescan, part.last) == (first, 3)
    await commit_part(world.store, first, [holding(world, 3)], wall_now=2, tokens=())
    part = await next_part(world.store, 56)
    assert part is not None
    assert part.rescan == second
    await note_failure(world.store, second, "no node has block 4", wall_now=3)
    part = await next_part(world.store, 56)
    assert part is not None
    assert (part.rescan.failure, part.rescan.next) == ("no node has block 4", 4)
    await note_failure(world.store, second, "the chain changed", wall_now=3, is_final=True)
    assert await next_part(world.store, 56) is None
    ended = await rescan_of(world.store, second.id)
    assert ended is not None
    assert (ended.failure, ended.done_at) == ("the chain changed", 3)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(5, 4, "no range"), (-1, 4, "no range"), (5, 9, "block 9 is not final: only blocks up to 8")],
)
async def test_impossible_ranges_are_refused(world: World, first: int, last: int, words: str) -> None:
    await read_to(world, 10)
    with pytest.raises(Invalid, match=words):
        await request_rescan(world.store, 56, first, last, now=1)


async def test_nothing_can_be_read_again_before_anything_was_final(world: World) -> None:
    with pytest.raises(Invalid, match="no final block"):
        await request_rescan(world.store, 56, 0, 0, now=1)
    await world.mine(0)
    with pytest.raises(Invalid, match="no final block"):
        await request_rescan(world.store, 56, 0, 0, now=1)


async def test_what_went_back_of_money_that_a_rescan_explains_is_known_to_be_its_senders(world: World) -> None:
    await world.add()
    inner = replace(make_deposit(300, "BNB"), source=Source.INTERNAL, tx_hash=None, sender=None, payer=None)
    await world.mine(LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[inner])
    await world.mine(LAST_BLOCK + 1, final=LAST_BLOCK + 1)
    async with world.store.write() as uow:
        ((refund,),) = (await uow.refunds.of(["pay_1"])).values()
        await uow.refunds.put([sent(approved(refund, bytes([9]) * 20), bytes(32))])
    found = make_deposit(300, "BNB")
    await rescanned(world, holding(world, LAST_BLOCK - 1, found))

    async with world.store.read() as uow:
        ((after,),) = (await uow.refunds.of(["pay_1"])).values()
    assert (after.status, after.found_senders) == (RefundStatus.SUBMITTED, ((found.payer, 300),))
