"""Limits come before anything is read, and for every route; a bot with a thousand pages is alone with what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer

from checkout_web.app import build_app
from checkout_web.content.view import Part
from checkout_web.deps import Deps
from checkout_web.edge.limits import RETRIES, UNLIMITED, VIEWS
from openpay.app.ports import UnitOfWork
from openpay.domain.payment import Status
from openpay.http.application import HttpSettings, new_application
from openpay.http.rates import RateLimit
from openpay.store import Store
from tests.checkout_web.scenes import ORDER, Shop

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]

OWN_FORM = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
JUNK = "pay_" + "0" * 24
FEW = RateLimit(requests=3, window_s=60)


class Untouched:
    """A database that must not be asked."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        self.asked += 1
        async with self.store.read() as uow:
            yield uow

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        self.asked += 1
        async with self.store.write() as uow:
            yield uow


ROUTES = {
    "page": ("GET", ""),
    "state": ("GET", "/state"),
    "events": ("GET", "/events"),
    "claim_message": ("GET", "/claim-message"),
    "cancel": ("POST", "/cancel"),
    "retry": ("POST", "/retry"),
    "claim": ("POST", "/claim"),
    "transactions": ("POST", "/transactions"),
    "lookup": ("POST", "/lookup"),
}


def test_every_route_that_reads_is_limited(shop: Shop) -> None:
    app = build_app(Deps(db=shop.store, payments=shop.service, signals=shop.signals))
    names = set(app.router.named_resources())
    assert names - UNLIMITED == {*ROUTES, "logo"}
    assert names >= UNLIMITED


