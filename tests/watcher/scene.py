"""A whole installation in one process: contracts on a real chain, a database, and a follower that steps when told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from openpay.app.clock import SystemClock
from openpay.app.merchants import Caller, create_merchant
from openpay.app.order import CreatePayment
from openpay.app.payments import PaymentService
from openpay.app.ports import Clock
from openpay.app.records import Cursor, Merchant
from openpay.app.signals import Signals
from openpay.chain import escrow_abi
from openpay.chain.bep20 import TRANSFER_SELECTOR
from openpay.chain.blocks import read_bytes
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import Pool, connect
from openpay.chain.quotes import QuoteCache, Source
from openpay.devnet.deployment import Deployment, deploy
from openpay.domain.chains import Chain
from openpay.domain.deposit import Deposit
from openpay.domain.payment import Payment, Status
from openpay.store import Store
from tests.support.alarms import Heard
from tests.support.anvil import Anvil
from watcher.catch_up import CatchUp
from watcher.facts import FactFinder
from watcher.follower import Follower
from watcher.watch_set import WatchSet

CHAIN_ID = 31337
UNIT = 10**18


@dataclass(frozen=True)
class AnvilClock:
    """Time is what the chain says."""

    anvil: Anvil

    def now(self) -> int:
        return self.anvil.timestamp()


@dataclass(frozen=True, kw_only=True)
class Unsigned:
    """A transaction before somebody signs it."""

    to: bytes
    data: bytes = b""
    value: int = 0
    gas: int = 100_000


@dataclass
class Scene:
    """Everything a test of the watcher touches. Tokens are named by symbol, amounts are base units."""

    anvil: Anvil
    pool: Pool
    deployment: Deployment
    store: Store
    service: PaymentService
    caller: Caller
    chain: Chain
    follower: Follower = field(init=False)
    alarm: Heard = field(default_factory=lambda: Heard(CHAIN_ID))
    wall: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.restart()

    @property
    def setting(self) -> Setting:
        return Setting(deployment=self.deployment, merchant=self.caller.merchant)

    @property
    def customer(self) -> bytes:
        return self.deployment.customer.address

    # --- the watcher -----------------------------------------------------------------------------------------------

    def restart(self, pool: Pool | None = None, chain: Chain | None = None, catch_up: CatchUp | None = None) -> None:
        """A new process: nothing survives but the database."""
        self.pool = pool or self.pool
        self.chain = chain or self.chain
        escrow = EscrowClient(self.pool, self.chain, operator=self.deployment.operator.address)
        watched = WatchSet(CHAIN_ID, monotonic=lambda: 0.0)
        finder = FactFinder(self.chain, self.pool, self.store, watched, alarm=self.alarm)
        self.follower = Follower(
            self.chain,
            self.pool,
            self.store,
            escrow,
            finder,
            signals=Signals(),
            wall=self.wall,
            alarm=self.alarm,
            catch_up=catch_up,
        )

    async def watch(self) -> None:
        """Read everything there is to read."""
        while await self.follower.step():
            pass

    async def mine(self, blocks: int) -> None:
        """Mine, and read it."""
        self.anvil.mine(blocks)
        await self.watch()

    # --- payments --------------------------------------------------------------------------------------------------

    async def create(self, *tokens: str, amount: str = "25.00", expires_in: int | None = None) -> Payment:
        command = CreatePayment(amount=amount, accepted_tokens=tokens or None, expires_in=expires_in)
        async with self.store.write() as uow:
            return await self.service.create(uow, self.caller, command)

    async def status(self, payment: Payment) -> Status:
        return (await self.now(payment)).status

    async def now(self, payment: Payment) -> Payment:
        """The payment as it is stored now."""
        async with self.store.read() as uow:
            stored = await uow.payments.get(payment.id)
        assert stored is not None
        return stored

    async def deposits(self, payment: Payment) -> list[Deposit]:
        async with self.store.read() as uow:
            return list((await uow.deposits.of([payment.id])).get(payment.id, []))

    async def received(self, payment: Payment, token: str) -> int:
        return sum(deposit.units for deposit in await self.deposits(payment) if deposit.token == token)

    async def events(self, payment: Payment) -> list[str]:
        """Types of the payment's events, oldest first, without their common prefix."""
        async with self.store.read() as uow:
            page = await uow.events.page(
                payment.merchant_id, payment.livemode, limit=100, starting_after=None, payment_id=payment.id
            )
        return [event.type.value.removeprefix("payment.") for event in reversed(page.items)]

    async def cursor(self) -> Cursor:
        async with self.store.read() as uow:
            cursor = await uow.chain.cursor(CHAIN_ID)
        assert cursor is not None
        return cursor

    async def report(self, payment: Payment, tx_hash: str) -> None:
        """The checkout page's wallet says that it sent this transaction."""
        async with self.store.write() as uow:
            await self.service.report_transaction(uow, payment.id, read_bytes(tx_hash))

    # --- the chain -------------------------------------------------------------------------------------------------

    def transfer(self, token: str, to: bytes, units: int, *, gas: int = 100_000) -> Unsigned:
        """The customer's transaction that transfers a token or BNB."""
        if token == "BNB":
            return Unsigned(to=to, value=units, gas=gas)
        return Unsigned(to=self.deployment.tokens[token], data=transfer_data(to, units), gas=gas)

    def sign(self, unsigned: Unsigned, *, ahead: int = 0) -> str:
        """The customer's signed transaction as hex; `ahead` counts those signed before it and not mined yet."""
        nonce = int(self.anvil.rpc("eth_getTransactionCount", hex_address(self.customer), "latest"), 16) + ahead
        signed = self.deployment.customer.signer.sign(
            chain_id=CHAIN_ID,
            nonce=nonce,
            to=unsigned.to,
            gas=unsigned.gas,
            gas_price=2 * 10**10,
            data=unsigned.data,
            value=unsigned.value,
        )
        return "0x" + signed.raw.hex()

    def send(self, *transactions: Unsigned) -> list[str]:
        """Have the customer's transactions mined in one block, in this order; their hashes, reverted or not."""
        self.anvil.rpc("evm_setAutomine", False)
        raw = [self.sign(each, ahead=index) for index, each in enumerate(transactions)]
        hashes = [self.anvil.rpc("eth_sendRawTransaction", each) for each in raw]
        self.anvil.mine()
        self.anvil.rpc("evm_setAutomine", True)
        assert all(self.anvil.is_mined(tx_hash) for tx_hash in hashes)
        return hashes

    def pay(self, payment: Payment, token: str, units: int) -> str:
        """A block with one transfer to the payment's deposit address; returns the transaction's hash."""
        return self.send(self.transfer(token, payment.address, units))[0]

    def settle(self, payment: Payment, token: str) -> Unsigned:
        """The transaction with which anyone may settle the payment."""
        offer = payment.offer(token)
        assert offer is not None
        return Unsigned(to=payment.escrow, data=escrow_abi.settle_data(payment.terms, offer.asset_index), gas=300_000)


