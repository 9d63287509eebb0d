"""The page in a real browser: what a customer sees, can scan, and can do with and without JavaScript."""

from __future__ import annotations

import re

from playwright.async_api import ViewportSize, expect

from checkout_web.content.view import Part
from openpay.domain.address import to_checksum
from openpay.domain.payment import Status
from openpay.domain.uris import transfer_uri
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import ORDER, USDC, USDT, WHOLE, Shop
from tests.checkout_web.watching import violations
from tests.support.browser import PHONE, scan

NARROW = ViewportSize(width=320, height=640)


# --- scanning ----------------------------------------------------------------------------------------------------


async def test_the_qr_codes_hold_the_exact_transfer_and_the_plain_address(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    bnb = payment.offer("BNB")
    assert bnb is not None
    exact = {
        "USDT": transfer_uri(chain_id=56, to=payment.address, units=25 * WHOLE, contract=USDT.contract),
        "USDC": transfer_uri(chain_id=56, to=payment.address, units=25 * WHOLE, contract=USDC.contract),
        "BNB": transfer_uri(chain_id=56, to=payment.address, units=bnb.full_units, contract=None),
    }
    async with street.visitor() as visit:
        page = await visit.open(payment)
        for token, uri in exact.items():
            await page.get_by_role("link", name=token, exact=True).click()
            await expect(page.locator(f"#token-{token}")).to_have_attribute("aria-current", "true")
            assert await scan(page) == uri
        await page.get_by_role("link", name="Address only").click()
        await expect(page.locator("#qr-address")).to_have_attribute("aria-current", "true")
        assert await scan(page) == to_checksum(payment.address)
        assert page.url.endswith("?token=BNB&qr=address")  # survives a reload
        assert visit.nothing_was_wrong()
    async with street.visitor(PHONE, color_scheme="dark") as visit:
        assert await scan(await visit.open(payment, "?token=USDC")) == exact["USDC"]


async def test_after_a_partial_deposit_the_qr_code_asks_for_the_rest(street: Street, shop: Shop) -> None:
    payment = await shop.scene(Part.UNDERPAID)
    async with street.visitor() as visit:
        page = await visit.open(payment)
        assert await scan(page) == transfer_uri(
            chain_id=56, to=payment.address, units=15 * WHOLE, contract=USDT.contract
        )


# --- live --------------------------------------------------------------------------------------------------------


async def test_the_page_follows_the_payment_to_its_end_without_reloading(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visitor() as visit:
        page = await visit.open(payment)
        await page.evaluate("window.stillTheSamePage = true")
        await visit.reads("Waiting for your payment")
        await shop.pay(payment, 10 * WHOLE)
        await visit.reads("Part of it has arrived")
        await expect(page.locator("#announcer")).to_have_text("Part of it has arrived")
        await shop.pay(payment, 15 * WHOLE)
        await visit.reads("Payment found")
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "1")
        for _ in range(4):
            await shop.mine()
        await expect(page.get_by_role("progressbar")).to_have_attribute("value", "5")
        await expect(page.locator("#announcer")).to_have_text("Payment found")  # not read out block by block
        for _ in range(6):
            await shop.mine()
        await shop.confirm(payment)
        await visit.reads("Paid. Thank you!")
        assert await page.title() == "Paid. Thank you! – Blue Door Coffee"
        assert await page.evaluate("window.stillTheSamePage")
        assert visit.nothing_was_wrong()


async def test_an_update_keeps_the_focus_or_moves_it_to_the_new_heading(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visitor() as visit:
        page = await visit.open(payment)
        await page.locator("#copy-address").focus()
        await shop.pay(payment, WHOLE)
        await visit.reads("Part of it has arrived")
        await expect(page.locator("#copy-address")).to_be_focused()
        await shop.pay(payment, 24 * WHOLE)
        await visit.reads("Payment found")
        await expect(page.locator("#state-heading")).to_be_focused()


async def test_where_events_do_not_come_through_the_page_polls(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visitor() as visit:
        await visit.page.route("**/events?*", lambda route: route.abort())
        await visit.page.clock.install()
        page = await visit.open(payment)
        await shop.pay(payment)
        await page.clock.run_for(10_000)
        await visit.reads("Payment found")


async def test_a_view_that_lags_is_said_once_and_so_is_its_end(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visitor() as visit:
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
        assert visit.nothing_was_wrong()


async def test_the_countdown_ticks_silently_and_speaks_at_thresholds(street: Street, shop: Shop) -> None:
    payment = await shop.create(expires_in=330)
    async with street.visitor() as visit:
        await visit.page.clock.install()
        page = await visit.open(payment)
        timer = page.get_by_role("timer")
        await expect(timer).to_have_text(re.compile("5:[0-3][0-9]"))
        await expect(page.locator("#announcer")).to_be_empty()
        # The server, whose time stands still here, tells it every now and then: it is moved along.
        await page.clock.fast_forward(30_000)
        shop.clock.seconds += 30
        await expect(timer).to_have_text(re.compile("5:00|4:[0-9]{2}"))
        await expect(page.locator("#announcer")).to_have_text("5 minutes left to pay")
        await page.clock.fast_forward(240_000)
        shop.clock.seconds += 240
        await expect(page.locator("#announcer")).to_have_text("1 minute left to pay")
        shop.clock.seconds = payment.deadline + 1
        await page.clock.fast_forward(62_000)
        await visit.reads("Time is up")


async def test_copy_buttons_copy_the_exact_amount_and_the_whole_address(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    permissions = ["clipboard-read", "clipboard-write"]
    async with street.visitor(permissions=permissions) as visit:
        page = await visit.open(payment, "?token=BNB")
        for name, copied in (
            ("Copy the amount", "0.040826991540647353"),
            ("Copy the address", to_checksum(payment.address)),
        ):
            await page.get_by_role("button", name=name).click()
            await expect(page.locator("#announcer")).to_have_text("Copied")
            assert await page.evaluate("navigator.clipboard.readText()") == copied


async def test_the_success_page_goes_on_by_itself_unless_stopped(street: Street, shop: Shop) -> None:
    payment = await shop.scene(Part.PAID, **ORDER)
    async with street.visitor() as visit:
        page = visit.page
        await page.route("https://shop.example/**", lambda route: route.fulfill(body="thanks"))
        await page.clock.install()
        await visit.open(payment)
        await page.get_by_role("button", name="Stay here").click()
        await expect(page.get_by_role("link", name="Return to Blue Door Coffee")).to_be_focused()
        await shop.pay(payment, WHOLE, "USDC")
        await expect(page.get_by_text("more than was asked for")).to_be_visible()  # an update starts nothing again
        await page.clock.run_for(60_000)
        await visit.reads("Paid. Thank you!")
        await visit.open(payment)
        await expect(page.get_by_text("You will be taken back in 8 seconds.")).to_be_visible()
        await page.clock.run_for(9_000)
        await page.wait_for_url(f"https://shop.example/thanks?payment={payment.id}")


async def test_the_customer_cancels_on_the_page(street: Street, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with street.visitor() as visit:
        await visit.page.route("https://shop.example/**", lambda route: route.fulfill(body="basket"))
        page = await visit.open(payment)
        await page.get_by_text("Cancel this payment").click()
        await page.get_by_role("button", name="Cancel and return").click()
        await page.wait_for_url("https://shop.example/basket")
        assert visit.complaints == []  # the policy lets the form's redirect through
    assert (await shop.get(payment)).status is Status.CANCELED


# --- without JavaScript --------------------------------------------------------------------------------------------


async def test_without_javascript_everything_needed_to_pay_is_there(street: Street, shop: Shop) -> None:
    payment = await shop.create(open_page=False)
    async with street.visitor(PHONE, java_script_enabled=False) as visit:
        page = await visit.open(payment)
        assert (await shop.get(payment)).status is Status.PENDING
        await expect(page.get_by_text("26 March 2026, 13:30 UTC")).to_be_visible()
        await expect(page.get_by_role("button", name="Copy")).to_have_count(0)
        await page.get_by_role("link", name="USDC").click()
        await page.get_by_role("link", name="Address only").click()
        reloading = page.locator(".without-scripts")
        await expect(reloading).to_have_text("This page reloads by itself, because JavaScript is off. Stop that")
        assert await scan(page) == to_checksum(payment.address)
        await expect(page.locator("#token-USDC")).to_have_attribute("aria-current", "true")
        await shop.pay(payment, 25 * WHOLE, "USDC")
        await page.reload()  # as the page does by itself after a while
        await visit.reads("Payment found")
        await shop.confirm(payment)
        await page.reload()
        await visit.reads("Paid. Thank you!")
        await expect(reloading).to_have_count(0)
        assert visit.nothing_was_wrong()


async def test_without_javascript_a_view_that_lags_is_said_too(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    shop.clock.seconds += 300
    async with street.visitor(PHONE, java_script_enabled=False) as visit:
        page = await visit.open(payment)
        await expect(page.get_by_text("Catching up with the network: about 5 minutes behind.")).to_be_visible()
        await shop.mine()
        await page.reload()
        await expect(page.locator("[data-behind]")).to_have_count(0)


async def test_without_javascript_the_customer_can_cancel(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visitor(java_script_enabled=False) as visit:
        page = await visit.open(payment)
        await page.get_by_text("Cancel this payment").click()
        await page.get_by_role("button", name="Cancel and return").click()
        await visit.reads("This payment was canceled")


# --- for everybody -------------------------------------------------------------------------------------------------


async def test_the_message_for_an_unknown_payment_is_accessible(street: Street) -> None:
    async with street.visitor(NARROW) as visit:
        await visit.page.goto(str(street.server.make_url("/checkout/pay_unknown")))
        assert await violations(visit.page) == []
