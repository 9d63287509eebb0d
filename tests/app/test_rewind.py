"""Taking back what was final: what goes, what stays, and what becomes of it when the chain is read again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from openpay.app.rewind import rewind, survey
from openpay.domain.assessment import Accepted
from openpay.domain.deposit import Source
from openpay.domain.keccak import keccak
from openpay.domain.payment import Status
from openpay.errors import CursorMoved, Invalid
from tests.app.rewinding import cursor_of, mine_to, paid, take_back
from tests.app.worlds import Interrupted, World, failing
from tests.domain.builders import make_deposit


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
