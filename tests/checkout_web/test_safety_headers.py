"""What every kind of answer of the checkout forbids a browser: each header by its name and its whole value."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from openpay.app.merchants import change_page
from openpay.domain.payment import Payment
from tests.checkout_web.scenes import ORDER, Shop
from tests.support.pictures import picture

Client = TestClient[web.Request, web.Application]

PERSON = {"Accept": "text/html", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}
PROGRAM = {"Accept": "application/json"}
EMBEDDER = "https://shop.example"

# Written out and not imported: this says what the headers have to be, whatever the program says that they are.
EVERYWHERE = {"X-Content-Type-Options": "nosniff"}
DOCUMENT = EVERYWHERE | {
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}
UNFRAMED = DOCUMENT | {"X-Frame-Options": "DENY"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors "
)
PAGE = UNFRAMED | {"Content-Security-Policy": PAGE_POLICY + "'none'", "Cache-Control": "no-store"}
DATA = UNFRAMED | {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
FILE = EVERYWHERE | {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "public, max-age=31536000, immutable",
}
LOGO = FILE | {"Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'"}


@pytest.fixture
async def client(shop: Shop, aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Client:
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, accent="#d9480f", logo=picture("PNG"), embed_origins=[EMBEDDER])
    return await aiohttp_client(shop.application(public_url="https://pay.example"))


@pytest.fixture
async def payment(shop: Shop) -> Payment:
    return await shop.create(**ORDER)


def assert_headers(answer: ClientResponse, expected: dict[str, str]) -> None:
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert answer.headers["Server"] == "openpay"
    assert "Set-Cookie" not in answer.headers


async def test_page_and_pages_of_errors(client: Client, payment: Payment) -> None:
    for path, status in ((payment.id, 200), ("pay_unknown", 404), ("no/such/place", 404)):
        answer = await client.get(f"/checkout/{path}", headers=PERSON)
        assert answer.status == status
        assert_headers(answer, PAGE)
    for path, status in ((f"{payment.id}/claim", 422), (f"{payment.id}/lookup", 200), (f"{payment.id}/state", 405)):
        answer = await client.post(f"/checkout/{path}", data={"destination": "x", "transaction": "x"}, headers=PERSON)
        assert answer.status in {status, 404}, path
        assert_headers(answer, PAGE)


async def test_page_in_an_allowed_frame_names_that_site_and_nothing_else_changes(
    client: Client, payment: Payment
) -> None:
    framed = await client.get(f"/checkout/{payment.id}", params={"embed": EMBEDDER}, headers=PERSON)
    assert_headers(framed, DOCUMENT | {"Content-Security-Policy": PAGE_POLICY + EMBEDDER, "Cache-Control": "no-store"})
    assert "X-Frame-Options" not in framed.headers  # it knows no sites, and would forbid all
    other = await client.get(f"/checkout/{payment.id}", params={"embed": "https://evil.example"}, headers=PERSON)
    assert_headers(other, PAGE)


async def test_state_fresh_and_unchanged(client: Client, payment: Payment) -> None:
    fresh = await client.get(f"/checkout/{payment.id}/state")
    assert_headers(fresh, DATA)
    unchanged = await client.get(f"/checkout/{payment.id}/state", headers={"If-None-Match": fresh.headers["ETag"]})
    assert unchanged.status == 304
    assert_headers(unchanged, DATA)
    assert "public" not in fresh.headers["Cache-Control"]


async def test_stream_of_events(client: Client, payment: Payment) -> None:
    async with client.get(f"/checkout/{payment.id}/events") as stream:
        assert_headers(stream, DATA | {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        async with asyncio.timeout(20):
            assert await stream.content.readline()


async def test_files_and_the_logo(client: Client, payment: Payment) -> None:
    html = await (await client.get(f"/checkout/{payment.id}", headers=PERSON)).text()
    addresses = set(re.findall(r'"(/checkout/(?:static|theme|logo)/[^"#]+)', html))
    assert {address.split("/")[2] for address in addresses} == {"static", "theme", "logo"}
    for address in addresses:
        assert_headers(await client.get(address), LOGO if "/logo/" in address else FILE)
    gone = await client.get("/checkout/static/0/no.js")
    assert gone.status == 404
    assert_headers(gone, EVERYWHERE | {"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"})


async def test_script_for_other_sites_is_theirs_to_load(client: Client) -> None:
    answer = await client.get("/checkout/openpay.js")
    assert_headers(answer, EVERYWHERE | {"Cross-Origin-Resource-Policy": "cross-origin"})
    again = await client.get("/checkout/openpay.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    assert_headers(again, EVERYWHERE | {"Cross-Origin-Resource-Policy": "cross-origin"})


async def test_redirects_stay_here_and_say_as_little(client: Client, payment: Payment) -> None:
    for method, path in (("GET", "claim"), ("GET", "lookup"), ("POST", "cancel")):
        answer = await client.request(method, f"/checkout/{payment.id}/{path}", headers=PERSON, allow_redirects=False)
        assert answer.status == 303
        assert answer.headers["Location"].startswith(f"/checkout/{payment.id}")
        assert_headers(answer, UNFRAMED | {"Cache-Control": "no-store"})


async def test_problems_for_programs(client: Client, payment: Payment) -> None:
    for method, path, status in (
        ("GET", "pay_unknown/state", 404),
        ("GET", "pay_unknown/events", 404),
        ("POST", f"{payment.id}/transactions", 403),
        ("DELETE", f"{payment.id}", 405),
    ):
        answer = await client.request(method, f"/checkout/{path}", headers=PROGRAM)
        assert answer.status == status
        assert_headers(answer, EVERYWHERE | {"Cache-Control": "no-store"})
        assert_headers(answer, {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"})
