"""A treasury empties itself: from a paid payment to the merchant's wallet, without anybody asking."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from openpay.app.clock import SystemClock
from openpay.app.records import Withdrawal, WithdrawalSchedule, WithdrawalStatus
from openpay.app.schedules import run_schedules
from openpay.app.signals import Signals
from openpay.bootstrap.installation import installed
from openpay.bootstrap.role import Role
from openpay.bootstrap.roles import _scheduler
from openpay.chain.escrow import EscrowClient, TreasuryBalances
from openpay.config import given_settings
from tests.settlement.till import Till
from tests.watcher.beginning import OpenScene
from tests.watcher.scene import CHAIN_ID, UNIT


@pytest.fixture
async def till(scene_on: OpenScene, sqlite_url: str) -> AsyncIterator[Till]:
    async with scene_on(sqlite_url) as scene:
        yield Till(scene)


async def run(till: Till) -> list[Withdrawal]:
    scene = till.scene
    escrow = EscrowClient(scene.pool, scene.chain, operator=scene.deployment.operator.address)
    return await run_schedules(
        scene.store,
        TreasuryBalances({CHAIN_ID: escrow}),
        {True: scene.chain},
        clock=SystemClock(),
        signals=Signals(),
    )


async def test_treasury_at_its_threshold_reaches_the_merchants_wallet_once(till: Till) -> None:
    scene = till.scene
    merchant = scene.caller.merchant
    async with scene.store.write() as uow:
        schedule = WithdrawalSchedule(merchant_id=merchant.id, livemode=True, thresholds={"USDT": 50 * UNIT})
        assert await uow.operations.save_schedule(schedule)
    before = till.balance("USDT", merchant.address)
    settler = till.settler()
    for expected in (0, 1):  # 25 USDT, then 50
        await till.paid("USDT")
        await settler.step()
        await till.until_final()
        await settler.step()
        assert len(await run(till)) == expected
        assert await run(till) == []
    await settler.step()
    await till.until_final()
    await settler.step()
    assert till.balance("USDT", merchant.address) - before == 50 * UNIT
    async with scene.store.read() as uow:
        (withdrawal,) = (await uow.operations.withdrawals(merchant.id, True, limit=10, starting_after=None)).items
    assert (withdrawal.status, withdrawal.units) == (WithdrawalStatus.SUCCEEDED, 50 * UNIT)
    assert await run(till) == []


async def test_settlers_process_runs_the_schedules(till: Till, sqlite_url: str) -> None:
    scene = till.scene
    settings = given_settings(database_url=sqlite_url, operator_key="0x" + scene.deployment.operator.private_key.hex())
    async with installed(settings, chains={True: scene.chain}, pools={CHAIN_ID: scene.pool}) as installation:
        jobs = {
            role: [job.name for job in _scheduler(installation, frozenset({role}), 10.0).get_jobs()] for role in Role
        }
    assert [role for role in Role if any("withdraw_by_schedule" in name for name in jobs[role])] == [Role.SETTLER]
