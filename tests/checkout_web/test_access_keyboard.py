"""The page by keyboard alone, and by ear: where the focus goes, whether it is seen, and what is announced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from checkout_web.content.view import Part
from openpay.domain.payment import Payment
from openpay.domain.refunds import RefundStatus
from tests.checkout_web.gallery import Exhibit
from tests.checkout_web.scenes import ORDER
from tests.checkout_web.watching import Gallery, open_gallery
from tests.support.browser import DESKTOP, PHONE

SHOWN = ("refund_claim", Part.PAID, Part.WAITING)
THERE = "0x52908400098527886E0F7030069857D2E4169EE7"

# Everything that can be worked, as it stands in the document, which is the order in which it is read out.
REACHABLE = """() => [...document.querySelectorAll("a[href], button, summary, input, select, textarea, [tabindex]")]
  .filter((element) => element.checkVisibility() && element.tabIndex >= 0)
  .filter((element) => !element.disabled && element.type !== "hidden")
  .map((element, at) => { element.dataset.stop = at; return at; })"""

# Where the focus is, and how it shows; null: back in the browser's own bars.
FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body || element === document.documentElement) return null;
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const middle = document.elementFromPoint(
    Math.max(0, Math.min(box.left + box.width / 2, innerWidth - 1)),
    Math.max(0, Math.min(box.top + box.height / 2, innerHeight - 1)),
  );
  return {
    stop: Number(element.dataset.stop),
    name: element.textContent.trim() || element.id,
    ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && !/, 0\\)$/.test(outlineColor),
    uncovered: Boolean(middle) && (element.contains(middle) || middle.contains(element)),
    inView: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    box: { top: box.top + scrollY, bottom: box.bottom + scrollY, left: box.left, right: box.right },
  };
}"""

# Each change of a region that is read out by itself, as the text that it then holds. One entry for each batch of
# changes: filling a region is several of them.
LISTEN = """() => {
  window.heard = [];
  const regions = "[role=status], [role=alert], [role=log], [aria-live=polite], [aria-live=assertive]";
  new MutationObserver((changes) => {
    const elements = changes.map(({ target }) => (target instanceof Element ? target : target.parentElement));
    const changed = new Set(elements.map((element) => element?.closest(regions)).filter(Boolean));
    for (const region of changed) {
      const text = region.textContent.trim();
      if (text && region.isConnected) window.heard.push(text);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gallery(browser: Browser, module_sqlite_url: str) -> AsyncIterator[Gallery]:
    """One of our own: what is done here changes its payments and its clock."""
    async with open_gallery(browser, module_sqlite_url, [str(name) for name in SHOWN], **ORDER) as opened:
        yield opened


async def stand_still(page: Page) -> None:
    """Stop the page's clock, so that the paid page does not go on to the shop meanwhile."""
    await page.clock.install(time=1_000)
    await page.clock.pause_at(2_000)


async def walk(page: Page, key: str) -> list[dict[str, Any]]:
    """Press the key until the focus leaves the page: every stop, in order. A trap would never end."""
    stops: list[dict[str, Any]] = []
    for _ in range(80):
        await page.keyboard.press(key)
        stop = await page.evaluate(FOCUSED)
        if stop is None or (stops and stop["stop"] == stops[0]["stop"]):
            return stops
        stops.append(stop)
    raise AssertionError(f"the focus does not leave the page: {[stop['name'] for stop in stops]}")


async def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is there, as somebody without a mouse has to."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by the keyboard")


# --- the focus -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [pytest.param(PHONE, marks=pytest.mark.nightly), DESKTOP], ids=["phone", "desktop"])
async def test_tab_key_reaches_everything_in_the_order_it_is_read_and_leaves_again(
    gallery: Gallery, size: ViewportSize
) -> None:
    async with gallery.page(size) as page:
        await stand_still(page)
        for name in SHOWN:
            await gallery.show(page, gallery[str(name)])
            every = await page.evaluate(REACHABLE)
            there = await walk(page, "Tab")

            assert [stop["stop"] for stop in there] == every, f"{name}: {[stop['name'] for stop in there]}"
            for stop in there:
                assert stop["ring"], f"{name}: the focus is not seen on {stop['name']!r}"
                assert stop["inView"], f"{name}: {stop['name']!r} has the focus out of sight"
                assert stop["uncovered"], f"{name}: something lies over {stop['name']!r}"
            for before, after in pairwise(there):
                assert goes_on(before["box"], after["box"]), (
                    f"{name}: from {before['name']!r} back to {after['name']!r}"
                )

            assert await page.locator("[tabindex]:not([tabindex='-1'], [tabindex='0'])").count() == 0
            await page.evaluate("document.activeElement.blur()")


def goes_on(before: dict[str, float], after: dict[str, float]) -> bool:
    """Whether the eye goes on down the page or, at most, to the next column."""
    return after["bottom"] > before["top"] or after["left"] >= before["right"]


@pytest.mark.nightly
async def test_the_way_back_is_the_same_way(gallery: Gallery) -> None:
    async with gallery.page() as page:
        await stand_still(page)
        for name in SHOWN:
            await gallery.show(page, gallery[str(name)])
            every = await page.evaluate(REACHABLE)
            await page.locator("footer a").last.focus()
            back = [await page.evaluate(FOCUSED), *await walk(page, "Shift+Tab")]
            assert [stop["stop"] for stop in back] == every[::-1]


