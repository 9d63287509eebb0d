"""Live and test mode on chains of their own, watched by one process: what happens on one is nothing to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from openpay.app.merchants import Caller, create_merchant
from openpay.app.order import CreatePayment
from openpay.app.records import Merchant
from openpay.bootstrap import roles
from openpay.bootstrap.installation import Installation, installed
from openpay.bootstrap.role import Role
from openpay.chain.pool import connect
from openpay.chain.spec import save_chain
from openpay.config import given_settings
from openpay.devnet.accounts import CUSTOMER, MERCHANT, OPERATOR
from openpay.devnet.deployment import Deployment, deploy
from openpay.domain.alerts import AlertKind
from openpay.domain.payment import Payment, Status
from tests.faults.proxy import Proxy, proxies
from tests.support.anvil import Anvil
from tests.watcher.scene import due, transfer_data

PATIENCE_S = 60
LIVE_ID, TEST_ID = 31337, 31338
CONFIRMATIONS = {True: 5, False: 3}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One mode: its chain, a node in front of it, and what was deployed there."""

    livemode: bool
    anvil: Anvil
    node: Proxy
    deployment: Deployment
    chain_file: Path

    @property
    def chain_id(self) -> int:
        return self.deployment.chain.chain_id

    def pay(self, payment: Payment) -> None:
        """The full amount in USDT, to the payment's address, on this chain."""
        signed = CUSTOMER.signer.sign(
            chain_id=self.chain_id,
            nonce=int(self.anvil.rpc("eth_getTransactionCount", "0x" + CUSTOMER.address.hex(), "latest"), 16),
            to=self.deployment.tokens["USDT"],
            gas=100_000,
            gas_price=2 * 10**10,
            data=transfer_data(payment.address, due(payment, "USDT")[0]),
            value=0,
        )
        self.anvil.receipt(self.anvil.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex()))


