"""What each operation of the escrow costs in gas on a local chain, beside a plain token transfer."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.escrow_abi import (
    WORD,
    address_word,
    refund_data,
    selector,
    settle_data,
    settle_many_data,
    sweep_data,
    withdraw_data,
    withdraw_for_data,
)
from openpay.chain.feeds import read_feeds
from openpay.chain.pool import connect
from openpay.devnet.deployment import Deployment, deploy
from openpay.devnet.node import CHAIN_ID, run_node
from openpay.devnet.wallet import Wallet, set_balance
from openpay.domain.chains import Token
from openpay.domain.terms import Terms, payment_key, peg_full_units_up
from openpay.domain.vaults import vault_address
from scripts.benchmarks.figures import Figure

USD = 25_000_000
LIFE_S = 86_400
GAS_LIMIT = 16_000_000
"""Just below what BNB Smart Chain allows one transaction: room for a batch of 100."""
BASELINE = "plain token transfer"
"""To an address that holds some of the token already, which is the cheaper kind."""
BATCH_OF_50_LIMIT = 90_000
"""For each payment of a batch of 50."""


def run() -> list[Figure]:
    """Deploy on a fresh chain and send each operation as a transaction of its own."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measure(Path(directory)))


async def _measure(directory: Path) -> list[Figure]:
    async with run_node(directory, block_time_s=0.2) as node, connect([node.rpc_url], chain_id=CHAIN_ID) as pool:
        deployment = await deploy(pool, chain_id=CHAIN_ID)
        await set_balance(pool, deployment.merchant.address, 10**18)
        quotes = await read_feeds(pool, deployment.chain)
        bench = _Bench(
            deployment=deployment,
            wallets={
                role: Wallet(pool, chain_id=CHAIN_ID, signer=account.signer, in_a_hurry=True)
                for role, account in (
                    ("customer", deployment.customer),
                    ("merchant", deployment.merchant),
                    ("operator", deployment.operator),
                )
            },
            quoted_at=read_quantity((await pool.call(reads.header("latest"))).timestamp),
            price_round=quotes.prices["BNB"].quote.round,
        )
        return _figures(await bench.all())


@dataclass(frozen=True, kw_only=True)
class _Operation:
    """Gas used by one transaction, for `payments` payments together."""

    name: str
    gas: int
    payments: int = 1

    @property
    def each(self) -> float:
        return self.gas / self.payments


class _Bench:
    """Payments of one merchant and the operations on them. Each operation gets payments of its own."""

    def __init__(
        self, *, deployment: Deployment, wallets: Mapping[str, Wallet], quoted_at: int, price_round: int
    ) -> None:
        self._deployment = deployment
        self._escrow = deployment.chain.escrow
        self._wallets = wallets
        self._quoted_at = quoted_at
        self._price_round = price_round
        self._made = 0

    async def all(self) -> list[_Operation]:
        """The rows of the table, in its order; the first is what the others are compared with."""
        usdt, _, bnb = self._deployment.chain.tokens
        merchant = self._deployment.merchant.address
        # A treasury's first balance of a token costs more, once.
        first = await self._settle(usdt)
        await self._settle(bnb)
        operations = [
            _Operation(name=BASELINE, gas=await self._transfer(usdt, merchant, again=True)),
            _Operation(name="token transfer to a new address", gas=await self._transfer(usdt, bytes(19) + b"\x99")),
            _Operation(name="settle, token, a merchant's first", gas=first),
            _Operation(name="settle, token", gas=await self._settle(usdt)),
            _Operation(name="settle, BNB", gas=await self._settle(bnb)),
        ]
        for size in (10, 50, 100):
            operations.append(
                _Operation(name=f"settleMany of {size}, each", gas=await self._settle_many(usdt, size), payments=size)
            )
        return [
            *operations,
            _Operation(name="sweep, token", gas=await self._sweep(usdt)),
            _Operation(name="refund, token", gas=await self._refund(usdt)),
            _Operation(name="refund, BNB", gas=await self._refund(bnb)),
            _Operation(name="withdraw, deploying the treasury", gas=await self._withdraw(usdt)),
            _Operation(name="withdraw", gas=await self._withdraw(usdt)),
            _Operation(name="withdrawFor", gas=await self._withdraw_for(usdt)),
        ]

    def _terms(self) -> Terms:
        self._made += 1
        return Terms(
            merchant=self._deployment.merchant.address,
            operator=self._deployment.operator.address,
            usd=USD,
            slippage_bps=100,
            underpayment_bps=0,
            quoted_at=self._quoted_at,
            expiry=self._quoted_at + LIFE_S,
            round=self._price_round,
            assets=7,
            payment_key=payment_key(f"pay_{self._made}"),
        )

    async def _gas(self, sender: str, to: bytes, data: bytes = b"", value: int = 0) -> int:
        receipt = await self._wallets[sender].execute(to=to, data=data, value=value, gas=GAS_LIMIT)
        return read_quantity(receipt.gas_used)

    async def _transfer(self, token: Token, to: bytes, *, again: bool = False) -> int:
        """Gas of the customer's transfer of what a payment costs; `again`: of a second one to the same address."""
        units = peg_full_units_up(USD, token_decimals=token.decimals)
        if token.contract is None:
            return await self._gas("customer", to, value=units)
        data = selector("transfer", "TestToken") + address_word(to) + units.to_bytes(WORD, "big")
        if again:
            await self._gas("customer", token.contract, data)
        return await self._gas("customer", token.contract, data)

    async def _paid(self, token: Token) -> Terms:
        terms = self._terms()
        await self._transfer(token, vault_address(self._escrow, terms.id()))
        return terms

    async def _settle(self, token: Token) -> int:
        terms = await self._paid(token)
        return await self._gas("operator", self._escrow, settle_data(terms, token.asset_index))

    async def _settle_many(self, token: Token, size: int) -> int:
        items = [(await self._paid(token), token.asset_index) for _ in range(size)]
        return await self._gas("operator", self._escrow, settle_many_data(items))

    async def _sweep(self, token: Token) -> int:
        terms = await self._paid(token)
        await self._gas("operator", self._escrow, settle_data(terms, token.asset_index))
        await self._transfer(token, vault_address(self._escrow, terms.id()))
        return await self._gas("operator", self._escrow, sweep_data(terms, token.contract))

    async def _refund(self, token: Token) -> int:
        """The merchant's refund: the operator's differs by reading the balance and, for BNB, the price."""
        terms = await self._paid(token)
        customer = self._deployment.customer.address
        return await self._gas("merchant", self._escrow, refund_data(terms, token.contract, customer, 10**18))

    async def _withdraw(self, token: Token) -> int:
        data = withdraw_data(token.contract, 10**18, self._deployment.merchant.address)
        return await self._gas("merchant", self._escrow, data)

    async def _withdraw_for(self, token: Token) -> int:
        data = withdraw_for_data(self._deployment.merchant.address, token.contract)
        return await self._gas("operator", self._escrow, data)


def _figures(operations: Sequence[_Operation]) -> list[Figure]:
    """Gas for each payment, then each as a multiple of the first."""
    plain = operations[0].gas
    gas = [
        Figure(
            name=each.name,
            value=each.each,
            unit="gas",
            limit=BATCH_OF_50_LIMIT if each.payments == 50 else None,
        )
        for each in operations
    ]
    ratios = [
        Figure(name=f"{each.name} / {operations[0].name}", value=each.each / plain, unit="×") for each in operations[1:]
    ]
    return gas + ratios
