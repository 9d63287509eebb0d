"""The sender of money that goes back says where to, in a real browser, with and without a wallet."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, expect

from openpay.chain.messages import message_hash
from openpay.domain.payment import Payment
from openpay.domain.refunds import RefundStatus
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.refund_scenes import MISTYPED, SENDER, STRANGER, THERE, claimable, refund_of
from tests.checkout_web.scenes import WHOLE, Shop
from tests.checkout_web.watching import violations

WALLET = """
window.signed = [];
window.ethereum = {
  request: async ({ method, params }) => {
    if (method === "eth_requestAccounts") return ["%s"];
    window.signed.push(params);
    return window.signText(params[0]);
  },
};
"""


@asynccontextmanager
async def with_wallet(street: Street, payment: Payment, account: Any) -> AsyncIterator[Page]:
    async with street.visitor() as visit:
        await visit.page.expose_function("signText", lambda data: _signed(account, data))
        await visit.page.add_init_script(WALLET % account.address)
        yield await visit.open(payment)


def _signed(account: Any, data: str) -> str:
    text = bytes.fromhex(data[2:]).decode()
    return "0x" + bytes(account.unsafe_sign_hash(message_hash(text)).signature).hex()


async def test_wallet_in_the_browser_signs_the_claim(street: Street, shop: Shop) -> None:
    payment = await claimable(shop)
    async with with_wallet(street, payment, SENDER) as page:
        await page.get_by_label("Your address").fill(THERE)

        async with page.expect_navigation():
            await page.get_by_role("button", name="Sign with the wallet").click()

        assert "It goes back by itself" in await page.inner_text("#live")
        assert (await refund_of(shop, payment)).status is RefundStatus.SCHEDULED


async def test_wallet_of_somebody_else_is_told_which_account_paid(street: Street, shop: Shop) -> None:
    payment = await claimable(shop)
    async with with_wallet(street, payment, STRANGER) as page:
        await page.get_by_label("Your address").fill(THERE)
        await page.get_by_role("button", name="Sign with the wallet").click()

        await page.get_by_text(SENDER.address).wait_for()
        assert (await refund_of(shop, payment)).status is RefundStatus.AWAITING_CLAIM


async def test_enter_key_without_a_wallet_asks_the_merchant(street: Street, shop: Shop) -> None:
    payment = await claimable(shop)
    async with street.visit(payment) as visit:
        page = visit.page
        await page.get_by_label("Your address").fill(THERE)

        async with page.expect_navigation():
            await page.get_by_label("Your address").press("Enter")

        assert (await refund_of(shop, payment)).status is RefundStatus.REQUESTED


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=pytest.mark.nightly)])
async def test_refused_address_has_the_focus_and_is_put_right_there(street: Street, shop: Shop, scripts: bool) -> None:
    payment = await claimable(shop)
    size = ViewportSize(width=390, height=500)
    async with street.visit(payment, size=size, java_script_enabled=scripts) as visit:
        page = visit.page
        field = page.get_by_label("Your address")
        await field.fill(f" {MISTYPED} ")  # as it is often copied
        await field.press("Enter")

        await expect(field).to_be_focused()
        await expect(field).to_have_value(MISTYPED)
        await expect(field).to_have_accessible_description(re.compile("not an address.*Check the address"))
        await expect(field).to_be_in_viewport()
        await expect(page.get_by_text("This is not an address")).to_be_in_viewport()
        if scripts:
            assert await violations(page) == []
        await field.fill(THERE)
        await field.press("Enter")

        await expect(page.get_by_text("has to approve it before")).to_be_visible()
        assert (await refund_of(shop, payment)).destination == bytes.fromhex(THERE[2:])


async def test_what_is_being_typed_survives_news(street: Street, shop: Shop) -> None:
    payment = await claimable(shop)
    async with street.visit(payment) as visit:
        page = visit.page
        await page.get_by_label("Your address").fill(THERE[:10])
        tag = await page.get_attribute("#live", "data-tag")

        await shop.mine(deposits=[replace(shop.deposit(payment, 5 * WHOLE), position=7)])

        await page.wait_for_function("tag => document.getElementById('live').dataset.tag !== tag", arg=tag)
        assert await page.get_by_label("Your address").input_value() == THERE[:10]


async def test_claim_form_is_accessible_and_fits_a_small_phone(street: Street, shop: Shop) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    async with shop.store.write() as uow:
        stuck = replace(
            refund, status=RefundStatus.FAILED, destination=bytes.fromhex(THERE[2:]), failure="transfer_reverted"
        )
        await uow.refunds.put([stuck])
    async with street.visit(payment, size=ViewportSize(width=320, height=640)) as visit:
        page = visit.page
        await page.get_by_text("Name another address").click()

        assert await violations(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        # One run of text: the parts of a flex container would stand beside each other as columns.
        assert await page.locator("button[value=ask]").evaluate("button => button.childNodes.length") == 1
