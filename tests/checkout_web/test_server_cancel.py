"""Canceling leads back to the shop, whatever its host is called: the policy binds what a form is redirected to."""

from __future__ import annotations

import pytest
from playwright.async_api import Route

from openpay.domain.payment import Status
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(
    ("cancel_url", "there"),
    [
        (
            "https://shop.example/basket?id={PAYMENT_ID}&x=1;2#top",
            "https://shop.example/basket?id={PAYMENT_ID}&x=1;2#top",
        ),
        pytest.param("https://my_shop.example:8443/", "https://my_shop.example:8443/", marks=pytest.mark.nightly),
        pytest.param(
            "https://bücher.example/körbe", "https://xn--bcher-kva.example/k%C3%B6rbe", marks=pytest.mark.nightly
        ),
    ],
)
async def test_canceling_leads_back_to_the_shop(
    street: Street, shop: Shop, cancel_url: str, there: str, scripts: bool
) -> None:
    async def basket(route: Route) -> None:
        await route.fulfill(body="<h1>basket</h1>", content_type="text/html")

    payment = await shop.create(cancel_url=cancel_url)
    async with street.visitor(java_script_enabled=scripts) as visit:
        await visit.page.route(lambda url: street.server.host not in url, basket)
        page = await visit.open(payment)
        await page.get_by_text("Cancel this payment").click()
        await page.get_by_role("button", name="Cancel and return").click()
        await page.wait_for_url(there.replace("{PAYMENT_ID}", payment.id))
        assert await page.get_by_role("heading").text_content() == "basket"
        assert visit.complaints == []
        assert (await shop.get(payment)).status is Status.CANCELED
        # The page in between is not a place to come back to, or nobody would ever leave the shop again.
        await page.go_back()
        await visit.reads("This payment was canceled")
        await page.wait_for_timeout(300)
        assert page.url == street.url(payment)


async def test_page_leads_back_only_who_has_canceled(street: Street, shop: Shop) -> None:
    waiting = await shop.create(cancel_url="https://shop.example/")
    canceled = await shop.create(cancel_url="https://shop.example/")
    async with shop.store.write() as uow:
        await shop.service.cancel(uow, canceled.id)
    async with street.visitor() as visit:
        for payment, query in ((waiting, "?leaving=1"), (canceled, "")):
            answer = await visit.page.request.get(street.url(payment, query))
            assert "refresh" not in answer.headers
        answer = await visit.page.request.get(street.url(canceled, "?leaving=1"))
        assert answer.headers["refresh"] == "0;url=https://shop.example/"
