"""`I already paid` in a real browser, with and without JavaScript; and the links that open a phone's wallet."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from openpay.domain.deep_links import deep_links
from openpay.domain.finding import TransactionState
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.lookups import HASH, Nodes, to_us
from tests.checkout_web.scenes import USDC, WHOLE, Shop
from tests.checkout_web.watching import violations
from tests.support.browser import ON_A_PHONE, PHONE


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest.fixture
def page_settings(nodes: Nodes) -> dict[str, Any]:
    return {"transactions": nodes}


async def look_for(page: Page, pasted: str) -> None:
    if not await page.get_by_label("The transaction’s hash").is_visible():
        await page.get_by_text("I already paid").click()
    await page.get_by_label("The transaction’s hash").fill(pasted)
    await page.get_by_role("button", name="Look for it").click()


async def test_a_customer_is_told_in_place_and_the_page_goes_on_by_itself(
    street: Street, shop: Shop, nodes: Nodes
) -> None:
    payment = await shop.create()
    pasted = nodes.show(to_us(payment), state=TransactionState.PENDING)
    async with street.visit(payment) as visit:
        page = visit.page
        address = page.url
        answer = page.locator("[data-lookup-answer]")
        await expect(answer).to_have_attribute("role", "status")
        await look_for(page, f"  {pasted}\u200b")
        await expect(answer).to_contain_text("Found: 25.00 USDT, the right token to the right address.")
        assert page.url == address
        assert await violations(page) == []
        assert await page.evaluate("document.activeElement.textContent.trim()") == "Look for it"

        # News of the payment take neither the answer away nor what was typed.
        await shop.pay(payment, 10 * WHOLE)
        await visit.reads("Part of it has arrived")
        await expect(answer).to_contain_text("Found: 25.00 USDT")
        assert pasted in await page.get_by_label("The transaction’s hash").input_value()

        # The next answer takes the last one's place.
        await look_for(page, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
        await expect(answer).to_contain_text("This looks like Tron.")
        await expect(answer).not_to_contain_text("Found")

        await shop.pay(payment, 15 * WHOLE)
        await shop.confirm(payment)
        await visit.reads("Paid. Thank you!")
        await expect(page.get_by_text("I already paid")).to_be_hidden()


async def test_a_page_that_is_offline_says_so_and_may_be_asked_again(street: Street, shop: Shop, nodes: Nodes) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        page = visit.page
        await page.context.set_offline(True)
        await look_for(page, "0x" + HASH.hex())
        await expect(page.get_by_text("The answer did not arrive.")).to_be_visible()
        await page.context.set_offline(False)
        await look_for(page, "0x" + HASH.hex())
        await expect(page.locator("[data-found=unknown]")).to_be_visible()
        await expect(page.get_by_text("The answer did not arrive.")).to_be_hidden()


async def test_without_javascript_the_page_comes_back_with_the_answer_and_stays(
    street: Street, shop: Shop, nodes: Nodes
) -> None:
    payment = await shop.create()
    async with street.visit(payment, java_script_enabled=False) as visit:
        page = visit.page
        await page.get_by_role("link", name="USDC", exact=True).click()
        await look_for(page, nodes.show(to_us(payment, 10, USDC.contract)))
        await expect(page.locator("[data-found=too_little]")).to_contain_text("Still to send after it: 15.00 USDC.")
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        await page.get_by_role("link", name="Back to the payment").click()
        await expect(page.locator("[data-found]")).to_have_count(0)
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")


async def test_a_phone_is_offered_its_wallets_with_the_exact_transfer(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment, size=PHONE, **ON_A_PHONE) as visit:
        page = visit.page
        await page.get_by_role("link", name="USDC", exact=True).click()
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        expected = deep_links(chain_id=56, to=payment.address, units=25 * WHOLE, decimals=18, contract=USDC.contract)
        for link in expected:
            shown = page.get_by_role("link", name=link.wallet)
            await expect(shown).to_be_visible()
            await expect(shown).to_have_attribute("href", link.url)
        assert len(expected) == 2
    async with street.visit(payment) as visit:
        await expect(visit.page.get_by_role("link", name="Trust Wallet")).to_be_hidden()
