"""What a bot gets: the page as often as people need it, then a word to wait; and never what is not its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from checkout_web.content.view import Part
from checkout_web.edge.limits import ACTIONS_ON_PAYMENT, QUESTIONS, VIEWS
from tests.checkout_web.scenes import ORDER, Shop

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]

JUNK = "pay_" + "0" * 24


async def test_bot_that_opens_pages_without_end_is_told_to_wait(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    answers = [404]
    while answers[-1] == 404 and len(answers) < 1_000:
        answers.append((await client.get(f"/checkout/{JUNK}")).status)
    assert len(answers) > VIEWS.requests
    refused = await client.get(f"/checkout/{payment.id}", headers={"Accept": "text/html"})
    assert answers[-1] == refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert "One moment, please" in await refused.text()


async def test_bot_that_polls_without_end_is_told_to_wait(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    answers = [404]
    while answers[-1] == 404 and len(answers) < 2_000:
        answers.append((await client.get(f"/checkout/{JUNK}/state")).status)
    assert len(answers) > QUESTIONS.requests
    assert answers[-1] == 429
    assert (await client.get(f"/checkout/{JUNK}/events")).status == 429


async def test_streams_of_one_client_are_bounded_and_their_places_come_back(
    shop: Shop, aiohttp_client: Connect
) -> None:
    client = await aiohttp_client(shop.application(max_viewers_per_client=3))
    payment = await shop.create()
    url = f"/checkout/{payment.id}/events"
    async with AsyncExitStack() as open_pages:
        for _ in range(3):
            assert (await open_pages.enter_async_context(client.get(url))).status == 200
        async with client.get(url) as refused:
            assert refused.status == 429
            assert refused.headers["Retry-After"] == "10"
    while (answer := await client.get(url)).status == 429:
        pass
    assert answer.status == 200
    answer.close()


async def test_streams_of_junk_hold_no_place(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application(max_viewers=1, max_viewers_per_client=1))
    for junk in (JUNK, "x", "%00", "pay_'--"):
        assert (await client.get(f"/checkout/{junk}/events")).status == 404
    payment = await shop.create()
    async with client.get(f"/checkout/{payment.id}/events") as stream:
        assert stream.status == 200


async def test_head_opens_no_stream(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    assert (await client.head(f"/checkout/{payment.id}/events")).status == 405
    assert (await client.head(f"/checkout/{payment.id}")).status == 200


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_actions_on_a_payment_are_bounded(shop: Shop, aiohttp_client: Connect, action: str) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    own = {"Sec-Fetch-Site": "same-origin"}
    seen = []
    for _ in range(ACTIONS_ON_PAYMENT.requests + 1):
        answer = await client.post(f"/checkout/{payment.id}/{action}", headers=own, allow_redirects=False)
        seen.append(answer.status)
    assert 429 not in seen[:-1]
    assert seen[-1] == 429
    assert "One moment, please" in await answer.text()


@pytest.mark.parametrize("part", list(Part))
async def test_page_and_its_json_never_show_what_only_the_merchant_knows(
    shop: Shop, aiohttp_client: Connect, part: Part
) -> None:
    secret = {"order_id": "internal-98431", "customer_email": "buyer@example.com", "segment": "vip-churn-risk"}
    client = await aiohttp_client(shop.application())
    order: dict[str, Any] = {**ORDER, "metadata": secret}
    payment = await shop.scene(part, **order)
    page = await client.get(f"/checkout/{payment.id}")
    state = await client.get(f"/checkout/{payment.id}/state")
    said = await page.text() + str(page.headers) + await state.text() + str(state.headers)
    async with client.get(f"/checkout/{payment.id}/events") as stream:
        said += (await stream.content.readuntil(b"\n\n")).decode()
    assert payment.id in said
    for word in ("internal-98431", "buyer@example.com", "vip-churn-risk", "customer_email", "metadata"):
        assert word not in said


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_redirects_lead_only_where_the_payment_says(shop: Shop, aiohttp_client: Connect, action: str) -> None:
    client = await aiohttp_client(shop.application())
    order: dict[str, Any] = {**ORDER}
    payment = await shop.create(**order)
    asked = (
        f"/checkout/{payment.id}/{action}?cancel_url=https://evil.example&success_url=https://evil.example&next=//evil"
    )
    answer = await client.post(
        asked,
        data={"cancel_url": "https://evil.example"},
        headers={"Sec-Fetch-Site": "same-origin", "Referer": "https://evil.example/"},
        allow_redirects=False,
    )
    assert "evil" not in answer.headers.get("Location", "")
    assert answer.headers.get("Location") == (f"/checkout/{payment.id}?leaving=1" if action == "cancel" else None)
    page = await client.get(f"/checkout/{payment.id}?leaving=1&cancel_url=https://evil.example")
    assert page.headers.get("Refresh") == ("0;url=https://shop.example/basket" if action == "cancel" else None)
