"""Requests that no HTTP library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from openpay.app.sealing import Sealer
from openpay.http import HttpSettings
from openpay.store import Store
from tests.api.shop import Shop, open_shop


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = Store.open(sqlite_url)
    yield opened
    await opened.close()


REFUSED = (b"HTTP/1.0 400 ", b"HTTP/1.1 400 ")
"""aiohttp answers what it cannot parse by itself, in HTTP/1.0."""


async def exchange(shop: Shop, request: bytes, *later: bytes, hang_up: bool = False) -> bytes:
    """The start of what comes back on a connection of its own; with `hang_up` we close our side first.

    `later` is sent when the server has had time to start on the request.
    """
    host, port = shop.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await writer.drain()
    for part in later:
        await asyncio.sleep(0.05)
        writer.write(part)
        await writer.drain()
    if hang_up:
        writer.close()
        await writer.wait_closed()
        return b""
    answer = await asyncio.wait_for(reader.read(4096), 20)
    writer.close()
    return answer


def head(shop: Shop, *lines: str) -> bytes:
    sent = ["POST /v1/payments HTTP/1.1", "Host: pay.example", f"Authorization: Bearer {shop.live_key}",
            "Content-Type: application/json", "Connection: close", *lines, "", ""]  # fmt: skip
    return "\r\n".join(sent).encode()


async def test_broken_chunks_are_a_bad_request(shop: Shop) -> None:
    answer = await exchange(shop, head(shop, "Transfer-Encoding: chunked") + b'5\r\n{"amo\r\nzz\r\n')

    assert answer.startswith(REFUSED)


async def test_body_that_stalls_is_given_up(store: Store, sealer: Sealer) -> None:
    async with open_shop(store, sealer, http=HttpSettings(body_timeout_s=0.1)) as shop:
        stalled = head(shop, "Content-Length: 100") + b'{"amount"'
        broken_later = head(shop, "Transfer-Encoding: chunked") + b'5\r\n{"amo\r\n'
        for request, later in ((stalled, b""), (broken_later, b"zz\r\n")):
            with capture_logs() as logs:
                answer = await exchange(shop, request, later)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"code": "request_timeout"' in answer
            assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_caller_that_hangs_up_mid_body_is_no_error_of_ours(shop: Shop) -> None:
    with capture_logs() as logs:
        await exchange(shop, head(shop, "Content-Length: 100") + b'{"amount"', hang_up=True)
        await asyncio.sleep(0.1)

    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert (await shop.get("/v1/payments")).body["data"] == []


NOT_HTTP = {
    "a word": b"GARBAGE\r\n\r\n",
    "a version to come": b"GET / HTTP/9.9\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a path that is not ASCII": b"GET \xff\xfe HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("request_line", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_is_a_bad_request(shop: Shop, request_line: bytes) -> None:
    answer = await exchange(shop, request_line)

    assert answer.startswith((*REFUSED, b"HTTP/1.1 404 "))
    assert b"Traceback" not in answer


async def test_endless_header_is_refused(shop: Shop) -> None:
    answer = await exchange(shop, b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n")

    assert answer.startswith(REFUSED)


async def test_two_lengths_are_refused(shop: Shop) -> None:
    """Servers that disagree on where a request ends can be made to swap requests."""
    answer = await exchange(shop, head(shop, "Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n")

    assert answer.startswith(REFUSED)
