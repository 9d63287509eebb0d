"""How long a payment waits for this program alone: for its block to be committed, for the shop to hear of it, for a
watcher that was killed.

The network is left out as follows. The node is a stand-in in this process that answers from ready-made bytes, a block
after 5 ms and anything else after 1 ms; the clock starts when the block's last byte is there. It stops when the
transaction that makes the payment `confirming` is committed, or when the shop's server, over loopback, has read the
body of `payment.completed`. In between lies all that the watcher does with a block that is here: decoding, proofs,
matching, judging, the commit. Left out is what it does while the block is on its way, as far as that is done by then:
asking who is watched, what was reported, what is final, and what the escrow says. `head asked for → …` has that too, in
processor time.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from openpay.app.clock import SystemClock
from openpay.app.merchants import Caller, create_merchant
from openpay.app.order import CreatePayment
from openpay.app.payments import PaymentService
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.app.webhooks import configure
from openpay.chain.blocks import read_bytes
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import Pool
from openpay.chain.quotes import QuoteCache
from openpay.chain.rpc import Endpoint
from openpay.chain.transport import TransportKind
from openpay.domain.chains import Chain, Token
from openpay.domain.payment import Payment
from openpay.store import Store
from openpay.store.migrate import upgrade
from openpay.webhooks import Dispatcher
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.samples import CHAIN_ID, FIRST_BLOCK_TIME, TOKEN, GrowingChain, ServedBlock
from tests.support.postgres import PostgresCluster
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.watch_set import WatchSet

CONFIRMATIONS = 12
PAYING = CONFIRMATIONS - 1
"""Blocks of a round that bring a payment each; as many more follow, each the 12th confirmation of one of them."""
IDLE = 4
"""Blocks of a round with nothing in them, after those."""
ROUNDS = 12
"""One to warm up, the others measured: 121 payments."""
ANSWER_S, BLOCK_S = 0.001, 0.005
"""How long the node takes for a small answer, and for a block: none writes a megabyte of JSON in less, however near."""
PATIENCE_S = 30
OPERATOR = b"\x11" * 20
COMMIT_MEDIAN_MS, COMMIT_99_MS, WEBHOOK_99_MS, RECOVERY_S = 5, 15, 100, 2

CHAIN = Chain(
    chain_id=CHAIN_ID,
    name="benchmark",
    escrow=b"\xee" * 20,
    tokens=(Token(symbol="USDT", asset_index=0, contract=read_bytes(TOKEN), decimals=18),),
    confirmations=CONFIRMATIONS,
    start_block=1,
)


def run(*, rounds: int = ROUNDS) -> list[Figure]:
    """On SQLite with `synchronous=FULL`, then on PostgreSQL that waits for its disk as it does in earnest."""
    with tempfile.TemporaryDirectory(prefix="openpay-bench-") as directory:
        figures = _measured("SQLite", f"sqlite:///{Path(directory) / 'latency.db'}", rounds)
    cluster = PostgresCluster.start(fsync="on", synchronous_commit="on", full_page_writes="on", autovacuum="on")
    try:
        return [*figures, *_measured("PostgreSQL", cluster.url(cluster.create_database()), rounds)]
    finally:
        cluster.stop()


def _measured(database: str, url: str, rounds: int) -> list[Figure]:
    waits = asyncio.run(_measure(url, rounds))
    rows = {
        "block available → confirming committed": ([wait.s for wait in waits.commit], COMMIT_MEDIAN_MS, COMMIT_99_MS),
        "block available → confirming committed, processor time": ([wait.busy_s for wait in waits.commit], None, None),
        "block available → committed, nothing in it": ([wait.s for wait in waits.idle], None, None),
        "block available → committed, nothing in it, processor time": (
            [wait.busy_s for wait in waits.idle],
            None,
            None,
        ),
        "head asked for → confirming committed, processor time": ([wait.step_s for wait in waits.commit], None, None),
        "12th confirmation → paid committed": ([wait.s for wait in waits.paid], None, None),
        "12th confirmation → webhook received": (waits.webhook_s, None, WEBHOOK_99_MS),
    }
    return [
        Figure(name=f"{database}: {name}, {what}", value=_quantile(seconds, percent) * 1000, unit="ms", limit=limit)
        for name, (seconds, median_ms, most_ms) in rows.items()
        for what, percent, limit in (("median", 50, median_ms), ("99 %", 99, most_ms))
    ]


def _quantile(seconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Seconds by the clock, and of this process's processor time, which other processes do not lengthen."""

    s: float
    busy_s: float
    step_s: float
    """Processor time of the whole step, with all that was done while the node had not answered yet."""


