"""The page in a real browser: what a customer sees, can scan, and can do with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, expect

from checkout_web.view import Part
from openpay.domain.address import to_checksum
from openpay.domain.payment import Payment, Status
from openpay.domain.uris import transfer_uri
from openpay.store import Store
from tests.checkout_web.scenes import ORDER, USDC, USDT, WHOLE, Shop
from tests.support.browser import open_browser, scan

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)
NARROW = ViewportSize(width=320, height=640)

AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


class Visit:
    """A customer's browser, and everything it complained about or asked another host for."""

    def __init__(self, page: Page, server: TestServer) -> None:
        self.page = page
        self._server = server
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    async def open(self, payment: Payment, query: str = "") -> Page:
        await self.page.goto(str(self._server.make_url(f"/checkout/{payment.id}")) + query)
        return self.page

    def assert_nothing_was_wrong(self) -> None:
        assert self.complaints == []
        assert self.hosts == {f"{self._server.host}:{self._server.port}"}


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


@pytest_asyncio.fixture(loop_scope="module")
async def server(shop: Shop) -> AsyncIterator[TestServer]:
    async with TestServer(shop.application()) as started:
        yield started


@asynccontextmanager
async def visiting(
    browser: Browser, server: TestServer, size: ViewportSize = DESKTOP, **options: Any
) -> AsyncIterator[Visit]:
    context = await browser.new_context(viewport=size, timezone_id="UTC", locale="en-GB", **options)
    try:
        yield Visit(await context.new_page(), server)
    finally:
        await context.close()


def heading(page: Page, text: str) -> Any:
    return expect(page.get_by_role("heading", level=2)).to_have_text(text)


# --- scanning ----------------------------------------------------------------------------------------------------


