"""Reading a chain: each block and all that follows from it in one transaction, forwards and back."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from openpay.app import follow
from openpay.app.follow import FOLD_EVERY, BlockFacts, commit_blocks, questions, read_cursor, undo_head
from openpay.app.records import EscrowLog, Report
from openpay.domain.assessment import Accepted, Refused
from openpay.domain.keccak import keccak
from openpay.domain.payment import SettlementStatus, Status
from openpay.errors import CursorMoved, InvariantViolated, ReorgBelowFinality
from openpay.store import Store
from tests.app.worlds import InterceptedDatabase, Interrupted, World, failing
from tests.domain.builders import BLOCK_S, LIFE_S, block_hash, block_time, make_attempt, make_deposit

LAST_BLOCK = LIFE_S // BLOCK_S


def settled_log(terms_id: bytes | None, *, log_index: int = 0) -> EscrowLog:
    """A `Settled` log; the block it is put into gives its place."""
    return EscrowLog(
        chain_id=56,
        name="Settled",
        payment_id=None,
        terms_id=terms_id,
        account=bytes([3]) * 20,
        token="USDT",
        units=100,
        tx_hash=keccak(b"settle"),
        log_index=log_index,
        block_number=0,
        block_hash=b"",
        block_time=0,
    )


# --- forwards ----------------------------------------------------------------------------------------------------


async def test_payment_is_confirming_counts_up_and_is_paid_when_final(world: World) -> None:
    await world.add()
    await world.mine(1)
    await world.mine(2, deposits=[make_deposit()])
    assert (await world.get()).status is Status.CONFIRMING
    for number in range(3, 13):
        await world.mine(number, final=number - 11 if number > 11 else None, answers={"pay_1": Accepted()})
        assert (await world.get()).status is Status.CONFIRMING
    await world.mine(13, final=2, answers={"pay_1": Accepted()})
    payment = await world.get()
    assert (payment.status, payment.paid_confirmations, payment.paid_at) == (Status.PAID, 12, block_time(13))
    assert await world.told() == ["confirming", "completed"]


async def test_cursor_names_the_block_the_final_one_and_what_the_chain_had(world: World) -> None:
    assert await read_cursor(world.store, 56) is None
    await world.mine(7)
    await world.mine(8, final=7)
    cursor = await read_cursor(world.store, 56)
    assert cursor is not None
    assert (cursor.number, cursor.hash, cursor.time) == (8, block_hash(8), block_time(8))
    assert (cursor.final_number, cursor.final_time) == (7, block_time(7))
    assert (cursor.seen_head, cursor.read_at) == (8, world.clock.seconds)
    assert await read_cursor(world.store, 97) is None


async def test_final_block_never_moves_back_nor_above_the_newest_block_read(world: World) -> None:
    await world.mine(1)
    assert (await world.mine(2, final=9)).cursor.final_number == 2
    assert (await world.mine(3, final=1)).cursor.final_number == 2
    assert (await world.mine(4)).cursor.final_number == 2


async def test_blocks_may_share_a_transaction(world: World) -> None:
    await world.add()
    first = world.facts(1, deposits=[make_deposit(60)])
    second = replace(world.facts(2, deposits=[make_deposit(40)]))
    second = replace(second, block=replace(second.block, parent_hash=first.block.hash))
    committed = await commit_blocks(
        world.store, [first, second], final_number=2, seen_head=90, answers={}, wall_now=world.clock.seconds
    )
    assert [payment.status for payment in committed.changed] == [Status.CONFIRMING]
    assert (committed.cursor.number, committed.cursor.seen_head) == (2, 90)
    assert await world.told() == ["confirming"]


async def test_blocks_that_do_not_follow_each_other_are_refused(world: World) -> None:
    facts = [world.facts(1), world.facts(3)]
    with pytest.raises(InvariantViolated):
        await commit_blocks(world.store, facts, final_number=None, seen_head=3, answers={}, wall_now=0)
    assert await read_cursor(world.store, 56) is None


async def test_payment_expires_by_a_final_block_although_nothing_arrived(world: World) -> None:
    await world.add()
    await world.mine(LAST_BLOCK)
    await world.mine(LAST_BLOCK + 1, final=LAST_BLOCK)
    assert (await world.get()).status is Status.PENDING
    await world.mine(LAST_BLOCK + 2, final=LAST_BLOCK + 1)
    assert (await world.get()).status is Status.EXPIRED
    assert await world.told() == ["expired"]


async def test_expiry_waits_for_the_watcher_whatever_the_servers_clock_says(world: World) -> None:
    """A payment made in time counts, though its block is read a day after the deadline."""
    await world.add("pay_1")
    await world.add("pay_2")
    world.clock.seconds += 86_400
    await world.mine(LAST_BLOCK - 1, final=LAST_BLOCK - 1)
    assert [(await world.get(each)).status for each in ("pay_1", "pay_2")] == [Status.PENDING] * 2
    await world.mine(LAST_BLOCK, deposits=[make_deposit()], final=LAST_BLOCK)
    assert (await world.get("pay_1")).status is Status.CONFIRMING
    assert (await world.get("pay_2")).status is Status.PENDING
    await world.mine(LAST_BLOCK + 1, final=LAST_BLOCK + 1)
    assert (await world.get("pay_2")).status is Status.EXPIRED
    assert (await world.get("pay_1")).status is Status.CONFIRMING


async def test_mass_expiry_is_spread_over_blocks_and_leaves_nobody_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "EXPIRED_AT_ONCE", 5)
    for number in range(8):
        await world.add(f"pay_{number}")
    await world.mine(LAST_BLOCK + 1)
    counts = [len((await world.mine(LAST_BLOCK + n, final=LAST_BLOCK + n)).changed) for n in (2, 3, 4)]
    assert counts == [5, 3, 0]


async def test_escrow_is_asked_about_confirming_payments_whose_block_is_final(world: World) -> None:
    for payment_id in ("pay_1", "pay_2", "pay_3"):
        await world.add(payment_id)
    await world.mine(1, deposits=[make_deposit(payment_id="pay_1")])
    await world.mine(2, deposits=[make_deposit(95, "USDC", payment_id="pay_2")])
    await world.mine(3, attempts=[make_attempt(payment_id="pay_3")])
    assert await questions(world.store, 56, final_number=0) == []
    asked = {question.payment_id: question for question in await questions(world.store, 56, final_number=3)}
    assert set(asked) == {"pay_1", "pay_2"}  # a reverted transaction is no question of money
    assert (asked["pay_1"].asset_index, asked["pay_2"].asset_index) == (0, 1)
    assert asked["pay_1"].terms == (await world.get("pay_1")).terms
    assert await questions(world.store, 97, final_number=3) == []


async def test_refusal_fails_the_payment_and_names_the_error(world: World) -> None:
    await world.add()
    await world.mine(1, deposits=[make_deposit()])
    await world.mine(2, final=1, answers={"pay_1": Refused(error="PriceTooOld")})
    assert (await world.get()).failure == "PriceTooOld"
    assert await world.told() == ["confirming", "failed"]


async def test_settled_log_is_matched_by_terms_and_counts_when_final(world: World) -> None:
    payment = await world.add()
    await world.mine(1, deposits=[make_deposit()], escrow_logs=[settled_log(payment.terms.id())])
    await world.mine(2, escrow_logs=[settled_log(keccak(b"somebody else's"))])
    await world.mine(3, final=1)
    settled = await world.get()
    assert settled.settlement is not None
    assert (settled.settlement.status, settled.settlement.units) == (SettlementStatus.SETTLED, 100)
    assert await world.told() == ["confirming", "completed", "settled"]


async def test_settlement_that_becomes_final_later_is_told_once(world: World) -> None:
    payment = await world.add()
    await world.mine(1, deposits=[make_deposit()])
    await world.mine(2, final=1, answers={"pay_1": Accepted()})
    await world.mine(3, escrow_logs=[settled_log(payment.terms.id())])
    assert (await world.get()).settlement is not None
    assert await world.told() == ["confirming", "completed"]
    for number in (4, 5, 6):
        await world.mine(number, final=number - 1)
    assert await world.told() == ["confirming", "completed", "settled"]


async def test_two_logs_of_one_block_are_both_recorded(world: World) -> None:
    payment = await world.add()
    logs = [settled_log(payment.terms.id()), replace(settled_log(payment.terms.id(), log_index=1), name="Swept")]
    await world.mine(1, escrow_logs=logs)
    async with world.store.read() as uow:
        recorded = (await uow.chain.escrow_logs_of(["pay_1"]))["pay_1"]
    assert [log.name for log in recorded] == ["Settled", "Swept"]


async def test_report_is_closed_by_its_reverted_transaction_and_opened_again_by_a_reorg(world: World) -> None:
    await world.add()
    attempt = make_attempt()
    async with world.store.write() as uow:
        for _ in range(2):
            await uow.attempts.report(
                Report(chain_id=56, payment_id="pay_1", tx_hash=attempt.tx_hash, reported_at=world.clock.seconds)
            )

    async def open_reports() -> list[bytes]:
        async with world.store.read() as uow:
            return [report.tx_hash for report in await uow.attempts.open_reports(56)]

    assert await open_reports() == [attempt.tx_hash]
    await world.mine(1)
    await world.mine(2, attempts=[attempt])
    assert await open_reports() == []
    assert (await world.get()).status is Status.CONFIRMING
    await world.undo()
    assert await open_reports() == [attempt.tx_hash]
    assert (await world.get()).status is Status.PENDING


async def test_every_payment_about_which_something_is_news_gets_a_new_version(world: World) -> None:
    await world.add(status=Status.CANCELED, ended_at=1)
    assert len((await world.mine(1, deposits=[make_deposit(5)])).changed) == 1
    assert (await world.get()).version == 2
    assert (await world.mine(2)).changed == ()


# --- once --------------------------------------------------------------------------------------------------------


async def test_block_that_was_committed_cannot_be_committed_again(world: World) -> None:
    await world.add()
    facts = world.facts(1, deposits=[make_deposit()])
    await world.commit(facts)
    before = await world.rows()
    with pytest.raises(CursorMoved):
        await world.commit(facts)
    assert await world.rows() == before


async def test_events_are_stored_once_however_often_they_are_found(world: World) -> None:
    await world.add(status=Status.CANCELED, ended_at=1)
    await world.add("pay_2")
    await world.mine(1, deposits=[make_deposit(5, position=1), make_deposit(40, payment_id="pay_2", position=2)])
    # Each of these looks at both payments again, and finds the same late and missing money.
    more = [make_deposit(5, position=3), make_deposit(5, "USDC", payment_id="pay_2", position=4)]
    await world.mine(2, deposits=more)
    await world.undo()
    await world.mine(2, deposits=more)
    assert await world.told("pay_1") == ["late_deposit", "late_deposit"]
    assert await world.told("pay_2") == ["underpaid", "underpaid"]


async def test_many_late_deposits_told_before_cost_the_next_one_nothing(world: World) -> None:
    await world.add(status=Status.EXPIRED, ended_at=block_time(1))
    late = [make_deposit(units=1, position=position) for position in range(200)]
    await world.mine(LAST_BLOCK + 1, deposits=late)
    calls: Counter[str] = Counter()

    async def count(name: str) -> None:
        calls[name] += 1

    async def nothing(_name: str) -> None: ...

    counted = InterceptedDatabase(db=world.store, before=count, after=nothing)
    await world.mine(LAST_BLOCK + 2, deposits=late[:1], db=counted)
    assert len(await world.told("pay_1")) == 201
    assert calls["events.add"] == 1


async def test_second_watcher_stops_instead_of_writing(world: World) -> None:
    await world.mine(1)
    mine, theirs = world.facts(2), world.facts(2, branch="other")
    await world.commit(mine)
    before = await world.rows()
    for attempt in (mine, theirs):
        with pytest.raises(CursorMoved):
            await commit_blocks(world.store, [attempt], final_number=None, seen_head=2, answers={}, wall_now=0)
    assert await world.rows() == before


async def test_second_watcher_undoes_no_block_but_the_one_it_means(world: World) -> None:
    await world.mine(1)
    await world.mine(2)
    gone = world.read[56][-1].block
    await world.undo()
    before = await world.rows()
    with pytest.raises(CursorMoved):
        await undo_head(world.store, gone, wall_now=0)
    with pytest.raises(CursorMoved):
        await undo_head(world.store, replace(gone, chain_id=97), wall_now=0)
    assert await world.rows() == before


@pytest.mark.parametrize("blocks_before", [0, 1])
async def test_of_two_watchers_at_once_exactly_one_writes(world: World, blocks_before: int) -> None:
    await world.add()
    for number in range(1, blocks_before + 1):
        await world.mine(number)
    number = blocks_before + 1
    other = Store.open(world.url)

    async def commit(store: Store, facts: BlockFacts) -> bool:
        try:
            await commit_blocks(store, [facts], final_number=None, seen_head=number, answers={}, wall_now=0)
        except CursorMoved:
            return False
        return True

    try:
        outcomes = await asyncio.gather(
            commit(world.store, world.facts(number, deposits=[make_deposit()])),
            commit(other, world.facts(number, deposits=[make_deposit()], branch="other")),
        )
    finally:
        await other.close()
    assert sorted(outcomes) == [False, True]
    assert await world.told() == ["confirming"]
    rows = await world.rows()
    assert (len(rows["deposits"]), len(rows["cursors"]), len(rows["blocks"])) == (1, 1, number)


# --- all or nothing ----------------------------------------------------------------------------------------------


async def test_failure_at_any_moment_of_a_commit_leaves_nothing_behind(world: World) -> None:
    payment = await world.add()
    await world.add("pay_2")
    await world.mine(1, deposits=[make_deposit(60)])
    await world.mine(2)
    before = await world.rows()
    facts = world.facts(
        3,
        deposits=[make_deposit(40), make_deposit(7, payment_id="pay_2", position=1)],
        attempts=[make_attempt(payment_id="pay_2")],
        escrow_logs=[settled_log(payment.terms.id())],
    )
    moment = 0
    while True:
        moment += 1
        try:
            await world.commit(facts, final=2, answers={"pay_1": Accepted()}, db=failing(world.store, at=moment))
        except Interrupted:
            assert await world.rows() == before, f"moment {moment}"
            continue
        break
    assert moment > 20
    assert (await world.get()).status is Status.CONFIRMING
    assert len((await world.rows())["escrow_logs"]) == 1


async def test_failure_at_any_moment_of_an_undo_leaves_nothing_behind(world: World) -> None:
    payment = await world.add()
    await world.mine(1)
    await world.mine(
        2,
        deposits=[make_deposit()],
        attempts=[make_attempt()],
        escrow_logs=[settled_log(payment.terms.id())],
    )
    before = await world.rows()
    moment = 0
    while True:
        moment += 1
        try:
            await world.undo(db=failing(world.store, at=moment))
        except Interrupted:
            assert await world.rows() == before, f"moment {moment}"
            continue
        break
    assert moment > 15
    assert (await world.get()).status is Status.PENDING
    rows = await world.rows()
    assert rows["deposits"] == rows["reverted_attempts"] == rows["escrow_logs"] == []


# --- back --------------------------------------------------------------------------------------------------------


async def test_reorg_takes_the_deposit_back_and_pauses_the_clock(world: World) -> None:
    payment = await world.add()
    await world.mine(1)
    await world.mine(2, deposits=[make_deposit()])
    for number in range(3, 12):
        await world.mine(number)
    while world.read[56][-1].block.number > 1:
        await world.undo()
    undone = await world.get()
    assert undone.status is Status.PENDING
    # Confirming from block 2 to 11: nine intervals that the customer gets back.
    assert undone.deadline == payment.deadline + 9 * BLOCK_S
    assert await world.told() == ["confirming", "pending"]
    cursor = await read_cursor(world.store, 56)
    assert cursor is not None
    assert (cursor.number, cursor.time, cursor.tip_time) == (1, block_time(1), block_time(11))


async def test_reorg_near_the_deadline_leaves_five_minutes(world: World) -> None:
    await world.add()
    await world.mine(LAST_BLOCK - 1)
    await world.mine(LAST_BLOCK, deposits=[make_deposit()])
    await world.mine(LAST_BLOCK + 1)
    await world.undo()
    await world.undo()
    assert (await world.get()).deadline == block_time(LAST_BLOCK + 1) + 300


async def test_same_transaction_in_another_branch_is_another_deposit(world: World) -> None:
    await world.add()
    transfer = make_deposit(tx_hash=bytes(32))
    await world.mine(1)
    await world.mine(2, deposits=[transfer])
    await world.undo()
    world.branch = "other"
    await world.mine(2)
    await world.mine(3, deposits=[transfer])
    payment = await world.get()
    assert payment.completion is not None
    assert (payment.completion.block_number, payment.completion.block_hash) == (3, block_hash(3, "other"))
    assert await world.told() == ["confirming", "pending", "confirming"]


async def test_final_block_is_never_undone(world: World) -> None:
    await world.mine(1)
    await world.mine(2, final=2)
    before = await world.rows()
    with pytest.raises(ReorgBelowFinality):
        await world.undo()
    assert await world.rows() == before


async def test_first_block_read_is_never_undone(world: World) -> None:
    await world.mine(1)
    with pytest.raises(ReorgBelowFinality):
        await world.undo()


# --- coverage ----------------------------------------------------------------------------------------------------


async def test_final_blocks_are_folded_and_what_was_read_stays_one_range(world: World) -> None:
    for number in range(5, 5 + 3 * FOLD_EVERY):
        await world.mine(number, final=number - 3 if number > 8 else None)
        async with world.store.read() as uow:
            assert await uow.chain.covered(56) == (5, number)
            cursor = await uow.chain.cursor(56)
            assert cursor is not None
            if cursor.final_number is not None:
                # What a reorg may still need: the final block itself, and all above.
                for kept in range(cursor.final_number, number + 1):
                    assert await uow.chain.block(56, kept) is not None
    assert len((await world.rows())["blocks"]) <= FOLD_EVERY + 3


async def test_blocks_can_be_undone_down_to_the_final_one_after_folding(world: World) -> None:
    for number in range(1, FOLD_EVERY + 5):
        await world.mine(number, final=number - 4 if number > 4 else None)
    for _ in range(4):
        await world.undo()
    with pytest.raises(ReorgBelowFinality):
        await world.undo()
    async with world.store.read() as uow:
        assert await uow.chain.covered(56) == (1, FOLD_EVERY)
