"""*Try again*: a new payment for the order of one that failed or expired."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from checkout_web.content.view import Part
from openpay.domain.payment import Payment
from tests.checkout_web.scenes import ORDER, Shop

Client = TestClient[web.Request, web.Application]

OWN_FORM = {"Accept": "text/html", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}
ENDED = [Part.EXPIRED, Part.EXPIRED_RECEIVED, Part.LATE, Part.FAILED_REVERTED, Part.FAILED_REFUSED]


async def retry(client: Client, payment: Payment, headers: dict[str, str] = OWN_FORM) -> Any:
    return await client.post(f"/checkout/{payment.id}/retry", headers=headers, allow_redirects=False)


@pytest.mark.parametrize("part", ENDED)
async def test_an_ended_payment_is_tried_again_with_the_same_order(shop: Shop, client: Client, part: Part) -> None:
    payment = await shop.scene(part, **ORDER, allow_retry=True)
    page = await (await client.get(f"/checkout/{payment.id}", headers=OWN_FORM)).text()
    assert ">Try again<" in page

    answer = await retry(client, payment)
    assert answer.status == 303
    async with shop.store.read() as uow:
        retried = await uow.payments.get(answer.headers["Location"].rsplit("/", 1)[1])
    assert retried is not None
    assert retried.retry_of == payment.id
    same = (
        "merchant_id",
        "livemode",
        "amount_usd",
        "description",
        "metadata",
        "line_items",
        "success_url",
        "allow_retry",
    )
    assert {name: getattr(retried, name) for name in same} == {name: getattr(payment, name) for name in same}
    assert {offer.token for offer in retried.offers} == {offer.token for offer in payment.offers}
    assert retried.address != payment.address
    assert retried.expires_at - retried.created_at == payment.expires_at - payment.created_at


async def test_two_tabs_that_try_again_share_one_new_payment(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.EXPIRED, **ORDER, allow_retry=True)
    first, second = await retry(client, payment), await retry(client, payment)
    assert first.headers["Location"] == second.headers["Location"]


async def test_without_the_merchants_leave_there_is_no_second_try(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.EXPIRED, **ORDER)
    assert ">Try again<" not in await (await client.get(f"/checkout/{payment.id}", headers=OWN_FORM)).text()
    answer = await retry(client, payment)
    assert answer.status == 409
    assert "cannot be tried again" in await answer.text()


@pytest.mark.parametrize("part", [Part.WAITING, Part.CONFIRMING, Part.PAID, Part.CANCELED])
async def test_a_payment_that_has_not_failed_is_not_tried_again(shop: Shop, client: Client, part: Part) -> None:
    payment = await shop.scene(part, **ORDER, allow_retry=True)
    assert (await retry(client, payment)).status == 409


async def test_another_sites_form_tries_nothing_again(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.EXPIRED, **ORDER, allow_retry=True)
    assert (await retry(client, payment, OWN_FORM | {"Sec-Fetch-Site": "cross-site"})).status == 403