@dataclass(kw_only=True)
class Waits:
    """One for each payment or each block."""

    commit: list[Wait] = field(default_factory=list)
    idle: list[Wait] = field(default_factory=list)
    paid: list[Wait] = field(default_factory=list)
    webhook_s: list[float] = field(default_factory=list)


async def _measure(url: str, rounds: int) -> Waits:
    await asyncio.to_thread(upgrade, url)
    waits = Waits()
    async with _shop(url, payments=rounds * PAYING) as shop:
        for round_ in range(rounds):
            payments = shop.payments[round_ * PAYING :][:PAYING]
            for payment in payments:
                waits.commit.append(await shop.read_block(payment.address))
            for _ in payments:
                waits.paid.append(await shop.read_block())
                waits.webhook_s.append(await asyncio.wait_for(shop.heard.get(), PATIENCE_S) - shop.node.available_at)
            waits.idle += [await shop.read_block() for _ in range(IDLE)]
            if round_ == 0:
                gc.collect()
                gc.freeze()  # as a process does once it has settled (openpay.bootstrap.garbage)
                waits = Waits() if rounds > 1 else waits  # connections were opened, caches filled
    gc.unfreeze()
    return waits


class Node:
    """A node in this process: its answers are bytes made beforehand, and given at once."""

    kind = TransportKind.HTTP
    connections = 1

    def __init__(self, *, answer_after_s: float = 0.0, block_after_s: float = 0.0) -> None:
        self._answer_after_s = answer_after_s
        self._block_after_s = block_after_s
        self.available_at = 0.0
        """When the newest block's body was handed over."""
        self.busy_s = 0.0
        """This process's processor time by then."""
        self._by_hash: dict[object, ServedBlock] = {}
        self._by_number: dict[object, ServedBlock] = {}

    def grow(self, block: ServedBlock) -> None:
        self._by_hash[block.hash] = self._by_number[hex(block.number)] = self._by_number["latest"] = block
        self._by_number["finalized"] = self._by_number[hex(max(1, block.number - 2))]

    async def exchange(self, body: bytes, _number: int, _place: object) -> bytes:
        asked = msgspec.json.decode(body)
        batch = asked if isinstance(asked, list) else [asked]
        is_block = any(each["method"] == "eth_getBlockReceipts" for each in batch)
        await asyncio.sleep(self._block_after_s if is_block else self._answer_after_s)
        answers = [b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (each["id"], self._result(each)) for each in batch]
        answer = b"[" + b",".join(answers) + b"]" if isinstance(asked, list) else answers[0]
        if is_block:
            self.available_at, self.busy_s = time.perf_counter(), time.process_time()
        return answer

    async def close(self) -> None:
        """Nothing to let go of."""

    def _result(self, asked: Mapping[str, Any]) -> bytes:
        match asked["method"], asked["params"]:
            case "eth_chainId", _:
                return b'"%b"' % hex(CHAIN_ID).encode()
            case "eth_getBlockByHash", [block_hash, full]:
                return self._by_hash[block_hash].block_json if full else self._by_hash[block_hash].header_json
            case "eth_getBlockByNumber", [number, _]:
                return self._by_number[number].header_json
            case "eth_getBlockReceipts", [block_hash]:
                return self._by_hash[block_hash].receipts_json
            case "eth_call", _:  # the escrow: it would settle
                return b'"0x' + b"1".rjust(64, b"0") + b'"'
        raise LookupError(asked["method"])


