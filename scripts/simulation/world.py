"""The world of the simulation: a chain, a shop, and the services, which are killed again and again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from openpay.app.clock import SystemClock
from openpay.app.merchants import Caller, authenticate, create_merchant, issue_key
from openpay.app.sealing import Sealer
from openpay.app.webhooks import ensure_signing_key, public_key
from openpay.chain.escrow_abi import WORD, address_word, selector
from openpay.chain.pool import connect
from openpay.chain.spec import save_chain
from openpay.client import AsyncOpenPay, ConnectionFailed, Payment, ServerFailed
from openpay.devnet.accounts import OWNER
from openpay.devnet.deployment import FEED_NAME, Deployment, deploy
from openpay.devnet.node import CHAIN_ID
from openpay.devnet.receiver import WebhookReceiver, receive_webhooks
from openpay.domain.chains import Chain
from openpay.store import Store, migrate
from scripts.simulation.behaviours import By
from scripts.simulation.customer import EXCHANGE_NONCE, FORWARDER, FORWARDER_CODE, Customer, Sent
from scripts.simulation.node import Node, NodeError
from tests.support.anvil import Anvil
from tests.support.process import free_port

T = TypeVar("T")

SECRET = "a passphrase of some length"  # noqa: S105 - of nothing
READ_AHEAD = 12
"""Blocks made beyond the last one that the watcher has read."""
DEEPEST_REORG = 8
"""Well above the node's finalized block, 10 below its head."""
PATIENCE_S = 180.0
"""Without any progress for this long, something hangs."""
BNB_PRICE = 600 * 10**8
FUNDS = 10_000 * 10**18
"""What each customer has of each coin."""
PRICE_RANGE = (300 * 10**8, 900 * 10**8)


class Stuck(Exception):
    """What must happen did not."""


