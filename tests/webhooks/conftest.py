"""A merchant with a database, a real receiver on loopback, and dispatchers to run between them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from openpay.app.merchants import Caller, create_merchant
from openpay.app.ports import Database
from openpay.app.records import Delivery, DeliveryAttempt, DeliveryState, WebhookEndpoint
from openpay.app.sealing import Sealer
from openpay.app.signals import Signals
from openpay.app.webhooks import configure, ensure_signing_key
from openpay.domain.events import Draft, Event, EventType, payment_event
from openpay.domain.ids import new_id
from openpay.domain.payment import Completion, Offer, Payment, Status
from openpay.domain.terms import Terms, payment_key
from openpay.store import Store
from openpay.webhooks import Dispatcher

PATIENCE_S = 60
"""Only ever waited for in full by a test that fails."""

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock:
    """The wall clock, as far ahead as a test moves it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s

    def now(self) -> int:
        return int(self())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]


async def answer_ok(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="thank you")


class Receiver:
    """A merchant's server: keeps what arrives, and answers as it is told, by path."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[Received] = asyncio.Queue()
        self.answers: dict[str, Answering] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._receive)
        self._server = TestServer(app)

    async def start(self) -> None:
        await self._server.start_server()

    async def close(self) -> None:
        await self._server.close()

    def url(self, path: str = "/hook") -> str:
        return str(self._server.make_url(path))

    def answer(self, *answers: Answering | int, path: str = "/hook") -> None:
        """Answer with these in turn (a number is a status), the last one for ever."""
        queue = list(answers)

        async def next_answer(request: web.Request) -> web.StreamResponse:
            chosen = queue.pop(0) if len(queue) > 1 else queue[0]
            return web.Response(status=chosen, text="no") if isinstance(chosen, int) else await chosen(request)

        self.answers[path] = next_answer

    async def next(self) -> Received:
        return await asyncio.wait_for(self.received.get(), PATIENCE_S)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        await self.received.put(Received(path=request.path, headers=dict(request.headers), body=body))
        return await self.answers.get(request.path, answer_ok)(request)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    started = Receiver()
    await started.start()
    yield started
    await started.close()


class Shop:
    """A merchant in live mode, and short ways to do what merchants and payments do."""

    def __init__(self, db: Store, sealer: Sealer, clock: Clock, caller: Caller) -> None:
        self.db = db
        self.sealer = sealer
        self.clock = clock
        self.caller = caller
        self.signals = Signals()

    async def configure(self, url: str, events: list[str] | None = None) -> tuple[WebhookEndpoint, str | None]:
        async with self.db.write() as uow:
            return await configure(
                uow, self.caller, url, events, sealer=self.sealer, now=self.clock.now(), allow_insecure=True
            )

    async def public_key(self) -> bytes:
        async with self.db.read() as uow:
            return (await uow.merchants.signing_keys(self.caller.merchant.id, True))[-1].public_key

    async def tell(self, payment: Payment | None = None, type: EventType = EventType.COMPLETED) -> Event:  # noqa: A002
        """Store an event, as the transaction that changed its payment does."""
        event = payment_event(
            payment or paid_payment(self.caller.merchant.id),
            Draft(type=type),
            event_id=new_id("evt"),
            now=self.clock.now(),
        )
        async with self.db.write() as uow:
            assert await uow.events.add(event)
        self.signals.notify("events")
        return event

    async def delivery_of(self, event: Event) -> Delivery:
        async with self.db.read() as uow:
            page = await uow.webhooks.deliveries(event.merchant_id, event.livemode, limit=100, starting_after=None)
        return next(delivery for delivery in page.items if delivery.event_id == event.id)

    async def attempts_of(self, event: Event) -> list[DeliveryAttempt]:
        delivery = await self.delivery_of(event)
        async with self.db.read() as uow:
            return (await uow.webhooks.attempts([delivery.id])).get(delivery.id, [])

    async def attempted(self, event: Event, times: int) -> Delivery:
        """The delivery, once `times` attempts have been recorded."""
        async with asyncio.timeout(PATIENCE_S):
            while (delivery := await self.delivery_of(event)).attempts < times:
                await asyncio.sleep(0.01)
        return delivery

    async def ended(self, event: Event) -> Delivery:
        async with asyncio.timeout(PATIENCE_S):
            while (delivery := await self.delivery_of(event)).state is DeliveryState.PENDING:
                await asyncio.sleep(0.01)
        return delivery

    def dispatcher(self, db: Database | None = None, **options: object) -> Dispatcher:
        """One that polls often, on the shop's clock and without jitter."""
        settings: dict[str, object] = {
            "sealer": self.sealer,
            "signals": self.signals,
            "wall_now": self.clock,
            "allow_insecure": True,
            "poll_s": 0.02,
            "jitter": lambda: 0.0,
            **options,
        }
        return Dispatcher(db or self.db, **settings)  # type: ignore[arg-type]

    @asynccontextmanager
    async def dispatching(self, db: Database | None = None, **options: object) -> AsyncIterator[None]:
        """Run a dispatcher for as long as the block lasts; leaving it waits for all that is being sent."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.dispatcher(db, **options).run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(running, PATIENCE_S)


async def open_shop(store: Store, sealer: Sealer, clock: Clock) -> Shop:
    async with store.write() as uow:
        merchant = await create_merchant(uow, name="A shop", address=secrets.token_bytes(20), now=clock.now())
        await ensure_signing_key(uow, merchant.id, True, sealer=sealer, now=clock.now())
    return Shop(store, sealer, clock, Caller(merchant=merchant, livemode=True, key_id="key_of_a_test"))


@pytest.fixture
async def shop(store: Store, sealer: Sealer, clock: Clock) -> Shop:
    return await open_shop(store, sealer, clock)


def paid_payment(merchant_id: str) -> Payment:
    """25 USD, paid in USDT."""
    payment_id = new_id("pay")
    terms = Terms(
        merchant=bytes(20),
        operator=bytes(20),
        usd=25_000_000,
        slippage_bps=100,
        underpayment_bps=0,
        quoted_at=1_774_530_000,
        expiry=1_774_531_800,
        round=0,
        assets=1,
        payment_key=payment_key(payment_id),
    )
    offer = Offer(
        token="USDT", asset_index=0, contract=bytes(20), decimals=18, full_units=25 * 10**18, min_units=25 * 10**18
    )
    return Payment(
        id=payment_id,
        merchant_id=merchant_id,
        livemode=True,
        chain_id=56,
        amount_usd=25_000_000,
        offers=(offer,),
        terms=terms,
        escrow=bytes(20),
        address=bytes(20),
        created_at=1_774_530_000,
        expires_at=1_774_531_800,
        required_confirmations=12,
        metadata={"order_id": "1042", "customer_email": "buyer@example.com", "note": "größer ✓"},
        status=Status.PAID,
        deadline=1_774_531_800,
        completion=Completion(token="USDT", tx_hash=b"\xab" * 32, block_number=100, block_hash=b"\xcd" * 32),
        paid_at=1_774_530_135,
        paid_confirmations=12,
    )
