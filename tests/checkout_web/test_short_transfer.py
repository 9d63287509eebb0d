"""A wallet's transfer that arrived and was less than asked for: it is on its way no more, and the rest is asked for."""

from __future__ import annotations

from dataclasses import replace

from playwright.async_api import expect

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import WHOLE, Shop
from tests.support.provider import PageWallet

HASH = bytes([0x5E]) * 32


async def test_what_the_wallet_sent_has_arrived_and_the_rest_is_asked_for(street: Street, shop: Shop) -> None:
    """Its owner changed the amount in the wallet, or the token takes a fee of its own."""
    payment, wallet = await shop.create(), PageWallet(answers={"eth_sendTransaction": "0x" + HASH.hex()})
    async with street.visit(payment, wallet) as visit:
        page = visit.page
        await visit.press("Test Wallet")
        await visit.reads("Your payment is on its way")
        # Somebody else's part is not what the wallet sent: that one is on its way still.
        await shop.pay(payment, 4 * WHOLE)
        await expect(page.locator("[data-part=underpaid]")).to_be_visible()
        await visit.reads("Your payment is on its way")

        arrived = replace(shop.deposit(payment, 10 * WHOLE, "USDT"), tx_hash=HASH)
        await shop.mine(deposits=[arrived])
        for _ in range(2):
            await visit.reads("Part of it has arrived")
            await expect(page.locator("#live")).to_contain_text("Still to send: 11.00 USDT")
            await expect(page.locator(".qr")).to_be_visible()
            await expect(visit.section).not_to_contain_text("Sent.")
            await expect(visit.section.get_by_role("button", name="Test Wallet")).to_be_visible()
            await page.reload()
        assert visit.nothing_was_wrong()
