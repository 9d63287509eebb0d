"""Refunds in a watched and settled shop: what customers, merchants and strangers do about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from openpay.app.clock import SystemClock
from openpay.app.refund_requests import RefundRequest, RefundService
from openpay.chain.account import Account
from openpay.chain.messages import message_hash, recover_signer
from openpay.domain.address import to_checksum
from openpay.domain.payment import Payment
from openpay.domain.refunds import Refund
from tests.settlement.till import Till
from tests.watcher.scene import CHAIN_ID, UNIT, AnvilClock, Scene

HOUR_S = 3_600
DAY_S = 86_400
ELSEWHERE = bytes([0xE1]) * 20


@dataclass
class RefundDesk:
    """Shorthands for what tests of refunds do."""

    till: Till

    @property
    def scene(self) -> Scene:
        return self.till.scene

    @property
    def service(self) -> RefundService:
        return RefundService(chains={True: self.scene.chain}, clock=AnvilClock(self.scene.anvil), wall=SystemClock())

    async def refunds(self, payment: Payment) -> list[Refund]:
        async with self.scene.store.read() as uow:
            return list((await uow.refunds.of([payment.id])).get(payment.id, []))

    async def refund(self, payment: Payment) -> Refund:
        """The payment's only refund."""
        (refund,) = await self.refunds(payment)
        return refund

    async def pass_time(self, seconds: int) -> None:
        """Let the chain's clock go on, and everything so far become final."""
        self.scene.anvil.increase_time(seconds)
        await self.till.until_final()

    async def expired_with(self, units: int, token: str = "USDT", **order: Any) -> Payment:
        """A payment that got `units` in time, and expired."""
        payment = await self.scene.create(token, **order)
        self.scene.pay(payment, token, units)
        await self.expire(payment)
        return await self.scene.now(payment)

    async def expire(self, payment: Payment) -> None:
        await self.pass_time(max(0, payment.deadline - self.scene.anvil.timestamp()) + 1)

    async def settle_up(self, pool: Any = None) -> None:
        """One round of a fresh settler, then everything final and one more, so that what was sent is recorded."""
        await self.till.settler(pool).step()
        await self.till.until_final()
        await self.till.settler().step()

    async def set_policy(self, **changes: Any) -> None:
        async with self.scene.store.write() as uow:
            merchant = await uow.merchants.get(self.scene.caller.merchant.id)
            assert merchant is not None
            await uow.merchants.save(replace(merchant, **changes))

    def age_customer(self, nonce: int) -> None:
        """The customer's address looks as if it had sent that many transactions."""
        self.scene.anvil.rpc("anvil_setNonce", to_checksum(self.scene.customer), hex(nonce))

    def signature(self, payment: Payment, refund: Refund, destination: str, *, key: bytes | None = None) -> str:
        """What a wallet answers to `personal_sign`; the customer's unless told otherwise."""
        text = self.service.message(payment, refund, destination)
        signed = Account.unsafe_sign_hash(message_hash(text), key or self.scene.deployment.customer.private_key)
        return "0x" + bytes(signed.signature).hex()

    async def claim(self, payment: Payment, refund: Refund, to: bytes, *, signature: str | None = None) -> Refund:
        """Name an address as the page does."""
        destination = to_checksum(to)
        signer = None
        if signature is not None:
            signer = recover_signer(self.service.message(payment, refund, destination), signature)
            assert signer is not None
        async with self.scene.store.write() as uow:
            return await self.service.claim(uow, payment.id, refund.id, destination, signer=signer)

    async def approve(self, refund: Refund, to: bytes | None = None) -> Refund:
        async with self.scene.store.write() as uow:
            return await self.service.approve(uow, refund, None if to is None else to_checksum(to))

    async def request(self, payment: Payment, **wanted: Any) -> list[Refund]:
        """What the merchant's server asks for."""
        treasury = {symbol: self.till.treasury(symbol) for symbol in ("USDT", "USDC", "BNB")}
        async with self.scene.store.write() as uow:
            return await self.service.request(uow, payment, RefundRequest(**wanted), treasury_units=treasury)

    def merchant_sends(self, data: bytes) -> bytes:
        """The merchant's own wallet calls the escrow; the transaction's hash, once it is mined."""
        merchant, anvil = self.scene.deployment.merchant, self.scene.anvil
        address = to_checksum(merchant.address)
        anvil.rpc("anvil_setBalance", address, hex(UNIT))
        signed = merchant.signer.sign(
            chain_id=CHAIN_ID,
            nonce=int(anvil.rpc("eth_getTransactionCount", address, "latest"), 16),
            to=self.scene.chain.escrow,
            gas=300_000,
            gas_price=2 * 10**10,
            data=data,
        )
        anvil.receipt(anvil.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex()))
        return signed.hash

    def held(self, payment: Payment, token: str = "USDT") -> int:
        """What lies in the payment's vault."""
        return self.till.balance(token, payment.address)
