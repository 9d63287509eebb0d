"""Withdrawals by schedule: what is due when, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from openpay.app.records import Withdrawal, WithdrawalSchedule, WithdrawalStatus
from openpay.app.schedules import (
    TRY_AGAIN_S,
    describe,
    parse_daily,
    parse_threshold,
    run_schedules,
    with_daily,
    with_threshold,
)
from openpay.app.signals import Signals
from openpay.errors import ChainUnavailable, Invalid
from tests.app.worlds import CHAIN, World

DAY = 86_400
MIDNIGHT = 20_538 * DAY
UNIT = 10**18
THREE_O_CLOCK = 3 * 3_600


@dataclass
class Treasury:
    """What the merchant's treasury holds; None: no node answers. `meanwhile` happens while a node is asked."""

    units: dict[str, int] | None = field(default_factory=dict)
    meanwhile: Any = None

    async def treasury_units(self, chain_id: int, merchant: bytes) -> Mapping[str, int]:
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        if self.units is None:
            raise ChainUnavailable("no node answered")
        return {"USDT": 0, "USDC": 0, "BNB": 0} | self.units


@dataclass
class Desk:
    """A merchant with a schedule, a treasury and a clock."""

    world: World
    treasury: Treasury = field(default_factory=Treasury)

    async def set(self, *thresholds: str, daily: str | None = None) -> None:
        merchant = self.world.merchant.id
        async with self.world.store.write() as uow:
            schedule = await uow.operations.schedule(merchant, True)
            schedule = schedule or WithdrawalSchedule(merchant_id=merchant, livemode=True)
            for text in thresholds:
                schedule = with_threshold(schedule, *parse_threshold(text, CHAIN))
            if daily is not None:
                schedule = with_daily(schedule, parse_daily(daily), now=self.world.clock.now())
            assert await uow.operations.save_schedule(schedule)

    async def run(self, at: int | None = None) -> list[str]:
        """Run the schedules at a time; the tokens withdrawn by it."""
        if at is not None:
            self.world.clock.seconds = at
        recorded = await run_schedules(
            self.world.store, self.treasury, {True: CHAIN}, clock=self.world.clock, signals=Signals()
        )
        return [withdrawal.token for withdrawal in recorded]

    async def recorded(self) -> list[Withdrawal]:
        async with self.world.store.read() as uow:
            page = await uow.operations.withdrawals(self.world.merchant.id, True, limit=100, starting_after=None)
        return list(reversed(page.items))

    async def end(self, status: WithdrawalStatus = WithdrawalStatus.SUCCEEDED) -> None:
        """The settler finishes everything that is open; success empties the treasury of it."""
        async with self.world.store.write() as uow:
            for each in await uow.operations.open_withdrawals(CHAIN.chain_id, 100):
                await uow.operations.save_withdrawal(replace(each, status=status, completed_at=self.world.clock.now()))
                if status is WithdrawalStatus.SUCCEEDED and self.treasury.units is not None:
                    self.treasury.units[each.token] = 0


@pytest.fixture
def desk(world: World) -> Desk:
    world.clock.seconds = MIDNIGHT
    return Desk(world)


async def test_treasury_that_reaches_a_threshold_is_withdrawn_once(desk: Desk) -> None:
    await desk.set("USDT=100")
    desk.treasury.units = {"USDT": 100 * UNIT - 1, "USDC": 500 * UNIT}
    assert await desk.run() == []
    desk.treasury.units["USDT"] += 1
    assert await desk.run() == ["USDT"]
    assert await desk.run() == [], "it is on its way"
    await desk.end()
    assert await desk.run() == []
    (withdrawal,) = await desk.recorded()
    assert (withdrawal.token, withdrawal.chain_id, withdrawal.livemode) == ("USDT", CHAIN.chain_id, True)


async def test_next_crossing_is_withdrawn_though_the_treasury_was_never_seen_below(desk: Desk) -> None:
    await desk.set("USDT=100")
    desk.treasury.units = {"USDT": 100 * UNIT}
    assert await desk.run() == ["USDT"]
    await desk.end()
    desk.treasury.units["USDT"] = 150 * UNIT
    assert await desk.run() == ["USDT"]


async def test_crossing_whose_withdrawal_failed_waits_a_day_or_until_the_treasury_was_below(desk: Desk) -> None:
    await desk.set("USDT=100")
    desk.treasury.units = {"USDT": 100 * UNIT}
    assert await desk.run() == ["USDT"]
    await desk.end(WithdrawalStatus.FAILED)
    assert await desk.run(MIDNIGHT + TRY_AGAIN_S - 1) == []
    assert await desk.run(MIDNIGHT + TRY_AGAIN_S) == ["USDT"]
    await desk.end(WithdrawalStatus.FAILED)
    desk.treasury.units["USDT"] = 0
    assert await desk.run() == []
    desk.treasury.units["USDT"] = 100 * UNIT
    assert await desk.run() == ["USDT"]


