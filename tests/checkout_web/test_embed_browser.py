"""A shop on another origin embeds the page by openpay.js, in a real browser, or is refused."""

from __future__ import annotations

import re

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Route, ViewportSize, expect

from checkout_web.content.view import Part
from openpay.app.merchants import change_page
from openpay.domain.payment import Status
from tests.checkout_web.scenes import ORDER, WHOLE, Shop
from tests.checkout_web.storefront import another_name_of, origin, storefront
from tests.checkout_web.watching import violations
from tests.support.browser import DESKTOP, PHONE


async def test_a_dialog_shows_the_page_and_tells_the_shop_up_to_completed(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create(**ORDER)
    async with storefront(browser, server, shop, payment) as front:
        await front.page.locator("#buy").click()
        await expect(front.checkout.locator("#state-heading")).to_have_text("Waiting for your payment")
        assert await front.checkout.locator("html").get_attribute("data-framed") == front.origin
        # Wallets do not show themselves to frames; in a tab of its own the page is in nobody's.
        alone = await front.checkout.locator("[data-wallet] a[target=_blank]").get_attribute("href")
        assert alone is not None
        assert alone.startswith(f"{origin(server)}/checkout/{payment.id}")
        assert "embed" not in alone
        await shop.pay(payment)
        await expect(front.checkout.locator("#state-heading")).to_have_text("Payment found")
        await shop.confirm(payment)
        await front.hears("completed")
        assert await front.heard("ready", "status", "completed") == [
            ["ready", payment.id, None],
            ["status", payment.id, "pending"],
            ["status", payment.id, "confirming"],
            ["status", payment.id, "paid"],
            ["completed", payment.id, "paid"],
        ]
        # It does not move on by itself in there; who follows the link leaves the frame.
        link = front.checkout.locator("[data-onward-link]")
        assert await link.get_attribute("target") == "_top"
        await expect(front.checkout.locator("[data-onward-line]")).to_be_hidden()
        await front.page.route("https://shop.example/**", lambda route: route.fulfill(body="thanks"))
        await link.click()
        await front.page.wait_for_url(f"https://shop.example/thanks?payment={payment.id}")
        assert front.complaints == []


async def test_a_place_in_the_page_is_as_high_as_its_content(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment) as front:
        await front.page.evaluate(
            "url => { window.mounted = OpenPay.mount(document.getElementById('place'), url) }",
            f"{origin(server)}/checkout/{payment.id}",
        )
        heading = front.checkout.locator("#state-heading")
        await expect(heading).to_have_text("Waiting for your payment")
        fits = """() => {
          const frame = document.querySelector("iframe");
          return heard.some(([name]) => name === "resize") && frame.clientHeight > 300 ? frame.clientHeight : 0;
        }"""
        waiting = await (await front.page.wait_for_function(fits)).json_value()
        content = "Math.ceil(document.body.getBoundingClientRect().height)"
        inner = front.page.frames[1]
        assert await inner.evaluate(content) == waiting
        await shop.pay(payment)
        await expect(heading).to_have_text("Payment found")
        await front.page.wait_for_function(
            "before => document.querySelector('iframe').clientHeight < before", arg=waiting
        )
        assert not await inner.evaluate("document.documentElement.scrollHeight > innerHeight + 1")
        await front.page.evaluate("mounted.close()")
        await expect(front.page.locator("iframe")).to_have_count(0)
        assert await front.heard("closed") == [["closed", payment.id, "confirming"]]


async def test_a_site_that_is_not_allowed_gets_the_hosted_page_instead(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment, allowed=["https://shop.example"]) as front:
        url = f"{origin(server)}/checkout/{payment.id}"
        await front.page.evaluate(
            "url => { window.mounted = OpenPay.mount(document.getElementById('place'), url) }", url
        )
        # Nobody clicked: a link in its place, and the shop's page stays.
        await expect(front.page.locator("#place a")).to_have_attribute("href", url)
        assert await front.heard("refused") == [["refused", payment.id, f"not_allowed {front.origin}"]]
        await front.page.evaluate("mounted.close()")
        await expect(front.page.locator("#place a")).to_have_count(0)
        await front.page.locator("#buy").click()
        await front.page.wait_for_url(url)
        await expect(front.page.locator("#state-heading")).to_have_text("Waiting for your payment")
        refusals = [text for text in front.complaints if "frame-ancestors 'none'" in text]
        assert len(refusals) == 2
        explained = [text for text in front.complaints if text.startswith("OpenPay: ")]
        assert len(explained) == 2
        assert f"{front.origin} may not show the checkout of {origin(server)}" in explained[0]
        assert f"openpay merchants set mer_… --embed-origin {front.origin}" in explained[0]


async def test_a_checkout_that_does_not_answer_becomes_the_hosted_page(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment) as front:

        async def say_nothing(route: Route) -> None:
            """Neither an answer nor an error."""

        await front.page.route(re.compile("embed="), say_nothing)
        await front.page.clock.install()
        await front.page.locator("#buy").click()
        await front.page.clock.run_for(14_000)
        await expect(front.page.get_by_role("dialog")).to_be_visible()
        await front.page.clock.run_for(2_000)
        await front.page.wait_for_url(f"{origin(server)}/checkout/{payment.id}")
        assert any(f"the checkout of {origin(server)} did not answer" in text for text in front.complaints)


async def test_copying_works_in_the_frame(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment) as front:
        await front.page.context.grant_permissions(["clipboard-write"])
        await front.page.locator("#buy").click()
        await front.hears("ready")
        # By the clipboard itself, not by the way around it.
        await front.page.frames[1].evaluate("document.execCommand = () => false")
        await front.checkout.get_by_role("button", name="Copy the address").click()
        await expect(front.checkout.locator("#announcer")).to_have_text("Copied")


async def test_the_dialog_by_keyboard(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment) as front:
        page = front.page
        focused = "document.activeElement.shadowRoot?.activeElement.tagName ?? document.activeElement.id"
        overflow = "document.documentElement.style.overflow"
        await page.locator("#buy").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog", name="Checkout")).to_be_visible()
        assert await page.evaluate(focused) == "BUTTON"
        assert await page.evaluate(overflow) == "hidden"
        await front.hears("ready")
        await page.keyboard.press("Tab")
        assert await page.evaluate(focused) == "IFRAME"
        for _ in range(40):  # round and round: the page below is out of reach
            await page.keyboard.press("Tab")
            assert await page.evaluate(focused) in {"BUTTON", "IFRAME", ""}
        # Escape from inside the frame, from the button, and the button itself.
        await front.checkout.locator("#live a").first.focus()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.locator("#buy")).to_be_focused()
        assert await page.evaluate(overflow) == ""
        for key in ("Escape", "Enter"):
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("dialog")).to_be_visible()
            await page.keyboard.press(key)
            await expect(page.get_by_role("dialog")).to_have_count(0)
            await expect(page.locator("#buy")).to_be_focused()
        assert len(await front.heard("closed")) == 3


