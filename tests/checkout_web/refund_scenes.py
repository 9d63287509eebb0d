"""Payments whose money goes back, and to whom."""

from __future__ import annotations

from dataclasses import replace

from openpay.chain.account import Account
from openpay.domain.payment import Payment
from openpay.domain.refunds import Refund
from tests.checkout_web.scenes import WHOLE, Shop

SENDER = Account.from_key(b"\x01" * 32)
STRANGER = Account.from_key(b"\x02" * 32)
THERE = "0x52908400098527886E0F7030069857D2E4169EE7"
MISTYPED = THERE[:-1] + "e"
"""The capitals of an address are its checksum (ERC-55)."""


async def claimable(shop: Shop, units: int = 10 * WHOLE) -> Payment:
    """An expired payment with money from a wallet that does not look like a person's."""
    payment = await shop.create()
    sender = bytes.fromhex(SENDER.address[2:])
    deposit = replace(shop.deposit(payment, units), sender=sender, payer=sender, sender_nonce=9_000)
    await shop.mine(deposits=[deposit])
    await shop.expire(payment)
    return await shop.get(payment)


async def refund_of(shop: Shop, payment: Payment) -> Refund:
    async with shop.store.read() as uow:
        (refund,) = (await uow.refunds.of([payment.id]))[payment.id]
    return refund
