"""A shop on another origin than the checkout, in a customer's browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, FrameLocator, Page, ViewportSize

from openpay.app.merchants import change_page
from openpay.domain.payment import Payment
from tests.checkout_web.scenes import Shop
from tests.support.browser import DESKTOP

SHOP_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A shop</title>
<script src="{pay}/checkout/openpay.js"></script><script src="/shop.js"></script></head>
<body><main><h1>A shop</h1>
<p><a id="buy" href="{url}" data-openpay="{url}">Buy</a></p>
<p><a id="bad" href="javascript:window.hacked=1" data-openpay="javascript:window.hacked=1">Bad</a></p>
<div id="place"></div></main></body></html>"""

SHOP_SCRIPT = """
window.heard = [];
for (const name of ["ready", "resize", "status", "completed", "canceled", "refused", "closed"]) {
  document.addEventListener(`openpay:${name}`, ({ detail }) => {
    heard.push([name, detail.payment, detail.reason ? `${detail.reason} ${detail.origin}` : detail.status]);
  });
}
"""


def origin(server: TestServer) -> str:
    return str(server.make_url("/")).rstrip("/")


def another_name_of(origin: str) -> str:
    """An origin of the same pages which to a browser is another site."""
    return origin.replace("127.0.0.1", "localhost")


@dataclass
class Storefront:
    """A shop's own page in a customer's browser, with a policy as strict as a page can have that embeds at all."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)

    @property
    def checkout(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    async def heard(self, *names: str) -> list[list[Any]]:
        events: list[list[Any]] = await self.page.evaluate("heard")
        return [event for event in events if event[0] in names]

    async def hears(self, name: str) -> None:
        await self.page.wait_for_function("name => heard.some((event) => event[0] === name)", arg=name)


@asynccontextmanager
async def storefront(
    browser: Browser,
    pay: TestServer,
    shop: Shop,
    payment: Payment,
    *,
    allowed: Sequence[str] | None = None,
    size: ViewportSize = DESKTOP,
    host: str = "127.0.0.1",
) -> AsyncIterator[Storefront]:
    """Open the shop's page; `allowed` are the merchant's embed origins, None: this shop's own. `host` is a name under
    `localhost`, all of which browsers take for this machine."""

    async def allow(here: str) -> None:
        async with shop.store.write() as uow:
            await change_page(uow, shop.merchant.id, embed_origins=[here] if allowed is None else allowed)

    url = f"{origin(pay)}/checkout/{payment.id}"
    async with shop_page(browser, url, allow, size=size, host=host) as opened:
        yield opened


@asynccontextmanager
async def shop_page(
    browser: Browser,
    url: str,
    allow: Callable[[str], Awaitable[None]],
    *,
    size: ViewportSize = DESKTOP,
    host: str = "127.0.0.1",
) -> AsyncIterator[Storefront]:
    """Serve and open a shop's page with a button for the payment's page at `url`, once its origin has been given to
    `allow`."""
    pay = url.partition("/checkout/")[0]
    frames = f"{pay} {another_name_of(pay)}"
    policy = f"default-src 'none'; script-src 'self' {pay}; frame-src {frames}; style-src 'none'"

    async def page(request: web.Request) -> web.Response:
        text = SHOP_PAGE.format(pay=pay, url=url)
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def script(request: web.Request) -> web.Response:
        return web.Response(text=SHOP_SCRIPT, content_type="text/javascript")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/shop.js", script), web.get("/favicon.ico", script)])
    async with TestServer(app) as server:
        here = origin(server).replace("127.0.0.1", host)
        await allow(here)
        context = await browser.new_context(viewport=size, timezone_id="UTC", locale="en-GB")
        try:
            opened = Storefront(page=await context.new_page(), origin=here)
            opened.page.on("console", lambda message: opened.complaints.append(message.text))
            opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
            await opened.page.goto(f"{here}/")
            yield opened
        finally:
            await context.close()