@dataclass(frozen=True, kw_only=True)
class Town:
    """An installation with both modes, its merchant, and both sides."""

    installation: Installation
    merchant: Merchant
    live: Side
    test: Side

    async def create(self, side: Side) -> Payment:
        caller = Caller(merchant=self.merchant, livemode=side.livemode, key_id="key")
        command = CreatePayment(amount="25.00", accepted_tokens=("USDT",))
        async with self.installation.store.write() as uow:
            return await self.installation.payments.create(uow, caller, command)

    async def now(self, payment: Payment) -> Payment:
        async with self.installation.store.read() as uow:
            stored = await uow.payments.get(payment.id)
        assert stored is not None
        return stored

    async def until(self, payment: Payment, status: Status) -> Payment:
        async with asyncio.timeout(PATIENCE_S):
            while (seen := await self.now(payment)).status is not status:
                await asyncio.sleep(0.05)
        return seen

    async def read_up_to(self, side: Side, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with self.installation.store.read() as uow:
                    cursor = await uow.chain.cursor(side.chain_id)
                if cursor is not None and cursor.number >= number:
                    return
                await asyncio.sleep(0.05)

    async def alerts(self) -> set[tuple[AlertKind, int]]:
        async with self.installation.store.read() as uow:
            return {(alert.kind, alert.chain_id) for alert in await uow.alerts.open()}


@asynccontextmanager
async def watching(town: Town, *others: Role) -> AsyncIterator[asyncio.Task[None]]:
    """One process that watches both chains, and has other roles too."""
    stop = asyncio.Event()
    running = asyncio.create_task(roles.run(town.installation, [Role.WATCHER, *others], stop))
    try:
        yield running
    finally:
        stop.set()
        await running


@pytest.fixture
async def town(start_anvil: Callable[..., Anvil], sqlite_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    chains = [start_anvil(), start_anvil("--chain-id", str(TEST_ID))]
    async with proxies(*chains) as nodes:
        sides = []
        for livemode, anvil, node, chain_id in zip((True, False), chains, nodes, (LIVE_ID, TEST_ID), strict=True):
            async with connect([anvil.rpc_url], chain_id=chain_id) as pool:
                deployment = await deploy(pool, chain_id=chain_id)
            file = tmp_path / f"{chain_id}.json"
            save_chain(replace(deployment.chain, confirmations=CONFIRMATIONS[livemode]), file)
            sides.append(Side(livemode=livemode, anvil=anvil, node=node, deployment=deployment, chain_file=file))
        live, test = sides
        settings = given_settings(
            database_url=sqlite_url,
            live_chain=str(live.chain_file),
            live_rpc_urls=(live.node.url,),
            test_chain=str(test.chain_file),
            test_rpc_urls=(test.node.url,),
            operator_key=OPERATOR.private_key.hex(),
        )
        async with installed(settings) as installation:
            async with installation.store.write() as uow:
                merchant = await create_merchant(
                    uow, name="Shop", address=MERCHANT.address, now=installation.clock.now()
                )
            yield Town(installation=installation, merchant=merchant, live=live, test=test)


async def test_payments_of_both_modes_are_paid_on_their_own_chains_with_their_own_settings(town: Town) -> None:
    async with watching(town):
        for side in (town.live, town.test):
            payment = await town.create(side)
            side.pay(payment)
            side.anvil.mine(CONFIRMATIONS[side.livemode] - 2)
            assert (await town.until(payment, Status.CONFIRMING)).livemode is side.livemode
            await town.read_up_to(side, side.anvil.block_number())
            assert (await town.now(payment)).status is Status.CONFIRMING
            side.anvil.mine(30)
            await town.until(payment, Status.PAID)


async def test_payments_of_both_modes_are_settled_on_their_own_chains_by_one_operator(town: Town) -> None:
    async with watching(town, Role.SETTLER):
        payments = [(side, await town.create(side)) for side in (town.live, town.test)]
        for side, payment in payments:
            side.pay(payment)
            side.anvil.mine(30)
        async with asyncio.timeout(PATIENCE_S):
            for side, payment in payments:
                while (settlement := (await town.now(payment)).settlement) is None or settlement.settled_at is None:
                    side.anvil.mine(5)
                    await asyncio.sleep(0.2)
                assert settlement.tx_hash is not None
                assert side.anvil.is_mined("0x" + settlement.tx_hash.hex())


async def test_money_on_the_other_modes_chain_is_nothing(town: Town) -> None:
    async with watching(town):
        payment = await town.create(town.live)
        town.test.pay(payment)
        town.test.anvil.mine(30)
        town.live.anvil.mine(30)
        for side in (town.live, town.test):
            await town.read_up_to(side, side.anvil.block_number())
        assert (await town.now(payment)).status is Status.INITIATED


@pytest.mark.parametrize("away", [True, pytest.param(False, marks=pytest.mark.nightly)])
async def test_node_of_one_chain_away_holds_nothing_up_on_the_other(town: Town, away: bool) -> None:
    gone, there = (town.live, town.test) if away else (town.test, town.live)
    async with watching(town):
        delayed, prompt = await town.create(gone), await town.create(there)
        gone.node.is_away = True
        for side, payment in ((gone, delayed), (there, prompt)):
            side.pay(payment)
            side.anvil.mine(30)
        await town.until(prompt, Status.PAID)
        assert (await town.now(delayed)).status is Status.INITIATED
        gone.node.is_away = False
        await town.until(delayed, Status.PAID)


async def test_reorg_below_finality_on_one_chain_stops_its_watcher_alone(town: Town) -> None:
    async with watching(town) as running:
        town.test.anvil.mine(30)
        await town.read_up_to(town.test, town.test.anvil.block_number())
        town.test.anvil.reorg(25)
        town.test.anvil.mine(1)
        async with asyncio.timeout(PATIENCE_S):
            while (AlertKind.WATCHER_STOPPED, TEST_ID) not in await town.alerts():
                await asyncio.sleep(0.05)
        payment = await town.create(town.live)
        town.live.pay(payment)
        town.live.anvil.mine(30)
        await town.until(payment, Status.PAID)
        assert not running.done()
        assert (AlertKind.WATCHER_STOPPED, LIVE_ID) not in await town.alerts()


async def test_process_ends_when_the_watchers_of_all_chains_have(town: Town) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(roles.run(town.installation, [Role.WATCHER], stop))
    for side in (town.live, town.test):
        side.anvil.mine(30)
        await town.read_up_to(side, side.anvil.block_number())
    for side in (town.live, town.test):
        side.anvil.reorg(25)
        side.anvil.mine(1)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ExceptionGroup, match="TaskGroup"):
            await running
    assert {(AlertKind.WATCHER_STOPPED, LIVE_ID), (AlertKind.WATCHER_STOPPED, TEST_ID)} <= await town.alerts()