@pytest.mark.parametrize("size", [pytest.param(DESKTOP, marks=pytest.mark.nightly), PHONE], ids=["desktop", "phone"])
async def test_the_open_dialog_is_accessible_and_fills_a_phone(
    browser: Browser, server: TestServer, shop: Shop, size: ViewportSize
) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment, size=size) as front:
        await front.page.locator("#buy").click()
        await front.hears("resize")
        assert await violations(front.page) == []
        box = await front.page.get_by_role("dialog").bounding_box()
        assert box is not None
        if size is PHONE:
            assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 390, 844)
        else:
            assert box["width"] == 704
            assert box["height"] <= 900
        assert await front.page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.mark.nightly
async def test_the_page_inside_the_dialog_is_accessible(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with storefront(browser, server, shop, payment) as front:
        await front.page.locator("#buy").click()
        await front.hears("ready")
        (frame,) = (frame for frame in front.page.frames if payment.id in frame.url)
        found = await violations(front.page, PHONE, DESKTOP, inside=frame)
        await shop.pay(payment, WHOLE)
        await expect(front.checkout.locator("#state-heading")).to_have_text("Part of it has arrived")
        assert [*found, *await violations(front.page, PHONE, inside=frame)] == []


FRAME = """url => new Promise((loaded) => {
  const frame = document.createElement("iframe");
  frame.onload = loaded;
  frame.src = url;
  document.getElementById("place").replaceChildren(frame);
})"""


async def test_a_browser_tells_schemes_subdomains_and_ports_apart(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    """Whatever a shop's page claims to be: the policy names the merchant's entry, and the browser compares it."""
    payment = await shop.create()
    async with storefront(browser, server, shop, payment, host="shop.localhost") as front:
        scheme, _, name = front.origin.partition("://")
        port = name.rpartition(":")[2]
        assert (scheme, name) == ("http", f"shop.localhost:{port}")
        others = [
            f"https://{name}",
            f"http://pay.{name}",
            f"http://localhost:{port}",
            f"http://sho.localhost:{port}",
            "http://shop.localhost",
            f"http://shop.localhost:{int(port) - 1}",
        ]
        for entry in (*others, front.origin):
            async with shop.store.write() as uow:
                await change_page(uow, shop.merchant.id, embed_origins=[entry])
            # As itself, and as the one that is allowed.
            for claim in dict.fromkeys((front.origin, entry)):
                await front.page.evaluate(FRAME, f"{origin(server)}/checkout/{payment.id}?embed={claim}")
                is_shown = await front.checkout.locator("#state-heading").count() == 1
                assert is_shown == (entry == front.origin), f"{entry} is allowed, and {claim} asked"


async def test_messages_of_others_are_not_believed(browser: Browser, server: TestServer, shop: Shop) -> None:
    payment, other = await shop.create(), await shop.create()
    async with storefront(browser, server, shop, payment) as front:
        await front.page.locator("#buy").click()
        await front.hears("status")
        forged = """payment => {
          for (const message of [
            { openpay: "status", payment, status: "paid" }, { openpay: "escape" }, { openpay: "resize", height: 9 },
          ]) window.parent.postMessage(message, "*");
        }"""
        # The shop's own page, and another frame with the checkout's own origin: neither is this payment's frame.
        await front.page.evaluate(forged, payment.id)
        await front.page.evaluate(
            """url => new Promise((loaded) => {
              const frame = document.createElement("iframe");
              frame.id = "second";
              frame.onload = loaded;
              frame.src = url;
              document.getElementById("place").append(frame);
            })""",
            f"{origin(server)}/checkout/{other.id}?embed={front.origin}",
        )
        second = next(frame for frame in front.page.frames if other.id in frame.url)
        await second.evaluate(forged, payment.id)
        # What is not understood is not believed of the frame itself either.
        own = next(frame for frame in front.page.frames if payment.id in frame.url)
        for message in (None, 7, {"openpay": "status", "payment": payment.id, "status": "<b>"}, {"openpay": "resize"}):
            await own.evaluate("([message, to]) => window.parent.postMessage(message, to)", [message, front.origin])
        await own.evaluate(
            "([message, to]) => window.parent.postMessage(message, to)",
            [{"openpay": "status", "payment": payment.id, "status": "confirming"}, front.origin],
        )
        await front.page.wait_for_function("heard.at(-1)[2] === 'confirming'")
        assert await front.heard("status", "completed", "closed") == [
            ["status", payment.id, "pending"],
            ["status", payment.id, "confirming"],
        ]
        # The right window, after it has gone to another site, which even says what the checkout says.
        await front.page.evaluate("window.raw = []; addEventListener('message', (event) => raw.push(event.origin))")
        elsewhere = another_name_of(origin(server))
        url = f"{elsewhere}/checkout/{payment.id}?embed={front.origin}"
        await own.evaluate("url => { location.href = url }", url)
        await front.page.wait_for_function("origin => raw.filter((each) => each === origin).length > 1", arg=elsewhere)
        moved = next(frame for frame in front.page.frames if frame.url == url)
        told = await front.page.evaluate("raw.length")
        await moved.evaluate(forged, payment.id)
        await front.page.wait_for_function("before => raw.length > before + 2", arg=told)
        assert (await front.heard("status", "completed", "closed"))[-1] == ["status", payment.id, "confirming"]
        await expect(front.page.get_by_role("dialog")).to_be_visible()


async def test_the_frame_speaks_to_the_allowed_origin_alone(browser: Browser, server: TestServer, shop: Shop) -> None:
    """Even where something on the way has taken the policy off the page, and a stranger frames it."""
    payment = await shop.create()
    allowed = "https://shop.example"

    async def without_policy(route: Route) -> None:
        answer = await route.fetch()
        headers = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
        await route.fulfill(response=answer, headers=headers)

    async with storefront(browser, server, shop, payment, allowed=[allowed]) as front:
        await front.page.route(re.compile(r"/checkout/pay_\w+\?embed="), without_policy)
        await front.page.evaluate(
            """url => new Promise((loaded) => {
              window.posted = [];
              addEventListener("message", (event) => posted.push(event.data));
              const frame = document.createElement("iframe");
              frame.onload = loaded;
              frame.src = url;
              document.getElementById("place").append(frame);
            })""",
            f"{origin(server)}/checkout/{payment.id}?embed={allowed}",
        )
        await expect(front.checkout.locator("#state-heading")).to_have_text("Waiting for your payment")
        await shop.pay(payment, WHOLE)
        await expect(front.checkout.locator("#state-heading")).to_have_text("Part of it has arrived")
        assert await front.page.evaluate("posted") == []
        assert any("target origin provided" in text for text in front.complaints)


async def test_only_payment_pages_of_the_scripts_own_site_are_opened(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create()
    async with storefront(browser, server, shop, payment) as front:
        here = origin(server)
        hostile = [
            "javascript:window.hacked=1",
            "data:text/html,<script>parent.hacked=1</script>",
            f"blob:{here}/{payment.id}",
            f"https://evil.example/checkout/{payment.id}",
            f"{here}.evil.example/checkout/{payment.id}",
            here.replace("http://", "http://user:password@") + f"/checkout/{payment.id}",
            f"{here}/checkout/{payment.id}/cancel",
            f"{here}/checkout/static/x/{payment.id}",
            f"{here}/v1/payments",
            f"/checkout/{payment.id}",
            "",
            None,
        ]
        refused = """([urls, how]) => urls.map((url) => {
          try { OpenPay[how](...(how === "mount" ? [document.body, url] : [url])); return "opened"; }
          catch (error) { return error.name; }
        })"""
        for how in ("open", "mount"):
            assert await front.page.evaluate(refused, [hostile, how]) == ["TypeError"] * len(hostile)
        await front.page.locator("#bad").click()
        assert await front.page.evaluate("window.hacked === undefined")
        assert await front.page.locator("iframe").count() == 0
        assert front.page.url == f"{front.origin}/"


async def test_canceling_in_the_frame_tells_the_shop_and_stays(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.create(**ORDER)
    async with storefront(browser, server, shop, payment) as front:
        await front.page.locator("#buy").click()
        await front.checkout.get_by_text("Cancel this payment").click()
        await front.checkout.get_by_role("button", name="Cancel and return").click()
        await front.hears("canceled")
        await expect(front.checkout.locator("#state-heading")).to_have_text("This payment was canceled")
        assert (await shop.get(payment)).status is Status.CANCELED
        assert await front.heard("canceled") == [["canceled", payment.id, "canceled"]]
        assert front.page.url == f"{front.origin}/"
        assert front.complaints == []


async def test_opened_by_itself_the_address_of_a_frame_is_a_page_like_any_other(
    browser: Browser, server: TestServer, shop: Shop
) -> None:
    payment = await shop.scene(Part.PAID, **ORDER)
    async with storefront(browser, server, shop, payment) as front:
        await front.page.goto(f"{origin(server)}/checkout/{payment.id}?embed={front.origin}")
        await expect(front.page.locator("html:not([data-framed])")).to_have_count(1)
        await expect(front.page.locator("[data-onward-line]")).to_be_visible()
