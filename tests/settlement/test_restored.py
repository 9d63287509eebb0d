"""A database restored from a backup: the chain has moved on, and the operator's nonces with it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from openpay.domain.payment import SettlementStatus
from openpay.domain.refunds import RefundStatus
from openpay.settlement.fees import FeePolicy
from openpay.settlement.settler import LARGEST_NONCE_STEP, MOST_BLOCKS_BEHIND
from openpay.store import Store
from tests.settlement.refund_desk import HOUR_S, RefundDesk
from tests.settlement.till import Till
from tests.watcher.scene import UNIT


def back_up(sqlite_url: str, path: Path) -> None:
    source = sqlite_url.partition("///")[2]
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(path)) as copy:
        database.backup(copy)


@asynccontextmanager
async def restored(till: Till, path: Path) -> AsyncIterator[None]:
    """All processes start again on the backup."""
    store = Store.open(f"sqlite+aiosqlite:///{path}")
    till.scene.store = store
    till.scene.restart()
    yield
    await store.close()


async def test_refund_that_the_database_forgot_is_not_paid_again_from_another_deposit(
    till: Till, sqlite_url: str, tmp_path: Path
) -> None:
    desk = RefundDesk(till)
    payment = await desk.scene.create("USDT")
    desk.scene.pay(payment, "USDT", 5 * UNIT)
    desk.scene.pay(payment, "USDT", 5 * UNIT)
    await desk.pass_time(2 * HOUR_S)
    back_up(sqlite_url, tmp_path / "backup.db")
    price = int(desk.scene.anvil.rpc("eth_gasPrice"), 16)
    await till.settler(fees=FeePolicy(max_per_day=2 * 300_000 * price)).step()  # enough for one of the two
    assert till.operator_nonce() == 1
    assert desk.held(payment) == 5 * UNIT
    desk.scene.anvil.mine(MOST_BLOCKS_BEHIND + 1)

    async with restored(till, tmp_path / "backup.db"):
        with capture_logs() as logs:
            await till.settler().step()
        assert till.operator_nonce() == 1
        assert desk.held(payment) == 5 * UNIT
        assert [log["log_level"] for log in logs if log["event"].startswith("watcher is behind")] == ["error"]

        await desk.scene.watch()
        await desk.settle_up()
        refunds = await desk.refunds(payment)
        assert [refund.status for refund in refunds] == [RefundStatus.SUCCEEDED] * 2
        assert len({refund.tx_hash for refund in refunds}) == 2
        assert desk.held(payment) == 0


@pytest.mark.parametrize("used", [1, LARGEST_NONCE_STEP + 10])
async def test_nonces_that_the_database_forgot_are_not_used_again(
    till: Till, sqlite_url: str, tmp_path: Path, used: int
) -> None:
    first = await till.paid()
    await till.settler().step()
    await till.until_final()
    await till.settler().step()
    back_up(sqlite_url, tmp_path / "backup.db")
    for _ in range(used):
        till.operator_elsewhere()

    async with restored(till, tmp_path / "backup.db"):
        second = await till.paid()
        await till.settler().step()
        (sent,) = await till.transactions(second.id)
        assert sent.nonce == 1 + used
        await till.until_final()
        await till.settler().step()
        for payment in (first, second):
            assert (await till.settlement(payment)).status is SettlementStatus.SETTLED
        assert till.treasury("USDT") == 50 * UNIT


async def test_settlement_under_way_in_the_backup_ends_by_what_the_chain_says(
    till: Till, sqlite_url: str, tmp_path: Path
) -> None:
    payment = await till.paid()
    await till.settler().step()
    back_up(sqlite_url, tmp_path / "backup.db")
    await till.until_final()
    await till.settler().step()

    async with restored(till, tmp_path / "backup.db"):
        await till.settler().step()
        assert (await till.settlement(payment)).status is SettlementStatus.SUBMITTED
        await till.scene.watch()
        await till.settler().step()
        assert (await till.settlement(payment)).status is SettlementStatus.SETTLED
        assert till.operator_nonce() == 1
