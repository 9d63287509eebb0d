"""After a wallet has sent: that is the main thing, and nothing on the page asks for the money a second time."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import WHOLE, Shop
from tests.support.provider import NEVER, PageWallet

ON_ITS_WAY = "Your payment is on its way"
WAITING = "Waiting for your payment"


async def test_the_ways_to_pay_are_folded_until_they_are_asked_for(street: Street, shop: Shop) -> None:
    payment, wallet = await shop.create(), PageWallet()
    async with street.visit(payment, wallet) as visit:
        page = visit.page
        qr, address, cancel = page.locator(".qr"), page.locator(".where .hex").first, page.get_by_text("Cancel this")
        await expect(qr).to_be_visible()
        await visit.press("Test Wallet")
        await visit.says("Sent. 25.00 USDT from Test Wallet.")
        await visit.reads(ON_ITS_WAY)
        timer, beginners = page.get_by_role("timer"), page.locator(".first-time")
        for part in (qr, address, page.locator(".ask"), page.locator(".choices"), cancel, timer, beginners):
            await expect(part).to_be_hidden()
        await expect(page.get_by_role("region", name="Sent. 25.00 USDT from Test Wallet.")).to_be_visible()

        # Over a reload, and with all that may be needed once more behind a warning.
        await page.reload()
        await visit.reads(ON_ITS_WAY)
        await expect(qr).to_be_hidden()
        await page.get_by_text("Address and QR code").click()
        await expect(qr).to_be_visible()
        await expect(page.locator("[data-way]")).to_contain_text("you have paid twice")

        # News leave it as the customer left it.
        await shop.pay(payment, 10 * WHOLE)
        await expect(page.locator("[data-part=underpaid]")).to_be_visible()
        await expect(page.get_by_text("Received so far: 10.00 USDT")).to_be_visible()
        await expect(page.get_by_text("Still to send: 15.00 USDT")).to_be_hidden()
        await expect(qr).to_be_visible()
        await page.get_by_text("Address and QR code").click()
        await expect(qr).to_be_hidden()
        await shop.pay(payment, 15 * WHOLE)
        await visit.reads("Payment found")
        assert visit.nothing_was_wrong()


async def test_sending_again_unfolds_them_and_going_back_folds_them(street: Street, shop: Shop) -> None:
    payment, wallet = await shop.create(), PageWallet()
    async with street.visit(payment, wallet) as visit:
        qr = visit.page.locator(".qr")
        await visit.press("Test Wallet")
        await visit.reads(ON_ITS_WAY)
        await visit.section.get_by_text("Send again", exact=True).click()
        await visit.press("Send again anyway")
        await visit.reads(WAITING)
        await expect(qr).to_be_visible()
        await expect(visit.page.locator(".first-time")).to_be_visible()
        await visit.press("Back")
        await visit.reads(ON_ITS_WAY)
        await expect(qr).to_be_hidden()


@pytest.mark.nightly
async def test_a_request_left_open_in_a_wallet_is_told_why_to_be_refused(street: Street, shop: Shop) -> None:
    reasons = {"cancel": "takes no more money", "pay": "made from elsewhere"}
    for happens, reason in reasons.items():
        payment, wallet = await shop.create(), PageWallet(answers={"eth_sendTransaction": NEVER})
        async with street.visit(payment, wallet) as visit:
            await visit.press("Test Wallet")
            await visit.says("Approve the transfer")
            if happens == "cancel":
                async with shop.store.write() as uow:
                    await shop.service.cancel(uow, payment.id)
                shop.signals.notify("payments", "events")
            else:
                await shop.pay(payment)
            await expect(visit.page.get_by_role("alert")).to_contain_text(reason)
            await expect(visit.page.get_by_role("alert")).to_contain_text("in Test Wallet")
            await visit.page.evaluate("dispatchEvent(new StorageEvent('storage', {key: 'x'}))")
            await expect(visit.page.get_by_role("alert")).to_have_count(1)


@pytest.mark.parametrize(
    "wallets", [(), (PageWallet(),), (PageWallet(injected=True),)], ids=["none", "announced", "old"]
)
async def test_what_only_a_wallet_needs_is_loaded_when_there_is_one(
    street: Street, shop: Shop, wallets: tuple[PageWallet, ...]
) -> None:
    payment = await shop.create()
    async with street.visitor(wallets=wallets) as visit:
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        await visit.open(payment)
        await expect(visit.page.locator("[data-countdown]")).to_be_visible()
        if wallets:
            await expect(visit.section.get_by_role("button")).to_be_visible()
        assert ("wallet.js" in asked) is bool(wallets)
        assert ("wallet_paying.js" in asked) is bool(wallets)
        assert "claim.js" not in asked  # there is nothing to sign
        assert visit.nothing_was_wrong()


async def test_a_wallets_button_keeps_the_focus_when_another_tab_or_wallet_is_heard_of(
    street: Street, shop: Shop
) -> None:
    payment = await shop.create()
    async with street.visit(payment, PageWallet()) as visit:
        button = visit.section.get_by_role("button", name="Test Wallet")
        await button.focus()
        await visit.page.evaluate(
            "dispatchEvent(new StorageEvent('storage', {key: 'x'})); dispatchEvent(new Event('ethereum#initialized'))"
        )
        await expect(button).to_be_focused()


async def test_the_account_is_told_with_a_sensible_sum(street: Street, shop: Shop) -> None:
    payment, wallet = await shop.create(), PageWallet(token_units=1_999_998_154_449_563_508_974_123)
    wallet.answers["eth_sendTransaction"] = NEVER
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("holds 1999998.154449 USDT.")


@pytest.mark.nightly
async def test_sums_and_names_keep_their_direction_in_arabic(street: Street, shop: Shop) -> None:
    payment, wallet = await shop.create(), PageWallet()
    async with street.visit(payment, wallet, query="?lang=ar") as visit:
        await visit.press("Test Wallet")
        await visit.says("\u206825.00 USDT\u2069")
        await visit.says("\u2068Test Wallet\u2069")
