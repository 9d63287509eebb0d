"""`openpay demo`: the main job once per token, each step shown, against a running `openpay dev`.

It uses what a merchant and a customer have: the HTTP API, the page, a node, and their own keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.escrow_abi import address_word, balance_of_data, selector
from openpay.chain.pool import Pool, connect
from openpay.chain.signing import Signer
from openpay.client import ApiError, AsyncOpenPay, ConnectionFailed, OpenPayError, Payment, Settlement
from openpay.devnet.customer import open_page, pay
from openpay.devnet.receiver import WebhookReceiver, receive_webhooks
from openpay.devnet.wallet import IDLE_S, Wallet, mine
from openpay.domain.address import parse_address, to_checksum
from openpay.domain.money import format_decimal
from openpay.errors import ChainUnavailable

TOKENS = ("USDT", "BNB")
AMOUNT = "25.00"
DECIMALS = 18
STEP_TIMEOUT_S = 120.0
"""For each step; a local chain needs a few seconds."""
POLL_S = 0.2
ON_DEMAND_BLOCK_S = 0.5

T = TypeVar("T")
Echo = Callable[[str], object]


class DemoFailed(Exception):
    """A step did not happen. The message says which, and what was seen instead."""


async def run(dev: Mapping[str, Any], *, echo: Echo, tokens: tuple[str, ...] = TOKENS) -> bool:
    """Go through the scenario for each token; whether all of it happened. `dev` is the content of dev.json.

    However it ends, the endpoint that it configured is deleted.
    """
    async with (
        connect(dev["rpc_urls"], chain_id=dev["chain_id"]) as pool,
        AsyncOpenPay(dev["api_key"], dev["api_url"]) as client,
        receive_webhooks(dev["webhook_public_key"]) as (webhook_url, receiver),
        _deleted_at_the_end(dev, webhook_url, echo=echo),
    ):
        heartbeat = asyncio.create_task(_keep_mining(pool))
        try:
            await client.webhooks.configure(webhook_url)
            echo(f"The merchant's server listens for webhooks at {webhook_url} and holds only the public key.")
            for token in tokens:
                echo(f"\n{token}")
                await _Scenario(dev=dev, token=token, pool=pool, client=client, receiver=receiver, echo=echo).run()
        except (DemoFailed, OpenPayError, ChainUnavailable, aiohttp.ClientError, TimeoutError) as error:
            echo(f"  {'failed':<9} {str(error) or type(error).__name__}")
            for reason in receiver.refused:
                echo(f"  {'':<9} a webhook was refused: {reason}")
            return False
        finally:
            heartbeat.cancel()
    echo("\nAll steps happened.")
    return True


@asynccontextmanager
async def _deleted_at_the_end(dev: Mapping[str, Any], url: str, *, echo: Echo) -> AsyncIterator[None]:
    """Nobody listens at `url` after the demo: an endpoint left there would fail for days, and then be disabled."""
    try:
        yield
    finally:
        # Once, and not for long: somebody may be waiting for the prompt. By its URL, as the answer to `configure` may
        # not have come. A server that is gone itself sends nothing.
        with suppress(ConnectionFailed):
            async with AsyncOpenPay(dev["api_key"], dev["api_url"], timeout_s=5, retries=0) as client:
                try:
                    for endpoint in await client.webhooks.endpoints():
                        if endpoint["url"] == url:
                            await client.webhooks.delete(endpoint["id"])
                except ApiError as error:
                    echo(f"The webhook endpoint {url} could not be deleted: {error}")


@dataclass(frozen=True, kw_only=True)
class _Scenario:
    """One payment in one token, from the API call to the merchant's own wallet."""

    dev: Mapping[str, Any]
    token: str
    pool: Pool
    client: AsyncOpenPay
    receiver: WebhookReceiver
    echo: Echo

    async def run(self) -> None:
        payment = await self._create()
        await self._open(payment)
        await self._pay(payment)
        payment = await self._confirm(payment)
        await self._verify_webhook(payment)
        units = await self._settle(payment)
        await self._withdraw(units)

    async def _create(self) -> Payment:
        payment = await self.client.payments.create(
            amount=AMOUNT,
            currency="USD",
            accepted_tokens=[self.token],
            description="Order #2001",
            metadata={"order_id": "2001"},
        )
        self._show("create", f"{payment['id']}: {payment['amount']} USD, {payment['status']}")
        self._show("", payment["checkout_url"])
        return payment

    async def _open(self, payment: Payment) -> None:
        size = await open_page(payment["checkout_url"])
        opened = await self.client.payments.retrieve(payment["id"])
        if opened["status"] != "pending":
            raise DemoFailed(f"opening the page left the payment {opened['status']}")
        self._show("open", f"the checkout page ({size} bytes); {payment['status']} → {opened['status']}")

    async def _pay(self, payment: Payment) -> None:
        signer = Signer(bytes.fromhex(self.dev["customer"]["private_key"].removeprefix("0x")))
        wallet = Wallet(self.pool, chain_id=self.dev["chain_id"], signer=signer)
        tx_hash = await pay(wallet, payment, self.token)
        (amount,) = payment["deposit"]["amounts"]
        self._show("pay", f"{amount['amount']} {self.token} to {payment['deposit']['address']}")
        self._show("", f"transaction 0x{tx_hash.hex()}")

    async def _confirm(self, payment: Payment) -> Payment:
        """Follow the payment to `paid`, showing each count of confirmations once."""
        shown: set[tuple[str, int | None]] = set()

        async def look() -> Payment | None:
            now = await self.client.payments.retrieve(payment["id"])
            seen = (now["status"], now["confirmations"])
            if now["status"] == "confirming" and seen not in shown:
                shown.add(seen)
                self._show("confirm", f"confirming, {now['confirmations']} of {now['required_confirmations']}")
            if now["status"] not in ("pending", "confirming", "paid"):
                raise DemoFailed(f"the payment became {now['status']}")
            return now if now["status"] == "paid" else None

        paid = await _until(look, "the payment is paid")
        if len(shown) < 2:
            raise DemoFailed(f"confirmations were not seen counting up: {sorted(shown, key=str)}")
        self._show("paid", f"{paid['token']}, {paid['confirmations']} confirmations, at {paid['paid_at']}")
        return paid

    async def _verify_webhook(self, payment: Payment) -> None:
        received = await self.receiver.expect("payment.completed", payment["id"], timeout_s=STEP_TIMEOUT_S)
        expected = {name: payment[name] for name in ("status", "amount", "token", "tx_hash", "metadata")}
        if {name: received.event[name] for name in expected} != expected:
            raise DemoFailed(f"the webhook says {received.event}, the API says {expected}")
        key_id = next((value for name, value in received.headers.items() if name.lower() == "openpay-key-id"), "?")
        self._show("webhook", f"{received.event['event']}, Ed25519 signature verified, key {key_id}")

    async def _settle(self, payment: Payment) -> int:
        async def look() -> Settlement | None:
            settlement = (await self.client.payments.retrieve(payment["id"]))["settlement"]
            return settlement if settlement is not None and settlement["status"] == "settled" else None

        settlement = await _until(look, "the payment is settled")
        merchant = parse_address(self.dev["merchant"]["address"])
        escrow = parse_address(self.dev["contracts"]["escrow"])
        data = balance_of_data(merchant, self._contract())
        treasury = int.from_bytes(read_bytes(await self.pool.call(reads.eth_call(to=escrow, data=data, at="latest"))))
        if treasury < int(settlement["amount_units"] or 0):
            raise DemoFailed(f"the treasury holds {treasury} units, less than were settled: {settlement}")
        self._show("settle", f"transaction {settlement['tx_hash']}")
        self._show("", f"the merchant's treasury holds {format_decimal(treasury, DECIMALS)} {self.token}")
        return treasury

    async def _withdraw(self, units: int) -> None:
        merchant = parse_address(self.dev["merchant"]["address"])
        before = await self._balance(merchant)
        withdrawal = await self.client.withdrawals.create(token=self.token)

        async def look() -> int | None:
            gained = await self._balance(merchant) - before
            return gained if gained >= units else None

        gained = await _until(look, f"withdrawal {withdrawal['id']} reaches the merchant")
        self._show("withdraw", f"{format_decimal(gained, DECIMALS)} {self.token} arrived at {to_checksum(merchant)}")

    async def _balance(self, account: bytes) -> int:
        contract = self._contract()
        if contract is None:
            return read_quantity(await self.pool.call(reads.balance(account, "latest")))
        data = selector("balanceOf", "TestToken") + address_word(account)
        return int.from_bytes(read_bytes(await self.pool.call(reads.eth_call(to=contract, data=data, at="latest"))))

    def _contract(self) -> bytes | None:
        address = self.dev["contracts"]["tokens"].get(self.token)
        return None if address is None else parse_address(address)

    def _show(self, step: str, text: str) -> None:
        self.echo(f"  {step:<9} {text}")


async def _until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """What `look` finds, asked again until it finds something. Raises `DemoFailed` after `STEP_TIMEOUT_S`."""
    deadline = asyncio.get_running_loop().time() + STEP_TIMEOUT_S
    while (found := await look()) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise DemoFailed(f"not within {STEP_TIMEOUT_S:.0f} s: {what}")
        await asyncio.sleep(POLL_S)
    return found


async def _keep_mining(pool: Pool) -> None:
    """Confirmations need blocks. A node that made none for a while makes them on demand only: ask for one steadily."""
    interval_s = IDLE_S
    height = -1
    while True:
        newest = read_quantity((await pool.call(reads.header("latest"))).number)
        if newest == height:
            await mine(pool, 1)
            interval_s = ON_DEMAND_BLOCK_S
        height = newest
        await asyncio.sleep(interval_s)
