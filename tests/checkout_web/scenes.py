"""A shop with payments in every state, written through the use cases as the watcher and the API write them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from checkout_web import Deps, build_app
from checkout_web.content.view import Part
from openpay.app.follow import BlockFacts, Committed, commit_blocks
from openpay.app.merchants import Caller, create_merchant
from openpay.app.order import CreatePayment, RequestedLine
from openpay.app.payments import PaymentService
from openpay.app.records import Block, Merchant, PriceQuote
from openpay.app.signals import Signals
from openpay.domain.assessment import Accepted, EscrowAnswer, Refused
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Deposit, RevertedAttempt, Source
from openpay.domain.payment import Payment
from openpay.http import HttpSettings, new_application
from openpay.store import Store

START = 1_774_530_000
"""26 March 2026, 13:00 UTC."""

USDT = Token(
    symbol="USDT",
    asset_index=0,
    contract=bytes.fromhex("55d398326f99059ff775485246999027b3197955"),
    decimals=18,
)
USDC = Token(
    symbol="USDC",
    asset_index=1,
    contract=bytes.fromhex("8ac76a51cc950d9822d68b83fe1ad97b32cd580d"),
    decimals=18,
)
BNB = Token(symbol="BNB", asset_index=2, contract=None, decimals=18, feed=bytes([7]) * 20, max_feed_age_s=120)
CHAIN = Chain(
    chain_id=56,
    name="BNB Smart Chain",
    escrow=bytes.fromhex("5c0ee1b2f4a3d6978812c3b4a5d6e7f809112233"),
    tokens=(USDT, USDC, BNB),
    public_rpc_urls=("https://rpc.example",),
    explorer_url="https://explorer.example",
)
WHOLE = 10**18
"""Base units in one token of 18 decimals."""


class FakeClock:
    """A clock that stands still until told."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def now(self) -> int:
        return self.seconds

    @contextmanager
    def later(self, seconds: int) -> Iterator[None]:
        self.seconds += seconds
        try:
            yield
        finally:
            self.seconds -= seconds


class FixedQuotes:
    """One price for every priced token; every stablecoin on its peg."""

    def price(self, chain_id: int, token: Token) -> PriceQuote:
        return PriceQuote(round=2**64 + 1, price=612_34000000, decimals=8, updated_at=START - 30)

    def on_peg(self, chain_id: int, token: Token) -> bool:
        return True