def due(payment: Payment, token: str) -> tuple[int, int]:
    """Full and least amount of an offered token."""
    offer = payment.offer(token)
    assert offer is not None
    return offer.full_units, offer.min_units


def hex_address(address: bytes) -> str:
    return "0x" + address.hex()


def transfer_data(to: bytes, units: int) -> bytes:
    return TRANSFER_SELECTOR + to.rjust(32, b"\0") + units.to_bytes(32, "big")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What stands before the story begins: contracts and a merchant."""

    deployment: Deployment
    merchant: Merchant


@asynccontextmanager
async def open_scene(anvil: Anvil, database_url: str, setting: Setting | None = None) -> AsyncIterator[Scene]:
    """A scene on a fresh chain and a migrated database, or, with `setting`, on those of an earlier scene."""
    store = Store.open(database_url)
    async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as pool:
        clock = AnvilClock(anvil)
        if setting is None:
            deployment = await deploy(pool, chain_id=CHAIN_ID)
            async with store.write() as uow:
                merchant = await create_merchant(uow, name="Shop", address=deployment.merchant.address, now=clock.now())
            setting = Setting(deployment=deployment, merchant=merchant)
        deployment = setting.deployment
        quotes = QuoteCache([Source(chain=deployment.chain, pool=pool)], clock=clock)
        await quotes.refresh()
        service = PaymentService(
            chains={True: deployment.chain, False: deployment.chain},
            operators={CHAIN_ID: deployment.operator.address},
            quotes=quotes,
            clock=clock,
            wall=SystemClock(),
        )
        caller = Caller(merchant=setting.merchant, livemode=True, key_id="key")
        yield Scene(anvil, pool, deployment, store, service, caller, deployment.chain)
    await store.close()