async def test_everything_is_withdrawn_once_a_day_at_the_time_or_as_soon_as_possible_after(desk: Desk) -> None:
    await desk.set(daily="03:00")
    desk.treasury.units = {"USDT": 1, "BNB": 5}
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK - 1) == []
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK) == ["BNB", "USDT"]
    await desk.end()
    desk.treasury.units["USDC"] = 7
    assert await desk.run(MIDNIGHT + DAY - 1) == [], "it was done for today"
    # Down for three days, and back at noon: once.
    assert await desk.run(MIDNIGHT + 3 * DAY + DAY // 2) == ["USDC"]
    await desk.end()
    assert await desk.run(MIDNIGHT + 3 * DAY + DAY // 2 + 60) == []


async def test_daily_time_that_is_past_when_it_is_set_begins_tomorrow(desk: Desk) -> None:
    desk.world.clock.seconds = MIDNIGHT + 10 * 3_600
    await desk.set(daily="03:00")
    desk.treasury.units = {"USDT": 1}
    assert await desk.run() == []
    assert await desk.run(MIDNIGHT + DAY + THREE_O_CLOCK) == ["USDT"]


async def test_empty_treasury_is_done_for_the_day_without_a_withdrawal(desk: Desk) -> None:
    await desk.set(daily="03:00")
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK) == []
    desk.treasury.units = {"USDT": 1}
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK + 60) == []


async def test_chain_that_does_not_answer_delays_a_day_and_loses_none(desk: Desk) -> None:
    await desk.set(daily="03:00")
    desk.treasury.units = None
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK) == []
    desk.treasury.units = {"USDT": 1}
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK + 600) == ["USDT"]


async def test_token_that_the_merchant_is_withdrawing_is_left_alone(desk: Desk) -> None:
    await desk.set("USDT=100", daily="03:00")
    desk.treasury.units = {"USDT": 100 * UNIT, "USDC": 1}
    async with desk.world.store.write() as uow:
        await uow.operations.add_withdrawal(
            Withdrawal(
                id="wd_own",
                merchant_id=desk.world.merchant.id,
                livemode=False,  # of test mode: on a chain used by both the treasury is the same
                chain_id=CHAIN.chain_id,
                token="USDT",
                status=WithdrawalStatus.PENDING,
                created_at=MIDNIGHT,
            )
        )
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK) == ["USDC"]


async def test_two_processes_at_once_record_one_withdrawal(desk: Desk) -> None:
    await desk.set("USDT=100", daily="03:00")
    desk.treasury.units = {"USDT": 100 * UNIT, "BNB": 1}
    desk.world.clock.seconds = MIDNIGHT + THREE_O_CLOCK
    both = await asyncio.gather(*(desk.run() for _ in range(4)))
    assert sorted(token for tokens in both for token in tokens) == ["BNB", "USDT"]
    assert len(await desk.recorded()) == 2


async def test_process_that_was_overtaken_while_it_asked_the_chain_records_nothing(desk: Desk) -> None:
    await desk.set("USDT=100")
    desk.treasury.units = {"USDT": 100 * UNIT}

    async def another_process_does_all_of_it() -> None:
        other = Desk(desk.world, Treasury({"USDT": 100 * UNIT}))
        assert await other.run() == ["USDT"]
        await other.end()

    desk.treasury.meanwhile = another_process_does_all_of_it
    assert await desk.run() == []
    assert len(await desk.recorded()) == 1


async def test_threshold_that_is_switched_off_or_changed_counts_no_more(desk: Desk) -> None:
    await desk.set("USDT=100", "BNB=0.5", daily="03:00")
    desk.treasury.units = {"USDT": 100 * UNIT, "BNB": UNIT // 2}
    await desk.set("USDT=off", "BNB=1", daily="off")
    assert await desk.run(MIDNIGHT + THREE_O_CLOCK) == []
    desk.treasury.units["BNB"] = UNIT
    assert await desk.run() == ["BNB"]


async def test_schedule_of_a_mode_without_a_chain_waits(desk: Desk) -> None:
    async with desk.world.store.write() as uow:
        schedule = WithdrawalSchedule(merchant_id=desk.world.merchant.id, livemode=False, thresholds={"USDT": 1})
        assert await uow.operations.save_schedule(schedule)
    desk.treasury.units = {"USDT": 5}
    assert await desk.run() == []


@pytest.mark.parametrize("text", ["", "USDT", "USDT=", "USDT=0", "USDT=-1", "DOGE=1", "=1", "USDT=1e3"])
def test_threshold_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_threshold(text, CHAIN)


@pytest.mark.parametrize("text", ["", "3:00", "24:00", "03:60", "03:00:00", "noon"])
def test_time_of_the_day_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_daily(text)


def test_schedule_is_told_in_words() -> None:
    schedule = WithdrawalSchedule(merchant_id="mer_1", livemode=True, thresholds={"USDT": 100 * UNIT})
    schedule = replace(schedule, daily_at_s=THREE_O_CLOCK + 300)
    assert (
        describe(schedule, CHAIN) == "withdrawn by itself in live mode: USDT at 100.00, everything daily at 03:05 UTC"
    )
    nothing = WithdrawalSchedule(merchant_id="mer_1", livemode=False)
    assert describe(nothing, CHAIN) == "withdrawn by itself in test mode: nothing"
