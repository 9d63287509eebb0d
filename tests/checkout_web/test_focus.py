"""The focus goes where the customer's own doing leads it, and nothing else moves it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.lookups import HASH, Nodes
from tests.checkout_web.scenes import WHOLE, Shop
from tests.support.provider import NEVER, PageWallet, emit, error

WHERE = "document.activeElement === document.body ? 'nowhere' : document.activeElement.id"


@pytest.fixture
def page_settings() -> dict[str, Any]:
    return {"transactions": Nodes()}


async def paste(page: Page, pasted: str) -> None:
    if not await page.get_by_label("The transaction’s hash").is_visible():
        await page.get_by_text("I already paid").click()
    await page.get_by_label("The transaction’s hash").fill(pasted)


async def test_news_leave_the_focus_where_nobody_put_it(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        assert await visit.page.evaluate(WHERE) == "nowhere"
        for units, heading in ((10, "Part of it has arrived"), (15, "Payment found")):
            await shop.pay(payment, units * WHOLE)
            await visit.reads(heading)
            assert await visit.page.evaluate(WHERE) == "nowhere"
        await shop.confirm(payment)
        await visit.reads("Paid. Thank you!")
        assert await visit.page.evaluate(WHERE) == "nowhere"


async def test_news_do_not_take_the_focus_out_of_a_field_or_what_is_typed_in_it(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        await paste(visit.page, "0x12")
        await visit.page.get_by_label("The transaction’s hash").press("ArrowLeft")
        await shop.pay(payment, 10 * WHOLE)
        await visit.reads("Part of it has arrived")
        await visit.page.keyboard.type("3")
        field = visit.page.get_by_label("The transaction’s hash")
        await expect(field).to_be_focused()
        await expect(field).to_have_value("0x132")


async def test_choosing_how_to_pay_keeps_the_focus_on_what_was_chosen(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        for chosen in ("token-USDC", "token-BNB", "qr-address", "qr-transfer"):
            if await visit.page.locator(f"#{chosen}").count() == 0:
                continue
            await visit.page.locator(f"#{chosen}").focus()
            await visit.page.keyboard.press("Enter")
            await expect(visit.page.locator(f"#{chosen}")).to_have_attribute("aria-current", "true")
            await expect(visit.page.locator(f"#{chosen}")).to_be_focused()


async def test_an_answer_to_a_pasted_text_comes_without_the_focus(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        await paste(visit.page, "0x" + HASH.hex())
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.locator("[data-found=unknown]")).to_be_visible()
        await expect(visit.page.get_by_label("The transaction’s hash")).to_be_focused()


async def test_a_wallet_pressed_by_key_leads_to_what_became_of_it(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    wallet = PageWallet(answers={"eth_requestAccounts": error(4001)})
    async with street.visit(payment, wallet) as visit:
        await visit.section.get_by_role("button", name="Test Wallet").focus()
        await visit.page.keyboard.press("Enter")
        await visit.says("You refused in Test Wallet.")
        status = visit.section.locator("[data-wallet-status]")
        await expect(status).to_be_focused()
        wallet.answers.clear()
        await visit.section.get_by_role("button", name="Try again").focus()
        await visit.page.keyboard.press("Enter")
        await visit.says("Sent.")
        await expect(visit.page.locator("[data-wallet-status]")).to_be_focused()


async def test_starting_over_leads_the_focus_to_the_wallets_again(street: Street, shop: Shop) -> None:
    payment, wallet = await shop.create(), PageWallet(answers={"eth_sendTransaction": NEVER})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer")
        await visit.section.get_by_role("button", name="Start over").press("Enter")
        await expect(visit.section.get_by_role("button", name="Test Wallet")).to_be_focused()


async def test_a_wallets_answer_does_not_fetch_the_focus_from_elsewhere(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    wallet = PageWallet(answers={"eth_sendTransaction": NEVER})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer")
        await paste(visit.page, "0x12")
        await emit(visit.page, wallet, "accountsChanged", ["0x" + "cd" * 20])
        await visit.says("Your wallet was changed to another account or network.")
        await expect(visit.page.get_by_label("The transaction’s hash")).to_be_focused()


async def test_canceling_begins_the_next_page_at_its_top(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        await visit.page.get_by_text("Cancel this payment").click()
        await visit.page.get_by_role("button", name="Cancel and return").click()
        await visit.reads("This payment was canceled")
        assert await visit.page.evaluate(WHERE) == "nowhere"
        await visit.page.keyboard.press("Tab")
        await expect(visit.page.get_by_role("link", name="Skip to the payment")).to_be_focused()
