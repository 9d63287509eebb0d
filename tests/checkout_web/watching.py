"""Looking at pages: the gallery's, each way in which somebody might, and what axe finds wrong with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp.test_utils import TestServer
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Frame, Page, ViewportSize

from tests.checkout_web.gallery import Exhibit, every_state
from tests.checkout_web.scenes import Shop, open_shop
from tests.support.browser import DESKTOP

REFLOW = ViewportSize(width=320, height=256)
"""What is left of 1280 × 1024 pixels at 400 % zoom (WCAG 1.4.10)."""

AXE_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},  # of WCAG 2.2, and off unless asked for
    "resultTypes": ["violations"],
    "preload": {"assets": ["media"]},  # no stylesheets: none of these rules asks for those, and it fetches them anew
}
AXE_COLOUR_RULES = AXE_RULES | {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""All that can change when only the colours do."""


# Not by refusing the stream's requests: each of a page's seventeen would take its way through the driver.
_NOTHING_NEW = """
  window.EventSource = class extends EventTarget {
    close() {}
  };
"""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """All states of the page being served, and a browser."""

    shop: Shop
    exhibits: list[Exhibit]
    server: TestServer
    browser: Browser

    def __getitem__(self, name: str) -> Exhibit:
        (found,) = (exhibit for exhibit in self.exhibits if exhibit.name == name)
        return found

    async def show(self, page: Page, exhibit: Exhibit, *, language: str = "en") -> None:
        """Open the exhibit, with the network's view as old as it says, and let its scripts do what they do at first."""
        path = exhibit.path_with(f"stay=1&lang={language}")
        with self.shop.clock.later(exhibit.behind_s):
            await page.goto(str(self.server.make_url(path)))

    @asynccontextmanager
    async def page(self, size: ViewportSize = DESKTOP, **options: Any) -> AsyncIterator[Page]:
        """A customer's page without live updates: an exhibit stays what it is while it is looked at."""
        options = {"timezone_id": "UTC", "locale": "en-GB"} | options
        context = await self.browser.new_context(viewport=size, **options)
        try:
            page = await context.new_page()
            await page.add_init_script(_NOTHING_NEW)
            yield page
        finally:
            await context.close()


@asynccontextmanager
async def open_gallery(browser: Browser, url: str, names: Sequence[str] = (), **fields: Any) -> AsyncIterator[Gallery]:
    """The states named (or all), their payments made with `fields`, on the database at `url`."""
    async with open_shop(url) as shop:
        exhibits = await every_state(shop, names, **fields)
        async with TestServer(shop.application()) as server:
            yield Gallery(shop=shop, exhibits=exhibits, server=server, browser=browser)


async def unfold(page: Page) -> None:
    """Open all that is folded."""
    await page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")


async def violations(page: Page, *sizes: ViewportSize, inside: Frame | None = None) -> list[str]:
    """What axe finds wrong with the page, or with a frame of it, at each size (or as it is), light and dark, each with
    where and why."""
    found = []
    document = inside or page
    if not await document.evaluate("'axe' in window"):
        await document.evaluate(AXE_SCRIPT)
    for size in sizes or (page.viewport_size,):
        if size is not None:
            await page.set_viewport_size(size)
        for scheme, rules in _SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            broken = await document.evaluate("async (rules) => (await axe.run(document, rules)).violations", rules)
            found += [
                f"{scheme} at {size}: {rule['id']}: {node['html'][:150]} {node['failureSummary']}"
                for rule in broken
                for node in rule["nodes"]
            ]
    return found


_SCHEMES: tuple[tuple[Literal["light", "dark"], object], ...] = (("light", AXE_RULES), ("dark", AXE_COLOUR_RULES))