async def test_first_stop_skips_to_the_payment(gallery: Gallery) -> None:
    async with gallery.page(PHONE) as page:
        await gallery.show(page, gallery[Part.WAITING])
        await page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the payment")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.getElementById('live').contains(document.activeElement)")


async def test_waiting_page_is_worked_without_a_mouse(gallery: Gallery) -> None:
    async with gallery.page() as page:
        await gallery.show(page, gallery[Part.WAITING])
        await tab_to(page, "#token-USDC")
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        await expect(page.locator("#token-USDC")).to_be_focused()
        await tab_to(page, "#copy-address")
        await page.keyboard.press("Space")
        await expect(page.locator("#announcer")).to_have_text("Copied")
        await expect(page.locator("#copy-address")).to_be_focused()
        await tab_to(page, ".cancel summary")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Cancel and return")).to_be_focused()


async def test_paid_page_is_stopped_without_a_mouse(gallery: Gallery) -> None:
    async with gallery.page() as page:
        await stand_still(page)
        await gallery.show(page, gallery[Part.PAID])
        await tab_to(page, "#onward-stop")
        await page.keyboard.press("Space")
        await expect(page.locator("#onward")).to_be_focused()
        await tab_to(page, "#print")


# --- what is announced ---------------------------------------------------------------------------------------------


STATE = "**/state?*"


@asynccontextmanager
async def listening(gallery: Gallery, payment: Payment) -> AsyncIterator[Page]:
    """The payment's page with a clock of ours. It polls, and hears that nothing has changed until there is `news`: the
    server's clock, by which it counts, does not move with the page's."""
    async with gallery.page() as page:
        await page.clock.install()
        await page.add_init_script(f"({LISTEN})()")
        await page.route(STATE, _nothing_new)
        await gallery.show(page, Exhibit(name="live", payment=payment))
        assert await heard(page) == []
        yield page


async def _nothing_new(route: Route) -> None:
    await route.fulfill(status=304)


async def news(page: Page, title: str) -> None:
    """Let the page ask the server, until it shows this state."""
    await page.unroute(STATE)
    await page.clock.run_for(61_000)  # the longest it waits between two questions
    await expect(page.get_by_role("heading", level=2)).to_have_text(title)


async def heard(page: Page) -> list[str]:
    said: list[str] = await page.evaluate("heard")
    return said


async def test_each_threshold_of_the_countdown_and_its_end_are_said_once(gallery: Gallery) -> None:
    payment = await gallery.shop.create(expires_in=660)
    async with listening(gallery, payment) as page:
        said = []
        for seconds, threshold in ((65, "10 minutes"), (300, "5 minutes"), (240, "1 minute")):
            await page.clock.run_for(seconds * 1_000)
            said.append(f"{threshold} left to pay")
            assert await heard(page) == said
        await page.clock.run_for(70_000)
        assert await page.get_by_role("timer").inner_text() == "0:00"
        assert await heard(page) == said  # what that means is the server's to say

        gallery.shop.clock.seconds = payment.deadline + 1
        await gallery.shop.mine()
        await news(page, "Time is up")
        assert await heard(page) == [*said, "Time is up"]


async def test_after_the_payment_is_found_the_countdown_is_silent_and_so_are_confirmations(gallery: Gallery) -> None:
    payment = await gallery.shop.create(expires_in=620)
    async with listening(gallery, payment) as page:
        await page.clock.run_for(30_000)
        said = ["10 minutes left to pay"]
        assert await heard(page) == said

        await gallery.shop.pay(payment)
        await news(page, "Payment found")
        said.append("Payment found")
        assert await heard(page) == said

        await page.clock.run_for(700_000)
        for _ in range(4):
            await gallery.shop.mine()
        await page.clock.run_for(61_000)
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "5")
        assert await heard(page) == said

        await gallery.shop.confirm(payment)
        await news(page, "Paid. Thank you!")
        assert await heard(page) == [*said, "Paid. Thank you!"]


# Last: it changes an exhibit.
async def test_refund_is_claimed_without_a_mouse(gallery: Gallery) -> None:
    exhibit = gallery["refund_claim"]
    async with gallery.page() as page:
        await gallery.show(page, exhibit)
        await tab_to(page, "input[name=destination]")
        await page.keyboard.type(THERE[:-1] + "e")
        await page.keyboard.press("Enter")
        field = page.locator("[aria-invalid]")
        await expect(page.get_by_text("This is not an address")).to_be_visible()
        await expect(field).to_be_focused()
        await page.keyboard.press("End")
        await page.keyboard.press("Backspace")
        await page.keyboard.type(THERE[-1])
        await tab_to(page, "button[value=ask]")
        await page.keyboard.press("Space")
        await expect(page.get_by_text("has to approve it before")).to_be_visible()
    async with gallery.shop.store.read() as uow:
        refunds = (await uow.refunds.of([exhibit.payment.id]))[exhibit.payment.id]
    assert RefundStatus.REQUESTED in {refund.status for refund in refunds}
