"""`I already paid` in a real browser, with and without JavaScript; and the links that open a phone's wallet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, expect

from openpay.domain.deep_links import deep_links
from openpay.domain.finding import TransactionState
from openpay.domain.payment import Payment
from openpay.store import Store
from tests.checkout_web.scenes import USDC, WHOLE, Shop
from tests.checkout_web.test_lookup import HASH, Nodes, to_us
from tests.support.browser import open_browser

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)

AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

# One browser for all tests here, so one event loop as well; each test has its own database, server and context.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def shop(sqlite_url: str) -> AsyncIterator[Shop]:
    store = Store.open(sqlite_url)
    yield await Shop.opened(store)
    await store.close()


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest_asyncio.fixture(loop_scope="module")
async def server(shop: Shop, nodes: Nodes) -> AsyncIterator[TestServer]:
    started = TestServer(shop.application(transactions=nodes))
    async with started:
        yield started


@asynccontextmanager
async def visiting(
    browser: Browser, server: TestServer, payment: Payment, size: ViewportSize = DESKTOP, **options: Any
) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport=size, timezone_id="UTC", locale="en-GB", **options)
    try:
        page = await context.new_page()
        await page.goto(str(server.make_url(f"/checkout/{payment.id}")))
        yield page
    finally:
        await context.close()


async def look_for(page: Page, pasted: str) -> None:
    if not await page.get_by_label("The transaction’s hash").is_visible():
        await page.get_by_text("I already paid").click()
    await page.get_by_label("The transaction’s hash").fill(pasted)
    await page.get_by_role("button", name="Look for it").click()


async def test_a_customer_is_told_in_place_and_the_page_goes_on_by_itself(
    browser: Browser, server: TestServer, shop: Shop, nodes: Nodes
) -> None:
    payment = await shop.create()
    pasted = nodes.show(to_us(payment), state=TransactionState.PENDING)
    async with visiting(browser, server, payment) as page:
        address = page.url
        answer = page.locator("[data-lookup-answer]")
        await expect(answer).to_have_attribute("role", "status")
        await look_for(page, f"  {pasted}\u200b")
        await expect(answer).to_contain_text("Found: 25.00 USDT, the right token to the right address.")
        assert page.url == address
        assert (await Axe().run(page, options=AXE_RULES)).response["violations"] == []
        assert await page.evaluate("document.activeElement.textContent.trim()") == "Look for it"

        # News of the payment take neither the answer away nor what was typed.
        await shop.pay(payment, 10 * WHOLE)
        await expect(page.get_by_role("heading", level=2)).to_have_text("Part of it has arrived")
        await expect(answer).to_contain_text("Found: 25.00 USDT")
        assert pasted in await page.get_by_label("The transaction’s hash").input_value()

        # The next answer takes the last one's place.
        await look_for(page, "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
        await expect(answer).to_contain_text("This looks like Tron.")
        await expect(answer).not_to_contain_text("Found")

        await shop.pay(payment, 15 * WHOLE)
        await shop.confirm(payment)
        await expect(page.get_by_role("heading", level=2)).to_have_text("Paid. Thank you!")
        await expect(page.get_by_text("I already paid")).to_be_hidden()


async def test_a_page_that_is_offline_says_so_and_may_be_asked_again(
    browser: Browser, server: TestServer, shop: Shop, nodes: Nodes
) -> None:
    payment = await shop.create()
    async with visiting(browser, server, payment) as page:
        await page.context.set_offline(True)
        await look_for(page, "0x" + HASH.hex())
        await expect(page.get_by_text("The answer did not arrive.")).to_be_visible()
        await page.context.set_offline(False)
        await look_for(page, "0x" + HASH.hex())
        await expect(page.locator("[data-found=unknown]")).to_be_visible()
        await expect(page.get_by_text("The answer did not arrive.")).to_be_hidden()


async def test_without_javascript_the_page_comes_back_with_the_answer_and_stays(
    browser: Browser, server: TestServer, shop: Shop, nodes: Nodes
) -> None:
    payment = await shop.create()
    async with visiting(browser, server, payment, java_script_enabled=False) as page:
        await page.get_by_role("link", name="USDC", exact=True).click()
        await look_for(page, nodes.show(to_us(payment, 10, USDC.contract)))
        await expect(page.locator("[data-found=too_little]")).to_contain_text("Still to send after it: 15.00 USDC.")
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        await page.get_by_role("link", name="Back to the payment").click()
        await expect(page.locator("[data-found]")).to_have_count(0)
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")


async def test_a_phone_is_offered_its_wallets_with_the_exact_transfer(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with visiting(browser, server, payment, PHONE, has_touch=True, is_mobile=True) as page:
        await page.get_by_role("link", name="USDC", exact=True).click()
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        expected = deep_links(chain_id=56, to=payment.address, units=25 * WHOLE, decimals=18, contract=USDC.contract)
        for link in expected:
            shown = page.get_by_role("link", name=link.wallet)
            await expect(shown).to_be_visible()
            await expect(shown).to_have_attribute("href", link.url)
        assert len(expected) == 2
    async with visiting(browser, server, payment, DESKTOP) as page:
        await expect(page.get_by_role("link", name="Trust Wallet")).to_be_hidden()
