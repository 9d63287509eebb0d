"""A shop's installation with a settler that steps when told, and can be killed where it hurts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openpay.app.clock import SystemClock
from openpay.app.records import OperatorTransaction, Withdrawal, WithdrawalStatus
from openpay.app.signals import Signals
from openpay.chain.escrow_abi import refund_data, selector
from openpay.chain.pool import Pool
from openpay.chain.rpc import Call
from openpay.chain.signing import SignedTransaction, Signer
from openpay.devnet.wallet import set_balance
from openpay.domain.address import to_checksum
from openpay.domain.chains import Chain
from openpay.domain.ids import derived_id, new_id
from openpay.domain.payment import Payment, Settlement, SettlementStatus, Status
from openpay.domain.vaults import treasury_address
from openpay.errors import ConcurrentChange
from openpay.settlement import Settler
from openpay.store import Store
from tests.support.anvil import ACCOUNTS
from tests.watcher.scene import UNIT, Scene, due

FINAL = 12
"""Blocks after which everything is final on the test chain (its finalized block is 10 behind, a payment needs 12)."""


def sweep_id(payment: Payment, token: str = "USDT") -> str:
    """What a sweep of one token is called, however often it is tried."""
    return derived_id("swp", f"{payment.id}:{token}")


class Killed(BaseException):
    """The process is gone: nothing after this line of the settler runs."""


class DyingPool:
    """A pool under which the process dies: before a transaction is sent, or when it has been and nobody knows yet.

    It is the first one with another text than the `spared` ones before it: repetitions do no harm.
    """

    def __init__(self, pool: Pool, *, sent: bool, spared: int = 0) -> None:
        self._pool = pool
        self._sent = sent
        self._spared = spared
        self._seen: set[Any] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def call(self, call: Call[Any]) -> Any:
        if call.method != "eth_sendRawTransaction":
            return await self._pool.call(call)
        self._seen.add(call.params)
        if len(self._seen) <= self._spared:
            return await self._pool.call(call)
        if self._sent:
            await self._pool.call(call)
        raise Killed


class StrangeNoncePool:
    """A pool whose best node names next nonces far above the true ones."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def batch(self, calls: Sequence[Call[Any]]) -> list[Any]:
        answers = await self._pool.batch(calls)
        return [
            "0xffffff" if call.method == "eth_getTransactionCount" else answer
            for call, answer in zip(calls, answers, strict=True)
        ]


class DyingSigner(Signer):
    """A signer with which the process dies when it has signed, and nothing is stored yet."""

    def sign(self, **fields: Any) -> SignedTransaction:
        super().sign(**fields)
        raise Killed


class WallClock:
    """The server's clock, moved by hand."""

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def pass_(self, seconds: int) -> None:
        self._now += seconds


async def step_both(one: Settler, two: Settler) -> None:
    """A round of both at the same time. The one that comes second may find the work taken, and nothing worse."""
    for outcome in await asyncio.gather(one.step(), two.step(), return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, ConcurrentChange):
            raise outcome


def make_settler(chain: Chain, pool: Any, store: Store, private_key: bytes, **options: Any) -> Settler:
    """A settler as after a fresh start: it knows nothing but the database."""
    options = {"wall": SystemClock(), "signer": Signer(private_key)} | options
    return Settler(chain, pool, store, signals=Signals(), **options)


