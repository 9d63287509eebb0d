"""A store with a merchant, and a made-up chain whose blocks are committed to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from openpay.app.follow import BlockFacts, Committed, commit_blocks, undo_head
from openpay.app.merchants import Caller, create_merchant
from openpay.app.payments import PaymentService
from openpay.app.ports import Database, UnitOfWork
from openpay.app.records import Block, EscrowLog, Merchant, PriceQuote
from openpay.domain.assessment import EscrowAnswer
from openpay.domain.chains import Chain, Token
from openpay.domain.deposit import Deposit, RevertedAttempt
from openpay.domain.events import Event
from openpay.domain.payment import Payment
from openpay.domain.refunds import Refund
from openpay.store import Store
from openpay.store.engine import async_url
from openpay.store.tables import metadata
from tests.domain.builders import START, block_hash, block_time, make_payment

USDT = Token(symbol="USDT", asset_index=0, contract=bytes([1]) * 20, decimals=18)
USDC = Token(symbol="USDC", asset_index=1, contract=bytes([2]) * 20, decimals=18)
BNB = Token(symbol="BNB", asset_index=2, contract=None, decimals=18, feed=bytes([7]) * 20, max_feed_age_s=120)
CHAIN = Chain(chain_id=56, name="BNB Smart Chain", escrow=bytes([0xEE]) * 20, tokens=(USDT, USDC, BNB))


@dataclass
class FakeClock:
    """Stands still until it is set."""

    seconds: int = START

    def now(self) -> int:
        return self.seconds


@dataclass
class FakeQuotes:
    """What is known of prices: a round for the coin or None, and the stablecoins that lost their peg."""

    quote: PriceQuote | None = field(
        default_factory=lambda: PriceQuote(round=2**64 + 1, price=612_34000000, decimals=8, updated_at=START - 30)
    )
    off_peg: frozenset[str] = frozenset()

    def price(self, chain_id: int, token: Token) -> PriceQuote | None:
        return self.quote

    def on_peg(self, chain_id: int, token: Token) -> bool:
        return token.symbol not in self.off_peg


@dataclass
class World:
    """Everything a use case needs, and shorthands for what tests do with it."""

    store: Store
    url: str
    merchant: Merchant
    clock: FakeClock = field(default_factory=FakeClock)
    quotes: FakeQuotes = field(default_factory=FakeQuotes)
    branch: str = "main"
    """Names the hashes of the blocks that are committed from now on."""
    read: dict[int, list[BlockFacts]] = field(default_factory=dict)
    """The blocks of each chain that are committed and not undone, as the caller of the use cases remembers them."""

    @classmethod
    async def opened(cls, url: str) -> World:
        store = Store.open(url)
        async with store.write() as uow:
            merchant = await create_merchant(uow, name="Blue Door Coffee", address=bytes([3]) * 20, now=START)
        return cls(store=store, url=url, merchant=merchant)

    @property
    def caller(self) -> Caller:
        return Caller(merchant=self.merchant, livemode=True, key_id="key_1")

    @property
    def service(self) -> PaymentService:
        return PaymentService(
            chains={True: CHAIN, False: replace(CHAIN, chain_id=97)},
            operators={56: bytes([4]) * 20, 97: bytes([4]) * 20},
            quotes=self.quotes,
            clock=self.clock,
            wall=self.clock,
        )

    async def add(self, payment_id: str = "pay_1", **changes: Any) -> Payment:
        """Store a payment of 100 units, as `make_payment` makes it."""
        payment = make_payment(payment_id, **{"merchant_id": self.merchant.id} | changes)
        async with self.store.write() as uow:
            await uow.payments.add(payment)
        return payment

    async def get(self, payment_id: str = "pay_1") -> Payment:
        async with self.store.read() as uow:
            payment = await uow.payments.get(payment_id)
        assert payment is not None
        return payment

    async def events(self, payment_id: str | None = None) -> list[Event]:
        """Stored events, oldest first."""
        async with self.store.read() as uow:
            page = await uow.events.page(
                self.merchant.id, True, limit=1_000, starting_after=None, payment_id=payment_id
            )
        return list(reversed(page.items))

    async def told(self, payment_id: str = "pay_1") -> list[str]:
        return [event.type.value.removeprefix("payment.") for event in await self.events(payment_id)]

    async def refunds(self) -> list[Refund]:
        """Of `pay_1`."""
        async with self.store.read() as uow:
            return list((await uow.refunds.of(["pay_1"])).get("pay_1", []))

    async def the_refund(self) -> Refund:
        (refund,) = await self.refunds()
        return refund

    def facts(
        self,
        number: int,
        *,
        deposits: Sequence[Deposit] = (),
        attempts: Sequence[RevertedAttempt] = (),
        escrow_logs: Sequence[EscrowLog] = (),
        chain_id: int = 56,
        branch: str | None = None,
    ) -> BlockFacts:
        """Block `number` on top of the newest one committed here; what it contains is moved into it."""
        before = self.read.get(chain_id, [])
        parent = before[-1].block.hash if before else block_hash(number - 1)
        block = Block(
            chain_id=chain_id,
            number=number,
            hash=block_hash(number, branch or self.branch),
            parent_hash=parent,
            time=block_time(number),
        )
        place = {"block_number": number, "block_hash": block.hash, "block_time": block.time}
        return BlockFacts(
            block=block,
            deposits=tuple(replace(deposit, **place) for deposit in deposits),
            attempts=tuple(replace(attempt, **place) for attempt in attempts),
            escrow_logs=tuple(replace(log, chain_id=chain_id, **place) for log in escrow_logs),
        )

    async def commit(
        self,
        facts: BlockFacts,
        *,
        final: int | None = None,
        answers: Mapping[str, EscrowAnswer] | None = None,
        db: Database | None = None,
        seen_head: int = 0,
    ) -> Committed:
        committed = await commit_blocks(
            self.store if db is None else db,
            [facts],
            final_number=final,
            seen_head=max(seen_head, facts.block.number),
            answers=answers or {},
            wall_now=self.clock.seconds,
        )
        self.read.setdefault(facts.block.chain_id, []).append(facts)
        return committed

    async def mine(self, number: int, **more: Any) -> Committed:
        """Commit block `number` with these deposits, attempts and logs."""
        how = {name: more.pop(name) for name in ("final", "answers", "db") if name in more}
        return await self.commit(self.facts(number, **more), **how)

    async def undo(self, *, chain_id: int = 56, db: Database | None = None) -> Committed:
        newest = self.read[chain_id][-1].block
        committed = await undo_head(self.store if db is None else db, newest, wall_now=self.clock.seconds)
        self.read[chain_id].pop()
        return committed

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the database, read over a connection of its own."""
        async with self.auditor.connect() as connection:
            return {
                table.name: sorted(map(tuple, await connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
            }

    @cached_property
    def auditor(self) -> AsyncEngine:
        return create_async_engine(async_url(self.url))

    async def close(self) -> None:
        await self.auditor.dispose()
        await self.store.close()


# --- databases that misbehave ------------------------------------------------------------------------------------


class Interrupted(Exception):
    """The process died here, as far as the transaction can tell."""


@dataclass
class InterceptedDatabase:
    """A database whose every repository call is announced: `before(name)` and `after(name)` run around it."""

    db: Database
    before: Callable[[str], Any]
    after: Callable[[str], Any]

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        async with self.db.read() as uow:
            yield _Intercepted(uow, self)  # type: ignore[misc]

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        async with self.db.write() as uow:
            yield _Intercepted(uow, self)  # type: ignore[misc]


class _Intercepted:
    """A unit of work, or one of its repositories (then named), whose methods are announced."""

    def __init__(self, target: Any, database: InterceptedDatabase, name: str = "") -> None:
        self._target = target
        self._database = database
        self._name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not self._name:
            return _Intercepted(found, self._database, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            full_name = f"{self._name}.{name}"
            await self._database.before(full_name)
            result = await found(*args, **kwargs)
            await self._database.after(full_name)
            return result

        return call


def failing(db: Database, *, at: int) -> InterceptedDatabase:
    """Raises `Interrupted` at the `at`-th moment, counted from 1: one before and one after each call."""
    moments = 0

    async def moment(_name: str) -> None:
        nonlocal moments
        moments += 1
        if moments == at:
            raise Interrupted

    return InterceptedDatabase(db=db, before=moment, after=moment)


@dataclass
class Pause:
    """Holds a transaction after its call of `name` until `resume` is set."""

    name: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached_by(self, task: asyncio.Task[Any]) -> None:
        """Return when the task is held; fail when it ended without that call."""
        reached = asyncio.create_task(self.reached.wait())
        await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        assert self.reached.is_set(), f"{task} never called {self.name}"

    def of(self, db: Database) -> InterceptedDatabase:
        async def nothing(_name: str) -> None: ...

        async def hold(name: str) -> None:
            if name == self.name:
                self.reached.set()
                await self.resume.wait()

        return InterceptedDatabase(db=db, before=nothing, after=hold)