@dataclass
class Shop:
    """A merchant, a database and a chain whose blocks are made up here."""

    store: Store
    service: PaymentService
    clock: FakeClock
    signals: Signals
    merchant: Merchant
    number: int = 1_000

    @classmethod
    async def opened(cls, store: Store, *, name: str = "Blue Door Coffee") -> Shop:
        """Set up the merchant and read one block of the chain, so that the network view is current."""
        clock = FakeClock(START)
        service = PaymentService(
            chains={True: CHAIN, False: CHAIN},
            operators={CHAIN.chain_id: bytes([9]) * 20},
            quotes=FixedQuotes(),
            clock=clock,
            wall=clock,
        )
        async with store.write() as uow:
            merchant = await create_merchant(uow, name=name, address=bytes([3]) * 20, now=START)
        shop = cls(store=store, service=service, clock=clock, signals=Signals(), merchant=merchant)
        await shop.mine()
        return shop

    def application(self, **settings: Any) -> web.Application:
        """The page as it is mounted for real."""
        root = new_application(HttpSettings())
        deps = Deps(db=self.store, payments=self.service, signals=self.signals, **settings)
        root.add_subapp("/checkout", build_app(deps))
        return root

    async def create(self, *, livemode: bool = True, open_page: bool = True, **fields: Any) -> Payment:
        """A payment of 25 USD, opened by its customer unless told otherwise."""
        caller = Caller(merchant=self.merchant, livemode=livemode, key_id="key_1")
        async with self.store.write() as uow:
            payment = await self.service.create(uow, caller, CreatePayment(**({"amount": "25"} | fields)))
            return await self.service.open(uow, payment.id) if open_page else payment

    async def get(self, payment: Payment) -> Payment:
        async with self.store.read() as uow:
            found = await uow.payments.get(payment.id)
        assert found is not None
        return found

    async def reported(self, payment: Payment) -> int:
        """How many transactions its page has reported."""
        async with self.store.read() as uow:
            return await uow.attempts.reported(payment.id)

    async def mine(
        self,
        *,
        deposits: Sequence[Deposit] = (),
        attempts: Sequence[RevertedAttempt] = (),
        final: bool = False,
        answers: dict[str, EscrowAnswer] | None = None,
        read_at: int | None = None,
    ) -> Committed:
        """Commit the next block at the clock's time; `final` makes it final at once."""
        self.number += 1
        block = Block(
            chain_id=CHAIN.chain_id,
            number=self.number,
            hash=block_hash(self.number),
            parent_hash=block_hash(self.number - 1),
            time=self.clock.seconds,
        )
        committed = await commit_blocks(
            self.store,
            [BlockFacts(block=block, deposits=tuple(deposits), attempts=tuple(attempts))],
            final_number=self.number if final else None,
            seen_head=self.number,
            answers=answers or {},
            wall_now=self.clock.seconds if read_at is None else read_at,
        )
        self.signals.notify("payments", "events")
        return committed

    def deposit(self, payment: Payment, units: int, token: str = "USDT") -> Deposit:
        """A transfer that the next block will hold."""
        number = self.number + 1
        return Deposit(
            payment_id=payment.id,
            token=token,
            units=units,
            source=Source.LOG,
            position=int.from_bytes(payment.address[:3], "big"),
            tx_hash=tx_hash(payment, number),
            sender=bytes([5]) * 20,
            sender_nonce=3,
            payer=bytes([5]) * 20,
            block_number=number,
            block_hash=block_hash(number),
            block_time=self.clock.seconds,
        )

    async def pay(self, payment: Payment, units: int = 25 * WHOLE, token: str = "USDT") -> None:
        """Mine a block with one transfer."""
        await self.mine(deposits=[self.deposit(payment, units, token)])

    async def mine_at(self, time: int, payment: Payment, units: int = 25 * WHOLE) -> None:
        """Read now a block of the past, with one transfer."""
        now, self.clock.seconds = self.clock.seconds, time
        deposit = self.deposit(payment, units)
        await self.mine(deposits=[deposit], read_at=now)
        self.clock.seconds = now

    async def revert(self, payment: Payment) -> None:
        """Mine a block in which the transaction reported by the page failed."""
        number = self.number + 1
        attempt = RevertedAttempt(
            payment_id=payment.id,
            token="USDT",
            tx_hash=tx_hash(payment, number),
            block_number=number,
            block_hash=block_hash(number),
            block_time=self.clock.seconds,
        )
        await self.mine(attempts=[attempt])

    async def confirm(self, payment: Payment, answer: EscrowAnswer | None = None) -> None:
        """Mine what is missing to twelve confirmations, the last block final, with the escrow's word."""
        for _ in range(10):
            await self.mine()
        await self.mine(final=True, answers={payment.id: answer or Accepted()})

    async def retract(self, payment: Payment) -> Payment:
        """As if a reorganisation had taken the transfer back that it was confirming by."""
        async with self.store.write() as uow:
            await uow.payments.save(replace(await self.get(payment), retracted_at=START))
        return await self.get(payment)

    async def expire(self, payment: Payment) -> None:
        """Mine a final block past the deadline."""
        self.clock.seconds = (await self.get(payment)).deadline + 1
        await self.mine(final=True)

    async def scene(self, part: Part, **fields: Any) -> Payment:
        """A payment whose page shows `part`. Moves the chain and its clock."""
        payment = await self.create(**fields)
        match part:
            case Part.WAITING:
                pass
            case Part.UNDERPAID:
                await self.pay(payment, 10 * WHOLE)
            case Part.CLOSING:
                self.clock.seconds = payment.deadline + 1
                await self.mine()
            case Part.CONFIRMING:
                await self.pay(payment)
                for _ in range(4):
                    await self.mine()
            case Part.CONFIRMING_REVERTED:
                await self.revert(payment)
            case Part.PAID:
                await self.pay(payment)
                await self.confirm(payment)
            case Part.OVERPAID:
                await self.pay(payment, 30 * WHOLE)
                await self.confirm(payment)
            case Part.REVERSED:
                await self.pay(payment)
                await self.confirm(payment)
                async with self.store.write() as uow:
                    paid = await uow.payments.get(payment.id)
                    assert paid is not None
                    await uow.payments.save(replace(paid, reversed_at=self.clock.seconds))
            case Part.FAILED_REVERTED:
                await self.revert(payment)
                await self.confirm(payment)
            case Part.FAILED_REFUSED:
                await self.pay(payment)
                await self.confirm(payment, Refused(error="PriceTooOld"))
            case Part.EXPIRED:
                await self.expire(payment)
            case Part.EXPIRED_RECEIVED:
                await self.pay(payment, 10 * WHOLE)
                await self.expire(payment)
            case Part.LATE:
                await self.expire(payment)
                await self.pay(payment)
            case Part.CANCELED:
                async with self.store.write() as uow:
                    await self.service.cancel(uow, payment.id)
        return await self.get(payment)


@asynccontextmanager
async def open_shop(url: str) -> AsyncIterator[Shop]:
    """A shop on a migrated database without rows."""
    store = Store.open(url)
    try:
        yield await Shop.opened(store)
    finally:
        await store.close()


ORDER = {
    "description": "Order #1042: two bags of Sidamo, whole beans",
    "line_items": (
        RequestedLine(name="Sidamo, 500 g", quantity=2, amount="21.00"),
        RequestedLine(name="Delivery to your door", amount="4.00"),
    ),
    "metadata": {"order_id": "1042", "customer_email": "buyer@example.com"},
    "success_url": "https://shop.example/thanks?payment={PAYMENT_ID}",
    "cancel_url": "https://shop.example/basket",
}
"""What a shop would send."""


def block_hash(number: int) -> bytes:
    return hashlib.sha256(b"block %d" % number).digest()


def tx_hash(payment: Payment, number: int) -> bytes:
    return hashlib.sha256(f"{payment.id} {number}".encode()).digest()