@dataclass
class Till:
    """Steps and views of settlement, on top of a watched chain."""

    scene: Scene

    def settler(self, pool: Any = None, store: Store | None = None, **options: Any) -> Settler:
        scene = self.scene
        key = scene.deployment.operator.private_key
        return make_settler(scene.chain, pool or scene.pool, store or scene.store, key, **options)

    async def paid(self, token: str = "USDT", **order: Any) -> Payment:
        """A payment that was paid in full and has its confirmations."""
        payment = await self.scene.create(token, **order)
        self.scene.pay(payment, token, due(payment, token)[0])
        await self.scene.mine(FINAL)
        paid = await self.scene.now(payment)
        assert paid.status is Status.PAID
        return paid

    async def paid_together(self, count: int, token: str = "USDT") -> list[Payment]:
        """So many payments, paid in one block, that have their confirmations."""
        payments = [await self.scene.create(token) for _ in range(count)]
        self.scene.send(*(self.scene.transfer(token, each.address, due(each, token)[0]) for each in payments))
        await self.scene.mine(FINAL)
        return [await self.scene.now(payment) for payment in payments]

    async def settlement(self, payment: Payment) -> Settlement:
        settlement = (await self.scene.now(payment)).settlement
        assert settlement is not None
        return settlement

    async def until_final(self) -> None:
        """Mine until everything so far is final, and have the watcher read it."""
        await self.scene.mine(FINAL)

    async def settled(self, *tokens: str) -> Payment:
        """A payment whose settlement is final."""
        payment = await self.paid(*tokens)
        await self.settler().step()
        await self.until_final()
        assert (await self.settlement(payment)).status is SettlementStatus.SETTLED
        return payment

    async def overpaid(self, units: int) -> Payment:
        """A settled payment to which so much more USDT was paid, which is final too."""
        payment = await self.settled()
        self.scene.pay(payment, "USDT", units)
        await self.until_final()
        return payment

    async def sweeps(self, payment: Payment, token: str = "USDT") -> list[OperatorTransaction]:
        """What the operator ever signed to sweep a payment's vault, oldest first."""
        return await self.transactions(sweep_id(payment, token))

    async def transactions(self, subject: str) -> list[OperatorTransaction]:
        """What the operator ever signed for a payment, withdrawal or sweep, oldest first."""
        async with self.scene.store.read() as uow:
            return await uow.operations.transactions_of(subject)

    async def request_withdrawal(self, token: str) -> Withdrawal:
        withdrawal = Withdrawal(
            id=new_id("wd"),
            merchant_id=self.scene.caller.merchant.id,
            livemode=True,
            chain_id=self.scene.chain.chain_id,
            token=token,
            status=WithdrawalStatus.PENDING,
            created_at=self.scene.anvil.timestamp(),
        )
        async with self.scene.store.write() as uow:
            await uow.operations.add_withdrawal(withdrawal)
        return withdrawal

    async def withdrawal(self, withdrawal: Withdrawal) -> Withdrawal:
        async with self.scene.store.read() as uow:
            stored = await uow.operations.withdrawal(withdrawal.id)
        assert stored is not None
        return stored

    # --- the chain -------------------------------------------------------------------------------------------------

    @property
    def operator(self) -> str:
        return to_checksum(self.scene.deployment.operator.address)

    def operator_nonce(self) -> int:
        """How many of the operator's transactions were mined."""
        return int(self.scene.anvil.rpc("eth_getTransactionCount", self.operator, "latest"), 16)

    def balance(self, token: str, account: bytes) -> int:
        """Base units of a token, or wei, at the newest block."""
        if token == "BNB":
            return self.scene.anvil.balance(to_checksum(account))
        data = selector("balanceOf", "TestToken") + account.rjust(32, b"\0")
        contract = to_checksum(self.scene.deployment.tokens[token])
        return int(self.scene.anvil.rpc("eth_call", {"to": contract, "data": "0x" + data.hex()}, "latest"), 16)

    def treasury(self, token: str) -> int:
        merchant = self.scene.deployment.merchant.address
        return self.balance(token, treasury_address(self.scene.chain.escrow, merchant))

    async def merchant_refunds(self, payment: Payment, **fields: str) -> str:
        """The merchant takes one unit out of a paid payment's vault, which can then not be settled any more."""
        merchant = self.scene.deployment.merchant.address
        await set_balance(self.scene.pool, merchant, UNIT)
        self.scene.anvil.rpc("anvil_impersonateAccount", to_checksum(merchant))
        data = refund_data(payment.terms, self.scene.deployment.tokens["USDT"], self.scene.customer, UNIT)
        return self.stranger_sends(data, **{"from": to_checksum(merchant)} | fields)

    def operator_elsewhere(self, **fields: str) -> str:
        """Another program uses the operator's key for a transaction of its own; its hash, at once."""
        self.scene.anvil.rpc("anvil_impersonateAccount", self.operator)
        call = {"from": self.operator, "to": self.operator, "value": "0x1", "gas": hex(21_000)}
        tx_hash: str = self.scene.anvil.rpc("eth_sendTransaction", call | fields)
        self.scene.anvil.rpc("anvil_stopImpersonatingAccount", self.operator)
        return tx_hash

    def nonce_taken(self) -> None:
        """What waits for a block is forgotten by the nodes; another program's transaction is mined in its place."""
        self.scene.anvil.rpc("anvil_dropAllTransactions")
        self.operator_elsewhere()
        self.scene.anvil.mine()
        self.scene.anvil.rpc("evm_setAutomine", True)

    async def dear_blocks(self, count: int, gwei: int) -> None:
        """Blocks with a base fee that leaves cheaper transactions waiting; read by the watcher."""
        for _ in range(count):
            self.scene.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * 10**9))
            self.scene.anvil.mine()
        self.scene.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * 10**9))
        await self.scene.watch()

    def stranger_sends(self, data: bytes, **fields: str) -> str:
        """A stranger calls the escrow; the transaction's hash, at once."""
        call = {"from": ACCOUNTS[0].address, "to": to_checksum(self.scene.chain.escrow), "data": "0x" + data.hex()}
        tx_hash: str = self.scene.anvil.rpc("eth_sendTransaction", call | {"gas": hex(300_000)} | fields)
        return tx_hash
