"""What a customer does on the page, over HTTP: canceling, and the page's report of what its wallet has sent."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from checkout_web.content.view import Part
from checkout_web.edge.limits import REPORTS
from openpay.domain.payment import Payment, Status
from tests.checkout_web.scenes import ORDER, Shop

Client = TestClient[web.Request, web.Application]

BROWSER = {"Accept": "text/html,*/*;q=0.8", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Mode": "navigate"}
OWN_FORM = BROWSER | {"Sec-Fetch-Site": "same-origin"}


# --- cancel ------------------------------------------------------------------------------------------------------


async def cancel(client: Client, payment: Payment, headers: dict[str, str]) -> Any:
    return await client.post(f"/checkout/{payment.id}/cancel", headers=headers, allow_redirects=False)


async def test_the_customer_cancels_and_returns_to_the_shop(shop: Shop, client: Client) -> None:
    payment = await shop.create(**ORDER)
    for _ in range(2):  # a second press changes nothing
        answer = await cancel(client, payment, OWN_FORM)
        assert (answer.status, answer.headers["Location"]) == (303, f"/checkout/{payment.id}?leaving=1")
    returning = await client.get(answer.headers["Location"], headers=BROWSER)
    assert returning.headers["Refresh"] == "0;url=https://shop.example/basket"
    assert (await shop.get(payment)).status is Status.CANCELED


async def test_without_a_cancel_url_the_page_itself_says_that_it_is_canceled(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    answer = await cancel(client, payment, OWN_FORM)
    assert answer.headers["Location"] == f"/checkout/{payment.id}"
    assert "This payment was canceled" in await (await client.get(f"/checkout/{payment.id}", headers=BROWSER)).text()


async def test_a_page_from_before_a_reorganisation_does_not_cancel_what_usually_comes_again(
    shop: Shop, client: Client
) -> None:
    payment = await shop.retract(await shop.create())
    assert (await cancel(client, payment, OWN_FORM)).status == 409
    assert (await shop.get(payment)).status is payment.status


@pytest.mark.parametrize("part", [Part.UNDERPAID, Part.CONFIRMING, Part.PAID])
async def test_a_payment_with_money_is_not_canceled_and_the_page_shows_where_it_stands(
    shop: Shop, client: Client, part: Part
) -> None:
    payment = await shop.scene(part)
    answer = await cancel(client, payment, OWN_FORM)
    html = await answer.text()
    assert answer.status == 409
    assert "can no longer be canceled" in html
    assert f'data-part="{part}"' in html
    assert (await shop.get(payment)).status is payment.status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://pay.example"},
    ],
)
async def test_another_sites_form_cancels_nothing(shop: Shop, client: Client, headers: dict[str, str]) -> None:
    payment = await shop.create()
    assert (await cancel(client, payment, BROWSER | headers)).status == 403
    assert (await shop.get(payment)).status is Status.PENDING


async def test_browsers_without_fetch_metadata_are_known_by_their_origin(shop: Shop, client: Client) -> None:
    for origin in ("https://pay.example", str(client.make_url("/").origin())):
        payment = await shop.create()
        assert (await cancel(client, payment, BROWSER | {"Origin": origin})).status == 303


# --- reported transactions ---------------------------------------------------------------------------------------

TX_HASH = "0x" + "Ab" * 32


async def report(client: Client, payment: Payment, body: Any, headers: dict[str, str] | None = None) -> Any:
    url = f"/checkout/{payment.id}/transactions"
    return await client.post(url, json=body, headers={"Sec-Fetch-Site": "same-origin"} if headers is None else headers)


async def test_a_transaction_of_the_pages_wallet_is_remembered(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    answer = await report(client, payment, {"tx_hash": TX_HASH})
    assert (answer.status, await answer.json()) == (202, {"tx_hash": TX_HASH.lower()})
    async with shop.store.read() as uow:
        reports = await uow.attempts.open_reports(56)
    assert [(each.payment_id, each.tx_hash) for each in reports] == [(payment.id, bytes.fromhex("ab" * 32))]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"tx_hash": None}, 422),
        ({"tx_hash": "0x12"}, 422),
        ({"tx_hash": "ab" * 32}, 422),
        ({"tx_hash": "0x" + "g" * 64}, 422),
        ({"tx_hash": TX_HASH + "\n"}, 422),
        ({"tx_hash": TX_HASH, "status": "paid"}, 422),
        ([TX_HASH], 400),
    ],
)
async def test_anything_else_is_refused(shop: Shop, client: Client, body: Any, status: int) -> None:
    answer = await report(client, await shop.create(), body)
    assert answer.status == status
    assert answer.content_type == "application/problem+json"


async def test_strangers_report_nothing(shop: Shop, client: Client) -> None:
    answer = await report(client, await shop.create(), {"tx_hash": TX_HASH}, {"Origin": "https://evil.example"})
    assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, "cross_origin")


async def test_reports_for_one_payment_are_limited(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    statuses = [(await report(client, payment, {"tx_hash": f"0x{n:064x}"})).status for n in range(REPORTS.requests + 1)]
    assert statuses == [202] * REPORTS.requests + [429]
    assert (await report(client, await shop.create(), {"tx_hash": TX_HASH})).status == 202