class Stopwatch(Signals):
    """Notes when it was first told of a commit: others may be woken before the step that committed returns."""

    def __init__(self) -> None:
        super().__init__()
        self.told: tuple[float, float] | None = None
        """By the clock, and by this process's processor time."""

    def reset(self) -> None:
        self.told = None

    def notify(self, *topics: str) -> None:
        self.told = self.told or (time.perf_counter(), time.process_time())
        super().notify(*topics)


@dataclass(kw_only=True)
class _Shop:
    """An installation whose blocks are read one by one."""

    node: Node
    stopwatch: Stopwatch
    follower: Follower
    payments: list[Payment]
    heard: asyncio.Queue[float]
    """When each `payment.completed` was read by the shop's server."""
    chain: GrowingChain

    async def read_block(self, *paid: bytes) -> Wait:
        """Have a block made that pays these addresses, and read it; from its bytes to its commit."""
        self.node.grow(self.chain.next_block(*paid))
        gc.collect(1)  # what making the block left behind
        self.stopwatch.reset()
        began_s = time.process_time()
        if not await self.follower.step():
            raise RuntimeError("there was a block to read")
        at, busy_s = self.stopwatch.told or (time.perf_counter(), time.process_time())
        return Wait(s=at - self.node.available_at, busy_s=busy_s - self.node.busy_s, step_s=busy_s - began_s)


@asynccontextmanager
async def open_follower(store: Store, node: Node, *, signals: Signals | None = None) -> AsyncIterator[Follower]:
    """A follower of the node's chain that keeps what it reads in `store`."""
    async with aiohttp.ClientSession() as session:
        endpoint = Endpoint("http://node.invalid:80", session)
        endpoint._transport = node
        pool = Pool([endpoint], chain_id=CHAIN_ID)
        yield Follower(
            CHAIN,
            pool,
            store,
            EscrowClient(pool, CHAIN, operator=OPERATOR),
            FactFinder(CHAIN, pool, store, WatchSet(CHAIN_ID, monotonic=time.monotonic)),
            signals=signals or Signals(),
            wall=SystemClock(),
        )


@asynccontextmanager
async def _shop(url: str, *, payments: int) -> AsyncIterator[_Shop]:
    store, node, stopwatch = Store.open(url), Node(answer_after_s=ANSWER_S, block_after_s=BLOCK_S), Stopwatch()
    sealer = Sealer("a benchmark's passphrase")
    heard: asyncio.Queue[float] = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        await request.read()
        heard.put_nowait(time.perf_counter())
        return web.Response()

    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        app = web.Application()
        app.router.add_post("/", hear)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        follower = await stack.enter_async_context(open_follower(store, node, signals=stopwatch))
        stop = asyncio.Event()
        dispatcher = Dispatcher(store, sealer=sealer, signals=stopwatch, allow_insecure=True)
        delivering = asyncio.create_task(dispatcher.run(stop))
        yield _Shop(
            node=node,
            stopwatch=stopwatch,
            follower=follower,
            payments=await _prepare(store, sealer, webhook_url, payments),
            heard=heard,
            chain=GrowingChain(),
        )
        stop.set()
        await delivering


async def _prepare(store: Store, sealer: Sealer, webhook_url: str, count: int) -> list[Payment]:
    """A merchant with an endpoint for `payment.completed`, and payments in USDT that its customers are about to make:
    each asks for less than the samples' transfers are worth."""
    clock = StoppedClock()
    service = PaymentService(
        chains={True: CHAIN},
        operators={CHAIN_ID: OPERATOR},
        quotes=QuoteCache([], clock=clock),
        clock=clock,
        wall=clock,
    )
    async with store.write() as uow:
        merchant = await create_merchant(uow, name="Shop", address=b"\x33" * 20, now=clock.now())
        caller = Caller(merchant=merchant, livemode=True, key_id="key")
        await configure(
            uow, caller, webhook_url, ["payment.completed"], sealer=sealer, now=int(time.time()), allow_insecure=True
        )
        command = CreatePayment(amount="25.00", metadata={"order_id": "1042"})
        return [await service.create(uow, caller, command) for _ in range(count)]


class StoppedClock:
    """The time of the chain's first block, when all payments are made."""

    def now(self) -> int:
        return FIRST_BLOCK_TIME