async def test_the_qr_codes_hold_the_exact_transfer_and_the_plain_address(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    bnb = payment.offer("BNB")
    assert bnb is not None
    exact = {
        "USDT": transfer_uri(chain_id=56, to=payment.address, units=25 * WHOLE, contract=USDT.contract),
        "USDC": transfer_uri(chain_id=56, to=payment.address, units=25 * WHOLE, contract=USDC.contract),
        "BNB": transfer_uri(chain_id=56, to=payment.address, units=bnb.full_units, contract=None),
    }
    async with visiting(browser, server) as visit:
        page = await visit.open(payment)
        for token, uri in exact.items():
            await page.get_by_role("link", name=token, exact=True).click()
            await expect(page.locator(f"#token-{token}")).to_have_attribute("aria-current", "true")
            assert await scan(page) == uri
        await page.get_by_role("link", name="Address only").click()
        await expect(page.locator("#qr-address")).to_have_attribute("aria-current", "true")
        assert await scan(page) == to_checksum(payment.address)
        assert page.url.endswith("?token=BNB&qr=address")  # survives a reload
        visit.assert_nothing_was_wrong()
    async with visiting(browser, server, PHONE, color_scheme="dark") as visit:
        assert await scan(await visit.open(payment, "?token=USDC")) == exact["USDC"]


async def test_after_a_partial_deposit_the_qr_code_asks_for_the_rest(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.scene(Part.UNDERPAID)
    async with visiting(browser, server) as visit:
        page = await visit.open(payment)
        assert await scan(page) == transfer_uri(
            chain_id=56, to=payment.address, units=15 * WHOLE, contract=USDT.contract
        )


# --- live --------------------------------------------------------------------------------------------------------


async def test_the_page_follows_the_payment_to_its_end_without_reloading(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with visiting(browser, server) as visit:
        page = await visit.open(payment)
        await page.evaluate("window.stillTheSamePage = true")
        await heading(page, "Waiting for your payment")
        await shop.pay(payment, 10 * WHOLE)
        await heading(page, "Part of it has arrived")
        await expect(page.locator("#announcer")).to_have_text("Part of it has arrived")
        await shop.pay(payment, 15 * WHOLE)
        await heading(page, "Payment found")
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "1")
        for _ in range(4):
            await shop.mine()
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "5")
        await expect(page.locator("#announcer")).to_have_text("Payment found")  # not read out block by block
        for _ in range(6):
            await shop.mine()
        await shop.confirm(payment)
        await heading(page, "Paid. Thank you!")
        assert await page.title() == "Paid. Thank you! – Blue Door Coffee"
        assert await page.evaluate("window.stillTheSamePage")
        visit.assert_nothing_was_wrong()


async def test_an_update_keeps_the_focus_or_moves_it_to_the_new_heading(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with visiting(browser, server) as visit:
        page = await visit.open(payment)
        await page.locator("#copy-address").focus()
        await shop.pay(payment, WHOLE)
        await heading(page, "Part of it has arrived")
        await expect(page.locator("#copy-address")).to_be_focused()
        await shop.pay(payment, 24 * WHOLE)
        await heading(page, "Payment found")
        await expect(page.locator("#state-heading")).to_be_focused()


async def test_where_events_do_not_come_through_the_page_polls(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with visiting(browser, server) as visit:
        await visit.page.route("**/events?*", lambda route: route.abort())
        await visit.page.clock.install()
        page = await visit.open(payment)
        await shop.pay(payment)
        await page.clock.run_for(10_000)
        await heading(page, "Payment found")


async def test_a_view_that_lags_is_said_once_and_so_is_its_end(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with visiting(browser, server) as visit:
        page = await visit.open(payment)
        line, announced = page.locator("[data-behind]"), page.locator("#announcer")
        await expect(line).to_have_count(0)
        shop.clock.seconds += 60
        await expect(line).to_contain_text("about 60 seconds behind")
        await expect(announced).to_contain_text("Catching up with the network: about 60 seconds behind.")
        shop.clock.seconds += 120
        await expect(line).to_contain_text("about 3 minutes behind")
        await expect(announced).to_contain_text("about 60 seconds behind")  # not read out minute by minute
        await shop.mine()
        await expect(line).to_have_count(0)
        await expect(announced).to_have_text("Up to date with the network again.")
        visit.assert_nothing_was_wrong()


async def test_the_countdown_ticks_silently_and_speaks_at_thresholds(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create(expires_in=330)
    async with visiting(browser, server) as visit:
        await visit.page.clock.install()
        page = await visit.open(payment)
        timer = page.get_by_role("timer")
        await expect(timer).to_have_text(re.compile("5:[0-3][0-9]"))
        await expect(page.locator("#announcer")).to_be_empty()
        # At once each time: the server, whose time stands still here, tells it every now and then.
        await page.clock.fast_forward(30_000)
        await expect(timer).to_have_text(re.compile("5:00|4:[0-9]{2}"))
        await expect(page.locator("#announcer")).to_have_text("5 minutes left to pay")
        await page.clock.fast_forward(240_000)
        await expect(page.locator("#announcer")).to_have_text("1 minute left to pay")
        shop.clock.seconds = payment.deadline + 1
        await page.clock.fast_forward(62_000)
        await heading(page, "Time is up")


async def test_copy_buttons_copy_the_exact_amount_and_the_whole_address(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    permissions = ["clipboard-read", "clipboard-write"]
    async with visiting(browser, server, permissions=permissions) as visit:
        page = await visit.open(payment, "?token=BNB")
        for name, copied in (
            ("Copy the amount", "0.040826991540647353"),
            ("Copy the address", to_checksum(payment.address)),
        ):
            await page.get_by_role("button", name=name).click()
            await expect(page.locator("#announcer")).to_have_text("Copied")
            assert await page.evaluate("navigator.clipboard.readText()") == copied


async def test_the_success_page_goes_on_by_itself_unless_stopped(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.scene(Part.PAID, **ORDER)
    async with visiting(browser, server) as visit:
        page = visit.page
        await page.route("https://shop.example/**", lambda route: route.fulfill(body="thanks"))
        await page.clock.install()
        await visit.open(payment)
        await page.get_by_role("button", name="Stay here").click()
        await expect(page.get_by_role("link", name="Return to Blue Door Coffee")).to_be_focused()
        await shop.pay(payment, WHOLE, "USDC")
        await expect(page.get_by_text("more than was asked for")).to_be_visible()  # an update starts nothing again
        await page.clock.run_for(60_000)
        await heading(page, "Paid. Thank you!")
        await visit.open(payment)
        await expect(page.get_by_text("You will be taken back in 8 seconds.")).to_be_visible()
        await page.clock.run_for(9_000)
        await page.wait_for_url(f"https://shop.example/thanks?payment={payment.id}")


async def test_the_customer_cancels_on_the_page(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with visiting(browser, server) as visit:
        await visit.page.route("https://shop.example/**", lambda route: route.fulfill(body="basket"))
        page = await visit.open(payment)
        await page.get_by_text("Cancel this payment").click()
        await page.get_by_role("button", name="Cancel and return").click()
        await page.wait_for_url("https://shop.example/basket")
        assert visit.complaints == []  # the policy lets the form's redirect through
    assert (await shop.get(payment)).status is Status.CANCELED


# --- without JavaScript --------------------------------------------------------------------------------------------


async def test_without_javascript_everything_needed_to_pay_is_there(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create(open_page=False)
    async with visiting(browser, server, PHONE, java_script_enabled=False) as visit:
        page = await visit.open(payment)
        assert (await shop.get(payment)).status is Status.PENDING
        await expect(page.get_by_text("26 March 2026, 13:30 UTC")).to_be_visible()
        await expect(page.get_by_role("button", name="Copy")).to_have_count(0)
        await page.get_by_role("link", name="USDC").click()
        await page.get_by_role("link", name="Address only").click()
        assert await scan(page) == to_checksum(payment.address)
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        await shop.pay(payment, 25 * WHOLE, "USDC")
        await page.reload()  # as the page does by itself after a while
        await heading(page, "Payment found")
        await shop.confirm(payment)
        await page.reload()
        await heading(page, "Paid. Thank you!")
        visit.assert_nothing_was_wrong()


async def test_without_javascript_a_view_that_lags_is_said_too(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    shop.clock.seconds += 300
    async with visiting(browser, server, PHONE, java_script_enabled=False) as visit:
        page = await visit.open(payment)
        await expect(page.get_by_text("Catching up with the network: about 5 minutes behind.")).to_be_visible()
        await shop.mine()
        await page.reload()
        await expect(page.locator("[data-behind]")).to_have_count(0)


async def test_without_javascript_the_customer_can_cancel(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment = await shop.create()
    async with visiting(browser, server, java_script_enabled=False) as visit:
        page = await visit.open(payment)
        await page.get_by_text("Cancel this payment").click()
        await page.get_by_role("button", name="Cancel and return").click()
        await heading(page, "This payment was canceled")


# --- for everybody -------------------------------------------------------------------------------------------------


async def test_the_message_for_an_unknown_payment_is_accessible(browser: Browser, server: TestServer) -> None:
    async with visiting(browser, server, NARROW) as visit:
        await visit.page.goto(str(server.make_url("/checkout/pay_unknown")))
        assert (await Axe().run(visit.page, options=AXE_RULES)).violations_count == 0
