"""Every language in a real browser: nothing is wider than the smallest telephone, and Arabic reads from the right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from checkout_web.language import LANGUAGES
from checkout_web.view import Part
from openpay.store import Store
from tests.checkout_web.gallery import every_state
from tests.checkout_web.scenes import ORDER, Shop
from tests.support.browser import open_browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAIN_STATES = (Part.WAITING, Part.UNDERPAID, Part.CONFIRMING, Part.PAID, Part.EXPIRED_RECEIVED, "refund_claim")


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


async def opened(browser: Browser, server: TestServer, path: str, **options: Any) -> Page:
    context = await browser.new_context(timezone_id="UTC", **options)
    page = await context.new_page()
    await page.goto(str(server.make_url(path)))
    return page


# Shows another document in the page's place: its stylesheet stays, and a hundred pages take a second.
_WIDER_THAN_THE_SCREEN = """async (addresses) => {
  const wide = [];
  for (const address of addresses) {
    const answer = await fetch(address);
    const shown = new DOMParser().parseFromString(await answer.text(), "text/html");
    const { lang, dir } = shown.documentElement;
    Object.assign(document.documentElement, { lang, dir });
    document.body.replaceChildren(...shown.body.childNodes);
    for (const part of document.querySelectorAll("details")) part.open = true;
    for (const part of document.querySelectorAll("[hidden]")) part.hidden = false;
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth > clientWidth) {
      const out = [...document.body.querySelectorAll("*")].filter((part) => {
        const box = part.getBoundingClientRect();
        return box.right > clientWidth + 0.5 || box.left < -0.5;
      });
      wide.push(`${address}: ${scrollWidth}, ${out.slice(-3).map((part) => part.outerHTML.slice(0, 120)).join(" | ")}`);
    }
  }
  return wide;
}"""


async def test_no_language_is_wider_than_the_smallest_telephone_in_any_main_state(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    exhibits = await every_state(shop, [str(name) for name in MAIN_STATES], **ORDER, allow_retry=True)
    addresses = [
        f"{exhibit.path}{'&' if exhibit.query else '?'}lang={code}" for exhibit in exhibits for code in LANGUAGES
    ]
    assert len(addresses) >= len(MAIN_STATES) * len(LANGUAGES)
    page = await opened(browser, server, exhibits[0].path, viewport={"width": 320, "height": 640})
    assert await page.evaluate(_WIDER_THAN_THE_SCREEN, addresses) == []


async def test_arabic_is_mirrored_and_what_is_compared_by_eye_is_not(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create(**ORDER)
    page = await opened(
        browser, server, f"/checkout/{payment.id}", viewport={"width": 1280, "height": 900}, locale="ar-EG"
    )
    await expect(page.locator("html")).to_have_attribute("dir", "rtl")
    order, main = await page.locator(".order").bounding_box(), await page.locator("main").bounding_box()
    assert order is not None
    assert main is not None
    assert order["x"] > main["x"]
    address = page.locator("dd .hex").first
    assert await address.evaluate("element => getComputedStyle(element).direction") == "ltr"
    first, last = address.locator("span").first, address.locator("span").last
    starts, ends = await first.bounding_box(), await last.bounding_box()
    assert starts is not None
    assert ends is not None
    assert starts["x"] < ends["x"] or starts["y"] < ends["y"]
    clock = page.locator("[data-deadline]")
    assert await clock.evaluate("element => getComputedStyle(element).direction") == "ltr"
    # Latin digits, in the times that the browser writes as well.
    read = await page.locator("body").inner_text()
    assert not any(digit in read for digit in "٠١٢٣٤٥٦٧٨٩")


async def test_the_switch_works_without_scripts_and_scripts_keep_to_it(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create(**ORDER)
    silent = await opened(browser, server, f"/checkout/{payment.id}", java_script_enabled=False, locale="en-GB")
    await silent.get_by_role("link", name="Español").click()
    await expect(silent.get_by_role("heading", level=2)).to_have_text("Esperando tu pago")

    page = await opened(browser, server, f"/checkout/{payment.id}?lang=es", locale="en-GB")
    await page.get_by_role("link", name="BNB", exact=True).click()
    await expect(page.locator(".ask")).to_contain_text("BNB")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Esperando tu pago")
    await page.get_by_role("button", name="Copiar la dirección").click()
    await expect(page.locator("#announcer")).to_have_text("Copiado")