@pytest.mark.parametrize("name", [*ROUTES, "logo"])
async def test_who_asks_too_often_does_not_reach_the_database(
    shop: Shop, aiohttp_client: Connect, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkout_web.edge.limits._OF_CLIENT", dict.fromkeys(("views", "questions", "actions"), FEW))
    store = Untouched(shop.store)
    app = new_application(HttpSettings())
    deps = Deps(db=store, payments=shop.service, signals=shop.signals)
    app.add_subapp("/checkout", build_app(deps))
    client = await aiohttp_client(app)
    method, path = ROUTES.get(name, ("GET", None))
    url = "/checkout/logo/0123456789abcdef" if path is None else f"/checkout/{JUNK}{path}"
    for _ in range(FEW.requests + 1):
        asked_before = store.asked
        answer = await client.request(method, url, headers={"Sec-Fetch-Site": "same-origin"})
        if answer.status == 429:
            break
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert store.asked == asked_before


async def test_forms_of_other_sites_reach_neither_database_nor_limits(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create(**ORDER)  # type: ignore[arg-type]
    for method, path in ROUTES.values():
        if method == "POST":
            for _ in range(40):
                answer = await client.post(
                    f"/checkout/{payment.id}{path}", headers={"Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
                )
                assert answer.status == 403
    own = await client.post(f"/checkout/{payment.id}/cancel", headers=OWN_FORM, allow_redirects=False)
    assert own.status == 303


async def test_bot_that_opens_a_thousand_pages_is_alone_with_that(shop: Shop) -> None:
    """It is told to wait after its share of documents and of streams; the next customer sees nothing of it."""
    payments = [await shop.create() for _ in range(5)]
    async with TestServer(shop.application(max_viewers=400), host="127.0.0.1") as server, AsyncExitStack() as held:
        bot = await held.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        documents, streams = [], []
        for number in range(1_000):
            url = server.make_url(f"/checkout/{payments[number % len(payments)].id}")
            forged = {"X-Forwarded-For": f"203.0.113.{number % 250}", "Accept": "text/html"}
            async with bot.get(url, headers=forged) as document:
                documents.append(document.status)
                words, wait = await document.text(), document.headers.get("Retry-After", "0")
            stream = await held.enter_async_context(bot.get(f"{url}/events?token=x{number}"))
            streams.append(stream.status)
        assert VIEWS.requests <= documents.count(200) < VIEWS.requests + 200
        assert documents.count(200) + documents.count(429) == 1_000
        assert int(wait) >= 1
        assert "One moment, please" in words
        assert streams.count(200) == 200, "of the 400 that this process holds"
        assert streams.count(429) == 800
        customer = await held.enter_async_context(ClientSession(connector=TCPConnector(local_addr=("127.0.0.2", 0))))
        url = server.make_url(f"/checkout/{payments[0].id}")
        async with customer.get(url) as document, customer.get(f"{url}/events") as stream:
            assert (document.status, stream.status) == (200, 200)
            await shop.pay(payments[0])
            async for line in stream.content:
                if b'data-part=\\"confirming' in line:
                    break


async def test_retrying_and_canceling_in_turns_makes_no_end_of_payments(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    first = await shop.scene(Part.EXPIRED, allow_retry=True)
    made = set()
    for _ in range(RETRIES.requests + 5):
        answer = await client.post(f"/checkout/{first.id}/retry", headers=OWN_FORM, allow_redirects=False)
        if answer.status == 429:
            break
        assert answer.status == 303
        made.add(answer.headers["Location"])
        async with shop.store.write() as uow:  # from another address
            canceled = await shop.service.cancel(uow, answer.headers["Location"].rpartition("/")[2])
        assert canceled.status is Status.CANCELED
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 60
    assert "One moment, please" in await answer.text()
    assert len(made) == RETRIES.requests


async def test_what_an_address_says_is_not_repeated_at_length(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    long = "x" * 1_100
    query = {"token": long, "qr": long, "lang": long, "embed": f"https://{long}.example", "stay": long, "leaving": long}
    for path in ("", "/state"):
        plain = await (await client.get(f"/checkout/{payment.id}{path}")).text()
        asked = await (await client.get(f"/checkout/{payment.id}{path}", params=query)).text()
        assert "xxx" not in asked
        assert abs(len(asked) - len(plain)) < 1_000
    async with client.get(f"/checkout/{payment.id}/events", params=query) as stream:
        assert b"xxx" not in await stream.content.readuntil(b"\n\n")


async def test_invented_choices_are_one_way_to_look(shop: Shop, aiohttp_client: Connect) -> None:
    """A hundred invented tokens are drawn once, not a hundred times."""
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    tags: set[Any] = set()
    for number in range(3):
        tags.add((await client.get(f"/checkout/{payment.id}/state", params={"token": f"X{number}"})).headers["ETag"])
    assert len(tags) == 1


async def test_long_address_for_a_refund_is_not_repeated_at_length(shop: Shop, aiohttp_client: Connect) -> None:
    client = await aiohttp_client(shop.application())
    payment = await shop.scene(Part.EXPIRED_RECEIVED)
    async with shop.store.read() as uow:
        (refund,) = (await uow.refunds.of([payment.id]))[payment.id]
    form = {"refund": refund.id, "destination": "0x" + "y" * 50_000}
    answer = await client.post(f"/checkout/{payment.id}/claim", data=form, headers=OWN_FORM)
    assert 400 <= answer.status < 500
    assert "y" * 300 not in await answer.text()


async def test_whoever_asks_is_told_the_servers_time(shop: Shop, aiohttp_client: Connect) -> None:
    """A customer's clock may be an hour wrong: the countdown goes by what every answer and event says."""
    client = await aiohttp_client(shop.application())
    payment = await shop.create()
    now = shop.clock.now()
    page = await client.get(f"/checkout/{payment.id}")
    assert f'data-now="{now}"' in await page.text()
    state = await client.get(f"/checkout/{payment.id}/state")
    assert (state.headers["Openpay-Now"], (await state.json())["now"]) == (str(now), now)
    tag = state.headers["ETag"]
    shop.clock.seconds += 20
    same = await client.get(f"/checkout/{payment.id}/state", headers={"If-None-Match": tag})
    assert (same.status, same.headers["Openpay-Now"]) == (304, str(now + 20))
    async with client.get(f"/checkout/{payment.id}/events", params={"tag": tag.strip('W/"')}) as stream:
        assert f"event: alive\ndata: {now + 20}".encode() in await stream.content.readuntil(b"\n\n")