@dataclass(kw_only=True)
class Services:
    """The child process, and how to end it without warning."""

    environment: dict[str, str]
    log: Path
    url: str
    kills: int = 0
    spared: bool = False
    """Not killed any more. What was being delivered when they died is sent again once its claim has lapsed, and until
    then little else is: a long queue would last for ever."""
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "scripts.simulation.services",
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
            )

    async def kill(self) -> None:
        """SIGKILL, and start again."""
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
        self.kills += 1
        await self.start()

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 30)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@dataclass(kw_only=True)
class World:
    """All that a run works with. `sent` by transaction hash."""

    node: Node
    chain: Chain
    deployment: Deployment
    services: Services
    api: AsyncOpenPay
    api_key: str
    session: aiohttp.ClientSession
    receivers: list[WebhookReceiver]
    chance: random.Random
    price: int = BNB_PRICE
    reorgs: int = 0
    sent: dict[str, Sent] = field(default_factory=dict)

    # --- the services ------------------------------------------------------------------------------------------------

    async def lag(self) -> int | None:
        """Blocks that the watcher has not read; None while the services do not answer."""
        try:
            async with self.session.get(self.services.url + "/readyz", timeout=_SHORT) as response:
                (chain,) = (await response.json())["chains"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        return None if chain["block"] is None else await self.node.head() - int(chain["block"])

    async def persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the services answer: they are killed at any moment. Only for what may be asked twice."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await ask()
            except (ConnectionFailed, ServerFailed, aiohttp.ClientError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise Stuck(f"the services do not answer: {error}") from error
                await asyncio.sleep(0.1)

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """An API call that the client library does not have. Raises `Stuck` for an answer that is not 2xx."""

        async def ask() -> Any:
            given = {"Authorization": f"Bearer {self.api_key}", **headers}
            async with self.session.request(
                method, self.services.url + path, json=body, headers=given, timeout=_LONG
            ) as answer:
                if answer.status >= 300:
                    raise Stuck(f"{method} {path}: {answer.status} {await answer.text()}")
                return await answer.json(content_type=None) if answer.status == 200 else None

        return await self.persist(ask)

    async def payments(self) -> dict[str, Payment]:
        """Every payment as the API lists it, by id."""

        async def ask() -> dict[str, Payment]:
            return {each["id"]: each async for each in self.api.payments.list()}

        return await self.persist(ask)

    async def claim(self, payment_id: str, form: dict[str, str]) -> None:
        """Send the page's form that names an address for a refund. Again after it took effect, it is refused."""

        async def ask() -> int:
            url = f"{self.services.url}/checkout/{payment_id}/claim"
            own = {"Sec-Fetch-Site": "same-origin"}
            async with self.session.post(url, data=form, headers=own, allow_redirects=False, timeout=_LONG) as answer:
                return answer.status

        status = await self.persist(ask)
        if status not in (303, 409):
            raise Stuck(f"the page refused a claim for {payment_id} with {status}")

    # --- the chain ---------------------------------------------------------------------------------------------------

    async def send(self, transactions: Sequence[Sent]) -> None:
        """Into the node's pool; in a block soon."""
        self.sent |= {each.hash: each for each in transactions}
        await self.node.batch([("eth_sendRawTransaction", each.raw) for each in transactions])

    async def keep_mining(self) -> None:
        """Make blocks as fast as the watcher keeps up."""
        while True:
            lag = await self.lag()
            if lag is not None and lag < READ_AHEAD:
                async with self.node.lock:
                    await self.node.mine(min(3, READ_AHEAD - lag))
            await asyncio.sleep(0.02)

    async def keep_killing(self, every_s: tuple[float, float], *, at_most: int | None) -> None:
        """SIGKILL after random times, where the services answer: or they would never get anywhere."""
        while True:
            await asyncio.sleep(self.chance.uniform(*every_s))
            wanted = not self.services.spared and (at_most is None or self.services.kills < at_most)
            if wanted and await self.lag() is not None:
                await self.services.kill()

    async def keep_reorganising(self, every_s: tuple[float, float]) -> None:
        """Small branches that lose nothing of the customers', and everything of the settler's."""
        while True:
            await asyncio.sleep(self.chance.uniform(*every_s))
            async with self.node.lock:
                # Not across a jump in time: the new branch would be made after it.
                deepest = min(DEEPEST_REORG, await self.node.head() - self.node.jumped_at - 1)
                if deepest > 0:
                    await self.reorganise(self.chance.randint(1, deepest), frozenset())

    async def move_price(self) -> None:
        """A new round of the feed, a few percent from the last."""
        moved = self.price * self.chance.randrange(930, 1_075) // 1_000
        self.price = min(max(moved, PRICE_RANGE[0]), PRICE_RANGE[1])
        data = (
            selector("addRound", "TestFeed")
            + self.price.to_bytes(WORD, "big")
            + (await self.node.time()).to_bytes(WORD, "big")
        )
        await self.impersonate(OWNER.address, self.deployment.feeds[FEED_NAME], data)

    async def impersonate(self, sender: bytes, to: bytes, data: bytes) -> None:
        who = "0x" + sender.hex()
        nonce = await self.node.call("eth_getTransactionCount", who, "latest")
        await self.node.call(
            "eth_sendTransaction",
            {"from": who, "to": "0x" + to.hex(), "data": "0x" + data.hex(), "gas": hex(200_000), "nonce": nonce},
        )

    async def reorganise(self, depth: int, vanishing: frozenset[str]) -> None:
        """Replace the newest `depth` blocks, which the watcher has mostly read. Customers' transactions return, some a
        block later, but for `vanishing`; the operator's and the price's do not. The caller holds the node's lock."""
        for _ in range(self.chance.choice((0, 100, 100, 100))):
            if await self.lag() == 0:
                break
            await asyncio.sleep(0.02)
        head = await self.node.head()
        blocks = await self.node.transactions(head - depth + 1, head)
        shift = self.chance.randrange(2)
        returning = [
            (self.sent[each].raw, min(place + shift, depth - 1))
            for place, hashes in enumerate(blocks)
            for each in hashes
            if each in self.sent and each not in vanishing
        ]
        await self.node.call("anvil_reorg", depth, returning)
        self.reorgs += 1

    async def balances(self, contract: bytes | None, accounts: Sequence[bytes]) -> list[int]:
        """Base units that accounts hold at the newest block."""
        if contract is None:
            answers = await self.node.batch([("eth_getBalance", "0x" + each.hex(), "latest") for each in accounts])
        else:
            balance_of = selector("balanceOf", "TestToken")
            calls = [
                {"to": "0x" + contract.hex(), "data": "0x" + (balance_of + address_word(each)).hex()}
                for each in accounts
            ]
            answers = await self.node.batch([("eth_call", call, "latest") for call in calls])
        return [int(each, 16) for each in answers]


_SHORT = aiohttp.ClientTimeout(total=5)
_LONG = aiohttp.ClientTimeout(total=60)


@asynccontextmanager
async def open_world(
    directory: Path, database_url: str, customers: Sequence[Customer], seed: int
) -> AsyncIterator[World]:
    """Deploy, fund the customers, open the shop, and start the services; end them all at the end."""
    async with AsyncExitStack() as stack:
        anvil = await asyncio.to_thread(Anvil.start, "--no-mining")
        stack.push_async_callback(asyncio.to_thread, anvil.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        node = Node(anvil.rpc_url, session)
        async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as pool:
            deployment = await deploy(pool, chain_id=CHAIN_ID, block_interval_s=0.2)
        await _fund(node, deployment, customers)
        chain = replace(deployment.chain, start_block=await node.head())
        await node.mine(20)
        save_chain(chain, directory / "chain.json")
        key, webhook_key = await _open_shop(database_url, deployment)
        receivers = []
        urls = []
        for _ in range(2):
            url, receiver = await stack.enter_async_context(receive_webhooks(webhook_key))
            urls.append(url)
            receivers.append(receiver)
        port = free_port()
        services = Services(
            environment=_environment(directory, database_url, anvil.rpc_url, port, deployment),
            log=directory / "services.log",
            url=f"http://127.0.0.1:{port}",
        )
        stack.push_async_callback(services.stop)
        await services.start()
        api = await stack.enter_async_context(AsyncOpenPay(key, services.url, retries=0))
        world = World(
            node=node,
            chain=chain,
            deployment=deployment,
            services=services,
            api=api,
            api_key=key,
            session=session,
            receivers=receivers,
            chance=random.Random(f"world {seed}"),
        )
        for url in urls:
            await world.persist(lambda url=url: api.webhooks.configure(url))  # type: ignore[misc]
        yield world


def _environment(directory: Path, database_url: str, rpc_url: str, port: int, deployment: Deployment) -> dict[str, str]:
    return {
        "OPENPAY_DATABASE_URL": database_url,
        "OPENPAY_PORT": str(port),
        "OPENPAY_SECRET": SECRET,
        "OPENPAY_OPERATOR_KEY": "0x" + deployment.operator.private_key.hex(),
        "OPENPAY_LIVE_CHAIN": str(directory / "chain.json"),
        "OPENPAY_LIVE_RPC_URLS": rpc_url,
        "OPENPAY_ALLOW_INSECURE_WEBHOOKS": "true",
        "OPENPAY_MAX_GAS_PRICE_GWEI": "1000",
        "OPENPAY_MAX_GAS_PER_TRANSACTION_BNB": "10",
        "OPENPAY_MAX_GAS_PER_DAY_BNB": "1000",
    }


async def _fund(node: Node, deployment: Deployment, customers: Sequence[Customer]) -> None:
    """BNB and tokens for everybody, final before anything else happens."""
    owner = "0x" + OWNER.address.hex()
    await node.call("anvil_impersonateAccount", owner)
    await node.call("anvil_setCode", "0x" + FORWARDER.hex(), "0x" + FORWARDER_CODE.hex())
    first = int(await node.call("eth_getTransactionCount", owner, "latest"), 16)
    calls: list[tuple[Any, ...]] = []
    mints: list[tuple[Any, ...]] = []
    for customer in customers:
        address = "0x" + customer.address.hex()
        calls.append(("anvil_setBalance", address, hex(FUNDS)))
        if any(send.by is By.EXCHANGE for send in customer.plan.sends):
            calls.append(("anvil_setNonce", address, hex(EXCHANGE_NONCE)))
        for symbol in sorted({send.token for send in customer.plan.sends} & set(deployment.tokens)):
            data = selector("mint", "TestToken") + address_word(customer.address) + FUNDS.to_bytes(WORD, "big")
            to = "0x" + deployment.tokens[symbol].hex()
            nonce = hex(first + len(mints))
            call = {"from": owner, "to": to, "data": "0x" + data.hex(), "gas": hex(100_000), "nonce": nonce}
            mints.append(("eth_sendTransaction", call))
    await node.batch(calls)
    await node.batch(mints)
    last = hex(first + len(mints))
    for _ in range(100 + len(mints)):
        if await node.call("eth_getTransactionCount", owner, "latest") == last:
            return
        await node.mine()
    raise NodeError("the customers' tokens were not minted")


async def _open_shop(database_url: str, deployment: Deployment) -> tuple[str, str]:
    """A merchant's API key and the key that verifies its webhooks."""
    await asyncio.to_thread(migrate.upgrade, database_url)
    store = Store.open(database_url)
    sealer = Sealer(SECRET)
    now = SystemClock().now()
    try:
        async with store.write() as uow:
            merchant = await create_merchant(uow, name="Shop", address=deployment.merchant.address, now=now)
            _, secret = await issue_key(uow, merchant.id, livemode=True, now=now)
            await ensure_signing_key(uow, merchant.id, True, sealer=sealer, now=now)
            caller: Caller = await authenticate(uow, secret)
            return secret, str((await public_key(uow, caller, now=now))["public_key"])
    finally:
        await store.close()


async def reconcile(world: World) -> tuple[int, str]:
    """Exit status and output of `openpay reconcile`."""
    program = Path(sys.executable).with_name("openpay")
    process = await asyncio.create_subprocess_exec(
        program,
        "reconcile",
        env={**os.environ, **world.services.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
