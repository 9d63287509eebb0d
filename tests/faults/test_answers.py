"""Every way to answer wrongly or not at all, beside an honest host and alone: nothing is missed or counted twice."""

from __future__ import annotations

import asyncio

import pytest

from openpay.chain.rpc import MAX_ANSWER_BYTES
from openpay.domain.payment import Payment, Status
from openpay.errors import ChainUnavailable
from tests.faults.faults import (
    Fault,
    away,
    broken_gzip,
    cut_off,
    drip,
    empty_lists,
    finality_swinging,
    forge_amount,
    hang,
    null_blocks,
    omit_log,
    omit_transaction,
    oversized,
    receipts_pruned,
    reorder_logs,
    server_error,
    slow,
    sometimes,
    stale_head,
    throttled,
    truncated,
    without,
    wrong_chain_id,
)
from tests.faults.hosts import behind, mine_patiently, pay_in_parts, watch_patiently
from tests.watcher.scene import UNIT, Scene, due

CONFIRMATIONS = 12
LAG = 5

LIES = [
    omit_log(),
    omit_log(1),
    omit_transaction(),
    omit_transaction(1),
    reorder_logs(),
    forge_amount(10**24),
    empty_lists(),
]
"""What a proof finds out."""
FAILURES = [
    away(),
    hang(),
    drip(),
    truncated(),
    cut_off(),
    broken_gzip(),
    throttled(),
    throttled(retry_after_s=1),
    server_error(500),
    server_error(502),
    null_blocks(),
    receipts_pruned(),
    wrong_chain_id(),
]
"""What any caller notices."""
HARMLESS = [slow(0.05), stale_head(LAG), finality_swinging(4), without("eth_getBlockReceipts")]
"""What delays at most."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for fewer requests gets so many a second at least: real nodes bear few, these would wait for nothing."""
    monkeypatch.setattr("openpay.chain.pacing.LEAST_RATE", 100.0)


async def expect_recorded(scene: Scene, payment: Payment) -> None:
    """Both transfers, once each, as they are on the chain."""
    full = due(payment, "USDT")[0]
    assert [deposit.units for deposit in await scene.deposits(payment)] == [full - 7 * UNIT, 7 * UNIT]


async def mine_until_paid(scene: Scene, payment: Payment) -> None:
    """A block at a time: a host that was told to slow down speaks a few blocks late, and reading does not wait."""
    for _ in range(60):
        scene.anvil.mine(1)
        await watch_patiently(scene)
        if await scene.status(payment) is Status.PAID:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"not paid at {await scene.cursor()}")


@pytest.mark.parametrize("fault", [*LIES, *FAILURES, *HARMLESS], ids=str)
@pytest.mark.parametrize("place", [0, pytest.param(1, marks=pytest.mark.nightly)], ids=["first", "second"])
async def test_one_faulty_host_of_two_changes_nothing(scene: Scene, fault: Fault, place: int) -> None:
    async with behind(scene, 2) as hosts:
        hosts[place].faults = [fault]
        payment = await pay_in_parts(scene)
        if fault in HARMLESS:
            scene.anvil.mine(LAG)
        await watch_patiently(scene)
        await expect_recorded(scene, payment)
        assert await scene.status(payment) is Status.CONFIRMING
        hosts[place].faults = []
        scene.anvil.mine(CONFIRMATIONS - 1)
        await watch_patiently(scene)
        await mine_until_paid(scene, payment)


@pytest.mark.parametrize("fault", [*LIES, *FAILURES], ids=str)
async def test_only_host_with_a_fault_delays_and_loses_nothing(scene: Scene, fault: Fault) -> None:
    async with behind(scene, 1) as (host,):
        before = await scene.cursor()
        host.faults = [fault]
        payment = await pay_in_parts(scene)
        for _ in range(2):
            with pytest.raises(ChainUnavailable):
                await scene.watch()
        # It may have read blocks before the one that matters, but never passed that one.
        assert await scene.deposits(payment) == []
        assert (await scene.cursor()).number == before.number
        host.faults = []
        await watch_patiently(scene)
        await expect_recorded(scene, payment)
        scene.anvil.mine(CONFIRMATIONS - 1)
        await watch_patiently(scene)
        assert await scene.status(payment) is Status.PAID


@pytest.mark.parametrize("fault", HARMLESS, ids=str)
async def test_only_host_that_is_slow_behind_or_incomplete_still_leads_to_paid(scene: Scene, fault: Fault) -> None:
    async with behind(scene, 1) as (host,):
        host.faults = [fault]
        payment = await pay_in_parts(scene)
        for _ in range(CONFIRMATIONS + LAG + 4):
            await mine_patiently(scene, 1)
        assert await scene.status(payment) is Status.PAID
        assert await scene.received(payment, "USDT") == due(payment, "USDT")[0]


async def test_answer_larger_than_any_block_is_not_read_to_its_end(scene: Scene) -> None:
    async with behind(scene, 2) as (host, _):
        host.faults = [oversized(MAX_ANSWER_BYTES + 1)]
        payment = await pay_in_parts(scene)
        await watch_patiently(scene)
        await expect_recorded(scene, payment)


async def test_two_hosts_that_fail_every_other_time_in_every_way_lose_nothing(scene: Scene) -> None:
    async with behind(scene, 2) as hosts:
        wrong = [fault for fault in (*LIES, *FAILURES) if fault.name not in ("hang()", "drip(0.05)")]
        for seed, host in enumerate(hosts):
            host.faults = [sometimes(fault, 0.03, 100 * seed + at) for at, fault in enumerate(wrong)]
        payments = []
        for _ in range(5):
            payments.append(await pay_in_parts(scene))
            scene.anvil.mine(3)
            await watch_patiently(scene)
        for host in hosts:
            host.faults = []
        scene.anvil.mine(CONFIRMATIONS)
        await watch_patiently(scene)
        assert (await scene.cursor()).hash.hex() == scene.anvil.block()["hash"][2:]
        for payment in payments:
            await expect_recorded(scene, payment)
            assert await scene.status(payment) is Status.PAID
