"""What the first view of the page costs a customer's telephone, as the browser itself measures it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from checkout_web.content.view import Part
from openpay.app.merchants import change_page
from openpay.app.order import RequestedLine
from openpay.domain.branding import MAX_LOGO_BYTES
from tests.checkout_web.checkout_visits import Street, Visit
from tests.checkout_web.scenes import ORDER, Shop
from tests.support.browser import ON_A_PHONE, PHONE
from tests.support.pictures import picture
from tests.support.provider import PageWallet

BUDGET_BYTES = 60_000
"""Headers included."""


@asynccontextmanager
async def phone(street: Street, **options: Any) -> AsyncIterator[Visit]:
    async with street.visitor(PHONE, **ON_A_PHONE, **options) as visit:
        yield visit


@dataclass
class Meter:
    """Bytes on the wire by address, as the browser's network stack reports them (Chrome DevTools Protocol)."""

    urls: dict[str, str] = field(default_factory=dict)
    bytes_by_url: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    async def of(cls, page: Page) -> Meter:
        meter = cls()
        session = await page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", meter._asked)
        session.on("Network.responseReceived", meter._began)
        session.on("Network.dataReceived", meter._received)
        session.on("Network.loadingFinished", meter._finished)
        await session.send("Network.enable")
        return meter

    def _asked(self, event: dict[str, Any]) -> None:
        self.urls[event["requestId"]] = event["request"]["url"]

    def _began(self, event: dict[str, Any]) -> None:
        self.bytes_by_url[self.urls[event["requestId"]]] += event["response"]["encodedDataLength"]

    def _received(self, event: dict[str, Any]) -> None:
        self.bytes_by_url[self.urls[event["requestId"]]] += event["encodedDataLength"]

    def _finished(self, event: dict[str, Any]) -> None:
        # The whole, which is what counts; a stream that goes on has only its parts.
        self.bytes_by_url[self.urls[event["requestId"]]] = event["encodedDataLength"]

    def bill(self) -> str:
        """One line for each address, the heaviest first."""
        items = sorted(self.bytes_by_url.items(), key=lambda item: -item[1])
        return "\n" + "\n".join(f"{size:>8,} {urlsplit(url).path}" for url, size in items)

    @property
    def hosts(self) -> set[str]:
        """Whom the page asked for something. A wallet's icon is asked of nobody: its address holds it."""
        return {urlsplit(url).netloc for url in self.urls.values() if not url.startswith("data:")}

    @property
    def total(self) -> int:
        return sum(size for url, size in self.bytes_by_url.items() if not url.startswith("data:"))


@pytest.mark.parametrize(
    ("query", "wallets"), [("", ()), ("?lang=ar", [PageWallet()])], ids=["usual", "longest words and a wallet"]
)
async def test_first_view_costs_at_most_60_kb_with_the_heaviest_logo_and_asks_nobody_else(
    street: Street, shop: Shop, query: str, wallets: Sequence[PageWallet]
) -> None:
    logo = picture("PNG")
    async with shop.store.write() as uow:
        heavy = logo + bytes(MAX_LOGO_BYTES - len(logo))
        await change_page(uow, shop.merchant.id, accent="#d9480f", logo=heavy)
    payment = await shop.create(**ORDER)
    async with phone(street, wallets=wallets) as visit:
        page = visit.page
        meter = await Meter.of(page)
        await visit.open(payment, query)
        await expect(page.locator("[data-countdown]")).to_be_visible()
        await expect(visit.section.get_by_role("listitem")).to_have_count(len(wallets))
        # What the page itself can see of it agrees, for what has a length.
        seen = await page.evaluate("performance.getEntriesByType('resource').map(entry => entry.transferSize)")
        assert meter.hosts == {f"{street.server.host}:{street.server.port}"}
        assert any("/logo/" in url for url in meter.urls.values())
        assert MAX_LOGO_BYTES < meter.total <= BUDGET_BYTES, meter.bill()
        assert sum(seen) <= BUDGET_BYTES
        assert await page.locator("img.logo").evaluate("image => image.complete && image.naturalWidth") == 96
        accent = await page.locator(".steps [aria-current]").evaluate("e => getComputedStyle(e).borderTopColor")
        assert accent != "rgb(36, 64, 142)"  # the page's own


async def test_reload_asks_again_for_the_document_alone(street: Street, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with phone(street) as visit:
        page = visit.page
        url = street.url(payment)
        await page.goto(url)
        await page.goto("about:blank")
        meter = await Meter.of(page)
        await page.goto(url)
        loaded = {address: size for address, size in meter.bytes_by_url.items() if "/static/" in address}
        assert sum(loaded.values()) == 0, loaded
        assert meter.bytes_by_url[url] > 0


async def test_page_is_of_use_before_any_script_arrives(street: Street, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with phone(street) as visit:
        page = visit.page
        await page.route("**/*.js", lambda route: route.abort())
        await visit.open(payment)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Blue Door Coffee")
        await expect(page.locator(".ask")).to_have_text("25.00 USDT")
        await expect(page.get_by_role("img", name="QR code for 25.00 USDT")).to_be_visible()
        for button in await page.locator("button").all():
            assert not await button.is_visible() or await button.get_attribute("type") == "submit"


async def test_receipt_prints_alone_and_printing_stops_the_way_on(street: Street, shop: Shop) -> None:
    payment = await shop.scene(Part.PAID, **ORDER)
    async with phone(street) as visit:
        page = visit.page
        await page.add_init_script("window.print = () => { window.printed = true; };")
        await visit.open(payment)
        receipt = page.get_by_role("region", name="Receipt")
        for words in ("Blue Door Coffee", ORDER["description"], "25.00 USD", "25.00 USDT", payment.id, "2026"):
            await expect(receipt).to_contain_text(str(words))
        paid = await shop.get(payment)
        assert paid.completion is not None
        assert paid.completion.tx_hash is not None
        await expect(receipt.locator(".hex")).to_have_text("0x" + paid.completion.tx_hash.hex())
        await page.get_by_role("button", name="Print").click()
        assert await page.evaluate("window.printed") is True
        await expect(page.locator("[data-onward-line]")).to_be_hidden()
        await page.emulate_media(media="print", color_scheme="dark")
        await expect(receipt).to_be_visible()
        for screen_only in (".onward", ".copy", "[data-print]", ".steps", ".languages"):
            for part in await page.locator(screen_only).all():
                await expect(part).to_be_hidden()
        # Ink on paper, whatever the screen is.
        assert await receipt.evaluate("e => getComputedStyle(e).color") == "rgb(22, 26, 35)"


async def test_folded_order_lines_are_unfolded_on_paper(street: Street, shop: Shop) -> None:
    payment = await shop.scene(Part.PAID, line_items=(RequestedLine(name="Tea", quantity=1, amount="5.00"),) * 5)
    async with phone(street) as visit:
        page = visit.page
        await visit.open(payment)
        lines = page.locator("details.lines")
        await expect(page.get_by_role("button", name="Print")).to_be_visible()
        assert await lines.get_attribute("open") is None
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert await lines.get_attribute("open") is not None
        await page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert await lines.get_attribute("open") is None


async def test_motion_is_left_out_where_it_is_not_wanted(street: Street, shop: Shop) -> None:
    payment = await shop.scene(Part.CONFIRMING)
    running = "document.getAnimations().filter(a => a.playState === 'running').length"
    for wish, expected in (("no-preference", 1), ("reduce", 0)):
        async with phone(street, reduced_motion=wish) as visit:
            page = await visit.open(payment)
            assert await page.evaluate(running) == expected
