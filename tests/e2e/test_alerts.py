"""From a fault of the chain to the operator, and back: the real watcher, its record, and a receiver of alerts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openpay.bootstrap.installation import installed
from openpay.bootstrap.role import Role
from openpay.bootstrap.roles import run
from openpay.chain.pool import connect
from openpay.chain.spec import save_chain
from openpay.config import Settings, given_settings
from openpay.devnet.deployment import deploy
from openpay.domain.address import to_checksum
from openpay.domain.alerts import Alert, AlertKind
from openpay.store import Store
from tests.faults.proxy import proxies
from tests.support.anvil import Anvil
from tests.support.databases import POSTGRESQL_BY_NIGHT
from tests.support.pager import Pager

CHAIN_ID = 31337
PATIENCE_S = 60


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes look for alerts many times a second, and believe within one that a thing is over."""
    monkeypatch.setattr("openpay.domain.alert_board.SETTLED_S", 1)
    monkeypatch.setattr("openpay.app.alerts.POLL_S", 0.1)


async def settings(anvil: Anvil, database_url: str, directory: Path, pager: Pager, *urls: str) -> Settings:
    path = directory / "local.json"
    if not path.exists():
        async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as pool:
            save_chain((await deploy(pool, chain_id=CHAIN_ID)).chain, path)
    return given_settings(
        database_url=database_url,
        live_chain=str(path),
        live_rpc_urls=urls or (anvil.rpc_url,),
        operator_address=to_checksum(b"\x0e" * 20),
        alert_webhook_url=pager.url,
        secret="a passphrase of some length",
    )


@asynccontextmanager
async def watching(settings: Settings, role: Role = Role.WATCHER) -> AsyncIterator[asyncio.Task[None]]:
    """`openpay watcher`, or another role, in this process."""
    stop = asyncio.Event()
    async with installed(settings) as installation:
        running = asyncio.create_task(run(installation, [role], stop))
        try:
            yield running
        finally:
            stop.set()
            await asyncio.wait([running])
            running.exception()


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            await asyncio.sleep(0.02)


async def read_to(database_url: str, number: int) -> None:
    store = Store.open(database_url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with store.read() as uow:
                    cursor = await uow.chain.cursor(CHAIN_ID)
                if cursor is not None and cursor.number >= number:
                    return
                await asyncio.sleep(0.02)
    finally:
        await store.close()


async def open_alerts(database_url: str) -> list[Alert]:
    store = Store.open(database_url)
    try:
        async with store.read() as uow:
            return await uow.alerts.open()
    finally:
        await store.close()


@POSTGRESQL_BY_NIGHT
async def test_reorg_below_finality_reaches_the_operator_before_the_process_ends(
    anvil: Anvil, database_url: str, tmp_path: Path, pager: Pager
) -> None:
    known = await settings(anvil, database_url, tmp_path, pager)
    anvil.mine(30)
    async with watching(known) as running:
        await read_to(database_url, anvil.block_number())
        anvil.mine(5)
        await read_to(database_url, anvil.block_number())
        anvil.reorg(25)
        anvil.mine(3)
        await until(running.done)
        assert isinstance(running.exception(), ExceptionGroup)
    assert {alert.kind for alert in await open_alerts(database_url)} == {
        AlertKind.REORG_BELOW_FINALITY,
        AlertKind.WATCHER_STOPPED,
    }
    assert set(pager.told) == {("alert.raised", "reorg_below_finality"), ("alert.raised", "watcher_stopped")}
    # Started again without a remedy it stops again, and says nothing new.
    async with watching(known) as running:
        await until(running.done)
    assert len(pager.told) == 2


async def test_node_that_lies_is_named_while_it_is_not_trusted(
    anvil: Anvil, sqlite_url: str, tmp_path: Path, pager: Pager
) -> None:
    def omit(method: str, params: list[object], result: object) -> object:
        return result[:-1] if method == "eth_getBlockReceipts" and isinstance(result, list) else result

    async with proxies(anvil, anvil) as (honest, liar):
        liar.lie = omit
        known = await settings(anvil, sqlite_url, tmp_path, pager, liar.url, honest.url)
        async with watching(known):
            anvil.rpc("evm_setAutomine", True)
            await until(lambda: _with_a_transaction(anvil) and ("alert.raised", "endpoint_lied") in pager.told)
    (alert,) = [alert for alert in await open_alerts(sqlite_url) if alert.kind is AlertKind.ENDPOINT_LIED]
    assert alert.subject == liar.url.removeprefix("http://").rstrip("/")


def _with_a_transaction(anvil: Anvil) -> bool:
    account = anvil.rpc("eth_accounts")[0]
    anvil.rpc("eth_sendTransaction", {"from": account, "to": account, "value": "0x1"})
    return True


@POSTGRESQL_BY_NIGHT
@pytest.mark.usefixtures("hurried")
async def test_view_that_nobody_keeps_current_is_told_by_another_process(
    anvil: Anvil, database_url: str, tmp_path: Path, pager: Pager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher is gone without a word, as a killed process is; one that delivers webhooks says so."""
    known = await settings(anvil, database_url, tmp_path, pager)
    async with watching(known):
        await read_to(database_url, anvil.block_number())
    pager.received.clear()
    # Only now: on a slow machine the watcher itself would tell of it.
    monkeypatch.setattr("openpay.app.alerts.LAGS_AFTER_S", 4)
    monkeypatch.setattr("openpay.app.alerts.LAGS_BLOCKS", 0)
    monkeypatch.setattr("openpay.app.alerts.LAGS_SEEN_S", 1)
    async with watching(known, Role.WEBHOOKS):
        async with asyncio.timeout(PATIENCE_S):
            while AlertKind.VIEW_LAGS not in [alert.kind for alert in await open_alerts(database_url)]:
                await asyncio.sleep(0.05)
        await until(lambda: pager.told[-1:] == [("alert.raised", "view_lags")])
        async with watching(known):
            mining = asyncio.create_task(_mine_at_wall_time(anvil))
            await until(lambda: pager.told[-1:] == [("alert.cleared", "view_lags")])
            mining.cancel()


async def _mine_at_wall_time(anvil: Anvil) -> None:
    while True:
        anvil.rpc("evm_setNextBlockTimestamp", max(int(time.time()), anvil.timestamp() + 1))
        anvil.mine()
        await asyncio.sleep(0.1)


@pytest.mark.usefixtures("hurried")
async def test_chain_that_no_node_reads_is_told_and_so_is_its_return(
    anvil: Anvil, sqlite_url: str, tmp_path: Path, pager: Pager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openpay.chain.pool.UNREADABLE_AFTER_S", 0.5)
    async with proxies(anvil) as (node,):
        known = await settings(anvil, sqlite_url, tmp_path, pager, node.url)
        async with watching(known):
            await read_to(sqlite_url, 1)
            node.is_away = True
            await until(lambda: ("alert.raised", "chain_unreadable") in pager.told)
            node.is_away = False
            await until(lambda: ("alert.cleared", "chain_unreadable") in pager.told)
    assert await open_alerts(sqlite_url) == []
