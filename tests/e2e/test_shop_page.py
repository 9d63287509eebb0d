"""The shop at /demo of a real `openpay dev`: an order goes all the way around in a browser, with one click."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.e2e.dev import Dev
from tests.e2e.installation import PATIENCE_S

PATIENCE_MS = PATIENCE_S * 1000


async def opened(browser: Browser, dev: Dev) -> tuple[Page, list[str]]:
    context = await browser.new_context(locale="en-GB")
    page, complaints = await context.new_page(), list[str]()
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"{dev.facts['api_url']}/demo")
    return page, complaints


async def test_one_click_goes_from_the_order_to_the_verified_webhook(browser: Browser, dev: Dev) -> None:
    page, complaints = await opened(browser, dev)
    await page.get_by_role("button", name="Pay in a dialog").click()
    checkout = page.frame_locator("iframe")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await expect(checkout.locator("#state-heading")).to_have_text("Paid. Thank you!", timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Close").click()

    sent = json.loads(await page.locator("#created").inner_text())
    payment = dev.api.payments.retrieve(sent["answered"]["id"])
    assert (payment["status"], payment["amount"], payment["token"]) == ("paid", "25.00", "USDT")
    events = page.locator("#events")
    for event in ("ready", "status", "completed", "closed"):
        await expect(events).to_contain_text(f"{event} – {payment['id']}")
    completed = page.locator("#webhooks > li", has_text="payment.completed")
    await expect(completed).to_have_count(1, timeout=PATIENCE_MS)
    await completed.locator("summary", has_text="Signature verified (Ed25519)").click()
    raw: str = await completed.locator("pre").inner_text()
    head, _, body = raw.partition("\n\n")
    assert json.loads(body)["payment_id"] == payment["id"]
    assert {line.partition(":")[0].lower() for line in head.splitlines()} >= {
        "x-openpay-signature",
        "x-openpay-timestamp",
        "webhook-id",
    }
    assert (await Axe().run(page)).response["violations"] == []
    assert complaints == []
    await page.context.close()


@pytest.mark.nightly
async def test_a_place_in_the_page_and_the_checkouts_own_page(browser: Browser, dev: Dev) -> None:
    page, complaints = await opened(browser, dev)
    await page.get_by_label("Pay it for me").uncheck()
    await page.get_by_label("A cup of coffee").check()
    await page.get_by_role("button", name="Pay in this page").click()
    heading = page.frame_locator("#inline iframe").locator("#state-heading")
    await expect(heading).to_have_text("Waiting for your payment", timeout=PATIENCE_MS)
    await page.get_by_role("combobox").select_option("BNB")
    await page.get_by_role("button", name="Pay the last order for me").click()
    await expect(heading).to_have_text("Paid. Thank you!", timeout=PATIENCE_MS)

    await page.get_by_role("button", name="Pay on the checkout’s own page").click()
    await page.wait_for_url("**/checkout/pay_*")
    await expect(page.locator("#state-heading")).to_have_text("Waiting for your payment")
    assert complaints == []
    await page.context.close()


@pytest.mark.nightly
async def test_an_order_left_on_the_checkouts_own_page_is_found_again_and_can_be_paid(
    browser: Browser, dev: Dev
) -> None:
    page, complaints = await opened(browser, dev)
    pay = page.get_by_role("button", name="Pay the last order for me")
    await expect(pay).to_be_disabled()
    await page.get_by_label("Pay it for me").uncheck()
    await page.get_by_role("button", name="Pay on the checkout’s own page").click()
    await page.wait_for_url("**/checkout/pay_*")
    checkout = page.url
    await page.go_back()
    for come_back in (None, page.reload):
        if come_back is not None:
            await come_back()
        await expect(pay).to_be_enabled()
        await expect(page.get_by_role("link", name="Its checkout page")).to_have_attribute("href", checkout)
    shown = json.loads(await page.locator("#created").inner_text())
    assert shown["answered"]["checkout_url"] == checkout
    await expect(page.locator("#last")).to_contain_text(
        f"Last order: #{shown['sent']['metadata']['order_id']}, 25.00 USD"
    )

    await pay.click()
    await expect(pay).to_be_disabled()
    await page.reload()  # nothing is paid for twice
    await expect(page.locator("#last")).to_contain_text(", paid.", timeout=PATIENCE_MS)
    await expect(pay).to_be_disabled()
    assert complaints == []
    await page.context.close()


@pytest.mark.nightly
async def test_what_is_told_is_listed_newest_first_with_its_time_and_order(browser: Browser, dev: Dev) -> None:
    page, complaints = await opened(browser, dev)
    await page.get_by_role("button", name="Pay in this page").click()
    await expect(page.locator("#last")).to_contain_text(", paid.", timeout=PATIENCE_MS)
    sent = json.loads(await page.locator("#created").inner_text())
    told = page.locator(
        "#webhooks > li", has_text=f"order #{sent['sent']['metadata']['order_id']} – {sent['answered']['id']}"
    )
    await expect(told.filter(has_text="payment.completed")).to_have_count(1, timeout=PATIENCE_MS)
    lines = [line.split(" ")[:2] for line in await told.locator("summary >> xpath=../..").all_inner_texts()]
    events = [event for _, event in lines]
    assert [event for event in events if event in {"payment.pending", "payment.confirming", "payment.completed"}] == [
        "payment.completed",
        "payment.confirming",
        "payment.pending",
    ]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time, _ in lines)
    assert await page.locator("ol").count() == 0
    assert complaints == []
    await page.context.close()


def test_it_refuses_what_its_own_page_does_not_ask(dev: Dev) -> None:
    other = dev.api.payments.create(amount="1.00", currency="USD", accepted_tokens=["USDT"])
    for path, body in (
        ("orders", {"amount": "0.01"}),
        ("orders", {}),
        ("pay", {"payment": "pay_unknown"}),
        ("pay", {"payment": other["id"], "token": "BNB"}),
        ("webhooks", {"event": "payment.completed"}),
    ):
        status, said = post(dev, path, json.dumps(body), "application/json")
        assert status in {400, 422}, (path, said)
    # A form of another site cannot send JSON without asking first.
    assert post(dev, "orders", '{"amount": "25.00"}', "text/plain")[0] == 415


def test_the_root_of_a_development_server_leads_to_the_shop(dev: Dev) -> None:
    url: str = dev.facts["api_url"]
    with urllib.request.urlopen(f"{url}/", timeout=30) as answer:
        assert answer.url == f"{url}/demo"


def test_another_name_of_this_machine_is_led_to_the_allowed_one(dev: Dev) -> None:
    url: str = dev.facts["api_url"]
    with urllib.request.urlopen(url.replace("127.0.0.1", "localhost") + "/demo", timeout=30) as answer:
        assert answer.url == f"{url}/demo"


def post(dev: Dev, path: str, body: str, kind: str) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{dev.facts['api_url']}/demo/{path}", data=body.encode(), headers={"Content-Type": kind}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
